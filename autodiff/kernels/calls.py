"""What stands between fused operations and the compiled kernels: the same arguments and results as a fused forward and backward.

A ``..._forward`` here gives None for whatever its kernel is not made for, wrong shapes included: then NumPy's forward computes it or says what is
wrong. Residuals come as :class:`~autodiff.kernels.Kept`, by which :func:`~autodiff.kernels.either` knows whose backward they are for.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from autodiff.kernels import Kept, ready, run

__all__ = [
    "batch_norm_backward", "batch_norm_forward", "cross_entropy_backward", "cross_entropy_forward", "gelu_backward", "gelu_forward",
    "layer_norm_backward", "layer_norm_forward",
]  # fmt: skip


def _or(vector: Any, value: float, like: Any, shape: tuple[int, ...]) -> Any:
    return np.full(shape, value, like.dtype) if vector is None else vector


def _gradient(g: Any, like: Any) -> Any:
    return np.require(g, like.dtype, ("C", "W")).reshape(like.shape)


# --- layer normalisation ------------------------------------------------------------------------------------------------


def layer_norm_forward(x: Any, weight: Any = None, bias: Any = None, *, ndim: int = 1, eps: float = 1e-5) -> Any:
    """Residuals: rows (R, n), weight (n,), mean and scale (R,), x's shape, w's shape."""
    inner = x.shape[x.ndim - ndim :]
    if not 1 <= ndim <= x.ndim or not ready(x, weight, bias) or any(v is not None and v.shape != inner for v in (weight, bias)):
        return None
    n, number = prod(inner), x.dtype.type
    rows = x.reshape(-1, n)
    flat = _or(weight, 1.0, x, inner).reshape(n)
    out, mean, scale = np.empty_like(rows), np.empty(len(rows), x.dtype), np.empty(len(rows), x.dtype)
    run("layer_norm_forward", len(rows), x.size, rows, flat, _or(bias, 0.0, x, inner).reshape(n), out, mean, scale, number(1 / n), number(eps))
    return out.reshape(x.shape), Kept((rows, flat, mean, scale, x.shape, inner))


def layer_norm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Every share of the rows adds up its own ``dw`` and ``db``; they are added at the end."""
    rows, weight, mean, scale, shape, inner = residuals
    dx, n = np.empty_like(rows), rows.shape[1]
    partials = run(
        "layer_norm_backward", len(rows), rows.size, _gradient(g, rows), rows, weight, mean, scale, dx, rows.dtype.type(1 / n),
        partial=lambda: (np.zeros(n, rows.dtype), np.zeros(n, rows.dtype)),
    )  # fmt: skip
    dweight, dbias = (sum(parts[1:], parts[0]).reshape(inner) for parts in zip(*partials, strict=True))
    return dx.reshape(shape), dweight, dbias


# --- batch normalisation ------------------------------------------------------------------------------------------------


def batch_norm_forward(x: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5) -> Any:
    """Residuals as NumPy's forward leaves them, with x in the place of ``xhat``, and a weight always: (x, s, weight, mean, biased variance)."""
    if x.ndim < 2 or not ready(x, weight, bias) or x.size // x.shape[1] < 2 or any(v is not None and v.shape != x.shape[1:2] for v in (weight, bias)):
        return None
    channels, number = x.shape[1], x.dtype.type
    shaped, name = _channels(x)
    scale, mean, variance = (np.empty(channels, x.dtype) for _ in range(3))
    out = np.empty_like(shaped)
    weight = _or(weight, 1.0, x, (channels,))
    inverse = number(channels / x.size)
    run(f"{name}_forward", channels, x.size, shaped, weight, _or(bias, 0.0, x, (channels,)), out, mean, variance, scale, inverse, number(eps))
    return out.reshape(x.shape), Kept((x, scale, weight, mean, variance))


def _channels(x: Any) -> tuple[Any, str]:
    """x as the kernels take it, and their name: columns of a matrix, or channels of planes."""
    if x.size == x.shape[0] * x.shape[1]:
        return x.reshape(x.shape[:2]), "batch_norm_columns"
    return x.reshape(*x.shape[:2], prod(x.shape[2:])), "batch_norm_planes"


def batch_norm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """The simplified form of the NumPy backward, with ``xhat`` computed anew from x, which spares an array."""
    x, scale, weight, mean, _ = residuals
    shaped, name = _channels(x)
    dx, dweight, dbias = np.empty_like(shaped), np.empty_like(scale), np.empty_like(scale)
    channels = len(scale)
    inverse = x.dtype.type(channels / x.size)
    run(f"{name}_backward", channels, x.size, _gradient(g, shaped), shaped, weight, mean, scale, dx, dweight, dbias, inverse)
    return dx.reshape(x.shape), dweight, dbias


# --- softmax cross-entropy ----------------------------------------------------------------------------------------------


def cross_entropy_forward(
    logits: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
) -> Any:
    """For float32 scores (N, C) and class indices, without weights or ignored ones. Residuals: ``exp(x - max)``, its sums, target, scale."""
    if weight is not None or label_smoothing or reduction not in ("none", "mean", "sum") or not ready(logits, only=np.float32):
        return None
    if logits.ndim != 2 or target.dtype.kind not in "iu" or target.shape != logits.shape[:1]:
        return None
    n, classes = logits.shape
    if target.min() < 0 or target.max() >= classes or (0 <= ignore_index < classes and (target == ignore_index).any()):
        return None
    flat = np.ascontiguousarray(target, np.int64)
    e, total, losses = np.empty_like(logits), np.empty(n, np.float32), np.empty(n, np.float32)
    run("cross_entropy_forward", n, logits.size, logits, flat, e, total, losses)
    scale = np.float32(1 / n if reduction == "mean" else 1)
    return losses if reduction == "none" else losses.sum() * scale, Kept((e, total, flat, scale))


def cross_entropy_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``softmax - onehot`` times every example's part of g, in one pass."""
    e, total, target, scale = residuals
    each = np.empty(len(e), np.float32)
    np.multiply(g, scale, out=each)
    dx = np.empty_like(e)
    run("cross_entropy_backward", len(e), e.size, e, total, target, each, dx)
    return dx, None, None


# --- GELU ---------------------------------------------------------------------------------------------------------------


def gelu_forward(x: Any) -> Any:
    """For float32. Residual: the derivative at x."""
    if not ready(x, only=np.float32):
        return None
    out, slope = np.empty_like(x), np.empty_like(x)
    run("gelu_forward", x.size, x.size, x.reshape(-1), out.reshape(-1), slope.reshape(-1))
    return out, Kept((slope,))


def gelu_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``dx = g (Phi(x) + x p(x))``."""
    return (g * residuals[0],)
