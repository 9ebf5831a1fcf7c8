"""``autodiff.compile``: compiled equals eager to the bit, in everything that a user can see, or it does not replay."""

import collections
import copy
import importlib.util
import random
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import autodiff
import nn
import optim
from autodiff import Tensor, kernels
from autodiff.core.errors import ArgumentError, CompileError, GraphError
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.replay import Compiled, CompileWarning
from autodiff.replay.plan import DIVERGED
from autodiff.testing import strategies
from autodiff.testing.draw import RandomDraw
from autodiff.testing.verify import gradient_places
from nn import functional as F

NETS = ("plain", "batchnorm", "layernorm", "batchnorm+dropout")
OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.05),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=1e-2),
    "AdamW": lambda p: optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=1e-3, momentum=0.5),
}


def network(kind: str, seed: int = 1) -> nn.Module:
    g = np.random.default_rng(seed)
    layers: list[Any] = []
    for fan_in, fan_out in ((12, 16), (16, 16)):
        layers.append(nn.Linear(fan_in, fan_out, generator=g))
        if kind.startswith("batchnorm"):
            layers.append(nn.BatchNorm1d(fan_out))
        elif kind == "layernorm":
            layers.append(nn.LayerNorm(fan_out))
        layers.append(nn.ReLU())
        if kind.endswith("dropout"):
            layers.append(nn.Dropout(0.25, generator=np.random.default_rng(seed + 7)))
    return nn.Sequential(*layers, nn.Linear(16, 4, generator=g))


def data(n: int = 10) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, 12)).astype(np.float32), rng.integers(0, 4, n)


