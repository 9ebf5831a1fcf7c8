"""Functions with PyTorch's names, argument order and defaults: state and conventions over the fused primitives."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.errors import ArgumentError, ShapeError
from nn.init import default_generator

__all__ = [
    "batch_norm",
    "cross_entropy",
    "dropout",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mse_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]


def _tensor(x: Any) -> Any:
    return x if isinstance(x, Tensor) else np.asarray(x)


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """``input @ weight.T + bias``.

    Parameters
    ----------
    input : (..., in)
    weight : (out, in)
    bias : (out,) or None

    Returns
    -------
    Tensor, (..., out)

    Examples
    --------
    >>> import numpy as np
    >>> linear(np.ones((2, 3)), np.ones((4, 3))).shape
    (2, 4)
    """
    return fused.linear.function(_tensor(input), weight, bias)  # type: ignore[no-any-return]


def relu(input: Any) -> Tensor:
    """``max(input, 0)``, with gradient 0 at 0.

    Examples
    --------
    >>> relu([-1.0, 2.0]).data
    array([0., 2.])
    """
    return fused.relu.function(_tensor(input))  # type: ignore[no-any-return]


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """``input`` where positive, else ``negative_slope * input``.

    Examples
    --------
    >>> leaky_relu([-1.0, 2.0], 0.1).data
    array([-0.1,  2. ])
    """
    x = _tensor(input)
    return np.where(x > 0, x, x * negative_slope) if isinstance(x, Tensor) else leaky_relu(Tensor(x), negative_slope)  # type: ignore[return-value]


def sigmoid(input: Any) -> Tensor:
    """``1 / (1 + exp(-input))``, as ``(1 + tanh(input / 2)) / 2``, which overflows nowhere.

    Examples
    --------
    >>> sigmoid([0.0, -1000.0]).data
    array([0.5, 0. ])
    """
    x = input if isinstance(input, Tensor) else Tensor(input)
    return 0.5 * np.tanh(0.5 * x) + 0.5  # type: ignore[no-any-return]


def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent."""
    return np.tanh(input if isinstance(input, Tensor) else Tensor(input))  # type: ignore[return-value]


def softmax(input: Any, dim: int) -> Tensor:
    """``exp(input) / sum(exp(input))`` along ``dim``.

    Examples
    --------
    >>> softmax([0.0, 0.0], dim=0).data
    array([0.5, 0.5])
    """
    return fused.softmax.function(_tensor(input), axis=dim)  # type: ignore[no-any-return]


def log_softmax(input: Any, dim: int) -> Tensor:
    """The logarithm of softmax along ``dim``, stable for any magnitude."""
    return fused.log_softmax.function(_tensor(input), axis=dim)  # type: ignore[no-any-return]


def dropout(input: Any, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None) -> Tensor:
    """Zero each element with probability ``p`` and scale the others by ``1 / (1 - p)``; the identity unless ``training``.

    Parameters
    ----------
    input : array_like or Tensor
    p : float
        Probability of dropping. CS231n's ``p`` is the probability of keeping, ``1 - p``.
    training : bool
    generator : numpy.random.Generator, optional
        Where the mask comes from; default the one of ``nn.init.manual_seed``.

    Examples
    --------
    >>> import numpy as np
    >>> dropout([1.0, 1.0], 0.5, generator=np.random.default_rng(3)).shape
    (2,)
    """
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p must be a probability, 0 <= p <= 1, got {p}")
    x = input if isinstance(input, Tensor) else Tensor(input)
    if not training or p == 0:
        return x
    return fused.dropout.function(x, fused.dropout_mask(x.shape, p, default_generator(generator)), p=p)  # type: ignore[no-any-return]


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *, ddof: int = 1,
) -> Tensor:  # fmt: skip
    """Normalise every channel, by the batch's statistics in training and by the running ones otherwise.

    Parameters
    ----------
    input : (N, C), (N, C, L), (N, C, H, W), ...
    running_mean, running_var : Tensor (C,) or None
        Updated in training: ``running = (1 - momentum) * running + momentum * batch``. CS231n's momentum is ``1 - momentum``.
    weight, bias : (C,) or None
    training : bool
        True also where there are no running statistics.
    momentum, eps : float
    ddof : {1, 0}
        The running variance stores the batch's unbiased one (1: PyTorch) or the biased one (0: CS231n). The batch itself is always
        normalised by the biased one.

    Raises
    ------
    ShapeError
        If shapes disagree, or training sees a single value per channel.
    """
    x = _tensor(input)
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError("batch_norm: evaluation needs running_mean and running_var; pass them, or training=True")
        mean, var = (t.data if isinstance(t, Tensor) else np.asarray(t) for t in (running_mean, running_var))
        return fused.batch_norm_inference.function(x, mean, var, weight, bias, eps=eps)  # type: ignore[no-any-return]
    out, residuals = fused.batch_norm.with_residuals(x, weight, bias, eps=eps)
    if running_mean is not None or running_var is not None:
        count = x.shape[0] * int(np.prod(x.shape[2:], dtype=int))
        mean, var = residuals[3], residuals[4] * (count / (count - ddof))
        for running, batch in ((running_mean, mean), (running_var, var)):
            if running is not None:
                running.data = ((1 - momentum) * running.data + momentum * batch).astype(running.dtype, copy=False)
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
    x = _tensor(input)
    shape = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(f"layer_norm: input of shape {x.shape} does not end in normalized_shape {shape}")
    return fused.layer_norm.function(x, weight, bias, ndim=len(shape), eps=eps)  # type: ignore[no-any-return]


def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
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
    label_smoothing : float in [0, 1]

    Examples
    --------
    >>> round(cross_entropy([[0.0, 0.0]], [1]).item(), 6)
    0.693147
    """
    return fused.cross_entropy.function(  # type: ignore[no-any-return]
        _tensor(input), _tensor(target), weight if weight is None else _tensor(weight),
        ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


def _reduced(losses: Tensor, reduction: str, name: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ArgumentError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Squared differences, of equal shapes, reduced.

    Examples
    --------
    >>> mse_loss([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """
    x = input if isinstance(input, Tensor) else Tensor(input)
    y = _tensor(target)
    if x.shape != y.shape:
        raise ShapeError(f"mse_loss: input of shape {x.shape}, target of shape {y.shape}; they must be equal")
    return _reduced(np.square(x - y), reduction, "mse_loss")  # type: ignore[arg-type]
