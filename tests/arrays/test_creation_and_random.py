"""Functions that make Tensors under NumPy's names, and random numbers by an explicit generator."""

import numpy as np
import pytest

import autodiff as ad
from autodiff import random
from autodiff.core.errors import ArgumentError
from autodiff.testing import check_gradients

MADE = {
    "zeros": (3,),
    "ones": ((2, 3),),
    "empty": ((0, 2),),
    "eye": (3,),
    "identity": (2,),
    "tri": (3,),
    "arange": (2, 9, 3),
    "zeros_like": (np.ones(2, np.float32),),
    "ones_like": (np.ones((2, 1)),),
    "empty_like": (np.ones((0,)),),
    "full": ((2, 2), 7.0),
    "full_like": (np.ones(3, np.float32), 2.0),
    "indices": ((2, 2),),
    "linspace": (0.0, 1.0, 5),
    "fromfunction": (lambda i, j: i + j, (2, 2)),
    "asarray": ([1.0, 2.0],),
    "logspace": (0.0, 1.0, 3),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_is_numpys(name):
    ours, numpys = getattr(ad, name)(*MADE[name]), getattr(np, name)(*MADE[name])
    assert isinstance(ours, ad.Tensor)
    assert ours.dtype == numpys.dtype
    np.testing.assert_array_equal(ours.data, numpys)
    assert not ours.requires_grad


def test_leaves_are_made():
    w = ad.zeros(3, requires_grad=True)
    assert w.is_leaf
    np.sum(w * 2).backward()
    np.testing.assert_array_equal(w.grad, [2.0, 2.0, 2.0])
    assert ad.full(2, 1.5, requires_grad=True).is_leaf
    assert ad.zeros_like(ad.tensor([1.0], requires_grad=True)).tolist() == [0.0]


def test_full_and_joins_are_differentiable():
    check_gradients(lambda c: ad.full((2, 3), c) ** 2, np.array(1.5))
    check_gradients(lambda c: ad.full_like(np.ones((2, 3)), c) ** 2, np.array([1.5, 2.0, -1.0]))
    a, b = np.array([1.0, -2.0]), np.array(0.5)
    for joiner, numpys in ((ad.r_, np.r_), (ad.c_, np.c_)):
        np.testing.assert_array_equal(joiner[ad.tensor(a), a].data, numpys[a, a])
        check_gradients(lambda x, joiner=joiner: joiner[x, x**2] ** 2, a)
    np.testing.assert_array_equal(ad.r_[ad.tensor(a), 0:2, 3.0, [b, b]].data, np.r_[a, 0:2, 3.0, [b, b]])
    np.testing.assert_array_equal(ad.r_[ad.tensor(b), [ad.tensor(b), 1.0]].data, [0.5, 0.5, 1.0])
    np.testing.assert_array_equal(ad.c_[ad.tensor(np.ones((2, 2))), a].data, np.c_[np.ones((2, 2)), a])
    with pytest.raises(ArgumentError, match="concatenate"):
        ad.r_["0,2", a]


DRAWS = {
    "normal": ((0.5, 2.0), {}),
    "uniform": ((-1.0, 3.0), {}),
    "exponential": ((2.0,), {}),
    "laplace": ((1.0, 2.0), {}),
    "logistic": ((1.0, 0.5), {}),
    "gumbel": ((1.0, 2.0), {}),
    "lognormal": ((0.1, 0.5), {}),
    "rayleigh": ((2.0,), {}),
    "weibull": ((1.7,), {}),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_numpys_and_differentiable_in_their_parameters(name):
    args, _ = DRAWS[name]
    ours = getattr(random, name)(*args, size=(3, 2), rng=np.random.default_rng(7))
    theirs = getattr(np.random.default_rng(7), name)(*args, size=(3, 2))
    np.testing.assert_allclose(ours.data, theirs, rtol=1e-12)
    check_gradients(
        lambda *parameters: getattr(random, name)(*parameters, rng=7),
        *(np.full(4, p) + np.arange(4) / 10 for p in args),
    )


def test_normal_vectors():
    mean, cov = np.array([1.0, -1.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    check_gradients(lambda m, c: random.multivariate_normal(m, (c + c.T) / 2, 3, rng=1), mean, cov)
    drawn = random.multivariate_normal(mean, cov, 20000, rng=1).data
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), cov, atol=0.1)


def test_orders_and_choices_follow_the_elements():
    x = np.arange(12.0).reshape(4, 3)
    for axis in (0, 1):
        ours = random.permutation(ad.tensor(x), axis, rng=3).data
        np.testing.assert_array_equal(np.sort(ours, axis=axis), x)
        check_gradients(lambda t, axis=axis: random.permutation(t, axis, rng=3) ** 2, x)
    assert sorted(random.permutation(5, rng=0).tolist()) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(
        random.choice(ad.tensor(x), 2, False, rng=5).data, np.random.default_rng(5).choice(x, 2, False)
    )
    check_gradients(lambda t: random.choice(t, (2, 2), p=[0.1, 0.2, 0.3, 0.4], rng=5) ** 2, x)
    t = ad.tensor(x, requires_grad=True) * 1.0
    row = t[0]
    random.shuffle(t, rng=2)
    np.testing.assert_array_equal(np.sort(t.data[:, 0]), x[:, 0])
    np.testing.assert_array_equal(row.data, t.data[0])


def test_generators_are_explicit():
    for rng in (None, "seed", True, np.random):
        with pytest.raises(ArgumentError, match="rng="):
            random.normal(size=2, rng=rng)
    with pytest.raises(ArgumentError, match="step function"):
        random.choice(3, p=ad.tensor([0.5, 0.25, 0.25], requires_grad=True), rng=0)
    with pytest.raises(ArgumentError, match="Tensor"):
        random.shuffle(np.ones(3), rng=0)


@pytest.mark.parametrize(("i", "j"), [(0, 2), (0, -1), (-3, 2), (-3, -1)])
def test_an_exchange_that_would_repeat_a_row_is_refused_however_rows_are_counted(i, j):
    t = ad.tensor([[1.0], [2.0], [3.0]])
    with pytest.raises(ad.NotDifferentiableError, match="repeat one"):
        t[i], t[j] = t[2], t[0]


def test_numpys_shuffle_is_refused_where_it_would_repeat_rows():
    t = ad.tensor(np.arange(20.0).reshape(10, 2))
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match="shuffl"), pytest.raises(ad.AutodiffError, match=r"autodiff\.random\.shuffle"):
        rng.shuffle(t)
    row = ad.tensor(np.arange(10.0), requires_grad=True) * 1.0
    with pytest.warns(UserWarning, match="shuffl"):
        rng.shuffle(row)
    assert sorted(row.tolist()) == list(range(10))


def test_an_exchange_of_rows_that_would_repeat_one_is_refused():
    b = np.arange(6.0).reshape(3, 2)
    for t in (ad.tensor(b) * 1.0, (ad.tensor(np.vstack([b[:1], b])) * 1.0)[1:]):
        t[0], t[1] = t[1].copy(), t[0].copy()
        np.testing.assert_array_equal(t.data, b[[1, 0, 2]])
        with pytest.raises(ad.NotDifferentiableError, match=r"write t\[\[i, j\]\] = t\[\[j, i\]\]"):
            t[0], t[1] = t[1], t[0]
    for array in (b.copy(), ad.tensor(b) * 1.0):  # what the message says
        array[[0, 1]] = array[[1, 0]]
        np.testing.assert_array_equal(ad.asarray(array).data, b[[1, 0, 2]])
    # What is written over after it was read, or is no row, is as NumPy has it.
    a, first = ad.tensor(b) * 1.0, None
    first = a[0]
    a[2], b[2] = 7.0, 7.0
    a[1], b[1] = first, b[0]
    first += 1
    b[0] += 1
    a[2], b[2] = first, b[0]
    np.testing.assert_array_equal(a.data, b)


@pytest.mark.parametrize("name", ["normal", "uniform", "laplace", "logistic", "gumbel", "lognormal"])
def test_draws_refuse_what_numpy_refuses_and_examples_have_draws_of_their_own(name):
    draw = getattr(random, name)
    for args, size in [((1.0, -1.0), None), ((np.zeros((2, 3)), 1.0), 3), ((np.zeros(2), 1.0), ())]:
        with pytest.raises(ValueError, match=r"size|scale|sigma|high - low"):
            getattr(np.random.default_rng(0), name)(*args, size=size)
        with pytest.raises(ad.AutodiffError, match=r"random\..*(size|scale)"):
            draw(*map(ad.tensor, args), size=size, rng=0)
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    rows = ad.vmap(lambda m: draw(m, 2.0, rng=rng))(np.zeros((3, 4)))
    np.testing.assert_array_equal(rows, [draw(np.zeros(4), 2.0, rng=same).data for _ in range(3)])
    orders = ad.vmap(lambda row: random.permutation(row, rng=rng))(np.tile(np.arange(50.0), (2, 1)))
    assert (orders[0] != orders[1]).any()
    both = ad.jit(lambda m, s: draw(m, s, size=2, rng=np.random.default_rng(3)))
    np.testing.assert_array_equal(both(np.zeros(2), 1.5).data, draw(np.zeros(2), 1.5, size=2, rng=3).data)


def test_places_between_two_ends_have_numpys_dtype():
    single, number = np.array([0.5, 2.0], np.float32), np.float32(0.25)
    for f in (np.linspace, np.logspace, np.geomspace):
        for ends in [(single, 3), (1, single), (number, 2.5), (single, np.float64(2)), (np.int8(3), single)]:
            given = [ad.tensor(end) if hasattr(end, "dtype") else end for end in ends]
            found, expected = f(*given, 4), f(*ends, 4)
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-6 if expected.dtype == np.float32 else 1e-13)
    assert np.choose([0, 1], [ad.tensor(single), 3.0]).dtype == np.choose([0, 1], [single, 3.0]).dtype
