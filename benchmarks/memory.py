"""Memory: what a recorded graph holds, how high a training step rises, and what a replayed step allocates.

Memory of a whole process (its resident pages, so that what C++ or a compiler takes counts alike) is read in a process
of its own per candidate and size, after a small run of the same kind has loaded and warmed up what there is to load.
What NumPy takes for arrays is counted to the byte, by :mod:`benchmarks.allocations`.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import rivals
from benchmarks.allocations import counted
from benchmarks.graphs import DEPTHS, TAPED, B, W, build, leaf_maker
from benchmarks.harness import is_ours
from benchmarks.reference import CS231N, SMALL, Net, Problem
from benchmarks.targets import COMPILED, HELD, REPLAY, TEMPORARIES
from benchmarks.training import steps_by_name

__all__ = ["LOADED", "PEAK_CHAIN", "PEAK_STEP", "PEAK_WHOLE", "amounts", "main"]

PEAK_CHAIN = "peak bytes a node of forward and backward"
PEAK_STEP = "peak of a process's memory in a training step"
LOADED = "memory of a process that has loaded and warmed up the library"
PEAK_WHOLE = "peak of a training step with parameters, gradients and optimiser state"

WIDTHS = (64, 256, 1024)
BATCHES = (64, 256, 1024)

#: Deepest graphs tried: beyond, building one takes minutes.
DEEPEST = {"autograd": 100_000, "MyGrad": 100_000}

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _resident(what: str = "VmRSS") -> int:
    """Bytes of this process in memory, or with ``"VmHWM"`` the most since :func:`_forget_peak`."""
    found = re.search(rf"^{what}:\s+(\d+) kB", _STATUS.read_text(), re.M)
    if found is None:
        raise rivals.Missing(f"{_STATUS} does not tell {what}")
    return int(found[1]) * 1024


def _forget_peak() -> None:
    try:
        _CLEAR.write_text("5")
    except OSError as error:
        raise rivals.Missing(f"the system does not reset a process's peak memory: {error}") from error


def _chain(name: str, depth: int) -> dict[str, int]:
    """Bytes that this process grows by while it builds a chain and holds it, and at most while it goes back."""
    if name == "autograd":
        return _chain_in_autograd(depth)
    leaf, _ = leaf_maker(name)
    w, b = leaf(W), leaf(B)
    build(1.0, w, b, 100).backward()
    w, b = leaf(W), leaf(B)
    gc.collect()
    before = _resident()
    graph = build(1.0, w, b, depth)
    held = _resident() - before
    _forget_peak()
    try:
        graph.backward()
    except RecursionError:
        return {"held": held}
    return {"held": held, "peak": max(held, _resident("VmHWM") - before)}


def _chain_in_autograd(depth: int) -> dict[str, int]:
    rivals.autograd()
    core, tracer = rivals.load("autograd.core"), rivals.load("autograd.tracer")

    def recorded(depth: int) -> Any:
        with tracer.trace_stack.new_trace() as trace:
            w, b = (tracer.new_box(value, trace, core.VJPNode.new_root()) for value in (W, B))
            return build(1.0, w, b, depth)

    core.backward_pass(1.0, recorded(100)._node)
    gc.collect()
    before = _resident()
    graph = recorded(depth)
    held = _resident() - before
    _forget_peak()
    core.backward_pass(1.0, graph._node)
    return {"held": held, "peak": max(held, _resident("VmHWM") - before)}


def _warm(names: Iterable[str]) -> None:
    """Load what the candidates load at their first steps, compiled kernels included, which a small network would not
    ask for.
    """
    from autodiff import kernels

    makers = steps_by_name()
    before = kernels.use("numba" if importlib.util.find_spec("numba") else "numpy")
    try:
        for name in names:
            for normalization in (None, "batchnorm", "layernorm") if is_ours(name) else (None,):
                step = makers[name](Problem(Net(8, (8, 8), 10, 8, normalization, 0.75)))
                step()
                step()
    finally:
        kernels.use(before)


def _step(name: str, width: int, batch: int) -> dict[str, int]:
    """Bytes of this process before the network is made, and those that it grows by at most until after three more
    training steps.
    """
    _warm([name])
    problem = Problem(Net(width, (width, width), 10, batch))
    gc.collect()
    before = _resident()
    step = steps_by_name()[name](problem)
    step()
    step()
    _forget_peak()
    for _ in range(3):
        step()
    return {"before": before, "peak": max(_resident("VmHWM") - before, 0)}


def _arrays(net: Net) -> dict[str, dict[str, int]]:
    """For every way in NumPy the bytes of arrays in a training step."""
    makers = steps_by_name()
    names = ("textbook NumPy", "careful NumPy", "autodiff", COMPILED)
    _warm(names)
    problem = Problem(net)
    # Parameters, their gradients, and Adam's two moments.
    needed = 4 * sum(p.nbytes for layer in problem.layers for p in layer.values())
    found: dict[str, dict[str, int]] = {PEAK_WHOLE: {}, TEMPORARIES: {}, REPLAY: {}}
    for name in names:
        gc.collect()
        with counted() as blocks:
            step = makers[name](problem)
            for _ in range(4):
                step()
            gc.collect()
            blocks.restart()
            for _ in range(3):
                step()
            found[PEAK_WHOLE][name] = blocks.peak
            found[TEMPORARIES][name] = blocks.peak - needed
            found[REPLAY][name] = blocks.largest
            del step
    return found


# --- in processes of their own ---------------------------------------------------------------------------------------

Measure = Callable[..., Any]


def _here(kind: str, *arguments: Any) -> Any:
    return {"chain": _chain, "step": _step, "arrays": lambda *net: _arrays(Net(net[0], tuple(net[1]), *net[2:]))}[kind](
        *arguments
    )


def _apart(kind: str, *arguments: Any) -> Any:
    command = [sys.executable, "-m", "benchmarks.memory", json.dumps([kind, *arguments])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    if done.returncode:
        raise rivals.Missing((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def _amount(what: str, case: str, series: str = "", size: float = 0.0) -> dict[str, Any]:
    return {"what": what, "case": case, "series": series, "size": size, "values": {}, "skipped": {}}


def chains(depth: int, measure: Measure) -> Iterator[dict[str, Any]]:
    """Bytes a node, held and at the peak, of everybody who records."""
    held, peak = (_amount(what, f"{depth:,} nodes", "depth", depth) for what in (HELD, PEAK_CHAIN))
    for name in TAPED:
        try:
            if depth > DEEPEST.get(name, depth):
                raise rivals.Missing("not tried")
            found = measure("chain", name, depth)
        except rivals.Missing as why:
            held["skipped"][name] = peak["skipped"][name] = str(why)
            continue
        held["values"][name] = found["held"] / depth
        if "peak" in found:
            peak["values"][name] = found["peak"] / depth
        else:
            peak["skipped"][name] = "RecursionError"
    yield held
    yield peak


def steps(series: str, sizes: Sequence[int], measure: Measure) -> Iterator[dict[str, Any]]:
    """Peak bytes of a training step by width (at batch 64) or by batch (at width 128), and what each library's process
    holds before it.
    """
    loaded = _amount(LOADED, "process")
    for size in sizes:
        row = _amount(PEAK_STEP, f"{series} {size}", series, size)
        for name in steps_by_name():
            try:
                found = measure("step", name, *((size, 64) if series == "width" else (128, size)))
            except rivals.Missing as why:
                row["skipped"][name] = str(why)
                continue
            row["values"][name] = found["peak"]
            loaded["values"][name] = found["before"]
        yield row
    if series == "width":
        yield loaded


def arrays(nets: Sequence[Net], measure: Measure) -> Iterator[dict[str, Any]]:
    """What NumPy takes for arrays in a training step, by network."""
    for net in nets:
        found = measure("arrays", *dataclasses.astuple(net))
        for what, values in found.items():
            yield _amount(what, str(net)) | {"values": values}


def amounts(quick: bool = False) -> Iterator[dict[str, Any]]:
    """One row per amount and case; quick: small ones, all in this process."""
    measure = _here if quick else _apart
    yield from arrays([Net(24, (16, 16), 10, 20, "batchnorm", 0.75)] if quick else [*CS231N, *SMALL], measure)
    for depth in (100,) if quick else DEPTHS:
        yield from chains(depth, measure)
    yield from steps("width", (8,) if quick else WIDTHS, measure)
    yield from steps("batch", () if quick else BATCHES, measure)


def main() -> None:
    """``python -m benchmarks.memory '["chain", NAME, DEPTH]'``, ``'["step", NAME, WIDTH, BATCH]'`` or ``'["arrays",
    *NET]'``: bytes, as JSON.
    """
    print(json.dumps(_here(*json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
