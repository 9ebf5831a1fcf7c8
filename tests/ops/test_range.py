"""First, second and third derivatives over all binades of both dtypes, against mpmath; rules proved by SymPy."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import autodiff as ad
import nn.functional  # noqa: F401  (registers the networks' operations)
from autodiff.core.op import registry

pytest.importorskip("mpmath", reason="the truth is computed with many digits")
pytest.importorskip("sympy", reason="the truth is a symbolic derivative")
pytest.importorskip("scipy", reason="half of the functions are SciPy's")
import autodiff.special
from autodiff.testing import truths

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def differentiated(f):
    def slope(t):
        out = f(t)
        if out is None or out._node is None:
            return None
        return ad.gradients(out, t, np.ones(t.shape, t.dtype), create_graph=True, allow_unused=True)

    return slope


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in ("erfcinv", "ndtri"))) for n in truths.statable()]
)
def test_derivatives_over_the_whole_range(name, dtype):
    op = registry[name]
    x = truths.points(name, dtype)
    f, worst = op.function, []
    for order, allowed in enumerate(op.ulps, 1):
        f = differentiated(f)
        t = ad.tensor(x, requires_grad=True)
        found = f(t)
        values = np.zeros_like(x) if found is None else found.data
        assert values.dtype == dtype
        for point, value in zip(x, values, strict=True):
            off = truths.ulps(value, truths.derivative(name, order, point))
            if off > allowed:
                worst.append((order, point, value, off))
    assert not worst, f"{name} beyond its bounds {op.ulps}: {worst[:4]}"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("orders", [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)], ids=str)
@pytest.mark.parametrize("name", sorted(truths.TRUTHS_OF_TWO))
def test_partial_derivatives_over_the_range(name, orders, dtype):
    op = registry[name]
    x, y = truths.pairs(name, dtype)
    inputs = [ad.tensor(x, requires_grad=True), ad.tensor(y, requires_grad=True)]
    found, worst = op.function(*inputs), []
    for t in [inputs[0]] * orders[0] + [inputs[1]] * orders[1]:
        if found is not None and found._node is not None:
            found = ad.gradients(found, t, np.ones(t.shape, t.dtype), create_graph=True, allow_unused=True)
        else:
            found = None
    values = np.zeros_like(x) if found is None else np.broadcast_to(found.data, x.shape)
    allowed = op.ulps[sum(orders) - 1]
    for a, b, value in zip(x, y, values, strict=True):
        off = truths.ulps(value, truths.partial_derivative(name, orders, a, b))
        if off > allowed:
            worst.append((float(a), float(b), float(value), off))
    assert not worst, f"{name} beyond its bound {allowed}: {sorted(worst, key=lambda w: -w[-1])[:4]}"


WIDE = sorted(n for n, (_, kind) in truths.TRUTHS_OF_TWO.items() if kind in ("all", "right", "positive", "exponents"))
ORDERS = {k: [(i, k - i) for i in range(k + 1)] for k in (1, 2, 3)}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", WIDE)
def test_partial_derivatives_at_any_two_binades(name, order, dtype):
    """Of higher orders to the smallest normal number times the largest of them, and of subnormal numbers to their own
    digits: a factor of the formula may underflow that another one brings back. What is beyond the range is infinite.
    """
    op, info = registry[name], np.finfo(dtype)
    tiny = float(info.smallest_normal)
    x, y = truths.wide_pairs(name, dtype)
    found = {}
    for orders in ORDERS[order]:
        inputs = [ad.tensor(x, requires_grad=True), ad.tensor(y, requires_grad=True)]
        value = op.function(*inputs)
        for t in [inputs[0]] * orders[0] + [inputs[1]] * orders[1]:
            alive = value is not None and value._node is not None
            value = ad.gradients(value, t, np.ones_like(x), create_graph=True, allow_unused=True) if alive else None
        found[orders] = np.zeros_like(x) if value is None else np.broadcast_to(value.data, x.shape)
    worst = []
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        exact = {orders: truths.partial_derivative(name, orders, a, b) for orders in ORDERS[order]}
        lower = [truths.partial_derivative(name, orders, a, b) for k in range(1, order) for orders in ORDERS[k]]
        largest, least = max(map(abs, [*exact.values(), *lower])), min(abs(float(a)), abs(float(b)))
        for orders, truth in exact.items():
            off, value = truths.ulps(found[orders][i], truth), float(found[orders][i])
            lost = max(largest, 1) * tiny if order > 1 and largest <= float(info.max) else 0.0
            if 0 < least < tiny:
                lost = max(lost, abs(truth) * float(info.smallest_subnormal) / least)
            if off > op.ulps[order - 1] and not abs(value - truth) <= lost:
                worst.append((orders, float(a), float(b), value, float(truth), off))
    assert not worst, f"{name} beyond its bound {op.ulps[order - 1]}: {sorted(worst, key=lambda w: -w[-1])[:4]}"


GAMMA_POINTS = [(a, x * a) for a in (1e-3, 0.3, 1.0, 2.5, 30.0) for x in (1e-6, 0.3, 1.0, 1.7, 6.0)]
BETA_POINTS = [(a, b, x) for a, b in ((0.3, 0.7), (1, 2), (5, 0.4), (20, 30), (200, 3)) for x in (1e-3, 0.3, 0.6, 0.97)]
IN_SHAPES = [
    *[("gammainc", orders) for orders in ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))],
    *[("betainc", orders) for orders in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 0, 0), (1, 1, 0), (0, 0, 2), (1, 0, 1))],
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("name", "orders"), IN_SHAPES, ids=str)
def test_derivatives_of_incomplete_functions_in_their_shapes(name, orders, dtype):
    """Against mpmath's own differences, which take 50 digits."""
    import mpmath

    truth = {
        "gammainc": lambda a, x: mpmath.gammainc(a, 0, x, regularized=True),
        "betainc": lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True),
    }[name]
    op, points = registry[name], GAMMA_POINTS if name == "gammainc" else BETA_POINTS
    if sum(orders) == 1 and name == "gammainc":
        points = [*points, (400.0, 120.0), (400.0, 400.0), (400.0, 680.0)]
    inputs = [ad.tensor(np.array(column, dtype), requires_grad=True) for column in zip(*points, strict=True)]
    found = op.function(*inputs)
    for t, order in zip(inputs, orders, strict=True):
        for _ in range(order):
            found = ad.gradients(found, t, np.ones(t.shape, dtype), create_graph=True)
    worst = []
    for at, value in zip(zip(*[t.data for t in inputs], strict=True), found.data, strict=True):
        with mpmath.workdps(50):
            off = truths.ulps(value, mpmath.diff(truth, tuple(mpmath.mpf(float(p)) for p in at), orders))
        if off > op.ulps[sum(orders) - 1]:
            worst.append((tuple(map(float, at)), float(value), off))
    assert not worst, worst


