"""The verdict on one derivative: which steps are taken, what they resolve, and what a kink allows."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autodiff.testing.kinks import Nearby, Spot
from autodiff.testing.numeric import Derivative, complex_step, derivative, noise_of, one_sided, spread, table
from autodiff.testing.report import Entry, Leaf, Report
from autodiff.testing.stability import Stability
from autodiff.testing.study import DOUBLE, EPS, LONG, STEPS, Studied, bends, jumps, scale

__all__ = ["ROUNDING_ULPS", "Judge", "Way"]

#: A gradient may differ from the reference by ten times the reference's own error, plus this many units in the last
#: place of the terms that make the entry.
ROUNDING_ULPS = 4096
#: ... plus this many roundings of the gradient's inputs, as far as the gradient is sensitive to them.
INPUT_ROUNDINGS = 64
#: The reference is good if its error is below this share of the entry; worse ones are mentioned in the notes.
CONCLUSIVE = 1e-5
#: A reference whose error exceeds this share of the entry decides nothing: a doubled entry must never pass.
ROUGH = 0.02
#: An entry that cannot be told from zero is zero if the error is below this share of its terms, or of their changes.
ZERO = 1e-9
#: A gradient that is noisier than its inputs' rounding explains, by less than this share of its size, is not called
#: wrong; float32 is above it.
SLOPPY = 1e-9
#: A gradient that differs by more than this share of its size is not excused by jumps of the function.
JUMPY = 1e-4

#: Entries of like size, moved together along a random direction, are right if differences that know nothing of the
#: function's noise agree with the gradient to this share of the smallest of them: no chance makes so many digits.
CERTAIN = {LONG: 1e-12, DOUBLE: 2e-11}
#: ... or, where rounding allows no more, to this share: of the smallest of several entries, of a function's only value
#: or of a direction as a whole, of many terms added up.
_LOOSE = (2e-10, 1e-7, 1e-5)
#: ... and if rounding hides no more than this share of it; of many terms added up, this one.
_HIDDEN, _BLOCKED = 1e-9, 1e-7
#: The steps of these differences. A kink shows in how the second differences shrink from one to the next.
_LOOKS = (2.0**-7, 2.0**-9, 2.0**-11)
#: Entries whose shares lie within this factor move together.
_BAND = 128.0
#: The step of the first two central differences.
_QUICK = 2.0**-8
#: ... and for measuring it anew where small steps are in doubt: over these the parts of a value that hardly move, as 1
#: - out^2 in a tail, round differently, too. What is smooth shows less in each higher order, noise alike in all.
_WIDER = {LONG: 1e-10, DOUBLE: 1e-9}
#: Every pair of up to this many entries on a kink is moved together, then those that have to do with each other.
_PAIRED = 6


@dataclass
class Numeric:
    """What the differences say of one derivative: the sum of the terms', its error, and the terms' sizes."""

    value: float
    error: float
    size: float
    change: float = 0.0
    flat: bool = False
    small: float = 0.0

    def times(self, length: float) -> Numeric:
        """Of a direction so many times as long."""
        value, error, size, change = (length * part for part in (self.value, self.error, self.size, self.change))
        return replace(self, value=value, error=error, size=size, change=change, small=length * self.small)


@dataclass(frozen=True)
class Way:
    """A derivative under test: the direction, what the gradient says of it, and the largest of its entries."""

    analytic: float
    direction: Sequence[Any]
    length: float = 1.0

    @functools.cached_property
    def natural(self) -> Way:
        """The same of steps that do not shrink with the entry."""
        shares = [None if d is None else d / self.length for d in self.direction]
        return Way(self.analytic / self.length, shares)


class Judge:
    """Decides on the derivatives of one function."""

    def __init__(
        self,
        report: Report,
        reference: Studied,
        order: int,
        gradient: list[Any],
        stability: Stability,
        nearby: Nearby | None,
        magnitude: float = 0.0,
    ) -> None:
        self.report, self.reference, self.order = report, reference, order
        self.gradient, self.stability, self.nearby = gradient, stability, nearby
        self.magnitude = reference.magnitude + magnitude
        self.kinks: list[Spot] = []
        self.rough = 0
        self.floor = 0.0
        self._jumps: float | None = None

    @functools.cached_property
    def size(self) -> float:
        """The largest entry of the gradient."""
        return max((float(np.max(np.abs(g[np.isfinite(g)]), initial=0.0)) for g in self.gradient), default=0.0)

    @functools.cached_property
    def longest(self) -> float:
        """The largest entry of the point."""
        return max((float(np.max(scale(b), initial=0.0)) for b in self.reference.base), default=1.0) or 1.0

    def certain(self, analytic: float, direction: Sequence[Any], least: float | None = None) -> Numeric | None:
        """Central differences that agree with the gradient to so many digits that nothing else need be known of the
        function; None where they do not, which says nothing. ``least`` is the smallest share of those that are moved
        together; by default the direction is one, with one share.
        """
        reference = self.reference
        if not reference.trusting or not math.isfinite(analytic):
            return None
        along, centre = reference.along(direction), reference.centre
        hidden, loosest = _HIDDEN if reference.blocks is None else _BLOCKED, _LOOSE[1]
        if reference.blocks is not None:
            loosest = _LOOSE[2]
        elif least is not None and centre.size > 1:
            loosest = _LOOSE[0]
        if least is not None and EPS / _LOOKS[0] * reference.magnitude > hidden * least:
            return None

        def look(h: float) -> tuple[Any, Any, Any]:
            step = h if reference.precision == DOUBLE else np.longdouble(h)
            right, left = along(step), along(-step)
            return (right - left) / (2 * step), right - 2 * centre + left, (right != centre) | (left != centre)

        with np.errstate(all="ignore"):
            far, wide, moved = look(_LOOKS[0])
            older: Any = None
            for h in _LOOKS[1:]:
                near, bend, _ = look(h)
                better = estimate = near + (near - far) / 15
                if older is not None:
                    better = better + (better - older) / 255
                value, size = float(better.sum()), float(np.abs(better).sum())
                rounding = np.where(moved, reference.sizes, 0.0) * (reference.eps / h)
                blur, own = float(rounding.sum()), max(abs(analytic), size)
                share = own if least is None else least
                strict = (ROUNDING_ULPS * EPS if least is None else CERTAIN[reference.precision]) * share
                allowed = max(strict, min(4 * blur, loosest * share)) + self.floor
                if abs(analytic - value) <= allowed:
                    break
                if h == _LOOKS[-1] or 4 * blur > loosest * share:
                    return None
                older, far, wide = estimate, near, bend
            kinks = np.abs(16 * bend - wide) / (12 * h)
            if not (kinks <= 1e-3 * np.fmax(np.abs(better), 1e-3 * size) + 8 * rounding).all():
                return None
            still = EPS / _LOOKS[0] * float(np.where(moved, 0.0, reference.sizes).sum())
            if least is None and not (still <= 2 * hidden * own and allowed <= ROUGH * abs(analytic)):
                return None
        return Numeric(value, max(blur, min(abs(analytic - value), allowed)), size)

    def groups(
        self, leaves: Sequence[Leaf], spots: Sequence[tuple[Spot, float]], rng: np.random.Generator
    ) -> set[Spot]:
        """Which of these entries, moved by steps of these sizes, are certainly right; entered into the report.

        Entries whose shares are alike are moved together, and where one of them is not right, none is said to be.
        """
        base, right = self.reference.base, set()
        # Multiples of 1/64 of a power of two: the point and the step add up exactly.
        steps = np.array([step for _, step in spots]) * np.round(64 * spread(rng, (len(spots),), 0.5, 1.5)) / 64
        parts = np.array([float(self.gradient[k][index]) for (k, index), _ in spots]) * steps
        shares = np.abs(parts)
        order = np.argsort(-shares)
        order = order[np.isfinite(shares[order])]
        while order.size and self.reference.trusting:
            largest = shares[order[0]]
            group = order[shares[order] >= largest / _BAND]
            order, least = order[group.size :], float(shares[group[-1]])
            direction: list[Any] = [None] * len(base)
            for i in group:
                (k, index), _ = spots[i]
                if direction[k] is None:
                    direction[k] = np.zeros(base[k].shape)
                direction[k][index] = steps[i]
            analytic = float(np.sum(parts[group]))
            found = self.certain(analytic, direction, least) if largest else self._still(direction)
            if found is not None:
                right |= {spots[i][0] for i in group}
                numbers = (analytic, found.value, found.error, CERTAIN[self.reference.precision] * least)
                method = self.reference.method
                self.report.entries += [
                    Entry(self.order, leaf.place, None, *numbers, "pass", method=method, label=leaf.label)
                    for leaf, d in zip(leaves, direction, strict=True)
                    if d is not None
                ]
        return right

    def _still(self, direction: Sequence[Any]) -> Numeric | None:
        """A derivative of zero, if nothing moves near the point or far from it."""
        along, centre = self.reference.along(direction), self.reference.centre
        with np.errstate(all="ignore"):
            if any(np.any(along(sign * np.longdouble(_LOOKS[0])) != centre) for sign in (1, -1)):
                return None
        return None if np.any(self._far(direction)) else Numeric(0.0, 0.0, 0.0, flat=True)

    def __call__(self, leaf: Leaf, k: int, index: Any, direction: Any, whole: bool) -> Entry:
        """The entry of one argument's gradient, or its derivative along a direction."""
        g = self.gradient[k]
        full = [direction if j == k else None for j in range(len(self.reference.base))]
        length = 1.0 if index is None else float(direction[index])
        analytic = float(np.sum(g * direction)) if index is None else float(g[index]) * length
        entry = self.along(leaf, index, Way(analytic, full, float(np.max(np.abs(direction)))), whole)
        if index is not None:
            entry = entry.over(length)
            if entry.kink:
                self.kinks.append((k, index))
        return entry

    def hides(self, k: int, direction: Any, share: float, total: float) -> bool:
        """Whether the rounding of the values hides all that a direction of small entries does to them."""
        if not 0 < share <= 1e-9 * total:
            return False
        reference = self.reference
        along = reference.along([direction if j == k else None for j in range(len(reference.base))])
        with np.errstate(all="ignore"):
            change = sum(float(np.sum(np.abs(along(sign * 2.0**-6) - reference.centre))) for sign in (1, -1))
        return change <= 16 * float(np.sum(reference.noise))

    def along(self, leaf: Leaf, index: Any, way: Way, whole: bool = True) -> Entry:
        """One derivative judged; ``whole`` if its entries have not been looked at in groups."""
        analytic = way.analytic
        found, verdict, kink, method = self._compared(way, whole)
        if verdict == "pass" and found.flat and found.error > 0 and way.length < 1 and self._rises(way):
            verdict = "inconclusive"
        tolerance = self._tolerance(analytic, found)
        rounded = 16 * EPS * self.magnitude * min(1.0, way.length)
        if verdict == "fail" and found.flat and found.error == 0 and abs(analytic) <= rounded:
            # What nothing moves has a gradient of zero, which may come out as a rounding of the values.
            tolerance, verdict = rounded, "pass"
        # A second derivative that nothing moves is zero to the reference, and to the gradient's own rounding.
        still = self.order > 1 and found.flat
        beyond = verdict == "fail" or (
            verdict == "inconclusive"
            and (
                still
                or found.error < abs(analytic - found.value)
                or max(abs(analytic), abs(found.value)) <= found.small
            )
        )
        if beyond and not kink and math.isfinite(analytic):
            tolerance, verdict = self._excused(way, found, tolerance, verdict)
        if (
            verdict == "fail"
            and not kink
            and abs(analytic - found.value) <= JUMPY * max(abs(analytic), abs(found.value))
        ):
            # An iteration that stops at a tolerance has a derivative of its own between two of its jumps.
            if self._jumps is None:
                self._jumps = float(np.sum(jumps(self.reference)))
            if abs(analytic - found.value) <= 100 * self._jumps:
                verdict = "inconclusive"
                self.report.note(
                    f"the values jump by {self._jumps:.1g} as the point moves (an iteration that stops at a"
                    " tolerance?): they tell no more digits of a gradient"
                )
        if (
            verdict == "fail"
            and not kink
            and self.order == 1
            and math.isfinite(analytic)
            and (self._stairs(way) if found.value == 0 else analytic and self._afar(way, found))
        ):
            verdict = "inconclusive"
            self.report.note(
                "the values change in steps (rounded, quantised, a table?), with the gradient's slope from afar and"
                " another one around the point; what passes gradients through such steps says so by constant(...) or"
                " .detach()"
            )
        if verdict == "fail" and self.order == 1 and analytic == 0 and leaf.place >= 0:
            # In a tail, 1 - out^2 is 0 once it is less than its own rounding. A tangent of zero has no such excuse.
            if abs(found.value) <= 4 * EPS * self.stability.elsewhere(way.direction):
                verdict = "inconclusive"
        if verdict != "pass" and not math.isfinite(analytic) and self.reference.known is not None:
            verdict = "inconclusive"
        if verdict == "pass" and not kink and found.error > CONCLUSIVE * max(abs(analytic), found.size) > 0:
            self.rough += 1
        numbers = (analytic, found.value, found.error, tolerance)
        return Entry(self.order, leaf.place, index, *numbers, verdict, kink, method, label=leaf.label)

    def _stairs(self, way: Way) -> bool:
        """Whether the values, flat around the point, rise from afar in many steps, and as steeply as the gradient."""
        with np.errstate(all="ignore"):
            values = np.sum(
                table(self.reference.along(way.direction), 1 / 128, -65 / 128, 129).reshape(129, -1), axis=1
            )
        slopes = [float(values[-1 - k] - values[k]) / (1 - k / 64) for k in (0, 32)]
        levels = len(np.unique(values))
        return 5 <= levels <= 100 and all(abs(slope - way.analytic) <= 0.3 * abs(way.analytic) for slope in slopes)

    def _afar(self, way: Way, found: Numeric) -> bool:
        """Whether the values rise as the gradient says over wider steps, to both sides, and not around the point: no
        kink nearby explains it, but a table does, or a step of a part, as of 1 + tanh(x) far from zero.
        """
        along, analytic = self.reference.along(way.direction), way.analytic
        near = 0.25 * abs(found.value - analytic)
        with np.errstate(all="ignore"):
            centre = self.reference.centre
            for side in (1, -1):
                slopes = [
                    float(np.sum(along(side * np.longdouble(h)) - centre)) / (side * h)
                    for h in (2.0**-3, 2.0**-4, 2.0**-5, 2.0**-6)
                ]
                for factor in (1, 3, 7):
                    slopes = [b + (b - a) / factor for a, b in itertools.pairwise(slopes)]
                    if factor == 3 and not abs(slopes[-1] - analytic) <= near:
                        return False
                if not abs(slopes[0] - analytic) <= near:
                    return False
        return True

    def _tolerance(self, analytic: float, found: Numeric) -> float:
        size = abs(analytic) if math.isfinite(analytic) else 0.0
        return 10 * found.error + ROUNDING_ULPS * EPS * max(size, found.size) + self.floor

    def _excused(self, way: Way, found: Numeric, tolerance: float, verdict: str) -> tuple[float, str]:
        """What the gradient's inputs' rounding and its own noise may do to it, as measured, and at most what rounding
        does to the largest entries.
        """
        analytic = way.analytic
        gap, size = abs(analytic - found.value), max(self.size * way.length, abs(analytic), self.magnitude)
        if self.order == 1:
            size = max(size, self.stability.elsewhere(way.direction))
        if not gap <= 0.1 * max(size, abs(found.value)):
            return tolerance, verdict
        rate = INPUT_ROUNDINGS * EPS * self.stability.rate(way.direction)
        # Noise of less than this matters to neither answer below.
        noise = 10 * self.stability.noise(way.direction) if gap <= tolerance + rate + SLOPPY * size else 0.0
        excuse = rate + min(noise, ROUNDING_ULPS * EPS * size)
        if gap <= tolerance + excuse and (verdict == "fail" or found.error <= excuse):
            # A first derivative that is mostly noise, as 1 - out^2 in a tail, is not known to be right.
            own_size = max(abs(analytic), abs(found.value))
            vague = self.order == 1 and excuse > ROUGH * own_size > ROUGH * 16 * EPS * self.magnitude
            return tolerance + excuse, "inconclusive" if vague else "pass"
        # Right to within its own noise, which is more than rounding explains: an unstable formula, or a wrong one.
        return tolerance, "inconclusive" if gap <= SLOPPY * size and gap <= noise else verdict

    def _decide(self, analytic: float, found: Numeric) -> str:
        """The verdict on a derivative without a kink."""
        if math.isnan(found.value) or not math.isfinite(found.error):
            return "inconclusive"
        own = max(abs(analytic) if math.isfinite(analytic) else 0.0, abs(found.value))
        if not math.isfinite(analytic):
            return "fail" if found.error <= ROUGH * max(own, found.size, found.change) else "inconclusive"
        gap, tolerance = abs(analytic - found.value), self._tolerance(analytic, found)
        if gap > tolerance:
            # The error of differences over plateaus is itself known roughly.
            sure = found.error <= ROUGH * own and not self.reference.plateaus
            return "fail" if sure or gap > 10 * tolerance else "inconclusive"
        if found.error <= ROUGH * own:
            return "pass"
        small = found.small
        zero = own <= tolerance and (
            found.error <= ZERO * max(found.size, found.change)
            or (own <= small and found.error <= small)
            or (found.flat and (analytic == found.value == 0) and found.error <= 1e-12 * max(1.0, self.size))
        )
        return "pass" if zero else "inconclusive"

    def _compared(self, way: Way, whole: bool) -> tuple[Numeric, str, bool, str]:
        """The reference, the verdict on it, whether there is a kink, and how the reference was taken."""
        reference, analytic, length = self.reference, way.analytic, way.length
        if whole and not reference.measured:
            agreed_at_once = self.certain(analytic, way.direction)
            if agreed_at_once is not None:
                return agreed_at_once, "pass", False, reference.method
        stepped, small = self._stepped(way) if reference.stepped else (None, 0.0)
        if (
            reference.analytic
            and stepped is not None
            and (self._near(analytic, stepped) or abs(analytic - stepped.value) <= small)
        ):
            return stepped, "pass", False, "complex step"
        with np.errstate(all="ignore"):
            quick, moved, bent = self._quick(way)
        agreed = quick is not None and not bent and self._decide(analytic, quick) == "pass"
        if quick is not None and agreed:
            bound = float(np.sum(np.where(moved, 0.0, reference.noise))) / _QUICK
            # In a long vector, a share of one entry that all others together may hide.
            certain = bound <= (1e-9 if reference.blocks is None else 1e-7) * max(abs(analytic), quick.size)
            if certain and not self._objects(analytic, quick, stepped, False):
                return quick, "pass", False, reference.method
        hidden, constant = self._hidden(way.direction, moved)
        if quick is not None and agreed:
            quick = replace(quick, error=quick.error + hidden)
            if self._decide(analytic, quick) == "pass" and not self._objects(analytic, quick, stepped, constant):
                return quick, "pass", False, reference.method
        if quick is not None and not bent and length < 1:
            # Steps that do not shrink with the entry may resolve what the others only do not contradict.
            with np.errstate(all="ignore"):
                wider, _, curved = self._quick(way.natural)
            if wider is not None and not curved:
                wider = wider.times(length)
                if self._decide(analytic, wider) == "pass" and not self._objects(analytic, wider, stepped, constant):
                    return wider, "pass", False, reference.method
        with np.errstate(all="ignore"):
            found, verdict, kink = self._slow(way, moved, hidden)
        if not kink and verdict == "inconclusive" and constant and abs(analytic - found.value) <= 10 * found.error:
            # It stays the same, but for its noise, wherever it is moved to; unless the noise is all that there is.
            if np.sum(reference.noise) <= 1e-6 * max(reference.magnitude, self.longest):
                verdict = "pass"
        if verdict == "inconclusive" and not kink and length < 1 and math.isfinite(analytic):
            wider = self._wider(way, found, moved, hidden)
            if wider is not None and self._decide(analytic, wider) == "pass":
                found, verdict = wider, "pass"
        if not kink and stepped is not None and math.isfinite(analytic):
            agrees = abs(stepped.value - found.value) <= 10 * found.error
            if verdict == "inconclusive" and agrees and analytic != 0 and self._near(analytic, stepped):
                # Differences cannot resolve it, but do not contradict a complex step that agrees to the last digits.
                return stepped, "pass", False, "complex step"
            if verdict == "pass" and self._objects(analytic, found, stepped, constant):
                verdict = "inconclusive"
            if verdict == "fail" and reference.analytic and agrees and 0 < found.error <= ROUGH * abs(stepped.value):
                return stepped, "fail", False, "complex step"
        return found, verdict, kink, reference.method

    def _objects(self, analytic: float, found: Numeric, stepped: Numeric | None, constant: bool) -> bool:
        """Whether a complex step sees a derivative below what the differences resolve, other than the gradient."""
        if stepped is None or constant or self._near(analytic, stepped):
            return False
        if self.order > 1 and abs(analytic - stepped.value) <= found.small:
            return False
        largest = max(abs(stepped.value), abs(analytic))
        unlike = abs(stepped.value - analytic) > 1e-6 * largest
        return unlike and abs(stepped.value - found.value) <= 10 * found.error and found.error > 1e-3 * largest

    def _small(self, moved: Any, length: float) -> float:
        """What rounding leaves where the parts of an entry cancel within a term: measured by the term's derivatives; of
        a second derivative, by the gradients that rounding moves.
        """
        sizes = self.reference.slopes * (length / self.longest)
        if self.order == 1:
            return 64 * EPS * float(np.sum(np.where(moved, sizes, 0.0)))
        # A gradient that is nothing but rounding has no size of its own.
        sizes = np.fmax(sizes, np.abs(self.reference.centre))
        return 64 * EPS * float(np.sum(np.where(moved, sizes, 0.0))) + 4 * EPS * self.magnitude

    def _stepped(self, way: Way) -> tuple[Numeric | None, float]:
        with np.errstate(all="ignore"), contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            along = self.reference.along(way.direction)
            values = complex_step(along)
            value, size = float(np.sum(values)), float(np.sum(np.abs(values)))
            if math.isfinite(size):
                # What comes out the same with another step is no rounding of larger parts that cancel.
                other = float(np.sum(complex_step(lambda t: along(0.7 * t)))) / 0.7
                known = self.order == 1 and abs(other - value) <= 1e-6 * abs(value)
                return Numeric(value, 4 * EPS * size, size), 0.0 if known else self._small(values != 0, way.length)
        return None, 0.0

    def _near(self, analytic: float, found: Numeric) -> bool:
        # Of an infinite one the right side is infinite, too.
        return math.isfinite(analytic) and (
            abs(analytic - found.value) <= ROUNDING_ULPS * EPS * max(abs(analytic), found.size)
        )

    def _quick(self, way: Way) -> tuple[Numeric | None, Any, bool]:
        """Two or three central differences, extrapolated: enough where the gradient agrees with them to the noise, None
        otherwise; which terms change at all; and whether some seem to have a kink.
        """
        reference, along = self.reference, self.reference.along(way.direction)
        h = _QUICK if reference.precision == DOUBLE else np.longdouble(_QUICK)
        centre = reference.centre
        right, left = along(h), along(-h)
        far = (right - left) / (2 * h)
        moved = (right != centre) | (left != centre)
        noise = np.where(moved, reference.noise, 0.0)
        change = float(np.sum(np.abs(right - centre) + np.abs(left - centre))) / (2 * _QUICK)
        older = None
        for _ in range(3):
            h = h / 2
            right, left = along(h), along(-h)
            near = (right - left) / (2 * h)
            estimate = near + (near - far) / 3
            better = estimate if older is None else estimate + (estimate - older) / 15
            value, size = float(np.sum(better)), float(np.sum(np.abs(better)))
            doubt = 2 * float(np.sum(noise)) / float(h)
            gap = abs(way.analytic - value)
            if gap <= 10 * doubt + ROUNDING_ULPS * EPS * max(abs(way.analytic), size):
                allowed = float(h) * 0.02 * np.fmax(np.abs(better), 1e-3 * size)
                bend = right - 2 * centre + left
                bent = bool(np.any(np.abs(bend) > allowed + 4 * reference.noise))
                if bent:
                    # Curvature bends with the square of the step, a kink with the step: two steps tell them apart.
                    inner = along(h / 16) - 2 * centre + along(-h / 16)
                    kink = np.abs(256 * inner - bend) / 15
                    bent = bool(np.any(kink > allowed + 4 * 17 * reference.noise))
                error = max(doubt, min(gap, 1e-12 * size))
                return Numeric(value, error, size, change, not moved.any(), self._small(moved, way.length)), moved, bent
            far, older = near, estimate
        return None, moved, False

    def _hidden(self, direction: Sequence[Any], moved: Any) -> tuple[float, bool]:
        """What the terms that do not change over a step may hide, each below its last digit; and whether all terms stay
        the same but for their noise wherever the point is moved to.

        A term that does not change over a large move either does not depend on what is moved.
        """
        reference = self.reference
        bound = np.where(moved, 0.0, reference.noise) / _QUICK
        far = self._far(direction)
        constant = bool(np.all(far[:2] <= 16 * reference.noise))
        return float(np.sum(np.where(np.all(far == 0, axis=0), 0.0, bound))), constant

    def _far(self, direction: Sequence[Any]) -> Any:
        """By how much four large moves change each term."""
        far: list[Any] = []
        # Twice afar: one of two exponentials may be below the other's last digit over a wide range.
        for sign in (0.731, -1.37, 53.0, -47.0):
            away = [
                None if d is None else sign * np.maximum(1.0, np.abs(b)) * np.sign(d)
                for b, d in zip(self.reference.base, direction, strict=True)
            ]
            far.append(self._change(away))
        return np.array(far)

    def _change(self, away: Sequence[Any]) -> Any:
        """By how much a large move changes each term: the largest at which the function has a value."""
        for length in (1, 0.25, 0.0625, 0.015625):
            with np.errstate(all="ignore"):
                change = np.abs(self.reference.along(away)(np.longdouble(length)) - self.reference.centre)
            if not np.isnan(change).all():
                return change
        return np.full(np.shape(self.reference.centre), math.inf)

    def _slow(self, way: Way, moved: Any, hidden: float) -> tuple[Numeric, str, bool]:
        """Extrapolated differences from smaller and smaller steps, then one-sided ones."""
        reference, analytic, along = self.reference, way.analytic, self.reference.along(way.direction)
        steps, centre = reference.steps, reference.centre
        # A kink stands on one side; and what rounds alike at one spacing, as slopes of whole units do, does not at
        # another.
        spacing, orders = _WIDER[reference.precision], (4, 5, 6)
        again = [
            np.fmax(
                *(
                    np.min([noise_of(table(along, side * s), (k,)) for k in orders], axis=0)
                    for s in (spacing, 0.73 * spacing)
                )
            )
            for side in (1, -1)
        ]
        known = np.fmax(reference.noise, np.fmin(*again))
        wide = [np.abs(along(sign * np.longdouble(steps[0])) - centre) for sign in (1, -1)]
        moved = moved | (wide[0] != 0) | (wide[1] != 0)
        noise = np.where(moved, known, 0.0)
        change = float(np.nansum(np.fmax(*wide))) / steps[0]
        shape = np.shape(centre)
        best = Derivative(np.full(shape, math.nan), np.full(shape, math.inf))
        previous = numeric = best
        agreed = False
        found = Numeric(math.nan, math.inf, 0.0)
        for step in steps:
            previous, numeric = numeric, derivative(along, step, noise)
            sprung = ~moved & (numeric.value != 0)
            if np.any(sprung):
                # It stays the same over large steps and not over a small one: that is its noise.
                moved, noise = moved | sprung, np.where(moved | sprung, known, 0.0)
                numeric = Derivative(numeric.value, np.where(sprung, known / reference.steps[-1], numeric.error))
            # Two estimates that exclude each other have a kink or a pole between their steps, and the nearer one tells.
            closer = (numeric.error < best.error) | (_exclude(numeric, best) & np.isfinite(numeric.error))
            best = Derivative(np.where(closer, numeric.value, best.value), np.where(closer, numeric.error, best.error))
            found = self._sum(best, hidden, change, moved, self._small(moved, way.length))
            decided = self._decide(analytic, found)
            if decided == "fail" and step == steps[1] and self._smooth(way, previous, numeric, found):
                return found, "fail", False
            if decided == "pass":
                sizes = np.fmax(np.abs(best.value), 1e-3 * found.size)
                if not np.any(bends(along, reference, min(step, STEPS[reference.precision][1]), sizes)):
                    return found, "pass", False
                # The mean of both slopes is a subgradient, too; the report should say so if there is a kink.
                agreed = True
                break
        if not agreed and self._unresolved(along, steps, noise):
            return found, "inconclusive", False
        return self._at_a_kink(way, noise, best, numeric, previous, found, agreed)

    def _smooth(self, way: Way, far: Derivative, near: Derivative, found: Numeric) -> bool:
        """Whether two steps agree in all digits that count, and no kink, however small beside the slope, explains the
        gradient: then no smaller steps say more.
        """
        error = float(np.sum(far.error) + np.sum(near.error))
        if self.reference.plateaus or not error <= 1e-6 * abs(found.value) or np.any(_exclude(far, near)):
            return False
        # The step's jump of the slope is a kink's, and the curvature times the step: two steps tell them apart.
        along, h = self.reference.along(way.direction), np.longdouble(self.reference.steps[1])
        wide, half = ((along(t) - 2 * self.reference.centre + along(-t)) / t for t in (h, h / 2))
        jump = float(np.sum(np.abs(2 * half - wide)))
        return jump <= abs(way.analytic - found.value) and (
            self.nearby is None or self.order > 1 or self.nearby.settled(self.gradient)
        )

    def _wider(self, way: Way, found: Numeric, moved: Any, hidden: float) -> Numeric | None:
        """The derivative from steps that do not shrink with the entry, where a smooth function allows them; None where
        two of them, or the smaller ones, contradict.
        """
        along, length = self.reference.along(way.natural.direction), way.length
        noise, centre = self.reference.noise, self.reference.centre
        with np.errstate(all="ignore"):
            far, near = (derivative(along, step, noise) for step in (2.0**-6, 2.0**-9))
            wide, narrow = (
                np.abs(along(h) - 2 * centre + along(-h)) / h for h in (np.longdouble(2.0**-6), np.longdouble(2.0**-9))
            )
            # What bends as much over the smaller step is a kink or a peak between the steps, not curvature.
            if np.any(_exclude(far, near) | (narrow > 0.5 * wide + 4 * noise * 2**9)):
                return None
            use = far.error < near.error
            value, error = (np.where(use, a, b) * length for a, b in ((far.value, near.value), (far.error, near.error)))
            best = Derivative(value, error)
            change = float(np.sum(np.abs(along(np.longdouble(2.0**-6)) - centre))) * 2**6 * length
            wider = self._sum(best, hidden, change, moved, self._small(moved, length))
            return wider if abs(wider.value - found.value) <= 10 * (wider.error + found.error) else None

    def _rises(self, way: Way) -> bool:
        """Whether what does not move over shares of a small entry rises smoothly over steps of natural size."""
        along = self.reference.along(way.natural.direction)
        centre, noise = self.reference.centre, self.reference.noise
        slopes, bends = [], []
        with np.errstate(all="ignore"):
            for h in (np.longdouble(2.0**-6), np.longdouble(2.0**-7)):
                right, left = along(h), along(-h)
                slopes.append((right - left) / (2 * h))
                bends.append(np.abs(right - 2 * centre + left) / h)
            far, near = slopes
            smooth = (np.abs(far - near) <= 0.1 * np.abs(near)) & (bends[1] <= 0.7 * bends[0])
            return bool(np.any(smooth & (np.abs(near) * 2.0**-7 > 100 * noise)))

    def _sum(self, best: Derivative, hidden: float, change: float, moved: Any, small: float) -> Numeric:
        value, error = float(np.sum(best.value)), float(np.sum(best.error)) + hidden
        return Numeric(value, error, float(np.sum(np.abs(best.value))), change, not np.any(moved), small)

    def _unresolved(self, along: Callable[[Any], Any], steps: Sequence[float], noise: Any) -> bool:
        """Whether some term changes over the smallest step as it does over the largest: it jumps, or has a pole closer
        than any step.
        """
        centre = self.reference.centre
        far, near = (
            np.max([np.abs(along(sign * np.longdouble(h)) - centre) for sign in (1, -1)], axis=0)
            for h in (steps[0], steps[-1])
        )
        jumps = near > 1e-3 * far + 8 * noise
        return bool(np.any(jumps & (near > 1e-6 * np.sum(near))))

    def _at_a_kink(
        self,
        way: Way,
        noise: Any,
        best: Derivative,
        numeric: Derivative,
        previous: Derivative,
        found: Numeric,
        agreed: bool,
    ) -> tuple[Numeric, str, bool]:
        """One-sided derivatives, term by term: a term that has two may have any between them."""
        analytic, direction = way.analytic, way.direction
        low, high, error, kinks = self._bracket(direction, noise, best)
        size = max(found.size, abs(low), abs(high))
        accuracy = 10 * error + ROUNDING_ULPS * EPS * size
        if kinks and not error <= ROUGH * max(abs(low), abs(high), high - low):
            # Its slope grows without bounds, as a root's at zero, or is not known well.
            return Numeric(low, error, size), "inconclusive", True
        if kinks:
            inside = low - accuracy <= analytic <= high + accuracy
            nearest = min(max(analytic, low), high) if math.isfinite(analytic) else low
            verdict = "pass" if inside else self._beyond(direction, analytic, accuracy)
            return Numeric(nearest, error, size), verdict, True
        if agreed:
            # A peak within the steps has slopes of its own, which one-sided ones from smaller steps see.
            left, right, doubt, _ = self._sides(direction, noise)
            middle = float(np.sum(left + right)) / 2
            apart = abs(analytic - middle) > 100 * float(np.sum(doubt)) + 1e-3 * max(abs(analytic), abs(middle))
            return found, "inconclusive" if apart else "pass", False
        if np.any(_exclude(numeric, previous) & (np.abs(numeric.value) > ZERO * found.size)):
            # The two smallest steps disagree, and no kink explains it: the function bends over less than any step.
            if not np.any(_exclude(best, numeric)):
                return found, "inconclusive", False
        verdict = self._decide(analytic, found)
        if verdict == "fail" and math.isfinite(analytic):
            verdict = self._beyond(direction, analytic, 0.0)
            return found, verdict, verdict == "pass"
        return found, verdict, False

    def _sides(self, direction: Sequence[Any], noise: Any) -> tuple[Any, Any, Any, Any]:
        """The one-sided derivatives of every term, their error, and which terms have but one.

        Terms are taken one by one, not in blocks: those of a block may have kinks of opposite directions.
        """
        reference = self.reference
        alone = reference.blocks is not None
        along = reference.along(direction, folded=not alone)
        noise = float(np.max(noise, initial=0.0)) if alone else noise
        smallest = min(2.0**-10, 8 * reference.steps[-1])
        sides = []
        for side in (-1, 1):
            near = one_sided(along, side, smallest, noise)
            wide = one_sided(along, side, 2.0**-7, noise)
            # A noisy function needs the larger step; a smooth one is known better from it, too.
            use = (wide.error < near.error) & ((near.error > 1e-3 * np.abs(near.value)) | ~_exclude(near, wide))
            sides.append(Derivative(np.where(use, wide.value, near.value), np.where(use, wide.error, near.error)))
        left, right = sides
        single = np.isfinite(left.error) != np.isfinite(right.error)
        # At the edge of a domain the inner side tells.
        a = np.where(np.isfinite(left.error), left.value, right.value)
        b = np.where(np.isfinite(right.error), right.value, left.value)
        error = np.where(single, np.fmin(left.error, right.error), left.error + right.error)
        return a, b, error, single

    def _bracket(
        self, direction: Sequence[Any], noise: Any, best: Derivative | None
    ) -> tuple[float, float, float, bool]:
        """The smallest and the largest legal derivative along a direction, their error, and whether there is a kink."""
        a, b, error, single = self._sides(direction, noise)
        rounding = ROUNDING_ULPS * EPS * np.fmax(np.abs(a), np.abs(b))
        kinked = (np.abs(a - b) > 10 * (10 * error + rounding)) | single
        if best is None or self.reference.blocks is not None:
            middle, doubt = (a + b) / 2, error
        else:
            middle, doubt = best.value, best.error
        low, high = np.where(kinked, np.fmin(a, b), middle), np.where(kinked, np.fmax(a, b), middle)
        total = float(np.sum(np.where(kinked, error, doubt)))
        return float(np.sum(low)), float(np.sum(high)), total, bool(kinked.any())

    def _beyond(self, direction: Sequence[Any], analytic: float, accuracy: float) -> str:
        """The verdict on a derivative that no single kink explains: several at once may."""
        if self.nearby is None or self.order > 1 or not math.isfinite(analytic):
            return "fail"
        return self.nearby.verdict(direction, analytic, accuracy)

    def ties(self, leaves: Sequence[Leaf]) -> None:
        """Enter what entries that share a kink must add up to, moved together: of two equal maxima each may have any
        share, but the shares are of one gradient.

        A kink is shared where the one-sided derivatives along the common direction are not the sums of those along the
        single ones.
        """
        alone: dict[tuple[Spot, float], tuple[Any, Any, Any, Any]] = {}

        def shared(signs: list[tuple[Spot, float]]) -> bool:
            for item in signs:
                if item not in alone:
                    alone[item] = self._sides(self._together([item]), self.reference.noise)
            parts, whole = [alone[item] for item in signs], self._sides(self._together(signs), self.reference.noise)
            doubt = 10 * (whole[2] + sum(part[2] for part in parts))
            size = sum(np.fmax(np.abs(part[0]), np.abs(part[1])) for part in parts)
            apart = [np.abs(whole[side] - sum(part[side] for part in parts)) for side in (0, 1)]
            return bool(np.any(np.fmax(*apart) > 10 * doubt + 1e-9 * size))

        groups = {spot: {spot} for spot in self.kinks[:_PAIRED]}
        for one, other in itertools.combinations(groups, 2):
            # Two that are each other's negative, as in max(x, -y), stay tied when they move apart.
            for sign in (1.0, -1.0):
                signs = [(one, 1.0), (other, sign)]
                if shared(signs):
                    self.report.entries.append(self._added(signs, leaves))
                    if sign > 0 and groups[one] is not groups[other]:
                        groups[one] |= groups[other]
                        groups.update(dict.fromkeys(groups[other], groups[one]))
        wholes = {frozenset(group) for group in (*groups.values(), self.kinks) if len(group) > 2}
        for whole in sorted(wholes, key=sorted):
            signs = [(spot, 1.0) for spot in sorted(whole)]
            if shared(signs):
                self.report.entries.append(self._added(signs, leaves))

    def _together(self, signs: Sequence[tuple[Spot, float]]) -> list[Any]:
        """The direction in which entries move by the same amount, the smallest of their sizes."""
        base = self.reference.base
        direction = [np.zeros(b.shape) for b in base]
        step = min(abs(float(base[k][index])) or 1.0 for k, index in self.kinks)
        for (k, index), sign in signs:
            direction[k][index] = sign * step
        return direction

    def _added(self, signs: Sequence[tuple[Spot, float]], leaves: Sequence[Leaf]) -> Entry:
        """The comparison of a sum of entries."""
        direction = self._together(signs)
        k, index = signs[0][0]
        step = abs(float(direction[k][index]))
        analytic = float(sum(sign * self.gradient[k][index] for (k, index), sign in signs)) * step
        low, high, error, _ = self._bracket(direction, self.reference.noise, None)
        size = max(abs(low), abs(high), step * sum(abs(float(self.gradient[k][index])) for (k, index), _ in signs))
        accuracy = 10 * error + ROUNDING_ULPS * EPS * size
        inside = low - accuracy <= analytic <= high + accuracy
        verdict = "pass" if inside else self._beyond(direction, analytic, accuracy)
        together = tuple((leaves[k].place, index, int(sign)) for (k, index), sign in signs)
        nearest, method, label = min(max(analytic, low), high), self.reference.method, leaves[k].label
        return Entry(
            1, leaves[k].place, None, analytic, nearest, error, accuracy, verdict, True, method, together, label
        ).over(step)


def _exclude(a: Derivative, b: Derivative) -> Any:
    """Where two estimates cannot both be right."""
    with np.errstate(all="ignore"):
        rounding = ROUNDING_ULPS * EPS * np.fmax(np.abs(a.value), np.abs(b.value))
        return np.abs(a.value - b.value) > 10 * (a.error + b.error) + rounding
