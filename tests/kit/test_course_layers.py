"""Right layers of courses in their own words pass unwrapped: CS231n, deeplearning.ai, minitorch, needle, UvA, CMU."""

# They are written as courses write them.
# ruff: noqa: B905, E741, F841, NPY002, RUF059

import inspect

import numpy as np
import pytest

from autodiff.core.errors import ArgumentError
from autodiff.testing import check_pair
from autodiff.testing.course import check_layer

r = np.random.default_rng(0)
LAYERS = {}


def N(*shape):
    return r.normal(size=shape)


def add(name, forward, backward, *inputs, **options):
    LAYERS[name] = forward, backward, list(inputs), options


# --- CS231n
def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


add("affine", affine_forward, affine_backward, N(3, 2, 4), N(8, 5), N(5))


def relu_forward(x):
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    x = cache
    dx = dout.copy()
    dx[x <= 0] = 0
    return dx


add("relu", relu_forward, relu_backward, N(4, 5))


def relu_inplace(dout, cache):
    dout[cache <= 0] = 0
    return dout


add("relu in place on dout", relu_forward, relu_inplace, N(4, 5))


def softmax_loss(x, y):
    s = x - x.max(axis=1, keepdims=True)
    p = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    n = x.shape[0]
    loss = -np.log(p[np.arange(n), y]).mean()
    dx = p.copy()
    dx[np.arange(n), y] -= 1
    dx /= n
    return loss, dx


add("softmax_loss", softmax_loss, None, N(5, 4), np.array([0, 1, 3, 2, 2]))


def svm_loss(x, y):
    n = x.shape[0]
    c = x[np.arange(n), y]
    m = np.maximum(0, x - c[:, None] + 1)
    m[np.arange(n), y] = 0
    loss = m.sum() / n
    npos = (m > 0).sum(1)
    dx = np.zeros_like(x)
    dx[m > 0] = 1
    dx[np.arange(n), y] -= npos
    dx /= n
    return loss, dx


add("svm_loss", svm_loss, None, N(5, 4), np.array([0, 1, 3, 2, 2]))


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    mom = bn_param.get("momentum", 0.9)
    n, d = x.shape
    rm = bn_param.get("running_mean", np.zeros(d, dtype=x.dtype))
    rv = bn_param.get("running_var", np.zeros(d, dtype=x.dtype))
    if mode == "train":
        mu = x.mean(0)
        var = x.var(0)
        std = np.sqrt(var + eps)
        xh = (x - mu) / std
        out = gamma * xh + beta
        rm = mom * rm + (1 - mom) * mu
        rv = mom * rv + (1 - mom) * var
        cache = (xh, gamma, std)
    else:
        xh = (x - rm) / np.sqrt(rv + eps)
        out = gamma * xh + beta
        cache = (xh, gamma, np.sqrt(rv + eps))
    bn_param["running_mean"] = rm
    bn_param["running_var"] = rv
    return out, cache


def batchnorm_backward(dout, cache):
    xh, g, std = cache
    n = dout.shape[0]
    dg = (dout * xh).sum(0)
    db = dout.sum(0)
    dxh = dout * g
    dx = (dxh - dxh.mean(0) - xh * (dxh * xh).mean(0)) / std
    return dx, dg, db


add("batchnorm train", batchnorm_forward, batchnorm_backward, N(6, 4), N(4), N(4), {"mode": "train"})
add(
    "batchnorm kw",
    lambda x, gamma, beta, mode="train": batchnorm_forward(x, gamma, beta, {"mode": mode}),
    batchnorm_backward,
    N(6, 4),
    N(4),
    N(4),
    mode="train",
)


def bn_test_backward(dout, cache):
    xh, g, std = cache
    return dout * g / std, (dout * xh).sum(0), dout.sum(0)


add(
    "batchnorm test",
    batchnorm_forward,
    bn_test_backward,
    N(6, 4),
    N(4),
    N(4),
    {"mode": "test", "running_mean": N(4), "running_var": N(4) ** 2 + 1},
)


