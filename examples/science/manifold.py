"""Optimisation on a manifold through pymanopt's protocol: the invariant subspace of the largest eigenvalues.

Among matrices with orthonormal columns, ``trace(X' A X)`` is greatest where X spans the eigenvectors of the greatest
eigenvalues (Ky Fan 1949), and worth their sum: the known truth. pymanopt asks for a cost, its Euclidean gradient and
its Euclidean Hessian along a direction; these are ``ad.grad`` and ``ad.hvp``. Where pymanopt is not installed, a
Stiefel manifold with the methods of the same names and a few lines of trust region do.

    python examples/science/manifold.py [--out manifold.png]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import autodiff as ad

N, K = 30, 3
A = np.random.default_rng(1).normal(size=(N, N))
A = (A + A.T) / 2


def cost(x):
    return -np.trace(x.T @ A @ x)


def euclidean_gradient(x):
    return ad.grad(cost)(x)


def euclidean_hessian(x, v):
    return ad.hvp(cost, (x,), (v,))[0]


class Stiefel:
    """Orthonormal columns, with pymanopt's names for what an optimiser asks."""

    def __init__(self, n: int, p: int) -> None:
        self._shape = (n, p)

    def random_point(self) -> np.ndarray:
        return np.linalg.qr(np.random.default_rng(0).normal(size=self._shape))[0]

    def projection(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        both = x.T @ v
        return v - x @ (both + both.T) / 2

    def retraction(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        q, r = np.linalg.qr(x + v)
        return q * np.sign(np.sign(np.diag(r)) + 0.5)

    def euclidean_to_riemannian_hessian(self, x, gradient, hessian, v):
        both = x.T @ gradient
        return self.projection(x, hessian - v @ (both + both.T) / 2)


def trust_region(manifold: Stiefel, x: np.ndarray, steps: int = 40) -> tuple[np.ndarray, list[float]]:
    """Newton's method with Steihaug's conjugate gradients inside a trust region (Absil, Baker and Gallivan 2007)."""
    radius, course = 1.0, [float(cost(x))]
    for _ in range(steps):
        whole = euclidean_gradient(x)
        slope = manifold.projection(x, whole)
        if np.linalg.norm(slope) < 1e-10:
            break

        def bent(v, x=x, whole=whole):
            return manifold.euclidean_to_riemannian_hessian(x, whole, euclidean_hessian(x, v), v)

        move, rest = np.zeros_like(x), -slope
        along = rest
        for _ in range(N * K):
            turned = bent(along)
            curvature = np.sum(along * turned)
            length = np.sum(rest * rest) / curvature if curvature > 0 else np.inf
            if curvature <= 0 or np.linalg.norm(move + length * along) > radius:
                a, b, c = np.sum(along**2), np.sum(move * along), np.sum(move**2) - radius**2
                move = move + (np.sqrt(b * b - a * c) - b) / a * along
                break
            move, new = move + length * along, rest - length * turned
            if np.linalg.norm(new) < min(0.1, np.linalg.norm(slope)) * np.linalg.norm(slope):
                break
            along, rest = new + np.sum(new * new) / np.sum(rest * rest) * along, new
        trial = manifold.retraction(x, move)
        promised = -np.sum(slope * move) - 0.5 * np.sum(move * bent(move))
        share = (course[-1] - float(cost(trial))) / max(promised, 1e-300)
        radius = radius / 4 if share < 0.25 else min(2 * radius, 3.0) if share > 0.75 else radius
        if share > 0.1 or promised < 1e-12:
            x = trial
        course.append(float(cost(x)))
    return x, course


def by_pymanopt() -> np.ndarray | None:
    """The same through pymanopt itself, if it is installed."""
    try:
        import pymanopt
    except ImportError:
        return None
    manifold = pymanopt.manifolds.Stiefel(N, K)
    problem = pymanopt.Problem(
        manifold,
        pymanopt.function.numpy(manifold)(lambda x: float(cost(x))),
        euclidean_gradient=pymanopt.function.numpy(manifold)(euclidean_gradient),
        euclidean_hessian=pymanopt.function.numpy(manifold)(euclidean_hessian),
    )
    optimizer = pymanopt.optimizers.TrustRegions(verbosity=0, min_gradient_norm=1e-8)
    return optimizer.run(problem, initial_point=Stiefel(N, K).random_point()).point


def main(argv: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", help="write a picture here (needs matplotlib)")
    options = parser.parse_args(argv)
    manifold = Stiefel(N, K)
    start = manifold.random_point()
    begin = time.perf_counter()
    for _ in range(20):
        euclidean_gradient(start)
    print(f"{(time.perf_counter() - begin) / 20:.5f} s a gradient")
    x, course = trust_region(manifold, start)
    best = np.sum(np.linalg.eigvalsh(A)[-K:])
    print(f"trace {-course[-1]:.12f}, the sum of the eigenvalues {best:.12f}, {len(course) - 1} steps")
    theirs = by_pymanopt()
    print("pymanopt:", "not installed" if theirs is None else f"trace {-float(cost(theirs)):.12f}")
    if options.out:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.semilogy(np.maximum(np.array(course) + best, 1e-15), "o-")
        axes.set(xlabel="step of the trust region", ylabel="below the sum of the eigenvalues")
        figure.savefig(options.out, dpi=100)
    assert np.isclose(-course[-1], best, rtol=1e-12), "not the sum of the greatest eigenvalues"
    assert np.allclose(x.T @ x, np.eye(K), atol=1e-12), "not on the manifold"
    assert theirs is None or np.isclose(-float(cost(theirs)), best, rtol=1e-10), "pymanopt found another"
    return -course[-1]


if __name__ == "__main__":
    main()
