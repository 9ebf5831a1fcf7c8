"""Derivatives of special functions in their parameters: the incomplete gamma and beta functions in their shapes, Bessel
functions in their order.

None of them has a closed form. Each is an integral whose integrand is differentiated exactly, any number of times, and
summed by Gauss' rule where it is not negligible. Of the two halves of a distribution the one is taken in which the
first derivative has one sign, so that it loses no digits.

Formulas: NIST Digital Library of Mathematical Functions, 8.2, 8.17, 10.9, 10.15, 10.32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from math import comb, factorial, prod
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.core.op import Primitive, registry
from autodiff.extras import require
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.ops.common import real_numbers
from autodiff.ops.stable import of

#: An integrand is left out where it has fallen by this many powers of e.
_NEGLIGIBLE = 50.0


@cache
def _gauss(count: int) -> tuple[Any, Any]:
    """Nodes and weights of Gauss' rule on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


def _moment(cumulant: Callable[[int, int], Any], m: int, n: int) -> Any:
    """``exp(-L)`` times the derivative of ``exp(L)`` of order m and n; ``cumulant(i, j)`` is that of L."""
    if m == n == 0:
        return 1.0
    if not m:  # the derivatives may be exchanged
        return _moment(lambda i, j: cumulant(j, i), n, m)
    return sum(
        comb(m - 1, i) * comb(n, j) * cumulant(i + 1, j) * _moment(cumulant, m - 1 - i, n - j)
        for i in range(m)
        for j in range(n + 1)
    )


def _where_it_has_fallen(drop: Callable[[Any], Any], low: Any, high: Any) -> Any:
    """The place between ``low`` and ``high`` beyond which the integrand is negligible, to a few percent."""
    low, high = np.broadcast_arrays(low * 1.0, high * 1.0)
    for _ in range(40):
        middle = (low + high) / 2
        more = drop(middle) < _NEGLIGIBLE
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return high


def _summed(f: Callable[[Any], Any], start: Any, width: Any, count: int) -> Any:
    """The integral of ``f`` over one panel: all nodes at once of few numbers, one after another of many."""
    nodes, weights = _gauss(count)
    if np.size(width) * count <= THRESHOLDS["NODES"].value:
        column = (-1,) + (1,) * np.ndim(width)
        values = f(start + width * nodes.reshape(column)) * weights.reshape(column)
        return width * np.sum(values, axis=0)
    return width * sum(weight * f(start + width * node) for node, weight in zip(nodes, weights, strict=True))


def _over_panels(f: Callable[[Any], Any], cuts: list[Any], count: int = 64) -> Any:
    """The integral of ``f`` from the first cut to the last, by Gauss' rule between neighbours."""
    return sum(_summed(f, start, end - start, count) for start, end in pairwise(cuts))


def _in_double(function: Callable[..., Any], arrays: tuple[Any, ...], *orders: int) -> Any:
    """``function`` in double precision, in the arguments' own precision."""
    real_numbers("a derivative in a parameter", *arrays)
    kinds = [a.dtype for a in map(np.asarray, arrays) if a.dtype.kind == "f"]
    with np.errstate(all="ignore"):
        result = function(*[np.asarray(a, np.float64) for a in arrays], *orders)
    return np.asarray(result).astype(np.result_type(*(kinds or [np.dtype(np.float64)])), copy=False)


def polygamma(order: int, x: Any) -> Any:
    """The derivative of digamma of that order, of arrays and of Tensors."""
    if not order:
        return require("scipy.special").digamma(x)
    zeta: Any = registry["zeta"]
    return (-1.0) ** (order + 1) * factorial(order) * of(zeta, order + 1.0, x)


# --- the incomplete gamma function ----------------------------------------------------------------------------------


def _gamma_cumulant(a: Any, log: Any) -> Callable[[int, int], Any]:
    return lambda i, j: (log if i == 1 else 0.0) - polygamma(i - 1, a)


