"""The exclusive backward pass: gradients stand on the nodes, not in a table.

One pass at a time may write to the nodes' ``g``. A pass that runs beside it, in a hook or in another thread, is walked
plainly: it keeps its gradients in a table of its own and writes to nothing on a shared graph.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from autodiff.core import backward
from autodiff.core.backward import Unbatchable, added, come_to_rest, copied, leading_to, pull, through_hooks
from autodiff.core.graph import STAMP, Node, Variable, topological_order
from autodiff.fast.thresholds import THRESHOLDS

__all__ = ["Pending", "install", "send", "walk"]

_IN_PLACE = THRESHOLDS["IN_PLACE"].value
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)

# Whoever holds it may write to every entry's ``g``. Nobody waits for it.
_exclusive = threading.Lock()


class Pending:
    """The gradients on their way during one pass.

    Attributes
    ----------
    reached : list
        The leaves that a gradient has reached.
    ready : list
        The nodes that a gradient has newly reached.
    shared : dict
        Of leaves whose first gradient somebody else may hold: that gradient.
    owned : set
        The entries whose gradient was made here by an addition: nobody else can hold it, so more may be added in place.
        Anything else may be shared (the rule of ``x + y`` sends one array to both) and is never written to.
    """

    __slots__ = ("owned", "reached", "ready", "shared")

    def __init__(self) -> None:
        self.ready: list[Any] = []
        self.reached: list[Any] = []
        self.shared: dict[Any, Any] = {}
        self.owned: set[Any] = set()

    def summed(self, entry: Any, held: Any, g: Any) -> Any:
        """What has arrived, and more."""
        if entry in self.owned:
            return np.add(held, g, held)
        if held.__class__ is np.ndarray and held.size >= _IN_PLACE and g.__class__ is np.ndarray:
            self.owned.add(entry)
        return added(held, g)

    def add(self, entry: Any, g: Any) -> None:
        """Let a gradient arrive that others may hold."""
        held = entry.g
        if held is False:
            entry.g = g
            if entry.__class__ is Variable:
                self.reached.append(entry)
                self.shared[entry] = g
            else:
                self.ready.append(entry)
        else:
            entry.g = self.summed(entry, held, g)


def send(node: Node, g: Any, pending: Pending) -> None:
    """The plain pull, for operations and gradients without a compiled one."""
    for parent, part in zip(node.parents, pull(node, g, False), strict=True):
        if part is not None:
            pending.add(parent, part)


def walk(roots: Sequence[Any], seeds: Sequence[Any], targets: Sequence[Any] | None, free: bool, cut: bool) -> Any:
    """As :func:`autodiff.core.backward.walk`; NotImplemented while another pass has the graphs."""
    if not _exclusive.acquire(False):
        return NotImplemented
    try:
        found = _walk(roots, seeds, targets, free, cut)
    except BaseException:
        for entry in topological_order(roots):
            entry.g = False
        # If that is itself interrupted, the lock is never given back: all later passes are plain, slower and as right.
        _exclusive.release()
        raise
    _exclusive.release()
    return found


def _walk(
    roots: Sequence[Any], seeds: Sequence[Any], targets: Sequence[Any] | None, free: bool, cut: bool
) -> dict[Any, Any]:
    found: dict[Any, Any] = dict.fromkeys(targets or ())
    useful = None
    if targets is not None:
        useful = set(leading_to(found, topological_order(roots, min(map(STAMP, found), default=0))))
    pending = Pending()
    for root, seed in zip(roots, seeds, strict=True):
        pending.add(root, seed)
    ready = pending.ready
    waiting: list[tuple[int, Node]] = []  # a heap
    while ready or waiting:
        if waiting or len(ready) > 1:  # the youngest comes first, which all that used it have come before
            for entry in ready:
                heappush(waiting, (-entry.stamp, entry))
            ready.clear()
            node = heappop(waiting)[1]
        else:
            node = ready.pop()
        g = node.g
        node.g = False
        if useful is not None:
            if node not in useful:
                continue
            if node in found and g.__class__ is not list:
                found[node] = copied(g)
                if cut:
                    continue
        if node.extras is not None and g.__class__ is not list:
            g = through_hooks(node, g, False)
            come_to_rest(node, g, False)
        try:
            node.op.send(node, g, pending)
        except Unbatchable:
            send(node, g, pending)
        if free:
            node.saved = None
    shared, ndarray, single, double = pending.shared, np.ndarray, _SINGLE, _DOUBLE
    for entry in pending.reached:
        g = entry.g
        entry.g = False
        if targets is not None:
            if entry in found:
                found[entry] = copied(g)
        elif entry._grad is not None or entry.hooks or (entry.dtype is not single and entry.dtype is not double):
            come_to_rest(entry, through_hooks(entry, g, False), False)
        elif g.__class__ is ndarray and (g.base is not None or (shared and shared.get(entry) is g)):
            entry._grad = np.array(g)
        else:
            entry._grad = g
    return found


def install() -> None:
    """Have backward passes walked here."""
    backward.above.walk = walk
