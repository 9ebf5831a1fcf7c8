"""Choose one penalty per feature by the validation error: hyperparameters by implicit differentiation.

The inner problem fits a ridge regression with its own penalty on every weight; ``implicit.minimize`` makes the fit a
differentiable function of the penalties, whatever steps the optimiser took. The outer problem follows that gradient.
Ridge regression has a closed form, so the hypergradient is checked against it; and of the features the useless ones
must end with the large penalties.

    python examples/science/bilevel.py [--out bilevel.png]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import autodiff as ad
from autodiff import implicit
from autodiff.optimize import minimize


def main(argv: list[str] | None = None) -> np.ndarray:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", help="write a picture here (needs matplotlib)")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(3)
    weights = np.array([1.5, -1.0, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0])
    train, valid = rng.normal(size=(24, 8)), rng.normal(size=(4000, 8))
    y, z = train @ weights + 0.8 * rng.normal(size=24), valid @ weights + 0.8 * rng.normal(size=4000)

    def fit(log_penalty):
        loss = lambda w: np.sum((train @ w - y) ** 2) + np.sum(np.exp(log_penalty) * w * w)
        return implicit.minimize(loss, np.zeros(8), method="BFGS", tol=1e-9).x

    def closed(log_penalty):
        return np.linalg.solve(train.T @ train + np.diag(np.exp(log_penalty)), train.T @ y)

    def validation(log_penalty, solve=fit):
        return np.mean((valid @ solve(log_penalty) - z) ** 2)

    start = np.zeros(8)
    begin = time.perf_counter()
    gradient = ad.grad(validation)(start)
    print(f"{time.perf_counter() - begin:.3f} s a hypergradient, the inner problem included")
    exact = ad.grad(lambda p: validation(p, closed))(start)
    found = minimize(validation, start, bounds=(-8.0, 8.0))
    before, after = float(validation(start)), float(found.fun)
    print(f"validation error {before:.3f} -> {after:.3f}; log penalties {np.round(found.x, 1)}")
    if options.out:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.bar(np.arange(8), found.x, color=["tab:green" if w else "tab:gray" for w in weights])
        axes.set(xlabel="feature (green: of use)", ylabel="log penalty", title="penalties chosen by validation")
        figure.savefig(options.out, dpi=100)
    assert np.allclose(gradient, exact, rtol=1e-6), "the hypergradient is not that of the closed form"
    assert found.x[3:].min() > found.x[:3].max(), "a useless feature has a smaller penalty than one of use"
    assert after < before
    return found.x


if __name__ == "__main__":
    main()
