"""numpy.linalg's functions and scipy.linalg's, differentiable, under the same names and with the same arguments.

Where both have a name (``cholesky``, ``qr``, ``svd``, ...) it is NumPy's, but for ``solve``, ``eigh`` and
``eigvalsh``, which take SciPy's arguments as well. SciPy's ``overwrite_*`` and ``check_finite`` are taken and of no
account.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.core.op import wrap
from autodiff.dispatch import differentiable_of
from autodiff.extras import require
from autodiff.ops import linalg
from autodiff.ops.common import bare
from autodiff.ops.linalg import _t, matrix_function
from autodiff.ops.riccati import (
    solve_continuous_are,
    solve_continuous_lyapunov,
    solve_discrete_are,
    solve_discrete_lyapunov,
)
from autodiff.ops.scipy_functions import (
    _in_lapack_dtype,
    expm,
    logm,
    lu_packed,
    polar,
    solve_banded,
    solve_sylvester,
    solve_triangular,
    sqrtm,
)
from autodiff.ops.shaping import _floats, _tensor

_NUMPY = differentiable_of("numpy.linalg")
globals().update(_NUMPY)

__all__ = [
    "block_diag",
    "cho_factor",
    "cho_solve",
    "circulant",
    "coshm",
    "cosm",
    "expm",
    "hankel",
    "logm",
    "lu",
    "lu_factor",
    "lu_solve",
    "matrix_function",
    "polar",
    "sinhm",
    "sinm",
    "solve_banded",
    "solve_continuous_are",
    "solve_continuous_lyapunov",
    "solve_discrete_are",
    "solve_discrete_lyapunov",
    "solve_sylvester",
    "solve_toeplitz",
    "solve_triangular",
    "solveh_banded",
    "sqrtm",
    "tanhm",
    "tanm",
    "toeplitz",
]
__all__ += sorted(_NUMPY)

_STRUCTURES = {
    "gen": "general",
    "sym": "symmetric",
    "her": "hermitian",
    "pos": "positive definite",
    **{name: name for name in ("general", "symmetric", "hermitian", "positive definite")},
    **{name: name for name in ("diagonal", "tridiagonal", "banded", "upper triangular", "lower triangular")},
}


def solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    assume_a: str | None = None,
    transposed: bool = False,
) -> Any:
    """Solve ``a x = b``, as ``scipy.linalg.solve`` and ``numpy.linalg.solve``.

    Parameters
    ----------
    a : (..., n, n)
    b : (n,) or (..., n, k)
    lower : bool
        Which triangle is read of a matrix that is assumed symmetric, Hermitian or positive definite.
    assume_a : str, optional
        SciPy's words: "general", "diagonal", "tridiagonal", "banded", "upper triangular", "lower triangular",
        "symmetric" ("sym"), "hermitian" ("her"), "positive definite" ("pos"). What the structure does not read has no
        gradient.
    transposed : bool
        Solve with the transpose; refused for complex matrices, as by SciPy.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is singular, or said to be positive definite and is not.
    ArgumentError, ShapeError
        If the structure is unknown or the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> solve(np.array([[2.0, 1.0], [9.0, 2.0]]), np.array([4.0, 5.0]), assume_a="pos").data
    array([1., 2.])
    """
    if assume_a is not None and assume_a not in _STRUCTURES:
        raise ArgumentError(f"solve: assume_a={assume_a!r} is not one of {', '.join(_STRUCTURES)}")
    kind = "general" if assume_a is None else _STRUCTURES[assume_a]
    matrix, right = np.atleast_2d(_tensor(a)), np.atleast_1d(_tensor(b))
    if matrix.shape[-1] != matrix.shape[-2]:
        raise ShapeError(f"solve: needs a square matrix, got shape {matrix.shape}")
    if transposed and matrix.dtype.kind == "c":
        raise NotDifferentiableError("solve: transposed=True is for real matrices; transpose or conjugate yourself")
    if kind in ("symmetric", "hermitian", "positive definite"):
        matrix = _from_triangle(matrix, lower, kind != "symmetric")
        if kind == "positive definite":
            np.linalg.cholesky(matrix.data)  # raises unless it is
    elif kind in ("upper triangular", "lower triangular"):
        matrix = (np.triu if kind == "upper triangular" else np.tril)(matrix)
    elif kind == "diagonal":
        matrix = np.tril(np.triu(matrix))
    elif kind == "tridiagonal":
        matrix = np.tril(np.triu(matrix, -1), 1)
    n = matrix.shape[-1]
    if right.shape[-1 if right.ndim == 1 else -2] != n and n != 1:
        raise ShapeError(f"solve: shapes {matrix.shape} and {right.shape} do not fit")
    if n == 1 and right.shape[-1 if right.ndim == 1 else -2] != 1:
        if not np.all(bare(matrix)):
            raise np.linalg.LinAlgError("singular matrix")
        return right / (matrix[..., 0] if right.ndim == 1 else matrix)
    return linalg.solve.function(_t(matrix) if transposed else matrix, right)


def eigh(
    a: Any,
    b: Any = None,
    *,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    type: int = 1,
    check_finite: bool = True,
    subset_by_index: Any = None,
    UPLO: str | None = None,
) -> Any:
    """Eigenvalues and vectors, as ``numpy.linalg.eigh`` and, with ``b``, of the generalised problem as
    ``scipy.linalg.eigh``: stiffness and mass, Fock and overlap matrices.

    Parameters
    ----------
    a : (..., n, n)
        Of it and of ``b`` one triangle is read.
    b : (..., n, n) or str, optional
        Positive definite; a string is NumPy's ``UPLO``.
    lower : bool
        Which triangle.
    eigvals_only : bool
        Give the values alone, whose functions have second derivatives where some are equal, too.
    type : {1, 2, 3}
        ``a v = w b v``, ``a b v = w v`` or ``b a v = w v``.
    subset_by_index : (int, int), optional
        The first and the last value that are wanted.

    Raises
    ------
    numpy.linalg.LinAlgError
        If ``b`` is not positive definite.
    ArgumentError
        If there is no such ``type`` or subset.

    Examples
    --------
    >>> import numpy as np
    >>> eigh(np.diag([2.0, 9.0]), np.diag([2.0, 3.0]), eigvals_only=True).data
    array([1., 3.])
    """
    if isinstance(b, str):
        b, UPLO = None, b
    uplo = ("L" if lower else "U") if UPLO is None else UPLO
    if type not in (1, 2, 3):
        raise ArgumentError(f"eigh: type is 1, 2 or 3, got {type!r}")
    n = np.shape(a)[-1] if np.ndim(a) else 0
    first, last = (0, n - 1) if subset_by_index is None else subset_by_index
    if subset_by_index is not None and not 0 <= first <= last < n:
        raise ArgumentError(f"eigh: subset_by_index is (first, last) of {n} values, got {subset_by_index!r}")
    part = slice(first, last + 1)
    if b is None:
        if eigvals_only:
            return linalg.eigvalsh(a, uplo)[..., part]
        found = linalg.eigh(a, uplo)
        return found if subset_by_index is None else found.__class__(found[0][..., part], found[1][..., part])
    # With b = L L' it is the ordinary problem of L^-1 a L^-' or of L' a L.
    matrix, factor = linalg._read(a, uplo), linalg.cholesky(linalg._read(b, uplo))
    if matrix.shape[-2:] != factor.shape[-2:]:
        raise ShapeError(f"eigh: shapes {matrix.shape} and {factor.shape} do not fit")
    turned = np.conj(_t(factor))
    if type == 1:
        inner = np.linalg.solve(factor, np.conj(_t(np.linalg.solve(factor, matrix))))
    else:
        inner = turned @ matrix @ factor
    inner = (inner + np.conj(_t(inner))) / 2
    if eigvals_only:
        return linalg.eigvalsh(inner)[..., part]
    found = linalg.eigh(inner)
    vectors = factor @ found[1] if type == 3 else np.linalg.solve(turned, found[1])
    return found.__class__(found[0][..., part], vectors[..., part])


def eigvalsh(a: Any, b: Any = None, **more: Any) -> Any:
    """The eigenvalues alone; arguments and errors are those of :func:`eigh`.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> stiffness = lambda k: autodiff.stack([autodiff.stack([2 * k, -k]), autodiff.stack([-k, k])])
    >>> lowest = lambda k: eigvalsh(stiffness(k), np.diag([2.0, 1.0]))[0]
    >>> round(float(autodiff.grad(lowest)(1.0)), 6)  # 1 - sqrt(1/2)
    0.292893
    """
    return eigh(a, b, eigvals_only=True, **more)


def _from_triangle(matrix: Any, lower: bool, hermitian: bool) -> Any:
    if hermitian or matrix.dtype.kind != "c":
        return linalg._read(matrix, "L" if lower else "U")
    half = np.tril(matrix, -1) if lower else np.triu(matrix, 1)
    return half + _t(half) + np.tril(np.triu(matrix))


def cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, bool]:
    """The Cholesky factor for :func:`cho_solve`, as ``scipy.linalg.cho_factor``.

    Its other triangle is what ``a`` holds.

    Examples
    --------
    >>> import numpy as np
    >>> cho_factor(np.array([[4.0, 2.0], [2.0, 5.0]]))[0].data
    array([[2., 1.],
           [2., 2.]])
    """
    t = _tensor(a)
    factor = linalg.cholesky(t, upper=not lower)
    return factor + (np.triu(t, 1) if lower else np.tril(t, -1)), lower


def cho_solve(c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """Solve ``A x = b`` given the Cholesky factor of A, as ``scipy.linalg.cho_solve``.

    Parameters
    ----------
    c_and_lower : (factor, lower)
        ``factor`` (n, n), lower triangular if ``lower``; the other triangle is not read.
    b : (n,) or (n, k)

    Examples
    --------
    >>> import numpy as np
    >>> cho_solve((np.array([[2.0]]), True), np.array([8.0])).data
    array([2.])
    """
    factor, lower = c_and_lower
    first, second = (0, "C") if lower else ("C", 0)
    return solve_triangular(factor, solve_triangular(factor, b, first, lower), second, lower)


def _factored(name: str, a: Any) -> tuple[Any, Any, Any]:
    """``(a, its LU in one matrix, the order of its rows)``."""
    t = _floats(a)
    if t.ndim < 2:
        raise ShapeError(f"{name}: needs matrices, got shape {t.shape}")
    if t.size:
        order = require("scipy.linalg").lu(_in_lapack_dtype(t.data), p_indices=True)[0]
    else:
        order = np.broadcast_to(np.arange(t.shape[-2]), t.shape[:-1])
    return t, lu_packed.function(t, order), order


def lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True, p_indices: bool = False
) -> tuple[Any, ...]:
    """``a = P L U`` with partial pivoting, as ``scipy.linalg.lu``; the rows' order P is a constant.

    Parameters
    ----------
    a : (..., m, n)
    permute_l : bool
        Give ``(P L, U)``.
    p_indices : bool
        Give the order p with ``a = L[p] U`` in place of the matrix P.

    Returns
    -------
    (p, l, u), or (pl, u)

    Examples
    --------
    >>> import numpy as np
    >>> p, l, u = lu(np.array([[1.0, 2.0], [2.0, 2.0]]))
    >>> u.data
    array([[2., 2.],
           [0., 1.]])
    """
    t, packed, order = _factored("lu", a)
    m, n = t.shape[-2:]
    k = min(m, n)
    left = np.tril(packed[..., :k], -1) + np.eye(m, k, dtype=t.dtype)
    right = np.triu(packed[..., :k, :])
    if permute_l:
        return np.take_along_axis(left, order[..., None], axis=-2), right
    if p_indices:
        return wrap(order, None), left, right
    rows = np.zeros((*t.shape[:-1], m), np.real(t.data).dtype)
    np.put_along_axis(rows, order[..., None], 1, axis=-1)
    return wrap(rows, None), left, right


def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """L and U in one matrix, and the pivots (a constant), as ``scipy.linalg.lu_factor``.

    Examples
    --------
    >>> import numpy as np
    >>> packed, pivots = lu_factor(np.array([[1.0, 2.0], [2.0, 2.0]]))
    >>> packed.data, pivots.data
    (array([[2. , 2. ],
           [0.5, 1. ]]), array([1, 1], dtype=int32))
    """
    t, packed, _ = _factored("lu_factor", a)
    pivots = require("scipy.linalg").lu_factor(_in_lapack_dtype(t.data))[1] if t.size else np.zeros(0, np.int32)
    return packed, wrap(pivots, None)


def lu_solve(
    lu_and_piv: tuple[Any, Any], b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """Solve ``a x = b`` given ``lu_factor(a)``, as ``scipy.linalg.lu_solve``; trans 1 or 2: with the (conjugate)
    transpose.

    Examples
    --------
    >>> import numpy as np
    >>> lu_solve(lu_factor(np.array([[1.0, 2.0], [2.0, 2.0]])), np.array([5.0, 6.0])).data
    array([1., 2.])
    """
    packed, pivots = _tensor(lu_and_piv[0]), np.asarray(bare(lu_and_piv[1]))
    right = _tensor(b)
    n = packed.shape[0] if packed.ndim else 0
    if packed.shape != (n, n) or pivots.shape != (n,) or right.shape[:1] != (n,):
        raise ShapeError(
            f"lu_solve: factors of shape {packed.shape} and {pivots.size} pivots for a right side of shape"
            f" {right.shape}"
        )
    if trans not in (0, 1, 2):
        raise ArgumentError(f"lu_solve: trans must be 0, 1 or 2, got {trans!r}")
    if not ((pivots >= 0) & (pivots < n)).all():
        raise ArgumentError(f"lu_solve: pivots name rows of a matrix {packed.shape}, got {pivots.tolist()}")
    order = np.arange(n)
    for row, other in enumerate(pivots):
        order[[row, other]] = order[[other, row]]
    if trans == 0:
        below = solve_triangular(packed, right[order], 0, lower=True, unit_diagonal=True)
        return solve_triangular(packed, below)
    below = solve_triangular(packed, solve_triangular(packed, right, trans), trans, lower=True, unit_diagonal=True)
    return below[np.argsort(order)]


def _turned(a: Any) -> tuple[Any, Any]:
    """The cosine and the sine of a matrix."""
    x = _floats(_tensor(a))
    turned = expm(1j * x)
    if x.dtype.kind != "c":
        return np.real(turned), np.imag(turned)
    back = expm(-1j * x)
    return 0.5 * (turned + back), -0.5j * (turned - back)


def cosm(A: Any) -> Any:
    """The matrix cosine, as ``scipy.linalg.cosm``, of (..., n, n).

    Examples
    --------
    >>> cosm(np.zeros((2, 2))).data
    array([[1., 0.],
           [0., 1.]])
    """
    return _turned(A)[0]


def sinm(A: Any) -> Any:
    """The matrix sine, as ``scipy.linalg.sinm``, of (..., n, n).

    Examples
    --------
    >>> a = np.array([[0.5, 1.0], [0.0, 0.2]])
    >>> bool(np.allclose((sinm(a) @ sinm(a) + cosm(a) @ cosm(a)).data, np.eye(2)))
    True
    """
    return _turned(A)[1]


def tanm(A: Any) -> Any:
    """The matrix tangent, as ``scipy.linalg.tanm``, of (..., n, n).

    Examples
    --------
    >>> bool(np.isclose(tanm([[0.5]])[0, 0].item(), np.tan(0.5)))
    True
    """
    return np.linalg.solve(*_turned(A))


def coshm(A: Any) -> Any:
    """The hyperbolic matrix cosine, as ``scipy.linalg.coshm``, of (..., n, n).

    Examples
    --------
    >>> bool(np.isclose(coshm([[0.5]])[0, 0].item(), np.cosh(0.5)))
    True
    """
    x = _floats(_tensor(A))
    return 0.5 * (expm(x) + expm(-x))


def sinhm(A: Any) -> Any:
    """The hyperbolic matrix sine, as ``scipy.linalg.sinhm``, of (..., n, n).

    Examples
    --------
    >>> bool(np.isclose(sinhm([[0.5]])[0, 0].item(), np.sinh(0.5)))
    True
    """
    x = _floats(_tensor(A))
    return 0.5 * (expm(x) - expm(-x))


def tanhm(A: Any) -> Any:
    """The hyperbolic matrix tangent, as ``scipy.linalg.tanhm``, of (..., n, n).

    Examples
    --------
    >>> bool(np.isclose(tanhm([[0.5]])[0, 0].item(), np.tanh(0.5)))
    True
    """
    return np.linalg.solve(coshm(A), sinhm(A))


def block_diag(*arrs: Any) -> Any:
    """Matrices along the diagonal of one, as ``scipy.linalg.block_diag``; a vector stands for one row.

    Examples
    --------
    >>> block_diag([[1.0]], [2.0, 3.0]).data
    array([[1., 0., 0.],
           [0., 2., 3.]])
    """
    blocks = [np.atleast_2d(_tensor(part)) for part in arrs or ([],)]
    lead = np.broadcast_shapes(*(block.shape[:-2] for block in blocks))
    kind = np.result_type(*(block.dtype for block in blocks))
    width = sum(block.shape[-1] for block in blocks)
    rows, before = [], 0
    for block in blocks:
        after = width - before - block.shape[-1]
        edges = [(0, 0)] * (block.ndim - 1) + [(before, after)]
        rows.append(np.broadcast_to(np.pad(block.astype(kind), edges), (*lead, block.shape[-2], width)))
        before += block.shape[-1]
    return np.concatenate(rows, axis=-2)


def _anti(values: Any, rows: int, columns: int, offset: int, step: int) -> Any:
    """The matrix with ``values[offset + step i + j]`` in row i, column j."""
    return values[..., offset + step * np.arange(rows)[:, None] + np.arange(columns)]


def toeplitz(c: Any, r: Any = None) -> Any:
    """The matrix with constant diagonals of this first column and row, as ``scipy.linalg.toeplitz``.

    Parameters
    ----------
    c : (..., m)
        The first column.
    r : (..., n), optional
        The first row, whose first entry is not read; by default the conjugate of ``c``.

    Examples
    --------
    >>> toeplitz([1.0, 2.0], [1.0, 3.0, 4.0]).data
    array([[1., 3., 4.],
           [2., 1., 3.]])
    """
    column = np.atleast_1d(_tensor(c))
    row = np.conj(column) if r is None else np.atleast_1d(_tensor(r))
    m, n = column.shape[-1], row.shape[-1]
    return _anti(_joined(np.flip(column, -1), row[..., 1:]), m, n, m - 1, -1)


def _joined(first: Any, second: Any) -> Any:
    lead = np.broadcast_shapes(first.shape[:-1], second.shape[:-1])
    return np.concatenate([np.broadcast_to(part, (*lead, part.shape[-1])) for part in (first, second)], axis=-1)


def hankel(c: Any, r: Any = None) -> Any:
    """The matrix with constant antidiagonals of this first column and last row, as ``scipy.linalg.hankel``.

    Examples
    --------
    >>> hankel([1.0, 2.0], [0.0, 3.0]).data
    array([[1., 2.],
           [2., 3.]])
    """
    column = np.atleast_1d(_tensor(c))
    row = 0 * column if r is None else np.atleast_1d(_tensor(r))
    return _anti(_joined(column, row[..., 1:]), column.shape[-1], row.shape[-1], 0, 1)


def circulant(c: Any) -> Any:
    """The matrix whose columns are this one turned round and round, as ``scipy.linalg.circulant``.

    Examples
    --------
    >>> circulant([1.0, 2.0, 3.0]).data
    array([[1., 3., 2.],
           [2., 1., 3.],
           [3., 2., 1.]])
    """
    column = np.atleast_1d(_tensor(c))
    n = column.shape[-1]
    return _anti(_joined(np.flip(column, -1), np.flip(column[..., 1:], -1)), n, n, n - 1, -1)


def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Any:
    """Solve with a Toeplitz matrix, given by its first column or by column and row, as ``scipy.linalg.solve_toeplitz``.

    The matrix is built.

    Examples
    --------
    >>> import numpy as np
    >>> solve_toeplitz([2.0, 0.0], np.array([2.0, 4.0])).data
    array([1., 2.])
    """
    parts = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr,)
    return linalg.solve.function(toeplitz(*parts), _tensor(b))


def solveh_banded(
    ab: Any,
    b: Any,
    overwrite_ab: bool = False,
    overwrite_b: bool = False,
    lower: bool = False,
    check_finite: bool = True,
) -> Any:
    """Solve with a Hermitian positive definite banded matrix, as ``scipy.linalg.solveh_banded``.

    Parameters
    ----------
    ab : (u + 1, n)
        LAPACK's storage: the diagonals from the uppermost down to the main one, or with ``lower`` from the main one
        to the lowest.
    b : (n,) or (n, k)

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> solveh_banded(np.array([[0.0, 1.0], [2.0, 2.0]]), np.array([4.0, 5.0])).data
    array([1., 2.])
    """
    bands = _tensor(ab)
    require("scipy.linalg").solveh_banded(bands.data, bare(b), lower=lower)  # raises unless it is positive definite
    count = bands.shape[0] - 1
    rows = [bands[count - i] for i in range(count + 1)] if not lower else [bands[i] for i in range(count + 1)]

    def moved(row: Any, by: int) -> Any:
        n = row.shape[0]
        return np.pad(row[by:], (0, by)) if not lower else np.pad(row[: n - by], (by, 0))

    others = [np.conj(moved(rows[i], i)) for i in range(1, count + 1)]
    upper, below = (others, rows[1:]) if lower else (rows[1:], others)
    return solve_banded((count, count), np.stack([*upper[::-1], rows[0], *below]), b)
