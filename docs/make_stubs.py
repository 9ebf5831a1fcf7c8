"""Writes the stubs: what type checkers and editors know of names that are made from tables when autodiff is imported.

    python docs/make_stubs.py

``autodiff/__init__.pyi`` and those of the namespaces hold every function with its signature. A Tensor's operators and
PyTorch's words on it stand in ``autodiff/signatures.pyi``, its base class for type checkers alone. Names and parameters
are read off the functions; where a source says ``Any``, the tables below say more. tests/test_types.py holds the files
to this program, and what they promise to what calls return.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import autodiff
from autodiff import words

PACKAGE = Path(__file__).parents[1] / "autodiff"

#: What a parameter of this name takes, where the source says Any.
PARAMETERS = {
    "axis": "int | Sequence[int] | None",
    "axes": "Any",
    "bins": "Any",
    "casting": "str",
    "condlist": "Any",
    "choicelist": "Any",
    "dtype": "DTypeLike | None",
    "func": "Callable[..., Any]",
    "funclist": "Any",
    "function": "Callable[..., Any]",
    "indices_or_sections": "int | Sequence[int] | ArrayLike",
    "kind": "str | None",
    "mode": "str",
    "norm": "str | None",
    "obj": "Any",
    "optimize": "Any",
    "ord": "Any",
    "order": "Any",
    "pad_width": "Any",
    "reps": "int | Sequence[int]",
    "shape": "int | Sequence[int] | None",
    "new_shape": "int | Sequence[int]",
    "stable": "bool | None",
    "varargs": "Any",
}

#: The same, of nn.functional, where a name may mean something else.
_WINDOW = "int | Sequence[int]"
NETWORKS = {
    "dilation": _WINDOW,
    "dim": "int | Sequence[int]",
    "kernel_size": _WINDOW,
    "normalized_shape": _WINDOW,
    "out": "None",
    "output_padding": _WINDOW,
    "output_size": "int | Sequence[int | None] | None",
    "padding": _WINDOW,
    "scale_factor": "float | Sequence[float] | None",
    "size": "int | Sequence[int] | None",
    "stride": "int | Sequence[int] | None",
}

#: What a function gives, where the source says Any and it is not one Tensor. "Any": its arguments decide.
RETURNS = {
    "autodiff.atleast_1d": "Any",
    "autodiff.atleast_2d": "Any",
    "autodiff.atleast_3d": "Any",
    "autodiff.average": "Any",
    "autodiff.gradient": "Any",
    "autodiff.histogram": "tuple[Tensor, Tensor]",
    "autodiff.linspace": "Any",
    "autodiff.unique_all": "Any",
    "autodiff.unique_counts": "Any",
    "autodiff.unique_inverse": "Any",
    "autodiff.where": "Any",
    "autodiff.linalg.eig": "Any",
    "autodiff.linalg.eigh": "Any",
    "autodiff.linalg.qr": "Any",
    "autodiff.linalg.slogdet": "Any",
    "autodiff.linalg.svd": "Any",
    "autodiff.special.airy": "tuple[Tensor, Tensor, Tensor, Tensor]",
    "autodiff.special.fresnel": "tuple[Tensor, Tensor]",
    "autodiff.special.gammasgn": "Any",
    "autodiff.special.logsumexp": "Any",
    "autodiff.special.shichi": "tuple[Tensor, Tensor]",
    "autodiff.special.sici": "tuple[Tensor, Tensor]",
    "nn.functional.attention_with_weights": "Any",
    "nn.functional.adaptive_max_pool1d": "Any",
    "nn.functional.adaptive_max_pool2d": "Any",
    "nn.functional.adaptive_max_pool3d": "Any",
    "nn.functional.max_pool1d": "Any",
    "nn.functional.max_pool2d": "Any",
    "nn.functional.max_pool3d": "Any",
}

#: PyTorch's words that give no Tensor.
WORDS = {
    "dim": "builtins.int",
    "is_floating_point": "builtins.bool",
    "nelement": "builtins.int",
    "numel": "builtins.int",
}

#: Imported by name in autodiff/__init__.py, from rooms that know no Tensor: written out like the others.
_IN_FULL = ("array", "astype", "constant")
_BINARY = "add sub mul truediv pow mod matmul floordiv and or xor lshift rshift"


def type_of(parameter: inspect.Parameter, table: dict[str, str] = PARAMETERS) -> str:
    """A parameter's annotation, or what the tables and its default say."""
    said = parameter.annotation
    if said is not inspect.Parameter.empty and said not in ("Any", Any):
        return str(said)
    if parameter.kind is parameter.VAR_KEYWORD:
        return "Any"
    if parameter.name in table:
        return table[parameter.name]
    if isinstance(parameter.default, bool):
        return "ArrayLike" if parameter.name == "where" else "bool"
    return "ArrayLike | None" if parameter.default is None else "ArrayLike"


