"""Strength reduction: calls of a plan replaced by cheaper ones that give the same bits. What an ordinary call does
before and after its work, a plan need not repeat.

On the arrays of a small network such work takes longer than the arithmetic. Every replacement is one that NumPy itself
would make, or that is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.compiler.record import Op, Slot
from autodiff.ops.short_sums import is_short, summed

try:
    from numpy._core.multiarray import c_einsum
except ImportError:  # another NumPy may keep it elsewhere; the public function ends in it
    c_einsum = np.einsum

__all__ = ["as_operand", "c_einsum", "reduce_strength", "short"]


def short(x: Any, axis: Any, dtype: None, out: Any, keepdims: bool) -> Any:
    """``np.add.reduce`` over a short last axis, in a tenth of its time."""
    return summed(x, keepdims, out)


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
    for op in ops:
        if op.target is np.einsum and op.kwargs.get("optimize", False) is False:
            op.target, op.kwargs = c_einsum, {key: value for key, value in op.kwargs.items() if key != "optimize"}
        elif op.target == np.add.reduce and len(op.args) == 5 and not op.kwargs and op.errors is None:
            array, axis, dtype, out, _ = op.args
            if isinstance(array, Slot) and dtype is None and out is None and is_short(array.value, axis):
                op.target = short
