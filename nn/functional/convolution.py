"""Convolutions over one, two or three axes: PyTorch's signatures over the fused primitives, which know no fixed number
of axes.
"""

from __future__ import annotations

from typing import Any

from autodiff import Tensor, fused
from autodiff.core.errors import ShapeError
from nn.functional.common import as_input, batched, for_axes

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


def _conv_over(axes: int) -> Any:
    def convNd(
        input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Tensor:
        """Convolution over <axes>; the kernel is not flipped.

        Parameters
        ----------
        input : (N, C, <L>) or (C, <L>)
        weight : (O, C / groups, <KL>)
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
        >>> convNd(np.ones((2, 3, <8>)), np.ones((4, 3, <3>)), padding=1).shape
        (2, 4, <8>)
        """
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return _conv(f"conv{axes}d", axes, input, weight, bias, options)

    return for_axes(convNd, axes)


def _transposed_over(axes: int) -> Any:
    def conv_transposeNd(
        input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, dilation: Any = 1,
    ) -> Tensor:  # fmt: skip
        """The transpose of :func:`convNd` as a linear map of its input.

        Parameters
        ----------
        input : (N, C, <L>) or (C, <L>)
        weight : (C, O / groups, <KL>)
        bias : (O,) or None
        stride, padding, dilation : int or one per axis
            Those of the convolution that is transposed.
        output_padding : int or one per axis
            Added to the output's length, less than stride or dilation.
        groups : int

        Raises
        ------
        ShapeError, ArgumentError
            If shapes do not fit or an option is no such thing.

        Examples
        --------
        >>> x, w = np.ones((2, 3, <4>)), np.ones((3, 5, <3>))
        >>> conv_transposeNd(x, w, stride=2, padding=1, output_padding=1).shape
        (2, 5, <8>)
        """
        options = {"stride": stride, "padding": padding, "output_padding": output_padding}
        options |= {"groups": groups, "dilation": dilation}
        return _conv(f"conv_transpose{axes}d", axes, input, weight, bias, options, transposed=True)

    return for_axes(conv_transposeNd, axes)


conv1d, conv2d, conv3d = map(_conv_over, (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = map(_transposed_over, (1, 2, 3))
