"""Layers as courses have them pass unwrapped, and a wrong one is named."""

import types

import numpy as np
import pytest

from autodiff.core.errors import ArgumentError, GradientMismatch
from autodiff.testing import check_engine, check_pair
from autodiff.testing.course import cases, check_layer, check_network, gradient_tests

SOURCE = """
import numpy as np

def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1) @ w + b
    return out, (x, w, b)

def affine_backward(dout, cache):
    x, w, b = cache
    return (dout @ w.T).reshape(x.shape), x.reshape(x.shape[0], -1).T @ dout, dout.sum(0)

def relu_forward(x):
    return np.maximum(0, x), x

def relu_backward(dout, cache):
    return dout * (cache > 0)

def batchnorm_forward(x, gamma, beta, bn_param):
    mode, eps, momentum = bn_param["mode"], bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    running = bn_param.get("running_mean", np.zeros(x.shape[1], dtype=x.dtype))
    mu, var = x.mean(0), x.var(0)
    bn_param["running_mean"] = momentum * running + (1 - momentum) * mu
    xhat = (x - mu) / np.sqrt(var + eps)
    return gamma * xhat + beta, (xhat, gamma, 1 / np.sqrt(var + eps))

def batchnorm_backward(dout, cache):
    xhat, gamma, s = cache
    g = dout * gamma
    return s * (g - g.mean(0) - xhat * (g * xhat).mean(0)), (dout * xhat).sum(0), dout.sum(0)

batchnorm_backward_alt = batchnorm_backward

def dropout_forward(x, dropout_param):
    p = dropout_param["p"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    mask = (np.random.rand(*x.shape) < p) / p
    return (x * mask).astype(x.dtype, copy=False), (dropout_param, mask)

def dropout_backward(dout, cache):
    return dout * cache[1]

def max_pool_forward_naive(x, pool_param):
    n, c, h, w = x.shape
    out = np.zeros((n, c, h // 2, w // 2))
    for i in range(h // 2):
        for j in range(w // 2):
            out[:, :, i, j] = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((2, 3))
    return out, (x, pool_param)

def max_pool_backward_naive(dout, cache):
    x, _ = cache
    dx = np.zeros(x.shape)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            window = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            best = window == window.max((2, 3), keepdims=True)
            dx[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += best * dout[:, :, i, j][:, :, None, None]
    return dx

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    a = x @ Wx + prev_h @ Wh + b
    i, f, o, g = np.split(a, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    next_c = f * prev_c + i * g
    return o * np.tanh(next_c), next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)

def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    t = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - t**2)
    parts = [dc * g * i * (1 - i), dc * prev_c * f * (1 - f), dnext_h * t * o * (1 - o), dc * i * (1 - g**2)]
    da = np.hstack(parts)
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(0)

def word_embedding_forward(x, W):
    return W[x], (x, W.shape)

def word_embedding_backward(dout, cache):
    x, shape = cache
    dW = np.zeros(shape)
    np.add.at(dW, x, dout)
    return dW

def softmax_loss(x, y):
    e = np.exp(x - x.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    rows = np.arange(len(y))
    dx = p.copy()
    dx[rows, y] -= 1
    return -np.log(p[rows, y]).mean(), dx / len(y)

def temporal_softmax_loss(x, y, mask, verbose=False):
    n, t, v = x.shape
    flat, rows, m = x.reshape(n * t, v), np.arange(n * t), mask.reshape(-1)
    e = np.exp(flat - flat.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    loss = -np.sum(m * np.log(p[rows, y.reshape(-1)])) / n
    dx = p.copy()
    dx[rows, y.reshape(-1)] -= 1
    return loss, (dx * m[:, None] / n).reshape(n, t, v)
"""


@pytest.fixture
def layers():
    module = types.ModuleType("layers")
    exec(SOURCE, vars(module))
    return module


def test_right_layers_pass_unwrapped(layers):
    found = cases(layers)
    assert len(found) == 10
    for case in found:
        assert case.check().verdict == "pass", case.name


def test_a_teachers_file_makes_one_test_for_each(layers):
    test = gradient_tests(layers)
    assert len(test.pytestmark[0].args[1]) == 10
    test(test.pytestmark[0].args[1][0])


def test_a_teachers_file_without_a_test_is_refused():
    for modules in ((), (types.ModuleType("empty"),)):
        with pytest.raises(ArgumentError, match="defines no <name>_forward"):
            gradient_tests(*modules)


def test_a_wrong_layer_is_named(layers):
    layers.affine_backward = lambda dout, cache: (dout @ cache[1].T, cache[0].reshape(4, -1).T @ dout, dout.mean(0))
    with pytest.raises(GradientMismatch, match=r"float64\[4, 6\]"):
        cases(layers)[0].check()
    layers.unknown_forward, layers.unknown_backward = lambda secret: secret, lambda dout, cache: dout
    with pytest.raises(ArgumentError, match="no inputs are known"):
        cases(layers)


CONVOLUTION = """
import numpy as np

def windows(x, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::s, ::s]

def conv_forward_naive(x, w, b, conv_param):
    return np.einsum("ncijhw,fchw->nfij", windows(x, conv_param), w) + b[:, None, None], (x, w, conv_param)

def conv_backward_naive(dout, cache):
    x, w, conv_param = cache
    s, p = conv_param["stride"], conv_param["pad"]
    padded = np.zeros((*x.shape[:2], x.shape[2] + 2 * p, x.shape[3] + 2 * p))
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            put = padded[:, :, i * s : i * s + 3, j * s : j * s + 3]
            put += np.einsum("nf,fchw->nchw", dout[:, :, i, j], w)
    dx = padded[:, :, p : p + x.shape[2], p : p + x.shape[3]]
    return dx, np.einsum("nfij,ncijhw->fchw", dout, windows(x, conv_param)), dout.sum((0, 2, 3))
"""


