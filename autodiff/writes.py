"""Writes of the library into arrays in place, by an optimiser's step say, and what they make too old to be read.

A node keeps the time at which it was made. A backward pass through one that reads an array that has been written into
since is refused.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from autodiff.core import backward
from autodiff.core.errors import GraphError
from autodiff.core.graph import Node, Variable, tick, time
from autodiff.core.op import argument

__all__ = ["overwritten", "writes_to", "written"]

_lock = threading.Lock()

# By identity of the array that owns the memory: a reference to it, and when which of its bytes were written into.
_writes: dict[int, tuple[weakref.ref[Any], dict[tuple[int, int], int]]] = {}


def written(array: Any, leaf: Variable | None = None) -> None:
    """Note that the library has written into an array in place.

    A backward pass through a node that was recorded before and whose rules would read these bytes is refused. What a
    program writes by itself (``p.data[0] = 1``) is not seen.

    Parameters
    ----------
    array : numpy.ndarray or None
        None for a leaf that was given another array: then only what computes anew with its value is refused.
    leaf : Variable, optional
        The leaf whose value it is; its ``version`` becomes the present time.
    """
    now = tick()
    time.written = now
    if leaf is not None:
        leaf.version = now
    if isinstance(array, np.ndarray):
        writes, place = writes_to(array)
        writes[place] = now


def writes_to(array: Any) -> tuple[dict[tuple[int, int], int], tuple[int, int]]:
    """The table in which it is noted when an array's memory was written into, and the array's key in it."""
    owner = _owner(array)
    key = id(owner)
    with _lock:
        if key not in _writes:
            _writes[key] = (weakref.ref(owner, lambda _: _writes.pop(key, None)), {})
        return _writes[key][1], byte_bounds(array)


def overwritten(array: Any, stamp: int) -> bool:
    """Whether the library has written into an array since the time ``stamp``."""
    if not isinstance(array, np.ndarray):
        return False
    _, ranges = _writes.get(id(_owner(array)), (None, {}))
    low, high = byte_bounds(array)
    return any(when > stamp and first < high and low < last for (first, last), when in list(ranges.items()))


def _owner(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _check_unwritten(node: Node) -> None:
    """Refuse a pass through old values: something that the node will read has been written into since."""
    op = node.op
    arrays = node.saved[0] if op.fused else node.saved if op.pull is not None else node.saved[1:]
    changed = [position for position, array in enumerate(arrays) if overwritten(array, node.stamp)]
    if op.pull is not None:  # such an operation may compute anew what it closes over
        changed += [i for i, parent in enumerate(node.parents) if getattr(parent, "version", 0) > node.stamp]
    for position in changed:
        parent = node.parents[position]
        name = None if parent is None else parent.name
        raise GraphError(
            f"the backward pass of {op.name} needs old values of its argument {argument(op, position)}"
            f"{f' ({name})' if name else ''}, which has been changed in place since, by an optimiser's step say; call"
            " backward before the change, or compute again after it"
        )


backward.above.check_unwritten = _check_unwritten
