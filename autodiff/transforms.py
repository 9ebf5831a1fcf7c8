"""Functions that take a function and return its derivative, with JAX's names.

Arrays in, arrays out: inside, the function sees Tensors; outside, gradients are ndarrays. Within another transform, or
when an argument is itself a Tensor that requires a gradient, the result is a Tensor, so that transforms nest to any
depth. Each level differentiates with respect to aliases of its own, so levels cannot be confused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from autodiff.batching import Batched, Unbatchable, is_batched
from autodiff.core import backward as engine
from autodiff.core.errors import ArgumentError, DTypeError, GraphError, ShapeError
from autodiff.core.graph import Variable
from autodiff.core.modes import enable_grad, transform_depth
from autodiff.core.pytree import flatten, flatten_like, tree_map
from autodiff.ops import shaping
from autodiff.tensor import Tensor, seed_for

__all__ = [
    "checkpoint",
    "elementwise_grad",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "value_and_grad",
    "vjp",
]


def gradients(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """The gradients of ``sum(<grad_output, output>)`` with respect to ``inputs``; no ``.grad`` is touched.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
    inputs : Tensor or sequence of Tensor
        Leaves or computed tensors, each requiring a gradient.
    grad_outputs : array_like, Tensor, or sequence of these, optional
        Cotangents, one per output; scalars start from 1.
    create_graph : bool
        Return Tensors that can be differentiated again.
    retain_graph : bool, optional
        Keep the saved arrays. Default: the value of ``create_graph``.
    allow_unused : bool
        Give None for an input that the outputs do not depend on, instead of raising.

    Returns
    -------
    ndarray (Tensor with ``create_graph``), or a tuple of them if ``inputs`` is a sequence

    Raises
    ------
    GraphError
        If an output or input requires no gradient, or an input is unused.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor(3.0, requires_grad=True)
    >>> autodiff.gradients(x * x, x)
    array(6.)
    """
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    single = isinstance(inputs, Tensor)
    ins = [inputs] if single else list(inputs)
    if grad_outputs is None:
        seeds: list[Any] = [None] * len(outs)
    else:
        seeds = [grad_outputs] if isinstance(outputs, Tensor) else list(grad_outputs)
    if len(seeds) != len(outs):
        raise ArgumentError(f"gradients: {len(outs)} outputs but {len(seeds)} grad_outputs")
    for what, tensors in (("output", outs), ("input", ins)):
        for position, t in enumerate(tensors):
            if not isinstance(t, Tensor):
                raise ArgumentError(f"gradients: {what} {position} is a {type(t).__name__}, not a Tensor")
            if t._node is None:
                raise GraphError(f"gradients: {what} {position} (shape {t.shape}) requires no gradient")
    cotangents = [seed_for(out, seed, create_graph) for out, seed in zip(outs, seeds, strict=True)]
    free = not (create_graph if retain_graph is None else retain_graph)
    results = engine.gradients_of(
        [out._node for out in outs],
        cotangents,
        [t._node for t in ins],
        create_graph=create_graph,
        free=free,  # type: ignore[misc]
    )
    for position, (result, t) in enumerate(zip(results, ins, strict=True)):
        if result is None and not allow_unused:
            raise GraphError(
                f"gradients: the outputs do not depend on input {position} ({t.name or f'shape {t.shape}'}); "
                "pass allow_unused=True to get None for it"
            )
    return results[0] if single else tuple(results)


# --- one level of differentiation
# --------------------------------------------------------------------------------------


class _Level:
    """Calls a function on aliases of its arguments, so that it can be differentiated with respect to exactly these."""

    def __init__(
        self, name: str, function: Callable[..., Any], argnums: int | Sequence[int], args: Sequence[Any]
    ) -> None:
        self.name = name
        places = (argnums,) if isinstance(argnums, (int, np.integer)) else argnums
        if not isinstance(places, (tuple, list, range)) or not all(
            isinstance(place, (int, np.integer)) for place in places
        ):
            raise ArgumentError(f"{name}: argnums must be an integer or a tuple of integers, got {argnums!r}")
        for place in places:
            if not -len(args) <= place < len(args):
                raise ArgumentError(
                    f"{name}: argnums={argnums} but the function was called with {len(args)} positional arguments"
                )
        self.places = [place % len(args) for place in places]
        if len(set(self.places)) < len(self.places):
            raise ArgumentError(f"{name}: argnums={argnums} names an argument of {len(args)} twice; name each once")
        self.function = function
        self.args = list(args)
        self.outer = transform_depth.get() > 0
        self.leaves: list[Any] = []
        self.rebuilders: list[tuple[int, Callable[[list[Any]], Any]]] = []
        for place in self.places:
            leaves, rebuild = flatten(args[place])
            aliases = [self._alias(leaf, place) for leaf in leaves]
            self.leaves += aliases
            self.rebuilders.append((len(leaves), rebuild))
            # The function gets tensors of its own, so that it may write into its arguments; the caller's arrays stay as
            # they are.
            self.args[place] = rebuild([engine.alias(leaf) for leaf in aliases])

    def _alias(self, leaf: Any, place: int) -> Tensor:
        if isinstance(leaf, Tensor) and leaf._node is not None:
            self.outer = True
            return engine.alias(leaf)  # type: ignore[no-any-return]
        data = leaf._data if isinstance(leaf, Tensor) else leaf
        try:
            array = np.asarray(data)
        except (TypeError, ValueError) as error:
            raise DTypeError(
                f"{self.name}: argument {place} holds a {type(leaf).__name__}, which is no array"
            ) from error
        if array.dtype.kind not in "fc":
            raise DTypeError(
                f"{self.name}: argument {place} holds"
                f" {array.dtype if array.dtype.kind in 'biu' else type(leaf).__name__}, which cannot be differentiated;"
                " pass floats (1.0, not 1), or choose other arguments with argnums"
            )
        tensor: Tensor = engine.wrap(array, Variable(array.shape, array.dtype))
        return tensor

    def run(self, kwargs: dict[str, Any]) -> Any:
        token = transform_depth.set(transform_depth.get() + 1)
        try:
            with enable_grad():
                return self.function(*self.args, **kwargs)
        finally:
            transform_depth.reset(token)

    def pull(self, outputs: Sequence[Any], seeds: Sequence[Any], retain: bool = True) -> list[Any]:
        """The gradients at the aliases; zeros where the outputs do not depend on one."""
        reached = [(o, s) for o, s in zip(outputs, seeds, strict=True) if isinstance(o, Tensor) and o._node is not None]
        if reached:
            found = engine.gradients_of(
                [o._node for o, _ in reached],  # type: ignore[misc]
                [seed_for(o, s, self.outer) for o, s in reached],
                [leaf._node for leaf in self.leaves],
                create_graph=self.outer,
                free=not (retain or self.outer),
            )
        else:
            found = [None] * len(self.leaves)
        return [
            self.out(np.zeros(leaf.shape, leaf.dtype) if g is None else g)
            for g, leaf in zip(found, self.leaves, strict=True)
        ]

    def out(self, value: Any) -> Any:
        """A result as this level hands it out: a Tensor inside another transform, else an ndarray."""
        if self.outer:
            return value if isinstance(value, Tensor) else engine.wrap(np.asarray(value), None)
        return np.asarray(value._data if isinstance(value, Tensor) else value)

    def arrange(self, flat: list[Any], single: bool) -> Any:
        """Flat results in the structure of the differentiated arguments."""
        trees, start = [], 0
        for count, rebuild in self.rebuilders:
            trees.append(rebuild(flat[start : start + count]))
            start += count
        return trees[0] if single else tuple(trees)


def _scalar_output(name: str, out: Any) -> Tensor:
    if not isinstance(out, Tensor):
        if np.ndim(out) == 0 and np.asarray(out).dtype.kind in "biufc":
            return engine.wrap(np.asarray(out), None)  # type: ignore[no-any-return]
        raise GraphError(f"{name}: the function must return a scalar, it returned a {type(out).__name__}")
    if out.ndim != 0:
        raise GraphError(
            f"{name}: the function must return a scalar, it returned shape {out.shape}; sum it, or use jacobian, vjp or"
            " elementwise_grad"
        )
    return out


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """A function that returns ``f``'s value and its gradient; arguments as :func:`grad`.

    Returns
    -------
    callable
        ``-> (value, gradient)``, or ``((value, aux), gradient)`` with ``has_aux``.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.value_and_grad(lambda x: x * x)(3.0)
    (array(9.), array(6.))
    """
    return _value_and_grad("value_and_grad", f, argnums, has_aux, holomorphic)


def _value_and_grad(
    name: str, f: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool, holomorphic: bool
) -> Callable[..., Any]:
    @wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        level = _Level(name, f, argnums, args)
        out = level.run(kwargs)
        aux = None
        if has_aux:
            if not (isinstance(out, tuple) and len(out) == 2):
                raise ArgumentError(
                    f"{name}(has_aux=True): the function must return (value, aux), it returned {type(out).__name__}"
                )
            out, aux = out
        value = _scalar_output(name, out)
        if value.dtype.kind == "c" and not holomorphic:
            raise DTypeError(
                f"{name}: the function returned a complex number; return a real one, or pass holomorphic=True if it is"
                " holomorphic"
            )
        if holomorphic and any(leaf.dtype.kind != "c" for leaf in level.leaves):
            raise DTypeError(f"{name}(holomorphic=True): the arguments must be complex")
        flat = level.pull([value], [None], retain=level.outer)
        result = level.arrange(flat, isinstance(argnums, (int, np.integer)))
        shown = level.out(value)
        return ((shown, tree_map(level_out(level), aux)) if has_aux else shown), result

    return differentiated


def level_out(level: _Level) -> Callable[[Any], Any]:
    """How a level hands out auxiliary results: Tensors as it hands out gradients, everything else untouched."""
    return lambda leaf: level.out(leaf) if isinstance(leaf, Tensor) else leaf


def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of the scalar function ``f``.

    Parameters
    ----------
    f : callable
        Returns a scalar Tensor. Its arguments may be arrays, numbers, or nested dicts, lists and tuples of them.
    argnums : int or sequence of int
        Which positional arguments to differentiate with respect to.
    has_aux : bool
        ``f`` returns ``(value, aux)``; the result is then ``(gradient, aux)``.
    holomorphic : bool
        Allow a complex result of complex arguments; the gradient is then the complex derivative.

    Returns
    -------
    callable
        Same arguments as ``f``; returns the gradient in the argument's structure (a tuple of them for several
        ``argnums``), each of its argument's shape and dtype.

    Raises
    ------
    GraphError
        If ``f`` does not return a scalar.
    DTypeError
        If an argument holds integers, or the result is complex without ``holomorphic``.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.grad(lambda x: np.sum(np.sin(x)))(np.array([0.0, np.pi]))
    array([ 1., -1.])
    >>> autodiff.grad(autodiff.grad(lambda x: x ** 3))(2.0)
    array(12.)
    """
    both = _value_and_grad("grad", f, argnums, has_aux, holomorphic)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, result = both(*args, **kwargs)
        return (result, value[1]) if has_aux else result

    return gradient


