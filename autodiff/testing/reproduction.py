"""Python text that runs a check again in a fresh process: imports, functions, arrays to the last bit.

A function is spelled by its public name where it has one, by its source where it has none (a lambda, a test's inner
function) together with whatever that source refers to. What cannot be spelled is said to be so, in the text itself.
"""

from __future__ import annotations

import ast
import base64
import builtins
import importlib
import linecache
import sys
import textwrap
import types
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["script_of", "spelled"]

#: Larger arrays are spelled as compressed bytes.
_SPELLED_SIZE = 400


class _Unspellable(Exception):
    """Something without a text of its own."""


class _Text:
    """Collects the lines that the call needs before it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def need(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)

    def value(self, value: Any) -> str:
        """An expression for a value."""
        if isinstance(value, np.ndarray):
            self.need("import numpy as np")
            return self.array(value)
        if isinstance(value, np.generic):
            self.need("import numpy as np")
            return f"{self.array(np.asarray(value))}[()]"
        if isinstance(value, bool | int | str | bytes | type(None) | type(...)):
            return "..." if value is ... else repr(value)
        if isinstance(value, float | complex):
            return self.number(value)
        if isinstance(value, slice):
            return f"slice({', '.join(self.value(part) for part in (value.start, value.stop, value.step))})"
        if type(value) in (list, tuple):
            inner = ", ".join(self.value(item) for item in value)
            return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
        if type(value) is dict:
            return "{" + ", ".join(f"{self.value(k)}: {self.value(v)}" for k, v in value.items()) + "}"
        if isinstance(value, np.dtype):
            self.need("import numpy as np")
            return f"np.dtype({value.str!r})"
        if hasattr(value, "_node"):
            self.need("from autodiff import tensor")
            return f"tensor({self.value(np.asarray(value.data))}, requires_grad={value.requires_grad})"
        if callable(value):
            return self.function(value)
        raise _Unspellable(f"a {type(value).__name__}")

    def number(self, value: complex) -> str:
        if isinstance(value, float) and not np.isfinite(value):
            self.need("import numpy as np")
            return "np.nan" if np.isnan(value) else ("np.inf" if value > 0 else "-np.inf")
        return repr(value)

    def array(self, a: Any) -> str:
        dtype = "" if a.dtype in (np.float64, np.int64, np.bool_) else f", dtype={a.dtype.name!r}"
        if a.dtype.kind not in "biufc" or a.dtype == np.longdouble:
            raise _Unspellable(f"an array of dtype {a.dtype}")
        if not a.size:
            text = f"np.zeros({a.shape}, {a.dtype.name!r})"
        elif a.size <= _SPELLED_SIZE:
            text = f"np.array({self.nested(a.tolist())}{dtype})"
        else:
            self.need("import base64, zlib")
            packed = base64.b85encode(zlib.compress(np.ascontiguousarray(a).tobytes(), 9)).decode()
            text = (
                f"np.frombuffer(zlib.decompress(base64.b85decode({packed!r})),"
                f" {a.dtype.str!r}).reshape({a.shape}).copy()"
            )
        return f"np.asfortranarray({text})" if a.flags.f_contiguous and not a.flags.c_contiguous else text

    def nested(self, value: Any) -> str:
        return f"[{', '.join(map(self.nested, value))}]" if isinstance(value, list) else self.number(value)

    def function(self, f: Any) -> str:
        """An expression for a function: by name, or by the name that its source gives it."""
        op = _operation(f)
        if op is not None and str(getattr(_home(op), "__module__", "")).startswith("autodiff."):
            self.need("import autodiff")
            if op.name not in _core_names():
                self.need("import autodiff.special")
            return f"autodiff.registry[{op.name!r}].function"
        plain = getattr(f, "__name__", "")
        if getattr(np, plain, None) is f:
            self.need("import numpy as np")
            return f"np.{plain}"
        module, name = getattr(f, "__module__", None), getattr(f, "__qualname__", getattr(f, "__name__", ""))
        if module and module != "__main__" and "<" not in name and _importable(module, name, f):
            self.need(f"import {module}")
            return f"{module}.{name}"
        return self.source(f)

    def source(self, f: Any) -> str:
        """The source of a function, and of what it refers to."""
        if not isinstance(f, types.FunctionType):
            raise _Unspellable(f"{f!r}")
        node, text = _definition(f)
        outside = {
            **f.__globals__,
            **dict(zip(f.__code__.co_freevars, (c.cell_contents for c in f.__closure__ or ()), strict=True)),
        }
        used = _used(f.__code__)
        for name in sorted(_names(node)):
            if name in used and name in outside and outside[name] is not f:
                self.refer(name, outside[name])
        if isinstance(node, ast.Lambda):
            return f"({' '.join(text.split())})" if "\n" in text else f"({text})"
        self.need(textwrap.dedent(text))
        return str(f.__name__)

    def refer(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            self.need(f"import {value.__name__} as {name}" if value.__name__ != name else f"import {name}")
            return
        expression = self.value(value)
        if expression != name:
            self.need(f"{name} = {expression}")


def _operation(f: Any) -> Any:
    """The operation of ours that a function is; without our engine there is none."""
    engine = sys.modules.get("autodiff.core.op")
    ours = engine is not None and isinstance(f, (engine.Primitive, engine.Fused))
    return f if ours else getattr(f, "__autodiff__", None)


def _home(op: Any) -> Any:
    """The function from whose module an operation comes: its composed definition or its first rule."""
    return op.composed if op.fused else next((r for r in op.rules if r is not None), op.forward)


def _core_names() -> set[str]:
    registry = sys.modules["autodiff.core.op"].registry
    return {name for name, op in registry.items() if getattr(_home(op), "__module__", "") != "autodiff.ops.special"}


def _importable(module: str, name: str, value: Any) -> bool:
    """Whether a fresh process finds the same thing under this name; a test module, say, is found by path only."""
    top = module.partition(".")[0]
    known = getattr(sys.modules.get(top), "__spec__", None)
    if known is None:
        return False
    try:
        if importlib.machinery.PathFinder.find_spec(top) is None and top not in sys.builtin_module_names:
            return False
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, KeyError, ValueError):
        return False
    return found is value


def _definition(f: types.FunctionType) -> tuple[ast.Lambda | ast.FunctionDef, str]:
    """The syntax tree of a function and its text."""
    code = f.__code__
    lines = linecache.getlines(code.co_filename, f.__globals__)
    text = "".join(lines)
    try:
        tree = ast.parse(text)
    except SyntaxError:
        tree = ast.Module([], [])
    fitting = [node for node in ast.walk(tree) if _fits(node, f)]
    if not fitting:
        raise _Unspellable(f"the source of {f.__qualname__}")
    found: Any = fitting[-1]  # the innermost
    return found, ast.get_source_segment(text, found, padded=True) or ""


def _fits(node: Any, f: types.FunctionType) -> bool:
    """Whether a piece of a syntax tree is a function, or a lambda whose code stands within it."""
    code = f.__code__
    if isinstance(node, ast.FunctionDef):
        return (
            node.name == f.__name__
            and min([node.lineno, *(d.lineno for d in node.decorator_list)]) == code.co_firstlineno
        )
    if not isinstance(node, ast.Lambda) or f.__name__ != "<lambda>" or node.lineno != code.co_firstlineno:
        return False
    body: Any = node.body
    spans = [(a, c, b, d) for a, b, c, d in code.co_positions() if None not in (a, b, c, d) and (a, c) != (b, d)]
    return bool(spans) and all(
        (body.lineno, body.col_offset) <= (a, c) and (b, d) <= (body.end_lineno, body.end_col_offset)
        for a, c, b, d in spans
    )


def _used(code: types.CodeType) -> set[str]:
    """The names that a function takes from outside, those of its inner functions included."""
    inner = [_used(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(code.co_freevars, *inner)


def _names(node: ast.AST) -> Iterator[str]:
    return (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not hasattr(builtins, n.id))


def spelled(value: Any) -> str:
    """An expression that makes a value again, to the last bit; ``np`` stands for NumPy.

    Examples
    --------
    >>> spelled(np.array([[0.1, np.nan]]))
    'np.array([[0.1, np.nan]])'
    """
    return _Text().value(value)


def script_of(checker: str, f: Any, args: Sequence[Any], options: dict[str, Any], kwargs: dict[str, Any]) -> str:
    """The text that calls ``autodiff.testing.<checker>(f, *args, **options, **kwargs)`` again.

    One line where it can be one. A function or argument that has no text of its own is left to be defined, and the text
    says so.
    """
    if hasattr(f, "verified"):
        # A call of an operation, as made by verify: its arguments say more than the function wrapped around it.
        checker = "verify"
        f, args, kwargs = f.verified
    text = _Text()
    text.need("import numpy as np")
    text.need(f"from autodiff.testing import {checker}")
    missing: list[str] = []

    def one(value: Any, name: str) -> str:
        try:
            return text.value(value)
        except (_Unspellable, OSError) as error:
            missing.append(f"# {name} is {error}, which has no text of its own: define it here")
            return name

    function = f if isinstance(f, str) else one(f, "f")
    parts = [function, *(one(a, f"argument_{i}") for i, a in enumerate(args))]
    parts += [f"{key}={one(value, key)}" for key, value in {**kwargs, **options}.items()]
    call = f"{checker}({', '.join(parts)})"
    if missing or any("\n" in line for line in text.lines):
        return "\n".join([*text.lines, *missing, call])
    return "; ".join([*text.lines, call])
