"""Optimisers against PyTorch over 200 steps, and what must hold of every one of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff
import optim
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError

STEPS = 200
SHAPES = [(3, 4), (5,), (), (2, 1, 3), (0, 2)]

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True, "weight_decay": 0.3}),
    ("SGD", {}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-4}),
    ("Adagrad", {"maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "eps": 1e-3}),
    ("RMSprop", {"momentum": 0.9, "lr": 0.001}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "eps": 1e-3, "weight_decay": 0.01, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
    ("AdamW", {"lr": 0.05, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "betas": (0.5, 0.9), "weight_decay": 0.1, "momentum_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.05, "lambd": 0.01, "alpha": 0.5, "t0": 20, "weight_decay": 0.1, "maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.02, "etas": (0.3, 1.5), "step_sizes": (1e-4, 0.5), "maximize": True}),
]
CASES = [pytest.param(name, options, id=f"{name}-{'-'.join(options) or 'defaults'}") for name, options in OPTIONS]
EVERY = [
    *CASES,
    pytest.param("Lion", {"lr": 0.01}, id="Lion"),
    pytest.param("Lion", {"lr": 0.01, "weight_decay": 0.1, "maximize": True, "betas": (0.8, 0.95)}, id="Lion-options"),
]


@pytest.fixture(autouse=True)
def pytorch_counts_in_double() -> Any:
    """PyTorch keeps what it counts in its default dtype; in single precision NAdam and ASGD drift by 1e-8."""
    try:
        import torch
    except ImportError:
        yield
        return
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def make(dtype: Any = np.float64, seed: int = 0, shapes: Any = SHAPES) -> list[autodiff.Tensor]:
    rng = np.random.default_rng(seed)
    return [autodiff.Tensor(rng.normal(size=shape).astype(dtype), requires_grad=True) for shape in shapes]


def gradient(data: Any, i: int, step: int) -> Any:
    """Of a bumpy function that changes from step to step, so that every term of a formula matters."""
    return np.sin(3 * data + i) + 0.5 * data + 0.3 * np.cos(step * (1 + i)) * np.ones_like(data)


def advance(params: list[autodiff.Tensor], optimizer: Any, steps: range, skip: bool = True) -> None:
    for step in steps:
        for i, p in enumerate(params):
            # Every seventh gradient of the second parameter is missing: its counters then lag behind.
            p.grad = None if skip and i == 1 and step % 7 == 3 else gradient(p.data, i, step).astype(p.dtype)
        optimizer.step()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_follows_pytorch_for_200_steps(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the independent truth here")
    ours, theirs = make(), [torch.nn.Parameter(torch.tensor(p.data)) for p in make()]
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(STEPS):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            missing = i == 1 and step % 7 == 3
            p.grad = None if missing else gradient(p.data, i, step)
            q.grad = None if missing else torch.tensor(gradient(q.detach().numpy(), i, step))
        a.step()
        b.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_lion_is_its_paper() -> None:
    (p,) = make(shapes=[(4,)])
    w, m = p.data.copy(), np.zeros(4)
    optimizer = optim.Lion([p], lr=0.02, betas=(0.9, 0.99), weight_decay=0.1)
    for step in range(STEPS):
        g = gradient(w, 0, step)
        update = np.sign(0.9 * m + 0.1 * g)
        m = 0.99 * m + 0.01 * g
        w = w - 0.02 * (update + 0.1 * w)
        p.grad = gradient(p.data, 0, step)
        optimizer.step()
        np.testing.assert_allclose(p.data, w, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_complex_parameters_follow_pytorch(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the independent truth here")
    rng = np.random.default_rng(5)
    start = rng.normal(size=3) + 1j * rng.normal(size=3)
    p, q = autodiff.Tensor(start, requires_grad=True), torch.nn.Parameter(torch.tensor(start))
    a, b = getattr(optim, name)([p], **options), getattr(torch.optim, name)([q], **options)
    for step in range(20):
        p.grad = np.exp(1j * step) * p.data
        q.grad = torch.tensor(np.exp(1j * step) * q.detach().numpy())
        a.step()
        b.step()
    np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_large_parameters_are_walked_in_blocks(name: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    values, grads = rng.normal(size=(2, 70_001)), rng.normal(size=(5, 2, 70_001))
    one = autodiff.Tensor(values, requires_grad=True)
    many = [autodiff.Tensor(row, requires_grad=True) for row in np.array_split(values.ravel(), 50)]
    a, b = getattr(optim, name)([one], **options), getattr(optim, name)(many, **options)
    for g in grads:
        # A transposed layout, as a product of matrices may give it.
        one.grad = np.asfortranarray(g)
        for p, part in zip(many, np.array_split(g.ravel(), 50), strict=True):
            p.grad = part
        a.step()
        b.step()
    np.testing.assert_array_equal(one.data.ravel(), np.concatenate([p.data for p in many]))


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_float32_stays_float32(name: str, options: dict[str, Any]) -> None:
    params = make(np.float32)
    optimizer = getattr(optim, name)(params, **options)
    advance(params, optimizer, range(5))
    assert {p.data.dtype for p in params} == {np.dtype(np.float32)}
    arrays = [v for state in optimizer.state.values() for v in state.values() if isinstance(v, np.ndarray)]
    assert all(a.dtype == np.float32 for a in arrays)


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_resumes_bit_for_bit_from_its_state_dict(name: str, options: dict[str, Any]) -> None:
    params = make()
    optimizer = getattr(optim, name)(params, **options)
    advance(params, optimizer, range(17))
    copies = [autodiff.Tensor(p.data, requires_grad=True) for p in params]
    resumed = getattr(optim, name)(copies, lr=123.0)
    resumed.load_state_dict(optimizer.state_dict())
    advance(params, optimizer, range(17, 40))
    advance(copies, resumed, range(17, 40))
    for p, q in zip(params, copies, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_takes_over_a_pytorch_state_dict(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the independent truth here")
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in make()]
    b = getattr(torch.optim, name)(theirs, **options)
    for step in range(10):
        for i, q in enumerate(theirs):
            q.grad = torch.tensor(gradient(q.detach().numpy(), i, step))
        b.step()
    ours = [autodiff.Tensor(q.detach().numpy(), requires_grad=True) for q in theirs]
    a = getattr(optim, name)(ours)
    a.load_state_dict(b.state_dict())
    for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
        p.grad = gradient(p.data, i, 10)
        q.grad = torch.tensor(gradient(q.detach().numpy(), i, 10))
    a.step()
    b.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_writes_into_no_array_but_its_own(name: str, options: dict[str, Any]) -> None:
    params = make()
    optimizer = getattr(optim, name)(params, **options)
    held = [(p.data, p.data.copy()) for p in params]
    for step in range(8):
        for i, p in enumerate(params):
            if step == 4:  # somebody else's array
                p.data = p.data.copy()
                held.append((p.data, p.data.copy()))
            p.grad = gradient(p.data, i, step)
            p.grad.flags.writeable = False
        optimizer.step()
    for array, copy in held:
        np.testing.assert_array_equal(array, copy)


def test_a_backward_pass_through_old_values_is_refused() -> None:
    w, v = make(shapes=[(3, 3), (3, 3)])
    w.name = "w"
    optimizer = optim.SGD([w, v], lr=10.0)
    for _ in range(2):
        out, unread = (w @ v).sum(), (w + v).sum()
        w.grad, v.grad = np.ones((3, 3)), np.ones((3, 3))
        optimizer.step()
        if w._array.base is None:
            break
    out, unread = (w @ v).sum(), (w + v).sum()
    optimizer.step()
    optimizer.zero_grad()
    unread.backward()  # its rule reads no values
    np.testing.assert_array_equal(w.grad, np.ones((3, 3)))
    with pytest.raises(autodiff.GraphError, match=r"matmul.*changed in place"):
        out.backward()


@pytest.mark.parametrize("sizes", [[(3,), (4,)], [(200, 200)]], ids=["joined", "alone"])
def test_values_are_written_over(sizes: Any) -> None:
    params = make(shapes=sizes)
    optimizer = optim.Adam(params)
    seen = set()
    for step in range(10):
        for i, p in enumerate(params):
            p.grad = gradient(p.data, i, step)
        optimizer.step()
        seen.add(params[-1].data.ctypes.data)
    assert len(seen) == 1


@pytest.mark.parametrize("sizes", [[(3,), (4,)], [(200, 200)]], ids=["joined", "alone"])
def test_sees_what_the_user_binds_and_writes(sizes: Any) -> None:
    params = make(shapes=sizes)
    optimizer = optim.SGD(params, lr=1.0)
    for round_ in range(4):
        for p in params:
            if round_ % 2:
                p.data = np.full(p.shape, 5.0)
            else:
                p.data[...] = 5.0
            p.grad = np.ones(p.shape)
        optimizer.step()
        for p in params:
            np.testing.assert_array_equal(p.data, np.full(p.shape, 4.0))


def test_state_arrays_may_be_written_or_dropped() -> None:
    params = make(shapes=[(3,), (4,)])
    optimizer = optim.SGD(params, lr=1.0, momentum=1.0)
    for p in params:
        p.grad = np.ones(p.shape)
    optimizer.step()
    optimizer.state[params[0]]["momentum_buffer"][:] = 10.0
    optimizer.state[params[1]] = {}
    before = [p.data.copy() for p in params]
    optimizer.step()
    np.testing.assert_allclose(before[0] - params[0].data, 11.0)
    np.testing.assert_allclose(before[1] - params[1].data, 1.0)


def test_shape_and_dtype_may_change() -> None:
    params = make(shapes=[(3,), (4,)])
    optimizer = optim.SGD(params, lr=1.0)
    advance(params, optimizer, range(2))
    params[0].data = np.zeros((2, 2), np.float32)
    params[0].grad, params[1].grad = np.ones((2, 2), np.float32), None
    optimizer.step()
    np.testing.assert_array_equal(params[0].data, -np.ones((2, 2), np.float32))
    assert params[0].data.dtype == np.float32


def test_groups_have_their_own_options() -> None:
    a, b, c = make(shapes=[(2,), (2,), (2,)])
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": [("late", c)], "lr": 0.0})
    before = [p.data.copy() for p in (a, b, c)]
    for p in (a, b, c):
        p.grad = np.ones(2)
    optimizer.step()
    moved = [float((x - p.data)[0]) for x, p in zip(before, (a, b, c), strict=True)]
    np.testing.assert_allclose(moved, [0.1, 0.5, 0.0])
    assert optimizer.param_groups[2]["param_names"] == ["late"]
    optimizer.param_groups[2]["lr"] = 1.0
    optimizer.step()
    np.testing.assert_allclose(before[2] - c.data, 1.0)


def test_any_object_with_data_and_grad_will_do() -> None:
    class Knob:
        def __init__(self) -> None:
            self.data = np.array([1.0, 2.0], np.float32)
            self.grad: Any = [1.0, 1.0]

    knob = Knob()
    optim.SGD([knob], lr=1.0).step()
    np.testing.assert_array_equal(knob.data, np.array([0.0, 1.0], np.float32))


def test_gradient_as_a_tensor_is_taken() -> None:
    x = autodiff.tensor([2.0], requires_grad=True)
    (x * x).sum().backward(create_graph=True)
    assert isinstance(x.grad, autodiff.Tensor)
    optim.SGD([x], lr=0.5).step()
    np.testing.assert_array_equal(x.data, [0.0])


def test_closure_and_zero_grad() -> None:
    (x,) = make(shapes=[(3,)])
    optimizer = optim.SGD([x], lr=0.1)

    def closure() -> autodiff.Tensor:
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    with autodiff.no_grad():
        losses = [optimizer.step(closure).item() for _ in range(3)]
    assert losses == sorted(losses, reverse=True)
    optimizer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(x.grad, np.zeros(3))
    optimizer.zero_grad()
    assert x.grad is None


def test_zero_grad_forgets_whatever_a_parameter_is() -> None:
    class Foreign:
        data, grad = np.ones(2), np.ones(2)

    learned, frozen, foreign = (
        autodiff.tensor([1.0], requires_grad=True),
        autodiff.tensor([1.0], requires_grad=True),
        Foreign(),
    )
    optimizer = optim.SGD([learned, frozen, foreign], lr=0.1)
    (learned * frozen).sum().backward()
    frozen.requires_grad = False
    optimizer.zero_grad()
    assert learned.grad is None
    assert frozen.grad is None
    assert foreign.grad is None


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("SGD", {"lr": -1.0}, r"SGD: lr must be a finite number >= 0, got -1\.0"),
        ("SGD", {"lr": float("nan")}, "lr must be"),
        ("SGD", {"lr": "fast"}, "got 'fast'"),
        ("SGD", {"momentum": -0.1}, "momentum"),
        ("SGD", {"nesterov": True}, "nesterov needs momentum"),
        ("Adam", {"betas": (0.9, 1.0)}, r"betas must be two numbers in \[0, 1\)"),
        ("Adam", {"betas": 0.9}, "betas"),
        ("AdamW", {"eps": -1e-8}, "eps"),
        ("RMSprop", {"alpha": -1}, "alpha"),
        ("Adagrad", {"lr_decay": -1}, "lr_decay"),
        ("Adadelta", {"rho": 1.5}, "rho"),
        ("Lion", {"weight_decay": -1}, "weight_decay"),
    ],
)
def test_refuses_options(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        getattr(optim, name)(make(), **options)


def test_refuses_parameters() -> None:
    x = autodiff.tensor([1.0], requires_grad=True)
    with pytest.raises(ArgumentError, match="no parameters"):
        optim.SGD([])
    with pytest.raises(ArgumentError, match=r"write \[parameter\]"):
        optim.SGD(x)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="appears twice"):
        optim.SGD([x, x])
    with pytest.raises(ArgumentError, match="only leaves"):
        optim.SGD([x * 2])
    with pytest.raises(DTypeError, match="int64"):
        optim.SGD([autodiff.tensor([1])])
    with pytest.raises(ArgumentError, match=r"needs \.data"):
        optim.SGD([3.0])
    with pytest.raises(ArgumentError, match="'params'"):
        optim.SGD([x]).add_param_group({"lr": 1.0})
    with pytest.raises(ArgumentError, match="set"):
        optim.SGD([x]).add_param_group({"params": {autodiff.tensor([1.0], requires_grad=True)}})


def test_a_gradient_of_another_shape_changes_nothing() -> None:
    class Knob:
        def __init__(self, shape: Any) -> None:
            self.data = np.ones(2)
            self.grad = np.ones(shape)

    good, bad = Knob(2), Knob(3)
    optimizer = optim.Adam([good, bad])
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        optimizer.step()
    np.testing.assert_array_equal(good.data, np.ones(2))
    assert optimizer.state == {}


def test_refuses_another_optimisers_state_and_stays_as_it_was() -> None:
    params = make(shapes=[(2,), (3,)])
    optimizer = optim.Adam(params, lr=0.5)
    advance(params, optimizer, range(2), skip=False)
    state = optimizer.state_dict()
    with pytest.raises(ArgumentError, match=r"groups of \[2\]"):
        optim.Adam(params[:1]).load_state_dict(state)
    with pytest.raises(ArgumentError, match="'state' and 'param_groups'"):
        optimizer.load_state_dict({})
    state["state"][0]["exp_avg"] = np.zeros(7)
    state["param_groups"][0]["lr"] = 9.0
    with pytest.raises(ShapeError, match="exp_avg of parameter 0"):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("kind", [k for k in vars(optim).values() if isinstance(k, type) and hasattr(k, "_options")])
def test_every_number_among_the_options_refuses_what_is_none(kind: Any) -> None:
    parameter = autodiff.tensor(np.ones((2, 2)), requires_grad=True)
    numbers = [name for name, known in kind._options.items() if known.init and type(known.default) in (int, float)]
    for name in numbers:
        for value in (np.nan, "x", None, True, [1.0]):
            with pytest.raises(ArgumentError, match=f"{kind.__name__}: {name} must be .+, got "):
                kind([parameter], **{name: value})


def test_a_group_of_no_parameters_is_refused_by_name() -> None:
    with pytest.raises(ArgumentError, match="SGD: 'params' of a group are parameters, got a int"):
        optim.SGD([{"params": 3}], lr=0.1)


def test_refuses_the_state_of_an_optimiser_with_other_moments() -> None:
    kinds = [optim.SGD, optim.Adagrad, optim.RMSprop, optim.Adadelta, optim.Adam, optim.Rprop, optim.Adamax, optim.Lion]
    states = {}
    for kind in kinds:
        params = make(shapes=[(2,), (3,)])
        optimizer = kind(params, lr=0.1, **({"momentum": 0.9} if kind is optim.SGD else {}))
        advance(params, optimizer, range(2), skip=False)
        states[kind] = optimizer.state_dict()
    for kind, other in ((a, b) for a in kinds for b in kinds):
        mine, theirs = (set(states[k]["state"][0]) - {"step"} for k in (kind, other))
        optimizer = kind(make(shapes=[(2,), (3,)]), lr=0.5)
        if mine <= theirs or kind is optim.SGD:  # a plain SGD asks for nothing
            continue
        with pytest.raises(ArgumentError, match="no "):
            optimizer.load_state_dict(states[other])
        assert not optimizer.state
        assert optimizer.param_groups[0]["lr"] == 0.5


def _spoiled(change: Callable[[Any], object]) -> Any:
    params = make(shapes=[(2,), (3,)])
    optimizer = optim.Adam(params)
    advance(params, optimizer, range(2), skip=False)
    state: Any = optimizer.state_dict()
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda s: s["state"][0].update(step="x"), ArgumentError, "not the state of an optimiser: ValueError"),
        (lambda s: s.update(state=[3]), ArgumentError, "not the state of an optimiser"),
        (lambda s: s["param_groups"].append(3), ArgumentError, "not the state of an optimiser"),
        (lambda s: s["state"][1].update(exp_avg="text"), ArgumentError, "not the state of an optimiser"),
        (lambda s: s["state"][1].update(exp_avg=np.ones(3) * 1j), DTypeError, "exp_avg of parameter 1 is complex"),
        (lambda s: s["state"][1].pop("exp_avg_sq"), ArgumentError, r"no \['exp_avg_sq'\]"),
    ],
)
def test_refuses_a_damaged_state_and_stays_as_it_was(change: Any, error: type[Exception], words: str) -> None:
    optimizer = optim.Adam(make(shapes=[(2,), (3,)]), lr=0.5)
    with pytest.raises(error, match=words):
        optimizer.load_state_dict(_spoiled(change))
    assert not optimizer.state
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_repr_names_the_options() -> None:
    assert "lr=0.5" in repr(optim.Adam(make(), lr=0.5))


def test_a_parameter_may_still_be_written_after_a_step() -> None:
    # Small parameters are views of a joined vector then, which must not be mistaken for a view of another tensor.
    a, b = make(shapes=[(3,), (4,)])
    a.grad, b.grad = np.ones(3), np.ones(4)
    optim.SGD([a, b], lr=1.0).step()
    with autodiff.no_grad():
        a[0] = 7.0
    assert a.data[0] == 7.0


def test_a_groups_parameters_may_be_exchanged() -> None:
    old, new = make(shapes=[(3,), (3,)])
    optimizer = optim.SGD([old], lr=1.0)
    old.grad, new.grad = np.ones(3), np.ones(3)
    optimizer.step()
    optimizer.param_groups[0]["params"] = [new]
    before = old.data.copy(), new.data.copy()
    optimizer.step()
    np.testing.assert_array_equal(old.data, before[0])
    np.testing.assert_array_equal(new.data, before[1] - 1)


def test_a_numpy_rate_keeps_float32() -> None:
    (p,) = make(np.float32, shapes=[(3,)])
    optimizer = optim.SGD([p], lr=np.float64(0.1))
    assert type(optimizer.param_groups[0]["lr"]) is float


def adam_by_the_book(p: Any, g: Any, state: dict[str, Any]) -> Any:
    """One parameter, one step, nothing clever."""
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * g
    v = state["v"] = 0.99 * state.get("v", 0.0) + 0.01 * g * g
    return p - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)


@st.composite
def programs(draw: Any) -> tuple[list[tuple[int, ...]], list[tuple[Any, ...]]]:
    """Parameters' shapes, and what happens to them in turn."""
    shapes = draw(st.lists(st.sampled_from([(), (1,), (3,), (2, 2), (5,), (4, 6), (0,)]), min_size=1, max_size=5))
    number = st.integers(0, len(shapes) - 1)
    action = st.one_of(
        st.tuples(st.just("step"), st.sets(number)),
        st.tuples(st.just("step"), st.just(set(range(len(shapes))))),
        st.tuples(st.just("bind"), number),
        st.tuples(st.just("write"), number),
        st.tuples(st.just("reload"), st.none()),
    )
    return shapes, draw(st.lists(action, min_size=1, max_size=25))


