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
    """One thing that a step asked for.

    Attributes
    ----------
    op : Primitive or Fused, or None at the root
    key : object
        The facts under which it was asked for; see :func:`fact_of`.
    index : int
        How many entries precede it on its path.
    outs : tuple
        Layouts of its results; see :func:`layout_of`.
    leaves : int
        How many leaves a call has met by then.
    ready : list of (operation, whether gradients are on, callable)
        Of ``next`` those that have code.
    ready_passes : list of Pass
        Backward passes that have code.
    next : list of Entry
        What was asked for next, in some call or other.
    visits : int
        How many calls came by.
    code : object
        What does its work, or None while nothing is prepared.
    settled : bool
        Whether it has been tried to prepare something.
    why : str
        Why nothing could be prepared.
    passes : dict
        Backward passes that began when this was the latest entry.
    """

    __slots__ = tuple("code index key leaves next op outs parent passes ready ready_passes settled visits why".split())

    def __init__(self, op: Any = None, key: Any = None, parent: Entry | None = None, outs: Any = ()) -> None:
        self.op = op
        self.key = key
        self.parent = parent
        self.index: int = -1 if parent is None else parent.index + 1
        self.outs = outs
        self.next: list[Entry] = []
        self.visits = 0
        self.code: Any = None
        self.ready: list[Any] = []
        self.ready_passes: list[Any] = []
        met = [fact[0] for fact in key[1] if fact.__class__ is tuple and fact[0].__class__ is int] if key else []
        self.leaves: int = 0 if parent is None else max([parent.leaves, *(place + 1 for place in met)])
        self.settled = False
        self.why = ""
        self.passes: dict[Any, Any] = {}

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
    """What an entry's facts say of one input.

    Parameters
    ----------
    value : Tensor, array, number or None
    origin_of : callable
        Tells of a node where it comes from: which entry made it, or which leaf it is.
    """
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
