"""Further functions of scipy.special: Lambert's, Airy's and the plasma function, orthogonal polynomials, spherical
harmonics, confluent hypergeometric functions, zeta in both arguments, integrals, and distribution functions by what
they are made of.

Formulas: NIST Digital Library of Mathematical Functions, 4.13, 6, 7.19, 9, 13.3, 14.10, 18.9, 25.11.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.core.errors import NotDifferentiableError
from autodiff.core.op import Primitive, registry
from autodiff.functions import named
from autodiff.ops import hypergeometric
from autodiff.ops.common import bare, quotient, real_numbers
from autodiff.ops.parameters import _in_double
from autodiff.ops.shaping import _tensor
from autodiff.ops.stable import MODERATE, direction, of

_ROOT_PI, _LOG_TWO_PI = float(np.sqrt(np.pi)), float(np.log(2 * np.pi))


# --- the Hurwitz zeta function in its exponent ----------------------------------------------------------------------

_BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330, 854513 / 138
)  # fmt: skip


def _times(a: list[Any], b: list[Any]) -> list[Any]:
    """The product of two Taylor series, as far as both go."""
    return [sum(a[i] * b[k - i] for i in range(k + 1)) for k in range(len(a))]


def _zeta(x: Any, q: Any, n: int) -> Any:
    """``d^n zeta(x, q) / dx^n`` by the sum of Euler and Maclaurin, each term as a Taylor series in x (DLMF 25.11.5)."""
    good = (np.real(q) > 0) & (x > -2) & (x != 1)  # further left the terms are large and cancel
    x, q = np.where(good, x, 2.0), np.where(good, q, 1.0)

    def power(base: Any) -> list[Any]:
        log, term, made = -np.log(base), base**-x, []
        for k in range(n + 1):
            made.append(term)
            term = term * log / (k + 1)
        return made

    total: list[Any] = [0.0] * (n + 1)
    for k in range(20):
        total = [a + b for a, b in zip(total, power(q + k), strict=True)]
    end = q + 20
    last = power(end)
    pole = [(-1.0) ** k / (x - 1) ** (k + 1) for k in range(n + 1)]
    total = [a + end * b + c / 2 for a, b, c in zip(total, _times(last, pole), last, strict=True)]
    rising: list[Any] = [x, *[1.0 + 0 * x] * (n > 0), *[0.0 * x] * (n - 1)]  # x, then x (x + 1) (x + 2), ...
    size = 2.0
    for j, number in enumerate(_BERNOULLI, 1):
        term = _times(rising, last)
        total = [a + number / size * b / end ** (2 * j - 1) for a, b in zip(total, term, strict=True)]
        for more in (2 * j - 1, 2 * j):
            rising = _times(rising, [x + more, *[1.0 + 0 * x] * (n > 0), *[0.0 * x] * (n - 1)])
        size *= (2 * j + 1) * (2 * j + 2)
    factorial = float(np.prod(np.arange(1.0, n + 1)))
    return np.where(good, total[n] * factorial, np.nan)


def zeta_of_complex(x: Any, q: Any) -> Any:
    """``zeta(x, q)`` for whole ``x > 1`` and complex ``q``: left of 1/2 by ``zeta(x, q) = q^-x + zeta(x, q + 1)``."""
    x, given = np.asarray(x, float), np.asarray(q)
    if np.any((x != np.rint(x)) | (x < 2)):
        raise NotDifferentiableError("zeta(x, q) at complex q is given for whole x > 1, in derivatives of digamma")
    if np.any(np.real(given) < -1000):  # as many terms would be added one by one
        raise NotDifferentiableError("derivatives of digamma at complex numbers are given right of -1000")
    with np.errstate(all="ignore"):
        q, total = given.astype(complex), np.zeros(np.broadcast_shapes(x.shape, given.shape), complex)
        while np.any(left := np.real(q) < 0.5):
            total = total + np.where(left, np.where(left, q, 1.0) ** -x, 0)
            q = np.where(left, q + 1, q)
        return (total + _zeta(x, q, 0)).astype(given.dtype)


zeta_slope: Primitive = Primitive(
    "zeta_slope",
    lambda x, q, n: _in_double(_zeta, (x, q), n),
    lambda g, out, x, q, n: g * of(zeta_slope, x, q, n + 1),
    # d/dq zeta(x, q) = -x zeta(x + 1, q), n times differentiated in x.
    lambda g, out, x, q, n: (
        -g * (x * of(zeta_slope, x + 1, q, n) + (n * of(zeta_slope, x + 1, q, n - 1) if n else 0.0))
    ),
    sample=lambda draw: ((draw.array((2,), 1.5, 4.0), draw.array((2,), 0.5, 3.0), draw.integer(0, 2)), {}),
    pointwise=True,
    real_only=True,
)


# --- points of the beta and the F distribution ----------------------------------------------------------------------


def far_or(log_x: Any, make: Any, formula: Any, *args: Any) -> Any:
    """``make(log_x)`` where x is the first term of its series to all digits, which SciPy's inverses lose there."""
    far = bare(log_x) < -40
    if not np.any(far):
        return formula(*args)
    if np.all(far):
        return make(log_x)
    *shapes, q = args
    return np.where(far, make(np.where(far, log_x, -40.0)), formula(*shapes, np.where(far, 0.5, q)))


