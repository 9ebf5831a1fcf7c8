"""Strength reduction: calls of a plan replaced by cheaper ones that give the same bits. What an ordinary call does
before and after its work, a plan need not repeat.

On the arrays of a small network such work takes longer than the arithmetic. Every replacement is one that NumPy itself
would make, or that is exact.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from autodiff.compiler.record import Op, Slot
from autodiff.ops.short_sums import is_short, summed

try:
    from numpy._core.multiarray import c_einsum
except ImportError:  # another NumPy may keep it elsewhere; the public function ends in it
    c_einsum = np.einsum

__all__ = ["as_operand", "c_einsum", "largest", "reduce_strength", "short", "smallest"]

_SCALAR_UFUNCS: dict[Any, Any] = {operator.add: np.add, operator.sub: np.subtract, operator.mul: np.multiply}


def largest(x: Any) -> Any:
    """``np.maximum.reduce`` of integers (n,), for 100 of them in 0.4 of its time."""
    return x[x.argmax()]


def smallest(x: Any) -> Any:
    """``np.minimum.reduce`` of integers (n,)."""
    return x[x.argmin()]


def short(x: Any, axis: Any, dtype: None, out: Any, keepdims: bool) -> Any:
    """``np.add.reduce`` over a short last axis, in a tenth of its time."""
    return summed(x, keepdims, out)


_EXTREMES: dict[Any, Any] = {np.maximum: largest, np.minimum: smallest}


def as_operand(number: Any, dtype: np.dtype[Any]) -> Any:
    """A number as the array that NumPy makes of it beside an array of ``dtype``; None where that is not so simple."""
    if isinstance(number, np.generic):
        return np.asarray(number) if number.dtype.kind in "biufc" else None
    if type(number) is int and dtype.kind in "iu":
        facts = np.iinfo(dtype)
        return np.array(number, dtype) if facts.min <= number <= facts.max else None
    if type(number) in (int, float) and dtype.kind == "f" and abs(number) <= min(2.0**53, float(np.finfo(dtype).max)):
        return np.array(number, dtype)
    return None


def reduce_strength(ops: list[Op]) -> None:
    """Replace what can be replaced, in the operations themselves."""
    makers: dict[int, Op] = {}
    for op in ops:
        if op.kind != "call":
            continue
        if op.target is np.einsum and op.kwargs.get("optimize", False) is False:
            op.target, op.kwargs = c_einsum, {key: value for key, value in op.kwargs.items() if key != "optimize"}
        elif getattr(op.target, "__name__", "") == "reduce":
            _extreme(op)
            _short(op)
        elif op.target is np.asarray:
            _counted(op, makers)
        if isinstance(op.out, Slot):
            makers[op.out.index] = op


def _short(op: Op) -> None:
    """A sum over a short last axis."""
    if getattr(op.target, "__self__", None) is np.add and len(op.args) == 5 and not op.kwargs and op.errors is None:
        array, axis, dtype, out, _ = op.args
        if isinstance(array, Slot) and dtype is None and out is None and is_short(array.value, axis):
            op.target = short


def _extreme(op: Op) -> None:
    """The largest or smallest of some integers: NumPy finds the place of it sooner than it sets up a reduction."""
    found = _EXTREMES.get(getattr(op.target, "__self__", None))
    if (
        found is None
        or op.kwargs
        or len(op.args) != 5
        or not isinstance(op.out, Slot)
        or isinstance(op.out.value, np.ndarray)
    ):
        return
    array, axis, dtype, out, keepdims = op.args
    integers = (
        isinstance(array, Slot)
        and isinstance(array.value, np.ndarray)
        and array.value.ndim == 1
        and array.value.dtype.kind in "iu"
    )
    if integers and axis in (0, -1, None) and dtype is None and out is None and keepdims is False:
        op.target, op.args = found, (array,)


def _counted(op: Op, makers: dict[int, Op]) -> None:
    """An integer computed from another and put into an array, as layers count batches: one call, which can be told
    where to write.
    """
    source = op.args[0] if len(op.args) == 1 and not op.kwargs else None
    maker = makers.get(source.index) if isinstance(source, Slot) and source.storage is None else None
    ufunc = (
        None if maker is None or maker.errors is not None or op.errors is not None else _SCALAR_UFUNCS.get(maker.target)
    )
    if maker is None or ufunc is None or len(maker.args) != 2 or not isinstance(op.out, Slot):
        return
    number, other = maker.args
    if isinstance(number, Slot):
        number, other = other, number
    if not isinstance(other, Slot) or isinstance(number, Slot) or not isinstance(other.value, np.integer):
        return
    dtype = other.value.dtype
    made = as_operand(number, dtype)
    if made is None or made.dtype != dtype or op.out.value.dtype != dtype:
        return
    op.target, op.args = ufunc, tuple(made if arg is number else arg for arg in maker.args)
