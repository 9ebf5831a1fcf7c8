"""Run a function so that its graph can be drawn: arguments become tensors with names, and every node keeps what it
saw.
"""

from __future__ import annotations

import contextlib
import inspect
import linecache
import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.core.graph import Node
from autodiff.core.modes import enable_grad
from autodiff.cuts import OURS
from autodiff.tensor import Tensor
from autodiff.watch import tracing

__all__ = ["Failure", "Part", "kinds_of", "module_kinds", "names_of", "recording", "run"]


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Keep on every node recorded in this block its arrays, its running time, its module and its line, for
    :func:`draw`.

    Memory grows by every intermediate result, so this is for looking, not for training.

    Examples
    --------
    >>> import numpy as np, autodiff as ad
    >>> from autodiff.viz import draw
    >>> x = ad.tensor(3.0, requires_grad=True, name="x")
    >>> with recording():
    ...     y = np.sqrt(x) * 2.0
    >>> print(draw(y, values=True))
    %0  x           scalar float64  = 3  parameter
    %1  √(%0)       scalar float64  = 1.7321
    %2  2.0         constant
    %3  ×(%1, %2)   scalar float64  = 3.4641
    """
    with tracing(keep=True):
        yield


@dataclass(frozen=True)
class Failure:
    """Where a program stopped: the operation that failed, if one did, what it was given, the error and the line."""

    op: Any
    inputs: tuple[Any, ...]
    error: Exception
    line: str


def run(function: Any, args: Sequence[Any], keep: bool) -> tuple[list[Tensor], list[str], Failure | None]:
    """The tensors that ``function(*args)`` returns, and the names of its arguments; of a function that raises, the
    tensors that it had computed, and where it stopped.

    Arrays of floating-point numbers become leaves named after the function's parameters; for a module with
    parameters of its own they become constants, as in training.
    """
    has_parameters = hasattr(function, "named_parameters") and any(True for _ in function.parameters())
    target = getattr(function, "forward", function) if hasattr(function, "named_parameters") else function
    names = _argument_names(target, len(args))
    made = [_leaf(arg, name, not has_parameters) for arg, name in zip(args, names, strict=True)]
    with enable_grad(), tracing(keep=keep), np.errstate(all="ignore"):
        try:
            result = function(*made)
        except Exception as error:
            found, failure = _stopped(error)
            if failure is None:
                raise
            return found, names, failure
    found = _tensors(result)
    if not found:
        title = getattr(function, "__name__", None) or type(function).__name__
        if args and not has_parameters and not _tensors(made):
            raise ArgumentError(
                f"draw: {title} is given no floating-point number that could be followed; write 1.0 for 1"
            )
        raise ArgumentError(
            f"draw: {title} returned {type(result).__name__}, which holds no Tensor; return what is to be drawn"
        )
    return found, names, None


def _stopped(error: Exception) -> tuple[list[Tensor], Failure | None]:
    """What the frames of a traceback hold: the tensors computed so far, and the operation that failed; no failure if
    the error is none of the program's own.
    """
    found: dict[int, Tensor] = {}
    op: Any = None
    inputs: tuple[Any, ...] = ()
    line, scope = "", dict[str, Any]()
    for frame, number in list(traceback.walk_tb(error.__traceback__))[1:]:
        path, scope = frame.f_code.co_filename, frame.f_locals
        if not path.startswith(OURS):
            text = linecache.getline(path, number).strip()
            line, op = f"{Path(path).name}:{number}: {text}", None
        given = scope.get("inputs")
        if op is None and isinstance(given, list | tuple) and hasattr(scope.get("op"), "label"):
            op, inputs = scope["op"], tuple(given)
        for value in _tensors(scope):
            if isinstance(value._node, Node):
                found.setdefault(id(value._node), value)
    if op is None and not line:
        return [], None
    if op is None:
        inputs = tuple(_tensors(scope))
    return list(found.values()), Failure(op, inputs, error, line)


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [f"x{i}" for i in range(count)]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "x")
    return [*names[:count], *(f"{rest}{i}" for i in range(count - len(names)))]


def _leaf(arg: Any, name: str, tracked: bool) -> Any:
    """Arrays as named tensors, also inside lists, tuples and dictionaries; all else as it is."""
    if isinstance(arg, Mapping):
        return {key: _leaf(value, f"{name}.{key}", tracked) for key, value in arg.items()}
    if isinstance(arg, tuple | list) and any(
        isinstance(item, np.ndarray | Tensor | Mapping | list | tuple) for item in arg
    ):
        return type(arg)(_leaf(value, f"{name}.{i}", tracked) for i, value in enumerate(arg))
    if isinstance(arg, float | complex | np.generic | np.ndarray | list) and not isinstance(arg, bool):
        array = np.asarray(arg)
        if array.dtype.kind in "fc":
            return Tensor(array, requires_grad=tracked, name=name)
        if isinstance(arg, np.ndarray):
            # Labels and indices stay what they are, since functions may index with them.
            return arg
    return arg


def _leaves(given: Mapping[str, Any], most: float = math.inf) -> Iterator[tuple[str, Any]]:
    """What stands in mappings, lists and tuples of at most so many items, under names such as ``state.0``; in each but
    once, for one may hold itself, as a notebook's ``Out`` does once it is looked at.
    """
    stack, seen = list(given.items())[::-1], dict[int, Any]()
    while stack:
        name, value = stack.pop()
        if not isinstance(value, Mapping | tuple | list):
            yield name, value
        elif len(value) <= most and id(value) not in seen:
            seen[id(value)] = value
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            stack.extend([(f"{name}.{key}", item) for key, item in items][::-1])


def _tensors(given: Any) -> list[Tensor]:
    return [value for _, value in _leaves({"": given}) if isinstance(value, Tensor)]


def names_of(given: Mapping[str, Any]) -> dict[int, str]:
    """Names by ``id`` of a graph entry or of an array, from tensors, arrays, modules and collections of them under
    names, such as ``locals()``.
    """
    found: dict[int, str] = {}
    for name, value in _leaves(given, 1000):
        if isinstance(value, Tensor):
            found.setdefault(id(value._data if value._node is None else value._node), name)
        elif isinstance(value, np.ndarray):
            found.setdefault(id(value), name)
        elif hasattr(value, "named_parameters") and not isinstance(value, type):
            prefix = f"{name}." if name else ""
            for key, path in names_of(
                {prefix + path: parameter for path, parameter in value.named_parameters()}
            ).items():
                found.setdefault(key, path)
    return found


@dataclass(frozen=True)
class Part:
    """What a picture says of a module: its class, its options and how many parameters it has."""

    kind: str = ""
    options: str = ""
    parameters: int = 0


def module_kinds(module: Any) -> dict[str, Part]:
    """The facts of every submodule, by the path that it is traced under."""
    found: dict[str, Part] = {}
    stack = [("", module)]
    while stack:
        outer, current = stack.pop()
        own = current.__dict__.get("_scope", type(current).__name__)
        # A container without a forward of its own is never called; its children carry its name.
        silent = bool(outer) and type(current).forward.__qualname__ == "Module.forward"
        path = outer if silent else (f"{outer}/{own}" if outer else own)
        count = sum(int(np.prod(parameter.shape)) for parameter in current.parameters())
        found.setdefault(path, Part(type(current).__name__, current.extra_repr(), count))
        stack.extend((path, inner) for inner in current._modules.values() if inner is not None)
    return found


def kinds_of(given: Mapping[str, Any]) -> dict[str, Part]:
    """The facts of every module among some objects, by the path that it is traced under; a path that two different
    modules share has none.
    """
    found: dict[str, Part] = {}
    for value in given.values():
        if hasattr(value, "named_parameters") and not isinstance(value, type):
            for path, kind in module_kinds(value).items():
                found[path] = kind if found.get(path, kind) == kind else Part()
    return found