def same_bits(a: Any, b: Any) -> bool:
    """Equal, a NaN to a NaN and -0 to -0, dtype and shape included."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same_bits(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same_bits, a, b))
    if isinstance(a, Tensor):
        a, b = a.data, b.data
    if isinstance(a, (np.ndarray, np.generic)):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)


class Training:
    """A model, an optimiser, a schedule and a step, eager or compiled."""

    def __init__(self, kind: str, optimizer: str, compiled: bool, **options: Any) -> None:
        model = self.model = network(kind)
        opt = self.optimizer = OPTIMIZERS[optimizer](model.parameters())
        schedule = self.schedule = optim.StepLR(opt, 7, gamma=0.5)

        def step(x: Any, y: Any) -> Any:
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            schedule.step()
            return loss

        self.step = autodiff.compile(step, **options) if compiled else step

    def seen(self) -> dict[str, Any]:
        """Everything that a user can see."""
        return {
            "parameters": self.model.state_dict(),
            "gradients": [p.grad for p in self.model.parameters()],
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generators": [m.generator.bit_generator.state for m in self.model.modules() if isinstance(m, nn.Dropout)],
        }


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", NETS)
def test_fifty_steps_are_equal_to_the_bit(kind: str, optimizer: str) -> None:
    eager, compiled = Training(kind, optimizer, False), Training(kind, optimizer, True, fallback=False)
    for i in range(50):
        x, y = data()
        x += i  # another batch at the same place and shape
        a, b = eager.step(x, y), compiled.step(x.copy(), y.copy())
        assert same_bits(a, b)
        assert same_bits(eager.seen(), compiled.seen()), f"step {i}"
    assert (compiled.step.recordings, compiled.step.replays, compiled.step.eager) == (1, 49, 0)


@pytest.mark.parametrize("clip", [optim.clip_grad_norm_, optim.clip_grad_value_])
def test_an_iterator_handed_to_a_call_is_not_spent_at_the_first(clip: Any) -> None:
    def trained(make: Any) -> list[Any]:
        net = nn.Linear(4, 3, generator=np.random.default_rng(0))
        optimizer = optim.SGD(net.parameters(), lr=0.5, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            clip(net.parameters(), 0.01)
            optimizer.step()
            return loss

        run, rng = make(step), np.random.default_rng(1)
        for _ in range(6):
            run(rng.normal(size=(5, 4)).astype(np.float32), rng.integers(0, 3, 5))
        return [p.data for p in net.parameters()]

    for ours, eager in zip(trained(autodiff.compile), trained(lambda step: step), strict=True):
        np.testing.assert_array_equal(ours, eager)


def test_the_result_carries_no_graph_as_eager() -> None:
    training = Training("plain", "SGD", True)
    for _ in range(3):
        loss = training.step(*data())
        assert loss.requires_grad
        with pytest.raises(GraphError, match="freed"):
            loss.backward()


def test_compiled_and_eager_steps_may_alternate() -> None:
    eager, compiled = (
        Training("batchnorm+dropout", "Adam", False),
        Training("batchnorm+dropout", "Adam", True, fallback=False),
    )
    raw = compiled.step.__wrapped__
    for i in range(12):
        a = eager.step(*data())
        b = (raw if i % 3 == 2 else compiled.step)(*data())
        assert same_bits(a, b)
        assert same_bits(eager.seen(), compiled.seen())


def test_loading_a_state_between_steps() -> None:
    eager, compiled = Training("batchnorm", "Adam", False), Training("batchnorm", "Adam", True, fallback=False)
    start = copy.deepcopy((eager.model.state_dict(), eager.optimizer.state_dict()))
    for i in range(9):
        if i == 5:
            for t in (eager, compiled):
                t.model.load_state_dict(start[0])
                t.optimizer.load_state_dict(start[1])
        assert same_bits(eager.step(*data()), compiled.step(*data()))
    assert same_bits(eager.seen(), compiled.seen())
    assert compiled.step.replays == 8


def test_new_shapes_are_recorded_anew_and_old_ones_remembered() -> None:
    eager, compiled = Training("batchnorm", "Adam", False), Training("batchnorm", "Adam", True, fallback=False)
    for n in (10, 10, 4, 10, 4, 4, 10):
        assert same_bits(eager.step(*data(n)), compiled.step(*data(n)))
    assert same_bits(eager.seen(), compiled.seen())
    assert compiled.step.recordings == 2
    assert compiled.step.replays == 5


def test_too_many_plans_warn_and_run_eagerly() -> None:
    step = autodiff.compile(lambda x: np.exp(Tensor(x)).sum(), plans=2)
    for n in (1, 2):
        step(np.ones(n))
    with pytest.warns(CompileWarning, match="2 plans"):
        found = step(np.ones(3))
    assert found.item() == pytest.approx(3 * np.e)
    step(np.ones(4))  # the warning comes once
    step(np.ones(2))
    assert (step.recordings, step.replays, step.eager) == (2, 1, 2)


def test_static_arguments_mean_plans_of_their_own() -> None:
    step = autodiff.compile(lambda x, power, shift=0: (Tensor(x) ** power).sum() + shift)
    x = np.arange(3.0)
    for _ in range(2):
        assert step(x, 2).item() == 5
        assert step(x, 3).item() == 9
        assert step(x, 3, shift=1).item() == 10
    assert (step.recordings, step.replays) == (3, 3)


# --- state that must be read where it lives
# ---------------------------------------------------------------------------------


def test_a_changed_learning_rate_is_read() -> None:
    eager, compiled = Training("plain", "Adam", False), Training("plain", "Adam", True, fallback=False)
    for i in range(6):
        for t in (eager, compiled):
            t.optimizer.param_groups[0]["lr"] = 0.01 / (i + 1)
            t.optimizer.param_groups[0]["betas"] = (0.9 - i / 100, 0.99)
        assert same_bits(eager.step(*data()), compiled.step(*data()))
    assert same_bits(eager.seen(), compiled.seen())


def test_training_and_evaluation_have_plans_of_their_own() -> None:
    def run(compiled: bool) -> list[Any]:
        model = network("batchnorm+dropout")
        step = (
            autodiff.compile(lambda x: model(Tensor(x)).detach(), fallback=False)
            if compiled
            else (lambda x: model(Tensor(x)).detach())
        )
        found = []
        for mode in (True, True, False, False, True, False):
            model.train(mode)
            found.append(step(data()[0]).data.copy())
        if compiled:
            assert (step.recordings, step.replays) == (2, 4)
        return [*found, model.state_dict()]

    assert same_bits(run(False), run(True))


class Annealed:
    """A loss with a coefficient in an attribute."""

    def __init__(self) -> None:
        self.beta = 0.5

    def __call__(self, x: Any) -> Any:
        return (Tensor(x) * self.beta).sum()


def test_a_changed_attribute_is_noticed() -> None:
    loss = Annealed()
    step = autodiff.compile(loss, plans=3)
    assert [step(np.ones(4)).item() for _ in range(3)] == [2, 2, 2]
    loss.beta = 1.0
    assert [step(np.ones(4)).item() for _ in range(3)] == [4, 4, 4]
    assert step.recordings == 2


class Slotted:
    """Attributes in a slot and on the class."""

    __slots__ = ("inner",)
    outer = 10.0

    def __init__(self) -> None:
        self.inner = 1.0

    def __call__(self, x: Any) -> Any:
        return (Tensor(x) * (self.inner * self.outer)).sum()


def test_an_attribute_that_hides_one_of_the_class_is_noticed() -> None:
    class Scaled(nn.Module):
        factor = 2.0

        def forward(self, x: Any) -> Any:
            return self.shifted(x * self.factor)

        def shifted(self, x: Any) -> Any:
            return x + 1

    model = Scaled()
    step = autodiff.compile(lambda x: model(Tensor(x)).detach(), fallback=False)
    x = np.arange(3.0)
    step(x), step(x)
    model.remark = "read by nobody"
    assert same_bits(step(x), model(Tensor(x)))
    assert (step.recordings, step.replays) == (1, 2)
    model.factor = 3.0
    assert same_bits(step(x), model(Tensor(x)))
    model.shifted = lambda x: x - 1
    assert same_bits(step(x), model(Tensor(x)))
    del model.shifted, model.factor
    assert same_bits(step(x), model(Tensor(x)))
    assert (step.recordings, step.replays) == (3, 3)


def test_slots_and_class_attributes_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Slotted()
    step = autodiff.compile(lambda x: thing(x))
    assert step(np.ones(1)).item() == 10
    thing.inner = 2.0
    assert step(np.ones(1)).item() == 20
    monkeypatch.setattr(Slotted, "outer", 100.0)
    assert step(np.ones(1)).item() == 200
    assert step(np.ones(1)).item() == 200
    assert (step.recordings, step.replays) == (3, 1)


def test_a_changed_closure_and_a_changed_list_are_noticed() -> None:
    scale, weights = 2.0, [1.0, 10.0]

    @autodiff.compile
    def step(x: Any) -> Any:
        return (Tensor(x) * scale).sum() * weights[1]

    assert step(np.ones(2)).item() == 40
    scale = 3.0
    assert step(np.ones(2)).item() == 60
    weights[1] = 1.0
    assert step(np.ones(2)).item() == 6
    assert step(np.ones(2)).item() == 6
    assert (step.recordings, step.replays) == (3, 1)


def test_freezing_a_layer_is_noticed() -> None:
    eager, compiled = Training("plain", "SGD", False), Training("plain", "SGD", True, fallback=False)
    for i in range(6):
        if i == 3:
            for t in (eager, compiled):
                t.model[0].requires_grad_(False)
        assert same_bits(eager.step(*data()), compiled.step(*data()))
        assert same_bits(eager.seen(), compiled.seen())
    assert compiled.step.recordings == 2


def test_an_array_of_the_closure_is_read_at_every_replay() -> None:
    table = np.ones(3)
    step = autodiff.compile(lambda: (Tensor([1.0, 2.0, 3.0]) * table).sum(), fallback=False)
    assert step().item() == 6
    table[0] = 10  # in place
    assert step().item() == 15
    assert step.replays == 1


def test_gradients_accumulate_where_nobody_clears_them() -> None:
    w = autodiff.tensor([1.0, 2.0], requires_grad=True)
    step = autodiff.compile(lambda x: (w * x).sum().backward(), fallback=False)
    for i in range(1, 6):
        step(np.array([1.0, 3.0]))
        assert w.grad.tolist() == [i, 3 * i]
    w.zero_grad()
    step(np.array([1.0, 3.0]))
    assert w.grad.tolist() == [1, 3]


def test_arguments_that_require_gradients() -> None:
    step = autodiff.compile(lambda w, x: (w * w * x).sum().backward(), fallback=False)
    for i in range(4):
        w = autodiff.tensor([1.0 + i, 2.0], requires_grad=True)
        step(w, np.array([1.0, 2.0]))
        assert w.grad.tolist() == [2 * (1.0 + i), 8]
    assert step.replays == 3


def test_transforms_inside_and_trees_as_arguments() -> None:
    def loss(parameters: Any, x: Any) -> Any:
        return (np.tanh(x @ parameters["w"]) * parameters["b"][0]).sum()

    step = autodiff.compile(autodiff.value_and_grad(loss), fallback=False)
    eager = autodiff.value_and_grad(loss)
    rng = np.random.default_rng(0)
    for _ in range(4):
        parameters = {"w": rng.standard_normal((3, 2)), "b": [rng.standard_normal(2)]}
        x = rng.standard_normal((5, 3))
        assert same_bits(step(parameters, x), eager(parameters, x))
    assert step.replays == 3


# --- what is handed out stays what it was
# -------------------------------------------------------------------------------------


def test_what_somebody_holds_is_never_written_over() -> None:
    training = Training("batchnorm", "SGD", True, fallback=False)
    held, copies = [], []
    for _ in range(6):
        loss = training.step(*data())
        first = next(training.model.parameters())
        now = [
            loss.data,
            first.data,
            first.grad,
            first.grad[0],
            training.model[1].running_mean.data,
            training.model[1].running_mean.data[2:],
        ]
        held.append(now)
        copies.append([a.copy() for a in now])
    assert same_bits(held, copies)


def test_an_output_may_be_the_next_input() -> None:
    step = autodiff.compile(lambda x: np.tanh(Tensor(x) * 1.5 + 0.1), fallback=False)
    x = y = np.linspace(-1, 1, 5)
    for _ in range(5):
        x, y = step(x).data, np.tanh(y * 1.5 + 0.1)
        assert same_bits(x, y)


# --- what cannot be replayed
# ----------------------------------------------------------------------------------------------------

w = autodiff.tensor([1.0, -2.0, 3.0], requires_grad=True)


def reads_item(x: Any) -> Any:
    return w.detach() * (w * x).sum().item()


def reads_float(x: Any) -> Any:
    return Tensor(x) * float(w.detach()[0])


def reads_leaf(x: Any) -> Any:
    return Tensor(x) * w[1].detach().item() * int(w.detach()[2])


def reads_asarray(x: Any) -> Any:
    return Tensor(x) * memoryview(np.exp(w.detach()).data)[0]


def reads_format(x: Any) -> Any:
    return Tensor(x) * float(f"{Tensor(x).sum().item():.3f}")


def draws_globally(x: Any) -> Any:
    return Tensor(x) * np.random.rand()  # noqa: NPY002


def draws_with_python(x: Any) -> Any:
    return Tensor(x) * random.random()


GENERATOR = np.random.default_rng(0)


def draws_unseen(x: Any) -> Any:
    return Tensor(x) + GENERATOR.standard_normal(3)


def hooks_inside(x: Any) -> Any:
    t = autodiff.tensor(x, requires_grad=True)
    t.register_hook(lambda g: g * 2)
    (t * t).sum().backward()
    return t.grad


KEPT: list[Any] = []


def keeps_a_tensor(x: Any) -> Any:
    KEPT.append(Tensor(x) * 2)
    return Tensor(x)


COUNTER = {"n": 0}


def counts(x: Any) -> Any:
    COUNTER["n"] += 1
    return Tensor(x) * COUNTER["n"]


def graph_outside(x: Any) -> Any:
    return (w * x).sum()


def sorts_in_python(x: Any) -> Any:
    return Tensor(sorted(Tensor(x).tolist()))


@pytest.mark.parametrize(
    "function",
    [
        reads_item,
        reads_float,
        reads_leaf,
        reads_asarray,
        reads_format,
        draws_globally,
        draws_with_python,
        draws_unseen,
        hooks_inside,
        keeps_a_tensor,
        counts,
        graph_outside,
        sorts_in_python,
    ],
)
def test_refused_with_advice_and_right_all_the_same(function: Any) -> None:
    xs = [np.array([1.0, 2.0, 3.0]) * k for k in (1, -2, 3, 0.5, 7)]

    def reset() -> None:
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        GENERATOR.bit_generator.state = np.random.default_rng(0).bit_generator.state
        KEPT.clear()
        COUNTER["n"] = 0

    reset()
    expected = [function(x) for x in xs]
    reset()
    step = autodiff.compile(function)
    with pytest.warns(CompileWarning, match="runs eagerly"):
        found = [step(x) for x in xs]
    assert same_bits(found, expected)
    assert step.replays == 0
    assert step.reason
    assert all(type(kept._data) is np.ndarray for kept in KEPT)
    strict = autodiff.compile(function, fallback=False)
    with pytest.raises(CompileError, match="runs eagerly"):
        [strict(x) for x in xs]


def test_values_that_decide_are_followed_both_ways() -> None:
    @autodiff.compile
    def step(x: Any) -> Any:
        t = Tensor(x)
        if t.sum() > 0:
            return t * 2
        return -t

    for sign in (1, 1, -1, 1, -1, -1):
        x = np.array([1.0, 2.0]) * sign
        assert step(x).tolist() == (x * 2 if sign > 0 else -x).tolist()
    assert (step.recordings, step.replays, step.eager) == (2, 4, 0)


def test_a_decision_after_a_draw_leaves_the_generator_right() -> None:
    def make() -> Any:
        layer = nn.Dropout(0.5, generator=np.random.default_rng(0))

        def step(x: Any) -> Any:
            t = layer(Tensor(x))
            return t * 2 if t.sum() > 6 else t * 3

        return step

    eager, compiled = make(), autodiff.compile(make(), fallback=False)
    for _ in range(20):
        assert same_bits(eager(np.ones(6)), compiled(np.ones(6)))
    assert compiled.recordings == 2


@pytest.mark.parametrize("cleared", [True, False])
def test_a_replay_that_gives_up_has_changed_nothing(cleared: bool) -> None:
    """A gradient's divisor of zero is found after running statistics and other gradients have been computed, which are
    then computed again.
    """

    def made(compiled: bool) -> tuple[Any, Any, Any]:
        norm, affine = nn.BatchNorm1d(12), nn.Linear(12, 4, generator=np.random.default_rng(0))
        scale = Tensor(np.ones(12, np.float32), requires_grad=True)

        def step(x: Any, d: Any) -> Any:
            scale.data = scale.data * 0 + d
            if cleared:
                norm.zero_grad(), affine.zero_grad()
                scale.grad = None
            loss = affine(norm(x * np.sqrt(scale))).sum() / (affine.weight.sum() * 3)
            loss.backward()
            return loss

        return (
            autodiff.compile(step) if compiled else step,
            norm,
            lambda: [p.grad for p in (*norm.parameters(), *affine.parameters(), scale)],
        )

    (step, norm, grads), (eager, eager_norm, eager_grads) = made(True), made(False)
    x, _ = data()
    for i in range(8):
        d = np.ones(12, np.float32)
        d[3] = i != 5
        with np.errstate(all="ignore"):
            assert same_bits(step(x, d), eager(x, d))
        assert same_bits(norm.state_dict(), eager_norm.state_dict())
        assert same_bits(grads(), eager_grads())
    assert step.replays >= 5


def test_what_decides_after_a_buffer_was_computed_leaves_it_as_it_was() -> None:
    total, eager_total = Tensor(np.zeros(3)), Tensor(np.zeros(3))

    def step(x: Any, total: Tensor = total) -> Any:
        total.data = total.data + x
        return total.data * 2 if total.data.sum() < 5 else total.data - 1

    compiled = autodiff.compile(lambda x: step(x))
    for _ in range(6):
        x = np.array([0.5, 0.25, 0.125])
        assert same_bits(compiled(x), step(x, eager_total))
        assert same_bits(total.data, eager_total.data)
    assert compiled.recordings == 2
    assert compiled.replays == 4


def test_an_error_is_the_eager_error_and_changes_nothing() -> None:
    training = Training("plain", "SGD", True)
    training.step(*data())
    before = training.seen()
    x, y = data()
    with pytest.raises(ArgumentError, match="class index 9"):
        training.step(x, np.full_like(y, 9))
    assert same_bits(before["parameters"], training.model.state_dict())
    training.step(x, y)


def test_modes_that_watch_run_eagerly() -> None:
    training = Training("plain", "SGD", True)
    training.step(*data())
    with autodiff.detect_anomaly():
        training.step(*data())
    assert training.step.replays == 0
    with autodiff.no_grad():
        step = autodiff.compile(lambda x: w.detach() * x, fallback=False)
        assert not step(np.ones(3)).requires_grad
    assert not step(np.ones(3)).requires_grad
    assert step.recordings == 2


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="takes a function"):
        autodiff.compile(3)
    with pytest.raises(ArgumentError, match="plans"):
        autodiff.compile(lambda: None, plans=0)


# --- checking
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETS)
def test_checking_runs_both_and_trains_as_eager(kind: str) -> None:
    eager, compiled = Training(kind, "AdamW", False), Training(kind, "AdamW", True, check=True)
    for _ in range(6):
        assert same_bits(eager.step(*data()), compiled.step(*data()))
        assert same_bits(eager.seen(), compiled.seen())
    assert compiled.step.replays == 5


def test_checking_notices_what_a_replay_misses(tmp_path: Path) -> None:
    """What a file says is out of sight: a replay would miss that it changed."""
    file = tmp_path / "scale"
    file.write_text("2.0")
    step = autodiff.compile(lambda x: Tensor(x) * float(file.read_text()), check=True)
    step(np.ones(2))
    step(np.ones(2))
    file.write_text("3.0")
    with pytest.raises(CompileError, match="differ"):
        step(np.ones(2))


# --- every operation
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(registry))
def test_every_operation_both_ways(name: str) -> None:
    """Value and gradients of an operation's own example, or a warning and the eager result."""
    op = registry[name]
    draw = RandomDraw(np.random.default_rng(5))
    args, kwargs = sample_call(op, draw)
    places = gradient_places(op, args, kwargs)

    def call(*inputs: Any) -> Any:
        full = list(args)
        leaves = [Tensor(a, requires_grad=True) for a in inputs]
        for place, leaf in zip(places, leaves, strict=True):
            full[place] = leaf
        out = op.function(*full, **kwargs)
        outs = [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(o, Tensor)]
        differentiable = [o for o in outs if o.requires_grad]
        found = (
            autodiff.gradients(
                differentiable, leaves, [np.ones(o.shape, o.dtype) for o in differentiable], allow_unused=True
            )
            if leaves
            else []
        )
        return [o.detach() for o in outs], found

    step = autodiff.compile(call)
    inputs = [args[i] for i in places]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CompileWarning)
        for scale in (1.0, 1.0, 0.97):
            moved = [a * scale if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in inputs]
            assert same_bits(step(*moved), call(*moved))
    if step.replays == 0:
        assert caught or step.recordings > 1, step.reason


