"""Following a trace: what stands in the engine's place while a compiled step runs.

A :class:`Follower` belongs to one call. Every application of an operation and every backward pass asks it (by
``State.tracer``, which belongs to a thread or task). It answers with prepared code where the trace has some for exactly
what is asked, and with the engine's ordinary work where it has not. Either way the answer is there at once, as ordinary
Tensors on an ordinary graph. So there is nothing to undo, and nothing to find out about the step: an exception, a hook,
a value that decides, an array that is changed in between, another thread meet what they would meet without.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from autodiff.compiler.trace import MOST_BRANCHES, Entry, fact_of, frozen, layout_of
from autodiff.core import backward as engine
from autodiff.core.modes import ORDINARY, State, _state, current_state

__all__ = ["Follower"]

#: A call may leave so many entries; a longer one is a loop that wants ``scan``.
_LONGEST = 100_000


class Follower:
    """One call of a compiled step.

    Attributes
    ----------
    at : Entry or None
        The latest entry; None once the call has left the trace for good.
    fresh : int
        How many entries this call has added.
    lost : str
        Why it left the trace, if it did.
    """

    def __init__(self, root: Entry, outer: State | None, check: bool = False) -> None:
        self.at: Entry | None = root
        self.fresh = 0
        self.lost = ""
        self.check = check
        self.closed = False
        self._outer = outer
        self._thread = threading.get_ident()
        self._origins: dict[Any, Any] = {}  # node -> what made it
        self._leaves: list[Any] = []
        self._own: State | None = None  # the present state, and the same without this tracer
        self._inner: State | None = None

    # --- operations ---------------------------------------------------------------------------------------------------

    def apply(self, op: Any, inputs: Any, attrs: dict[str, Any], residuals: list[Any] | None) -> Any:
        """An application of an operation: see :func:`autodiff.recording.record`."""
        inner, followed = self._ordinary_state()
        at = self.at
        if not followed or at is None or at.index >= _LONGEST:
            return _apply(op, inputs, attrs, residuals, inner)
        key = (inner is None or inner.grad, tuple([fact_of(value, self._origin) for value in inputs]), frozen(attrs))
        result = _apply(op, inputs, attrs, residuals, inner)
        self._arrive(at, op, key, result)
        return result

    def _arrive(self, at: Entry, op: Any, key: Any, result: Any) -> None:
        """Note that an operation has been applied."""
        parts = result if result.__class__ is tuple else (result,)
        outs = tuple([layout_of(part._data) for part in parts])
        entry = at.find(op, key)
        if entry is None:
            if len(at.next) >= MOST_BRANCHES:
                self._lose(f"{op.name} was asked for in a way unlike that of {MOST_BRANCHES} calls before")
                return
            entry = Entry(op, key, at, outs)
            at.next.append(entry)
            self.fresh += 1
        elif entry.outs != outs:
            self._lose(f"the layout of what {op.name} gives depends on values")
            return
        entry.visits += 1
        self.at = entry
        for number, part in enumerate(parts):
            if part._node is not None:
                self._origins[part._node] = (entry.index, number)

    def _lose(self, reason: str) -> None:
        self.at = None
        self.lost = reason

    def _origin(self, node: Any) -> Any:
        """Where a node comes from: (entry, number of the output), or the number of a leaf."""
        found = self._origins.get(node)
        if found is None:
            found = self._origins[node] = len(self._leaves)
            self._leaves.append(node)
        return found

    # --- passes -------------------------------------------------------------------------------------------------------

    def backpropagate(self, roots: Any, seeds: Any, create_graph: bool, free: bool) -> None:
        """See :func:`autodiff.engine.backpropagate`."""
        inner, _ = self._ordinary_state()
        token = _state.set(inner)
        try:
            engine.backpropagate(roots, seeds, create_graph=create_graph, free=free)
        finally:
            _state.reset(token)

    def gradients_of(
        self, roots: Any, seeds: Any, targets: Any, create_graph: bool, free: bool, cut: bool
    ) -> list[Any]:
        """See :func:`autodiff.engine.gradients_of`."""
        inner, _ = self._ordinary_state()
        token = _state.set(inner)
        try:
            return engine.gradients_of(roots, seeds, targets, create_graph=create_graph, free=free, cut=cut)
        finally:
            _state.reset(token)

    # --- the state ----------------------------------------------------------------------------------------------------

    def _ordinary_state(self) -> tuple[State | None, bool]:
        """The present state without this tracer, and whether what happens under it is followed."""
        state = current_state()
        if state is not self._own:
            assert state is not None
            without = replace(state, tracer=None)
            self._own, self._inner = state, None if without == ORDINARY else without
        inner = self._inner
        plain = inner is None or inner == replace(ORDINARY, grad=inner.grad)
        return inner, plain and not self.closed and threading.get_ident() == self._thread


def _apply(op: Any, inputs: Any, attrs: dict[str, Any], residuals: list[Any] | None, inner: State | None) -> Any:
    """What the operation's own function does in the state without a tracer."""
    token = _state.set(inner)
    try:
        if residuals is None:
            return op.function(*inputs, **attrs)
        result, kept = op.with_residuals(*inputs, **attrs)
        residuals.append(kept)
        return result
    finally:
        _state.reset(token)
