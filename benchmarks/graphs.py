"""Growth: time per node from a thousand to a million nodes, bytes per node, and a network's cost by width and batch.

Bytes are counted in a process of its own per candidate and depth, as the growth of its resident memory while the graph
is built, so that memory taken by C++ or by Python counts alike.
"""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import rivals
from benchmarks.harness import Candidate, Contest, Target

__all__ = ["bytes_per_node", "contests", "main", "memory", "peaks"]

DEPTHS = (1_000, 10_000, 100_000, 1_000_000)
WIDTHS = (32, 64, 128, 256, 512, 1024)
BATCHES = (16, 64, 256, 1024)

#: Deepest graph that a rival is asked for: beyond it recursion fails or a run takes minutes.
DEEPEST = {"autograd": 100_000, "MyGrad": 1_000}

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


def _chain(h: Any, w: Any, b: Any, depth: int) -> Any:
    for _ in range(depth // 2):
        h = h * w + b
    return h


def _leaf_maker(name: str) -> tuple[Callable[[float], Any], Callable[[Any], Any]]:
    """How a library makes a scalar leaf, and how its gradient is read."""
    if name == "autodiff":
        import autodiff as ad

        return lambda value: ad.Tensor(value, requires_grad=True), lambda leaf: leaf.grad
    if name == "PyTorch":
        t = rivals.torch()
        return lambda v: t.tensor(v, dtype=t.float64, requires_grad=True), lambda leaf: leaf.grad.item()
    if name == "MyGrad":
        mg = rivals.mygrad()
        return mg.tensor, lambda leaf: leaf.grad
    raise ValueError(name)


def _taped(name: str, depth: int) -> Candidate:
    """The chain in a library that records as it runs."""
    leaf, gradient = _leaf_maker(name)
    w, b = leaf(W), leaf(B)

    def run() -> Any:
        w.grad = b.grad = None
        out = _chain(1.0, w, b, depth)
        out.backward()
        return out

    def mygrad_run() -> Any:
        out = _chain(1.0, w, b, depth)
        out.backward()
        return out

    timed = mygrad_run if name == "MyGrad" else run

    def result() -> list[Any]:
        out = timed()
        return [out.item(), gradient(w), gradient(b)]

    return Candidate(name, timed, result)


def _autograd(depth: int) -> Candidate:
    rivals.autograd()
    core = rivals.load("autograd.core")

    def run() -> list[Any]:
        pull, out = core.make_vjp(lambda inputs: _chain(1.0, inputs[0], inputs[1], depth), (W, B))
        return [out, *pull(1.0)]

    return Candidate("autograd", run, run)


def chain(depth: int) -> Contest:
    """Forward and backward through ``depth`` scalar operations."""

    def hand() -> list[Any]:
        return _by_hand(depth)

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
        targets=[Target("PyTorch", 1.0), Target("autograd", 1.0), Target("MyGrad", 1.0)],
    )
    makers: list[tuple[str, Callable[[], Candidate]]] = [("PyTorch", lambda: _taped("PyTorch", depth))]
    if depth <= DEEPEST["autograd"]:
        makers.append(("autograd", lambda: _autograd(depth)))
    if depth <= DEEPEST["MyGrad"]:
        makers.append(("MyGrad", lambda: _taped("MyGrad", depth)))
    return rivals.join(made, *makers)


def network(width: int, batch: int, series: str) -> Contest:
    """One training step of a three-layer network, against the careful one."""
    from benchmarks.reference import CarefulNet, Net, Problem
    from benchmarks.training import library

    problem = Problem(Net(width, (width, width), 10, batch))
    careful = CarefulNet(problem)
    return Contest(
        "graphs",
        f"3 layers, width {width}, batch {batch}",
        [Candidate("careful NumPy", careful.step, careful.result), library(problem)],
        reference="careful NumPy",
        tolerance=1e-3,
        series=series,
        size=width if series == "width" else batch,
    )


def contests(quick: bool = False) -> Iterator[Contest]:
    """Depths, then widths, then batches; quick: small ones."""
    for depth in (100,) if quick else DEPTHS:
        yield chain(depth)
    for width in (8,) if quick else WIDTHS:
        yield network(width, 64, "width")
    for batch in (8,) if quick else BATCHES:
        yield network(128, batch, "batch")


# --- memory ----------------------------------------------------------------------------------------------------------


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _held(name: str, depth: int) -> int:
    """Bytes that this process grows by while ``name`` builds a chain of ``depth`` nodes and holds it."""
    graph: Any
    if name == "autograd":
        rivals.autograd()
        core, tracer = rivals.load("autograd.core"), rivals.load("autograd.tracer")
        gc.collect()
        before = _resident()
        with tracer.trace_stack.new_trace() as trace:
            w, b = (tracer.new_box(value, trace, core.VJPNode.new_root()) for value in (W, B))
            graph = _chain(1.0, w, b, depth)
    else:
        leaf, _ = _leaf_maker(name)
        w, b = leaf(W), leaf(B)
        _chain(1.0, w, b, 100).backward()
        gc.collect()
        before = _resident()
        graph = _chain(1.0, w, b, depth)
    grown = _resident() - before
    assert graph is not None
    return grown


def bytes_per_node(name: str, depth: int) -> float:
    """Bytes of resident memory per recorded node.

    Raises
    ------
    Missing
        If the candidate is not installed, or the system does not tell a process's memory.
    """
    if not Path("/proc/self/statm").exists():
        raise rivals.Missing("the system has no /proc/self/statm")
    command = [sys.executable, "-m", "benchmarks.graphs", name, str(depth)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    if done.returncode:
        raise rivals.Missing((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return int(done.stdout) / depth


def memory(depths: Sequence[int] = DEPTHS[1:]) -> dict[str, dict[int, float]]:
    """Bytes per node for every candidate that is installed."""
    found: dict[str, dict[int, float]] = {}
    for name in ("autodiff", "PyTorch", "autograd"):
        for depth in depths:
            if depth <= DEEPEST.get(name, math.inf):
                try:
                    found.setdefault(name, {})[depth] = bytes_per_node(name, depth)
                except rivals.Missing:
                    break
    return found


def _peak(width: int, batch: int) -> int:
    """Bytes that this process's memory grows by, at its largest, during three training steps."""
    import resource

    from benchmarks.reference import Net, Problem
    from benchmarks.training import library

    step = library(Problem(Net(width, (width, width), 10, batch))).run
    gc.collect()
    before = _resident()
    for _ in range(3):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def peaks() -> dict[str, dict[int, int]]:
    """Peak bytes of a training step by width and by batch, each in a process of its own; empty where the system does not tell."""
    found: dict[str, dict[int, int]] = {"width": {}, "batch": {}}
    if not Path("/proc/self/statm").exists():
        return {}
    for series, sizes in (("width", WIDTHS), ("batch", BATCHES)):
        for size in sizes:
            width, batch = (size, 64) if series == "width" else (128, size)
            command = [sys.executable, "-m", "benchmarks.graphs", str(width), str(batch)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=True)
            found[series][size] = int(done.stdout)
    return found


def main() -> None:
    """``python -m benchmarks.graphs NAME DEPTH``: bytes that a chain of DEPTH nodes holds; ``WIDTH BATCH``: peak bytes of a training step."""
    first, second = sys.argv[1:]
    print(_peak(int(first), int(second)) if first.isdigit() else _held(first, int(second)))


if __name__ == "__main__":
    main()
