"""``autodiff.jit``: a pure function run once; the same bits as the function itself, and effects refused by name."""

import argparse
import copy
import dataclasses
import enum
import gc
import importlib
import pickle
import random
import subprocess
import sys
import types
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import autodiff
import nn
import optim
from autodiff import Tensor
from autodiff.core.errors import ArgumentError, CompileError
from autodiff.testing import strategies
from nn import functional as F


def bits(value: Any) -> Any:
    if isinstance(value, Tensor):
        return "tensor", bits(value.data)
    if isinstance(value, np.ndarray | np.generic):
        return value.shape, str(value.dtype), value.tobytes()
    if isinstance(value, dict):
        return [(key, bits(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(bits, value)]
    return repr(value)


def test_a_function_is_run_once_for_each_combination_of_shapes() -> None:
    runs = []

    @autodiff.jit
    def f(x: Any, scale: float) -> Any:
        runs.append(x.shape)
        return {"y": np.tanh(Tensor(x) * scale).sum(), "x": (x * 2, scale)}

    for x, scale in ((np.ones(3), 2.0), (np.arange(3.0), 0.5), (np.ones(4), 1.0), (np.zeros(3), -1.0)):
        found = f(x, scale)
        plain = np.tanh(x * scale).sum()
        assert bits(found["y"].data) == bits(np.asarray(plain))
        assert bits(found["x"][0]) == bits(x * 2)
        assert found["x"][1] == scale
    assert runs == [(3,), (4,)]
    assert len(f.plans) == 2


@pytest.mark.parametrize(
    "f",
    [
        autodiff.grad(lambda x, y: np.sum(np.sin(x) * y)),
        autodiff.value_and_grad(lambda x, y: (np.tanh(x @ y) ** 2).mean(), argnums=(0, 1)),
        autodiff.grad(lambda x, y: np.sum(autodiff.grad(lambda z: np.sum(z**3 * y))(x) ** 2)),
        lambda x, y: autodiff.hvp(lambda z: np.sum(np.exp(z) * y), (x,), (y,)),
    ],
    ids=["grad", "value_and_grad", "grad of grad", "hvp"],
)
def test_transforms_inside(f: Any) -> None:
    compiled = autodiff.jit(f)
    for i in range(4):
        x, y = np.random.default_rng(i).normal(size=(2, 3, 3))
        assert bits(compiled(x, y)) == bits(f(x, y))
    assert len(compiled.plans) == 1


@settings(deadline=None, max_examples=40)
@given(strategies.expressions())
def test_random_expressions(case: Any) -> None:
    function, point = case
    both = autodiff.value_and_grad(lambda *xs: function(*xs).sum(), argnums=(0, 1))
    compiled = autodiff.jit(both)
    for shift in (0.0, 0.25):
        moved = [x + shift for x in point]
        assert bits(compiled(*moved)) == bits(both(*moved))


def test_within_a_transform_it_runs_as_it_is() -> None:
    square = autodiff.jit(lambda x: x * x)
    assert autodiff.grad(lambda x: square(x) * 3)(2.0) == 12.0
    x = Tensor(3.0, requires_grad=True)
    square(x).backward()
    assert x.grad == 6.0


def world(kind: str) -> Any:
    g, r = np.random.default_rng(5), np.random.default_rng(0)
    middle = {
        "plain": [nn.ReLU()],
        "batchnorm": [nn.BatchNorm1d(8), nn.ReLU()],
        "dropout": [nn.GELU(), nn.Dropout(0.5, generator=g)],
        "layernorm": [nn.LayerNorm(8), nn.Tanh()],
    }[kind]
    model = nn.Sequential(nn.Linear(4, 8, generator=r), *middle, nn.Linear(8, 3, generator=r))
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return model, optimizer, g, step


@pytest.mark.parametrize("kind", ["plain", "batchnorm", "dropout", "layernorm"])
def test_a_training_step_with_its_state(kind: str) -> None:
    (model, optimizer, g, step), (twin, other, h, plain) = world(kind), world(kind)
    compiled = autodiff.jit(step, state=(model, optimizer, g))
    for i in range(8):
        r = np.random.default_rng(i)
        x, y = r.normal(size=(6, 4)).astype(np.float32), r.integers(0, 3, 6)
        if i == 3:
            model.eval()
            twin.eval()
        if i == 5:
            optimizer.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.1
        assert bits(compiled(x, y)) == bits(plain(x, y))
        assert bits(model.state_dict()) == bits(twin.state_dict())
        assert bits(optimizer.state_dict()) == bits(other.state_dict())
        assert bits([p.grad for p in model.parameters()]) == bits([p.grad for p in twin.parameters()])
        assert g.bit_generator.state == h.bit_generator.state
    assert len(compiled.plans) <= 4


def test_gradients_accumulate_and_held_results_keep_their_values() -> None:
    w = nn.Parameter(np.ones(3))
    compiled = autodiff.jit(lambda x: (w * w * x).sum().backward(), state=w)
    held = []
    for i in range(4):
        compiled(np.arange(3.0))
        held.append(w.grad)
        assert w.grad.tolist() == [0.0, 2.0 * (i + 1), 4.0 * (i + 1)]
    assert [g[1] for g in held] == [2.0, 4.0, 6.0, 8.0]


def test_a_value_that_the_library_decides_by_may_go_the_other_way() -> None:
    f = autodiff.grad(lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), 0)))
    compiled = autodiff.jit(f)
    for x in (np.ones(3), np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.0, 4.0])):
        assert bits(compiled(x)) == bits(f(x))


def test_static_arguments() -> None:
    @autodiff.jit
    def plain(x: Any, n: int) -> Any:
        return x * n

    assert [float(plain(2.0, n)) for n in (1, 2, 3)] == [2.0, 4.0, 6.0]

    def power(x: Any, n: int = 2) -> Any:
        for _ in range(n - 1):
            x = x * x
        return x

    static = autodiff.jit(power, static_argnames="n")
    assert [float(static(np.array(2.0), n=n)) for n in (1, 2, 3, 2)] == [2.0, 4.0, 16.0, 4.0]
    assert len(static.plans) == 3


def scaled_in_part(x: Any) -> Any:
    y = x * 1.0
    part = y[1:3]
    part *= 10
    return np.sum(y**2)


def filled_in_part(x: Any) -> Any:
    y = np.zeros_like(x)
    y[1:3] = x[:2] ** 2
    return np.sum(y * x)


@autodiff.custom_vjp
def doubled(x: Any) -> Any:
    return x * 2


