"""Find the rate constants of a stiff chemical system from noisy concentrations.

Robertson's reactions (1966): A -> B at rate k1, 2 B -> B + C at rate k2, B + C -> A + C at rate k3, over nine orders of
magnitude. SciPy's Radau steps; the Jacobian of the residuals in the logarithms of the rates comes from the adjoint of
its steps; ``curve_fit`` gives the rates and their standard errors. The truth must lie within four of them.

    python examples/science/robertson.py [--out robertson.png]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import autodiff as ad
from autodiff.integrate import solve_ivp
from autodiff.optimize import curve_fit

TRUTH = np.log([0.04, 3e7, 1e4])
TIMES = np.geomspace(1e-4, 1e3, 20)
#: B is small: its unit is a ten-thousandth.
UNITS = np.array([1.0, 1e-4, 1.0])


def reactions(t, y, k):
    first, second, third = k[0] * y[0], k[1] * y[1] * y[1], k[2] * y[1] * y[2]
    return [third - first, first - second - third, second]


def concentrations(times, log_k):
    start = np.array([1.0, 0.0, 0.0])
    options = {"method": "Radau", "rtol": 1e-6, "atol": 1e-10}
    y = solve_ivp(reactions, (0.0, float(times[-1])), start, t_eval=times, args=(np.exp(log_k),), **options).y
    return (y.T / UNITS).reshape(-1)


def main(argv: list[str] | None = None) -> np.ndarray:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", help="write a picture here (needs matplotlib)")
    options = parser.parse_args(argv)
    sigma = 0.003
    clean = np.asarray(concentrations(TIMES, TRUTH))
    data = clean + sigma * np.random.default_rng(0).normal(size=clean.size)
    begin = time.perf_counter()
    ad.grad(lambda k: np.sum((concentrations(TIMES, k) - data) ** 2))(TRUTH)
    print(f"{time.perf_counter() - begin:.3f} s a gradient")

    def model(times, a, b, c):
        return concentrations(times, ad.stack([a, b, c]))

    found, covariance = curve_fit(
        model, TIMES, data, p0=TRUTH + np.array([0.3, -0.4, 0.3]), sigma=np.full(data.size, sigma), absolute_sigma=True
    )
    errors = np.sqrt(np.diag(covariance.data))
    for name, value, error, true in zip(("k1", "k2", "k3"), found.data, errors, TRUTH, strict=True):
        print(f"{name} = {np.exp(value):.4g} +- {100 * error:.2f} % (truth {np.exp(true):.4g})")
    if options.out:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        fine = np.geomspace(1e-4, 1e3, 200)
        curves = np.asarray(concentrations(fine, found.data)).reshape(-1, 3)
        for i, name in enumerate(("A", "B x 10^4", "C")):
            axes.semilogx(fine, curves[:, i], label=name)
            axes.semilogx(TIMES, data.reshape(-1, 3)[:, i], ".", color=axes.lines[-1].get_color())
        axes.set(xlabel="time", ylabel="concentration", title="Robertson's reactions: data and fit")
        axes.legend()
        figure.savefig(options.out, dpi=100)
    assert np.all(np.abs(found.data - TRUTH) < 4 * errors), "the rates that made the data were not found"
    assert np.all(errors < 0.02), "the data should determine the rates to two per cent"
    return found.data


if __name__ == "__main__":
    main()
