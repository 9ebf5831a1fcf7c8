"""One list of calls made by ``jit``, and what serves a call that finds everything as the last one left it.

That is a function written out: it takes the arguments apart, asks object by object whether what is declared is what it
was, makes the calls, and puts gradients and the optimisers' steps in their places. Otherwise it gives MISS.
"""

from __future__ import annotations

import itertools
import operator
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff import kernels
from autodiff.compiler.emit import defined
from autodiff.compiler.record import Unrecordable
from autodiff.compiler.standin import exactly, outlined
from autodiff.compiler.trace import layout_of
from autodiff.compiler.tracer import Declared, gradient_of, values_of
from autodiff.core.graph import Variable
from autodiff.tensor import Tensor

__all__ = ["END", "Option", "Taking", "Traced", "Watch"]

_SIMPLE = frozenset({bool, int, float, str, type(None)})
_NUMBERS, _TEXT = (np.ndarray, int, float, complex), (np.str_, np.bytes_)
END: Any = object()
#: So often the code for a call that finds all as it was is written again, each time in some milliseconds.
_PATIENCE = 8
_DATA, _NODE, _GRAD = map(operator.attrgetter, ("_data", "_node", "_grad"))
_PARAMS = operator.itemgetter("params")


@dataclass
class Option:
    """A number among an optimiser's options, alone or in a tuple (``betas``), which every call reads anew."""

    optimizer: Any
    group: int
    key: str
    place: int | None

    @property
    def value(self) -> Any:
        """As it is now."""
        found = self.optimizer.param_groups[self.group][self.key]
        return found if self.place is None else found[self.place]

    def put(self, value: Any) -> None:
        """Another in its place."""
        group = self.optimizer.param_groups[self.group]
        if self.place is not None:
            whole = group[self.key]
            value = (*whole[: self.place], value, *whole[self.place + 1 :])
        group[self.key] = value

    @classmethod
    def of(cls, optimizers: Any) -> list[Option]:
        """All of them."""
        found = []
        for optimizer in optimizers:
            for number, group in enumerate(optimizer.param_groups):
                for key, value in group.items():
                    parts = enumerate(value) if value.__class__ is tuple else [(None, value)]
                    found += [cls(optimizer, number, key, place) for place, part in parts if _is_number(part)]
        return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _option(value: Any) -> Any:
    """What a trace depends on of an option: of a number its class, anything else."""
    if _is_number(value):
        return value.__class__
    try:
        return exactly(value)
    except TypeError:
        return id(value)


class Watch:
    """Everything that is declared as it was at some call, by identity: what a call finds unchanged need not be read."""

    def __init__(self, declared: Declared) -> None:
        self.containers = declared.containers()
        self.tensors = declared.tensors(self.containers)
        self.leaves = [t._node for t in self.tensors if t._node.__class__ is Variable]
        self.containers += [leaf.hooks for leaf in self.leaves]
        self.optimizers = declared.optimizers
        records = [(one, one.ordinary() if hasattr(one, "ordinary") else None) for one in self.optimizers]
        self.records = [(one, record) for one, record in records if record is not None]
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
            *map(values_of, self.containers),
            (END,),
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
                others = [
                    (k, v) for k, v in group.items() if not (k == "params" or _is_number(v) or isinstance(v, tuple))
                ]
                tests += [f"{at}[{key!r}] is {name(value)}" for key, value in others]
        for optimizer, record in self.records:
            held = zip(record.places(optimizer), record.states_of(optimizer), strict=True)
            tests += [f"{name(where)}[{name(key)}] is {name(value)}" for (where, key), value in held]
            tests.append(f"{name(optimizer)}.state is {name(optimizer.state)}")
        if self.containers:
            scope["containers"] = self.containers
            tests.append(f"[*map(len, containers)] == {list(map(len, self.containers))}")
        for one in self.containers:
            if isinstance(one, dict):
                tests += [f"{name(one)}[{key!r}] is {name(value)}" for key, value in one.items()]
            elif isinstance(one, list):
                tests.append(f"[*map(id, {name(one)})] == {name(list(map(id, one)))}")
        lines = [f"if not ({' and '.join(tests[i : i + 40])}): return MISS" for i in range(0, len(tests), 40)]
        return ["try:", *(f"    {line}" for line in lines), "except KeyError:", "    return MISS"] if lines else []

    def facts(self, numbers: dict[int, Any]) -> Any:
        """What a trace depends on, as part of a key: how tensors lie, which ask for gradients and have them, and what
        modules hold besides, and hooks: which tensor and which container where, numbers and text by value, anything
        else by identity.

        What has been met is kept in ``numbers``, so that no other thing can come to have its identity.
        """
        found: list[Any] = [
            (layout_of(t._data), t._node.__class__ is Variable, gradient_of(t) is None) for t in self.tensors
        ]
        places = {id(thing): place for place, thing in enumerate((*self.tensors, *self.containers))}
        for one in self.containers:
            found += one.__class__, len(one)
            if isinstance(one, dict):
                found += one
            for value in values_of(one):
                kind = value.__class__
                if kind in _SIMPLE:
                    found += kind, repr(value) if kind is float else value
                elif (place := places.get(id(value))) is None:
                    numbers[id(value)] = value
                    found.append(id(value))
                else:
                    found.append(place)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                found.append(outlined(_option, {key: value for key, value in group.items() if key != "params"}))
        return tuple(found)


