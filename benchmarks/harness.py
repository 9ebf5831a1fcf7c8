"""Who is faster, by how much, and how sure is that.

Candidates take turns within one process: a round times each of them once, in rotating order, and a ratio is the median
over rounds of the two times *of the same round*. So a machine that slows down for a second slows everybody, and the
ratio stays. Rounds go on until the spread of the medians is small or the time allowed is used up.

Before anything is timed, :func:`agree` compares every candidate's result with the reference: a fast wrong answer is
an error, never a row.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

__all__ = [
    "Candidate",
    "Contest",
    "Disagreement",
    "Result",
    "Target",
    "Timing",
    "agree",
    "measure",
    "quick_check",
    "table",
    "verdicts",
]


class Disagreement(AssertionError):
    """A candidate does not compute what the reference computes."""


@dataclass(frozen=True)
class Candidate:
    """One way to compute the thing.

    Parameters
    ----------
    name : str
        Such as ``"autodiff"`` or ``"careful NumPy"``.
    run : callable
        What is timed. Takes nothing.
    result : callable, optional
        Gives the arrays to compare with the reference's. Called once, before timing, on a fresh state. A candidate
        without it only takes part in the timing (it must say why where it is made).
    """

    name: str
    run: Callable[[], object]
    result: Callable[[], Sequence[Any]] | None = None


@dataclass(frozen=True)
class Target:
    """``candidate`` should take at most ``ratio`` times what ``against`` takes."""

    against: str
    ratio: float
    candidate: str = "autodiff"


@dataclass
class Contest:
    """Candidates for one case of one benchmark.

    Parameters
    ----------
    benchmark, case : str
        The row's names in the table.
    candidates : list of Candidate
    reference : str
        The candidate whose results are the truth.
    baseline : str, optional
        The candidate that ratios are given to; the reference unless said.
    tolerance : float
        Largest difference allowed, relative to the largest entry of the reference array.
    per : int
        Divide times by this (number of operations in the chain), so that the table tells time per operation.
    targets : list of Target
    skipped : dict of str to str
        Candidates that could not take part, with the reason.
    series, size : str, float
        The cases of one series differ in size alone; the report tells how their times grow.
    """

    benchmark: str
    case: str
    candidates: list[Candidate]
    reference: str
    baseline: str = ""
    tolerance: float = 1e-4
    per: int = 1
    targets: list[Target] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    series: str = ""
    size: float = 0.0

    def __post_init__(self) -> None:
        self.baseline = self.baseline or self.reference
        names = [candidate.name for candidate in self.candidates]
        if len(set(names)) != len(names):
            raise ValueError(f"candidates of {self.case!r} are not told apart by name: {names}")
        for name in (self.reference, self.baseline):
            if name not in names:
                raise ValueError(f"{name!r} is not a candidate of {self.case!r}: {names}")


@dataclass(frozen=True)
class Timing:
    """Seconds per call: median and quartiles over the rounds."""

    median: float
    low: float
    high: float
    rounds: int
    ratio: float
    """Median over rounds of the time divided by the baseline's of the same round."""

    @classmethod
    def of(cls, times: Sequence[float], baseline: Sequence[float]) -> Timing:
        low, median, high = np.percentile(times, [25, 50, 75])
        ratio = float(np.median(np.asarray(times) / np.asarray(baseline)))
        return cls(float(median), float(low), float(high), len(times), ratio)


