"""``autodiff.jit``: a pure function, run once on stand-ins, then never again: one list of NumPy calls for all of it.

The same stand-ins, passes, layout and code as for a step under ``compile``, under JAX's contract. The function may
depend on its arguments and on what is declared as ``state``, and may change nothing else. What can be seen of anything
else is refused by name while the function is run for the first time, and everything declared is put back as it was.
"""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import itertools
import operator
import random
import re
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace as replaced
from time import sleep
from typing import Any

import numpy as np

from autodiff import kernels
from autodiff.compiler.emit import MISS, defined
from autodiff.compiler.prepare import Shadow, Workshop, frozen_code
from autodiff.compiler.record import Op, Recorder, Unrecordable, private, recording
from autodiff.compiler.standin import Recorded, bare
from autodiff.compiler.trace import layout_of
from autodiff.containers import as_array
from autodiff.core import backward as engine
from autodiff.core import op as core
from autodiff.core.errors import ArgumentError, CompileError
from autodiff.core.graph import Variable, tick
from autodiff.core.modes import ORDINARY, _state, current_state
from autodiff.core.op import explain, leave, wrap
from autodiff.core.pytree import flatten
from autodiff.tensor import Tensor
from autodiff.trees import outline
from autodiff.zero_times_infinity import finite

__all__ = ["jit"]

_walk, _finite = private(engine.walk), private(finite)


class _Tracer:
    """What stands in the engine's place while a function under :func:`jit` runs for the first time."""

    sees_arrays = True

    def __init__(self, recorder: Recorder, declared: _Declared) -> None:
        self.recorder = recorder
        self.declared = declared
        self.stepped: list[Any] = []
        self.taken: dict[int, Any] = {}  # the gradients along which the first optimiser steps
        self.began = tick()
        self._come_to = {id(g): repr(g.bit_generator.state) for g in declared.generators}

    def _is_foreign(self, tensor: Any) -> bool:
        """Whether it is a leaf, or comes of one, from before the function was entered."""
        node = tensor._node
        return tensor.__class__ is not Tensor or (node is not None and node.stamp <= self.began)

    def at_once(self, state: Any, op: Any, inputs: Any, attrs: dict[str, Any]) -> None:
        """Nothing is prepared."""

    def apply(self, op: Any, inputs: Any, attrs: dict[str, Any], residuals: list[Any] | None) -> Any:
        """See :func:`autodiff.core.op.apply`."""
        if self.stepped:
            raise Unrecordable(f"{op.name} comes after an optimiser's step; return what it needs, or step last")
        arrays: list[Any] = []
        parents: list[Any] = []
        for i, value in enumerate(inputs):
            tensor = hasattr(value, "_node")
            array: Any = value._data if tensor else value if _is_standin(value) else core.coerce(op, i, value)
            if tensor and type(array) is not Recorded and self._is_foreign(value):
                raise Unrecordable(
                    f"a {'parameter' if value.__class__ is not Tensor else 'tensor that requires a gradient'} of shape"
                    f" {array.shape} that is in no declared state; name it, or its module, in state=(...)"
                )
            if isinstance(array, np.ndarray) and not _is_standin(array):
                array = self.recorder.standin(self.recorder.outside(array))
            elif op.fused and _is_standin(array) and isinstance(array, np.generic):
                array = as_array(array)
            arrays.append(array)
            parents.append(value._node if tensor else None)
        forward = op.operate if not op.fused and op.operator else op.forward
        try:
            made = private(forward)(*arrays, **attrs)
        except Unrecordable as error:
            raise Unrecordable(f"{op.name}: {error}") from None
        except Exception as error:
            raise explain(op, error, bare(list(arrays))) from error
        out, kept = made if op.fused else (made, None)
        if residuals is not None:
            residuals.append(kept)
        return leave(Shadow.of(op), inputs, attrs, arrays, parents, out, kept, current_state())

    @staticmethod
    def own(op: Any) -> Any:
        """The operation whose rules a transform's own walk asks: private copies."""
        return Shadow.of(op)

    def backpropagate(self, roots: Any, seeds: Any, free: bool) -> None:
        """See :func:`autodiff.core.backward.backpropagate`."""
        self._walked(roots, seeds, None, free, False)

    def gradients_of(self, roots: Any, seeds: Any, targets: Any, free: bool, cut: bool) -> list[Any]:
        """See :func:`autodiff.core.backward.gradients_of`. Zero times infinity is looked for once, in the gradients."""
        recorder, before = self.recorder, len(self.recorder.ops)
        recorder.late = True
        try:
            by_target = _walk(roots, seeds, targets, free=False, cut=cut)
        finally:
            recorder.late = False
        found = [by_target[target] for target in targets]
        real = [g for g in found if type(g) is Recorded and g.value.dtype.kind in "fc"]
        if len(real) == sum(g is not None for g in found) and all(finite(g.value) for g in real):
            for g in real:
                _finite(g)
            return found
        del recorder.ops[before:]
        ordinary = self._walked(roots, seeds, targets, free, cut)
        return [ordinary[target] for target in targets]

    def _walked(self, roots: Any, seeds: Any, targets: Any, free: bool, cut: bool) -> Any:
        return _walk(roots, seeds, targets, free=free, cut=cut)

    def draw(self, draw: Any, generator: Any, *args: Any) -> Any:
        """Random numbers of the library's, drawn anew in every call."""
        if not any(generator is one for one in self.declared.generators):
            raise Unrecordable("random numbers from a generator that is not declared; name it in state=(...)")
        self.refuse_other_draws()
        op = Op("draw", draw, (generator, *args))
        drawn = self.recorder._noted(op, draw(generator, *args))
        self._come_to[id(generator)] = repr(generator.bit_generator.state)
        return drawn

    def refuse_other_draws(self) -> None:
        """A declared generator moves by the library's draws alone: other numbers are not seen."""
        for generator in self.declared.generators:
            if repr(generator.bit_generator.state) != self._come_to[id(generator)]:
                raise Unrecordable(
                    "a declared generator is drawn from by the function itself; draw before, and pass the numbers as an"
                    " argument"
                )

    def step(self, optimizer: Any) -> None:
        """An optimiser's step, which every call makes after all else."""
        if not any(optimizer is one for one in self.declared.optimizers):
            raise Unrecordable("a step of an optimiser that is not declared; name it in state=(...)")
        self.stepped.append(optimizer)
        arrays = [p._data for group in optimizer.param_groups for p in group["params"] if _is_standin(p._data)]
        self.recorder.moved |= {a.slot.storage.index for a in arrays if a.slot.storage is not None}
        for t in self.declared.tensors():
            if t._node.__class__ is Variable:
                self.taken.setdefault(id(t), t._node._grad)

    @staticmethod
    def truth(found: bool) -> None:
        """A value decides: within the library the list holds while it decides the same; elsewhere it is refused."""
        frame = sys._getframe(2)
        while frame.f_code.co_name in ("truth", "__bool__") and frame.f_back is not None:
            frame = frame.f_back
        try:
            name = frame.f_globals["__name__"]  # not .get: a private copy's names come when they are asked for
        except KeyError:
            name = ""  # code that was executed among names of its own
        if str(name).partition(".")[0] not in ("autodiff", "nn", "optim"):
            raise Unrecordable("a value is read into `if`, `while`, `and` or bool(); use np.where instead")


