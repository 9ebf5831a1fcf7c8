"""From a list of calls to a Python function that makes them in memory laid out beforehand.

The order of the calls is the recorded one, and so are the calls themselves, hence the bits. What changes is where
results go: a call that can write into a given array (``out=``) does.
"""

from __future__ import annotations

import itertools
import operator
from functools import lru_cache
from typing import Any

import numpy as np

from autodiff.compiler.layout import LEASED, Buffer, Pool, Scratch, place
from autodiff.compiler.listing import Listing
from autodiff.compiler.passes.chains import Chain, fuse
from autodiff.compiler.passes.simplify import (
    EMPTY,
    FILLS,
    as_operand,
    c_einsum,
    can_write,
    copies,
    decide_first,
    drop,
    fold,
    reduce_strength,
    share,
    short,
)
from autodiff.compiler.private import vanished
from autodiff.compiler.record import Attribute, Method, Op, Slot, cleared, named, reads, slots_in
from autodiff.compiler.trace import layout_of

__all__ = ["MISS", "Code", "by_name", "defined"]

#: Local names of arrays of so many bytes are let go of after the last use.
_LARGE = 1 << 16
#: What generated code returns where a value decides otherwise than it did when the code was recorded.
MISS: Any = object()

# NumPy warns where these get the place of their result as a third argument.
_OUT_BY_NAME = {np.maximum, np.minimum}
#: Both operands of these are brought to one dtype, so that a Python number may stand there as an array of that dtype
#: from the beginning.
_ALIKE = named(
    "add subtract multiply true_divide floor_divide remainder maximum minimum fmax fmin greater greater_equal less"
    " less_equal equal not_equal"
)


@lru_cache(maxsize=4096)
def _compiled(source: str, file: str) -> Any:
    return compile(source, file, "exec")


def defined(head: str, lines: list[str], title: str, scope: dict[str, Any]) -> Any:
    """The function of this head and these lines, with its source for a docstring. Equal sources are compiled once,
    which takes half of the time that it takes to prepare a step: so numbers that tell one layer from another stand in
    the scope.
    """
    source = f"def {head}:\n" + "".join(f"    {line}\n" for line in lines)
    exec(_compiled(source, f"<autodiff.{title}>"), scope)
    function = scope[head.partition("(")[0]]
    function.__code__ = function.__code__.replace()  # its own: the interpreter fits code to one scope
    function.__doc__ = source
    return function


def by_name(*things: Any) -> dict[str, Any]:
    """Functions and classes as a scope."""
    return {thing.__name__: thing for thing in things}


