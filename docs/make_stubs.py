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
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import autodiff
from autodiff import words

PACKAGE = Path(__file__).parents[1] / "autodiff"

#: What a parameter of this name takes, where the source says Any.
PARAMETERS = {
    "axis": "int | Sequence[int] | None",
    "axes": "int | Sequence[int] | Sequence[Sequence[int]] | None",
    "bins": "int | str | ArrayLike",
    "casting": "str",
    "condlist": "ArrayLike | Sequence[ArrayLike]",
    "choicelist": "ArrayLike | Sequence[ArrayLike]",
    "dtype": "DTypeLike | None",
    "func": "Callable[..., object]",
    "funclist": "Sequence[Callable[..., object] | ArrayLike]",
    "function": "Callable[..., object]",
    "indices_or_sections": "int | Sequence[int] | ArrayLike",
    "kind": "str | None",
    "mode": "str",
    "norm": "str | None",
    "obj": "int | slice | ArrayLike",
    "optimize": "bool | str | Sequence[object]",
    "operands": "ArrayLike | str",
    "ord": "float | str | None",
    "order": "str | Sequence[str] | None",
    "pad_width": "ArrayLike | dict[int, int | tuple[int, int]]",
    "reps": "int | Sequence[int]",
    "shape": "int | Sequence[int] | None",
    "new_shape": "int | Sequence[int]",
    "stable": "bool | None",
    "varargs": "ArrayLike",
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

#: What a function gives, where the source says Any and it is not one Tensor.
RETURNS = {
    "autodiff.gradient": "Tensor | tuple[Tensor, ...]",
    "autodiff.histogram": "tuple[Tensor, Tensor]",
    "autodiff.unique_all": "UniqueAllResult",
    "autodiff.unique_counts": "UniqueCountsResult",
    "autodiff.unique_inverse": "UniqueInverseResult",
    "autodiff.linalg.eig": "EigResult",
    "autodiff.linalg.eigh": "EigResult",
    "autodiff.linalg.qr": "QRResult",
    "autodiff.linalg.slogdet": "SlogdetResult",
    "autodiff.linalg.svd": "SVDResult",
    "autodiff.special.airy": "tuple[Tensor, Tensor, Tensor, Tensor]",
    "autodiff.special.ellipj": "tuple[Tensor, Tensor, Tensor, Tensor]",
    "autodiff.special.fresnel": "tuple[Tensor, Tensor]",
    "autodiff.special.gammasgn": "np.ndarray",
    "autodiff.special.shichi": "tuple[Tensor, Tensor]",
    "autodiff.special.sici": "tuple[Tensor, Tensor]",
    "nn.functional.attention_with_weights": "tuple[Tensor, Tensor]",
}

#: Where a parameter's value decides what is returned: its name, the value, and what is given then.
_PAIR = "tuple[Tensor, Tensor]"
CHOICES = {
    "autodiff.average": ("returned", True, _PAIR),
    "autodiff.linspace": ("retstep", True, _PAIR),
    "autodiff.linalg.qr": ("mode", "r", "Tensor", "Literal['reduced', 'complete']"),
    "autodiff.linalg.svd": ("compute_uv", False, "Tensor"),
    "autodiff.special.logsumexp": ("return_sign", True, _PAIR),
}

#: Named results of NumPy's, with Tensors in them.
RESULTS = {
    "EigResult": "eigenvalues eigenvectors",
    "QRResult": "Q R",
    "SVDResult": "U S Vh",
    "SlogdetResult": "sign logabsdet",
    "UniqueAllResult": "values indices inverse_indices counts",
    "UniqueCountsResult": "values counts",
    "UniqueInverseResult": "values inverse_indices",
}

#: PyTorch's words that give no Tensor.
WORDS = {
    "dim": "builtins.int",
    "is_floating_point": "builtins.bool",
    "nelement": "builtins.int",
    "numel": "builtins.int",
}

#: Imported by name in autodiff/__init__.py, from rooms that know no Tensor: written out like the others.
_IN_FULL = ("array", "astype")

#: What transforms give, by what their arguments are: what stands for argnums and has_aux in a signature, and a result.
_FIRST, _SEVERAL, _ANY = "Literal[0] = 0", "Sequence[int]", "int | Sequence[int] = 0"
_NO, _YES = "Literal[False] = False", "Literal[True]"
_GIVEN = [(_FIRST, _NO, "Gradient"), (_SEVERAL, _NO, "Callable[..., tuple[Tree, ...]]")]
_GIVEN += [("int", _NO, "Callable[..., Tree]"), (_ANY, _YES, "Callable[..., tuple[Tree, A]]")]
_VALUED = [(_FIRST, _NO, "ValueAndGradient"), (_SEVERAL, _NO, "Callable[..., tuple[Array, tuple[Tree, ...]]]")]
_VALUED += [("int", _NO, "Callable[..., tuple[Array, Tree]]")]
_VALUED += [(_ANY, _YES, "Callable[..., tuple[tuple[Array, A], Tree]]")]
_MATRIX = [(_ANY, _NO, "Callable[..., Tree]"), (_ANY, _YES, "Callable[..., tuple[Tree, A]]")]
TRANSFORMS = {"grad": _GIVEN, "value_and_grad": _VALUED}
TRANSFORMS |= dict.fromkeys(("hessian", "jacfwd", "jacobian", "jacrev"), _MATRIX)
TRANSFORMS["jvp"] = [("", _NO, "tuple[Tree, Tree]"), ("", _YES, "tuple[Tree, Tree, A]")]
_GRADIENTS = [
    ("Tensor", "Literal[False] = False", "Array"),
    ("Sequence[Tensor]", "Literal[False] = False", "tuple[Array, ...]"),
    ("Tensor", "bool", "Array | None"),
    ("Sequence[Tensor]", "bool", "tuple[Array | None, ...]"),
]
_BINARY = "add sub mul truediv pow mod matmul floordiv and or xor lshift rshift"


def type_of(parameter: inspect.Parameter, table: dict[str, str] = PARAMETERS) -> str:
    """A parameter's annotation, or what the tables and its default say."""
    said = parameter.annotation
    if said is not inspect.Parameter.empty and said not in ("Any", Any):
        # A callable may give anything, and a sequence hold whatever makes an array.
        said = re.sub(r"(Callable\[.*, )Any\]", r"\1object]", str(said))
        return said.replace("Callable[[Any, Any]", "Callable[[Tensor, Tensor]").replace("Any", "ArrayLike")
    if parameter.kind is parameter.VAR_KEYWORD:
        return "object"
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


def signature(
    function: Callable[..., Any] | list[inspect.Parameter], types: Callable[[inspect.Parameter], str] = type_of
) -> str:
    """The parameters between the parentheses."""
    parts: list[str] = []
    before: Any = None
    known = function if isinstance(function, list) else list(inspect.signature(function).parameters.values())
    for parameter in known:
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
    """A function of a stub; overloads where an argument decides what it gives."""
    types = functools.partial(type_of, table=table)
    full, parameters = f"{module}.{name}", inspect.signature(thing).parameters
    doc = f'    """{summary(thing)}"""\n' if summary(thing) else "    ...\n"
    otherwise = given(full, thing)
    flag = CHOICES.get(full) or (("return_indices", True, _PAIR) if "return_indices" in parameters else None)
    if flag is None:
        first = next(iter(parameters.values()), None)
        if name.startswith("atleast_"):
            variants = [f"def {name}(ary: ArrayLike, /) -> Tensor:"]
            variants += [f"def {name}(*arys: ArrayLike) -> tuple[Tensor, ...]:"]
        elif full == "autodiff.where" and first is not None:
            variants = [f"def where({first.name}: ArrayLike, /) -> tuple[Tensor, ...]:"]
            variants += [f"def where({signature(thing, lambda p: 'ArrayLike').replace(' = None', '')}) -> Tensor:"]
        else:
            return f"def {name}({signature(thing, types)}) -> {otherwise}:\n{doc}"
    else:
        variants = [f"def {name}({text}) -> {kind}:" for text, kind in choices(thing, types, flag, otherwise)]
    # Editors show the first docstring of several.
    return "".join(
        f"@overload\n{head}{chr(10) + doc if i == 0 else ' ...' + chr(10)}" for i, head in enumerate(variants)
    )


def choices(
    thing: Callable[..., Any],
    types: Callable[[inspect.Parameter], str],
    flag: tuple[Any, ...],
    otherwise: str,
    leave: int = 0,
) -> list[tuple[str, str]]:
    """The signatures of a function whose result an argument decides: its usual value, the special one, and any."""
    name, value, kind, *before = flag
    known = inspect.signature(thing)
    parameters = list(known.parameters.values())[leave:]
    at = next(i for i, p in enumerate(parameters) if p.name == name)
    # Python takes no parameter without a default after one with: the special value is given by name.
    named = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=p.empty if i == at else p.default)
        if i >= at and p.kind is not p.VAR_KEYWORD
        else p
        for i, p in enumerate(parameters)
    ]
    usual = before[0] if before else types(parameters[at])
    if isinstance(value, bool):
        usual = f"Literal[{not value}]"

    def said(which: str) -> Callable[[inspect.Parameter], str]:
        return lambda p: which if p.name == name else types(p)

    def text(given: list[inspect.Parameter], which: str) -> str:
        return signature(given, said(which))

    both = otherwise if kind == otherwise else f"{otherwise} | {kind}"
    found = [(text(parameters, usual), otherwise)] if isinstance(value, bool) else []
    found.append((text(named, f"Literal[{value!r}]"), kind))
    found.append((text(parameters, "bool"), both) if isinstance(value, bool) else (text(parameters, usual), otherwise))
    return found


