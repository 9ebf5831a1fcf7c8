"""Normalisations: running statistics and conventions over the fused primitives."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.arguments import refuse_other, refuse_unless_positive, whole
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.fused.common import number
from autodiff.fused.statistics import EPS_MODES
from nn.functional.common import HALF, as_input, as_real, in_single, untracked, via_single

__all__ = ["batch_norm", "batch_renorm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]

_batch_norm = fused.batch_norm.with_residuals
_layer_norm = fused.layer_norm.function


def _statistics(name: str, *running: Any) -> list[Any]:
    """Running statistics as bare arrays; all of them are needed."""
    if any(r is None for r in running):
        raise ArgumentError(
            f"{name}: evaluation needs the running statistics; pass them, or ask for those of the input"
        )
    return [untracked(name, "running statistics", r) for r in running]


def _check_running(op: str, shape: tuple[int, ...], *running: Any) -> None:
    """Before the first of them changes."""
    for held in running:
        if held is not None and not isinstance(held, Tensor):
            raise ArgumentError(
                f"{op}: running statistics must be Tensors, which training updates; got {type(held).__name__}"
            )
        if held is not None and held._data.shape != shape:
            raise ShapeError(
                f"{op}: running statistics must have shape {shape}, one entry per channel; got {held.shape}"
            )


@lru_cache(maxsize=64)
def _shares(momentum: float, factor: float, dtype: Any) -> tuple[Any, Any]:
    """What the old and the new statistics are multiplied by."""
    return number(1 - momentum, dtype), number(momentum * factor, dtype)


def update_running(running: Any, batch: Any, momentum: float, factor: float = 1.0) -> None:
    """``running = (1 - momentum) running + momentum factor batch``, outside the graph."""
    if running is None:
        return
    held = running._data
    dtype = held.dtype
    share = momentum if momentum.__class__ is float else float(momentum)
    exact = dtype if batch.dtype is dtype else None
    # Stand-ins of autodiff.jit's cannot be remembered.
    old, new = _shares(share, factor, exact) if type(share) is float else (1 - share, share * factor)
    average = held * old
    average += batch * new
    if average.dtype is not dtype:
        average = average.astype(dtype)
    running._data = average  # running.data = average, without the questions that a property asks


def as_shape(name: str, normalized_shape: Any) -> tuple[int, ...]:
    """The last axes' lengths, of one or several."""
    shape = tuple(normalized_shape) if isinstance(normalized_shape, Iterable) else (normalized_shape,)
    if not shape or not all(whole(n) and n >= 0 for n in shape):
        raise ArgumentError(
            f"{name}: normalized_shape is an int or several, one for each axis, got {normalized_shape!r}"
        )
    return tuple(map(int, shape))


