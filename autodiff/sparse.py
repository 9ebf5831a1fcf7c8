"""Sparse arrays with tracked entries, products and solves, under SciPy's names.

SciPy stores and multiplies, SuperLU factorises; the derivatives are ours. An array here is a constant pattern with a
Tensor of entries. The gradient in the entries is asked for at the pattern alone, so nothing is ever dense:
``y = A x`` sends ``g_i x_j`` to the entry (i, j), and ``x = A^-1 b`` sends ``-l_i x_j`` with ``A' l = g``, one more
solve with the factorisation that is already there. All rules are written with the same operations, so derivatives of
any order follow. Needs SciPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff.batching import Batched, is_batched
from autodiff.core.errors import ArgumentError, ConvergenceError, DTypeError, ShapeError, SingularMatrixError
from autodiff.core.op import Primitive
from autodiff.extras import absent, require
from autodiff.ops import shaping
from autodiff.ops.common import bare
from autodiff.ops.shaping import _floats, _tensor
from autodiff.ops.stable import of

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.results import SciPyArray, SparseInput, SparseLike
    from autodiff.signatures import ArrayLike, Tensor

__all__ = [
    "SparseArray",
    "block_array",
    "block_diag",
    "bmat",
    "cg",
    "coo_array",
    "csc_array",
    "csr_array",
    "diags",
    "diags_array",
    "eye",
    "eye_array",
    "gmres",
    "hstack",
    "issparse",
    "kron",
    "kronsum",
    "matrix_power",
    "splu",
    "spsolve",
    "tril",
    "triu",
    "vstack",
]


class Pattern:
    """Where the entries of a sparse matrix stand, by rows (CSR): constant, and shared by everything made of it."""

    def __init__(self, indices: Any, indptr: Any, shape: tuple[int, int]) -> None:
        self.indices = indices
        self.indptr = indptr
        self.shape = shape

    @cached_property
    def rows(self) -> Any:
        """The row of every entry."""
        return np.repeat(np.arange(self.shape[0], dtype=self.indices.dtype), np.diff(self.indptr))

    def places(self, transposed: bool) -> tuple[Any, Any]:
        """(rows, columns) of the entries, of the matrix or its transpose."""
        return (self.indices, self.rows) if transposed else (self.rows, self.indices)

    def matrix(self, data: Any, transposed: bool = False) -> Any:
        """SciPy's array with these entries, or its transpose; no copy is made."""
        sparse = require("scipy.sparse")
        kind, shape = (sparse.csc_array, self.shape[::-1]) if transposed else (sparse.csr_array, self.shape)
        return kind((np.asarray(data), self.indices, self.indptr), shape=shape, copy=False)


def _columns_last(array: Any) -> Any:
    """A batch of vectors or matrices (B, n[, k]) as one matrix (n, B k), for one call of a library."""
    return np.moveaxis(array, 0, 1).reshape(array.shape[1], array[:, :1].size)


def _each_column(function: Callable[[Any], Any], b: Any) -> Any:
    """``function`` of a vector, a matrix, or a batch of them, by one call on a matrix."""
    if not is_batched(b):
        return function(b)
    array = b.array
    out = function(_columns_last(array))
    return Batched(np.moveaxis(out.reshape(out.shape[0], len(array), *array.shape[2:]), 1, 0))


def _at_entries(left: Any, right: Any, places: tuple[Any, Any]) -> Any:
    """``left_i right_j`` at every entry (i, j), summed over further columns."""
    product = left[places[0]] * right[places[1]]
    return np.sum(product, axis=-1) if product.ndim == 2 else product


# --- products ---------------------------------------------------------------------------------------------------------


def _multiply(data: Any, x: Any, pattern: Pattern, transposed: bool = False) -> Any:
    return _each_column(lambda columns: pattern.matrix(data, transposed) @ columns, x)


def _sample_pattern(draw: Any, square: bool = False) -> Pattern:
    rows = draw.integer(2, 4)
    columns = rows if square else draw.integer(2, 4)
    filled = np.ones((rows, columns)) - np.tri(rows, columns, -2) * (0 if square else 1)
    filled[0, -1] = 0
    found = require("scipy.sparse").csr_array(filled)
    return Pattern(found.indices, found.indptr, found.shape)


