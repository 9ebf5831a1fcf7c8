"""What applying an operation means: run its forward on bare arrays, and leave a node behind where an input asks for a
gradient.

:func:`record` says it for every operation and every state (composed definitions, anomaly detection, recording for
pictures and for replays). The code that :mod:`autodiff.codegen` writes out for one operation is this, with the
questions left out that its definition answers; whatever is unusual comes here.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import views
from autodiff.engine import pick, wrap
from autodiff.errors import AnomalyError, AutodiffError, DTypeError, ShapeError
from autodiff.graph import GeneralNode, Node
from autodiff.modes import State, current_state

if TYPE_CHECKING:
    from autodiff.primitive import Fused, Primitive

__all__ = [
    "FLOAT_SCALARS",
    "PYTHON_NUMBERS",
    "argument",
    "arrayed",
    "coerce",
    "explain",
    "leave",
    "note_constants",
    "note_view",
    "noted",
    "record",
]

#: Python's own numbers are weak: they take the dtype of the array that they meet (NEP 50).
PYTHON_NUMBERS = frozenset({bool, int, float, complex})
FLOAT_SCALARS = frozenset(
    {np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128, np.clongdouble}
)

_PACKAGE = str(Path(__file__).parent)


# --- reading inputs -----------------------------------------------------------------------------------------------


def coerce(op: Any, position: int, value: Any) -> Any:
    """An input that is no Tensor, as a bare array or a Python number."""
    kind = value.__class__
    if kind is np.ndarray or kind in PYTHON_NUMBERS or value is None:
        return value
    if isinstance(value, (list, tuple)) and any(hasattr(item, "_node") for item in _flat(value)):
        raise DTypeError(
            f"{op.name}: argument {argument(op, position)} is a {kind.__name__} that holds Tensors; "
            "join them first with autodiff.array([...]) or autodiff.stack([...])"
        )
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise DTypeError(
            f"{op.name}: argument {argument(op, position)} is a {kind.__name__} that makes an array of dtype "
            f"{array.dtype}; pass numbers"
        )
    return array


def _flat(value: Any) -> Any:
    for item in value:
        if isinstance(item, (list, tuple)):
            yield from _flat(item)
        else:
            yield item


def argument(op: Any, position: int) -> str:
    """An input's name, or its number, for messages."""
    names = op.inputs
    return repr(names[position]) if position < len(names) else str(position)


def _facts(value: Any) -> str:
    if value is None or value.__class__ in PYTHON_NUMBERS:
        return repr(value)
    array = value._data if hasattr(value, "_node") else np.asarray(value)
    return f"{array.dtype}{list(array.shape)}"


def explain(op: Any, error: Exception, inputs: Sequence[Any]) -> Exception:
    """NumPy's complaint, with the operation and its inputs' shapes and dtypes."""
    if isinstance(error, (AutodiffError, Warning, ArithmeticError)):
        return error
    message = f"{op.name}({', '.join(_facts(x) for x in inputs)}): {error}"
    if isinstance(error, np.linalg.LinAlgError):
        return np.linalg.LinAlgError(message)
    if isinstance(error, IndexError):
        return IndexError(message)
    if isinstance(error, ValueError):
        return ShapeError(message)
    if isinstance(error, TypeError):
        return DTypeError(message)
    error.add_note(f"while running {message}")
    return error


# --- applying an operation ------------------------------------------------------------------------------------------


def record(
    op: Primitive | Fused, inputs: Sequence[Any], attrs: dict[str, Any], residuals: list[Any] | None = None
) -> Any:
    """Apply ``op``: run its forward on bare arrays and, where an input asks for a gradient, leave a node behind.

    Parameters
    ----------
    op : Primitive or Fused
    inputs : sequence of Tensor, array_like or None
        The array inputs.
    attrs : dict
        The other arguments.
    residuals : list, optional
        Receives what a fused forward left for its backward.

    Returns
    -------
    Tensor or tuple of Tensor

    Raises
    ------
    ShapeError, DTypeError, IndexError
        NumPy's complaint, with the operation, shapes and dtypes named.
    NotDifferentiableError
        If an input that has no gradient rule asks for a gradient.
    """
    arrays: list[Any] = []
    parents: list[Any] = []
    tracked = False
    fused = op.fused
    state = current_state()
    recorder = None if state is None else state.recorder
    for value in inputs:
        try:
            array = value._data if recorder is None else recorder.entered(value)
            parent = value._node
        except AttributeError:
            array = coerce(op, len(arrays), value)
            parent = None
            if recorder is not None:
                array = recorder.taken(array)
        if fused and array.__class__ is not np.ndarray and isinstance(array, np.generic):
            # The scalar of a 0-d tensor becomes an array: a hand-written forward may work in place.
            array = np.asarray(array)
        arrays.append(array)
        parents.append(parent)
        if parent is not None:
            tracked = True
    if state is not None:
        if state.composed and op.fused:
            return _run_composed(op, inputs, arrays, attrs)
        tracked = tracked and state.grad
    started = 0.0 if state is None else perf_counter()
    try:
        out, kept = op.run(arrays, attrs)
    except Exception as error:
        raise explain(op, error, inputs) from error
    seconds = 0.0 if state is None else perf_counter() - started
    if residuals is not None:
        residuals.append(kept)
    if state is not None and state.anomaly:
        _check_born(op, arrays, out)
    return leave(op, inputs, attrs, arrays, parents, tracked, out, kept, state, seconds)


