"""Parameters as one vector and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.dispatch import bare

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def _listed(name: str, parameters: Iterable[Tensor]) -> list[Tensor]:
    if hasattr(parameters, "parameters") or callable(parameters):
        raise ArgumentError(f"{name} takes an iterable of parameters; pass model.parameters()")
    held = list(parameters)
    for p in held:
        if not isinstance(p, Tensor):
            raise ArgumentError(f"{name} takes an iterable of parameters; one of them is a {type(p).__name__}")
    return held


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters one after the other on one axis; gradients flow back.

    Parameters
    ----------
    parameters : iterable of Tensor

    Raises
    ------
    ArgumentError
        If there are none.

    Examples
    --------
    >>> import nn
    >>> parameters_to_vector(nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    parts = [p.reshape(-1) for p in _listed("parameters_to_vector", parameters)]
    if not parts:
        raise ArgumentError("parameters_to_vector: got no parameters")
    return np.concatenate(parts)  # type: ignore[call-overload, return-value]


def vector_to_parameters(vec: ArrayLike, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the values that lie in a vector one after the other; nothing is recorded.

    Parameters
    ----------
    vec : Tensor or array_like, one axis
    parameters : iterable of Tensor

    Raises
    ------
    ShapeError
        If the vector is not as long as all parameters together. Nothing has been changed then.
    DTypeError
        If it is complex, and a parameter is not. Nothing has been changed then.

    Examples
    --------
    >>> import autodiff, nn
    >>> p = nn.Parameter([[1.0, 2.0]])
    >>> vector_to_parameters([3.0, 4.0], [p]); p.data
    array([[3., 4.]])
    """
    held = _listed("vector_to_parameters", parameters)
    vector = np.asarray(bare(vec))
    total = sum(p.size for p in held)
    if vector.shape != (total,):
        raise ShapeError(f"vector_to_parameters: a vector of shape {vector.shape} for parameters of {total} elements")
    if vector.dtype.kind not in "biufc" or (vector.dtype.kind == "c" and any(p.dtype.kind != "c" for p in held)):
        raise DTypeError(f"vector_to_parameters: a vector of dtype {vector.dtype} for parameters of real numbers")
    start = 0
    for p in held:
        p.data = vector[start : start + p.size].reshape(p.shape).astype(p.dtype)
        start += p.size
