"""Softmax cross-entropy: the loss of classification, stable for logits of any size, with the gradient ``softmax -
target``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.containers import as_array
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.dispatch import bare
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.fused.common import filled, floats, from_largest, fused, number, row_starts, row_sums
from autodiff.kernels import LEAST
from autodiff.ops.common import real_numbers

__all__ = ["check_classification", "class_rows", "cross_entropy", "picked"]

REDUCTIONS = ("none", "mean", "sum")


def cross_entropy_composed(
    logits: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Cross-entropy of ``softmax(logits)`` with class indices or probabilities, as
    ``torch.nn.functional.cross_entropy``.

    Parameters
    ----------
    logits : (C,), (N, C) or (N, C, d1, ...)
        Unnormalised scores.
    target : int of logits' shape without C, or floats of logits' shape
        Class indices in [0, C), or probabilities per class.
    weight : (C,) or None
        A factor per class; no gradient flows to it.
    ignore_index : int
        Examples with this index count for nothing, not even for the mean's divisor.
    reduction : {"mean", "sum", "none"}
        The mean over examples is weighted by ``weight[target]`` for indices; for probabilities it divides by their
        number. Where it would divide by 0, all weights being 0 or all examples ignored, it is NaN, and its gradient 0.
    label_smoothing : float in [0, 1]
        Share of every target that is spread evenly over the classes (Szegedy et al. 2016, arXiv 1512.00567).

    Returns
    -------
    Tensor
        A scalar, or the losses of target's shape (of logits' without C) for "none".

    Raises
    ------
    ShapeError, ArgumentError
        If shapes do not fit, an index is out of range, or an option is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> round(cross_entropy([[0.0, 0.0]], np.array([1])).item(), 6)
    0.693147
    """
    logits = floats(logits)
    rows_target, shape, _ = _prepare(logits, target, weight, ignore_index, reduction, label_smoothing)
    rows = class_rows(logits)
    classes = rows.shape[1]
    below, others = from_largest(rows, 1)
    log_p = below - np.log1p(np.sum(others, axis=1, keepdims=True))
    if rows_target is None:
        q = class_rows(target) * (1 - label_smoothing) + _even(label_smoothing, classes)
        losses = -np.sum((q if weight is None else q * weight) * log_p, axis=1)
        divisor: Any = losses.shape[0]
    else:
        place, factor = picked(rows_target, weight, ignore_index, rows.dtype)
        losses = -factor * log_p[np.arange(len(place)), place]
        if label_smoothing:
            spread = np.sum(log_p if weight is None else log_p * weight, axis=1) * (rows_target != ignore_index)
            losses = losses * (1 - label_smoothing) - spread * _even(label_smoothing, classes)
        divisor = np.sum(factor)
    if reduction == "none":
        return np.reshape(losses, shape)
    total = np.sum(losses)
    if reduction == "sum":
        return total
    return total * _inverse(divisor, rows.dtype) + _nothing(divisor, rows.dtype)


def _even(label_smoothing: float, classes: int) -> float:
    """The share of each class in what smoothing takes from the labels; there may be no classes."""
    return label_smoothing / max(classes, 1)


# With nothing to average the mean is NaN and its gradient 0, without a warning: the sum, times 0, plus NaN. PyTorch's
# gradient is 0, too, where all examples are ignored, and NaN where all weights are 0.


def _inverse(divisor: Any, dtype: Any) -> Any:
    return np.asarray(1 / divisor if divisor else 0, dtype)[()]


def _nothing(divisor: Any, dtype: Any) -> Any:
    return dtype.type(0 if divisor else np.nan)


def class_rows(scores: Any) -> Any:
    """Scores as a matrix (examples, classes)."""
    if scores.ndim == 1:
        return np.reshape(scores, (1, -1))
    if scores.ndim == 2:
        return scores
    return np.reshape(
        np.moveaxis(scores, 1, -1), (int(np.prod(scores.shape, dtype=int)) // max(scores.shape[1], 1), scores.shape[1])
    )


def _prepare(
    logits: Any, target: Any, weight: Any, ignore_index: int, reduction: str, label_smoothing: float
) -> tuple[Any, tuple[int, ...], bool]:
    """As :func:`check_classification`, which it calls."""
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"cross_entropy: label_smoothing must lie in [0, 1], got {label_smoothing}")
    return check_classification("cross_entropy", logits, target, weight, ignore_index, reduction)


