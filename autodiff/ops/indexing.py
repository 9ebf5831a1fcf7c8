"""Reading and writing by index: slices, integer arrays, masks; repeated indices accumulate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff import batching, dispatch
from autodiff.batching import Lanes, is_batched
from autodiff.containers import as_array
from autodiff.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.core.modes import is_grad_enabled
from autodiff.core.op import Primitive, above
from autodiff.ops.common import bare, no_out

P = Primitive


def _is_basic(index: Any) -> bool:
    """Whether an index selects every element at most once by construction: integers, slices, None, Ellipsis."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice)) for part in parts)


def _is_unique(index: Any) -> bool:
    """Whether no element is selected twice: basic indices and masks."""
    return _is_basic(index) or (isinstance(index, np.ndarray) and index.dtype == bool)


def clean(index: Any) -> Any:
    """An index without Tensors: their arrays, which must be integer or boolean."""
    if isinstance(index, tuple):
        return tuple(clean(part) for part in index)
    if hasattr(index, "_node"):
        index = index._array
    elif isinstance(index, list):
        index = np.asarray([clean(part) for part in index], dtype=None if index else np.intp)
    elif isinstance(index, slice):
        return slice(
            *(part.__index__() if hasattr(part, "_node") else part for part in (index.start, index.stop, index.step))
        )
    if isinstance(index, np.ndarray) and index.dtype.kind not in "biu":
        raise IndexError(f"an index must be integer or boolean, got an array of dtype {index.dtype}")
    return index


def _scatter(v: Any, index: Any, shape: Any) -> Any:
    """Zeros of ``shape`` with ``v`` added at ``index``: the transpose of reading at ``index``."""
    unique = _is_unique(index)
    if is_batched(v):
        return batching.scatter(v, index, shape, unique)
    if hasattr(v, "scattered"):  # sets in the place of a cotangent (coloring.py)
        return v.scattered(index, shape)
    result = np.zeros(shape, np.asarray(v).dtype)
    if unique:
        result[index] = v
    else:
        np.add.at(result, index, v)
    return result


def _sample_getitem(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=1)
    index = draw.choice(
        (
            draw.integer(0, shape[0] - 1),
            slice(None, None, 2),
            draw.integers((3,), 0, shape[0] - 1),
            (Ellipsis, slice(None, None, -1)),
        )
    )
    return (draw.array(shape), index), {}


