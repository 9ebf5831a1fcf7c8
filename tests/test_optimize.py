"""The bridge to scipy.optimize: every method reaches the minimum, trees survive, misuse is named."""

import numpy as np
import pytest

from autodiff import optimize
from autodiff.core.errors import ArgumentError, DTypeError, GraphError, ShapeError

pytest.importorskip("scipy", reason="the bridge is to SciPy")

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