@settings(deadline=None)
@given(strategies.expressions())
def test_random_expressions(case: Any) -> None:
    function, point = case
    both = autodiff.value_and_grad(lambda *xs: function(*xs).sum(), argnums=(0, 1))
    step = autodiff.compile(both, fallback=False)
    for shift in (0.0, 0.0, 0.25):
        moved = [x + shift for x in point]
        assert same_bits(step(*moved), both(*moved))
    assert isinstance(step, Compiled)
    assert step.replays == 2


# --- memory and the plan
# ------------------------------------------------------------------------------------------------------------


WIDE = {
    "plain": lambda g: [],
    "batchnorm": lambda g: [nn.BatchNorm1d(128)],
    "layernorm": lambda g: [nn.LayerNorm(128)],
    "dropout": lambda g: [nn.Dropout(0.25, generator=np.random.default_rng(0))],
}


def wide(compiled: bool, kind: str) -> Any:
    g = np.random.default_rng(0)
    layers = [nn.Linear(512, 128, generator=g), *WIDE[kind](g), nn.ReLU(), nn.Linear(128, 128, generator=g), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(128, 10, generator=g))
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    x, y = g.standard_normal((256, 512)).astype(np.float32), g.integers(0, 10, 256)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return autodiff.compile(step, fallback=False) if compiled else step


