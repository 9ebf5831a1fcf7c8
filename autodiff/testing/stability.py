"""How far a gradient may be off through no fault of its formula: its inputs' rounding, and its own evaluation noise."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import AutodiffError
from autodiff.testing.arguments import dense
from autodiff.testing.numeric import noise_of, spread
from autodiff.testing.study import AWAY, DOUBLE, SPACING

__all__ = ["Stability"]

Arrays = Sequence[Any]

#: The spacing of a table in which the steps of a gradient in a tail show, and the differences in which nothing smooth
#: does.
_WIDE, _HIGH = 1e-3, (7, 8)


class Stability:
    """How far a gradient may be off through no fault of its formula, per entry; measured when first asked for."""

    def __init__(self, gradient_at: Callable[[Arrays], Sequence[Any]], base: list[Any]) -> None:
        self.gradient_at, self.base = gradient_at, base

    @functools.cached_property
    def signs(self) -> list[Any]:
        """Every entry moves by an amount of its own: equal ones that stay equal cancel without a rounding."""
        rng = np.random.default_rng(7)
        return [spread(rng, b.shape, 0.75, 1.25) for b in self.base]

    def _at(self, distance: float) -> list[Any]:
        with np.errstate(all="ignore"):
            point = [b * (1 + distance * s) for b, s in zip(self.base, self.signs, strict=True)]
            return dense(self.gradient_at(point), self.base)

    def rate(self, direction: Sequence[Any]) -> float:
        """The change of the derivative per relative change of its inputs: what one rounding of them does is this times
        1.1e-16.
        """
        return _along(self._rates, direction)

    @functools.cached_property
    def _rates(self) -> list[Any]:
        rates: list[Any] = [np.zeros(b.shape) for b in self.base]
        with contextlib.suppress(ValueError, TypeError, ArithmeticError, AutodiffError):
            for i, (a, b, c) in enumerate(zip(self._at(0.0), self._at(1e-10), self._at(1e-9), strict=True)):
                near, far = np.abs(b - a), np.abs(c - a)
                # Tenfold farther it changes ten times as much. What does not is a jump, or the noise of a sloppy
                # backward: no excuse.
                steady = 3 * np.max(near, initial=0.0) < np.max(far, initial=0.0) < 30 * np.max(near, initial=0.0)
                rates[i] = near / 1e-10 if steady else np.zeros(near.shape)
        return rates

    def noise(self, direction: Sequence[Any]) -> float:
        """The derivative's own evaluation noise, as of :func:`~autodiff.testing.numeric.noise_of`.

        The largest of several places: at the point itself equal entries or round numbers may cancel to the last digit,
        and nine values of one entry may happen to round alike.
        """
        return _along(self._noises, direction)

    @functools.cached_property
    def _noises(self) -> list[Any]:
        noises: list[Any] = [np.zeros(b.shape) for b in self.base]
        with contextlib.suppress(ValueError, TypeError, ArithmeticError, AutodiffError):
            for place in (0.0, *AWAY):
                noises = list(map(np.fmax, noises, self._table(place, SPACING[DOUBLE])))
            # Steps of 1 - out^2 in a tail are wider than these tables. A kink stands on one side.
            sides = (self._table(0.0, side * _WIDE, _HIGH) for side in (1, -1))
            noises = list(map(np.fmax, noises, map(np.fmin, *sides)))
        return noises

    def elsewhere(self, direction: Sequence[Any]) -> float:
        """How large the derivative is at points nearer to zero: what a tail's formula adds up and takes away."""
        return _along(self._largest, direction)

    @functools.cached_property
    def _largest(self) -> list[Any]:
        largest = [np.zeros(b.shape) for b in self.base]
        with contextlib.suppress(ValueError, TypeError, ArithmeticError, AutodiffError), np.errstate(all="ignore"):
            for share in (0.5, 0.25, 0.125, 0.0625, 0.03125):
                found = map(np.abs, dense(self.gradient_at([b * share for b in self.base]), self.base))
                largest = [
                    np.fmax(old, np.where(np.isfinite(g), g, 0.0)) for old, g in zip(largest, found, strict=True)
                ]
        return largest

    def _table(self, place: float, spacing: float, orders: tuple[int, ...] = (4, 5, 6)) -> list[Any]:
        rows = [self._at(place + spacing * (i + 1)) for i in range(9)]
        tables = (np.array([row[i] for row in rows]) for i in range(len(self.base)))
        return [np.reshape(noise_of(values, orders), b.shape) for values, b in zip(tables, self.base, strict=True)]


def _along(sizes: Sequence[Any], direction: Sequence[Any]) -> float:
    """What entries of these sizes add up to along a direction; None leaves an argument out."""
    return sum(float(np.sum(s * np.abs(d))) for s, d in zip(sizes, direction, strict=True) if d is not None)
