"""Optimisers that see more than elements (L-BFGS, Muon, Adafactor), and averages of models, against PyTorch."""

from __future__ import annotations

import math
import pickle
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import autodiff
import nn
import optim
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from optim.swa_utils import SWALR, AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn, get_swa_multi_avg_fn, update_bn

torch_only = pytest.mark.skipif(find_spec("torch") is None, reason="the independent truth here is PyTorch")
SHAPES = [(3, 4), (5,), (), (2, 4, 3), (0, 2)]


def start(seed: int, shapes: Any = SHAPES) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def both(values: list[Any]) -> tuple[list[Any], list[Any]]:
    import torch

    return [autodiff.tensor(v, requires_grad=True) for v in values], [
        torch.tensor(v, requires_grad=True) for v in values
    ]


# --- L-BFGS


def rosenbrock(params: Any) -> Any:
    total = 0.0
    for p in params:
        flat = p.reshape(-1)
        total = total + (100 * (flat[1:] - flat[:-1] ** 2) ** 2 + (1 - flat[:-1]) ** 2).sum()
    return total


LBFGS_OPTIONS: list[dict[str, Any]] = [
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 7},
    {"line_search_fn": "strong_wolfe", "max_eval": 3},
    {"line_search_fn": "strong_wolfe", "lr": 5.0, "tolerance_change": 1e-3},
    {"lr": 0.01},
    {"lr": 0.001, "max_iter": 3, "history_size": 1},
]


