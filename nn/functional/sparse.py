"""Functions of integer indices: looking up rows, and indicator vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.arguments import refuse_negative, whole
from autodiff.containers import as_array
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.dispatch import bare
from autodiff.fused.embedding import by_rows
from nn.functional.common import as_input

__all__ = ["embedding", "embedding_bag", "one_hot"]


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
    indices = as_array(bare(tensor))
    if indices.dtype.kind not in "iu" and indices.size:
        raise DTypeError(f"one_hot: indices must be integers, got dtype {indices.dtype}")
    if not whole(num_classes) or num_classes < -1 or num_classes == 0:
        raise ArgumentError(
            f"one_hot: num_classes must be a positive int, or -1 to take it from the indices; got {num_classes}"
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
        ``backward()`` leaves a leaf ``weight`` the gradient of the rows that were read alone, an
        :class:`autodiff.rows.RowSparse`, for :class:`optim.SparseAdam`, SGD and Adagrad. The gradient of a computed
        ``weight``, in a transform and under ``jit`` is dense.

    Returns
    -------
    Tensor, (*input.shape, D)

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If ``weight`` is no matrix, ``input`` holds no integers, or an index is out of range.

    Examples
    --------
    >>> import autodiff
    >>> w = autodiff.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    >>> embedding([2, 0, 2], w).sum().backward()
    >>> w.grad.ravel()
    array([1., 0., 2.])
    """
    indices = as_input(input)
    if isinstance(input, (list, tuple)) and not indices.size:
        indices = indices.astype(np.intp)  # NumPy makes floats of an empty list
    table = as_input(weight)
    if padding_idx is not None:
        padding_idx = _row("embedding", padding_idx, table)
    if max_norm is not None:
        _shorten(indices, table, max_norm, norm_type)
    rows = fused.embedding.function(table, indices, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq)
    return by_rows(rows) if sparse else rows  # type: ignore[no-any-return]


