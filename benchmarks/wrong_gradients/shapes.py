"""Sums over broadcast axes, transposes, indices, reductions, convolution: the right numbers in the wrong places."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.wrong_gradients.case import Case
from benchmarks.wrong_gradients.data import LONG, POSITIVE, W, X

__all__ = ["CASES"]


INDEX = np.array([0, 1, 1, 3, 0])


def _sparse_mistake(g: Any, x: Any) -> tuple[Any]:
    dx = 3 * g * x**2
    dx[137] *= 1.05
    return (dx,)


def _scatter_last(g: Any, x: Any) -> tuple[Any]:
    dx = np.zeros_like(x)
    dx[INDEX] = g
    return (dx,)


def _conv_wrong(g: Any, x: Any, k: Any) -> tuple[Any, Any]:
    # The kernel must be flipped for the gradient of the input.
    return np.convolve(g, k, "full"), np.array([np.sum(g * x[i : i + g.size]) for i in range(k.size)])


def _divided(g: Any, x: Any) -> tuple[Any]:
    out = np.cumprod(x)
    return (np.where(x == 0, 0, np.cumsum((g * out)[::-1])[::-1] / np.where(x == 0, 1, x)),)


TIED = np.array([[1.0, 3.0, 3.0], [2.0, -1.0, 0.5]])


def _two_by_two(x: Any) -> Any:
    """The windows of a 2x2 max pooling."""
    return x.reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(2, 2, 4)


def _pooled_by_mask(g: Any, x: Any) -> tuple[Any]:
    windows = _two_by_two(x)
    dx = g[..., None] * (windows == windows.max(axis=-1, keepdims=True))
    return (dx.reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(4, 4),)


CASES = [
    Case("matmul: not transposed (square)", "a classic slip", lambda x, w: x @ w, lambda g, x, w: (g @ w, x.T @ g), (X[:3], W[:, :3].copy())),
    Case("einsum transposed (square)", "mxnet #18102", lambda x, w: np.einsum("ij,jk->ik", x, w),
         lambda g, x, w: (np.einsum("ik,jk->ij", g, w), np.einsum("ij,ik->kj", x, g)), (X[:3], W[:, :3].copy())),
    Case("bias: mean for sum", "a classic slip", lambda x, b: x + b, lambda g, x, b: (g, g.mean(0)), (X, W[0, :3].copy())),
    Case("broadcast not summed but picked", "HIPS/autograd #376; pytorch #13669", lambda x, b: x * b, lambda g, x, b: (g * b, (g * x)[0]), (X, W[0, :3].copy())),
    Case("repeated indices overwrite", "NumPy fancy indexing", lambda x: x[INDEX], _scatter_last, (POSITIVE[:4].copy(),)),
    Case("one entry of 400 off by 5 %", "sparse Jacobian under one projection, pytorch #57166", lambda x: x**3, _sparse_mistake, (LONG,)),
    Case("mean over all instead of rows", "a classic slip", lambda x: x.mean(axis=1), lambda g, x: (np.broadcast_to(g[:, None] / x.size, x.shape),), (X,)),
    Case("cumsum not reversed", "a classic slip", lambda x: np.cumsum(x), lambda g, x: (np.cumsum(g),), (POSITIVE,)),
    Case("prod: divides where it should exclude", "HIPS/autograd prod with a zero", lambda x: np.prod(x),
         lambda g, x: (np.where(x == 0, 0, g * np.prod(x) / np.where(x == 0, 1, x)),), (np.array([2.0, 0.0, 3.0]),)),
    Case("convolution: kernel not flipped", "a classic slip", lambda x, k: np.convolve(x, k, "valid"), _conv_wrong, (POSITIVE, W[0, :3].copy())),
    Case("max: gradient to the first of each column", "a classic slip", lambda x: x.max(axis=1), lambda g, x: (g[:, None] * (x == x.max(axis=0)),), (X,)),
    Case("max: each of two equal maxima gets it all", "facebookresearch/CrypTen #90", lambda x: x.max(axis=1),
         lambda g, x: (g[:, None] * (x == x.max(axis=1, keepdims=True)),), (TIED,)),
    Case("maximum: both sides of a tie get it all", "mask by >= on one side and <= on the other", np.maximum,
         lambda g, x, y: (g * (x >= y), g * (y >= x)), (TIED[0], np.array([0.5, 3.0, 3.0]))),
    Case("max pooling by mask: a window of zeros after ReLU", "CS231n, assignment 2", lambda x: _two_by_two(x).max(axis=-1), _pooled_by_mask,
         (np.array([[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.5, 0.0], [3.0, 1.0, 0.0, 0.0], [0.2, 1.0, 0.0, 0.4]]),)),
    Case("cumprod: divides by a zero", "tensorflow #3862, #119430; pytorch #53711", np.cumprod, _divided, (np.array([2.0, 0.0, 3.0, 0.5]),)),
    Case("of two uses of a bias one is forgotten", "accumulation, karpathy/micrograd #64", lambda x, b: x * b + b, lambda g, x, b: (g * b, (g * x).sum(0)),
         (X, W[0, :3].copy())),
    Case("gather: gradient by the permutation itself, not its inverse", "argsort for its own inverse", lambda x: x[np.array([2, 0, 3, 1])],
         lambda g, x: (g[np.array([2, 0, 3, 1])],), (X,)),
    Case("padding: gradient cropped one off", "off by one", lambda x: np.pad(x, 1), lambda g, x: (g[:-2],), (POSITIVE,)),
]  # fmt: skip
