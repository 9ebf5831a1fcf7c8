"""A cotangent of zero stays zero through every operation that acts element by element.

A branch that ``np.where`` did not choose sends back a cotangent of exactly 0. What multiplies it on its way may be NaN
or infinite: the branch was computed where it has no value. ``0 * nan`` is NaN, and would spoil a gradient to which
that branch contributes nothing. So the result of such a rule is 0 where the cotangent is 0 and the rule made NaN. A
tangent in the cotangent's place is treated alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from autodiff.batching import Batched
from autodiff.core.bytecode import USED

__all__ = ["keep_zeros", "keeping_all_zeros", "keeping_zeros"]

_FLOAT = np.float64


def keep_zeros(g: Any, h: Any) -> Any:
    """``h``, with 0 where ``g`` is 0 and ``h`` is NaN: ``np.where((g == 0) & np.isnan(h), 0, h)``.

    The sum of squares tells at BLAS speed whether there is any NaN; where there is none, ``h`` itself comes back.

    Examples
    --------
    >>> keep_zeros(np.array([0.0, 1.0]), np.array([np.nan, np.nan]))
    array([ 0., nan])
    """
    kind = h.__class__
    if kind is np.float64:
        if h == h:
            return h
    else:
        values = h if kind is np.ndarray else h.array if kind is Batched else getattr(h, "_data", h)
        squares = np.vdot(values, values)
        if squares == squares:
            return h
    if kind is Batched or g.__class__ is Batched:
        return np.where(np.logical_and(np.equal(g, 0), np.isnan(h)), 0, h)
    vanishing = np.equal(getattr(g, "_data", g), 0) & np.isnan(getattr(h, "_data", h))
    return np.where(vanishing, 0, h) if np.any(vanishing) else h


def keeping_zeros(
    rule: Callable[..., Any] | None, use: Sequence[int] | None, attributes: bool
) -> Callable[..., Any] | None:
    """The rule with :func:`keep_zeros` applied to what it returns.

    A rule that reads no values (``use``, as :func:`autodiff.bytecode.reads` tells it) multiplies the cotangent by a
    constant, and is left as it is. ``attributes`` tells whether the rule takes any besides its inputs.
    """
    if rule is None or use is None or USED not in use or hasattr(rule, "__wrapped__"):
        return rule
    inner = rule

    def settled(g: Any, *values: Any, **attrs: Any) -> Any:
        return keep_zeros(g, inner(g, *values, **attrs))

    def settled_of_one(g: Any, out: Any, x: Any) -> Any:
        h = inner(g, out, x)
        return h if h.__class__ is _FLOAT and h == h else keep_zeros(g, h)

    def settled_of_two(g: Any, out: Any, x: Any, y: Any) -> Any:
        h = inner(g, out, x, y)
        return h if h.__class__ is _FLOAT and h == h else keep_zeros(g, h)

    # Python binds a fixed number of arguments in half the time of any number of them.
    count = 0 if attributes else len(use)
    return wraps(rule)({2: settled_of_one, 3: settled_of_two}.get(count, settled))


def keeping_all_zeros(backward: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a hand-derived backward, which returns a gradient or None for every input."""

    @wraps(backward)
    def settled(g: Any, residuals: Any, needs: tuple[bool, ...]) -> Any:
        return tuple([None if h is None else keep_zeros(g, h) for h in backward(g, residuals, needs)])

    return settled