def written(parameter: inspect.Parameter, kind: str) -> str:
    """One parameter of a signature."""
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}: {kind}"
    if parameter.default is parameter.empty:
        return text
    value = repr(parameter.default)
    plain = isinstance(parameter.default, bool | int | float | str | tuple | None)
    return f"{text} = {value if plain else '...'}"


def signature(function: Callable[..., Any], types: Callable[[inspect.Parameter], str] = type_of) -> str:
    """The parameters between the parentheses."""
    parts: list[str] = []
    before: Any = None
    for parameter in inspect.signature(function).parameters.values():
        if before == inspect.Parameter.POSITIONAL_ONLY != parameter.kind:
            parts.append("/")
        if parameter.kind == inspect.Parameter.KEYWORD_ONLY and before not in (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.VAR_POSITIONAL,
        ):
            parts.append("*")
        parts.append(written(parameter, types(parameter)))
        before = parameter.kind
    if before == inspect.Parameter.POSITIONAL_ONLY:
        parts.append("/")
    return ", ".join(parts)


def summary(thing: Any) -> str:
    """The first sentence of a docstring, on one line."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    text = re.sub(r": a Tensor out; the gradient's.*", ".", text)
    return text.replace("\\", "\\\\").replace('"""', "'''")


def given(name: str, function: Callable[..., Any]) -> str:
    """What a function returns."""
    said = inspect.signature(function).return_annotation
    if said is inspect.Signature.empty or said in ("Any", Any):
        return RETURNS.get(name, "Tensor")
    return re.sub(r"\bAny\b", "Tensor", str(said))


def function(module: str, name: str, thing: Callable[..., Any], table: dict[str, str] = PARAMETERS) -> str:
    """A function of a stub."""
    types = functools.partial(type_of, table=table)
    head = f"def {name}({signature(thing, types)}) -> {given(f'{module}.{name}', thing)}:"
    return f'{head}\n    """{summary(thing)}"""\n' if summary(thing) else f"{head} ...\n"


HEAD = '''"""{title}

Written by docs/make_stubs.py; do not edit.
"""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import DTypeLike

from autodiff.signatures import ArrayLike
from autodiff.tensor import Tensor
'''


def namespace(module: str, names: Iterable[str], table: dict[str, str] = PARAMETERS) -> str:
    """The stub of a module whose names are made from a table."""
    there = importlib.import_module(module)
    text = HEAD.format(title=(there.__doc__ or "").split("\n")[0])
    listed = sorted(names)
    text += f"\n__all__ = {list(there.__all__)!r}\n\n"
    return text + "\n".join(function(module, name, getattr(there, name), table) for name in listed)


def imported() -> list[str]:
    """What autodiff/__init__.py imports, as a stub says it."""
    lines = []
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("autodiff"):
            kept = [a.asname or a.name for a in node.names if not (a.asname or a.name).startswith("_")]
            lines += [f"from {node.module} import {name} as {name}" for name in kept]
    # Packages of their own: type checkers, which follow imports in a circle, find more by their first names.
    own = ("nn", "optim")
    lines += [f"import {n} as {n}" if n in own else f"from autodiff import {n} as {n}" for n in autodiff._ON_DEMAND]
    lines += [f"from {module} import {name} as {name}" for name, module in autodiff._FUNCTIONS_ON_DEMAND.items()]
    return [line for line in lines if line.rpartition(" ")[2] not in _IN_FULL]


