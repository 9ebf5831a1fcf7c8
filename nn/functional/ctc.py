"""Connectionist temporal classification: reading targets and lengths in each of the forms that PyTorch takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.dispatch import bare
from nn.functional.common import as_tensor, reduced

__all__ = ["ctc_loss"]


def _whole(name: str, values: Any, size: int | None = None) -> Any:
    """Integers as a one-dimensional array."""
    array = np.asarray(bare(values))
    if array.dtype.kind not in "iu" and array.size:
        raise ArgumentError(f"ctc_loss: {name} are integers, got dtype {array.dtype}")
    array = array.reshape(-1).astype(np.int64)
    if size is not None and array.shape != (size,):
        raise ShapeError(f"ctc_loss: {array.size} {name} for a batch of {size}")
    return array


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The negative log-probability of a label sequence, summed over all its alignments (Graves et al. 2006).

    Parameters
    ----------
    log_probs : (T, N, C) or (T, C)
        Log-probabilities of each frame, as :func:`log_softmax` makes them.
    targets : int (N, S), or (sum of target_lengths,)
        Label sequences, padded or one after the other; none of them the blank.
    input_lengths, target_lengths : int (N,) or ()
        How many frames and labels of each example count.
    blank : int
        The class that stands for no label.
    reduction : {"mean", "sum", "none"}
        The mean divides each loss by its number of labels first.
    zero_infinity : bool
        0 with gradient 0 in place of the infinite loss of an example with too few frames for its labels.

    Returns
    -------
    Tensor
        A scalar, or the losses (N,), () without a batch, for "none".

    Notes
    -----
    The gradient is the derivative with respect to ``log_probs``. PyTorch's has ``exp(log_probs)`` added, which the
    normalisation that it takes for granted makes vanish: behind a log_softmax the two agree.

    Raises
    ------
    ShapeError, ArgumentError
        If shapes do not fit, a length is out of range, or a label is the blank or no class.

    Examples
    --------
    One label in two frames of probabilities 1/2: "a a", "a -" and "- a" out of four equally likely paths.

    >>> np.round(np.exp(-ctc_loss(np.log(np.full((2, 2), 0.5)), [1], 2, 1).data), 6).item()
    0.75
    """
    x = as_tensor(log_probs)
    if x.ndim not in (2, 3):
        raise ShapeError(f"ctc_loss: log_probs of shape {x.shape}; it needs (T, N, C) or (T, C)")
    single = x.ndim == 2
    frames = x.reshape(x.shape[0], 1, x.shape[1]) if single else x
    time, batch, classes = frames.shape
    inputs, labels = _whole("input_lengths", input_lengths, batch), _whole("target_lengths", target_lengths, batch)
    if not 0 <= blank < classes:
        raise ArgumentError(f"ctc_loss: blank={blank} is outside [0, {classes})")
    if (inputs < 0).any() or (inputs > time).any() or (labels < 0).any():
        raise ArgumentError(
            f"ctc_loss: input_lengths must lie in [0, {time}] and target_lengths must not be negative, got {inputs} and"
            f" {labels}"
        )
    padded = _padded(targets, labels, single)
    counted = np.arange(padded.shape[1]) < labels[:, None]
    bad = counted & ((padded < 0) | (padded >= classes) | (padded == blank))
    if bad.any():
        example, place = np.argwhere(bad)[0]
        raise ArgumentError(
            f"ctc_loss: label {padded[example, place]} at {place} of example {example}; labels lie in [0, {classes})"
            f" and are not the blank, {blank}"
        )
    losses: Any = fused.ctc_loss.function(
        frames, np.where(counted, padded, blank), inputs, labels, blank=blank, zero_infinity=zero_infinity
    )
    if reduction == "mean":
        losses = losses / np.maximum(labels, 1).astype(losses.dtype)
    elif single:
        losses = losses.reshape(())
    return reduced(losses, reduction, "ctc_loss")


def _padded(targets: Any, labels: Any, single: bool) -> Any:
    """Label sequences as the rows of a matrix."""
    array = np.asarray(bare(targets))
    flat = _whole("targets", array)
    if array.ndim == 2 or single:
        rows = flat.reshape(array.shape if array.ndim == 2 else (1, -1))
        if len(rows) != len(labels) or labels.max(initial=0) > rows.shape[1]:
            raise ShapeError(f"ctc_loss: targets of shape {array.shape} for target_lengths {labels}")
        return rows
    if array.ndim != 1 or flat.size != labels.sum():
        raise ShapeError(
            f"ctc_loss: targets of shape {array.shape} for target_lengths {labels}; it needs (N, S) or"
            f" ({labels.sum()},)"
        )
    rows = np.zeros((len(labels), labels.max(initial=0)), np.int64)
    rows[np.arange(rows.shape[1]) < labels[:, None]] = flat
    return rows