@torch_only
@pytest.mark.parametrize("options", LBFGS_OPTIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_lbfgs_follows_pytorch(options: dict[str, Any], seed: int) -> None:
    import torch

    ours, theirs = both(start(seed, [(6,), (2, 2)]))
    a, b = optim.LBFGS(ours, **options), torch.optim.LBFGS(theirs, **options)
    calls = [0, 0]

    def closure(which: int, optimizer: Any, params: Any) -> Any:
        def run() -> Any:
            calls[which] += 1
            optimizer.zero_grad()
            loss = rosenbrock(params)
            loss.backward()
            return loss

        return run

    for step in range(4):
        first, reference = a.step(closure(0, a, ours)), b.step(closure(1, b, theirs))
        np.testing.assert_allclose(first.item(), reference.item(), rtol=1e-7, err_msg=f"step {step}")
        assert calls[0] == calls[1]
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-6, atol=1e-9, err_msg=f"step {step}")
        assert a.state[ours[0]]["n_iter"] == b.state[theirs[0]]["n_iter"]
    c = optim.LBFGS(ours, **options)
    c.load_state_dict(b.state_dict())
    c.step(closure(0, c, ours))
    b.step(closure(1, b, theirs))
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("copy", ["state", "pickle"])
def test_lbfgs_goes_on_bit_for_bit(copy: str) -> None:
    def run(p: Any, optimizer: Any) -> Any:
        def closure() -> Any:
            optimizer.zero_grad()
            loss = rosenbrock([p])
            loss.backward()
            return loss

        return optimizer.step(closure)

    p = autodiff.tensor([-1.2, 1.0, 0.3], requires_grad=True)
    optimizer = optim.LBFGS([p], max_iter=5, line_search_fn="strong_wolfe")
    run(p, optimizer)
    if copy == "pickle":
        q, other = pickle.loads(pickle.dumps((p, optimizer)))
    else:
        q = autodiff.tensor(p.data.copy(), requires_grad=True)
        other = optim.LBFGS([q], max_iter=5, line_search_fn="strong_wolfe")
        other.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        run(p, optimizer)
        run(q, other)
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_lbfgs_finds_the_least_squares_and_keeps_the_dtype(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    a, x = (rng.normal(size=shape).astype(dtype) for shape in ((8, 3), (3,)))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.normal(size=a.shape)
        x = x + 1j * rng.normal(size=3)
    p = autodiff.tensor(np.zeros(3, dtype), requires_grad=True)
    held = p.data
    optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (np.abs(a @ p - a @ x) ** 2).sum()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    assert p.data.dtype == dtype
    assert not held.any(), "the array that the Tensor was made from has changed"
    np.testing.assert_allclose(p.data, x, rtol=1e-3 if dtype == np.float32 else 1e-4)


def test_lbfgs_in_a_compiled_step_is_the_plain_one() -> None:
    results = []
    for compiled in (False, True):
        net = nn.Linear(3, 1, generator=np.random.default_rng(0)).double()
        x = np.random.default_rng(1).normal(size=(16, 3))
        optimizer = optim.LBFGS(net.parameters(), max_iter=4, line_search_fn="strong_wolfe")

        def step(x: Any, y: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
            def closure() -> Any:
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(net(x), y)
                loss.backward()
                return loss

            return optimizer.step(closure).item()

        take = autodiff.compile(step) if compiled else step
        losses = [take(x, x.sum(1, keepdims=True)) for _ in range(4)]
        results.append((losses, net.weight.data))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_lbfgs_refuses() -> None:
    p, q = (autodiff.tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = optim.LBFGS([p])
    with pytest.raises(ArgumentError, match="closure"):
        optimizer.step()
    with pytest.raises(ArgumentError, match="one group"):
        optim.LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(ArgumentError, match="'strong_wolfe'"):
        optim.LBFGS([p], line_search_fn="armijo")
    with pytest.raises(ArgumentError, match="another optimiser's"):
        optimizer.load_state_dict(
            {"state": {0: {"exp_avg": np.ones(1)}}, "param_groups": optimizer.state_dict()["param_groups"]}
        )
    with pytest.raises(ShapeError, match="1 elements"):
        optimizer.load_state_dict(
            {"state": {0: {"d": np.ones(2)}}, "param_groups": optimizer.state_dict()["param_groups"]}
        )


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("fails_at", range(1, 8))
def test_lbfgs_whose_closure_fails_leaves_the_parameters(search: str | None, fails_at: int) -> None:
    w = autodiff.tensor([-1.2, 1.0], requires_grad=True)
    optimizer = optim.LBFGS([w], lr=0.01, line_search_fn=search)
    calls: list[int] = []

    def closure() -> Any:
        calls.append(1)
        if len(calls) == fails_at:
            raise RuntimeError("no more")
        optimizer.zero_grad()
        loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="no more"):
        optimizer.step(closure)
    assert w.data.tolist() == [-1.2, 1.0]


# --- Muon and Adafactor


ADAFACTOR: list[dict[str, Any]] = [
    {},
    {"lr": 0.1, "beta2_decay": -0.5, "d": 2.0, "weight_decay": 0.1},
    {"lr": 0.5, "eps": (1e-3, 0.1), "maximize": True},
]


@torch_only
@pytest.mark.parametrize("options", ADAFACTOR)
def test_adafactor_follows_pytorch(options: dict[str, Any]) -> None:
    import torch

    # PyTorch divides the norm of nothing by 0.
    ours, theirs = both(start(0, SHAPES[:-1]))
    a, b = optim.Adafactor(ours, **options), torch.optim.Adafactor(theirs, **options)
    rng = np.random.default_rng(1)
    for step in range(60):
        for p, q in zip(ours, theirs, strict=True):
            g = rng.normal(size=p.shape) + p.data
            p.grad, q.grad = g, torch.tensor(g)
        if step % 7 == 0:
            ours[1].grad = theirs[1].grad = None
        a.step()
        b.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-9, err_msg=f"step {step}")
    fresh = optim.Adafactor([autodiff.tensor(p.data, requires_grad=True) for p in ours], **options)
    fresh.load_state_dict(b.state_dict())
    for q, p in zip(fresh.param_groups[0]["params"], ours, strict=True):
        q.grad = p.grad = np.ones(p.shape)
    fresh.step()
    a.step()
    for q, p in zip(fresh.param_groups[0]["params"], ours, strict=True):
        np.testing.assert_allclose(q.data, p.data, rtol=1e-9)


@torch_only
@pytest.mark.parametrize(
    "options",
    [{"lr": 0.1}, {"lr": 0.1, "nesterov": False, "momentum": 0.5}, {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw"}],
)
def test_muon_follows_pytorch_as_far_as_bfloat16_goes(options: dict[str, Any]) -> None:
    import torch

    ours, theirs = both(start(0, [(3, 5), (6, 2), (4, 4)]))
    a, b = optim.Muon(ours, **options), torch.optim.Muon(theirs, **options)
    rng = np.random.default_rng(1)
    before = [p.data.copy() for p in ours]
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            g = rng.normal(size=p.shape)
            p.grad, q.grad = g, torch.tensor(g)
        a.step()
        b.step()
    for p, q, begin in zip(ours, theirs, before, strict=True):
        moved = np.abs(p.data - begin).max()
        assert np.abs(p.data - q.detach().numpy()).max() < 0.05 * moved


def test_muon_makes_steps_of_singular_values_near_one() -> None:
    w = autodiff.tensor(np.zeros((4, 6)), requires_grad=True)
    w.grad = np.random.default_rng(0).normal(size=(4, 6)) * [[1e-3], [1.0], [30.0], [1.0]]
    optim.Muon([w], lr=1.0, weight_decay=0.0).step()
    values = np.linalg.svd(w.data, compute_uv=False)
    assert 0.5 < values[0] < 1.3


@pytest.mark.parametrize("name", ["Muon", "Adafactor"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_plain_is_the_same_bits_and_a_state_dict_goes_on(name: str, dtype: Any) -> None:
    runs = []
    for way in ("fast", "plain", "resumed"):
        params = [autodiff.tensor(v.astype(dtype), requires_grad=True) for v in start(0, [(3, 4), (0, 2), (200, 90)])]
        optimizer = getattr(optim, name)(params, lr=0.1)
        rng = np.random.default_rng(1)
        for step in range(4):
            for p in params:
                p.grad = rng.normal(size=p.shape).astype(dtype)
            if way == "plain":
                with autodiff.plain():
                    optimizer.step()
            else:
                optimizer.step()
            if way == "resumed" and step == 1:
                saved = optimizer.state_dict()
                params = [autodiff.tensor(p.data.copy(), requires_grad=True) for p in params]
                optimizer = getattr(optim, name)(params, lr=0.3)
                optimizer.load_state_dict(saved)
        assert all(p.data.dtype == dtype for p in params)
        runs.append(params)
    for other in runs[1:]:
        for p, q in zip(runs[0], other, strict=True):
            np.testing.assert_array_equal(p.data, q.data)


def test_muon_and_adafactor_keep_no_group_that_they_refuse() -> None:
    matrix, lazy = autodiff.tensor(np.eye(2), requires_grad=True), nn.LazyLinear(2).weight
    bad = {"Muon": [lazy, nn.Parameter(np.ones(2)), nn.Parameter(np.eye(2) * 1j)], "Adafactor": [lazy]}
    for name, parameters in bad.items():
        optimizer = getattr(optim, name)([matrix])
        for parameter in parameters:
            with pytest.raises((ArgumentError, DTypeError)):
                optimizer.add_param_group({"params": [parameter]})
            assert len(optimizer.param_groups) == 1
    for option in ({"ns_steps": 2.5}, {"ns_coefficients": (1.0, "a", 2.0)}, {"ns_coefficients": (1.0, math.nan, 2.0)}):
        with pytest.raises(ArgumentError, match=next(iter(option))):
            optim.Muon([matrix], **option)  # type: ignore[arg-type]


def test_muon_and_adafactor_refuse_what_they_cannot_take() -> None:
    vector = autodiff.tensor([1.0], requires_grad=True)
    with pytest.raises(ArgumentError, match="give the others to AdamW"):
        optim.Muon([vector])
    with pytest.raises(DTypeError, match="complex128"):
        optim.Adafactor([autodiff.tensor([1j], requires_grad=True)])
    with pytest.raises(ArgumentError, match="d must be"):
        optim.Adafactor([vector], d=0.5)
    optimizer = optim.Adafactor([autodiff.tensor([[1.0, 2.0]], requires_grad=True)])
    bad = {"state": {0: {"row_var": np.ones((1, 2))}}, "param_groups": optimizer.state_dict()["param_groups"]}
    with pytest.raises(ShapeError, match="row_var"):
        optimizer.load_state_dict(bad)


# --- averages


@torch_only
@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("kind", ["swa", "ema", "multi", "multi-swa"])
def test_averages_are_pytorchs(kind: str, use_buffers: bool) -> None:
    import torch
    from torch.optim import swa_utils as theirs_utils

    if kind == "multi-swa" and use_buffers:
        pytest.skip("PyTorch refuses to average the number of batches")
    # PyTorch divides by the number of models in float32 there.
    rtol = 1e-6 if kind == "multi-swa" else 1e-12

    def functions(lib: Any) -> dict[str, Any]:
        return {
            "swa": {},
            "ema": {"avg_fn": lib.get_ema_avg_fn(0.9)},
            "multi": {"multi_avg_fn": lib.get_ema_multi_avg_fn(0.8)},
            "multi-swa": {"multi_avg_fn": lib.get_swa_multi_avg_fn()},
        }[kind]

    net, reference = (
        nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double(),
        torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).double(),
    )
    net.load_state_dict(reference.state_dict())
    ours = AveragedModel(net, use_buffers=use_buffers, **functions(optim.swa_utils))
    theirs = theirs_utils.AveragedModel(reference, use_buffers=use_buffers, **functions(theirs_utils))
    rng = np.random.default_rng(0)
    for _ in range(4):
        shift = rng.normal()
        x = rng.normal(size=(5, 2))
        for p, q in zip(net.parameters(), reference.parameters(), strict=True):
            p.data = p.data + shift
            q.data += shift
        net(x)
        reference(torch.tensor(x))
        ours.update_parameters(net)
        theirs.update_parameters(reference)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), rtol, rtol, err_msg=name)
    batches = [rng.normal(size=(4, 2)) for _ in range(3)]
    update_bn([(b, None) for b in batches], ours)
    theirs_utils.update_bn([torch.tensor(b) for b in batches], theirs)
    np.testing.assert_allclose(ours.module[1].running_var.data, theirs.module[1].running_var.numpy(), rtol, rtol)
    assert ours.module[1].momentum == 0.1
    fresh = AveragedModel(net)
    fresh.load_state_dict(theirs.state_dict())
    assert fresh.n_averaged == 4
    np.testing.assert_allclose(fresh.eval()(batches[0]).data, ours.eval()(batches[0]).data, 1e-6, 1e-6)
    assert ours.module[0].weight.data is not net[0].weight.data


@torch_only
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 3, 10])
def test_swalr_follows_pytorch_behind_another_schedule(strategy: str, epochs: int) -> None:
    import torch
    from torch.optim.swa_utils import SWALR as Theirs

    ours = optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=0.1)
    theirs = torch.optim.SGD([torch.tensor([1.0], requires_grad=True)], lr=0.1)
    a, b = optim.ExponentialLR(ours, 0.9), torch.optim.lr_scheduler.ExponentialLR(theirs, 0.9)
    s, t = SWALR(ours, 0.02, epochs, strategy), Theirs(theirs, 0.02, epochs, strategy)
    theirs.step()
    for i in range(25):
        (a if i < 8 else s).step()
        (b if i < 8 else t).step()
        np.testing.assert_allclose(ours.param_groups[0]["lr"], theirs.param_groups[0]["lr"], rtol=1e-13)


