"""Interpolation with ``scipy.interpolate``'s classes, differentiable in the data, the nodes and the positions:
piecewise polynomials, B-splines, regular grids, radial basis functions.

A spline is a piecewise polynomial whose coefficients are recorded functions of nodes and data; where they solve a
linear system, SuperLU does, and its derivative is one more solve. Values are SciPy's. Needs SciPy.
De Boor, A Practical Guide to Splines (1978); Fritsch and Butland 1984 (PCHIP); Akima 1970; Fasshauer 2007 (radial
basis functions).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff.core.errors import ArgumentError, ShapeError, SingularMatrixError
from autodiff.extras import absent
from autodiff.ops import shaping
from autodiff.ops.calculus import interp
from autodiff.ops.common import bare
from autodiff.ops.shaping import _floats, _tensor
from autodiff.sparse import csr_array, spsolve

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike, Tensor

__all__ = [
    "Akima1DInterpolator",
    "BSpline",
    "CubicHermiteSpline",
    "CubicSpline",
    "PPoly",
    "PchipInterpolator",
    "RBFInterpolator",
    "RegularGridInterpolator",
    "interp",
    "interp1d",
    "interpn",
    "make_interp_spline",
]


def _nodes(name: str, x: Any, y: Any, axis: int) -> tuple[Any, Any]:
    """Checked nodes, and the data with its interpolation axis first."""
    x, y = _floats(x), _floats(y)
    if x.ndim != 1 or x.size < 2:
        raise ShapeError(f"{name}: x must be one axis of at least two nodes, got shape {x.shape}")
    if not -y.ndim <= axis < y.ndim or y.shape[axis] != x.size:
        raise ShapeError(f"{name}: {x.size} nodes, and data of shape {y.shape} along axis {axis}")
    if not (np.isfinite(x._array).all() and np.isfinite(y._array).all()):
        raise ArgumentError(f"{name}: the nodes or the data hold NaN or infinity")
    if np.any(np.diff(x._array) <= 0):
        raise ArgumentError(f"{name}: the nodes must increase throughout")
    return x, np.moveaxis(y, axis, 0) if axis % y.ndim else y


def _beside(x: Any, y: Any) -> Any:
    """A vector along the first axis of ``y``, to be multiplied with it."""
    return x.reshape(x.shape + (1,) * (y.ndim - 1))


def _columns(values: Any) -> Any:
    """Data (n, ...) as a matrix with a row for each node; there may be no data at one."""
    return values.reshape(values.shape[0], math.prod(values.shape[1:]))


class _Piecewise:
    """What a curve is asked for whose pieces lie between nodes."""

    extrapolate: bool | str
    axis: int

    def _nodes(self) -> Any:
        """Where the pieces meet, from the first to the last."""
        raise NotImplementedError

    def _value(self, at: Any, piece: Any) -> Any:
        """The value at positions, each on its piece."""
        raise NotImplementedError

    def derivative(self, nu: int = 1) -> Any:
        """The derivative of order ``nu``, as a curve of the same kind; of a negative order the antiderivative."""
        raise NotImplementedError

    def antiderivative(self, nu: int = 1) -> Any:
        """The continuous antiderivative that is zero at the first node."""
        raise NotImplementedError

    def _beyond(self, extrapolate: Any) -> Any:
        """What is done outside of the nodes: "periodic", True or False."""
        chosen = self.extrapolate if extrapolate is None else extrapolate
        if isinstance(chosen, str) and chosen != "periodic":
            raise ArgumentError(f"{type(self).__name__}: extrapolate must be True, False or 'periodic', got {chosen!r}")
        return chosen if isinstance(chosen, str) else bool(chosen)

    def __call__(self, x: ArrayLike, nu: int = 0, extrapolate: bool | str | None = None) -> Tensor:
        """The value at ``x`` of any shape, or the derivative of order ``nu``.

        Returns
        -------
        Tensor
            ``x``'s shape in the place of the interpolation axis.
        """
        if nu > 0:
            return self.derivative(nu)(x, 0, extrapolate)  # type: ignore[no-any-return]
        if nu < 0:
            raise ArgumentError(f"{type(self).__name__}: nu={nu} is negative; antiderivative() gives integrals")
        extrapolate = self._beyond(extrapolate)
        at, nodes = _floats(x), self._nodes()
        if extrapolate == "periodic":
            at = nodes[0] + (at - nodes[0]) % (nodes[-1] - nodes[0])
        value = self._value(at, _pieces(nodes._array, at._array))
        more = value.ndim - at.ndim
        if extrapolate is False:
            inside = (at._array >= nodes._array[0]) & (at._array <= nodes._array[-1])
            value = np.where(inside.reshape(inside.shape + (1,) * more), value, np.nan)
        axis = self.axis % (more + 1)
        if axis and at.ndim:
            value = np.moveaxis(value, range(at.ndim), range(axis, axis + at.ndim))
        return value  # type: ignore[no-any-return]

    def integrate(self, a: ArrayLike, b: ArrayLike, extrapolate: bool | str | None = None) -> Tensor:
        """The integral from ``a`` to ``b``, over several periods of a periodic curve."""
        extrapolate = self._beyond(extrapolate)
        whole, nodes = self.antiderivative(), self._nodes()

        def until(x: Any) -> Any:
            if extrapolate != "periodic":
                return whole(x, extrapolate=True)
            width = nodes[-1] - nodes[0]
            turns = np.floor(bare((_floats(x) - nodes[0]) / width))
            return turns * (whole(nodes[-1]) - whole(nodes[0])) + whole(x - turns * width, extrapolate=True)

        ends = bare(a), bare(b)
        if extrapolate is False and (min(ends) < nodes._array[0] or max(ends) > nodes._array[-1]):  # type: ignore[type-var]
            raise ArgumentError("integrate: the limits lie outside of the nodes, and extrapolate is False")
        return until(b) - until(a)  # type: ignore[no-any-return]


def _pieces(nodes: Any, at: Any) -> Any:
    """On which piece of a positive length each position lies; outside the first and the last."""
    first, last = np.searchsorted(nodes, nodes[0], "right") - 1, np.searchsorted(nodes, nodes[-1], "left") - 1
    return np.clip(np.searchsorted(nodes, at, "right") - 1, first, last)


class PPoly(_Piecewise):
    """A piecewise polynomial: ``sum(c[m, i] * (x - x[i]) ** (k - m))`` between the breakpoints x[i] and x[i + 1].

    Parameters
    ----------
    c : (..., k + 1, n, ...) array or Tensor
        Coefficients, the highest power first.
    x : (n + 1,) array or Tensor
        Breakpoints, increasing.
    extrapolate : bool or "periodic", optional
        Outside, continue the first and last piece (True, the default), give NaN (False), or repeat.
    axis : int
        Which axis of ``c`` the powers stand along, the pieces along the next. As an attribute ``c`` has them in front.

    Examples
    --------
    >>> p = PPoly(np.array([[1.0], [0.0]]), np.array([0.0, 2.0]))
    >>> p(1.5).item(), p.derivative()(1.5).item(), p.integrate(0.0, 2.0).item()
    (1.5, 1.0, 2.0)
    """

    def __init__(self, c: ArrayLike, x: ArrayLike, extrapolate: bool | str | None = None, axis: int = 0) -> None:
        powers = _floats(c)
        axis = normalize_axis_index(axis, max(powers.ndim - 1, 1))
        powers = np.moveaxis(powers, (axis, axis + 1), (0, 1)) if axis else powers
        self._begin(powers, _floats(x), extrapolate, axis)

    def _begin(self, c: Any, x: Any, extrapolate: Any, axis: int) -> PPoly:
        if c.ndim < 2 or x.ndim != 1 or c.shape[1] != x.size - 1:
            raise ShapeError(f"PPoly: coefficients of shape {c.shape} for {x.size} breakpoints")
        if not np.all(np.diff(x._array) > 0):
            raise ArgumentError("PPoly: the breakpoints must increase throughout")
        self.c, self.x, self.axis = c, x, axis
        self.extrapolate = True if extrapolate is None else extrapolate
        return self

    def _nodes(self) -> Any:
        return self.x

    def _value(self, at: Any, piece: Any, *beside: Any) -> Any:
        step = (at - self.x[piece]).reshape(at.shape + (1,) * (self.c.ndim - 2 - len(beside)))
        value = self.c[(0, piece, *beside)]
        for m in range(1, self.c.shape[0]):
            value = value * step + self.c[(m, piece, *beside)]
        return value

    def _like(self, c: Any) -> PPoly:
        return PPoly.__new__(PPoly)._begin(c, self.x, self.extrapolate, self.axis)

    def derivative(self, nu: int = 1) -> PPoly:
        """The derivative of order ``nu``, as a piecewise polynomial; of a negative order the antiderivative."""
        if nu < 0:
            return self.antiderivative(-nu)
        c = self.c
        for _ in range(nu):
            k = c.shape[0] - 1
            c = c[:-1] * _beside(_tensor(np.arange(k, 0.0, -1.0)), c) if k else c * 0.0
        return self._like(c)

    def antiderivative(self, nu: int = 1) -> PPoly:
        """The continuous antiderivative that is zero at the first breakpoint."""
        c = self.c
        width = np.diff(self.x)
        for _ in range(nu):
            k = c.shape[0]
            c = c / _beside(_tensor(np.arange(k, 0.0, -1.0)), c)
            step = _beside(width, c[0])
            area = c[0]
            for m in range(1, k):
                area = area * step + c[m]
            area = area * step
            start = shaping.concatenate([area[:1] * 0.0, np.cumsum(area, axis=0)[:-1]])
            c = shaping.concatenate([c, start[None]])
        made = self._like(c)
        if self.extrapolate == "periodic":  # it is not where the integral over a period is not zero
            made.extrapolate = False
        return made


class CubicHermiteSpline(PPoly):
    """The piecewise cubic with given values and derivatives, as ``scipy.interpolate.CubicHermiteSpline``.

    Parameters
    ----------
    x : (n,) increasing nodes
    y, dydx : (..., n, ...) values and derivatives
    axis : int
    extrapolate : bool or "periodic", optional

    Examples
    --------
    >>> CubicHermiteSpline([0.0, 1.0], [0.0, 1.0], [0.0, 2.0])(0.5).item()
    0.25
    """

    def __init__(
        self, x: ArrayLike, y: ArrayLike, dydx: ArrayLike, axis: int = 0, extrapolate: bool | str | None = None
    ) -> None:
        x, values = _nodes(type(self).__name__, x, y, axis)
        _, slopes = _nodes(type(self).__name__, x, dydx, axis)
        self._begin(_hermite(x, values, slopes), x, extrapolate, axis)


def _hermite(x: Any, y: Any, s: Any) -> Any:
    dx = _beside(np.diff(x), y)
    slope = np.diff(y, axis=0) / dx
    t = (s[:-1] + s[1:] - 2 * slope) / dx
    return shaping.stack([t / dx, (slope - s[:-1]) / dx - t, s[:-1], y[:-1]])


class PchipInterpolator(PPoly):
    """The monotone piecewise cubic of Fritsch and Butland, as ``scipy.interpolate.PchipInterpolator``.

    Parameters
    ----------
    x : (n,) increasing nodes
    y : (..., n, ...) real data
    axis : int
    extrapolate : bool, optional

    Examples
    --------
    >>> import autodiff
    >>> y = autodiff.tensor([0.0, 1.0, 1.0, 3.0], requires_grad=True)
    >>> PchipInterpolator(np.arange(4.0), y)(0.5).backward()
    >>> y.grad
    array([ 0.3125,  0.75  , -0.0625,  0.    ])
    """

    def __init__(self, x: ArrayLike, y: ArrayLike, axis: int = 0, extrapolate: bool | str | None = None) -> None:
        x, values = _nodes("PchipInterpolator", x, y, axis)
        if values.dtype.kind == "c":
            raise ArgumentError("PchipInterpolator: the data must be real")
        self._begin(_hermite(x, values, _pchip_slopes(x, values)), x, extrapolate, axis)


def _pchip_slopes(x: Any, y: Any) -> Any:
    h = _beside(np.diff(x), y)
    m = np.diff(y, axis=0) / h
    if x.size == 2:
        return shaping.concatenate([m, m])
    # A harmonic mean where both secants have one sign, else zero.
    flat = np.sign(m._array[1:]) * np.sign(m._array[:-1]) <= 0
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    before, after = (np.where(flat, 1.0, part) for part in (m[:-1], m[1:]))
    inner = np.where(flat, 0.0, (w1 + w2) / (w1 / before + w2 / after))
    ends = [_pchip_end(h[0], h[1], m[0], m[1]), _pchip_end(h[-1], h[-2], m[-1], m[-2])]
    return shaping.concatenate([ends[0][None], inner, ends[1][None]])


def _pchip_end(h0: Any, h1: Any, m0: Any, m1: Any) -> Any:
    """The one-sided three-point estimate, kept to the shape of the data."""
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    turned = np.sign(d._array) != np.sign(m0._array)
    steep = (np.sign(m0._array) != np.sign(m1._array)) & (np.abs(d._array) > 3 * np.abs(m0._array))
    return np.where(turned, 0.0, np.where(steep, 3 * m0, d))


class Akima1DInterpolator(PPoly):
    """Akima's piecewise cubic, as ``scipy.interpolate.Akima1DInterpolator``.

    Parameters
    ----------
    x : (n,) increasing nodes
    y : (..., n, ...) real data
    axis : int
    method : {"akima", "makima"}
        "makima" overshoots less where data are flat.
    extrapolate : bool or "periodic", optional
        By default NaN outside.

    Examples
    --------
    >>> Akima1DInterpolator(np.arange(5.0), np.arange(5.0) ** 2)(2.5).item()
    6.25
    """

    def __init__(
        self, x: ArrayLike, y: ArrayLike, axis: int = 0, *, method: str = "akima", extrapolate: bool | str | None = None
    ) -> None:
        if method not in ("akima", "makima"):
            raise ArgumentError(f"Akima1DInterpolator: method must be 'akima' or 'makima', got {method!r}")
        x, values = _nodes("Akima1DInterpolator", x, y, axis)
        slopes = _akima_slopes(x, values, method == "makima")
        self._begin(_hermite(x, values, slopes), x, False if extrapolate is None else extrapolate, axis)


def _akima_slopes(x: Any, y: Any, modified: bool) -> Any:
    m = np.diff(y, axis=0) / _beside(np.diff(x), y)
    if x.size == 2:
        return shaping.concatenate([m, m])
    for _ in range(2):  # secants beyond both ends, by continuing straight
        m = shaping.concatenate([2 * m[:1] - m[1:2], m, 2 * m[-1:] - m[-2:-1]])
    change = np.abs(np.diff(m, axis=0))
    if modified:
        change = change + 0.5 * np.abs(m[1:] + m[:-1])
    before, after = change[:-2], change[2:]
    both = before + after
    flat = both._array <= 1e-9 * np.max(both._array, initial=-np.inf)
    weighted = (after * m[1:-2] + before * m[2:-1]) / np.where(flat, 1.0, both)
    return np.where(flat, 0.5 * (m[3:] + m[:-3]), weighted)


class CubicSpline(PPoly):
    """The cubic spline with two continuous derivatives, as ``scipy.interpolate.CubicSpline``.

    Parameters
    ----------
    x : (n,) increasing nodes
    y : (..., n, ...) data
    axis : int
    bc_type : {"not-a-knot", "natural", "clamped", "periodic"}, or a pair of these or of (order, value)
        What holds at the ends, as SciPy's; ``(1, v)`` gives the first, ``(2, v)`` the second derivative.
    extrapolate : bool or "periodic", optional

    Raises
    ------
    ArgumentError
        For nodes that do not increase, or periodic data whose ends differ.

    Examples
    --------
    >>> import autodiff
    >>> y = autodiff.tensor([0.0, 1.0, 4.0, 9.0], requires_grad=True)
    >>> spline = CubicSpline(np.arange(4.0), y)
    >>> spline(1.5).item(), spline(1.5, 1).item()
    (2.25, 3.0)
    >>> spline(1.5).backward()
    >>> y.grad
    array([-0.0625,  0.5625,  0.5625, -0.0625])
    """

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        axis: int = 0,
        bc_type: object = "not-a-knot",
        extrapolate: bool | str | None = None,
    ) -> None:
        x, values = _nodes("CubicSpline", x, y, axis)
        periodic = isinstance(bc_type, str) and bc_type == "periodic"
        if extrapolate is None:
            extrapolate = "periodic" if periodic else True
        if periodic and not np.allclose(values._array[0], values._array[-1], rtol=1e-15, atol=1e-15):
            raise ArgumentError("CubicSpline: periodic data must have equal values at both ends")
        flat = _columns(values)
        slopes = _periodic_slopes(x, flat) if periodic else _spline_slopes(x, flat, *_ends(bc_type, values))
        self._begin(_hermite(x, values, slopes.reshape(values.shape)), x, extrapolate, axis)


def _ends(bc_type: Any, y: Any) -> list[Any]:
    """The two end conditions, each None for not-a-knot or (order, values)."""
    both = [bc_type, bc_type] if isinstance(bc_type, str) else list(bc_type)
    if len(both) != 2:
        raise ArgumentError(f"CubicSpline: bc_type must be a word or a pair, got {bc_type!r}")
    found: list[Any] = []
    for end in both:
        if isinstance(end, str):
            known: dict[str, Any] = {"not-a-knot": None, "natural": (2, 0.0), "clamped": (1, 0.0)}
            if end not in known:
                raise ArgumentError(f"CubicSpline: no end condition {end!r}; use {', '.join(known)} or 'periodic'")
            end = known[end]
        if end is not None:
            order, value = end
            if order not in (1, 2):
                raise ArgumentError(f"CubicSpline: an end condition of order {order}; 1 or 2 is possible")
            value = _floats(value)
            if value.shape not in ((), y.shape[1:]):
                raise ShapeError(f"CubicSpline: an end value of shape {value.shape} for data of shape {y.shape[1:]}")
            end = (int(order), value.reshape(-1))
        found.append(end)
    if y.shape[0] == 2:  # too few nodes for a knot: the straight line's slope
        found = [(1, None) if end is None else end for end in found]
    return found


def _spline_slopes(x: Any, y: Any, first: Any, last: Any) -> Any:
    """The derivatives at the nodes, from the equations that make the second derivatives meet."""
    n = x.size
    dx = np.diff(x)
    h = _beside(dx, y)
    slope = np.diff(y, axis=0) / h
    if n == 3 and first is None and last is None:  # the parabola through three points
        middle = (h[1] * slope[0] + h[0] * slope[1]) / (h[0] + h[1])
        return shaping.stack([2 * slope[0] - middle, middle, 2 * slope[1] - middle])
    lower, main, upper = [dx[1:]], [2 * (dx[:-1] + dx[1:])], [dx[:-1]]
    right = [3 * (h[1:] * slope[:-1] + h[:-1] * slope[1:])]
    for end, at_start in ((first, True), (last, False)):
        h0, h1, s0, s1, y0, y1 = (
            (dx[0], dx[min(1, n - 2)], slope[0], slope[min(1, n - 2)], y[0], y[1])
            if at_start
            else (dx[-1], dx[max(-2, 1 - n)], slope[-1], slope[max(-2, 1 - n)], y[-1], y[-2])
        )
        if end is None:
            d = h0 + h1
            diagonal, beside = h1, d
            value = ((h0 + 2 * d) * h1 * s0 + h0 * h0 * s1) / d
        elif end[0] == 1:
            diagonal, beside = h0 * 0.0 + 1.0, h0 * 0.0
            value = s0 if end[1] is None else s0 * 0.0 + end[1]
        else:
            diagonal, beside = 2 * h0, h0
            value = 3 * (y1 - y0) - 0.5 * end[1] * h0 * h0 if at_start else 3 * (y0 - y1) + 0.5 * end[1] * h0 * h0
        place = 0 if at_start else len(main)
        main.insert(place, diagonal.reshape(1))
        right.insert(place, value[None])
        (upper if at_start else lower).insert(0 if at_start else 1, beside.reshape(1))
    rows = np.concatenate([np.arange(n), np.arange(n - 1), np.arange(1, n)])
    columns = np.concatenate([np.arange(n), np.arange(1, n), np.arange(n - 1)])
    entries = shaping.concatenate([*main, *upper, *lower])
    return spsolve(csr_array((entries, (rows, columns)), shape=(n, n)), shaping.concatenate(right))  # type: ignore[arg-type]


def _periodic_slopes(x: Any, y: Any) -> Any:
    """The same around a circle, on which the last node is the first."""
    dx = np.diff(x)
    h = _beside(dx, y)
    slope = np.diff(y, axis=0) / h
    n = dx.size
    if n == 1:
        return y * 0.0
    before, above = np.roll(dx, 1), np.roll(h, 1, axis=0)
    at = np.arange(n)
    entries = shaping.concatenate([2 * (before + dx), before, dx])
    places = (np.concatenate([at, at, at]), np.concatenate([at, (at + 1) % n, (at - 1) % n]))
    right = 3 * (h * np.roll(slope, 1, axis=0) + above * slope)
    s = spsolve(csr_array((entries, places), shape=(n, n)), right)  # type: ignore[arg-type]
    return shaping.concatenate([s, s[:1]])


class BSpline(_Piecewise):
    """A spline as a sum of B-splines, ``sum(c[j] * B[j, k; t](x))``, as ``scipy.interpolate.BSpline``.

    Parameters
    ----------
    t : (n + k + 1,) array or Tensor
        Knots that do not decrease.
    c : (at least n, ...) array or Tensor
        Coefficients.
    k : int
        Degree.
    extrapolate : bool or "periodic"
        Outside of t[k], t[n]: continue the first and last piece, give NaN (False), or repeat.
    axis : int

    Raises
    ------
    ArgumentError, ShapeError
        For knots that decrease or are too few.

    Examples
    --------
    >>> hat = BSpline([0.0, 1.0, 2.0, 3.0], [1.0, 1.0], 1)
    >>> hat(1.5).item(), hat.derivative()(1.5).item(), hat.integrate(1.0, 2.0).item()
    (1.0, 0.0, 1.0)
    """

    def __init__(self, t: ArrayLike, c: ArrayLike, k: int, extrapolate: bool | str = True, axis: int = 0) -> None:
        self.t, self.c, self.k, self.extrapolate, self.axis = _floats(t), _floats(c), int(k), extrapolate, axis
        if self.c.ndim and axis % self.c.ndim:
            self.c = np.moveaxis(self.c, axis, 0)
        n = self.t.size - self.k - 1
        if self.t.ndim != 1 or self.k < 0 or n < self.k + 1 or self.c.ndim < 1 or self.c.shape[0] < n:
            raise ShapeError(
                f"BSpline: degree {self.k} with knots of shape {self.t.shape} needs at least {max(n, self.k + 1)}"
                f" coefficients and {2 * self.k + 2} knots; got coefficients of shape {self.c.shape}"
            )
        if not np.all(np.diff(self.t._array) >= 0) or self.t._array[self.k] == self.t._array[n]:
            raise ArgumentError("BSpline: the knots must be finite and not decrease, t[k] below t[n]")

    @property
    def tck(self) -> tuple[Tensor, Tensor, int]:
        """(knots, coefficients, degree)."""
        return self.t, self.c, self.k

    def _nodes(self) -> Any:
        return self.t[self.k : self.t.size - self.k]

    def _value(self, at: Any, piece: Any) -> Any:
        if not self.k:  # SciPy gives the last node its own value
            piece = np.clip(np.searchsorted(self.t._array, at._array, "right") - 1, 0, self.t.size - 2)
        parts = _basis(self.t, self.k, at, piece)
        more = (1,) * (self.c.ndim - 1)
        value: Any = 0.0
        for j, part in enumerate(parts):
            value = value + part.reshape(part.shape + more) * self.c[piece + j]
        return value

    def derivative(self, nu: int = 1) -> BSpline:
        """The derivative of order ``nu``, a B-spline of degree ``k - nu``; of a negative order the antiderivative."""
        if nu < 0:
            return self.antiderivative(-nu)
        t, c, k = self.t, self.c, self.k
        for _ in range(nu):
            if not k:
                c = c * 0.0
                break
            n = t.size - k - 1
            width = t[k + 1 : n + k] - t[1:n]
            empty = width._array == 0  # a jump, which no derivative sees
            c = np.diff(c[:n], axis=0) * _beside(np.where(empty, 0.0, k / np.where(empty, 1.0, width)), c)
            t, k = t[1:-1], k - 1
        return _spline(t, c, k, self.extrapolate, self.axis)

    def antiderivative(self, nu: int = 1) -> BSpline:
        """The antiderivative, a B-spline of degree ``k + nu`` whose first coefficient is zero."""
        t, c, k = self.t, self.c, self.k
        for _ in range(nu):
            n = t.size - k - 1
            grown = np.cumsum(c[:n] * _beside((t[k + 1 :] - t[:n]) / (k + 1), c), axis=0)
            c = shaping.concatenate([grown[:1] * 0.0, grown])
            t, k = shaping.concatenate([t[:1], t, t[-1:]]), k + 1
        # It is not periodic where the integral over a period is not zero.
        return _spline(t, c, k, False if self.extrapolate == "periodic" else self.extrapolate, self.axis)


def _spline(t: Any, c: Any, k: int, extrapolate: bool | str, axis: int) -> BSpline:
    """A BSpline whose coefficients already stand along the first axis."""
    made = BSpline(t, c, k, extrapolate)
    made.axis = axis
    return made


def _basis(t: Any, k: int, x: Any, piece: Any) -> list[Any]:
    """The k + 1 B-splines that are not zero on each position's piece, from the left (de Boor 1978, X.8)."""
    left = piece + k
    parts = [x * 0.0 + 1.0]
    for r in range(1, k + 1):
        grown: list[Any] = [0.0] * (r + 1)
        for j, part in enumerate(parts):
            low, high = t[left + 1 - r + j], t[left + 1 + j]
            share = part / (high - low)
            grown[j], grown[j + 1] = grown[j] + share * (high - x), share * (x - low)
        parts = grown
    return parts


