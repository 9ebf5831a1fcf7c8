"""A Parameter: a Tensor that a Module learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import Tensor

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["Parameter"]


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

    def __init__(self, data: Any, requires_grad: bool = True, dtype: DTypeLike | None = None) -> None:
        if dtype is None and np.asarray(data._array if isinstance(data, Tensor) else data).dtype.kind in "biu":
            dtype = np.float32
        super().__init__(data, requires_grad, dtype)
