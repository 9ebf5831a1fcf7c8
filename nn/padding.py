"""Padding layers: one rule, a class for each mode and number of dimensions, as in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, ShapeError
from nn import functional as F
from nn.module import Module

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """Pad the last ``dims`` dimensions.

    Parameters
    ----------
    padding : int or sequence of int
        The same amount everywhere, or ``(left, right)`` of the last dimension, then of the last but one, and so on.

    Raises
    ------
    ArgumentError
        If their number is wrong.
    """

    dims: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.dims) if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 2 * self.dims:
            raise ArgumentError(
                f"{type(self).__name__}: padding needs one integer or {2 * self.dims}, got {len(self.padding)}"
            )

    def forward(self, input: ArrayLike) -> Tensor:
        """(..., C, *lengths) or (C, *lengths) -> the same with longer lengths."""
        return self._padded(input, None)

    def _padded(self, input: Any, value: float | None) -> Tensor:
        x = input if isinstance(input, Tensor) else Tensor(input)
        if x.ndim not in (self.dims + 1, self.dims + 2):
            raise ShapeError(
                f"{type(self).__name__}: input has shape {x.shape}; it needs {self.dims + 1} or {self.dims + 2}"
                " dimensions"
            )
        return F.pad(x, self.padding, self.mode, value)

    def extra_repr(self) -> str:
        """The amounts."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """Pad the last ``dims`` dimensions with ``value``.

    Parameters
    ----------
    padding : int or sequence of int
    value : float
    """

    mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: ArrayLike) -> Tensor:
        """(..., C, *lengths) or (C, *lengths) -> the same with longer lengths."""
        return self._padded(input, self.value)

    def extra_repr(self) -> str:
        """The amounts and the value."""
        return f"padding={self.padding}, value={self.value}"


class ZeroPad1d(_Pad):
    """Zeros at the ends of the last dimension."""

    dims, mode = 1, "constant"


class ZeroPad2d(_Pad):
    """Zeros around the last two dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroPad2d((1, 0, 2, 0))(np.ones((1, 2, 2))).shape
    (1, 4, 3)
    """

    dims, mode = 2, "constant"


class ZeroPad3d(_Pad):
    """Zeros around the last three dimensions."""

    dims, mode = 3, "constant"


class ConstantPad1d(_ConstantPad):
    """``value`` at the ends of the last dimension."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """``value`` around the last two dimensions."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """``value`` around the last three dimensions."""

    dims = 3


class ReflectionPad1d(_Pad):
    """The last dimension mirrored at its ends, which are not repeated."""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The last two dimensions mirrored at their borders, which are not repeated."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The last three dimensions mirrored at their borders, which are not repeated."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The ends of the last dimension repeated."""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The borders of the last two dimensions repeated."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The borders of the last three dimensions repeated."""

    dims, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """The last dimension continued from its other end."""

    dims, mode = 1, "circular"


class CircularPad2d(_Pad):
    """The last two dimensions continued from their other ends."""

    dims, mode = 2, "circular"


class CircularPad3d(_Pad):
    """The last three dimensions continued from their other ends."""

    dims, mode = 3, "circular"
