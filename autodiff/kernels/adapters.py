"""What stands between fused operations and the compiled kernels: the same arguments and results as a fused forward and
backward.

A ``..._forward`` here gives None for whatever its kernel is not made for, wrong shapes included: then NumPy's forward
computes it or says what is wrong. Results are made in the shape in which they are returned, and kernels given views of
them: a gradient that is a view is copied by the engine, since somebody might hold what it is a view of. Residuals come
as :class:`~autodiff.kernels.Kept`, by which :func:`~autodiff.kernels.either` knows whose backward they are for.
"""

from __future__ import annotations

import sys
from functools import lru_cache, partial
from math import prod
from operator import mul
from typing import Any, NamedTuple

import numpy as np

from autodiff.fast.thresholds import THRESHOLDS
from autodiff.kernels import Kept, optional, ready, run


def _or(vector: Any, value: float, like: Any, shape: tuple[int, ...]) -> Any:
    return np.full(shape, value, like.dtype) if vector is None else vector


@lru_cache(maxsize=256)
def _number(value: float, dtype: Any) -> Any:
    """A number as the scalar of a dtype, which takes longer to make than to look up."""
    return dtype.type(value)


def _fit(g: Any, dtype: Any) -> Any:
    """A gradient as kernels take it; np.require asks the same in 9 us."""
    return g if g.dtype == dtype and g.flags.carray else np.require(g, dtype, ("C", "W"))


def _gradient(g: Any, like: Any) -> Any:
    return _shaped(_fit(g, like.dtype), like.shape)


def _shaped(x: Any, shape: tuple[int, ...]) -> Any:
    """``x.reshape(shape)``, or x where it has the shape, as it does in most networks."""
    return x if x.shape == shape else x.reshape(shape)


def _total(parts: Any) -> Any:
    """The sum of what every share added up; of one share, as it is."""
    return parts[0] if len(parts) == 1 else np.add.reduce(parts)


# --- layer normalisation ----------------------------------------------------------------------------------------------


def layer_norm_forward(x: Any, weight: Any = None, bias: Any = None, *, ndim: int = 1, eps: float = 1e-5) -> Any:
    """Residuals: rows (R, n), weight (n,), mean and scale (R,), x's shape, w's shape."""
    shape, dtype = x.shape, x.dtype
    inner = shape[len(shape) - ndim :]
    if (
        not 1 <= ndim <= len(shape)
        or not eps >= 0
        or not ready(x, weight, bias)
        or not inner == _shape(weight, inner) == _shape(bias, inner)
    ):
        return None
    n = prod(inner)
    count, line = x.size // n, (n,)
    rows, flat, out = _shaped(x, (count, n)), _shaped(_or(weight, 1.0, x, inner), line), np.empty(shape, dtype)
    mean, scale = np.empty(count, dtype), np.empty(count, dtype)
    arrays = (rows, flat, _shaped(_or(bias, 0.0, x, inner), line), _shaped(out, rows.shape), mean, scale)
    run("layer_norm_forward", count, x.size, *arrays, _number(1 / n, dtype), _number(eps, dtype))
    return out, Kept((rows, flat, mean, scale, shape, inner))


def _shape(vector: Any, usual: tuple[int, ...]) -> Any:
    return usual if vector is None else vector.shape


