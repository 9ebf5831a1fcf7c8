"""Transforms inside one another: values that carry more than a number.

A transform that cannot use the one graph of the program gets a *level* of its own, one deeper than the levels that
enclose it. Inside, a Tensor's node is a :class:`Box`: it holds the same value as the next lower level sees it
(``below``), and what this level adds. An operation on boxes is applied once below, where it leaves a graph node, a
lower box or nothing behind; then the innermost level adds its own part:

- :class:`Dual` carries a tangent: forward mode, without any graph. The tangent of the result comes from the operation's
  tangent rule, applied to values of the level below, so that it is differentiable there in its turn.
- :class:`Taped` stands for a place on a tape, the list of what the level has seen. A tape can be walked backward
  (reverse mode inside forward mode, Jacobians by rows) and forward (``linearize``, Jacobians by columns).

Levels are told apart by identity, so a perturbation of one is never taken for a perturbation of another (Siskind and
Pearlmutter 2005). What a level hands out are values of the level below: they are tracked exactly when something there
is.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.batching import Batched, Lanes, count, each, needs_alive
from autodiff.containers import as_array
from autodiff.core import forward
from autodiff.core import op as core
from autodiff.core.backward import Unbatchable, added, by_rules, fit, pull, saved_of
from autodiff.core.errors import GraphError, NotDifferentiableError
from autodiff.core.forward import bare_of, fit_tangent
from autodiff.core.graph import Node, Variable, time
from autodiff.core.modes import ORDINARY, current_state, state_as
from autodiff.core.op import Operation, hold, hold_argument, lacking, pick, wrap
from autodiff.core.op import apply as record
from autodiff.views import follow


class Level:
    """One transform while it runs, and with its tape as long as something is pulled or pushed through that."""

    __slots__ = ("alive", "depth", "lanes", "looped", "tape")

    def __init__(self, taped: bool = False, lanes: int | None = None) -> None:
        self.lanes = lanes
        self.looped: dict[str, None] = {}  # what ran once per lane, in order
        self.depth = levels() + 1
        self.alive = True
        self.tape: list[Any] | None = [] if taped else None

    def taken(self) -> list[Any]:
        """The tape, which its boxes do not keep alive from now on."""
        tape, self.tape = self.tape, []
        assert tape is not None
        return tape


class _Name(Operation):
    """The operation of a box: another name for the lower value."""

    name = label = "identity"
    inputs = ("x",)

    def pull(self, node: Any, g: Any, recording: Any) -> list[Any]:
        """Pass a gradient on, in the graph of the program."""
        if node.level.alive:
            raise GraphError(
                "backward() inside a function under jvp, jacfwd, vmap or the like; use autodiff.grad or vjp there"
            )
        return [g]


class Box(Node):
    """A value at some level: as the next lower level sees it, and what the level adds.

    When the level has ended it is nothing but another name for the lower value, in the program's graph too.
    """

    __slots__ = ("__weakref__", "below", "level")

    op = _Name()
    attrs = None
    # It is never freed: the value that it names may be named in another graph.
    saved = property(lambda self: (), lambda self, value: None)  # type: ignore[assignment]

    def __init__(self, level: Level, value: Any) -> None:
        self.level = level
        self.below = value
        self.g = False
        self.stamp = time.now
        self.extras = None

    def set_extra(self, key: str, value: Any) -> None:
        """Refuse a hook, which no pass of this level would heed."""
        if key in ("hooks", "retain") and self.level.alive:
            raise GraphError(
                "register_hook() and retain_grad() inside a function under jvp, jacobian, hessian, vmap or the like: no"
                " gradient passes there in the program's own graph; differentiate with autodiff.grad instead"
            )
        super().set_extra(key, value)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of the value."""
        return self.below._data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:  # type: ignore[override]
        """Of the value."""
        return self.below._data.dtype

    @property
    def parents(self) -> tuple[Any, ...]:  # type: ignore[override]
        """What it stands for in the graph of the program."""
        return (self.below._node,)


class Dual(Box):
    """A value and its tangent, an array or a tracked Tensor of the level below."""

    __slots__ = ("tangent",)

    def __init__(self, level: Level, value: Any, tangent: Any) -> None:
        super().__init__(level, value)
        self.tangent = tangent


class Taped(Box):
    """A value and its place on the level's tape."""

    __slots__ = ("entry",)

    def __init__(self, level: Level, value: Any, entry: Any) -> None:
        super().__init__(level, value)
        self.entry = entry


