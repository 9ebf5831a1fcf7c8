"""What the library promises about its speed, in one list, and what a run's figures say about each promise.

A promise names the part of the benchmarks, the cases, and what is divided by what; so one whose case, candidate or
rival was not measured is told as such and never passes by its absence. Figures are read from what a run stored, so the
list can be corrected without measuring anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import NUMPY_ALONE
from benchmarks.reference import CS231N, SMALL

__all__ = [
    "COMPILED",
    "HELD",
    "INSTRUCTIONS",
    "JITTED",
    "KERNELS",
    "PROMISES",
    "REPLAY",
    "TEMPORARIES",
    "Promise",
    "Verdict",
    "anchor",
    "judge",
]

COMPILED = "autodiff, compiled"
JITTED = "autodiff, jit"

#: Amounts that :mod:`benchmarks.memory` measures and a promise limits.
HELD = "bytes a node held by a recorded graph"
TEMPORARIES = "peak of a training step beyond parameters, gradients, optimiser state and batch"
REPLAY = "largest array allocated within a training step"

#: What :mod:`benchmarks.interpreter` counts.
INSTRUCTIONS = "bytecode instructions in a training step"

_CS231N = tuple(map(str, CS231N))
_NETS = (*_CS231N, *map(str, SMALL))
_CONVOLUTION = ("conv 3x3 32x16x32x32 -> 32",)
_BUT_CONVOLUTION = (
    "batchnorm 256x1024",
    "batchnorm 64x64x16x16",
    "layernorm 256x1024",
    "layernorm 32x128x512",
    "softmax cross-entropy 256x10",
    "softmax cross-entropy 256x1000",
    "softmax cross-entropy 64x32000",
    "dropout 256x1024",
    "max pool 2x2 32x32x32x32",
    "Adam, 349k parameters",
    "Adam, 4.2M parameters",
)
#: The rows of the table that the kernels are held to.
KERNELS = (*_BUT_CONVOLUTION, *_CONVOLUTION)


@dataclass(frozen=True)
class Promise:
    """One sentence about speed or memory, and where its figures are.

    Parameters
    ----------
    part : str
        The benchmark.
    cases : tuple of str
        Names of its cases; empty for every case in which both sides take part.
    at_most : float
        Of the ratio ``candidate / against``; or of the candidate's seconds or amount itself where there is no
        ``against``.
    candidate, against : str
    threads : tuple of int
        At how many threads it holds.
    what : str
        The amount, for promises that are not about time.
    """

    part: str
    cases: tuple[str, ...]
    at_most: float
    against: str = ""
    candidate: str = "autodiff"
    threads: tuple[int, ...] = (1,)
    what: str = ""


#: Chapter, then topic, then promises. A topic that is missed has a paragraph of its name on the page.
PROMISES: dict[str, dict[str, tuple[Promise, ...]]] = {
    "The eager engine": {
        "one element": (
            Promise("overhead", ("1 element",), 2.2, "NumPy by hand"),
            Promise("overhead", ("1 element",), 0.45, "PyTorch"),
        ),
        "elementwise arrays": (Promise("overhead", ("4,096 elements", "65,536 elements"), 1.2, "NumPy by hand"),),
        "scalar chain": (Promise("scalar_chain", ("h = h * w + b, 300 operations",), 0.8, "micrograd"),),
        "networks": (
            Promise("training", _NETS, 1.2, "careful NumPy"),
            Promise("training", _NETS, 0.75, "textbook NumPy"),
            Promise("solo", _CS231N, 0.75, "textbook NumPy"),
            Promise("training", _NETS, 0.85, "PyTorch"),
            Promise("training", _NETS, 1.0, "JAX jit"),
        ),
        "kernels in NumPy": (Promise("kernels", KERNELS, 1.2, "careful NumPy", NUMPY_ALONE),),
        "autograd and MyGrad": tuple(
            Promise(part, (), 1.0, rival)
            for rival in ("autograd", "MyGrad")
            for part in ("overhead", "training", "graphs", "jacobians")
        ),
        "a million nodes": (
            Promise("graphs", ("1,000,000 nodes",), 2e-6),
            Promise("memory", ("1,000,000 nodes",), 400, what=HELD),
        ),
    },
    "Record once, replay": {
        "compiled networks": (
            Promise("training", _CS231N, 0.9, "JAX jit", COMPILED),
            Promise("training", _CS231N, 0.6, "torch.compile", COMPILED),
            Promise("training", _NETS[len(_CS231N) :], 0.75, "JAX jit", COMPILED),
            Promise("training", _NETS, 0.95, "careful NumPy", COMPILED),
        ),
        "compiled memory": (
            Promise("memory", _NETS, 2**16, candidate=COMPILED, what=REPLAY),
            Promise("memory", _NETS, 0.8, "autodiff", COMPILED, what=TEMPORARIES),
        ),
    },
    "Kernels where NumPy cannot follow": {
        "compiled kernels": (
            Promise("kernels", _BUT_CONVOLUTION, 0.9, "PyTorch", threads=(1, 2)),
            Promise("kernels", _BUT_CONVOLUTION[-2:], 0.9, "PyTorch, fused", threads=(1, 2)),
        ),
        "convolution": (Promise("kernels", _CONVOLUTION, 1.5, "PyTorch", threads=(1, 2)),),
    },
}


@dataclass(frozen=True)
class Verdict:
    """One promise in one case: the figure, or None where it was not measured."""

    promise: Promise
    threads: int
    case: str
    measured: float | None

    @property
    def reached(self) -> bool:
        return self.measured is not None and self.measured <= self.promise.at_most


def anchor(topic: str) -> str:
    """Where the page tells a topic's limit: GitHub's anchor of the heading ``Limit: topic``."""
    return "limit-" + re.sub(r"[^a-z0-9-]", "", topic.lower().replace(" ", "-"))


def judge(promise: Promise, sections: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """Every case of a promise, in the promise's order.

    Parameters
    ----------
    sections : mapping
        What a run stored, by ``"part, threads"``.
    """
    found = []
    for threads in promise.threads:
        section = sections.get(f"{promise.part}, {threads}", {})
        rows: Sequence[Mapping[str, Any]] = section.get("rows", ())
        if promise.what:
            rows = [row for row in section.get("amounts", ()) if row["what"] == promise.what]
        by_case = {row["case"]: _figure(promise, row) for row in rows}
        cases = promise.cases or [case for case, figure in by_case.items() if figure is not None]
        found += [Verdict(promise, threads, case, by_case.get(case)) for case in cases]
    return found


def _figure(promise: Promise, row: Mapping[str, Any]) -> float | None:
    figures = row["values"] if promise.what else row["seconds"]
    ours = promise.candidate
    if ours == NUMPY_ALONE and ours not in figures:  # no kernels were there to switch off
        ours = "autodiff"
    if ours not in figures or (promise.against and promise.against not in figures):
        return None
    if not promise.against:
        return float(figures[ours] if promise.what else figures[ours]["median"])
    return float(figures[ours] / figures[promise.against] if promise.what else row["ratios"][ours][promise.against])