class Code:
    """A listing as a generated function ``run`` of its arguments, which gives its outputs or :data:`MISS`."""

    def __init__(self, listing: Listing, name: str, scratch: Scratch, pool: Pool, holds: bool = True) -> None:
        self.name = name
        fold(listing)
        share(listing)
        drop(listing)
        decide_first(listing)
        reduce_strength(listing)
        fuse(listing)
        listing.check()
        self.listing = listing
        self.buffers, nbytes = place(listing, can_write, 1 << 62 if holds else _LARGE)
        self._memory = scratch.block(nbytes)
        self._pool = pool
        self._write()
        # What was computed while recording is needed no more.
        for slot in listing.recorder.slots:
            slot.value = None
        for storage in listing.recorder.storages.values():
            storage.owner, storage.kept = None, True
        del self.listing, self.buffers, self._memory

    def _write(self) -> None:
        listing = self.listing
        self.scope: dict[str, Any] = {
            "np": np,
            "MISS": MISS,
            "operator": operator,
            "ndarray": np.ndarray,
            "lease": self._pool.lease,
        }
        self.names: dict[int, str] = {}
        self._count = itertools.count()
        self._constants: dict[Any, str] = {}
        for index, value in listing.constants.items():
            self.names[index] = self._constant(value, "c")
        for number, buffer in enumerate(self.buffers.values()):
            buffer.name = f"b{number}"
            if not buffer.exported:
                self._allocate(buffer)
        taken = [f"a{i}" for i in range(len(listing.arguments))]
        for name, slot in zip(taken, listing.arguments, strict=True):
            self.names[slot.index] = name
        self.chains = [op.target for op in listing.ops if isinstance(op.target, Chain)]
        lines: list[str] = []
        #: Whether it may turn out that the code does not hold when something has been drawn already.
        self.undoes = drawn = False
        #: After so many lines it is settled that it holds, but for a kernel that fails, which did not while recording.
        self.settled = 0
        dying = self._dying()
        self.calls = 0
        for number, op in enumerate(listing.ops):
            lines += (more := self._line(op))
            self.calls += len(more)
            drawn = drawn or op.kind == "draw"
            if any("MISS" in line for line in more):
                self.settled = len(lines)
            if self.settled == len(lines) or getattr(op.target, "__name__", "") == "kernel":
                self.undoes = drawn
            gone = [self.names[index] for index in dying.get(number, ()) if index in self.names]
            gone = [name for name in gone if name not in self.scope]
            if gone:
                lines.append(f"{' = '.join(gone)} = None")
        self.body = lines
        self.result = self._text(listing.outputs)
        self.texts = [self._text(part) for part in listing.outputs]
        #: Of outputs that are lists the text of each, and whether it is an array.
        self.parts = [
            [(self._text(item), isinstance(getattr(item, "value", None), np.ndarray)) for item in part]
            for part in listing.outputs
            if isinstance(part, list)
        ]
        self.arguments = taken
        head = f"run({', '.join(taken)})"
        self.run = defined(head, [*lines, f"return {self.result}"], f"compile: {self.name}", self.scope)

    def _dying(self) -> dict[int, list[int]]:
        """After which call the code uses a large array for the last time."""
        listing = self.listing
        last: dict[int, int] = {}
        for number, op in enumerate(listing.ops):
            for slot in (*reads(op), *op.outs()):
                last[slot.index] = number
        shown = {slot.index for slot in slots_in(listing.outputs)}
        values = {s.index: s.value for op in listing.ops for s in (*reads(op), *op.outs())}
        dying: dict[int, list[int]] = {}
        for index, number in last.items():
            if (
                index not in shown
                and getattr(values.get(index), "nbytes", 0) >= _LARGE
                and number < len(listing.ops) - 1
            ):
                dying.setdefault(number, []).append(index)
        return dying

    def _allocate(self, buffer: Buffer) -> None:
        """All views of a place in the scratch memory."""
        for number, slot in enumerate(sorted(buffer.slots, key=lambda s: s.index)):
            name = buffer.name if slot is buffer.root else f"{buffer.name}_{number}"
            self.names[slot.index] = name
            array = slot.value
            start = buffer.offset + slot.offset - buffer.root.offset
            self.scope[name] = np.ndarray(array.shape, array.dtype, self._memory, start, array.strides)

    def _constant(self, value: Any, letter: str = "k", key: Any = None) -> str:
        key = id(value) if key is None else key
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
        if isinstance(value, tuple):
            if not slots_in(value):
                return self._constant(value)
            self.scope["tuple_new"] = tuple.__new__
            return f"tuple_new({self._constant(kind)}, {self._text(tuple(value))})"
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
                        texts[i] = self._constant(made, key=(made.dtype.str, made.tobytes()))
        return texts

    def _callable(self, target: Any) -> str:
        name = str(getattr(target, "__name__", ""))
        ufunc = getattr(target, "__self__", None)
        if isinstance(ufunc, np.ufunc):
            return f"{self._callable(ufunc)}.{name}"
        if name and getattr(np, name, None) is target:
            self.scope[f"np_{name}"] = target
            return f"np_{name}"
        if isinstance(target, Chain):
            return self._constant(target, "chain")
        if target is short or target is c_einsum:
            self.scope[name] = target
            return name
        if name and getattr(np.linalg, name, None) is target:
            return f"np.linalg.{name}"
        if name and getattr(operator, name, None) is target:
            return f"operator.{name}"
        return self._constant(target, "f")

    def _line(self, op: Op) -> list[str]:
        if op.kind == "guard":
            return [f"if {'not ' if op.target else ''}{self._name(op.args[0])}: return MISS"]
        return op.under(*self._call(op))

    def _call(self, op: Op) -> list[str]:
        out = op.out
        buffer = None
        if isinstance(out, Slot) and out.storage is not None:
            buffer = self.buffers.get(out.storage.index)
        if buffer is not None:
            assert isinstance(out, Slot)
            assert out.storage is not None
            if self.listing.creator.get(out.storage.index) is op:
                first = []
                if buffer.exported:
                    self.names[out.index] = buffer.name
                    first = [f"{buffer.name} = {self._leased(buffer)}"]
                return first if op.target in EMPTY else [*first, self._made(op, self._name(out))]
            if not op.writes and not buffer.exported:
                return []  # a view of a place known beforehand
        text = self._made(op)
        if op.target is cleared:
            return [f"if {self._text(op.args[0])}: {text}"]
        if op.target is vanished and op.args[0].value.size:
            # Three entries tell it of most; one is zero as often as not behind a ReLU.
            name, size = self._text(op.args[0]), op.args[0].value.size
            text = f"not ({name}.item(0) or {name}.item({size // 2}) or {name}.item(-1)) and {text}"
        if op.writes and isinstance(out, Slot) and out.index in self.names:
            return [f"if {text} is not {self._name(out)}: return MISS"] if op.loose else [text]
        if out is None or out == []:
            return [text]
        if isinstance(out, list):
            parts = ", ".join("_" if s is None else self._name(s) for s in out)
            several = f"pieces = {text}", f"if len(pieces) != {len(out)}: return MISS"
            lines = [*several, f"{parts}, = pieces"] if op.loose else [f"{parts}, = {text}"]
        else:
            lines = [f"{self._name(out)} = {text}"]
        if not op.loose:
            return lines
        known = [(self._name(s), self._constant(layout_of(s.value), key=layout_of(s.value))) for s in op.outs()]
        laid = self._constant(layout_of)
        return [*lines, *(f"if {laid}({name}) != {layout}: return MISS" for name, layout in known)]

    def _leased(self, buffer: Buffer) -> str:
        value = buffer.root.value
        order = "" if value.flags.c_contiguous else ", order='F'"
        memory = f", lease({value.nbytes})" if value.nbytes >= LEASED else ""
        return f"ndarray({value.shape}, {self._constant(value.dtype, 'd')}{memory}{order})"

    def _made(self, op: Op, into: str = "") -> str:
        """The call as it was recorded, or with its result written into a place that is known beforehand."""
        target, args, given = op.target, self._operands(op), dict(op.kwargs)
        by_place = (isinstance(target, np.ufunc) and target.nout == 1) or target is np.dot
        if by_place and list(given) == ["out"] and isinstance(given["out"], Slot):
            into = self._text(given.pop("out"))
        kwargs = [f"{key}={self._text(value)}" for key, value in given.items()]
        if into:
            if target in FILLS:
                return f"{into}.fill({FILLS[target]})"
            if target is np.full:
                return f"{into}[...] = {args[1]}"
            if copies(op):
                shape = op.args[0].value.shape
                place = into if shape == op.out.value.shape else f"{into}.reshape({shape})"  # type: ignore[union-attr]
                return f"{place}[...] = {args[0]}"  # for a small array in half of the time of np.copyto
            if getattr(target, "__name__", "") == "reduce" or target is short:
                args[3] = into
            elif by_place and not kwargs and target not in _OUT_BY_NAME:
                args.append(into)
            else:
                kwargs.append(f"out={into}")
        if type(target) is Attribute:
            return f"{args[0]}.{target.name}"
        if target is operator.getitem:
            return f"{args[0]}[{args[1]}]"
        if target is operator.setitem:
            return f"{args[0]}[{args[1]}] = {args[2]}"
        if type(target) is Method:
            return f"{args[0]}.{target.name}({', '.join(args[1:] + kwargs)})"
        if target is np.dot and not kwargs and hasattr(getattr(op.args[0], "value", None), "dot"):
            return (
                f"{args[0]}.dot({', '.join(args[1:])})"  # past NumPy's dispatch, which takes as long as a small product
            )
        return f"{self._callable(target)}({', '.join(args + kwargs)})"

    def __str__(self) -> str:
        return str(self.run.__doc__) + "".join(f"\n{chain.text(f'chain{i}')}" for i, chain in enumerate(self.chains))
