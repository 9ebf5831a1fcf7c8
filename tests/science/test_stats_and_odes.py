"""autodiff.stats against scipy.stats, autodiff.integrate against exact solutions and SciPy, all gradients against
differences.
"""

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.testing import check_gradients

theirs = pytest.importorskip("scipy.stats", reason="these are SciPy's distributions")
from autodiff import stats as ours  # noqa: E402  # needs SciPy
from autodiff.integrate import odeint  # noqa: E402

X = np.array([0.2, 0.5, 0.85])
SHAPES = {
    "norm": [],
    "t": [3.5],
    "gamma": [2.3],
    "chi2": [3.0],
    "beta": [2.0, 3.5],
    "expon": [],
    "laplace": [],
    "logistic": [],
    "uniform": [],
}
METHODS = ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SHAPES)
def test_continuous(name, method):
    shapes = SHAPES[name]
    mine, scipys = (getattr(getattr(module, name), method) for module in (ours, theirs))
    with np.errstate(divide="ignore"):
        wide = np.array([-1.5, 0.1, 0.3, 0.9, 4.0])
        np.testing.assert_allclose(
            mine(wide, *shapes, 0.2, 1.3).data, scipys(wide, *shapes, 0.2, 1.3), rtol=1e-11, atol=1e-300
        )
        np.testing.assert_allclose(mine(wide, *shapes).data, scipys(wide, *shapes), rtol=1e-11, atol=1e-300)
        np.testing.assert_allclose(
            mine(wide, *shapes, loc=0.1, scale=2.0).data, scipys(wide, *shapes, loc=0.1, scale=2.0), rtol=1e-11
        )
    tracked = method in (
        "pdf",
        "logpdf",
    )  # no rule reaches the shape parameters through an incomplete gamma or beta function
    arguments = [X, *(np.array(s) for s in shapes)] if tracked else [X]
    fixed = [] if tracked else shapes
    check_gradients(lambda x, *a: mine(x, *a[:-2], *fixed, *a[-2:]), *arguments, np.array(0.05), np.array(1.3), order=2)


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


def test_discrete_and_multivariate():
    k = np.array([0, 1, 3, 7])
    for method in ("pmf", "logpmf", "cdf"):
        mine, scipys = getattr(ours.poisson, method), getattr(theirs.poisson, method)
        np.testing.assert_allclose(mine(k, 2.5).data, scipys(k, 2.5), rtol=1e-12)
        check_gradients(lambda mu, f=mine: f(k, mu), np.array([0.5, 1.5, 2.5, 6.0]))
    assert ours.poisson.pmf(0.5, 2.0).item() == ours.poisson.cdf(-1, 2.0).item() == 0.0
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
