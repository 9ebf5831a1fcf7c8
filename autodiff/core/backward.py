"""Backpropagation: the walk, accumulation, unbroadcasting and casting, once, for every operation.

A gradient rule returns what the formula says. This module sums that to the input's shape, casts it to the input's
dtype, and adds it to what other uses of the same input have sent. Only a leaf's ``grad`` (and a retained one) outlives
the pass.

A pass runs in one of two ways. Ordinarily it has all graphs to itself: rules receive bare arrays, gradients on their
way stand on the nodes (:class:`OnNodes`), and the operations' compiled rules put them there. One pass at a time may do
so. A pass that runs beside it, in a hook or in another thread, keeps its gradients in a table of its own
(:class:`Table`) and writes to nothing on a shared graph; so does one that is watched for NaN, and one that is recorded.
That is ``create_graph=True``: rules then receive Tensors, so that NumPy's protocols record the rule itself and the
gradient can be differentiated again. A fused primitive's hand-derived backward reads residuals that are bare arrays,
and recording it would silently treat them as constants; so in that mode the fused primitive's *composed definition* is
differentiated instead.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from autodiff.batching import Batched, Unbatchable, count, each
from autodiff.core.errors import AnomalyError, GraphError, NotDifferentiableError, ShapeError
from autodiff.core.graph import ElementwiseNode, GeneralNode, Node, ScalarNode, Variable, topological_order
from autodiff.core.modes import ORDINARY, current_state, enable_grad

__all__ = [
    "IN_PLACE_SIZE",
    "OnNodes",
    "Pending",
    "Table",
    "backpropagate",
    "bind_tensor",
    "contributions",
    "fit",
    "gradients_of",
    "known_arrays",
    "lacking",
    "observed",
    "pull_elementary",
    "pull_fused",
    "wrap",
]

#: At and above this many elements, adding into an array that the pass owns beats making a new one
#: (benchmarks/overhead.py).
IN_PLACE_SIZE = 1024

_Tensor: Any = None


def bind_tensor(cls: type) -> None:
    """Tell the engine which class wraps its results (called once by tensor.py, which stands above this module)."""
    global _Tensor
    _Tensor = cls


def wrap(data: Any, node: Node | Variable | None) -> Any:
    """A Tensor over ``data`` without copying it."""
    tensor = _Tensor.__new__(_Tensor)
    tensor._data = data
    tensor._node = node
    return tensor


class ShapeOnly:
    """Stands in for an input of which a rule reads nothing but the shape or dtype, so that its array may die."""

    __slots__ = ("dtype", "ndim", "shape", "size")

    def __init__(self, array: Any) -> None:
        if not isinstance(array, np.ndarray | np.generic):
            array = np.asarray(array)
        self.shape = shape = array.shape
        self.ndim = len(shape)
        self.dtype = array.dtype
        self.size = array.size


class Pending:
    """The gradients on their way during one pass.

    Attributes
    ----------
    recording : bool
        Whether they are Tensors and the pass is itself being recorded.
    owned : set
        The nodes whose gradient was made here by an addition: nobody else can hold it, so more may be added in place.
        Anything else may be shared (the rule of ``x + y`` sends one array to both) and is never written to.
    """

    __slots__ = ("owned", "recording")

    def __init__(self, recording: Any = False) -> None:
        self.owned: set[Any] = set()
        self.recording = recording

    def get(self, entry: Node | Variable) -> Any:
        """What has arrived, None if nothing has."""
        raise NotImplementedError

    def put(self, entry: Node | Variable, g: Any) -> None:
        """Let ``g`` stand for all that has arrived; None for nothing."""
        raise NotImplementedError

    def start(self, roots: Sequence[Node | Variable], seeds: Sequence[Any]) -> None:
        """Let a cotangent arrive at each root."""
        for root, seed in zip(roots, seeds, strict=True):
            self.add(root, seed)

    def add(self, parent: Node | Variable, g: Any) -> None:
        """Add ``g``, which already has the parent's shape and dtype."""
        held = self.get(parent)
        self.put(parent, g if held is None else self.summed(parent, held, g))

    def summed(self, parent: Node | Variable, held: Any, g: Any) -> Any:
        """``held + g``, in place where ``held``, which has arrived at ``parent``, is nobody else's."""
        if parent in self.owned and g.__class__ is not _Tensor:
            return np.add(held, g, held)
        if held.__class__ is np.ndarray and held.size >= IN_PLACE_SIZE and g.__class__ is np.ndarray:
            self.owned.add(parent)
        return held + g

    def parts(self, node: Node) -> list[Any]:
        """What has arrived at each output of a node with several."""
        held = self.get(node)
        if held is None:
            held = [None] * len(node.shape)
            self.put(node, held)
        return held  # type: ignore[no-any-return]


