"""Linear algebra: numpy.linalg, every function differentiable that has a derivative.

Formulas: Giles 2008 (inverse, determinant, solve, Cholesky), Townsend 2016 (SVD), Walter and Lehmann 2010 (QR), Boeddeker et al. 2017
(eigenvectors), Golub and Pereyra 1973 (pseudoinverse). Cholesky, eigh and eigvalsh are functions of the symmetric part of their argument, so their
gradients are symmetric. At equal eigenvalues or singular values first-order gradients of functions of the values are right; a result that
depends on the vectors there, in first or second order, is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.ops import elementwise, reductions, shaping
from autodiff.ops.common import bare, expand_reduced, quotient
from autodiff.ops.products import matmul
from autodiff.ops.shaping import _tensor
from autodiff.primitive import Primitive

P = Primitive


def _t(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _h(x: Any) -> Any:
    return np.conjugate(_t(x)) if bare(x).dtype.kind == "c" else _t(x)


def _symmetric(x: Any) -> Any:
    return (x + _h(x)) / 2


def _eye(x: Any) -> Any:
    return np.eye(x.shape[-1])


def _column(x: Any) -> Any:
    return x[..., None]


def _square(draw: Any, batch: bool = True) -> Any:
    """Well-conditioned square matrices with separated entries."""
    n = draw.integer(1, 3)
    lead = draw.shape(max_ndim=1, max_side=2) if batch else ()
    return draw.array((*lead, n, n), -1.0, 1.0, distinct=True) + 2.5 * np.diag(np.arange(1.0, n + 1))


def _positive(draw: Any) -> Any:
    a = _square(draw)
    return a @ np.swapaxes(a, -1, -2) + np.eye(a.shape[-1])


inv = P(
    "inv", lambda x: np.linalg.inv(x), lambda g, out, x: -np.matmul(np.matmul(_t(out), g), _t(out)), numpy=np.linalg.inv,
    sample=lambda draw: ((_square(draw),), {}), label="inv",
)  # fmt: skip


def _det_rule(g: Any, out: Any, x: Any) -> Any:
    if np.count_nonzero(bare(out)) == np.size(bare(out)):
        return (g * out)[..., None, None] * _t(np.linalg.inv(x))
    # A singular matrix: the cofactors from the SVD, A = U S V^T, cof(A) = det(U) det(V) U diag(prod of the other s) V^T.
    u, s, vh = np.linalg.svd(x)
    sign = np.linalg.det(bare(u)) * np.linalg.det(bare(vh))
    return (g * sign)[..., None, None] * np.matmul(u * reductions._others_product(s, -1)[..., None, :], vh)


det = P("det", lambda x: np.linalg.det(x), _det_rule, numpy=np.linalg.det, sample=lambda draw: ((_square(draw),), {}))
logabsdet = P(
    "logabsdet", lambda x: np.linalg.slogdet(x)[1], lambda g, out, x: g[..., None, None] * _t(np.linalg.inv(x)),
    sample=lambda draw: ((_square(draw),), {}), label="log|det|",
)  # fmt: skip


@dispatch.implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """Differentiable ``numpy.linalg.slogdet``: sign (a constant) and logarithm of the absolute determinant, of real matrices.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> sign, logdet = np.linalg.slogdet(autodiff.tensor(np.eye(2) * 3.0, requires_grad=True))
    >>> round(logdet.item(), 6)
    2.197225
    """
    x = _tensor(a)
    result = np.linalg.slogdet(x.data)
    if x.dtype.kind == "c" and x.requires_grad:
        raise NotDifferentiableError("np.linalg.slogdet of a complex matrix: its sign is not constant; use np.linalg.det")
    return type(result)(_tensor(result.sign), logabsdet.function(x))


def _solve(a: Any, b: Any) -> Any:
    return np.linalg.solve(a, b)


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


solve = P("solve", _solve, _solve_a, _solve_b, numpy=np.linalg.solve, sample=_sample_solve)


def _cholesky_rule(g: Any, out: Any, x: Any) -> Any:
    # dA = L^-T phi(L^T dL) L^-1, symmetrised; phi takes the lower triangle and half the diagonal.
    phi = np.tril(np.matmul(_h(out), g))
    phi = phi - 0.5 * phi * _eye(out)
    inverse = np.linalg.inv(out)
    return _symmetric(np.matmul(np.matmul(_h(inverse), phi), inverse))


cholesky_ = P("cholesky", lambda x: np.linalg.cholesky(_symmetric(x)), _cholesky_rule, sample=lambda draw: ((_positive(draw),), {}))


@dispatch.implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """Differentiable ``numpy.linalg.cholesky`` of the symmetric part of ``a``.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> np.linalg.cholesky(autodiff.tensor([[4.0]], requires_grad=True)).item()
    2.0
    """
    factor = cholesky_.function(a)
    return _h(factor) if upper else factor


# --- eigenvalues, singular values -----------------------------------------------------------------------------------------


def _inverse_gaps(values: Any) -> Any:
    """1 / (v_j - v_i), 0 where the two are equal to rounding: (..., n, n)."""
    plain = bare(values)
    size = np.max(np.abs(plain), axis=-1, keepdims=True)[..., None] if plain.size else np.zeros((*plain.shape, 1))
    gap = values[..., None, :] - values[..., :, None]
    same = np.abs(bare(gap)) <= 8 * np.finfo(plain.dtype).eps * plain.shape[-1] * size
    return np.where(same, 0, 1 / np.where(same, 1, gap))


def _refuse_inside_blocks(name: str, values: Any, *along: Any) -> None:
    """Refuse cotangents of vectors within a block of equal values: the limit that is wanted there cannot be had from them."""
    same = (bare(_inverse_gaps(values)) == 0) & ~np.eye(values.shape[-1], dtype=bool)
    for part in along:
        plain = bare(part)
        if np.any(same & (np.abs(plain) > 1e-12 * np.max(np.abs(plain), axis=(-2, -1), keepdims=True, initial=0.0))):
            raise NotDifferentiableError(
                f"{name}: two values are equal and the result (or its second derivative) depends on their vectors, which are arbitrary "
                "there; use functions of the values alone, or of the matrix itself (np.linalg.matrix_power, autodiff.linalg.expm)"
            )


def _eigh_rule(g: Any, out: Any, x: Any) -> Any:
    (gw, gv), (w, v) = g, out
    turned = np.matmul(_h(v), gv)
    _refuse_inside_blocks("eigh", w, turned)
    middle = _inverse_gaps(w) * turned + gw[..., None, :] * _eye(v)
    return _symmetric(np.matmul(np.matmul(v, middle), _h(v)))


def _eigh(x: Any) -> tuple[Any, Any]:
    w, v = np.linalg.eigh(_symmetric(x))
    return w, v


eigh_ = P("eigh", _eigh, _eigh_rule, sample=lambda draw: ((_square(draw),), {}))


@dispatch.implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Differentiable ``numpy.linalg.eigh`` of the symmetric part of ``a`` (``UPLO`` is of no account)."""
    w, v = eigh_.function(a)
    return type(np.linalg.eigh(np.eye(1)))(w, v)


