"""What is to be known of a function before it is differentiated numerically: does it give the same values twice, which
precision does it compute in, how noisy is every term, are there plateaus, can complex steps be trusted.
"""

from __future__ import annotations

import functools
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, NotDifferentiableError
from autodiff.testing.numeric import complex_step, derivative, noise_of, spread, table
from autodiff.testing.report import Report

__all__ = ["Studied", "UnsteadyError", "bends", "jumps", "noise_near", "scale", "study", "widest"]

EPS = float(np.finfo(np.float64).eps)
_WIDE = float(np.finfo(np.longdouble).eps) < 1e-17
LONG, DOUBLE = np.dtype(np.longdouble), np.dtype(np.float64)

#: Largest steps tried, relative to the entry: a kink may lie within the first ones, or an ill-conditioned function bend
#: over them, so that only the smaller ones see one smooth piece.
#: Powers of two, as the directions along one entry are: then the point and the step add up exactly.
STEPS = {
    LONG: (2.0**-6, 2.0**-12, 2.0**-22, 2.0**-32, 2.0**-35),
    DOUBLE: (2.0**-6, 2.0**-12, 2.0**-19, 2.0**-25, 2.0**-28),
}
#: For functions with plateaus.
LARGE_STEPS = (2.0**-2, 2.0**-4)
#: Spacings for measuring noise: some thousand different numbers apart, and far below the smallest steps.
SPACING = {LONG: 1e-15, DOUBLE: 1e-12}
#: Where the noise of a function that seems constant is measured, too: about half of the largest step away.
AWAY = (0.01, -0.01, 0.0137, -0.0137)
#: How far apart the tables stand that tell plateaus from smooth pieces.
_PLATEAUS = (0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
#: Smaller entries are moved as zeros are.
_TINIEST = 1e-280
#: Beyond this many numbers float64 is accurate enough and longdouble too slow; terms are added up in blocks.
LARGE = 4096
_BLOCKS = 1024

#: A function of so few values may give the same ones twice by chance, as one with a random mask does.
_FEW = 64
_RANDOM = (
    "a random function: called again at the same point it gives different values, so no derivative can be checked; draw"
    " the numbers outside and pass them in, or seed the generator at every call"
)

Arrays = Sequence[Any]
Terms = Callable[[Arrays], Any]


class UnsteadyError(ArgumentError):
    """A function returns arrays of other shapes at another point, so that there is nothing to be compared."""


class Studied:
    """A function of arrays with what is found out about it at its base point, when that is first asked for.

    ``blocks`` and ``known`` say which terms are added up and which are finite, ``unsteady`` how far two calls at the
    same point differ, ``trusting`` whether a gradient may be called right before anything is measured, see
    :meth:`Judge.certain`.
    """

    def __init__(
        self,
        terms: Terms,
        base: list[Any],
        precision: Any,
        report: Report | None = None,
        *,
        blocks: Any = None,
        known: Any = None,
        unsteady: float = 0.0,
        tries_complex: bool = False,
    ) -> None:
        self.terms, self.base, self.precision, self.report = terms, base, precision, report
        self.eps = EPS if precision == DOUBLE else float(np.finfo(precision).eps)
        self.blocks, self.known, self.unsteady, self.tries_complex = blocks, known, unsteady, tries_complex
        self.centre: Any = None
        self.trusting = True

    @functools.cached_property
    def sizes(self) -> Any:
        """The terms' sizes."""
        return np.abs(self.centre).astype(np.float64)

    @functools.cached_property
    def magnitude(self) -> float:
        """Their sum."""
        return float(self.sizes.sum())

    @functools.cached_property
    def dense(self) -> Sequence[Any]:
        """The direction along which the function is studied, in which every entry moves."""
        rng = np.random.default_rng(3)
        return [spread(rng, b.shape) * scale(b) for b in self.base]

    @functools.cached_property
    def _near(self) -> tuple[Any, bool, Any]:
        noise, plateaus, slopes = noise_near(self.along(self.dense), self.centre, self.precision)
        if plateaus and self.report is not None:
            self.report.note(
                "the values have plateaus (float32, rounding, a table or an iteration inside): judged to the precision"
                " that they have"
            )
        return noise + self.unsteady if self.unsteady else noise, plateaus, slopes

    @property
    def measured(self) -> bool:
        """Whether the noise has been asked for."""
        return "_near" in vars(self)

    def random(self) -> bool:
        """Whether the function is random after all, which two calls need not show; the report says so."""
        if self.unsteady or self.centre.size > _FEW or self.blocks is not None:
            return False
        with np.errstate(all="ignore"):
            first, *others = (self.terms(self.base) for _ in range(4))
        if all(_same(first, other) for other in others):
            return False
        if self.report is not None:
            self.report.doubt(_RANDOM)
        return True

    @property
    def noise(self) -> Any:
        """How far every term may be off."""
        return self._near[0]

    @property
    def plateaus(self) -> bool:
        """Whether some terms have plateaus."""
        return self._near[1]

    @property
    def slopes(self) -> Any:
        """The size of every term's derivative."""
        return self._near[2]

    @functools.cached_property
    def _complex(self) -> tuple[bool, bool]:
        return _analytic(self.along(self.dense), self) if self.tries_complex else (False, False)

    @property
    def stepped(self) -> bool:
        """Whether complex steps can be taken at all."""
        return self._complex[0]

    @property
    def analytic(self) -> bool:
        """... and equal the extrapolated differences."""
        return self._complex[1]

    def along(self, direction: Sequence[Any], folded: bool = True) -> Callable[[Any], Any]:
        """The terms as a function of ``t`` at ``base + t direction``; a direction None leaves its argument alone."""

        precision, base = self.precision, self.base
        double = precision == DOUBLE

        def function(t: Any) -> Any:
            if double and not isinstance(t, complex):
                t = float(t)
                arrays = [b if d is None else b + t * d for b, d in zip(base, direction, strict=True)]
            else:
                kind = np.result_type(precision, np.complex64) if isinstance(t, complex) else precision
                arrays = [
                    (b if d is None else b + t * d).astype(kind, copy=False)
                    for b, d in zip(base, direction, strict=True)
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
        return f"extrapolated differences in {'longdouble' if self.precision == LONG else 'float64'}"

    @property
    def steps(self) -> tuple[float, ...]:
        return (LARGE_STEPS if self.plateaus else ()) + STEPS[self.precision]


def study(
    terms: Terms,
    base: list[Any],
    report: Report,
    *,
    tries_complex: bool = False,
    widens: bool = True,
    first: Any = None,
) -> Studied | None:
    """What is to be known of a function before it is differentiated; None, and a doubt in the report, if it is
    random.
    """
    with np.errstate(all="ignore"):
        before = _state()
        here = terms(base)
        after = _state()
        if before != after:
            # It draws numbers; or seeds the generator itself, which leaves the same state at every call.
            terms(base)
            if _state() != after:
                report.doubt(_RANDOM)
                return None
        again = first
        if first is None or not _same(here, first):
            # What is different the first time may have been set up there.
            again = terms(base)
    unsteady = 0.0
    if not _same(here, again):
        size = float(np.max(np.abs(here), initial=0.0))
        unsteady = math.inf
        if here.shape == again.shape:
            unsteady = float(np.max(np.nan_to_num(np.abs(again - here), posinf=0.0), initial=0.0))
        if not unsteady <= 1e-9 * size:
            report.doubt(_RANDOM)
            return None
    size = sum(b.size for b in base)
    known = None
    if not np.isfinite(here).all():
        known = np.isfinite(here)
        first = int(np.argmin(known))
        report.doubt(
            f"{int((~known).sum())} of {here.size} outputs are not finite (the first is number {first}); nothing is"
            " known of their derivatives"
        )
        here = np.where(known, here, 0)
    precision, wide = (DOUBLE, None) if not widens or max(size, here.size) > LARGE else widest(terms, base)
    blocks = None
    if here.size > _BLOCKS:
        magnitude = np.abs(here)
        spread_out = bool(2 * np.count_nonzero(magnitude > 1e-6 * np.max(magnitude)) < magnitude.size)
        starts = np.linspace(0, here.size, _BLOCKS, endpoint=False).astype(np.int64)
        blocks = (np.argsort(magnitude) if spread_out else None, starts)
    tries_complex = tries_complex and size > 0 and max(size, here.size) <= LARGE
    reference = Studied(
        terms, base, precision, report, blocks=blocks, known=known, unsteady=unsteady, tries_complex=tries_complex
    )
    reference.centre = reference.folded(here if wide is None else wide)
    return reference


def _state() -> bytes:
    """The state of the generator that PyTorch's functions share."""
    torch = sys.modules.get("torch")
    return b"" if torch is None else bytes(torch.get_rng_state().numpy())


def _same(one: Any, other: Any) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other) or np.array_equal(one, other, equal_nan=True))


