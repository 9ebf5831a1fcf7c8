"""Weibull regression with censoring: how long leukaemia stays in remission, with standard errors from the Hessian.

The data are Freireich's (Blood, 1963): weeks of remission of 21 patients on 6-mercaptopurine, some still in remission
when the study ended, and of 21 on a placebo. The log likelihood is written as in the book; Newton's method and the
standard errors use its exact Hessian. With the shape held at one the model is exponential and has a closed form:
``log(events / weeks)``, and ``1 / sqrt(events)`` for its standard error.

    python examples/science/weibull.py [--out weibull.png]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import autodiff as ad
from autodiff.optimize import minimize

PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
TREATED = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
WEEKS = np.array(PLACEBO + TREATED, float)
PLACEBO_GROUP = np.repeat([1.0, 0.0], 21)
#: Relapsed; the last twelve of the treated were still in remission.
RELAPSED = np.repeat([1.0, 1.0, 0.0], [21, 9, 12])


def log_likelihood(intercept, effect, log_shape):
    """Hazard ``shape t^(shape - 1) exp(intercept + effect * placebo)``: its log at relapses, less its integral."""
    shape, linear = np.exp(log_shape), intercept + effect * PLACEBO_GROUP
    log_hazard = log_shape + (shape - 1) * np.log(WEEKS) + linear
    return np.sum(RELAPSED * log_hazard - WEEKS**shape * np.exp(linear))


def fitted(loss, start):
    """The minimum, and standard errors from the inverse of the Hessian there."""
    best = minimize(loss, start, method="trust-exact", tol=1e-10).x
    return best, np.sqrt(np.diag(np.linalg.inv(ad.hessian(loss)(best))))


def main(argv: list[str] | None = None) -> np.ndarray:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", help="write a picture here (needs matplotlib)")
    options = parser.parse_args(argv)
    weibull = lambda p: -log_likelihood(p[0], p[1], p[2])
    begin = time.perf_counter()
    ad.grad(weibull)(np.array([-3.0, 1.0, 0.0]))
    print(f"{time.perf_counter() - begin:.4f} s a gradient")
    exponential, errors = fitted(lambda p: -log_likelihood(p[0], p[1], 0.0), np.array([-3.0, 1.0]))
    best, spread = fitted(weibull, np.array([-3.0, 1.0, 0.0]))
    for name, value, error in zip(("intercept", "placebo", "log shape"), best, spread, strict=True):
        print(f"{name:10} {value:8.4f} +- {error:.4f}")
    if options.out:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        t = np.linspace(0, 36, 200)
        for group, name in ((1.0, "placebo"), (0.0, "6-mercaptopurine")):
            here = PLACEBO_GROUP == group
            times = np.unique(WEEKS[here & (RELAPSED == 1)])
            left = [1 - np.sum(RELAPSED[here & (WEEKS == s)]) / np.sum(here & (WEEKS >= s)) for s in times]
            axes.step([0, *times], np.cumprod([1.0, *left]), where="post", label=f"{name} (Kaplan and Meier)")
            axes.plot(t, np.exp(-(t ** np.exp(best[2])) * np.exp(best[0] + best[1] * group)), "--", label="Weibull")
        axes.set(xlabel="weeks", ylabel="share still in remission")
        axes.legend()
        figure.savefig(options.out, dpi=100)
    rates = np.log([9 / 359, 21 / 182])
    assert np.allclose(exponential, [rates[0], rates[1] - rates[0]], atol=1e-8), "not the closed form"
    assert np.allclose(errors, [1 / np.sqrt(9), np.sqrt(1 / 9 + 1 / 21)], rtol=1e-6), "not the closed form's errors"
    # Kleinbaum and Klein, Survival Analysis, chapter 7: effect 1.731 with error 0.413, shape 1.366.
    assert np.allclose([best[1], spread[1], np.exp(best[2])], [1.731, 0.413, 1.366], atol=6e-4), "not the published fit"
    return best


if __name__ == "__main__":
    main()
