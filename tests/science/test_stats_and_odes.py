"""autodiff.stats against scipy.stats, autodiff.integrate against exact solutions and SciPy, all gradients against
differences.
"""

import copy
import pickle

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ArgumentError, ConvergenceError, NotDifferentiableError, ShapeError
from autodiff.testing import check_gradients

theirs = pytest.importorskip("scipy.stats", reason="these are SciPy's distributions")
from autodiff import stats as ours  # noqa: E402  # needs SciPy
from autodiff.integrate import odeint  # noqa: E402

X = np.array([0.35, 0.8])
SCIPY = tuple(int(part) for part in pytest.importorskip("scipy").__version__.split(".")[:2])
CONTINUOUS = {
    "beta": [2.0, 3.5],
    "burr12": [1.7, 2.3],
    "cauchy": [],
    "chi": [2.6],
    "chi2": [3.0],
    "expon": [],
    "f": [3.0, 4.5],
    "fisk": [2.7],
    "gamma": [2.3],
    "genextreme": [-0.15],
    "genpareto": [0.2],
    "gumbel_l": [],
    "gumbel_r": [],
    "halfcauchy": [],
    "halflogistic": [],
    "halfnorm": [],
    "invgamma": [2.2],
    "invgauss": [0.8],
    "laplace": [],
    "levy": [],
    "logistic": [],
    "lognorm": [0.7],
    "lomax": [2.4],
    "maxwell": [],
    "norm": [],
    "pareto": [2.5],
    "powerlaw": [1.6],
    "rayleigh": [],
    "t": [3.5],
    "triang": [0.4],
    "uniform": [],
    "vonmises": [1.9],
    "weibull_max": [1.8],
    "weibull_min": [1.7],
}
DISCRETE = {"bernoulli": [0.3], "binom": [7, 0.3], "geom": [0.3], "nbinom": [2.5, 0.4], "poisson": [2.5]}
#: Where points between 0 and 1 are outside of the support.
ELSEWHERE = {"pareto": 1.5, "f": 1.5, "weibull_max": -1.5}
METHODS = ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf")


def both(name, method):
    return (getattr(getattr(module, name), method) for module in (ours, theirs))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_values(name):
    shapes, wide = CONTINUOUS[name], np.array([-1.5, 0.0, 0.1, 0.3, 0.9, 1.0, 4.0, np.nan])
    with np.errstate(all="ignore"):
        for method in METHODS:
            mine, scipys = both(name, method)
            for at in ((wide, *shapes), (wide, *shapes, 0.2, 1.3), (wide, *shapes, 0.2, -1.0)):
                np.testing.assert_allclose(mine(*at).data, scipys(*at), rtol=1e-10, atol=1e-300, err_msg=method)
            np.testing.assert_allclose(
                mine(wide, *shapes, loc=0.1, scale=2.0).data, scipys(wide, *shapes, loc=0.1, scale=2.0), rtol=1e-10
            )
            if shapes and name not in ("genextreme", "genpareto"):
                assert np.isnan(mine(0.5, *(-1.0 for _ in shapes)).data)
        q = np.array([0.0, 1e-9, 0.1, 0.5, 0.7, 0.999, 1.0, 1.2, np.nan])
        mine, scipys = both(name, "ppf")
        # The tangent that SciPy before 1.15 takes for Cauchy's loses digits in the tail.
        rtol = 1e-7 if name == "cauchy" and SCIPY < (1, 15) else 1e-8
        np.testing.assert_allclose(mine(q, *shapes, 0.3, 2.0).data, scipys(q, *shapes, 0.3, 2.0), rtol=rtol)
        mine, scipys = both(name, "entropy")
        np.testing.assert_allclose(mine(*shapes, loc=0.3, scale=2.0).data, scipys(*shapes, loc=0.3, scale=2.0))
    draws = getattr(ours, name).rvs(*shapes, loc=0.3, scale=2.0, size=4000, random_state=np.random.default_rng(0)).data
    assert theirs.kstest(draws, lambda x: getattr(theirs, name).cdf(x, *shapes, loc=0.3, scale=2.0)).pvalue > 1e-3


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_gradients_in_everything(name):
    one, shapes = getattr(ours, name), [np.array(value) for value in CONTINUOUS[name]]
    place = [np.array(0.05), np.array(1.3)]
    for method in ("logpdf", "cdf", "logsf"):
        f = getattr(one, method)
        check_gradients(lambda x, *a, f=f: f(x, *a), X + ELSEWHERE.get(name, 0.0), *shapes, *place, order=1)
    if name != "t" or SCIPY >= (1, 17):  # before, stdtrit has nine digits, and differences see it
        check_gradients(lambda q, *a: one.ppf(q, *a), X, *shapes, *place, order=1)
    check_gradients(lambda x, *a: one.logpdf(x, *a), X[:1] + ELSEWHERE.get(name, 0.0), *shapes, *place)
    if shapes:
        check_gradients(lambda *a: one.entropy(*a), *shapes, order=1)
    check_gradients(lambda *a: one.rvs(*a, size=2, random_state=1), *shapes, *place, order=1)


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_moments_and_inverse_survival(name):
    shapes = {**CONTINUOUS, **DISCRETE}[name]
    q = np.array([0.0, 1e-30, 1e-12, 0.1, 0.5, 0.999, 1.0, 1.2, np.nan])
    place = {"loc": 2} if name in DISCRETE else {"loc": 0.3, "scale": 2.0}
    with np.errstate(all="ignore"):
        for method in ("mean", "var", "std", "median"):
            mine, scipys = both(name, method)
            np.testing.assert_allclose(
                mine(*shapes, **place).data, scipys(*shapes, **place), rtol=1e-7, atol=1e-14, err_msg=method
            )
            if shapes and name in CONTINUOUS:  # where a moment does not exist, and where a parameter is not allowed
                for value in (0.5, 1.5, 2.5, -1.0):
                    right = scipys(*[value] * len(shapes))
                    np.testing.assert_allclose(mine(*[value] * len(shapes)).data, right, 1e-7, 1e-14, err_msg=method)
            tracked = (
                [np.array(value + 3.0 * (name not in ("genpareto", "triang"))) for value in shapes]
                if name in CONTINUOUS
                else []
            )
            if tracked and method != "median":
                check_gradients(lambda *a, f=mine: f(*a), *tracked, order=1)
        mine, scipys = both(name, "interval")
        np.testing.assert_allclose([part.data for part in mine(0.9, *shapes)], scipys(0.9, *shapes), rtol=1e-7)
        one = getattr(ours, name)
        if name in DISCRETE:
            np.testing.assert_array_equal(
                one.isf([0.1, 0.7], *shapes).data, getattr(theirs, name).isf([0.1, 0.7], *shapes)
            )
            return
        # SciPy loses digits of F's, so the truth is what the survival function says.
        kept = (q > 1e-20) & (q < 1)
        np.testing.assert_allclose(one.sf(one.isf(q[kept], *shapes), *shapes).data, q[kept], rtol=1e-4)
        ends = np.array([0.0, 1.0, 1.2])
        np.testing.assert_array_equal(one.isf(ends, *shapes).data, getattr(theirs, name).isf(ends, *shapes))
    check_gradients(lambda q, *a: one.isf(q, *a), np.array([0.2, 0.7]), *[np.array(value) for value in shapes], order=1)


