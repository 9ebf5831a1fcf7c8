"""One analytic derivative against one numerical one, each judged on its own scale, from what is known of both errors.

How it goes, for a function of arrays (a vector of terms whose sum is differentiated) and its gradient:

1. *Study.* Along one random direction in which every entry moves: does the function give the same values twice; which
   precision does it compute in (longdouble, or float64 where LAPACK, FFT, a platform or a foreign library force it);
   how noisy is each term; does it have plateaus (a float32 step, a table, an iteration), which hide slopes from small
   steps; do complex steps equal the extrapolated differences.
2. *Every term has its own derivative, noise and error*, so a large term hides nothing from a small one. What an entry
   may differ by is ten times the sum of its terms' errors, and the rounding of these terms.
3. *Each entry.* A complex step may acquit. Else central differences at a few steps; else Ridders' extrapolation from
   smaller and smaller steps, until the gradient and the reference agree; else one-sided derivatives, term by term.
4. *Kinks.* A term with a kink may have any slope between its two one-sided ones. What lies beyond that may still be a
   choice among several kinks at once: :mod:`autodiff.testing.kinks` compares with the gradients at points nearby.
5. Before a gradient fails, what its own inputs' rounding and its own evaluation noise do to it is allowed for.

A verdict is "pass" only where the reference knows the entry to a few per cent of the entry itself, or knows that it is
zero. What is not known is inconclusive, entry by entry.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, AutodiffError, GradientMismatch, NotDifferentiableError
from autodiff.testing.kinks import Nearby, Spot
from autodiff.testing.numeric import Derivative, complex_step, derivative, evaluation_noise, noise_of, one_sided, table
from autodiff.testing.report import Entry, Report

__all__ = ["Leaf", "agreement", "compare", "compare_along", "scale"]

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

_EPS = float(np.finfo(np.float64).eps)
_WIDE = float(np.finfo(np.longdouble).eps) < 1e-17
_LONG, _DOUBLE = np.dtype(np.longdouble), np.dtype(np.float64)

#: Largest steps tried, relative to the entry: a kink may lie within the first ones, or an ill-conditioned function bend
#: over them, so that only the smaller ones see one smooth piece.
#: Powers of two, as the directions along one entry are: then the point and the step add up exactly.
_STEPS = {
    _LONG: (2.0**-6, 2.0**-12, 2.0**-22, 2.0**-32, 2.0**-35),
    _DOUBLE: (2.0**-6, 2.0**-12, 2.0**-19, 2.0**-25, 2.0**-28),
}
#: For functions with plateaus.
_LARGE_STEPS = (2.0**-2, 2.0**-4)
#: The step of the first two central differences.
_QUICK = 2.0**-8
#: Spacings for measuring noise: some thousand different numbers apart, and far below the smallest steps.
_SPACING = {_LONG: 1e-15, _DOUBLE: 1e-12}
#: ... and for measuring it anew where small steps are in doubt: over these the parts of a value that hardly move, as 1
#: - out^2 in a tail, round differently, too. What is smooth shows less in each higher order, noise alike in all.
_WIDER = {_LONG: 1e-10, _DOUBLE: 1e-9}
#: Where the noise of a function that seems constant is measured, too: about half of the largest step away.
_AWAY = (0.01, -0.01, 0.0137, -0.0137)
#: How far apart the tables stand that tell plateaus from smooth pieces.
_PLATEAUS = (0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)

#: Smaller entries are moved as zeros are.
_TINIEST = 1e-280

_FULL_SIZE = 48
_SPOTS = 8
_DIRECTIONS = 2
#: Every pair of up to this many entries on a kink is moved together, then those that have to do with each other.
_PAIRED = 6
#: Beyond this many numbers float64 is accurate enough and longdouble too slow; terms are added up in blocks.
_LARGE = 4096
_BLOCKS = 1024

Arrays = Sequence[Any]
Terms = Callable[[Arrays], Any]


@dataclass(frozen=True)
class Leaf:
    """One array that is differentiated with respect to.

    Attributes
    ----------
    place : int
        The position of the argument that it stands in; parameters of a module follow the arguments.
    label : str
        In words, such as ``"argument 0"`` or ``"parameter fc.weight"``.
    """

    place: int
    label: str


class UnsteadyError(ArgumentError):
    """A function returns arrays of other shapes at another point, so that there is nothing to be compared."""


@dataclass(frozen=True)
class _Reference:
    """A function of arrays with what was found out about it at its base point."""

    terms: Terms
    base: list[Any]
    precision: Any
    centre: Any
    noise: Any
    slopes: Any = 0.0
    blocks: Any = None
    known: Any = None
    analytic: bool = False
    stepped: bool = False
    plateaus: bool = False

    def along(self, direction: Sequence[Any], folded: bool = True) -> Callable[[Any], Any]:
        """The terms as a function of ``t`` at ``base + t direction``; a direction None leaves its argument alone."""

        precision, base = self.precision, self.base
        double = precision == _DOUBLE

        def function(t: Any) -> Any:
            kind = np.result_type(precision, np.complex64) if isinstance(t, complex) else precision
            if double and not isinstance(t, complex):
                t = float(t)
            arrays = [
                (b if d is None else b + t * d).astype(kind, copy=False) for b, d in zip(base, direction, strict=True)
            ]
            try:
                values = self.terms(arrays)
            except (ArithmeticError, ValueError, LookupError, NotDifferentiableError) as error:
                # The function may refuse points that the user's is far from: a level beyond [0, 1], an indefinite
                # matrix.
                if not folded or isinstance(t, complex) or isinstance(error, UnsteadyError):
                    raise
                return np.full(np.shape(self.centre), math.nan)
            if values.dtype.kind == "c" and not isinstance(t, complex):
                # Real eigenvalues, say, that part into complex ones away from the point.
                values = np.where(values.imag == 0, values.real, math.nan)
            return self.folded(values) if folded else values

        return function

    def folded(self, values: Any) -> Any:
        """Terms of unknown value left out, and many of them added up in blocks."""
        if self.known is None and self.blocks is None:
            return values
        if self.known is not None:
            values = np.where(self.known, values, 0)
        if self.blocks is None:
            return values
        order, starts = self.blocks
        return np.add.reduceat(values if order is None else values[order], starts)

    @property
    def method(self) -> str:
        """In words, how differences are taken."""
        return f"extrapolated differences in {'longdouble' if self.precision == _LONG else 'float64'}"

    @property
    def steps(self) -> tuple[float, ...]:
        return (_LARGE_STEPS if self.plateaus else ()) + _STEPS[self.precision]


def _study(
    terms: Terms, base: list[Any], rng: np.random.Generator, tries_complex: bool, report: Report
) -> _Reference | None:
    """What is to be known of a function before it is differentiated; None, and a doubt in the report, if it is
    random.
    """
    with np.errstate(all="ignore"):
        here, again = terms(base), terms(base)
    spread = np.nan_to_num(np.abs(again - here), posinf=0.0) if here.shape == again.shape else here
    if not np.array_equal(here, again, equal_nan=True):
        size = float(np.max(np.abs(here), initial=0.0))
        if here.shape != again.shape or not float(np.max(spread, initial=0.0)) <= 1e-9 * size:
            report.doubt(
                "a random function: called twice at the same point it gives different values, so no derivative can be"
                " checked; draw the numbers outside and pass them in, or seed the generator at every call"
            )
            return None
    size = sum(b.size for b in base)
    known = None
    if not np.isfinite(here).all():
        known = np.isfinite(here)
        first = int(np.argmin(known))
        report.doubt(
            f"{int((~known).sum())} of {here.size} outputs are not finite (the first is {here[first]}); nothing is"
            " known of their derivatives"
        )
        here = np.where(known, here, 0)
    precision, wide = (_DOUBLE, None) if max(size, here.size) > _LARGE else _widest(terms, base)
    blocks = None
    if here.size > _BLOCKS:
        magnitude = np.abs(here)
        spread_out = float(np.max(magnitude)) > 1e6 * float(np.median(magnitude))
        starts = np.linspace(0, here.size, _BLOCKS, endpoint=False).astype(np.int64)
        blocks = (np.argsort(magnitude) if spread_out else None, starts)
    reference = _Reference(terms, base, precision, None, 0.0, 0.0, blocks, known)
    centre = reference.folded(here if wide is None else wide)
    reference = replace(reference, centre=centre)
    dense = [rng.choice([-1.0, 1.0], b.shape) * rng.uniform(0.5, 1.0, b.shape) * scale(b) for b in base]
    along = reference.along(dense)
    noise, plateaus, slopes = _noise(along, centre, precision)
    if np.any(spread):
        noise = noise + np.max(spread)
    reference = replace(reference, noise=noise, slopes=slopes, plateaus=plateaus)
    if plateaus:
        report.note(
            "the values have plateaus (float32, rounding, a table or an iteration inside): judged to the precision that"
            " they have"
        )
    if not tries_complex or max(size, here.size) > _LARGE or not size:
        return reference
    stepped, analytic = _analytic(along, reference)
    return replace(reference, stepped=stepped, analytic=analytic)


def _noise(along: Callable[[Any], Any], centre: Any, precision: Any) -> tuple[Any, bool, Any]:
    """How far the terms may be off near 0, one by one, whether some of them have plateaus, and their slopes.

    One so flat that its values round to one number shows no noise at all; each of them may still be off by half of its
    last place.
    """
    spacing = _SPACING[precision]
    rounding = 0.5 * float(np.finfo(precision).eps) * np.abs(centre).astype(np.float64)
    near = table(along, spacing)
    noise = np.fmax(noise_of(near), rounding)
    with np.errstate(all="ignore"):
        slope = (near[-1] - centre) / (len(near) * spacing)
        doubt = 16 * noise / (len(near) * spacing)
        wide = [(along(np.longdouble(h)) - along(np.longdouble(-h))) / (2 * h) for h in (2e-4, 0.02)]
        # A slope that depends on the scale: a plateau, a kink nearby, or a strong curvature.
        strange = any(
            np.any(np.abs(w - slope) > share * np.fmax(np.abs(w), np.abs(slope)) + doubt)
            for w, share in zip(wide, (0.01, 0.3), strict=True)
        )
        change = np.abs(wide[1]) * 0.02
        if np.any((change > 0) & (change < 1e-9 * (1 + np.abs(centre)))):
            noise = np.fmax(noise, _noise_of_constant(along, centre, precision))
        slopes = np.nan_to_num(np.fmax(np.abs(wide[0]), np.abs(wide[1])).astype(np.float64), posinf=0.0)
    if not strange:
        return noise, False, slopes
    hidden = _quantum(along)
    with np.errstate(all="ignore"):
        high = hidden > 1e-12 * np.fmax(np.abs(centre), change)
        # What rises steeply from one number to the next, and not from afar, is a wave shorter than any spacing.
        halves = (near[4] - centre) / (5 * spacing), (near[8] - near[4]) / (4 * spacing)
        straight = (np.abs(halves[0] - halves[1]) <= 0.1 * np.abs(slope)) & (doubt <= 0.1 * np.abs(slope))
        tall = hidden > 1e-3 * np.fmax(np.abs(centre), change)
        steep = straight & tall & (np.abs(slope) > 4 * np.fmax(np.abs(wide[0]), np.abs(wide[1])))
        hidden = np.where(steep, 0.0, hidden)
        plateaus = (hidden > 16 * noise) & high
        # Terms that do not move enough to show theirs have them, too.
        share = float(np.max(np.where(plateaus & (centre != 0), hidden / np.abs(centre), 0.0), initial=0.0))
    return np.fmax(np.where(hidden > 16 * noise, hidden, noise), share * np.abs(centre)), bool(plateaus.any()), slopes


def _quantum(along: Callable[[Any], Any]) -> Any:
    """The height of a function's plateaus, 0 where it has none.

    Tables of values at spacings that shrink tenfold show noise of one size as long as the plateaus are narrower than
    the spacing, and none below; a smooth function's differences shrink by four orders at a time, a kink's tenfold, a
    pole's grow. Both sides of the point must show it.
    """
    found = []
    for width in _PLATEAUS:
        with np.errstate(all="ignore"):
            tables = [table(along, side * width / 8, side * width) for side in (1, -1)]
        noises = [noise_of(values) for values in tables]
        # Of noise all differences are alike; a pole's low ones are larger.
        alike = [noise_of(values, (2, 3)) <= 4 * noise for values, noise in zip(tables, noises, strict=True)]
        found.append(np.where(alike[0] & alike[1], np.fmin(*noises), 0.0))
    quantum: Any = 0.0
    for wider, narrower in itertools.pairwise(found):
        quantum = np.fmax(
            quantum, np.where((narrower >= wider / 5) & (narrower <= 5 * wider), np.fmin(wider, narrower), 0.0)
        )
    return quantum


def _noise_of_constant(along: Callable[[Any], Any], centre: Any, precision: Any) -> Any:
    """How far terms that are constant but for their noise are off; 0 for any other.

    Near the point every step of an evaluation may be exact: log(exp(s)) with s = x - constant(x), as in log_softmax of
    one class, is s to the last digit while exp(s) = 1 + s and s is a multiple of eps, which the rounding of x makes it,
    often on one side alone. Farther away exp(s) rounds.
    """
    change = np.max([np.abs(along(np.longdouble(end)) - centre) for end in _AWAY], axis=0)
    # Several tables: the points of one may differ by a multiple of what they are rounded to, and so be rounded alike.
    noise = np.max([evaluation_noise(along, _SPACING[precision], end) for end in _AWAY], axis=0)
    constant = (change < 1e-9 * (1 + np.abs(centre))) & (change <= 4 * noise)
    return np.where(constant, noise, 0.0)


def _analytic(along: Callable[[Any], Any], reference: _Reference) -> tuple[bool, bool]:
    """Whether complex steps can be taken at all, and whether along a direction in which everything moves they equal the
    extrapolated differences, term by term, at a point without a kink.
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            stepped = complex_step(along)
    except Exception:
        # Whatever an operation says to complex numbers, it says that it cannot be stepped so.
        return False, False
    steps = _STEPS[reference.precision]
    first, second = (derivative(along, step, reference.noise) for step in steps[:2])
    closer = first.error <= second.error
    value, error = np.where(closer, first.value, second.value), np.where(closer, first.error, second.error)
    with np.errstate(all="ignore"):
        size = np.fmax(np.abs(value), np.abs(stepped))
        good = (error <= 1e-8 * size) | ((size == 0) & (error <= 10 * reference.noise / steps[0]))
        same = np.abs(stepped - value) <= 10 * error + 64 * _EPS * size
        total = float(np.sum(size))
        # Terms that are small beside the others may be known less well.
        good |= error <= 1e-12 * total
        same |= np.abs(stepped - value) <= 1e-13 * total
    straight = not np.any(_bends(along, reference, steps[1], np.fmax(size, 1e-3 * total)))
    return True, bool(np.all(good & same)) and straight


