"""A thin bridge to ``scipy.optimize``: functions of trees of arrays, with exact gradients and Hessians.

SciPy minimises functions of one flat float64 vector and wants ``jac``, ``hess`` and ``hessp`` in its own argument
order. This module packs a nested dict, list or tuple of arrays into that vector, differentiates, and unpacks the
result. The optimisers are SciPy's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from autodiff.core.errors import ArgumentError, DTypeError, GraphError, ShapeError, SingularMatrixError
from autodiff.core.modes import no_grad, transform_depth
from autodiff.core.pytree import flatten
from autodiff.extras import require
from autodiff.ops.common import bare, real_numbers
from autodiff.ops.shaping import _tensor
from autodiff.tensor import Tensor
from autodiff.transforms import hessian, hvp, jacobian, value_and_grad
from autodiff.trees import as_tuple

if TYPE_CHECKING:
    from autodiff.results import OptimizeResult, Tree, TreeLike
    from autodiff.signatures import ArrayLike, Tensor

__all__ = ["curve_fit", "minimize", "pack"]

#: SciPy's methods by what they use, read off its documentation of ``minimize``.
_NO_GRADIENT = frozenset({"nelder-mead", "powell", "cobyla", "cobyqa"})
_HESSIAN = frozenset({"dogleg", "trust-exact"})
_HESSIAN_PRODUCT = frozenset({"newton-cg", "trust-ncg", "trust-krylov", "trust-constr"})
_CONSTRAINED = frozenset({"cobyla", "cobyqa", "slsqp", "trust-constr"})
_BOUNDED = _CONSTRAINED | {"nelder-mead", "powell", "l-bfgs-b", "tnc"}
_METHODS = _NO_GRADIENT | _HESSIAN | _HESSIAN_PRODUCT | _BOUNDED | {"cg", "bfgs"}


def pack(tree: TreeLike) -> tuple[np.ndarray[Any, Any], Callable[[ArrayLike], Tree]]:
    """One flat float64 vector of all leaves of a tree, and the differentiable function that takes it apart again.

    Parameters
    ----------
    tree : array, or nested dict, list or tuple of real arrays or numbers

    Returns
    -------
    vector : ndarray of float64, shape (n,)
    unpack : callable
        Takes a vector (ndarray or Tensor) to the tree; leaves keep their shape and floating-point dtype.

    Raises
    ------
    DTypeError
        If a leaf is complex or no number.

    Examples
    --------
    >>> vector, unpack = pack({"w": np.ones((1, 2)), "b": 3.0})
    >>> vector
    array([1., 1., 3.])
    >>> unpack(vector)["b"]
    array(3.)
    """
    leaves, rebuild = flatten(tree)
    arrays = [leaf._array if isinstance(leaf, Tensor) else np.asarray(leaf) for leaf in leaves]
    for position, array in enumerate(arrays):
        if array.dtype.kind not in "biuf":
            raise DTypeError(f"pack: leaf {position} has dtype {array.dtype}; only real numbers can be optimised over")
    bounds = np.cumsum([0, *(a.size for a in arrays)])
    dtypes = [a.dtype if a.dtype.kind == "f" else np.dtype(float) for a in arrays]

    def unpack(vector: Any) -> Any:
        if vector.shape != (int(bounds[-1]),):
            raise ShapeError(f"unpack: the tree has {bounds[-1]} numbers, the vector has shape {vector.shape}")
        parts = []
        for array, dtype, start, stop in zip(arrays, dtypes, bounds, bounds[1:], strict=False):
            part = vector[int(start) : int(stop)].reshape(array.shape)
            parts.append(part if part.dtype == dtype else part.astype(dtype))
        return rebuild(parts)

    vector = np.concatenate([a.astype(np.float64).ravel() for a in arrays]) if arrays else np.zeros(0)
    return vector, unpack


def minimize(
    f: Callable[..., object],
    x0: TreeLike,
    args: object = (),
    method: str | None = None,
    *,
    bounds: object = None,
    constraints: object = (),
    tol: float | None = None,
    callback: Callable[..., object] | None = None,
    options: Mapping[str, object] | None = None,
    progress: bool = False,
    **kwargs: object,
) -> OptimizeResult:
    """Minimise a scalar function of a tree of arrays with SciPy's optimisers and exact derivatives.

    Parameters
    ----------
    f : callable
        ``f(tree, *args)`` returns a scalar Tensor, written with NumPy or autodiff functions.
    x0 : array, or nested dict, list or tuple of arrays or numbers
        Where to start.
    args : sequence, or one argument
        Further arguments of ``f``, not optimised over.
    method : str, optional
        Any method of ``scipy.optimize.minimize``; by default "L-BFGS-B", or "SLSQP" with constraints. Gradients are
        given to all that use them, Hessian-vector products to Newton-CG, trust-ncg, trust-krylov and trust-constr,
        Hessians to dogleg and trust-exact.
    bounds : (low, high), tree of such pairs, scipy.optimize.Bounds or a sequence of pairs, optional
        One pair for all numbers, or a tree of ``x0``'s structure with a pair at every leaf. For one array also what
        SciPy takes: its ``Bounds``, or a sequence with a pair of numbers or None for every element.
    constraints : dict, scipy.optimize.NonlinearConstraint or LinearConstraint, or a sequence of these
        Of SciPy's dicts ``{"type": "eq" or "ineq", "fun": c, "args": ()}`` and of NonlinearConstraint the function
        takes the tree and its Jacobian is computed here; a LinearConstraint is of the flat vector.
    tol, options, **kwargs
        As SciPy's.
    callback : callable, optional
        Called with the tree after every iteration; one with the parameter ``intermediate_result`` gets SciPy's
        result, whose ``x`` is the tree. Raise StopIteration in it to stop.
    progress : bool
        Show a bar with the iterations and the value (needs tqdm).

    Returns
    -------
    scipy.optimize.OptimizeResult
        With ``x`` (and ``jac``, where there is one) as trees of ``x0``'s structure.

    Raises
    ------
    ArgumentError
        If SciPy has no such method, the method takes no bounds or constraints, or it was given jac or hess, which are
        computed here.
    GraphError
        If ``f`` does not return a scalar.
    MissingExtraError
        If SciPy is not installed.

    Examples
    --------
    >>> rosenbrock = lambda p: (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2
    >>> result = minimize(rosenbrock, {"x": -1.0, "y": 2.0}, method="Newton-CG", tol=1e-12)
    >>> round(float(result.x["x"]), 6), round(float(result.x["y"]), 6)
    (1.0, 1.0)
    """
    optimize = require("scipy.optimize")
    own = {"jac", "hess", "hessp"} & set(kwargs)
    if own:
        raise ArgumentError(
            f"minimize: {', '.join(sorted(own))} is computed by autodiff; leave it out, or call scipy.optimize.minimize"
        )
    start, unpack = pack(x0)
    if not start.size:
        raise ArgumentError("minimize: x0 holds no numbers")
    if not np.isfinite(start).all():
        raise ArgumentError("minimize: x0 holds NaN or infinity")

    args = as_tuple(args)

    def flat(vector: Any) -> Any:
        return f(unpack(vector), *args)

    value_and_gradient = value_and_grad(flat)
    latest = np.inf

    def objective(vector: Any) -> tuple[float, Any]:
        nonlocal latest
        value, gradient = value_and_gradient(vector)
        latest = float(value)
        return latest, gradient

    def value_alone(vector: Any) -> float:
        nonlocal latest
        value = flat(vector)
        if np.ndim(value):
            raise GraphError(f"minimize: the function must return a scalar, it returned shape {np.shape(value)}")
        latest = float(bare(value))
        return latest

    constrained = not isinstance(constraints, (tuple, list)) or len(constraints) > 0
    method = method or ("SLSQP" if constrained else "L-BFGS-B")
    kind = method.lower()
    for given, words, able in ((bounds is not None, "bounds", _BOUNDED), (constrained, "constraints", _CONSTRAINED)):
        if given and kind in _METHODS - able:
            raise ArgumentError(
                f"minimize: the method {method!r} takes no {words}; use one of {', '.join(sorted(able))}"
            )
    derivatives: dict[str, Any] = {}
    if kind in _HESSIAN:
        derivatives["hess"] = hessian(flat)
    elif kind in _HESSIAN_PRODUCT:
        derivatives["hessp"] = lambda vector, direction: hvp(flat, (vector,), (np.asarray(direction, float),))[0]
    if kind not in _NO_GRADIENT:
        derivatives["jac"] = True
    if bounds is not None:
        kwargs["bounds"] = list(zip(*(bare(ends).tolist() for ends in _bounds(bounds, x0)), strict=True))
    if constrained:
        kwargs["constraints"] = _constraints(constraints, unpack, optimize)
    bar = require("tqdm").tqdm(desc=f"minimize ({method})", unit=" iterations") if progress else None
    if callback is not None or bar is not None:
        kwargs["callback"] = _callback(callback, unpack, bar, lambda: latest)
    try:
        with as_numbers(), no_grad():
            result = optimize.minimize(
                objective if "jac" in derivatives else value_alone,
                start,
                method=method,
                tol=tol,
                options=options,
                **derivatives,
                **kwargs,
            )
    except ValueError as error:
        if "solver" in str(error).lower():
            raise ArgumentError(f"minimize: scipy.optimize.minimize has no method {method!r}") from error
        raise
    finally:
        if bar is not None:
            bar.close()
    result.x = unpack(np.asarray(result.x))
    jac = result.get("jac")
    if jac is not None and np.shape(jac) == start.shape:
        result.jac = unpack(np.asarray(jac))
    return result  # type: ignore[no-any-return]


@contextmanager
def as_numbers() -> Iterator[None]:
    """Transforms in here return arrays, also within another transform: what a solver does is not differentiated."""
    token = transform_depth.set(0)
    try:
        yield
    finally:
        transform_depth.reset(token)


def _callback(
    callback: Callable[..., Any] | None, unpack: Callable[[Any], Any], bar: Any, latest: Callable[[], float]
) -> Callable[..., Any]:
    """SciPy's callback: it passes the vector, trust-constr its state as well; or a result, if that is asked for by
    name.
    """
    by_result = callback is not None and "intermediate_result" in inspect.signature(callback).parameters

    def shown() -> None:
        if bar is not None:
            bar.update()
            bar.set_postfix_str(f"value {latest():.6g}")

    def with_result(intermediate_result: Any) -> Any:
        shown()
        intermediate_result.x = unpack(np.array(intermediate_result.x))
        return callback(intermediate_result=intermediate_result)  # type: ignore[misc]

    def with_vector(vector: Any, *state: Any) -> Any:
        shown()
        return None if callback is None else callback(unpack(np.array(vector)))

    return with_result if by_result else with_vector


def _constraints(constraints: Any, unpack: Callable[[Any], Any], optimize: Any) -> list[Any]:
    """Constraints of trees as SciPy wants them, of vectors and with their Jacobians."""
    found = []
    for constraint in constraints if isinstance(constraints, (tuple, list)) else [constraints]:
        if isinstance(constraint, optimize.LinearConstraint):
            found.append(constraint)
            continue
        named = isinstance(constraint, dict)
        if not named and not isinstance(constraint, optimize.NonlinearConstraint):
            raise ArgumentError(f"minimize: a constraint is a dict or an object of SciPy's, got {constraint!r}")
        function = constraint.get("fun") if named else constraint.fun
        more = tuple(constraint.get("args", ())) if named else ()
        if not callable(function):
            raise ArgumentError('minimize: a constraint needs "fun", a function of x')

        def values(vector: Any, function: Any = function, more: Any = more) -> Any:
            return np.reshape(_tensor(function(unpack(vector), *more)), (-1,))

        plain = lambda vector, values=values: np.asarray(bare(values(vector)))
        slope = jacobian(values)
        if named:
            found.append({"type": constraint.get("type"), "fun": plain, "jac": slope})
        else:
            again = optimize.NonlinearConstraint(plain, constraint.lb, constraint.ub, jac=slope)
            again.keep_feasible = constraint.keep_feasible
            found.append(again)
    return found


def _bounds(bounds: Any, x0: Any) -> tuple[Any, Any]:
    """The least and the greatest values of the flat vector, which may be tracked."""
    leaves, rebuild = flatten(x0)
    if len(leaves) == 1 and not isinstance(x0, (dict, list, tuple)):
        if hasattr(bounds, "keep_feasible"):  # SciPy's object
            bounds = (bounds.lb, bounds.ub)
        elif len(bounds) == np.size(x0) and all(isinstance(b, (tuple, list)) and _is_pair(tuple(b)) for b in bounds):
            return _ends(bounds, [()] * len(bounds))
    if _is_pair(bounds):
        pairs = [bounds] * len(leaves)
    else:
        pairs = _pairs_at(bounds, rebuild(list(range(len(leaves)))), len(leaves))
    return _ends(pairs, [np.shape(leaf) for leaf in leaves])


def _ends(pairs: Any, shapes: list[tuple[int, ...]]) -> tuple[Any, Any]:
    def end(side: int, missing: float) -> Any:
        given = [missing if pair[side] is None else pair[side] for pair in pairs]
        spread = [np.broadcast_to(_tensor(one), shape).ravel() for one, shape in zip(given, shapes, strict=True)]
        return np.concatenate(spread) * 1.0

    return end(0, -np.inf), end(1, np.inf)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(v is None or (np.ndim(v) == 0 and not isinstance(v, dict)) for v in value)
    )


def _pairs_at(bounds: Any, places: Any, count: int) -> list[Any]:
    """The pair at every leaf, by walking the tree of bounds beside the tree of leaf numbers."""
    found: dict[int, Any] = {}
    stack = [(bounds, places)]
    while stack:
        pair, place = stack.pop()
        if isinstance(place, int):
            if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
                raise ArgumentError(f"minimize: bounds need a (low, high) pair at every leaf, got {pair!r}")
            found[place] = pair
        elif isinstance(place, dict):
            if not isinstance(pair, dict) or set(pair) != set(place):
                raise ArgumentError(
                    f"minimize: bounds must have x0's structure; expected the keys {sorted(map(str, place))}"
                )
            stack += [(pair[key], place[key]) for key in place]
        elif place is not None:
            if not isinstance(pair, (tuple, list)) or len(pair) != len(place):
                raise ArgumentError("minimize: bounds must have x0's structure")
            stack += list(zip(pair, place, strict=True))
    return [found[i] for i in range(count)]


@overload
def curve_fit(
    f: Callable[..., object],
    xdata: object,
    ydata: ArrayLike,
    p0: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    absolute_sigma: bool = False,
    check_finite: bool | None = None,
    bounds: object = (-np.inf, np.inf),
    method: str | None = None,
    *,
    full_output: Literal[False] = False,
    nan_policy: str | None = None,
    **options: object,
) -> tuple[Tensor, Tensor]: ...
@overload
def curve_fit(
    f: Callable[..., object],
    xdata: object,
    ydata: ArrayLike,
    p0: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    absolute_sigma: bool = False,
    check_finite: bool | None = None,
    bounds: object = (-np.inf, np.inf),
    method: str | None = None,
    *,
    full_output: Literal[True],
    nan_policy: str | None = None,
    **options: object,
) -> tuple[Tensor, Tensor, dict[str, object], str, int]: ...
def curve_fit(
    f: Callable[..., object],
    xdata: object,
    ydata: ArrayLike,
    p0: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    absolute_sigma: bool = False,
    check_finite: bool | None = None,
    bounds: object = (-np.inf, np.inf),
    method: str | None = None,
    *,
    full_output: bool = False,
    nan_policy: str | None = None,
    **options: object,
) -> tuple[object, ...]:
    """Fit the parameters of a curve to data by least squares, as ``scipy.optimize.curve_fit``, with the exact Jacobian.

    Parameters
    ----------
    f : callable
        ``f(xdata, *p)``, written with NumPy, returns ``ydata``'s shape.
    xdata, ydata : array_like
        ``xdata`` is handed to ``f`` as it is. Tensors may be tracked.
    p0 : sequence of float, optional
        Where to start; ones by default.
    sigma : (m,) or (m, m), optional
        Standard deviations, or the covariance matrix, of ``ydata``.
    absolute_sigma : bool
        ``sigma`` is absolute; else the covariance is scaled by chi squared per degree of freedom.
    check_finite : bool
        Refuse NaN and infinity in ``xdata``, where it is an array, and ``ydata``; so by default without ``nan_policy``.
    bounds : (low, high)
    method : {"lm", "trf", "dogbox"}, optional
        "lm", or "trf" with bounds.
    full_output : bool
        Return three more values, as SciPy does.
    nan_policy : {"raise", "omit"}, optional
        What a NaN in the data does; "omit" leaves its point out.
    **options
        Of ``scipy.optimize.least_squares``.

    Returns
    -------
    popt : Tensor (n,)
        Differentiable in ``xdata``, ``ydata``, ``sigma`` and what ``f`` closes over.
    pcov : Tensor (n, n)
        ``s^2 (J'J)^-1`` with the exact Jacobian of the weighted curve; the standard errors are
        ``sqrt(diag(pcov))``.
    infodict, mesg, ier : dict, str, int
        Only with ``full_output``: the number of evaluations ``nfev`` and the residuals ``fvec``, the solver's message
        and status.

    Raises
    ------
    ConvergenceError
        If no minimum is found.
    SingularMatrixError
        If the data do not determine the parameters, or there are no more data than parameters and ``absolute_sigma``
        is false: the covariance does not exist. (SciPy warns and gives infinity.)

    Examples
    --------
    >>> t = np.array([0.0, 1.0, 2.0, 3.0])
    >>> popt, pcov = curve_fit(lambda t, a, b: a + b * t, t, np.array([1.0, 2.9, 5.1, 7.0]))
    >>> popt.data.round(6), np.sqrt(np.diag(pcov.data)).round(6)
    (array([0.97, 2.02]), array([0.079373, 0.042426]))
    """
    from autodiff import implicit

    low, high = bounds if isinstance(bounds, (tuple, list)) else (bounds.lb, bounds.ub)  # type: ignore[attr-defined]
    limited = bool(np.any(np.isfinite(low)) or np.any(np.isfinite(high)))
    if p0 is None:
        count = len(inspect.signature(f).parameters) - 1
        if count < 1 or any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(f).parameters.values()):
            raise ArgumentError("curve_fit: the number of parameters is not known; give p0")
        inside = np.clip(np.ones(count), low, high)
        between = np.isfinite(low) & np.isfinite(high)
        p0 = np.where(between, (np.where(between, low, 0.0) + np.where(between, high, 0.0)) / 2, inside)
    start = np.atleast_1d(np.asarray(bare(p0), float))
    data = _tensor(ydata)
    real_numbers("curve_fit", data)
    data = data if data.dtype.kind == "f" else data.astype(float)
    weights = None if sigma is None else _tensor(sigma) * 1.0
    if nan_policy not in (None, "raise", "omit"):
        raise ArgumentError(f"curve_fit: nan_policy must be 'raise' or 'omit', got {nan_policy!r}")
    plain = np.asarray(bare(xdata)) if isinstance(xdata, (list, tuple)) or hasattr(xdata, "dtype") else np.zeros(0)
    plain = plain if plain.dtype.kind in "fc" else np.zeros(0)
    if nan_policy == "omit":
        kept = ~np.isnan(data._array)
        if plain.size:
            kept &= ~np.isnan(plain).any(axis=tuple(range(plain.ndim - data.ndim)))
            xdata = _tensor(xdata)[..., kept] if hasattr(xdata, "_node") else plain[..., kept]
        data = data[kept]
        if weights is not None and weights.ndim:
            weights = weights[kept] if weights.ndim == 1 else weights[kept][:, kept]
    elif check_finite or check_finite is None:
        for name, array in (("xdata", plain), ("ydata", data._array)):
            if not np.isfinite(array).all():
                raise ArgumentError(f"curve_fit: {name} holds NaN or infinity")
    if weights is not None and not np.isfinite(weights._array).all():
        raise ArgumentError("curve_fit: sigma holds NaN or infinity")
    if weights is not None and weights.ndim < 2 and not np.all(weights._array):
        raise ArgumentError("curve_fit: sigma holds zeros; a point that is exact has no weight")
    if weights is not None and weights.shape not in ((), data.shape, (data.size, data.size)):
        raise ShapeError(f"curve_fit: sigma of shape {weights.shape} for ydata of shape {data.shape}")
    factor = np.linalg.cholesky(weights) if weights is not None and weights.ndim == 2 and data.ndim == 1 else None

    def residuals(p: Any) -> Any:
        curve = _tensor(f(xdata, *[p[i] for i in range(start.size)]))
        if curve.shape not in (data.shape, ()):
            raise ShapeError(f"curve_fit: f returned shape {curve.shape}, ydata has shape {data.shape}")
        off = curve - data
        if factor is not None:
            return np.linalg.solve(factor, off)
        return np.reshape(off if weights is None else off / weights, (-1,))

    method = method or ("trf" if limited else "lm")
    if method == "lm" and data.size < start.size:
        raise ArgumentError(f"curve_fit: {data.size} data for {start.size} parameters; method 'lm' needs more data")
    result = implicit.least_squares(residuals, start, bounds=(low, high), method=method, **options)  # type: ignore[arg-type]
    popt = result.x
    slopes = _recorded_jacobian(residuals, popt)
    spread: Any = np.linalg.norm(slopes._array, axis=0)
    values = np.linalg.svd(slopes._array / np.where(spread == 0, 1.0, spread), compute_uv=False)
    if not (spread.all() and values[-1] > values[0] * np.finfo(float).eps * max(slopes.shape)):
        raise SingularMatrixError("curve_fit: the data do not determine the parameters; leave out what they do not")
    pcov = np.linalg.inv(slopes.T @ slopes)
    if not absolute_sigma:
        if data.size <= start.size:
            raise SingularMatrixError(
                f"curve_fit: {data.size} data for {start.size} parameters leave nothing to estimate the variance from;"
                " give sigma and absolute_sigma=True"
            )
        pcov = pcov * (np.sum(residuals(popt) ** 2) / (data.size - start.size))
    if not full_output:
        return popt, pcov
    return popt, pcov, {"nfev": result.nfev, "fvec": result.fun}, result.message, result.status


def _recorded_jacobian(residuals: Callable[[Any], Any], p: Any) -> Any:
    """The Jacobian as a function of ``p`` and of all that the residuals read, column by column of ``p``."""
    if getattr(p, "_node", None) is None:
        with as_numbers():
            return _tensor(jacobian(residuals)(p._array))
    return _tensor(jacobian(residuals)(p))
