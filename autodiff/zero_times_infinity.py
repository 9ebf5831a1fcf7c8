"""Zero times infinity is zero, in both modes and in every order: docs/kinks.md says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.core import backward
from autodiff.reads import USED, uses


def _squared(value: Any) -> Any:
    """The square of the norm, or of one number its size: the quickest number that tells something of all entries."""
    if value.__class__ is np.float64:
        return abs(value)  # a square overflows with a warning
    values = getattr(value, "_data", value)
    while hasattr(values, "array"):
        values = values.array
    return np.vdot(values, values)


def finite(value: Any) -> bool:
    """Whether there is no NaN and nothing infinite or huge."""
    return bool(abs(_squared(value)) < np.inf)


def vanished(value: Any) -> bool:
    """Whether there is nothing but zeros. The first entry tells it of most."""
    values = getattr(value, "_data", value)
    while hasattr(values, "array"):
        values = values.array
    return bool(values.size) and bool(values[(0,) * values.ndim] == 0) and not bool(values.any())


def usual(value: Any) -> bool:
    """Whether no product with it can be NaN but for what it is multiplied by."""
    size = abs(_squared(value))
    return bool(size < np.inf) and (bool(size) or not vanished(value))


def keep_zeros(g: Any, h: Any, rule: Any, saved: Sequence[Any] = (), attrs: Any = None, pointwise: bool = True) -> Any:
    """``h = rule(g, *saved, **attrs)`` with ``0 * inf = 0``: zero is what a factor of exactly 0 gives.

    A branch that ``np.where`` did not choose sends back a cotangent of 0, which a derivative that is infinite or NaN
    must not spoil. A derivative of 0 keeps an infinite cotangent from passing, too: forward mode meets the same factors
    in the other order. Of a tangent in the cotangent's place likewise.
    """
    if finite(h):
        return h
    if pointwise:
        h = np.where(np.logical_and(np.equal(g, 0), np.isnan(h)), 0, h)
    elif vanished(g):
        return np.where(np.isnan(h), 0, h)
    far, attrs = np.isinf(g), attrs or {}
    if not np.any(far):
        return h
    with np.errstate(all="ignore"):
        near = rule(np.where(far, 0, g), *saved, **attrs)
        slope = rule(np.where(far, np.sign(g), 0), *saved, **attrs)
        found = near + np.where(np.equal(getattr(slope, "_data", slope), 0), 0, slope * np.inf)
        return np.where(np.isnan(h), found, h) if pointwise else found if np.any(np.isnan(h)) else h


def multiplies(op: Any) -> bool:
    """Whether a rule multiplies by something: reads the values of ``(out, *inputs)``."""
    return not op.fused and (op.variadic or any(USED in use for use in uses(op) if use is not None))


def _zeros(op: Any, g: Any, found: Any, rules: Any, saved: Any = (), attrs: Any = None) -> Any:
    """What the rules found, given ``g``; ``op`` is None for tangent rules that may multiply."""
    pointwise = op is not None and op.pointwise
    if not pointwise and (g.__class__ is tuple or not hasattr(g, "dtype")):
        return found
    if not pointwise and (op is not None and op.fused):
        if not vanished(g):
            return found
    elif not pointwise and ((op is not None and not multiplies(op)) or usual(g)):
        return found
    return [
        keep_zeros(g, h, rule, saved, attrs, pointwise) if hasattr(h, "dtype") else h
        for h, rule in zip(found, rules, strict=True)
    ]


backward.above.zeros = _zeros
