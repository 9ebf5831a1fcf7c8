"""``python -m benchmarks.checkers``: which checker notices which wrong gradient, and how often ours cries wolf.

Every mistake of :mod:`benchmarks.wrong_gradients` is given to our kit, to ``torch.autograd.gradcheck`` (slow and fast mode), to JAX's ``check_grads``
and to HIPS autograd's, each with its own defaults, in one run. Then right gradients are checked on generated calls of the library's own operations:
anything but a pass is a false alarm.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.errors import MissingExtraError
from autodiff.facts import sample_call
from autodiff.ops import special
from autodiff.primitive import registry
from autodiff.testing import RandomDraw, Report, check_gradients
from autodiff.testing.generators import ill_conditioned_matrix, random_expression
from autodiff.testing.verify import held
from benchmarks.wrong_gradients import CASES, Case

with contextlib.suppress(MissingExtraError):
    special.register()

Checker = Callable[[Case], bool]


def ours(case: Case) -> bool:
    """Whether our kit notices."""
    from autodiff.testing import check_pair

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
                return torch.as_tensor(case.forward(*[t.detach().numpy() for t in inputs]))

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


def with_jax() -> Checker | None:
    """JAX's check_grads, reverse mode, first order."""
    try:
        import jax
        from jax.test_util import check_grads
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)

    def checker(case: Case) -> bool:
        shape = np.shape(case.forward(*case.inputs))

        def run(*inputs: Any) -> Any:
            kind = jax.ShapeDtypeStruct(shape, np.float64)
            return jax.pure_callback(lambda *a: np.asarray(case.forward(*map(np.asarray, a)), np.float64), kind, *inputs)

        wrong = jax.custom_vjp(run)

        def pull(inputs: Any, g: Any) -> Any:
            shapes = tuple(jax.ShapeDtypeStruct(a.shape, np.float64) for a in inputs)
            return jax.pure_callback(
                lambda g, *a: tuple(np.array(d, np.float64) for d in case.backward(np.array(g), *map(np.asarray, a))), shapes, g, *inputs
            )

        wrong.defvjp(lambda *inputs: (run(*inputs), inputs), pull)
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


def table() -> tuple[list[str], dict[str, int]]:
    """The Markdown table, and how many each checker caught."""
    checkers: dict[str, Checker | None] = {
        "autodiff": ours, "torch gradcheck": with_torch(False), "torch fast_mode": with_torch(True), "JAX check_grads": with_jax(),
        "autograd check_grads": with_autograd(),
    }  # fmt: skip
    present = {name: checker for name, checker in checkers.items() if checker is not None}
    caught = dict.fromkeys(present, 0)
    lines = ["| wrong gradient | where it happens | " + " | ".join(present) + " |", "| --- | --- | " + "--- | " * len(present)]
    for case in CASES:
        cells = []
        for name, checker in present.items():
            with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(None):
                warnings.simplefilter("ignore")
                noticed = checker(case)
            caught[name] += noticed
            cells.append("caught" if noticed else "**missed**")
        lines.append(f"| {case.name} | {case.source} | " + " | ".join(cells) + " |")
    lines.append(f"| caught of {len(CASES)} | | " + " | ".join(str(n) for n in caught.values()) + " |")
    return lines, caught


class _Small(RandomDraw):
    """Draws short shapes, so that a hundred thousand cases take minutes."""

    def shape(self, min_ndim: int = 0, max_ndim: int = 3, min_side: int = 1, max_side: int = 4) -> tuple[int, ...]:
        return super().shape(min_ndim, max(min_ndim, min(max_ndim, 2)), min_side, max(min_side, min(max_side, 2)))


#: Every tenth case has the shapes of the laws, the others short ones; every twentieth is a random expression graph with sharing.
_FULL, _GRAPH = 10, 20


def right_case(number: int, seed: int) -> Report | None:
    """Check one generated call whose gradient is right, in first and second order; None for a call without anything to differentiate.

    Half of the calls of operations with kinks stand on them, half of the matrices to invert have condition numbers up to a million.
    """
    rng = np.random.default_rng([seed, number])
    draw = (RandomDraw if number % _FULL == 0 else _Small)(rng)
    if number % _GRAPH == 7:
        function, point = random_expression(draw)
        return check_gradients(function, *point, seed=number, name=function.__doc__, raises=False)
    names = [name for name in sorted(registry) if not name.startswith(("doc_", "test_"))]
    op = registry[names[int(rng.integers(len(names)))]]
    args, kwargs = sample_call(op, draw)
    if getattr(op, "kinks", ()) and rng.random() < 0.5:
        # Whole numbers stand on the kinks, and tie.
        args = tuple(np.round(a) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args)
    if op.name in ("inv", "det", "slogdet", "solve") and rng.random() < 0.5:
        n = int(rng.integers(2, 5))
        args = (ill_conditioned_matrix(draw, n, 1e6), *([draw.array((n, 1))] if op.name == "solve" else []))
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
        How many calls had something to differentiate, the reports that call a right gradient wrong, and those that leave it open.
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


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and the count; with ``--write`` put them into docs/checkers.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkers", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000, help="generated cases with right gradients")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write docs/checkers.md")
    options = parser.parse_args(argv)
    lines, _ = table()
    print("\n".join(lines))
    started = time.perf_counter()
    alarms = false_alarms(options.cases, options.seed)
    sentence = (
        f"False alarms of our kit on {options.cases:,} generated calls of its own operations with right gradients, first order (seed "
        f"{options.seed}): {len(alarms)}. Half of the calls of operations with kinks stand on them."
    )
    print(f"\n{sentence} {time.perf_counter() - started:.0f} s")
    for alarm in alarms[:10]:
        print(alarm)
    if options.write:
        head = ["# What gradient checkers notice", "", "Written by `python -m benchmarks.checkers --write`; every checker with its own defaults.", ""]
        Path(__file__).parents[1].joinpath("docs", "checkers.md").write_text("\n".join([*head, *lines, "", sentence, ""]))


if __name__ == "__main__":
    main()
