"""A loop's body, from the list of NumPy calls that it makes, as machine code: one native loop over all steps.

Every array of the body is a place in memory that is known beforehand: in an argument, in the row of a step, or in a
block of scratch memory. So views, shapes and strides cost nothing at run time, moving elements about (``stack``,
``concatenate``, indexing) is a copy between known places, and neighbouring elementwise calls over one shape are one
loop. Each element is computed by the same operations in the same order as NumPy computes it; what differs are the last
bits of exp, tanh and their kin (the C library's instead of NumPy's), of sums and of matrix products (another order).

The code is written in LLVM's language and translated by llvmlite, which numba brings along: through numba's own front
a body of a thousand operations takes a minute. What cannot be written is :class:`Unrecordable`, and the loop stays
Python's.
"""

from __future__ import annotations

import ctypes
import math
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from autodiff.compiler.passes.chains import _flags, as_numpys
from autodiff.compiler.record import Method, Op, Slot, Unrecordable, reads, root
from autodiff.compiler.standin import OPERATORS, mapped
from autodiff.extras import require
from autodiff.fast.thresholds import THRESHOLDS

binding, ir = require("llvmlite.binding"), require("llvmlite.ir")

__all__ = ["CALLS", "ORDINARY", "Emitter", "Place", "compiled", "loops_of"]

#: A body with an array of more numbers than this is better done by NumPy.
MOST = THRESHOLDS["SCANNED"].value
_LONGEST_SUM = 256

_INT, _BOOL, _BYTE = ir.IntType(64), ir.IntType(1), ir.IntType(8)
_TYPES: dict[str, Any] = {"f8": ir.DoubleType(), "f4": ir.FloatType(), "i8": _INT, "b1": _BOOL}

#: The C library's functions, within an ulp or two of NumPy's.
CALLS: dict[Any, str] = {
    **{getattr(np, name): name for name in "exp expm1 log log1p log2 log10 tanh sin cos tan sinh cosh hypot".split()},
    **{getattr(np, f"arc{name}"): f"a{name}" for name in "sin cos tan tan2 sinh cosh tanh".split()},
    **{np.power: "pow", np.exp2: "exp2"},
}


def _arithmetic(name: str) -> Any:
    return lambda b, x, y: getattr(b, f"f{name}" if _real(x) else name)(x, y)


def _compared(sign: str) -> Any:
    def compare(b: Any, x: Any, y: Any) -> Any:
        if not _real(x):
            return (b.icmp_unsigned if x.type == _BOOL else b.icmp_signed)(sign, x, y)  # as signed, true is -1
        return (b.fcmp_unordered if sign == "!=" else b.fcmp_ordered)(sign, x, y)

    return compare


def _larger(sign: str) -> Any:
    # Of two zeros NumPy's vector loops give the second, and of two NaNs the first.
    def choose(b: Any, x: Any, y: Any) -> Any:
        first = _compared(sign)(b, x, y)
        return b.select(b.or_(first, b.fcmp_unordered("!=", x, x)) if _real(x) else first, x, y)

    return choose


def _sign(b: Any, x: Any) -> Any:
    zero, one = ir.Constant(x.type, 0), ir.Constant(x.type, 1)
    minus = ir.Constant(x.type, -1)
    whole = b.select(_compared("==")(b, x, zero), zero, x if _real(x) else zero)
    return b.select(_compared(">")(b, x, zero), one, b.select(_compared("<")(b, x, zero), minus, whole))


def _exact(name: str) -> Any:
    return lambda b, x: b.call(b.module.declare_intrinsic(f"llvm.{name}", [x.type]), [x])


def _absolute(b: Any, x: Any) -> Any:
    if _real(x):
        return _exact("fabs")(b, x)
    return b.select(b.icmp_signed("<", x, ir.Constant(x.type, 0)), b.neg(x), x)


def _real(x: Any) -> bool:
    return isinstance(x.type, (ir.DoubleType, ir.FloatType))


#: What is rounded once or not at all: the bits are NumPy's.
ORDINARY: dict[Any, Callable[..., Any]] = {
    np.add: _arithmetic("add"),
    np.subtract: _arithmetic("sub"),
    np.multiply: _arithmetic("mul"),
    np.true_divide: lambda b, x, y: b.fdiv(x, y),
    np.reciprocal: lambda b, x: b.fdiv(ir.Constant(x.type, 1), x),
    np.negative: lambda b, x: b.fneg(x) if _real(x) else b.neg(x),
    np.positive: lambda b, x: x,
    np.absolute: _absolute,
    np.square: lambda b, x: _arithmetic("mul")(b, x, x),
    np.sign: _sign,
    np.maximum: _larger(">"),
    np.minimum: _larger("<"),
    np.where: lambda b, c, x, y: b.select(c, x, y),
    np.isnan: lambda b, x: b.fcmp_unordered("!=", x, x),
    np.isfinite: lambda b, x: b.fcmp_ordered("<", _absolute(b, x), ir.Constant(x.type, float("inf"))),
    np.logical_and: lambda b, x, y: b.and_(x, y),
    np.logical_or: lambda b, x, y: b.or_(x, y),
    np.logical_xor: lambda b, x, y: b.xor(x, y),
    np.logical_not: lambda b, x: b.not_(x),
    np.bitwise_and: lambda b, x, y: b.and_(x, y),
    np.bitwise_or: lambda b, x, y: b.or_(x, y),
    np.bitwise_xor: lambda b, x, y: b.xor(x, y),
    np.invert: lambda b, x: b.not_(x),
    **{getattr(np, name): _exact(name) for name in "sqrt fabs floor ceil trunc rint".split()},
}
_SIGNS = {"greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!="}
ORDINARY |= {getattr(np, name): _compared(sign) for name, sign in _SIGNS.items()}
_LOGICAL = {np.logical_and, np.logical_or, np.logical_xor, np.logical_not}
_REALS = {np.true_divide, np.reciprocal, np.isnan, np.isfinite, np.floor, np.ceil, np.trunc, np.rint}

