"""One analytic derivative against one numerical one, with a tolerance that follows from what is known of both errors.

How it goes, for a scalar function of arrays and its gradient:

1. *Precision.* Longdouble if the function computes in it; float64 where LAPACK, FFT or the platform forces it.
2. *Noise.* The function's own evaluation noise is measured along a random direction, and followed through every
extrapolation.
3. *Complex steps* are tried along a random direction in which every entry of every argument moves, and trusted only
if they equal the extrapolated
   differences there, and if the function is straight there at a small scale (no kink). A function that takes a real
   part or an absolute value anywhere falls through, and differences judge it alone.
4. Each entry is compared. A complex step may acquit, but convict only together with differences along the same
direction. Differences at ever
   smaller steps decide otherwise, then one-sided ones, which tell a kink; there any value between the one-sided
   derivatives passes. Where the smallest steps still disagree with each other nothing is known.
5. Before a gradient fails, what its own inputs' rounding does to it is allowed for: the gradient of an
ill-conditioned call is a right
   gradient of a point nearby. One that is right to within its own evaluation noise, and that below 1e-9, is
   inconclusive.

6. Entries on a kink that they share (equal maxima) are moved together, too: :mod:`autodiff.testing.ties`.

Verdicts are pass, fail and inconclusive; what is not known is never a pass.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autodiff.core.errors import AutodiffError, GradientMismatch
from autodiff.testing.numeric import Derivative, complex_step, derivative, evaluation_noise, one_sided
from autodiff.testing.report import Entry, Report
from autodiff.testing.ties import compare_ties

__all__ = ["compare", "compare_along", "scale"]

#: A gradient may differ from the reference by ten times the reference's own error, plus rounding: this many units in
#: the last place of the largest number that went into it.
ROUNDING_ULPS = 4096
#: ... plus this many roundings of the gradient's inputs, as far as the gradient is sensitive to them.
INPUT_ROUNDINGS = 64
#: The reference is good enough to judge with if its error is below this share of the gradient's size.
CONCLUSIVE = 1e-5
#: A gradient that is noisier than its inputs' rounding explains, by less than this share of its size, is not called
#: wrong; float32 is above it.
ROUGH = 1e-9

_EPS = float(np.finfo(np.float64).eps)
_WIDE = float(np.finfo(np.longdouble).eps) < 1e-17
_LONG, _DOUBLE = np.dtype(np.longdouble), np.dtype(np.float64)

#: Largest steps tried, relative to the entry: a kink may lie within the first ones, or an ill-conditioned function bend
#: over them, so that only the smaller ones see one smooth piece.
_STEPS = {_LONG: (0.02, 2e-4, 2e-7, 2e-10, 2e-11), _DOUBLE: (0.02, 2e-4, 2e-6, 2e-8, 5e-9)}
#: Spacings for measuring noise: some thousand different numbers apart, and far below the smallest steps.
_SPACING = {_LONG: 1e-15, _DOUBLE: 1e-12}
#: Where the noise of a function that seems constant is measured, too: about half of the largest step away.
_AWAY = (0.01, -0.01, 0.0137, -0.0137)

_FULL_SIZE = 48
_SPOTS = 8
_DIRECTIONS = 3

Arrays = Sequence[Any]
Value = Callable[[Arrays], Any]


@dataclass(frozen=True)
class _Reference:
    """A scalar function of arrays with what was found out about it at its base point."""

    value: Value
    base: list[Any]
    precision: Any
    noise: float
    analytic: bool

    def along(self, direction: Sequence[Any]) -> Callable[[Any], Any]:
        """The function of one number ``t`` at ``base + t direction``; a direction None leaves its argument alone."""

        def function(t: Any) -> Any:
            kind = np.result_type(self.precision, np.complex64) if isinstance(t, complex) else self.precision
            return self.value(
                [
                    np.asarray(b if d is None else b + t * d).astype(kind)
                    for b, d in zip(self.base, direction, strict=True)
                ]
            )

        return function

    @property
    def method(self) -> str:
        """In words, how differences are taken."""
        return f"extrapolated differences in {'longdouble' if self.precision == _LONG else 'float64'}"


def _study(
    value: Value, base: list[Any], gradient: Sequence[Any], rng: np.random.Generator, tries_complex: bool
) -> _Reference:
    """Precision, noise, and whether complex steps can be trusted."""
    reference = _Reference(value, base, _precision(value, base), 0.0, False)
    dense = [rng.choice([-1.0, 1.0], b.shape) * rng.uniform(0.5, 1.0, b.shape) * scale(b) for b in base]
    along = reference.along(dense)
    reference = replace(reference, noise=_noise(along, reference.precision))
    if not tries_complex or not any(b.size for b in base):
        return reference
    size = sum(float(np.sum(np.abs(g * d))) for g, d in zip(gradient, dense, strict=True))
    return replace(reference, analytic=_analytic(along, reference, size))


def _noise(along: Callable[[Any], Any], precision: Any) -> float:
    """How far the values of a function of one number may be off near 0.

    One so flat that its values round to one number shows no noise at all; each of them may still be off by half of its
    last place.
    """
    with np.errstate(all="ignore"):
        rounding = 0.5 * float(np.finfo(precision).eps) * abs(float(along(np.longdouble(0))))
    near = max(evaluation_noise(along, _SPACING[precision]), rounding if math.isfinite(rounding) else 0.0)
    return max(near, _noise_of_constant(along, precision))


def _noise_of_constant(along: Callable[[Any], Any], precision: Any) -> float:
    """How far the values of a function that is constant but for its noise are off; 0 for any other, whose derivative is
    larger than what hides.

    Near the point every step of an evaluation may be exact: log(exp(s)) with s = x - constant(x), as in log_softmax of
    one class, is s to the last digit while exp(s) = 1 + s and s is a multiple of eps, which the rounding of x makes it,
    often on one side alone. Farther away exp(s) rounds.
    """
    with np.errstate(all="ignore"):
        centre = along(np.longdouble(0))
        change = max(float(abs(along(np.longdouble(end)) - centre)) for end in _AWAY)
        if not 0 < change < 1e-9 * (1 + abs(float(centre))):
            return 0.0
        # Several tables: the points of one may differ by a multiple of what they are rounded to, and so be rounded
        # alike.
        noise = max(evaluation_noise(_moved(along, end), _SPACING[precision]) for end in _AWAY)
    return noise if change <= 4 * noise else 0.0


def _moved(along: Callable[[Any], Any], start: float) -> Callable[[Any], Any]:
    """The function with ``start`` for its 0."""
    return lambda t: along(np.longdouble(start) + t)


def _analytic(along: Callable[[Any], Any], reference: _Reference, size: float) -> bool:
    """Whether a complex step along a direction in which everything moves equals the extrapolated differences, at a
    point without a kink.
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            stepped = float(complex_step(along))
    except Exception:
        # Whatever an operation says to complex numbers, it says that it cannot be stepped so.
        return False
    steps = _STEPS[reference.precision]
    found = min((derivative(along, step, reference.noise) for step in steps[:2]), key=lambda d: d.error)
    size = max(size, abs(found.value))
    if (
        not (found.error <= 1e-8 * size or size == found.error == 0)
        or not abs(stepped - found.value) <= 10 * found.error + 64 * _EPS * size
    ):
        return False
    return not _bent(along, steps[1], size, reference.noise)


