"""Operations that stand for a function run once more: roots, integrals and trajectories have a derivative of their own,
in everything that the function reads, arguments and Tensors that it closes over alike.

The Tensors that a function closes over are found by running it once under a mark: whatever its result leads to that
does not bear the mark was made outside. One node stays, with these as its parents and a ``pullback`` that the
caller derived by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from autodiff import levels
from autodiff.batching import Batched, Unbatchable
from autodiff.core.backward import fit, gradients_of
from autodiff.core.errors import GraphError
from autodiff.core.graph import Node, Variable, tick
from autodiff.core.modes import ORDINARY, State, current_state, state_as
from autodiff.core.op import Operation, apply, wrap
from autodiff.core.pytree import tree_map

F = TypeVar("F", bound=Callable[..., Any])


def variable(array: Any) -> Any:
    """A Tensor over ``array`` that is a leaf of a graph of its own."""
    array = np.asarray(array)
    return wrap(array, Variable(array.shape, array.dtype))


def run_marked(function: Callable[..., Any], *args: Any) -> tuple[Any, object]:
    """The function's result with recording on, and the mark that all its nodes bear."""
    mark = object()
    with state_as(replace(current_state() or ORDINARY, mark=mark, grad=True)):
        return function(*args), mark


def run_recorded(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The function's result with recording on."""
    state = current_state()
    if state is None or state.grad:
        return function(*args, **kwargs)
    with state_as(replace(state, grad=True)):
        return function(*args, **kwargs)


def same_again(name: str, before: Any, after: Any, rounding: float | None = None) -> None:
    """Refuse a backward pass whose function, run once more, gives other values than it gave before.

    Parameters
    ----------
    name : str
        Of the operation, for the message.
    before, after : ndarray
    rounding : float, optional
        What may differ, relative to the largest element: rounding may depend on where arrays lie in memory.

    Raises
    ------
    GraphError
    """
    if not issubclass(type(before), np.ndarray | np.generic) or not issubclass(type(after), np.ndarray | np.generic):
        return  # of lanes, or under autodiff.jit, whose functions are pure by contract
    a, b = np.asarray(before), np.asarray(after)
    same = a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if not same and a.shape == b.shape and a.dtype.kind in "fc":
        near = np.finfo(a.dtype).eps ** 0.6 if rounding is None else rounding
        size = np.abs(a[np.isfinite(a)]).max(initial=0)
        same = np.allclose(a, b, rtol=near, atol=near * size, equal_nan=True)
    if not same:
        raise GraphError(
            f"{name}: run again for the backward pass it gave other values. Something that it reads has been changed"
            " since, or it draws random numbers by itself; pass that as an argument"
        )


def strangers(outputs: Sequence[Any], known: set[Any]) -> bool:
    """Whether outputs depend on a leaf that is not known, other than through what is known."""
    roots = {out._node for out in outputs if getattr(out, "_node", None) is not None}
    return bool(_first(roots, known, lambda entry: False))


def _first(roots: Iterable[Any], own: set[Any], ends: Callable[[Any], bool]) -> list[Node | Variable]:
    """The leaves that roots lead to, and the nodes that are such ends; what is ``own`` is passed over."""
    found: dict[Any, None] = {}
    stack = list(roots)
    seen = set(stack)
    while stack:
        entry = stack.pop()
        if entry in own:
            continue
        if isinstance(entry, Variable) or ends(entry):
            found[entry] = None
            continue
        for parent in entry.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return list(found)


def outside(roots: Sequence[Any], mark: object, own: set[Any]) -> list[Node | Variable]:
    """The entries without the mark that marked nodes lead to, less the function's own arguments: the tensors that it
    closes over.
    """
    return _first(roots, own, lambda entry: entry.extra("mark") is not mark)


def gradients_at(outputs: Sequence[Any], seeds: Sequence[Any], targets: Sequence[Any], recording: bool) -> list[Any]:
    """The gradients at nodes, each an input of its own; None where the outputs do not depend on one."""
    reached = [
        (out._node, seed)
        for out, seed in zip(outputs, seeds, strict=True)
        if seed is not None and getattr(out, "_node", None) is not None
    ]
    if not reached:
        return [None] * len(targets)
    return gradients_of(
        [node for node, _ in reached],
        [seed for _, seed in reached],
        targets,
        create_graph=recording,
        free=False,
        cut=True,
    )


class Along(frozenset[Any]):
    """What a pass is recorded as a function of, where that is its cotangent alone: in it the pass is linear."""


class _Defined(Operation):
    """The operation of one such node."""

    def __init__(self, name: str, pullback: Callable[[Any, Any, bool], Sequence[Any]], tangent: Any) -> None:
        self.name = self.label = name
        self.pullback, self.tangent = pullback, tangent
        self.inputs: tuple[str, ...] = ()

    def pull(self, node: Node, g: Any, recording: Any) -> list[Any]:
        (out,) = node.saved
        if isinstance(recording, Along) and self.tangent is not None and out.dtype.kind == "f":
            return self._along(node, g, out)
        # Of a set of entries, as a function of which the pass is recorded, more is recorded than is asked for.
        recording = recording is not False
        if recording:
            out = wrap(out, node)
        try:
            found = list(self.pullback(g, out, recording))
        except Unbatchable:
            rows = [self.pullback(part, out, False) for part in g.array]
            found = [
                None if all(part is None for part in parts) else _stacked(parts) for parts in zip(*rows, strict=True)
            ]
        return [
            None if parent is None or gradient is None else fit(gradient, parent, self)
            for parent, gradient in zip(node.parents, found, strict=True)
        ]

    def _along(self, node: Node, g: Any, out: Any) -> list[Any]:
        """The gradients as linear functions of the cotangent, whose own pullback is the tangent."""
        found = [
            None if parent is None or part is None else np.asarray(fit(part, parent, self))
            for parent, part in zip(node.parents, self.pullback(g._data, out, False), strict=True)
        ]
        shapes = [None if part is None else np.shape(part) for part in found]
        ends = np.cumsum([0, *(0 if part is None else np.size(part) for part in found)]).tolist()

        def pullback(t: Any, _: Any, recording: bool) -> list[Any]:
            if isinstance(t, Batched):
                raise Unbatchable
            t = getattr(t, "_data", t)
            places = zip(ends, ends[1:], shapes, strict=False)
            return [self.tangent([None if s is None else t[i:j].reshape(s) for i, j, s in places])]

        parts = [np.ravel(part) for part in found if part is not None]
        whole = defined(self.name, np.concatenate([np.zeros(0), *parts]), [g._node], pullback)
        return [
            None if part is None else whole[i:j].reshape(part.shape).astype(part.dtype)
            for i, j, part in zip(ends, ends[1:], found, strict=False)
        ]


def _stacked(parts: Sequence[Any]) -> Batched:
    some = next(part for part in parts if part is not None)
    return Batched(np.stack([np.zeros_like(some) if part is None else np.asarray(part) for part in parts]))


def defined(
    name: str,
    value: Any,
    parents: Sequence[Any],
    pullback: Callable[[Any, Any, bool], Sequence[Any]],
    tangent: Callable[[Sequence[Any]], Any] | None = None,
) -> Any:
    """A Tensor of ``value`` whose gradient ``pullback`` sends to ``parents``.

    Parameters
    ----------
    name : str
    value : ndarray
    parents : sequence of Node or Variable
    pullback : callable
        ``pullback(g, out, recording)`` gives one gradient or None per parent. While recording, ``g`` and ``out`` are
        Tensors and the gradients must be such functions of them and of what the parents stand for.
    tangent : callable, optional
        ``tangent(tangents)`` of one array or None per parent gives the value's: forward mode without a recorded
        pullback.

    Returns
    -------
    Tensor
    """
    value = np.asarray(value)
    state = current_state()
    if any(isinstance(parent, levels.Box) and parent.level.alive for parent in parents):
        raise GraphError(f"{name}: call it through autodiff.closures.at_levels, so that forward mode can follow it")
    if not parents or value.dtype.kind not in "fc" or (state is not None and not state.grad):
        return wrap(value, None)
    node = Node(_Defined(name, pullback, tangent), tuple(parents), (value,), None, value.shape, value.dtype)
    if state is not None and state.mark is not None:
        node.set_extra("mark", state.mark)
    return wrap(value, node)


# --- inside transforms with values of their own ---------------------------------------------------------------------


class _Collector:
    """Gives every value of an enclosing level a leaf in its place, once."""

    def __init__(self, around: _Collector | None = None) -> None:
        self.around = around  # of the function that calls this one
        self.depth = levels.levels()
        # Weak, and the values apart: what is made of them refers to this collector.
        self.table: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self.fresh: list[tuple[Any, Any]] = []

    def taken(self) -> tuple[list[Any], list[Any]]:
        """The values met since this was last asked, and their leaves."""
        fresh, self.fresh = self.fresh, []
        return [value for value, _ in fresh], [leaf for _, leaf in fresh]

    def leaf(self, value: Any) -> Any:
        """The leaf for a boxed Tensor; anything else as it is."""
        node = getattr(value, "_node", None)
        if not isinstance(node, levels.Box) or isinstance(node.level, levels.Probe):
            return value
        if node not in self.table:
            if not node.level.alive or node.level.depth > self.depth:
                # A pullback calls the function around again, which knows a leaf for values of levels that have ended.
                return value if self.around is None else self.around.leaf(value)
            self.table[node] = variable(value._data)
            self.fresh.append((value, self.table[node]))
        return self.table[node]  # also when its level has ended and a pullback calls the function again

    def state(self) -> State:
        """The present state, with this collector at work."""
        state = current_state() or ORDINARY
        return replace(state, collector=self, grad=True, levels=max(state.levels, self.depth))


class _Lifted(Operation):
    """The operation that takes values of enclosing levels to what was computed from the leaves in their place."""

    def __init__(self, name: str, result: Any, leaves: Sequence[Any], collector: _Collector) -> None:
        self.name = self.label = name
        self.result, self.leaves, self.collector = result, leaves, collector
        self.inputs = tuple(f"input {i}" for i in range(len(leaves)))

    def run(self, arrays: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, None]:
        return self.result._data, None

    def keep(self, arrays: Sequence[Any], parents: Sequence[Any], out: Any, kept: None) -> tuple[Any, ...]:
        return (out, *arrays)

    def push(self, tangents: Sequence[Any], out: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
        """The tangent: the gradients at all leaves, as linear functions of a cotangent, pulled back themselves."""
        places = [i for i, t in enumerate(tangents) if t is not None]
        along = [tangents[i] for i in places]
        if any(isinstance(t, Batched) for t in along):
            raise Unbatchable
        tracked = any(hasattr(x, "_node") for x in (*along, *inputs))
        seed = variable(np.zeros(self.result.shape, self.result.dtype))
        leaves = [self.leaves[i]._node for i in places]
        with state_as(self.collector.state()):
            kept = True if tracked else Along((seed._node,))
            pulled = gradients_of([self.result._node], [seed], leaves, create_graph=kept, free=False, cut=True)
            live = [(p, t) for p, t in zip(pulled, along, strict=True) if getattr(p, "_node", None) is not None]
            if not live:
                self.collector.fresh.clear()
                return None
            if not tracked:
                roots, cotangents = [p._node for p, _ in live], [np.asarray(t, p.dtype) for p, t in live]
                return gradients_of(roots, cotangents, [seed._node], free=False)[0]
        values, more = self.collector.taken()
        given, total = [*inputs, *values, np.zeros(seed.shape, seed.dtype)], None
        for part, t in live:
            op = _Lifted(f"gradient of {self.name}", part, [*self.leaves, *more, seed], self.collector)
            moved = op._rule(len(given) - 1)(t, part, *given)
            total = moved if total is None else total + moved
        return total

    @property
    def rules(self) -> tuple[Callable[..., Any], ...]:
        """One per leaf; made anew, since kept they would be a reference cycle."""
        return tuple(self._rule(i) for i in range(len(self.leaves)))

    def _rule(self, i: int) -> Callable[..., Any]:
        def rule(g: Any, out: Any, *inputs: Any) -> Any:
            leaf = self.leaves[i]
            recorded = hasattr(g, "_node") or any(hasattr(x, "_node") for x in inputs)
            if not recorded:
                with state_as(self.collector.state()):  # a pullback may run the function again
                    (found,) = gradients_of([self.result._node], [g], [leaf._node], free=False, cut=True)
                return np.zeros(leaf.shape, leaf.dtype) if found is None else found
            # As a function of the same leaves, and of one more in the cotangent's place.
            seed = variable(np.asarray(getattr(g, "_data", g), self.result.dtype))
            with state_as(self.collector.state()):
                (found,) = gradients_of(
                    [self.result._node], [seed], [leaf._node], create_graph=True, free=False, cut=True
                )
            if found is None:
                self.collector.fresh.clear()
                return np.zeros(leaf.shape, leaf.dtype)
            # What the function closes over may by now be a value of a lower level, with a leaf of its own.
            values, leaves = self.collector.taken()
            op = _Lifted(f"gradient of {self.name}", found, [*self.leaves, *leaves, seed], self.collector)
            return apply(op, [*inputs, *values, g], {})  # type: ignore[arg-type]

        return rule


def _older(root: Any, start: int, own: set[Any]) -> list[Any]:
    """What a result depends on of the graph outside of all transforms, as Tensors whose numbers nobody reads."""
    older = _first([root], own, lambda entry: bool(entry.stamp < start))
    return [wrap(np.broadcast_to(np.zeros((), entry.dtype), entry.shape), entry) for entry in older]


def at_levels(function: F) -> F:
    """Decorator for a function that leaves nodes of its own behind: it runs on leaves in the place of the values of
    enclosing levels (tangents, tapes), arguments or closed over, and its results are functions of those values.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        state = current_state() or ORDINARY
        if not state.levels:
            return function(*args, **kwargs)
        collector, start = _Collector(state.collector), tick()
        with state_as(replace(state, collector=collector)):
            args, kwargs = tree_map(collector.leaf, (args, kwargs))
            out = function(*args, **kwargs)
        values, leaves = collector.taken()

        def lifted(result: Any) -> Any:
            if getattr(result, "_node", None) is None or not values:
                return result
            older = _older(result._node, start, {leaf._node for leaf in leaves})
            op = _Lifted(function.__name__, result, [*leaves, *older], collector)
            return apply(op, [*values, *older], {})  # type: ignore[arg-type]

        return tree_map(lifted, out)

    return call  # type: ignore[return-value]
