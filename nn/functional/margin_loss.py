"""Losses that ask for a margin: hinges over classes, pairs and triplets."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from nn.functional.activation import logsigmoid
from nn.functional.common import alike, as_input, as_real, equal_shapes, reduced
from nn.functional.distance_loss import pairwise_distance

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _positive_part(x: Any) -> Any:
    """``max(x, 0)`` with gradient 1 at 0, as PyTorch's clamp."""
    return np.clip(x, 0, None)


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """The multi-class hinge loss: ``sum_{j != y} w_y max(0, margin - x_y + x_j)^p / C`` for each example.

    Parameters
    ----------
    input : (N, C) or (C,)
        Scores.
    target : int (N,) or ()
        Classes y.
    p : {1, 2}
    margin : float
    weight : (C,) or None
        A factor per class.
    reduction : {"mean", "sum", "none"}

    Notes
    -----
    CS231n's SVM loss does not divide by C: it is C times this one.

    Raises
    ------
    ShapeError, ArgumentError
        If shapes do not fit, a class is out of range, or an option is unknown.

    Examples
    --------
    >>> round(3 * multi_margin_loss([[3.2, 5.1, -1.7]], [0]).item(), 6)
    2.9
    """
    return fused.multi_margin_loss.function(  # type: ignore[no-any-return]
        as_input(input),
        as_input(target),
        weight if weight is None else as_input(weight),
        p=p,
        margin=margin,
        reduction=reduction,
    )


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1.

    Examples
    --------
    >>> hinge_embedding_loss([0.5, 0.25], [1, -1], reduction="none").data
    array([0.5 , 0.75])
    """
    x, y = as_real("hinge_embedding_loss", input), as_input(target)
    equal_shapes("hinge_embedding_loss", input=x, target=y)
    # Any other target counts both terms, as in PyTorch.
    losses = np.where(y != -1, x, 0.0) + np.where(y != 1, _positive_part(-x + margin), 0.0)
    return reduced(losses, reduction, "hinge_embedding_loss")


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Tensor:
    """``max(0, -target (input1 - input2) + margin)``: a target of 1 wants ``input1`` the larger, -1 ``input2``.

    Examples
    --------
    >>> margin_ranking_loss([2.0, 2.0], [1.0, 1.0], [1, -1], reduction="none").data
    array([0., 1.])
    """
    x, y = as_real("margin_ranking_loss", input1), as_real("margin_ranking_loss", input2)
    t = as_real("margin_ranking_loss", target, x)
    if not x.ndim == y.ndim == t.ndim:
        raise ShapeError(
            f"margin_ranking_loss: shapes {x.shape}, {y.shape} and {t.shape}; they must have equally many axes"
        )
    return reduced(_positive_part(margin - t * (x - y)), reduction, "margin_ranking_loss")


def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """``log(1 + exp(-target input))`` for targets 1 and -1, stable for any magnitude.

    Examples
    --------
    >>> soft_margin_loss([1e4, -1e4], [1, 1], "none").data
    array([   -0., 10000.])
    """
    x, y = alike("soft_margin_loss", input, target, real=True)
    return reduced(-logsigmoid(x * y), reduction, "soft_margin_loss")


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``1 - cos`` of the angle between the inputs where the target is 1, ``max(0, cos - margin)`` where it is -1.

    Parameters
    ----------
    input1, input2 : (N, D) or (D,)
    target : (N,) or ()
    margin : float in [-1, 1]
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError
        If shapes do not fit.

    Examples
    --------
    >>> round(cosine_embedding_loss([3.0, 4.0], [4.0, 3.0], 1).item(), 6)
    0.04
    """
    x, y, t = as_real("cosine_embedding_loss", input1), as_real("cosine_embedding_loss", input2), as_input(target)
    equal_shapes("cosine_embedding_loss", input1=x, input2=y)
    if x.ndim not in (1, 2) or t.shape != x.shape[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss: inputs of shape {x.shape} and target of shape {t.shape}; it needs (N, D) and (N,),"
            " or (D,) and ()"
        )
    # PyTorch's guard against length 0, other than in cosine_similarity.
    squares = [np.sum(v * v, axis=-1) + 1e-12 for v in (x, y)]
    cosine = np.sum(x * y, axis=-1) / np.sqrt(squares[0] * squares[1])
    losses = np.where(t == 1, 1 - cosine, 0.0) + np.where(t == -1, _positive_part(cosine - margin), 0.0)
    return reduced(losses, reduction, "cosine_embedding_loss")


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with the p-norm's distance along the last axis.

    Parameters
    ----------
    anchor, positive, negative : (N, D) or (D,)
    margin : float
        Positive.
    p, eps : float
        As in :func:`pairwise_distance`.
    swap : bool
        Take ``d(positive, negative)`` for the second distance where that is smaller (Balntas et al. 2016).
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError, ArgumentError
        If the inputs have different numbers of axes, or ``margin`` is not positive.

    Examples
    --------
    >>> round(triplet_margin_loss([0.0, 0.0], [3.0, 4.0], [0.0, 5.5]).item(), 4)
    0.5
    """
    distance = functools.partial(pairwise_distance, p=p, eps=eps)
    return _triplet("triplet_margin_loss", anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` with a distance of one's own.

    Parameters
    ----------
    anchor, positive, negative : arrays of one number of axes
    distance_function : callable, optional
        Two arrays to distances; default :func:`pairwise_distance`.
    margin : float
        Positive.
    swap : bool
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError, ArgumentError
        As :func:`triplet_margin_loss`.

    Examples
    --------
    >>> far = lambda a, b: abs(a - b).sum(-1)
    >>> triplet_margin_with_distance_loss([0.0, 0.0], [3.0, 4.0], [0.0, 7.5], distance_function=far).item()
    0.5
    """
    distance = pairwise_distance if distance_function is None else distance_function
    name = "triplet_margin_with_distance_loss"
    return _triplet(name, anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(
    name: str, anchor: Any, positive: Any, negative: Any, distance: Any, margin: float, swap: bool, reduction: str
) -> Tensor:
    if not margin > 0:
        raise ArgumentError(f"{name}: margin must be positive, got {margin}")
    a, b, c = as_real(name, anchor), as_real(name, positive), as_real(name, negative)
    if not a.ndim == b.ndim == c.ndim:
        raise ShapeError(f"{name}: shapes {a.shape}, {b.shape} and {c.shape}; they must have equally many axes")
    near, far = distance(a, b), distance(a, c)
    if swap:
        far = np.minimum(far, distance(b, c))
    return reduced(_positive_part(margin + near - far), reduction, name)


def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """Binary cross-entropy of each class from its score, the mean over classes.

    Parameters
    ----------
    input : (..., C)
        Scores.
    target : (..., C)
        1 for the classes that an example has, else 0.
    weight : (C,) or None
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError
        If shapes differ.

    Examples
    --------
    >>> round(multilabel_soft_margin_loss([[0.0, 1e4]], [[1, 1]]).item(), 6)
    0.346574
    """
    x, y = alike("multilabel_soft_margin_loss", input, target, real=True)
    losses = -(y * logsigmoid(x) + (1 - y) * logsigmoid(-x))
    if weight is not None:
        losses = losses * as_input(weight)
    return reduced(losses.mean(axis=-1), reduction, "multilabel_soft_margin_loss")


def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """``sum_ij max(0, 1 - x_j + x_i) / C`` over the classes j that an example has and i that it has not.

    Parameters
    ----------
    input : (N, C) or (C,)
        Scores.
    target : int, of the same shape
        Each example's classes, ended by -1.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError, ArgumentError
        If shapes differ, or a class is out of range.

    Examples
    --------
    >>> round(multilabel_margin_loss([0.1, 0.2, 0.4, 0.8], [3, 0, -1, 1]).item(), 6)
    0.85
    """
    x, y = as_real("multilabel_margin_loss", input), np.asarray(as_input(target))
    equal_shapes("multilabel_margin_loss", input=x, target=y)
    if y.dtype.kind not in "iu":
        raise DTypeError(f"multilabel_margin_loss: target holds integer classes, got dtype {y.dtype}")
    classes = x.shape[-1]
    if x.ndim not in (1, 2) or (y.size and (y.min() < -1 or y.max() >= classes)):
        raise ArgumentError(f"multilabel_margin_loss: target holds classes from -1 to {classes - 1}, input is (N, C)")
    named = np.cumsum(y == -1, axis=-1) == 0
    has = ((y[..., None] == np.arange(classes)) & named[..., None]).sum(axis=-2)
    # One row for each of an example's classes j, one column for each class i that it has not.
    pairs = has[..., :, None] * (has == 0)[..., None, :]
    # Scores of other pairs are left out before they are subtracted: those of classes that nobody may choose are -inf.
    named, other = (np.where(pairs > 0, scores, 0.0) for scores in (x[..., :, None], x[..., None, :]))
    losses = _positive_part(1 - named + other) * pairs.astype(x.dtype)
    return reduced(losses.sum(axis=(-2, -1)) / classes, reduction, "multilabel_margin_loss")