def _bent(along: Callable[[Any], Any], step: float, size: float, noise: float) -> bool:
    """Whether the slopes to the right and to the left differ at this step by more than a smooth function's would:
    perhaps a kink.
    """
    h = np.longdouble(step)
    with np.errstate(all="ignore"):
        bend = float(abs(along(h) - 2 * along(np.longdouble(0)) + along(-h))) / step
    return not bend <= 0.02 * size + 4 * noise / step


def _precision(value: Value, base: Sequence[Any]) -> Any:
    """Longdouble if the function computes in it, else float64 (LAPACK, FFT, platforms without)."""
    if not _WIDE:
        return _DOUBLE
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(value([b.astype(np.longdouble) for b in base]))
    except (TypeError, ValueError):
        return _DOUBLE
    return _LONG if result.dtype == _LONG else _DOUBLE


def scale(array: Any) -> Any:
    """Steps go with the size of the entry, so that a point near a singularity is not stepped over it."""
    return np.where(array == 0, 1.0, np.abs(array))


def _directions(array: Any, rng: np.random.Generator) -> list[tuple[tuple[int, ...] | None, Any]]:
    """One-hot directions for every entry of a small array; for a large one random directions and a few one-hot
    spots.
    """
    if array.size <= _FULL_SIZE:
        spots, random = np.arange(array.size), 0
    else:
        spots, random = np.sort(rng.choice(array.size, _SPOTS, replace=False)), _DIRECTIONS
    sizes = scale(array)
    result: list[tuple[tuple[int, ...] | None, Any]] = []
    for spot in spots:
        direction = np.zeros(array.size)
        direction[spot] = sizes.reshape(-1)[spot]
        result.append((tuple(int(i) for i in np.unravel_index(spot, array.shape)), direction.reshape(array.shape)))
    for _ in range(random):
        result.append((None, rng.choice([-1.0, 1.0], array.shape) * rng.uniform(0.5, 1.0, array.shape) * sizes))
    return result


