"""Pooling over one, two or three axes: PyTorch's signatures over the fused primitives, which know no fixed number of
axes.
"""

from __future__ import annotations

from typing import Any

from autodiff import Tensor, fused
from nn.functional.common import batched

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]


def _max(name: str, axes: int, adaptive: bool, input: Any, return_indices: bool, options: dict[str, Any]) -> Any:
    x, single = batched(name, input, axes)
    op = fused.adaptive_max_pool if adaptive else fused.max_pool
    if not return_indices:
        out = op.function(x, **options)
        return out[0] if single else out
    out, residuals = op.with_residuals(x, **options)
    where = Tensor(fused.maxima_of(residuals))
    return (out[0], where[0]) if single else (out, where)


def _mean(name: str, axes: int, op: Any, input: Any, options: dict[str, Any]) -> Tensor:
    x, single = batched(name, input, axes)
    out = op.function(x, **options)
    return out[0] if single else out  # type: ignore[no-any-return]


def max_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of every window; of equal ones the first takes the gradient.

    Parameters
    ----------
    input : (N, C, L) or (C, L)
    kernel_size, padding, dilation : int
    stride : int, or None for ``kernel_size``
    ceil_mode : bool
        Round the number of windows up.
    return_indices : bool
        Also return where each maximum stands, along L.

    Returns
    -------
    Tensor, or (Tensor, Tensor of int64)

    Examples
    --------
    >>> max_pool1d(np.ones((2, 3, 8)), 2).shape
    (2, 3, 4)
    """
    options = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": ceil_mode,
    }
    return _max("max_pool1d", 1, False, input, return_indices, options)


def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of every window; of equal ones the first takes the gradient.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    kernel_size, padding, dilation : int or one per axis
    stride : int or one per axis, or None for ``kernel_size``
    ceil_mode : bool
        Round the number of windows up.
    return_indices : bool
        Also return where each maximum stands, in the flattened H x W.

    Returns
    -------
    Tensor, or (Tensor, Tensor of int64)

    Examples
    --------
    >>> max_pool2d(np.ones((2, 3, 8, 8)), 2).shape
    (2, 3, 4, 4)
    """
    options = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": ceil_mode,
    }
    return _max("max_pool2d", 2, False, input, return_indices, options)


def max_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of every window; of equal ones the first takes the gradient.

    Parameters
    ----------
    input : (N, C, D, H, W) or (C, D, H, W)
    kernel_size, padding, dilation : int or one per axis
    stride : int or one per axis, or None for ``kernel_size``
    ceil_mode : bool
        Round the number of windows up.
    return_indices : bool
        Also return where each maximum stands, in the flattened D x H x W.

    Returns
    -------
    Tensor, or (Tensor, Tensor of int64)

    Examples
    --------
    >>> max_pool3d(np.ones((2, 3, 8, 8, 8)), 2).shape
    (2, 3, 4, 4, 4)
    """
    options = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": ceil_mode,
    }
    return _max("max_pool3d", 3, False, input, return_indices, options)


def avg_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """The mean of every window.

    Parameters
    ----------
    input : (N, C, L) or (C, L)
    kernel_size, padding : int
    stride : int, or None for ``kernel_size``
    ceil_mode : bool
        Round the number of windows up.
    count_include_pad : bool
        Whether the zeros of the padding count in the divisor.

    Examples
    --------
    >>> avg_pool1d(np.ones((2, 3, 8)), 2).shape
    (2, 3, 4)
    """
    options = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
    }
    return _mean("avg_pool1d", 1, fused.avg_pool, input, options)


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of every window.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    kernel_size, padding : int or one per axis
    stride : int or one per axis, or None for ``kernel_size``
    ceil_mode : bool
        Round the number of windows up.
    count_include_pad : bool
        Whether the zeros of the padding count in the divisor.
    divisor_override : int or None
        Divide every sum by this.

    Examples
    --------
    >>> avg_pool2d(np.ones((2, 3, 8, 8)), 2).shape
    (2, 3, 4, 4)
    """
    options = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
    }
    options["divisor_override"] = divisor_override
    return _mean("avg_pool2d", 2, fused.avg_pool, input, options)