def check_classification(
    name: str, logits: Any, target: Any, weight: Any, ignore_index: int | None, reduction: str
) -> tuple[Any, tuple[int, ...], bool]:
    """Everything checked: flat class indices (None for probabilities), the shape of the losses of scores with their
    class axis second, and whether every index is known to name a class."""
    if reduction not in REDUCTIONS:
        raise ArgumentError(f"{name}: reduction must be one of {REDUCTIONS}, got {reduction!r}")
    real_numbers(name, logits, target, weight)
    if logits.ndim < 1:
        raise ShapeError(f"{name}: scores need a class axis")
    classes = logits.shape[0] if logits.ndim == 1 else logits.shape[1]
    shape = () if logits.ndim == 1 else (logits.shape[0], *logits.shape[2:])
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(f"{name}: weight of shape {weight.shape} for {classes} classes")
    if target.dtype.kind in "fc":
        if target.shape != logits.shape:
            raise ShapeError(
                f"{name}: probabilities of shape {target.shape} for logits of shape {logits.shape}; they must agree"
            )
        return None, shape, False
    if target.dtype.kind not in "iu":
        raise ArgumentError(f"{name}: targets are integer class indices or probabilities, got dtype {target.dtype}")
    if target.shape != shape:
        raise ShapeError(
            f"{name}: class indices of shape {target.shape} for logits of shape {logits.shape}; expected {shape}"
        )
    flat = as_array(bare(target)).reshape(-1)
    every = not flat.size or _within(flat, classes)
    if not every:
        bad = (flat < 0) | (flat >= classes)
        bad &= ignore_index is None or flat != ignore_index
        if bad.any():
            first = int(np.argmax(bad))
            hint = "" if ignore_index is None else f"; only ignore_index={ignore_index} may be"
            raise ArgumentError(
                f"{name}: class index {int(flat[first])} at position {first} is outside [0, {classes}){hint}"
            )
    return flat, shape, every


def _within(flat: Any, classes: int) -> bool:
    """Whether all integers lie in [0, classes).

    One pass is enough where so many classes are positive numbers of their dtype: read without a sign the negative ones
    are the largest.
    """
    if flat.dtype.kind == "i" and classes <= 1 << (8 * flat.itemsize - 1):
        return bool(flat.view(flat.dtype.str.replace("i", "u")).max() < classes)
    return bool(flat.min() >= 0) and bool(flat.max() < classes)


def picked(flat: Any, weight: Any, ignore_index: int, dtype: Any) -> tuple[Any, Any]:
    """For every example the class to read and the factor of its loss; ignored ones read class 0 with factor 0."""
    kept = flat != ignore_index
    place = np.where(kept, flat, 0)
    table = bare(weight)
    factor = kept.astype(dtype) if table is None else np.where(kept, table[place], 0).astype(dtype)
    return place, factor


