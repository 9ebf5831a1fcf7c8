"""An optimiser's step with everything that does not change from step to step looked up beforehand, for
``autodiff.compile``.

An ordinary step asks every time whether a graph or anybody else still needs the old values, and joins the gradients of
small parameters. A compiled step has no graph, and its plan knows where the gradients will lie. So the new values
overwrite the old ones, the parts that the formula is applied to are cut once, and gradients of small parameters are
written side by side from the beginning. The formula itself is the optimiser's own, and its options and counters are
read where they always are, so that the bits are the same.

Whoever holds ``p.data`` from before keeps the old values: their array is noticed by its reference count, and left to
them.
"""

from __future__ import annotations

import operator
import sys
from typing import Any

import numpy as np

from autodiff import kernels

__all__ = ["PreparedStep", "runs_of"]


class _Part:
    """One bucket: its vector, the parameters' views of it, and the pieces that the formula is applied to.

    ``pass_`` is the optimiser's function for all of it at once, which takes the place of the pieces where there is one.
    """

    __slots__ = ("bucket", "counts", "flat", "gradient", "group", "pass_", "pieces", "slots", "views")

    counts: list[int]
    pass_: Any
    slots: list[Any]
    views: list[Any]

    def __init__(self, group: Any, bucket: Any) -> None:
        self.group = group
        self.bucket = bucket
        self.gradient: Any = None
        self.flat: Any = None
        self.pass_ = None
        self.pieces: list[Any] = []


def _counts(part: _Part) -> list[int]:
    """How many references there are to the vector and to each view of it; a function of its own, so that no local name
    adds to them.
    """
    return [sys.getrefcount(part.flat), *map(sys.getrefcount, part.views)]


def runs_of(turns: list[Any], grads: list[Any]) -> list[tuple[int, int, Any]]:
    """Neighbours with gradients and at the same turn, which are updated by the same calls: (first, last + 1, turn)."""
    runs: list[tuple[int, int, Any]] = []
    for i, (turn, g) in enumerate(zip(turns, grads, strict=True)):
        if g is None:
            continue
        if runs and runs[-1][1] == i and runs[-1][2] == turn:
            runs[-1] = (runs[-1][0], i + 1, turn)
        else:
            runs.append((i, i + 1, turn))
    return runs


class PreparedStep:
    """The step of one optimiser, for gradients that come to lie at known places.

    Parameters
    ----------
    optimizer : Optimizer
        After a step, so that its state is there.
    block : int
        Elements worked on at once.
    """

    def __init__(self, optimizer: Any, block: int) -> None:
        self.optimizer = optimizer
        self.block = block
        self.members = [(id(group), len(group["params"])) for group in optimizer.param_groups]
        self.parts = [_Part(group, bucket) for group in optimizer.param_groups for bucket in optimizer._plan(group)]

    def groups(self) -> list[list[Any]]:
        """The parameters, in lists whose gradients are to lie side by side in one vector each."""
        return [list(part.bucket.params) for part in self.parts]

    def attach(self, gradients: list[Any]) -> None:
        """Take gradients from these vectors from now on, one for each of :meth:`groups`."""
        for part, gradient in zip(self.parts, gradients, strict=True):
            part.gradient = gradient
            if part.flat is None:
                self._settle(part)
                self._look_up_state(part)
            self._cut(part)

    def _settle(self, part: _Part) -> None:
        """Give the parameters a vector that nobody else holds, and cut it up."""
        bucket = part.bucket
        self.optimizer._steady = None  # which holds the arrays that the parameters leave
        part.pieces = []
        part.flat = flat = np.concatenate([p.data.ravel() for p in bucket.params])
        part.views = bucket.cut(flat)
        for p, view in zip(bucket.params, part.views, strict=True):
            p.data = view
        bucket.adopt(flat, part.views)

    def _cut(self, part: _Part) -> None:
        flat, dtype, scratch = part.flat, part.bucket.dtype, self.optimizer._scratch_of
        part.pieces = []
        part.pass_ = self.optimizer._in_one_pass(part.group, flat, part.slots)
        if part.pass_ is not None:
            return
        for low in range(0, flat.size, self.block):
            piece = slice(low, min(low + self.block, flat.size))
            values, length = flat[piece], piece.stop - low
            part.pieces.append((values, part.gradient[piece], [s[piece] for s in part.slots], scratch(dtype, length)))

    def _look_up_state(self, part: _Part) -> None:
        """Once counters have been advanced, as an optimiser may tell its first step from whether there is state."""
        optimizer, bucket = self.optimizer, part.bucket
        names = optimizer._slots(part.group)
        states = [optimizer.state.setdefault(p, {}) for p in bucket.params]
        for name in names:
            optimizer._adopt(part.group, bucket, name, states, part.views)
        bucket.remember(names, states)
        part.slots = bucket.used

    def gradients(self) -> list[Any]:
        """The vectors that gradients are taken from."""
        return [part.gradient for part in self.parts]

    def seal(self) -> None:
        """From now on, whoever takes a reference to a parameter's array is somebody else."""
        for part in self.parts:
            part.counts = _counts(part)

    def secure(self) -> bool:
        """Before a replay: see that the parameters lie where the pieces were cut, and that nobody else holds that.

        Returns
        -------
        bool
            Whether they have been moved; :meth:`seal` must be called then, once all references to their new arrays have
            been taken.
        """
        moved = False
        for part in self.parts:
            bound = [p._data for p in part.bucket.params]
            there = all(map(operator.is_, bound, part.views))
            del bound
            if not there or _counts(part) != part.counts:
                self._settle(part)
                self._cut(part)
                moved = True
        return moved

    def step(self) -> None:
        """:meth:`Optimizer.step`, to the same bits."""
        optimizer = self.optimizer
        if [(id(group), len(group["params"])) for group in optimizer.param_groups] != self.members:
            optimizer.step()  # parameters have been added since
            return
        begin, update, held = optimizer._begin, optimizer._update, optimizer.state
        for part in self.parts:
            group, bucket = part.group, part.bucket
            if part.slots is bucket.used and bucket.known(optimizer._slots(group), held):
                turns = begin(group, bucket.states)
            else:
                turns = begin(group, [held.setdefault(p, {}) for p in bucket.params])
                self._look_up_state(part)
                self._cut(part)
            turn = turns[0]
            if turns.count(turn) != len(turns):
                # Parameters that have come to different numbers of steps.
                for first, last, turn in runs_of(turns, part.views):
                    start, stop = bucket.offsets[first], bucket.offsets[last]
                    optimizer._walk(
                        group, turn, part.flat, part.gradient[start:stop], part.flat, part.slots, start, stop
                    )
            elif part.pass_ is not None:
                part.pass_(turn, part.gradient)
            elif kernels.large(part.flat.size):
                # Whether something compiled takes the place of the formula is for the optimiser to say.
                optimizer._walk(group, turn, part.flat, part.gradient, part.flat, part.slots, 0, part.flat.size)
            else:
                for values, gradient, slots, scratch in part.pieces:
                    update(group, turn, values, gradient, values, slots, scratch)
        optimizer._step_count += 1
