"""A cotangent of zero gives zero through every operation that acts element by element, whatever its derivative."""

import numpy as np
import pytest

import autodiff as ad
import autodiff.special
from autodiff.core.op import registry
from autodiff.facts import edges, sample_call
from autodiff.testing.draw import RandomDraw
from autodiff.zero_times_infinity import keep_zeros
from nn import functional as F

#: All but three that no user meets, whose forwards refuse orders and arguments beyond 10,000.
POINTWISE = sorted({name for name, op in registry.items() if op.pointwise} - {"iv_slope", "jv_slope", "yv_slope"})
# SciPy's hyp1f1 does not come back from arguments of some size, and neither would these tests.
POINTWISE.remove("hyp1f1")


def in_both(function, *args):
    """What two ways to ask give, or None if both refuse."""
    found = []
    for one in args:
        try:
            found.append(function(one))
        except ad.ArgumentError:  # a function in its order, beyond what its derivative is defined for
            found.append(None)
    assert (found[0] is None) == (found[1] is None)
    return None if found[0] is None else found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", POINTWISE)
def test_a_cotangent_of_zero_gives_zero(name):
    op = registry[name]
    args, attrs = sample_call(op, RandomDraw(np.random.default_rng(0)))
    count = len(op.inputs)
    for place in range(count):
        if np.asarray(args[place]).dtype.kind != "f" or (not op.fused and op.rules[place] is None):
            continue
        for value in (np.nan, *edges(op)):
            given = [np.resize(np.asarray(a), (3,)) for a in args[:count]]
            given[place] = np.full(3, value)
            x = ad.tensor(given[place], requires_grad=True)
            out = op.function(*given[:place], x, *given[place + 1 :], *args[count:], **attrs)
            if out._node is None:
                continue
            try:
                g = ad.gradients(out, x, np.zeros(3), create_graph=True)
            except ad.ArgumentError:
                continue
            assert not np.any(g.data), (name, place, value, g.data)
            if g._node is not None:
                again = ad.gradients(g, x, np.zeros(3), allow_unused=True)
                assert again is None or not np.any(np.asarray(again)), (name, place, value, again)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", POINTWISE)
def test_both_modes_agree_at_the_edges(name):
    """First and second derivatives, wherever the operation has a value."""
    op = registry[name]
    args, attrs = sample_call(op, RandomDraw(np.random.default_rng(0)))
    count, x = len(op.inputs), edges(op)
    for place in range(count):
        if np.asarray(args[place]).dtype.kind != "f" or (not op.fused and op.rules[place] is None):
            continue
        given = [np.resize(np.asarray(a), x.shape) for a in args[:count]]

        def f(v, place=place, given=given):
            out = op.function(*given[:place], v, *given[place + 1 :], *args[count:], **attrs)
            return np.real(out) if out.dtype.kind == "c" else out

        def slope(v, f=f):
            return ad.grad(lambda w: np.sum(f(w)))(v)

        there = ~np.isnan(f(x).data)
        low, high = op.reach
        tame = (np.abs(x) >= low) & (np.abs(x) <= high) & (np.abs(1 - np.abs(x)) >= low)
        for order, function in enumerate((f, slope), 1):
            seen = there & tame if order == 2 else there
            modes = in_both(
                lambda mode: mode(),
                lambda function=function: ad.grad(lambda v: np.sum(function(v)))(x),
                lambda function=function: ad.jvp(function, (x,), (np.ones_like(x),))[1],
            )
            if modes is not None:
                back, ahead = modes
                np.testing.assert_allclose(ahead[seen], back[seen], rtol=1e-9, atol=1e-322, err_msg=f"{name} {place}")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "branch",
    [
        lambda x: np.sqrt(-x),
        lambda x: np.exp(1000 * x),
        lambda x: np.log(-x) ** 2 * np.tanh(np.sqrt(-x)),
        lambda x: F.gelu(np.log(-x)) + F.silu(np.log(-x)),
        lambda x: np.hypot(np.log(-x), x) / (x - x),
    ],
)
def test_a_branch_that_is_not_taken_leaves_no_trace(branch):
    """In first and second derivatives, alone and in arrays."""

    def f(x):
        return np.sum(np.where(x > 0, x * x, branch(x)))

    x = np.array([1.0, 2.0])
    assert np.array_equal(ad.grad(f)(x), 2 * x)
    assert np.array_equal(ad.grad(f)(1.0), 2.0)
    assert np.array_equal(ad.hessian(f)(x), 2 * np.eye(2))


