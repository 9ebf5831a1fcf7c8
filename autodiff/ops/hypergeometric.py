"""Derivatives of the confluent hypergeometric functions in their parameters, of any order.

``0F1`` and ``1F1`` are series whose terms follow from one another by products and quotients with the parameters, so the
derivatives of a term follow from those of the one before (Leibniz' rule). Left of zero Kummer's transformation (DLMF
13.2.39) turns 1F1's series into one that does not cancel. Tricomi's U is an integral (DLMF 13.4.4) whose integrand is
differentiated. Where a series loses more than half of its digits all the same, it is NaN.
"""

from __future__ import annotations

from itertools import product
from math import comb
from typing import Any

import numpy as np

from autodiff.core.op import Primitive
from autodiff.extras import require
from autodiff.ops.parameters import _in_double, _moment, _over_panels, _where_it_has_fallen, polygamma
from autodiff.ops.stable import of

#: The most terms of a series; where they do not suffice, the result is NaN.
MOST = 4000


def _series(tops: tuple[Any, ...], bottoms: tuple[Any, ...], x: Any, orders: tuple[int, ...]) -> Any:
    """A derivative of ``sum (tops)_k / (bottoms)_k x^k / k!``: one order per parameter, the last one in x."""
    *own, in_x = orders
    good = np.isfinite(sum((*tops, *bottoms, x))) & np.all([(b > 0) | (b != np.floor(b)) for b in bottoms], axis=0)
    largest = np.max([np.abs(p) for p in (*tops, *bottoms, x)], axis=0)
    good &= largest < MOST / 4
    parameters = [np.where(good, p, 1.0) for p in (*tops, *bottoms)]
    x, split = np.where(good, x, 0.0), len(tops)
    places = list(product(*(range(n + 1) for n in own)))
    terms = {place: np.where(good, float(not any(place)), 0.0) for place in places}

    def less(place: tuple[int, ...], i: int) -> Any:
        return (*place[:i], place[i] - 1, *place[i + 1 :])

    def advance(k: int, factor: Any) -> None:
        for i, p in enumerate(parameters):
            for place in reversed(places) if i < split else places:
                beside = place[i] * terms[less(place, i)] if place[i] else 0.0
                old = terms[place]
                terms[place] = old * (p + k) + beside if i < split else (old - beside) / (p + k)
        for place in places:
            terms[place] = terms[place] * factor

    for k in range(in_x):
        advance(k, 1.0)
    total = greatest = np.zeros_like(x)
    least = in_x + 20 + max(np.max(-p, initial=0.0) for p in parameters)  # a term may vanish before
    for k in range(in_x, in_x + MOST):
        term = terms[tuple(own)]
        total, greatest = total + term, np.maximum(greatest, np.abs(term))
        ratio = np.abs(x) / (k - in_x + 1.0)
        for i, p in enumerate(parameters):
            ratio = ratio * np.abs(p + k) if i < split else ratio / np.abs(p + k)
        ended = (ratio < 0.5) & (np.abs(term) <= 1e-18 * np.abs(total))
        if k > least and np.all(ended | ~np.isfinite(total)):
            break
        advance(k, x / (k - in_x + 1))
    return np.where(good & (greatest <= 1e7 * np.abs(total)), total, np.where(good & (total == 0), 0.0, np.nan))


def _limit(b: Any, x: Any, n: int, k: int) -> Any:
    """``d^(n + k) 0F1(b, x) / db^n dx^k``."""
    b, x = np.broadcast_arrays(b, x)
    return _series((), (b,), x, (n, k))


