"""scipy.special's functions under our own names: ``autodiff.special.erf(x)``. Needs SciPy.

``scipy.special.erf(x)`` on a Tensor does the same. ``logsumexp``, ``softmax``, ``log_softmax``, ``polygamma``,
``multigammaln``, ``jn`` and ``spherical_jn`` are no ufuncs, so SciPy's own cannot see a Tensor; use these.
"""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np

from autodiff import dispatch, fused
from autodiff.arguments import whole
from autodiff.core.errors import ArgumentError
from autodiff.core.op import registry
from autodiff.extras import require
from autodiff.ops import parameters, reductions
from autodiff.ops.common import axes_of, bare
from autodiff.ops.elementwise import where
from autodiff.ops.shaping import _floats, _tensor
from autodiff.ops.special import register

register()

__all__ = ["log_softmax", "logsumexp", "multigammaln", "polygamma", "softmax", "softplus", "sph_harm_y", "zeta"]
__all__ += ["spherical_in", "spherical_jn", "spherical_kn", "spherical_yn"]

_NO_UFUNCS = ("airy", "ellipj", "fresnel", "lambertw", "shichi", "sici")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)  # ``from autodiff.special import ...`` asks whether this is a package
    for key in (f"special_{name}", {"psi": "digamma", "jn": "jv"}.get(name, name)):
        op = registry.get(key)
        if op is not None and (type(op.forward).__name__ == "ufunc" or name in _NO_UFUNCS or name[:5] == "eval_"):
            return op.function
    plain = getattr(require("scipy.special"), name, None)
    if plain in dispatch.constant_functions:
        return plain
    plain = np.sinc if name == "sinc" else getattr(plain, "__wrapped__", plain)
    if name == "sinc" or (isinstance(plain, np.ufunc) and plain in dispatch.differentiable):
        return dispatch.differentiable[plain]
    raise AttributeError(
        f"autodiff.special has no {name!r}; scipy.special functions with a gradient rule are in autodiff.registry"
    )


def __dir__() -> list[str]:
    def there(name: str) -> bool:
        try:
            __getattr__(name)
        except AttributeError:
            return False
        return True

    return sorted({*__all__, "jn", "psi", *filter(there, require("scipy.special").__all__)})


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """``log(sum(b * exp(a)))``, stable for any magnitude.

    Parameters
    ----------
    a : array_like or Tensor
    axis : int, tuple of int or None
    b : array_like or Tensor, optional
        Weights, which may be negative or zero.
    keepdims : bool
    return_sign : bool
        Return the logarithm of the sum's absolute value, and its sign (a constant). Without it a negative sum gives
        NaN, as in SciPy.

    Examples
    --------
    >>> round(logsumexp([1000.0, 1000.0]).item(), 6)
    1000.693147
    >>> logsumexp([0.0, 0.0], b=[1.0, -3.0], return_sign=True)[1].item()
    -1.0
    """
    t = _floats(a)
    if b is not None:
        weights = np.broadcast_to(bare(b), np.broadcast_shapes(t.shape, np.shape(bare(b))))
        t = t + np.zeros(weights.shape, t.dtype) if weights.shape != t.shape else t
        absent = weights == 0
    # What a weight of zero leaves out does not decide the scale. The scale is real, so that the logarithm of complex
    # numbers is the principal one.
    top = np.max(np.real(t._array), axis=axis, keepdims=True, initial=-np.inf, where=True if b is None else ~absent)
    finite = np.isfinite(top)
    top = np.where(finite, top, 0)
    if b is None and not return_sign and t.dtype.kind == "f" and t.size:
        result = _of_largest_and_others(t, top, finite, axis)
        return result if keepdims else np.squeeze(result, axis=tuple(range(t.ndim)) if axis is None else axis)
    shifted = t - top
    if b is not None and np.any(absent):
        # It counts for nothing, but the weight's gradient is its exponential, which must not overflow.
        shifted = where(absent & (np.real(shifted._array) > 80), 80.0, shifted)
    terms = np.exp(shifted)
    total = reductions.sum(terms if b is None else terms * b, axis, keepdims=True)
    sign = np.sign(total._array)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.log(np.abs(total) if return_sign else total) + top
    if not keepdims:
        gone = tuple(range(t.ndim)) if axis is None else axis
        result, sign = np.squeeze(result, axis=gone), np.squeeze(sign, axis=gone)
    return (result, _tensor(sign)) if return_sign else result


def _of_largest_and_others(t: Any, top: Any, finite: Any, axis: Any) -> Any:
    """``log(sum(exp(t)))`` as the largest entry and ``log1p`` of what the others add to it: no derivative subtracts the
    share of the largest from 1, to which it may round.
    """
    along = axes_of(axis, t.ndim)
    largest = np.equal(t._array, top)
    if len(along) == 1:
        first = largest & (np.cumsum(largest, axis=along[0]) == 1)
    else:  # the axes as one
        others = [a for a in range(t.ndim) if a not in along]
        turned = np.transpose(largest, [*others, *along])
        flat = turned.reshape([t.shape[a] for a in others] + [-1])
        flat = flat & (np.cumsum(flat, axis=-1) == 1)
        first = np.transpose(flat.reshape(turned.shape), np.argsort([*others, *along]))
    first = first & finite
    reference = reductions.sum(where(first, t, 0.0), along, keepdims=True)
    rest = reductions.sum(where(first, 0.0, np.exp(t - reference)), along, keepdims=True)
    with np.errstate(divide="ignore"):  # where nothing is finite, nothing is left out
        return reference + np.log1p(rest - np.where(finite, 0, 1).astype(t.dtype))


