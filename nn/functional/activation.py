"""Activations, elementwise and along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from nn.functional.common import as_input

__all__ = ["relu", "leaky_relu", "sigmoid", "tanh", "softmax", "log_softmax"]


def relu(input: Any) -> Tensor:
    """``max(input, 0)``, with gradient 0 at 0.

    Examples
    --------
    >>> relu([-1.0, 2.0]).data
    array([0., 2.])
    """
    return fused.relu.function(as_input(input))  # type: ignore[no-any-return]


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """``input`` where positive, else ``negative_slope * input``.

    Examples
    --------
    >>> leaky_relu([-1.0, 2.0], 0.1).data
    array([-0.1,  2. ])
    """
    x = as_input(input)
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
    return fused.softmax.function(as_input(input), axis=dim)  # type: ignore[no-any-return]


def log_softmax(input: Any, dim: int) -> Tensor:
    """The logarithm of softmax along ``dim``, stable for any magnitude."""
    return fused.log_softmax.function(as_input(input), axis=dim)  # type: ignore[no-any-return]
