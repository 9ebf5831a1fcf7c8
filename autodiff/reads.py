"""Which inputs a rule reads: an array that no rule reads is not kept alive, nor its old values asked for."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from typing import Any

from autodiff.core.op import SHAPE, UNUSED, USED, above

__all__ = ["reads"]

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


above.reads = reads
