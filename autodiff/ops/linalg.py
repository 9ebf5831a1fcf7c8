"""Linear algebra: numpy.linalg, every function differentiable that has a derivative.

Formulas: Giles 2008 (inverse, determinant, solve, Cholesky), Townsend 2016 (SVD), Walter and Lehmann 2010 (QR),
Boeddeker et al. 2017 (eigenvectors), Golub and Pereyra 1973 (pseudoinverse). Cholesky, eigh and eigvalsh read the
triangle that NumPy reads; with respect to a symmetric argument their gradients are symmetric. Functions of equal
eigenvalues or singular values have first and second derivatives (:mod:`autodiff.ops.spectral`); a result that depends
on their vectors is refused. It must be: sum(R * V w**3 V') and sum(R * V V') give such vectors the same cotangents, and
yet have different gradients. :func:`matrix_function` is told the function and has them all.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autodiff import dispatch
from autodiff.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.core.op import Primitive
from autodiff.levels import Ambiguous, tracked
from autodiff.ops import elementwise, reductions, shaping
from autodiff.ops.common import axes_of, bare, expand_reduced, no_out, quotient
from autodiff.ops.products import matmul
from autodiff.ops.shaping import _floats, _tensor
from autodiff.ops.spectral import (
    _c,
    _h,
    _real,
    _sample_matrix,
    _symmetric,
    _t,
    _tracked,
    _zero,
    eigvalsh_,
    svdvals_,
    with_rule_of_values,
)
from autodiff.zero_times_infinity import finite

P = Primitive

#: What NumPy gives, asked once: named tuples, and whether the eigenvalues of ``eig`` are complex always, as since 2.5.
_ONE = np.eye(1)
_KINDS: list[Any] = [type(f(_ONE)) for f in (np.linalg.eig, np.linalg.eigh, np.linalg.qr, np.linalg.svd)]
_Eig, _Eigh, _QR, _SVD = _KINDS
_EIG_IS_COMPLEX = np.linalg.eigvals(_ONE).dtype.kind == "c"


def _eye(x: Any) -> Any:
    return np.eye(x.shape[-1])


def _column(x: Any) -> Any:
    return x[..., None]


def needs_square(name: str, x: Any) -> None:
    """Refuse what is no square matrix and no stack of them."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: needs square matrices, got shape {x.shape}")


def _square(draw: Any, batch: bool = True) -> Any:
    """Well-conditioned square matrices with separated entries."""
    n = draw.integer(1, 3)
    lead = draw.shape(max_ndim=1, max_side=2) if batch else ()
    return draw.array((*lead, n, n), -1.0, 1.0, distinct=True) + 2.5 * np.diag(np.arange(1.0, n + 1))


def _positive(draw: Any) -> Any:
    a = _square(draw)
    return a @ np.swapaxes(a, -1, -2) + np.eye(a.shape[-1])


inv = P(
    "inv",
    lambda x: np.linalg.inv(x),
    lambda g, out, x: -np.matmul(np.matmul(_t(out), g), _t(out)),
    numpy=np.linalg.inv,
    tangent=lambda t, out, x: -np.matmul(np.matmul(out, t), out),
    sample=lambda draw: ((_square(draw),), {}),
    label="inv",
)


#: Up to so many rows the cofactors of a singular matrix are differentiated as determinants, n^4 numbers in all.
_MINORS = 32


def _cofactors(x: Any) -> Any:
    """``det`` of the matrix with row i replaced by unit vector j, for every i and j."""
    n = x.shape[-1]
    if n > _MINORS:
        raise NotDifferentiableError(
            f"det: second derivatives at a singular matrix are there for {_MINORS} rows at most, this one has {n}"
        )
    place = np.arange(n)
    replaced = (place[:, None] == place)[:, None, :, None]  # (i, 1, row, 1)
    unit = (place[:, None] == place)[None, :, None, :].astype(x.dtype)  # (1, j, 1, column)
    return np.linalg.det(np.where(replaced, unit, x[..., None, None, :, :]))


def _invertible(out: Any, x: Any) -> Any:
    """The inverse, if derivatives of ``out`` times it keep their digits; otherwise None.

    They cancel: as many digits are lost as the condition number (in the Frobenius norm) has. Cofactors take n^5 steps.
    """
    if np.count_nonzero(bare(out)) < np.size(bare(out)):
        return None
    inverse = np.linalg.inv(x)
    if not finite(inverse) and finite(x):
        return None
    if hasattr(x, "_node") and x.shape[-1] <= _MINORS:
        a, b = (np.sum(np.abs(bare(part)) ** 2, axis=(-2, -1)) for part in (x, inverse))
        if np.any(np.sqrt(a) * np.sqrt(b) > (1e3 if x.shape[-1] <= 8 else 1e6)):
            return None
    return inverse


def _det_rule(g: Any, out: Any, x: Any) -> Any:
    inverse = _invertible(out, x)
    if inverse is not None:
        return (g * out)[..., None, None] * _t(inverse)
    if hasattr(x, "_node"):
        return g[..., None, None] * _cofactors(x)
    # A singular matrix: the cofactors from the SVD, A = U S V^T, cof(A) = det(U) det(V) U diag(prod of the other s)
    # V^T. They are right, but not a function that can be differentiated: s has a kink at 0.
    u, s, vh = np.linalg.svd(x)
    sign = np.linalg.det(bare(u)) * np.linalg.det(bare(vh))
    return (g * sign)[..., None, None] * np.matmul(u * reductions._others_product(s, -1)[..., None, :], vh)


def _det_tangent(t: Any, out: Any, x: Any) -> Any:
    # Jacobi's formula, tr(adj(A) T); one column of T at a time in the place of A's, which needs no inverse. It is the
    # inverse of the gradient's rule, so that in derivatives of both equal terms cancel to the last bit.
    n = x.shape[-1]
    if not n:
        return 0 * out
    inverse = _invertible(out, x)
    if inverse is not None:
        return out * np.sum(_t(inverse) * t, axis=(-2, -1))
    return sum(np.linalg.det(np.where(np.arange(n) == j, t, x)) for j in range(n))


det = P(
    "det",
    lambda x: np.linalg.det(x),
    _det_rule,
    numpy=np.linalg.det,
    tangent=_det_tangent,
    sample=lambda draw: ((_square(draw),), {}),
)
logabsdet = P(
    "logabsdet",
    lambda x: np.linalg.slogdet(x)[1],
    lambda g, out, x: g[..., None, None] * _t(np.linalg.inv(x)),
    tangent=lambda t, out, x: _real(np.trace(np.linalg.solve(x, t), axis1=-2, axis2=-1)),
    sample=lambda draw: ((_square(draw),), {}),
    label="log|det|",
)


