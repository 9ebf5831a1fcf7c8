# ruff: noqa: NPY002
"""``autodiff.compile`` against the same program without it: training steps drawn from tables, compared bit for bit.

The truth is the program itself, run eagerly from the same seeds. What is compared: results, gradients, parameters,
optimiser and generator state, what was printed, what was seen on the way, and exceptions.
"""

import copy
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import autodiff
import nn
import optim
from nn import functional as F

CALLS = 5

pytestmark = pytest.mark.filterwarnings("ignore::autodiff.CompileWarning")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def bits(value: Any) -> Any:
    """A nested value as something that compares by bits."""
    if isinstance(value, autodiff.Tensor):
        return "tensor", bits(value.data), bits(value.grad), value.requires_grad, value.is_leaf
    if isinstance(value, np.ndarray | np.generic):
        return type(value).__name__, value.shape, str(value.dtype), np.asarray(value).tobytes()
    if isinstance(value, float):
        return "float", np.float64(value).tobytes()
    if isinstance(value, dict):
        return [(str(key), bits(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(bits, value)]
    if isinstance(value, np.random.Generator):
        return str(value.bit_generator.state)
    return type(value).__name__, str(value)


class World:
    """A model, an optimiser and data, made anew from the same seeds."""

    def __init__(self, model: str, optimiser: str) -> None:
        self.generator = rng(11)
        self.make, self.data, self.loss = MODELS[model]
        self.model = self.make(self)
        filled = rng(9)
        for p in self.model.parameters():
            p.data = (filled.normal(size=p.shape) * 0.3).astype(p.dtype)
        self.optimizer = OPTIMISERS[optimiser](self.model.parameters())
        self.seen: list[Any] = []
        self.more: list[Any] = []

    def see(self, value: Any) -> Any:
        self.seen.append(bits(value))
        return value

    def left(self) -> Any:
        parameters = list(self.model.parameters())
        return bits(
            [
                self.model.state_dict(),
                [p.grad for p in parameters],
                self.optimizer.state_dict(),
                self.generator,
                np.random.get_state()[1],
                self.more,
            ]
        ), str(random.getstate())


# --- models: (make, data of call i, loss) ---------------------------------------------------------------------------


def points(i: int, n: int = 8, d: int = 4, k: int = 3) -> tuple[Any, Any]:
    r = rng(100 + i)
    return r.normal(size=(n, d)).astype(np.float32), r.normal(size=(n, k)).astype(np.float32)


def labelled(i: int, n: int = 8) -> tuple[Any, Any]:
    r = rng(100 + i)
    return r.normal(size=(n, 4)).astype(np.float32), r.integers(0, 3, n)


def images(i: int) -> tuple[Any, Any]:
    r = rng(100 + i)
    return r.normal(size=(4, 2, 6, 6)).astype(np.float32), r.integers(0, 3, 4)


def sequences(i: int) -> tuple[Any, Any]:
    r = rng(100 + i)
    return r.normal(size=(5, 2, 8)).astype(np.float32), r.normal(size=(5, 2, 8)).astype(np.float32)


def words(i: int) -> tuple[Any, Any]:
    r = rng(100 + i)
    return r.integers(0, 7, (3, 5)), r.integers(0, 7, (3, 5))


def net(*middle: Any) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), *middle, nn.Linear(8, 3))


class Recurrent(nn.Module):
    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Any) -> Any:
        return self.cell(x)[0]


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.body, self.head = nn.Embedding(7, 8), nn.LSTM(8, 8), nn.Linear(8, 7)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(self.embedding(x))[0]).reshape(-1, 7)


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(8, 2), nn.LayerNorm(8)

    def forward(self, x: Any) -> Any:
        return self.norm(x + self.attention(x, x, x)[0])


class Variational(nn.Module):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.encoder, self.decoder, self.world = nn.Linear(4, 4), nn.Linear(2, 3), [world]

    def forward(self, x: Any) -> Any:
        h = self.encoder(x)
        noise = self.world[0].generator.normal(size=(len(x), 2)).astype(np.float32)
        return self.decoder(h[:, :2] + np.exp(0.5 * h[:, 2:]) * noise)


