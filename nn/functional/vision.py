"""Pictures: resizing, rearranging pixels, windows as columns, sampling at a grid of points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import floor, inf, prod
from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.arguments import whole
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.fused.windows import per_axis
from nn.functional.common import as_input, as_real, as_tensor
from nn.functional.convolution import conv_transpose2d
from nn.functional.padding import pad
from nn.functional.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

__all__ = [
    "affine_grid",
    "channel_shuffle",
    "fold",
    "grid_sample",
    "interpolate",
    "pixel_shuffle",
    "pixel_unshuffle",
    "unfold",
]

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


def each(name: str, what: str, value: Any, axes: int) -> tuple[Any, ...]:
    """One value for each axis, of one or of several.

    Raises
    ------
    ArgumentError
        If there are several, and not one for each axis.
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(values) != axes:
        raise ArgumentError(f"{name}: {what}={value!r} for {axes} axes; give one number, or one for each axis")
    return values


# --- resizing


def _keys(a: float) -> tuple[Any, Any]:
    """Keys's kernel (1981) at distances up to 1, and from there up to 2."""

    def near(d: Any) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Any) -> Any:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return near, far


def _cubic(t: Any) -> list[Any]:
    """Keys's kernel with a = -0.75 at the distances 1 + t, t, 1 - t and 2 - t."""
    near, far = _keys(-0.75)
    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


def _resized(x: Any, axis: int, size: int, scale: float, mode: str, align: bool) -> Any:
    """One axis in another length: a weighted sum of the elements at a few positions."""
    length, places = x.shape[axis], np.arange(size)
    if mode.startswith("nearest"):
        # PyTorch takes the position in single precision.
        middle = np.float32(0.5 if mode == "nearest-exact" else 0.0)
        at = np.floor((places.astype(np.float32) + middle) * np.float32(scale)).astype(int)
        return np.take(x, np.minimum(at, length - 1), axis)
    if align:
        at = places * ((length - 1) / (size - 1) if size > 1 else 0.0)
    else:
        at = (places + 0.5) * scale - 0.5
    if mode != "bicubic":
        at = np.clip(at, 0, length - 1)
    first = np.floor(at).astype(int)
    t = at - first
    weights, start = (_cubic(t), -1) if mode == "bicubic" else ([1 - t, t], 0)
    shape = [1] * x.ndim
    shape[axis] = size
    parts = [
        np.take(x, np.clip(first + start + k, 0, length - 1), axis) * weight.astype(x.dtype).reshape(shape)
        for k, weight in enumerate(weights)
    ]
    return sum(parts[1:], parts[0])


