"""Methods and keywords of NumPy's ufuncs on tensors: ``np.add.reduce``, ``np.multiply.outer``, ``dtype=``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff import dispatch
from autodiff.core.errors import NotDifferentiableError, ShapeError
from autodiff.ops import calculus, elementwise, indexing, reductions, shaping, writing
from autodiff.ops.common import axes_of, bare, real_numbers
from autodiff.ops.shaping import _tensor


def _reduce(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(
        array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False, **kwargs: Any
    ) -> Any:
        if dtype is not None:
            array = elementwise.astype(array, dtype)
        # np.add.reduce runs over the first axis where np.sum runs over all.
        given = {k: v for k, v in kwargs.items() if v is not np._NoValue}
        return reductions._asked(function(array, axis=axis, keepdims=keepdims, **given), dtype)

    return reduce


def _accumulate(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda array, axis=0, dtype=None, out=None: function(array, axis=axis, dtype=dtype)


def _running(ufunc: Any) -> Callable[..., Any]:
    """The running maximum or minimum: each entry is read where the latest one that set it stands."""

    def accumulate(array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        t = _tensor(array) if dtype is None else elementwise.astype(_tensor(array), dtype)
        plain = bare(t)
        found = ufunc.accumulate(plain, axis)
        here = np.arange(plain.shape[axis]).reshape([-1 if k == axis % plain.ndim else 1 for k in range(plain.ndim)])
        place = np.maximum.accumulate(np.where((plain == found) | np.isnan(plain), here, 0), axis)
        return indexing.take_along_axis(t, place, axis)

    return accumulate


def _step_by_step(ufunc: Any) -> Callable[..., Any]:
    """What ``accumulate`` means, of any function of two numbers."""

    def accumulate(array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        t = _tensor(array) if dtype is None else elementwise.astype(_tensor(array), dtype)
        kind = ufunc.accumulate(np.ones(t.shape, t.dtype), axis).dtype  # NumPy tells what is wrong with the arguments
        found: list[Any] = []
        for part in shaping.moveaxis(t, axis, 0):
            found.append(ufunc(found[-1], part) if found else part)
        return (shaping.stack(found, axis) if found else t).astype(kind, copy=False)

    return accumulate


def _last(ufunc: Any, accumulate: Callable[..., Any]) -> Callable[..., Any]:
    """What ``reduce`` means, of any function of two numbers: the last that accumulates."""

    def reduce(
        array: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = np._NoValue,
        where: Any = True,
    ) -> Any:
        t = _tensor(array) if dtype is None else elementwise.astype(_tensor(array), dtype)
        given = {} if initial is None or initial is np._NoValue else {"initial": dispatch.bare(initial)}
        ones = np.ones(t.shape, t.dtype)  # with which NumPy tells what is wrong with the arguments
        plain = ufunc.reduce(ones, axis=axis, keepdims=keepdims, where=dispatch.bare(where), **given)
        t = reductions._settled(f"{ufunc.__name__}.reduce", t, None, None, where, ufunc.identity)
        axes = axes_of(axis if t.ndim else None, t.ndim)
        rest = [k for k in range(t.ndim) if k not in axes]
        count = int(np.prod([t.shape[k] for k in axes], dtype=int))
        t = shaping.transpose(t, (*axes, *rest)).reshape((count, *(t.shape[k] for k in rest)))
        if given:
            first = shaping.broadcast_to(_tensor(initial).astype(plain.dtype), (1, *t.shape[1:]))
            t = shaping.concatenate([first, t])
        found = accumulate(t)[-1] if len(t) else _tensor(plain)
        return found.reshape(np.shape(plain)).astype(plain.dtype, copy=False)

    return reduce


def _reduceat(ufunc: Any, reduce: Callable[..., Any]) -> Callable[..., Any]:
    """``reduce`` of slices between places; those of one length at once."""

    def reduceat(array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        t = _tensor(array) if dtype is None else elementwise.astype(_tensor(array), dtype)
        axis = normalize_axis_index(axis, t.ndim)
        begin = np.array(dispatch.bare(indices), None if np.size(indices) else np.intp)
        # NumPy tells what is wrong with the arguments.
        kind = ufunc.reduceat(np.ones(t.shape, t.dtype), begin, axis).dtype
        lengths = np.maximum(np.append(begin[1:], t.shape[axis])[: begin.size] - begin, 1)
        parts, order = [], []
        for length in np.unique(lengths):
            order.append(np.flatnonzero(lengths == length))
            slices = indexing.take(t, begin[order[-1]][:, None] + np.arange(length), axis)
            parts.append(reduce(slices, axis=axis + 1))
        if not parts:
            return indexing.take(t, begin, axis).astype(kind, copy=False)
        joined = shaping.concatenate(parts, axis).astype(kind, copy=False)
        return indexing.take(joined, np.argsort(np.concatenate(order)), axis)

    return reduceat


def _logaddexp_reduce(a: Any, axis: Any = 0, keepdims: bool = False, initial: Any = -np.inf, where: Any = True) -> Any:
    t = _tensor(a)
    real_numbers("logaddexp.reduce", t)
    t = t if t.dtype.kind in "f" else t.astype(np.logaddexp(t._array[:0], t._array[:0]).dtype if t.ndim else float)
    t = reductions._settled("logaddexp.reduce", t, None, None, where, -np.inf)
    top = np.max(t._array, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):  # of nothing it is -inf
        total = np.log(reductions.sum(np.exp(t - top), axis=axis, keepdims=True)) + top
    total = total if keepdims else np.squeeze(total, axis=tuple(range(t.ndim)) if axis is None else axis)
    return total if reductions.is_neutral(initial, -np.inf) else np.logaddexp(total, initial)


def _outer(function: Callable[..., Any]) -> Callable[..., Any]:
    def outer(a: Any, b: Any) -> Any:
        x, y = _tensor(a), _tensor(b)
        return function(x.reshape(x.shape + (1,) * y.ndim), y)

    return outer


def _along(ufunc: Any, inputs: Any, along: dict[str, Any]) -> Any:
    """A ufunc of vectors or matrices that lie along other axes than the last: ``axis=``, ``axes=``, ``keepdims=``."""
    tensors = [_tensor(x) for x in inputs]
    shape = ufunc(*[np.ones(t.shape, t.dtype) for t in tensors], **along).shape  # NumPy tells what is wrong
    places = along.get("axes", [along.get("axis", -1)] * len(tensors))
    *given, back = [place if isinstance(place, tuple) else (place,) for place in (*places, ())[: len(tensors) + 1]]
    moved = [shaping.moveaxis(t, at, range(-len(at), 0)) for t, at in zip(tensors, given, strict=True)]
    result = dispatch.differentiable[ufunc](*moved)
    back = () if result.ndim < len(shape) else back  # a length of one is kept for each that was summed over
    return shaping.moveaxis(result, range(-len(back), 0), back).reshape(shape)


def _with_keywords(ufunc: Any, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``dtype=`` casts the inputs first; ``out=`` a Tensor is an assignment into it; ``where=`` without ``out=`` leaves
    elements undefined.
    """
    left = dict(kwargs)
    dtype = left.pop("dtype", None)
    (out,) = left.pop("out", (None,))
    if dtype is not None or "casting" in left:  # NumPy refuses what it refuses, here of arrays without elements
        weak = (int, float, complex)
        empty = [
            x if type(x) in weak else np.ones((0,) * x.ndim, x.dtype)
            for x in (x if type(x) in weak else _tensor(x) for x in inputs)
        ]
        with np.errstate(all="ignore"):
            ufunc(*empty, dtype=dtype, casting=left.pop("casting", "same_kind"))
    for harmless in ("order", "subok"):
        left.pop(harmless, None)
    mask = dispatch.bare(left.pop("where", True))
    along = {key: left.pop(key) for key in [*left] if ufunc.signature and key in ("axes", "axis", "keepdims")}
    if left:
        raise NotDifferentiableError(
            f"np.{ufunc.__name__} with {', '.join(left)}= is not supported on tensors; leave it out"
        )
    whole = mask is True or np.all(mask)
    if not whole and out is None:
        raise NotDifferentiableError(
            f"np.{ufunc.__name__}(..., where=) leaves elements undefined; use np.where(mask, np.{ufunc.__name__}(...),"
            " x), or out= a Tensor"
        )
    if dtype is not None:
        inputs = tuple(elementwise.astype(_tensor(x), dtype) for x in inputs)
    if not whole:
        # What the mask leaves out is not computed: it may lie outside the domain, where a gradient of 0 times infinity
        # would be NaN.
        inputs = tuple(elementwise.where_.function(mask, x, 1) for x in inputs)
    result = _along(ufunc, inputs, along) if along else dispatch.differentiable[ufunc](*inputs)
    if out is None:
        return (
            result if mask is True else shaping.broadcast_to(result, np.broadcast_shapes(result.shape, np.shape(mask)))
        )
    if not whole:
        result = elementwise.where_.function(mask, result, out)
    if result.shape != out.shape:
        with suppress(ShapeError):  # told below, with the names
            result = shaping.broadcast_to(result, out.shape)
    return writing.into(f"np.{ufunc.__name__}", out, result)


