"""``particle`` and ``saddle``: gradients within gradients (Siskind and Pearlmutter, Using Polyvariant Union-Free Flow
Analysis to Compile a Higher-Order Functional-Programming Language with a First-Class Derivative Operator, 2008).

What is hard: the inner derivative depends on the outer variable, in all four pairs of forward and reverse mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import autodiff as ad
from benchmarks.gradbench.task import Function, floats, plain

__all__ = ["TASKS", "argmin", "highest", "landing", "particle", "saddle"]

Gradient = Callable[[Callable[[Any], Any]], Callable[[Any], Any]]
MODES: dict[str, Gradient] = {"r": ad.grad, "f": ad.jacfwd}


def argmin(f: Callable[[Any], Any], x: Any, gradient: Gradient, xp: Any = np) -> Any:
    """Gradient descent from ``x`` (k,), its rate doubled after ten successes and halved at a failure.

    It ends where the gradient or the step has a length of at most 1e-5. ``xp`` is NumPy or PyTorch.
    """
    value, slope = f(x), gradient(f)(x)
    rate, successes = 1e-5, 0
    while True:
        if xp.sqrt(xp.sum(slope * slope)) <= 1e-5:
            return x
        if successes == 10:
            rate, successes = 2.0 * rate, 0
            continue
        step = rate * slope
        if xp.sqrt(xp.sum(step * step)) <= 1e-5:
            return x
        there = x - step
        value_there = f(there)
        if value_there < value:
            x, value, slope, successes = there, value_there, gradient(f)(there), successes + 1
        else:
            rate, successes = 0.5 * rate, 0


def landing(w: Any, inner: Gradient) -> Any:
    """The square of where a particle lands that Euler steps lead through the field of two charges, one of them at w."""
    first = np.stack([10.0 + 0.0 * w[0], 10.0 - w[0]])
    second = np.array([10.0, 0.0])

    def potential(x: Any) -> Any:
        return 1.0 / np.sqrt(np.sum((x - first) ** 2)) + 1.0 / np.sqrt(np.sum((x - second) ** 2))

    x, velocity, dt = np.array([0.0, 8.0]), np.array([0.75, 0.0]), 0.1
    while True:
        acceleration = -inner(potential)(x)
        there = x + dt * velocity
        if there[1] <= 0:
            rest = -x[1] / velocity[1]
            return (x[0] + rest * velocity[0]) ** 2
        x, velocity = there, velocity + dt * acceleration


def particle(w: np.ndarray, outer: Gradient, inner: Gradient) -> Any:
    """The charge's position that lands the particle at the origin."""
    return argmin(lambda w: landing(w, inner), w, outer)[0]


def highest(x: Any, start: np.ndarray, inner: Gradient) -> Any:
    """``max_y (x1^2 + x2^2) - (y1^2 + y2^2)``, by :func:`argmin` from ``start``."""
    return _height(x, argmin(lambda y: -_height(x, y), start, inner))


def saddle(start: np.ndarray, outer: Gradient, inner: Gradient) -> Any:
    """Where :func:`highest` is least, by :func:`argmin` from ``start``; x and y (4,)."""
    x = argmin(lambda x: highest(x, start, inner), start, outer)
    y = argmin(lambda y: -_height(x, y), start, inner)
    return np.concatenate([x, y])


def _height(x: Any, y: Any) -> Any:
    return np.sum(x * x) - np.sum(y * y)


def _variants(solve: Callable[..., Any], read: Callable[[Any], tuple[Any, ...]]) -> dict[str, Function]:
    def variant(outer: Gradient, inner: Gradient) -> Function:
        return Function(read, lambda start: solve(start, outer, inner), plain)

    return {a + b: variant(MODES[a], MODES[b]) for a in MODES for b in MODES}


TASKS = {
    "particle": _variants(particle, lambda given: (np.array([float(given["w"])]),)),
    "saddle": _variants(saddle, lambda given: (floats(given["start"]),)),
}