doubled.defvjp(lambda x: (x * 2, x), lambda x, g: (g * 2 + x * 0,))


LABELS = np.array([2, 0, 1])
CALLS: dict[str, tuple[Any, ...]] = {
    "tree": (lambda p, x: {"a": [p["w"] @ x + p["b"], (x.T,)], "n": None}, {"w": np.ones((2, 3)), "b": 1.0}, np.eye(3)),
    "has_aux": (autodiff.value_and_grad(lambda x: ((x**2).sum(), {"aux": x + 1}), has_aux=True), np.ones(3)),
    "grad of a tree": (
        autodiff.grad(lambda p, x: (np.tanh(p["w"] @ x) ** 2).sum()),
        {"w": np.ones((2, 3))},
        np.ones(3),
    ),
    "vmap": (autodiff.vmap(lambda x, y: (x * y).sum()), np.ones((4, 3)), np.arange(12.0).reshape(4, 3)),
    "vmap of grad": (autodiff.vmap(autodiff.grad(lambda x: np.sin(x).sum())), np.arange(12.0).reshape(4, 3)),
    "hessian": (autodiff.hessian(lambda x: (x**3).sum()), np.arange(3.0)),
    "hessian through tanh": (autodiff.hessian(lambda x: (np.tanh(x) ** 3).sum()), np.arange(3.0)),
    "a copy of a copy that decides": (
        autodiff.hessian(lambda x: np.sum(np.where(np.equal(x, np.max(x)), x, 0.0)) ** 2),
        np.arange(3.0) + 1,
    ),
    "a direction through what is flipped": (autodiff.hessian(lambda x: np.sum(np.sin(x) * x[::-1] ** 2)), np.ones(4)),
    "sorted": (
        autodiff.grad(lambda x: np.sum(np.sort(x)[::-1] ** 2 * np.arange(4.0))),
        np.array([0.3, -1.0, 2.0, 0.1]),
    ),
    "sorted in lanes": (autodiff.vmap(autodiff.grad(lambda x: np.median(x) ** 2)), np.arange(12.0).reshape(3, 4) % 5),
    "by order": (
        autodiff.hessian(lambda x: np.sum(np.take_along_axis(x, np.argsort(x), 0) ** 3)),
        np.array([0.3, -1.0, 2.0]),
    ),
    "padded": (autodiff.grad(lambda x: np.sum(np.pad(x, (1, 2), mode="reflect") ** 2)), np.arange(4.0)),
    "checkpoint": (autodiff.grad(lambda x: autodiff.checkpoint(lambda z: np.sin(z) * z)(x).sum()), np.arange(3.0)),
    "losses of arrays": (lambda x: (F.cross_entropy(x, LABELS), F.embedding(LABELS, x)), np.eye(3)),
    "losses by labels": (lambda x: F.one_hot(np.argmax(x, axis=1), 3) * x, np.eye(3)),
    "hessian of a loss": (autodiff.hessian(lambda x: F.cross_entropy(x, LABELS)), np.arange(9.0).reshape(3, 3)),
    "hessian of eigenvalues": (
        autodiff.hessian(lambda x: np.sum(np.linalg.eigh(x + x.T)[0] ** 3)),
        np.arange(4.0).reshape(2, 2),
    ),
    "hessian of what SciPy computes": (lambda x: autodiff.hessian(lambda z: F.gelu(z).sum())(x), np.arange(3.0)),
    "a view that is written into": (lambda x: scaled_in_part(autodiff.tensor(x)), np.arange(5.0)),
    "hessian of a view that is written into": (autodiff.hessian(lambda x: scaled_in_part(x)), np.arange(5.0)),
    "zeros that are filled": (autodiff.grad(lambda x: filled_in_part(x)), np.arange(5.0)),
    "a rule of the user's": (autodiff.grad(lambda x: np.sum(doubled(x) * x)), np.arange(3.0)),
    "numbers beside tensors": (lambda x: autodiff.tensor(x) * np.sum(x) + np.max(x), np.arange(3.0)),
    "jacfwd": (autodiff.jacfwd(lambda x: np.sin(x) * x[0]), np.arange(3.0)),
    "jacrev": (autodiff.jacrev(lambda x: np.sin(x) * x[0]), np.arange(3.0)),
    "jvp": (lambda x, v: autodiff.jvp(lambda z: np.exp(z) * z, (x,), (v,)), np.ones(3), np.arange(3.0)),
    "scan": (lambda x: autodiff.scan(lambda c, s: (c * s, c + s), x, np.arange(1.0, 5.0)), np.array(2.0)),
    "grad of scan": (
        autodiff.grad(lambda x: autodiff.scan(lambda c, s: (np.sin(c) * s, c), x, np.arange(1.0, 5.0))[0].sum()),
        np.ones(3),
    ),
    "jit in jit": (lambda x: autodiff.jit(lambda z: z * 2)(x) + 1, np.ones(3)),
    "numbers by place": (lambda x, i, by: x[i] * by, np.arange(5.0), 2, np.float32(2)),
    "a leaf made inside": (lambda x: autodiff.grad(lambda w: (w * x).sum())(np.zeros(3)), np.ones(3)),
}


@pytest.mark.parametrize("name", CALLS)
def test_trees_and_transforms(name: str) -> None:
    f, *args = CALLS[name]
    compiled = autodiff.jit(f)
    for scale in (1.0, 0.5, -2.0):
        scaled = [arg * scale if isinstance(arg, np.ndarray) else arg for arg in args]
        assert bits(compiled(*scaled)) == bits(f(*scaled))
    assert len(compiled.plans) == 1


def test_modules_among_the_arguments_are_as_good_as_declared() -> None:
    made = [nn.Sequential(nn.Linear(3, 2, generator=np.random.default_rng(i)), nn.BatchNorm1d(2)) for i in range(2)]
    twins = copy.deepcopy(made)

    def f(net: Any, x: Any) -> Any:
        return net(x).sum(), x * 2

    compiled = autodiff.jit(f)
    for i in range(6):
        x = np.random.default_rng(i).normal(size=(5, 3)).astype(np.float32)
        assert bits(compiled(made[i % 2], x)) == bits(f(twins[i % 2], x))
    assert bits([m.state_dict() for m in made]) == bits([m.state_dict() for m in twins])


def first_only(x: Any, /, n: int) -> Any:
    return x * n


