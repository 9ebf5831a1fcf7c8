"""Multinomial logistic regression, fitted by Newton's method with exact Hessian products, equal to scikit-learn's
solution to 1e-6.

Data: scikit-learn's wine set (178 wines, 13 measurements, 3 cultivars). Both minimise the mean cross entropy plus
||W||^2 / (2 C n) to convergence; the minimum is unique (up to a constant added to all biases, which is taken out), so
the two must agree.

    python examples/logistic_regression.py [--c 1.0]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression

import autodiff as ad
from autodiff.optimize import minimize


def loss(params: dict, x: np.ndarray, y: np.ndarray, c: float):
    """Mean cross entropy of x (n, d) and classes y (n,) plus the penalty: a scalar."""
    scores = x @ params["weights"].T + params["bias"]
    largest = ad.constant(np.max(scores, axis=1, keepdims=True))
    log_total = np.log(np.sum(np.exp(scores - largest), axis=1)) + largest[:, 0]
    cross_entropy = np.sum(log_total - scores[np.arange(len(y)), y])
    return (cross_entropy + 0.5 / c * np.sum(params["weights"] ** 2)) / len(y)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--c", type=float, default=1.0, help="inverse strength of the penalty, positive")
    options = parser.parse_args()
    if not options.c > 0:
        parser.error("--c must be positive")

    data: Any = load_wine()  # a Bunch, whose entries its annotations do not tell
    x, y = data.data, data.target
    x = (x - x.mean(0)) / x.std(0)
    start = {"weights": np.zeros((3, x.shape[1])), "bias": np.zeros(3)}
    result = minimize(loss, start, (x, y, options.c), method="trust-ncg", tol=1e-10)
    theirs = LogisticRegression(C=options.c, tol=1e-12, max_iter=10_000, solver="newton-cg").fit(x, y)
    bias = result.x["bias"] - result.x["bias"].mean()
    weight_gap = np.abs(result.x["weights"] - theirs.coef_).max()
    bias_gap = np.abs(bias - (theirs.intercept_ - theirs.intercept_.mean())).max()
    gradient = ad.grad(loss)(result.x, x, y, options.c)
    print(
        f"loss {result.fun:.10f} after {result.nit} Newton steps; largest gradient"
        f" {np.abs(gradient['weights']).max():.1e}"
    )
    print(f"largest difference to scikit-learn: weights {weight_gap:.1e}, bias {bias_gap:.1e}")
    print(f"training accuracy {np.mean(np.argmax(x @ result.x['weights'].T + bias, axis=1) == y):.4f}")
    assert weight_gap < 1e-6
    assert bias_gap < 1e-6


if __name__ == "__main__":
    main()