#: Rules that SymPy's derivative does not cover (one in an order or a shape that it has no closed form of), or that ask
#: more of a value than a symbol can say.
UNPROVED = {"gammainc, 0", "gammaincc, 0", "jv, 0", "yv, 0", "iv, 0", "kv, 0", "bessel_k, 0", "zeta, 0", "softplus, 0"}
#: Simplifying takes SymPy seconds.
SLOW = {"ellipk", "ellipe", "spherical_bessel", "polygamma_rise", "beta", "digamma", "gammainc", "gammaincc", "poch"}
SLOW |= {name for name in truths.BLOCKS if name.endswith("_derivative")}
STATED = [n for n in {**truths.TRUTHS, **truths.TRUTHS_OF_TWO, **truths.STATED, **truths.BLOCKS} if n in registry]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in STATED])
def test_rules_are_proved_symbolically(name):
    """To 60 digits at 40 points at least where the expressions do not simplify to zero."""
    if registry[name].fused:
        pytest.skip("held to its composed definition")
    for place in range(len(truths.symbols_of(name))):
        expected = (None,) if f"{name}, {place}" in UNPROVED else ("symbolic", "numeric")
        assert truths.certificate(name, place) in expected, place


def test_the_values_that_certificates_rest_on_are_right():
    """A rule that says ``gaussian`` is certified for the function of that definition: so it must be that function."""
    x, y = np.array([0.3, 0.55, 0.8]), np.array([0.45, 0.7, 0.2])
    for name in truths.BLOCKS:
        op, places = registry[name], len(truths.symbols_of(name))
        low = 1.0 if name == "arccosh_slope" else 0.0
        for attrs in truths.attributes_of(name):
            given = [x + low, y, 0.1 * x][:places]
            found = op.forward(*given, *attrs)
            truth = [truths.value_of(name, attrs, *at) for at in zip(*given, strict=True)]
            np.testing.assert_allclose(found, truth, rtol=1e-12, err_msg=f"{name}, {attrs}")


def test_the_certificate_notices_a_wrong_rule(monkeypatch):
    op = registry["tanh"]
    monkeypatch.setattr(op, "rules", (lambda g, out, x: g * (1 - out),))
    assert truths.certificate("tanh") is False


HUGE = ["tanh", "sigmoid", "arcsinh", "i0", "sinc", "log_ndtr", "gelu", "erf", "normal_cdf", "silu", "k0"]


