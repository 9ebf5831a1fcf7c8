"""The affine map: the operation in which a network spends most of its time."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.errors import ShapeError
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.fused.common import column_sums, fused
from autodiff.higher import stated
from autodiff.ops.products import rows_of

__all__ = ["linear"]

# A product of so many entries at least goes to np.matmul. ``dot`` fills its result with zeros before BLAS writes it, a
# twelfth of the time of (100, 100) @ (100, 3072), the weight gradient of the first layer of CS231n's network; but it
# begins a microsecond sooner.
_FILLED = THRESHOLDS["MATMUL"].value


def linear_composed(x: Any, weight: Any, bias: Any = None) -> Any:
    """``y = x W^T + b``.

    Parameters
    ----------
    x : (..., in)
    weight : (out, in)
    bias : (out,) or None

    Returns
    -------
    (..., out)

    Raises
    ------
    ShapeError
        If the lengths ``in`` or ``out`` disagree.

    Examples
    --------
    >>> import numpy as np
    >>> linear(np.ones((2, 3)), np.ones((4, 3)), np.zeros(4)).shape
    (2, 4)
    """
    _check(x, weight, bias)
    y = np.matmul(x, np.swapaxes(weight, 0, 1))
    return y if bias is None else y + bias


def _check(x: Any, weight: Any, bias: Any) -> None:
    shape = weight.shape
    if len(shape) != 2 or not x.ndim or x.shape[-1] != shape[1]:
        raise ShapeError(
            f"linear: x of shape {x.shape} with weight of shape {weight.shape}; they need shapes (..., in) and"
            " (out, in)"
        )
    if bias is not None and bias.shape != shape[:1]:
        raise ShapeError(
            f"linear: bias of shape {bias.shape} with weight of shape {weight.shape}; it needs shape"
            f" ({weight.shape[0]},)"
        )


def linear_forward(x: Any, weight: Any, bias: Any = None) -> tuple[Any, Any]:
    """One matrix product over all rows, the bias added in place."""
    shape, sizes = x.shape, weight.shape
    if len(shape) != 2:
        _check(x, weight, bias)
        y, (rows, _, _) = linear_forward(rows_of(x), weight, bias)
        return y.reshape(*shape[:-1], len(weight)), (rows, weight, shape)
    if len(sizes) != 2 or shape[1] != sizes[1] or (bias is not None and bias.shape != sizes[:1]):
        _check(x, weight, bias)
    y = x.dot(weight.T) if shape[0] * sizes[0] < _FILLED else np.matmul(x, weight.T)
    if bias is not None:
        if bias.dtype is y.dtype or np.result_type(y, bias) == y.dtype:
            y += bias
        else:
            y = y + bias
    return y, (x, weight, shape)


def linear_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With all leading axes flattened to N rows, ``y_no = sum_i x_ni W_oi + b_o``, so

    - ``dx_ni = sum_o g_no W_oi``: (N, in) = (N, out) (out, in)
    - ``dW_oi = sum_n g_no x_ni``: (out, in) = (out, N) (N, in)
    - ``db_o = sum_n g_no``: (out,)
    """
    rows, weight, shape = residuals
    need_x, need_weight, need_bias = needs
    dx = None
    if g.ndim != 2:
        g = rows_of(g)
    if need_x:
        dx = g.dot(weight) if rows.size < _FILLED else np.matmul(g, weight)
        if len(shape) != 2:
            dx = dx.reshape(shape)
    dweight = (g.T.dot(rows) if weight.size < _FILLED else np.matmul(g.T, rows)) if need_weight else None
    return dx, dweight, column_sums(g) if need_bias else None


def _sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    lead, n, m = draw.shape(min_ndim=0, max_ndim=2), draw.integer(0, 4), draw.integer(0, 4)
    bias = draw.array((m,)) if draw.boolean() else None
    return (draw.array((*lead, n)), draw.array((m, n)), bias), {}


linear = fused(linear_composed, _sample, "y = x Wᵀ + b")


# The three lines of linear_backward.
stated(
    linear,
    lambda g, x, weight, bias: np.matmul(g, weight),
    lambda g, x, weight, bias: np.matmul(np.transpose(rows_of(g)), rows_of(x)),
    lambda g, x, weight, bias: np.sum(rows_of(g), axis=0),
)