def noise_near(along: Callable[[Any], Any], centre: Any, precision: Any) -> tuple[Any, bool, Any]:
    """How far the terms may be off near 0, one by one, whether some of them have plateaus, and their slopes.

    One so flat that its values round to one number shows no noise at all; each of them may still be off by half of its
    last place.
    """
    spacing = SPACING[precision]
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
        waves = np.zeros(np.shape(hidden), bool)
        suspects = straight & ~steep & (hidden > 16 * noise) & high
        if np.any(suspects):
            # A narrower table of a wave shows less and less; one of a plateau shows a jump as high as ever, or none.
            for level in range(4, 31):
                shown = noise_of(table(along, 0.1 / 2**level, 0.0, 41), (6,))
                waves |= suspects & (shown > 1e-6 * hidden) & (shown < 0.02 * hidden)
        hidden = np.where(steep | waves, 0.0, hidden)
        plateaus = (hidden > 16 * noise) & high
        # Terms that do not move enough to show theirs have them, too.
        share = float(np.max(np.where(plateaus & (centre != 0), hidden / np.abs(centre), 0.0), initial=0.0))
    return np.fmax(np.where(hidden > 16 * noise, hidden, noise), share * np.abs(centre)), bool(plateaus.any()), slopes


def _quantum(along: Callable[[Any], Any]) -> Any:
    """The height of a function's plateaus, 0 where it has none.

    Tables of values at spacings that shrink tenfold show noise of one size as long as the plateaus are narrower than
    the spacing, and none below; a smooth function's differences shrink by four orders at a time, a kink's tenfold, a
    pole's grow. Either side of the point may show it.
    """
    quantum: Any = 0.0
    for side in (1, -1):
        wider: Any = 0.0
        for width in _PLATEAUS:
            with np.errstate(all="ignore"):
                values = table(along, side * width / 8, side * width)
            noise = noise_of(values)
            # Of noise all differences are alike; a pole's low ones are larger.
            narrower = np.where(noise_of(values, (2, 3)) <= 4 * noise, noise, 0.0)
            alike = (narrower >= wider / 5) & (narrower <= 5 * wider)
            quantum = np.fmax(quantum, np.where(alike, np.fmin(wider, narrower), 0.0))
            wider = narrower
    return quantum


