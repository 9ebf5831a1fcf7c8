"""How a gradient's time and memory grow with the size of every task of GradBench, and of what is made of many parts.

Every candidate runs every task in a process of its own, from the smallest size to the largest. Time is the least of
several calls, of the processor. Memory is the most that the process holds above what it held after the smallest size,
whose calls have loaded and warmed up the library.
"""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.gradbench import rivals as tasks
from benchmarks.memory import _forget_peak, _resident
from benchmarks.targets import JITTED

__all__ = ["NAMES", "PEAK", "TASKS", "TIME", "Task", "amounts", "main"]

TIME, PEAK = "seconds of a gradient", "peak of a process's memory in a gradient"
NAMES = ("autodiff", JITTED, "PyTorch", "JAX jit")

#: Seconds for which a size is timed, and calls at most.
SECONDS, CALLS = 0.2, 12


@dataclass(frozen=True)
class Task:
    """Sizes, and what a candidate runs at a size.

    Parameters
    ----------
    sizes : tuple of int
    make : callable
        ``make(size)`` gives a contest, or ``make(size, name)`` a function without arguments; None where ``name`` takes
        no part.
    measure : callable
        What the exponent is of: the size, or the work that it stands for.
    """

    sizes: tuple[int, ...]
    make: Callable[..., Any]
    measure: Callable[[int], float] = float


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


# --- what is made of many parts, for this library and PyTorch alike ---------------------------------------------------


def _many(function: Callable[[Any, Any, int], Any], size: int, name: str) -> Any:
    """The gradient of a function of one vector, ``function(xp, x, size)``."""
    start = _rng().random(size)
    if name == "autodiff":
        import autodiff as ad

        return lambda: ad.grad(lambda x: function(np, x, size))(start)
    if name == "PyTorch":
        torch = rivals.torch()
        leaf = torch.from_numpy(start).requires_grad_()
        return lambda: torch.autograd.grad(function(torch, leaf, size), leaf)
    return None


def _numbers(xp: Any, x: Any, size: int) -> Any:
    total = 0.0
    for i in range(size):
        total = total + x[i] * x[i]
    return total


def _parts(xp: Any, x: Any, size: int) -> Any:
    return xp.sum(xp.concatenate([x[:4] * i for i in range(size)]) ** 2)


def _sums(xp: Any, x: Any, size: int) -> Any:
    total = x[:4]
    for _ in range(size):
        total = total + x[:4]
    return xp.sum(total)


def _views(xp: Any, x: Any, size: int) -> Any:
    for _ in range(size):
        x = x.reshape(-1, 1).reshape(-1)
    return xp.sum(x)


def _nested(size: int, name: str) -> Any:
    """A gradient through so many inner gradients, one after the other."""
    if name == "autodiff":
        import autodiff as ad

        def outer(w: Any) -> Any:
            x = w
            for _ in range(size):
                x = x - 0.01 * ad.grad(lambda y: np.sum(y * y * w))(x)
            return np.sum(x)

        return lambda: ad.grad(outer)(np.ones(3))
    if name == "PyTorch":
        torch = rivals.torch()

        def run() -> Any:
            w = torch.ones(3, dtype=torch.float64, requires_grad=True)
            x = w
            for _ in range(size):
                x = x - 0.01 * torch.autograd.grad((x * x * w).sum(), x, create_graph=True)[0]
            return torch.autograd.grad(x.sum(), w)

        return run
    return None


def _checkpoints(size: int, name: str) -> Any:
    """A chain of so many links, each a checkpoint."""
    start = _rng().random(1000)
    if name == "autodiff":
        import autodiff as ad

        def chain(x: Any) -> Any:
            for _ in range(size):
                x = ad.checkpoint(lambda x: np.tanh(np.sin(x) * x))(x)
            return np.sum(x)

        return lambda: ad.grad(chain)(start)
    if name == "PyTorch":
        torch = rivals.torch()
        checkpoint = rivals.load("torch.utils.checkpoint").checkpoint

        def run() -> Any:
            leaf = torch.from_numpy(start).requires_grad_()
            x = leaf
            for _ in range(size):
                x = checkpoint(lambda x: torch.tanh(torch.sin(x) * x), x, use_reentrant=False)
            return torch.autograd.grad(x.sum(), leaf)

        return run
    return None


