"""Looking rows up in a table: the gradient scatters back into the rows, and rows that were read often add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.containers import as_array
from autodiff.core.backward import cast, pull
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.core.graph import FOREVER, Node, Variable
from autodiff.core.op import Fused
from autodiff.dispatch import bare
from autodiff.fused.common import fused
from autodiff.ops.elementwise import constant
from autodiff.rows import RowSparse, added_by_row

__all__ = ["embedding"]


def embedding_composed(
    weight: Any, indices: Any, *, padding_idx: int | None = None, scale_grad_by_freq: bool = False
) -> Any:
    """Rows of ``weight`` at ``indices``.

    Parameters
    ----------
    weight : (V, D)
    indices : int, any shape
        Each in [0, V).
    padding_idx : int or None
        In [0, V). No gradient flows to this row, though its value is read like any other.
    scale_grad_by_freq : bool
        Divide the gradient of each row by how often ``indices`` holds it. With this, and with ``padding_idx``, what
        flows back is no longer the derivative; it is what PyTorch sends.

    Returns
    -------
    Tensor, (*indices.shape, D)

    Raises
    ------
    ShapeError
        If ``weight`` is no matrix.
    DTypeError
        If ``indices`` are no integers.
    ArgumentError
        If an index or ``padding_idx`` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1])).data
    array([[3., 4.],
           [3., 4.]])
    """
    place = _check(weight, indices, padding_idx)
    rows = weight[place]
    if scale_grad_by_freq:
        # The same value; the gradient through the first summand alone.
        counts = np.bincount(place.reshape(-1), minlength=1)[place][..., None]
        held = constant(rows)
        rows = (rows - held) / counts.astype(weight.dtype) + held
    return rows if padding_idx is None else np.where((place == padding_idx)[..., None], constant(rows), rows)


def _check(weight: Any, indices: Any, padding_idx: int | None) -> Any:
    """The indices as an array, everything checked."""
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight has shape {weight.shape}; it needs shape (num_embeddings, embedding_dim)")
    place = as_array(bare(indices))
    if place.dtype.kind not in "iu":
        raise DTypeError(f"embedding: indices must be integers, got dtype {place.dtype}")
    count = weight.shape[0]
    if place.size and (place.min() < 0 or place.max() >= count):
        first = np.argwhere((place < 0) | (place >= count))[0]
        raise ArgumentError(
            f"embedding: index {int(place[tuple(first)])} at position {first.tolist()} is outside [0, {count})"
        )
    if padding_idx is not None and not 0 <= padding_idx < count:
        raise ArgumentError(f"embedding: padding_idx {padding_idx} is outside [0, {count})")
    return place.astype(np.intp, copy=False)


def embedding_forward(
    weight: Any, indices: Any, *, padding_idx: int | None = None, scale_grad_by_freq: bool = False
) -> tuple[Any, Any]:
    """Residuals: the indices and the table's shape."""
    place = _check(weight, indices, padding_idx)
    return weight[place], (place, weight.shape, padding_idx, scale_grad_by_freq)


def embedding_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With the indices flattened to ``i_1 ... i_N`` and ``g`` to (N, D): ``y_n = W[i_n]``, so ``dW_v = sum of g_n over
    all n with i_n = v``.

    dW has W's shape (V, D). ``padding_idx`` leaves its n out; ``scale_grad_by_freq`` divides ``dW_v`` by the number of
    its terms.
    """
    return added_by_row(*_sent(g, residuals), residuals[1][0]), None


def _sent(g: Any, residuals: Any) -> tuple[Any, Any]:
    """The rows that receive something, (N,), and what each receives, (N, D)."""
    place, shape, padding_idx, by_frequency = residuals
    flat, g = place.reshape(-1), g.reshape(place.size, shape[1])
    if padding_idx is not None:
        kept = flat != padding_idx
        flat, g = flat[kept], g[kept]
    if by_frequency:
        g = g / np.bincount(flat, minlength=1)[flat, None].astype(g.dtype)
    return flat, g


def _sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    count = draw.integer(1, 5)
    indices = draw.integers(draw.shape(max_ndim=2), 0, count - 1)
    return (draw.array((count, draw.integer(1, 4))), indices), {}


embedding = fused(embedding_composed, _sample, "y = W[i]")


class _ByRows(Fused):
    """:data:`embedding`, of which a leaf's ``grad`` keeps the rows that were read; otherwise its gradient is dense."""

    def __init__(self, op: Any) -> None:
        self.__dict__.update(op.__dict__)

    def pull(self, node: Node, g: Any, recording: Any) -> Sequence[Any]:
        """See :func:`autodiff.core.backward.pull`."""
        table = node.parents[0]
        if recording is not False or g.__class__ is not np.ndarray:
            dense = Node(embedding, node.parents, node.saved, node.attrs, node.shape, node.dtype)
            return pull(dense, g, recording)
        rows, sent = _sent(g, node.saved[1])
        return [RowSparse(table.shape, rows, cast(sent, table.dtype)), None]


_BY_ROWS = _ByRows(embedding)


def by_rows(found: Any) -> Any:
    """The result of :data:`embedding`; if it has just read a leaf, its gradient comes to rest there by rows."""
    node = found._node
    if node.__class__ is Node and node.op is embedding:
        table = node.parents[0]
        if table.__class__ is Variable and table.stage is FOREVER:
            node.op = _BY_ROWS
    return found