def _smoothed(x: Any, axis: int, size: int, scale: float, mode: str) -> Any:
    """One axis in another length, the kernel as wide as an output element: no finer pattern is left to alias.

    PyTorch takes Keys's kernel with a = -0.5 here, as Pillow does.
    """
    length, stretch, reach = x.shape[axis], max(scale, 1.0), 2.0 if mode == "bicubic" else 1.0
    middles = scale * (np.arange(size) + 0.5)
    first = np.maximum(np.trunc(middles - reach * stretch + 0.5), 0)
    last = np.minimum(np.trunc(middles + reach * stretch + 0.5), length)
    places = np.arange(length)
    d = np.abs(places + 0.5 - middles[:, None]) / stretch
    near, far = _keys(-0.5)
    weights = np.where(d < 1, near(d), np.where(d < 2, far(d), 0.0)) if reach == 2 else np.maximum(1 - d, 0.0)
    weights *= (places >= first[:, None]) & (places < last[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    return np.moveaxis(np.moveaxis(x, axis, -1) @ weights.T.astype(x.dtype), -1, axis)


def interpolate(
    input: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """An input in another size.

    Parameters
    ----------
    input : (N, C, L), (N, C, H, W) or (N, C, D, H, W)
    size : int or one per axis
        Of the output; or
    scale_factor : float or one per axis
        How many times the input's, rounded down.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"}
        "linear" for one axis, "bilinear" and "bicubic" for two, "trilinear" for three.
    align_corners : bool, optional
        Of the linear modes and "bicubic": the first and the last elements, rather than the edges, keep their places.
    recompute_scale_factor : bool, optional
        Take the scale from the sizes, rather than ``scale_factor``.
    antialias : bool
        For "bilinear" and "bicubic": a smaller output is made of means over what it leaves out.

    Returns
    -------
    Tensor, (N, C, ...)

    Raises
    ------
    ArgumentError, ShapeError
        If the mode does not fit the axes, or not one of ``size`` and ``scale_factor`` is given.

    Examples
    --------
    >>> interpolate([[[1.0, 3.0]]], scale_factor=2, mode="linear").data
    array([[[1. , 1.5, 2.5, 3. ]]])
    """
    x: Any = as_tensor(input)
    axes = x.ndim - 2
    if axes not in _LINEAR:
        raise ShapeError(f"interpolate: input of shape {x.shape}; it needs (N, C) and one to three axes more")
    if mode not in ("nearest", "nearest-exact", "area", _LINEAR[axes]) and not (mode == "bicubic" and axes == 2):
        raise ArgumentError(f"interpolate: mode {mode!r} is not one for {axes} axes; linear is {_LINEAR[axes]!r} there")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError(f"interpolate: antialias=True goes with 'bilinear' and 'bicubic', got mode={mode!r}")
    if align_corners is not None and (mode.startswith("nearest") or mode == "area"):
        raise ArgumentError(f"interpolate: align_corners says nothing in mode {mode!r}; leave it out")
    if (size is None) == (scale_factor is None):
        raise ArgumentError("interpolate: give size or scale_factor, one of the two")
    if recompute_scale_factor and size is not None:
        raise ArgumentError("interpolate: recompute_scale_factor says nothing beside size; leave it out")
    lengths = x.shape[2:]
    if size is not None:
        sizes = each("interpolate", "size", size, axes)
        scales = []
    else:
        factors = each("interpolate", "scale_factor", scale_factor, axes)
        if not all(0 < factor < inf for factor in factors):
            raise ArgumentError(f"interpolate: scale_factor must be positive and finite, got {scale_factor!r}")
        sizes = tuple(floor(length * factor) for length, factor in zip(lengths, factors, strict=True))
        scales = [] if recompute_scale_factor else [1 / factor for factor in factors]
    if not all(map(whole, sizes)) or min(*sizes, *lengths) < 1:
        raise ArgumentError(f"interpolate: lengths {lengths} cannot become {sizes}; all are positive integers")
    scales = scales or [length / n for length, n in zip(lengths, sizes, strict=True)]
    if mode == "area":
        return _AREA[axes](x, sizes)  # type: ignore[no-any-return]
    for axis, (n, scale) in enumerate(zip(sizes, scales, strict=True), start=2):
        if antialias:
            aligned = (lengths[axis - 2] - 1) / (n - 1) if n > 1 else 0.0
            x = _smoothed(x, axis, n, aligned if align_corners else scale, mode)
        else:
            x = _resized(x, axis, n, scale, mode, bool(align_corners))
    return x  # type: ignore[no-any-return]


# --- rearranging


def _grouped(name: str, x: Any, axes: int, what: str, parts: int) -> None:
    if x.ndim < axes:
        raise ShapeError(f"{name}: input of shape {x.shape}; it needs {axes} axes at least")
    if not whole(parts) or parts < 1 or x.shape[-3] % parts:
        raise ShapeError(f"{name}: {what} does not divide {x.shape[-3]} channels of an input of shape {x.shape}")


def pixel_shuffle(input: Any, upscale_factor: int) -> Tensor:
    """Channels become pixels: (..., C r², H, W) to (..., C, H r, W r) (Shi et al. 2016, arXiv 1609.05158).

    Raises
    ------
    ShapeError
        If r² does not divide the channels.

    Examples
    --------
    >>> pixel_shuffle(np.arange(4.0).reshape(1, 4, 1, 1), 2).data
    array([[[[0., 1.],
             [2., 3.]]]])
    """
    x, r = as_tensor(input), upscale_factor
    _grouped("pixel_shuffle", x, 3, f"upscale_factor={r} squared", r * r)
    *lead, c, h, w = x.shape
    k = len(lead)
    parts = x.reshape(*lead, c // (r * r), r, r, h, w)
    return parts.transpose(*range(k), k, k + 3, k + 1, k + 4, k + 2).reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Any, downscale_factor: int) -> Tensor:
    """Pixels become channels: (..., C, H r, W r) to (..., C r², H, W), the inverse of :func:`pixel_shuffle`.

    Raises
    ------
    ShapeError
        If r does not divide the height and the width.

    Examples
    --------
    >>> pixel_unshuffle(np.arange(4.0).reshape(1, 1, 2, 2), 2).shape
    (1, 4, 1, 1)
    """
    x, r = as_tensor(input), downscale_factor
    if x.ndim < 3 or not whole(r) or r < 1 or x.shape[-1] % r or x.shape[-2] % r:
        raise ShapeError(f"pixel_unshuffle: downscale_factor={r} does not divide the pixels of shape {x.shape}")
    *lead, c, h, w = x.shape
    k = len(lead)
    parts = x.reshape(*lead, c, h // r, r, w // r, r)
    return parts.transpose(*range(k), k, k + 2, k + 4, k + 1, k + 3).reshape(*lead, c * r * r, h // r, w // r)


def channel_shuffle(input: Any, groups: int) -> Tensor:
    """The channels of ``groups`` groups, interleaved (Zhang et al. 2018, arXiv 1707.01083).

    Raises
    ------
    ShapeError
        If ``groups`` does not divide the channels.

    Examples
    --------
    >>> channel_shuffle(np.arange(4.0).reshape(1, 4, 1), 2).data.ravel()
    array([0., 2., 1., 3.])
    """
    x = as_tensor(input)
    if x.ndim < 3 or not whole(groups) or groups < 1 or x.shape[1] % groups:
        raise ShapeError(f"channel_shuffle: groups={groups} does not divide the channels of shape {x.shape}")
    n, c, *rest = x.shape
    return x.reshape(n, groups, c // groups, *rest).swapaxes(1, 2).reshape(x.shape)


# --- windows as columns


def _windows(name: str, **options: Any) -> list[tuple[int, ...]]:
    """Options of windows in a picture, each as two integers."""
    return [per_axis(name, what, value, 2, 0 if what == "padding" else 1) for what, value in options.items()]


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Every window of a picture as a column, also called im2col.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    kernel_size, dilation, padding, stride : int or one per axis

    Returns
    -------
    Tensor, (N, C kh kw, windows)

    Raises
    ------
    ShapeError, ArgumentError
        If the input has other axes, no window fits, or an option is no such thing.

    Examples
    --------
    >>> unfold(np.ones((1, 2, 4, 4)), 3).shape
    (1, 18, 4)
    """
    x = as_tensor(input)
    if x.ndim not in (3, 4):
        raise ShapeError(f"unfold: input of shape {x.shape}; it needs (N, C, H, W) or (C, H, W)")
    lead = x.shape[:-2]
    k, d, p, s = _windows("unfold", kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)
    if any(p):
        x = pad(x, (p[1], p[1], p[0], p[0]))
    span = tuple(d[i] * (k[i] - 1) + 1 for i in (0, 1))
    if span[0] > x.shape[-2] or span[1] > x.shape[-1]:
        raise ShapeError(f"unfold: a window of {span} does not fit into {x.shape[-2:]}, padding included")
    windows = np.lib.stride_tricks.sliding_window_view(x, span, axis=(-2, -1))  # type: ignore[call-overload]
    windows = windows[..., :: s[0], :: s[1], :: d[0], :: d[1]]
    n = len(lead)
    columns = windows.transpose(*range(n), n + 2, n + 3, n, n + 1)
    return columns.reshape(*lead[:-1], lead[-1] * k[0] * k[1], prod(windows.shape[n : n + 2]))  # type: ignore[return-value]


def fold(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Columns back as windows of a picture, added up where they overlap: the transpose of :func:`unfold`.

    It is a transposed convolution whose kernels each hold a single one.

    Parameters
    ----------
    input : (N, C kh kw, windows) or (C kh kw, windows)
    output_size : int or one per axis
    kernel_size, dilation, padding, stride : int or one per axis

    Returns
    -------
    Tensor, (N, C, *output_size)

    Raises
    ------
    ShapeError, ArgumentError
        If the columns or their number do not fit, or an option is no such thing.

    Examples
    --------
    >>> fold(unfold(np.ones((1, 1, 3, 3)), 2), 3, 2).data
    array([[[[1., 2., 1.],
             [2., 4., 2.],
             [1., 2., 1.]]]])
    """
    x = as_tensor(input)
    k, d, p, s = _windows("fold", kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)
    (size,) = _windows("fold", output_size=output_size)
    room = [size[i] + 2 * p[i] - d[i] * (k[i] - 1) - 1 for i in (0, 1)]
    counts = tuple(room[i] // s[i] + 1 for i in (0, 1))
    if x.ndim not in (2, 3) or x.shape[-2] % prod(k) or x.shape[-1] != prod(counts):
        raise ShapeError(
            f"fold: input of shape {x.shape}; it needs (N, C {prod(k)}, {prod(counts)}) for {counts} windows of {k}"
        )
    channels = x.shape[-2] // prod(k)
    single = np.eye(prod(k), dtype=x.dtype).reshape(prod(k), 1, *k)
    spread = conv_transpose2d(
        x.reshape(*x.shape[:-1], *counts), np.tile(single, (channels, 1, 1, 1)), stride=s, dilation=d, groups=channels
    )
    missing = [size[i] + 2 * p[i] - spread.shape[i - 2] for i in (0, 1)]
    spread = pad(spread, (0, missing[1], 0, missing[0]))
    return spread[..., p[0] : p[0] + size[0], p[1] : p[1] + size[1]]


# --- sampling


def _reflected(at: Any, low: float, high: float) -> Any:
    """Positions thrown back from both ends until they lie between them."""
    span = high - low
    if span == 0:
        return at * 0 + low
    distance = np.abs(at - low)
    turns = np.floor(distance._array / span)
    rest = distance - turns * span
    return np.where(turns % 2 == 0, rest, span - rest) + low


def _position(grid: Any, length: int, align: bool) -> Any:
    """From [-1, 1] to positions along an axis."""
    return (grid + 1) * ((length - 1) / 2) if align else ((grid + 1) * length - 1) / 2


def _brought_in(at: Any, length: int, padding_mode: str, align: bool) -> Any:
    """Positions outside of an axis brought in as ``padding_mode`` says."""
    if padding_mode == "reflection":
        at = _reflected(at, 0, length - 1) if align else _reflected(at, -0.5, length - 0.5)
    return at if padding_mode == "zeros" else np.clip(at, 0, length - 1)


def _places(at: Any, length: int) -> Any:
    """Positions as integers; all that lie far outside of an axis, and NaN, are next to it."""
    return np.clip(np.where(np.isnan(at), -2, at), -2, length + 1).astype(int)


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """An input read at positions between its elements, differentiable in both (Jaderberg et al. 2015, arXiv
    1506.02025).

    Parameters
    ----------
    input : (N, C, H, W) or (N, C, D, H, W)
    grid : (N, h, w, 2) or (N, d, h, w, 3)
        Positions x, y (and z) from -1 at one edge to 1 at the other.
    mode : {"bilinear", "nearest", "bicubic"}
        "bilinear" is trilinear for three axes, "bicubic" is for two.
    padding_mode : {"zeros", "border", "reflection"}
        What lies outside.
    align_corners : bool, optional
        -1 and 1 are the middles of the outer elements, not their edges.

    Returns
    -------
    Tensor, (N, C, h, w) or (N, C, d, h, w)

    Raises
    ------
    ShapeError, ArgumentError
        If shapes do not fit, or an option is unknown.

    Examples
    --------
    >>> grid_sample([[[[1.0, 3.0]]]], [[[[0.0, 0.0]]]]).item()
    2.0
    """
    x, g = as_real("grid_sample", input), as_real("grid_sample", grid)
    axes = x.ndim - 2
    if axes not in (2, 3) or g.ndim != x.ndim or g.shape[-1] != axes or g.shape[0] != x.shape[0]:
        raise ShapeError(f"grid_sample: input of shape {x.shape} and grid of shape {g.shape} do not fit")
    if mode not in ("bilinear", "nearest", "bicubic") or padding_mode not in ("zeros", "border", "reflection"):
        raise ArgumentError(f"grid_sample: mode {mode!r} with padding_mode {padding_mode!r} is not one")
    if mode == "bicubic" and axes == 3:
        raise ArgumentError("grid_sample: mode 'bicubic' is for two axes, as in PyTorch; use 'bilinear'")
    lengths, align = x.shape[2:], bool(align_corners)
    # The last coordinate is that of the first axis.
    at = [_position(g[..., -1 - i], n, align) for i, n in enumerate(lengths)]
    if mode != "bicubic":
        at = [_brought_in(a, n, padding_mode, align) for a, n in zip(at, lengths, strict=True)]
    if mode == "nearest":
        corners = [[(_places(np.rint(a._array), n), None)] for a, n in zip(at, lengths, strict=True)]
    elif mode == "bicubic":
        # The elements that the kernel covers are brought in, not the position.
        corners = []
        for a, n in zip(at, lengths, strict=True):
            low = np.floor(a._array)
            covered = [_brought_in(Tensor(low + k), n, padding_mode, align)._array for k in (-1, 0, 1, 2)]
            corners.append(list(zip([_places(np.rint(c), n) for c in covered], _cubic(a - low), strict=True)))
    else:
        floors = [np.floor(a._array) for a in at]
        corners = [
            [(_places(low, n), 1 - (a - low)), (_places(low + 1, n), a - low)]
            for a, low, n in zip(at, floors, lengths, strict=True)
        ]
    example = np.arange(x.shape[0]).reshape(-1, *[1] * axes)
    last = x.transpose(0, *range(2, x.ndim), 1)
    total: Any = None
    for corner in product(*corners):
        inside = np.ones(g.shape[:-1], bool)
        for (place, _), n in zip(corner, lengths, strict=True):
            inside = inside & (place >= 0) & (place < n)
        weight: Any = inside.astype(x.dtype)
        for _, part in corner:
            weight = weight if part is None else weight * part
        index = (example, *(np.clip(place, 0, n - 1) for (place, _), n in zip(corner, lengths, strict=True)))
        # Nothing is read outside, not even what stands at the edge: it may be infinite.
        term = np.where(inside[..., None], last[index], 0.0) * weight[..., None]
        total = term if total is None else total + term
    return total.transpose(0, axes + 1, *range(1, axes + 1))  # type: ignore[no-any-return]


def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid at which :func:`grid_sample` reads an affine image of its input.

    Parameters
    ----------
    theta : (N, 2, 3) or (N, 3, 4)
        A matrix and a shift for each example.
    size : (N, C, H, W) or (N, C, D, H, W)
        Of the output.
    align_corners : bool, optional
        As in :func:`grid_sample`.

    Returns
    -------
    Tensor, (N, H, W, 2) or (N, D, H, W, 3)

    Raises
    ------
    ShapeError
        If ``theta`` and ``size`` do not fit.

    Examples
    --------
    >>> affine_grid([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], (1, 1, 1, 2)).data.round(2).tolist()
    [[[[-0.5, 0.0], [0.5, 0.0]]]]
    """
    t = as_real("affine_grid", theta)
    axes = len(size) - 2
    if axes not in (2, 3) or t.shape != (size[0], axes, axes + 1) or min(size) < 1:
        raise ShapeError(f"affine_grid: theta of shape {t.shape} for size {tuple(size)}; see the docstring")
    points = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in size[2:]]
    if not align_corners:
        points = [line * ((n - 1) / n) for line, n in zip(points, size[2:], strict=True)]
    mesh = np.meshgrid(*points, indexing="ij")
    base = np.stack([*mesh[::-1], np.ones(tuple(size[2:]))], axis=-1).astype(t.dtype)
    flat = as_input(base.reshape(-1, axes + 1)) @ t.swapaxes(1, 2)
    return flat.reshape(size[0], *size[2:], axes)  # type: ignore[no-any-return]
