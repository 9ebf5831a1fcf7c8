"""Incomplete elliptic integrals and Jacobi's functions, differentiable in both arguments.

With ``D = 1 - m sin(t)^2`` the integrals ``M(n, p) = int_0^phi sin(t)^(2 n) D^p dt`` contain those of the first kind,
``M(0, -1/2)``, and of the second, ``M(0, 1/2)``, and are closed under derivatives: in m it is ``-p M(n + 1, p - 1)``.
The textbook's formulas, such as ``E / (2 m (1 - m)) - F / (2 m) - ...``, cancel where m is small (DLMF 19.4).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.op import Primitive
from autodiff.ops.parameters import _in_double
from autodiff.ops.stable import of

# Tanh-sinh quadrature, whose nodes crowd at both ends, where the integrand may be nearly singular (Mori 1974).
_STEP = 1 / 48
_PLACES = np.arange(-170, 171) * _STEP
_FALL = np.exp(-np.pi * np.abs(np.sinh(_PLACES)))
_NEAR, _FAR = _FALL / (1 + _FALL), 1 / (1 + _FALL)
#: How much of the way lies before and after a node.
_BEFORE, _AFTER = np.where(_PLACES < 0, (_NEAR, _FAR), (_FAR, _NEAR))
_WEIGHTS = np.pi * np.cosh(_PLACES) * _BEFORE * _AFTER * _STEP


def _moment(phi: Any, m: Any, n: int, k: int) -> Any:
    """``M(n, k - 1/2)``; further than half a period by whole ones."""
    phi, m = np.broadcast_arrays(phi, m)
    turns = np.round(phi / np.pi)

    def until(end: Any) -> Any:
        end, rest = end[..., None], end[..., None] * _AFTER
        sine = np.sin(end * _BEFORE)
        cosine = np.cos(end) * np.cos(rest) + np.sin(end) * np.sin(rest)
        d = cosine * cosine + (1 - m[..., None]) * sine * sine
        return np.sum(_WEIGHTS * end * sine ** (2 * n) * d ** (k - 0.5), axis=-1)

    total = until(phi - turns * np.pi)
    return total + 2 * turns * until(np.full(phi.shape, np.pi / 2)) if np.any(turns) else total


def _d(phi: Any, m: Any) -> Any:
    """``1 - m sin(phi)^2`` without a difference of nearly equal numbers where m is near 1."""
    sine, cosine = np.sin(phi), np.cos(phi)
    return cosine * cosine + (1 - m) * (sine * sine)


def _sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    orders = (draw.integer(0, 1), draw.integer(0, 1))
    return (draw.array((2,), -4.0, 4.0), draw.array((2,), -0.7, 0.7), *orders), {}


def define(s: Any, add: Any) -> None:
    """Register ``ellipkinc``, ``ellipeinc`` and ``ellipj`` of scipy.special, ``s``."""
    moment: Primitive = Primitive(
        "elliptic_moment",
        lambda phi, m, n, k: _in_double(_moment, (phi, m), n, k),
        lambda g, out, phi, m, n, k: g * (np.sin(phi) ** (2 * n) * _d(phi, m) ** (k - 0.5)),
        lambda g, out, phi, m, n, k: g * ((0.5 - k) * of(moment, phi, m, n + 1, k - 1)),
        sample=_sample,
        pointwise=True,
        real_only=True,
    )
    for ufunc, k in ((s.ellipkinc, 0), (s.ellipeinc, 1)):
        add(
            ufunc,
            lambda g, out, phi, m, k=k: g * _d(phi, m) ** (k - 0.5),
            lambda g, out, phi, m, k=k: g * ((0.5 - k) * of(moment, phi, m, 1, k - 1)),
            domain=[(-1.5, 1.5), (-0.7, 0.7)],
        )

    # All four are functions of the amplitude, the inverse of the integral of the first kind, and of m.
    def slopes(out: Any, m: Any) -> tuple[Any, Any, Any]:
        """Of dn in the amplitude and in m, and of the amplitude in m."""
        sn, cn, dn, amplitude = out
        return -m * sn * cn / dn, -0.5 * sn * sn / dn, -0.5 * dn * of(moment, amplitude, m, 1, -1)

    def in_amplitude(g: Any, out: Any, m: Any) -> Any:
        return g[0] * out[1] - g[1] * out[0] + g[2] * slopes(out, m)[0] + g[3]

    def moved(t: Any, out: Any, m: Any) -> tuple[Any, Any, Any, Any]:
        return t * out[1], -t * out[0], t * slopes(out, m)[0], t

    def tangent_m(t: Any, out: Any, u: Any, m: Any) -> Any:
        _, own, along = slopes(out, m)
        sn, cn, dn, amplitude = moved(t * along, out, m)
        return sn, cn, dn + t * own, amplitude

    Primitive(
        "ellipj",
        lambda u, m: s.ellipj(u, m),
        lambda g, out, u, m: in_amplitude(g, out, m) * out[2],
        lambda g, out, u, m: in_amplitude(g, out, m) * slopes(out, m)[2] + g[2] * slopes(out, m)[1],
        tangent=(lambda t, out, u, m: moved(t * out[2], out, m), tangent_m),
        sample=lambda draw: ((draw.array((2,), -2.0, 2.0), draw.array((2,), 0.1, 0.8)), {}),
        numpy=s.ellipj,
    )