@pytest.mark.parametrize(
    ("f", "args", "options"),
    [
        (lambda *xs, n=2: sum(xs) * n, (1.5, 2.5), {"n": 3}),
        (first_only, (1.5, 3), {}),
        (lambda x, n=1, **more: x * n + sum(more.values()), (1.5,), {"a": 0.25}),
        (lambda n, x=2.0, *xs: x * n - sum(xs), (3, 0.5, 4.0), {}),
    ],
)
def test_static_arguments_beside_all_kinds_of_others(f: Any, args: Any, options: Any) -> None:
    compiled = autodiff.jit(f, static_argnames="n")
    for _ in range(2):
        assert compiled(*args, **options) == f(*args, **options)


def test_static_values_that_are_no_numbers() -> None:
    picked = autodiff.jit(lambda x, places: x[places].sum(), static_argnames="places")
    assert [float(picked(np.arange(4.0), places=np.array(p))) for p in ([1, 2], [3, 3], [1, 2])] == [3.0, 6.0, 3.0]
    scaled = autodiff.jit(lambda x, by: x * by, static_argnames="by")
    assert [float(scaled(np.array(1.0), by=by)) for by in (2.0, 3.0, 2.0)] == [2.0, 3.0, 2.0]
    with pytest.raises(ArgumentError, match="hashable"):
        picked(np.arange(4.0), places={1})
    with pytest.raises(ArgumentError, match="'nope'"):
        autodiff.jit(lambda x: x, static_argnames="nope")


def test_code_without_a_module_of_its_own() -> None:
    names: dict[str, Any] = {}
    exec("def f(x):\n    return x * 2\ndef g(x):\n    return x if x.sum() > 0 else -x", names)
    assert autodiff.jit(names["f"])(np.ones(2)).tolist() == [2.0, 2.0]
    with pytest.raises(CompileError, match="`if`"):
        autodiff.jit(names["g"])(np.ones(2))


kept: list[Any] = []
outside = np.zeros(3)
weight = Tensor(np.ones(3), requires_grad=True)
random_numbers = np.random.default_rng(0)
model = nn.Linear(3, 2, generator=np.random.default_rng(0))
undeclared = nn.Dropout(0.5, generator=np.random.default_rng(0))


def writing(x: Any) -> Any:
    x[0] = 1
    return x


def stepping(x: Any) -> Any:
    optim.SGD(model.parameters(), lr=0.1).step()
    return x


REFUSED = {
    "`if`": lambda x: x if x.sum() > 0 else -x,
    r"float\(\)": lambda x: x * float(x.sum()),
    "keeps a value": lambda x: kept.append(x * 2),
    "global generator": lambda x: x * np.random.rand(),  # noqa: NPY002
    "generator that is not declared": lambda x: undeclared(x),
    "in no declared state": lambda x: model(x.astype(np.float32)),
    "writes into an array": writing,
    "optimiser that is not declared": stepping,
    "a generator .PCG64. that is not declared": lambda x: x + random_numbers.normal(size=3),
    "Python's random module": lambda x: x * random.random(),
    "that it did not make": lambda x: np.add(x, 1, out=outside),
    "requires a gradient": lambda x: (weight * x).sum(),
}


def filling(x: Any) -> Any:
    outside[0] = x.sum()
    return x


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (filling, r"np.zeros_like\(x\).*test_jit.py, line \d+: outside\[0\] = x.sum\(\)"),
        (lambda x: outside[np.argmax(x)], r"np.take\(array, i\)"),
        (lambda x: np.array([x[0], x[1]]), r"np.stack\(\[...\]\)"),
        (lambda x: np.array([autodiff.tensor(x)[0]]), r"np.stack\(\[...\]\)"),
        (lambda x: x * int(x[0]), "static_argnames"),
        (lambda x: x * x.sum().item().is_integer(), r"is_integer\(\); return it, or name"),
        (lambda x: nn.BatchNorm1d(3, affine=False)(x[None] * np.ones((2, 1))), r"state=\(...\)"),
    ],
)
def test_a_refusal_names_the_line_and_what_to_write(f: Any, words: str) -> None:
    with pytest.raises(CompileError, match=words):
        autodiff.jit(f)(np.arange(3.0))
    assert not outside.any()


@pytest.mark.parametrize("words", REFUSED)
def test_effects_are_refused_by_name(words: str) -> None:
    kept.clear()
    with pytest.raises(CompileError, match=words):
        autodiff.jit(REFUSED[words])(np.arange(3.0))
    assert not outside.any()


def test_what_an_argument_holds_is_not_changed() -> None:
    with pytest.raises(CompileError, match="changes a list or dict"):
        autodiff.jit(lambda d: d.update(z=1) or d["x"])({"x": np.ones(3)})


def test_a_declared_generator_is_drawn_from_by_the_library_alone() -> None:
    g = np.random.default_rng(0)
    before = g.bit_generator.state
    with pytest.raises(CompileError, match="draw before"):
        autodiff.jit(lambda x: x + g.normal(size=3), state=g)(np.ones(3))
    assert g.bit_generator.state == before


def test_a_refusal_leaves_everything_declared_as_it_was() -> None:
    model, optimizer, g, step = world("dropout")

    def reading(x: Any, y: Any) -> Any:
        loss = step(x, y)
        return 1.0 if loss.data > 0 else 2.0

    before = bits([model.state_dict(), optimizer.state_dict(), g.bit_generator.state])
    with pytest.raises(CompileError, match="`if`"):
        autodiff.jit(reading, state=(model, optimizer, g))(np.ones((6, 4), np.float32), np.zeros(6, int))
    assert bits([model.state_dict(), optimizer.state_dict(), g.bit_generator.state]) == before
    assert all(type(p.data) is np.ndarray and p.grad is None for p in model.parameters())


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        autodiff.jit(lambda x, y: x * y)(1.0)
    with pytest.raises(ArgumentError, match="takes a function"):
        autodiff.jit(3)
    with pytest.raises(ArgumentError, match="state holds a dict"):
        autodiff.jit(lambda x: x, state={})
    with pytest.raises(ArgumentError, match="argument holds a set"):
        autodiff.jit(lambda x: x)({1})


def triple(x: Any) -> Any:
    return x * 3


def test_copies_and_pickles() -> None:
    f = autodiff.jit(triple)
    f(np.ones(2))
    for again in (copy.deepcopy(f), pickle.loads(pickle.dumps(autodiff.jit(np.tanh)))):
        assert again(np.zeros(2)).tolist() == [0.0, 0.0]


