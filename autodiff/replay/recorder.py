"""Watches one call of a step and writes down the NumPy calls that it makes.

The call runs for real, so its results and effects are those of an eager call. Every array that takes part is a stand-in
(:class:`~autodiff.replay.recorded.Recorded`) that reports here. What enters from outside is written down by *where it
was read from*, a tensor's ``.data`` or a parameter's ``.grad``, so that a replay reads it there again; what is left
behind is written down as a binding.

While any recording runs, a few doors of NumPy and of ``Tensor`` are watched: functions that make arrays from nothing
(``np.zeros``), and properties through which arrays pass in and out of tensors. For threads that are not recording they
do what they always do.
"""

from __future__ import annotations

import itertools
import mmap
import operator
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from autodiff.core import modes
from autodiff.core.backward import wrap
from autodiff.core.graph import Node, Variable
from autodiff.core.modes import ORDINARY, current_state, state_as
from autodiff.core.zeros import keep_zeros
from autodiff.ops.common import quotient, steady_quotient
from autodiff.replay.chains import compiles, least
from autodiff.replay.recorded import Recorded, bare
from autodiff.tensor import Tensor

__all__ = ["Attribute", "Method", "Op", "Recorder", "Slot", "Storage", "reads", "slots_in"]


# Arrays of fewer bytes are held until the plan is made.
_SMALL = 1 << 16


class Storage:
    """One block of memory of the recorded call.

    Attributes
    ----------
    made : bool
        Whether the step made it; else it came from outside.
    kept : bool
        Whether the plan may need what is in it, or an array of it may come back another way than through a stand-in.
    slots : list of Slot
        The values that lie in it.
    standins : int
        How many stand-ins there are for these.
    """

    __slots__ = ("address", "index", "kept", "made", "owner", "slots", "standins")

    def __init__(self, index: int, owner: Any, made: bool, address: int) -> None:
        self.index = index
        self.owner = owner
        self.made = made
        self.address = address
        self.kept = not made or owner.nbytes < _SMALL
        self.slots: list[Slot] = []
        self.standins = 0


class Slot:
    """A value of the recorded call: an array somewhere in a storage, or a scalar.

    Attributes
    ----------
    kind : str
        "array" or "scalar" computed, "held" for a plain array from outside, "argument" or "loaded" for one that is read
        anew at every replay.
    value : object
        What it was in the recorded call; of a large array that nothing can come back to only the shape, dtype and
        strides.
    """

    __slots__ = ("index", "kind", "offset", "storage", "value")

    def __init__(self, index: int, kind: str, value: Any, storage: Storage | None) -> None:
        self.index = index
        self.kind = kind
        self.value = value
        self.storage = storage
        self.offset = 0 if storage is None else value.__array_interface__["data"][0] - storage.address
        if storage is not None:
            storage.slots.append(self)


class Op:
    """One thing that the step did.

    Attributes
    ----------
    kind : str
        "call", "load", "guard", "bind", "host" (a call of something that changes Python state) or "draw" (of random
        numbers).
    target : object
        The callable; for a guard the truth found; for a load or a bind (owner, attribute).
    args, kwargs
        With slots in the place of arrays.
    out : Slot, list of Slot or None
    writes : tuple of Storage
        Which storages it writes into, its own new ones aside.
    errors : dict or None
        What the step had changed of NumPy's error state.
    """

    __slots__ = ("args", "errors", "kind", "kwargs", "out", "target", "writes")

    def __init__(self, kind: str, target: Any, args: Any = (), kwargs: Any = None, out: Any = None) -> None:
        self.kind = kind
        self.target = target
        self.args = args
        self.kwargs: dict[str, Any] = kwargs or {}
        self.out = out
        self.writes: tuple[Storage, ...] = ()
        self.errors: dict[str, Any] | None = None

    def outs(self) -> list[Slot]:
        """The slots of its results."""
        if self.out is None:
            return []
        return [s for s in (self.out if isinstance(self.out, (list, tuple)) else [self.out]) if s is not None]


def slots_in(value: Any) -> Iterator[Slot]:
    """The slots in a template of arguments."""
    if isinstance(value, Slot):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from slots_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from slots_in(item)
    elif isinstance(value, slice):
        yield from slots_in((value.start, value.stop, value.step))


def reads(op: Op) -> list[Slot]:
    """The slots that an operation takes."""
    return [*slots_in((op.args, op.kwargs))] if op.kind != "load" else []


def _keep(slot: Slot) -> None:
    if slot.storage is not None:
        slot.storage.kept = True