def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get("eps", 1e-5)
    mu = x.mean(1, keepdims=True)
    s = np.sqrt(x.var(1, keepdims=True) + eps)
    xh = (x - mu) / s
    return gamma * xh + beta, (xh, gamma, s)


def layernorm_backward(dout, cache):
    xh, g, s = cache
    d = dout * g
    return (d - d.mean(1, keepdims=True) - xh * (d * xh).mean(1, keepdims=True)) / s, (dout * xh).sum(0), dout.sum(0)


add("layernorm", layernorm_forward, layernorm_backward, N(4, 6), N(6), N(6), {})


def dropout_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    mask = None
    if mode == "train":
        mask = (np.random.rand(*x.shape) < p) / p
        out = x * mask
    else:
        out = x
    return out.astype(x.dtype, copy=False), (dropout_param, mask)


def dropout_backward(dout, cache):
    pr, mask = cache
    return dout * mask


add("dropout seed", dropout_forward, dropout_backward, N(5, 6), {"mode": "train", "p": 0.5, "seed": 3})


def conv_forward_naive(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    n, c, h, ww = x.shape
    f, _, hh, wk = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    ho = 1 + (h + 2 * p - hh) // s
    wo = 1 + (ww + 2 * p - wk) // s
    out = np.zeros((n, f, ho, wo), dtype=x.dtype)
    for i in range(ho):
        for j in range(wo):
            win = xp[:, :, i * s : i * s + hh, j * s : j * s + wk]
            for k in range(f):
                out[:, k, i, j] = np.sum(win * w[k], axis=(1, 2, 3)) + b[k]
    return out, (x, w, b, conv_param)


def conv_backward_naive(dout, cache):
    x, w, b, cp = cache
    s, p = cp["stride"], cp["pad"]
    f, _, hh, wk = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    db = dout.sum((0, 2, 3))
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            win = xp[:, :, i * s : i * s + hh, j * s : j * s + wk]
            for k in range(f):
                dw[k] += np.sum(win * dout[:, k, i, j][:, None, None, None], axis=0)
                dxp[:, :, i * s : i * s + hh, j * s : j * s + wk] += w[k] * dout[:, k, i, j][:, None, None, None]
    return dxp[:, :, p:-p, p:-p], dw, db


add("conv naive", conv_forward_naive, conv_backward_naive, N(2, 3, 5, 5), N(2, 3, 3, 3), N(2), {"stride": 2, "pad": 1})


def max_pool_forward(x, pool_param):
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    n, c, h, w = x.shape
    out = np.zeros((n, c, (h - ph) // s + 1, (w - pw) // s + 1))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = x[:, :, i * s : i * s + ph, j * s : j * s + pw].max((2, 3))
    return out, (x, pool_param)


def max_pool_backward(dout, cache):
    x, pp = cache
    ph, pw, s = pp["pool_height"], pp["pool_width"], pp["stride"]
    dx = np.zeros_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    w = x[n, c, i * s : i * s + ph, j * s : j * s + pw]
                    k = np.unravel_index(w.argmax(), w.shape)
                    dx[n, c, i * s + k[0], j * s + k[1]] += dout[n, c, i, j]
    return dx


add("max_pool", max_pool_forward, max_pool_backward, N(2, 2, 4, 4), {"pool_height": 2, "pool_width": 2, "stride": 2})


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return h, (x, prev_h, Wx, Wh, h)


def rnn_step_backward(dnext_h, cache):
    x, ph, Wx, Wh, h = cache
    da = dnext_h * (1 - h * h)
    return da @ Wx.T, da @ Wh.T, x.T @ da, ph.T @ da, da.sum(0)


add("rnn_step", rnn_step_forward, rnn_step_backward, N(3, 4), N(3, 5), N(4, 5), N(5, 5), N(5))


def rnn_forward(x, h0, Wx, Wh, b):
    n, T, d = x.shape
    h = np.zeros((n, T, h0.shape[1]))
    c = []
    ph = h0
    for t in range(T):
        ph, k = rnn_step_forward(x[:, t], ph, Wx, Wh, b)
        h[:, t] = ph
        c.append(k)
    return h, c


def rnn_backward(dh, cache):
    n, T, H = dh.shape
    D = cache[0][0].shape[1]
    dx = np.zeros((n, T, D))
    dWx = dWh = db = 0
    dp = np.zeros((n, H))
    for t in reversed(range(T)):
        dx[:, t], dp, a, b_, c = rnn_step_backward(dh[:, t] + dp, cache[t])
        dWx = dWx + a
        dWh = dWh + b_
        db = db + c
    return dx, dp, dWx, dWh, db


add("rnn", rnn_forward, rnn_backward, N(2, 3, 4), N(2, 5), N(4, 5), N(5, 5) * 0.3, N(5))
sg = lambda z: 1 / (1 + np.exp(-z))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    a = x @ Wx + prev_h @ Wh + b
    H = prev_h.shape[1]
    i, f, o, g = sg(a[:, :H]), sg(a[:, H : 2 * H]), sg(a[:, 2 * H : 3 * H]), np.tanh(a[:, 3 * H :])
    c = f * prev_c + i * g
    h = o * np.tanh(c)
    return h, c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, c)


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, ph, pc, Wx, Wh, i, f, o, g, c = cache
    t = np.tanh(c)
    dc = dnext_c + dnext_h * o * (1 - t * t)
    da = np.hstack([dc * g * i * (1 - i), dc * pc * f * (1 - f), dnext_h * t * o * (1 - o), dc * i * (1 - g * g)])
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, ph.T @ da, da.sum(0)


add("lstm_step", lstm_step_forward, lstm_step_backward, N(3, 4), N(3, 5), N(3, 5), N(4, 20), N(5, 20), N(20))


def word_embedding_forward(x, W):
    return W[x], (x, W.shape)


def word_embedding_backward(dout, cache):
    x, s = cache
    dW = np.zeros(s)
    np.add.at(dW, x, dout)
    return dW


add("word_embedding", word_embedding_forward, word_embedding_backward, r.integers(0, 6, (3, 4)), N(6, 5))


def temporal_affine_forward(x, w, b):
    n, t, d = x.shape
    return (x.reshape(n * t, d) @ w).reshape(n, t, -1) + b, (x, w, b)


def temporal_affine_backward(dout, cache):
    x, w, b = cache
    n, t, d = x.shape
    m = dout.shape[-1]
    return (dout.reshape(-1, m) @ w.T).reshape(x.shape), x.reshape(-1, d).T @ dout.reshape(-1, m), dout.sum((0, 1))


add("temporal_affine", temporal_affine_forward, temporal_affine_backward, N(2, 3, 4), N(4, 5), N(5))


def temporal_softmax_loss(x, y, mask, verbose=False):
    n, t, v = x.shape
    f = x.reshape(n * t, v)
    p = np.exp(f - f.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    m = mask.reshape(-1)
    yy = y.reshape(-1)
    loss = -np.sum(m * np.log(p[np.arange(n * t), yy])) / n
    d = p.copy()
    d[np.arange(n * t), yy] -= 1
    d /= n
    d *= m[:, None]
    return loss, d.reshape(x.shape)


add("temporal_softmax_loss", temporal_softmax_loss, None, N(2, 3, 4), r.integers(0, 4, (2, 3)), r.random((2, 3)) > 0.4)


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    n, c, h, w = x.shape
    eps = gn_param.get("eps", 1e-5)
    y = x.reshape(n, G, -1)
    mu = y.mean(2, keepdims=True)
    s = np.sqrt(y.var(2, keepdims=True) + eps)
    xh = ((y - mu) / s).reshape(x.shape)
    return gamma * xh + beta, (xh, gamma, s, G)


def spatial_groupnorm_backward(dout, cache):
    xh, g, s, G = cache
    n = xh.shape[0]
    dg = (dout * xh).sum((0, 2, 3), keepdims=True)
    db = dout.sum((0, 2, 3), keepdims=True)
    d = (dout * g).reshape(n, G, -1)
    xx = xh.reshape(n, G, -1)
    return ((d - d.mean(2, keepdims=True) - xx * (d * xx).mean(2, keepdims=True)) / s).reshape(xh.shape), dg, db


add(
    "groupnorm",
    spatial_groupnorm_forward,
    spatial_groupnorm_backward,
    N(2, 4, 3, 3),
    N(1, 4, 1, 1),
    N(1, 4, 1, 1),
    2,
    {},
)


def svm_loss_vectorized(W, X, y, reg):
    n = X.shape[0]
    s = X @ W
    m = np.maximum(0, s - s[np.arange(n), y][:, None] + 1)
    m[np.arange(n), y] = 0
    loss = m.sum() / n + reg * np.sum(W * W)
    k = (m > 0).astype(float)
    k[np.arange(n), y] = -k.sum(1)
    return loss, X.T @ k / n + 2 * reg * W


add("svm W X y reg", svm_loss_vectorized, None, N(4, 3), N(5, 4), np.array([0, 1, 2, 1, 0]), 0.1)
add("svm W X y reg=0 int", svm_loss_vectorized, None, N(4, 3), N(5, 4), np.array([0, 1, 2, 1, 0]), 0)


# two-layer loss with dict grads: params dict
def net_loss(params, X, y):
    h = np.maximum(X @ params["W1"] + params["b1"], 0)
    s = h @ params["W2"] + params["b2"]
    l, ds = softmax_loss(s, y)
    g = {}
    g["W2"] = h.T @ ds
    g["b2"] = ds.sum(0)
    dh = ds @ params["W2"].T * (h > 0)
    g["W1"] = X.T @ dh
    g["b1"] = dh.sum(0)
    return l, g


add(
    "net dict loss",
    net_loss,
    None,
    {"W1": N(4, 6), "b1": N(6), "W2": N(6, 3), "b2": N(3)},
    N(5, 4),
    np.array([0, 1, 2, 1, 0]),
)


# mha CS231n like einsum; keyword
def attention_forward(q, k, v, mask=None):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        s = np.where(mask, s, -1e9)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p @ v, (q, k, v, p)


def attention_backward(dout, cache):
    q, k, v, p = cache
    dv = p.swapaxes(-1, -2) @ dout
    dp = dout @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return ds @ k, ds.swapaxes(-1, -2) @ q, dv


add("attention", attention_forward, attention_backward, N(2, 3, 4), N(2, 3, 4), N(2, 3, 4))
add(
    "attention mask kw",
    attention_forward,
    attention_backward,
    N(2, 3, 4),
    N(2, 3, 4),
    N(2, 3, 4),
    mask=np.tril(np.ones((3, 3), bool)),
)
# UvA DL1: modules numpy with self.grads
# float32 throughout
add("affine f32", affine_forward, affine_backward, N(3, 8).astype("f4"), N(8, 5).astype("f4"), N(5).astype("f4"))
add(
    "batchnorm f32",
    batchnorm_forward,
    batchnorm_backward,
    N(6, 4).astype("f4"),
    N(4).astype("f4"),
    N(4).astype("f4"),
    {"mode": "train"},
)
# backward returns list; returns dict by name
add("affine list", affine_forward, lambda dout, cache: list(affine_backward(dout, cache)), N(3, 8), N(8, 5), N(5))
add(
    "affine dict by name",
    affine_forward,
    lambda dout, cache: dict(zip(("x", "w", "b"), affine_backward(dout, cache))),
    N(3, 8),
    N(8, 5),
    N(5),
)
add(
    "affine dict dx",
    affine_forward,
    lambda dout, cache: dict(zip(("dx", "dw", "db"), affine_backward(dout, cache))),
    N(3, 8),
    N(8, 5),
    N(5),
)


# backward with x first? fast.ai: forward saves in .g
# Ng's deeplearning.ai: linear_forward(A,W,b)->Z,cache ; linear_backward(dZ,cache)->dA_prev,dW,db (with 1/m)
def linear_forward(A, W, b):
    return W @ A + b, (A, W, b)


def linear_backward(dZ, cache):
    A, W, b = cache
    return W.T @ dZ, dZ @ A.T, dZ.sum(1, keepdims=True)


add("Ng linear", linear_forward, linear_backward, N(4, 5), N(3, 4), N(3, 1))


def linear_activation_forward(A_prev, W, b, activation):
    Z, lc = linear_forward(A_prev, W, b)
    A = np.maximum(0, Z) if activation == "relu" else sg(Z)
    return A, (lc, Z)


def linear_activation_backward(dA, cache, activation):
    lc, Z = cache
    dZ = dA * (Z > 0) if activation == "relu" else dA * sg(Z) * (1 - sg(Z))
    return linear_backward(dZ, lc)


add(
    "Ng linear_activation str",
    linear_activation_forward,
    linear_activation_backward,
    N(4, 5),
    N(3, 4),
    N(3, 1),
    "sigmoid",
)


def lstm_cell_forward(xt, a_prev, c_prev, parameters):
    cc = np.concatenate([a_prev, xt])
    f = sg(parameters["Wf"] @ cc + parameters["bf"])
    o = sg(parameters["Wo"] @ cc + parameters["bo"])
    c = f * c_prev + (1 - f) * np.tanh(cc[:3])
    a = o * np.tanh(c)
    return a, c, (xt, a_prev, c_prev, parameters, cc, f, o, c)


def lstm_cell_backward(da_next, dc_next, cache):
    xt, ap, cp, P, cc, f, o, c = cache
    t = np.tanh(c)
    do = da_next * t
    dc = dc_next + da_next * o * (1 - t * t)
    gz = np.tanh(cc[:3])
    df = dc * (cp - gz) * f * (1 - f)
    dO = do * o * (1 - o)
    dcc = P["Wf"].T @ df + P["Wo"].T @ dO
    dcc[:3] += dc * (1 - f) * (1 - gz**2)
    return {
        "dxt": dcc[3:],
        "da_prev": dcc[:3],
        "dc_prev": dc * f,
        "dWf": df @ cc.T,
        "dbf": df.sum(1, keepdims=True),
        "dWo": dO @ cc.T,
        "dbo": dO.sum(1, keepdims=True),
    }


add(
    "Ng lstm_cell (dict out)",
    lstm_cell_forward,
    lstm_cell_backward,
    N(2, 4),
    N(3, 4),
    N(3, 4),
    {"Wf": N(3, 5), "bf": N(3, 1), "Wo": N(3, 5), "bo": N(3, 1)},
)


# minitorch
class Mul:
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, d):
        a, b = ctx.saved_values
        return d * b, d * a


add("minitorch Mul", Mul.forward, Mul.backward, 1.5, 2.5)
add("minitorch arrays", Mul.forward, Mul.backward, N(3), N(3))


class Sig:
    @staticmethod
    def forward(ctx, t1):
        o = sg(t1)
        ctx.save_for_backward(o)
        return o

    @staticmethod
    def backward(ctx, grad_output):
        (o,) = ctx.saved_tensors
        return grad_output * o * (1 - o)


add("minitorch Sigmoid", Sig.forward, Sig.backward, N(3))
# class itself given?
add("class Mul itself", Mul, None, N(3), N(3))


class MatMulF:
    @staticmethod
    def forward(self_ctx, a, b):
        self_ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(self_ctx, g):
        a, b = self_ctx.saved_values
        return g @ b.T, a.T @ g


add("ctx named otherwise", MatMulF.forward, MatMulF.backward, N(2, 3), N(3, 4))


# needle: TensorOp with compute(a,b) and gradient(out_grad,node) on node.inputs
class EWiseMul:
    def compute(self, a, b):
        return a * b

    def gradient(self, out_grad, node):
        l, rr = node.inputs
        return out_grad * rr, out_grad * l


add("needle op itself", EWiseMul(), None, N(3), N(3))


# UvA DL1: LinearModule with self.params dict, self.grads dict, forward, backward
class LinearModule:
    def __init__(self, i, o):
        self.params = {"weight": N(o, i), "bias": np.zeros((1, o))}
        self.grads = {"weight": np.zeros((o, i)), "bias": np.zeros((1, o))}

    def forward(self, x):
        self.x = x
        return x @ self.params["weight"].T + self.params["bias"]

    def backward(self, dout):
        self.grads["weight"] = dout.T @ self.x
        self.grads["bias"] = dout.sum(0, keepdims=True)
        return dout @ self.params["weight"]


class ELU:
    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)

    def backward(self, dout):
        return dout * np.where(self.x > 0, 1, np.exp(np.minimum(self.x, 0)))


class EdxLinear:
    def __init__(self):
        self.W = N(4, 3)
        self.b = np.zeros(3)
        self.dW = np.zeros((4, 3))
        self.db = np.zeros(3)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, g):
        self.dW += self.x.T @ g
        self.db += g.sum(0)
        return g @ self.W.T


