"""Derivatives of derivatives: a backward pass that is itself recorded.

Rules receive Tensors then, so that NumPy's protocols record what they do. A fused primitive's hand-derived backward
reads residuals that are bare arrays, and recording it would silently treat them as constants; so its *composed
definition* is differentiated instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.core import backward
from autodiff.core.backward import by_rules, gradients_of
from autodiff.core.graph import Node, Variable, topological_order
from autodiff.core.modes import enable_grad
from autodiff.core.op import alias, pick, wrap
from autodiff.reads import ShapeOnly

__all__ = ["depends_beyond"]


def _recorded(node: Node, g: Any, recording: Any) -> Sequence[Any]:
    """What a node's definition sends to each parent, recorded; of a set of entries, as a function of these alone."""
    if node.op.fused:
        return _by_composed_definition(node, node.saved[0], g, recording)
    return by_rules(node, g, _lifted(node, recording))


def _lifted(node: Node, wanted: Any) -> tuple[Any, ...]:
    """``(out, *inputs)`` as Tensors that stand where they stood when the node was recorded.

    Given a set of entries, those that are not among them are constants.
    """

    def lifted(array: Any, entry: Any) -> Any:
        bare = entry is None or array is None or isinstance(array, ShapeOnly)
        return array if bare or (wanted is not True and entry not in wanted) else wrap(array, entry)

    out, *inputs = node.saved
    if not isinstance(out, tuple):
        out = lifted(out, node)
    elif wanted is True or node in wanted:
        out = tuple([wrap(part, pick(node, i)) for i, part in enumerate(out)])
    return out, *[lifted(array, parent) for array, parent in zip(inputs, node.parents, strict=True)]


def _by_composed_definition(node: Node, inputs: Sequence[Any], g: Any, recorded: Any) -> list[Any]:
    """The gradients of the composed definition, recorded, so that they can be differentiated again."""
    places = list(zip(inputs, node.parents, strict=True))

    def stand_in(array: Any, parent: Any) -> Any:
        if parent is None:
            return array
        inside = recorded is True or parent in recorded
        return alias(wrap(array, parent)) if inside else wrap(array, Variable(parent.shape, parent.dtype))

    stand_ins = [stand_in(array, parent) for array, parent in places]
    with enable_grad():
        out = node.op.composed(*stand_ins, **(node.attrs or {}))
    outs, seeds = (out, g) if isinstance(out, tuple) else ((out,), (g,))
    reached = [(o._node, s) for o, s in zip(outs, seeds, strict=True) if getattr(o, "_node", None) is not None]
    wanted = [t._node for t, parent in zip(stand_ins, node.parents, strict=True) if parent is not None]
    roots = [o for o, _ in reached]
    inner = True if recorded is True else depends_beyond(roots, wanted)
    found = iter(gradients_of(roots, [s for _, s in reached], wanted, create_graph=inner, free=False))
    sent = [None if parent is None else next(found) for parent in node.parents]
    # Where the composed definition does not depend on an input, its gradient is zero.
    return [
        wrap(np.zeros_like(array), None) if h is None and parent is not None else h
        for h, (array, parent) in zip(sent, places, strict=True)
    ]


def depends_beyond(roots: Sequence[Any], targets: Sequence[Any]) -> frozenset[Any]:
    """What ``roots`` depend on, and they, that depends on something tracked besides ``targets``: a leaf elsewhere, or
    what a target itself stands for.
    """
    own: set[Any] = set(targets)
    beyond: set[Any] = {entry for entry in own if not isinstance(entry, Variable)}
    entry: Any
    for entry in topological_order(roots, beyond=own):
        if entry.stage.alive if entry.__class__ is Variable else not beyond.isdisjoint(entry.parents):
            beyond.add(entry)
    return frozenset(beyond)


backward.above.recorded = _recorded
