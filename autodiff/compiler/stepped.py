"""The loop over a body as calls of a plan, one a step: where machine code is not to be had, or not of this body.

It takes the arrays that a native loop takes (``native.py``), so that whoever runs one may run the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from autodiff.compiler.emit import MISS, Code
from autodiff.compiler.layout import Pool, Scratch
from autodiff.compiler.listing import Listing
from autodiff.compiler.record import Unrecordable
from autodiff.fast.thresholds import THRESHOLDS

__all__ = ["Stepped"]


class Stepped:
    """A plan of one step, forward or ``back``, and the loop that calls it. It uses its body up."""

    def __init__(self, body: Any, back: bool) -> None:
        recorder = body.recorder
        if any(getattr(slot.value, "size", 0) > THRESHOLDS["SCANNED"].value for slot in recorder.slots):
            raise Unrecordable("an array of which the work takes longer than the calls")
        self.width, self.split, self.back = body.width, body.width + body.rows, back
        self.shapes = [slot.value.shape for slot in body.arguments]
        self.results = [slot.value.shape for slot in body.outs]
        # Numbers of the results that have a cotangent, and of the arguments that get one.
        self.seeded = [i for i, seed in enumerate(body.seeds) if seed is not None] if back else []
        self.wanted = [i for i, grad in enumerate(body.grads) if grad is not None] if back else []
        given = [*body.arguments, *(body.seeds[i] for i in self.seeded)]
        outputs = tuple([body.grads[i] for i in self.wanted] if back else body.outs)
        self.code = Code(Listing.of(recorder, given, outputs), "scan", Scratch(), Pool())
        self._lock = Lock()  # its scratch memory serves one call

    def __call__(self, length: int, reverse: bool, arrays: Sequence[Any]) -> Any:
        """Run it, and NumPy itself complains of what is to be complained of; MISS where a value decides otherwise than
        when the body was recorded.
        """
        count = len(self.shapes)
        rows = [(-1,)] * self.width + [(length,)] * (self.split - self.width) + [()] * (count - self.split)
        views = [a.reshape((*row, *shape)) for a, row, shape in zip(arrays, rows, self.shapes, strict=False)]
        with self._lock:
            return (self._backward if self.back else self._forward)(length, reverse, views, arrays[count:])

    def _at(self, views: list[Any], step: int, entry: int) -> list[Any]:
        """What the plan is given at a step: of the carry, of the rows, and what is closed over."""
        carry, rows = views[: self.width], views[self.width : self.split]
        return [*[c[step, ...] for c in carry], *[x[entry, ...] for x in rows], *views[self.split :]]

    def _forward(self, length: int, reverse: bool, views: list[Any], arrays: Sequence[Any]) -> Any:
        width, run = self.width, self.code.run
        ys = [a.reshape(-1, *shape) for a, shape in zip(arrays, self.results[width:], strict=True)]
        for step in range(length):
            entry = length - 1 - step if reverse else step
            found = run(*self._at(views, step, entry))
            if found is MISS:
                return MISS
            for place, value in zip(views, found[:width], strict=False):
                place[step + 1] = value
            for place, value in zip(ys, found[width:], strict=True):
                place[entry] = value
        return 0

    def _backward(self, length: int, reverse: bool, views: list[Any], arrays: Sequence[Any]) -> Any:
        width, run = self.width, self.code.run
        held, given = dict(zip(self.seeded, arrays, strict=False)), iter(arrays[len(self.seeded) :])
        cotangents = {i: held[i].reshape(self.results[i]).copy() for i in self.seeded if i < width}
        entries = [held[i].reshape(length, *self.results[i]) for i in self.seeded if i >= width]
        sums = {i: next(given).reshape(views[i].shape) for i in self.wanted if i >= width}
        for step in reversed(range(length)):
            entry = length - 1 - step if reverse else step
            found = run(*self._at(views, step, entry), *cotangents.values(), *[e[entry, ...] for e in entries])
            if found is MISS:
                return MISS
            grads = dict(zip(self.wanted, found, strict=True))
            for i in cotangents:
                cotangents[i] = np.asarray(grads[i]) if i in grads else np.zeros(self.shapes[i], views[i].dtype)
            for i, place in sums.items():
                if i < self.split:
                    place[entry] = grads[i]
                else:
                    place += grads[i]
        for i, value in cotangents.items():
            held[i][...] = value.reshape(-1)
        return 0