def make_interp_spline(
    x: ArrayLike, y: ArrayLike, k: int = 3, t: ArrayLike | None = None, bc_type: object = None, axis: int = 0
) -> BSpline:
    """The interpolating spline of degree ``k``, as ``scipy.interpolate.make_interp_spline``.

    Parameters
    ----------
    x : (n,) increasing nodes
    y : (..., n, ...) data
    k : int
        Degree.
    t : array_like, optional
        Knots; by default SciPy's.
    bc_type : None, {"not-a-knot", "natural", "clamped"}, or a pair of these or of lists of (order, value)
        What holds at the ends. For "periodic" see :class:`CubicSpline`.
    axis : int

    Returns
    -------
    BSpline
        Differentiable in ``x``, ``y``, ``t``, values at the ends and positions.

    Raises
    ------
    ArgumentError
        If the conditions at the ends and the knots do not give as many equations as coefficients.

    Examples
    --------
    >>> spline = make_interp_spline(np.arange(5.0), np.arange(5.0) ** 2, k=2)
    >>> round(spline(1.5).item(), 12)
    2.25
    """
    nodes, values = _nodes("make_interp_spline", x, y, axis)
    first, last = _end_conditions(bc_type)
    knots: Any
    if t is not None:
        knots = _floats(t)
    elif k == 0:  # each value up to the next node
        return _spline(shaping.concatenate([nodes, nodes[-1:]]), values, 0, True, axis)
    else:
        inner = nodes if first or last else _inner_knots(nodes, k)
        pad = k if first or last else k + 1
        knots = shaping.concatenate([nodes[:1]] * pad + [inner] + [nodes[-1:]] * pad)
    n = knots.size - k - 1
    if n != nodes.size + len(first) + len(last):
        raise ArgumentError(
            f"make_interp_spline: {nodes.size} nodes and {len(first) + len(last)} end conditions for {n} coefficients"
        )
    piece = _pieces(knots._array[k : n + 1], nodes._array)
    parts = _basis(knots, k, nodes, piece)
    rows = [np.arange(nodes.size) + len(first)] * (k + 1)
    columns = [piece + j for j in range(k + 1)]
    flat = _columns(values)
    right = [flat]
    for conditions, end, start, row in ((first, 0, 0, 0), (last, -1, n - k - 1, len(first) + nodes.size)):
        for i, (order, value) in enumerate(conditions, row):
            parts.append(BSpline(knots[start : start + 2 * k + 2], np.eye(k + 1), k)(nodes[end], order))
            rows.append(np.full(k + 1, i))
            columns.append(start + np.arange(k + 1))
            right.insert(
                i if i < len(first) else len(right),
                shaping.broadcast_to(_floats(value).reshape(-1), flat.shape[1:])[None],
            )
    places = (np.concatenate(rows), np.concatenate(columns))
    c = spsolve(csr_array((shaping.concatenate(parts), places), shape=(n, n)), shaping.concatenate(right))
    return _spline(knots, c.reshape(n, *values.shape[1:]), k, True, axis)