class Table(Pending):
    """In a table by node, so that nothing on a shared graph is written to: such passes may nest or run beside one
    another.
    """

    __slots__ = ("_held",)

    def __init__(self, recording: Any = False) -> None:
        super().__init__(recording)
        self._held: dict[Any, Any] = {}

    def get(self, entry: Node | Variable) -> Any:
        return self._held.get(entry)

    def put(self, entry: Node | Variable, g: Any) -> None:
        self._held[entry] = g

    def take(self, entry: Node | Variable) -> Any:
        """What has arrived, which leaves the table; None if nothing has."""
        return self._held.pop(entry, None)


class OnNodes(Pending):
    """On the nodes themselves: for a pass that has all graphs to itself (a seventh less of a scalar chain than by
    table).

    Attributes
    ----------
    ahead : list of Node
        Nodes at rest that a gradient has reached, to be visited next. A compiled pull hands out one of those that it
        reaches as its result instead: most reach but one, and a list that is filled and emptied for each takes a
        twelfth of a scalar chain's way back.
    leaves : list of Variable
        The leaves that a gradient has reached.
    """

    __slots__ = ("ahead", "leaves")

    def __init__(self) -> None:
        self.owned = set()
        self.recording = False
        self.ahead: list[Any] = []
        self.leaves: list[Any] = []

    def get(self, entry: Node | Variable) -> Any:
        return None if entry.g is False else entry.g

    def put(self, entry: Node | Variable, g: Any) -> None:
        if entry.g is False:
            reached: list[Any] = self.leaves if isinstance(entry, Variable) else self.ahead
            reached.append(entry)
        entry.g = g


def fit(g: Any, parent: Node | Variable, op: Any = None) -> Any:
    """Sum ``g`` to the parent's shape and cast it to its dtype.

    Broadcasting repeats an input along the axes that it lacks or has with length one; the transpose of repeating is
    summing, so those axes are summed away. A complex gradient of a real input keeps its real part.
    """
    if not hasattr(g, "dtype"):
        g = np.asarray(g)
    shape = parent.shape
    if g.shape != shape:
        lead = len(g.shape) - len(shape)
        if lead < 0 or any(n != m and m != 1 for n, m in zip(g.shape[lead:], shape, strict=True)):
            name = "a rule" if op is None else f"the gradient rule of {op.name}"
            raise ShapeError(
                f"{name} returned shape {g.shape} for an input of shape {shape}; it must return the input's shape, "
                "or that shape broadcast"
            )
        axes = tuple(range(lead)) + tuple(lead + i for i, m in enumerate(shape) if m == 1 and g.shape[lead + i] != 1)
        if axes:
            g = g.sum(axis=axes, keepdims=True)
        if lead:
            g = g.reshape(shape)
    dtype = parent.dtype
    if g.dtype is not dtype and g.dtype != dtype:
        if g.dtype.kind == "c" and dtype.kind != "c":
            g = g.real
        if g.dtype != dtype:
            g = g.astype(dtype)
    return g


# --- one node ---------------------------------------------------------------------------------------------------


def _saved(node: Node) -> Any:
    held = node.saved
    if held is None:
        raise GraphError(
            f"the graph through {node.op.name} was freed by an earlier backward pass; pass retain_graph=True to that "
            "pass to walk the graph twice, or run the computation again"
        )
    return _unpacked(node) if isinstance(node, ScalarNode) else held


def _unpacked(node: ScalarNode) -> tuple[Any, ...]:
    """``(out, *inputs)`` of a node that does not keep them in a tuple; None for what no rule reads."""
    inputs = (None, node.first, node.second)
    parents = (None, *node.parents)
    uses = node.op._uses(tuple(parent is not None for parent in parents[1:]))  # 0 where nothing reads it
    held = (getattr(node, slot) for slot in ("saved", "other", "third"))
    found = []
    for place, use in enumerate(uses):
        number = place > 0 and parents[place] is None
        found.append(None if not use else inputs[place] if number else next(held))
    return tuple(found)