HEAD = '''"""{title}

Written by docs/make_stubs.py; do not edit.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, overload

import numpy as np
from numpy.typing import DTypeLike
from typing_extensions import TypeVar

from autodiff.results import Array, Gradient, Tree, ValueAndGradient
from autodiff.signatures import ArrayLike
from autodiff.signatures import {results}
from autodiff.tensor import Tensor
'''
HEAD = HEAD.replace("{results}", ", ".join(RESULTS))


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
    return [line for line in lines if line.rpartition(" ")[2] not in (*_IN_FULL, *TRANSFORMS, "gradients")]


def transform(name: str) -> str:
    """A transform: one signature for each kind of result."""
    thing = getattr(autodiff, name)
    variants = []
    if name == "gradients":
        for inputs, unused, result in _GRADIENTS:
            kinds = {"inputs": inputs, "allow_unused": unused}
            variants.append((overloaded(thing, kinds), result))
    for argnums, has_aux, result in TRANSFORMS.get(name, ()):
        kinds = {"argnums": argnums, "has_aux": has_aux}
        kinds |= {"f": "Callable[..., tuple[object, A]]"} if has_aux == _YES else {}
        variants.append((overloaded(thing, kinds), result))
    doc = f'    """{summary(thing)}"""\n'
    return "\n".join(
        f"@overload\ndef {name}({text}) -> {result}:\n{doc if i == 0 else '    ...' + chr(10)}"
        for i, (text, result) in enumerate(variants)
    )