class Lane(Box):
    """A value that each lane of ``vmap`` has for itself: below, one more axis in front."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of one lane."""
        return self.below._data.shape[1:]  # type: ignore[no-any-return]

    def pull(self, node: Any, g: Any, pending: Any) -> None:  # type: ignore[override]
        """Nothing outside the level knows how to."""
        raise GraphError("backward() has met a tensor of a function under vmap; use autodiff.grad or vjp there")


def laned(value: Any, level: Level) -> Any:
    """A value with the lanes along its first axis, as the level sees it."""
    node = None if value._node is None else Lane(level, value)
    return wrap(Lanes(value._data, level), node)


#: Nodes that are boxes; the class itself is quicker to look up than isinstance to ask.
_BOXES: frozenset[Any] = frozenset({Dual, Taped, Lane})


class Ambiguous:
    """A tangent that holds up to a multiple of ``probe``: of vectors, say, whose phase is arbitrary.

    The probe goes along as a tangent of that tangent. Where a result does not depend on the arbitrary part, it has
    become zero by then; where it has not, the result is refused. What is arbitrary together bears one probe (``other``
    is the first of such tangents).
    """

    __slots__ = ("level", "probe", "tangent")

    def __init__(self, tangent: Any, probe: Any, message: str, other: Ambiguous | None = None) -> None:
        self.tangent = tangent
        self.probe = probe
        self.level: Level = Probe(message) if other is None else other.level

    def boxed(self, out: Any) -> Any:
        """The tangent, with the probe at a level of its own, deeper than any other."""
        tangent = _fit(self.tangent, out)
        tensor = tangent if hasattr(tangent, "_node") else wrap(tangent, None)
        return wrap(tensor._data, Dual(self.level, tensor, _fit(self.probe, out)))


_depths = itertools.count(1 << 30)


class Probe(Level):
    """The level of one probe; it ends with the last value that bears it."""

    __slots__ = ("message",)

    def __init__(self, message: str) -> None:
        self.depth = next(_depths)
        self.alive = True
        self.lanes = self.tape = None
        self.looped = {}
        self.message = message


def settled(value: Any, tangent: Any) -> Any:
    """A tangent as it is handed out: of one that bears probes all must have become zero."""
    if tangent.__class__ is NotDifferentiableError:
        raise NotDifferentiableError(*tangent.args)
    while isinstance(getattr(tangent, "_node", None), Dual) and isinstance(tangent._node.level, Probe):
        box = tangent._node
        sizes = [np.max(np.abs(_values(part)), initial=0.0) for part in (box.tangent, tangent, value)]
        if sizes[0] > 1e-6 * max(sizes[1:]):
            raise NotDifferentiableError(box.level.message)
        tangent = box.below
    return tangent if not hasattr(tangent, "_node") or tracked(tangent) else tangent._data


def _values(part: Any) -> Any:
    data = getattr(part, "_data", part)
    return data.array if data.__class__ is Batched else data


def levels() -> int:
    """How many levels enclose the running code."""
    return (current_state() or ORDINARY).levels


@contextmanager
def entered(level: Level) -> Iterator[None]:
    """Run a function at a level; what it returns is unboxed after that."""
    try:
        with state_as(replace(current_state() or ORDINARY, levels=level.depth, grad=True)):
            yield
    finally:
        level.alive = False


def innermost(inputs: Sequence[Any]) -> Level | None:
    """The deepest level among an operation's inputs, None if none is boxed."""
    found: Level | None = None
    for value in inputs:
        try:
            node: Any = value._node
        except AttributeError:
            if value.__class__ is not Lanes:
                continue
            level = value.level
        else:
            if node is None:
                if value._data.__class__ is not Lanes:
                    continue
                level = value._data.level
            elif node.__class__ in _BOXES:
                level = node.level
            else:
                continue
        if not level.alive:
            return level  # type: ignore[no-any-return]
        if found is None or level.depth > found.depth:
            found = level
    return found


def level_of(value: Any) -> Level | None:
    """The level of a value; None if no transform has it."""
    node = getattr(value, "_node", None)
    if isinstance(node, Box):
        return node.level
    data = getattr(value, "_data", value) if node is None else None
    return data.level if data.__class__ is Lanes else None  # type: ignore[no-any-return, union-attr]


