"""Wrong factors, signs and branches of elementwise functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.wrong_gradients.case import Case
from benchmarks.wrong_gradients.data import POSITIVE, X

__all__ = ["CASES"]


def _aliased(g: Any, x: Any, y: Any) -> tuple[Any, Any]:
    dx = g * y
    dy = dx
    dy *= x / y
    return dx, dy


def _softplus(x: Any) -> Any:
    """beta 3, linear above beta x = 1."""
    return np.where(3 * x > 1, x, np.log1p(np.exp(3 * np.minimum(x, 1))) / 3)


def _last_wins(g: Any, x: Any) -> tuple[Any]:
    # Accumulation by assignment: of three uses the last one is kept.
    dx = g * np.exp(x)
    dx = g * 2 * x
    dx = g * np.cos(x)
    return (dx,)


CASES = [
    Case("scaled by 1.0005", "HIPS/autograd tests/test_tests.py", lambda x: x**2, lambda g, x: (2.001 * g * x,), (X,)),
    Case("scaled by 1 + 1e-6", "a constant typed with too few digits", lambda x: np.log(x), lambda g, x: (g / x * (1 + 1e-6),), (POSITIVE,)),
    Case("ln 10 typed as 2.3026", "a constant typed with too few digits", lambda x: np.log10(x), lambda g, x: (g / (2.3026 * x),), (POSITIVE,)),
    Case("sign", "covariance gradient, HIPS/autograd #412", lambda x: np.cos(x), lambda g, x: (g * np.sin(x),), (X,)),
    Case("cotangent forgotten", "the zero-cotangent check of torch.autograd.gradcheck", lambda x: x**3, lambda g, x: (3 * x**2 + 0 * g,), (X,)),
    Case("tanh: derivative at the output's tanh", "a classic slip", np.tanh, lambda g, x: (g * (1 - np.tanh(np.tanh(x)) ** 2),), (X,)),
    Case("sigmoid: s for s (1 - s)", "a classic slip", lambda x: 1 / (1 + np.exp(-x)), lambda g, x: (g / (1 + np.exp(-x)),), (X,)),
    Case("gelu: tanh form's derivative for the exact", "two definitions of GELU",
         lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
         lambda g, x: (g * (0.5 * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3))) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)),), (X,)),
    Case("where: branches exchanged", "a classic slip", lambda x: np.where(x > 0, x**2, -x), lambda g, x: (g * np.where(x > 0, -1, 2 * x),), (X,)),
    Case("small entry among large ones off by 1e-3", "tolerances times array size", lambda x: np.array([1e6, 1.0]) * x**2,
         lambda g, x: (g * np.array([2e6, 2.002]) * x,), (np.array([1.5, 0.5]),)),
    Case("sqrt(1e-6) off by 30 %", "fixed steps, field notes 4", np.sqrt, lambda g, x: (g * 0.5 / np.sqrt(x) * 1.3,), (np.full(3, 1e-6),)),
    Case("in-place alias between two gradients", "chainer #488", lambda x, y: x * y, _aliased, (POSITIVE.copy(), POSITIVE[::-1].copy())),
    Case("softplus: threshold compared with x, not beta x", "pytorch #55587, #61568", _softplus,
         lambda g, x: (g * np.where(x > 1, 1.0, 1 / (1 + np.exp(-3 * x))),), (np.array([0.2, 0.5, 0.8, 1.4]),)),
    Case("three uses, the last overwrites", "accumulation, karpathy/micrograd #64", lambda x: np.exp(x) + x**2 + np.sin(x), _last_wins, (X,)),
    Case("sine's gradient with a sign in the docs", "jax #3213", lambda x, y: np.sin(x) * y, lambda g, x, y: (g * np.cos(x) * y, -g * np.sin(x)),
         (X, X[::-1].copy())),
    Case("where: NaN of the branch not taken", "pytorch #23395, #10729; jax where with a double where",
         lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1)), 0.0), lambda g, x: (np.where(x > 0, g, 0) * 0.5 / np.sqrt(x),),
         (np.array([1.0, -1.0, 2.0]),)),
    Case("abs at a kink: 2, which is no subgradient", "a slope counted twice", np.abs, lambda g, x: (g * np.where(x == 0, 2.0, np.sign(x)),),
         (np.array([0.0, 1.0, -2.0]),)),
]  # fmt: skip
