"""Ordinary differential equations and quadrature under SciPy's names, differentiable in all that goes into them:
``solve_ivp``, ``odeint``, ``quad``, ``fixed_quad``; rules for samples as ``simpson``.

SciPy takes the steps, on plain numbers. The derivative is that of the solution that was computed: its steps are taken
once more, last to first, a few at a time, as recorded operations, and pulled back (the discrete adjoint). So a gradient
costs a few forward solves and holds the states at the steps, never the whole graph. Which steps:

- RK23, RK45, DOP853: SciPy's own tableaux and interpolants; the derivative is exact for the steps that were taken.
- Radau: the collocation equations of every step, as implicit functions; exact but for the solver's Newton tolerance.
- BDF, LSODA: values are the solver's; the derivative is that of a Radau solution to the same tolerances; for LSODA of
  one by DOP853 where the system is not stiff, as for complex states, which BDF takes of these two alone.

Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I and II.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.batching import Batched, Unbatchable, is_batched
from autodiff.closures import (
    at_levels,
    defined,
    gradients_at,
    outside,
    run_marked,
    run_recorded,
    same_again,
    strangers,
    variable,
)
from autodiff.core.errors import (
    ArgumentError,
    ConvergenceError,
    DTypeError,
    GraphError,
    ShapeError,
    SingularMatrixError,
)
from autodiff.core.modes import no_grad
from autodiff.core.op import Primitive
from autodiff.core.pytree import flatten
from autodiff.extras import absent, require
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.implicit import Jacobian, bare_tree, solution
from autodiff.mapping import vmap
from autodiff.ops import shaping
from autodiff.ops.common import bare, real_numbers
from autodiff.ops.quadrature import cumulative_simpson, cumulative_trapezoid, romb, simpson, trapezoid
from autodiff.ops.shaping import _tensor
from autodiff.trees import as_tuple, flatten_like

if TYPE_CHECKING:
    from autodiff.results import OdeResult, Tree, TreeLike
    from autodiff.signatures import ArrayLike, Tensor

__all__ = [
    "cumulative_simpson",
    "cumulative_trapezoid",
    "dblquad",
    "fixed_quad",
    "nquad",
    "odeint",
    "quad",
    "romb",
    "simpson",
    "solve_ivp",
    "tplquad",
    "trapezoid",
]

METHODS = ("RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA")
#: Up to so many unknowns the way back holds the Jacobians at all steps.
FULL_JACOBIANS = THRESHOLDS["FULL_JACOBIANS"].value
#: Up to so many unknowns the implicit solvers are given the exact Jacobian; beyond, SciPy's differences.
EXACT_JACOBIAN = THRESHOLDS["EXACT_JACOBIAN"].value


# --- the state as one vector ------------------------------------------------------------------------------------------


class State:
    """A tree of arrays as the vector that a solver integrates."""

    def __init__(self, name: str, y0: Any, function: str = "fun") -> None:
        if isinstance(y0, (list, tuple)) and y0 and all(_is_number(part) for part in y0):
            y0 = shaping.array(list(y0))  # as SciPy takes a list of numbers
        leaves, self.rebuild = flatten(y0)
        self.name, self.tree, self.function = name, y0, function
        arrays = [np.asarray(bare(leaf)) for leaf in leaves]
        if not arrays or not all(a.dtype.kind in "biufc" for a in arrays):
            raise DTypeError(f"{name}: the state must be an array or a tree of arrays of numbers")
        self.shapes = [a.shape for a in arrays]
        self.ends = np.cumsum([0, *(a.size for a in arrays)]).tolist()
        self.dtype = np.result_type(*(a.dtype if a.dtype.kind in "fc" else float for a in arrays), np.float16)
        self.plain = len(arrays) == 1 and hasattr(y0, "shape") and arrays[0].ndim == 1
        self.alone = len(arrays) == 1 and not isinstance(y0, (dict, list, tuple))

    def pack(self, tree: Any, words: str = "") -> Any:
        """The vector of a tree, recorded."""
        words = words or self.function
        if self.alone:
            if isinstance(tree, (list, tuple)):
                flat = all(isinstance(part, float) or getattr(part, "shape", None) == () for part in tree)
                tree = vector_.function(*tree) if flat and tree else shaping.array(tree)
            whole = tree if hasattr(tree, "_node") else _tensor(tree)
            if whole.shape != self.shapes[0]:
                raise ShapeError(
                    f"{self.name}: {words} returned shape {whole.shape} for a state of shape {self.shapes[0]}"
                )
            whole = whole if whole.ndim == 1 else shaping.reshape(whole, (-1,))
        else:
            leaves = [_tensor(leaf) for leaf in flatten_like(tree, self.tree, f"{self.name}: {words}'s value")]
            for leaf, shape in zip(leaves, self.shapes, strict=True):
                if leaf.shape != shape:
                    raise ShapeError(f"{self.name}: {words} returned shape {leaf.shape} for a state of shape {shape}")
            whole = shaping.concatenate([shaping.reshape(leaf, (-1,)) for leaf in leaves])
        if whole.dtype == self.dtype:
            return whole
        real_numbers(f"{self.name} of a real state", None if self.dtype.kind == "c" else whole)
        return whole.astype(self.dtype)

    def pack_many(self, tree: Any, count: int) -> Any:
        """The vectors of a tree that holds many states, one axis more behind."""
        if self.alone and isinstance(tree, (list, tuple)):
            tree = shaping.stack([part + np.zeros(count) for part in tree])
        leaves = [_tensor(leaf) for leaf in flatten_like(tree, self.tree if not self.alone else 0.0, "the state")]
        return shaping.concatenate([shaping.reshape(leaf, (-1, count)) for leaf in leaves])

    def unpack(self, y: Any, more: tuple[int, ...] = ()) -> Any:
        """The tree of a vector, or of vectors with more axes behind."""
        if self.plain:
            return y
        spans = zip(self.ends, self.ends[1:], self.shapes, strict=False)
        return self.rebuild([y[start:stop].reshape(shape + more) for start, stop, shape in spans])

    def numbers(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[Any, Any], Any]:
        """``function(t, tree, *args)`` as one of plain arrays, for SciPy; to be called under ``no_grad``."""
        args = bare_tree(args)

        def plain(t: Any, y: Any) -> Any:
            value = function(t, self.unpack(y), *args)
            if value.__class__ is np.ndarray and value.shape == y.shape and value.dtype.kind in ("f", y.dtype.kind):
                return value
            return bare(self.pack(value))

        return plain


def _is_number(part: Any) -> bool:
    return not isinstance(part, (dict, list, tuple)) and part is not None and np.ndim(bare(part)) == 0


# --- steps ------------------------------------------------------------------------------------------------------------


def _sum(*terms: Any, weights: tuple[float, ...] = ()) -> Any:
    total = terms[0]
    for weight, term in zip(weights, terms[1:], strict=True):
        total = total + weight * term
    return total


#: ``terms[0] + sum(weights * terms[1:])``: one stage of a step.
sum_ = Primitive(
    "weighted_sum",
    _sum,
    lambda i, g, out, *terms, weights=(): g * weights[i - 1] if i else g,
    variadic=True,
    linear="jointly",
    sample=lambda draw: (tuple(draw.array((3,)) for _ in range(3)), {"weights": (0.5, -2.0)}),
)


#: Numbers as a vector: what an equation returns as a list.
vector_ = Primitive(
    "vector_of",
    lambda *parts: np.array([part.item() if hasattr(part, "item") else part for part in parts], np.result_type(*parts)),
    lambda i, g, out, *parts: g[i],
    variadic=True,
    linear="jointly",
    sample=lambda draw: (tuple(draw.array(()) for _ in range(3)), {}),
)


def _combined(y: Any, h: Any, weights: Sequence[float], slopes: Sequence[Any]) -> Any:
    """``y + h sum(weights * slopes)``; ``h`` may be a Tensor."""
    pairs = [(float(w), k) for w, k in zip(weights, slopes, strict=False) if w]
    if not pairs:
        return y
    if hasattr(h, "_node"):
        first, *rest = pairs
        return y + h * sum_.function(first[1] * first[0], *[k for _, k in rest], weights=tuple(w for w, _ in rest))
    return sum_.function(y, *[k for _, k in pairs], weights=tuple(h * w for w, _ in pairs))


class Explicit:
    """The steps of one of SciPy's explicit Runge-Kutta methods.

    ``weights(x)`` are the interpolant's: the state at the fraction x of a step is ``y + h sum(weights(x) * slopes)``.
    """

    chunk = 32

    def __init__(self, method: str) -> None:
        solver = getattr(require("scipy.integrate"), method)
        self.A, self.C, self.B = solver.A, solver.C, solver.B
        self.stages = solver.n_stages
        if method == "DOP853":
            self.A = np.vstack([_wide(solver.A, 16), np.append(solver.B, np.zeros(4)), solver.A_EXTRA])
            self.C = np.concatenate([solver.C, [1.0], solver.C_EXTRA])
            self.P = _dop853_interpolant(solver)
        else:
            self.A = np.vstack([_wide(solver.A, self.stages), solver.B])
            self.C = np.append(solver.C, 1.0)
            self.P = solver.P

    def step(self, f: Any, t: Any, h: Any, y: Any, first: Any, guess: Any, parents: list[Any]) -> tuple[Any, Any]:
        """(state at the end, slopes): further slopes are added by :meth:`between` and by the next step."""
        slopes = [f(t, y) if first is None else first]
        for i in range(1, self.stages):
            slopes.append(f(t + float(self.C[i]) * h, _combined(y, h, self.A[i], slopes)))
        return _combined(y, h, self.B, slopes), slopes

    def ending(self, f: Any, t: Any, h: Any, y: Any, slopes: list[Any]) -> Any:
        """The slope at the end of a step, which is the first of the next."""
        if len(slopes) == self.stages:
            slopes.append(f(t + h, y))
        return slopes[self.stages]

    def between(self, f: Any, t: Any, h: Any, y: Any, end: Any, slopes: list[Any], x: Any) -> Any:
        """The interpolant at the fraction ``x``, a number or a Tensor."""
        self.ending(f, t, h, end, slopes)
        for i in range(len(slopes), len(self.P)):
            slopes.append(f(t + float(self.C[i]) * h, _combined(y, h, self.A[i], slopes)))
        if not hasattr(x, "_node"):
            return _combined(y, h, self.P @ x ** np.arange(1, self.P.shape[1] + 1), slopes)
        return _blend(y, self.P, slopes, x, h)

    def slope(self, h: float, slopes: list[Any], x: float) -> Any:
        """The interpolant's derivative in time, on numbers."""
        powers = np.arange(1, self.P.shape[1] + 1)
        weights = self.P @ (powers * x ** (powers - 1))
        return sum(w * bare(k) for w, k in zip(weights, slopes, strict=True))


