"""Private copies of the library's functions, which a recorder runs in the place of the functions themselves.

Their global names find a NumPy that tells what it makes (``np.empty``), and each other, so that nobody else's names are
touched and any number of threads may record at once. A few questions about whole arrays are put otherwise here: as
calls that a loop can make, or once at the end.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from autodiff import kernels, zero_times_infinity
from autodiff.batching import Batched, Unbatchable
from autodiff.compiler.passes.chains import compiles, least
from autodiff.compiler.record import SHAPED, Recorder, Unrecordable, cleared
from autodiff.compiler.standin import Recorded, bare
from autodiff.core import backward
from autodiff.core.modes import ORDINARY, current_state, state_as
from autodiff.core.pytree import flatten
from autodiff.ops import common, elementwise, stable

__all__ = ["beginning", "in_one_call", "is_pure", "ours", "private", "recording", "vanished"]

_MAKERS = """arange array asanyarray asarray ascontiguousarray asfortranarray empty eye full identity ones require tri
    zeros""".split()

_active: ContextVar[Recorder | None] = ContextVar("autodiff_recorder", default=None)


def _nothing(*_: Any) -> None:
    """What NumPy calls while a function is recorded."""


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Private copies report to ``recorder``."""
    token = _active.set(recorder)
    try:
        # In a state that nobody asks for, any state that the function asks for is seen as a change.
        with np.errstate(all="call", call=_nothing):
            recorder.errors = np.geterr()
            yield
    finally:
        recorder.live = False
        _active.reset(token)


def _maker(original: Any) -> Any:
    def make(*args: Any, **kwargs: Any) -> Any:
        recorder = _active.get()
        if recorder is None or not recorder.live:
            return original(*bare(args), **bare(kwargs))
        return recorder.create(original, args, kwargs)

    return make


def _kernel_run(name: str, count: int, size: int, *arguments: Any, partial: Any = None) -> Any:
    recorder = _active.get()
    if recorder is None or not recorder.live:
        return kernels.run(name, count, size, *arguments, partial=partial)
    return recorder.kernel(kernels.run, (name, count, size, *arguments), partial)


def _quotient(g: Any, d: Any) -> Any:
    """A rule's division as elementwise calls alone, where a compiled loop will make them: a question about all divisors
    would cut that in two.
    """
    if _in_a_loop():
        with np.errstate(divide="ignore", invalid="ignore"):
            return g / d
    return common.branchless_quotient(g, d) if _loops_over(g, d) else _copied(common.quotient)(g, d)


def _quiet_product(g: Any, h: Any) -> Any:
    """Likewise."""
    if _in_a_loop() or _loops_over(g, h):
        return g * np.where(np.equal(g, 0), 0, h)
    return _copied(common.quiet_product)(g, h)


def _keep_zeros(g: Any, h: Any, rule: Any, saved: Any = (), attrs: Any = None, pointwise: bool = True) -> Any:
    """Likewise."""
    if not pointwise or not _loops_over(g, h):
        return _copied(zero_times_infinity.keep_zeros)(g, h, rule, saved, attrs, pointwise)
    flat = np.logical_and(np.isinf(g), np.equal(rule(1.0, *saved, **(attrs or {})), 0))
    return np.where(np.logical_and(np.logical_or(np.equal(g, 0), flat), np.isnan(h)), 0, h)


