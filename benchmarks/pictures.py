"""Pictures of 10, 1,000 and 100,000 nodes: time to draw and size of what is drawn, beside torchviz.

    python -m benchmarks.pictures [--quick] [--seconds 300]

Both draw the same random program of scalar sums, products and sines. Graphs are built before the clock starts. Each
candidate draws in a process of its own under a time limit; processor time is counted, children included. "DOT" is the
description before any layout; "SVG" includes the layout (torchviz's by the Graphviz of the ``graphviz`` package or,
without it, of pygraphviz, as ours); "page" is the interactive HTML, which torchviz has not. What did not finish in the
time allowed or failed says so.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

__all__ = ["main", "program"]

SIZES = (10, 1_000, 100_000)
CASES = (("autodiff", "DOT"), ("autodiff", "SVG"), ("autodiff", "page"), ("torchviz", "DOT"), ("torchviz", "SVG"))


def program(leaves: list[Any], sine: Callable[[Any], Any], count: int) -> Any:
    """A random program of ``count`` operations whose every value is used; the same for every library."""
    choose = random.Random(0)
    pool = list(leaves)
    for _ in range(count // 2):
        x, y = pool[-1], pool[choose.randrange(max(0, len(pool) - 30), len(pool))]
        pool.append((x * 0.5 + y) if choose.random() < 0.5 else sine(x) * y)
    return pool[-1]


def _render(dot: str) -> str:
    from autodiff.viz.svg import render

    return render(dot, "svg").decode()


def _case(library: str, output: str, count: int) -> dict[str, Any]:
    """One candidate, in this process."""
    sys.setrecursionlimit(10**6 if library == "torchviz" and count < 10_000 else 1000)
    if library == "autodiff":
        import numpy as np

        import autodiff as ad
        from autodiff.viz import draw

        leaves: list[Any] = [ad.tensor(0.1 * i, requires_grad=True, name=f"p{i}") for i in range(5)]
        total = program(leaves, np.sin, count)
        started = process_time()
        graph = draw(total)
        text = {"DOT": lambda: graph.dot, "SVG": lambda: graph.svg, "page": lambda: graph.html}[output]()
        boxes = len(graph.view.visible().nodes)
    else:
        import torch
        from torchviz import make_dot

        leaves = [torch.tensor(0.1 * i, dtype=torch.float64, requires_grad=True) for i in range(5)]
        total = program(leaves, torch.sin, count)
        started = process_time()
        dot = make_dot(total, params={f"p{i}": leaf for i, leaf in enumerate(leaves)})
        text = dot.source if output == "DOT" else _render(dot.source)
        boxes = dot.source.count("[label=")
    return {"seconds": process_time() - started, "bytes": len(text.encode()), "boxes": boxes}


def _measured(library: str, output: str, count: int, limit: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.pictures", "--case", library, output, str(count)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, cwd=Path(__file__).parents[1], check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done in {limit:g} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"failed": lines[-1][:80] if lines else f"ended with status {done.returncode}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the table; with ``--quick`` only ten nodes are drawn.

    Returns
    -------
    int
        1 if one of our own pictures failed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pictures", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="ten nodes only")
    parser.add_argument("--seconds", type=float, default=300.0, help="time allowed for each picture (300)")
    parser.add_argument("--case", nargs=3, metavar=("LIBRARY", "OUTPUT", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.case:
        library, output, count = options.case
        print(json.dumps(_case(library, output, int(count))))
        return 0
    status = 0
    print(f"{'operations':>10}  {'library':<10}{'output':<8}{'seconds':>9}{'size':>12}{'boxes':>9}")
    for count in SIZES[:1] if options.quick else SIZES:
        for library, output in CASES:
            found = _measured(library, output, count, options.seconds)
            head = f"{count:>10,}  {library:<10}{output:<8}"
            if "failed" in found:
                status |= library == "autodiff"
                print(f"{head}  {found['failed']}")
            else:
                print(f"{head}{found['seconds']:>9.2f}{found['bytes'] / 1e3:>9,.0f} kB{found['boxes']:>9,}", flush=True)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