def _row(name: str, padding_idx: int, table: Any) -> int:
    """The row of a table that is padding, counted from the start."""
    count: int = table.shape[0]
    if not -count <= padding_idx < count:
        raise ArgumentError(f"{name}: padding_idx {padding_idx} does not name one of {count} rows")
    return padding_idx % count


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of the rows of ``weight`` that each bag of indices names; zeros for an empty bag.

    Parameters
    ----------
    input : int, (B, n), or (total,) with ``offsets``
        A bag per row; or all bags one after the other.
    weight : (V, D)
    offsets : int, (B,), optional
        Where each bag of a one-dimensional input begins.
    max_norm, norm_type, scale_grad_by_freq, sparse
        As in :func:`embedding`.
    mode : {"sum", "mean", "max"}
    per_sample_weights : of the input's shape, optional
        Factors of the rows, with mode "sum".
    include_last_offset : bool
        The last offset is the length of the input, and begins no bag.
    padding_idx : int, optional
        Entries that name this row count for nothing.

    Returns
    -------
    Tensor, (B, D)

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If shapes do not fit, an index is out of range, or an option is not allowed.

    Examples
    --------
    >>> table = np.array([[1.0], [2.0], [4.0]])
    >>> embedding_bag([0, 1, 2, 2], table, offsets=[0, 3], mode="sum").data.ravel()
    array([7., 4.])
    """
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag: mode must be 'sum', 'mean' or 'max', got {mode!r}")
    if per_sample_weights is not None and mode != "sum":
        raise ArgumentError(f"embedding_bag: per_sample_weights go with mode 'sum', not with {mode!r}")
    places = as_array(bare(input))
    places = places.astype(np.intp) if not places.size else places
    factors = None if per_sample_weights is None else as_input(per_sample_weights)
    if factors is not None and factors.shape != places.shape:
        raise ShapeError(f"embedding_bag: per_sample_weights of shape {factors.shape} for input of {places.shape}")
    counted = np.ones(places.shape, bool)
    if places.ndim == 1:
        bags, counted = _bags(places.size, offsets, include_last_offset)
        places = places[bags] if places.size else np.zeros(bags.shape, np.intp)
        factors = factors if factors is None or not bags.size else factors[bags]
    elif places.ndim != 2 or offsets is not None:
        raise ShapeError(f"embedding_bag: input of shape {places.shape}; it needs (B, n), or (total,) with offsets")
    if padding_idx is not None:
        counted = counted & (places != _row("embedding_bag", padding_idx, as_input(weight)))
    if sparse and mode == "max":
        raise ArgumentError("embedding_bag: mode 'max' takes no sparse=True")
    exact = sparse or scale_grad_by_freq
    if exact and not counted.any():
        places, counted = places[:, :0], counted[:, :0]
        factors = None if factors is None else factors[:, :0]
    # What fills a bag up would count among the rows that were read, and among how often: entries are looked up alone.
    alone = exact and not counted.all()
    wanted = places[counted] if alone else places
    rows: Any = embedding(wanted, weight, None, max_norm, norm_type, scale_grad_by_freq, sparse)
    if alone:
        order = np.zeros(places.shape, np.intp)
        order[counted] = np.arange(len(wanted))
        rows = rows[order]
    if factors is not None:
        rows = rows * factors[..., None]
    width = rows.shape[-1]
    if mode == "max":
        if not places.shape[1]:
            return rows.sum(1)  # type: ignore[no-any-return]
        held = np.where(counted[..., None], rows._array, -np.inf)
        best = rows[np.arange(len(places))[:, None], held.argmax(1), np.arange(width)]
        return np.where(counted.any(1, keepdims=True), best, 0.0)  # type: ignore[return-value]
    sums = np.where(counted[..., None], rows, 0.0).sum(1)
    return sums if mode == "sum" else sums / np.maximum(counted.sum(1), 1).astype(sums.dtype)[:, None]  # type: ignore[no-any-return]


def _bags(total: int, offsets: Any, include_last: bool) -> tuple[Any, Any]:
    """Of bags that lie one after the other: the position of each entry, (B, longest), and which of them are entries."""
    if offsets is None:
        raise ArgumentError("embedding_bag: a one-dimensional input needs offsets, where each bag begins")
    starts = as_array(bare(offsets))
    starts = starts if starts.size else starts.astype(np.intp)
    if starts.ndim != 1 or starts.dtype.kind not in "iu":
        raise ShapeError(
            f"embedding_bag: offsets of shape {starts.shape} and dtype {starts.dtype}; integers on one axis"
        )
    ends = starts[1:] if include_last else np.append(starts[1:], total)
    starts = starts[: len(ends)]
    if (np.diff(starts) < 0).any() or (starts.size and (starts[0] != 0 or ends[-1] > total or ends[-1] < starts[-1])):
        raise ArgumentError(f"embedding_bag: offsets begin with 0, rise, and end within {total}; got {offsets}")
    lengths = ends - starts
    steps = np.arange(lengths.max(initial=0))
    counted = steps < lengths[:, None]
    return np.where(counted, starts[:, None] + steps, 0), counted


def _shorten(indices: Any, table: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows that ``indices`` names to a norm of ``max_norm`` at most, as ``torch.embedding_renorm_``."""
    if not isinstance(table, Tensor) or not table.is_leaf:
        raise ArgumentError(
            "embedding: max_norm changes weight for good, so weight must be a leaf, such as a Parameter"
        )
    refuse_negative("embedding: max_norm", max_norm)
    rows = np.unique(bare(indices))
    if rows.dtype.kind not in "iu" or (rows.size and not 0 <= rows[0] <= rows[-1] < table.shape[0]):
        return  # the lookup itself says what is wrong, and nothing has changed
    norms = np.linalg.norm(table._array[rows], ord=norm_type, axis=1)
    long = norms > max_norm
    changed = table._array.copy()
    changed[rows[long]] *= (max_norm / (norms[long] + 1e-7))[:, None].astype(changed.dtype)
    table._rebind(changed)