class Steered(nn.Module):
    """A layer with what a program may change between calls: a function, a number, a list of text."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4, generator=np.random.default_rng(3))
        self.function = np.tanh
        self.scale = 2.0
        self.pair = (np.array(1.0), "unused")
        self.warmth, self.cold = Tensor(1.5), Tensor(0.5)
        self.options = {"factors": [1.0, self.warmth]}

    def forward(self, x: Any) -> Any:
        factors = self.options["factors"]
        out = self.function(self.inner(x)) * (self.scale * factors[0] * self.pair[0])
        return (out * self.warmth + self.cold * factors[1]).astype(np.float32)


def steered() -> Any:
    model = nn.Sequential(Steered(), nn.BatchNorm1d(4), nn.Linear(4, 3, generator=np.random.default_rng(4)))
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        options = optimizer.param_groups[0]
        told = loss.detach() * options["lr"], options["lr"], options["betas"], options["amsgrad"]
        optimizer.step()
        return told

    return model, optimizer, step


def other_parameter(model: Any) -> None:
    model[2].weight = nn.Parameter(model[2].weight.data * 2)


def other_gradient(model: Any) -> None:
    model[2].weight.grad = None


CHANGES: dict[str, Any] = {
    "nothing": lambda m, o: None,
    "a function": lambda m, o: setattr(m[0], "function", np.sin),
    "a number": lambda m, o: setattr(m[0], "scale", 3.0),
    "an entry of a list": lambda m, o: m[0].options["factors"].__setitem__(0, 3.0),
    "an array in a tuple": lambda m, o: setattr(m[0], "pair", (np.array(1.0 + 1e-6), "unused")),
    "a tensor that is no parameter": lambda m, o: setattr(m[0], "cold", Tensor(2.5)),
    "its array": lambda m, o: setattr(m[0].warmth, "data", np.array(2.5)),
    "a tensor in a list": lambda m, o: m[0].options["factors"].__setitem__(1, Tensor(2.5)),
    "which of two tensors": lambda m, o: m[0].options["factors"].__setitem__(1, m[0].cold),
    "an int for a float": lambda m, o: setattr(m[0], "scale", 2),
    "eval": lambda m, o: m.eval(),
    "an array": lambda m, o: setattr(m[2].weight, "data", m[2].weight.data * 2),
    "an array's elements": lambda m, o: m[2].weight.data.__imul__(2),
    "a layer": lambda m, o: (
        m.__setitem__(2, nn.Linear(4, 3, generator=np.random.default_rng(9)))
        if hasattr(type(m), "__setitem__")
        else None
    ),
    "a gradient": lambda m, o: other_gradient(m),
    "all gradients": lambda m, o: o.zero_grad(),
    "lr": lambda m, o: o.param_groups[0].__setitem__("lr", 0.2),
    "betas": lambda m, o: o.param_groups[0].__setitem__("betas", (0.5, 0.99)),
    "an int for an option": lambda m, o: o.param_groups[0].__setitem__("lr", 1),
    "amsgrad": lambda m, o: o.param_groups[0].__setitem__("amsgrad", True),
    "a state array": lambda m, o: o.state[m[2].bias].__setitem__("exp_avg", np.ones(3, np.float32)),
    "the state": lambda m, o: o.load_state_dict(o.state_dict()),
    "the model's": lambda m, o: m.load_state_dict({k: v * 2 for k, v in m.state_dict().items()}),
    "frozen": lambda m, o: setattr(m[2].weight, "requires_grad", False),
    "a buffer": lambda m, o: setattr(m[1].running_mean, "data", np.ones(4, np.float32)),
    "a hook": lambda m, o: m[2].weight.register_hook(lambda g: g * 0.5),
}
#: And what happens two calls after that.
LATER: dict[str, Any] = {
    "frozen": lambda m, o: setattr(m[2].weight, "requires_grad", True),
    "a hook": lambda m, o: m[2].weight._node.hooks.clear(),
}


def test_a_list_of_a_declared_module_is_not_changed() -> None:
    model = Steered()
    counted = autodiff.jit(lambda x: model.options["factors"].append(1.0) or x, state=model)
    with pytest.raises(CompileError, match="declared module"):
        counted(np.ones(3))
    assert model.options["factors"] == [1.0, model.warmth]


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_between_calls_is_noticed(name: str) -> None:
    (model, optimizer, step), (twin, other, plain) = steered(), steered()
    compiled = autodiff.jit(step, state=(model, optimizer))
    for i in range(9):
        r = np.random.default_rng(i)
        x, y = r.normal(size=(6, 4)).astype(np.float32), r.integers(0, 3, 6)
        if i == 4:
            CHANGES[name](model, optimizer)
            CHANGES[name](twin, other)
        if i == 6:
            for changed in ((model, optimizer), (twin, other)):
                LATER.get(name, CHANGES["nothing"])(*changed)
        if i == 7:
            x = np.asfortranarray(x)
        assert bits(compiled(x, y)) == bits(plain(x, y))
        assert bits(model.state_dict()) == bits(twin.state_dict())
        assert bits(optimizer.state_dict()) == bits(other.state_dict())
        assert bits([p.grad for p in model.parameters()]) == bits([p.grad for p in twin.parameters()])


@pytest.mark.parametrize("norm", [0.01, 1e3, np.inf])
def test_gradients_are_clipped_between_backward_and_step(norm: float) -> None:
    (model, optimizer, _), (twin, other, _) = steered(), steered()

    def step_of(model: Any, optimizer: Any) -> Any:
        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            total = optim.clip_grad_norm_(model.parameters(), norm)
            optim.clip_grad_value_(model.parameters(), norm / 10)
            optimizer.step()
            return total

        return step

    compiled, plain = autodiff.jit(step_of(model, optimizer), state=(model, optimizer)), step_of(twin, other)
    for i in range(5):
        r = np.random.default_rng(i)
        x, y = r.normal(size=(6, 4)).astype(np.float32), r.integers(0, 3, 6)
        assert bits(compiled(x, y)) == bits(plain(x, y))
        assert bits(model.state_dict()) == bits(twin.state_dict())
        assert bits([p.grad for p in model.parameters()]) == bits([p.grad for p in twin.parameters()])
    assert len(compiled.plans) <= 2


def test_a_schedule_is_stepped_outside() -> None:
    w = nn.Parameter(np.ones(3))
    optimizer = optim.SGD([w], lr=0.1)
    schedule = optim.StepLR(optimizer, 1)

    def step(x: Any) -> None:
        (w * x).sum().backward()
        optimizer.step()
        schedule.step()

    with pytest.raises(CompileError, match="schedule outside"):
        autodiff.jit(step, state=(w, optimizer))(np.ones(3))
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_nothing_is_computed_from_what_a_step_has_moved() -> None:
    w = nn.Parameter(np.ones(3))
    optimizer = optim.SGD([w], lr=0.1)

    def stepped(x: Any) -> None:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    for after in (lambda: w.data, lambda: w.data * 2, lambda: w.data[:1]):
        with pytest.raises(CompileError, match="after an optimiser's step"):
            autodiff.jit(lambda x, after=after: [stepped(x), after()], state=(w, optimizer))(np.ones(3))
    assert w.data.tolist() == [1.0, 1.0, 1.0]
    assert w.grad is None


def test_gradients_may_be_forgotten_after_the_step() -> None:
    found = []
    for jitted in (False, True):
        model = nn.Linear(3, 1, generator=np.random.default_rng(0))
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        def step(x: Any, last: bool, model: Any = model, optimizer: Any = optimizer) -> Any:
            loss = model(x).sum()
            loss.backward()
            if last:
                optimizer.step()
                optimizer.zero_grad()
            return loss.detach()

        run = autodiff.jit(step, state=(model, optimizer), static_argnames="last") if jitted else step
        always = autodiff.jit(lambda x, step=step: step(x, True), state=(model, optimizer)) if jitted else None
        results = []
        for i in range(12):
            x = np.full((2, 3), i, np.float32)
            results.append(bits(always(x) if i > 6 and always else run(x, last=i > 6 or i % 2 == 1)))
            results.append(bits([p.grad is None for p in model.parameters()]))
        found.append((results, bits(model.state_dict()), bits(optimizer.state_dict())))
    assert found[0] == found[1]


def test_a_result_that_is_a_constant_is_nobodys_but_the_callers() -> None:
    table = np.arange(3.0)
    compiled = autodiff.jit(lambda x: (table, x))
    for _ in range(3):
        compiled(np.ones(2))[0][:] = 7.0
    assert table.tolist() == [0.0, 1.0, 2.0]


def test_random_numbers_are_put_back_where_the_code_turns_out_not_to_hold() -> None:
    worlds = [(np.random.default_rng(0), Tensor(np.ones(3), requires_grad=True)) for _ in range(2)]

    def made(g: Any, w: Any) -> Any:
        return lambda x: autodiff.value_and_grad(lambda z: np.sum(np.sqrt(np.abs(F.dropout(z * x, 0.5, generator=g)))))(
            np.ones(3)
        )

    compiled, plain = autodiff.jit(made(*worlds[0]), state=worlds[0]), made(*worlds[1])
    for x in (np.ones(3), np.ones(3), np.zeros(3), np.array([1.0, 0.0, 2.0]), np.ones(3)):
        with np.errstate(all="ignore"):
            assert bits(compiled(x)) == bits(plain(x))
        assert worlds[0][0].bit_generator.state == worlds[1][0].bit_generator.state


def test_few_numbers_through_tanh() -> None:
    slope = autodiff.grad(lambda x: np.sum(np.tanh(x)))
    x = np.linspace(-2, 2, 5)
    assert autodiff.jit(slope)(x).tobytes() == slope(x).tobytes()


def test_batches_of_tangents_and_cotangents() -> None:
    rng = np.random.default_rng(0)
    w, table = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))

    def f(x: Any) -> Any:
        turned = np.stack([np.sin(x), np.cos(x)], axis=-1) @ table[:2] + (w @ x)[:, None][:3]
        return np.concatenate([turned.reshape(-1), np.exp(-x) * table[1]])

    x = rng.normal(size=3)
    for derivative in (autodiff.jacfwd(f), autodiff.jacrev(f)):
        assert np.allclose(autodiff.jit(derivative)(x), derivative(x), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("size", [3, 5000])
def test_zero_times_infinity_is_found_in_the_gradient(size: int) -> None:
    def f(x: Any) -> Any:
        return np.sum(np.where(x > 0, np.sqrt(np.abs(x)), 0.0)) + np.sqrt(np.sum(x * x))

    slope = autodiff.grad(f)
    jitted = autodiff.jit(slope)
    x = np.linspace(0.5, 1.0, size)
    with np.errstate(all="ignore"):
        for value in (x, x * 0, np.where(x > 0.7, x, 0.0), x):
            assert np.asarray(jitted(value)).tobytes() == np.asarray(slope(value)).tobytes()
        assert autodiff.jit(slope)(x * 0).tobytes() == slope(x * 0).tobytes()


def tree(a: Any, b: Any = None, *more: Any, name: str = "x") -> Any:
    leaves = [leaf for leaf in autodiff.core.pytree.flatten((a, b, more))[0] if not isinstance(leaf, str)]
    total = sum(np.sum(np.tanh(leaf * (i + 1.0))) for i, leaf in enumerate(leaves))
    return {name: total, "kept": [leaves[0] * 2.0, None, "text"]}


ARGUMENTS = [
    ({"w": np.ones(3), "b": 2.0},),
    ({"b": 2.0, "w": np.ones(3)},),
    ({"w": np.ones(3)},),
    ({"w": np.ones(3), "b": None},),
    ({"w": np.ones(3), "b": np.ones(3)}, None),
    ([np.ones(3), {"x": (np.float32(1), [1, 2.5])}], "text"),
    ([np.ones(3), {"x": [np.float32(1), (1, 2.5)]}], "other"),
    ((np.ones(3), np.ones((2, 2), np.float32)), Tensor(np.arange(3.0))),
    (Tensor(np.float64(2)), np.ones(3)[::2], 3, True, 1j),
    (np.ones(3), np.asfortranarray(np.ones((2, 3)))),
    (np.ones(3), np.ones((2, 3))),
    ({1: np.ones(2), 2: np.ones(3)},),
]


def test_trees_of_arguments_are_taken_apart_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of a kind but the first is one function; a call of any other kind is told from it."""
    slow: list[Any] = []
    original = autodiff.jit(lambda: 0).__class__._run
    monkeypatch.setattr(
        "autodiff.compiler.jit.Jit._run", lambda self, *args: slow.append(args) or original(self, *args)
    )
    f = autodiff.jit(tree)
    for first in ARGUMENTS:
        for i, args in enumerate((first, first, *ARGUMENTS, first)):
            slow.clear()
            assert bits(f(*args, name="y")) == bits(tree(*args, name="y"))
            if i == 1 and 1 not in getattr(first[0], "keys", tuple)():
                assert not slow
    tracked = Tensor(np.ones(3), requires_grad=True)
    f(tracked)["x"].backward()
    assert tracked.grad is not None