@pytest.mark.parametrize("kind", WIDE)
def test_a_replay_allocates_next_to_nothing(kind: str) -> None:
    step = wide(True, kind)
    for _ in range(3):
        step()
    tracemalloc.start()
    try:
        step()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All that is alive at one time; the random bits of a mask are drawn anew, 8 to an element.
    assert peak - before < 64 * 1024 + (256 * 128 if kind == "dropout" else 0)


def test_a_recorded_call_needs_hardly_more_memory_than_an_eager_one() -> None:
    """What the step has let go of is let go of by the recorder, and the plan is right all the same."""
    x, scale = np.linspace(-1, 1, 1 << 16).reshape(256, 256), np.linspace(1, 2, 1 << 16).reshape(256, 256)

    def step(x: Any) -> Any:
        held = np.multiply(np.ones((256, 256)), 3.0)  # a constant of the plan
        t = Tensor(x).detach()
        for i in range(30):
            t = np.tanh(t * scale)[::-1].T if i % 3 else t @ t * 0.01 + held
        return autodiff.value_and_grad(lambda u: (np.sin(u) * np.exp(u)).sum())(t)

    def peak(call: Any) -> int:
        tracemalloc.start()
        try:
            call(x)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    compiled = autodiff.compile(step, fallback=False)
    step(x)
    eager, recorded = peak(step), peak(compiled)
    assert compiled.recordings == 1
    assert recorded < eager + 4 * x.nbytes + compiled.plan.nbytes, "all values together are some ninety"
    for factor in (0.5, -2.0):
        assert same_bits(compiled(factor * x), step(factor * x))
    assert compiled.replays == 2


