"""Running products, differences, order statistics, interpolation and convolution, mostly composed of primitives."""

from __future__ import annotations

from math import prod as prod_of
from operator import mul
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autodiff import dispatch
from autodiff.core import op as core
from autodiff.core.errors import ArgumentError, DTypeError, NotDifferentiableError, ShapeError
from autodiff.core.op import Primitive
from autodiff.functions import named
from autodiff.levels import tracked
from autodiff.ops import assignment, elementwise, reductions, shaping
from autodiff.ops.common import axes_of, bare, kept_product, no_out, real_numbers
from autodiff.ops.indexing import take_along_axis
from autodiff.ops.products import matmul
from autodiff.ops.shaping import _tensor
from autodiff.ops.stable import bessel_i, of, spherical_bessel
from autodiff.zero_times_infinity import finite

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike, Tensor

where = elementwise.where_.function

# --- running products and sums ----------------------------------------------------------------------------------------


def _cumprod_rule(g: Any, out: Any, x: Any, axis: int) -> Any:
    if reductions.divides(out, x):
        # y_j / x_i is the product of the others, so dx_i = sum_{j >= i} g_j y_j / x_i.
        return np.flip(np.cumsum(np.flip(g * out, axis), axis=axis), axis) / x
    # From the last to the first, dx_i = y_{i-1} (g_i + x_{i+1} (g_{i+1} + x_{i+2} (...))), which divides by nothing.
    moved_x, moved_g = np.moveaxis(x, axis, -1), np.moveaxis(g, axis, -1)
    n = moved_x.shape[-1]
    if np.all(np.isfinite(bare(out)) & (bare(out) != 0)):  # brackets of 1, 2, 4 ... terms: fewer operations to record
        tail, factor, reach = moved_g, moved_x[..., 1:], 1
        while reach < n:
            tail = np.concatenate([tail[..., :-reach] + factor * tail[..., reach:], tail[..., -reach:]], axis=-1)
            factor, reach = factor[..., :-reach] * factor[..., reach:], 2 * reach
        ones = np.ones((*moved_x.shape[:-1], 1), moved_x.dtype)
        return np.moveaxis(tail * np.concatenate([ones, np.moveaxis(out, axis, -1)[..., :-1]], axis=-1), -1, axis)

    def walked(times: Any) -> Any:
        inner = moved_g[..., n - 1]
        tails = [inner]
        for i in range(n - 2, -1, -1):
            inner = moved_g[..., i] + times(inner, moved_x[..., i + 1])
            tails.append(inner)
        before = moved_x[..., 0] * 0 + 1
        heads = [before]
        for i in range(n - 1):
            before = before * moved_x[..., i]
            heads.append(before)
        return np.stack([times(t, h) for h, t in zip(heads, tails[::-1], strict=True)], axis=-1)

    return np.moveaxis(_where_finite(walked), -1, axis)


def _where_finite(walked: Any) -> Any:
    """``walked(times)`` with ordinary products; where one of them is infinite, with zero times infinity as zero."""
    with np.errstate(invalid="ignore"):
        found = walked(mul)
    return found if finite(found) else walked(kept_product)


def _cumprod_tangent(t: Any, out: Any, x: Any, axis: int) -> Any:
    # y_j = y_{j-1} x_j, so dy_j = dy_{j-1} x_j + y_{j-1} t_j.
    if not x.ndim:
        return t
    moved_x, moved_t, y = (np.moveaxis(part, axis, -1) for part in (x, t, out))
    if not moved_x.shape[-1]:
        return t

    def walked(times: Any) -> Any:
        steps = [moved_t[..., 0]]
        for j in range(1, moved_x.shape[-1]):
            steps.append(times(steps[-1], moved_x[..., j]) + times(moved_t[..., j], y[..., j - 1]))
        return np.stack(steps, axis=-1)

    return np.moveaxis(_where_finite(walked), -1, axis)


cumprod_ = Primitive(
    "cumprod",
    lambda x, axis: np.cumprod(x, axis=axis),
    _cumprod_rule,
    sample=shaping._sample_axis,
    tangent=_cumprod_tangent,
)