def softmax(x: Any, axis: Any = None) -> Any:
    """``exp(x) / sum(exp(x))`` over an axis, axes or, as in SciPy, by default all of them.

    Examples
    --------
    >>> softmax([0.0, 0.0]).data
    array([0.5, 0.5])
    """
    return _over_axes(fused.softmax.function, x, axis)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """The logarithm of :func:`softmax`.

    Examples
    --------
    >>> round(log_softmax([0.0, 0.0])[0].item(), 6)
    -0.693147
    """
    return _over_axes(fused.log_softmax.function, x, axis)


def _over_axes(function: Any, x: Any, axis: Any) -> Any:
    """``function(x, axis=)`` of one axis, over several at once: these are joined to one."""
    t = _floats(x)
    if isinstance(axis, (int, np.integer)):
        return function(t, axis=axis)
    along = axes_of(axis, t.ndim)
    others = tuple(a for a in range(t.ndim) if a not in along)
    turned = np.transpose(t, others + along)
    made = function(turned.reshape((*(t.shape[a] for a in others), -1)) if t.size else turned, axis=-1)
    return np.transpose(made.reshape(turned.shape), np.argsort(others + along))


def zeta(x: Any, q: Any = None) -> Any:
    """The zeta function of Hurwitz, without ``q`` that of Riemann, as ``scipy.special.zeta``; differentiable in both
    arguments.

    Examples
    --------
    >>> round(zeta(2.0).item(), 6)
    1.644934
    """
    return registry["riemann_zeta"].function(x) if q is None else registry["zeta"].function(x, q)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``, as ``scipy.special.softplus``."""
    return np.logaddexp(0.0, _tensor(x))


def sph_harm_y(n: Any, m: Any, theta: Any, phi: Any, *, diff_n: int = 0) -> Any:
    """The spherical harmonic of degree ``n`` and order ``m`` (whole numbers) at the polar angle ``theta`` and the
    azimuth ``phi``, as ``scipy.special.sph_harm_y``; differentiable in the angles, at the poles too.

    Parameters
    ----------
    diff_n : int
        SciPy's way to ask for derivatives; here ``grad`` and ``jacobian`` give them, so 0.

    Examples
    --------
    >>> round(abs(sph_harm_y(1, 0, 0.0, 0.0).item()), 6)
    0.488603
    """
    if diff_n:
        raise ArgumentError(f"sph_harm_y: diff_n={diff_n}; differentiate the function itself: ad.jvp, ad.jacobian")
    return registry["sph_harm_y"].function(theta, phi, bare(n), bare(m))


def spherical_jn(n: Any, z: Any, derivative: bool = False) -> Any:
    """The spherical Bessel function of the first kind of whole order ``n``, as ``scipy.special.spherical_jn``.

    Parameters
    ----------
    n : int or array of them
    z : array, real or complex
    derivative : bool
        Give the derivative in ``z``.

    Examples
    --------
    >>> round(spherical_jn(1, 2.0).item(), 6), round(spherical_jn(0, 2.0, derivative=True).item(), 6)
    (0.435398, -0.435398)
    """
    return _spherical("jn", n, z, derivative)


def spherical_yn(n: Any, z: Any, derivative: bool = False) -> Any:
    """The spherical Bessel function of the second kind; see :func:`spherical_jn`."""
    return _spherical("yn", n, z, derivative)


def spherical_in(n: Any, z: Any, derivative: bool = False) -> Any:
    """The modified spherical Bessel function of the first kind; see :func:`spherical_jn`."""
    return _spherical("in", n, z, derivative)


def spherical_kn(n: Any, z: Any, derivative: bool = False) -> Any:
    """The modified spherical Bessel function of the second kind; see :func:`spherical_jn`."""
    return _spherical("kn", n, z, derivative)


def _spherical(kind: str, n: Any, z: Any, derivative: bool) -> Any:
    op, order = registry[f"spherical_{kind}"], np.asarray(bare(n))
    if order.dtype.kind not in "iu" or np.any(order < 0):
        raise ArgumentError(f"spherical_{kind}: the order is a whole number from 0 on, got {bare(n)!r}")
    point = _floats(z)
    if not derivative:
        return op.function(point, order)
    return op.rules[0](1.0, None, point, order)


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma: ``(-1)^(n + 1) n! zeta(n + 1, x)``; ``n`` is one whole number.

    Examples
    --------
    >>> round(polygamma(1, 1.0).item(), 6)
    1.644934
    """
    if np.ndim(bare(n)) or bare(n) < 0 or bare(n) != int(bare(n)):
        raise ArgumentError(f"polygamma: n must be one whole number from 0 on, got {bare(n)!r}")
    return parameters.polygamma(int(bare(n)), _tensor(x))


def multigammaln(a: Any, d: int) -> Any:
    """The logarithm of the multivariate gamma function of a positive dimension ``d``, where ``a > (d - 1) / 2``."""
    t = _tensor(a)
    if not whole(d) or d < 1 or not np.all(bare(t) > 0.5 * (d - 1)):
        raise ArgumentError(
            f"multigammaln: d must be a positive integer and a > (d - 1) / 2, got d={d!r} and a={bare(t)}"
        )
    gammaln = registry["gammaln"].function
    return sum((gammaln(t - 0.5 * j) for j in range(d)), _tensor(0.25 * d * (d - 1) * log(pi)))
