"""What a step can see beside its arguments: closures, globals, attributes of modules and objects; and whether that has
changed.

A plan is only valid as long as what decided its course is what it was: a module's ``training`` flag, a hook, a
coefficient kept in an attribute, the array behind a name. So everything within reach of the step's function is looked
through once, and what the code that ran may have read is remembered by identity. Before a replay a generated function
compares all of it in a microsecond.

Tensors found on the way are the ones that a replay reads anew (:class:`~autodiff.replay.recorder.Recorder` calls them
sources).
"""

from __future__ import annotations

import array
import contextvars
import dis
import functools
import operator
import os
import random
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff.replay.conditions import LARGEST, NO_NAME, Conditions
from autodiff.replay.run import LIBRARIES, Run, is_users, words
from autodiff.tensor import Tensor

__all__ = ["Surroundings"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
# The entries of a longer list or dict are compared by one call each time, those of a shorter one by one test each.
_LONGEST = 256
# Objects of the standard library that programs keep settings in, and look like their own.
_BOXES = {"types", "argparse", "collections"}
# Methods that a class may have without the step having to do with them: what they mention counts once they have run.
_ASIDE = {
    "__init__",
    "__new__",
    "__repr__",
    "__str__",
    "__init_subclass__",
    "__del__",
    "__reduce__",
    "__getstate__",
    "__setstate__",
    "__deepcopy__",
}
# What a program asks about a tensor without computing with it.
_FACTS = {"requires_grad", "is_leaf", "shape", "ndim", "size", "dtype", "itemsize", "nbytes", "len"}
# What reads attributes under names that the code does not spell out.
_UNSPELT = {"__dict__", "__getattribute__", "asdict", "astuple", "dir", "eval", "exec", "fields", "getmembers", "vars"}


class Surroundings:
    """Everything within reach of a function and its static arguments.

    Attributes
    ----------
    tensors : dict of int to Tensor
        By identity.
    arrays : dict of int to numpy.ndarray
        Plain arrays, by identity.
    generators : list of numpy.random.Generator
    chance : list of callable
        Each gives the state of another source of random numbers.
    globals : dict of int to dict
        The global names of the user's functions, by identity.
    hooked : str
        Names a module that has forward hooks, if there is one.
    """

    def __init__(self, roots: list[Any]) -> None:
        self.tensors: dict[int, Tensor] = {}
        self.arrays: dict[int, Any] = {}
        self.generators: list[Any] = []
        self.chance: list[Callable[[], Any]] = []
        self.globals: dict[int, dict[str, Any]] = {}
        self.hooked = ""
        self.names: set[str] = set()  # that attrgetters ask for
        # What each thing leads to: kind of container, container, key, value, code that reads it.
        self._places: dict[int, list[tuple[str, Any, Any, Any, Any]]] = {}
        self._within: list[tuple[str, Any, Any, Any, Any]] = []  # of the thing that is looked at
        self._objects: list[tuple[Any, dict[str, Any]]] = []  # with their attributes
        self._classes: dict[int, type] = {}
        self._functions: list[types.FunctionType] = []
        self._aside: list[types.FunctionType] = []
        self._unordered: set[int] = set()
        self._seen: dict[int, Any] = {}
        self._stack: list[Any] = []
        self._roots = self._within
        self._lead(*roots)
        self._look_around()

    def _look_around(self) -> None:
        while self._stack:
            self._look(self._stack.pop())

    def _look(self, thing: Any) -> None:
        if isinstance(thing, _PLAIN) or id(thing) in self._seen:
            return
        self._seen[id(thing)] = thing
        self._within = self._places[id(thing)] = []
        look = next((look for kind, look in self._LOOKS if isinstance(thing, kind)), None)
        if look is not None:
            look(self, thing)
        elif "param_groups" in getattr(thing, "__dict__", ()) or hasattr(type(thing), "param_groups"):
            # An optimiser or schedule keeps its own state and is called whole; only its parameters matter.
            groups = thing.param_groups
            self._within.append(("length", groups, None, len(groups), None))
            for group in groups:
                params = group.get("params", [])
                self._lead(*params)
                # What zero_grad() clears. The options are read where they live.
                self._within += [("entry", group, "params", params, None), ("length", params, None, len(params), None)]
                self._within.append(("entries", params, None, tuple(params), None))
        elif isinstance(thing, type):
            self._look_class(thing)
        elif isinstance(thing, types.ModuleType):
            return
        elif (library := type(thing).__module__.partition(".")[0]) in LIBRARIES - {"nn"} and library not in _BOXES:
            self._lead(getattr(thing, "__dict__", {}).get("__wrapped__"))  # of a cache, or of another compiled step
        else:
            self._look_object(thing)

    def _look_tensor(self, tensor: Tensor) -> None:
        self.tensors[id(tensor)] = tensor

    def _look_array(self, found: Any) -> None:
        self.arrays[id(found)] = found

    def _look_generator(self, generator: Any) -> None:
        self.generators.append(generator)

    def _look_source(self, source: Any) -> None:
        if isinstance(source, random.Random):
            self.chance.append(source.getstate)
        elif isinstance(source, np.random.RandomState):
            self.chance.append(functools.partial(source.get_state, legacy=False))
        else:
            self.chance.append(lambda: source.state)

    def _look_wrapped(self, thing: Any) -> None:
        """What stands before functions: bound methods, partial functions, properties, weak references."""
        for name in ("__func__", "__self__", "func", "args", "keywords", "fget", "fset"):
            self._lead(getattr(thing, name, None))
        if isinstance(thing, weakref.ref):
            self._place("reference", thing, None, thing())

    def _look_getter(self, getter: Any) -> None:
        self.names.update(part for name in getter.__reduce__()[1] if isinstance(name, str) for part in name.split("."))

    def _place(self, kind: str, container: Any, key: Any, value: Any, code: Any = None) -> None:
        self._within.append((kind, container, key, value, code))
        self._stack.append(value)

    def _lead(self, *values: Any) -> None:
        """Things that can be reached from this one, and that stay what they are."""
        for value in values:
            if not isinstance(value, _PLAIN):
                self._place("", None, None, value)

    def _look_function(self, function: types.FunctionType) -> None:
        if not _is_library(function):
            self.globals[id(function.__globals__)] = function.__globals__
            self._functions.append(function)
        elif not function.__closure__:
            return
        code = function.__code__
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            self._place("cell", cell, "cell_contents", value, code)
            if isinstance(value, types.ModuleType):
                self._look_module(value, code)
        self._lead(*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        for name, value in function.__dict__.items():
            self._place("attribute", function.__dict__, name, value)
        for name in _names_of(code):
            if name in function.__globals__:
                value = function.__globals__[name]
                self._place("global", function.__globals__, name, value, code)
            else:
                value = sys.modules.get(name)  # imported within the function
            if isinstance(value, types.ModuleType):
                self._look_module(value, code)

    def _look_module(self, module: types.ModuleType, code: types.CodeType, above: tuple[Any, ...] = ()) -> None:
        if module.__name__.partition(".")[0] in LIBRARIES or module in above:
            return
        for name in _names_of(code):
            if name in module.__dict__:
                value = module.__dict__[name]
                self._place("global", module.__dict__, name, value, code)
                if isinstance(value, types.ModuleType):
                    self._look_module(value, code, (*above, module))

    def _look_table(self, table: Any) -> None:
        self._within.append(("length", table, None, len(table), None))
        if len(table) > 1 and id(table) not in self._unordered:
            self._within.append(("order", table, None, tuple(table), None))
        if len(table) <= _LONGEST:
            for key, value in table.items():
                self._place("entry", table, key, value)
        else:
            self._within.append(("values", table, None, tuple(table.values()), None))
            self._lead(*table.values())

    def _look_list(self, sequence: Any) -> None:
        self._within.append(("length", sequence, None, len(sequence), None))
        if len(sequence) <= _LONGEST:
            for i, value in enumerate(sequence):
                self._place("entry", sequence, i, value)
        else:
            self._within.append(("entries", sequence, None, tuple(sequence), None))
            self._look_members(sequence)

    def _look_members(self, sequence: Any) -> None:
        if isinstance(sequence, set):
            self._within.append(("set", sequence, None, frozenset(sequence), None))
        self._lead(*sequence)

    def _look_memory(self, thing: Any) -> None:
        self._within.append(("memory", thing, None, bytes(thing), None))

    def _look_local(self, thing: threading.local) -> None:
        for name, value in thing.__dict__.items():
            self._place("slot", thing, name, value)

    def _look_variable(self, variable: contextvars.ContextVar[Any]) -> None:
        self._place("context", variable, NO_NAME, variable.get(NO_NAME))

    def _look_object(self, thing: Any) -> None:
        tables = getattr(thing, "__dict__", None)
        if isinstance(tables, dict):
            if tables.get("_forward_hooks") or tables.get("_forward_pre_hooks"):
                self.hooked = type(thing).__name__
            # The tables of a network's modules are many.
            self._unordered.update(
                id(value) for name, value in tables.items() if name[:1] == "_" and "_modules" in tables
            )
            for name, value in tables.items():
                self._place("attribute", tables, name, value)
            self._objects.append((thing, tables))
        self._lead(type(thing))
        for kind in type(thing).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if not name.startswith("__"):
                    self._place("slot", thing, name, getattr(thing, name, NO_NAME))

    def _look_class(self, thing: type) -> None:
        self._lead(*thing.__mro__[1:])
        if thing.__module__.partition(".")[0] in LIBRARIES:
            return
        self._classes[id(thing)] = thing
        table = vars(thing)
        for name, value in table.items():
            if not name.startswith("__"):
                self._place("attribute", table, name, value)
            elif isinstance(value, types.FunctionType):
                if name in _ASIDE:
                    self._aside.append(value)
                else:
                    self._place("method", table, name, value, value.__code__)

    _LOOKS: Any = (
        (Tensor, _look_tensor),
        (np.ndarray, _look_array),
        (np.random.Generator, _look_generator),
        ((random.Random, np.random.RandomState, np.random.BitGenerator), _look_source),
        (types.FunctionType, _look_function),
        (
            (
                types.MethodType,
                types.BuiltinMethodType,
                functools.partial,
                functools.partialmethod,
                functools.cached_property,
                property,
                staticmethod,
                classmethod,
                weakref.ref,
            ),
            _look_wrapped,
        ),
        ((operator.attrgetter, operator.methodcaller), _look_getter),
        ((dict, types.MappingProxyType), _look_table),
        ((list, deque), _look_list),
        ((tuple, set, frozenset), _look_members),
        ((bytearray, memoryview, array.array), _look_memory),
        (contextvars.ContextVar, _look_variable),
        (threading.local, _look_local),
    )

    # --- afterwards
    # -----------------------------------------------------------------------------------------------------------

    def _late(self, run: Run) -> str:
        """Look at code of the user's that ran and that was not found before; returns what could not be."""
        self._within = self._roots
        self._lead(*(function for function in self._aside if run.ran(function.__code__)))
        self._look_around()
        self._within = self._roots
        known = {code for function in (*self._functions, *self._aside) for code in _codes_of(function.__code__)}
        known |= {
            code
            for thing in self._seen.values()
            if type(thing) is types.FunctionType
            for code in _codes_of(thing.__code__)
        }
        for code, table in list(run.codes.items()):
            if code in known or not is_users(table) or code.co_name == "<module>":
                continue
            known.update(_codes_of(code))
            if code in run.called and set(code.co_freevars) - {"__class__"}:
                return code.co_qualname
            for name in _names_of(code):
                if name in table:
                    self._place("global", table, name, table[name], code)
                    if isinstance(table[name], types.ModuleType):
                        self._look_module(table[name], code)
        self._look_around()
        return ""

    def objection(self, run: Run) -> str:
        """Why a replay could not be told from what the step reads; nothing if it can.

        To be called once after the run, before :meth:`watch`.
        """
        if run.clock:
            return (
                f"it calls {run.clock}(), which gives something else in every call; call that outside and pass the"
                " result as an array"
            )
        missed = self._late(run)
        if missed:
            return (
                f"it calls {missed}, which cannot be found from the step and holds variables of its own; keep it in a"
                " variable, a list or a dict"
            )
        for kind, _, key, value, _ in self._reached(run)[0]:
            if _is_iterator(value):
                name = f" {key!r}" if isinstance(key, str) and kind != "cell" else ""
                return (
                    f"there is an iterator{name} in its reach ({type(value).__name__}), which a replay would not"
                    " advance; pass what it gives"
                )
        for found in run.arrays.values():
            if id(found) in self.arrays and found.nbytes > LARGEST:
                return "plain NumPy reads a large array from outside; compute with it as a Tensor, or outside the step"
        return ""

    def _reached(self, run: Run) -> tuple[list[tuple[str, Any, Any, Any, Any]], set[int]]:
        """The places that the code that ran may have looked at, and the identities of the things that it may have come
        to.
        """
        places = []
        things: set[int] = set()
        ahead = [self._roots]
        while ahead:
            for place in ahead.pop():
                kind, _, key, value, code = place
                if self._read(run, kind, key, code):
                    places.append(place)
                    if id(value) in self._places and id(value) not in things:
                        things.add(id(value))
                        ahead.append(self._places[id(value)])
        return places, things

    def _read(self, run: Run, kind: str, key: Any, code: Any) -> bool:
        """Whether the code that ran may have looked at this place."""
        if code is not None:
            return run.ran(code)
        if kind in ("attribute", "slot"):
            return (
                key in run.names or key in self.names or key.startswith("_forward_") or not run.own.isdisjoint(_UNSPELT)
            )
        return True

    def watch(
        self, run: Run, variables: list[Any], used: set[int], followed: set[int]
    ) -> tuple[Callable[[], bool], Callable[[], str]]:
        """Functions that tell whether all that the code mentions is what it was, and what is not.

        Parameters
        ----------
        run : Run
            What the code that ran mentions: of attributes only these are compared.
        variables : list of (Tensor, Variable)
            Leaves and the graph entries that they must still be.
        used : set of int
            Identities of the tensors that the step computes with.
        followed : set of int
            Identities of the plain arrays that a replay reads anew.
        """
        tests = Conditions()
        done = set()
        read: dict[int, Any] = {}
        places, things = self._reached(run)
        for kind, container, key, value, _ in places:
            if isinstance(value, np.ndarray):
                read[id(value)] = value
            place = id(container), kind, key if isinstance(key, str) else id(key)
            if kind and place not in done:
                done.add(place)
                tests.place(kind, container, key, value)
        for identity, found in read.items():
            if identity not in followed or identity in run.arrays:
                tests.array(found)
        names = run.names | self.names
        self._watch_attributes(tests, things, names)
        self._watch_functions(tests, run, names)
        asked = not run.own.isdisjoint(_FACTS)
        self._watch_tensors(tests, variables, (used | things) if asked else used)
        if type(os.environ).__getitem__.__code__ in run.codes:
            tests.add("{0} == {1}", "the environment", os.environ._data, dict(os.environ._data))  # type: ignore[attr-defined]
        if not run.own.isdisjoint({"errstate", "seterr"}):
            tests.add("{0}() == {1}", "how NumPy treats floating-point errors", np.geterr, np.geterr())
        return tests.written()

    def _watch_attributes(self, tests: Conditions, things: set[int], names: set[str]) -> None:
        for thing, table in self._objects:
            if id(thing) not in things:
                continue
            # An attribute of the class is hidden once the object has one of that name.
            absent = frozenset(names - table.keys())
            tests.add(
                f"(len({{0}}) == {len(table)} or {{1}}.isdisjoint({{0}}))",
                f"which attributes a {type(thing).__name__} has",
                table,
                absent,
            )
            if id(type(thing)) in self._classes:
                tests.add("{0}.__class__ is {1}", "the class of an object", thing, type(thing))
        for kind in (kind for identity, kind in self._classes.items() if identity in things):
            own = vars(kind)
            absent = frozenset(names - own.keys())
            tests.add(
                f"(len({{0}}) == {len(own)} or {{1}}.isdisjoint({{0}}))",
                f"which attributes {kind.__name__} has",
                own,
                absent,
            )

    def _watch_functions(self, tests: Conditions, run: Run, names: set[str]) -> None:
        missing: dict[int, set[str]] = {}
        for function in self._functions:
            code = function.__code__
            if not run.ran(code):
                continue
            for name in ("__code__", "__defaults__", "__kwdefaults__"):
                tests.add(
                    f"{{0}}.{name} is {{1}}", f"the function {function.__name__}", function, getattr(function, name)
                )
            own = function.__dict__
            absent = frozenset(names - own.keys())
            tests.add(
                f"(len({{0}}) == {len(own)} or {{1}}.isdisjoint({{0}}))",
                f"the attributes of {function.__name__}",
                own,
                absent,
            )
            missing.setdefault(id(function.__globals__), set()).update(_globals_of(code) - function.__globals__.keys())
        for identity, absent_names in missing.items():
            table = self.globals[identity]
            test = f"(len({{0}}) == {len(table)} or {{0}}.keys().isdisjoint({{1}}))"
            tests.add(test, "which globals there are", table, frozenset(absent_names))

    def _watch_tensors(self, tests: Conditions, variables: list[Any], asked: set[int]) -> None:
        leaves = {id(owner) for owner, _ in variables}
        for owner, variable in variables:
            tests.add(
                "{0}._node is {1} and not {1}.hooks", "requires_grad or a gradient hook of a parameter", owner, variable
            )
        for identity, tensor in self.tensors.items():
            if identity in asked and identity not in leaves:
                tests.add("{0}._node is {1}", "requires_grad of a tensor", tensor, tensor._node)
                if tensor._node is None:
                    data = tensor._data
                    facts = f"{{0}}._data.shape == {data.shape!r} and {{0}}._data.dtype is {{1}}"
                    tests.add(facts, "the shape or dtype of a tensor", tensor, data.dtype)


def _is_iterator(value: Any) -> bool:
    """One of Python's own, which keeps its place where nobody can look."""
    return hasattr(type(value), "__next__") and type(value).__module__ in ("builtins", "itertools")


def _is_library(function: types.FunctionType) -> bool:
    """Whether a function belongs to NumPy, to us, or to the like; a doctest's functions only carry such a module's
    name.
    """
    module = function.__module__ or ""
    return (
        module.partition(".")[0] in LIBRARIES
        and getattr(sys.modules.get(module), "__dict__", None) is function.__globals__
    )


def _codes_of(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code, and all code inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes_of(constant)


def _names_of(code: types.CodeType) -> set[str]:
    names = {name for c in _codes_of(code) for name in c.co_names}
    return names.union(*map(words, _codes_of(code))) if "globals" in names else names


def _globals_of(code: types.CodeType) -> set[str]:
    return {
        i.argval for c in _codes_of(code) for i in dis.get_instructions(c) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