def _shape(normalized_shape: Any, x: Any, name: str) -> tuple[int, ...]:
    """The last axes' lengths, checked against the input."""
    shape = normalized_shape if normalized_shape.__class__ is tuple else as_shape(name, normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(f"{name}: input of shape {x.shape} does not end in normalized_shape {shape}")
    return shape


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    ddof: int = 1,
) -> Tensor:
    """Normalise every channel, by the batch's statistics in training and by the running ones otherwise.

    Parameters
    ----------
    input : (N, C), (N, C, L), (N, C, H, W), ...
    running_mean, running_var : Tensor (C,) or None
        Updated in training: ``running = (1 - momentum) * running + momentum * batch``. CS231n's momentum is ``1 -
        momentum``.
    weight, bias : (C,) or None
    training : bool
        True also where there are no running statistics.
    momentum, eps : float
    ddof : {1, 0}
        The running variance stores the batch's unbiased one (1: PyTorch) or the biased one (0: CS231n). The batch
        itself is always normalised by the biased one.

    Raises
    ------
    ShapeError
        If shapes disagree, or training sees a single value per channel.
    ArgumentError
        If evaluation lacks a running statistic.

    Examples
    --------
    >>> batch_norm([[1.0], [3.0]], None, None, training=True, eps=0.0).data
    array([[-1.],
           [ 1.]])
    """
    x = input if input.__class__ is Tensor else as_input(input)
    if x.dtype == HALF:
        options = {"training": training, "momentum": momentum, "eps": eps, "ddof": ddof}
        return via_single(batch_norm, x, running_mean, running_var, weight, bias, **options)  # type: ignore[no-any-return]
    if training and not x.size and x.ndim > 1:
        # A batch of nothing has no statistics: it leaves the running ones as they are.
        running_mean, running_var, training = np.zeros(x.shape[1], x.dtype), np.ones(x.shape[1], x.dtype), False
    if not training:
        mean, var = _statistics("batch_norm", running_mean, running_var)
        return fused.batch_norm_inference.function(x, mean, var, weight, bias, eps=eps)  # type: ignore[no-any-return]
    out, (kept, _, _, mean, variance) = _batch_norm(x, weight, bias, eps=eps)
    shape = mean.shape
    if not (
        running_mean.__class__ is running_var.__class__ is Tensor
        and running_mean._data.shape == running_var._data.shape == shape
    ):
        _check_running("batch_norm", shape, running_mean, running_var)
    if running_var is not None:
        refuse_other("batch_norm", "ddof", ddof, (0, 1))
        count = kept.size // len(variance)  # kept has the shape of the input
        update_running(running_var, variance, momentum, count / (count - ddof))
    update_running(running_mean, mean, momentum)
    return out  # type: ignore[no-any-return]


STATISTICS = ("std", "var", "std_squared")