@pytest.mark.parametrize("name", ["gamma", "lognorm", "t", "weibull_min", "norm"])
def test_fit_is_scipys_and_differentiable_in_the_data(name):
    one, scipys = getattr(ours, name), getattr(theirs, name)
    data = scipys.rvs(*CONTINUOUS[name], size=25, random_state=np.random.default_rng(1))
    np.testing.assert_array_equal([v.data for v in one.fit(data, floc=0.0)], scipys.fit(data, floc=0.0))
    best = lambda x: np.array([v.data for v in one.fit(ad.tensor(x, requires_grad=True), floc=0.0)])  # to all digits
    np.testing.assert_allclose(best(data), scipys.fit(data, floc=0.0), rtol=2e-3)
    step = np.cos(np.arange(25.0))
    differences = (best(data + 1e-4 * step) - best(data - 1e-4 * step)) / 2e-4
    slopes = ad.jvp(lambda x: ad.stack(one.fit(x, floc=0.0)), (data,), (step,))[1]
    np.testing.assert_allclose(slopes, differences, rtol=1e-5, atol=1e-7)


def test_fit_at_the_end_of_the_support_is_named():
    with pytest.raises(ConvergenceError, match="floc"):
        ad.grad(lambda x: ours.expon.fit(x)[1])(np.array([1.0, 2.0, 5.0]))
    with pytest.raises(ArgumentError, match="not allowed"):
        ours.gamma.rvs(2.0, scale=-1.0, random_state=0)


@pytest.mark.parametrize(("df", "x"), [(3.5, 0.7), (3.5, -0.7), (0.8, 40.0), (30.0, 2.5), (1.0, -1e-3)])
def test_gradients_of_the_t_distribution_against_high_precision(df, x):
    """With any SciPy: slopes of F(df, x) = I_q(df / 2, 1 / 2) / 2 and of its inverse, by mpmath."""
    mp = pytest.importorskip("mpmath")

    def cdf(df, x):
        tail = mp.betainc(df / 2, mp.mpf(1) / 2, 0, df / (df + x * x), regularized=True) / 2
        return 1 - tail if x > 0 else tail

    with mp.workdps(30):
        q, at = cdf(mp.mpf(df), mp.mpf(x)), (mp.mpf(df), mp.mpf(x))
        in_df, in_x = mp.diff(cdf, at, (1, 0)), mp.diff(cdf, at, (0, 1))
        rights = [[in_x, in_df], [1 / in_x, -in_df / in_x]]
    for f, point, right in zip((ours.t.cdf, ours.t.ppf), (x, float(q)), rights, strict=True):
        slopes = ad.grad(f, argnums=(0, 1))(point, df)
        np.testing.assert_allclose(slopes, [float(r) for r in right], rtol=1e-9 if f == ours.t.cdf else 1e-7)


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete(name):
    shapes, k = DISCRETE[name], np.array([-1, 0, 0.5, 1, 2, 3, 6, 7, 8, 40, -np.inf, np.nan])
    with np.errstate(all="ignore"):
        for method in ("pmf", "logpmf", "cdf", "sf", "logcdf", "logsf"):
            mine, scipys = both(name, method)
            for more in ({}, {"loc": 2}):
                np.testing.assert_allclose(
                    mine(k, *shapes, **more).data, scipys(k, *shapes, **more), rtol=1e-9, atol=1e-30, err_msg=method
                )
            if name == "binom":
                check_gradients(lambda p, f=mine: f(np.array([1, 2, 3]), 7, p), np.array(0.3))
            elif name != "bernoulli":
                tracked = [np.array(value) for value in shapes]
                check_gradients(lambda *a, f=mine: f(np.array([1, 2, 3]), *a), *tracked, order=1)
    for method, args in (("entropy", ()), ("ppf", ([0.1, 0.5, 0.99],))):
        mine, scipys = both(name, method)
        np.testing.assert_allclose(mine(*args, *shapes).data, scipys(*args, *shapes))
    mine, scipys = both(name, "rvs")
    draws = [f(*shapes, size=5, random_state=np.random.default_rng(3)) for f in (mine, scipys)]
    np.testing.assert_array_equal(draws[0].data, draws[1])
    with pytest.raises(NotDifferentiableError, match="score"):
        mine(*shapes[:-1], ad.tensor(0.5, requires_grad=True), random_state=0)
    with pytest.raises(ArgumentError, match="random_state"):
        mine(*shapes)
    assert np.isnan(getattr(ours, name).pmf(1, *[-2.0] * len(shapes)).data)


