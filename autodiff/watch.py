"""What is told of a computation, and never changes it: complaints, anomalies, and where an operation was recorded."""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import numpy as np

from autodiff.core import backward
from autodiff.core import op as core
from autodiff.core.errors import AnomalyError, AutodiffError, DTypeError, ShapeError
from autodiff.core.graph import Node
from autodiff.core.modes import Mode, State, current_state
from autodiff.core.op import PYTHON_NUMBERS, argument
from autodiff.cuts import OURS


def detect_anomaly() -> Mode:
    """Stop at the first NaN or infinity that is born of finite input, forward or backward.

    The :class:`~autodiff.AnomalyError` names the operation, its inputs' shapes and ranges, and the line of the
    program that called it. Slow: every operation's output is looked at, and every node remembers where it was made.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> x = autodiff.tensor([1.0, -1.0], requires_grad=True)
    >>> with autodiff.detect_anomaly(), np.errstate(all="ignore"):
    ...     autodiff.log(x)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    autodiff.AnomalyError: log made nan ...
    """
    return Mode(anomaly=True)


def stopping(through: Callable[[Any], Any]) -> Mode:
    """Pass every array that ``constant`` and ``detach`` stop the gradient at through a function, which may replace it.

    Finite differences see a stopped value move with the point, the gradient does not, so a plain numerical check of a
    right gradient fails (batch renormalisation's r and d). ``autodiff.testing`` therefore holds them at what they were
    at the base point.
    """
    return Mode(stops=through)


def tracing(keep: bool = False) -> Mode:
    """Note on every node where it is recorded: the module path and the line of the program (used by the drawer).

    Parameters
    ----------
    keep : bool
        Keep on every node its arrays and its running time as well; memory grows by every intermediate result.
    """
    return Mode(traced=True, kept=keep, calls={})


@contextlib.contextmanager
def scope(name: str) -> Iterator[None]:
    """Append ``name`` to the module path while tracing; does nothing otherwise.

    The parts of a path are joined by slashes. The second call under one path is marked ``#2``, the third ``#3``, so
    that two calls of one module stay two.

    Examples
    --------
    >>> with tracing():
    ...     with scope("net"), scope("layer"):
    ...         first = current_state().scope
    ...     with scope("net"):
    ...         second = current_state().scope
    >>> first, second
    ('net/layer', 'net#2')
    """
    state = current_state()
    if state is None or not state.traced:
        yield
        return
    path = f"{state.scope}/{name}" if state.scope else name
    if state.calls is not None:
        state.calls[path] = count = state.calls.get(path, 0) + 1
        if count > 1:
            path = f"{path}#{count}"
    with Mode(scope=path):
        yield


class Constant:
    """The facts of an input that asks for no gradient: enough to draw it, without keeping its array alive."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any, name: str | None = None) -> None:
        self.shape, self.dtype, self.name = shape, dtype, name


def noted(place: int, value: Any, array: Any) -> tuple[Any, ...]:
    """What ``Node.noted`` holds of an input that is a constant."""
    if array.__class__ in PYTHON_NUMBERS:
        return (place, array)
    return (place, array.shape, array.dtype, None if value is array else getattr(value, "name", None))


def constant_inputs(node: Node) -> tuple[tuple[int, Any], ...]:
    """The constants among a node's inputs: their places, and numbers or :class:`Constant`."""
    return tuple(
        (place, facts[0] if len(facts) == 1 else Constant(*facts)) for place, *facts in getattr(node, "noted", ())
    )


def _note(
    node: Node, state: State | None, inputs: Sequence[Any], arrays: Sequence[Any], out: Any, seconds: float
) -> None:
    """What pictures and messages want to know of a node."""
    given = enumerate(zip(inputs, arrays, node.parents, strict=True))
    facts = [noted(i, value, array) for i, (value, array, parent) in given if parent is None and array is not None]
    if facts:
        node.noted = facts
    if state is None:
        return
    if state.anomaly or state.traced:
        node.set_extra("trace", _user_line())
    if state.traced and facts:
        # By what a program's arguments are known again: an operation may keep a copy.
        node.set_extra("given", {place: id(inputs[place]) for place, *_ in facts})
    if state.scope:
        node.set_extra("scope", state.scope)
    if state.mark is not None:
        node.set_extra("mark", state.mark)
    if state.kept:
        node.set_extra("seen", (out, tuple(arrays), seconds))