class Handwritten(nn.Module):
    """Plain NumPy on parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(np.zeros((4, 6))), nn.Parameter(np.zeros((6, 3)))

    def forward(self, x: Any) -> Any:
        h = np.tanh(x @ self.w) ** 2 + np.maximum(x @ self.w, 0.1)
        h = h / (1 + np.sum(h * h, axis=1, keepdims=True))
        return np.concatenate([h[:, :3], h[:, 3:]], axis=1) @ self.v - np.mean(self.v, axis=0)


MODELS: dict[str, tuple[Callable[[World], nn.Module], Callable[[int], Any], Callable[..., Any]]] = {
    "mlp": (lambda w: net(nn.ReLU()), points, F.mse_loss),
    "classifier": (lambda w: net(nn.GELU()), labelled, F.cross_entropy),
    "batchnorm": (lambda w: net(nn.BatchNorm1d(8), nn.ReLU()), points, F.mse_loss),
    "cumulative": (lambda w: net(nn.BatchNorm1d(8, momentum=None), nn.Tanh()), points, F.mse_loss),
    "layernorm": (lambda w: net(nn.LayerNorm(8), nn.SiLU()), points, F.smooth_l1_loss),
    "dropout": (lambda w: net(nn.ReLU(), nn.Dropout(0.5, generator=w.generator)), points, F.mse_loss),
    "conv": (
        lambda w: nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
        ),
        images,
        F.cross_entropy,
    ),
    "residual": (
        lambda w: nn.Sequential(
            nn.Residual(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.GroupNorm(1, 2))),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(18, 3),
        ),
        images,
        F.cross_entropy,
    ),
    "rnn": (lambda w: Recurrent(nn.RNN(8, 8)), sequences, F.mse_loss),
    "lstm": (lambda w: Recurrent(nn.LSTM(8, 8)), sequences, F.mse_loss),
    "gru": (lambda w: Recurrent(nn.GRU(8, 8)), sequences, F.l1_loss),
    "language": (lambda w: Language(), words, lambda out, y: F.cross_entropy(out, y.reshape(-1))),
    "transformer": (lambda w: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0), sequences, F.mse_loss),
    "attention": (lambda w: Attending(), sequences, F.mse_loss),
    "variational": (Variational, points, F.mse_loss),
    "handwritten": (lambda w: Handwritten(), points, F.mse_loss),
}

OPTIMISERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.01),
    "adadelta": lambda p: optim.Adadelta(p),
    "lion": lambda p: optim.Lion(p, lr=0.01),
}


def ordinary(w: World) -> Callable[..., Any]:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        loss = w.loss(w.model(x), y)
        loss.backward()
        w.optimizer.step()
        return loss.detach()

    return step


def both(program: Callable[[Callable[[Any], Any]], Any]) -> list[Any]:
    """Run a program eagerly and compiled and compare what it returns; the compiled steps."""
    made: list[Any] = []

    def wrap(f: Any) -> Any:
        made.append(autodiff.compile(f))
        return made[-1]

    found = []
    for chosen in (lambda f: f, wrap):
        random.seed(0)
        np.random.seed(0)
        try:
            found.append(program(chosen))
        except Exception as error:
            found.append((type(error), str(error)))
    assert found[0] == found[1]
    return made


def trained(model: str, optimiser: str, step_of: Callable[[World], Any], before: Any = None) -> list[Any]:
    def program(wrap: Any) -> Any:
        w = World(model, optimiser)
        step = wrap(step_of(w))
        for i in range(CALLS):
            if before is not None:
                before(w, i)
            try:
                w.see(step(*w.data(i)))
            except (ValueError, KeyboardInterrupt) as error:
                w.see(repr(error))
            w.see([p.grad for p in w.model.parameters()])
        return w.seen, w.left()

    return both(program)


@pytest.mark.parametrize(("model", "optimiser"), list(itertools.product(MODELS, OPTIMISERS)))
def test_ordinary_training(model: str, optimiser: str) -> None:
    (step,) = trained(model, optimiser, ordinary)
    assert (step.recordings, step.replays, step.eager) == (1, CALLS - 1, 0), step.reason


# --- what a step does besides ---------------------------------------------------------------------------------------

TWISTS: dict[str, tuple[Callable[[World], Any], Any]] = {}


def twist(before: Callable[[World, int], Any] | None = None) -> Callable[[Any], Any]:
    def register(f: Any) -> Any:
        TWISTS[f.__name__] = (f, before)
        return f

    return register


def between(f: Callable[[World, int], Any]) -> None:
    """Something done between calls of the ordinary step."""
    TWISTS[f.__name__] = (ordinary, f)


def with_middle(middle: Callable[[World, Any], Any]) -> Callable[[World], Any]:
    """The ordinary step with something done between backward and the optimiser's step."""

    def of(w: World) -> Any:
        def step(x: Any, y: Any) -> Any:
            w.optimizer.zero_grad()
            loss = w.loss(w.model(x), y)
            loss.backward()
            given = middle(w, loss)
            w.optimizer.step()
            return loss.detach() if given is None else given

        return step

    return of


