"""Who is faster, by how much, and how sure is that.

Candidates take turns within one process: a round times each of them once, in rotating order, and a ratio is the median
over rounds of the two times *of the same round*. So a machine that slows down for a second slows everybody, and the
ratio stays. A turn begins with an untimed call, or whoever comes after a relative would find warm caches and the others
cold ones; with several threads by untimed calls for long enough to wake the cores. Rounds go on until the spread of the
medians is small or the time allowed is used up.

Before anything is timed, every candidate's result is compared with the reference: a fast wrong answer never gets a
figure. In a quick check (:func:`quick_check`) any disagreement is an error; in a timed run a rival that disagrees or
fails takes no part, with the reason told, and the others go on.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

__all__ = [
    "Candidate",
    "Contest",
    "Disagreement",
    "Result",
    "Target",
    "Timing",
    "agree",
    "duration",
    "is_ours",
    "measure",
    "numpy_alone",
    "quick_check",
    "table",
    "verdicts",
]


T = TypeVar("T")

#: From so many seconds a call is long against filling the caches, and is not made once in vain before every turn.
COLD = 0.02

#: Seconds of untimed calls after a rest: a core that has slept takes some ten milliseconds until it is of use to a
#: second thread.
WAKING = 0.02

#: A reason for not taking part that is no longer than this stands in the table's own cell.
SHORT = 20

#: The library with its compiled kernels switched off, where numba is installed.
NUMPY_ALONE = "autodiff, NumPy alone"


def is_ours(name: str) -> bool:
    """Whether a candidate of this name is the library, in one of its forms."""
    return name.startswith("autodiff")


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


def numpy_alone(candidate: Candidate) -> Candidate:
    """The same candidate with the library's compiled kernels switched off while it runs."""
    from autodiff import kernels

    def off(call: Callable[[], T]) -> Callable[[], T]:
        def run() -> T:
            before = kernels.use("numpy")
            try:
                return call()
            finally:
                kernels.use(before)

        return run

    return Candidate(NUMPY_ALONE, off(candidate.run), None if candidate.result is None else off(candidate.result))


@dataclass(frozen=True)
class Target:
    """``candidate`` should take at most ``ratio`` times what ``against`` takes.

    For aims of a benchmark's own; what is promised to the user stands in :mod:`benchmarks.targets`.
    """

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
    rounds : int
        Fewest rounds: fewer where one call takes seconds.
    once : dict of str to callable
        Candidates too slow to take turns: each gives the seconds of one call, made apart and compared there.
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
    rounds: int = 15
    once: dict[str, Callable[[], float]] = field(default_factory=dict)

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
    ratios: dict[str, dict[str, float]]
    """For every form of the library the median ratio, within a round, to everybody else."""
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
            "ratios": self.ratios,
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
    truth = _truth(contest)
    for candidate in contest.candidates:
        _compare(contest, candidate, truth)


def _truth(contest: Contest) -> list[Any]:
    reference = next(candidate.result for candidate in contest.candidates if candidate.name == contest.reference)
    if reference is None:
        raise ValueError(f"the reference of {contest.case!r} gives no result")
    return [np.asarray(array) for array in reference()]


def _compare(contest: Contest, candidate: Candidate, truth: Sequence[Any]) -> None:
    if candidate.result is None or candidate.name == contest.reference:
        return
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
                f"{where}: array {index} differs from {contest.reference} by {error:.3g} of its largest entry"
                f" ({contest.tolerance:.1g} allowed)"
            )