def overloaded(thing: Callable[..., Any], kinds: dict[str, str]) -> str:
    """The parameters of a function with other annotations; after one that loses its default they are given by name."""
    parts, named = [], False
    for parameter in inspect.signature(thing).parameters.values():
        kind = kinds.get(parameter.name) or str(parameter.annotation)
        if parameter.name in kinds and " = " not in kind and parameter.default is not parameter.empty and not named:
            if parameter.name != "argnums":
                parts.append("*")
                named = True
            parameter = parameter.replace(default=parameter.empty)
        elif " = " in kind or (parameter.name in kinds and named):
            parameter = parameter.replace(default=parameter.empty)
        parts.append(written(parameter, kind))
    return ", ".join(parts)


def package() -> str:
    """autodiff/__init__.pyi."""
    text = HEAD.format(title=(autodiff.__doc__ or "").split("\n\n")[0])
    text = text.replace("from autodiff.tensor import Tensor\n", "\n".join(imported()) + "\n")
    joiners = "".join(f"{name}: Joiner\n" for name in ("c_", "r_"))
    text += f"from autodiff.signatures import Joiner\n\n__version__: str\n__all__ = {sorted(autodiff.__all__)!r}\n\n"
    text += f'{joiners}\nA = TypeVar("A")\n\n'
    names = {*autodiff._NUMPY, *_IN_FULL} - {"c_", "r_"}
    text += "\n".join(transform(name) for name in sorted([*TRANSFORMS, "gradients"])) + "\n"
    return text + "\n".join(function("autodiff", name, getattr(autodiff, name)) for name in sorted(names))


def classes(module: str) -> str:
    """The stub of a module whose classes are made from a table."""
    there = importlib.import_module(module)
    lines = [
        HEAD.format(title=(there.__doc__ or "").split("\n")[0]),
        "from nn.table import FunctionLayer",
        *(f"from {kind.__module__} import {kind.__name__}" for kind in _becoming(there)),
        f"\n__all__ = {list(there.__all__)!r}\n",
        'Given = TypeVar("Given", default=Tensor)\n',
    ]
    return "\n".join(lines) + "\n".join(layer(getattr(there, name)) for name in there.__all__)


def _becoming(there: Any) -> list[type]:
    """What the lazy layers of a module become."""
    return [kind._becomes for name in there.__all__ if hasattr(kind := getattr(there, name), "_becomes")]