def _bends(along: Callable[[Any], Any], reference: _Reference, step: float, size: Any) -> Any:
    """Where the slopes to the right and to the left differ at this step by more than a smooth function's would: perhaps
    a kink.
    """
    h = np.longdouble(step)
    with np.errstate(all="ignore"):
        bend = np.abs(along(h) - 2 * reference.centre + along(-h)) / step
    return ~(bend <= 0.02 * size + 4 * reference.noise / step)


def precision_of(terms: Terms, base: Sequence[Any]) -> Any:
    """Longdouble if the function computes in it, else float64 (LAPACK, FFT, platforms without)."""
    return _widest(terms, base)[0]


def _widest(terms: Terms, base: Sequence[Any]) -> tuple[Any, Any]:
    """The precision that a function computes in, and its values if that is longdouble."""
    if not _WIDE:
        return _DOUBLE, None
    try:
        with np.errstate(all="ignore"):
            values = np.asarray(terms([b.astype(np.longdouble) for b in base]))
    except Exception:
        # Whatever it says to longdouble, it says that it computes in something else.
        return _DOUBLE, None
    return (_LONG, values) if values.dtype == _LONG else (_DOUBLE, None)


def scale(array: Any) -> Any:
    """Steps go with the size of the entry, so that a point near a singularity is not stepped over it; where products
    with it would leave the range, it is as good as zero.
    """
    return np.where((np.abs(array) < _TINIEST) | ~np.isfinite(array), 1.0, np.abs(array))


