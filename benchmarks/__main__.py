"""``python -m benchmarks [--quick] [PARTS]``: run the benchmarks, print tables, write ``docs/performance.md`` and its
plots.

Every part runs in a process of its own for each number of threads, one after another, so that nothing else occupies the
machine and what one leaves behind in the C library's allocator or in the garbage collector does not lengthen the next.
Figures go to ``benchmarks/results/performance.json``; a part that was not run again keeps its own. The page is made
from that file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.parts import PARTS
from benchmarks.threads import TUNED, limit

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "performance.json"

#: Seconds to sleep before a turn where there are several threads; see harness.measure.
REST = 0.03


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = (0,)
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"takes positive numbers such as 1 or 1,2, got {text!r}")
    return counts


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="PARTS", help=f"any of {', '.join(PARTS)}; all unless given")
    parser.add_argument("--quick", action="store_true", help="check that everything runs and agrees; time nothing")
    parser.add_argument("--threads", type=_counts, help="thread counts such as 2 or 1,2, in place of each part's own")
    parser.add_argument("--seconds", type=float, help="time per case, in place of each part's own")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: for one thread on a busy machine"
    )
    parser.add_argument(
        "--malloc", choices=("default", "tuned"), default="default", help="tuned: glibc keeps freed memory"
    )
    parser.add_argument(
        "--only", default="", help="only cases whose name holds this text; they replace their namesakes in the results"
    )
    parser.add_argument(
        "--crowded",
        action="store_true",
        help="for a busy machine: pin to no core, and let parts take ten times as long",
    )
    parser.add_argument("--no-report", action="store_true", help="print the tables, write nothing")
    parser.add_argument("--render", action="store_true", help="measure nothing: write the page anew from the results")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="the figures, as JSON")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder for performance.md and its plots")
    parser.add_argument("--worker", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(PARTS))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if options.clock == "cpu" and max(options.threads or (2,)) > 1:
        parser.error("--clock cpu adds up the threads' time: it is for --threads 1")
    options.names = options.names or list(PARTS)
    return options


# --- in the process of one part --------------------------------------------------------------------------------------


def _work(options: argparse.Namespace) -> int:
    """Run one part in this process; its results so far are always in the file, so that a part that is stopped keeps
    them.
    """
    (name,), (threads,) = options.names, options.threads
    limit(threads, pin=not (options.quick or options.crowded))
    import importlib

    from benchmarks import harness
    from benchmarks.report import amounts_table, machine

    module = importlib.import_module(f"benchmarks.{name}")
    seconds = PARTS[name].seconds if options.seconds is None else options.seconds
    settings = {"clock": options.clock, "malloc": options.malloc, "seconds": seconds}
    section: dict[str, Any] = {
        "name": name,
        "threads": threads,
        "rows": [],
        "amounts": [],
        "failures": [],
        "settings": settings,
    }
    start = time.perf_counter()

    def keep() -> None:
        section["took"] = round(time.perf_counter() - start, 1)
        Path(options.worker).write_text(json.dumps(section | {"machine": machine()}))

    def put(kind: str, row: dict[str, Any], text: str) -> None:
        section[kind].append(row)
        keep()
        print(text, flush=True)

    def compete(contest: harness.Contest) -> None:
        if options.only not in contest.case:
            return
        _with_numpy_alone(contest)
        try:
            if options.quick:
                harness.quick_check(contest)
                print(f"{name}: {contest.case}: {len(contest.candidates)} candidates agree", flush=True)
                return
            result = harness.measure(contest, seconds=seconds, clock=options.clock, rest=REST if threads > 1 else 0.0)
        except Exception as error:  # the other cases go on, and the page tells this one
            section["failures"].append(f"{contest.case}: {type(error).__name__}: {error}")
            keep()
            print(f"FAILED {section['failures'][-1]}", flush=True)
            return
        put("rows", result.as_json(), harness.table([result.as_json()]))

    try:
        if hasattr(module, "contests"):
            for contest in module.contests(quick=options.quick):
                compete(contest)
        elif hasattr(module, "results"):
            for result in module.results(quick=options.quick):
                put("rows", result.as_json(), harness.table([result.as_json()]))
        else:
            for row in module.amounts(quick=options.quick):
                put("amounts", row, amounts_table([row]))
    except Exception as error:
        section["failures"].append(f"{type(error).__name__}: {error}")
        print(f"FAILED {section['failures'][-1]}", flush=True)
    keep()
    return len(section["failures"])


def _with_numpy_alone(contest: Any) -> None:
    """Add the library with its compiled kernels switched off, where they matter and there are any."""
    import importlib.util

    from benchmarks.harness import numpy_alone

    if contest.benchmark in ("kernels", "training") and importlib.util.find_spec("numba"):
        place, ours = next(
            (i, candidate) for i, candidate in enumerate(contest.candidates) if candidate.name == "autodiff"
        )
        contest.candidates.insert(place + 1, numpy_alone(ours))


# --- in the process that was called ----------------------------------------------------------------------------------


class _Progress:
    """A bar over the seconds that the parts may take, where tqdm is installed and there is a terminal; lines
    otherwise.
    """

    def __init__(self, total: float) -> None:
        self.bar: Any = None
        self.start, self.shown = time.perf_counter(), 0.0
        if sys.stderr.isatty():
            with contextlib.suppress(ModuleNotFoundError):
                from tqdm import tqdm

                self.bar = tqdm(
                    total=round(total),
                    unit="s",
                    bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed} of at most {total} s",
                )

    def part(self, title: str) -> None:
        self.line(f"\n## {title} [{time.perf_counter() - self.start:.0f} s]\n")
        if self.bar is not None:
            self.bar.set_description_str(title)

    def line(self, text: str) -> None:
        if self.bar is None:
            print(text, flush=True)
            return
        self.bar.write(text)
        now = time.perf_counter() - self.start
        self.bar.update(min(now, self.bar.total) - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _lines(process: subprocess.Popen[bytes], seconds: float) -> Iterator[str]:
    """What a process writes, until it ends or its time is up; in any case it is gone afterwards, and what it started
    too.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    text = b""
    try:
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            while waiting.select(None if seconds == math.inf else max(deadline - time.monotonic(), 0)):
                new = os.read(process.stdout.fileno(), 1 << 16)
                if not new:
                    process.wait()
                    return
                *lines, text = (text + new).split(b"\n")
                yield from (line.decode() for line in lines)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _run(name: str, threads: int, options: argparse.Namespace, file: Path, progress: _Progress) -> int:
    """One part at one number of threads; the exit status of its process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        name,
        "--worker",
        str(file),
        "--threads",
        str(threads),
        "--clock",
        options.clock,
    ]
    command += ["--malloc", options.malloc, "--only", options.only]
    command += [] if options.seconds is None else ["--seconds", str(options.seconds)]
    command += [f"--{flag}" for flag in ("quick", "crowded") if getattr(options, flag)]
    environment = os.environ | (TUNED if options.malloc == "tuned" else {})
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        for line in _lines(process, math.inf if options.quick else PARTS[name].limit * (10 if options.crowded else 1)):
            progress.line(line)
    return process.returncode


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for; the exit status is the number of those that failed."""
    options = _arguments(argv)
    if options.worker:
        return min(_work(options), 100)
    if options.render:
        from benchmarks.report import render

        print("\n".join(render(options.results, options.out)))
        return 0
    plan = [
        (name, threads)
        for name in options.names
        for threads in options.threads or ((1,) if options.quick else PARTS[name].threads)
    ]
    progress = _Progress(sum(PARTS[name].limit for name, _ in plan))
    sections: list[dict[str, Any]] = []
    failed = 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, threads in plan:
                progress.part(f"{name}, {threads} thread{'s' if threads > 1 else ''}")
                file = Path(folder) / f"{name}-{threads}.json"
                status = _run(name, threads, options, file, progress)
                nothing = {"name": name, "threads": threads, "rows": [], "amounts": [], "failures": []}
                section = json.loads(file.read_text()) if file.exists() else nothing
                if status and not section["failures"]:
                    stopped = (
                        f"stopped after {PARTS[name].limit:g} s"
                        if status == -signal.SIGKILL
                        else f"ended with status {status}"
                    )
                    section["failures"].append(f"{stopped}; what is missing was not measured")
                    progress.line(f"FAILED {section['failures'][-1]}")
                failed += bool(section["failures"])
                sections.append(section)
                if not options.quick and not options.no_report:
                    from benchmarks.report import store

                    store([section], options.results, whole=not options.only)
    finally:
        progress.close()
    if not options.quick and not options.no_report:
        from benchmarks.report import render

        print("\n".join(render(options.results, options.out)))
    return failed


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part that runs is ended, too
    sys.exit(main())
