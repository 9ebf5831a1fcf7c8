"""What several gradient rules need: bare values, division that a zero cotangent survives, and undoing a reduction."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autodiff import dispatch
from autodiff.batching import Lanes
from autodiff.core.errors import ArgumentError, DTypeError, NotDifferentiableError
from autodiff.core.modes import ORDINARY, current_state
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.zero_times_infinity import finite, keep_zeros

if TYPE_CHECKING:
    from autodiff.results import Array
    from autodiff.signatures import ArrayLike, Tensor

T = TypeVar("T")


_FLOAT = np.dtype(np.float64)
_PLAIN = frozenset({np.ndarray, np.float32, np.float64})
# Up to so many elements filling an array is quicker than np.broadcast_to, which is written in Python (1 us against 9).
_FILLED = THRESHOLDS["SPREAD"].value


@overload
def bare(value: Tensor) -> np.ndarray[Any, Any]: ...
@overload
def bare(value: Sequence[Tensor]) -> Sequence[np.ndarray[Any, Any]]: ...
@overload
def bare(value: T) -> T: ...
def bare(value: Any) -> Any:
    """The array of a Tensor, anything else as it is; for masks and indices, whose derivative is zero.

    Of a list that holds Tensors a list of their arrays.
    """
    if hasattr(value, "_node"):
        return value._data  # type: ignore[union-attr]
    return value if value.__class__ is not list and value.__class__ is not tuple else dispatch.bare(value)  # type: ignore[comparison-overlap]


def real_numbers(name: str, *values: Any) -> None:
    """Refuse complex values where the definition or the derivation of the gradient holds for real numbers alone."""
    for value in values:
        if value is not None and (value.__class__ is complex or getattr(value, "dtype", _FLOAT).kind == "c"):
            raise DTypeError(
                f"{name} is defined for real numbers; apply it to the real and imaginary parts, np.real(x) and"
                " np.imag(x)"
            )


def quotient(g: ArrayLike, d: ArrayLike) -> Array:
    """``g / d`` with 0 / 0 = 0: a cotangent of zero stays zero at a pole of the derivative.

    So ``where(x > 0, sqrt(x), 0)`` has the gradient 0 at ``x = 0``, not NaN. A cotangent that is not zero gives an
    infinity there, without a warning, because the derivative is infinite.
    """
    if d.__class__ is np.float64 and d:
        return g / d  # type: ignore[operator, return-value]
    divisor = bare(d)
    # count_nonzero is the cheapest whole-array question NumPy answers: 0.15 us, where all() costs 1.2.
    if divisor.__class__ is not Lanes and np.count_nonzero(divisor) == getattr(divisor, "size", 1):  # type: ignore[arg-type]
        return g / d  # type: ignore[operator, return-value]
    return branchless_quotient(g, d)  # type: ignore[no-any-return]


def branchless_quotient(g: Any, d: Any) -> Any:
    """The same without a question whose answer decides what is computed, and so fit for a compiled chain."""
    settled = (bare(d) == 0) & (bare(g) == 0)
    top, bottom = np.where(settled, 0, g), np.where(settled, 1, d)
    complex_numbers = any(getattr(value, "dtype", _FLOAT).kind == "c" for value in (top, bottom))
    with np.errstate(
        divide="ignore", invalid="ignore" if complex_numbers else None
    ):  # complex division by zero raises both
        return top / bottom


def quiet_product(g: Any, h: Any) -> Any:
    """``g h`` without a warning where a cotangent of zero meets an infinite derivative: the engine makes that 0."""
    if finite(h):
        return g * h
    with np.errstate(invalid="ignore"):
        return g * h


def kept_product(g: Any, h: Any) -> Any:
    """``g h``, in which zero times infinity is zero, for rules that are not pointwise."""
    with np.errstate(invalid="ignore"):
        return keep_zeros(g, g * h, lambda part: part * h)


def different_axes(name: str, axes: Any, ndim: int) -> list[int]:
    """Axes counted from the front in the order in which they were named, each of them once; None stands for all."""
    chosen = range(ndim) if axes is None else np.atleast_1d(axes).tolist()
    found = [normalize_axis_index(axis, ndim) for axis in chosen]
    if len(set(found)) != len(found):
        raise ArgumentError(f"{name}: axes {tuple(found)} name one axis twice")
    return found


def whole_number(words: str, value: Any) -> int:
    """``value`` as an int, which would cut off what 2.5 is more than 2."""
    if int(value) != value:
        raise ArgumentError(f"{words} must be a whole number, got {value!r}")
    return int(value)


def no_out(name: str, out: Any) -> None:
    """Refuse ``out=``, which NumPy's function of this name takes, and writes into a Tensor."""
    if out is not None:
        raise NotDifferentiableError(
            f"autodiff.{name} takes no out=; np.{name}(..., out=t) writes into a Tensor t, or use the result"
        )


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """One axis, several or (None) all, as a tuple counted from the front."""
    return normalize_axis_tuple(range(ndim) if axis is None else axis, ndim)


def expand_reduced(value: ArrayLike, axis: int | Sequence[int] | None, keepdims: bool) -> Array:
    """A reduction's output with the reduced axes put back at length one."""
    return value if keepdims or axis is None else np.expand_dims(value, axis)  # type: ignore[arg-type, return-value]


def spread(g: ArrayLike, shape: tuple[int, ...], axis: int | Sequence[int] | None, keepdims: bool) -> Array:
    """A reduction's cotangent repeated over the elements that were reduced: the transpose of summing."""
    g = expand_reduced(g, axis, keepdims)
    if g.__class__ in _PLAIN and prod(shape) <= _FILLED:
        filled = np.empty(shape, g.dtype)  # type: ignore[union-attr]
        filled[...] = g
        return filled  # type: ignore[return-value]
    return np.broadcast_to(g, shape)  # type: ignore[return-value]


def drawn(draw: Any, generator: np.random.Generator, *args: Any) -> Any:
    """``draw(generator, *args)``, which a function under ``jit`` draws in every call. All of the library draw here."""
    tracer = (current_state() or ORDINARY).tracer
    return draw(generator, *args) if tracer is None else tracer.draw(draw, generator, *args)
