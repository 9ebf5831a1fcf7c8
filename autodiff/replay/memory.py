"""Where the results of a plan lie: lifetimes, which results share their bytes, and where each one begins.

Most results lie in one block, the *arena*. Those that the outside gets to see (gradients, what the step returns) have
memory of their own, and that is room too: what the last replay left in a gradient that ``zero_grad()`` has let go of is
of no use to anybody until the way back writes there anew, and by then what was needed on the way is no longer alive. An
eager step has the same advantage, since it holds no gradients then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from autodiff.replay.recorder import Op, Slot, reads

__all__ = ["ALIGNMENT", "Buffer", "Room", "aligned", "coalesced", "dense", "free_from", "pack", "same_place"]

ALIGNMENT = 64


class Buffer:
    """A storage that has a place beforehand.

    Attributes
    ----------
    shape, dtype, strides
        Of the result that lies there whole.
    first, last : int
        Numbers of the calls between which it is alive.
    exported : list of (place, attribute)
        Where the outside sees it; a place is None for what the step returns or hands to a call that it does not look
        into.
    offset : int or None
        In the arena, or in the memory of ``host``; None if the memory is its own.
    host : Buffer or None
        Whose memory it lies in, before that one is alive.
    guests : list of Buffer
        Those that lie in this one's memory.
    reshaped : dict
        Names of the whole in other shapes: {name: shape}.
    """

    __slots__ = (
        "dtype",
        "exported",
        "first",
        "guests",
        "host",
        "last",
        "memory",
        "name",
        "nbytes",
        "offset",
        "owner",
        "reshaped",
        "root",
        "shape",
        "slots",
        "strides",
    )

    def __init__(self, root: Slot, first: int) -> None:
        self.root = root
        self.shape, self.dtype, self.strides = root.value.shape, root.value.dtype, root.value.strides
        self.nbytes: int = root.value.nbytes
        self.first = self.last = first
        self.offset: int | None = None
        self.host: Buffer | None = None
        self.guests: list[Buffer] = []
        self.reshaped: dict[str, tuple[int, ...]] = {}
        self.exported: list[tuple[Any, str]] = []
        self.slots: list[Slot] = []
        self.name = ""
        self.owner: Any = None
        self.memory: Any = None


class Room:
    """Bytes that results can share, one after another.

    Parameters
    ----------
    host : Buffer or None
        Whose memory it is; None for the arena.
    first, last : int
        Numbers of the calls between which it is free.
    size : float
        Bytes; infinity for the arena, which grows.
    """

    def __init__(self, host: Buffer | None, first: float, last: float, size: float) -> None:
        self.host = host
        self.first, self.last, self.size = first, last, size
        self.used = 0
        self._taken: list[tuple[int, int, int, int]] = []  # offset, end, first, last

    def place(self, nbytes: int, first: int, last: int) -> int | None:
        """The lowest offset at which so many bytes are free between two calls, taken from now on; None if there is
        none.
        """
        if first < self.first or last > self.last:
            return None
        place = 0
        for offset, end, begin, stop in sorted(self._taken):
            if begin <= last and first <= stop and place < end and offset < place + nbytes:
                place = -(-end // ALIGNMENT) * ALIGNMENT
        if place + nbytes > self.size:
            return None
        self._taken.append((place, place + nbytes, first, last))
        self.used = max(self.used, place + nbytes)
        return place


def dense(array: Any) -> bool:
    """Whether an array covers its memory without gaps, in some order of axes."""
    size = array.itemsize
    for stride, n in sorted((s, n) for s, n in zip(array.strides, array.shape, strict=True) if n != 1):
        if stride != size:
            return False
        size *= n
    return bool(array.size)


def aligned(memory: Any) -> int:
    """How many bytes into an array's memory the first aligned one comes."""
    return int(-memory.__array_interface__["data"][0] % ALIGNMENT)


