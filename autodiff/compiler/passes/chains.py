"""Chains: elementwise calls of a plan that run together as one native loop.

NumPy runs every operation over whole arrays, and so each intermediate result travels to memory and back. A
:class:`Chain` computes the same operations, in the same order for every element, and so to the same bits, while
intermediates stay in registers. In it are operations that are rounded once by IEEE 754 (+, -, *, /, square root) or
exact (comparisons, choices, casts); machine code (``native.py``) neither reorders them nor contracts a product and a
sum into one rounding. Others (exp, tanh, ...) stay NumPy's own calls, between two chains. It takes numba, with which
llvmlite comes.

Warnings are those of the eager calls: a loop tells which floating-point errors there were, and if the caller's
``np.errstate`` heeds one, the operations are done again one by one, which warns or raises as they do.

The pass reads the list of calls from the beginning and puts every elementwise call into the group of those that compute
what it reads, or read what it reads, if nothing else stands between them: either the group moves down to it or the call
up to the group, whichever changes nothing that any other call reads or writes. Never moved are calls that are not
elementwise, views, draws; and nothing moves up past a decision, since the other way may be the one on which an
operation would warn. Written into are only arrays that the group itself made. What nobody outside a group reads needs
no memory in the plan.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from autodiff import kernels
from autodiff.compiler.listing import Listing
from autodiff.compiler.record import Method, Op, Slot, Unrecordable, reads, slots_in
from autodiff.compiler.standin import mapped
from autodiff.fast.thresholds import THRESHOLDS

__all__ = ["Chain", "compiles", "fuse", "least"]

# From so many elements, times the square of the number of calls, a loop is worth its compilation in the mode "auto":
# what it saves are calls and passes over memory, of which few calls on few elements have little.
_LEAST = THRESHOLDS["CHAIN"].value
_MOST_STEPS = 128
_WINDOW = 256
_EMPTY = (np.empty, np.empty_like)


def compiles() -> bool:
    """Whether chains may be compiled here: numba is there and switched on, and the processor's error flags are
    known.
    """
    return kernels.using() != "numpy" and kernels.installed() and _flags() is not None


def least() -> int:
    """Elements from which on a call may be worth putting into a chain, in the mode at hand."""
    return 128 if kernels.using() == "auto" else 2


@dataclass(eq=False)
class _Item:
    """A group of elementwise calls, or one other call; with what it reads and writes: storages by their numbers, slots
    by the complements of theirs, and all memory that was not made here as one.
    """

    ops: list[Op]
    reads: set[Any]
    writes: set[Any]
    key: Any = None  # shape and error state of a group, which may differ in whether divisions by zero are heeded
    touches: frozenset[int] = frozenset()  # storages of arrays that have an element for every element of the result

    def conflicts(self, then: _Item) -> bool:
        """Whether two items must stay in this order."""
        return not (then.reads.isdisjoint(self.writes) and then.writes.isdisjoint(self.reads | self.writes))


def fuse(listing: Listing) -> None:
    """Replace elementwise calls that can run together by chains."""
    if not compiles():
        return
    apart = _apart(listing)
    shapes = [_shape(op, listing) for op in listing.ops]
    if not any(shapes):
        return
    items: list[_Item | None] = []
    for op, shape in zip(listing.ops, shapes, strict=True):
        item = _item(op, shape, listing)
        if item.key is None or not _join(items, item, listing):
            if op.writes:
                item.key = None  # it writes into what another call made, and so stays a call of its own
            items.append(item)
    kept = [item for item in items if item is not None]
    users: dict[int, set[int]] = {}
    for number, item in enumerate(kept):
        for op in item.ops:
            for slot in reads(op):
                if slot.storage is not None:
                    users.setdefault(slot.storage.index, set()).add(number)
    for slot in slots_in(listing.outputs):
        if slot.storage is not None:
            users.setdefault(slot.storage.index, set()).add(-1)
    found: list[Op] = []
    for number, item in enumerate(kept):
        used = {index for index in item.writes if users.get(index, set()) - {number}}
        found += item.ops if item.key is None else _built(item.ops, used, listing)
    if any(isinstance(op.target, Chain) for op in found):  # moved for nothing, calls may hold memory for longer
        listing.ops = found
    _together(listing, apart)


def _apart(listing: Listing) -> list[tuple[Op, Slot, int]]:
    """Give elementwise calls that write over what was made before memory of their own, so that they may join a group;
    these calls, what each wrote into, and the number of its storage.
    """
    found: list[tuple[Op, Slot, int]] = []
    shown = {slot.storage for slot in slots_in(listing.outputs)}
    members: dict[Any, list[Slot]] = {}
    for slot in listing.all_slots():
        members.setdefault(slot.storage, []).append(slot)
    latest: dict[Any, Slot] = {}  # of a storage that was written over: what the latest call made instead
    first: dict[int, Any] = {}

    def now(part: Any) -> Any:
        return latest.get(part.storage, part) if type(part) is Slot and part.storage is not None else part

    for op in listing.ops:
        op.args, op.kwargs, op.out = mapped(now, op.args), mapped(now, op.kwargs), mapped(now, op.out)
        op.writes = tuple([latest[s].storage if s in latest else s for s in op.writes])  # type: ignore[misc]
        old = op.out
        if len(op.writes) != 1 or _shape(op, listing) is None:
            continue
        assert isinstance(old, Slot)
        assert old.storage is not None
        sizes = [np.shape(arg.value if isinstance(arg, Slot) else arg) for arg in op.args]
        if np.broadcast_shapes(*sizes) != old.value.shape:
            continue  # NumPy would make a smaller one
        origin = first.get(old.index, old.storage)
        if origin in shown or not all(_same(old, slot) for slot in members[origin]):
            continue
        own = listing.recorder.another(old)
        assert own.storage is not None
        listing.creator[own.storage.index] = op
        op.out, op.writes, op.kwargs = own, (), {}
        latest[origin], first[own.index] = own, origin
        found.append((op, old, old.storage.index))
    return found


def _together(listing: Listing, apart: list[tuple[Op, Slot, int]]) -> None:
    """Let those that stayed calls of NumPy write over what they wrote over, where nobody reads that afterwards."""
    places = {id(op): place for place, op in enumerate(listing.ops)}
    last = {s.storage.index: place for place, op in enumerate(listing.ops) for s in reads(op) if s.storage is not None}
    for op, old, number in apart:
        place, own = places.get(id(op)), op.out
        assert isinstance(own, Slot)
        assert own.storage is not None
        assert old.storage is not None
        made = places.get(id(listing.creator[old.storage.index]))
        if place is None or made is None or not made < place >= last.get(number, -1):
            continue
        del listing.creator[own.storage.index]
        own.storage, own.offset = old.storage, old.offset
        op.kwargs, op.writes = {"out": old}, (old.storage,)


def _shape(op: Op, listing: Listing) -> tuple[int, ...] | None:
    """The shape of an elementwise call that may belong to a group."""
    target, out = op.target, op.out
    if op.kind != "call" or not isinstance(out, Slot) or not isinstance(out.value, np.ndarray) or out.storage is None:
        return None
    value, creator = out.value, listing.creator.get(out.storage.index)
    if value.size < least() or creator is None or not isinstance(creator.out, Slot) or not _same(creator.out, out):
        return None
    if not value.flags.c_contiguous:
        return None
    if target in _EMPTY:
        return tuple(value.shape)
    makes = creator is op
    if type(target) is Method:
        operands = op.args[:1]
        if target.name != "astype" or len(op.args) != 2 or op.kwargs or not makes:
            return None
    elif target is np.where:
        operands = op.args
        if len(op.args) != 3 or op.kwargs or not makes:
            return None
    elif isinstance(target, np.ufunc) and target.signature is None and target.nout == 1:
        operands = op.args
        if not set(op.kwargs) <= {"out"} or ("out" in op.kwargs) == makes:
            return None
    else:
        return None
    shape: tuple[int, ...] = value.shape
    return shape if all(map(_is_operand, operands)) and _in_a_loop(op, out) else None


def _is_operand(arg: Any) -> bool:
    """Whether a loop can read it: a number, or an array that lies in whole elements."""
    value = arg.value if isinstance(arg, Slot) else arg
    if not isinstance(value, np.ndarray):
        return isinstance(value, np.generic) or type(value) is float or (type(value) is int and value is arg)
    steps = [stride % value.itemsize for stride in value.strides]
    return isinstance(arg, Slot) and value.flags.aligned and not any(steps)


def _in_a_loop(op: Op, out: Slot) -> bool:
    """Whether a native loop computes it to NumPy's bits."""
    from autodiff.compiler.native import ORDINARY, computed_in

    try:
        dtypes = computed_in(op, out)
    except Unrecordable:
        return False
    if op.target in (np.maximum, np.minimum) and dtypes[0].kind == "f":
        return _second_of_zeros(op.target, dtypes[0])
    return not isinstance(op.target, np.ufunc) or op.target in ORDINARY


