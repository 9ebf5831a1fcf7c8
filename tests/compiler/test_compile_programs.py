"""Small programs as practitioners write them, under ``autodiff.compile``: the bits of the plain program, and all of it
prepared.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
import nn
import optim
from nn import functional as F

CALLS = 6


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(seed: int, *shape: int) -> Any:
    return rng(seed).normal(size=shape).astype(np.float32)


def perceptron(*widths: int) -> nn.Module:
    layers: list[Any] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b, generator=rng(a * b)), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def adversarial_networks() -> Any:
    generator, critic = perceptron(2, 8, 2), perceptron(2, 8, 1)
    first, second = optim.Adam(critic.parameters(), lr=0.01), optim.Adam(generator.parameters(), lr=0.01)
    ones, zeros = np.ones((8, 1), np.float32), np.zeros((8, 1), np.float32)
    judged = F.binary_cross_entropy_with_logits

    def step(x: Any, z: Any) -> Any:
        first.zero_grad()
        real = judged(critic(x), ones) + judged(critic(generator(z).detach()), zeros)
        real.backward()
        first.step()
        second.zero_grad()
        fake = judged(critic(generator(z)), ones)
        fake.backward()
        second.step()
        return real.detach() + fake.detach()

    return step, lambda i: (normal(i, 8, 2), normal(i + 9, 8, 2)), [generator, critic]


def physics_informed() -> Any:
    model = perceptron(1, 12, 12, 1)
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        t = autodiff.tensor(x, requires_grad=True)
        u = model(t)
        slope = autodiff.gradients(u.sum(), t, create_graph=True)
        bend = autodiff.gradients(slope.sum(), t, create_graph=True)
        loss = ((bend + u) ** 2).mean() + (model(np.zeros((1, 1), np.float32)) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, lambda i: (normal(i, 16, 1),), [model]


class SmallGPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.places = nn.Embedding(11, 8), nn.Parameter(normal(1, 6, 8))
        self.blocks = nn.ModuleList([nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1) for _ in range(2)])
        self.head = nn.Linear(8, 11)
        for i, part in enumerate(self.modules()):
            if hasattr(part, "generator"):
                part.generator = rng(i)
        for i, p in enumerate(self.parameters()):
            p.data = normal(i, *p.shape) * np.float32(0.2)

    def forward(self, x: Any) -> Any:
        mask = np.triu(np.full((6, 6), -np.inf, np.float32), 1)
        h = (self.embedding(x) + self.places).swapaxes(0, 1)
        for block in self.blocks:
            h = block(h, src_mask=mask)
        return self.head(h.swapaxes(0, 1))


def language_model() -> Any:
    model = SmallGPT()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x)[:, :-1].reshape(-1, 11), x[:, 1:].reshape(-1))
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step, lambda i: (rng(i).integers(0, 11, (3, 6)),), [model]


class SmallUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        g = rng(0)
        self.first = nn.Conv2d(1, 4, 3, padding=1, generator=g)
        self.second = nn.Conv2d(4, 8, 3, padding=1, generator=g)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2, generator=g)
        self.last = nn.Conv2d(8, 1, 3, padding=1, generator=g)

    def forward(self, x: Any) -> Any:
        a = F.relu(self.first(x))
        b = F.relu(self.second(F.max_pool2d(a, 2)))
        return self.last(np.concatenate([self.up(b), a], axis=1))


def denoiser() -> Any:
    model = SmallUNet()
    optimizer = optim.Adam(model.parameters())

    def step(x: Any, noise: Any, level: float) -> Any:
        optimizer.zero_grad()
        loss = F.mse_loss(model(np.sqrt(1 - level) * x + np.sqrt(level) * noise), noise)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, lambda i: (normal(i, 2, 1, 8, 8), normal(i + 5, 2, 1, 8, 8), np.float32(0.1 * i)), [model]


def matrix_factorisation() -> Any:
    users, items = nn.Embedding(20, 4), nn.Embedding(30, 4)
    users.weight.data, items.weight.data = normal(1, 20, 4), normal(2, 30, 4)
    optimizer = optim.SGD([users.weight, items.weight], lr=0.1)

    def step(i: Any, j: Any, rating: Any) -> Any:
        optimizer.zero_grad()
        loss = ((np.sum(users(i) * items(j), axis=1) - rating) ** 2).mean()
        loss.backward()
        optimizer.step()
        return float(loss.data)

    return step, lambda k: (rng(k).integers(0, 20, 8), rng(k + 1).integers(0, 30, 8), normal(k, 8)), [users, items]


def sets_with_masks() -> Any:
    inner, outer = perceptron(3, 8, 8), perceptron(8, 8, 1)
    optimizer = optim.Adam([*inner.parameters(), *outer.parameters()])

    def step(x: Any, mask: Any, y: Any) -> Any:
        optimizer.zero_grad()
        e = inner(x) * mask[..., None]
        weights = F.softmax(np.where(mask[..., None] > 0, e, -1e9), dim=1)
        pooled = e.sum(axis=1) / mask.sum(1, keepdims=True) + (weights * e).sum(axis=1)
        loss = F.mse_loss(outer(pooled), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def data(i: int) -> Any:
        mask = np.maximum(rng(i).random((4, 5)) > 0.3, np.eye(4, 5) > 0).astype(np.float32)
        return normal(i, 4, 5, 3), mask, normal(i, 4, 1)

    return step, data, [inner, outer]


def classifier(model: Any, data: Any, optimizer: Any = None) -> Any:
    """The loop that most programs have."""
    for i, p in enumerate(model.parameters()):
        p.data = normal(i, *p.shape) * np.float32(0.3)
    optimizer = optimizer or optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        return loss.item() + 10 * int((logits.data.argmax(1) == y).sum())

    return step, data, [model]


def lenet() -> Any:
    features = [
        nn.Conv2d(1, 3, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(3, 4, 3),
        nn.Tanh(),
        nn.AvgPool2d(2),
    ]
    model = nn.Sequential(*features, nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 10))
    return classifier(model, lambda i: (normal(i, 4, 1, 12, 12), rng(i).integers(0, 10, 4)))


class Block(nn.Module):
    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(a, b, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(b)
        self.second, self.other = nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)
        self.short = nn.Sequential() if a == b else nn.Sequential(nn.Conv2d(a, b, 1, stride=stride, bias=False))

    def forward(self, x: Any) -> Any:
        h = F.relu(self.norm(self.first(x)))
        return F.relu(self.other(self.second(h)) + self.short(x))


def resnet_of_eight_layers() -> Any:
    stem = [nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
    model = nn.Sequential(
        *stem, Block(4, 4, 1), Block(4, 6, 2), Block(6, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )
    return classifier(model, lambda i: (normal(i, 4, 3, 8, 8), rng(i).integers(0, 10, 4)))


def segmentation() -> Any:
    model = SmallUNet()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    schedule = optim.CosineAnnealingLR(optimizer, 10)

    def step(x: Any, mask: Any) -> Any:
        optimizer.zero_grad()
        logits = model(x)
        p = F.sigmoid(logits)
        dice = 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)
        loss = F.binary_cross_entropy_with_logits(logits, mask) + dice
        loss.backward()
        optimizer.step()
        schedule.step()
        return {"loss": loss.item(), "lr": optimizer.param_groups[0]["lr"]}["loss"]

    def data(i: int) -> Any:
        return normal(i, 2, 1, 8, 8), (rng(i).random((2, 1, 8, 8)) < 0.4).astype(np.float32)

    return step, data, [model]


class CharacterModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(9, 5), nn.LSTM(5, 6), nn.Linear(6, 9)
        for i, p in enumerate(self.parameters()):
            p.data = normal(i, *p.shape) * np.float32(0.3)

    def forward(self, x: Any, state: Any) -> Any:
        out, state = self.lstm(self.embedding(x), state)
        return self.head(out), state


def recurrent_language_model() -> Any:
    model = CharacterModel()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    kept: list[Any] = [np.zeros((1, 3, 6), np.float32), np.zeros((1, 3, 6), np.float32)]

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        out, state = model(x[:-1], tuple(kept))
        kept[:] = [part.detach().numpy().copy() for part in state]  # carried to the next batch, cut from its graph
        loss = F.cross_entropy(out.reshape(-1, 9), x[1:].reshape(-1))
        loss.backward()
        norm = optim.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss.item() + float(norm)

    return step, lambda i: (rng(i).integers(0, 9, (7, 3)),), [model]


@dataclasses.dataclass
class Batch:
    numbers: Any
    kinds: Any
    labels: Any


def tabular() -> Any:
    tables = nn.ModuleList([nn.Embedding(4, 2), nn.Embedding(3, 2)])
    body = nn.Sequential(
        nn.Linear(9, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2, generator=rng(5)), nn.Linear(8, 1)
    )
    for i, p in enumerate([*tables.parameters(), *body.parameters()]):
        p.data = normal(i, *p.shape) * np.float32(0.4)
    optimizer = optim.AdamW([*tables.parameters(), *body.parameters()], lr=0.01, weight_decay=0.1)

    def step(batch: Batch) -> Any:
        optimizer.zero_grad()
        embedded = [table(batch.kinds[:, i]) for i, table in enumerate(tables)]
        x = np.concatenate([autodiff.Tensor(batch.numbers), *embedded], axis=1)
        loss = F.binary_cross_entropy_with_logits(body(x)[:, 0], batch.labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    def data(i: int) -> Any:
        kinds = np.stack([rng(i).integers(0, 4, 6), rng(i).integers(0, 3, 6)], axis=1)
        return (Batch(normal(i, 6, 5), kinds, (normal(i, 6) > 0).astype(np.float32)),)

    return step, data, [tables, body]


def variational_autoencoder() -> Any:
    encoder, decoder = perceptron(8, 6, 4), perceptron(2, 6, 8)
    optimizer = optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.01)
    noise = rng(3)

    def step(x: Any, weight: float) -> Any:
        optimizer.zero_grad()
        h = encoder(x)
        mean, logvar = h[:, :2], h[:, 2:]
        z = mean + np.exp(0.5 * logvar) * noise.normal(size=(5, 2)).astype(np.float32)
        reconstruction = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        divergence = -0.5 * (1 + logvar - mean**2 - np.exp(logvar)).sum()
        loss = reconstruction + weight * divergence  # annealed: another weight in each call
        loss.backward()
        optimizer.step()
        return reconstruction.item() + divergence.item()

    return step, lambda i: ((normal(i, 5, 8) > 0).astype(np.float32), 0.1 * i), [encoder, decoder]


def leapfrog() -> Any:
    force = autodiff.grad(lambda q: np.sum(np.sin(q)) - 0.5 * np.sum(q * q))

    def step(q: Any, p: Any) -> Any:
        for _ in range(3):
            p = p + 0.05 * force(q)
            q = q + 0.1 * p
            p = p + 0.05 * force(q)
        return q

    return step, lambda i: (rng(i).normal(size=4), rng(i + 1).normal(size=4)), []


PROGRAMS: dict[str, Callable[[], Any]] = {
    f.__name__: f
    for f in (
        adversarial_networks,
        physics_informed,
        language_model,
        denoiser,
        matrix_factorisation,
        sets_with_masks,
        leapfrog,
        lenet,
        resnet_of_eight_layers,
        segmentation,
        recurrent_language_model,
        tabular,
        variational_autoencoder,
    )
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_equal_and_all_of_it_is_prepared(name: str) -> None:
    found = []
    for compiled in (False, True):
        step, data, models = PROGRAMS[name]()
        run = autodiff.compile(step) if compiled else step
        results = [run(*data(i)) for i in range(CALLS)]
        left = [t.data.tobytes() for model in models for t in model.state_dict().values()]
        found.append(([np.asarray(getattr(r, "data", r)).tobytes() for r in results], left))
    assert found[0] == found[1]
    assert (run.recordings, run.replays, run.eager) == (1, CALLS - 1, 0)
    plan = run.plan
    left_alone = [(entry.op.name, entry.why) for entry in plan.entries if entry.code is None]
    assert not left_alone
    assert plan.passes
