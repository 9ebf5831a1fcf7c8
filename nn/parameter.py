"""A Parameter: a Tensor that a Module learns; and those of lazy layers, whose shapes come later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError
from autodiff.dispatch import bare

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["Parameter", "UninitializedBuffer", "UninitializedParameter"]


class Parameter(Tensor):
    """A leaf Tensor that requires a gradient and registers itself when assigned to a Module.

    Parameters
    ----------
    data : array_like or Tensor
        Copied.
    requires_grad : bool
        False freezes it.
    dtype : dtype, optional
        Default: the data's; integers become float32.

    Examples
    --------
    >>> Parameter([1.0, 2.0]).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: ArrayLike, requires_grad: bool = True, dtype: DTypeLike | None = None) -> None:
        if dtype is None and np.asarray(bare(data)).dtype.kind in "biu":
            dtype = np.float32
        super().__init__(data, requires_grad, dtype)


class Unknown:
    """What a parameter and a buffer without a shape have in common: any use of it is refused by name."""

    __slots__ = ()

    @property
    def _data(self) -> Any:
        raise ArgumentError(
            f"{type(self).__name__}: a lazy layer has no shapes before its first call; call the model on a batch"
            " first, then count, freeze or save parameters"
        )

    @_data.setter
    def _data(self, value: Any) -> None:
        pass

    _array = _data

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> Any:
        return type(self), ()

    def __copy__(self) -> Any:
        return type(self)()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return memo.setdefault(id(self), type(self)())


class UninitializedParameter(Unknown, Parameter):
    """A parameter whose shape is not known yet; :class:`LazyLinear` and its like hold them before their first call.

    Examples
    --------
    >>> UninitializedParameter()
    <UninitializedParameter>
    """

    __slots__ = ()

    def __init__(self) -> None:
        self._node = None

    @property
    def requires_grad(self) -> bool:
        """It does, once there is something that can have a gradient; freezing it before is refused."""
        return True

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not value:
            _ = self._data

    def materialize(self, data: ArrayLike) -> None:
        """Become an ordinary parameter that holds ``data``."""
        self.__class__ = Parameter  # type: ignore[assignment]
        Parameter.__init__(self, data)


class UninitializedBuffer(Unknown, Tensor):
    """A buffer whose shape is not known yet; see :class:`UninitializedParameter`."""

    __slots__ = ()

    def __init__(self) -> None:
        self._node = None

    def materialize(self, data: ArrayLike) -> None:
        """Become an ordinary buffer that holds ``data``."""
        self.__class__ = Tensor  # type: ignore[assignment]
        Tensor.__init__(self, data)