def _is_the_same_tree(tree: Any, structure: Any, leaves: list[Any]) -> bool:
    now: list[Any] = []
    return bool(outline(tree, now) == structure) and all(map(operator.is_, now, leaves))


def _may_be_declared(thing: Any) -> bool:
    return (
        hasattr(thing, "named_parameters") or hasattr(thing, "param_groups") or isinstance(thing, np.random.Generator)
    )


class _Declared:
    """What a function may read and change besides its arguments."""

    def __init__(self, state: tuple[Any, ...]) -> None:
        self.places = {id(thing): place for place, thing in enumerate(state)}
        self.modules = [thing for thing in state if hasattr(thing, "named_parameters")]
        self.optimizers = [thing for thing in state if hasattr(thing, "param_groups")]
        self.generators = [thing for thing in state if isinstance(thing, np.random.Generator)]
        self.own = [thing for thing in state if isinstance(thing, Tensor)]
        for thing in state:
            if not any(thing is one for one in (*self.modules, *self.optimizers, *self.generators, *self.own)):
                raise ArgumentError(
                    f"jit: state holds a {type(thing).__name__}; it may hold modules, tensors, optimisers, generators"
                )

    def tensors(self) -> list[Tensor]:
        """All tensors, each once."""
        found: dict[int, Tensor] = {id(t): t for t in self.own}
        for module in self.modules:
            for part in module.modules():
                for t in (*part._parameters.values(), *part._buffers.values()):
                    if t is not None:
                        found[id(t)] = t
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                found |= {id(p): p for p in group["params"]}
        return list(found.values())


_SIMPLE = frozenset({bool, int, float, str, tuple, type(None)})
_END: Any = object()
#: So often the code for a call that finds all as it was is written again, each time in some milliseconds.
_PATIENCE = 8
_DATA, _NODE, _GRAD = map(operator.attrgetter, ("_data", "_node", "_grad"))
_PARAMS = operator.itemgetter("params")