def package() -> str:
    """autodiff/__init__.pyi."""
    text = HEAD.format(title=(autodiff.__doc__ or "").split("\n\n")[0])
    text = text.replace("from autodiff.tensor import Tensor\n", "\n".join(imported()) + "\n")
    joiners = "".join(f"{name}: Joiner\n" for name in ("c_", "r_"))
    text += f"from autodiff.signatures import Joiner\n\n__version__: str\n__all__ = {sorted(autodiff.__all__)!r}\n\n"
    text += f"{joiners}\n"
    names = {*autodiff._NUMPY, *_IN_FULL} - {"c_", "r_"}
    return text + "\n".join(function("autodiff", name, getattr(autodiff, name)) for name in sorted(names))


def word(name: str, method: Callable[..., Any]) -> str:
    """One of PyTorch's words as a method."""
    _, *rest = signature(method, lambda _: "Any").split(", ")
    if name in words._UNARY.split():
        rest = []
    return f"    def {name}({', '.join(['self', *rest])}) -> {WORDS.get(name, 'Tensor')}: ...\n"


def operators() -> str:
    """autodiff/signatures.pyi."""
    lines = [
        '"""What type checkers know of a Tensor besides its source: operators and PyTorch\'s words on it.\n\n'
        'Written by docs/make_stubs.py; do not edit.\n"""\n',
        "import builtins",
        "from typing import Any, TypeAlias\n",
        "import numpy.typing as npt\n",
        "from autodiff.tensor import Tensor\n",
        "#: What an operation takes for an array.",
        "ArrayLike: TypeAlias = Tensor | npt.ArrayLike\n",
        "class Joiner:",
        "    def __getitem__(self, key: Any) -> Tensor: ...\n",
        "class Signatures:",
        '    """The base of Tensor, for type checkers alone."""\n',
    ]
    own = vars(autodiff.Tensor)
    for name in [f"__{kind}{name}__" for name in _BINARY.split() for kind in ("", "i", "r")]:
        # Those that the class's source defines are typed there.
        if name in own and own[name].__module__ != "autodiff.tensor":
            lines.append(f"    def {name}(self, other: Any) -> Tensor: ...")
    lines += [f"    def __{name}__(self) -> Tensor: ..." for name in ("abs", "neg", "pos")]
    made = {name: method for name, method in words.METHODS.items() if own.get(name) is method}
    return "\n".join(lines) + "\n" + "".join(word(name, made[name]) for name in sorted(made))


def stubs() -> dict[str, str]:
    """Every stub, by its file's name, formatted."""
    special = importlib.import_module("autodiff.special")
    texts = {
        "__init__.pyi": package(),
        "fft.pyi": namespace("autodiff.fft", autodiff.fft.__all__),
        "linalg.pyi": namespace("autodiff.linalg", autodiff.linalg.__all__),
        "signal.pyi": namespace("autodiff.signal", autodiff.signal.__all__),
        "signatures.pyi": operators(),
        "special.pyi": namespace("autodiff.special", [name for name in dir(special) if not name.startswith("_")]),
    }
    functional = importlib.import_module("nn.functional")
    text = namespace("nn.functional", functional.__all__, NETWORKS)
    texts["../nn/functional/__init__.pyi"] = text.replace("from numpy.typing", "import numpy as np\nfrom numpy.typing")
    return {name: formatted(name, text) for name, text in texts.items()}


def formatted(name: str, text: str) -> str:
    """As ruff leaves it, imports sorted and those that are not used gone."""
    for command in (["check", "--fix", "-q", "--select", "I,F401"], ["format", "-q"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", f"autodiff/{name}", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=PACKAGE.parent,
        ).stdout
    return text


if __name__ == "__main__":
    for file, text in stubs().items():
        (PACKAGE / file).write_text(text)