def _facts(value: Any) -> str:
    if value is None or value.__class__ in PYTHON_NUMBERS:
        return repr(value)
    array = value._data if hasattr(value, "_node") else np.asarray(value)
    return f"{array.dtype}{list(array.shape)}"


def _explain(op: Any, error: Exception, inputs: Sequence[Any]) -> Exception:
    """NumPy's complaint, with the operation and its inputs' shapes and dtypes."""
    if isinstance(error, (AutodiffError, Warning, ArithmeticError)):
        return error
    if isinstance(error, (AttributeError, TypeError)) and not op.variadic:
        optional = {p.name for p in op.parameters if p.default is None}
        for place, value in enumerate(inputs):
            if value is None and op.inputs[place] not in optional:
                what = f"{op.name}: argument {argument(op, place)}"
                return DTypeError(f"{what} is None; does what computed it return its result?")
    message = f"{op.name}({', '.join(_facts(x) for x in inputs)}): {error}"
    # An IndexError is a LookupError, a LinAlgError a ValueError and an AxisError both: the narrower come first.
    for kind, ours in (
        (np.exceptions.AxisError, np.exceptions.AxisError),
        (np.linalg.LinAlgError, np.linalg.LinAlgError),
        (IndexError, IndexError),
        (ValueError, ShapeError),
        (TypeError, DTypeError),
    ):
        if isinstance(error, kind):
            return ours(message)
    error.add_note(f"while running {message}")
    return error


def _check_born(op: Any, arrays: Sequence[Any], out: Any) -> None:
    """Raise if a NaN or an infinity came out of finite input."""
    parts = [np.asarray(part) for part in (out if isinstance(out, tuple) else (out,))]
    bad = [part for part in parts if part.dtype.kind in "fc" and not np.isfinite(part).all()]
    inputs = [np.asarray(a) for a in arrays if a is not None]
    if not bad or not all(np.isfinite(a).all() for a in inputs if a.dtype.kind in "fc"):
        return
    what = "nan" if np.isnan(bad[0]).any() else "inf"
    where = np.argwhere(~np.isfinite(bad[0]))[0].tolist()
    seen = ", ".join(
        f"{_facts(a)} in [{a.min():.6g}, {a.max():.6g}]" if a.size and a.dtype.kind != "c" else _facts(a)
        for a in inputs
    )
    raise AnomalyError(
        f"{op.name} made {what} (first at {where} of its output) out of finite input {seen}, at {_user_line()}"
    )


def _user_line() -> str:
    """The innermost line of the program outside this library."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(OURS):
            return f"{file}:{frame.f_lineno}: {linecache.getline(file, frame.f_lineno).strip()}"
        frame = frame.f_back
    return "unknown line"


def _check_gradients(node: Any, g: Any, sent: Sequence[Any]) -> None:
    """Raise if a NaN or an infinity came out of a finite gradient, on the way back."""

    def bad(value: Any) -> str:
        array = np.asarray(getattr(value, "_data", value))
        counts = ((int(np.isnan(array).sum()), "nan"), (int(np.isinf(array).sum()), "inf"))
        return " and ".join(f"{n} {word}" for n, word in counts if n)

    if any(bad(part) for part in (g if isinstance(g, list) else [g]) if part is not None):
        return
    for position, (parent, part) in enumerate(zip(node.parents, sent, strict=True)):
        if part is not None and not isinstance(part, list) and bad(part):
            where = node.extra("trace")
            raise AnomalyError(
                f"the gradient of {node.op.name} with respect to input {position} (shape {parent.shape}) holds "
                f"{bad(part)} although the gradient that reached it was finite"
                + (f"; the operation was recorded at {where}" if where else "")
            )


core.above.explain, core.above.check, core.above.note = _explain, _check_born, _note
backward.above.check = _check_gradients