def test_single_precision_stays():
    single = np.float32([0.3, 0.7])
    for name, shapes in CONTINUOUS.items():
        one, shapes = getattr(ours, name), [np.float32(value) for value in shapes]
        for method in (*METHODS, "ppf"):
            assert getattr(one, method)(single, *shapes).dtype == np.float32, (name, method)
        if shapes:
            assert one.entropy(*shapes).dtype == one.rvs(*shapes, random_state=0).dtype == np.float32, name
    assert ours.poisson.pmf(1, np.float32(2.5)).dtype == np.float32


def test_the_circle_for_any_concentration():
    """The distribution function's series and its inverse against the integral of the density."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    for kappa in (0.0, 0.3, 45.0, 400.0, 1e4):
        for x in (-2.0, 0.05, 1.0 / (1 + kappa), 3.0):
            reach = min(np.pi, 12 / np.sqrt(kappa + 0.1))
            top = np.clip(x, -reach, reach)
            at = -reach + (nodes + 1) * (top + reach) / 2
            right = np.sum(ours.vonmises.pdf(at, kappa).data * weights) * (top + reach) / 2
            assert np.isclose(ours.vonmises.cdf(x, kappa).item(), right, atol=1e-11)
        if kappa:
            q = np.array([1e-3, 0.3, 0.9])
            np.testing.assert_allclose(ours.vonmises.cdf(ours.vonmises.ppf(q, kappa), kappa).data, q, rtol=1e-9)


def test_far_tails_and_outside_the_support():
    x = np.array([-40.0, 40.0])
    np.testing.assert_allclose(ours.norm.logcdf(x).data, theirs.norm.logcdf(x), rtol=1e-12)
    np.testing.assert_allclose(ad.grad(lambda t: np.sum(ours.norm.logcdf(t)))(x), [40.0249688, 0.0], rtol=1e-6)
    for f in (ours.expon.pdf, lambda t: ours.gamma.pdf(t, 2.0), lambda t: ours.beta.logpdf(t, 2.0, 2.0)):
        np.testing.assert_array_equal(
            ad.grad(lambda t, f=f: np.where(np.isfinite(f(t).data), f(t), 0.0).sum())(np.array([-1.0, -2.0])),
            [0.0, 0.0],
        )
    with pytest.raises(ArgumentError, match="shape parameters"):
        ours.gamma.pdf(1.0)


# Where a probability leaves the range of floating point: its logarithm and the slopes of that in the point and in the
# first shape parameter (of counts the last), by mpmath at 60 digits.
BEYOND = [
    ("gamma", (1000.0,), "logcdf", 1.0, -5913.127178988828, 999.000999998002, -6.908256194646819),
    ("gamma", (0.1,), "logsf", 900.0, -908.3758663326175, -1.0009988924524853, 17.227258477915942),
    ("chi2", (10000.0,), "logsf", 20000.0, -1539.442048676369, -0.25009994009975517, 0.3467235120823044),
    ("invgamma", (2.5,), "logcdf", 0.001, -989.9215503273734, 998501.49924888, 6.205599136589516),
    ("beta", (200.0, 300.0), "logcdf", 0.001, -1049.1669195546829, 199702.19342837547, -5.994970216138081),
    ("beta", (300.0, 200.0), "logsf", 0.999, -1049.1669195546829, -199702.1934283753, 0.5104973701233715),
    ("t", (10000.0,), "logsf", 80.0, -2478.535007385303, -48.78810585367494, -0.05224567939678315),
    ("t", (3.0,), "logcdf", -1e200, -1381.4533323573828, 3e-200, -459.60789860724844),
    ("t", (3.0,), "logpdf", 1e200, -1840.8717386675237, -4e-200, None),
    ("f", (3.0, 7.0), "logsf", 1e200, -1607.998923087336, -3.5e-200, -0.4318528194400547),
    ("weibull_min", (3.0,), "logcdf", 1e-120, -828.9306334778564, 3e120, -276.3102111592855),
    ("rayleigh", (), "logcdf", 1e-200, -921.7271843781783, 2e200, None),
    ("gumbel_r", (), "logsf", 800.0, -800.0, -1.0, None),
    ("laplace", (), "logcdf", -800.0, -800.6931471805599, 1.0, None),
    ("cauchy", (), "logpdf", 1e200, -922.1787670834677, -2e-200, None),
    ("poisson", (5.0,), "logsf", 2000, -9998.637989444425, None, 399.2005007498717),
    ("poisson", (2000.0,), "logcdf", 3, -1978.987551715977, None, -0.9985007503744372),
    ("burr12", (5.0, 30.0), "logcdf", 1e-80, -917.6328398159561, 5e80, -184.20680743952366),
    ("chi", (2.6,), "logcdf", 1e-170, -1018.7978918930557, 2.6e170, -392.0860593394497),
    ("invgauss", (0.8,), "logcdf", 1e-3, -502.43144619963573, 500498.22681514476, -1.5605507618679135),
    ("invgauss", (0.8,), "logsf", 2000.0, -1573.324640911998, -0.7819993962312863, 3907.185105757325),
    ("geom", (0.5,), "logsf", 3000, -2079.441541679836, None, -6000.0),
    ("binom", (1000.0, 0.1), "logsf", 900, -1765.3326390896357, None, 8900.137135835566),
]


BEYOND += [
    ("vonmises", (100.0,), "logcdf", -1.0, -49.0273024950509, 84.76844184784855, -0.46461411387647448),
    ("vonmises", (1e4,), "logsf", 0.5, -1228.963717031126, -4796.084270605277, -0.12246739875999216),
    ("vonmises", (1e7,), "logcdf", -0.001, -7.15275904644399, 10860.294846456058, None),
    ("triang", (0.0,), "logcdf", 1e-120, -275.6170639787255, 1e120, None),
]


@pytest.mark.parametrize(("name", "shapes", "method", "x", "value", "slope", "in_shape"), BEYOND)
def test_logarithms_of_tails_beyond_the_range(name, shapes, method, x, value, slope, in_shape):
    f = getattr(getattr(ours, name), method)
    both = f(np.array([x, 0.5]), *shapes)  # beside a point whose probability has digits
    np.testing.assert_allclose([f(x, *shapes).item(), both[0].item()], value, rtol=1e-12)
    assert np.isfinite(both[1].item())
    i = len(shapes) - 1 if slope is None else 0
    moved = lambda s: f(x, *shapes[:i], s, *shapes[i + 1 :])
    for derivative in (ad.grad, ad.jacfwd):
        if slope is not None:
            np.testing.assert_allclose(derivative(lambda t: f(t, *shapes))(x), slope, rtol=1e-10)
        if in_shape is not None:
            np.testing.assert_allclose(derivative(moved)(shapes[i]), in_shape, rtol=1e-8)


@pytest.mark.parametrize(
    ("f", "c", "right"),
    [
        (lambda c: ours.genpareto.logpdf(2.0, c), 0.0, 0.0),
        (lambda c: ours.genpareto.cdf(2.0, c), 0.0, -2 * np.exp(-2)),
        (lambda c: ours.genpareto.ppf(0.75, c), 0.0, 2 * np.log(2) ** 2),
        (lambda c: ours.genextreme.logcdf(2.0, c), 0.0, 2 * np.exp(-2)),
        (lambda c: ours.genextreme.isf(1 - np.exp(-0.25), c), 0.0, -2 * np.log(2) ** 2),
        (lambda c: ours.genextreme.mean(c), 0.0, -0.9890559953279725),
        (lambda c: ours.genextreme.mean(c), 0.0999, -0.833659797113127),
        (lambda c: ours.genextreme.var(c), 0.0, -4.303077228549128),
        (lambda c: ours.genextreme.var(c), 0.1001, -2.5716982058266153),
        (lambda c: ours.genpareto.ppf(1.0, c), -0.5, 4.0),  # the end of the support, -1 / c
    ],
)
def test_slopes_in_the_shape_where_it_is_zero(f, c, right):
    """Also near the shape where series and formula meet; by hand and by mpmath."""
    for derivative in (ad.grad, ad.jacfwd):
        np.testing.assert_allclose(derivative(f)(c), right, rtol=1e-11, atol=1e-14)


def test_the_f_distribution_far_out():
    """Where n x / (n x + d) rounds to 1, or d to 0: of two degrees of freedom the survival function is a power."""
    x, n, d = 1e40, 2.0, 3.0
    for tail in (ours.f.sf, lambda x, n, d: ad.special.fdtrc(n, d, x)):
        sf = (1 + n * x / d) ** (-d / 2)
        np.testing.assert_allclose(tail(x, n, d).item(), sf, rtol=1e-12)
        slope = ad.grad(tail)(x, n, d)
        np.testing.assert_allclose(slope, -d / 2 / x * sf, rtol=1e-12)
        in_d = ad.grad(tail, argnums=2)(x, n, d)
        np.testing.assert_allclose(in_d, sf * (0.5 - 0.5 * np.log1p(n * x / d)), rtol=1e-10)
    both = ad.elementwise_grad(lambda x: ours.f.cdf(x, n, d))(np.array([0.5, 1e12]))
    np.testing.assert_allclose(both, (1 + n * np.array([0.5, 1e12]) / d) ** (-d / 2 - 1), rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "at", "right"),
    [
        (lambda mu: ours.poisson.logcdf(7, mu), 700.0, -1.4244458485071937e-05),
        (lambda x: ours.gamma.logsf(x, 2.5), 500.0, -5.97603614239135894607699514107e-06),
        (lambda x: ours.beta.logcdf(x, 200.0, 300.0), 0.03, -222533.896816701814511797078471),
        (lambda x: ours.t.logsf(x, 3.0), 1e60, 3e-120),
    ],
)
def test_second_derivatives_of_logarithms_of_tails(f, at, right):
    """Of probabilities between 1e-308 and 1e-100, the squares of which leave the range; by mpmath at 60 digits."""
    np.testing.assert_allclose(ad.grad(ad.grad(f))(at), right, rtol=1e-10)
    np.testing.assert_allclose(ad.hvp(f, (at,), (1.0,))[0], right, rtol=1e-10)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_logarithms_at_the_ends_of_the_support(name):
    """SciPy's, without a warning."""
    x = np.array([-np.inf, -1.0, 0.0, 1.0, np.inf, np.nan])
    for method in ("logcdf", "logsf"):
        with np.errstate(all="ignore"):
            right = getattr(getattr(theirs, name), method)(x, *CONTINUOUS[name])
        got = getattr(getattr(ours, name), method)(x, *CONTINUOUS[name]).data
        np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(
    ("name", "shapes", "q"),
    [
        ("beta", (2.0, 5.0), 1e-300),
        ("beta", (0.5, 0.7), 1e-120),
        ("t", (3.0,), 1e-180),
        ("t", (1.5,), 1e-120),
        ("f", (3.0, 7.0), 1e-280),
        ("invgauss", (0.8,), 1e-200),
    ],
)
def test_inverses_of_tiny_probabilities(name, shapes, q):
    """Where SciPy's inverses of beta, t and invgauss fail; what ours give must have that probability."""
    one = getattr(ours, name)
    x = one.ppf(q, *shapes).item()
    np.testing.assert_allclose(one.logcdf(x, *shapes).item(), np.log(q), rtol=1e-12)
    slope = ad.grad(lambda p: one.ppf(p, *shapes))(q)  # one over the density
    np.testing.assert_allclose(np.log(slope), -one.logpdf(x, *shapes).item(), rtol=1e-12)
    in_shape = ad.grad(lambda s: one.ppf(q, s, *shapes[1:]))(shapes[0])
    along = ad.grad(lambda s: one.logcdf(x, s, *shapes[1:]))(shapes[0])
    np.testing.assert_allclose(in_shape, -along * q * slope, rtol=1e-9)
    if name != "beta":
        np.testing.assert_allclose(one.logsf(one.isf(q, *shapes), *shapes).item(), np.log(q), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "shapes", "value", "slope"),
    [
        ("gamma", (1e12,), 15.234449091168614, 5.0000000000033333e-13),
        ("chi2", (1e10,), 13.278437588388207, 5.0000000006666667e-11),
        ("chi", (1e10,), 1.0723649429080334, None),
        ("invgamma", (1e10,), -33.119837861639346, -1.5000000000666667e-10),
        ("beta", (1e8, 1.0), -17.420680753952365, -9.9999999e-9),
        ("t", (1e10,), 1.4189385333046727, None),
        ("f", (2.0, 1e8), 1.00000002, 4.999999933333334e-9),
        ("vonmises", (1e8,), -7.791401836271511, -5e-9),
        ("geom", (1e-10,), 24.02585092989046, -1e10),
    ],
)
def test_entropies_of_large_parameters(name, shapes, value, slope):
    """Where the terms of the usual formula are 1e10 times their sum; by mpmath."""
    f = getattr(ours, name).entropy
    np.testing.assert_allclose(f(*shapes).item(), value, rtol=1e-11)
    if slope is not None:
        np.testing.assert_allclose(ad.grad(f)(*shapes), slope, rtol=1e-6)


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [
        (lambda q: ours.genpareto.ppf(q, 0.3), 1e-20, 1e-20, 1.0),
        (lambda q: ours.genpareto.isf(q, -0.3), 1.0 - 2.0**-50, 2.0**-50, -1.0),
        (lambda x: ours.triang.cdf(x, 0.0), 1e-20, 2e-20, 2.0),
        (lambda q: ours.triang.ppf(q, 0.0), 1e-20, 5e-21, 0.5),
        (lambda q: ours.triang.isf(q, 1e-9), 1.0 - 2.0**-40, (1e-9 * 2.0**-40) ** 0.5, None),
        (lambda x: ours.triang.sf(1 - x, 1.0), 2.0**-50, 2.0**-49, 2.0),
        (lambda q: ours.triang.isf(q, 0.25), 1e-20, 1 - 0.75**0.5 * 1e-10, -0.5 * 0.75**0.5 * 1e10),
        (lambda x: ours.f.pdf(x, 2.0, 1e8), 0.0, 1.0, -1.00000002),
        (lambda x: ours.vonmises.sf(x, 50.0), 2.0, 1.1094356857092752e-32, None),
    ],
)
def test_small_probabilities_keep_their_digits(f, x, value, slope):
    np.testing.assert_allclose(f(x).item(), value, rtol=1e-12)
    if slope is not None:
        np.testing.assert_allclose(ad.grad(f)(x), slope, rtol=1e-9)
        np.testing.assert_allclose(ad.jvp(f, (x,), (1.0,))[1], slope, rtol=1e-9)


