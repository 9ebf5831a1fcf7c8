"""docs/kinks.md, row by row."""

from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
from nn import functional as F

INF = np.inf


def gradient(f, *points, cotangent=None):
    leaves = [ad.tensor(p, requires_grad=True, dtype=float) for p in points]
    with np.errstate(divide="ignore", invalid="ignore"):
        out = f(*leaves)
    grads = ad.gradients(out, leaves, np.ones(out.shape) if cotangent is None else cotangent, allow_unused=True)
    return [None if g is None else g.tolist() for g in grads]


ROWS = {
    "abs": (np.abs, [0.0], [0.0]),
    "sqrt": (np.sqrt, [0.0], [INF]),
    "log": (np.log, [0.0], [INF]),
    "reciprocal": (lambda x: 1 / x, [0.0], [-INF]),
    "divide": (lambda x, y: x / y, [1.0, 0.0], [INF, -INF]),
    "power 0": (lambda x: x**0, [0.0], [0.0]),
    "power 1": (lambda x: x**1, [0.0], [1.0]),
    "power 2": (lambda x: x**2, [0.0], [0.0]),
    "power half": (lambda x: x**0.5, [0.0], [INF]),
    "power of a tensor": (lambda x, y: x**y, [0.0, 2.0], [0.0, 0.0]),
    "power of a tensor 0": (lambda x, y: x**y, [0.0, 0.0], [0.0, 0.0]),
    "relu": (F.relu, [0.0], [0.0]),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1), [0.0], [0.1]),
    "prelu": (F.prelu, [[0.0], [0.1]], [[0.1], [0.0]]),
    "elu": (lambda x: F.elu(x, 2.0), [0.0], [2.0]),
    "celu": (lambda x: F.celu(x, 2.0), [0.0], [1.0]),
    "selu": (F.selu, [0.0], [1.0507009873554805 * 1.6732632423543772]),
    "hardtanh": (F.hardtanh, [[-1.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]]),
    "relu6": (F.relu6, [[0.0, 3.0, 6.0]], [[0.0, 1.0, 0.0]]),
    "hardsigmoid": (F.hardsigmoid, [[-3.0, 0.0, 3.0]], [[0.0, 1 / 6, 0.0]]),
    "hardswish": (F.hardswish, [[-3.0, 0.0, 3.0]], [[0.0, 0.5, 1.0]]),
    "softshrink": (F.softshrink, [[-0.5, 0.0, 0.5]], [[0.0, 0.0, 0.0]]),
    "hardshrink": (F.hardshrink, [[-0.5, 0.0, 0.5]], [[0.0, 0.0, 0.0]]),
    "threshold": (lambda x: F.threshold(x, 1.0, 7.0), [1.0], [0.0]),
    "softplus": (lambda x: F.softplus(x, 1.0, 2.0), [2.0], [1 / (1 + np.exp(-2.0))]),
    "softsign": (F.softsign, [0.0], [1.0]),
    "maxout": (lambda x: F.maxout(x, 2), [[[1.0, 1.0, 3.0, 2.0]]], [[[0.5, 0.5, 1.0, 0.0]]]),
    "maximum": (np.maximum, [1.0, 1.0], [0.5, 0.5]),
    "minimum": (np.minimum, [1.0, 1.0], [0.5, 0.5]),
    "max": (np.max, [[1.0, 2.0, 2.0]], [[0.0, 0.5, 0.5]]),
    "min": (np.min, [[1.0, 1.0, 1.0, 1.0]], [[0.25] * 4]),
    "clip": (lambda x: np.clip(x, -1, 1), [[-2.0, -1.0, 0.0, 1.0, 2.0]], [[0.0, 1.0, 1.0, 1.0, 0.0]]),
    "where": (lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, x)), 0.0), [[0.0, 4.0]], [[0.0, 0.25]]),
    "where over a pole": (lambda x: np.where(x > 0, np.log(x), x), [[0.0, 4.0]], [[1.0, 0.25]]),
    "prod with one zero": (np.prod, [[2.0, 0.0, 5.0]], [[0.0, 10.0, 0.0]]),
    "prod with two zeros": (np.prod, [[2.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]),
    "std": (np.std, [[3.0, 3.0, 3.0]], [[0.0, 0.0, 0.0]]),
    "arctan2": (np.arctan2, [0.0, 0.0], [0.0, 0.0]),
    "hypot": (np.hypot, [0.0, 0.0], [0.0, 0.0]),
    "logaddexp": (np.logaddexp, [-INF, -INF], [0.5, 0.5]),
    "logaddexp2": (np.logaddexp2, [-INF, -INF], [0.5, 0.5]),
    "tanh": (np.tanh, [1000.0], [0.0]),
    "sigmoid": (F.sigmoid, [[-1000.0, 1000.0]], [[0.0, 0.0]]),
}


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    f, points, expected = ROWS[name]
    assert gradient(f, *points) == expected


@pytest.mark.parametrize(
    "f", [np.sqrt, np.log, np.log2, np.log10, np.cbrt, np.reciprocal, lambda x: x**-1.5, lambda x: x**0.5, lambda x: 2.0 / x]
)
def test_a_zero_cotangent_stays_zero_at_a_pole(f):
    assert gradient(f, [0.0, 1.0], cotangent=np.array([0.0, 0.0])) == [[0.0, 0.0]]


@pytest.mark.parametrize(("f", "at"), [(np.arcsin, 1.0), (np.arccos, -1.0), (np.arccosh, 1.0), (np.arctanh, 1.0), (np.log1p, -1.0)])
def test_a_zero_cotangent_stays_zero_at_the_end_of_the_domain(f, at):
    assert gradient(f, [at], cotangent=np.zeros(1)) == [[0.0]]


@pytest.mark.parametrize("f", [np.floor, np.ceil, np.round, np.sign, np.rint, np.trunc])
def test_steps_are_constants(f):
    assert not f(ad.tensor([0.5], requires_grad=True)).requires_grad


def test_every_function_in_the_table_is_tested():
    table = Path(__file__).parents[1].joinpath("docs", "kinks.md").read_text()
    activations = "prelu elu celu selu hardtanh relu6 hardsigmoid hardswish softshrink hardshrink threshold softplus softsign maxout".split()
    for name in ("abs", "sqrt", "relu", "leaky_relu", *activations, "maximum", "clip", "where", "prod", "std", "arctan2", "logaddexp", "tanh"):
        assert f"`{name}" in table