def test_what_is_not_zero_stays_as_it_is():
    slope = np.array([-np.inf, np.nan, np.inf])

    def rule(g):
        return g * slope

    with np.errstate(invalid="ignore"):
        found = keep_zeros(np.array([0.0, 1.0, 2.0]), rule(np.array([0.0, 1.0, 2.0])), rule)
    np.testing.assert_array_equal(found, [0.0, np.nan, np.inf])
    assert keep_zeros(np.float64(0.0), np.float64(np.nan), lambda g: g * np.nan) == 0.0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("function", "truth"),
    [
        (lambda x: np.sqrt(x @ x), 0.0),
        (lambda x: np.sqrt(np.einsum("i,i->", x, x)), 0.0),
        (lambda x: np.sqrt(np.var(x)), 0.0),
        (lambda x: np.sqrt(np.prod(x)), 0.0),
        (lambda x: np.sum(np.sqrt(np.convolve(x, x))), 0.0),
        (lambda x: np.sum(np.sqrt(np.cumprod(x))), [np.inf, 0.0, 0.0]),
        (lambda x: np.sum(np.abs(x) ** 0.5), 0.0),
        (lambda x: np.sum(np.sqrt(x * x)), 0.0),
        (lambda x: np.sum(np.sqrt(x**3)), 0.0),
        (lambda x: np.sum(np.cbrt(x**3)), 0.0),
        (lambda x: np.sum(np.log(x * x)), 0.0),
        (lambda x: np.sum(np.exp(-1 / x)), 0.0),
        (lambda x: np.sum(np.exp(np.log(x))), 0.0),
        (lambda x: np.sum(np.tanh(1 / x)), 0.0),
        (lambda x: np.linalg.norm(x) ** 0.5, 0.0),
    ],
)
def test_zero_times_infinity_is_zero_in_both_modes(function, truth):
    """Whichever of the two factors comes first: 0 * inf = 0 in derivatives of every order (docs/kinks.md)."""
    x = np.zeros(3)
    units = np.eye(3)
    found = [
        ad.grad(function)(x),
        np.array([ad.jvp(function, (x,), (unit,))[1] for unit in units]),
        ad.jacfwd(function)(x),
        ad.jacrev(function)(x),
        ad.grad(lambda y: ad.vmap(function)(y).sum())(x[None])[0],
    ]
    with ad.plain():
        found.append(ad.grad(function)(x))
    for one in found:
        np.testing.assert_array_equal(one, np.broadcast_to(truth, 3))
    if np.any(np.isinf(truth)):
        return  # of the second derivative the modes add up different infinities
    second = ad.grad(lambda y: np.sum(ad.grad(function)(y)))(x)
    np.testing.assert_array_equal(second, ad.hvp(function, (x,), (np.ones(3),))[0])
    ahead = ad.jvp(lambda y: ad.jvp(function, (y,), (np.ones(3),))[1], (x,), (np.ones(3),))[1]
    np.testing.assert_array_equal(ahead, np.sum(second))


def test_a_derivative_that_is_infinite_is_still_told():
    with np.errstate(divide="ignore"):
        assert ad.grad(np.sqrt)(0.0) == np.inf


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "branch",
    [
        lambda x: np.log(x) @ np.log(x),
        lambda x: np.einsum("i,j->", np.log(x), 1 / x),
        lambda x: np.var(1 / x),
        lambda x: np.sum(np.convolve(np.log(x), x)),
        lambda x: F.cross_entropy(np.log(x)[None], np.array([1])),
        lambda x: np.sum(F.layer_norm(1 / x, (3,))),
    ],
)
def test_a_branch_of_whole_arrays_that_is_not_taken_leaves_no_trace(branch):
    def f(x):
        return np.where(True, np.sum(x * x) + np.sum(x), branch(x))

    x = np.zeros(3)
    np.testing.assert_array_equal(ad.grad(f)(x), np.ones(3))
    np.testing.assert_array_equal(ad.jvp(f, (x,), (np.ones(3),))[1], 3.0)
    np.testing.assert_array_equal(ad.hessian(f)(x), 2 * np.eye(3))