def elementwise_grad(f: Callable[..., Any], argnums: int = 0, holomorphic: bool = False) -> Callable[..., Any]:
    """The derivative of every output element with respect to the input element in its place, for functions that act
    elementwise.

    Parameters
    ----------
    f : callable
        Returns a Tensor of its argument's shape.
    argnums : int
        Which positional argument to differentiate with respect to.
    holomorphic : bool
        As in :func:`grad`.

    Raises
    ------
    GraphError
        If the output has another shape than the argument: then the sum of the outputs' gradients would not be that
        derivative.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.elementwise_grad(np.sin)(np.zeros(2))
    array([1., 1.])
    """

    @wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        def total(*inner: Any) -> Any:
            out = f(*inner, **kwargs)
            if np.shape(out) != np.shape(inner[argnums]):
                raise GraphError(
                    f"elementwise_grad: the function returned shape {np.shape(out)} for an argument of shape"
                    f" {np.shape(inner[argnums])}; it must act elementwise (use jacobian otherwise)"
                )
            return np.sum(out)

        return grad(total, argnums, holomorphic=holomorphic)(*args)

    return derivative


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[..., Any]]:
    """``f``'s value and its pullback, the linear map from output cotangents to input cotangents.

    Parameters
    ----------
    f : callable
        Returns a Tensor or a tree of Tensors.
    *args
        Arrays or trees of arrays.

    Returns
    -------
    out : ndarray or tree
    pullback : callable
        ``pullback(cotangent) -> tuple`` of one cotangent per argument; may be called any number of times. Raises
        ArgumentError for a cotangent whose structure is not the output's.

    Examples
    --------
    >>> import autodiff
    >>> out, pullback = autodiff.vjp(lambda x, y: x * y, 2.0, 5.0)
    >>> pullback(1.0)
    (array(5.), array(2.))
    """
    level = _Level("vjp", f, range(len(args)), args)
    out = level.run({})
    outs, rebuild = flatten(out)

    def pullback(cotangent: Any) -> Any:
        if isinstance(cotangent, Tensor) and cotangent._node is not None:
            level.outer = True
        seeds = flatten_like(cotangent, out, "vjp: the cotangent")
        return level.arrange(level.pull(outs, seeds), single=False)

    return rebuild([level.out(o) for o in outs]), pullback