class _Watch:
    """Everything that is declared as it was at some call, by identity: what a call finds unchanged need not be read."""

    def __init__(self, declared: _Declared) -> None:
        parts = [part.__dict__ for module in declared.modules for part in module.modules()]
        self.dicts = [*parts, *(value for names in parts for value in names.values() if value.__class__ is dict)]
        self.dicts += [leaf.hooks for leaf in map(_NODE, declared.tensors()) if leaf.__class__ is Variable]
        self.optimizers = declared.optimizers
        records = [(one, one.ordinary() if hasattr(one, "ordinary") else None) for one in self.optimizers]
        self.records = [(one, record) for one, record in records if record is not None]
        self.tensors = declared.tensors()
        self.leaves = [t._node for t in self.tensors if t._node.__class__ is Variable]
        #: Each leaf's place among what changes from call to call: arrays, then gradients.
        self.places = {id(leaf): place for place, leaf in enumerate(self.leaves, len(self.tensors))}
        self.expected = [*map(_DATA, self.tensors), *map(_GRAD, self.leaves)]
        self.rest = list(self._rest())

    def _rest(self) -> Any:
        """What is the same object from call to call, in the usual case."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        return itertools.chain(
            map(_NODE, self.tensors),
            groups,
            *map(_PARAMS, groups),
            *[record.states_of(optimizer) for optimizer, record in self.records],
            *map(dict.values, self.dicts),
            (_END,),
        )

    def holds(self) -> bool:
        """Whether all is as it was."""
        now = itertools.chain(map(_DATA, self.tensors), map(_GRAD, self.leaves), self._rest())
        return all(map(operator.is_, now, itertools.chain(self.expected, self.rest)))

    def written_out(self, scope: dict[str, Any]) -> list[str]:
        """The same question as lines, in less than half of the time; ``expected`` is a name in them."""
        names: dict[int, str] = {}

        def name(thing: Any) -> str:
            if thing is None or thing is True or thing is False:
                return repr(thing)
            found = names.setdefault(id(thing), f"w{len(names)}")
            scope[found] = thing
            return found

        tests, shapes = [], []
        for place, t in enumerate(self.tensors):
            tests += [f"{name(t)}._data is expected[{place}]", f"{name(t)}._node is {name(t._node)}"]
            shapes.append(f"expected[{place}].shape == {t._data.shape}")
        tests += [
            f"{name(leaf)}._grad is expected[{place}]" for place, leaf in enumerate(self.leaves, len(self.tensors))
        ]
        tests += shapes
        for optimizer in self.optimizers:
            known = optimizer.param_groups
            tests += [f"{name(optimizer)}.param_groups is {name(known)}", f"len({name(known)}) == {len(known)}"]
            for place, group in enumerate(known):
                params, at = group["params"], f"{name(known)}[{place}]"
                tests += [
                    f"{at} is {name(group)}",
                    f"{at}['params'] is {name(params)}",
                    f"len({name(params)}) == {len(params)}",
                ]
                tests += [f"{name(params)}[{i}] is {name(p)}" for i, p in enumerate(params)]
        for optimizer, record in self.records:
            held = zip(record.places(optimizer), record.states_of(optimizer), strict=True)
            tests += [f"{name(where)}[{name(key)}] is {name(value)}" for (where, key), value in held]
            tests.append(f"{name(optimizer)}.state is {name(optimizer.state)}")
        if self.dicts:
            scope["dicts"] = self.dicts
            tests.append(f"[*map(len, dicts)] == {list(map(len, self.dicts))}")
        for one in self.dicts:
            tests += [f"{name(one)}[{key!r}] is {name(value)}" for key, value in one.items()]
        lines = [f"if not ({' and '.join(tests[i : i + 40])}): return MISS" for i in range(0, len(tests), 40)]
        return ["try:", *(f"    {line}" for line in lines), "except KeyError:", "    return MISS"] if lines else []

    def facts(self, numbers: dict[int, Any]) -> Any:
        """What a trace depends on, as part of a key: how tensors lie, which ask for gradients and have them, and what
        modules hold besides, and hooks: numbers and text by value, anything else by identity.

        What has been met is kept in ``numbers``, so that no other thing can come to have its identity.
        """
        found: list[Any] = [
            (layout_of(t._data), t._node.__class__ is Variable, _grad_of(t) is None) for t in self.tensors
        ]
        for value in itertools.chain(*map(dict.values, self.dicts)):
            if value.__class__ in _SIMPLE:
                found.append(f"{value.__class__.__name__} {value!r}")
            elif not isinstance(value, Tensor):
                numbers[id(value)] = value
                found.append(id(value))
        return tuple(found)


def _is_simple(leaf: Any) -> bool:
    return leaf.__class__ is np.ndarray or leaf.__class__ is float or leaf.__class__ is int


def _positional(leaves: Any) -> Any:
    return tuple(leaves), {}


class _Taking:
    """Lines that take the leaves of a tree as ``a0``, ``a1`` and so on, and answer MISS where it is another tree."""

    def __init__(self, declared: _Declared) -> None:
        self.declared = declared
        self.lines: list[str] = []
        self.facts: list[tuple[str, Any]] = []
        self.scope: dict[str, Any] = {}
        self.count = 0

    def take(self, value: Any, text: str) -> None:
        """``value`` as it is now, and where it will be."""
        kind, name = value.__class__, f"t{len(self.lines)}"
        if value is None or id(value) in self.declared.places:
            self.scope[name] = value
            self.lines.append(f"if {text} is not {name}: return MISS")
        elif kind is str or kind is bytes:
            self.lines.append(f"if {text}.__class__ is not {kind.__name__} or {text} != {value!r}: return MISS")
        elif kind is dict and all(key.__class__ is str for key in value):
            self._inside(value, name, text, f"[*{name}] != {list(value)}", value.items())
        elif kind is tuple or kind is list:
            self._inside(value, name, text, f"len({name}) != {len(value)}", enumerate(value))
        elif kind is np.ndarray or isinstance(value, (bool, int, float, complex, np.generic, Tensor)):
            leaf = f"a{self.count}"
            self.count += 1
            self.lines.append(f"{leaf} = {text}")
            self.facts.append((f"{leaf}.__class__", kind))
            if isinstance(value, Tensor):
                self.lines += [f"{name} = {text}", f"if {name}._node is not None: return MISS"]
                self.facts[-1] = (f"{name}.__class__", kind)
                self.lines.append(f"{leaf} = {name}._data")
                value = value._data
                self.facts.append((f"{leaf}.__class__", value.__class__))
            if value.__class__ is np.ndarray:
                self.facts += [(f"{leaf}.{fact}", getattr(value, fact)) for fact in ("shape", "dtype", "strides")]
        else:
            raise Unrecordable(f"its leaves are not to be had from a {kind.__name__} at once")

    def _inside(self, value: Any, name: str, text: str, differs: str, items: Any) -> None:
        self.lines += [
            f"{name} = {text}",
            f"if {name}.__class__ is not {value.__class__.__name__} or {differs}: return MISS",
        ]
        for key, item in items:
            self.take(item, f"{name}[{key!r}]")

    def written_out(self) -> list[str]:
        """All lines."""
        lines = ["try:", *(f"    {line}" for line in self.lines)]
        if self.facts:
            self.scope["facts"] = tuple([value for _, value in self.facts])
            lines.append(f"    if ({''.join(f'{text}, ' for text, _ in self.facts)}) != facts: return MISS")
        return [*lines, "except AttributeError:", "    return MISS"]


class _Traced:
    """One list of calls, and what goes in and out of it."""

    def __init__(
        self, code: Any, bound: list[int], graded: list[int], rebuild: Any, tensors: list[bool], entered: int
    ) -> None:
        self.code, self.bound, self.graded, self.rebuild = code, bound, graded, rebuild
        self.entered = entered  # how many of the arguments' leaves are among the code's arguments
        self.tensors = tensors  # which results are
        self.optimizers: list[Any] = []
        self.cleared: list[int] = []  # whose gradients are forgotten after the optimisers' steps
        self._watch: list[Any] = []  # the one of the latest call, and its parts
        self._written: Any = None
        self._rewritten = 0

    def steady(self, watch: _Watch, given: Any, declared: _Declared) -> Any:
        """A function of the arguments for a call that finds all as ``watch`` has it; MISS where it does not, or where
        the arguments are other trees than ``given``.
        """
        before = self._watch[0] if self._watch else None
        self._watch[:] = watch, watch.expected, watch.tensors
        if before is None or len(before.rest) != len(watch.rest) or not all(map(operator.is_, before.rest, watch.rest)):
            self._rewritten += 1
            try:
                self._written = self._write(watch, given, declared) if self._rewritten < _PATIENCE else None
            except Unrecordable:
                self._written = None
        return self._written

    def _write(self, watch: _Watch, given: Any, declared: _Declared) -> Any:
        code, taking = self.code, _Taking(declared)
        for tree, name in zip(given, ("args", "kwargs"), strict=True):
            taking.take(tree, name)
        scope, count = taking.scope, taking.count
        lines = ["watch, expected, tensors = parts", *taking.written_out()]
        lines += watch.written_out(scope)
        rest = code.arguments[count:]
        used = " ".join(code.body) + code.result
        for i, name in enumerate(rest):
            if re.search(rf"\b{name}\b", used):
                lines.append(f"{name} = expected[{self._place(i, watch)}]")
        body = list(code.body)
        # Gradients that nobody has read make room for the new ones.
        places = [place for place in self.graded if not self._reads_gradient(place, watch, used)]
        leaves = [watch.places[id(watch.tensors[place]._node)] for place in places]
        body[code.settled : code.settled] = [
            f"tensors[{place}]._node._grad = expected[{at}] = None" for place, at in zip(places, leaves, strict=True)
        ]
        lines += ["try:", *(f"    {line}" for line in body or ["pass"]), "except KernelFailure:"]
        lines += [*([f"    if expected[{leaves[0]}] is None: raise"] if leaves else []), "    return MISS"]
        shown, news, grads = code.parts
        for place, (text, is_array) in zip(self.bound, news, strict=True):
            text = text if is_array else f"asarray({text})"
            if watch.tensors[place]._node is None:
                lines.append(f"tensors[{place}]._data = expected[{place}] = {text}")
            else:
                lines.append(f"tensors[{place}].data = expected[{place}] = {text}")
        for place, (text, _) in zip(self.graded, grads, strict=True):
            at = watch.places[id(watch.tensors[place]._node)]
            lines.append(f"tensors[{place}]._node._grad = expected[{at}] = {text}")
        graded = zip(self.graded, grads, strict=True)
        by_leaf = {id(watch.tensors[p]._node): text for p, (text, is_array) in graded if is_array}
        for i, optimizer in enumerate(self.optimizers):
            leaves = [p._node for group in optimizer.param_groups for p in group["params"]]
            known = len(self.optimizers) == 1 and bool(watch.records) and all(id(leaf) in by_leaf for leaf in leaves)
            if known:
                places = [watch.places[id(leaf)] - len(watch.tensors) for leaf in leaves]
                passed = ", ".join(by_leaf[id(leaf)] for leaf in leaves)
                own = ", ".join(f"watch.leaves[{place}]" for place in places)
                lines.append(f"optimizer{i}.step_along(watch.records[0][1], [{passed}], [{own}])")
            else:
                lines.append(f"optimizer{i}.step()")
        for place in self.cleared:
            at = watch.places[id(watch.tensors[place]._node)]
            lines.append(f"tensors[{place}]._node._grad = expected[{at}] = None")
        texts = []
        for i, ((text, _), is_tensor) in enumerate(zip(shown, self.tensors, strict=True)):
            if is_tensor:
                lines += [f"r{i} = new(Tensor)", f"r{i}._data = {text}", f"r{i}._node = None"]
            texts.append(f"r{i}" if is_tensor else text)
        rebuilt = self.rebuild
        single = len(texts) == 1 and rebuilt([_END]) is _END
        lines.append(f"return {texts[0] if single else f'rebuilt([{chr(44).join(texts)}])'}")
        source = "def steady(args, kwargs):\n" + "".join(f"    {line}\n" for line in lines)
        scope |= {
            **code.scope,
            **{f"optimizer{i}": optimizer for i, optimizer in enumerate(self.optimizers)},
            "KernelFailure": kernels.KernelFailure,
            "Tensor": Tensor,
            "asarray": np.asarray,
            "new": object.__new__,
            "parts": self._watch,
            "rebuilt": rebuilt,
        }
        steady = defined("steady", source, f"<autodiff.jit: {code.name}>", scope)
        steady.__doc__ = source
        return steady

    def _reads_gradient(self, place: int, watch: _Watch, used: str) -> bool:
        """Whether the code reads what the tensor's gradient was."""
        node = watch.tensors[place]._node
        held = [leaf for leaf in watch.leaves if leaf._grad is not None]
        if not any(leaf is node for leaf in held):
            return True
        number = self.entered + len(watch.tensors) + [leaf is node for leaf in held].index(True)
        return re.search(rf"\ba{number}\b", used) is not None

    def _place(self, number: int, watch: _Watch) -> int:
        """Where among what is watched an array lies that the code takes besides the arguments."""
        if number < len(watch.tensors):
            return number
        held = [place for place, grad in enumerate(map(_GRAD, watch.leaves)) if grad is not None]
        return len(watch.tensors) + held[number - len(watch.tensors)]


