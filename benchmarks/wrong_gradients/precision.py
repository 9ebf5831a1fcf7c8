"""Right formulas that lose digits: casts and cancellation."""

from __future__ import annotations

import numpy as np

from benchmarks.wrong_gradients.case import Case
from benchmarks.wrong_gradients.data import POSITIVE, X

__all__ = ["CASES"]


CASES = [
    Case("float32 in between", "a stray cast", lambda x: np.exp(x), lambda g, x: (g * np.exp(x.astype(np.float32)).astype(np.float64),), (X,)),
    Case("cancellation: 1 - cos for small x", "naive formula", lambda x: np.sin(x) - x,
         lambda g, x: (g * (np.cos(x.astype(np.float32)).astype(float) - 1),), (np.array([1e-3, 2e-3]),)),
    Case("logsumexp in float32", "mixed precision without a master copy", lambda x: np.log(np.exp(x).sum()),
         lambda g, x: (g * (np.exp(x.astype(np.float32)) / np.exp(x.astype(np.float32)).sum()).astype(float),), (X,)),
    Case("log1p's gradient through 1 + x rounded to float32", "a stray cast", np.log1p, lambda g, x: (g / (1 + x).astype(np.float32).astype(float),),
         (POSITIVE * 1e-3,)),
]  # fmt: skip
