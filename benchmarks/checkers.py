"""``python -m benchmarks.checkers``: which checker notices which wrong gradient, and how often ours cries wolf.

Every mistake of :mod:`benchmarks.wrong_gradients`, in first and in second order, is given to our kit, to
``torch.autograd.gradcheck`` and ``gradgradcheck`` (slow and fast mode), to JAX's ``check_grads`` and to HIPS
autograd's, each with its own defaults, in one run. Then right gradients are checked, on generated calls of the
library's own operations and on random expression graphs: one that is called wrong is a false alarm.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.core.errors import MissingExtraError
from autodiff.core.op import Primitive, registry
from autodiff.facts import sample_call
from autodiff.ops import special
from autodiff.testing import RandomDraw, Report, check_gradients, check_pair, check_torch, strategies
from autodiff.testing.verify import held
from benchmarks.wrong_gradients import CASES, SECOND_CASES, Case, SecondCase

with contextlib.suppress(MissingExtraError):
    special.register()

Checker = Callable[[Case], bool]
SecondChecker = Callable[[SecondCase], bool]


# --- first order ------------------------------------------------------------------------------------------------------


def ours(case: Case) -> bool:
    """Whether our kit notices."""
    return check_pair(case.forward, case.backward, case.inputs, raises=False).verdict != "pass"


def with_torch(fast: bool) -> Checker | None:
    """PyTorch's gradcheck with its defaults."""
    try:
        import torch
    except ImportError:
        return None

    def checker(case: Case) -> bool:
        class Wrong(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *inputs: Any) -> Any:
                ctx.save_for_backward(*inputs)
                return torch.as_tensor(np.asarray(case.forward(*[t.detach().numpy() for t in inputs])))

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                arrays = [t.detach().numpy() for t in ctx.saved_tensors]
                found = case.backward(g.numpy().copy(), *arrays)
                result = tuple(None if d is None else torch.as_tensor(np.array(d)) for d in found)
                return result if len(result) > 1 else result[0]

        torch.manual_seed(0)
        inputs = [torch.tensor(a, requires_grad=True) for a in case.inputs]
        try:
            return not torch.autograd.gradcheck(Wrong.apply, inputs, fast_mode=fast, raise_exception=False)
        except Exception:
            return True

    return checker


def _callback(jax: Any, function: Callable[..., Any], like: Any) -> Callable[..., Any]:
    """A NumPy function as one of JAX, with results shaped ``like`` an array or a tuple of them."""
    kinds = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), np.float64), like)
    run = lambda *arrays: jax.tree.map(
        lambda r, a: np.array(r, np.float64).reshape(np.shape(a)), function(*map(np.asarray, arrays)), like
    )
    return lambda *arrays: jax.pure_callback(run, kinds, *arrays)


def with_jax() -> Checker | None:
    """JAX's check_grads, reverse mode, first order."""
    try:
        import jax
        from jax.test_util import check_grads
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)

    def checker(case: Case) -> bool:
        run = _callback(jax, case.forward, case.forward(*case.inputs))
        wrong = jax.custom_vjp(run)
        pull = _callback(
            jax, lambda g, *inputs: tuple(np.array(d) for d in case.backward(np.array(g), *inputs)), tuple(case.inputs)
        )
        wrong.defvjp(lambda *inputs: (run(*inputs), inputs), lambda inputs, g: pull(g, *inputs))
        try:
            check_grads(wrong, case.inputs, order=1, modes=["rev"])
        except Exception:
            return True
        return False

    return checker


def with_autograd() -> Checker | None:
    """HIPS autograd's check_grads, reverse mode, first order."""
    try:
        from autograd.extend import defvjp, primitive
        from autograd.test_util import check_grads
    except ImportError:
        return None

    def checker(case: Case) -> bool:
        wrong = primitive(lambda *inputs: np.asarray(case.forward(*inputs)))

        def rule(position: int) -> Any:
            return lambda out, *inputs: lambda g: np.array(case.backward(np.array(g), *inputs)[position])

        defvjp(wrong, *[rule(i) for i in range(len(case.inputs))])
        np.random.seed(0)  # noqa: NPY002  # its directions come from there
        try:
            check_grads(wrong, modes=["rev"], order=1)(*case.inputs)
        except Exception:
            return True
        return False

    return checker


# --- second order -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def traced(case: SecondCase) -> Iterator[Any]:
    """A second-order case as an operation of ours, registered within the block only."""
    rules = (
        lambda u, out, g, x: np.asarray(case.second(u, g, x)[0]),
        lambda u, out, g, x: np.asarray(case.second(u, g, x)[1]),
    )
    first = Primitive("checkers_first", lambda g, x: case.first(g, x), *rules)
    op = Primitive(
        "checkers_case",
        lambda x: case.forward(x),
        lambda g, out, x: first.function(g, x) if hasattr(g, "_node") else case.first(g, x),
    )
    try:
        yield op.function
    finally:
        del registry["checkers_first"], registry["checkers_case"]