def test_the_plan_can_be_read() -> None:
    training = Training("plain", "Adam", True)
    training.step(*data())
    plan = training.step.plan
    text = str(plan)
    assert "def replay(a0, a1):" in text
    assert ".dot(" in text
    assert f"{plan.nbytes:,} bytes" in text
    compile(plan.source, "plan", "exec")


def test_the_plan_can_be_timed_line_by_line() -> None:
    eager, compiled = (
        Training("batchnorm+dropout", "Adam", False),
        Training("batchnorm+dropout", "Adam", True, fallback=False),
    )
    same_bits(eager.step(*data()), compiled.step(*data()))
    plan = compiled.step.plan
    replay = plan.replay
    with plan.profiled() as profile:
        with pytest.raises(ArgumentError, match="no replay was timed"):
            str(profile)
        for _ in range(5):
            assert same_bits(eager.step(*data()), compiled.step(*data()))
    assert plan.replay is replay
    assert same_bits(eager.step(*data()), compiled.step(*data()))
    assert same_bits(eager.seen(), compiled.seen())
    assert profile.replays == 5
    assert profile.seconds.shape == (len(profile.lines),)
    assert (profile.seconds >= 0).all()
    top = [line.strip() for line in plan.source.splitlines()[1:-1] if not line.startswith("        ")]
    assert profile.lines == top
    assert [row.split(" %  ", 1)[1] for row in str(profile).splitlines()[1:]] == top


def test_the_plan_can_be_drawn(tmp_path: Path) -> None:
    training = Training("batchnorm+dropout", "Adam", True)
    training.step(*data())
    plan = training.step.plan
    dot = plan.dot
    assert dot.startswith("digraph {")
    assert dot.count('[label="np.dot') == plan.source.count(".dot(")
    places = {(b.host, b.offset) for b in plan.buffers.values() if b.offset is not None}
    assert len({host for host, _ in places}) > 2, "in the arena and in gradients"
    assert (
        len({line.split("fillcolor=")[1] for line in dot.splitlines() if " 0.35 0.95" in line})
        == len(places)
        < len(plan.buffers)
    )
    assert plan.save(tmp_path / "plan.dot").read_text() == dot
    with pytest.raises(ArgumentError, match="suffix"):
        plan.save(tmp_path / "plan.gif")
    if importlib.util.find_spec("pygraphviz") or importlib.util.find_spec("graphviz"):
        assert b"<svg" in plan.save(tmp_path / "plan.svg").read_bytes()


def test_buffers_alive_at_the_same_time_never_overlap() -> None:
    training = Training("layernorm", "Adam", True)
    training.step(*data())
    plan = training.step.plan
    placed = [b for b in plan.buffers.values() if b.offset is not None]
    for i, a in enumerate(placed):
        if a.host is not None:
            assert a in a.host.guests
            assert a.last < a.host.first
            assert a.first > next(
                i for i, op in enumerate(plan.ops) if op.kind == "bind" and op.target == a.host.exported[0]
            )
            assert np.shares_memory(plan.scope[a.name], plan.scope[a.host.name])
        for b in placed[:i]:
            apart = a.host is not b.host or a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset
            # One may take over another's place in the very call that reads the last of it.
            assert apart or a.last <= b.first or b.last <= a.first


