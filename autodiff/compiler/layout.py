"""Where results lie: lifetimes, which results share their bytes, and where each one begins.

What nobody outside the code sees lies in one block of scratch memory, laid out beforehand. What the outside gets to see
has memory of its own in every call: NumPy's where it is small, else a pool's that is used again when nobody holds it.
"""

from __future__ import annotations

import ctypes
import weakref
from bisect import insort
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import groupby
from typing import Any

import numpy as np

from autodiff.compiler.listing import Listing
from autodiff.compiler.record import Op, Slot, reads, slots_in
from autodiff.fast.thresholds import THRESHOLDS

__all__ = ["ALIGNMENT", "LEASED", "Buffer", "Pool", "Scratch", "place"]

ALIGNMENT = 64
_SMALL = 1024  # bytes


@dataclass
class Buffer:
    """A storage that has a place beforehand, or memory of the pool."""

    root: Slot  # the result that lies there whole
    slots: list[Slot]  # that and all views of it
    first: int  # numbers of the calls between which it is alive
    last: int
    exported: bool  # whether it has memory of its own in every call, as what the outside sees
    offset: int = 0  # in the scratch memory
    name: str = ""


def dense(array: Any) -> bool:
    """Whether an array covers its memory without gaps, in some order of axes."""
    size = array.itemsize
    for stride, n in sorted((s, n) for s, n in zip(array.strides, array.shape, strict=True) if n != 1):
        if stride != size:
            return False
        size *= n
    return bool(array.size)


def block(nbytes: int) -> Any:
    """So many bytes, aligned."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


# --- memory that outlives the code that writes into it ----------------------------------------------------------------

#: Results of so many bytes take memory that is used again. The C library keeps what smaller ones leave: with arrays of
#: 4 MiB an eager step faults in 3,559 pages and takes 136 ms, a compiled one none and 127; of half a MiB neither does.
LEASED = THRESHOLDS["LEASED"].value


class Pool:
    """Memory for results, used again once the last array on it is gone.

    The memory of a large array goes back to the system when it dies, and the next one's pages are faulted in anew,
    which takes longer than to write them. An array leased here stands on an object of its own that dies with the last
    view of it; only then is the memory given out again. So whoever holds a result, or a view of one, holds its memory.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[Any]] = {}
        self._leased: dict[int, Any] = {}
        self._idle: dict[int, int] = {}  # of each size that was asked for, how many were free at the least

    def lease(self, nbytes: int) -> Any:
        """A buffer of so many bytes that is nobody else's."""
        try:
            memory = self._free[nbytes].pop()
        except (KeyError, IndexError):
            memory = block(nbytes)
        free = len(self._free.get(nbytes, ()))
        self._idle[nbytes] = min(free, self._idle.get(nbytes, free))
        holder = (ctypes.c_char * nbytes).from_buffer(memory)
        reference = weakref.ref(holder, self._give_back)
        self._leased[id(reference)] = reference, nbytes, memory
        return holder

    def _give_back(self, reference: Any) -> None:
        _, nbytes, memory = self._leased.pop(id(reference))
        self._free.setdefault(nbytes, []).append(memory)

    def trim(self) -> None:
        """Let go of what was never in use since the last time."""
        for nbytes, free in list(self._free.items()):
            del free[: self._idle.get(nbytes, len(free))]
        self._idle.clear()

    @property
    def nbytes(self) -> int:
        """Bytes held, leased or not."""
        leased: int = sum(nbytes for _, nbytes, _ in list(self._leased.values()))
        return leased + sum(nbytes * len(free) for nbytes, free in list(self._free.items()))


class Scratch:
    """The block that results lie in which no one outside the code sees; one for all code of a step, since only one
    piece of it runs at a time.
    """

    def __init__(self) -> None:
        self.memory = np.empty(0, np.uint8)

    def block(self, nbytes: int) -> Any:
        """At least so many bytes, aligned."""
        if self.memory.size < nbytes:
            self.memory = block(nbytes)
        return self.memory


def place(listing: Listing, writable: Callable[[Op], bool], held: int) -> tuple[dict[int, Buffer], int]:
    """Which storages have a place beforehand, or memory of their own in every call (``exported``), and how many bytes
    of scratch memory the first take. Of ``held`` bytes and more nothing is held from call to call: a step holds no more
    than the eager step while other code of it runs.
    """
    uses: dict[int, list[int]] = defaultdict(list)
    members: dict[int, dict[int, Slot]] = defaultdict(dict)
    ops = listing.ops
    seen = slots_in(listing.outputs)
    for i, slots in enumerate([*([*reads(op), *op.outs()] for op in ops), seen]):
        for slot in slots:
            if slot.storage is not None:
                uses[slot.storage.index].append(i)
                members[slot.storage.index][slot.index] = slot
    visible = {slot.storage.index for slot in seen if slot.storage is not None}
    moving = {s.storage.index for op in ops if op.loose for s in op.outs() if s.storage is not None}
    buffers: dict[int, Buffer] = {}
    for i, op in enumerate(ops):
        root = op.out
        if op.kind != "call" or not listing.makes(op) or not isinstance(root, Slot) or not writable(op):
            continue
        storage = root.storage
        assert storage is not None
        if storage.index in moving or not dense(root.value) or root.offset != listing.root(storage).offset:
            continue
        inside = list(members[storage.index].values())
        if any(s.offset < 0 or s.value is None or extent(s) > root.value.nbytes for s in inside):
            continue
        exported = storage.index in visible
        flags = root.value.flags
        if exported and (root.value.nbytes < LEASED or not (flags.c_contiguous or flags.f_contiguous)):
            continue
        exported = exported or root.value.nbytes >= held
        buffers[storage.index] = Buffer(root, inside, i, max(uses[storage.index]), exported)
    scratch = [buffer for buffer in buffers.values() if not buffer.exported]
    return buffers, pack(sorted(scratch, key=lambda buffer: -buffer.root.value.nbytes))


def pack(buffers: list[Buffer]) -> int:
    """Give each buffer, the largest first, bytes that are free while it is alive; how many bytes that takes.

    A large one takes the lowest such bytes. A small one shares with others of its size alone: a program of 10,000 small
    calls would else look at all pairs of them.
    """
    used, taken = 0, list[tuple[int, int, int, int]]()  # offset, end, first, last; in order
    for buffer in buffers:
        nbytes, place = buffer.root.value.nbytes, 0
        if nbytes <= _SMALL:
            break
        for offset, end, begin, stop in taken:
            if begin <= buffer.last and buffer.first <= stop and place < end and offset < place + nbytes:
                place = _aligned(end)
        insort(taken, (place, place + nbytes, buffer.first, buffer.last))
        buffer.offset, used = place, max(used, place + nbytes)
    for size, alike in groupby(buffers[len(taken) :], lambda buffer: _aligned(buffer.root.value.nbytes)):
        busy = list[tuple[int, int]]()  # last, offset; a heap
        for buffer in sorted(alike, key=lambda buffer: buffer.first):
            free = busy and busy[0][0] < buffer.first
            buffer.offset = heappop(busy)[1] if free else _aligned(used)
            used = max(used, buffer.offset + size)
            heappush(busy, (buffer.last, buffer.offset))
    return used


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def extent(slot: Slot) -> int:
    """Bytes from the storage's beginning to the slot's end."""
    array = slot.value
    if not array.size or any(s < 0 for s in array.strides):
        # A view that runs backwards begins at its last element; it lies inside whatever it is a view of.
        return 0
    end: int = slot.offset + sum(s * (n - 1) for s, n in zip(array.strides, array.shape, strict=True)) + array.itemsize
    return end
