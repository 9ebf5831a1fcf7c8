"""A numerical derivative that knows its own error.

A central difference with a fixed step is at best good to 1e-10 and can be off by 40 % where the step is large against the point (sqrt at 1e-6
with step 1e-6). Here differences at shrinking steps are extrapolated to step zero (Ridders 1982, "Accurate computation of F'(x) and F'(x)
F''(x)"), in longdouble where the platform and the function allow it, and the spread of the extrapolations is the error estimate. Steps are
relative to the size of the point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Derivative", "derivative", "one_sided"]

_SHRINK = 1.6
_ROWS = 18


@dataclass(frozen=True)
class Derivative:
    """A derivative and how far it may be off.

    Attributes
    ----------
    value, error : float
        ``error`` estimates ``abs(value - truth)``; infinite if no finite difference could be formed.
    """

    value: float
    error: float


def derivative(function: Callable[[Any], Any], step: float = 0.1) -> Derivative:
    """The derivative at 0 of a scalar function of one number.

    Parameters
    ----------
    function : callable
        Called with longdouble (or float64) steps; returns a number.
    step : float
        The largest step; the function should vary smoothly over it.

    Returns
    -------
    Derivative

    Examples
    --------
    >>> d = derivative(lambda t: np.sqrt(1e-6 + t), step=2e-7)
    >>> abs(d.value - 500.0) < 1e-9
    True
    """
    return _ridders(lambda h: (function(h) - function(-h)) / (2 * h), step, even=True)


def one_sided(function: Callable[[Any], Any], side: int, step: float = 0.1) -> Derivative:
    """The derivative from one side at 0: ``side`` is 1 for the right, -1 for the left."""
    centre = function(np.longdouble(0))
    return _ridders(lambda h: (function(side * h) - centre) / (side * h), step, even=False)


def _ridders(difference: Callable[[Any], Any], step: float, even: bool) -> Derivative:
    """Extrapolate ``difference(h)``, whose error is a series in h^2 (even) or h, to h = 0."""
    best = Derivative(float("nan"), float("inf"))
    previous: list[Any] = []
    h = np.longdouble(step)
    with np.errstate(all="ignore"):
        for _ in range(_ROWS):
            first = difference(h)
            h = h / _SHRINK
            if not np.isfinite(first):
                previous = []
                continue
            row = [first]
            factor = 1.0
            for column, older in enumerate(previous):
                factor *= _SHRINK**2 if even else _SHRINK
                better = row[column] + (row[column] - older) / (factor - 1)
                row.append(better)
                error = float(max(abs(better - row[column]), abs(better - older)))
                if error < best.error:
                    best = Derivative(float(better), error)
            # Rounding has taken over once the diagonal moves by much more than the best error so far.
            if len(previous) > 3 and abs(float(row[-1] - previous[-1])) > 8 * best.error and best.error < float("inf"):
                break
            previous = row
    return best
