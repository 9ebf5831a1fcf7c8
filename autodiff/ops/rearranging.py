"""NumPy functions that pick, place and repeat elements, written as reading by position.

What such a function does to elements it does to their positions as well; so NumPy's own function is run on the
positions, and the result is read from the flattened tensor. Zero stands for "no element" where a function fills with
zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from autodiff import dispatch
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.functions import named
from autodiff.ops import calculus, elementwise, reductions, shaping
from autodiff.ops.common import bare, no_out
from autodiff.ops.indexing import add_at, getitem_, set_at
from autodiff.ops.products import rows_of
from autodiff.ops.shaping import _parts, _tensor
from autodiff.views import link


def _read(x: Any, positions: Any) -> Any:
    return getitem_.function(shaping.reshape(x, -1), np.asarray(positions))


def _moved(function: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
    """A function that only moves or repeats elements; where NumPy gives a view, the result is linked as one."""
    t = _tensor(x)
    positions = np.arange(t.size).reshape(t.shape)
    moved = function(positions, *args, **kwargs)
    result = _read(t, moved)
    if np.may_share_memory(moved, positions):
        link(result, t, lambda source: _moved(function, source, *args, **kwargs), moved.flags.writeable)
    return result


def _embedded(function: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
    """A function that moves elements and fills the rest with zeros."""
    t = _tensor(x)
    positions = function(np.arange(1, t.size + 1).reshape(t.shape), *args, **kwargs)
    return (
        elementwise.where_.function(positions > 0, _read(t, np.maximum(positions - 1, 0)), t.dtype.type(0))
        if t.size
        else _tensor(np.zeros(positions.shape, t.dtype))
    )


@dispatch.implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Differentiable ``numpy.diagonal``."""
    return _moved(np.diagonal, a, offset, axis1, axis2)


@dispatch.implements(np.linalg.diagonal)
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Differentiable ``numpy.linalg.diagonal``."""
    return _moved(np.diagonal, x, offset, -2, -1)


@dispatch.implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.trace``."""
    return reductions.sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype, out=out)


@dispatch.implements(np.linalg.trace)
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Differentiable ``numpy.linalg.trace``."""
    return trace(x, offset, -2, -1, dtype)


@dispatch.implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """Differentiable ``numpy.diag``: a vector to a matrix, a matrix to its diagonal."""
    return _embedded(np.diag, v, k) if np.ndim(bare(v)) == 1 else _moved(np.diag, v, k)


@dispatch.implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """Differentiable ``numpy.diagflat``."""
    return _embedded(np.diagflat, v, k)


def _triangle(m: Any, keep: Any) -> Any:
    t = _tensor(m)
    return elementwise.where_.function(keep, t, t.dtype.type(0))


def _lower(m: Any, k: int) -> Any:
    return np.tri(*np.shape(bare(m))[-2:], k=k, dtype=bool)  # type: ignore[call-overload]


@dispatch.implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """Differentiable ``numpy.tril``."""
    return _triangle(m, _lower(m, k))


@dispatch.implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """Differentiable ``numpy.triu``."""
    return _triangle(m, ~_lower(m, k - 1))


@dispatch.implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Differentiable ``numpy.rot90``."""
    return _moved(np.rot90, m, k, axes)


@dispatch.implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """Differentiable ``numpy.resize``: repeated as often as needed, or zeros where there is nothing to repeat."""
    if not np.size(bare(a)):
        return _tensor(np.resize(bare(a), new_shape))
    return _moved(np.resize, a, new_shape)


@dispatch.implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    """Differentiable ``numpy.lib.stride_tricks.sliding_window_view``, as a copy."""
    return _moved(np.lib.stride_tricks.sliding_window_view, x, window_shape, axis)


