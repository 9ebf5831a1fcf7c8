"""What a function under ``jit`` may read and change, and what stands in the engine's place while it runs once."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any

import numpy as np

from autodiff.batching import Batched
from autodiff.compiler.private import in_one_call, private
from autodiff.compiler.record import Op, Recorder, Unrecordable
from autodiff.compiler.sources import Sources
from autodiff.compiler.standin import Recorded, bare
from autodiff.compiler.walked import Shadow, asked_at_the_end, recorded_walk
from autodiff.containers import as_array
from autodiff.core import op as core
from autodiff.core.errors import ArgumentError
from autodiff.core.graph import Variable, tick
from autodiff.core.modes import current_state
from autodiff.core.op import explain, leave
from autodiff.tensor import Tensor

__all__ = ["Declared", "Tracer", "gradient_of", "is_standin", "values_of"]


class Tracer:
    """What stands in the engine's place while a function under :func:`jit` runs for the first time."""

    def __init__(self, recorder: Recorder, declared: Declared) -> None:
        self.recorder = recorder
        self.declared = declared
        self.stepped: list[Any] = []
        self.taken: dict[int, Any] = {}  # the gradients along which the first optimiser steps
        self.outside: Sources | None = None  # where random numbers come from that were there before
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
            self.recorder.refuse(f"{op.name} comes after an optimiser's step; return what it needs, or step last")
        arrays: list[Any] = []
        parents: list[Any] = []
        for i, value in enumerate(inputs):
            tensor = hasattr(value, "_node")
            array: Any = value._data if tensor else value if is_standin(value) else core.coerce(op, i, value)
            if tensor and type(array) is not Recorded and self._is_foreign(value):
                self.recorder.refuse(
                    f"a {'parameter' if value.__class__ is not Tensor else 'tensor that requires a gradient'} of shape"
                    f" {array.shape} that is in no declared state; name it, or its module, in state=(...)"
                )
            if isinstance(array, np.ndarray) and not is_standin(array):
                array = self.recorder.standin(self.recorder.outside(array))
            elif op.fused and is_standin(array) and isinstance(array, np.generic):
                array = as_array(array)
            arrays.append(array)
            parents.append(value._node if tensor else None)
        op = self.own(op)
        try:
            if op.pull is not None:  # a rule of the user's own
                made = op.run(arrays, attrs)
            else:
                made = in_one_call(op.operate if not op.fused and op.operator else op.forward)(*arrays, **attrs)
        except Unrecordable as error:
            raise Unrecordable(f"{op.name}: {error}") from None
        except Exception as error:
            raise explain(op, error, bare(list(arrays))) from error
        out, kept = made if op.fused or op.pull is not None else (made, None)
        if residuals is not None:
            residuals.append(kept)
        return leave(op, inputs, attrs, arrays, parents, out, kept, current_state())

    @staticmethod
    def own(op: Any) -> Any:
        """The operation whose rules a transform's own walk asks, or the function that NumPy's means: private copies."""
        if isinstance(op, FunctionType):
            return private(op)
        return op if op.pull is not None or hasattr(op, "push") else Shadow.of(op)

    def shown(self, tangents: Any) -> Any:
        """What it hands them: stand-ins for directions that a transform has made itself, too."""
        if isinstance(tangents, (list, tuple)):
            return type(tangents)(map(self.shown, tangents))
        if tangents.__class__ is Batched and type(tangents.array) is np.ndarray:
            array: Any = self.recorder.standin(self.recorder.outside(tangents.array))
            return Batched(array)
        return tangents

    def backpropagate(self, roots: Any, seeds: Any, free: bool) -> None:
        """See :func:`autodiff.core.backward.backpropagate`."""
        recorded_walk(roots, seeds, None, free=free)

    def gradients_of(self, roots: Any, seeds: Any, targets: Any, free: bool, cut: bool) -> list[Any]:
        """See :func:`autodiff.core.backward.gradients_of`. Zero times infinity is looked for once, in the gradients."""
        recorder, before = self.recorder, len(self.recorder.ops)
        recorder.late = True
        try:
            by_target = recorded_walk(roots, seeds, targets, free=False, cut=cut)
        finally:
            recorder.late = False
        found = [by_target[target] for target in targets]
        if asked_at_the_end([g for g in found if g is not None]):
            return found
        del recorder.ops[before:]
        ordinary = recorded_walk(roots, seeds, targets, free=free, cut=cut)
        return [ordinary[target] for target in targets]

    def draw(self, draw: Any, generator: Any, *args: Any) -> Any:
        """Random numbers of the library's, drawn anew in every call."""
        if not any(generator is one for one in self.declared.generators):
            if self.outside is not None and generator.bit_generator not in self.outside:
                return draw(generator, *args)  # made by the function itself
            self.recorder.refuse("random numbers from a generator that is not declared; name it in state=(...)")
        self.refuse_other_draws()
        op = Op("draw", draw, (generator, *args))
        drawn = self.recorder._noted(op, draw(generator, *args))
        self._come_to[id(generator)] = repr(generator.bit_generator.state)
        return drawn

    def refuse_other_draws(self) -> None:
        """A declared generator moves by the library's draws alone: other numbers are not seen."""
        for generator in self.declared.generators:
            if repr(generator.bit_generator.state) != self._come_to[id(generator)]:
                self.recorder.refuse(
                    "a declared generator is drawn from by the function itself; draw before, and pass the numbers as an"
                    " argument"
                )

    def step(self, optimizer: Any) -> None:
        """An optimiser's step, which every call makes after all else."""
        if not any(optimizer is one for one in self.declared.optimizers):
            self.recorder.refuse("a step of an optimiser that is not declared; name it in state=(...)")
        self.stepped.append(optimizer)
        arrays = [p._data for group in optimizer.param_groups for p in group["params"] if is_standin(p._data)]
        self.recorder.moved |= {a.slot.storage.index for a in arrays if a.slot.storage is not None}
        for t in self.declared.tensors():
            if t._node.__class__ is Variable:
                self.taken.setdefault(id(t), t._node._grad)

    def truth(self, found: bool) -> None:
        """A value decides: within the library the list holds while it decides the same; elsewhere it is refused."""
        frame = sys._getframe(2)
        while frame.f_code.co_name in ("truth", "__bool__") and frame.f_back is not None:
            frame = frame.f_back
        try:
            name = frame.f_globals["__name__"]  # not .get: a private copy's names come when they are asked for
        except KeyError:
            name = ""  # code that was executed among names of its own
        if str(name).partition(".")[0] not in ("autodiff", "nn", "optim"):
            self.recorder.refuse("a value is read into `if`, `while`, `and` or bool(); use np.where instead")