def _lifted(node: Node, wanted: Any = True) -> tuple[Any, ...]:
    """``(out, *inputs)`` as Tensors that stand where they stood when the node was recorded.

    Given a set of entries, those that are not among them are constants.
    """
    out, *inputs = _saved(node)
    lifted: list[Any]
    if isinstance(out, tuple):
        lifted = [tuple(wrap(o, pick(node, i)) for i, o in enumerate(out)) if wanted is True or node in wanted else out]
    elif out is None or (wanted is not True and node not in wanted):
        lifted = [out]
    else:
        lifted = [wrap(out, node)]
    for array, parent in zip(inputs, node.parents, strict=True):
        bare = parent is None or array is None or isinstance(array, ShapeOnly)
        bare = bare or (wanted is not True and parent not in wanted)
        lifted.append(array if bare else wrap(array, parent))
    return tuple(lifted)


def pull_elementary(node: Node, g: Any, pending: Pending) -> None:
    """Apply an elementary primitive's rules to ``g``, one per parent that asks for a gradient."""
    saved = _lifted(node, pending.recording) if pending.recording is not False else _saved(node)
    if isinstance(g, list):
        g = _filled(node, g)
    try:
        gradients = _apply_rules(node, g, saved)
    except Unbatchable:
        gradients = _one_by_one(g, lambda part: _apply_rules(node, part, saved))
    for parent, gradient in zip(node.parents, gradients, strict=True):
        if parent is not None:
            pending.add(parent, gradient)


def _apply_rules(node: Node, g: Any, saved: tuple[Any, ...]) -> list[Any]:
    """One gradient per parent, None where none is asked for."""
    op = node.op
    attrs = node.attrs or {}
    if op.variadic:
        (rule,) = op.rules
        return [
            None if parent is None else fit(rule(i, g, *saved, **attrs), parent, op)
            for i, parent in enumerate(node.parents)
        ]
    return [
        None if parent is None else fit(rule(g, *saved, **attrs), parent, op)
        for parent, rule in zip(node.parents, op.rules, strict=True)
    ]


def _one_by_one(g: Any, apply: Callable[[Any], Sequence[Any]]) -> list[Any]:
    """For rules that cannot take a batch of cotangents at once: apply them to each, and stack."""
    n = count(g)
    if n is None:
        raise GraphError("a gradient rule asked for a plain array where there is none")
    results = [apply(each(g, i)) for i in range(n)]
    return [
        None if results[0][k] is None else Batched(np.stack([np.asarray(row[k]) for row in results]))
        for k in range(len(results[0]))
    ]


def pull_fused(node: Node, g: Any, pending: Pending) -> None:
    """Apply a fused primitive's hand-derived backward, or differentiate its composed definition when recording."""
    op = node.op
    _, residuals, needs = _saved(node)
    if g.__class__ is np.ndarray and pending.recording is False:
        grads: Sequence[Any] = op.backward(g, residuals, needs)
    else:
        grads = _unusual_backward(node, g, pending.recording)
    for parent, gradient in zip(node.parents, grads, strict=True):
        if parent is None:
            continue
        if gradient is None:
            raise lacking(op, node.parents.index(parent))
        if gradient.dtype is not parent.dtype or gradient.shape != parent.shape:
            gradient = fit(gradient, parent, op)
        pending.add(parent, gradient)


def lacking(op: Any, position: int) -> NotDifferentiableError:
    """What to raise where a fused backward gives None for an input that asks for a gradient."""
    return NotDifferentiableError(
        f"{op.name} has no gradient with respect to its argument {op.inputs[position]!r}; pass that argument through"
        " autodiff.constant(...)"
    )


def _unusual_backward(node: Node, g: Any, recording: Any) -> Sequence[Any]:
    """A fused backward for anything but one plain cotangent array."""
    op = node.op
    inputs, residuals, needs = node.saved
    if isinstance(g, list):
        g = _filled(node, g)
    if recording is not False:
        return _composed_gradients(node, inputs, g, recording)
    if count(g) is not None:
        # A hand-derived backward works in place on plain arrays.
        return _one_by_one(g, lambda part: op.backward(part, residuals, needs))
    found: Sequence[Any] = op.backward(np.asarray(g) if isinstance(g, np.generic) else g, residuals, needs)
    return found


