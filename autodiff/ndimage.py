"""scipy.ndimage's filters and interpolation, differentiable: ``autodiff.ndimage.gaussian_filter``. Needs SciPy.

A filter is a sum over neighbours of an array that was continued beyond its borders; interpolation a sum of splines over
coefficients. Results are Tensors: where SciPy takes an array for ``output``, a dtype may stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.core.op import wrap
from autodiff.extras import absent, require
from autodiff.functions import constant_argument, named
from autodiff.ops.common import bare, different_axes, real_numbers, whole_number
from autodiff.ops.elementwise import where
from autodiff.ops.filters import slide, spline_coefficients
from autodiff.ops.shaping import _floats, _tensor

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike, Tensor

__all__ = [
    "affine_transform",
    "black_tophat",
    "center_of_mass",
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "fourier_ellipsoid",
    "fourier_gaussian",
    "fourier_shift",
    "fourier_uniform",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "grey_closing",
    "grey_dilation",
    "grey_erosion",
    "grey_opening",
    "laplace",
    "map_coordinates",
    "maximum",
    "maximum_filter",
    "maximum_filter1d",
    "mean",
    "median",
    "median_filter",
    "minimum",
    "minimum_filter",
    "minimum_filter1d",
    "morphological_gradient",
    "morphological_laplace",
    "prewitt",
    "shift",
    "sobel",
    "spline_filter",
    "spline_filter1d",
    "standard_deviation",
    "sum_labels",
    "uniform_filter",
    "uniform_filter1d",
    "variance",
    "white_tophat",
]

#: SciPy's words for what lies beyond a border, and NumPy's.
_BEYOND = {
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "wrap": "wrap",
    "grid-wrap": "wrap",
    "constant": "constant",
    "grid-constant": "constant",
}


def _each(name: str, value: Any, count: int) -> list[Any]:
    """One value for every axis."""
    many = isinstance(value, (list, tuple)) or np.ndim(bare(value))
    values = list(value) if many else [value] * count
    if len(values) != count:
        raise ShapeError(f"{name}: {len(values)} values for {count} axes")
    return values


def _given(input: Any) -> Any:
    t = _tensor(input)
    return t if t.dtype.kind in "fc" and t.dtype != np.float16 else t.astype(np.float64)


def _result(made: Any, input: Any, output: Any) -> Any:
    """In the dtype that SciPy gives: the input's, or the one that ``output`` names."""
    if isinstance(output, np.ndarray) or hasattr(output, "_node"):
        raise ArgumentError("output: an array to write into has no gradient; give a dtype, or take the result")
    dtype = np.dtype(output) if output is not None else _tensor(input).dtype
    dtype = np.result_type(dtype, np.complex64) if made.dtype.kind == "c" and dtype.kind != "c" else dtype
    return made if made.dtype == dtype else made.astype(dtype)


def _continued(t: Any, axis: int, before: int, after: int, mode: str, cval: Any) -> Any:
    if mode not in _BEYOND:
        raise ArgumentError(f"mode must be one of {', '.join(_BEYOND)}, got {mode!r}")
    if _BEYOND[mode] == "constant":
        width = [(0, 0)] * t.ndim
        width[axis] = (before, after)
        return np.pad(t, width, constant_values=cval)
    index = np.pad(np.arange(t.shape[axis]), (before, after), mode=_BEYOND[mode])  # type: ignore[call-overload]
    return np.take(t, index, axis=axis)


def _window(name: str, t: Any, w: Any, axes: list[int], mode: Any, cval: Any, origin: Any) -> Any:
    """``out[i] = sum_k w[k] t[i - len(w) // 2 - origin + k]`` over the named axes; ``w`` has one axis for each."""
    shape = [1] * t.ndim
    lengths = dict(zip(sorted(axes), w.shape, strict=True))  # SciPy's weights follow the array's order of axes
    for axis, k in lengths.items():
        shape[axis] = k
    return slide.function(_widened(name, t, lengths, axes, mode, cval, origin), w.reshape(shape))


