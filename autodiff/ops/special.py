"""scipy.special: its functions are NumPy ufuncs, so they come through the same protocol once their rules are
registered.

Nothing here runs until a tensor meets a ufunc of scipy.special, or :mod:`autodiff.special` is imported; the core needs
NumPy alone. Formulas: Abramowitz and Stegun, chapters 5 to 9; NIST Digital Library of Mathematical Functions.
"""

from __future__ import annotations

import sys
from functools import partial
from math import comb, factorial, prod
from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.core.op import Primitive, registry
from autodiff.extras import require
from autodiff.ops import elementwise, elliptic, parameters, transcendental
from autodiff.ops.common import bare, quotient, real_numbers
from autodiff.ops.stable import (
    MODERATE,
    _gaussian,
    bessel_i,
    fractions_of_mills,
    gaussian_of,
    log1p_square,
    logistic_density_of,
    of,
    sigmoid_of,
)

_POSITIVE = (0.3, 3.0)
_UNIT = (0.1, 0.9)


def register() -> None:
    """Define the rules; the first call imports scipy.special, further calls do nothing.

    Raises
    ------
    MissingExtraError
        If SciPy is not installed.
    """
    if "erf" in registry:
        return
    s = _Ufuncs(require("scipy.special"))
    root_pi, root_two_pi, root_two, log_ten = (
        np.sqrt(np.pi).item(),
        np.sqrt(2 * np.pi).item(),
        np.sqrt(2.0).item(),
        np.log(10.0).item(),
    )

    def define(ufunc: Any, *rules: Any, name: str | None = None, domain: Any = (-2.0, 2.0), **facts: Any) -> None:
        Primitive(name or ufunc.__name__, ufunc, *rules, domain=domain, **facts)

    def family(name: str, forward: Any, low: float = -2.0, high: float = 2.0) -> Any:
        """The n-th derivatives of one function as an operation ``f(x, n)``."""
        op = Primitive(
            name,
            forward,
            lambda g, out, x, n: g * of(op, x, n + 1),
            sample=lambda draw: ((draw.array(draw.shape(), low, high), draw.integer(0, 2)), {}),
            pointwise=True,
        )
        return lambda x, n: of(op, x, n)

    # --- error functions and the normal distribution
    define(s.erf, lambda g, out, x: g * (2 / root_pi * gaussian_of(x, 1.0)))
    define(s.erfc, lambda g, out, x: g * (-2 / root_pi * gaussian_of(x, 1.0)))
    define(s.erfi, lambda g, out, x: g * (2 / root_pi * gaussian_of(x, -1.0)))
    define(s.ndtr, lambda g, out, x: g * (gaussian_of(x, 0.5) / root_two_pi))
    scaled_erfc = family("erfcx_derivative", _erfcx_derivative)
    define(s.erfcx, lambda g, out, x: g * scaled_erfc(x, 1), edges=(0.71,))
    hazard = family("log_ndtr_derivative", _log_ndtr_derivative)
    define(s.log_ndtr, lambda g, out, x: g * hazard(x, 0), ulps=(8.0, 16.0, 128.0), edges=(-1.0,))
    dawson = family("dawsn_derivative", _dawson_derivative)
    define(s.dawsn, lambda g, out, x: g * dawson(x, 1), ulps=(32.0, 128.0, 8192.0), edges=(1.2, 6.5, -1.2, -6.5))

    # The slope S of an inverse f, where S is proportional to exp(rate f^2), has the derivative 2 rate f S^2.
    def inverse(ufunc: Any, slope: Any, rate: float, low: float, high: float) -> None:
        op = Primitive(
            f"{ufunc.__name__}_slope",
            slope,
            lambda g, out, x: g * (2 * rate * ufunc(x) * out * out),
            domain=(low, high),
            pointwise=True,
        )
        define(ufunc, lambda g, out, x: g * of(op, x), domain=(low, high))

    inverse(s.erfinv, lambda x: root_pi / 2 * _growth(s.erfinv(x), 1 - np.abs(x), 1.0), 1.0, -0.9, 0.9)
    inverse(s.erfcinv, lambda x: -root_pi / 2 * _growth(s.erfcinv(x), np.minimum(x, 2 - x), 1.0), 1.0, 0.1, 1.9)
    inverse(s.ndtri, lambda x: root_two_pi * _growth(s.ndtri(x), 2 * np.minimum(x, 1 - x), 0.5), 0.5, *_UNIT)
    # --- logistic
    define(s.expit, lambda g, out, x: g * logistic_density_of(x))
    define(s.logit, lambda g, out, x: quotient(g, x) + quotient(g, 1 - x), domain=_UNIT)
    define(s.log_expit, lambda g, out, x: g * sigmoid_of(-x))

    # --- gamma and beta; the Hurwitz zeta function gives every polygamma function
    def zeta(x: Any, q: Any) -> Any:
        # SciPy's zeta is a Python function around a private ufunc, which cannot be registered.
        return of(registry["zeta"], x, q)  # type: ignore[arg-type]

    Primitive(
        "zeta",
        lambda x, q: transcendental.zeta_of_complex(x, q) if np.iscomplexobj(q) else s.zeta(x, q),
        lambda g, out, x, q: g * of(transcendental.zeta_slope, x, q, 1),
        lambda g, out, x, q: -g * x * zeta(x + 1, q),
        sample=lambda draw: ((draw.array((), 1.5, 4.0), draw.array(draw.shape(), 0.5, 3.0)), {}),
        pointwise=True,
    )
    define(s.digamma, lambda g, out, x: g * zeta(2.0, x), name="digamma", domain=_POSITIVE)
    define(s.gamma, lambda g, out, x: g * (out * s.digamma(x)), domain=_POSITIVE, edges=(-2.0, 171.0))
    define(s.gammaln, lambda g, out, x: g * s.digamma(x), domain=_POSITIVE, edges=(-2.0, 171.0))
    one_over_gamma = family("rgamma_derivative", _rgamma_derivative, *_POSITIVE)
    define(
        s.rgamma,
        lambda g, out, x: g * one_over_gamma(x, 1),
        domain=_POSITIVE,
        ulps=(32.0, 256.0, 64.0),
        edges=(-2.0, 171.0),
    )
    rises = Primitive(
        "polygamma_rise",
        _polygamma_rise,
        lambda g, out, a, b, n: g * of(rises, a, b, n + 1),
        lambda g, out, a, b, n: g * ((-1.0) ** n * factorial(n + 1) * zeta(n + 2.0, a + b)),
        sample=lambda draw: (
            (draw.array((), *_POSITIVE), draw.array(draw.shape(), *_POSITIVE), draw.integer(0, 2)),
            {},
        ),
        pointwise=True,
    )

    def rise(a: Any, b: Any) -> Any:
        return of(rises, a, b, 0)

    define(s.betaln, lambda g, out, a, b: -g * rise(a, b), lambda g, out, a, b: -g * rise(b, a), domain=_POSITIVE)
    define(
        s.beta,
        lambda g, out, a, b: -g * (out * rise(a, b)),
        lambda g, out, a, b: -g * (out * rise(b, a)),
        domain=_POSITIVE,
        ulps=(16.0, 64.0, 256.0),
        reach=MODERATE,
    )
    slopes = parameters.define(s)
    in_shape, in_shapes = slopes["gammainc"], slopes["betainc"]

    # Densities as powers whose derivatives are such powers: no logarithm or quotient meets the zeros at their ends.
    gamma_power = Primitive(
        "gamma_power",
        lambda p, x, c: np.exp(s.xlogy(p, x) - x - c),
        lambda g, out, p, x, c: g * s.xlogy(out, x),
        lambda g, out, p, x, c: g * (p * of(gamma_power, p - 1, x, c) - out),
        lambda g, out, p, x, c: -g * out,
        domain=_POSITIVE,
        pointwise=True,
    )
    beta_power = Primitive(
        "beta_power",
        lambda p, q, x, c: np.exp(s.xlogy(p, x) + s.xlog1py(q, -x) - c),
        lambda g, out, p, q, x, c: g * s.xlogy(out, x),
        lambda g, out, p, q, x, c: g * s.xlog1py(out, -x),
        lambda g, out, p, q, x, c: g * (p * of(beta_power, p - 1, q, x, c) - q * of(beta_power, p, q - 1, x, c)),
        lambda g, out, p, q, x, c: -g * out,
        domain=_UNIT,
        pointwise=True,
    )

    def gamma_density(a: Any, x: Any) -> Any:
        return of(gamma_power, a - 1, x, s.gammaln(a))

    def beta_density(a: Any, b: Any, x: Any) -> Any:
        return of(beta_power, a - 1, b - 1, x, s.betaln(a, b))

    for ufunc, sign in ((s.gammainc, 1), (s.gammaincc, -1)):
        define(
            ufunc,
            partial(_signed, sign, lambda a, x: of(in_shape, a, x, 1)),
            partial(_signed, sign, gamma_density),
            domain=_POSITIVE,
            ulps=(2048.0, 32768.0),  # the exponent a log x - x of the density, rounded; shapes up to 400, and up to 30
        )
    for ufunc, sign in ((s.betainc, 1), (s.betaincc, -1)):
        define(
            ufunc,
            partial(_signed, sign, lambda a, b, x: of(in_shapes, a, b, x, 1, 0)),
            partial(_signed, sign, lambda a, b, x: of(in_shapes, a, b, x, 0, 1)),
            partial(_signed, sign, beta_density),
            domain=[_POSITIVE, _POSITIVE, _UNIT],
            ulps=(512.0, 512.0),
        )
    # --- exponential integrals, elliptic integrals and other single functions
    define(s.loggamma, lambda g, out, x: g * s.digamma(x), domain=_POSITIVE)
    growth = family("exponential_over", _exponential_over, *_POSITIVE)
    define(s.expi, lambda g, out, x: g * growth(x, 0), domain=_POSITIVE)
    define(s.exp1, lambda g, out, x: g * growth(-x, 0), domain=_POSITIVE)
    define(s.exp10, lambda g, out, x: g * (out * log_ten))
    define(s.cosm1, lambda g, out, x: -g * np.sin(x))
    define(
        s.hyp2f1,
        None,
        None,
        None,
        lambda g, out, a, b, c, z: g * (a * b / c * s.hyp2f1(a + 1, b + 1, c + 1, z)),
        domain=[_POSITIVE, _POSITIVE, _POSITIVE, (-0.7, 0.7)],
    )
    # As hypergeometric functions, since (E - (1 - m) K) / (2 m (1 - m)) cancels where m is small (DLMF 19.5).
    define(s.ellipk, lambda g, out, m: g * (np.pi / 8 * s.hyp2f1(1.5, 1.5, 2.0, m)), domain=(-0.7, 0.7))
    define(s.ellipe, lambda g, out, m: g * (-np.pi / 8 * s.hyp2f1(0.5, 1.5, 2.0, m)), domain=(-0.7, 0.7))
    define(
        s.owens_t,
        lambda g, out, h, a: g * (-0.5 / root_two_pi * s.erf(a * h / root_two) * np.exp(-0.5 * h * h)),
        lambda g, out, h, a: g * (np.exp(-0.5 * h * h * (1 + a * a)) / (2 * np.pi * (1 + a * a))),
    )

    # The t distribution, by P(T > |x|) = I_q(df / 2, 1 / 2) / 2 with q = df / (df + x^2).
    def t_density(df: Any, x: Any) -> Any:
        return np.exp(-0.5 * (df + 1) * log1p_square(x / np.sqrt(df)) - 0.5 * np.log(df) - s.betaln(0.5 * df, 0.5))

    def t_slope(df: Any, x: Any) -> Any:
        # Near 0 q rounds to 1, and 1 - q = u^2 / (1 + u^2) tells what is left: I_q(a, b) = 1 - I_(1 - q)(b, a).
        u = x / np.sqrt(df)
        near = np.abs(bare(u)) < 1
        v, q = np.where(near, u, 1.0), np.where(near, 0.5, np.exp(-log1p_square(u)))
        tail = np.where(
            near, -of(in_shapes, 0.5, 0.5 * df, v * v / (1 + v * v), 0, 1), of(in_shapes, 0.5 * df, 0.5, q, 1, 0)
        )
        return -np.sign(bare(x)) * 0.25 * tail - x / (2 * df) * t_density(df, x)

    define(
        s.stdtr,
        lambda g, out, df, x: g * t_slope(df, x),
        lambda g, out, df, x: g * t_density(df, x),
        domain=[_POSITIVE, (-2.0, 2.0)],
        reach=MODERATE,
    )

    # An inverse f(a, y) of F(a, x): its slope in y is one over the density at f, in a that of F over the density.
    define(
        s.stdtrit,
        lambda g, out, df, p: -quotient(g * t_slope(df, out), t_density(df, out)),
        lambda g, out, df, p: quotient(g, t_density(df, out)),
        domain=[_POSITIVE, _UNIT],
        reach=MODERATE,
    )
    for ufunc, sign in ((s.gammaincinv, 1), (s.gammainccinv, -1)):
        define(
            ufunc,
            lambda g, out, a, y: -quotient(g * of(in_shape, a, out, 1), gamma_density(a, out)),
            partial(_over, sign, gamma_density),
            domain=[_POSITIVE, _UNIT],
            reach=MODERATE,
        )
    for ufunc, sign in ((s.betaincinv, 1), (s.betainccinv, -1)):
        define(
            ufunc,
            lambda g, out, a, b, y: -quotient(g * of(in_shapes, a, b, out, 1, 0), beta_density(a, b, out)),
            lambda g, out, a, b, y: -quotient(g * of(in_shapes, a, b, out, 0, 1), beta_density(a, b, out)),
            partial(_over, sign, beta_density),
            domain=[_POSITIVE, _POSITIVE, _UNIT],
            reach=MODERATE,
        )

    # Quotients of gamma functions. Where an argument is not positive, one over gamma may vanish, which the logarithmic
    # derivative of the quotient cannot say.
    def split(inside: Any, where_positive: Any, elsewhere: Any, *values: Any) -> Any:
        if np.all(inside):
            return where_positive(*values)
        if not np.any(inside):
            return elsewhere(*values)
        return np.where(inside, where_positive(*(np.where(inside, v, 2) for v in values)), elsewhere(*values))

    def binom_in_n(out: Any, n: Any, k: Any) -> Any:
        return split(
            (bare(n) > -1) & (bare(n) - bare(k) > -1),
            lambda n, k: s.binom(n, k) * rise(n - k + 1, k),
            lambda n, k: (
                s.gamma(n + 1)
                * s.rgamma(k + 1)
                * (s.digamma(n + 1) * s.rgamma(n - k + 1) + one_over_gamma(n - k + 1, 1))
            ),
            n,
            k,
        )

    def binom_in_k(out: Any, n: Any, k: Any) -> Any:
        return split(
            (bare(k) > -1) & (bare(n) - bare(k) > -1),
            lambda n, k: s.binom(n, k) * rise(k + 1, n - 2 * k),
            lambda n, k: (
                s.gamma(n + 1)
                * (one_over_gamma(k + 1, 1) * s.rgamma(n - k + 1) - s.rgamma(k + 1) * one_over_gamma(n - k + 1, 1))
            ),
            n,
            k,
        )

    def poch_in_z(out: Any, z: Any, m: Any) -> Any:
        return split(
            (bare(z) > 0) & (bare(z) + bare(m) > 0),
            lambda z, m: s.poch(z, m) * rise(z, m),
            lambda z, m: s.gamma(z + m) * (s.digamma(z + m) * s.rgamma(z) + one_over_gamma(z, 1)),
            z,
            m,
        )

    define(
        s.binom,
        lambda g, out, n, k: g * binom_in_n(out, n, k),
        lambda g, out, n, k: g * binom_in_k(out, n, k),
        domain=[(3.2, 5.0), _POSITIVE],
        reach=MODERATE,
    )
    define(
        s.poch,
        lambda g, out, z, m: g * poch_in_z(out, z, m),
        lambda g, out, z, m: g * (out * s.digamma(z + m)),
        domain=_POSITIVE,
        ulps=(16.0, 64.0, 256.0),
        reach=MODERATE,
    )
    define(
        s.huber,
        lambda g, out, delta, r: np.where(np.abs(bare(r)) <= bare(delta), 0, g * (np.abs(r) - delta)),
        lambda g, out, delta, r: np.where(np.abs(bare(r)) <= bare(delta), g * r, g * (delta * np.sign(bare(r)))),
        domain=[(0.3, 0.9), (1.1, 3.0)],
    )
    # SciPy has ufuncs of its own under these names of NumPy's.
    for op in (elementwise.cbrt, elementwise.exp2, elementwise.expm1, elementwise.log1p):
        define(getattr(s, op.name), *op.rules, name=f"special_{op.name}", domain=(0.3, 0.9))
    dispatch.constant_functions.add(s.gammasgn)
    # --- entropies; x log y is 0 at x = 0, whatever y
    define(
        s.xlogy,
        lambda g, out, x, y: s.xlogy(g, np.where((bare(x) == 0) & (bare(y) == 0), 1, y)),
        lambda g, out, x, y: quotient(g * x, y),
        domain=[(-2.0, 2.0), _POSITIVE],
    )
    define(
        s.xlog1py,
        lambda g, out, x, y: s.xlog1py(g, np.where((bare(x) == 0) & (bare(y) == -1), 0, y)),
        lambda g, out, x, y: quotient(g * x, 1 + y),
        domain=[(-2.0, 2.0), (-0.7, 2.0)],
    )
    define(s.entr, lambda g, out, x: -g * (np.log(x) + 1), domain=_POSITIVE)
    log_of_ratio = Primitive(
        "log_of_ratio",
        _log_of_ratio,
        lambda g, out, x, y: quotient(g, x),
        lambda g, out, x, y: -quotient(g, y),
        domain=_POSITIVE,
        pointwise=True,
    )
    lack = Primitive(  # 1 - x / y; the derivative of the difference over y would cancel
        "lack_of_ratio",
        lambda x, y: quotient(np.subtract(y, x), np.asarray(y)),
        lambda g, out, x, y: -quotient(g, y),
        lambda g, out, x, y: quotient(quotient(g * x, y), y),
        domain=_POSITIVE,
        pointwise=True,
    )
    define(
        s.rel_entr,
        lambda g, out, x, y: g * (of(log_of_ratio, x, y) + 1),
        lambda g, out, x, y: -quotient(g * x, y),
        domain=_POSITIVE,
    )
    define(
        s.kl_div,
        lambda g, out, x, y: g * of(log_of_ratio, x, y),
        lambda g, out, x, y: g * of(lack, x, y),
        domain=_POSITIVE,
    )

    def in_order(name: str) -> Any:
        return lambda g, out, v, z: g * of(slopes[name], v, z, 1)

    # --- Bessel functions, by their recurrences, and in their order
    define(s.jv, in_order("jv"), lambda g, out, v, z: g * (0.5 * (s.jv(v - 1, z) - s.jv(v + 1, z))), domain=_POSITIVE)
    define(s.yv, in_order("yv"), lambda g, out, v, z: g * (0.5 * (s.yv(v - 1, z) - s.yv(v + 1, z))), domain=_POSITIVE)
    define(s.iv, in_order("iv"), lambda g, out, v, z: g * (0.5 * (s.iv(v - 1, z) + s.iv(v + 1, z))), domain=_POSITIVE)

    # Halved n times, since halves of what is beyond the range may be in it. SciPy's kv is 0 long before the function
    # leaves the range; the scaled one is not.
    def halved(v: Any, z: Any, n: int) -> Any:
        size, near = np.abs(v), (np.abs(v) >= 1) & (np.abs(z) < 1e-30)
        with np.errstate(over="ignore"):
            usual = np.where(np.exp(-z) == 0, 0, s.kve(v, z) * np.exp(-z)) / 2.0**n  # SciPy's is NaN far out
            if not np.any(near):
                return usual
            # K_v(z) ~ Gamma(v) / 2 (2 / z)^v (DLMF 10.30.2)
            size = np.where(near, size, 1)
            return np.where(near, s.gamma(size) * 2 ** (size - 1 - n) * np.where(near, z, 1) ** -size, usual)

    macdonald = Primitive(
        "bessel_k",
        halved,
        lambda g, out, v, z, n: g * (of(slopes["kv"], v, z, 1) / 2.0**n),
        lambda g, out, v, z, n: g * _macdonald_slope(v, z, n),
        sample=lambda draw: ((draw.array((), 0.3, 3.0), draw.array(draw.shape(), 0.3, 3.0), draw.integer(0, 2)), {}),
        pointwise=True,
    )

    def _macdonald_slope(v: Any, z: Any, n: int = 0) -> Any:
        return -of(macdonald, v - 1, z, n + 1) - of(macdonald, v + 1, z, n + 1)

    define(s.kv, in_order("kv"), lambda g, out, v, z: g * _macdonald_slope(v, z), domain=_POSITIVE)

    def scaled_slope(name: str, v: Any, z: Any, n: int) -> Any:
        return of(slopes[name], v, z, n, 1 - n)

    def ive_in_z(g: Any, out: Any, v: Any, z: Any, of_real_part: Any) -> Any:
        if bare(z).dtype.kind != "c":
            return g * scaled_slope("ive", v, z, 0)
        # exp(-|Re z|) is a function of the real part alone.
        return g * (0.5 * (s.ive(v - 1, z) + s.ive(v + 1, z))) - of_real_part(g, np.sign(np.real(bare(z))) * out)

    def to_real_part(g: Any, slope: Any) -> Any:
        return np.real(g * slope)

    def along_real_part(t: Any, slope: Any) -> Any:
        return np.real(t) * slope

    define(
        s.ive,
        lambda g, out, v, z: g * scaled_slope("ive", v, z, 1),
        lambda g, out, v, z: ive_in_z(g, out, v, z, to_real_part),
        domain=_POSITIVE,
        tangent=(
            lambda t, out, v, z: t * scaled_slope("ive", v, z, 1),
            lambda t, out, v, z: ive_in_z(t, out, v, z, along_real_part),
        ),
    )
    define(
        s.kve,
        lambda g, out, v, z: g * scaled_slope("kve", v, z, 1),
        lambda g, out, v, z: (
            g * (out - 0.5 * (s.kve(v - 1, z) + s.kve(v + 1, z)))
            if bare(z).dtype.kind == "c"
            else g * scaled_slope("kve", v, z, 0)
        ),
        domain=_POSITIVE,
    )

    # These take a whole number for the order, which no gradient reaches; their neighbours are the functions of real
    # order.
    def of_whole_order(name: str, function: Any, rule: Any) -> None:
        Primitive(
            name,
            function,
            None,
            rule,
            numpy=function,
            sample=lambda draw: ((draw.integers(draw.shape(), 0, 3), draw.array((), 0.5, 3.0)), {}),
            pointwise=True,
        )

    of_whole_order("kn", s.kn, lambda g, out, n, x: g * _macdonald_slope(n * 1.0, x))
    of_whole_order("yn", s.yn, lambda g, out, n, x: g * (0.5 * (s.yv(n - 1.0, x) - s.yv(n + 1.0, x))))
    of_whole_order(
        "expn",
        s.expn,
        lambda g, out, n, x: np.where(bare(n) == 0, -g * (out * (1 + 1 / x)), -g * s.expn(np.maximum(n - 1, 0), x)),
    )
    define(s.j0, lambda g, out, x: -g * s.j1(x))
    define(s.j1, lambda g, out, x: g * (0.5 * (s.j0(x) - s.jv(2.0, x))))
    define(s.y0, lambda g, out, x: -g * s.y1(x), domain=_POSITIVE)
    define(s.y1, lambda g, out, x: g * (0.5 * (s.y0(x) - s.yv(2.0, x))), domain=_POSITIVE)
    define(s.k0, lambda g, out, x: g * _macdonald_slope(0.0, x), domain=_POSITIVE)
    define(s.k1, lambda g, out, x: g * _macdonald_slope(1.0, x), domain=_POSITIVE)
    define(s.i0, lambda g, out, x: g * of(bessel_i, x, 1), name="special_i0")
    define(s.i1, lambda g, out, x: g * (0.5 * (of(bessel_i, x, 0) + of(bessel_i, x, 2))), name="special_i1")
    for order, ufunc in ((0, s.i0e), (1, s.i1e)):
        scaled = family(f"{ufunc.__name__}_derivative", partial(_scaled_bessel_i, order), *_POSITIVE)
        define(ufunc, partial(_first_of, scaled), domain=_POSITIVE, ulps=(32.0, 64.0, 64.0), edges=(25.0, -25.0))
    transcendental.define(s, define)
    elliptic.define(s, define)