def jumps(reference: Studied) -> Any:
    """By how much the terms jump as the point moves by shares of itself; 0 of those that do not.

    A jump is as high in a fine table as in a coarse one; a wave or a kink is less so.
    """
    rng = np.random.default_rng(5)
    dense = [spread(rng, b.shape) * scale(b) for b in reference.base]
    along = reference.along(dense)
    with np.errstate(all="ignore"):
        values = table(along, 1 / 320, -0.25, 160)
        fine, coarse = (np.max(np.abs(np.diff(values[::step], 6, axis=0)), axis=0) / 20 for step in (1, 4))
        # What is as high as the values' whole range is a pole.
        likely: Any = (fine > 1e3 * reference.noise) & (fine < 1e-3 * np.ptp(values, axis=0))
        real: Any = likely & (fine >= 0.5 * coarse)
        if not np.any(real) and np.any(likely & (fine >= 0.1 * coarse)):
            # Jumps that alternate add up in a coarse table: a look at where the highest stands.
            term = np.unravel_index(np.argmax(np.where(likely, fine, 0.0)), np.shape(fine))
            place = int(np.argmax(np.abs(np.diff(values[(slice(None), *term)], 6))))
            closer = table(along, 1 / 3200, -0.25 + place / 320, 70)
            real = likely & (np.max(np.abs(np.diff(closer, 6, axis=0)), axis=0) / 20 >= 0.3 * fine)
        return np.where(real, fine, 0.0).astype(np.float64)


