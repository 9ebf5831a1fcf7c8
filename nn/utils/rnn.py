"""Sequences of different lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.dispatch import bare

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """Sequences of different lengths without padding, as :func:`pack_padded_sequence` makes them and RNN, LSTM and GRU
    read them.

    Attributes
    ----------
    data : Tensor, (sum of the lengths, ...)
        The first elements of all sequences, the longest sequence first, then the second ones, and so on.
    batch_sizes : Tensor of int, (longest length,)
        How many sequences have so many elements.
    sorted_indices : Tensor of int, (N,), or None
        Which sequence came to each place; None if they came in this order.
    unsorted_indices : Tensor of int, (N,), or None
        Where each sequence went.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


def pad_sequence(
    sequences: Sequence[ArrayLike], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (L_i, ...) under one another, the shorter ones filled up.

    Parameters
    ----------
    sequences : list of Tensor or array_like
    batch_first : bool
        (N, L, ...) instead of (L, N, ...).
    padding_value : float
    padding_side : {"right", "left"}

    Raises
    ------
    ArgumentError, ShapeError
        If there are none, or their further axes differ.

    Examples
    --------
    >>> pad_sequence([[1.0, 2.0, 3.0], [4.0]], batch_first=True).data
    array([[1., 2., 3.],
           [4., 0., 0.]])
    """
    if padding_side not in ("right", "left"):
        raise ArgumentError(f"pad_sequence: padding_side must be 'right' or 'left', got {padding_side!r}")
    held = [s if isinstance(s, Tensor) else Tensor(s) for s in sequences]
    if not held or any(s.ndim < 1 or s.shape[1:] != held[0].shape[1:] for s in held):
        raise ShapeError(f"pad_sequence: shapes {[s.shape for s in held]}; they may differ in the first axis alone")
    longest = max(len(s) for s in held)

    def filled(s: Tensor) -> Any:
        room = (0, longest - len(s)) if padding_side == "right" else (longest - len(s), 0)
        return np.pad(s, [room, *[(0, 0)] * (s.ndim - 1)], constant_values=padding_value)  # type: ignore[call-overload]

    return np.stack([filled(s) for s in held], axis=0 if batch_first else 1)  # type: ignore[return-value]


def _padded(name: str, padded: ArrayLike, lengths: ArrayLike, batch_first: bool, least: int) -> tuple[Tensor, Any]:
    """Padded sequences (L, N, ...) and their lengths, looked at."""
    x = padded if isinstance(padded, Tensor) else Tensor(padded)
    counts = np.asarray(bare(lengths))
    if x.ndim < 2:
        raise ShapeError(f"{name}: input of shape {x.shape}; it needs (L, N, ...)")
    x = x.swapaxes(0, 1) if batch_first else x
    times, many = x.shape[:2]
    whole = counts.dtype.kind in "iu" or not many
    if counts.shape != (many,) or not whole or not ((counts >= least) & (counts <= times)).all():
        raise ArgumentError(f"{name}: lengths must be {many} integers from {least} to {times}, got {counts.tolist()!r}")
    return x, counts


def unpad_sequence(padded_sequences: ArrayLike, lengths: ArrayLike, batch_first: bool = False) -> list[Tensor]:
    """The sequences that :func:`pad_sequence` put together.

    Parameters
    ----------
    padded_sequences : (L, N, ...) or (N, L, ...) with ``batch_first``
    lengths : int, (N,)
        From 0 to L.
    batch_first : bool

    Raises
    ------
    ShapeError, ArgumentError
        If there is one axis alone, or the lengths do not fit.

    Examples
    --------
    >>> [s.data.tolist() for s in unpad_sequence([[1.0, 2.0], [3.0, 0.0]], [2, 1], batch_first=True)]
    [[1.0, 2.0], [3.0]]
    """
    x, counts = _padded("unpad_sequence", padded_sequences, lengths, batch_first, 0)
    x = x.swapaxes(0, 1)
    return [x[i, : int(n)] for i, n in enumerate(counts)]


def invert_permutation(permutation: ArrayLike) -> Tensor | None:
    """The permutation that undoes ``permutation``; None for None.

    Examples
    --------
    >>> invert_permutation([2, 0, 1]).data
    array([1, 2, 0])
    """
    return None if permutation is None else Tensor(np.argsort(np.asarray(bare(permutation))))


def pack_padded_sequence(
    input: ArrayLike, lengths: ArrayLike, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Padded sequences without their padding.

    Parameters
    ----------
    input : (L, N, ...), or (N, L, ...) with ``batch_first``
    lengths : int, (N,)
        From 1 to L.
    batch_first : bool
    enforce_sorted : bool
        Refuse sequences that do not come from the longest to the shortest; else they are sorted, and recurrent layers
        give their states in the order in which they came.

    Raises
    ------
    ArgumentError
        If the lengths do not fit or, with ``enforce_sorted``, do not fall.

    Examples
    --------
    >>> packed = pack_padded_sequence([[1.0, 2.0], [3.0, 0.0]], [2, 1], batch_first=True)
    >>> packed.data.data, packed.batch_sizes.data
    (array([1., 3., 2.]), array([2, 1]))
    """
    x, counts = _padded("pack_padded_sequence", input, lengths, batch_first, 1)
    if not len(counts):
        raise ArgumentError("pack_padded_sequence: got no sequences")
    order = None
    if enforce_sorted:
        if not (counts[:-1] >= counts[1:]).all():
            raise ArgumentError(
                f"pack_padded_sequence: lengths {counts.tolist()} must fall, or pass enforce_sorted=False"
            )
    else:
        order = np.argsort(-counts, kind="stable")
        x, counts = x[:, order], counts[order]
    there = np.arange(counts[0])[:, None] < counts
    return PackedSequence(
        x[: counts[0]][there],
        Tensor(there.sum(axis=1)),
        None if order is None else Tensor(order),
        invert_permutation(order),  # type: ignore[arg-type]
    )


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The padded sequences and their lengths, in the order in which they were packed.

    Parameters
    ----------
    sequence : PackedSequence
    batch_first : bool
        (N, L, ...) instead of (L, N, ...).
    padding_value : float
    total_length : int, optional
        L; default the longest length.

    Returns
    -------
    padded : Tensor
    lengths : Tensor of int, (N,)

    Raises
    ------
    ArgumentError
        If ``total_length`` is shorter than a sequence.

    Examples
    --------
    >>> padded, lengths = pad_packed_sequence(pack_sequence([[1.0, 2.0], [3.0]]), batch_first=True)
    >>> padded.data
    array([[1., 2.],
           [3., 0.]])
    """
    sizes = np.asarray(bare(sequence.batch_sizes))
    longest = len(sizes)
    if total_length is not None and total_length < longest:
        raise ArgumentError(f"pad_packed_sequence: total_length={total_length} is shorter than a sequence of {longest}")
    there = np.arange(sizes[0]) < sizes[:, None]
    places = np.zeros(there.shape, int)
    places[there] = np.arange(there.sum())
    x = sequence.data
    wide = there.reshape(*there.shape, *(1,) * (x.ndim - 1))
    padded: Any = np.where(wide, x[places], padding_value)
    if total_length is not None and total_length > longest:
        more = [(0, total_length - longest), *[(0, 0)] * (padded.ndim - 1)]
        padded = np.pad(padded, more, constant_values=padding_value)
    counts = there.sum(axis=0)
    if sequence.unsorted_indices is not None:
        order = np.asarray(bare(sequence.unsorted_indices))
        padded, counts = padded[:, order], counts[order]
    return padded.swapaxes(0, 1) if batch_first else padded, Tensor(counts)


def pack_sequence(sequences: Sequence[ArrayLike], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (L_i, ...) packed; see :func:`pack_padded_sequence`.

    Examples
    --------
    >>> pack_sequence([[1.0, 2.0], [3.0]]).data.data
    array([1., 3., 2.])
    """
    return pack_padded_sequence(pad_sequence(sequences), [len(s) for s in sequences], False, enforce_sorted)  # type: ignore[arg-type]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a :class:`PackedSequence`.

    Examples
    --------
    >>> [s.data.tolist() for s in unpack_sequence(pack_sequence([[1.0, 2.0], [3.0]]))]
    [[1.0, 2.0], [3.0]]
    """
    return unpad_sequence(*pad_packed_sequence(packed_sequences))
