"""Training steps of whole programs, written once for this library and for PyTorch, whose names are the same.

Both begin with the same parameters. Before anything is timed, the losses of three steps and the parameters after them
are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.harness import Candidate, Contest
from benchmarks.targets import COMPILED

__all__ = ["PROGRAMS", "contests", "ours", "theirs"]

#: A program: given a library and a generator of its data, the model and a step that returns the loss.
Program = Callable[[Any, np.random.Generator], tuple[Any, Callable[[], Any]]]


def ours() -> SimpleNamespace:
    """This library."""
    import autodiff
    import nn
    import optim
    from nn import functional

    def slope(out: Any, x: Any) -> Any:
        return autodiff.gradients(out, x, create_graph=True)

    return SimpleNamespace(
        nn=nn, F=functional, optim=optim, data=lambda a: a, leaf=lambda a: autodiff.tensor(a, requires_grad=True),
        slope=slope, sqrt=np.sqrt, array=lambda p: p.data, ours=True,
    )  # fmt: skip


def theirs() -> SimpleNamespace:
    """PyTorch."""
    t = rivals.torch()

    def slope(out: Any, x: Any) -> Any:
        return t.autograd.grad(out, x, create_graph=True)[0]

    return SimpleNamespace(
        nn=t.nn, F=t.nn.functional, optim=t.optim, data=t.from_numpy, leaf=lambda a: t.from_numpy(a).requires_grad_(),
        slope=slope, sqrt=t.sqrt, array=lambda p: p.detach().numpy(), ours=False,
    )  # fmt: skip


def _stepper(optimizer: Any, loss_of: Callable[[], Any]) -> Callable[[], Any]:
    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss

    return step


def transformer(width: int, heads: int, batch: int, length: int) -> Program:
    """One block of an encoder, pre-norm, with AdamW."""

    def program(lib: Any, rng: np.random.Generator) -> Any:
        model = lib.nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        x, y = (lib.data(rng.standard_normal((batch, length, width), np.float32)) for _ in range(2))
        optimizer = lib.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-4)  # the keys' bias has rounding for gradient
        return model, _stepper(optimizer, lambda: lib.F.mse_loss(model(x), y))

    return program


def lenet(batch: int) -> Program:
    """LeNet's five layers on images of 28x28, with Adam."""

    def program(lib: Any, rng: np.random.Generator) -> Any:
        nn = lib.nn
        model = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip
        x, y = lib.data(rng.standard_normal((batch, 1, 28, 28), np.float32)), lib.data(rng.integers(0, 10, batch))
        optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
        return model, _stepper(optimizer, lambda: lib.F.cross_entropy(model(x), y))

    return program


def _net(lib: Any, *widths: int) -> Any:
    layers: list[Any] = []
    for before, after in pairwise(widths):
        layers += [lib.nn.Linear(before, after), lib.nn.Tanh()]
    return lib.nn.Sequential(*layers[:-1])


def penalty(batch: int, width: int) -> Program:
    """A critic whose slope is held at one (Gulrajani et al., Improved training of Wasserstein GANs, 2017)."""

    def program(lib: Any, rng: np.random.Generator) -> Any:
        model = _net(lib, width, 2 * width, 2 * width, 1)
        data = rng.standard_normal((batch, width), np.float32)

        def loss() -> Any:
            x = lib.leaf(data)
            out = model(x).sum()
            norms = lib.sqrt((lib.slope(out, x) ** 2).sum(1))
            return out / batch + 10.0 * ((norms - 1.0) ** 2).mean()

        return model, _stepper(lib.optim.Adam(model.parameters(), lr=1e-3), loss)

    return program


def equation(points: int, width: int) -> Program:
    """A network that solves ``u'' = -u``: a second derivative in the loss, differentiated once more."""

    def program(lib: Any, rng: np.random.Generator) -> Any:
        model = _net(lib, 1, width, width, 1)
        places = np.linspace(0, 3, points, dtype=np.float32)[:, None]

        def loss() -> Any:
            x = lib.leaf(places)
            u = model(x)
            bent = lib.slope(lib.slope(u.sum(), x).sum(), x)
            return ((bent + u) ** 2).mean() + (u[0, 0] - 1.0) ** 2

        return model, _stepper(lib.optim.Adam(model.parameters(), lr=1e-3), loss)

    return program


def table(rows: int, width: int, count: int) -> Program:
    """A large table, of which a batch reads a few rows: gradients by rows, with SparseAdam."""

    def program(lib: Any, rng: np.random.Generator) -> Any:
        start = np.zeros((rows, width), np.float32)
        model = lib.nn.Embedding.from_pretrained(lib.data(start), freeze=False, sparse=True)
        batches = [lib.data(rng.integers(0, rows, count)) for _ in range(16)]
        target = lib.data(rng.standard_normal((count, width), np.float32))
        optimizer, turn = lib.optim.SparseAdam(list(model.parameters()), lr=1e-3), iter(range(1 << 60))
        return model, _stepper(optimizer, lambda: lib.F.mse_loss(model(batches[next(turn) % 16]), target))

    return program


#: Case, program, and the ratio to PyTorch that is aimed at; quick: the same on a few numbers.
PROGRAMS: dict[str, tuple[Program, Program, float]] = {
    "transformer block 16x64x128, 4 heads, AdamW": (transformer(128, 4, 16, 64), transformer(8, 2, 2, 3), 0.8),
    "LeNet 64x28x28, Adam": (lenet(64), lenet(2), 0.8),
    "slope penalty 64x64": (penalty(64, 64), penalty(3, 4), 0.9),
    "u'' in a loss, 256 points, width 32": (equation(256, 32), equation(5, 4), 0.9),
    "embedding 4096 of 1,000,000x64, SparseAdam": (table(1_000_000, 64, 4096), table(20, 3, 8), 1.0),
}


def _candidate(name: str, lib: Any, program: Program, start: dict[str, Any], compiled: bool = False) -> Candidate:
    def made() -> tuple[Any, Callable[[], Any]]:
        model, step = program(lib, np.random.default_rng(1))
        model.load_state_dict({key: lib.data(value.copy()) for key, value in start.items()})
        if compiled:
            import autodiff

            step = autodiff.compile(step)
        return model, step

    def result() -> list[Any]:
        model, step = made()
        losses = [float(lib.array(step())) for _ in range(3)]
        return [np.array(losses), *(lib.array(p) for p in model.parameters())]

    return Candidate(name, made()[1], result)


def contest(case: str, program: Program, target: float) -> Contest:
    """One program."""
    from benchmarks.harness import Target

    lib = ours()
    start = {key: np.array(value) for key, value in program(lib, np.random.default_rng(1))[0].state_dict().items()}
    eager = _candidate("autodiff", lib, program, start)
    made = Contest("programs", case, [eager], reference="autodiff", tolerance=1e-3, targets=[Target("PyTorch", target)])
    if "embedding" not in case:  # whose way back is not prepared
        made.candidates.append(_candidate(COMPILED, lib, program, start, compiled=True))
    return rivals.join(made, ("PyTorch", lambda: _candidate("PyTorch", theirs(), program, start)))


def contests(quick: bool = False) -> Iterator[Contest]:
    """All programs."""
    for case, (full, small, target) in PROGRAMS.items():
        yield contest(case, small if quick else full, target)