def below(value: Any, level: Level) -> Any:
    """A value as the level below ``level`` sees it; of one with lanes, all of them along a first axis."""
    if level_of(value) is not level:
        return value
    node = getattr(value, "_node", None)
    if node is not None:
        return node.below
    data = getattr(value, "_data", value)
    return wrap(data.array, None)


def tracked(value: Any) -> bool:
    """Whether a value is more than an array to some transform or graph around."""
    return getattr(value, "_node", None) is not None or getattr(value, "_data", value).__class__ is Lanes


def apply(op: Any, inputs: Sequence[Any], attrs: dict[str, Any], level: Level, residuals: list[Any] | None) -> Any:
    """Apply an operation of which an input is boxed at ``level``, the innermost."""
    state = current_state() or ORDINARY
    if state.tracer is not None:
        op = state.tracer.own(op)
    if state.collector is not None:
        leaves = [state.collector.leaf(value) for value in inputs]
        if any(leaf is not value for leaf, value in zip(leaves, inputs, strict=True)):
            return record(op, leaves, attrs, residuals)
    lower: list[Any] = []
    boxes: list[Any] = []
    arrays: list[Any] = []
    for value in inputs:
        node: Any = getattr(value, "_node", None)
        if node.__class__ in _BOXES and node.level is level:
            boxes.append(node)
            lower.append(node.below)
            arrays.append(value._data)
            continue
        boxes.append(None)
        if hasattr(value, "_node") or value.__class__ is Lanes:
            lower.append(below(value, level))
        else:
            lower.append(hold(value) if value.__class__ is np.ndarray else value)
        arrays.append(getattr(value, "_data", lower[-1]))
    attrs = {name: hold_argument(value) for name, value in attrs.items()}
    if not level.alive:  # what has leaked from a transform that has ended
        if level.lanes is not None:
            needs_alive(level)
        return record(op, lower, attrs, residuals)
    kept: list[Any] = []
    if level.lanes is not None:
        return core.above.over_lanes(op, inputs, lower, attrs, level)
    if level.tape is not None and hasattr(op, "run_below"):
        out = op.run_below(lower)  # a rule of the user's own: what lower levels see is how that rule computes the value
    else:
        out = record(op, lower, attrs, kept if op.fused else None)
    if residuals is not None:
        residuals.extend(kept)
    if not state.grad:
        return out  # what is computed under no_grad() is a constant, as it is for reverse mode
    if level.tape is not None:
        return _on_tape(op, inputs, boxes, arrays, lower, attrs, out, kept, level)
    tangents = [None if box is None else box.tangent for box in boxes]
    moved = push(op, tangents, out, lower, attrs)
    if out.__class__ is tuple:
        return tuple(_dual(o, t, level) for o, t in zip(out, moved, strict=True))
    result = _dual(out, moved, level)
    _note_view(op, inputs, attrs, arrays, lower, out, result)
    return result


def _dual(out: Any, tangent: Any, level: Level) -> Any:
    return out if tangent is None else wrap(out._data, Dual(level, out, tangent))


def _note_view(
    op: Any,
    inputs: Sequence[Any],
    attrs: dict[str, Any],
    arrays: Sequence[Any],
    lower: list[Any],
    out: Any,
    result: Any,
) -> None:
    data = result._data
    if data.__class__ is Lanes:
        follow(op, inputs, attrs, lower, out, result)
    elif data.__class__ is np.ndarray and (data.base is not None or data is arrays[0]):
        core.above.view(op, inputs, attrs, arrays, result)


# --- tangents -------------------------------------------------------------------------------------------------------


