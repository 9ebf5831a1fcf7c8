"""From a function of the library to the list of NumPy calls that it makes for given shapes, dtypes and layouts.

The forward, backward and rules of an operation are pure functions of arrays, in plain NumPy. So running one on
stand-ins (``standin.py``) that note every call gives a list of calls which computes the same on any other arrays of the
same facts; a decision by value is noted too, and where it goes another way the list does not hold (``guard``).

Only functions of the library are run here, as private copies (``private.py``). Whatever a stand-in cannot follow ends
the recording with :class:`Unrecordable`, and the operation keeps running as it is.
"""

from __future__ import annotations

import itertools
import math
import mmap
import operator
import weakref
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np

from autodiff.compiler.standin import Recorded, bare, mapped

__all__ = ["SHAPED", "Attribute", "Method", "Op", "Recorder", "Slot", "Storage", "Unrecordable"]
__all__ += ["cleared", "named", "reads", "slots_in"]

# Arrays of fewer bytes are held until the code is written.
_SMALL = 1 << 16


class Unrecordable(Exception):
    """The function does something that a list of calls cannot do; the message says what."""


class Storage:
    """One block of memory of the recorded call."""

    __slots__ = ("address", "index", "kept", "made", "owner", "slots", "standins")

    def __init__(self, index: int, owner: Any, made: bool, address: int) -> None:
        self.index = index
        self.owner = owner
        self.made = made  # by the call; else it came from outside
        self.address = address
        #: Whether the plan may need what is in it, or an array of it may come back another way than by a stand-in.
        self.kept = not made or owner.nbytes < _SMALL
        self.slots: list[Slot] = []
        self.standins = 0  # how many there are for its slots


class Slot:
    """A value of the recorded call: an array somewhere in a storage, or a scalar."""

    __slots__ = ("index", "kind", "offset", "storage", "value")

    def __init__(self, index: int, kind: str, value: Any, storage: Storage | None) -> None:
        self.index = index
        self.kind = kind  # "array" or "scalar" computed, "held" by the library, "argument" given anew every time
        #: What it was; of a large array that nothing can come back to only the shape, dtype and strides.
        self.value = value
        self.storage = storage
        self.offset = 0 if storage is None else value.__array_interface__["data"][0] - storage.address
        if storage is not None:
            storage.slots.append(self)


class Op:
    """One call."""

    __slots__ = ("args", "errors", "kind", "kwargs", "loose", "out", "target", "writes")

    def __init__(self, kind: str, target: Any, args: Any = (), kwargs: Any = None, out: Any = None) -> None:
        self.kind = kind  # "call", "draw" or "guard"
        self.target = target  # the callable; of a guard the truth found
        self.args = args  # with slots in the place of arrays, as in kwargs
        self.kwargs: dict[str, Any] = kwargs or {}
        self.out = out  # slot, list of slots or None
        self.writes: tuple[Storage, ...] = ()  # which storages it writes into, its own new ones aside
        self.errors: dict[str, Any] | None = None  # what the function had changed of NumPy's error state
        self.loose = False  # whether shape, dtype or place of a result may depend on values

    def under(self, *lines: str) -> list[str]:
        """Lines of Python under the floating-point error state that the call has of its own."""
        own = ", ".join(f"{name}={what!r}" for name, what in self.errstate().items())
        return [f"with np.errstate({own}):", *(f"    {line}" for line in lines)] if own and lines else [*lines]

    def errstate(self) -> dict[str, Any]:
        """What it changes of the caller's floating-point error state."""
        return {name: what for name, what in (self.errors or {}).items() if name != "call"}

    def outs(self) -> list[Slot]:
        """The slots of its results."""
        if self.out is None:
            return []
        return [s for s in (self.out if isinstance(self.out, (list, tuple)) else [self.out]) if s is not None]


def slots_in(*values: Any) -> list[Slot]:
    """The slots in templates of arguments."""
    found: list[Slot] = []
    for value in values:
        kind = type(value)
        if kind is Slot:
            found.append(value)
        elif isinstance(value, (tuple, list)):
            found += slots_in(*value)
        elif kind is dict:
            found += slots_in(*value.values())
        elif kind is slice:
            found += slots_in(value.start, value.stop, value.step)
    return found