class Hw2Linear:  # CMU 11-785
    def __init__(self):
        self.W = N(3, 4)
        self.b = N(3, 1)
        self.dLdW = None
        self.dLdb = None

    def forward(self, A):
        self.A = A
        self.N = A.shape[0]
        return A @ self.W.T + self.b.T

    def backward(self, dLdZ):
        self.dLdW = dLdZ.T @ self.A
        self.dLdb = dLdZ.sum(0, keepdims=True).T
        return dLdZ @ self.W


@pytest.mark.parametrize("name", LAYERS)
def test_a_right_layer_passes_and_a_doubled_gradient_does_not(name):
    forward, backward, inputs, options = LAYERS[name]
    assert check_pair(forward, backward, inputs, **options).verdict == "pass"
    if backward is not None:
        twice = lambda found: (
            {k: 2 * v for k, v in found.items()}
            if isinstance(found, dict)
            else 2 * found
            if isinstance(found, np.ndarray | float)
            else [2 * g for g in found]
        )

        def wrong(dout, *cache, **more):
            return twice(backward(np.copy(dout) if isinstance(dout, np.ndarray) else dout, *cache, **more))

        wrong.__signature__ = inspect.signature(backward)
        assert check_pair(forward, wrong, inputs, raises=False, **options).verdict == "fail"