def _reason(error: Exception) -> str:
    """What is told of a rival that fails: at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _admit(contest: Contest, warm_up: Callable[[Candidate], T]) -> list[tuple[Candidate, T]]:
    """Those whose results agree and who run, with what ``warm_up`` found; a rival that does not is noted under
    ``skipped``.
    """
    truth = _truth(contest)
    admitted = []
    for candidate in contest.candidates:
        try:
            _compare(contest, candidate, truth)
            admitted.append((candidate, warm_up(candidate)))
        except Exception as error:
            if is_ours(candidate.name) or candidate.name in (contest.reference, contest.baseline):
                raise
            contest.skipped[candidate.name] = _reason(error)
    return admitted


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


def _calls_per_turn(run: Callable[[], object], clock: Callable[[], int], turn: float) -> tuple[int, bool]:
    """So many calls that a turn takes about ``turn`` seconds, and whether a call is short enough to feel what others
    left in the caches.
    """
    run()
    calls = 1
    while True:
        start = clock()
        for _ in range(calls):
            run()
        spent = (clock() - start) * 1e-9
        if spent >= turn / 2:
            return max(1, round(calls * turn / spent)), spent / calls < COLD
        calls *= 2 if spent > turn / 8 else 4


def measure(
    contest: Contest,
    *,
    seconds: float = 2.0,
    turn: float = 2e-3,
    precision: float = 0.01,
    clock: Literal["wall", "cpu"] = "wall",
    rest: float = 0.0,
) -> Result:
    """Check that results agree, then time the candidates in turns.

    Parameters
    ----------
    contest : Contest
    seconds : float
        Stop after this long, once there are ``contest.rounds`` rounds.
    turn : float
        Aim at turns of this many seconds: long against the clock's own cost, short against a machine's moods.
    precision : float
        Stop early when every median is known to this relative standard error.
    clock : {"wall", "cpu"}
        ``"cpu"`` counts the process's own processor time, which other processes do not lengthen: for one thread on a
        busy machine. It cannot show the gain of a second thread.
    rest : float
        Sleep so many seconds before every turn, and then make calls untimed for ``WAKING``. With several threads it
        lets the pool of whoever had the last turn fall asleep: OpenBLAS's threads spin for about 27 ms after a product,
        and would take a core from the next.

    Returns
    -------
    Result
    """
    read = _CLOCKS[clock]
    admitted = _admit(contest, lambda candidate: _calls_per_turn(candidate.run, read, turn))
    candidates = [candidate for candidate, _ in admitted]
    calls = [count for _, count in admitted]
    # The collector stays on, since its work is part of a candidate's price; but what the libraries loaded so far hold
    # is set aside, or the one who triggers a full collection would pay for traversing all of JAX.
    gc.collect()
    gc.freeze()
    try:
        times: list[list[float]] = [[] for _ in candidates]
        deadline = time.perf_counter() + seconds
        rounds = 0
        while True:
            for offset in range(len(candidates)):
                place = (offset + rounds) % len(candidates)
                run, (count, feels) = candidates[place].run, calls[place]
                repeat = range(count)
                if rest:
                    time.sleep(rest)
                    awake = time.perf_counter() + WAKING
                    while time.perf_counter() < awake:
                        run()
                elif feels:
                    run()
                start = read()
                for _ in repeat:
                    run()
                times[place].append((read() - start) * 1e-9 / count)
            rounds += 1
            if rounds >= contest.rounds and (time.perf_counter() > deadline or _known(times, precision)):
                break
    finally:
        gc.unfreeze()
    per_call = {c.name: [t / contest.per for t in taken] for c, taken in zip(candidates, times, strict=True)}
    baseline = per_call[contest.baseline]
    ratios = {
        ours: {
            other: float(np.median(np.asarray(taken) / np.asarray(per_call[other])))
            for other in per_call
            if other != ours
        }
        for ours, taken in per_call.items()
        if is_ours(ours)
    }
    timings = {name: Timing.of(taken, baseline) for name, taken in per_call.items()}
    for name, call in contest.once.items():
        try:
            spent = call() / contest.per
        except Exception as error:
            contest.skipped[name] = _reason(error)
            continue
        timings[name] = Timing(spent, spent, spent, 1, spent / timings[contest.baseline].median)
        for ours, others in ratios.items():
            others[name] = timings[ours].median / spent
    return Result(
        contest.benchmark,
        contest.case,
        contest.baseline,
        timings,
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
        (target.candidate, target.against, target.ratio, result.ratios[target.candidate][target.against])
        for target in result.targets
        if target.against in result.ratios.get(target.candidate, {})
    ]


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= 0.9995 * scale:
            return f"{_three(seconds / scale)} {unit}"
    return f"{_three(seconds * 1e9)} ns"


def _three(value: float) -> str:
    """Three significant digits, never in powers of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table: median, half the interquartile range in percent, ratio to the baseline.

    Cases stand in rows and candidates in columns, or the other way round where there are more candidates than cases.

    Parameters
    ----------
    rows : sequence of dict
        As :meth:`Result.as_json` gives them.
    """
    names = list(dict.fromkeys(name for row in rows for name in (*row["seconds"], *row["skipped"])))
    body = [[_cell(row, name) for name in names] for row in rows]
    tops, sides, corner = names, [row["case"] for row in rows], "case"
    if len(names) > len(rows):
        tops, sides, corner, body = sides, tops, "", [list(column) for column in zip(*body, strict=True)]
    lines = [[corner, *tops], *([side, *cells] for side, cells in zip(sides, body, strict=True))]
    written = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([written[0], "|---" * (len(tops) + 1) + "|", *written[1:], ""])


def _cell(row: dict[str, Any], name: str) -> str:
    timing = row["seconds"].get(name)
    if timing is None:
        return row["skipped"].get(name, "") if len(row["skipped"].get(name, "")) <= SHORT else "—"
    spread = 50 * (timing["high"] - timing["low"]) / timing["median"]
    ratio = "" if name == row["baseline"] else f" · {timing['ratio']:.2f}"
    text = f"{duration(timing['median'])} {'once' if timing['rounds'] == 1 else f'±{spread:.0f}%'}{ratio}"
    return f"**{text}**" if is_ours(name) else text
