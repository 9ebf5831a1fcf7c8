"""Several kinks at one point: what a gradient may be there, learned from the gradients at smooth points nearby.

At a kink a gradient may be any mixture of the gradients around it (Clarke's generalised gradient). So a sample of
points so close by that nothing but the kinks changes tells the range of every entry, and of every sum of entries. The
sample is the gradient under test itself, which is trusted where differences confirm it, and nowhere else.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import AutodiffError
from autodiff.testing.arguments import dense
from autodiff.testing.numeric import spread

__all__ = ["Nearby", "Spot"]

_POINTS = 24
#: How far away, relative to the entries, and how far differences reach from there.
_DISTANCE, _REACH = 1e-11, 1e-13

#: An argument's number in the base point, and the index of an entry.
Spot = tuple[int, tuple[int, ...]]


class Nearby:
    """The gradients at points nearby, taken when first asked for."""

    def __init__(
        self,
        terms: Callable[[Sequence[Any]], Any],
        gradient_at: Callable[[Sequence[Any]], Sequence[Any]],
        base: Sequence[Any],
        precision: Any,
    ) -> None:
        self.terms, self.gradient_at, self.base, self.precision = terms, gradient_at, base, precision
        self._settled: bool | None = None

    @functools.cached_property
    def gradients(self) -> list[list[Any]]:
        """One list of arrays for each point at which differences confirm the gradient; empty if half of them do not."""
        # The same points whatever the seed of the check.
        rng = np.random.default_rng(11)
        taken = [self._one(rng) for _ in range(_POINTS)]
        confirmed = [found for found in taken if found is not None]
        return confirmed if len(confirmed) > _POINTS // 2 else []

    def settled(self, gradient: Sequence[Any]) -> bool:
        """Whether the gradients at points nearby are the one here: then no choice among kinks explains it."""
        if self._settled is None:
            self._settled = False
            # Of several choices one point alone may make the same.
            rng = np.random.default_rng(12)
            size = max((float(np.max(np.abs(g), initial=0.0)) for g in gradient), default=0.0)
            with np.errstate(all="ignore"), contextlib.suppress(ValueError, TypeError, ArithmeticError, AutodiffError):
                near = [self._gradient_at(self._point(rng)) for _ in range(4)]
                apart = [np.abs(f - g) for found in near for f, g in zip(found, gradient, strict=True)]
                self._settled = all(bool(np.all(a <= 1e-3 * size)) for a in apart)
        return self._settled

    def _spread(self, rng: np.random.Generator) -> list[Any]:
        return [np.where(b == 0, 1.0, np.abs(b)) * spread(rng, b.shape) for b in self.base]

    def _point(self, rng: np.random.Generator) -> list[Any]:
        return [b + _DISTANCE * m for b, m in zip(self.base, self._spread(rng), strict=True)]

    def _gradient_at(self, point: list[Any]) -> list[Any]:
        return dense(self.gradient_at(point), self.base)

    def _one(self, rng: np.random.Generator) -> list[Any] | None:
        point, direction = self._point(rng), self._spread(rng)
        try:
            with np.errstate(all="ignore"):
                found = self._gradient_at(point)
                right, left = (
                    self.terms(
                        [
                            p.astype(self.precision) + sign * np.longdouble(_REACH).astype(self.precision) * d
                            for p, d in zip(point, direction, strict=True)
                        ]
                    )
                    for sign in (1, -1)
                )
                slopes = (right - left) / (2 * _REACH)
                analytic = sum(float(np.sum(g * d)) for g, d in zip(found, direction, strict=True))
                noise = 8 * float(np.finfo(self.precision).eps) * float(np.sum(np.abs(right))) / _REACH
                size = max(float(np.sum(np.abs(slopes))), abs(analytic))
                return found if abs(analytic - float(np.sum(slopes))) <= 1e-5 * size + noise else None
        except (ValueError, TypeError, ArithmeticError, AutodiffError):
            return None

    def _along(self, direction: Sequence[Any]) -> Any:
        return np.array(
            [
                sum(float(np.sum(g * d)) for g, d in zip(found, direction, strict=True) if d is not None)
                for found in self.gradients
            ]
        )

    def verdict(self, direction: Sequence[Any], analytic: float, accuracy: float) -> str:
        """Whether a derivative along a direction lies among those nearby, which must differ for it to matter;
        inconclusive where there are too many different ones for the sample to show them all.
        """
        values = self._along(direction)
        if not values.size:
            return "fail"
        low, high = float(values.min()), float(values.max())
        width = high - low
        if not width > 1e-3 * max(abs(low), abs(high)):
            return "fail"
        if low - accuracy - 1e-5 * width <= analytic <= high + accuracy + 1e-5 * width:
            return "pass"
        different = len(np.unique(np.round((values - low) / width, 3)))
        return "inconclusive" if 2 * different > len(values) else "fail"