def _widened(name: str, t: Any, lengths: dict[int, int], axes: list[int], mode: Any, cval: Any, origin: Any) -> Any:
    """The array continued by what windows of some lengths reach beyond it."""
    modes, origins = _each(name, mode, len(axes)), _each(name, origin, len(axes))
    for axis, beyond, off in zip(axes, modes, origins, strict=True):
        k = lengths[axis]
        before = k // 2 + whole_number(f"{name}: origin", off)
        if not 0 <= before < k:
            raise ArgumentError(f"{name}: origin {off} lies outside a window of {k}")
        t = _continued(t, axis, before, k - 1 - before, beyond, cval)
    return t


def correlate1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Tensor:
    """``out[i] = sum_k weights[k] input[i + k - len(weights) // 2]`` along an axis, as ``scipy.ndimage.correlate1d``;
    complex weights are conjugated.

    Examples
    --------
    >>> import numpy as np
    >>> correlate1d(np.array([1.0, 2.0, 4.0]), [1.0, 0.0, -1.0]).data
    array([-1., -3., -2.])
    """
    t, w = _given(input), np.conj(_given(weights))
    if w.ndim != 1 or not w.size:
        raise ShapeError(f"correlate1d: the weights are a vector with at least one entry, got shape {w.shape}")
    axis = normalize_axis_index(axis, t.ndim)
    if not t.size:
        return _result(t, input, output)  # type: ignore[no-any-return]
    return _result(_window("correlate1d", t, w.astype(_kind(t, w)), [axis], mode, cval, origin), input, output)  # type: ignore[no-any-return]


def _kind(t: Any, w: Any) -> Any:
    """The dtype of weights: that of the array, or its complex kin."""
    return np.result_type(t.dtype, np.complex64) if w.dtype.kind == "c" else np.real(np.empty(0, t.dtype)).dtype


def convolve1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Tensor:
    """Convolution along an axis, as ``scipy.ndimage.convolve1d``.

    Examples
    --------
    >>> import numpy as np
    >>> convolve1d(np.array([1.0, 2.0, 4.0]), [1.0, 0.0, -1.0]).data
    array([1., 3., 2.])
    """
    w = _tensor(weights)
    return correlate1d(input, np.conj(np.flip(w)), axis, output, mode, cval, -origin - (w.size % 2 == 0))


