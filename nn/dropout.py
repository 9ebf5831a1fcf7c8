"""Dropout as a layer, with a generator of its own where a run must be repeatable."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError
from nn import functional as F
from nn.module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """Zero each element with probability ``p`` in training, scaling the others by ``1 / (1 - p)``; the identity in
    evaluation.

    Parameters
    ----------
    p : float
        Probability of dropping. CS231n's ``p`` is the probability of keeping, ``1 - p``.
    generator : numpy.random.Generator, optional
        Draws the masks; default the one of ``nn.init.manual_seed``.
    """

    def __init__(self, p: float = 0.5, generator: np.random.Generator | None = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"Dropout: p must be a probability, 0 <= p <= 1, got {p}")
        self.p = p
        self.generator = generator

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.dropout(input, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