def middle(f: Callable[[World, Any], Any]) -> None:
    TWISTS[f.__name__] = (with_middle(f), None)


@between
def rate_set(w: World, i: int) -> None:
    w.optimizer.param_groups[0]["lr"] = 0.1 / (1 + i)


@between
def layer_frozen_and_thawed(w: World, i: int) -> None:
    next(iter(w.model.parameters())).requires_grad_(i % 3 != 2)


@between
def training_and_evaluation(w: World, i: int) -> None:
    w.model.train(i % 2 == 0)


@between
def parameters_edited_in_place(w: World, i: int) -> None:
    next(iter(w.model.parameters())).data[...] *= np.float32(0.9)


@between
def parameters_bound_anew(w: World, i: int) -> None:
    p = next(iter(w.model.parameters()))
    p.data = np.asfortranarray(p.data * np.float32(0.5)) if i == 2 else p.data.copy()


@between
def parameters_held(w: World, i: int) -> None:
    w.more.append([p.data for p in w.model.parameters()])


@between
def gradients_held(w: World, i: int) -> None:
    w.more.append([p.grad for p in w.model.parameters()])


@between
def state_loaded_back(w: World, i: int) -> None:
    if i == 2:
        w.kept = copy.deepcopy(w.model.state_dict()), copy.deepcopy(w.optimizer.state_dict())
    if i == 4:
        w.model.load_state_dict(w.kept[0])
        w.optimizer.load_state_dict(w.kept[1])


@between
def hook_added_and_removed(w: World, i: int) -> None:
    if i == 2:
        w.hook = next(iter(w.model.parameters())).register_hook(lambda g: g * 2)
    if i == 4:
        w.hook.remove()


@between
def group_added(w: World, i: int) -> None:
    if i == 3:
        extra = nn.Parameter(np.ones(3))
        w.optimizer.add_param_group({"params": [extra], "lr": 0.01})


@between
def model_called_outside(w: World, i: int) -> None:
    w.see(w.model(w.data(50)[0]).detach())


@between
def dtype_exchanged(w: World, i: int) -> None:
    if i == 3:
        for p in w.model.parameters():
            p.data = p.data.astype(np.float64)
        w.optimizer = optim.SGD(w.model.parameters(), lr=0.1)


@middle
def norm_clipped(w: World, loss: Any) -> Any:
    return optim.clip_grad_norm_(w.model.parameters(), 0.05)


@middle
def values_clipped(w: World, loss: Any) -> None:
    optim.clip_grad_value_(w.model.parameters(), 0.01)


@middle
def norm_clipped_by_hand(w: World, loss: Any) -> None:
    norm = np.sqrt(sum(np.sum(p.grad**2) for p in w.model.parameters()))
    if norm > 0.1:
        for p in w.model.parameters():
            p.grad = p.grad * (np.float32(0.1) / norm)


@middle
def gradients_written_in_place(w: World, loss: Any) -> None:
    for p in w.model.parameters():
        p.grad *= 0.5


@middle
def noise_on_gradients(w: World, loss: Any) -> None:
    for p in w.model.parameters():
        p.grad = p.grad + 0.01 * w.generator.normal(size=p.shape).astype(p.dtype)


@middle
def noise_from_the_global_generator(w: World, loss: Any) -> None:
    for p in w.model.parameters():
        p.grad = p.grad + np.random.standard_normal(p.shape).astype(p.dtype)


@middle
def item_returned(w: World, loss: Any) -> Any:
    return loss.item()