def test_modules_among_the_arguments_are_served_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [nn.Linear(3, 2, generator=np.random.default_rng(i)) for i in range(2)]
    f = autodiff.jit(lambda model, x: model(x).sum())
    x = np.ones((4, 3), np.float32)
    for model in (models[0], models[0], models[1], models[0], models[1], models[1]):
        model.weight.data = model.weight.data * 2
        assert bits(f(model, x)) == bits(model(x).sum().detach())
    monkeypatch.setattr("autodiff.compiler.jit.Jit._run", None)
    assert bits(f(models[1], x)) == bits(models[1](x).sum().detach())


def test_what_was_computed_before_is_not_computed_again() -> None:
    """A gradient and its tangent ask for the same maxima and the same copies; what is written into is left alone."""

    def cost(c: Any, points: Any) -> Any:
        distances = np.sum(c**2, axis=1)[:, None] - 2.0 * c @ points.T
        return np.sum(np.min(distances, axis=0))

    def step(c: Any, points: Any) -> Any:
        return autodiff.jvp(lambda c: autodiff.grad(cost)(c, points), (c,), (np.ones_like(c),))

    rng = np.random.default_rng(0)
    c, points = rng.normal(size=(4, 3)), rng.normal(size=(30, 3))
    compiled = autodiff.jit(step)
    for _ in range(3):
        for found, expected in zip(compiled(c, points), step(c, points), strict=True):
            np.testing.assert_array_equal(found, expected)
        c = c + 0.1

    def twice(x: Any) -> Any:
        a, b = np.exp(x) + 1.0, np.exp(x) + 1.0
        first, second = a.copy(), a.copy()
        first[0] = 5.0
        return a * b, first * second, second, a.copy(), [a[1:], b[1:]]

    compiled = autodiff.jit(twice)
    for x in (np.arange(4.0), np.arange(4.0) - 7):
        found, expected = compiled(x), twice(x)
        for one, other in zip([*found[:4], *found[4]], [*expected[:4], *expected[4]], strict=True):
            np.testing.assert_array_equal(one, other)
        found[3][:] = 0  # what is returned is nobody else's
        np.testing.assert_array_equal(found[4][0], expected[4][0])