@dispatch.implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Differentiable ``numpy.linalg.eigvalsh`` of the symmetric part of ``a``."""
    return eigh_.function(a)[0]


def _eig(x: Any) -> tuple[Any, Any]:
    w, v = np.linalg.eig(x)
    return w, v


def _eig_rule(g: Any, out: Any, x: Any) -> Any:
    # With columns of unit length, phase as LAPACK leaves it; the second part keeps that length.
    (gw, gv), (w, v) = g, out
    vt = _t(v)
    gaps = _inverse_gaps(w)
    along = np.matmul(vt, gv)
    _refuse_inside_blocks("eig", w, along)
    turning = np.abs(np.imag(bare(along)) * np.eye(v.shape[-1])) if bare(along).dtype.kind == "c" else np.zeros(1)
    if np.max(turning, initial=0.0) > 1e-6 * np.max(np.abs(bare(along)), initial=0.0):
        raise NotDifferentiableError(
            "eig: the result depends on the phase of complex eigenvectors, which is arbitrary; use what does not change when an "
            "eigenvector is multiplied by exp(i phi), such as absolute values, or the eigenvalues alone"
        )
    first = gaps * along
    second = -gaps * np.matmul(np.matmul(vt, np.conjugate(v)), np.real(along) * _eye(v))
    return np.matmul(np.matmul(np.linalg.inv(vt), gw[..., None, :] * _eye(v) + first + second), vt)


def _sample_eig(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # Real and separate eigenvalues by Gershgorin's circles.
    a = _square(draw)
    return (np.where(np.eye(a.shape[-1]) == 1, a, 0.3 * a),), {}


eig_ = P("eig", _eig, _eig_rule, sample=_sample_eig)


@dispatch.implements(np.linalg.eig)
def eig(a: Any) -> Any:
    """Differentiable ``numpy.linalg.eig``; eigenvalues and vectors may be complex (docs/complex.md)."""
    w, v = eig_.function(a)
    return type(np.linalg.eig(np.eye(1)))(w, v)


@dispatch.implements(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """Differentiable ``numpy.linalg.eigvals``."""
    return eig_.function(a)[0]


def _svd(x: Any) -> tuple[Any, Any, Any]:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return u, s, vh


def _svd_rule(g: Any, out: Any, x: Any) -> Any:
    # Townsend 2016, with F_ij = 1 / (s_j^2 - s_i^2) and the parts outside the column and row space last.
    (gu, gs, gvh), (u, s, vh) = g, out
    v, gv = _t(vh), _t(gvh)
    gaps = _inverse_gaps(s * s)
    _refuse_inside_blocks("svd", s * s, np.matmul(_t(u), gu), np.matmul(_t(v), gv))
    from_u = gaps * (np.matmul(_t(u), gu) - np.matmul(_t(gu), u))
    from_v = gaps * (np.matmul(_t(v), gv) - np.matmul(_t(gv), v))
    middle = from_u * s[..., None, :] + s[..., :, None] * from_v + gs[..., None, :] * np.eye(s.shape[-1])
    result = np.matmul(np.matmul(u, middle), vh)
    m, n = x.shape[-2:]
    if m > n:
        outside = quotient(gu - np.matmul(u, np.matmul(_t(u), gu)), np.broadcast_to(s[..., None, :], gu.shape))
        result = result + np.matmul(outside, vh)
    elif n > m:
        outside = quotient(gv - np.matmul(v, np.matmul(_t(v), gv)), np.broadcast_to(s[..., None, :], gv.shape))
        result = result + np.matmul(u, _t(outside))
    return result


def _sample_svd(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    m, n = draw.integer(1, 3), draw.integer(1, 3)
    a = draw.array((m, n), -1.0, 1.0, distinct=True)
    a[np.arange(min(m, n)), np.arange(min(m, n))] += 2.0 * np.arange(1, min(m, n) + 1)
    return (a,), {}


svd_ = P("svd", _svd, _svd_rule, sample=_sample_svd)


@dispatch.implements(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Differentiable ``numpy.linalg.svd`` of real matrices; ``full_matrices=True`` of square ones only.

    Raises
    ------
    NotDifferentiableError
        For complex matrices, and for full matrices of a non-square one, whose further columns are arbitrary.
    """
    x = _tensor(a)
    if x.requires_grad and x.dtype.kind == "c":
        raise NotDifferentiableError("np.linalg.svd of a complex matrix has no gradient here; use np.linalg.eigh(a.conj().T @ a)")
    if not compute_uv:
        return svd_.function(x)[1]
    if full_matrices and x.shape[-1] != x.shape[-2]:
        if x.requires_grad:
            raise NotDifferentiableError("np.linalg.svd(full_matrices=True) of a non-square matrix is arbitrary; pass full_matrices=False")
        return type(np.linalg.svd(np.eye(1)))(*(_tensor(part) for part in np.linalg.svd(x.data)))
    return type(np.linalg.svd(np.eye(1)))(*svd_.function(x))


