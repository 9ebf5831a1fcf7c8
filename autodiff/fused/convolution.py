"""Convolution and its transpose over any number of axes, with gradients by the same three sums of products.

As everywhere in networks the kernel is not flipped: ``y[n, o, p] = b[o] + sum_{c, k} w[o, c, k] x[n, c, p stride + k
dilation - padding]``, with ``p`` a position and ``k`` a place in the kernel, one number for each axis. Three sums
therefore serve both operations forward and backward: the output from input and kernel (:func:`_correlate`), the input's
gradient (:func:`_spread`), the kernel's gradient (:func:`_kernel_gradient`). The transposed convolution is the second
of them read forward. Sources: LeCun et al. 1989; Dumoulin and Visin 2016 (arXiv 1603.07285).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.fused.common import column_sums, fused
from autodiff.fused.windows import Geometry, per_axis, remembered, unfolded
from autodiff.kernels import adapters, large
from autodiff.zero_times_infinity import finite

__all__ = ["conv", "conv_transpose"]

# Unfolded windows are made for so many bytes at a time that they stay in the second-level cache between being written
# and being multiplied.
_BLOCK = THRESHOLDS["UNFOLD"].value


@remembered
def _geometry(
    name: str, x: tuple[int, ...], weight: tuple[int, ...], stride: Any, padding: Any, dilation: Any, groups: int
) -> Geometry:
    """The windows of a convolution, everything checked."""
    axes = len(weight) - 2
    if axes < 1 or len(x) != axes + 2:
        raise ShapeError(
            f"{name}: x of shape {x} with weight of shape {weight}; they need shapes (N, C, ...) and (O, C / groups,"
            " ...)"
        )
    steps = per_axis(name, "stride", stride, axes, 1)
    holes = per_axis(name, "dilation", dilation, axes, 1)
    if not isinstance(groups, (int, np.integer)) or groups < 1 or x[1] != weight[1] * groups or weight[0] % groups:
        raise ShapeError(
            f"{name}: x of shape {x} with weight of shape {weight} in {groups} groups; x needs {weight[1]} channels per"
            " group, and the groups must divide the output channels"
        )
    kernel, inputs = weight[2:], x[2:]
    reach = tuple(d * (k - 1) for d, k in zip(holes, kernel, strict=True))
    if padding == "same":
        if any(s != 1 for s in steps):
            raise ArgumentError(f"{name}: padding 'same' needs stride 1, got {stride!r}")
        before = tuple(r // 2 for r in reach)
        after = tuple(r - b for r, b in zip(reach, before, strict=True))
    elif isinstance(padding, str) and padding != "valid":
        raise ArgumentError(f"{name}: padding must be 'same', 'valid' or integers, got {padding!r}")
    else:
        before = after = per_axis(name, "padding", 0 if padding == "valid" else padding, axes, 0)
    room = [n + b + a - r - 1 for n, b, a, r in zip(inputs, before, after, reach, strict=True)]
    if min(room) < 0 or min(kernel) < 1:
        raise ShapeError(
            f"{name}: a kernel of shape {kernel} with dilation {holes} does not fit into an input of shape {inputs}"
            f" padded by {before} and {after}"
        )
    outputs = tuple(r // s + 1 for r, s in zip(room, steps, strict=True))
    return Geometry(inputs, kernel, outputs, steps, before, after, holes, int(groups))


def _check(name: str, bias: Any, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        raise ShapeError(
            f"{name}: bias of shape {bias.shape} for {channels} output channels; it needs shape ({channels},)"
        )


# --- convolution ----------------------------------------------------------------------------------------------------


def conv_composed(
    x: Any, weight: Any, bias: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Convolution in the sense of networks: a product of a kernel with every window of the input.

    Parameters
    ----------
    x : (N, C, L), (N, C, H, W), ...
        Channels second, then any number of spatial axes.
    weight : (O, C / groups, K), (O, C / groups, KH, KW), ...
    bias : (O,) or None
    stride, dilation : int or one per spatial axis
        Steps between windows, and between the elements of one window.
    padding : int, one per spatial axis, "valid" or "same"
        Zeros on either side. "valid" is 0; "same" keeps the lengths (stride 1 only; the odd zero goes to the end).
    groups : int
        Channels are split in so many groups that do not meet; ``groups=C`` is a depthwise convolution.

    Returns
    -------
    Tensor
        (N, O, ...), with ``floor((n + 2 padding - dilation (k - 1) - 1) / stride) + 1`` positions along an axis of
        length n.

    Raises
    ------
    ShapeError, ArgumentError
        If shapes do not fit, the kernel is longer than the padded input, or an option is no such thing.

    Examples
    --------
    >>> import numpy as np
    >>> conv(np.arange(5.0).reshape(1, 1, 5), np.array([[[1.0, 0.0, -1.0]]])).data
    array([[[-2., -2., -2.]]])
    """
    _check("conv", bias, weight.shape[0])
    geo = _geometry("conv", x.shape, weight.shape, stride, padding, dilation, groups)
    axes = len(geo.kernel)
    padded = np.pad(x, ((0, 0), (0, 0), *zip(geo.before, geo.after, strict=True)))
    windows = unfolded(padded, geo)
    g, (n, c), o = geo.groups, x.shape[:2], weight.shape[0]
    windows = np.reshape(windows, (n, g, c // g, *geo.outputs, *geo.kernel))
    kernels = np.reshape(weight, (g, o // g, c // g, *geo.kernel))
    p, k = "pqrs"[:axes], "ijkl"[:axes]
    y = np.reshape(np.einsum(f"ngc{p}{k},goc{k}->ngo{p}", windows, kernels), (n, o, *geo.outputs))
    return y if bias is None else y + np.reshape(bias, (-1, *(1,) * axes))


class _Layout(NamedTuple):
    """How one channel of one padded image lies in a flat buffer, and which of its elements are the places of
    windows.
    """

    lengths: tuple[int, ...]
    front: int
    size: int
    strides: tuple[int, ...]
    positions: tuple[int, ...]
    steps: tuple[int, ...]
    run: bool

    @property
    def area(self) -> int:
        """Columns of the matrix of unfolded windows per image."""
        return prod(self.positions)

    def lengthened(self) -> _Layout:
        """The same with the run going on until the buffer ends, so that windows end in zeros: what :func:`_fold`
        needs.
        """
        if not self.run:
            return self
        return self._replace(positions=(self.size,), size=self.size + self.size - self.positions[0])


@lru_cache(maxsize=512)
def _layout(geo: Geometry, runs: bool = True) -> _Layout:
    """The flat layout of padded images.

    With stride 1 the windows of neighbouring positions are neighbours in memory, so that all positions are *one* run,
    and unfolding copies long runs instead of rows: 0.45 ms instead of 1.34 for 3x3 over 32x16x32x32. The run also
    passes over the padding between rows; what it yields there is cut off again. So that this is little, padding after a
    row serves as the padding before the next one. Half as much again as is wanted still pays: 14x14 by 5x5, LeNet's,
    takes 0.45 of the time.
    """
    reach = tuple(d * (k - 1) for d, k in zip(geo.dilation, geo.kernel, strict=True))
    shared = tuple(n + max(b, a) for n, b, a in zip(geo.inputs, geo.before, geo.after, strict=True))
    lengths = (geo.padded[0], *shared[1:])
    run = runs and set(geo.stride) == {1} and all(m <= n for m, n in zip(geo.outputs, lengths, strict=True))
    run = run and prod(lengths[1:]) <= 1.5 * prod(geo.outputs[1:])
    if not run:
        lengths = geo.padded
    strides = tuple(prod(lengths[i + 1 :]) for i in range(len(lengths)))
    positions, steps = geo.outputs, tuple(s * t for s, t in zip(geo.stride, strides, strict=True))
    front = 0
    if run:
        front = sum(b * t for b, t in zip(geo.before[1:], strides[1:], strict=True))
        positions, steps = (geo.outputs[0] * strides[0],), (1,)
    last = sum(r * t for r, t in zip(reach, strides, strict=True)) + sum(
        (m - 1) * t for m, t in zip(positions, steps, strict=True)
    )
    return _Layout(lengths, front, max(front + prod(lengths), last + 1), strides, positions, steps, run)


def _images_in(buffer: Any, geo: Geometry, lay: _Layout) -> Any:
    """The unpadded images in a buffer (C, m, size), as a view (m, C, *inputs)."""
    whole = buffer[:, :, lay.front : lay.front + prod(lay.lengths)].reshape(*buffer.shape[:2], *lay.lengths)
    starts = (geo.before[0], *(0,) * (len(geo.before) - 1)) if lay.run else geo.before
    return whole[
        (slice(None), slice(None), *(slice(b, b + n) for b, n in zip(starts, geo.inputs, strict=True)))
    ].swapaxes(0, 1)


def _windows_in(buffer: Any, geo: Geometry, lay: _Layout) -> Any:
    """All windows in a buffer (C, m, size), as an overlapping view (C, *kernel, m, *positions)."""
    item = buffer.itemsize
    along = tuple(d * t * item for d, t in zip(geo.dilation, lay.strides, strict=True))
    strides = (buffer.strides[0], *along, buffer.strides[1], *(t * item for t in lay.steps))
    shape = (buffer.shape[0], *geo.kernel, buffer.shape[1], *lay.positions)
    return np.lib.stride_tricks.as_strided(buffer, shape, strides)


def _outputs_in(product: Any, geo: Geometry, lay: _Layout) -> Any:
    """What a buffer (O, m, *positions) holds at true positions, as a view (m, O, *outputs)."""
    if lay.run:
        product = product[:, :, : geo.outputs[0] * lay.strides[0]].reshape(
            *product.shape[:2], geo.outputs[0], *lay.lengths[1:]
        )
        product = product[(slice(None), slice(None), *(slice(m) for m in geo.outputs))]
    return product.swapaxes(0, 1)


def _copy_rows(target: Any, source: Any) -> None:
    """``target[...] = source`` for views whose last axis lies close together: rows move as one element each, which
    halves the time for short ones.
    """
    item, length = target.itemsize, target.shape[-1]
    if target.dtype == source.dtype and length and target.strides[-1] == source.strides[-1] == item:
        row = np.dtype((np.void, item * length))
        target, source = target.view(row), source.view(row)
    np.copyto(target, source)


def _is_pointwise(geo: Geometry) -> bool:
    """Whether windows are single elements, each at its own place: a matrix product per image without any copy."""
    return prod(geo.kernel) == 1 and geo.outputs == geo.inputs and not any(geo.before)


def _batches(n: int, bytes_each: int) -> Iterator[slice]:
    """Equal shares of n images, each of at most a block's bytes or one image."""
    most = max(1, _BLOCK // max(1, bytes_each))
    step = max(1, -(-n // -(-n // most))) if n else 1
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


class _Workspace:
    """Buffers for some images at a time, kept while as many images come: unfolded windows, one matrix column per
    position.
    """

    def __init__(self, geo: Geometry, lay: _Layout, channels: int, images: int, dtype: Any) -> None:
        self.geo, self.lay, self.images = geo, lay, images
        self.buffer: Any = np.zeros((channels, images, lay.size), dtype)
        self.windows: Any = _windows_in(self.buffer, geo, lay)
        self.inside: Any = _images_in(self.buffer, geo, lay)
        self.columns: Any = None

    def unfold(self, x: Any) -> Any:
        """The windows of images (m, C, *inputs) as a matrix (C x kernel, m x positions)."""
        _copy_rows(self.inside, x)
        if self.columns is None:
            self.columns = np.empty(self.windows.shape, self.buffer.dtype)
        np.copyto(self.columns, self.windows)
        return self.columns.reshape(-1, self.images * self.lay.area)


def _correlate(x: Any, weight: Any, bias: Any, geo: Geometry) -> Any:
    """(N, O, *outputs): the kernels with the windows of x, and the bias."""
    (n, c), o, g = x.shape[:2], weight.shape[0], geo.groups
    dtype = np.result_type(x, weight) if bias is None else np.result_type(x, weight, bias)
    if _is_pointwise(geo):
        y = np.empty((n, o, *geo.outputs), dtype)
        np.matmul(
            weight.reshape(g, o // g, c // g),
            x.reshape(n, g, c // g, prod(geo.inputs)),
            out=y.reshape(n, g, o // g, prod(geo.outputs)),
        )
        return y if bias is None else np.add(y, bias.reshape(-1, *(1,) * len(geo.kernel)), out=y)
    lay = _layout(geo)
    if large(n * o * prod(geo.outputs)):
        found = adapters.conv_correlate(x, weight, bias, geo, lay)
        if found is not None:
            return found
    out = np.empty((n, o, *geo.outputs), dtype)
    kernels = weight.reshape(g, o // g, c // g * prod(geo.kernel))
    space: Any = None
    for images in _batches(n, c * prod(geo.kernel) * lay.area * x.itemsize):
        m = images.stop - images.start
        if space is None or space.images != m:
            space = _Workspace(geo, lay, c, m, x.dtype)
            product = np.empty((g, o // g, m * lay.area), dtype)
        np.matmul(kernels, space.unfold(x[images]).reshape(g, kernels.shape[2], m * lay.area), out=product)
        if bias is not None:
            product += bias.reshape(g, o // g, 1)
        _copy_rows(out[images], _outputs_in(product.reshape(o, m, *lay.positions), geo, lay))
    return out


def _spread(g: Any, weight: Any, geo: Geometry) -> Any:
    """(N, C, *inputs): every element of ``g`` (N, O, *outputs) times its kernel, added up where its window lies."""
    (n, o), groups = g.shape[:2], geo.groups
    rows = weight.shape[1] * prod(geo.kernel)
    c = weight.shape[1] * groups
    dtype = np.result_type(g, weight)
    kernels = np.swapaxes(weight.reshape(groups, o // groups, rows), 1, 2)
    if _is_pointwise(geo):
        dx = np.empty((n, c, *geo.inputs), dtype)
        np.matmul(
            kernels,
            g.reshape(n, groups, o // groups, prod(geo.outputs)),
            out=dx.reshape(n, groups, c // groups, prod(geo.inputs)),
        )
        return dx
    # A run passes over positions that hold zeros, which are NaN times a NaN.
    lay = _layout(geo, runs=finite(weight))
    if large(n * c * prod(geo.inputs)):
        found = adapters.conv_spread(g, weight, geo, lay)
        if found is not None:
            return found
    lay = lay.lengthened()
    # One output channel per group (depthwise) makes an outer product, which BLAS and so matmul are slow at.
    multiply = np.multiply if o == groups else np.matmul
    out = np.empty((n, c, *geo.inputs), dtype)
    upstream: Any = None
    for images in _batches(n, c * prod(geo.kernel) * lay.area * g.itemsize):
        m = images.stop - images.start
        if upstream is None or upstream.shape[1] != m:
            upstream = np.zeros((o, m, *lay.positions), g.dtype)
            columns = np.empty((groups, rows, m * lay.area), dtype)
            total = np.empty((c, m, lay.positions[0] if lay.run else lay.size), dtype)
        _copy_rows(_outputs_in(upstream, geo, lay), g[images])
        multiply(kernels, upstream.reshape(groups, o // groups, m * lay.area), out=columns)
        _fold(columns.reshape(c, *geo.kernel, m, *lay.positions), geo, lay, total)
        _copy_rows(out[images], _images_in(total, geo, lay))
    return out


def _fold(columns: Any, geo: Geometry, lay: _Layout, out: Any) -> None:
    """Windows (C, *kernel, m, *positions) added up where they lie, into a buffer (C, m, size): the transpose of
    unfolding.

    Where positions are one run with zeros at the end, a position of the buffer finds its share of every place in the
    kernel at a fixed distance: the sum is one reduction over a view, which reads every number once and keeps the sums
    in the first-level cache. 1.4 ms instead of 4.8 for 3x3 over 32x16x32x32.
    """
    if lay.run:
        item = columns.itemsize
        shifts = (d * t * item for d, t in zip(geo.dilation, lay.strides, strict=True))
        axes = len(geo.kernel)
        strides = (
            columns.strides[0],
            *(s - shift for s, shift in zip(columns.strides[1 : 1 + axes], shifts, strict=True)),
            *columns.strides[1 + axes :],
        )
        shares = np.lib.stride_tricks.as_strided(columns, columns.shape, strides, writeable=False)
        np.add.reduce(shares, axis=tuple(range(1, 1 + axes)), out=out)
        return
    over = _windows_in(out, geo, lay)
    out.fill(0)
    for place in np.ndindex(geo.kernel):
        over[(slice(None), *place)] += columns[(slice(None), *place)]


def _kernel_gradient(x: Any, g: Any, geo: Geometry, shape: tuple[int, ...]) -> Any:
    """``shape`` (O, C / groups, *kernel): the products of ``g`` (N, O, *outputs) with the windows of x, added up over
    positions and images.
    """
    (n, c), o, groups = x.shape[:2], shape[0], geo.groups
    rows = prod(shape[1:])
    if _is_pointwise(geo):
        flat = g.reshape(n, groups, o // groups, prod(geo.outputs))
        each = np.matmul(flat, np.swapaxes(x.reshape(n, groups, c // groups, prod(geo.inputs)), 2, 3))
        return np.add.reduce(each, axis=0).reshape(shape)
    # As in _spread: the zeros of g between rows meet what lies in x there.
    lay = _layout(geo, runs=finite(x))
    if large(g.size):
        found = adapters.conv_kernel_gradient(x, g, geo, lay, shape)
        if found is not None:
            return found
    # Kernel first: OpenBLAS multiplies a tall matrix by a narrow one faster than the transposes of both (73 against 46
    # Gflop/s).
    total = np.zeros((groups, rows, o // groups), np.result_type(x, g))
    space: Any = None
    for images in _batches(n, c * prod(geo.kernel) * lay.area * x.itemsize):
        m = images.stop - images.start
        if space is None or space.images != m:
            space = _Workspace(geo, lay, c, m, x.dtype)
            upstream: Any = np.zeros((o, m, *lay.positions), g.dtype)
            matrix = upstream.reshape(groups, o // groups, m * lay.area)
        _copy_rows(_outputs_in(upstream, geo, lay), g[images])
        total += np.matmul(space.unfold(x[images]).reshape(groups, rows, m * lay.area), np.swapaxes(matrix, 1, 2))
    return np.swapaxes(total, 1, 2).reshape(shape)


def _plus(out: Any, bias: Any) -> Any:
    """``bias`` (O,) added along the second axis, in place where the dtype allows."""
    if bias is None:
        return out
    column = bias.reshape(-1, *(1,) * (out.ndim - 2))
    return np.add(out, column, out=out if np.result_type(out, bias) == out.dtype else None)


def _sum_per_channel(g: Any) -> Any:
    """Sums over all axes but the second: (O,)."""
    return column_sums(np.add.reduce(g.reshape(*g.shape[:2], prod(g.shape[2:])), axis=2))


def conv_forward(
    x: Any, weight: Any, bias: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> tuple[Any, Any]:
    """Windows unfolded for a few images at a time, then one matrix product for each. Residuals: x, weight, where the
    windows lie.
    """
    _check("conv", bias, weight.shape[0])
    geo = _geometry("conv", x.shape, weight.shape, stride, padding, dilation, groups)
    return _correlate(x, weight, bias, geo), (x, weight, geo)


def conv_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With ``y_nop = b_o + sum_ck w_ock x_nc,q(p,k)`` and ``q(p, k) = p stride + k dilation - padding`` (one group;
    groups do not meet):

    - ``dx_ncq = sum over o and all (p, k) with q(p, k) = q of w_ock g_nop``: (N, C, *inputs); as a matrix product ``W^T
      g`` per image gives the
      gradients of the unfolded windows (C K, positions), which are added up where the windows overlap.
    - ``dw_ock = sum_np g_nop x_nc,q(p,k)``: (O, C, *kernel) = (O, positions) (positions, C K), added up over images.
    - ``db_o = sum_np g_nop``: (O,).
    """
    x, weight, geo = residuals
    dx = _spread(g, weight, geo) if needs[0] else None
    dweight = _kernel_gradient(x, g, geo, weight.shape) if needs[1] else None
    dbias = _sum_per_channel(g) if needs[2] else None
    return dx, dweight, dbias


def _sample_conv(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    axes, groups = draw.integer(1, 2), draw.choice((1, 1, 2))
    n, c, o = draw.integer(1, 2), groups * draw.integer(1, 3 - groups), groups * draw.integer(1, 2)
    kernel = tuple(draw.integer(1, 3 - axis) for axis in range(axes))
    dilation = tuple(draw.choice((1, 1, 2)) for _ in range(axes))
    padding = draw.choice(("valid", tuple(draw.integer(0, 2) for _ in range(axes)), "same"))
    stride = 1 if padding == "same" else tuple(draw.integer(1, 2) for _ in range(axes))
    inputs = tuple(d * (k - 1) + 1 + draw.integer(0, 1) for k, d in zip(kernel, dilation, strict=True))
    bias = draw.array((o,)) if draw.boolean() else None
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (draw.array((n, c, *inputs)), draw.array((o, c // groups, *kernel)), bias), options


conv = fused(conv_composed, _sample_conv, "dx = Wᵀ g, dW = g xᵀ over windows")


# --- transposed convolution -------------------------------------------------------------------------------------------


def conv_transpose_composed(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of :func:`conv` as a linear map of its input, also called fractionally strided or de-convolution.

    Parameters
    ----------
    x : (N, C, L), (N, C, H, W), ...
    weight : (C, O / groups, K), (C, O / groups, KH, KW), ...
        Laid out as for the convolution that is transposed, so the *input* channels come first.
    bias : (O,) or None
    stride, dilation : int or one per spatial axis
    padding : int or one per spatial axis
        The padding of the convolution that is transposed: so much is cut off either side.
    output_padding : int or one per spatial axis
        Lengthens the output at its end, since with a stride several input lengths lead to one output length. Less than
        stride or dilation.
    groups : int

    Returns
    -------
    Tensor
        (N, O, ...), with ``(n - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1`` positions along an axis
        of length n.

    Raises
    ------
    ShapeError, ArgumentError
        If shapes or options do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 1.0]]]), stride=2).data
    array([[[1., 1., 2., 2.]]])
    """
    geo = _transposed(x, weight, bias, stride, padding, output_padding, groups, dilation)
    axes, groups = len(geo.kernel), geo.groups
    (n, c), o = x.shape[:2], weight.shape[1] * groups
    # stride - 1 zeros after every element but the last: each axis is split in two, the second padded, and the two
    # joined again
    split = np.reshape(x, (n, c, *(m for length in geo.outputs for m in (length, 1))))
    filled = np.pad(split, ((0, 0), (0, 0), *(pair for s in geo.stride for pair in ((0, 0), (0, s - 1)))))
    filled = np.reshape(filled, (n, c, *(length * s for length, s in zip(geo.outputs, geo.stride, strict=True))))
    filled = filled[
        (slice(None), slice(None), *(slice((m - 1) * s + 1) for m, s in zip(geo.outputs, geo.stride, strict=True)))
    ]
    # the windows of an output position reach back: a convolution with the kernel turned round and channels exchanged
    reach = tuple(d * (k - 1) for d, k in zip(geo.dilation, geo.kernel, strict=True))
    turned = weight[(slice(None), slice(None), *(slice(None, None, -1),) * axes)]
    turned = np.swapaxes(np.reshape(turned, (groups, c // groups, o // groups, *geo.kernel)), 1, 2)
    rest = tuple(
        p - ((m - 1) * s + r + 1) for p, m, s, r in zip(geo.padded, geo.outputs, geo.stride, reach, strict=True)
    )
    full = np.pad(filled, ((0, 0), (0, 0), *((r, r + e) for r, e in zip(reach, rest, strict=True))))
    y = conv_composed(full, np.reshape(turned, (o, c // groups, *geo.kernel)), dilation=geo.dilation, groups=groups)
    y = y[geo.inside()]
    return y if bias is None else y + np.reshape(bias, (-1, *(1,) * axes))


def _transposed(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any
) -> Geometry:
    """The windows of the convolution that is transposed: its inputs are our outputs."""
    name = "conv_transpose"
    axes = weight.ndim - 2
    if axes < 1 or x.ndim != weight.ndim or x.shape[1] != weight.shape[0]:
        raise ShapeError(
            f"{name}: x of shape {x.shape} with weight of shape {weight.shape}; they need shapes (N, C, ...) and (C, O"
            " / groups, ...)"
        )
    if not isinstance(groups, (int, np.integer)) or groups < 1 or x.shape[1] % groups:
        raise ShapeError(f"{name}: {x.shape[1]} channels do not fall into {groups} groups")
    _check(name, bias, weight.shape[1] * groups)
    steps = per_axis(name, "stride", stride, axes, 1)
    holes = per_axis(name, "dilation", dilation, axes, 1)
    cut = per_axis(name, "padding", padding, axes, 0)
    extra = per_axis(name, "output_padding", output_padding, axes, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, steps, holes, strict=True)):
        raise ArgumentError(f"{name}: output_padding {extra} must be smaller than stride {steps} or dilation {holes}")
    lengths = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(x.shape[2:], steps, cut, holes, weight.shape[2:], extra, strict=True)
    )
    if min(lengths) < 1 or min(x.shape[2:]) < 1 or min(weight.shape[2:]) < 1:
        raise ShapeError(
            f"{name}: x of shape {x.shape} with kernel {weight.shape[2:]} and padding {cut} would have output lengths"
            f" {lengths}"
        )
    return Geometry(lengths, weight.shape[2:], x.shape[2:], steps, cut, cut, holes, int(groups))


def conv_transpose_forward(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> tuple[Any, Any]:
    """The gradient of a convolution's input, with x in the place of the output's gradient. Residuals: x, weight, where
    the windows lie.
    """
    geo = _transposed(x, weight, bias, stride, padding, output_padding, groups, dilation)
    return _plus(_spread(x, weight, geo), bias), (x, weight, geo)


def conv_transpose_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With ``A`` the matrix of the convolution, ``y = A^T x + b``, and ``<x, A u> = sum w_cok x_ncp u_no,q(p,k)`` is
    symmetric in x and u, so

    - ``dx = A g``, the convolution of g: (N, C, *positions of x).
    - ``dw_cok = sum_np x_ncp g_no,q(p,k)``, a convolution's kernel gradient with x and g exchanged: (C, O, *kernel).
    - ``db_o = sum_nq g_noq``: (O,).
    """
    x, weight, geo = residuals
    dx = _correlate(g, weight, None, geo) if needs[0] else None
    dweight = _kernel_gradient(g, x, geo, weight.shape) if needs[1] else None
    dbias = _sum_per_channel(g) if needs[2] else None
    return dx, dweight, dbias


def _sample_transpose(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    axes, groups = draw.integer(1, 2), draw.choice((1, 1, 2))
    n, c, o = draw.integer(1, 2), groups * draw.integer(1, 2), groups * draw.integer(1, 3 - groups)
    kernel = tuple(draw.integer(1, 3 - axis) for axis in range(axes))
    stride, dilation = (tuple(draw.integer(1, 2) for _ in range(axes)) for _ in range(2))
    extra = tuple(draw.integer(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    inputs = tuple(draw.integer(1, 3 - axis) for axis in range(axes))
    spans = [
        (m - 1) * s + d * (k - 1) + e + 1 for m, s, d, k, e in zip(inputs, stride, dilation, kernel, extra, strict=True)
    ]
    padding = tuple(draw.integer(0, min(2, (span - 1) // 2)) for span in spans)
    bias = draw.array((o,)) if draw.boolean() else None
    options = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation}
    return (draw.array((n, c, *inputs)), draw.array((c, o // groups, *kernel)), bias), options


conv_transpose = fused(conv_transpose_composed, _sample_transpose, "dx = W g, dW = x gᵀ over windows")