def correlate(
    input: ArrayLike,
    weights: ArrayLike,
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: ArrayLike = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Tensor:
    """Correlation over the named axes, as ``scipy.ndimage.correlate``; differentiable in both arrays.

    Parameters
    ----------
    input : array
    weights : array
        With one axis for each of ``axes`` (by default all of the input's).
    output : dtype, optional
    mode : str or a sequence, one for every axis
        What lies beyond the borders: reflect, constant, nearest, mirror, wrap, and their names with "grid-".
    cval : float
        The value beyond, of "constant".
    origin : int or a sequence
        How far the window is moved.

    Examples
    --------
    >>> import numpy as np
    >>> correlate(np.eye(2), np.ones((1, 3)), mode="constant").data
    array([[1., 1.],
           [1., 1.]])
    """
    t, w = _given(input), np.conj(_given(weights))
    along = different_axes("correlate", axes, t.ndim)
    if w.ndim != len(along):
        raise ShapeError(f"correlate: weights of {w.ndim} axes for {len(along)} axes of the input")
    if not t.size:
        return _result(t, input, output)  # type: ignore[no-any-return]
    return _result(_window("correlate", t, w.astype(_kind(t, w)), along, mode, cval, origin), input, output)  # type: ignore[no-any-return]


def convolve(
    input: ArrayLike,
    weights: ArrayLike,
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: ArrayLike = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Tensor:
    """Convolution over the named axes, as ``scipy.ndimage.convolve``; see :func:`correlate`.

    Examples
    --------
    >>> import numpy as np
    >>> convolve(np.array([1.0, 2.0, 4.0]), [1.0, 0.0, -1.0]).data
    array([1., 3., 2.])
    """
    w = _tensor(weights)
    along = different_axes("convolve", axes, _tensor(input).ndim)
    if w.ndim != len(along):
        raise ShapeError(f"convolve: weights of {w.ndim} axes for {len(along)} axes of the input")
    even = {axis: k % 2 == 0 for axis, k in zip(sorted(along), w.shape, strict=True)}
    origins = [-o - even[axis] for axis, o in zip(along, _each("convolve", origin, len(along)), strict=True)]
    return correlate(input, np.conj(np.flip(w)), output, mode, cval, origins, axes=axes)


def _gaussian(sigma: Any, order: int, radius: int) -> Any:
    """The Gaussian's derivative of that order at the whole numbers, for a correlation; differentiable in sigma."""
    x = np.arange(-radius, radius + 1)
    density = np.exp(-0.5 / (sigma * sigma) * x**2)
    density = density / np.sum(density)
    factor: list[Any] = [1.0]  # a polynomial q with f = q density, so f' = (q' - x / sigma^2 q) density
    for _ in range(order):
        slope = [k * c for k, c in enumerate(factor)][1:]
        lower = [0.0, *(-c / (sigma * sigma) for c in factor)]
        factor = [a + b for a, b in zip([*slope, *[0.0] * (len(lower) - len(slope))], lower, strict=True)]
    return np.flip(sum(c * x**k for k, c in enumerate(factor)) * density)


def gaussian_filter1d(
    input: ArrayLike,
    sigma: ArrayLike,
    axis: int = -1,
    order: int = 0,
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Tensor:
    """A Gaussian, or its derivative of an order, along an axis, as ``scipy.ndimage.gaussian_filter1d``.

    Differentiable in ``sigma`` too, for a window that stays as wide as it is.

    Examples
    --------
    >>> import numpy as np
    >>> np.round(gaussian_filter1d(np.array([0.0, 1.0, 0.0]), 0.5).data, 6)
    array([0.106715, 0.786571, 0.106715])
    """
    if order < 0:
        raise ArgumentError(f"gaussian_filter1d: order must not be negative, got {order}")
    width = int(truncate * float(bare(sigma)) + 0.5) if radius is None else radius  # type: ignore[arg-type]
    if not isinstance(width, (int, np.integer)) or width < 0:
        raise ArgumentError(f"gaussian_filter1d: radius must be a whole number that is not negative, got {radius}")
    sigma = sigma if hasattr(sigma, "_node") else float(sigma)  # type: ignore[arg-type]
    return correlate1d(input, _gaussian(sigma, order, int(width)), axis, output, mode, cval, 0)


def gaussian_filter(
    input: ArrayLike,
    sigma: ArrayLike,
    order: str | Sequence[str] | None = 0,  # type: ignore[assignment]
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: ArrayLike | None = None,
    axes: int | Sequence[int] | None = None,
) -> Tensor:
    """A Gaussian filter along every axis, as ``scipy.ndimage.gaussian_filter``; differentiable in ``sigma`` too.

    Examples
    --------
    >>> import numpy as np
    >>> round(gaussian_filter(np.eye(5), 1.0)[2, 2].item(), 6)
    0.283212
    """
    t = _tensor(input)
    along = different_axes("gaussian_filter", axes, t.ndim)
    orders, sigmas, modes, radii = (_each("gaussian_filter", v, len(along)) for v in (order, sigma, mode, radius))
    for axis, width, k, beyond, size in zip(along, sigmas, orders, modes, radii, strict=True):
        if float(bare(width)) > 1e-15:
            t = gaussian_filter1d(t, width, axis, k, output, beyond, cval, truncate, radius=size)
    return _result(t, input, output)  # type: ignore[no-any-return]


def uniform_filter1d(
    input: ArrayLike,
    size: int,
    axis: int = -1,
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Tensor:
    """The mean of ``size`` neighbours along an axis, as ``scipy.ndimage.uniform_filter1d``.

    Examples
    --------
    >>> import numpy as np
    >>> uniform_filter1d(np.array([0.0, 3.0, 6.0]), 3).data
    array([1., 3., 5.])
    """
    size = whole_number("uniform_filter1d: size", size)
    if size < 1:
        raise ArgumentError(f"uniform_filter1d: size must be at least 1, got {size}")
    if _tensor(input).dtype.kind not in "fc":  # whole numbers are rounded as SciPy rounds them
        there = require("scipy.ndimage").uniform_filter1d(bare(input), size, axis, output, mode, cval, origin)
        return wrap(there, None)  # type: ignore[no-any-return]
    return correlate1d(input, np.full(size, 1.0 / size), axis, output, mode, cval, origin)


def uniform_filter(
    input: ArrayLike,
    size: int | Sequence[int] | None = 3,
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: ArrayLike = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Tensor:
    """The mean of a box of neighbours, as ``scipy.ndimage.uniform_filter``.

    Examples
    --------
    >>> import numpy as np
    >>> uniform_filter(np.eye(3))[1, 1].item()
    0.3333333333333333
    """
    t = _tensor(input)
    along = different_axes("uniform_filter", axes, t.ndim)
    sizes, modes, origins = (_each("uniform_filter", v, len(along)) for v in (size, mode, origin))
    for axis, k, beyond, off in zip(along, sizes, modes, origins, strict=True):
        if k > 1:
            t = uniform_filter1d(t, k, axis, output, beyond, cval, off)
    return _result(t, input, output)  # type: ignore[no-any-return]


def _edges(name: str, beside: list[float]) -> Callable[..., Any]:
    def filtered(input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Any:
        t = _tensor(input)
        axis = normalize_axis_index(axis, t.ndim)
        modes = _each(name, mode, t.ndim)
        made = correlate1d(t, [-1.0, 0.0, 1.0], axis, output, modes[axis], cval)
        for other in range(t.ndim):
            if other != axis:
                made = correlate1d(made, beside, other, output, modes[other], cval)
        return made

    return named(filtered, name, f"``scipy.ndimage.{name}``: differences along an axis, smoothed along the others.")


sobel = _edges("sobel", [1.0, 2.0, 1.0])
prewitt = _edges("prewitt", [1.0, 1.0, 1.0])


def laplace(
    input: ArrayLike,
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Tensor:
    """The sum of second differences, as ``scipy.ndimage.laplace``.

    Examples
    --------
    >>> import numpy as np
    >>> laplace(np.array([0.0, 1.0, 4.0])).data
    array([ 1.,  2., -3.])
    """
    t = _tensor(input)
    along = different_axes("laplace", axes, t.ndim)
    modes = _each("laplace", mode, len(along))
    return sum(  # type: ignore[return-value]
        correlate1d(t, [1.0, -2.0, 1.0], axis, output, beyond, cval) for axis, beyond in zip(along, modes, strict=True)
    )


def _derivatives(name: str, input: Any, sigma: Any, order: int, args: Any, axes: Any, more: Any) -> list[Any]:
    along = different_axes(name, axes, _tensor(input).ndim)
    orders = [[order if axis == other else 0 for other in along] for axis in along]
    return [gaussian_filter(input, sigma, each, *args, axes=along, **more) for each in orders]  # type: ignore[arg-type]


def gaussian_laplace(
    input: ArrayLike,
    sigma: ArrayLike,
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    **kwargs: object,
) -> Tensor:
    """The Laplacian of a Gaussian filter, as ``scipy.ndimage.gaussian_laplace``."""
    return sum(_derivatives("gaussian_laplace", input, sigma, 2, (output, mode, cval), axes, kwargs))  # type: ignore[no-any-return]


def gaussian_gradient_magnitude(
    input: ArrayLike,
    sigma: ArrayLike,
    output: object = None,
    mode: str = "reflect",
    cval: float = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    **kwargs: object,
) -> Tensor:
    """The length of a Gaussian filter's gradient, as ``scipy.ndimage.gaussian_gradient_magnitude``."""
    parts = _derivatives("gaussian_gradient_magnitude", input, sigma, 1, (output, mode, cval), axes, kwargs)
    return _result(np.sqrt(sum(part * part for part in parts)), input, output)  # type: ignore[no-any-return]


# --- interpolation --------------------------------------------------------------------------------------------------


def spline_filter1d(
    input: ArrayLike, order: int = 3, axis: int = -1, output: object = np.float64, mode: str = "mirror"
) -> Tensor:  # type: ignore[assignment]
    """The spline coefficients along an axis, as ``scipy.ndimage.spline_filter1d``."""
    t = _given(input)
    if order not in range(6):
        raise ArgumentError(f"spline_filter1d: order must be 0 to 5, got {order}")
    if order > 1:
        t = t.astype(np.complex128 if t.dtype.kind == "c" else np.float64)
        t = spline_coefficients.function(t, int(order), normalize_axis_index(axis, t.ndim), mode)
    return _result(t, input, output)  # type: ignore[no-any-return]


def spline_filter(input: ArrayLike, order: int = 3, output: object = np.float64, mode: str = "mirror") -> Tensor:  # type: ignore[assignment]
    """The spline coefficients along every axis, as ``scipy.ndimage.spline_filter``."""
    t = _tensor(input)
    for axis in range(t.ndim):
        t = spline_filter1d(t, order, axis, output, mode)
    return _result(t, input, output)  # type: ignore[no-any-return]


def _mapped(x: Any, n: int, mode: str) -> tuple[Any, Any]:
    """Coordinates brought into the array, and the slope of that: 1, -1 or 0. As SciPy's C code does it."""
    low, high = x < 0, x > n - 1
    if _BEYOND[mode] == "constant":
        return (x if mode == "grid-constant" else np.where(low | high, -1.0, x)), np.ones_like(x)
    if mode == "nearest":  # the taps are brought in, not the place
        return x, np.ones_like(x)
    if n <= 1:
        return 0 * x, np.where(low | high, 0.0, 1.0)
    if mode == "wrap":
        around = np.where(low, x + (n - 1) * (np.floor(-x / (n - 1)) + 1), np.mod(x, n - 1))
        return np.where(low | high, around, x), np.ones_like(x)
    if mode == "grid-wrap":
        return np.where(low | high, np.mod(x, n), x), np.ones_like(x)
    # A mirror at the outermost points, or (reflect) half a step beyond them.
    period, beside = (2 * n - 2, 0) if mode == "mirror" else (2 * n, 1)
    left = x + period * np.trunc(-x / period)
    right = x - period * np.trunc(x / period)
    over, back = left <= 1 - n if mode == "mirror" else left < -n, right >= n
    below, above = np.where(over, left + period, -left - beside), np.where(back, period - right - beside, right)
    slope = np.where((low & ~over) | (high & back), -1.0, 1.0)
    return np.where(low, below, np.where(high, above, x)), slope


def _pieces(order: int) -> Any:
    """The B-spline's pieces as polynomials of the fraction t, the constant first, one for each tap."""
    pieces = [np.poly1d([1.0])]
    for m in range(1, order + 1):
        above = [np.poly1d([0.0]), *pieces, np.poly1d([0.0])]
        # On [0, m + 1] with knots at whole numbers: N_m(s) = s / m N_(m-1)(s) + (m + 1 - s) / m N_(m-1)(s - 1).
        pieces = [
            np.poly1d([1.0 / m, k / m]) * above[k + 1] + np.poly1d([-1.0 / m, (m + 1 - k) / m]) * above[k]
            for k in range(m + 1)
        ]
    return [piece.coeffs[::-1] for piece in reversed(pieces)]


def map_coordinates(
    input: ArrayLike,
    coordinates: ArrayLike,
    output: object = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
) -> Tensor:
    """The spline through an array, at any coordinates, as ``scipy.ndimage.map_coordinates``.

    Differentiable in the array and, from order 1 on, in the coordinates.

    Parameters
    ----------
    input : array of n axes
    coordinates : (n, ...)
    output : dtype, optional
    order : int
        0 to 5.
    mode, cval
        What lies beyond the borders; see :func:`correlate`.
    prefilter : bool
        False if the input already holds the spline's coefficients.

    Returns
    -------
    Tensor of the shape of ``coordinates[0]``

    Raises
    ------
    ArgumentError, ShapeError
        If order, mode or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> map_coordinates(np.arange(4.0) ** 2, [[1.5]], order=1).data
    array([2.5])
    """
    t, places = _given(input), _tensor(coordinates)
    if order not in range(6) or mode not in _BEYOND:
        raise ArgumentError(f"map_coordinates: order 0 to 5 and a mode of {', '.join(_BEYOND)}; got {order}, {mode!r}")
    if not places.ndim or places.shape[0] != t.ndim or t.ndim < 1:
        raise ShapeError(f"map_coordinates: coordinates of shape {places.shape} for an array of {t.ndim} axes")
    cval = constant_argument("map_coordinates", "cval", cval)
    mode = "reflect" if mode == "grid-mirror" else mode
    kind = np.complex128 if t.dtype.kind == "c" else np.float64
    if not t.size:
        return _result(_tensor(np.full(places.shape[1:], cval, kind)), input, output)  # type: ignore[no-any-return]
    moved = 0
    if order > 1 and prefilter:
        t = t.astype(kind)
        if mode in ("nearest", "grid-constant"):
            moved = 12
            t = np.pad(t, moved, **({"mode": "edge"} if mode == "nearest" else {"constant_values": cval}))
        for axis in range(t.ndim):
            if t.shape[axis] > 1:
                t = spline_coefficients.function(t, int(order), axis, mode)
    beyond = "mirror" if mode in ("constant", "wrap") else mode
    pieces = _pieces(int(order))
    taps = len(pieces)
    flat: Any = np.zeros((), np.intp)
    weight: Any = 1.0
    gone = np.zeros(places.shape[1:], bool)
    outside: Any = np.zeros((), bool)
    for axis, n in enumerate(t.shape):
        here = places[axis].astype(np.float64) + moved
        plain = bare(here)
        with np.errstate(invalid="ignore"):
            inside, slope = _mapped(plain, n, mode)
        gone |= ~np.isfinite(plain)
        if mode == "constant":
            gone |= inside < 0
        inside = np.where(gone, 0.0, inside)
        first = np.floor(inside) if order % 2 else np.floor(inside + 0.5)
        # inside = slope here + const; the fraction is measured from the first tap's side of the piece.
        offset = first if order % 2 else first - 0.5
        fraction = where(gone, 0.0, slope * here + (inside - slope * np.where(gone, 0.0, plain)) - offset)
        start = first.astype(np.intp) - order // 2
        lead = (slice(None),) + (None,) * axis
        along = np.stack([_at(fraction, c) for c in pieces])
        index = start + np.arange(taps).reshape((-1,) + (1,) * start.ndim)
        if mode == "grid-constant":
            missing = (index < 0) | (index > n - 1)
            outside = outside | missing[lead] if axis else missing
            index = np.clip(index, 0, n - 1)
        else:
            index = _mapped(index, n, beyond)[0] if beyond != "nearest" else index
            index = np.clip(index, 0, n - 1).astype(np.intp)
        # Taps of the axes before stand behind those of this one.
        flat = flat * n + (index[lead] if axis else index)
        weight = weight * (along[lead] if axis else along)
    values = np.reshape(t, (-1,))[flat]
    if mode == "grid-constant":
        values = where(outside, cval, values)
    made = np.sum(weight * values, axis=tuple(range(t.ndim))) if t.ndim else values
    made = where(gone, cval, made) if np.any(gone) else made
    dtype = _tensor(input).dtype if output is None else np.dtype(output)  # type: ignore[call-overload]
    if dtype.kind in "iu":  # rounded as SciPy rounds, halves away from zero
        plain = bare(made)
        made = _tensor(np.trunc(plain + np.copysign(0.5, plain)))
        made = np.clip(made, 0, np.iinfo(dtype).max) if dtype.kind == "u" else made
    return _result(made, input, output)  # type: ignore[no-any-return]


def _at(x: Any, coefficients: Any) -> Any:
    """A polynomial, the constant first, by Horner's rule."""
    made: Any = coefficients[-1] + 0 * x
    for c in coefficients[-2::-1]:
        made = made * x + c
    return made


def affine_transform(
    input: ArrayLike,
    matrix: ArrayLike,
    offset: ArrayLike = 0.0,
    output_shape: ArrayLike | None = None,
    output: object = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
) -> Tensor:
    """The array at ``matrix @ o + offset`` for every place o of the output, as ``scipy.ndimage.affine_transform``.

    Differentiable in array, matrix and offset: what registration of images asks for. The matrix is (n, n), (n,) for a
    diagonal, (n, n + 1) or (n + 1, n + 1) with the offset in its last column.

    Examples
    --------
    >>> import numpy as np
    >>> affine_transform(np.arange(4.0), [[1.0]], 0.5, order=1).data
    array([0.5, 1.5, 2.5, 0. ])
    """
    t, m = _tensor(input), _tensor(matrix)
    n = t.ndim
    if m.ndim == 2 and m.shape in ((n, n + 1), (n + 1, n + 1)):
        if not np.array_equal(m._array[n:], np.eye(n + 1)[n:][: m.shape[0] - n]):
            raise ArgumentError(f"affine_transform: the last row of the matrix is 0, ..., 0, 1; got {m._array[n]}")
        m, offset = m[:n, :n], m[:n, n]
    if m.shape not in ((n,), (n, n)):
        raise ShapeError(f"affine_transform: a matrix of shape {m.shape} for an array of {n} axes")
    shape = t.shape if output_shape is None else tuple(output_shape)  # type: ignore[arg-type]
    grid = np.stack([part.reshape(-1) for part in np.indices(shape)]).astype(float)  # type: ignore[arg-type]
    moved = m[:, None] * grid if m.ndim == 1 else m @ grid
    places = moved + np.broadcast_to(_tensor(offset), (n,))[:, None]
    return map_coordinates(t, places.reshape((n, *shape)), output, order, mode, cval, prefilter)


def shift(
    input: ArrayLike,
    shift: ArrayLike,
    output: object = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
) -> Tensor:
    """The array moved by a distance, whole or not, as ``scipy.ndimage.shift``; differentiable in the distance too.

    Examples
    --------
    >>> import numpy as np
    >>> shift(np.arange(4.0), 0.5, order=1, mode="nearest").data
    array([0. , 0.5, 1.5, 2.5])
    """
    t = _tensor(input)
    return affine_transform(t, np.ones(t.ndim), -_tensor(shift), None, output, order, mode, cval, prefilter)


# --- the greatest, the least and the middle of a window; regions ---------------------------------------------------


def _ranked(name: str, choose: Callable[..., Any], turned: bool = False) -> Callable[..., Any]:
    def filtered(
        input: Any,
        size: Any = None,
        footprint: Any = None,
        output: Any = None,
        mode: Any = "reflect",
        cval: float = 0.0,
        origin: Any = 0,
        *,
        axes: Any = None,
    ) -> Any:
        t = _given(input)
        real_numbers(name, t)
        along = sorted(different_axes(name, axes, t.ndim))
        if size is None and footprint is None:
            raise ArgumentError(f"{name}: give size or footprint")
        if footprint is None:
            kept = np.ones([whole_number(f"{name}: size", k) for k in _each(name, size, len(along))], bool)
        else:  # whatever the size
            kept = np.asarray(bare(footprint), bool)
        if kept.ndim != len(along):
            raise ShapeError(f"{name}: a footprint of {kept.ndim} axes for {len(along)} axes of the input")
        if turned:  # a dilation looks the other way
            kept, origins = np.flip(kept), _each(name, origin, len(along))
            origin = [-o - (k % 2 == 0) for o, k in zip(origins, kept.shape, strict=True)]
        if not t.size:
            return _result(t, input, output)
        lengths = dict(zip(along, kept.shape, strict=True))
        full = _widened(name, t, lengths, along, mode, cval, origin)
        parts = []
        for place in np.argwhere(kept):
            cut: list[Any] = [slice(None)] * t.ndim
            for axis, start in zip(along, place.tolist(), strict=True):
                cut[axis] = slice(start, start + t.shape[axis])
            parts.append(full[tuple(cut)])
        return _result(choose(np.stack(parts), axis=0), input, output)

    return named(filtered, name, f"``scipy.ndimage.{name}`` of a box or a footprint.")


def _upper_median(x: Any, axis: int) -> Any:
    """The middle one, of an even number the upper, as SciPy's rank filter takes it."""
    return np.sort(x, axis=axis)[x.shape[0] // 2]


maximum_filter = _ranked("maximum_filter", np.max)
minimum_filter = _ranked("minimum_filter", np.min)
median_filter = _ranked("median_filter", _upper_median)
grey_erosion = _ranked("grey_erosion", np.min)
grey_dilation = _ranked("grey_dilation", np.max, True)


def _along_one_axis(name: str, box: Callable[..., Any]) -> Callable[..., Any]:
    def filtered(
        input: Any,
        size: int,
        axis: int = -1,
        output: Any = None,
        mode: str = "reflect",
        cval: float = 0.0,
        origin: int = 0,
    ) -> Any:
        return box(input, size, None, output, mode, cval, origin, axes=axis)

    return named(filtered, name, f"``scipy.ndimage.{name}``.")


maximum_filter1d = _along_one_axis("maximum_filter1d", maximum_filter)
minimum_filter1d = _along_one_axis("minimum_filter1d", minimum_filter)


def center_of_mass(
    input: ArrayLike, labels: ArrayLike | None = None, index: object = None
) -> tuple[Tensor, ...] | list[tuple[Tensor, ...]]:
    """The weighted mean of the places, as ``scipy.ndimage.center_of_mass``: a tuple, or a list of them for regions.

    Examples
    --------
    >>> import numpy as np
    >>> [place.item() for place in center_of_mass(np.eye(3))]
    [1.0, 1.0]
    """
    t = _given(input)
    whole = sum_labels(t, labels, index)
    parts = [
        sum_labels(t * np.reshape(range(n), [-1 if i == axis else 1 for i in range(t.ndim)]), labels, index) / whole
        for axis, n in enumerate(t.shape)
    ]
    if np.ndim(bare(index)) == 0:  # type: ignore[arg-type]
        return tuple(parts)  # type: ignore[return-value]
    return [tuple(part[i] for part in parts) for i in range(np.size(bare(index)))]  # type: ignore[arg-type, return-value]


class _Morphology(Protocol):
    def __call__(
        self,
        input: ArrayLike,
        size: int | Sequence[int] | None = None,
        footprint: ArrayLike | None = None,
        **more: object,
    ) -> Tensor: ...


def _composed(name: str, formula: Callable[[Any, Any, Any], Any]) -> _Morphology:
    """A filter that is made of the array, an erosion and a dilation."""

    def filtered(input: Any, size: Any = None, footprint: Any = None, **more: Any) -> Any:
        erode, dilate = (partial(f, size=size, footprint=footprint, **more) for f in (grey_erosion, grey_dilation))
        return formula(_tensor(input), erode, dilate)

    return named(filtered, name, f"``scipy.ndimage.{name}`` of a box or a footprint.")


grey_opening = _composed("grey_opening", lambda t, erode, dilate: dilate(erode(t)))
grey_closing = _composed("grey_closing", lambda t, erode, dilate: erode(dilate(t)))
white_tophat = _composed("white_tophat", lambda t, erode, dilate: t - dilate(erode(t)))
black_tophat = _composed("black_tophat", lambda t, erode, dilate: erode(dilate(t)) - t)
morphological_gradient = _composed("morphological_gradient", lambda t, erode, dilate: dilate(t) - erode(t))
morphological_laplace = _composed("morphological_laplace", lambda t, erode, dilate: dilate(t) + erode(t) - 2 * t)


def _of_regions(name: str, reduce: Callable[[Any], Any]) -> Callable[..., Any]:
    def measured(input: Any, labels: Any = None, index: Any = None) -> Any:
        t = _given(input)
        if labels is None:
            return reduce(t.reshape(-1))
        regions = np.broadcast_to(np.asarray(bare(labels)), t.shape)
        if index is None:
            return reduce(t[regions > 0])
        wanted = np.asarray(bare(index))
        made = [reduce(t[regions == one]) for one in wanted.reshape(-1).tolist()]
        return np.stack(made).reshape(wanted.shape) if made else _tensor(np.zeros(wanted.shape))

    words = f"``scipy.ndimage.{name}``: of the whole array, of the labelled part, or of each region."
    return named(measured, name, words)


sum_labels = _of_regions("sum_labels", np.sum)
mean = _of_regions("mean", np.mean)
variance = _of_regions("variance", np.var)
standard_deviation = _of_regions("standard_deviation", np.std)
maximum = _of_regions("maximum", np.max)
minimum = _of_regions("minimum", np.min)
median = _of_regions("median", np.median)


def _in_frequency(name: str) -> Callable[..., Any]:
    def filtered(input: Any, parameter: Any, n: int = -1, axis: int = -1, output: Any = None) -> Any:
        t = _floats(input)
        factor = getattr(require("scipy.ndimage"), name)(
            np.ones(t.shape, t.dtype), constant_argument(name, "parameter", parameter), n, axis
        )
        return _result(t * factor, t * factor, output)

    return named(filtered, name, f"``scipy.ndimage.{name}``: each frequency times a factor that SciPy gives.")


fourier_gaussian = _in_frequency("fourier_gaussian")
fourier_uniform = _in_frequency("fourier_uniform")
fourier_ellipsoid = _in_frequency("fourier_ellipsoid")
fourier_shift = _in_frequency("fourier_shift")


def __getattr__(name: str) -> Any:
    if name == "sum":  # SciPy's older name; here it would hide the built-in one
        return sum_labels
    raise absent("autodiff.ndimage", name, "scipy.ndimage", "docs/scipy.md names substitutes")
