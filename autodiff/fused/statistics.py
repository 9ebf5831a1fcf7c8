"""What the normalisations share: their checks, statistics over channels or rows, and the gradient through these.

Notation: m elements are reduced to a mean ``mu`` and a biased variance ``v``; ``s = 1 / sqrt(v + eps)``; ``xhat = (x -
mu) s``; ``y = w xhat + b``. Statistics are taken in two passes, mean first, so that a large mean costs no precision.
Channels stand second, ``(N, C, ...)``; rows are examples (or groups of channels in them) with all else flattened.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.arguments import refuse_negative
from autodiff.core.errors import ShapeError
from autodiff.fused.common import column_products, column_sums, number, row_means
from autodiff.ops.common import real_numbers

EPS_MODES = ("inside", "outside")


# --- checks ---------------------------------------------------------------------------------------------------------


def check_channels(name: str, x: Any, *vectors: Any, eps: float) -> None:
    """Refuse an x without channels, vectors that are not one number per channel, and an eps below 0."""
    real_numbers(name, x, *vectors)
    refuse_negative(f"{name}: eps", eps)
    if x.ndim < 2:
        raise ShapeError(f"{name}: x needs a batch and a channel axis, got shape {x.shape}")
    for vector in vectors:
        if vector is not None and vector.shape != x.shape[1:2]:
            raise ShapeError(
                f"{name}: x of shape {x.shape} has {x.shape[1]} channels, a per-channel argument has shape"
                f" {vector.shape}"
            )


def count(x: Any) -> int:
    """Values per channel."""
    return int(x.shape[0] * math.prod(x.shape[2:]))


def need_two(name: str, x: Any) -> None:
    """Refuse a single value per channel, whose variance would be zero."""
    if count(x) < 2:
        raise ShapeError(
            f"{name}: x of shape {x.shape} has {count(x)} value per channel; training needs two at least "
            "(a larger batch, or evaluation with running statistics)"
        )


def check_last(name: str, x: Any, ndim: int, eps: float, **vectors: Any) -> None:
    """Refuse more last axes than x has, vectors of another shape than these, and an eps below 0."""
    real_numbers(name, x, *vectors.values())
    refuse_negative(f"{name}: eps", eps)
    if not 1 <= ndim <= x.ndim:
        raise ShapeError(f"{name}: x of shape {x.shape} cannot be normalised over its last {ndim} axes")
    inner = x.shape[x.ndim - ndim :]
    for key, vector in vectors.items():
        if vector is not None and vector.shape != inner:
            raise ShapeError(f"{name}: {key} of shape {vector.shape} for x of shape {x.shape}; it needs {inner}")


# --- channels -------------------------------------------------------------------------------------------------------


def along_channels(vector: Any, ndim: int) -> Any:
    """(C,) as (1, C, 1, ...), to broadcast against channels second."""
    return vector if ndim == 2 else vector.reshape((1, -1) + (1,) * (ndim - 2))


def affine(xhat: Any, weight: Any, bias: Any) -> Any:
    """``w xhat + b``, of arrays or Tensors."""
    y = xhat if weight is None else xhat * along_channels(weight, xhat.ndim)
    return y if bias is None else y + along_channels(bias, xhat.ndim)


def channel_sums(x: Any) -> Any:
    """Sums over all axes but the second: (C,)."""
    if x.ndim == 2:
        return column_sums(x)
    return column_sums(np.add.reduce(x.reshape(_flat(x)), axis=2))


def channel_products(x: Any, y: Any) -> Any:
    """Sums of products over all axes but the second: (C,)."""
    if x.ndim == 2:
        return column_products(x, y)
    return column_sums(np.vecdot(x.reshape(_flat(x)), y.reshape(_flat(x))))


def _flat(x: Any) -> tuple[int, int, int]:
    """The shape with one axis behind the channels; there may be no rows."""
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])


def channel_moments(x: Any) -> tuple[Any, Any, Any]:
    """``mu`` (C,), ``x - mu`` (x's shape) and ``v`` (C,)."""
    m = number(count(x), x.dtype)
    mean = channel_sums(x) / m
    centred = x - along_channels(mean, x.ndim)
    return mean, centred, channel_products(centred, centred) / m


def through_channels(g: Any, centred: Any, variance_path: Any, mean_path: Any, stretch: Any) -> Any:
    """``dx = stretch (g - centred variance_path - mean_path)``: x's shape, from one number per channel of each."""
    ndim = g.ndim
    dx = centred * along_channels(variance_path, ndim)
    np.subtract(g, dx, dx)
    dx -= along_channels(mean_path, ndim)
    dx *= along_channels(stretch, ndim)
    return dx


def sample_channels(draw: Any, least: int, side: int) -> tuple[tuple[int, ...], Any, Any]:
    """A shape with ``least`` examples or more, a weight and a bias."""
    c = draw.integer(1, 3)
    shape = (draw.integer(least, 4), c, *draw.shape(max_ndim=2, max_side=side))
    return shape, draw.array((c,)) if draw.boolean() else None, draw.array((c,)) if draw.boolean() else None


# --- rows -----------------------------------------------------------------------------------------------------------


def normalised_rows(rows: Any, eps: float, centred: bool = True) -> tuple[Any, Any, Any, Any]:
    """Of rows (R, n) ``xhat`` (R, n), ``s``, ``mu`` and ``v`` (R,); not ``centred``, ``v`` is the mean square."""
    mean = row_means(rows) if centred else None
    xhat = rows if mean is None else rows - mean[:, None]
    square = np.vecdot(xhat, xhat)
    if square.dtype.kind != "f":
        square = square.astype(np.result_type(square.dtype, np.float16))
    square *= number(1.0 / max(rows.shape[1], 1), square.dtype)
    scale = square + number(float(eps), square.dtype)
    np.sqrt(scale, out=scale)
    np.reciprocal(scale, out=scale)
    if mean is None:
        return rows * scale[:, None], scale, None, square
    xhat *= scale[:, None]
    return xhat, scale, mean, square


def through_rows(h: Any, xhat: Any, scale: Any, shape: Any, centred: bool = True) -> Any:
    """``dx = s (h - mean(h) - xhat mean(h xhat))``, the means over a row; not ``centred``, without ``mean(h)``."""
    along = np.vecdot(h, xhat)
    along *= number(-1.0 / max(xhat.shape[1], 1), along.dtype)
    # Made in the shape in which it is returned, since the engine copies a gradient that is a view.
    dx = np.empty(shape, xhat.dtype)
    rows = dx.reshape(xhat.shape)
    np.multiply(xhat, along[:, None], rows)
    rows += h
    if centred:
        rows -= row_means(h)[:, None]
    rows *= scale[:, None]
    return dx


def sample_last(draw: Any, *vectors: str) -> tuple[Any, list[Any], int]:
    """An x, for each name a vector of its last axes or None, and how many these are."""
    inner = (draw.integer(2, 4),) if draw.boolean() else (draw.integer(1, 2), draw.integer(2, 3))
    given = [draw.array(inner) if draw.boolean() else None for _ in vectors]
    return draw.array((*draw.shape(max_ndim=2, max_side=3), *inner), distinct=True), given, len(inner)