_EMPTY = {np.empty, np.empty_like}
_FILL = {np.zeros: 0, np.zeros_like: 0, np.ones: 1, np.ones_like: 1}
#: Functions that only move elements: done to an array of element numbers they tell where each comes from.
_MOVES = {np.stack, np.concatenate, np.take, np.repeat, np.tile, np.flip, np.roll, np.reshape, np.transpose, np.copy}
_MOVES |= {np.array, np.asarray, np.ascontiguousarray, operator.getitem, np.take_along_axis, np.broadcast_to, np.ravel}
_MOVING_METHODS = {"copy", "reshape", "transpose", "flatten", "ravel", "repeat", "take", "swapaxes"}


@dataclass(frozen=True)
class Place:
    """Where an argument lies: in which flat array, and of which row's first element on (``step``, ``next``, ``entry``
    or None) if a row has ``size`` elements.
    """

    array: str
    row: str | None = None
    size: int = 0


def _kind(dtype: Any) -> str:
    code: str = np.dtype(dtype).str[1:]
    if code not in _TYPES or not np.dtype(dtype).isnative:
        raise Unrecordable(f"values of {dtype}")
    return code


def _word(thing: Any, after: int) -> Any:
    """The word that stands in an object of Python's after so many bytes."""
    return ctypes.c_void_p.from_address(id(thing) + after).value


@cache
def _lie_as_known() -> bool:
    """Whether arrays and tuples of this Python hold what machine code looks for in them where it looks."""
    array = np.zeros(1)
    held = (array, array)
    entries = [_word(held, tuple.__basicsize__ + 8 * i) for i in range(2)]
    return entries == [id(array)] * 2 and _word(array, object.__basicsize__) == array.ctypes.data