def _blend(y: Any, P: Any, parts: Sequence[Any], x: Any, scale: Any) -> Any:
    power, weights = x, 0.0
    for column in P.T:
        weights = weights + power * column
        power = power * x
    return y + scale * np.sum(shaping.stack(parts, axis=1) * weights, axis=1)


def _wide(A: Any, columns: int) -> Any:
    out = np.zeros((len(A), columns))
    out[:, : A.shape[1]] = A[:, :columns]
    return out


def _dop853_interpolant(solver: Any) -> Any:
    """The weights of the sixteen slopes as polynomials of the fraction: SciPy's nested form, multiplied out."""
    delta = np.append(solver.B, np.zeros(4))
    e = np.eye(16)
    parts = [delta, e[0] - delta, 2 * delta - (e[0] + e[12]), *solver.D]
    x, one_less = np.polynomial.Polynomial([0, 1]), np.polynomial.Polynomial([1, -1])
    out = np.zeros((16, 7))
    factor = np.polynomial.Polynomial([1.0])
    for i, part in enumerate(parts):
        factor = factor * (x if i % 2 == 0 else one_less)
        coefficients = np.zeros(8)
        coefficients[: len(factor.coef)] = factor.coef
        out += np.outer(part, coefficients[1:])
    return out


class Radau:
    """The steps of Radau IIA of order five: the state is a polynomial that satisfies the equation at three points."""

    chunk = 8

    def __init__(self) -> None:
        s = 6**0.5
        self.C = np.array([(4 - s) / 10, (4 + s) / 10, 1.0])
        self.A = np.array(
            [
                [(88 - 7 * s) / 360, (296 - 169 * s) / 1800, (-2 + 3 * s) / 225],
                [(296 + 169 * s) / 1800, (88 + 7 * s) / 360, (-2 - 3 * s) / 225],
                [(16 - s) / 36, (16 + s) / 36, 1 / 9],
            ]
        )
        self.P = np.linalg.inv(self.C[:, None] ** np.arange(1, 4)).T

    def step(self, f: Any, t: Any, h: Any, y: Any, first: Any, guess: Any, parents: list[Any]) -> tuple[Any, Any]:
        """(state at the end, the three differences to the state at the start); ``guess`` holds their values."""
        n = y.shape[0]

        def collocation(z: Any) -> Any:
            z = z.reshape(3, n)
            slopes = shaping.stack([f(t + float(c) * h, y + z[i]) for i, c in enumerate(self.C)])
            return shaping.reshape(z - h * (self.A @ slopes), (-1,))

        read = [part._node for part in (t, h, y) if getattr(part, "_node", None) is not None]
        known = list(dict.fromkeys([*read, *parents]))
        z = solution("solve_ivp (Radau step)", collocation, guess, parents=known).reshape(3, n)
        parts = [z[0], z[1], z[2]]
        return y + parts[2], parts

    def ending(self, f: Any, t: Any, h: Any, y: Any, slopes: list[Any]) -> Any:
        """No slope is handed on."""
        return None

    def between(self, f: Any, t: Any, h: Any, y: Any, end: Any, slopes: list[Any], x: Any) -> Any:
        """The collocation polynomial at the fraction ``x``."""
        if not hasattr(x, "_node"):
            return _combined(y, 1.0, self.P @ x ** np.arange(1, 4), slopes)
        return _blend(y, self.P, slopes, x, 1.0)

    def slope(self, h: float, slopes: list[Any], x: float) -> Any:
        """The polynomial's derivative in time, on numbers."""
        weights = self.P @ (np.arange(1, 4) * x ** np.arange(3))
        return sum(w * bare(z) for w, z in zip(weights, slopes, strict=True)) / h


@cache
def _lsoda() -> Any:
    """SciPy's LSODA, which would go on for ever with steps that leave the time where it is."""

    class LSODA(require("scipy.integrate").LSODA):  # type: ignore[misc]
        stalls = 0

        def _step_impl(self) -> tuple[bool, str | None]:
            before = self.t
            done, message = super()._step_impl()
            self.stalls = self.stalls + 1 if self.t == before else 0
            return (done, message) if self.stalls < 20 else (False, "The step size has become too small.")

    return LSODA


@cache
def _scheme(method: str) -> Any:
    return Radau() if method == "Radau" else Explicit(method)


# --- trajectories -----------------------------------------------------------------------------------------------------


