"""``python -m autodiff.testing [OP ...] [--deep]``: the verification table of every registered operation; exit status 1
on a failure. ``python -m autodiff.testing mypackage.ops`` checks what stands in a module.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.command import Parser, at_least, one_line
from autodiff.core.errors import ArgumentError, GradientMismatch, MissingExtraError
from autodiff.core.op import Fused, Primitive, registry
from autodiff.extras import require
from autodiff.files import replacing
from autodiff.ops import special
from autodiff.testing.discovery import Found, found_in
from autodiff.testing.draw import RandomDraw
from autodiff.testing.foreign import laws_of, mutants_of, problem_of
from autodiff.testing.mutation import Mutants, mutants, telling_calls
from autodiff.testing.pages import Case, write_page
from autodiff.testing.verify import Verification, find, verify, verify_all

_PAGE = """# Verification

Written by `python -m autodiff.testing --write docs/verification.md`: {}.

- *cases*: random calls from the operation's own facts, each checked in three orders and both modes.
- *fused - composed*: the largest difference between a fused operation and its composed definition, outputs and
  gradients, relative to the largest entry of the array; *ulps* the same in units in the last place; then the shares of
  entries that agree exactly, within one unit in their own last place, within four, and beyond.
- *float32*: the error of the fused operation in float32 over that of the composed definition, both judged against
  float64 (at most 4, on top of 8 ulps of the largest entry).
- *numeric*, *second order*, *third order*: the largest relative difference between the gradient, its gradient, or the
  gradient of that, and the numerical reference; *forward*: between a derivative in forward mode and the gradient's.
  Where a call stands on a kink, nothing but the first order is compared, and the others show what the rest of the calls
  gave.
- *mutants*: of the ways in which the gradient was bent (scaled by 1 + 1e-6, doubled, sign flipped, an entry zeroed, two
  gradients exchanged, a sum over broadcast axes dropped, saved arrays treated as constants in second order), how many
  the checks noticed.
