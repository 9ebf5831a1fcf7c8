"""Find where heat was put in, from what a few thermometers saw later: a simulation differentiated through its time
steps.

A square plate is heated by an unknown initial temperature field. It diffuses and drifts for some hundred explicit time
steps (second-order central differences in space, edges held at zero); 24 sensors record the end state and halfway. The
initial field is recovered by gradient descent through the whole simulation. Every step leaves some arrays for the
backward pass; with ``autodiff.checkpoint`` around blocks of steps they are computed again instead. The script measures
the memory of both, and checks that they give the same gradient and that it agrees with central differences.

    python examples/heat_source.py [--steps 400] [--size 40] [--block 20] [--out heat.png]
"""

from __future__ import annotations

import argparse
import tracemalloc

import numpy as np

import autodiff as ad
from autodiff.optimize import minimize

DIFFUSION, DRIFT = 0.15, (0.08, 0.04)


def step(u):
    """One time step of u_t = D lap(u) - v . grad(u) on the (n, n) interior."""
    p = np.pad(u, 1)
    up, down, left, right = p[:-2, 1:-1], p[2:, 1:-1], p[1:-1, :-2], p[1:-1, 2:]
    laplacian = up + down + left + right - 4.0 * u
    return u + DIFFUSION * laplacian - DRIFT[0] * 0.5 * (down - up) - DRIFT[1] * 0.5 * (right - left)


def advance(u, steps: int):
    for _ in range(steps):
        u = step(u)
    return u


def simulate(u, steps: int, block: int | None):
    """Fields halfway and at the end; in checkpointed blocks of ``block`` steps if given."""
    half = []
    for _ in range(2):
        done = 0
        while done < steps // 2:
            size = min(block or steps, steps // 2 - done)
            run = lambda v, size=size: advance(v, size)
            u = ad.checkpoint(run)(u) if block else run(u)
            done += size
        half.append(u)
    return half


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--steps", type=int, default=400, help="time steps, even, at least 4")
    parser.add_argument("--size", type=int, default=40, help="points along a side, at least 10")
    parser.add_argument("--block", type=int, default=20, help="steps per checkpoint, at least 1")
    parser.add_argument("--out", help="write a picture of truth, data and estimate here (needs matplotlib)")
    options = parser.parse_args()
    if options.steps < 4 or options.steps % 2 or options.size < 10 or options.block < 1:
        parser.error("need an even --steps of at least 4, --size of at least 10, --block of at least 1")

    n = options.size
    rows, columns = np.mgrid[0:n, 0:n] / n
    spot = lambda row, column, width: np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / width)
    truth = spot(0.3, 0.35, 0.008) + 0.6 * spot(0.45, 0.6, 0.005)
    places = np.random.default_rng(0).integers(2, n - 2, size=(2, 24))
    seen = [field[tuple(places)] for field in simulate(truth, options.steps, None)]

    def misfit(u, block=options.block):
        fields = simulate(u, options.steps, block)
        errors = sum(np.sum((f[tuple(places)] - s) ** 2) / np.sum(s * s) for f, s in zip(fields, seen, strict=True))
        return errors + 1e-5 * np.mean(u * u)

    guess = np.full((n, n), 0.1)
    results = {}
    for name, block in (("plain", None), ("checkpointed", options.block)):
        tracemalloc.start()
        results[name] = ad.grad(misfit)(guess, block)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"{name:>13} gradient through {options.steps} steps: peak memory {peak / 2**20:7.2f} MiB")
        results[name, "peak"] = peak
    gap = np.abs(results["plain"] - results["checkpointed"]).max()
    print(f"largest difference between the two gradients: {gap:.1e}")
    assert gap <= 1e-12 * np.abs(results["plain"]).max()
    assert results["checkpointed", "peak"] < results["plain", "peak"] / 2

    direction = np.random.default_rng(1).normal(size=(n, n))
    numeric = (float(misfit(guess + 1e-5 * direction)) - float(misfit(guess - 1e-5 * direction))) / 2e-5
    analytic = float(np.sum(results["plain"] * direction))
    print(f"directional derivative: {analytic:.8f}, by central differences {numeric:.8f}")
    assert abs(analytic - numeric) < 1e-6 * abs(numeric)

    before = float(misfit(guess))
    found = minimize(misfit, guess, (None,), bounds=(0.0, None), options={"maxiter": 200})
    correlation = np.corrcoef(found.x.ravel(), truth.ravel())[0, 1]
    print(
        f"misfit {before:.4f} -> {found.fun:.2e} in {found.nit} iterations; correlation with the truth"
        f" {correlation:.3f}"
    )
    assert found.fun < 1e-2 * before

    if options.out:
        from autodiff.extras import require

        plt = require("matplotlib.pyplot")
        figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
        end = simulate(truth, options.steps, None)[1]
        pictures = {"truth at the start": truth, "state at the end, sensors": end, "estimate": found.x}
        for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
            ax.imshow(picture, cmap="magma")
            ax.set(title=title, xticks=[], yticks=[])
        axes[1].plot(places[1], places[0], "c+", markersize=5)
        figure.savefig(options.out, dpi=120)
        print(f"picture: {options.out}")


if __name__ == "__main__":
    main()
