"""Activations far out, in float32 beside float64, and the normal distribution function beside Python's own erfc."""

import contextlib
import math

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.ops.normal import cdf_and_density
from nn import functional as F

CALLS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, "tanh"),
    "silu": F.silu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "softplus": F.softplus,
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "softsign": F.softsign,
    "logsigmoid": F.logsigmoid,
    "mish": F.mish,
    "tanhshrink": F.tanhshrink,
    "softshrink": F.softshrink,
    "hardshrink": F.hardshrink,
    "prelu": lambda x: F.prelu(x, np.array([0.25], x.dtype)),
    "maxout": lambda x: F.maxout(x, 2, dim=0),
    "glu": lambda x: F.glu(x, dim=0),
    "softmax": lambda x: F.softmax(x, 0),
    "log_softmax": lambda x: F.log_softmax(x, 0),
}
POINTS = np.array([-1e4, -1e2, -20.0, -3.5, -1.25, -0.25, 0.0, 0.25, 1.25, 3.5, 20.0, 1e2, 1e4, 5.0])


def value_and_gradient(f, x):
    leaf = ad.tensor(x, requires_grad=True)
    out = f(leaf)
    out.backward(np.linspace(0.5, 1.5, out.size).astype(out.dtype))
    return out.data, leaf.grad


@pytest.mark.parametrize("name", CALLS)
def test_far_out_everything_is_finite_and_float32_follows_float64(name):
    wide = value_and_gradient(CALLS[name], POINTS)
    narrow = value_and_gradient(CALLS[name], POINTS.astype(np.float32))
    for a, b in zip(narrow, wide, strict=True):
        assert a.dtype == np.float32
        assert np.isfinite(a).all()
        assert np.isfinite(b).all()
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_numbers_overflow_nowhere(name, dtype):
    big = float(np.finfo(dtype).max) / 4
    out, gradient = value_and_gradient(CALLS[name], np.array([-big, big], dtype))
    assert np.isfinite(out).all()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", CALLS)
def test_nan_stays_nan(name):
    assert np.isnan(CALLS[name](ad.tensor(np.array([np.nan, np.nan]))).data).all()


def test_the_normal_distribution_function_is_pythons_erfc():
    x = np.concatenate([np.linspace(-37.0, 9.0, 2001), np.random.default_rng(0).normal(size=2000)])
    truth = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    cdf, density = cdf_and_density(x)
    # exp(-x^2 / 2) loses x^2 / 2 ulps, in either.
    tolerance = 1e-15 * (4 + x * x)
    assert (np.abs(cdf - truth) <= tolerance * truth).all()
    np.testing.assert_allclose(density, np.exp(-x * x / 2) / math.sqrt(2 * math.pi), rtol=1e-12)
    narrow = x.astype(np.float32)
    truth = np.array([0.5 * math.erfc(-float(v) / math.sqrt(2)) for v in narrow])
    assert np.abs(cdf_and_density(narrow)[0] - truth).max() < 2e-7
    half = cdf_and_density(narrow.astype(np.float16))[0]
    assert half.dtype == np.float16
    np.testing.assert_array_equal(cdf_and_density(np.array([-np.inf, np.inf]))[0], [0.0, 1.0])
    assert cdf_and_density(np.zeros((0, 3)))[0].shape == (0, 3)


def test_gelu_is_its_definition():
    x = np.linspace(-6, 6, 101)
    np.testing.assert_allclose(
        F.gelu(x).data, [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x], rtol=1e-14, atol=1e-15
    )
    assert np.abs(F.gelu(x).data - F.gelu(x, "tanh").data).max() < 5e-4


def test_blocks_of_the_distribution_function_join_without_a_seam():
    x = np.random.default_rng(1).normal(size=70_001)
    whole = cdf_and_density(x)[0]
    np.testing.assert_array_equal(whole[32_760:32_780], cdf_and_density(x[32_760:32_780])[0])
    np.testing.assert_array_equal(whole[-3:], cdf_and_density(x[-3:])[0])


def test_maxout_layers_take_the_largest_piece(rng):
    x = rng.normal(size=(4, 6, 3))
    np.testing.assert_array_equal(nn.Maxout(3)(x).data, x.reshape(4, 2, 3, 3).max(2))
    np.testing.assert_array_equal(nn.Maxout(3, dim=-1)(x).data[..., 0], x.max(-1))


def test_misuse_is_named():
    x = np.ones((2, 3))
    with pytest.raises(ArgumentError, match="'none' or 'tanh'"):
        F.gelu(x, "exact")
    with pytest.raises(ShapeError, match=r"maxout: pool_size=2 does not divide axis 1"):
        F.maxout(x, 2)
    with pytest.raises(ShapeError, match="halved"):
        F.glu(x)
    with pytest.raises(ShapeError, match=r"\(1,\) or \(3,\)"):
        F.prelu(x, np.ones(2))
    with pytest.raises(ArgumentError, match="dim=2"):
        F.glu(x, dim=2)
    with pytest.raises(ArgumentError, match="min_val"):
        F.hardtanh(x, 1.0, -1.0)
    with pytest.raises(ArgumentError, match="num_parameters"):
        nn.PReLU(0)


@pytest.mark.parametrize(
    ("x", "truth"),
    [
        (19.9, -7.8456947450005912e-16),
        (20.1, -5.3147786045882056e-16),
        (25.0, -3.7031997078560735e-20),
        (40.0, -5.6311363300776952e-33),
    ],
)
def test_mish_is_smooth_where_softplus_switches_to_the_line(x, truth):
    """Truth: mpmath, 80 digits."""
    np.testing.assert_allclose(ad.grad(ad.grad(F.mish))(x), truth, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_what_is_not_finite_is_as_in_the_definition(name, dtype):
    x = np.array([[-np.inf, 1.0, -0.0, 0.0], [np.nan, 1.0, 2.0, 3.0], [np.inf, 1.0, -1e30, 1e30]], dtype)
    found = []
    with np.errstate(all="ignore"):
        for mode in (contextlib.nullcontext, ad.composed):
            t = ad.tensor(x, requires_grad=True)
            with mode():
                out = getattr(ad.fused, name)(t)
            out.backward(np.ones(x.shape))
            found.append((out.data, t.grad))
    for fused, composed in zip(*found, strict=True):
        np.testing.assert_allclose(fused, composed, rtol=1e-6)


def test_relu_of_nan_lets_a_gradient_pass_as_in_pytorch():
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    x = np.array([1.0, np.nan, -2.0, 0.0])
    here, there = ad.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    F.relu(here).sum().backward()
    torch.relu(there).sum().backward()
    np.testing.assert_array_equal(here.grad, there.grad)
