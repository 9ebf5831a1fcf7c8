"""What the functions share: reading inputs, checking shapes and reducing losses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from autodiff import Tensor, array
from autodiff.containers import as_array
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.dispatch import bare, holds_tensor
from autodiff.docstrings import of_axes
from autodiff.functions import constant_argument
from autodiff.ops.common import real_numbers

F = TypeVar("F", bound=Callable[..., Any])
HALF = np.dtype(np.float16)


def via_single(function: Callable[..., Any], input: Any, *args: Any, **options: Any) -> Any:
    """What a function gives, computed in single precision where its first argument is in half, and rounded: half
    precision ends at 65504, which squares and sums soon pass. PyTorch does the same.
    """
    if getattr(input, "dtype", None) != HALF:
        return function(input, *args, **options)
    return function(input.astype(np.float32), *args, **options).astype(HALF)


def in_single(function: F) -> F:
    """The function, called by :func:`via_single`."""

    @wraps(function)
    def wide(*args: Any, **options: Any) -> Any:
        if not args and "input" in options:
            args = (options.pop("input"),)
        return via_single(function, *args, **options) if args else function(**options)

    return wide  # type: ignore[return-value]


def _asked() -> str:
    """The public function that is running."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_name not in frame.f_globals.get("__all__", ()):
        frame = frame.f_back
    return frame.f_code.co_name


def as_input(x: Any) -> Any:
    """A Tensor as it is, a list of Tensors joined, anything else as an array."""
    if isinstance(x, Tensor):
        return x
    made = array(x) if holds_tensor(x) else as_array(x)
    if made.dtype.kind not in "biufc":
        what = f"a {type(x).__name__} of dtype {made.dtype}" if x is not None else "None"
        raise DTypeError(f"{_asked()}: an input is {what}, not numbers; does what computed it return its result?")
    return made


def as_floats(x: Any) -> Any:
    """The same with integers and booleans as float64."""
    x = x if x.__class__ is Tensor else as_input(x)
    return x if x.dtype.kind in "fc" else x.astype(np.float64)


def as_tensor(x: Any, like: Any = None) -> Tensor:
    """A Tensor of floating-point numbers; integers, such as targets, take the dtype of ``like`` or become float64."""
    t = x if isinstance(x, Tensor) else array(x) if holds_tensor(x) else Tensor(x)
    return t if t.dtype.kind in "fc" else t.astype(np.float64 if like is None else like.dtype)


def as_real(name: str, x: Any, like: Any = None) -> Tensor:
    """The same, where a function is defined for real numbers."""
    t = as_tensor(x, like)
    real_numbers(name, t)
    return t


def untracked(name: str, argument: str, value: Any) -> Any:
    """The array of an argument that has no gradient, or None; one that asks for a gradient is refused."""
    return None if value is None else bare(constant_argument(name, argument, as_input(value)))


def as_number(name: str, argument: str, value: Any) -> Any:
    """The same of a number: of a Tensor its element, anything else as it is."""
    return constant_argument(name, argument, value).item() if hasattr(value, "_node") else value


def batched(name: str, x: Any, axes: int) -> tuple[Any, bool]:
    """An input (N, C, ...) with ``axes`` spatial axes, and whether it came as a single (C, ...) that has been given a
    batch axis.

    Raises
    ------
    ShapeError
        If it has another number of axes.
    """
    x = as_input(x)
    if x.ndim == axes + 1:
        return x[None], True
    if x.ndim != axes + 2:
        raise ShapeError(
            f"{name}: input of shape {x.shape}; it needs {axes + 2} axes, (N, C, ...), or {axes + 1} without the batch"
        )
    return x, False


def for_axes(function: Callable[..., Any], axes: int) -> Any:
    """A function over one, two or three axes, whose name and docstring are written for any number of them
    (:func:`autodiff.docstrings.of_axes`).
    """
    function.__doc__ = of_axes(function.__doc__ or "", axes)
    function.__name__ = function.__qualname__ = function.__name__.replace("Nd", f"{axes}d")
    return function


def equal_shapes(name: str, **arrays: Any) -> None:
    """Refuse arrays of different shapes; PyTorch broadcasts them with a warning, which is rarely what was meant."""
    shapes = {key: array.shape for key, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ShapeError(
            f"{name}: " + ", ".join(f"{key} of shape {shape}" for key, shape in shapes.items()) + "; they must be equal"
        )


def alike(name: str, input: Any, target: Any, real: bool = False) -> tuple[Tensor, Tensor]:
    """A prediction and its target, of one shape; the target's integers take the prediction's dtype."""
    x = as_tensor(input)
    t = as_tensor(target, x)
    if real:
        real_numbers(name, x, t)
    equal_shapes(name, input=x, target=t)
    return x, t


def reduced(losses: Any, reduction: str, name: str, divisor: Any = None) -> Tensor:
    """Losses, reduced as ``reduction`` says; the mean divides by their number or by ``divisor``. Of nothing, or where
    that is 0, it is NaN, as in PyTorch, and its gradient 0.
    """
    if reduction == "none":
        return losses  # type: ignore[no-any-return]
    if reduction not in ("mean", "sum"):
        raise ArgumentError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    if losses.dtype == HALF:
        return via_single(reduced, losses, reduction, name, divisor)  # type: ignore[no-any-return]
    total = losses.sum()
    if reduction == "sum":
        return total  # type: ignore[no-any-return]
    count = int(losses.size) if divisor is None else divisor  # operations take int at once
    return total / count if count else total * 0 + np.nan  # type: ignore[no-any-return]


def weighted(losses: Any, weight: Any, reduction: str, name: str) -> Tensor:
    """Losses times ``weight`` of equal shape; the mean divides by the sum of the weights."""
    if weight is None:
        return reduced(losses, reduction, name)
    w = as_input(weight)
    equal_shapes(name, input=losses, weight=w)
    if losses.dtype == HALF and reduction != "none":
        return via_single(weighted, losses, w.astype(np.float32), reduction, name)  # type: ignore[no-any-return]
    return reduced(losses * w, reduction, name, w.sum())
