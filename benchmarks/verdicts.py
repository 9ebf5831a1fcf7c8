"""Classes of functions, bent and right gradients of them, and what each checker says.

``python -m benchmarks.verdicts [--write]`` makes the table of docs/checkers.md: for every class of functions so many
right gradients (a verdict of "wrong" is a false alarm), and gradients of which one entry is off by a thousandth, a
millionth or a billionth, doubled, or zero (a verdict of "right" is a miss). The truths are derivatives by hand in forms
that keep their digits.
"""

from __future__ import annotations

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.testing import check_pair
from benchmarks.wrong_gradients import Case

__all__ = ["BENDS", "CLASSES", "counted", "main", "ours"]

Slope = Callable[[Any], Any]

#: What the entry of the gradient that is bent is multiplied by.
BENDS = {"1 + 1e-3": 1 + 1e-3, "1 + 1e-6": 1 + 1e-6, "1 + 1e-9": 1 + 1e-9, "doubled": 2.0, "zero": 0.0}

_FUNCTIONS: list[tuple[Callable[..., Any], Slope]] = [
    (lambda x: x * np.sin(x), lambda x: np.sin(x) + x * np.cos(x)),
    (lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x)),
    (lambda x: np.log1p(x * x), lambda x: 2 * x / (1 + x * x)),
    (lambda x: np.tanh(x), lambda x: 1 / np.cosh(x) ** 2),
    (lambda x: np.sum(x**3), lambda x: 3 * x * x),
    (lambda x: np.sqrt(1 + x * x), lambda x: x / np.sqrt(1 + x * x)),
]


def _one(rng: np.random.Generator) -> tuple[Callable[..., Any], Slope]:
    return _FUNCTIONS[int(rng.integers(len(_FUNCTIONS)))]


