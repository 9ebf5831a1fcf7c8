"""Recover the conductivity of a plate from measured potentials: an inverse problem through a sparse solve.

``-div(c grad u) = f`` on a square with u = 0 on its edge, by finite volumes. The entries of the sparse matrix are
recorded functions of the conductivity c, SuperLU factorises, and the gradient of the misfit needs one more solve with
the same factors; no dense matrix exists. Potentials for a few sources are given; the log conductivity is found by
L-BFGS with exact gradients and must be the one that made the data.

    python examples/science/poisson.py [--size 24] [--out poisson.png]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import autodiff as ad
from autodiff.optimize import minimize
from autodiff.sparse import csr_array, spsolve


def operator(c):
    """The sparse matrix of -div(c grad .), with c (n, n) at the cells' centres; the edge is one cell further out."""
    n = c.shape[0]
    padded = np.pad(c, 1, mode="edge")
    down, right = (padded[1:, 1:-1] + padded[:-1, 1:-1]) / 2, (padded[1:-1, 1:] + padded[1:-1, :-1]) / 2
    cell = np.arange(n * n).reshape(n, n)
    above, below, left, beside = cell[:-1].ravel(), cell[1:].ravel(), cell[:, :-1].ravel(), cell[:, 1:].ravel()
    rows = np.concatenate([cell.ravel(), above, below, left, beside])
    columns = np.concatenate([cell.ravel(), below, above, beside, left])
    vertical, horizontal = -down[1:-1].reshape(-1), -right[:, 1:-1].reshape(-1)
    main = (down[:-1] + down[1:] + right[:, :-1] + right[:, 1:]).reshape(-1)
    entries = np.concatenate([main, vertical, vertical, horizontal, horizontal])
    return csr_array((entries, (rows, columns)), shape=(n * n, n * n))


def potentials(log_c, sources):
    return spsolve(operator(np.exp(log_c)), sources, permc_spec="MMD_AT_PLUS_A")


def main(argv: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--size", type=int, default=24, help="cells along a side, at least 8")
    parser.add_argument("--out", help="write a picture here (needs matplotlib)")
    options = parser.parse_args(argv)
    n = options.size
    y, x = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
    truth = 0.8 * np.exp(-((x - 0.35) ** 2 + (y - 0.6) ** 2) / 0.03) - 0.6 * np.exp(
        -((x - 0.7) ** 2 + (y - 0.3) ** 2) / 0.02
    )
    sources = np.stack([np.ones(n * n), np.sign(x - 0.5).ravel(), np.sign(y - 0.5).ravel()], axis=1) / n**2
    data = potentials(truth, sources).data
    scale = np.abs(data).max()

    def misfit(log_c):
        return np.sum(((potentials(log_c, sources) - data) / scale) ** 2)

    start = time.perf_counter()
    ad.grad(misfit)(np.zeros((n, n)))
    print(f"{n * n} unknowns, {time.perf_counter() - start:.3f} s a gradient")
    found = minimize(misfit, np.zeros((n, n)), options={"maxiter": 4000, "maxfun": 5000, "ftol": 1e-13, "gtol": 1e-10})
    error = float(np.abs(found.x - truth).max())
    print(f"misfit {found.fun:.2e} after {found.nit} iterations; the log conductivity is off by at most {error:.3f}")
    if options.out:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 3.4), layout="constrained")
        panels = {"true log conductivity": truth, "found": found.x, "potential": data[:, 0].reshape(n, n)}
        for axes, (title, field) in zip(figure.subplots(1, 3), panels.items(), strict=True):
            figure.colorbar(axes.imshow(field, origin="lower"), ax=axes)
            axes.set(title=title, xticks=[], yticks=[])
        figure.savefig(options.out, dpi=100)
    assert error < 0.05, "the conductivity that made the data was not found"
    return error


if __name__ == "__main__":
    main()