def jvp(f: Callable[..., Any], args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``f``'s value and its directional derivative ``J t``.

    The pullback ``u -> J^T u`` is linear in ``u``; pulling ``t`` back through it a second time gives ``J t`` (the
    two-pass construction of forward mode from reverse mode).

    Parameters
    ----------
    f : callable
    args : sequence
        The point: arrays or trees of arrays.
    tangents : sequence
        The direction, of the same structure.

    Returns
    -------
    (out, tangent)
        Both of the structure of ``f``'s output.

    Raises
    ------
    ArgumentError
        If ``tangents`` does not match ``args``.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.jvp(lambda x: x * x, (3.0,), (1.0,))
    (array(9.), array(6.))
    """
    if not isinstance(args, (tuple, list)) or not isinstance(tangents, (tuple, list)) or len(args) != len(tangents):
        raise ArgumentError("jvp: args and tangents must be tuples of the same length")
    level = _Level("jvp", f, range(len(args)), args)
    directions = flatten_like(list(tangents), list(args), "jvp: tangents")
    for leaf, direction in zip(level.leaves, directions, strict=True):
        if np.shape(direction) != leaf.shape:
            raise ShapeError(f"jvp: a tangent of shape {np.shape(direction)} for an argument of shape {leaf.shape}")
    outs, rebuild = flatten(level.run({}))
    outer = level.outer or any(isinstance(d, Tensor) and d._node is not None for d in directions)
    reached = [o for o in outs if isinstance(o, Tensor) and o._node is not None]
    dummies = [Tensor(np.zeros(o.shape, o.dtype), requires_grad=True) for o in reached]
    tangent_of: dict[int, Any] = {}
    if reached:
        pulled = engine.gradients_of(
            [o._node for o in reached],
            dummies,
            [leaf._node for leaf in level.leaves],
            create_graph=True,
            free=False,  # type: ignore[misc]
        )
        pairs = [
            (p, d) for p, d in zip(pulled, directions, strict=True) if isinstance(p, Tensor) and p._node is not None
        ]
        found = (
            engine.gradients_of(
                [p._node for p, _ in pairs],
                [seed_for(p, d, outer) for p, d in pairs],
                [d._node for d in dummies],  # type: ignore[misc]
                create_graph=outer,
                free=False,
            )
            if pairs
            else [None] * len(dummies)
        )
        tangent_of = {id(o): t for o, t in zip(reached, found, strict=True) if t is not None}
    level.outer = outer
    values = [level.out(o) for o in outs]
    pushed = [
        level.out(tangent_of.get(id(o), np.zeros(np.shape(v), v.dtype))) for o, v in zip(outs, values, strict=True)
    ]
    return rebuild(values), rebuild(pushed)


def _refuse_complex(name: str, level: _Level, outs: Sequence[Any], holomorphic: bool) -> None:
    """A complex function has a complex derivative only if it is holomorphic; of another, the real and imaginary parts
    have one each.
    """
    if holomorphic and any(leaf.dtype.kind != "c" for leaf in level.leaves):
        raise DTypeError(f"{name}(holomorphic=True): the arguments must be complex")
    if not holomorphic and any(np.result_type(_data(out)).kind == "c" for out in outs):
        raise DTypeError(
            f"{name}: the function returned complex numbers; return np.real(...) and np.imag(...) of them, or pass"
            " holomorphic=True if it is holomorphic and its arguments are complex"
        )


def _data(value: Any) -> Any:
    return value._data if isinstance(value, Tensor) else np.asarray(value)


def jacobian(f: Callable[..., Any], argnums: int | Sequence[int] = 0, holomorphic: bool = False) -> Callable[..., Any]:
    """A function that returns the Jacobian of ``f``.

    Parameters
    ----------
    f : callable
        Returns a Tensor or a tree of Tensors.
    argnums : int or sequence of int
        Which positional arguments to differentiate with respect to.
    holomorphic : bool
        Allow a complex result of complex arguments; the Jacobian then holds complex derivatives.

    Returns
    -------
    callable
        Same arguments as ``f``; for an output of shape ``s`` and an argument of shape ``t`` an array of shape ``s +
        t``, in the structure of the argument (within the structure of the output, if that is a tree).

    Raises
    ------
    DTypeError
        If an argument holds integers, or the result is complex without ``holomorphic``.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    @wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        level = _Level("jacobian", f, argnums, args)
        outs, rebuild = flatten(level.run(kwargs))
        _refuse_complex("jacobian", level, outs, holomorphic)
        single = isinstance(argnums, (int, np.integer))
        return rebuild([level.arrange(_rows(level, out), single) for out in outs])

    return differentiated


def _rows(level: _Level, out: Any) -> list[Any]:
    """The Jacobian of one output with respect to every leaf of a level."""
    shape = np.shape(out)
    if not isinstance(out, Tensor) or out._node is None:
        return [level.out(np.zeros(shape + leaf.shape, leaf.dtype)) for leaf in level.leaves]
    if not level.outer and out.size > 1:
        try:
            return _rows_at_once(level, out)
        except Unbatchable:
            pass  # a hook on the way wants plain gradients: one pass per row below
    rows = []
    for i in range(out.size):
        seed = np.zeros(out.size, out.dtype)
        seed[i] = 1
        rows.append(level.pull([out], [seed.reshape(shape)]))
    columns = []
    for position, leaf in enumerate(level.leaves):
        parts = [row[position] for row in rows]
        stacked = (
            (shaping.stack(parts) if level.outer else np.stack(parts))
            if parts
            else level.out(np.zeros((0, *leaf.shape), leaf.dtype))
        )
        columns.append(stacked.reshape(shape + leaf.shape))
    return columns


# Cotangents per batched pass: enough to spread the cost of the walk, few enough to stay in cache.
_CHUNK = 128


def _rows_at_once(level: _Level, out: Tensor) -> list[Any]:
    """The rows of a Jacobian from batched backward passes, a chunk of the identity matrix at a time."""
    n, targets = out.size, [leaf._node for leaf in level.leaves]
    columns = [np.zeros((n, *leaf.shape), leaf.dtype) for leaf in level.leaves]
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        seeds = np.zeros((stop - start, n), out.dtype)
        seeds[np.arange(stop - start), np.arange(start, stop)] = 1
        batch = Batched(seeds.reshape(stop - start, *out.shape))
        found = engine.gradients_of([out._node], [batch], targets, free=False)  # type: ignore[list-item,arg-type]
        for column, g in zip(columns, found, strict=True):
            if g is not None:
                column[start:stop] = g.array if is_batched(g) else g
    return [column.reshape(out.shape + leaf.shape) for column, leaf in zip(columns, level.leaves, strict=True)]


def hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0, holomorphic: bool = False) -> Callable[..., Any]:
    """A function that returns the Hessian of the scalar function ``f``: the Jacobian of its gradient, with the
    arguments of both.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.hessian(lambda x: x[0] * x[1])(np.array([1.0, 2.0]))
    array([[0., 1.],
           [1., 0.]])
    """
    return jacobian(grad(f, argnums, holomorphic=holomorphic), argnums, holomorphic)