def _smooth(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    return (*_one(rng), rng.normal(size=4))


def _branches(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    (f, df), (h, dh) = _FUNCTIONS[int(rng.integers(4))], _FUNCTIONS[int(rng.integers(4))]
    return lambda x: np.where(x > 0.1, f(x), h(x)), lambda x: np.where(x > 0.1, df(x), dh(x)), rng.normal(size=4)


def _tails(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    kinds: list[tuple[Any, Slope]] = [
        (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
        (lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (2 * np.cosh(x / 2)) ** 2),
        (lambda x: np.log1p(np.exp(-np.abs(x))), lambda x: -np.sign(x) / (1 + np.exp(np.abs(x)))),
        (lambda x: 1 / (1 + x**4), lambda x: -4 * x**3 / (1 + x**4) ** 2),
    ]
    return (*kinds[int(rng.integers(4))], rng.uniform(5, 30, 4) * rng.choice([-1, 1], 4))


def _near_kinks(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    at = rng.normal(size=4)
    x = at + 10 ** rng.uniform(-9, -2, 4) * rng.choice([-1, 1], 4)
    return lambda x: np.abs(x - at) * x, lambda x: np.sign(x - at) * x + np.abs(x - at), x


def _at_kinks(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    x = np.append(np.where(np.arange(4) < 2, 0.0, rng.normal(size=4)), rng.uniform(0.5, 1.0))
    return lambda x: np.maximum(x, 0) * np.cos(x), lambda x: (x > 0) * (np.cos(x) - x * np.sin(x)), x


def _mixed(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    kinds: list[tuple[Any, Slope]] = [
        (np.square, lambda x: 2 * x),
        (lambda x: np.sum(x * x), lambda x: 2 * x),
        (lambda x: x * np.sqrt(np.abs(x)), lambda x: 1.5 * np.sqrt(np.abs(x))),
    ]
    return (*kinds[int(rng.integers(3))], 10 ** rng.uniform(-8, 4, 4) * rng.choice([-1, 1], 4))


def _float32(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    f, df = _one(rng)
    return lambda x: np.asarray(f(np.real(x).astype(np.float32)), np.float64), df, rng.normal(size=4)


def _noisy(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    f, df = _FUNCTIONS[int(rng.integers(4))]

    def noise(x: Any) -> Any:
        # The same at every call: the bits of the argument, scrambled.
        bits = np.ascontiguousarray(np.real(x), np.float64).view(np.int64)
        return 1e-9 * ((bits * 2654435761 >> 7) % 1009 / 504.0 - 1.0)

    return lambda x: f(x) + noise(x), df, rng.normal(size=4)


def _stochastic(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    f, df = _one(rng)
    return lambda x: f(x) * (1 + 1e-2 * rng.standard_normal()), df, rng.normal(size=4)


def _infinite(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    x = np.where(np.arange(4) == 0, 0.0, rng.uniform(0.5, 2, 4))
    return np.sqrt, lambda x: 0.5 / np.sqrt(x), x


def _long(rng: np.random.Generator) -> tuple[Any, Slope, Any]:
    f, df = _FUNCTIONS[int(rng.integers(4))]
    return f, df, rng.normal(size=400)


#: Makers of (forward, slope, point): the gradient of the outputs' cotangents g is ``g * slope``.
CLASSES: dict[str, Callable[[np.random.Generator], tuple[Any, Slope, Any]]] = {
    "smooth": _smooth,
    "branches": _branches,
    "tails": _tails,
    "near kinks": _near_kinks,
    "at kinks": _at_kinks,
    "mixed scales, 1e-8 to 1e4": _mixed,
    "float32 inside": _float32,
    "noisy, 1e-9": _noisy,
    "stochastic": _stochastic,
    "an infinite entry": _infinite,
    "long vectors": _long,
}


def made(name: str, number: int, factor: float = 1.0) -> Case:
    """The ``number``-th function of a class with its gradient, one entry of which is multiplied by a factor."""
    rng = np.random.default_rng([number, *name.encode()])
    forward, slope, x = CLASSES[name](rng)
    with np.errstate(all="ignore"):
        size = np.abs(slope(x))
    bendable = np.flatnonzero(np.isfinite(size) & (size > 0))
    bend = np.where(np.arange(x.size) == rng.choice(bendable), factor, 1.0)
    return Case(name, "", forward, lambda g, x: (g * slope(x) * bend,), (x,))


def ours(case: Case) -> str:
    """The kit's verdict."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return check_pair(case.forward, case.backward, case.inputs, raises=False).verdict


def counted(name: str, count: int, judge: Callable[[Case], str]) -> dict[str, dict[str, int]]:
    """How often a checker says what, for right gradients and for each bend."""
    found: dict[str, dict[str, int]] = {}
    for label, factor in {"right": 1.0, **BENDS}.items():
        counts = {"pass": 0, "fail": 0, "inconclusive": 0}
        for number in range(count):
            counts[judge(made(name, number, factor))] += 1
        found[label] = counts
    return found


def _rivals() -> dict[str, Callable[[Case], str]]:
    from benchmarks import checkers

    found = {
        "gradcheck": checkers.with_torch(False),
        "gradcheck, fast": checkers.with_torch(True),
        "JAX": checkers.with_jax(),
        "autograd": checkers.with_autograd(),
    }

    def judge(checker: Callable[[Case], bool]) -> Callable[[Case], str]:
        def one(case: Case) -> str:
            with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(None):
                warnings.simplefilter("ignore")
                return "fail" if checker(case) else "pass"

        return one

    return {name: judge(checker) for name, checker in found.items() if checker is not None}


def table(count: int, fewer: int) -> tuple[list[str], dict[str, int]]:
    """The lines of the table, and our totals."""
    judges = {"autodiff": ours, **_rivals()}
    lines = [
        "| functions | checker | right called wrong | right undecided | "
        + " | ".join(f"{b}: missed" for b in BENDS)
        + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(BENDS),
    ]
    totals = {"right": 0, "alarms": 0, "undecided": 0, "doubled or zero": 0, "doubled or zero missed": 0}
    for name in CLASSES:
        for checker, judge in judges.items():
            tried = (count if name != "long vectors" else fewer) if checker == "autodiff" else fewer
            found = counted(name, tried, judge)
            right = found["right"]
            undecided = right["inconclusive"]
            cells = [f"{found[b]['pass']} of {tried}" + _aside(found[b]["inconclusive"]) for b in BENDS]
            lines.append(
                f"| {name} | {checker} | {right['fail']} of {tried} | {undecided if checker == 'autodiff' else ''} | "
                + " | ".join(cells)
                + " |"
            )
            if checker == "autodiff":
                totals["right"] += tried
                totals["alarms"] += right["fail"]
                totals["undecided"] += undecided
                totals["doubled or zero"] += 2 * tried
                totals["doubled or zero missed"] += found["doubled"]["pass"] + found["zero"]["pass"]
        print(lines[-len(judges)], flush=True)
    return lines, totals


def _aside(undecided: int) -> str:
    return f", {undecided} undecided" if undecided else ""


_START, _END = "<!-- classes: begin -->", "<!-- classes: end -->"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table; with ``--write`` put it into docs/checkers.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="functions of each class for our kit")
    parser.add_argument("--fewer", type=int, default=12, help="for the other checkers, and of long vectors")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(argv)
    started = time.perf_counter()
    lines, totals = table(options.count, options.fewer)
    words = (
        f"Our kit: {totals['right']:,} right gradients, {totals['alarms']} called wrong, {totals['undecided']}"
        f" undecided; of {totals['doubled or zero']:,} with an entry doubled or zero"
        f" {totals['doubled or zero missed']} passed."
    )
    print("\n".join([*lines, "", words]), f"\n{time.perf_counter() - started:.0f} s")
    if options.write:
        page = Path(__file__).parents[1] / "docs" / "checkers.md"
        text = page.read_text()
        body = "\n".join([_START, "", _INTRODUCTION, "", *lines, "", words, "", _END])
        if _START in text:
            head, _, rest = text.partition(_START)
            text = head + body + rest.partition(_END)[2]
        else:
            text = text.rstrip() + "\n\n## By classes of functions\n\n" + body + "\n"
        page.write_text(text)


_INTRODUCTION = """Written by `python -m benchmarks.verdicts --write`. One entry of a right gradient is multiplied by
the number at the head of the column. The other checkers get fewer functions, for time's sake; they know no "undecided".
A stochastic function has no gradient to check: there every verdict but "undecided" is a mistake."""


if __name__ == "__main__":
    main()
