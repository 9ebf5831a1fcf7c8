"""Affine maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ShapeError
from nn.functional.common import as_input, as_tensor

__all__ = ["bilinear", "linear"]

_linear = fused.linear.function


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """``input @ weight.T + bias``.

    Parameters
    ----------
    input : (..., in)
    weight : (out, in), or (in,) for one output without an axis of its own
    bias : (out,) or None

    Returns
    -------
    Tensor, (..., out), or (...)

    Examples
    --------
    >>> import numpy as np
    >>> linear(np.ones((2, 3)), np.ones((4, 3))).shape
    (2, 4)
    """
    x = input if input.__class__ is Tensor else as_input(input)
    if getattr(weight, "ndim", 2) == 1:
        out: Tensor = x @ weight
        return out if bias is None else out + bias
    return _linear(x, weight, bias)  # type: ignore[no-any-return]


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """``input1ᵀ W_o input2 + bias_o`` for every output o.

    Parameters
    ----------
    input1 : (..., in1)
    input2 : (..., in2)
    weight : (out, in1, in2)
    bias : (out,) or None

    Returns
    -------
    Tensor, (..., out)

    Raises
    ------
    ShapeError
        If shapes do not fit.

    Examples
    --------
    >>> bilinear([[1.0, 2.0]], [[3.0]], [[[1.0], [1.0]]]).data
    array([[9.]])
    """
    x, y, w = as_tensor(input1), as_tensor(input2), as_tensor(weight)
    if x.shape[:-1] != y.shape[:-1] or w.shape[1:] != (x.shape[-1], y.shape[-1]):
        raise ShapeError(f"bilinear: inputs of shapes {x.shape} and {y.shape} do not fit a weight of shape {w.shape}")
    out = np.einsum("...i,oij,...j->...o", x, w, y)  # type: ignore[arg-type]
    return out if bias is None else out + bias  # type: ignore[no-any-return]
