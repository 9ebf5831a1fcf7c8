"""Backpropagation: the walk, accumulation, unbroadcasting and casting, once, for every operation.

A gradient rule returns what the formula says. :func:`fit` sums that to the input's shape and casts it to the input's
dtype, and the walk adds it to what other uses of the same input have sent. Only a leaf's ``grad`` (and a retained one)
outlives the pass.

Ordinarily rules receive bare arrays. With ``create_graph=True`` they receive Tensors, so that NumPy's protocols record
the rule itself and the gradient can be differentiated again (:mod:`autodiff.higher`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from autodiff.core.errors import GraphError, ShapeError
from autodiff.core.graph import Node, Variable, time, topological_order
from autodiff.core.modes import current_state, enable_grad
from autodiff.core.op import lacking, wrap


class Unbatchable(Exception):
    """A batch of cotangents met a rule that needs a plain array: a signal, answered by applying the rule to each."""


class _Above:
    """What modules above this one bind here."""

    walk: Any = None  # walk(roots, seeds, targets, free, cut) does what walk() does; NotImplemented if it cannot (fast)
    recorded: Any = None  # recorded(node, g, recording) is the pull of a pass that is itself recorded (higher.py)
    check: Any = None  # check(entry, g, sent) refuses a NaN born of a finite gradient (watch.py)
    check_unwritten: Any = None  # check_unwritten(node) refuses one that reads what has been written into (writes.py)
    #: ``zeros(op, g, found, rules, saved, attrs)`` makes zero times infinity zero in what the rules found
    #: (zero_times_infinity.py).
    zeros: Any = staticmethod(lambda op, g, found, *again: found)
    #: ``one_by_one(g, apply)`` applies a function to each of a batch of cotangents, None if g is none (batching.py).
    one_by_one: Any = staticmethod(lambda g, apply: None)


above = _Above()


# --- one node -----------------------------------------------------------------------------------------------------


def pull(node: Node, g: Any, recording: Any) -> Sequence[Any]:
    """What a node sends to each of its parents, of the parent's shape and dtype; None where nothing is sent.

    ``g`` is the whole gradient of its output: an array, a Tensor when ``recording``, or for a node with several outputs
    a list of these or None. With ``recording`` the rules' own work is recorded; a set of entries in its place records
    it as a function of these entries alone.
    """
    saved = saved_of(node)
    op = node.op
    if op.pull is not None:
        sent: Sequence[Any] = op.pull(node, g, recording)
        return sent
    if isinstance(g, list):
        facts = zip(g, node.shape, node.dtype, strict=True)
        g = tuple([np.zeros(shape, dtype) if part is None else part for part, shape, dtype in facts])
    if recording is not False:
        found = above.recorded(node, g, recording)
    elif op.fused:
        found = _by_hand(node, g, *saved[1:])
    else:
        found = by_rules(node, g, saved)
    return [None if parent is None else fit(h, parent, op) for parent, h in zip(node.parents, found, strict=True)]


def saved_of(node: Node) -> Any:
    """What a node saved, if it is still there and nobody has written into it."""
    if node.saved is None:
        raise GraphError(
            f"the graph through {node.op.name} was freed by an earlier backward pass; pass retain_graph=True to that "
            "pass to walk the graph twice, or run the computation again"
        )
    if node.stamp < time.written:
        above.check_unwritten(node)
    return node.saved


def by_rules(node: Node, g: Any, saved: Any) -> Sequence[Any]:
    """What the gradient rules of a Primitive send, given ``(out, *inputs)``."""
    op, attrs = node.op, node.attrs or {}

    def apply_rules(part: Any) -> list[Any]:
        wanted = [parent is not None for parent in node.parents]
        rules = op.rules
        if op.variadic:
            (rule,) = rules
            if hasattr(rule, "all_at_once"):  # the same for all inputs, where one by one costs n looks at n of them
                return list(rule.all_at_once(wanted, part, *saved, **attrs))
            rules = [partial(rule, i) for i in range(len(wanted))]
        found = [rule(part, *saved, **attrs) if want else None for rule, want in zip(rules, wanted, strict=True)]
        return above.zeros(op, part, found, rules, saved, attrs)  # type: ignore[no-any-return]

    try:
        return apply_rules(g)
    except Unbatchable:
        found: Sequence[Any] | None = above.one_by_one(g, apply_rules)
        if found is None:
            raise  # lanes of vmap, which answers by running the function once for each
        return found


def _by_hand(node: Node, g: Any, residuals: Any, needs: tuple[bool, ...]) -> Sequence[Any]:
    """A fused primitive's hand-derived backward, which works in place on plain arrays."""
    op = node.op
    g = np.asarray(g) if isinstance(g, np.generic) else g
    rules = [lambda g, i=i: op.backward(g, residuals, needs)[i] for i in range(len(needs))]
    of: Callable[[Any], Any] = lambda part: above.zeros(op, part, op.backward(part, residuals, needs), rules)
    found: Sequence[Any] = above.one_by_one(g, of) or of(g)
    for position, (h, need) in enumerate(zip(found, needs, strict=True)):
        if need and h is None:
            raise lacking(op, position)
    return found