class Wide:
    """A network whose first gradient is larger than all that is computed on the way, and steps that let go of gradients
    here or there.
    """

    def __init__(self, form: str, compiled: bool) -> None:
        model = self.model = nn.Sequential(
            nn.Linear(96, 8, generator=np.random.default_rng(0)),
            nn.BatchNorm1d(8),
            nn.Tanh(),
            nn.Linear(8, 3, generator=np.random.default_rng(1)),
        )
        opt = self.optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def first(x: Any) -> Any:
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        def between(x: Any) -> Any:
            loss = (model(x) ** 2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            return loss

        def last(x: Any) -> Any:
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            opt.zero_grad()
            return loss

        def never(x: Any) -> Any:
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        def twice(x: Any) -> Any:
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            (model(x) ** 4).mean().backward()
            opt.step()
            return loss

        def decided(x: Any) -> Any:
            model.zero_grad()
            loss = (model(x) ** 2).mean()
            scale = 1.0 if loss.detach() > 0.05 else 0.1
            (loss * scale).backward()
            opt.step()
            return loss

        def clipped(x: Any) -> Any:
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            largest = np.abs(model[0].weight.grad).max()
            if largest > 0.01:
                model[0].weight.grad = model[0].weight.grad * (0.01 / largest)
            opt.step()
            return loss

        def looked_at(x: Any) -> Any:
            before = model[0].weight.grad
            scale = 0.0 if before is None else (before * before).sum()
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            return loss.detach() + scale

        self.cleared = form == "outside"
        step = {**locals(), "outside": never}[form]
        self._step = autodiff.compile(step, fallback=False) if compiled else step

    def step(self, x: Any) -> Any:
        if self.cleared:
            self.optimizer.zero_grad()
        return self._step(x)

    def seen(self) -> Any:
        grads = [None if p.grad is None else np.array(p.grad) for p in self.model.parameters()]
        return grads, self.model.state_dict(), self.optimizer.state_dict()


@pytest.mark.parametrize(
    ("form", "shared"),
    [
        ("first", True),
        ("between", True),
        ("last", True),
        ("outside", True),
        ("twice", True),
        ("decided", True),
        ("clipped", False),
        ("looked_at", False),
        ("never", False),
    ],
)
def test_gradients_that_were_let_go_of_give_their_memory(form: str, shared: bool) -> None:
    eager, compiled = Wide(form, False), Wide(form, True)
    rng = np.random.default_rng(0)
    held: list[Any] = []
    copies: list[Any] = []
    for i in range(24):
        x = (rng.standard_normal((20, 96)) * rng.choice([0.1, 3.0])).astype(np.float32)
        assert same_bits(eager.step(x), compiled.step(x))
        assert same_bits(eager.seen(), compiled.seen()), f"step {i}"
        assert same_bits(held, copies)
        grad = compiled.model[0].weight.grad
        if i % 3 and grad is not None:
            held = [grad] if i % 2 else [grad[2:], compiled.model[3].bias.grad]
            copies = [a.copy() for a in held]
        if i % 5 == 4:
            held, copies = [], []
        del grad
    assert compiled._step.replays >= 16
    largest = max((b for b in compiled._step.plan.buffers.values() if b.exported), key=lambda b: b.nbytes)
    assert bool(largest.guests) == shared


@pytest.mark.parametrize("form", ["decided", "clipped"])
def test_a_replay_that_gives_up_has_let_go_of_nothing(form: str) -> None:
    wide = Wide(form, True)
    x = np.random.default_rng(0).standard_normal((20, 96)).astype(np.float32)
    for _ in range(3):
        wide.step(x)
    before = wide.seen()
    assert all(grad is not None for grad in before[0])
    for factor in (0.0, 1e-6):
        assert wide._step.plan.replay(factor * x) is DIVERGED
        assert same_bits(wide.seen(), before)


def test_results_that_were_let_go_of_give_their_memory() -> None:
    function = autodiff.grad(lambda w, x: (np.tanh(x @ w) ** 2).mean())
    compiled = autodiff.compile(function, fallback=False)
    rng = np.random.default_rng(0)
    w = rng.standard_normal((64, 4))
    kept = []
    for i in range(12):
        x = rng.standard_normal((8, 64))
        found = compiled(w, x)
        assert same_bits(found, function(w, x))
        if i % 3 == 0:
            kept.append((found, np.array(found)))
        w = w - 0.1 * np.asarray(found)
    assert all(same_bits(np.array(a), b) for a, b in kept)
    assert any(b.host is not None for b in compiled.plan.buffers.values())
    assert compiled.plan.arena_bytes < 64 * 4 * 8


def test_an_error_on_the_way_leaves_no_gradients_where_the_eager_step_leaves_none() -> None:
    for compiled in (False, True):
        wide = Wide("first", compiled)
        x = np.ones((20, 96), np.float32)
        for _ in range(3):
            wide.step(x)
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            wide.step(np.full_like(x, 1e38))
        assert [p.grad for p in wide.model.parameters()] == [None] * 6


def test_a_step_that_goes_by_whether_there_are_gradients() -> None:
    def made() -> Any:
        p = autodiff.tensor(np.ones(3), requires_grad=True)

        def step(x: Any) -> Any:
            scale = 1.0 if p.grad is None else 2.0
            p.grad = None
            loss = (p * x).sum() * scale
            loss.backward()
            return loss

        return p, step

    (p, eager), (q, step) = made(), made()
    compiled = autodiff.compile(step, fallback=False)
    for i in range(9):
        if i % 3 == 2:
            p.grad = q.grad = None
        assert same_bits(eager(np.arange(3.0)), compiled(np.arange(3.0)))
        assert same_bits(p.grad, q.grad)
    assert compiled.recordings == 2


def test_a_result_in_another_shape_gets_new_memory_too() -> None:
    compiled = autodiff.compile(lambda x: (Tensor(x) * 2.0).T.reshape(6), fallback=False)
    kept = [(compiled(np.arange(6.0).reshape(2, 3) + i), i) for i in range(5)]
    assert "_r[...]" in compiled.plan.source, "copied through a view in the source's shape"
    for found, i in kept:
        assert same_bits(found.data, ((np.arange(6.0).reshape(2, 3) + i) * 2).T.reshape(6))


FURTHER = {
    "SGD maximize": lambda p: optim.SGD(p, lr=0.01, momentum=0.9, dampening=0.1, weight_decay=0.01, maximize=True),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.01),
    "AdamW maximize": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True, maximize=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.01, lr_decay=0.1, weight_decay=0.01),
    "RMSprop centered": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.9, weight_decay=0.01),
    "Adadelta": lambda p: optim.Adadelta(p, weight_decay=0.01),
    "Lion": lambda p: optim.Lion(p, lr=0.01, weight_decay=0.01),
    "two groups": lambda p: (lambda ps: optim.Adam([{"params": ps[:2], "lr": 0.1}, {"params": ps[2:]}], lr=0.01))(
        list(p)
    ),
}


