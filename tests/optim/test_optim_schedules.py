"""Schedules against PyTorch over 200 steps, their state, and what they refuse."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
import optim
from autodiff.core.errors import ArgumentError, GraphError

STEPS = 200


def sequence(lib: Any, optimizer: Any) -> Any:
    parts = [
        lib.LinearLR(optimizer, 0.1, total_iters=10),
        lib.CosineAnnealingLR(optimizer, 50),
        lib.ExponentialLR(optimizer, 0.95),
    ]
    return lib.SequentialLR(optimizer, parts, [10, 60])


def sequence_of_steps(lib: Any, optimizer: Any) -> Any:
    parts = [
        lib.ConstantLR(optimizer, 0.2, 7),
        lib.StepLR(optimizer, 5),
        lib.MultiStepLR(optimizer, [3, 9]),
        lib.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
        lib.CosineAnnealingWarmRestarts(optimizer, 5, 2),
    ]
    return lib.SequentialLR(optimizer, parts, [10, 60, 90, 120])


def nested(lib: Any, optimizer: Any) -> Any:
    return lib.SequentialLR(optimizer, [sequence(lib, optimizer), lib.ExponentialLR(optimizer, 0.99)], [150])


MAKERS: dict[str, Callable[[Any, Any], Any]] = {
    "step": lambda lib, o: lib.StepLR(o, 30),
    "step-gamma": lambda lib, o: lib.StepLR(o, step_size=7, gamma=0.7),
    "multistep": lambda lib, o: lib.MultiStepLR(o, [30, 80, 80, 150], 0.3),
    "multiplicative": lambda lib, o: lib.MultiplicativeLR(o, lambda step: 1 - 1 / (step + 2)),
    "polynomial": lambda lib, o: lib.PolynomialLR(o, 120),
    "polynomial-power": lambda lib, o: lib.PolynomialLR(o, total_iters=150, power=0.7),
    "exponential": lambda lib, o: lib.ExponentialLR(o, 0.97),
    "constant": lambda lib, o: lib.ConstantLR(o, 0.3, 40),
    "linear": lambda lib, o: lib.LinearLR(o),
    "linear-down": lambda lib, o: lib.LinearLR(o, 1.0, 0.01, 150),
    "cosine": lambda lib, o: lib.CosineAnnealingLR(o, 30, 1e-3),
    "cosine-once": lambda lib, o: lib.CosineAnnealingLR(o, 200),
    "cosine-restarts": lambda lib, o: lib.CosineAnnealingWarmRestarts(o, 10, 2, 1e-4),
    "cosine-restarts-equal": lambda lib, o: lib.CosineAnnealingWarmRestarts(o, 13),
    "one-cycle": lambda lib, o: lib.OneCycleLR(o, 0.5, total_steps=STEPS + 1),
    "one-cycle-linear": lambda lib, o: lib.OneCycleLR(
        o, 0.5, epochs=21, steps_per_epoch=10, anneal_strategy="linear", pct_start=0.6
    ),
    "one-cycle-three": lambda lib, o: lib.OneCycleLR(
        o, [0.5, 0.2], total_steps=STEPS + 1, three_phase=True, div_factor=10.0
    ),
    "lambda": lambda lib, o: lib.LambdaLR(o, lambda step: 0.95**step),
    "lambdas": lambda lib, o: lib.LambdaLR(o, [lambda step: 0.95**step, lambda step: 1 / (1 + step)]),
    "cyclic": lambda lib, o: lib.CyclicLR(o, 0.01, 0.3, step_size_up=7, step_size_down=5),
    "cyclic-halved": lambda lib, o: lib.CyclicLR(o, [0.01, 0.02], 0.3, 9, mode="triangular2"),
    "cyclic-range": lambda lib, o: lib.CyclicLR(o, 0.01, [0.3, 0.4], 9, mode="exp_range", gamma=0.99, max_momentum=0.8),
    "cyclic-own": lambda lib, o: lib.CyclicLR(o, 0.01, 0.3, 9, scale_fn=lambda n: 1 / n, cycle_momentum=False),
    "chained": lambda lib, o: lib.ChainedScheduler([lib.ConstantLR(o, 0.1, 20), lib.ExponentialLR(o, 0.95)], o),
    "chained-three": lambda lib, o: lib.ChainedScheduler(
        [lib.LinearLR(o, 0.2), lib.StepLR(o, 20, 0.9), lib.CosineAnnealingLR(o, 90)]
    ),
    "warm-up-restarts": lambda lib, o: lib.SequentialLR(
        o, [lib.LinearLR(o, 0.01, total_iters=10), lib.CosineAnnealingWarmRestarts(o, 20, 2)], [10]
    ),
    "sequential": sequence,
    "sequential-steps": sequence_of_steps,
    "sequential-nested": nested,
}


def ours(kind: str = "SGD") -> Any:
    a, b = (autodiff.Tensor(np.full(2, v), requires_grad=True) for v in (1.0, 2.0))
    options = {"momentum": 0.9} if kind == "SGD" else {}
    return getattr(optim, kind)([{"params": [a]}, {"params": [b], "lr": 0.03}], lr=0.1, **options)


def walk(optimizer: Any, schedule: Any, steps: range, values: Any) -> list[Any]:
    """Rates, momenta and parameters, step by step."""
    seen = []
    for step in steps:
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = values(p, step)
        optimizer.step()
        schedule.step()
        for group in optimizer.param_groups:
            seen.append(
                [group["lr"], group.get("momentum", group.get("betas", (0,))[0]), *np.array(group["params"][0].data)]
            )
    return seen


def pull(p: Any, step: int) -> Any:
    return p.data * (1 + 0.5 * math.sin(step))


PARTS: dict[str, Callable[[Any, Any], Any]] = {
    "multiplicative": lambda lib, o: lib.MultiplicativeLR(o, lambda step: 0.9),
    "polynomial": lambda lib, o: lib.PolynomialLR(o, 4),
    "step": lambda lib, o: lib.StepLR(o, 2),
    "multistep": lambda lib, o: lib.MultiStepLR(o, [0, 1, 3]),
    "exponential": lambda lib, o: lib.ExponentialLR(o, 0.8),
    "linear": lambda lib, o: lib.LinearLR(o, total_iters=3),
    "constant": lambda lib, o: lib.ConstantLR(o, total_iters=2),
    "constant-none": lambda lib, o: lib.ConstantLR(o, total_iters=0),
    "cosine": lambda lib, o: lib.CosineAnnealingLR(o, 3, 0.013),
    "cosine-restarts": lambda lib, o: lib.CosineAnnealingWarmRestarts(o, 2),
    "lambda": lambda lib, o: lib.LambdaLR(o, lambda step: 1 / (1 + step)),
    "cyclic": lambda lib, o: lib.CyclicLR(o, 0.01, 0.1, 2),
    "one-cycle": lambda lib, o: lib.OneCycleLR(o, 0.3, total_steps=9, base_momentum=0.6),
}
FIRST = {**PARTS, "chained": MAKERS["chained"]}


@pytest.mark.filterwarnings("ignore:Detected call of")  # PyTorch's, of a chain that begins anew
@pytest.mark.parametrize("second", PARTS)
def test_every_schedule_after_every_other_is_pytorchs_to_the_last_bit(second: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the independent truth here")
    for first in FIRST:
        rates: list[list[float]] = []
        for lib, weights in ((optim, autodiff.Tensor(np.ones(1), requires_grad=True)), (torch.optim, None)):
            held = torch.nn.Parameter(torch.ones(1)) if weights is None else weights
            optimizer = lib.SGD([held], lr=0.137, momentum=0.9)
            parts = [FIRST[name](lib.lr_scheduler, optimizer) for name in (first, second)]
            schedule = lib.lr_scheduler.SequentialLR(optimizer, parts, [3])
            (group,) = optimizer.param_groups
            rates.append([group["lr"], group["momentum"]])
            for _ in range(8):
                optimizer.step()
                schedule.step()
                rates[-1] += [group["lr"], group["momentum"]]
        assert rates[0] == rates[1], (first, second)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", MAKERS)
def test_follows_pytorch_for_200_steps(name: str, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the independent truth here")
    params = [torch.nn.Parameter(torch.full((2,), v, dtype=torch.float64)) for v in (1.0, 2.0)]
    options = {"momentum": 0.9} if kind == "SGD" else {}
    theirs = getattr(torch.optim, kind)(
        [{"params": [params[0]]}, {"params": [params[1]], "lr": 0.03}], lr=0.1, **options
    )
    mine = ours(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = walk(theirs, MAKERS[name](torch.optim.lr_scheduler, theirs), range(STEPS), pull)
    found = walk(mine, MAKERS[name](optim, mine), range(STEPS), pull)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize(
    "options",
    [{}, {"patience": 2, "cooldown": 3, "min_lr": [1e-3, 1e-5], "factor": 0.6}, {"threshold": 0.05, "patience": 0}],
    ids=["defaults", "many", "strict"],
)
def test_plateau_follows_pytorch(mode: str, threshold_mode: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the independent truth here")
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    theirs, mine = torch.optim.SGD([{"params": [params[0]]}, {"params": [params[1]], "lr": 0.03}], lr=0.1), ours()
    a = optim.ReduceLROnPlateau(mine, mode, threshold_mode=threshold_mode, **options)
    b = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, mode, threshold_mode=threshold_mode, **options)
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        metric = math.exp(-step / 50) + 0.1 * rng.normal() + 1
        a.step(metric)
        b.step(metric)
        assert a.get_last_lr() == [group["lr"] for group in theirs.param_groups]


@pytest.mark.parametrize("name", MAKERS)
def test_resumes_exactly_through_json(name: str) -> None:
    first = ours()
    schedule = MAKERS[name](optim, first)
    walk(first, schedule, range(77), pull)
    saved_optimizer, saved = first.state_dict(), json.loads(json.dumps(schedule.state_dict()))
    second = ours()
    resumed = MAKERS[name](optim, second)
    for p, q in zip(first.param_groups, second.param_groups, strict=True):
        q["params"][0].data = p["params"][0].data.copy()
    second.load_state_dict(saved_optimizer)
    resumed.load_state_dict(saved)
    assert walk(first, schedule, range(77, 150), pull) == walk(second, resumed, range(77, 150), pull)


def test_plateau_resumes_through_json() -> None:
    a = optim.ReduceLROnPlateau(ours(), patience=3)
    b = optim.ReduceLROnPlateau(ours(), patience=7)
    b.load_state_dict(json.loads(json.dumps(a.state_dict())))
    assert (b.best, b.patience) == (math.inf, 3)


def test_refuses_another_schedules_state() -> None:
    with pytest.raises(ArgumentError, match=r"StepLR: not its state: unknown \['T_max'"):
        optim.StepLR(ours(), 3).load_state_dict(optim.CosineAnnealingLR(ours(), 3).state_dict())


@pytest.mark.parametrize("kind", ["ChainedScheduler", "SequentialLR"])
def test_only_the_first_of_a_sequence_may_be_made_of_others(kind: str) -> None:
    optimizer = ours()
    parts = [optim.StepLR(optimizer, 3)]
    several = optim.ChainedScheduler(parts) if kind == "ChainedScheduler" else optim.SequentialLR(optimizer, parts, [])
    with pytest.raises(ArgumentError, match=f"number 1 is a {kind}, which cannot begin anew"):
        optim.SequentialLR(optimizer, [optim.StepLR(optimizer, 2), several], [4])


def test_a_rate_that_falls_to_nothing_is_never_negative() -> None:
    optimizer = ours()
    schedule = optim.LinearLR(optimizer, 0.1, 0.0)
    walk(optimizer, schedule, range(7), pull)
    assert schedule.get_last_lr() == [0.0, 0.0]  # PyTorch's are -4e-19 and -1e-19
    optimizer.load_state_dict(optimizer.state_dict())


def test_two_schedules_combine() -> None:
    optimizer = ours()
    a, b = optim.ExponentialLR(optimizer, 0.5), optim.StepLR(optimizer, 2, 0.1)
    for _ in range(2):
        optimizer.step()
        a.step()
        b.step()
    np.testing.assert_allclose(optimizer.param_groups[0]["lr"], 0.1 * 0.25 * 0.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: optim.StepLR(3, 3), "the first argument is an optimizer"),
        (lambda: optim.StepLR(ours(), 0), "step_size must be a positive int"),
        (lambda: optim.StepLR(ours(), 3, last_epoch=4), "no 'initial_lr'"),
        (lambda: optim.MultiStepLR(ours(), [1.5]), "milestones must be ints"),
        (lambda: optim.ConstantLR(ours(), 2.0), "factor"),
        (lambda: optim.LinearLR(ours(), 0.0), "start_factor"),
        (lambda: optim.LinearLR(ours(), 0.5, 1.5), "end_factor"),
        (lambda: optim.CosineAnnealingLR(ours(), 0), "T_max"),
        (lambda: optim.CosineAnnealingWarmRestarts(ours(), 0), "T_0"),
        (lambda: optim.CosineAnnealingWarmRestarts(ours(), 1, 0), "T_mult"),
        (lambda: optim.OneCycleLR(ours(), 0.1), "give total_steps"),
        (lambda: optim.OneCycleLR(ours(), 0.1, epochs=3, steps_per_epoch=0), "steps_per_epoch"),
        (lambda: optim.OneCycleLR(ours(), 0.1, total_steps=-1), "total_steps"),
        (lambda: optim.OneCycleLR(ours(), 0.1, total_steps=9, pct_start=2.0), "pct_start"),
        (lambda: optim.OneCycleLR(ours(), 0.1, total_steps=9, anneal_strategy="up"), "'cos' or 'linear'"),
        (lambda: optim.OneCycleLR(ours(), [0.1], total_steps=9), "1 values for 2 parameter groups"),
        (lambda: optim.OneCycleLR(ours("Adagrad"), 0.1, total_steps=9), "cycle_momentum=False"),
        (lambda: optim.SequentialLR(ours(), [], []), "at least one"),
        (lambda: optim.SequentialLR(ours(), [optim.StepLR(ours(), 3)], []), "another optimizer"),
        (lambda: optim.ReduceLROnPlateau(ours(), "low"), "mode must be"),
        (lambda: optim.ReduceLROnPlateau(ours(), factor=1.0), "factor"),
        (lambda: optim.ReduceLROnPlateau(ours(), threshold_mode="x"), "threshold_mode"),
        (lambda: optim.ReduceLROnPlateau(ours()).step(), "needs the metric"),
    ],
)
def test_refuses(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()


def test_sequential_refuses_what_does_not_fit() -> None:
    optimizer = ours()
    part = optim.StepLR(optimizer, 3)
    with pytest.raises(ArgumentError, match="need 0 milestones"):
        optim.SequentialLR(optimizer, [part], [3])
    with pytest.raises(ArgumentError, match="ReduceLROnPlateau"):
        optim.SequentialLR(optimizer, [part, optim.ReduceLROnPlateau(optimizer)], [3])


def test_one_cycle_ends() -> None:
    optimizer = ours()
    schedule = optim.OneCycleLR(optimizer, 0.1, total_steps=3)
    with pytest.raises(GraphError, match="the cycle is over"):
        walk(optimizer, schedule, range(9), pull)


def test_a_failing_step_or_load_leaves_everything_as_it_was() -> None:
    def rate(step: int) -> float:
        if step == 2:
            raise ValueError("no rate")
        return 1.0

    def one(kind: Callable[[Any], Any]) -> tuple[Any, Any]:
        optimizer = optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=0.1, momentum=0.9)
        return optimizer, kind(optimizer)

    several: list[Callable[[Any], Any]] = [
        lambda o: optim.LambdaLR(o, rate),
        lambda o: optim.ChainedScheduler([optim.StepLR(o, 1), optim.LambdaLR(o, rate)]),
        lambda o: optim.SequentialLR(o, [optim.LambdaLR(o, rate), optim.StepLR(o, 1)], [9]),
        lambda o: optim.OneCycleLR(o, 1.0, total_steps=1),
    ]
    for kind in several:
        optimizer, schedule = one(kind)
        schedule.step()
        state, groups = json.dumps(schedule.state_dict()), str(optimizer.param_groups)
        for _ in range(2):
            with pytest.raises((ValueError, GraphError)):
                schedule.step()
            assert (json.dumps(schedule.state_dict()), str(optimizer.param_groups)) == (state, groups)

    _, steps = one(lambda o: optim.SequentialLR(o, [optim.StepLR(o, 1), optim.ExponentialLR(o, 0.5)], [3]))
    _, cosine = one(lambda o: optim.SequentialLR(o, [optim.StepLR(o, 1), optim.CosineAnnealingLR(o, 5)], [3]))
    steps.step()
    before = json.dumps(cosine.state_dict())
    with pytest.raises(ArgumentError, match="CosineAnnealingLR: not its state"):
        cosine.load_state_dict(steps.state_dict())
    assert json.dumps(cosine.state_dict()) == before
    with pytest.raises(ArgumentError, match="a state is a dict, got a list"):
        cosine.load_state_dict([])


def test_a_constant_factor_of_0_gives_the_base_rate_back() -> None:
    optimizer = optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=0.1)
    schedule, rates = optim.ConstantLR(optimizer, 0.0, total_iters=2), []
    for _ in range(4):
        rates += schedule.get_last_lr()
        schedule.step()
    assert rates == [0.0, 0.0, 0.1, 0.1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda o: optim.ExponentialLR(o, math.nan), "ExponentialLR: gamma must be finite"),
        (lambda o: optim.StepLR(o, 2, math.inf), "StepLR: gamma must be finite"),
        (lambda o: optim.MultiStepLR(o, [2], math.nan), "MultiStepLR: gamma must be finite"),
        (lambda o: optim.PolynomialLR(o, 2, math.nan), "PolynomialLR: power must be finite"),
        (lambda o: optim.CyclicLR(o, 0.1, "a"), "CyclicLR max_lr: value 0 must be finite"),
        (lambda o: optim.OneCycleLR(o, [None], total_steps=5), "OneCycleLR max_lr: value 0 must be finite"),
        (lambda o: optim.OneCycleLR(o, 1.0, total_steps=5, div_factor=0), "div_factor and final_div_factor"),
        (lambda o: optim.ExponentialLR(o, -0.5), "ExponentialLR: gamma must be finite and not negative, got -0.5"),
        (lambda o: optim.CosineAnnealingLR(o, 3, math.nan), "eta_min must be finite and not negative"),
        (lambda o: optim.CyclicLR(o, 0.01, -0.1), "CyclicLR max_lr: value 0 must be finite and not negative"),
        (lambda o: optim.OneCycleLR(o, 1.0, total_steps=5, max_momentum=math.nan), "OneCycleLR max_momentum"),
        (lambda o: optim.LinearLR(o, total_iters=-1), "total_iters must be finite and not negative"),
        (lambda o: optim.ReduceLROnPlateau(o, patience=-1), "patience must be finite and not negative"),
        (lambda o: optim.ReduceLROnPlateau(o, cooldown=-1), "cooldown must be finite and not negative"),
        (lambda o: optim.ReduceLROnPlateau(o, threshold=math.nan), "threshold must be finite"),
        (lambda o: optim.ReduceLROnPlateau(o, min_lr=-1.0), "min_lr: value 0 must be finite and not negative"),
        (lambda o: optim.swa_utils.SWALR(o, "a"), "SWALR swa_lr: value 0 must be finite"),
        (lambda o: optim.SequentialLR(o, [optim.StepLR(o, 1) for _ in range(3)], [5, 2]), r"that rise, got \[5, 2\]"),
    ],
)
def test_numbers_that_give_no_rate_are_refused_at_once(make: Callable[[Any], Any], words: str) -> None:
    optimizer = optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=0.1, momentum=0.9)
    with pytest.raises(ArgumentError, match=words):
        make(optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_a_schedule_of_momenta_that_an_optimizer_has_not_leaves_its_rate() -> None:
    for make in (lambda o: optim.CyclicLR(o, 0.1, 0.2), lambda o: optim.OneCycleLR(o, 1.0, total_steps=5)):
        optimizer = optim.Adagrad([autodiff.tensor([1.0], requires_grad=True)], lr=0.3)
        before = dict(optimizer.param_groups[0])
        with pytest.raises(ArgumentError, match="cycle_momentum=False"):
            make(optimizer)
        assert optimizer.param_groups[0] == before


NEGATIVE: dict[str, Callable[[Any], Any]] = {
    "lambda": lambda o: optim.LambdaLR(o, lambda step: 1.0 - step),
    "not a number": lambda o: optim.MultiplicativeLR(o, lambda step: math.nan if step == 2 else 0.5),
    "restarts": lambda o: optim.ChainedScheduler(
        [optim.CosineAnnealingWarmRestarts(o, 1, 2), optim.LambdaLR(o, lambda step: 1.0 - step)]
    ),
    # A cosine climbs from a rate below its bottom: PyTorch's is -0.03 at the sixth step.
    "chained": lambda o: optim.ChainedScheduler(
        [optim.CosineAnnealingLR(o, 4, 0.1), optim.StepLR(o, 3, 0.01), optim.CosineAnnealingLR(o, 3, 0.2)]
    ),
}


@pytest.mark.parametrize("name", NEGATIVE)
def test_a_rate_below_zero_is_refused_and_nothing_is_changed(name: str) -> None:
    p = autodiff.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    schedule = NEGATIVE[name](optimizer)
    for _ in range(20):
        before, group = schedule.state_dict(), dict(optimizer.param_groups[0])
        p.grad = np.ones(1)
        optimizer.step()
        try:
            schedule.step()
        except ArgumentError as error:
            assert "the rate of group 0 became" in str(error)  # noqa: PT017
            break
        assert optimizer.param_groups[0]["lr"] >= 0
    else:
        pytest.fail("no rate was refused")
    assert schedule.state_dict() == before
    assert optimizer.param_groups[0] == group


def test_one_cycle_with_a_first_phase_of_no_step_begins_at_the_top() -> None:
    optimizer = optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=0.1, momentum=0.9)
    schedule = optim.OneCycleLR(optimizer, 1.0, total_steps=10, pct_start=0.1, anneal_strategy="linear")
    assert schedule.get_last_lr() == [1.0]
    for _ in range(10):
        optimizer.step()
        schedule.step()
    assert 0 <= schedule.get_last_lr()[0] < 1e-5


def test_a_metric_that_is_no_number_is_refused() -> None:
    schedule = optim.ReduceLROnPlateau(optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=0.1))
    for metric in ("low", [1.0, 2.0], np.ones(2)):
        with pytest.raises(ArgumentError, match="a metric is a number"):
            schedule.step(metric)
    assert schedule.last_epoch == 0
