"""What a step can see beside its arguments: closures, globals, attributes of modules and objects; and whether that has changed.

A plan is only valid as long as what decided its course is what it was: a module's ``training`` flag, a hook, a coefficient kept in an attribute, the
array behind a name. So everything within reach of the step's function is looked through once, and what the code that ran may have read is
remembered by identity. Before a replay a generated function compares all of it in a microsecond.

Tensors found on the way are the ones that a replay reads anew (:class:`~autodiff.replay.recorder.Recorder` calls them sources).
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from autodiff.tensor import Tensor

__all__ = ["Surroundings", "names_read"]

_LIBRARIES = sys.stdlib_module_names | {
    "numpy", "scipy", "autodiff", "nn", "optim", "torch", "jax", "numba", "matplotlib", "pytest", "hypothesis"
}  # fmt: skip
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
# A longer list or dict of plain things is watched by its length alone.
_LONGEST = 256


@contextmanager
def names_read(names: set[str]) -> Iterator[None]:
    """Collect into ``names`` every attribute and global name that code run inside the block mentions."""
    seen: set[Any] = set()
    before = sys.getprofile()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code not in seen:
            seen.add(frame.f_code)
            names.update(frame.f_code.co_names)

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


class Surroundings:
    """Everything within reach of a function and its static arguments.

    Attributes
    ----------
    tensors : dict of int to Tensor
        By identity.
    arrays : set of int
        Identities of plain arrays.
    generators : list of numpy.random.Generator
    globals : dict of int to dict
        The global names of the user's functions, by identity.
    hooked : str
        Names a module that has forward hooks, if there is one.
    """

    def __init__(self, roots: list[Any]) -> None:
        self.tensors: dict[int, Tensor] = {}
        self.arrays: set[int] = set()
        self.generators: list[Any] = []
        self.globals: dict[int, dict[str, Any]] = {}
        self.hooked = ""
        self.places: list[tuple[str, Any, Any, Any]] = []  # kind of container, container, key, value
        self._objects: list[tuple[Any, dict[str, Any]]] = []  # with their attributes
        self._seen: dict[int, Any] = {}
        self._stack: list[Any] = list(roots)
        while self._stack:
            self._look(self._stack.pop())

    def _look(self, thing: Any) -> None:
        if isinstance(thing, _PLAIN) or id(thing) in self._seen:
            return
        self._seen[id(thing)] = thing
        if isinstance(thing, Tensor):
            self.tensors[id(thing)] = thing
        elif isinstance(thing, np.ndarray):
            self.arrays.add(id(thing))
        elif isinstance(thing, np.random.Generator):
            self.generators.append(thing)
        elif isinstance(thing, types.MethodType):
            self._stack += [thing.__func__, thing.__self__]
        elif isinstance(thing, functools.partial):
            self._stack += [thing.func, *thing.args, *thing.keywords.values()]
        elif isinstance(thing, types.FunctionType):
            self._look_function(thing)
        elif isinstance(thing, dict):
            self._look_table(thing)
        elif isinstance(thing, (list, tuple, set, frozenset)):
            self._look_sequence(thing)
        elif hasattr(thing, "param_groups"):
            # An optimiser or schedule keeps its own state and is called whole; only its parameters matter.
            for group in thing.param_groups:
                self._stack += group.get("params", [])
        elif isinstance(thing, type):
            self._look_class(thing)
        elif isinstance(thing, types.ModuleType) or type(thing).__module__.partition(".")[0] in _LIBRARIES - {"nn"}:
            return
        else:
            self._look_object(thing)

    def _place(self, kind: str, container: Any, key: Any, value: Any) -> None:
        self.places.append((kind, container, key, value))
        self._stack.append(value)

    def _look_function(self, function: Any) -> None:
        if not _is_library(function):
            self.globals[id(function.__globals__)] = function.__globals__
        elif not function.__closure__:
            return
        for cell in function.__closure__ or ():
            try:
                self._place("cell", cell, "cell_contents", cell.cell_contents)
            except ValueError:  # not filled yet
                continue
        self._stack += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        if hasattr(function, "__wrapped__"):
            self._stack.append(function.__wrapped__)
        for name in _names_of(function.__code__):
            if name in function.__globals__:
                value = function.__globals__[name]
                if isinstance(value, types.ModuleType):
                    self._look_module(value, function.__code__)
                self._place("global", function.__globals__, name, value)

    def _look_module(self, module: types.ModuleType, code: types.CodeType) -> None:
        if module.__name__.partition(".")[0] in _LIBRARIES:
            return
        for name in _names_of(code):
            if name in module.__dict__:
                self._place("global", module.__dict__, name, module.__dict__[name])

    def _look_table(self, table: dict[Any, Any]) -> None:
        self.places.append(("length", table, None, len(table)))
        if len(table) <= _LONGEST:
            for key, value in table.items():
                if isinstance(key, (str, int)):
                    self._place("entry", table, key, value)

    def _look_sequence(self, sequence: Any) -> None:
        if isinstance(sequence, list):
            self.places.append(("length", sequence, None, len(sequence)))
            if len(sequence) <= _LONGEST:
                for i, value in enumerate(sequence):
                    self._place("entry", sequence, i, value)
                return
        self._stack += [value for value in sequence if not isinstance(value, _PLAIN)]

    def _look_object(self, thing: Any) -> None:
        tables = getattr(thing, "__dict__", None)
        if isinstance(tables, dict):
            if tables.get("_forward_hooks") or tables.get("_forward_pre_hooks"):
                self.hooked = type(thing).__name__
            for name, value in tables.items():
                self._place("attribute", tables, name, value)
            self._objects.append((thing, tables))
        self._stack.append(type(thing))
        for kind in type(thing).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(thing, name):
                    self._place("slot", thing, name, getattr(thing, name))

    def _look_class(self, thing: type) -> None:
        for kind in thing.__mro__:
            if kind.__module__.partition(".")[0] not in _LIBRARIES:
                for name, value in vars(kind).items():
                    if not name.startswith("__"):
                        self._place("attribute", vars(kind), name, value)

    def watch(self, names: set[str], variables: list[Any]) -> tuple[Callable[[], bool], Callable[[], str]]:
        """Functions that tell whether all that the code mentions is what it was, and what is not.

        Parameters
        ----------
        names : set of str
            What the code that ran mentions: of attributes only these are compared.
        variables : list of (Tensor, Variable)
            Leaves and the graph entries that they must still be.
        """
        scope: dict[str, Any] = {"len": len}
        tests: list[tuple[str, str]] = []
        empty: list[Any] = []
        done = set()
        for kind, container, key, value in self.places:
            if (id(container), key) in done or (kind in ("attribute", "slot") and key not in names and not key.startswith("_forward_")):
                continue
            done.add((id(container), key))
            if kind == "length" and not value and type(container) in (dict, list):
                empty.append(container)
                continue
            n = len(scope)
            scope[f"c{n}"], scope[f"w{n}"] = container, value
            if kind == "cell":
                tests.append((f"c{n}.cell_contents is w{n}", "a variable of the enclosing function"))
            elif kind == "slot":
                tests.append((f"c{n}.{key} is w{n}", f"the attribute {key!r}"))
            elif kind == "length":
                tests.append((f"len(c{n}) == {value}", "the length of a list or dict"))
            else:
                tests.append((f"c{n}[{key!r}] is w{n}", f"{'the global' if kind == 'global' else 'the entry or attribute'} {key!r}"))
        for thing, table in self._objects:
            # An attribute of the class is hidden once the object has one of that name.
            hidden = frozenset(name for name in names - table.keys() if hasattr(type(thing), name))
            if hidden:
                n = len(scope)
                scope[f"c{n}"], scope[f"w{n}"] = table, hidden
                tests.append((f"(len(c{n}) == {len(table)} or w{n}.isdisjoint(c{n}))", f"which attributes a {type(thing).__name__} has"))
        for owner, variable in variables:
            n = len(scope)
            scope[f"c{n}"], scope[f"w{n}"] = owner, variable
            tests.append((f"c{n}._node is w{n} and not w{n}.hooks", "requires_grad or a gradient hook of a parameter"))
        if empty:  # a network's modules have many tables with nothing in them, hooks above all: one call looks at them all
            scope |= {"any": any, "empty": tuple(empty)}
            tests.append(("not any(empty)", "the length of a list or dict"))
        test = "\n            and ".join([test for test, _ in tests] or ["True"])
        source = f"def same():\n    try:\n        return ({test})\n    except (AttributeError, LookupError, ValueError):\n        return False"
        exec(compile(source, "<autodiff surroundings>", "exec"), scope)

        def changed() -> str:
            for test, what in tests:
                try:
                    if not eval(test, scope):
                        return what
                except (AttributeError, LookupError, ValueError):
                    return what
            return ""

        return scope["same"], changed


def _is_library(function: types.FunctionType) -> bool:
    """Whether a function belongs to NumPy, to us, or to the like; a doctest's functions only carry such a module's name."""
    module = function.__module__ or ""
    return module.partition(".")[0] in _LIBRARIES and getattr(sys.modules.get(module), "__dict__", None) is function.__globals__


def _names_of(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_of(constant)
    return names
