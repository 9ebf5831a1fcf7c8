"""Following a trace: what stands in the engine's place while a compiled step runs.

A :class:`Follower` belongs to one call. Every application of an operation and every backward pass asks it (by
``State.tracer``, which belongs to a thread or task). It answers with prepared code where the trace has some for exactly
what is asked, and with the engine's ordinary work where it has not. Either way the answer is there at once, as ordinary
Tensors on an ordinary graph. So there is nothing to undo, and nothing to find out about the step: an exception, a hook,
a value that decides, an array that is changed in between, another thread meet what they would meet without.
"""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter
from threading import get_ident
from typing import Any

import numpy as np

from autodiff.compiler.check import same
from autodiff.compiler.emit import MISS
from autodiff.compiler.prepare import Workshop, prepared
from autodiff.compiler.trace import MOST_BRANCHES, Entry, fact_of, frozen, layout_of
from autodiff.compiler.walked import Pass, prepared_pass
from autodiff.core import backward as engine
from autodiff.core.errors import CompileError
from autodiff.core.graph import Node
from autodiff.core.modes import ORDINARY, State, _state, current_state
from autodiff.core.op import ALIAS, Fused, Primitive, apply

__all__ = ["Follower"]

#: A call may leave so many entries; a longer one is a loop that wants ``scan``.
_LONGEST = 4096
#: So many entries at most are prepared in one call, each in about two milliseconds.
_PREPARED_AT_ONCE = 64


# Every setting but these two, at a time; states are many, and a copy of one takes as long as an operation.
_BUT_GRAD = attrgetter(*(field.name for field in fields(State) if field.name not in ("grad", "tracer")))
_ORDINARY = _BUT_GRAD(ORDINARY)
_NO_GRAD = replace(ORDINARY, grad=False)