class Taking:
    """Lines that take the leaves of a tree as ``a0``, ``a1`` and so on, and answer MISS where it is another tree."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.lines: list[str] = []
        self.facts: list[tuple[str, Any]] = []
        self.scope: dict[str, Any] = {}
        self.count = 0

    def take(self, value: Any, text: str) -> None:
        """``value`` as it is now, and where it will be."""
        kind, name = value.__class__, f"t{len(self.lines)}"
        if value is None or kind is bool or id(value) in self.declared.places:
            self.scope[name] = value
            self.lines.append(f"if {text} is not {name}: return MISS")
        elif kind is str or kind is bytes:
            self.lines.append(f"if {text}.__class__ is not {kind.__name__} or {text} != {value!r}: return MISS")
        elif kind is dict and all(key.__class__ is str for key in value):
            self._inside(value, name, text, f"[*{name}] != {list(value)}", value.items())
        elif kind is tuple or kind is list:
            self._inside(value, name, text, f"len({name}) != {len(value)}", enumerate(value))
        elif kind in _NUMBERS or isinstance(value, Tensor) or (isinstance(value, np.generic) and kind not in _TEXT):
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


class Traced:
    """One list of calls, and what goes in and out of it."""

    def __init__(self, code: Any, bound: list[int], graded: list[int], rebuild: Any, tensors: list[bool]) -> None:
        self.code, self.bound, self.graded, self.rebuild = code, bound, graded, rebuild
        self.tensors = tensors  # which results are
        self.optimizers: list[Any] = []
        self.cleared: list[int] = []  # whose gradients are forgotten after the optimisers' steps
        self.options: list[Option] = []  # what it takes besides
        self.switched: list[Any] = []  # of modules, with their new values: train() and eval()
        self._watch: list[Any] = []  # the one of the latest call, and its parts
        self._written: Any = None
        self._rewritten = 0

    def guarded(self, watch: Watch, given: Any, declared: Declared) -> Any:
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

    def _write(self, watch: Watch, given: Any, declared: Declared) -> Any:
        code, taking = self.code, Taking(declared)
        for tree, name in zip(given, ("args", "kwargs"), strict=True):
            taking.take(tree, name)
        scope = taking.scope
        lines = ["watch, expected, tensors = parts", *taking.written_out()]
        lines += watch.written_out(scope)
        read = set(re.findall(r"\ba\d+\b", " ".join(code.body) + code.result))
        held = [watch.places[id(leaf)] for leaf in watch.leaves if leaf._grad is not None]
        # After the arguments' leaves the code takes arrays of tensors and the gradients that there are.
        given_too = code.arguments[taking.count :]
        names = dict(zip([*range(len(watch.tensors)), *held], given_too, strict=False))
        for i, (option, name) in enumerate(zip(self.options, given_too[len(names) :], strict=True)):
            scope |= {f"option{i}": option, f"kind{i}": option.value.__class__}
            lines += [f"{name} = option{i}.value", f"if {name}.__class__ is not kind{i}: return MISS"]
        lines += [f"{name} = expected[{at}]" for at, name in names.items() if name in read]
        body = list(code.body)
        # Gradients that nobody has read make room for the new ones.
        free = {at for at in held if names[at] not in read}
        graded = [(place, watch.places[id(watch.tensors[place]._node)]) for place in self.graded]
        gone = [(place, at) for place, at in graded if at in free]
        body[code.settled : code.settled] = [
            f"tensors[{place}]._node._grad = expected[{at}] = None" for place, at in gone
        ]
        lines += ["try:", *(f"    {line}" for line in body or ["pass"]), "except KernelFailure:"]
        lines += [*([f"    if expected[{gone[0][1]}] is None: raise"] if gone else []), "    return MISS"]
        shown, news, grads = code.parts
        for place, (text, is_array) in zip(self.bound, news, strict=True):
            text = text if is_array else f"asarray({text})"
            if watch.tensors[place]._node is None:
                lines.append(f"tensors[{place}]._data = expected[{place}] = {text}")
            else:
                lines.append(f"tensors[{place}].data = expected[{place}] = {text}")
        by_leaf = {}
        for (place, at), (text, is_array) in zip(graded, grads, strict=True):
            lines.append(f"tensors[{place}]._node._grad = expected[{at}] = {text}")
            if is_array:
                by_leaf[id(watch.tensors[place]._node)] = text
        for place in self.bound:  # has another array than the optimiser's record
            by_leaf.pop(id(watch.tensors[place]._node), None)
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
        single = len(texts) == 1 and rebuilt([END]) is END
        lines.append(f"return {texts[0] if single else f'rebuilt([{chr(44).join(texts)}])'}")
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
        return defined("guarded(args, kwargs)", lines, f"jit: {code.name}", scope)