def ours_second(case: SecondCase) -> bool:
    """Whether our kit notices."""
    with traced(case) as function:
        return check_gradients(function, case.x, raises=False).verdict != "pass"


def with_torch_second(fast: bool) -> SecondChecker | None:
    """PyTorch's gradgradcheck with its defaults."""
    try:
        import torch
    except ImportError:
        return None

    def numpy(*tensors: Any) -> list[Any]:
        return [t.detach().numpy() for t in tensors]

    def checker(case: SecondCase) -> bool:
        class Second(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, g: Any, x: Any) -> Any:
                ctx.save_for_backward(g, x)
                return torch.as_tensor(np.asarray(case.first(*numpy(g, x))))

            @staticmethod
            def backward(ctx: Any, u: Any) -> Any:
                return tuple(torch.as_tensor(np.array(d)) for d in case.second(*numpy(u, *ctx.saved_tensors)))

        class First(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return torch.as_tensor(np.asarray(case.forward(*numpy(x))))

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return Second.apply(g, *ctx.saved_tensors)

        torch.manual_seed(0)
        try:
            return not torch.autograd.gradgradcheck(
                First.apply, [torch.tensor(case.x, requires_grad=True)], fast_mode=fast, raise_exception=False
            )
        except Exception:
            return True

    return checker


def with_jax_second() -> SecondChecker | None:
    """JAX's check_grads, reverse mode, second order."""
    try:
        import jax
        from jax.test_util import check_grads
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)

    def checker(case: SecondCase) -> bool:
        out = np.asarray(case.forward(case.x))
        run, first, second = (
            _callback(jax, case.forward, out),
            _callback(jax, case.first, case.x),
            _callback(jax, lambda u, g, x: tuple(case.second(u, g, x)), (out, case.x)),
        )
        inner = jax.custom_vjp(first)
        inner.defvjp(lambda g, x: (first(g, x), (g, x)), lambda kept, u: second(u, *kept))
        outer = jax.custom_vjp(run)
        outer.defvjp(lambda x: (run(x), x), lambda x, g: (inner(g, x),))
        try:
            check_grads(outer, (case.x,), order=2, modes=["rev"])
        except Exception:
            return True
        return False

    return checker


def with_autograd_second() -> SecondChecker | None:
    """HIPS autograd's check_grads, reverse mode, second order."""
    try:
        from autograd.extend import defvjp, primitive
        from autograd.test_util import check_grads
    except ImportError:
        return None

    def checker(case: SecondCase) -> bool:
        outer, inner = (
            primitive(lambda x: np.asarray(case.forward(x))),
            primitive(lambda g, x: np.asarray(case.first(g, x))),
        )
        defvjp(outer, lambda out, x: lambda g: inner(g, x))
        defvjp(inner, *(lambda out, g, x, i=i: lambda u: np.array(case.second(u, g, x)[i]) for i in (0, 1)))
        np.random.seed(0)  # noqa: NPY002  # its directions come from there
        try:
            check_grads(outer, modes=["rev"], order=2)(case.x)
        except Exception:
            return True
        return False

    return checker


# --- the tables -------------------------------------------------------------------------------------------------------


def table(cases: Sequence[Any], checkers: dict[str, Callable[[Any], bool] | None]) -> tuple[list[str], dict[str, int]]:
    """A Markdown table of who notices what, and how many each checker caught; checkers that are not installed are left
    out.
    """
    present = {name: checker for name, checker in checkers.items() if checker is not None}
    caught = dict.fromkeys(present, 0)
    lines = [
        "| wrong gradient | where it happens | " + " | ".join(present) + " |",
        "| --- | --- |" + " --- |" * len(present),
    ]
    for case in cases:
        cells = []
        for name, checker in present.items():
            with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(None):
                warnings.simplefilter("ignore")
                noticed = checker(case)
            caught[name] += noticed
            cells.append("caught" if noticed else "**missed**")
        lines.append(f"| {case.name} | {case.source} | " + " | ".join(cells) + " |")
    lines.append(f"| caught of {len(cases)} | | " + " | ".join(str(n) for n in caught.values()) + " |")
    return lines, caught


def first_order() -> tuple[list[str], dict[str, int]]:
    """The table of first-order mistakes."""
    return table(
        CASES,
        {
            "autodiff": ours,
            "torch gradcheck": with_torch(False),
            "torch fast_mode": with_torch(True),
            "JAX check_grads": with_jax(),
            "autograd check_grads": with_autograd(),
        },
    )