LARGE = {
    "gamma": lambda mp, x, a: (a - 1) * mp.log(x) - x - mp.loggamma(a),
    "invgamma": lambda mp, x, a: (a - 1) * mp.log(1 / x) - 1 / x - mp.loggamma(a) - 2 * mp.log(x),
    "chi": lambda mp, x, a: (a - 1) * mp.log(x) - x * x / 2 - mp.loggamma(a / 2) - (a / 2 - 1) * mp.log(2),
    "poisson": lambda mp, k, m: k * mp.log(m) - m - mp.loggamma(k + 1),
    "beta": lambda mp, x, a, b: (a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x) - mp.log(mp.beta(a, b)),
    "binom": lambda mp, k, n, p: mp.log(mp.binomial(n, k)) + k * mp.log(p) + (n - k) * mp.log1p(-p),
    "nbinom": lambda mp, k, n, p: mp.log(mp.binomial(n + k - 1, k)) + n * mp.log(p) + k * mp.log1p(-p),
}


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("gamma", (1e12 + 2e6, 1e12)),
        ("invgamma", (1e-9, 1e9)),
        ("chi", (1e5 + 1.5, 1e10)),
        ("poisson", (1e10 + 3e5, 1e10)),
        ("beta", (0.25, 1e9, 3e9)),
        ("beta", (1e-10, 1.0, 1e10)),
        ("binom", (5e11 + 1e6, 1e12, 0.5)),
        ("binom", (3.0, 1e12, 3e-12)),
        ("binom", (0.0, 1e6, 1e-10)),
        ("nbinom", (1e9, 1e9, 0.5)),
    ],
)
def test_densities_of_large_parameters_keep_their_digits(name, at):
    """Logarithms of the gamma function are 1e13 where the density's is -15."""
    mp, one = pytest.importorskip("mpmath"), getattr(ours, name)
    f = one.logpdf if name in CONTINUOUS else one.logpmf
    right = lambda *at: LARGE[name](mp, *at)
    with mp.workdps(60):
        exact = [mp.mpf(value) for value in at]
        np.testing.assert_allclose(f(*at).item(), float(right(*exact)), rtol=1e-10)
        last = mp.diff(right, tuple(exact), (0,) * (len(at) - 1) + (1,))
    np.testing.assert_allclose(
        ad.grad(f, argnums=len(at) - 1)(*at), float(last), rtol=1e-6, atol=1e-12 + 1e-9 / at[-1] * (at[-1] < 1)
    )