class _Stability:
    """How far a gradient may be off through no fault of its formula, per argument; measured when first asked for."""

    def __init__(self, gradient_at: Callable[[Arrays], Sequence[Any]], base: list[Any], seed: int) -> None:
        self.gradient_at, self.base = gradient_at, base
        rng = np.random.default_rng(seed)
        self.signs = [rng.choice([-1.0, 1.0], b.shape) for b in base]
        self._rates: list[float] | None = None
        self._noises: list[float] | None = None

    def _at(self, distance: float) -> list[Any]:
        with np.errstate(all="ignore"):
            return [
                _plain(g)
                for g in self.gradient_at([b * (1 + distance * s) for b, s in zip(self.base, self.signs, strict=True)])
            ]

    def rate(self, k: int) -> float:
        """The change of the gradient per relative change of its inputs: what one rounding of them does is this times
        1.1e-16.
        """
        if self._rates is None:
            self._rates = [0.0] * len(self.base)
            with contextlib.suppress(ValueError, TypeError, ArithmeticError, AutodiffError):
                for i, (a, b, c) in enumerate(zip(self._at(0.0), self._at(1e-10), self._at(1e-9), strict=True)):
                    near, far = float(np.max(np.abs(b - a), initial=0.0)), float(np.max(np.abs(c - a), initial=0.0))
                    # Tenfold farther it changes ten times as much. What does not is a jump, or the noise of a sloppy
                    # backward: no excuse.
                    self._rates[i] = near / 1e-10 if 3 * near < far < 30 * near else 0.0
        return self._rates[k]

    def noise(self, k: int) -> float:
        """The gradient's own evaluation noise, as of :func:`~autodiff.testing.numeric.evaluation_noise`, of its
        noisiest entry.
        """
        if self._noises is None:
            self._noises = [0.0] * len(self.base)
            with contextlib.suppress(ValueError, TypeError, ArithmeticError, AutodiffError):
                rows = [self._at(_SPACING[_DOUBLE] * (i + 1)) for i in range(9)]
                for i in range(len(self.base)):
                    differences = np.diff(np.array([row[i] for row in rows]), 5, axis=0)
                    self._noises[i] = 4 * math.sqrt(
                        float(np.max(np.mean(np.square(differences), axis=0), initial=0.0)) / math.comb(10, 5)
                    )
        return self._noises[k]


def _plain(g: Any) -> Any:
    return 0.0 if g is None else np.asarray(getattr(g, "data", g) if hasattr(g, "_node") else g)


def compare(
    report: Report,
    value: Value,
    gradient_at: Callable[[Arrays], Sequence[Any]],
    base: list[Any],
    places: Sequence[int],
    order: int,
    magnitude: float,
    rng: np.random.Generator,
    *,
    below: Value | None = None,
    tries_complex: bool = False,
) -> None:
    """Enter into ``report`` the comparison of every argument's gradient with differences of ``value``.

    Parameters
    ----------
    report : Report
    value : callable
        Takes the arrays of all arguments in any precision and returns a number.
    gradient_at : callable
        Takes them in float64 and returns the gradients, None where there is none.
    base : list of ndarray
        The point.
    places : sequence of int
        The arguments' positions in the user's call.
    order : {1, 2}
    magnitude : float
        The sum of the terms of the value, all taken positive: rounding is measured against it.
    rng : numpy.random.Generator
    below : callable, optional
        For the second order: the function itself, asked about kinks.
    tries_complex : bool
        Whether ``value`` may be called with complex arrays.

    Raises
    ------
    GradientMismatch
        If a gradient has another shape or dtype than its argument.
    """
    found = [
        np.zeros(b.shape) if g is None else np.asarray(_plain(g)) for g, b in zip(gradient_at(base), base, strict=True)
    ]
    for place, g, array in zip(places, found, base, strict=True):
        if g.shape != array.shape or g.dtype != array.dtype:
            raise GradientMismatch(_misfit(report, place, g, array))
    reference = _study(value, base, found, rng, tries_complex)
    stability = _Stability(gradient_at, base, report.seed)
    kinks = []
    for k, (place, g, array) in enumerate(zip(places, found, base, strict=True)):
        size = float(np.max(np.abs(g), initial=0.0))
        judge = _Judge(reference, order, place, magnitude, stability, k)
        for index, direction in _directions(array, rng):
            full = [direction if j == k else None for j in range(len(base))]
            analytic = float(np.sum(g * direction))
            entry = judge(index, analytic, reference.along(full), size, float(np.max(np.abs(direction))))
            if index is not None:
                entry = entry.over(float(direction[index]))
                if entry.kink:
                    kinks.append((k, index))
            if (
                entry.verdict != "pass"
                and below is not None
                and _kinked(replace(reference, value=below).along(full), reference.precision)
            ):
                # The gradient jumps here, so there is no second derivative; a subgradient halfway hid the kink from the
                # first comparison.
                report.entries = [
                    replace(e, kink=True) if (e.argument, e.index) == (place, index) else e for e in report.entries
                ]
            else:
                report.entries.append(entry)
    if order == 1:
        rounding = ROUNDING_ULPS * _EPS * max(magnitude, *(float(np.max(np.abs(g), initial=0.0)) for g in found))
        report.entries += compare_ties(
            base, found, kinks, places, reference.along, reference.noise, rounding, reference.method
        )


