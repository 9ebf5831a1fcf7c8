"""Group and RMS normalisation, with the gradient through the statistics derived by hand.

Notation, and what the normalisations share: :mod:`autodiff.fused.statistics`.
Instance normalisation is group normalisation with as many groups as channels.
Sources: Wu and He 2018 (arXiv 1803.08494); Zhang and Sennrich 2019 (arXiv 1910.07467).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.fused import statistics as st
from autodiff.fused.common import column_sums, fused, row_means

__all__ = ["group_norm", "rms_norm"]


# --- group normalisation ----------------------------------------------------------------------------------------------


def group_norm_composed(x: Any, weight: Any = None, bias: Any = None, *, num_groups: int = 1, eps: float = 1e-5) -> Any:
    """Normalise every example over each group of channels and all positions; scale and shift are per channel.

    Parameters
    ----------
    x : (N, C), (N, C, L), (N, C, H, W), ...
        Channels second.
    weight, bias : (C,) or None
    num_groups : int
        G, a divisor of C; C itself makes instance normalisation.
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
    ArgumentError
        If ``num_groups`` does not divide C.

    Examples
    --------
    >>> import numpy as np
    >>> group_norm(np.array([[1.0, 3.0, 5.0, 9.0]]), num_groups=2, eps=0.0).data
    array([[-1.,  1., -1.,  1.]])
    """
    rows = np.reshape(x, _grouped("group_norm", x, weight, bias, num_groups, eps))
    centred = rows - np.mean(rows, axis=2, keepdims=True)
    xhat = centred / np.sqrt(np.mean(centred * centred, axis=2, keepdims=True) + eps)
    return st.affine(np.reshape(xhat, x.shape), weight, bias)


def _grouped(name: str, x: Any, weight: Any, bias: Any, num_groups: int, eps: float) -> tuple[int, int, int]:
    """The shape (N, G, m) of the rows that are normalised."""
    st.check_channels(name, x, weight, bias, eps=eps)
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ArgumentError(
            f"{name}: num_groups={num_groups} does not divide the {x.shape[1]} channels of x, shape {x.shape}"
        )
    if 0 in x.shape[1:]:
        raise ShapeError(
            f"{name}: x of shape {x.shape} has no value to normalise in an example; only the batch may be empty"
        )
    return x.shape[0], num_groups, int(np.prod(x.shape[1:], dtype=int)) // num_groups


def group_norm_forward(
    x: Any, weight: Any = None, bias: Any = None, *, num_groups: int = 1, eps: float = 1e-5
) -> tuple[Any, Any]:
    """With n rows (example, group) of m values: residuals ``xhat`` (N, G, m), ``s`` (N, G), weight, x's shape, and for
    running statistics the means and biased variances (N, G)."""
    n, groups, m = _grouped("group_norm", x, weight, bias, num_groups, eps)
    xhat, scale, mean, variance = st.normalised_rows(x.reshape(n * groups, m), eps)
    whole = xhat.reshape(x.shape)
    out = whole.copy() if weight is None and bias is None else st.affine(whole, weight, bias)
    return out, (xhat.reshape(n, groups, m), scale.reshape(n, groups), weight, x.shape, mean, variance)


def group_norm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Each row (example, group) is normalised on its own, with ``h = w g`` (x's shape), w being per channel:

    - ``db = sum(g)``, ``dw = sum(g xhat)`` over the batch and all positions: (C,) each.
    - ``dx = s (h - mean(h) - xhat mean(h xhat))``, the means over a row: (N, G) each, dx of x's shape.

    Both means are weighted sums of the sums over positions ``a = sum(g)`` and ``b = sum(g xhat)``, (N, C) each, so g is
    read once for all three gradients before dx is formed.
    """
    xhat, scale, weight, shape, _, _ = residuals
    n, groups, m = xhat.shape
    c = shape[1]
    positions = m * groups // c
    g = g.reshape(n, c, positions)
    a = row_means(g.reshape(n * c, positions)).reshape(n, c) * positions
    b = np.vecdot(g, xhat.reshape(n, c, positions))
    dx = None
    if needs[0]:
        each = (n, groups, c // groups)
        mean_h = ((a if weight is None else a * weight).reshape(each).sum(axis=2)) / m
        along = ((b if weight is None else b * weight).reshape(each).sum(axis=2)) / -m
        dx = xhat * along[:, :, None]
        dx -= mean_h[:, :, None]
        dx = dx.reshape(n, c, positions)
        dx += g if weight is None else g * weight[:, None]
        dx = dx.reshape(n, groups, m)
        dx *= scale[:, :, None]
        dx = dx.reshape(shape)
    return dx, column_sums(b) if needs[1] else None, column_sums(a) if needs[2] else None


def _sample_group(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    groups = draw.integer(1, 3)
    # Two values in a row give xhat = +-1 whatever x is, and then dx is zero but for eps: nothing to see.
    c = groups * draw.integer(1, 2)
    shape = (draw.integer(1, 3), c, *draw.choice(((3,), (4,), (2, 2), (3, 1), (1, 3))))
    weight = draw.array((c,)) if draw.boolean() else None
    bias = draw.array((c,)) if draw.boolean() else None
    return (draw.array(shape, distinct=True), weight, bias), {"num_groups": groups, "eps": draw.choice((1e-5, 0.1))}


group_norm = fused(
    group_norm_composed, _sample_group, "dx = s (w g - mean(w g) - xhat mean(w g xhat)), per group", real_only=True
)


# --- RMS normalisation ------------------------------------------------------------------------------------------------


def rms_norm_composed(x: Any, weight: Any = None, *, ndim: int = 1, eps: float = 1e-6) -> Any:
    """Divide every example by the root of the mean square over its last axes.

    Parameters
    ----------
    x : (..., *normalized_shape)
    weight : normalized_shape or None
    ndim : int
        How many last axes are normalised over.
    eps : float
        Added to the mean square inside the root.

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
    >>> rms_norm([[1.0, 7.0]], eps=0.0).data
    array([[0.2, 1.4]])
    """
    _check_rms(x, weight, ndim, eps)
    xhat = x / np.sqrt(np.mean(x * x, axis=tuple(range(x.ndim - ndim, x.ndim)), keepdims=True) + eps)
    return xhat if weight is None else xhat * weight


def _check_rms(x: Any, weight: Any, ndim: int, eps: float) -> None:
    st.check_last("rms_norm", x, ndim, eps, weight=weight)
    if 0 in x.shape[x.ndim - ndim :]:
        raise ShapeError(f"rms_norm: x of shape {x.shape} has no value to normalise over in its last {ndim} axes")


def rms_norm_forward(x: Any, weight: Any = None, *, ndim: int = 1, eps: float = 1e-6) -> tuple[Any, Any]:
    """With leading axes flattened to R rows of n: residuals ``xhat`` (R, n), ``s`` (R,), weight (n,), x's shape, w's
    shape.
    """
    _check_rms(x, weight, ndim, eps)
    inner = x.shape[x.ndim - ndim :]
    n = int(np.prod(inner, dtype=int))
    xhat, scale, _, _ = st.normalised_rows(x.reshape(x.size // n, n), eps, centred=False)
    flat = None if weight is None else weight.reshape(-1)
    out = xhat.copy() if flat is None else xhat * flat
    return out.reshape(x.shape), (xhat, scale, flat, x.shape, inner)


def rms_norm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With ``h = w g`` (R, n) and ``xhat_j = s x_j``:

    - ``dw = sum_rows(g xhat)``: (n,), returned in w's shape.
    - ``ds/dx_i = -s^3 x_i / n``, so ``dxhat_j/dx_i = s (delta_ij - xhat_i xhat_j / n)`` and ``dx = s (h - xhat mean(h
      xhat))``, the mean over a row: (R,), dx (R, n), returned in x's shape. There is no mean to differentiate, hence
      one term less than in layer_norm.
    """
    xhat, scale, weight, shape, inner = residuals
    g = g.reshape(xhat.shape)
    h = g if weight is None else g * weight
    dx = st.through_rows(h, xhat, scale, shape, centred=False) if needs[0] else None
    return dx, np.einsum("rn,rn->n", g, xhat).reshape(inner) if needs[1] else None


def _sample_rms(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x, vectors, ndim = st.sample_last(draw, "weight")
    return (x, *vectors), {"ndim": ndim, "eps": draw.choice((1e-6, 0.1))}


rms_norm = fused(rms_norm_composed, _sample_rms, "dx = s (w g - xhat mean(w g xhat))", real_only=True)
