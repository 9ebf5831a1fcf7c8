"""Functions with a derivative of the user's own: JAX's ``custom_vjp`` and ``custom_jvp``.

Both are operations on trees. Called on plain values they run the function. Where an argument is tracked, every leaf of
the arguments becomes an input of one operation, whose rule is the user's: rules run on values as the level below sees
them, so derivatives of derivatives, ``jvp`` and ``vmap`` go through them in their turn.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any, TypeVar

import numpy as np

from autodiff import levels
from autodiff.arguments import refuse_unless_callable
from autodiff.containers import as_array
from autodiff.core import backward
from autodiff.core.backward import Unbatchable
from autodiff.core.errors import ArgumentError, DTypeError, GraphError, NotDifferentiableError, ShapeError
from autodiff.core.forward import bare_of
from autodiff.core.op import Operation, apply, hold, wrap
from autodiff.core.pytree import flatten
from autodiff.decorators import name_of
from autodiff.tensor import Tensor
from autodiff.trees import flatten_like

__all__ = ["custom_jvp", "custom_vjp"]

F = TypeVar("F", bound=Callable[..., object])


class _Rule(Operation):
    """One call of such a function as an operation: its leaves are the inputs, its output's leaves the outputs.

    Subclasses say what the function is at a point and what its derivative is.
    """

    fused = variadic = elementwise = False
    tangents: Any = None

    rules: Any = ()
    rebuild_out: Callable[[list[Any]], Any]

    def bare(self, out: Any) -> tuple[Any, ...]:
        """The arrays of what the function returned for plain arguments."""
        outs, self.rebuild_out = flatten(out)
        if any(levels.tracked(o) for o in outs):
            raise GraphError(
                f"{self.name}: it closes over a tensor that is differentiated, which its rule cannot reach; pass that"
                " tensor as an argument, or through autodiff.constant(...)"
            )
        return tuple(as_array(bare_of(o)) for o in outs)

    def pulled(self, g: Any, leaves: Sequence[Any]) -> list[Any]:
        """The gradients of all leaves, given those of all outputs."""
        raise NotImplementedError

    def pull(self, node: Any, g: Any, recording: Any) -> list[Any]:
        """One call of the user's rule for all inputs."""
        leaves = [
            wrap(array, parent)
            if parent is not None and (recording is True or (recording is not False and parent in recording))
            else array
            for array, parent in zip(backward.saved_of(node), node.parents, strict=True)
        ]
        if isinstance(g, list):
            facts = zip(g, node.shape, node.dtype, strict=True)
            g = tuple(np.zeros(shape, dtype) if part is None else part for part, shape, dtype in facts)
        try:
            gradients = self.pulled(g, leaves)
        except Unbatchable:
            gradients = backward.above.one_by_one(g, lambda part: self.pulled(part, leaves))
            if gradients is None:
                raise
        return [
            None if parent is None else backward.fit(h, parent, self)
            for parent, h in zip(node.parents, gradients, strict=True)
        ]

    def __init__(self, custom: Any, constants: Any, moving: Any, arguments: Any, count: int) -> None:
        self.custom = self.kin = custom
        self.name = self.label = custom.fun.__name__
        self.function = custom.fun
        self.constants, self.moving, self.arguments = constants, moving, arguments
        self.inputs = tuple(f"leaf {i}" for i in range(count))
        self.rebuild_out = lambda leaves: leaves

    def keep(self, arrays: Sequence[Any], parents: Sequence[Any], out: Any, kept: None) -> tuple[Any, ...]:
        return tuple(arrays)

    def __call__(self, leaves: Sequence[Any]) -> Any:
        outs = apply(self, leaves, {})  # type: ignore[arg-type]
        return self.rebuild_out(list(outs))


def _tensor(value: Any) -> Any:
    return value if isinstance(value, Tensor) else wrap(as_array(value), None)


def _own(tree: Any) -> Any:
    """A tree with what the program may write into before a backward pass copied."""
    leaves, rebuild = flatten(tree)
    return rebuild([_copied(leaf) for leaf in leaves])


