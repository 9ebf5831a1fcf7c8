"""Where a compiled step's time goes, and what it gains: the table and the picture of docs/compile.md.

``python -m benchmarks.compiled`` measures both and writes them. Everybody takes turns of half a millisecond or one
call in one process on one thread, and of each the fastest turn counts, which is what a loaded machine disturbs least.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import rivals
from benchmarks.harness import duration
from benchmarks.reference import CS231N, SMALL, CarefulNet, Net, Problem
from benchmarks.targets import COMPILED, JITTED

__all__ = ["SHARES", "drawn", "fastest", "main", "shares", "steps"]

#: What the time of a compiled step is spent in.
SHARES = ("your Python and nn's", "following", "NumPy", "optimiser")
PAGE = Path(__file__).parents[1] / "docs" / "compile.md"
PICTURE = PAGE.with_suffix(".svg")


def steps(net: Net) -> dict[str, Callable[[], Any]]:
    """Whoever takes a training step, each on a network of its own."""
    found: dict[str, Callable[[], Any]] = {"careful NumPy": CarefulNet(Problem(net)).step}
    found |= {how: world(net, how)[0] for how in ("eager", "compile", "jit")}
    try:
        found["JAX jit"] = rivals.jax_training(Problem(net)).run
    except rivals.Missing:
        pass
    return found


def world(net: Net, how: str) -> Any:
    """A step that takes no arguments, what is called in it, and the optimiser."""
    from benchmarks.training import training_step

    problem = Problem(net)
    run, optimizer = training_step(problem, {"eager": "autodiff", "compile": COMPILED, "jit": JITTED}[how])
    return (lambda: run(problem.x, problem.y)), run, optimizer


def fastest(runs: dict[str, Callable[[], Any]], seconds: float = 3.0) -> dict[str, float]:
    """Seconds a call, of the fastest turn of each; all take turns."""
    counts = {}
    for name, run in runs.items():
        for _ in range(6):
            run()
        began = perf_counter()
        run()
        counts[name] = max(1, int(5e-4 / (perf_counter() - began)))
    best = dict.fromkeys(runs, float("inf"))
    end = perf_counter() + seconds
    while perf_counter() < end:
        for name, run in runs.items():
            began = perf_counter()
            for _ in range(counts[name]):
                run()
            best[name] = min(best[name], (perf_counter() - began) / counts[name])
    return best


def events(net: Net, calls: int = 1000) -> tuple[float, list[tuple[str, float, float]]]:
    """The fastest of some compiled steps: its seconds, and when it was in what but the program's own Python."""
    run, step, optimizer = world(net, "compile")
    for _ in range(6):
        run()
    seen: list[tuple[str, float, float]] = []

    def timed(kind: Callable[..., str], call: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*args: Any, **kwargs: Any) -> Any:
            began = perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                seen.append((kind(*args), began, perf_counter()))

        return timing

    follower = step._follower
    follower.at_once = timed(lambda state, op, *_: op.name, follower.at_once)
    follower.backpropagate = timed(lambda *_: "backward", follower.backpropagate)
    optimizer.step = timed(lambda *_: "optimiser", optimizer.step)
    best: tuple[float, list[tuple[str, float, float]]] = float("inf"), []
    for _ in range(calls):
        seen.clear()
        began = perf_counter()
        run()
        took = perf_counter() - began
        if took < best[0]:
            best = took, [(name, start - began, stop - began) for name, start, stop in seen]
    return best


def shares(net: Net) -> dict[str, float]:
    """Parts of a compiled step's time. NumPy's is that of a jitted step's calls alone, which are the same calls."""
    took, seen = events(net)
    _, jitted, _ = world(net, "jit")
    problem = Problem(net)
    for _ in range(4):
        jitted(problem.x, problem.y)
    code = jitted.plans[-1]
    tensors = jitted._declared.tensors()
    values = [problem.x, problem.y, *(t.data for t in tensors), *(t.grad for t in tensors if t.grad is not None)]
    numpy = fastest({"plan": lambda: code.run(*values[: code.run.__code__.co_argcount])}, 0.5)["plan"]
    stepping = sum(stop - start for name, start, stop in seen if name == "optimiser")
    followed = sum(stop - start for name, start, stop in seen if name != "optimiser")
    parts = took - stepping - followed, max(followed - numpy, 0.0), numpy, stepping
    return {name: part / took for name, part in zip(SHARES, parts, strict=True)}


def drawn(net: Net) -> str:
    """One step's timeline as SVG: what runs when, a lane for whoever runs."""
    took, seen = events(net)
    left, width, height = 150, 900, 34
    lanes = ("your Python", "prepared code", "optimiser")
    colours = {"your Python": "#9ecae1", "prepared code": "#fdae6b", "optimiser": "#a1d99b"}
    parts = []

    def box(lane: str, start: float, stop: float, name: str) -> None:
        x, w = left + width * start / took, max(width * (stop - start) / took, 1.0)
        y = 40 + height * lanes.index(lane)
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{w:.1f}" height="{height - 8}" fill="{colours[lane]}"><title>{name}:'
            f" {duration(stop - start)}</title></rect>"
        )
        if w > 7 * len(name):
            parts.append(f'<text x="{x + w / 2:.1f}" y="{y + 17}" text-anchor="middle" font-size="11">{name}</text>')

    at = 0.0
    for name, start, stop in [*seen, ("", took, took)]:
        if start > at:
            box("your Python", at, start, "your Python")
        if stop > start:
            box("optimiser" if name == "optimiser" else "prepared code", start, stop, name)
        at = stop
    labels = [f'<text x="8" y="{57 + height * i}" font-size="12">{lane}</text>' for i, lane in enumerate(lanes)]
    title = f'<text x="8" y="22" font-size="13">One compiled step ({net}): {duration(took)}</text>'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 20} {56 + height * 3}"'
            ' font-family="sans-serif">',
            title,
            *labels,
            *parts,
            "</svg>\n",
        ]
    )


def table(rows: list[dict[str, str]]) -> str:
    """A table of Markdown; its columns are the keys of the rows, in the order in which they come."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([row.get(name, "") for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put(page: Path, module: str, text: str) -> None:
    """Write what a module measured between its marks on a page."""
    begin, end = f"<!-- measured: python -m {module} -->\n", "<!-- end of what is measured -->\n"
    head, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ends, tail = rest.partition(end)
    if not (found and ends):
        raise ValueError(f"{page.name} has no marks of {module}")
    page.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def measured(nets: tuple[Net, ...], seconds: float) -> str:
    """Both tables in Markdown."""
    times, parts = [], []
    for net in nets:
        found = fastest(steps(net), seconds)
        careful = found["careful NumPy"]
        row = {"": str(net)}
        row |= {name: f"{duration(t)} ({t / careful:.2f})" for name, t in found.items()}
        times.append(row)
        parts.append({"": str(net)} | {name: f"{share:.0%}" for name, share in shares(net).items()})
    return f"{table(times)}\n\n{table(parts)}\n"


def main() -> None:
    """Measure, and write the page's tables and its picture."""
    quick = "--quick" in sys.argv
    nets = SMALL if quick else (*SMALL, *CS231N)
    text = measured(nets, 1.0 if quick else 4.0)
    print(text)
    put(PAGE, "benchmarks.compiled", text)
    PICTURE.write_text(drawn(SMALL[0]), encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    main()
