"""Methods and keywords of NumPy's ufuncs on tensors: ``np.add.reduce``, ``np.multiply.outer``, ``dtype=``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.core.errors import NotDifferentiableError, ShapeError
from autodiff.ops import calculus, elementwise, indexing, reductions, shaping, writing
from autodiff.ops.common import bare
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


def _logaddexp_reduce(a: Any, axis: Any = 0, keepdims: bool = False) -> Any:
    t = _tensor(a)
    top = np.max(t._array, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):  # of nothing it is -inf
        total = np.log(reductions.sum(np.exp(t - top), axis=axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis=tuple(range(t.ndim)) if axis is None else axis)


def _outer(function: Callable[..., Any]) -> Callable[..., Any]:
    def outer(a: Any, b: Any) -> Any:
        x, y = _tensor(a), _tensor(b)
        return function(x.reshape(x.shape + (1,) * y.ndim), y)

    return outer


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
            for x in (x if type(x) in weak else np.asarray(bare(x)) for x in inputs)
        ]
        with np.errstate(all="ignore"):
            ufunc(*empty, dtype=dtype, casting=left.pop("casting", "same_kind"))
    for harmless in ("order", "subok"):
        left.pop(harmless, None)
    mask = dispatch.bare(left.pop("where", True))
    along = {"axis": left.pop("axis")} if ufunc is np.vecdot and "axis" in left else {}
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
        inputs = tuple(
            elementwise.astype(x, dtype) if hasattr(x, "_node") else np.asarray(bare(x), dtype) for x in inputs
        )
    if not whole:
        # What the mask leaves out is not computed: it may lie outside the domain, where a gradient of 0 times infinity
        # would be NaN.
        inputs = tuple(elementwise.where_.function(mask, x, 1) for x in inputs)
    result = dispatch.differentiable[ufunc](*inputs, **along)
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
    dispatch.special.update(at=writing.at, into=writing.into, keywords=_with_keywords)
