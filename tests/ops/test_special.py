"""scipy.special on tensors: values, both orders of gradients, laws, laziness."""

import subprocess
import sys

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ArgumentError, NotDifferentiableError
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.testing import RandomDraw, check_gradients
from autodiff.testing.laws import LAWS
from autodiff.testing.mutation import survivors

special = pytest.importorskip("scipy.special", reason="these are SciPy's functions")
from autodiff import special as ours  # noqa: E402  # needs SciPy

OPS = sorted(
    name for name, op in registry.items() if getattr(special, getattr(op.forward, "__name__", ""), None) is op.forward
)


def test_there_are_many():
    assert len(OPS) > 35


#: Every derivative of theirs is a sum over some 300 nodes.
SLOW = {"betaincc", "betaincinv", "betainccinv"}
#: These are held to mpmath, to the second order, by test_transcendental.py.
SLOW |= set("boxcox boxcox1p exprel hankel1 hankel2 hyp0f1 hyp1f1 hyperu kve powm1 pseudo_huber spence".split())
SLOW |= {"ellipkm1", "inv_boxcox", "voigt_profile", "wofz"}
#: SciPy's function does not come back from an infinite argument, so these laws have nothing to ask.
ENDLESS = {("hyp1f1", "nan_and_infinity_propagate"), ("hyp1f1", "a_tangent_of_zero_gives_zero")}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in OPS])
def test_laws(name):
    op = registry[name]
    draw = RandomDraw(np.random.default_rng([7, *name.encode()]))
    calls = [sample_call(op, draw) for _ in range(2)]
    for args, kwargs in calls:
        for words, law in LAWS.items():
            if (name, words) not in ENDLESS:
                law(op, args, kwargs)
    assert survivors(op, calls) == []


@pytest.mark.parametrize("name", OPS)
def test_scipys_own_name_records(name):
    op = registry[name]
    args, _ = sample_call(op, RandomDraw(np.random.default_rng(1)))
    tensors = [a if rule is None else ad.tensor(a, requires_grad=True) for a, rule in zip(args, op.rules, strict=True)]
    out = op.forward(*tensors)
    assert isinstance(out, ad.Tensor)
    assert out.requires_grad
    np.testing.assert_array_equal(out.data, op.forward(*args))


def test_functions_that_are_no_ufuncs():
    x = np.array([[0.3, 1.2], [2.0, 0.7]])
    check_gradients(ours.logsumexp, x)
    check_gradients(lambda t, b: ours.logsumexp(t, axis=1, b=b), x, x**2)
    np.testing.assert_allclose(ours.logsumexp(x, axis=0).data, special.logsumexp(x, axis=0))
    for n in range(3):
        np.testing.assert_allclose(ours.polygamma(n, x).data, special.polygamma(n, x), rtol=1e-12)
    check_gradients(lambda t: ours.polygamma(1, t), x)
    np.testing.assert_allclose(ours.multigammaln(3.0, 3).item(), special.multigammaln(3.0, 3))
    check_gradients(lambda t: ours.softmax(t) * ours.log_softmax(t), x)


@pytest.mark.parametrize("x", [[40.0, 0.0], [0.0, 700.0], [300.0, 0.0]])
@pytest.mark.parametrize("axis", [None, 0, (0,)])
def test_logsumexp_keeps_the_share_that_is_left_of_one(x, axis):
    """Truth: the second derivative is p (1 - p), here exp(-d) to all digits, d being the distance."""
    h = np.exp(-abs(x[0] - x[1]))
    for second in (ad.hessian, lambda f: ad.jacrev(ad.grad(f)), lambda f: ad.jacfwd(ad.jacfwd(f))):
        found = second(lambda t: ours.logsumexp(t, axis=axis))(np.array(x))
        np.testing.assert_allclose(found, [[h, -h], [-h, h]], rtol=1e-13)


def test_logsumexp_of_infinities_is_scipys():
    for x in ([-np.inf, -np.inf], [np.inf, 0.0], [np.inf, np.inf], [-np.inf, 1.0], [1e308, -1e308]):
        with np.errstate(invalid="ignore", over="ignore"):
            assert ours.logsumexp(x).item() == special.logsumexp(x)
            assert np.isfinite(ad.grad(ours.logsumexp)(np.array(x))).all()
    cube = np.random.default_rng(0).normal(size=(2, 3, 4))
    for axis in ((0, 2), (2, 0), (-1, 1), None):
        np.testing.assert_allclose(ours.logsumexp(cube, axis=axis).data, special.logsumexp(cube, axis=axis), rtol=1e-14)


def test_an_axisymmetric_harmonic_has_no_slope_around_the_axis():
    f = lambda t, p: np.real(ours.sph_harm_y(3, 0, t, p))
    second = ad.hessian(f, (0, 1))(0.3, 1.9)
    assert second[0][1] == second[1][0] == second[1][1] == 0.0


def test_constants_of_an_order_are_refused():
    order = ad.tensor([1.0], requires_grad=True)
    with pytest.raises(NotDifferentiableError, match="constant"):
        special.hyp2f1(order, 1.0, 1.0, 0.3)
    with pytest.raises(NotDifferentiableError, match="no gradient"):
        special.struve(order, 1.0)


def test_nothing_is_imported_before_it_is_needed():
    code = (
        "import sys, autodiff; assert 'scipy' not in sys.modules; assert 'erf' not in autodiff.registry; "
        "import scipy.special; t = autodiff.tensor([0.5], requires_grad=True); "
        "scipy.special.erf(t).sum().backward(); assert 'erf' in autodiff.registry; print(t.grad)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.startswith(
        "[0.878"
    )


