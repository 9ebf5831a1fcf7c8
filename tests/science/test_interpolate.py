"""Splines and grids: SciPy's values everywhere, derivatives against differences in data, nodes and positions."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ArgumentError, ShapeError, SingularMatrixError
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


@pytest.mark.parametrize("name", ["CubicSpline", "PchipInterpolator", "make_interp_spline", "Akima1DInterpolator"])
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
    akima = lambda x, y, at: ours.Akima1DInterpolator(x, y, method="makima")(at)
    check_gradients(akima, NODES, DATA, inside, order=1)
    ends = lambda x, y, v, at: ours.make_interp_spline(x, y, bc_type=([(1, v)], [(2, 0.3)]))(at)
    check_gradients(ends, NODES, DATA, np.array(0.7), inside[:2], order=2)
    quintic = lambda x, y, at: ours.make_interp_spline(x, y, k=5)(at)
    check_gradients(quintic, NODES, DATA, inside, order=1)
    circle = lambda y, at: ours.CubicSpline(NODES, np.append(y, y[0]), bc_type="periodic")(at)
    check_gradients(circle, DATA[:-1], inside, order=1)
    second = ad.grad(ad.grad(lambda t: ours.CubicSpline(NODES, DATA)(t)))(1.7)
    np.testing.assert_allclose(second, scipys.CubicSpline(NODES, DATA)(1.7, 2), rtol=1e-10)
    area = lambda y, b: ours.CubicSpline(NODES, y).integrate(0.1, b)
    check_gradients(area, DATA, np.array(2.5), order=1)
    np.testing.assert_allclose(ours.interp(AT, NODES, ad.tensor(DATA)).data, np.interp(AT, NODES, DATA))


@pytest.mark.parametrize("extrapolate", [True, False, "periodic"])
@pytest.mark.parametrize("k", range(5))
def test_b_splines_are_scipys(k, extrapolate):
    knots = np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.7, 1.1, 2.0, 3.3, 3.9, 4.5, 5.0])
    c = np.cos(np.arange(12.0)[:, None] * [1.0, 2.0])
    mine, theirs = both("BSpline", knots, c, k, extrapolate)
    at = np.array([-0.3, 0.0, 0.2, 0.55, 0.7, 1.9, 3.0, 3.9, 4.4, 5.2, 9.0])
    for nu in range(k + 2):
        np.testing.assert_allclose(mine(at, nu).data, theirs(at, nu), rtol=1e-10, atol=1e-10)
    for nu in (1, 2):
        got, want = mine.antiderivative(nu), theirs.antiderivative(nu)
        np.testing.assert_allclose(got(at).data, want(at), rtol=1e-10, atol=1e-10)
    low, high = (1.2, 1.9) if extrapolate is False else (-0.2, 11.0)
    np.testing.assert_allclose(mine.integrate(low, high).data, theirs.integrate(low, high), rtol=1e-10)
    turned = ours.BSpline(knots, c.T, k, axis=1)
    np.testing.assert_allclose(turned(1.2).data, theirs(1.2))
    if k and extrapolate is True:
        inner = np.array([0.1, 0.4, 0.5, 0.7, 0.9, 1.1, 2.0, 3.3])
        places = np.array([0.6, 0.8, 1.0])
        f = lambda t, c, at: ours.BSpline(t, c, 2)(at)
        check_gradients(f, inner, c[:5, 0], places, order=2)


@pytest.mark.parametrize("bc_type", ["natural", "clamped", ([(1, 0.5)], [(2, -1.0)]), None, "not-a-knot"], ids=str)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_interpolating_splines_are_scipys(k, bc_type):
    options = {"k": k, "bc_type": bc_type}
    if k == 5 and isinstance(bc_type, tuple):
        options["bc_type"] = ([(1, 0.5), (2, 0.1)], [(2, -1.0), (1, 0.0)])
    try:
        theirs = scipys.make_interp_spline(NODES, DATA, **options)
    except ValueError:
        with pytest.raises(ArgumentError, match="end conditions"):
            ours.make_interp_spline(NODES, DATA, **options)
        return
    mine = ours.make_interp_spline(NODES, DATA, **options)
    np.testing.assert_allclose(mine(AT).data, theirs(AT), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(mine.c.data, theirs.c, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(mine.t.data, theirs.t)


@pytest.mark.parametrize("method", ["akima", "makima"])
@pytest.mark.parametrize(
    "y", [DATA, np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]), np.arange(6.0)], ids=["", "flat", "line"]
)
def test_akima_is_scipys(y, method):
    for n in (2, 3, 6):
        for extrapolate in (None, True, "periodic"):
            mine, theirs = (
                m.Akima1DInterpolator(NODES[:n], y[:n], method=method, extrapolate=extrapolate) for m in (ours, scipys)
            )
            np.testing.assert_allclose(mine(AT).data, theirs(AT), rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(mine(AT, 1).data, theirs(AT, 1), rtol=1e-11, atol=1e-11)


def test_integrals_over_periods_are_scipys():
    mine, theirs = both("CubicSpline", NODES, np.append(DATA[:-1], DATA[0]), bc_type="periodic")
    for a, b in ((0.2, 9.0), (-7.0, 0.1), (3.0, -20.0)):
        np.testing.assert_allclose(mine.integrate(a, b).data, theirs.integrate(a, b), rtol=1e-11)
    np.testing.assert_allclose(ad.grad(lambda b: mine.integrate(0.1, b))(9.0), theirs(9.0), rtol=1e-11)


@pytest.mark.parametrize("kernel", [
    "linear", "thin_plate_spline", "cubic", "quintic", "multiquadric", "inverse_multiquadric", "inverse_quadratic",
    "gaussian",
])  # fmt: skip
def test_radial_functions_are_scipys(kernel):
    rng = np.random.default_rng(0)
    places, data, at = rng.normal(size=(9, 2)), rng.normal(size=(9, 3)), rng.normal(size=(4, 2))
    options = {"kernel": kernel, "epsilon": 0.8}
    for more in ({}, {"smoothing": 0.3}, {"degree": 2, "smoothing": np.linspace(0.0, 1.0, 9)}):
        mine, theirs = both("RBFInterpolator", places, data, **options, **more)
        np.testing.assert_allclose(mine(at).data, theirs(at), rtol=1e-8, atol=1e-9)
    f = lambda y, d, s, e, at: ours.RBFInterpolator(y, d, smoothing=s, kernel=kernel, epsilon=e)(at)
    check_gradients(f, places[:6], data[:6, 0], np.array(0.3), np.array(0.8), at[:2], order=2)
    at_a_place = lambda x: ours.RBFInterpolator(places, data[:, 0], **options)(x[None])[0]
    assert np.isfinite(ad.grad(at_a_place)(places[0])).all()
    with pytest.raises(SingularMatrixError):
        ours.RBFInterpolator(np.ones((4, 1)), np.ones(4), **options)


def test_single_precision_stays():
    x, y = NODES.astype(np.float32), DATA.astype(np.float32)
    at = np.array([[1.3]], np.float32)
    for name in ("CubicSpline", "PchipInterpolator", "Akima1DInterpolator", "make_interp_spline"):
        assert getattr(ours, name)(x, y)(at).dtype == np.float32
    assert ours.RBFInterpolator(x[:, None], y, smoothing=0.1)(at).dtype == np.float32
    for method in ("linear", "cubic", "quintic", "pchip"):
        assert ours.RegularGridInterpolator((x,), y, method)(at).dtype == np.float32


@pytest.mark.parametrize("method", ["linear", "nearest", "slinear", "cubic", "quintic", "pchip"])
def test_grids_are_scipys(method):
    rng = np.random.default_rng(0)
    points = (np.array([0.0, 1.0, 1.4, 2.0, 2.2, 2.5]), np.array([-1.0, 0.5, 1.0, 2.0, 2.9, 3.5, 4.0]))
    values = rng.normal(size=(6, 7, 2))
    exact = {"cubic": "cubic_legacy", "quintic": "quintic_legacy"}.get(
        method, method
    )  # SciPy's "cubic" solves to a tolerance
    at = np.stack([rng.uniform(-0.5, 3.0, 20), rng.uniform(-1.5, 4.5, 20)], axis=1).reshape(4, 5, 2)
    for fill in (None, -7.0):
        options = {"bounds_error": False, "fill_value": fill}
        mine = ours.RegularGridInterpolator(points, values, method=method, **options)
        theirs = scipys.RegularGridInterpolator(points, values, method=exact, **options)
        np.testing.assert_allclose(mine(at).data, theirs(at), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(mine((at[..., 0], at[..., 1])).data, theirs((at[..., 0], at[..., 1])), rtol=1e-11)
    down = ours.RegularGridInterpolator((points[0][::-1], points[1]), values[::-1], method, **options)
    np.testing.assert_allclose(down(at).data, mine(at).data, rtol=1e-13)
    np.testing.assert_allclose(ours.interpn(points, values, at, method, **options).data, mine(at).data)
    if method in ("cubic", "quintic"):
        inside = np.array([[0.3, 0.1], [2.2, 3.0]])
        smooth = ours.RegularGridInterpolator(points, values[..., 0], method)
        got = np.stack([smooth(inside, nu=(1, 0)).data, smooth(inside, nu=(0, 1)).data], axis=-1)
        np.testing.assert_allclose(got, ad.grad(lambda x: np.sum(smooth(x)))(inside), rtol=1e-9)
    if method != "nearest":
        inside = np.array([[0.3, 0.1], [2.2, 3.0]])
        f = lambda p, q, v, at: ours.RegularGridInterpolator((p, q), v, method)(at)
        check_gradients(f, *points, np.outer(points[0] + 1.0, np.exp(points[1] / 3.0)), inside, order=1)


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
    with pytest.raises(ArgumentError, match="periodic"):
        ours.make_interp_spline(NODES, DATA, bc_type="periodic")
    for wrong, words in (
        (lambda: ours.BSpline([0.0, 1.0, 2.0], [1.0], 1), "at least"),
        (lambda: ours.BSpline([0.0, 1.0, 0.5, 2.0], [1.0, 2.0], 1), "not decrease"),
        (lambda: ours.Akima1DInterpolator(NODES, DATA, method="x"), "makima"),
        (lambda: ours.RBFInterpolator(NODES[:, None], DATA, neighbors=3), "neighbors"),
        (lambda: ours.RBFInterpolator(NODES[:, None], DATA, kernel="gaussian"), "epsilon"),
        (lambda: ours.RBFInterpolator(NODES[:, None], DATA, kernel="x"), "kernel"),
        (lambda: ours.RBFInterpolator(NODES, DATA), "places"),
        (lambda: ours.CubicSpline(NODES, DATA, extrapolate=False).integrate(0.0, 9.0), "outside"),
        (lambda: ours.RegularGridInterpolator((NODES,), DATA)([[1.0]], nu=(1,)), "nu"),
    ):
        with pytest.raises(ad.AutodiffError, match=words):
            wrong()
    with pytest.raises(ArgumentError, match="outside"):
        ours.interp1d(NODES, DATA)(99.0)
    with pytest.raises(ArgumentError, match="kind"):
        ours.interp1d(NODES, DATA, kind="steps")
    with pytest.raises(AttributeError, match=r"'RectBivariateSpline'.*method='cubic'"):
        ours.RectBivariateSpline  # noqa: B018
    grid = ours.RegularGridInterpolator((NODES,), DATA)
    with pytest.raises(ArgumentError, match="outside"):
        grid([[9.0]])
    with pytest.raises(ArgumentError, match="quintic"):
        grid([[1.0]], method="other")
    with pytest.raises(ShapeError, match="at least 6"):
        ours.RegularGridInterpolator((NODES[:5],), DATA[:5], "quintic")([[1.0]])
    with pytest.raises(ShapeError, match="dimensions"):
        grid(np.ones((2, 3)))


@pytest.mark.parametrize(
    "kind", ["zero", "linear", "slinear", "quadratic", "cubic", 4, "nearest", "nearest-up", "previous", "next"]
)
def test_interp1d(kind):
    x, order = np.array([0.0, 0.5, 1.5, 2.0, 3.5, 4.0]), [3, 0, 5, 1, 4, 2]
    y = np.cos(np.arange(36.0)).reshape(2, 6, 3)
    at = np.array([[0.1, 0.25, 1.0, 3.9], [0.5, 2.0, 4.0, 3.7]])
    beyond = np.array([-0.5, 0.7, 4.5])
    for axis, data in ((1, y), (-1, np.moveaxis(y, 1, -1))):
        for more, places in (
            ({}, at),
            ({}, 0.7),
            ({"fill_value": "extrapolate"}, beyond),
            ({"bounds_error": False}, beyond),
            ({"bounds_error": False, "fill_value": (1.0, 2.0)}, beyond),
        ):
            given = (x[order], np.take(data, order, axis)), {"kind": kind, "axis": axis, **more}
            mine, right = (module.interp1d(*given[0], **given[1])(places) for module in (ours, scipys))
            np.testing.assert_allclose(mine.data, right, rtol=1e-11, atol=1e-12)
    assert np.isnan(ours.interp1d(x, y[0, :, 0], kind)(np.nan).data)  # SciPy's steps give the last value
    places = np.array([0.1, 1.0, 3.9])
    if isinstance(kind, int) or kind in ("linear", "slinear", "quadratic", "cubic"):
        check_gradients(lambda x, y, p: ours.interp1d(x, y, kind)(p), x, y[0, :, 0], places, order=1)
    else:
        check_gradients(lambda y: ours.interp1d(x, y, kind)(places), y[0, :, 0], order=1)


@pytest.mark.parametrize("method", ["linear", "nearest", "slinear", "cubic", "quintic", "pchip"])
def test_an_unknown_position_on_a_grid_has_no_value(method):
    grid = ours.RegularGridInterpolator((NODES,), DATA, method, bounds_error=False, fill_value=3.0)
    np.testing.assert_array_equal(np.isnan(grid([[np.nan], [NODES[0]], [99.0]]).data), [True, False, False])


def test_steps_as_a_spline():
    x, y = np.array([0.0, 1.0, 3.0]), np.array([2.0, 5.0, 7.0])
    at = np.array([-1.0, 0.0, 0.9, 1.0, 2.9, 3.0, 4.0])
    np.testing.assert_array_equal(ours.make_interp_spline(x, y, 0)(at).data, scipys.make_interp_spline(x, y, 0)(at))
    np.testing.assert_allclose(ad.grad(lambda y: ours.make_interp_spline(x, y, 0).integrate(0.5, 2.0))(y), [0.5, 1, 0])


def test_coefficients_along_other_axes_and_words_for_outside_are_theirs():
    x = np.array([0.0, 1.0, 2.5])
    for shape, axis in (((3, 2, 2, 4), 0), ((4, 3, 2, 2), 1), ((2, 4, 3, 2), 2), ((2, 2, 2), 1)):
        c = np.random.default_rng(axis).normal(size=shape)
        mine, theirs = both("PPoly", c, x, axis=axis)
        at = np.array([[0.3, 1.7], [2.0, -1.0]])
        for nu in (0, 1):
            np.testing.assert_allclose(mine(at, nu).data, theirs(at, nu), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(mine.antiderivative()(at).data, theirs.antiderivative()(at), rtol=1e-12, atol=1e-12)
        check_gradients(lambda c, axis=axis, at=at: ours.PPoly(c, x, axis=axis)(at), c, order=1)
    spline, theirs = both("CubicSpline", x, x**2)
    for outside in (0, np.False_, False, 1, np.True_, "periodic"):
        np.testing.assert_allclose(spline(3.0, extrapolate=outside).data, theirs(3.0, extrapolate=outside))
    for wrong, words in (
        (lambda: spline(0.5, -1), "nu=-1"),
        (lambda: ours.make_interp_spline(x, x, k=1)(0.5, -1), "nu=-1"),
        (lambda: spline(0.5, extrapolate="peroidic"), "peroidic"),
        (lambda: ours.PPoly(np.ones((2, 2)), x[::-1]), "increase"),
        (lambda: ours.PPoly(np.ones((2, 2)), [0.0, 2.0, 1.0]), "increase"),
        (lambda: ours.RBFInterpolator(x[:, None], x, degree=-2), "degree"),
    ):
        with pytest.raises(ArgumentError, match=words):
            wrong()