@dispatch.implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.cumprod``, exact where elements are zero.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> x = autodiff.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> np.cumprod(x).sum().backward()
    >>> x.grad
    array([1., 8., 0.])
    """
    a = reductions._settled("cumprod", a, dtype, out, True, 1)
    flat = axis is None or (not np.ndim(bare(a)) and axis in (0, -1))  # of a number NumPy makes a row
    return reductions._asked(cumprod_.function(shaping.ravel(a) if flat else a, 0 if flat else int(axis)), dtype)


def _running(step: Any, x: Any, axis: Any, dtype: Any, out: Any, include_initial: bool, start: float) -> Any:
    t = _tensor(x)
    t = t if t.ndim else shaping.reshape(t, (1,))
    if axis is None:
        if t.ndim != 1:
            raise ArgumentError("cumulative_sum and cumulative_prod: give axis= for arrays of more than one axis")
        axis = 0
    result = step(t, axis, dtype, out)
    if include_initial:
        shape = tuple(1 if i == normalize_axis_index(axis, t.ndim) else n for i, n in enumerate(result.shape))
        result = shaping.concatenate([np.full(shape, start, result.dtype), result], axis=axis)
    return result


@dispatch.implements(*(f for f in (getattr(np, "cumulative_sum", None),) if f is not None))
def cumulative_sum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: None = None, include_initial: bool = False
) -> Any:
    """Differentiable ``numpy.cumulative_sum``."""
    return _running(reductions.cumsum, x, axis, dtype, out, include_initial, 0.0)


@dispatch.implements(*(f for f in (getattr(np, "cumulative_prod", None),) if f is not None))
def cumulative_prod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: None = None, include_initial: bool = False
) -> Any:
    """Differentiable ``numpy.cumulative_prod``."""
    return _running(cumprod, x, axis, dtype, out, include_initial, 1.0)


# --- differences and integrals ----------------------------------------------------------------------------------------


def _slice(x: Any, axis: int, start: Any, stop: Any) -> Any:
    return x[(slice(None),) * (normalize_axis_index(axis, x.ndim)) + (slice(start, stop),)]


@dispatch.implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue) -> Any:
    """Differentiable ``numpy.diff``."""
    x = _tensor(a)
    if n < 0:
        raise ArgumentError(f"diff: n must not be negative, got {n}")
    if not n:
        return x  # as NumPy, without what was to be put before and after
    edges: list[list[Any]] = []
    for edge in (prepend, append):
        if edge is np._NoValue:
            edges.append([])
            continue
        t = _tensor(edge)
        shape = tuple(1 if i == normalize_axis_index(axis, x.ndim) else m for i, m in enumerate(x.shape))
        edges.append([shaping.broadcast_to(t, shape) if t.ndim == 0 else t])
    if edges[0] or edges[1]:
        x = shaping.concatenate([*edges[0], x, *edges[1]], axis=axis)
    for _ in range(n):
        later, earlier = _slice(x, axis, 1, None), _slice(x, axis, None, -1)
        x = later != earlier if x.dtype.kind == "b" else later - earlier
    return x


@dispatch.implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differentiable ``numpy.ediff1d``."""
    parts = [diff(shaping.ravel(ary))]
    for place, name, end in ((0, "to_begin", to_begin), (2, "to_end", to_end)):
        if end is not None:
            end = shaping.ravel(end)
            if not np.can_cast(end.dtype, parts[-1].dtype, "same_kind"):
                raise DTypeError(f"ediff1d: {name} of {end.dtype} does not fit into differences of {parts[-1].dtype}")
            parts.insert(place, end.astype(parts[-1].dtype))
    return parts[0] if len(parts) == 1 else shaping.concatenate(parts)


@dispatch.implements(np.trapezoid)
def trapezoid(y: ArrayLike, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1) -> Tensor:
    """Differentiable ``numpy.trapezoid`` in ordinates, abscissae and step."""
    t = _tensor(y)
    width: Any = dx
    if x is not None:
        s = _tensor(x)
        width = diff(s) if s.ndim == 1 else diff(s, axis=axis)
        if s.ndim == 1:
            width = width.reshape([-1 if i == normalize_axis_index(axis, t.ndim) else 1 for i in range(t.ndim)])
    return reductions.sum(width * (_slice(t, axis, 1, None) + _slice(t, axis, None, -1)) / 2.0, axis=axis)  # type: ignore[no-any-return]