def test_names_can_be_imported_from_the_module():
    names: dict = {}
    exec("from autodiff.special import erf, gammaln, logsumexp", names)
    assert names["logsumexp"]([0.0, 0.0]).item() == np.log(2.0)
    assert names["erf"](0.0).item() == 0.0
    with pytest.raises(ImportError, match="no_such"):
        exec("from autodiff.special import no_such")


@pytest.mark.parametrize("y", [-2.0, 0.5, 2.0])
def test_inv_boxcox_bends_smoothly_at_lambda_zero(y):
    """(1 + t y)**(1 / t) is exp(y) (1 - t y**2 / 2 + t**2 (y**3 / 3 + y**4 / 8) - ...) near t = 0."""
    slope = ad.grad(ad.special.inv_boxcox, argnums=1)
    first, second = -(y**2) / 2, 2 * (y**3 / 3 + y**4 / 8)
    assert slope(y, 0.0) == pytest.approx(np.exp(y) * first, rel=1e-15)
    assert slope(y, 1e-9) == pytest.approx(np.exp(y) * (first + 1e-9 * second), rel=1e-14)
    assert ad.grad(lambda t: slope(y, t))(0.0) == pytest.approx(np.exp(y) * second, rel=1e-14)


@pytest.mark.parametrize("z", [1 + 2j, -3.3 + 0.2j, -20.5 + 1j, 5 - 30j, 1e-3 + 1e-3j, -300.3 + 0.1j, 1e6 + 1e3j])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_of_loggamma_at_complex_numbers(order, z):
    mpmath = pytest.importorskip("mpmath")
    f = special.loggamma
    for _ in range(order):
        f = lambda t, f=f: ad.jvp(f, (t,), (np.ones_like(t),))[1]
    with mpmath.workdps(30):
        truth = complex(mpmath.polygamma(order - 1, mpmath.mpc(z)))
    np.testing.assert_allclose(complex(f(np.complex128(z))), truth, rtol=3e-14)


def test_far_to_the_left_second_derivatives_of_loggamma_at_complex_numbers_are_refused():
    with pytest.raises(ad.NotDifferentiableError, match="right of -1000"):
        ad.jvp(special.digamma, (np.complex128(-1e9 + 1j),), (np.complex128(1),))


@pytest.mark.parametrize(("a", "b"), [(-0.3, 0.7), (-2.3, 0.4), (0.5, -3.2), (-1.6, -1.7)])
@pytest.mark.parametrize("orders", [(1, 0), (2, 0), (1, 1), (0, 3)])
def test_derivatives_of_beta_at_negative_numbers(orders, a, b):
    mpmath = pytest.importorskip("mpmath")
    for f, of in ((special.beta, lambda v: v), (special.betaln, lambda v: mpmath.log(abs(v)))):
        for place in (0,) * orders[0] + (1,) * orders[1]:
            f = ad.grad(f, place)
        with mpmath.workdps(30):
            truth = float(mpmath.diff(lambda x, y, of=of: of(mpmath.beta(x, y)), (a, b), orders))
        np.testing.assert_allclose(f(a, b), truth, rtol=1e-13)


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [
        (lambda y: ad.special.inv_boxcox1p(y, 0.5), 1e-30, 1e-30, 1.0),
        (lambda y: ad.special.inv_boxcox1p(y, -0.4), -1e-12, -1e-12, 1.0),
        (lambda c: ad.special.inv_boxcox1p(2.0, c), 0.0, np.expm1(2.0), -2 * np.exp(2.0)),
        (ad.special.zetac, 60.0, 8.673617380119934e-19, -np.log(2) * 2.0**-60),
        (ad.special.sindg, 360.0 * 2**20, 0.0, np.pi / 180),
        (ad.special.cosdg, 90.0, 0.0, -np.pi / 180),
        (ad.special.tandg, -180.0, 0.0, np.pi / 180),
        (lambda y: ad.special.bdtri(0, 1, y), 1 - 2.0**-50, 2.0**-50, -1.0),
        (lambda y: ad.special.fdtri(2.0, 2.0, y), 1 - 2.0**-50, 2.0**50 - 1, None),
        (ad.special.k0e, np.inf, 0.0, 0.0),
    ],
)
def test_functions_that_are_composed_keep_their_digits(f, x, value, slope):
    np.testing.assert_allclose(f(x).item(), value, rtol=1e-10)
    if slope is not None:
        np.testing.assert_allclose(ad.grad(f)(x), slope, rtol=1e-9)


def test_the_second_slope_of_the_cosine_of_degrees():
    np.testing.assert_allclose(ad.hessian(ad.special.cosdg)(0.0), -((np.pi / 180) ** 2), rtol=1e-12)


def test_unknown_numbers_beside_others():
    n = np.array([np.nan, 2.0, 2.0, 2.0])
    x = np.array([0.4, 0.4, 40.0, -1.0])
    np.testing.assert_allclose(ad.special.fdtr(n, 3.0, x).data[:3], special.fdtr(n, 3.0, x)[:3])
    assert np.isnan(ad.special.fdtrc(2.0, np.array([-1.0, 3.0]), 5.0).data[0])
    with pytest.raises(ArgumentError, match="one whole number"):
        ad.special.polygamma(np.arange(2), 1.0)