class Emitter:
    """Writes calls as one function, ``loop(length, reverse, *arrays)``, from the last step to the first if ``back``.

    ``places`` tells of storages of the arguments where they are; ``wanted`` is what is read after the last call, and
    ``arrays`` the dtypes of what the function is given.
    """

    #: Of which dtypes there is scratch memory.
    scratch = tuple(_TYPES)

    def __init__(
        self, places: dict[int, Place], ops: Sequence[Op], wanted: Sequence[Slot], arrays: dict[str, Any], back: bool
    ) -> None:
        if not _lie_as_known():
            raise Unrecordable("the objects of this Python lie in memory in a way of their own")
        self.places = dict(places)
        self.sizes = dict.fromkeys(self.scratch, 0)  # of the scratch memory
        self._firsts: dict[int, int] = {}
        #: Memory -> the last call that reads it.
        self.last = {_memory(slot): i for i, op in enumerate(ops) for slot in reads(op)}
        self.last |= {_memory(slot): len(ops) for slot in wanted}
        self._at_call = 0
        self._group: list[tuple[Op, Slot]] = []  # neighbouring elementwise calls
        self._shape: tuple[int, ...] = ()
        self.module = ir.Module("loop")
        self.kinds = {name: _kind(dtype) for name, dtype in arrays.items()} | {
            f"w_{kind}": kind for kind in self.scratch
        }
        memory = [_BYTE if kind == "b1" else _TYPES[kind] for kind in self.kinds.values()]
        kind = ir.FunctionType(ir.VoidType(), [_INT, _INT, *[one.as_pointer() for one in memory]])
        self.function = ir.Function(self.module, kind, "loop")
        length, reverse, *pointers = self.function.args
        for pointer in pointers:
            pointer.add_attribute("noalias")
        self.pointers = dict(zip(self.kinds, pointers, strict=True))
        self.b = ir.IRBuilder(self.function.append_basic_block())
        self._steps = ExitStack()
        number = self._steps.enter_context(self.loop(length))
        last = self.b.sub(length, _INT(1))
        step = self.b.sub(last, number) if back else number
        entry = self.b.select(self.b.icmp_signed("!=", reverse, _INT(0)), self.b.sub(last, step), step)
        self._rows = {"step": step, "next": self.b.add(step, _INT(1)), "entry": entry}
        for i, op in enumerate(ops):
            self.write(op, i)
        self._at_call = len(ops)
        self.flush()

    def finish(self) -> str:
        """The whole function, as text; and ``enter(length, reverse, arrays)``, which calls it with the memory of a
        tuple of NumPy arrays, given by its identity, and returns the floating-point errors that there were.
        """
        self._steps.close()
        self.b.ret_void()
        self.function.attributes.add("noinline")  # that no arithmetic is moved out from between clear and test
        word, pointers = ir.IntType(32), self.function.args[2:]
        asked = ir.FunctionType(word, [word])
        clear, test = (ir.Function(self.module, asked, _libm(f"fe{name}except")) for name in ("clear", "test"))
        enter = ir.Function(self.module, ir.FunctionType(word, [_INT] * 3), "enter")
        b, every = ir.IRBuilder(enter.append_basic_block()), word(sum(_flags() or ()))
        length, reverse, arrays = enter.args

        def first(thing: Any, after: int, kind: Any) -> Any:
            """What stands in an object of Python's after so many bytes."""
            return b.load(b.inttoptr(b.add(thing, _INT(after)), kind.as_pointer()))

        # Of a tuple these are its entries, of a NumPy array it is where its memory begins.
        entries = [first(arrays, tuple.__basicsize__ + 8 * i, _INT) for i in range(len(pointers))]
        memory = [first(entry, object.__basicsize__, p.type) for entry, p in zip(entries, pointers, strict=True)]
        b.call(clear, [every])
        b.call(self.function, [length, reverse, *memory])
        b.ret(b.call(test, [every]))
        return str(self.module)

    @contextmanager
    def loop(self, count: Any) -> Iterator[Any]:
        """What is written inside is done ``count`` times, at least once; gives the number of the time."""
        b = self.b
        before, body = b.block, b.append_basic_block()
        b.branch(body)
        b.position_at_end(body)
        number = b.phi(_INT)
        number.add_incoming(_INT(0), before)
        yield number
        following = b.add(number, _INT(1))
        number.add_incoming(following, b.block)
        after = b.append_basic_block()
        b.cbranch(b.icmp_signed("<", following, count if isinstance(count, ir.Value) else _INT(count)), body, after)
        b.position_at_end(after)

    @contextmanager
    def loops(self, shape: Sequence[int]) -> Iterator[list[Any]]:
        """Loops inside one another."""
        with ExitStack() as stack:
            yield [stack.enter_context(self.loop(n)) for n in shape]

    # --- places -------------------------------------------------------------------------------------------------------

    def where(self, slot: Slot) -> tuple[Place, int, tuple[int, ...]]:
        """The place of a slot's memory, its first element there, and its strides in elements."""
        value, storage = slot.value, slot.storage
        if storage is None:  # a NumPy scalar
            if not hasattr(value, "dtype"):
                raise Unrecordable("a Python number computed from values")
            return *self._scratch(-1 - slot.index, value.dtype, 1), ()
        if storage.owner is None or value.size > MOST:
            raise Unrecordable("an array that is too large for a native loop")
        item = value.itemsize
        if any(other.value.dtype != value.dtype for other in storage.slots):
            raise Unrecordable("memory that is read as another dtype")
        owner = root(storage.owner)
        first = (value.__array_interface__["data"][0] - owner.__array_interface__["data"][0]) // item
        strides = tuple([stride // item for stride in value.strides])
        if storage.index in self.places:
            return self.places[storage.index], first, strides
        if not storage.made:
            if not owner.flags.c_contiguous:
                raise Unrecordable("a constant in another order")
            self.places[storage.index] = Place(self._constant(owner))
            return self.places[storage.index], first, strides
        place, start = self._scratch(storage.index, value.dtype, owner.nbytes // item)
        return place, start + first, strides

    def _scratch(self, key: int, dtype: Any, size: int) -> tuple[Place, int]:
        kind = _kind(dtype)
        if key not in self._firsts:
            self._firsts[key] = self.sizes[kind]
            self.sizes[kind] += max(size, 1)
        return Place(f"w_{kind}"), self._firsts[key]

    def aside(self, dtype: Any, size: int) -> tuple[Place, int]:
        """Scratch memory for something else."""
        return self._scratch(-(1 << 32) - len(self._firsts), dtype, size)

    def _constant(self, array: np.ndarray) -> str:
        name, kind = f"k{len(self.pointers)}", _kind(array.dtype)
        one = _BYTE if kind == "b1" else _TYPES[kind]
        values = ir.Constant(ir.ArrayType(one, array.size), [one(number) for number in array.ravel().tolist()])
        held = ir.GlobalVariable(self.module, values.type, name)
        held.global_constant, held.linkage, held.initializer = True, "internal", values
        self.pointers[name] = held.bitcast(one.as_pointer())
        self.kinds[name] = kind
        return name

    def address(self, place: Place, offset: Any) -> Any:
        """The address of an element."""
        if place.row is not None:
            offset = self.b.add(self.b.mul(self._rows[place.row], _INT(place.size)), offset)
        return self.b.gep(self.pointers[place.array], [offset])

    def load(self, place: Place, offset: Any) -> Any:
        found = self.b.load(self.address(place, offset))
        return self.b.trunc(found, _BOOL) if self.kinds[place.array] == "b1" else found

    def store(self, value: Any, place: Place, offset: Any) -> None:
        if self.kinds[place.array] == "b1":
            value = self.b.zext(value, _BYTE)
        self.b.store(value, self.address(place, offset))

    def _offset(self, first: int, strides: Sequence[int], index: Sequence[Any]) -> Any:
        offset = _INT(first)
        for stride, i in zip(strides, index, strict=True):
            if stride and i is not None:
                offset = self.b.add(offset, i if stride == 1 else self.b.mul(i, _INT(stride)))
        return offset

    def element(self, slot: Slot, index: Sequence[Any], value: Any = None) -> Any:
        """One element, or a new value for it; None in an index stands for 0."""
        place, first, strides = self.where(slot)
        offset = self._offset(first, strides, index)
        return self.load(place, offset) if value is None else self.store(value, place, offset)

    # --- calls --------------------------------------------------------------------------------------------------------

    def write(self, op: Op, number: int) -> None:
        """One call, the so-manieth of all."""
        self._at_call = number  # a group is written before or at the first call that is not of it
        target = _target(op)
        out = op.out if isinstance(op.out, Slot) else None
        if target in ORDINARY or target in CALLS or _is_cast(op):
            self._elementwise(op, self._out(op))
            return
        if out is not None and (_is_view(op, out) or target in _EMPTY):
            return
        self.flush()
        if target is operator.setitem or target in (np.copyto, np.add.at):
            self._assigned(op)
        elif out is None:
            raise Unrecordable(f"{_name(target)} in a native loop")
        elif target in _FILL or target in (np.full, np.full_like):
            self._filled(out, _FILL[target] if target in _FILL else op.args[1])
        elif target in _MOVES or (type(target) is Method and target.name in _MOVING_METHODS):
            self._moved(op, out)
        elif getattr(target, "__name__", "") == "reduce":
            self._reduced(op, out)
        elif target in (np.dot, np.matmul, np.vdot):
            self._product(op, out)
        else:
            raise Unrecordable(f"{_name(target)} in a native loop")

    def _out(self, op: Op) -> Slot:
        given = op.kwargs.get("out")
        out = given if given is not None else op.out
        if not isinstance(out, Slot) or not set(op.kwargs) <= {"out", "casting", "subok", "dtype", "copy"}:
            raise Unrecordable(f"{_name(op.target)} with {', '.join(op.kwargs)}=")
        return out

    # --- elementwise --------------------------------------------------------------------------------------------------

    def _elementwise(self, op: Op, out: Slot) -> None:
        shape = np.shape(out.value)
        if self._group and (shape != self._shape or self._collides(op, out)):
            self.flush()
        self._shape = shape
        self._group.append((op, out))

    def _collides(self, op: Op, out: Slot) -> bool:
        """Whether a call touches memory that the group has touched, otherwise than element by element."""
        for slot in (*reads(op), out):
            for earlier, result in self._group:
                for other in (result, *(reads(earlier) if slot is out else ())):
                    if slot.storage is not None and slot.storage is other.storage and not _alike(slot, other):
                        return True
        return False

    def flush(self) -> None:
        """Write the group as one loop."""
        group, self._group = self._group, []
        shape = self._shape
        if not group or 0 in shape:
            return
        slots = [slot for op, out in group for slot in (*reads(op), out)]
        whole = len(shape) > 1 and all(_is_whole(slot.value, shape) for slot in slots)

        def index(slot: Slot, numbers: list[Any]) -> Any:
            value = slot.value
            place, first, strides = self.where(slot)
            if whole:
                return place, self._offset(first, (1,), numbers) if np.size(value) > 1 else _INT(first)
            numbers = numbers[len(numbers) - np.ndim(value) :]
            index = [None if n == 1 else i for n, i in zip(np.shape(value), numbers, strict=True)]
            return place, self._offset(first, strides, index)

        with self.loops((int(np.prod(shape)),) if whole else shape) as numbers:
            known: dict[Any, Any] = {}
            for op, out in group:
                terms = []
                for arg in op.args:
                    if not isinstance(arg, Slot):
                        terms.append((arg, None))
                        continue
                    key = self.where(arg) if np.shape(arg.value) == shape or arg.storage is None else None
                    terms.append((arg, known[key] if key in known else self.load(*index(arg, numbers))))
                known[self.where(out)] = self._value(op, out, terms)
            for _, out in group:
                if self.last.get(_memory(out), -1) >= self._at_call and self.where(out) in known:
                    self.store(known.pop(self.where(out)), *index(out, numbers))

    def _value(self, op: Op, out: Slot, terms: list[Any]) -> Any:
        """An elementwise call of terms: numbers, or slots and their loaded values."""
        target, dtypes = _target(op), computed_in(op, out)
        if _is_cast(op):
            return self._cast(terms[0][1], dtypes[0], out.value.dtype)
        values = []
        for (term, value), wanted in zip(terms, dtypes, strict=True):
            values.append(
                self._cast(value, _dtype(term.value), wanted) if isinstance(term, Slot) else _literal(term, wanted)
            )
        return ORDINARY[target](self.b, *values) if target in ORDINARY else self._called(CALLS[target], values)

    def _called(self, name: str, values: list[Any]) -> Any:
        one = values[0].type
        name = _libm(name if isinstance(one, ir.DoubleType) else f"{name}f")
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(one, [one] * len(values)), name)
            function.attributes.add("nounwind")
        return self.b.call(function, values)

    def _cast(self, value: Any, before: Any, after: Any) -> Any:
        if before == after:
            return value
        kinds, into = before.kind + np.dtype(after).kind, _TYPES[_kind(after)]
        if kinds == "ff":
            return (self.b.fpext if after.itemsize > before.itemsize else self.b.fptrunc)(value, into)
        if kinds in ("if", "bf"):
            return (self.b.sitofp if kinds == "if" else self.b.uitofp)(value, into)
        if kinds == "bi":
            return self.b.zext(value, into)
        return _compared("!=")(self.b, value, ir.Constant(value.type, 0))

    # --- moving elements ----------------------------------------------------------------------------------------------
    @staticmethod
    def _numbered(template: Any, slots: list[Slot]) -> Any:
        """A template with arrays of element numbers in the place of slots: which slot, and which element of it."""

        def leaf(part: Any) -> Any:
            if isinstance(part, (bool, int, np.integer)) or part is None or part is ...:
                return part
            if not isinstance(part, Slot):
                raise Unrecordable(f"{type(part).__name__} among what is moved")
            if part not in slots:
                slots.append(part)
            return slots.index(part) * (MOST + 1) + np.arange(np.size(part.value)).reshape(np.shape(part.value))

        return mapped(leaf, template)

    @staticmethod
    def _index(template: Any) -> Any:
        """An index with its constant arrays."""

        def leaf(part: Any) -> Any:
            if isinstance(part, Slot) and part.kind != "held":
                raise Unrecordable("an index that is computed")
            return part.value if isinstance(part, Slot) else part

        return mapped(leaf, template)

    def _moved(self, op: Op, out: Slot) -> None:
        slots: list[Slot] = []
        args = list(op.args)
        indexed = op.target in (operator.getitem, np.take, np.take_along_axis)
        numbered = [self._numbered(args[0], slots), *(self._index(a) if indexed else a for a in args[1:])]
        kwargs = {key: value for key, value in op.kwargs.items() if key != "dtype"}
        if op.target in (np.array, np.asarray, np.ascontiguousarray):
            found = np.asarray(numbered[0]).reshape(np.shape(out.value))
        else:
            found = np.asarray(op.target(*numbered, **kwargs))
        if found.shape != np.shape(out.value) or any(s.value.dtype != out.value.dtype for s in slots):
            raise Unrecordable(f"{_name(op.target)} in a native loop")
        numbers, targets = found.reshape(-1), self.offsets(out)
        for place, slot in enumerate(slots):
            mine = np.flatnonzero(numbers // (MOST + 1) == place)
            source = self.offsets(slot)[numbers[mine] % (MOST + 1)]
            self.transfer(self.where(out)[0], targets[mine], self.where(slot)[0], source)

    def offsets(self, slot: Slot) -> np.ndarray:
        """Where in its flat array each element of a slot lies, in C order."""
        _, first, strides = self.where(slot)
        found = np.full(np.shape(slot.value), first)
        for axis, stride in enumerate(strides):
            shape = [1] * found.ndim
            shape[axis] = -1
            found = found + stride * np.arange(found.shape[axis]).reshape(shape)
        return found.reshape(-1)

    def transfer(self, to: Place, targets: Any, of: Place, sources: Any, add: bool = False) -> None:
        """Copy elements, or add them to what is there."""
        if not len(targets):
            return
        with self.loop(len(targets)) as i:
            value = self.load(of, self._at(sources, i))
            where = self._at(targets, i)
            if add:
                value = _arithmetic("add")(self.b, self.load(to, where), value)
            self.store(value, to, where)

    def _at(self, offsets: np.ndarray, i: Any) -> Any:
        """``offsets[i]``."""
        steps = np.diff(offsets)
        if not len(steps):
            return _INT(int(offsets[0]))
        if (steps == steps[0]).all():
            return self.b.add(self.b.mul(i, _INT(int(steps[0]))), _INT(int(offsets[0])))
        return self.load(Place(self._constant(np.asarray(offsets, np.int64))), i)

    def copied(self, slot: Slot, to: Place, first: int = 0, add: bool = False) -> None:
        """Copy a slot's elements to those of a place from ``first`` on."""
        self.transfer(to, first + np.arange(slot.value.size), self.where(slot)[0], self.offsets(slot), add)

    def fill(self, place: Place, targets: np.ndarray, value: Any) -> None:
        """Set elements to one value."""
        if len(targets):
            with self.loop(len(targets)) as i:
                self.store(value, place, self._at(targets, i))

    def _filled(self, out: Slot, value: Any) -> None:
        if not isinstance(value, (bool, int, float, np.generic)):
            raise Unrecordable("an array filled with what was computed")
        self.fill(self.where(out)[0], self.offsets(out), _literal(value, out.value.dtype))

    def _assigned(self, op: Op) -> None:
        target, args, adds = op.args[0], list(op.args), op.target == np.add.at
        if op.kwargs or not isinstance(target, Slot):
            raise Unrecordable(f"{_name(op.target)} in a native loop")
        key, value = (..., args[1]) if op.target is np.copyto else (self._index(args[1]), args[2])
        positions = self.offsets(target).reshape(np.shape(target.value))[key]
        place = self.where(target)[0]
        if not isinstance(value, Slot):
            if not isinstance(value, (bool, int, float, np.generic)) or adds:
                raise Unrecordable("a constant array written into an array")
            self.fill(place, np.ravel(positions), _literal(value, target.value.dtype))
            return
        if value.value.dtype != target.value.dtype or value.storage is target.storage:
            raise Unrecordable("an assignment that casts, or of an array into itself")
        taken = np.broadcast_to(self.offsets(value).reshape(np.shape(value.value)), np.shape(positions))
        self.transfer(place, np.ravel(positions), self.where(value)[0], np.ravel(taken), adds)

    # --- sums and products --------------------------------------------------------------------------------------------

    def _reduced(self, op: Op, out: Slot) -> None:
        ufunc = op.target.__self__
        source, axis, dtype, into, keepdims = (*op.args, *(0, None, None, False)[len(op.args) - 1 :])[:5]
        initial = op.kwargs.get("initial", np._NoValue)
        plain = op.kwargs.get("where", True) is True and not isinstance(initial, Slot) and initial is not None
        if ufunc not in (np.add, np.multiply, np.maximum, np.minimum) or not plain or into is not None:
            raise Unrecordable(f"{ufunc.__name__}.reduce in a native loop")
        value = source.value
        casts = value.dtype != out.value.dtype or dtype not in (None, value.dtype) or _kind(value.dtype) == "b1"
        if casts or not value.size:
            raise Unrecordable("a reduction that casts, or of nothing")
        axes = range(value.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        over = sorted({a % value.ndim for a in axes}) if value.ndim else []
        if np.prod([value.shape[a] for a in over]) > _LONGEST_SUM:
            raise Unrecordable("a long sum, which NumPy adds up in pairs")
        kept = [a for a in range(value.ndim) if a not in over]
        with self.loops([value.shape[a] for a in kept]) as outer:
            place = dict(zip(kept, outer, strict=True))
            index = [place.get(a) for a in range(value.ndim)] if keepdims else outer
            if ufunc in (np.maximum, np.minimum) and initial is np._NoValue:
                first = self.element(source, [place.get(a) for a in range(value.ndim)])
            else:
                neutral = 1 if ufunc is np.multiply else 0
                first = _literal(neutral if initial is np._NoValue else initial, value.dtype)
            self.element(out, index, first)
            with self.loops([value.shape[a] for a in over]) as inner:
                here = place | dict(zip(over, inner, strict=True))
                item = self.element(source, [here[a] for a in range(value.ndim)])
                self.element(out, index, ORDINARY[ufunc](self.b, self.element(out, index), item))

    def _product(self, op: Op, out: Slot) -> None:
        if len(op.args) != 2 or op.kwargs or not all(isinstance(a, Slot) for a in op.args):
            raise Unrecordable("a matrix product with more than its two operands")
        x, y = op.args
        a, b = x.value, y.value
        if {np.ndim(a), np.ndim(b)} - {1, 2} or not a.dtype == b.dtype == out.value.dtype or _kind(a.dtype)[0] != "f":
            raise Unrecordable("a product of more than matrices of one dtype")
        inner, rows, columns = a.shape[-1], a.shape[:-1], b.shape[1:]
        if not 0 < inner <= _LONGEST_SUM or not 0 < inner * math.prod(rows + columns) <= 8 * MOST:
            raise Unrecordable("a large matrix product, which BLAS makes, or an empty one")
        with self.loops(rows) as i:
            with self.loops(columns) as j:
                self.element(out, [*i, *j], _literal(0, a.dtype))
            with self.loop(inner) as k:
                left = self.element(x, [*i, k])
                with self.loops(columns) as j:
                    part = self.b.fmul(left, self.element(y, [k, *j]))
                    self.element(out, [*i, *j], self.b.fadd(self.element(out, [*i, *j]), part))


# --- what a call is ---------------------------------------------------------------------------------------------------


def computed_in(op: Op, out: Slot) -> list[Any]:
    """The dtypes that a loop computes an elementwise call in; Unrecordable if no loop does."""
    target, dtype = _target(op), out.value.dtype
    given = [arg.value if isinstance(arg, Slot) else arg for arg in op.args]
    if _is_cast(op):
        _check_cast(_dtype(given[0]), dtype)
        return [_dtype(given[0])]
    if not all(isinstance(arg, (Slot, bool, int, float, np.generic)) for arg in op.args):
        raise Unrecordable(f"{_name(target)} of an object")
    if target is np.where:
        dtypes: list[Any] = [np.dtype(bool), dtype, dtype]
    else:
        try:
            *dtypes, made = target.resolve_dtypes((*(getattr(value, "dtype", type(value)) for value in given), None))
        except TypeError as error:
            raise Unrecordable(f"{_name(target)}: {error}") from None
        if made != dtype:
            raise Unrecordable(f"{_name(target)} into another dtype")
        if target in _LOGICAL:
            dtypes = [np.dtype(bool)] * len(dtypes)
    kinds = {np.dtype(d).kind for d in dtypes}
    if kinds != {"f"} and (target in CALLS or target in _REALS):
        raise Unrecordable(f"{_name(target)} of whole numbers")
    if kinds == {"b"} and (dtype != np.bool_ or target in (np.add, np.multiply, np.maximum, np.minimum)):
        raise Unrecordable(f"{_name(target)} of truth values")
    for arg, value, wanted in zip(op.args, given, dtypes, strict=True):
        if isinstance(arg, Slot):
            _check_cast(_dtype(value), wanted)
    return dtypes


def _check_cast(before: Any, after: Any) -> None:
    _kind(before), _kind(after)
    if before != after and before.kind + np.dtype(after).kind not in ("ff", "if", "bf", "bi", "fb", "ib"):
        raise Unrecordable(f"{before} cast to {after}")


def _dtype(value: Any) -> Any:
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype


def _memory(slot: Slot) -> Any:
    return ("scalar", slot.index) if slot.storage is None else slot.storage.index


def _target(op: Op) -> Any:
    target = OPERATORS.get(op.target, op.target)
    return Method("astype") if isinstance(target, type) and issubclass(target, np.generic) else target


def _name(target: Any) -> str:
    return str(getattr(target, "name", None) or getattr(target, "__name__", target))


def _is_cast(op: Op) -> bool:
    target = _target(op)
    return type(target) is Method and target.name == "astype"


def _is_view(op: Op, out: Slot) -> bool:
    """Whether the result lies in memory that was there before."""
    return out.storage is not None and any(slot.storage is out.storage for slot in reads(op))


def _is_whole(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether an operand runs through memory as a result of ``shape`` does, or is a single number."""
    return np.size(value) == 1 or (np.shape(value) == shape and value.flags.c_contiguous)


def _alike(a: Slot, b: Slot) -> bool:
    """Whether two slots are the same elements in the same order, or share none."""
    x, y = a.value, b.value
    same = x.shape == y.shape and x.strides == y.strides and a.offset == b.offset
    return same or not np.may_share_memory(x, y)


def _literal(value: Any, dtype: Any) -> Any:
    try:
        with np.errstate(all="raise", under="ignore"):
            number = np.dtype(dtype).type(value).item()
    except (OverflowError, FloatingPointError):
        raise Unrecordable(f"{value!r} as {dtype}") from None
    return ir.Constant(_TYPES[_kind(dtype)], number)


@cache
def _libm(name: str) -> str:
    """The name under which LLVM knows a function of the C library: other libraries have some of the same name."""
    function = getattr(ctypes.CDLL("libm.so.6" if sys.platform == "linux" else None), name)
    binding.add_symbol(f"autodiff_{name}", ctypes.cast(function, ctypes.c_void_p).value)
    return f"autodiff_{name}"


# --- machine code -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def compiled(source: str) -> Callable[[int, int, int], int]:
    """The function ``enter`` of a text."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    module = binding.parse_assembly(source)
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=2
    )
    if hasattr(binding, "create_pass_builder"):
        options = binding.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = options.slp_vectorization = True
        builder = binding.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
    else:  # llvmlite before 0.44
        manager, passes = binding.create_pass_manager_builder(), binding.create_module_pass_manager()
        manager.opt_level, manager.loop_vectorize = 2, True
        machine.add_analysis_passes(passes)
        manager.populate(passes)
        passes.run(module)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    enter = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * 3)(engine.get_function_address("enter"))
    enter.engine = engine  # type: ignore[attr-defined]  # its memory holds the function
    return enter


# --- the loops over a body --------------------------------------------------------------------------------------------


class _Elementwise(Emitter):
    """One loop of elementwise calls on arrays of any size, each of which is handed over by itself."""

    scratch = ()

    def where(self, slot: Slot) -> tuple[Place, int, tuple[int, ...]]:
        """The place of a slot; what is computed and not wanted afterwards is nowhere."""
        place = self.places.get(_memory(slot)) or self.places.get(~slot.index) or Place(f"t{_memory(slot)}")
        value = slot.value
        if not isinstance(value, np.ndarray):
            return place, 0, ()
        return place, 0, tuple([stride // value.itemsize for stride in value.strides])

    def _collides(self, op: Op, out: Slot) -> bool:
        return False  # what is written is read as a whole, or not at all


def chain_of(ops: Sequence[Op], inputs: Sequence[Slot], outputs: Sequence[Slot]) -> Callable[[int, int, int], int]:
    """Elementwise calls on arrays of one shape as one loop: a function of 1, 0 and the identity of a tuple, of inputs
    and of outputs that are written into; it returns the floating-point errors. An input that is a number comes as an
    array.
    """
    named = [*((f"x{i}", slot) for i, slot in enumerate(inputs)), *((f"y{i}", slot) for i, slot in enumerate(outputs))]
    places = {(_memory(slot) if name[0] == "y" else ~slot.index): Place(name) for name, slot in named}
    emitter = _Elementwise(places, ops, outputs, {name: _dtype(slot.value) for name, slot in named}, False)
    return compiled(emitter.finish())


class _Loop:
    """A native loop, compiled when it is first called."""

    def __init__(self, emitter: Emitter) -> None:
        self.source = emitter.finish()
        self.sizes = [(max(size, 1), kind) for kind, size in emitter.sizes.items()]

    def __call__(self, length: int, reverse: bool, arrays: Sequence[Any]) -> int:
        given = (*arrays, *(np.empty(size, kind) for size, kind in self.sizes))
        return as_numpys(compiled(self.source)(length, reverse, id(given)))


def _of(slot: Slot) -> int:
    if slot.storage is None:
        raise Unrecordable("an argument that is a number")
    return slot.storage.index


def _needed(ops: Sequence[Op], wanted: Sequence[Slot]) -> list[Op]:
    """The calls that what is wanted depends on."""
    alive = {_memory(slot) for slot in wanted}
    kept = []
    for op in reversed(ops):
        touched = {_memory(slot) for slot in op.outs()} | {storage.index for storage in op.writes}
        if not touched.isdisjoint(alive):
            kept.append(op)
            alive |= {_memory(slot) for slot in reads(op)} | touched
    return kept[::-1]


def loops_of(body: Any) -> tuple[_Loop, _Loop | None]:
    """A body's loop forward, and the way back if one is wanted: each called with the number of steps, whether they run
    in reverse, and flat arrays.
    """
    if any(op.kind != "call" for op in body.ops):
        raise Unrecordable("a value decides what is computed")
    width = body.width
    carry, xs, closed = body.parts(body.arguments)
    ys = body.outs[width:]
    places = {_of(slot): Place(f"c{i}", "step", slot.value.size) for i, slot in enumerate(carry)}
    places |= {_of(slot): Place(f"x{i}", "entry", slot.value.size) for i, slot in enumerate(xs)}
    places |= {_of(slot): Place(f"a{i}") for i, slot in enumerate(closed)}
    given = {
        f"{letter}{i}": s.value.dtype
        for letter, part in zip("cxa", (carry, xs, closed), strict=True)
        for i, s in enumerate(part)
    }

    results = {f"y{i}": slot.value.dtype for i, slot in enumerate(ys)}
    emitter = Emitter(places, body.ops[: body.forward], body.outs, given | results, False)
    for i, slot in enumerate(body.outs):
        size = slot.value.size
        emitter.copied(slot, Place(f"c{i}", "next", size) if i < width else Place(f"y{i - width}", "entry", size))
    forward = _Loop(emitter)

    if not body.wanted:
        return forward, None
    seeds = {i: slot for i, slot in enumerate(body.seeds) if slot is not None}
    places |= {_of(s): Place(f"h{i}") if i < width else Place(f"h{i}", "entry", s.value.size) for i, s in seeds.items()}
    grads = {i: slot for i, slot in enumerate(body.grads) if slot is not None}
    arrays = given | {f"h{i}": slot.value.dtype for i, slot in seeds.items()}
    arrays |= {f"g{i}": slot.value.dtype for i, slot in grads.items() if i >= width}
    wanted = list(grads.values())
    emitter = Emitter(places, _needed(body.ops, wanted), wanted, arrays, True)
    # The new carry's cotangents may be computed from the old ones: first aside, then over them.
    asides = {i: emitter.aside(seeds[i].value.dtype, seeds[i].value.size) for i in seeds if i < width}
    for i, (place, first) in asides.items():
        if i in grads:
            emitter.copied(grads[i], place, first)
    for i, slot in grads.items():
        if i >= width:
            row = i < width + len(xs)
            emitter.copied(slot, Place(f"g{i}", "entry", slot.value.size) if row else Place(f"g{i}"), add=not row)
    for i, (place, first) in asides.items():
        every = np.arange(seeds[i].value.size)
        if i in grads:
            emitter.transfer(Place(f"h{i}"), every, place, first + every)
        else:
            emitter.fill(Place(f"h{i}"), every, _literal(0, seeds[i].value.dtype))
    return forward, _Loop(emitter)
