"""What Python's interpreter does in a training step: bytecode instructions, counted.

Beside arithmetic this is what an eager engine costs: a small network's step by hand is some forty calls of NumPy, and
whatever an engine adds it adds in Python. No load on the machine changes a count, so it tells a small gain from noise.
``python -m benchmarks.interpreter`` lists the functions that run most of them. How long an instruction takes is another
matter: in a step's rarely repeated code several times as long as in a loop.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

from benchmarks import rivals
from benchmarks.reference import CS231N, SMALL, Net, Problem
from benchmarks.targets import INSTRUCTIONS
from benchmarks.training import model_of, steps_by_name

__all__ = ["PHASES", "amounts", "counted", "main"]

PHASES = "bytecode instructions of autodiff's step, by what the program calls"


def counted(run: Callable[[], object]) -> tuple[Counter[CodeType], Counter[CodeType]]:
    """How many instructions of each function one call runs, and how often each function is entered."""
    instructions: Counter[CodeType] = Counter()
    entries: Counter[CodeType] = Counter()

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "call":
            entries[frame.f_code] += 1
        elif event == "opcode":
            instructions[frame.f_code] += 1
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        run()
    finally:
        sys.settrace(before)
    return instructions, entries


def _total(run: Callable[[], object]) -> int:
    return counted(run)[0].total()


def _phases(problem: Problem) -> dict[str, int]:
    """The instructions of one warmed-up step of ours, by phase."""
    import optim
    from nn import functional as F

    model, _, _ = model_of(problem)
    optimizer = optim.Adam(model.parameters())
    found: dict[str, int] = {}
    for _ in range(5):
        held: list[Any] = []
        calls: dict[str, Callable[[], object]] = {
            "optimizer.zero_grad()": optimizer.zero_grad,
            "model(x)": lambda held=held: held.append(model(problem.x)),  # type: ignore[misc]
            "cross_entropy(...)": lambda held=held: held.append(F.cross_entropy(held[0], problem.y)),  # type: ignore[misc]
            "loss.backward()": lambda held=held: held[1].backward(),  # type: ignore[misc]
            "optimizer.step()": optimizer.step,
        }
        found = {name: _total(call) for name, call in calls.items()}
    return found


def amounts(quick: bool = False) -> Iterator[dict[str, Any]]:
    """One row per network: the instructions of a step of each candidate; and ours by phase. Quick: one network of its
    own.
    """
    for net in [Net(12, (8, 8), 4, 6)] if quick else [*SMALL, CS231N[0]]:
        row: dict[str, Any] = {
            "what": INSTRUCTIONS,
            "case": str(net),
            "series": "",
            "size": 0.0,
            "values": {},
            "skipped": {},
        }
        for name, make in steps_by_name().items():
            try:
                step = make(Problem(net))
            except rivals.Missing as why:
                row["skipped"][name] = str(why)
                continue
            for _ in range(5):
                step()
            row["values"][name] = _total(step)
        yield row
    for net in [Net(12, (8, 8), 4, 6)] if quick else SMALL:
        yield row | {"what": PHASES, "case": str(net), "values": _phases(Problem(net)), "skipped": {}}


def main() -> None:
    """``python -m benchmarks.interpreter [careful NumPy | autodiff | ...]``: the functions behind a small step's
    instructions.
    """
    names = sys.argv[1:] or ["careful NumPy", "autodiff"]
    for name in names:
        step = steps_by_name()[name](Problem(SMALL[0]))
        for _ in range(5):
            step()
        instructions, entries = counted(step)
        print(f"{name}, {SMALL[0]}: {instructions.total()} instructions in {entries.total()} calls of Python functions")
        for code, count in instructions.most_common(40):
            print(
                f"{count:6d} in {entries[code]:3d} calls  {code.co_qualname}"
                f" ({code.co_filename.rpartition('/')[2]}:{code.co_firstlineno})"
            )


if __name__ == "__main__":
    main()