def push(op: Any, tangents: Sequence[Any], out: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """The tangent of an operation's output, from those of its inputs: ``J t``.

    Parameters
    ----------
    op : Primitive or Fused
    tangents : sequence
        One per input: an array, a tracked Tensor, a batch of arrays, or None for zero.
    out : Tensor or tuple of Tensor
        What the operation made of ``inputs``.
    inputs : sequence
        Of one level: Tensors, arrays, numbers or None.
    attrs : dict

    Returns
    -------
    array, Tensor, error or None (zero); a tuple of these for several outputs
    """
    single = out.__class__ is not tuple
    moving = False
    for tangent in tangents:
        if tangent is not None:
            moving = True
            if tangent.__class__ is NotDifferentiableError:
                return tangent if single else (tangent,) * len(out)  # whoever hands it out raises
    if not moving:
        return None if single else (None,) * len(out)
    if any([t.__class__ is Lanes for t in tangents]):
        tangents = [_seen_by_rules(t) for t in tangents]
    given = [_seen_by_rules(x) for x in inputs]
    made = _seen_by_rules(out) if single else tuple([_seen_by_rules(o) for o in out])
    tracer = (current_state() or ORDINARY).tracer
    tangents = tangents if tracer is None else tracer.shown(tangents)
    try:
        found = forward.push(op, tangents, made, given, attrs)
    except Unbatchable:
        n = count(list(tangents))
        rows = [forward.push(op, each(list(tangents), i), made, given, attrs) for i in range(n or 0)]
        if n is None:
            found = core.above.each_lane(
                lambda t, o, x: forward.push(op, t, o, x, attrs),
                [list(tangents), made, given],
                op.tangents == "pointwise",
            )
        elif single:
            found = _stacked(rows)
        else:
            found = tuple(
                [_stacked(column) for column in zip(*[row or (None,) * len(out) for row in rows], strict=True)]
            )
    if single:
        return _fit(found, out, tangents)
    if found is None:
        return (None,) * len(out)
    return tuple([_fit(t, o, tangents) for t, o in zip(found, out, strict=True)])


def _seen_by_rules(value: Any) -> Any:
    """What a rule is given: the bare array of a constant."""
    try:
        node = value._node
    except AttributeError:
        return wrap(value, None) if value.__class__ is Lanes else value
    return value if node is not None or value._data.__class__ is Lanes else value._data


def _dtype(data: Any) -> Any:
    return data.dtype if hasattr(data, "dtype") else np.result_type(data)


def _stacked(column: Sequence[Any]) -> Any:
    for part in column:
        if part is None or part.__class__ is NotDifferentiableError:
            return part
        if part.__class__ is Ambiguous:
            raise Unbatchable
    return Batched(np.stack(column))


def _fit(tangent: Any, out: Any, tangents: Sequence[Any] = ()) -> Any:
    """A tangent in the shape and dtype of its output."""
    if tangent.__class__ is Ambiguous:
        if count(list(tangents)) is not None:
            raise Unbatchable  # whoever made the batch pushes one at a time
        return tangent.boxed(out)
    return fit_tangent(tangent, out)


def _transposed(op: Any, rule: Any, i: int, tangent: Any, out: Any, inputs: Any, attrs: dict[str, Any]) -> Any:
    """``J t`` of an operation that states only ``u -> J' u``: one cotangent per element of the output, ``y_k = <J' e_k,
    t>``. Right for any rule, and as costly as a Jacobian: state ``tangent=`` or ``linear=`` where that matters.
    """
    if tangent.__class__ is Batched:
        raise Unbatchable
    outs = out if out.__class__ is tuple else (out,)
    shape = np.shape(bare_of(inputs[i]))
    found: list[Any] = []
    for place, o in enumerate(outs):
        data = bare_of(o)
        if _dtype(data).kind not in "fc":
            found.append(None)
            continue

        def along(unit: Any, k: int, place: int = place, data: Any = data) -> Any:
            g = np.zeros(np.shape(data), np.result_type(data))
            g.reshape(-1)[k] = unit
            seed = (
                g
                if out.__class__ is not tuple
                else tuple(g if j == place else np.zeros_like(bare_of(other)) for j, other in enumerate(outs))
            )
            pulled = rule(*((i,) if op.variadic else ()), seed, out, *inputs, **attrs)
            return np.sum(np.broadcast_to(pulled, np.broadcast_shapes(np.shape(bare_of(pulled)), shape)) * tangent)

        numbers = []
        for k in range(np.size(data)):
            number = along(1, k)
            if _dtype(data).kind == "c":
                number = np.real(number) - 1j * np.real(along(1j, k))
            numbers.append(number)
        found.append(np.reshape(np.stack(numbers), np.shape(data)) if numbers else np.zeros_like(data))
    return tuple(found) if out.__class__ is tuple else found[0]


def through(function: Callable[..., Any], inputs: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``function(*inputs)`` and the tangents of what it returns, one Tensor or a tuple of them."""
    level = Level()
    with entered(level):
        boxed = [boxed_leaf(x, t, level) for x, t in zip(inputs, tangents, strict=True)]
        out = function(*boxed)
    if isinstance(out, tuple):
        pairs = [unboxed(o, level) for o in out]
        return tuple(value for value, _ in pairs), tuple(tangent for _, tangent in pairs)
    return unboxed(out, level)


def boxed_leaf(value: Any, tangent: Any, level: Level) -> Any:
    """An argument with its tangent; as it is if that is None."""
    if tangent is None:
        return value
    tensor = value if hasattr(value, "_node") else wrap(as_array(value), None)
    return wrap(tensor._data, Dual(level, tensor, tangent))


def unboxed(value: Any, level: Level) -> tuple[Any, Any]:
    """A result as the level below sees it, and its tangent (None for zero)."""
    node = getattr(value, "_node", None)
    if not isinstance(node, Dual) or node.level is not level:
        return value, None
    return node.below, settled(node.below, node.tangent)


# --- tapes ------------------------------------------------------------------------------------------------------------


class Entry(Node):
    """One application on a tape.

    Attributes
    ----------
    out : Tensor or tuple of Tensor
    given : list
        The inputs, as the level below sees them.
    residuals
        What a fused forward left for its backward, None if it did not run.
    """

    __slots__ = ("given", "out", "residuals")

    out: Any
    given: list[Any]
    residuals: Any


def _on_tape(
    op: Any,
    inputs: Sequence[Any],
    boxes: Sequence[Any],
    arrays: Sequence[Any],
    lower: list[Any],
    attrs: dict[str, Any],
    out: Any,
    kept: list[Any],
    level: Level,
) -> Any:
    tape = level.tape
    assert tape is not None
    outs = out if out.__class__ is tuple else (out,)
    if all(o._data.dtype.kind not in "fc" for o in outs):
        return out
    single = out.__class__ is not tuple
    shape, dtype = (
        (out._data.shape, out._data.dtype) if single else zip(*[(o.shape, o.dtype) for o in outs], strict=True)
    )
    parents = tuple([None if box is None else box.entry for box in boxes])
    entry = Entry(op, parents, None, attrs, shape, dtype)
    entry.out = tuple(map(_kept, out)) if out.__class__ is tuple else _kept(out)
    entry.given = list(map(_kept, lower))
    entry.residuals = kept[0] if kept else None
    if not op.fused and not op.variadic and op.pull is None:
        for i, (parent, rule) in enumerate(zip(parents, op.rules, strict=True)):
            if parent is not None and rule is None:
                raise lacking(op, i)
    tape.append(entry)
    if out.__class__ is not tuple:
        result = wrap(out._data, Taped(level, out, entry))
        _note_view(op, inputs, attrs, arrays, lower, out, result)
        return result
    results = []
    for i, o in enumerate(outs):
        if o._data.dtype.kind in "fc":
            part = pick(entry, i)
            tape.append(part)
            results.append(wrap(o._data, Taped(level, o, part)))
        else:
            results.append(o)
    return tuple(results)


def _kept(value: Any) -> Any:
    """A value as a tape keeps it: writes into the tensor, and into what was handed out of it, do not reach it."""
    node = getattr(value, "_node", value)
    if node is value:
        return value
    if value._data.__class__ is Lanes or not time.lent or not core.above.lent([value]):
        return wrap(value._data, node)
    if isinstance(node, Box):
        gc.collect()  # what only garbage holds, a program cannot reach
        if not core.above.lent([value]):
            return wrap(value._data, node)
        raise GraphError(
            "inside nested transforms an array that was handed out before, by .data say, is still in use, and might be"
            " written into; let go of it, or take a copy"
        )
    return wrap(hold(value._data), node)


def taped_leaf(value: Any, level: Level) -> Any:
    """An argument as a leaf of a tape."""
    tensor = value if hasattr(value, "_node") else wrap(as_array(value), None)
    return wrap(tensor._data, Taped(level, tensor, Variable(tensor._data.shape, tensor._data.dtype)))


def pull_tape(tape: Sequence[Any], seeds: Sequence[tuple[Any, Any]], leaves: Sequence[Any]) -> list[Any]:
    """The gradients of ``sum(<g, entry>)`` at the leaves of a tape, None where it does not depend on one.

    Parameters
    ----------
    tape : sequence of Entry
    seeds : sequence of (entry, g)
    leaves : sequence of Variable
    """
    arrived: dict[Any, Any] = {}
    for entry, g in seeds:
        arrived[entry] = added(arrived.get(entry), g)
    for entry in reversed(tape):
        g = arrived.pop(entry, None)
        if g is not None:
            for parent, part in zip(entry.parents, _pull(entry, g), strict=True):
                if parent is not None:
                    arrived[parent] = added(arrived.get(parent), part)
    return [arrived.get(leaf) for leaf in leaves]


def _pull(entry: Any, g: Any) -> Sequence[Any]:
    """What an entry sends to each of its parents."""
    if entry.__class__ is not Entry:
        return pull(entry, g, False)
    tracer = (current_state() or ORDINARY).tracer
    g = g if tracer is None else tracer.shown(g)
    outs = entry.out if entry.out.__class__ is tuple else (entry.out,)
    parts = g if isinstance(g, list) else [g]
    _check_unwritten(entry)
    if entry.op.pull is not None:
        entry.saved = tuple(map(_seen_by_rules, entry.given))
    elif not entry.op.fused:
        made = tuple([_seen_by_rules(o) for o in outs])
        entry.saved = (made if entry.out.__class__ is tuple else made[0], *map(_seen_by_rules, entry.given))
    elif entry.residuals is None or any(tracked(v) for v in (*entry.given, *parts)):
        return _pull_composed(entry, parts)
    else:
        needs = tuple([parent is not None for parent in entry.parents])
        entry.saved = ([_seen_by_rules(v) for v in entry.given], entry.residuals, needs)
        g = [_seen_by_rules(p) for p in parts] if isinstance(g, list) else _seen_by_rules(g)
    saved = entry.saved

    def pulled(g: Any, saved: Any) -> Sequence[Any]:
        entry.saved = saved
        return pull(entry, g, False)

    try:
        return pulled(g, saved)
    except Unbatchable:
        if innermost([*parts, *entry.given]) is None:
            raise
        op = entry.op
        if op.fused or op.pull is not None or not op.pointwise:
            return core.above.each_lane(pulled, [g, saved])  # type: ignore[no-any-return]
        found = core.above.each_lane(lambda g, saved: by_rules(entry, g, saved), [g, saved], True)
        return [None if parent is None else fit(h, parent, op) for parent, h in zip(entry.parents, found, strict=True)]
    finally:
        entry.saved = None


def _check_unwritten(entry: Any) -> None:
    """Refuse to go through old values, as a pass through the program's graph does."""
    if entry.stamp < time.written:
        arrays = tuple([getattr(value, "_data", value) for value in entry.given])
        outs = [o._data for o in (entry.out if entry.out.__class__ is tuple else (entry.out,))]
        op = entry.op
        entry.saved = (arrays, outs, None) if op.fused else arrays if op.pull is not None else (outs, *arrays)
        try:
            saved_of(entry)
        finally:
            entry.saved = None


def _pull_composed(entry: Any, parts: Sequence[Any]) -> Sequence[Any]:
    """The gradients of a fused operation's composed definition."""
    level = Level(taped=True)
    with entered(level):
        leaves = [
            v if parent is None else taped_leaf(v, level) for v, parent in zip(entry.given, entry.parents, strict=True)
        ]
        out = entry.op.composed(*leaves, **(entry.attrs or {}))
    outs = out if isinstance(out, tuple) else (out,)
    seeds = [
        (o._node.entry, part)
        for o, part in zip(outs, parts, strict=True)
        if part is not None and isinstance(getattr(o, "_node", None), Taped) and o._node.level is level
    ]
    wanted = [i for i, parent in enumerate(entry.parents) if parent is not None]
    sent: list[Any] = [None] * len(entry.parents)
    for i, found in zip(wanted, pull_tape(level.taken(), seeds, [leaves[i]._node.entry for i in wanted]), strict=True):
        sent[i] = found
    return sent


def push_tape(tape: Sequence[Any], leaves: Sequence[Any], tangents: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    """The tangents of ``outputs``, entries of a tape, from those of its leaves; None for zero."""
    known: dict[Any, Any] = dict(zip(leaves, tangents, strict=True))
    with entered(Level()):
        for entry in tape:
            if entry.__class__ is not Entry:
                parts = known.get(entry.parents[0])
                known[entry] = None if parts is None else parts[entry.attrs["index"]]
                continue
            moved = [None if parent is None else known.get(parent) for parent in entry.parents]
            if any(t is not None for t in moved):
                _check_unwritten(entry)
                known[entry] = push(entry.op, moved, entry.out, entry.given, entry.attrs or {})
    return [settled(getattr(entry, "out", None), known.get(entry)) for entry in outputs]


core.above.level, core.above.apply_at = innermost, apply
forward.above.through, forward.above.transposed = through, _transposed
