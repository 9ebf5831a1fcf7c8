"""Activation functions: each with the gradient written in what its forward has at hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.errors import ShapeError
from autodiff.fused.common import ZERO, at_least_zero, from_largest, fused, masked
from autodiff.ops.common import real_numbers

__all__ = ["log_softmax", "relu", "softmax"]


def relu_composed(x: Any) -> Any:
    """``max(x, 0)``, with gradient 0 at 0, as in PyTorch (docs/kinks.md).

    Parameters
    ----------
    x : array_like or Tensor, any shape

    Returns
    -------
    Tensor
        Of ``x``'s shape and dtype.

    Examples
    --------
    >>> relu([-1.0, 2.0]).data
    array([0., 2.])
    """
    return np.where(x <= 0, 0, x)


def relu_forward(x: Any) -> tuple[Any, Any]:
    """NaN stays NaN."""
    if x.dtype.kind == "c":
        real_numbers("relu", x)
    out = at_least_zero(x)
    return out, (out,)


def relu_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``dx = g`` where ``x > 0`` or NaN, that is where the output is not 0; exactly 0 elsewhere. All of x's shape."""
    (out,) = residuals
    return (masked(g, np.not_equal(out, ZERO.get(out.dtype, 0))),)


relu = fused(
    relu_composed, lambda draw: ((draw.array(draw.shape(), avoid=(0.0,)),), {}), "y = max(x, 0)", real_only=True
)


def _has_axes(name: str, x: Any) -> None:
    if not x.ndim:
        raise ShapeError(f"{name}: a number has no axis along which probabilities sum to 1; pass an array")


def softmax_composed(x: Any, *, axis: int = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along an axis.

    Parameters
    ----------
    x : array_like or Tensor
    axis : int

    Returns
    -------
    Tensor
        Of ``x``'s shape, positive, summing to 1 along the axis.

    Examples
    --------
    >>> softmax([0.0, 0.0]).data
    array([0.5, 0.5])
    """
    below, others = from_largest(x, axis)
    return np.exp(below) / (1 + np.sum(others, axis=axis, keepdims=True))


def softmax_forward(x: Any, *, axis: int = -1) -> tuple[Any, Any]:
    """The largest entry is subtracted first, so that no exponential overflows."""
    real_numbers("softmax", x)
    _has_axes("softmax", x)
    y = np.asarray(np.subtract(x, np.max(x, axis=axis, keepdims=True, initial=-np.inf)))
    np.exp(y, out=y)
    y /= np.sum(y, axis=axis, keepdims=True)
    return y, (y, axis)


def softmax_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``dy_i / dx_j = y_i (delta_ij - y_j)``, so ``dx = y * (g - sum(g * y))``, the sum along the axis. All of x's
    shape.
    """
    y, axis = residuals
    gy = g * y
    gy -= y * np.sum(gy, axis=axis, keepdims=True)
    return (_balanced(gy, y, axis),)


def _balanced(dx: Any, y: Any, axis: int) -> Any:
    """Gradients that sum to 0 along the axis: where a probability is nearly 1, its entry by the others, since what is
    left of 1 is rounded.
    """
    if y.size and y.max() > _NEARLY_ONE:
        certain = y > _NEARLY_ONE
        others = np.where(certain, 0, dx)
        return np.where(certain, -np.sum(others, axis=axis, keepdims=True), others)
    return dx


_NEARLY_ONE = 0.9


def _sample_axis(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=1)
    return (draw.array(shape),), {"axis": draw.axis(len(shape))}


softmax = fused(softmax_composed, _sample_axis, "y = exp(x) / Σ exp(x)", real_only=True)


def log_softmax_composed(x: Any, *, axis: int = -1) -> Any:
    """``x - log(sum(exp(x)))`` along an axis, stable for any magnitude.

    Examples
    --------
    >>> log_softmax([1e4, 0.0]).data
    array([     0., -10000.])
    """
    below, others = from_largest(x, axis)
    return below - np.log1p(np.sum(others, axis=axis, keepdims=True))


def log_softmax_forward(x: Any, *, axis: int = -1) -> tuple[Any, Any]:
    """The largest entry is subtracted first."""
    real_numbers("log_softmax", x)
    _has_axes("log_softmax", x)
    if not x.size:
        return np.array(x), (np.array(x), axis)
    out = np.asarray(np.subtract(x, np.max(x, axis=axis, keepdims=True, initial=-np.inf)))
    out -= np.log(np.sum(np.exp(out), axis=axis, keepdims=True))
    return out, (out, axis)


def log_softmax_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``dx = g - softmax(x) * sum(g)``, the sum along the axis, and softmax is the output's exponential. All of x's
    shape.
    """
    out, axis = residuals
    y = np.asarray(np.exp(out))
    dx = np.asarray(y * np.sum(g, axis=axis, keepdims=True))
    np.subtract(g, dx, out=dx)
    return (_balanced(dx, y, axis),)


log_softmax = fused(log_softmax_composed, _sample_axis, "y = x - log Σ exp(x)", real_only=True)