def _directions(array: Any, g: Any, rng: np.random.Generator) -> list[tuple[tuple[int, ...] | None, Any]]:
    """One-hot directions for every entry of a small array; for a large one a few one-hot spots, random directions, and
    one for the entries of each order of size, so that small ones are not lost among large ones.
    """
    sizes = scale(array)
    result: list[tuple[tuple[int, ...] | None, Any]] = []
    if array.size <= _FULL_SIZE:
        spots = np.arange(array.size)
    else:
        spots = np.sort(rng.choice(array.size, _SPOTS if array.size <= _LARGE else 1, replace=False))
    for spot in spots:
        direction = np.zeros(array.size)
        direction[spot] = np.exp2(np.floor(np.log2(sizes.reshape(-1)[spot])))
        result.append((tuple(int(i) for i in np.unravel_index(spot, array.shape)), direction.reshape(array.shape)))
    if array.size <= _FULL_SIZE:
        return result
    share = np.abs(np.where(np.isfinite(g), g, 0.0)) * sizes
    with np.errstate(divide="ignore"):
        band = np.clip(
            np.nan_to_num(np.floor(np.log10(share / max(float(share.max()), 1e-300)) / 3), neginf=-5), -5, -1
        )
    bands = np.unique(band)
    for number in range(_DIRECTIONS if array.size <= _LARGE else 1):
        full = rng.choice([-1.0, 1.0], array.shape) * rng.uniform(0.5, 1.0, array.shape) * sizes
        if len(bands) > 1 and (number == 0 or array.size > _LARGE):
            result += [(None, np.where(band == b, full, 0.0)) for b in bands]
        else:
            result.append((None, full))
    return result


