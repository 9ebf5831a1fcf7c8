"""Hamiltonian Monte Carlo on a hierarchical model, held to the moments of its exact posterior.

Eight schools coached for a test (Rubin 1981): each effect is measured with a known error, the effects scatter around a
common mean. With the scatter held fixed everything is Gaussian, so that the posterior's mean and covariance are known,
which the draws must have. All chains move at once: one gradient serves them all.

    python examples/science/hierarchical.py [--out hierarchical.png]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import autodiff as ad
from autodiff.stats import norm

EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
SCATTER, WIDE = 10.0, 20.0


def log_posterior(q):
    """Of points (chains, 9), the common mean first; summed over the chains, which do not touch each other."""
    mean, effects = q[:, :1], q[:, 1:]
    return (
        np.sum(norm.logpdf(mean, 0.0, WIDE))
        + np.sum(norm.logpdf(effects, mean, SCATTER))
        + np.sum(norm.logpdf(EFFECT, effects, ERROR))
    )


def exact() -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the posterior: its precision is a sum of squares' coefficients."""
    precision = np.zeros((9, 9))
    precision[0, 0] = 1 / WIDE**2 + 8 / SCATTER**2
    precision[0, 1:] = precision[1:, 0] = -1 / SCATTER**2
    precision[range(1, 9), range(1, 9)] = 1 / SCATTER**2 + 1 / ERROR**2
    covariance = np.linalg.inv(precision)
    return covariance @ np.concatenate([[0.0], EFFECT / ERROR**2]), covariance


def sample(chains: int, draws: int, rng: np.random.Generator, longest: float = 4.5, moves: int = 4) -> np.ndarray:
    """Draws (draws, chains, 9) by leapfrog steps and Metropolis' rule (Neal 2011)."""
    slope = ad.value_and_grad(log_posterior)
    each = lambda q: np.array(
        norm.logpdf(q[:, 0], 0.0, WIDE)
        + norm.logpdf(q[:, 1:], q[:, :1], SCATTER).sum(axis=1)
        + norm.logpdf(EFFECT, q[:, 1:], ERROR).sum(axis=1)
    )
    q = rng.normal(0, 10, (chains, 9))
    kept = np.empty((draws, chains, 9))
    for draw in range(draws):
        p, step = rng.normal(size=q.shape), longest * rng.uniform(0.7, 1.0)  # no two orbits of one length
        new, momentum = q, p + step / 2 * slope(q)[1]
        for move in range(moves):
            new = new + step * momentum
            momentum = momentum + (step if move < moves - 1 else step / 2) * slope(new)[1]
        gain = each(new) - each(q) + 0.5 * np.sum(p**2 - momentum**2, axis=1)
        q = np.where((np.log(rng.random(chains)) < gain)[:, None], new, q)
        kept[draw] = q
    return kept


def main(argv: list[str] | None = None) -> np.ndarray:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--chains", type=int, default=200)
    parser.add_argument("--draws", type=int, default=120)
    parser.add_argument("--out", help="write a picture here (needs matplotlib)")
    options = parser.parse_args(argv)
    begin = time.perf_counter()
    draws = sample(options.chains, options.draws, np.random.default_rng(0))[20:]
    seconds = time.perf_counter() - begin
    print(f"{seconds / (options.draws * 5):.5f} s a gradient of {options.chains} chains")
    mean, covariance = exact()
    # Chains are independent, so their means tell the error of the whole.
    found = draws.mean(axis=(0, 1))
    error = draws.mean(axis=0).std(axis=0) / np.sqrt(options.chains)
    for name, got, right, off in zip(["mean", *"ABCDEFGH"], found, mean, error, strict=True):
        print(f"{name:5} {got:7.3f} +- {off:.3f}   exact {right:7.3f}")
    if options.out:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.errorbar(range(8), EFFECT, ERROR, fmt="o", label="measured")
        axes.errorbar(np.arange(8) + 0.2, found[1:], draws[..., 1:].std(axis=(0, 1)), fmt="s", label="posterior draws")
        axes.plot(np.arange(8) + 0.2, mean[1:], "k_", markersize=16, label="exact posterior mean")
        axes.set(xticks=range(8), xticklabels=list("ABCDEFGH"), xlabel="school", ylabel="effect of coaching")
        axes.legend()
        figure.savefig(options.out, dpi=100)
    assert np.all(np.abs(found - mean) < 5 * error), "not the posterior's mean"
    spread = np.cov(draws.reshape(-1, 9).T)
    size = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert np.all(np.abs(spread - covariance) < 0.1 * size), "not the posterior's covariance"
    return found


if __name__ == "__main__":
    main()