@dispatch.implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Differentiable ``numpy.gradient`` in the values and in the spacings, which may be steps or coordinates.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> h = autodiff.tensor(2.0, requires_grad=True)
    >>> np.gradient(np.array([0.0, 1.0, 4.0]), h).data
    array([0.5, 1. , 1.5])
    """
    t = _tensor(f)
    if t.dtype.kind == "b":
        raise DTypeError("gradient: numpy boolean subtract is not supported; cast the values with .astype(float)")
    t = shaping._floats(t)
    axes = axes_of(axis, t.ndim)
    alike = len(varargs) == 1 and not np.ndim(bare(varargs[0]))  # one step is that of every axis
    spacing = list(varargs) * len(axes) if alike else list(varargs) or [1.0] * len(axes)
    if len(spacing) != len(axes):
        raise ArgumentError(f"gradient: {len(spacing)} spacings for {len(axes)} axes")
    results = []
    for place, step in zip(axes, spacing, strict=True):
        moved = shaping.moveaxis(t, place, -1)
        n, coordinates = t.shape[place], np.shape(bare(step))
        if coordinates not in ((), (n,)):
            raise ShapeError(f"gradient: coordinates of shape {coordinates} for an axis of length {n}")
        plain: Any = np.gradient
        plain(np.zeros(n), edge_order=edge_order)  # NumPy tells what is wrong
        if np.ndim(bare(step)) and np.asarray(bare(step)).dtype.kind in "iu":
            step = np.asarray(bare(step), float)  # differences of unsigned integers wrap
        if np.ndim(bare(step)) and not tracked(step):
            width = np.diff(bare(step))
            step = width[0] if np.all(width == width[0]) else step  # as NumPy
        along = (_uneven_gradient if np.ndim(bare(step)) else _even_gradient)(moved, _tensor(step), edge_order)
        results.append(elementwise.ordered(shaping.moveaxis(along.astype(t.dtype, copy=False), -1, place), t))
    return results[0] if len(results) == 1 else tuple(results)


def _even_gradient(f: Any, step: Any, edge_order: int) -> Any:
    """Half the difference of the two neighbours; at the ends that to the only one, or by the parabola through three."""
    at = [f[..., place] for place in (0, 1, -2, -1)]
    inner = (f[..., 2:] - f[..., :-2]) / (2.0 * step)
    if edge_order == 1:
        ends = (at[1] - at[0]) / step, (at[3] - at[2]) / step
    else:
        ends = (4 * at[1] - 3 * at[0] - f[..., 2]) / (2.0 * step), (3 * at[3] - 4 * at[2] + f[..., -3]) / (2.0 * step)
    return shaping.concatenate([ends[0][..., None], inner, ends[1][..., None]], axis=-1)


def _uneven_gradient(f: Any, x: Any, edge_order: int) -> Any:
    """The parabola through three neighbours, differentiated at the middle one; at the ends a line, or that parabola
    again.
    """
    if x.size != f.shape[-1] or x.size < edge_order + 1:
        raise ShapeError(
            f"gradient: {x.size} coordinates for an axis of length {f.shape[-1]}; it needs at least {edge_order + 1}"
        )
    width = diff(x)
    near, far = width[:-1], width[1:]
    both = near + far
    terms = (
        (-far / (near * both), f[..., :-2]),
        ((far - near) / (near * far), f[..., 1:-1]),
        (near / (far * both), f[..., 2:]),
    )
    inner = sum(weight * values for weight, values in terms)
    first, last = (f[..., 1:2] - f[..., :1]) / width[:1], (f[..., -1:] - f[..., -2:-1]) / width[-1:]
    if edge_order == 2:
        slope = diff(f) / width
        bend = diff(slope) / both
        first, last = first - bend[..., :1] * width[:1], last + bend[..., -1:] * width[-1:]
    return shaping.concatenate([first, inner, last], axis=-1)


@dispatch.implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """Differentiable ``numpy.unwrap``, in the period, too: between the jumps as many periods are added."""
    t, length = _tensor(p), bare(period)
    added = np.unwrap(t._array, dispatch.bare(discont), axis, period=length) - t._array
    return t + (np.rint(added / length) * period if tracked(period) else added)


# --- order statistics -------------------------------------------------------------------------------------------------


@dispatch.implements(np.sort)
def sort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """Differentiable ``numpy.sort``: the elements in the order found (ties in their order of appearance)."""
    t = _tensor(a)
    if kind is not None or order is not None or stable is not None:
        np.sort(np.empty(0), kind=kind, order=order, stable=stable)  # NumPy refuses what it refuses
    if axis is None:
        t, axis = t.reshape(-1), 0
    return elementwise.ordered(take_along_axis(t, np.argsort(t._array, axis=axis, kind="stable"), axis), t)


def _set_function(numpys: Any) -> Any:
    """One of NumPy's functions of a set: the values are elements, found by their places; the rest is constant."""

    @dispatch.implements(numpys)
    def function(x: Any, /) -> Any:
        t = _tensor(x).reshape(-1)
        found = np.unique_all(t._array)
        values = t[found.indices]
        constants = {name: _tensor(part) for name, part in found._asdict().items()}
        constants["inverse_indices"] = constants["inverse_indices"].reshape(np.shape(bare(x)))
        made = numpys(np.zeros(1))
        if not hasattr(made, "_fields"):
            return values
        return type(made)(*[values if name == "values" else constants[name] for name in made._fields])

    name = numpys.__name__
    return named(function, name, f"Differentiable ``numpy.{name}``: of equal elements the first has the gradient.")


unique_all, unique_counts, unique_inverse, unique_values = map(
    _set_function, (np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values)
)


@dispatch.implements(np.partition)
def partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None) -> Any:
    """Differentiable ``numpy.partition``."""
    t = _tensor(a)
    if axis is None:
        t, axis = t.reshape(-1), 0
    return elementwise.ordered(take_along_axis(t, np.argpartition(t._array, kth, axis=axis), axis), t)


@dispatch.implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """Differentiable ``numpy.ptp``: largest less smallest."""
    return reductions.max(a, axis, out, keepdims) - reductions.min(a, axis, out, keepdims)


#: How fast the place of a quantile among n sorted values moves with q, less n, for the methods in which it moves
#: (Hyndman and Fan 1996).
_PLACE_SPEED = {
    "interpolated_inverted_cdf": 0.0,
    "hazen": 0.0,
    "weibull": 1.0,
    "linear": -1.0,
    "median_unbiased": 1 / 3,
    "normal_unbiased": 1 / 4,
}
#: Those that give one of the values.
_CHOICES = ("inverted_cdf", "closest_observation", "lower", "higher", "nearest")
_STEP_METHODS = (*_CHOICES, "averaged_inverted_cdf", "midpoint")


