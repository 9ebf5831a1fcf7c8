"""Convolution without unfolded windows: the windows of a run of positions are runs of the padded input, each at its own
distance.

So the products of kernels and windows are matrix products whose right factor's rows overlap in memory
(:mod:`autodiff.kernels.tiles`), and the unfolded matrix, kernel-size times the input, is never written. The output, the
input's gradient and the kernel's gradient are all of this form.
"""

from __future__ import annotations

import numpy as np

from autodiff.fast.thresholds import THRESHOLDS
from autodiff.kernels.jit import jit
from autodiff.kernels.threads import kernel
from autodiff.kernels.tiles import (
    SUM_COLUMNS,
    SUM_ROWS,
    TALL,
    WIDTH,
    column_sums,
    four_sums,
    one_row,
    short_rows,
    tall_rows,
)

_PART = THRESHOLDS["WINDOWS"].value


@jit
def _scatter(x, image, to, at, distance, starts):  # type: ignore[no-untyped-def]
    """The rows of one image of x (N, C, rows, length) to their places in a flat buffer."""
    length = x.shape[3]
    for c in range(x.shape[1]):
        for r in range(starts.size):
            place = at + c * distance + starts[r]
            row, target = x[image, c, r], to[place : place + length]
            for i in range(length):
                target[i] = row[i]


@jit
def _height(left):  # type: ignore[no-untyped-def]
    """Rows of the next tile where so many are left."""
    return TALL if left > 4 else 4 if left > 1 else 1


@jit
def _packed(w):  # type: ignore[no-untyped-def]
    """Weights (G, O, R) in the order in which tiles read them: tile by tile, within a tile R times its rows; missing
    rows are 0.
    """
    groups, outputs, count = w.shape
    packed = np.zeros((groups, (outputs + TALL) * count), w.dtype)
    for g in range(groups):
        o = 0
        while o < outputs:
            height = _height(outputs - o)
            for r in range(count):
                for i in range(min(height, outputs - o)):
                    packed[g, o * count + r * height + i] = w[g, o + i, r]
            o += height
    return packed


@kernel
def correlate(start, stop, x, w, bias, out, offsets, taken, given, size, span, reach, images):  # type: ignore[no-untyped-def]
    """Images x (N, C, rows, length) with weights (G, O / G, R), plus a bias (O,): out (N, O, rows, length).

    Parameters
    ----------
    offsets : (R,)
        For every weight of an output: how far on its factor lies, from the position of the output; counted in channels
        of ``size`` elements.
    taken, given : (rows,)
        Where the rows of an image of x and of out lie in their flat buffers.
    size, span, reach : int
        Elements of a channel of an image; up to where positions are wanted, and how far on the farthest factor within a
        channel lies.
    images : int
        So many at a time.
    """
    groups, outputs, count = w.shape
    channels, every, length = x.shape[1], out.shape[1], out.shape[3]
    width = WIDTH * 4 // x.itemsize
    run = -(-((images - 1) * size + span) // width) * width
    distance = run + reach + width
    places = np.empty_like(offsets)
    for r in range(count):
        places[r] = offsets[r] // size * distance + offsets[r] % size
    buffer, product = np.zeros(channels * distance, x.dtype), np.empty((every + TALL) * run, x.dtype)
    packed = _packed(w)
    # Long sums are taken in parts, which keeps their rounding down.
    part = -(-count // -(-count // _PART))
    for first in range(start, stop, images):
        last = min(first + images, stop)
        for n in range(first, last):
            _scatter(x, n, buffer, (n - first) * size, distance, taken)
        for j in range(0, (last - first - 1) * size + span, width):
            for g in range(groups):
                origin = g * (channels // groups) * distance + j
                o = 0
                while o < outputs:
                    height, to = _height(outputs - o), (g * outputs + o) * run + j
                    for r in range(0, count, part):
                        at, more = o * count + r * height, min(part, count - r)
                        if height == TALL:
                            tall_rows(product, to, run, packed[g], at, buffer, origin, places, r, more)
                        elif height == 4:
                            short_rows(product, to, run, packed[g], at, buffer, origin, places, r, more)
                        else:
                            one_row(product, to, run, packed[g], at, buffer, origin, places, r, more)
                    o += height
        for n in range(first, last):
            for o in range(every):
                shift = bias[o]
                for r in range(given.size):
                    place = o * run + (n - first) * size + given[r]
                    row, target = product[place : place + length], out[n, o, r]
                    for i in range(length):
                        target[i] = row[i] + shift


@kernel
def kernel_gradient(start, stop, x, g, offsets, taken, given, size, span, reach, images, groups, share, totals):  # type: ignore[no-untyped-def]
    """The sums of g (N, O, rows, length) times the windows of x, of every share of so many images: totals (shares, G,
    O / G and more, R and more), see :func:`correlate`.
    """
    total = totals[start // share]
    channels, outputs = x.shape[1], g.shape[1] // groups
    count = total.shape[2]
    width = WIDTH * 4 // x.itemsize
    run = -(-((images - 1) * size + span) // width) * width
    distance = run + reach + width
    places = np.empty(count, np.int64)
    for r in range(count):
        offset = offsets[min(r, offsets.size - 1)]
        places[r] = offset // size * distance + offset % size
    height = total.shape[1]
    buffer, up = np.zeros(channels * distance, x.dtype), np.zeros((g.shape[1] + height) * run, x.dtype)
    sums = total.reshape(total.size)
    for first in range(start, stop, images):
        last = min(first + images, stop)
        if last - first < images:
            up[:] = 0
        for n in range(first, last):
            _scatter(x, n, buffer, (n - first) * size, distance, taken)
            _scatter(g, n, up, (n - first) * size, run, given)
        for k in range(groups):
            origin = k * (channels // groups) * distance
            # Few rows of g stay in the first-level cache while those of x pass.
            for o in range(0, height, 1 if outputs == 1 else SUM_ROWS):
                for r in range(0, count, SUM_COLUMNS):
                    at, above = (k * height + o) * count + r, (k * outputs + o) * run
                    if outputs == 1:
                        column_sums(sums, at, count, up, above, run, buffer, origin, places, r, run)
                    else:
                        four_sums(sums, at, count, up, above, run, buffer, origin, places, r, run)
