"""``python -m autodiff.testing [OP ...] [--deep]``: the verification table of every registered operation; exit status 1 on a failure."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autodiff.errors import MissingExtraError, require
from autodiff.facts import sample_call
from autodiff.ops import special
from autodiff.primitive import registry
from autodiff.testing.draw import RandomDraw
from autodiff.testing.mutation import survivors
from autodiff.testing.verify import Verification, find, verify_all

_HEADINGS = ("operation", "kind", "cases", "fused - composed", "ulps", "numeric", "second order", "mutants", "verdict")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m autodiff.testing", description="Verify the gradients of registered operations.")
    parser.add_argument("ops", nargs="*", metavar="OP", help="names of operations (default: all)")
    parser.add_argument("--deep", action="store_true", help="100 random calls of each instead of 3")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the table as Markdown")
    options = parser.parse_args(argv)
    with contextlib.suppress(MissingExtraError):
        special.register()
    unknown = [name for name in options.ops if name not in registry]
    if unknown:
        parser.error(f"no operation {', '.join(unknown)}; known: {', '.join(sorted(registry))}")
    names = options.ops or sorted(registry)
    started = time.perf_counter()
    rows: list[tuple[Verification, str]] = []
    bar = _progress(len(names))

    def each(result: Verification) -> None:
        rows.append((result, _mutants(result.name, options.seed)))
        bar.update(1)

    verify_all(names, cases=100 if options.deep else 3, seed=options.seed, each=each)
    bar.close()
    table = [_HEADINGS, *(_row(result, mutants) for result, mutants in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(_HEADINGS))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    failed = [result for result, mutants in rows if not result.passed or "survived" in mutants]
    for result in failed:
        print(f"\n{result.name}: {result.problem or 'a mutant survived: its facts are too weak'}")
    print(f"\n{len(rows)} operations, {len(failed)} failed, seed {options.seed}, {time.perf_counter() - started:.1f} s")
    if options.write:
        options.write.write_text(_markdown(table, options.seed))
    return 1 if failed else 0


def _mutants(name: str, seed: int) -> str:
    op = find(name)
    draw = RandomDraw(np.random.default_rng([seed, 1, *name.encode()]))
    left = survivors(op, [sample_call(op, draw) for _ in range(3)])
    return "all caught" if not left else f"survived: {', '.join(left)}"


def _row(result: Verification, mutants: str) -> tuple[str, ...]:
    def small(value: float | None, form: str = ".1e") -> str:
        return "" if value is None else format(value, form)

    return (
        result.name, result.kind, str(result.cases), small(result.composed_error), small(result.composed_ulps, ".1f"),
        small(result.numeric_error), small(result.second_order_error), mutants, "pass" if result.passed else "FAIL",
    )  # fmt: skip


def _markdown(table: Sequence[Sequence[str]], seed: int) -> str:
    head, *body = table
    lines = [
        "# Verification", "",
        f"Written by `python -m autodiff.testing --write docs/verification.md` (seed {seed}). Errors are relative: fused against composed to",
        "the largest entry of the array, gradients against the numerical reference, second order likewise.", "",
        "| " + " | ".join(head) + " |", "|" + " --- |" * len(head),
    ]  # fmt: skip
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body)]) + "\n"


class _Silent:
    def update(self, n: int) -> None:
        pass

    def close(self) -> None:
        pass


def _progress(total: int) -> _Silent:
    try:
        bar: _Silent = require("tqdm").tqdm(total=total, unit="op", leave=False, disable=not sys.stderr.isatty())
    except MissingExtraError:
        bar = _Silent()
    return bar


if __name__ == "__main__":
    sys.exit(main())
