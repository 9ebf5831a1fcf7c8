"""Batch normalisation by the statistics of several iterations, with the gradient through the current one's derived by
hand.

Notation, and what the normalisations share: :mod:`autodiff.fused.statistics`.
Source: Yao et al. 2020 (arXiv 2002.05712).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.arguments import refuse_other
from autodiff.core.errors import ShapeError
from autodiff.fused import statistics as st
from autodiff.fused.common import fused

__all__ = ["cross_iteration_batch_norm"]


def cross_iteration_batch_norm_composed(
    x: Any,
    past_mean: Any,
    past_var: Any,
    kept: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    eps: float = 1e-5,
    eps_mode: str = "inside",
    ddof: int = 0,
) -> Any:
    """Normalise every channel by statistics averaged over this batch and T past ones.

    Per channel, with the sums over this batch and the past ones that are kept, k in number: ``mu_bar = sum(mu_i) / k``
    and ``var = sum(v_i + mu_i^2) / k - mu_bar^2``; ``y = w (x - mu_bar) / sqrt(var + eps) + b``.

    Parameters
    ----------
    x : (N, C), (N, C, L), (N, C, H, W), ...
        Channels second.
    past_mean, past_var, kept : (T, C)
        Means and biased variances of the past batches, and 1 or 0 for whether a batch counts in a channel. Constants:
        no gradient flows to them. T may be 0.
    weight, bias : (C,) or None
    eps : float
    eps_mode : {"inside", "outside"}
        Divide by ``sqrt(var + eps)`` or by ``sqrt(var) + eps``.
    ddof : {0, 1}
        1 enlarges ``var`` by ``m / (m - 1)``, m being the values per channel of this batch.

    Returns
    -------
    Tensor
        Of ``x``'s shape.

    Raises
    ------
    ShapeError
        If there are fewer than two values per channel, or shapes disagree.
    ArgumentError
        If ``eps_mode`` is unknown.

    Examples
    --------
    The batch has mean 2 and variance 1, a past one mean 0 and variance 3: together mean 1 and variance 3.

    >>> import numpy as np
    >>> past = np.array([[0.0]]), np.array([[3.0]]), np.array([[1.0]])
    >>> cross_iteration_batch_norm(np.array([[1.0], [3.0]]), *past, eps=1.0).data
    array([[0.],
           [1.]])
    """
    _check_window(x, past_mean, past_var, kept, weight, bias, eps, eps_mode)
    axes, m = (0, *range(2, x.ndim)), st.count(x)
    mean = np.mean(x, axis=axes)
    centred = x - st.along_channels(mean, x.ndim)
    own = np.mean(centred * centred, axis=axes)
    # Means are taken relative to this batch's, so that a large one costs no precision; it drops out of the variance.
    k = 1 + np.sum(kept, axis=0)
    away = (past_mean - mean) * kept
    shift = np.sum(away, axis=0) / k
    var = ((own + np.sum(past_var * kept + away * away, axis=0)) / k - shift * shift) * (m / (m - ddof))
    deviation = np.sqrt(var + eps) if eps_mode == "inside" else np.sqrt(var) + eps
    return st.affine((centred - st.along_channels(shift, x.ndim)) / st.along_channels(deviation, x.ndim), weight, bias)


def _check_window(
    x: Any, past_mean: Any, past_var: Any, kept: Any, weight: Any, bias: Any, eps: float, eps_mode: str
) -> None:
    name = "cross_iteration_batch_norm"
    st.check_channels(name, x, weight, bias, eps=eps)
    st.need_two(name, x)
    refuse_other(name, "eps_mode", eps_mode, st.EPS_MODES)
    if past_mean.ndim != 2 or past_mean.shape[1] != x.shape[1] or not past_mean.shape == past_var.shape == kept.shape:
        raise ShapeError(
            f"{name}: past statistics of shapes {past_mean.shape}, {past_var.shape} and {kept.shape} for x of shape"
            f" {x.shape}; each needs (T, {x.shape[1]})"
        )


def cross_iteration_batch_norm_forward(
    x: Any,
    past_mean: Any,
    past_var: Any,
    kept: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    eps: float = 1e-5,
    eps_mode: str = "inside",
    ddof: int = 0,
) -> tuple[Any, Any]:
    """Residuals: ``xhat`` (x's shape); 1 / deviation, the factors of the paths through the mean and the variance, and
    weight (C,); and for running statistics this batch's mean and biased variance (C,)."""
    _check_window(x, past_mean, past_var, kept, weight, bias, eps, eps_mode)
    m, ndim = st.count(x), x.ndim
    mean, xhat, own = st.channel_moments(x)
    kept = kept.astype(x.dtype, copy=False)
    k = 1 + kept.sum(axis=0)
    away = (past_mean.astype(x.dtype, copy=False) - mean) * kept
    shift = away.sum(axis=0) / k
    var = (own + (past_var.astype(x.dtype, copy=False) * kept + away * away).sum(axis=0)) / k - shift * shift
    if ddof:
        var *= m / (m - ddof)
    if eps_mode == "inside":
        scale = 1 / np.sqrt(var + eps)
        through_var = 1 / k
    else:
        root = np.sqrt(var)
        scale = 1 / (root + eps)
        # Without any spread xhat is 0 and so is its product with the gradient: any factor will do.
        through_var = np.divide(root + eps, root * k, out=np.ones_like(root), where=root > 0)
    if ddof:
        through_var *= m / (m - ddof)
    if len(kept):
        xhat -= st.along_channels(shift, ndim)
    xhat *= st.along_channels(scale, ndim)
    out = xhat.copy() if weight is None and bias is None else st.affine(xhat, weight, bias)
    return out, (xhat, scale, 1 / k, through_var, weight, mean, own)


def cross_iteration_batch_norm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Per channel, with all sums over this batch's m values and ``xhat = (x - mu_bar) s``:

    - ``db = sum(g)`` and ``dw = sum(g xhat)``: (C,) each.
    - The averages hold this batch's mu and ``nu = mean(x^2)`` with weight 1/k, so ``dmu_bar/dx_i = 1 / (k m)`` and
      ``dvar/dx_i = (2 x_i - 2 mu_bar) / (k m) = 2 xhat_i / (s k m)``. With ``s = (var + eps)^(-1/2)``, ``ds/dvar = -s^3
      / 2``, so ``dxhat_j/dx_i = s (delta_ij - 1/(k m) - xhat_i xhat_j / (k m))`` and ``dx = w s (g - mean(g) / k - xhat
      mean(g xhat) / k)``: x's shape. For k = 1 this is batch normalisation's.
    - With eps outside ``ds/dvar = -s^2 / (2 sqrt(var))``, which puts ``q = (sqrt(var) + eps) / sqrt(var)`` times the
      third term; ``ddof``
      puts ``m / (m - ddof)`` there.

    The past receives no gradient.
    """
    xhat, scale, through_mean, through_var, weight, _, _ = residuals
    m = st.count(xhat)
    dbias = st.channel_sums(g)
    dweight = st.channel_products(g, xhat)
    dx = None
    if needs[0]:
        stretch = scale if weight is None else scale * weight
        dx = st.through_channels(g, xhat, dweight * through_var / m, dbias * through_mean / m, stretch)
    return dx, None, None, None, dweight, dbias


def _sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape, weight, bias = st.sample_channels(draw, 3, 2)
    past, c = draw.integer(0, 2), shape[1]
    kept = draw.mask((past, c)).astype(np.int64)
    args = (
        draw.array(shape, distinct=True),
        draw.array((past, c)),
        draw.array((past, c), low=0.2, high=3.0),
        kept,
        weight,
        bias,
    )
    return args, {"eps": draw.choice((1e-5, 0.1)), "eps_mode": draw.choice(st.EPS_MODES), "ddof": draw.integer(0, 1)}


cross_iteration_batch_norm = fused(
    cross_iteration_batch_norm_composed, _sample, "dx = w s (g - mean(g)/k - xhat mean(g xhat)/k)", real_only=True
)