def _kummer(a: Any, b: Any, x: Any, m: int, n: int, k: int) -> Any:
    """``d^(m + n + k) 1F1(a, b, x) / da^m db^n dx^k``."""
    a, b, x = np.broadcast_arrays(a, b, x)
    left = x < 0
    total = _series((a,), (b,), np.where(left, 0.0, x), (m, n, k)) if not np.all(left) else np.zeros(x.shape)
    if np.any(left):
        away = np.where(left, -x, 0.0)
        turned = sum(
            comb(k, i) * comb(n, j) * (-1) ** (i + m) * _series((b - a,), (b,), away, (m + j, n - j, i))
            for i in range(k + 1)
            for j in range(n + 1)
        )
        total = np.where(left, turned * np.exp(-away), total)
    return total


def _tricomi(a: Any, b: Any, x: Any, m: int, n: int, k: int) -> Any:
    """``d^(m + n + k) U(a, b, x) / da^m db^n dx^k``, integrated over ``u = log(t)``; NaN but for a > 0, x > 0."""
    good = (a > 0) & (x > 0) & np.isfinite(a + b + x)
    a, b, x = (np.where(good, p, 1.0) for p in np.broadcast_arrays(a, b, x))
    low, rest = a + k, b - a - 1

    def height(u: Any) -> Any:
        return low * u - x * np.exp(u) + rest * np.logaddexp(0.0, u)

    # The height is greatest where x t^2 = (low + rest - x) t + low.
    half = (low + rest - x) / (2 * x)
    root = np.sqrt(half * half + low / x)
    peak = np.log(np.where(half > 0, half + root, low / x / (root - half)))
    top = height(peak)
    down = _where_it_has_fallen(
        lambda far: top - height(peak - far), 0 * peak, 60 + 120 / low + np.abs(peak) + np.abs(rest)
    )
    up = _where_it_has_fallen(lambda far: top - height(peak + far), 0 * peak, 20 + np.abs(peak) + np.log1p(1 / x))
    cumulants = {i: polygamma(i - 1, a) for i in range(1, m + 1)}

    def integrand(u: Any) -> Any:
        beyond = np.logaddexp(0.0, u)

        def cumulant(i: int, j: int) -> Any:
            own = -cumulants[i] if i and not j else 0.0
            return own + ((u - beyond) if (i, j) == (1, 0) else beyond if (i, j) == (0, 1) else 0.0)

        return _moment(cumulant, m, n) * np.exp(height(u) - top)

    cuts = [peak - down, peak - np.minimum(down, 8.0), peak, peak + up / 2, peak + up]
    total = (-1.0) ** k * np.exp(top - require("scipy.special").gammaln(a)) * _over_panels(integrand, cuts)
    return np.where(good, total, np.nan)


def _sample(count: int) -> Any:
    return lambda draw: (
        (*(draw.array((2,), 0.3, 2.0) for _ in range(count)), *(draw.integer(0, 1) for _ in range(count))),
        {},
    )


def define() -> tuple[Primitive, Primitive, Primitive]:
    """The derivatives of 0F1, 1F1 and U as operations ``f(*arguments, *orders)``."""
    limit: Primitive = Primitive(
        "hyp0f1_slope",
        lambda b, x, n, k: _in_double(_limit, (b, x), n, k),
        lambda g, out, b, x, n, k: g * of(limit, b, x, n + 1, k),
        lambda g, out, b, x, n, k: g * of(limit, b, x, n, k + 1),
        sample=_sample(2),
        pointwise=True,
        real_only=True,
    )

    def three(name: str, forward: Any) -> Primitive:
        op: Primitive = Primitive(
            f"{name}_slope",
            lambda a, b, x, m, n, k: _in_double(forward, (a, b, x), m, n, k),
            lambda g, out, a, b, x, m, n, k: g * of(op, a, b, x, m + 1, n, k),
            lambda g, out, a, b, x, m, n, k: g * of(op, a, b, x, m, n + 1, k),
            lambda g, out, a, b, x, m, n, k: g * of(op, a, b, x, m, n, k + 1),
            sample=_sample(3),
            pointwise=True,
            real_only=True,
        )
        return op

    return limit, three("hyp1f1", _kummer), three("hyperu", _tricomi)
