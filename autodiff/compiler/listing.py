"""A recorded function as a list of calls, with what the passes over it need to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autodiff.compiler.record import Op, Recorder, Slot, Storage, Unrecordable, reads, slots_in

__all__ = ["Listing"]


@dataclass
class Listing:
    """The calls of one function."""

    recorder: Recorder  # it numbers what is new
    ops: list[Op]
    arguments: list[Slot]  # what is given anew every time, in order
    outputs: Any  # what is returned: slots in tuples, lists and dicts
    constants: dict[int, Any]  # slot -> what is known of it beforehand
    creator: dict[int, Op]  # storage -> the call that makes it

    @classmethod
    def of(cls, recorder: Recorder, arguments: list[Slot], outputs: Any) -> Listing:
        """What a recorder has noted."""
        creator: dict[int, Op] = {}
        for op in recorder.ops:
            for slot in op.outs():
                if slot.storage is not None and slot.storage.made:
                    creator.setdefault(slot.storage.index, op)
        constants = {slot.index: slot.value for slot in recorder.held}
        return cls(recorder, recorder.ops, arguments, outputs, constants, creator)

    def makes(self, op: Op) -> bool:
        """Whether the call makes new memory, and is no view or write."""
        return any(
            s.storage is not None and s.storage.made and self.creator.get(s.storage.index) is op for s in op.outs()
        )

    def root(self, storage: Storage) -> Slot:
        """The whole of a storage that was made here."""
        op = self.creator[storage.index]
        return next(s for s in op.outs() if s.storage is storage)

    def check(self) -> None:
        """Whether every value is made before it is read: what a pass has torn apart would read what nobody wrote."""
        made = {slot.index for slot in self.arguments} | self.constants.keys()
        for op in self.ops:
            if not all(slot.index in made for slot in reads(op)):
                raise Unrecordable(f"{op.target} would read a value before it is made, a mistake of autodiff's own")
            made.update(slot.index for slot in op.outs())

    def all_slots(self) -> list[Slot]:
        """Every slot that is still named."""
        found: dict[int, Slot] = {}
        for op in self.ops:
            for slot in (*reads(op), *op.outs()):
                found[slot.index] = slot
        for slot in slots_in(self.outputs):
            found[slot.index] = slot
        return list(found.values())
