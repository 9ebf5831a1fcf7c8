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

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.core.errors import GradientMismatch
from autodiff.testing.arguments import dense, unpacked
from autodiff.testing.judge import ROUNDING_ULPS, Judge, Way
from autodiff.testing.kinks import Nearby
from autodiff.testing.numeric import one_sided, spread
from autodiff.testing.report import Entry, Leaf, Report
from autodiff.testing.stability import Stability
from autodiff.testing.study import EPS, LARGE, Studied, scale, study, widest

if TYPE_CHECKING:
    from autodiff.testing.problem import Problem

__all__ = ["agreement", "compare", "compare_along"]

_FULL_SIZE = 48
_SPOTS = 8
_DIRECTIONS = 2

Arrays = Sequence[Any]
Terms = Callable[[Arrays], Any]


def _directions(array: Any, g: Any, rng: np.random.Generator) -> list[tuple[tuple[int, ...] | None, Any]]:
    """One-hot directions for every entry of a small array; for a large one a few one-hot spots, random directions, and
    one for the entries of each order of size, so that small ones are not lost among large ones.
    """
    sizes = scale(array)
    result: list[tuple[tuple[int, ...] | None, Any]] = []
    if array.size <= _FULL_SIZE:
        spots = np.arange(array.size)
    else:
        spots = np.sort(rng.choice(array.size, _SPOTS if array.size <= LARGE else 1, replace=False))
    for spot in spots:
        direction = np.zeros(array.size)
        direction[spot] = np.exp2(np.floor(np.log2(sizes.reshape(-1)[spot])))
        result.append((tuple(int(i) for i in np.unravel_index(spot, array.shape)), direction.reshape(array.shape)))
    if array.size <= _FULL_SIZE:
        return result
    share = np.abs(np.where(np.isfinite(g), g, 0.0)) * sizes
    largest = max(float(share.max()), 1e-300)
    # How many thousands each is below the largest: 0 to 4.
    band = sum((share <= largest * 1e-3**step).astype(np.int8) for step in (1, 2, 3, 4))
    bands = np.flatnonzero(np.bincount(band.reshape(-1), minlength=5))
    for number in range(_DIRECTIONS if array.size <= LARGE else 1):
        full = spread(rng, array.shape) * sizes
        if len(bands) > 1 and (number == 0 or array.size > LARGE):
            result += [(None, np.where(band == b, full, 0.0)) for b in bands]
        else:
            result.append((None, full))
    return result