"""


def _rivals(target: Path) -> int:
    from autodiff.testing.rivals import measure, page

    cases = measure()
    with replacing(target) as part:
        part.write(page(cases).encode())
    print(f"{target}: {len(cases)} derivatives that PyTorch or JAX has wrong")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = Parser(prog="python -m autodiff.testing", description="Verify the gradients of registered operations.")
    parser.add_argument(
        "ops", nargs="*", metavar="OP", help="names of operations (default: all), or of one module of yours"
    )
    parser.add_argument(
        "--deep", action="store_true", help="100 random calls of each instead of 3; of a module, mutants, too"
    )
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the table as Markdown")
    parser.add_argument(
        "--rivals", action="store_true", help="write docs/rivals.md: derivatives of the installed PyTorch and JAX"
    )
    options = parser.parse_args(argv)
    if options.rivals:
        return _rivals(options.write or Path("docs/rivals.md"))
    if options.write is not None and (options.write.is_dir() or options.write.parent.is_file()):
        parser.error(f"--write {options.write}: no file can be written there")
    with contextlib.suppress(MissingExtraError):
        special.register()
    if len(options.ops) == 1 and options.ops[0] not in registry and _is_module(options.ops[0]):
        return _check_module(parser, options.ops[0], options.seed, options.write, options.deep)
    unknown = [name for name in options.ops if name not in registry]
    if len(unknown) == 1 and "." in unknown[0]:
        parser.error(f"no module {unknown[0]} is found from this folder")
    if unknown:
        parser.error(f"no operation {', '.join(unknown)}; known: {', '.join(sorted(registry))}")
    names = options.ops or sorted(registry)
    started = time.perf_counter()
    rows: list[tuple[Verification, Mutants]] = []
    bar: Any = None
    with contextlib.suppress(MissingExtraError):
        bar = require("tqdm").tqdm(total=len(names), unit="op", leave=False, disable=not sys.stderr.isatty())

    def each(result: Verification) -> None:
        rows.append((result, _mutants(result.name, options.seed)))
        if bar is not None:
            bar.set_postfix_str(result.name)
            bar.update(1)

    with bar or contextlib.nullcontext():
        verify_all(names, cases=100 if options.deep else 3, seed=options.seed, each=each)
    cells = [_row(result, found) for result, found in rows]
    table = [list(cells[0]), *(list(row.values()) for row in cells)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    failed = [(result, found) for result, found in rows if not (result.passed and found.passed)]
    for result, found in failed:
        print(f"\n{result.name}: {result.problem or f'its facts are too weak: {found}'}")
    made, caught = sum(found.made for _, found in rows), sum(found.made - len(found.survived) for _, found in rows)
    summary = (
        f"{len(rows)} operations, {len(failed)} failed; {caught:,} of {made:,} mutants caught; seed {options.seed}"
    )
    print(f"\n{summary}, {time.perf_counter() - started:.1f} s")
    if options.write:
        try:
            with replacing(options.write) as file:
                file.write(_markdown(table, summary).encode())
        except OSError as error:
            parser.error(f"--write: {error}")
    return 1 if failed else 0


def _is_module(name: str) -> bool:
    # As with ``python -m``, what stands in the current folder is found.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _check_module(parser: Parser, name: str, seed: int, target: Path | None, deep: bool) -> int:
    """Check what stands in a module, with the laws that any gradient obeys and, if ``deep``, its mutants; print a line
    for each and write the report page.
    """
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever the module is the cause of
        parser.error(f"{name}: {one_line(error)}")
    checks: list[tuple[str, Callable[[], Any]]] = []
    for value in vars(module).values():
        op = value if isinstance(value, Primitive | Fused) else getattr(value, "__autodiff__", None)
        if op is not None and op.name in registry and op.name not in [words for words, _ in checks]:
            checks.append((op.name, lambda op=op: verify(op, seed=seed)))  # type: ignore[misc]
    checks += [(item.name, lambda item=item: _whole(item, deep)) for item in found_in(module)]  # type: ignore[misc]
    if not checks:
        print(
            f"{name}: no operation, no PyTorch function, no custom_vjp, no primitive, no pair <name>_forward and"
            " <name>_backward, no class with forward and backward and no loss is found in it"
        )
        return 1
    found = []
    for words, check in checks:
        started, message = time.perf_counter(), ""
        try:
            check()
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        outcome = "failed" if message else "passed"
        found.append(Case(words, "float64", "contiguous", 1, outcome, time.perf_counter() - started, name, message))
        print(f"{words}: {outcome}" + (f"\n{message}" if message else ""))
    page = target or Path("gradient-report.html")
    try:
        write_page(page, found, [])
    except OSError as error:
        parser.error(f"--write: {error}")
    failures = sum(case.outcome == "failed" for case in found)
    print(f"{len(found)} checked, {failures} failed; the report is {page}")
    return 1 if failures else 0


def _whole(item: Found, deep: bool) -> None:
    """The gradient against numbers, then its laws, then its mutants."""
    if item.inputs is None:
        raise ArgumentError(
            f"not checked, for no inputs are known: give {item.name} a function gradcase_inputs() that returns them"
        )
    if item.guesses:
        try:
            item = _fitting(item)
        except GradientMismatch:
            raise
        except Exception as error:
            raise ArgumentError(
                f"not checked, for inputs guessed from the names of its parameters do not fit ({error}): give"
                f" {item.name} a function gradcase_inputs() that returns them"
            ) from error
    item.check()
    broken = laws_of(item.checker, *item.arguments)
    if broken:
        raise GradientMismatch("; ".join(f"{law}: {words}" for law, words in broken.items()))
    bent = mutants_of(item.checker, *item.arguments) if deep else None
    if bent is not None and bent.survived:
        raise GradientMismatch(f"its inputs are too weak: of bent gradients {bent}")


def _fitting(item: Found) -> Found:
    """With the first of the guessed inputs that fit."""
    errors: list[Exception] = []
    for inputs in item.guesses:
        other = replace(item, inputs=inputs)
        try:
            problem_of(other.checker, other.arguments)
            return other
        except GradientMismatch:
            raise
        except Exception as error:
            errors.append(error)
    raise errors[0]


def _mutants(name: str, seed: int) -> Mutants:
    op = find(name)
    try:
        return mutants(op, telling_calls(op, RandomDraw(np.random.default_rng([seed, 1, *name.encode()]))))
    except Exception as error:
        return Mutants(0, (), (f"{type(error).__name__}: {error}",))


def _row(result: Verification, found: Mutants) -> dict[str, str]:
    def small(value: float | None, form: str = ".1e") -> str:
        return "" if value is None else format(value, form)

    return {
        "operation": result.name,
        "kind": result.kind,
        "cases": str(result.cases),
        "fused - composed": small(result.composed_error),
        "ulps": small(result.composed_ulps, ".1f"),
        "0 / 1 / 4 / more ulps": _shares(result.ulp_histogram),
        "float32": small(result.float32_ratio, ".2f"),
        "numeric": small(result.numeric_error),
        "second order": small(result.second_order_error),
        "third order": small(result.third_order_error),
        "forward": small(result.forward_error),
        "mutants": str(found),
        "verdict": "pass" if result.passed and found.passed else "FAIL",
    }


def _shares(histogram: dict[int, int]) -> str:
    """The histogram in four numbers: per cent of entries that are exact, within one unit, within four, and beyond."""
    total = sum(histogram.values())
    if not total:
        return ""
    counts = [
        sum(n for edge, n in histogram.items() if low < edge <= high)
        for low, high in ((-1, 0), (0, 1), (1, 4), (4, 10**9))
    ]
    return " / ".join(f"{100 * n / total:.0f}" for n in counts) + " %"


def _markdown(table: Sequence[Sequence[str]], summary: str) -> str:
    head, *body = table
    rows = ["| " + " | ".join(row) + " |" for row in body]
    heads = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([_PAGE.format(summary), *heads, *rows]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