class _Settled:
    """In the place of :class:`_Stability` where there is no gradient to ask."""

    def rate(self, k: int) -> float:
        return 0.0

    def noise(self, k: int) -> float:
        return 0.0


def compare_along(
    report: Report,
    value: Value,
    analytic: float,
    base: list[Any],
    direction: Sequence[Any],
    order: int,
    place: int,
    magnitude: float,
) -> None:
    """Enter into ``report`` the comparison of one number with the derivative of ``value`` along a direction; nothing
    where there is a kink.
    """
    reference = _Reference(value, base, _precision(value, base), 0.0, False)
    along = reference.along(direction)
    reference = replace(reference, noise=_noise(along, reference.precision))
    entry = _Judge(reference, order, place, magnitude, _Settled(), 0)(None, analytic, along, abs(analytic), 1.0)
    if not entry.kink:
        report.entries.append(entry)


def _misfit(report: Report, place: int, g: Any, array: Any) -> str:
    words = (
        f"{report.name}: the gradient of argument {place} is {g.dtype}{list(g.shape)}, the argument"
        f" {array.dtype}{list(array.shape)}"
    )
    if g.shape != array.shape and g.ndim >= array.ndim:
        lead = g.ndim - array.ndim
        axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(array.shape) if n == 1 != g.shape[lead + i])
        if all(n in (m, 1) for n, m in zip(array.shape, g.shape[lead:], strict=True)):
            return (
                f"{words}; the argument was broadcast, so its gradient is a sum: over"
                f" {'axis' if len(axes) == 1 else 'axes'} {axes}"
            )
    if g.shape == array.shape[::-1]:
        return f"{words}; it is transposed"
    return words


def _kinked(along: Callable[[Any], Any], precision: Any) -> bool:
    """Whether a function of one number has different derivatives from the left and from the right, both well known, at
    0.
    """
    noise = _noise(along, precision)
    left, right = one_sided(along, -1, 1e-3, noise), one_sided(along, 1, 1e-3, noise)
    return abs(left.value - right.value) > 1e3 * (left.error + right.error) + 1e-9 * max(
        abs(left.value), abs(right.value)
    )