def _composed_gradients(node: Node, inputs: Sequence[Any], g: Any, wanted: Any) -> list[Any]:
    """The gradients of the composed definition, recorded, so that they can be differentiated again."""
    attrs = node.attrs or {}
    stand_ins = [
        array
        if parent is None
        else alias(wrap(array, parent))
        if wanted is True or parent in wanted
        else wrap(array, Variable(parent.shape, parent.dtype))
        for array, parent in zip(inputs, node.parents, strict=True)
    ]
    with enable_grad():
        out = node.op.composed(*stand_ins, **attrs)
    outs, seeds = (out, g) if isinstance(out, tuple) else ((out,), (g,))
    reached = [(o, s) for o, s in zip(outs, seeds, strict=True) if getattr(o, "_node", None) is not None]
    targets = [t._node for t, parent in zip(stand_ins, node.parents, strict=True) if parent is not None]
    roots = [o._node for o, _ in reached]
    found = iter(
        gradients_of(
            roots,
            [s for _, s in reached],
            targets,
            create_graph=True if wanted is True else depends_beyond(roots, targets),
            free=False,
        )
        if reached
        else [None] * len(targets)
    )
    result: list[Any] = []
    for array, parent in zip(inputs, node.parents, strict=True):
        gradient = None if parent is None else next(found)
        if parent is not None and gradient is None:
            # The composed definition does not depend on this input: its gradient is zero.
            gradient = wrap(np.zeros_like(array), None)
        result.append(gradient)
    return result


def _filled(node: Node, parts: list[Any]) -> tuple[Any, ...]:
    """The gradients of all outputs of a node, with zeros for outputs that nothing used."""
    facts = zip(parts, node.shape, node.dtype, strict=True)  # of a node with several outputs these hold one entry each
    return tuple(np.zeros(shape, dtype) if part is None else part for part, shape, dtype in facts)


# --- links: nodes without arithmetic ------------------------------------------------------------------------------


class _Link:
    """An operation of the engine's own: it passes a value on under another identity."""

    variadic = False
    fused = False

    def __init__(self, name: str, pull: Callable[[Node, Any, Pending], None]) -> None:
        self.name = self.label = name
        self.pull = pull
        self.inputs = ("x",)


def _pull_alias(node: Node, g: Any, pending: Pending) -> None:
    _saved(node)
    parent = node.parents[0]
    assert parent is not None
    pending.add(parent, g)


def _pull_pick(node: Node, g: Any, pending: Pending) -> None:
    _saved(node)
    parent = node.parents[0]
    assert isinstance(parent, Node)
    assert node.attrs is not None
    parts = pending.parts(parent)
    index = node.attrs["index"]
    parts[index] = g if parts[index] is None else parts[index] + g


ALIAS = _Link("identity", _pull_alias)
PICK = _Link("output", _pull_pick)


def _link(op: _Link, parent: Node | Variable, shape: Any, dtype: Any, attrs: dict[str, Any] | None) -> Node:
    node = GeneralNode()
    node.op = op
    node.pull = op.pull
    node.g = False
    node.parents = (parent,)
    node.saved = ()
    node.attrs = attrs
    node.shape = shape
    node.dtype = dtype
    state = current_state()
    if state is not None and state.mark is not None:
        node.set_extra("mark", state.mark)
    return node


def alias(tensor: Any) -> Any:
    """The same value under a node of its own, at which a derivative can be cut out of a larger graph."""
    parent = tensor._node
    return wrap(tensor._data, _link(ALIAS, parent, parent.shape, parent.dtype, None))


def pick(node: Node, index: int) -> Node:
    """The node of output ``index`` of an operation with several outputs."""
    return _link(PICK, node, node.shape[index], node.dtype[index], {"index": index})


# --- the walk -----------------------------------------------------------------------------------------------------


def _references(leaf: Variable) -> int:
    g = leaf.g
    leaf.g = False
    return sys.getrefcount(g)


def _fresh() -> Variable:
    probe = Variable((1,), float)
    probe.g = np.empty(1)
    return probe


# How many references an array has that nobody but a function's variable holds; asked of the interpreter, since it
# varies.
_ALONE = _references(_fresh())