def _gamma(a: Any, x: Any, n: int) -> Any:
    """``d^n P(a, x) / da^n``: the derivative of ``t^(a - 1) exp(-t) / gamma(a)``, integrated over ``u = log(t)``."""
    s = require("scipy.special")
    if n == 0:
        return s.gammainc(a, x)
    good = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    kept, point = np.where(good, a, 1.0), np.where(good, x, 1.0)
    start, peak = np.log(point), s.digamma(kept)
    below = start < peak  # up to here the first derivative of the integrand has one sign, from here on the other
    side = np.where(below, -1.0, 1.0)

    def drop(far: Any) -> Any:
        return point * np.expm1(side * far) - kept * side * far

    reach = _where_it_has_fallen(
        drop,
        np.maximum(np.log(kept / point) * side, 0),
        np.where(below, 2 * _NEGLIGIBLE * (1 / kept + 1), 10 + np.maximum(-start, np.log(kept + 1) - start) + 0 * kept),
    )
    cumulants = {i: polygamma(i - 1, kept) for i in range(1, n + 1)}

    def integrand(far: Any) -> Any:
        log = start + side * far
        slopes = _moment(lambda i, j: (log if i == 1 else 0.0) - cumulants[i], n, 0)
        return slopes * np.exp(-drop(far))

    # Where t is small, all but t^a is flat.
    bend = np.clip(np.where(below, 0.0, -5.0 - start), 0, reach)
    at_start = np.exp(kept * start - point - s.gammaln(kept))
    total = -side * at_start * _over_panels(integrand, [0 * bend, bend, (bend + reach) / 2, reach])
    # At x = 0 and beyond all numbers the function is 0 and 1, whatever a.
    return np.where(good, total, np.where((a > 0) & ((x == 0) | (x == np.inf)), 0.0, np.nan))


# --- the incomplete beta function -----------------------------------------------------------------------------------


def _beta_cumulant(a: Any, b: Any, log: Any, other: Any) -> Callable[[int, int], Any]:
    def cumulant(i: int, j: int) -> Any:
        whole = polygamma(i + j - 1, a + b)
        if i and j:
            return whole
        own = polygamma(i - 1, a) if i else polygamma(j - 1, b)
        return (log if i == 1 else 0.0) + (other if j == 1 else 0.0) - own + whole

    return cumulant


def _beta(a: Any, b: Any, x: Any, m: int, n: int) -> Any:
    """The derivative of ``I_x(a, b)``, m times in a and n times in b, integrated over ``u = log(t / (1 - t))``."""
    s = require("scipy.special")
    if m == n == 0:
        return s.betainc(a, b, x)
    good = (a > 0) & (b > 0) & (x > 0) & (x < 1) & np.isfinite(a) & np.isfinite(b)
    a0, b0, x0 = np.where(good, a, 1.0), np.where(good, b, 1.0), np.where(good, x, 0.5)
    whole = s.digamma(a0 + b0)
    below = np.log(x0) < s.digamma(a0) - whole if m else np.log1p(-x0) > s.digamma(b0) - whole
    # Above, by I_x(a, b) = 1 - I_(1 - x)(b, a).
    p, q = np.where(below, a0, b0), np.where(below, b0, a0)
    start = np.where(below, 1, -1) * (np.log(x0) - np.log1p(-x0))

    def log_of(u: Any) -> tuple[Any, Any]:
        return -np.logaddexp(0, -u), -np.logaddexp(0, u)

    log, other = log_of(start)
    at_start = p * log + q * other

    def drop(far: Any) -> Any:
        here, there = log_of(start - far)
        return at_start - p * here - q * there

    summit = np.log(p) - np.log(q)
    reach = _where_it_has_fallen(
        drop, np.maximum(start - summit, 0), 2 * _NEGLIGIBLE / p + np.abs(start) + np.abs(summit) + 50
    )
    cumulants = {(i, j): _beta_cumulant(a0, b0, 0.0, 0.0)(i, j) for i in range(m + 1) for j in range(n + 1) if i or j}

    def integrand(far: Any) -> Any:
        here, there = log_of(start - far)
        in_a, in_b = np.where(below, here, there), np.where(below, there, here)

        def cumulant(i: int, j: int) -> Any:
            return cumulants[i, j] + (in_a if (i, j) == (1, 0) else in_b if (i, j) == (0, 1) else 0.0)

        return _moment(cumulant, m, n) * np.exp(-drop(far))

    bends = [np.clip(start + shift, 0, reach) for shift in (-6.0, 6.0, 36.0)]
    total = np.exp(at_start - s.betaln(a0, b0)) * _over_panels(integrand, [0 * reach, *bends, reach])
    edge = (a > 0) & (b > 0) & ((x == 0) | (x == 1))
    return np.where(good, np.where(below, total, -total), np.where(edge, 0.0, np.nan))


# --- Bessel functions -----------------------------------------------------------------------------------------------


def _turned(phase: int, n: int, angle: Any) -> Any:
    """The n-th derivative of the cosine (of the sine with ``phase`` -1) of ``angle``."""
    return np.cos(angle + (n + phase) * (np.pi / 2))


