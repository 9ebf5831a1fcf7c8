"""Special functions in their shape parameters and orders, against mpmath, and where they end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.testing import check_gradients

special = pytest.importorskip("scipy.special")
mpmath = pytest.importorskip("mpmath")


def right(function: Any, args: tuple[float, ...], orders: tuple[int, ...]) -> float:
    with mpmath.workdps(40):
        return float(mpmath.diff(lambda *p: function(*p, *args[len(p) :]), args[: len(orders)], orders))


GAMMA = lambda a, x: mpmath.gammainc(a, 0, x, regularized=True)
BETA = lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True)
BESSEL = {"jv": mpmath.besselj, "yv": mpmath.bessely, "iv": mpmath.besseli, "kv": mpmath.besselk}


@pytest.mark.parametrize(
    ("a", "x"), [(2.5, 1.5), (0.02, 1e-3), (0.02, 3.0), (300.0, 280.0), (300.0, 500.0), (1.0, 1e-30)]
)
def test_the_incomplete_gamma_function_in_its_shape(a: float, x: float) -> None:
    for order, f in ((1, ad.grad(special.gammainc)), (2, ad.grad(ad.grad(special.gammainc)))):
        assert np.isclose(float(f(a, x)), right(GAMMA, (a, x), (order,)), rtol=1e-11, atol=0)
    assert np.isclose(float(ad.grad(special.gammaincc)(a, x)), -right(GAMMA, (a, x), (1,)), rtol=1e-11, atol=0)


@pytest.mark.parametrize(
    ("a", "b", "x"), [(2.0, 3.0, 0.3), (0.06, 0.05, 0.87), (2.1, 0.065, 0.98), (50.0, 20.0, 0.9), (0.1, 30.0, 1e-6)]
)
def test_the_incomplete_beta_function_in_its_shapes(a: float, b: float, x: float) -> None:
    got = ad.grad(special.betainc, argnums=(0, 1))(a, b, x)
    assert np.allclose(got, [right(BETA, (a, b, x), (1, 0)), right(BETA, (a, b, x), (0, 1))], rtol=1e-11, atol=0)
    mixed = ad.grad(lambda t: ad.grad(special.betainc)(a, t, x))(b)
    assert np.isclose(float(mixed), right(BETA, (a, b, x), (1, 1)), rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", BESSEL)
@pytest.mark.parametrize(("v", "z"), [(1.2, 2.0), (0.0, 0.1), (9.5, 0.5), (5.6, 14.0), (-1.9, 10.5)])
def test_a_bessel_function_in_its_order(name: str, v: float, z: float) -> None:
    f = getattr(special, name)
    assert np.isclose(float(ad.grad(f)(v, z)), right(BESSEL[name], (v, z), (1,)), rtol=1e-11, atol=1e-15)
    assert np.isclose(float(ad.grad(ad.grad(f))(v, z)), right(BESSEL[name], (v, z), (2,)), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", BESSEL)
@pytest.mark.parametrize(
    ("v", "z"), [(60.0, 20.0), (60.0, 1e-3), (60.5, 70.0), (30.0, 200.0), (-7.3, 2.0), (-4.0, 30.0)]
)
def test_a_bessel_function_in_an_order_beyond_its_argument(name: str, v: float, z: float) -> None:
    f = getattr(special, name)
    assert np.isclose(float(ad.grad(f)(v, z)), right(BESSEL[name], (v, z), (1,)), rtol=3e-12, atol=0)
    assert np.isclose(float(ad.grad(ad.grad(f))(v, z)), right(BESSEL[name], (v, z), (2,)), rtol=1e-11, atol=0)


@pytest.mark.parametrize("name", ["ive", "kve"])
@pytest.mark.parametrize("v", [0.0, 2.3, 12.0, -1.7])
@pytest.mark.parametrize("z", [1e-3, 5.0, 25.0, 1e3, 1e8])
def test_scaled_bessel_functions_keep_their_digits_far_out(name: str, v: float, z: float) -> None:
    sign, f = (-1, mpmath.besseli) if name == "ive" else (1, mpmath.besselk)
    ours = getattr(special, name)

    def truth(v: Any, n: int) -> Any:  # the n-th derivative in z, by recurrence
        if not n:
            return f(v, z) * mpmath.exp(sign * z)
        return sign * truth(v, n - 1) - sign * (truth(v - 1, n - 1) + truth(v + 1, n - 1)) / 2

    with mpmath.workdps(60):
        order, h = mpmath.mpf(v), mpmath.mpf(10) ** -18
        in_order = [float((truth(order + h, n) - truth(order - h, n)) / (2 * h)) for n in (0, 1)]
        right = [float(truth(order, 1)), float(truth(order, 2)), *in_order]
    found = [
        ad.grad(ours, argnums=1)(v, z),
        ad.grad(ad.grad(ours, argnums=1), argnums=1)(v, z),
        ad.grad(ours)(v, z),
        ad.grad(ad.grad(ours, argnums=1))(v, z),
    ]
    np.testing.assert_allclose(found, right, rtol=2e-12)
    np.testing.assert_allclose(ad.jvp(lambda z: ours(v, z), (z,), (1.0,))[1], right[0], rtol=2e-12)


def test_scaled_bessel_functions_of_complex_numbers() -> None:
    for f in (special.ive, special.kve):
        for z in (1.2 + 0.7j, -0.8 + 1.1j):
            value = lambda x, y, f=f: np.real(f(1.3, x + 1j * y)) + 2 * np.imag(f(1.3, x + 1j * y))
            check_gradients(value, np.array(z.real), np.array(z.imag), order=1 if f is special.ive else 2)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("stdtr", (2.5, 0.7)), ("stdtr", (2.5, -0.7)), ("stdtrit", (2.5, 0.3)), ("gammaincinv", (2.0, 0.3)),
        ("gammainccinv", (2.0, 0.3)), ("betaincc", (2.0, 0.7, 0.3)), ("betaincinv", (2.0, 0.7, 0.3)),
        ("betainccinv", (2.0, 0.7, 0.3)), ("ive", (0.7, 2.0)),
    ],
)  # fmt: skip
def test_what_follows_from_them_against_numbers(name: str, args: tuple[float, ...]) -> None:
    check_gradients(getattr(ad.special, name), *map(np.array, args))


def test_at_the_ends_a_distribution_function_does_not_depend_on_its_shape() -> None:
    a = np.full(3, 2.0)
    assert ad.elementwise_grad(special.gammainc)(a, np.array([0.0, np.inf, -1.0]))[:2].tolist() == [0.0, 0.0]
    assert np.isnan(ad.elementwise_grad(special.gammainc)(a, np.array([0.0, np.inf, -1.0]))[2])
    assert ad.elementwise_grad(special.betainc)(a[:2], 3.0, np.array([0.0, 1.0])).tolist() == [0.0, 0.0]


def test_the_precision_is_that_of_the_argument() -> None:
    a, x = np.float32([2.5, 3.0]), np.float32([1.5, 2.0])
    got = ad.elementwise_grad(special.gammainc)(a, x)
    assert got.dtype == np.float32
    assert np.allclose(got, ad.elementwise_grad(special.gammainc)(a.astype(float), x.astype(float)), rtol=1e-5)


def test_a_shape_is_fitted_to_censored_times() -> None:
    """The score of a censored gamma likelihood vanishes in the mean over the truth's own quantiles."""
    shape, limit = 2.5, 4.0
    times = special.gammaincinv(shape, (np.arange(2000) + 0.5) / 2000)
    seen, cut = times[times <= limit], np.sum(times > limit)
    score = ad.grad(lambda a: np.sum(ad.stats.gamma.logpdf(seen, a)) + cut * ad.stats.gamma.logsf(limit, a))(shape)
    assert abs(float(score)) / 2000 < 2e-3


def test_a_singular_covariance_has_a_density_on_its_span() -> None:
    stats = pytest.importorskip("scipy.stats")
    mean, cov = np.array([0.1, 0.2]), np.array([[1.0, 1.0], [1.0, 1.0]])
    for x in ([0.6, 0.7], [0.5, 0.7], [[0.6, 0.7], [1.0, 0.0]]):
        got = ad.stats.multivariate_normal.logpdf(ad.tensor(x), mean, cov, allow_singular=True)
        assert np.allclose(got.data, stats.multivariate_normal.logpdf(x, mean, cov, allow_singular=True))
    slope = ad.grad(lambda x: ad.stats.multivariate_normal.logpdf(x, mean, cov, allow_singular=True))
    assert np.allclose(slope(np.array([0.6, 0.7])), [-0.25, -0.25])
    with pytest.raises(ad.ArgumentError, match="rank"):
        ad.grad(lambda c: ad.stats.multivariate_normal.logpdf(mean, mean, c, allow_singular=True))(cov)
