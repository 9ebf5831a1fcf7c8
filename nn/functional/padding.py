"""Padding, with PyTorch's order: the last dimension first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, ShapeError

__all__ = ["pad"]

_NUMPY_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Lengthen (or, by negative amounts, shorten) the last dimensions.

    Parameters
    ----------
    input : array_like or Tensor
    pad : sequence of an even number of int
        ``(left, right)`` of the last dimension, then of the last but one, and so on: the reverse of NumPy's order.
    mode : {"constant", "reflect", "replicate", "circular"}
        ``reflect`` mirrors about the border without repeating it, ``replicate`` repeats the border, ``circular``
        continues at the other end.
    value : float, optional
        For ``constant``; default 0.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        If ``pad`` or ``mode`` is not allowed, or a value is given for another mode than ``constant``.
    ShapeError
        If a dimension is too short to be padded or cut so far.

    Examples
    --------
    >>> pad([1, 2, 3], (1, 2)).data
    array([0, 1, 2, 3, 0, 0])
    >>> pad([1, 2, 3], (2, -1), mode="reflect").data
    array([3, 2, 1, 2])
    """
    x = input if isinstance(input, Tensor) else Tensor(input)
    if mode not in _NUMPY_MODES:
        raise ArgumentError(f"pad: mode must be one of {sorted(_NUMPY_MODES)}, got {mode!r}")
    if mode != "constant" and value not in (None, 0):
        raise ArgumentError(
            f"pad: mode {mode!r} takes its values from the input; drop value={value!r}, or use mode='constant'"
        )
    if not isinstance(value, Tensor | None) and not _fits(value, x.dtype):
        raise ArgumentError(f"pad: value={value!r} does not fit into dtype {x.dtype}; convert the input first")
    try:
        amounts = [n.__index__() for n in pad]
    except (TypeError, AttributeError) as error:
        raise ArgumentError(
            f"pad: needs a sequence of integers (left, right, top, bottom, ...), last dimension first; got {pad!r}"
        ) from error
    if len(amounts) % 2 or len(amounts) > 2 * x.ndim:
        raise ArgumentError(
            f"pad: needs two integers per dimension, for at most {x.ndim} dimensions of shape {x.shape}; got"
            f" {len(amounts)}"
        )
    pairs = [(0, 0)] * (x.ndim - len(amounts) // 2) + list(zip(amounts[-2::-2], amounts[:0:-2], strict=True))
    for axis, (before, after) in enumerate(pairs):
        _check(mode, x.shape, axis, before, after)
    # What is cut off may still be mirrored or repeated, but does not come round again: PyTorch's order of the two
    # steps.
    if mode in ("constant", "circular"):
        return _lengthened(_cut(x, pairs), pairs, mode, value)
    return _cut(_lengthened(x, pairs, mode, value), pairs)


def _fits(value: Any, dtype: Any) -> bool:
    """Whether a number is one of an array's dtype; floats may round."""
    try:
        held = dtype.type(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return bool(dtype.kind not in "biu" or held == value)


def _cut(x: Tensor, pairs: list[tuple[int, int]]) -> Tensor:
    if all(before >= 0 and after >= 0 for before, after in pairs):
        return x
    return x[
        tuple(slice(max(-before, 0), n - max(-after, 0)) for (before, after), n in zip(pairs, x.shape, strict=True))
    ]


def _lengthened(x: Tensor, pairs: list[tuple[int, int]], mode: str, value: float | None) -> Tensor:
    if all(before <= 0 and after <= 0 for before, after in pairs):
        return x
    options = {"constant_values": 0 if value is None else value} if mode == "constant" else {}
    return np.pad(x, [(max(before, 0), max(after, 0)) for before, after in pairs], mode=_NUMPY_MODES[mode], **options)  # type: ignore[call-overload,return-value,no-any-return]


def _check(mode: str, shape: tuple[int, ...], axis: int, before: int, after: int) -> None:
    n, most = shape[axis], max(before, after)
    if n + min(before, 0) + min(after, 0) < 0:
        raise ShapeError(f"pad: cannot cut {-min(before, 0)} and {-min(after, 0)} from axis {axis} of shape {shape}")
    if most <= 0 or mode == "constant":
        return
    longest = {"reflect": n - 1, "circular": n + min(before, after, 0), "replicate": most if n else 0}[mode]
    if most > longest:
        raise ShapeError(
            f"pad: mode {mode!r} can add at most {max(longest, 0)} elements to axis {axis} of shape {shape}, asked for"
            f" {most}"
        )