def _zeros(op: Any, g: Any, found: Any, *more: Any) -> Any:
    """Where zero times infinity may be looked for late a NaN stays in the place of a zero, and comes out at the end:
    rules are linear in the cotangent, so nothing but a forward value decides what of it is left out on the way.
    """
    recorder = _active.get()
    if recorder is not None and (recorder.loops or recorder.late):
        return found
    if op is not None and op.pointwise and not op.multiplies:
        return found
    if recorder is None or not recorder.live or op is None or not op.fused or op.pointwise or type(g) is not Recorded:
        return _own_zeros(op, g, found, *more)
    parts = [h for h in found if type(h) is Recorded and h.value.dtype.kind in "fc" and isinstance(h.value, np.ndarray)]
    parts = [h for h in parts if h.slot.storage is not g.slot.storage]  # in a cotangent of zeros there is no NaN
    if not all(h.slot.storage.made for h in parts):
        return _own_zeros(op, g, found, *more)
    if parts:
        # The question comes before the rule, which may then take the cotangent's place; and no answer undoes the code.
        before = len(recorder.ops)
        gone = recorder.call(vanished, (g,), {})
        recorder.ops.insert(min(recorder.begun, before), recorder.ops.pop())
        recorder.call(cleared, (gone, *parts), {})
    return found


@cache
def in_one_call(function: Any) -> Any:
    """A private copy of a pure function, or where that cannot be followed, one call of the function itself."""
    own = private(function)

    def run(*args: Any, **kwargs: Any) -> Any:
        recorder = _active.get()
        if recorder is None:
            return own(*args, **kwargs)
        before, refused = len(recorder.ops), recorder.refused
        try:
            return own(*args, **kwargs)
        except Exception as error:  # C code may have made one of its own of what was refused
            if not recorder.live or (recorder.refused == refused and not isinstance(error, Unrecordable)):
                raise
            values, _ = flatten((args, kwargs))
            if any(isinstance(value, Batched) for value in values):
                raise Unbatchable from None
            if any(hasattr(value, "_node") for value in values):
                raise
            del recorder.ops[before:]
            recorder.refused = refused
            return recorder.call(alone, args, kwargs)

    def alone(*args: Any, **kwargs: Any) -> Any:
        """The function, whose own operations are nobody's to follow."""
        with state_as(replace(current_state() or ORDINARY, tracer=None)):
            found = function(*args, **kwargs)
        return getattr(found, "_data", found)

    _copies[run] = run  # it follows by itself
    return run if own is not None else None


def beginning(backward: Any) -> Any:
    """A hand-derived backward that tells the recorder where it begins."""

    def run(g: Any, residuals: Any, needs: Any) -> Any:
        recorder = _active.get()
        if recorder is not None:
            recorder.begun = len(recorder.ops)
        return backward(g, residuals, needs)

    return run


def _vanished(value: Any) -> bool:
    """One question in one call, answered alike at nearly every step."""
    recorder = _active.get()
    if recorder is None or not recorder.live or type(value) is not Recorded:
        return zero_times_infinity.vanished(value)
    return bool(recorder.call(vanished, (value,), {}))


def vanished(value: Any) -> Any:
    """Whether there is nothing but zeros, as a value of the record."""
    return np.bool_(value.size > 0 and not value.any())


def _tanh_slope_of_few(out: Any, x: Any) -> Any:
    """Numbers one by one, in one call."""
    recorder = _active.get()
    if recorder is None or not recorder.live:
        return elementwise._tanh_slope_of_few(out, x)
    if recorder.loops:
        return np.exp(np.abs(x) * -2) * (np.abs(out) + 1) ** 2
    return recorder.call(elementwise._tanh_slope_of_few, (out, x), {})


def _of(op: Any, *args: Any) -> Any:
    """The forward of an operation that a rule asks for."""
    return op.function(*args) if any(hasattr(a, "_node") for a in args) else in_one_call(op.forward)(*args)


def _is_without_zeros(x: Any) -> bool:
    """A question that is not asked in a loop, where the answer no is always right."""
    return not _in_a_loop() and bool(_copied(elementwise._is_without_zeros)(x))


def _in_a_loop() -> bool:
    recorder = _active.get()
    return recorder is not None and recorder.loops


def _loops_over(g: Any, d: Any) -> bool:
    values = bare(g), bare(d)
    if type(d) is not Recorded or not all(
        isinstance(v, np.ndarray | np.floating) and v.dtype.kind == "f" for v in values
    ):
        return False
    full = values[1].size
    return full >= least() and full == np.broadcast(*values).size and compiles()