@in_single
def batch_renorm(
    input: Any,
    running_mean: Any,
    running_std: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.01,
    eps: float = 1e-5,
    rmax: float = 3.0,
    dmax: float = 5.0,
    *,
    eps_mode: str = "inside",
    statistic: str = "std",
    ddof: int = 0,
) -> Tensor:
    """Batch normalisation that training corrects towards the running statistics, by which evaluation normalises (Ioffe
    2017, arXiv 1702.03275).

    In training ``y = weight ((x - mu) / sigma * r + d) + bias`` with ``r = clip(sigma / s, 1 / rmax, rmax)`` and ``d =
    clip((mu - m) / s, -dmax, dmax)``, where m and s are the running mean and standard deviation *before* this batch; r
    and d are constants of the gradient. In evaluation ``y = weight (x - m) / s + bias``.

    Parameters
    ----------
    input : (N, C), (N, C, L), (N, C, H, W), ...
    running_mean, running_std : Tensor (C,)
        Updated in training after use: ``running = (1 - momentum) * running + momentum * batch``.
    weight, bias : (C,) or None
    training : bool
    momentum : float
        The paper's alpha.
    eps : float
    rmax, dmax : float
        Bounds of the corrections, the paper's final ones by default; ``rmax=1, dmax=0`` trains as batch normalisation
        does.
    eps_mode : {"inside", "outside"}
        ``sigma = sqrt(v + eps)`` (the paper) or ``sigma = sqrt(v) + eps``, v being the batch's biased variance.
    statistic : {"std", "var", "std_squared"}
        What ``running_std`` averages: "std" the deviation sigma (the paper); "var" the variance v, and then ``s =
        sqrt(running + eps)``; "std_squared" sigma squared, and again ``s = sqrt(running + eps)``, so that eps counts
        twice.
    ddof : {0, 1}
        1 stores the unbiased variance ``m / (m - 1) v`` in the place of v.

    Notes
    -----
    Released code, each to be had by arguments (which the tests compare with it written out):

    ============================== ==========  ==========  =================  ====
    code                           eps         eps_mode    statistic          ddof
    ============================== ==========  ==========  =================  ====
    the paper                                  "inside"    "std"              0
    ludvb/batchrenorm (PyTorch)    1e-3        "outside"   "std"              0
    titu1994/BatchRenormalization  1e-3        "inside"    "std_squared"      0
    Chainer                        2e-5        "inside"    "var"              1
    ============================== ==========  ==========  =================  ====

    Raises
    ------
    ShapeError
        If shapes disagree, or training sees a single value per channel.
    ArgumentError
        If a running statistic is missing or an option is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> mean, std = Tensor(np.array([1.0])), Tensor(np.array([2.0]))
    >>> batch_renorm([[1.0], [3.0]], mean, std, training=True, momentum=0.5, eps=0.0).data
    array([[0.],
           [1.]])
    >>> mean.data, std.data
    (array([1.5]), array([1.5]))
    """
    refuse_other("batch_renorm", "statistic", statistic, STATISTICS)
    refuse_other("batch_renorm", "eps_mode", eps_mode, EPS_MODES)
    refuse_other("batch_renorm", "ddof", ddof, (0, 1))
    x = as_input(input)
    mean, spread = _statistics("batch_renorm", running_mean, running_std)
    if not training:
        var, more = (spread * spread, 0.0) if statistic == "std" else (spread, eps)
        return fused.batch_norm_inference.function(x, mean, var, weight, bias, eps=more)  # type: ignore[no-any-return]
    s = spread if statistic == "std" else np.sqrt(spread + eps)
    out, residuals = fused.batch_renorm.with_residuals(
        x, mean, s, weight, bias, rmax=rmax, dmax=dmax, eps=eps, eps_mode=eps_mode
    )
    *_, batch_mean, variance, deviation = residuals
    if ddof:
        count = x.shape[0] * int(np.prod(x.shape[2:], dtype=int))
        variance = variance * (count / (count - ddof))
        deviation = np.sqrt(variance + eps) if eps_mode == "inside" else np.sqrt(variance) + eps
    _check_running("batch_renorm", batch_mean.shape, running_mean, running_std)
    update_running(running_mean, batch_mean, momentum)
    update_running(
        running_std, {"std": deviation, "var": variance, "std_squared": deviation * deviation}[statistic], momentum
    )
    return out  # type: ignore[no-any-return]


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise every example over its last axes.

    Parameters
    ----------
    input : (..., *normalized_shape)
    normalized_shape : int or tuple of int
    weight, bias : normalized_shape or None
    eps : float

    Raises
    ------
    ShapeError
        If ``input`` does not end in ``normalized_shape``.

    Examples
    --------
    >>> layer_norm([[1.0, 3.0]], 2, eps=0.0).data
    array([[-1.,  1.]])
    """
    x = input if input.__class__ is Tensor else as_input(input)
    if x.dtype == HALF:
        return via_single(layer_norm, x, normalized_shape, weight, bias, eps)  # type: ignore[no-any-return]
    shape = _shape(normalized_shape, x, "layer_norm")
    return _layer_norm(x, weight, bias, ndim=len(shape), eps=eps)  # type: ignore[no-any-return]


@in_single
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Tensor:
    """Divide every example by the root of the mean square over its last axes (Zhang and Sennrich 2019, arXiv
    1910.07467).

    Parameters
    ----------
    input : (..., *normalized_shape)
    normalized_shape : int or tuple of int
    weight : normalized_shape or None
    eps : float or None
        Added inside the root; None for the machine epsilon of the dtype that it computes in, as PyTorch: float16 is
        normalised in float32.

    Raises
    ------
    ShapeError
        If ``input`` does not end in ``normalized_shape``.

    Examples
    --------
    >>> rms_norm([[1.0, 7.0]], 2, eps=0.0).data
    array([[0.2, 1.4]])
    """
    x = as_input(input)
    shape = _shape(normalized_shape, x, "rms_norm")
    if eps is None:
        eps = float(np.finfo(x.dtype if x.dtype.kind == "f" else np.float64).eps)
    return fused.rms_norm.function(x, weight, ndim=len(shape), eps=eps)  # type: ignore[no-any-return]


@in_single
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise every example over each of ``num_groups`` groups of channels and all positions (Wu and He 2018, arXiv
    1803.08494).

    Parameters
    ----------
    input : (N, C), (N, C, L), (N, C, H, W), ...
    num_groups : int
        A divisor of C. CS231n's ``gamma, beta`` of shape (1, C, 1, 1) are ``weight, bias`` of shape (C,) here.
    weight, bias : (C,) or None
    eps : float

    Raises
    ------
    ShapeError
        If shapes disagree, or the whole input is one value per group.
    ArgumentError
        If ``num_groups`` does not divide C.

    Examples
    --------
    >>> group_norm([[1.0, 3.0, 5.0, 9.0]], 2, eps=0.0).data
    array([[-1.,  1., -1.,  1.]])
    """
    x = as_input(input)
    if x.size == num_groups:
        raise ShapeError(
            f"group_norm: input of shape {x.shape} has one value for each of {num_groups} groups; its variance would be"
            " zero"
        )
    return fused.group_norm.function(x, weight, bias, num_groups=num_groups, eps=eps)  # type: ignore[no-any-return]


