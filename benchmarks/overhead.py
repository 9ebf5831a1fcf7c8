"""What one elementwise operation costs, forward and backward, at 1 to 65,536 elements.

The chain is ``h = tanh(h * w + b)``, ten times over, with the gradients of all three inputs: thirty operations, times
are per operation. By hand that is three NumPy calls forward and seven backward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.harness import Candidate, Contest

__all__ = ["contests"]

REPEATS = 10
SIZES = (1, 256, 4096, 65536)


def by_hand(x: Any, w: Any, b: Any, seed: Any) -> tuple[Any, ...]:
    """Forward and backward as one writes them down."""
    held = []
    h = x
    for _ in range(REPEATS):
        previous = h
        h = np.tanh(h * w + b)
        held.append((previous, h))
    g, gw, gb = seed, np.zeros_like(w), np.zeros_like(b)
    for previous, out in reversed(held):
        g = g * (1 - out * out)
        gb += g
        gw += g * previous
        g = g * w
    return h, g, gw, gb


class ByHandInPlace:
    """The same with every buffer kept and every call in place."""

    def __init__(self, x: Any, w: Any, b: Any, seed: Any) -> None:
        self.inputs = x, w, b, seed
        self.held = [np.empty_like(x) for _ in range(REPEATS)]
        self.g, self.gw, self.gb, self.scratch = (np.empty_like(x) for _ in range(4))

    def __call__(self) -> tuple[Any, ...]:
        x, w, b, seed = self.inputs
        g, gw, gb, t = self.g, self.gw, self.gb, self.scratch
        multiply, add, tanh = np.multiply, np.add, np.tanh
        h = x
        for out in self.held:
            multiply(h, w, out)
            add(out, b, out)
            h = tanh(out, out)
        g[...] = seed
        gw.fill(0)
        gb.fill(0)
        for i in range(REPEATS - 1, -1, -1):
            out = self.held[i]
            multiply(out, out, t)
            np.subtract(1, t, t)
            multiply(g, t, g)
            add(gb, g, gb)
            multiply(g, self.held[i - 1] if i else x, t)
            add(gw, t, gw)
            multiply(g, w, g)
        return h, g, gw, gb


def library(arrays: tuple[Any, ...]) -> Candidate:
    """The chain on Tensors, with operators and one function."""
    import autodiff as ad

    x, w, b = (ad.Tensor(array, requires_grad=True) for array in arrays[:3])
    seed = arrays[3]
    tanh = ad.tanh

    def run() -> Any:
        x.grad = w.grad = b.grad = None
        h = x
        for _ in range(REPEATS):
            h = tanh(h * w + b)
        h.backward(seed)
        return h

    def result() -> list[Any]:
        h = run()
        return [h.data, x.grad, w.grad, b.grad]

    return Candidate("autodiff", run, result)


def _torch(arrays: tuple[Any, ...]) -> Candidate:
    t = rivals.torch()
    x, w, b = (t.from_numpy(array.copy()).requires_grad_() for array in arrays[:3])
    seed = t.from_numpy(arrays[3])

    def run() -> Any:
        x.grad = w.grad = b.grad = None
        h = x
        for _ in range(REPEATS):
            h = t.tanh(h * w + b)
        h.backward(seed)
        return h

    def result() -> list[Any]:
        h = run()
        return [h.detach().numpy(), x.grad.numpy(), w.grad.numpy(), b.grad.numpy()]

    return Candidate("PyTorch", run, result)


def _autograd(arrays: tuple[Any, ...]) -> Candidate:
    rivals.autograd()
    anp, core = rivals.load("autograd.numpy"), rivals.load("autograd.core")

    def chain(inputs: Any) -> Any:
        h, w, b = inputs
        for _ in range(REPEATS):
            h = anp.tanh(h * w + b)
        return h

    inputs, seed = tuple(arrays[:3]), arrays[3]

    def run() -> list[Any]:
        pull, h = core.make_vjp(chain, inputs)
        return [h, *pull(seed)]

    return Candidate("autograd", run, run)


def _mygrad(arrays: tuple[Any, ...]) -> Candidate:
    mg = rivals.mygrad()
    x, w, b = (mg.tensor(array) for array in arrays[:3])
    seed = arrays[3]

    def run() -> Any:
        h = x
        for _ in range(REPEATS):
            h = mg.tanh(h * w + b)
        h.backward(seed)
        return h

    def result() -> list[Any]:
        h = run()
        return [h.data, x.grad, w.grad, b.grad]

    return Candidate("MyGrad", run, result)


def contest(size: int) -> Contest:
    """Everybody at one size."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.uniform(-0.9, 0.9, size).astype(np.float32) for _ in range(3))
    seed = np.ones(size, np.float32)
    arrays = (x, w, b, seed)
    hand: Callable[[], Any] = lambda: by_hand(*arrays)
    in_place = ByHandInPlace(*arrays)
    made = Contest(
        "overhead",
        f"{size:,} element{'s' if size > 1 else ''}",
        [Candidate("NumPy by hand", hand, hand), Candidate("NumPy in place", in_place, in_place), library(arrays)],
        reference="NumPy by hand",
        tolerance=1e-5,
        per=3 * REPEATS,
    )
    return rivals.join(
        made,
        ("PyTorch", lambda: _torch(arrays)),
        ("autograd", lambda: _autograd(arrays)),
        ("MyGrad", lambda: _mygrad(arrays)),
    )


def contests(quick: bool = False) -> Iterator[Contest]:
    """One contest per size."""
    for size in SIZES[:2] if quick else SIZES:
        yield contest(size)