class Follower:
    """What follows the calls of one compiled step, one call after the other."""

    def __init__(self, workshop: Workshop, check: bool) -> None:
        self.check = check
        self.at: Entry | None = None  # the latest entry; None once the call has left the trace for good
        self.made: list[Any] = []  # the node of each entry so far, or None
        self.leaves: dict[Any, int] = {}  # nodes from before the call, in the order in which it met them
        # Where nodes of the call come from; of ``made`` only the first ones are in it, since few ask.
        self._origins: dict[Any, tuple[int, int]] = {}
        self._placed = 0
        self.fresh = self.prepared = 0  # how many entries this call has added, and how many it has prepared
        self.diverged = False  # whether the engine has done what code was there for, since a value decided otherwise
        self.lost = ""  # why it left the trace
        self.kept: Any = None  # what the latest prepared forward left for its backward
        self.workshop = workshop
        self._ordinary = replace(ORDINARY, tracer=self)
        self._thread: int | None = None
        # The latest state that was to be followed, and the same without this tracer; the latest that was not.
        self._own: State | None = None
        self._inner: State | None = None
        self._grad = True
        self._other: State | None = None
        self._others: State | None = None

    def begin(self, root: Entry, outer: State | None) -> State:
        """A call begins; the state to make it under."""
        self.at = root
        self.fresh = self.prepared = 0
        self.diverged = False
        self.lost = ""
        self._thread = get_ident()
        self._own = own = self._ordinary if outer is None else replace(outer, tracer=self)
        self._inner = outer
        self._grad = outer is None or outer.grad
        return own

    def end(self) -> None:
        """The call is over; what still runs under its state, in a thread or a task, is not followed."""
        self._thread = self._own = self._other = self._others = self._inner = self.kept = None
        self.made.clear()
        self.leaves.clear()
        self._origins.clear()
        self._placed = 0
        self.workshop.pool.trim()

    # --- operations ---------------------------------------------------------------------------------------------------

    def at_once(self, state: State | None, op: Any, inputs: Any, attrs: dict[str, Any]) -> Any:
        """What prepared code makes of an application; None where :meth:`apply` is to be asked."""
        at = self.at
        if state is self._own and at is not None and get_ident() == self._thread:
            for known, made_for, follow in at.ready:
                if known is op and made_for is self._grad:
                    result = follow(self, inputs, attrs)
                    if result is not MISS:
                        return result
        return None

    def apply(self, op: Any, inputs: Any, attrs: dict[str, Any], residuals: list[Any] | None) -> Any:
        """An application of an operation: see :func:`autodiff.core.op.apply`."""
        # The state that the last question was asked under is one to follow.
        if current_state() is not self._own or get_ident() != self._thread:
            inner, followed = self._ordinary_state()
            if not followed:
                return _apply(op, inputs, attrs, residuals, inner)
        at, grad, inner = self.at, self._grad, self._inner
        if at is None:
            return _apply(op, inputs, attrs, residuals, inner)
        result = self.at_once(self._own, op, inputs, attrs)
        if result is not None:
            if residuals is not None:
                residuals.append(self.kept)
            return result
        if at.index >= _LONGEST:
            self._lose(f"it asks for more than {_LONGEST} operations")
            return _apply(op, inputs, attrs, residuals, inner)
        key = grad, tuple([fact_of(value, self.origin) for value in inputs]), frozen(attrs)
        result = _apply(op, inputs, attrs, residuals, inner)
        self._arrive(at, op, key, inputs, attrs, result)
        return result

    def _arrive(self, at: Entry, op: Any, key: Any, inputs: Any, attrs: Any, result: Any) -> None:
        """Note that an operation has been applied."""
        parts = result if result.__class__ is tuple else (result,)
        outs = tuple([layout_of(part._data) for part in parts])
        entry = at.find(op, key, outs)
        if entry is None:
            if len(at.next) >= MOST_BRANCHES:
                self._lose(f"{op.name} was asked for in a way unlike that of {MOST_BRANCHES} calls before")
                return
            entry = Entry(op, key, at, outs)
            at.next.append(entry)
            self.fresh += 1
        entry.visits += 1
        # What the engine leaves for the backward may be of another kind than what the entry's code leaves.
        self.diverged = self.diverged or entry.code is not None
        if entry.visits >= 2 and not entry.settled and self.prepared < _PREPARED_AT_ONCE:
            self.prepared += 1
            entry.settled = True
            entry.code = _unfollowed(self._inner, prepared, self.workshop, entry, inputs, attrs, result)
            if entry.code is not None:
                at.ready.append(
                    (op, entry.code.grad, self._checked(op, entry.code) if self.check else entry.code.follow)
                )
        self.register(entry, result)

    def register(self, entry: Entry, result: Any) -> None:
        """The call has come to an entry, with this result."""
        self.at = entry
        if result.__class__ is not tuple:
            self.made.append(result._node)
            return
        whole = None
        for number, part in enumerate(result):
            if part._node is not None:
                self._origins[part._node] = (entry.index, number)
                whole = part._node.parents[0]
        self.made.append(whole)
        if whole is not None:
            self._origins[whole] = (entry.index, -1)

    def _checked(self, op: Any, code: Any) -> Any:
        """Prepared code that is compared with the engine in every call."""

        def follow(run: Any, inputs: Any, attrs: Any) -> Any:
            result = code.follow(run, inputs, attrs)
            if result is not MISS:
                with np.errstate(all="ignore"):  # the prepared code has warned
                    again = _apply(op, inputs, attrs, None, self._inner)
                parts, others = (
                    [part._data for part in (r if r.__class__ is tuple else (r,))] for r in (result, again)
                )
                if not same(parts, others):
                    raise CompileError(
                        f"autodiff.compile(check=True): the prepared {op.name} differs from the engine's"
                    )
            return result

        return follow

    def _lose(self, reason: str) -> None:
        self.at = None
        self.lost = reason

    def origin(self, node: Any) -> Any:
        """Where a node comes from: (entry, number of the output), or the number of a leaf, a new one if it must be."""
        found = self.known_origin(node)
        if found is None:
            found = self.leaves[node] = len(self.leaves)
        return found

    def known_origin(self, node: Any) -> Any:
        """The same; None for what the call has not met."""
        for place in range(self._placed, len(self.made)):
            self._origins.setdefault(self.made[place], (place, 0))
        self._placed = len(self.made)
        found = self.leaves.get(node)
        return self._origins.get(node) if found is None else found

    def draw(self, draw: Any, generator: Any, *args: Any) -> Any:
        """Random numbers of the library's: drawn now, as always."""
        return draw(generator, *args)

    def own(self, op: Any) -> Any:
        """The operation whose rules a transform's own walk asks, or the function that NumPy's means."""
        return op

    def shown(self, tangents: Any) -> Any:
        """What it hands them."""
        return tangents

    def step(self, optimizer: Any) -> Any:
        """An optimiser's step: the optimiser's own."""
        return NotImplemented

    # --- passes -------------------------------------------------------------------------------------------------------

    def backpropagate(self, roots: Any, seeds: Any, free: bool) -> None:
        """See :func:`autodiff.core.backward.backpropagate`."""
        inner, followed = self._ordinary_state()
        if followed and self._pass(roots, seeds, free, None) is not None:
            return
        _unfollowed(inner, engine.backpropagate, roots, seeds, free=free)

    def gradients_of(self, roots: Any, seeds: Any, targets: Any, free: bool, cut: bool) -> list[Any]:
        """See :func:`autodiff.core.backward.gradients_of`."""
        inner, followed = self._ordinary_state()
        found = self._pass(roots, seeds, free, targets) if followed and not cut else None
        if found is not None:
            known, grads = found
            by_leaf = dict(zip(self.leaves_at(known.leaves), grads, strict=True))
            return [by_leaf.get(target) for target in targets]
        return _unfollowed(inner, engine.gradients_of, roots, seeds, targets, free=free, cut=cut)  # type: ignore[no-any-return]

    def _pass(self, roots: Any, seeds: Any, free: bool, targets: Any) -> tuple[Pass, Any] | None:
        """Make a pass by prepared code: the code, and the gradients; None where the engine is to make it."""
        at = self.at
        if at is None or len(roots) != 1 or self.diverged:
            return None
        wanted = None if targets is None else tuple([self.place_of(target) for target in targets])
        root, seed = roots[0], seeds[0]
        for known in at.ready_passes:
            if self.made[known.root] is root and known.free is free and known.wanted == wanted:
                wanted_grads = self.by_the_engine(root, seed, known.leaves) if self.check else None
                grads = known.follow(self, seed)
                if grads is not MISS:
                    if wanted_grads is not None and not same(list(grads), wanted_grads):
                        raise CompileError(
                            "autodiff.compile(check=True): a prepared backward pass differs from the engine's"
                        )
                    return known, grads
        origin = self.known_origin(root)
        if origin.__class__ is not tuple or origin[1] != 0 or not isinstance(seed, np.ndarray | np.generic):
            return None
        key = origin, layout_of(seed), free, wanted
        visits = at.passes[key] = at.passes.get(key, 0) + 1
        if visits == 2:
            path = at.path()
            if all(entry.settled for entry in path):
                made = _unfollowed(self._inner, prepared_pass, self.workshop, self, path, root, seed, free, targets)
                if made is not None:
                    made.root, made.free, made.wanted = origin[0], free, wanted
                    at.ready_passes.append(made)
            else:
                at.passes[key] = 1
        return None

    def by_the_engine(self, root: Any, seed: Any, places: list[Any]) -> list[Any] | None:
        """What the engine's own pass brings to the same leaves; the graph stays as it is. None where hooks of the
        program's, which are called once, have a say.
        """
        leaves = self.leaves_at(places)
        if any(leaf.hooks for leaf in leaves) or any(node is not None and node.extras for node in self.made):
            return None
        with np.errstate(all="ignore"):  # the pass itself warns
            return _unfollowed(self._inner, engine.gradients_of, [root], [seed], leaves, free=False)  # type: ignore[no-any-return]

    def leaves_at(self, places: list[int]) -> list[Any]:
        """Leaves by their numbers; ``~number`` is what the alias of that number stands for."""
        leaves = list(self.leaves)
        return [leaves[place] if place >= 0 else leaves[~place].parents[0] for place in places]

    def place_of(self, node: Any) -> Any:
        """The number of a leaf, as :meth:`leaves_at` takes it; None for anything else."""
        found = self.leaves.get(node)
        if found is not None:
            return found
        for number, leaf in enumerate(self.leaves):
            if leaf.__class__ is Node and leaf.op is ALIAS and leaf.parents[0] is node:
                return ~number
        return None

    # --- the state ----------------------------------------------------------------------------------------------------

    def _ordinary_state(self) -> tuple[State | None, bool]:
        """The present state without this tracer, and whether what happens under it is followed."""
        state = current_state()
        assert state is not None
        if get_ident() != self._thread:
            inner = replace(state, tracer=None)
            return None if inner == ORDINARY else inner, False
        if state is not self._own and state is not self._other:
            if _BUT_GRAD(state) == _ORDINARY:
                self._own, self._grad, self._inner = state, state.grad, None if state.grad else _NO_GRAD
            else:
                self._other, self._others = state, replace(state, tracer=None)
        if state is self._own:
            return self._inner, True
        return self._others, False


def _unfollowed(inner: State | None, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """What a function does in the state without a tracer."""
    token = _state.set(inner)
    try:
        return function(*args, **kwargs)
    finally:
        _state.reset(token)


def _apply(op: Any, inputs: Any, attrs: dict[str, Any], residuals: list[Any] | None, inner: State | None) -> Any:
    """What the operation's own function does there."""
    if not isinstance(op, (Primitive, Fused)):
        return _unfollowed(inner, apply, op, inputs, attrs, residuals)
    if residuals is None:
        return _unfollowed(inner, op.function, *inputs, **attrs)
    result, kept = _unfollowed(inner, op.with_residuals, *inputs, **attrs)  # type: ignore[union-attr]
    residuals.append(kept)
    return result
