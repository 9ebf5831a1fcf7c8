"""From the record of a call to a plan: fewer calls, memory laid out beforehand, one generated function.

The order of the calls is the recorded one, and so are the calls themselves, hence the bits. What changes is where
results go. A result whose call can write into a given array (``out=``) gets a place in one block of memory, the
*arena*, that is shared by all results that are not alive at the same time; every view of such a place is made once,
here, and costs nothing in a replay. Results that the outside gets to see (gradients, new values of buffers, what the
step returns) have memory of their own, which is written over in the next replay only if nobody else holds it by then,
and in which other results lie as long as nobody can look there (``memory.py``). Everything else (parameters, arguments,
results of calls that cannot write into a given array) is handled by name in the generated function, as in the eager
step.

Passes, in this order: fold what is computed from constants; drop what nobody needs; take cheaper calls of the same bits
(``cheaper.py``); let a copy take the place of what it copies; move decisions ahead of random draws and of what the
outside can see; join elementwise calls to chains; lay out memory; write the function.
"""

from __future__ import annotations

import itertools
import operator
import sys
from collections import defaultdict
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.replay import cheaper
from autodiff.replay.chains import Chain
from autodiff.replay.cheaper import as_operand, c_einsum, cheapen
from autodiff.replay.decisions import ahead_of_draws, ahead_of_writes
from autodiff.replay.fusion import fuse
from autodiff.replay.memory import ALIGNMENT, Buffer, Room, aligned, coalesced, dense, free_from, pack, same_place
from autodiff.replay.picture import Step, plan_to_dot
from autodiff.replay.profile import Profile, profiled
from autodiff.replay.recorder import Attribute, Method, Op, Recorder, Slot, Storage, reads, slots_in
from autodiff.tensor import Tensor

__all__ = ["DIVERGED", "Plan", "Unplannable"]

#: What a replay returns when a value decided otherwise than it did in the recorded call; nothing has been changed then.
DIVERGED: Any = object()

_COPIES = {np.array, np.asarray, np.ascontiguousarray, np.copy, np.reshape, np.ravel}
_COPY_METHODS = {"astype", "copy", "reshape", "ravel", "flatten"}
_FILLS = {np.zeros: 0, np.ones: 1, np.zeros_like: 0, np.ones_like: 1}
_EMPTY = {np.empty, np.empty_like}
# NumPy warns where these get the place of their result as a third argument.
_OUT_BY_NAME = {np.maximum, np.minimum}
#: Both operands of these are brought to one dtype, so that a Python number may stand there as an array of that dtype
#: from the beginning.
_ALIKE = {
    np.add,
    np.subtract,
    np.multiply,
    np.true_divide,
    np.floor_divide,
    np.remainder,
    np.maximum,
    np.minimum,
    np.fmax,
    np.fmin,
    np.greater,
    np.greater_equal,
    np.less,
    np.less_equal,
    np.equal,
    np.not_equal,
}
_TAKE_OUT = {np.dot, np.concatenate, np.stack, np.clip, np.outer}
_OUT_METHODS = {"cumsum", "cumprod", "clip", "argmax", "argmin"}


class Unplannable(Exception):
    """The record cannot be turned into a plan; the message says why."""


