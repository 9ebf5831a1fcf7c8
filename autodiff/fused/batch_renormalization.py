"""Batch renormalisation, with the gradient through the batch's statistics derived by hand and r, d held constant.

Notation, and what the normalisations share: :mod:`autodiff.fused.statistics`.
Source: Ioffe 2017 (arXiv 1702.03275).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.arguments import refuse_other
from autodiff.core.errors import ArgumentError
from autodiff.fused import statistics as st
from autodiff.fused.common import floats, fused
from autodiff.ops.elementwise import constant

__all__ = ["batch_renorm"]


def batch_renorm_composed(
    x: Any,
    running_mean: Any,
    running_std: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    rmax: float = 3.0,
    dmax: float = 5.0,
    eps: float = 1e-5,
    eps_mode: str = "inside",
) -> Any:
    """Normalise every channel by the batch, then correct towards the running statistics: ``w ((x - mu) / sigma r + d) +
    b``.

    ``r = clip(sigma / running_std, 1 / rmax, rmax)`` and ``d = clip((mu - running_mean) / running_std, -dmax, dmax)``
    are constants of the gradient; ``mu`` and ``sigma`` are differentiated.

    Parameters
    ----------
    x : (N, C), (N, C, L), (N, C, H, W), ...
        Channels second.
    running_mean, running_std : (C,)
        Constants: no gradient flows to them. The standard deviation, not the variance.
    weight, bias : (C,) or None
    rmax, dmax : float
        At least 1 and at least 0; ``rmax=1, dmax=0`` is batch normalisation.
    eps : float
    eps_mode : {"inside", "outside"}
        ``sigma = sqrt(v + eps)`` (the paper) or ``sqrt(v) + eps``.

    Returns
    -------
    Tensor
        Of ``x``'s shape.

    Raises
    ------
    ShapeError
        If there are fewer than two values per channel, or shapes disagree.
    ArgumentError
        If ``rmax`` is below 1, ``dmax`` is negative, or ``eps_mode`` is unknown.

    Examples
    --------
    The batch has mean 2 and deviation 1, the running statistics 1 and 2: r = 1/2, d = 1/2.

    >>> import numpy as np
    >>> batch_renorm(np.array([[1.0], [3.0]]), np.array([1.0]), np.array([2.0]), eps=0.0).data
    array([[0.],
           [1.]])
    """
    _check_renorm(x, running_mean, running_std, weight, bias, rmax, dmax, eps, eps_mode)
    axes = (0, *range(2, x.ndim))
    mean = np.mean(x, axis=axes)
    centred = x - st.along_channels(mean, x.ndim)
    variance = np.mean(centred * centred, axis=axes)
    deviation = np.sqrt(variance + eps) if eps_mode == "inside" else np.sqrt(variance) + eps
    corrections = _corrections(
        constant(mean), constant(deviation), constant(running_mean), constant(running_std), rmax, dmax
    )
    r, d = (st.along_channels(part, x.ndim) for part in corrections)
    return st.affine(centred / st.along_channels(deviation, x.ndim) * r + d, weight, bias)


def _check_renorm(
    x: Any,
    running_mean: Any,
    running_std: Any,
    weight: Any,
    bias: Any,
    rmax: float,
    dmax: float,
    eps: float,
    eps_mode: str,
) -> None:
    st.check_channels("batch_renorm", x, running_mean, running_std, weight, bias, eps=eps)
    st.need_two("batch_renorm", x)
    refuse_other("batch_renorm", "eps_mode", eps_mode, st.EPS_MODES)
    if not rmax >= 1 or not dmax >= 0:
        raise ArgumentError(f"batch_renorm: needs rmax >= 1 and dmax >= 0, got {rmax} and {dmax}")


def _corrections(
    mean: Any, deviation: Any, running_mean: Any, running_std: Any, rmax: float, dmax: float
) -> tuple[Any, Any]:
    return np.clip(deviation / running_std, 1 / rmax, rmax), np.clip((mean - running_mean) / running_std, -dmax, dmax)


def batch_renorm_forward(
    x: Any,
    running_mean: Any,
    running_std: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    rmax: float = 3.0,
    dmax: float = 5.0,
    eps: float = 1e-5,
    eps_mode: str = "inside",
) -> tuple[Any, Any]:
    """Residuals: the batch's own ``xhat`` (x's shape); ``1 / sigma``, the stretch ``sigma / sqrt(v)`` of the variance's
    path (1 for eps inside), r, d and weight (C,); and for running statistics the mean, biased variance and sigma
    (C,)."""
    _check_renorm(x, running_mean, running_std, weight, bias, rmax, dmax, eps, eps_mode)
    x, ndim = floats(x), x.ndim
    mean, xhat, variance = st.channel_moments(x)
    if eps_mode == "inside":
        deviation, stretch = np.sqrt(variance + eps), None
    else:
        root = np.sqrt(variance)
        deviation = root + eps
        # A channel without spread has xhat = 0, so any factor will do.
        stretch = np.divide(deviation, root, out=np.ones_like(root), where=root > 0)
    r, d = _corrections(mean, deviation, running_mean, running_std, rmax, dmax)
    r, d = np.asarray(r, x.dtype), np.asarray(d, x.dtype)
    scale = 1 / deviation
    xhat *= st.along_channels(scale, ndim)
    out = xhat * st.along_channels(r if weight is None else r * weight, ndim)
    shift = d if weight is None else d * weight
    out += st.along_channels(shift if bias is None else shift + bias, ndim)
    return out, (xhat, scale, stretch, r, d, weight, mean, variance, deviation)


def batch_renorm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Per channel, with all sums over its m values, ``y = w (xhat r + d) + b``, ``xhat = (x - mu) / sigma``, and r, d
    constants:

    - ``db = sum(g)`` and ``dw = sum(g (xhat r + d)) = r sum(g xhat) + d sum(g)``: (C,) each.
    - ``dx_i = w r sum_j g_j dxhat_j/dx_i``. As in batch normalisation ``dxhat_j/dx_i = (delta_ij - 1/m - k xhat_i
      xhat_j / m) / sigma``. The third term is the path through sigma: ``dsigma/dx_i = (x_i - mu) / (m sqrt(v + eps))``
      with eps inside, which is ``xhat_i / m``, so k = 1; with eps outside it is ``(x_i - mu) / (m sqrt(v)) = xhat_i k /
      m`` with ``k = sigma / sqrt(v)``.
    - Hence ``dx = w r / sigma (g - mean(g) - k xhat mean(g xhat))``: x's shape. For r = 1 this is batch
      normalisation's.

    The running statistics receive no gradient.
    """
    xhat, scale, stretch, r, d, weight, *_ = residuals
    m = st.count(xhat)
    dbias = st.channel_sums(g)
    along = st.channel_products(g, xhat)
    dx = None
    if needs[0]:
        through_variance = (along if stretch is None else along * stretch) / m
        dx = st.through_channels(
            g, xhat, through_variance, dbias / m, scale * r if weight is None else scale * r * weight
        )
    return dx, None, None, r * along + d * dbias, dbias


def _sample_renorm(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape, weight, bias = st.sample_channels(draw, 3, 2)
    c = shape[1:2]
    args = (draw.array(shape, distinct=True), draw.array(c), draw.array(c, low=0.2, high=4.0), weight, bias)
    limits = draw.choice(((3.0, 5.0), (1.0, 0.0), (1.5, 0.3), (10.0, 0.0)))
    kwargs = {
        "rmax": limits[0],
        "dmax": limits[1],
        "eps": draw.choice((1e-5, 0.1)),
        "eps_mode": draw.choice(st.EPS_MODES),
    }
    return args, kwargs


batch_renorm = fused(
    batch_renorm_composed, _sample_renorm, "dx = w r / sigma (g - mean(g) - k xhat mean(g xhat))", real_only=True
)
