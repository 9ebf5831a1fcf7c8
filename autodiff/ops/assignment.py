"""``t[index] = v`` and ``t += v``: NumPy's meaning, views included, as recorded operations.

Writing gives the tensor a new array and a new place in the graph; what was recorded before keeps the old array, so no
gradient is corrupted. A write into a view is a write into the tensor that it was taken from, at the positions that the
view shows. After either, every living view of that tensor is taken again. So all of them hold what NumPy's would, and
gradients follow from the recorded operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.core.errors import DTypeError, GraphError, NotDifferentiableError, ReadOnlyError, ShapeError
from autodiff.core.graph import Variable
from autodiff.core.modes import is_grad_enabled
from autodiff.ops.elementwise import astype
from autodiff.ops.indexing import clean, keeps_gradient, set_at_
from autodiff.ops.shaping import _tensor, array
from autodiff.views import View, live_views, view_of
from autodiff.writes import write_through, written


def assign(tensor: Any, index: Any, value: Any) -> None:
    """``tensor[index] = value``, differentiable in both.

    Parameters
    ----------
    tensor : Tensor
    index : anything that NumPy indexes with
    value : array_like or Tensor, broadcastable to ``tensor[index]``

    Raises
    ------
    GraphError
        If the tensor is, or is a view of, a leaf that requires a gradient; or if gradients are off and the tensor's
        graph would be cut.
    NotDifferentiableError
        If NumPy would call the view read-only, or it is the real or imaginary part of a complex tensor; or the value
        requires a gradient, and the tensor holds whole numbers or truth values.
    """
    if dispatch.holds_tensor(value):
        value = array(value)
    keeps_gradient(tensor, value)
    place = clean(index)
    held = view_of(tensor)
    root = _writeable_root(tensor, held, "assignment")
    if held is not None:
        chosen = np.asarray(_positions(held)[place])
        # NumPy unravels nothing into no axes: of the one element, all or none is meant.
        place = np.unravel_index(chosen, root.shape) if root.ndim else np.array(chosen.size > 0) if chosen.ndim else ()
    elif _is_current_view(tensor, place, value):
        return  # t[1:3] += v has written through the view already; Python now assigns it to where it stands
    _rebind(root, set_at_.function(root, value, place))


def assign_row(tensor: Any, row: int, value: Any) -> None:
    """``tensor[row] = value``.

    ``t[i], t[j] = t[j], t[i]`` takes rows for copies, and so does ``np.random.shuffle``. They are views, so an array
    holds one row twice afterwards, in NumPy too. That is never meant: a row that was written over since it was taken is
    not written over another.
    """
    held, own = view_of(value), view_of(tensor)
    root = tensor if own is None else own.root
    if held is not None and held.overwritten and held.root is root and value.shape == tensor.shape[1:]:
        raise NotDifferentiableError(
            "a row that has been written over since it was taken is written over another row, which would repeat one:"
            " for t[i], t[j] = t[j], t[i] write t[[i, j]] = t[[j, i]], and for np.random.shuffle(t)"
            " autodiff.random.shuffle(t, rng=rng); or take a copy of the row first (t[i].copy())"
        )
    assign(tensor, row, value)
    steps = () if own is None else own.steps
    for view in live_views(root):
        if view is not value and view._view.steps[:-1] == steps:
            taken = _row_taken(view._view.steps[-1])
            view._view.overwritten |= taken.__class__ is int and (taken - row) % len(tensor) == 0


def _row_taken(step: Any) -> Any:
    """Which row a step of a view takes; None if it takes something else."""
    args: Any = getattr(step, "args", None)
    return args[3].get("index") if args and args[0].name == "getitem" else None


def _is_current_view(tensor: Any, place: Any, value: Any) -> bool:
    held = view_of(value)
    if held is None or held.root is not tensor or len(held.steps) != 1:
        return False
    return np.array_equal(_positions(held), np.arange(tensor.size).reshape(tensor.shape)[place])


def _positions(view: View) -> Any:
    """For every element of a view its position in the flattened root."""
    return view.take(_tensor(np.arange(view.root.size).reshape(view.root.shape)))._array


def _writeable_root(tensor: Any, held: View | None, what: str) -> Any:
    """The tensor that a write changes, if it may be written to."""
    if held is not None and not held.writeable:
        raise ReadOnlyError(
            f"{what} into a read-only view (np.broadcast_to, np.diagonal, the real or imaginary part): write into the"
            " tensor that it was taken from, or take a .copy() first"
        )
    root = tensor if held is None else held.root
    if root._node is None:
        return root
    if isinstance(root._node, Variable):
        if is_grad_enabled():
            raise GraphError(
                f"{what} into a leaf that requires a gradient{'' if held is None else ', through a view of it'}; use t"
                " = t.at[index].set(value) or t = t + v, or write under no_grad() or into .data to change its values"
            )
    elif not is_grad_enabled():
        raise GraphError(
            f"{what} under no_grad() into a computed tensor would cut its graph; write outside no_grad(), or into"
            " t.detach().copy()"
        )
    return root


def _rebind(root: Any, result: Any) -> None:
    """Give a root a new value, and its views with it."""
    leaf = isinstance(root._node, Variable)
    name = root.name
    data = root._data if write_through(root, result._data) else result._data
    if leaf:
        written(None, root._node)
        root._data = data
    else:
        root._data, root._node = data, result._node
    for view in live_views(root):
        view._retake(leaf)
    if name is not None:
        root.name = name


def in_place(symbol: str, operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The method behind an augmented assignment such as ``t += v``.

    Parameters
    ----------
    symbol : str
        For messages.
    operation : callable
        ``operation(t, v)``, the result to be written into ``t``.

    Notes
    -----
    As in NumPy the tensor itself changes, with all that share its memory, and keeps its shape and dtype. A 0-d tensor
    that is nobody's view stands for a NumPy scalar, which cannot change: there the result is a new tensor.
    """

    def method(self: Any, other: Any) -> Any:
        result = operation(self, other)
        held = view_of(self)
        if result is NotImplemented or (
            held is None and self.ndim == 0 and (not isinstance(self._node, Variable) or is_grad_enabled())
        ):
            return result
        root = _writeable_root(self, held, symbol)
        if result.shape != self.shape:
            raise ShapeError(
                f"{symbol}: a result of shape {result.shape} does not fit into a tensor of shape {self.shape}; write t"
                " = t + v"
            )
        if result.dtype != self.dtype:
            if not np.can_cast(result.dtype, self.dtype, "same_kind"):
                raise DTypeError(
                    f"{symbol}: {result.dtype} does not fit into a tensor of dtype {self.dtype}; write t = t + v, or"
                    " use .astype first"
                )
            result = astype(result, self.dtype)
        old, new = self._data, result._data
        if old.__class__ is np.ndarray is new.__class__ and old.ndim > 1 and old.strides != new.strides:
            # NumPy writes into the array that is there, and so keeps its order in memory.
            result._data = np.empty_like(old)
            result._data[...] = new
        if held is not None and not root.ndim:
            result = set_at_.function(root, result.reshape(()), ())
        elif held is not None:
            result = set_at_.function(root, result, np.unravel_index(_positions(held), root.shape))
        _rebind(root, result)
        return self

    return method
