"""Which inputs a rule reads: an array that no rule reads is not kept alive, nor its old values asked for."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.op import above

UNUSED, SHAPE, USED = 0, 1, 2

_SHAPE_ATTRIBUTES = frozenset({"shape", "dtype", "ndim", "size"})


def reads(rule: Callable[..., Any], skip: int, count: int) -> tuple[int, ...]:
    """How ``rule`` uses each of its ``count`` parameters after the first ``skip``: not, for its shape, or in full.

    Read off the rule's own code, so that an author declares nothing and an array that no rule reads is not kept alive.
    A parameter that no instruction names is not used. A Python whose instructions are not known uses everything.
    """
    code = getattr(rule, "__code__", None)
    if code is None or code.co_argcount < skip + count or sys.version_info >= (3, 15):
        return (USED,) * count
    names = code.co_varnames[skip : skip + count]
    use = {name: USED if name in code.co_cellvars else UNUSED for name in names}
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG")]
    for step, following in zip(steps, [*steps[1:], steps[-1]], strict=True):
        touched = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        for name in touched:
            # Only the last name that an instruction loads is what the next one asks for its shape.
            if isinstance(name, str) and name in use and "FAST" in step.opname:
                of_shape = following.opname == "LOAD_ATTR" and following.argval in _SHAPE_ATTRIBUTES
                plain = "LOAD_FAST" in step.opname and name is touched[-1] and of_shape
                use[name] = max(use[name], SHAPE if plain else USED)
    return tuple(use[name] for name in names)


def uses(op: Any) -> list[Any]:
    """How each rule of a Primitive uses ``(out, *inputs)``; None where there is no rule."""
    found: Any = op.__dict__.get("_uses")
    if found is None:
        count = 1 if op.variadic else 1 + len(op.rules)
        op._uses = found = [None if rule is None else reads(rule, 1 + op.variadic, count) for rule in op.rules]
    return found  # type: ignore[no-any-return]


_HANDING_ON = (lambda g: g).__code__.co_code


def hands_on(rule: Any) -> bool:
    """Whether a rule returns the cotangent itself and does nothing else, as those of ``x + y`` do."""
    return getattr(getattr(rule, "__code__", None), "co_code", None) == _HANDING_ON


class ShapeOnly:
    """Stands in for an input of which a rule reads nothing but the shape or dtype, so that its array may die."""

    __slots__ = ("dtype", "ndim", "shape", "size")

    def __init__(self, array: Any) -> None:
        if not isinstance(array, np.ndarray | np.generic):
            array = np.asarray(array)
        self.shape, self.ndim, self.dtype, self.size = array.shape, array.ndim, array.dtype, array.size


def _keep(op: Any, arrays: Sequence[Any], parents: Sequence[Any], out: Any) -> tuple[Any, ...]:
    """``(out, *inputs)`` with whatever no rule will read replaced by None, or by its shape alone."""
    if op.variadic:
        return (out if uses(op)[0][0] else None, *arrays)
    use = [UNUSED] * (1 + len(arrays))
    for parent, read in zip(parents, uses(op), strict=True):
        if parent is not None:
            use = [max(pair) for pair in zip(use, read, strict=True)]
    held = zip((out, *arrays), use, strict=True)
    return tuple([a if a is None or u == USED else ShapeOnly(a) if u == SHAPE else None for a, u in held])


above.keep = _keep