def _sample_product(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    pattern, turned = _sample_pattern(draw), draw.boolean()
    n = pattern.shape[0 if turned else 1]
    x = draw.array((n,) if draw.boolean() else (n, 2))
    return (draw.array((pattern.indices.size,)), x), {"pattern": pattern, "transposed": turned}


product_: Primitive = Primitive(
    "sparse_matmul",
    _multiply,
    lambda g, out, data, x, pattern, transposed=False: _at_entries(g, x, pattern.places(transposed)),
    lambda g, out, data, x, pattern, transposed=False: of(
        product_, data, g, pattern=pattern, transposed=not transposed
    ),
    linear="each",
    sample=_sample_product,
    label="sparse @",
)


# --- solves -----------------------------------------------------------------------------------------------------------


class System:
    """How to solve with one pattern: whatever is made for some entries (a factorisation) serves both the matrix and its
    transpose, and every derivative.
    """

    name = "spsolve"

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self._known: tuple[Any, Any] | None = None
        self._adjoint: tuple[Any, Any] | None = None

    def prepared(self, data: Any) -> Any:
        """What :meth:`prepare` made of these entries, made once."""
        known = self._known
        if known is None or known[0].dtype != data.dtype or not np.array_equal(known[0], data):
            self._known = known = (np.array(data), self.prepare(data))
        return known[1]

    def prepare(self, data: Any) -> Any:
        """What solving needs to know of the entries."""
        raise NotImplementedError

    def run(self, prepared: Any, b: Any, transposed: bool) -> Any:
        """The solution for a vector or a matrix."""
        raise NotImplementedError

    def solve(self, data: Any, b: Any, transposed: bool) -> Any:
        """The solution for a vector, a matrix, or a batch of them."""
        dtype = np.result_type(data, b, np.float32)
        dtype = {"g": np.dtype(np.float64), "G": np.dtype(np.complex128)}.get(dtype.char, dtype)
        prepared = self.prepared(np.ascontiguousarray(data, dtype))

        def run(columns: Any) -> Any:
            return self.checked(data, self.run(prepared, np.asarray(columns, dtype), transposed), columns, transposed)

        return _each_column(run, b)

    def checked(self, data: Any, x: Any, b: Any, transposed: bool) -> Any:
        """The solution, if the matrix is not singular to working precision.

        Where |A| |x| is 1/eps times |b|, rounding alone changes A x by more than b: no digit of x is determined.
        """
        if not b.size:
            return x
        if np.isfinite(x).all():
            terms = np.max(self.pattern.matrix(np.abs(data), transposed) @ np.abs(x), axis=0)
            if np.all(terms * np.finfo(x.dtype).eps < 10 * np.max(np.abs(b), axis=0) + np.finfo(x.dtype).tiny):
                return x
        elif not (np.isfinite(data).all() and np.isfinite(b).all()):
            raise SingularMatrixError(f"{self.name}: the matrix or the right-hand side holds NaN or infinity")
        raise SingularMatrixError(
            f"{self.name}: the matrix of shape {self.pattern.shape} is singular to working precision; add boundary"
            " conditions or a small multiple of the identity"
        )

    def adjoint(self, g: Any, data: Any, transposed: bool, entries: bool) -> Any:
        """The solution with the transpose, which both rules need; the one for the entries is asked for it first."""
        held, self._adjoint = self._adjoint, None
        if held is not None and held[0] is g:
            return held[1]
        found = of(solve_, data, g, system=self, transposed=not transposed)
        if entries:
            self._adjoint = (g, found)
        return found


class Direct(System):
    """By SuperLU."""

    def __init__(self, pattern: Pattern, **options: Any) -> None:
        super().__init__(pattern)
        self.options = options

    def prepare(self, data: Any) -> Any:
        # What stands by rows is the transpose by columns, which is how SuperLU wants it.
        try:
            return require("scipy.sparse.linalg").splu(self.pattern.matrix(data, transposed=True), **self.options)
        except RuntimeError as error:
            raise SingularMatrixError(f"{self.name}: the matrix of shape {self.pattern.shape} is singular") from error

    def run(self, prepared: Any, b: Any, transposed: bool) -> Any:
        return prepared.solve(b, "N" if transposed else "T")


class Iterative(System):
    """By one of SciPy's Krylov methods, which is asked for the transpose in the same way."""

    def __init__(
        self, matrix: SparseArray, method: str, start: Any, preconditioner: Any, options: dict[str, Any]
    ) -> None:
        super().__init__(matrix._pattern)
        self.turned, self.name, self.method = matrix._turned, method, method
        self.start, self.preconditioner, self.options = start, preconditioner, options

    def prepare(self, data: Any) -> Any:
        return data

    def run(self, prepared: Any, b: Any, transposed: bool) -> Any:
        if b.ndim == 2:
            return np.stack([self.run(prepared, column, transposed) for column in b.T], axis=1)
        linalg = require("scipy.sparse.linalg")
        matrix, m = self.pattern.matrix(prepared, transposed), self.preconditioner
        adjoint = transposed != self.turned
        if adjoint and m is not None:
            m = m.T if hasattr(m, "T") else linalg.aslinearoperator(m).T
        start = None if adjoint else self.start
        x, info = getattr(linalg, self.method)(matrix, b, start, M=m, **self.options)
        if info:
            raise ConvergenceError(
                f"{self.method}: no convergence in {info} iterations{' of the adjoint system' if adjoint else ''};"
                " raise maxiter, loosen rtol, give a preconditioner M, or use spsolve"
                if info > 0
                else f"{self.method}: illegal input or breakdown (info={info})"
            )
        return x


def _sample_solve(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    pattern = _sample_pattern(draw, square=True)
    n = pattern.shape[0]
    data = draw.array((pattern.indices.size,), -0.5, 0.5, distinct=True) + 3.0 * (pattern.rows == pattern.indices)
    b = draw.array((n,) if draw.boolean() else (n, 2))
    return (data, b), {"system": Direct(pattern), "transposed": draw.boolean()}


def _solve_tangent(t: Any, out: Any, data: Any, b: Any, system: System, transposed: bool = False) -> Any:
    # A dx = -dA x
    moved = of(product_, t, out, pattern=system.pattern, transposed=transposed)
    return of(solve_, data, -moved, system=system, transposed=transposed)


solve_ = Primitive(
    "spsolve",
    lambda data, b, system, transposed=False: system.solve(np.asarray(data), b, transposed),
    lambda g, out, data, b, system, transposed=False: (
        -_at_entries(system.adjoint(g, data, transposed, True), out, system.pattern.places(transposed))
    ),
    lambda g, out, data, b, system, transposed=False: system.adjoint(g, data, transposed, False),
    tangent=(_solve_tangent, "linear"),
    sample=_sample_solve,
)


# --- arrays -----------------------------------------------------------------------------------------------------------


def issparse(value: object) -> bool:
    """Whether ``value`` is a sparse array of SciPy's or of ours."""
    return isinstance(value, SparseArray) or (
        type(value).__module__.startswith("scipy.sparse") and hasattr(value, "tocsr")
    )


class SparseArray:
    """A matrix with a constant pattern and entries that may be tracked: what :func:`csr_array`, :func:`csc_array` and
    :func:`coo_array` return.

    Attributes
    ----------
    data : Tensor (nnz,)
        The entries, row by row for "csr", column by column for "csc", as given for "coo".
    shape : (int, int)
    nnz : int
    dtype : numpy.dtype
    format : {"csr", "csc", "coo"}

    Notes
    -----
    ``A @ x``, ``x @ A``, ``A.dot(x)``, ``A @ B``, ``A + B``, ``A - B``, ``A * number``, ``A * B`` and ``A ** n`` (entry
    by entry), ``abs(A)``, ``A.multiply(B)``, ``A.T``, ``A[rows, columns]``, ``A.diagonal()``, ``A.sum(axis)``,
    ``A.toarray()``, ``A.asformat(format)`` and the methods in ``ENTRYWISE`` are recorded. A product with a vector or a
    dense matrix is a Tensor, one with a sparse matrix a :class:`SparseArray`. ``A[rows, columns] = value`` and
    ``A.setdiag(values)`` give this array other entries; what was made of it before keeps the old ones.
    """

    #: Functions of the entries that leave zero at zero, as methods with SciPy's names.
    ENTRYWISE = tuple(
        "arcsin arcsinh arctan arctanh conj conjugate deg2rad expm1 log1p rad2deg sin sinh sqrt tan tanh".split()
    )

    # NumPy and Tensors step back from their operators: ``x @ A`` is ours.
    __array_ufunc__ = None
    ndim = 2

    def __init__(
        self,
        data: Tensor,
        pattern: Pattern,
        format: str,
        turned: bool = False,
        places: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None = None,
    ) -> None:
        self.data = data
        self._pattern = pattern  # of the matrix, or of its transpose if turned
        self._turned = turned
        self._places: Any = places  # of "coo": (rows, columns) as given
        self.format = format

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self._pattern.shape
        return (columns, rows) if self._turned else (rows, columns)

    @property
    def nnz(self) -> int:
        """How many entries are stored."""
        return int(self.data.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the entries."""
        return self.data.dtype

    @property
    def T(self) -> SparseArray:
        """The transpose, with the same entries."""
        if self.format == "coo":
            return _from_places(self.data, self._places[::-1], self.shape[::-1], "coo")
        other = {"csr": "csc", "csc": "csr"}[self.format]
        return SparseArray(self.data, self._pattern, other, not self._turned)

    def transpose(self) -> SparseArray:
        """The transpose, with the same entries."""
        return self.T

    def tocoo(self, copy: bool = False) -> SparseArray:
        """As triplets."""
        return self if self.format == "coo" else _from_places(self.data, self.coords, self.shape, "coo")

    def tocsr(self, copy: bool = False) -> SparseArray:
        """Row by row; entries at one place are added."""
        return self if self.format == "csr" else _from_places(self.data, self.coords, self.shape, "csr")

    def tocsc(self, copy: bool = False) -> SparseArray:
        """Column by column; entries at one place are added."""
        return self if self.format == "csc" else _from_places(self.data, self.coords, self.shape, "csc")

    def asformat(self, format: str | None, copy: bool = False) -> SparseArray:
        """As "csr", "csc" or "coo"; None leaves the format. Entries are never shared with writes, so none is copied."""
        if format not in (None, "csr", "csc", "coo"):
            raise ArgumentError(f"sparse: tracked entries stand in 'csr', 'csc' or 'coo', not in {format!r}")
        return self if format is None else getattr(self, f"to{format}")()

    def copy(self) -> SparseArray:
        """An array of its own, to be written to; the entries stay tracked."""
        return self._with(self.data)

    def __getattr__(self, name: str) -> Callable[[], SparseArray]:
        if name in SparseArray.ENTRYWISE:
            return lambda: self._of_entries(getattr(np, name))
        raise AttributeError(
            f"autodiff's sparse arrays have no {name!r}; A.toscipy() is SciPy's array of numbers, without derivative"
        )

    def _of_entries(self, function: Callable[[Any], Any]) -> SparseArray:
        # Entries at one place are one number.
        own = self._ordered()
        return own._with(function(own.data)).asformat(self.format)

    def _numbers(self, first: int = 1) -> Any:
        """SciPy's array of the same pattern, in which each entry is its place in ``data``, counted from ``first``."""
        return self._pattern.matrix(np.arange(first, first + self.nnz), self._turned)

    def _ordered(self) -> SparseArray:
        return self.tocsr() if self.format == "coo" else self

    @property
    def coords(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """(rows, columns) of the entries, in the order of ``data``; not to be written to."""
        rows, columns = self._places if self.format == "coo" else self._pattern.places(self._turned)
        return _read_only(rows), _read_only(columns)

    row = property(lambda self: self.coords[0])
    col = property(lambda self: self.coords[1])
    indices = property(lambda self: _read_only(self._ordered()._pattern.indices))
    indptr = property(lambda self: _read_only(self._ordered()._pattern.indptr))

    def toscipy(self) -> SciPyArray:
        """SciPy's array of the same values, without the derivative: a copy."""
        if self.format == "coo":
            return require("scipy.sparse").coo_array((bare(self.data), self._places), shape=self.shape, copy=True)
        return self._pattern.matrix(bare(self.data), self._turned).copy()

    def toarray(self) -> Tensor:
        """The dense matrix."""
        rows, columns = (place.astype(np.int64) for place in self.coords)
        places, every = rows * self.shape[1] + columns, np.arange(self.nnz)
        return _gathered(self.data, places, every, self.shape[0] * self.shape[1]).reshape(self.shape)  # type: ignore[no-any-return]

    todense = toarray

    def astype(self, dtype: DTypeLike | None) -> SparseArray:
        """With entries of another dtype."""
        return self._with(self.data.astype(dtype))

    def _with(self, data: Any) -> SparseArray:
        return SparseArray(data, self._pattern, self.format, self._turned, self._places)

    def diagonal(self, k: int = 0) -> Tensor:
        """The k-th diagonal, zeros included."""
        rows, columns = self.coords
        n = len(_diagonal(self.shape, k)[0])
        here = np.flatnonzero(columns - rows == k)
        return _gathered(self.data, (columns if k < 0 else rows)[here], here, n)  # type: ignore[no-any-return]

    @overload
    def __getitem__(self, index: tuple[int, int]) -> Tensor: ...
    @overload
    def __getitem__(
        self, index: slice | list[int] | tuple[slice | list[int], slice] | tuple[slice, list[int]]
    ) -> SparseArray: ...
    @overload
    def __getitem__(self, index: object) -> SparseArray | Tensor: ...
    def __getitem__(self, index: Any) -> Any:
        """``A[rows, columns]``: a submatrix, or a Tensor of elements; the places are constants."""
        own = self._ordered()
        numbers = own._numbers()[_places_of(index)]
        if not issparse(numbers):  # elements: the numbers of their entries, or zero
            there = np.flatnonzero(numbers)
            found = _gathered(own.data, there, np.ravel(numbers)[there] - 1, np.size(numbers))
            return found.reshape(np.shape(numbers))
        if numbers.ndim != 2:
            raise ShapeError(
                f"sparse []: a row or column of shape {numbers.shape} is no matrix; write A[[i]] or A[:, [j]]"
            )
        data = own.data[numbers.data - 1]
        return _from_places(data, numbers.tocoo().coords, numbers.shape, own.format)

    def __setitem__(self, index: object, value: SparseLike | ArrayLike) -> None:
        """``A[rows, columns] = value``: a number or an array, dense or sparse. A plain 0 removes entries."""
        if self.format == "coo":
            raise ArgumentError("sparse []: a 'coo' array takes no assignment; use A.tocsr()")
        index = _places_of(index)
        numbers = self._numbers()
        old = numbers[index]
        stays = np.ones(self.nnz, bool)
        stays[(old.data if issparse(old) else old[old > 0]) - 1] = False
        data, rows, columns = self.data[stays], *(place[stays] for place in self.coords)
        if issparse(value) or np.ndim(bare(value)) or bare(value) is not value or value != 0:  # type: ignore[arg-type]
            new = _written(index, self.shape, value)
            data = shaping.concatenate([data, new[0]])
            rows, columns = np.concatenate([rows, new[1]]), np.concatenate([columns, new[2]])
        made = _from_places(data, (rows, columns), self.shape, self.format)
        self.data, self._pattern = made.data, made._pattern

    def setdiag(self, values: ArrayLike, k: int = 0) -> None:
        """Give the ``k``-th diagonal these values, or one number."""
        rows, columns = _diagonal(self.shape, k)
        given: Any = values
        if np.ndim(bare(given)):
            given = _tensor(given)[: len(rows)]
            rows, columns = rows[: given.size], columns[: given.size]
        self[rows, columns] = given

    def trace(self, offset: int = 0) -> Tensor:
        """The sum of a diagonal."""
        return np.sum(self.diagonal(offset))  # type: ignore[no-any-return]

    def mean(self, axis: int | None = None) -> Tensor:
        """Of all elements, zeros included, of the columns (0) or of the rows (1)."""
        total = self.sum(axis)
        return total / (self.shape[0] * self.shape[1] if axis is None else self.shape[axis])

    def sum(self, axis: int | None = None) -> Tensor:
        """Of all entries, of the columns (0) or of the rows (1)."""
        if axis is None:
            return np.sum(self.data)  # type: ignore[no-any-return]
        axis = normalize_axis_index(axis, 2)
        return (self.T if axis == 0 else self) @ np.ones(self.shape[axis], self.dtype)

    def multiply(self, other: SparseLike | ArrayLike) -> SparseArray:
        """Each entry times the number, or the element of a dense or sparse array, in its place."""
        if issparse(other):
            return _paired(lambda a, b: a.multiply(b), self, _sparse(other), self.format)
        if np.ndim(bare(other)):  # type: ignore[arg-type]
            whole = shaping.broadcast_to(_tensor(other), self.shape)
            other = whole[self.coords]
        return self._with(self.data * other)

    def __mul__(self, other: SparseLike | ArrayLike) -> SparseArray:
        return self.multiply(other)

    def __rmul__(self, other: SparseLike | ArrayLike) -> SparseArray:
        # SciPy's matrices, unlike its arrays, mean the matrix product.
        if issparse(other) and isinstance(other, require("scipy.sparse").spmatrix):
            return _product(_sparse(other), self)
        return self.multiply(other)

    def power(self, n: ArrayLike, dtype: DTypeLike | None = None) -> SparseArray:
        """Each entry that is stored to the power of a number; :func:`matrix_power` gives products."""
        if np.ndim(bare(n)) or not bare(n):  # type: ignore[arg-type]
            raise ArgumentError(f"power: the exponent must be a number other than 0, got {n!r}")
        return (self if dtype is None else self.astype(dtype))._of_entries(lambda entries: entries**n)

    __pow__ = power

    def __abs__(self) -> SparseArray:
        return self._of_entries(np.abs)

    def __truediv__(self, other: ArrayLike) -> SparseArray:
        if issparse(other):
            raise ArgumentError("sparse /: the divisor must be dense or a number; use A.multiply(B.power(-1))")
        return self.multiply(1.0 / _tensor(other))

    def __neg__(self) -> SparseArray:
        return self._with(-self.data)

    def __add__(self, other: SparseLike | int | float) -> SparseArray:
        if not issparse(other):
            if bare(other).__class__ in (int, float) and other == 0:
                return self
            raise ArgumentError("sparse +: the other term must be sparse; use A.toarray() for a dense sum")
        right = _sparse(other)
        if right.shape != self.shape:
            raise ShapeError(f"sparse +: shapes {self.shape} and {right.shape} differ")
        rows, columns = (np.concatenate(pair) for pair in zip(self.coords, right.coords, strict=True))
        return _from_places(shaping.concatenate([self.data, right.data]), (rows, columns), self.shape, "csr")

    __radd__ = __add__

    def __sub__(self, other: SparseLike | int | float) -> SparseArray:
        return self + (-_sparse(other) if issparse(other) else -other)

    def __rsub__(self, other: SparseLike | int | float) -> SparseArray:
        return (-self).__add__(other)

    @overload
    def __matmul__(self, other: SparseArray) -> SparseArray: ...
    @overload
    def __matmul__(self, other: ArrayLike) -> Tensor: ...
    @overload
    def __matmul__(self, other: SparseLike) -> SparseArray | Tensor: ...
    def __matmul__(self, other: Any) -> Any:
        if issparse(other):
            return _product(self, _sparse(other))
        x, own = _tensor(other), self._ordered()
        if x.ndim not in (1, 2) or x.shape[0] != self.shape[1]:
            raise ShapeError(f"sparse @: shapes {self.shape} and {x.shape} do not fit")
        return product_.function(own.data, x, pattern=own._pattern, transposed=own._turned)

    dot = __matmul__

    @overload
    def __rmatmul__(self, other: ArrayLike) -> Tensor: ...
    @overload
    def __rmatmul__(self, other: SparseLike) -> SparseArray | Tensor: ...
    def __rmatmul__(self, other: Any) -> Any:
        if issparse(other):
            return _product(_sparse(other), self)
        x = _tensor(other)
        result = self.T @ (x.T if x.ndim == 2 else x)
        return result.T if x.ndim == 2 else result

    def __eq__(self, other: object) -> SciPyArray:  # type: ignore[override]
        """Element by element, as SciPy has it: a constant."""
        return self.toscipy() == (other.toscipy() if isinstance(other, SparseArray) else bare(other))

    def __ne__(self, other: object) -> SciPyArray:  # type: ignore[override]
        return self.toscipy() != (other.toscipy() if isinstance(other, SparseArray) else bare(other))

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<autodiff.sparse {self.format} array of {self.dtype}, shape {self.shape}, {self.nnz} stored entries>"


def _read_only(places: Any) -> Any:
    """A view that nobody can write through: a pattern is shared by everything made of it."""
    view = places.view()
    view.flags.writeable = False
    return view


def _gathered(data: Any, targets: Any, sources: Any, n: int) -> Any:
    """A vector of length ``n`` to whose element ``targets[k]`` the element ``sources[k]`` of ``data`` is added."""
    counts = np.bincount(targets, minlength=n)
    order = np.argsort(targets, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(counts)])
    index = np.int32 if data.size < 2**31 else np.int64
    pattern = Pattern(sources[order].astype(index), indptr.astype(index), (n, data.size))
    return product_.function(np.ones(len(order), data.dtype), data, pattern=pattern)


def _from_places(data: Any, places: Any, shape: tuple[int, int], format: str) -> SparseArray:
    """An array from triplets."""
    index: Any = np.int32 if max(*shape, data.size) < 2**31 else np.int64
    rows: Any
    columns: Any
    rows, columns = (np.asarray(place).astype(index) for place in places)
    if format == "coo":
        return SparseArray(data, Pattern(columns, None, shape), "coo", False, (rows, columns))
    if format == "csc":
        found = _from_places(data, (columns, rows), shape[::-1], "csr")
        return SparseArray(found.data, found._pattern, "csc", True)
    key: Any = rows.astype(np.int64) * shape[1] + columns
    if key.size and np.all(key[1:] > key[:-1]):
        kept, ordered = key, data
    else:
        kept, where = np.unique(key, return_inverse=True)
        ordered = _gathered(data, where.ravel(), np.arange(key.size), kept.size)
    counts = np.bincount(kept // max(shape[1], 1), minlength=shape[0])
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(index)
    return SparseArray(ordered, Pattern((kept % max(shape[1], 1)).astype(index), indptr, shape), "csr")


def _places_of(index: Any) -> Any:
    return tuple(map(bare, index)) if isinstance(index, tuple) else bare(index)


def _written(index: Any, shape: tuple[int, int], value: Any) -> tuple[Any, Any, Any]:
    """(entries, rows, columns) of what an assignment writes; of two at one place the last."""
    if not isinstance(index, tuple):
        index = np.nonzero(index) if np.ndim(index) == 2 and np.asarray(index).dtype == bool else (index, slice(None))
    rows, columns = (np.arange(n)[i] for n, i in zip(shape, index, strict=True))
    if isinstance(index[1], slice) or (isinstance(index[0], slice) and columns.ndim):
        rows = rows[..., None]
    rows, columns = np.broadcast_arrays(rows, columns)
    if issparse(value):
        block = _sparse(value).tocoo()
        if rows.shape != block.shape:
            raise ShapeError(f"sparse []: a sparse array of shape {block.shape} for places of shape {rows.shape}")
        entries, rows, columns = block.data, rows[block.coords], columns[block.coords]
    else:
        entries = shaping.broadcast_to(_entries("sparse []", _tensor(value), None), rows.shape).ravel()
    key = (rows.astype(np.int64) * shape[1] + columns).ravel()[::-1]
    last = key.size - 1 - np.unique(key, return_index=True)[1]
    if last.size == key.size:
        return entries, rows.ravel(), columns.ravel()
    return entries[last], rows.ravel()[last], columns.ravel()[last]


def _arranged(function: Callable[..., Any], arrays: list[SparseArray], format: str | None) -> SparseArray:
    """What a function of SciPy's that only moves entries makes of the arrays: it is run on the entries' numbers."""
    own = [a._ordered() for a in arrays]
    first = np.cumsum([1, *(a.nnz for a in own)])
    found = function(*(a._numbers(int(n)) for a, n in zip(own, first, strict=False))).tocoo()
    data = shaping.concatenate([a.data for a in own])[found.data - 1]
    return _from_places(data, found.coords, found.shape, format or "csr").asformat(format)


def _paired(function: Callable[..., Any], a: SparseArray, b: SparseArray, format: str | None) -> SparseArray:
    """What a function of SciPy's that multiplies entries in pairs makes of two arrays: run on the numbers of each."""
    a, b = a._ordered(), b._ordered()
    numbers = [m._numbers() for m in (a, b)]
    pairs = (numbers[0], numbers[1] > 0), (numbers[0] > 0, numbers[1])
    left, right = (function(*pair).tocsr().astype(np.int64) for pair in pairs)  # of no entries SciPy gives floats
    for found in (left, right):
        found.sum_duplicates()
        found.eliminate_zeros()
    data = a.data[left.data - 1] * b.data[right.data - 1]
    return _from_places(data, left.tocoo().coords, left.shape, "csr").asformat(format)


def _product(a: SparseArray, b: SparseArray) -> SparseArray:
    """A sparse matrix times a sparse matrix: every pair of entries that meet is one product, added up at its place."""
    if a.shape[1] != b.shape[0]:
        raise ShapeError(f"sparse @: shapes {a.shape} and {b.shape} do not fit")
    a, b = a.tocoo(), b.tocsr()
    rows, middle = a.coords
    start, stop = b._pattern.indptr[middle], b._pattern.indptr[middle + 1]
    lengths = (stop - start).astype(np.int64)
    left = np.repeat(np.arange(a.nnz), lengths)
    right = np.arange(left.size) - np.repeat(np.cumsum(lengths) - lengths - start, lengths)
    data = a.data[left] * b.data[right]
    return _from_places(data, (rows[left], b._pattern.indices[right]), (a.shape[0], b.shape[1]), "csr")


def _sparse(value: Any, name: str = "sparse") -> SparseArray:
    """Any sparse array as one of ours; SciPy's are constants."""
    if isinstance(value, SparseArray):
        return value
    if not issparse(value):
        raise DTypeError(
            f"{name}: needs a sparse array, got a {type(value).__name__}; autodiff.sparse.csr_array makes one"
        )
    if value.ndim != 2:
        raise ShapeError(f"{name}: needs a matrix, got a sparse array of shape {value.shape}")
    if value.dtype.kind not in "fc":
        value = value.astype(float)
    if value.format == "coo":
        return _from_places(_tensor(value.data), value.coords, value.shape, "coo")
    turned = value.format == "csc"
    plain = value if turned else value.tocsr()
    if not plain.has_canonical_format:
        plain = plain.copy()
        plain.sum_duplicates()
    shape = plain.shape[::-1] if turned else plain.shape
    pattern = Pattern(plain.indices.copy(), plain.indptr.copy(), shape)  # SciPy's may be written to
    return SparseArray(_tensor(plain.data), pattern, plain.format, turned)


def _made(name: str, arg: Any, shape: Any, dtype: Any) -> SparseArray:
    """What SciPy's constructors make of the same argument, with tracked entries."""
    format = name[:3]
    if issparse(arg):
        result = _sparse(arg, name)
    elif isinstance(arg, tuple) and len(arg) == 2 and np.ndim(bare(arg[0])):
        data = _entries(name, arg[0])
        rows, columns = (np.asarray(bare(place)) for place in arg[1])
        if not (rows.dtype.kind in "iu" or not rows.size) or not (columns.dtype.kind in "iu" or not columns.size):
            raise DTypeError(f"{name}: rows and columns must be whole numbers, got {rows.dtype} and {columns.dtype}")
        if rows.shape != data.shape or columns.shape != data.shape:
            raise ShapeError(f"{name}: {data.size} entries at {rows.shape} rows and {columns.shape} columns")
        if shape is None:
            shape = (int(rows.max(initial=-1)) + 1, int(columns.max(initial=-1)) + 1)
        shape = (int(shape[0]), int(shape[1]))
        for place, n, words in ((rows, shape[0], "row"), (columns, shape[1], "column")):
            if place.size and not (0 <= place.min() and place.max() < n):
                raise ArgumentError(f"{name}: a {words} index lies outside of the shape {shape}")
        result = _from_places(data, (rows, columns), shape, format)
    elif isinstance(arg, tuple) and len(arg) == 3 and format != "coo":
        data, indices, indptr = _entries(name, arg[0]), np.asarray(arg[1]), np.asarray(arg[2])
        major = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
        lengths = (indptr.size - 1, int(indices.max(initial=-1)) + 1)
        turn = 1 if format == "csr" else -1
        return _made(name, (data, (major, indices)[::turn]), lengths[::turn] if shape is None else shape, dtype)
    elif isinstance(arg, tuple) and len(arg) == 2 and all(isinstance(n, (int, np.integer)) for n in arg):
        nothing = np.zeros(0, int)
        result = _from_places(
            _tensor(np.zeros(0, dtype or float)), (nothing, nothing), (int(arg[0]), int(arg[1])), format
        )
    else:
        dense = _floats(arg)
        if dense.ndim != 2:
            raise ShapeError(
                f"{name}: needs a matrix, a pair (data, (i, j)) or a sparse array, got shape {dense.shape}"
            )
        # A zero that is tracked is an entry, too: it may grow.
        places = np.nonzero(dense.data if dense._node is None else np.ones(dense.shape, bool))
        result = _from_places(dense[places], places, dense.shape, format)
    if shape is not None and result.shape != tuple(shape):
        raise ShapeError(f"{name}: shape={tuple(shape)} for an array of shape {result.shape}")
    result = result.asformat(format)
    return result if dtype is None or result.dtype == dtype else result.astype(dtype)


def _entries(name: str, data: Any, ndim: int | None = 1) -> Any:
    entries = _floats(data)
    if entries.ndim != (entries.ndim if ndim is None else ndim):
        raise ShapeError(f"{name}: the entries must be one axis, got shape {entries.shape}")
    return entries


def _diagonal(shape: tuple[int, int], k: int) -> tuple[Any, Any]:
    """The rows and the columns of the elements of a diagonal."""
    place = np.arange(max(min(shape[0] + min(k, 0), shape[1] - max(k, 0)), 0))
    return place - min(k, 0), place + max(k, 0)


def csr_array(arg1: SparseInput, shape: tuple[int, int] | None = None, dtype: DTypeLike | None = None) -> SparseArray:
    """A sparse array stored by rows, with ``scipy.sparse.csr_array``'s arguments; its entries may be tracked.

    Parameters
    ----------
    arg1 : sparse array, (data, (i, j)), (data, indices, indptr), (m, n) or dense matrix
        ``data`` (nnz,) is an array or a Tensor; entries at one place are added. Of a dense matrix the elements that are
        not zero are entries; of a tracked one all are, whose zeros have a derivative, too.
    shape : (int, int), optional
    dtype : data-type, optional

    Returns
    -------
    SparseArray

    Raises
    ------
    ShapeError, ArgumentError
        If the parts do not fit together or an index lies outside.

    Examples
    --------
    >>> import autodiff
    >>> t = autodiff.tensor([2.0, 3.0], requires_grad=True)
    >>> A = csr_array((t, ([0, 1], [1, 0])), shape=(2, 2))
    >>> (A @ np.array([1.0, 10.0])).sum().backward()
    >>> t.grad
    array([10.,  1.])
    """
    return _made("csr_array", arg1, shape, dtype)


def csc_array(arg1: SparseInput, shape: tuple[int, int] | None = None, dtype: DTypeLike | None = None) -> SparseArray:
    """A sparse array stored by columns, with ``scipy.sparse.csc_array``'s arguments; otherwise as :func:`csr_array`.

    Examples
    --------
    >>> csc_array(([1.0, 2.0], ([0, 1], [1, 0]))).toarray().tolist()
    [[0.0, 1.0], [2.0, 0.0]]
    """
    return _made("csc_array", arg1, shape, dtype)


def coo_array(arg1: SparseInput, shape: tuple[int, int] | None = None, dtype: DTypeLike | None = None) -> SparseArray:
    """A sparse array of triplets, with ``scipy.sparse.coo_array``'s arguments; entries at one place stay apart until a
    product or a conversion adds them.

    Examples
    --------
    >>> coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(1, 2)).tocsr().data.tolist()
    [3.0]
    """
    return _made("coo_array", arg1, shape, dtype)


def diags_array(
    diagonals: Sequence[ArrayLike] | Tensor | np.ndarray[Any, Any],
    offsets: int | Sequence[int] = 0,
    shape: tuple[int, int] | None = None,
    format: str | None = None,
    dtype: DTypeLike | None = None,
) -> SparseArray:
    """A sparse array from its diagonals, as ``scipy.sparse.diags_array`` and ``diags``.

    Parameters
    ----------
    diagonals : sequence of (n_k,) arrays or Tensors or numbers, or one array
        A number, or a diagonal of length one, is repeated.
    offsets : int or sequence of int
        0 is the main diagonal, k > 0 lies above it.
    shape : (int, int), optional
        By default square and just large enough.
    format : {"csr", "csc", "coo"}, optional
        "csr" by default.
    dtype : data-type, optional

    Raises
    ------
    ShapeError
        If a diagonal has another length than its place.

    Examples
    --------
    >>> diags_array([[1.0, 2.0], [3.0]], offsets=[0, 1]).toarray().tolist()
    [[1.0, 3.0], [0.0, 2.0]]
    """
    several: Any = diagonals
    if isinstance(offsets, int | np.integer):
        several, offsets = [several] if np.ndim(bare(several[0])) == 0 else several, [int(offsets)]
    parts = [_entries("diags_array", np.atleast_1d(_tensor(part))) for part in several]
    if len(parts) != len(offsets):
        raise ShapeError(f"diags_array: {len(parts)} diagonals for {len(offsets)} offsets")
    if shape is None:
        n = parts[0].size + abs(int(offsets[0]))
        shape = (n, n)
    rows, columns, data = [], [], []
    for part, k in zip(parts, map(int, offsets), strict=True):
        places = _diagonal(shape, k)
        length = len(places[0])
        if part.size not in (1, length):
            raise ShapeError(f"diags_array: diagonal {k} of shape {shape} has length {length}, got {part.size}")
        data.append(shaping.broadcast_to(part, (length,)))
        rows.append(places[0])
        columns.append(places[1])
    whole = (np.concatenate(rows), np.concatenate(columns))
    found = _from_places(shaping.concatenate(data), whole, shape, format or "csr").asformat(format)
    return found if dtype is None else found.astype(dtype)


diags = diags_array


def eye_array(
    m: int, n: int | None = None, k: int = 0, dtype: DTypeLike = float, format: str | None = None
) -> SparseArray:
    """Ones on the ``k``-th diagonal of an (m, n) array, as ``scipy.sparse.eye_array`` and ``eye``: a constant.

    Examples
    --------
    >>> eye_array(2, 3, k=1).toarray().tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return diags_array([1.0], [k], (m, m if n is None else n), format, dtype)


eye = eye_array


# --- assembly ---------------------------------------------------------------------------------------------------------


def block_array(
    blocks: Sequence[Sequence[SparseLike | ArrayLike | None]], format: str | None = None, dtype: DTypeLike | None = None
) -> SparseArray:
    """A sparse array from a table of blocks, as ``scipy.sparse.block_array`` and ``bmat``.

    Parameters
    ----------
    blocks : sequence of sequences of sparse arrays, dense matrices, Tensors or None
        None is a block of zeros. Sparse arrays of SciPy's are constants.
    format : {"csr", "csc", "coo"}, optional
        "csr" by default.
    dtype : data-type, optional

    Returns
    -------
    SparseArray

    Raises
    ------
    ShapeError
        If the blocks do not fit together.

    Examples
    --------
    >>> A, B = csr_array([[1.0]]), csr_array([[2.0, 0.0]])
    >>> block_array([[A, B], [B.T, None]]).toarray().tolist()
    [[1.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return _assembled("block_array", [list(row) for row in blocks], format, dtype)


bmat = block_array


def _block(block: Any) -> SparseArray:
    return _sparse(block) if issparse(block) else _made("csr_array", np.atleast_2d(block), None, None)


def _assembled(name: str, table: list[list[Any]], format: str | None, dtype: Any) -> SparseArray:
    given = [block for row in table for block in row if block is not None]
    own = list(map(_block, given))
    if not own:
        raise ShapeError(f"{name}: at least one block is needed")

    def put(*numbers: Any) -> Any:
        left = iter(numbers)
        rows = [[None if block is None else next(left) for block in row] for row in table]
        try:
            return require("scipy.sparse").block_array(rows, format="coo")
        except ValueError as error:
            raise ShapeError(f"{name}: {error}") from error

    found = _arranged(put, own, format)
    return found if dtype is None else found.astype(dtype)


def vstack(
    blocks: Sequence[SparseLike | ArrayLike], format: str | None = None, dtype: DTypeLike | None = None
) -> SparseArray:
    """Sparse arrays one under another, as ``scipy.sparse.vstack``; otherwise as :func:`block_array`.

    Examples
    --------
    >>> vstack([csr_array([[1.0, 0.0]]), csr_array([[0.0, 2.0]])]).toarray().tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    return _assembled("vstack", [[block] for block in blocks], format, dtype)


def hstack(
    blocks: Sequence[SparseLike | ArrayLike], format: str | None = None, dtype: DTypeLike | None = None
) -> SparseArray:
    """Sparse arrays side by side, as ``scipy.sparse.hstack``; otherwise as :func:`block_array`.

    Examples
    --------
    >>> hstack([csr_array([[1.0], [0.0]]), csr_array([[0.0], [2.0]])]).toarray().tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    return _assembled("hstack", [list(blocks)], format, dtype)


def block_diag(
    mats: Sequence[SparseLike | ArrayLike], format: str | None = None, dtype: DTypeLike | None = None
) -> SparseArray:
    """Sparse arrays along the diagonal, as ``scipy.sparse.block_diag``; otherwise as :func:`block_array`.

    Examples
    --------
    >>> block_diag([csr_array([[1.0]]), csr_array([[2.0, 3.0]])]).toarray().tolist()
    [[1.0, 0.0, 0.0], [0.0, 2.0, 3.0]]
    """
    parts = list(mats)
    table = [[block if i == j else None for j in range(len(parts))] for i, block in enumerate(parts)]
    return _assembled("block_diag", table, format, dtype)


def tril(A: SparseLike, k: int = 0, format: str | None = None) -> SparseArray:
    """The entries on and below the ``k``-th diagonal, as ``scipy.sparse.tril``.

    Examples
    --------
    >>> tril(csr_array([[1.0, 2.0], [3.0, 4.0]])).toarray().tolist()
    [[1.0, 0.0], [3.0, 4.0]]
    """
    return _arranged(lambda a: require("scipy.sparse").tril(a, k), [_sparse(A, "tril")], format)


def triu(A: SparseLike, k: int = 0, format: str | None = None) -> SparseArray:
    """The entries on and above the ``k``-th diagonal, as ``scipy.sparse.triu``.

    Examples
    --------
    >>> triu(csr_array([[1.0, 2.0], [3.0, 4.0]]), 1).toarray().tolist()
    [[0.0, 2.0], [0.0, 0.0]]
    """
    return _arranged(lambda a: require("scipy.sparse").triu(a, k), [_sparse(A, "triu")], format)


def kron(A: SparseLike | ArrayLike, B: SparseLike | ArrayLike, format: str | None = None) -> SparseArray:
    """The Kronecker product of sparse arrays, as ``scipy.sparse.kron``; the entries of both may be tracked.

    Examples
    --------
    >>> kron(eye_array(2), csr_array([[2.0, 1.0]])).toarray().tolist()
    [[2.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 1.0]]
    """
    return _paired(lambda a, b: require("scipy.sparse").kron(a, b, format="csr"), _block(A), _block(B), format)


def kronsum(A: SparseLike, B: SparseLike, format: str | None = None) -> SparseArray:
    """``kron(I, A) + kron(B, I)`` of square sparse arrays, as ``scipy.sparse.kronsum``: a Laplacian in two dimensions.

    Examples
    --------
    >>> kronsum(csr_array([[1.0]]), csr_array([[2.0, 1.0], [0.0, 2.0]])).toarray().tolist()
    [[3.0, 1.0], [0.0, 3.0]]
    """
    a, b = _square("kronsum", A), _square("kronsum", B)
    ones = [eye_array(m.shape[0], dtype=m.dtype) for m in (a, b)]
    return (kron(ones[1], a) + kron(b, ones[0])).asformat(format)


def matrix_power(A: SparseLike, power: int) -> SparseArray:
    """The matrix times itself, ``power`` times, as ``scipy.sparse.linalg.matrix_power``.

    Examples
    --------
    >>> matrix_power(csr_array([[1.0, 1.0], [0.0, 1.0]]), 3).toarray().tolist()
    [[1.0, 3.0], [0.0, 1.0]]
    """
    base = _square("matrix_power", A)
    if power != int(power) or power < 0:
        raise ArgumentError(f"matrix_power: the power must be a whole number from 0 on, got {power}; use spsolve")
    result = None if power else eye_array(base.shape[0], dtype=base.dtype)
    left = int(power)
    while left:
        if left % 2:
            result = base if result is None else _product(result, base)
        left //= 2
        base = _product(base, base) if left else base
    return result  # type: ignore[return-value]


# --- public solves ----------------------------------------------------------------------------------------------------


def _square(name: str, A: Any) -> SparseArray:
    matrix = _sparse(A, name)._ordered()
    if matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"{name}: the matrix must be square, its shape is {matrix.shape}")
    return matrix


def _right(name: str, matrix: SparseArray, b: Any) -> Any:
    if issparse(b):
        raise ArgumentError(f"{name}: the right-hand side must be dense; use b.toarray()")
    right = _floats(b)
    if right.ndim not in (1, 2) or right.shape[0] != matrix.shape[0]:
        raise ShapeError(f"{name}: a matrix of shape {matrix.shape} and a right-hand side of shape {right.shape}")
    return right


class SuperLU:
    """A factorisation that :func:`splu` made; ``solve(b, trans)`` is differentiable in b and in the entries."""

    def __init__(self, matrix: SparseArray, system: Direct) -> None:
        self._matrix, self._system = matrix.copy(), system  # what is written to the matrix later is not factorised
        self.shape = matrix.shape
        system.prepared(np.ascontiguousarray(bare(matrix.data)))

    def solve(self, rhs: ArrayLike, trans: str = "N") -> Tensor:
        """``x`` with ``A x = rhs``, or with the transpose ("T") or conjugate transpose ("H") of A."""
        if trans not in ("N", "T", "H"):
            raise ArgumentError(f"spsolve: trans must be 'N', 'T' or 'H', got {trans!r}")
        right = _right("spsolve", self._matrix, rhs)
        if trans == "H" and self._matrix.dtype.kind == "c":
            return np.conj(self.solve(np.conj(right), "T"))  # type: ignore[return-value]
        turned = self._matrix._turned != (trans != "N")
        return solve_.function(self._matrix.data, right, system=self._system, transposed=turned)  # type: ignore[no-any-return]


def splu(A: SparseLike, permc_spec: str | None = None, **options: object) -> SuperLU:
    """Factorise a sparse matrix once and solve with it many times, as ``scipy.sparse.linalg.splu``.

    Parameters
    ----------
    A : (n, n) sparse array of SciPy's or ours
    permc_spec, **options
        As SciPy's; "MMD_AT_PLUS_A" suits matrices with a symmetric pattern.

    Returns
    -------
    SuperLU
        With ``solve(b, trans="N")``.

    Raises
    ------
    SingularMatrixError
        If A is singular.

    Examples
    --------
    >>> lu = splu(csr_array([[2.0, 0.0], [1.0, 4.0]]))
    >>> lu.solve(np.array([2.0, 5.0])).data, lu.solve(np.array([2.0, 4.0]), "T").data
    (array([1., 1.]), array([0.5, 1. ]))
    """
    matrix = _square("splu", A)
    return SuperLU(matrix, Direct(matrix._pattern, permc_spec=permc_spec, **options))


def spsolve(A: SparseLike, b: ArrayLike, permc_spec: str | None = None, use_umfpack: bool = True) -> Tensor:
    """Solve ``A x = b`` with a sparse matrix, as ``scipy.sparse.linalg.spsolve``.

    Parameters
    ----------
    A : (n, n) sparse array of SciPy's or ours
        The entries of ours may be tracked.
    b : (n,) or (n, k)
    permc_spec : str, optional
        SuperLU's ordering of columns; "MMD_AT_PLUS_A" suits a symmetric pattern.
    use_umfpack : bool
        For SciPy's signature; SuperLU is used in either case.

    Returns
    -------
    Tensor, of b's shape
        Differentiable in ``b`` and in A's entries to any order; every derivative reuses the factorisation.

    Raises
    ------
    SingularMatrixError
        If A is singular, exactly or to working precision.
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> import autodiff
    >>> t = autodiff.tensor([2.0, 4.0], requires_grad=True)
    >>> x = spsolve(csr_array((t, ([0, 1], [0, 1]))), np.array([2.0, 2.0]))
    >>> x.data
    array([1. , 0.5])
    >>> x.sum().backward()
    >>> t.grad
    array([-0.5  , -0.125])
    """
    return splu(A, permc_spec).solve(b)


def _iterative(name: str, A: Any, b: Any, x0: Any, M: Any, options: dict[str, Any]) -> tuple[Tensor, int]:
    matrix = _square(name, A if issparse(A) else csr_array(A))
    right = _right(name, matrix, b)
    if right.ndim != 1:
        raise ShapeError(f"{name}: the right-hand side must be a vector, got shape {right.shape}")
    if isinstance(M, SparseArray):
        M = M.toscipy()
    start = None if x0 is None else np.asarray(bare(x0))
    system = Iterative(matrix, name, start, M, options)
    return solve_.function(matrix.data, right, system=system, transposed=matrix._turned), 0


def cg(
    A: SparseLike | ArrayLike,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: object = None,
    callback: Callable[[np.ndarray[Any, Any]], object] | None = None,
) -> tuple[Tensor, int]:
    """Solve ``A x = b`` with a symmetric positive definite matrix by conjugate gradients, as
    ``scipy.sparse.linalg.cg``.

    Parameters
    ----------
    A : (n, n) sparse array or dense matrix
        The entries of ours may be tracked.
    b : (n,)
    x0 : (n,), optional
        Where to start; not differentiated.
    rtol, atol, maxiter, M, callback
        As SciPy's. ``M`` is a constant.

    Returns
    -------
    x : Tensor (n,)
        Its derivative solves the adjoint system to the same tolerance, so it is as exact as ``x``.
    info : int
        Always 0.

    Raises
    ------
    ConvergenceError
        If the tolerance is not reached, here or in the adjoint system.

    Examples
    --------
    >>> x, info = cg(csr_array([[2.0, 1.0], [1.0, 2.0]]), np.array([3.0, 3.0]), rtol=1e-10)
    >>> bool(np.allclose(x.data, [1.0, 1.0]))
    True
    """
    return _iterative("cg", A, b, x0, M, {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback})


def gmres(
    A: SparseLike | ArrayLike,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    restart: int | None = None,
    maxiter: int | None = None,
    M: object = None,
) -> tuple[Tensor, int]:
    """Solve ``A x = b`` by the generalised minimal residual method, as ``scipy.sparse.linalg.gmres``; otherwise as
    :func:`cg`.

    Examples
    --------
    >>> x, info = gmres(csr_array([[2.0, 1.0], [0.0, 2.0]]), np.array([3.0, 2.0]), rtol=1e-10)
    >>> bool(np.allclose(x.data, [1.0, 1.0]))
    True
    """
    return _iterative("gmres", A, b, x0, M, {"rtol": rtol, "atol": atol, "restart": restart, "maxiter": maxiter})


def __getattr__(name: str) -> Any:
    theirs = "scipy.sparse" + ("" if hasattr(require("scipy.sparse"), name) else ".linalg")
    raise absent("autodiff.sparse", name, theirs, "A.toscipy() is its constant argument")