class Declared:
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

    def containers(self) -> list[Any]:
        """The dicts, lists, tuples and objects with a value (data classes, namespaces) that modules consist of, however
        deep, each once; of an object its dict.
        """
        found: dict[int, Any] = {}
        waiting: list[Any] = [part.__dict__ for module in self.modules for part in module.modules()]
        for one in waiting:
            if id(one) not in found:
                found[id(one)] = one
                waiting += [part for part in map(_parts, values_of(one)) if part is not None]
        return list(found.values())

    def tensors(self, containers: list[Any] | None = None) -> list[Tensor]:
        """All tensors, each once: also those that a module has by another name than a parameter's or a buffer's."""
        held = [value for one in containers or self.containers() for value in values_of(one) if hasattr(value, "_node")]
        found: dict[int, Tensor] = {id(t): t for t in self.own}
        found |= {id(t): t for t in held if t._node is None or t._node.__class__ is Variable}
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                found |= {id(p): p for p in group["params"]}
        return list(found.values())


def values_of(one: Any) -> Any:
    """What a dict, a list or a tuple holds."""
    return one.values() if isinstance(one, dict) else one


def _parts(value: Any) -> Any:
    """Where the parts of a container stand, or of an object that is compared by value; None of any other."""
    if isinstance(value, (dict, list, tuple)):
        return value
    alike = value.__class__.__eq__ is not object.__eq__ and not hasattr(value, "_node")
    return getattr(value, "__dict__", None) if alike and not isinstance(value, type) else None


def is_standin(value: Any) -> bool:
    """Whether a value stands for an array or a number of the run."""
    return type(value) is Recorded


def gradient_of(t: Any) -> Any:
    """The gradient that lies at a tensor, if it is a leaf."""
    node = t._node
    return node._grad if node.__class__ is Variable else None
