"""``python -m benchmarks.solo``: CS231n's training step with every candidate in a process of its own.

The interleaved benchmarks share one process, and with it glibc's allocator: once anybody has freed a large array, the threshold above which
memory is mapped afresh rises for everybody, and the textbook's large temporaries no longer fault their pages in. A program that
is nothing but the textbook's loop pays for them. So both figures are true, of different situations; this one is what a user's script sees.
Rounds alternate between the candidates, each in a fresh process; the median over rounds of the median step is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

_CANDIDATES = ("textbook", "careful", "autodiff")


def one(name: str, variant: int, steps: int) -> float:
    """Median seconds of a step, measured in this process."""
    from benchmarks.reference import CS231N, CarefulNet, Problem, TextbookNet
    from benchmarks.training import library

    problem = Problem(CS231N[variant])
    step = {
        "textbook": lambda: TextbookNet(problem).step,
        "careful": lambda: CarefulNet(problem).step,
        "autodiff": lambda: library(problem).run,
    }[name]()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Run the rounds and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solo", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--one", nargs=2, metavar=("NAME", "VARIANT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(one(options.one[0], int(options.one[1]), options.steps))
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    print("| network | textbook | careful | autodiff | autodiff / textbook | autodiff / careful |\n| --- | --- | --- | --- | --- | --- |")
    for variant, label in enumerate(("plain", "batchnorm", "layernorm", "batchnorm + dropout")):
        times: dict[str, list[float]] = {name: [] for name in _CANDIDATES}
        for _ in range(options.rounds):
            for name in _CANDIDATES:
                command = [sys.executable, "-m", "benchmarks.solo", "--steps", str(options.steps), "--one", name, str(variant)]
                times[name].append(float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout))
        t, c, a = (statistics.median(times[name]) for name in _CANDIDATES)
        print(f"| {label} | {t * 1e3:.2f} ms | {c * 1e3:.2f} ms | {a * 1e3:.2f} ms | {a / t:.2f} | {a / c:.2f} |", flush=True)


if __name__ == "__main__":
    main()