@given(programs())
def test_whatever_happens_between_steps_it_is_adam_by_the_book(program: Any) -> None:
    shapes, actions = program
    with pytest.MonkeyPatch.context() as patch:
        # Small limits, so that parameters of every size are joined, alone, and cut into blocks.
        patch.setattr("optim.optimizer.SMALL", 4)
        patch.setattr("optim.optimizer.BLOCK", 7)
        rng = np.random.default_rng(0)
        params = make(shapes=shapes)
        values = [p.data.copy() for p in params]
        states: list[dict[str, Any]] = [{} for _ in params]
        optimizer = optim.Adam(params, lr=0.1, betas=(0.9, 0.99))
        held: list[tuple[Any, Any]] = []
        for kind, which in actions:
            if kind == "step":
                for i, p in enumerate(params):
                    p.grad = rng.normal(size=p.shape) if i in which else None
                    if i in which:
                        values[i] = adam_by_the_book(values[i], p.grad, states[i])
                optimizer.step()
            elif kind == "bind":
                values[which] = rng.normal(size=shapes[which])
                params[which].data = values[which].copy()
                held.append((params[which].data, values[which]))
            elif kind == "write":
                # Before the next step the parameter is still the array that the test bound and holds.
                if not any(np.shares_memory(params[which].data, h) for h, _ in held):
                    values[which] = rng.normal(size=shapes[which])
                    params[which].data[...] = values[which]
            else:
                saved = optimizer.state_dict()
                optimizer = optim.Adam(params, lr=0.1, betas=(0.9, 0.99))
                optimizer.load_state_dict(saved)
            for p, value in zip(params, values, strict=True):
                np.testing.assert_allclose(p.data, value, rtol=1e-9, atol=1e-12)
            for array, copy in held:
                np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Lion"])