class Plan:
    """A recorded call as a flat list of NumPy calls.

    Attributes
    ----------
    source : str
        The generated function.
    nbytes : int
        Bytes that the plan holds on to: the arena and the memory of what the outside sees.
    calls : int
        How many calls of NumPy or of compiled loops a replay makes.
    """

    def __init__(self, recorder: Recorder, arguments: list[Slot | None], outputs: list[Any], name: str) -> None:
        self.name = name
        self.arguments = arguments
        self.outputs = outputs
        self.generators = [generator for generator, _ in recorder.generators.values()]
        #: Gradients that must be there, or must not, for the plan to hold: (place, whether there).
        self.expected = [
            (recorder._name_of(w.variable), w.first is not None)
            for w in recorder.variables.values()
            if w.read or (w.changed and not w.overwritten)
        ]
        self.ops = recorder.ops
        self.constants: dict[int, Any] = {slot.index: slot.value for slot in recorder.held}
        self.creator: dict[int, Op] = {}  # storage -> the call that makes it
        self.buffers: dict[int, Buffer] = {}
        for op in self.ops:
            for slot in op.outs():
                if slot.storage is not None and slot.storage.made:
                    self.creator.setdefault(slot.storage.index, op)
        self._fold()
        self._drop()
        cheapen(self.ops)
        self._elide_copies()
        self._drop()
        self.ops, self.rollback = ahead_of_draws(self.ops)
        self.ops, self.stuck = ahead_of_writes(self.ops)
        self.ops = fuse(recorder, self.ops, self.outputs, self.constants, self.creator)
        self._place()
        self.prepared: dict[
            Op, Any
        ] = {}  # host call -> the optimiser's step prepared for it, and the buffers of its gradients
        self._prepare()
        self.pinned: list[tuple[Slot, Any, int]] = []
        self.cut: list[tuple[Slot, Op]] = []
        self._pin()
        self._write()
        # What the recorded call computed is needed no more.
        for slot in recorder.slots:
            slot.value = None
        for storage in recorder.storages.values():
            storage.owner = None

    # --- passes
    # -------------------------------------------------------------------------------------------------------------

    def _fold(self) -> None:
        """Results that depend on nothing but constants and are never written into are constants themselves."""
        written = {s.index for op in self.ops for s in op.writes}
        visible = {
            s.storage.index
            for op in self.ops
            if op.kind in ("bind", "host")
            for s in reads(op)
            if s.storage is not None
        }
        visible |= {s.storage.index for s in slots_in(self.outputs) if s.storage is not None}
        # An array from outside may be written into by its owner between calls: what is computed from it is no constant.
        # A view of it is.
        outside = set(self.constants)
        kept = []
        for op in self.ops:
            inputs = reads(op)
            fixed = all(s.index in self.constants for s in inputs)
            pure = fixed and not any(s.index in outside for s in inputs)
            out = op.out
            if op.kind == "guard" and pure:
                continue
            if op.kind == "call" and fixed and isinstance(out, Slot) and not op.writes:
                if out.storage is None:
                    if pure and inputs:
                        self.constants[out.index] = out.value
                        continue
                elif out.storage.index not in written | visible:
                    view = not self._makes(op)
                    if view or pure:
                        self.constants[out.index] = out.value
                        if not pure:
                            outside.add(out.index)
                        continue
            kept.append(op)
        self.ops = kept

    def _makes(self, op: Op) -> bool:
        """Whether the call makes new memory, and is no view or write."""
        return any(
            s.storage is not None and s.storage.made and self.creator.get(s.storage.index) is op for s in op.outs()
        )

    def _drop(self) -> None:
        """Drop calls whose results nobody needs."""
        slots: set[int] = {s.index for s in slots_in(self.outputs)}
        storages: set[int] = {s.storage.index for s in slots_in(self.outputs) if s.storage is not None}
        kept: list[Op] = []
        for op in reversed(self.ops):
            needed = op.kind in ("guard", "bind", "host", "draw") or any(not s.made for s in op.writes)
            needed = needed or any(s.index in storages for s in op.writes) or any(s.index in slots for s in op.outs())
            needed = needed or any(
                self.creator.get(i) is op
                for i in storages & {s.storage.index for s in op.outs() if s.storage is not None}
            )
            if not needed:
                continue
            for slot in reads(op):
                slots.add(slot.index)
                if slot.storage is not None:
                    storages.add(slot.storage.index)
            kept.append(op)
        self.ops = kept[::-1]

    def _elide_copies(self) -> None:
        """A copy of something that is not used afterwards takes its place: ``p.grad`` is then written straight where it
        stays.
        """
        last: dict[int, int] = {}
        for i, op in enumerate(self.ops):
            for slot in (*reads(op), *op.outs()):
                if slot.storage is not None:
                    last[slot.storage.index] = i
            for storage in op.writes:
                last[storage.index] = i
        for slot in slots_in(self.outputs):
            if slot.storage is not None:
                last[slot.storage.index] = len(self.ops)
        kept = []
        for i, op in enumerate(self.ops):
            source = reads(op)[0] if len(reads(op)) == 1 else None
            out = op.out
            if (
                op.kind == "call"
                and isinstance(out, Slot)
                and source is not None
                and source.storage is not None
                and out.storage is not None
                and source.storage.made
                and source.index not in self.constants
                and self._copies(op)
                and last[source.storage.index] == i
                and (source.value.dtype, source.value.strides, source.value.nbytes)
                == (out.value.dtype, out.value.strides, out.value.nbytes)
                and source.value.shape == out.value.shape
                and source.value.nbytes == self._root(source.storage).value.nbytes
                and self.creator[source.storage.index].kind == "call"
                and _can_write(self.creator[source.storage.index])
            ):
                self._merge(out.storage, source)
                continue
            kept.append(op)
        self.ops = kept

    def _copies(self, op: Op) -> bool:
        return op.target in _COPIES or (type(op.target) is Method and op.target.name in _COPY_METHODS)

    def _root(self, storage: Storage) -> Slot:
        op = self.creator[storage.index]
        return next(s for s in op.outs() if s.storage is storage)

    def _merge(self, gone: Storage, source: Slot) -> None:
        """Everything in storage ``gone`` now lies where ``source`` lies."""
        assert source.storage is not None
        shift = source.offset
        base = self._root(gone).offset
        for slot in self._all_slots():
            if slot.storage is gone:
                slot.storage = source.storage
                slot.offset += shift - base
        for op in self.ops:
            op.writes = tuple(source.storage if s is gone else s for s in op.writes)

    def _all_slots(self) -> list[Slot]:
        found: dict[int, Slot] = {}
        for op in self.ops:
            for slot in (*reads(op), *op.outs()):
                found[slot.index] = slot
        for slot in slots_in(self.outputs):
            found[slot.index] = slot
        return list(found.values())

    # --- memory
    # ---------------------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        """Decide which storages have a place beforehand, and where."""
        uses: dict[int, list[int]] = defaultdict(list)
        members: dict[int, dict[int, Slot]] = defaultdict(dict)
        for i, op in enumerate(self.ops):
            for slot in (*reads(op), *op.outs()):
                if slot.storage is not None:
                    uses[slot.storage.index].append(i)
                    members[slot.storage.index][slot.index] = slot
        for slot in slots_in(self.outputs):
            if slot.storage is not None:
                uses[slot.storage.index].append(len(self.ops))
                members[slot.storage.index][slot.index] = slot
        for i, op in enumerate(self.ops):
            if op.kind != "call" or not self._makes(op) or not isinstance(op.out, Slot) or not _can_write(op):
                continue
            root = op.out
            storage = root.storage
            assert storage is not None
            if not dense(root.value) or root.offset != self._root(storage).offset:
                continue
            inside = members[storage.index].values()
            if any(s.offset < 0 or s.value is None or _extent(s) > root.value.nbytes for s in inside):
                continue
            buffer = Buffer(root, i)
            buffer.last = max(uses[storage.index])
            buffer.slots = list(inside)
            self.buffers[storage.index] = buffer
        self._export()
        self._pack()

    def _export(self) -> None:
        """Memory of its own for what the outside sees; no place beforehand where that would be unsafe."""
        bound: dict[int, list[tuple[Any, str, Slot]]] = defaultdict(list)
        for op in self.ops:
            if op.kind == "bind" and op.args[0] is not None:
                slot = op.args[0]
                if slot.storage is not None:
                    bound[slot.storage.index].append((*op.target, slot))
            if op.kind == "host":
                for slot in reads(op):
                    if slot.storage is not None:
                        bound[slot.storage.index].append((None, "", slot))
        for slot in slots_in(self.outputs):
            if slot.storage is not None:
                bound[slot.storage.index].append((None, "", slot))
        for index, places in bound.items():
            buffer = self.buffers.get(index)
            if buffer is None:
                continue
            slot = places[0][2]
            whole = (
                all(s is slot for _, _, s in places)
                and slot.offset == buffer.root.offset
                and slot.value.nbytes == buffer.nbytes
            )
            flags = slot.value.flags
            if (
                index in self.stuck
                or not whole
                or not (flags.c_contiguous or flags.f_contiguous)
                or self._read_after_made(places, buffer)
            ):
                del self.buffers[index]
                continue
            buffer.root = slot
            buffer.shape, buffer.dtype, buffer.strides = slot.value.shape, slot.value.dtype, slot.value.strides
            buffer.exported = [(place, attribute) for place, attribute, _ in places if place is not None] or [
                (None, "")
            ]

    def _read_after_made(self, places: list[tuple[Any, str, Slot]], buffer: Buffer) -> bool:
        """Whether what the last replay left in a buffer is still read, through the place where it was bound, once this
        replay writes there.
        """
        loaded = {
            slot.storage.index
            for op in self.ops
            if op.kind == "load"
            for slot in op.outs()
            if slot.storage is not None
            and any(place is not None and same_place(op.target, (place, attribute)) for place, attribute, _ in places)
        }
        for i, op in enumerate(self.ops):
            if any(s.storage is not None and s.storage.index in loaded for s in reads(op)):
                elementwise = isinstance(op.target, np.ufunc) and op.target.signature is None
                if i > buffer.first or (i == buffer.first and not elementwise):
                    return True
        return False

    def _pack(self) -> None:
        """Lay the buffers that nobody else sees into the room that there is, and what has none into the arena."""
        absent = [place for place, there in self.expected if not there]
        rooms = []
        for buffer in self.buffers.values():
            if buffer.exported and (free := free_from(buffer, self.ops, absent)) is not None:
                rooms.append(Room(buffer, free, buffer.first - 1, buffer.nbytes - ALIGNMENT + 1))
        self.arena_bytes = pack(coalesced(self.ops, self.buffers, self._makes), rooms)
        arena = np.empty(self.arena_bytes + ALIGNMENT, np.uint8)
        self._arena = arena[aligned(arena) :]

    def _prepare(self) -> None:
        """Optimisers whose every gradient comes from this plan take a step prepared for it, with gradients laid side by
        side.
        """
        gradients: dict[int, Buffer] = {}
        taken: set[int] = set()
        for op in self.ops:
            if op.kind == "bind" and op.target[1] == "grad":
                (kind, variable), _ = op.target
                slot = op.args[0]
                buffer = None if slot is None or slot.storage is None else self.buffers.get(slot.storage.index)
                if buffer is None or kind != "variable" or not slot.value.flags.c_contiguous:
                    gradients.pop(id(variable), None)
                else:
                    gradients[id(variable)] = buffer
            if op.kind != "host":
                continue
            ready, gradients = gradients, {}  # whatever a host call does to gradients is out of sight
            owner: Any = op.args[0] if op.args else None
            if (
                getattr(type(owner).__dict__.get("step", getattr(type(owner), "step", None)), "__wrapped__", None)
                is not op.target
            ):
                continue
            if (
                len(op.args) > 1
                or op.kwargs
                or op.out is not None
                or not hasattr(owner, "_prepared")
                or id(owner) in taken
            ):
                continue
            step = owner._prepared()
            if step is None:
                continue
            groups = [[ready.get(id(p._node)) for p in group] for group in step.groups()]
            if all(b is not None and b.exported and len(b.exported) == 1 for group in groups for b in group):
                taken.add(id(owner))
                self.prepared[op] = (step, groups)

    def _pin(self) -> None:
        """Parameters lie where a prepared step has put them, so that they need not be read anew, and views of them are
        cut once.

        Not those that the outside gets to see: a view that is handed out must be one that the prepared step counts the
        holders of.
        """
        places = {
            id(p): (part, i)
            for step, _ in self.prepared.values()
            for part in step.parts
            for i, p in enumerate(part.bucket.params)
        }
        seen = [s for op in self.ops if op.kind in ("bind", "host") for s in reads(op)]
        visible = {s.storage.index for s in (*seen, *slots_in(self.outputs)) if s.storage is not None}
        pinned: set[int] = set()
        kept = []
        ahead = True  # of every call that might bind other arrays
        for op in self.ops:
            ahead = ahead and op.kind != "host"
            out = op.out
            if (
                ahead
                and isinstance(out, Slot)
                and out.storage is not None
                and out.storage.index not in visible
                and not op.writes
            ):
                (kind, owner), attribute = op.target if op.kind == "load" else (("", None), "")
                if kind == "tensor" and attribute == "_data" and id(owner) in places:
                    self.pinned.append((out, *places[id(owner)]))
                    pinned.add(out.index)
                    continue
                if (
                    op.kind == "call"
                    and not self._makes(op)
                    and reads(op)
                    and all(s.index in pinned for s in reads(op))
                ):
                    self.cut.append((out, op))
                    pinned.add(out.index)
                    continue
            kept.append(op)
        self.ops = kept

    def _put_pinned(self) -> None:
        """Where the parameters lie now, under the names that the generated function uses."""
        found: dict[int, Any] = {slot.index: part.views[i] for slot, part, i in self.pinned}

        def filled(value: Any) -> Any:
            if isinstance(value, Slot):
                return found[value.index]
            return type(value)(map(filled, value)) if isinstance(value, (tuple, list)) else value

        for slot, op in self.cut:
            found[slot.index] = op.target(*filled(op.args), **{key: filled(value) for key, value in op.kwargs.items()})
        for index, array in found.items():
            self.scope[self.names[index]] = array
        found.clear()
        for step, _ in self.prepared.values():
            step.seal()

    def _lay(self, step: Any, groups: list[list[Buffer]]) -> list[Any]:
        """Memory for the gradients of a prepared step, side by side in one vector per group."""
        vectors = []
        for group in groups:
            vector = np.empty(sum(b.nbytes for b in group) // group[0].dtype.itemsize, group[0].dtype)
            start = 0
            for buffer in group:
                size = buffer.nbytes // buffer.dtype.itemsize
                buffer.memory = vector[start : start + size].reshape(buffer.shape)
                start += size
            vectors.append(vector)
        step.attach(vectors)
        return vectors

    # --- the generated function
    # ---------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        self.scope: dict[str, Any] = {"np": np, "refs": sys.getrefcount, "DIVERGED": DIVERGED, "operator": operator}
        self.names: dict[int, str] = {}
        self._facts: dict[int, tuple[Any, Any, Any]] = {}
        self._count = itertools.count()
        self._constants: dict[Any, str] = {}
        for slot_index, value in self.constants.items():
            self.names[slot_index] = self._constant(value, "c")
        for step, groups in self.prepared.values():
            self._lay(step, groups)
        for number, buffer in enumerate(self.buffers.values()):
            buffer.name = f"b{number}"
        for buffer in self.buffers.values():
            if buffer.host is None:
                self._allocate(buffer)
        for number, (loaded, _, _) in enumerate(self.pinned):
            self.names[loaded.index] = f"p{number}"
        for view, op in self.cut:
            self.names[view.index] = f"{self.names[reads(op)[0].index]}_{view.index}"
        self._put_pinned()
        lines: list[str] = []
        taken = [f"a{i}" for i in range(len(self.arguments))]
        for name, slot in zip(taken, self.arguments, strict=True):
            if slot is not None:
                self.names[slot.index] = name
        self._calls = 0
        body: list[str] = []
        steps = {op: f"s{number}" for number, op in enumerate(self.prepared)}
        self.steps: list[Step] = []
        for op in self.ops:
            written = [f"{steps[op]}.step()"] if op in steps else self._line(op)
            body += written
            if written:
                self.steps.append(self._step(op, written[0]))
        for number, (step, _) in enumerate(self.prepared.values()):
            self.scope[f"s{number}"] = step
            lines.append(f"if s{number}.secure():")
            lines.append("    pin()")
        self.scope["pin"] = self._put_pinned
        self._exported = [b for b in self.buffers.values() if b.exported]
        if self._exported:
            # In an ordinary replay nobody but the places where they are bound hold what the last one handed out.
            self.scope["renew"] = self._renew
            self._watch()
            self.scope["alone"] = alone = tuple(map(sys.getrefcount, self.scope["exported"]))
            places = [sum(place is not None for place, _ in b.exported) for b in self._exported]
            self.scope["usual"] = tuple(map(sum, itertools.zip_longest(alone, places, fillvalue=0)))
            tests = []
            for number, buffer in enumerate(self._exported):
                at = [
                    f"({self._path(place, attribute)} is {buffer.name})"
                    for place, attribute in buffer.exported
                    if place is not None
                ]
                tests.append(" + ".join([f"alone[{number}]", *at]))
            lines.append("if tuple(map(refs, exported)) != usual:")
            lines.append(f"    renew(({', '.join(tests)},))")
        if self.expected:
            # A Tensor, after create_graph=True, is added to by other calls.
            self.scope["other"] = (type(None), Tensor)
            paths = [(self._path(place, "grad"), there) for place, there in self.expected]
            there = [f"{path}.__class__ in other" if there else f"{path} is not None" for path, there in paths]
            lines.insert(0, "    return DIVERGED")
            lines.insert(0, "if " + " or ".join(there) + ":")
        if self.rollback:
            self.scope["generators"] = self.generators
            lines.append("states = [g.bit_generator.state for g in generators]")
        lines += body
        lines.append(f"return {self._output(self.outputs)}")
        self.source = f"def replay({', '.join(taken)}):\n" + "\n".join("    " + line for line in lines) + "\n"
        exec(compile(self.source, f"<plan of {self.name}>", "exec"), self.scope)
        self.replay = self.scope["replay"]
        self.nbytes = self.arena_bytes + sum(b.nbytes for b in self._exported)

    def _watch(self) -> None:
        """Gather what the outside sees, so that the references to it can be counted."""
        vectors = [vector for step, _ in self.prepared.values() for vector in step.gradients()]
        self.scope["exported"] = (*(self.scope[b.name] for b in self._exported), *vectors)

    def _renew(self, unheld: tuple[int, ...]) -> None:
        """Fresh memory for what somebody still holds from an earlier replay.

        Parameters
        ----------
        unheld : tuple of int
            As many references as there should be to each exported buffer.
        """
        counts = tuple(map(sys.getrefcount, self.scope["exported"]))
        held = [b for b, found, right in zip(self._exported, counts, unheld, strict=False) if found != right]
        vectors = iter(zip(counts[len(unheld) :], self.scope["alone"][len(unheld) :], strict=True))
        self.scope["exported"] = ()
        for step, groups in self.prepared.values():
            again = False
            for group in groups:
                found, right = next(vectors)
                again = again or found != right or any(b in held for b in group)
            if again:
                self._lay(step, groups)
                held += [b for group in groups for b in group if b not in held]
        for buffer in held:
            self._allocate(buffer)
        self._watch()

    def _allocate(self, buffer: Buffer) -> None:
        """Memory for a buffer, and all views of it and of its guests."""
        if buffer.exported:
            like = buffer.root.value if buffer.owner is None else buffer.owner
            order: Any = "C" if like.flags.c_contiguous else "F"
            buffer.owner = np.empty(buffer.shape, buffer.dtype, order) if buffer.memory is None else buffer.memory
            memory, start = _in_order(buffer.owner), 0
        elif buffer.host is not None:
            assert buffer.offset is not None
            memory = _in_order(buffer.host.owner)
            start = aligned(memory) + buffer.offset
        else:
            assert buffer.offset is not None
            memory, start = self._arena, buffer.offset
        for number, slot in enumerate(sorted(buffer.slots, key=lambda s: s.index)):
            if buffer.exported and slot is buffer.root:
                self.names[slot.index] = buffer.name
                self.scope[buffer.name] = buffer.owner
                continue
            name = buffer.name if slot is buffer.root else f"{buffer.name}_{number}"
            self.names[slot.index] = name
            facts = self._facts_of(slot)
            self.scope[name] = np.ndarray(
                facts[0], facts[1], memory, start + slot.offset - buffer.root.offset, facts[2]
            )
        for name, shape in buffer.reshaped.items():
            self.scope[name] = self.scope[buffer.name].reshape(shape)
        for guest in buffer.guests:
            self._allocate(guest)

    def _facts_of(self, slot: Slot) -> tuple[Any, Any, Any]:
        found = self._facts.get(slot.index)
        if found is None:
            found = self._facts[slot.index] = (slot.value.shape, slot.value.dtype, slot.value.strides)
        return found

    def _constant(self, value: Any, letter: str = "k") -> str:
        key = id(value)
        name = self._constants.get(key)
        if name is None:
            name = self._constants[key] = f"{letter}{next(self._count)}"
            self.scope[name] = value
        return name

    def _name(self, slot: Slot) -> str:
        return self.names.setdefault(slot.index, f"v{slot.index}")

    def _text(self, value: Any) -> str:
        """A template as Python."""
        if isinstance(value, Slot):
            return self._name(value)
        kind = type(value)
        if kind in (bool, int, str) or value is None or value is Ellipsis:
            return repr(value) if value is not Ellipsis else "..."
        if kind is float and value == value and abs(value) != float("inf"):
            return repr(value)
        if kind is tuple:
            return "(" + "".join(self._text(item) + ", " for item in value).rstrip() + ")" if value else "()"
        if kind is list:
            return "[" + ", ".join(map(self._text, value)) + "]"
        if kind is dict:
            return "{" + ", ".join(f"{key!r}: {self._text(item)}" for key, item in value.items()) + "}"
        if kind is slice:
            return f"slice({self._text(value.start)}, {self._text(value.stop)}, {self._text(value.step)})"
        return self._constant(value)

    def _operands(self, op: Op) -> list[str]:
        """The positional arguments as Python; numbers beside an array become arrays of its dtype, which NumPy would
        make of them in every call.
        """
        texts = [self._text(a) for a in op.args]
        if op.target in _ALIKE and len(op.args) == 2 and "dtype" not in op.kwargs:
            for i, (number, other) in enumerate((op.args, op.args[::-1])):
                if isinstance(other, Slot) and isinstance(other.value, np.ndarray):
                    made = as_operand(number, other.value.dtype)
                    if made is not None:
                        texts[i] = self._number(made)
        return texts

    def _number(self, array: Any) -> str:
        key = (array.dtype.str, array.tobytes())
        name = self._constants.get(key)
        if name is None:
            name = self._constants[key] = f"k{next(self._count)}"
            self.scope[name] = array
        return name

    def _callable(self, target: Any) -> str:
        name = str(getattr(target, "__name__", ""))
        ufunc = getattr(target, "__self__", None)
        if isinstance(ufunc, np.ufunc):
            return f"{self._callable(ufunc)}.{name}"
        if name and getattr(np, name, None) is target:
            return f"np.{name}"
        if isinstance(target, Chain):
            return self._constant(target, "chain")
        if name and getattr(cheaper, name, None) is target:
            self.scope[name] = target
            return name
        if name and getattr(np.linalg, name, None) is target:
            return f"np.linalg.{name}"
        if name and getattr(operator, name, None) is target:
            return f"operator.{name}"
        return self._constant(target, "f")

    def _place_name(self, place: tuple[str, Any]) -> str:
        kind, what = place
        if kind == "argument":
            return f"a{what}"
        return self._constant(what, "t" if kind == "tensor" else "n")

    def _path(self, place: tuple[str, Any], attribute: str, loaded: bool = False) -> str:
        kind, _ = place
        name = self._place_name(place)
        if attribute == "grad":
            # The property makes arrays of scalars for whoever looks at them; nothing else needs to go through it.
            return f"{name}{'._node' if kind == 'argument' else ''}.{'grad' if loaded else '_grad'}"
        return f"{name}.{attribute}"

    def _step(self, op: Op, text: str) -> Step:
        """What a picture shows of a line."""
        storages = {s.index for s in op.writes} | {s.storage.index for s in op.outs() if s.storage is not None}
        buffer = next((self.buffers[i] for i in storages if i in self.buffers), None)
        names = {
            "load": "load",
            "bind": f".{op.target[1]} =" if op.kind == "bind" else "",
            "guard": "holds?",
            "draw": "draw",
        }
        if op.kind == "host":
            label = f"{getattr(op.target, '__qualname__', 'host')}"
        else:
            label = names.get(op.kind) or (
                op.target.name if isinstance(op.target, Method) else self._callable(op.target)
            )
            label += f"\\n{op.target.label}" if isinstance(op.target, Chain) else ""
        takes = [self._base(s) for s in reads(op)]
        if op.kind == "load":
            takes.append(self._place_name(op.target[0]))
        gives = [self._base(s) for s in op.outs()] + [
            self.buffers[s.index].name for s in op.writes if s.index in self.buffers
        ]
        facts = f"{buffer.dtype}{list(buffer.shape)}" if buffer is not None else ""
        place = (
            None
            if buffer is None or buffer.offset is None
            else (buffer.host.name if buffer.host else "", buffer.offset)
        )
        return Step(
            text,
            label,
            tuple(takes),
            tuple(dict.fromkeys(gives)),
            place,
            buffer is not None and bool(buffer.exported),
            facts,
        )

    def _base(self, slot: Slot) -> str:
        """A slot's name, or that of the buffer that it is a view of."""
        buffer = None if slot.storage is None else self.buffers.get(slot.storage.index)
        return self._name(slot) if buffer is None else buffer.name

    @property
    def calls(self) -> int:
        """How many calls of NumPy or of compiled loops a replay makes."""
        return self._calls + sum(op.target.calls for op in self.ops if isinstance(op.target, Chain))

    def profiled(self) -> AbstractContextManager[Profile]:
        """Time every line of the replays made inside a ``with`` block, which are steps like any other.

        Returns
        -------
        context manager
            Gives a :class:`~autodiff.replay.profile.Profile`: print it afterwards, or read ``.lines`` and ``.seconds``.

        Examples
        --------
        >>> import numpy as np, autodiff
        >>> step = autodiff.compile(lambda x: np.tanh(autodiff.Tensor(x) @ autodiff.Tensor(x)).sum())
        >>> x = np.ones((4, 4))
        >>> _ = step(x)
        >>> with step.plan.profiled() as profile:
        ...     for _ in range(20):
        ...         _ = step(x)
        >>> profile.replays, len(profile.lines) == len(profile.seconds)
        (20, True)
        """
        return profiled(self)

    @property
    def dot(self) -> str:
        """The plan as a picture in DOT: one box per call, coloured by the memory of its result."""
        return plan_to_dot(f"{self.name}: {self.calls} calls, {self.nbytes:,} bytes", self.steps)

    def save(self, path: str | Path) -> Path:
        """Draw the plan into a file; the suffix (.dot, .svg, .pdf or .png) chooses the format, and all but .dot need
        Graphviz.

        Raises
        ------
        ArgumentError
            For another suffix.
        MissingExtraError
            If there is no layout engine; the message names the remedies.
        """
        target = Path(path)
        if target.suffix not in (".dot", ".svg", ".pdf", ".png"):
            raise ArgumentError(f"save({str(path)!r}): the suffix must be one of .dot, .svg, .pdf, .png")
        if target.suffix == ".dot":
            target.write_text(self.dot)
            return target
        from autodiff.viz.svg import render

        target.write_bytes(render(self.dot, target.suffix[1:]))
        return target

    def _line(self, op: Op) -> list[str]:
        if op.kind == "load":
            assert isinstance(op.out, Slot)
            return [f"{self._name(op.out)} = {self._path(op.target[0], op.target[1], loaded=True)}"]
        if op.kind == "bind":
            return [f"{self._path(*op.target)} = {'None' if op.args[0] is None else self._name(op.args[0])}"]
        if op.kind == "guard":
            test = f"if {'not ' if op.target else ''}{self._name(op.args[0])}:"
            back = ["    for g, s in zip(generators, states): g.bit_generator.state = s"] if self.rollback else []
            return [test, *back, "    return DIVERGED"]
        self._calls += not isinstance(op.target, Chain)
        line = self._call(op)
        if line is None:
            self._calls -= 1
            return []
        if op.errors is not None:
            return [
                f"with np.errstate({', '.join(f'{k}={v!r}' for k, v in op.errors.items() if k != 'call')}):",
                f"    {line}",
            ]
        return [line]

    def _call(self, op: Op) -> str | None:
        out = op.out
        if (
            isinstance(out, Slot)
            and out.storage is not None
            and out.storage.index in self.buffers
            and op.kind == "call"
        ):
            buffer = self.buffers[out.storage.index]
            if self.creator.get(out.storage.index) is op:
                return None if op.target in _EMPTY else self._into(op, out)
            if not op.writes:
                return None  # a view of a place known beforehand
            del buffer
        text = self._plain(op)
        if out is None or out == [] or (op.writes and isinstance(out, Slot) and out.index in self.names):
            return text
        if isinstance(out, list):
            parts = ", ".join("_" if s is None else self._name(s) for s in out)
            return f"{parts}{',' if len(out) == 1 else ''} = {text}"
        return f"{self._name(out)} = {text}"

    def _plain(self, op: Op) -> str:
        """The call as it was recorded."""
        target, args = op.target, self._operands(op)
        kwargs = [f"{key}={self._text(value)}" for key, value in op.kwargs.items()]
        if type(target) is Attribute:
            return f"{args[0]}.{target.name}"
        if type(target) is Method:
            return f"{args[0]}.{target.name}({', '.join(args[1:] + kwargs)})"
        if target is operator.getitem:
            return f"{args[0]}[{args[1]}]"
        if target is operator.setitem:
            return f"{args[0]}[{args[1]}] = {args[2]}"
        by_place = isinstance(target, np.ufunc) and target.nout == 1 and target not in _OUT_BY_NAME
        if by_place and list(op.kwargs) == ["out"] and isinstance(op.kwargs["out"], Slot):
            return f"{self._callable(target)}({', '.join([*args, self._text(op.kwargs['out'])])})"
        return f"{self._callable(target)}({', '.join(args + kwargs)})"

    def _into(self, op: Op, out: Slot) -> str:
        """The call, with its result written into the place that is known beforehand."""
        name, target = self._name(out), op.target
        if target in _FILLS:
            return f"{name}.fill({_FILLS[target]})"
        if target is np.full:
            return f"{name}[...] = {self._text(op.args[1])}"
        if self._copies(op):
            source = op.args[0]
            into = name
            if source.value.shape != out.value.shape:
                into = f"{name}_r"
                assert out.storage is not None
                self.buffers[out.storage.index].reshaped[into] = source.value.shape
                self.scope[into] = self.scope[name].reshape(source.value.shape)
            return f"{into}[...] = {self._text(source)}"  # for a small array in half of the time of np.copyto
        args = self._operands(op)
        kwargs = [f"{key}={self._text(value)}" for key, value in op.kwargs.items()]
        if target is np.dot and len(args) == 2 and not kwargs:
            return f"{args[0]}.dot({args[1]}, {name})"  # past NumPy's dispatch, which takes as long as a small product
        if isinstance(target, np.ufunc):
            if not kwargs and target not in _OUT_BY_NAME:
                return f"{self._callable(target)}({', '.join([*args, name])})"
            return f"{self._callable(target)}({', '.join([*args, *kwargs, f'out={name}'])})"
        if getattr(target, "__name__", "") == "reduce":
            args[3] = name
            return f"{self._callable(target)}({', '.join(args + kwargs)})"
        if type(target) is Method:
            return f"{args[0]}.{target.name}({', '.join([*args[1:], *kwargs, f'out={name}'])})"
        return f"{self._callable(target)}({', '.join([*args, *kwargs, f'out={name}'])})"

    def _output(self, value: Any) -> str:
        return self._text(value)

    def __str__(self) -> str:
        held = ", ".join(f"{b.name}: {b.dtype}{list(b.shape)}" for b in self.buffers.values())
        chains = "".join(
            "\n" + op.target.text(self._callable(op.target)) for op in self.ops if isinstance(op.target, Chain)
        )
        return (
            f"# plan of {self.name}: {self.calls} calls; {len(self.buffers)} buffers, {self.nbytes:,} bytes\n"
            f"# {held}\n{self.source}{chains}"
        )

    __repr__ = __str__


def _in_order(array: Any) -> Any:
    """An array as one whose elements follow one another in memory, as ndarray's constructor wants them."""
    return array if array.flags.c_contiguous else array.T


def _extent(slot: Slot) -> int:
    """Bytes from the storage's beginning to the slot's end."""
    array = slot.value
    if not array.size or any(s < 0 for s in array.strides):
        # A view that runs backwards begins at its last element; it lies inside whatever it is a view of.
        return 0
    end: int = slot.offset + sum(s * (n - 1) for s, n in zip(array.strides, array.shape, strict=True)) + array.itemsize
    return end


def _can_write(op: Op) -> bool:
    """Whether the call can be told where its result goes without a change of its bits."""
    target, kwargs, out = op.target, op.kwargs, op.out
    if not isinstance(out, Slot) or not isinstance(out.value, np.ndarray) or "out" in kwargs:
        return False
    if isinstance(target, np.ufunc):
        return target.nout == 1 and set(kwargs) <= {"dtype", "casting", "axis", "axes", "keepdims", "subok"}
    if getattr(target, "__name__", "") == "reduce" and isinstance(getattr(target, "__self__", None), np.ufunc):
        return len(op.args) == 5
    if target in _FILLS or target in _EMPTY:
        return True
    if target is np.full:
        return len(op.args) >= 2
    if target in _COPIES or (type(target) is Method and target.name in _COPY_METHODS):
        first = op.args[0] if op.args else None
        order = kwargs.get("order", "C") in ("C", "K", None) and not any(
            a in ("F", "A") for a in op.args[1:] if isinstance(a, str)
        )
        if not isinstance(first, Slot) or not isinstance(first.value, np.ndarray) or not order:
            return False
        return first.value.shape == out.value.shape or bool(out.value.flags.c_contiguous)
    if target is c_einsum:
        return True
    if target is np.dot:
        return all(
            isinstance(a, Slot) and isinstance(a.value, np.ndarray) and a.value.dtype == out.value.dtype
            for a in op.args[:2]
        ) and bool(out.value.flags.c_contiguous)
    if target in _TAKE_OUT:
        return "dtype" not in kwargs or target is not np.dot
    if type(target) is Method and target.name in _OUT_METHODS:
        return set(kwargs) <= {"axis", "keepdims"} and len(op.args) <= 2
    return False