def second_order() -> tuple[list[str], dict[str, int]]:
    """The table of second-order mistakes."""
    return table(
        SECOND_CASES,
        {
            "autodiff": ours_second,
            "torch gradgradcheck": with_torch_second(False),
            "torch fast_mode": with_torch_second(True),
            "JAX check_grads": with_jax_second(),
            "autograd check_grads": with_autograd_second(),
        },
    )


# --- false alarms -----------------------------------------------------------------------------------------------------


class _Small(RandomDraw):
    """Draws short shapes, so that a hundred thousand cases take minutes."""

    def shape(self, min_ndim: int = 0, max_ndim: int = 3, min_side: int = 1, max_side: int = 4) -> tuple[int, ...]:
        return super().shape(min_ndim, max(min_ndim, min(max_ndim, 2)), min_side, max(min_side, min(max_side, 2)))


#: Every tenth case has the shapes of the laws, the others short ones; every twentieth is a random expression graph with
#: sharing.
_FULL, _GRAPH = 10, 20


def _names() -> list[str]:
    """The library's operations; examples and tests register their own under these prefixes."""
    return [name for name in sorted(registry) if not name.startswith(("doc_", "test_"))]


def right_case(number: int, seed: int) -> Report | None:
    """Check one generated call whose gradient is right, in first and second order; None for a call without anything to
    differentiate.

    Half of the calls of operations with kinks stand on them, a quarter of those of one number reach from 1e-8 to the
    tails, half of the matrices to invert have condition numbers up to a million. Both modes are checked.
    """
    rng = np.random.default_rng([seed, number])
    draw = (RandomDraw if number % _FULL == 0 else _Small)(rng)
    if number % _GRAPH == 7:
        function, point = strategies.expressions.of(draw)
        return check_gradients(function, *point, seed=number, name=function.__doc__, raises=False)
    names = _names()
    op = registry[names[int(rng.integers(len(names)))]]
    args, kwargs = sample_call(op, draw)
    if getattr(op, "kinks", ()) and rng.random() < 0.5:
        # Whole numbers stand on the kinks, and tie.
        args = tuple(np.round(a) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args)
    if op.sample is None and len(op.inputs) == 1 and rng.random() < 0.25:
        # Towards 0 and, where the domain allows, into the tails.
        wide = tuple(op.domain) == (-3.0, 3.0)
        args = (args[0] * 10.0 ** rng.uniform(-8, 1.3 if wide else 0), *args[1:])
        if not wide and not op.domain[0] < 0 < op.domain[1]:
            args = (np.clip(args[0], *op.domain), *args[1:])
    if op.name in ("inv", "det", "slogdet", "solve") and rng.random() < 0.5:
        n = int(rng.integers(2, 5))
        args = (strategies.ill_conditioned.of(draw, n=n), *([draw.array((n, 1))] if op.name == "solve" else []))
    function, *inputs = held(op, args, kwargs)
    return check_gradients(function, *inputs, seed=number, name=op.name, raises=False) if inputs else None


def _judged(job: tuple[int, int, int]) -> tuple[int, list[str], list[str]]:
    """One block of cases: how many were judged, the false alarms, and the undecided."""
    start, stop, seed = job
    judged, alarms, unsure = 0, [], []
    for number in range(start, stop):
        report = right_case(number, seed)
        if report is not None:
            judged += 1
            if report.verdict != "pass":
                (alarms if report.verdict == "fail" else unsure).append(f"case {number}, seed {seed}: {report}")
    return judged, alarms, unsure


def false_alarms(count: int, seed: int, jobs: int = 1, show: bool = True) -> tuple[int, list[str], list[str]]:
    """Check generated calls with right gradients in first and second order.

    Returns
    -------
    (judged, alarms, unsure)
        How many calls had something to differentiate, the reports that call a right gradient wrong, and those that
        leave it open.
    """
    block = 250
    tasks = [(start, min(start + block, count), seed) for start in range(0, count, block)]
    judged, alarms, unsure = 0, [], []
    with multiprocessing.get_context("spawn").Pool(jobs) if jobs > 1 else contextlib.nullcontext() as pool:
        for done, result in enumerate(map(_judged, tasks) if pool is None else pool.imap_unordered(_judged, tasks), 1):
            judged, alarms, unsure = judged + result[0], alarms + result[1], unsure + result[2]
            if show and done % 20 == 0:
                print(f"  {judged:,} cases, {len(alarms)} alarms, {len(unsure)} undecided", flush=True)
    return judged, alarms, unsure


# --- what a check costs ----------------------------------------------------------------------------------------------

COST_START, COST_END = "<!-- measured: python -m benchmarks.checkers --cost -->", "<!-- measured: end -->"


