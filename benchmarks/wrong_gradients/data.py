"""The arrays and the small functions that several wrong gradients share."""

from __future__ import annotations

from typing import Any

import numpy as np

RNG = np.random.default_rng(2024)
X = RNG.normal(size=(4, 3))
W = RNG.normal(size=(3, 5))
LONG = RNG.normal(size=400)
POSITIVE = RNG.uniform(0.5, 2.0, 6)


def softmax(x: Any) -> Any:
    """Along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def normalised(x: Any, axis: int) -> tuple[Any, Any]:
    """Zero mean and unit variance along an axis, and the scale that did it."""
    centred = x - x.mean(axis=axis, keepdims=True)
    s = 1 / np.sqrt((centred**2).mean(axis=axis, keepdims=True) + 1e-5)
    return centred * s, s


def norm_gradient(g: Any, x: Any, axis: int) -> Any:
    """The right gradient of :func:`normalised`."""
    xhat, s = normalised(x, axis)
    return s * (g - g.mean(axis=axis, keepdims=True) - xhat * (g * xhat).mean(axis=axis, keepdims=True))