def log_beta_end(a: Any, b: Any, q: Any) -> Any:
    """``log x`` with ``betainc(a, b, x) = q`` where x is small."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.log(q) + np.log(a) + registry["betaln"].function(a, b)) / a


def beta_ppf(a: Any, b: Any, q: Any) -> Any:
    """``x`` with ``betainc(a, b, x) = q``."""
    return far_or(log_beta_end(a, b, q), np.exp, registry["betaincinv"].function, a, b, q)


def beta_isf(a: Any, b: Any, q: Any) -> Any:
    """``x`` with ``betaincc(a, b, x) = q``."""
    return far_or(log_beta_end(b, a, q), lambda log: 1 - np.exp(log), registry["betainccinv"].function, a, b, q)


def f_point(n: Any, d: Any, q: Any, own: Any, other: Any) -> Any:
    """A point of the F distribution by both shares, of which the small one has all digits."""
    return d * own(0.5 * n, 0.5 * d, q) / (n * other(0.5 * d, 0.5 * n, q))


# --- the others, once scipy.special is there ------------------------------------------------------------------------


def _first(n: Any, value: Any) -> Any:
    """The slope of a polynomial of degree n: nothing where that is 0."""
    return np.where(bare(n) == 0, 0, value)


def define(s: Any, define: Any) -> None:
    """The rules, by ``define(ufunc, *rules, domain=...)``."""
    positive, unit = (0.3, 3.0), (0.1, 0.9)

    # --- Lambert, plasma, Voigt, Airy
    lambert = sys.modules["scipy.special._ufuncs"]._lambertw
    Primitive(
        "lambertw",
        lambda z, k=0, tol=1e-8: lambert(z, k, tol),
        lambda g, out, z, k=0, tol=1e-8: quotient(g * np.exp(-out), 1 + out),
        sample=lambda draw: ((draw.array(draw.shape(), *positive),), {"k": draw.choice((0, 1, -1))}),
        pointwise=True,
        numpy=lambert,
        reach=MODERATE,
    )

    def riemann_slope(x: Any) -> Any:
        left = bare(x) < -1
        right = of(zeta_slope, np.where(left, 2.0, x), 1.0, 1)
        if not np.any(left):
            return right
        y = np.where(left, x, -2.0)  # zeta(y) = 2 (2 pi)^(y - 1) sin(pi y / 2) gamma(1 - y) zeta(1 - y) (DLMF 25.4.1)
        size, angle = 2 * np.exp((y - 1) * _LOG_TWO_PI + s.gammaln(1 - y)), np.pi / 2 * y
        zeta, slope = (of(zeta_slope, 1 - y, 1.0, n) for n in (0, 1))
        in_sine = (_LOG_TWO_PI - s.digamma(1 - y)) * zeta - slope
        return np.where(left, size * (np.sin(angle) * in_sine + np.pi / 2 * np.cos(angle) * zeta), right)

    Primitive(
        "riemann_zeta",
        lambda x: s.zeta(x),
        lambda g, out, x: g * riemann_slope(x),
        domain=(1.5, 4.0),
        pointwise=True,
        real_only=True,
    )

    def plasma_slope(z: Any) -> Any:
        return 2j / _ROOT_PI - 2 * z * s.wofz(z)

    define(s.wofz, lambda g, out, z: g * plasma_slope(z))

    def voigt(x: Any, sigma: Any, gamma: Any) -> tuple[Any, Any, Any]:
        # V = Re w(z) / (sigma sqrt(2 pi)) with z = (x + i gamma) / (sigma sqrt 2), here as one holomorphic function.
        scale = 1 / (sigma * np.sqrt(2.0))
        z = (x + 1j * gamma) * scale
        slope = plasma_slope(z) * scale
        return slope * scale / _ROOT_PI, z, scale

    define(
        s.voigt_profile,
        lambda g, out, x, sigma, gamma: g * np.real(voigt(x, sigma, gamma)[0]),
        lambda g, out, x, sigma, gamma: -g * (out + np.real((x + 1j * gamma) * voigt(x, sigma, gamma)[0])) / sigma,
        lambda g, out, x, sigma, gamma: -g * np.imag(voigt(x, sigma, gamma)[0]),
        domain=[(-2.0, 2.0), positive, positive],
    )

    def airy_tangent(t: Any, out: Any, z: Any) -> Any:
        return t * out[1], t * z * out[0], t * out[3], t * z * out[2]

    Primitive(
        "airy",
        lambda z: s.airy(z),
        lambda g, out, z: g[0] * out[1] + g[1] * z * out[0] + g[2] * out[3] + g[3] * z * out[2],
        tangent=airy_tangent,
        domain=(-3.0, 2.0),
        numpy=s.airy,
    )

    # --- orthogonal polynomials in their argument; the degree is a constant
    def polynomial(name: str, rule: Any, extra: int = 0) -> None:
        ufunc = getattr(s, name)
        more = ("alpha", "beta")[:extra]
        forward = eval(f"lambda {', '.join(('n', *more, 'x'))}: f({', '.join(('n', *more, 'x'))})", {"f": ufunc})
        Primitive(
            name,
            forward,
            *[None] * (1 + extra),
            rule,
            numpy=ufunc,
            sample=lambda draw: (
                (draw.integers(draw.shape(), 0, 4), *(draw.array((), 0.3, 2.0) for _ in more), draw.array((), *unit)),
                {},
            ),
            pointwise=True,
        )

    def ultra(n: Any, alpha: float, x: Any) -> Any:
        return _first(n, s.eval_gegenbauer(np.maximum(n - 1, 0), alpha, x))

    def second(n: Any, x: Any) -> Any:
        return _first(n, n * s.eval_chebyu(np.maximum(n - 1, 0), x))

    polynomial("eval_legendre", lambda g, out, n, x: g * ultra(n, 1.5, x))
    polynomial("eval_sh_legendre", lambda g, out, n, x: g * (2 * ultra(n, 1.5, 2 * x - 1)))
    polynomial("eval_chebyt", lambda g, out, n, x: g * second(n, x))
    polynomial("eval_sh_chebyt", lambda g, out, n, x: g * (2 * second(n, 2 * x - 1)))
    polynomial("eval_chebyc", lambda g, out, n, x: g * second(n, x / 2))
    polynomial("eval_chebyu", lambda g, out, n, x: g * (2 * ultra(n, 2.0, x)))
    polynomial("eval_sh_chebyu", lambda g, out, n, x: g * (4 * ultra(n, 2.0, 2 * x - 1)))
    polynomial("eval_chebys", lambda g, out, n, x: g * ultra(n, 2.0, x / 2))
    polynomial(
        "eval_gegenbauer",
        lambda g, out, n, alpha, x: g * _first(n, 2 * alpha * s.eval_gegenbauer(np.maximum(n - 1, 0), alpha + 1, x)),
        1,
    )
    polynomial(
        "eval_jacobi",
        lambda g, out, n, alpha, beta, x: (
            g * _first(n, (n + alpha + beta + 1) / 2 * s.eval_jacobi(np.maximum(n - 1, 0), alpha + 1, beta + 1, x))
        ),
        2,
    )
    polynomial("eval_hermite", lambda g, out, n, x: g * _first(n, 2 * n * s.eval_hermite(np.maximum(n - 1, 0), x)))
    polynomial("eval_hermitenorm", lambda g, out, n, x: g * _first(n, n * s.eval_hermitenorm(np.maximum(n - 1, 0), x)))
    polynomial("eval_laguerre", lambda g, out, n, x: -g * _first(n, s.eval_genlaguerre(np.maximum(n - 1, 0), 1.0, x)))
    polynomial(
        "eval_genlaguerre",
        lambda g, out, n, alpha, x: -g * _first(n, s.eval_genlaguerre(np.maximum(n - 1, 0), alpha + 1, x)),
        1,
    )

    # --- spherical harmonics: the ladder operators, which have no pole at the poles. What they make is turned back to
    # the order m in phi, so that the derivative in phi is i m times it, and exactly 0 for m = 0.
    def ladder(sign: int, theta: Any, phi: Any, n: Any, m: Any, turn: int) -> Any:
        order = m + turn
        factor = np.sqrt(np.maximum((n - sign * order) * (n + sign * order + 1), 0))
        return factor * of(harmonic, theta, phi, n, m, turn + sign)

    def harmonic_forward(theta: Any, phi: Any, n: Any, m: Any, turn: int = 0) -> Any:
        order = np.asarray(m) + turn
        made = s.sph_harm_y(np.asarray(n), order, theta, 0.0 if turn else phi)
        made = np.where(np.abs(order) > np.asarray(n), 0, made)
        return made * np.exp(1j * m * phi) if turn else made

    harmonic: Primitive = Primitive(
        "sph_harm_y",
        harmonic_forward,
        lambda g, out, theta, phi, n, m, turn=0: (
            g * (0.5 * (ladder(1, theta, phi, n, m, turn) - ladder(-1, theta, phi, n, m, turn)))
        ),
        lambda g, out, theta, phi, n, m, turn=0: g * (1j * m * out),
        sample=lambda draw: (
            (draw.array((2,), 0.3, 2.5), draw.array((2,), -3.0, 3.0), draw.integer(2, 3), draw.integer(-2, 2)),
            {},
        ),
        pointwise=True,
        real_only=True,
    )

    # --- confluent hypergeometric functions
    limit, kummer, tricomi = hypergeometric.define()
    define(
        s.hyp1f1,
        lambda g, out, a, b, x: g * of(kummer, a, b, x, 1, 0, 0),
        lambda g, out, a, b, x: g * of(kummer, a, b, x, 0, 1, 0),
        lambda g, out, a, b, x: g * (a / b * s.hyp1f1(a + 1, b + 1, x)),
        domain=[positive, positive, (-2.0, 2.0)],
    )
    define(
        s.hyperu,
        lambda g, out, a, b, x: g * of(tricomi, a, b, x, 1, 0, 0),
        lambda g, out, a, b, x: g * of(tricomi, a, b, x, 0, 1, 0),
        lambda g, out, a, b, x: -g * (a * s.hyperu(a + 1, b + 1, x)),
        domain=[positive, positive, positive],
    )
    define(
        s.hyp0f1,
        lambda g, out, v, z: g * of(limit, v, z, 1, 0),
        lambda g, out, v, z: g * (s.hyp0f1(v + 1, z) / v),
        domain=[positive, (-2.0, 2.0)],
    )

    # --- quotients that are smooth where they look like 0 / 0, and integrals
    def growth(x: Any) -> Any:
        """The slope of ``(exp(x) - 1) / x``; SciPy's hyp1f1 does not come back from numbers of some size."""
        plain = bare(x)
        ends, far = np.isinf(plain), np.abs(plain) > 30
        with np.errstate(over="ignore"):
            away = np.where(far & ~ends, x, 40.0)
            half = np.exp(away / 2)  # the exponential leaves the range sooner than the slope
            large = half * (1 / away - (1 / away) ** 2) * half + (1 / away) ** 2
            # At infinity exp has the limits of the slope and of all its derivatives.
            beyond = np.where(ends, np.exp(np.where(ends, x, 0.0)), large)
        return np.where(far, beyond, 0.5 * s.hyp1f1(2.0, 3.0, np.where(far, 0.0, x)))

    define(s.exprel, lambda g, out, x: g * growth(x), reach=MODERATE)
    define(
        s.boxcox,
        lambda g, out, x, lmbda: g * x ** (lmbda - 1),
        lambda g, out, x, lmbda: g * (np.log(x) ** 2 * growth(lmbda * np.log(x))),
        domain=[positive, (-2.0, 2.0)],
        reach=MODERATE,
    )
    define(
        s.boxcox1p,
        lambda g, out, x, lmbda: g * (1 + x) ** (lmbda - 1),
        lambda g, out, x, lmbda: g * (np.log1p(x) ** 2 * growth(lmbda * np.log1p(x))),
        domain=[positive, (-2.0, 2.0)],
        reach=MODERATE,
    )

    def bend(u: Any) -> Any:
        """The slope of ``log(1 + u) / u``, which is ``2F1(1, 1; 2; -u)`` (DLMF 15.4.1); the quotient cancels near 0."""
        near = np.abs(bare(u)) < 0.5
        away = np.where(near, 1.0, u)
        quotient = (away / (1 + away) - np.log1p(away)) / away / away
        return np.where(near, -0.5 * s.hyp2f1(2.0, 2.0, 3.0, -np.where(near, u, 0.0)), quotient)

    define(
        s.inv_boxcox,
        lambda g, out, y, lmbda: g * out ** (1 - lmbda),
        lambda g, out, y, lmbda: g * (out * y * (y * bend(lmbda * y))),
        domain=[positive, positive],
        reach=MODERATE,
    )

    # K(1 - p): near p = 0 by E(1 - p), since 1 - p rounds; beyond as that of ellipk (DLMF 19.4.1, 19.4.2).
    def in_complement(p: Any, near: Any, far: Any) -> Any:
        small = bare(p) < 0.5
        return np.where(small, near(np.where(small, p, 0.25)), far(np.where(small, 1.0, p)))

    def second_kind_slope(p: Any) -> Any:
        near = lambda p: 0.5 * (s.ellipkm1(p) - of(second_kind, p)) / (1 - p)
        return in_complement(p, near, lambda p: np.pi / 8 * s.hyp2f1(0.5, 1.5, 2.0, 1 - p))

    second_kind: Primitive = Primitive(
        "ellipe_of_complement",
        lambda p: s.ellipe(1 - np.asarray(p)),
        lambda g, out, p: g * second_kind_slope(p),
        domain=(0.3, 1.7),
        reach=(1e-150, np.inf),  # beyond, second derivatives leave the range
        pointwise=True,
    )

    def first_kind_near(p: Any) -> Any:
        zero = bare(p) == 0  # there K is infinite, and p K is not
        rest = np.where(zero, 0.0, p * s.ellipkm1(np.where(zero, 1.0, p)))
        return -0.5 * quotient((of(second_kind, p) - rest) / (1 - p), p)

    def first_kind_slope(p: Any) -> Any:
        return in_complement(p, first_kind_near, lambda p: -np.pi / 8 * s.hyp2f1(1.5, 1.5, 2.0, 1 - p))

    define(s.ellipkm1, lambda g, out, p: g * first_kind_slope(p), domain=(0.3, 1.7), reach=(1e-150, np.inf))

    def dilogarithm_slope(z: Any) -> Any:
        near = np.abs(bare(z) - 1) < 0.5
        away = np.where(near, 2.0, z)
        return np.where(near, -s.hyp2f1(1.0, 1.0, 2.0, 1 - np.where(near, z, 1.0)), np.log(away) / (1 - away))

    define(s.spence, lambda g, out, z: g * dilogarithm_slope(z), domain=(0.3, 1.7))
    define(
        s.pseudo_huber,
        # With h = hypot(r, delta): (h - delta)^2 / h, and h - delta = r^2 / (h + delta), so that nothing cancels.
        lambda g, out, delta, r: g * (r * quotient(r, np.hypot(r, delta) + delta) ** 2 * of(direction, r, delta)),
        lambda g, out, delta, r: g * (delta * of(direction, r, delta)),
        domain=[positive, (-2.0, 2.0)],
        reach=(0.0, 1e150),
    )
    define(
        s.powm1,
        lambda g, out, x, y: g * (y * x ** (y - 1)),
        lambda g, out, x, y: g * (x**y * np.log(x)),
        domain=[positive, (-2.0, 2.0)],
    )

    def pair(name: str, slopes: Any, low: float) -> None:
        ufunc = getattr(s, name)
        Primitive(
            name,
            lambda x: ufunc(x),
            lambda g, out, x: g[0] * slopes(x)[0] + g[1] * slopes(x)[1],
            tangent=lambda t, out, x: tuple(t * slope for slope in slopes(x)),
            domain=(low, 3.0),
            numpy=ufunc,
        )

    pair("sici", lambda x: (np.sinc(x / np.pi), np.cos(x) / x), 0.3)

    def sinhc(x: Any) -> Any:
        near = np.abs(bare(x)) < 1
        small, away = np.where(near, x, 0.0), np.where(near, 1.0, x)
        return np.where(near, s.hyp0f1(1.5, 0.25 * small * small), np.sinh(away) / away)

    pair("shichi", lambda x: (sinhc(x), np.cosh(x) / x), 0.3)
    pair("fresnel", lambda x: (np.sin(np.pi / 2 * x * x), np.cos(np.pi / 2 * x * x)), -2.0)
    define(s.wrightomega, lambda g, out, z: g * out / (1 + out))

    # Spherical Bessel functions f(z, n) of whole order n (DLMF 10.51.2, 10.51.5): no quotient by z.
    def spherical(name: str, before: float, after: float) -> None:
        function = getattr(sys.modules["scipy.special"], name)

        def slope(z: Any, n: Any) -> Any:
            n = np.asarray(n)
            below, above = (of(op, z, order) for order in (np.maximum(n - 1, 0), n + 1))
            return (before * n * below + after * (n + 1) * above) / (2 * n + 1)

        op = Primitive(
            name,
            lambda z, n: function(n, z),
            lambda g, out, z, n: g * slope(z, n),
            sample=lambda draw: ((draw.array(draw.shape(), *positive), draw.integer(0, 3)), {}),
            pointwise=True,
        )

    spherical("spherical_jn", 1.0, -1.0)
    spherical("spherical_yn", 1.0, -1.0)
    spherical("spherical_in", 1.0, 1.0)
    spherical("spherical_kn", -1.0, -1.0)

    # Struve's functions in their argument (DLMF 11.4.25, 11.4.26), Kelvin's by their equation (10.63).
    def struve(ufunc: Any, sign: float) -> None:
        def more(v: Any, z: Any) -> Any:
            return (0.5 * z) ** v * (s.rgamma(v + 1.5) / np.sqrt(np.pi).item())

        define(
            ufunc,
            None,
            lambda g, out, v, z: g * (0.5 * (ufunc(v - 1, z) + sign * ufunc(v + 1, z) + more(v, z))),
            domain=positive,
        )

    struve(s.struve, -1.0)
    struve(s.modstruve, 1.0)

    def kelvin(one: str, other: str, sign: float, at_zero: float) -> None:
        value, slope, partner = getattr(s, one), getattr(s, f"{one}p"), getattr(s, other)

        def bend(out: Any, x: Any) -> Any:
            return sign * partner(x) - np.where(bare(x) == 0, at_zero, quotient(out, np.where(bare(x) == 0, 1, x)))

        define(value, lambda g, out, x: g * slope(x), domain=positive)
        # Near 0 the second derivative is what is left of two nearly equal terms.
        define(slope, lambda g, out, x: g * bend(out, x), domain=positive, reach=(1e-2, np.inf))

    for even, odd in (("ber", "bei"), ("ker", "kei")):
        kelvin(even, odd, -1.0, 0.0)
        kelvin(odd, even, 1.0, 0.5)

    for name in ("hankel1", "hankel2"):
        f = getattr(s, name)
        define(f, None, lambda g, out, v, z, f=f: g * (0.5 * (f(v - 1, z) - f(v + 1, z))), domain=positive)

    # --- distribution functions under older names, by what they are made of
    def share(n: Any, d: Any, x: Any) -> Any:
        return n * x / (n * x + d)

    def by_shares(below: Any, above: Any) -> Any:
        """By n x and d as shares of their sum: by the smaller one, which rounding leaves all digits."""

        def function(n: Any, d: Any, x: Any) -> Any:
            far = bare(n * x) > bare(d)
            near = below(n / 2.0, d / 2.0, share(n, d, np.where(far, 1.0, x)))
            if not np.any(far):
                return near
            return np.where(far, above(d / 2.0, n / 2.0, d / (n * np.where(far, x, 1.0) + d)), near)

        return function

    def log1p_ratio(u: Any) -> Any:
        """``log(1 + u) / u`` (DLMF 15.4.1)."""
        near = np.abs(bare(u)) < 0.5
        away = np.where(near, 1.0, u)
        return np.where(near, s.hyp2f1(1.0, 1.0, 2.0, -np.where(near, u, 0.0)), np.log1p(away) / away)

    def half_turn(x: Any) -> tuple[Any, Any]:
        """The angle in degrees up to half turns, in radians, and the sign that they leave."""
        turns = np.round(bare(x) / 180)
        return (x - 180 * turns) * (np.pi / 180), 1 - 2 * (turns % 2)

    def away_from_right(angle: Any) -> tuple[Any, Any]:
        """Which angles are nearer to 90 degrees than to 0, and how far from there they are."""
        size = np.where(bare(angle) < 0, -angle, angle)
        return bare(size) > np.pi / 4, np.pi / 2 - size

    def sindg(x: Any) -> Any:
        angle, sign = half_turn(x)
        large, rest = away_from_right(angle)
        return sign * np.where(large, np.sign(bare(angle)) * np.cos(rest), np.sin(angle))

    def cosdg(x: Any) -> Any:
        angle, sign = half_turn(x)
        large, rest = away_from_right(angle)
        return sign * np.where(large, np.sin(rest), np.cos(angle))

    def zetac(x: Any) -> Any:
        far = (bare(x) > 1) & np.isfinite(bare(x))
        near = registry["riemann_zeta"].function(np.where(far, 0.0, x)) - 1  # type: ignore[operator]
        return np.where(far, registry["zeta"].function(np.where(far, x, 2.0), 2.0), near)

    def scaled(order: float) -> Any:
        return lambda x: np.where(np.isposinf(bare(x)), 0.0, s.kve(order, x))

    def whole(k: Any) -> Any:
        return np.floor(np.asarray(bare(k), float))

    def left(n: Any, k: Any) -> Any:
        """``n - k``; 1 where none is left."""
        return np.where(whole(k) < bare(n), n - whole(k), 1.0)

    made = {
        "chdtr": lambda v, x: s.gammainc(v / 2.0, x / 2.0),
        "chdtrc": lambda v, x: s.gammaincc(v / 2.0, x / 2.0),
        "chdtri": lambda v, p: 2.0 * s.gammainccinv(v / 2.0, p),
        "gdtr": lambda a, b, x: s.gammainc(b, a * x),
        "gdtrc": lambda a, b, x: s.gammaincc(b, a * x),
        "pdtr": lambda k, m: s.gammaincc(whole(k) + 1, m),
        "pdtrc": lambda k, m: s.gammainc(whole(k) + 1, m),
        "bdtr": lambda k, n, p: np.where(whole(k) < bare(n), s.betaincc(whole(k) + 1, left(n, k), p), 1.0),
        "bdtrc": lambda k, n, p: np.where(
            whole(k) < 0, 1.0, np.where(whole(k) < bare(n), s.betainc(np.maximum(whole(k), 0) + 1, left(n, k), p), 0.0)
        ),
        "nbdtr": lambda k, n, p: s.betainc(n, whole(k) + 1, p),
        "nbdtrc": lambda k, n, p: s.betaincc(n, whole(k) + 1, p),
        "fdtr": by_shares(s.betainc, s.betaincc),
        "fdtrc": by_shares(s.betaincc, s.betainc),
        "inv_boxcox1p": lambda y, lmbda: np.expm1(y * log1p_ratio(lmbda * y)),
        "radian": lambda d, m, sec: (d + m / 60 + sec / 3600) * (np.pi / 180),
        "cotdg": lambda x: cosdg(x) / sindg(x),
        "k0e": scaled(0.0),
        "k1e": scaled(1.0),
        "bdtri": lambda k, n, y: beta_isf(whole(k) + 1, n - whole(k), y),
        "nbdtri": lambda k, n, y: beta_ppf(n, whole(k) + 1, y),
        "pdtri": lambda k, y: s.gammainccinv(whole(k) + 1, y),
        "fdtri": lambda n, d, y: f_point(n, d, y, beta_ppf, beta_isf),
        "zetac": zetac,
        "sindg": sindg,
        "cosdg": cosdg,
        "tandg": lambda x: sindg(x) / cosdg(x),
    }
    for name, composition in made.items():
        dispatch.implements(getattr(s, name))(_of_tensors(name, composition, getattr(s, name)))


def _of_tensors(name: str, composition: Any, ufunc: Any) -> Any:
    real = not any(code in types for types in ufunc.types for code in "FD")

    def function(*args: Any) -> Any:
        tensors = [_tensor(a) for a in args]
        if real:
            real_numbers(name, *tensors)
        made = composition(*tensors)
        with np.errstate(all="ignore"):
            none = np.isnan(ufunc(*map(bare, tensors)))  # no value, no derivative: a count or a parameter that is none
        return np.where(none, sum(t * np.nan for t in tensors), made) if np.any(none) else made

    return named(function, name, f"``scipy.special.{name}``, composed of differentiable functions.")