def hvp(f: Callable[..., Any], args: Sequence[Any], vectors: Sequence[Any]) -> Any:
    """The product of ``f``'s Hessian with a vector, at the cost of a few gradients and without the Hessian.

    Parameters
    ----------
    f : callable
        Scalar function.
    args, vectors : sequence
        The point, and the direction of the same structure.

    Returns
    -------
    tuple
        One product per argument.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.hvp(lambda x: np.sum(x ** 3), (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),))
    (array([6., 0.]),)
    """
    if not isinstance(args, (tuple, list)) or not isinstance(vectors, (tuple, list)) or len(args) != len(vectors):
        raise ArgumentError("hvp: args and vectors must be tuples of the same length")
    return jvp(grad(f, tuple(range(len(args)))), args, vectors)[1]


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """``f`` without the memory of its intermediate results: they are computed again during the backward pass.

    Parameters
    ----------
    f : callable
        Takes and returns Tensors or trees of them. It must compute the same thing when called again: pass random masks
        in as arguments.

    Returns
    -------
    callable

    Notes
    -----
    Only the arguments are kept. Tensors that ``f`` closes over (the parameters of a module, say) receive their
    gradients too.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor(2.0, requires_grad=True)
    >>> autodiff.checkpoint(lambda t: (t * t) * t)(x).backward()
    >>> x.grad
    array(12.)
    """
    from autodiff.checkpointing import checkpointed

    return checkpointed(f)
