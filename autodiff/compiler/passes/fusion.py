"""Which operations of a plan become chains: a pass over its list of calls.

An elementwise operation may run together with one that computes what it reads, if nothing else stands between them. The
pass reads the list from the beginning and puts every such operation into the group of its inputs, either by moving the
group down to it or the operation up to the group, whichever changes nothing that any other call reads or writes. What
nobody outside a group reads needs no memory in the plan.

Never moved: calls that are not elementwise, loads, bindings, draws. Nothing is moved past a call that changes Python
state (an optimiser's step), and nothing up past a decision, since the other way may be the one on which an operation
would warn. Written into are only arrays that the group itself made.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from autodiff.compiler.passes.chains import BLOCK, CAST, POINTWISE, Chain, Step, Value, compiles, least
from autodiff.compiler.record import Method, Op, Recorder, Slot, Storage, reads, slots_in
from autodiff.fast.thresholds import THRESHOLDS

__all__ = ["LARGE", "fuse"]

#: From so many bytes per array on blocks are worth their calls.
LARGE = THRESHOLDS["CHAIN_BYTES"].value

_MOST_STEPS = 128
_WINDOW = 256
_KINDS = "fbiu"
_FILLS = {np.zeros: 0, np.zeros_like: 0, np.ones: 1, np.ones_like: 1}


@dataclass(eq=False)
class _Item:
    """A group of elementwise calls, or one other call; with what it reads and writes."""

    ops: list[Op]
    key: Any = None  # shape and error state of a group, which may differ in whether divisions by zero are heeded
    outer: int | None = None
    reads: set[int] = field(default_factory=set)  # storages
    writes: set[int] = field(default_factory=set)
    takes: set[int] = field(default_factory=set)  # slots
    defines: set[int] = field(default_factory=set)
    outside_read: bool = False
    outside_written: bool = False

    def absorb(self, other: _Item) -> None:
        """The other group's operations come first."""
        self.ops = other.ops + self.ops
        self.outer = other.outer if self.outer is None else self.outer
        self.reads |= other.reads
        self.writes |= other.writes
        self.takes |= other.takes
        self.defines |= other.defines
        self.outside_read |= other.outside_read


def _conflict(first: _Item, then: _Item) -> bool:
    """Whether two items must stay in this order."""
    return bool(
        then.reads & first.writes
        or then.writes & (first.reads | first.writes)
        or then.takes & first.defines
        or (then.outside_written and (first.outside_read or first.outside_written))
        or (first.outside_written and then.outside_read)
    )


