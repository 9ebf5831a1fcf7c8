"""The multi-class hinge loss (multi-class SVM), with its gradient derived by hand.

Source: Crammer and Singer 2001 for the idea; the form, with p, margin and class weights, is PyTorch's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.dispatch import bare
from autodiff.fused.common import floats, fused
from autodiff.fused.losses import REDUCTIONS, check_classification

__all__ = ["multi_margin_loss"]


def multi_margin_loss_composed(
    scores: Any, target: Any, weight: Any = None, *, p: int = 1, margin: float = 1.0, reduction: str = "mean"
) -> Any:
    """``sum_{j != y} w_y max(0, margin - x_y + x_j)^p / C`` for each example.

    Parameters
    ----------
    scores : (N, C) or (C,)
    target : int (N,) or ()
        Classes y in [0, C).
    weight : (C,) or None
        A factor per class; no gradient flows to it.
    p : {1, 2}
    margin : float
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    Tensor
        A scalar, or the losses of target's shape for "none".

    Raises
    ------
    ShapeError, ArgumentError
        If shapes do not fit, a class is out of range, or an option is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> multi_margin_loss(np.array([[1.0, 3.0, 0.5, 0.0]]), np.array([0])).item()
    0.875
    """
    scores = floats(scores)
    classes = _prepare(scores, target, weight, p, reduction)
    rows = np.reshape(scores, (len(classes), scores.shape[-1]))
    number, others = np.arange(len(classes)), np.ones(rows.shape, bool)
    others[number, classes] = False
    z = np.where(others, margin - np.reshape(rows[number, classes], (-1, 1)) + rows, 0)
    hinge = np.where(z <= 0, 0, z)
    losses = np.sum(hinge if p == 1 else hinge * hinge, axis=1) * _factors(weight, classes, rows)
    if reduction == "none":
        return np.reshape(losses, target.shape)
    total = np.sum(losses)
    return total if reduction == "sum" else total * rows.dtype.type(1 / len(classes) if len(classes) else np.nan)


def _prepare(scores: Any, target: Any, weight: Any, p: int, reduction: str) -> Any:
    """Flat classes, everything checked."""
    if p not in (1, 2):
        raise ArgumentError(f"multi_margin_loss: p must be 1 or 2, got {p}")
    if scores.ndim not in (1, 2) or scores.shape[-1] < 1:
        raise ShapeError(f"multi_margin_loss: scores of shape {scores.shape}; it needs (N, C) or (C,)")
    if target.dtype.kind in "fc":
        raise ArgumentError(f"multi_margin_loss: targets are integer classes, got dtype {target.dtype}")
    return check_classification("multi_margin_loss", scores, target, weight, None, reduction)[0]


def _factors(weight: Any, classes: Any, rows: Any) -> Any:
    """``w_y / C`` for each example, or one number."""
    each = rows.dtype.type(1 / rows.shape[1])
    if weight is None:
        return each
    table = bare(weight)
    return table[classes].astype(rows.dtype, copy=False) * each


def multi_margin_loss_forward(
    scores: Any, target: Any, weight: Any = None, *, p: int = 1, margin: float = 1.0, reduction: str = "mean"
) -> tuple[Any, Any]:
    """Residuals: the hinges ``max(0, z)`` (N, C) with 0 at the class itself, the factors ``w_y / C``, the classes, the
    mean's factor, p, shape.
    """
    scores = floats(scores)
    classes = _prepare(scores, target, weight, p, reduction)
    rows = scores.reshape(len(classes), scores.shape[-1])
    number = np.arange(len(classes))
    hinge = rows + (margin - rows[number, classes])[:, None]
    hinge[number, classes] = 0
    np.maximum(hinge, 0, out=hinge)
    factors = _factors(weight, classes, rows)
    losses = (hinge.sum(axis=1) if p == 1 else np.vecdot(hinge, hinge)) * factors
    scale = None if reduction == "none" else rows.dtype.type(1)
    if reduction == "mean":
        scale = rows.dtype.type(1 / len(classes) if len(classes) else np.nan)
    out = losses.reshape(target.shape) if scale is None else losses.sum() * scale
    return out, (hinge, factors, classes, scale, p, scores.shape)


def multi_margin_loss_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """For one example with ``z_j = margin - x_y + x_j`` and ``f = w_y / C``: ``dL/dx_j = f p max(0, z_j)^(p - 1)``
    where ``z_j > 0``, else 0, for j other than y; ``x_y`` stands in every term with a minus, so ``dL/dx_y = -sum_{j !=
    y} dL/dx_j``. (N, C), scaled by the example's part of ``g`` and returned in the scores' shape. Class and weight
    receive no gradient.
    """
    hinge, factors, classes, scale, p, shape = residuals
    each = factors * (g.reshape(-1) if scale is None else g * scale)
    slopes = (hinge > 0).astype(hinge.dtype) if p == 1 else 2 * hinge
    slopes *= np.asarray(each).reshape(-1, 1)
    slopes[np.arange(len(classes)), classes] = -slopes.sum(axis=1)
    return slopes.reshape(shape), None, None


def _sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n, c = draw.integer(1, 4), draw.integer(2, 4)
    shape = draw.choice(((n, c), (c,)))
    # Whole multiples of a quarter plus an odd eighth of a margin keep every z away from 0.
    scores = np.round(draw.array(shape, low=-3.0, high=3.0) * 4) / 4
    target = draw.integers(shape[:-1], 0, c - 1)
    weight = draw.array((c,), low=0.5, high=2.0) if draw.boolean() else None
    return (scores, target, weight), {
        "p": draw.choice((1, 2)),
        "margin": draw.choice((1.125, 0.375)),
        "reduction": draw.choice(REDUCTIONS),
    }


multi_margin_loss = fused(
    multi_margin_loss_composed, _sample, "L = Σ_{j≠y} max(0, margin - x_y + x_j)^p / C", real_only=True
)
