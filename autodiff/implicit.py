"""Answers that an equation defines, differentiable in everything that the equation reads: roots, fixed points, minima,
least squares, linear systems, and the answer of any black-box solver.

SciPy finds ``x`` with ``F(x, p) = 0``; the implicit function theorem gives ``dx/dp = -F_x^-1 F_p``, whatever steps were
taken. The gradient is ``-F_p' l`` with ``F_x' l = g``: one linear system and one pullback. The function may close over
Tensors; trees go in and come out; the rule is written with differentiable operations, so derivatives of any order
follow. Krantz and Parks, The Implicit Function Theorem (2003); Blondel et al., Efficient and Modular Implicit
Differentiation (2022).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.batching import Batched, Unbatchable, is_batched
from autodiff.closures import at_levels, defined, gradients_at, outside, run_marked, run_recorded, same_again, variable
from autodiff.core.errors import (
    ArgumentError,
    ConvergenceError,
    DTypeError,
    NotDifferentiableError,
    ShapeError,
    SingularMatrixError,
)
from autodiff.core.modes import no_grad
from autodiff.core.op import alias, wrap
from autodiff.core.pytree import flatten
from autodiff.extras import require
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.ops import shaping
from autodiff.ops.common import bare, real_numbers
from autodiff.ops.shaping import _tensor
from autodiff.transforms import grad
from autodiff.trees import as_tuple, flatten_like

if TYPE_CHECKING:
    from autodiff.results import LeastSquaresResult, OptimizeResult, RootResult, SparseLike, Tree, TreeLike
    from autodiff.signatures import ArrayLike

__all__ = ["custom_root", "fixed_point", "least_squares", "linear_solve", "minimize", "root"]

#: Up to so many unknowns the Jacobian is a dense matrix (its inverse takes 15 ms there).
DENSE = THRESHOLDS["DENSE"].value
#: From so many unknowns on a sparse Jacobian is looked for first (a tridiagonal one of 180 costs a tenth of the dense).
SPARSE = THRESHOLDS["SPARSE"].value
#: What one more Newton step may change, relative to the answer, before the answer is taken for none.
TOLERANCE = 1e-3


# --- trees as vectors -------------------------------------------------------------------------------------------------


class Flat:
    """A tree of real arrays as one vector and back, recorded."""

    def __init__(self, name: str, tree: Any, complex_too: bool = False) -> None:
        leaves, self.rebuild = flatten(tree)
        self.name, self.tree = name, tree
        arrays = [np.asarray(bare(leaf)) for leaf in leaves]
        for array in arrays:
            if array.dtype.kind not in ("biufc" if complex_too else "biuf"):
                raise DTypeError(
                    f"{name}: the unknowns must be real numbers, got {array.dtype}; split complex ones into real and"
                    " imaginary parts"
                )
        self.shapes = [array.shape for array in arrays]
        self.dtype = np.result_type(*(a.dtype if a.dtype.kind in "fc" else float for a in arrays), np.float16)
        self.ends = np.cumsum([0, *(array.size for array in arrays)])
        if not self.ends[-1]:
            raise ArgumentError(f"{name}: there are no unknowns")

    def pack(self, tree: Any, words: str) -> Any:
        """The vector of a tree of the same structure."""
        if isinstance(tree, (list, tuple)) and not isinstance(self.tree, (dict, list, tuple)):
            tree = shaping.array(tree)  # as SciPy takes a list of numbers
        leaves = flatten_like(tree, self.tree, f"{self.name}: {words}")
        for leaf, shape in zip(leaves, self.shapes, strict=True):
            if np.shape(bare(leaf)) != shape:
                raise ShapeError(f"{self.name}: {words} has shape {np.shape(bare(leaf))} where {shape} is wanted")
        parts = [shaping.reshape(_tensor(leaf), (-1,)) for leaf in leaves]
        whole = parts[0] if len(parts) == 1 else shaping.concatenate(parts)
        if whole.dtype == self.dtype:
            return whole
        real_numbers(self.name, None if self.dtype.kind == "c" else whole)
        return whole.astype(self.dtype)

    def unpack(self, vector: Any) -> Any:
        """The tree of a vector."""
        spans = zip(self.ends, self.ends[1:], self.shapes, strict=False)
        return self.rebuild([vector[int(start) : int(stop)].reshape(shape) for start, stop, shape in spans])

    def numbers(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A function of a recorded vector as one of plain float64 vectors, for SciPy."""

        def plain(vector: Any) -> Any:
            with no_grad():
                value = bare(function(_tensor(np.asarray(vector, self.dtype))))
                real_numbers(self.name, value)
                return np.asarray(value, dtype=np.float64)

        return plain