class _Stability:
    """How far a gradient may be off through no fault of its formula, per entry; measured when first asked for."""

    def __init__(self, gradient_at: Callable[[Arrays], Sequence[Any]], base: list[Any]) -> None:
        self.gradient_at, self.base = gradient_at, base
        rng = np.random.default_rng(7)
        # Every entry moves by an amount of its own: equal ones that stay equal cancel without a rounding.
        self.signs = [rng.choice([-1.0, 1.0], b.shape) * rng.uniform(0.75, 1.25, b.shape) for b in base]
        self._rates: list[Any] | None = None
        self._noises: list[Any] | None = None

    def _at(self, distance: float) -> list[Any]:
        with np.errstate(all="ignore"):
            found = self.gradient_at([b * (1 + distance * s) for b, s in zip(self.base, self.signs, strict=True)])
            return [np.broadcast_to(plain(g), b.shape) for g, b in zip(found, self.base, strict=True)]

    def rate(self, k: int, direction: Any) -> float:
        """The change of the derivative per relative change of its inputs: what one rounding of them does is this times
        1.1e-16.
        """
        if self._rates is None:
            self._rates = [np.zeros(b.shape) for b in self.base]
            with contextlib.suppress(ValueError, TypeError, ArithmeticError, AutodiffError):
                for i, (a, b, c) in enumerate(zip(self._at(0.0), self._at(1e-10), self._at(1e-9), strict=True)):
                    near, far = np.abs(b - a), np.abs(c - a)
                    # Tenfold farther it changes ten times as much. What does not is a jump, or the noise of a sloppy
                    # backward: no excuse.
                    steady = 3 * np.max(near, initial=0.0) < np.max(far, initial=0.0) < 30 * np.max(near, initial=0.0)
                    self._rates[i] = near / 1e-10 if steady else np.zeros(near.shape)
        return float(np.sum(self._rates[k] * np.abs(direction)))

    def noise(self, k: int, direction: Any) -> float:
        """The derivative's own evaluation noise, as of :func:`~autodiff.testing.numeric.evaluation_noise`.

        The largest of several places: at the point itself equal entries or round numbers may cancel to the last digit,
        and nine values of one entry may happen to round alike.
        """
        if self._noises is None:
            self._noises = [np.zeros(b.shape) for b in self.base]
            with contextlib.suppress(ValueError, TypeError, ArithmeticError, AutodiffError):
                for place in (0.0, *_AWAY):
                    rows = [self._at(place + _SPACING[_DOUBLE] * (i + 1)) for i in range(9)]
                    for i, b in enumerate(self.base):
                        here = np.reshape(noise_of(np.array([row[i] for row in rows])), b.shape)
                        self._noises[i] = np.fmax(self._noises[i], here)
        return float(np.sum(self._noises[k] * np.abs(direction)))


class _Settled:
    """In the place of :class:`_Stability` where there is no gradient to ask."""

    def rate(self, k: int, direction: Any) -> float:
        return 0.0

    def noise(self, k: int, direction: Any) -> float:
        return 0.0


def plain(g: Any) -> Any:
    """A gradient as a NumPy array; 0 for None."""
    return 0.0 if g is None else np.asarray(getattr(g, "data", g) if hasattr(g, "_node") else g)