class _Namespace:
    """A module of the library, or NumPy, as private copies see it."""

    def __init__(self, module: types.ModuleType) -> None:
        self.__dict__["__module"] = module

    def __getattr__(self, name: str) -> Any:
        found = private(getattr(self.__dict__["__module"], name))
        self.__dict__[name] = found
        return found


class _Globals(dict[str, Any]):
    """A module's global names as private copies see them, each when it is first looked up."""

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__(__builtins__=names["__builtins__"])
        self.names = names

    def __missing__(self, name: str) -> Any:
        return private(self.names[name])


_hooks = copy.copy(backward.above)
_copies: dict[Any, Any] = {
    backward.above: _hooks,
    np.lib.stride_tricks.as_strided: _maker(np.lib.stride_tricks.as_strided),
    kernels.run: _kernel_run,
    common.quiet_product: _quiet_product,
    common.quotient: _quotient,
    zero_times_infinity.keep_zeros: _keep_zeros,
    zero_times_infinity.vanished: _vanished,
    elementwise._tanh_slope_of_few: _tanh_slope_of_few,
    stable.of: _of,
    elementwise._is_without_zeros: _is_without_zeros,
    elementwise._is_one_block: lambda out: True,  # whoever makes loops of the calls chooses blocks himself
    **{getattr(np, name): _maker(getattr(np, name)) for name in _MAKERS},
}
_tables: dict[int, _Globals] = {}
_LIBRARY = ("autodiff", "nn", "optim")
_numpy = _Namespace(np)


def is_pure(function: Any) -> bool:
    """Whether it is known to depend on its arguments alone: a ufunc or a function of the library, or one of these with
    some arguments given.
    """
    if isinstance(function, partial):
        return is_pure(function.func)
    return isinstance(function, np.ufunc) or ours(function)


def ours(function: Any) -> bool:
    """Whether it is a Python function of a module of the library. What applies one operation (``fast``) is of none."""
    if not isinstance(function, types.FunctionType) or "__name__" not in function.__globals__:
        return False
    return (function.__module__ or "").partition(".")[0] in _LIBRARY


def private(value: Any) -> Any:
    """What stands for a function or module of the library, or for NumPy, in private copies; anything else as it is."""
    if value is np:
        return _numpy
    if isinstance(value, types.ModuleType):
        return _Namespace(value) if value.__name__.partition(".")[0] in (*_LIBRARY, "numpy") else value
    if isinstance(value, partial):
        return partial(private(value.func), *value.args, **value.keywords)
    try:
        found = _copies.get(value)
    except TypeError:  # not hashable
        return value
    if found is not None:
        return found
    if isinstance(value, type) and value.__bases__ == (object,) and value.__module__.startswith("autodiff.fused"):
        body = {name: private(item) for name, item in vars(value).items() if name not in ("__dict__", "__weakref__")}
        _copies[value] = made = type(value.__name__, (), body)
        return made
    return _copied(value, remembered=True) if ours(value) else value


@cache
def _copied(value: Any, remembered: bool = False) -> Any:
    """A private copy of a function."""
    names = value.__globals__
    table = _tables.setdefault(id(names), _Globals(names))
    cells = tuple([types.CellType() for _ in value.__closure__ or ()])
    made = types.FunctionType(value.__code__, table, value.__name__, value.__defaults__, cells or None)
    made.__kwdefaults__ = value.__kwdefaults__
    if remembered:
        _copies[value] = made
    for cell, theirs in zip(cells, value.__closure__ or (), strict=True):
        cell.cell_contents = private(theirs.cell_contents)
    return made


SHAPED |= {vanished, elementwise._tanh_slope_of_few}
_own_zeros = private(backward.above.zeros)
_hooks.zeros = _zeros
