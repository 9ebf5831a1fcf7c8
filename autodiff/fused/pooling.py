"""Pooling over windows: the largest element or the mean, of a regular grid of windows or of one that adapts to a wanted
output size.

Of equal elements of a window the first one, in row-major order, is the maximum and takes the gradient, as in PyTorch.
"""

from __future__ import annotations

import sys
from math import prod
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.dispatch import bare
from autodiff.fused.common import floats, fused, masked
from autodiff.fused.windows import Geometry, per_axis, remembered, unfolded
from autodiff.kernels import adapters, either_backward, large
from autodiff.ops.common import real_numbers

__all__ = ["adaptive_avg_pool", "adaptive_max_pool", "avg_pool", "max_pool", "maxima_of"]


@remembered
def _geometry(
    name: str, shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Geometry:
    """The windows of a pooling, everything checked."""
    axes = len(shape) - 2
    if axes < 1:
        raise ShapeError(f"{name}: x of shape {shape}; it needs shape (N, C, ...) with spatial axes")
    sizes = per_axis(name, "kernel_size", kernel, axes, 1)
    steps = sizes if stride is None else per_axis(name, "stride", stride, axes, 1)
    pads = per_axis(name, "padding", padding, axes, 0)
    holes = per_axis(name, "dilation", dilation, axes, 1)
    reach = tuple(d * (k - 1) + 1 for d, k in zip(holes, sizes, strict=True))
    if any(2 * p > r for p, r in zip(pads, reach, strict=True)):
        raise ArgumentError(
            f"{name}: padding {pads} is more than half the window {reach}, so that a window could hold nothing but"
            " padding"
        )
    outputs = []
    for n, p, r, s in zip(shape[2:], pads, reach, steps, strict=True):
        room = n + 2 * p - r
        count = (-(-room // s) if ceil_mode else room // s) + 1
        # A last window has to begin inside the input or the padding before it.
        outputs.append(count - 1 if ceil_mode and (count - 1) * s >= n + p else count)
    if min(outputs) < 1 or min(shape[2:]) < 1:
        raise ShapeError(f"{name}: windows {reach} do not fit into x of shape {shape} padded by {pads}")
    after = tuple(
        max(p, (m - 1) * s + r - n - p) for p, m, s, r, n in zip(pads, outputs, steps, reach, shape[2:], strict=True)
    )
    return Geometry(shape[2:], sizes, tuple(outputs), steps, pads, after, holes, 1)


# --- the largest element ----------------------------------------------------------------------------------------------


def max_pool_composed(
    x: Any, *, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Any:
    """The largest element of every window.

    Parameters
    ----------
    x : (N, C, L), (N, C, H, W), ...
    kernel_size : int or one per spatial axis
    stride : int, one per spatial axis, or None
        None: ``kernel_size``, so that windows touch and do not overlap.
    padding : int or one per spatial axis
        Minus infinity on either side; at most half a window.
    dilation : int or one per spatial axis
        Step between the elements of a window.
    ceil_mode : bool
        Round the number of windows up: the last may reach beyond the padding.

    Returns
    -------
    Tensor
        (N, C, ...), with ``floor((n + 2 padding - dilation (k - 1) - 1) / stride) + 1`` windows along an axis of length
        n.

    Raises
    ------
    ShapeError, ArgumentError
        If the windows do not fit or an option is no such thing.

    Examples
    --------
    >>> max_pool([[[1.0, 3.0, 2.0, 0.0]]], kernel_size=2).data
    array([[[3., 2.]]])
    """
    geo = _geometry("max_pool", x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    pads = tuple(zip(geo.before, geo.after, strict=True))
    padded = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=_lowest(x.dtype)) if any(map(any, pads)) else x
    windows = np.reshape(unfolded(padded, geo), (*x.shape[:2], *geo.outputs, prod(geo.kernel)))
    return _first_largest(windows)


def _lowest(dtype: Any) -> Any:
    return dtype.type(-np.inf) if dtype.kind == "f" else np.iinfo(dtype).min


def _first_largest(windows: Any) -> Any:
    """The first of the largest elements along the last axis."""
    place = np.argmax(bare(windows), axis=-1)[..., None]
    return np.take_along_axis(windows, place, axis=-1)[..., 0]


def max_pool_forward(
    x: Any, *, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> tuple[Any, Any]:
    """The largest so far over strided views of x, one for each place in the window. Residuals: which place (out's
    shape), where windows lie.
    """
    real_numbers("max_pool", x)
    geo = _geometry("max_pool", x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    if large(x.size):
        found = adapters.max_pool_forward(x, geo)
        if found is not None:
            return found  # type: ignore[no-any-return]
    if any(geo.before) or any(geo.after):
        padded = np.full((*x.shape[:2], *geo.padded), _lowest(x.dtype), x.dtype)
        padded[geo.inside()] = x
        x = padded
    elif x.dtype.kind == "f" and geo.halves:
        out, first = _halve(x)
        if not np.isnan(np.min(out, initial=np.inf)):
            return out, (first, geo)
    count = prod(geo.kernel)
    places = geo.places()
    out = x[next(places)].copy()
    first = np.zeros(out.shape, np.min_scalar_type(max(count - 1, 1)))
    for k, where in enumerate(places, 1):
        here = x[where]
        # Not "here > out": a NaN has to win, and be kept.
        better = ~(here <= out)
        better &= out == out
        np.copyto(first, first.dtype.type(k), where=better)
        np.copyto(out, here, where=better)
    return out, (first, geo)


def _halve(x: Any) -> tuple[Any, Any]:
    """Maxima of 2x2 windows without NaN, and which place it was: rows first, whose elements lie close together.

    A maximum of the right column is the first one also if it equals the left's but stands in a higher row.
    """
    upper, lower = x[:, :, 0::2], x[:, :, 1::2]
    columns = np.maximum(upper, lower)
    below = upper < lower
    left, right = columns[..., 0::2], columns[..., 1::2]
    below_left, below_right = below[..., 0::2], below[..., 1::2]
    to_right = right > left
    to_right |= (right == left) & (below_left > below_right)
    first = np.where(to_right, below_right, below_left).view(np.uint8)
    first += first
    first += to_right
    return np.maximum(left, right), first


def _double(g: Any, first: Any) -> Any:
    """The gradient of :func:`_halve` for float32: two neighbours are written as one integer of 64 bits, one half of
    which is zero.

    3 ms instead of 5 for 32x32x32x32 with a store for each of the four places, since strided stores of four bytes are
    slow.
    """
    pair = np.ascontiguousarray(g).view(np.uint32).astype(np.uint64)
    pair <<= (first & 1) << 5
    below = np.negative((first >> 1).view(np.int8)).astype(np.int64).view(np.uint64)
    n, c, height, width = g.shape
    rows = np.empty((n, c, height, 2, width), np.uint64)
    np.bitwise_and(pair, below, out=rows[:, :, :, 1])
    np.bitwise_xor(pair, rows[:, :, :, 1], out=rows[:, :, :, 0])
    return rows.view(np.float32).reshape(n, c, 2 * height, 2 * width)


def max_pool_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``y_p = x_q`` with q the first largest of window p, so ``dx_q`` is the sum of ``g_p`` over the windows whose
    maximum it is: x's shape.

    For each place in the window, ``g`` where the maximum stood there (exactly zero elsewhere) is added to the strided
    view of that place.
    """
    first, geo = residuals
    if g.dtype == np.float32 and sys.byteorder == "little" and geo.halves and g.size:
        return (_double(g, first),)
    dx = np.zeros((*g.shape[:2], *geo.padded), g.dtype)
    for k, where in enumerate(geo.places()):
        dx[where] += masked(g, first == k)
    return (dx[geo.inside()],)


def maxima_of(residuals: Any) -> Any:
    """For every window, where its maximum stands in the input's flattened spatial axes: int64 of the output's shape.

    Parameters
    ----------
    residuals
        What the forward of :data:`max_pool` or :data:`adaptive_max_pool` left.
    """
    first, geo = residuals
    if not isinstance(geo, Geometry):
        return first
    flat = np.zeros(first.shape, np.int64)
    for axis, place in enumerate(np.unravel_index(first, geo.kernel)):
        starts = np.arange(geo.outputs[axis]) * geo.stride[axis] - geo.before[axis]
        along = starts.reshape(-1, *(1,) * (len(geo.outputs) - axis - 1)) + place * geo.dilation[axis]
        flat = flat * geo.inputs[axis] + along
    return flat


def _sample_max(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    axes = draw.integer(1, 2)
    kernel = tuple(draw.integer(1, 3 - axis) for axis in range(axes))
    dilation = tuple(draw.choice((1, 1, 2)) for _ in range(axes))
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    options = {
        "kernel_size": kernel,
        "stride": draw.choice((None, 1, 2)),
        "padding": tuple(draw.integer(0, min(1, r // 2)) for r in reach),
        "dilation": dilation,
        "ceil_mode": draw.boolean(),
    }
    shape = (*draw.choice(((1, 1), (1, 2), (2, 1))), *(r + draw.integer(0, 2) for r in reach))
    return (draw.array(shape, distinct=True),), options


max_pool = fused(
    max_pool_composed,
    _sample_max,
    "dx = g at the first maximum of each window",
    real_only=True,
    backward=either_backward(max_pool_backward, adapters.max_pool_backward),
)


def adaptive_max_pool_composed(x: Any, *, output_size: Any) -> Any:
    """The largest element of every one of ``output_size`` windows that cover the input evenly.

    Parameters
    ----------
    x : (N, C, L), (N, C, H, W), ...
    output_size : int or one per spatial axis; None for the input's own length
        Window i of m along an axis of length n runs from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``.

    Returns
    -------
    Tensor
        (N, C, *output_size).

    Raises
    ------
    ShapeError, ArgumentError
        If x has no spatial axes or the size is no such thing.

    Examples
    --------
    >>> adaptive_max_pool([[[1.0, 3.0, 2.0]]], output_size=2).data
    array([[[3., 3.]]])
    """
    sizes = _sizes("adaptive_max_pool", x.shape, output_size)
    index = _even_windows(x.shape[2:], sizes)
    windows = x[(slice(None), slice(None), *index)]
    return _first_largest(np.reshape(windows, (*x.shape[:2], *sizes, prod(windows.shape[2 + len(sizes) :]))))


def _sizes(name: str, shape: tuple[int, ...], output_size: Any) -> tuple[int, ...]:
    axes = len(shape) - 2
    if axes < 1 or min(shape[2:]) < 1:
        raise ShapeError(f"{name}: x of shape {shape}; it needs shape (N, C, ...) with spatial axes that are not empty")
    sizes = list(output_size) if isinstance(output_size, (tuple, list)) else [output_size] * axes
    if len(sizes) == axes:
        sizes = [n if m is None else m for m, n in zip(sizes, shape[2:], strict=True)]
    return per_axis(name, "output_size", sizes, axes, 1)


def _ends(n: int, m: int) -> list[tuple[int, int]]:
    """Begin and end of m windows that cover n elements evenly."""
    return [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


def _even_windows(inputs: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[Any, ...]:
    """Integer indices, one per axis, that read all windows at once as (*sizes, *longest); shorter windows repeat their
    last element.
    """
    index, axes = [], len(sizes)
    for axis, (n, m) in enumerate(zip(inputs, sizes, strict=True)):
        ends = _ends(n, m)
        longest = max(end - start for start, end in ends)
        rows = np.array([[min(start + i, end - 1) for i in range(longest)] for start, end in ends])
        index.append(rows.reshape((1,) * axis + (m,) + (1,) * (axes - 1) + (longest,) + (1,) * (axes - axis - 1)))
    return tuple(index)


def adaptive_max_pool_forward(x: Any, *, output_size: Any) -> tuple[Any, Any]:
    """Residuals: where every maximum stands in x's flattened spatial axes (out's shape), x's shape."""
    real_numbers("adaptive_max_pool", x)
    sizes = _sizes("adaptive_max_pool", x.shape, output_size)
    index = _even_windows(x.shape[2:], sizes)
    flat = np.ravel_multi_index(np.broadcast_arrays(*index), x.shape[2:]).reshape(*sizes, -1)
    planes = x.reshape(*x.shape[:2], prod(x.shape[2:]))
    place = np.argmax(planes[..., flat], axis=-1)
    where = np.take_along_axis(np.broadcast_to(flat, (*place.shape, flat.shape[-1])), place[..., None], axis=-1)[..., 0]
    out = np.take_along_axis(planes, where.reshape(*x.shape[:2], prod(sizes)), axis=-1)
    return out.reshape(where.shape), (where, x.shape)


def adaptive_max_pool_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``dx_q`` is the sum of ``g_p`` over the windows whose first maximum stands at q: x's shape. Neighbouring windows
    may overlap.
    """
    where, shape = residuals
    count = prod(shape[2:])
    dx = np.zeros(prod(shape[:2]) * count, g.dtype)
    planes = np.arange(prod(shape[:2])).reshape(*shape[:2], *(1,) * (where.ndim - 2))
    np.add.at(dx, (planes * count + where).reshape(-1), g.reshape(-1))
    return (dx.reshape(shape),)


def _sample_adaptive(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    inputs = tuple(draw.integer(1, 5 - axis) for axis in range(draw.integer(1, 2)))
    shape = (*draw.choice(((1, 1), (1, 2), (2, 1))), *inputs)
    return (draw.array(shape, distinct=True),), {"output_size": tuple(draw.choice((None, 1, 2, 3)) for _ in inputs)}


adaptive_max_pool = fused(
    adaptive_max_pool_composed, _sample_adaptive, "dx = g at the first maximum of each window", real_only=True
)


# --- the mean ---------------------------------------------------------------------------------------------------------


def avg_pool_composed(
    x: Any,
    *,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of every window.

    Parameters
    ----------
    x : (N, C, L), (N, C, H, W), ...
    kernel_size, stride, padding, ceil_mode
        As in :func:`max_pool`; the padding is zeros.
    count_include_pad : bool
        Whether padding counts in the divisor. What lies beyond the padding (``ceil_mode``) never does.
    divisor_override : int or None
        Divide every sum by this.

    Returns
    -------
    Tensor
        (N, C, ...).

    Raises
    ------
    ShapeError, ArgumentError
        If the windows do not fit or an option is no such thing.

    Examples
    --------
    >>> avg_pool([[[1.0, 3.0, 2.0, 0.0]]], kernel_size=2).data
    array([[[2., 1.]]])
    """
    x = floats(x)
    geo = _geometry("avg_pool", x.shape, kernel_size, stride, padding, 1, ceil_mode)
    padded = np.pad(x, ((0, 0), (0, 0), *zip(geo.before, geo.after, strict=True)))
    sums = np.sum(unfolded(padded, geo), axis=tuple(range(x.ndim, 2 * x.ndim - 2)))
    return sums * _inverse_counts(geo, count_include_pad, divisor_override, x.dtype)


def _inverse_counts(geo: Geometry, include: bool, override: int | None, dtype: Any) -> Any:
    """One over the divisor of every window: of shape outputs."""
    if override is not None:
        if not isinstance(override, (int, np.integer)) or override == 0:
            raise ArgumentError(f"avg_pool: divisor_override must be an integer other than 0, got {override!r}")
        return np.full(geo.outputs, 1 / override).astype(dtype)
    counts: Any = 1
    for n, k, m, s, p in zip(geo.inputs, geo.kernel, geo.outputs, geo.stride, geo.before, strict=True):
        start = np.arange(m) * s - p
        end = np.minimum(start + k, n + p if include else n)
        counts = np.multiply.outer(counts, end - (start if include else np.maximum(start, 0)))
    return (1 / counts).astype(dtype)


def avg_pool_forward(
    x: Any,
    *,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Any, Any]:
    """Sums over one axis after the other, so a k x k window costs 2 k additions and not k². Residuals: one over the
    divisors, where windows lie.
    """
    x = floats(x)
    geo = _geometry("avg_pool", x.shape, kernel_size, stride, padding, 1, ceil_mode)
    inverse = _inverse_counts(geo, count_include_pad, divisor_override, x.dtype)
    if any(geo.before) or any(geo.after):
        padded = np.zeros((*x.shape[:2], *geo.padded), x.dtype)
        padded[geo.inside()] = x
        x = padded
    for axis, (k, m, s) in enumerate(zip(geo.kernel, geo.outputs, geo.stride, strict=True), 2):
        views = [x[(slice(None),) * axis + (slice(i, i + (m - 1) * s + 1, s),)] for i in range(k)]
        total = views[0].copy()
        for view in views[1:]:
            total += view
        x = total
    x *= inverse
    return x, (inverse, geo)


def avg_pool_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``y_p = sum_q x_q / count_p`` over the window of p, so ``dx_q = sum of g_p / count_p`` over the windows that hold
    q: x's shape.
    """
    inverse, geo = residuals
    g = g * inverse
    for axis in range(g.ndim - 1, 1, -1):
        k, m, s = geo.kernel[axis - 2], geo.outputs[axis - 2], geo.stride[axis - 2]
        wider = np.zeros((*g.shape[:axis], geo.padded[axis - 2], *g.shape[axis + 1 :]), g.dtype)
        for i in range(k):
            wider[(slice(None),) * axis + (slice(i, i + (m - 1) * s + 1, s),)] += g
        g = wider
    return (g[geo.inside()],)


def _sample_avg(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    axes = draw.integer(1, 2)
    kernel = tuple(draw.integer(1, 3 - axis) for axis in range(axes))
    options = {
        "kernel_size": kernel,
        "stride": draw.choice((None, 1, 2)),
        "padding": tuple(draw.integer(0, min(1, k // 2)) for k in kernel),
        "ceil_mode": draw.boolean(),
        "count_include_pad": draw.boolean(),
        "divisor_override": draw.choice((None, None, 3)),
    }
    return (draw.array((*draw.choice(((1, 1), (1, 2), (2, 1))), *(k + draw.integer(0, 2) for k in kernel))),), options


avg_pool = fused(avg_pool_composed, _sample_avg, "dx = g / count over each window")


def adaptive_avg_pool_composed(x: Any, *, output_size: Any) -> Any:
    """The mean of every one of ``output_size`` windows that cover the input evenly.

    Parameters
    ----------
    x : (N, C, L), (N, C, H, W), ...
    output_size : int or one per spatial axis; None for the input's own length
        Window i of m along an axis of length n runs from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``.

    Returns
    -------
    Tensor
        (N, C, *output_size).

    Raises
    ------
    ShapeError, ArgumentError
        If x has no spatial axes or the size is no such thing.

    Examples
    --------
    >>> adaptive_avg_pool([[[1.0, 3.0, 2.0]]], output_size=2).data
    array([[[2. , 2.5]]])
    """
    sizes = _sizes("adaptive_avg_pool", x.shape, output_size)
    for axis, m in enumerate(sizes, 2):
        x = np.stack(
            [np.mean(x[(slice(None),) * axis + (slice(*ends),)], axis=axis) for ends in _ends(x.shape[axis], m)],
            axis=axis,
        )
    return x


def adaptive_avg_pool_forward(x: Any, *, output_size: Any) -> tuple[Any, Any]:
    """Means over one axis after the other. Residuals: the input's spatial lengths, the output's."""
    sizes = _sizes("adaptive_avg_pool", x.shape, output_size)
    inputs = x.shape[2:]
    dtype = x.dtype.newbyteorder("=") if x.dtype.kind == "f" else np.result_type(x, np.float64)
    if all(n % m == 0 for n, m in zip(inputs, sizes, strict=True)):
        parts = tuple(length for n, m in zip(inputs, sizes, strict=True) for length in (m, n // m))
        means = np.add.reduce(x.reshape(*x.shape[:2], *parts), axis=tuple(range(3, 2 + len(parts), 2)), dtype=dtype)
        means *= dtype.type(prod(sizes) / prod(inputs))
        return means, (inputs, sizes)
    for axis, m in enumerate(sizes, 2):
        out: Any = np.empty((*x.shape[:axis], m, *x.shape[axis + 1 :]), dtype)
        for i, (start, end) in enumerate(_ends(x.shape[axis], m)):
            before = (slice(None),) * axis
            np.add.reduce(x[(*before, slice(start, end))], axis=axis, out=out[(*before, i)])
            out[(*before, i)] *= dtype.type(1 / (end - start))
        x = out
    return x, (inputs, sizes)


def adaptive_avg_pool_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``dx_q = sum of g_p / count_p`` over the windows p that hold q, one axis after the other: x's shape."""
    inputs, sizes = residuals
    lead = g.shape[:2]
    if all(n % m == 0 for n, m in zip(inputs, sizes, strict=True)):
        each = g * g.dtype.type(prod(sizes) / prod(inputs))
        spread = each.reshape(*lead, *(length for m in sizes for length in (m, 1)))
        parts = tuple(length for n, m in zip(inputs, sizes, strict=True) for length in (m, n // m))
        return (np.broadcast_to(spread, (*lead, *parts)).reshape(*lead, *inputs),)
    for axis in range(g.ndim - 1, 1, -1):
        n, m = inputs[axis - 2], sizes[axis - 2]
        wider = np.zeros((*g.shape[:axis], n, *g.shape[axis + 1 :]), g.dtype)
        before = (slice(None),) * axis
        for i, (start, end) in enumerate(_ends(n, m)):
            wider[(*before, slice(start, end))] += g[(*before, slice(i, i + 1))] * g.dtype.type(1 / (end - start))
        g = wider
    return (g,)


adaptive_avg_pool = fused(adaptive_avg_pool_composed, _sample_adaptive, "dx = g / count over each window")
