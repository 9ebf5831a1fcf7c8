"""Losses and softmax: factors of 1 / N, forgotten paths, weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.wrong_gradients.case import Case
from benchmarks.wrong_gradients.data import W, X, softmax

__all__ = ["CASES"]


LABELS = np.array([0, 2, 1, 2])
ONEHOT = np.eye(3)[LABELS]
CLASS_WEIGHTS = np.array([1.0, 2.0, 0.7])
SMOOTH = 0.9 * ONEHOT + 0.1 / 3


def _cross_entropy(x: Any) -> Any:
    p = softmax(x)
    return -np.log(p[np.arange(4), LABELS]).mean()


def _weighted(x: Any) -> Any:
    w = CLASS_WEIGHTS[LABELS]
    return -(w * np.log(softmax(x)[np.arange(4), LABELS])).sum() / w.sum()


def _hinge(x: Any) -> Any:
    margins = np.maximum(0, x - x[np.arange(4), LABELS][:, None] + 1)
    margins[np.arange(4), LABELS] = 0
    return margins.sum() / 4


def _hinge_mask(x: Any) -> Any:
    mask = (x - x[np.arange(4), LABELS][:, None] + 1 > 0).astype(float)
    mask[np.arange(4), LABELS] = 0
    return mask


CASES = [
    Case("softmax-CE: not divided by N", "CS231n, assignment 1", _cross_entropy, lambda g, x: (g * (softmax(x) - ONEHOT),), (X,)),
    Case("softmax-CE: divided by classes", "CS231n, assignment 1", _cross_entropy, lambda g, x: (g * (softmax(x) - ONEHOT) / 3,), (X,)),
    Case("softmax: diagonal only", "a classic slip", softmax, lambda g, x: (g * softmax(x) * (1 - softmax(x)),), (X,)),
    Case("hinge: correct class's row forgotten", "CS231n, assignment 1", _hinge, lambda g, x: (g * _hinge_mask(x) / 4,), (X,)),
    Case("l2: factor 2 with 0.5", "CS231n, assignment 1", lambda w: 0.5 * 0.1 * np.sum(w * w), lambda g, w: (g * 2 * 0.1 * w,), (W,)),
    Case("cross-entropy: class weights averaged over N", "torch divides by the sum of the weights", _weighted,
         lambda g, x: (g * CLASS_WEIGHTS[LABELS][:, None] * (softmax(x) - ONEHOT) / 4,), (X,)),
    Case("cross-entropy: smoothed labels forgotten", "label smoothing added to the forward only", lambda x: -(SMOOTH * np.log(softmax(x))).sum() / 4,
         lambda g, x: (g * (softmax(x) - ONEHOT) / 4,), (X,)),
]  # fmt: skip