TASKS: dict[str, Task] = {
    "lse, numbers": Task((20_000, 80_000, 320_000, 1_280_000), lambda n: tasks.log_sum_exp(_rng(), n)),
    "llsq, points": Task((256, 1_024, 4_096, 16_384), lambda n: tasks.least_squares(_rng(), n)),
    "ode, unknowns": Task((1_000, 10_000, 100_000), lambda n: tasks.runge_kutta(_rng(), n, 10)),
    "ode, steps": Task((5, 10, 20, 40), lambda n: tasks.runge_kutta(_rng(), 1_000, n)),
    "kmeans, points": Task((1_000, 3_000, 10_000), lambda n: tasks.clusters(_rng(), 100, n, 16)),
    "gmm, points": Task((1_000, 3_000, 10_000), lambda n: tasks.mixtures(_rng(), n, 10, 25)),
    "gmm, dimensions": Task((8, 16, 32, 64), lambda n: tasks.mixtures(_rng(), 1_000, n, 25)),
    "lstm, characters": Task((600, 1_200, 2_400), lambda n: tasks.recurrence(_rng(), 2, n)),
    "ba, observations": Task((2_000, 8_000, 32_000), lambda n: tasks.bundles(_rng(), 49, 1_000, n)),
    "ht, points": Task((50, 100, 200, 400), lambda n: tasks.hands(_rng(), n, True)),
    "det, products": Task((4, 5, 6, 7), lambda n: tasks.determinant(_rng(), n), math.factorial),
    "nested, inner gradients": Task((40, 80, 160, 320), _nested),
    "numbers read one by one": Task((250, 500, 1_000, 2_000), partial(_many, _numbers)),
    "parts joined": Task((250, 500, 1_000, 2_000), partial(_many, _parts)),
    "sums of many": Task((250, 500, 1_000, 2_000), partial(_many, _sums)),
    "views of views": Task((250, 500, 1_000, 2_000), partial(_many, _views)),
    "checkpoints": Task((50, 100, 200, 400), _checkpoints),
}


def _run_of(task: Task, size: int, name: str) -> Any:
    """What the candidate runs; None if it takes no part."""
    if task.make in (_nested, _checkpoints) or isinstance(task.make, partial):
        return task.make(size, name)
    tasks.PRESENT.intersection_update({name})
    contest = task.make(size)
    return next((candidate.run for candidate in contest.candidates if candidate.name == name), None)


def _measured(name: str, of: str, sizes: int) -> list[list[float]]:
    """Seconds and bytes of each size, the smallest first."""
    task, found, before = TASKS[of], [], None
    for size in task.sizes[:sizes]:
        run = _run_of(task, size, name)
        if run is None:
            return []
        if before is None:
            run()
            run()
            gc.collect()
            before = _resident()
        _forget_peak()
        times: list[float] = []
        run()
        while len(times) < CALLS and (len(times) < 3 or sum(times) < SECONDS):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        found.append([min(times), max(_resident("VmHWM") - before, 0)])
    return found


def _apart(*arguments: Any) -> Any:
    command = [sys.executable, "-m", "benchmarks.growth", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    if done.returncode:
        raise rivals.Missing((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def amounts(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Two rows per task and size; quick: the two smallest sizes of two tasks, all in this process."""
    chosen = ("nested, inner gradients", "parts joined") if quick else TASKS
    for of in chosen:
        task = TASKS[of]
        sizes = task.sizes[:2] if quick else task.sizes
        rows = {
            (what, size): {
                "what": what, "case": f"{of}: {size:,}", "series": of, "size": task.measure(size), "values": {},
                "skipped": {},
            }
            for what in (TIME, PEAK) for size in sizes
        }  # fmt: skip
        for name in NAMES[:1] if quick else NAMES:
            try:
                found = (_measured if quick else _apart)(name, of, len(sizes))
            except rivals.Missing as why:
                for row in rows.values():
                    row["skipped"][name] = str(why)
                continue
            for size, values in zip(sizes, found, strict=False):
                for what, value in zip((TIME, PEAK), values, strict=True):
                    rows[what, size]["values"][name] = value
        yield from rows.values()


def main() -> None:
    """``python -m benchmarks.growth '[NAME, TASK, SIZES]'``: seconds and bytes of each size, as JSON."""
    print(json.dumps(_measured(*json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