def _places(levels: Any, present: Any, method: str) -> Any:
    """Where each quantile falls among ``present`` sorted values: it is the quantile of 0, 1, 2, ..., which NumPy itself
    is asked for.
    """
    found = np.zeros((*present.shape[:-1], levels.size))
    for count in np.unique(present):
        if count:
            found[(present == count)[..., 0]] = np.quantile(
                np.arange(float(count)), levels._array.astype(float), method=method
            )  # type: ignore[call-overload]
    if method in _STEP_METHODS or levels._node is None:
        return _tensor(found)
    reached = (found > 0) & (found < present - 1)
    return found + np.where(reached, present + _PLACE_SPEED[method], 0.0) * (levels - levels._array)


def _quantile(a: Any, q: Any, axis: Any, method: str, keepdims: bool, ignore_nan: bool, middle: bool = False) -> Any:
    t = _tensor(a)
    if method not in _PLACE_SPEED and method not in _STEP_METHODS:
        raise ArgumentError(f"quantile: method must be one of {(*_PLACE_SPEED, *_STEP_METHODS)}, got {method!r}")
    axes = axes_of(axis, t.ndim)
    rest = tuple(i for i in range(t.ndim) if i not in axes)
    n = prod_of(t.shape[i] for i in axes)
    flat = t.transpose(*rest, *axes).reshape((*(t.shape[i] for i in rest), n))
    # A Python number is weak: it takes the dtype of the values, if these are floating.
    weak = type(q) in (int, float) and flat.dtype.kind in "fc"
    share = core.above.tensor(q, dtype=flat.real.dtype) if weak else _tensor(q)
    levels = share.reshape(-1)
    if levels.size and (levels._array.min() < 0 or levels._array.max() > 1):
        raise ArgumentError("quantile: q must lie in [0, 1] (percentile: in [0, 100])")
    ordered = sort(flat)
    missing = np.isnan(flat._array)
    present = n - missing.sum(axis=-1, keepdims=True) if ignore_nan else np.full((*flat.shape[:-1], 1), n)
    place = _tensor(np.maximum(present - 1, 0) / 2) if middle else _places(levels, present, method)
    below = np.floor(place._array).astype(int)
    above = np.minimum(below + (place._array > below if middle else 1), np.maximum(present - 1, 0))
    low, high = take_along_axis(ordered, below, -1), take_along_axis(ordered, above, -1)
    result = low
    if method not in _CHOICES:
        kind = np.result_type(flat.dtype, share.dtype if share.dtype.kind == "f" else float)
        between = (place - below.astype(float)).astype(kind)
        # Where a quantile that moves in steps is one of the values, its neighbour has no part in it, were it infinite.
        alone = between._array == 0 if method in _STEP_METHODS else np.False_
        if alone.all():
            result = low.astype(kind)
        else:
            result = 0.5 * low + 0.5 * high if middle else low + between * (high - low)
            result = where(alone, low, result) if alone.any() else result
    bad = missing.all(axis=-1, keepdims=True) if ignore_nan else missing.any(axis=-1, keepdims=True)
    if bad.any():
        result = where(bad, np.nan, result)
    result = shaping.moveaxis(result, -1, 0)
    if keepdims:
        result = result.reshape((levels.size, *(1 if i in axes else n for i, n in enumerate(t.shape))))
    return result.reshape(share.shape + result.shape[1:])


def _quantiles(numpys: Any, ignore_nan: bool) -> Any:
    name = numpys.__name__

    @dispatch.implements(numpys)
    def function(
        a: Any,
        q: Any,
        axis: Any = None,
        out: None = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: bool = False,
        **kwargs: Any,
    ) -> Any:
        no_out(name, out)
        real_numbers(name, _tensor(a))
        weights = None if ignore_nan else kwargs.pop("weights", None)
        _no_weights(name, kwargs)
        if weights is not None:
            return _weighted_quantile(_tensor(a), dispatch.bare(q), axis, method, keepdims, dispatch.bare(weights))
        if ignore_nan and not np.size(bare(a)):
            return reductions.mean(a, axis, keepdims=keepdims)
        return _quantile(a, q, axis, method, keepdims, ignore_nan)

    words = f"Differentiable ``numpy.{name}`` in the values and, for the methods in which it moves, in ``q``."
    return named(function, name, words)


quantile, nanquantile = _quantiles(np.quantile, False), _quantiles(np.nanquantile, True)


def _weighted_quantile(t: Any, q: Any, axis: Any, method: str, keepdims: bool, weights: Any) -> Any:
    """A weighted quantile is one of the values; which, NumPy tells when it is asked for that of their ranks."""
    if axis is None:
        shape = (1,) * t.ndim if keepdims else ()
        weights = np.broadcast_to(weights, t.shape).reshape(-1)
        found = _weighted_quantile(t.reshape(-1), q, 0, method, False, weights)
        return found.reshape(np.shape(q) + shape)
    axes = axes_of(axis, t.ndim)
    if len(axes) != 1:
        raise ArgumentError(f"quantile with weights: one axis or None, got {axis!r}")
    (axis,) = axes
    order = np.argsort(t._array, axis=axis, kind="stable")
    ranks = np.argsort(order, axis=axis, kind="stable").astype(float)
    place = np.quantile(ranks, q, axis=axis, method=method, keepdims=True, weights=weights)  # type: ignore[call-overload]
    ordered = take_along_axis(t, order, axis)
    rows = place.reshape(-1, *place.shape[np.ndim(q) :]).astype(int)
    found = shaping.stack([take_along_axis(ordered, row, axis) for row in rows])
    missing = np.isnan(t._array).any(axis=axis, keepdims=True)
    found = where(missing, np.nan, found) if missing.any() else found
    if not keepdims:
        found = shaping.squeeze(found, 1 + axis)
    return found.reshape(np.shape(q) + found.shape[1:])


