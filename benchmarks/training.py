"""A whole training step: forward, backward, Adam.

CS231n's six-layer network on 3,072 inputs (CIFAR-10's size), batch 100, float32, without normalisation, with batch
norm, with layer norm, with batch norm and dropout; and small nets, where the engine's own cost shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.harness import Candidate, Contest
from benchmarks.reference import (
    ADAM_EPS,
    BETA1,
    BETA2,
    CS231N,
    LARGE,
    RATE,
    SMALL,
    CarefulNet,
    Net,
    Problem,
    TextbookNet,
)
from benchmarks.targets import COMPILED, JITTED

__all__ = ["contests", "library", "model_of", "steps_by_name"]


def model_of(problem: Problem, masks: Any = None) -> tuple[Any, list[Any], list[Any]]:
    """The library's network with the problem's parameters; its affine and its normalising layers, in order."""
    import nn
    from autodiff.fused.dropout import dropout

    net = problem.net

    class Fixed(nn.Module):
        """Dropout with a mask that is given."""

        def __init__(self, mask: Any) -> None:
            super().__init__()
            self.mask = mask

        def forward(self, x: Any) -> Any:
            return dropout(x, self.mask, p=1 - net.keep)

    layers: list[Any] = []
    affine: list[Any] = []
    norms: list[Any] = []
    for i, layer in enumerate(problem.layers):
        affine.append(nn.Linear(*layer["W"].shape))
        affine[-1].weight.data = layer["W"].T.copy()
        affine[-1].bias.data = layer["b"].copy()
        layers.append(affine[-1])
        if i == len(net.hidden):
            break
        if net.normalization:
            make = nn.BatchNorm1d if net.normalization == "batchnorm" else nn.LayerNorm
            norms.append(make(net.hidden[i]))
            norms[-1].weight.data = layer["gamma"].copy()
            norms[-1].bias.data = layer["beta"].copy()
            layers.append(norms[-1])
        layers.append(nn.ReLU())
        if net.keep < 1:
            layers.append(nn.Dropout(1 - net.keep) if masks is None else Fixed(masks[i]))
    return nn.Sequential(*layers), affine, norms


def formed(form: str, function: Any, *state: Any) -> Any:
    """A function as it is, under ``autodiff.compile``, or under ``autodiff.jit`` with what it changes."""
    import autodiff

    if form == COMPILED:
        return autodiff.compile(function, fallback=False)
    return autodiff.jit(function, state=state) if form == JITTED else function


def training_step(problem: Problem, form: str) -> tuple[Any, Any]:
    """The step as a user writes it, a function of a batch, in one of its forms; and its optimiser."""
    import optim
    from nn import functional as F

    model, _, _ = model_of(problem)
    optimizer = optim.Adam(model.parameters(), lr=RATE, betas=(BETA1, BETA2), eps=ADAM_EPS)
    generators = []
    for part in model.modules():
        if hasattr(part, "generator"):  # jit asks for every generator by name
            part.generator = np.random.default_rng(len(generators))
            generators.append(part.generator)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return formed(form, step, model, optimizer, *generators), optimizer


def library(problem: Problem, form: str = "autodiff") -> Candidate:
    """A training step of this library; one under ``autodiff.compile`` must replay."""
    from nn import functional as F

    def result() -> list[Any]:
        model, affine, norms = model_of(problem, problem.masks)

        def gradients(x: Any, y: Any) -> Any:
            model.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        again = formed(form, gradients, model)
        again(problem.x, problem.y)  # recorded; what follows is a replay
        loss = again(problem.x, problem.y)
        found = {
            "W": lambda i: affine[i].weight.grad.T,
            "b": lambda i: affine[i].bias.grad,
            "gamma": lambda i: norms[i].weight.grad,
            "beta": lambda i: norms[i].bias.grad,
        }
        return [loss.data, *(found[name](i) for i, name in problem.entries())]

    run, _ = training_step(problem, form)
    return Candidate(form, lambda: run(problem.x, problem.y), result)


def steps_by_name() -> dict[str, Callable[[Problem], Callable[[], object]]]:
    """Whoever takes a training step, by name."""
    makers: dict[str, Callable[[Problem], Callable[[], object]]] = {
        "textbook NumPy": lambda problem: TextbookNet(problem).step,
        "careful NumPy": lambda problem: CarefulNet(problem).step,
        "autodiff": lambda problem: library(problem).run,
        COMPILED: lambda problem: library(problem, COMPILED).run,
        JITTED: lambda problem: library(problem, JITTED).run,
    }
    for name, make in rivals.TRAINERS:
        if name != "PyTorch, fused Adam":
            makers[name] = lambda problem, make=make: make(problem).run  # type: ignore[misc]
    return makers


def contest(net: Net, *, compiled: bool) -> Contest:
    """Everybody on one network."""
    problem = Problem(net)
    textbook, careful = TextbookNet(problem), CarefulNet(problem)
    made = Contest(
        "training",
        str(net),
        [
            Candidate("textbook NumPy", textbook.step, textbook.result),
            Candidate("careful NumPy", careful.step, careful.result),
            library(problem),
            library(problem, COMPILED),
            library(problem, JITTED),
        ],
        reference="textbook NumPy",
        baseline="careful NumPy",
        tolerance=1e-3,
    )
    makers = [(name, partial(make, problem)) for name, make in rivals.TRAINERS]
    if compiled:
        makers.append(("torch.compile", partial(rivals.torch_training, problem, compiled=True)))
    return rivals.join(made, *makers)


def contests(quick: bool = False) -> Iterator[Contest]:
    """The four networks of CS231n and two small nets; quick: small nets of every kind, torch.compile left out."""
    if quick:
        for net in CS231N:
            yield contest(Net(24, (16, 16), 10, 20, net.normalization, net.keep), compiled=False)
        return
    for net in (*CS231N, *SMALL):
        yield contest(net, compiled=True)
    yield contest(LARGE, compiled=False)
