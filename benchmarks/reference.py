"""The same computations by hand in NumPy, in two grades.

*Textbook*: what the lecture notes of CS231n teach, line by line, float32 throughout. *Careful*: what somebody writes
who has profiled it: sums by BLAS and ``einsum``, no temporary that can be avoided, buffers kept from step to step, all
parameters in one flat vector so that the optimiser makes one pass in blocks that stay in cache.

Both grades are checked against each other (and every other candidate against them) before anything is timed. Weights
are laid out ``(in, out)`` as in CS231n.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = [
    "CS231N",
    "SMALL",
    "CarefulAdam",
    "LARGE",
    "CarefulNet",
    "Net",
    "Problem",
    "TextbookAdam",
    "TextbookNet",
    "careful_batch_norm",
    "careful_conv",
    "careful_cross_entropy",
    "careful_dropout",
    "careful_gelu_tanh",
    "careful_layer_norm",
    "careful_max_pool",
    "careful_relu_dropout",
    "textbook_batch_norm",
    "textbook_conv",
    "textbook_cross_entropy",
    "textbook_dropout",
    "textbook_gelu_tanh",
    "textbook_layer_norm",
    "textbook_max_pool",
    "textbook_relu_dropout",
]

Array = Any  # a float32 ndarray; the shapes are told in each docstring
EPS = 1e-5
RATE, BETA1, BETA2, ADAM_EPS = 1e-3, 0.9, 0.999, 1e-8


# --- normalisation ---------------------------------------------------------------------------------------------------


def textbook_batch_norm(x: Array, gamma: Array, beta: Array, g: Array) -> tuple[Array, ...]:
    """Batch normalisation, ``x`` (N, C) or (N, C, H, W): output and gradients of ``x``, ``gamma``, ``beta``."""
    axes = (0,) if x.ndim == 2 else (0, 2, 3)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    count = x.size // x.shape[1]
    mean = np.mean(x, axis=axes, keepdims=True)
    var = np.var(x, axis=axes, keepdims=True)
    std = np.sqrt(var + EPS)
    hat = (x - mean) / std
    out = gamma.reshape(shape) * hat + beta.reshape(shape)
    gbeta = np.sum(g, axis=axes)
    ggamma = np.sum(g * hat, axis=axes)
    ghat = g * gamma.reshape(shape)
    gvar = np.sum(ghat * (x - mean) * -0.5 / std**3, axis=axes, keepdims=True)
    gmean = np.sum(-ghat / std, axis=axes, keepdims=True) + gvar * np.mean(-2 * (x - mean), axis=axes, keepdims=True)
    gx = ghat / std + gvar * 2 * (x - mean) / count + gmean / count
    return out, gx, ggamma, gbeta


def careful_batch_norm(x: Array, gamma: Array, beta: Array, g: Array) -> tuple[Array, ...]:
    """The same; one line for ``gx``, sums by BLAS."""
    if x.ndim == 4:
        return _careful_batch_norm_2d(x, gamma, beta, g)
    weights = np.full(x.shape[0], 1.0 / x.shape[0], x.dtype)
    hat = x - weights @ x
    inverse = np.einsum("nc,nc->c", hat, hat)
    inverse *= weights[0]
    inverse += EPS
    np.sqrt(inverse, inverse)
    np.divide(1, inverse, inverse)
    hat *= inverse
    out = hat * gamma
    out += beta
    mean_g = weights @ g
    ggamma = np.einsum("nc,nc->c", g, hat)
    gx = hat * (ggamma * weights[0])
    np.subtract(g, gx, gx)
    gx -= mean_g
    gx *= gamma * inverse
    return out, gx, ggamma, mean_g * x.dtype.type(x.shape[0])


def _careful_batch_norm_2d(x: Array, gamma: Array, beta: Array, g: Array) -> tuple[Array, ...]:
    n, c, height, width = x.shape
    area = height * width
    ones = np.ones(area, x.dtype)
    scale = x.dtype.type(1.0 / (n * area))
    flat, gflat = x.reshape(n, c, area), g.reshape(n, c, area)
    mean = (flat @ ones).sum(0) * scale
    hat = flat - mean[:, None]
    inverse = 1 / np.sqrt(np.vecdot(hat, hat).sum(0) * scale + x.dtype.type(EPS))
    hat *= inverse[:, None]
    out = hat * gamma[:, None]
    out += beta[:, None]
    gbeta = (gflat @ ones).sum(0)
    ggamma = np.vecdot(gflat, hat).sum(0)
    gx = hat * (ggamma * scale)[:, None]
    np.subtract(gflat, gx, gx)
    gx -= (gbeta * scale)[:, None]
    gx *= (gamma * inverse)[:, None]
    return out.reshape(x.shape), gx.reshape(x.shape), ggamma, gbeta


def textbook_layer_norm(x: Array, gamma: Array, beta: Array, g: Array) -> tuple[Array, ...]:
    """Layer normalisation over the last axis: output and gradients of ``x``, ``gamma``, ``beta``."""
    mean = np.mean(x, axis=-1, keepdims=True)
    var = np.var(x, axis=-1, keepdims=True)
    std = np.sqrt(var + EPS)
    hat = (x - mean) / std
    out = gamma * hat + beta
    axes = tuple(range(x.ndim - 1))
    gbeta = np.sum(g, axis=axes)
    ggamma = np.sum(g * hat, axis=axes)
    ghat = g * gamma
    gx = (ghat - np.mean(ghat, axis=-1, keepdims=True) - hat * np.mean(ghat * hat, axis=-1, keepdims=True)) / std
    return out, gx, ggamma, gbeta


def careful_layer_norm(x: Array, gamma: Array, beta: Array, g: Array) -> tuple[Array, ...]:
    """The same, on rows, sums by BLAS and ``vecdot``."""
    width = x.shape[-1]
    rows, grows = x.reshape(-1, width), g.reshape(-1, width)
    weights = np.full(width, 1.0 / width, x.dtype)
    hat = rows - (rows @ weights)[:, None]
    inverse = 1 / np.sqrt(np.vecdot(hat, hat) * weights[0] + x.dtype.type(EPS))
    hat *= inverse[:, None]
    out = hat * gamma
    out += beta
    gbeta = np.ones(len(rows), x.dtype) @ grows
    ggamma = np.einsum("nd,nd->d", grows, hat)
    gx = grows * gamma
    mean_g = gx @ weights
    mean_gh = np.vecdot(gx, hat)
    mean_gh *= weights[0]
    hat *= mean_gh[:, None]
    gx -= hat
    gx -= mean_g[:, None]
    gx *= inverse[:, None]
    return out.reshape(x.shape), gx.reshape(x.shape), ggamma, gbeta


# --- losses, dropout, pooling, convolution ---------------------------------------------------------------------------


def textbook_cross_entropy(scores: Array, labels: Array) -> tuple[Array, Array]:
    """Mean softmax cross-entropy of ``scores`` (N, C): the loss and its gradient (N, C)."""
    rows = np.arange(len(scores))
    shifted = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    probabilities = shifted / np.sum(shifted, axis=1, keepdims=True)
    loss = -np.mean(np.log(probabilities[rows, labels]))
    gradient = probabilities.copy()
    gradient[rows, labels] -= 1
    gradient /= len(scores)
    return loss, gradient


def careful_cross_entropy(scores: Array, labels: Array) -> tuple[Array, Array]:
    """The same in one buffer."""
    n = len(scores)
    rows = np.arange(n)
    e = scores - scores.max(axis=1, keepdims=True)
    picked = e[rows, labels]
    np.exp(e, e)
    total = e @ np.ones(scores.shape[1], scores.dtype)
    loss = (np.log(total).sum() - picked.sum()) / scores.dtype.type(n)
    total *= scores.dtype.type(n)
    e *= (1 / total)[:, None]
    e[rows, labels] -= scores.dtype.type(1 / n)
    return loss, e


def textbook_dropout(x: Array, keep: float, rng: np.random.Generator, g: Array) -> tuple[Array, Array]:
    """Inverted dropout with a fresh mask: output and gradient."""
    mask = (rng.random(x.shape, dtype=np.float32) < keep).astype(x.dtype) / x.dtype.type(keep)
    return x * mask, g * mask


def careful_dropout(x: Array, keep: float, rng: np.random.Generator, g: Array) -> tuple[Array, Array]:
    """The same from raw 16-bit integers: the chance to keep is met to 1 in 65,536."""
    mask = draw_mask(rng, x.shape, keep)
    scale = x.dtype.type(1 / keep)
    factor = mask * scale
    return x * factor, g * factor


def draw_mask(rng: np.random.Generator, shape: tuple[int, ...], keep: float) -> Array:
    """A boolean mask out of the generator's raw bits, four draws a word."""
    size = math.prod(shape)
    words = rng.bit_generator.random_raw(-(-size // 4))
    draws: Array = words.view(np.uint16)[:size].reshape(shape)
    return draws < np.uint16(round(keep * 65536))


def textbook_relu_dropout(x: Array, keep: float, rng: np.random.Generator, g: Array) -> tuple[Array, Array]:
    """ReLU, then inverted dropout with a fresh mask: output and gradient."""
    mask = (rng.random(x.shape, dtype=np.float32) < keep).astype(x.dtype) / x.dtype.type(keep)
    return np.maximum(x, 0) * mask, np.where(x > 0, g * mask, 0)


def careful_relu_dropout(x: Array, keep: float, rng: np.random.Generator, g: Array) -> tuple[Array, Array]:
    """The same by one factor for both."""
    mask = draw_mask(rng, x.shape, keep)
    mask &= x > 0
    factor = mask * x.dtype.type(1 / keep)
    return x * factor, g * factor


def textbook_gelu_tanh(x: Array, g: Array) -> tuple[Array, Array]:
    """GELU by its hyperbolic tangent: output and gradient."""
    c = np.float32(np.sqrt(2 / np.pi))
    t = np.tanh(c * (x + np.float32(0.044715) * x**3))
    slope = 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * c * (1 + np.float32(3 * 0.044715) * x**2)
    return 0.5 * x * (1 + t), g * slope


def careful_gelu_tanh(x: Array, g: Array) -> tuple[Array, Array]:
    """The same in place: ``x s`` and ``g (s + 2 s (1 - s) x u')`` with ``s = (1 + tanh u) / 2``."""
    c = x.dtype.type(np.sqrt(2 / np.pi))
    square = x * x
    s = square * x.dtype.type(0.044715)
    s += 1
    s *= x
    s *= c
    np.tanh(s, s)
    s += 1
    s *= x.dtype.type(0.5)
    square *= 3 * x.dtype.type(0.044715) * c * 2
    square += 2 * c
    square *= x
    gradient = 1 - s
    gradient *= s
    gradient *= square
    gradient += s
    gradient *= g
    s *= x
    return s, gradient


def textbook_max_pool(x: Array, g: Array) -> tuple[Array, Array]:
    """2x2 max pooling, stride 2, of ``x`` (N, C, H, W): output and gradient, by windows as in CS231n's fast layer."""
    n, c, height, width = x.shape
    windows = x.reshape(n, c, height // 2, 2, width // 2, 2)
    out = windows.max(axis=3).max(axis=4)
    mask = windows == out[:, :, :, None, :, None]
    gwindows = np.zeros_like(windows)
    spread, _ = np.broadcast_arrays(g[:, :, :, None, :, None], gwindows)
    gwindows[mask] = spread[mask]
    gwindows /= np.sum(mask, axis=(3, 5), keepdims=True).astype(x.dtype)
    return out, gwindows.reshape(x.shape)


def careful_max_pool(x: Array, g: Array) -> tuple[Array, Array]:
    """The same over four strided views: the first of equal entries takes the gradient."""
    corners = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    top = np.maximum(corners[0], corners[1])
    bottom = np.maximum(corners[2], corners[3])
    out = np.maximum(top, bottom)
    gx = np.empty_like(x)
    upper = top >= bottom
    left_top = corners[0] >= corners[1]
    left_bottom = corners[2] >= corners[3]
    g_top = g * upper
    g_bottom = g - g_top
    np.multiply(g_top, left_top, gx[:, :, 0::2, 0::2])
    np.subtract(g_top, gx[:, :, 0::2, 0::2], gx[:, :, 0::2, 1::2])
    np.multiply(g_bottom, left_bottom, gx[:, :, 1::2, 0::2])
    np.subtract(g_bottom, gx[:, :, 1::2, 0::2], gx[:, :, 1::2, 1::2])
    return out, gx


def textbook_conv(x: Array, w: Array, b: Array, g: Array) -> tuple[Array, ...]:
    """3x3 convolution, padding 1, by im2col over rows: output and gradients of ``x``, ``w`` (F, C, 3, 3), ``b``."""
    n, c, height, width = x.shape
    f = len(w)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, c * 9)
    out = (columns @ w.reshape(f, -1).T + b).reshape(n, height, width, f).transpose(0, 3, 1, 2)
    gout = g.transpose(0, 2, 3, 1).reshape(-1, f)
    gb = np.sum(gout, axis=0)
    gw = (gout.T @ columns).reshape(w.shape)
    gcolumns = (gout @ w.reshape(f, -1)).reshape(n, height, width, c, 3, 3)
    gpadded = np.zeros_like(padded)
    for i in range(3):
        for j in range(3):
            gpadded[:, :, i : i + height, j : j + width] += gcolumns[..., i, j].transpose(0, 3, 1, 2)
    return out, gpadded[:, :, 1:-1, 1:-1], gw, gb


def careful_conv(x: Array, w: Array, b: Array, g: Array) -> tuple[Array, ...]:
    """The same by windows per image and batched products; no transposed copies."""
    n, c, height, width = x.shape
    f, area = len(w), height * width
    padded = np.zeros((n, c, height + 2, width + 2), x.dtype)
    padded[:, :, 1:-1, 1:-1] = x
    columns = np.empty((n, c, 3, 3, height, width), x.dtype)
    for i in range(3):
        for j in range(3):
            columns[:, :, i, j] = padded[:, :, i : i + height, j : j + width]
    matrix = columns.reshape(n, c * 9, area)
    kernel = w.reshape(f, c * 9)
    out = kernel @ matrix
    out += b[:, None]
    gflat = g.reshape(n, f, area)
    gb = (gflat @ np.ones(area, x.dtype)).sum(0)
    gw = np.zeros((f, c * 9), x.dtype)
    for image, columns_of in zip(gflat, matrix, strict=True):
        gw += image @ columns_of.T
    gcolumns = np.matmul(kernel.T, gflat, out=matrix).reshape(columns.shape)
    padded.fill(0)
    for i in range(3):
        for j in range(3):
            padded[:, :, i : i + height, j : j + width] += gcolumns[:, :, i, j]
    return out.reshape(n, f, height, width), padded[:, :, 1:-1, 1:-1], gw.reshape(w.shape), gb


# --- Adam ------------------------------------------------------------------------------------------------------------


class TextbookAdam:
    """Adam as CS231n's ``optim.py`` writes it, parameter by parameter.

    Parameters
    ----------
    parameters : list of ndarray
        Rebound at each step: read ``.parameters`` again afterwards.
    """

    def __init__(self, parameters: Sequence[Array]) -> None:
        self.parameters = list(parameters)
        self.m = [np.zeros_like(p) for p in parameters]
        self.v = [np.zeros_like(p) for p in parameters]
        self.t = 0

    def step(self, gradients: Sequence[Array]) -> None:
        self.t += 1
        for i, g in enumerate(gradients):
            self.m[i] = BETA1 * self.m[i] + (1 - BETA1) * g
            self.v[i] = BETA2 * self.v[i] + (1 - BETA2) * g**2
            m_hat = self.m[i] / (1 - BETA1**self.t)
            v_hat = self.v[i] / (1 - BETA2**self.t)
            self.parameters[i] = self.parameters[i] - RATE * m_hat / (np.sqrt(v_hat) + ADAM_EPS)


class CarefulAdam:
    """Adam over one flat vector, in blocks whose five arrays fit a second-level cache, in place."""

    BLOCK = 1 << 15

    def __init__(self, flat: Array) -> None:
        self.flat = flat
        self.m = np.zeros_like(flat)
        self.v = np.zeros_like(flat)
        self.scratch = np.empty(min(self.BLOCK, flat.size), flat.dtype)
        self.t = 0

    def step(self, gradient: Array) -> None:
        self.t += 1
        kind = self.flat.dtype.type
        root = 1 / math.sqrt(1 - BETA2**self.t)
        rate = kind(RATE / (1 - BETA1**self.t) / root)
        eps = kind(ADAM_EPS / root)
        b1, rest1, b2, rest2 = kind(BETA1), kind(1 - BETA1), kind(BETA2), kind(1 - BETA2)
        for start in range(0, self.flat.size, self.BLOCK):
            part = slice(start, start + self.BLOCK)
            p, m, v, g = self.flat[part], self.m[part], self.v[part], gradient[part]
            t = self.scratch[: p.size]
            np.multiply(g, rest1, t)
            m *= b1
            m += t
            np.multiply(g, g, t)
            t *= rest2
            v *= b2
            v += t
            np.sqrt(v, t)
            t += eps
            np.divide(m, t, t)
            t *= rate
            p -= t


# --- networks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Net:
    """{affine - [norm] - relu - [dropout]} x len(hidden) - affine, softmax loss, Adam."""

    inputs: int
    hidden: tuple[int, ...]
    classes: int
    batch: int
    normalization: str | None = None
    keep: float = 1.0
    label: str = ""

    def __str__(self) -> str:
        sizes = self.label or f"{'-'.join(map(str, (self.inputs, *self.hidden, self.classes)))}, batch {self.batch}"
        extras = [self.normalization or "plain", *(["dropout"] if self.keep < 1 else [])]
        return f"{sizes}, {' + '.join(extras)}"


CS231N = (
    Net(3072, (100,) * 5, 10, 100, label="CS231n"),
    Net(3072, (100,) * 5, 10, 100, "batchnorm", label="CS231n"),
    Net(3072, (100,) * 5, 10, 100, "layernorm", label="CS231n"),
    Net(3072, (100,) * 5, 10, 100, "batchnorm", 0.75, label="CS231n"),
)
#: Where products of matrices are all of the time.
LARGE = Net(3072, (1024, 1024), 10, 256, label="large")
SMALL = (Net(64, (32, 32), 10, 32, label="small"), Net(64, (32, 32), 10, 32, "batchnorm", label="small"))


class Problem:
    """A batch and initial parameters for a :class:`Net`, the same for everybody.

    ``layers`` holds a dict per affine layer with ``W`` (in, out), ``b`` and, where normalised, ``gamma``, ``beta``.
    ``masks`` holds one boolean array per dropout layer, for the comparison of results: timed steps draw their own.
    """

    def __init__(self, net: Net, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.net = net
        self.x = rng.standard_normal((net.batch, net.inputs), dtype=np.float32)
        self.y = rng.integers(0, net.classes, net.batch)
        self.layers: list[dict[str, Array]] = []
        widths = (net.inputs, *net.hidden, net.classes)
        for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
            weights = rng.standard_normal((fan_in, fan_out), dtype=np.float32) * np.float32(math.sqrt(2 / fan_in))
            layer = {"W": weights, "b": np.zeros(fan_out, np.float32)}
            if net.normalization and i < len(net.hidden):
                layer["gamma"] = rng.uniform(0.5, 1.5, fan_out).astype(np.float32)
                layer["beta"] = rng.uniform(-0.5, 0.5, fan_out).astype(np.float32)
            self.layers.append(layer)
        self.masks = [rng.random((net.batch, width)) < net.keep for width in net.hidden]

    def entries(self) -> Iterator[tuple[int, str]]:
        """``(layer, name)`` of every parameter whose gradients are compared.

        A bias before batch normalisation is left out: its gradient is zero but for rounding.
        """
        for i, layer in enumerate(self.layers):
            for name in layer:
                if not (name == "b" and self.net.normalization == "batchnorm" and "gamma" in layer):
                    yield i, name


class TextbookNet:
    """Forward, backward and Adam out of the lecture notes."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.net = problem.net
        self.layers = [dict(layer) for layer in problem.layers]
        self.running = [(np.zeros(w, np.float32), np.ones(w, np.float32)) for w in self.net.hidden]
        self.keys = [(i, name) for i, layer in enumerate(self.layers) for name in layer]
        self.adam = TextbookAdam([self.layers[i][name] for i, name in self.keys])
        self.rng = np.random.default_rng(1)

    def gradients(self, masks: Sequence[Array] | None = None) -> tuple[Array, list[dict[str, Array]]]:
        """The loss and a dict of gradients per layer, with the masks given or with fresh ones."""
        net, x = self.net, self.problem.x
        caches: list[tuple[Any, ...]] = []
        for i, layer in enumerate(self.layers[:-1]):
            out = x.dot(layer["W"]) + layer["b"]
            norm: Any = None
            if net.normalization == "batchnorm":
                mean, var = np.mean(out, axis=0), np.var(out, axis=0)
                std = np.sqrt(var + EPS)
                hat = (out - mean) / std
                old_mean, old_var = self.running[i]
                self.running[i] = (0.9 * old_mean + 0.1 * mean, 0.9 * old_var + 0.1 * var)
                norm = (hat, std)
                out = layer["gamma"] * hat + layer["beta"]
            elif net.normalization == "layernorm":
                mean, var = np.mean(out, axis=1, keepdims=True), np.var(out, axis=1, keepdims=True)
                std = np.sqrt(var + EPS)
                hat = (out - mean) / std
                norm = (hat, std)
                out = layer["gamma"] * hat + layer["beta"]
            hidden = np.maximum(0, out)
            mask: Any = None
            if net.keep < 1:
                kept = self.rng.random(hidden.shape, dtype=np.float32) < net.keep if masks is None else masks[i]
                mask = kept.astype(np.float32) / np.float32(net.keep)
                hidden = hidden * mask
            caches.append((x, norm, out, mask))
            x = hidden
        last = self.layers[-1]
        loss, g = textbook_cross_entropy(x.dot(last["W"]) + last["b"], self.problem.y)
        result: list[dict[str, Array]] = [{"W": x.T.dot(g), "b": np.sum(g, axis=0)}]
        g = g.dot(last["W"].T)
        for i in reversed(range(len(caches))):
            x, norm, out, mask = caches[i]
            layer = self.layers[i]
            if mask is not None:
                g = g * mask
            g = g * (out > 0)
            found: dict[str, Array] = {}
            if norm is not None:
                hat, std = norm
                found["gamma"], found["beta"] = np.sum(g * hat, axis=0), np.sum(g, axis=0)
                ghat = g * layer["gamma"]
                axis = 0 if net.normalization == "batchnorm" else 1
                mean_g, mean_gh = np.mean(ghat, axis, keepdims=True), np.mean(ghat * hat, axis, keepdims=True)
                g = (ghat - mean_g - hat * mean_gh) / std
            found["W"], found["b"] = x.T.dot(g), np.sum(g, axis=0)
            if i:
                g = g.dot(layer["W"].T)
            result.append(found)
        return loss, result[::-1]

    def step(self) -> None:
        """One training step with fresh masks."""
        _, gradients = self.gradients()
        self.adam.step([gradients[i][name] for i, name in self.keys])
        for (i, name), p in zip(self.keys, self.adam.parameters, strict=True):
            self.layers[i][name] = p

    def result(self) -> list[Array]:
        """Loss and gradients at the initial parameters with the problem's masks."""
        loss, gradients = TextbookNet(self.problem).gradients(self.problem.masks)
        return [loss, *(gradients[i][name] for i, name in self.problem.entries())]


class CarefulNet:
    """The same with every buffer kept, gradients written straight into one flat vector, blocked Adam."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        net = self.net = problem.net
        size = sum(p.size for layer in problem.layers for p in layer.values())
        self.flat = np.empty(size, np.float32)
        self.gflat = np.zeros(size, np.float32)
        self.layers: list[dict[str, Array]] = []
        self.grads: list[dict[str, Array]] = []
        offset = 0
        for source in problem.layers:
            layer: dict[str, Array] = {}
            grads: dict[str, Array] = {}
            for name, p in source.items():
                layer[name] = self.flat[offset : offset + p.size].reshape(p.shape)
                layer[name][...] = p
                grads[name] = self.gflat[offset : offset + p.size].reshape(p.shape)
                offset += p.size
            self.layers.append(layer)
            self.grads.append(grads)
        n = net.batch
        widths = [*net.hidden, net.classes]
        self.pre = [np.empty((n, w), np.float32) for w in widths]
        self.post = [np.empty((n, w), np.float32) for w in net.hidden]
        self.back = [np.empty((n, w), np.float32) for w in net.hidden]
        self.gate = [np.empty((n, w), np.bool_) for w in net.hidden]
        self.scratch = [np.empty((n, w), np.float32) for w in net.hidden]
        self.inverse: list[Array] = [None] * len(net.hidden)
        self.running = [(np.zeros(w, np.float32), np.ones(w, np.float32)) for w in net.hidden]
        self.row_mean = np.full(n, 1 / n, np.float32)
        self.row_ones = np.ones(n, np.float32)
        self.means = [np.full(w, 1 / w, np.float32) for w in widths]
        self.rows = np.arange(n)
        self.class_ones = np.ones(net.classes, np.float32)
        self.adam = CarefulAdam(self.flat)
        self.rng = np.random.Generator(np.random.SFC64(1))

    def gradients(self, masks: Sequence[Array] | None = None) -> Array:
        """The loss; the gradients go to ``grads``."""
        net, x = self.net, self.problem.x
        keep_scale = np.float32(1 / net.keep)
        eps = np.float32(EPS)
        last = len(net.hidden)
        inputs = [x, *self.post]
        for i in range(last):
            layer, z, h = self.layers[i], self.pre[i], self.post[i]
            np.dot(inputs[i], layer["W"], z)
            if net.normalization == "batchnorm":  # the bias before it has no effect
                mean = self.row_mean @ z
                z -= mean
                var = np.einsum("nc,nc->c", z, z)
                var *= self.row_mean[0]
                old_mean, old_var = self.running[i]
                old_mean *= np.float32(0.9)
                old_mean += np.float32(0.1) * (mean + layer["b"])
                old_var *= np.float32(0.9)
                old_var += np.float32(0.1) * var
                var += eps
                np.sqrt(var, var)
                inverse = self.inverse[i] = np.divide(np.float32(1), var, var)
                z *= inverse
                np.multiply(z, layer["gamma"], h)
                h += layer["beta"]
            elif net.normalization == "layernorm":
                z += layer["b"]
                z -= (z @ self.means[i])[:, None]
                var = np.vecdot(z, z)
                var *= self.means[i][0]
                var += eps
                np.sqrt(var, var)
                inverse = self.inverse[i] = np.divide(np.float32(1), var, var)[:, None]
                z *= inverse
                np.multiply(z, layer["gamma"], h)
                h += layer["beta"]
            else:
                np.add(z, layer["b"], h)
            gate = np.greater(h, 0, self.gate[i])
            if net.keep < 1:
                gate &= draw_mask(self.rng, gate.shape, net.keep) if masks is None else masks[i]
                h *= keep_scale
            h *= gate
        layer, grads = self.layers[last], self.grads[last]
        scores = np.dot(inputs[last], layer["W"], self.pre[last])
        scores += layer["b"]
        scores -= scores.max(axis=1, keepdims=True)
        picked = scores[self.rows, self.problem.y]
        np.exp(scores, scores)
        total = scores @ self.class_ones
        loss = (np.log(total).sum() - picked.sum()) * self.row_mean[0]
        np.divide(self.row_mean[0], total, total)
        scores *= total[:, None]
        scores[self.rows, self.problem.y] -= self.row_mean[0]
        g = scores
        np.dot(inputs[last].T, g, grads["W"])
        np.dot(self.row_ones, g, grads["b"])
        for i in reversed(range(last)):
            g = np.dot(g, self.layers[i + 1]["W"].T, self.back[i])
            g *= self.gate[i]
            if net.keep < 1:
                g *= keep_scale
            layer, grads, hat, t = self.layers[i], self.grads[i], self.pre[i], self.scratch[i]
            if net.normalization == "batchnorm":
                np.dot(self.row_ones, g, grads["beta"])
                np.einsum("nc,nc->c", g, hat, out=grads["gamma"])
                np.multiply(hat, grads["gamma"] * self.row_mean[0], t)
                g -= t
                g -= grads["beta"] * self.row_mean[0]
                g *= layer["gamma"] * self.inverse[i]
                # the bias has no effect, so its gradient stays at the zero it was made with
            else:
                if net.normalization == "layernorm":
                    np.dot(self.row_ones, g, grads["beta"])
                    np.einsum("nc,nc->c", g, hat, out=grads["gamma"])
                    g *= layer["gamma"]
                    mean_g = g @ self.means[i]
                    np.multiply(hat, (np.vecdot(g, hat) * self.means[i][0])[:, None], t)
                    g -= t
                    g -= mean_g[:, None]
                    g *= self.inverse[i]
                np.dot(self.row_ones, g, grads["b"])
            np.dot(inputs[i].T, g, grads["W"])
        return loss

    def step(self) -> None:
        """One training step with fresh masks."""
        self.gradients()
        self.adam.step(self.gflat)

    def result(self) -> list[Array]:
        """Loss and gradients at the initial parameters with the problem's masks."""
        fresh = CarefulNet(self.problem)
        loss = fresh.gradients(self.problem.masks)
        return [loss, *(fresh.grads[i][name] for i, name in self.problem.entries())]
