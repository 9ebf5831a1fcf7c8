"""CS231n's training step with every candidate in a process of its own.

The interleaved benchmarks share one process, and with it glibc's allocator: once anybody has freed a large array, the
threshold above which memory is mapped afresh rises for everybody, and the textbook's large temporaries no longer fault
their pages in. A program that is nothing but the textbook's loop pays for them. So both figures are true, of different
situations; this one is what a user's script sees. Rounds alternate between the candidates, each in a fresh process,
whose median step counts. "malloc tuned" is the same program under the environment variables that ``python -m
autodiff.performance`` prints.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, Timing, is_ours
from benchmarks.reference import CS231N, CarefulNet, Net, Problem, TextbookNet
from benchmarks.targets import COMPILED, JITTED
from benchmarks.threads import TUNED

__all__ = ["main", "results"]

ROUNDS, STEPS, WARM_UP = 3, 200, 5

#: Name of a candidate, who it is, and the environment that it has beside the common one.
CANDIDATES: dict[str, tuple[str, dict[str, str]]] = {
    "textbook NumPy": ("textbook NumPy", {}),
    "careful NumPy": ("careful NumPy", {}),
    "autodiff": ("autodiff", {}),
    COMPILED: (COMPILED, {}),
    JITTED: (JITTED, {}),
    "textbook NumPy, malloc tuned": ("textbook NumPy", TUNED),
    "autodiff, malloc tuned": ("autodiff", TUNED),
}


def _step(who: str, problem: Problem) -> Callable[[], object]:
    from benchmarks.training import library

    if who == "textbook NumPy":
        return TextbookNet(problem).step
    if who == "careful NumPy":
        return CarefulNet(problem).step
    return library(problem, who).run


def _once(who: str, variant: int, steps: int, tuned: dict[str, str]) -> float:
    command = [sys.executable, "-m", "benchmarks.solo", who, str(variant), str(steps)]
    done = subprocess.run(
        command, env=os.environ | tuned, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent
    )
    if done.returncode:
        raise RuntimeError(f"{who}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return float(done.stdout)


def _result(net: Net, times: dict[str, list[float]]) -> Result:
    baseline = times["careful NumPy"]
    timings = {name: Timing.of(taken, baseline) for name, taken in times.items()}
    ratios = {
        ours: {
            other: statistics.median(a / b for a, b in zip(times[ours], times[other], strict=True))
            for other in times
            if other != ours
        }
        for ours in times
        if is_ours(ours)
    }
    return Result("solo", str(net), "careful NumPy", timings, ratios, [], {})


def results(quick: bool = False) -> Iterator[Result]:
    """One result per network of CS231n; quick: two steps of the first."""
    rounds, steps = (1, 2) if quick else (ROUNDS, STEPS)
    for variant, net in enumerate(CS231N[:1] if quick else CS231N):
        times: dict[str, list[float]] = {name: [] for name in CANDIDATES}
        for _ in range(rounds):
            for name, (who, tuned) in CANDIDATES.items():
                times[name].append(_once(who, variant, steps, tuned))
        yield _result(net, times)


def main() -> None:
    """``python -m benchmarks.solo NAME VARIANT STEPS``: median seconds of a step, measured in this process."""
    who, variant, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    step = _step(who, Problem(CS231N[variant]))
    for _ in range(min(steps, WARM_UP)):
        step()
    times: list[Any] = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(statistics.median(times))


if __name__ == "__main__":
    main()
