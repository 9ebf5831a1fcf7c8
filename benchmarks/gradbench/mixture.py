"""``gmm``: the log-posterior of a Gaussian mixture with a Wishart prior. What is hard: contractions with K matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import autodiff as ad
from autodiff.special import logsumexp
from benchmarks.gradbench.task import Function, floats, plain

__all__ = ["TASKS", "log_posterior"]


def _below(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each entry strictly below the diagonal, column by column."""
    columns, rows = np.triu_indices(d, 1)
    return rows, columns


def _log_gamma_of_many(a: float, d: int) -> float:
    """``log Gamma_d(a)``, the multivariate gamma function (Muirhead, Multivariate Statistical Theory, 2.1)."""
    return 0.25 * d * (d - 1) * math.log(math.pi) + sum(math.lgamma(a - 0.5 * j) for j in range(d))


def log_posterior(alpha: Any, mu: Any, q: Any, l: Any, x: np.ndarray, gamma: float, m: int) -> Any:  # noqa: E741
    """The log-posterior of a mixture of K Gaussians.

    Parameters
    ----------
    alpha : (K,)
        Logarithms of the weights, up to a constant.
    mu : (K, d)
        Means.
    q : (K, d)
        Logarithms of the diagonals of ``Q_k``, the lower triangular square roots of the precisions.
    l : (K, d (d - 1) / 2)
        The entries of ``Q_k`` below the diagonal, column by column.
    x : (n, d)
        Observations.
    gamma, m
        Scale and further degrees of freedom of the Wishart prior.
    """
    n, d = x.shape
    count = len(alpha)
    rows, columns = _below(d)
    root = np.zeros((count, d, d))
    roots = ad.tensor(root).at[:, rows, columns].set(l).at[:, np.arange(d), np.arange(d)].set(np.exp(q))
    centred = x - mu[:, None, :]  # (K, n, d)
    scaled = np.matmul(centred, np.swapaxes(roots, 1, 2))
    distances = np.sum(scaled * scaled, axis=2)  # (K, n)
    beta = alpha[:, None] - 0.5 * distances + np.sum(q, axis=1)[:, None]
    likelihood = -n * (0.5 * d * math.log(2 * math.pi) + logsumexp(alpha)) + np.sum(logsumexp(beta, axis=0))
    nu = d + m + 1
    constant = count * (nu * d * math.log(gamma / math.sqrt(2.0)) - _log_gamma_of_many(0.5 * nu, d))
    frobenius = np.sum(np.exp(2.0 * q)) + np.sum(l * l)
    return likelihood + constant - 0.5 * gamma * gamma * frobenius + m * np.sum(q)


def _read(given: Any) -> tuple[Any, ...]:
    if "icf" in given:
        d = given["d"] if "d" in given else len(given["x"][0])
        factors = floats(given["icf"])
        mu, q, l = floats(given["means"]), factors[:, :d], factors[:, d:]  # noqa: E741
    else:
        mu, q, l = floats(given["mu"]), floats(given["q"]), floats(given["l"])  # noqa: E741
    count = len(mu)
    return (
        floats(given["alpha"]),
        mu,
        q,
        l.reshape(count, -1),
        floats(given["x"]),
        float(given["gamma"]),
        int(given["m"]),
    )


def _write(found: tuple[Any, ...]) -> dict[str, Any]:
    return {name: plain(part) for name, part in zip(("alpha", "mu", "q", "l"), found, strict=True)}


TASKS = {
    "gmm": {
        "objective": Function(_read, log_posterior, plain),
        "jacobian": Function(_read, ad.grad(log_posterior, argnums=(0, 1, 2, 3)), _write),
    }
}