#: The degrees of interp1d's splines, and its steps: how many nodes lie to the left of the value's.
_LINES: dict[str | int, int] = {"zero": 0, "linear": 1, "slinear": 1, "quadratic": 2, "cubic": 3}
_LINES |= {k: k for k in range(6)}
_STEPS: dict[str | int, Callable[[Any, Any], Any]] = {
    "nearest": lambda x, at: np.searchsorted((x[1:] + x[:-1]) / 2, at, "left"),
    "nearest-up": lambda x, at: np.searchsorted((x[1:] + x[:-1]) / 2, at, "right"),
    "previous": lambda x, at: np.searchsorted(x, at, "right") - 1,
    "next": lambda x, at: np.searchsorted(x, at, "left"),
}


class interp1d:
    """Interpolation along one axis, as ``scipy.interpolate.interp1d``.

    Parameters
    ----------
    x : (n,) array or Tensor
        Distinct nodes, in any order unless ``assume_sorted``.
    y : (..., n, ...) array or Tensor
    kind : str or int
        "zero", "linear", "slinear", "quadratic", "cubic" or a spline's degree; "nearest", "nearest-up", "previous" or
        "next". Of these "zero" and the last four have no derivative in the positions.
    axis : int
    copy : bool
        Of no account.
    bounds_error : bool, optional
        Refuse positions outside of the nodes; by default where no ``fill_value`` is given.
    fill_value : number, (number, number) or "extrapolate"
        The values outside, or those below and above.

    Raises
    ------
    ArgumentError
        For another kind, and for a position outside, which ``bounds_error`` refuses.

    Examples
    --------
    >>> import autodiff
    >>> f = interp1d([0.0, 1.0, 3.0], [0.0, 2.0, 8.0])
    >>> f(2.0).item(), autodiff.grad(f)(2.0).item()
    (5.0, 3.0)
    """

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        kind: str | int = "linear",
        axis: int = -1,
        copy: bool = True,
        bounds_error: bool | None = None,
        fill_value: ArrayLike | tuple[ArrayLike, ArrayLike] | str | None = None,
        assume_sorted: bool = False,
    ) -> None:
        if kind not in _LINES and kind not in _STEPS:
            names = ", ".join(repr(name) for name in (*_LINES, *_STEPS))
            raise ArgumentError(f"interp1d: kind must be one of {names}, got {kind!r}")
        data, self.x = _floats(y), _floats(x)
        self.axis = axis % max(data.ndim, 1)
        if not assume_sorted and self.x.ndim == 1 and self.x.size == data.shape[self.axis]:
            order = np.argsort(self.x._array, kind="stable")
            self.x, data = self.x[order], data[(slice(None),) * self.axis + (order,)]
        self.x, self.y = _nodes("interp1d", self.x, data, self.axis)
        self.kind, self.fill_value = kind, fill_value
        self.bounds_error = fill_value is None if bounds_error is None else bounds_error
        self._curve = make_interp_spline(self.x, self.y, _LINES[kind]) if kind in _LINES else None

    def __call__(self, x: ArrayLike) -> Tensor:
        """The values at positions of any shape, which takes the axis's place."""
        at = _floats(x)
        nodes, where_at = self.x._array, at._array.reshape(-1)
        below, above = where_at < nodes[0], where_at > nodes[-1]
        extrapolates = isinstance(self.fill_value, str) and self.fill_value == "extrapolate"
        if not extrapolates and self.bounds_error and np.any(below | above):
            raise ArgumentError(
                "interp1d: a position lies outside of the nodes; give fill_value='extrapolate' or a number"
            )
        value: Any
        if self._curve is not None:
            value = self._curve(at.reshape(-1))
        else:
            value = self.y[np.clip(_STEPS[self.kind](nodes, where_at), 0, nodes.size - 1)]
        fill: Any = (np.nan if self.fill_value is None else self.fill_value,) * 2
        if extrapolates:
            fill = (np.nan, np.nan)
            below, above = below & (self.kind == "previous"), above & (self.kind == "next")
        elif isinstance(self.fill_value, tuple):
            fill = self.fill_value
        beside = (-1, *(1,) * (value.ndim - 1))
        for outside, filled in zip((below, above, np.isnan(where_at)), (*fill, np.nan), strict=True):
            if np.any(outside):
                value = np.where(outside.reshape(beside), filled, value)
        value = value.reshape(at.shape + value.shape[1:])
        return shaping.moveaxis(value, tuple(range(at.ndim)), tuple(range(self.axis, self.axis + at.ndim)))  # type: ignore[no-any-return]