def _noise_of_constant(along: Callable[[Any], Any], centre: Any, precision: Any) -> Any:
    """How far terms that are constant but for their noise are off; 0 for any other.

    Near the point every step of an evaluation may be exact: log(exp(s)) with s = x - constant(x), as in log_softmax of
    one class, is s to the last digit while exp(s) = 1 + s and s is a multiple of eps, which the rounding of x makes it,
    often on one side alone. Farther away exp(s) rounds.
    """
    change = np.max([np.abs(along(np.longdouble(end)) - centre) for end in AWAY], axis=0)
    # Several tables: the points of one may differ by a multiple of what they are rounded to, and so be rounded alike.
    noise = np.max([noise_of(table(along, SPACING[precision], end)) for end in AWAY], axis=0)
    constant = (change < 1e-9 * (1 + np.abs(centre))) & (change <= 4 * noise)
    return np.where(constant, noise, 0.0)


def _analytic(along: Callable[[Any], Any], reference: Studied) -> tuple[bool, bool]:
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
    steps = STEPS[reference.precision]
    first, second = (derivative(along, step, reference.noise) for step in steps[:2])
    closer = first.error <= second.error
    value, error = np.where(closer, first.value, second.value), np.where(closer, first.error, second.error)
    with np.errstate(all="ignore"):
        size = np.fmax(np.abs(value), np.abs(stepped))
        good = (error <= 1e-8 * size) | ((size == 0) & (error <= 10 * reference.noise / steps[0]))
        same = np.abs(stepped - value) <= 10 * error + 64 * EPS * size
        total = float(np.sum(size))
        # Terms that are small beside the others may be known less well.
        good |= error <= 1e-12 * total
        same |= np.abs(stepped - value) <= 1e-13 * total
    straight = not np.any(bends(along, reference, steps[1], np.fmax(size, 1e-3 * total)))
    return True, bool(np.all(good & same)) and straight


def bends(along: Callable[[Any], Any], reference: Studied, step: float, size: Any) -> Any:
    """Where the slopes to the right and to the left differ at this step by more than a smooth function's would: perhaps
    a kink.
    """
    h = np.longdouble(step)
    with np.errstate(all="ignore"):
        bend = np.abs(along(h) - 2 * reference.centre + along(-h)) / step
    return ~(bend <= 0.02 * size + 4 * reference.noise / step)


def widest(terms: Terms, base: Sequence[Any]) -> tuple[Any, Any]:
    """The precision that a function computes in, longdouble or float64 (LAPACK, FFT, platforms without), and its values
    if that is longdouble.
    """
    if not _WIDE:
        return DOUBLE, None
    try:
        with np.errstate(all="ignore"):
            values = np.asarray(terms([b.astype(np.longdouble) for b in base]))
    except Exception:
        # Whatever it says to longdouble, it says that it computes in something else.
        return DOUBLE, None
    return (LONG, values) if values.dtype == LONG else (DOUBLE, None)


def scale(array: Any) -> Any:
    """Steps go with the size of the entry, so that a point near a singularity is not stepped over it; where products
    with it would leave the range, it is as good as zero.
    """
    return np.where((np.abs(array) < _TINIEST) | ~np.isfinite(array), 1.0, np.abs(array))
