"""Wrong gradients as they happen: each a forward pass and a backward pass that looks right, as made in courses and found in issue trackers.

A case is a pair of plain NumPy functions, so that every checker can be given the same mistake. ``forward(*inputs) -> out`` and
``backward(g, *inputs) -> gradients`` (None for an input without one). ``second`` holds a wrong second derivative that is right in first
order: a function of Tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CASES", "Case"]

RNG = np.random.default_rng(2024)
X = RNG.normal(size=(4, 3))
W = RNG.normal(size=(3, 5))
LONG = RNG.normal(size=400)
POSITIVE = RNG.uniform(0.5, 2.0, 6)


@dataclass(frozen=True)
class Case:
    """One wrong gradient.

    Attributes
    ----------
    name, source : str
        What is wrong, and where such a mistake happens.
    forward, backward : callable
    inputs : tuple
    """

    name: str
    source: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: tuple[Any, ...]


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _normalised(x: Any, axis: int) -> tuple[Any, Any]:
    centred = x - x.mean(axis=axis, keepdims=True)
    s = 1 / np.sqrt((centred**2).mean(axis=axis, keepdims=True) + 1e-5)
    return centred * s, s


def _norm_gradient(g: Any, x: Any, axis: int) -> Any:
    xhat, s = _normalised(x, axis)
    return s * (g - g.mean(axis=axis, keepdims=True) - xhat * (g * xhat).mean(axis=axis, keepdims=True))


def _sparse_mistake(g: Any, x: Any) -> tuple[Any]:
    dx = 3 * g * x**2
    dx = dx.copy()
    dx[137] *= 1.05
    return (dx,)


def _aliased(g: Any, x: Any, y: Any) -> tuple[Any, Any]:
    dx = g * y
    dy = dx
    dy *= x / y
    return dx, dy


LABELS = np.array([0, 2, 1, 2])
ONEHOT = np.eye(3)[LABELS]
MASK = RNG.random((4, 3)) < 0.6
INDEX = np.array([0, 1, 1, 3, 0])


def _cross_entropy(x: Any) -> Any:
    p = softmax(x)
    return -np.log(p[np.arange(4), LABELS]).mean()


def _hinge(x: Any) -> Any:
    margins = np.maximum(0, x - x[np.arange(4), LABELS][:, None] + 1)
    margins[np.arange(4), LABELS] = 0
    return margins.sum() / 4


def _hinge_mask(x: Any) -> Any:
    mask = (x - x[np.arange(4), LABELS][:, None] + 1 > 0).astype(float)
    mask[np.arange(4), LABELS] = 0
    return mask


def _scatter_last(g: Any, x: Any) -> tuple[Any]:
    dx = np.zeros_like(x)
    dx[INDEX] = g
    return (dx,)


def _conv_wrong(g: Any, x: Any, k: Any) -> tuple[Any, Any]:
    # The kernel must be flipped for the gradient of the input.
    return np.convolve(g, k, "full"), np.array([np.sum(g * x[i : i + g.size]) for i in range(k.size)])


CASES = [
    Case("scaled by 1.0005", "HIPS/autograd tests/test_tests.py", lambda x: x**2, lambda g, x: (2.001 * g * x,), (X,)),
    Case("scaled by 1 + 1e-6", "a constant typed with too few digits", lambda x: np.log(x), lambda g, x: (g / x * (1 + 1e-6),), (POSITIVE,)),
    Case("ln 10 typed as 2.3026", "a constant typed with too few digits", lambda x: np.log10(x), lambda g, x: (g / (2.3026 * x),), (POSITIVE,)),
    Case("sign", "covariance gradient, HIPS/autograd #412", lambda x: np.cos(x), lambda g, x: (g * np.sin(x),), (X,)),
    Case("cotangent forgotten", "PyTorch gradcheck's own note", lambda x: x**3, lambda g, x: (3 * x**2 + 0 * g,), (X,)),
    Case("batchnorm: mean's path forgotten", "CS231n, assignment 2", lambda x: _normalised(x, 0)[0],
         lambda g, x: (_normalised(x, 0)[1] * (g - _normalised(x, 0)[0] * (g * _normalised(x, 0)[0]).mean(0)),), (X,)),
    Case("batchnorm: variance's path forgotten", "CS231n, assignment 2", lambda x: _normalised(x, 0)[0],
         lambda g, x: (_normalised(x, 0)[1] * (g - g.mean(0)),), (X,)),
    Case("batchnorm: divides by m - 1", "makemore, lesson 4", lambda x: _normalised(x, 0)[0],
         lambda g, x: (_normalised(x, 0)[1] * (g - g.mean(0) - _normalised(x, 0)[0] * (g * _normalised(x, 0)[0]).sum(0) / 3),), (X,)),
    Case("layernorm over the wrong axis", "a classic slip", lambda x: _normalised(x, 1)[0], lambda g, x: (_norm_gradient(g, x, 0),), (X,)),
    Case("rmsnorm: mean not differentiated", "a classic slip", lambda x: x / np.sqrt((x**2).mean(1, keepdims=True)),
         lambda g, x: (g / np.sqrt((x**2).mean(1, keepdims=True)),), (X,)),
    Case("dropout not rescaled", "CS231n, assignment 2", lambda x: x * MASK / 0.6, lambda g, x: (g * MASK,), (X,)),
    Case("softmax-CE: not divided by N", "CS231n, assignment 1", _cross_entropy, lambda g, x: (g * (softmax(x) - ONEHOT),), (X,)),
    Case("softmax-CE: divided by classes", "CS231n, assignment 1", _cross_entropy, lambda g, x: (g * (softmax(x) - ONEHOT) / 3,), (X,)),
    Case("softmax: diagonal only", "a classic slip", softmax, lambda g, x: (g * softmax(x) * (1 - softmax(x)),), (X,)),
    Case("hinge: correct class's row forgotten", "CS231n, assignment 1", _hinge, lambda g, x: (g * _hinge_mask(x) / 4,), (X,)),
    Case("matmul: not transposed (square)", "a classic slip", lambda x, w: x @ w, lambda g, x, w: (g @ w, x.T @ g), (X[:3], W[:, :3].copy())),
    Case("einsum transposed (square)", "a classic slip", lambda x, w: np.einsum("ij,jk->ik", x, w),
         lambda g, x, w: (np.einsum("ik,jk->ij", g, w), np.einsum("ij,ik->kj", x, g)), (X[:3], W[:, :3].copy())),
    Case("bias: mean for sum", "a classic slip", lambda x, b: x + b, lambda g, x, b: (g, g.mean(0)), (X, W[0, :3].copy())),
    Case("broadcast not summed but picked", "broadcasting", lambda x, b: x * b, lambda g, x, b: (g * b, (g * x)[0]), (X, W[0, :3].copy())),
    Case("repeated indices overwrite", "NumPy fancy indexing", lambda x: x[INDEX], _scatter_last, (POSITIVE[:4].copy(),)),
    Case("one entry of 400 off by 5 %", "sort under projection, pytorch #57166", lambda x: x**3, _sparse_mistake, (LONG,)),
    Case("mean over all instead of rows", "a classic slip", lambda x: x.mean(axis=1), lambda g, x: (np.broadcast_to(g[:, None] / x.size, x.shape),), (X,)),
    Case("variance: ddof forgotten", "a classic slip", lambda x: x.var(axis=0, ddof=1), lambda g, x: (g * 2 * (x - x.mean(0)) / 4,), (X,)),
    Case("std: square root forgotten", "a classic slip", lambda x: x.std(axis=0), lambda g, x: (g * 2 * (x - x.mean(0)) / 4,), (X,)),
    Case("renorm without the norm's path", "pytorch #59615", lambda x: x / np.linalg.norm(x), lambda g, x: (g / np.linalg.norm(x),), (LONG,)),
    Case("cumsum not reversed", "a classic slip", lambda x: np.cumsum(x), lambda g, x: (np.cumsum(g),), (POSITIVE,)),
    Case("prod: divides where it should exclude", "HIPS/autograd prod with a zero", lambda x: np.prod(x),
         lambda g, x: (np.where(x == 0, 0, g * np.prod(x) / np.where(x == 0, 1, x)),), (np.array([2.0, 0.0, 3.0]),)),
    Case("convolution: kernel not flipped", "a classic slip", lambda x, k: np.convolve(x, k, "valid"), _conv_wrong, (POSITIVE, W[0, :3].copy())),
    Case("tanh: derivative at the output's tanh", "a classic slip", np.tanh, lambda g, x: (g * (1 - np.tanh(np.tanh(x)) ** 2),), (X,)),
    Case("sigmoid: s for s (1 - s)", "a classic slip", lambda x: 1 / (1 + np.exp(-x)), lambda g, x: (g / (1 + np.exp(-x)),), (X,)),
    Case("gelu: tanh form's derivative for the exact", "two definitions of GELU",
         lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
         lambda g, x: (g * (0.5 * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3))) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)),), (X,)),
    Case("l2: factor 2 with 0.5", "CS231n, assignment 1", lambda w: 0.5 * 0.1 * np.sum(w * w), lambda g, w: (g * 2 * 0.1 * w,), (W,)),
    Case("in-place alias between two gradients", "chainer #488", lambda x, y: x * y, _aliased, (POSITIVE.copy(), POSITIVE[::-1].copy())),
    Case("float32 in between", "a stray cast", lambda x: np.exp(x), lambda g, x: (g * np.exp(x.astype(np.float32)).astype(np.float64),), (X,)),
    Case("cancellation: 1 - cos for small x", "naive formula", lambda x: np.sin(x) - x,
         lambda g, x: (g * (np.cos(x.astype(np.float32)).astype(float) - 1),), (np.array([1e-3, 2e-3]),)),
    Case("sqrt(1e-6) off by 30 %", "fixed steps, field notes 4", np.sqrt, lambda g, x: (g * 0.5 / np.sqrt(x) * 1.3,), (np.full(3, 1e-6),)),
    Case("norm over the wrong axis", "a classic slip", lambda x: np.sqrt((x**2).sum(axis=1)),
         lambda g, x: (g[:, None] * x / np.sqrt((x**2).sum(axis=0)),), (X,)),
    Case("max: gradient to the first of each column", "a classic slip", lambda x: x.max(axis=1), lambda g, x: (g[:, None] * (x == x.max(axis=0)),), (X,)),
    Case("where: branches exchanged", "a classic slip", lambda x: np.where(x > 0, x**2, -x), lambda g, x: (g * np.where(x > 0, -1, 2 * x),), (X,)),
    Case("small entry among large ones off by 1e-3", "tolerances times array size", lambda x: np.array([1e6, 1.0]) * x**2,
         lambda g, x: (g * np.array([2e6, 2.002]) * x,), (np.array([1.5, 0.5]),)),
]  # fmt: skip
