"""What the functions share: reading inputs and reducing losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.errors import ArgumentError, ShapeError

__all__ = ["as_input", "batched", "reduced"]


def as_input(x: Any) -> Any:
    """A Tensor as it is, anything else as an array."""
    return x if isinstance(x, Tensor) else np.asarray(x)


def batched(name: str, x: Any, axes: int) -> tuple[Any, bool]:
    """An input (N, C, ...) with ``axes`` spatial axes, and whether it came as a single (C, ...) that has been given a batch axis.

    Raises
    ------
    ShapeError
        If it has another number of axes.
    """
    x = as_input(x)
    if x.ndim == axes + 1:
        return x[None], True
    if x.ndim != axes + 2:
        raise ShapeError(f"{name}: input of shape {x.shape}; it needs {axes + 2} axes, (N, C, ...), or {axes + 1} without the batch")
    return x, False


def reduced(losses: Tensor, reduction: str, name: str) -> Tensor:
    """Losses per example, reduced as ``reduction`` says."""
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ArgumentError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