def cross_entropy_forward(
    logits: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tuple[Any, Any]:
    """Residuals: ``exp(z - max z)`` with its sums over classes, whose quotient is ``softmax``, and the coefficients q
    of ``loss_n = -sum_c q_nc log p_nc``, kept sparse for class indices."""
    if weight is None and not label_smoothing and reduction in ("mean", "sum") and _plain(logits, target, ignore_index):
        return _plain_forward(logits, target, reduction)
    logits = floats(logits)
    flat, shape, every = _prepare(logits, target, weight, ignore_index, reduction, label_smoothing)
    rows = class_rows(logits)
    n, classes = rows.shape
    shifted = rows - _row_maxima(rows)[:, None]
    place = log_p = q = sums = None
    divisor: Any = n
    if flat is None:
        e = np.exp(shifted)
        total = row_sums(e)
        q = class_rows(target) * rows.dtype.type(1 - label_smoothing)
        q += rows.dtype.type(_even(label_smoothing, classes))
        if weight is not None:
            q *= weight
        shifted -= np.log(total)[:, None]
        log_p = shifted
        losses = -np.vecdot(q, log_p)
        sums = q.sum(axis=1)
    elif (
        weight is None
        and not label_smoothing
        and every
        and not (0 <= ignore_index < classes and (flat == ignore_index).any())
    ):
        # Every example counts once, so no coefficients are needed, and one number tells where its class is.
        place = row_starts(n, classes) + flat.astype(np.intp, copy=False)
        shifted = np.ascontiguousarray(shifted)
        chosen = shifted.reshape(-1)[place]
        e = np.exp(shifted, out=shifted)
        total = row_sums(e)
        losses = np.log(total)
        losses -= chosen
    else:
        place, factor = picked(flat, weight, ignore_index, rows.dtype)
        chosen = shifted[np.arange(n), place]
        if label_smoothing:
            even = np.full(classes, _even(label_smoothing, classes), rows.dtype)
            if weight is not None:
                even *= weight
            spread = shifted @ even
        e = np.exp(shifted, out=shifted)
        total = row_sums(e)
        log_total = np.log(total)
        losses = (log_total - chosen) * factor
        divisor = factor.sum()
        q, sums = factor, factor
        if label_smoothing:
            kept = (flat != ignore_index).astype(rows.dtype)
            losses = losses * (1 - label_smoothing) + (log_total * even.sum() - spread) * kept
            q = factor * rows.dtype.type(1 - label_smoothing)
            sums = q + kept * even.sum()
            log_p = (even, kept)
    scale = None if reduction == "none" else rows.dtype.type(1) if reduction == "sum" else _inverse(divisor, rows.dtype)
    out = (
        losses.astype(rows.dtype, copy=False).reshape(shape)
        if scale is None
        else losses.sum(dtype=rows.dtype.newbyteorder("=")) * scale
    )
    if reduction == "mean" and not divisor:
        out = rows.dtype.type(np.nan)
    return out, (e, total, q, sums, place, log_p, scale, logits.shape, weight, label_smoothing)


def _row_maxima(rows: Any) -> Any:
    """The largest entry of every row, (N, C) to (N,); -inf where there are no classes.

    Over short rows NumPy pays for every row; turned round, they are few long ones (256x10: 8 us against 22; from 64
    classes on it is no gain).
    """
    n, classes = rows.shape
    if n > 1 and 0 < classes < _LONG_ROWS:
        return np.maximum.reduce(np.ascontiguousarray(rows.T), axis=0)
    return rows.max(axis=1, initial=-np.inf)


_INT64, _UINT64 = np.dtype(np.int64), np.dtype(np.uint64)


def _plain(logits: Any, target: Any, ignore_index: int) -> bool:
    """Whether this is a matrix of real scores with a class index for every example, all in range and none of them
    ignored.

    One pass tells about the range: read without a sign, a negative index is larger than any number of classes.
    """
    if target.dtype is not _INT64 or logits.ndim != 2 or logits.dtype.kind != "f" or not logits.flags.c_contiguous:
        return False
    n, classes = logits.shape
    if target.shape != (n,) or not n or 0 <= ignore_index < classes:
        return False
    indices = target.view(_UINT64)
    return bool(indices[indices.argmax()] < classes)  # NumPy finds the place of it sooner than it sets up a reduction


# Rows whose largest score lies between these need not be shifted: their exponentials do not overflow, nor do sums of
# them below 1e10 classes, and what underflows is smaller than 1e-31 of its row's sum.
_LOWEST, _HIGHEST = -16.0, 64.0
# Fewer scores are shifted sooner than the question whether they must be is answered (32x10: 5 us against 11).
_FEW, _LONG_ROWS = THRESHOLDS["CROSS_ENTROPY"].value, THRESHOLDS["LONG_ROWS"].value


def _exponentials(logits: Any, most: Any, e: Any, largest: Any) -> None:
    """Into ``e`` what is proportional to the rows' softmax, and into ``largest`` (N, 1) its largest entries.

    ``exp(z - max z)`` where it must be; else ``exp(z)``, which spares a pass over the matrix (256x1000: 240 of 1,000
    us) and a rounding.
    """
    if (
        e.itemsize > 2
        and _LOWEST <= np.minimum.reduce(most, axis=None)
        and np.maximum.reduce(most, axis=None) <= _HIGHEST
    ):
        np.exp(logits, e)
        np.exp(most, largest)
    else:
        np.subtract(logits, most, e)
        np.exp(e, e)
        largest[...] = 1


def _plain_forward(logits: Any, target: Any, reduction: str) -> tuple[Any, Any]:
    """What most programs compute: residuals are what is proportional to the softmax, its sums, where the targets lie in
    memory, and the scale.

    The losses are ``log(sum / largest) - (z_target - max z)``: near a loss of 0 no digits cancel, and the quotient is
    never below 1.
    """
    n, classes = logits.shape
    dtype = logits.dtype
    most = _row_maxima(logits)
    place = np.add(row_starts(n, classes), target)
    chosen = logits.reshape(-1)[place]
    if logits.size < _FEW:
        e = np.subtract(logits, most[:, None])
        np.exp(e, e)
        total = row_sums(e)
        losses = np.log(total)
    else:
        e, largest = np.empty(logits.shape, dtype), np.empty((n, 1), dtype)
        _exponentials(logits, most[:, None], e, largest)
        total = row_sums(e)
        losses = np.divide(total, largest[:, 0])
        # exp of one number need not be the same number in every lane.
        np.maximum(losses, 1, out=losses)
        np.log(losses, losses)
    chosen -= most
    losses -= chosen
    scale = 1 / n if reduction == "mean" else 1.0
    return losses.dot(filled(n, scale, dtype)), (e, total, place, number(scale, dtype))


def _plain_backward(g: Any, residuals: Any) -> tuple[Any, ...]:
    e, total, place, scale = residuals
    each = g * scale
    dlogits = np.multiply(e, np.divide(each, total)[:, None])
    _settle_targets(dlogits, place)
    return dlogits, None, None


def _settle_targets(rows: Any, place: Any) -> None:
    """Let the target's entry of every row make the row's sum 0, as it is: ``p - 1`` where p rounds to 1 would be 0."""
    # Of rows that do not lie one after another, reshape would give a copy.
    targets, index = (
        (rows.reshape(-1), place)
        if rows.flags.c_contiguous
        else (rows, (np.arange(len(rows)), place - row_starts(*rows.shape)))
    )
    targets[index] = 0
    targets[index] = -row_sums(rows)


def cross_entropy_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """For one example ``L = -sum_c q_c log p_c`` with ``p = softmax(z)``, and ``d log p_c / dz_k = delta_ck - p_k``. So

    ``dL/dz_k = p_k sum_c q_c - q_k``: (classes,); with a one-hot target this is ``softmax - onehot``. Every example is
    scaled by its part of ``g``: g itself for "sum", g / divisor for "mean". In all: (examples, classes), returned in
    the logits' shape. For probability targets ``dL/dt_c = -(1 - label_smoothing) w_c log p_c``, in the target's shape.
    """
    if len(residuals) == 4:
        return _plain_backward(g, residuals)
    e, total, q, sums, place, log_p, scale, shape, weight, smoothing = residuals
    each = np.asarray(g * scale if scale is not None else g.reshape(-1)).reshape(-1, 1)
    dlogits = dtarget = None
    if needs[0]:
        # softmax is divided out here, together with the factor of each example: one pass over the matrix instead of
        # two.
        dlogits = e * ((each if sums is None else sums[:, None] * each) / total[:, None])
        if place is None:
            dlogits -= q * each
        else:
            if q is None:
                _settle_targets(dlogits, place)
            elif log_p is None:
                _settle_targets(dlogits, row_starts(*dlogits.shape) + place)
            else:
                dlogits[np.arange(len(place)), place] -= q * each[:, 0]
            if log_p is not None:
                even, kept = log_p
                dlogits -= (kept[:, None] * each) * even
        dlogits = _unrows(dlogits, shape)
    if needs[1]:
        dtarget = log_p * (each * (smoothing - 1))
        dtarget = _unrows(dtarget if weight is None else dtarget * weight, shape)
    return dlogits, dtarget, None


def _unrows(rows: Any, shape: tuple[int, ...]) -> Any:
    """A matrix (examples, classes) back in the logits' shape."""
    if len(shape) <= 2:
        # A view would be copied where it becomes a gradient.
        return rows if rows.shape == shape else rows.reshape(shape)
    return np.ascontiguousarray(np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1))


def _sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n, classes = draw.integer(1, 4), draw.integer(2, 4)
    shape = draw.choice(((classes,), (n, classes), (n, classes, 2), (n, classes, 2, 1)))
    outer = () if len(shape) == 1 else (shape[0], *shape[2:])
    logits = draw.array(shape)
    weight = draw.array((classes,), low=0.5, high=2.0) if draw.boolean() else None
    kwargs = {"reduction": draw.choice(REDUCTIONS), "label_smoothing": draw.choice((0.0, 0.1))}
    if draw.boolean():
        return (logits, draw.array(shape, low=0.1, high=1.0), weight), kwargs
    target = draw.integers(outer, 0, classes - 1)
    if target.size > 1 and draw.boolean():
        target.reshape(-1)[0] = -100
    return (logits, target, weight), kwargs


cross_entropy = fused(cross_entropy_composed, _sample, "dz = softmax(z) - target", real_only=True, kernel=LEAST)