def _come_to_rest(leaves: Iterable[Variable]) -> None:
    """Add what a pass on the nodes has brought to the leaves to their ``grad``.

    The caller's arrays and other leaves' gradients are never shared; an array that nobody else holds is taken as it is.
    """
    references, ndarray, float64, alone = sys.getrefcount, np.ndarray, np.float64, _ALONE
    for leaf in leaves:
        g = leaf.g
        leaf.g = False
        if leaf._grad is not None or leaf.hooks:
            _add_at_leaf(leaf, g, False)
        elif (g.base is None and references(g) <= alone) if g.__class__ is ndarray else g.__class__ is float64:
            leaf._grad = g
        else:
            leaf._grad = np.array(g)


def _add_at_leaf(leaf: Variable, g: Any, recording: bool) -> None:
    """Add to a leaf's ``grad``, through its hooks."""
    for hook in list(leaf.hooks.values()):
        g = _hooked(hook, g, leaf, recording)
    held = leaf.grad
    if recording:
        leaf.grad = g if held is None else held + g
    elif held is None:
        leaf.grad = np.array(g)
    else:
        # Not in place: a gradient that was handed out stays what it was.
        leaf.grad = np.asarray((held._data if isinstance(held, _Tensor) else held) + g)


def _hooked(hook: Callable[[Any], Any], g: Any, place: Node | Variable, recording: bool) -> Any:
    """The gradient after a hook, which sees a Tensor and may return another gradient."""
    result = hook(g if recording else wrap(np.asarray(g), None))
    if result is None:
        return g
    if recording:
        new = result if isinstance(result, _Tensor) else wrap(np.asarray(result), None)
    else:
        new = np.asarray(result._data if isinstance(result, _Tensor) else result)
    if new.shape != place.shape:
        raise ShapeError(f"a gradient hook returned shape {new.shape} for a gradient of shape {place.shape}")
    return new if new.dtype == place.dtype else new.astype(place.dtype)


def heed(node: Node) -> None:
    """Have the hooks of a node and its wish to retain its gradient heeded."""
    if isinstance(node, ScalarNode):
        node.set_extra("op", node.op)
    node.pull = hooked_pull


def hooked_pull(node: Node, g: Any, pending: Pending) -> None:
    """Stands in as ``pull`` of a node that has hooks or retains its gradient, so that other nodes pay nothing."""
    if not isinstance(g, list):
        for hook in list(node.extra("hooks", {}).values()):
            g = _hooked(hook, g, node, pending.recording is not False)
        if node.extra("retain"):
            held = node.extra("grad")
            if pending.recording is not False:
                node.set_extra("grad", g if held is None else held + g)
            else:
                held = held._data if isinstance(held, _Tensor) else held
                node.set_extra("grad", np.array(g) if held is None else np.asarray(held + g))
    node.op.pull(node, g, pending)


def backpropagate(
    roots: Sequence[Node | Variable], seeds: Sequence[Any], *, create_graph: bool = False, free: bool = True
) -> None:
    """Add the gradients of ``sum(<seed, root>)`` to every leaf's ``grad``.

    Parameters
    ----------
    roots : sequence of Node or Variable
    seeds : sequence of numpy.ndarray (Tensor when ``create_graph``)
        Cotangents, each of its root's shape and dtype.
    create_graph : bool
        Record the pass itself.
    free : bool
        Let go of the saved arrays as the pass goes by.
    """
    state = current_state() or ORDINARY
    if state.tracer is not None:
        state.tracer.backpropagate(roots, seeds, create_graph, free)
        return
    alone = not create_graph and not state.anomaly and _exclusive.acquire(False)
    if alone:
        _walk_alone(roots, seeds, free, None)
    elif create_graph:
        with enable_grad():
            _walk(topological_order(roots), _seeded(roots, seeds, True), free, None)
    else:
        _walk(topological_order(roots), _seeded(roots, seeds, False), free, None)


def depends_beyond(roots: Iterable[Node | Variable], targets: Sequence[Node | Variable]) -> frozenset[Any]:
    """What ``roots`` depend on, and they, that depends on something tracked besides ``targets``: a leaf elsewhere, or
    what a target itself stands for.
    """
    own: set[Any] = set(targets)
    beyond: set[Any] = {entry for entry in own if not isinstance(entry, Variable)}
    for entry in topological_order(roots, own):
        if entry.stage.alive if entry.__class__ is Variable else not beyond.isdisjoint(_places(entry)):
            beyond.add(entry)
    return frozenset(beyond)


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
    state = current_state() or ORDINARY
    if state.tracer is not None:
        return state.tracer.gradients_of(roots, seeds, targets, create_graph, free, cut)  # type: ignore[no-any-return]
    found: dict[Any, Any] = dict.fromkeys(targets)
    if create_graph is False and not state.anomaly and _exclusive.acquire(False):
        _walk_alone(roots, seeds, free, found, cut)
    else:
        pending = _seeded(roots, seeds, create_graph)
        useful = _leading_to(found, topological_order(roots))
        if create_graph is not False:
            with enable_grad():
                _walk(useful, pending, free, found, cut)
        else:
            _walk(useful, pending, free, found, cut)
    return [found[target] for target in targets]