def fit(g: Any, parent: Node | Variable, op: Any) -> Any:
    """Sum ``g`` to the parent's shape and cast it to its dtype.

    Broadcasting repeats an input along the axes that it lacks or has with length one; the transpose of repeating is
    summing, so those axes are summed away.
    """
    if not hasattr(g, "dtype"):
        g = np.asarray(g)
    shape = parent.shape
    if g.shape != shape:
        lead = len(g.shape) - len(shape)
        if lead < 0 or any(n != m and m != 1 for n, m in zip(g.shape[lead:], shape, strict=True)):
            raise ShapeError(
                f"the gradient rule of {op.name} returned shape {g.shape} for an input of shape {shape}; it must return"
                " the input's shape, or that shape broadcast"
            )
        axes = tuple(range(lead)) + tuple(lead + i for i, m in enumerate(shape) if m == 1 and g.shape[lead + i] != 1)
        if axes:
            g = g.sum(axis=axes, keepdims=True)
        if lead:
            g = g.reshape(shape)
    return cast(g, parent.dtype)


def cast(g: Any, dtype: Any) -> Any:
    """A gradient or a tangent in another dtype; a complex one of a real value keeps its real part."""
    if g.dtype is dtype or g.dtype == dtype:
        return g
    if g.dtype.kind == "c" and dtype.kind != "c":
        g = g.real
    return g if g.dtype == dtype else g.astype(dtype)


# --- where gradients arrive ---------------------------------------------------------------------------------------


def added(held: Any, g: Any) -> Any:
    """What has arrived so far, and more; None is nothing, and a list has an entry for each of several outputs."""
    if held is None or g is None:
        return g if held is None else held
    if isinstance(g, list):
        return [added(a, b) for a, b in zip(held, g, strict=True)]
    return held + g


def copied(g: Any) -> Any:
    """A copy to hand out, since several entries may share what a rule sends."""
    return np.array(g) if isinstance(g, np.ndarray | np.generic) else g


def direction(g: Any) -> Any:
    """What rules send turned into what ``.grad`` holds, and back: a complex gradient is conjugated.

    Rules send on ``df/dx - i df/dy``; ``.grad``, hooks and the argument of ``backward`` hold ``df/dx + i df/dy``, so
    that ``p -= lr * p.grad`` descends (docs/complex.md).
    """
    return np.conjugate(g) if g.dtype.kind == "c" else g


def come_to_rest(entry: Any, g: Any, recording: bool) -> None:
    """Add to the ``grad`` of a leaf, or of a node that retains its gradient.

    Not in place: a gradient that was handed out stays what it was.
    """
    leaf = isinstance(entry, Variable)
    if not leaf and not entry.extra("retain"):
        return
    held = entry.grad if leaf else entry.extra("grad")
    g = direction(g)
    if recording:
        g = added(held, g)
    else:
        g = copied(g) if held is None else getattr(held, "_data", held) + g
        g = g if g.shape else copied(g)
    if leaf:
        entry.grad = g
    else:
        entry.set_extra("grad", g)


def through_hooks(entry: Node | Variable, g: Any, recording: bool) -> Any:
    """The whole gradient of an entry after its hooks, which see a Tensor and may return another gradient."""
    hooks = entry.hooks if isinstance(entry, Variable) else entry.extra("hooks", {})
    for hook in list(hooks.values()):
        shown = direction(g)
        found = hook(shown if recording else wrap(np.array(shown), None))  # others may hold the gradient itself
        if found is None:
            continue
        g = found if hasattr(found, "_node") else wrap(np.asarray(found), None)
        if g.shape != entry.shape:
            raise ShapeError(f"a gradient hook returned shape {g.shape} for a gradient of shape {entry.shape}")
        g = direction(cast(g if recording else g.data, entry.dtype))
    return g


# --- the walk -----------------------------------------------------------------------------------------------------


