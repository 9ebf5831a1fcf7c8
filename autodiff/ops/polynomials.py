"""Polynomials as NumPy's functions take them: vectors of coefficients, the highest power first."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.core.op import Primitive
from autodiff.ops import linalg, shaping
from autodiff.ops.calculus import convolve
from autodiff.ops.common import bare, quotient
from autodiff.ops.shaping import _tensor


def _vector(name: str, value: Any) -> Any:
    t = shaping.atleast_1d(_tensor(value))
    if t.ndim != 1:
        raise ShapeError(f"{name}: needs a vector of coefficients, got shape {t.shape}")
    return t


@dispatch.implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """Differentiable ``numpy.polyval``, by Horner's rule, in coefficients and points; of a ``numpy.poly1d`` the
    coefficients of what it is put into.
    """
    coefficients, t = _tensor(p), _tensor(x)
    if isinstance(x, np.poly1d):
        result = coefficients[:1]
        for i in range(1, coefficients.shape[0]):
            result = polyadd(polymul(result, t), coefficients[i])
        return result
    result = _tensor(np.zeros_like(t._array))
    for i in range(coefficients.shape[0]):
        result = result * t + coefficients[i]
    return result


@dispatch.implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """Differentiable ``numpy.polyadd``."""
    x, y = shaping.atleast_1d(_tensor(a1)), shaping.atleast_1d(_tensor(a2))
    n = max(x.size, y.size)
    return shaping.pad(x, (n - x.size, 0)) + shaping.pad(y, (n - y.size, 0))


@dispatch.implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """Differentiable ``numpy.polysub``."""
    return polyadd(a1, -_tensor(a2))


@dispatch.implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """Differentiable ``numpy.polymul``."""
    # A polynomial without coefficients is 0.
    x, y = (t if t.size else np.zeros(1, t.dtype) for t in (shaping.atleast_1d(_tensor(a)) for a in (a1, a2)))
    return convolve(x, y)


@dispatch.implements(np.polydiv)
def polydiv(u: Any, v: Any) -> tuple[Any, Any]:
    """Differentiable ``numpy.polydiv``: quotient and remainder, as long as NumPy's.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> [part.data.tolist() for part in np.polydiv(autodiff.tensor([1.0, 0.0, 1.0]), [1.0, 1.0])]
    [[1.0, -1.0], [2.0]]
    """
    rest, divisor = _vector("polydiv", u) + 0.0, _vector("polydiv", v) + 0.0
    _, left = np.polydiv(rest._array, divisor._array)
    rest, steps = rest.astype(left.dtype), []
    for _ in range(rest.size - divisor.size + 1):
        steps.append(rest[0] / divisor[0])
        rest = shaping.concatenate([rest[1 : divisor.size] - steps[-1] * divisor[1:], rest[divisor.size :]])
    more = left.size - rest.size  # NumPy keeps what should have cancelled where that is not small
    rest = shaping.concatenate([left[:more], rest]) if more > 0 else rest[-more:]
    return shaping.stack(steps) if steps else _tensor(np.zeros(1, left.dtype)), rest


@dispatch.implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """Differentiable ``numpy.polyder``."""
    if m < 0:
        raise ArgumentError(f"polyder: the order of a derivative is not negative, got {m}")
    x = _tensor(p)
    for _ in range(m):
        x = x[:-1] * np.arange(x.size - 1, 0, -1)
    return x


@dispatch.implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """Differentiable ``numpy.polyint`` in the coefficients and the constants ``k``.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> np.polyint(autodiff.tensor([2.0, 1.0]), k=3.0).data
    array([1., 1., 3.])
    """
    if m < 0:
        raise ArgumentError(f"polyint: the order of an integral is not negative, got {m}")
    x, constants = _tensor(p), shaping.atleast_1d(_tensor(np.zeros(m) if k is None else k))
    if constants.size == 1 and m > 1:
        constants = constants[0] * np.ones(m)
    if constants.size < m:
        raise ArgumentError(f"polyint: k must be a number or {m} of them, got {constants.size}")
    for i in range(m):
        x = shaping.concatenate([x / np.arange(x.size, 0, -1), constants[i : i + 1]])
    return x


@dispatch.implements(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Differentiable ``numpy.vander``."""
    t = _tensor(x)
    t = t.astype(np.promote_types(t.dtype, int))
    if t.ndim != 1:
        raise ShapeError(f"vander: needs a vector, got shape {t.shape}")
    n = t.size if N is None else N
    if n < 0:
        raise ShapeError(f"vander: needs a number of columns, got {n}")
    powers = np.arange(n) if increasing else np.arange(n)[::-1]
    return t[:, None] ** (powers if t.dtype.kind in "iu" else powers.astype(float))


# --- roots ------------------------------------------------------------------------------------------------------------


def _simple(out: Any, p: Any) -> Any:
    """Which roots are told apart from their neighbours by more than what rounding may move them.

    A root is off by the rounding of the polynomial's terms over its slope (Wilkinson 1963).
    """
    r, p = bare(out), bare(p)
    with np.errstate(all="ignore"):
        noise = np.finfo(r.dtype).eps * np.polyval(np.abs(p), np.abs(r))
        gaps = np.where(np.eye(r.size, dtype=bool), np.inf, np.abs(r[:, None] - r))
        slope = np.abs(np.polyval(np.polyder(p), r))
        return 16 * noise < slope * np.min(gaps, axis=1, initial=np.inf)


