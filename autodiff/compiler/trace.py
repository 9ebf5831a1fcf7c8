"""What a step asked of the library, call after call: a tree of entries, one path per way that a call has taken.

An entry is one application of an operation under given facts: which operation, with which attributes, on inputs of
which shapes, dtypes, memory layouts and origins. Facts hold no value: numbers and elements are read as they come.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.compiler.standin import outlined
from autodiff.core.graph import Variable
from autodiff.core.op import PYTHON_NUMBERS

__all__ = ["MOST_BRANCHES", "Entry", "fact_of", "frozen", "layout_of"]

#: So many ways to go on from one entry are remembered; a step that finds yet another one runs eagerly from there on.
MOST_BRANCHES = 12


class Entry:
    """One thing that a step asked for; the root of a tree of them stands for nothing."""

    __slots__ = tuple("code index key leaves next op outs parent passes ready ready_passes settled visits why".split())

    def __init__(self, op: Any = None, key: Any = None, parent: Entry | None = None, outs: Any = ()) -> None:
        self.op = op
        self.key = key  # the facts under which it was asked for: whether gradients are on, inputs, attributes
        self.parent = parent
        self.index: int = -1 if parent is None else parent.index + 1
        self.outs = outs  # layouts of its results
        self.next: list[Entry] = []  # what was asked for next, in some call or other
        self.visits = 0
        self.settled = False  # whether it has been tried to prepare code
        self.code: Any = None
        self.why = ""  # why there is none
        self.ready: list[Any] = []  # of ``next`` those with code: operation, whether gradients are on, callable
        self.passes: dict[Any, Any] = {}  # how often a backward pass began when this was the latest entry
        self.ready_passes: list[Any] = []  # of these the ones with code
        met = [fact[0] for fact in key[1] if fact.__class__ is tuple and fact[0].__class__ is int] if key else []
        #: How many leaves a call has met by then.
        self.leaves: int = 0 if parent is None else max([parent.leaves, *(place + 1 for place in met)])

    def find(self, op: Any, key: Any, outs: Any) -> Entry | None:
        """The entry that follows under these facts; how results lie may depend on values, too."""
        kin = getattr(op, "kin", None)  # what operations that are made anew at every call have in common
        for entry in self.next:
            alike = entry.op is op or (kin is not None and getattr(entry.op, "kin", None) is kin)
            if alike and entry.key == key and entry.outs == outs:
                return entry
        return None

    def before(self, index: int) -> Entry:
        """The entry of this number on the path to this one."""
        entry = self
        while entry.index != index:
            entry = entry.parent  # type: ignore[assignment]
        return entry

    def path(self) -> list[Entry]:
        """All entries from the first one to this one."""
        found: list[Entry] = []
        entry: Entry | None = self
        while entry is not None and entry.parent is not None:
            found.append(entry)
            entry = entry.parent
        return found[::-1]


def layout_of(value: Any) -> Any:
    """How an array lies in memory, or that it is a NumPy scalar."""
    if value.__class__ is np.ndarray:
        return value.shape, value.dtype, value.strides
    return value.__class__


def frozen(value: Any) -> Any:
    """An attribute as something that compares by value and type; of floats and arrays, which are read as they come, by
    type and layout alone.
    """
    return outlined(_frozen, value)


def _frozen(value: Any) -> Any:
    kind = value.__class__
    if value is None or kind in (bool, int, str):
        return kind, value
    if kind is float or kind is complex:
        return kind
    if kind is np.ndarray:
        return layout_of(value)
    if isinstance(value, np.generic):
        return kind if isinstance(value, np.inexact) else (kind, value.tobytes())
    if isinstance(value, (np.dtype, type)) or value is Ellipsis:
        return kind, value
    return kind, id(value)


def fact_of(value: Any, origin_of: Any) -> Any:
    """What an entry's facts say of one input; ``origin_of`` tells which entry made a node, or which leaf it is."""
    kind = value.__class__
    if kind is np.ndarray:
        return layout_of(value)
    if value is None or kind in PYTHON_NUMBERS:
        return kind
    try:
        node = value._node
        data = value._data
    except AttributeError:
        return kind  # a list, a NumPy scalar: the engine makes an array of it
    return (None if node is None else origin_of(node)), layout_of(data), node.__class__ is Variable