@dispatch.implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """Differentiable ``numpy.linalg.svdvals``."""
    return svd(x, compute_uv=False)


def _qr_rule(g: Any, out: Any, x: Any) -> Any:
    (gq, gr), (q, r) = g, out
    m = np.matmul(r, _t(gr)) - np.matmul(_t(gq), q)
    low = np.tril(m, -1)
    both = low + _t(low) + m * _eye(m)
    return _t(np.linalg.solve(r, _t(gq + np.matmul(q, both))))


def _qr(x: Any) -> tuple[Any, Any]:
    q, r = np.linalg.qr(x)
    return q, r


def _sample_qr(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    (a,), kwargs = _sample_svd(draw)
    return (a if a.shape[0] >= a.shape[1] else a.T.copy(),), kwargs


qr_ = P("qr", _qr, _qr_rule, sample=_sample_qr)


@dispatch.implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """Differentiable ``numpy.linalg.qr`` in the modes "reduced" and "r".

    Raises
    ------
    NotDifferentiableError
        For the other modes.
    """
    if mode not in ("reduced", "r"):
        raise NotDifferentiableError(f"np.linalg.qr(mode={mode!r}) has no gradient here; use mode='reduced' or 'r'")
    x = _tensor(a)
    m, n = x.shape[-2:]
    if m >= n:
        q, r = qr_.function(x)
    else:
        # Q comes from the first m columns; the others follow, R2 = Q^T A2.
        q, left = qr_.function(x[..., :m])
        r = shaping.concatenate([left, matmul.function(_h(q), x[..., m:])], axis=-1)
    return r if mode == "r" else type(np.linalg.qr(np.eye(1)))(q, r)


def _pinv_rule(g: Any, out: Any, x: Any) -> Any:
    pt, gt = _t(out), _t(g)
    first = -np.matmul(np.matmul(pt, g), pt)
    second = np.matmul(gt - np.matmul(x, np.matmul(out, gt)), np.matmul(out, pt))
    third = np.matmul(np.matmul(pt, out), gt - np.matmul(np.matmul(gt, out), x))
    return first + second + third


pinv_ = P("pinv", lambda x: np.linalg.pinv(x), _pinv_rule, sample=_sample_svd)


@dispatch.implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, **kwargs: Any) -> Any:
    """Differentiable ``numpy.linalg.pinv`` of real matrices, where the rank does not change."""
    if rcond is not None or kwargs:
        raise NotDifferentiableError("np.linalg.pinv with a cut-off is a step function of it; leave rcond and rtol out")
    return pinv_.function(a)


