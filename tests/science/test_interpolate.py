"""Splines and grids: SciPy's values everywhere, derivatives against differences in data, nodes and positions."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.testing import check_gradients

scipys = pytest.importorskip("scipy.interpolate", reason="these are SciPy's classes")
from autodiff import interpolate as ours  # noqa: E402  # needs SciPy

NODES = np.array([0.0, 0.7, 1.1, 2.0, 3.3, 3.9])
DATA = np.array([0.3, 1.2, 1.1, -0.4, 0.8, 2.0])
AT = np.array([-0.3, 0.0, 0.2, 0.7, 1.9, 3.0, 3.9, 4.4])
ENDS = ["not-a-knot", "natural", "clamped", ((1, 0.5), (2, -1.0)), ((2, 0.3), "not-a-knot"), "periodic"]


def both(name, *args, **kwargs):
    return getattr(ours, name)(*args, **kwargs), getattr(scipys, name)(*args, **kwargs)


@pytest.mark.parametrize("n", [2, 3, 4, 6])
@pytest.mark.parametrize("bc_type", ENDS, ids=str)
@pytest.mark.parametrize("extrapolate", [None, False])
def test_cubic_splines_are_scipys(n, bc_type, extrapolate):
    y = DATA[:n].copy()
    if bc_type == "periodic":
        y[-1] = y[0]
    mine, theirs = both("CubicSpline", NODES[:n], y, bc_type=bc_type, extrapolate=extrapolate)
    for nu in range(4):
        np.testing.assert_allclose(mine(AT, nu).data, theirs(AT, nu), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(mine.c.data, theirs.c, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(mine.antiderivative()(AT).data, theirs.antiderivative()(AT), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["CubicSpline", "PchipInterpolator", "make_interp_spline"])
def test_axes_and_integrals(name):
    y = np.stack([DATA, DATA**2, np.sin(DATA)])
    mine, theirs = both(name, NODES, y, axis=1)
    grid = AT[:6].reshape(2, 3)
    np.testing.assert_allclose(mine(grid).data, theirs(grid), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(mine(0.4).data, theirs(0.4), rtol=1e-11)
    np.testing.assert_allclose(mine.derivative()(AT).data, theirs.derivative()(AT), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(mine.integrate(0.2, 3.0).data, theirs.integrate(0.2, 3.0), rtol=1e-11)


@pytest.mark.parametrize("y", [DATA, DATA[::-1], np.array([0.0, 1.0, 1.0, 2.0, 1.5, 1.5]), np.arange(6.0) ** 3])
def test_pchip_is_scipys(y):
    mine, theirs = both("PchipInterpolator", NODES, y)
    np.testing.assert_allclose(mine(AT).data, theirs(AT), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(both("PchipInterpolator", NODES[:2], y[:2])[0](AT).data, scipys.PchipInterpolator(
        NODES[:2], y[:2])(AT), rtol=1e-12)  # fmt: skip
    slopes = np.cos(y)
    mine, theirs = both("CubicHermiteSpline", NODES, y, slopes)
    np.testing.assert_allclose(mine(AT).data, theirs(AT), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bc_type", ENDS[:-1], ids=str)
def test_derivatives_of_a_cubic_spline(bc_type):
    inside = np.array([0.2, 1.9, 3.0])
    f = lambda x, y, at: ours.CubicSpline(x, y, bc_type=bc_type)(at)
    check_gradients(f, NODES, DATA, inside, order=1)


def test_derivatives_of_the_others():
    inside = np.array([0.2, 1.9, 3.0])
    check_gradients(lambda x, y, at: ours.PchipInterpolator(x, y)(at), NODES, DATA, inside, order=1)
    check_gradients(lambda y, at: ours.make_interp_spline(NODES, y, k=5)(at), DATA, inside, order=1)
    circle = lambda y, at: ours.CubicSpline(NODES, np.append(y, y[0]), bc_type="periodic")(at)
    check_gradients(circle, DATA[:-1], inside, order=1)
    second = ad.grad(ad.grad(lambda t: ours.CubicSpline(NODES, DATA)(t)))(1.7)
    np.testing.assert_allclose(second, scipys.CubicSpline(NODES, DATA)(1.7, 2), rtol=1e-10)
    area = lambda y, b: ours.CubicSpline(NODES, y).integrate(0.1, b)
    check_gradients(area, DATA, np.array(2.5), order=1)
    np.testing.assert_allclose(ours.interp(AT, NODES, ad.tensor(DATA)).data, np.interp(AT, NODES, DATA))


@pytest.mark.parametrize("method", ["linear", "nearest", "cubic"])
def test_grids_are_scipys(method):
    rng = np.random.default_rng(0)
    points = (np.array([0.0, 1.0, 2.0, 2.5]), np.array([-1.0, 0.5, 1.0, 2.0, 4.0]))
    values = rng.normal(size=(4, 5, 2))
    exact = {"cubic": "cubic_legacy"}.get(method, method)  # SciPy's "cubic" solves to a tolerance
    at = np.stack([rng.uniform(-0.5, 3.0, 20), rng.uniform(-1.5, 4.5, 20)], axis=1).reshape(4, 5, 2)
    for fill in (None, -7.0):
        options = {"bounds_error": False, "fill_value": fill}
        mine = ours.RegularGridInterpolator(points, values, method=method, **options)
        theirs = scipys.RegularGridInterpolator(points, values, method=exact, **options)
        np.testing.assert_allclose(mine(at).data, theirs(at), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(mine((at[..., 0], at[..., 1])).data, theirs((at[..., 0], at[..., 1])), rtol=1e-11)
    if method != "nearest":
        inside = np.array([[0.3, 0.1], [2.2, 3.0]])
        f = lambda p, q, v, at: ours.RegularGridInterpolator((p, q), v, method)(at)
        check_gradients(f, *points, values, inside, order=1)


def test_misuse_is_named():
    with pytest.raises(ArgumentError, match="increase"):
        ours.CubicSpline([0.0, 0.0, 1.0], [1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match="nodes"):
        ours.CubicSpline([0.0, 1.0], [1.0, 2.0, 3.0])
    with pytest.raises(ArgumentError, match="NaN"):
        ours.PchipInterpolator([0.0, 1.0], [1.0, np.nan])
    with pytest.raises(ArgumentError, match="periodic"):
        ours.CubicSpline(NODES, DATA, bc_type="periodic")
    with pytest.raises(ArgumentError, match="no end condition"):
        ours.CubicSpline(NODES, DATA, bc_type="loose")
    with pytest.raises(NotDifferentiableError, match="nodes"):
        ours.make_interp_spline(ad.tensor(NODES, requires_grad=True), DATA)
    grid = ours.RegularGridInterpolator((NODES,), DATA)
    with pytest.raises(ArgumentError, match="outside"):
        grid([[9.0]])
    with pytest.raises(ArgumentError, match="quintic"):
        grid([[1.0]], method="quintic")
    with pytest.raises(ShapeError, match="dimensions"):
        grid(np.ones((2, 3)))