class _Ufuncs:
    """scipy.special's functions; with ``SCIPY_ARRAY_API`` they stand behind wrappers, which are no ufuncs."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        return getattr(function, "__wrapped__", function)


def _signed(sign: int, slope: Any, g: Any, out: Any, *inputs: Any) -> Any:
    return g * (sign * slope(*inputs))


def _over(sign: int, density: Any, g: Any, out: Any, *inputs: Any) -> Any:
    return quotient(g * sign, density(*inputs[:-1], out))


def _first_of(derivative: Any, g: Any, out: Any, x: Any) -> Any:
    return g * derivative(x, 1)


def _scaled_bessel_i(order: int, x: Any, n: int) -> Any:
    """The n-th derivative of ``exp(-|x|) I(x)`` of whole order: to 25 by its integral, whose terms do not cancel,
    beyond by Hankel's expansion, differentiated term by term (DLMF 10.32.3, 10.40.1).

    ``exp(-z) I_m(z)`` is the mean of ``cos(m t) exp(-z (1 - cos t))`` over a period; the trapezoidal rule converges
    faster than any power there.
    """
    x = np.asarray(x)
    real_numbers("the derivative of i0e", x)
    size = np.abs(x).astype(float)
    far = size > 25
    z = np.where(far, size, 25)
    outer = parameters.hankel(order, z, n, -1.0) / np.sqrt(2 * np.pi)
    near, inner = np.where(far, 0, size), np.zeros_like(size)
    for k in range(_NODES + 1):
        fall = 2 * np.sin(np.pi * k / (2 * _NODES)) ** 2
        weight = np.cos(order * np.pi * k / _NODES) * (-fall) ** n / (_NODES if 0 < k < _NODES else 2 * _NODES)
        inner = inner + weight * np.exp(-near * fall)
    return (np.where(far, outer, inner) * np.where(x < 0, (-1.0) ** (n + order), 1.0)).astype(x.dtype)


_NODES = 48


def _log_of_ratio(x: Any, y: Any) -> Any:
    """``log(x / y)``: near 1 by the difference, which is exact; by two logarithms where the quotient overflows."""
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        ratio = np.asarray(x / y)
        found = np.where(
            (ratio >= np.finfo(ratio.dtype).smallest_normal) & (ratio < np.inf), np.log(ratio), np.log(x) - np.log(y)
        )
    near = (x < 2 * y) & (y < 2 * x)
    if not np.any(near):
        return found
    d = np.where(near, y, 1)
    return np.where(near, np.log1p((np.where(near, x, 1) - d) / d), found)


def _growth(f: Any, tail: Any, rate: float) -> Any:
    """``exp(rate f^2)``, given ``tail``, which is ``erfc`` of ``sqrt(rate) f``: far out the quotient of the scaled
    function and it, since the rounding of f would be magnified by its square.
    """
    s = require("scipy.special")
    far = np.asarray(tail) < 0.1
    with np.errstate(divide="ignore", over="ignore"):
        outer = s.erfcx(np.sqrt(rate) * np.abs(f)) / np.where(far, tail, 1)
    outer = np.where(np.isinf(f), np.inf, outer)  # at the smallest number SciPy's inverse is infinite
    return np.where(far, outer, _gaussian(np.where(far, 0, f), -rate))


def _exponential_over(x: Any, n: int) -> Any:
    """The n-th derivative of ``exp(x) / x``, which is ``exp(x)`` times a polynomial over ``x**(n + 1)``: divided step
    by step, and times ``exp(x / 2)`` twice, so that nothing leaves the range unless the result does.
    """
    far = np.abs(x) > 8  # there the polynomial in 1 / x, elsewhere that in x, which is exact at a zero of it
    near, away = np.where(far, 1, x), np.where(far, x, 8)
    total: Any = (-1.0) ** n * factorial(n)
    outer, powers = total, 1.0 + 0 * near
    for k in reversed(range(n)):
        factor = (-1.0) ** k * (factorial(n) // factorial(n - k))
        powers = powers * near
        total, outer = total + factor * powers, outer / away + factor
    for _ in range(n):
        total = quotient(total, near)
    with np.errstate(over="ignore", invalid="ignore"):
        half = np.exp(x / 2)
        found = np.where(far, outer / away, quotient(total, near)) * half * half
    return np.where(np.isposinf(np.real(x)), half, found)


def _erfcx_derivative(x: Any, n: int) -> Any:
    """The n-th derivative of ``erfcx(x) = sqrt(2 / pi) M(sqrt(2) x)``, M being Mills' ratio."""
    s = require("scipy.special")
    x = np.asarray(x)
    if x.dtype.kind == "c":
        before, here = 2 / np.sqrt(np.pi), s.erfcx(x)
        for k in range(n):
            before, here = here, 2 * x * here + (2 * k * before if k else -before)
        return here
    far = x > 0.71
    z = np.sqrt(2.0).astype(x.dtype) * np.where(far, x, 1)
    outer = s.erfcx(np.where(far, x, 1))
    for r in fractions_of_mills(z, n):
        outer = outer * (-np.sqrt(2.0).astype(x.dtype) * r)
    near = np.where(far, 0, x)
    before, here = 2 / np.sqrt(np.pi).astype(x.dtype), s.erfcx(near)
    for k in range(n):
        # y' = 2 x y - 2 / sqrt(pi), and then y^(k+1) = 2 x y^(k) + 2 k y^(k-1)
        before, here = here, 2 * near * here + (2 * k * before if k else -before)
    return np.where(far, outer, here)


