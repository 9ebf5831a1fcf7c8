"""Scalars, micrograd's own ground: a chain and a neuron, forward and backward, garbage collector on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.harness import Candidate, Contest

__all__ = ["contests"]

#: Operations in the chain: micrograd sorts its graph by recursion, and a longer one breaks it.
LENGTH = 300


def _chain(h: Any, w: Any, b: Any) -> Any:
    for _ in range(LENGTH // 2):
        h = h * w + b
    return h


def _neuron(*values: Any) -> Any:
    half = len(values) // 2
    total = values[0] * values[half]
    for w, x in zip(values[1:half], values[half + 1 :], strict=True):
        total = total + w * x
    return total * total


def _chain_by_hand(h: float, w: float, b: float) -> list[float]:
    seen = []
    for _ in range(LENGTH // 2):
        seen.append(h)
        h = h * w + b
    g, gw, gb = 1.0, 0.0, 0.0
    for previous in reversed(seen):
        gb += g
        gw += g * previous
        g *= w
    return [h, g, gw, gb]


def _neuron_by_hand(*values: float) -> list[float]:
    half = len(values) // 2
    w, x = values[:half], values[half:]
    total = 0.0
    for a, b in zip(w, x, strict=True):
        total += a * b
    g = 2 * total
    return [total * total, *(g * v for v in x), *(g * v for v in w)]


def library(program: Callable[..., Any], values: list[float]) -> Candidate:
    """The program on 0-d Tensors."""
    import autodiff as ad

    leaves = [ad.Tensor(value, requires_grad=True) for value in values]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        out = program(*leaves)
        out.backward()
        return out

    def result() -> list[Any]:
        out = run()
        return [out.data, *(leaf.grad for leaf in leaves)]

    return Candidate("autodiff", run, result)


def _micrograd(program: Callable[..., Any], values: list[float]) -> Candidate:
    make = rivals.micrograd().Value
    leaves = [make(value) for value in values]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = 0
        out = program(*leaves)
        out.backward()
        return out

    def result() -> list[Any]:
        out = run()
        return [out.data, *(leaf.grad for leaf in leaves)]

    return Candidate("micrograd", run, result)


def _torch(program: Callable[..., Any], values: list[float]) -> Candidate:
    t = rivals.torch()
    leaves = [t.tensor(value, dtype=t.float64, requires_grad=True) for value in values]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        out = program(*leaves)
        out.backward()
        return out

    def result() -> list[Any]:
        out = run()
        return [out.item(), *(leaf.grad.item() for leaf in leaves)]

    return Candidate("PyTorch", run, result)


def contests(quick: bool = False) -> Iterator[Contest]:
    """The chain and the neuron; quick changes nothing but who calls."""
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-1, 1, 64).tolist()
    cases: list[tuple[str, Callable[..., Any], Callable[..., list[float]], list[float], int]] = [
        (f"h = h * w + b, {LENGTH} operations", _chain, _chain_by_hand, [0.5, 0.97, 0.1], LENGTH),
        ("square of a sum of 32 products", _neuron, _neuron_by_hand, inputs, 64),
    ]
    for name, program, by_hand, values, operations in cases:

        def hand(by_hand: Callable[..., list[float]] = by_hand, values: list[float] = values) -> list[float]:
            return by_hand(*values)

        made = Contest(
            "scalar_chain",
            name,
            [Candidate("Python floats by hand", hand, hand), library(program, values)],
            reference="Python floats by hand",
            tolerance=1e-12,
            per=operations,
        )
        rivals.join(
            made,
            ("micrograd", lambda program=program, values=values: _micrograd(program, values)),  # type: ignore[misc]
            ("PyTorch", lambda program=program, values=values: _torch(program, values)),  # type: ignore[misc]
        )
        if any(candidate.name == "micrograd" for candidate in made.candidates):
            made.baseline = "micrograd"
        yield made