def test_an_entropy_that_would_take_too_long_is_refused():
    with pytest.raises(ArgumentError, match=r"nbinom\.entropy.*too long"):
        ours.nbinom.entropy(2.0, 1e-12)
    many = np.array([1e4, 1e6, 1e8])  # the series of Evans, Boersma, Blachman and Jagers (1988)
    right = 0.5 * np.log(2 * np.pi * np.e * many) - 1 / (12 * many) - 1 / (24 * many**2)
    np.testing.assert_allclose(ours.poisson.entropy(many).data, right, rtol=1e-11)


def test_a_jitted_density_takes_numbers():
    f = ad.jit(lambda x, s: ours.norm.logpdf(x, scale=s))
    assert np.isclose(f(0.3, 2.0).item(), theirs.norm.logpdf(0.3, scale=2.0))


def test_fits_of_censored_data_and_of_moments():
    data = np.array([0.3, 1.2, 0.7, 1.1])
    known = theirs.CensoredData.right_censored(data, data > 1.0)
    np.testing.assert_allclose([v.item() for v in ours.expon.fit(known, floc=0)], theirs.expon.fit(known, floc=0))
    with pytest.raises(ad.core.errors.NotDifferentiableError, match="MM"):
        ours.gamma.fit(ad.tensor(data, requires_grad=True), method="MM")