@pytest.mark.parametrize("pickled", [False, True])
def test_a_copy_of_model_and_optimiser_goes_on_as_they_do(name: str, pickled: bool) -> None:
    """Arrays that are views of one another are none in a copy: a copied Adam went on with the step size of the moment
    of copying.
    """
    parameters = [
        autodiff.Tensor(np.linspace(-1.0, 1.0, n).astype(np.float32), requires_grad=True) for n in (3, 20_000)
    ]
    optimizer = getattr(optim, name)(parameters, lr=0.05)

    def train(parameters: list[Any], optimizer: Any) -> list[Any]:
        for i in range(4):
            optimizer.zero_grad()
            sum(((p - i) ** 2).sum() for p in parameters).backward()
            optimizer.step()
        return [p.data.tobytes() for p in parameters]

    train(parameters, optimizer)
    both = parameters, optimizer
    copied = pickle.loads(pickle.dumps(both)) if pickled else deepcopy(both)
    old = [p.data.copy() for p in parameters]
    found = train(*copied)
    assert all(np.array_equal(p.data, before) for p, before in zip(parameters, old, strict=True))
    assert train(parameters, optimizer) == found
    for state, other in zip(
        optimizer.state_dict()["state"].values(), copied[1].state_dict()["state"].values(), strict=True
    ):
        assert all(np.array_equal(state[key], other[key]) for key in state)


def test_an_option_set_as_an_attribute_is_refused_with_the_loop_that_sets_it():
    optimizer = optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=0.1)
    with pytest.raises(ArgumentError, match=r"SGD has no attribute 'lr': .* group\['lr'\] = 0\.5"):
        optimizer.lr = 0.5
    with pytest.raises(AttributeError, match=r"group\['momentum'\]"):
        optimizer.momentum  # noqa: B018
    optimizer.note = "mine"
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_options_that_choose_an_implementation_in_pytorch_change_nothing():
    def step(**options):
        w = autodiff.tensor([4.0], requires_grad=True)
        optimizer = optim.Adam([w], lr=0.1, **options)
        (w * w).sum().backward()
        optimizer.step()
        return w.data, sorted(optimizer.param_groups[0])

    for options in ({"fused": True}, {"foreach": False, "capturable": False}, {"differentiable": False}):
        assert step(**options)[1] == step()[1]
        assert step(**options)[0] == step()[0]
    with pytest.raises(ArgumentError, match="not differentiable"):
        step(differentiable=True)
