"""Run a call both ways and compare to the bit: ``autodiff.compile(..., check=True)``.

What a plan can touch is known from its operations: tensors' data, leaves' gradients, generators, and the objects whose
methods it calls whole (optimisers, schedules). All of it is copied, the plan is replayed, the copies are put back, the
eager call is made, and the two outcomes are compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.core.errors import CompileError
from autodiff.core.pytree import flatten
from autodiff.replay.plan import DIVERGED, Plan
from autodiff.tensor import Tensor

__all__ = ["checked", "difference"]


def difference(a: Any, b: Any) -> str:
    """How two values differ, to the bit; empty if they do not."""
    a, b = (value.data if isinstance(value, Tensor) else value for value in (a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"keys {sorted(map(str, a.keys() ^ b.keys()))}"
        return next((f"[{key!r}] {found}" for key in a if (found := difference(a[key], b[key]))), "")
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return f"lengths {len(a)} and {len(b)}"
        return next(
            (f"[{i}] {found}" for i, (x, y) in enumerate(zip(a, b, strict=True)) if (found := difference(x, y))), ""
        )
    if isinstance(a, (np.ndarray, np.generic)) and isinstance(b, (np.ndarray, np.generic)):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            return f"{a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}"
        if a.tobytes() == b.tobytes():
            return ""
        where = np.argwhere(np.asarray(a != b))
        return (
            f"{len(where)} of {a.size} elements, the first at"
            f" {where[0].tolist() if len(where) else 'a NaN or a signed zero'}"
        )
    return "" if a is b or a == b else f"{a!r} and {b!r}"


class _Touched:
    """Everything that a plan or the eager call can change, with a name for each."""

    def __init__(self, plan: Plan, leaves: Any) -> None:
        self.tensors: dict[int, Tensor] = {}
        self.variables: dict[int, Any] = {}
        self.stateful: dict[int, Any] = {}
        self.generators = list(plan.generators)
        self.arrays = [leaf for leaf in leaves if isinstance(leaf, np.ndarray)]
        for op in plan.ops:
            if op.kind in ("load", "bind"):
                (kind, what), attribute = op.target
                what = leaves[what] if kind == "argument" else what
                if kind == "variable":
                    self.variables[id(what)] = what
                else:
                    self.tensors[id(what)] = what
                    if attribute == "grad":
                        self.variables[id(what._node)] = what._node
            if op.kind == "host":
                for argument in op.args:
                    if hasattr(argument, "load_state_dict"):
                        self.stateful[id(argument)] = argument
                    for group in getattr(argument, "param_groups", ()):
                        for p in group["params"]:
                            self.tensors[id(p)] = p
                            self.variables[id(p._node)] = p._node

    def copied(self) -> dict[str, Any]:
        """A copy of it all."""
        return {
            "data": [np.copy(tensor._data) for tensor in self.tensors.values()],
            "grad": [None if v is None or v.grad is None else np.copy(v.grad) for v in self.variables.values()],
            "generator": [copy.deepcopy(g.bit_generator.state) for g in self.generators],
            "state": [copy.deepcopy(thing.state_dict()) for thing in self.stateful.values()],
            "argument": [array.copy() for array in self.arrays],
        }

    def put_back(self, before: dict[str, Any]) -> None:
        """Make it what it was."""
        for tensor, data in zip(self.tensors.values(), before["data"], strict=True):
            tensor._data = data.copy()
        for variable, grad in zip(self.variables.values(), before["grad"], strict=True):
            if variable is not None:
                variable.grad = None if grad is None else grad.copy()
        for generator, state in zip(self.generators, before["generator"], strict=True):
            generator.bit_generator.state = state
        for thing, state in zip(self.stateful.values(), before["state"], strict=True):
            thing.load_state_dict(copy.deepcopy(state))
        for array, was in zip(self.arrays, before["argument"], strict=True):
            if array.flags.writeable:
                array[...] = was


def checked(
    plan: Plan, build: Callable[[Any], Any], function: Callable[..., Any], args: Any, kwargs: Any, leaves: Any
) -> Any:
    """The eager call's result, after the plan has been seen to give the same; ``DIVERGED`` if the plan does not hold.

    Raises
    ------
    CompileError
        If anything differs; it says what.
    """
    touched = _Touched(plan, leaves)
    before = touched.copied()
    found = plan.replay(*leaves)
    if found is DIVERGED:
        return DIVERGED
    ours = [np.copy(leaf.data) if isinstance(leaf, Tensor) else copy.copy(leaf) for leaf in flatten(build(found))[0]]
    after = touched.copied()
    touched.put_back(before)
    result = function(*args, **kwargs)
    theirs = [leaf.data if isinstance(leaf, Tensor) else leaf for leaf in flatten(result)[0]]
    words = difference({**after, "result": ours}, {**touched.copied(), "result": theirs})
    if words:
        raise CompileError(
            f"autodiff.compile(check=True): the replay of {plan.name} and the eager call differ: {words}"
        )
    return result