def register() -> None:
    """Enter methods and keywords in the dispatch table."""
    methods = dispatch.ufunc_methods
    methods[np.add, "reduce"] = _reduce(reductions.sum)
    methods[np.multiply, "reduce"] = _reduce(reductions.prod)
    methods[np.maximum, "reduce"] = _reduce(reductions.max)
    methods[np.minimum, "reduce"] = _reduce(reductions.min)
    methods[np.logaddexp, "reduce"] = _reduce(_logaddexp_reduce)
    methods[np.add, "accumulate"] = _accumulate(reductions.cumsum)
    methods[np.multiply, "accumulate"] = _accumulate(calculus.cumprod)
    for ufunc in (np.maximum, np.minimum):
        methods[ufunc, "accumulate"] = _running(ufunc)
    for ufunc, function in dispatch.differentiable.items():
        if isinstance(ufunc, np.ufunc) and ufunc.nin == 2 and ufunc.signature is None:
            methods[ufunc, "outer"] = _outer(function)
            if ufunc.nout == 1:
                step = methods.setdefault((ufunc, "accumulate"), _step_by_step(ufunc))
                methods[ufunc, "reduceat"] = _reduceat(ufunc, methods.setdefault((ufunc, "reduce"), _last(ufunc, step)))
    dispatch.special.update(at=writing.at, into=writing.into, keywords=_with_keywords)
