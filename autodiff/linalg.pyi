# fmt: off
"""numpy.linalg's functions and scipy.linalg's, differentiable, under the same names and with the same arguments.

Written by docs/make_stubs.py; do not edit.
"""

from collections.abc import Callable, Sequence
from typing import Literal, overload

from numpy.typing import DTypeLike

from autodiff.signatures import ArrayLike, EigResult, QRResult, SlogdetResult, SVDResult
from autodiff.tensor import Tensor

__all__ = [
    "block_diag", "cho_factor", "cho_solve", "circulant", "coshm", "cosm", "expm", "hankel", "logm", "lu", "lu_factor",
    "lu_solve", "matrix_function", "polar", "sinhm", "sinm", "solve_banded", "solve_continuous_are",
    "solve_continuous_lyapunov", "solve_discrete_are", "solve_discrete_lyapunov", "solve_sylvester", "solve_toeplitz",
    "solve_triangular", "solveh_banded", "sqrtm", "tanhm", "tanm", "toeplitz", "cholesky", "cond", "cross", "det",
    "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matmul", "matrix_norm", "matrix_power",
    "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot",
    "tensorinv", "tensorsolve", "trace", "vecdot", "vector_norm",
]

def block_diag(*arrs: ArrayLike) -> Tensor:
    """Matrices along the diagonal of one, as ``scipy.linalg.block_diag``; a vector stands for one row."""

def cho_factor(
    a: ArrayLike, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Tensor, bool]:
    """The Cholesky factor for :func:`cho_solve`, as ``scipy.linalg.cho_factor``."""

def cho_solve(
    c_and_lower: tuple[ArrayLike, bool], b: ArrayLike, overwrite_b: bool = False, check_finite: bool = True
) -> Tensor:
    """Solve ``A x = b`` given the Cholesky factor of A, as ``scipy.linalg.cho_solve``."""

def cholesky(a: ArrayLike, /, *, upper: bool = False) -> Tensor:
    """Differentiable ``numpy.linalg.cholesky``, of the triangle that it reads (see :func:`eigh`)."""

def circulant(c: ArrayLike) -> Tensor:
    """The matrix whose columns are this one turned round and round, as ``scipy.linalg.circulant``."""

def cond(x: ArrayLike, p: ArrayLike | None = None) -> Tensor:
    """Differentiable ``numpy.linalg.cond``."""

def coshm(A: ArrayLike) -> Tensor:
    """The hyperbolic matrix cosine, as ``scipy.linalg.coshm``, of (..., n, n)."""

def cosm(A: ArrayLike) -> Tensor:
    """The matrix cosine, as ``scipy.linalg.cosm``, of (..., n, n)."""

def cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """Differentiable ``numpy.linalg.cross``."""