class _Pass:
    """One run of the pass."""

    def __init__(
        self, recorder: Recorder, ops: list[Op], outputs: Any, constants: dict[int, Any], creator: dict[int, Op]
    ) -> None:
        self.recorder = recorder
        self.ops = ops
        self.outputs = outputs
        self.constants = constants
        self.creator = creator
        self.compiles = compiles()
        self.items: list[_Item | None] = []
        self.group: dict[int, _Item] = {}  # storage made in a group -> that group
        self.readers: dict[int, _Item] = {}  # storage -> the last group that reads it
        self.place: dict[int, int] = {}  # id of a group -> its index in items

    def run(self) -> list[Op]:
        """The new list of calls."""
        if not any(self._shape(op) for op in self.ops):
            return self.ops
        for op in self.ops:
            self._take(op)
        kept = [item for item in self.items if item is not None]
        users: dict[int, set[int]] = {}
        for number, item in enumerate(kept):
            for op in item.ops:
                for slot in slots_in((op.args, op.kwargs)):
                    if slot.storage is not None:
                        users.setdefault(slot.storage.index, set()).add(number)
        for slot in slots_in(self.outputs):
            if slot.storage is not None:
                users.setdefault(slot.storage.index, set()).add(-1)
        found: list[Op] = []
        for number, item in enumerate(kept):
            found += (
                item.ops if item.key is None else self._built(item, {i for i, who in users.items() if who - {number}})
            )
        return (
            found if any(isinstance(op.target, Chain) for op in found) else self.ops
        )  # moved for nothing, calls may hold memory for longer

    # --- which --------------------------------------------------------------------------------------------------------

    def _shape(self, op: Op) -> tuple[int, ...] | None:
        """The shape of an elementwise call that may belong to a group."""
        target, out = op.target, op.out
        if (
            op.kind != "call"
            or not isinstance(out, Slot)
            or not isinstance(out.value, np.ndarray)
            or out.storage is None
        ):
            return None
        value = out.value
        if value.size < least() or not out.storage.made or not value.flags.c_contiguous or not _plain(value.dtype):
            return None
        creator = self.creator.get(out.storage.index)
        if creator is None or not isinstance(creator.out, Slot) or not _same(creator.out, out):
            return None
        if target in (np.empty, np.empty_like) or target in _FILLS:
            return value.shape if creator is op else None
        if type(target) is Method:
            if (
                target.name != "astype"
                or len(op.args) != 2
                or op.kwargs
                or creator is not op
                or not isinstance(op.args[0], Slot)
            ):
                return None
        elif target is np.where:
            if len(op.args) != 3 or op.kwargs or creator is not op:
                return None
        elif not (isinstance(target, np.ufunc) and target in POINTWISE and set(op.kwargs) <= {"out"}):
            return None
        elif ("out" in op.kwargs) == (creator is op):
            return None
        if target is np.power and isinstance(op.args[1], Slot) and isinstance(op.args[1].value, np.ndarray):
            return None  # one exponent for all is computed otherwise than many
        return value.shape if all(self._layout(arg, value) is not None for arg in _operands(op)) else None

    def _layout(self, arg: Any, like: Any) -> tuple[str, int | None] | None:
        """How an operand lies over a shape: ("full", None), ("scalar", None), ("row", outer), ("column", outer)."""
        value = arg.value if isinstance(arg, Slot) else arg
        if isinstance(value, (bool, int, float)):
            return ("scalar" if isinstance(arg, Slot) else "number"), None
        if isinstance(value, np.generic):
            return ("scalar" if isinstance(arg, Slot) else "number", None) if _plain(value.dtype) else None
        if (
            not isinstance(value, np.ndarray)
            or not _plain(value.dtype)
            or value.ndim > like.ndim
            or not value.flags.aligned
        ):
            return None
        if value.size == like.size and value.flags.c_contiguous:
            return "full", None
        if value.size == 1 or not any(s for s, n in zip(value.strides, value.shape, strict=True) if n > 1):
            return "scalar", None
        if (
            any(s == 0 and n > 1 for s, n in zip(value.strides, value.shape, strict=True))
            or not value.flags.c_contiguous
        ):
            return None
        lead = like.ndim - value.ndim
        wide = [lead + d for d, n in enumerate(value.shape) if n > 1]
        if value.size == prod(like.shape[wide[0] :]):
            return "row", prod(like.shape[: wide[0]])
        if value.size == prod(like.shape[: wide[-1] + 1]):
            return "column", prod(like.shape[: wide[-1] + 1])
        return None

    def _take(self, op: Op) -> None:
        """Put the next call into a group, or at the end."""
        item = self._item(op)
        if item.key is None or not self._join(item):
            if item.key is not None and op.writes:
                item.key = None  # it writes into what another call made, and so stays a call of its own
            self.items.append(item)
            if item.key is not None:
                self._enter(item, len(self.items) - 1)

    def _item(self, op: Op) -> _Item:
        item = _Item([op])
        for slot in reads(op):
            item.takes.add(slot.index)
            if slot.storage is not None:
                item.reads.add(slot.storage.index)
                item.outside_read |= not slot.storage.made
        for slot in op.outs():
            item.defines.add(slot.index)
            if slot.storage is not None and slot.storage.made and self.creator.get(slot.storage.index) is op:
                item.writes.add(slot.storage.index)
        for storage in op.writes:
            item.writes.add(storage.index)
            item.outside_written |= not storage.made
        if item.outside_written:
            return item
        shape = self._shape(op)
        if shape is None:
            return item
        outers = {found[1] for arg in _operands(op) if (found := self._layout(arg, op.out.value)) is not None} - {None}  # type: ignore[union-attr]
        if len(outers) <= 1:
            item.key = (shape, tuple(_without_divide(op.errors).items()))
            item.outer = next(iter(outers), None)
        return item

    def _join(self, item: _Item) -> bool:
        """Bring an operation together with the groups that it reads from, or that read what it reads."""
        near = {id(g): g for i in item.writes | item.reads if (g := self.group.get(i)) is not None}
        near |= {id(g): g for i in self._whole(item) if (g := self.readers.get(i)) is not None}
        op, end, gone = item.ops[0], len(self.items), []
        made = _Item(
            [op],
            item.key,
            item.outer,
            set(item.reads),
            set(item.writes),
            set(item.takes),
            set(item.defines),
            item.outside_read,
        )
        for group in sorted(near.values(), key=lambda g: -self.place[id(g)]):
            at = self.place[id(group)]
            if group.key != item.key or len(group.ops) + len(made.ops) > _MOST_STEPS or end - at > _WINDOW:
                continue
            if group.outer is not None and made.outer is not None and group.outer != made.outer:
                continue
            between = [q for q in self.items[at + 1 : end] if q is not None]
            if any(_conflict(group, q) for q in between):
                if any(_conflict(q, made) or q.ops[0].kind == "guard" for q in between):
                    continue
                end = at
            made.absorb(group)
            gone.append(at)
        # What was made outside cannot be written into by a chain, which may have to compute twice.
        if not gone or not all(self.creator[s.index] in made.ops for s in op.writes):
            return False
        for at in gone:
            self.items[at] = None
        if end == len(self.items):
            self.items.append(None)
        self.items[end] = made
        self._enter(made, end)
        return True

    def _whole(self, item: _Item) -> set[int]:
        """Storages of the operands that have an element for every element of the result."""
        op = item.ops[0]
        like = op.out.value  # type: ignore[union-attr]
        slots = [s for s in slots_in(op.args) if s.storage is not None and s.index not in self.constants]
        return {s.storage.index for s in slots if s.storage is not None and s.value.size == like.size}

    def _enter(self, item: _Item, at: int) -> None:
        self.place[id(item)] = at
        for index in item.writes:
            self.group[index] = item
        for op in item.ops:
            for index in self._whole(_Item([op])):
                self.readers[index] = item

    # --- the chain ----------------------------------------------------------------------------------------------------

    def _built(self, item: _Item, used: set[int]) -> list[Op]:
        """A group as calls of the plan: memory for what it gives, its operands as the chain takes them, and the chain.
        Or as it was.
        """
        translated = self._translated(item, used)
        if translated is None:
            return item.ops
        steps, inputs, outputs = translated
        loops = sum(step.loop is not None for step in steps)
        last = item.ops[-1].out
        assert isinstance(last, Slot)
        size = last.value.size
        large = (
            len(steps) > 2 and last.value.nbytes >= LARGE and (item.outer is None or size // item.outer <= 4 * BLOCK)
        )
        if not (large or (loops > 1 and self.compiles)):
            return item.ops
        shape = (size,) if item.outer is None else (item.outer, size // item.outer)
        chain = Chain(steps, list(inputs), list(outputs), size, item.outer)
        made: list[Op] = []
        passed: list[Any] = [self._operand(value.kind, slot, shape, made) for value, slot in inputs.items()]
        writes: list[Storage] = []
        for root in outputs.values():
            assert root.storage is not None
            made.append(Op("call", np.empty, (root.value.shape, root.value.dtype), out=root))
            self.creator[root.storage.index] = made[-1]
            passed.append(self._view(root, shape, made))
            writes.append(root.storage)
        for block, dtype in chain.scratch:
            array = np.empty(block, dtype)
            storage = self.recorder._storage(array, made=True)
            made.append(Op("call", np.empty, (block, dtype), out=self.recorder._new("array", array, storage)))
            self.creator[storage.index] = made[-1]
            passed.append(made[-1].out)
            writes.append(storage)
        made.append(Op("call", chain, tuple(passed)))
        made[-1].writes, made[-1].errors = tuple(writes), _shared_errors(item.ops)
        return made

    def _translated(
        self, item: _Item, used: set[int]
    ) -> tuple[list[Step], dict[Value, Slot], dict[Value, Slot]] | None:
        """The steps of a group with the slots of inputs and outputs; None if there is too little to do."""
        steps: list[Step] = []
        shared = _shared_errors(item.ops)
        inputs: dict[int, tuple[Value, Slot]] = {}
        current: dict[int, Value | None] = {}  # storage -> what is in it
        for op in item.ops:
            out = op.out
            assert isinstance(out, Slot)
            assert out.storage is not None
            if op.target in (np.empty, np.empty_like):
                current[out.storage.index] = None
                continue
            if op.target in _FILLS:
                current[out.storage.index] = Value("number", out.value.dtype, out.value.dtype.type(_FILLS[op.target]))
                continue
            args: list[Value] = []
            for arg in _operands(op):
                if isinstance(arg, Slot) and arg.storage is not None and arg.storage.index in current:
                    found = current[arg.storage.index]
                    if found is None:
                        return None
                    args.append(found)
                    continue
                layout = self._layout(arg, out.value)
                assert layout is not None
                if isinstance(arg, Slot):
                    kind: Any = layout[0]
                    args.append(inputs.setdefault(arg.index, (Value(kind, _dtype(arg.value)), arg))[0])
                else:
                    args.append(Value("number", _dtype(arg), arg))
            own = None if op.errors == shared else op.errors
            steps.append(
                Step(CAST if type(op.target) is Method else op.target, args, Value("computed", out.value.dtype), own)
            )
            current[out.storage.index] = steps[-1].out
        outputs: dict[Value, Slot] = {}
        for index, value in current.items():
            if index not in used:
                continue
            if value is None or value.kind == "number" or value in outputs:
                return None
            value.place = len(outputs)
            root = self.creator[index].out
            assert isinstance(root, Slot)
            outputs[value] = root
        return (steps, dict(inputs.values()), outputs) if outputs and len(steps) > 1 else None

    def _operand(self, kind: str, slot: Slot, shape: tuple[int, ...], made: list[Op]) -> Slot:
        """An input as a chain takes it."""
        value = slot.value
        if kind == "scalar":
            if not isinstance(value, np.ndarray):
                return slot
            first = (0,) * value.ndim
            new = self.recorder._new("scalar", value[first], None)
            if slot.index in self.constants:
                self.constants[new.index] = new.value
            else:
                made.append(Op("call", operator.getitem, (slot, first), out=new))
            return new
        return self._view(slot, {"full": shape, "row": shape[1:], "column": (shape[0], 1)}[kind], made)

    def _view(self, slot: Slot, shape: tuple[int, ...], made: list[Op]) -> Slot:
        """An array in another shape, without a copy."""
        if slot.value.shape == shape:
            return slot
        new = self.recorder._new("array", slot.value.reshape(shape), slot.storage)
        new.offset = slot.offset
        if slot.index in self.constants:
            self.constants[new.index] = new.value
        else:
            made.append(Op("call", Method("reshape"), (slot, shape), out=new))
        return new


def fuse(
    recorder: Recorder, ops: list[Op], outputs: Any, constants: dict[int, Any], creator: dict[int, Op]
) -> list[Op]:
    """Replace elementwise calls that can run together by chains.

    Parameters
    ----------
    recorder : Recorder
        Whose record it is: it numbers what is new.
    ops : list of Op
        The plan's calls.
    outputs : template
        What the step returns.
    constants : dict of int to value
        Slots that are known beforehand; views of them are added.
    creator : dict of int to Op
        Storage -> the call that makes it; changed where memory is now made by another.

    Returns
    -------
    list of Op
    """
    return _Pass(recorder, ops, outputs, constants, creator).run()


def _without_divide(errors: dict[str, Any] | None) -> dict[str, Any]:
    return {name: what for name, what in (errors or {}).items() if name != "divide"}


def _shared_errors(ops: list[Op]) -> dict[str, Any] | None:
    """The error state of a group's operations, as far as they share it."""
    first = ops[0].errors
    return (first if all(op.errors == first for op in ops) else _without_divide(first)) or None


def _operands(op: Op) -> tuple[Any, ...]:
    """What an elementwise call computes with."""
    if isinstance(op.target, np.ufunc) or op.target is np.where:
        return tuple(op.args)
    return tuple(op.args[:1]) if type(op.target) is Method else ()


def _dtype(value: Any) -> Any:
    """A value's dtype; of a Python number its type, since it takes the dtype of the arrays beside it."""
    return type(value) if type(value) in (int, float) else np.asarray(value).dtype


def _same(a: Slot, b: Slot) -> bool:
    """Whether two slots are the same place."""
    return (a.offset, a.value.shape, a.value.strides, a.value.dtype) == (
        b.offset,
        b.value.shape,
        b.value.strides,
        b.value.dtype,
    )


def _plain(dtype: Any) -> bool:
    return dtype.kind in _KINDS and dtype.itemsize <= 8 and dtype.isnative and dtype != np.float16