@dataclass(frozen=True)
class Result:
    """What a contest came to."""

    benchmark: str
    case: str
    baseline: str
    timings: dict[str, Timing]
    ratios: dict[tuple[str, str], float]
    targets: list[Target]
    skipped: dict[str, str]
    per: int = 1
    series: str = ""
    size: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``json.dump``."""
        return {
            "benchmark": self.benchmark,
            "case": self.case,
            "baseline": self.baseline,
            "per": self.per,
            "series": self.series,
            "size": self.size,
            "seconds": {
                name: {"median": t.median, "low": t.low, "high": t.high, "rounds": t.rounds, "ratio": t.ratio}
                for name, t in self.timings.items()
            },
            "targets": [
                {"candidate": candidate, "against": against, "at_most": most, "ratio": ratio, "reached": ratio <= most}
                for candidate, against, most, ratio in verdicts(self)
            ],
            "skipped": self.skipped,
        }


def agree(contest: Contest) -> None:
    """Compare every candidate's result with the reference's.

    Raises
    ------
    Disagreement
        If an array is missing, has another shape, is not finite, or is off by more than the tolerance.
    """
    by_name = {candidate.name: candidate for candidate in contest.candidates}
    reference = by_name[contest.reference].result
    if reference is None:
        raise ValueError(f"the reference of {contest.case!r} gives no result")
    truth = [np.asarray(array) for array in reference()]
    for candidate in contest.candidates:
        if candidate.result is None or candidate.name == contest.reference:
            continue
        arrays = [np.asarray(array) for array in candidate.result()]
        where = f"{contest.benchmark}, {contest.case}: {candidate.name}"
        if len(arrays) != len(truth):
            raise Disagreement(f"{where} gives {len(arrays)} arrays, {contest.reference} gives {len(truth)}")
        for index, (array, true) in enumerate(zip(arrays, truth, strict=True)):
            if array.shape != true.shape:
                raise Disagreement(f"{where}: array {index} has shape {array.shape}, not {true.shape}")
            if not array.size:
                continue
            error = _difference(array, true)
            if not error <= contest.tolerance:  # also true for nan
                raise Disagreement(
                    f"{where}: array {index} differs from {contest.reference} by {error:.3g} of its largest entry "
                    f"({contest.tolerance:.1g} allowed)"
                )


def _difference(array: Any, true: Any) -> float:
    """Largest difference over the largest entry of ``true``; nan if there is a nan.

    Piece by piece: large temporaries made and freed here would move the C library's thresholds and so change what the
    timed candidates pay for theirs.
    """
    piece = 4096
    flat, true_flat = array.reshape(-1), true.reshape(-1)
    scale = error = 0.0
    for start in range(0, true_flat.size, piece):
        ours = flat[start : start + piece].astype(np.float64)
        theirs = true_flat[start : start + piece].astype(np.float64)
        scale = max(scale, float(np.max(np.abs(theirs))))
        worst = float(np.max(np.abs(ours - theirs)))
        if not worst <= error:
            error = worst
        if error != error:
            break
    return error / (scale or 1.0)


def quick_check(contest: Contest) -> None:
    """Results agree and every candidate runs twice more; nothing is timed."""
    agree(contest)
    for candidate in contest.candidates:
        for _ in range(2):
            candidate.run()


_CLOCKS: dict[str, Callable[[], int]] = {"wall": time.perf_counter_ns, "cpu": time.process_time_ns}


def _calls_per_turn(run: Callable[[], object], clock: Callable[[], int], turn: float) -> int:
    """So many calls that a turn takes about ``turn`` seconds; also the warm-up."""
    run()
    calls = 1
    while True:
        start = clock()
        for _ in range(calls):
            run()
        spent = (clock() - start) * 1e-9
        if spent >= turn / 2:
            return max(1, round(calls * turn / spent))
        calls *= 2 if spent > turn / 8 else 4


def measure(
    contest: Contest,
    *,
    seconds: float = 2.0,
    turn: float = 1e-3,
    precision: float = 0.01,
    least: int = 15,
    clock: Literal["wall", "cpu"] = "wall",
) -> Result:
    """Check that results agree, then time the candidates in turns.

    Parameters
    ----------
    contest : Contest
    seconds : float
        Stop after this long, once there are ``least`` rounds.
    turn : float
        Aim at turns of this many seconds: long against the clock's own cost, short against a machine's moods.
    precision : float
        Stop early when every median is known to this relative standard error.
    least : int
        Fewest rounds.
    clock : {"wall", "cpu"}
        ``"cpu"`` counts the process's own processor time, which other processes do not lengthen: for one thread on a
        busy machine. It cannot show the gain of a second thread.

    Returns
    -------
    Result
    """
    agree(contest)
    read = _CLOCKS[clock]
    candidates = contest.candidates
    # The collector stays on, since its work is part of a candidate's price; but what the libraries loaded so far hold
    # is set aside, or the one who triggers a full collection would pay for traversing all of JAX.
    gc.collect()
    gc.freeze()
    try:
        calls = [_calls_per_turn(candidate.run, read, turn) for candidate in candidates]
        times: list[list[float]] = [[] for _ in candidates]
        deadline = time.perf_counter() + seconds
        rounds = 0
        while True:
            for offset in range(len(candidates)):
                place = (offset + rounds) % len(candidates)
                run, repeat = candidates[place].run, range(calls[place])
                start = read()
                for _ in repeat:
                    run()
                times[place].append((read() - start) * 1e-9 / calls[place])
            rounds += 1
            if rounds >= least and (time.perf_counter() > deadline or _known(times, precision)):
                break
    finally:
        gc.unfreeze()
    per_call = {c.name: [t / contest.per for t in taken] for c, taken in zip(candidates, times, strict=True)}
    baseline = per_call[contest.baseline]
    ratios = {
        (target.candidate, target.against): float(
            np.median(np.asarray(per_call[target.candidate]) / np.asarray(per_call[target.against]))
        )
        for target in contest.targets
        if target.candidate in per_call and target.against in per_call
    }
    return Result(
        contest.benchmark,
        contest.case,
        contest.baseline,
        {name: Timing.of(taken, baseline) for name, taken in per_call.items()},
        ratios,
        contest.targets,
        contest.skipped,
        contest.per,
        contest.series,
        contest.size,
    )


def _known(times: Sequence[Sequence[float]], precision: float) -> bool:
    """Whether every median's standard error, 0.93 interquartile ranges / sqrt(rounds), is below ``precision``."""
    for taken in times:
        low, median, high = np.percentile(taken, [25, 50, 75])
        if 0.93 * (high - low) / math.sqrt(len(taken)) > precision * median:
            return False
    return True


def verdicts(result: Result) -> list[tuple[str, str, float, float]]:
    """``(candidate, against, at most, ratio)`` for every target whose two sides took part."""
    return [
        (target.candidate, target.against, target.ratio, result.ratios[target.candidate, target.against])
        for target in result.targets
        if (target.candidate, target.against) in result.ratios
    ]


def _duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table per benchmark: median, half the interquartile range in percent, ratio to the baseline.

    Parameters
    ----------
    rows : sequence of dict
        As :meth:`Result.as_json` gives them.
    """
    parts: list[str] = []
    for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
        ours = [row for row in rows if row["benchmark"] == benchmark]
        names = list(dict.fromkeys(name for row in ours for name in row["seconds"]))
        parts.append("| " + " | ".join(["case", *names]) + " |")
        parts.append("|---" * (len(names) + 1) + "|")
        for row in ours:
            cells = [row["case"]]
            for name in names:
                timing = row["seconds"].get(name)
                if timing is None:
                    cells.append("")
                    continue
                spread = 50 * (timing["high"] - timing["low"]) / timing["median"]
                ratio = "" if name == row["baseline"] else f" ({timing['ratio']:.2f}x)"
                cells.append(f"{_duration(timing['median'])} ±{spread:.0f}%{ratio}")
            parts.append("| " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)
