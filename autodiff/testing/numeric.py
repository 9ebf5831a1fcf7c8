"""Numerical derivatives that know their own error, of functions whose value is one number or many.

A central difference with a fixed step is at best good to 1e-10 and can be off by 40 % where the step is large against
the point (sqrt at 1e-6 with step 1e-6). Two better ways stand here.

- Differences at shrinking steps, extrapolated to step zero (Ridders 1982, "Accurate computation of F'(x) and F'(x)
  F''(x)"). The spread of the extrapolations is one half of the error estimate; the other half is the function's own
  evaluation noise, followed through the same extrapolation. The noise is measured from a difference table (Hamming
  1971; Moré and Wild 2011, "Estimating computational noise").
- A complex step (Squire and Trapp 1998): ``imag f(x + ih) / h`` subtracts nothing and so loses nothing, but holds for
  analytic functions only. It is never trusted by itself; :mod:`autodiff.testing.reference` first compares it with the
  differences.

A function of many values is followed value by value: each has its own derivative, its own noise and its own error, so
that a large one does not hide a small one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Derivative", "complex_step", "derivative", "noise_of", "one_sided", "spread", "table"]

_SHRINK = 2.0
_ROWS = 14
#: Its square is far below the last digit of anything, its cube far from underflow.
_TINY = 1e-30
_POINTS = 9
#: Differences of these orders are free of the smooth part of a function over a table as narrow as ours.
_NOISY_ORDERS = (4, 5, 6)


@dataclass(frozen=True)
class Derivative:
    """A derivative and an estimate of how far it is off, infinite if no finite difference could be formed; numbers, or
    arrays with an entry for each of a function's values.
    """

    value: Any
    error: Any


def derivative(function: Callable[[Any], Any], step: float = 0.1, noise: Any = 0.0) -> Derivative:
    """The derivative at 0 of a function that is called with longdouble steps, of which ``step`` is the largest: it
    should vary smoothly over it. ``noise`` says how far a value may be off, see :func:`noise_of`.

    Examples
    --------
    >>> d = derivative(lambda t: np.sqrt(1e-6 + t), step=2e-7)
    >>> abs(d.value - 500.0) < 1e-9
    True
    """
    return _ridders(lambda h: (function(h) - function(-h)) / (2 * h), step, even=True, noise=noise)


def one_sided(function: Callable[[Any], Any], side: int, step: float = 0.1, noise: Any = 0.0) -> Derivative:
    """The derivative from one side at 0: ``side`` is 1 for the right, -1 for the left.

    Examples
    --------
    >>> round(one_sided(abs, -1).value, 12)
    -1.0
    """
    centre = function(np.longdouble(0))
    return _ridders(lambda h: (function(side * h) - centre) / (side * h), step, even=False, noise=2 * noise)


def _ridders(difference: Callable[[Any], Any], step: float, even: bool, noise: Any) -> Derivative:
    """Extrapolate ``difference(h)``, whose error is a series in h^2 (even) or h and at most ``noise / h`` of noise, to
    h = 0.
    """
    best_value: Any = math.nan
    best_error: Any = math.inf
    previous: list[Any] = []
    unsure: list[Any] = []
    h = np.longdouble(step)
    with np.errstate(all="ignore"):
        for _ in range(_ROWS):
            row = [difference(h)]
            doubt = [noise / float(h)]
            h = h / _SHRINK
            factor = 1.0
            for column, older in enumerate(previous):
                factor *= _SHRINK**2 if even else _SHRINK
                better = row[column] + (row[column] - older) / (factor - 1)
                row.append(better)
                doubt.append((factor * doubt[column] + unsure[column]) / (factor - 1))
                error = np.maximum(abs(better - row[column]), abs(better - older)).astype(np.float64) + doubt[-1]
                closer = error < best_error
                best_value, best_error = np.where(closer, better, best_value), np.where(closer, error, best_error)
            # Rounding has taken over once the diagonal moves by much more than the best error so far, or noise alone
            # exceeds it.
            if len(previous) > 3:
                lost = abs(row[-1] - previous[-1]) > 8 * best_error
                if np.all(lost | (doubt[0] > best_error) | (best_error == 0) | ~np.isfinite(row[0])):
                    break
            previous, unsure = row, doubt
    return Derivative(_number(best_value), _number(best_error))


def _number(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else np.asarray(value, np.float64)


def spread(rng: np.random.Generator, shape: tuple[int, ...], low: float = 0.5, high: float = 1.0) -> Any:
    """Random numbers of either sign and of sizes between ``low`` and ``high``.

    Examples
    --------
    >>> sizes = np.abs(spread(np.random.default_rng(0), (100,)))
    >>> bool(sizes.min() >= 0.5), bool(sizes.max() <= 1.0)
    (True, True)
    """
    drawn = rng.uniform(low - high, high - low, shape)
    return drawn + np.copysign(low, drawn)


def complex_step(function: Callable[[Any], Any]) -> Any:
    """``imag(function(ih)) / h``: the derivative at 0 of a function that is analytic there, to the last digits.

    A function that is not (it takes an absolute value, a real part, a conjugate) gives a wrong number without a word.

    Examples
    --------
    >>> float(complex_step(lambda t: np.exp(3 * t)))
    3.0
    """
    return np.imag(function(1j * _TINY)) / _TINY


def table(function: Callable[[Any], Any], spacing: float, start: float = 0.0, points: int = _POINTS) -> Any:
    """The values at nine points, or more, the first axis, from ``start + spacing`` on, of a function that is called
    with longdouble numbers.
    """
    with np.errstate(all="ignore"):
        step = np.longdouble(spacing)
        return np.array([function(np.longdouble(start) + step * (k + 1)) for k in range(points)], dtype=np.longdouble)


def noise_of(values: Any, orders: tuple[int, ...] = _NOISY_ORDERS) -> Any:
    """How far the values of a function are off: four standard deviations of each; 0 where one is not finite.

    From the differences of a table so narrow that the function is all but straight over it, so wide that its points are
    different numbers: the k-th ones of noise of standard deviation s have the variance ``s^2 (2k)! / (k!)^2``, those of
    a smooth function vanish with ``spacing^k``.

    Examples
    --------
    >>> noise = noise_of(table(lambda t: np.float64(1.0) + np.round(1e3 * float(t) % 0.7, 1) * 1e-9, 1e-3))
    >>> 1e-11 < noise < 1e-8
    True
    """
    with np.errstate(all="ignore"):
        largest: Any = 0.0
        differences = values
        for order in range(1, max(orders) + 1):
            differences = np.diff(differences, axis=0)
            if order in orders:
                spread = np.sqrt(np.mean(np.square(differences), axis=0) / math.comb(2 * order, order))
                largest = np.fmax(largest, spread.astype(np.float64))
    return _number(np.where(np.isfinite(values).all(axis=0), 4 * largest, 0.0))
