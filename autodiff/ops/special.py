"""scipy.special: its functions are NumPy ufuncs, so they come through the same protocol once their rules are
registered.

Nothing here runs until a tensor meets a ufunc of scipy.special, or :mod:`autodiff.special` is imported; the core needs
NumPy alone. Formulas: Abramowitz and Stegun, chapters 5 to 9; NIST Digital Library of Mathematical Functions.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.core.errors import require
from autodiff.core.op import Primitive, registry
from autodiff.ops import elementwise
from autodiff.ops.common import bare, quotient

__all__ = ["register"]

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
    s = require("scipy.special")
    root_pi, root_two_pi, root_two, log_ten = (
        np.sqrt(np.pi).item(),
        np.sqrt(2 * np.pi).item(),
        np.sqrt(2.0).item(),
        np.log(10.0).item(),
    )

    def define(ufunc: Any, *rules: Any, name: str | None = None, domain: Any = (-2.0, 2.0)) -> None:
        Primitive(name or ufunc.__name__, ufunc, *rules, domain=domain)

    # --- error functions and the normal distribution
    define(s.erf, lambda g, out, x: g * (2 / root_pi * np.exp(-x * x)))
    define(s.erfc, lambda g, out, x: g * (-2 / root_pi * np.exp(-x * x)))
    define(s.erfcx, lambda g, out, x: g * (2 * x * out - 2 / root_pi))
    define(s.erfinv, lambda g, out, x: g * (root_pi / 2 * np.exp(out * out)), domain=(-0.9, 0.9))
    define(s.erfcinv, lambda g, out, x: g * (-root_pi / 2 * np.exp(out * out)), domain=(0.1, 1.9))
    define(s.ndtr, lambda g, out, x: g * (np.exp(-0.5 * x * x) / root_two_pi))
    define(s.log_ndtr, lambda g, out, x: g * (np.exp(-0.5 * x * x - out) / root_two_pi))
    define(s.ndtri, lambda g, out, x: g * (root_two_pi * np.exp(0.5 * out * out)), domain=_UNIT)
    # --- logistic
    define(s.expit, lambda g, out, x: g * (out * (1 - out)))
    define(s.logit, lambda g, out, x: quotient(g, x * (1 - x)), domain=_UNIT)
    define(s.log_expit, lambda g, out, x: g * s.expit(-x))

    # --- gamma and beta; the Hurwitz zeta function gives every polygamma function
    def zeta(x: Any, q: Any) -> Any:
        # SciPy's zeta is a Python function around a private ufunc, which cannot be registered.
        tracked = hasattr(x, "_node") or hasattr(q, "_node")
        return registry["zeta"].function(x, q) if tracked else s.zeta(x, q)

    Primitive(
        "zeta",
        lambda x, q: s.zeta(x, q),
        None,
        lambda g, out, x, q: -g * x * zeta(x + 1, q),
        sample=lambda draw: ((draw.array((), 1.5, 4.0), draw.array(draw.shape(), 0.5, 3.0)), {}),
        pointwise=True,
    )
    define(s.digamma, lambda g, out, x: g * zeta(2.0, x), name="digamma", domain=_POSITIVE)
    define(s.gamma, lambda g, out, x: g * (out * s.digamma(x)), domain=_POSITIVE)
    define(s.gammaln, lambda g, out, x: g * s.digamma(x), domain=_POSITIVE)
    define(s.rgamma, lambda g, out, x: -g * (out * s.digamma(x)), domain=_POSITIVE)
    define(
        s.betaln,
        lambda g, out, a, b: g * (s.digamma(a) - s.digamma(a + b)),
        lambda g, out, a, b: g * (s.digamma(b) - s.digamma(a + b)),
        domain=_POSITIVE,
    )
    define(
        s.beta,
        lambda g, out, a, b: g * (out * (s.digamma(a) - s.digamma(a + b))),
        lambda g, out, a, b: g * (out * (s.digamma(b) - s.digamma(a + b))),
        domain=_POSITIVE,
    )
    define(s.gammainc, None, lambda g, out, a, x: g * np.exp((a - 1) * np.log(x) - x - s.gammaln(a)), domain=_POSITIVE)
    define(
        s.gammaincc, None, lambda g, out, a, x: -g * np.exp((a - 1) * np.log(x) - x - s.gammaln(a)), domain=_POSITIVE
    )
    define(
        s.betainc,
        None,
        None,
        lambda g, out, a, b, x: g * np.exp((a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - s.betaln(a, b)),
        domain=[_POSITIVE, _POSITIVE, _UNIT],
    )
    # --- exponential integrals, elliptic integrals and other single functions
    define(s.loggamma, lambda g, out, x: g * s.digamma(x), domain=_POSITIVE)
    define(s.expi, lambda g, out, x: g * (np.exp(x) / x), domain=_POSITIVE)
    define(s.exp1, lambda g, out, x: -g * (np.exp(-x) / x), domain=_POSITIVE)
    define(s.dawsn, lambda g, out, x: g * (1 - 2 * x * out))
    define(s.erfi, lambda g, out, x: g * (2 / root_pi * np.exp(x * x)))
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
    define(
        s.stdtr,
        None,
        lambda g, out, df, x: (
            g * np.exp(-0.5 * (df + 1) * np.log1p(x * x / df) - 0.5 * np.log(df) - s.betaln(0.5 * df, 0.5))
        ),
        domain=[_POSITIVE, (-2.0, 2.0)],
    )
    define(
        s.gammaincinv,
        None,
        lambda g, out, a, y: g * np.exp(out + s.gammaln(a) - (a - 1) * np.log(out)),
        domain=[_POSITIVE, _UNIT],
    )
    define(
        s.betaincinv,
        None,
        None,
        lambda g, out, a, b, y: g * np.exp(s.betaln(a, b) - (a - 1) * np.log(out) - (b - 1) * np.log1p(-out)),
        domain=[_POSITIVE, _POSITIVE, _UNIT],
    )
    define(
        s.binom,
        lambda g, out, n, k: g * (out * (s.digamma(n + 1) - s.digamma(n - k + 1))),
        lambda g, out, n, k: g * (out * (s.digamma(n - k + 1) - s.digamma(k + 1))),
        domain=[(3.2, 5.0), _POSITIVE],
    )
    define(
        s.poch,
        lambda g, out, z, m: g * (out * (s.digamma(z + m) - s.digamma(z))),
        lambda g, out, z, m: g * (out * s.digamma(z + m)),
        domain=_POSITIVE,
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
        lambda g, out, x, y: g * np.log(np.where(bare(y) == 0, 1, y)),
        lambda g, out, x, y: quotient(g * x, y),
        domain=[(-2.0, 2.0), _POSITIVE],
    )
    define(
        s.xlog1py,
        lambda g, out, x, y: g * np.log1p(y),
        lambda g, out, x, y: quotient(g * x, 1 + y),
        domain=[(-2.0, 2.0), (-0.7, 2.0)],
    )
    define(s.entr, lambda g, out, x: -g * (np.log(x) + 1), domain=_POSITIVE)
    define(
        s.rel_entr,
        lambda g, out, x, y: g * (np.log(x / y) + 1),
        lambda g, out, x, y: -quotient(g * x, y),
        domain=_POSITIVE,
    )
    define(s.kl_div, lambda g, out, x, y: g * np.log(x / y), lambda g, out, x, y: g * (1 - x / y), domain=_POSITIVE)
    # --- Bessel functions, by their recurrences; the order is a constant
    define(s.jv, None, lambda g, out, v, z: g * (0.5 * (s.jv(v - 1, z) - s.jv(v + 1, z))), domain=_POSITIVE)
    define(s.yv, None, lambda g, out, v, z: g * (0.5 * (s.yv(v - 1, z) - s.yv(v + 1, z))), domain=_POSITIVE)
    define(s.iv, None, lambda g, out, v, z: g * (0.5 * (s.iv(v - 1, z) + s.iv(v + 1, z))), domain=_POSITIVE)
    define(s.kv, None, lambda g, out, v, z: g * (-0.5 * (s.kv(v - 1, z) + s.kv(v + 1, z))), domain=_POSITIVE)
    define(
        s.ive,
        None,
        lambda g, out, v, z: g * (0.5 * (s.ive(v - 1, z) + s.ive(v + 1, z)) - np.sign(bare(z)) * out),
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

    of_whole_order("kn", s.kn, lambda g, out, n, x: g * (-0.5 * (s.kv(n - 1.0, x) + s.kv(n + 1.0, x))))
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
    define(s.k0, lambda g, out, x: -g * s.k1(x), domain=_POSITIVE)
    define(s.k1, lambda g, out, x: g * (-0.5 * (s.k0(x) + s.kv(2.0, x))), domain=_POSITIVE)
    define(s.i0, lambda g, out, x: g * s.i1(x), name="special_i0")
    define(s.i1, lambda g, out, x: g * (0.5 * (s.i0(x) + s.iv(2.0, x))), name="special_i1")
    define(s.i0e, lambda g, out, x: g * (s.i1e(x) - np.sign(bare(x)) * out), domain=_POSITIVE)
    define(s.i1e, lambda g, out, x: g * (0.5 * (s.i0e(x) + s.ive(2.0, x)) - np.sign(bare(x)) * out), domain=_POSITIVE)


def _is_special(ufunc: Any) -> bool:
    """Whether a ufunc is scipy.special's; if that was never imported, it is not."""
    special = sys.modules.get("scipy.special")
    return special is not None and getattr(special, ufunc.__name__, None) is ufunc


dispatch.late.append((_is_special, register))
