"""Operations that stand for a function run once more: roots, integrals and trajectories have a derivative of their own,
in everything that the function reads, arguments and Tensors that it closes over alike.

The Tensors that a function closes over are found by running it once under a mark: whatever its result leads to that
does not bear the mark was made outside. One node stays, with these as its parents and a ``pullback`` that the
caller derived by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.batching import Batched, Unbatchable
from autodiff.core import backward as engine
from autodiff.core.backward import Pending
from autodiff.core.errors import GraphError
from autodiff.core.graph import GeneralNode, Node, Variable
from autodiff.core.modes import ORDINARY, current_state, state_as

__all__ = ["defined", "gradients_at", "outside", "run_marked", "variable"]


def variable(array: Any) -> Any:
    """A Tensor over ``array`` that is a leaf of a graph of its own."""
    array = np.asarray(array)
    return engine.wrap(array, Variable(array.shape, array.dtype))


def run_marked(function: Callable[..., Any], *args: Any) -> tuple[Any, object]:
    """The function's result with recording on, and the mark that all its nodes bear."""
    mark = object()
    with state_as(replace(current_state() or ORDINARY, mark=mark, grad=True)):
        return function(*args), mark


def outside(roots: Sequence[Any], mark: object, own: set[Any]) -> list[Node | Variable]:
    """The entries without the mark that marked nodes lead to, less the function's own arguments: the tensors that it
    closes over.
    """
    found: dict[Any, None] = {}
    seen = set(roots)
    stack = list(roots)
    while stack:
        entry = stack.pop()
        if entry in own:
            continue
        if isinstance(entry, Variable) or entry.extra("mark") is not mark:
            found[entry] = None
            continue
        for parent in entry.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return list(found)


def gradients_at(outputs: Sequence[Any], seeds: Sequence[Any], targets: Sequence[Any], recording: bool) -> list[Any]:
    """The gradients at nodes, each an input of its own; None where the outputs do not depend on one."""
    reached = [
        (out._node, seed)
        for out, seed in zip(outputs, seeds, strict=True)
        if seed is not None and getattr(out, "_node", None) is not None
    ]
    if not reached:
        return [None] * len(targets)
    return engine.gradients_of(
        [node for node, _ in reached],
        [seed for _, seed in reached],
        targets,
        create_graph=recording,
        free=False,
        cut=True,
    )


class _Defined:
    """The operation of one such node."""

    variadic = False
    fused = False

    def __init__(self, name: str, pullback: Callable[[Any, Any, bool], Sequence[Any]]) -> None:
        self.name = self.label = name
        self.pullback = pullback
        self.inputs: tuple[str, ...] = ()

    def pull(self, node: Node, g: Any, pending: Pending) -> None:
        if node.saved is None:
            raise GraphError(f"the graph through {self.name} was freed; pass retain_graph=True to walk it twice")
        (out,) = node.saved
        if pending.recording:
            out = engine.wrap(out, node)
        try:
            found = list(self.pullback(g, out, pending.recording))
        except Unbatchable:
            rows = [self.pullback(part, out, False) for part in g.array]
            found = [
                None if all(part is None for part in parts) else _stacked(parts) for parts in zip(*rows, strict=True)
            ]
        for parent, gradient in zip(node.parents, found, strict=True):
            if parent is not None and gradient is not None:
                pending.add(parent, engine.fit(gradient, parent, self))


def _stacked(parts: Sequence[Any]) -> Batched:
    some = next(part for part in parts if part is not None)
    return Batched(np.stack([np.zeros_like(some) if part is None else np.asarray(part) for part in parts]))


def defined(name: str, value: Any, parents: Sequence[Any], pullback: Callable[[Any, Any, bool], Sequence[Any]]) -> Any:
    """A Tensor of ``value`` whose gradient ``pullback`` sends to ``parents``.

    Parameters
    ----------
    name : str
    value : ndarray
    parents : sequence of Node or Variable
    pullback : callable
        ``pullback(g, out, recording)`` gives one gradient or None per parent. While recording, ``g`` and ``out`` are
        Tensors and the gradients must be such functions of them and of what the parents stand for.

    Returns
    -------
    Tensor
    """
    value = np.asarray(value)
    state = current_state()
    if not parents or value.dtype.kind not in "fc" or (state is not None and not state.grad):
        return engine.wrap(value, None)
    node = GeneralNode()
    node.op = _Defined(name, pullback)
    node.pull = node.op.pull
    node.g = False
    node.parents = tuple(parents)
    node.saved = (value,)
    node.attrs = None
    node.shape, node.dtype = value.shape, value.dtype
    if state is not None and state.mark is not None:
        node.set_extra("mark", state.mark)
    return engine.wrap(value, node)
