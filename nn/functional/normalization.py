"""Normalisations: running statistics and conventions over the fused primitives."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.errors import ArgumentError, ShapeError
from nn.functional.common import as_input

__all__ = ["batch_norm", "layer_norm"]


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
    x = as_input(input)
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
    x = as_input(input)
    shape = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(f"layer_norm: input of shape {x.shape} does not end in normalized_shape {shape}")
    return fused.layer_norm.function(x, weight, bias, ndim=len(shape), eps=eps)  # type: ignore[no-any-return]
