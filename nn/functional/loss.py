"""Losses that are negative log-likelihoods: of classes, probabilities, counts and normal variables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.fused.losses import check_classification, class_rows, picked
from autodiff.ops.common import real_numbers
from nn.functional.activation import logsigmoid
from nn.functional.common import alike, as_floats, as_input, as_tensor, reduced, untracked

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "gaussian_nll_loss",
    "kl_div",
    "nll_loss",
    "poisson_nll_loss",
]

_cross_entropy = fused.cross_entropy.function


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of ``softmax(input)`` with class indices or class probabilities.

    Parameters
    ----------
    input : (C,), (N, C) or (N, C, d1, ...)
        Unnormalised scores.
    target : int of shape (), (N,) or (N, d1, ...), or floats of input's shape
    weight : (C,) or None
    ignore_index : int
    reduction : {"mean", "sum", "none"}
        The mean is weighted; where no example counts, it is NaN and its gradient 0.
    label_smoothing : float in [0, 1]

    Examples
    --------
    >>> round(cross_entropy([[0.0, 0.0]], [1]).item(), 6)
    0.693147
    """
    return _cross_entropy(  # type: ignore[no-any-return]
        as_floats(input),
        target if target.__class__ is np.ndarray else as_input(target),
        weight if weight is None else as_input(weight),
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """The negative log-probability of each target class: ``-weight[y] input[y]``.

    Parameters
    ----------
    input : (C,), (N, C) or (N, C, d1, ...)
        Log-probabilities, as :func:`log_softmax` makes them.
    target : int of shape (), (N,) or (N, d1, ...)
    weight : (C,) or None
        A factor per class; the mean divides by the sum of the factors used. Where that is 0, the mean is NaN and its
        gradient 0.
    ignore_index : int
        Examples of this class count for nothing.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError, ArgumentError
        If shapes do not fit, or a class is out of range.

    Examples
    --------
    >>> nll_loss([[-1.0, -2.0], [-3.0, -4.0]], [1, 0]).item()
    2.5
    """
    x, y, w = as_tensor(input), as_input(target), untracked("nll_loss", "weight", weight)
    if y.dtype.kind not in "iu":
        raise ArgumentError(f"nll_loss: targets are integer class indices, got dtype {y.dtype}")
    classes, shape, _ = check_classification("nll_loss", x, y, w, ignore_index, reduction)
    rows = class_rows(x)
    place, factor = picked(classes, w, ignore_index, rows.dtype)
    # Selected, not multiplied: what is ignored may be infinite.
    losses = np.where(classes != ignore_index, rows[np.arange(len(place)), place], 0.0) * -factor
    if reduction == "none":
        return losses.reshape(shape)  # type: ignore[no-any-return]
    return reduced(losses, reduction, "nll_loss", float(factor.sum(dtype=np.float64)))


def _times(name: str, losses: Any, weight: Any) -> Any:
    """Losses times weights that broadcast to their shape, not beyond it."""
    if weight is None:
        return losses
    w = as_input(weight)
    out = losses * w
    if out.shape != losses.shape:
        raise ShapeError(f"{name}: weights of shape {w.shape} for losses of shape {losses.shape}")
    return out


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """``-(t log x + (1 - t) log(1 - x))`` of probabilities; logarithms end at -100, as in PyTorch.

    Parameters
    ----------
    input, target : array_like or Tensor of one shape
        Probabilities in [0, 1]; for scores use :func:`binary_cross_entropy_with_logits`, which is stable.
    weight : array_like that broadcasts, optional
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError, ArgumentError
        If shapes differ, or an input lies outside [0, 1].

    Examples
    --------
    >>> binary_cross_entropy([0.5, 1.0, 0.0], [1.0, 1.0, 1.0], reduction="none").data
    array([  0.69314718,   0.        , 100.        ])
    """
    x, t = alike("binary_cross_entropy", input, target)
    bare = x._array
    if not ((bare >= 0) & (bare <= 1) | np.isnan(bare)).all():
        raise ArgumentError(
            f"binary_cross_entropy: inputs are probabilities in [0, 1], got values from {bare.min()} to {bare.max()}; "
            "apply sigmoid, or use binary_cross_entropy_with_logits"
        )
    losses = fused.bernoulli_nll.function(x, t)
    return reduced(_times("binary_cross_entropy", losses, weight), reduction, "binary_cross_entropy")


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """``-(pos_weight t log sigmoid(x) + (1 - t) log(1 - sigmoid(x)))`` of scores, stable for any magnitude.

    Parameters
    ----------
    input, target : array_like or Tensor of one shape
        Scores, and probabilities in [0, 1].
    weight : array_like that broadcasts, optional
    reduction : {"mean", "sum", "none"}
    pos_weight : array_like that broadcasts, optional
        A factor of the positive term.

    Raises
    ------
    ShapeError
        If shapes differ.

    Examples
    --------
    >>> binary_cross_entropy_with_logits([0.0, -1e4], [1.0, 1.0], reduction="none").data
    array([6.93147181e-01, 1.00000000e+04])
    """
    name = "binary_cross_entropy_with_logits"
    x, t = alike(name, input, target)
    if pos_weight is None:
        losses = fused.bernoulli_logits.function(x, t)
    else:
        losses = (t - 1) * logsigmoid(-x) - _times(name, t * logsigmoid(x), pos_weight)
    return reduced(_times(name, losses, weight), reduction, name)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """The Kullback-Leibler divergence of the distribution ``target`` from the one whose logarithms are ``input``: ``t
    (log t - input)``.

    Parameters
    ----------
    input : array_like or Tensor
        Log-probabilities.
    target : array_like or Tensor of the same shape
        Probabilities, or their logarithms with ``log_target``.
    reduction : {"mean", "batchmean", "sum", "none"}
        "batchmean" divides the sum by the first axis, which is the divergence proper; "mean" divides by the number of
        elements.
    log_target : bool

    Raises
    ------
    ShapeError
        If shapes differ.

    Examples
    --------
    >>> round(kl_div(np.log([[0.5, 0.5]]), [[1.0, 0.0]], "batchmean").item(), 6)
    0.693147
    """
    x, t = alike("kl_div", input, target, real=True)
    if log_target:
        losses = np.exp(t) * (t - x)
    else:
        # t log t is 0 at 0, and NaN below, where it does not exist.
        none = t == 0
        losses = np.where(none, 0.0, t * np.log(np.where(none, 1.0, t))) - t * x
    if reduction == "batchmean":
        return reduced(losses, "mean", "kl_div", x.shape[0] if x.ndim else 1)
    return reduced(losses, reduction, "kl_div")


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """``(log var + (input - target)^2 / var) / 2``: the negative log-likelihood of normal distributions.

    Parameters
    ----------
    input, target : array_like or Tensor of one shape
        Means, and observations.
    var : float, or array_like or Tensor of input's shape, the same less the last axis, or the same with one axis of
    length 1
        Variances.
    full : bool
        Add the constant ``log(2 pi) / 2``.
    eps : float
        Smallest variance; the gradient passes as if it were not there.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError, ArgumentError
        If shapes do not fit, a variance is negative, or ``eps`` is not positive.

    Examples
    --------
    >>> gaussian_nll_loss([1.0], [3.0], [1.0]).item()
    2.0
    """
    x, t = alike("gaussian_nll_loss", input, target, real=True)
    real_numbers("gaussian_nll_loss", var)
    v = as_tensor(np.asarray(var, x.dtype) if isinstance(var, (int, float)) else var, x)
    if not isinstance(var, (int, float)) and v.shape != x.shape:
        if v.shape == x.shape[:-1]:
            v = v[..., None]
        elif v.ndim != x.ndim or [b for a, b in zip(x.shape, v.shape, strict=True) if a != b] != [1]:
            raise ShapeError(f"gaussian_nll_loss: var of shape {v.shape} for input of shape {x.shape}")
    if (v._array < 0).any():
        raise ArgumentError(f"gaussian_nll_loss: variances must not be negative, got {v.data.min()}")
    if not eps > 0:
        raise ArgumentError(f"gaussian_nll_loss: eps must be positive, got {eps}")
    v = v + np.maximum(eps - v._array, 0).astype(v.dtype)
    losses = 0.5 * (np.log(v) + np.square(x - t) / v)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction, "gaussian_nll_loss")


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
) -> Tensor:
    """``rate - target log rate``: the negative log-likelihood of Poisson distributions, less ``log target!``.

    Parameters
    ----------
    input, target : array_like or Tensor of one shape
        Rates or their logarithms, and counts.
    log_input : bool
        ``input`` is the logarithm of the rate.
    full : bool
        Add Stirling's approximation of ``log target!`` where the target is above 1.
    eps : float
        Added to a rate before its logarithm is taken.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError
        If shapes differ.

    Examples
    --------
    >>> poisson_nll_loss([0.0], [2.0]).item()
    1.0
    """
    x, t = alike("poisson_nll_loss", input, target, real=True)
    losses = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    if full:
        some = t > 1
        many = np.where(some, t, 2.0)
        losses = losses + np.where(some, many * np.log(many) - many + 0.5 * np.log(2 * math.pi * many), 0.0)
    return reduced(losses, reduction, "poisson_nll_loss")