def leave(
    op: Primitive | Fused,
    inputs: Sequence[Any],
    attrs: dict[str, Any],
    arrays: Sequence[Any],
    parents: Sequence[Any],
    tracked: bool,
    out: Any,
    kept: Any,
    state: State | None = None,
    seconds: float = 0.0,
) -> Any:
    """What an operation made, as Tensors; with the node that it leaves behind if ``tracked``."""
    if out.__class__ is tuple:
        if not tracked:
            return tuple(wrap(o, None) for o in out)
        node = _node(op, inputs, attrs, arrays, parents, out, kept, state, seconds)
        node.shape = tuple(o.shape for o in out)
        node.dtype = tuple(o.dtype for o in out)
        return tuple(wrap(o, pick(node, i) if o.dtype.kind in "fc" else None) for i, o in enumerate(out))
    # Integers and booleans carry no gradient; an operation that makes them is a constant.
    if tracked and out.dtype.kind in "fc":
        node = _node(op, inputs, attrs, arrays, parents, out, kept, state, seconds)
        node.shape = out.shape
        node.dtype = out.dtype
        result = wrap(out, node)
    else:
        result = wrap(out, None)
    if out.__class__ is np.ndarray and (out.base is not None or out is arrays[0]):
        note_view(op, inputs, attrs, arrays, result)
    return result


def _node(
    op: Primitive | Fused,
    inputs: Sequence[Any],
    attrs: dict[str, Any],
    arrays: Sequence[Any],
    parents: Sequence[Any],
    out: Any,
    kept: Any,
    state: State | None,
    seconds: float,
) -> GeneralNode:
    node = GeneralNode()
    node.op = op
    node.pull = op.pull
    node.g = False
    node.parents = tuple(parents)
    node.attrs = attrs
    node.saved = op.keep(arrays, parents, out, kept)
    if None in parents:
        note_constants(node, inputs, arrays)
    if state is not None:
        _note(node, state)
        if state.kept:
            node.set_extra("seen", (out, tuple(arrays), seconds))
    return node


def note_view(
    op: Primitive | Fused, inputs: Sequence[Any], attrs: dict[str, Any], arrays: Sequence[Any], result: Any
) -> None:
    """Link a result that shares an input tensor's memory to that tensor, so that writing into either reaches the
    other.
    """
    out = result._data
    for place, array in enumerate(arrays):
        if views.shares(out, array) and hasattr(inputs[place], "_node"):
            again = partial(_again, op, tuple(inputs[:place]), tuple(inputs[place + 1 :]), attrs)
            views.link(result, inputs[place], again, out.flags.writeable)
            return


def _again(
    op: Primitive | Fused, before: tuple[Any, ...], after: tuple[Any, ...], attrs: dict[str, Any], source: Any
) -> Any:
    return record(op, (*before, source, *after), attrs)


def note_constants(node: GeneralNode, inputs: Sequence[Any], arrays: Sequence[Any]) -> None:
    """The facts of inputs that ask for no gradient, for pictures: noted bare, since every step of a training notes them
    and few are drawn.
    """
    given = zip(inputs, arrays, node.parents, strict=True)
    node.noted = [
        noted(i, value, array) for i, (value, array, parent) in enumerate(given) if parent is None and array is not None
    ]


def noted(i: int, value: Any, array: Any) -> tuple[Any, ...]:
    """What ``GeneralNode.noted`` holds of a constant input."""
    if array.__class__ in PYTHON_NUMBERS:
        return (i, array)
    return (i, array.shape, array.dtype, None if value is array else getattr(value, "name", None))


def _note(node: Node, state: State) -> None:
    """What an unusual state wants to be known of a node."""
    if state.anomaly or state.traced:
        node.set_extra("trace", _user_line())
    if state.scope:
        node.set_extra("scope", state.scope)
    if state.mark is not None:
        node.set_extra("mark", state.mark)


def _run_composed(op: Any, inputs: Sequence[Any], arrays: Sequence[Any], attrs: dict[str, Any]) -> Any:
    tensors = [
        value if hasattr(value, "_node") or array is None else wrap(np.asarray(array), None)
        for value, array in zip(inputs, arrays, strict=True)
    ]
    try:
        return op.composed(*tensors, **attrs)
    except Exception as error:
        raise explain(op, error, inputs) from error


def _check_born(op: Any, arrays: Sequence[Any], out: Any) -> None:
    """Raise if a NaN or an infinity came out of finite input."""
    parts = [np.asarray(part) for part in (out if isinstance(out, tuple) else (out,))]
    bad = [part for part in parts if part.dtype.kind in "fc" and not np.isfinite(part).all()]
    if not bad:
        return
    inputs = [np.asarray(a) for a in arrays if a is not None]
    if not all(np.isfinite(a).all() for a in inputs if a.dtype.kind in "fc"):
        return
    what = "nan" if np.isnan(bad[0]).any() else "inf"
    where = np.argwhere(~np.isfinite(bad[0]))[0].tolist()
    seen = ", ".join(
        (
            f"{a.dtype}{list(a.shape)} in [{a.min():.6g}, {a.max():.6g}]"
            if a.size and a.dtype.kind != "c"
            else f"{a.dtype}{list(a.shape)}"
        )
        for a in inputs
    )
    raise AnomalyError(
        f"{op.name} made {what} (first at {where} of its output) out of finite input {seen}, at {_user_line()}"
    )


def _user_line() -> str:
    """The innermost line of the program outside this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_PACKAGE, "<autodiff")):
            return f"{file}:{frame.f_lineno}: {linecache.getline(file, frame.f_lineno).strip()}"
        frame = frame.f_back
    return "unknown line"


def _one_arrayed(out: Any) -> Any:
    return out if hasattr(out, "dtype") else np.asarray(out)


def arrayed(out: Any) -> Any:
    """A forward's result as an array or NumPy scalar, or a tuple of them."""
    return tuple(_one_arrayed(o) for o in out) if isinstance(out, tuple) else _one_arrayed(out)
