"""GradBench's twelve tasks as a NumPy user would write them, and a tool that speaks GradBench's protocol.

``python -m benchmarks.gradbench`` reads one JSON message a line and answers each on a line of its own; see
:mod:`benchmarks.gradbench.__main__`. The tasks are those of GradBench and of ADBench (Srajer, Kukelova, Fitzgibbon,
arXiv 1807.10129). Every file holds the objective, its derivative by this library, and the form of input and output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def contests(quick: bool = False) -> Iterator[Any]:
    """The part ``gradbench`` of ``python -m benchmarks``."""
    from benchmarks.gradbench.rivals import gradbench

    return gradbench(quick)
