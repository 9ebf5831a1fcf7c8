"""Transforms of functions against PyTorch's ``torch.func`` and compiled JAX: both modes, nested, and over a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.harness import Candidate, Contest
from benchmarks.targets import JITTED

__all__ = ["contests"]

_BONES, _CHAINS = 20, 5


def _hand(xp: Any, points: Any, weights: Any) -> Callable[[Any], Any]:
    """Hand tracking in small: 26 numbers (a rotation, a translation, 20 angles down five chains of four bones) move 100
    points, each a weighted mean over bones; 300 residuals.
    """

    def turn(angle: Any) -> Any:
        c, s, o = xp.cos(angle), xp.sin(angle), angle * 0
        rows = [xp.stack([c, -s, o]), xp.stack([s, c, o]), xp.stack([o, o, o + 1])]
        return xp.stack(rows)

    def residuals(theta: Any) -> Any:
        root = turn(theta[0]) @ turn(theta[1]).T @ turn(theta[2])
        frames = []
        for chain in range(_CHAINS):
            frame = root
            for joint in range(_BONES // _CHAINS):
                frame = frame @ turn(theta[6 + chain * (_BONES // _CHAINS) + joint])
                frames.append(frame)
        moved = xp.einsum("bij,pj->pbi", xp.stack(frames), points)
        return (xp.einsum("pb,pbi->pi", weights, moved) + theta[3:6]).reshape(-1)

    return residuals


def _energy(xp: Any, w: Any) -> Callable[[Any], Any]:
    return lambda x: xp.sum(xp.tanh(w @ x) ** 2)


def _contest(
    case: str, reference: Callable[[], Any], ours: Callable[..., Any], args: Any, torch_run: Any, jax_run: Any
) -> Contest:
    """Everybody; ``ours(*args)`` eagerly and jitted."""
    import autodiff as ad

    jitted = ad.jit(ours)

    def candidate(name: str, function: Any) -> Candidate:
        run = lambda: [np.asarray(function())]
        return Candidate(name, run, run)

    candidates = [
        candidate("by hand or in a loop", reference),
        candidate("autodiff", lambda: ours(*args)),
        candidate(JITTED, lambda: jitted(*args)),
    ]
    made = Contest("transforms", case, candidates, reference="by hand or in a loop", tolerance=1e-6)
    rivals.join(
        made,
        ("PyTorch (torch.func)", lambda: candidate("PyTorch (torch.func)", torch_run())),
        ("JAX jit", lambda: candidate("JAX jit", jax_run())),
    )
    return made


def contests(quick: bool = False) -> Iterator[Contest]:
    """Hand tracking's Jacobian, a Hessian times a vector, a third derivative, per-sample gradients, in float64."""
    import autodiff as ad

    rng = np.random.default_rng(0)
    points, weights = rng.normal(size=(100, 3)), rng.random((100, _BONES))
    theta = rng.normal(size=26)
    f = _hand(np, points, weights)

    def columns() -> Any:
        return np.stack([ad.jvp(f, (theta,), (e,))[1] for e in np.eye(26)], axis=1)

    def torch_hand() -> Any:
        t = rivals.torch()
        run = t.func.jacfwd(_hand(t, t.from_numpy(points), t.from_numpy(weights)))
        return lambda: run(t.from_numpy(theta))

    def jax_of(make: Callable[[Any], Any]) -> Callable[[], Any]:
        def build() -> Any:
            j = rivals.jax()
            with j.enable_x64(True):
                run = make(j)

            def call() -> Any:
                with j.enable_x64(True):
                    return j.block_until_ready(run())

            return call

        return build

    def jax_hand(j: Any) -> Any:
        run = j.jit(j.jacfwd(_hand(j.numpy, j.numpy.asarray(points), j.numpy.asarray(weights))))
        return lambda: run(j.numpy.asarray(theta))

    yield _contest("hand tracking, Jacobian 300 x 26", columns, ad.jacfwd(f), (theta,), torch_hand, jax_of(jax_hand))

    n = 8 if quick else 200
    w, x, v = rng.normal(size=(n, n)) / np.sqrt(n), rng.normal(size=n), rng.normal(size=n)

    def product() -> Any:
        h = np.tanh(w @ x)
        slope = 1 - h * h
        return w.T @ ((2 * slope * (slope - 2 * h * h)) * (w @ v))

    def torch_product() -> Any:
        t = rivals.torch()
        gradient, tx, tv = t.func.grad(_energy(t, t.from_numpy(w))), t.from_numpy(x), t.from_numpy(v)
        return lambda: t.func.jvp(gradient, (tx,), (tv,))[1]

    def jax_product(j: Any) -> Any:
        gradient = j.grad(_energy(j.numpy, j.numpy.asarray(w)))
        run = j.jit(lambda x, v: j.jvp(gradient, (x,), (v,))[1])
        return lambda: run(j.numpy.asarray(x), j.numpy.asarray(v))

    yield _contest(
        f"Hessian times vector of sum(tanh(Wx)^2), {n} x {n}", product,
        lambda x, v: ad.hvp(_energy(np, w), (x,), (v,))[0], (x, v), torch_product, jax_of(jax_product),
    )  # fmt: skip

    third = lambda grad, xp: grad(grad(grad(lambda t: xp.sin(t) * t**3)))

    def by_hand() -> Any:
        a = 0.7
        return 18 * a * np.cos(a) - 9 * a**2 * np.sin(a) - a**3 * np.cos(a) + 6 * np.sin(a)

    def torch_third() -> Any:
        t = rivals.torch()
        run, a = third(t.func.grad, t), t.tensor(0.7, dtype=t.float64)
        return lambda: run(a)

    def jax_third(j: Any) -> Any:
        run = j.jit(third(j.grad, j.numpy))
        return lambda: run(0.7)

    yield _contest(
        "third derivative of a scalar, grad of grad of grad", by_hand,
        third(ad.grad, np), (0.7,), torch_third, jax_of(jax_third),
    )  # fmt: skip

    rows, p = rng.normal(size=(16 if quick else 256, 20)), rng.normal(size=20)
    loss = lambda xp: lambda p, row: xp.tanh(row @ p) ** 2

    def torch_rows() -> Any:
        t = rivals.torch()
        run = t.func.vmap(t.func.grad(loss(t)), (None, 0))
        tp, tr = t.from_numpy(p), t.from_numpy(rows)
        return lambda: run(tp, tr)

    def jax_rows(j: Any) -> Any:
        run = j.jit(j.vmap(j.grad(loss(j.numpy)), (None, 0)))
        return lambda: run(j.numpy.asarray(p), j.numpy.asarray(rows))

    yield _contest(
        f"per-sample gradients, {len(rows)} examples", lambda: np.stack([ad.grad(loss(np))(p, row) for row in rows]),
        ad.vmap(ad.grad(loss(np)), (None, 0)), (p, rows), torch_rows, jax_of(jax_rows),
    )  # fmt: skip