@in_single
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise every channel of every example over its positions (Ulyanov et al. 2016, arXiv 1607.08022).

    Parameters
    ----------
    input : (N, C, L), (N, C, H, W), ...
    running_mean, running_var : Tensor (C,) or None
        With ``use_input_stats`` updated by the batch's average of the examples' means and unbiased variances, else
        used.
    weight, bias : (C,) or None
    use_input_stats : bool
        False normalises by the running statistics.
    momentum, eps : float

    Raises
    ------
    ShapeError
        If shapes disagree, or an example has a single position.
    ArgumentError
        If the running statistics are needed and missing.

    Examples
    --------
    >>> instance_norm([[[1.0, 3.0], [5.0, 9.0]]], eps=0.0).data
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """
    x = as_input(input)
    if not use_input_stats:
        mean, var = _statistics("instance_norm", running_mean, running_var)
        return fused.batch_norm_inference.function(x, mean, var, weight, bias, eps=eps)  # type: ignore[no-any-return]
    positions = int(np.prod(x.shape[2:], dtype=int))
    if x.ndim < 2 or positions < 2:
        raise ShapeError(f"instance_norm: input of shape {x.shape}; it needs (N, C, ...) with two positions at least")
    out, residuals = fused.group_norm.with_residuals(x, weight, bias, num_groups=x.shape[1], eps=eps)
    if running_mean is not None or running_var is not None:
        *_, means, variances = residuals
        _check_running("instance_norm", x.shape[1:2], running_mean, running_var)
        update_running(running_mean, means.reshape(x.shape[:2]).mean(axis=0), momentum)
        update_running(running_var, variances.reshape(x.shape[:2]).mean(axis=0), momentum, positions / (positions - 1))
    return out  # type: ignore[no-any-return]


@in_single
def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """``x / (k + alpha mean(x^2))^beta``, the mean taken over ``size`` neighbouring channels, zeros beyond the ends
    (Krizhevsky et al. 2012, section 3.3, whose sum is ``size`` times that mean).

    Parameters
    ----------
    input : (N, C, ...)
        With one axis after the channels at least.
    size : int
    alpha, beta, k : float

    Raises
    ------
    ShapeError, ArgumentError
        If the input has fewer than three axes, or ``size`` is not positive.

    Examples
    --------
    >>> local_response_norm([[[2.0], [0.0]]], 2, alpha=1.0, beta=1.0).data.ravel().round(3)
    array([0.667, 0.   ])
    """
    x = as_real("local_response_norm", input)
    if x.ndim < 3:
        raise ShapeError(f"local_response_norm: input of shape {x.shape}; it needs (N, C, ...) with three axes or more")
    refuse_unless_positive("local_response_norm: size", size)
    n, c = x.shape[:2]
    if not x.size:
        return x * 1
    squares = np.pad((x * x).reshape(n, 1, c, -1), ((0, 0), (0, 0), (size // 2, (size - 1) // 2), (0, 0)))
    means = fused.avg_pool.function(squares, kernel_size=(size, 1), stride=1)
    return x / (means.reshape(x.shape) * alpha + k) ** beta  # type: ignore[no-any-return]