class Jit:
    """A function that was run once; made by :func:`autodiff.jit`."""

    def __init__(self, function: Callable[..., Any], state: tuple[Any, ...], static_argnames: tuple[str, ...]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._state = state
        self._static = static_argnames
        self._declared = _Declared(state)
        self._for_arguments: dict[Any, Jit] = {}
        self._known: dict[Any, _Traced] = {}
        self._workshop = Workshop()
        self._lock = threading.RLock()
        self._watch: _Watch | None = None
        self._met: dict[int, Any] = {}
        #: Whose latest call it was: this one's, or that of one that declares a module among the arguments, too.
        self._latest: Jit | None = None
        #: What serves a call that finds everything as the last one left it, and under which setting of the kernels.
        self._steady: Any = None
        self._setting: Any = None
        if static_argnames:
            self._signature: Any = inspect.signature(function)
            for name in static_argnames:
                if name not in self._signature.parameters:
                    told = ", ".join(self._signature.parameters)
                    raise ArgumentError(f"jit: static_argnames has {name!r}, and the function's arguments are {told}")
        else:
            self._signature = None

    def __reduce__(self) -> Any:
        return Jit, (self._function, self._state, self._static)

    def __deepcopy__(self, memo: dict[int, Any]) -> Jit:
        return Jit(*copy.deepcopy((self._function, self._state, self._static), memo))

    @property
    def plans(self) -> list[Any]:
        """The code of each combination of shapes, dtypes and static values."""
        return [traced.code for traced in self._known.values()]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = current_state()
        if state is None and self._latest is not None:
            result = self._latest._at_once(args, kwargs)
            if result is not MISS:
                return result
        if state is not None and (state.tracer is not None or state != replaced(ORDINARY, grad=state.grad)):
            return self._function(*args, **kwargs)  # part of something larger, or watched
        given: Any = args, kwargs
        static: Any = ()
        if self._signature is not None:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            static = {name: bound.arguments.pop(name) for name in self._static}
            args, kwargs = (), dict(bound.arguments)
        if kwargs or static or not all(map(_is_simple, args)):
            leaves, rebuild = flatten((args, kwargs))
            known = self._declared.places
            undeclared = [leaf for leaf in leaves if id(leaf) not in known and _may_be_declared(leaf)]
            if undeclared:  # a module among the arguments is as good as one in state
                others = {id(thing): thing for thing in undeclared}
                child = self._for_arguments.get(tuple(others))
                if child is None:
                    child = Jit(self._function, (*self._state, *others.values()), self._static)
                    self._for_arguments[tuple(others)] = child
                result = child(*args, **kwargs, **(static or {}))
                self._latest = child
                return result
            shape: Any = repr(rebuild([0] * len(leaves))), _by_value(static)
        else:
            leaves, rebuild, shape = list(args), _positional, len(args)
        if any(isinstance(leaf, Tensor) and leaf._node is not None for leaf in leaves):
            return self._function(*args, **kwargs, **(static or {}))  # differentiated from outside
        with self._lock:
            watch = self._watch
            if watch is None or not watch.holds():
                watch = self._watch = _Watch(self._declared)
            tensors = watch.tensors
            facts = watch.facts(self._met)
            kinds = [_kind_of(leaf, self._declared) for leaf in leaves]
            key = tuple(kinds), facts, shape, kernels.setting(), state
            traced = self._known.get(key)
            if traced is None:
                traced = self._known[key] = self._trace(leaves, rebuild, static, tensors, state)
            result = self._run(traced, leaves, rebuild, static, tensors)
            if self._signature is None and state is None:
                self._watch = watch = _Watch(self._declared)
                steady = watch.facts(self._met) == facts  # a first call may leave gradients where there were none
                written = traced.steady(watch, given, self._declared) if steady else None
                self._latest = self
                self._steady = None if written is None else (written, traced.code.undoes)
                self._setting = kernels.setting()
            return result

    def _at_once(self, args: Any, kwargs: Any) -> Any:
        """The result of a call that finds everything as the last one left it; MISS if it does not."""
        if self._setting != kernels.setting():
            return MISS
        with self._lock:
            if self._steady is None:
                return MISS
            steady, undoes = self._steady
            before = self._drawn_so_far() if undoes else []
            result = steady(args, kwargs)
            if result is MISS:
                self._undraw(before)
            return result

    def _run(self, traced: _Traced, leaves: list[Any], rebuild: Any, static: Any, tensors: list[Any]) -> Any:
        values = (
            list(leaves) if rebuild is _positional else [_bare_leaf(leaf) for leaf in leaves if not self._passes(leaf)]
        )
        values += [t._data for t in tensors]
        values += [g for t in tensors if (g := _grad_of(t)) is not None]
        before = self._drawn_so_far() if traced.code.undoes else []
        try:
            found = traced.code.run(*values)
        except kernels.KernelFailure:
            found = MISS
        if found is MISS:
            self._undraw(before)
            args, kwargs = rebuild(leaves)
            return self._function(*args, **kwargs, **(static or {}))
        result, bound, grads = found
        for place, value in zip(traced.bound, bound, strict=True):
            tensors[place]._rebind(value)
        for place, value in zip(traced.graded, grads, strict=True):
            tensors[place]._node._grad = value
        del values  # an optimiser writes over arrays that nobody else holds
        for optimizer in traced.optimizers:
            optimizer.step()
        for place in traced.cleared:
            tensors[place]._node._grad = None
        return traced.rebuild([wrap(v, None) if k else v for v, k in zip(result, traced.tensors, strict=True)])

    def _passes(self, leaf: Any) -> bool:
        """Whether an argument goes to the function as it is."""
        return _is_static(leaf) or id(leaf) in self._declared.places

    def _drawn_so_far(self) -> list[Any]:
        return [generator.bit_generator.state for generator in self._declared.generators]

    def _undraw(self, before: list[Any]) -> None:
        for generator, was in zip(self._declared.generators, before, strict=False):
            generator.bit_generator.state = was

    def _trace(self, leaves: list[Any], rebuild: Any, static: Any, tensors: list[Any], state: Any) -> _Traced:
        recorder = Recorder()
        tracer = _Tracer(recorder, self._declared)
        recorder.decided = tracer.truth
        saved = [(t, t._data, t._node, _grad_of(t)) for t in tensors]
        generators = [(g, g.bit_generator.state) for g in self._declared.generators]
        groups = [group for optimizer in self._declared.optimizers for group in optimizer.param_groups]
        options = [(group, {key: value for key, value in group.items() if key != "params"}) for group in groups]
        outside = _Sources(self._declared.generators)
        name = getattr(self._function, "__qualname__", "the function")
        standins: list[Any] = []
        values: list[Any] = []

        def enter(value: Any) -> Any:
            standins.append(recorder.argument(value))
            values.append(value)
            return standins[-1]

        entered = [
            leaf if self._passes(leaf) else wrap(enter(leaf._data), None) if isinstance(leaf, Tensor) else enter(leaf)
            for leaf in leaves
        ]
        for t in tensors:
            t._data = enter(t._data)
        for t, _, _, grad in saved:
            if grad is not None:
                t._node._grad = enter(grad)
        args, kwargs = rebuild(entered)
        entered.clear()
        before = outline((args, kwargs), entered)
        token = _state.set(replaced(state or ORDINARY, tracer=tracer))
        try:
            with recording(recorder):
                result = private(self._function)(*args, **kwargs, **(static or {}))
                tracer.refuse_other_draws()
                if any(group[key] != value for group, was in options for key, value in was.items()):
                    raise Unrecordable("it changes an optimiser's options; step a schedule outside of it")
                code, traced = self._finished(recorder, tracer, result, saved, standins, values, name)
        except (Unrecordable, TypeError) as error:
            raise CompileError(f"autodiff.jit: {name} cannot be followed: {error}") from error
        finally:
            _state.reset(token)
            for t, data, node, grad in saved:
                t._data, t._node = data, node
                if node.__class__ is Variable:
                    node._grad = grad
            for group, settings in options:
                group.update(settings)
            for generator, was in generators:
                generator.bit_generator.state = was
        drawn = outside.drawn()
        if drawn:
            raise CompileError(
                f"autodiff.jit: {name} draws from {drawn}; declare a numpy.random.Generator in state=(...) and have the"
                " library draw from it"
            )
        if not _is_the_same_tree((args, kwargs), before, entered):
            raise CompileError(f"autodiff.jit: {name} changes a list or dict that it was given; return the new one")
        del result, args, kwargs, entered
        standins.clear()
        with _looking:  # who looks at all objects holds all of them
            if recorder.keeps():
                _collect()
            kept = recorder.keeps()
        if kept:
            raise CompileError(
                f"autodiff.jit: {name} keeps a value that it computed outside of itself, in an attribute, a list or a"
                " global; return it"
            )
        traced.code = code
        return traced

    def _finished(
        self, recorder: Recorder, tracer: _Tracer, result: Any, saved: Any, standins: Any, values: Any, name: str
    ) -> tuple[Any, _Traced]:
        outs, filled = flatten(result)
        _, template = flatten(filled(list(range(len(outs)))))  # which holds numbers, where the other holds results
        shown = [out._data if isinstance(out, Tensor) else out for out in outs]
        moved, recorder.moved = recorder.moved, set()
        places = [value.slot.storage for value in shown if _is_standin(value)]
        if any(storage is not None and storage.index in moved for storage in places):
            raise Unrecordable("it returns a declared array after an optimiser's step; read it after the call")
        bound, graded, news, grads = [], [], [], []
        cleared: list[int] = []
        for place, (t, data, node, grad) in enumerate(saved):
            if t._node is not node:
                raise Unrecordable("a declared tensor has become the result of an operation")
            if bare(t._data) is not data or type(t._data) is not Recorded:
                bound.append(place)
                news.append(t._data)
            now = _grad_of(t)
            if id(t) in tracer.taken and tracer.taken[id(t)] is not now:
                if now is not None:
                    raise Unrecordable("a gradient is changed after an optimiser's step; step last")
                now, cleared = tracer.taken[id(t)], [*cleared, place]  # zero_grad() after step()
            if bare(now) is not grad or (now is not None and type(now) is not Recorded):
                graded.append(place)
                grads.append(now)
        # What goes out has memory of its own, whatever of it is also an argument or goes out twice.
        taken: set[int] = set()
        given = {s.slot.index for s in standins}

        def own(value: Any) -> Any:
            if isinstance(value, np.ndarray) and not _is_standin(value):
                value = recorder.standin(recorder.outside(value))
            if type(value) is Recorded and value.slot.storage is not None:
                storage = value.slot.storage
                if (
                    not storage.made
                    or storage.index in taken
                    or value.slot.index in given
                    or value.value.base is not None
                ):
                    value = recorder.call(np.array, (value,), {})
                taken.add(value.slot.storage.index)
            return value

        shown, news, grads = ([own(value) for value in part] for part in (shown, news, grads))
        kinds = [isinstance(out, Tensor) for out in outs]
        code = frozen_code(self._workshop, recorder, standins, values, (shown, news, grads), name)

        entered = len(standins) - len(saved) - sum(grad is not None for *_, grad in saved)
        traced = _Traced(code, bound, graded, template, kinds, entered)
        traced.optimizers, traced.cleared = tracer.stepped, cleared
        tracer.taken.clear()
        return code, traced


def _by_value(value: Any) -> Any:
    """A static argument as part of a key: two of one key are the same to every function."""
    kind = value.__class__
    if kind is dict:
        return kind, *((key, _by_value(item)) for key, item in value.items())
    if kind is tuple or kind is list:
        return (kind, *map(_by_value, value))
    if kind is slice:
        return kind, _by_value(value.start), _by_value(value.stop), _by_value(value.step)
    if kind is np.ndarray:
        return layout_of(value), value.tobytes()
    if kind is float or kind is complex:
        return kind, repr(value)  # 0.0 and -0.0 are two
    try:
        hash(value)
    except TypeError:
        raise ArgumentError(f"jit: a static argument must be hashable, and a {kind.__name__} is not") from None
    return kind, value


_looking = threading.Lock()


class _Cycle:
    """Something that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


def _collect() -> None:
    """Have the collector pass, which does nothing while it is at work for another thread."""
    for _ in range(200):
        reference = weakref.ref(_Cycle())
        gc.collect()
        if reference() is None:
            return
        sleep(0.002)


class _Sources:
    """Where random numbers come from that are not declared: all that are alive, and how far each has come."""

    def __init__(self, declared: list[Any]) -> None:
        ours = {id(generator.bit_generator) for generator in declared}
        kinds = np.random.BitGenerator, random.Random
        # Its type is asked, not the thing: stand-ins for what a package deprecates warn when they are asked.
        with _looking:
            everything = gc.get_objects()
            self._found = [thing for thing in everything if issubclass(type(thing), kinds) and id(thing) not in ours]
            del everything
        self._found = [thing for thing in self._found if not isinstance(thing, random.SystemRandom)]
        self._before = list(map(_source_state, self._found))
        self._python, self._alone = random.getstate(), threading.active_count() == 1
        self._numpy = np.random.get_state()[2], np.random.get_state()[1].tobytes()  # type: ignore[index,union-attr]  # noqa: NPY002

    def drawn(self) -> str:
        """In words, one that has moved on; of several threads it may have been another that drew."""
        now = np.random.get_state()  # noqa: NPY002
        if self._numpy != (now[2], now[1].tobytes()):  # type: ignore[index,union-attr]
            return "NumPy's global generator"
        if self._python != random.getstate():
            return "Python's random module"
        if self._alone and threading.active_count() == 1:
            for source, before in zip(self._found, self._before, strict=True):
                if _source_state(source) != before:
                    return f"a generator ({type(source).__name__}) that is not declared"
        return ""


def _source_state(source: Any) -> str:
    return repr(source.state if hasattr(source, "state") else source.getstate())


def _is_standin(value: Any) -> bool:
    return type(value) is Recorded


def _is_static(leaf: Any) -> bool:
    return isinstance(leaf, (str, bytes)) or leaf is None


def _bare_leaf(leaf: Any) -> Any:
    return leaf._data if isinstance(leaf, Tensor) else leaf


def _kind_of(leaf: Any, declared: _Declared) -> Any:
    if leaf.__class__ is np.ndarray:
        return leaf.shape, leaf.dtype, leaf.strides
    if isinstance(leaf, Tensor):
        return "tensor", layout_of(leaf._data)
    if isinstance(leaf, np.ndarray):
        return layout_of(leaf)
    if isinstance(leaf, (bool, int, float, complex, np.generic)):
        return leaf.__class__
    if _is_static(leaf):
        return leaf
    if id(leaf) in declared.places:
        return "declared", declared.places[id(leaf)]
    raise ArgumentError(
        f"jit: an argument holds a {type(leaf).__name__}; pass arrays, tensors, numbers, modules, and dicts, lists and"
        " tuples of these, and name anything else in static_argnames"
    )


def _grad_of(t: Any) -> Any:
    node = t._node
    return node._grad if node.__class__ is Variable else None


def jit(
    function: Callable[..., Any] | None = None, *, state: Any = (), static_argnames: str | tuple[str, ...] = ()
) -> Any:
    """A pure function, run once for each combination of shapes and dtypes, and from then on one list of NumPy calls.

    Parameters
    ----------
    function : callable
        Of arrays, tensors and numbers, and trees of these. It must be pure: it may depend on its arguments and on
        ``state`` alone, and change nothing but ``state``. It is not run again for shapes and dtypes that it has been
        run for, so what it prints, counts or keeps happens once.
    state : module, tensor, optimiser or generator, or a tuple of them
        What the function may read and change besides. An optimiser's step comes last.
    static_argnames : str or tuple of str
        Arguments that decide what is done: another value means another run.

    Returns
    -------
    callable
        With the function's arguments. Tensors that it returns carry no graph.

    Raises
    ------
    CompileError
        In the first call, if the function does what cannot be followed: it reads a value into ``if``, draws from a
        generator that is not declared, writes into an array that it was given, or keeps what it computed somewhere.
        Everything declared is as it was before.

    Notes
    -----
    Within a transform, and on tensors that require a gradient, the function runs as it is: write ``jit(grad(f))``
    rather than ``grad(jit(f))``.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> slope = autodiff.jit(autodiff.grad(lambda x: np.sum(np.sin(x) * x)))
    >>> [slope(np.zeros(2)).tolist() for _ in range(2)]
    [[0.0, 0.0], [0.0, 0.0]]
    """
    if function is None:
        return lambda f: jit(f, state=state, static_argnames=static_argnames)
    if not callable(function):
        raise ArgumentError(f"jit: takes a function, got {type(function).__name__}")
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    return Jit(function, state if isinstance(state, tuple) else (state,), names)