def _no_weights(name: str, kwargs: dict[str, Any]) -> None:
    given = [key for key, value in kwargs.items() if value is not None and value is not np._NoValue]
    if given:
        raise NotDifferentiableError(f"np.{name} with {', '.join(given)}= has no gradient here; leave it out")


def _percentiles(numpys: Any, of_share: Any) -> Any:
    @dispatch.implements(numpys)
    def function(a: Any, q: Any, axis: Any = None, out: None = None, *args: Any, **kwargs: Any) -> Any:
        return of_share(a, q / 100.0 if type(q) in (int, float) else _tensor(q) / 100.0, axis, out, *args, **kwargs)

    return named(function, numpys.__name__, f"Differentiable ``numpy.{numpys.__name__}``, all methods.")


percentile, nanpercentile = _percentiles(np.percentile, quantile), _percentiles(np.nanpercentile, nanquantile)


@dispatch.implements(np.median)
def median(a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """Differentiable ``numpy.median``; of an even number the two in the middle share the gradient."""
    if not np.size(bare(a)):
        return reductions.mean(a, axis, None, out, keepdims)
    no_out("median", out)
    return _quantile(shaping._floats(a), 0.5, axis, "midpoint", keepdims, False, True)


@dispatch.implements(np.nanmedian)
def nanmedian(a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """Differentiable ``numpy.nanmedian``."""
    no_out("nanmedian", out)
    if not np.size(bare(a)):
        return reductions.mean(a, axis, None, None, keepdims)
    return _quantile(shaping._floats(a), 0.5, axis, "midpoint", keepdims, True, True)


# --- NaN-ignoring reductions: NaN is replaced by the neutral element, and its gradient is 0 ---------------------------


def _without_nan(a: Any, neutral: float) -> tuple[Any, Any]:
    t = _tensor(a)
    present = ~np.isnan(t._array)
    return where(present, t, neutral) if t.dtype.kind in "fc" else t, present


@dispatch.implements(np.nansum)
def nansum(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, **kw: Any) -> Any:
    """Differentiable ``numpy.nansum``."""
    return reductions.sum(_without_nan(a, 0.0)[0], axis, dtype, out, bool(keepdims), **kw)


@dispatch.implements(np.nanprod)
def nanprod(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, **kw: Any) -> Any:
    """Differentiable ``numpy.nanprod``."""
    return reductions.prod(_without_nan(a, 1.0)[0], axis, dtype, out, bool(keepdims), **kw)


def _present(keywords: dict[str, Any], present: Any) -> dict[str, Any]:
    """The keywords of a reduction that leaves out what is not present, too."""
    return {**keywords, "where": present & dispatch.bare(keywords.get("where", True))}


@dispatch.implements(np.nanmean)
def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, **kw: Any) -> Any:
    """Differentiable ``numpy.nanmean``."""
    values, present = _without_nan(a, 0.0)
    return reductions.mean(values, axis, dtype, out, bool(keepdims), **_present(kw, present))


def _spread_without_nan(numpys: Any, ours: Any) -> Any:
    name = numpys.__name__

    @dispatch.implements(numpys)
    def function(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        ddof: float = 0,
        keepdims: bool = False,
        **kw: Any,
    ) -> Any:
        values, present = _without_nan(a, 0.0)
        kw = _present(kw, present)
        ddof = reductions._ddof(name, ddof, kw.pop("correction", None))
        made = ours(values, axis, dtype, out, ddof, bool(keepdims), **kw)
        few = np.sum(np.broadcast_to(kw["where"], present.shape), reductions._axis(axis), keepdims=keepdims) <= ddof
        centre = reductions.sum(values, axis, keepdims=bool(keepdims)) if np.any(few) else None
        return reductions.undefined(made, centre, few)

    return named(function, name, f"Differentiable ``numpy.{name}``.")


nanvar, nanstd = _spread_without_nan(np.nanvar, reductions.var), _spread_without_nan(np.nanstd, reductions.std)


def _nan_extreme(
    a: Any, axis: Any, keepdims: bool, neutral: float, step: Any, initial: Any = None, where: Any = True
) -> Any:
    values, present = _without_nan(a, neutral)
    result = step(values, reductions._axis(axis), keepdims=keepdims, initial=initial, where=where)
    if initial is not None:
        return result
    empty = ~present.any(axis=reductions._axis(axis), keepdims=keepdims)
    return np.where(empty, np.nan, result).astype(result.dtype) if np.any(empty) else result


@dispatch.implements(np.nanmax)
def nanmax(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, **kw: Any) -> Any:
    """Differentiable ``numpy.nanmax``."""
    no_out("nanmax", out)
    return _nan_extreme(a, axis, bool(keepdims), -np.inf, reductions.max, **kw)


@dispatch.implements(np.nanmin)
def nanmin(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, **kw: Any) -> Any:
    """Differentiable ``numpy.nanmin``."""
    no_out("nanmin", out)
    return _nan_extreme(a, axis, bool(keepdims), np.inf, reductions.min, **kw)


@dispatch.implements(np.nancumsum)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.nancumsum``."""
    return reductions.cumsum(_without_nan(a, 0.0)[0], axis, dtype, out)


@dispatch.implements(np.nancumprod)
def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.nancumprod``."""
    return cumprod(_without_nan(a, 1.0)[0], axis, dtype, out)


@dispatch.implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """Differentiable ``numpy.nan_to_num``, in what is put in, too. ``copy=False`` writes into a Tensor."""
    t = _tensor(x)
    data, given = t._array, (nan, posinf, neginf)
    moving = any(map(tracked, given))
    if moving and data.dtype.kind == "c":
        replaced = nan_to_num(t.real, True, *given) + 1j * nan_to_num(t.imag, True, *given)
    elif moving and data.dtype.kind == "f":
        most = np.finfo(data.dtype).max
        infinite = where(data > 0, most if posinf is None else posinf, -most if neginf is None else neginf)
        replaced = where(np.isnan(data), nan, infinite).astype(data.dtype)
    else:
        nan, posinf, neginf = map(dispatch.bare, given)
        replaced = np.nan_to_num(data, nan=nan, posinf=posinf, neginf=neginf)
        if data.dtype.kind == "c":  # one part that is finite moves on
            kept = where(np.isfinite(data.real), t.real, 0.0) + 1j * where(np.isfinite(data.imag), t.imag, 0.0)
            replaced = replaced + (kept - kept.detach())
    result = where(np.isfinite(data), t, replaced)
    if copy or t is not x:
        return result
    assignment.assign(x, Ellipsis, result)
    return x


# --- statistics -------------------------------------------------------------------------------------------------------


@dispatch.implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    """Differentiable ``numpy.average`` in values and weights."""
    t = _tensor(a)
    keep = bool(keepdims)
    if weights is None:
        result = reductions.mean(t, axis, keepdims=keep)
        total = _tensor(np.full(result.shape, t.size / max(result.size, 1)))
    else:
        w = _tensor(weights)
        if w.shape != t.shape:
            along = None if axis is None else normalize_axis_tuple(axis, t.ndim)
            if along is None or w.shape != tuple(t.shape[i] for i in along):
                raise ShapeError(
                    f"average: weights of shape {w.shape} for values of shape {t.shape}; pass the axes that they have,"
                    " or weights of that shape"
                )
            w = w.transpose(np.argsort(along).tolist()).reshape([n if i in along else 1 for i, n in enumerate(t.shape)])
            w = np.broadcast_to(w, t.shape)
        if not hasattr(weights, "_node") and np.any(np.sum(bare(w), axis=axis) == 0):
            raise ZeroDivisionError("average: the weights sum to zero")
        kind = np.result_type(t.dtype, w.dtype, *([] if t.dtype.kind in "fc" else [float]))
        total = reductions.sum(w, axis, kind, keepdims=keep)
        result = reductions.sum(t.astype(kind, copy=False) * w, axis, keepdims=keep) / total
    return (result, total) if returned else result


@dispatch.implements(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """Differentiable ``numpy.cov`` in the observations and the weights ``aweights``."""
    with np.errstate(all="ignore"):
        # NumPy itself tells what is wrong with the arguments.
        plain: Any = np.cov
        kind = plain(
            *dispatch.bare((m, y)), rowvar, bias, ddof, *dispatch.bare((fweights, aweights)), dtype=dtype
        ).dtype
    x = shaping.atleast_2d(_tensor(m))
    if not rowvar and np.ndim(bare(m)) > 1:
        x = x.T
    if y is not None:
        other = shaping.atleast_2d(_tensor(y))
        x = shaping.concatenate([x, other.T if not rowvar and np.ndim(bare(y)) > 1 else other], axis=0)
    x = x.astype(kind, copy=False)
    free = (0 if bias else 1) if ddof is None else ddof
    weights, count = None, x.shape[1] - free
    if fweights is not None or aweights is not None:
        f = 1.0 if fweights is None else np.asarray(dispatch.bare(fweights), float)
        a = None if aweights is None else _tensor(aweights)
        weights = _tensor(f) if a is None else a * f
        total = reductions.sum(weights)
        count = total - free * (1.0 if a is None else reductions.sum(weights * a) / total)
        centred = x - reductions.sum(x * weights, axis=1, keepdims=True) / total
    else:
        centred = x - reductions.mean(x, axis=1, keepdims=True)
    other = elementwise.conjugate.function(centred.T) if centred.dtype.kind == "c" else centred.T
    left = centred if weights is None else centred * weights
    free_of_sign = np.maximum(dispatch.bare(count), 0)  # nothing to divide by gives NaN or infinity, as in NumPy
    result = matmul.function(left, other) / (count if free_of_sign > 0 else free_of_sign)
    if not free_of_sign > 0:
        result = reductions.undefined(result, reductions.mean(x), np.isnan(result._array))
    return shaping.squeeze(result)


@dispatch.implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Differentiable ``numpy.corrcoef``."""
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    spread = np.sqrt(np.real(np.diagonal(c)))
    result = c / spread[:, None] / spread[None, :]
    # Rounding may carry a correlation beyond 1; NumPy cuts it, and the derivative is not meant.
    data = result._array
    cut = np.clip(data.real, -1, 1)
    if data.dtype.kind == "c":
        cut = cut + 1j * np.clip(data.imag, -1, 1)
    return result if np.array_equal(cut, data, equal_nan=True) else result + (cut - data)


# --- interpolation and convolution ------------------------------------------------------------------------------------


@dispatch.implements(np.interp)
def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: ArrayLike,
    left: ArrayLike | None = None,
    right: ArrayLike | None = None,
    period: ArrayLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.interp`` in the points, the nodes and their values."""
    points, nodes, values = map(shaping._floats, (x, xp, fp))
    if period is not None:
        if np.any(np.asarray(bare(period)) == 0):
            raise ArgumentError("interp: period must not be zero")
        # One node more on either side, and every point is inside; left and right are of no account, as in NumPy.
        length, left, right = abs(period), None, None  # type: ignore[arg-type]
        points, nodes = points % length, nodes % length
        order = np.argsort(nodes._array)
        nodes, values = nodes[order], values[order]
        nodes = shaping.concatenate([nodes[-1:] - length, nodes, nodes[:1] + length])
        values = shaping.concatenate([values[-1:], values, values[:1]])
    # NumPy since 2.5 asks for no node where there is no point.
    if nodes.ndim == 1 and nodes.shape == values.shape and not points.size:
        return points + 0.0  # type: ignore[no-any-return]
    if nodes.ndim != 1 or nodes.shape != values.shape or not nodes.size:
        raise ShapeError(
            f"interp: nodes of shape {nodes.shape} and values of shape {values.shape}; they need one shape (n,)"
        )
    n = nodes.size
    low = np.clip(np.searchsorted(nodes._array, points._array, side="right") - 1, 0, max(n - 2, 0))
    high = np.minimum(low + 1, n - 1)
    x0, y0 = nodes[low], values[low]
    width = nodes[high] - x0
    slope = where(width._array == 0, 0.0, (values[high] - y0) / where(width._array == 0, 1.0, width))
    result = y0 + slope * (points - x0)
    if np.any(np.isnan(result._array)):  # as NumPy: from the other node, the value at a node, or that of both
        x1, y1 = nodes[high], values[high]
        result = where(np.isnan(result._array), y1 + slope * (points - x1), result)
        met = ((points._array == x0._array, y0), (points._array == x1._array, y1), (y0._array == y1._array, y0))
        for here, value in met:
            result = where(np.isnan(result._array) & here, value, result)
    result = where(points._array < nodes._array[0], values[0] if left is None else left, result)
    return where(points._array > nodes._array[-1], values[n - 1] if right is None else right, result)  # type: ignore[no-any-return]


@dispatch.implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Differentiable ``numpy.convolve``: one vector against the shifted windows of the other."""
    x, k = _tensor(a), _tensor(v)
    if x.ndim > 1 or k.ndim > 1 or not x.size or not k.size:
        raise ShapeError(f"convolve: needs two non-empty vectors, got shapes {x.shape} and {k.shape}")
    x, k = x.reshape(-1), k.reshape(-1)
    if k.size > x.size:
        x, k = k, x
    n, m = x.size, k.size
    padded = shaping.pad(x, (m - 1, m - 1))
    windows = padded[np.arange(n + m - 1)[:, None] + np.arange(m)[None, ::-1]]
    full = matmul.function(windows, k)
    if mode == "full":
        return full
    if mode == "same":
        start = (m - 1) // 2
        return full[start : start + n]
    if mode == "valid":
        return full[m - 1 : n]
    raise ArgumentError(f"convolve: mode must be 'full', 'same' or 'valid', got {mode!r}")


@dispatch.implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Differentiable ``numpy.correlate``."""
    x, k = _tensor(a), _tensor(v)
    if x.ndim != 1 or k.ndim != 1:
        raise ShapeError(f"correlate: needs two vectors, got shapes {x.shape} and {k.shape}")
    k = elementwise.conjugate.function(k) if k.dtype.kind == "c" else k
    # NumPy puts the output of a shorter first argument in reverse.
    if mode == "same" and k.size > x.size:
        return shaping.flip(convolve(shaping.flip(x), k, mode))
    return convolve(x, shaping.flip(k), mode)


# --- special points -----------------------------------------------------------------------------------


sinc_ = Primitive(
    "sinc",
    lambda x: np.sinc(x),
    lambda g, out, x: g * (-np.pi * of(spherical_bessel, x, 1)),
    numpy=np.sinc,
    pointwise=True,
    ulps=(32.0, 32.0, 64.0),
)
i0_ = Primitive(
    "i0", lambda x: np.i0(x), lambda g, out, x: g * of(bessel_i, x, 1), numpy=np.i0, pointwise=True, real_only=True
)


@dispatch.implements(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """Differentiable ``numpy.angle``."""
    t = _tensor(z)
    result = elementwise.arctan2.function(t.imag, t.real)
    return result * (180 / np.pi) if deg else result


@dispatch.implements(np.real_if_close)
def real_if_close(a: Any, tol: float = 100) -> Any:
    """Differentiable ``numpy.real_if_close``."""
    t = _tensor(a)
    return t.real if np.isrealobj(np.real_if_close(t._array, tol)) and t.dtype.kind == "c" else t


def _leaving_the_reals(name: str) -> None:
    """One of ``numpy.lib.scimath``: NumPy's function of the values' name, of complex numbers where it says so."""
    numpys = getattr(np.lib.scimath, name)
    inner = getattr(np, name, lambda n, x: np.log(x) / np.log(n))

    def function(*values: Any) -> Any:
        tensors = [_tensor(value) for value in values]
        kind = np.asarray(numpys(*[t._array for t in tensors])).dtype
        return inner(*[t.astype(kind) if kind.kind == "c" else t for t in tensors])

    words = f"Differentiable ``numpy.emath.{name}``: complex where the values leave the domain of the real function."
    dispatch.implements(numpys)(named(function, name, words))


for _name in np.lib.scimath.__all__:
    _leaving_the_reals(_name)

ldexp_ = Primitive(
    "ldexp",
    np.ldexp,
    lambda g, out, x, n: np.ldexp(g, n),
    None,
    sample=lambda draw: ((draw.array(draw.shape()), np.array(3)), {}),
)
nextafter_ = Primitive(
    "nextafter",
    np.nextafter,
    lambda g, out, x, towards: g,
    None,
    sample=lambda draw: ((draw.array(draw.shape()), np.array(9.0)), {}),
)


@dispatch.implements(np.ldexp)
def ldexp(x1: Any, x2: Any) -> Any:
    """Differentiable ``numpy.ldexp`` in its first argument."""
    return ldexp_.function(x1, dispatch.bare(x2))


@dispatch.implements(np.nextafter)
def nextafter(x1: Any, x2: Any) -> Any:
    """Differentiable ``numpy.nextafter``: as good as its first argument itself."""
    return nextafter_.function(x1, dispatch.bare(x2))


@dispatch.implements(np.heaviside)
def heaviside(x1: Any, x2: Any) -> Any:
    """Differentiable ``numpy.heaviside``: at 0 it is its second argument."""
    plain = np.heaviside(*dispatch.bare((x1, x2)))
    return elementwise.where_.function(np.equal(dispatch.bare(x1), 0), _tensor(x2).astype(plain.dtype), plain)


@dispatch.implements(np.modf)
def modf(x: Any) -> tuple[Any, Any]:
    """Differentiable ``numpy.modf``: the fractional part moves with ``x``, the whole part is constant."""
    t = _tensor(x)
    rest, whole = np.modf(t._array)
    return elementwise.where_.function(np.isinf(whole), rest, t - whole), _tensor(whole)


@dispatch.implements(np.divmod)
def divmod_(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Differentiable ``numpy.divmod``: the quotient is constant."""
    return np.floor_divide(_tensor(x1), x2), elementwise.remainder.function(x1, x2)


def _ends(*ends: Any, least: Any = 0.0) -> list[Any]:
    """Both in one dtype, that of the result; Python's numbers are weak."""
    kind = np.result_type(*[end if type(end) in (int, float, complex) else _tensor(end).dtype for end in ends], least)
    return [_tensor(end).astype(kind) for end in ends]


@dispatch.implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """Differentiable ``numpy.linspace`` in both ends."""
    if num < 0:
        raise ArgumentError(f"linspace: the number of samples must not be negative, got {num}")
    first, last = shaping.broadcast_arrays(*_ends(start, stop))
    count = num - 1 if endpoint else num
    place = np.arange(num, dtype=np.result_type(first.dtype, last.dtype)).reshape((-1,) + (1,) * first.ndim)
    result = first + (last - first) / max(count, 1) * place
    if endpoint and num > 1:  # the sum above is rounded, the end is not
        result = elementwise.where_.function(place == count, last, result)
    result = shaping.moveaxis(result, 0, axis)
    if dtype is not None:
        whole = np.issubdtype(dtype, np.integer) and result.dtype.kind == "f"
        result = (np.floor(result) if whole else result).astype(dtype)
    return (result, (last - first) / (count if count > 0 else np.nan)) if retstep else result


@dispatch.implements(np.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    """Differentiable ``numpy.logspace`` in both ends and the base."""
    if np.ndim(bare(base)):  # a base for each pair of ends
        start, stop, base = shaping.broadcast_arrays(start, stop, base)
        base = shaping.expand_dims(base, axis)
    result = elementwise.power.function(base, linspace(start, stop, num, endpoint, axis=axis))
    return result if dtype is None else result.astype(dtype)


@dispatch.implements(np.geomspace)
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """Differentiable ``numpy.geomspace`` in both ends, which must be positive."""
    first, last = _ends(start, stop, least=float)
    if (first._array <= 0).any() or (last._array <= 0).any():
        raise ArgumentError("geomspace: both ends must be positive")
    result = np.exp(linspace(np.log(first), np.log(last), num, endpoint, axis=axis))
    return result if dtype is None else result.astype(dtype)
