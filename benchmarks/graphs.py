"""Growth: time per node from a thousand to a million nodes, and a training step's time by width and by batch.

A rival that takes seconds for one pass is timed once, in a process of its own; one that ends in a RecursionError is
told as such.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import rivals
from benchmarks.harness import Candidate, Contest, Disagreement
from benchmarks.targets import COMPILED

__all__ = ["B", "DEPTHS", "TAPED", "W", "build", "contests", "leaf_maker"]

DEPTHS = (1_000, 10_000, 100_000, 1_000_000)
WIDTHS = (32, 64, 128, 256, 512, 1024)
BATCHES = (16, 64, 256, 1024)

#: Fewest rounds by depth, where one pass takes seconds.
ROUNDS = {100_000: 7, 1_000_000: 3}

#: From this many nodes on these are timed once, and beyond the second number not at all.
ONCE = {"PyTorch": (1_000_000, 1_000_000), "autograd": (100_000, 1_000_000), "MyGrad": (100_000, 100_000)}

#: Libraries that record as they run.
TAPED = ("autodiff", "PyTorch", "autograd", "MyGrad", "micrograd")

#: Seconds after which a pass timed once is given up.
PATIENCE = 100.0

W, B = 0.999, 0.001


def _by_hand(depth: int) -> list[Any]:
    h, seen = 1.0, []
    for _ in range(depth // 2):
        seen.append(h)
        h = h * W + B
    g, gw, gb = 1.0, 0.0, 0.0
    for previous in reversed(seen):
        gb += g
        gw += g * previous
        g *= W
    return [h, gw, gb]


def build(h: Any, w: Any, b: Any, depth: int) -> Any:
    for _ in range(depth // 2):
        h = h * w + b
    return h


def leaf_maker(name: str) -> tuple[Callable[[float], Any], Callable[[Any], Any]]:
    """How a library makes a scalar leaf, and how its gradient is read."""
    if name == "autodiff":
        import autodiff as ad

        return lambda value: ad.Tensor(value, requires_grad=True), lambda leaf: leaf.grad
    if name == "PyTorch":
        t = rivals.torch()
        return lambda v: t.tensor(v, dtype=t.float64, requires_grad=True), lambda leaf: leaf.grad.item()
    if name == "MyGrad":
        return rivals.mygrad().tensor, lambda leaf: leaf.grad
    if name == "micrograd":
        return rivals.micrograd().Value, lambda leaf: leaf.grad
    raise ValueError(name)


def _taped(name: str, depth: int) -> Candidate:
    """The chain in a library that records as it runs."""
    leaf, gradient = leaf_maker(name)
    w, b = leaf(W), leaf(B)

    def run() -> Any:
        if name != "MyGrad":  # which forgets gradients by itself
            w.grad = b.grad = 0.0 if name == "micrograd" else None
        out = build(1.0, w, b, depth)
        out.backward()
        return out

    def result() -> list[Any]:
        out = run()
        return [out.data if name == "micrograd" else out.item(), gradient(w), gradient(b)]

    return Candidate(name, run, result)


def _autograd(depth: int) -> Candidate:
    rivals.autograd()
    core = rivals.load("autograd.core")

    def run() -> list[Any]:
        pull, out = core.make_vjp(lambda inputs: build(1.0, inputs[0], inputs[1], depth), (W, B))
        return [out, *pull(1.0)]

    return Candidate("autograd", run, run)


def _made(name: str, depth: int) -> Candidate:
    return _autograd(depth) if name == "autograd" else _taped(name, depth)


def _tried(name: str, depth: int) -> Candidate:
    """A rival that has shown that it bears this depth."""
    if depth > ONCE.get(name, (0, depth))[1]:
        raise rivals.Missing("not tried")
    candidate = _made(name, depth)
    try:
        candidate.run()
    except RecursionError as error:
        raise rivals.Missing("RecursionError") from error
    return candidate


def _once(name: str, depth: int) -> float:
    """Seconds of one pass in a process of its own, its result compared."""
    command = [sys.executable, "-m", "benchmarks.graphs", name, str(depth)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise rivals.Missing(f"over {PATIENCE:.0f} s") from error
    if done.returncode:
        raise rivals.Missing(
            (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("benchmarks.rivals.Missing: ")
        )
    seconds, *found = json.loads(done.stdout)
    for ours, theirs in zip(_by_hand(depth), found, strict=True):
        if not abs(theirs - ours) <= 1e-9 * abs(ours):
            raise Disagreement(f"{name} at {depth:,} nodes: {theirs}, by hand {ours}")
    return float(seconds)


def chain(depth: int) -> Contest:
    """Forward and backward through ``depth`` scalar operations."""

    def hand() -> list[Any]:
        return _by_hand(depth)

    slow = [name for name, (first, last) in ONCE.items() if first <= depth <= last]
    made = Contest(
        "graphs",
        f"{depth:,} nodes",
        [Candidate("Python floats by hand", hand, hand), _taped("autodiff", depth)],
        reference="Python floats by hand",
        baseline="autodiff",
        tolerance=1e-9,
        per=depth,
        series="depth",
        size=depth,
        rounds=ROUNDS.get(depth, 15),
        once={name: partial(_once, name, depth) for name in slow},
    )
    return rivals.join(made, *((name, partial(_tried, name, depth)) for name in TAPED[1:] if name not in slow))


def network(width: int, batch: int, series: str) -> Contest:
    """One training step of a three-layer network."""
    from benchmarks.reference import CarefulNet, Net, Problem
    from benchmarks.training import library

    problem = Problem(Net(width, (width, width), 10, batch))
    careful = CarefulNet(problem)
    made = Contest(
        "graphs",
        f"{series} {width if series == 'width' else batch}",
        [Candidate("careful NumPy", careful.step, careful.result), library(problem), library(problem, COMPILED)],
        reference="careful NumPy",
        tolerance=1e-3,
        series=series,
        size=width if series == "width" else batch,
    )
    return rivals.join(
        made, *((name, partial(make, problem)) for name, make in rivals.TRAINERS if name != "PyTorch, fused Adam")
    )


def contests(quick: bool = False) -> Iterator[Contest]:
    """Depths, then widths, then batches; quick: small ones."""
    for depth in (100,) if quick else DEPTHS:
        yield chain(depth)
    for width in (8,) if quick else WIDTHS:
        yield network(width, 64, "width")
    for batch in (8,) if quick else BATCHES:
        yield network(128, batch, "batch")


def main() -> None:
    """``python -m benchmarks.graphs NAME DEPTH``: seconds of one pass and its three results, as JSON."""
    name, depth = sys.argv[1], int(sys.argv[2])
    run, warm = _made(name, depth), _made(name, 10)
    warm.run()
    start = time.perf_counter()
    found = run.result() if run.result else []
    print(json.dumps([time.perf_counter() - start, *map(float, found)]))


if __name__ == "__main__":
    main()