def avg_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of every window.

    Parameters
    ----------
    input : (N, C, D, H, W) or (C, D, H, W)
    kernel_size, padding : int or one per axis
    stride : int or one per axis, or None for ``kernel_size``
    ceil_mode : bool
        Round the number of windows up.
    count_include_pad : bool
        Whether the zeros of the padding count in the divisor.
    divisor_override : int or None
        Divide every sum by this.

    Examples
    --------
    >>> avg_pool3d(np.ones((2, 3, 8, 8, 8)), 2).shape
    (2, 3, 4, 4, 4)
    """
    options = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
    }
    options["divisor_override"] = divisor_override
    return _mean("avg_pool3d", 3, fused.avg_pool, input, options)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Tensor:
    """The mean of each of ``output_size`` windows that cover the input evenly.

    Parameters
    ----------
    input : (N, C, L) or (C, L)
    output_size : int; None for the input's own length

    Examples
    --------
    >>> adaptive_avg_pool1d(np.ones((2, 4, 8)), 3).shape
    (2, 4, 3)
    """
    return _mean("adaptive_avg_pool1d", 1, fused.adaptive_avg_pool, input, {"output_size": output_size})


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Tensor:
    """The mean of each of ``output_size`` windows that cover the input evenly.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    output_size : int, or one per axis; None for the input's own length

    Examples
    --------
    >>> adaptive_avg_pool2d(np.ones((2, 4, 8, 8)), 3).shape
    (2, 4, 3, 3)
    """
    return _mean("adaptive_avg_pool2d", 2, fused.adaptive_avg_pool, input, {"output_size": output_size})


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Tensor:
    """The mean of each of ``output_size`` windows that cover the input evenly.

    Parameters
    ----------
    input : (N, C, D, H, W) or (C, D, H, W)
    output_size : int, or one per axis; None for the input's own length

    Examples
    --------
    >>> adaptive_avg_pool3d(np.ones((2, 4, 8, 8, 8)), 3).shape
    (2, 4, 3, 3, 3)
    """
    return _mean("adaptive_avg_pool3d", 3, fused.adaptive_avg_pool, input, {"output_size": output_size})


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each of ``output_size`` windows that cover the input evenly.

    Parameters
    ----------
    input : (N, C, L) or (C, L)
    output_size : int; None for the input's own length
    return_indices : bool
        Also return where each maximum stands, as in :func:`max_pool1d`.

    Examples
    --------
    >>> adaptive_max_pool1d(np.ones((2, 4, 8)), 3).shape
    (2, 4, 3)
    """
    return _max("adaptive_max_pool1d", 1, True, input, return_indices, {"output_size": output_size})


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each of ``output_size`` windows that cover the input evenly.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    output_size : int, or one per axis; None for the input's own length
    return_indices : bool
        Also return where each maximum stands, as in :func:`max_pool2d`.

    Examples
    --------
    >>> adaptive_max_pool2d(np.ones((2, 4, 8, 8)), 3).shape
    (2, 4, 3, 3)
    """
    return _max("adaptive_max_pool2d", 2, True, input, return_indices, {"output_size": output_size})


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each of ``output_size`` windows that cover the input evenly.

    Parameters
    ----------
    input : (N, C, D, H, W) or (C, D, H, W)
    output_size : int, or one per axis; None for the input's own length
    return_indices : bool
        Also return where each maximum stands, as in :func:`max_pool3d`.

    Examples
    --------
    >>> adaptive_max_pool3d(np.ones((2, 4, 8, 8, 8)), 3).shape
    (2, 4, 3, 3, 3)
    """
    return _max("adaptive_max_pool3d", 3, True, input, return_indices, {"output_size": output_size})
