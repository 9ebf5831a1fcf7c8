"""Inverted dropout, given its mask; the mask is drawn outside, from an explicit generator, so that a run can be
repeated.

Source: Srivastava et al. 2014 (JMLR 15); the inverted form scales in training, so that evaluation does nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.fused.common import floats, fused
from autodiff.ops.common import drawn

__all__ = ["dropout", "dropout_mask"]

# Masks compare raw random integers of this many bits with a threshold: five times as fast as drawing floats. Fewer bits
# serve where the probability is exact in them, as one half and three quarters are in 8, since drawing is what a mask
# costs.
_BITS, _FEW_BITS = 16, 8
# Up to so many elements a mask is kept as floats: 100x100 forward and backward then take 19 us, and 26 where bytes are
# made floats twice.
_SMALL = THRESHOLDS["FLOAT_MASK"].value
# The kernel spares a pass each way: at 100x100 elements it is a fifth faster, at 32x32 it takes twice as long.
_LEAST = THRESHOLDS["DROPOUT_KERNEL"].value


def dropout_mask(shape: tuple[int, ...], p: float, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """A mask that keeps each element with probability ``1 - p``.

    Parameters
    ----------
    shape : tuple of int
    p : float in [0, 1]
        Probability of dropping (PyTorch's convention; CS231n's ``p`` is the probability of keeping). Realised exactly
        for 0 and 1 and for multiples of 2**-16, else to the nearest, an error in the probability of 8e-6 at most.
    generator : numpy.random.Generator

    Returns
    -------
    ndarray of bool
        True where the element is kept.

    Raises
    ------
    ArgumentError
        If ``p`` is no probability, or there is no generator.

    Examples
    --------
    >>> import numpy as np
    >>> bool(abs(dropout_mask((100_000,), 0.25, np.random.default_rng(0)).mean() - 0.75) < 0.01)
    True
    """
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p must be a probability, 0 <= p <= 1, got {p}")
    if not isinstance(generator, np.random.Generator):
        raise ArgumentError(
            "dropout: needs a numpy.random.Generator, such as np.random.default_rng(seed), got"
            f" {type(generator).__name__}"
        )
    threshold = round(p * 2**_BITS)
    if threshold == 0:
        return np.ones(shape, bool)
    if threshold == 2**_BITS:
        return np.zeros(shape, bool)
    bits = _BITS if threshold % 2 ** (_BITS - _FEW_BITS) else _FEW_BITS
    raw = drawn(_random_bits, generator, math.prod(shape), bits)
    return np.greater_equal(raw, threshold >> (_BITS - bits)).reshape(shape)  # type: ignore[no-any-return]


# Whose raw numbers are 64 random bits.
_WHOLE = (np.random.PCG64, np.random.SFC64, np.random.PCG64DXSM, np.random.Philox)


def _random_bits(generator: np.random.Generator, count: int, bits: int) -> np.ndarray[Any, Any]:
    """``count`` integers of 8 or 16 bits, cut out of words of 64, which takes a third of the time of the generator's
    ``bytes``.
    """
    words = -(-count * bits // 64)
    source = generator.bit_generator
    raw = source.random_raw(words) if isinstance(source, _WHOLE) else generator.integers(0, 2**64, words, np.uint64)
    return raw.view(np.uint8 if bits == _FEW_BITS else np.uint16)[:count]  # type: ignore[no-any-return]


def dropout_composed(x: Any, mask: Any, *, p: float = 0.5) -> Any:
    """``x / (1 - p)`` where the mask holds, 0 elsewhere.

    Parameters
    ----------
    x : array_like or Tensor
    mask : bool, of ``x``'s shape
        True where an element is kept.
    p : float
        The probability with which the mask dropped.

    Returns
    -------
    Tensor
        Of ``x``'s shape and dtype.

    Raises
    ------
    ShapeError
        If the mask has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> dropout([1.0, 2.0], np.array([True, False]), p=0.5).data
    array([2., 0.])
    """
    x = floats(x)
    _check(x, mask)
    return x * (mask * _scale(x, p))


def _check(x: Any, mask: Any) -> None:
    if mask.shape != x.shape:
        raise ShapeError(f"dropout: a mask of shape {mask.shape} for x of shape {x.shape}")


def _scale(x: Any, p: float) -> Any:
    return x.dtype.type(1 / (1 - p) if p < 1 else 0.0)


def dropout_forward(x: Any, mask: Any, *, p: float = 0.5) -> tuple[Any, Any]:
    """Residuals: what every element is multiplied by; of a large x the mask, a byte per element, and the scale."""
    x = floats(x)
    _check(x, mask)
    scale = _scale(x, p)
    if x.size <= _SMALL:
        factor = np.multiply(mask, scale)
        return np.multiply(x, factor), (factor, None)
    out = np.multiply(x, mask)
    out *= scale
    return out, (mask, scale)


def dropout_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Linear in x, so ``dx = g mask / (1 - p)``: x's shape. The mask is a constant."""
    mask, scale = residuals
    dx = np.multiply(g, mask)
    if scale is not None:
        dx *= scale
    return dx, None


def _sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape()
    return (draw.array(shape), draw.mask(shape)), {"p": draw.choice((0.0, 0.25, 0.5))}


dropout = fused(dropout_composed, _sample, "y = x · mask / (1 - p)", kernel=_LEAST)