def _same(a: Slot, b: Slot) -> bool:
    """Whether two slots are the same place."""
    x, y = a.value, b.value
    return (a.offset, x.shape, x.strides, x.dtype) == (b.offset, y.shape, y.strides, y.dtype)


def _item(op: Op, shape: tuple[int, ...] | None, listing: Listing) -> _Item:
    taken, made = reads(op), op.outs()
    item = _Item([op], {~slot.index for slot in taken}, {~slot.index for slot in made})
    for slot in taken:
        if slot.storage is not None:
            item.reads |= {slot.storage.index} if slot.storage.made else {slot.storage.index, "outside"}
    item.writes |= {
        s.storage.index for s in made if s.storage is not None and listing.creator.get(s.storage.index) is op
    }
    for storage in op.writes:
        item.writes |= {storage.index} if storage.made else {storage.index, "outside"}
    if shape is not None and "outside" not in item.writes:
        errors = {name: what for name, what in (op.errors or {}).items() if name != "divide"}
        item.key = shape, tuple(errors.items())
        slots = [s for s in (*taken, *made) if s.storage is not None and s.index not in listing.constants]
        item.touches = frozenset(
            s.storage.index
            for s in slots
            if s.storage is not None and s.value.size == op.out.value.size  # type: ignore[union-attr]
        )
    return item


