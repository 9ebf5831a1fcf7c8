"""``lse``, ``llsq``, ``ode``, ``kmeans``: whole arrays, where a gradient should cost a few times its function."""

from __future__ import annotations

from typing import Any

import numpy as np

import autodiff as ad
from benchmarks.gradbench.task import Function, floats, plain

__all__ = ["TASKS", "clusters_cost", "clusters_step", "log_sum_exp", "residuals", "solution"]


def log_sum_exp(x: Any) -> Any:
    """``log sum exp x`` of a vector, from its maximum, exp, sum and log."""
    top = np.max(x)
    return np.log(np.sum(np.exp(x - top))) + top


def residuals(x: Any, n: int) -> Any:
    """Half the sum of squares of ``s_i - sum_j x_j t_i^j``: ``n`` points ``t_i`` of [-1, 1], ``s`` their sign."""
    t = -1.0 + 2.0 * np.arange(n) / (n - 1)
    powers = np.vander(t, len(x), increasing=True)
    return 0.5 * np.sum((np.sign(t) - powers @ x) ** 2)


def solution(x: Any, steps: int) -> Any:
    """``y(2)`` of ``y' = (x_0, x_i y_{i-1})``, ``y(0) = 0``, by ``steps`` steps of the classical Runge-Kutta method."""
    h = 2.0 / steps
    one, zero = np.ones(1), np.zeros(len(x))

    def slope(y: Any) -> Any:
        return x * np.concatenate([one, y[:-1]])

    y = zero
    for _ in range(steps):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def clusters_cost(centroids: Any, points: np.ndarray) -> Any:
    """The sum over points (n, d) of the squared distance to the nearest of the centroids (k, d)."""
    distances = np.sum(centroids**2, axis=1)[:, None] - 2.0 * centroids @ points.T + np.sum(points**2, axis=1)
    return np.sum(np.min(distances, axis=0))


def clusters_step(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Newton's step of k-means, gradient over diagonal of the Hessian (k, d).

    The Hessian is diagonal wherever it exists, so its product with a vector of ones is the diagonal.
    """

    def slope(c: Any) -> Any:
        return ad.grad(clusters_cost)(c, points)

    gradient, diagonal = ad.jvp(slope, (centroids,), (np.ones_like(centroids),))
    return gradient / diagonal


def _vector(given: Any) -> tuple[np.ndarray]:
    return (floats(given["x"]),)


def _polynomial(given: Any) -> tuple[np.ndarray, int]:
    return floats(given["x"]), int(given["n"])


def _steps(given: Any) -> tuple[np.ndarray, int]:
    return floats(given["x"]), int(given["s"])


def _points(given: Any) -> tuple[np.ndarray, np.ndarray]:
    return floats(given["points"]), floats(given["centroids"])


TASKS = {
    "lse": {
        "primal": Function(_vector, log_sum_exp, plain),
        "gradient": Function(_vector, ad.grad(log_sum_exp), plain),
    },
    "llsq": {
        "primal": Function(_polynomial, residuals, plain),
        "gradient": Function(_polynomial, ad.grad(residuals), plain),
    },
    "ode": {
        "primal": Function(_steps, solution, plain),
        "gradient": Function(_steps, ad.grad(lambda x, steps: solution(x, steps)[-1]), plain),
    },
    "kmeans": {
        "cost": Function(_points, lambda points, centroids: clusters_cost(centroids, points), plain),
        "dir": Function(_points, clusters_step, plain),
    },
}
