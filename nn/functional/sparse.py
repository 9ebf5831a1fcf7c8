"""Functions of integer indices: looking up rows, and indicator vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ArgumentError, DTypeError
from nn.functional.common import as_input

__all__ = ["embedding", "one_hot"]


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """Indicator vectors of class indices.

    Parameters
    ----------
    tensor : int, any shape
    num_classes : int
        -1: one more than the largest index.

    Returns
    -------
    Tensor of int64, (*tensor.shape, num_classes)

    Raises
    ------
    DTypeError
        If the indices are no integers.
    ArgumentError
        If an index is negative or not below ``num_classes``, or there is none to tell ``num_classes`` from.

    Examples
    --------
    >>> one_hot([0, 2]).data
    array([[1, 0, 0],
           [0, 0, 1]])
    """
    indices = np.asarray(tensor.data if isinstance(tensor, Tensor) else tensor)
    if indices.dtype.kind not in "iu" and indices.size:
        raise DTypeError(f"one_hot: indices must be integers, got dtype {indices.dtype}")
    if num_classes < -1 or num_classes == 0:
        raise ArgumentError(
            f"one_hot: num_classes must be positive, or -1 to take it from the indices; got {num_classes}"
        )
    if num_classes == -1:
        if not indices.size:
            raise ArgumentError("one_hot: no indices to take num_classes from; pass it")
        num_classes = int(indices.max()) + 1
    if indices.size and (indices.min() < 0 or indices.max() >= num_classes):
        raise ArgumentError(
            f"one_hot: indices lie in [{indices.min()}, {indices.max()}]; they must lie in [0, {max(num_classes, 1)})"
        )
    return Tensor((indices[..., None] == np.arange(num_classes)).astype(np.int64))


def embedding(
    input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
    scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Rows of ``weight`` at the indices ``input``; the gradient of a row that is read several times is the sum.

    Parameters
    ----------
    input : int, any shape
        Each in [0, V).
    weight : (V, D)
    padding_idx : int, optional
        No gradient flows to this row; negative counts from the end.
    max_norm : float, optional
        Before reading, the rows that are about to be read are shortened to this norm, for good: ``weight.data``
        changes.
    norm_type : float
        The p of that norm.
    scale_grad_by_freq : bool
        Divide the gradient of each row by how often it is read.
    sparse : bool
        Refused: gradients here are dense.

    Returns
    -------
    Tensor, (*input.shape, D)

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If ``weight`` is no matrix, ``input`` holds no integers, an index is out of range, or ``sparse`` is asked for.

    Examples
    --------
    >>> import autodiff
    >>> w = autodiff.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    >>> embedding([2, 0, 2], w).sum().backward()
    >>> w.grad.ravel()
    array([1., 0., 2.])
    """
    if sparse:
        raise ArgumentError("embedding: gradients are dense here; pass sparse=False")
    indices = as_input(input)
    if isinstance(input, (list, tuple)) and not indices.size:
        indices = indices.astype(np.intp)  # NumPy makes floats of an empty list
    table = as_input(weight)
    if padding_idx is not None:
        if not -table.shape[0] <= padding_idx < table.shape[0]:
            raise ArgumentError(f"embedding: padding_idx {padding_idx} does not name one of {table.shape[0]} rows")
        padding_idx %= table.shape[0]
    if max_norm is not None:
        _shorten(indices, table, max_norm, norm_type)
    return fused.embedding.function(table, indices, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq)  # type: ignore[no-any-return]


def _shorten(indices: Any, table: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows that ``indices`` names to a norm of ``max_norm`` at most, as ``torch.embedding_renorm_``."""
    if not isinstance(table, Tensor) or not table.is_leaf:
        raise ArgumentError(
            "embedding: max_norm changes weight for good, so weight must be a leaf, such as a Parameter"
        )
    rows = np.unique(indices.data if isinstance(indices, Tensor) else indices)
    if rows.dtype.kind not in "iu" or (rows.size and not 0 <= rows[0] <= rows[-1] < table.shape[0]):
        return  # the lookup itself says what is wrong, and nothing has changed
    norms = np.linalg.norm(table.data[rows], ord=norm_type, axis=1)
    long = norms > max_norm
    changed = table.data.copy()
    changed[rows[long]] *= (max_norm / (norms[long] + 1e-7))[:, None].astype(changed.dtype)
    table.data = changed
