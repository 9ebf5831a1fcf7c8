"""A thin bridge to ``scipy.optimize``: functions of trees of arrays, with exact gradients and Hessians.

SciPy minimises functions of one flat float64 vector and wants ``jac``, ``hess`` and ``hessp`` in its own argument
order. This module packs a nested dict, list or tuple of arrays into that vector, differentiates, and unpacks the
result. The optimisers are SciPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, DTypeError, GraphError, ShapeError, require
from autodiff.core.pytree import flatten
from autodiff.tensor import Tensor
from autodiff.transforms import hessian, hvp, value_and_grad

__all__ = ["minimize", "pack"]

#: SciPy's methods by what they use, read off its documentation of ``minimize``.
_NO_GRADIENT = frozenset({"nelder-mead", "powell", "cobyla", "cobyqa"})
_HESSIAN = frozenset({"dogleg", "trust-exact"})
_HESSIAN_PRODUCT = frozenset({"newton-cg", "trust-ncg", "trust-krylov", "trust-constr"})


def pack(tree: Any) -> tuple[np.ndarray[Any, Any], Callable[[Any], Any]]:
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
    arrays = [leaf.data if isinstance(leaf, Tensor) else np.asarray(leaf) for leaf in leaves]
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
    f: Callable[..., Any],
    x0: Any,
    args: Sequence[Any] = (),
    method: str = "L-BFGS-B",
    *,
    bounds: Any = None,
    tol: float | None = None,
    callback: Callable[[Any], Any] | None = None,
    options: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Minimise a scalar function of a tree of arrays with SciPy's optimisers and exact derivatives.

    Parameters
    ----------
    f : callable
        ``f(tree, *args)`` returns a scalar Tensor, written with NumPy or autodiff functions.
    x0 : array, or nested dict, list or tuple of arrays or numbers
        Where to start.
    args : sequence
        Further arguments of ``f``, not optimised over.
    method : str
        Any method of ``scipy.optimize.minimize``. Gradients are given to all that use them, Hessian-vector products to
        Newton-CG, trust-ncg, trust-krylov and trust-constr, Hessians to dogleg and trust-exact.
    bounds : (low, high) or tree of such pairs, optional
        One pair for all numbers, or a tree of ``x0``'s structure with a pair at every leaf.
    tol, options, **kwargs
        As SciPy's.
    callback : callable, optional
        Called with the tree after every iteration.

    Returns
    -------
    scipy.optimize.OptimizeResult
        With ``x`` (and ``jac``, where there is one) as trees of ``x0``'s structure.

    Raises
    ------
    ArgumentError
        If SciPy has no such method, or it was given jac or hess, which are computed here.
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

    def flat(vector: Any) -> Any:
        return f(unpack(vector), *args)

    value_and_gradient = value_and_grad(flat)

    def objective(vector: Any) -> tuple[float, Any]:
        value, gradient = value_and_gradient(vector)
        return float(value), gradient

    def value_alone(vector: Any) -> float:
        value = flat(vector)
        if np.ndim(value):
            raise GraphError(f"minimize: the function must return a scalar, it returned shape {np.shape(value)}")
        return float(value)

    kind = method.lower()
    derivatives: dict[str, Any] = {}
    if kind in _HESSIAN:
        derivatives["hess"] = hessian(flat)
    elif kind in _HESSIAN_PRODUCT:
        derivatives["hessp"] = lambda vector, direction: hvp(flat, (vector,), (np.asarray(direction, float),))[0]
    if kind not in _NO_GRADIENT:
        derivatives["jac"] = True
    if bounds is not None:
        kwargs["bounds"] = _bounds(bounds, x0)
    if callback is not None:
        kwargs["callback"] = _callback(callback, unpack)
    try:
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
    result.x = unpack(np.asarray(result.x))
    jac = result.get("jac")
    if jac is not None and np.shape(jac) == start.shape:
        result.jac = unpack(np.asarray(jac))
    return result


def _callback(callback: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> Callable[..., Any]:
    # trust-constr passes its state as a second argument.
    return lambda vector, *state: callback(unpack(np.array(vector)))


def _bounds(bounds: Any, x0: Any) -> list[tuple[Any, Any]]:
    """SciPy's list of one pair per number."""
    leaves, rebuild = flatten(x0)
    if _is_pair(bounds):
        pairs = [bounds] * len(leaves)
    else:
        pairs = _pairs_at(bounds, rebuild(list(range(len(leaves)))), len(leaves))
    result: list[tuple[Any, Any]] = []
    for leaf, (low, high) in zip(leaves, pairs, strict=True):
        shape = np.shape(leaf)
        lows = np.broadcast_to(-np.inf if low is None else low, shape).ravel()
        highs = np.broadcast_to(np.inf if high is None else high, shape).ravel()
        result += list(zip(lows.tolist(), highs.tolist(), strict=True))
    return result


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