class Trajectory:
    """A computed solution, differentiable in the initial state and time, the equation's parameters and the times at
    which it is looked at.

    Parameters
    ----------
    bind : callable
        ``bind(leaves)`` makes ``f(t, y)`` of the vector, recorded, with these in the place of the tracked arguments.
    leaves : list of Tensor
        The arguments that are tracked.
    numbers : callable
        The same ``f`` on plain arrays.
    y0, t0 : Tensor
    dense : scipy.integrate.OdeSolution
        Of SciPy's steps.
    method : str
        What took them: one of the explicit methods or "Radau".
    again : callable, optional
        Makes (dense, method) of another method, for one whose own steps are not differentiated.
    """

    def __init__(
        self, bind: Any, leaves: list[Any], numbers: Any, y0: Any, t0: Any, dense: Any, method: str, again: Any = None
    ) -> None:
        self.bind, self.leaves, self.f = bind, leaves, bind(leaves)
        self.y0, self.t0, self.dense, self.method, self.again = y0, t0, dense, method, again
        self.shown = dense  # what gives the values, also when another method has given the derivative
        self.numbers = numbers
        self.sign = 1.0 if dense.ts[-1] >= dense.ts[0] else -1.0
        closed_over: dict[Any, None] = {}
        self.seen: list[tuple[float, Any, Any]] = []
        for t in np.linspace(dense.t_min, dense.t_max, 7):
            y = variable(np.asarray(dense(t), y0.dtype))
            slope, mark = run_marked(self.f, t, y)
            self.seen.append((t, y._data, bare(slope)))
            if getattr(slope, "_node", None) is not None:
                closed_over.update(dict.fromkeys(outside([slope._node], mark, {y._node})))
        arguments = {leaf._node for leaf in leaves}
        self.closed_over = [node for node in closed_over if node not in arguments]
        self.parents = [leaf._node for leaf in leaves] + self.closed_over

    @property
    def tracked(self) -> bool:
        """Whether anything that it depends on asks for a gradient."""
        return bool(self.parents) or self.y0._node is not None or self.t0._node is not None

    def at(self, times: Any, value: Any = None) -> Any:
        """The states (n, *times.shape) at some times within the span; ``value`` if they are known."""
        times = _tensor(times)
        if self.dense.ts[0] == self.dense.ts[-1] and times.size:  # a span of no length
            moved = [run_recorded(_nowhere, self.f, self.t0, self.y0, t - self.t0) for t in times.reshape(-1)]
            return shaping.stack(moved, 1).reshape(self.y0.size, *times.shape)
        flat = np.atleast_1d(times._array).ravel()
        if value is None:
            value = np.asarray(self.shown(flat), self.y0.dtype).reshape(self.y0.size, *times.shape)
        own = [t._node for t in (self.y0, self.t0, times)]
        parents = [node for node in own if node is not None] + self.parents

        def pullback(g: Any, out: Any, recording: bool) -> Any:
            with no_grad():
                for t, y, slope in self.seen:
                    same_again("solve_ivp: fun", slope, self.numbers(t, y))
            if self.again is not None:
                (self.dense, self.method), self.again = self.again(), None
            if recording:
                outs, seeds = self._replayed(flat, g, self.y0, self.t0, times.reshape(-1))
                return gradients_at(outs, seeds, parents, True)
            many = is_batched(g)
            g = g.array if many else g[None]
            sent = self._adjoint(
                flat, g.reshape(len(g), self.y0.size, -1), own[1] is not None, own[2] is not None, many
            )
            start, initial, moments, rest = sent
            known = (start, initial, None if moments is None else moments.reshape(len(g), *times.shape))
            found = [part for part, node in zip(known, own, strict=True) if node is not None] + rest
            return [part if part is None else Batched(part) if many else part[0] for part in found]

        def tangent(tangents: Sequence[Any]) -> Any:
            known = iter(tangents)
            dy, dt0, dt = (None if node is None else next(known) for node in own)
            moved = self._pushed(flat, own[2] is not None, [dy, dt0, None if dt is None else np.ravel(dt), *known])
            return moved.reshape(self.y0.size, *times.shape)

        return defined("solve_ivp", value, parents, pullback, tangent)

    def same_step(self, k: int, end: Any) -> None:
        """Refuse an explicit step, taken again, that does not end where SciPy's did: the equation reads something that
        has been changed since.
        """
        if isinstance(_scheme(self.method), Explicit):
            piece = self.dense.interpolants[k]
            then = np.asarray(piece(piece.t_max if self.sign > 0 else piece.t_min), self.y0.dtype)
            same_again("solve_ivp: fun", then, bare(end), float(np.finfo(self.y0.dtype).eps) ** 0.5)

    def _steps(self) -> list[tuple[float, float, float]]:
        """(start, length, end) of every step; the last one may have been cut short by an event."""
        return [
            (float(t), float(piece.t_max - t if self.sign > 0 else piece.t_min - t), float(end))
            for t, end, piece in zip(self.dense.ts, self.dense.ts[1:], self.dense.interpolants, strict=False)
        ]

    def _states(self) -> Any:
        """The states (n, steps + 1) at the ends of the steps."""
        return np.asarray(self.dense(self.dense.ts), self.y0.dtype)

    def _places(self, flat: Any, steps: list[Any], wanted: Any) -> list[list[int]]:
        """Which of the times that are wanted lie in each step."""
        found: list[list[int]] = [[] for _ in steps]
        ends = self.sign * np.array([end for _, _, end in steps])
        for j, k in enumerate(np.minimum(np.searchsorted(ends, self.sign * flat, "left"), len(steps) - 1)):
            if wanted[j]:
                found[int(k)].append(j)
        return found

    def _guess(self, t: float, h: float, y: Any) -> Any:
        if self.method != "Radau":
            return None
        points = self.dense(t + h * _scheme("Radau").C)
        return np.asarray((points - y[:, None]).T.ravel(), self.y0.dtype)

    def _adjoint(
        self, flat: Any, g: Any, initial_too: bool, moving: bool, many: bool
    ) -> tuple[Any, Any, Any, list[Any]]:
        """Gradients of <g, states> in the first state, the first time, the times looked at, and the rest; each with an
        axis in front for several ``g``.
        """
        scheme, steps = _scheme(self.method), self._steps()
        places = self._places(flat, steps, g.any(axis=(0, 1)))
        states = self._states()
        moments = np.zeros((len(g), flat.size))
        rest: list[Any] = [None] * len(self.parents)
        initial = np.zeros(len(g))
        adjoint = np.zeros((len(g), self.y0.size), self.y0.dtype)
        stop = len(steps)
        whole = self.y0.size <= FULL_JACOBIANS and (stop > 4 or many)
        while stop > 0:
            # The first step moves with a tracked start, so it is taken by itself.
            least = 1 if initial_too and stop > 1 else 0
            first = initial_too and stop == 1
            parts: Sequence[Any]
            if whole and not first:
                start = max(least, stop - 256)
                table = _Table(self, scheme, steps, places, states, flat, g, moments if moving else None)
                done = table.pulled(adjoint, start, stop)
                if done is None:
                    whole = False
                    continue
                adjoint, parts = done
            else:
                start = max(least, stop - scheme.chunk)
                if many and not first:
                    raise Unbatchable  # the steps are taken again for each
                way = (scheme, steps, places, states, flat)
                rows = [self._one(way, row, start, stop, first) for row in zip(g, adjoint, moments, strict=True)]
                adjoint = np.stack([row[0] for row in rows])
                parts = [
                    None if all(part is None for part in column) else np.stack(
                        [np.zeros(p.shape, p.dtype) if part is None else part for part in column])
                    for p, column in zip(self.parents, zip(*[row[1] for row in rows], strict=True), strict=True)
                ] if self.parents else []  # fmt: skip
                if first:
                    initial = np.array([0.0 if row[2] is None else row[2] for row in rows])
            rest = [b if a is None else a if b is None else a + b for a, b in zip(rest, parts, strict=True)]
            stop = start
        return adjoint, initial, moments, rest

    def _chain(self, f: Any, read: list[Any], y: Any, t0: Any, start: int, stop: int, way: Any) -> Any:
        """Some steps taken once more: the states looked at, which times these are, the interpolant's slopes there, and
        the state at the end.
        """
        scheme, steps, places, states, flat = way
        outs, order, rates, first = [], [], [], None
        for k in range(start, stop):
            t, h, finish = steps[k]
            moving = k == 0 and t0 is not None
            time, length = (t0, t + h - t0) if moving else (t, h)
            end, slopes = scheme.step(f, time, length, y, first, self._guess(t, h, states[:, k]), read)
            self.same_step(k, end)
            for j in places[k]:
                x = (float(flat[j]) - t) / h
                if x == 1.0 or (x == 0.0 and not moving):
                    outs.append(end if x else y)
                else:
                    outs.append(
                        scheme.between(
                            f, time, length, y, end, slopes, (float(flat[j]) - time) / length if moving else x
                        )
                    )
                order.append(j)
                scheme.ending(f, time, length, end, slopes)
                if isinstance(scheme, Explicit) and len(slopes) < len(scheme.P):
                    scheme.between(f, time, length, y, end, slopes, 0.5)
                rates.append(scheme.slope(h, slopes, x))
            if k + 1 < stop:
                first = scheme.ending(f, time, length, end, slopes)
            if k + 1 < len(steps) and finish != t + h and abs(finish - (t + h)) > 1e-12 * abs(h):
                end = scheme.between(f, time, length, y, end, slopes, (finish - t) / h)
                first = None
            y = end
        return outs, order, rates, y

    def _again(self, way: Any, start: int, stop: int, first: bool) -> Any:
        """Some steps recorded: what :meth:`_chain` gives, and what it depends on: the state before, what the equation
        reads, and the first time if that is asked for.
        """
        y = variable(self.y0._data if start == 0 else way[3][:, start])
        t0 = variable(self.t0._data) if first else None
        leaves = [variable(leaf._data) for leaf in self.leaves]
        read = [leaf._node for leaf in leaves] + self.closed_over
        made = run_recorded(self._chain, self.bind(leaves), read, y, t0, start, stop, way)
        targets = [y._node, *read] + ([t0._node] if t0 is not None else [])
        if strangers([*made[0], made[3]], set(targets)):
            raise GraphError(
                "solve_ivp: fun reads a Tensor in some steps only, which was not seen before; pass it in args"
            )
        return made, targets

    def _one(self, way: Any, row: Any, start: int, stop: int, first: bool) -> tuple[Any, Sequence[Any], Any]:
        """Some steps taken again, recorded, and pulled back for one cotangent."""
        g, adjoint, moments = row
        (outs, order, rates, end), targets = self._again(way, start, stop, first)
        for j, rate in zip(order, rates, strict=True):
            moments[j] = np.real(np.sum(g[:, j] * rate))
        found = gradients_at([*outs, end], [*(g[:, j] for j in order), adjoint], targets, False)
        before = np.zeros_like(adjoint) if found[0] is None else found[0]
        return before, found[1 : len(self.parents) + 1], found[-1] if first else None

    def _pushed(self, flat: Any, moving: bool, tangents: Sequence[Any]) -> Any:
        """The tangent of the states at some times: from those of the first state, the first time, these times, and the
        rest.
        """
        dy, dt0, dt, *rest = tangents
        scheme, steps = _scheme(self.method), self._steps()
        way = (scheme, steps, self._places(flat, steps, np.ones(flat.size, bool)), self._states(), flat)
        out = np.zeros((self.y0.size, flat.size), self.y0.dtype)
        y = np.zeros(self.y0.size, self.y0.dtype) if dy is None else dy
        start, whole = 0, self.y0.size <= FULL_JACOBIANS and len(steps) > 4
        while start < len(steps):
            first = start == 0 and dt0 is not None
            stop = 1 if first else min(start + (256 if whole else scheme.chunk), len(steps))
            if whole and not first:
                moments = np.zeros((1, flat.size)) if dt is not None else None
                done = _Table(self, *way[:4], flat, np.zeros((1, *out.shape)), moments).pushed(
                    y, dt, rest, out, start, stop
                )
                if done is None:
                    whole = False
                    continue
                y = done
            else:
                (outs, order, rates, end), targets = self._again(way, start, stop, first)
                dummies = [variable(np.zeros_like(y)) for _ in range(len(outs) + 1)]
                pulled = gradients_at([*outs, end], dummies, targets, True)
                moved = [y, *rest, *([dt0] if first else [])]
                *parts, last = _transposed(pulled, moved, dummies)
                for j, rate, part in zip(order, rates, parts, strict=True):
                    out[:, j] = part + (0.0 if dt is None else rate * dt[j])
                y = last
            start = stop
        return out

    def _replayed(self, flat: Any, g: Any, y: Any, t0: Any, times: Any) -> tuple[Any, Any]:
        """All steps as one recorded chain, for derivatives of derivatives."""
        scheme, steps = _scheme(self.method), self._steps()
        places, states = self._places(flat, steps, np.ones(flat.size, bool)), self._states()
        g = g.reshape(self.y0.size, -1)
        outs, seeds, first = [], [], None
        for k, (t, h, _) in enumerate(steps):
            time: Any = t
            length: Any = h
            if k == 0 and t0._node is not None:
                time, length = t0, t + h - t0
            end, slopes = scheme.step(self.f, time, length, y, first, self._guess(t, h, states[:, k]), self.parents)
            self.same_step(k, end)
            for j in places[k]:
                moving = times._node is not None or (k == 0 and t0._node is not None)
                x = (times[j] - time) / length if moving else (float(flat[j]) - t) / h
                outs.append(scheme.between(self.f, time, length, y, end, slopes, x))
                seeds.append(g[:, j])
            if k + 1 < len(steps):
                first = scheme.ending(self.f, time, length, end, slopes)
            y = end
        return outs, seeds