def _macdonald(v: Any, z: Any, n: int, m: int = 0, scaled: bool = False) -> Any:
    """``d^n K_v(z) / dv^n``, the integral of ``exp(-z cosh t) cosh(v t)`` from 0 (DLMF 10.32.9); with ``scaled`` that
    of ``exp(z) K_v(z)``, and its m-th derivative in z, to which ``1 - cosh t`` belongs: no term has another sign.
    """
    size = np.abs(v)
    good = (z > 0) & np.isfinite(z) & np.isfinite(v)
    z, size = np.where(good, z, 1.0), np.where(good, size, 1.0)
    peak = np.arcsinh(size / z)

    def fall(t: Any) -> Any:  # cosh(t) - 1
        return 2 * np.sinh(t / 2) ** 2

    def height(t: Any) -> Any:
        return size * t - z * fall(t)

    top = height(peak)
    sharp = 10 / np.sqrt(np.hypot(size, z))
    reach = _where_it_has_fallen(lambda t: top - height(t), peak, peak + np.minimum(10 + np.log1p(1 / z), 1.01 * sharp))

    def integrand(t: Any) -> Any:
        both = 1 + np.exp(-2 * size * t) if n % 2 == 0 else -np.expm1(-2 * size * t)
        return t**n * (-fall(t)) ** m * both * np.exp(height(t) - top)

    total = _over_panels(integrand, [0 * peak, peak - np.minimum(sharp, peak), peak, reach])
    total = 0.5 * np.exp(top if scaled else top - z) * total
    return np.where(good, np.where((v < 0) & (n % 2 == 1), -total, total), np.where(z == np.inf, 0.0, np.nan))


def _decaying(v: Any, z: Any, fall: Callable[[Any], Any], n: int, low: Any = 0.0, m: int = 0, lift: Any = 0.0) -> Any:
    """The n-th derivative in v of the integral of ``exp(-v t - z fall(t) - lift)`` from ``low``, for positive v; and
    the m-th in z, where ``lift`` is z.
    """
    low = low + 0 * z
    drop = lambda t: z * (fall(t) - fall(low)) + v * (t - low)
    reach = _where_it_has_fallen(drop, low, low + 12 + np.log1p((1 + v) / z))
    return _over_panels(
        lambda t: (-t) ** n * (-fall(t) - 1) ** m * np.exp(-v * t - z * fall(t) - lift),
        [low + share * (reach - low) for share in (0, 1 / 8, 1 / 3, 1)],
    )


def _growing(v: Any, z: Any, n: int) -> Any:
    """The n-th derivative in v of the integral of ``exp(v t - z sinh(t))`` from 0."""
    peak = np.arccosh(np.maximum(v / z, 1))

    def height(t: Any) -> Any:
        return v * t - z * np.sinh(t)

    top = height(peak)
    reach = _where_it_has_fallen(lambda t: top - height(t), peak, peak + 12 + np.log1p((1 + np.abs(v)) / z))
    sharp = np.minimum(10 / np.sqrt(z * np.sinh(peak) + 1), np.minimum(peak, reach - peak))
    cuts = [0 * peak, peak - sharp, peak, peak + np.minimum(sharp, (reach - peak) / 4), reach]
    return np.exp(top) * _over_panels(lambda t: t**n * np.exp(height(t) - top), cuts)


def _round_trip(f: Callable[[Any], Any], v: Any, z: Any) -> Any:
    """The mean of ``f`` over the angles from 0 to pi, with as many nodes as it has waves."""
    count = 64 + 2 * int(np.ceil(np.max(np.abs(v) + np.abs(z), initial=0.0)))
    if count > 20_000:
        raise ArgumentError("a Bessel function's derivative in its order: order and argument must stay below 10,000")
    return _summed(f, 0 * z, np.pi + 0 * z, count) / np.pi


def _turn(k: int, v: Any) -> Any:
    """The k-th derivative of the sine at ``pi v``, exact where v is a whole number."""
    turns = np.rint(v)
    return (1 - 2 * (turns % 2)) * (1, 1, -1, -1)[k % 4] * (np.cos if k % 2 else np.sin)(np.pi * (v - turns))


def _products(v: Any, n: int, phase: int, rest: Callable[[int], Any]) -> Any:
    """Leibniz' rule: the n-th derivative of ``sin(pi v) rest(v)``; with ``phase`` 1 of the cosine."""
    return sum(comb(n, k) * np.pi**k * _turn(k + phase, v) * rest(n - k) for k in range(n + 1))