class Method:
    """The call of an array's method."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, array: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(array, self.name)(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.name == self.name  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), self.name))


class _KernelCall:
    """A kernel's call, with the arrays in which its shares add up handed out flat."""

    __slots__ = ("__name__", "run", "width")

    def __init__(self, run: Any, width: int) -> None:
        self.__name__ = "kernel"
        self.run = run
        self.width = width

    def __call__(self, shapes: list[Any], *arguments: Any) -> list[Any]:
        partial = (lambda: tuple(np.zeros(shape, dtype) for shape, dtype in shapes)) if shapes else None
        return [array for share in self.run(*arguments, partial=partial) for array in share]


class Attribute(Method):
    """The reading of an array's attribute that is a view, such as ``T``."""

    __slots__ = ()

    def __call__(self, array: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(array, self.name)


def root(array: Any) -> Any:
    """The array that owns the memory, as far as NumPy tells."""
    base = array.base
    while isinstance(base, np.ndarray):
        array, base = base, base.base
    return array


# What ``x ** number`` calls in the eager step; np.power gives other last bits before NumPy 2.3.
_POWERS = {2: np.square, 1: np.positive, 0.5: np.sqrt, -1: np.reciprocal}

_FACTS_ONLY = {
    np.result_type,
    np.shape,
    np.ndim,
    np.size,
    np.can_cast,
    np.iscomplexobj,
    np.isrealobj,
    np.may_share_memory,
    np.shares_memory,
    np.common_type,
    np.min_scalar_type,
}
_AS_METHOD = {
    np.sum: "sum",
    np.max: "max",
    np.amax: "max",
    np.min: "min",
    np.amin: "min",
    np.prod: "prod",
    np.any: "any",
    np.all: "all",
    np.mean: "mean",
}
#: Method -> its ufunc and the order of its parameters after the array.
_REDUCTIONS = {
    "sum": (np.add, ("axis", "dtype", "out", "keepdims", "initial", "where")),
    "prod": (np.multiply, ("axis", "dtype", "out", "keepdims", "initial", "where")),
    "max": (np.maximum, ("axis", "out", "keepdims", "initial", "where")),
    "min": (np.minimum, ("axis", "out", "keepdims", "initial", "where")),
    "any": (np.logical_or, ("axis", "out", "keepdims", "where")),
    "all": (np.logical_and, ("axis", "out", "keepdims", "where")),
}
_WRITES_FIRST = {np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis, operator.setitem}
_WRITING_METHODS = {"fill", "put", "sort", "partition"}
#: Functions that may hand back the very array they were given.
_SAME = {
    np.asarray,
    np.asanyarray,
    np.ascontiguousarray,
    np.asfortranarray,
    np.atleast_1d,
    np.atleast_2d,
    np.atleast_3d,
    np.real,
    np.require,
}
_NUMBERS = (bool, int, float, complex)


class Recorder:
    """The record of one call.

    Parameters
    ----------
    sources : dict of int to (object, str)
        Identity of each tensor known before the call -> what a replay calls it: ``("argument", i)`` or ``("tensor",
        tensor)``.
    """

    def __init__(self, sources: dict[int, Any]) -> None:
        self.sources = sources
        self.entries: list[tuple[Tensor, Any, Any]] = []  # (tensor, its data, its node) before the call
        self.origins: dict[int, Tensor] = {}
        self.ops: list[Op] = []
        self.slots: list[Slot] = []
        self.live = True
        self.busy = False
        self.reason = ""
        self.effects = False
        self.hosted = False
        self.thread = threading.get_ident()
        self.errors: Any = np.geterr()
        self.storages: dict[int, Storage] = {}
        self.known: dict[int, Slot] = {}
        self.held: list[Slot] = []
        self.cached: set[int] = set()
        self.loads: dict[int, Slot] = {}
        self.variables: dict[int, _Watched] = {}
        self.grads: dict[int, Variable] = {}
        self.bound: dict[int, tuple[Tensor, Any, Slot]] = {}
        self.untouched: list[tuple[Tensor, Any]] = []
        self.generators: dict[int, tuple[Any, Any]] = {}
        self.standins: list[Any] = []
        self.strangers: dict[
            int, Tensor
        ] = {}  # by identity, tensors of plain arrays that were not known before the call
        self.names: set[str] = set()  # of attributes that the user's code asks for by getattr and hasattr
        self.fixed: set[int] = set()  # slots that depend on nothing that a replay reads anew
        self._count = itertools.count()
        self._nowhere = mmap.mmap(-1, mmap.PAGESIZE)

    # --- what the stand-ins report
    # --------------------------------------------------------------------------------------

    @property
    def following(self) -> bool:
        """Whether what happens now is to be written down."""
        if not self.live or self.busy:
            return False
        if threading.get_ident() != self.thread:
            self.stop("it was used in another thread")
            return False
        return True

    def stop(self, reason: str) -> None:
        """Give up the recording; the call itself goes on."""
        if self.live:
            self.live = False
            self.reason = f"{reason} ({_where()})"

    def read(self, standin: Recorded, reason: str) -> None:
        """A value left for Python."""
        if self.following:
            value = standin.value
            what = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else "a computed number"
            self.stop(f"{what} cannot be followed: {reason}")

    def truth(self, standin: Recorded) -> bool:
        """A value decided which way to go: a replay must find the same."""
        found = bool(standin.value)
        if self.following:
            if self.effects:
                self.stop(
                    "a computed value decides what happens after the optimiser's step or a write into an outside array"
                )
            else:
                self.ops.append(Op("guard", found, (standin.slot,)))
        return found

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``target(*args, **kwargs)``, written down."""
        if not self.following:
            return target(*bare(args), **bare(kwargs))
        if (
            target is np.power
            and type(args[0]) is Recorded
            and type(args[1]) in (int, float)
            and args[1] in _POWERS
            and not kwargs
        ):
            if args[0].value.dtype.kind in "fc":
                target, args = _POWERS[args[1]], args[:1]
        op = Op("call", target, self._template(args), self._template(kwargs))
        self.busy = True
        try:
            result = target(*bare(args), **bare(kwargs))
            errors = np.geterr()
        finally:
            self.busy = False
        if errors != self.errors:
            op.errors = {name: what for name, what in errors.items() if what != self.errors[name]}
        written = self._written(target, args, kwargs, result)
        if not self._note_writes(op, written):
            return result
        return self._noted(op, result)

    def function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A NumPy function of stand-ins."""
        if function in _FACTS_ONLY:
            return function(*bare(args), **bare(kwargs))
        name = _AS_METHOD.get(function)
        if name is not None and args and type(args[0]) is Recorded:
            return self.method(name, args[0], args[1:], {k: v for k, v in kwargs.items() if v is not np._NoValue})
        return self.call(function, args, kwargs)

    def method(self, name: str, standin: Recorded, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A method of a stand-in; a reduction is written down as its ufunc's ``reduce``, which is what the method
        calls, ``dot`` as the function.
        """
        value = standin.value
        if isinstance(value, np.ndarray) and name in _REDUCTIONS:
            ufunc, names = _REDUCTIONS[name]
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            if len(args) <= len(names) and set(given) <= set(names):
                dtype = given.get("dtype", np.dtype(bool) if name in ("any", "all") else None)
                order = [given.get("axis"), dtype, given.get("out"), given.get("keepdims", False)]
                more: dict[str, Any] = {key: given[key] for key in ("initial", "where") if key in given}
                return self.call(ufunc.reduce, (standin, *order), more)
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
        if (
            not set(given) <= {"axis", "keepdims", "dtype", "out"}
            or given.get("out") is not None
            or given.get("dtype") is not None
        ):
            return None
        axis, value = given.get("axis"), standin.value
        axes = range(value.ndim) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
        if not value.size or not all(isinstance(a, (int, np.integer)) for a in axes):
            return None
        count = np.intp(1)
        for a in axes:
            count *= value.shape[a]
        total = self.call(np.add.reduce, (standin, axis, None, None, given.get("keepdims", False)), {})
        if isinstance(total.value, np.ndarray):
            return self.call(np.true_divide, (total, count), {"out": total, "casting": "unsafe", "subok": False})
        return self.call(value.dtype.type, (self.call(operator.truediv, (total, count), {}),), {})

    def attribute(self, name: str, standin: Recorded) -> Any:
        """A view that is an attribute."""
        return self.call(Attribute(name), (standin,), {})

    # --- writing down
    # -------------------------------------------------------------------------------------------------------

    def _template(self, value: Any) -> Any:
        kind = type(value)
        if kind is Recorded:
            return value.slot
        if kind is tuple or kind is list:
            return kind(map(self._template, value))
        if kind is dict:
            return {key: self._template(item) for key, item in value.items()}
        if kind is slice:
            return slice(self._template(value.start), self._template(value.stop), self._template(value.step))
        if isinstance(value, np.ndarray):
            return self.outside(value)
        return value

    def outside(self, array: Any) -> Slot:
        """The slot of a plain array: one that is known, a gradient from before the call, or one held from outside."""
        slot = self.known.get(id(array))
        if slot is not None:
            return slot
        origin = self.origins.get(id(array))
        if origin is not None and origin._data is array:
            loaded: Slot = self.entered(origin).slot
            return loaded
        variable = self.grads.get(id(array))
        if variable is not None and variable.grad is array:
            self.variables[id(variable)].read = True
            return self._load(variable, "grad", array, self._name_of(variable))
        slot = self._new("held", array, self._storage(array, made=False))
        self.held.append(slot)
        self.fixed.add(slot.index)
        self.known[id(array)] = slot
        return slot

    def _name_of(self, variable: Variable) -> Any:
        kind, what = self.sources.get(id(self.variables[id(variable)].owner), ("", None))
        return (kind, what) if kind == "argument" else ("variable", variable)

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

    def _written(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> list[Any]:
        """The arrays among the arguments that the call wrote into."""
        written: list[Any] = []
        out = kwargs.get("out")
        if out is not None:
            written += out if isinstance(out, tuple) else [out]
        if (
            target in _WRITES_FIRST
            or (type(target) is Method and target.name in _WRITING_METHODS)
            or getattr(target, "__name__", "") == "at"
        ):
            written.append(args[0])
        elif type(target) is Method and target.name == "byteswap" and (args[1:] or kwargs):
            written.append(args[0])
        elif (
            out is None and isinstance(result, np.ndarray) and target not in _SAME and not isinstance(target, Attribute)
        ):
            if not (type(target) is Method and target.name == "astype"):
                written += [a for a in args if bare(a) is result]
        return [array for array in written if array is not None]

    def _note_writes(self, op: Op, written: list[Any]) -> bool:
        storages = []
        for array in written:
            if type(array) is not Recorded:
                self.stop("it was written into a plain array from outside the step, which cannot be followed further")
                return False
            slot = array.slot
            if slot.storage is None:
                continue
            storages.append(slot.storage)
            if not slot.storage.made:
                self.effects = True
        op.writes = tuple(storages)
        return True

    def _noted(self, op: Op, result: Any) -> Any:
        before = len(self.slots)
        found = self._result(result)
        if found is None and not op.writes and result is not None:
            return result  # the recording was given up
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
                _keep(slot)
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
        if result is not None:
            self.stop(f"a function returned a {type(result).__name__}, which cannot be followed")
        return None

    # --- in and out of tensors
    # -----------------------------------------------------------------------------------------------

    def entered(self, value: Any) -> Any:
        """The array of a tensor, as a stand-in. Called for every input of an operation."""
        data = value._data
        if type(data) is Recorded:
            return data if self.live else data.value
        if not self.following:
            return data
        node = value._node
        if node.__class__ is Variable:
            self.watch(node, value)
        slot = self.loads.get(id(value))
        if slot is not None and slot.value is data:
            return self.standin(slot)
        if isinstance(data, np.ndarray):
            slot = self.known.get(id(data))
            if slot is not None:
                return self.standin(slot)
        name = self.sources.get(id(value))
        if name is None:
            self.strangers[id(value)] = value
            return self.standin(self.outside(data)) if isinstance(data, np.ndarray) else data
        slot = self._load(value, "_data", data, name)
        self.loads[id(value)] = slot
        return self.standin(slot)

    def taken(self, value: Any) -> Any:
        """A plain array that an operation takes, as a stand-in."""
        return (
            self.standin(self.outside(value))
            if type(value) is np.ndarray and self.following
            else bare(value)
            if not self.live
            else value
        )

    def _load(self, owner: Any, attribute: str, value: Any, name: Any) -> Slot:
        array = isinstance(value, np.ndarray)
        slot = self._new("loaded", value, self._storage(value, made=False) if array else None)
        if array:
            self.known[id(value)] = slot
        self.ops.append(Op("load", (name, attribute), out=slot))
        return slot

    def bind(self, owner: Tensor, value: Any, assign: Callable[[Any], None]) -> None:
        """``owner.data = value``."""
        if isinstance(value, Tensor):
            value = self.entered(value)
        if not self.following or id(owner) not in self.sources:
            if type(owner._data) is Recorded or type(value) is Recorded:
                owner._data = value if self.live else bare(value)
            else:
                assign(value)
            return
        if type(value) is not Recorded:
            self.stop("a tensor's .data was assigned an array that the step did not compute")
            assign(value)
            return
        if not isinstance(value.value, np.ndarray):
            value = self.call(np.asarray, (value,), {})
        before, node = owner._data, owner._node
        assign(value.value)
        if owner._node is not node:
            self.stop("a tensor's .data was assigned an array of another shape or dtype")
            return
        if id(owner) not in self.bound:
            self.untouched.append((owner, before))
        self.bound[id(owner)] = (owner, self.sources[id(owner)], value.slot)
        _keep(value.slot)
        self.loads.pop(id(owner), None)

    def watch(self, variable: Variable, owner: Tensor, overwritten: bool = False) -> None:
        """From now on, what happens to this leaf's gradient is of interest."""
        if id(variable) not in self.variables:
            self.variables[id(variable)] = _Watched(variable, owner, overwritten)
            if variable.grad is not None:
                self.grads[id(variable.grad)] = variable
            if variable.hooks:
                self.stop("a leaf has a gradient hook")
        elif overwritten and variable.grad is self.variables[id(variable)].first:
            self.variables[id(variable)].overwritten = True

    def let_go(self, variable: Variable, owner: Tensor) -> None:
        """A leaf's gradient is set to None: from here on nobody can see what it was, and a plan may use its memory."""
        self.watch(variable, owner, overwritten=True)
        watched = self.variables[id(variable)]
        if variable.grad is watched.first and not watched.read and not watched.changed:
            self.ops.append(Op("bind", (self._name_of(variable), "grad"), (None,)))
            watched.last, watched.changed = None, True

    def gradient(self, owner: Tensor) -> Any:
        """``owner.grad``."""
        node = owner._node
        if node.__class__ is not Variable or not self.following:
            return bare(node.grad) if node.__class__ is Variable else None
        assert isinstance(node, Variable)
        self.watch(node, owner)
        watched, grad = self.variables[id(node)], node.grad
        if grad is watched.first and not watched.overwritten:
            watched.read = True  # the step may go by whether there is one
        if type(grad) is np.ndarray:
            return self.standin(self.outside(grad))
        return grad

    def settle(self) -> None:
        """Put true arrays wherever the outside can see, and write down that a replay does so, too."""
        for owner, data, node in self.entries:
            if owner._node is not node:
                self.stop("a tensor from outside the step became another leaf, or the result of an operation")
            if type(owner._data) is Recorded:
                computed, owner._data = owner._data, data
                self.bind(owner, computed, partial(setattr, owner, "_data"))
            elif owner._data is not data and id(owner) not in self.bound and not self.hosted:
                self.stop("a tensor's array was exchanged in a way that cannot be followed")
        for owner, name, slot in self.bound.values():
            self.ops.append(Op("bind", (name, "_data"), (slot,)))
            owner._data = slot.value
        for watched in self.variables.values():
            variable, grad = watched.variable, watched.variable.grad
            if isinstance(grad, Tensor):
                self.stop("a gradient is itself to be differentiated (create_graph=True)")
                continue
            name = self._name_of(variable)
            if type(grad) is Recorded:
                slot = grad.slot
                _keep(slot)
                variable.grad = grad.value
                if not isinstance(grad.value, np.ndarray):
                    self.stop("a gradient is a scalar")
                self.ops.append(Op("bind", (name, "grad"), (slot,)))
                watched.changed = True
            elif grad is not watched.last:
                self.ops.append(Op("bind", (name, "grad"), (None if grad is None else self.outside(grad),)))
                watched.changed = True
            watched.last = variable.grad
        self.bound.clear()

    def host(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call that changes state of its own: it is made on true arrays, and made again by every replay."""
        if not self.following:
            with state_as(replace(current_state() or ORDINARY, recorder=None)):
                return function(*bare(args), **bare(kwargs))
        self.settle()
        # An iterator, such as module.parameters(), is spent by the first call; every replay needs what it held.
        args = tuple(list(value) if isinstance(value, Iterator) else value for value in args)
        kwargs = {name: list(value) if isinstance(value, Iterator) else value for name, value in kwargs.items()}
        op = Op("host", function, self._template(args), self._template(kwargs))
        for slot in reads(op):
            _keep(slot)
        self.effects = self.hosted = True
        for watched in self.variables.values():
            self.known.pop(id(watched.variable.grad), None)
        for slot in self.loads.values():
            self.known.pop(id(slot.value), None)
        for owner, _ in self.untouched:
            self.known.pop(id(owner._data), None)
        self.loads.clear()
        live, self.live = self.live, False
        try:
            with state_as(replace(current_state() or ORDINARY, recorder=None)):
                result = function(*bare(args), **bare(kwargs))
        finally:
            self.live = live
        for watched in self.variables.values():
            watched.last = grad = watched.variable.grad
            if grad is not None:
                self.grads[id(grad)] = watched.variable
        self.ops.append(op)
        if result is None:
            return None
        if isinstance(result, np.ndarray | np.generic) or type(result) in _NUMBERS:
            found = self._result(result)
            op.out = found.slot
            return found
        if self.live and not isinstance(result, str | bool):
            self.stop(
                f"{getattr(function, '__name__', 'a call')} returned a {type(result).__name__}, which cannot be"
                " followed"
            )
        return result

    def kernel(self, run: Any, arguments: tuple[Any, ...], partial: Any) -> Any:
        """A compiled kernel, which writes into some of its arguments, and adds up into arrays of its own."""
        following, busy, self.busy = self.following, self.busy, True
        try:
            shapes = [] if partial is None else [(a.shape, a.dtype) for a in partial()]
            before = [a.copy() if isinstance(a, np.ndarray) else None for a in bare(arguments)]
            with state_as(replace(current_state() or ORDINARY, recorder=None)):
                call = _KernelCall(run, len(shapes))
                result = call(shapes, *bare(arguments))
        finally:
            self.busy = busy
        if following:
            # Memory that was empty may by chance have held the result already.
            empty = {
                op.out.storage.index
                for op in self.ops
                if op.target in (np.empty, np.empty_like) and op.out.storage is not None
            }  # type: ignore[union-attr]
            written = []
            for argument, was in zip(arguments, before, strict=True):
                if type(argument) is Recorded and was is not None:
                    storage = argument.slot.storage
                    if (storage is not None and storage.index in empty) or was.tobytes() != argument.value.tobytes():
                        written.append(argument)
            op = Op("call", call, (shapes, *self._template(arguments)))
            self._note_writes(op, written)
            result = self._noted(op, result)
        width = len(shapes)
        return [tuple(result[i : i + width]) for i in range(0, len(result), width)] if width else [()]

    def draw(self, draw: Any, generator: Any, *args: Any) -> Any:
        """Random numbers from an explicit generator, drawn again by every replay."""
        if not self.following:
            return draw(generator, *args)
        if id(generator) not in self.generators:
            self.generators[id(generator)] = (generator, generator.bit_generator.state)
        op = Op("draw", draw, (generator, *args))
        self.busy = True
        try:
            result = draw(generator, *args)
        finally:
            self.busy = False
        return self._noted(op, result)

    def create(self, original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function that makes an array from nothing, or from anything."""
        first: Any = args[0] if args else None
        if hasattr(first, "_node") and type(first) is not Recorded:
            if first._node is not None:
                return original(*args, **kwargs)  # which refuses
            first = self.entered(first)
            args = (first, *args[1:])
        if type(first) is Recorded:
            value = first.value
            if isinstance(value, np.ndarray) and original in _SAME and self._unchanged(original, value, args, kwargs):
                return first
        elif original in _SAME and (isinstance(first, np.ndarray) or original(*args, **kwargs) is first):
            return original(*args, **kwargs)
        elif _in_cached_function():
            made = original(*args, **kwargs)
            self.cached.add(id(made))
            return made
        return self.call(original, args, kwargs)

    @staticmethod
    def _unchanged(original: Any, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return original(value, *bare(args[1:]), **bare(kwargs)) is value

    # --- the beginning and the end
    # ----------------------------------------------------------------------------------------------

    def knows(self, owner: Tensor) -> None:
        """A tensor that was there before the call."""
        data = owner._data
        self.entries.append((owner, data, owner._node))
        if isinstance(data, np.ndarray):
            if id(data) in self.origins:
                self.stop("two tensors within the step's reach share one array")
            self.origins[id(data)] = owner

    def argument(self, array: Any) -> Recorded:
        """A stand-in for an array that the caller passed."""
        if not isinstance(array, np.ndarray):
            return self.standin(self._new("argument", array, None))
        slot = self._new("argument", array, self._storage(array, made=False))
        self.known.setdefault(id(array), slot)
        return self.standin(slot)

    def undo(self) -> bool:
        """Put back what the call changed before it failed; False if that cannot be done."""
        if self.effects:
            return False
        for watched in self.variables.values():
            watched.variable.grad = watched.first
        for owner, data in self.untouched:
            owner._data = data
        for generator, state in self.generators.values():
            generator.bit_generator.state = state
        return True

    def release(self) -> None:
        """No stand-in stays where the outside can see it, however the call ended."""
        self.live = False
        for watched in self.variables.values():
            watched.variable.grad = bare(watched.variable.grad)


class _Watched:
    """A leaf, and what becomes of its gradient.

    Attributes
    ----------
    first, last : array or None
        The gradient before the call, and when the outside could see it last.
    overwritten : bool
        The step sets it before it adds to it, so that a replay need not care what it was.
    read, changed : bool
    """

    __slots__ = ("changed", "first", "last", "overwritten", "owner", "read", "variable")

    def __init__(self, variable: Variable, owner: Tensor, overwritten: bool) -> None:
        self.variable = variable
        self.owner = owner
        self.first = self.last = variable.grad
        self.overwritten = overwritten
        self.changed = self.read = False


def _where() -> str:
    """The innermost line outside the library and NumPy."""
    frame: Any = sys._getframe(1)
    outermost = frame
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in ("autodiff", "nn", "optim", "numpy"):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        outermost, frame = frame, frame.f_back
    return f"{outermost.f_code.co_filename}:{outermost.f_lineno}"


def _in_cached_function() -> bool:
    """Whether the array is made inside a function under ``functools.cache``, which keeps it."""
    frame = sys._getframe(3)
    return hasattr(frame.f_globals.get(frame.f_code.co_name), "cache_info")


# --- the doors
# --------------------------------------------------------------------------------------------------------------

_MAKERS = (
    "arange",
    "array",
    "asanyarray",
    "asarray",
    "ascontiguousarray",
    "asfortranarray",
    "empty",
    "eye",
    "full",
    "identity",
    "ones",
    "require",
    "tri",
    "zeros",
)


def _active() -> Recorder | None:
    state = current_state()
    return None if state is None else state.recorder


def _watched_maker(original: Any) -> Any:
    def maker(*args: Any, **kwargs: Any) -> Any:
        recorder = _active()
        if recorder is None or not recorder.following:
            return original(*bare(args), **bare(kwargs))
        return recorder.create(original, args, kwargs)

    maker.__wrapped__ = original  # type: ignore[attr-defined]
    return maker


def _watched_question(ask: Any) -> Any:
    """``getattr`` or ``hasattr``, which tells what attribute is asked for."""

    def question(thing: Any, name: str, *default: Any) -> Any:
        recorder = _active()
        if recorder is not None:
            recorder.names.add(name)
        return ask(thing, name, *default)

    return question


def _watched_quotient(g: Any, d: Any) -> Any:
    """A rule's division as elementwise calls alone, where a compiled loop will make them: a question about all divisors
    would cut that in two.
    """
    recorder = _active()
    if recorder is None or not recorder.following or not _loops_over(g, d):
        return quotient(g, d)
    return steady_quotient(g, d)


def _watched_keep_zeros(g: Any, h: Any) -> Any:
    """Likewise."""
    recorder = _active()
    if recorder is None or not recorder.following or not _loops_over(g, h):
        return keep_zeros(g, h)
    return np.where((g == 0) & np.isnan(h), 0, h)


def _loops_over(g: Any, d: Any) -> bool:
    values = bare(g), bare(d)
    if type(d) is not Recorded or not all(
        isinstance(v, np.ndarray | np.floating) and v.dtype.kind == "f" for v in values
    ):
        return False
    full = values[1].size
    return full >= least() and full == np.broadcast(*values).size and compiles()


def _tensor_doors() -> dict[str, Any]:
    data, grad, detach = Tensor.data, Tensor.grad, Tensor.detach
    as_array, hook, retain = Tensor.__array__, Tensor.register_hook, Tensor.retain_grad

    def get_data(self: Any) -> Any:
        recorder = _active()
        if recorder is None or not recorder.live:
            return data.fget(self)  # type: ignore[attr-defined]
        found = recorder.entered(self)
        if (
            type(found) is not Recorded
            or isinstance(found.value, np.ndarray)
            or id(self) in recorder.sources
            or not recorder.following
        ):
            return found
        return recorder.call(np.asarray, (found,), {})

    def set_data(self: Any, value: Any) -> None:
        recorder = _active()
        if recorder is None:
            data.fset(self, bare(value))  # type: ignore[attr-defined]
        else:
            recorder.bind(self, value, lambda array: data.fset(self, array))  # type: ignore[attr-defined]

    def get_grad(self: Any) -> Any:
        recorder = _active()
        if recorder is None or not isinstance(self._node, Variable):
            return grad.fget(self)  # type: ignore[attr-defined]
        return recorder.gradient(self)

    def set_grad(self: Any, value: Any) -> None:
        recorder = _active()
        if recorder is not None and recorder.following and isinstance(self._node, Variable):
            if value is None:
                recorder.let_go(self._node, self)
            else:
                recorder.watch(self._node, self, overwritten=True)
        grad.fset(self, value)  # type: ignore[attr-defined]

    def get_detached(self: Any) -> Any:
        recorder = _active()
        if recorder is None or not recorder.following:
            return detach(self)
        return wrap(recorder.entered(self), None)

    def get_array(self: Any, dtype: Any = None, copy: bool | None = None) -> Any:
        recorder = _active()
        if recorder is None or not recorder.following or self._node is not None:
            return as_array(self, dtype, copy)
        return recorder.entered(self).__array__(dtype, copy)

    def get_item(self: Any) -> Any:
        recorder = _active()
        if recorder is None or not recorder.following:
            return items["item"](self)
        recorder.read(recorder.entered(self), "its value was read by item()")
        return items["item"](self)

    def get_list(self: Any) -> Any:
        recorder = _active()
        if recorder is not None and recorder.following:
            recorder.read(recorder.entered(self), "its value was read by tolist()")
        return items["tolist"](self)

    def get_scalar(self: Any, kind: str) -> Any:
        recorder = _active()
        if recorder is None or not recorder.following:
            return items["_scalar"](self, kind)
        value = recorder.entered(self)
        if kind == "bool" and self.size == 1:
            return recorder.truth(value)
        recorder.read(value, f"its value was read by {kind}()")
        return items["_scalar"](self, kind)

    def get_index(self: Any) -> Any:
        recorder = _active()
        if recorder is not None and recorder.following:
            recorder.read(recorder.entered(self), "its value was used as an index")
        return items["__index__"](self)

    def add_hook(self: Any, function: Any) -> Any:
        recorder = _active()
        if recorder is not None and recorder.following:
            recorder.stop("a gradient hook was registered")
        return hook(self, function)

    def keep_grad(self: Any) -> None:
        recorder = _active()
        if recorder is not None and recorder.following:
            recorder.stop("retain_grad() was called")
        retain(self)

    items = {name: getattr(Tensor, name) for name in ("item", "tolist", "_scalar", "__index__")}
    return {
        "data": property(get_data, set_data),
        "grad": property(get_grad, set_grad),
        "detach": get_detached,
        "__array__": get_array,
        "item": get_item,
        "tolist": get_list,
        "_scalar": get_scalar,
        "__index__": get_index,
        "register_hook": add_hook,
        "retain_grad": keep_grad,
    }


def _watched_numpy() -> types.ModuleType:
    """NumPy with watched makers, to stand under the name ``np`` in the modules that are watched.

    NumPy's own namespace stays as it is: compiled code such as ``numpy.random`` calls ``np.empty`` through it and takes
    what comes back for an ndarray without asking.
    """
    module = types.ModuleType("numpy")
    module.__dict__.update(np.__dict__)
    module.__dict__.update({name: _watched_maker(getattr(np, name)) for name in _MAKERS})
    return module


_lock = threading.Lock()
_watching = 0
_taken_off: list[tuple[Any, str, Any]] = []
_ABSENT = object()


def _watch_globals(tables: Iterable[dict[str, Any]], doors: dict[int, Any]) -> None:
    for table in tables:
        for name, value in list(table.items()):
            door = doors.get(id(value))
            if door is not None:
                _taken_off.append((table, name, value))
                table[name] = door


def _own_modules() -> list[dict[str, Any]]:
    own = [
        module.__dict__
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in ("autodiff", "nn", "optim")
        and not name.startswith(("autodiff.replay", "autodiff.viz"))
    ]
    return [table for table in own if isinstance(table, dict)]


@contextmanager
def doors_watched(tables: Iterable[dict[str, Any]] = ()) -> Iterator[None]:
    """Watch the doors for the time of a recording, or of several in several threads.

    Parameters
    ----------
    tables : iterable of dict
        The global names of the user's functions.
    """
    global _watching
    with _lock:
        if not _watching:
            watched = _watched_numpy()
            doors: dict[int, Any] = {
                id(np): watched,
                id(quotient): _watched_quotient,
                id(keep_zeros): _watched_keep_zeros,
            }
            doors |= {id(getattr(np, name)): watched.__dict__[name] for name in _MAKERS}
            tables = list(tables)
            _watch_globals([*_own_modules(), *tables], doors)
            for table in tables:
                for ask in (getattr, hasattr):
                    if ask.__name__ not in table:
                        _taken_off.append((table, ask.__name__, _ABSENT))
                        table[ask.__name__] = _watched_question(ask)
            for name, door in _tensor_doors().items():
                _taken_off.append((Tensor, name, Tensor.__dict__[name]))
                setattr(Tensor, name, door)
        _watching += 1
    try:
        yield
    finally:
        with _lock:
            _watching -= 1
            if not _watching:
                while _taken_off:
                    place, name, value = _taken_off.pop()
                    if value is _ABSENT:
                        del place[name]
                    elif isinstance(place, dict):
                        place[name] = value
                    else:
                        setattr(place, name, value)


@contextmanager
def recording(recorder: Recorder, tables: Iterable[dict[str, Any]] = ()) -> Iterator[None]:
    """Everything inside is reported to ``recorder``."""
    with doors_watched(tables), state_as(replace(modes.current_state() or ORDINARY, recorder=recorder)):
        yield


def spent(node: Any) -> bool:
    """Whether a backward pass has walked this node and freed what it saved."""
    return isinstance(node, Node) and node.saved is None
