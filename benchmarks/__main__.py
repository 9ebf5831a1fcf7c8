"""``python -m benchmarks [--quick] [NAMES]``: run benchmarks, print tables, write ``docs/performance.md`` and a plot.

Every benchmark runs in a process of its own, so that what one leaves behind in the C library's allocator or in the
garbage collector does not lengthen the next.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.threads import limit

NAMES = ("overhead", "scalar_chain", "training", "kernels", "sequences", "graphs", "jacobians", "chains")
ROOT = Path(__file__).parent.parent


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"any of {', '.join(NAMES)}; all unless given")
    parser.add_argument("--quick", action="store_true", help="check that everything runs and agrees; time nothing")
    parser.add_argument("--threads", type=int, default=1, help="threads that everybody may use (1)")
    parser.add_argument("--seconds", type=float, default=3.0, help="time per case (3)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for one thread on a busy machine")
    parser.add_argument(
        "--malloc",
        choices=("default", "tuned"),
        default="default",
        help="tuned: run under glibc's raised thresholds (see autodiff.performance)",
    )
    parser.add_argument("--only", default="", help="only cases whose name holds this text")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder for performance.md, .json and .svg")
    parser.add_argument("--no-report", action="store_true", help="print the tables, write nothing")
    parser.add_argument("--worker", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if options.threads < 1:
        parser.error("--threads takes a positive number")
    if options.clock == "cpu" and options.threads > 1:
        parser.error("--clock cpu adds up the threads' time: it is for --threads 1")
    options.names = options.names or list(NAMES)
    return options


def _work(options: argparse.Namespace) -> None:
    """Run one benchmark in this process and leave its results in a file."""
    limit(options.threads)
    import importlib

    from benchmarks.harness import measure, quick_check, table

    (name,) = options.names
    module = importlib.import_module(f"benchmarks.{name}")
    rows: list[dict[str, Any]] = []
    for contest in module.contests(quick=options.quick):
        if options.only not in contest.case:
            continue
        if options.quick:
            quick_check(contest)
            print(f"{name}: {contest.case}: {len(contest.candidates)} candidates agree", flush=True)
            continue
        result = measure(contest, seconds=options.seconds, clock=options.clock)
        rows.append(result.as_json())
        print(table(rows[-1:]), flush=True)
    extra: dict[str, Any] = {}
    if name == "graphs" and not options.quick and not options.only:
        extra = {"bytes_per_node": module.memory(), "peak_bytes": module.peaks()}
    Path(options.worker).write_text(json.dumps({"rows": rows, **extra}))


def main(argv: list[str] | None = None) -> int:
    """Run the benchmarks asked for; the exit status is the number of those that failed."""
    options = _arguments(argv)
    if options.worker:
        _work(options)
        return 0
    found: dict[str, Any] = {}
    failed = 0
    environment = dict(os.environ)
    if options.malloc == "tuned":
        environment |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names:
            print(f"\n## {name}\n", flush=True)
            file = Path(folder) / f"{name}.json"
            command = [sys.executable, "-m", "benchmarks", name, "--worker", str(file)]
            command += ["--threads", str(options.threads), "--seconds", str(options.seconds)]
            command += ["--clock", options.clock, "--only", options.only, *(["--quick"] if options.quick else [])]
            failed += subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0
            if file.exists():
                found[name] = json.loads(file.read_text())
    if not options.quick and not options.no_report:
        from benchmarks.report import write

        settings = {key: getattr(options, key) for key in ("threads", "clock", "malloc", "seconds", "only")}
        print(f"\nwritten: {write(found, settings, options.out)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
