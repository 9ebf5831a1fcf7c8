"""A Gaussian process whose kernel is fitted by maximising the marginal likelihood with exact gradients.

Data: scikit-learn's diabetes set (442 patients; one-year progression against ten measurements). The kernel is a squared
exponential with a length scale per feature (automatic relevance determination) plus noise, all in logarithms. L-BFGS
gets its gradient through the Cholesky factorisation. The script checks itself: the gradient against central
differences, and the likelihood of a fixed kernel against scikit-learn's own.

    python examples/gaussian_process.py [--points 200] [--seed 0]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

import autodiff as ad
from autodiff.optimize import minimize


def kernel(params: dict, a: np.ndarray, b: np.ndarray):
    """Covariance between the rows of a (n, d) and b (m, d): (n, m)."""
    scale = np.exp(params["log_lengths"])
    x, y = a / scale, b / scale
    squared = np.sum(x * x, axis=1)[:, None] + np.sum(y * y, axis=1)[None, :] - 2.0 * (x @ y.T)
    return np.exp(params["log_signal"]) * np.exp(-0.5 * squared)


def negative_log_likelihood(params: dict, x: np.ndarray, y: np.ndarray):
    """-log N(y | 0, K + noise I), by a Cholesky factor (Rasmussen and Williams 2006, algorithm 2.1)."""
    n = len(y)
    factor = np.linalg.cholesky(kernel(params, x, x) + np.exp(params["log_noise"]) * np.eye(n))
    white = np.linalg.solve(factor, y)
    return 0.5 * np.sum(white * white) + np.sum(np.log(np.diagonal(factor))) + 0.5 * n * np.log(2 * np.pi)


def predict(params: dict, x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Posterior mean at the rows of new."""
    covariance = kernel(params, x, x) + np.exp(params["log_noise"]) * np.eye(len(y))
    return np.asarray(kernel(params, new, x) @ np.linalg.solve(covariance, y))


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--points", type=int, default=200, help="patients to fit on (at most 342; the last 100 are the test set)"
    )
    parser.add_argument("--seed", type=int, default=0, help="shuffles the patients")
    options = parser.parse_args()
    if not 10 <= options.points <= 342:
        parser.error("--points must be between 10 and 342")

    data: Any = load_diabetes()  # a Bunch, whose entries its annotations do not tell
    x, y = data.data, data.target
    order = np.random.default_rng(options.seed).permutation(len(y))
    x, y = x[order], y[order]
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    train_x, train_y, test_x, test_y = x[: options.points], y[: options.points], x[-100:], y[-100:]

    start = {"log_lengths": np.full(x.shape[1], 1.5), "log_signal": 0.0, "log_noise": -0.5}
    gradient = ad.grad(negative_log_likelihood)(start, train_x, train_y)
    step = np.zeros(x.shape[1])
    step[2] = 1e-5
    ends = [
        float(negative_log_likelihood({**start, "log_lengths": start["log_lengths"] + s}, train_x, train_y))
        for s in (step, -step)
    ]
    numeric = (ends[0] - ends[1]) / 2e-5
    print(f"gradient against central differences: {gradient['log_lengths'][2]:.8f} {numeric:.8f}")
    assert abs(gradient["log_lengths"][2] - numeric) < 1e-5 * (1 + abs(numeric))

    theirs = GaussianProcessRegressor(
        ConstantKernel(1.0) * RBF(np.exp(start["log_lengths"])) + WhiteKernel(np.exp(-0.5)),
        alpha=0.0,
        optimizer=None,  # pyright: ignore[reportArgumentType]
    ).fit(train_x, train_y)
    known = float(theirs.log_marginal_likelihood_value_)  # pyright: ignore[reportArgumentType]
    ours = -float(negative_log_likelihood(start, train_x, train_y))
    print(f"log marginal likelihood: ours {ours:.8f}, scikit-learn {known:.8f}")
    assert abs(ours - known) < 1e-6 * abs(ours)

    before = negative_log_likelihood(start, train_x, train_y)
    result = minimize(negative_log_likelihood, start, (train_x, train_y), method="L-BFGS-B", bounds=(-6.0, 8.0))
    rmse = np.sqrt(np.mean((predict(result.x, train_x, train_y, test_x) - test_y) ** 2))
    print(
        f"negative log likelihood {float(before):.3f} -> {result.fun:.3f} in {result.nit} iterations ({result.nfev}"
        " gradients)"
    )
    names = data.feature_names
    lengths = np.exp(result.x["log_lengths"])
    print("length scales (short = relevant):", ", ".join(f"{names[i]} {lengths[i]:.2g}" for i in np.argsort(lengths)))
    print(f"test error, in standard deviations of the target: {rmse:.3f} (predicting the mean: {np.std(test_y):.3f})")
    assert result.fun < float(before)
    assert rmse < 0.9 * np.std(test_y)


if __name__ == "__main__":
    main()
