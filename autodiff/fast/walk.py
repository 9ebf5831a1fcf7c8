"""The exclusive backward pass: gradients stand on the nodes, not in a table.

One pass at a time may write to the nodes' ``g``. A pass that runs beside it, in a hook or in another thread, is walked
plainly: it keeps its gradients in a table of its own and writes to nothing on a shared graph.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.core import backward
from autodiff.core.backward import Unbatchable, added, come_to_rest, copied, leading_to, pull, through_hooks
from autodiff.core.graph import Node, Variable, topological_order
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
    older : list
        The nodes that a gradient has reached and that are too old to lead to a target.
    shared : dict
        Of leaves whose first gradient somebody else may hold: that gradient.
    owned : set
        The entries whose gradient was made here by an addition: nobody else can hold it, so more may be added in place.
        Anything else may be shared (the rule of ``x + y`` sends one array to both) and is never written to.
    """

    __slots__ = ("older", "owned", "reached", "shared")

    def __init__(self) -> None:
        self.older: list[Any] = []
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
        if held is None:
            entry.g = g
        elif held is False:
            entry.g = g
            if entry.__class__ is Variable:
                self.reached.append(entry)
                self.shared[entry] = g
            else:
                self.older.append(entry)
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
    found: dict[Any, Any] = {}
    since = 0
    useful = None
    if targets is not None:
        found = dict.fromkeys(targets)
        since = min([target.stamp for target in found], default=0)
    pending = Pending()
    order = _marked_order(roots, since)
    if targets is not None:
        useful = set(leading_to(found, order))
    for root, seed in zip(roots, seeds, strict=True):
        pending.add(root, seed)
    order.reverse()
    for node in order:
        g = node.g
        node.g = False
        if g is None:
            continue
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
    for entry in pending.older:
        entry.g = False
    return found


def _marked_order(roots: Sequence[Any], since: int) -> list[Any]:
    """The nodes that ``roots`` depend on, made at the time ``since`` or later, each after all of its parents; the ``g``
    of each, which was False, is made None.

    The order of :func:`topological_order`, so that sums come out the same, in about half of its time: ``g`` tells what
    has been seen, and nodes are placed a run at a time. Along ``path`` every node waits for its parents. At a node with
    several parents all but the last become ``branches``, each with the length of the path so far. When a path ends, its
    nodes down to the latest branch are placed.
    """
    order: list[Any] = []
    path: list[Any] = []
    branches: list[tuple[Any, int]] = [
        (root, 0) for root in roots if root is not None and root.__class__ is not Variable and root.stamp >= since
    ]
    while branches:
        entry, depth = branches.pop()
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
            for parent in entry.parents:
                if parent is None or parent.__class__ is Variable:
                    continue
                if parent.g is False and parent.stamp >= since:
                    if ahead is not None:
                        branches.append((ahead, len(path) + 1))
                    ahead = parent
            if ahead is None:
                order.append(entry)
                break
            path.append(entry)
            entry = ahead
    order += reversed(path)
    return order


def install() -> None:
    """Have backward passes walked here."""
    backward.above.walk = walk