def test_multivariate():
    alpha, shares = np.array([1.5, 2.0, 3.0]), np.array([[0.2, 0.5], [0.3, 0.1], [0.5, 0.4]])
    np.testing.assert_allclose(
        ours.dirichlet.logpdf(shares, alpha).data, theirs.dirichlet.logpdf(shares, alpha), rtol=1e-12
    )
    np.testing.assert_allclose(
        ours.dirichlet.pdf(shares[:2], alpha).data, theirs.dirichlet.pdf(shares[:2], alpha), rtol=1e-12
    )
    check_gradients(lambda a: ours.dirichlet.logpdf(shares, a), alpha)
    check_gradients(lambda x: ours.dirichlet.pdf(x, alpha), shares[:2].copy())
    rng = np.random.default_rng(0)
    x, mean, a = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(3, 3))
    cov = a @ a.T + np.eye(3)
    mine, scipys = ours.multivariate_normal, theirs.multivariate_normal
    np.testing.assert_allclose(mine.logpdf(x, mean, cov).data, scipys.logpdf(x, mean, cov), rtol=1e-12)
    np.testing.assert_allclose(mine.pdf(x[0], mean, 2.0).item(), scipys.pdf(x[0], mean, 2.0), rtol=1e-12)
    np.testing.assert_allclose(mine.entropy(mean, cov).item(), scipys.entropy(mean, cov), rtol=1e-12)
    check_gradients(lambda y, m, c: mine.logpdf(y, m, c @ c.T + np.eye(3)), x, mean, a)
    check_gradients(lambda c: mine.entropy(None, c), cov)
    for at in (
        (3.0,),
        ([1.0, 2.0, 3.0],),
        ([1.0, 2.0, 3.0], None, 2.0),
        (x, None, cov),
        (x[:1], mean, cov),
        (x[:, None], mean, 2.0),
        (x[0], mean, [1.0, 2.0, 3.0]),
        (x[:, :1], 1.0, 2.0),
    ):
        got, right = mine.logpdf(*at), scipys.logpdf(*at)
        np.testing.assert_allclose(got.data, right, rtol=1e-12)
        assert got.shape == np.shape(right)
    draws = mine.rvs(mean, cov, 3000, np.random.default_rng(1))
    np.testing.assert_allclose(np.cov(draws.data.T), cov, atol=0.3)
    check_gradients(lambda m, c: mine.rvs(m, c @ c.T + np.eye(3), 2, 5), mean, a, order=1)
    with pytest.raises(ShapeError, match="covariance"):
        mine.logpdf(x, mean, np.eye(2))
    with pytest.raises(ArgumentError, match="sum to one"):
        ours.dirichlet.pdf([0.5, 0.6], [1.0, 1.0])


