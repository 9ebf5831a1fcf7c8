"""Kinks that several entries share: where two entries tie, each may have any share of the gradient, but the shares must
add up.

Judged by itself, each of two equal maxima may have all of the gradient, or none; so an entry-by-entry check lets
through the whole gradient given to both. Moved together the tie stays a tie: along that direction the function is
straight, its derivative is known, and the shares' sum must equal it.

That holds where the kink is *shared*: the one-sided derivatives along the common direction are not the sums of those
along the single entries. Where they are (``abs`` of each of two zeros), the kinks have nothing to do with each other,
and every entry has been judged rightly by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autodiff.testing.numeric import Derivative, one_sided
from autodiff.testing.report import Entry

__all__ = ["compare_ties"]

#: Every pair of up to this many entries is moved together, then those that have to do with each other, then all of
#: them.
_PAIRED = 6
#: Steps relative to the smallest of the entries, so that nothing else happens on the way.
_STEP = 1e-6

#: An argument's number in the base point, and the index of an entry.
Spot = tuple[int, tuple[int, ...]]


def compare_ties(
    base: Sequence[Any],
    gradient: Sequence[Any],
    spots: Sequence[Spot],
    places: Sequence[int],
    along: Callable[[Sequence[Any]], Callable[[Any], Any]],
    noise: float,
    rounding: float,
    method: str,
) -> Iterator[Entry]:
    """What entries that stand on a kink must add up to, where they share it.

    Parameters
    ----------
    base, gradient : sequence of ndarray
        The point, and the gradient under test.
    spots : sequence of (int, tuple of int)
        The entries at which a kink was found.
    places : sequence of int
        The arguments' positions in the user's call.
    along : callable
        Gives the function of one number along a direction.
    noise, rounding : float
        How far the function's values and its derivatives may be off.
    method : str
        In words, how differences are taken.

    Yields
    ------
    Entry
        One for each set of entries that share a kink and over which, moved together, the function is straight.
    """
    if len(spots) < 2:
        return
    step = _STEP * min((abs(float(base[k][index])) or 1.0) for k, index in spots)

    def sides(signs: dict[Spot, float]) -> tuple[Derivative, Derivative]:
        direction = [np.zeros(b.shape) for b in base]
        for (k, index), sign in signs.items():
            direction[k][index] = sign
        function = along(direction)
        return one_sided(function, -1, step, noise), one_sided(function, 1, step, noise)

    alone: dict[tuple[Spot, float], tuple[Derivative, Derivative]] = {}

    def judged(signs: dict[Spot, float]) -> tuple[bool, Entry | None]:
        """Whether the kink is shared, and the comparison if the function is straight along the common direction."""
        left, right = sides(signs)
        for spot, sign in signs.items():
            if (spot, sign) not in alone:
                alone[spot, sign] = sides({spot: sign})
        parts = [alone[item] for item in signs.items()]
        error = left.error + right.error
        doubt = 10 * (error + sum(a.error + b.error for a, b in parts)) + len(signs) * rounding
        shared = any(
            abs(whole.value - sum(part[side].value for part in parts)) > 10 * doubt
            for side, whole in enumerate((left, right))
        )
        if not shared or not abs(left.value - right.value) <= doubt:
            return shared, None
        numeric = (left.value + right.value) / 2
        analytic = float(sum(sign * gradient[k][index] for (k, index), sign in signs.items()))
        together = tuple((places[k], index, int(sign)) for (k, index), sign in signs.items())
        verdict = "pass" if abs(analytic - numeric) <= doubt else "fail"
        return True, Entry(1, together[0][0], None, analytic, numeric, error, doubt, verdict, True, method, together)

    entries = []
    groups = {spot: {spot} for spot in spots[:_PAIRED]}
    for one, other in itertools.combinations(groups, 2):
        shared, entry = judged({one: 1.0, other: 1.0})
        # Two that are each other's negative, as in max(x, -y), stay tied when they move apart.
        entries += [entry, judged({one: 1.0, other: -1.0})[1]]
        if shared and groups[one] is not groups[other]:
            groups[one] |= groups[other]
            groups.update(dict.fromkeys(groups[other], groups[one]))
    wholes = {frozenset(group) for group in (*groups.values(), spots) if len(group) > 2}
    entries += [judged(dict.fromkeys(sorted(whole), 1.0))[1] for whole in sorted(wholes, key=sorted)]
    yield from (entry for entry in entries if entry is not None)
