"""Sums over a short last axis, column by column.

NumPy runs its inner loop once for each row: of rows of two to seven numbers that is nearly all of the time. Adding
whole columns makes the same additions in the same order, zero first, and so gives the same bits; from eight numbers on
NumPy adds in another order.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from autodiff.fast.thresholds import THRESHOLDS

_ROWS = THRESHOLDS["SHORT_SUMS"].value


def is_short(x: Any, axis: Any) -> bool:
    """Whether ``np.sum(x, axis)`` is one over a short last axis of many rows."""
    if type(x) is not np.ndarray or not 2 <= x.ndim:
        return False
    n = x.shape[-1]
    if not 2 <= n <= 7 or x.size < _ROWS * n or x.dtype.char not in "fd":
        return False
    if any(
        a < b for a, b in pairwise(x.strides)
    ):  # NumPy's result lies in another order, or is made by columns already
        return False
    last = x.ndim - 1
    return axis in (last, -1, (last,), (-1,)) if axis.__class__ in (int, tuple) else False


def summed(x: Any, keepdims: bool, out: Any = None) -> Any:
    """``np.add.reduce(x, -1, None, out, keepdims)``."""
    if out is None:
        out = np.empty((*x.shape[:-1], 1) if keepdims else x.shape[:-1], x.dtype)
    total = out if keepdims else out[..., None]
    np.add(x[..., :1], 0.0, total)
    for i in range(1, x.shape[-1]):
        np.add(total, x[..., i : i + 1], total)
    return out