def compare(
    report: Report,
    terms: Terms,
    gradient_at: Callable[[Arrays], Sequence[Any]],
    base: list[Any],
    leaves: Sequence[Leaf],
    order: int,
    rng: np.random.Generator,
    *,
    below: Terms | None = None,
    tries_complex: bool = False,
    hasty: bool = False,
) -> None:
    """Enter into ``report`` the comparison of every argument's gradient with differences of the sum of ``terms``.

    Parameters
    ----------
    report : Report
    terms : callable
        Takes the arrays of all arguments in any precision and returns a vector.
    gradient_at : callable
        Takes them in float64 and returns the gradients, None where there is none.
    base : list of ndarray
        The point.
    leaves : sequence of Leaf
        What the arrays are.
    order : {1, 2}
    rng : numpy.random.Generator
    below : callable, optional
        For the second order: the function itself, asked about kinks.
    tries_complex : bool
        Whether ``terms`` may be called with complex arrays.
    hasty : bool
        End at the first entry that fails.

    Raises
    ------
    GradientMismatch
        If a gradient has another shape or dtype than its argument.
    """
    found = [
        np.zeros(b.shape) if g is None else np.asarray(plain(g)) for g, b in zip(gradient_at(base), base, strict=True)
    ]
    for leaf, g, array in zip(leaves, found, base, strict=True):
        if g.shape != array.shape or g.dtype != array.dtype:
            raise GradientMismatch(_misfit(report, leaf, g, array))
    reference = _study(terms, base, rng, tries_complex, report)
    if reference is None:
        return
    # For the second order the rounding of the function itself counts, too.
    magnitude = 0.0 if below is None else float(np.nansum(np.abs(below(base))))
    nearby = Nearby(terms, gradient_at, base, reference.precision)
    judge = _Judge(report, reference, order, found, _Stability(gradient_at, base), nearby, magnitude)
    for k, (leaf, g, array) in enumerate(zip(leaves, found, base, strict=True)):
        for index, direction in _directions(array, g, rng):
            entry = judge(leaf, k, index, direction)
            if (
                entry.verdict != "pass"
                and below is not None
                and _kinked(below, base, [direction if j == k else None for j in range(len(base))])
            ):
                # The gradient jumps here, so there is no second derivative; a subgradient halfway hid the kink from the
                # first comparison.
                report.entries = [
                    replace(e, kink=True) if (e.argument, e.label, e.index) == (leaf.place, leaf.label, index) else e
                    for e in report.entries
                ]
            else:
                report.entries.append(entry)
                if hasty and entry.verdict == "fail":
                    return
    if order == 1 and len(judge.kinks) > 1:
        with np.errstate(all="ignore"):
            judge.ties(leaves)
    if judge.rough:
        report.note(f"{judge.rough} entries were judged to two to five digits: the values of the function hold no more")


def compare_along(
    report: Report, terms: Terms, analytic: float, base: list[Any], direction: Sequence[Any], order: int, leaf: Leaf
) -> None:
    """Enter into ``report`` the comparison of one number with the derivative of the sum of ``terms`` along a direction;
    nothing where there is a kink.
    """
    precision, values = _widest(terms, base)
    with np.errstate(all="ignore"):
        centre = terms(base) if values is None else values
    if not np.isfinite(centre).all():
        return
    reference = _Reference(terms, base, precision, centre, 0.0)
    along = reference.along(direction)
    noise, plateaus, slopes = _noise(along, centre, reference.precision)
    reference = replace(reference, centre=centre, noise=noise, slopes=slopes, plateaus=plateaus)
    judge = _Judge(report, reference, order, [], _Settled(), None)
    # The terms of the number compared are not known one by one: their rounding is that of the function's.
    judge.floor = ROUNDING_ULPS * _EPS * judge.magnitude
    entry = judge.along(leaf, 0, None, analytic, direction, 1.0)
    if not entry.kink:
        report.entries.append(entry)


def agreement(leaf: Leaf, analytic: float, other: float, size: float, method: str) -> Entry:
    """The comparison of two derivations of one number that are both exact but for the rounding of terms of this
    size.
    """
    tolerance = ROUNDING_ULPS * _EPS * max(size, abs(other))
    verdict = "pass" if abs(analytic - other) <= tolerance else "fail"
    return Entry(1, leaf.place, None, analytic, other, _EPS * size, tolerance, verdict, method=method, label=leaf.label)


