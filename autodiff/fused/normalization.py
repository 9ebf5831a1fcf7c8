"""Batch and layer normalisation, with the gradient through the statistics derived by hand.

Notation, and what the normalisations share: :mod:`autodiff.fused.statistics`.
Sources: Ioffe and Szegedy 2015 (arXiv 1502.03167); Ba, Kiros and Hinton 2016 (arXiv
1607.06450).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.fused import statistics as st
from autodiff.fused.common import column_products, column_sums, floats, fused, number
from autodiff.kernels import LEAST_OF_MANY

__all__ = ["batch_norm", "batch_norm_inference", "layer_norm"]


# --- batch normalisation ----------------------------------------------------------------------------------------------


def batch_norm_composed(x: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5) -> Any:
    """Normalise every channel over the batch and all positions.

    Parameters
    ----------
    x : (N, C), (N, C, L), (N, C, H, W), ...
        Channels second.
    weight, bias : (C,) or None
        Scale and shift; None for 1 and 0.
    eps : float
        Added to the biased variance inside the root.

    Returns
    -------
    Tensor
        Of ``x``'s shape.

    Raises
    ------
    ShapeError
        If there are fewer than two values per channel, whose variance would be zero, or shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> batch_norm(np.array([[1.0], [3.0]]), eps=0.0).data
    array([[-1.],
           [ 1.]])
    """
    st.check_channels("batch_norm", x, weight, bias, eps=eps)
    axes = (0, *range(2, x.ndim))
    st.need_two("batch_norm", x)
    centred = x - np.mean(x, axis=axes, keepdims=True)
    variance = np.mean(centred * centred, axis=axes, keepdims=True)
    return st.affine(centred / np.sqrt(variance + eps), weight, bias)


def batch_norm_forward(x: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5) -> tuple[Any, Any]:
    """Residuals: ``c = x - mu`` (x's shape), ``s`` and ``w s`` (C,), and for running statistics the mean and biased
    variance (C,).

    ``y = c (w s) + b`` spares the pass over x that it would take to write ``xhat = c s`` down.
    """
    shape, dtype = x.shape, x.dtype
    ndim, channels = len(shape), shape[1:2]
    if (
        ndim < 2
        or not eps >= 0
        or dtype.kind == "c"
        or (weight is not None and (weight.dtype is not dtype or weight.shape != channels))
        or (bias is not None and (bias.dtype is not dtype or bias.shape != channels))
    ):
        st.check_channels("batch_norm", x, weight, bias, eps=eps)
    st.need_two("batch_norm", x)
    mean, centred, variance = st.channel_moments(x)
    scale = variance + number(float(eps), dtype)
    np.sqrt(scale, scale)
    np.reciprocal(scale, scale)
    stretch = scale if weight is None else scale * weight
    out = centred * st.along_channels(stretch, ndim)
    if bias is not None:
        out += st.along_channels(bias, ndim)
    return out, (centred, scale, stretch, mean, variance)


def batch_norm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """The simplified form; docs/derivations.md has it path by path.

    Per channel, with all sums over its m values, ``h = w g`` (x's shape), ``c = x - mu`` (x's shape) and ``xhat = s
    c``:

    - ``db = sum(g)``, ``dw = sum(g xhat) = s sum(g c)``: (C,) each.
    - ``dx_i = sum_j h_j dxhat_j/dx_i`` and ``dxhat_j/dx_i = s (delta_ij - 1/m - xhat_i xhat_j / m)``: the first term is
      the direct path,
      the second goes through the mean, the third through the variance (``dv/dx_i = 2 (x_i - mu) / m``, ``ds/dv = -s^3 /
      2``). Hence ``dx = w s (g - db/m - xhat dw/m) = w s (g - db/m - c (s dw/m))``: x's shape.
    """
    centred, scale, stretch, _, _ = residuals
    dbias = st.channel_sums(g)
    dweight = st.channel_products(g, centred)
    dweight *= scale
    dx = None
    if needs[0]:
        m = number(st.count(g), scale.dtype)
        dx = st.through_channels(g, centred, dweight * scale / m, dbias / m, stretch)
    return dx, dweight, dbias


def _sample_batch(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape, weight, bias = st.sample_channels(draw, 2, 3)
    return (draw.array(shape, distinct=True), weight, bias), {"eps": draw.choice((1e-5, 0.1))}


batch_norm = fused(
    batch_norm_composed,
    _sample_batch,
    "dx = w s (g - mean(g) - xhat mean(g xhat))",
    real_only=True,
    kernel=LEAST_OF_MANY,
)


def batch_norm_inference_composed(
    x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5
) -> Any:
    """Normalise with statistics gathered before: an affine map per channel.

    Parameters
    ----------
    x : (N, C), (N, C, L), (N, C, H, W), ...
    running_mean, running_var : (C,)
        Constants: no gradient flows to them.
    weight, bias : (C,) or None
    eps : float

    Returns
    -------
    Tensor
        Of ``x``'s shape.

    Raises
    ------
    ShapeError
        If shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> batch_norm_inference(np.array([[5.0]]), np.array([3.0]), np.array([4.0]), eps=0.0).data
    array([[1.]])
    """
    st.check_channels("batch_norm_inference", x, running_mean, running_var, weight, bias, eps=eps)
    scale = 1 / np.sqrt(running_var + eps)
    return st.affine((x - st.along_channels(running_mean, x.ndim)) * st.along_channels(scale, x.ndim), weight, bias)


def batch_norm_inference_forward(
    x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5
) -> tuple[Any, Any]:
    """Residuals: ``xhat`` (x's shape), ``s`` (C,), weight."""
    st.check_channels("batch_norm_inference", x, running_mean, running_var, weight, bias, eps=eps)
    x = floats(x)
    scale = (1 / np.sqrt(running_var + eps)).astype(x.dtype, copy=False)
    xhat = x - st.along_channels(running_mean.astype(x.dtype, copy=False), x.ndim)
    xhat *= st.along_channels(scale, x.ndim)
    return st.affine(xhat, weight, bias) if weight is not None or bias is not None else xhat.copy(), (
        xhat,
        scale,
        weight,
    )


def batch_norm_inference_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """The statistics are constants, so ``dx = w s g`` (x's shape), ``dw = sum(g xhat)`` and ``db = sum(g)`` (C,)."""
    xhat, scale, weight = residuals
    dx = g * st.along_channels(scale if weight is None else scale * weight, g.ndim) if needs[0] else None
    dweight = st.channel_products(g, xhat) if needs[3] else None
    dbias = st.channel_sums(g) if needs[4] else None
    return dx, None, None, dweight, dbias


def _sample_inference(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    (x, weight, bias), kwargs = _sample_batch(draw)
    c = x.shape[1:2]
    return (x, draw.array(c), draw.array(c, low=0.5, high=2.0), weight, bias), kwargs


batch_norm_inference = fused(batch_norm_inference_composed, _sample_inference, "dx = w s g", real_only=True)


# --- layer normalisation ----------------------------------------------------------------------------------------------


def layer_norm_composed(x: Any, weight: Any = None, bias: Any = None, *, ndim: int = 1, eps: float = 1e-5) -> Any:
    """Normalise every example over its last axes.

    Parameters
    ----------
    x : (..., *normalized_shape)
    weight, bias : normalized_shape or None
    ndim : int
        How many last axes are normalised over.
    eps : float
        Added to the biased variance inside the root.

    Returns
    -------
    Tensor
        Of ``x``'s shape.

    Raises
    ------
    ShapeError
        If shapes disagree.

    Examples
    --------
    >>> layer_norm([[1.0, 3.0]], eps=0.0).data
    array([[-1.,  1.]])
    """
    st.check_last("layer_norm", x, ndim, eps, weight=weight, bias=bias)
    axes = tuple(range(x.ndim - ndim, x.ndim))
    centred = x - np.mean(x, axis=axes, keepdims=True)
    y = centred / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def layer_norm_forward(
    x: Any, weight: Any = None, bias: Any = None, *, ndim: int = 1, eps: float = 1e-5
) -> tuple[Any, Any]:
    """With leading axes flattened to R rows of n: residuals ``xhat`` (R, n), ``s`` (R,), weight (n,), x's shape, w's
    shape.
    """
    shape, dtype = x.shape, x.dtype
    inner = shape[len(shape) - ndim :]
    if (
        not 1 <= ndim <= len(shape)
        or not eps >= 0
        or dtype.kind == "c"
        or (weight is not None and (weight.dtype is not dtype or weight.shape != inner))
        or (bias is not None and (bias.dtype is not dtype or bias.shape != inner))
    ):
        st.check_last("layer_norm", x, ndim, eps, weight=weight, bias=bias)
    n = math.prod(inner)
    rows = x if len(shape) == 2 and ndim == 1 else x.reshape(math.prod(shape[: len(shape) - ndim]), n)
    xhat, scale, _, _ = st.normalised_rows(rows, eps)
    flat = None if weight is None else weight.reshape(-1)
    out = xhat.copy() if flat is None else xhat * flat
    if bias is not None:
        out += bias.reshape(-1)
    return out if rows is x else out.reshape(shape), (xhat, scale, flat, shape, inner)


def layer_norm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Each row is a batch normalisation of its own, with ``h = w g`` (R, n) in the place of ``w`` times ``g``:

    - ``db = sum_rows(g)``, ``dw = sum_rows(g xhat)``: (n,) each, returned in w's shape.
    - ``dx = s (h - mean(h) - xhat mean(h xhat))``, the means over a row: (R,) each, dx (R, n), returned in x's shape.
    """
    xhat, scale, weight, shape, inner = residuals
    g = g.reshape(xhat.shape)
    dx = st.through_rows(g if weight is None else g * weight, xhat, scale, shape) if needs[0] else None
    dweight = column_products(g, xhat) if needs[1] else None
    dbias = column_sums(g) if needs[2] else None
    if len(inner) != 1:
        dweight, dbias = (None if v is None else v.reshape(inner) for v in (dweight, dbias))
    return dx, dweight, dbias


def _sample_layer(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x, vectors, ndim = st.sample_last(draw, "weight", "bias")
    return (x, *vectors), {"ndim": ndim, "eps": draw.choice((1e-5, 0.1))}


layer_norm = fused(
    layer_norm_composed,
    _sample_layer,
    "dx = s (w g - mean(w g) - xhat mean(w g xhat))",
    real_only=True,
    kernel=LEAST_OF_MANY,
)
