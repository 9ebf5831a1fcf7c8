"""Time per gradient of the programs in examples/science beside autograd, JAX and PyTorch: ``python -m
benchmarks.science``. Writes the table of docs/science.md.

Each library has the program's loss written once with its own NumPy (``xp``), in float64; JAX is compiled. Runs take
turns, and the least processor time of many counts. The stiff system, the sparse plate and the bundle are not here: none
of the three solves a stiff system or differentiates a sparse factorisation in its entries, and Gauss and Newton's step
asks for a sparse Jacobian.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compiled import put, table

HERE = Path(__file__).parents[1]
PAGE = HERE / "docs" / "science.md"
ROUNDS, CALLS = 15, 20


def _example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, HERE / "examples" / "science" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _normal(xp: Any, x: Any, mean: Any, scale: Any) -> Any:
    z = (x - mean) / scale
    return xp.sum(-0.5 * z * z - xp.log(scale + 0.0 * z))


def programs() -> dict[str, tuple[Callable[..., Any], dict[str, Any], Any]]:
    """name -> (loss(xp, point, **constants), constants, point)."""
    weibull, hierarchical, manifold = (_example(name) for name in ("weibull", "hierarchical", "manifold"))

    def likelihood(xp: Any, p: Any, weeks: Any, group: Any, relapsed: Any) -> Any:
        shape, linear = xp.exp(p[2]), p[0] + p[1] * group
        return -xp.sum(relapsed * (p[2] + (shape - 1) * xp.log(weeks) + linear) - weeks**shape * xp.exp(linear))

    def posterior(xp: Any, q: Any, effect: Any, error: Any, wide: Any, scatter: Any) -> Any:
        mean, effects = q[:, :1], q[:, 1:]
        far = _normal(xp, mean, 0.0, wide) + _normal(xp, effects, mean, scatter)
        return far + _normal(xp, effect, effects, error)

    def cost(xp: Any, x: Any, a: Any) -> Any:
        return -xp.trace(x.T @ a @ x)

    rng = np.random.default_rng(0)
    data = {"weeks": weibull.WEEKS, "group": weibull.PLACEBO_GROUP, "relapsed": weibull.RELAPSED}
    effects = {"effect": hierarchical.EFFECT, "error": hierarchical.ERROR}
    scales = {"wide": np.array(hierarchical.WIDE), "scatter": np.array(hierarchical.SCATTER)}
    return {
        "weibull: 42 patients": (likelihood, data, np.array([-3.0, 1.0, 0.0])),
        "hierarchical: 200 chains": (posterior, {**effects, **scales}, rng.normal(0, 10, (200, 9))),
        "manifold: 30 x 3": (cost, {"a": manifold.A}, rng.normal(size=(manifold.N, manifold.K))),
    }


def gradients(loss: Any, constants: dict[str, Any], point: Any) -> dict[str, Callable[[], Any]]:
    """The gradient at a point by every library that is there."""
    import autodiff as ad

    ours = ad.grad(lambda x: loss(np, x, **constants))
    jitted = ad.jit(ours)
    found: dict[str, Callable[[], Any]] = {"here": lambda: ours(point), "here, jit": lambda: jitted(point)}
    try:
        import autograd

        theirs = autograd.grad(lambda x: loss(autograd.numpy, x, **constants))
        found["autograd"] = lambda: theirs(point)
    except ImportError:
        pass
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        compiled = jax.jit(jax.grad(lambda x: loss(jax.numpy, x, **constants)))
        found["JAX"] = lambda: np.asarray(compiled(point))
    except ImportError:
        pass
    try:
        import torch

        torch.set_num_threads(1)
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in constants.items()}

        def torchs() -> Any:
            x = torch.tensor(point, requires_grad=True)
            return torch.autograd.grad(loss(torch, x, **tensors), x)[0].numpy()

        found["PyTorch"] = torchs
    except ImportError:
        pass
    return found


def measured() -> list[dict[str, str]]:
    """A row for every program: milliseconds a gradient of each library."""
    rows = []
    for name, (loss, constants, point) in programs().items():
        candidates = gradients(loss, constants, point)
        first = candidates["here"]()
        for act in candidates.values():
            np.testing.assert_allclose(act(), first, rtol=1e-8)
        least = dict.fromkeys(candidates, np.inf)
        for _ in range(ROUNDS):
            for key, act in candidates.items():
                begin = time.process_time()
                for _ in range(CALLS):
                    act()
                least[key] = min(least[key], (time.process_time() - begin) / CALLS)
        rows.append({"ms a gradient": name} | {key: f"{1e3 * seconds:.3f}" for key, seconds in least.items()})
    return rows


if __name__ == "__main__":
    text = table(measured())
    print(text)
    put(PAGE, "benchmarks.science", text)