@middle
def float_returned(w: World, loss: Any) -> Any:
    return float(loss.data), f"{loss.data:.3f}", int(loss.data * 100), bool(loss.data > 0.5)


@middle
def printed(w: World, loss: Any) -> Any:
    w.see(repr(loss))
    return str(loss)


@middle
def loss_returned_with_its_spent_graph(w: World, loss: Any) -> Any:
    return loss


@middle
def losses_kept(w: World, loss: Any) -> None:
    w.more.append(loss.detach())


@middle
def best_kept(w: World, loss: Any) -> None:
    w.best = min(getattr(w, "best", 1e9), float(loss.data))
    w.see(w.best)


@middle
def average_in_a_dict(w: World, loss: Any) -> None:
    mean = w.__dict__.setdefault("mean", {})
    for name, p in w.model.named_parameters():
        mean[name] = 0.9 * mean.get(name, 0) + 0.1 * p.data
    w.see(mean)


@middle
def average_in_tensors(w: World, loss: Any) -> None:
    for p in w.model.parameters():
        mean = w.__dict__.setdefault("means", {}).setdefault(id(p), autodiff.tensor(np.zeros(p.shape)))
        mean.data = 0.9 * mean.data + 0.1 * p.data
        w.see(mean)


@middle
def averaged_with_a_tensor_graph(w: World, loss: Any) -> Any:
    p = next(iter(w.model.parameters()))
    return (p * 0.9 + 0.1).sum()


@middle
def second_backward_is_refused(w: World, loss: Any) -> None:
    with pytest.raises(autodiff.GraphError) as caught:
        loss.backward()
    w.see(str(caught.value))


@middle
def random_numbers_of_python(w: World, loss: Any) -> Any:
    return loss.detach() * random.random()


@middle
def raises_now_and_then(w: World, loss: Any) -> None:
    w.calls = getattr(w, "calls", 0) + 1
    if w.calls in (1, 4):
        raise ValueError("stop")


@middle
def interrupted_now_and_then(w: World, loss: Any) -> None:
    w.calls = getattr(w, "calls", 0) + 1
    if w.calls in (1, 3):
        raise KeyboardInterrupt


@middle
def stepped_every_other_call(w: World, loss: Any) -> None:
    w.calls = getattr(w, "calls", 0) + 1
    if w.calls % 2:
        for p in w.model.parameters():
            p.grad = None


@middle
def parameter_swapped(w: World, loss: Any) -> None:
    for p in w.model.parameters():
        p.data = p.data + np.float32(0)


