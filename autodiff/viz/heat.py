"""An array as a small picture: one coloured cell an element, blue below zero, red above, white at zero.

The picture is a PNG of a few hundred bytes, which SVG and HTML hold as a ``data:`` address, so that nothing is fetched.
Colours run from blue to vermillion, which people with any common colour blindness can tell apart.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np

from .view import HeatMap

__all__ = ["cells", "heat_map"]

#: At most this many cells along a side; larger arrays are shown by the means of blocks.
MOST = 32
_LEVELS = 32
_LOW, _MIDDLE, _HIGH = (0, 114, 178), (247, 247, 247), (213, 94, 0)
_MISSING = (255, 0, 255)


def _palette() -> bytes:
    """Blue to white to vermillion, and the colour of what is not finite."""
    half = _LEVELS // 2
    colours = []
    for level in range(-half, half + 1):
        end = np.array(_LOW if level < 0 else _HIGH)
        colours.append(np.array(_MIDDLE) + (end - np.array(_MIDDLE)) * abs(level) / half)
    return bytes(np.rint([*colours, _MISSING]).astype(np.uint8))


_PALETTE = _palette()


def cells(array: Any) -> Any:
    """The array as a matrix of at most 32 by 32 means of blocks, in float64; a complex one by its absolute values.

    Axes before the last two are laid out below one another; of a convolution's weights each kernel is a tile. A block
    that holds NaN or infinity is NaN.

    Examples
    --------
    >>> cells(np.arange(4.0)).tolist(), cells(np.ones((64, 3))).shape
    ([[0.0, 1.0, 2.0, 3.0]], (32, 3))
    """
    array = np.asarray(array)
    array = np.abs(array) if array.dtype.kind == "c" else array
    flat = np.asarray(array, np.float64)
    if flat.ndim == 4:
        flat = flat.transpose(0, 2, 1, 3).reshape(flat.shape[0] * flat.shape[2], -1)
    flat = flat.reshape(-1, flat.shape[-1]) if flat.ndim > 1 else flat.reshape(1, -1)
    with np.errstate(all="ignore"):
        # Scaled by a power of two, so that no sum of finite numbers overflows.
        _, power = np.frexp(np.max(np.abs(flat[np.isfinite(flat)]), initial=0.0))
        flat = np.ldexp(flat, -power)
        for axis in (0, 1):
            size = flat.shape[axis]
            if size > MOST:
                starts = np.linspace(0, size, MOST, endpoint=False).astype(np.intp)
                flat = np.add.reduceat(flat, starts, axis=axis)
                counts = np.diff([*starts, size])
                flat = flat / (counts[:, None] if axis == 0 else counts)
        return np.where(np.isfinite(flat), np.ldexp(flat, power), np.nan)


def heat_map(array: Any, kind: str) -> HeatMap | None:
    """The picture of an array, a ``"value"`` or a ``"gradient"``; None for one element, for none, and for what has no
    numbers.

    Examples
    --------
    >>> found = heat_map(np.array([[1.0, -2.0]]), "value")
    >>> found.columns, found.rows, found.text
    (2, 1, 'value: -2 … 1, mean -0.5')
    """
    array = np.asarray(array)
    if array.size < 2 or array.dtype.kind not in "biufc":
        return None
    shown = cells(array)
    good = np.isfinite(shown)
    with np.errstate(all="ignore"):
        largest = float(np.max(np.abs(shown[good]), initial=0.0))
        half = _LEVELS // 2
        level = np.rint(shown / largest * half) if largest else np.zeros(shown.shape)
        numbers = np.where(good, np.clip(level, -half, half) + half, _LEVELS + 1).astype(np.uint8)
        real = np.abs(array) if array.dtype.kind == "c" else array
        finite = np.asarray(real[np.isfinite(real)], np.float64)
        _, power = np.frexp(np.max(np.abs(finite), initial=0.0))
        mean = float(np.ldexp(np.sum(np.ldexp(finite, -power)) / max(finite.size, 1), power))
    words = f"{finite.min():.3g} … {finite.max():.3g}, mean {mean:.3g}" if finite.size else "no finite element"
    rows, columns = shown.shape
    said = f"absolute {kind}" if array.dtype.kind == "c" else kind
    uri = "data:image/png;base64," + base64.b64encode(_png(numbers)).decode()
    return HeatMap(kind, uri, columns, rows, f"{said}: {words}")


def _png(numbers: Any) -> bytes:
    """An indexed-colour PNG (ISO/IEC 15948)."""
    rows, columns = numbers.shape
    lines = b"".join(b"\0" + row.tobytes() for row in numbers)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"PLTE", _PALETTE), chunk(b"IDAT", zlib.compress(lines, 9)), chunk(b"IEND", b""))
    )
