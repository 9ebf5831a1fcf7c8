"""Integrals of samples under SciPy's names: ``autodiff.integrate.simpson`` and its kin.

Cartwright 2017, Simpson's rule cumulative integration with MS Excel and irregularly-spaced data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.ops.calculus import trapezoid
from autodiff.ops.common import bare
from autodiff.ops.shaping import _floats, _tensor

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike, Tensor

__all__ = ["cumulative_simpson", "cumulative_trapezoid", "romb", "simpson", "trapezoid"]


def _samples(name: str, y: Any, x: Any, dx: Any, axis: int) -> tuple[Any, Any]:
    """The ordinates with the axis last, and the widths between them, which broadcast."""
    t = _floats(y)
    if not t.ndim:
        raise ShapeError(f"{name}: the samples need an axis, got a number")
    axis = normalize_axis_index(axis, t.ndim)
    values = np.moveaxis(t, axis, -1)
    n = values.shape[-1]
    if x is None:
        width = dx if isinstance(dx, (int, float)) else _tensor(dx)
        if np.ndim(bare(width)):  # one width for each line
            width = np.moveaxis(np.broadcast_to(width, (*t.shape[:axis], 1, *t.shape[axis + 1 :])), axis, -1)
        return values, width * np.ones(max(n - 1, 0), np.real(values.data).dtype)
    places = _tensor(x)
    if places.ndim not in (1, t.ndim) or places.shape[0 if places.ndim == 1 else axis] != n:
        raise ShapeError(f"{name}: x of shape {places.shape} for y of shape {t.shape} along axis {axis}")
    return values, np.diff(places) if places.ndim == 1 else np.diff(np.moveaxis(places, axis, -1))


def _parabolas(y: Any, h: Any) -> Any:
    """Simpson's rule over each pair of intervals; two equal places make an interval of no account, as in SciPy."""
    h0, h1 = h[..., :-1:2], h[..., 1::2]
    h0 = h0[..., : h1.shape[-1]]
    whole = h0 + h1
    first, middle, last = y[..., :-2:2], y[..., 1:-1:2], y[..., 2::2]
    return (
        whole
        / 6.0
        * (first * (2.0 - _over(h1, h0)) + middle * (whole * _over(whole, h0 * h1)) + last * (2.0 - _over(h0, h1)))
    )


def _over(top: Any, bottom: Any) -> Any:
    """The quotient, 0 where the divisor is."""
    none = bare(bottom) == 0
    return np.where(none, 0.0, top / np.where(none, 1.0, bottom)) if np.any(none) else top / bottom


def simpson(y: ArrayLike, x: ArrayLike | None = None, *, dx: ArrayLike = 1.0, axis: int = -1) -> Tensor:
    """Simpson's rule of samples, as ``scipy.integrate.simpson``; differentiable in ordinates, abscissae and step.

    Parameters
    ----------
    y : array
    x : (n,) or of the shape of ``y``, optional
    dx : float
        The step where ``x`` is not given.
    axis : int

    Examples
    --------
    >>> import numpy as np
    >>> simpson(np.arange(5.0) ** 2).item()
    21.333333333333332
    """
    values, h = _samples("simpson", y, x, dx, axis)
    n = values.shape[-1]
    if n == 2:
        return (0.5 * h * (values[..., :1] + values[..., 1:]))[..., 0]  # type: ignore[no-any-return]
    if n % 2 or not n:
        return np.sum(_parabolas(values, h), axis=-1)  # type: ignore[no-any-return]
    total = np.sum(_parabolas(values[..., :-1], h[..., :-1]), axis=-1)
    h0, h1 = h[..., -2], h[..., -1]
    alpha = _over(2 * h1 * h1 + 3 * h0 * h1, 6 * (h0 + h1))
    beta = _over(h1 * h1 + 3 * h0 * h1, 6 * h0)
    eta = _over(h1 * h1 * h1, 6 * h0 * (h0 + h1))
    return total + (alpha * values[..., -1] + beta * values[..., -2] - eta * values[..., -3])  # type: ignore[no-any-return]


def _from_start(made: Any, initial: Any) -> Any:
    if initial is None:
        return made
    first = np.broadcast_to(_tensor(initial).astype(made.dtype), (*made.shape[:-1], 1))
    return np.concatenate([first, made + first], axis=-1)