def _log_ndtr_derivative(x: Any, n: int) -> Any:
    """The n-th derivative of the hazard ``h = phi / Phi``, which is the first derivative of ``log_ndtr``.

    ``h' = -h (x + h)``. Far to the left h is nearly -x; there ``h = z + r_1`` with ``z = -x`` and the fractions of
    :func:`autodiff.ops.stable.fractions_of_mills`, by which the differences can be written as products.
    """
    s = require("scipy.special")
    x = np.asarray(x)
    left = np.zeros(x.shape, bool) if x.dtype.kind == "c" else x < -1
    near = np.where(left, 0, x if x.dtype.kind == "c" else np.minimum(x, 200))  # beyond, the hazard is 0
    hazard = _gaussian(near, 0.5) / (np.sqrt(2 * np.pi).astype(x.dtype) * s.ndtr(near))
    z = np.real(np.where(left, -x, 1))
    outer = np.sqrt(2 / np.pi).astype(x.dtype) / s.erfcx(z / np.sqrt(2.0).astype(x.dtype))
    if n == 0:
        return np.where(left, outer, hazard)
    r1, r2, r3 = fractions_of_mills(z, 3)
    gap = near + hazard
    if n == 1:
        return np.where(left, -outer * r1, -hazard * gap)
    if n == 2:
        return np.where(left, outer * r1 * r1 * r2 * (r3 - r2), hazard * (gap * gap - (1 - hazard * gap)))
    # Beyond, Leibniz' rule for h' = -h (x + h) with what is accurate.
    h = [_log_ndtr_derivative(x, k) for k in range(n)]
    gaps = [np.where(left, x, near) + h[0], 1 + h[1], *h[2:]]
    return -sum(comb(n - 1, k) * h[k] * gaps[n - 1 - k] for k in range(n))