def reads(op: Op) -> list[Slot]:
    """The slots that an operation takes."""
    return slots_in(*op.args, *op.kwargs.values())


@dataclass(frozen=True, slots=True)
class Method:
    """The call of an array's method."""

    name: str

    def __call__(self, array: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(array, self.name)(*args, **kwargs)


def _kernel(run: Any) -> Any:
    """A kernel's call, with the arrays in which its shares add up handed out flat."""

    def kernel(shapes: list[Any], *arguments: Any) -> list[Any]:
        partial = (lambda: tuple(np.zeros(shape, dtype) for shape, dtype in shapes)) if shapes else None
        return [array for share in run(*arguments, partial=partial) for array in share]

    return kernel


class Attribute(Method):
    """The reading of an array's attribute that is a view, such as ``T``."""

    __slots__ = ()

    def __call__(self, array: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(array, self.name)


def root(array: Any) -> Any:
    """The array that owns the memory, as far as NumPy tells."""
    base = array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            array = base
        base = getattr(base, "base", None)  # as_strided puts an object of its own between two arrays
    return array


def named(names: str) -> set[Any]:
    """NumPy's functions of these names."""
    return {getattr(np, name) for name in names.split()}


_FACTS_ONLY = named(
    "result_type shape ndim size can_cast iscomplexobj isrealobj may_share_memory shares_memory common_type"
    " min_scalar_type"
)
_AS_METHOD = {getattr(np, name): name for name in "sum max min prod any all mean".split()}
_AS_METHOD |= {np.amax: "max", np.amin: "min"}
#: Method -> its ufunc.
_REDUCTIONS = dict(sum=np.add, prod=np.multiply, max=np.maximum, min=np.minimum, any=np.logical_or, all=np.logical_and)
_WRITES_FIRST = {np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis, operator.setitem}
_WRITING_METHODS = {"fill", "put", "sort", "partition"}
#: Functions that may hand back the very array they were given.
_SAME = named("asarray asanyarray ascontiguousarray asfortranarray atleast_1d atleast_2d atleast_3d real require")
_NUMBERS = (bool, int, float, complex)


#: Functions whose results lie as the shapes, dtypes and layouts that go in say.
SHAPED = named(
    "array asarray ascontiguousarray copy reshape ravel zeros ones zeros_like ones_like empty empty_like full dot vdot"
    " matmul einsum concatenate stack where clip outer swapaxes moveaxis expand_dims transpose broadcast_to real imag"
    " argsort sort take_along_axis count_nonzero polyder polyval vander"
)
SHAPED.add(np.lib.stride_tricks.as_strided)
_SHAPING_METHODS = {"nonzero", "compress", "repeat", "choose"}


def _is_loose(op: Op, result: Any) -> bool:
    """Whether shape, dtype or place of the result may depend on more than the shapes, dtypes and layouts that go in."""
    target = op.target
    if isinstance(target, (np.ufunc, Attribute, type)) or target in (abs, np.where, np.clip):
        return False
    whole = any(isinstance(s.value, (int, np.integer)) for s in reads(op))  # an axis, a length or a count, perhaps
    if target in SHAPED or isinstance(getattr(target, "__self__", None), np.ufunc):
        return whole
    if type(target) is Method:
        return whole or target.name in _SHAPING_METHODS
    if target is operator.getitem:  # a number picks out a view, of what has several axes
        picked = any(not isinstance(s.value, np.ndarray) or s.value.dtype.kind == "b" for s in slots_in(op.args[1]))
        return picked and isinstance(result, np.ndarray)
    return getattr(target, "__module__", "") != "_operator" and bool(reads(op))


def cleared(gone: Any, *found: Any) -> None:
    """NaNs become zeros, if the cotangent that they come of was of zeros alone."""
    if gone:
        for h in found:
            np.copyto(h, 0, where=np.isnan(h))


class Recorder:
    """The record of one run."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.slots: list[Slot] = []
        self.live = True
        self.late = False  # whether zero times infinity is looked for in what a backward pass gives, not in its steps
        self.loops = False  # whether it is of a loop's body (body.py), which asks no questions about whole arrays
        self.begun = 0  # how many calls there were when the latest hand-derived backward began
        self.errors: Any = None
        self.decided: Any = None  # called when a value decides
        self.refused = ""  # why the recording cannot stand
        self.moved: set[int] = set()  # storages whose values are no longer what they are here
        self.storages: dict[int, Storage] = {}
        self.known: dict[int, Slot] = {}
        self.held: list[Slot] = []
        self.standins: list[Any] = []  # references that tell when one is gone
        self.fixed: set[int] = set()  # slots that depend on nothing that is given anew
        self._count = itertools.count()
        self._nowhere = mmap.mmap(-1, mmap.PAGESIZE)

    def keeps(self) -> bool:
        """Whether somebody still holds a stand-in."""
        return any(reference() is not None for reference in self.standins)

    # --- what the stand-ins report ------------------------------------------------------------------------------------

    def argument(self, value: Any) -> Recorded:
        """A stand-in for something that is given anew every time: an array, a NumPy scalar or a number."""
        if not isinstance(value, np.ndarray):
            return self.standin(self._new("argument", value, None))
        slot = self._new("argument", value, self._storage(value, made=False))
        return self.standin(slot)

    def refuse(self, reason: str) -> NoReturn:
        """Ends the recording, also where the function goes on as if nothing had been said."""
        self.refused = self.refused or reason
        raise Unrecordable(reason)

    def read(self, standin: Recorded, reason: str) -> None:
        """A value left for Python; one that depends on nothing that is given anew may."""
        if self.live and standin.slot.index not in self.fixed:
            self.refuse(reason)

    def truth(self, standin: Recorded) -> bool:
        """A value decided which way to go: the list holds where it decides the same."""
        found = bool(standin.value)
        if self.live:
            if self.decided is not None:
                self.decided(found)
            self.ops.append(Op("guard", found, (standin.slot,)))
        return found

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``target(*args, **kwargs)``, written down."""
        if not self.live:
            return target(*bare(args), **bare(kwargs))
        op = Op("call", target, self.template(args), self.template(kwargs))
        if self.moved and any(s.storage is not None and s.storage.index in self.moved for s in reads(op)):
            self.refuse("it reads a declared array after an optimiser's step; read it before, or after the call")
        told = self._written_as_told(target, args, kwargs)
        self._note_writes(op, told)  # before anything is written
        result = target(*bare(args), **bare(kwargs))
        errors = np.geterr()
        if errors != self.errors:
            op.errors = {name: what for name, what in errors.items() if what != self.errors[name]}
        if not told and isinstance(result, np.ndarray) and target not in _SAME and not isinstance(target, Attribute):
            if not (type(target) is Method and target.name == "astype"):
                self._note_writes(op, [a for a in args if a is not None and bare(a) is result])
        op.loose = not told and _is_loose(op, result)
        return self._noted(op, result)

    def function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A NumPy function of stand-ins."""
        if function in _FACTS_ONLY:
            return function(*bare(args), **bare(kwargs))
        name = _AS_METHOD.get(function)
        if name is not None and args and type(args[0]) is Recorded and hasattr(args[0].value, name):
            return self.method(name, args[0], args[1:], {k: v for k, v in kwargs.items() if v is not np._NoValue})
        return self.call(function, args, kwargs)

    def method(self, name: str, standin: Recorded, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A method of a stand-in; a reduction is written down as its ufunc's ``reduce``, which is what the method
        calls, ``dot`` as the function.
        """
        value = standin.value
        if isinstance(value, np.ndarray) and name in _REDUCTIONS:
            names = ("axis", *(["dtype"] if name in ("sum", "prod") else []), "out", "keepdims", "initial", "where")
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            if len(args) <= len(names) and set(given) <= set(names):
                dtype = given.get("dtype", np.dtype(bool) if name in ("any", "all") else None)
                order = [given.get("axis"), dtype, given.get("out"), given.get("keepdims", False)]
                more: dict[str, Any] = {key: given[key] for key in ("initial", "where") if key in given}
                return self.call(_REDUCTIONS[name].reduce, (standin, *order), more)
        if name == "mean" and isinstance(value, np.ndarray) and value.dtype.char in "fd" and len(args) <= 1:
            found = self._mean(standin, args, kwargs)
            if found is not None:
                return found
        if name == "dot":
            return self.call(np.dot, (standin, *args), kwargs)
        return self.call(Method(name), (standin, *args), kwargs)

    def _mean(self, standin: Recorded, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``ndarray.mean`` as the two calls that it makes."""
        given = {**dict(zip(("axis",), args, strict=False)), **kwargs}
        axis, value = given.get("axis"), standin.value
        axes = range(value.ndim) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
        if not set(given) <= {"axis", "keepdims"} or not value.size or not all(hasattr(a, "__index__") for a in axes):
            return None
        count = np.intp(math.prod(value.shape[a] for a in axes))
        total = self.call(np.add.reduce, (standin, axis, None, None, given.get("keepdims", False)), {})
        if isinstance(total.value, np.ndarray):
            return self.call(np.true_divide, (total, count), {"out": total, "casting": "unsafe", "subok": False})
        return self.call(value.dtype.type, (self.call(operator.truediv, (total, count), {}),), {})

    def attribute(self, name: str, standin: Recorded) -> Any:
        """A view that is an attribute."""
        return self.call(Attribute(name), (standin,), {})

    # --- writing down -------------------------------------------------------------------------------------------------

    def template(self, value: Any) -> Any:
        """Slots in the place of stand-ins and arrays."""
        return mapped(self._slot, value)

    def _slot(self, value: Any) -> Any:
        if type(value) is Recorded:
            return value.slot
        return self.outside(value) if isinstance(value, np.ndarray) else value

    def outside(self, array: Any) -> Slot:
        """The slot of a plain array: one that is known, or one that the library holds."""
        slot = self.known.get(id(array))
        if slot is not None and slot.value is array:
            return slot
        slot = self._new("held", array, self._storage(array, made=False))
        self.held.append(slot)
        self.fixed.add(slot.index)
        self.known[id(array)] = slot
        return slot

    def _storage(self, array: Any, made: bool) -> Storage:
        owner = root(array)
        storage = self.storages.get(id(owner))
        if storage is None:
            address = array.__array_interface__["data"][0]
            storage = self.storages[id(owner)] = Storage(next(self._count), owner, made, address)
        return storage

    def _new(self, kind: str, value: Any, storage: Storage | None) -> Slot:
        slot = Slot(len(self.slots), kind, value, storage)
        self.slots.append(slot)
        return slot

    def another(self, slot: Slot) -> Slot:
        """A slot of the same layout in memory of its own."""
        assert slot.storage is not None
        storage = Storage(next(self._count), slot.value, True, slot.storage.address)
        self.storages[-storage.index] = storage
        own = self._new(slot.kind, slot.value, None)
        own.storage, own.offset = storage, slot.offset
        storage.slots.append(own)
        return own

    def standin(self, slot: Slot) -> Recorded:
        """A stand-in for a slot."""
        made = Recorded(slot.value, slot, self)
        storage = slot.storage
        if storage is None or storage.kept:
            self.standins.append(weakref.ref(made))
        else:
            storage.standins += 1
            self.standins.append(weakref.ref(made, partial(self._left, storage)))
        return made

    def _left(self, storage: Storage, standin: Any) -> None:
        """A stand-in is gone. With the last one of a storage its memory goes, too, or a recording would need that of
        all of a step's values.
        """
        storage.standins -= 1
        if storage.standins or storage.kept or not self.live:
            return
        self.storages.pop(id(storage.owner), None)
        storage.kept, storage.owner = True, None
        for slot in storage.slots:
            if self.known.get(id(slot.value)) is slot:
                del self.known[id(slot.value)]
            slot.value = self._outline(slot.value)

    def _outline(self, array: Any) -> Any:
        """An array of the same shape, dtype and strides, in memory that is never touched."""
        steps = [stride * (n - 1) for stride, n in zip(array.strides, array.shape, strict=True)] if array.size else []
        extent = array.itemsize + sum(map(abs, steps))
        if extent > len(self._nowhere):
            self._nowhere = mmap.mmap(-1, extent)
        return np.ndarray(
            array.shape, array.dtype, self._nowhere, -sum(step for step in steps if step < 0), array.strides
        )

    @staticmethod
    def _written_as_told(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The arrays among the arguments that the call is told to write into."""
        written: list[Any] = []
        out = kwargs.get("out")
        if out is not None:
            written += out if isinstance(out, tuple) else [out]
        if target is cleared:
            written += args[1:]
        if (
            target in _WRITES_FIRST
            or (type(target) is Method and target.name in _WRITING_METHODS)
            or getattr(target, "__name__", "") == "at"
        ):
            written.append(args[0])
        elif type(target) is Method and target.name == "byteswap" and (args[1:] or kwargs):
            written.append(args[0])
        return [array for array in written if array is not None]

    def _note_writes(self, op: Op, written: list[Any]) -> None:
        storages = []
        for array in written:
            if type(array) is not Recorded:
                self.refuse(
                    "it writes into an array that it did not make; name what holds it, a module say, in state=(...)"
                )
            slot = array.slot
            if slot.storage is None:
                continue
            if not slot.storage.made:
                self.refuse("it writes into an array that it was given")
            storages.append(slot.storage)
        self._writes(op, storages)

    def _writes(self, op: Op, storages: list[Storage]) -> None:
        op.writes = tuple(storages)
        if storages and not all(slot.index in self.fixed for slot in reads(op)):
            self.fixed -= {slot.index for storage in storages for slot in storage.slots}

    def _noted(self, op: Op, result: Any) -> Any:
        before = len(self.slots)
        found = self._result(result)
        if type(found) is Recorded:
            if found.slot.index < before and not op.writes:
                return found  # it gave back what it was given
            op.out = found.slot
        elif isinstance(found, (list, tuple)):
            op.out = [part.slot if type(part) is Recorded and part.slot.index >= before else None for part in found]
        self.ops.append(op)
        if op.kind == "call" and all(s.index in self.fixed for s in reads(op)):  # the plan may take it for a constant
            for slot in op.outs():
                self.fixed.add(slot.index)
                if slot.storage is not None:
                    slot.storage.kept = True
        return found

    def _result(self, result: Any) -> Any:
        if type(result) is np.ndarray:
            slot = self.known.get(id(result))
            if slot is None:
                slot = self._new("array", result, self._storage(result, made=True))
                self.known[id(result)] = slot
            return self.standin(slot)
        if isinstance(result, np.generic) or type(result) in _NUMBERS:
            return self.standin(self._new("scalar", result, None))
        if isinstance(result, (list, tuple)):
            parts = [self._result(part) for part in result]
            return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
        if result is None or isinstance(result, (str, np.dtype, type)):
            return result
        raise Unrecordable(f"a function returned a {type(result).__name__}")

    def kernel(self, run: Any, arguments: tuple[Any, ...], partial: Any) -> Any:
        """A compiled kernel, which writes into some of its arguments, and adds up into arrays of its own."""
        shapes = [] if partial is None else [(a.shape, a.dtype) for a in bare(partial())]
        call = _kernel(run)
        op = Op("call", call, (shapes, *self.template(arguments)))
        # It may write into whatever was made here.
        self._writes(op, [s.storage for s in reads(op) if s.storage is not None and s.storage.made])
        result = self._noted(op, call(shapes, *bare(arguments)))
        width = len(shapes)
        return [tuple(result[i : i + width]) for i in range(0, len(result), width)] if width else [()]

    def owned(self, standin: Recorded, taken: set[int]) -> Recorded:
        """A result in memory that is nobody else's: itself, or a copy; ``taken`` are the storages of others."""
        slot = standin.slot
        if slot.storage is not None:
            whole = slot.storage.made and not slot.offset and standin.value.nbytes == slot.storage.owner.nbytes
            if not whole or slot.storage.index in taken:
                standin = self.call(np.array, (standin,), {})
            taken.add(standin.slot.storage.index)
        return standin

    def create(self, original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function that makes an array from nothing, or from anything."""
        first: Any = args[0] if args else None
        if type(first) is Recorded:
            value = first.value
            if isinstance(value, np.ndarray) and original in _SAME:
                if original(value, *bare(args[1:]), **bare(kwargs)) is value:
                    return first
        elif original in _SAME and (isinstance(first, np.ndarray) or original(*args, **kwargs) is first):
            return original(*args, **kwargs)
        return self.call(original, args, kwargs)