def layer_norm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Every share of the rows adds up its own ``dw`` and ``db``; they are added at the end."""
    rows, weight, mean, scale, shape, inner = residuals
    dtype, (count, n) = rows.dtype, rows.shape
    dx = np.empty(shape, dtype)
    sums = lambda: (np.zeros(n, dtype), np.zeros(n, dtype))
    arrays = (_gradient(g, rows), rows, weight, mean, scale, _shaped(dx, rows.shape))
    ((dweights, dbiases),) = run("layer_norm_backward", count, rows.size, *arrays, _number(1 / n, dtype), partial=sums)
    return dx, _shaped(_total(dweights), inner), _shaped(_total(dbiases), inner)


# --- batch normalisation ----------------------------------------------------------------------------------------------


def batch_norm_forward(x: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5) -> Any:
    """Residuals: x (x's shape), ``s`` and a weight always (C,), and the mean and biased variance (C,), which stand
    where NumPy's forward has them.
    """
    shape, dtype = x.shape, x.dtype
    line = shape[1:2]
    if (
        not line
        or not eps >= 0
        or not ready(x, weight, bias)
        or not line == _shape(weight, line) == _shape(bias, line)
        or x.size < 2 * shape[1]
    ):
        return None
    channels = shape[1]
    shaped, name = _channels(x)
    scale, mean, variance = np.empty(channels, dtype), np.empty(channels, dtype), np.empty(channels, dtype)
    out = np.empty(shape, dtype)
    weight, bias = _or(weight, 1.0, x, line), _or(bias, 0.0, x, line)
    arrays = (shaped, weight, bias, _shaped(out, shaped.shape), mean, variance, scale)
    run(name + "_forward", channels, x.size, *arrays, _number(channels / x.size, dtype), _number(eps, dtype))
    return out, Kept((x, scale, weight, mean, variance))


def _channels(x: Any) -> tuple[Any, str]:
    """x as the kernels take it, and their name: columns of a matrix, or channels of planes."""
    shape = x.shape
    if len(shape) == 2:
        return x, "batch_norm_columns"
    if x.size == shape[0] * shape[1]:
        return x.reshape(shape[:2]), "batch_norm_columns"
    return x.reshape(*shape[:2], prod(shape[2:])), "batch_norm_planes"


def batch_norm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """The simplified form of the NumPy backward, with ``xhat`` computed anew from x, which spares an array."""
    x, scale, weight, mean, _ = residuals
    shaped, name = _channels(x)
    channels, dtype = len(scale), x.dtype
    dx, dweight, dbias = np.empty(x.shape, dtype), np.empty(channels, dtype), np.empty(channels, dtype)
    arrays = (_gradient(g, shaped), shaped, weight, mean, scale, _shaped(dx, shaped.shape), dweight, dbias)
    run(name + "_backward", channels, x.size, *arrays, _number(channels / x.size, dtype))
    return dx, dweight, dbias


# --- softmax cross-entropy --------------------------------------------------------------------------------------------


def cross_entropy_forward(
    logits: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """For float32 scores (N, C) and class indices, without weights or ignored ones. Residuals: the scores, their row
    maxima and sums of exponentials, target, scale."""
    if (
        weight is not None
        or label_smoothing
        or reduction not in ("none", "mean", "sum")
        or not ready(logits, only=np.float32)
    ):
        return None
    if logits.ndim != 2 or target.dtype.kind not in "iu" or target.shape != logits.shape[:1]:
        return None
    n, classes = logits.shape
    if target.min() < 0 or target.max() >= classes or (0 <= ignore_index < classes and (target == ignore_index).any()):
        return None
    flat = np.ascontiguousarray(target, np.int64)
    most, total, losses = (np.empty(n, np.float32) for _ in range(3))
    run("cross_entropy_forward", n, logits.size, logits, flat, most, total, losses)
    scale = np.float32(1 / n if reduction == "mean" else 1)
    return losses if reduction == "none" else losses.sum() * scale, Kept((logits, flat, most, total, scale))


def cross_entropy_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``softmax - onehot`` times every example's part of g, in one pass."""
    logits, target, most, total, scale = residuals
    each = np.empty(len(logits), np.float32)
    np.multiply(g, scale, out=each)
    dx = np.empty_like(logits)
    run("cross_entropy_backward", len(logits), logits.size, logits, target, most, total, each, dx)
    return dx, None, None


# --- GELU -------------------------------------------------------------------------------------------------------------


def gelu_forward(x: Any) -> Any:
    """For float32. Residual: the derivative at x."""
    if not ready(x, only=np.float32):
        return None
    out, slope = np.empty_like(x), np.empty_like(x)
    run("gelu_forward", x.size, x.size, x.reshape(-1), out.reshape(-1), slope.reshape(-1))
    return out, Kept((slope,))


def gelu_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``dx = g (Phi(x) + x p(x))``."""
    return (g * residuals[0],)


def gelu_tanh_forward(x: Any) -> Any:
    """For float32. Residual: x."""
    if not ready(x, only=np.float32):
        return None
    out = np.empty_like(x)
    run("gelu_tanh_forward", x.size, x.size, x.reshape(-1), out.reshape(-1))
    return out, Kept((x,))


def gelu_tanh_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``dx = g (s + 2 s (1 - s) x u')``, the sigmoid taken anew: it costs less than an array to keep it in."""
    (x,) = residuals
    dx = np.empty_like(x)
    run("gelu_tanh_backward", x.size, x.size, _gradient(g, x).reshape(-1), x.reshape(-1), dx.reshape(-1))
    return (dx,)


# --- masks ------------------------------------------------------------------------------------------------------------


def dropout_forward(x: Any, mask: Any, *, p: float = 0.5) -> Any:
    """Residuals: the mask as flat integers and the scale."""
    if mask.shape != x.shape or mask.dtype != bool or not mask.flags.c_contiguous or not ready(x):
        return None
    kept, scale = mask.reshape(-1).view(np.uint8), _number(1 / (1 - p) if p < 1 else 0.0, x.dtype)
    return _dropped(x, kept, scale), Kept((kept, scale))


def _dropped(x: Any, kept: Any, scale: Any) -> Any:
    out = np.empty(x.shape, x.dtype)
    run("dropout", x.size, x.size, x.reshape(-1), kept, scale, out.reshape(-1))
    return out


def dropout_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``dx = g mask / (1 - p)``."""
    kept, scale = residuals
    return _dropped(_fit(g, scale.dtype), kept, scale), None


@optional
def masked(g: Any, mask: Any) -> Any:
    """What :func:`autodiff.fused.common.masked` does, in one pass; None if there is no kernel for it."""
    if not ready(g) or mask.shape != g.shape or not mask.flags.c_contiguous:
        return None
    out = np.empty_like(g)
    bits = np.uint32 if g.itemsize == 4 else np.uint64
    run("masked", g.size, g.size, g.reshape(-1).view(bits), mask.reshape(-1).view(np.uint8), out.reshape(-1).view(bits))
    return out


# --- max pooling ------------------------------------------------------------------------------------------------------


@optional
def max_pool_forward(x: Any, geo: Any) -> Any:
    """For one and two spatial axes and windows of at most 256 places. Residuals: which place in its window every
    maximum is, where windows lie.
    """
    if len(geo.inputs) > 2 or prod(geo.kernel) > 256 or not ready(x):
        return None
    planes, out = _planes(x, geo.inputs), np.empty((*x.shape[:2], *geo.outputs), x.dtype)
    first = np.empty(out.shape, np.uint8)
    to, at = _planes(out, geo.outputs), _planes(first, geo.outputs)
    if geo.halves:
        run("max_pool_halving_forward", len(planes), x.size, planes, to, at)
    else:
        lowest = x.dtype.type(-np.inf)
        run("max_pool_forward", len(planes), out.size * prod(geo.kernel), planes, to, at, *_of_planes(geo), lowest)
    kept = Kept((first, geo))
    kept.again = partial(_same, (first, geo))
    return out, kept


def _same(residuals: Any) -> Any:
    """NumPy's result with the kernel's residuals, where they are the same as NumPy's."""
    return None, residuals


def _planes(x: Any, spatial: tuple[int, ...]) -> Any:
    """(N, C, L) or (N, C, H, W) as planes (N C, H, W); a line is a plane of one row."""
    return x.reshape(x.shape[0] * x.shape[1], *(1,) * (2 - len(spatial)), *spatial)


def _of_planes(geo: Any) -> tuple[tuple[int, ...], ...]:
    """Kernel, stride, padding and dilation for planes."""
    more = 2 - len(geo.inputs)
    return (
        *(((1,) * more + option) for option in (geo.kernel, geo.stride)),
        (0,) * more + geo.before,
        (1,) * more + geo.dilation,
    )


def max_pool_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Every ``g`` where its maximum stood, added up where windows overlap."""
    first, geo = residuals
    g = _fit(g, g.dtype)
    dx = np.empty((*g.shape[:2], *geo.inputs), g.dtype)
    up, at = _planes(g, geo.outputs), _planes(first, geo.outputs)
    if g.dtype == np.float32 and sys.byteorder == "little" and geo.halves:
        pairs = dx.view(np.uint64).reshape(*up.shape[:2], 2, up.shape[2])
        run("max_pool_halving_backward", len(up), dx.size, up.view(np.uint32), at, pairs)
    else:
        run("max_pool_backward", len(up), dx.size, up, at, _planes(dx, geo.inputs), *_of_planes(geo))
    return (dx,)


# --- convolution ------------------------------------------------------------------------------------------------------

# So many elements of input and output are worked on at a time: small images together, so that there is less beside
# their rows.
_AT_ONCE = THRESHOLDS["IMAGES"].value


class _Plan(NamedTuple):
    """What :func:`autodiff.kernels.windows.correlate` wants to know of places, under its names."""

    offsets: Any
    taken: Any
    given: Any
    size: int
    span: int
    reach: int


# A cached function makes its arrays itself: by that a recording (autodiff.compile) knows that they last.


@lru_cache(maxsize=256)
def _gathering(geo: Any, lay: Any, channels: int) -> _Plan:
    """Outputs from the windows of inputs: a kernel's place lies a fixed distance after its window's."""
    inputs, outputs, places = _places(geo, lay)
    offsets = [c * lay.size + place for c in range(channels) for place in places]
    return _Plan(np.array(offsets), np.array(inputs), np.array(outputs), lay.size, lay.positions[0], places[-1])


@lru_cache(maxsize=256)
def _spreading(geo: Any, lay: Any, channels: int) -> _Plan:
    """Inputs from the outputs whose windows they lie in: a window's position lies as far before the input as the
    kernel's place after it. Zeros stand before the first and after the last position, to read where there is no
    window."""
    inputs, outputs, places = _places(geo, lay)
    farthest, begin = places[-1], inputs[0]
    span = inputs[-1] - begin + geo.inputs[-1]
    size = farthest + max(lay.positions[0], begin + span)
    offsets = [c * size + farthest + begin - place for c in range(channels) for place in places]
    taken, given = [farthest + row for row in outputs], [row - begin for row in inputs]
    return _Plan(np.array(offsets), np.array(taken), np.array(given), size, span, farthest + begin)


def _places(geo: Any, lay: Any) -> tuple[list[int], list[int], list[int]]:
    """Where in a channel of a padded image its rows begin, at what position rows of outputs begin, and how far on the
    kernel's places lie.
    """

    def starts(lengths: tuple[int, ...], steps: tuple[int, ...]) -> list[int]:
        return [sum(map(mul, place, steps)) for place in np.ndindex(*lengths)]

    first = lay.front + geo.before[0] * lay.strides[0]
    along = tuple(d * s for d, s in zip(geo.dilation, lay.strides, strict=True))
    return (
        [first + row for row in starts(geo.inputs[:-1], lay.strides)],
        starts(geo.outputs[:-1], lay.strides),
        starts(geo.kernel, along),
    )


def _as_rows(x: Any) -> Any:
    """(N, C, ..., length) as (N, C, rows, length)."""
    return x.reshape(*x.shape[:2], prod(x.shape[2:-1]), x.shape[-1])


def _images(plan: _Plan, channels: int) -> int:
    return max(1, _AT_ONCE // (plan.size * channels))


@optional
def conv_correlate(x: Any, weight: Any, bias: Any, geo: Any, lay: Any) -> Any:
    """The kernels with the windows of x, and the bias: (N, O, *outputs). Only where all positions are one run."""
    if not lay.run or not ready(x, weight, bias):
        return None
    o, groups = weight.shape[0], geo.groups
    plan = _gathering(geo, lay, x.shape[1] // groups)
    out = np.empty((len(x), o, *geo.outputs), x.dtype)
    flat = weight.reshape(groups, o // groups, plan.offsets.size)
    work, images = out.size * plan.offsets.size, _images(plan, x.shape[1] + o)
    run("correlate", len(x), work, _as_rows(x), flat, _or(bias, 0.0, x, (o,)), _as_rows(out), *plan, images)
    return out


@optional
def conv_spread(g: Any, weight: Any, geo: Any, lay: Any) -> Any:
    """Every element of g times its kernel, added up where its window lies: (N, C, *inputs). Seen from the input it is a
    correlation.
    """
    if not lay.run or not ready(g, weight):
        return None
    o, groups, each = weight.shape[0], geo.groups, weight.shape[1]
    plan = _spreading(geo, lay, o // groups)
    out = np.empty((len(g), each * groups, *geo.inputs), g.dtype)
    turned = np.swapaxes(weight.reshape(groups, o // groups, each, prod(geo.kernel)), 1, 2)
    flat = np.ascontiguousarray(turned.reshape(groups, each, plan.offsets.size))
    work, images = out.size * plan.offsets.size, _images(plan, out.shape[1] + o)
    arrays = (_as_rows(g), flat, np.zeros(out.shape[1], g.dtype), _as_rows(out))
    run("correlate", len(g), work, *arrays, *plan, images)
    return out


@optional
def conv_kernel_gradient(x: Any, g: Any, geo: Any, lay: Any, shape: tuple[int, ...]) -> Any:
    """The products of g with the windows of x, added up over positions and images: ``shape`` (O, C / groups,
    *kernel).
    """
    if not lay.run or not ready(x, g):
        return None
    from autodiff.kernels.tiles import SUM_COLUMNS, SUM_ROWS

    groups, each, count = geo.groups, shape[0] // geo.groups, prod(shape[1:])
    plan = _gathering(geo, lay, shape[1])
    rows = 1 if each == 1 else -(-each // SUM_ROWS) * SUM_ROWS
    columns = -(-count // SUM_COLUMNS) * SUM_COLUMNS
    sums, images = lambda: (np.zeros((groups, rows, columns), x.dtype),), _images(plan, x.shape[1] + shape[0])
    arrays = (_as_rows(x), _as_rows(g))
    ((totals,),) = run("kernel_gradient", len(x), g.size * count, *arrays, *plan, images, groups, partial=sums)
    return np.add.reduce(totals)[:, :each, :count].reshape(shape)
