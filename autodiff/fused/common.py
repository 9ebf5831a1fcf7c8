"""What several fused operations need: how they are put together, masking that annihilates, and sums done by BLAS."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from autodiff.core.op import Fused
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.kernels import adapters, either, either_backward, large
from autodiff.ops.elementwise import constant

Array = np.ndarray[Any, Any]
# Zeros to compare with are kept up to this many.
_LARGEST = THRESHOLDS["ZEROS"].value
# Sums of so many products are taken by BLAS, of an array of their own; of more by einsum, which makes none.
_FEW_PRODUCTS = THRESHOLDS["PRODUCTS"].value
# What BLAS multiplies.
_BLAS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
# Integers of the same bits.
_INTEGERS: dict[np.dtype[Any], np.dtype[Any]] = {np.dtype(f"f{size}"): np.dtype(f"i{size}") for size in (2, 4, 8)}


def fused(
    composed: Callable[..., Any],
    sample: Callable[..., Any],
    formula: str = "",
    *,
    kernel: int | None = None,
    name: str = "",
    **facts: Any,
) -> Fused:
    """The operation of three functions that stand one under another, ``f_composed``, ``f_forward`` and ``f_backward``.

    From ``kernel`` elements on it takes the compiled ones of the same names in :mod:`autodiff.kernels.adapters`.
    ``facts`` are those of :class:`Fused`, and may hold another backward.
    """
    stem = composed.__name__.removesuffix("_composed")
    forward, backward = (composed.__globals__[f"{stem}_{part}"] for part in ("forward", "backward"))
    if kernel is not None:
        forward = either(forward, getattr(adapters, f"{stem}_forward"), kernel)
        backward = either_backward(backward, getattr(adapters, f"{stem}_backward"))
    facts = {"forward": forward, "backward": backward, **facts}
    return Fused(name or stem, composed=composed, sample=sample, formula=formula, **facts)


def floats(x: Any) -> Any:
    """``x``, whole numbers as float64: their own dtype holds no fractions."""
    return x if x.dtype.kind in "fc" else x.astype(np.float64)


def masked(g: Array, mask: Array) -> Array:
    """``g`` where ``mask``, exactly 0 elsewhere, whatever stands in ``g`` there: a new array.

    A cotangent of NaN or infinity at a masked place must not leak, and ``0 * inf`` is NaN. ``np.where`` gets it right
    but takes 70 us at 100x100 float32 on a random mask; multiplying the bits, read as integers, by 0 or 1 is right too
    and takes 8, no more than ``g * mask``.
    """
    if large(g.size):
        found = adapters.masked(g, mask)
        if found is not None:
            return np.asarray(found)
    integer = _INTEGERS.get(g.dtype)
    if integer is None or g.shape == ():
        return np.where(mask, g, g.dtype.type(0))
    bits = mask.astype(integer)
    np.multiply(g.view(integer), bits, bits)
    return bits.view(g.dtype)


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


#: A zero to compare with by dtype, as an array without axes: NumPy takes a microsecond less for it than for Python's 0.
ZERO: dict[Any, Any] = {np.dtype(kind): _read_only(np.zeros((), kind)) for kind in (np.float32, np.float64)}


@lru_cache(maxsize=256)
def number(value: float, dtype: Any) -> Any:
    """A Python number to compute with beside an array of ``dtype``, to the same bits: where that is float32 or float64
    a read-only array without axes, which NumPy takes in half the time (32 float32: 0.5 us against 1.0)."""
    return _read_only(np.array(value, dtype)) if dtype in _BLAS else value


@lru_cache(maxsize=64)
def filled(n: int, value: float, dtype: Any) -> Array:
    """A read-only vector of one number: a dot product with it sums and multiplies."""
    return _read_only(np.full(n, value, dtype))


@lru_cache(maxsize=64)
def ones(n: int, dtype: Any) -> Array:
    """A read-only vector of ones: a dot product with it sums, at BLAS speed (speed notes: 10 us against 39 for
    np.sum).
    """
    return _read_only(np.ones(n, dtype))


def from_largest(x: Any, axis: int) -> tuple[Any, Any]:
    """``x`` less its largest entry along an axis, and the exponentials of that with 0 at the (first) largest itself.

    The sum of exponentials is 1 plus their sum. So written, no derivative of a softmax subtracts a probability from 1:
    ``p - 1`` is 0 where p rounds to 1, which the sum of the other probabilities is not.
    """
    values = constant(x)
    largest = np.equal(values, np.max(values, axis=axis, keepdims=True, initial=-np.inf))
    first = np.logical_and(largest, np.equal(np.cumsum(largest, axis=axis), 1))
    below = np.where(first, 0, x - np.sum(np.where(first, x, 0), axis=axis, keepdims=True))
    return below, np.where(first, 0, np.exp(below))


@lru_cache(maxsize=64)
def row_starts(n: int, m: int) -> Array:
    """Read-only: where the rows of a matrix (n, m) begin in its memory."""
    return _read_only(np.arange(0, n * m, m) if m else np.zeros(n, np.intp))


@lru_cache(maxsize=32)
def _zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    return _read_only(np.zeros(shape, dtype))


def at_least_zero(x: Array) -> Array:
    """``max(x, 0)``, NaN where x is NaN, +0 where x is -0: a new array.

    Against an array of zeros NumPy compares many entries at once, against the number it does not (100x100 float32: 2.5
    us against 9.2).
    """
    dtype = x.dtype
    if x.size > _LARGEST or dtype.kind != "f" or not x.flags.c_contiguous:
        return np.asarray(np.maximum(x, 0))
    return np.asarray(np.maximum(x, _zeros(x.shape, dtype)))


def column_sums(x: Array) -> Array:
    """``x.sum(axis=0)`` of a matrix (n, m): (m,)."""
    if x.dtype not in _BLAS:
        return np.asarray(x.sum(axis=0))
    return np.dot(ones(len(x), x.dtype), x)  # type: ignore[no-any-return]


def column_products(x: Array, y: Array) -> Array:
    """``(x * y).sum(axis=0)`` of matrices (n, m): (m,)."""
    if x.size < _FEW_PRODUCTS and x.dtype in _BLAS:
        return column_sums(x * y)
    return np.asarray(np.einsum("nm,nm->m", x, y))


def row_sums(x: Array) -> Array:
    """``x.sum(axis=1)`` of a matrix (n, m): (n,)."""
    if x.dtype not in _BLAS:
        return np.asarray(x.sum(axis=1))
    return x.dot(ones(x.shape[1], x.dtype))  # type: ignore[no-any-return]


def row_means(x: Array) -> Array:
    """``x.mean(axis=1)`` of a matrix (n, m): (n,)."""
    if x.dtype not in _BLAS:
        return np.asarray(x.mean(axis=1))
    n = x.shape[1]
    means = x.dot(ones(n, x.dtype))
    means *= number(1.0 / max(n, 1), x.dtype)
    return means  # type: ignore[no-any-return]
