"""Convolution and its transpose over any number of axes, with gradients by the same three sums of products.

As everywhere in networks the kernel is not flipped: ``y[n, o, p] = b[o] + sum_{c, k} w[o, c, k] x[n, c, p stride + k dilation - padding]``, with
``p`` a position and ``k`` a place in the kernel, one number for each axis. Three sums therefore serve both operations forward and backward:
the output from input and kernel (:func:`_correlate`), the input's gradient (:func:`_spread`), the kernel's gradient (:func:`_kernel_gradient`).
The transposed convolution is the second of them read forward. Sources: LeCun et al. 1989; Dumoulin and Visin 2016 (arXiv 1603.07285).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from autodiff.errors import ArgumentError, ShapeError
from autodiff.fused.common import column_sums
from autodiff.fused.windows import Geometry, hashable, per_axis, unfolded
from autodiff.primitive import Fused

__all__ = ["conv", "conv_transpose"]

# Unfolded windows are made for so many bytes at a time that they stay in the second-level cache between being written and being multiplied.
_BLOCK = 1 << 20


@lru_cache(maxsize=512)
def _geometry(
    name: str, x: tuple[int, ...], weight: tuple[int, ...], stride: Any, padding: Any, dilation: Any, groups: int
) -> Geometry:
    """The windows of a convolution, everything checked."""
    axes = len(weight) - 2
    if axes < 1 or len(x) != axes + 2:
        raise ShapeError(f"{name}: x of shape {x} with weight of shape {weight}; they need shapes (N, C, ...) and (O, C / groups, ...)")
    steps = per_axis(name, "stride", stride, axes, 1)
    holes = per_axis(name, "dilation", dilation, axes, 1)
    if not isinstance(groups, (int, np.integer)) or groups < 1 or x[1] != weight[1] * groups or weight[0] % groups:
        raise ShapeError(
            f"{name}: x of shape {x} with weight of shape {weight} in {groups} groups; x needs {weight[1]} channels per group, "
            "and the groups must divide the output channels"
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
            f"{name}: a kernel of shape {kernel} with dilation {holes} does not fit into an input of shape {inputs} padded by {before} and {after}"
        )
    outputs = tuple(r // s + 1 for r, s in zip(room, steps, strict=True))
    return Geometry(inputs, kernel, outputs, steps, before, after, holes, int(groups))


def _check(name: str, bias: Any, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        raise ShapeError(f"{name}: bias of shape {bias.shape} for {channels} output channels; it needs shape ({channels},)")


# --- convolution ----------------------------------------------------------------------------------------------------


def conv_composed(x: Any, weight: Any, bias: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
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
        (N, O, ...), with ``floor((n + 2 padding - dilation (k - 1) - 1) / stride) + 1`` positions along an axis of length n.

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
    geo = _geometry("conv", x.shape, weight.shape, hashable(stride), hashable(padding), hashable(dilation), groups)
    axes = len(geo.kernel)
    padded = np.pad(x, ((0, 0), (0, 0), *zip(geo.before, geo.after, strict=True)))
    windows = unfolded(padded, geo)
    g, (n, c), o = geo.groups, x.shape[:2], weight.shape[0]
    windows = np.reshape(windows, (n, g, c // g, *geo.outputs, *geo.kernel))
    kernels = np.reshape(weight, (g, o // g, c // g, *geo.kernel))
    p, k = "pqrs"[:axes], "ijkl"[:axes]
    y = np.reshape(np.einsum(f"ngc{p}{k},goc{k}->ngo{p}", windows, kernels), (n, o, *geo.outputs))
    return y if bias is None else y + np.reshape(bias, (-1, *(1,) * axes))


def _blocks(x: Any, geo: Geometry) -> Iterator[tuple[slice, Any]]:
    """Some images at a time: which, and their unfolded windows (images, groups, C / groups x kernel, positions), in a buffer used again."""
    n, c = x.shape[:2]
    g, area = geo.groups, prod(geo.outputs)
    rows = c // g * prod(geo.kernel)
    if rows == c // g and geo.outputs == geo.inputs and not any(geo.before):
        # A kernel of one element: the input is its own windows.
        yield slice(None), x.reshape(n, g, rows, area)
        return
    step = max(1, min(n, _BLOCK // max(1, g * rows * area * x.itemsize)))
    padded = np.zeros((step, c, *geo.padded), x.dtype) if any(geo.before) or any(geo.after) else None
    inside = geo.inside()
    columns: Any = np.empty((step, c, *geo.kernel, *geo.outputs), x.dtype)
    for start in range(0, n, step):
        images = x[start : start + step]
        m = len(images)
        if padded is not None:
            padded[:m][inside] = images
            images = padded[:m]
        for place, where in geo.places():
            columns[(slice(m), slice(None), *place)] = images[(slice(None), slice(None), *where)]
        yield slice(start, start + m), columns[:m].reshape(m, g, rows, area)


def _correlate(x: Any, weight: Any, geo: Geometry) -> Any:
    """(N, O, *outputs): the kernels with the windows of x."""
    n, o, g = x.shape[0], weight.shape[0], geo.groups
    out = np.empty((n, g, o // g, prod(geo.outputs)), np.result_type(x, weight))
    kernels = weight.reshape(g, o // g, prod(weight.shape[1:]))
    for images, columns in _blocks(x, geo):
        np.matmul(kernels, columns, out=out[images])
    return out.reshape(n, o, *geo.outputs)


def _spread(g: Any, weight: Any, geo: Geometry) -> Any:
    """(N, C, *inputs): every element of ``g`` (N, O, *outputs) times its kernel, added up where its window lies."""
    n, o, groups = g.shape[0], weight.shape[0], geo.groups
    c, area = weight.shape[1] * groups, prod(geo.outputs)
    rows = weight.shape[1] * prod(geo.kernel)
    kernels = np.swapaxes(weight.reshape(groups, o // groups, rows), 1, 2)
    flat = g.reshape(n, groups, o // groups, area)
    dtype = np.result_type(g, weight)
    if rows == weight.shape[1] and geo.outputs == geo.inputs and not any(geo.before):
        return np.matmul(kernels, flat).reshape(n, c, *geo.inputs)
    step = max(1, min(n, _BLOCK // max(1, groups * rows * area * g.itemsize)))
    columns = np.empty((step, groups, rows, area), dtype)
    padded: Any = np.empty((step, c, *geo.padded), dtype)
    inside = geo.inside()
    result = np.empty((n, c, *geo.inputs), dtype)
    for start in range(0, n, step):
        m = min(step, n - start)
        np.matmul(kernels, flat[start : start + m], out=columns[:m])
        windows: Any = columns[:m].reshape(m, c, *geo.kernel, *geo.outputs)
        padded.fill(0)
        for place, where in geo.places():
            padded[(slice(m), slice(None), *where)] += windows[(slice(None), slice(None), *place)]
        result[start : start + m] = padded[:m][inside]
    return result


def _kernel_gradient(x: Any, g: Any, geo: Geometry, shape: tuple[int, ...]) -> Any:
    """``shape`` (O, C / groups, *kernel): the products of ``g`` (N, O, *outputs) with the windows of x, added up over positions and images."""
    n, o, groups = g.shape[0], shape[0], geo.groups
    flat = g.reshape(n, groups, o // groups, prod(geo.outputs))
    total = np.zeros((groups, o // groups, prod(shape[1:])), np.result_type(x, g))
    one = np.empty_like(total)
    for images, columns in _blocks(x, geo):
        for image, windows in zip(flat[images], columns, strict=True):
            total += np.matmul(image, np.swapaxes(windows, 1, 2), out=one)
    return total.reshape(shape)


def _sum_per_channel(g: Any) -> Any:
    """Sums over all axes but the second: (O,)."""
    return column_sums(np.add.reduce(g.reshape(*g.shape[:2], prod(g.shape[2:])), axis=2))


def _plus(out: Any, bias: Any) -> Any:
    """``bias`` (O,) added along the second axis, in place where the dtype allows."""
    if bias is None:
        return out
    column = bias.reshape(-1, *(1,) * (out.ndim - 2))
    if np.result_type(out, bias) != out.dtype:
        return out + column
    out += column
    return out


def conv_forward(
    x: Any, weight: Any, bias: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> tuple[Any, Any]:
    """Windows unfolded for a few images at a time, then one matrix product for each. Residuals: x, weight, where the windows lie."""
    _check("conv", bias, weight.shape[0])
    geo = _geometry("conv", x.shape, weight.shape, hashable(stride), hashable(padding), hashable(dilation), groups)
    return _plus(_correlate(x, weight, geo), bias), (x, weight, geo)


def conv_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With ``y_nop = b_o + sum_ck w_ock x_nc,q(p,k)`` and ``q(p, k) = p stride + k dilation - padding`` (one group; groups do not meet):

    - ``dx_ncq = sum over o and all (p, k) with q(p, k) = q of w_ock g_nop``: (N, C, *inputs); as a matrix product ``W^T g`` per image gives the
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


conv = Fused(
    "conv", composed=conv_composed, forward=conv_forward, backward=conv_backward, sample=_sample_conv,
    formula="dx = Wᵀ g, dW = g xᵀ over windows",
)  # fmt: skip


# --- transposed convolution -------------------------------------------------------------------------------------------


def conv_transpose_composed(
    x: Any, weight: Any, bias: Any = None, *,
    stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
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
        Lengthens the output at its end, since with a stride several input lengths lead to one output length. Less than stride or dilation.
    groups : int

    Returns
    -------
    Tensor
        (N, O, ...), with ``(n - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1`` positions along an axis of length n.

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
    # stride - 1 zeros after every element but the last: each axis is split in two, the second padded, and the two joined again
    split = np.reshape(x, (n, c, *(m for length in geo.outputs for m in (length, 1))))
    filled = np.pad(split, ((0, 0), (0, 0), *(pair for s in geo.stride for pair in ((0, 0), (0, s - 1)))))
    filled = np.reshape(filled, (n, c, *(length * s for length, s in zip(geo.outputs, geo.stride, strict=True))))
    filled = filled[(slice(None), slice(None), *(slice((m - 1) * s + 1) for m, s in zip(geo.outputs, geo.stride, strict=True)))]
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
        raise ShapeError(f"{name}: x of shape {x.shape} with weight of shape {weight.shape}; they need shapes (N, C, ...) and (C, O / groups, ...)")
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
    if min(lengths) < 1 or min(x.shape[2:]) < 1:
        raise ShapeError(f"{name}: x of shape {x.shape} with kernel {weight.shape[2:]} and padding {cut} would have output lengths {lengths}")
    return Geometry(lengths, weight.shape[2:], x.shape[2:], steps, cut, cut, holes, int(groups))


def conv_transpose_forward(
    x: Any, weight: Any, bias: Any = None, *,
    stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> tuple[Any, Any]:  # fmt: skip
    """The gradient of a convolution's input, with x in the place of the output's gradient. Residuals: x, weight, where the windows lie."""
    geo = _transposed(x, weight, bias, stride, padding, output_padding, groups, dilation)
    return _plus(_spread(x, weight, geo), bias), (x, weight, geo)


def conv_transpose_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With ``A`` the matrix of the convolution, ``y = A^T x + b``, and ``<x, A u> = sum w_cok x_ncp u_no,q(p,k)`` is symmetric in x and u, so

    - ``dx = A g``, the convolution of g: (N, C, *positions of x).
    - ``dw_cok = sum_np x_ncp g_no,q(p,k)``, a convolution's kernel gradient with x and g exchanged: (C, O, *kernel).
    - ``db_o = sum_nq g_noq``: (O,).
    """
    x, weight, geo = residuals
    dx = _correlate(g, weight, geo) if needs[0] else None
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
    spans = [(m - 1) * s + d * (k - 1) + e + 1 for m, s, d, k, e in zip(inputs, stride, dilation, kernel, extra, strict=True)]
    padding = tuple(draw.integer(0, min(2, (span - 1) // 2)) for span in spans)
    bias = draw.array((o,)) if draw.boolean() else None
    options = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation}
    return (draw.array((n, c, *inputs)), draw.array((c, o // groups, *kernel)), bias), options


conv_transpose = Fused(
    "conv_transpose", composed=conv_transpose_composed, forward=conv_transpose_forward, backward=conv_transpose_backward,
    sample=_sample_transpose, formula="dx = W g, dW = x gᵀ over windows",
)  # fmt: skip