# --- the linear system of a solution ----------------------------------------------------------------------------------


class Jacobian:
    """The derivative of a recorded ``r`` in ``x``, as something to solve with; made at the first question."""

    def __init__(self, name: str, r: Any, x: Any) -> None:
        self.name, self.r, self.x = name, r, x
        self._inverse: Any = None
        self._sparse: Any = None

    def rows(self, seeds: Any) -> Any:
        """``seeds @ J`` for an array of rows."""
        try:
            (found,) = gradients_at([self.r], [Batched(seeds)], [self.x._node], False)
        except Unbatchable:
            parts = [gradients_at([self.r], [seed], [self.x._node], False)[0] for seed in seeds]
            found = None if parts[0] is None else np.stack(parts)
        if found is None:
            raise SingularMatrixError(f"{self.name}: the equation does not depend on the unknowns")
        return found.array if is_batched(found) else found

    def matrix(self) -> Any:
        """The dense Jacobian."""
        return self.rows(np.eye(self.r.size, dtype=self.r.dtype))

    def columns(self, v: Any) -> Any:
        """``J v``: the pullback is linear in its cotangent, and is pulled back itself."""
        dummy = variable(np.zeros(self.r.shape, self.r.dtype))
        (pulled,) = gradients_at([self.r], [dummy], [self.x._node], True)
        return gradients_at([pulled], [v], [dummy._node], False)[0]

    def solve(self, b: Any, transposed: bool) -> Any:
        """``J^-1 b``, or with the transpose, for a vector or a batch of them."""
        direct = self._factorised() if self.x.size > SPARSE else None
        if direct:
            return direct(b, transposed)
        if is_batched(b):
            if self.x.size > DENSE:
                return Batched(np.stack([self.solve(part, transposed) for part in b.array]))
            return Batched(b.array @ (self.inverse() if transposed else self.inverse().T))
        if self.x.size > DENSE:
            return self._iterated(b, transposed)
        inverse = self.inverse()
        return b @ inverse if transposed else inverse @ b

    def inverse(self) -> Any:
        """Of a Jacobian small enough to be dense, with its rows and columns brought to one scale first."""
        if self._inverse is None:
            matrix = self.matrix()
            size = np.abs(matrix)
            if not np.isfinite(size).all():
                raise SingularMatrixError(f"{self.name}: the Jacobian at the solution holds NaN or infinity")
            rows = np.max(size, axis=1, keepdims=True)
            columns = np.max(size / np.where(rows == 0, 1, rows), axis=0)
            try:
                if not (rows.all() and columns.all()):
                    raise np.linalg.LinAlgError
                scaled = matrix / rows / columns
                inverse = np.linalg.inv(scaled)
                if np.linalg.norm(scaled, 1) * np.linalg.norm(inverse, 1) * np.finfo(matrix.dtype).eps > 0.1:
                    raise np.linalg.LinAlgError
            except np.linalg.LinAlgError:
                raise SingularMatrixError(
                    f"{self.name}: the Jacobian at the solution is singular, so the solution is not a function of the"
                    " parameters there (a double root, a flat minimum, more unknowns than equations)"
                ) from None
            self._inverse = inverse / columns[:, None] / rows.T
        return self._inverse

    def _factorised(self) -> Any:
        """By SuperLU, where the Jacobian is sparse enough to be found in a few passes."""
        if self._sparse is None:
            from autodiff.coloring import few_passes
            from autodiff.sparse import Direct, Pattern

            matrix = few_passes(self.r, self.x, min(64, self.x.size // 4))
            self._sparse = False
            if matrix is not None:
                system = Direct(Pattern(matrix.indices, matrix.indptr, matrix.shape))
                system.name = self.name
                self._sparse = lambda b, transposed: system.solve(matrix.data, b, transposed)
        return self._sparse

    def _iterated(self, b: Any, transposed: bool) -> Any:
        linalg = require("scipy.sparse.linalg")
        product: Callable[..., Any] = (lambda v: self.rows(v[None])[0]) if transposed else self.columns
        shape = (self.r.size, self.x.size)
        operator = linalg.LinearOperator(shape, lambda v: np.asarray(product(v.ravel().astype(b.dtype))), dtype=b.dtype)
        tolerance = 100 * float(np.finfo(b.dtype).eps)
        x, _ = linalg.gmres(operator, b, rtol=tolerance, restart=min(100, shape[0]), maxiter=20)
        left = np.linalg.norm(operator @ x - b)
        if not left <= 1e4 * tolerance * np.linalg.norm(b):
            raise ConvergenceError(
                f"{self.name}: GMRES leaves {left / np.linalg.norm(b):.1e} of the linear system of {shape[0]} unknowns"
                " that gives the derivative"
            )
        return x


class Transposed:
    """The same system, turned."""

    def __init__(self, jacobian: Any) -> None:
        self.jacobian = jacobian

    def solve(self, b: Any, transposed: bool) -> Any:
        """With the roles of the two changed."""
        return self.jacobian.solve(b, not transposed)


def solution(
    name: str,
    residual: Callable[[Any], Any],
    value: Any,
    system: Any = None,
    check: Callable[[Any, Any], None] | None = None,
    parents: list[Any] | None = None,
) -> Any:
    """A vector that makes ``residual`` zero, as a Tensor with the derivative that this fact gives it.

    Parameters
    ----------
    name : str
    residual : callable
        Recorded; takes a vector and returns one of its length. It may close over Tensors.
    value : ndarray (n,)
        The solution.
    system : optional
        What solves with the residual's Jacobian, if that is at hand.
    check : callable, optional
        ``check(system, r)``, called before the first gradient; raises where ``value`` is no solution.
    parents : list of nodes, optional
        All that ``residual`` reads, if that is known; else it is found.
    """
    x = variable(value)
    r, mark = (run_recorded(residual, x), None) if parents is not None else run_marked(residual, x)
    if getattr(r, "_node", None) is None:
        return wrap(x._data, None)
    if r.shape != x.shape:
        raise ShapeError(f"{name}: the equation has shape {r.shape} for unknowns of shape {x.shape}")
    if parents is None:
        parents = outside([r._node], mark, {x._node})
    system = Jacobian(name, r, x) if system is None else system
    open_question = [check]

    def pullback(g: Any, out: Any, recording: bool) -> Any:
        if open_question:
            asked = open_question[-1]
            if asked is not None:
                asked(system, r._data)
            open_question.clear()
        if not recording:
            adjoint = system.solve(g, True)
            return gradients_at([r], [-adjoint], parents, False)
        here = alias(out)
        again = residual(here)
        same_again(name, r._data, again._data)

        def equation(v: Any) -> Any:
            (pulled,) = gradients_at([again], [v], [here._node], True)
            return pulled - g

        adjoint = solution(f"{name} (adjoint)", equation, system.solve(g._data, True), Transposed(system))
        # At a fixed x: what the unknowns depend on in their turn is in the adjoint already.
        return gradients_at([again], [-adjoint], [*parents, here._node], True)[:-1]

    return defined(name, x._data, parents, pullback)


def _solves(name: str, x: Any) -> Callable[[Any, Any], None]:
    """The check that one more Newton step would leave an answer where it is."""

    def check(system: Any, r: Any) -> None:
        step = np.linalg.norm(system.solve(r, False))
        if not (np.isfinite(step) and step <= TOLERANCE * max(1.0, float(np.linalg.norm(x)))):
            raise ConvergenceError(
                f"{name}: what the solver returned does not satisfy the equation (residual {np.linalg.norm(r):.2e}; one"
                f" Newton step would move it by {step:.2e}); let the solver converge before asking for a derivative"
            )

    return check


def _polished(name: str, residual: Callable[[Any], Any], value: Any) -> Any:
    """A solution after Newton steps with the exact Jacobian, as long as they help: a solver stops at its tolerance, and
    the derivative is that of the point where it stopped.
    """
    best, size = value, np.inf
    if value.size > DENSE:
        return value
    for _ in range(4):
        x = variable(value)
        r, _ = run_marked(residual, x)
        if getattr(r, "_node", None) is None or r.shape != x.shape:
            break
        now = float(np.linalg.norm(r._data))
        if not now < size:
            break
        best, size = value, now
        if now == 0.0:
            break
        try:
            step = Jacobian(name, r, x).solve(r._data, False)
        except SingularMatrixError:
            break
        value = (value - step).astype(value.dtype)
        if not np.isfinite(value).all() or np.linalg.norm(step) > TOLERANCE * max(1.0, float(np.linalg.norm(best))):
            break
    return best


def _answer(name: str, residual: Callable[[Any], Any], value: Any, flat: Flat) -> Any:
    value = _polished(name, residual, np.asarray(value, flat.dtype))
    return flat.unpack(solution(name, residual, value, check=_solves(name, value)))


# --- public -----------------------------------------------------------------------------------------------------------


@at_levels
def root(
    fun: Callable[..., object],
    x0: TreeLike,
    args: Sequence[object] = (),
    method: str = "hybr",
    *,
    tol: float | None = None,
    options: Mapping[str, object] | None = None,
) -> RootResult:
    """A root of a system of equations, differentiable in what the equations read; as ``scipy.optimize.root``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, written with NumPy, of ``x``'s structure and shapes.
    x0 : array, or nested dict, list or tuple of arrays
        Where to start; not differentiated.
    args : sequence, or one argument
        Further arguments: arrays, Tensors, trees.
    method, tol, options
        As SciPy's; the Jacobian is computed here.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x`` is a Tensor, or a tree of them; the other fields are numbers.

    Raises
    ------
    ConvergenceError
        If SciPy does not converge.
    SingularMatrixError
        When a derivative is asked for at a root whose Jacobian is singular.

    Examples
    --------
    >>> import autodiff
    >>> a = autodiff.tensor(2.0, requires_grad=True)
    >>> x = root(lambda x, a: x * x - a, 1.0, args=(a,)).x
    >>> x.backward()
    >>> round(x.item(), 6), round(float(a.grad), 6)  # sqrt(a) and 1 / (2 sqrt(a))
    (1.414214, 0.353553)
    """
    optimize = require("scipy.optimize")
    flat = Flat("root", x0)
    args = as_tuple(args)
    residual: Callable[..., Any] = lambda v: flat.pack(fun(flat.unpack(v), *args), "the equation")
    numbers = flat.numbers(residual)
    derivative = {}
    if method in ("hybr", "lm"):
        derivative["jac"] = lambda v: _jacobian("root", residual, v, flat)
    start = np.asarray(bare(flat.pack(x0, "x0")), np.float64)
    result = optimize.root(numbers, start, method=method, tol=tol, options=options, **derivative)
    if not result.success:
        raise ConvergenceError(f"root: {' '.join(str(result.message).split())}")
    result.x = _answer("root", residual, result.x, flat)
    return result  # type: ignore[no-any-return]


def _jacobian(name: str, residual: Callable[[Any], Any], at: Any, flat: Flat) -> Any:
    """The Jacobian for SciPy; zeros of what reads nothing."""
    x = variable(np.asarray(at, flat.dtype))
    r, _ = run_marked(residual, x)
    return np.zeros((r.size, x.size)) if getattr(r, "_node", None) is None else Jacobian(name, r, x).matrix()


@at_levels
def fixed_point(
    func: Callable[..., object],
    x0: TreeLike,
    args: Sequence[object] = (),
    xtol: float = 1e-8,
    maxiter: int = 500,
    method: str = "del2",
) -> Tree:
    """The point that a function maps to itself, differentiable in what the function reads; as
    ``scipy.optimize.fixed_point``.

    Parameters
    ----------
    func : callable
        ``func(x, *args)``, of ``x``'s structure and shapes.
    x0 : array or tree of arrays
    args : sequence
    xtol, maxiter, method
        As SciPy's: "del2" accelerates (Steffensen), "iteration" does not.

    Returns
    -------
    Tensor or tree of Tensors

    Raises
    ------
    ConvergenceError
        If the iteration does not converge.

    Examples
    --------
    >>> import autodiff
    >>> a = autodiff.tensor(2.0, requires_grad=True)
    >>> x = fixed_point(lambda x, a: (x + a / x) / 2, 1.0, (a,))
    >>> x.backward()
    >>> round(x.item(), 6), round(float(a.grad), 6)
    (1.414214, 0.353553)
    """
    optimize = require("scipy.optimize")
    flat = Flat("fixed_point", x0)
    image: Callable[..., Any] = lambda v: flat.pack(func(flat.unpack(v), *args), "func's value")
    start = np.asarray(bare(flat.pack(x0, "x0")), np.float64)
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = optimize.fixed_point(flat.numbers(image), start, xtol=xtol, maxiter=maxiter, method=method)
    except RuntimeError as error:
        raise ConvergenceError(f"fixed_point: {error}") from error
    if not np.isfinite(found).all():
        raise ConvergenceError("fixed_point: the iteration ran into NaN or infinity")
    return _answer("fixed_point", lambda v: image(v) - v, found, flat)  # type: ignore[no-any-return]


def _held(
    name: str, residual: Callable[[Any], Any], value: Any, low: Any, high: Any
) -> tuple[Callable[[Any], Any], Any]:
    """The gradient of a problem with bounds as an equation: a coordinate at a bound that the gradient presses it
    against stays there; the coordinate moves with the bound, should that be tracked. One that touches its bound
    without being pressed has one derivative on either side, and is refused.
    """
    numbers = np.asarray(bare(residual(variable(value))))
    near = 1e-8 * np.maximum(1.0, np.abs(value))
    at_low, at_high = value - bare(low) <= near, bare(high) - value <= near
    pressed = (at_low & (numbers > 0)) | (at_high & (numbers < 0))
    bound = np.where(at_low, low, high)
    fixed = np.where(pressed, np.where(at_low, bare(low), bare(high)), value)
    safe = np.where(pressed, bound, 0.0)
    equation = (lambda v: np.where(pressed, v - safe, residual(v))) if pressed.any() else residual
    fixed = _polished(name, equation, fixed)
    touching = ~pressed & ((fixed <= bare(low)) | (fixed >= bare(high)))
    if np.any(touching | pressed & (np.abs(numbers) <= 1e-10 * np.abs(numbers).max(initial=1.0))):
        raise NotDifferentiableError(
            f"{name}: a coordinate is at a bound that does not press (the gradient there is zero), so the solution has"
            " a kink"
        )
    return equation, fixed


@at_levels
def least_squares(
    fun: Callable[..., object],
    x0: TreeLike,
    *,
    bounds: object = (-np.inf, np.inf),
    method: str = "trf",
    loss: str = "linear",
    f_scale: ArrayLike = 1.0,
    args: Sequence[object] = (),
    **options: object,
) -> LeastSquaresResult:
    """The argument that makes half the sum of squares smallest, differentiable in what the function reads; as
    ``scipy.optimize.least_squares``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns the residuals, of any shape.
    x0 : array or tree of arrays
    bounds : (low, high), or scipy.optimize.Bounds
        Numbers or arrays over the flat vector of unknowns, which may be tracked.
    method : {"trf", "dogbox", "lm"}
    loss : {"linear", "soft_l1", "huber", "cauchy", "arctan"}
    f_scale, **options
        As SciPy's (ftol, xtol, gtol, max_nfev, ...), ``f_scale`` perhaps tracked; the Jacobian is computed here.
    args : sequence

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x`` is a Tensor, or a tree of them.

    Raises
    ------
    ConvergenceError
        If SciPy does not converge, or stops at a bound from which the function falls ("trf" does, where it starts).

    Notes
    -----
    The equation is that the gradient vanishes, so the derivative holds second derivatives of ``fun``, not
    Gauss-Newton's approximation. A coordinate at a bound stays there.

    Examples
    --------
    >>> import autodiff
    >>> y = autodiff.tensor([1.0, 2.0, 4.5], requires_grad=True)
    >>> fit = least_squares(lambda k: k * np.array([1.0, 2.0, 4.0]) - y, 1.0)
    >>> fit.x.backward()
    >>> y.grad * 21  # x / |x|^2
    array([1., 2., 4.])
    """
    optimize = require("scipy.optimize")
    flat = Flat("least_squares", x0)
    if loss not in _LOSSES:
        raise ArgumentError(f"least_squares: loss must be one of {', '.join(_LOSSES)}, got {loss!r}")
    residuals: Callable[..., Any] = lambda v: shaping.reshape(_tensor(fun(flat.unpack(v), *args)), (-1,))
    scale: Any = f_scale

    def cost(v: Any) -> Any:
        return 0.5 * scale**2 * np.sum(_LOSSES[loss]((residuals(v) / scale) ** 2))

    limits: Any = (bounds.lb, bounds.ub) if hasattr(bounds, "lb") else bounds  # type: ignore[attr-defined]
    low, high = (np.broadcast_to(np.asarray(bare(b), float), (int(flat.ends[-1]),)) for b in limits)
    start = np.asarray(bare(flat.pack(x0, "x0")), np.float64)
    jacobian: Callable[..., Any] = lambda v: _jacobian("least_squares", residuals, v, flat)
    result = optimize.least_squares(
        flat.numbers(residuals),
        start,
        jacobian,
        bounds=(low, high),
        method=method,
        loss=loss,
        f_scale=bare(scale),
        **options,
    )
    if not result.success:
        raise ConvergenceError(f"least_squares: {result.message}")
    falls = result.active_mask * result.grad
    if np.any(falls > 1e-3 * np.linalg.norm(result.jac, axis=0) * np.sqrt(2 * result.cost)):
        raise ConvergenceError(
            f"least_squares: {method!r} stopped at a bound from which the function falls; start within the bounds, or"
            " take method='dogbox'"
        )
    value = np.asarray(result.x, flat.dtype)
    if not _reads(cost, value) and all(getattr(b, "_node", None) is None for b in limits):
        result.x = flat.unpack(_tensor(value))
        return result  # type: ignore[no-any-return]
    equation, value = _held("least_squares", lambda v: grad(cost)(v), value, *_wide(limits, flat))
    result.x = _answer("least_squares", equation, value, flat)
    return result  # type: ignore[no-any-return]


def _wide(bounds: Any, flat: Flat) -> list[Any]:
    return [shaping.broadcast_to(_tensor(b) * 1.0, (int(flat.ends[-1]),)) for b in bounds]


#: scipy.optimize.least_squares' losses, of the squared residual.
_LOSSES: dict[str, Callable[[Any], Any]] = {
    "linear": lambda z: z,
    "soft_l1": lambda z: 2 * ((1 + z) ** 0.5 - 1),
    "huber": lambda z: np.where(z <= 1, z, 2 * np.where(z <= 1, 1.0, z) ** 0.5 - 1),
    "cauchy": lambda z: np.log1p(z),
    "arctan": lambda z: np.arctan(z),
}


@at_levels
def minimize(
    fun: Callable[..., object],
    x0: TreeLike,
    args: object = (),
    method: str | None = None,
    *,
    bounds: object = None,
    constraints: object = (),
    tol: float | None = None,
    options: Mapping[str, object] | None = None,
) -> OptimizeResult:
    """The argument that makes a function smallest, differentiable in what the function and the constraints read; with
    the arguments of :func:`autodiff.optimize.minimize`.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns a scalar.
    x0 : array or tree of arrays
    args : sequence
    method, tol, options
        As SciPy's. By default "L-BFGS-B", or "SLSQP" with constraints.
    bounds : (low, high) or tree of such pairs, optional
        May be tracked.
    constraints : dict, LinearConstraint or NonlinearConstraint of SciPy's, or a sequence of these
        Of ``{"type": "eq" or "ineq", "fun": c, "args": ()}`` ``c(x, *args)`` is zero, or not negative.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x`` is a Tensor, or a tree of them.

    Raises
    ------
    ConvergenceError
        If SciPy does not converge.
    NotDifferentiableError
        If an inequality is active without pressing: the minimum has a kink there.
    SingularMatrixError
        When a derivative is asked for and the minimum is flat.

    Notes
    -----
    The equations are Karush's, Kuhn's and Tucker's with the inequalities that are active; their multipliers are found
    here.

    Examples
    --------
    >>> import autodiff
    >>> a = autodiff.tensor([3.0, 1.0], requires_grad=True)
    >>> constraint = {"type": "eq", "fun": lambda x: np.sum(x) - 1.0}
    >>> x = minimize(lambda x: np.sum((x - a) ** 2), np.zeros(2), constraints=constraint).x
    >>> x[0].backward()  # the projection on a line
    >>> a.grad
    array([ 0.5, -0.5])
    """
    from autodiff import optimize as ours

    flat = Flat("minimize", x0)
    single = list(constraints) if isinstance(constraints, (list, tuple)) else [constraints]
    args = as_tuple(args)
    method = method or ("SLSQP" if single else "L-BFGS-B")
    objective: Callable[..., Any] = lambda v: fun(flat.unpack(v), *args)
    with no_grad(), ours.as_numbers():
        found = ours.minimize(
            lambda tree: fun(tree, *args),
            flat.unpack(np.array(bare(flat.pack(x0, "x0")))),
            method=method,
            bounds=bounds,
            constraints=single,
            tol=tol,
            options=options,
        )
    value = np.asarray(bare(flat.pack(found.x, "x")), flat.dtype)
    slope: Callable[..., Any] = lambda v: grad(objective)(v)
    if not found.success and (single or bounds is not None or not _stationary(slope, value)):
        raise ConvergenceError(f"minimize: {found.message}")
    low, high = ours._bounds((None, None) if bounds is None else bounds, x0)
    moving = low._node is not None or high._node is not None
    if not (moving or _reads(objective, value) or any(_reads(c, value) for _, c in _functions(single, flat))):
        found.x = flat.unpack(_tensor(value))
        return found
    if not single:
        equation, value = _held("minimize", slope, value, low, high)
        found.x = _answer("minimize", equation, value, flat)
        return found
    within = _between(lambda v: v, low, high) if bounds is not None else []
    found.x = _constrained(slope, value, [*_functions(single, flat), *within], flat)
    return found


def _reads(function: Callable[[Any], Any], value: Any) -> bool:
    """Whether a function reads anything tracked, so that there is something to differentiate."""
    x = variable(value)
    out, mark = run_marked(function, x)
    node = getattr(out, "_node", None)
    return node is not None and bool(outside([node], mark, {x._node}))


def _stationary(slope: Callable[[Any], Any], value: Any) -> bool:
    """Whether a point at which an optimiser gave up, for want of precision say, is a minimum nevertheless."""
    x = variable(_polished("minimize", slope, value))
    r, _ = run_marked(slope, x)
    if getattr(r, "_node", None) is None or x.size > DENSE:
        return False
    try:
        step = Jacobian("minimize", r, x).solve(r._data, False)
    except SingularMatrixError:
        return False
    moved = np.linalg.norm(step) + np.linalg.norm(x._data - value)
    return bool(moved <= 1e-4 * max(1.0, float(np.linalg.norm(value))))


Condition = tuple[bool, Callable[[Any], Any]]


def _functions(constraints: Sequence[Any], flat: Flat) -> list[Condition]:
    """SciPy's constraints as functions of the vector that are zero (True) or not negative."""
    found: list[Condition] = []
    for c in constraints:
        if hasattr(c, "A"):
            found += _between(partial(_linear, c.A), c.lb, c.ub)
        elif hasattr(c, "lb"):
            found += _between(partial(_values, flat, c.fun, ()), c.lb, c.ub)
        elif isinstance(c, dict) and c.get("type") in ("eq", "ineq") and callable(c.get("fun")):
            found.append((c["type"] == "eq", partial(_values, flat, c["fun"], c.get("args", ()))))
        else:
            raise ArgumentError('minimize: a constraint is {"type": "eq" or "ineq", "fun": callable, "args": ()}')
    return found


def _linear(matrix: Any, v: Any) -> Any:
    return (v[None] @ matrix.T)[0]


def _values(flat: Flat, function: Callable[..., Any], more: Sequence[Any], v: Any) -> Any:
    """What a constraint's function gives, as a vector."""
    return shaping.reshape(_tensor(function(flat.unpack(v), *more)), (-1,))


def _between(function: Callable[[Any], Any], low: Any, high: Any) -> list[Condition]:
    """``low <= function(v) <= high``, of numbers or arrays that may be infinite."""
    low, high = np.broadcast_arrays(*(np.atleast_1d(_tensor(end)) for end in (low, high)))
    same = bare(low) == bare(high)

    def part(sign: float, ends: Any, kept: Any) -> Callable[[Any], Any]:
        def value(v: Any) -> Any:
            out = function(v)
            places = np.flatnonzero(np.broadcast_to(kept, out.shape))
            return sign * (out[places] - np.broadcast_to(ends, out.shape)[places])

        return value

    return [
        (True, part(1.0, low, same)),
        (False, part(1.0, low, ~same & np.isfinite(bare(low)))),
        (False, part(-1.0, high, ~same & np.isfinite(bare(high)))),
    ]


def _constrained(slope: Callable[[Any], Any], value: Any, constraints: list[Any], flat: Flat) -> Any:
    """The solution of the equations of Karush, Kuhn and Tucker: the gradient is a combination of those of the active
    constraints, which are zero.
    """
    at = variable(value)
    chosen = []
    for equality, c in constraints:
        now = np.asarray(bare(c(at)))
        chosen.append(np.arange(now.size) if equality else np.flatnonzero(np.abs(now) <= 1e-6))

    def active(v: Any) -> Any:
        return shaping.concatenate([c(v)[keep] for (_, c), keep in zip(constraints, chosen, strict=True)])

    m, n = sum(keep.size for keep in chosen), value.size
    if not m:
        return _answer("minimize", slope, value, flat)
    r, _ = run_marked(active, at)
    normals = Jacobian("minimize", r, at).rows(np.eye(m))
    force = np.asarray(bare(slope(_tensor(value))))
    multipliers = np.linalg.lstsq(normals.T, force, rcond=None)[0]
    pressing = np.concatenate(
        [np.full(keep.size, not equality) for (equality, _), keep in zip(constraints, chosen, strict=True)]
    )
    if np.any(np.abs(multipliers[pressing]) <= 1e-6 * max(1.0, float(np.abs(force).max()))):
        raise NotDifferentiableError(
            "minimize: an inequality is active but does not press (its multiplier is zero), so the minimum has a kink"
        )

    def equations(whole: Any) -> Any:
        v, lagrange = whole[:n], whole[n:]
        lagrangian = lambda w: np.sum(lagrange * active(w))
        return shaping.concatenate([slope(v) - grad(lagrangian)(v), active(v)])

    whole = _polished("minimize", equations, np.concatenate([value, multipliers.astype(value.dtype)]))
    return flat.unpack(solution("minimize", equations, whole, check=_solves("minimize", whole))[:n])


@at_levels
def linear_solve(A: SparseLike | ArrayLike | Callable[..., object], b: TreeLike) -> Tree:
    """Solve ``A x = b`` for a matrix, a sparse array, or a linear function of a tree.

    Parameters
    ----------
    A : (n, n) array, sparse array, or callable
        A callable takes a tree of ``b``'s structure and returns one; it must be linear and may close over Tensors.
    b : array or tree of arrays

    Returns
    -------
    Tensor or tree of Tensors
        Differentiable in ``b`` and in what ``A`` holds or reads.

    Raises
    ------
    SingularMatrixError
        If the system has no unique solution.
    ConvergenceError
        If GMRES, which solves with a callable on more than 512 numbers that has no sparse matrix, does not converge.
    ArgumentError
        If the callable is not linear.

    Examples
    --------
    >>> import autodiff
    >>> k = autodiff.tensor(2.0, requires_grad=True)
    >>> x = linear_solve(lambda x: k * x, np.array([4.0, 6.0]))
    >>> x.sum().backward()
    >>> x.data, k.grad
    (array([2., 3.]), array(-2.5))
    """
    if not callable(A):
        if hasattr(A, "tocsr"):
            from autodiff.sparse import spsolve

            return spsolve(A, b)  # type: ignore[arg-type, return-value]
        try:
            return np.linalg.solve(_tensor(A), b)  # type: ignore[arg-type, return-value]
        except np.linalg.LinAlgError as error:
            raise SingularMatrixError(f"linear_solve: {error}") from error
    flat = Flat("linear_solve", b, complex_too=True)
    right = flat.pack(b, "b")
    residual: Callable[..., Any] = lambda v: flat.pack(A(flat.unpack(v)), "the function's value") - right
    x = variable(np.zeros(right.shape, flat.dtype))
    r, _ = run_marked(residual, x)
    if getattr(r, "_node", None) is None:
        raise SingularMatrixError("linear_solve: the function does not depend on its argument")
    if np.any(r._data + right._array):
        raise ArgumentError("linear_solve: the function is not linear in its argument: of zeros it is not zero")
    value = Jacobian("linear_solve", r, x).solve(-r._data, False)
    with no_grad():
        left = np.abs(bare(residual(_tensor(value))))
    if not np.all(left <= 1e-6 * (np.abs(right._array).max(initial=0.0) + np.abs(value).max(initial=0.0))):
        raise ArgumentError("linear_solve: the function is not linear in its argument")
    return flat.unpack(solution("linear_solve", residual, value))  # type: ignore[no-any-return]


def custom_root(optimality: Callable[..., object]) -> Callable[[Callable[..., object]], Callable[..., Tree]]:
    """Make any solver differentiable by naming the equation that its answer satisfies.

    Parameters
    ----------
    optimality : callable
        ``optimality(x, *args)`` is zero at the answer; of the answer's structure and shapes, written with NumPy.

    Returns
    -------
    decorator
        For ``solver(x0, *args)`` or ``solver(*args)``, which may use any library: it is given plain arrays, and only
        its answer is read. Where it starts is not differentiated.

    Raises
    ------
    ConvergenceError
        When a derivative is asked for and one Newton step would move the answer by more than a thousandth.
    ArgumentError
        If the numbers of arguments of the two do not fit.

    Examples
    --------
    >>> import autodiff
    >>> @custom_root(lambda x, a: x ** 3 - a)
    ... def cube_root(x0, a):
    ...     return np.cbrt(a)
    >>> round(float(autodiff.grad(lambda a: cube_root(None, a))(8.0)), 9)  # 1 / (3 a^(2/3))
    0.083333333
    """

    def decorate(solver: Callable[..., object]) -> Callable[..., Tree]:
        @at_levels
        @wraps(solver)
        def solve(*args: Any, **kwargs: Any) -> Any:
            rest = _parameters(optimality, args)
            with no_grad():
                answer = bare_tree(solver(*bare_tree(args), **bare_tree(kwargs)))
            flat = Flat("custom_root", answer)
            value = np.asarray(bare(flat.pack(answer, "the answer")), flat.dtype)
            residual: Callable[..., Any] = lambda v: flat.pack(optimality(flat.unpack(v), *rest), "the equation")
            return flat.unpack(solution("custom_root", residual, value, check=_solves("custom_root", value)))

        return solve

    return decorate


def bare_tree(tree: Any) -> Any:
    """A tree with arrays in the place of Tensors."""
    leaves, rebuild = flatten(tree)
    return rebuild([leaf._array if hasattr(leaf, "_node") else leaf for leaf in leaves])


def _parameters(optimality: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments that the equation shares with the solver: all, or all but the starting point."""
    try:
        inspect.signature(optimality).bind(None, *args[1:])
    except TypeError:
        pass
    else:
        if len(args) > 0:
            return args[1:]
    try:
        inspect.signature(optimality).bind(None, *args)
    except TypeError:
        raise ArgumentError(
            f"custom_root: the solver was called with {len(args)} arguments; the equation must take the unknowns and"
            " all of them, or all but the first, which is the starting point"
        ) from None
    return args