def _leading_to(targets: Iterable[Any], order: Iterable[Any]) -> list[Any]:
    """What of an order leads to a target: only that is worth a visit. Parents come first, so one sweep finds it."""
    leads = set(targets)
    useful = []
    for entry in order:
        if entry not in leads and (entry.__class__ is Variable or leads.isdisjoint(_places(entry))):
            continue
        leads.add(entry)
        useful.append(entry)
    return useful


def _places(node: Any) -> tuple[Any, ...]:
    """A node's parents, with numbers and None among them: quicker than to sift them."""
    return node.parents if node.__class__ is GeneralNode else (node.first, node.second)  # type: ignore[no-any-return]


def _seeded(roots: Sequence[Node | Variable], seeds: Sequence[Any], recording: Any) -> Table:
    pending = Table(recording)
    pending.start(roots, seeds)
    return pending


# --- a pass that has all graphs to itself -------------------------------------------------------------------------


# Whoever holds it may write to every entry's ``g``. Nobody waits for it: a pass that does not get it runs with a table.
_exclusive = threading.Lock()

_NODES: set[type] = {ElementwiseNode, GeneralNode, ScalarNode}


def bind_boxes(*kinds: type) -> None:
    """Tell the engine of the nodes that core.forward, which stands above, adds."""
    _NODES.update(kinds)


def _walk_alone(
    roots: Sequence[Node | Variable], seeds: Sequence[Any], free: bool, found: dict[Any, Any] | None, cut: bool = False
) -> None:
    """The pass of whoever has taken ``_exclusive``, which is given back. ``found`` is as in :func:`_walk`."""
    try:
        pending = OnNodes()
        if found is None:
            _visit(roots, seeds, pending, free)
            _come_to_rest(pending.leaves)
        else:
            _visit_for(found, roots, seeds, pending, free, cut)
    except BaseException:
        for entry in topological_order(roots):
            entry.g = False
        # If that is itself interrupted, the lock is never given back: all later passes use tables, slower and as right.
        _exclusive.release()
        raise
    _exclusive.release()


def _visit(roots: Sequence[Node | Variable], seeds: Sequence[Any], pending: OnNodes, free: bool) -> None:
    """Visit all nodes that ``roots`` depend on.

    Along a single way whoever is reached waits for nobody else, so no order is asked for until ways part: a small
    network's pass runs a fifth fewer instructions (``python -m benchmarks interpreter``) and takes a sixth less, a
    scalar chain's step takes a tenth less.
    """
    node: Any = None
    ahead: Any = None
    waiting = pending.ahead
    if len(roots) == 1 and roots[0].__class__ in _NODES:
        (ahead,), (ahead.g,) = roots, seeds
    else:
        pending.start(roots, seeds)
    while True:  # as in _claimed
        if waiting:
            if ahead is not None or len(waiting) > 1:
                break
            ahead = waiting.pop()
        elif ahead is None:
            return
        node = ahead
        g = node.g
        node.g = False
        try:
            ahead = node.pull(node, g, pending)
        except Unbatchable:
            # A compiled rule adds nothing before all its gradients are there, so the general one may start anew.
            ahead = node.op.pull(node, g, pending)
        if free:
            node.saved = None
    # Ways part: at the parents of the last node, whose places, not their order of arrival, tell the order of what
    # follows.
    parts = roots if node is None else _places(node)
    if ahead is not None:
        waiting.append(ahead)
    arrived = [entry.g for entry in waiting]
    for entry in waiting:
        entry.g = False
    order = _claimed(parts)
    for entry, g in zip(waiting, arrived, strict=True):
        entry.g = g
    for node in reversed(order):
        g = node.g
        node.g = False
        if g is not None:
            try:
                node.pull(node, g, pending)
            except Unbatchable:
                node.op.pull(node, g, pending)
            if free:
                node.saved = None


