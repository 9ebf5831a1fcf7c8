"""NumPy's functions that write into an array, on Tensors: np.copyto, np.put, np.add.at, out=, t.sort(), t.flat[i] = v.

Where each value goes is not stated here a second time: NumPy's own function writes the values' numbers into an array of
positions, and the same assignment is then recorded. A plain array is never given what requires a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.batching import Lanes
from autodiff.core.errors import DTypeError, NotDifferentiableError, ShapeError
from autodiff.ops import shaping
from autodiff.ops.assignment import assign
from autodiff.ops.common import bare
from autodiff.ops.elementwise import astype
from autodiff.ops.indexing import add_at, clean
from autodiff.ops.shaping import _tensor


def write(name: str, target: Any, values: Any, writer: Callable[[Any, Any], Any]) -> None:
    """Do to ``target`` what ``writer(array, values)`` does to an array.

    Parameters
    ----------
    name : str
        For messages.
    target : Tensor or numpy.ndarray
    values : array_like or Tensor
    writer : callable
        NumPy's function with all other arguments bound.

    Raises
    ------
    NotDifferentiableError
        If the target is a plain array and the values require a gradient.
    """
    if dispatch.holds_tensor(values):
        values = shaping.array(values)
    plain = bare(values)
    if not hasattr(target, "_node"):
        if getattr(values, "_node", None) is not None:
            raise NotDifferentiableError(
                f"{name} would write a tensor that requires a gradient into a plain array, where its graph ends; make"
                " the array a Tensor first (autodiff.tensor(array)), or use .data where no gradient is wanted"
            )
        writer(target, plain)
        return
    shape = np.shape(plain)
    # NumPy's complaints, before anything changes; what differs between examples is none of its business.
    tried = [np.ones(v.shape, v.dtype) if v.__class__ is Lanes else v for v in (target._array, plain)]
    writer(tried[0].copy(), tried[1])
    sources = np.full(target.shape, -1)
    writer(sources, np.arange(prod(shape)).reshape(shape))
    written = sources >= 0
    assign(target, written, values if shape == () else shaping.ravel(values)[sources[written]])


@dispatch.implements(np.copyto)
def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """``numpy.copyto``, recorded if ``dst`` is a Tensor."""
    mask = dispatch.bare(where)
    src = shaping.array(src) if dispatch.holds_tensor(src) else src
    given = bare(src)
    if hasattr(dst, "_node") and isinstance(given, np.ndarray | np.generic | list | tuple | int | float | complex):
        np.copyto(np.empty(dst.shape, dst.dtype), given, casting=casting, where=mask)  # the numbers below have no dtype
    write("np.copyto", dst, src, lambda array, values: np.copyto(array, values, casting="unsafe", where=mask))


@dispatch.implements(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """``numpy.fill_diagonal``, recorded if ``a`` is a Tensor."""
    write("np.fill_diagonal", a, val, lambda array, values: np.fill_diagonal(array, values, wrap))


@dispatch.implements(np.put)
def put(a: Any, ind: Any, v: Any, mode: Any = "raise") -> None:
    """``numpy.put``, recorded if ``a`` is a Tensor."""
    places = dispatch.bare(ind)
    write("np.put", a, v, lambda array, values: np.put(array, places, values, mode))


@dispatch.implements(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """``numpy.place``, recorded if ``arr`` is a Tensor."""
    where = dispatch.bare(mask)
    write("np.place", arr, vals, lambda array, values: np.place(array, where, values))


@dispatch.implements(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """``numpy.putmask``, recorded if ``a`` is a Tensor."""
    where = dispatch.bare(mask)
    write("np.putmask", a, values, lambda array, plain: np.putmask(array, where, plain))


@dispatch.implements(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """``numpy.put_along_axis``, recorded if ``arr`` is a Tensor."""
    places = dispatch.bare(indices)
    write("np.put_along_axis", arr, values, lambda array, plain: np.put_along_axis(array, places, plain, axis))


def at(ufunc: Any, a: Any, indices: Any, *others: Any) -> None:
    """``ufunc.at(a, indices, b)``: unbuffered, so that an element that is named twice is changed twice.

    Raises
    ------
    NotDifferentiableError
        If ``a`` is a plain array and ``b`` requires a gradient.
    """
    place, name = clean(indices), f"np.{ufunc.__name__}.at"
    values = [shaping.array(b) if dispatch.holds_tensor(b) else b for b in others]
    if not hasattr(a, "_node"):
        if any(getattr(b, "_node", None) is not None for b in values):
            write(name, a, values[0], lambda array, plain: None)  # refuses
        ufunc.at(a, place, *map(bare, values))
        return
    changed = a._array.copy()
    ufunc.at(changed, place, *map(bare, values))
    if changed.dtype.kind not in "fc":
        assign(a, Ellipsis, changed)
        return
    if ufunc in (np.add, np.subtract):
        assign(a, Ellipsis, astype(add_at(a, place, values[0] if ufunc is np.add else np.negative(values[0])), a.dtype))
        return
    positions = np.arange(a.size).reshape(a.shape)[place]
    order = np.argsort(positions, axis=None, kind="stable")
    # The how-manieth naming of its element each place is; namings of one element follow each other in time.
    ranked = positions.ravel()[order]
    turn = np.empty(order.size, np.intp)
    turn[order] = np.arange(order.size) - np.searchsorted(ranked, ranked)
    spread = [shaping.ravel(shaping.broadcast_to(b, positions.shape)) for b in values]
    for k in range(int(turn.max(initial=-1)) + 1):
        now = np.flatnonzero(turn == k)
        where = np.unravel_index(positions.ravel()[now], a.shape)
        assign(a, where, ufunc(a[where], *(b[now] for b in spread)))


def into(name: str, out: Any, result: Any) -> Any:
    """Write an operation's result into ``out=``, and return ``out``.

    Raises
    ------
    NotDifferentiableError
        If ``out`` is a plain array and the result requires a gradient.
    ShapeError, DTypeError
        If the result does not fit.
    """
    tracked = getattr(result, "_node", None) is not None
    if not hasattr(out, "_node") and (tracked or not isinstance(out, np.ndarray)):
        raise NotDifferentiableError(
            f"{name}(..., out=) would write into a {type(out).__name__}, where the result's graph ends; use the result"
            f" of {name}(...) instead, or out= a Tensor"
        )
    made = _tensor(result)
    if made.shape != out.shape:
        raise ShapeError(f"{name}(..., out=): a result of shape {made.shape} does not fit into shape {out.shape}")
    dtype = made.dtype
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise DTypeError(f"{name}(..., out=): {dtype} does not fit into {out.dtype}; cast the result with .astype")
    if hasattr(out, "_node"):
        assign(out, Ellipsis, result)
    else:
        out[...] = bare(result)
    return out


class Flat:
    """``t.flat``: the elements in C order, to read, to write and to iterate over."""

    __slots__ = ("_rest", "_tensor")

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor
        self._rest: Iterator[Any] | None = None

    def __len__(self) -> int:
        return int(self._tensor.size)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._tensor.reshape(-1))

    def __next__(self) -> Any:
        if self._rest is None:
            self._rest = iter(self)
        return next(self._rest)

    def __getitem__(self, index: Any) -> Any:
        return self._tensor.reshape(-1)[index].copy()

    def __setitem__(self, index: Any, value: Any) -> None:
        place = clean(index)

        def writer(array: Any, values: Any) -> None:
            array.flat[place] = values

        write("t.flat[...] = v", self._tensor, value, writer)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._tensor.reshape(-1).__array__(dtype, copy)