def test_at_least_35_layers_are_here():
    assert len(LAYERS) >= 35


@pytest.mark.parametrize(
    ("layer", "parameters"), [(LinearModule(4, 3), 2), (ELU(), 0), (EdxLinear(), 2), (Hw2Linear(), 2)]
)
def test_a_layer_object_is_checked_with_its_parameters(layer, parameters):
    report = check_layer(layer, N(5, 4))
    assert report.verdict == "pass"
    assert len({entry.label for entry in report.entries}) == 1 + parameters


def test_a_parameter_without_a_gradient_is_named():
    layer = EdxLinear()
    layer.scale = np.ones(3)
    assert (
        "not checked: the attribute scale, beside which no gradient of it was found"
        in check_layer(layer, N(5, 4)).notes
    )


def test_what_is_no_pair_is_a_usage_error():
    for forward, backward, inputs in (
        (np.tanh, lambda g, x: g, N(3)),
        (3.0, lambda g, x: g, [N(3)]),
        (np.tanh, "backward", [N(3)]),
        (affine_forward, lambda dout, cache: {"dz": dout}, [N(3, 8), N(8, 5), N(5)]),
        (lambda x: "nothing", lambda g, x: g, [N(3)]),
    ):
        with pytest.raises(ArgumentError):
            check_pair(forward, backward, inputs)


def test_a_layer_object_given_as_it_is_says_that_its_parameters_are_left_out():
    report = check_pair(EdxLinear(), None, [N(5, 4)])
    assert report.verdict == "pass"
    assert any("check_layer" in note for note in report.notes)


def test_a_backward_takes_the_outputs_gradient_alone_or_keyword_arguments_by_name():
    assert check_pair(np.transpose, lambda dout: dout.T, [N(3, 2)]).verdict == "pass"
    scaled = lambda x, scale=1.0: x * scale
    assert check_pair(scaled, lambda dout, x, scale: dout * scale, [N(3)], scale=2.5).verdict == "pass"
    with pytest.raises(ArgumentError, match="1 gradients for 2 inputs"):
        check_pair(np.multiply, lambda dout: dout, [N(3), N(3)])
