"""Threads that share one kernel call, with a hand-over of a microsecond instead of fifty.

A pool of Python threads takes 40 to 70 us to start a share and to learn of its end (the interpreter's lock changes
hands four times, and threads are put to sleep and woken): as much as half the work that there is to share in 256x1024
elements. So helpers wait within compiled code, where they need no lock: they look into the team's memory again and
again, giving way to any thread that wants the core, and only after ``PATIENCE`` looks in vain do they go to sleep. The
caller takes shares itself until none is left, so a helper that sleeps, is late or does not exist (in a process that has
been forked) costs time and nothing else. It is what OpenMP does, which numba's layers could not be used for: GNU's ends
a forked process, ``workqueue`` a process whose threads call at the same time, and TBB is a package of its own.

The arguments of a kernel lie in a structure on the caller's stack, with the address of its machine code; a function
without types reads them there and calls the kernel (:func:`_packed`); helpers are told the addresses of both.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from autodiff.extras import require
from autodiff.kernels import THREADS
from autodiff.kernels.jit import jit

ir, cgutils = require("llvmlite.ir"), require("numba.core.cgutils")
typeof, types, intrinsic = require("numba").typeof, require("numba.core.types"), require("numba.extending").intrinsic
compute_fingerprint = require("numba._dispatcher").compute_fingerprint

# Looks in vain, about 0.4 us each, after which a helper goes to sleep.
PATIENCE = 500

# Places in a team's memory, those that several threads write to on cache lines of their own.
_OPEN, _NEXT, _INSIDE, _STOP = 0, 16, 32, 48
_FUNCTION, _DATA, _COUNT, _SIZE, _FAILED = 1, 2, 3, 4, 5
_ASLEEP = 64

_WORD = ir.IntType(64)
_YIELDS = hasattr(os, "sched_yield")


def _element(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])


@intrinsic
def _load(typing, team, place):  # type: ignore[no-untyped-def]
    """``team[place]`` as it is now, whoever wrote it; no load or store moves across."""

    def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.load_atomic(_element(context, builder, signature.args[0], *arguments), "seq_cst", 8)

    return types.int64(team, types.int64), emit


@intrinsic
def _store(typing, team, place, value):  # type: ignore[no-untyped-def]
    def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        builder.store_atomic(arguments[2], _element(context, builder, signature.args[0], *arguments[:2]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(team, types.int64, types.int64), emit


@intrinsic
def _add(typing, team, place, value):  # type: ignore[no-untyped-def]
    """Add to ``team[place]`` and return what it was, as one step."""

    def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.atomic_rmw(
            "add", _element(context, builder, signature.args[0], *arguments[:2]), arguments[2], "seq_cst"
        )

    return types.int64(team, types.int64, types.int64), emit


@intrinsic
def _give_way(typing):  # type: ignore[no-untyped-def]
    """Let another thread have the core, if one wants it."""

    def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        if _YIELDS:
            builder.call(
                cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield"), []
            )
        return context.get_dummy_value()

    return types.void(), emit


_CALLED = ir.FunctionType(_WORD, [_WORD, _WORD, _WORD])


@intrinsic
def _call(typing, function, data, start, stop):  # type: ignore[no-untyped-def]
    """Call what :func:`_packed` made; 0 unless the kernel raised."""

    def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.call(builder.inttoptr(arguments[0], _CALLED.as_pointer()), arguments[1:])

    return types.int64(types.int64, types.int64, types.int64, types.int64), emit


@intrinsic
def _packed(typing, kernel, arguments):  # type: ignore[no-untyped-def]
    """The addresses of a function ``(data, start, stop)`` that calls ``kernel(start, stop, *arguments)``, and of its
    data, on the caller's stack; ``kernel`` is the address of machine code.
    """
    taken = (types.int64, types.int64, *arguments.types)

    def emit(context, builder, signature, values):  # type: ignore[no-untyped-def]
        address = cgutils.alloca_once_value(builder, values[0])
        given = cgutils.alloca_once_value(builder, values[1])
        pair = ir.LiteralStructType([address.type, given.type])
        structure = cgutils.alloca_once(builder, pair)
        builder.store(address, builder.gep(structure, [ir.IntType(32)(0), ir.IntType(32)(0)]))
        builder.store(given, builder.gep(structure, [ir.IntType(32)(0), ir.IntType(32)(1)]))

        thunk = ir.Function(builder.module, _CALLED, f"{builder.function.name}.packed")
        thunk.linkage = "internal"
        inside = ir.IRBuilder(thunk.append_basic_block("entry"))
        data, start, stop = thunk.args
        place, found = cgutils.unpack_tuple(inside, inside.load(inside.inttoptr(data, pair.as_pointer())))
        each = [start, stop, *cgutils.unpack_tuple(inside, inside.load(found))]
        called = context.call_conv.get_function_type(types.none, taken).as_pointer()
        callee = inside.inttoptr(inside.load(place), called)
        status, _ = context.call_conv.call_function(inside, callee, types.none, taken, each)
        inside.ret(inside.zext(status.is_error, _WORD))

        both = [builder.ptrtoint(thunk, _WORD), builder.ptrtoint(structure, _WORD)]
        return context.make_tuple(builder, signature.return_type, both)

    return types.UniTuple(types.int64, 2)(types.int64, arguments), emit


@jit
def _work(team, function, data, count, size):  # type: ignore[no-untyped-def]
    """Take shares until none is left; how many of them failed."""
    failed = 0
    while True:
        start = _add(team, _NEXT, 1) * size
        if start >= count:
            return failed
        failed += _call(function, data, start, min(start + size, count))


@jit
def _together(team, kernel, count, size, arguments):  # type: ignore[no-untyped-def]
    """``kernel(start, stop, *arguments)`` for every share of ``size`` of ``range(count)``, with those helpers that are
    there; how many shares failed.

    A helper that has been counted in before the work is closed is waited for; one that comes later finds it closed. So
    none reads what the next call writes here.
    """
    function, data = _packed(kernel, arguments)
    team[_FUNCTION], team[_DATA], team[_COUNT], team[_SIZE], team[_FAILED] = function, data, count, size, 0
    _store(team, _NEXT, 0)
    _store(team, _OPEN, 1)
    failed = _work(team, function, data, count, size)
    _store(team, _OPEN, 0)
    while _load(team, _INSIDE):
        _give_way()
    return failed + _load(team, _FAILED)


@jit
def _serve(team, asleep, patience):  # type: ignore[no-untyped-def]
    """What a helper does until it has waited in vain for too long, or is told to stop (True)."""
    idle = 0
    while idle < patience:
        if _load(team, _OPEN):
            _add(team, _INSIDE, 1)
            if _load(team, _OPEN):
                failed = _work(team, team[_FUNCTION], team[_DATA], team[_COUNT], team[_SIZE])
                if failed:
                    _add(team, _FAILED, failed)
                idle = 0
            _add(team, _INSIDE, -1)
        if _load(team, _STOP):
            return True
        _give_way()
        idle += 1
    _store(team, asleep, 1)
    return False


def kernel(function: Any = None, *, fastmath: Any = None, cuts: int = 2) -> Any:
    """Compile a kernel ``f(start, stop, *arguments)``, which returns nothing.

    Parameters
    ----------
    fastmath : set of str, optional
        As :func:`~autodiff.kernels.jit.jit` takes it.
    cuts : int
        Into so many shares every thread's part is cut: whoever is done earlier takes more of them.
    """
    if function is None:
        return lambda f: kernel(f, fastmath=fastmath, cuts=cuts)
    compiled = jit(function, **({} if fastmath is None else {"fastmath": fastmath}))
    compiled.cuts, compiled.addresses = cuts, {}
    return compiled


def _address(kernel: Any, arguments: tuple[Any, ...]) -> int:
    """Where the machine code for these arguments lies, which is the one that a single thread runs.

    A copy of the kernel compiled into :func:`_together` would round otherwise than the kernel, and otherwise again once
    either comes from disk.
    """
    key = compute_fingerprint(arguments)
    found = kernel.addresses.get(key)
    if found is None:
        taken = (types.int64, types.int64, *map(typeof, arguments))
        kernel.compile(taken)
        compiled = kernel.overloads[taken]
        found = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        kernel.addresses[key] = found
    return int(found)


class Team:
    """Helpers beside whoever calls; one caller at a time.

    Parameters
    ----------
    threads : int
        The caller included.
    """

    def __init__(self, threads: int) -> None:
        self.memory = np.zeros(_ASLEEP + threads, np.int64)
        self._caller = threading.Lock()
        self._doors: list[threading.Lock] = []
        self._helpers: list[threading.Thread] = []
        for number in range(threads - 1):
            self._doors.append(door := threading.Lock())
            door.acquire()
            where = (self.memory, _ASLEEP + number, door)
            self._helpers.append(
                helper := threading.Thread(target=_help, args=where, name=f"{THREADS}-{number + 1}", daemon=True)
            )
            helper.start()

    def call(self, kernel: Any, count: int, size: int, *arguments: Any) -> None:
        """A kernel for ``range(count)``, in shares of ``size``; the caller does it alone where another thread is
        calling already.

        Raises
        ------
        MemoryError
            If the kernel could not allocate what it works with.
        """
        address = _address(kernel, arguments)
        if not self._caller.acquire(blocking=False):
            failed = _together(np.zeros(_ASLEEP, np.int64), address, count, size, arguments)
        else:
            try:
                self._wake()
                failed = _together(self.memory, address, count, size, arguments)
            finally:
                self._caller.release()
        if failed:
            raise MemoryError("a compiled kernel could not allocate its working memory")

    def _wake(self) -> None:
        for number, door in enumerate(self._doors, _ASLEEP):
            if self.memory[number]:
                self.memory[number] = 0
                door.release()

    def dismiss(self) -> None:
        """Let the helpers end, and wait for that."""
        with self._caller:
            self.memory[_STOP] = 1
            for helper in self._helpers:
                # One may be about to fall asleep.
                while helper.is_alive():
                    self._wake()
                    helper.join(0.01)


def _help(memory: Any, asleep: int, door: threading.Lock) -> None:
    while not _serve(memory, asleep, PATIENCE):
        door.acquire()