def predators(y, t, a, b):
    return np.stack([a * y[0] - y[0] * y[1], b * y[0] * y[1] - y[1] + 0.1 * np.sin(t)])


def test_odeint_agrees_with_scipy():
    integrate = pytest.importorskip("scipy.integrate")
    y0, t = np.array([1.0, 0.5]), np.array([0.0, 0.3, 1.0, 2.5])
    reference = integrate.odeint(lambda y, s: np.asarray(predators(y, s, 1.3, 0.7)), y0, t, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(odeint(predators, y0, t, (1.3, 0.7)).data, reference, rtol=3e-7)
    np.testing.assert_allclose(odeint(predators, y0, t, (1.3, 0.7), rtol=1e-12, atol=1e-12).data, reference, rtol=3e-11)
    backwards = odeint(lambda s, y: predators(y, s, 1.3, 0.7), reference[-1], t[::-1], tfirst=True)
    np.testing.assert_allclose(backwards.data[-1], y0, rtol=1e-5)


def test_odeint_has_gradients_in_state_times_and_parameters():
    # y'' = -w^2 y: y = y0 cos(w t) + v0 sin(w t) / w.
    def computed(y0, t, w):
        return odeint(lambda y, s, w: np.stack([y[1], -w * w * y[0]]), y0, t, (w,), rtol=1e-11, atol=1e-11)[:, 0]

    def exact(y0, t, w):
        t = t - t[0]
        return y0[0] * np.cos(w * t) + y0[1] * np.sin(w * t) / w

    args = (np.array([0.7, -0.4]), np.array([0.2, 0.9, 2.0]), np.array(1.7))
    np.testing.assert_allclose(computed(*args).data, exact(*args), rtol=1e-9)
    for ours_, known in zip(ad.jacobian(computed, (0, 1, 2))(*args), ad.jacobian(exact, (0, 1, 2))(*args), strict=True):
        np.testing.assert_allclose(ours_, known, rtol=1e-7, atol=1e-8)
    second = ad.hessian(lambda w: computed(args[0], args[1], w)[-1])(args[2])
    np.testing.assert_allclose(second, ad.hessian(lambda w: exact(args[0], args[1], w)[-1])(args[2]), rtol=1e-6)


def test_odeint_misuse():
    decay = lambda y, t: -y
    with pytest.raises(ArgumentError, match="increase or decrease"):
        odeint(decay, 1.0, [0.0, 1.0, 0.5])
    with pytest.raises(ShapeError, match="one axis"):
        odeint(decay, 1.0, 1.0)
    with pytest.raises(ShapeError, match="func returned"):
        odeint(lambda y, t: np.zeros(2), 1.0, [0.0, 1.0])
    with pytest.raises(ArgumentError, match="rtol"):
        odeint(decay, 1.0, [0.0, 1.0], rtol=0.0)
    with pytest.raises(ArgumentError, match="explodes"), np.errstate(all="ignore"):
        odeint(lambda y, t: y * y, 1.0, [0.0, 2.0], mxstep=200)
    assert odeint(decay, 1, [0.0]).tolist() == [1.0]


UNKNOWN = {
    "gamma.ppf of 2": (lambda q, a: ours.gamma.ppf(q, a), 2.0, 1.5),
    "gamma.ppf of -1": (lambda q, a: ours.gamma.ppf(q, a), -1.0, 1.5),
    "gamma.cdf": (lambda x, a: ours.gamma.cdf(x, a), 2.0, -1.5),
    "norm.logpdf": (lambda x, scale: ours.norm.logpdf(x, scale=scale), 2.0, 0.0),
    "t.sf": (lambda x, df: ours.t.sf(x, df), 2.0, np.nan),
    "gamma.entropy": (lambda a, loc: ours.gamma.entropy(a, loc=loc), -1.0, 0.0),
    "poisson.logpmf": (lambda mu: ours.poisson.logpmf(3, mu), -1.0),
    "poisson.entropy": (lambda mu: ours.poisson.entropy(mu), -1.0),
    "binom.mean": (lambda n, p: ours.binom.mean(n, p), 3.0, 1.5),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_has_no_value_has_no_derivative(what):
    f, *at = UNKNOWN[what]
    assert np.isnan(f(*at))
    assert np.isnan(ad.grad(f, argnums=tuple(range(len(at))))(*at)).all()
    assert all(np.isnan(ad.jvp(f, tuple(at), tuple(tangent))[1]) for tangent in np.eye(len(at)))


@pytest.mark.parametrize("name", ["norm", "gamma", "logistic", "poisson", "binom"])
def test_a_distribution_is_pickled_by_its_name(name):
    family = getattr(ours, name)
    assert pickle.loads(pickle.dumps({"prior": family}))["prior"] is family
    assert copy.deepcopy([family])[0] is family


def test_an_argument_that_is_given_twice_is_refused_as_by_scipy():
    for call in (
        lambda m: m.norm.logpdf(0.3, 1.0, loc=2.0),
        lambda m: m.norm.mean(1.0, 2.0, scale=3.0),
        lambda m: m.gamma.logpdf(5.0, 2.0, a=3.0),
        lambda m: m.beta.cdf(0.3, 2.0, a=3.0),
        lambda m: m.poisson.pmf(2, 3.0, mu=4.0),
    ):
        with pytest.raises(TypeError):
            call(theirs)
        with pytest.raises(ArgumentError, match="twice"):
            call(ours)
    assert ours.beta.logpdf(0.3, 2.0, b=3.0).item() == pytest.approx(theirs.beta.logpdf(0.3, 2.0, b=3.0))


def test_each_draw_is_one_of_its_own():
    for size in (1, (2,), (2, 1)):  # as SciPy, no size in which draws would be shared
        with pytest.raises(ValueError, match="size"):
            theirs.norm.rvs(np.zeros(3), size=size, random_state=0)
        with pytest.raises(ShapeError, match=r"norm.rvs: size=.*\(3,\)"):
            ours.norm.rvs(np.zeros(3), size=size, random_state=0)
    with pytest.raises(ShapeError, match=r"random\.normal: size"):
        ad.random.normal(np.zeros(3), size=2, rng=0)
    draws = {
        "norm": lambda source, m: ours.norm.rvs(m, random_state=source),
        "gamma": lambda source, m: ours.gamma.rvs(np.exp(m), random_state=source),
        "poisson": lambda source, m: ours.poisson.rvs(np.exp(ad.constant(m)), random_state=source) * 1.0,
        "multivariate_normal": lambda source, m: ours.multivariate_normal.rvs(m * np.ones(2), random_state=source),
    }
    for name, draw in draws.items():
        source = np.random.default_rng(3)
        found = ad.vmap(lambda m, draw=draw, source=source: draw(source, m))(np.zeros(4))
        again = np.random.default_rng(3)
        np.testing.assert_array_equal(found, [draw(again, 0.0).data for _ in range(4)], err_msg=name)
        if name == "poisson":  # its parameters are constants
            draw = lambda source, m: m + ours.poisson.rvs(3.0, size=2, random_state=source)
        source, again = np.random.default_rng(4), np.random.default_rng(4)
        step = ad.jit(lambda m, draw=draw, source=source: draw(source, m), state=(source,))
        for _ in range(4):
            np.testing.assert_array_equal(step(0.1), draw(again, 0.1), err_msg=name)


def test_intervals_of_lists_and_shares_in_single_precision():
    for m in ("norm", "poisson"):
        args = () if m == "norm" else (3.0,)
        for mine, scipys in zip(
            getattr(ours, m).interval([0.5, 0.9], *args), getattr(theirs, m).interval([0.5, 0.9], *args), strict=True
        ):
            np.testing.assert_allclose(mine.data, scipys)
    shares = np.random.default_rng(0).random((5, 40)).astype(np.float32)
    shares /= shares.sum(0)
    alpha = np.arange(1.0, 6.0, dtype=np.float32)
    exact = theirs.dirichlet.logpdf(shares / shares.sum(0, dtype=float), alpha)
    np.testing.assert_allclose(ours.dirichlet.logpdf(shares, alpha).data, exact, rtol=1e-5)
    for alpha in ([-1.0, 1.0], [0.0, 1.0], [np.nan, 1.0]):
        with pytest.raises(ArgumentError, match="positive"):
            ours.dirichlet.logpdf([0.25, 0.75], alpha)
    x, cov = np.ones((3, 2), np.float32), np.eye(2, dtype=np.float32)
    assert ours.multivariate_normal.logpdf(x, cov=cov).dtype == np.float32


def test_the_chi_density_near_0_keeps_its_logarithm():
    for df in (1.0, 2.6, 7.0):
        for z in (1e-300, 1e-160, 1e-150, 1e-20, 0.5):
            np.testing.assert_allclose(ours.chi.logpdf(z, df).item(), theirs.chi.logpdf(z, df), rtol=1e-12)
            np.testing.assert_allclose(
                ad.grad(lambda z, df=df: ours.chi.logpdf(z, df))(z), (df - 1) / z - z, rtol=1e-12, atol=1e-140
            )
        single = ours.chi.logpdf(np.float32(1e-25), np.float32(df))
        np.testing.assert_allclose(single.item(), theirs.chi.logpdf(1e-25, df), rtol=1e-5)