def layer(kind: Any) -> str:
    """A class that a table made: its options and what a call takes and gives."""
    types = functools.partial(type_of, table=NETWORKS)
    base = f"{kind._becomes.__name__}" if hasattr(kind, "_becomes") else "FunctionLayer"
    options = list(inspect.signature(kind.__init__).parameters.values())[1:]
    flag = ("return_indices", True, _PAIR) if any(p.name == "return_indices" for p in options) else None
    lines = [f"class {kind.__name__}({base}{', Generic[Given]' if flag else ''}):", f'    """{summary(kind)}"""\n']
    if base == "FunctionLayer":
        lines += [f"    {p.name}: {types(p)}" for p in options]
    if flag is None:
        lines.append(
            f"    def __init__({', '.join(['self', *filter(None, [signature(options, types)])])}) -> None: ..."
        )
    else:
        for text, given_ in choices(kind.__init__, types, flag, "Tensor", leave=1):
            lines += ["    @overload", f"    def __init__(self: {kind.__name__}[{given_}], {text}) -> None: ..."]
    if base == "FunctionLayer":
        takes = list(inspect.signature(kind.forward).parameters.values())[1:]
        usual = [p.name for p in takes] == ["input"]
        ignored = "" if usual and flag is None else "  # type: ignore[override]\n"
        text = signature(takes, types)
        lines.append(f"    def forward({ignored}self, {text}) -> {'Given' if flag else 'Tensor'}: ...")
    return "\n".join(lines) + "\n"


def word(name: str, method: Callable[..., Any]) -> str:
    """One of PyTorch's words as a method."""
    types = functools.partial(
        type_of,
        table=PARAMETERS
        | {"dim": "int | Sequence[int] | None", "other": "ArrayLike"}
        | dict.fromkeys(("where", "device", "args"), "object"),
    )
    _, *parameters = inspect.signature(method).parameters.values()
    # Within the class its own methods have these names.
    text = re.sub(r"\b(int|float|bool)\b", r"builtins.\1", signature(parameters, types))
    rest = [text] if parameters else []
    if name in words._UNARY.split():
        rest = []
    return f"    def {name}({', '.join(['self', *rest])}) -> {WORDS.get(name, 'Tensor')}: ...\n"


def operators() -> str:
    """autodiff/signatures.pyi."""
    lines = [
        '"""What type checkers know of a Tensor besides its source: operators and PyTorch\'s words on it.\n\n'
        'Written by docs/make_stubs.py; do not edit.\n"""\n',
        "import builtins",
        "from collections.abc import Callable, Sequence",
        "from typing import Any, NamedTuple, Protocol, TypeAlias\n",
        "import numpy as np",
        "from numpy.typing import DTypeLike\n",
        "from autodiff.tensor import Tensor as Tensor\n",
        "class SupportsArray(Protocol):",
        '    """What NumPy makes an array of."""\n',
        "    def __array__(self) -> np.ndarray[Any, Any]: ...\n",
        "#: What an operation takes for an array: an array or a Tensor, a number, or sequences of these, mixed or not.",
        "ArrayLike: TypeAlias = Tensor | SupportsArray | complex | Sequence[ArrayLike]\n",
        *(
            f"class {name}(NamedTuple):\n" + "".join(f"    {field}: Tensor\n" for field in fields.split())
            for name, fields in RESULTS.items()
        ),
        "class Joiner:",
        "    def __getitem__(self, key: object) -> Tensor: ...\n",
        "class Signatures:",
        '    """The base of Tensor, for type checkers alone."""\n',
    ]
    own = vars(autodiff.Tensor)
    for name in [f"__{kind}{name}__" for name in _BINARY.split() for kind in ("", "i", "r")]:
        # Those that the class's source defines are typed there.
        if name in own and own[name].__module__ != "autodiff.tensor":
            lines.append(f"    def {name}(self, other: ArrayLike) -> Tensor: ...")
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
    texts["../nn/functional/__init__.pyi"] = text
    texts["../nn/layers.pyi"] = classes("nn.layers")
    return {name: formatted(name, text) for name, text in texts.items()}


def filled(text: str) -> str:
    """The same with long signatures' parameters and listed names side by side, where ruff gives each a line."""

    def fill(match: re.Match[str]) -> str:
        head, indent, parameters = match.groups()
        # A space that does not end a parameter is no place to break a line.
        words = " ".join(line.strip() for line in parameters.splitlines()).replace(" ", "\0").replace(",\0", ", ")
        lines = textwrap.fill(words, 119, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        return f"{head}{lines.replace(chr(0), ' ')}\n"

    return "# fmt: off\n" + re.sub(r"( *def \w+\(.*\n|__all__ = \[\n)( +)((?:.*,\n)+)", fill, text)


def formatted(name: str, text: str) -> str:
    """As ruff leaves it, imports sorted and those that are not used gone, with fewer lines."""
    for command in (["check", "--fix", "-q", "--select", "I,F401"], ["format", "-q"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", f"autodiff/{name}", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=PACKAGE.parent,
        ).stdout
    return filled(text)


if __name__ == "__main__":
    for file, text in stubs().items():
        (PACKAGE / file).write_text(text)