def cumulative_trapezoid(
    y: ArrayLike, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1, initial: ArrayLike | None = None
) -> Tensor:
    """The trapezoidal rule up to every sample, as ``scipy.integrate.cumulative_trapezoid``.

    With ``initial=0`` the result starts with a zero and is as long as ``y``.

    Examples
    --------
    >>> import numpy as np
    >>> cumulative_trapezoid(np.arange(4.0), initial=0).data
    array([0. , 0.5, 2. , 4.5])
    """
    if initial is not None and (np.ndim(bare(initial)) or bare(initial) != 0):  # type: ignore[arg-type]
        raise ArgumentError(f"cumulative_trapezoid: initial must be None or 0, got {initial!r}")
    values, h = _samples("cumulative_trapezoid", y, x, dx, axis)
    if not values.shape[-1]:
        raise ShapeError("cumulative_trapezoid: at least one sample is needed along the axis")
    made = np.cumsum(h * (values[..., 1:] + values[..., :-1]) / 2.0, axis=-1)
    return np.moveaxis(_from_start(made, initial), -1, axis)  # type: ignore[no-any-return]


def _halves(y: Any, h: Any) -> Any:
    """Of every parabola through three neighbours the integral over its first interval."""
    a, b = h[..., :-1], h[..., 1:]
    whole = a + b
    share, both = a / whole, (a / whole) * (a / b)
    return a / 6 * ((3 - share) * y[..., :-2] + (3 + both + share) * y[..., 1:-1] - both * y[..., 2:])


def cumulative_simpson(
    y: ArrayLike, *, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1, initial: ArrayLike | None = None
) -> Tensor:
    """Simpson's rule up to every sample, as ``scipy.integrate.cumulative_simpson``.

    Examples
    --------
    >>> import numpy as np
    >>> np.round(cumulative_simpson(np.arange(4.0) ** 2, initial=0).data, 6)
    array([0.      , 0.333333, 2.666667, 9.      ])
    """
    values, h = _samples("cumulative_simpson", y, x, dx, axis)
    n = values.shape[-1]
    if n < 3:
        made = np.cumsum(h * (values[..., 1:] + values[..., :-1]) / 2.0, axis=-1)
        return np.moveaxis(_from_start(made, initial), -1, axis)  # type: ignore[no-any-return]
    if x is not None and (bare(h) <= 0).any():
        raise ArgumentError("cumulative_simpson: x must increase strictly")
    forward = _halves(values, h)
    backward = np.flip(_halves(np.flip(values, -1), np.flip(h, -1)), -1)
    # Interval i belongs to the parabola that starts with it if i is even, to the one that ends with it if i is odd.
    even = np.arange(n - 1) % 2 == 0
    even[-1] = False
    lead = [(0, 0)] * (forward.ndim - 1)
    parts = np.where(even, np.pad(forward, [*lead, (0, 1)]), np.pad(backward, [*lead, (1, 0)]))
    return np.moveaxis(_from_start(np.cumsum(parts, axis=-1), initial), -1, axis)  # type: ignore[no-any-return]


def romb(y: ArrayLike, dx: ArrayLike = 1.0, axis: int = -1, show: bool = False) -> Tensor:
    """Romberg's rule of ``2^k + 1`` samples, as ``scipy.integrate.romb``.

    Examples
    --------
    >>> import numpy as np
    >>> romb(np.arange(5.0) ** 2).item()
    21.333333333333332
    """
    values, _ = _samples("romb", y, None, 1.0, axis)
    intervals = values.shape[-1] - 1
    levels = max(intervals, 1).bit_length() - 1
    if intervals < 1 or 2**levels != intervals:
        raise ShapeError(f"romb: {intervals + 1} samples; it needs one more than a power of two")
    row: list[Any] = []
    for level in range(levels + 1):
        step = intervals >> level
        new = [trapezoid(values[..., ::step], dx=step * dx)]
        for k, old in enumerate(row):
            new.append(new[k] + (new[k] - old) / (4 ** (k + 1) - 1))
        row = new
    return row[-1]  # type: ignore[no-any-return]
