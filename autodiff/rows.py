"""Gradients of a few rows of a large table.

Reading n rows of a table of a million sends a gradient to n of them. With ``sparse=True`` the table's ``grad`` holds
these rows alone, a :class:`RowSparse`. That is a gradient at rest: on its way through a graph, in a transform, in a
hook, and for whoever takes it for an array, a gradient is dense.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import kernels
from autodiff.core.errors import DTypeError

#: Of these the dense matrix is asked.
_QUESTIONS = frozenset({np.isfinite, np.isinf, np.isnan})


def added_by_row(places: Any, g: Any, count: int) -> Any:
    """The matrix (count, D) of the sums of those rows of ``g`` (N, D) that ``places`` (N,) sends to the same row, added
    one after the other.
    """
    width = g.shape[1]
    if kernels.large(g.size, kernels.LEAST_OF_MANY) and kernels.ready(g := np.require(g, None, ("C", "W"))):
        sums = np.empty((count, width), g.dtype)
        try:
            kernels.run("add_by_row", width, g.size, np.require(places, np.intp, ("C", "W")), g, sums)
        except kernels.KernelFailure:
            pass
        else:
            return sums
    sums = np.zeros((count, width), g.dtype)
    # Elements instead of rows: np.add.at takes its fast path for a flat index only, 0.9 ms against 4.3 at 2048 rows of
    # 64 float32.
    np.add.at(sums.reshape(-1), (places[:, None] * width + np.arange(width)).reshape(-1), g.reshape(-1))
    return sums


class RowSparse(np.lib.mixins.NDArrayOperatorsMixin):
    """A matrix that is zero but for some rows: the gradient of a table of which a few rows were read.

    ``np.asarray`` gives the dense matrix. A sum with another one, a product with a number and a change of sign are
    again of this kind; a sum with an array is an array. NumPy's other functions refuse it.

    Parameters
    ----------
    shape : (int, int)
    rows : int, (N,)
        Each in [0, shape[0]); entries of a row that is named more than once are added.
    values : (N, shape[1])

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    is_sparse : bool
        True, as of PyTorch's sparse gradients.

    Examples
    --------
    >>> import autodiff
    >>> from nn import functional as F
    >>> table = autodiff.tensor([[1.0], [2.0], [3.0], [4.0]], requires_grad=True)
    >>> F.embedding([3, 0, 3], table, sparse=True).sum().backward()
    >>> table.grad
    RowSparse(shape=(4, 1), dtype=float64, rows=2)
    >>> table.grad.indices(), table.grad.values().ravel()
    (array([[0, 3]]), array([1., 2.]))
    >>> table.grad.to_dense().ravel()
    array([1., 0., 0., 2.])
    """

    __slots__ = ("_rows", "_values", "shape")

    is_sparse = True
    ndim = 2

    def __init__(self, shape: tuple[int, ...], rows: Any, values: Any) -> None:
        self.shape = shape
        self._rows, place = np.unique(rows, return_inverse=True)
        self._values = added_by_row(place.reshape(-1), values, len(self._rows))

    def _with(self, values: Any) -> RowSparse:
        """The same rows with other values."""
        made = RowSparse.__new__(RowSparse)
        made.shape, made._rows, made._values = self.shape, self._rows, values
        return made

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self._values.dtype  # type: ignore[no-any-return]

    def indices(self) -> Any:
        """The rows, each once and in order: int (1, n), as PyTorch tells them."""
        return self._rows[None]

    def values(self) -> Any:
        """What these rows hold: (n, D)."""
        return self._values

    def coalesce(self) -> RowSparse:
        """This one, in which every row stands once."""
        return self

    def is_coalesced(self) -> bool:
        """True: every row stands once."""
        return True

    def to_dense(self) -> Any:
        """The whole matrix."""
        dense = np.zeros(self.shape, self.dtype)
        dense[self._rows] = self._values
        return dense

    def sum(self) -> Any:
        """The sum of all entries."""
        return self._values.sum()

    def clip(self, least: float, most: float) -> RowSparse:
        """Every entry in [least, most], which holds zero."""
        return self._with(np.clip(self._values, least, most))

    def copy(self) -> RowSparse:
        """The same in memory of its own."""
        return self._with(self._values.copy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        dense = self.to_dense()
        return dense if dtype is None else dense.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **options: Any) -> Any:
        target = out[0] if out else None
        found = NotImplemented if method != "__call__" or options else self._computed(ufunc, inputs, target)
        if found is NotImplemented:
            raise DTypeError(
                f"np.{ufunc.__name__} takes no gradient of rows; take its .to_dense(), or its .values() and .indices()"
            )
        if isinstance(target, RowSparse):
            target._rows, target._values, found = found._rows, found._values, target
        return found

    def _computed(self, ufunc: Any, inputs: Any, target: Any) -> Any:
        """The result of a ufunc that has one."""
        if ufunc in _QUESTIONS and target is None:
            return ufunc(self.to_dense())
        if ufunc in (np.negative, np.positive, np.conjugate):
            return self._with(ufunc(self._values))
        first, second = inputs[0], inputs[-1]
        if ufunc in (np.multiply, np.divide):
            factor = second if first is self else first
            if np.ndim(factor) == 0 and not (ufunc is np.divide and second is self):
                return self._with(ufunc(self._values, factor))
        if ufunc in (np.add, np.subtract):
            if isinstance(first, RowSparse) and isinstance(second, RowSparse) and first.shape == second.shape:
                more = second._values if ufunc is np.add else -second._values
                rows = np.concatenate([first._rows, second._rows])
                return RowSparse(self.shape, rows, np.concatenate([first._values, more]))
            other = second if first is self else first
            if isinstance(other, np.ndarray) and other.shape == self.shape and not isinstance(target, RowSparse):
                if first is self:
                    return ufunc(self.to_dense(), other, **({} if target is None else {"out": target}))
                dense = target if target is other else np.array(other, np.result_type(other, self.dtype))
                dense[self._rows] = ufunc(dense[self._rows], self._values)
                if target is not None and target is not other:
                    target[...] = dense
                    return target
                return dense
        return NotImplemented

    def __repr__(self) -> str:
        return f"RowSparse(shape={self.shape}, dtype={self.dtype}, rows={len(self._rows)})"


def no_gradient(g: Any) -> Any:
    """Zeros in a gradient's place: of a gradient of rows one of no rows."""
    if isinstance(g, RowSparse):
        return RowSparse(g.shape, np.zeros(0, np.intp), g.values()[:0])
    return np.zeros(g.shape, g.dtype)