#: Bernoulli's numbers B_2, B_4, ...
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def _polygamma_rise(a: Any, b: Any, n: int) -> Any:
    """``psi_n(a + b) - psi_n(a)``, for positive ``a`` and ``a + b`` accurate relative to its size.

    The difference of the sums ``sum_k (x + k)^-(n+1)`` at both, term by term, the tail by Euler and Maclaurin's formula
    (DLMF 5.15.8): ``x^-s - (x + b)^-s = -x^-s expm1(-s log1p(b / x))`` cancels nowhere.
    """
    a, b = np.asarray(a), np.asarray(b)
    real_numbers("the difference of polygamma functions", a, b)
    dtype, order = np.result_type(a, b, np.float32), n + 1
    x, b = np.broadcast_arrays(a.astype(float), b.astype(float))
    left = ~((x > 0) & (x + b > 0))
    if np.any(left):
        s = require("scipy.special")
        psi = s.digamma if not n else lambda at: (-1.0) ** (n + 1) * factorial(n) * s.zeta(n + 1.0, at)
        with np.errstate(invalid="ignore"):
            difference = (psi(x + b) - psi(x)).astype(dtype)
        return np.where(left, difference, _polygamma_rise(np.where(left, 1, a), np.where(left, 1, b), n).astype(dtype))

    def fall(power: float, x: Any) -> Any:
        return -(x**-power) * np.expm1(-power * np.log1p(b / x))

    with np.errstate(all="ignore"):
        total = np.zeros(x.shape)
        for _ in range(14):
            total = total + fall(order, x)
            x = x + 1
        total = total + (np.log1p(b / x) if order == 1 else fall(order - 1, x) / (order - 1)) + fall(order, x) / 2
        coefficient = order / 2
        for j, number in enumerate(_BERNOULLI, 1):
            total = total + number * coefficient * fall(order + 2 * j - 1, x)
            coefficient *= (order + 2 * j - 1) * (order + 2 * j) / ((2 * j + 1) * (2 * j + 2))
        return ((-1.0) ** n * factorial(n) * total).astype(dtype)