# --- composed of the above --------------------------------------------------------------------------------------------------


@dispatch.implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Any, Any, Any, Any]:
    """Differentiable ``numpy.linalg.lstsq``: solution, residuals, rank (a constant) and singular values."""
    x, y = _tensor(a), _tensor(b)
    solution = matmul.function(pinv_.function(x), y)
    rank = int(np.linalg.matrix_rank(x.data))
    if rank == x.shape[1] and x.shape[0] > x.shape[1]:
        gap = y - matmul.function(x, solution)
        residuals = (gap * gap).sum(axis=0)
        residuals = residuals.reshape(1) if residuals.ndim == 0 else residuals
    else:
        residuals = _tensor(np.zeros(0))
    return solution, residuals, rank, svdvals(x)


@dispatch.implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """Differentiable ``numpy.linalg.matrix_power``, by repeated squaring."""
    x = _tensor(a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"matrix_power: needs square matrices, got shape {x.shape}")
    if n == 0:
        return x * 0 + np.eye(x.shape[-1])
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
    shaping._no_out("linalg.multi_dot", out)
    parts = [_tensor(a) for a in arrays]
    if len(parts) < 2:
        raise ArgumentError("multi_dot: needs two arrays at least")
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
    return solve.function(x.reshape(-1, size), y.reshape(-1)).reshape(shape)


@dispatch.implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """Differentiable ``numpy.linalg.tensorinv``."""
    x = _tensor(a)
    rows = int(np.prod(x.shape[:ind], dtype=int))
    return inv.function(x.reshape(rows, -1)).reshape(*x.shape[ind:], *x.shape[:ind])