def _sample_scatter(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n = draw.integer(1, 4)
    return (draw.array((3,)), draw.integers((3,), 0, n - 1), (n,)), {}


getitem_: Primitive = P(
    "getitem",
    lambda x, index: x[index],
    lambda g, out, x, index: (scatter_.function if hasattr(g, "_node") else _scatter)(g, index, x.shape),
    sample=_sample_getitem,
    label="[ ]",
    linear="jointly",
)
scatter_: Primitive = P(
    "scatter", _scatter, lambda g, out, v, index, shape: g[index], sample=_sample_scatter, linear="jointly"
)


def _differs_by_lane(index: Any) -> bool:
    """Whether each example of ``vmap`` has an index of its own."""
    if isinstance(index, tuple):
        return any([_differs_by_lane(part) for part in index])
    return getattr(index, "_data", index).__class__ is Lanes


def getitem(x: Any, index: Any) -> Any:
    """``x[index]``: basic slices, integer arrays, masks; the gradient of an element read twice is the sum."""
    if _differs_by_lane(index):
        return above.each_lane(getitem, [x, index])
    return getitem_.function(x, clean(index))


def _last_writer(shape: Any, index: Any) -> Any:
    """Which of the values written at ``index`` survive: with repeated indices the last one written wins."""
    marks = np.full(shape, -1)
    target = marks[index]
    order = np.arange(target.size).reshape(target.shape)
    marks[index] = order
    return marks[index] == order


def _set_at(x: Any, v: Any, index: Any) -> Any:
    if is_batched(x) or is_batched(v):
        return batching.written(x, v, index)
    result = np.array(x, dtype=np.result_type(x))
    result[index] = v
    return result


def _set_rule_x(g: Any, out: Any, x: Any, v: Any, index: Any) -> Any:
    untouched = np.ones(x.shape, bool)
    untouched[index] = False
    return np.where(untouched, g, 0)


def _set_rule_v(g: Any, out: Any, x: Any, v: Any, index: Any) -> Any:
    taken = g[index]
    taken = taken if _is_unique(index) else np.where(_last_writer(x.shape, index), taken, 0)
    # NumPy drops leading ones of what is written.
    lead = v.ndim - taken.ndim
    return np.reshape(taken, (1,) * lead + taken.shape) if lead > 0 else taken


def _sample_set(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    (x, index), kwargs = _sample_getitem(draw)
    return (x, draw.array(x[index].shape), index), kwargs


set_at_ = P("set_at", _set_at, _set_rule_x, _set_rule_v, sample=_sample_set, label="[ ]=", linear="jointly")


def set_at(x: Any, index: Any, v: Any) -> Any:
    """A copy of ``x`` with ``v`` written at ``index``; differentiable in both."""
    keeps_gradient(x, v)
    return set_at_.function(x, v, clean(index))


def keeps_gradient(x: Any, v: Any) -> None:
    """Refuse to write what requires a gradient among whole numbers or truth values, where it would be lost."""
    kind = np.result_type(bare(x))
    if getattr(v, "_node", None) is not None and kind.kind not in "fc" and is_grad_enabled():
        raise NotDifferentiableError(
            f"an assignment into {kind} would cut the graph of a value that requires a gradient; write v.detach(), or"
            " into a tensor of floating-point numbers"
        )


def add_at(x: Any, index: Any, v: Any) -> Any:
    """A copy of ``x`` with ``v`` added at ``index``; what repeated indices add accumulates."""
    from autodiff.ops.shaping import broadcast_to

    place = clean(index)
    shape = np.shape(bare(x))
    wanted = np.broadcast_to(0, shape)[place].shape
    added = broadcast_to(v, wanted)
    kept = np.result_type(bare(x))
    if added.dtype != kept and added.dtype.kind == kept.kind == "f":
        added = added.astype(kept)  # x keeps its dtype, as in JAX
    return x + scatter_.function(added, place, shape)


@dispatch.implements(np.take)
def take(a: Any, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise") -> Any:
    """Differentiable ``numpy.take``.

    Parameters
    ----------
    a : array_like or Tensor
    indices : array_like of int
    axis : int or None
        None takes from the flattened array.
    mode : {"raise", "wrap", "clip"}

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([1.0, 2.0], requires_grad=True)
    >>> autodiff.take(x, [0, 0, 1]).sum().backward()
    >>> x.grad
    array([2., 1.])
    """
    from autodiff.ops.elementwise import ordered
    from autodiff.ops.shaping import _tensor, ravel

    no_out("take", out)
    x = ravel(a) if axis is None or not np.ndim(dispatch.bare(a)) else _tensor(a)  # a number is taken for a row
    place = 0 if axis is None else normalize_axis_index(axis, x.ndim)
    where = as_array(dispatch.bare(indices))
    if where.dtype.kind not in "iu" and where.size:
        raise ArgumentError(f"take: indices must be integers, got dtype {where.dtype}")
    where = where.astype(np.intp)
    n = x.shape[place]
    if mode == "wrap":
        where = where % n
    elif mode == "clip":
        where = np.clip(where, 0, n - 1)
    elif mode != "raise":
        raise ArgumentError(f"take: mode must be 'raise', 'wrap' or 'clip', got {mode!r}")
    return ordered(getitem_.function(x, (slice(None),) * place + (where,)))


@dispatch.implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Differentiable ``numpy.take_along_axis``: pairs with ``np.argsort`` and ``np.argmax(..., keepdims=True)``."""
    from autodiff.ops.shaping import _tensor, ravel

    if _differs_by_lane(indices):
        if axis is None:
            return take_along_axis(ravel(arr), indices, 0)
        x, ndim = _tensor(arr), bare(indices).ndim
        if ndim != x.ndim:
            raise ShapeError(f"take_along_axis: indices of {ndim} axes for an array of {x.ndim}; they must agree")
        place = normalize_axis_index(axis, ndim) - ndim
        return above.each_lane(lambda x, where: _along_axis(x, where, place), [x, indices], pointwise=True)
    where = as_array(dispatch.bare(indices))
    if axis is None and where.ndim == 1:
        return getitem_.function(ravel(arr), where)
    if axis is None:
        raise ShapeError(f"take_along_axis: without an axis the indices are a vector, got shape {where.shape}")
    x = _tensor(arr)
    if where.ndim != x.ndim:
        raise ShapeError(f"take_along_axis: indices of {where.ndim} axes for an array of {x.ndim}; they must agree")
    return _along_axis(x, where, normalize_axis_index(axis, x.ndim) - x.ndim)


def _along_axis(x: Any, where: Any, axis: int) -> Any:
    """Of one example, or of all lanes: then ``where`` has them along its first axis, and ``x`` may have them."""
    from autodiff.ops.shaping import _tensor, expand_dims

    x, where = _tensor(x), dispatch.bare(where)
    x = expand_dims(x, 0) if x.ndim < where.ndim else x
    index = tuple(
        where if i == x.ndim + axis else np.arange(n).reshape((1,) * i + (-1,) + (1,) * (x.ndim - i - 1))
        for i, n in enumerate(x.shape)
    )
    return getitem_.function(x, index)


class At:
    """``t.at[index]``: functional assignment, as in JAX. Each method gives a new Tensor and leaves ``t`` as it is."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def __getitem__(self, index: Any) -> AtIndex:
        return AtIndex(self._tensor, clean(index))


class AtIndex:
    """One place in a Tensor, about to be updated."""

    __slots__ = ("_index", "_tensor")

    def __init__(self, tensor: Any, index: Any) -> None:
        self._tensor = tensor
        self._index = index

    def get(self) -> Any:
        """``t[index]``."""
        return getitem_.function(self._tensor, self._index)

    def set(self, value: Any) -> Any:
        """A copy with ``value`` there; of repeated indices the last wins."""
        return set_at(self._tensor, self._index, value)

    def add(self, value: Any) -> Any:
        """A copy with ``value`` added there; repeated indices accumulate."""
        return add_at(self._tensor, self._index, value)

    def multiply(self, value: Any) -> Any:
        """A copy with the elements there multiplied by ``value``."""
        return self._changed("multiply", lambda old: old * value)

    def divide(self, value: Any) -> Any:
        """A copy with the elements there divided by ``value``."""
        return self._changed("divide", lambda old: old / value)

    def power(self, value: Any) -> Any:
        """A copy with the elements there raised to ``value``."""
        return self._changed("power", lambda old: old**value)

    def min(self, value: Any) -> Any:
        """A copy with the smaller of each element there and ``value``."""
        return self._changed("min", lambda old: np.minimum(old, value))

    def max(self, value: Any) -> Any:
        """A copy with the larger of each element there and ``value``."""
        return self._changed("max", lambda old: np.maximum(old, value))

    def apply(self, function: Any) -> Any:
        """A copy with ``function`` applied to the elements there."""
        return self._changed("apply", function)

    def _changed(self, name: str, change: Any) -> Any:
        index = self._index
        if not _is_unique(index):
            positions = np.arange(self._tensor.size).reshape(self._tensor.shape)[index]
            if np.unique(positions).size != positions.size:
                raise ArgumentError(
                    f"at[...].{name}: an element is named twice; only set and add define what that means"
                )
        return set_at(self._tensor, index, change(getitem_.function(self._tensor, index)))