def _rgamma_derivative(x: Any, n: int) -> Any:
    """The n-th derivative of ``R = 1 / Gamma``, which is entire: right of 1/2 by Leibniz' rule for ``R' = -R psi``,
    left of it by ``R(x) = x (x + 1) ... (x + m - 1) R(x + m)``, since psi has poles that cancel (DLMF 5.5).
    """
    s = require("scipy.special")
    x = np.asarray(x)
    real_numbers("the derivative of rgamma", x)
    steps = np.ceil(np.clip(np.nan_to_num(0.5 - x), 0, 180))  # further left R is beyond the range
    at = x + steps
    psi = [s.polygamma(k, at) for k in range(n)]
    found = [s.rgamma(at)]
    for k in range(n):
        found.append(-sum(comb(k, j) * psi[j] * found[k - j] for j in range(k + 1)))
    for back in range(1, int(np.max(steps, initial=0)) + 1):
        step = at - back
        moved = [step * found[k] + (k * found[k - 1] if k else 0) for k in range(n + 1)]
        found = [np.where(back <= steps, new, old) for new, old in zip(moved, found, strict=True)]
    return np.where(np.isposinf(x), 0, found[n]).astype(x.dtype)


def _dawson_derivative(x: Any, n: int) -> Any:
    """The n-th derivative of Dawson's integral: near 0 from ``D' = 1 - 2 x D``, which cancels further out; to 6.5 from
    Rybicki's sum of Gaussians ``sum exp(-(x - m h)^2) / m`` over odd m, differentiated term by term (Computers in
    Physics 3, 1989); beyond from the asymptotic series.
    """
    s = require("scipy.special")
    given = np.asarray(x)
    x = given if given.dtype.kind == "c" else given.astype(float)
    far, near = (np.abs(x) > 6.5) & (x.dtype.kind == "f"), (np.abs(x) < 1.2) | (x.dtype.kind == "c")
    small = np.where(near, x, 0)
    before, here = None, s.dawsn(small)
    for k in range(n):
        before, here = here, 1 - 2 * small * here if before is None else -2 * (small * here + k * before)
    z = np.real(np.where(far, x, 10))
    # D(x) ~ sum_k (2 k - 1)!! / (2^(k+1) x^(2 k + 1)); each power differentiated n times.
    total, coefficient = np.zeros_like(z), 0.5
    for k in range(41):
        total = total + coefficient * prod(-(2 * k + 1) - j for j in range(n)) * z ** -(2.0 * k)
        coefficient *= (2 * k + 1) / 2
    found = np.where(near, here, total / z / z**n)
    middle = ~(near | far)
    if np.any(middle):
        step, hermite = 0.25, np.polynomial.hermite.Hermite.basis(n)
        where, terms = np.real(x[middle]), 0.0
        for m in range(-27, 54, 2):  # of |x|, since D is odd
            u = np.abs(where) - m * step
            terms = terms + hermite(u) * np.exp(-u * u) / m
        found = np.array(found)
        found[middle] = terms / np.sqrt(np.pi) * np.where(where < 0, -1.0, 1.0) ** (n + 1) * (-1.0) ** n
    return found if given.dtype.kind == "c" else found.astype(given.dtype)


def _is_special(ufunc: Any) -> bool:
    """Whether a ufunc is scipy.special's; if that was never imported, it is not."""
    rooms = (sys.modules.get(name) for name in ("scipy.special", "scipy.special._ufuncs"))
    return any(getattr(room, ufunc.__name__, None) is ufunc for room in rooms if room is not None)


dispatch.late.append((_is_special, register))
