"""Interpolation with ``scipy.interpolate``'s classes, differentiable in the data, the nodes and the positions:
``interp``, ``CubicSpline``, ``PchipInterpolator``, ``RegularGridInterpolator``, ``make_interp_spline``.

A spline is a piecewise polynomial whose coefficients are recorded functions of nodes and data; where they solve a
linear system, SuperLU does, and its derivative is one more solve. Values are SciPy's. Needs SciPy.
De Boor, A Practical Guide to Splines (1978); Fritsch and Butland 1984 (PCHIP).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.extras import require
from autodiff.ops import shaping
from autodiff.ops.calculus import interp
from autodiff.ops.common import bare
from autodiff.ops.shaping import _tensor
from autodiff.sparse import csr_array, spsolve

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike, Tensor

__all__ = [
    "CubicHermiteSpline",
    "CubicSpline",
    "PPoly",
    "PchipInterpolator",
    "RegularGridInterpolator",
    "interp",
    "make_interp_spline",
]


def _floats(value: Any) -> Any:
    t = shaping.array(list(value)) if isinstance(value, (list, tuple)) else _tensor(value)
    return t if t.dtype.kind in "fc" else t.astype(float)


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


class PPoly:
    """A piecewise polynomial: ``sum(c[m, i] * (x - x[i]) ** (k - m))`` between the breakpoints x[i] and x[i + 1].

    Parameters
    ----------
    c : (k + 1, n, ...) array or Tensor
        Coefficients, the highest power first.
    x : (n + 1,) array or Tensor
        Breakpoints, increasing.
    extrapolate : bool or "periodic", optional
        Outside, continue the first and last piece (True, the default), give NaN (False), or repeat.
    axis : int
        The interpolation axis in what is returned.

    Examples
    --------
    >>> p = PPoly(np.array([[1.0], [0.0]]), np.array([0.0, 2.0]))
    >>> p(1.5).item(), p.derivative()(1.5).item(), p.integrate(0.0, 2.0).item()
    (1.5, 1.0, 2.0)
    """

    def __init__(self, c: ArrayLike, x: ArrayLike, extrapolate: bool | str | None = None, axis: int = 0) -> None:
        self.c, self.x = _floats(c), _floats(x)
        if self.c.ndim < 2 or self.x.ndim != 1 or self.c.shape[1] != self.x.size - 1:
            raise ShapeError(f"PPoly: coefficients of shape {self.c.shape} for {self.x.size} breakpoints")
        self.extrapolate = True if extrapolate is None else extrapolate
        self.axis = axis

    def __call__(self, x: ArrayLike, nu: int = 0, extrapolate: bool | str | None = None) -> Tensor:
        """The value at ``x`` of any shape, or the derivative of order ``nu``.

        Returns
        -------
        Tensor
            ``x``'s shape in the place of the interpolation axis.
        """
        if nu > 0:
            return self.derivative(nu)(x, 0, extrapolate)
        extrapolate = self.extrapolate if extrapolate is None else extrapolate
        at, nodes = _floats(x), self.x
        if extrapolate == "periodic":
            at = nodes[0] + (at - nodes[0]) % (nodes[-1] - nodes[0])
        piece = np.clip(np.searchsorted(nodes._array, at._array, "right") - 1, 0, nodes.size - 2)
        more = (1,) * (self.c.ndim - 2)
        step = (at - nodes[piece]).reshape(at.shape + more)
        value = self.c[0][piece]
        for m in range(1, self.c.shape[0]):
            value = value * step + self.c[m][piece]
        if extrapolate is False:
            inside = (at._array >= nodes._array[0]) & (at._array <= nodes._array[-1])
            value = np.where(inside.reshape(inside.shape + more), value, np.nan)
        axis = self.axis % max(self.c.ndim - 1, 1)
        if axis and at.ndim:
            value = np.moveaxis(value, range(at.ndim), range(axis, axis + at.ndim))
        return value  # type: ignore[no-any-return]

    def _like(self, c: Any) -> PPoly:
        return PPoly(c, self.x, self.extrapolate, self.axis)

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
        # It is not periodic where the integral over a period is not zero.
        return PPoly(c, self.x, False if self.extrapolate == "periodic" else self.extrapolate, self.axis)

    def integrate(self, a: ArrayLike, b: ArrayLike) -> Tensor:
        """The integral from ``a`` to ``b``."""
        if self.extrapolate == "periodic":
            raise ArgumentError("integrate: write the integral over whole periods out for a periodic spline")
        whole = self.antiderivative()
        if self.extrapolate is False and (
            min(bare(a), bare(b)) < self.x._array[0] or max(bare(a), bare(b)) > self.x._array[-1]
        ):
            raise ArgumentError("integrate: the limits lie outside of the nodes, and extrapolate is False")
        return whole(b, extrapolate=True) - whole(a, extrapolate=True)


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
        super().__init__(_hermite(x, values, slopes), x, extrapolate, axis)


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
        super().__init__(_hermite(x, values, _pchip_slopes(x, values)), x, extrapolate, axis)


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
        flat = values.reshape(x.size, -1)  # type: ignore[union-attr]
        slopes = _periodic_slopes(x, flat) if periodic else _spline_slopes(x, flat, *_ends(bc_type, values))
        super().__init__(_hermite(x, values, slopes.reshape(values.shape)), x, extrapolate, axis)


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


def make_interp_spline(
    x: ArrayLike, y: ArrayLike, k: int = 3, t: ArrayLike | None = None, bc_type: object = None, axis: int = 0
) -> PPoly:
    """The interpolating spline of degree ``k``, as ``scipy.interpolate.make_interp_spline``.

    Parameters
    ----------
    x : (n,) increasing nodes, constant
    y : (..., n, ...) data
    k : int
        Degree.
    t : array_like, optional
        Knots; by default SciPy's.
    bc_type : None
        Other end conditions: see :class:`CubicSpline`.
    axis : int

    Returns
    -------
    PPoly
        Differentiable in ``y`` and in the positions; ``tck`` holds the knots, the B-spline coefficients and ``k``.

    Raises
    ------
    NotDifferentiableError
        If ``x`` is tracked.

    Examples
    --------
    >>> spline = make_interp_spline(np.arange(5.0), np.arange(5.0) ** 2, k=2)
    >>> round(spline(1.5).item(), 12)
    2.25
    """
    scipys = require("scipy.interpolate")
    if getattr(x, "_node", None) is not None:
        raise NotDifferentiableError("make_interp_spline has no gradient in the nodes; use CubicSpline")
    if bc_type is not None:
        raise ArgumentError("make_interp_spline: end conditions are CubicSpline's")
    nodes, values = _nodes("make_interp_spline", x, y, axis)
    plain = scipys.make_interp_spline(nodes._array, np.zeros(nodes.size), k, t)
    design = scipys.BSpline.design_matrix(nodes._array, plain.t, k)
    c = spsolve(design, values.reshape(nodes.size, -1))
    breaks = np.unique(plain.t[k : len(plain.t) - k])
    basis = scipys.BSpline(plain.t, np.eye(nodes.size), k)
    # The Taylor coefficients at the left end of every piece.
    parts = [_tensor(basis(breaks[:-1], nu=m) / factorial(m)) @ c for m in range(k, -1, -1)]
    shape = (k + 1, breaks.size - 1, *values.shape[1:])
    spline = PPoly(shaping.stack(parts).reshape(shape), breaks, True, axis)
    spline.tck = (plain.t, c.reshape(values.shape), k)  # type: ignore[attr-defined]
    return spline


class RegularGridInterpolator:
    """Interpolation on a rectangular grid of any dimension, as ``scipy.interpolate.RegularGridInterpolator``.

    Parameters
    ----------
    points : sequence of (n_i,) arrays or Tensors
        The grid along each axis, increasing.
    values : (n_0, n_1, ..., more) array or Tensor
    method : {"linear", "nearest", "cubic"}
        "nearest" has no derivative in the positions; "cubic" is the product of cubic splines along the axes, with at
        least four points each.
    bounds_error : bool
        Refuse positions outside of the grid; else they get ``fill_value``, or extrapolate if that is None.
    fill_value : float or None

    Raises
    ------
    ArgumentError
        For another method, a grid that does not increase, or a position outside.

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
            if np.any(np.diff(p._array) <= 0):
                raise ArgumentError(f"RegularGridInterpolator: the points of axis {i} must increase throughout")

    def __call__(self, xi: ArrayLike, method: str | None = None) -> Tensor:
        """The values at positions (..., dimensions), as a Tensor of shape (...) and the values' further axes."""
        method = method or self.method
        if method not in ("linear", "slinear", "nearest", "cubic"):
            raise ArgumentError(
                f"RegularGridInterpolator: method must be 'linear', 'nearest' or 'cubic', got {method!r}; for others"
                " apply PchipInterpolator or make_interp_spline along one axis after the other"
            )
        if method == "cubic" and min(p.size for p in self.grid) < 4:
            raise ShapeError("RegularGridInterpolator: 'cubic' needs at least four points along each axis")
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
        elif method == "cubic":
            # A spline is linear in its data: that of the unit vectors gives the weight of every point.
            weights = [CubicSpline(p, np.eye(p.size))(at[:, i]) for i, p in enumerate(self.grid)]
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
        return value.reshape(shape + self.values.shape[dimensions:])  # type: ignore[no-any-return]
