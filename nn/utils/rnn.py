"""Sequences of different lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, ShapeError

__all__ = ["pad_sequence", "unpad_sequence"]


def pad_sequence(
    sequences: Sequence[Any], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
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


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The sequences that :func:`pad_sequence` put together.

    Parameters
    ----------
    padded_sequences : (L, N, ...) or (N, L, ...) with ``batch_first``
    lengths : int, (N,)
    batch_first : bool

    Examples
    --------
    >>> [s.data.tolist() for s in unpad_sequence([[1.0, 2.0], [3.0, 0.0]], [2, 1], batch_first=True)]
    [[1.0, 2.0], [3.0]]
    """
    x = padded_sequences if isinstance(padded_sequences, Tensor) else Tensor(padded_sequences)
    x = x if batch_first else x.swapaxes(0, 1)
    counts = np.asarray(lengths._array if isinstance(lengths, Tensor) else lengths)
    if counts.shape != x.shape[:1]:
        raise ShapeError(f"unpad_sequence: lengths of shape {counts.shape} for {x.shape[0]} sequences")
    return [x[i, : int(n)] for i, n in enumerate(counts)]