@pytest.mark.parametrize("name", HUGE)
def test_huge_arguments_give_no_nan(name):
    x = np.array([1e300, -1e300, 1e155, -1e20, 5e-324] if name != "k0" else [1e300, 1e155, 1e20])
    f = registry[name].function
    for _ in range(3 if name != "i0" else 2):
        f = differentiated(f)
        found = f(ad.tensor(x, requires_grad=True)).data
        assert not np.isnan(found[2:] if name == "i0" else found).any()


def test_one_over_gamma_is_right_at_its_zeros():
    """At 0, -1, -2 digamma has poles, which cancel: the function is entire."""
    mpmath = pytest.importorskip("mpmath")
    x = np.array([0.0, -1.0, -2.0, 1e-20, -1e-9, 1e-3, 0.1, 0.3, 0.5, 0.9, 1.0, 3.0, 30.0, 100.0, -0.3, -1.2, -5.5])
    op = registry["rgamma"]
    f = op.function
    for order, allowed in enumerate(op.ulps, 1):
        f = differentiated(f)
        found = f(ad.tensor(x, requires_grad=True)).data
        with mpmath.workdps(80):
            truths_ = [mpmath.diff(mpmath.rgamma, mpmath.mpf(float(p)), order) for p in x]
            off = [truths.ulps(value, truth) for value, truth in zip(found, truths_, strict=True)]
        assert max(off) <= allowed, (order, off)


SMALL = [[1e-9, 1.0, 1.0, 3.0], [1e-160, 1.0, 2.0], [1.0, 1e-100, 1e100], [1e200, 1e-200, 3.0], [5e-324, 1.0, 2.0]]
PRODUCTS = {
    "prod": np.prod,
    "cumprod": lambda x: np.cumprod(x)[-1],
    "det": lambda x: np.linalg.det(np.diag(x)),
    "prod of long rows": lambda x: np.prod(np.concatenate([np.ones(5), x])),
}


@pytest.mark.parametrize("modes", ["rr", "rf", "fr", "ff", "rrr", "rfr", "frf", "fff"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_derivatives_of_products_keep_their_digits_beside_small_factors(name, modes):
    for x in map(np.array, SMALL):
        derivative = PRODUCTS[name]
        for mode in modes:
            derivative = {"r": ad.jacrev, "f": ad.jacfwd}[mode](derivative)
        expected = np.zeros((len(x),) * len(modes))
        for places in itertools.permutations(range(len(x)), len(modes)):
            expected[places] = np.prod([x[i] for i in range(len(x)) if i not in places])
        rtol, atol = (1e-13, 1e-15) if name == "det" else (1e-14, 0)
        np.testing.assert_allclose(derivative(x), expected, rtol, atol)


def near(value):
    """An exact number as a float, infinite where it is larger than all of them."""
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


@pytest.mark.parametrize("mode", [ad.jacfwd, ad.jacrev])
@pytest.mark.parametrize("x", [[1e200, 1e200, 1e-200], [-1e200, 1e200, 3.0], [0.0, 0.0, 1e300, 1e300]])
def test_a_partial_of_a_product_that_is_infinite_spoils_no_other(x, mode):
    exact, n = [Fraction(value) for value in x], len(x)
    partials = np.zeros((n, n))
    for j, i in itertools.combinations(range(n, -1, -1), 2):
        partials[j - 1, i] = near(math.prod(exact[:i] + exact[i + 1 : j]))
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(mode(np.prod)(np.array(x)), partials[-1], rtol=1e-14)
        np.testing.assert_allclose(mode(np.cumprod)(np.array(x)), partials, rtol=1e-14)
        rows = mode(lambda t: np.prod(np.stack([t, np.ones_like(t)]), axis=1))(np.array(x))
        np.testing.assert_allclose(rows, [partials[-1], np.zeros(n)], rtol=1e-14)


@pytest.mark.parametrize("distance", [1e-3, 1e-9, 1e-15, 0.0])
@pytest.mark.parametrize("modes", ["rr", "rf", "fr", "ff"])
def test_second_derivatives_of_det_keep_their_digits_near_singular_matrices(modes, distance):
    a = np.array([[1.0, 2.0, 0.5], [-1.0, 1.5, 3.0], [0.0, 3.5, 3.5 + distance]])
    derivative = np.linalg.det
    for mode in modes:
        derivative = {"r": ad.jacrev, "f": ad.jacfwd}[mode](derivative)
    levi_civita = np.zeros((3, 3, 3))
    for i, j, k in itertools.permutations(range(3)):
        levi_civita[i, j, k] = (i - j) * (j - k) * (k - i) / 2
    expected = np.einsum("ikm,jln,mn->ijkl", levi_civita, levi_civita, a)
    np.testing.assert_allclose(derivative(a), expected, rtol=1e-13, atol=1e-14)
