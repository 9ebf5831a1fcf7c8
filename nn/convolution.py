"""Convolution layers: parameters and padding modes over the functions, one class per number of axes, as in PyTorch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.docstrings import of_kind
from autodiff.fused.windows import per_axis
from nn import functional as F
from nn import init
from nn.functional.common import as_input
from nn.module import Module
from nn.parameter import Parameter

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """A product of a learned kernel with every window of the input.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or one per axis
    stride, dilation : int or one per axis
    padding : int, one per axis, "valid" or "same"
    groups : int
        Channels are split in so many groups that do not meet.
    bias : bool
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What stands in the padding, see :func:`nn.functional.pad`.
    dtype : dtype
    generator : numpy.random.Generator, optional
        Draws the initial values.

    Attributes
    ----------
    weight : Parameter, ``(out_channels, in_channels / groups, *kernel_size)``
    bias : Parameter, (out_channels,), or None

    Raises
    ------
    ArgumentError
        If an option is no such thing, or the groups do not divide the channels.

    Examples
    --------
    >>> ConvNd(3, 4, 3, stride=2, padding=1)(np.ones((2, 3, <8>), np.float32)).shape
    (2, 4, <4>)
    """

    _axes: ClassVar[int]
    _transposed: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "_axes" in cls.__dict__ or not hasattr(cls, "_axes"):
            of_kind(cls, getattr(cls, "_axes", None))

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        name, axes = type(self).__name__, self._axes
        if groups < 1 or in_channels < 0 or out_channels < 1 or in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{name}: {groups} groups must divide in_channels={in_channels} and out_channels={out_channels}"
            )
        if padding_mode not in _PADDING_MODES or (self._transposed and padding_mode != "zeros"):
            allowed = ("zeros",) if self._transposed else _PADDING_MODES
            raise ArgumentError(f"{name}: padding_mode must be one of {allowed}, got {padding_mode!r}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, axes, 1)
        self.stride = per_axis(name, "stride", stride, axes, 1)
        self.dilation = per_axis(name, "dilation", dilation, axes, 1)
        if isinstance(padding, str):
            words = "" if self._transposed else "'valid', 'same' or "
            if self._transposed or padding not in ("valid", "same"):
                raise ArgumentError(f"{name}: padding must be {words}integers, got {padding!r}")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ArgumentError(f"{name}: padding 'same' needs stride 1, got {stride!r}")
            self.padding: Any = padding
        else:
            self.padding = per_axis(name, "padding", padding, axes, 0)
        self.output_padding = (0,) * axes
        self.groups, self.padding_mode = groups, padding_mode
        first, second = (in_channels, out_channels) if self._transposed else (out_channels, in_channels)
        self.weight = Parameter(np.empty((first, second // groups, *self.kernel_size), dtype))
        self.register_parameter("bias", Parameter(np.empty(out_channels, dtype)) if bias else None)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: np.random.Generator | None = None) -> None:
        """Draw the initial values anew: both uniform within ``1 / sqrt(fan_in)``, which is PyTorch's Kaiming rule with
        ``a = sqrt(5)``.
        """
        fan_in = self.weight.size // max(self.weight.shape[0], 1)
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        init.uniform_(self.weight, -bound, bound, generator)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound, generator)

    def extra_repr(self) -> str:
        """The sizes, and the options that are not the default."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        plain = {
            "padding": (0,) * self._axes,
            "output_padding": (0,) * self._axes,
            "dilation": (1,) * self._axes,
            "groups": 1,
        }
        parts += [f"{name}={getattr(self, name)}" for name, usual in plain.items() if getattr(self, name) != usual]
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)

    def forward(self, input: ArrayLike) -> Tensor:
        """(N, in_channels, ...) or (in_channels, ...) to the same with out_channels."""
        function = (F.conv1d, F.conv2d, F.conv3d)[self._axes - 1]
        padding = self.padding
        if self.padding_mode != "zeros" and padding != "valid":
            input = F.pad(input, self._amounts(), self.padding_mode)
            padding = 0
        return function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _amounts(self) -> list[int]:
        """Padding in the order of :func:`nn.functional.pad`: last axis first, before and after."""
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            pairs = [(total // 2, total - total // 2) for total in totals]
        else:
            pairs = [(p, p) for p in self.padding]
        return [amount for pair in reversed(pairs) for amount in pair]


of_kind(_Conv, None)


class Conv1d(_Conv):
    """Convolution of (N, C, L) or (C, L) with a learned kernel."""

    _axes = 1


class Conv2d(_Conv):
    """Convolution of (N, C, H, W) or (C, H, W) with a learned kernel."""

    _axes = 2


class Conv3d(_Conv):
    """Convolution of (N, C, D, H, W) or (C, D, H, W) with a learned kernel."""

    _axes = 3


class _Transpose(_Conv):
    """The transpose of a convolution: every element of the input spreads a learned kernel over the output.

    Parameters
    ----------
    stride, padding, dilation : int or one per axis
        Those of the convolution that is transposed.
    output_padding : int or one per axis
        Added to the output's length, less than stride or dilation.
    padding_mode : {"zeros"}

    Attributes
    ----------
    weight : Parameter, ``(in_channels, out_channels / groups, *kernel_size)``
    bias : Parameter, (out_channels,), or None

    Examples
    --------
    >>> ConvTransposeNd(3, 4, 4, stride=2, padding=1)(np.ones((2, 3, <8>), np.float32)).shape
    (2, 4, <16>)
    """

    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        extra = per_axis(type(self).__name__, "output_padding", output_padding, self._axes, 0)
        options = (stride, padding, dilation, groups, bias, padding_mode, dtype, generator)
        super().__init__(in_channels, out_channels, kernel_size, *options)
        self.output_padding = extra

    def forward(self, input: ArrayLike, output_size: Any = None) -> Tensor:
        """(N, in_channels, ...) to (N, out_channels, ...).

        Parameters
        ----------
        input : (N, in_channels, ...) or (in_channels, ...)
        output_size : sequence of int, optional
            The output's last axes, in the place of ``output_padding``.

        Raises
        ------
        ArgumentError
            If no ``output_padding`` leads to ``output_size``.
        """
        x = as_input(input)
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self._axes - 1]
        extra = self.output_padding if output_size is None else self._extra(x.shape, tuple(output_size))
        return function(x, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _extra(self, shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
        axes, name = self._axes, type(self).__name__
        if len(shape) < axes or len(wanted) < axes:
            raise ShapeError(f"{name}: output_size {wanted} for an input of shape {shape}; it needs {axes} numbers")
        options = zip(shape[-axes:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in options]
        extra = tuple(w - m for w, m in zip(wanted[-axes:], least, strict=True))
        if any(e < 0 or e >= max(s, d) for e, s, d in zip(extra, self.stride, self.dilation, strict=True)):
            raise ArgumentError(
                f"{name}: output_size {wanted} cannot be reached from an input of shape {shape}; the least is {least}"
            )
        return extra


class ConvTranspose1d(_Transpose):
    """Transposed convolution of (N, C, L) or (C, L) with a learned kernel."""

    _axes = 1


class ConvTranspose2d(_Transpose):
    """Transposed convolution of (N, C, H, W) or (C, H, W) with a learned kernel."""

    _axes = 2


class ConvTranspose3d(_Transpose):
    """Transposed convolution of (N, C, D, H, W) or (C, D, H, W) with a learned kernel."""

    _axes = 3
