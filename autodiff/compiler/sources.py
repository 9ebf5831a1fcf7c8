"""Where random numbers come from: who may be run once, and who draws anew in every call."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Sequence
from functools import partial
from time import sleep
from typing import Any

import numpy as np

from autodiff.compiler.check import same

__all__ = ["Sources", "collect", "looking"]

looking = threading.RLock()


class _Cycle:
    """Something that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


def collect() -> None:
    """Have the collector pass, which does nothing while it is at work for another thread."""
    for _ in range(200):
        reference = weakref.ref(_Cycle())
        gc.collect()
        if reference() is None:
            return
        sleep(0.002)


class Sources:
    """Where random numbers come from that are not declared: all that are alive, and how far each has come."""

    def __init__(self, declared: Sequence[Any] = ()) -> None:
        ours = {id(generator.bit_generator) for generator in declared}
        kinds = np.random.BitGenerator, random.Random
        # Its type is asked, not the thing: stand-ins for what a package deprecates warn when they are asked.
        with looking:
            everything = gc.get_objects()
            found = [thing for thing in everything if issubclass(type(thing), kinds) and id(thing) not in ours]
            del everything
        self._ids = ours | {id(thing) for thing in found}
        self._all: list[tuple[str, Any, Any]] = [  # in words, how to ask where it is, and how to put it back
            ("NumPy's global generator", np.random.get_state, np.random.set_state),
            ("Python's random module", random.getstate, random.setstate),
        ]
        for thing in found:
            if isinstance(thing, random.SystemRandom):
                continue
            words = f"a generator ({type(thing).__name__}) that is not declared"
            if isinstance(thing, random.Random):
                self._all.append((words, thing.getstate, thing.setstate))
            else:
                self._all.append((words, partial(getattr, thing, "state"), partial(setattr, thing, "state")))
        self._before = [state() for _, state, _ in self._all]

    def __contains__(self, thing: Any) -> bool:
        return id(thing) in self._ids

    def drawn(self) -> str:
        """In words, one that has moved on; of several threads it may have been another that drew."""
        for (words, state, _), before in zip(self._all, self._before, strict=True):
            if not same(state(), before):
                return words
        return ""

    def put_back(self) -> None:
        """Have all go on from where they were; among several threads nobody knows whose numbers these are."""
        if threading.active_count() == 1:
            for (_, _, back), before in zip(self._all, self._before, strict=True):
                back(before)
