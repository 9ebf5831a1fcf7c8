"""Equality to the bit: what prepared code must show before it is adopted, and in every call with ``check=True``."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["same"]


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal in type, shape, dtype and bits, whatever kind of sequence holds them.

    Examples
    --------
    >>> same((np.zeros(2), 1.0), (np.zeros(2), 1.0)), same(0.0, -0.0), same(1, 1.0)
    (True, False, False)
    """
    if isinstance(a, np.ndarray | np.generic):
        return (
            isinstance(b, np.ndarray | np.generic)
            and (a.shape, a.dtype) == (b.shape, b.dtype)
            and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
        )
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if type(a) is not type(b):
        return False
    if isinstance(a, float | complex):
        return repr(a) == repr(b)
    if isinstance(a, slice):
        return same((a.start, a.stop, a.step), (b.start, b.stop, b.step))
    return a is b or bool(a == b) or hasattr(a, "shape")