def test_running_maxima_are_followed() -> None:
    f = autodiff.value_and_grad(lambda x: np.sum(np.maximum.accumulate(x, axis=0) * np.arange(3.0)))
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert bits(autodiff.jit(f)(x)) == bits(f(x))


def test_a_tangent_that_vanishes_is_followed() -> None:
    def f(theta: Any) -> Any:
        still = np.zeros((3, 3)) + theta[0] * np.zeros((3, 3))
        return np.matmul(still, still) @ theta + np.sin(theta)

    theta = np.array([0.3, 0.1, 0.2])
    compiled = autodiff.jit(autodiff.jacfwd(f))
    for _ in range(2):
        np.testing.assert_array_equal(compiled(theta), autodiff.jacfwd(f)(theta))


def _caught(x: Any) -> Any:
    try:
        return x * 2 if np.sum(x) > 0 else x * 3
    except Exception:
        return x * 5


def _read_and_caught(x: Any) -> Any:
    try:
        scale = float(np.sum(x))
    except BaseException:
        scale = 7.0
    return x * scale


@pytest.mark.parametrize("f", [_caught, _read_and_caught])
def test_a_refusal_stands_where_the_function_catches_it(f: Any) -> None:
    with pytest.raises(CompileError, match="cannot be followed"):
        autodiff.jit(f)(np.ones(2))

    def body(carry: Any, x: Any) -> Any:
        return np.sin(f(carry)), x

    found, _ = autodiff.scan(body, np.ones(2), np.ones(600))
    expected = np.ones(2)
    for _ in range(600):
        expected = np.sin(f(expected))
    np.testing.assert_array_equal(found, expected)


def test_static_arguments_by_place():
    for places in (1, (-1,)):
        power = autodiff.jit(lambda x, n: x**n if n > 2 else x * n, static_argnums=places)
        np.testing.assert_array_equal(power(np.arange(3.0), 2), [0.0, 2.0, 4.0])
        np.testing.assert_array_equal(power(np.arange(3.0), n=3), [0.0, 1.0, 8.0])
        assert len(power.plans) == 2
    nameless = autodiff.jit(lambda n, x, /, **more: x**n + len(more), static_argnums=0)
    np.testing.assert_array_equal([nameless(n, np.arange(2.0), n=7) for n in (2, 3, 2)], [[1.0, 2.0]] * 3)
    assert len(nameless.plans) == 2
    for f, places in ((lambda x: x, 1), (lambda *x: x[0], (0,))):
        with pytest.raises(autodiff.ArgumentError, match="static_argnums"):
            autodiff.jit(f, static_argnums=places)


def test_results_written_into_what_was_computed():
    def f(x):
        y = x * 1.0
        np.multiply(y, x, out=y)
        np.cumsum(y, out=y[:])
        return np.sum(y**2)

    x = np.arange(1.0, 5.0)
    np.testing.assert_array_equal(autodiff.jit(autodiff.grad(f))(x), autodiff.grad(f)(x))


ROTATION, SPREAD = np.array([[0.0, 1.0], [-1.0, 0.0]]), np.array([[2.0, 1.0], [1.0, 3.0]])
#: How a result lies depends on values: its dtype, its length, or which part of another array it is.
LOOSE: dict[str, tuple[Any, Any]] = {
    "a row by a computed number": (lambda x: (x * 2)[np.argmax(x[:, 0])] + 1, [SPREAD, ROTATION, SPREAD[::-1]]),
    "an entry of all rows": (lambda x: (x * 2)[..., np.argmax(x[1])] + 1, [SPREAD, ROTATION, SPREAD[:, ::-1]]),
    "without its zeros": (lambda x: np.trim_zeros(bare(x)[0] * 2) * x[0, 1], [ROTATION, ROTATION[:, ::-1], SPREAD]),
    "a row of ours that is written into": (lambda x: _written(x * 2), [SPREAD, SPREAD[::-1], ROTATION]),
    "eigenvalues": (lambda x: np.conj(np.linalg.eigvals(x)) * 2, [SPREAD, ROTATION]),
    "roots": (lambda x: np.sum(np.real(np.sqrt(np.roots(x.ravel()) + 0j))), [SPREAD, 1 - SPREAD]),
    "a square root": (lambda x: np.real(autodiff.linalg.sqrtm(x)), [SPREAD, -SPREAD, ROTATION]),
    "a square root of each": (lambda x: np.abs(np.emath.sqrt(autodiff.tensor(x))), [SPREAD, ROTATION, -SPREAD]),
    "bins": (lambda x: np.histogram(autodiff.tensor(x), bins="auto")[0] * 1.0, [SPREAD, ROTATION]),
    "real if close": (lambda x: np.real_if_close(x + 1j * x[0, 0]).imag * 1.0, [SPREAD, ROTATION, SPREAD]),
}


