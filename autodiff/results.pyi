# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false
# mypy: disable-error-code="override, misc, assignment"
"""What functions give, for type checkers alone.

An Array, a Tree and a Number are read as "either": what went in decides which of several kinds a value is, and it may
be used as any of them. On an ``Any`` a misspelled name is no error; on these it is one.
"""

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Protocol, TypeAlias, TypeVar, overload

import numpy as np
from scipy.sparse import coo_array, csc_array, csr_array

from autodiff.signatures import ArrayLike
from autodiff.sparse import SparseArray
from autodiff.tensor import Tensor

T = TypeVar("T")
K = TypeVar("K")
Weak = TypeVar("Weak", bound=Tensor | float)
Plain = TypeVar("Plain", bound=Mapping[Any, np.ndarray[Any, Any]] | Sequence[np.ndarray[Any, Any]])

#: A nested dict, list or tuple of arrays, or one array.
TreeLike: TypeAlias = ArrayLike | Mapping[Any, object] | Sequence[TreeLike] | None
#: Which axis of each argument holds the examples.
Axes: TypeAlias = int | Mapping[Any, object] | Sequence[Axes] | None

#: The shape of what is drawn; None for what the parameters broadcast to.
Size: TypeAlias = int | Sequence[int] | None
#: Where random numbers come from: a generator, or a seed for one.
Source: TypeAlias = np.random.Generator | int | None

#: None, by the state or the arguments that decide it; else what stands beside it (as in typeshed).
MaybeNone: TypeAlias = Any

#: Sparse arrays of SciPy's, and those and ours.
SciPyArray: TypeAlias = csr_array | csc_array | coo_array
SparseLike: TypeAlias = SparseArray | SciPyArray
#: What SciPy makes sparse arrays of: (data, (rows, columns)), (data, indices, indptr), a shape, a dense matrix.
SparseInput: TypeAlias = (
    SparseLike
    | tuple[ArrayLike, tuple[ArrayLike, ArrayLike] | list[ArrayLike]]
    | tuple[ArrayLike, ArrayLike, ArrayLike]
    | tuple[int, int]
    | ArrayLike
)

class Array(np.ndarray[Any, Any], Tensor):
    """An ndarray; a Tensor where it depends on something that is tracked."""

    data: np.ndarray[Any, Any]
    def __getitem__(self, key: object) -> Array: ...
    def __iter__(self) -> Iterator[Array]: ...
    def __add__(self, other: ArrayLike) -> Array: ...
    def __radd__(self, other: ArrayLike) -> Array: ...
    def __sub__(self, other: ArrayLike) -> Array: ...
    def __rsub__(self, other: ArrayLike) -> Array: ...
    def __mul__(self, other: ArrayLike) -> Array: ...
    def __rmul__(self, other: ArrayLike) -> Array: ...
    def __truediv__(self, other: ArrayLike) -> Array: ...
    def __rtruediv__(self, other: ArrayLike) -> Array: ...
    def __matmul__(self, other: ArrayLike) -> Array: ...
    def __rmatmul__(self, other: ArrayLike) -> Array: ...
    def __pow__(self, other: ArrayLike) -> Array: ...
    def __rpow__(self, other: ArrayLike) -> Array: ...
    def __neg__(self) -> Array: ...

class Tree(Array, dict[Any, Any], list[Any]):  # pyright: ignore[reportGeneralTypeIssues]
    """An Array, or a dict, list or tuple of trees: of the structure that an argument or a function's result has."""

    def __getitem__(self, key: object) -> Tree: ...
    def __iter__(self) -> Iterator[Tree]: ...
    def keys(self) -> KeysView[str]: ...
    def values(self) -> ValuesView[Tree]: ...
    def items(self) -> ItemsView[str, Tree]: ...

class Number(int):
    """A bool, int, float or complex number of Python's, by the dtype that it comes from.

    To type checkers an int may stand where a float or a complex number is asked for.
    """

class Gradient(Protocol):
    """Called as the function that is differentiated; gives the gradient in its first argument's structure."""

    @overload
    def __call__(self, x: Tensor | np.ndarray[Any, Any] | complex, /, *args: object, **kwargs: object) -> Array: ...
    @overload
    def __call__(self, tree: Plain, /, *args: object, **kwargs: object) -> Plain: ...
    @overload
    def __call__(self, tree: dict[K, Weak], /, *args: object, **kwargs: object) -> dict[K, Array]: ...
    @overload
    def __call__(self, tree: list[Weak], /, *args: object, **kwargs: object) -> list[Array]: ...
    @overload
    def __call__(self, tree: T, /, *args: object, **kwargs: object) -> T: ...

class ValueAndGradient(Protocol):
    """Called as the function that is differentiated; gives its value, and the gradient as :class:`Gradient` does."""

    @overload
    def __call__(
        self, x: Tensor | np.ndarray[Any, Any] | complex, /, *args: object, **kwargs: object
    ) -> tuple[Array, Array]: ...
    @overload
    def __call__(self, tree: Plain, /, *args: object, **kwargs: object) -> tuple[Array, Plain]: ...
    @overload
    def __call__(self, tree: dict[K, Weak], /, *args: object, **kwargs: object) -> tuple[Array, dict[K, Array]]: ...
    @overload
    def __call__(self, tree: list[Weak], /, *args: object, **kwargs: object) -> tuple[Array, list[Array]]: ...
    @overload
    def __call__(self, tree: T, /, *args: object, **kwargs: object) -> tuple[Array, T]: ...

class Mapped(Protocol):
    """Called with a stack of what the function takes; ``looped`` names what ran once per example."""

    looped: list[str]
    def __call__(self, *args: object, **kwargs: object) -> Tree: ...

class OptimizeResult(dict[str, object]):
    """SciPy's, with the solution in the structure of ``x0``."""

    x: Tree
    fun: Number
    jac: Tree
    success: bool
    status: int
    message: str
    nfev: int
    njev: int
    nhev: int
    nit: int

class RootResult(OptimizeResult):
    """SciPy's, whose ``fun`` holds the residuals."""

    fun: np.ndarray[Any, Any]

class LeastSquaresResult(RootResult):
    """SciPy's, whose ``fun`` holds the residuals and ``cost`` half the sum of their squares."""

    cost: Number
    grad: np.ndarray[Any, Any]
    optimality: float
    active_mask: np.ndarray[Any, Any]

class OdeResult(dict[str, object]):
    """SciPy's, with the times and the states as Tensors."""

    t: Tensor
    y: Tree
    sol: Callable[[ArrayLike], Tree] | MaybeNone
    t_events: list[Tensor] | MaybeNone
    y_events: list[Tree] | MaybeNone
    nfev: int
    njev: int
    nlu: int
    status: int
    message: str
    success: bool