def backpropagate(roots: Sequence[Any], seeds: Sequence[Any], *, create_graph: bool = False, free: bool = True) -> None:
    """Add the gradients of ``sum(<seed, root>)`` to every leaf's ``grad``.

    Seeds have their root's shape and dtype; they are Tensors with ``create_graph``, which records the pass itself.
    ``free`` lets go of the saved arrays as the pass goes by.
    """
    state = current_state()
    if state is not None and state.tracer is not None and create_graph is False:
        state.tracer.backpropagate(roots, seeds, free)
    else:
        _pass(roots, seeds, None, create_graph, free)


def gradients_of(
    roots: Sequence[Any],
    seeds: Sequence[Any],
    targets: Sequence[Any],
    *,
    create_graph: Any = False,
    free: bool = True,
    cut: bool = False,
) -> list[Any]:
    """The gradients of ``sum(<seed, root>)`` at ``targets``, None where it does not depend on one; no ``grad`` is
    touched. With ``cut`` each target is an input of its own: what it sends on to another one is left out.

    ``create_graph`` may be a set of entries: the pass is recorded as a function of these alone.
    """
    state = current_state()
    if state is not None and state.tracer is not None and create_graph is False:
        return state.tracer.gradients_of(roots, seeds, targets, free, cut)  # type: ignore[no-any-return]
    found = _pass(roots, seeds, targets, create_graph, free, cut)
    return [g.to_dense() if hasattr(g, "to_dense") else g for g in map(found.get, targets)]


def _pass(
    roots: Sequence[Any], seeds: Sequence[Any], targets: Any, create_graph: Any, free: bool, cut: bool = False
) -> Any:
    if create_graph is not False:
        with enable_grad():
            return walk(roots, seeds, targets, create_graph, free, cut)
    state = current_state()
    if above.walk is not None and (state is None or not (state.plain or state.anomaly)):
        found = above.walk(roots, seeds, targets, free, cut)
        if found is not NotImplemented:
            return found
    return walk(roots, seeds, targets, False, free, cut)


def walk(
    roots: Sequence[Any],
    seeds: Sequence[Any],
    targets: Sequence[Any] | None = None,
    recording: Any = False,
    free: bool = False,
    cut: bool = False,
    seen: Callable[[Any, Any, Sequence[Any]], None] | None = None,
) -> dict[Any, Any]:
    """One backward pass: from the roots, each node after all that used it.

    Gradients come to rest at all leaves; or, given ``targets``, the gradient of each of these is returned in a dict
    (None where there is none), and only what lies between them and the roots is visited. ``recording`` says whether
    gradients are Tensors and what the rules do is recorded; of a set of entries, as a function of these alone.
    ``seen(entry, g, sent)`` is called at every entry, for pictures, and then no gradient comes to rest.
    The others are as for :func:`backpropagate` and :func:`gradients_of`.
    """
    found: dict[Any, Any] = dict.fromkeys(targets or ())
    order: list[Any] = topological_order(roots, min((target.stamp for target in found), default=0))
    if targets is not None:
        order = leading_to(found, order)
    state = current_state()
    arrived: dict[Any, Any] = {}
    for root, seed in zip(roots, seeds, strict=True):
        arrived[root] = added(arrived.get(root), seed)
    for entry in reversed(order):
        g = arrived.pop(entry, None)
        if g is None:
            continue
        if entry in found and not isinstance(g, list):
            found[entry] = copied(g)
            if cut:
                continue
        leaf = isinstance(entry, Variable)
        if not (leaf and targets is not None) and not isinstance(g, list):
            g = through_hooks(entry, g, recording is not False)
        sent = () if leaf else pull(entry, g, recording)
        for parent, part in zip(entry.parents, sent, strict=True):
            if parent is not None:
                arrived[parent] = added(arrived.get(parent), part)
        if state is not None and state.anomaly:
            above.check(entry, g, sent)
        if seen is not None:
            seen(entry, g, sent)
        elif not (leaf and targets is not None) and not isinstance(g, list):
            come_to_rest(entry, g, recording is not False)
        if free and not leaf:
            entry.saved = None
    return found


def leading_to(targets: Any, order: Sequence[Any]) -> list[Any]:
    """What of an order leads to a target: only that is worth a visit. Parents come first, so one sweep finds it."""
    leads = set(targets)
    useful = []
    for entry in order:
        if entry in leads or not leads.isdisjoint(entry.parents):
            leads.add(entry)
            useful.append(entry)
    return useful