def _refuse_multiple(wanted: Any) -> None:
    if np.any(wanted):
        raise NotDifferentiableError(
            "roots: two roots are equal to rounding, and such a root moves like the square root of a change; use"
            " functions of the coefficients, or what has simple roots"
        )


def _roots_rule(g: Any, out: Any, p: Any) -> Any:
    _refuse_multiple(~_simple(out, p) & (bare(g) != 0))
    return -np.matmul(quotient(g, np.polyval(np.polyder(p), out)), np.vander(out, p.shape[0]))


def _roots_tangent(t: Any, out: Any, p: Any) -> Any:
    # p(r) = 0, so p'(r) dr + dp(r) = 0.
    _refuse_multiple(~_simple(out, p))
    return -quotient(np.matmul(np.vander(out, p.shape[0]), t), np.polyval(np.polyder(p), out))


roots_ = Primitive(
    "roots",
    lambda p: np.roots(p),
    _roots_rule,
    tangent=_roots_tangent,
    sample=lambda draw: ((np.poly(np.arange(1.0, draw.integer(2, 5)) + draw.array((), -0.2, 0.2)),), {}),
)


@dispatch.implements(np.roots)
def roots(p: Any) -> Any:
    """Differentiable ``numpy.roots`` of simple roots: ``dr = -dp(r) / p'(r)``.

    Raises
    ------
    NotDifferentiableError
        When a root is differentiated that is equal to another one up to rounding.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.jacobian(np.roots)(np.array([1.0, -3.0, 2.0]))
    array([[-4., -2., -1.],
           [ 1.,  1.,  1.]])
    """
    return roots_.function(_vector("roots", p))


def _steps_of_leverrier(x: Any, c: Any) -> list[Any]:
    """The matrices of which minus the transposes are the gradients of the coefficients (Faddeev and Le Verrier)."""
    unit = np.eye(x.shape[-1], dtype=bare(x).dtype)
    steps = [unit]
    for k in range(1, x.shape[-1]):
        steps.append(np.matmul(x, steps[-1]) + c[k] * unit)
    return steps


characteristic_ = Primitive(
    "characteristic_polynomial",
    lambda x: np.poly(x),
    lambda g, out, x: -sum(g[k + 1] * np.transpose(m) for k, m in enumerate(_steps_of_leverrier(x, out))),
    tangent=lambda t, out, x: np.stack(
        [np.trace(t) * 0, *(-np.trace(np.matmul(m, t)) for m in _steps_of_leverrier(x, out))]
    ),
    sample=lambda draw: ((linalg._square(draw, batch=False),), {}),
)


@dispatch.implements(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """Differentiable ``numpy.poly`` in the roots, or in the matrix whose characteristic polynomial it is; its
    eigenvalues may be equal.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.jacobian(lambda r: np.poly(r)[1:])(np.array([1.0, 2.0]))
    array([[-1., -1.],
           [ 2.,  1.]])
    """
    t = shaping.atleast_1d(_tensor(seq_of_zeros))
    if t.ndim == 2 and t.shape[0] == t.shape[1] and t.size:
        return characteristic_.function(t)
    plain = np.poly(t._array)  # it refuses other shapes
    if not t.size:
        return plain
    t = t if t.dtype.kind == "c" else t.astype(np.asarray(plain).dtype, copy=False)
    zero, result = np.zeros(1, t.dtype), np.ones(1, t.dtype)
    for i in range(t.size):
        result = shaping.concatenate([result, zero]) - t[i] * shaping.concatenate([zero, result])
    return np.real(result).copy() if plain.dtype.kind == "f" and t.dtype.kind == "c" else result


@dispatch.implements(np.polyfit)
def polyfit(
    x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: bool | str = False
) -> Any:
    """Differentiable ``numpy.polyfit`` in points, values and weights, by :func:`numpy.linalg.lstsq`.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.jacobian(lambda y: np.polyfit([0.0, 1.0, 2.0], y, 1))(np.array([1.0, 2.0, 4.0])).round(6)
    array([[-0.5     ,  0.      ,  0.5     ],
           [ 0.833333,  0.333333, -0.166667]])
    """
    places, values, order = _tensor(x) + 0.0, _tensor(y) + 0.0, int(deg) + 1
    if order < 1:
        raise ArgumentError(f"polyfit: the degree is not negative, got {deg}")
    if places.ndim != 1 or not places.size or values.ndim not in (1, 2) or values.shape[0] != places.size:
        raise ShapeError(f"polyfit: needs points (m,) and values (m,) or (m, k), got {places.shape} and {values.shape}")
    cut = places.size * np.finfo(places.dtype).eps if rcond is None else rcond
    left, right = vander(places, order), values
    if w is not None:
        weights = _tensor(w) + 0.0
        if weights.shape != places.shape:
            raise ShapeError(f"polyfit: needs as many weights as points, got {weights.shape} and {places.shape}")
        left, right = left * weights[:, None], right * (weights if right.ndim == 1 else weights[:, None])
    scale = np.sqrt((left * left).sum(axis=0))
    left = left / scale
    found, residuals, rank, s = linalg.lstsq(left, right, cut)
    found = (found.T / scale).T
    if rank != order and not full:
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=2)
    if full:
        return found, residuals, rank, s, cut
    if not cov:
        return found
    base = np.linalg.inv(left.T @ left) / (scale[:, None] * scale)
    if cov != "unscaled":
        if places.size <= order:
            raise ArgumentError(f"polyfit: {places.size} points are too few to scale a covariance of {order} unknowns")
        residuals = residuals / (places.size - order)
        return found, base * residuals if values.ndim == 1 else base[:, :, None] * residuals
    return found, base if values.ndim == 1 else base[:, :, None]
