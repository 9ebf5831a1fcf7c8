"""Jacobians and Hessians whole, against autograd (one pass per row) and JAX (batched and compiled)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.harness import Candidate, Contest
from benchmarks.targets import JITTED

__all__ = ["contests"]


def _layer(np_: Any, w: Any) -> Callable[[Any], Any]:
    """``tanh(w @ x)``: R^n to R^m."""
    return lambda x: np_.tanh(np_.dot(w, x))


def _energy(np_: Any, w: Any) -> Callable[[Any], Any]:
    """``sum(tanh(w @ x)^2)``: R^n to R."""

    def energy(x: Any) -> Any:
        h = np_.tanh(np_.dot(w, x))
        return np_.sum(h * h)

    return energy


def _jacobian_by_hand(w: Any, x: Any) -> Any:
    h = np.tanh(w @ x)
    return (1 - h * h)[:, None] * w


def _hessian_by_hand(w: Any, x: Any) -> Any:
    h = np.tanh(w @ x)
    slope = 1 - h * h
    return (w.T * (2 * slope * (slope - 2 * h * h))) @ w


def _contest(case: str, what: str, program: Callable[..., Any], by_hand: Callable[..., Any], w: Any, x: Any) -> Contest:
    def hand() -> list[Any]:
        return [by_hand(w, x)]

    def ours(jitted: bool) -> Candidate:
        import autodiff as ad

        transformed = getattr(ad, what)(program(np, w))
        transformed = ad.jit(transformed) if jitted else transformed

        def run() -> list[Any]:
            return [transformed(x)]

        return Candidate(JITTED if jitted else "autodiff", run, run)

    def with_autograd() -> Candidate:
        ag = rivals.autograd()
        transformed = getattr(ag, what)(program(rivals.load("autograd.numpy"), w))

        def run() -> list[Any]:
            return [transformed(x)]

        return Candidate("autograd", run, run)

    def with_jax() -> Candidate:
        j = rivals.jax()
        jw, jx = j.numpy.asarray(w), j.numpy.asarray(x)
        transformed = j.jit(getattr(j, what)(program(j.numpy, jw)))

        def run() -> list[Any]:
            return [j.block_until_ready(transformed(jx))]

        return Candidate("JAX jit", run, run)

    def with_torch() -> Candidate:
        t = rivals.torch()
        tw, tx = t.from_numpy(w), t.from_numpy(x)
        transform = {"jacobian": t.func.jacrev, "hessian": t.func.hessian}[what]
        transformed = transform(
            (lambda x: t.tanh(tw @ x)) if what == "jacobian" else (lambda x: (t.tanh(tw @ x) ** 2).sum())
        )

        def run() -> list[Any]:
            return [transformed(tx)]

        return Candidate("PyTorch (torch.func)", run, run)

    candidates = [Candidate("NumPy by hand", hand, hand), ours(False), ours(True)]
    made = Contest("jacobians", case, candidates, reference="NumPy by hand", tolerance=1e-3)
    rivals.join(made, ("autograd", with_autograd), ("JAX jit", with_jax), ("PyTorch (torch.func)", with_torch))
    return made


def contests(quick: bool = False) -> Iterator[Contest]:
    """Jacobian of a layer, Hessian of an energy, float32; quick: of a few numbers."""
    rng = np.random.default_rng(0)
    for n in (3,) if quick else (16, 64, 256):
        w = (rng.standard_normal((n, n)) / np.sqrt(n)).astype(np.float32)
        x = rng.standard_normal(n).astype(np.float32)
        yield _contest(f"Jacobian of tanh(Wx), {n}x{n}", "jacobian", _layer, _jacobian_by_hand, w, x)
        yield _contest(f"Hessian of sum(tanh(Wx)^2), {n}x{n}", "hessian", _energy, _hessian_by_hand, w, x)