def _claimed(roots: Sequence[Any]) -> list[Any]:
    """The nodes among ``roots`` and those that they depend on, each after all of its parents; the ``g`` of each, which
    was False, is made None.

    The order of :func:`topological_order`, so that a pass gives the same bits whatever runs beside it, in about half of
    its time: ``g`` tells what has been seen, and nodes are placed a run at a time. Along ``path`` every node waits for
    those behind it; where ways part, all but the last are put by with the length of the path so far. At the end of a
    way the path down to the last parting waits for nothing more.
    """
    order: list[Any] = []
    place = order.append
    path: list[Any] = []
    step = path.append
    partings: list[tuple[Any, int]] = [(root, 0) for root in roots if root.__class__ in _NODES]
    put_by = partings.append
    while partings:
        entry, depth = partings.pop()
        if len(path) > depth:
            done = path[depth:]
            done.reverse()
            order += done
            del path[depth:]
        if entry.g is not False:
            continue
        while True:  # CPython 3.11 does not specialise the code of a loop that a condition closes until the eighth call
            entry.g = None
            ahead = None
            if entry.__class__ is GeneralNode:
                for parent in entry.parents:
                    if parent is not None and parent.g is False and parent.__class__ is not Variable:
                        if ahead is not None:
                            put_by((ahead, len(path) + 1))
                        ahead = parent
            else:
                parent = entry.first
                kind = parent.__class__
                if kind is not Variable and kind in _NODES and parent.g is False:
                    ahead = parent
                parent = entry.second
                kind = parent.__class__
                if kind is not Variable and kind in _NODES and parent.g is False:
                    if ahead is not None:
                        put_by((ahead, len(path) + 1))
                    ahead = parent
            if ahead is None:
                place(entry)
                break
            step(entry)
            entry = ahead
    order += reversed(path)
    return order


def _visit_for(
    found: dict[Any, Any], roots: Sequence[Any], seeds: Sequence[Any], pending: OnNodes, free: bool, cut: bool
) -> None:
    order = _claimed(roots)
    pending.start(roots, seeds)
    useful = set(_leading_to(found, order))
    for node in reversed(order):
        g = node.g
        node.g = False
        if g is None or node not in useful:
            continue
        if node in found and not isinstance(g, list):
            found[node] = _kept(g)
            if cut:
                continue
        try:
            node.pull(node, g, pending)
        except Unbatchable:
            node.op.pull(node, g, pending)
        if free:
            node.saved = None
    for leaf in pending.leaves:
        if leaf in found:
            found[leaf] = _kept(leaf.g)
        leaf.g = False


def _kept(g: Any) -> Any:
    """An array of its own, since what a rule sends may be shared."""
    return np.array(g) if isinstance(g, np.ndarray | np.generic) else g


# --- a pass beside others -----------------------------------------------------------------------------------------


def _walk(order: list[Any], pending: Table, free: bool, found: dict[Any, Any] | None, cut: bool = False) -> None:
    """Visit ``order`` from its end. With ``found``, collect gradients there; else let them come to rest at the leaves.

    ``order`` is turned round.
    """
    watch = (current_state() or ORDINARY).anomaly
    order.reverse()
    for entry in order:
        g = pending.take(entry)
        if g is None:
            continue
        if found is not None and entry in found and not isinstance(g, list):
            found[entry] = _kept(g)
            if cut:
                continue
        if isinstance(entry, Variable):
            if found is None:
                _add_at_leaf(entry, g, pending.recording is not False)
            continue
        if watch:
            _watched_pull(entry, g, pending)
        else:
            _general_pull(entry)(entry, g, pending)
        if free:
            entry.saved = None


def _general_pull(node: Node) -> Callable[[Node, Any, Any], None]:
    """A node's pull for any pass: a compiled one writes to the parents' ``g``."""
    pull: Callable[[Node, Any, Any], None] = hooked_pull if node.pull is hooked_pull else node.op.pull
    return pull


def _watched_pull(node: Node, g: Any, pending: Pending) -> None:
    _general_pull(node)(node, g, pending)
    came_finite = all(_finite(part) for part in (g if isinstance(g, list) else [g]) if part is not None)
    for position, parent in enumerate(node.parents):
        held = None if parent is None else pending.get(parent)
        if held is None or isinstance(held, list) or _finite(held) or not came_finite:
            continue
        where = node.extra("trace")
        raise AnomalyError(
            f"the gradient of {node.op.name} with respect to input {position} (shape {parent.shape}) holds "  # type: ignore[union-attr]
            f"{_bad(held)} although the gradient that reached it was finite"
            + (f"; the operation was recorded at {where}" if where else "")
        )


