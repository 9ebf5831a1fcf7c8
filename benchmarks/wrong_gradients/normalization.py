"""Normalisation layers, statistics and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.wrong_gradients.case import Case
from benchmarks.wrong_gradients.data import LONG, RNG, X, norm_gradient, normalised

__all__ = ["CASES"]


MASK = RNG.random((4, 3)) < 0.6
SCALE = np.array([0.5, 1.5, 2.0, 0.25])
GROUPED = RNG.normal(size=(2, 4, 3))


def _groups(x: Any) -> tuple[Any, Any]:
    """Group normalisation of (N, 4, L) in two groups."""
    xhat, s = normalised(x.reshape(len(x), 2, -1), 2)
    return xhat.reshape(x.shape), s


def _group_norm(x: Any) -> Any:
    return _groups(x)[0] * SCALE[:, None]


def _unscaled(g: Any, x: Any) -> tuple[Any]:
    """Means taken of g where they belong to scale times g; right when the scale is 1."""
    xhat, s = _groups(x)
    flat, hat = g.reshape(len(x), 2, -1), xhat.reshape(len(x), 2, -1)
    inner = flat - flat.mean(2, keepdims=True) - hat * (flat * hat).mean(2, keepdims=True)
    return ((inner * s).reshape(x.shape) * SCALE[:, None],)


def _wrong_group(g: Any, x: Any, w: Any) -> tuple[Any, Any]:
    """Statistics of group c % 2 for channel c, instead of c // 2."""
    flat = x.reshape(len(x), 2, -1)
    mean, s = flat.mean(2)[:, [0, 1, 0, 1], None], _groups(x)[1][:, [0, 1, 0, 1]]
    gy = (g * w[:, None]).reshape(len(x), 2, -1)
    return norm_gradient(gy, flat, 2).reshape(x.shape), (g * (x - mean) * s).sum((0, 2))


CASES = [
    Case("batchnorm: mean's path forgotten", "CS231n, assignment 2", lambda x: normalised(x, 0)[0],
         lambda g, x: (normalised(x, 0)[1] * (g - normalised(x, 0)[0] * (g * normalised(x, 0)[0]).mean(0)),), (X,)),
    Case("batchnorm: variance's path forgotten", "CS231n, assignment 2", lambda x: normalised(x, 0)[0],
         lambda g, x: (normalised(x, 0)[1] * (g - g.mean(0)),), (X,)),
    Case("batchnorm: divides by m - 1", "makemore, lesson 4", lambda x: normalised(x, 0)[0],
         lambda g, x: (normalised(x, 0)[1] * (g - g.mean(0) - normalised(x, 0)[0] * (g * normalised(x, 0)[0]).sum(0) / 3),), (X,)),
    Case("layernorm over the wrong axis", "a classic slip", lambda x: normalised(x, 1)[0], lambda g, x: (norm_gradient(g, x, 0),), (X,)),
    Case("rmsnorm: mean not differentiated", "a classic slip", lambda x: x / np.sqrt((x**2).mean(1, keepdims=True)),
         lambda g, x: (g / np.sqrt((x**2).mean(1, keepdims=True)),), (X,)),
    Case("variance: ddof forgotten", "a classic slip", lambda x: x.var(axis=0, ddof=1), lambda g, x: (g * 2 * (x - x.mean(0)) / 4,), (X,)),
    Case("std: square root forgotten", "a classic slip", lambda x: x.std(axis=0), lambda g, x: (g * 2 * (x - x.mean(0)) / 4,), (X,)),
    Case("renorm without the norm's path", "pytorch #59615", lambda x: x / np.linalg.norm(x), lambda g, x: (g / np.linalg.norm(x),), (LONG,)),
    Case("norm over the wrong axis", "a classic slip", lambda x: np.sqrt((x**2).sum(axis=1)),
         lambda g, x: (g[:, None] * x / np.sqrt((x**2).sum(axis=0)),), (X,)),
    Case("dropout not rescaled", "CS231n, assignment 2", lambda x: x * MASK / 0.6, lambda g, x: (g * MASK,), (X,)),
    Case("groupnorm: right for a scale of ones only", "oneDNN #3543", _group_norm, _unscaled, (GROUPED,)),
    Case("groupnorm: channel's group by remainder", "tt-metal #56202", lambda x, w: _groups(x)[0] * w[:, None], _wrong_group,
         (GROUPED, SCALE)),
    Case("batchnorm in evaluation: training gradient", "frozen statistics differentiated", lambda x: (x - 0.1) / 1.3,
         lambda g, x: (norm_gradient(g, x, 0),), (X,)),
]  # fmt: skip