def _join(items: list[_Item | None], item: _Item, listing: Listing) -> bool:
    """Bring an operation together with the groups that it reads from, or that read what it reads."""
    end, gone = len(items), []
    made = _Item(list(item.ops), set(item.reads), set(item.writes), item.key, item.touches)
    for at in range(len(items) - 1, max(-1, len(items) - _WINDOW), -1):
        group = items[at]
        if group is None or group.key != item.key or group.touches.isdisjoint(item.touches):
            continue
        if len(group.ops) + len(made.ops) > _MOST_STEPS or not _views_alike(group, made, listing):
            continue
        between = [other for other in items[at + 1 : end] if other is not None]
        if any(group.conflicts(other) for other in between):
            if any(other.conflicts(made) or other.ops[0].kind == "guard" for other in between):
                continue
            end = at
        made.ops = group.ops + made.ops
        made.reads |= group.reads
        made.writes |= group.writes
        made.touches |= group.touches
        gone.append(at)
    # What was made outside cannot be written into by a chain, which may have to compute twice.
    if not gone or not all(listing.creator[storage.index] in made.ops for op in item.ops for storage in op.writes):
        return False
    for at in gone:
        items[at] = None
    if end == len(items):
        items.append(None)
    items[end] = made
    return True


def _views_alike(group: _Item, then: _Item, listing: Listing) -> bool:
    """Whether what a group makes is read by the operations that follow as it was made."""
    for op in then.ops:
        for slot in reads(op):
            storage = slot.storage
            if storage is not None and storage.index in group.writes and not _same(listing.root(storage), slot):
                return False
    return True


def _built(ops: list[Op], used: set[int], listing: Listing) -> list[Op]:
    """A group as calls of the plan: memory for what it gives, and the chain. Or as it was."""
    steps = [op for op in ops if op.target not in _EMPTY]
    made = {op.out.storage: op.out for op in ops if listing.makes(op)}  # type: ignore[union-attr]
    outputs = [slot for storage, slot in made.items() if storage.index in used]
    if not outputs or len(steps) < 2:
        return ops
    if kernels.using() == "auto" and len(steps) ** 2 * outputs[0].value.size < _LEAST:
        return ops
    inputs = {
        slot.index: slot for op in steps for slot in reads(op) if slot.storage is None or slot.storage not in made
    }
    try:
        chain = Chain(steps, list(inputs.values()), outputs)
    except (Unrecordable, RuntimeError):  # LLVM, too, may refuse
        return ops
    found = [Op("call", np.empty, (slot.value.shape, slot.value.dtype), out=slot) for slot in outputs]
    for op, slot in zip(found, outputs, strict=True):
        listing.creator[slot.storage.index] = op
    call = Op("call", chain, (*inputs.values(), *outputs))
    call.writes = tuple([slot.storage for slot in outputs])
    return [*found, call]