def _misfit(report: Report, leaf: Leaf, g: Any, array: Any) -> str:
    words = (
        f"{report.name}: the gradient of {leaf.label} is {g.dtype}{list(g.shape)}, the argument"
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


def _kinked(terms: Terms, base: list[Any], direction: Sequence[Any]) -> bool:
    """Whether some term has different derivatives from the left and from the right, both well known."""
    precision, values = _widest(terms, base)
    centre = terms(base) if values is None else values
    reference = _Reference(terms, base, precision, centre, 0.0)
    along = reference.along(direction)
    noise, *_ = _noise(along, centre, reference.precision)
    left, right = one_sided(along, -1, 1e-3, noise), one_sided(along, 1, 1e-3, noise)
    with np.errstate(all="ignore"):
        gap, size = np.abs(left.value - right.value), np.fmax(np.abs(left.value), np.abs(right.value))
        return bool(np.any(gap > 1e3 * (left.error + right.error) + 1e-9 * size))


@dataclass
class _Numeric:
    """What the differences say of one derivative: the sum of the terms', its error, and the terms' sizes."""

    value: float
    error: float
    size: float
    change: float = 0.0
    flat: bool = False
    small: float = 0.0

    def times(self, length: float) -> _Numeric:
        """Of a direction so many times as long."""
        value, error, size, change = (length * part for part in (self.value, self.error, self.size, self.change))
        return replace(self, value=value, error=error, size=size, change=change, small=length * self.small)


class _Judge:
    """Decides on the derivatives of one function."""

    def __init__(
        self,
        report: Report,
        reference: _Reference,
        order: int,
        gradient: list[Any],
        stability: _Stability | _Settled,
        nearby: Nearby | None,
        magnitude: float = 0.0,
    ) -> None:
        self.report, self.reference, self.order = report, reference, order
        self.gradient, self.stability, self.nearby = gradient, stability, nearby
        self.size = max((float(np.max(np.abs(g[np.isfinite(g)]), initial=0.0)) for g in gradient), default=0.0)
        self.longest = max((float(np.max(scale(b), initial=0.0)) for b in reference.base), default=1.0) or 1.0
        self.magnitude = float(np.sum(np.abs(reference.centre))) + magnitude
        self.kinks: list[Spot] = []
        self.rough = 0
        self.floor = 0.0

    def __call__(self, leaf: Leaf, k: int, index: Any, direction: Any) -> Entry:
        """The entry of one argument's gradient, or its derivative along a direction."""
        g = self.gradient[k]
        full = [direction if j == k else None for j in range(len(self.reference.base))]
        length = 1.0 if index is None else float(direction[index])
        analytic = float(np.sum(g * direction)) if index is None else float(g[index]) * length
        entry = self.along(leaf, k, index, analytic, full, float(np.max(np.abs(direction))))
        if index is not None:
            entry = entry.over(length)
            if entry.kink:
                self.kinks.append((k, index))
        return entry

    def along(self, leaf: Leaf, k: int, index: Any, analytic: float, direction: Sequence[Any], length: float) -> Entry:
        """One derivative judged."""
        found, verdict, kink, method = self._compared(analytic, direction, length)
        if verdict == "pass" and found.flat and found.error > 0 and length < 1 and self._rises(direction, length):
            verdict = "inconclusive"
        tolerance = self._tolerance(analytic, found)
        # A second derivative that nothing moves is zero to the reference, and to the gradient's own rounding.
        still = self.order == 2 and found.flat
        beyond = verdict == "fail" or (
            verdict == "inconclusive"
            and (
                still
                or found.error < abs(analytic - found.value)
                or max(abs(analytic), abs(found.value)) <= found.small
            )
        )
        if beyond and not kink and math.isfinite(analytic):
            tolerance, verdict = self._excused(k, analytic, found, direction, length, tolerance, verdict)
        if verdict != "pass" and not math.isfinite(analytic) and self.reference.known is not None:
            verdict = "inconclusive"
        if verdict == "pass" and not kink and found.error > CONCLUSIVE * max(abs(analytic), found.size) > 0:
            self.rough += 1
        return Entry(
            self.order,
            leaf.place,
            index,
            analytic,
            found.value,
            found.error,
            tolerance,
            verdict,
            kink,
            method,
            label=leaf.label,
        )

    def _tolerance(self, analytic: float, found: _Numeric) -> float:
        size = abs(analytic) if math.isfinite(analytic) else 0.0
        return 10 * found.error + ROUNDING_ULPS * _EPS * max(size, found.size) + self.floor

    def _excused(
        self,
        k: int,
        analytic: float,
        found: _Numeric,
        direction: Sequence[Any],
        length: float,
        tolerance: float,
        verdict: str,
    ) -> tuple[float, str]:
        """What the gradient's inputs' rounding and its own noise may do to it, as measured, and at most what rounding
        does to the largest entries.
        """
        gap, own = abs(analytic - found.value), direction[k]
        size = max(self.size * length, abs(analytic), self.magnitude)
        if own is None or not gap <= 0.1 * max(size, abs(found.value)):
            return tolerance, verdict
        rate = INPUT_ROUNDINGS * _EPS * self.stability.rate(k, own)
        # Noise of less than this matters to neither answer below.
        noise = 10 * self.stability.noise(k, own) if gap <= tolerance + rate + SLOPPY * size else 0.0
        excuse = rate + min(noise, ROUNDING_ULPS * _EPS * size)
        if gap <= tolerance + excuse and (verdict == "fail" or found.error <= excuse):
            # A first derivative that is mostly noise, as 1 - out^2 in a tail, is not known to be right.
            own_size = max(abs(analytic), abs(found.value))
            vague = self.order == 1 and excuse > ROUGH * own_size > ROUGH * 16 * _EPS * self.magnitude
            return tolerance + excuse, "inconclusive" if vague else "pass"
        # Right to within its own noise, which is more than rounding explains: an unstable formula, or a wrong one.
        return tolerance, "inconclusive" if gap <= SLOPPY * size and gap <= noise else verdict

    def _decide(self, analytic: float, found: _Numeric, length: float) -> str:
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

    def _compared(self, analytic: float, direction: Sequence[Any], length: float) -> tuple[_Numeric, str, bool, str]:
        """The reference, the verdict on it, whether there is a kink, and how the reference was taken."""
        reference, along = self.reference, self.reference.along(direction)
        stepped, small = self._stepped(along, length) if reference.stepped else (None, 0.0)
        if (
            reference.analytic
            and stepped is not None
            and (self._near(analytic, stepped) or abs(analytic - stepped.value) <= small)
        ):
            return stepped, "pass", False, "complex step"
        with np.errstate(all="ignore"):
            quick, moved, bent = self._quick(analytic, along, length)
        agreed = quick is not None and not bent and self._decide(analytic, quick, length) == "pass"
        if quick is not None and agreed:
            bound = float(np.sum(np.where(moved, 0.0, reference.noise))) / _QUICK
            certain = bound <= 1e-9 * max(abs(analytic), quick.size)
            if certain and not self._objects(analytic, quick, stepped, False):
                return quick, "pass", False, reference.method
        hidden, constant = self._hidden(direction, along, moved)
        if quick is not None and agreed:
            quick = replace(quick, error=quick.error + hidden)
            if self._decide(analytic, quick, length) == "pass" and not self._objects(
                analytic, quick, stepped, constant
            ):
                return quick, "pass", False, reference.method
        if quick is not None and not bent and length < 1:
            # Steps that do not shrink with the entry may resolve what the others only do not contradict.
            longer = reference.along([None if d is None else d / length for d in direction])
            with np.errstate(all="ignore"):
                wider, _, curved = self._quick(analytic / length, longer, 1.0)
            if wider is not None and not curved:
                wider = wider.times(length)
                if self._decide(analytic, wider, length) == "pass" and not self._objects(
                    analytic, wider, stepped, constant
                ):
                    return wider, "pass", False, reference.method
        with np.errstate(all="ignore"):
            found, verdict, kink = self._slow(analytic, along, direction, moved, hidden, length)
        if not kink and verdict == "inconclusive" and constant and abs(analytic - found.value) <= 10 * found.error:
            # It stays the same, but for its noise, wherever it is moved to.
            verdict = "pass"
        if verdict == "inconclusive" and not kink and length < 1 and math.isfinite(analytic):
            wider = self._wider(direction, found, moved, hidden, length)
            if wider is not None and self._decide(analytic, wider, length) == "pass":
                found, verdict = wider, "pass"
        if not kink and stepped is not None and math.isfinite(analytic):
            agrees = abs(stepped.value - found.value) <= 10 * found.error
            if verdict == "inconclusive" and agrees and analytic != 0 and self._near(analytic, stepped):
                # Differences cannot resolve it, but do not contradict a complex step that agrees to the last digits.
                return stepped, "pass", False, "complex step"
            if verdict == "pass" and self._objects(analytic, found, stepped, constant):
                verdict = "inconclusive"
            if verdict == "fail" and reference.analytic and agrees and found.error <= ROUGH * abs(stepped.value):
                return stepped, "fail", False, "complex step"
        return found, verdict, kink, reference.method

    def _objects(self, analytic: float, found: _Numeric, stepped: _Numeric | None, constant: bool) -> bool:
        """Whether a complex step sees a derivative below what the differences resolve, other than the gradient."""
        if stepped is None or constant or self._near(analytic, stepped):
            return False
        if self.order == 2 and abs(analytic - stepped.value) <= found.small:
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
            return 64 * _EPS * float(np.sum(np.where(moved, sizes, 0.0)))
        # A gradient that is nothing but rounding has no size of its own.
        sizes = np.fmax(sizes, np.abs(self.reference.centre))
        return 64 * _EPS * float(np.sum(np.where(moved, sizes, 0.0))) + 4 * _EPS * self.magnitude

    def _stepped(self, along: Callable[[Any], Any], length: float) -> tuple[_Numeric | None, float]:
        with np.errstate(all="ignore"), contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            values = complex_step(along)
            value, size = float(np.sum(values)), float(np.sum(np.abs(values)))
            if math.isfinite(size):
                return _Numeric(value, 4 * _EPS * size, size), self._small(values != 0, length)
        return None, 0.0

    def _near(self, analytic: float, found: _Numeric) -> bool:
        return abs(analytic - found.value) <= ROUNDING_ULPS * _EPS * max(abs(analytic), found.size)

    def _quick(self, analytic: float, along: Callable[[Any], Any], length: float) -> tuple[_Numeric | None, Any, bool]:
        """Two or three central differences, extrapolated: enough where the gradient agrees with them to the noise.

        Returns
        -------
        (numeric, moved, bent)
            ``numeric`` is None without an agreement; ``moved`` says which terms change at all.
        """
        reference = self.reference
        h = _QUICK if reference.precision == _DOUBLE else np.longdouble(_QUICK)
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
            gap = abs(analytic - value)
            if gap <= 10 * doubt + ROUNDING_ULPS * _EPS * max(abs(analytic), size):
                allowed = float(h) * 0.02 * np.fmax(np.abs(better), 1e-3 * size)
                bend = right - 2 * centre + left
                bent = bool(np.any(np.abs(bend) > allowed + 4 * reference.noise))
                if bent:
                    # Curvature bends with the square of the step, a kink with the step: two steps tell them apart.
                    inner = along(h / 16) - 2 * centre + along(-h / 16)
                    kink = np.abs(256 * inner - bend) / 15
                    bent = bool(np.any(kink > allowed + 4 * 17 * reference.noise))
                error = max(doubt, min(gap, 1e-12 * size))
                return _Numeric(value, error, size, change, not moved.any(), self._small(moved, length)), moved, bent
            far, older = near, estimate
        return None, moved, False

    def _hidden(self, direction: Sequence[Any], along: Callable[[Any], Any], moved: Any) -> tuple[float, bool]:
        """What the terms that do not change over a step may hide, each below its last digit; and whether all terms stay
        the same but for their noise wherever the point is moved to.

        A term that does not change over a large move either does not depend on what is moved.
        """
        reference = self.reference
        bound = np.where(moved, 0.0, reference.noise) / _QUICK
        far: list[Any] = []
        # Twice afar: one of two exponentials may be below the other's last digit over a wide range.
        for sign in (0.731, -1.37, 53.0, -47.0):
            away = [
                None if d is None else sign * np.maximum(1.0, np.abs(b)) * np.sign(d)
                for b, d in zip(reference.base, direction, strict=True)
            ]
            far.append(self._change(away))
        constant = bool(np.all(np.array(far[:2]) <= 16 * reference.noise))
        independent = np.all(np.array(far) == 0, axis=0)
        return float(np.sum(np.where(independent, 0.0, bound))), constant

    def _change(self, away: Sequence[Any]) -> Any:
        """By how much a large move changes each term: the largest at which the function has a value."""
        for length in (1, 0.25, 0.0625, 0.015625):
            with np.errstate(all="ignore"):
                change = np.abs(self.reference.along(away)(np.longdouble(length)) - self.reference.centre)
            if not np.isnan(change).all():
                return change
        return np.full(np.shape(self.reference.centre), math.inf)

    def _slow(
        self,
        analytic: float,
        along: Callable[[Any], Any],
        direction: Sequence[Any],
        moved: Any,
        hidden: float,
        length: float,
    ) -> tuple[_Numeric, str, bool]:
        """Extrapolated differences from smaller and smaller steps, then one-sided ones."""
        reference = self.reference
        steps, centre = reference.steps, reference.centre
        # A kink stands on one side.
        tables = [table(along, side * _WIDER[reference.precision]) for side in (1, -1)]
        again = [noise_of(values, (order,)) for values in tables for order in (4, 5, 6)]
        noise = np.fmax(reference.noise, np.min(again, axis=0))
        wide = [np.abs(along(sign * np.longdouble(steps[0])) - centre) for sign in (1, -1)]
        moved = moved | (wide[0] != 0) | (wide[1] != 0)
        noise = np.where(moved, noise, 0.0)
        change = float(np.nansum(np.fmax(*wide))) / steps[0]
        shape = np.shape(centre)
        best = Derivative(np.full(shape, math.nan), np.full(shape, math.inf))
        previous = numeric = best
        agreed = False
        found = _Numeric(math.nan, math.inf, 0.0)
        for step in steps:
            previous, numeric = numeric, derivative(along, step, noise)
            # Two estimates that exclude each other have a kink or a pole between their steps, and the nearer one tells.
            closer = (numeric.error < best.error) | (_exclude(numeric, best) & np.isfinite(numeric.error))
            best = Derivative(np.where(closer, numeric.value, best.value), np.where(closer, numeric.error, best.error))
            found = self._sum(best, hidden, change, moved, self._small(moved, length))
            decided = self._decide(analytic, found, length)
            if decided == "fail" and step == steps[1] and self._smooth(along, previous, numeric, found):
                return found, "fail", False
            if decided == "pass":
                sizes = np.fmax(np.abs(best.value), 1e-3 * found.size)
                if not np.any(_bends(along, reference, min(step, _STEPS[reference.precision][1]), sizes)):
                    return found, "pass", False
                # The mean of both slopes is a subgradient, too; the report should say so if there is a kink.
                agreed = True
                break
        if not agreed and self._unresolved(along, steps, noise):
            return found, "inconclusive", False
        return self._at_a_kink(analytic, direction, noise, best, numeric, previous, found, agreed, length)

    def _smooth(self, along: Callable[[Any], Any], far: Derivative, near: Derivative, found: _Numeric) -> bool:
        """Whether two steps agree in all digits that count and neither bends: then no smaller ones say more."""
        sizes = np.fmax(np.abs(near.value), 1e-3 * found.size)
        sure = not self.reference.plateaus and float(np.sum(far.error) + np.sum(near.error)) <= 1e-6 * abs(found.value)
        steps = self.reference.steps[:2]
        return (
            sure
            and not np.any(_exclude(far, near))
            and not any(np.any(_bends(along, self.reference, step, sizes)) for step in steps)
        )

    def _wider(
        self, direction: Sequence[Any], found: _Numeric, moved: Any, hidden: float, length: float
    ) -> _Numeric | None:
        """The derivative from steps that do not shrink with the entry, where a smooth function allows them; None where
        two of them, or the smaller ones, contradict.
        """
        along = self.reference.along([None if d is None else d / length for d in direction])
        noise, centre = self.reference.noise, self.reference.centre
        with np.errstate(all="ignore"):
            far, near = (derivative(along, step, noise) for step in (2.0**-6, 2.0**-9))
            if np.any(_exclude(far, near)):
                return None
            use = far.error < near.error
            value, error = (np.where(use, a, b) * length for a, b in ((far.value, near.value), (far.error, near.error)))
            best = Derivative(value, error)
            change = float(np.sum(np.abs(along(np.longdouble(2.0**-6)) - centre))) * 2**6 * length
            wider = self._sum(best, hidden, change, moved, self._small(moved, length))
            return wider if abs(wider.value - found.value) <= 10 * (wider.error + found.error) else None

    def _rises(self, direction: Sequence[Any], length: float) -> bool:
        """Whether what does not move over shares of a small entry rises smoothly over steps of natural size."""
        along = self.reference.along([None if d is None else d / length for d in direction])
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

    def _sum(self, best: Derivative, hidden: float, change: float, moved: Any, small: float) -> _Numeric:
        value, error = float(np.sum(best.value)), float(np.sum(best.error)) + hidden
        return _Numeric(value, error, float(np.sum(np.abs(best.value))), change, not np.any(moved), small)

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
        analytic: float,
        direction: Sequence[Any],
        noise: Any,
        best: Derivative,
        numeric: Derivative,
        previous: Derivative,
        found: _Numeric,
        agreed: bool,
        length: float,
    ) -> tuple[_Numeric, str, bool]:
        """One-sided derivatives, term by term: a term that has two may have any between them."""
        low, high, error, kinks = self._bracket(direction, noise, best)
        size = max(found.size, abs(low), abs(high))
        accuracy = 10 * error + ROUNDING_ULPS * _EPS * size
        if kinks and not error <= ROUGH * max(abs(low), abs(high), high - low):
            # Its slope grows without bounds, as a root's at zero, or is not known well.
            return _Numeric(low, error, size), "inconclusive", True
        if kinks:
            inside = low - accuracy <= analytic <= high + accuracy
            nearest = min(max(analytic, low), high) if math.isfinite(analytic) else low
            verdict = "pass" if inside else self._beyond(direction, analytic, accuracy)
            return _Numeric(nearest, error, size), verdict, True
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
        verdict = self._decide(analytic, found, length)
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
            # A noisy function needs the larger step.
            use = (near.error > 1e-3 * np.abs(near.value)) & (wide.error < near.error)
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
        rounding = ROUNDING_ULPS * _EPS * np.fmax(np.abs(a), np.abs(b))
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
        if self.nearby is None or self.order == 2 or not math.isfinite(analytic):
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
        accuracy = 10 * error + ROUNDING_ULPS * _EPS * size
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
        rounding = ROUNDING_ULPS * _EPS * np.fmax(np.abs(a.value), np.abs(b.value))
        return np.abs(a.value - b.value) > 10 * (a.error + b.error) + rounding