@pytest.mark.parametrize(
    ("source", "right", "wrong"),
    [
        (CONVOLUTION, "i * s : i * s + 3, j * s : j * s + 3", "i : i + 3, j : j + 3"),
        (CONVOLUTION, "j * s : j * s + 3]", "i * s : i * s + 3]"),
        (CONVOLUTION, "[:, :, ::s, ::s]", "[:, :, ::s, ::s]"),
        (SOURCE, "(dx * m[:, None] / n)", "(dx / n)"),
    ],
    ids=["stride forgotten", "axes exchanged", "none", "mask forgotten"],
)
def test_inputs_are_such_that_mistakes_show(source, right, wrong):
    module = types.ModuleType("layers")
    assert right in source
    exec(source.replace(right, wrong), vars(module))
    verdicts = {}
    for case in cases(module):
        try:
            verdicts[case.name] = case.check(raises=False).verdict
        except ValueError:  # the student's own shapes do not fit
            verdicts[case.name] = "fail"
    assert ("fail" in verdicts.values()) == (right != wrong), verdicts


class TwoLayerNet:
    def __init__(self, reg):
        rng = np.random.default_rng(0)
        self.reg, self.params = reg, {"W1": rng.normal(size=(4, 5)), "b1": np.zeros(5), "W2": rng.normal(size=(5, 3))}

    def loss(self, x, y):
        h = np.tanh(x @ self.params["W1"] + self.params["b1"])
        z = h @ self.params["W2"]
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        dz = p.copy()
        dz[np.arange(len(y)), y] -= 1
        dz /= len(y)
        da = dz @ self.params["W2"].T * (1 - h**2)
        grads = {"W1": x.T @ da, "b1": da.sum(0), "W2": h.T @ dz + self.reg * self.params["W2"]}
        return -np.log(p[np.arange(len(y)), y]).mean() + 0.5 * 0.1 * np.sum(self.params["W2"] ** 2), grads


def test_a_network_with_a_dict_of_parameters():
    x, y = np.random.default_rng(1).normal(size=(6, 4)), np.array([0, 1, 2, 0, 1, 2])
    assert check_network(TwoLayerNet(0.1), x, y).verdict == "pass"
    report = check_network(TwoLayerNet(0.0), x, y, raises=False)
    assert report.hints[0].startswith("argument 0['W2']: it is off by -0.1 times")


class Linear:
    def __init__(self):
        self.W, self.b = np.random.default_rng(0).normal(size=(4, 3)), np.zeros(3)
        self.dW, self.db = np.zeros((4, 3)), np.zeros(3)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW += self.x.T @ dout
        self.db += dout.sum(0)
        return dout @ self.W.T


def test_a_layer_object():
    layer = Linear()
    assert check_layer(layer, np.random.default_rng(1).normal(size=(5, 4))).verdict == "pass"
    layer.backward = lambda dout: dout @ layer.W.T
    assert check_layer(layer, np.random.default_rng(1).normal(size=(5, 4)), {"W": "dW"}, raises=False).verdict == "fail"


def test_an_operation_with_a_context():
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    def backward(ctx, grad_output):
        a, b = ctx.saved_values
        return grad_output * b, grad_output * a

    assert check_pair(forward, backward, [np.ones(3), np.arange(3.0)]).verdict == "pass"


class Scalar:
    """An engine of thirty lines, as one writes it in a first lecture."""

    def __init__(self, data, parents=(), pull=None):
        self.data, self.parents, self.pull, self.grad = np.asarray(data, np.float64), parents, pull, 0.0

    def __mul__(self, other):
        return Scalar(self.data * other.data, (self, other), lambda g: (g * other.data, g * self.data))

    def sum(self):
        return Scalar(self.data.sum(), (self,), lambda g: (g * np.ones(self.data.shape),))

    def backward(self, g=1.0):
        self.grad = self.grad + g
        for parent, part in zip(self.parents, self.pull(g) if self.pull else (), strict=True):
            parent.backward(part)


def test_ones_own_engine():
    assert check_engine(lambda x: x * x * x, np.array([1.0, -2.0]), tensor=Scalar).verdict == "pass"


def test_an_engine_of_real_numbers_is_given_real_arrays_and_gives_one_tensor():
    with pytest.raises(ArgumentError, match="complex"):
        check_engine(lambda x: x * x, np.array([1j]), tensor=Scalar)
    with pytest.raises(ArgumentError, match="returned a tuple"):
        check_engine(lambda x: (x, x), np.array([1.0]), tensor=Scalar)


def test_what_is_no_layer_and_no_network_is_refused():
    class Layer:
        def forward(self, x):
            return x

        def backward(self, dout):
            return dout

    assert check_layer(Layer(), np.ones((2, 3))).verdict == "pass"
    for wrong in (Layer, types.SimpleNamespace(forward=np.sin), 3):
        with pytest.raises(ArgumentError, match="check_layer: needs an object"):
            check_layer(wrong, np.ones((2, 3)))
    for wrong in (3, Layer(), types.SimpleNamespace(params=[np.ones(2)], loss=np.sin)):
        with pytest.raises(ArgumentError, match="no dict params"):
            check_network(wrong, np.ones((2, 3)), np.zeros(2, int))
