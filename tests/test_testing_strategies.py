"""Strategies draw what they promise; random expression graphs have right gradients; other libraries' gradients can be checked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.errors import GradientMismatch
from autodiff.testing import check_autograd, check_gradients, check_jax, check_pair, check_torch, strategies


@settings(max_examples=15)
@given(strategies.expressions())
def test_random_expression_graphs(case):
    f, point = case
    check_gradients(f, *point, name=f.__doc__)


@given(strategies.arrays(low=-1.0, high=1.0, avoid=(0.0,)))
def test_arrays_keep_away_from_kinks(a):
    assert (np.abs(a) > 0.02).all()
    assert (np.abs(a) < 1).all()


@given(strategies.broadcastable_shapes(signature="(n,k),(k,m)->(n,m)"))
def test_shapes_fit_a_signature(shapes):
    np.matmul(*(np.ones(s) for s in shapes))


@given(strategies.shapes(min_ndim=1).flatmap(lambda s: st.tuples(st.just(s), strategies.indices(shape=s))))
def test_indices_select(case):
    shape, index = case
    x = ad.tensor(np.ones(shape), requires_grad=True)
    x[index].sum().backward()
    assert x.grad.sum() == np.ones(shape)[index].size


@settings(max_examples=10)
@given(strategies.ill_conditioned(largest=30.0))
def test_badly_conditioned_solves_still_check(a):
    # LAPACK has no longdouble, so the reference itself loses digits with the condition number.
    check_gradients(lambda x: np.linalg.solve(x, np.ones(3)), a, order=1)


@given(strategies.tensors(), strategies.calls("hypot"), strategies.axes(ndim=3))
def test_the_rest_draws(t, call, axes):
    assert t.requires_grad
    assert len(call[0]) == 2
    np.sum(np.ones((1, 2, 3)), axis=axes)


def affine(x, w, b):
    return x @ w + b, (x, w)


def test_a_course_assignment_is_told_which_gradient_is_wrong():
    inputs = [np.ones((2, 3)) * 0.5, np.arange(12.0).reshape(3, 4), np.zeros(4)]
    right = lambda dout, cache: (dout @ cache[1].T, cache[0].T @ dout, dout.sum(0))
    assert check_pair(affine, right, inputs).verdict == "pass"
    wrong = lambda dout, cache: (dout @ cache[1].T, cache[0].T @ dout, dout.mean(0))
    with pytest.raises(GradientMismatch, match="fail: order 1, argument 2 at index"):
        check_pair(affine, wrong, inputs)
    short = lambda dout, cache: (dout @ cache[1].T,)
    with pytest.raises(GradientMismatch, match="1 gradients for 3 inputs"):
        check_pair(affine, short, inputs)
    misshapen = lambda dout, cache: (dout @ cache[1].T, (cache[0].T @ dout).T, dout.sum(0))
    with pytest.raises(GradientMismatch, match="argument 1"):
        check_pair(affine, misshapen, inputs)


def test_pytorchs_gradients_can_be_checked():
    torch = pytest.importorskip("torch", reason="the gradient under test is PyTorch's")
    x = np.array([0.3, -1.2])
    assert check_torch(lambda t: torch.sin(t) * t, x).verdict == "pass"

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, t):
            ctx.save_for_backward(t)
            return t * t

        @staticmethod
        def backward(ctx, g):
            return 2.001 * g * ctx.saved_tensors[0]

    with pytest.raises(GradientMismatch):
        check_torch(Wrong.apply, x)


def test_jaxs_gradients_can_be_checked():
    jax = pytest.importorskip("jax", reason="the gradient under test is JAX's")
    jax.config.update("jax_enable_x64", True)
    assert check_jax(lambda t: jax.numpy.sin(t) * t, np.array([0.3, -1.2])).verdict == "pass"


def test_autograds_gradients_can_be_checked():
    pytest.importorskip("autograd", reason="the gradient under test is autograd's")
    import autograd.numpy as anp

    assert check_autograd(lambda x, y: anp.sin(x) @ y, np.array([0.3, -1.2]), np.ones(2)).verdict == "pass"
