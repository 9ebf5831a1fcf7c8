"""Dropout: the mask is drawn here and handed to the primitive."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ArgumentError
from nn.init import default_generator

__all__ = ["dropout"]


def dropout(input: Any, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None) -> Tensor:
    """Zero each element with probability ``p`` and scale the others by ``1 / (1 - p)``; the identity unless
    ``training``.

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