def same_place(a: Any, b: Any) -> bool:
    """Whether two places where something is bound or loaded are one: (("argument", number) or (kind, object),
    attribute).
    """
    (kind, what), attribute = a
    (other_kind, other), other_attribute = b
    return (
        kind == other_kind and attribute == other_attribute and (what == other if kind == "argument" else what is other)
    )


def free_from(buffer: Buffer, ops: list[Op], absent: list[Any]) -> int | None:
    """The first call of a replay at which nobody can see any more what the last replay has left in an exported buffer.

    Parameters
    ----------
    buffer : Buffer
        Which the replay knows to be held by nobody but the places where it is bound.
    ops : list of Op
    absent : list
        Places that the replay has seen to hold no gradient.

    Returns
    -------
    int or None
        None if what was left is looked at, or stays where it is until it is written over.
    """
    free = 0
    for place, attribute in buffer.exported:
        if place is None or (
            attribute == "grad" and any(same_place((place, attribute), (other, attribute)) for other in absent)
        ):
            continue
        here = (
            op
            for op in enumerate(ops)
            if op[1].kind in ("load", "bind") and same_place(op[1].target, (place, attribute))
        )
        number, op = next(here)
        if op.kind == "load":
            return None
        free = max(
            free, number + 1
        )  # which comes after the last decision: a replay that gives up leaves everything as it was
    return free


def coalesced(ops: list[Op], buffers: dict[int, Buffer], makes: Callable[[Op], bool]) -> list[list[Buffer]]:
    """Groups of buffers of one place: an elementwise result overwrites an input that dies there."""
    head: dict[int, int] = {}

    def find(i: int) -> int:
        while head.get(i, i) != i:
            i = head[i]
        return i

    groups: dict[int, list[int]] = {i: [i] for i, b in buffers.items() if not b.exported}
    for i, op in enumerate(ops):
        if not (
            isinstance(op.out, Slot) and isinstance(op.target, np.ufunc) and op.target.signature is None and makes(op)
        ):
            continue
        assert op.out.storage is not None
        mine = op.out.storage.index
        if mine not in groups or buffers[mine].first != i:
            continue
        inputs = [s for s in reads(op) if s.storage is not None]
        for slot in inputs:
            assert slot.storage is not None
            theirs = slot.storage.index
            other = buffers.get(theirs)
            if (
                other is None
                or other.exported
                or find(theirs) == find(mine)
                or max(buffers[j].last for j in groups[find(theirs)]) != i
            ):
                continue
            same = (
                slot.offset - other.root.offset,
                slot.value.shape,
                slot.value.strides,
                slot.value.dtype,
                other.nbytes,
            ) == (0, op.out.value.shape, op.out.value.strides, op.out.value.dtype, buffers[mine].nbytes)
            if not same or any(
                s is not slot and s.storage is not None and find(s.storage.index) == find(theirs) for s in inputs
            ):
                continue
            into, gone = find(theirs), find(mine)
            head[gone] = into
            groups[into] += groups.pop(gone)
            break
    return [[buffers[i] for i in group] for group in groups.values()]


def pack(groups: list[list[Buffer]], rooms: Iterable[Room]) -> int:
    """Give every group a place in the first room that has one for it, largest group first.

    Returns
    -------
    int
        Bytes of the arena.
    """
    arena = Room(None, 0, float("inf"), float("inf"))
    everywhere = [*sorted(rooms, key=lambda room: -room.size), arena]
    for group in sorted(groups, key=lambda group: -max(b.nbytes for b in group)):
        nbytes = max(b.nbytes for b in group)
        first, last = min(b.first for b in group), max(b.last for b in group)
        offset, host = next(
            (place, room.host) for room in everywhere if (place := room.place(nbytes, first, last)) is not None
        )
        for buffer in group:
            buffer.offset, buffer.host = offset, host
            if host is not None:
                host.guests.append(buffer)
    return arena.used
