"""Gradients that are right in first and wrong in second order: residuals taken for constants, factors and branches lost.

``second(u, g, x)`` is the gradient of ``sum(u * first(g, x))`` with respect to ``g`` and to ``x``, with the mistake in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.wrong_gradients.case import SecondCase
from benchmarks.wrong_gradients.data import POSITIVE, X, norm_gradient, normalised, softmax

__all__ = ["SECOND_CASES"]


def _softmax_first(g: Any, x: Any) -> Any:
    p = softmax(x)
    return p * (g - (g * p).sum(-1, keepdims=True))


def _prod_first(g: Any, x: Any) -> Any:
    return g * np.array([np.prod(np.delete(x, i)) for i in range(x.size)])


def _norm_constant(u: Any, g: Any, x: Any) -> tuple[Any, Any]:
    # xhat and s were saved by the forward pass and are constants of the second derivative.
    return norm_gradient(u, x, 0), np.zeros_like(x)


SECOND_CASES = [
    SecondCase("intermediate saved on ctx is a constant", "pytorch #58509", lambda x: 4 * x**2, lambda g, x: 8 * g * x,
               lambda u, g, x: (8 * u * x, np.zeros_like(x)), X),
    SecondCase("output saved and divided by the input", "pytorch #18619, #76185", lambda x: x**2, lambda g, x: 2 * g * x**2 / x,
               lambda u, g, x: (2 * u * x, -2 * u * g), POSITIVE),
    SecondCase("missing factor 2 at second order", "HIPS/autograd tests/test_tests.py", lambda x: x**3, lambda g, x: 3 * g * x**2,
               lambda u, g, x: (3 * u * x**2, 3 * u * g * x), X),
    SecondCase("second derivative scaled by 1.001", "HIPS/autograd tests/test_tests.py", np.sin, lambda g, x: g * np.cos(x),
               lambda u, g, x: (u * np.cos(x), -1.001 * u * g * np.sin(x)), X),
    SecondCase("cotangent's own gradient forgotten", "nested custom_vjp, jax #21220", lambda x: x**3, lambda g, x: 3 * g * x**2,
               lambda u, g, x: (np.zeros_like(g), 6 * u * g * x), X),
    SecondCase("tanh: residual y as a constant", "a saved output, pytorch extending notes", np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2),
               lambda u, g, x: (u * (1 - np.tanh(x) ** 2), np.zeros_like(x)), X),
    SecondCase("softmax: probabilities as constants", "a saved output, pytorch extending notes", softmax, _softmax_first,
               lambda u, g, x: (_softmax_first(u, x), np.zeros_like(x)), X),
    SecondCase("batchnorm: saved statistics as constants", "residuals recorded as arrays", lambda x: normalised(x, 0)[0],
               lambda g, x: norm_gradient(g, x, 0), _norm_constant, X),
    SecondCase("prod with two zeros: second derivative zero", "pytorch #106789", np.prod, _prod_first,
               lambda u, g, x: (np.sum(u * _prod_first(1.0, x)), np.zeros_like(x)), np.array([2.0, 3.0, 0.0, 0.0])),
    SecondCase("exp: sign at second order", "a classic slip", np.exp, lambda g, x: g * np.exp(x), lambda u, g, x: (u * np.exp(x), -u * g * np.exp(x)), X),
    SecondCase("gradient penalty: norm as a constant", "WGAN-GP, the norm detached", lambda x: np.sqrt(np.sum(x**2)),
               lambda g, x: g * x / np.sqrt(np.sum(x**2)), lambda u, g, x: (np.sum(u * x) / np.sqrt(np.sum(x**2)), u * g / np.sqrt(np.sum(x**2))), POSITIVE),
    SecondCase("i0-like: second derivative dropped at zero", "jax #40627", lambda x: np.cosh(x), lambda g, x: g * np.sinh(x),
               lambda u, g, x: (u * np.sinh(x), u * g * np.cosh(x) * (x != 0)), np.array([0.0, 0.5, -1.0])),
]  # fmt: skip
