"""``p -= lr * p.grad`` descends, for complex parameters too; losses are real, and functions of real numbers refuse
complex ones.
"""

import contextlib
import inspect

import numpy as np
import pytest

import autodiff as ad
import nn
import optim
from nn import functional as F

OPTIMISERS = sorted(
    name
    for name, kind in vars(optim).items()
    if inspect.isclass(kind) and issubclass(kind, optim.Optimizer) and kind is not optim.Optimizer
)


def phase_retrieval():
    r = np.random.default_rng(0)
    x = r.normal(size=(12, 3)) + 1j * r.normal(size=(12, 3))
    y = np.abs(x @ np.array([1.0, 1j, -0.5]))
    w = nn.Parameter(r.normal(size=3) + 1j * r.normal(size=3))
    return w, lambda: ((np.abs(x @ w) - y) ** 2).mean()


#: Optimisers of whole matrices.
REAL_ONLY = {"Adafactor", "Muon"}
#: Of gradients that are rows of a table: tests/nn/test_row_sparse.py.
SPARSE_ONLY = {"SparseAdam"}


@pytest.mark.parametrize("way", [contextlib.nullcontext, ad.plain])
@pytest.mark.parametrize("name", sorted(set(OPTIMISERS) - REAL_ONLY - SPARSE_ONLY))
def test_a_small_step_lowers_a_loss_of_complex_parameters(name, way):
    with way():
        descend(name)


def descend(name):
    w, loss = phase_retrieval()
    optimizer = getattr(optim, name)([w], lr=1e-4)
    before = float(loss().data)

    def gradient():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    for _ in range(3):
        optimizer.step(gradient)
        after = float(loss().data)
        assert after < before
        before = after


@pytest.mark.parametrize("name", sorted(REAL_ONLY))
def test_optimisers_of_matrices_refuse_complex_parameters(name):
    with pytest.raises(ad.DTypeError, match="takes real parameters, got complex128"):
        getattr(optim, name)([phase_retrieval()[0]], lr=1e-4)


def test_the_tape_and_the_transforms_are_conjugates():
    z = np.array([1 + 2j, 0.5 - 1j])

    def f(z):
        return np.sum(np.abs(z) ** 2)

    t = ad.tensor(z, requires_grad=True)
    f(t).backward()
    assert np.array_equal(t.grad, 2 * z)
    np.testing.assert_array_equal(ad.grad(f)(z), 2 * np.conj(z))
    np.testing.assert_array_equal(ad.gradients(f(t), t), 2 * np.conj(z))


@pytest.mark.parametrize("create_graph", [False, True])
def test_hooks_retained_gradients_and_seeds_speak_as_grad_does(create_graph):
    z = np.array([1 + 2j, 0.5 - 1j])
    t = ad.tensor(z, requires_grad=True)
    seen = []
    y = t * (2 - 1j)
    y.retain_grad()
    y.register_hook(lambda g: seen.append(np.asarray(g.data)))
    t.register_hook(lambda g: g * 1j)
    np.sum(np.abs(y) ** 2).backward(create_graph=create_graph)
    np.testing.assert_allclose(np.asarray(getattr(y.grad, "data", y.grad)), 2 * y.data)
    np.testing.assert_allclose(seen[0], 2 * y.data)
    np.testing.assert_allclose(np.asarray(getattr(t.grad, "data", t.grad)), 1j * np.conj(2 - 1j) * 2 * y.data)
    # Two passes in a row are one: what the first leaves at y starts the second.
    u = ad.tensor(z, requires_grad=True)
    (u * (2 - 1j)).backward(seen[0])
    np.testing.assert_allclose(u.grad, np.conj(2 - 1j) * 2 * y.data)


def test_gradients_add_up():
    t = ad.tensor(np.array([1 + 2j]), requires_grad=True)
    for _ in range(2):
        np.sum(np.abs(t) ** 2).backward()
    assert np.array_equal(t.grad, 4 * t.data)


def test_sign_of_complex_numbers_has_a_derivative():
    z = np.array([1 + 2j, 0.5 - 1j])
    got = ad.grad(lambda z: np.sum(np.real(np.sign(z))))(z)
    np.testing.assert_allclose(got.real, z.imag**2 / np.abs(z) ** 3)
    assert not np.sign(ad.tensor([1.0], requires_grad=True)).requires_grad


@pytest.mark.parametrize("transform", [ad.jacobian, ad.jacfwd, ad.jacrev])
def test_jacobians_from_real_to_complex(transform):
    t = np.array([0.3, 1.2])
    np.testing.assert_allclose(transform(lambda t: np.exp(1j * t))(t), np.diag(1j * np.exp(1j * t)))
    np.testing.assert_allclose(transform(lambda t: np.sum(np.exp(1j * t)))(t), 1j * np.exp(1j * t))


Z = np.array([[3 + 4j, 1j], [0.3 - 1j, 2.0 + 0.5j]])
ACTIVATIONS = (
    "relu leaky_relu elu selu celu gelu silu sigmoid logsigmoid softplus mish hardtanh relu6 hardsigmoid hardswish"
    " softshrink hardshrink softsign"
).split()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_refuse_complex_numbers(name):
    with pytest.raises(ad.AutodiffError, match="real"):
        getattr(F, name)(Z)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin", "glu"])
def test_activations_along_an_axis_refuse_complex_numbers(name):
    with pytest.raises(ad.AutodiffError, match="real"):
        getattr(F, name)(Z, dim=1)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        (name, lambda f: f(Z, np.ones_like(Z)))
        for name in (
            "mse_loss l1_loss smooth_l1_loss huber_loss pairwise_distance cosine_similarity binary_cross_entropy"
            " binary_cross_entropy_with_logits kl_div poisson_nll_loss soft_margin_loss hinge_embedding_loss"
        ).split()
        if hasattr(F, name)
    ]
    + [("gaussian_nll_loss", lambda f: f(Z, np.ones_like(Z), np.ones((2, 2))))]
    + [("cross_entropy", lambda f: f(Z, np.array([0, 1]))), ("nll_loss", lambda f: f(Z, np.array([0, 1])))]
    + [("threshold", lambda f: f(Z, 0.5, 1.0)), ("prelu", lambda f: f(Z, [0.5])), ("maxout", lambda f: f(Z, 2))],
)
def test_losses_are_real_or_refused(name, call):
    try:
        loss = call(getattr(F, name))
    except (ad.AutodiffError, TypeError):
        return
    assert loss.dtype.kind == "f"
    d = np.abs(Z - 1)
    if name == "mse_loss":
        np.testing.assert_allclose(loss.data, np.mean(d**2))
    if name == "l1_loss":
        np.testing.assert_allclose(loss.data, np.mean(d))
