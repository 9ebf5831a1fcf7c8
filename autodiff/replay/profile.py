"""Where the time of a replay goes: a clock between any two lines of a plan's generated function, while real steps are
taken.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError

__all__ = ["Profile", "profiled"]


class Profile:
    """Times of the lines of a plan, over all replays that ran to their end while it was taken.

    Attributes
    ----------
    lines : list of str
        The plan's lines in order; what is nested under a line belongs to it.
    """

    def __init__(self, lines: list[str], clock_cost: float) -> None:
        self.lines = lines
        self._clock_cost = clock_cost
        self._stamps: list[list[int]] = []

    @property
    def replays(self) -> int:
        """How many replays were timed."""
        return len(self._stamps)

    @property
    def seconds(self) -> Any:
        """For every line its median over the replays, in seconds, the clock's own cost taken off: float64 (lines,).

        Raises
        ------
        ArgumentError
            If nothing was replayed.
        """
        if not self._stamps:
            raise ArgumentError(
                "profile: no replay was timed; call the compiled step inside the with block, with arguments that fit"
                " the plan"
            )
        return np.maximum(np.median(np.diff(np.array(self._stamps), axis=1), axis=0) * 1e-9 - self._clock_cost, 0.0)

    def __str__(self) -> str:
        seconds = self.seconds
        total = float(seconds.sum())
        rows = [
            f"{s * 1e6:10.2f} {100 * s / total if total else 0:5.1f} %  {line}"
            for s, line in zip(seconds, self.lines, strict=True)
        ]
        return "\n".join([f"# {total * 1e6:.1f} us a replay, medians of {self.replays}: us, share, line", *rows])

    __repr__ = __str__


def _clock_cost() -> float:
    """Seconds that one look at the clock takes."""
    stamps = [time.perf_counter_ns() for _ in range(1000)]
    return float(np.median(np.diff(stamps))) * 1e-9


@contextmanager
def profiled(plan: Any) -> Iterator[Profile]:
    """Time every line of the replays of a plan made inside the block; see :meth:`Plan.profiled`."""
    head, *body = plan.source.splitlines()
    made, lines = [head, "    stamps = [clock()]"], list[str]()
    for line in body:
        if line.startswith("        "):
            made.append(line)
            continue
        if lines:
            made.append("    stamps.append(clock())")
        made += ["    keep(stamps)", line] if line.startswith("    return") else [line]
        lines.append(line.strip())
    profile = Profile(lines[:-1], _clock_cost())
    scope, before = plan.scope, plan.replay
    scope |= {"clock": time.perf_counter_ns, "keep": profile._stamps.append}
    exec(compile("\n".join(made), f"<plan of {plan.name}, timed>", "exec"), scope)
    plan.replay = scope["replay"]
    try:
        yield profile
    finally:
        scope["replay"] = plan.replay = before