@twist()
def accumulated_over_calls(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        loss = w.loss(w.model(x), y)
        loss.backward()
        w.calls = getattr(w, "calls", 0) + 1
        if w.calls % 3 == 0:
            w.optimizer.step()
            w.optimizer.zero_grad()
        return loss.detach()

    return step


@twist()
def accumulated_inside(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        total = 0.0
        for part in range(2):
            loss = w.loss(w.model(x * (1 + part)), y) / 2
            loss.backward()
            total = total + loss.detach()
        w.optimizer.step()
        return total

    return step


@twist()
def learning_rate_read(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        loss = w.loss(w.model(x), y)
        loss.backward()
        group = w.optimizer.param_groups[0]
        group["lr"] *= 0.9
        for p in w.model.parameters():
            p.data = p.data - group["lr"] * p.grad
        return loss.detach()

    return step


@twist()
def schedule_stepped_inside(w: World) -> Any:
    schedule = optim.CosineAnnealingLR(w.optimizer, 10)

    def step(x: Any, y: Any) -> Any:
        value = ordinary(w)(x, y) + schedule.get_last_lr()[0]
        schedule.step()
        return value

    return step


@twist()
def number_that_changes_in_the_loss(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.beta = getattr(w, "beta", 0.0) + 0.25
        w.optimizer.zero_grad()
        loss = w.loss(w.model(x), y) * w.beta + w.beta**2
        loss.backward()
        w.optimizer.step()
        return loss.detach()

    return step


@twist()
def weight_decay_by_hand(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        loss = w.loss(w.model(x), y) + 0.01 * sum((p**2).sum() for p in w.model.parameters())
        loss.backward()
        w.optimizer.step()
        return loss.detach()

    return step


@twist()
def gradient_penalty(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        t = autodiff.tensor(x, requires_grad=True)
        loss = w.loss(w.model(t), y)
        g = autodiff.gradients(loss, t, create_graph=True)
        loss = loss + (g * g).sum()
        loss.backward()
        w.optimizer.step()
        return loss.detach(), t.grad

    return step


@twist()
def gradient_of_the_input(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        t = autodiff.tensor(x, requires_grad=True)
        w.loss(w.model(t), y).backward()
        worse = x + np.float32(0.1) * np.sign(t.grad)
        return ordinary(w)(worse, y), worse

    return step


@twist()
def graph_walked_twice(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        loss = w.loss(w.model(x), y)
        loss.backward(retain_graph=True)
        loss.backward()
        w.optimizer.step()
        return loss.detach()

    return step


@twist()
def branches_meet(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        h = w.model(x)
        loss = w.loss(h, y) + (h * h.detach()).mean() + (h + h).sum() * 0.01
        loss.backward()
        w.optimizer.step()
        return loss.detach(), h.detach()

    return step


@twist()
def hooks_and_retained_gradients_inside(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        h = w.model(x)
        h.retain_grad()
        h.register_hook(lambda g: g * 3)
        loss = w.loss(h, y)
        loss.backward()
        w.optimizer.step()
        return loss.detach(), h.grad

    return step


@twist()
def evaluation_inside(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        value = ordinary(w)(x, y)
        with autodiff.no_grad():
            return value, w.model(x)

    return step


@twist()
def argument_written_in_place(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        x -= x.mean(0)
        value = ordinary(w)(x, y)
        w.see(x)
        return value

    return step


@twist()
def argument_written_between_forward_and_loss(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        out = w.model(x * 1)
        x[...] = 0
        loss = w.loss(out, y) + (out * x.sum()).sum()
        loss.backward()
        w.optimizer.step()
        return loss.detach()

    return step


@twist()
def array_annealed(w: World) -> Any:
    w.temperature = np.array([2.0], np.float32)

    def step(x: Any, y: Any) -> Any:
        w.temperature *= np.float32(0.9)
        w.optimizer.zero_grad()
        loss = w.loss(w.model(x) / w.temperature, y)
        loss.backward()
        w.optimizer.step()
        return loss.detach()

    return step


@twist()
def early_end(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.calls = getattr(w, "calls", 0) + 1
        loss = w.loss(w.model(x), y)
        if w.calls % 3 == 0:
            return loss
        w.optimizer.zero_grad()
        loss.backward()
        w.optimizer.step()
        return loss.detach()

    return step


@twist()
def views_written(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        h = w.model(x) * 1
        h[0] *= 2
        row = h[1]
        row += 1
        loss = w.loss(h, y)
        loss.backward()
        w.optimizer.step()
        return loss.detach(), h.detach()

    return step


@twist()
def generator_made_inside(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        noise = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
        np.random.seed(5)
        return ordinary(w)(x + noise, y), np.random.rand()

    return step


@twist()
def checkpointed(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        loss = w.loss(autodiff.checkpoint(w.model)(x), y)
        loss.backward()
        w.optimizer.step()
        return loss.detach()

    return step


@twist()
def composed_inside(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        w.optimizer.zero_grad()
        with autodiff.composed():
            loss = w.loss(w.model(x), y)
            loss.backward()
        w.optimizer.step()
        return loss.detach()

    return step


@twist()
def copied_inside(w: World) -> Any:
    def step(x: Any, y: Any) -> Any:
        twin = copy.deepcopy(w.model)
        return ordinary(w)(x, y), w.loss(twin(x), y).detach()

    return step


TWISTED = ("mlp", "batchnorm", "dropout", "handwritten")


@pytest.mark.parametrize(("model", "name"), list(itertools.product(TWISTED, TWISTS)))
def test_steps_with_a_twist(model: str, name: str) -> None:
    step_of, before = TWISTS[name]
    trained(model, "adam", step_of, before)


def test_the_tables_hold_three_hundred_steps() -> None:
    assert len(MODELS) * len(OPTIMISERS) + len(TWISTED) * len(TWISTS) >= 300


# --- every layer ----------------------------------------------------------------------------------------------------

x1, x2, x3 = (3, 4), (2, 4, 6), (2, 4, 6, 6)
LAYERS: dict[str, tuple[Callable[[], Any], Any]] = {
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(2), x3),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d(2), x3),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), x2),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), x3),
    "BatchRenorm1d": (lambda: nn.BatchRenorm1d(4), x1),
    "CELU": (nn.CELU, x1),
    "CircularPad1d": (lambda: nn.CircularPad1d(1), x2),
    "Conv1d": (lambda: nn.Conv1d(4, 2, 3), x2),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 2, 3, stride=2), x3),
    "ELU": (nn.ELU, x1),
    "GLU": (nn.GLU, x1),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), x3),
    "Hardswish": (nn.Hardswish, x1),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4), x3),
    "LeakyReLU": (nn.LeakyReLU, x1),
    "LogSoftmax": (lambda: nn.LogSoftmax(dim=1), x1),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), x3),
    "PReLU": (nn.PReLU, x1),
    "ReflectionPad2d": (lambda: nn.ReflectionPad2d(1), x3),
    "RMSNorm": (lambda: nn.RMSNorm(4), x1),
    "Softmax": (lambda: nn.Softmax(dim=1), x1),
    "Softplus": (nn.Softplus, x1),
    "ZeroPad2d": (lambda: nn.ZeroPad2d(1), x3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_kind_of_layer_is_followed(name: str) -> None:
    make, shape = LAYERS[name]

    def program(wrap: Any) -> Any:
        layer = make()
        filled = rng(3)
        for p in layer.parameters():
            p.data = filled.normal(size=p.shape).astype(p.dtype)

        def step(x: Any) -> Any:
            layer.zero_grad()
            t = autodiff.tensor(x, requires_grad=True)
            (layer(t) ** 2).sum().backward()
            return t.grad, [p.grad for p in layer.parameters()]

        step = wrap(step)
        return [bits(step(rng(i).normal(size=shape).astype(np.float32))) for i in range(CALLS)], bits(
            layer.state_dict()
        )

    (step,) = both(program)
    assert step.replays >= CALLS - 2, step.reason


# --- steps and edits in any order -----------------------------------------------------------------------------------


class Steps(RuleBasedStateMachine):
    """Two worlds, one eager and one compiled, to which the same things are done in any order."""

    @initialize(
        model=st.sampled_from(("mlp", "batchnorm", "dropout", "conv")), optimiser=st.sampled_from(("sgd", "adam"))
    )
    def begin(self, model: str, optimiser: str) -> None:
        self.worlds = [World(model, optimiser), World(model, optimiser)]
        self.steps = [self._step(w) for w in self.worlds]
        self.steps[1] = autodiff.compile(self.steps[1])
        self.call = 0

    def _step(self, w: World) -> Any:
        def step(x: Any, y: Any, way: str) -> Any:
            if way != "accumulate":
                w.optimizer.zero_grad()
            out = w.model(x)
            loss = w.loss(out, y)
            if way == "read" and loss.item() > 1:
                loss = loss * 0.5
            if way == "evaluate":
                return out
            loss.backward()
            if way == "raise":
                raise ValueError("stop")
            if way == "clip":
                optim.clip_grad_norm_(w.model.parameters(), 0.1)
            w.optimizer.step()
            return loss.detach() if way == "detach" else loss

        return step

    @rule(
        way=st.sampled_from(("detach", "return", "accumulate", "read", "evaluate", "raise", "clip")),
        size=st.sampled_from((4, 3)),
    )
    def step(self, way: str, size: int) -> None:
        self.call += 1
        for w, step in zip(self.worlds, self.steps, strict=True):
            x, y = w.data(self.call)
            try:
                w.see(step(x[:size], y[:size], way))
            except ValueError as error:
                w.see(str(error))

    @rule(name=st.sampled_from([name for name, (step_of, before) in TWISTS.items() if before is not None]))
    def edit(self, name: str) -> None:
        if name in ("state_loaded_back", "hook_added_and_removed", "group_added", "dtype_exchanged"):
            return
        for w in self.worlds:
            TWISTS[name][1](w, self.call)

    @invariant()
    def equal(self) -> None:
        if hasattr(self, "worlds"):
            eager, compiled = self.worlds
            assert eager.seen == compiled.seen
            assert eager.left() == compiled.left()


Steps.TestCase.settings = settings(
    max_examples=25, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSteps = Steps.TestCase