@lru_cache(maxsize=8)
def _second_of_zeros(ufunc: Any, dtype: Any) -> bool:
    """Whether this NumPy gives the second of two zeros, wherever they are, as its vector loops do on x86."""
    zeros = np.tile(np.array([0.0, -0.0], dtype), 70)
    return all(
        np.array_equal(np.signbit(ufunc(zeros[s:n], -zeros[s:n])), np.signbit(-zeros[s:n]))
        for s in range(5)
        for n in range(s + 1, 140)
    )


class Chain:
    """Elementwise operations on arrays of one shape, called like a function: ``chain(*inputs, *outputs)``. Inputs are
    broadcast to the shape, or numbers; outputs are written into. ``source`` is what it does, as Python.
    """

    __name__ = "chain"

    def __init__(self, ops: Sequence[Op], inputs: Sequence[Slot], outputs: Sequence[Slot]) -> None:
        self.label = ", ".join(_name(op) for op in ops)
        self.shape = outputs[0].value.shape
        self._errors = [dict(state) for state in {tuple(op.errstate().items()) for op in ops}]
        self._plain = self._defined(ops, inputs, outputs)
        from autodiff.compiler.native import chain_of

        self._native = chain_of(ops, inputs, outputs)
        self._numbers = [place for place, slot in enumerate(inputs) if not isinstance(slot.value, np.ndarray)]

    def __call__(self, *arrays: Any) -> None:
        """Compute the outputs."""
        given = arrays
        if self._numbers:
            given = tuple([np.asarray(a) if place in self._numbers else a for place, a in enumerate(arrays)])
        flags = self._native(1, 0, id(given))
        if flags and any(_heeds({**np.geterr(), **own}, as_numpys(flags)) for own in self._errors):
            self._plain(*arrays)

    def text(self, name: str) -> str:
        """What it runs, as Python, under the name that the plan gives it."""
        title = f"# {name}: {self.label} on {'x'.join(map(str, self.shape))} elements, one native loop\n"
        return title + self.source.replace("def chain(", f"def {name}(")

    def _defined(self, ops: Sequence[Op], inputs: Sequence[Slot], outputs: Sequence[Slot]) -> Any:
        """The function that makes one call after another."""
        scope: dict[str, Any] = {"np": np}
        names = {slot.index: f"x{i}" for i, slot in enumerate(inputs)}
        places = {slot.storage: f"y{i}" for i, slot in enumerate(outputs)}
        passed = ", ".join([*names.values(), *places.values()])

        def text(value: Any) -> str:
            if isinstance(value, Slot):
                return places.get(value.storage) or names[value.index]
            scope[f"k{len(scope)}"] = value
            return f"k{len(scope) - 1}"

        lines = []
        for number, op in enumerate(ops):
            out = op.kwargs.get("out", op.out)
            is_ufunc = isinstance(op.target, np.ufunc)
            args = [text(arg) for arg in (op.args if is_ufunc or op.target is np.where else op.args[:1])]
            into = places.get(out.storage)
            if is_ufunc:
                call = f"np.{_name(op)}({', '.join(args)}{f', out={into}' if into else ''})"
            elif op.target is np.where:
                call = f"np.where({', '.join(args)})"
            else:
                call = f"{args[0]}.astype(np.{out.value.dtype.name})"
            if not into:
                places[out.storage] = f"t{number}"
                call = f"t{number} = {call}"
            elif not is_ufunc:
                call = f"{into}[...] = {call}"
            lines += op.under(call)
        self.source = f"def chain({passed}):\n" + "".join(f"    {line}\n" for line in lines)
        exec(compile(self.source, "<chain>", "exec"), scope)
        return scope["chain"]


def _name(op: Op) -> str:
    return str(getattr(op.target, "name", None) or op.target.__name__)


def _flags() -> tuple[int, int, int, int] | None:
    """fenv.h's numbers for division by zero, overflow, underflow and invalid operations."""
    if not sys.platform.startswith(("linux", "darwin")):
        return None
    return {"x86_64": (4, 8, 16, 1), "aarch64": (2, 4, 8, 1), "arm64": (2, 4, 8, 1)}.get(platform.machine())


def as_numpys(flags: int) -> int:
    """fenv.h's flags as NumPy numbers them: 1 division by zero, 2 overflow, 4 underflow, 8 invalid."""
    return sum(1 << i for i, flag in enumerate(_flags() or ()) if flags & flag)


def _heeds(state: Any, flags: int) -> bool:
    """Whether an error state wants to hear of one of these."""
    return any(
        flags & (1 << i) and state[name] != "ignore" for i, name in enumerate(("divide", "over", "under", "invalid"))
    )