def _inner_knots(x: Any, k: int) -> Any:
    """Every node but the outer ones, or for even degrees the places between two."""
    x = x if k % 2 else (x[1:] + x[:-1]) / 2
    return x[(k + 1) // 2 : x.size - (k + 1) // 2]


def _end_conditions(bc_type: Any) -> Any:
    """The pairs (order of a derivative, value) at both ends."""
    both = [bc_type, bc_type] if bc_type is None or isinstance(bc_type, str) else list(bc_type)
    known: dict[Any, Any] = {None: [], "not-a-knot": [], "natural": [(2, 0.0)], "clamped": [(1, 0.0)]}
    if len(both) != 2 or any(isinstance(end, str) and end not in known for end in both):
        raise ArgumentError(
            f"make_interp_spline: bc_type must be {', '.join(map(repr, known))} or a pair of lists of (order, value),"
            f" got {bc_type!r}; CubicSpline has 'periodic'"
        )
    return [known[end] if end is None or isinstance(end, str) else list(end) for end in both]


#: What a method of a grid needs: the degree of its splines, and one point more along each axis.
_DEGREES = {"linear": 1, "nearest": 0, "slinear": 1, "pchip": 1, "cubic": 3, "quintic": 5}


class RegularGridInterpolator:
    """Interpolation on a rectangular grid of any dimension, as ``scipy.interpolate.RegularGridInterpolator``.

    Parameters
    ----------
    points : sequence of (n_i,) arrays or Tensors
        The grid along each axis, increasing.
    values : (n_0, n_1, ..., more) array or Tensor
    method : {"linear", "nearest", "slinear", "cubic", "quintic", "pchip"}
        "nearest" has no derivative in the positions; "cubic" and "quintic" are products of splines along the axes, with
        at least four and six points each; "pchip" interpolates along the last axis first.
    bounds_error : bool
        Refuse positions outside of the grid; else they get ``fill_value``, or extrapolate if that is None.
    fill_value : float or None

    Raises
    ------
    ArgumentError
        For another method, a grid that neither increases nor decreases, or a position outside.

    Examples
    --------
    >>> import autodiff
    >>> f = RegularGridInterpolator((np.arange(2.0), np.arange(3.0)), np.arange(6.0).reshape(2, 3))
    >>> f([0.5, 1.5]).item()
    3.0
    >>> autodiff.grad(lambda p: f(p)[0])(np.array([0.5, 1.5]))
    array([3., 1.])
    """

    def __init__(
        self,
        points: Sequence[ArrayLike],
        values: ArrayLike,
        method: str = "linear",
        bounds_error: bool = True,
        fill_value: float | None = np.nan,
    ) -> None:
        self.grid, self.values = tuple(_floats(p) for p in points), _floats(values)
        self.method, self.bounds_error, self.fill_value = method, bounds_error, fill_value
        if len(self.grid) > self.values.ndim:
            raise ShapeError(f"RegularGridInterpolator: {len(self.grid)} axes for values of shape {self.values.shape}")
        for i, p in enumerate(self.grid):
            if p.ndim != 1 or p.size != self.values.shape[i] or p.size < 2:
                raise ShapeError(
                    f"RegularGridInterpolator: axis {i} has points of shape {p.shape} for values of shape"
                    f" {self.values.shape}; at least two are needed"
                )
        turned = [i for i, p in enumerate(self.grid) if np.all(np.diff(p._array) < 0)]
        self.grid = tuple(p[::-1] if i in turned else p for i, p in enumerate(self.grid))
        self.values = np.flip(self.values, tuple(turned)) if turned else self.values
        for i, p in enumerate(self.grid):
            if not np.all(np.diff(p._array) > 0):
                raise ArgumentError(
                    f"RegularGridInterpolator: the points of axis {i} must increase or decrease throughout"
                )

    def __call__(self, xi: ArrayLike, method: str | None = None, *, nu: Sequence[int] | None = None) -> Tensor:
        """The values at positions (..., dimensions), as a Tensor of shape (...) and the values' further axes.

        Of splines ``nu`` are the orders of the derivative along each axis.
        """
        method = method or self.method
        if method not in _DEGREES:
            raise ArgumentError(f"RegularGridInterpolator: method must be one of {', '.join(_DEGREES)}, got {method!r}")
        degree = _DEGREES[method]
        if min(p.size for p in self.grid) <= degree:
            raise ShapeError(f"RegularGridInterpolator: {method!r} needs at least {degree + 1} points along each axis")
        if nu is not None and (degree < 3 or len(nu) != len(self.grid)):
            raise ArgumentError(
                f"RegularGridInterpolator: nu needs 'cubic' or 'quintic' and one order an axis, got {nu!r}"
            )
        at = shaping.stack(shaping.broadcast_arrays(*map(_floats, xi)), -1) if isinstance(xi, tuple) else _floats(xi)
        dimensions = len(self.grid)
        if at.ndim == 0 or at.shape[-1] != dimensions:
            raise ShapeError(f"RegularGridInterpolator: positions of shape {at.shape} in {dimensions} dimensions")
        shape = at.shape[:-1] or (1,)
        at = at.reshape(-1, dimensions)
        inside = np.ones(at.shape[0], bool)
        pieces, shares = [], []
        for i, p in enumerate(self.grid):
            x = at[:, i]
            inside &= (x._array >= p._array[0]) & (x._array <= p._array[-1])
            if self.bounds_error and not inside.all():
                raise ArgumentError(f"RegularGridInterpolator: a position lies outside of the grid along axis {i}")
            piece = np.clip(np.searchsorted(p._array, x._array, "right") - 1, 0, p.size - 2)
            pieces.append(piece)
            shares.append((x - p[piece]) / (p[piece + 1] - p[piece]))
        more = (1,) * (self.values.ndim - dimensions)
        if method == "nearest":
            value = self.values[
                tuple(piece + (share._array > 0.5) for piece, share in zip(pieces, shares, strict=True))
            ]
        elif method == "pchip":
            last = dimensions - 1
            value = PchipInterpolator(self.grid[last], self.values, last)(at[:, last])
            value = shaping.moveaxis(value, last, 0)
            each = np.arange(len(at))
            for i in range(last - 1, -1, -1):  # from here on each position has data of its own
                curve = PchipInterpolator(self.grid[i], shaping.moveaxis(value, i + 1, 0))
                value = curve._value(at[:, i], pieces[i], each)
        elif degree > 1:
            # A spline is linear in its data: that of the unit vectors gives the weight of every point.
            orders = nu or (0,) * dimensions
            weights = [
                make_interp_spline(p, np.eye(p.size, dtype=p.dtype), degree)(at[:, i], orders[i])
                for i, p in enumerate(self.grid)
            ]
            value = np.einsum("mi,i...->m...", weights[0], self.values)
            for further in weights[1:]:
                value = np.einsum("mi,mi...->m...", further, value)
        else:
            value = 0.0
            for corner in itertools.product((0, 1), repeat=dimensions):
                weight: Any = 1.0
                for share, high in zip(shares, corner, strict=True):
                    weight = weight * (share if high else 1.0 - share)
                here = self.values[tuple(piece + high for piece, high in zip(pieces, corner, strict=True))]
                value = value + weight.reshape((-1, *more)) * here
        if not self.bounds_error and self.fill_value is not None:
            value = np.where(inside.reshape((-1, *more)), value, self.fill_value)
        if np.any(unknown := np.isnan(at._array).any(axis=1)):
            value = np.where(unknown.reshape((-1, *more)), np.nan, value)
        return value.reshape(shape + self.values.shape[dimensions:])  # type: ignore[no-any-return]


def interpn(
    points: Sequence[ArrayLike],
    values: ArrayLike,
    xi: ArrayLike,
    method: str = "linear",
    bounds_error: bool = True,
    fill_value: float | None = np.nan,
) -> Tensor:
    """Interpolation on a rectangular grid, as ``scipy.interpolate.interpn``; see :class:`RegularGridInterpolator`.

    Examples
    --------
    >>> interpn((np.arange(2.0), np.arange(3.0)), np.arange(6.0).reshape(2, 3), [0.5, 1.5]).data
    array([3.])
    """
    return RegularGridInterpolator(points, values, method, bounds_error, fill_value)(xi)


#: Radial functions of the squared distance s, each with the least degree of the polynomial beside it; of the first four
#: the scale does not matter.
_RADIAL: dict[str, tuple[Callable[[Any], Any], int]] = {
    "linear": (lambda s: -np.sqrt(s), 0),
    "thin_plate_spline": (lambda s: 0.5 * s * np.log(s), 1),
    "cubic": (lambda s: s * np.sqrt(s), 1),
    "quintic": (lambda s: -s * s * np.sqrt(s), 2),
    "multiquadric": (lambda s: -np.sqrt(s + 1.0), 0),
    "inverse_multiquadric": (lambda s: 1.0 / np.sqrt(s + 1.0), -1),
    "inverse_quadratic": (lambda s: 1.0 / (s + 1.0), -1),
    "gaussian": (lambda s: np.exp(-s), -1),
}


class RBFInterpolator:
    """Interpolation of scattered data by radial functions, as ``scipy.interpolate.RBFInterpolator``.

    Parameters
    ----------
    y : (n, dimensions) places
    d : (n, ...) data
    neighbors : None
        All data count everywhere.
    smoothing : float or (n,)
        0 interpolates.
    kernel : {"thin_plate_spline", "linear", "cubic", "quintic", "multiquadric", "inverse_multiquadric",
        "inverse_quadratic", "gaussian"}
    epsilon : float, optional
        The scale, which the last four need.
    degree : int, optional
        Of the polynomial beside the radial functions; -1 for none.

    Raises
    ------
    ArgumentError
        For neighbors, another kernel or no scale.
    SingularMatrixError
        If places coincide or do not determine the polynomial.

    Notes
    -----
    Differentiable in places, data, smoothing, scale and positions. Where a position meets a place, "linear" has a kink,
    whose derivative counts as 0, and so has the slope of "thin_plate_spline".

    Examples
    --------
    >>> f = RBFInterpolator([[0.0], [1.0], [2.0]], [0.0, 1.0, 4.0])
    >>> f([[1.0]]).data.round(12)
    array([1.])
    """

    def __init__(
        self,
        y: ArrayLike,
        d: ArrayLike,
        neighbors: int | None = None,
        smoothing: ArrayLike = 0.0,
        kernel: str = "thin_plate_spline",
        epsilon: ArrayLike | None = None,
        degree: int | None = None,
    ) -> None:
        if neighbors is not None:
            raise ArgumentError("RBFInterpolator: neighbors is not supported; all data count everywhere")
        if kernel not in _RADIAL:
            raise ArgumentError(f"RBFInterpolator: kernel must be one of {', '.join(_RADIAL)}, got {kernel!r}")
        self._function, least = _RADIAL[kernel]
        self._kinked = kernel in list(_RADIAL)[:4]
        if epsilon is None and not self._kinked:
            raise ArgumentError(f"RBFInterpolator: the kernel {kernel!r} needs a scale epsilon")
        self.y, data = _floats(y), _floats(d)
        if self.y.ndim != 2 or data.ndim < 1 or data.shape[0] != self.y.shape[0]:
            raise ShapeError(f"RBFInterpolator: places of shape {self.y.shape} and data of shape {data.shape}")
        kind = np.result_type(self.y.dtype, data.dtype)
        weak: Callable[[Any], Any] = lambda value: np.asarray(value, kind) if isinstance(value, (int, float)) else value
        self.epsilon = _tensor(weak(1.0 if epsilon is None else epsilon))
        n, dimensions = self.y.shape
        degree = max(least, 0) if degree is None else int(degree)
        if degree < -1:
            raise ArgumentError(f"RBFInterpolator: degree must be at least -1, got {degree}")
        self._powers = np.array(
            [
                np.bincount(np.array(axes, int), minlength=dimensions)
                for total in range(degree + 1)
                for axes in itertools.combinations_with_replacement(range(dimensions), total)
            ]
        ).reshape(-1, dimensions)
        self._powers = self._powers.astype(kind)
        low, high = self.y._array.min(0), self.y._array.max(0)
        self._middle, self._half = (low + high) / 2, np.where(high > low, (high - low) / 2, 1.0)
        kernels, polynomials = self._matrices(self.y)
        spread = shaping.broadcast_to(_floats(weak(smoothing)), (n,))
        k = len(self._powers)
        matrix = np.block([[kernels + np.diag(spread), polynomials], [polynomials.T, np.zeros((k, k), kind)]])
        right = _columns(data)
        try:
            self._coefficients = np.linalg.solve(
                matrix, shaping.concatenate([right, np.zeros((k, right.shape[1]), kind)])
            )
        except np.linalg.LinAlgError as error:
            raise SingularMatrixError(
                f"RBFInterpolator: singular; places coincide, or determine no polynomial of degree {degree}"
            ) from error
        self._shape = data.shape[1:]

    def _matrices(self, x: Any) -> tuple[Any, Any]:
        """The radial functions and the monomials at positions."""
        apart = (x[:, None] - self.y) * self.epsilon
        s = np.sum(apart * apart, axis=-1)
        if self._kinked:
            zero = s._array == 0
            kernels = np.where(zero, 0.0, self._function(np.where(zero, 1.0, s)))
        else:
            kernels = self._function(s)
        return kernels, np.prod(((x - self._middle) / self._half)[:, None] ** self._powers, axis=-1)

    def __call__(self, x: ArrayLike) -> Tensor:
        """The values (m, ...) at positions (m, dimensions)."""
        at = _floats(x)
        if at.ndim != 2 or at.shape[1] != self.y.shape[1]:
            raise ShapeError(f"RBFInterpolator: positions of shape {at.shape} in {self.y.shape[1]} dimensions")
        value = shaping.concatenate(self._matrices(at), axis=1) @ self._coefficients
        return value.reshape(at.shape[:1] + self._shape)  # type: ignore[no-any-return]


#: What to take for a class of SciPy's that is not here.
_INSTEAD = {
    "RectBivariateSpline": "use RegularGridInterpolator with method='cubic'",
    "NdBSpline": "use RegularGridInterpolator",
    "griddata": "use RBFInterpolator",
    "LinearNDInterpolator": "use RBFInterpolator",
}


def __getattr__(name: str) -> Any:
    instead = _INSTEAD.get(name, "use BSpline, make_interp_spline or PPoly")
    raise absent("autodiff.interpolate", name, "scipy.interpolate", instead)
