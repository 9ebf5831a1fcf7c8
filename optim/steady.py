"""The ordinary step of an optimiser: everything is as the last step left it, and one look tells.

A step of a small network is thirty microseconds of arithmetic in NumPy and four in a kernel; to ask parameter by
parameter whether it, its array, its gradient and its state are what they were takes longer, not least since the rest of
a training step has driven the code that asks out of the processor's caches (``benchmarks/training.py``). So a step that
found all of it in order notes what it found in one list, and the next one holds against that list, by identity and
without a line of Python for each parameter, what there is then. If anything is another object, the record is dropped,
and the step is taken the long way, which looks closer and makes a new record.

Such a step writes new values over the old ones. It may do so only where nobody but the parameters holds them, which the
reference counts tell.
"""

from __future__ import annotations

import operator
from collections import deque
from itertools import chain, repeat
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import kernels

if TYPE_CHECKING:
    from optim.buckets import Bucket
    from optim.optimizer import Optimizer

__all__ = ["Steady"]

_DATA = operator.attrgetter("_data")
_set: Any = operator.setitem
_GRADIENT = operator.attrgetter("_node._grad")


class _Part:
    """One bucket in a record.

    Attributes
    ----------
    first, last : int
        Its parameters are ``params[first:last]`` of the record's.
    place : slice
        Where the numbers of their steps stand in the record's list.
    turn
        What the formula was told at the last step, and is told again unless the optimiser counts its steps.
    run : callable or None
        Takes the step at once; None where the optimiser walks in blocks.
    """

    __slots__ = ("bucket", "first", "group", "last", "line", "place", "run", "turn")

    def __init__(self, group: dict[str, Any], bucket: Bucket, first: int, run: Any, turn: Any) -> None:
        assert bucket.values is not None
        self.group, self.bucket, self.line = group, bucket, bucket.values.line
        self.first, self.last = first, first + len(bucket.params)
        self.place = slice(0, 0)
        self.run, self.turn = run, turn


class Steady:
    """What the next step will find, if nothing happens to the optimiser, its parameters and its state but new
    gradients.

    Attributes
    ----------
    expected : list
        Parameter groups, parameters, their arrays, their states, the arrays in these, and the numbers of steps.
    arrays, counts : list
        The arrays that new values are written to, and how many references there are to each while the parameters alone
        hold them.
    """

    __slots__ = ("arrays", "counts", "expected", "holders", "keys", "names", "params", "parts", "plain", "setting")

    def __init__(self, optimizer: Optimizer, work: list[tuple[dict[str, Any], Bucket]]) -> None:
        """``work``: groups and their buckets, as a step left them that wrote over the values of all."""
        buckets = [bucket for _, bucket in work]
        self.params = [p for bucket in buckets for p in bucket.params]
        self.plain = [np.ndarray] * len(self.params)
        self.names = list(map(optimizer._slots, optimizer.param_groups))
        self.setting = kernels.setting()
        self.parts: list[_Part] = []
        for group, bucket in work:
            assert bucket.values is not None
            run = optimizer._in_one_pass(group, bucket.values.line, bucket.used)
            turn = bucket.states[0]["step"] if optimizer._counts else optimizer._begin(group, bucket.states)[0]
            self.parts.append(_Part(group, bucket, self.parts[-1].last if self.parts else 0, run, turn))
        states = [state for bucket in buckets for state in bucket.states]
        views = [view for bucket in buckets for view in bucket.values.views]  # type: ignore[union-attr]
        self.holders, self.keys = [s for b in buckets for s in b.holders], [key for b in buckets for key in b.keys]
        held: list[Any] = [array for bucket in buckets for array in bucket.held]
        if optimizer._counts:
            self.holders += states
            self.keys += ["step"] * len(states)
            held += [state["step"] for state in states]
        self.expected = [*optimizer.param_groups, *self.params, *views, *states, *held]
        for part in self.parts:
            start = len(self.expected) - len(self.params)
            part.place = slice(start + part.first, start + part.last)
        self.arrays = [array for bucket in buckets for array in (bucket.values.flat, *bucket.values.views)]  # type: ignore[union-attr]
        del views
        self.counts = list(map(getrefcount, self.arrays))

    @classmethod
    def of(cls, optimizer: Optimizer, work: list[tuple[dict[str, Any], Bucket]]) -> Steady | None:
        """The record after such a step; None where the next one must take the long way all the same."""
        for _, bucket in work:
            steps = [state.get("step") for state in bucket.states] if optimizer._counts else [0]
            if not bucket.ours or steps[0].__class__ is not int or steps.count(steps[0]) != len(steps):
                return None
        return cls(optimizer, work)

    def step(self, optimizer: Optimizer) -> bool:
        """Take a step; False, and nothing has been changed, if not everything is as it was left."""
        groups, params = optimizer.param_groups, self.params
        given = [group["params"] for group in groups]
        states, held = map(optimizer.state.get, params), map(dict.get, self.holders, self.keys)
        if not all(map(operator.is_, self.expected, chain(groups, *given, map(_DATA, params), states, held))):
            return False
        try:
            grads = list(map(_GRADIENT, params))
        except AttributeError:
            return False  # one that is no leaf any more, or asks for no gradient
        if list(map(type, grads)) != self.plain:
            grads = [p._node.grad for p in params]  # a number becomes an array
            if list(map(type, grads)) != self.plain:
                return False
        if (
            list(map(getrefcount, self.arrays)) != self.counts
            or list(map(optimizer._slots, groups)) != self.names
            or kernels.setting() != self.setting
        ):
            return False
        for part in self.parts:
            turn, bucket, line = part.turn, part.bucket, part.line
            if optimizer._counts:
                part.turn = turn = turn + 1
                deque(map(_set, bucket.states, repeat("step"), repeat(turn)), maxlen=0)
                self.expected[part.place] = [turn] * len(bucket.states)
            g = bucket.joined(grads[part.first : part.last])
            if part.run is not None and g.flags.writeable:
                part.run(turn, g)
            else:
                optimizer._walk(part.group, turn, line, g, line, bucket.used, 0, line.size)
        return True
