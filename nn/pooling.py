"""Pooling layers: options over the functions, one class per number of axes, as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from autodiff.fused.windows import per_axis
from nn import functional as F
from nn.module import Module
from nn.table import FunctionLayer

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _Pool(Module):
    """A function of windows and the options that it is called with."""

    _function: ClassVar[Callable[..., Any]]
    _shown: ClassVar[tuple[str, ...]]

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self._options = tuple(options)
        for name, value in options.items():
            setattr(self, name, value)

    def forward(self, input: ArrayLike) -> Any:
        """(N, C, ...) or (C, ...) to the same with fewer positions; with ``return_indices`` also where the maxima
        stand.
        """
        return type(self)._function(input, **{name: getattr(self, name) for name in self._options})

    def extra_repr(self) -> str:
        """The options that PyTorch shows."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._shown)


class _MaxPool(_Pool):
    """The largest element of every window. Options: :class:`MaxPool2d`."""

    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(
            {
                "kernel_size": kernel_size,
                "stride": kernel_size if stride is None else stride,
                "padding": padding,
                "dilation": dilation,
                "return_indices": return_indices,
                "ceil_mode": ceil_mode,
            }
        )


class MaxPool1d(_MaxPool):
    """Maxima over windows of (N, C, L); options as in :class:`MaxPool2d`."""

    _function = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest element of every window.

    Parameters
    ----------
    kernel_size : int or one per axis
    stride : int, one per axis, or None
        None: ``kernel_size``.
    padding, dilation : int or one per axis
    return_indices : bool
        Also return where each maximum stands in the flattened spatial axes.
    ceil_mode : bool
        Round the number of windows up.

    Examples
    --------
    >>> MaxPool2d(2)
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    >>> MaxPool2d(2)(np.arange(16.0).reshape(1, 4, 4)).data
    array([[[ 5.,  7.],
            [13., 15.]]])
    """

    _function = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """Maxima over windows of (N, C, D, H, W); options as in :class:`MaxPool2d`."""

    _function = staticmethod(F.max_pool3d)


class _AvgPool(_Pool):
    """The mean of every window. Options: :class:`AvgPool2d`."""

    _shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(
            {
                "kernel_size": kernel_size,
                "stride": kernel_size if stride is None else stride,
                "padding": padding,
                "ceil_mode": ceil_mode,
                "count_include_pad": count_include_pad,
                "divisor_override": divisor_override,
            }
        )


class AvgPool1d(_Pool):
    """Means over windows of (N, C, L); options as in :class:`AvgPool2d`, without ``divisor_override``."""

    _function = staticmethod(F.avg_pool1d)
    _shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(
            {
                "kernel_size": per_axis("AvgPool1d", "kernel_size", kernel_size, 1, 1),
                "stride": per_axis("AvgPool1d", "stride", kernel_size if stride is None else stride, 1, 1),
                "padding": per_axis("AvgPool1d", "padding", padding, 1, 0),
                "ceil_mode": ceil_mode,
                "count_include_pad": count_include_pad,
            }
        )


class AvgPool2d(_AvgPool):
    """The mean of every window.

    Parameters
    ----------
    kernel_size : int or one per axis
    stride : int, one per axis, or None
        None: ``kernel_size``.
    padding : int or one per axis
    ceil_mode : bool
        Round the number of windows up.
    count_include_pad : bool
        Whether the zeros of the padding count in the divisor.
    divisor_override : int or None
        Divide every sum by this (not in one dimension, as in PyTorch).

    Examples
    --------
    >>> AvgPool2d(2)(np.arange(16.0).reshape(1, 4, 4)).data
    array([[[ 2.5,  4.5],
            [10.5, 12.5]]])
    """

    _function = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    """Means over windows of (N, C, D, H, W); options as in :class:`AvgPool2d`."""

    _function = staticmethod(F.avg_pool3d)


class _AdaptiveAvgPool(_Pool):
    """Means over ``output_size`` windows that cover the input evenly. Options: :class:`AdaptiveAvgPool2d`."""

    _shown = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        super().__init__({"output_size": output_size})


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of (N, C, L); see :class:`AdaptiveAvgPool2d`."""

    _function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means over ``output_size`` windows that cover the input evenly.

    Parameters
    ----------
    output_size : int or one per axis; None for the input's own length

    Examples
    --------
    >>> AdaptiveAvgPool2d(1)(np.ones((2, 3, 5, 7))).shape
    (2, 3, 1, 1)
    """

    _function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of (N, C, D, H, W); see :class:`AdaptiveAvgPool2d`."""

    _function = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMaxPool(_Pool):
    """Largest elements of ``output_size`` windows that cover the input evenly. Options: :class:`AdaptiveMaxPool2d`."""

    _shown = ("output_size",)

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__({"output_size": output_size, "return_indices": return_indices})


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of (N, C, L); see :class:`AdaptiveMaxPool2d`."""

    _function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Largest elements of ``output_size`` windows that cover the input evenly.

    Parameters
    ----------
    output_size : int or one per axis; None for the input's own length
    return_indices : bool
        Also return where each maximum stands in the flattened spatial axes.
    """

    _function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima of (N, C, D, H, W); see :class:`AdaptiveMaxPool2d`."""

    _function = staticmethod(F.adaptive_max_pool3d)


class LPPool1d(FunctionLayer):
    """The p-norm of every window: :func:`nn.functional.lp_pool1d`.

    Examples
    --------
    >>> LPPool1d(2, 2)(np.array([[3.0, 4.0, 6.0, 8.0]])).data
    array([[ 5., 10.]])
    """

    _function = staticmethod(F.lp_pool1d)
    norm_type: float
    kernel_size: Any
    stride: Any = None
    ceil_mode: bool = False


class LPPool2d(LPPool1d):
    """The p-norm of every window of (N, C, H, W) or (C, H, W); options as in :class:`LPPool1d`."""

    _function = staticmethod(F.lp_pool2d)


class LPPool3d(LPPool1d):
    """The p-norm of every window of (N, C, D, H, W) or (C, D, H, W); options as in :class:`LPPool1d`."""

    _function = staticmethod(F.lp_pool3d)


class _MaxUnpool(_Pool):
    """Maxima back where they stood. Options: :class:`MaxUnpool2d`."""

    _shown = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        stride = kernel_size if stride is None else stride
        super().__init__({"kernel_size": kernel_size, "stride": stride, "padding": padding})

    def forward(self, input: ArrayLike, indices: ArrayLike, output_size: Any = None) -> Any:  # type: ignore[override]
        """Maxima and their places to an input of the pooling, of the shape ``output_size`` if that is given."""
        options = {name: getattr(self, name) for name in self._options}
        return type(self)._function(input, indices, **options, output_size=output_size)


class MaxUnpool1d(_MaxUnpool):
    """Maxima of (N, C, L) back where they stood; options as in :class:`MaxUnpool2d`."""

    _function = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Maxima back where they stood, zeros elsewhere: :func:`nn.functional.max_unpool2d`.

    Parameters
    ----------
    kernel_size : int or one per axis
    stride : int, one per axis, or None
        None: ``kernel_size``.
    padding : int or one per axis

    Examples
    --------
    >>> maxima, where = MaxPool2d(2, return_indices=True)(np.array([[[1.0, 3.0], [5.0, 2.0]]]))
    >>> MaxUnpool2d(2)(maxima, where).data
    array([[[0., 0.],
            [5., 0.]]])
    """

    _function = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Maxima of (N, C, D, H, W) back where they stood; options as in :class:`MaxUnpool2d`."""

    _function = staticmethod(F.max_unpool3d)
