"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.errors import ShapeError
from nn.functional.common import as_input, reduced

__all__ = ["cross_entropy", "mse_loss"]


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
        as_input(input), as_input(target), weight if weight is None else as_input(weight),
        ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Squared differences, of equal shapes, reduced.

    Examples
    --------
    >>> mse_loss([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """
    x = input if isinstance(input, Tensor) else Tensor(input)
    y = as_input(target)
    if x.shape != y.shape:
        raise ShapeError(f"mse_loss: input of shape {x.shape}, target of shape {y.shape}; they must be equal")
    return reduced(np.square(x - y), reduction, "mse_loss")  # type: ignore[arg-type]
