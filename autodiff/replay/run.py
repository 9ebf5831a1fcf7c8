"""What the code of a step may have read: names and code are noted while the recorded call runs.

What is within reach of a step is more than it looks at; only what its code mentions decides whether a replay holds
(``surroundings.py``).
"""

from __future__ import annotations

import dis
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["LIBRARIES", "Run", "is_users", "watched_run", "words"]

LIBRARIES = sys.stdlib_module_names | {
    "numpy",
    "scipy",
    "autodiff",
    "nn",
    "optim",
    "torch",
    "jax",
    "numba",
    "llvmlite",
    "matplotlib",
    "pytest",
    "hypothesis",
}
_CLOCKS = {
    ("time", f"{clock}{more}")
    for clock in ("monotonic", "perf_counter", "process_time", "thread_time", "time")
    for more in ("", "_ns")
}
_CLOCKS |= {
    ("posix", "urandom"),
    ("nt", "urandom"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("date", "today"),
    ("datetime", "today"),
}
# Methods of an array that tell its values.
_TELLING = {
    "all",
    "any",
    "argmax",
    "argmin",
    "item",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "tobytes",
    "tolist",
    "trace",
    "var",
}


class Run:
    """What the code that ran inside a block may have read.

    Attributes
    ----------
    names : set of str
        Every attribute and global name that it mentions, and every string that may be such a name.
    own : set of str
        Names that the user's own code mentions.
    codes : dict of code to dict
        All code objects that ran, with their global names.
    called : set of code
        Those that the user's own code called, and not the interpreter or a library, as it does an allocator or a
        destructor.
    arrays : dict of int to numpy.ndarray
        By identity, arrays whose values the user's code asked for by a method.
    clock : str
        A function that gives something else in every call, if the user's code has called one.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.own: set[str] = set()
        self.codes: dict[types.CodeType, dict[str, Any]] = {}
        self.called: set[types.CodeType] = set()
        self.arrays: dict[int, Any] = {}
        self.clock = ""

    def note(self, frame: types.FrameType, event: str, argument: Any) -> None:
        """For ``sys.setprofile``."""
        if event == "call":
            code = frame.f_code
            if code not in self.codes:
                self.codes[code] = frame.f_globals
                if _calls(frame.f_back):
                    self.called.add(code)
                self.names.update(code.co_names, words(code))
                if is_users(frame.f_globals):
                    self.own.update(code.co_names)
        elif event == "c_call":
            if isinstance(owner := argument.__self__, np.ndarray):
                if argument.__name__ in _TELLING and is_users(frame.f_globals):
                    self.arrays[id(owner)] = owner
            elif (getattr(owner, "__name__", ""), argument.__name__) in _CLOCKS and is_users(frame.f_globals):
                self.clock = argument.__name__

    def ran(self, code: types.CodeType) -> bool:
        """Whether this code, or code inside it, ran."""
        return code in self.codes or any(self.ran(c) for c in code.co_consts if isinstance(c, types.CodeType))


def is_users(table: dict[str, Any]) -> bool:
    """Whether global names are those of the user's code; code that we write has none of its own."""
    name = table.get("__name__")
    return isinstance(name, str) and name.partition(".")[0] not in LIBRARIES


def _calls(frame: types.FrameType | None) -> bool:
    """Whether a frame is one of the user's that is at a call."""
    if frame is None or not is_users(frame.f_globals):
        return False
    at, code = frame.f_lasti, frame.f_code.co_code
    while at > 0 and dis.opname[code[at]] == "CACHE":  # that follows the instruction
        at -= 2
    return dis.opname[code[at]].startswith("CALL")


def words(code: types.CodeType) -> Iterator[str]:
    """The constants of a function that may be names."""
    for constant in code.co_consts:
        for word in constant if isinstance(constant, (tuple, frozenset)) else (constant,):
            if isinstance(word, str) and word.isidentifier():
                yield word


@contextmanager
def watched_run() -> Iterator[Run]:
    """Note what the code that runs inside the block may read."""
    run = Run()
    before = sys.getprofile()
    sys.setprofile(run.note)
    try:
        yield run
    finally:
        if before is None or callable(before):
            sys.setprofile(before)
        else:  # cProfile's, until Python 3.12, which only takes its place itself
            before.enable()