def det(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.linalg.det``."""

def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Tensor:
    """Differentiable ``numpy.linalg.diagonal``."""

def eig(a: ArrayLike) -> EigResult:
    """Differentiable ``numpy.linalg.eig``; eigenvalues and vectors may be complex (docs/complex.md)."""

def eigh(
    a: ArrayLike, b: ArrayLike | None = None, *, lower: bool = True, eigvals_only: bool = False,
    overwrite_a: bool = False, overwrite_b: bool = False, type: int = 1, check_finite: bool = True,
    subset_by_index: ArrayLike | None = None, UPLO: str | None = None,
) -> EigResult:
    """Eigenvalues and vectors, as ``numpy.linalg.eigh`` and, with ``b``, of the generalised problem as ``scipy.linalg.eigh``: stiffness and mass, Fock and overlap matrices."""

def eigvals(a: ArrayLike) -> Tensor:
    """Differentiable ``numpy.linalg.eigvals``."""

def eigvalsh(a: ArrayLike, b: ArrayLike | None = None, **more: object) -> Tensor:
    """The eigenvalues alone; arguments and errors are those of :func:`eigh`."""

def expm(A: ArrayLike) -> Tensor:
    """The matrix exponential, as ``scipy.linalg.expm``."""

def hankel(c: ArrayLike, r: ArrayLike | None = None) -> Tensor:
    """The matrix with constant antidiagonals of this first column and last row, as ``scipy.linalg.hankel``."""

def inv(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.linalg.inv``."""

def logm(A: ArrayLike) -> Tensor:
    """The principal logarithm of one matrix, as ``scipy.linalg.logm``."""

def lstsq(a: ArrayLike, b: ArrayLike, rcond: ArrayLike | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Differentiable ``numpy.linalg.lstsq``: solution, residuals, rank (a constant) and singular values."""

def lu(
    a: ArrayLike, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True, p_indices: bool = False
) -> tuple[Tensor, ...]:
    """``a = P L U`` with partial pivoting, as ``scipy.linalg.lu``; the rows' order P is a constant."""

def lu_factor(a: ArrayLike, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Tensor, Tensor]:
    """L and U in one matrix, and the pivots (a constant), as ``scipy.linalg.lu_factor``."""

def lu_solve(
    lu_and_piv: tuple[ArrayLike, ArrayLike], b: ArrayLike, trans: int = 0, overwrite_b: bool = False,
    check_finite: bool = True,
) -> Tensor:
    """Solve ``a x = b`` given ``lu_factor(a)``, as ``scipy.linalg.lu_solve``; trans 1 or 2: with the (conjugate) transpose."""

def matmul(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Differentiable ``numpy.linalg.matmul``."""

def matrix_function(a: ArrayLike, function: Callable[..., object]) -> Tensor:
    """``f(A) = V f(w) V'`` of a symmetric or Hermitian matrix, with the right gradient at equal eigenvalues too."""

def matrix_norm(x: ArrayLike, /, *, keepdims: bool = False, ord: float | str | None = "fro") -> Tensor:
    """Differentiable ``numpy.linalg.matrix_norm``."""

def matrix_power(a: ArrayLike, n: int) -> Tensor:
    """Differentiable ``numpy.linalg.matrix_power``, by repeated squaring."""

def matrix_transpose(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.matrix_transpose``: the last two axes exchanged."""

def multi_dot(arrays: ArrayLike, *, out: None = None) -> Tensor:
    """Differentiable ``numpy.linalg.multi_dot``, in the order that costs least."""

def norm(
    x: ArrayLike, ord: float | str | None = None, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Tensor:
    """Differentiable ``numpy.linalg.norm``, all orders; the gradient of the Euclidean norm at 0 is 0 (docs/kinks.md)."""

def outer(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Differentiable ``numpy.linalg.outer`` of two vectors."""

def pinv(a: ArrayLike, rcond: ArrayLike | None = None, hermitian: bool = False, *, rtol: ArrayLike = ...) -> Tensor:
    """Differentiable ``numpy.linalg.pinv`` where the rank does not change."""

def polar(a: ArrayLike, side: str = "right") -> tuple[Tensor, Tensor]:
    """The polar decomposition, as ``scipy.linalg.polar``: ``a = u p`` (right) or ``a = p u`` (left)."""

@overload
def qr(a: ArrayLike, *, mode: Literal["r"]) -> Tensor:
    """Differentiable ``numpy.linalg.qr`` in the modes "reduced", "complete" and "r"."""

@overload
def qr(a: ArrayLike, mode: Literal["reduced", "complete"] = "reduced") -> QRResult: ...
def sinhm(A: ArrayLike) -> Tensor:
    """The hyperbolic matrix sine, as ``scipy.linalg.sinhm``, of (..., n, n)."""

def sinm(A: ArrayLike) -> Tensor:
    """The matrix sine, as ``scipy.linalg.sinm``, of (..., n, n)."""

def slogdet(a: ArrayLike) -> SlogdetResult:
    """Differentiable ``numpy.linalg.slogdet``: sign and logarithm of the absolute determinant. Of real matrices the sign is a constant."""

def solve(
    a: ArrayLike, b: ArrayLike, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
    check_finite: bool = True, assume_a: str | None = None, transposed: bool = False,
) -> Tensor:
    """Solve ``a x = b``, as ``scipy.linalg.solve`` and ``numpy.linalg.solve``."""

def solve_banded(l_and_u: tuple[int, int], ab: ArrayLike, b: ArrayLike) -> Tensor:
    """Solve with a banded matrix in LAPACK's storage, ``ab[u + i - j, j] = a[i, j]``, as ``scipy.linalg.solve_banded``."""

def solve_continuous_are(a: ArrayLike, b: ArrayLike, q: ArrayLike, r: ArrayLike) -> Tensor:
    """The matrix X with ``a' X + X a - X b r^-1 b' X + q = 0``, as ``scipy.linalg.solve_continuous_are``."""

def solve_continuous_lyapunov(a: ArrayLike, q: ArrayLike) -> Tensor:
    """The matrix X with ``a X + X a' = q``, as ``scipy.linalg.solve_continuous_lyapunov``."""

def solve_discrete_are(a: ArrayLike, b: ArrayLike, q: ArrayLike, r: ArrayLike) -> Tensor:
    """The matrix X with ``a' X a - X - a' X b (r + b' X b)^-1 b' X a + q = 0``, as ``scipy.linalg.solve_discrete_are``."""

def solve_discrete_lyapunov(a: ArrayLike, q: ArrayLike, method: str | None = None) -> Tensor:
    """The matrix X with ``a X a' - X + q = 0``, as ``scipy.linalg.solve_discrete_lyapunov``."""

def solve_sylvester(a: ArrayLike, b: ArrayLike, q: ArrayLike) -> Tensor:
    """The matrix X with ``a X + X b = q``, as ``scipy.linalg.solve_sylvester``."""

def solve_toeplitz(c_or_cr: ArrayLike, b: ArrayLike, check_finite: bool = True) -> Tensor:
    """Solve with a Toeplitz matrix, given by its first column or by column and row, as ``scipy.linalg.solve_toeplitz``."""

def solve_triangular(
    a: ArrayLike, b: ArrayLike, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False,
    overwrite_b: bool = False, check_finite: bool = True,
) -> Tensor:
    """Solve with a triangular matrix, of which only the named triangle is read, as ``scipy.linalg.solve_triangular``."""

def solveh_banded(
    ab: ArrayLike, b: ArrayLike, overwrite_ab: bool = False, overwrite_b: bool = False, lower: bool = False,
    check_finite: bool = True,
) -> Tensor:
    """Solve with a Hermitian positive definite banded matrix, as ``scipy.linalg.solveh_banded``."""

def sqrtm(A: ArrayLike) -> Tensor:
    """The principal square root of one matrix, as ``scipy.linalg.sqrtm``."""

@overload
def svd(
    a: ArrayLike, full_matrices: bool = True, compute_uv: Literal[True] = True, hermitian: bool = False
) -> SVDResult:
    """Differentiable ``numpy.linalg.svd`` of real and complex matrices."""

@overload
def svd(a: ArrayLike, full_matrices: bool = True, *, compute_uv: Literal[False], hermitian: bool = False) -> Tensor: ...
@overload
def svd(
    a: ArrayLike, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> SVDResult | Tensor: ...
def svdvals(x: ArrayLike, /) -> Tensor:
    """Differentiable ``numpy.linalg.svdvals``."""

def tanhm(A: ArrayLike) -> Tensor:
    """The hyperbolic matrix tangent, as ``scipy.linalg.tanhm``, of (..., n, n)."""

def tanm(A: ArrayLike) -> Tensor:
    """The matrix tangent, as ``scipy.linalg.tanm``, of (..., n, n)."""

def tensordot(a: ArrayLike, b: ArrayLike, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = 2) -> Tensor:
    """Differentiable ``numpy.tensordot``: a sum of products over the named axes, as one matrix product."""

def tensorinv(a: ArrayLike, ind: int = 2) -> Tensor:
    """Differentiable ``numpy.linalg.tensorinv``."""

def tensorsolve(
    a: ArrayLike, b: ArrayLike, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None
) -> Tensor:
    """Differentiable ``numpy.linalg.tensorsolve``."""

def toeplitz(c: ArrayLike, r: ArrayLike | None = None) -> Tensor:
    """The matrix with constant diagonals of this first column and row, as ``scipy.linalg.toeplitz``."""

def trace(x: ArrayLike, /, *, offset: int = 0, dtype: DTypeLike | None = None) -> Tensor:
    """Differentiable ``numpy.linalg.trace``."""

def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """Differentiable ``numpy.vecdot``: sums of products along an axis, the first argument conjugated."""

def vector_norm(
    x: ArrayLike, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False, ord: float | str | None = 2
) -> Tensor:
    """Differentiable ``numpy.linalg.vector_norm``."""
