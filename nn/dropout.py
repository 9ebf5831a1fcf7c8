"""Dropout as a layer, with a generator of its own where a run must be repeatable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError
from nn import functional as F
from nn.module import Module

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


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

    _function: ClassVar[Callable[..., Any]] = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, generator: np.random.Generator | None = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"{type(self).__name__}: p must be a probability, 0 <= p <= 1, got {p}")
        self.p = p
        self.generator = generator

    def forward(self, input: ArrayLike) -> Tensor:
        """Any shape."""
        return type(self)._function(input, self.p, self.training, self.generator)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class Dropout1d(Dropout):
    """Zero whole channels of (N, C, L) or (C, L); parameters as :class:`Dropout`."""

    _function = staticmethod(F.dropout1d)


class Dropout2d(Dropout):
    """Zero whole channels of (N, C, H, W) or (C, H, W); parameters as :class:`Dropout`."""

    _function = staticmethod(F.dropout2d)


class Dropout3d(Dropout):
    """Zero whole channels of (N, C, D, H, W) or (C, D, H, W); parameters as :class:`Dropout`."""

    _function = staticmethod(F.dropout3d)


class AlphaDropout(Dropout):
    """Dropout for SELU, which keeps mean 0 and variance 1; parameters as :class:`Dropout`."""

    _function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(Dropout):
    """:class:`AlphaDropout` of whole channels."""

    _function = staticmethod(F.feature_alpha_dropout)