def _norm2(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    # Scaled by the largest entry, so that squares neither overflow nor vanish.
    size = np.max(np.abs(x), axis=axis, keepdims=True, initial=0.0)
    safe = np.where((size == 0) | ~np.isfinite(size), 1, size)
    total = np.sqrt(np.sum(np.square(np.abs(x / safe)), axis=axis, keepdims=True)) * safe
    return total if keepdims else np.squeeze(total, axis=axis)


def _norm2_rule(g: Any, out: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    # x / |x|, and 0 at the origin: the smallest subgradient.
    length = np.broadcast_to(expand_reduced(out, axis, keepdims), x.shape)
    direction = np.conjugate(x) if bare(x).dtype.kind == "c" else x
    return np.broadcast_to(expand_reduced(g, axis, keepdims), x.shape) * quotient(direction, length)


def _sample_norm(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=1)
    return (draw.array(shape, 0.3, 2.0),), {"axis": draw.choice((None, draw.axis(len(shape)))), "keepdims": draw.boolean()}


norm2 = P("norm2", _norm2, _norm2_rule, sample=_sample_norm, label="‖ ‖")


def _vector_norm(x: Any, order: Any, axis: Any, keepdims: bool) -> Any:
    if order is None or order == 2:
        return norm2.function(x, axis, keepdims)
    size = np.abs(x)
    if order == np.inf:
        return reductions.max(size, axis, keepdims=keepdims)
    if order == -np.inf:
        return reductions.min(size, axis, keepdims=keepdims)
    if order == 0:
        return reductions.sum((bare(x) != 0).astype(size.dtype), axis, keepdims=keepdims)
    if order == 1:
        return reductions.sum(size, axis, keepdims=keepdims)
    if not isinstance(order, int | float | np.number):
        raise ArgumentError(f"norm: unknown order {order!r} for vectors")
    return reductions.sum(size**order, axis, keepdims=keepdims) ** (1.0 / order)


def _matrix_norm(x: Any, order: Any, axes: tuple[int, int], keepdims: bool) -> Any:
    row, column = (a % x.ndim for a in axes)
    if order in (None, "fro", "f"):
        return norm2.function(x, (row, column), keepdims)
    if order in ("nuc", 2, -2):
        values = svdvals(np.moveaxis(x, (row, column), (-2, -1)))
        steps: dict[Any, Any] = {"nuc": reductions.sum, 2: reductions.max, -2: reductions.min}
        result = steps[order](values, axis=-1)
    elif order in (1, -1, np.inf, -np.inf):
        inner, outer = (row, column) if abs(order) == 1 else (column, row)
        sums = reductions.sum(np.abs(x), axis=inner, keepdims=True)
        result = (reductions.max if order > 0 else reductions.min)(sums, axis=outer, keepdims=True)
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
    t = _tensor(x)
    if t.dtype.kind not in "fc":
        t = t.astype(float)
    if axis is None:
        if ord is None:
            return norm2.function(t.reshape(-1), None, False) if not keepdims else norm2.function(t, None, True)
        axis = tuple(range(t.ndim))
    axes = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    if len(axes) == 1:
        return _vector_norm(t, ord, int(axes[0]), keepdims)
    if len(axes) == 2:
        return _matrix_norm(t, ord, (int(axes[0]), int(axes[1])), keepdims)
    raise ArgumentError(f"norm: order {ord!r} needs one or two axes, got {axes}")


@dispatch.implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Differentiable ``numpy.linalg.vector_norm``."""
    t = _tensor(x)
    if isinstance(axis, int | np.integer) or ord == 2:
        return _vector_norm(t, ord, reductions._axis(axis), keepdims)
    axes = tuple(range(t.ndim)) if axis is None else tuple(a % t.ndim for a in axis)
    rest = tuple(i for i in range(t.ndim) if i not in axes)
    flat = t.transpose(*rest, *axes).reshape(*(t.shape[i] for i in rest), -1)
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
    left = _tensor(x1)
    return reductions.sum(_conjugated(left) * x2, axis=axis)


def _conjugated(x: Any) -> Any:
    return elementwise.conjugate.function(x) if x.dtype.kind == "c" else x


@dispatch.implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """Differentiable ``numpy.vdot`` of the flattened arguments, the first conjugated."""
    return matmul.function(_conjugated(_tensor(a).reshape(-1)), _tensor(b).reshape(-1))


@dispatch.implements(*(f for f in (getattr(np, "matvec", None),) if f is not None))
def matvec(x1: Any, x2: Any, /) -> Any:
    """Differentiable ``numpy.matvec``: matrices times vectors, batched."""
    return matmul.function(x1, _tensor(x2)[..., None])[..., 0]


@dispatch.implements(*(f for f in (getattr(np, "vecmat", None),) if f is not None))
def vecmat(x1: Any, x2: Any, /) -> Any:
    """Differentiable ``numpy.vecmat``: conjugated vectors times matrices, batched."""
    return matmul.function(_conjugated(_tensor(x1))[..., None, :], x2)[..., 0, :]


@dispatch.implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Differentiable ``numpy.kron``."""
    x, y = _tensor(a), _tensor(b)
    ndim = max(x.ndim, y.ndim)
    x, y = x.reshape((1,) * (ndim - x.ndim) + x.shape), y.reshape((1,) * (ndim - y.ndim) + y.shape)
    spaced_x = tuple(n for side in x.shape for n in (side, 1))
    spaced_y = tuple(n for side in y.shape for n in (1, side))
    return (x.reshape(spaced_x) * y.reshape(spaced_y)).reshape(tuple(n * m for n, m in zip(x.shape, y.shape, strict=True)))


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


