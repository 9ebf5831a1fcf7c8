"""Derivatives of derivatives: a backward pass that is itself recorded.

Rules receive Tensors then, so that NumPy's protocols record what they do. A fused primitive's hand-derived backward
reads residuals that are bare arrays, and recording it would silently treat them as constants; so its *composed
definition* is differentiated instead, or what its gradient is in operations, where that is :func:`stated`.
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

# Fused operation -> the rules of its inputs.
_stated: dict[Any, tuple[Any, ...]] = {}


def stated(op: Any, *rules: Any) -> None:
    """State in operations what a fused one sends to each input, ``rule(g, *inputs, **attrs)``: it saves a recorded pass
    the walk through the composed definition.
    """
    _stated[op] = rules


def _recorded(node: Node, g: Any, recording: Any) -> Sequence[Any]:
    """What a node's definition sends to each parent, recorded; of a set of entries, as a function of these alone."""
    if not node.op.fused:
        return by_rules(node, g, _lifted(node, recording))
    rules = _stated.get(node.op)
    if rules is None:
        return _by_composed_definition(node, node.saved[0], g, recording)
    inputs = [_standing(array, parent, recording) for array, parent in zip(node.saved[0], node.parents, strict=True)]
    attrs = node.attrs or {}
    asked = zip(rules, node.parents, strict=True)
    found = [None if parent is None else rule(g, *inputs, **attrs) for rule, parent in asked]
    return backward.above.zeros(node.op, g, found, rules, inputs, attrs)  # type: ignore[no-any-return]


def _standing(array: Any, entry: Any, wanted: Any) -> Any:
    """An array as a Tensor that stands where it stood when the node was recorded; given a set of entries, as a constant
    unless it is among them.
    """
    bare = entry is None or array is None or isinstance(array, ShapeOnly)
    return array if bare or (wanted is not True and entry not in wanted) else wrap(array, entry)


def _lifted(node: Node, wanted: Any) -> tuple[Any, ...]:
    """``(out, *inputs)``, each :func:`_standing` where it stood."""
    out, *inputs = node.saved
    if not isinstance(out, tuple):
        out = _standing(out, node, wanted)
    elif wanted is True or node in wanted:
        out = tuple([wrap(part, pick(node, i)) for i, part in enumerate(out)])
    return out, *[_standing(array, parent, wanted) for array, parent in zip(inputs, node.parents, strict=True)]


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