def _contour(kind: str, v: Any, z: Any, n: int, m: int, scaled: bool) -> Any:
    """``d^n/dv^n`` of J or I for positive v, by the integral of ``exp(z sinh t - v t)`` or ``exp(z cosh t - v t)`` from
    infinity less pi i to infinity plus pi i (DLMF 10.9.17, 10.32.12), upright through the saddle, where v is the slope:
    there nothing cancels. With ``scaled`` of ``exp(-z) I``, and m times in z.
    """
    fall: Any = np.cosh if kind == "I" else np.sinh
    if kind == "I":
        low, r, lift = np.arcsinh(v / z), np.hypot(v, z), z if scaled else 0.0
        top, pull = v * v / (r + z) - v * low + (z - lift), v
    else:
        low, r, lift = np.arccosh(np.maximum(v / z, 1)), np.sqrt(np.maximum(v - z, 0) * (v + z)), 0.0
        top, pull = r - v * low, np.maximum(v, z)

    def integrand(angle: Any) -> Any:
        place = low + 1j * angle
        value = (-place) ** n * (2 * np.sinh(place / 2) ** 2) ** m * np.exp(1j * (pull * np.sin(angle) - v * angle))
        return np.real(value) * np.exp(-2 * r * np.sin(angle / 2) ** 2)

    if kind == "I":
        wide = 2 * np.arcsin(np.sqrt(np.minimum(0.5 * _NEGLIGIBLE / r, 1)))
        main = _over_panels(integrand, [0 * wide, wide / 2, wide]) / np.pi
    else:
        main = _round_trip(integrand, v, z)
    return np.exp(top) * main - _products(v, n, 0, lambda k: _decaying(v, z, fall, k, low, m, lift)) / np.pi


def _bessel(kind: str, v: Any, z: Any, n: int, m: int = 0, scaled: bool = False) -> Any:
    """``d^n/dv^n`` of ``J``, ``Y`` or ``I``, those of negative order by reflection (DLMF 10.4.6, 10.9.7, 10.27.2)."""
    good = (z > 0) & np.isfinite(z) & np.isfinite(v)
    v, z = np.where(good, v, 0.5), np.where(good, z, 1.0)
    size = np.abs(v)
    if kind == "Y":
        inner = _round_trip(lambda t: (-t) ** n * _turned(-1, n, z * np.sin(t) - v * t), v, z)
        outer = _growing(v, z, n) + _products(v, n, 1, lambda k: (-1.0) ** k * _growing(-v, z, k))
        return np.where(good, inner - outer / np.pi, np.nan)
    total = _contour(kind, size, z, n, m, scaled)
    if np.any(v < 0):
        if kind == "I":

            def fading(k: int) -> Any:  # the derivative of exp(-2 z) times the scaled K
                terms = ((-2.0) ** (m - j) * comb(m, j) * _macdonald(size, z, k, j, True) for j in range(m + 1))
                return np.exp(-2 * z) * sum(terms)

            second = fading if scaled else lambda k: _macdonald(size, z, k)
            below = total + 2 / np.pi * _products(size, n, 0, second)
        else:
            below = _products(size, n, 1, lambda k: _contour("J", size, z, k, 0, False))
            below = below - _products(size, n, 0, lambda k: _bessel("Y", size, z, k))
        total = np.where(v < 0, (-1.0) ** n * below, total)
    return np.where(good, total, np.nan)


def hankel(v: Any, z: Any, m: int, sign: float) -> Any:
    """The m-th derivative of Hankel's expansion of ``sqrt(2 pi) exp(-z) I_v(z)`` (``sign`` -1) or of ``sqrt(2 / pi)
    exp(z) K_v(z)`` (1), term by term, for ``z > max(25, v^2)`` (DLMF 10.40.1, 10.40.2).
    """
    total, term = np.zeros_like(z), np.ones_like(z)
    for k in range(41):
        total = total + term * prod(-(k + 0.5) - j for j in range(m))
        term = term * (sign * (4 * v * v - (2 * k + 1) ** 2) / (8 * (k + 1))) / z
    return total / np.sqrt(z) / z**m


