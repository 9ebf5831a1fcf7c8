"""Which side of a Jacobian is cheaper: ``jacfwd`` and ``jacrev`` by shape, for the table of docs/forward.md.

``python -m benchmarks.sides`` measures it and writes the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import autodiff as ad
from benchmarks.compiled import fastest, put, table
from benchmarks.harness import duration

__all__ = ["SHAPES", "main", "measured"]

PAGE = Path(__file__).parents[1] / "docs" / "forward.md"
#: Outputs and inputs.
SHAPES = ((300, 3), (300, 26), (100, 100), (26, 300), (3, 300), (1, 1000))
_INSIDE = 64


def measured(shapes: Sequence[tuple[int, int]], seconds: float) -> str:
    """The table in Markdown: ``tanh(B @ sin(A @ x))`` and its Jacobian from either side."""
    rng = np.random.default_rng(0)
    rows = []
    for outputs, inputs in shapes:
        a, b = rng.normal(size=(_INSIDE, inputs)), rng.normal(size=(outputs, _INSIDE))
        x = rng.normal(size=inputs)
        f = lambda x, a=a, b=b: np.tanh(b @ np.sin(a @ x))
        forward, reverse = ad.jacfwd(f), ad.jacrev(f)
        if not np.allclose(forward(x), reverse(x)):
            raise AssertionError(f"the two Jacobians of {outputs} x {inputs} differ")
        runs = {
            "the function": lambda f=f, x=x: f(x),
            "`jacfwd`": lambda forward=forward, x=x: forward(x),
            "`jacrev`": lambda reverse=reverse, x=x: reverse(x),
        }
        found = fastest(runs, seconds)
        rows.append({"outputs x inputs": f"{outputs} x {inputs}"} | {name: duration(t) for name, t in found.items()})
    return table(rows) + "\n"


def main() -> None:
    """Measure, and write the page's table."""
    text = measured(SHAPES, 2.0)
    print(text)
    put(PAGE, "benchmarks.sides", text)


if __name__ == "__main__":
    main()
