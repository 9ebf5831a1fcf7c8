"""What need not be done: constants, calls made before, results that nobody needs, copies of what is not used
afterwards, and what an ordinary call does before and after its work.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from autodiff.compiler.listing import Listing
from autodiff.compiler.record import Attribute, Method, Op, Slot, Storage, reads, slots_in
from autodiff.compiler.standin import mapped, outlined
from autodiff.compiler.trace import layout_of
from autodiff.ops.short_sums import is_short, summed

try:
    from numpy._core.multiarray import c_einsum
except ImportError:  # another NumPy may keep it elsewhere; the public function ends in it
    c_einsum = np.einsum

__all__ = [
    "as_operand",
    "c_einsum",
    "can_write",
    "copies",
    "decide_first",
    "drop",
    "fold",
    "reduce_strength",
    "share",
    "short",
]

COPIES = {np.array, np.asarray, np.ascontiguousarray, np.copy, np.reshape, np.ravel}
COPY_METHODS = {"astype", "copy", "reshape", "ravel", "flatten"}
FILLS = {np.zeros: 0, np.ones: 1, np.zeros_like: 0, np.ones_like: 1}
EMPTY = {np.empty, np.empty_like}
_TAKE_OUT = {np.concatenate, np.stack, np.clip, np.outer, c_einsum}
#: So many calls at most are moved before all others for the sake of one decision.
_FEW = 8
_OUT_METHODS = {"cumsum", "cumprod", "clip", "argmax", "argmin"}


def fold(listing: Listing) -> None:
    """Results that depend on nothing but constants and are never written into are constants themselves."""
    written = {s.index for op in listing.ops for s in op.writes}
    visible = {s.storage.index for s in slots_in(listing.outputs) if s.storage is not None}
    kept = []
    for op in listing.ops:
        inputs = reads(op)
        fixed = all(s.index in listing.constants for s in inputs)
        out = op.out
        if op.kind == "guard" and fixed:
            continue
        if op.kind == "call" and fixed and isinstance(out, Slot) and not op.writes:
            if out.storage is None:
                if inputs:
                    listing.constants[out.index] = out.value
                    continue
            elif out.storage.index not in written | visible:
                listing.constants[out.index] = out.value
                continue
        kept.append(op)
    listing.ops = kept


_VALUES = (bool, int, float, complex, str, type(None), type(...), np.dtype, np.generic, type)
_PURE = {np.vdot, np.dot, np.where, np.count_nonzero, np.expand_dims, np.swapaxes, np.transpose, np.reshape, abs}
_PURE |= {operator.abs, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, operator.getitem}
_PURE_METHODS = {"astype", "copy", "reshape", "transpose"}


def share(listing: Listing) -> None:
    """A call that was made before on the same values is not made again, and a copy is what it is a copy of: the rule of
    a gradient and that of a tangent often begin alike, and ask the same questions.

    What is written into stays as it is, and so does what is returned, unless it is the copy of what nobody else has.
    """
    written = {s.index for op in listing.ops for s in op.writes}
    shown = slots_in(listing.outputs)
    fixed = written | {s.storage.index for s in shown if s.storage is not None}
    indices = {s.index for s in shown}
    known: dict[Any, Op] = {}
    instead: dict[int, Slot] = {}
    moved: dict[int, tuple[Storage, int]] = {}
    kept = []
    for op in listing.ops:
        inputs = reads(op)
        if any(slot.index in instead for slot in inputs):
            op.args, op.kwargs = _replaced(op.args, instead), _replaced(op.kwargs, instead)
            inputs = reads(op)
        out = op.out
        sharable = not any(slot.storage is not None and slot.storage.index in written for slot in inputs)
        if op.kind != "guard":
            sharable = sharable and op.kind == "call" and not op.writes and op.errors is None and _is_pure(op.target)
            sharable = sharable and isinstance(out, Slot) and out.index not in indices
            sharable = sharable and (out.storage is None or out.storage.index not in fixed)
        source = _copied(op, written, fixed, listing)
        try:
            first = known.setdefault(_key(op), op) if sharable and source is None else op
        except TypeError:  # it takes what cannot be compared
            first = op
        if first is op and source is None:
            kept.append(op)
        elif op.kind != "guard":
            source = instead[out.index] = source or first.out
            owner = source.storage
            if owner is not None and out.index in indices:
                fixed.add(owner.index)
            if owner is not None and out.storage is not owner:
                moved[out.storage.index] = owner, source.offset - out.offset
    listing.ops, listing.outputs = kept, _replaced(listing.outputs, instead)
    for slot in listing.all_slots() if moved else ():
        while slot.storage is not None and slot.storage.index in moved:
            slot.storage, shift = moved[slot.storage.index]
            slot.offset += shift


def _copied(op: Op, written: set[int], fixed: set[int], listing: Listing) -> Slot | None:
    """What a copy is a copy of, if the copy need not be made."""
    inputs, out = reads(op), op.out
    if op.kind != "call" or op.writes or not copies(op) or len(inputs) != 1 or not isinstance(out, Slot):
        return None
    source, mine, theirs = inputs[0], out.storage, inputs[0].storage
    if mine is None or theirs is None or mine is theirs or layout_of(out.value) != layout_of(source.value):
        return None
    if mine.index in written or theirs.index in written:
        return None
    if mine.index in fixed and (theirs.index in fixed or not theirs.made):
        return None
    whole = mine.index not in fixed or source.value.nbytes == listing.root(theirs).value.nbytes
    return source if whole else None


def _is_pure(target: Any) -> bool:
    if isinstance(target, np.ufunc) or type(target) is Attribute or target in (np.array, np.ascontiguousarray):
        return True
    if type(target) is Method:
        return target.name in _PURE_METHODS
    if isinstance(getattr(target, "__self__", None), np.ufunc):
        return bool(target.__name__ == "reduce")
    return getattr(target, "__hash__", None) is not None and target in _PURE


def _replaced(value: Any, instead: dict[int, Slot]) -> Any:
    """A template with other slots in the places of some."""
    return mapped(lambda part: instead.get(part.index, part) if type(part) is Slot else part, value)


def _key(op: Op) -> Any:
    """What two calls have in common that give the same."""
    return op.kind, op.target, outlined(_leaf, op.args), outlined(_leaf, op.kwargs)


def _leaf(value: Any) -> Any:
    if isinstance(value, Slot):
        return Slot, value.index
    if isinstance(value, _VALUES):
        return type(value), repr(value)
    raise TypeError(f"a {type(value).__name__}")


def drop(listing: Listing) -> None:
    """Drop calls whose results nobody needs; how a loose one lies the function may have asked."""
    slots: set[int] = {s.index for s in slots_in(listing.outputs)}
    storages: set[int] = {s.storage.index for s in slots_in(listing.outputs) if s.storage is not None}
    kept: list[Op] = []
    for op in reversed(listing.ops):
        needed = op.kind in ("guard", "draw") or op.loose or any(not s.made for s in op.writes)
        needed = needed or any(s.index in storages for s in op.writes) or any(s.index in slots for s in op.outs())
        needed = needed or any(
            listing.creator.get(i) is op
            for i in storages & {s.storage.index for s in op.outs() if s.storage is not None}
        )
        if not needed:
            continue
        for slot in reads(op):
            slots.add(slot.index)
            if slot.storage is not None:
                storages.add(slot.storage.index)
        kept.append(op)
    listing.ops = kept[::-1]


def decide_first(listing: Listing) -> None:
    """Decisions that follow in a few calls from what is given come first: random numbers that are drawn, and memory
    that is let go of, cannot be taken back for nothing.
    """
    ops = listing.ops
    makers = {slot.index: number for number, op in enumerate(ops) for slot in op.outs()}
    written = {storage.index for op in ops for storage in op.writes}
    first: set[int] = set()
    for number, op in enumerate(ops):
        if op.kind != "guard":
            continue
        needed, waiting, movable = {number}, [op], True
        while waiting and movable and len(needed) <= _FEW:
            slots = reads(waiting.pop())
            movable = not any(slot.storage is not None and slot.storage.index in written for slot in slots)
            found = {makers[slot.index] for slot in slots if slot.index in makers} - needed
            needed |= found
            waiting += [ops[place] for place in found]
        movable = movable and len(needed) <= _FEW
        if movable and all(ops[place].kind != "draw" and not ops[place].writes for place in needed):
            first |= needed
    if first:
        listing.ops = [*map(ops.__getitem__, sorted(first)), *(op for i, op in enumerate(ops) if i not in first)]


def short(x: Any, axis: Any, dtype: None, out: Any, keepdims: bool) -> Any:
    """``np.add.reduce`` over a short last axis, in a tenth of its time."""
    return summed(x, keepdims, out)


def as_operand(number: Any, dtype: np.dtype[Any]) -> Any:
    """A number as the array that NumPy makes of it beside an array of ``dtype``; None where that is not so simple."""
    if isinstance(number, np.generic):
        return np.asarray(number) if number.dtype.kind in "biufc" else None
    if type(number) is int and dtype.kind in "iu":
        facts = np.iinfo(dtype)
        return np.array(number, dtype) if facts.min <= number <= facts.max else None
    if type(number) in (int, float) and dtype.kind == "f" and abs(number) <= min(2.0**53, float(np.finfo(dtype).max)):
        return np.array(number, dtype)
    return None


def reduce_strength(listing: Listing) -> None:
    """Calls that NumPy itself would make, or that make the same additions, instead of dearer ones."""
    for op in listing.ops:
        if op.target is np.einsum and op.kwargs.get("optimize", False) is False:
            op.target, op.kwargs = c_einsum, {key: value for key, value in op.kwargs.items() if key != "optimize"}
        elif op.target == np.add.reduce and len(op.args) == 5 and not op.kwargs and op.errors is None:
            array, axis, dtype, out, _ = op.args
            if isinstance(array, Slot) and dtype is None and out is None and is_short(array.value, axis):
                op.target = short


def copies(op: Op) -> bool:
    """Whether it is a copy, in another dtype or shape perhaps."""
    return op.target in COPIES or (type(op.target) is Method and op.target.name in COPY_METHODS)


def can_write(op: Op) -> bool:
    """Whether the call can be told where its result goes without a change of its bits."""
    target, kwargs, out = op.target, op.kwargs, op.out
    if not isinstance(out, Slot) or not isinstance(out.value, np.ndarray) or "out" in kwargs:
        return False
    if isinstance(target, np.ufunc):
        return target.nout == 1 and set(kwargs) <= {"dtype", "casting", "axis", "axes", "keepdims", "subok"}
    if getattr(target, "__name__", "") == "reduce" and isinstance(getattr(target, "__self__", None), np.ufunc):
        return len(op.args) == 5
    if target is short or target in FILLS or target in EMPTY or target in _TAKE_OUT:
        return True
    if target is np.full:
        return len(op.args) >= 2
    if copies(op):
        first = op.args[0] if op.args else None
        order = kwargs.get("order", "C") in ("C", "K", None) and not any(
            a in ("F", "A") for a in op.args[1:] if isinstance(a, str)
        )
        if not isinstance(first, Slot) or not isinstance(first.value, np.ndarray) or not order:
            return False
        return first.value.shape == out.value.shape or bool(out.value.flags.c_contiguous)
    if target is np.dot:
        return all(
            isinstance(a, Slot) and isinstance(a.value, np.ndarray) and a.value.dtype == out.value.dtype
            for a in op.args[:2]
        ) and bool(out.value.flags.c_contiguous)
    known = type(target) is Method and target.name in _OUT_METHODS
    return known and set(kwargs) <= {"axis", "keepdims"} and len(op.args) <= 2
