"""Affine maps."""

from __future__ import annotations

from typing import Any

from autodiff import Tensor, fused
from nn.functional.common import as_input

__all__ = ["linear"]

_linear = fused.linear.function


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
    return _linear(input if input.__class__ is Tensor else as_input(input), weight, bias)  # type: ignore[no-any-return]