class _Table:
    """Many steps at once, for few unknowns: every slope is a point of one call of the equation on whole arrays, as
    SciPy's ``vectorized`` means it, or under ``vmap``; its Jacobians at all points come from one pullback per unknown,
    and the way back from step to step is linear algebra.

    Not every equation takes arrays. So the values must be those of the equation at each point by itself, all of them,
    and the Jacobian at a few; else :meth:`pulled` gives None, and the steps are taken one by one.
    """

    def __init__(
        self, path: Trajectory, scheme: Any, steps: Any, places: Any, states: Any, flat: Any, g: Any, moments: Any
    ) -> None:
        self.path, self.scheme, self.steps, self.places, self.states = path, scheme, steps, places, states
        self.flat, self.g, self.moments = flat, g, moments

    def _recorded(self, start: int, stop: int) -> Any:
        """The slopes at all points of some steps, as one recorded array; what the equation reads there; the Jacobians;
        and where each step's points begin. None if the equation does not take many points at once.
        """
        moments, points, ends = [], [], [0]
        with no_grad():
            for k in range(start, stop):
                times, states = self._points(k)
                moments += times
                points += states
                ends.append(len(points))
        stacked = np.stack(points, axis=1)
        y = variable(stacked)
        leaves = [variable(leaf._data) for leaf in self.path.leaves]
        slopes = self._at_once(leaves, np.array(moments), y)
        if slopes is None:
            return None
        n = len(stacked)

        def pulled(unit: complex) -> Any:
            rows = np.zeros((len(points), n, n), stacked.dtype)
            for i in range(n):
                seed = np.zeros_like(stacked)
                seed[i] = unit
                (row,) = gradients_at([slopes], [seed], [y._node], False)
                if row is not None:
                    rows[:, i, :] = row.T
            return rows

        jacobians = pulled(1)
        if stacked.dtype.kind == "c":  # conjugates, absolute values, parts: no complex matrix is their derivative
            tiny = 1e-14 * np.abs(jacobians).max(initial=0.0)
            if not np.allclose(pulled(1j), 1j * jacobians, rtol=1e-9, atol=tiny):
                return None
        targets = [leaf._node for leaf in leaves] + self.path.closed_over
        if not self._proved(moments, points, jacobians) or strangers([slopes], {y._node, *targets}):
            return None
        return slopes, targets, jacobians, ends

    def pushed(self, dy: Any, dt: Any, rest: Sequence[Any], out: Any, start: int, stop: int) -> Any:
        """The tangent after some steps from the one before; ``out`` receives those at the times looked at."""
        made = self._recorded(start, stop)
        if made is None:
            return None
        slopes, targets, jacobians, ends = made
        dummy = variable(np.zeros(slopes.shape, slopes.dtype))
        (given,) = _transposed(gradients_at([slopes], [dummy], targets, True), rest, [dummy])
        given = given.T
        for k in range(start, stop):
            here = slice(ends[k - start], ends[k - start + 1])
            dy = self._step_on(k, dy, dt, jacobians[here], given[here], self._values[here], out)
        return dy

    def _step_on(self, k: int, dy: Any, dt: Any, jacobians: Any, given: Any, slopes: Any, out: Any) -> Any:
        """The tangent after a step; ``given`` are the slopes' tangents at fixed states."""
        t, h, _ = self.steps[k]
        scheme = self.scheme
        if isinstance(scheme, Radau):
            right = np.asarray(h * (scheme.A @ (jacobians @ dy + given)))
            moved = self._solved(k, jacobians, right.reshape(-1)).reshape(3, -1)
            parts, scale, end = np.asarray(h * (scheme.A @ slopes)), 1.0, dy + moved[2]
        else:
            moved = np.zeros_like(given)
            for i in range(len(given)):
                moved[i] = jacobians[i] @ (dy + h * (scheme.A[i, :i] @ moved[:i])) + given[i]
            parts, scale, end = slopes, h, dy + h * (scheme.B @ moved[: scheme.stages])
        for j in self.places[k]:
            x = (float(self.flat[j]) - t) / h
            if x == 1.0:
                out[:, j] = end
            else:
                out[:, j] = dy + scale * ((scheme.P @ x ** np.arange(1, scheme.P.shape[1] + 1)) @ moved)
            if dt is not None:
                out[:, j] += scheme.slope(h, list(parts), x) * dt[j]
        return end

    def _solved(self, k: int, jacobians: Any, b: Any, transposed: bool = False) -> Any:
        """The solution of the equations of a step of Radau's, linearised."""
        t, h, _ = self.steps[k]
        n = jacobians.shape[1]
        system = np.eye(3 * n) - h * np.einsum("ij,jab->iajb", self.scheme.A, jacobians).reshape(3 * n, 3 * n)
        try:
            return np.linalg.solve(system.T if transposed else system, b)
        except np.linalg.LinAlgError as error:
            raise SingularMatrixError(f"solve_ivp: the Radau step at t = {t:.6g} is singular") from error

    def pulled(self, adjoint: Any, start: int, stop: int) -> tuple[Any, Sequence[Any]] | None:
        """The adjoint at the start of some steps, and what they add to the gradients of the parameters."""
        made = self._recorded(start, stop)
        if made is None:
            return None
        slopes, targets, jacobians, ends = made
        seeds = np.zeros((len(self.g), len(jacobians), jacobians.shape[1]), jacobians.dtype)
        for k in range(stop - 1, start - 1, -1):
            here = slice(ends[k - start], ends[k - start + 1])
            adjoint = self._step_back(k, adjoint, jacobians[here], seeds[:, here], self._values[here])
        turned = np.ascontiguousarray(np.swapaxes(seeds, 1, 2))
        if len(turned) == 1:
            found = gradients_at([slopes], [turned[0]], targets, False)
            return adjoint, [part if part is None else part[None] for part in found]
        found = gradients_at([slopes], [Batched(turned)], targets, False)
        return adjoint, [part.array if is_batched(part) else part for part in found]

    def _at_once(self, leaves: list[Any], times: Any, y: Any) -> Any:
        """The slopes at many points: of the equation on whole arrays, else by ``vmap``; None if it takes neither."""
        one = self.path.bind(leaves)
        for run in (self.path.bind(leaves, True), lambda t, y: vmap(one)(t, y.T).T):
            try:
                slopes = run_recorded(run, times, y)
            except Exception:  # the equation takes one point at a time, whatever it says of many
                continue
            if getattr(slopes, "_node", None) is not None and slopes.shape == y.shape:
                if np.allclose(slopes._data.T, self._values, rtol=1e-9, atol=1e-300):
                    return slopes
        return None

    def _proved(self, moments: Any, points: Any, jacobians: Any) -> bool:
        f = self.path.f
        for i in {0, len(points) // 3, len(points) - 1}:
            at = variable(points[i])
            slope, _ = run_marked(f, moments[i], at)
            if getattr(slope, "_node", None) is None:
                return False
            direction = np.cos(np.arange(1.0, at.size + 1)).astype(at.dtype)
            (row,) = gradients_at([slope], [direction], [at._node], False)
            if not np.allclose(direction @ jacobians[i], 0.0 if row is None else row, rtol=1e-6, atol=1e-9):
                return False
        return True

    _values: Any = np.zeros((0, 0))

    def _points(self, k: int) -> tuple[list[float], list[Any]]:
        """The times and states at which a step asks for slopes; the slopes are kept."""
        t, h, _ = self.steps[k]
        y, f = self.states[:, k], self.path.numbers
        if isinstance(self.scheme, Radau):
            times = (t + h * self.scheme.C).tolist()
            states = list(np.asarray(self.path.dense(times), y.dtype).T)
            slopes = [f(time, state) for time, state in zip(times, states, strict=True)]
        else:
            inside = self.places[k] and (
                self.moments is not None or any((float(self.flat[j]) - t) / h != 1.0 for j in self.places[k])
            )
            times, states, slopes = [], [], []
            for i in range(len(self.scheme.P) if inside else self.scheme.stages):
                times.append(t + float(self.scheme.C[i]) * h)
                states.append(y + h * (self.scheme.A[i, :i] @ np.array(slopes)) if i else y)
                slopes.append(f(times[-1], states[-1]))
            self.path.same_step(k, y + h * (self.scheme.B @ np.array(slopes[: self.scheme.stages])))
        new = np.array(slopes, self.states.dtype)
        self._values = new if not self._values.size else np.concatenate([self._values, new])
        return times, states

    def _step_back(self, k: int, adjoint: Any, jacobians: Any, seeds: Any, slopes: Any) -> Any:
        """The adjoint before a step from the one after it; ``seeds`` receives the cotangents of the slopes."""
        t, h, _ = self.steps[k]
        scheme, before = self.scheme, adjoint
        for j in self.places[k]:
            before = before + self.g[:, :, j]
        if isinstance(scheme, Radau):
            n = adjoint.shape[1]
            differences = np.zeros((len(adjoint), 3, n), adjoint.dtype)
            differences[:, 2] = adjoint
            parts = np.asarray(h * (scheme.A @ slopes))
            for j in self.places[k]:
                x = (float(self.flat[j]) - t) / h
                differences += (scheme.P @ x ** np.arange(1, 4))[:, None] * self.g[:, None, :, j]
                if self.moments is not None:
                    self.moments[:, j] = np.real(self.g[:, :, j] @ scheme.slope(h, list(parts), x))
            solved = self._solved(k, jacobians, differences.reshape(len(adjoint), -1).T, transposed=True).T
            seeds[:] = h * np.matmul(scheme.A.T, solved.reshape(-1, 3, n))
            return before + np.einsum("gia,iab->gb", seeds, jacobians)
        stages = scheme.stages
        seeds[:, :stages] = (h * scheme.B)[:, None] * adjoint[:, None]
        powers = np.arange(1, scheme.P.shape[1] + 1)
        for j in self.places[k]:
            x = (float(self.flat[j]) - t) / h
            weights = np.append(scheme.B, np.zeros(len(scheme.P) - stages)) if x == 1.0 else scheme.P @ x**powers
            seeds += (h * weights[: seeds.shape[1]])[:, None] * self.g[:, None, :, j]
            if self.moments is not None:
                self.moments[:, j] = np.real(self.g[:, :, j] @ scheme.slope(h, list(slopes), x))
        scaled = h * scheme.A
        for i in range(seeds.shape[1] - 1, -1, -1):
            passed = seeds[:, i] @ jacobians[i]
            before = before + passed
            if i:
                seeds[:, :i] += scaled[i, :i, None] * passed[:, None]
        return before


def _transposed(pulled: Sequence[Any], tangents: Sequence[Any], dummies: Sequence[Any]) -> list[Any]:
    """The tangents at outputs: gradients, linear in dummies in the place of cotangents, pulled back themselves."""
    live = [(p, t) for p, t in zip(pulled, tangents, strict=True) if p is not None and t is not None]
    found = gradients_at([p for p, _ in live], [t for _, t in live], [d._node for d in dummies], False)
    return [np.zeros(d.shape, d.dtype) if part is None else part for part, d in zip(found, dummies, strict=True)]


def _one_by_one(pullback: Any) -> Any:
    """The same for a batch of cotangents: the steps are taken again for each."""

    def pull(g: Any, out: Any, recording: bool) -> Any:
        if is_batched(g):
            raise Unbatchable
        return pullback(g, out, recording)

    return pull


# --- solve_ivp --------------------------------------------------------------------------------------------------------


def solve_ivp(
    fun: Callable[..., object],
    t_span: ArrayLike,
    y0: TreeLike,
    method: str = "RK45",
    t_eval: ArrayLike | None = None,
    dense_output: bool = False,
    events: Callable[..., object] | Sequence[Callable[..., object]] | None = None,
    vectorized: bool = False,
    args: Sequence[object] | None = None,
    **options: object,
) -> OdeResult:
    """Integrate ``dy/dt = fun(t, y, *args)``, with the arguments and results of ``scipy.integrate.solve_ivp``.

    Parameters
    ----------
    fun : callable
        Written with NumPy; may close over Tensors. It sees arrays while SciPy steps, Tensors while a gradient is
        computed. Returns dy/dt: an array, a list of numbers, or a tree of ``y0``'s structure.
    t_span : (float, float)
        Start and end; Tensors may be tracked.
    y0 : (n,) array, or tree of arrays
    method : {"RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA"}
        The last three for stiff systems. They are given the exact Jacobian for up to 100 unknowns. Radau and LSODA take
        no complex state.
    t_eval : array_like, optional
        Times to return, in the order of integration; repeats are allowed, and a Tensor may be tracked.
    dense_output : bool
        Return ``sol``, a function of time.
    events : callable or sequence of callables, optional
        ``event(t, y, *args)``, zero at the event; SciPy's attributes ``terminal`` and ``direction`` count.
    vectorized : bool
        For SciPy's signature.
    args : sequence, optional
        Arrays, Tensors, trees or anything else.
    **options
        SciPy's: rtol, atol, first_step, max_step, jac, jac_sparsity, min_step, ...

    Returns
    -------
    scipy.integrate.OdeResult
        ``t`` (k,) and ``y`` (n, k) are Tensors; of a tree every leaf has the time as its last axis. ``t_events`` and
        ``y_events`` are lists of Tensors, as is what ``sol`` returns. Differentiable in ``y0``, ``t_span``, ``t_eval``,
        ``args`` and what the functions close over.

    Raises
    ------
    ConvergenceError
        If the step size falls to zero.
    SingularMatrixError
        When a derivative of an event's time is asked for and the event is only touched.
    ArgumentError, ShapeError
        For times that do not fit, or a function that returns another shape.

    Notes
    -----
    How exact the derivative is stands at the head of this module. A derivative of a derivative records all steps at
    once.

    Examples
    --------
    >>> import autodiff
    >>> k = autodiff.tensor(0.5, requires_grad=True)
    >>> result = solve_ivp(lambda t, y, k: -k * y, (0.0, 2.0), np.ones(1), args=(k,), rtol=1e-8, atol=1e-10)
    >>> result.y[0, -1].backward()
    >>> bool(abs(k.grad + 2 * np.exp(-1.0)) < 1e-6)
    True
    """
    result, dense, again = _solve_ivp(fun, t_span, y0, method, t_eval, events, args, options)
    result.sol = None
    if dense_output:
        state = State("solve_ivp", y0)

        @at_levels
        def at(t: Any, t0: Any, y0: Any, args: Any) -> Any:
            path = _trajectory(state, fun, t0, y0, tuple(args or ()), dense, method, again)
            return state.unpack(path.at(t), np.shape(bare(t)))

        def sol(t: Any) -> Any:  # an argument's default would not be seen by `at_levels`
            return at(t, t_span[0], state.tree, args)  # type: ignore[index]

        result.sol = sol
    return result  # type: ignore[no-any-return]


def _trajectory(
    state: State, fun: Any, t0: Any, y0: Any, args: tuple[Any, ...], dense: Any, method: str, again: Any
) -> Trajectory:
    bind, leaves = _bound(state, fun, args)
    start, first = state.pack(y0, "y0"), _as_float(t0)
    return Trajectory(bind, leaves, state.numbers(fun, args), start, first, dense, method, again)


@at_levels
def _solve_ivp(
    fun: Any, t_span: Any, y0: Any, method: str, t_eval: Any, events: Any, args: Any, options: dict[str, Any]
) -> tuple[Any, Any, Any]:
    """SciPy's result with Tensors, SciPy's dense output, and how to step anew for the derivative."""
    integrate = require("scipy.integrate")
    if method not in METHODS:
        raise ArgumentError(f"solve_ivp: method must be one of {', '.join(METHODS)}, got {method!r}")
    state, args = State("solve_ivp", y0), () if args is None else tuple(args)
    if state.dtype.kind == "c" and method in ("Radau", "LSODA"):
        raise ArgumentError(
            f"solve_ivp: {method} takes no complex state; take RK45, DOP853 or BDF, or integrate a real state of the"
            " real and the imaginary parts"
        )
    ends = [_as_float(t) for t in t_span]
    if len(ends) != 2:
        raise ArgumentError(f"solve_ivp: t_span must be (start, end), got {len(ends)} times")
    t0, t1 = (float(t._array) for t in ends)
    start = state.pack(state.tree, "y0")
    bind, leaves = _bound(state, fun, args)
    f = bind(leaves)
    plain = state.numbers(fun, args)
    wanted = None if t_eval is None else _as_float(t_eval)
    if wanted is not None:
        forward = np.diff(wanted._array) * (1.0 if t1 >= t0 else -1.0)
        if wanted.ndim != 1 or np.any(forward < 0):
            raise ArgumentError("solve_ivp: t_eval must be one axis of times in the order of integration")
        if wanted.size and (wanted._array.min() < min(t0, t1) or wanted._array.max() > max(t0, t1)):
            raise ArgumentError(f"solve_ivp: t_eval leaves the span from {t0} to {t1}")
    single = callable(events)
    happenings = [] if events is None else [events] if single else list(events)
    if callable(options.get("jac")):
        given, bare_args = options["jac"], bare_tree(args)
        options["jac"] = lambda t, y: np.asarray(bare(given(t, y, *bare_args)))

    def solve(method: str, end: float, **more: Any) -> Any:
        extra = dict(options)
        if method in ("Radau", "BDF", "LSODA") and extra.get("jac") is None and "jac_sparsity" not in extra:
            if start.size <= EXACT_JACOBIAN and start.dtype.kind == "f":
                extra["jac"] = _exact_jacobian(f)
        if method not in ("Radau", "BDF", "LSODA"):
            extra.pop("jac", None)
        elif method != "LSODA":
            for only_its in ("min_step", "lband", "uband"):
                extra.pop(only_its, None)
        with no_grad():
            solver = _lsoda() if method == "LSODA" else method
            found = integrate.solve_ivp(plain, (t0, end), start._array, solver, dense_output=True, **more, **extra)
        if found.status < 0:
            raise ConvergenceError(
                f"solve_ivp: {method} stopped at t = {found.t[-1]:.6g} of {end:.6g}: {found.message} The solution may"
                " explode there, or the system be stiff (try Radau)."
            )
        return found

    _begin("solve_ivp", plain, (t0, t1), start._array)
    watched = [_watched(event, state, bare_tree(args)) for event in happenings]
    unique = None if wanted is None else np.unique(wanted._array) if t1 >= t0 else np.unique(wanted._array)[::-1]
    result = solve(method, t1, t_eval=unique, events=watched or None)
    own = method in ("RK23", "RK45", "DOP853", "Radau")
    reach = float(result.sol.ts[-1])

    def again() -> Any:
        if method == "LSODA":  # which also finds out for itself whether the system is stiff
            known = {name: options.get(name, usual) for name, usual in _USUAL.items()}
            with no_grad():
                return _stepped(plain, f, start._array, np.array([t0, reach]), None, known, 10**6)
        exact = "DOP853" if start.dtype.kind == "c" else "Radau"  # which takes no complex states
        return solve(exact, reach).sol, exact

    dense = result.sol
    other = None if own else again
    path = _trajectory(state, fun, ends[0], state.tree, args, dense, method, other)

    moments: list[Any] = []
    if happenings:
        result.t_events = moments = [
            _event_times(event, np.asarray(times), path, state, args)
            for event, times in zip(happenings, result.t_events, strict=True)
        ]
        result.y_events = [
            shaping.stack([_onward(path, float(t._array), t) for t in times])
            if times.size and times._node is not None
            else np.moveaxis(path.at(times), 0, -1)
            if times.size
            else _tensor(np.zeros((0, start.size)))
            for times in moments
        ]
        if not state.plain:
            result.y_events = [state.unpack(np.moveaxis(y, -1, 0), (len(y),)) for y in result.y_events]
    times, values = _output_times(result, wanted, ends, moments)
    result.t = times
    result.y = state.unpack(path.at(times, np.asarray(values, start.dtype)), (times.size,))
    return result, dense, other


#: SciPy's tolerances where none are given.
_USUAL = {"rtol": 1e-3, "atol": 1e-6, "max_step": np.inf}


def _begin(name: str, plain: Callable[[Any, Any], Any], times: Any, y: Any) -> None:
    """Refuse what SciPy's solvers would never come back from: NaN where they start."""
    if not np.isfinite(times).all():
        raise ArgumentError(f"{name}: the times hold NaN or infinity")
    if not np.isfinite(y).all():
        raise ArgumentError(f"{name}: the first state holds NaN or infinity")
    with no_grad():
        slope = plain(times[0], y)
    if not np.isfinite(slope).all():
        raise ConvergenceError(f"{name}: the equation's value at the start, t = {times[0]:.6g}, is NaN or infinite")


def _bound(state: State, fun: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Callable[[Any], Any], list[Any]]:
    """``bind`` and ``leaves`` of a :class:`Trajectory`."""
    everything, rebuild = flatten(args)
    places = [i for i, leaf in enumerate(everything) if getattr(leaf, "_node", None) is not None]

    def bind(leaves: Any, many: bool = False) -> Any:
        filled = list(everything)
        for place, leaf in zip(places, leaves, strict=True):
            filled[place] = leaf
        arguments = rebuild(filled)
        if many:
            return lambda t, y: state.pack_many(fun(t, state.unpack(y, t.shape), *arguments), t.size)
        return lambda t, y: state.pack(fun(t, state.unpack(y), *arguments))

    return bind, [everything[i] for i in places]


def _as_float(t: Any) -> Any:
    time = _tensor(t)
    return time if time.dtype.kind == "f" else time.astype(float)


def _exact_jacobian(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def jacobian(t: Any, y: Any) -> Any:
        at = variable(np.array(y))
        slope, _ = run_marked(f, t, at)
        if gradients_at([slope], [np.zeros(y.size)], [at._node], False)[0] is None:
            return np.zeros((y.size, y.size))
        return Jacobian("solve_ivp", slope, at).matrix()

    return jacobian


def _watched(event: Callable[..., Any], state: State, args: tuple[Any, ...]) -> Callable[[Any, Any], float]:
    def plain(t: Any, y: Any) -> float:
        return float(np.real(bare(event(t, state.unpack(y), *args))))

    for name in ("terminal", "direction"):
        if hasattr(event, name):
            setattr(plain, name, getattr(event, name))
    return plain


def _event_times(event: Any, times: Any, path: Trajectory, state: State, args: tuple[Any, ...]) -> Any:
    """When an event happens, as a Tensor: the root in time of the event along the trajectory."""
    if not times.size:
        return _tensor(np.zeros(0))

    found = []
    for time in times:

        def residual(s: Any, time: float = time) -> Any:
            return shaping.reshape(_tensor(event(s[0], state.unpack(_onward(path, time, s[0])), *args)), (1,))

        # Along the tangent of the trajectory: a number is enough to solve with.
        s = variable(np.array([time]))
        y = np.asarray(path.shown(time), path.y0.dtype)
        with no_grad():
            slope = bare(path.f(time, _tensor(y)))
        r, _ = run_marked(lambda s, y=y, slope=slope, time=time: shaping.reshape(
            _tensor(event(s[0], state.unpack(y + slope * (s[0] - time)), *args)), (1,)), s)  # fmt: skip
        if path.tracked and getattr(r, "_node", None) is None:
            found.append(defined("solve_ivp (event)", np.array([time]), [path.at(time)._node], _refuse_step))
            continue
        system = Jacobian("solve_ivp: the time of an event that is only touched", r, s)
        found.append(solution("solve_ivp (event)", residual, np.array([time]), system))
    return shaping.concatenate(found)


def _onward(path: Trajectory, time: float, t: Any) -> Any:
    """The state at ``t``, whose value is ``time``; an interpolant's derivatives lose an order of the step each."""
    return _nowhere(path.f, time, path.at(np.array([time]))[:, 0], t - time)


def _nowhere(f: Any, t: Any, y: Any, h: Any) -> Any:
    """The state after a step of length zero, of the classical method: the derivatives in ``h`` are the equation's up to
    the fourth.
    """
    first = f(t, y)
    second = f(t + h / 2, y + h / 2 * first)
    third = f(t + h / 2, y + h / 2 * second)
    return y + h / 6 * (first + 2 * (second + third) + f(t + h, y + h * third))


def _refuse_step(g: Any, out: Any, recording: bool) -> Any:
    raise SingularMatrixError(
        "solve_ivp: an event that jumps has no derivative from which its time's would follow, nor has one that is only"
        " touched; give the quantity that crosses zero"
    )


def _output_times(result: Any, wanted: Any, ends: list[Any], moments: list[Any]) -> tuple[Any, Any]:
    """The times to return and SciPy's states there: those asked for, or the steps', whose ends move with the span's or
    with the event that stopped the integration.
    """
    if wanted is not None:
        if not len(result.t):  # none was asked for, or an event came before the first
            return wanted[:0], np.zeros((result.sol(ends[0]._array).size, 0))
        order = np.searchsorted(result.t, wanted._array) if result.t[-1:] >= result.t[:1] else None
        if order is None:
            order = result.t.size - 1 - np.searchsorted(result.t[::-1], wanted._array)
        here = (order < result.t.size) & (order >= 0)
        here[here] = result.t[order[here]] == wanted._array[here]
        times = wanted if here.all() else wanted[np.flatnonzero(here)]
        return times, result.y[:, order[here]]
    last = ends[1]
    if result.status == 1:
        last = next(t[-1] for t in moments if t.size and t._array[-1] == result.t[-1])
    if all(t._node is None for t in (ends[0], last)):
        return _tensor(result.t), result.y
    parts = [shaping.reshape(ends[0], (1,)), _tensor(result.t[1:-1]), shaping.reshape(last, (1,))]
    return shaping.concatenate(parts), result.y


# --- odeint -----------------------------------------------------------------------------------------------------------


@at_levels
def odeint(
    func: Callable[..., object],
    y0: TreeLike,
    t: ArrayLike,
    args: Sequence[object] = (),
    Dfun: Callable[..., object] | None = None,
    col_deriv: bool = False,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-8,
    tcrit: ArrayLike | None = None,
    h0: float = 0.0,
    hmax: float = 0.0,
    mxstep: int = 10_000,
    tfirst: bool = False,
    **others: object,
) -> Tree:
    """Integrate ``dy/dt = func(y, t, *args)``, with the arguments of ``scipy.integrate.odeint``.

    Parameters
    ----------
    func : callable
        ``func(y, t, *args)`` gives dy/dt, of y's shape; written with NumPy. ``func(t, y, *args)`` with ``tfirst``.
    y0 : array_like or Tensor, or a tree of these
        State at ``t[0]``, of any shape.
    t : (k,) array_like or Tensor
        Times at which the state is wanted, in one direction; repeats are allowed.
    args : sequence
        Further arguments of ``func``: arrays, Tensors or anything else.
    Dfun : callable, optional
        The Jacobian, with ``func``'s arguments, for the steps of stiff systems; by default exact. Derivatives never use
        it.
    col_deriv : bool
        ``Dfun`` gives the transpose.
    rtol, atol : float
        The estimated error of each step stays below ``atol + rtol * |y|`` (root mean square over the components).
    tcrit : array_like, optional
        Times that no step may cross, such as jumps of the equation.
    h0 : float
        The first step to try; 0 lets the solver choose.
    hmax : float
        The longest step; 0 for no bound.
    mxstep : int
        The most steps between two times.
    tfirst : bool

    Returns
    -------
    Tensor (k, *y0.shape)
        Differentiable in ``y0``, ``t``, Tensors among ``args``, and Tensors that ``func`` closes over.

    Raises
    ------
    ShapeError
        If ``t`` is not one axis, or ``func`` returns another shape.
    ArgumentError
        If the times do not run one way, a tolerance is not positive, or an option is LSODA's alone.
    ConvergenceError
        If ``mxstep`` steps do not suffice, or the step size falls to zero (an exploding system).

    Notes
    -----
    SciPy's DOP853 steps; where the Jacobian's eigenvalues show that stability, not accuracy, limits its steps, the
    system is stiff, and Radau starts anew. The derivative is that of these steps: see :func:`solve_ivp`.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> rate = autodiff.tensor(0.5, requires_grad=True)
    >>> y = odeint(lambda y, t, k: -k * y, 1.0, [0.0, 2.0], args=(rate,))
    >>> y[-1].backward()
    >>> bool(abs(y[-1].item() - np.exp(-1.0)) < 1e-7), bool(abs(rate.grad + 2 * np.exp(-1.0)) < 1e-6)
    (True, True)
    """
    _refuse("odeint", others, "it is LSODA's; solve_ivp(method='LSODA') has some of its options")
    times, args = _as_float(t), as_tuple(args)
    if times.ndim != 1 or not times.size:
        raise ShapeError(f"odeint: t must be one axis of times, got shape {times.shape}")
    gaps = np.diff(times._array)
    if not (np.all(gaps >= 0) or np.all(gaps <= 0)):
        raise ArgumentError("odeint: the times must increase or decrease throughout")
    if np.any(np.asarray(rtol) <= 0) or np.any(np.asarray(atol) <= 0):
        raise ArgumentError(f"odeint: tolerances must be positive, got rtol={rtol}, atol={atol}")
    if h0 < 0 or hmax < 0:
        raise ArgumentError(f"odeint: step sizes must not be negative, got h0={h0}, hmax={hmax}")
    state = State("odeint", y0, "func")
    start = state.pack(state.tree, "y0")
    function = func if tfirst else lambda t, y, *more: func(y, t, *more)
    bind, leaves = _bound(state, function, args)
    plain = state.numbers(function, args)
    _begin("odeint", plain, times._array, start._array)
    first_step = h0 if times._array[0] != times._array[-1] else None
    options: dict[str, Any] = {"rtol": rtol, "atol": atol, "max_step": hmax or np.inf, "first_step": first_step or None}
    with no_grad():
        if Dfun is not None:
            given: Any = Dfun if tfirst else lambda t, y, *more: Dfun(y, t, *more)
            turn, more = np.transpose if col_deriv else np.asarray, bare_tree(args)
            options["jac"] = lambda t, y: turn(bare(given(t, y, *more)))
        dense, method = _stepped(plain, bind(leaves), start._array, times._array, tcrit, options, mxstep)
    found = Trajectory(bind, leaves, plain, start, times[0], dense, method).at(times)
    return _times_first(state.unpack(found, (times.size,)))  # type: ignore[no-any-return]


def _refuse(name: str, options: dict[str, object], why: str) -> None:
    for option, value in options.items():
        if value is not None and value is not False and value != 0:
            raise ArgumentError(f"{name}: {option}={value!r} is not supported; {why}")


def _times_first(tree: Any) -> Any:
    leaves, rebuild = flatten(tree)
    return rebuild([np.moveaxis(leaf, -1, 0) for leaf in leaves])


def _stepped(plain: Any, f: Any, y: Any, times: Any, tcrit: Any, options: dict[str, Any], mxstep: int) -> Any:
    """(OdeSolution, method): SciPy's solvers, driven over the pieces between critical times."""
    integrate = require("scipy.integrate")
    sign = 1.0 if times[-1] > times[0] else -1.0
    inner = [] if tcrit is None else [c for c in np.atleast_1d(np.asarray(tcrit, float))]
    stops = sorted({float(c) for c in inner if sign * times[0] < sign * c < sign * times[-1]}, reverse=sign < 0)
    failure: Exception | None = None
    for method in ("DOP853", "Radau")[: 1 if y.dtype.kind == "c" else 2]:  # Radau takes no complex states
        more = dict(options)
        if method != "Radau":
            more.pop("jac", None)
        elif "jac" not in more and y.size <= EXACT_JACOBIAN and y.dtype.kind == "f":
            more["jac"] = _exact_jacobian(f)
        try:
            return _driven(getattr(integrate, method), plain, f, y, times, [*stops, float(times[-1])], more, mxstep)
        except _Stiff:
            continue
        except ConvergenceError as error:
            failure = failure or error
    assert failure is not None
    raise failure


class _Stiff(Exception):  # the signal to change the method; no user sees it
    """Stability limits an explicit method's steps."""


def _driven(solver: Any, plain: Any, f: Any, y: Any, times: Any, stops: list[float], options: Any, mxstep: int) -> Any:
    ts, pieces = [float(times[0])], []
    sign = 1.0 if times[-1] > times[0] else -1.0
    since, limited, ahead = 0, 0, 0
    for stop in stops:
        if options.get("first_step"):
            options = {**options, "first_step": min(options["first_step"], abs(stop - ts[-1]))}
        stepper = solver(plain, ts[-1], y, stop, **options)
        while stepper.status == "running":
            message = stepper.step()
            if stepper.status == "failed" or since >= mxstep:
                raise ConvergenceError(
                    f"odeint: {f'{mxstep} steps' if since >= mxstep else 'the steps'} reach only t = {ts[-1]:.6g} of"
                    f" {times[-1]:.6g}; the system is stiff or its solution explodes: loosen rtol and atol, or raise"
                    f" mxstep{f' ({message})' if message else ''}"
                )
            if not np.isfinite(stepper.y).all():
                raise ConvergenceError(f"odeint: the solution explodes at t = {ts[-1]:.6g}")
            ts.append(float(stepper.t))
            pieces.append(stepper.dense_output())
            passed = int(np.searchsorted(sign * times, sign * stepper.t, "right"))
            since, ahead = (0, passed) if passed > ahead else (since + 1, ahead)
            if (
                solver.__name__ == "DOP853"
                and len(pieces) % 16 == 0
                and y.size <= EXACT_JACOBIAN
                and y.dtype.kind == "f"
            ):
                slope = _exact_jacobian(f)(stepper.t, stepper.y)
                rates = -sign * np.linalg.eigvals(slope).real if np.isfinite(slope).all() else np.zeros(1)
                limited = limited + 1 if stepper.step_size * rates.max(initial=0.0) > 3.0 else 0
                if limited == 2:
                    raise _Stiff
        y = stepper.y
    return require("scipy.integrate").OdeSolution(ts, pieces), solver.__name__


# --- quadrature -------------------------------------------------------------------------------------------------------


@at_levels
def quad(
    func: Callable[..., object],
    a: ArrayLike,
    b: ArrayLike,
    args: object = (),
    *,
    epsabs: float = 1.49e-8,
    epsrel: float = 1.49e-8,
    limit: int = 50,
    points: Sequence[float] | None = None,
    complex_func: bool = False,
    **others: object,
) -> tuple[Tensor, float]:
    """The integral of a function of one number, as ``scipy.integrate.quad``.

    Parameters
    ----------
    func : callable
        ``func(x, *args)`` of a number, written with NumPy; may close over Tensors.
    a, b : float or Tensor
        The limits; infinite ones are allowed.
    args : sequence
    epsabs, epsrel, limit, points, complex_func
        As SciPy's; ``points`` are constants. ``weight`` is refused: multiply ``func`` by it.

    Returns
    -------
    y : Tensor
        Differentiable in the limits (the integrand's value there), ``args`` and what ``func`` closes over (the integral
        of the derivative, to the same tolerances), to any order.
    abserr : float

    Raises
    ------
    ConvergenceError
        If the integral or that of a derivative is not found to the tolerance.
    ShapeError
        If ``func`` does not return a number.
    ArgumentError
        If a limit is NaN, or for another option of SciPy's.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.grad(lambda k: quad(lambda x: np.exp(-k * x), 0.0, np.inf)[0])(2.0).item().__round__(6)  # -1 / k^2
    -0.25
    """
    _refuse("quad", others, "multiply func by a weight; no other option changes the integral")
    if points is not None:
        points = np.atleast_1d(_as_float(points)._array).tolist()
        if not (np.isfinite(_as_float(a)._array) and np.isfinite(_as_float(b)._array)):
            raise ArgumentError("quad: points need finite limits; integrate piece by piece")
    options = {"epsabs": epsabs, "epsrel": epsrel, "limit": limit, "points": points}
    args = as_tuple(args)
    if complex_func:
        parts = [quad(lambda x, p=part: p(func(x, *args)), a, b, **options) for part in (np.real, np.imag)]  # type: ignore[arg-type]
        return parts[0][0] + 1j * parts[1][0], parts[0][1] + 1j * parts[1][1]  # type: ignore[return-value]

    def f(x: Any) -> Any:
        if isinstance(x, np.floating):
            x = float(x)
        value = _tensor(func(x, *args))
        real_numbers("quad without complex_func=True", value)
        if value.size != 1:
            raise ShapeError(f"quad: func must return a number, it returned shape {value.shape}")
        return shaping.reshape(value, ())

    low, high = _as_float(a), _as_float(b)
    if np.isnan(low._array) or np.isnan(high._array):
        raise ArgumentError(f"quad: a limit is NaN: {float(low._array)} to {float(high._array)}")
    with no_grad():
        found = require("scipy.integrate").quad(
            lambda x: float(bare(f(x))), float(low._array), float(high._array), full_output=1, **options
        )
    if len(found) > 3:
        raise ConvergenceError(f"quad: {' '.join(found[3].split())}")
    return _integral(f, low, high, options, np.asarray(found[0])), float(found[1])


def _integral(f: Callable[[Any], Any], low: Any, high: Any, options: dict[str, Any], value: Any) -> Any:
    """An integral of known value, with its derivative."""
    closed_over: dict[Any, None] = {}
    first, last = float(low._array), float(high._array)
    inside = np.tan(np.linspace(float(np.arctan(first)), float(np.arctan(last)), 9)[1:-1])
    for x in inside:
        slope, mark = run_marked(f, float(x))
        if getattr(slope, "_node", None) is not None:
            closed_over.update(dict.fromkeys(outside([slope._node], mark, set())))
    parents = list(closed_over)
    own = [end._node for end in (low, high)]
    with no_grad():
        ends: list[Any] = [None if end._node is None else bare(f(float(end._array))) for end in (low, high)]
    sizes = [int(np.prod(p.shape)) for p in parents]

    def pullback(g: Any, out: Any, recording: bool) -> Any:
        def slopes(x: Any) -> Any:
            return sent(run_recorded(f, float(x)))

        def beside(x: Any) -> Any:
            """The function's own value, too, whose integral is known."""
            at = run_recorded(f, float(x))
            return np.append(bare(sent(at)), at._data.reshape(-1))

        def sent(at: Any) -> Any:
            if strangers([at], set(parents)):
                raise GraphError("quad: func reads a Tensor at some points only; pass it in args")
            found = gradients_at([at], [g], parents, recording)
            parts = [np.zeros(n) if part is None else part.reshape(-1) for part, n in zip(found, sizes, strict=True)]
            return shaping.concatenate([_tensor(part) for part in parts]) if recording else np.concatenate(parts)

        moved = []
        for end, before, sign in ((low, ends[0], -1.0), (high, ends[1], 1.0)):
            if before is not None:
                here = f(end) if recording else before
                same_again("quad: func", before, bare(here))
                moved.append(sign * g * here)
        if not parents:
            return moved
        size = value.size
        whole = _vector_integral(beside, first, last, options)
        near = max(1e-6, 10 * options["epsrel"])
        if np.max(np.abs(whole[-size:] - value.reshape(-1))) > 10 * options["epsabs"] + near * np.max(np.abs(whole)):
            same_again("quad: func", value.reshape(-1), whole[-size:])
        whole = whole[:-size]
        if recording:
            whole = _integral(slopes, low, high, options, whole)
        cuts = np.cumsum([0, *sizes])
        parts = [whole[int(i) : int(j)].reshape(p.shape) for p, i, j in zip(parents, cuts, cuts[1:], strict=False)]
        return [*moved, *parts]

    def tangent(tangents: Sequence[Any]) -> Any:
        """Of a number: the gradients along the tangents, integrated; no pullback is recorded."""
        given = iter(tangents)
        at_ends = [None if before is None else next(given) for before in ends]
        moved: Any = sum(
            sign * before * t for before, t, sign in zip(ends, at_ends, (-1.0, 1.0), strict=True) if t is not None
        )
        along = [(parent, t) for parent, t in zip(parents, given, strict=True) if t is not None]

        def slope(x: Any) -> Any:
            found = gradients_at([run_recorded(f, float(x))], [np.ones(value.shape)], [p for p, _ in along], False)
            return np.sum([np.vdot(part, t) for part, (_, t) in zip(found, along, strict=True) if part is not None])

        total = moved + _vector_integral(slope, first, last, options) if along else moved
        return np.reshape(total, value.shape)

    nodes = [node for node in own if node is not None] + parents
    return defined("quad", value, nodes, _one_by_one(pullback), tangent if value.size == 1 else None)


def _vector_integral(f: Callable[[Any], Any], low: float, high: float, options: dict[str, Any]) -> Any:
    given = {key: options[key] for key in ("epsabs", "epsrel", "points")}
    whole, error, info = require("scipy.integrate").quad_vec(f, low, high, norm="max", full_output=True, **given)
    if not (info.success or error <= 1e-6 * max(1.0, float(np.max(np.abs(whole))))):
        raise ConvergenceError(f"quad: the integral of the derivative does not converge: {info.message}")
    return whole


def nquad(
    func: Callable[..., object],
    ranges: Sequence[Sequence[ArrayLike] | Callable[..., object]],
    args: Sequence[object] = (),
    opts: dict[str, float] | None = None,
) -> tuple[Tensor, float]:
    """The integral over several variables, as ``scipy.integrate.nquad``: :func:`quad` in :func:`quad`.

    Parameters
    ----------
    func : callable
        ``func(x0, ..., xn, *args)`` of numbers; may close over Tensors.
    ranges : sequence of (low, high), or callables that give them
        The first belongs to x0; a callable is given the variables after its own, and ``args``. Limits may be tracked.
    args : sequence
    opts : dict, optional
        Options of :func:`quad` for every variable.

    Returns
    -------
    result : Tensor
        Differentiable like :func:`quad`'s.
    abserr : float
        The greatest of the estimated errors.

    Notes
    -----
    Every derivative is an integral over all variables once more; ``grad(grad(f))`` takes a third of ``hessian(f)``.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.grad(lambda k: nquad(lambda y, x: k * x * y, [lambda x: (0.0, x), (0.0, 2.0)])[0])(3.0).item()
    2.0
    """
    args, errors = as_tuple(args), [0.0]
    if opts is not None and not isinstance(opts, dict):
        raise ArgumentError("nquad: opts must be one dict, for every variable")

    def over(place: int, later: tuple[Any, ...]) -> Any:
        given: Any = ranges[place]
        span = given(*later, *args) if callable(given) else given
        inner = (lambda x: func(x, *later, *args)) if place == 0 else (lambda x: over(place - 1, (x, *later)))
        value, error = quad(inner, *span, **(opts or {}))  # type: ignore[arg-type]
        errors.append(error)
        return value

    return over(len(ranges) - 1, ()), max(errors)


def dblquad(
    func: Callable[..., object],
    a: ArrayLike,
    b: ArrayLike,
    gfun: ArrayLike | Callable[..., object],
    hfun: ArrayLike | Callable[..., object],
    args: Sequence[object] = (),
    epsabs: float = 1.49e-8,
    epsrel: float = 1.49e-8,
) -> tuple[Tensor, float]:
    """The integral of ``func(y, x, *args)`` for x from ``a`` to ``b`` and y from ``gfun(x)`` to ``hfun(x)``, functions
    or numbers, as ``scipy.integrate.dblquad``; see :func:`nquad`.

    Examples
    --------
    >>> round(dblquad(lambda y, x: x * y, 0.0, 2.0, 0.0, lambda x: x)[0].item(), 12)
    2.0
    """
    return nquad(func, [_between(gfun, hfun, 1), (a, b)], args, {"epsabs": epsabs, "epsrel": epsrel})


def tplquad(
    func: Callable[..., object],
    a: ArrayLike,
    b: ArrayLike,
    gfun: ArrayLike | Callable[..., object],
    hfun: ArrayLike | Callable[..., object],
    qfun: ArrayLike | Callable[..., object],
    rfun: ArrayLike | Callable[..., object],
    args: Sequence[object] = (),
    epsabs: float = 1.49e-8,
    epsrel: float = 1.49e-8,
) -> tuple[Tensor, float]:
    """The integral of ``func(z, y, x, *args)``, z from ``qfun(x, y)`` to ``rfun(x, y)``, x and y as for
    :func:`dblquad`, as ``scipy.integrate.tplquad``.

    Examples
    --------
    >>> round(tplquad(lambda z, y, x: x + y + z, 0, 1, 0, 1, 0, 1)[0].item(), 12)
    1.5
    """
    return nquad(
        func, [_between(qfun, rfun, 2), _between(gfun, hfun, 1), (a, b)], args, {"epsabs": epsabs, "epsrel": epsrel}
    )


def _between(low: Any, high: Any, count: int) -> Callable[..., tuple[Any, ...]]:
    """Limits, each a number or a function of the outer variables, the outermost first."""

    def span(*given: Any) -> tuple[Any, ...]:
        return tuple(f(*given[:count][::-1]) if callable(f) else f for f in (low, high))

    return span


def fixed_quad(
    func: Callable[..., object], a: ArrayLike, b: ArrayLike, args: object = (), n: int = 5
) -> tuple[Tensor, None]:
    """The integral by Gauss-Legendre quadrature of ``n`` points, as ``scipy.integrate.fixed_quad``.

    Parameters
    ----------
    func : callable
        ``func(x, *args)`` of a vector of points; the points are the last axis of what it returns.
    a, b : float or Tensor
        Finite limits.
    args : sequence
    n : int

    Returns
    -------
    value : Tensor
        Differentiable in everything, as the sum that it is.
    none : None

    Examples
    --------
    >>> fixed_quad(lambda x: x**2, 0.0, 3.0, n=2)[0].item().__round__(12)
    9.0
    """
    low, high = _as_float(a), _as_float(b)
    if not (np.isfinite(low._array).all() and np.isfinite(high._array).all()):
        raise ArgumentError("fixed_quad: the limits must be finite")
    nodes, weights = np.polynomial.legendre.leggauss(n)
    x = (high - low) * (nodes + 1) / 2 + low
    return (high - low) / 2 * np.sum(weights * _tensor(func(x, *as_tuple(args))), axis=-1), None


def __getattr__(name: str) -> Any:
    raise absent("autodiff.integrate", name, "scipy.integrate", "docs/scipy.md says which functions take Tensors")