def bare(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _written(y: Any) -> Any:
    row = y[np.argmax(y[:, 0])]
    row += 10
    return y


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", LOOSE)
def test_how_a_result_lies_may_depend_on_values(name: str, first: int) -> None:
    f, points = LOOSE[name]
    for g in (f, lambda x: autodiff.grad(lambda z: np.sum(np.abs(f(z))))(x)):
        runs = autodiff.jit(g), autodiff.compile(g)
        for x in [points[first]] * 4 + points:
            assert all(bits(run(x)) == bits(g(x)) for run in runs)


def test_an_operation_that_nobody_has_called_before() -> None:
    calls = "np.real(x)", "np.linalg.inv(x)", "np.sort(x)", "autodiff.linalg.expm(x)"
    lines = [f"print(autodiff.jit(autodiff.grad(lambda x: np.sum({call} ** 2)))(2 * np.eye(2)))" for call in calls]
    run = [sys.executable, "-c", "\n".join(["import numpy as np, autodiff", *lines])]
    told = subprocess.run(run, capture_output=True, text=True, timeout=300, check=True).stdout
    expected = 4 * np.eye(2), -0.25 * np.eye(2), 4 * np.eye(2)[:, ::-1][::-1], 2 * np.exp(4) * np.eye(2)
    assert len(expected) == len(calls)
    found = np.array(told.replace("[", " ").replace("]", " ").split(), float).reshape(4, 2, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_parameter_that_is_written_before_the_step() -> None:
    def trained(wrap: Any) -> Any:
        model = nn.Linear(3, 2, generator=np.random.default_rng(0))
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            (model(x) ** 2).sum().backward()
            with autodiff.no_grad():
                for p in model.parameters():
                    p *= 0.5
            optimizer.step()

        run = wrap(step, (model, optimizer))
        return [(run(np.ones((2, 3), np.float32)), bits(model.state_dict())) for _ in range(5)]

    assert trained(lambda f, state: autodiff.jit(f, state=state)) == trained(lambda f, state: f)


def test_a_module_is_switched_in_every_call_and_nothing_else_of_it_changes() -> None:
    model = nn.Sequential(nn.Linear(3, 3, generator=np.random.default_rng(0)), nn.BatchNorm1d(3))

    def evaluated(x: Any) -> Any:
        model.eval()
        return model(x)

    run, x = autodiff.jit(evaluated, state=model), np.eye(3, dtype=np.float32)
    for _ in range(4):
        model.train()
        assert bits(run(x)) == bits(evaluated(x))
        assert not model[1].training
    for name, changed in {
        "count": lambda x: setattr(model, "count", getattr(model, "count", 0) + 1),
        "last": lambda x: setattr(model, "last", model(x)),
        "eps": lambda x: setattr(model[1], "eps", 0.1),
    }.items():
        before = [dict(part.__dict__) for part in model.modules()]
        with pytest.raises(CompileError, match=f"changes '{name}' of a declared module"):
            autodiff.jit(changed, state=model)(x)
        assert [dict(part.__dict__) for part in model.modules()] == before


IMAGES = np.random.default_rng(0).normal(size=(3, 4, 5))
DRAWN: dict[str, Any] = {
    "rrelu": lambda x, g: F.rrelu(x, training=True, generator=g),
    "dropout1d": lambda x, g: F.dropout1d(x, 0.3, True, generator=g),
    "alpha_dropout": lambda x, g: F.alpha_dropout(x, 0.3, True, generator=g),
    "gumbel_softmax": lambda x, g: F.gumbel_softmax(x, hard=True, generator=g) * F.gumbel_softmax(x, generator=g),
    "fractional_max_pool2d": lambda x, g: F.fractional_max_pool2d(x, 2, 2, generator=g),
    "normal": lambda x, g: autodiff.random.normal(x, autodiff.random.uniform(rng=g), rng=g),
    "permutation": lambda x, g: autodiff.random.permutation(x, rng=g),
    "choice": lambda x, g: autodiff.random.choice(x, 2, rng=g),
    "norm": lambda x, g: autodiff.stats.norm.rvs(loc=x, random_state=g),
    "gamma": lambda x, g: autodiff.stats.gamma.rvs(np.abs(x), random_state=g),
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_library_draws_in_every_call(name: str) -> None:
    importlib.import_module("autodiff.stats")
    ours, theirs = np.random.default_rng(1), np.random.default_rng(1)
    slope = autodiff.grad(lambda x, g: np.sum(np.sin(DRAWN[name](x, g))))
    run = autodiff.jit(lambda x: slope(x, ours), state=ours)
    for i in range(4):
        assert bits(run(IMAGES + i)) == bits(slope(IMAGES + i, theirs))
    assert ours.bit_generator.state == theirs.bit_generator.state


def test_arrays_of_another_class_go_by_their_layout(tmp_path: Any) -> None:
    mean = autodiff.jit(lambda x: np.mean(x))
    for n in (3, 6, 3):
        x = np.memmap(tmp_path / str(n), np.float64, "w+", shape=n)
        x[...] = np.arange(n)
        assert float(mean(x)) == (n - 1) / 2


def test_quotients_and_remainders_at_once() -> None:
    x = np.array([5.5, -3.0])
    parts = lambda x, n: (divmod(x, 2), divmod(7, x), divmod(n, 2))
    assert bits(autodiff.jit(parts)(x, 9)) == bits(parts(x, 9))


def test_modules_among_the_arguments_are_held_for_a_while() -> None:
    run, references = autodiff.jit(lambda m, x: m(x)), []
    for i in range(40):
        module, x = nn.Linear(2, 2, generator=np.random.default_rng(i)), np.eye(2, dtype=np.float32)
        references.append(weakref.ref(module))
        assert bits(run(module, x)) == bits(module(x))
    del module
    gc.collect()
    assert sum(reference() is not None for reference in references) <= 20


def test_a_number_taken_out_by_item_is_a_number_in_every_call() -> None:
    def f(x: Any, t: Any) -> Any:
        return {"mean": x.mean().item(), "first": (t.data.item(0) * 2, t.sum().item()), "whole": x.argmax().item()}

    compiled = autodiff.jit(f)
    for i in range(4):
        x = np.random.default_rng(i).normal(size=5).astype(np.float32)
        t = x.astype(np.float64)
        expected = {"mean": float(x.mean()), "first": (float(t[0]) * 2, float(t.sum())), "whole": int(x.argmax())}
        assert bits(compiled(x, Tensor(t))) == bits(expected)
    with pytest.raises(CompileError, match="`if`"):
        autodiff.jit(lambda x: 1 if x.sum().item() > 0 else 2)(np.ones(2))
    with pytest.raises(CompileError, match=r"index\(\)"):
        autodiff.jit(lambda x: [4, 5][x.argmax().item()])(np.ones(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cumulative_running_statistics_are_followed(dtype: Any) -> None:
    model = nn.BatchNorm1d(3, momentum=None, dtype=dtype)
    compiled = autodiff.jit(lambda x: model(x), state=model)
    batches = np.random.default_rng(0).normal(size=(6, 8, 3)).astype(dtype)
    for i, batch in enumerate(batches, 1):
        compiled(batch)
        np.testing.assert_allclose(model.running_mean.data, batches[:i].mean(axis=(0, 1)), rtol=1e-5, atol=1e-7)
    assert len(compiled.plans) == 1


@pytest.mark.parametrize("number", [-2.5, 3, np.float32(1.5), np.int8(-3)])
@pytest.mark.parametrize("name", "sum max min prod any all mean std var cumsum argmax real round square".split())
def test_numpys_functions_of_numbers(name: str, number: Any) -> None:
    def function(x: Any) -> Any:
        return getattr(np, name)(x), np.dot(x, x)

    compiled = autodiff.jit(function)
    for value in (number, number + type(number)(1)):
        assert bits(compiled(value)) == bits(function(value))


def test_a_method_of_a_module_is_followed() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(np.array([2.0, 3.0]))

        @autodiff.jit
        def forward(self, x: Any) -> Any:
            return self.weight * x

    model = Scaled()
    for scale in (1.0, 2.0):
        model.weight.data = np.array([2.0, 3.0]) * scale
        np.testing.assert_array_equal(model(np.ones(2)), np.array([2.0, 3.0]) * scale)


def test_powers_of_lists() -> None:
    compiled = autodiff.jit(lambda x: (x ** [1, 2], [1, 2] ** x))
    for _ in range(2):
        assert bits(compiled(np.array([2.0, 3.0]))) == bits((np.array([2.0, 9.0]), np.array([1.0, 8.0])))


class Kind(enum.Enum):
    ONE = 1


class Word(enum.StrEnum):
    A = "a"


class Tree(dict[str, Any]):
    pass


ALIKE = {
    "text of NumPy's": (lambda x, m: x * (2 if m == "a" else 3), [np.str_("a"), np.str_("b"), "a"]),
    "text of a class": (lambda x, m: x * (2 if isinstance(m, Word) else 3), [Word.A, "a"]),
    "truth values": (lambda x, m: x * (2 if m is True else 3), [True, False, 1]),
    "enumerations": (lambda x, m: x * (2 if m is Kind.ONE else 3), [Kind.ONE, 1]),
    "dicts": (lambda x, m: x * (2 if isinstance(m, Tree) else 3), [Tree(a=1.0), {"a": 1.0}]),
}


@pytest.mark.parametrize("name", ALIKE)
def test_arguments_that_look_alike_are_told_apart(name: str) -> None:
    f, given = ALIKE[name]
    compiled = autodiff.jit(f)
    for value in given * 3:
        assert bits(compiled(np.ones(2), value)) == bits(f(np.ones(2), value))


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, lambda zero: np.array(zero)])
def test_static_zeros_have_a_sign(kind: Any) -> None:
    compiled = autodiff.jit(lambda x, sign: np.copysign(x, sign), static_argnames="sign")
    for zero in (0.0, -0.0, 0.0):
        np.testing.assert_array_equal(compiled(np.ones(2), kind(zero)), np.copysign(np.ones(2), zero))


NUMBERED: dict[str, Any] = {
    "reshape": lambda x, n: x.reshape(n, -1) * 2 + 1,
    "np.reshape": lambda x, n: np.reshape(x, (n, -1)) * 2,
    "swapaxes": lambda x, n: np.swapaxes(x + 1, 0, n) * 2,
    "moveaxis": lambda x, n: np.moveaxis(x + 1, 0, n) * 2,
    "stack": lambda x, n: np.stack([x, x * 2], axis=n) * 2,
    "concatenate": lambda x, n: np.concatenate([x, x * 2], axis=n) * 2,
    "sum": lambda x, n: np.sum(x * 2, axis=n) * 2,
    "max": lambda x, n: (x * 2).max(n) * 2,
    "cumsum": lambda x, n: np.cumsum(x * 2, axis=n) * 2,
    "argsort": lambda x, n: np.argsort(-x, axis=n) * 2,
    "expand_dims": lambda x, n: np.expand_dims(x, n) * 2,
    "repeat": lambda x, n: np.repeat(x * 2, n) * 2,
    "split": lambda x, n: np.split(x * 2, n)[-1] * 2,
}


@pytest.mark.parametrize("name", NUMBERED)
def test_a_number_may_say_how_a_result_lies(name: str) -> None:
    f, x = NUMBERED[name], np.arange(48.0).reshape(2, 4, 6) % 7
    compiled = autodiff.jit(f)
    for n in (1, 2, 1, 2):
        assert bits(compiled(x, n)) == bits(f(x, n))


@dataclasses.dataclass
class _Settings:
    scale: float = 2.0


@pytest.mark.parametrize("kind", [_Settings, types.SimpleNamespace, argparse.Namespace])
def test_a_configuration_in_a_declared_module_may_be_changed(kind: Any) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.settings = [kind(scale=2.0)]

        def forward(self, x: Any) -> Any:
            return np.sum(x * self.settings[0].scale)

    model = Scaled()
    scaled = autodiff.jit(lambda x: model(x), state=(model,))
    assert [float(scaled(np.ones(2))) for _ in range(3)] == [4.0] * 3
    model.settings[0].scale = 3.0
    assert [float(scaled(np.ones(2))) for _ in range(3)] == [6.0] * 3

    def counted(x: Any) -> Any:
        model.settings[0].scale += 1.0
        return model(x)

    with pytest.raises(CompileError, match="scale"):
        autodiff.jit(counted, state=(model,))(np.ones(2))
    assert model.settings[0].scale == 3.0