def compare(
    report: Report,
    problem: Problem,
    order: int,
    terms: Terms,
    gradient_at: Callable[[Arrays], Sequence[Any]],
    rng: np.random.Generator,
    *,
    base: list[Any] | None = None,
    below: Terms | None = None,
    first: Any = None,
    hasty: bool = False,
    exact: bool = False,
) -> None:
    """Enter into ``report`` the comparison of every argument's gradient, or of that of its gradient, with differences
    of the sum of ``terms``, which take the arrays of all arguments in any precision and gave ``first`` at the point
    before. ``base`` is another point than the problem's.

    For higher orders ``below`` is the function itself, for the third its gradient, too; it is asked about kinks.
    ``hasty`` ends at the first entry that fails; ``exact`` compares every entry with the best reference that there is,
    also what is certain without it. A gradient of another shape or dtype than its argument is a GradientMismatch.
    """
    base, leaves = base or problem.base, problem.leaves
    found = dense(gradient_at(base), base)
    for leaf, g, array, dtype in zip(leaves, found, base, problem.arguments.dtypes, strict=True):
        if g.shape != array.shape or g.dtype != array.dtype:
            raise GradientMismatch(
                _misfit(report, leaf, *(map(unpacked, (g, array)) if dtype.kind == "c" else (g, array)))
            )
    reference = study(terms, base, report, tries_complex=problem.tries_complex, widens=problem.widens, first=first)
    if reference is None:
        return
    reference.trusting = not (exact or reference.unsteady)
    # For the second order the rounding of the function itself counts, too.
    magnitude = 0.0 if below is None else float(np.nansum(np.abs(below(base))))
    nearby = Nearby(terms, gradient_at, base, reference.precision)
    judge = Judge(report, reference, order, found, Stability(gradient_at, base), nearby, magnitude)
    unseen = [0] * len(base)
    totals = [float(np.sum(np.abs(g) * scale(array))) for g, array in zip(found, base, strict=True)]
    plan = [
        (k, *way) for k, (g, array) in enumerate(zip(found, base, strict=True)) for way in _directions(array, g, rng)
    ]
    spots = [((k, index), float(direction[index])) for k, index, direction in plan if index is not None]
    right = judge.groups(leaves, spots, rng)
    if (problem.hides_draws or len(right) < len(spots)) and reference.random():
        return
    for k, (leaf, g, array) in enumerate(zip(leaves, found, base, strict=True)):
        doubtful = [way for way in plan if way[0] == k and (k, way[1]) not in right]
        for _, index, direction in doubtful:
            share = None if index is not None else np.abs(g * direction)
            if share is not None and judge.hides(k, direction, float(share.sum()), totals[k]):
                unseen[k] += int(np.count_nonzero(share))
                continue
            entry = judge(leaf, k, index, direction, index is None)
            if share is not None:
                unseen[k] += int(np.count_nonzero((share > 0) & (share <= entry.tolerance)))
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
        if order == 1 and array.size <= _FULL_SIZE and doubtful:
            # Of three equal entries a median moves with no single one.
            values, counts = np.unique(array, return_counts=True)
            for value in values[counts > 2]:
                entry = judge(
                    leaf, k, None, np.where(array == value, np.exp2(np.floor(np.log2(scale(value)))), 0.0), False
                )
                if entry.verdict != "pass":
                    report.entries.append(entry)
    if order == 1 and len(judge.kinks) > 1:
        with np.errstate(all="ignore"):
            judge.ties(leaves)
    for leaf, count, array in zip(leaves, unseen, base, strict=True):
        if count:
            report.note(
                f"not checked: {count} of {array.size} entries of {leaf.label} are too small beside the others for the"
                " values to tell"
            )
    if judge.rough:
        report.note(f"{judge.rough} entries were judged to two to five digits: the values of the function hold no more")


def compare_along(
    report: Report, problem: Problem, analytic: float, direction: Sequence[Any], order: int, leaf: Leaf
) -> None:
    """Enter into ``report`` the comparison of one number with the derivative of the sum of the terms along a direction;
    nothing where there is a kink.
    """
    terms, base = problem.terms, problem.base
    reference = _along(terms, base, direction)
    if not np.isfinite(reference.centre).all():
        return
    judge = Judge(report, reference, order, [], Stability(problem.gradient, base), None)
    # The terms of the number compared are not known one by one: their rounding is that of the function's.
    judge.floor = ROUNDING_ULPS * EPS * judge.magnitude
    entry = judge.along(leaf, None, Way(analytic, direction))
    if not entry.kink:
        report.entries.append(entry)


def _along(terms: Terms, base: list[Any], direction: Sequence[Any]) -> Studied:
    """A function that is studied along one direction only."""
    precision, values = widest(terms, base)
    reference = Studied(terms, base, precision)
    with np.errstate(all="ignore"):
        reference.centre, reference.dense = terms(base) if values is None else values, direction
    return reference


def agreement(leaf: Leaf, analytic: float, other: float, size: float, method: str) -> Entry:
    """The comparison of two derivations of one number that are both exact but for the rounding of terms of this
    size.
    """
    tolerance = ROUNDING_ULPS * EPS * max(size, abs(other))
    verdict = "pass" if abs(analytic - other) <= tolerance else "fail"
    return Entry(1, leaf.place, None, analytic, other, EPS * size, tolerance, verdict, method=method, label=leaf.label)


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
    reference = _along(terms, base, direction)
    along = reference.along(direction)
    left, right = (one_sided(along, side, 1e-3, reference.noise) for side in (-1, 1))
    with np.errstate(all="ignore"):
        gap, size = np.abs(left.value - right.value), np.fmax(np.abs(left.value), np.abs(right.value))
        return bool(np.any(gap > 1e3 * (left.error + right.error) + 1e-9 * size))