@pytest.mark.parametrize("name", FURTHER)
def test_every_optimiser_in_place_is_equal_to_the_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prepared step writes new values over old ones, which each formula must bear."""
    monkeypatch.setitem(OPTIMIZERS, name, FURTHER[name])
    eager, compiled = Training("layernorm", name, False), Training("layernorm", name, True, fallback=False)
    for _ in range(8):
        assert same_bits(eager.step(*data()), compiled.step(*data()))
        assert same_bits(eager.seen(), compiled.seen())
    assert compiled.step.plan.prepared


@pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="compiled kernels need numba")
@pytest.mark.parametrize("kind", NETS)
def test_compiled_kernels_are_calls_of_the_plan(kind: str) -> None:
    before = kernels.use("numba")
    try:
        eager, compiled = Training(kind, "Adam", False), Training(kind, "Adam", True, fallback=False)
        for _ in range(4):
            assert same_bits(eager.step(*data()), compiled.step(*data()))
            assert same_bits(eager.seen(), compiled.seen())
        assert compiled.step.replays == 3
        kernels.use("numpy")  # another way to compute is another plan
        assert same_bits(eager.step(*data()), compiled.step(*data()))
        assert (compiled.step.recordings, compiled.step.replays) == (2, 3)
    finally:
        kernels.use(before)


# --- where parameters and gradients lie
# ------------------------------------------------------------------------------------------


def test_parameters_are_cut_once_and_found_where_they_are() -> None:
    """Bound anew, held, viewed, trained elsewhere: a replay reads what p.data is, and never writes over what somebody
    holds.
    """
    eager, compiled = Training("plain", "Adam", False), Training("plain", "Adam", True, fallback=False)
    held: list[Any] = []
    copies: list[Any] = []
    for i in range(12):
        for t in (eager, compiled):
            weight = t.model[0].weight
            if i == 3:
                weight.data = weight.data * 2
            if i == 5:
                weight.data[...] = 0.5
            if i == 7:
                weight.data = np.asfortranarray(weight.data)
        weight = compiled.model[0].weight
        if i > 3:
            held += [weight.data, weight.data.T, weight.data[1:]][i % 3 : i % 3 + 1]
            copies.append(held[-1].copy())
        assert same_bits(eager.step(*data()), compiled.step(*data()))
        assert same_bits(eager.seen(), compiled.seen()), f"step {i}"
    assert compiled.step.replays == 11
    assert same_bits([np.ascontiguousarray(a) for a in held], [np.ascontiguousarray(a) for a in copies])
    assert "._data" not in compiled.step.plan.source


def test_a_parameter_that_is_handed_out_is_read_anew() -> None:
    layer = nn.Linear(3, 2, generator=np.random.default_rng(0))
    optimizer = optim.SGD(layer.parameters(), lr=0.1)

    @autodiff.compile(fallback=False)
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        layer(x).sum().backward()
        turned = layer.weight.data.T
        optimizer.step()
        return turned

    seen, copies = [], []
    for _ in range(5):
        seen.append(step(np.ones((4, 3), np.float32)))
        copies.append(seen[-1].copy())
    assert step.replays == 4
    assert same_bits([np.ascontiguousarray(a) for a in seen], [np.ascontiguousarray(a) for a in copies])


def test_only_what_is_held_gets_new_memory() -> None:
    layer = nn.Linear(3, 2, generator=np.random.default_rng(0))
    optimizer = optim.SGD(layer.parameters(), lr=0.1)

    @autodiff.compile(fallback=False)
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        out = layer(x)
        out.sum().backward()
        optimizer.step()
        return out.detach()

    x = np.ones((4, 3), np.float32)
    kept = [step(x) for _ in range(5)]
    grads = {id(layer.weight.grad)}
    kept += [step(x) for _ in range(5)]
    assert len({id(out.data) for out in kept}) == len(kept)
    assert grads == {id(layer.weight.grad)}  # written over in place
    first, copy_ = layer.weight.grad, layer.weight.grad.copy()
    step(np.full((4, 3), 7, np.float32))
    assert layer.weight.grad is not first
    assert same_bits(first, copy_)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("number", [0, 3, -2.5, 1e-9, float("inf"), 1e300, 2**60])
def test_numbers_beside_arrays_are_as_numpy_takes_them(dtype: Any, number: Any) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        for combine in (
            lambda t: t * number,
            lambda t: number - t,
            lambda t: np.maximum(t, number),
            lambda t: number / (t + 4),
            lambda t: t % 0.7,
        ):
            step = autodiff.compile(lambda x, combine=combine: combine(Tensor(x)))
            for i in range(3):
                x = (np.arange(5) - i).astype(dtype)
                assert same_bits(step(x), combine(Tensor(x)))
            assert step.replays >= 1


def test_cheaper_calls_of_the_same_bits() -> None:
    labels, x = np.array([3, 1, 2]), np.arange(12.0, dtype=np.float32).reshape(3, 4) - 5
    count = Tensor(np.array(6, np.int16))

    def step(a: Any, labels: Any) -> Any:
        t = Tensor(a).detach().data
        count.data = 2 * (count.data + 1)
        extremes = (
            np.max(labels),
            np.min(labels, axis=0),
            labels.max(keepdims=True),
            np.max(a),
            np.max(np.add(labels, 0.5)),
        )
        return (
            np.einsum("nc,nc->c", t, t),
            np.einsum("nc->n", t, optimize=False),
            np.einsum("nc,kc->nk", t, t, optimize=True),
            *extremes,
        )

    step = autodiff.compile(step, fallback=False)
    eager = step.__wrapped__
    step(x, labels)
    for seed in range(3):
        given = x * (seed - 1.5), np.random.default_rng(seed).integers(-9, 9, 3)
        before = count.data
        found, here = step(*given), count.data.copy()
        count.data = before
        assert same_bits(found, eager(*given))
        assert same_bits(here, count.data)
    assert step.replays == 3
    text = str(step.plan)
    assert text.count("c_einsum(") == 2, "the one with optimize= contracts in NumPy's own order"
    assert text.count("largest(") == 1
    assert text.count("smallest(") == 1
    assert "np.asarray" not in text, "the count is computed where it stays"


def test_a_hook_or_a_method_put_on_a_module_later_is_noticed() -> None:
    model = network("batchnorm")
    step = autodiff.compile(lambda x: model(Tensor(x)).detach())
    x, _ = data()
    step(x), step(x)
    assert step.replays == 1
    handle = model[0].register_forward_hook(lambda module, given, out: out * 0)
    with pytest.warns(CompileWarning, match="forward hooks"):
        assert np.array_equal(step(x).data, model(Tensor(x)).data)
    handle.remove()
    step(x)
    assert step.replays == 2


@pytest.mark.parametrize("mode", ["auto", "numpy"])
def test_parameters_at_different_turns_step_as_eager(mode: str) -> None:
    """Some have been trained before: neighbours at one turn take the kernel or the formula as in the eager step."""
    if mode == "auto" and not importlib.util.find_spec("numba"):
        pytest.skip("compiled kernels need numba")
    before = kernels.use(mode)
    try:
        found = []
        for compiled in (False, True):
            g = np.random.default_rng(0)
            model = nn.Sequential(
                nn.Linear(12, 80, generator=g),
                nn.ReLU(),
                nn.Linear(80, 40, generator=g),
                nn.ReLU(),
                nn.Linear(40, 4, generator=g),
            )
            optimizer = optim.Adam(model.parameters(), lr=1e-2)

            def step(x: Any, y: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                return loss

            F.cross_entropy(model(data()[0]), data()[1]).backward()
            model[2].weight.grad = model[2].bias.grad = None
            optimizer.step()
            run = autodiff.compile(step, fallback=False) if compiled else step
            found.append([[run(*data()).data for _ in range(5)], model.state_dict(), optimizer.state_dict()])
        assert same_bits(*found)
    finally:
        kernels.use(before)


@pytest.mark.parametrize(
    ("exponent", "ufunc"), [(2, "square"), (2.0, "square"), (0.5, "sqrt"), (-1, "reciprocal"), (3, "power")]
)
def test_a_power_is_replayed_by_what_the_eager_step_calls(exponent: float, ufunc: str) -> None:
    """``x ** 2`` squares; np.power gave other last bits before NumPy 2.3."""
    leaf = autodiff.tensor(np.linspace(0.1, 2, 50).astype(np.float32), requires_grad=True)

    def step(x: Any) -> Any:
        leaf.grad = None
        loss = ((leaf * x) ** exponent).sum()
        loss.backward()
        return loss.detach()

    x = np.random.default_rng(0).uniform(0.5, 2, 50).astype(np.float32)
    compiled = autodiff.compile(step, fallback=False)
    assert compiled(x).item() == compiled(x).item() == step(x).item()
    assert f"np.{ufunc}(" in compiled.plan.source


def test_a_plan_takes_gradients_from_its_own_memory_and_the_optimiser_keeps_no_other() -> None:
    training = Training("plain", "Adam", True)
    for _ in range(3):
        training.step(*data())
    optimizer = training.optimizer
    assert training.step.plan is not None
    for bucket in optimizer._plan(optimizer.param_groups[0]):
        assert bucket._gradient is None
        assert not bucket._parts


@pytest.mark.parametrize(
    ("step", "first", "second"),
    [
        (lambda x, a=1.0, b=1.0: Tensor(x) * a + b, ((), {"a": 2.0}), ((), {"b": 2.0})),
        (
            lambda x, a=None, b=None: Tensor(x) * (1.0 if a is None else a) + (0.0 if b is None else b),
            ((2.0, None), {}),
            ((None, 2.0), {}),
        ),
        (lambda x, t: Tensor(x) * t["a"] + t["b"], (({"a": 2.0, "b": 3.0},), {}), (({"b": 2.0, "a": 3.0},), {})),
        (lambda x, t: Tensor(x) * len(t), (([2.0, [3.0]],), {}), (([[2.0, 3.0]],), {})),
        (lambda x, t: Tensor(x) * (2.0 if isinstance(t, list) else 1.0), (([2.0],), {}), (((2.0,), {}))),
        (lambda x, t: Tensor(x) * (2.0 if t is None else 1.0), ((None,), {}), (([],), {})),
        (lambda x, t: Tensor(x) * t, ((0.0,), {}), ((-0.0,), {})),
        (lambda x, t: Tensor(x) / t, ((1j - 1j,), {}), ((complex(0.0, -0.0),), {})),
    ],
)
def test_arguments_of_another_structure_have_a_plan_of_their_own(step: Any, first: Any, second: Any) -> None:
    x = np.arange(1.0, 4.0)
    compiled = autodiff.compile(step)
    with np.errstate(all="ignore"):
        for args, kwargs in (first, first, second, second, first, second):
            assert same_bits(compiled(x, *args, **kwargs), step(x, *args, **kwargs))
    assert (compiled.recordings, compiled.replays) == (2, 4)


def test_a_group_added_later_is_cleared_with_the_others() -> None:
    """``zero_grad()`` of a replay left the gradient of a parameter added after the recording, and every step took it
    again.
    """

    def trained(compiled: bool) -> Any:
        p, q = (Tensor(np.ones(3), requires_grad=True) for _ in range(2))
        optimizer = optim.SGD([p], lr=0.1)

        def step(x: Any) -> None:
            optimizer.zero_grad()
            (p * x).sum().backward()
            optimizer.step()

        step = autodiff.compile(step) if compiled else step
        for i in range(6):
            if i == 3:
                optimizer.add_param_group({"params": [q]})
                q.grad = np.ones(3)
            step(np.arange(3.0))
        return p.data, q.data, q.grad is None

    assert same_bits(trained(True), trained(False))


def test_an_argument_that_the_step_finds_by_itself_too_takes_no_plan() -> None:
    def trained(compiled: bool) -> Any:
        inside, other = (Tensor(np.arange(3.0) + i, requires_grad=True) for i in range(2))

        def step(t: Any) -> None:
            (t * inside).sum().backward()

        step = autodiff.compile(step) if compiled else step
        for t in (other, other, other, inside, inside, other):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CompileWarning)
                step(t)
        return inside.grad, other.grad

    assert same_bits(trained(True), trained(False))


def test_a_gradient_with_a_graph_is_added_to_as_the_eager_step_does() -> None:
    def trained(compiled: bool) -> Any:
        p = Tensor(np.arange(1.0, 4.0), requires_grad=True)

        def step(x: Any) -> None:
            (p * p * x).sum().backward()

        step = autodiff.compile(step) if compiled else step
        grads = []
        for i in range(8):
            if i == 4:
                p.grad = None
                (p * p).sum().backward(create_graph=True)
            if i == 6:
                p.grad = None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CompileWarning)
                step(np.ones(3))
            grads.append(p.grad.data.copy() if isinstance(p.grad, Tensor) else p.grad.copy())
        return grads

    assert same_bits(trained(True), trained(False))


def test_results_are_the_objects_that_the_eager_step_returns() -> None:
    def step(x: Any) -> Any:
        total = (Tensor(x) * 2).sum()
        return total, [total], total.data

    compiled = autodiff.compile(step, fallback=False)
    for i in range(4):
        total, (again,), array = compiled(np.arange(3.0) + i)
        assert total is again
        assert same_bits(array, step(np.arange(3.0) + i)[2])


def test_lists_and_dicts_that_a_step_changes_are_changed() -> None:
    """The recorded call saw copies of them, and what it put there was lost."""

    def step(x: Any, log: list[float], table: dict[str, Any]) -> Any:
        log.append(1.0)
        table["count"] = table.get("count", 0) + 1
        table["inner"]["twice"] = Tensor(x) * 2
        table["inner"]["x"] = x
        table.pop("gone", None)
        return Tensor(x) * 3

    x, log, inner = np.arange(3.0), [0.0], {}
    table: dict[str, Any] = {"gone": 1.0, "inner": inner, "x": x}
    compiled = autodiff.compile(step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompileWarning)
        for _ in range(5):
            assert same_bits(compiled(x, log, table), Tensor(x) * 3)
    assert "a list or a dict that it was given" in compiled.reason
    assert log == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert list(table) == ["inner", "x", "count"]
    assert (table["inner"] is inner, table["x"] is x, table["count"]) == (True, True, 5)
    assert (same_bits(inner["twice"], Tensor(x) * 2), inner["x"] is x) == (True, True)


def test_a_dict_of_another_kind_stays_one() -> None:
    table = collections.defaultdict(lambda: 2.0, x=np.arange(3.0))
    step = autodiff.compile(
        lambda t: Tensor(t["x"]) * (3.0 if isinstance(t, collections.defaultdict) else 1.0), fallback=False
    )
    for _ in range(3):
        assert same_bits(step(table), Tensor(np.arange(3.0)) * 3.0)
    assert step.replays == 2