def _copied(leaf: Any) -> Any:
    if isinstance(leaf, Tensor) and type(leaf._data) is np.ndarray:
        return wrap(hold(leaf._data), leaf._node)
    return hold(leaf) if type(leaf) is np.ndarray else leaf


def _constant(value: Any) -> Any:
    """The array of a Tensor that is not tracked."""
    return value._data if isinstance(value, Tensor) and value._node is None else value


def _fitting(made: Any, like: Any, words: str, what: str) -> Any:
    """What a user's rule made, of the shape that it must have."""
    shape, wanted = np.shape(bare_of(made)), np.shape(bare_of(like))
    if shape != wanted:
        raise ShapeError(f"{words} of shape {shape} for {what} of shape {wanted}")
    return _constant(made)


def _number_of(value: Any) -> Any:
    """Whether a leaf is something that an operation can take."""
    numbers = isinstance(value, (Tensor, np.ndarray, np.generic, float, complex, int)) and not isinstance(value, bool)
    return numbers or levels.tracked(value)


class _Custom:
    """What the two have in common: the function, which arguments are constants, and how a call becomes an operation."""

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        refuse_unless_callable(type(self).__name__, fun)
        self.fun = fun
        self.nondiff_argnums = (
            (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(int(i) for i in nondiff_argnums)
        )
        update_wrapper(self, fun)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else lambda *args, **kwargs: self(instance, *args, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return name_of(self) or super().__reduce_ex__(protocol)

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments by position, as the rules take them."""
        if not kwargs:
            return args
        try:
            bound = inspect.signature(self.fun).bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{self.fun.__name__}: {error}") from error
        bound.apply_defaults()
        if bound.kwargs:
            raise ArgumentError(
                f"{self.fun.__name__}: keyword-only arguments {list(bound.kwargs)} cannot be passed to its rules; make"
                " them positional"
            )
        return bound.args

    def _split(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        places = {i % len(args) for i in self.nondiff_argnums} if args else set()
        constants = tuple(a for i, a in enumerate(args) if i in places)
        return constants, tuple(a for i, a in enumerate(args) if i not in places)

    def _joined(self, constants: Sequence[Any], moving: Sequence[Any]) -> tuple[Any, ...]:
        count = len(constants) + len(moving)
        places = {i % count for i in self.nondiff_argnums} if count else set()
        first, second = iter(constants), iter(moving)
        return tuple(next(first) if i in places else next(second) for i in range(count))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = self._bound(args, kwargs)
        constants, moving = self._split(args)
        leaves, rebuild = flatten(moving)
        if not any(levels.tracked(leaf) for leaf in leaves):
            return self.fun(*args)
        places = [i for i, leaf in enumerate(leaves) if _number_of(leaf)]

        def arguments(values: Sequence[Any]) -> tuple[Any, ...]:
            full = list(rest)
            for place, value in zip(places, values, strict=True):
                full[place] = value
            return rebuild(full)  # type: ignore[no-any-return]

        given = [leaves[i] for i in places]
        # What the operation keeps are arrays: tensors would lead back to it.
        rest = [None if i in set(places) else leaf for i, leaf in enumerate(leaves)]
        constants = _own(constants)
        bare = rebuild(list(map(bare_of, leaves)))
        del leaves, moving
        return self._operation(constants, bare, arguments, len(places))(given)

    def _operation(self, constants: Any, moving: Any, arguments: Any, count: int) -> _Rule:
        raise NotImplementedError


class custom_vjp(_Custom):
    """A function with a reverse-mode rule of the user's own, as ``jax.custom_vjp``.

    Parameters
    ----------
    fun : callable
        Its arguments and its result may be trees.
    nondiff_argnums : sequence of int
        Arguments that are constants; they are passed to ``bwd`` first.

    Notes
    -----
    ``defvjp(fwd, bwd)`` states the rule: ``fwd(*args) -> (out, residuals)``, and ``bwd(*nondiff, residuals,
    cotangent)``, which returns a tuple with one cotangent per differentiated argument (None for zero). The rule is all
    that is known: forward mode refuses the function, and a tracked tensor that it closes over is refused.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> @autodiff.custom_vjp
    ... def clipped(x):
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda _, g: (np.clip(g, -1.0, 1.0),))
    >>> autodiff.grad(lambda x: 5.0 * clipped(x))(2.0)
    array(1.)
    """

    fwd: Callable[..., Any] | None = None
    bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., object], bwd: Callable[..., object]) -> None:
        """State the rule; see the class."""
        self.fwd, self.bwd = fwd, bwd

    def _operation(self, constants: Any, moving: Any, arguments: Any, count: int) -> _Rule:
        if self.fwd is None or self.bwd is None:
            raise ArgumentError(f"{self.fun.__name__}: state its rule first, with .defvjp(fwd, bwd)")
        return _VjpRule(self, constants, moving, arguments, count)


class _VjpRule(_Rule):
    _known: tuple[tuple[Any, ...], Any] | None = None

    def _call(self, leaves: Sequence[Any]) -> Any:
        assert self.custom.fwd is not None
        result = self.custom.fwd(*self.custom._joined(self.constants, self.arguments(leaves)))
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ArgumentError(f"{self.name}: fwd must return (out, residuals), it returned {type(result).__name__}")
        return result

    def run(self, arrays: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, None]:
        out, residuals = self._call([_tensor(a) for a in arrays])
        self._known = (tuple(arrays), _own(residuals))
        return self.bare(out), None

    def run_below(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """The value as ``fwd`` computes it."""
        out, residuals = self._call([_tensor(leaf) for leaf in leaves])
        self._known = (tuple(leaves), _own(residuals))
        outs, self.rebuild_out = flatten(out)
        return tuple(_tensor(o) for o in outs)

    def push(self, tangents: Sequence[Any], out: Any, leaves: Sequence[Any], attrs: Any = None) -> Any:
        """Forward mode does not know the function; whoever uses its tangent is told so."""
        return tuple(
            NotDifferentiableError(
                f"{self.name} has a rule for reverse mode alone (custom_vjp), and forward mode asks for its tangent;"
                " use grad, vjp or jacrev, or state the function's rule with custom_jvp"
            )
            for _ in out
        )

    def pulled(self, g: Any, leaves: Sequence[Any]) -> list[Any]:
        assert self.custom.bwd is not None
        known, self._known = self._known, None
        if known is not None and all(a is b for a, b in zip(known[0], leaves, strict=True)):
            residuals = known[1]
        else:
            _, residuals = self._call([_tensor(leaf) for leaf in leaves])
        cotangent = self.rebuild_out([_tensor(part) for part in g])
        found = self.custom.bwd(*self.constants, residuals, cotangent)
        if not isinstance(found, (tuple, list)) or len(found) != len(self.moving):
            raise ArgumentError(
                f"{self.name}: bwd must return a tuple of {len(self.moving)} cotangents, one per argument that is"
                f" differentiated; it returned {type(found).__name__}"
                + (f" of {len(found)}" if isinstance(found, (tuple, list)) else "")
            )
        gradients: list[Any] = []
        for gradient, argument in zip(found, self.moving, strict=True):
            if gradient is None:
                gradients += [np.zeros_like(bare_of(x)) if _number_of(x) else None for x in flatten(argument)[0]]
            else:
                gradients += flatten_like(gradient, argument, f"{self.name}: a cotangent of bwd")
        pairs = [(h, x) for h, x in zip(gradients, flatten(self.moving)[0], strict=True) if _number_of(x)]
        return [_fitting(h, x, f"{self.name}: bwd returned a cotangent", "an argument") for h, x in pairs]


class custom_jvp(_Custom):
    """A function with a derivative of the user's own that serves both modes, as ``jax.custom_jvp``.

    Parameters
    ----------
    fun : callable
        Its arguments and its result may be trees.
    nondiff_argnums : sequence of int
        Arguments that are constants; they are passed to the rule first.

    Notes
    -----
    ``@f.defjvp`` states the rule, ``rule(*nondiff, primals, tangents) -> (out, tangent)``; it must be linear in the
    tangents, which reverse mode transposes. ``f.defjvps(*rules)`` states one per argument, ``rule(tangent, out,
    *primals)``, or None where the derivative is zero.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> @autodiff.custom_jvp
    ... def log1pexp(x):
    ...     return np.log(1.0 + np.exp(x))
    >>> log1pexp.defjvps(lambda t, out, x: t / (1.0 + np.exp(-x)))
    >>> autodiff.grad(log1pexp)(0.0), autodiff.jvp(log1pexp, (0.0,), (2.0,))[1]
    (array(0.5), array(1.))
    """

    rule: Callable[..., Any] | None = None

    def defjvp(self, jvp: F, symbolic_zeros: bool = False) -> F:
        """State the rule, as a decorator; see the class."""
        if symbolic_zeros:
            raise ArgumentError(f"{self.fun.__name__}: symbolic_zeros is not supported; tangents of zero are arrays")
        self.rule = jvp
        return jvp

    def defjvps(self, *jvps: Callable[..., object] | None) -> None:
        """State a rule per argument; see the class."""
        if self.nondiff_argnums:
            raise ArgumentError(f"{self.fun.__name__}: use defjvp with nondiff_argnums")

        def rule(primals: Any, tangents: Any) -> Any:
            out = self(*primals)
            total: Any = None
            for one, t in zip(jvps, tangents, strict=True):
                if one is not None:
                    part = one(t, out, *primals)
                    total = part if total is None else total + part
            return out, np.zeros(np.shape(out)) if total is None else total

        self.rule = rule

    def _operation(self, constants: Any, moving: Any, arguments: Any, count: int) -> _Rule:
        if self.rule is None:
            raise ArgumentError(f"{self.fun.__name__}: state its rule first, with .defjvp or .defjvps")
        return _JvpRule(self, constants, moving, arguments, count)


class _JvpRule(_Rule):
    def run(self, arrays: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, None]:
        leaves = self.arguments([_tensor(a) for a in arrays])
        return self.bare(self.function(*self.custom._joined(self.constants, leaves))), None

    def push(self, tangents: Sequence[Any], out: Any, leaves: Sequence[Any], attrs: Any = None) -> Any:
        """The tangents of the output's leaves."""
        assert self.custom.rule is not None
        full = [np.zeros_like(bare_of(x)) if t is None else t for t, x in zip(tangents, leaves, strict=True)]
        primals = self.arguments([_tensor(x) for x in leaves])
        result = self.custom.rule(*self.constants, primals, self.arguments([_tensor(t) for t in full]))
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ArgumentError(f"{self.name}: the rule must return (out, tangent)")
        found = flatten_like(result[1], self.rebuild_out(list(out)), f"{self.name}: the rule's tangent")
        words = f"{self.name}: the rule returned a tangent"
        return tuple(_fitting(t, o, words, "an output") for t, o in zip(found, out, strict=True))

    def pulled(self, g: Any, leaves: Sequence[Any]) -> list[Any]:
        """The rule is linear in the tangents: its pullback at any of them, zeros say, is its transpose."""
        level = levels.Level(taped=True)
        with levels.entered(level):
            zeros = [np.zeros_like(bare_of(x)) for x in leaves]
            if any(z.dtype.kind not in "fc" for z in zeros):
                raise DTypeError(f"{self.name}: an argument holds integers, which have no tangents; pass floats")
            boxes = [levels.taped_leaf(z, level) for z in zeros]
            found = self.push(boxes, [_tensor(np.zeros(np.shape(part))) for part in g], leaves)
        seeds = [
            (part._node.entry, g[i])
            for i, part in enumerate(found)
            if isinstance(getattr(part, "_node", None), levels.Taped) and part._node.level is level
        ]
        pulled = levels.pull_tape(level.taken(), seeds, [box._node.entry for box in boxes])
        return [z if p is None else _constant(p) for z, p in zip(zeros, pulled, strict=True)]
