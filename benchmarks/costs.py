"""What a program pays besides its arithmetic: the first calls of a compiled one, and Python's collector beside other
libraries.

Calls are counted in eager calls of the same program in the same process; every figure is of a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rivals

__all__ = ["COLLECTOR", "CROWD", "FIRST", "PROGRAMS", "SLOWEST", "amounts", "main"]

FIRST = "eager calls that the first call of a compiled program takes"
SLOWEST = "eager calls that the longest of its first twenty calls takes"
COLLECTOR = "times as long as alone that 30,000 tiny operations take"

#: The same within ``autodiff.performance.rare_collections()``.
RARELY = "autodiff, rare collections"

#: What else is loaded in the process.
CROWD = ("torch", "pandas")

OPERATIONS = 30_000


def _least(run: Callable[[], object], count: int, seconds: float = 2.0) -> float:
    times: list[float] = []
    while len(times) < count and (len(times) < 3 or sum(times) < seconds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


# --- compiled programs ------------------------------------------------------------------------------------------------


def _network(hidden: tuple[int, ...], inputs: int, batch: int) -> tuple[Callable[[], object], Any]:
    from benchmarks.reference import Net, Problem
    from benchmarks.training import library

    problem = Problem(Net(inputs, hidden, 10, batch))
    return library(problem).run, lambda wrap: wrap(library(problem).run)


def _loop(count: int) -> tuple[Callable[[], object], Any]:
    """ADBench's LSTM as a plain loop in Python."""
    import autodiff as ad
    from benchmarks.gradbench.rivals import _lstm_step

    rng = np.random.default_rng(0)
    main, extra, state = rng.normal(size=(2, 2, 4, 14)), rng.normal(size=(3, 14)), rng.normal(size=(2, 2, 14))
    sequence = (rng.random((count, 14)) > 0.5).astype(float)

    def loss(main: Any, extra: Any) -> Any:
        carry, scores = (state[:, 0], state[:, 1]), []
        for x in sequence[:-1]:
            carry, y = _lstm_step(np, main, extra, carry, x)
            scores.append(y)
        return -np.sum(sequence[1:] * np.stack(scores))

    leaves = [ad.tensor(main, requires_grad=True), ad.tensor(extra, requires_grad=True)]

    def step() -> Any:
        return ad.gradients(loss(*leaves), leaves)

    return step, lambda wrap: wrap(step)


def _minors(side: int) -> tuple[Callable[[], object], Any]:
    import autodiff as ad
    from benchmarks.gradbench.scalars import det

    matrix = ad.tensor(np.random.default_rng(0).normal(size=(side, side)), requires_grad=True)

    def step() -> Any:
        return ad.gradients(det(matrix), matrix)

    return step, lambda wrap: wrap(step)


PROGRAMS: dict[str, Callable[[], tuple[Callable[[], object], Any]]] = {
    "small net": lambda: _network((32, 32), 64, 32),
    "CS231n net": lambda: _network((100,) * 5, 3072, 100),
    "lstm 2 x 64, a loop in Python": lambda: _loop(64),
    "lstm 2 x 1024, a loop in Python": lambda: _loop(1024),
    "det 6": lambda: _minors(6),
}


def _first(case: str) -> list[float]:
    """The first and the longest of twenty calls of the compiled program, in eager ones."""
    import warnings

    import autodiff as ad

    warnings.simplefilter("ignore", ad.CompileWarning)
    eager, made = PROGRAMS[case]()
    eager()
    ordinary = _least(eager, 20)
    compiled = made(ad.compile)
    times = []
    for _ in range(20):
        start = time.process_time()
        compiled()
        times.append(time.process_time() - start)
    return [times[0] / ordinary, max(times) / ordinary]


# --- the collector ----------------------------------------------------------------------------------------------------


def _tiny(name: str, *crowd: str) -> float:
    """Seconds of tiny operations, forward and backward, beside what else is loaded."""
    for other in crowd:
        rivals.load(other)
    if name != "PyTorch":
        import autodiff as ad

        def leaf(value: float) -> Any:
            return ad.tensor(value, requires_grad=True)

    else:
        torch = rivals.torch()

        def leaf(value: float) -> Any:
            return torch.tensor(value, requires_grad=True)

    def run() -> Any:
        w, b = leaf(0.999), leaf(0.001)
        h: Any = 1.0
        for _ in range(OPERATIONS // 2):
            h = h * w + b
        h.backward()
        return w.grad

    def mean(count: int = 8) -> float:
        start = time.process_time()
        for _ in range(count):
            run()
        return (time.process_time() - start) / count  # the collector does not come in every call

    run()
    if name != RARELY:
        return mean()
    from autodiff.performance import rare_collections

    with rare_collections():
        return mean()


def _apart(kind: str, *arguments: Any) -> Any:
    command = [sys.executable, "-m", "benchmarks.costs", json.dumps([kind, *arguments])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    if done.returncode:
        raise rivals.Missing((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def _row(what: str, case: str) -> dict[str, Any]:
    return {"what": what, "case": case, "series": "", "size": 0.0, "values": {}, "skipped": {}}


def amounts(quick: bool = False) -> Iterator[dict[str, Any]]:
    """First calls, then the collector; quick: the small net alone."""
    for case in list(PROGRAMS)[:1] if quick else PROGRAMS:
        found = _first(case) if quick else _apart("first", case)
        for what, value in zip((FIRST, SLOWEST), found, strict=True):
            yield _row(what, case) | {"values": {"autodiff, compiled": value}}
    if quick:
        return
    row = _row(COLLECTOR, "with PyTorch and pandas")
    for name in ("autodiff", RARELY, "PyTorch"):
        try:
            # In turns, since a machine that slows down for a while would slow one of the two.
            alone = "PyTorch" if name == "PyTorch" else "autodiff"
            pairs = [(_apart("tiny", alone), _apart("tiny", name, *CROWD)) for _ in range(3)]
            row["values"][name] = float(np.median([beside / alone for alone, beside in pairs]))
        except rivals.Missing as why:
            row["skipped"][name] = str(why)
    yield row


def main() -> None:
    """``python -m benchmarks.costs '["first", CASE]'`` or ``'["tiny", NAME, *MODULES]'``, as JSON."""
    kind, *arguments = json.loads(sys.argv[1])
    print(json.dumps({"first": _first, "tiny": _tiny}[kind](*arguments)))


if __name__ == "__main__":
    main()
