"""Convolutions over one, two or three axes: PyTorch's signatures over the fused primitives, which know no fixed number
of axes.
"""

from __future__ import annotations

from typing import Any

from autodiff import Tensor, fused
from autodiff.core.errors import ShapeError
from nn.functional.common import as_input, batched

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


def _conv(
    name: str, axes: int, input: Any, weight: Any, bias: Any, options: dict[str, Any], transposed: bool = False
) -> Tensor:
    weight = as_input(weight)
    if weight.ndim != axes + 2:
        first, second = ("C", "O / groups") if transposed else ("O", "C / groups")
        raise ShapeError(
            f"{name}: weight of shape {weight.shape}; it needs {axes + 2} axes, ({first}, {second}, kernel)"
        )
    x, single = batched(name, input, axes)
    op = fused.conv_transpose if transposed else fused.conv
    out = op.function(x, weight, None if bias is None else as_input(bias), **options)
    return out[0] if single else out  # type: ignore[no-any-return]


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Convolution over one axis; the kernel is not flipped.

    Parameters
    ----------
    input : (N, C, L) or (C, L)
    weight : (O, C / groups, K)
    bias : (O,) or None
    stride, dilation : int
    padding : int, "valid" or "same"
    groups : int

    Examples
    --------
    >>> conv1d(np.ones((2, 3, 8)), np.ones((4, 3, 3)), padding=1).shape
    (2, 4, 8)
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _conv("conv1d", 1, input, weight, bias, options)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Convolution over two axes; the kernel is not flipped.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    weight : (O, C / groups, KH, KW)
    bias : (O,) or None
    stride, dilation : int or one per axis
    padding : int, one per axis, "valid" or "same"
    groups : int

    Raises
    ------
    ShapeError, ArgumentError
        If shapes do not fit or an option is no such thing.

    Examples
    --------
    >>> conv2d(np.ones((2, 3, 8, 8)), np.ones((4, 3, 3, 3)), padding=1).shape
    (2, 4, 8, 8)
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _conv("conv2d", 2, input, weight, bias, options)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Convolution over three axes; the kernel is not flipped.

    Parameters
    ----------
    input : (N, C, D, H, W) or (C, D, H, W)
    weight : (O, C / groups, KD, KH, KW)
    bias : (O,) or None
    stride, dilation : int or one per axis
    padding : int, one per axis, "valid" or "same"
    groups : int

    Examples
    --------
    >>> conv3d(np.ones((2, 3, 8, 8, 8)), np.ones((4, 3, 3, 3, 3)), padding=1).shape
    (2, 4, 8, 8, 8)
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _conv("conv3d", 3, input, weight, bias, options)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of :func:`conv1d` as a linear map of its input.

    Parameters
    ----------
    input : (N, C, L) or (C, L)
    weight : (C, O / groups, K)
    bias : (O,) or None
    stride, padding, dilation : int
        Those of the convolution that is transposed.
    output_padding : int
        Added to the output's length, less than stride or dilation.
    groups : int

    Examples
    --------
    >>> conv_transpose1d(np.ones((2, 3, 4)), np.ones((3, 5, 3)), stride=2, padding=1, output_padding=1).shape
    (2, 5, 8)
    """
    options = {
        "stride": stride,
        "padding": padding,
        "output_padding": output_padding,
        "groups": groups,
        "dilation": dilation,
    }
    return _conv("conv_transpose1d", 1, input, weight, bias, options, transposed=True)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of :func:`conv2d` as a linear map of its input.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    weight : (C, O / groups, KH, KW)
    bias : (O,) or None
    stride, padding, dilation : int or one per axis
        Those of the convolution that is transposed.
    output_padding : int or one per axis
        Added to the output's length, less than stride or dilation.
    groups : int

    Examples
    --------
    >>> conv_transpose2d(np.ones((2, 3, 4, 4)), np.ones((3, 5, 3, 3)), stride=2, padding=1, output_padding=1).shape
    (2, 5, 8, 8)
    """
    options = {
        "stride": stride,
        "padding": padding,
        "output_padding": output_padding,
        "groups": groups,
        "dilation": dilation,
    }
    return _conv("conv_transpose2d", 2, input, weight, bias, options, transposed=True)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of :func:`conv3d` as a linear map of its input.

    Parameters
    ----------
    input : (N, C, D, H, W) or (C, D, H, W)
    weight : (C, O / groups, KD, KH, KW)
    bias : (O,) or None
    stride, padding, dilation : int or one per axis
        Those of the convolution that is transposed.
    output_padding : int or one per axis
        Added to the output's length, less than stride or dilation.
    groups : int

    Examples
    --------
    >>> x, w = np.ones((2, 3, 4, 4, 4)), np.ones((3, 5, 3, 3, 3))
    >>> conv_transpose3d(x, w, stride=2, padding=1, output_padding=1).shape
    (2, 5, 8, 8, 8)
    """
    options = {
        "stride": stride,
        "padding": padding,
        "output_padding": output_padding,
        "groups": groups,
        "dilation": dilation,
    }
    return _conv("conv_transpose3d", 3, input, weight, bias, options, transposed=True)
