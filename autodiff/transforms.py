"""Functions that take a function and return its derivative, with JAX's names.

Arrays in, arrays out: inside, the function sees Tensors; outside, derivatives are ndarrays. A result is a Tensor
exactly when something that it depends on is tracked: an argument, a tensor that the function closes over, or what an
enclosing transform differentiates. So transforms nest to any depth and in any order. Each level differentiates with
respect to stand-ins of its own, so levels cannot be confused (docs/forward.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Never, ParamSpec, TypeVar, overload

import numpy as np

from autodiff import batching, levels
from autodiff.arguments import refuse_unless_callable, whole
from autodiff.containers import as_array
from autodiff.core.backward import gradients_of
from autodiff.core.errors import ArgumentError, DTypeError, GraphError, ShapeError
from autodiff.core.graph import Stage, Variable, tick, time
from autodiff.core.modes import enable_grad, is_grad_enabled, transform_depth
from autodiff.core.op import alias, wrap
from autodiff.core.pytree import flatten, tree_map
from autodiff.decorators import Made
from autodiff.dispatch import holds_tensor
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.higher import depends_beyond
from autodiff.ops import shaping
from autodiff.tensor import Tensor, seed_for
from autodiff.trees import flatten_like
from autodiff.writes import lend, lent

if TYPE_CHECKING:
    from autodiff.results import Array, Tree, TreeLike
    from autodiff.signatures import ArrayLike

__all__ = [
    "checkpoint",
    "elementwise_grad",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
]


P = ParamSpec("P")
R = TypeVar("R")


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: ArrayLike | Sequence[ArrayLike | None] | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Array | tuple[Array | None, ...] | None:
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
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)  # type: ignore[arg-type]
    single = isinstance(inputs, Tensor)
    ins = [inputs] if single else list(inputs)  # type: ignore[arg-type]
    if grad_outputs is None:
        seeds: list[Any] = [None] * len(outs)
    else:
        seeds = [grad_outputs] if isinstance(outputs, Tensor) else list(grad_outputs)  # type: ignore[arg-type]
    if len(seeds) != len(outs):
        raise ArgumentError(f"gradients: {len(outs)} outputs but {len(seeds)} grad_outputs")
    for what, tensors in (("output", outs), ("input", ins)):
        for position, t in enumerate(tensors):
            if not isinstance(t, Tensor):
                raise ArgumentError(f"gradients: {what} {position} is a {type(t).__name__}, not a Tensor")
            if t._node is None:
                raise GraphError(f"gradients: {what} {position} (shape {t.shape}) requires no gradient")
    cotangents = [seed_for(out, seed, create_graph) for out, seed in zip(outs, seeds, strict=True)]  # type: ignore[arg-type]
    free = not (create_graph if retain_graph is None else retain_graph)
    tick()  # a later pass to what is computed from now on need not visit what was there before
    results = gradients_of(
        [out._node for out in outs],  # type: ignore[union-attr]
        cotangents,
        [t._node for t in ins],  # type: ignore[union-attr]
        create_graph=create_graph,
        free=free,  # type: ignore[misc]
    )
    for position, (result, t) in enumerate(zip(results, ins, strict=True)):
        if result is None and not allow_unused:
            raise GraphError(
                f"gradients: the outputs do not depend on input {position} ({t.name or f'shape {t.shape}'}); "  # type: ignore[union-attr]
                "pass allow_unused=True to get None for it"
            )
    return results[0] if single else tuple(results)


# --- one level of differentiation -----------------------------------------------------------------------------------


class _Call:
    """A function and its arguments, ready to be called on stand-ins for those that are to be differentiated.

    Attributes
    ----------
    places : list of int
        Which arguments these are.
    leaves : list of Tensor
        Their leaves as the code around sees them; constants where nothing there is tracked.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], argnums: int | Sequence[int], args: Sequence[Any]
    ) -> None:
        self.name = name
        refuse_unless_callable(name, function, False)
        places = _places(name, argnums)
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
        # Outside of it nothing is differentiated: under no_grad() results are plain arrays.
        self.tracking = is_grad_enabled()
        self.leaves: list[Any] = []
        self.rebuilders: list[tuple[int, Callable[[list[Any]], Any]]] = []
        for place in self.places:
            leaves, rebuild = flatten(args[place])
            self.leaves += [self._leaf(leaf, place) for leaf in leaves]
            self.rebuilders.append((len(leaves), rebuild))

    def _leaf(self, leaf: Any, place: int) -> Tensor:
        data = leaf._data if isinstance(leaf, Tensor) else leaf
        # The function might write into an array of the program's own, or into what a tensor has handed out.
        exposed = data is leaf or bool(time.lent and lent([leaf]))
        if isinstance(leaf, Tensor) and levels.tracked(leaf) and (self.tracking or leaf._node is None):
            return wrap(data.copy("K"), leaf._node) if exposed else leaf
        try:
            array = as_array(data)
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
        if array is data and exposed:
            array = array.copy("K")
        tensor: Tensor = wrap(array, None)
        return tensor

    def _with(self, stand_ins: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Call the function. It gets tensors of its own, so that it may write into its arguments."""
        args = list(self.args)
        for place, tree in zip(self.places, self.trees(list(stand_ins)), strict=True):
            args[place] = tree
        token = transform_depth.set(transform_depth.get() + 1)
        try:
            return self.function(*args, **kwargs)
        finally:
            transform_depth.reset(token)

    def trees(self, flat: list[Any]) -> list[Any]:
        """Flat values in the structure of each differentiated argument."""
        trees, start = [], 0
        for count, rebuild in self.rebuilders:
            trees.append(rebuild(flat[start : start + count]))
            start += count
        return trees

    def plain(self, value: Any) -> Any:
        """A result as it is handed out: a Tensor exactly if it is tracked, else an ndarray."""
        if value.__class__ is batching.Lanes:
            return wrap(value, None)
        if not isinstance(value, Tensor):
            return as_array(value)
        if value._data.__class__ is batching.Lanes:
            return value
        return value if value._node is not None and self.tracking else _handed(value._data)

    def arrange(self, flat: list[Any], single: bool) -> Any:
        """Flat results in the structure of the differentiated arguments."""
        trees = self.trees(flat)
        return trees[0] if single else tuple(trees)


class _Reverse(_Call):
    """Reverse mode through the program's own graph, for a function that no level encloses."""

    asked: tuple[list[Any], frozenset[Any]] | None = None

    def run(self, kwargs: dict[str, Any]) -> Any:
        stage = Stage()
        self.aliases = [
            alias(leaf) if leaf._node is not None else wrap(leaf._data, Variable(leaf.shape, leaf.dtype, stage=stage))
            for leaf in self.leaves
        ]
        try:
            with enable_grad():
                return self._with([alias(one) for one in self.aliases], kwargs)
        finally:
            stage.alive = False

    def pull(self, outputs: Sequence[Any], seeds: Sequence[Any], retain: bool = True) -> list[Any]:
        """The gradients at the leaves; zeros where the outputs do not depend on one."""
        reached = [(o, s) for o, s in zip(outputs, seeds, strict=True) if isinstance(o, Tensor) and o._node is not None]
        roots = [o._node for o, _ in reached]
        targets = [one._node for one in self.aliases]
        beyond = self.outside(roots)
        recorded = bool(beyond) or any(levels.tracked(s) for _, s in reached)
        found = gradients_of(
            roots,  # type: ignore[arg-type]
            [seed_for(o, s, recorded) for o, s in reached],
            targets,  # type: ignore[arg-type]
            create_graph=beyond if recorded else False,
            free=not (retain or recorded),
        )
        return [
            self.plain(np.zeros(leaf.shape, leaf.dtype) if g is None else g)
            for g, leaf in zip(found, self.leaves, strict=True)
        ]

    def outside(self, roots: Sequence[Any]) -> frozenset[Any]:
        """What of the graph depends on something tracked besides the leaves: an outer transform's, or closed over."""
        if not self.tracking:
            return frozenset()
        if self.asked is None or self.asked[0] != list(roots):  # asked of one root for its value and its gradient
            self.asked = (list(roots), depends_beyond(roots, [one._node for one in self.aliases]))
        return self.asked[1]

    def shown(self, value: Any) -> Any:
        """A value of the function as this level hands it out."""
        if isinstance(value, Tensor) and value._node is not None and value._node not in self.outside([value._node]):
            return _handed(value._data)
        return self.plain(value)


class _TapeReverse(_Call):
    """Reverse mode with a tape of its own, for a function that some level encloses, and for Jacobians."""

    def run(self, kwargs: dict[str, Any]) -> Any:
        self.level = level = levels.Level(taped=True)
        self.boxes = [levels.taped_leaf(leaf, level) for leaf in self.leaves]
        with levels.entered(level):
            # Not the leaves' own tensors: the function may write into its arguments.
            out = self._with([wrap(box._data, box._node) for box in self.boxes], kwargs)
        self.tape = level.taken()
        return out

    def entry(self, output: Any) -> Any:
        """The place of an output on the tape; None if it is a constant at this level."""
        node = getattr(output, "_node", None)
        return node.entry if isinstance(node, levels.Taped) and node.level is self.level else None

    def pull(self, outputs: Sequence[Any], seeds: Sequence[Any], retain: bool = True) -> list[Any]:
        """As that of :class:`_Reverse`."""
        pairs = []
        for output, seed in zip(outputs, seeds, strict=True):
            entry = self.entry(output)
            if entry is not None:
                pairs.append((entry, seed if batching.is_batched(seed) else seed_for(output, seed, True)))
        found = levels.pull_tape(self.tape, pairs, [box._node.entry for box in self.boxes])
        return [
            g if batching.is_batched(g) else self.plain(np.zeros(leaf.shape, leaf.dtype) if g is None else g)
            for g, leaf in zip(found, self.leaves, strict=True)
        ]

    def push(self, outputs: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        """The tangents of outputs, None for zero."""
        entries = [self.entry(output) for output in outputs]
        return levels.push_tape(self.tape, [box._node.entry for box in self.boxes], tangents, entries)

    def shown(self, value: Any) -> Any:
        """A value of the function as this level hands it out."""
        return self.plain(levels.below(value, self.level)) if isinstance(value, Tensor) else self.plain(value)


def _handed(data: Any) -> Any:
    """A value as an array for the program, which may write into it while the graph lives on."""
    return lend(data) if type(data) is np.ndarray else as_array(data)


def _reverse(name: str, function: Callable[..., Any], argnums: int | Sequence[int], args: Sequence[Any]) -> Any:
    return (_TapeReverse if levels.levels() else _Reverse)(name, function, argnums, args)


def _places(name: str, argnums: Any) -> Sequence[int]:
    places = (argnums,) if isinstance(argnums, (int, np.integer)) else argnums
    if not isinstance(places, (tuple, list, range)) or not all(map(whole, places)):
        raise ArgumentError(
            f"{name}: argnums must be an integer or a tuple of integers, got {argnums!r}"
            + (f"; for a derivative at a point write {name}(f)(x)" if not isinstance(places, (tuple, list)) else "")
        )
    return places


def _plain_leaf(call: Any) -> Callable[[Any], Any]:
    """How auxiliary results are handed out: Tensors as gradients are, everything else untouched."""
    return lambda leaf: call.shown(leaf) if isinstance(leaf, Tensor) else leaf


def _parted(name: str, out: Any, has_aux: bool) -> tuple[Any, Any]:
    """What a function returned: the value, and with ``has_aux`` what stands beside it."""
    if not has_aux:
        return out, None
    if not (isinstance(out, tuple) and len(out) == 2):
        raise ArgumentError(
            f"{name}(has_aux=True): the function must return (value, aux), it returned {type(out).__name__}"
        )
    return out


def _outputs(name: str, out: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of what a function returned, and how they are put together again."""
    outs, rebuild = flatten(out)
    for leaf in outs:
        dtype = leaf.dtype if hasattr(leaf, "dtype") else as_array(leaf).dtype
        if dtype.kind not in "biufc":
            held = type(leaf).__name__
            raise GraphError(
                f"{name}: the function must return arrays or numbers, or trees of these, and gave a {held}"
            )
    return outs, rebuild


def _scalar_output(name: str, out: Any) -> Tensor:
    if not isinstance(out, Tensor):
        if not holds_tensor(out) and np.ndim(out) == 0 and as_array(out).dtype.kind in "biufc":
            out = wrap(as_array(out), None)
            if out.dtype.kind not in "fc" and not isinstance(out._data.item(), bool):
                out = out.astype(float)  # a Python int, as in ``total = 0``
            return _scalar_output(name, out)
        also = "; with has_aux=True it may return (scalar, anything)" if isinstance(out, tuple) else ""
        raise GraphError(f"{name}: the function must return a scalar, it returned a {type(out).__name__}{also}")
    if out.dtype.kind not in "fc":
        raise DTypeError(
            f"{name}: the function returned {out.dtype}, which has no derivative; return a floating-point number"
        )
    if out.ndim != 0:
        raise GraphError(
            f"{name}: the function must return a scalar, it returned shape {out.shape}; sum it, or use jacobian, vjp or"
            " elementwise_grad"
        )
    return out


def value_and_grad(
    f: Callable[..., object], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., tuple[Array, Tree]]:
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
    call = _value_and_grad("value_and_grad", f, argnums, has_aux, holomorphic)
    return Made(call, value_and_grad, f, argnums=argnums, has_aux=has_aux, holomorphic=holomorphic)


def _value_and_grad(
    name: str, f: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool, holomorphic: bool
) -> Callable[..., Any]:
    refuse_unless_callable(name, f)
    _places(name, argnums)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        call = _reverse(name, f, argnums, args)
        out, aux = _parted(name, call.run(kwargs), has_aux)
        value = _scalar_output(name, out)
        if value.dtype.kind == "c" and not holomorphic:
            raise DTypeError(
                f"{name}: the function returned a complex number; return a real one, or pass holomorphic=True if it is"
                " holomorphic"
            )
        if holomorphic and any(leaf.dtype.kind != "c" for leaf in call.leaves):
            raise DTypeError(f"{name}(holomorphic=True): the arguments must be complex")
        shown = call.shown(value)
        others = tree_map(_plain_leaf(call), aux)
        flat = call.pull([value], [None], retain=False)
        result = call.arrange(flat, isinstance(argnums, (int, np.integer)))
        return ((shown, others) if has_aux else shown), result

    return differentiated


def grad(
    f: Callable[..., object], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Tree]:
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

    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, result = both(*args, **kwargs)
        return (result, value[1]) if has_aux else result

    return Made(gradient, grad, f, argnums=argnums, has_aux=has_aux, holomorphic=holomorphic)


def elementwise_grad(f: Callable[..., object], argnums: int = 0, holomorphic: bool = False) -> Callable[..., Array]:
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

    refuse_unless_callable("elementwise_grad", f)
    if not whole(argnums):
        raise ArgumentError(f"elementwise_grad: argnums must be one integer, got {argnums!r}")

    def derivative(*args: Any, **kwargs: Any) -> Any:
        def total(*inner: Any) -> Any:
            out = f(*inner, **kwargs)
            if np.shape(out) != np.shape(inner[argnums]):  # type: ignore[call-overload]
                raise GraphError(
                    f"elementwise_grad: the function returned shape {np.shape(out)} for an argument of shape"  # type: ignore[call-overload]
                    f" {np.shape(inner[argnums])}; it must act elementwise (use jacobian otherwise)"
                )
            return np.sum(out)  # type: ignore[call-overload]

        return _value_and_grad("elementwise_grad", total, argnums, False, holomorphic)(*args)[1]

    return Made(derivative, elementwise_grad, f, argnums=argnums, holomorphic=holomorphic)


@overload
def vjp(
    f: Callable[..., object], *args: TreeLike, has_aux: Literal[False] = ...
) -> tuple[Tree, Callable[[object], tuple[Tree, ...]]]: ...
@overload
def vjp(
    f: Callable[..., object], *args: TreeLike, has_aux: Literal[True]
) -> tuple[Tree, Callable[[object], tuple[Tree, ...]], Tree]: ...
def vjp(f: Callable[..., object], *args: TreeLike, has_aux: bool = False) -> tuple[object, ...]:
    """``f``'s value and its pullback, the linear map from output cotangents to input cotangents.

    Parameters
    ----------
    f : callable
        Returns a Tensor or a tree of Tensors.
    *args
        Arrays or trees of arrays.
    has_aux : bool
        ``f`` returns ``(out, aux)``; the result is then ``(out, pullback, aux)``.

    Returns
    -------
    out : ndarray or tree
    pullback : callable
        ``pullback(cotangent) -> tuple`` of one cotangent per argument; may be called any number of times. Raises
        ArgumentError or ShapeError for a cotangent whose structure or shapes are not the output's.

    Examples
    --------
    >>> import autodiff
    >>> out, pullback = autodiff.vjp(lambda x, y: x * y, 2.0, 5.0)
    >>> pullback(1.0)
    (array(5.), array(2.))
    """
    call = _reverse("vjp", f, range(len(args)), args)
    out, aux = _parted("vjp", call.run({}), has_aux)
    outs, rebuild = _outputs("vjp", out)

    def pullback(cotangent: Any) -> Any:
        seeds = flatten_like(cotangent, out, "vjp: the cotangent")
        for seed, o in zip(seeds, outs, strict=True):
            if _data(seed).shape != _data(o).shape:
                raise ShapeError(
                    f"vjp: a cotangent of shape {_data(seed).shape} for an output of shape {_data(o).shape}"
                )
        return call.arrange(call.pull(outs, seeds), single=False)

    value = rebuild([call.shown(o) for o in outs])
    return (value, pullback, tree_map(_plain_leaf(call), aux)) if has_aux else (value, pullback)


def _directions(name: str, call: _Call, args: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    """The leaves of ``tangents``, each of its argument's shape and dtype."""
    if not isinstance(args, (tuple, list)) or not isinstance(tangents, (tuple, list)) or len(args) != len(tangents):
        raise ArgumentError(f"{name}: args and tangents must be tuples of the same length")
    found = []
    for leaf, given in zip(call.leaves, flatten_like(list(tangents), list(args), f"{name}: tangents"), strict=True):
        tangent = given if levels.tracked(given) else as_array(given._data if isinstance(given, Tensor) else given)
        if tangent.shape != leaf.shape:
            raise ShapeError(f"{name}: a tangent of shape {tangent.shape} for an argument of shape {leaf.shape}")
        if tangent.dtype.kind not in "biufc" or (tangent.dtype.kind == "c" and leaf.dtype.kind != "c"):
            raise DTypeError(f"{name}: a tangent of dtype {tangent.dtype} for an argument of dtype {leaf.dtype}")
        found.append(tangent if tangent.dtype == leaf.dtype else tangent.astype(leaf.dtype))
    return found


def jvp(
    f: Callable[..., object], args: Sequence[object], tangents: Sequence[object], has_aux: bool = False
) -> tuple[Tree, ...]:
    """``f``'s value and its directional derivative ``J t``, in forward mode: in one run and without a graph.

    Parameters
    ----------
    f : callable
        Returns a Tensor or a tree of Tensors.
    args : sequence
        The point: arrays or trees of arrays.
    tangents : sequence
        The direction, of the same structure and shapes.
    has_aux : bool
        ``f`` returns ``(out, aux)``; the result is then ``(out, tangent, aux)``.

    Returns
    -------
    (out, tangent)
        Both of the structure of ``f``'s output. Arrays; a Tensor where one depends on a tracked Tensor.

    Raises
    ------
    ArgumentError, ShapeError
        If ``tangents`` does not match ``args``.
    NotDifferentiableError
        If the derivative does not exist or is not known; the message names the operation.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.jvp(lambda x: x * x, (3.0,), (1.0,))
    (array(9.), array(6.))
    """
    if not isinstance(args, (tuple, list)):
        raise ArgumentError("jvp: args and tangents must be tuples of the same length")
    call = _Call("jvp", f, range(len(args)), args)
    directions = _directions("jvp", call, args, tangents)
    level = levels.Level()
    with levels.entered(level):
        boxed = [levels.boxed_leaf(x, t, level) for x, t in zip(call.leaves, directions, strict=True)]
        out, aux = _parted("jvp", call._with(boxed, {}), has_aux)
    outs, rebuild = _outputs("jvp", out)
    pairs = [levels.unboxed(o, level) for o in outs]
    values = rebuild([call.plain(value) for value, _ in pairs])
    pushed = rebuild([_tangent_out(call, value, tangent) for value, tangent in pairs])
    if not has_aux:
        return values, pushed
    return values, pushed, tree_map(lambda o: call.plain(levels.below(o, level)) if isinstance(o, Tensor) else o, aux)


def _tangent_out(call: _Call, value: Any, tangent: Any) -> Any:
    """A tangent as a transform hands it out, an array of its own; zeros for None."""
    if tangent is None:
        array = _data(value)
        return np.zeros(array.shape, array.dtype if array.dtype.kind in "fc" else float)
    return call.plain(tangent) if levels.tracked(tangent) else as_array(call.plain(tangent), copy=True)


def linearize(f: Callable[..., object], *args: TreeLike) -> tuple[Tree, Callable[..., Tree]]:
    """``f``'s value and its linear approximation, the map from tangents of the arguments to the tangent of the result.

    Parameters
    ----------
    f : callable
        Returns a Tensor or a tree of Tensors.
    *args
        The point: arrays or trees of arrays.

    Returns
    -------
    out : ndarray or tree
    f_jvp : callable
        ``f_jvp(*tangents) -> tangent``, as :func:`jvp`'s second result. ``f`` is not run again: what it computed is
        kept, as for reverse mode.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> out, push = autodiff.linearize(np.sin, 0.0)
    >>> push(1.0), push(2.0)
    (array(1.), array(2.))
    """
    call = _TapeReverse("linearize", f, range(len(args)), args)
    outs, rebuild = _outputs("linearize", call.run({}))
    values = [call.shown(o) for o in outs]

    def push(*tangents: Any) -> Any:
        found = call.push(outs, _directions("linearize", call, args, tangents))
        return rebuild([_tangent_out(call, v, t) for v, t in zip(values, found, strict=True)])

    return rebuild(values), push


def _refuse_complex(name: str, call: _Call, outs: Sequence[Any], holomorphic: bool) -> None:
    """A complex function of complex numbers has a complex derivative only if it is holomorphic; of another, the real
    and imaginary parts have one each.
    """
    if holomorphic and any(leaf.dtype.kind != "c" for leaf in call.leaves):
        raise DTypeError(f"{name}(holomorphic=True): the arguments must be complex")
    from_complex = any(leaf.dtype.kind == "c" for leaf in call.leaves)
    if not holomorphic and from_complex and any(_data(out).dtype.kind == "c" for out in outs):
        raise DTypeError(
            f"{name}: the function returned complex numbers for complex arguments; return np.real(...) and np.imag(...)"
            " of them, or pass holomorphic=True if it is holomorphic"
        )


def _data(value: Any) -> Any:
    return value._data if isinstance(value, Tensor) else value if value.__class__ is batching.Lanes else as_array(value)


def jacobian(
    f: Callable[..., object], argnums: int | Sequence[int] = 0, holomorphic: bool = False, has_aux: bool = False
) -> Callable[..., Tree]:
    """A function that returns the Jacobian of ``f``, by columns or by rows, whichever are fewer.

    Parameters
    ----------
    f : callable
        Returns a Tensor or a tree of Tensors.
    argnums : int or sequence of int
        Which positional arguments to differentiate with respect to.
    holomorphic : bool
        Allow a complex result of complex arguments; the Jacobian then holds complex derivatives. Of real arguments it
        may be complex without.
    has_aux : bool
        ``f`` returns ``(out, aux)``; the result is then ``(jacobian, aux)``.

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
    return _jacobian(jacobian, f, argnums, holomorphic, has_aux, None)


def jacfwd(
    f: Callable[..., object], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Tree]:
    """:func:`jacobian` by columns, all of them pushed forward at once: for functions with few inputs.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.jacfwd(lambda x: x * np.ones(3))(2.0)
    array([1., 1., 1.])
    """
    return _jacobian(jacfwd, f, argnums, holomorphic, has_aux, True)


def jacrev(
    f: Callable[..., object], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Tree]:
    """:func:`jacobian` by rows, all of them pulled back at once: for functions with few outputs.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.jacrev(np.sum)(np.ones(3))
    array([1., 1., 1.])
    """
    return _jacobian(jacrev, f, argnums, holomorphic, has_aux, False)


def _jacobian(
    maker: Callable[..., Any],
    f: Callable[..., Any],
    argnums: int | Sequence[int],
    holomorphic: bool,
    has_aux: bool,
    columns: bool | None,
) -> Callable[..., Any]:
    name = maker.__name__
    refuse_unless_callable(name, f)
    _places(name, argnums)
    function = grad(f, argnums, has_aux=has_aux, holomorphic=holomorphic) if maker is hessian else f

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        call = _TapeReverse(name, function, argnums, args)
        out, aux = _parted(name, call.run(kwargs), has_aux)
        outs, rebuild = _outputs(name, out)
        _refuse_complex(name, call, outs, holomorphic)
        inputs, outputs = sum(leaf.size for leaf in call.leaves), sum(_data(o).size for o in outs)
        by_columns = inputs < outputs if columns is None else columns
        blocks = (_columns if by_columns else _rows)(call, outs, holomorphic)
        single = isinstance(argnums, (int, np.integer))
        result = rebuild([call.arrange(block, single) for block in blocks])
        return (result, tree_map(_plain_leaf(call), aux)) if has_aux else result

    return Made(differentiated, maker, f, argnums=argnums, has_aux=has_aux, holomorphic=holomorphic)


#: Cotangents or tangents per batched pass: enough to spread the cost of the walk, few enough to stay in cache.
_CHUNK = THRESHOLDS["COTANGENTS"].value


def _units(n: int, dtype: Any, shape: tuple[int, ...]) -> list[Any]:
    """The identity matrix of size ``n``, a chunk of its rows at a time, each row of a shape."""
    chunks = []
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        unit = np.zeros((stop - start, n), dtype)
        unit[np.arange(stop - start), np.arange(start, stop)] = 1
        chunks.append(unit.reshape(stop - start, *shape))
    return chunks


def _one_by_one(call: _TapeReverse) -> bool:
    """Whether unit vectors must go one at a time: what is tracked below is no batch of plain arrays."""
    return any(
        levels.tracked(value)
        for entry in call.tape
        if entry.__class__ is levels.Entry
        for value in (entry.out if entry.out.__class__ is tuple else (entry.out,))
    )


def _joined(parts: list[Any], n: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """Rows, plain or tracked, as one value; zeros where there are none."""
    if not parts:
        return np.zeros((n, *shape), dtype)
    return shaping.stack(parts) if any(levels.tracked(part) for part in parts) else np.stack(parts)


def _rows(call: _TapeReverse, outs: Sequence[Any], holomorphic: bool) -> list[list[Any]]:
    """The Jacobian of every output with respect to every leaf, by batched backward passes."""
    single = _one_by_one(call)
    blocks = []
    for out in outs:
        data = _data(out)
        dtype = data.dtype if data.dtype.kind in "fc" else np.dtype(float)
        # Of a complex function of real numbers the real and the imaginary part have a row each (docs/complex.md).
        turns = (1, -1j) if dtype.kind == "c" and not holomorphic else (1,)
        parts: list[list[list[Any]]] = [[[] for _ in call.leaves] for _ in turns]
        for chunk in _units(data.size, dtype, data.shape) if call.entry(out) is not None else ():
            for seed in chunk if single else (batching.Batched(chunk),):
                for turn, rows in zip(turns, parts, strict=True):
                    pulled = call.pull([out], [seed if turn == 1 else seed * turn])
                    for column, g in zip(rows, pulled, strict=True):
                        column.extend(g.array if batching.is_batched(g) else [g] if single else [g] * len(chunk))
        block = []
        for i, leaf in enumerate(call.leaves):
            found = [_joined(rows[i], data.size, leaf.shape, leaf.dtype) for rows in parts]
            made = found[0] if len(found) == 1 else found[0] + 1j * found[1]
            block.append(call.plain(made.reshape(data.shape + leaf.shape)))
        blocks.append(block)
    return blocks


def _columns(call: _TapeReverse, outs: Sequence[Any], holomorphic: bool) -> list[list[Any]]:
    """The Jacobian of every output with respect to every leaf, by batched forward passes."""
    if not _one_by_one(call):
        try:
            return _columns_of(call, outs, holomorphic, False)
        except batching.Unbatchable:
            pass
    return _columns_of(call, outs, holomorphic, True)


def _columns_of(call: _TapeReverse, outs: Sequence[Any], holomorphic: bool, single: bool) -> list[list[Any]]:
    blocks: list[list[Any]] = [[] for _ in outs]
    for place, leaf in enumerate(call.leaves):
        found: list[list[Any]] = [[] for _ in outs]
        complex_to_real = leaf.dtype.kind == "c" and not holomorphic
        for chunk in _units(leaf.size, leaf.dtype, leaf.shape):
            for direction in chunk if single else (batching.Batched(chunk),):
                pushed = _push_unit(call, outs, place, direction)
                if complex_to_real:
                    # d/dRe - i d/dIm, as reverse mode has it (docs/complex.md)
                    turned = _push_unit(call, outs, place, direction * 1j)
                    pushed = [p - 1j * t for p, t in zip(pushed, turned, strict=True)]
                for column, tangent in zip(found, pushed, strict=True):
                    column.extend(tangent.array if batching.is_batched(tangent) else [tangent])
        for block, column, out in zip(blocks, found, outs, strict=True):
            data = _data(out)
            dtype = leaf.dtype if complex_to_real or data.dtype.kind not in "fc" else data.dtype
            made = _joined(column, leaf.size, data.shape, dtype)
            made = shaping.moveaxis(made, 0, -1) if levels.tracked(made) else np.moveaxis(made, 0, -1)
            made = made.reshape(data.shape + leaf.shape)
            kept = data.dtype if data.dtype.kind == "c" else leaf.dtype
            block.append(call.plain(made if made.dtype == kept else made.astype(kept)))
    return blocks


def _push_unit(call: _TapeReverse, outs: Sequence[Any], place: int, direction: Any) -> list[Any]:
    """The tangents of all outputs along a direction (or a batch of them) of one leaf, zeros written out."""
    tangents: list[Any] = [None] * len(call.leaves)
    tangents[place] = direction
    pushed = []
    for out, tangent in zip(outs, call.push(outs, tangents), strict=True):
        if tangent is None:
            data = _data(out)
            zeros = np.zeros(data.shape, data.dtype if data.dtype.kind in "fc" else float)
            if batching.is_batched(direction):
                tangent = batching.Batched(np.zeros((len(direction.array), *zeros.shape), zeros.dtype))
            else:
                tangent = zeros
        pushed.append(tangent)
    return pushed


def hessian(
    f: Callable[..., object], argnums: int | Sequence[int] = 0, holomorphic: bool = False, has_aux: bool = False
) -> Callable[..., Tree]:
    """A function that returns the Hessian of the scalar function ``f``: forward mode over reverse mode.

    Parameters
    ----------
    f, argnums, holomorphic
        As for :func:`grad`.
    has_aux : bool
        ``f`` returns ``(value, aux)``; the result is then ``(hessian, aux)``.

    Returns
    -------
    callable
        Same arguments as ``f``; for one argument of shape ``s`` an array of shape ``s + s``. For trees and several
        arguments as :func:`jacobian` of :func:`grad`.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.hessian(lambda x: x[0] * x[1])(np.array([1.0, 2.0]))
    array([[0., 1.],
           [1., 0.]])
    """
    return _jacobian(hessian, f, argnums, holomorphic, has_aux, True)


def hvp(f: Callable[..., object], args: Sequence[object], vectors: Sequence[object]) -> tuple[Tree, ...]:
    """The product of ``f``'s Hessian with a vector, at the cost of a few gradients and without the Hessian: forward
    mode over reverse mode.

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
    refuse_unless_callable("hvp", f, False)
    if not isinstance(args, (tuple, list)) or not isinstance(vectors, (tuple, list)) or len(args) != len(vectors):
        raise ArgumentError("hvp: args and vectors must be tuples of the same length")
    return jvp(grad(f, tuple(range(len(args)))), args, vectors)[1]  # type: ignore[return-value]


def checkpoint(f: Callable[P, R], *given: Never) -> Callable[P, R]:
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

    if given:
        raise ArgumentError("checkpoint: takes the function alone and gives one; write checkpoint(f)(x)")
    return Made(checkpointed(f), checkpoint, f)  # type: ignore[return-value]