@dataclass(frozen=True)
class _Judge:
    """Decides on the derivatives of one argument, the ``k``-th of the base point."""

    reference: _Reference
    order: int
    place: int
    magnitude: float
    stability: _Stability | _Settled
    k: int

    def __call__(self, index: Any, analytic: float, along: Callable[[Any], Any], size: float, length: float) -> Entry:
        """One entry; ``size`` is the largest entry of the gradient, ``length`` that of the direction."""
        size *= length
        rounding = ROUNDING_ULPS * _EPS * max(size, abs(analytic), self.magnitude)
        numeric, verdict, kink = self._compared(analytic, along, size, rounding)
        gap = abs(analytic - numeric.value)
        if verdict == "fail" and not kink and gap <= 0.1 * max(size, abs(numeric.value)):
            rounding += INPUT_ROUNDINGS * _EPS * self.stability.rate(self.k) * length
            if gap <= 10 * numeric.error + rounding:
                verdict = "pass"
            elif gap <= ROUGH * size and gap <= 10 * self.stability.noise(self.k) * length:
                # Right to within its own noise, which is more than its inputs' rounding explains: an unstable formula,
                # or a wrong one.
                verdict = "inconclusive"
        tolerance = 10 * numeric.error + rounding
        return Entry(
            self.order,
            self.place,
            index,
            analytic,
            numeric.value,
            numeric.error,
            tolerance,
            verdict,
            kink,
            numeric.method,
        )

    def _compared(
        self, analytic: float, along: Callable[[Any], Any], size: float, rounding: float
    ) -> tuple[_Found, str, bool]:
        """The reference, the verdict on it, and whether there is a kink."""
        if self.reference.analytic:
            with np.errstate(all="ignore"):
                value = float(complex_step(along))
            stepped = _Found(value, 4 * _EPS * max(abs(value), size), "complex step")
            if abs(analytic - value) <= rounding:
                return stepped, "pass", False
        noise, steps = self.reference.noise, _STEPS[self.reference.precision]
        floor = self._floor(along)
        best, previous, numeric = (Derivative(math.nan, math.inf),) * 3
        agreed = False
        for step in steps:
            previous, numeric = numeric, derivative(along, step, noise)
            # Two estimates that exclude each other have a kink or a pole between their steps, and the nearer one tells.
            if numeric.error < best.error or _exclude(numeric, best, rounding):
                best = numeric
            conclusive = best.error <= CONCLUSIVE * max(size, abs(analytic), floor)
            if abs(analytic - best.value) <= 10 * best.error + rounding and conclusive:
                if not _bent(along, min(step, steps[1]), max(size, abs(analytic)), noise):
                    return self._found(best), "pass", False
                # The mean of both slopes is a subgradient, too; the report should say so if there is a kink.
                agreed = True
                break
            if self.reference.analytic and conclusive and abs(stepped.value - best.value) <= 10 * best.error + rounding:
                # Two independent references agree along this very direction.
                return replace(stepped, error=min(stepped.error, best.error)), "fail", False
        if not agreed and not math.isnan(analytic) and self._unresolved(along, steps):
            return self._found(best), "inconclusive", False
        # Steps as small as the smallest above: a kink nearby is none at the point.
        step = min(1e-3, 10 * steps[-1])
        left, right = one_sided(along, -1, step, noise), one_sided(along, 1, step, noise)
        accuracy = 10 * (left.error + right.error) + rounding
        if abs(left.value - right.value) > 10 * accuracy:
            low, high = sorted((left.value, right.value))
            verdict = "pass" if low - accuracy <= analytic <= high + accuracy else "fail"
            return self._found(Derivative(min(max(analytic, low), high), left.error + right.error)), verdict, True
        gap, tolerance = abs(analytic - best.value), 10 * best.error + rounding
        conclusive = best.error <= CONCLUSIVE * max(size, abs(analytic), abs(best.value), floor)
        if agreed or math.isnan(analytic):
            verdict = "pass" if agreed else "fail"
        elif _exclude(numeric, previous, rounding):
            # The two smallest steps disagree, and no kink explains it: the function bends over less than any step.
            verdict = "inconclusive"
        elif gap > tolerance:
            verdict = "fail" if conclusive or gap > 10 * tolerance else "inconclusive"
        else:
            verdict = "pass" if conclusive else "inconclusive"
        return self._found(best), verdict, False

    def _unresolved(self, along: Callable[[Any], Any], steps: Sequence[float]) -> bool:
        """Whether nothing is known of the function's slope.

        It has changed over the smallest step as it does over the largest, so that it jumps or has a pole closer than
        any step; or its values hold three digits at most.
        """
        if self.reference.noise > 1e-3 * self.magnitude > 0:
            return True
        here = along(np.longdouble(0))
        with np.errstate(all="ignore"):
            far, near = (
                max(float(abs(along(sign * np.longdouble(h)) - here)) for sign in (1, -1))
                for h in (steps[0], steps[-1])
            )
        return near > 1e-3 * far + 8 * self.reference.noise

    def _found(self, best: Derivative) -> _Found:
        return _Found(best.value, best.error, self.reference.method)

    def _floor(self, along: Callable[[Any], Any]) -> float:
        """What counts as a small derivative: a thousandth of what the function's terms, its rounding and its changes
        nearby suggest, or of 1.
        """
        step = _STEPS[self.reference.precision][0]
        with np.errstate(all="ignore"):
            change = float(abs(along(np.longdouble(step)) - along(np.longdouble(0)))) / step
        terms = self.reference.noise / float(np.finfo(self.reference.precision).eps)
        return 1e-3 * min(1.0, max(self.magnitude, terms, change if math.isfinite(change) else 0.0, 1e-12))


def _exclude(a: Derivative, b: Derivative, rounding: float) -> bool:
    """Whether two estimates cannot both be right."""
    return abs(a.value - b.value) > 10 * (a.error + b.error) + rounding


@dataclass(frozen=True)
class _Found(Derivative):
    """A derivative, and how it was found."""

    method: str
