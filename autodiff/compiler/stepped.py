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
        self.width, self.rows, self.back = body.width, body.rows, back
        self.seeded = [seed is not None for seed in body.seeds] if back else []
        self.wanted = [grad is not None for grad in body.grads] if back else []
        given = [*body.arguments, *(seed for seed in body.seeds if seed is not None)] if back else body.arguments
        self.shapes = [slot.value.shape for slot in given]
        self.results = [slot.value.shape for slot in body.outs]
        outputs = tuple([grad for grad in body.grads if grad is not None]) if back else tuple(body.outs)
        self.code = Code(Listing.of(recorder, given, outputs), "scan", Scratch(), Pool())
        self._lock = Lock()  # its scratch memory serves one call

    def __call__(self, length: int, reverse: bool, arrays: Sequence[Any]) -> Any:
        """Run it, and NumPy itself complains of what is to be complained of; MISS where a value decides otherwise than
        when the body was recorded.
        """
        with self._lock:
            return (self._backward if self.back else self._forward)(length, reverse, list(arrays))

    def _arguments(self, length: int, arrays: list[Any]) -> tuple[Any, Any, Any]:
        split = self.width + self.rows
        shapes = self.shapes
        carry = [a.reshape(-1, *shape) for a, shape in zip(arrays[: self.width], shapes, strict=False)]
        rows = zip(arrays[self.width : split], shapes[self.width : split], strict=True)
        closed = zip(arrays[split:], shapes[split:], strict=False)
        return carry, [a.reshape(length, *shape) for a, shape in rows], [a.reshape(shape) for a, shape in closed]

    def _forward(self, length: int, reverse: bool, arrays: list[Any]) -> Any:
        count = len(self.shapes)
        carries, rows, closed = self._arguments(length, arrays[:count])
        shapes = self.results[self.width :]
        ys = [a.reshape(-1, *shape) for a, shape in zip(arrays[count:], shapes, strict=True)]
        carry, run = [c[0, ...] for c in carries], self.code.run
        for step in range(length):
            entry = length - 1 - step if reverse else step
            found = run(*carry, *[x[entry, ...] for x in rows], *closed)
            if found is MISS:
                return MISS
            for place, value in zip(carries, found, strict=False):
                place[step + 1] = value
            for place, value in zip(ys, found[self.width :], strict=True):
                place[entry] = value
            carry = [c[step + 1, ...] for c in carries]
        return 0

    def _backward(self, length: int, reverse: bool, arrays: list[Any]) -> Any:
        width, split = self.width, self.width + self.rows
        count = len(self.wanted)
        carries, rows, closed = self._arguments(length, arrays[:count])
        seeds = sum(self.seeded)
        held = arrays[count : count + seeds]
        shapes = self.shapes[count:]
        moving = sum(self.seeded[:width])
        cotangents = [a.reshape(shape).copy() for a, shape in zip(held[:moving], shapes, strict=False)]
        entries = [a.reshape(length, *shape) for a, shape in zip(held[moving:], shapes[moving:], strict=True)]
        places: list[Any] = [None] * count
        given = iter(arrays[count + seeds :])
        for i, shape in enumerate(self.shapes[:count]):
            if i >= width and self.wanted[i]:
                places[i] = next(given).reshape((length, *shape) if i < split else shape)
        run = self.code.run
        for step in reversed(range(length)):
            entry = length - 1 - step if reverse else step
            here = [*[c[step, ...] for c in carries], *[x[entry, ...] for x in rows], *closed]
            found = run(*here, *cotangents, *[e[entry, ...] for e in entries])
            if found is MISS:
                return MISS
            sent = iter(found)
            grads = [next(sent) if wanted else None for wanted in self.wanted]
            cotangents = [
                np.zeros(self.shapes[i], carries[i].dtype) if grads[i] is None else np.asarray(grads[i])
                for i in range(width)
                if self.seeded[i]
            ]
            for i in range(width, count):
                if grads[i] is not None:
                    if i < split:
                        places[i][entry] = grads[i]
                    else:
                        places[i] += grads[i]
        for place, value in zip(held, cotangents, strict=False):
            place[...] = value.reshape(-1)
        return 0
