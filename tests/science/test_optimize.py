"""The bridge to scipy.optimize: every method reaches the minimum, trees survive, misuse is named."""

import numpy as np
import pytest

import autodiff
from autodiff import optimize
from autodiff.core.errors import ArgumentError, DTypeError, GraphError, ShapeError, SingularMatrixError

scipy_optimize = pytest.importorskip("scipy.optimize", reason="the bridge is to SciPy")

METHODS = (
    "Nelder-Mead Powell CG BFGS Newton-CG L-BFGS-B TNC COBYLA SLSQP trust-constr dogleg trust-ncg trust-exact"
    " trust-krylov".split()
)


def bowl(p, shift=0.0):
    """Strictly convex, minimum at w = [1, 2] + shift, b = -1."""
    d = p["w"] - np.array([1.0, 2.0]) - shift
    return np.sum(d * d) + 0.1 * np.sum(d**4) + (p["b"][0] + 1.0) ** 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:delta_grad == 0.0")
def test_every_method_finds_the_minimum_of_a_tree(method):
    options = {"COBYLA": {"rhobeg": 0.5, "maxiter": 5000}, "TNC": {"maxfun": 5000}}.get(method, {"maxiter": 2000})
    result = optimize.minimize(bowl, {"w": np.zeros(2), "b": [0.0]}, (0.5,), method=method, tol=1e-9, options=options)
    np.testing.assert_allclose(result.x["w"], [1.5, 2.5], atol=2e-3)
    np.testing.assert_allclose(result.x["b"][0], -1.0, atol=2e-3)
    assert isinstance(result.x["b"], list)


def test_leaves_keep_their_dtype_and_the_callback_sees_trees():
    seen = []
    result = optimize.minimize(
        bowl, {"w": np.zeros(2, np.float32), "b": [0.0]}, callback=lambda p: seen.append(p["w"].copy())
    )
    assert result.x["w"].dtype == np.float32
    assert seen
    assert seen[0].shape == (2,)


def test_bounds_by_tree_and_for_all():
    start = {"w": np.zeros(2), "b": [0.0]}
    result = optimize.minimize(bowl, start, bounds={"w": (None, [0.5, 5.0]), "b": [(-0.5, 0.5)]})
    np.testing.assert_allclose(result.x["w"], [0.5, 2.0], atol=1e-5)
    np.testing.assert_allclose(result.x["b"][0], -0.5, atol=1e-6)
    result = optimize.minimize(bowl, start, bounds=(0.0, 1.5))
    np.testing.assert_allclose(result.x["w"], [1.0, 1.5], atol=1e-5)


@pytest.mark.parametrize(
    "bounds",
    [
        [(None, 0.5), (None, None)],
        ((None, 0.5), (None, None)),
        scipy_optimize.Bounds(-np.inf, [0.5, np.inf]),
        (np.array([-9.0, -9.0]), np.array([0.5, 9.0])),
    ],
)
def test_bounds_of_one_array_are_scipys(bounds):
    result = optimize.minimize(lambda x: np.sum((x - np.array([2.0, 3.0])) ** 2), np.zeros(2), bounds=bounds)
    np.testing.assert_allclose(result.x, [0.5, 3.0], atol=1e-5)


def test_constraints_choose_a_method_that_obeys_them():
    sum_to_one = {"type": "eq", "fun": lambda x: np.sum(x) - 1.0}
    square = lambda x, shift: np.sum((x - shift) ** 2)
    np.testing.assert_allclose(
        optimize.minimize(square, np.zeros(2), 3.0, constraints=sum_to_one).x, [0.5, 0.5], atol=1e-7
    )
    for words, more in (("constraints", {"constraints": sum_to_one}), ("bounds", {"bounds": (0.0, 1.0)})):
        with pytest.raises(ArgumentError, match=f"'BFGS' takes no {words}"):
            optimize.minimize(square, np.zeros(2), 3.0, method="BFGS", **more)


def test_misuse_is_named():
    start = np.zeros(2)
    with pytest.raises(ArgumentError, match="no method 'Simplex'"):
        optimize.minimize(lambda x: x @ x, start, method="Simplex")
    with pytest.raises(ArgumentError, match="computed by autodiff"):
        optimize.minimize(lambda x: x @ x, start, jac=lambda x: x)
    with pytest.raises(GraphError, match="scalar"):
        optimize.minimize(lambda x: x, start)
    with pytest.raises(GraphError, match="scalar"):
        optimize.minimize(lambda x: x, start, method="Powell")
    with pytest.raises(ArgumentError, match="NaN"):
        optimize.minimize(lambda x: x @ x, np.array([np.nan, 1.0]))
    with pytest.raises(ArgumentError, match="no numbers"):
        optimize.minimize(lambda x: 0.0, {})
    with pytest.raises(DTypeError, match="complex"):
        optimize.minimize(lambda x: x, 1j)
    with pytest.raises(ArgumentError, match="structure"):
        optimize.minimize(lambda p: p["a"], {"a": 1.0}, bounds={"b": (0, 1)})
    with pytest.raises(ShapeError, match="2 numbers"):
        optimize.pack(start)[1](np.zeros(3))


