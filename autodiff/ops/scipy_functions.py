"""Functions of scipy.linalg that offer no protocol, under names of ours: ``autodiff.linalg.expm`` and its kin.

SciPy is imported when one of them is called. Formulas: Van Loan 1978 (the derivative of the matrix exponential as a
block of a larger one), Sylvester's equation for the square root.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, ShapeError, SingularMatrixError
from autodiff.core.op import Primitive
from autodiff.extras import require
from autodiff.ops import linalg, rearranging
from autodiff.ops.common import bare
from autodiff.ops.shaping import _floats
from autodiff.ops.spectral import _h, _t
from autodiff.ops.stable import of


def _expm_rule(g: Any, out: Any, x: Any) -> Any:
    # exp([[A', G], [0, A']]) holds the adjoint derivative in its upper right block (Van Loan 1978).
    # G is brought to the size of one by a power of two, so that it neither drives the scaling nor drowns.
    n = x.shape[-1]
    xt = _t(x)
    largest = float(np.max(np.abs(bare(g)), initial=0.0))
    unit = 2.0 ** np.frexp(largest)[1] if np.isfinite(largest) and largest else 1.0
    big = np.concatenate([np.concatenate([xt, g / unit], axis=-1), np.concatenate([xt * 0, xt], axis=-1)], axis=-2)
    return of(expm_, big)[..., :n, n:] * unit


def _scaled(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n = draw.integer(1, 3)
    return (draw.array((n, n), -1.0, 1.0),), {}


def _in_lapack_dtype(x: Any) -> Any:
    """LAPACK computes in float32 and float64 and their complex kin, as the machine reads them."""
    own = x.dtype.newbyteorder("=")
    return np.require(x, {"e": np.float32, "g": np.float64, "G": np.complex128}.get(x.dtype.char, own), "A")


def _expm(x: Any) -> Any:
    linalg.needs_square("expm", x)
    return require("scipy.linalg").expm(np.ascontiguousarray(_in_lapack_dtype(x)))


def _sqrtm(x: Any) -> Any:
    linalg.needs_square("sqrtm", x)
    # SciPy before 1.14 returns complex numbers in a precision that LAPACK does not have.
    return _in_lapack_dtype(require("scipy.linalg").sqrtm(_in_lapack_dtype(x)))


def _expm_tangent(t: Any, out: Any, x: Any) -> Any:
    # exp([[A, T], [0, A]]) holds the derivative along T in its upper right block.
    return _expm_rule(t, out, _t(x))


expm_: Primitive = Primitive("expm", _expm, _expm_rule, sample=_scaled, tangent=_expm_tangent)


def expm(A: Any) -> Any:
    """The matrix exponential, as ``scipy.linalg.expm``.

    Parameters
    ----------
    A : (..., n, n)

    Raises
    ------
    MissingExtraError
        If SciPy is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> expm(np.zeros((2, 2))).data
    array([[1., 0.],
           [0., 1.]])
    """
    return expm_.function(A if np.ndim(bare(A)) else np.reshape(A, (1, 1)))


def _sqrtm_rule(g: Any, out: Any, x: Any) -> Any:
    # X X = A, so X dX + dX X = dA; the adjoint solves X' S + S X' = G, written as one linear system.
    n = x.shape[-1]
    eye = np.eye(n)
    system = np.kron(_t(out), eye) + np.kron(eye, out)
    return np.reshape(np.linalg.solve(system, np.reshape(g, (-1,))), (n, n))


def _positive(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n = draw.integer(1, 3)
    a = draw.array((n, n), -0.4, 0.4, distinct=True)
    return (a + 2.0 * np.diag(np.arange(1.0, n + 1)),), {}


sqrtm_ = Primitive("sqrtm", _sqrtm, _sqrtm_rule, sample=_positive, tangent=lambda t, out, x: _sqrtm_rule(t, _t(out), x))


def sqrtm(A: Any) -> Any:
    """The principal square root of one matrix, as ``scipy.linalg.sqrtm``.

    Parameters
    ----------
    A : (n, n)

    Raises
    ------
    ShapeError
        For a stack of matrices.
    MissingExtraError
        If SciPy is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> sqrtm(np.diag([4.0, 9.0])).data
    array([[2., 0.],
           [0., 3.]])
    """
    if np.ndim(bare(A)) != 2:
        raise ShapeError(f"sqrtm: needs one matrix, got shape {np.shape(bare(A))}")
    return sqrtm_.function(A)


def solve_triangular(
    a: Any,
    b: Any,
    trans: int | str = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """Solve with a triangular matrix, of which only the named triangle is read, as ``scipy.linalg.solve_triangular``.

    Parameters
    ----------
    a : (..., n, n)
    b : (n,) or (..., n, k)
    trans : {0, 1, 2, "N", "T", "C"}
        Solve with ``a``, its transpose, or its conjugate transpose.
    lower, unit_diagonal : bool

    Examples
    --------
    >>> import numpy as np
    >>> solve_triangular(np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([2.0, 3.0]), lower=True).data
    array([1., 2.])
    """
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ArgumentError(f"solve_triangular: trans must be 0, 1, 2, 'N', 'T' or 'C', got {trans!r}")
    t = rearranging.tril(a) if lower else rearranging.triu(a)
    if unit_diagonal:
        t = t - rearranging._triangle(t, np.eye(t.shape[-1], dtype=bool)) + np.eye(t.shape[-1], dtype=t.dtype)
    if trans in (1, "T", 2, "C"):
        t = _h(t) if trans in (2, "C") else _t(t)
    return linalg.solve.function(t, b)


#: Gauss's nodes and weights on (0, 1): of a matrix within 1/4 of the identity, log(I + B) is their sum of
#: B (I + t B)^-1 to all digits.
_NODES, _WEIGHTS = (part / 2 for part in np.polynomial.legendre.leggauss(12))


def _in_double(x: Any) -> Any:
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def _logm(x: Any) -> Any:
    """Al-Mohy and Higham 2012: log A = 2^k log R of a root R near the identity, for the triangular factor; SciPy's own
    estimates norms with NumPy's global generator, and loses matrices of small numbers.
    """
    if not x.size:
        return x
    scipy, given = require("scipy.linalg"), _in_double(x)
    triangle, turned = scipy.schur(given, output="complex")
    values, eye = np.diag(triangle), np.eye(len(x))
    if not values.all():
        raise SingularMatrixError("logm: a singular matrix has no logarithm")
    root, factor = triangle, 1.0
    while np.linalg.norm(root - eye, 1) > 0.25:
        root, factor = scipy.sqrtm(root), 2 * factor
    rest = root - eye
    made = sum(w * np.linalg.solve(eye + (0.5 + node) * rest, rest) for node, w in zip(_NODES, _WEIGHTS, strict=True))
    made = factor * (made - np.diag(np.diag(made))) + np.diag(np.log(values))
    found = turned @ made @ np.conjugate(_t(turned))
    if given.dtype.kind != "c" and np.allclose(found.imag, 0, rtol=0, atol=1e-13 * np.max(np.abs(found))):
        return found.real.astype(x.dtype)
    return found.astype(np.result_type(x, np.complex64))


def _logm_rule(g: Any, out: Any, x: Any) -> Any:
    """Al-Mohy, Higham and Relton 2013: log A = 2^k log R of a root R near the identity, and the derivative of each
    square root solves Sylvester's equation.
    """
    if not x.size:
        return g
    root, slope, factor = _t(_in_double(x)), g, 1.0
    eye = np.eye(x.shape[-1])
    while np.linalg.norm(bare(root) - eye, 1) > 0.25:
        root, factor = of(sqrtm_, root), 2 * factor
        if factor > 2.0**40 or not np.all(np.isfinite(bare(root))):
            raise SingularMatrixError("logm: the logarithm of a singular matrix has no derivative")
        slope = of(sylvester_, root, root, slope)
    total: Any = 0.0
    for node, weight in zip((0.5 + _NODES).tolist(), _WEIGHTS.tolist(), strict=True):
        inverse = np.linalg.inv(eye + node * (root - eye))
        total = total + weight * factor * np.matmul(np.matmul(inverse, slope), inverse)
    return total


logm_ = Primitive("logm", _logm, _logm_rule, sample=_positive, tangent=lambda t, out, x: _logm_rule(t, out, _t(x)))


def logm(A: Any) -> Any:
    """The principal logarithm of one matrix, as ``scipy.linalg.logm``.

    Parameters
    ----------
    A : (n, n)

    Raises
    ------
    ShapeError
        For a stack of matrices, or one that is not square.
    SingularMatrixError
        For a singular matrix.
    MissingExtraError
        If SciPy is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> logm(np.eye(2) * np.exp(3.0)).data
    array([[3., 0.],
           [0., 3.]])
    """
    linalg.needs_square("logm", bare(A))
    if np.ndim(bare(A)) != 2:
        raise ShapeError(f"logm: needs one matrix, got shape {np.shape(bare(A))}")
    return logm_.function(_floats(A))


def _unitary(x: Any) -> Any:
    u, _, vh = np.linalg.svd(_in_lapack_dtype(x), full_matrices=False)
    return np.matmul(u, vh).astype(x.dtype)


def _unitary_slope(t: Any, u: Any, x: Any) -> Any:
    """``dU = U W + (I - U U') dA P^-1``, where ``W P + P W = U' dA - dA' U`` (Higham 2008, chapter 8)."""
    if x.shape[0] < x.shape[1]:
        return _h(_unitary_slope(_h(t), _h(u), _h(x)))
    u, x = _in_double(u), _in_double(x)
    p = np.matmul(_h(u), x)
    p = 0.5 * (p + _h(p))
    sizes = np.linalg.eigvalsh(bare(p))
    if sizes.size and not sizes[0] > sizes.size * np.finfo(sizes.dtype).eps * sizes[-1]:
        raise SingularMatrixError("polar: the factor of a matrix that has not full rank has no derivative")
    inner = np.matmul(_h(u), t)
    along = np.matmul(u, of(sylvester_, p, p, inner - _h(inner)))
    if x.shape[0] == x.shape[1]:
        return along
    return along + np.matmul(t - np.matmul(u, inner), np.linalg.inv(p))


unitary_ = Primitive(
    "polar_unitary",
    _unitary,
    # The map is its own adjoint, up to the convention for cotangents.
    lambda g, out, x: np.conjugate(_unitary_slope(np.conjugate(g), out, x)),
    tangent=lambda t, out, x: _unitary_slope(t, out, x),
    sample=_positive,
)


def polar(a: Any, side: str = "right") -> tuple[Any, Any]:
    """The polar decomposition, as ``scipy.linalg.polar``: ``a = u p`` (right) or ``a = p u`` (left).

    Parameters
    ----------
    a : (m, n)
    side : {"right", "left"}

    Returns
    -------
    u : Tensor (m, n)
        With orthonormal columns (or rows, if m < n).
    p : Tensor (n, n) or (m, m)
        Hermitian, positive semidefinite.

    Raises
    ------
    SingularMatrixError
        If a derivative is asked for and ``a`` has not full rank.

    Examples
    --------
    >>> import numpy as np
    >>> u, p = polar(np.array([[0.0, -2.0], [3.0, 0.0]]))
    >>> p.data
    array([[3., 0.],
           [0., 2.]])
    """
    if side not in ("right", "left"):
        raise ArgumentError(f"polar: side must be 'right' or 'left', got {side!r}")
    if np.ndim(bare(a)) != 2:
        raise ShapeError(f"polar: needs one matrix, got shape {np.shape(bare(a))}")
    a = _floats(a)
    u = unitary_.function(a)
    p = np.matmul(_h(u), a) if side == "right" else np.matmul(a, _h(u))
    return u, 0.5 * (p + _h(p))


def _sylvester(a: Any, b: Any, q: Any) -> Any:
    linalg.needs_square("solve_sylvester", a)
    linalg.needs_square("solve_sylvester", b)
    return require("scipy.linalg").solve_sylvester(*(_in_lapack_dtype(part) for part in (a, b, q)))


def _sylvester_adjoint(g: Any, a: Any, b: Any) -> Any:
    # A X + X B = Q is linear in X; the adjoint solves A' S + S B' = G.
    return of(sylvester_, _t(a), _t(b), g)


def _sample_sylvester(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    (a,), _ = _positive(draw)
    (b,), _ = _positive(draw)
    return (a, b, draw.array((a.shape[0], b.shape[0]))), {}


sylvester_: Primitive = Primitive(
    "solve_sylvester",
    _sylvester,
    lambda g, out, a, b, q: -np.matmul(_sylvester_adjoint(g, a, b), _t(out)),
    lambda g, out, a, b, q: -np.matmul(_t(out), _sylvester_adjoint(g, a, b)),
    lambda g, out, a, b, q: _sylvester_adjoint(g, a, b),
    # a dX + dX b = dq - da X - X db
    tangent=(
        lambda t, out, a, b, q: _sylvester_adjoint(-np.matmul(t, out), _t(a), _t(b)),
        lambda t, out, a, b, q: _sylvester_adjoint(-np.matmul(out, t), _t(a), _t(b)),
        "linear",
    ),
    sample=_sample_sylvester,
)


def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """The matrix X with ``a X + X b = q``, as ``scipy.linalg.solve_sylvester``.

    Parameters
    ----------
    a : (m, m)
    b : (n, n)
    q : (m, n)

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    MissingExtraError
        If SciPy is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> solve_sylvester(np.eye(2), np.eye(2), np.eye(2) * 4.0).data
    array([[2., 0.],
           [0., 2.]])
    """
    shapes = [np.shape(bare(part)) for part in (a, b, q)]
    if any(len(s) != 2 for s in shapes) or shapes[0] != (shapes[2][0],) * 2 or shapes[1] != (shapes[2][1],) * 2:
        raise ShapeError(f"solve_sylvester: needs shapes (m, m), (n, n) and (m, n), got {', '.join(map(str, shapes))}")
    return sylvester_.function(a, b, q)


def _diagonals(lower: int, upper: int, n: int) -> list[tuple[int, slice, slice]]:
    """(k, rows, columns) of every diagonal ``a[i, i + k]`` of a banded matrix, from the uppermost down: the order of
    LAPACK's storage.
    """
    return [
        (k, slice(min(max(-k, 0), n), max(n - max(k, 0), 0)), slice(min(max(k, 0), n), max(n + min(k, 0), 0)))
        for k in range(upper, -lower - 1, -1)
    ]


def _banded(ab: Any, b: Any, lower: int, upper: int) -> Any:
    return require("scipy.linalg").solve_banded((lower, upper), _in_lapack_dtype(ab), _in_lapack_dtype(b))


def _padded(part: Any, columns: slice, n: int) -> Any:
    """A diagonal at its place in a row of LAPACK's storage."""
    return np.concatenate([np.zeros(columns.start), part, np.zeros(n - columns.stop)])


def _banded_adjoint(g: Any, ab: Any, lower: int, upper: int) -> Any:
    n = ab.shape[1]
    rows = dict(zip((k for k, _, _ in _diagonals(lower, upper, n)), range(lower + upper + 1), strict=True))
    # The transpose's diagonal k is the matrix's diagonal -k.
    turned = np.stack([_padded(ab[rows[-k]][rows_], columns, n) for k, rows_, columns in _diagonals(upper, lower, n)])
    return of(banded_, turned, g, upper, lower)


def _banded_rule(g: Any, out: Any, ab: Any, b: Any, lower: int, upper: int) -> Any:
    # A x = b, so dA = -(A^-T g) x^T, of which the diagonals within the band are wanted.
    s, n = _banded_adjoint(g, ab, lower, upper), ab.shape[1]
    products = []
    for _, rows, columns in _diagonals(lower, upper, n):
        product = s[rows] * out[columns]
        products.append(_padded(-(np.sum(product, axis=1) if product.ndim == 2 else product), columns, n))
    return np.stack(products)


def _banded_tangent(t: Any, out: Any, ab: Any, b: Any, lower: int, upper: int) -> Any:
    # A dx = -dA x; row i of dA x is the sum over its diagonals.
    n = ab.shape[1]
    total: Any = 0.0
    for row, (_, rows, columns) in enumerate(_diagonals(lower, upper, n)):
        band = t[row][columns]
        part = -(band * out[columns] if out.ndim == 1 else band[:, None] * out[columns])
        edges = [np.zeros((k, *part.shape[1:])) for k in (rows.start, n - rows.stop)]
        total = total + np.concatenate([edges[0], part, edges[1]])
    return of(banded_, ab, total, lower, upper)


def _sample_banded(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n, lower, upper = draw.integer(3, 4), draw.integer(0, 2), draw.integer(0, 2)
    ab = draw.array((lower + upper + 1, n), -0.5, 0.5, distinct=True)
    ab[upper] += 3.0
    return (ab, draw.array((n,) if draw.boolean() else (n, 2)), lower, upper), {}


banded_: Primitive = Primitive(
    "solve_banded",
    _banded,
    _banded_rule,
    lambda g, out, ab, b, lower, upper: _banded_adjoint(g, ab, lower, upper),
    tangent=(_banded_tangent, "linear"),
    sample=_sample_banded,
)


def solve_banded(l_and_u: tuple[int, int], ab: Any, b: Any) -> Any:
    """Solve with a banded matrix in LAPACK's storage, ``ab[u + i - j, j] = a[i, j]``, as ``scipy.linalg.solve_banded``.

    Parameters
    ----------
    l_and_u : (int, int)
        How many diagonals lie below and above the main one.
    ab : (l + u + 1, n)
    b : (n,) or (n, k)

    Raises
    ------
    ShapeError
        If ``ab`` has another number of rows, or ``b`` another length.
    MissingExtraError
        If SciPy is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> solve_banded((1, 0), np.array([[2.0, 2.0], [1.0, 0.0]]), np.array([2.0, 3.0])).data
    array([1., 1.])
    """
    lower, upper = (int(count) for count in l_and_u)
    shape, right = np.shape(bare(ab)), np.shape(bare(b))
    if len(shape) != 2 or shape[0] != lower + upper + 1 or len(right) not in (1, 2) or right[0] != shape[1]:
        rows = lower + upper + 1
        raise ShapeError(
            f"solve_banded: {rows} diagonals need shapes ({rows}, n) and (n,) or (n, k), got {shape} and {right}"
        )
    return banded_.function(ab, b, lower, upper)


# --- triangular factors ---------------------------------------------------------------------------------------------


def _lu_packed(a: Any, order: Any) -> Any:
    if order.shape[-1] != a.shape[-2] or not ((order >= 0) & (order < a.shape[-2])).all():
        raise ArgumentError(f"lu_packed: an order of shape {order.shape} is none of the rows of a matrix {a.shape}")
    if not a.size:
        return a
    left, right = require("scipy.linalg").lu(_in_lapack_dtype(a), p_indices=True)[1:]
    m, n = a.shape[-2:]
    packed = np.zeros(a.shape, right.dtype)
    packed[..., : min(m, n)] = np.tril(left, -1)
    packed[..., : min(m, n), :] += right
    return packed


def _parts(packed: Any) -> tuple[Any, Any, Any]:
    """The square factors, and how many rows they have."""
    k = min(packed.shape[-2:])
    square = packed[..., :k, :k]
    return np.tril(square, -1) + np.eye(k), np.triu(square), k


def _back(u: Any, x: Any) -> Any:
    """``x u^-1``."""
    return _t(np.linalg.solve(_t(u), _t(x)))


def _assembled(square: Any, beside: Any, below: Any) -> Any:
    whole = np.concatenate([square, beside], axis=-1) if beside.shape[-1] else square
    return np.concatenate([whole, below], axis=-2) if below.shape[-2] else whole


def _lu_rule(g: Any, out: Any, a: Any, order: Any) -> Any:
    # Of the square part, F = L^-1 dA U^-1 gives dL = L tril(F, -1) and dU = triu(F) U; below it L2 = A2 U^-1, beside it
    # U2 = L^-1 A2.
    left, right, k = _parts(out)
    in_l, in_u = np.tril(g[..., :k, :k], -1), np.triu(g[..., :k, :k])
    below, beside = g[..., k:, :k], g[..., :k, k:]
    if below.shape[-2]:
        below = _back(_t(right), below)
        in_u = in_u - np.matmul(_t(out[..., k:, :k]), below)
    if beside.shape[-1]:
        beside = np.linalg.solve(_t(left), beside)
        in_l = in_l - np.matmul(beside, _t(out[..., :k, k:]))
    inner = np.tril(np.matmul(_t(left), in_l), -1) + np.triu(np.matmul(in_u, _t(right)))
    square = _back(_t(right), np.linalg.solve(_t(left), inner))
    rows = _assembled(square, beside, below) if k else g
    return np.take_along_axis(rows, np.asarray(order)[..., None], axis=-2)


def _lu_tangent(t: Any, out: Any, a: Any, order: Any) -> Any:
    t = np.take_along_axis(t, np.argsort(np.asarray(order), axis=-1)[..., None], axis=-2)
    left, right, k = _parts(out)
    if not k:
        return t
    inner = _back(right, np.linalg.solve(left, t[..., :k, :k]))
    in_l, in_u = np.matmul(left, np.tril(inner, -1)), np.matmul(np.triu(inner), right)
    below, beside = t[..., k:, :k], t[..., :k, k:]
    if below.shape[-2]:
        below = _back(right, below - np.matmul(out[..., k:, :k], in_u))
    if beside.shape[-1]:
        beside = np.linalg.solve(left, beside - np.matmul(in_l, out[..., :k, k:]))
    return _assembled(in_l + in_u, beside, below)


def _sample_lu(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    m, n = draw.integer(1, 3), draw.integer(1, 3)
    a = draw.array((m, n), -0.4, 0.4, distinct=True) + 2.0 * np.eye(m, n)
    return (a[::-1].copy(), np.arange(m)[::-1].copy()), {}


#: L (without its ones) and U in one matrix; ``order`` is the place of each row of ``a`` among theirs.
lu_packed = Primitive("lu_packed", _lu_packed, _lu_rule, tangent=_lu_tangent, sample=_sample_lu)