def _scaled(kind: str, v: Any, z: Any, n: int, m: int) -> Any:
    """The derivative of ``exp(-|z|) I_v(z)`` or ``exp(z) K_v(z)``, n times in v and m times in z.

    In z near 0 by recurrence, far out by Hankel's expansion, in between and in v by the integrals: from the function
    and its neighbours far out nothing would be left.
    """
    function = getattr(require("scipy.special"), "ive" if kind == "I" else "kve")

    def by_integral(v: Any, z: Any) -> Any:
        return _bessel("I", v, z, n, m, True) if kind == "I" else _macdonald(v, z, n, m, True)

    if n:
        return by_integral(v, z)
    if not m:
        return function(v, z)
    v, z = np.broadcast_arrays(v, z)
    size = np.abs(z) if kind == "I" else z
    near, far = ~(size > 4), size > np.maximum(30, v * v)
    found = np.empty(z.shape)
    if np.any(near):
        u, x = v[near], z[near]
        below, here, above = (_scaled(kind, order, x, 0, m - 1) for order in (u - 1, u, u + 1))
        mean = 0.5 * (below + above)
        found[near] = mean - np.sign(x) * here if kind == "I" else here - mean
    if np.any(far):
        root = (2 * np.pi) ** -0.5 if kind == "I" else (np.pi / 2) ** 0.5
        found[far] = root * hankel(v[far], size[far], m, -1.0 if kind == "I" else 1.0)
    middle = ~(near | far)
    if np.any(middle):
        found[middle] = by_integral(v[middle], size[middle])
    if kind == "I":  # to the left of 0 there are whole orders alone
        whole = np.rint(v)
        left = (z < -4) & np.isfinite(v)
        found = np.where(left, np.where(v == whole, (1 - 2 * ((whole + m) % 2)) * found, np.nan), found)
    return np.where((z == 0) & (kind == "K"), (-1.0) ** m * np.inf, found)


def define(s: Any) -> dict[str, Primitive]:
    """The derivatives as operations ``f(*arguments, *orders)``, by name."""
    gamma = Primitive(
        "gammainc_slope",
        lambda a, x, n: _in_double(_gamma, (a, x), n),
        lambda g, out, a, x, n: g * of(gamma, a, x, n + 1),
        lambda g, out, a, x, n: (
            g * (np.exp((a - 1) * np.log(x) - x - s.gammaln(a)) * _moment(_gamma_cumulant(a, np.log(x)), n, 0))
        ),
        sample=lambda draw: ((*_positive(draw, 2), draw.integer(0, 1)), {}),
        pointwise=True,
        real_only=True,
    )
    beta = Primitive(
        "betainc_slope",
        lambda a, b, x, m, n: _in_double(_beta, (a, b, x), m, n),
        lambda g, out, a, b, x, m, n: g * of(beta, a, b, x, m + 1, n),
        lambda g, out, a, b, x, m, n: g * of(beta, a, b, x, m, n + 1),
        lambda g, out, a, b, x, m, n: (
            g
            * np.exp((a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - s.betaln(a, b))
            * _moment(_beta_cumulant(a, b, np.log(x), np.log1p(-x)), m, n)
        ),
        sample=lambda draw: (
            (*_positive(draw, 2), draw.array((), 0.1, 0.9), draw.integer(0, 1), draw.integer(0, 1)),
            {},
        ),
        pointwise=True,
        real_only=True,
    )
    made = {"gammainc": gamma, "betainc": beta}

    def bessel(name: str, forward: Any, sign_before: float, sign_after: float) -> None:
        def rule(g: Any, out: Any, v: Any, z: Any, n: int) -> Any:
            return g * (0.5 * (sign_before * of(op, v - 1, z, n) + sign_after * of(op, v + 1, z, n)))

        op = made[name] = Primitive(
            f"{name}_slope",
            lambda v, z, n: _in_double(forward, (v, z), n),
            lambda g, out, v, z, n: g * of(op, v, z, n + 1),
            rule,
            sample=lambda draw: ((*_positive(draw, 2), draw.integer(0, 1)), {}),
            pointwise=True,
            real_only=True,
        )

    bessel("kv", _macdonald, -1.0, -1.0)
    bessel("jv", lambda v, z, n: _bessel("J", v, z, n), 1.0, -1.0)
    bessel("yv", lambda v, z, n: _bessel("Y", v, z, n), 1.0, -1.0)
    bessel("iv", lambda v, z, n: _bessel("I", v, z, n), 1.0, 1.0)

    def scaled(name: str, kind: str) -> None:
        op = made[name] = Primitive(
            f"{name}_slope",
            lambda v, z, n, m: _in_double(partial(_scaled, kind), (v, z), n, m),
            lambda g, out, v, z, n, m: g * of(op, v, z, n + 1, m),
            lambda g, out, v, z, n, m: g * of(op, v, z, n, m + 1),
            sample=lambda draw: ((*_positive(draw, 2), draw.integer(0, 1), draw.integer(0, 1)), {}),
            pointwise=True,
            real_only=True,
        )

    scaled("ive", "I")
    scaled("kve", "K")
    return made


def _positive(draw: Any, count: int) -> tuple[Any, ...]:
    shape = draw.shape()
    return tuple(draw.array(shape, 0.3, 3.0) for _ in range(count))
