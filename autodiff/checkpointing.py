"""Trading time for memory: a function's intermediate results are dropped and computed again during the backward pass.

What such a call depends on is its tensor arguments and whatever tensors it closes over. The latter are found by running
it once with recording on, under a mark of its own: whatever it reaches that does not bear the mark was made outside.
That recording is dropped at once; a single node stays, whose pull runs the function again on aliases of its arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from autodiff.arguments import refuse_unless_callable
from autodiff.closures import gradients_at, outside, same_again
from autodiff.core.errors import ArgumentError
from autodiff.core.graph import Node, Variable, time
from autodiff.core.modes import ORDINARY, State, current_state, state_as
from autodiff.core.op import Operation, above, alias, hold, hold_argument, pick, wrap
from autodiff.core.pytree import flatten


class _Checkpoint(Operation):
    """The operation of one checkpointed call."""

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], state: State
    ) -> None:
        self.name = self.label = f"checkpoint({getattr(function, '__name__', 'function')})"
        self.function = function
        self.state = state
        leaves, self.rebuild = flatten((args, kwargs))
        # The arguments that a gradient flows to are kept as (array, parent) by the node; the others as they are now.
        self.leaves = [
            wrap(leaf._data, leaf._node) if hasattr(leaf, "_node") else hold_argument(leaf) for leaf in leaves
        ]
        self.made: list[Any] = []
        self.inputs = tuple(f"argument {i}" for i in range(len(leaves)))
        self.places = [i for i, leaf in enumerate(leaves) if getattr(leaf, "_node", None) is not None]

    def run(self, aliases: list[Any], state: State) -> tuple[list[Any], Callable[[list[Any]], Any]]:
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, aliases, strict=True):
            leaves[place] = tensor
        args, kwargs = self.rebuild(leaves)
        with state_as(state):
            return flatten(self.function(*args, **kwargs))

    def pull(self, node: Node, g: Any, recording: Any) -> list[Any]:
        # Of a set of entries, as a function of which the pass is recorded, more is recorded than is asked for: what
        # runs again has nodes of its own.
        recording = recording is not False
        count = len(self.places)
        parents = node.parents
        if recording:
            aliases = [alias(wrap(a, p)) for a, p in zip(node.saved, parents[:count], strict=True)]
        else:
            aliases = [wrap(a, Variable(a.shape, a.dtype)) for a in node.saved]
        outs, _ = self.run(aliases, replace(self.state, grad=True, levels=(current_state() or ORDINARY).levels))
        for made, out in zip(self.made, outs, strict=True):
            same_again(self.name, made, out._data)
        parts = g if isinstance(g, list) else [g]
        return gradients_at(outs, parts, [a._node for a in aliases] + list(parents[count:]), recording)


def checkpointed(function: Callable[..., Any]) -> Callable[..., Any]:
    """See :func:`autodiff.checkpoint`."""
    refuse_unless_callable("checkpoint", function)

    def call(*args: Any, **kwargs: Any) -> Any:
        state = current_state() or ORDINARY
        if not state.grad or state.levels:
            return function(*args, **kwargs)
        op = _Checkpoint(function, args, kwargs, state)
        tensors = [op.leaves[i] for i in op.places]
        aliases = [alias(t) for t in tensors]
        mark = object()
        outs, rebuild = op.run(aliases, replace(op.state, mark=mark))
        roots = [out._node for out in outs if getattr(out, "_node", None) is not None]
        closed_over = outside(roots, mark, {a._node for a in aliases})
        if not roots or not (tensors or closed_over):
            return rebuild(outs)
        for out in outs:
            if not hasattr(out, "_node"):
                raise ArgumentError(f"{op.name}: must return Tensors, returned a {type(out).__name__}")
        op.made = [hold(out._data) if time.lent and above.lent([out]) else out._data for out in outs]
        node = Node(
            op,
            (*(t._node for t in tensors), *closed_over),
            tuple([hold(t._data) if time.lent and above.lent([t]) else t._data for t in tensors]),
            None,
            tuple(out.shape for out in outs),
            tuple(out.dtype for out in outs),
        )
        if op.state.mark is not None:
            node.set_extra("mark", op.state.mark)
        return rebuild(
            [wrap(out._data, pick(node, i) if out._node is not None else None) for i, out in enumerate(outs)]
        )

    return call