def test_constraints_of_trees_have_exact_jacobians():
    start = {"w": np.full(2, 0.5), "b": [0.0]}
    circle = {"type": "eq", "fun": lambda p, r: np.sum(p["w"] ** 2) - r**2, "args": (1.0,)}
    above = {"type": "ineq", "fun": lambda p: p["b"][0] + 0.5}
    result = optimize.minimize(bowl, start, method="SLSQP", constraints=[circle, above], tol=1e-12)
    assert np.isclose(np.sum(result.x["w"] ** 2), 1.0)
    assert np.isclose(result.x["b"][0], -0.5)
    scipys = pytest.importorskip("scipy.optimize")
    limits = [
        scipys.NonlinearConstraint(lambda p: np.sum(p["w"] ** 2), 1.0, 1.0),
        scipys.LinearConstraint([[0.0, 0.0, 1.0]], -0.5, np.inf),
    ]
    start = {"w": np.array([0.5, 0.5]), "b": [0.0]}
    again = optimize.minimize(bowl, start, method="trust-constr", constraints=limits, tol=1e-9)
    np.testing.assert_allclose(again.x["w"], result.x["w"], atol=1e-5)
    with pytest.raises(ArgumentError, match="constraint"):
        optimize.minimize(bowl, start, method="SLSQP", constraints=[3.0])


def test_callbacks_see_the_result_and_may_stop(capsys):
    seen = []

    def stop(intermediate_result):
        seen.append(intermediate_result)
        if len(seen) == 2:
            raise StopIteration

    result = optimize.minimize(bowl, {"w": np.zeros(2), "b": [0.0]}, method="BFGS", callback=stop)
    assert result.nit == len(seen) == 2
    assert seen[0].x["w"].shape == (2,)
    pytest.importorskip("tqdm")
    optimize.minimize(bowl, {"w": np.zeros(2), "b": [0.0]}, progress=True)
    assert "value" in capsys.readouterr().err


def test_minimize_within_a_transform_is_a_number():
    def f(a):
        x = optimize.minimize(lambda x: np.sum((x - a) ** 2), np.zeros(1)).x
        return a * x[0]

    assert np.isclose(autodiff.grad(f)(3.0), 3.0)


@pytest.mark.parametrize("sigma", [None, "deviations", "covariance"])
@pytest.mark.parametrize("absolute", [False, True])
def test_curve_fit_is_scipys_with_derivatives(sigma, absolute):
    scipys = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(0)
    t = np.linspace(0.0, 3.0, 12)
    y = 2.0 * np.exp(-0.7 * t) + 0.3 + 0.05 * rng.normal(size=12)
    given = {None: None, "deviations": np.linspace(0.04, 0.08, 12), "covariance": 0.01 * (np.eye(12) + 0.2)}[sigma]
    curve = lambda t, a, k, c: a * np.exp(-k * t) + c
    popt, pcov = optimize.curve_fit(curve, t, y, sigma=given, absolute_sigma=absolute)
    want, covariance = scipys.curve_fit(curve, t, y, sigma=given, absolute_sigma=absolute, xtol=1e-12, ftol=1e-12)
    np.testing.assert_allclose(popt.data, want, rtol=1e-6)
    np.testing.assert_allclose(pcov.data, covariance, rtol=1e-4)

    def first(y):
        popt, pcov = optimize.curve_fit(curve, t, y, p0=want, sigma=given, absolute_sigma=absolute)
        return popt[1] + np.sqrt(pcov[0, 0])

    h = 1e-5 * np.eye(12)[3]
    polished = lambda y: first(autodiff.tensor(y, requires_grad=True)).item()
    slope = (polished(y + h) - polished(y - h)) / 2e-5
    assert np.isclose(autodiff.grad(first)(y)[3], slope, rtol=1e-6)


def test_curve_fit_leaves_out_what_is_no_number():
    t, y = np.linspace(0.0, 1.0, 9), np.linspace(1.0, 3.0, 9)
    y[4] = np.nan
    line = lambda t, a, b: a + b * t
    for sigma in (None, 1.0 + t, np.diag(1.0 + t)):
        ours = optimize.curve_fit(line, t, y, sigma=sigma, nan_policy="omit")
        kept = np.isfinite(y)  # SciPy 1.13 leaves sigma as long as it was
        weights = sigma if sigma is None else sigma[kept] if sigma.ndim == 1 else sigma[np.ix_(kept, kept)]
        np.testing.assert_allclose(
            ours[0].data, scipy_optimize.curve_fit(line, t[kept], y[kept], sigma=weights)[0], rtol=1e-6
        )
    assert len(optimize.curve_fit(line, t[:4], y[:4], full_output=True)) == 5
    for words, more in (
        ("ydata", {}),
        ("xdata", {"xdata": y[:4] * np.nan, "ydata": t[:4]}),
        ("zeros", {"ydata": t, "sigma": 0 * t}),
        ("sigma", {"ydata": t, "sigma": y}),
        ("nan_policy", {"nan_policy": "keep"}),
    ):
        with pytest.raises(ArgumentError, match=words):
            optimize.curve_fit(**{"f": line, "xdata": t, "ydata": y, **more})


def test_curve_fit_misuse_is_named():
    t = np.arange(3.0)
    with pytest.raises(SingularMatrixError, match="do not determine"):
        optimize.curve_fit(lambda t, a, b: a + b + 0 * t, t, t)
    with pytest.raises(SingularMatrixError, match="variance"):
        optimize.curve_fit(lambda t, a, b: a + b * t, t[:2], t[:2])
    with pytest.raises(ArgumentError, match="give p0"):
        optimize.curve_fit(lambda t, *p: t, t, t)
    with pytest.raises(ArgumentError, match="NaN"):
        optimize.curve_fit(lambda t, a: a * t, t, t * np.nan)
    with pytest.raises(ShapeError, match="ydata"):
        optimize.curve_fit(lambda t, a: a * t[:2], t, t)
    popt, _ = optimize.curve_fit(lambda t, a: a * t, t, 5.0 * t + np.array([0.0, 0.1, 0.0]), bounds=(0.0, 2.0))
    assert np.isclose(popt.item(), 2.0)
