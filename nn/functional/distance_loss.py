"""Losses of regression, by the distance of a prediction from its target, and the distances themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.arguments import refuse_negative
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.ops.common import real_numbers
from nn.functional.common import alike, as_tensor, equal_shapes, reduced, weighted

__all__ = [
    "cosine_similarity",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "normalize",
    "pairwise_distance",
    "pdist",
    "smooth_l1_loss",
]


def _difference(name: str, input: Any, target: Any) -> Tensor:
    x, y = alike(name, input, target)
    return x - y  # type: ignore[no-any-return]


def _squared(d: Any) -> Any:
    """``|d|^2``, a real number for a complex d too."""
    return np.square(d.real) + np.square(d.imag) if d.dtype.kind == "c" else np.square(d)


def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """Squared differences, of equal shapes, reduced.

    Parameters
    ----------
    input, target : array_like or Tensor of one shape
    reduction : {"mean", "sum", "none"}
        With ``weight`` the mean divides by the sum of the weights.
    weight : array_like of the same shape, optional

    Raises
    ------
    ShapeError
        If shapes differ.

    Examples
    --------
    >>> mse_loss([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """
    return weighted(_squared(_difference("mse_loss", input, target)), weight, reduction, "mse_loss")


def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """Absolute differences, of equal shapes, reduced; parameters as :func:`mse_loss`. At equality the gradient is 0.

    Examples
    --------
    >>> l1_loss([1.0, 2.0], [1.0, 4.0]).item()
    1.0
    """
    return weighted(np.abs(_difference("l1_loss", input, target)), weight, reduction, "l1_loss")


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """``d^2 / (2 beta)`` where the difference d is below ``beta``, else ``|d| - beta / 2`` (Girshick 2015, arXiv
    1504.08083).

    Parameters
    ----------
    input, target : array_like or Tensor of one shape
    reduction : {"mean", "sum", "none"}
    beta : float
        0 makes it :func:`l1_loss`.

    Raises
    ------
    ShapeError, ArgumentError
        If shapes differ, or ``beta`` is negative.

    Examples
    --------
    >>> smooth_l1_loss([0.5, 3.0], [0.0, 0.0], "none").data
    array([0.125, 2.5  ])
    """
    refuse_negative("smooth_l1_loss: beta", beta)
    d = _difference("smooth_l1_loss", input, target)
    return reduced(fused.huber_bowl.function(d, delta=beta) / beta if beta else np.abs(d), reduction, "smooth_l1_loss")


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Tensor:
    """``d^2 / 2`` where the difference d is below ``delta``, else ``delta (|d| - delta / 2)`` (Huber 1964).

    Parameters
    ----------
    input, target : array_like or Tensor of one shape
    reduction : {"mean", "sum", "none"}
    delta : float
    weight : array_like of the same shape, optional
        Unlike in :func:`mse_loss` the mean still divides by the number of elements, as in PyTorch.

    Raises
    ------
    ShapeError, ArgumentError
        If shapes differ, or ``delta`` is not positive.

    Examples
    --------
    >>> huber_loss([0.5, 3.0], [0.0, 0.0], "none", delta=2.0).data
    array([0.125, 4.   ])
    """
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta must be positive, got {delta}")
    losses = fused.huber_bowl.function(_difference("huber_loss", input, target), delta=delta)
    if weight is not None:
        w = as_tensor(weight)
        equal_shapes("huber_loss", input=losses, weight=w)
        losses = losses * w
    return reduced(losses, reduction, "huber_loss")


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """``||x1 - x2 + eps||_p`` along the last axis.

    Parameters
    ----------
    x1, x2 : array_like or Tensor, (..., D), that broadcast
    p : float
        As in ``numpy.linalg.vector_norm``: 0 counts the differences, infinity takes the largest.
    eps : float
        Keeps the root's derivative finite at equality.
    keepdim : bool

    Examples
    --------
    >>> round(pairwise_distance([3.0, 0.0], [0.0, 4.0]).item(), 4)
    5.0
    """
    d = as_tensor(x1) - as_tensor(x2) + eps
    return np.linalg.vector_norm(d, axis=-1, ord=p, keepdims=keepdim)  # type: ignore[no-any-return]


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 . x2 / (max(||x1||, eps) max(||x2||, eps))`` along ``dim``.

    Parameters
    ----------
    x1, x2 : array_like or Tensor that broadcast
    dim : int
    eps : float
        Smallest length.

    Raises
    ------
    ArgumentError
        If there is no such axis, or ``eps`` is negative.

    Examples
    --------
    >>> cosine_similarity([[3.0, 4.0]], [[4.0, 3.0]]).data
    array([0.96])
    """
    x, y = np.broadcast_arrays(as_tensor(x1), as_tensor(x2))
    real_numbers("cosine_similarity", x, y)
    if not -x.ndim <= dim < x.ndim or not eps >= 0:
        raise ArgumentError(f"cosine_similarity: dim={dim} and eps={eps} for inputs of shape {x.shape}")
    lengths = [np.maximum(np.linalg.norm(t, axis=dim, keepdims=True), eps) for t in (x, y)]
    return np.sum((x / lengths[0]) * (y / lengths[1]), axis=dim)  # type: ignore[no-any-return]


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: None = None) -> Tensor:
    """``input`` divided by its p-norm along ``dim``, or by ``eps`` where that is larger; ``out`` is refused.

    Along several axes the norm is that of all their elements, never that of a matrix.

    Examples
    --------
    >>> normalize([[3.0, 4.0]]).data
    array([[0.6, 0.8]])
    """
    x = as_tensor(input)
    if out is not None:
        raise ArgumentError("normalize: out= is not here; assign the result")
    refuse_negative("normalize: eps", eps)
    norm = np.linalg.vector_norm(x, axis=tuple(dim) if isinstance(dim, list) else dim, ord=p, keepdims=True)
    return x / np.maximum(norm, np.asarray(eps, norm.dtype))  # type: ignore[no-any-return]


def pdist(input: Any, p: float = 2.0) -> Tensor:
    """The p-norm distance of every pair of rows, as ``scipy.spatial.distance.pdist``.

    Parameters
    ----------
    input : (N, M)
    p : float

    Returns
    -------
    Tensor, (N (N - 1) / 2,)

    Raises
    ------
    ShapeError, ArgumentError
        If ``input`` is no matrix, or ``p`` is negative.

    Examples
    --------
    >>> pdist([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]).data.round(3)
    array([5.   , 1.   , 4.243])
    """
    x = as_tensor(input)
    if x.ndim != 2:
        raise ShapeError(f"pdist: input of shape {x.shape}; it needs (N, M)")
    refuse_negative("pdist: p", p)
    first, second = np.triu_indices(x.shape[0], 1)
    return np.linalg.norm(x[first] - x[second], p, axis=-1)  # type: ignore[no-any-return]