def _array(value: Any) -> Any:
    return value._data if isinstance(value, _Tensor) else value


def _finite(value: Any) -> bool:
    return bool(np.isfinite(_array(value)).all())


def _bad(value: Any) -> str:
    array = np.asarray(_array(value))
    nans, infs = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    return " and ".join(f"{n} {word}" for n, word in ((nans, "nan"), (infs, "inf")) if n)


def known_arrays(node: Node) -> tuple[Any, tuple[Any, ...]]:
    """The output and the inputs of a node as far as they are still held, None for those that are not: for pictures."""
    seen = node.extra("seen")
    if seen is not None:
        return seen[0], seen[1]
    nothing = (None,) * len(node.parents)
    if node.saved is None:
        return None, nothing
    if node.op.fused:
        return None, tuple(node.saved[0])
    if not hasattr(node.op, "rules"):
        return None, nothing
    out, *inputs = (None if isinstance(array, ShapeOnly) else array for array in _saved(node))
    return out, tuple(inputs)


def contributions(node: Node, g: Any) -> list[Any]:
    """What a node sends to each of its parents, not yet added up; nothing is freed and no ``grad`` is touched.

    Parameters
    ----------
    node : Node
        Its saved arrays must still be there.
    g : numpy.ndarray, or list of (numpy.ndarray or None) for a node with several outputs

    Returns
    -------
    list of (numpy.ndarray, list or None)
        One entry per parent, None where none is sent.
    """
    saved = _saved(node)
    pending = Table()
    if node.op.fused or hasattr(node.op, "rules"):
        # Each use of one parent gets an identity of its own, so that the rules' results are not summed.
        places = tuple(None if parent is None else Variable(parent.shape, parent.dtype) for parent in node.parents)
        shadow = GeneralNode()
        shadow.op, shadow.parents, shadow.saved, shadow.attrs = node.op, places, saved, node.attrs
        shadow.shape, shadow.dtype = node.shape, node.dtype
        node.op.pull(shadow, g, pending)
        return [None if place is None else pending.get(place) for place in places]
    node.op.pull(node, g, pending)
    return [None if parent is None else pending.take(parent) for parent in node.parents]


def observed(
    roots: Sequence[Node | Variable], seeds: Sequence[Any]
) -> Iterator[tuple[Node | Variable, Any, list[Any], float]]:
    """Walk backward one node at a time and show what happens: the pass that pictures are made from.

    Hooks run. Nothing is freed, and no ``grad`` is touched.

    Parameters
    ----------
    roots : sequence of Node or Variable
    seeds : sequence of numpy.ndarray
        The gradient of each root.

    Yields
    ------
    entry : Node or Variable
    g : numpy.ndarray or list
        The whole gradient of its output.
    sent : list
        What it sends to each parent; empty for a leaf.
    seconds : float
        How long its rules took.
    """
    arrived: dict[Any, Any] = {}

    def add(entry: Any, part: Any) -> None:
        held = arrived.get(entry)
        if held is None:
            arrived[entry] = part
        elif isinstance(held, list):
            arrived[entry] = [b if a is None else a if b is None else a + b for a, b in zip(held, part, strict=True)]
        else:
            arrived[entry] = held + part

    for root, seed in zip(roots, seeds, strict=True):
        add(root, seed)
    for entry in reversed(topological_order(roots)):
        g = arrived.pop(entry, None)
        if g is None:
            continue
        hooks = entry.hooks if isinstance(entry, Variable) else entry.extra("hooks", {})
        if not isinstance(g, list):
            for hook in list(hooks.values()):
                g = _hooked(hook, g, entry, False)
        if isinstance(entry, Variable):
            yield entry, g, [], 0.0
            continue
        started = perf_counter()
        sent = contributions(entry, g)
        seconds = perf_counter() - started
        for parent, part in zip(entry.parents, sent, strict=True):
            if part is not None:
                add(parent, part)
        yield entry, g, sent, seconds


def leaves(roots: Iterable[Node | Variable]) -> list[Variable]:
    """The leaves that ``roots`` depend on, in topological order."""
    return [entry for entry in topological_order(roots) if isinstance(entry, Variable)]