@dispatch.implements(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """Differentiable ``numpy.delete``."""
    return elementwise.ordered(_moved(np.delete, arr, dispatch.bare(obj), axis), arr)


@dispatch.implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """Differentiable ``numpy.extract``."""
    return _read(arr, np.flatnonzero(dispatch.bare(condition)))


@dispatch.implements(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None, out: None = None) -> Any:
    """Differentiable ``numpy.compress``."""
    no_out("compress", out)
    return _moved(lambda p: np.compress(dispatch.bare(condition), p, axis), a)


@dispatch.implements(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """Differentiable ``numpy.append``."""
    if axis is None:
        return shaping.concatenate([shaping.ravel(arr), shaping.ravel(values)])
    return shaping.concatenate([arr, values], axis=axis)


@dispatch.implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Differentiable ``numpy.insert``; ``values`` are cast to the dtype of ``arr``."""
    x = _tensor(arr)
    v = elementwise.astype(_tensor(values), x.dtype)
    # Positions of arr are non-negative, those of the inserted values negative, so one run of NumPy's function places
    # both.
    mine = np.arange(x.size).reshape(x.shape)
    try:
        theirs = np.broadcast_to(-1 - np.arange(v.size).reshape(v.shape), v.shape)
        placed = np.insert(mine, dispatch.bare(obj), theirs, axis)
    except np.exceptions.AxisError:
        raise
    except ValueError as error:
        raise ArgumentError(f"insert: values of shape {v.shape} into an array of shape {x.shape}: {error}") from error
    both = shaping.concatenate([x.reshape(-1), v.reshape(-1)])
    return elementwise.ordered(getitem_.function(both, np.where(placed < 0, x.size - 1 - placed, placed)), x)


@dispatch.implements(np.block)
def block(arrays: Any) -> Any:
    """Differentiable ``numpy.block``: nested lists of blocks."""

    def depth(nested: Any) -> int:
        return 1 + max(depth(item) for item in nested) if isinstance(nested, list) else 0

    def join(nested: Any, level: int, ndim: int) -> Any:
        if not isinstance(nested, list):
            t = _tensor(nested)
            return t.reshape((1,) * (ndim - t.ndim) + t.shape)
        return shaping.concatenate([join(item, level - 1, ndim) for item in nested], axis=-level)

    def ndims(nested: Any) -> int:
        return max(ndims(item) for item in nested) if isinstance(nested, list) else np.ndim(bare(nested))

    levels = depth(arrays)
    return join(arrays, levels, max(ndims(arrays), levels))


@dispatch.implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Differentiable ``numpy.hsplit``."""
    return shaping.split(ary, indices_or_sections, 0 if np.ndim(bare(ary)) == 1 else 1)


@dispatch.implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Differentiable ``numpy.vsplit``."""
    return shaping.split(ary, indices_or_sections, 0)


@dispatch.implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Differentiable ``numpy.dsplit``."""
    return shaping.split(ary, indices_or_sections, 2)


@dispatch.implements(*(f for f in (getattr(np, "unstack", None),) if f is not None))
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """Differentiable ``numpy.unstack``."""
    moved = shaping.moveaxis(x, axis, 0)
    return tuple(moved[i] for i in range(moved.shape[0]))


@dispatch.implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """Differentiable ``numpy.meshgrid``."""
    vectors = [shaping.ravel(x) for x in xi]
    shown = np.meshgrid(*(np.arange(v.size) for v in vectors), sparse=sparse, indexing=indexing)  # type: ignore[call-overload]
    return tuple(getitem_.function(v, positions) for v, positions in zip(vectors, shown, strict=True))


@dispatch.implements(np.choose)
def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """Differentiable ``numpy.choose``."""
    no_out("choose", out)
    parts = _parts("choose", choices)
    index = np.asarray(dispatch.bare(a)).astype(np.intp, casting="safe")
    index = (
        np.mod(index, len(parts)) if mode == "wrap" else np.clip(index, 0, len(parts) - 1) if mode == "clip" else index
    )
    if index.size and (index.min() < 0 or index.max() >= len(parts)):
        raise ArgumentError(f"choose: an index lies outside [0, {len(parts)})")
    index = np.broadcast_to(index, np.broadcast_shapes(index.shape, *(np.shape(bare(part)) for part in parts)))
    result = parts[-1]
    for k, part in enumerate(parts):
        result = elementwise.where_.function(index == k, part, result)
    return elementwise.ordered(result)


@dispatch.implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Differentiable ``numpy.select``: the first condition that holds decides."""
    if len(condlist) != len(choicelist):
        raise ArgumentError(f"select: {len(condlist)} conditions for {len(choicelist)} choices")
    result = default
    for place, condition in enumerate(map(dispatch.bare, condlist)):
        kind = condition.dtype if hasattr(condition, "dtype") else np.asarray(condition).dtype
        if kind.kind != "b":
            raise DTypeError(f"select: condition {place} holds {kind}, not truth values")
    for condition, choice in list(zip(condlist, choicelist, strict=True))[::-1]:
        result = elementwise.where_.function(dispatch.bare(condition), choice, result)
    return elementwise.ordered(result) if hasattr(result, "_node") else result


@dispatch.implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Differentiable ``numpy.piecewise``; every function sees the elements of its own piece only."""
    t, given = _tensor(x), dispatch.bare(condlist)
    single = not np.ndim(given) or (t.ndim and not isinstance(given[0], list | np.ndarray))
    conditions = list(np.asarray([given] if single else given, bool))
    functions = list(funclist)
    if len(functions) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    if len(functions) != len(conditions):
        raise ArgumentError(f"piecewise: {len(conditions)} conditions for {len(functions)} functions")
    result = _tensor(np.zeros_like(t._array))
    for condition, function in zip(conditions, functions, strict=True):
        value = function(t[condition], *args, **kw) if callable(function) else function
        result = set_at(result, condition, value)
    return result


@dispatch.implements(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """Differentiable ``numpy.copy``."""
    return _tensor(a).copy(order)


def _in_order(numpys: Callable[..., Any], usual: str) -> Callable[..., Any]:
    """One of NumPy's functions that take anything for an array; here it is always an array of its own."""

    def function(a: Any, dtype: Any = None, order: str | None = None, *, device: Any = None, copy: Any = None) -> Any:
        t = _tensor(a)
        return (t if dtype is None else t.astype(dtype)).copy(order or usual)

    name = numpys.__name__
    return dispatch.implements(numpys)(named(function, name, f"Differentiable ``numpy.{name}``, a copy."))


asarray = _in_order(np.asarray, "K")
asanyarray = _in_order(np.asanyarray, "K")
ascontiguousarray = _in_order(np.ascontiguousarray, "C")
asfortranarray = _in_order(np.asfortranarray, "F")


@dispatch.implements(*(f for f in (getattr(np, "astype", None),) if f is not None))
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """Differentiable ``numpy.astype``."""
    return elementwise.astype(x, dtype, copy)


@dispatch.implements(np.full_like)
def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **kwargs: Any
) -> Any:
    """Differentiable ``numpy.full_like`` in ``fill_value``."""
    model = bare(a)
    result = shaping.broadcast_to(fill_value, np.shape(model) if shape is None else shape)
    return result.astype(np.result_type(model) if dtype is None else dtype)


@dispatch.implements(np.apply_along_axis)
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """Differentiable ``numpy.apply_along_axis``: the function is called on each slice and the results are stacked."""
    moved = shaping.moveaxis(arr, axis, -1)
    flat = rows_of(moved)
    if not len(flat):
        raise ShapeError(
            f"apply_along_axis: there is no slice along axis {axis} in an array of shape {np.shape(bare(arr))}"
        )
    parts = [_tensor(func1d(flat[i], *args, **kwargs)) for i in range(flat.shape[0])]
    stacked = shaping.stack(parts)
    outer, inner = moved.shape[:-1], parts[0].shape
    result = stacked.reshape(outer + inner)
    place = axis % np.ndim(bare(arr))
    n = len(outer)
    return result.transpose(*range(place), *range(n, n + len(inner)), *range(place, n))


@dispatch.implements(np.apply_over_axes)
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """Differentiable ``numpy.apply_over_axes``."""
    x = _tensor(a)
    for place in normalize_axis_tuple(axes, x.ndim, allow_duplicate=True):
        result = func(x, place)
        x = result if result.ndim == x.ndim else shaping.expand_dims(result, place)
    return x


@dispatch.implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """Differentiable ``numpy.bincount`` in its weights."""
    index = np.asarray(dispatch.bare(x))
    counts = np.bincount(index, minlength=minlength)
    if weights is None:
        return _tensor(counts)
    return add_at(_tensor(np.zeros(len(counts))), index, shaping._floats(weights))


@dispatch.implements(np.histogram)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Differentiable ``numpy.histogram`` in its weights and its edges; counts are constants."""
    values = np.asarray(dispatch.bare(a)).reshape(-1)
    found = histogram_bin_edges(a, bins, range)
    edges = bare(found)
    if weights is None:
        counts = _tensor(np.histogram(values, edges)[0])
    else:
        place = np.searchsorted(edges, values, side="right") - 1
        place = np.where(values == edges[-1], len(edges) - 2, place)
        inside = (place >= 0) & (place < len(edges) - 1)
        w = shaping.ravel(weights)
        counts = add_at(_tensor(np.zeros(len(edges) - 1, w.dtype)), place[inside], w[inside])
    return counts / (reductions.sum(counts) * np.diff(found)) if density else counts, found


@dispatch.implements(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """Differentiable ``numpy.histogram_bin_edges``: between the extremes of the values, or of ``range``."""
    edges = np.histogram_bin_edges(*dispatch.bare((a, bins, range, weights)))
    if np.ndim(dispatch.bare(bins)):
        return _tensor(bins)
    if range is None and not np.size(bare(a)):
        return _tensor(edges)
    first, last = map(_tensor, (reductions.min(a), reductions.max(a)) if range is None else range)
    if first._array == last._array:
        first, last = first - 0.5, last + 0.5
    return calculus.linspace(first, last, len(edges)).astype(edges.dtype)


@dispatch.implements(np.ix_)
def ix_(*args: Any) -> tuple[Any, ...]:
    """Differentiable ``numpy.ix_``."""
    plain = np.ix_(*dispatch.bare(args))
    return tuple(
        _tensor(arg).reshape(p.shape) if p.dtype.kind in "fc" else _tensor(p)
        for arg, p in zip(args, plain, strict=True)
    )
