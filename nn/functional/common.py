"""What the functions share: reading inputs and reducing losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.errors import ArgumentError

__all__ = ["as_input", "reduced"]


def as_input(x: Any) -> Any:
    """A Tensor as it is, anything else as an array."""
    return x if isinstance(x, Tensor) else np.asarray(x)


def reduced(losses: Tensor, reduction: str, name: str) -> Tensor:
    """Losses per example, reduced as ``reduction`` says."""
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ArgumentError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
