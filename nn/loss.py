"""Losses as modules."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor
from nn import functional as F
from nn.module import Module

__all__ = ["CrossEntropyLoss", "MSELoss"]


class CrossEntropyLoss(Module):
    """Cross-entropy of softmax scores; see :func:`nn.functional.cross_entropy`."""

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weight", None if weight is None else Tensor(np.asarray(weight)))
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def forward(self, input: Any, target: Any) -> Tensor:
        """(N, C, ...) scores and (N, ...) classes to a scalar, or the losses for reduction "none"."""
        return F.cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class MSELoss(Module):
    """Mean squared error; see :func:`nn.functional.mse_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Any, target: Any) -> Tensor:
        """Equal shapes to a scalar, or the losses for reduction "none"."""
        return F.mse_loss(input, target, self.reduction)