@dispatch.implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """Differentiable ``numpy.linalg.slogdet``: sign and logarithm of the absolute determinant. Of real matrices the
    sign is a constant.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> sign, logdet = np.linalg.slogdet(autodiff.tensor(np.eye(2) * 3.0, requires_grad=True))
    >>> round(logdet.item(), 6)
    2.197225
    """
    x = _tensor(a)
    result = np.linalg.slogdet(x._array)
    sign = _tensor(result.sign)
    if x.dtype.kind == "c" and x.shape[-1]:
        # A positive factor leaves the sign alone; this one brings the determinant to size one, so that it neither
        # overflows nor vanishes.
        scaled = det.function(
            x * np.exp(-np.where(np.isfinite(result.logabsdet), result.logabsdet, 0.0) / x.shape[-1])[..., None, None]
        )
        sign = quotient(scaled, np.abs(scaled))
    return type(result)(sign, logabsdet.function(x))


def _solve_a(g: Any, out: Any, a: Any, b: Any) -> Any:
    # a x = b, so da = -(a^-T g) x^T; a vector stands for one column.
    if b.ndim == 1:
        return -_column(_solve_b(g, out, a, b)) * out[..., None, :]
    return -np.matmul(np.linalg.solve(_t(a), g), _t(out))


def _solve_b(g: Any, out: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1 and g.ndim > 1:
        return np.linalg.solve(_t(a), _column(g))[..., 0]
    return np.linalg.solve(_t(a), g)


def _sample_solve(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    a = _square(draw)
    n = a.shape[-1]
    return (a, draw.array((n,)) if draw.boolean() else draw.array((*a.shape[:-2], n, draw.integer(1, 2)))), {}


def _solve_tangent(t: Any, out: Any, a: Any, b: Any) -> Any:
    # A dx = db - dA x; a vector stands for one column.
    if b.ndim == 1:
        return -np.linalg.solve(a, np.matmul(t, _column(out)))[..., 0]
    return -np.linalg.solve(a, np.matmul(t, out))


solve = P(
    "solve",
    lambda a, b: np.linalg.solve(a, b),
    _solve_a,
    _solve_b,
    numpy=np.linalg.solve,
    tangent=(_solve_tangent, "linear"),
    sample=_sample_solve,
)


def _cholesky_rule(g: Any, out: Any, x: Any) -> Any:
    # dA = L^-T phi(L^T dL) L^-1, symmetrised; phi takes the lower triangle and half the diagonal.
    phi = np.tril(np.matmul(_h(out), _c(g)))
    phi = phi - 0.5 * phi * _eye(out)
    inverse = np.linalg.inv(out)
    return _c(_symmetric(np.matmul(np.matmul(_h(inverse), phi), inverse)))


def _cholesky_tangent(t: Any, out: Any, x: Any) -> Any:
    # A = L L', so L^-1 T L^-' = L^-1 dL + (L^-1 dL)': the lower triangle and half of the diagonal.
    inverse = np.linalg.inv(out)
    both = np.matmul(np.matmul(inverse, _symmetric(t)), _h(inverse))
    low = np.tril(both)
    return np.matmul(out, low - 0.5 * low * _eye(out))


cholesky_ = P(
    "cholesky",
    lambda x: np.linalg.cholesky(_symmetric(x)),
    _cholesky_rule,
    tangent=_cholesky_tangent,
    sample=lambda draw: ((_positive(draw),), {}),
)


@dispatch.implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """Differentiable ``numpy.linalg.cholesky``, of the triangle that it reads (see :func:`eigh`).

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> np.linalg.cholesky(autodiff.tensor([[4.0]], requires_grad=True)).item()
    2.0
    """
    factor = cholesky_.function(_read(a, "U" if upper else "L"))
    return _h(factor) if upper else factor


def _mirrored(x: Any, uplo: str) -> Any:
    """The Hermitian matrix of which ``x`` holds one triangle; what else it holds is not read."""
    part, keep = (np.tril, -1) if uplo == "L" else (np.triu, 1)
    half = part(x, keep)
    mirrored = half + _h(half)
    return mirrored + np.real(x) * np.eye(x.shape[-1], dtype=np.real(x).dtype)


def _mirrored_rule(g: Any, out: Any, x: Any, uplo: str) -> Any:
    half = np.tril(np.ones(x.shape[-2:]), -1) if uplo == "L" else np.triu(np.ones(x.shape[-2:]), 1)
    return (g + _h(g)) * half + np.real(g) * np.eye(x.shape[-1])


mirrored_ = P(
    "mirrored",
    _mirrored,
    _mirrored_rule,
    tangent=lambda t, out, x, uplo: _mirrored(t, uplo),
    sample=lambda draw: ((_square(draw), draw.choice(("L", "U"))), {}),
)


def _read(a: Any, uplo: str) -> Any:
    """The Hermitian matrix that NumPy reads off one triangle of ``a``.

    Two entries that are one number share its gradient, as at a tie: a matrix that is Hermitian stands for its Hermitian
    part, whatever a check or a second pass moves it by. Any other stands for the triangle, and the gradient goes there
    alone. Each matrix of a stack decides for itself.
    """
    uplo = str(uplo).upper()
    if uplo not in ("L", "U"):
        raise ArgumentError(f"UPLO must be 'L' or 'U', got {uplo!r}")
    x = _tensor(a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise np.linalg.LinAlgError(f"needs square matrices, got shape {x.shape}")
    same = x._array == np.conjugate(np.swapaxes(x._array, -1, -2))
    if same.__class__ is not np.ndarray:
        return x if np.all(same) else mirrored_.function(x, uplo)
    hermitian = elementwise.constant(np.all(same, axis=(-2, -1), keepdims=True))
    if np.all(hermitian):
        return x
    mirrored = mirrored_.function(x, uplo)
    return elementwise.where_.function(hermitian, x, mirrored) if np.any(hermitian) else mirrored


# --- eigenvalues, singular values -------------------------------------------------------------------------------------


def _inverse_gaps(values: Any) -> Any:
    """1 / (v_j - v_i), 0 where the two are equal to rounding: (..., n, n)."""
    plain = bare(values)
    size = np.max(np.abs(plain), axis=-1, keepdims=True)[..., None] if plain.size else np.zeros((*plain.shape, 1))
    gap = values[..., None, :] - values[..., :, None]
    same = np.abs(bare(gap)) <= 8 * np.finfo(plain.dtype).eps * plain.shape[-1] * size
    return np.where(same, 0, 1 / np.where(same, 1, gap))


def _refuse_inside_blocks(name: str, values: Any, *along: Any) -> None:
    """Refuse cotangents of vectors within a block of equal values: the limit that is wanted there cannot be had from
    them.
    """
    for part in along:
        refusal = _vectors_refused(name, values, part)
        if refusal is not None:
            raise refusal


def _eigh_rule(g: Any, out: Any, x: Any, uplo: str = "L") -> Any:
    (gw, gv), (w, v) = g, out
    turned = np.matmul(_h(v), _c(gv))
    _refuse_inside_blocks("eigh", w, turned)
    if bare(v).dtype.kind == "c":
        _refuse_phase("eigh", np.imag(bare(turned)) * _eye(v), bare(turned))
        gw = np.real(gw)
    middle = _symmetric(_inverse_gaps(w) * turned + gw[..., None, :] * _eye(v))
    if _tracked(gw, turned):
        _refuse_second_without_digits("eigh", w, turned, middle)
    return _c(np.matmul(np.matmul(v, middle), _h(v)))


def _refuse_second_without_digits(name: str, values: Any, along: Any, middle: Any) -> None:
    """Refuse derivatives of a gradient over a gap whose square is lost in rounding, where the function does not depend
    on the single vectors of near values.

    Their cotangents ``along`` are symmetric then but for a share like the gap. Second derivatives are differences of
    terms that are larger by one over its square.
    """
    plain, turning = np.asarray(bare(values)), np.abs(np.asarray(bare(along)))
    size = np.max(np.abs(plain), axis=-1, keepdims=True, initial=0.0)[..., None]
    gaps = np.abs(plain[..., None, :] - plain[..., :, None]) + np.eye(plain.shape[-1]) * size
    eps = np.finfo(plain.dtype).eps
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = eps * turning * size / gaps**2
        skew = np.abs(np.asarray(bare(along - _h(along))))
        lost = (skew * size < 1e3 * gaps * np.max(turning, axis=(-2, -1), keepdims=True, initial=0.0)) & (
            noise > 1e-3 * np.max(np.abs(np.asarray(bare(middle))), axis=(-2, -1), keepdims=True, initial=0.0)
        )
    if np.any(lost & (gaps < 1e3 * eps**0.5 * size)):
        raise NotDifferentiableError(
            f"{name}: two values are nearly equal and the result does not depend on which vectors they have, so that"
            " rounding leaves no digits of its second derivative; use functions of the values alone"
            " (np.linalg.eigvalsh, svdvals), or of the matrix itself (autodiff.linalg.matrix_function,"
            " np.linalg.matrix_power, autodiff.linalg.expm)"
        )


def _vectors_refused(name: str, values: Any, turning: Any) -> Any:
    """What stands for the tangent of eigenvectors if two equal eigenvalues part along it: they are undefined there."""
    same = (bare(_inverse_gaps(values)) == 0) & ~np.eye(values.shape[-1], dtype=bool)
    plain = np.abs(bare(turning))
    if np.any(same & (plain > 1e-12 * np.max(plain, axis=(-2, -1), keepdims=True, initial=0.0))):
        return NotDifferentiableError(
            f"{name}: two values are equal and the result (or its second derivative) depends on their vectors, which"
            " are arbitrary there; use functions of the values alone, or of the matrix itself"
            " (autodiff.linalg.matrix_function, which gives projectors as well, np.linalg.matrix_power,"
            " autodiff.linalg.expm)"
        )
    return None


def _eigh_tangent(t: Any, out: Any, x: Any, uplo: str = "L") -> Any:
    # Rellich: V' T V = diag(dw) off the gaps; dV = V (F o V' T V) with F_ij = 1 / (w_j - w_i).
    w, v = out
    turned = np.matmul(np.matmul(_h(v), _symmetric(t)), v)
    moved = _real(_diagonal(turned))
    refusal = _vectors_refused("eigh", w, turned)
    return moved, refusal or _up_to_phase("eigh", np.matmul(v, _inverse_gaps(w) * turned), v)


def _up_to_phase(name: str, t: Any, v: Any) -> Any:
    """The tangent of complex vectors, each of which may be turned by a phase of its own."""
    return Ambiguous(t, 1j * v * _turns(v), _PHASE.format(name=name)) if bare(v).dtype.kind == "c" else t


def _turns(v: Any) -> Any:
    return np.cos(1.0 + np.arange(v.shape[-1]))


eigh_ = P(
    "eigh",
    lambda x, uplo="L": tuple(np.linalg.eigh(_symmetric(x), UPLO=uplo)),
    _eigh_rule,
    sample=lambda draw: ((_square(draw),), {}),
    tangent=_eigh_tangent,
)


@dispatch.implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Differentiable ``numpy.linalg.eigh``, of the triangle that ``UPLO`` names.

    The gradient with respect to a symmetric argument is symmetric, as in PyTorch and JAX: that of the function of its
    symmetric part. With respect to any other it goes to the triangle that is read, as NumPy's own differences do.
    """
    x = _read(a, UPLO)
    w, v = eigh_.function(x, str(UPLO).upper())
    return _Eigh(with_rule_of_values(w, eigvalsh_, x), v)


@dispatch.implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Differentiable ``numpy.linalg.eigvalsh``, of the triangle that ``UPLO`` names (see :func:`eigh`).

    Second derivatives of functions of equal eigenvalues are right, too.
    """
    return eigvalsh_.function(_read(a, UPLO), str(UPLO).upper())


#: Below this share of the largest eigenvalue a divided difference loses more digits to cancellation than the derivative
#: half-way is off.
_CLOSE = 1e-5


def _matrix_function(x: Any, function: Any) -> Any:
    needs_square("matrix_function", x)
    w, v = np.linalg.eigh(_symmetric(x))
    values = np.asarray(bare(function(_tensor(w)))).astype(v.dtype)
    return np.matmul(v * values[..., None, :], np.conjugate(np.swapaxes(v, -1, -2)))


def _matrix_function_rule(g: Any, out: Any, x: Any, function: Any) -> Any:
    """Daleckii and Krein 1965: ``dF = V (D o (V' dA V)) V'`` with ``D_ij = (f(w_i) - f(w_j)) / (w_i - w_j)``, and
    ``f'`` where the two are equal.
    """
    from autodiff.transforms import elementwise_grad

    w, v = np.linalg.eigh(_symmetric(x))
    wi, wj = w[..., :, None], w[..., None, :]
    size = np.max(np.abs(bare(w)), axis=-1, keepdims=True, initial=0.0)[..., None]
    close = np.abs(bare(wi) - bare(wj)) <= _CLOSE * size
    values = function(w) if hasattr(w, "_node") else np.asarray(bare(function(_tensor(w)))) * 1.0
    quotient_ = (values[..., :, None] - values[..., None, :]) / np.where(close, 1, wi - wj)
    differences = np.where(close, elementwise_grad(lambda w: function(w) * 1.0 + 0 * w)((wi + wj) / 2), quotient_)
    inner = np.matmul(np.matmul(_h(v), _c(g)), v)
    return _c(_symmetric(np.matmul(np.matmul(v, differences * inner), _h(v))))


matrix_function_ = P(
    "matrix_function",
    _matrix_function,
    _matrix_function_rule,
    # The map of Daleckii and Krein is its own adjoint, up to the convention for cotangents.
    tangent=lambda t, out, x, function: _c(_matrix_function_rule(_c(t), out, x, function)),
    sample=lambda draw: ((_square(draw), draw.choice((np.exp, np.sin, np.square))), {}),
)


def matrix_function(a: Any, function: Any) -> Any:
    """``f(A) = V f(w) V'`` of a symmetric or Hermitian matrix, with the right gradient at equal eigenvalues too.

    Through ``np.linalg.eigh`` the gradient at equal eigenvalues cannot be had: which vectors they get is arbitrary.
    Written as a function of the matrix it exists wherever ``f`` is smooth.

    Parameters
    ----------
    a : (..., n, n)
        Its symmetric part counts.
    function : callable
        Acts on every eigenvalue alone, such as ``np.exp``. A condition gives a projector: ``lambda w: w < c`` that onto
        the eigenvectors below ``c``.

    Returns
    -------
    Tensor (..., n, n)

    Notes
    -----
    First derivatives are right for any matrix; second derivatives only where eigenvalues differ, and refused elsewhere.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.grad(lambda a: autodiff.linalg.matrix_function(a, np.sqrt)[0, 0])(np.eye(2) * 4.0)
    array([[0.25, 0.  ],
           [0.  , 0.  ]])
    """
    return matrix_function_.function(a, function)


def _eig_rule(g: Any, out: Any, x: Any) -> Any:
    # With columns of unit length, phase as LAPACK leaves it; the second part keeps that length.
    (gw, gv), (w, v) = g, out
    vt = _t(v)
    gaps = _inverse_gaps(w)
    along = np.matmul(vt, gv)
    _refuse_inside_blocks("eig", w, along)
    if bare(along).dtype.kind == "c":
        _refuse_phase("eig", np.imag(bare(along)) * np.eye(v.shape[-1]), bare(along))
    first = gaps * along
    second = -gaps * np.matmul(np.matmul(vt, np.conjugate(v)), np.real(along) * _eye(v))
    return np.matmul(np.matmul(np.linalg.inv(vt), gw[..., None, :] * _eye(v) + first + second), vt)


def _sample_eig(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # Real and separate eigenvalues by Gershgorin's circles: diagonals are half apart at least, radii below a fifth.
    a = _square(draw)
    return (np.where(np.eye(a.shape[-1]) == 1, a, 0.1 * a),), {}


def _eig_tangent(t: Any, out: Any, x: Any) -> Any:
    # A v = w v: V^-1 T V holds dw on its diagonal; columns keep unit length, and the phase that LAPACK gave them.
    w, v = out
    turned = np.linalg.solve(v, np.matmul(t, v))
    refusal = _vectors_refused("eig", w, turned)
    if refusal is not None:
        return _diagonal(turned), refusal
    moved = np.matmul(v, _inverse_gaps(w) * turned)
    along = np.sum(np.conjugate(v) * moved, axis=-2, keepdims=True)
    along = _real(along)
    return _diagonal(turned), _up_to_phase("eig", moved - v * along, v)


def _eig(x: Any) -> Any:
    # Real where NumPy before 2.5 gives real numbers: the phase of a real vector is known.
    found = np.linalg.eig(x)
    real = x.dtype.kind != "c" and not np.any(found.eigenvalues.imag)
    return tuple(part.real.copy() if real else part for part in found)


eig_ = P("eig", _eig, _eig_rule, sample=_sample_eig, tangent=_eig_tangent)


def _eigen(a: Any) -> Any:
    """Eigenvalues and vectors in NumPy's dtype: complex since 2.5, before that where some are."""
    found = eig_.function(a)
    if _EIG_IS_COMPLEX:
        found = [part.astype(np.result_type(part.dtype, np.complex64)) for part in found]
    return _Eig(*found)


@dispatch.implements(np.linalg.eig)
def eig(a: Any) -> Any:
    """Differentiable ``numpy.linalg.eig``; eigenvalues and vectors may be complex (docs/complex.md)."""
    return _eigen(a)


@dispatch.implements(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """Differentiable ``numpy.linalg.eigvals``."""
    return _eigen(a).eigenvalues


def _svd_rule(g: Any, out: Any, x: Any) -> Any:
    """Townsend 2016 and, for complex matrices, Wan and Zhang 2019.

    With G the conjugate of ``g`` (docs/complex.md) and ``h = U' G_U``, ``k = V' G_V``, ``F_ij = 1 / (s_j^2 - s_i^2)``::

        G_A = U [F o (h - h') S + S F o (k - k') + diag(G_s + i Im(h_ii) / s_i)] V'  +  (G_U - U h) S^-1 V'  +  U S^-1
        (G_V - V k)'

    The last two terms are the parts outside the column and row space. A pair of vectors may be turned by one phase, so
    a result has a derivative only if ``Im(h_ii + k_ii) = 0``. At a singular value of zero ``s`` has a kink like that of
    ``abs``, and its cotangent counts for nothing.
    """
    (gu, gs, gvh), (u, s, vh) = g, out
    complex_ = bare(u).dtype.kind == "c"
    v, gv = _h(vh), _t(gvh)
    gu = _c(gu)
    h, k = np.matmul(_h(u), gu), np.matmul(_h(v), gv)
    gaps = _inverse_gaps(s * s)
    _refuse_inside_blocks("svd", s * s, h, k)
    m, n = x.shape[-2:]
    plain = bare(s)
    zero = plain <= np.finfo(plain.dtype).eps * max(m, n) * np.max(plain, axis=-1, keepdims=True, initial=0.0)
    along = np.where(zero, 0, np.real(gs) if complex_ else gs)
    if complex_:
        turn_u, turn_v = np.imag(_diagonal(h)), np.imag(_diagonal(k))
        _refuse_phase("svd", bare(turn_u) + bare(turn_v), bare(h), bare(k))
        along = along + 1j * quotient(turn_u, s)
    middle = (
        gaps * (h - _h(h)) * s[..., None, :]
        + s[..., :, None] * (gaps * (k - _h(k)))
        + along[..., None, :] * np.eye(s.shape[-1])
    )
    if _tracked(gs, h, k):
        _refuse_second_without_digits("svd", s * s, h * s[..., None, :] + s[..., :, None] * k, middle)
    result = np.matmul(np.matmul(u, middle), vh)
    if m > n:
        result = result + np.matmul(_over_values(gu - np.matmul(u, h), s, x.shape, gu), vh)
    elif n > m:
        result = result + np.matmul(u, _h(_over_values(gv - np.matmul(v, k), s, x.shape, gv)))
    return _c(result)


def _over_values(outside: Any, s: Any, shape: tuple[int, ...], whole: Any) -> Any:
    """What is outside of the span of the vectors over the singular values. Of a value of zero the vector may be any
    outside of the span of the others, so that nothing may depend on where it turns to.
    """
    zero = np.broadcast_to(_zero(s, shape)[..., None, :], outside.shape)
    size, most = np.abs(bare(outside)), np.max(np.abs(bare(whole)), axis=(-2, -1), keepdims=True, initial=0.0)
    if np.any(zero & (size > 1e-12 * most)):
        raise NotDifferentiableError(
            "svd: a singular value is zero and the result depends on its vector, which is arbitrary there; use"
            " functions of the values alone, or of the matrix itself"
        )
    return np.where(zero, 0, outside) / np.where(zero, 1, np.broadcast_to(s[..., None, :], outside.shape))


def _diagonal(x: Any) -> Any:
    return np.sum(x * np.eye(x.shape[-1]), axis=-1)


_PHASE = (
    "{name}: the result depends on the phase of complex vectors, which is arbitrary; use what does not change when a"
    " vector is multiplied by exp(i phi), such as absolute values or products of a vector with its conjugate, or the"
    " values alone"
)


def _refuse_phase(name: str, turning: Any, *scale: Any) -> None:
    """Refuse cotangents that ask how the result changes when an eigenvector or a pair of singular vectors is turned by
    a phase.
    """
    if np.max(np.abs(turning), initial=0.0) > 1e-6 * max(np.max(np.abs(part), initial=0.0) for part in scale):
        raise NotDifferentiableError(_PHASE.format(name=name))


_SPAN_ONLY = (
    "the result depends on the single vectors that complete a basis (full_matrices=True, mode='complete'), which are"
    " arbitrary; use what depends on their span alone, such as Q @ Q.T, or ask for the reduced factors"
    " (full_matrices=False, mode='reduced')"
)


def _span_only_rule(g: Any, out: Any, q: Any) -> Any:
    if q.ndim < 2:
        return g
    turning = np.matmul(np.conjugate(np.swapaxes(bare(q), -1, -2)), bare(_c(g)))
    turning = turning - np.conjugate(np.swapaxes(turning, -1, -2))
    if np.max(np.abs(turning), initial=0.0) > 1e4 * np.finfo(turning.dtype).eps * np.max(np.abs(bare(g)), initial=0.0):
        raise NotDifferentiableError(_SPAN_ONLY)
    return g


# Orthonormal columns of which only the span is meant: cotangents that ask how they turn within it are refused. Second
# derivatives send such cotangents even where the turning cancels in the end, so they are refused as well.
def _span_only_tangent(t: Any, out: Any, q: Any) -> Any:
    if q.ndim < 2 or not q.size or (q.shape[-1] == 1 and q.dtype.kind != "c"):
        return t
    # Any turn of the columns within their span, that is any skew matrix on the right.
    turn = np.cos(1.0 + np.arange(q.shape[-1] ** 2)).reshape(q.shape[-1], q.shape[-1])
    skew = turn - turn.T
    if q.dtype.kind == "c":
        skew = skew + 1j * (turn + turn.T)
    return Ambiguous(t, np.matmul(q, skew), _SPAN_ONLY)


span_only = P(
    "span_only",
    lambda q: np.array(q),
    _span_only_rule,
    # A single column has no span to turn in, so that any cotangent has an answer.
    sample=lambda draw: ((draw.array((draw.integer(1, 4), 1), 0.2, 1.0),), {}),
    tangent=_span_only_tangent,
)


def _completed(u: Any, full: Any) -> Any:
    """The orthonormal columns ``u`` completed to those of ``full``, whose further columns are LAPACK's choice.

    As a function of ``u``: those columns less their part in the span of ``u``, made orthonormal again by a Cholesky
    factor. Both change nothing here, but say how the columns move when ``u`` does.
    """
    rest = full[..., :, u.shape[-1] :]
    if not rest.shape[-1]:
        return u
    q = rest - matmul.function(u, matmul.function(_h(u), rest))
    factor = cholesky_.function(matmul.function(_h(q), q))
    return shaping.concatenate([u, span_only.function(_h(solve.function(factor, _h(q))))], axis=-1)


def _svd_tangent(t: Any, out: Any, x: Any) -> Any:
    """Townsend 2016: with ``P = U' T V`` and ``F_ij = 1 / (s_j^2 - s_i^2)``::

    dS = Re diag(P),  dU = U (F o (P S + S P') + i Im(P_ii) / 2 s_i) + (1 - U U') T V S^-1,  dV likewise
    """
    u, s, vh = out
    v = _h(vh)
    p = np.matmul(np.matmul(_h(u), t), v)
    complex_ = bare(p).dtype.kind == "c"
    values = _diagonal(p)
    moved = _real(values)
    gaps = _inverse_gaps(s * s)
    row, column = s[..., None, :], s[..., :, None]
    refusal = _vectors_refused("svd", s * s, np.abs(p * row + column * _h(p)) + np.abs(column * p + _h(p) * row))
    if refusal is not None:
        return refusal, moved, refusal
    left, right = gaps * (p * row + column * _h(p)), gaps * (column * p + _h(p) * row)
    if complex_:
        # The phase of a pair is arbitrary: half of the turn is given to each.
        turn = 0.5j * quotient(np.imag(values), s)
        left, right = left + turn[..., None, :] * _eye(p), right - turn[..., None, :] * _eye(p)
    du, dv = np.matmul(u, left), np.matmul(v, right)
    m, n = x.shape[-2:]
    try:
        if m > n:
            du = du + _over_values(np.matmul(t, v) - np.matmul(u, p), s, x.shape, t)
        elif n > m:
            dv = dv + _over_values(np.matmul(_h(t), u) - np.matmul(v, _h(p)), s, x.shape, t)
    except NotDifferentiableError as refusal:
        return refusal if m > n or complex_ else du, moved, refusal if n > m or complex_ else _h(dv)
    if not complex_:
        return du, moved, _h(dv)
    first = _up_to_phase("svd", du, u)
    return first, moved, Ambiguous(_h(dv), -1j * _turns(v)[:, None] * vh, "", first)


svd_ = P(
    "svd",
    lambda x: tuple(np.linalg.svd(x, full_matrices=False)),
    _svd_rule,
    sample=_sample_matrix,
    tangent=_svd_tangent,
)


@dispatch.implements(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Differentiable ``numpy.linalg.svd`` of real and complex matrices.

    The vectors that complete a non-square factor to a full one are arbitrary but for their span; a result that depends
    on more of them is refused when it is differentiated, and so is one that depends on the phase of complex vectors.
    ``hermitian=True`` reads the lower triangle alone and goes through :func:`eigh`, as in NumPy.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> np.linalg.svd(autodiff.tensor([[3.0, 0.0], [0.0, 4.0]], requires_grad=True)).S.data
    array([4., 3.])
    """
    x = _tensor(a)
    if hermitian:
        return _hermitian_svd(x, compute_uv)
    if not compute_uv:
        return svdvals_.function(x)
    u, s, vh = svd_.function(x)
    s = with_rule_of_values(s, svdvals_, x)
    m, n = x.shape[-2:]
    if full_matrices and m != n:
        full = np.linalg.svd(x._array, full_matrices=True)
        u = _completed(u, _as_chosen(full.U, u._array))
        vh = _h(_completed(_h(vh), _as_chosen(np.conjugate(np.swapaxes(full.Vh, -1, -2)), bare(_h(vh)))))
    return _SVD(u, s, vh)


def _hermitian_svd(x: Any, compute_uv: bool) -> Any:
    if not compute_uv:
        sizes = np.abs(eigvalsh(x))
        return np.flip(np.sort(sizes, axis=-1), axis=-1)
    w, v = eigh(x)
    order = np.argsort(np.abs(w._array), axis=-1)[..., ::-1]
    s = np.take_along_axis(np.abs(w), order, axis=-1)
    u = np.take_along_axis(v, np.broadcast_to(order[..., None, :], v.shape), axis=-1)
    signs = np.take_along_axis(np.sign(w._array), order, axis=-1)
    return _SVD(u, s, _h(u * signs[..., None, :]))


def _as_chosen(full: Any, columns: Any) -> Any:
    """``full`` with its first columns replaced, so that both halves of a factor come from one call."""
    return np.concatenate([columns, full[..., :, columns.shape[-1] :]], axis=-1)


@dispatch.implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """Differentiable ``numpy.linalg.svdvals``."""
    return svd(x, compute_uv=False)


def _qr_rule(g: Any, out: Any, x: Any) -> Any:
    if not np.size(bare(x)):
        return x  # whose gradient has no elements either
    (gq, gr), (q, r) = g, out
    gq, gr = _c(gq), _c(gr)
    m = np.matmul(r, _h(gr)) - np.matmul(_h(gq), q)
    low = np.tril(m, -1)
    # LAPACK leaves the diagonal of R real, for complex matrices too.
    both = low + _h(low) + _real(m) * _eye(m)
    return _c(_h(np.linalg.solve(r, _h(gq + np.matmul(q, both)))))


def _qr(x: Any) -> Any:
    if x.shape[-2] < x.shape[-1]:
        raise ShapeError(f"qr: a wide matrix, {x.shape}, goes by its first columns")
    return tuple(np.linalg.qr(x))


def _sample_qr(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    (a,), kwargs = _sample_matrix(draw)
    return (a if a.shape[0] >= a.shape[1] else a.T.copy(),), kwargs


def _qr_tangent(t: Any, out: Any, x: Any) -> Any:
    # With Y = Q' T R^-1: dR R^-1 is upper triangular with a real diagonal and Q' dQ is skew, so the strict lower
    # triangle of Y tells the skew part.
    q, r = out
    if not np.size(bare(x)):
        return q, r
    y = np.matmul(t, np.linalg.inv(r))
    inner = np.matmul(_h(q), y)
    low = np.tril(inner, -1)
    skew = low - _h(low)
    if bare(inner).dtype.kind == "c":
        skew = skew + 1j * np.imag(inner) * _eye(inner)
    return y - np.matmul(q, inner) + np.matmul(q, skew), np.matmul(inner - skew, r)


qr_ = P("qr", _qr, _qr_rule, sample=_sample_qr, tangent=_qr_tangent)


@dispatch.implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """Differentiable ``numpy.linalg.qr`` in the modes "reduced", "complete" and "r".

    The columns that complete Q are arbitrary but for their span; a result that depends on more of them is refused when
    it is differentiated.

    Raises
    ------
    NotDifferentiableError
        For the mode "raw", which holds Householder reflectors.
    """
    if mode not in ("reduced", "complete", "r"):
        raise NotDifferentiableError(
            f"np.linalg.qr(mode={mode!r}) has no gradient here; use mode='reduced', 'complete' or 'r'"
        )
    x = _tensor(a)
    if x.ndim < 2:
        raise np.linalg.LinAlgError(f"qr: needs matrices, got shape {x.shape}")
    m, n = x.shape[-2:]
    if m >= n:
        q, r = qr_.function(x)
        if mode == "complete" and m > n:
            q = _completed(q, _as_chosen(np.linalg.qr(x._array, mode="complete").Q, q._array))
            r = shaping.concatenate([r, np.zeros((*r.shape[:-2], m - n, n), r.dtype)], axis=-2)
    else:
        # Q comes from the first m columns; the others follow, R2 = Q^T A2.
        q, left = qr_.function(x[..., :m])
        r = shaping.concatenate([left, matmul.function(_h(q), x[..., m:])], axis=-1)
    return r if mode == "r" else _QR(q, r)


def _pinv_rule(g: Any, out: Any, x: Any) -> Any:
    ph, gh = _h(out), _t(g)
    first = -np.matmul(np.matmul(ph, _c(g)), ph)
    second = np.matmul(gh - np.matmul(x, np.matmul(out, gh)), np.matmul(out, ph))
    third = np.matmul(np.matmul(ph, out), gh - np.matmul(np.matmul(gh, out), x))
    return _c(first + second + third)


def _pinv_tangent(t: Any, out: Any, x: Any) -> Any:
    # Golub and Pereyra 1973
    th, ph = _h(t), _h(out)
    first = -np.matmul(np.matmul(out, t), out)
    second = np.matmul(np.matmul(out, ph), th - np.matmul(th, np.matmul(x, out)))
    third = np.matmul(th - np.matmul(np.matmul(out, x), th), np.matmul(ph, out))
    return first + second + third


pinv_ = P("pinv", lambda x: np.linalg.pinv(x), _pinv_rule, sample=_sample_matrix, tangent=_pinv_tangent)


@dispatch.implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    """Differentiable ``numpy.linalg.pinv`` where the rank does not change."""
    x = _symmetric(_read(a, "L")) if hermitian else _tensor(a)
    if rcond is not None and rtol is not np._NoValue:
        raise ArgumentError(f"pinv: rcond or rtol, one of them, got rtol={rtol!r} and rcond={rcond!r}")
    cut = rcond if rcond is not None else None if rtol is np._NoValue else rtol
    if cut is None and rtol is None:
        cut = max(x.shape[-2:]) * np.finfo(_floats(x).dtype).eps
    if cut is None or not x.size:
        return pinv_.function(x)
    # What lies below the cut-off is left out, and its derivative with it; which values do is a step function.
    u, s, vh = svd(x, full_matrices=False)
    size = s._array.max(axis=-1, keepdims=True)
    large = s._array > np.asarray(dispatch.bare(cut))[..., None] * size
    if large.all():
        return pinv_.function(x)
    inverse = np.where(large, 1 / np.where(large, s, 1), 0)
    return matmul.function(_h(vh) * inverse[..., None, :], _h(u))


# --- composed of the above --------------------------------------------------------------------------------------------


@dispatch.implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Any, Any, Any, Any]:
    """Differentiable ``numpy.linalg.lstsq``: solution, residuals, rank (a constant) and singular values."""
    x, y = _tensor(a), _tensor(b)
    cut = np.finfo(x.dtype if x.dtype.kind in "fc" else float).eps * (max(x.shape) if rcond is None else 1)
    cut = cut if rcond is None or rcond == -1 else rcond
    values = np.linalg.svd(x._array, compute_uv=False) if x.size else np.zeros(0)
    rank = int(np.sum(values > cut * values.max(initial=0.0)))
    solution = matmul.function(pinv(x, rcond=cut), y)
    if rank == x.shape[1] and x.shape[0] > x.shape[1]:
        gap = y - matmul.function(x, solution)
        residuals = (np.real(gap) ** 2 + np.imag(gap) ** 2 if gap.dtype.kind == "c" else gap * gap).sum(axis=0)
        residuals = residuals.reshape(1) if residuals.ndim == 0 else residuals
    else:
        residuals = _tensor(np.zeros(0))
    return solution, residuals, rank, svdvals(x)


@dispatch.implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """Differentiable ``numpy.linalg.matrix_power``, by repeated squaring."""
    x = _tensor(a)
    needs_square("matrix_power", x)
    n = operator.index(n)
    if n == 0:
        # The constant, whatever x holds, with a gradient of zero.
        return elementwise.where_.function(np.zeros(x.shape, bool), x, np.eye(x.shape[-1], dtype=x.dtype))
    base, count = (inv.function(x), -n) if n < 0 else (x, n)
    result = None
    while count:
        if count & 1:
            result = base if result is None else matmul.function(result, base)
        count >>= 1
        if count:
            base = matmul.function(base, base)
    return result


@dispatch.implements(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: None = None) -> Any:
    """Differentiable ``numpy.linalg.multi_dot``, in the order that costs least."""
    no_out("linalg.multi_dot", out)
    parts = [_tensor(a) for a in arrays]
    if len(parts) < 2:
        raise ArgumentError("multi_dot: needs two arrays at least")
    if any(part.ndim != 2 for part in parts[1:-1]) or not {parts[0].ndim, parts[-1].ndim} <= {1, 2}:
        raise ShapeError(f"multi_dot: needs matrices, got shapes {', '.join(str(part.shape) for part in parts)}")
    while len(parts) > 2:
        # Greedy: the product with the longest shared axis first keeps what remains small.
        shared = [parts[i].shape[-1] for i in range(len(parts) - 1)]
        i = int(np.argmax(shared))
        parts[i : i + 2] = [matmul.function(parts[i], parts[i + 1])]
    return matmul.function(parts[0], parts[1])


@dispatch.implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """Differentiable ``numpy.linalg.tensorsolve``."""
    x, y = _tensor(a), _tensor(b)
    if axes is not None:
        order = [k for k in range(x.ndim) if k not in axes] + list(axes)
        x = x.transpose(*order)
    shape = x.shape[y.ndim :]
    size = int(np.prod(shape, dtype=int))
    return solve.function(x.reshape(math.prod(x.shape[: y.ndim]), size), y.reshape(-1)).reshape(shape)


@dispatch.implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """Differentiable ``numpy.linalg.tensorinv``."""
    x = _tensor(a)
    if not 0 < ind <= x.ndim:
        raise ArgumentError(f"tensorinv: ind must lie in [1, {x.ndim}], got {ind}")
    rows = int(np.prod(x.shape[:ind], dtype=int))
    return inv.function(x.reshape(rows, -1)).reshape(*x.shape[ind:], *x.shape[:ind])


def _within(x: Any, axis: Any) -> Any:
    """An axis, or all, which a number has none of; NumPy's reductions take one of a number."""
    return axis if axis is None else normalize_axis_tuple(axis, x.ndim)


def _norm2(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    axis = _within(x, axis)
    # Scaled by the largest entry, so that squares neither overflow nor vanish.
    size = np.max(np.abs(x), axis=axis, keepdims=True, initial=0.0)
    safe = np.where((size == 0) | ~np.isfinite(size), 1, size)
    total = np.sqrt(np.sum(np.square(np.abs(x / safe)), axis=axis, keepdims=True)) * safe
    return total if keepdims else np.squeeze(total, axis=axis)


def _norm2_rule(g: Any, out: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    # x / |x|, and 0 at the origin: the smallest subgradient.
    length = np.broadcast_to(expand_reduced(out, axis, keepdims), x.shape)
    return np.broadcast_to(expand_reduced(g, axis, keepdims), x.shape) * quotient(_c(x), length)


def _sample_norm(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=1)
    return (draw.array(shape, 0.3, 2.0),), {
        "axis": draw.choice((None, draw.axis(len(shape)))),
        "keepdims": draw.boolean(),
    }


def _norm2_tangent(t: Any, out: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    length = np.broadcast_to(expand_reduced(out, axis, keepdims), x.shape)
    return _real(np.sum(quotient(_c(x), length) * t, axis=axis, keepdims=keepdims))


norm2 = P("norm2", _norm2, _norm2_rule, sample=_sample_norm, label="‖ ‖", tangent=_norm2_tangent)


def _decisive(size: Any, order: float, axis: Any) -> Any:
    """The size that decides about a norm, 1 for 0 and infinity: powers of the others over it neither overflow nor
    vanish. That is the largest, and of a negative order the smallest.
    """
    found = np.min if order < 0 else np.max
    most = found(size, axis=axis, keepdims=True, initial=np.inf if order < 0 else 0.0)  # type: ignore[operator]
    return np.where((most == 0) | ~np.isfinite(most), 1, most).astype(size.dtype)


def _norm_p(x: Any, order: float, axis: Any = None, keepdims: bool = False) -> Any:
    axis, size = _within(x, axis), np.abs(x)
    safe = _decisive(size, order, axis)
    with np.errstate(divide="ignore", over="ignore"):
        total = np.sum((size / safe) ** order, axis=axis, keepdims=True) ** (1 / order) * safe
    return total if keepdims else np.squeeze(total, axis=axis)


def _norm_p_rule(g: Any, out: Any, x: Any, order: float, axis: Any = None, keepdims: bool = False) -> Any:
    # (|x_i| / |x|)^(p - 1) sign(x_i); where x_i = 0 that is 0: the smallest subgradient for p = 1, the derivative for p
    # > 1, the middle of a cusp for p < 1.
    size = np.abs(x)
    length = np.broadcast_to(expand_reduced(out, axis, keepdims), x.shape)
    still = (bare(size) == 0) | (bare(length) == 0)
    with np.errstate(over="ignore"):
        share = np.where(still, 0, np.where(still, 1, size) / np.where(still, 1, length))
    slope = share if order == 2 else np.where(still, 0, np.where(still, 1, share) ** (order - 1))
    return np.broadcast_to(expand_reduced(g, axis, keepdims), x.shape) * slope * elementwise._phase(x)


def _sample_norm_p(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    (x,), kwargs = _sample_norm(draw)
    return (x, draw.choice((3.0, 1.5, 4.0, 0.5, -1.0))), kwargs


def _norm_p_tangent(t: Any, out: Any, x: Any, order: float, axis: Any = None, keepdims: bool = False) -> Any:
    slope = _norm_p_rule(np.ones_like(bare(out)), out, x, order, axis, keepdims)
    return _real(np.sum(slope * t, axis=axis, keepdims=keepdims))


norm_p = P("norm_p", _norm_p, _norm_p_rule, sample=_sample_norm_p, label="‖ ‖p", tangent=_norm_p_tangent)


def _largest(sizes: Any, axis: Any, keepdims: bool = False) -> Any:
    """The largest of numbers that are not negative, 0 of none."""
    more: dict[str, Any] = {} if sizes.size else {"initial": 0.0}
    return reductions.max(sizes, axis, keepdims=keepdims, **more)


def _plain_order(order: Any) -> Any:
    return bare(order).item() if np.ndim(bare(order)) == 0 and hasattr(bare(order), "item") else order


def _vector_norm(x: Any, order: Any, axis: Any, keepdims: bool) -> Any:
    if tracked(order):
        size = np.abs(x)
        top = _decisive(bare(size), bare(order), axis)
        with np.errstate(over="ignore"):
            total = top * np.sum((size / top) ** order, axis=axis, keepdims=True) ** (1 / order)
        return total if keepdims else shaping.squeeze(total, axis)
    order = _plain_order(order)
    if order is None or order == 2:
        return norm2.function(x, axis, keepdims)
    size = np.abs(x)
    if order == np.inf:
        return _largest(size, axis, keepdims)
    if order == -np.inf:
        return reductions.min(size, axis, keepdims=keepdims)
    if order == 0:
        return reductions.sum((bare(x) != 0).astype(size.dtype), axis, keepdims=keepdims)
    if order == 1:
        return reductions.sum(size, axis, keepdims=keepdims)
    if not isinstance(order, int | float | np.number):
        raise ArgumentError(f"norm: unknown order {order!r} for vectors")
    return norm_p.function(x, float(order), axis, keepdims)


def _matrix_norm(x: Any, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    row, column = (normalize_axis_index(a, x.ndim) for a in axes)
    if tracked(order):
        raise NotDifferentiableError("norm: the order of a matrix norm has no gradient; pass a number")
    order = _plain_order(order)
    if order in (None, "fro", "f"):
        return norm2.function(x, (row, column), keepdims)
    if order in ("nuc", 2, -2):
        values = svdvals(np.moveaxis(x, (row, column), (-2, -1)))
        steps: dict[Any, Any] = {"nuc": reductions.sum, 2: _largest, -2: reductions.min}
        result = steps[order](values, axis=-1)
    elif order in (1, -1, np.inf, -np.inf):
        inner, outer = (row, column) if abs(order) == 1 else (column, row)
        sums = reductions.sum(np.abs(x), axis=inner, keepdims=True)
        result = (_largest if order > 0 else reductions.min)(sums, axis=outer, keepdims=True)
        return result if keepdims else shaping.squeeze(result, (row, column))
    else:
        raise ArgumentError(f"norm: unknown order {order!r} for matrices")
    return shaping.expand_dims(result, tuple(sorted((row, column)))) if keepdims else result


@dispatch.implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Differentiable ``numpy.linalg.norm``, all orders; the gradient of the Euclidean norm at 0 is 0 (docs/kinks.md).

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> x = autodiff.tensor([3.0, 4.0], requires_grad=True)
    >>> np.linalg.norm(x).backward()
    >>> x.grad
    array([0.6, 0.8])
    """
    t = _floats(x)
    if axis is None and ord is None:
        return norm2.function(t.reshape(-1), None, False) if not keepdims else norm2.function(t, None, True)
    axes = axes_of(axis, t.ndim)
    if len(axes) == 1:
        return _vector_norm(t, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix_norm(t, ord, axes, keepdims)
    raise ArgumentError(f"norm: order {ord!r} needs one or two axes, got {axes}")


@dispatch.implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Differentiable ``numpy.linalg.vector_norm``."""
    t = _floats(x)
    if isinstance(axis, int | np.integer) or (not tracked(ord) and ord == 2):
        return _vector_norm(t, ord, reductions._axis(axis), keepdims)
    axes = axes_of(axis, t.ndim)
    rest = tuple(i for i in range(t.ndim) if i not in axes)
    flat = t.transpose(*rest, *axes).reshape(*(t.shape[i] for i in rest), math.prod(t.shape[i] for i in axes))
    result = _vector_norm(flat, ord, -1, False)
    return shaping.expand_dims(result, axes) if keepdims else result


@dispatch.implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Differentiable ``numpy.linalg.matrix_norm``."""
    return _matrix_norm(_tensor(x), ord, (-2, -1), keepdims)


@dispatch.implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """Differentiable ``numpy.linalg.cond``."""
    t = _tensor(x)
    if p is None or p in (2, -2):
        values = svdvals(t)
        largest, smallest = reductions.max(values, axis=-1), reductions.min(values, axis=-1)
        return smallest / largest if p == -2 else largest / smallest
    return _matrix_norm(t, p, (-2, -1), False) * _matrix_norm(inv.function(t), p, (-2, -1), False)


@dispatch.implements(np.linalg.matmul)
def linalg_matmul(x1: Any, x2: Any, /) -> Any:
    """Differentiable ``numpy.linalg.matmul``."""
    return matmul.function(x1, x2)


@dispatch.implements(np.vecdot, np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Differentiable ``numpy.vecdot``: sums of products along an axis, the first argument conjugated."""
    left, right = _tensor(x1), _tensor(x2)
    n, m = (t.shape[normalize_axis_index(axis, t.ndim)] for t in (left, right))
    if n != m:
        raise ShapeError(f"vecdot: vectors of lengths {n} and {m}, of shapes {left.shape} and {right.shape}")
    if axis != -1:
        left, right = shaping.moveaxis(left, axis, -1), shaping.moveaxis(right, axis, -1)
    products = _c(left) * right
    return reductions.sum(products, axis=-1, dtype=products.dtype if products.dtype.kind in "biu" else None)


@dispatch.implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """Differentiable ``numpy.vdot`` of the flattened arguments, the first conjugated."""
    return matmul.function(_c(_tensor(a).reshape(-1)), _tensor(b).reshape(-1))


@dispatch.implements(*(f for f in (getattr(np, "matvec", None),) if f is not None))
def matvec(x1: Any, x2: Any, /) -> Any:
    """Differentiable ``numpy.matvec``: matrices times vectors, batched."""
    return matmul.function(x1, _tensor(x2)[..., None])[..., 0]


@dispatch.implements(*(f for f in (getattr(np, "vecmat", None),) if f is not None))
def vecmat(x1: Any, x2: Any, /) -> Any:
    """Differentiable ``numpy.vecmat``: conjugated vectors times matrices, batched."""
    return matmul.function(_c(_tensor(x1))[..., None, :], x2)[..., 0, :]


@dispatch.implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Differentiable ``numpy.kron``."""
    x, y = _tensor(a), _tensor(b)
    ndim = max(x.ndim, y.ndim)
    x, y = x.reshape((1,) * (ndim - x.ndim) + x.shape), y.reshape((1,) * (ndim - y.ndim) + y.shape)
    spaced_x = tuple(n for side in x.shape for n in (side, 1))
    spaced_y = tuple(n for side in y.shape for n in (1, side))
    return (x.reshape(spaced_x) * y.reshape(spaced_y)).reshape(
        tuple(n * m for n, m in zip(x.shape, y.shape, strict=True))
    )


@dispatch.implements(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """Differentiable ``numpy.cross`` of vectors of length three."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = np.moveaxis(_tensor(a), axisa, -1), np.moveaxis(_tensor(b), axisb, -1)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise ShapeError(f"cross: needs vectors of length 3, got {x.shape[-1]} and {y.shape[-1]}")
    x0, x1, x2 = (x[..., i] for i in range(3))
    y0, y1, y2 = (y[..., i] for i in range(3))
    return np.moveaxis(shaping.stack([x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0], axis=-1), -1, axisc)


@dispatch.implements(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Differentiable ``numpy.linalg.cross``."""
    return cross(x1, x2, axis=axis)
