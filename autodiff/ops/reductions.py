"""Reductions and running sums over axes."""

from __future__ import annotations

import builtins
from math import prod as prod_of
from operator import index
from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.batching import Lanes
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.core.op import Primitive
from autodiff.ops.common import axes_of, bare, expand_reduced, kept_product, no_out, quotient, spread
from autodiff.ops.short_sums import is_short, summed

P = Primitive


def _sample(draw: Any, **options: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape()
    return (draw.array(shape, **options),), {"axis": draw.axes(len(shape)), "keepdims": draw.boolean()}


def _count(shape: tuple[int, ...], axis: Any) -> int:
    """How many elements go into each output."""
    if axis is None:
        return prod_of(shape)
    return prod_of(shape[a] for a in (axis if isinstance(axis, tuple) else (axis,)))


def _sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    if is_short(x, axis):
        return summed(x, keepdims)
    return np.add.reduce(x, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]  # np.sum less its Python wrapper


def _by(numpys: Any) -> Any:
    return lambda x, axis=None, keepdims=False: numpys(x, axis=axis, keepdims=keepdims)


def _spread_by(numpys: Any) -> Any:
    return lambda x, axis=None, ddof=0, keepdims=False: numpys(x, axis=axis, ddof=ddof, keepdims=keepdims)


def _others_product(x: Any, axis: Any) -> Any:
    """For every element the product of all others along ``axis``: exact where elements are zero.

    It divides by nothing, so that derivatives of it keep their digits beside small elements, too.
    """
    if not x.ndim:
        return x * 0 + 1
    axes = axes_of(axis, x.ndim)
    rest = tuple(a for a in range(x.ndim) if a not in axes)
    moved = np.transpose(x, rest + axes)
    flat = np.reshape(moved, (*(x.shape[a] for a in rest), prod_of(x.shape[a] for a in axes)))
    with np.errstate(invalid="ignore", over="ignore"):
        others = _others_in_rows(flat)
    # Infinity times zero: where one of the others is zero, so is the product, however large the rest.
    undone = np.isnan(bare(others)) & ~np.isnan(bare(flat)).any(axis=-1, keepdims=True)
    if np.any(undone):
        others = np.where(undone, 0, others)
    order = np.argsort(rest + axes)
    return np.transpose(np.reshape(others, moved.shape), tuple(int(i) for i in order))


def _others_in_rows(x: Any) -> Any:
    """In every row: the other one of two neighbours times the product of all other pairs."""
    n = x.shape[-1]
    if n < 2:
        return np.ones(x.shape, x.dtype)
    if n % 2:
        x = np.concatenate([x, np.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)
    first, second = x[..., ::2], x[..., 1::2]
    pairs = _others_in_rows(first * second)
    others = np.stack([second * pairs, first * pairs], axis=-1)
    return np.reshape(others, x.shape)[..., :n]


def divides(out: Any, x: Any) -> bool:
    """Whether ``out / x`` is the product of the others, and keeps its digits where it is differentiated again: its
    derivatives cancel, and lose as many as elements of ``x`` differ in size.
    """
    sizes, products = np.abs(bare(x)), bare(out)
    if np.count_nonzero(sizes) < x.size or not np.all(np.isfinite(products) & (products != 0)):
        return False
    return not hasattr(x, "_node") or bool(np.max(sizes, initial=0) < 100 * np.min(sizes, initial=np.inf))


def _prod_rule(g: Any, out: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    if not x.size:
        return np.zeros(x.shape)
    spread_g = spread(g, x.shape, axis, keepdims)
    if divides(out, x):
        return spread_g * (expand_reduced(out, axis, keepdims) / x)
    return kept_product(spread_g, _others_product(x, axis))


def _chosen(out: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Which elements are the extreme one."""
    top = expand_reduced(bare(out), axis, keepdims)
    return (bare(x) == top) | (np.isnan(top) & np.isnan(bare(x)))


def _extreme_rule(g: Any, out: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    chosen = _chosen(out, x, axis, keepdims)
    ties = np.sum(chosen, axis=axis, keepdims=True)
    if np.all(ties == 1):
        return np.where(chosen, spread(g, x.shape, axis, keepdims), 0)
    return np.where(chosen, spread(g, x.shape, axis, keepdims) / ties, 0)


def _centred(x: Any, axis: Any) -> Any:
    """Deviations from the mean; of complex numbers their conjugates, the derivative of half of |deviation|^2
    (docs/complex.md).
    """
    deviation = x - np.mean(x, axis=axis, keepdims=True)
    return np.conjugate(deviation) if bare(x).dtype.kind == "c" else deviation


def _share(shape: tuple[int, ...], axis: Any, ddof: float) -> float:
    """``1 / (n - ddof)``; NaN, as NumPy's variance is, where there is nothing to divide by."""
    count = _count(shape, axis) - ddof
    return 1.0 / count if count > 0 else float("nan")


def _var_rule(g: Any, out: Any, x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    # d var / dx_i = 2 (x_i - mean) / (n - ddof): the path through the mean cancels, since the deviations sum to zero.
    return spread(g * (2.0 * _share(x.shape, axis, ddof)), x.shape, axis, keepdims) * _centred(x, axis)


def _std_rule(g: Any, out: Any, x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    # 0 for a constant slice, where both the deviation and the std are zero (docs/kinks.md).
    deviation = _centred(x, axis)
    scale = np.broadcast_to(expand_reduced(out, axis, keepdims), x.shape)
    return spread(g * _share(x.shape, axis, ddof), x.shape, axis, keepdims) * quotient(deviation, scale)


sum_ = P(
    "sum",
    _sum,
    lambda g, out, x, axis=None, keepdims=False: spread(g, x.shape, axis, keepdims),
    linear="jointly",
    sample=_sample,
    label="Σ",
)
mean_ = P(
    "mean",
    _by(np.mean),
    lambda g, out, x, axis=None, keepdims=False: spread(
        g * (1.0 / max_count(_count(x.shape, axis))), x.shape, axis, keepdims
    ),
    linear="jointly",
    sample=_sample,
)


def _prod_tangent(t: Any, out: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    others = _others_product(x, axis) if x.size else 0 * x
    return np.sum(kept_product(t, others), axis=axis, keepdims=keepdims)


def _extreme_tangent(t: Any, out: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    chosen = _chosen(out, x, axis, keepdims)
    ties = np.sum(chosen, axis=axis, keepdims=keepdims)
    total = np.sum(np.where(chosen, t, 0), axis=axis, keepdims=keepdims)
    return total if np.all(ties == 1) else total / ties


prod_ = P("prod", _by(np.prod), _prod_rule, sample=_sample, label="Π", tangent=_prod_tangent)
max_ = P("max", _by(np.max), _extreme_rule, sample=lambda draw: _sample(draw, distinct=True), tangent=_extreme_tangent)
min_ = P("min", _by(np.min), _extreme_rule, sample=lambda draw: _sample(draw, distinct=True), tangent=_extreme_tangent)


def _sample_spread(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=1, min_side=2)
    return (draw.array(shape, distinct=True),), {
        "axis": draw.axis(len(shape)),
        "ddof": draw.choice((0, 1)),
        "keepdims": draw.boolean(),
    }


def _var_tangent(t: Any, out: Any, x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    # The mean of the tangents drops out, since the deviations sum to zero.
    total = np.sum(_centred(x, axis) * t, axis=axis, keepdims=keepdims)
    return (2.0 * _share(x.shape, axis, ddof)) * (np.real(total) if bare(total).dtype.kind == "c" else total)


def _std_tangent(t: Any, out: Any, x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    return quotient(_var_tangent(t, out, x, axis, ddof, keepdims), 2 * out)


var_ = P("var", _spread_by(np.var), _var_rule, sample=_sample_spread, tangent=_var_tangent)
std_ = P("std", _spread_by(np.std), _std_rule, sample=_sample_spread, tangent=_std_tangent)


def max_count(count: int) -> int:
    """At least one, so that an empty mean's (empty) gradient divides by no zero."""
    return builtins.max(count, 1)


def _cumsum_rule(g: Any, out: Any, x: Any, axis: Any = None) -> Any:
    # y_j = sum_{i <= j} x_i, so dx_i = sum_{j >= i} g_j: a running sum from the other end.
    if axis is None:
        return np.reshape(np.flip(np.cumsum(np.flip(g))), x.shape)
    return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis)


def _sample_axis(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=1)
    return (draw.array(shape),), {"axis": draw.choice((None, draw.axis(len(shape))))}


cumsum_ = P("cumsum", lambda x, axis=None: np.cumsum(x, axis=axis), _cumsum_rule, sample=_sample_axis, linear="jointly")


# --- the public functions, with NumPy's arguments ---------------------------------------------------------------------


def _settled(name: str, a: Any, dtype: Any, out: Any, where: Any, neutral: Any, initial: Any = None) -> Any:
    """Deal with the arguments that every NumPy reduction has: ``dtype`` casts first, ``where`` puts in the neutral
    element.
    """
    from autodiff.ops.elementwise import astype, where_

    no_out(name, out)
    if dtype is not None:
        a = astype(a, dtype)
    if where is not True:
        if neutral is None and initial is None:
            raise ArgumentError(f"{name}: where= needs initial=, the value of an empty {name}")
        mask = bare(where)
        given = dispatch.bare(where)
        mask = mask if mask.__class__ is Lanes else np.asarray(given, None if hasattr(given, "dtype") else bool)
        if mask.dtype != bool:
            raise DTypeError(f"{name}: where= must hold truth values, got {mask.dtype}")
        try:
            fits = np.broadcast_shapes(mask.shape, np.shape(dispatch.bare(a))) == np.shape(dispatch.bare(a))
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(f"{name}: where= of shape {mask.shape} for an array of shape {np.shape(dispatch.bare(a))}")
        a = where_.function(mask, a, neutral if neutral is not None else initial)
    return a


def _asked(result: Any, dtype: Any) -> Any:
    """The result in the dtype that was asked for: NumPy accumulates small integers in wider ones."""
    return result if dtype is None or result.dtype == dtype else result.astype(dtype)


def _axis_of(a: Any, axis: Any) -> Any:
    """``axis``, where NumPy takes the only number for a vector."""
    return None if isinstance(axis, int) and axis in (0, -1) and np.ndim(bare(a)) == 0 else axis


def _axis(axis: Any) -> Any:
    if axis is None or isinstance(axis, int):
        return axis
    if isinstance(axis, (tuple, list)):
        return tuple(int(a) for a in axis)
    try:
        return index(axis)
    except TypeError as error:
        raise ArgumentError(
            f"axis is an integer, a tuple of integers or None, got {type(axis).__name__}; of two arrays element by"
            " element write np.maximum(a, b), np.minimum(a, b), a + b"
        ) from error


@dispatch.implements(np.sum)
def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = 0,
    where: Any = True,
) -> Any:
    """Differentiable ``numpy.sum``.

    Parameters
    ----------
    a : array_like or Tensor
    axis : int, tuple of int or None
    dtype : dtype, optional
        Cast to it before summing.
    out : None
        Refused.
    keepdims : bool
    initial : scalar or Tensor
        Added to the sum.
    where : array_like of bool
        Which elements count.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> autodiff.sum(x, axis=0)
    tensor([4., 6.], requires_grad=True)
    """
    axis = _axis_of(a, axis)
    a = _settled("sum", a, dtype, out, where, 0)
    result = _asked(sum_.function(a, _axis(axis), keepdims), dtype)
    return result if is_neutral(initial, 0) else result + _begun(initial, result)


@dispatch.implements(np.mean)
def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, *, where: Any = True
) -> Any:
    """Differentiable ``numpy.mean``; arguments as :func:`sum`.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([1.0, 2.0, 6.0], requires_grad=True)
    >>> autodiff.mean(x).backward()
    >>> x.grad
    array([0.33333333, 0.33333333, 0.33333333])
    """
    if where is not True:
        total = sum(a, axis, dtype, out, keepdims, where=where)
        count = np.sum(np.broadcast_to(dispatch.bare(where), np.shape(bare(a))), axis=_axis(axis), keepdims=keepdims)
        return _asked(total / _as_float(count, total), dtype)
    return _asked(mean_.function(_settled("mean", a, dtype, out, where, 0), _axis(axis), keepdims), dtype)


@dispatch.implements(np.prod)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = 1,
    where: Any = True,
) -> Any:
    """Differentiable ``numpy.prod``, exact where elements are zero; arguments as :func:`sum`.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([2.0, 0.0, 5.0], requires_grad=True)
    >>> autodiff.prod(x).backward()
    >>> x.grad
    array([ 0., 10.,  0.])
    """
    axis = _axis_of(a, axis)
    result = _asked(prod_.function(_settled("prod", a, dtype, out, where, 1), _axis(axis), keepdims), dtype)
    return result if is_neutral(initial, 1) else result * _begun(initial, result)


@dispatch.implements(np.max, np.amax)
def max(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """Differentiable ``numpy.max``. Ties share the gradient equally (docs/kinks.md); arguments as :func:`sum`.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([1.0, 3.0, 3.0], requires_grad=True)
    >>> autodiff.max(x).backward()
    >>> x.grad
    array([0. , 0.5, 0.5])
    """
    return _extreme(max_, np.maximum, a, axis, out, keepdims, initial, where)


@dispatch.implements(np.min, np.amin)
def min(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """Differentiable ``numpy.min``. Ties share the gradient equally (docs/kinks.md); arguments as :func:`sum`.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.min(autodiff.tensor([2.0, 1.0])).item()
    1.0
    """
    return _extreme(min_, np.minimum, a, axis, out, keepdims, initial, where)


def _extreme(op: P, of_two: Any, a: Any, axis: Any, out: Any, keepdims: bool, initial: Any, where: Any) -> Any:
    axis = _axis_of(a, axis)
    if initial is not None:
        initial = _begun(initial, bare(a))
    a = _settled(op.name, a, None, out, where, None, initial)
    if initial is not None and not np.size(bare(a)):
        return sum(a, axis, keepdims=keepdims).astype(initial.dtype, copy=False) + initial
    result = op.function(a, _axis(axis), keepdims)
    return result if initial is None else of_two(result, initial)


def is_neutral(initial: Any, neutral: float) -> bool:
    """Whether a reduction that begins with it is what it would be without; a number of another class has a say in the
    result's dtype.
    """
    return initial is None or (initial.__class__ is neutral.__class__ and initial == neutral)


def _begun(initial: Any, like: Any) -> Any:
    """What a reduction begins with, in its dtype."""
    from autodiff.ops.elementwise import astype

    dtype = like.dtype if hasattr(like, "dtype") else np.asarray(like).dtype
    return astype(initial, dtype) if hasattr(initial, "_node") else np.asarray(initial).astype(dtype)


def _ddof(name: str, ddof: Any, correction: Any) -> Any:
    if correction is None or correction is np._NoValue:
        return ddof
    if ddof != 0:
        raise ArgumentError(f"{name}: give ddof or correction, not both")
    return correction


def _check_mean(name: str, a: Any, axis: Any, where: Any, given: Any) -> None:
    """Refuse a ``mean=`` that is not the mean: the gradient takes it for that, and leaves out the path through it,
    which then cancels.
    """
    if given is None or given is np._NoValue:
        return
    values, found = np.asarray(bare(a)), np.asarray(bare(given))
    with np.errstate(all="ignore"):
        truth = np.mean(values, axis=_axis(axis), keepdims=True, where=dispatch.bare(where))
    precision = np.finfo(truth.dtype).eps ** 0.5
    near = precision * float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))
    if found.shape != truth.shape or not np.allclose(found, truth, rtol=0, atol=near, equal_nan=True):
        raise ArgumentError(
            f"{name}: mean= must be the mean itself, np.mean(a, axis={axis}, keepdims=True) of shape {truth.shape}, got"
            f" shape {found.shape}{'' if found.shape != truth.shape else ' with other values'}; for squared deviations"
            " from another point write np.mean((a - point)**2)"
        )


def _masked_var(a: Any, axis: Any, ddof: Any, keepdims: bool, where: Any) -> Any:
    kept = np.broadcast_to(dispatch.bare(where), np.shape(bare(a)))
    centre = mean(a, axis, keepdims=True, where=kept)
    deviation = a - centre
    # Not by the absolute value, whose kink at 0 the square does not have.
    squares = np.real(deviation) ** 2 + np.imag(deviation) ** 2 if deviation.dtype.kind == "c" else deviation**2
    squares = sum(squares, axis, keepdims=True, where=kept)
    count = np.maximum(np.sum(kept, axis=axis, keepdims=True) - ddof, 0)  # of nothing to divide by NaN
    result = squares / _as_float(count, squares)
    result = undefined(result, centre, (count == 0) & np.isnan(bare(result)))
    return result if keepdims else np.squeeze(result, axis)


def undefined(result: Any, centre: Any, none: Any) -> Any:
    """A spread about a centre, NaN where there is ``none``, with derivatives that are NaN as well."""
    return result + np.where(none, np.nan, 0.0).astype(result.dtype) * np.real(centre) if np.any(none) else result


def _as_float(count: Any, like: Any) -> Any:
    """Counts in the dtype of what they divide, lest int64 turn float32 into float64."""
    return count.astype(like.dtype if like.dtype.kind in "fc" else float)


@dispatch.implements(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Differentiable ``numpy.var``: ``sum((a - mean)**2) / (n - ddof)``; a ``mean=`` that is not the mean is refused.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([1.0, 3.0], requires_grad=True)
    >>> autodiff.var(x).backward()
    >>> x.grad
    array([-1.,  1.])
    """
    ddof = _ddof("var", ddof, correction)
    _check_mean("var", a, axis, where, mean)
    a = _settled("var", a, dtype, out, True, 0)
    if where is not True:
        return _masked_var(a, _axis(axis), ddof, keepdims, where)
    return var_.function(a, _axis(axis), ddof, keepdims)


@dispatch.implements(np.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Differentiable ``numpy.std``, with gradient 0 for a constant slice (docs/kinks.md).

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([2.0, 2.0], requires_grad=True)
    >>> autodiff.std(x).backward()
    >>> x.grad
    array([0., 0.])
    """
    ddof = _ddof("std", ddof, correction)
    _check_mean("std", a, axis, where, mean)
    a = _settled("std", a, dtype, out, True, 0)
    if where is not True:
        return np.sqrt(_masked_var(a, _axis(axis), ddof, keepdims, where))
    return std_.function(a, _axis(axis), ddof, keepdims)


@dispatch.implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.cumsum``; ``axis=None`` runs over the flattened array.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> autodiff.cumsum(x).sum().backward()
    >>> x.grad
    array([3., 2., 1.])
    """
    t = _settled("cumsum", a, dtype, out, True, 0)
    if not np.ndim(bare(t)) and axis in (0, -1):  # of a number NumPy makes a row
        axis = None
    return _asked(cumsum_.function(t, None if axis is None else int(axis)), dtype)