def costs(rounds: int = 9) -> list[str]:
    """The lines of the table: a check of first order beside gradcheck, medians of the CPU time of interleaved runs."""
    import torch

    torch.set_num_threads(1)
    functions: dict[str, Callable[[Any], Any]] = {
        "sin x": torch.sin,
        "x sin x": lambda x: x * torch.sin(x),
        "logsumexp(x)": lambda x: torch.logsumexp(x, 0),
    }
    headings = ("function", "inputs", "evaluations", "slow mode's", "ms", "slow mode", "fast mode", "/ slow", "/ fast")
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    for name, f in functions.items():
        for size in (1, 3, 10, 100, 100_000):
            x = np.random.default_rng(0).normal(size=size)
            calls, ms = _costs(f, torch.tensor(x, requires_grad=True), x, rounds)
            slow = (
                [str(calls["slow"]), f"{ms['slow']:.2f}", f"{ms['ours'] / ms['slow']:.2f}"]
                if "slow" in ms
                else [""] * 3
            )
            ours = [f"{ms['ours']:.2f}", slow[1], f"{ms['fast']:.2f}", slow[2], f"{ms['ours'] / ms['fast']:.2f}"]
            lines.append("| " + " | ".join([name, f"{size:,}", str(calls["ours"]), slow[0], *ours]) + " |")
            print(lines[-1], flush=True)
    return lines


def _costs(f: Callable[[Any], Any], t: Any, x: Any, rounds: int) -> tuple[dict[str, int], dict[str, float]]:
    """How often each checker calls ``f``, and its milliseconds; no slow mode of long vectors."""
    from torch.autograd import gradcheck

    called = 0

    def counting(v: Any) -> Any:
        nonlocal called
        called += 1
        return f(v)

    runs: dict[str, Callable[[Callable[[Any], Any]], object]] = {
        "ours": lambda g: check_torch(g, x, order=1),
        "fast": lambda g: gradcheck(g, (t,), fast_mode=True),
    }
    if x.size <= 100:
        runs["slow"] = lambda g: gradcheck(g, (t,))
    calls: dict[str, int] = {}
    times: dict[str, list[float]] = {}
    for name, run in runs.items():
        called = 0
        run(counting)
        calls[name] = called
        times[name] = []
    repeats = max(1, 40 // x.size)
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.process_time()
            for _ in range(repeats):
                run(f)
            times[name].append((time.process_time() - started) / repeats * 1e3)
    return calls, {name: float(np.median(each)) for name, each in times.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables and the count; with ``--write`` put them into docs/checkers.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkers", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000, help="generated cases with right gradients")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes for the generated cases")
    parser.add_argument("--write", action="store_true", help="write docs/checkers.md")
    parser.add_argument("--cost", action="store_true", help="measure what a check costs, and nothing else")
    options = parser.parse_args(argv)
    target = Path(__file__).parents[1].joinpath("docs", "checkers.md")
    if options.cost:
        lines = costs()
        if options.write:
            head, _, rest = target.read_text().partition(COST_START)
            target.write_text("\n".join([head + COST_START, "", *lines, "", COST_END]) + rest.partition(COST_END)[2])
        return
    first, second = first_order()[0], second_order()[0]
    print("\n".join([*first, "", *second]))
    started = time.perf_counter()
    judged, alarms, unsure = false_alarms(options.cases, options.seed, options.jobs)
    text = f"""Right gradients, generated: {options.cases:,} cases, seed {options.seed}; {judged:,} had something to
    differentiate.

- called wrong (false alarms): {len(alarms)}
- left undecided: {len(unsure)}

Each case is checked in first and second order and both modes: a random call of one of the {len(_names())} registered
operations, or (every twentieth) a random
expression graph with shared values. Half of the calls of operations with kinks stand on them, and half of the
matrices that are inverted, solved with
or whose determinant is taken have condition numbers up to a million. `right_case(number, seed)` makes any of them
again."""
    print(f"\n{text}\n{time.perf_counter() - started:.0f} s")
    for words in [*alarms[:10], *unsure[:5]]:
        print(words)
    if options.write:
        page = [
            "# What gradient checkers notice",
            "",
            _INTRODUCTION,
            "",
            "## Wrong in first order",
            "",
            *first,
            "",
            "## Right in first, wrong in second order",
            "",
            *second,
            "",
            "## False alarms",
            "",
            text,
            "",
        ]
        # What other commands wrote stays.
        rest = target.read_text().partition("## By classes of functions")
        target.write_text("\n".join(page) + "\n" * bool(rest[1]) + "".join(rest[1:]))


_INTRODUCTION = """Written by `python -m benchmarks.checkers --write` in one run. The wrong gradients stand in
`benchmarks/wrong_gradients/`, each
with the issue or the place where it happened. Every checker is given the same mistake as its own framework's custom
function, in float64, with its
own defaults: PyTorch's `gradcheck` and `gradgradcheck` (slow and fast), JAX's and HIPS autograd's `check_grads` in
reverse mode. *Caught* means that
it raised or said no."""


if __name__ == "__main__":
    main()