def test_averages_refuse() -> None:
    with pytest.raises(ArgumentError, match="not both"):
        AveragedModel(nn.Linear(1, 1), avg_fn=get_ema_avg_fn(), multi_avg_fn=get_ema_multi_avg_fn())
    with pytest.raises(ArgumentError, match=r"\[0, 1\]"):
        get_ema_multi_avg_fn(1.5)
    averages = AveragedModel(nn.Linear(1, 1), multi_avg_fn=get_swa_multi_avg_fn())
    with pytest.raises(ArgumentError, match="not those"):
        averages.update_parameters(nn.Linear(2, 1))
    with pytest.raises(ArgumentError, match="n_averaged"):
        averages.load_state_dict(nn.Linear(1, 1).state_dict())
    assert optim.lr_scheduler.LRScheduler is optim.Schedule


@torch_only
def test_the_statistics_of_instances_are_left_as_they_are() -> None:
    """They are no means over batches in PyTorch either; they began anew and stayed at 0 and 1."""
    import torch

    x = np.random.default_rng(0).normal(2.0, 3.0, (4, 3, 5))
    found = []
    for lib, utils, tensor in ((nn, optim.swa_utils, np.asarray), (torch.nn, torch.optim.swa_utils, torch.tensor)):
        net: Any = lib.Sequential(lib.InstanceNorm1d(3, track_running_stats=True), lib.BatchNorm1d(3)).double()
        net(tensor(x))
        utils.update_bn([tensor(x)], net)
        found.append([np.asarray(held.detach()) for held in net.buffers()])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_an_average_that_fails_changes_nothing() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    net(np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32))
    with pytest.raises(ShapeError):
        update_bn([np.ones((4, 2), np.float32), np.ones((4, 5), np.float32)], net)
    assert net[1].num_batches_tracked.item() == 1
    assert net[1].running_mean.data.any()
    assert net[1].momentum == 0.1

    calls: list[int] = []

    def fails_later(average: Any, parameter: Any, number: int) -> Any:
        calls.append(number)
        if len(calls) == 3:
            raise RuntimeError("no more")
        return average + 1

    averages = AveragedModel(net, avg_fn=fails_later)
    averages.update_parameters(net)
    before = averages.state_dict()
    with pytest.raises(RuntimeError, match="no more"):
        averages.update_parameters(net)
    with pytest.raises(ArgumentError, match="parameters or buffers"):
        averages.update_parameters(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False)))
    for name, value in averages.state_dict().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    for wrong in (3, [nn.Linear(1, 1)]):
        with pytest.raises(ArgumentError, match="needs a model"):
            AveragedModel(wrong)  # type: ignore[type-var]
    with pytest.raises(ArgumentError, match="an average is a function"):
        AveragedModel(net, avg_fn=0.9)  # type: ignore[arg-type]
