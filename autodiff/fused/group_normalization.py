"""Group and RMS normalisation, with the gradient through the statistics derived by hand.

Notation as in ``normalization``. Instance normalisation is group normalisation with as many groups as channels.
Sources: Wu and He 2018 (arXiv 1803.08494); Zhang and Sennrich 2019 (arXiv 1910.07467).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.core.op import Fused
from autodiff.fused.common import column_sums, row_means
from autodiff.fused.normalization import _affine, _check_batch
from autodiff.ops.common import real_numbers

__all__ = ["group_norm", "rms_norm"]


# --- group normalisation
# --------------------------------------------------------------------------------------------------


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
    rows = np.reshape(x, _grouped("group_norm", x, weight, bias, num_groups))
    centred = rows - np.mean(rows, axis=2, keepdims=True)
    xhat = centred / np.sqrt(np.mean(centred * centred, axis=2, keepdims=True) + eps)
    return _affine(np.reshape(xhat, x.shape), weight, bias)


def _grouped(name: str, x: Any, weight: Any, bias: Any, num_groups: int) -> tuple[int, int, int]:
    """The shape (N, G, m) of the rows that are normalised."""
    _check_batch(name, x, weight, bias)
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
    n, groups, m = _grouped("group_norm", x, weight, bias, num_groups)
    rows = x.reshape(n * groups, m)
    mean = row_means(rows)
    xhat = rows - mean[:, None]
    variance = np.vecdot(xhat, xhat)
    variance *= 1.0 / m
    scale = 1 / np.sqrt(variance + eps)
    xhat *= scale[:, None]
    whole = xhat.reshape(x.shape)
    out = whole.copy() if weight is None and bias is None else _affine(whole, weight, bias)
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


group_norm = Fused(
    "group_norm",
    composed=group_norm_composed,
    forward=group_norm_forward,
    backward=group_norm_backward,
    sample=_sample_group,
    formula="dx = s (w g - mean(w g) - xhat mean(w g xhat)), per group",
    real_only=True,
)


# --- RMS normalisation
# ----------------------------------------------------------------------------------------------------


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
    _check_rms(x, weight, ndim)
    xhat = x / np.sqrt(np.mean(x * x, axis=tuple(range(x.ndim - ndim, x.ndim)), keepdims=True) + eps)
    return xhat if weight is None else xhat * weight


def _check_rms(x: Any, weight: Any, ndim: int) -> None:
    real_numbers("rms_norm", x, weight)
    if not 1 <= ndim <= x.ndim:
        raise ShapeError(f"rms_norm: x of shape {x.shape} cannot be normalised over its last {ndim} axes")
    inner = x.shape[x.ndim - ndim :]
    if 0 in inner:
        raise ShapeError(f"rms_norm: x of shape {x.shape} has no value to normalise over in its last {ndim} axes")
    if weight is not None and weight.shape != inner:
        raise ShapeError(f"rms_norm: weight of shape {weight.shape} for x of shape {x.shape}; it needs {inner}")


def rms_norm_forward(x: Any, weight: Any = None, *, ndim: int = 1, eps: float = 1e-6) -> tuple[Any, Any]:
    """With leading axes flattened to R rows of n: residuals ``xhat`` (R, n), ``s`` (R,), weight (n,), x's shape, w's
    shape.
    """
    _check_rms(x, weight, ndim)
    inner = x.shape[x.ndim - ndim :]
    n = int(np.prod(inner, dtype=int))
    rows = x.reshape(x.size // n, n)
    scale = np.asarray(np.vecdot(rows, rows), np.result_type(rows.dtype, np.float16))
    scale *= 1.0 / n
    scale += eps
    np.sqrt(scale, out=scale)
    np.reciprocal(scale, out=scale)
    xhat = rows * scale[:, None]
    flat = None if weight is None else weight.reshape(-1)
    out = xhat.copy() if flat is None else xhat * flat
    return out.reshape(x.shape), (xhat, scale, flat, x.shape, inner)


def rms_norm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With ``h = w g`` (R, n) and ``xhat_j = s x_j``:

    - ``dw = sum_rows(g xhat)``: (n,), returned in w's shape.
    - ``ds/dx_i = -s^3 x_i / n``, so ``dxhat_j/dx_i = s (delta_ij - xhat_i xhat_j / n)`` and ``dx = s (h - xhat mean(h
      xhat))``, the mean
      over a row: (R,), dx (R, n), returned in x's shape. There is no mean to differentiate, hence one term less than in
      layer_norm.
    """
    xhat, scale, weight, shape, inner = residuals
    g = g.reshape(xhat.shape)
    dx = None
    if needs[0]:
        h = g if weight is None else g * weight
        along = np.vecdot(h, xhat)
        along *= -1.0 / xhat.shape[1]
        dx = xhat * along[:, None]
        dx += h
        dx *= scale[:, None]
        dx = dx.reshape(shape)
    return dx, np.einsum("rn,rn->n", g, xhat).reshape(inner) if needs[1] else None


def _sample_rms(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    inner = (draw.integer(2, 4),) if draw.boolean() else (draw.integer(1, 2), draw.integer(2, 3))
    weight = draw.array(inner) if draw.boolean() else None
    x = draw.array((*draw.shape(max_ndim=2, max_side=3), *inner), distinct=True)
    return (x, weight), {"ndim": len(inner), "eps": draw.choice((1e-6, 0.1))}


rms_norm = Fused(
    "rms_norm",
    composed=rms_norm_composed,
    forward=rms_norm_forward,
    backward=rms_norm_backward,
    sample=_sample_rms,
    formula="dx = s (w g - xhat mean(w g xhat))",
    real_only=True,
)
