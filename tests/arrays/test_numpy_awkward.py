"""Corners of NumPy's functions: every quantile method, spacings, periods, where= and out=, full and complex factors,
norms of every order at zero.
"""

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ArgumentError, GraphError, NotDifferentiableError, ShapeError
from autodiff.testing import check_gradients

rng = np.random.default_rng(0)
X = rng.normal(size=(3, 7))
METHODS = (
    "inverted_cdf averaged_inverted_cdf closest_observation interpolated_inverted_cdf hazen weibull linear"
    " median_unbiased normal_unbiased lower higher midpoint nearest"
).split()


@pytest.mark.parametrize("method", METHODS)
def test_quantile_methods(method):
    with_nan = X.copy()
    with_nan[0, 1] = with_nan[2, :3] = np.nan
    for x, ours in ((X, np.quantile), (with_nan, np.quantile), (with_nan, np.nanquantile)):
        for q in (0.0, 0.1, 0.5, 0.77, 1.0, [0.2, 0.4, 0.9]):
            for axis in (None, 0, 1):
                if ours is np.nanquantile and axis == 0:
                    continue
                np.testing.assert_allclose(
                    ours(ad.tensor(x), q, axis=axis, method=method).data,
                    ours(x, q, axis=axis, method=method),
                    rtol=1e-13,
                )
    check_gradients(lambda t, q: np.quantile(t, q, axis=1, method=method), X, np.array([0.13, 0.41, 0.78]))
    np.testing.assert_allclose(
        np.percentile(ad.tensor(X), 30, method=method).data, np.percentile(X, 30, method=method), rtol=1e-13
    )


ONE = np.int64(1)
WITH_AN_AXIS = {
    "quantile": lambda t: np.quantile(t, 0.3, axis=ONE),
    "quantile with weights": lambda t: np.quantile(t, 0.3, axis=ONE, weights=np.ones((3, 7)), method="inverted_cdf"),
    "nanmedian": lambda t: np.nanmedian(t, axis=ONE),
    "gradient": lambda t: np.gradient(t, axis=ONE),
    "fftshift": lambda t: np.fft.fftshift(t, axes=ONE),
    "apply_over_axes": lambda t: np.apply_over_axes(np.sum, t, ONE),
    "norm": lambda t: np.linalg.norm(t, axis=ONE),
    "prod": lambda t: np.prod(t, axis=ONE),
}


@pytest.mark.parametrize("name", WITH_AN_AXIS)
def test_an_axis_is_a_number_of_numpys(name):
    np.testing.assert_allclose(WITH_AN_AXIS[name](ad.tensor(X)).data, WITH_AN_AXIS[name](X), rtol=1e-13)
    check_gradients(WITH_AN_AXIS[name], X)


@pytest.mark.parametrize("num", [0, 1, 2])
def test_the_step_of_linspace(num):
    end = ad.tensor(2.0, requires_grad=True)
    np.testing.assert_equal(
        np.linspace(0.0, end, num, retstep=True)[1].item(), np.linspace(0.0, 2.0, num, retstep=True)[1]
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["nanvar", "nanstd", "var", "std"])
@pytest.mark.parametrize("ddof", [0, 1, 2, 3])
def test_a_spread_of_few_numbers(name, ddof):
    x = np.array([[1.0, np.nan, np.nan], [np.nan, np.nan, np.nan], [1.0, 2.0, 4.0], [3.0, 5.0, np.nan]])
    more = {} if name.startswith("nan") else {"where": ~np.isnan(x)}
    function = getattr(np, name)
    made = function(ad.tensor(np.nan_to_num(x) if more else x), axis=1, ddof=ddof, **more)
    np.testing.assert_allclose(made.data, function(np.nan_to_num(x) if more else x, axis=1, ddof=ddof, **more))


def test_the_weights_of_an_average_of_whole_numbers():
    made, total = np.average(ad.tensor(np.arange(4)), weights=[1, 2, 3, 4], returned=True)
    assert (made.dtype, total.dtype, total.item()) == (float, float, 10.0)


def test_axes_of_a_norm_are_named_once():
    with pytest.raises(ValueError, match="repeated"):
        np.linalg.norm(ad.tensor(X), axis=(0, 0))


def test_quantile_misuse():
    with pytest.raises(ArgumentError, match="hazen"):
        np.quantile(ad.tensor(X), 0.5, method="cubic")


@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient_in_its_spacings(edge_order):
    c = np.cumsum(rng.uniform(0.3, 1, 7))
    along = lambda t, s: np.gradient(t, s, axis=1, edge_order=edge_order)
    np.testing.assert_allclose(along(ad.tensor(X), ad.tensor(c, requires_grad=True)).data, along(X, c))
    check_gradients(along, X, c)
    check_gradients(along, X, np.array(0.3))
    check_gradients(lambda t, h, s: np.gradient(t, h, s)[0] * np.gradient(t, h, s)[1], X, np.array(0.3), c)
    with pytest.raises(ShapeError, match="coordinates"):
        along(ad.tensor(X), ad.tensor(c[:-1], requires_grad=True))


def test_interp_with_a_period():
    points, nodes, values = np.array([-3.0, 0.2, 5.5, 11.3]), np.array([4.1, 0.3, 2.2, 6.0]), rng.normal(size=4)
    np.testing.assert_allclose(
        np.interp(ad.tensor(points), nodes, values, period=7.0).data, np.interp(points, nodes, values, period=7.0)
    )
    check_gradients(lambda *a: np.interp(*a[:3], period=a[3]), points, nodes, values, np.array(7.0))
    with pytest.raises(ArgumentError, match="zero"):
        np.interp(ad.tensor(points), nodes, values, period=0)


def test_ufuncs_write_into_tensors_as_numpys_do():
    t = ad.tensor([-1.0, 4.0], requires_grad=True)
    out = t * 0.0 + 7.0
    view = out[1:]
    assert np.sqrt(t, out=out, where=t.data > 0) is out
    assert out.tolist() == [7.0, 2.0]
    assert view.tolist() == [2.0]
    np.testing.assert_array_equal(ad.gradients(out.sum(), t), [0.0, 0.25])
    x = ad.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1.0
    np.multiply(y, y, out=y)
    np.testing.assert_array_equal(ad.gradients(y.sum(), x), [2.0, 4.0])
    assert np.add(x, 1.0, where=np.array([True, True])).tolist() == [2.0, 3.0]
    assert np.add(x, 1, dtype=np.float32).dtype == np.float32
    for call in (
        lambda: np.add(x, 1.0, where=[True, False]),
        lambda: np.add(x, 1.0, out=np.zeros(2)),
        lambda: np.sum(x, out=np.zeros(())),
    ):
        with pytest.raises(NotDifferentiableError, match=r"use|result"):
            call()
    with pytest.raises(GraphError, match="leaf"):
        np.add(x, 1.0, out=x)
    with pytest.raises(ShapeError, match="out="):
        np.add(x, np.ones((3, 2)), out=x * 1.0)


SHAPES = [(3, 3), (4, 2), (2, 4), (2, 3, 2)]


def _powers(u, s, vh):
    return np.sum(np.abs((u * s[..., None, :] ** 2) @ vh) ** 3) + np.sum(np.abs(u) ** 3) + np.sum(s**3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("complex_", [False, True])
def test_svd_reduced_and_full(shape, complex_):
    a = rng.normal(size=shape)
    b = rng.normal(size=shape) * complex_
    k = min(shape[-2:])

    def reduced(x, y):
        return _powers(*np.linalg.svd(x + 1j * y if complex_ else x + y, full_matrices=False))

    def full(x, y):
        u, s, vh = np.linalg.svd(x + 1j * y if complex_ else x + y)
        u2, v2 = u[..., k:], np.swapaxes(vh[..., k:, :], -1, -2)
        spans = [np.sum(np.abs(q @ np.conj(np.swapaxes(q, -1, -2))) ** 3) for q in (u2, v2)]
        return _powers(u[..., :k], s, vh[..., :k, :]) + spans[0] + spans[1]

    for f in (reduced, full):
        np.testing.assert_allclose(f(ad.tensor(a), ad.tensor(b)).item(), f(a, b), rtol=1e-12)
        check_gradients(f, a, b, order=1)
    u, _, vh = np.linalg.svd(ad.tensor(a))
    assert u.shape[-1] == shape[-2]
    assert vh.shape[-1] == shape[-1]


def test_what_is_arbitrary_is_refused():
    tall = rng.normal(size=(4, 2))
    with pytest.raises(NotDifferentiableError, match="full_matrices=False"):
        ad.grad(lambda a: np.sum(np.linalg.svd(a)[0] ** 3))(tall)
    with pytest.raises(NotDifferentiableError, match="mode='reduced'"):
        ad.grad(lambda a: np.sum(np.linalg.qr(a, mode="complete")[0] ** 3))(tall)
    with pytest.raises(NotDifferentiableError, match="phase"):
        ad.grad(lambda a: np.real(np.linalg.svd(a + 1j * a**2)[0][0, 0]))(tall[:2])
    with pytest.raises(NotDifferentiableError, match="mode='raw'"):
        np.linalg.qr(ad.tensor(tall, requires_grad=True), mode="raw")


def test_qr_complete():
    a = rng.normal(size=(4, 2))
    w = rng.normal(size=(4, 4))

    def f(x):
        q, r = np.linalg.qr(x, mode="complete")
        return np.sum(w * (q[:, 2:] @ q[:, 2:].T)) + np.sum(q[:, :2] ** 3) + np.sum(r**3)

    ours, numpys = np.linalg.qr(ad.tensor(a), mode="complete"), np.linalg.qr(a, mode="complete")
    np.testing.assert_allclose(ours.Q.data, numpys.Q, atol=1e-14)
    np.testing.assert_allclose(ours.R.data, numpys.R, atol=1e-14)
    check_gradients(f, a, order=1)


@pytest.mark.parametrize("order", [3, 1.5, 4, 0.5, -1, 1, 2, np.inf, -np.inf])
def test_vector_norms(order):
    x = np.array([[0.3, -0.7, 1.2], [0.2, 0.5, -0.9]])
    for axis in (0, 1):
        np.testing.assert_allclose(
            np.linalg.norm(ad.tensor(x), order, axis=axis).data, np.linalg.norm(x, order, axis=axis), rtol=1e-14
        )
    check_gradients(lambda t: np.linalg.norm(t, order, axis=1), x)
    check_gradients(lambda t, u: np.linalg.norm(t + 1j * u, order), x[0], x[1], order=1)
    if np.isfinite(order) and order > 1:
        for scale in (1e-200, 1e200):
            np.testing.assert_allclose(
                ad.grad(lambda t: np.linalg.norm(t, order))(x[0] * scale),
                ad.grad(lambda t: np.linalg.norm(t, order))(x[0]),
            )


@pytest.mark.parametrize(
    "eigenvalues", [[2.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0, 1.0 + 1e-7, 4.0], [1.0, 1.001, 4.0], [-1.0, 0.5, 2.0]]
)
def test_matrix_functions_at_equal_eigenvalues(eigenvalues):
    r, q = rng.normal(size=(3, 3)), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    a = q @ np.diag(eigenvalues) @ q.T
    for directly, scalar in ((lambda m: m @ m @ m, lambda w: w**3), (np.linalg.inv, lambda w: 1 / w)):
        found = ad.grad(lambda m, f=scalar: np.sum(r * ad.linalg.matrix_function(m, f)))(a)
        known = ad.grad(lambda m, f=directly: np.sum(r * f(m)))(a)
        np.testing.assert_allclose(found, (known + known.T) / 2, rtol=1e-10, atol=1e-11)


def test_projectors_onto_a_separate_subspace():
    r, q = rng.normal(size=(4, 4)), np.linalg.qr(rng.normal(size=(4, 4)))[0]
    a = q @ np.diag([1.0, 1.0, 3.0, 3.0]) @ q.T
    f = lambda m: np.sum(r * ad.linalg.matrix_function(m, lambda w: w < 2))
    direction = rng.normal(size=(4, 4))
    direction += direction.T
    h = 1e-5
    numeric = (f(a + h * direction) - f(a - h * direction)).item() / (2 * h)
    np.testing.assert_allclose(np.sum(ad.grad(f)(a) * direction), numeric, rtol=1e-8)


def test_hermitian_matrix_functions():
    x, y = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))

    def f(a, b):
        z = a + 1j * b
        return np.abs(ad.linalg.matrix_function(z + np.conj(z.T), np.exp)) ** 2

    check_gradients(f, x * 0.3, y * 0.3)


EMPTY = [((0,), None), ((0,), 0), ((0, 3), None), ((0, 3), 0), ((3, 0), -1), ((2, 3), 1)]


@pytest.mark.parametrize(("shape", "axis"), EMPTY)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["max", "min", "amax", "amin", "sum", "prod", "nanmax", "nanmin", "nansum", "nanprod"])
def test_reductions_start_from_initial(name, shape, axis, masked):
    x = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    keywords = {"axis": axis, "initial": 2.5, "where": x % 2 == 1 if masked else True}
    function = getattr(np, name)
    t = ad.tensor(x, requires_grad=True)
    found = function(t, **keywords)
    np.testing.assert_array_equal(found.data, function(x, **keywords))
    found.sum().backward()
    assert t.grad.shape == shape
    for place in np.ndindex(shape):
        step = np.zeros(shape)
        step[place] = 1e-6
        numeric = (function(x + step, **keywords) - function(x - step, **keywords)).sum() / 2e-6
        np.testing.assert_allclose(t.grad[place], numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["max", "min", "nanmax", "nanmin"])
def test_an_extreme_of_nothing_needs_initial(name):
    t = ad.tensor(np.zeros(0), requires_grad=True)
    with pytest.raises(ShapeError, match="identity"):
        getattr(np, name)(t)
    with pytest.raises(ArgumentError, match="initial="):
        getattr(np, name)(ad.tensor(np.ones(3), requires_grad=True), where=np.array([True, False, True]))


def test_the_start_of_a_maximum_has_a_gradient():
    start = ad.tensor(2.5, requires_grad=True)
    np.max(ad.tensor(np.zeros((0, 3)), requires_grad=True), axis=0, initial=start).sum().backward()
    assert start.grad == 3.0


@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
def test_a_mean_that_is_not_the_mean_is_refused(name, rng):
    function, x = getattr(np, name), rng.normal(size=(3, 4))
    kept = rng.random((3, 4)) < 0.8
    kept[:, :2] = True
    for keywords in ({}, {"ddof": 1}, {"where": kept}, {"correction": 1}):
        mean = np.mean(x, axis=1, keepdims=True, where=keywords.get("where", True))
        expected = ad.grad(lambda t: np.sum(function(t, axis=1, **keywords) ** 2))(x)  # noqa: B023
        given = ad.grad(lambda t: np.sum(function(t, axis=1, mean=mean, **keywords) ** 2))(x)  # noqa: B023
        np.testing.assert_array_equal(given, expected)
        np.testing.assert_allclose(
            function(ad.tensor(x), axis=1, mean=mean, **keywords).data, function(x, axis=1, **keywords), rtol=1e-13
        )
        for wrong in (mean + 0.1, mean[:, 0], 0.0):
            with pytest.raises(ArgumentError, match="must be the mean itself"):
                function(ad.tensor(x, requires_grad=True), axis=1, mean=wrong, **keywords)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.cov(x[:, :1]),
        lambda x: np.cov(x[:, :1], aweights=[2.0]),
        lambda x: np.cov(x, ddof=3)[0],
        lambda x: np.corrcoef(x[:, :1]),
        lambda x: np.var(x, axis=1, ddof=1, where=[True, False, False]),
        lambda x: np.nanstd(x, axis=1, ddof=3, keepdims=True),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_nan_for_want_of_observations_has_no_derivative(f):
    x = np.array([[1.0, 2.0, 2.5], [4.0, 4.0, 4.0]])
    np.testing.assert_array_equal(f(ad.tensor(x)).data, f(x))
    assert np.isnan(f(x)).all() or np.isinf(f(x)).any()
    assert np.isnan(ad.grad(lambda x: np.sum(f(x)))(x)).any()
    assert np.isnan(ad.jvp(lambda x: np.sum(f(x)), (x,), (x,))[1])


@pytest.mark.parametrize("f", [np.nanmax, np.nanmin])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_extremes_of_slices_of_nan_alone(f):
    x = np.array([[np.nan, np.nan], [1.0, np.nan]], np.float32)
    for options in ({}, {"axis": 0}, {"axis": 1, "keepdims": True}):
        found = f(ad.tensor(x, requires_grad=True), **options)
        np.testing.assert_array_equal(found.detach().data, f(x, **options))
        assert found.dtype == np.float32


def test_what_replaces_nan_and_infinities_has_a_gradient():
    x = ad.tensor([np.nan, 1.0, np.inf, -np.inf, np.nan])
    z = ad.tensor([complex(np.nan, 1.0), complex(2.0, np.inf)])

    def f(t):
        return np.sum(np.nan_to_num(x, nan=t, posinf=2 * t, neginf=t * t)) + np.sum(
            np.abs(np.nan_to_num(z, True, t, t))
        )

    right = 2 + 2 + 6 + 3 / np.sqrt(10) + 3 / np.sqrt(13)
    np.testing.assert_allclose(
        [ad.grad(f)(3.0), ad.jvp(f, (3.0,), (1.0,))[1], ad.vmap(ad.grad(f))(np.full(1, 3.0))[0]], right
    )


@pytest.mark.parametrize("order", [2.0, 1.0, 3.3, -1.3])
def test_the_order_of_a_norm_has_a_gradient(order):
    x = np.array([[1.0, -2.0, 0.5], [0.3, 2.0, -1.0]])
    for f in (
        lambda x, p: np.linalg.norm(x, p, axis=1, keepdims=True),
        lambda x, p: np.linalg.vector_norm(x, ord=p, axis=(0, 1)),
    ):
        check_gradients(f, x, np.array(order))
        rows = np.array([order, order + 0.5])
        np.testing.assert_allclose(ad.vmap(lambda p: f(ad.tensor(x), p))(rows), [f(x, p) for p in rows])  # noqa: B023
    with pytest.raises(NotDifferentiableError, match="order"):
        ad.grad(lambda p: np.linalg.norm(ad.tensor(x), p))(order)
    assert np.linalg.vector_norm(ad.tensor(np.arange(3)), ord=1).dtype == float


C, D = rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 5, 4))
UNUSUAL = {
    "matmul of other axes": (lambda a, b: np.matmul(a, b, axes=[(0, 1), (0, -1), (1, 0)]), (C, D[:, 0])),
    "matmul of a vector": (lambda a, b: np.matmul(a, b, axes=[(0,), (0, 1), (0,)]), (C[0, :, 0], D)),
    "vecdot that keeps its axis": (lambda a, b: np.vecdot(a, b, axis=1, keepdims=True), (C, C + 1)),
    "vecdot of two axes": (lambda a, b: np.vecdot(a, b, axes=[0, 1]), (C[:, 0], C[:, 1].T)),
    "sum from nothing": (lambda x: np.sum(x, axis=0, initial=None), (X,)),
    "prod from nothing": (lambda x: np.multiply.reduce(x, initial=None), (X,)),
    "logaddexp from nothing": (lambda x: np.logaddexp.reduce(x, initial=None), (X,)),
    "logspace of several bases": (
        lambda a, b: np.logspace(a, 1.0, num=2, base=b),
        (np.array(0.3), np.array([2.0, 3.0])),
    ),
    "labels in NumPy's order": (lambda x: np.einsum(x, [26, 0]), (X,)),
    "conditions in one array": (lambda x: np.piecewise(x, np.eye(2, 7, dtype=bool), [np.exp, 5.0]), (X[0],)),
    "one condition in a list": (lambda x: np.piecewise(x, [True] * 3 + [False] * 4, [np.exp, np.sin]), (X[0],)),
    "an average that keeps its axis": (lambda x: np.average(x, axis=1, keepdims=1), (X,)),
    "roll by a small unsigned number": (lambda x: np.roll(x, np.uint8(1), axis=1) * X, (X,)),
    "roll by a truth value": (lambda x: np.roll(x, True) * X, (X,)),
    "reshape by an array": (lambda x: np.reshape(x, np.array(21)), (X,)),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_arguments(name):
    f, args = UNUSUAL[name]
    ours, numpys = f(*map(ad.tensor, args)), f(*args)
    assert ours.shape == numpys.shape
    np.testing.assert_allclose(ours.data, numpys, rtol=1e-12)
    check_gradients(f, *args)


@pytest.mark.parametrize("order", [-1, -1.5])
def test_a_norm_of_negative_order_is_made_by_the_smallest(order):
    x = np.array([1e-200, 1e200])
    for given in (order, ad.tensor(float(order), requires_grad=True)):
        assert ad.linalg.norm(ad.tensor(x), given).item() == pytest.approx(1e-200, rel=1e-14)
    np.testing.assert_allclose(ad.grad(lambda t: ad.linalg.norm(t, order))(x), [1.0, 0.0])


def test_whole_numbers_have_numpys_mean_and_average():
    small = np.array([100, 101], np.int8)
    assert np.average(ad.tensor(small), weights=small).item() == np.average(small, weights=small)
    made = np.mean(ad.tensor(small), dtype=int)
    assert made.item() == np.mean(small, dtype=int)
    assert made.dtype == int


def test_the_finite_part_of_a_complex_number_moves():
    z = np.array([np.nan + 2j, 1 - np.inf * 1j, 3 + 4j])
    for more in ({}, {"nan": np.inf}):
        np.testing.assert_array_equal(np.nan_to_num(ad.tensor(z), **more).data, np.nan_to_num(z, **more))
    with np.errstate(invalid="ignore"):
        moved = (np.nan_to_num(z + 1e-3 * (1 + 2j)) - np.nan_to_num(z)) / 1e-3
    _, found = ad.jvp(np.nan_to_num, (z,), (np.full(3, 1 + 2j),))
    np.testing.assert_allclose(found, moved, rtol=1e-9)


REFUSED = {
    "reshape": (lambda x: np.reshape(x, (3.0, 7)), TypeError),
    "tensordot": (lambda x: np.tensordot(x, X, axes=([2], [0])), IndexError),
    "linalg.outer": (lambda x: np.linalg.outer(x, x), ValueError),
    "linspace": (lambda x: np.linspace(x, 1.0, -1), ValueError),
    "einsum": (lambda x: np.einsum(x, [-1, 0]), ValueError),
    "gradient": (lambda x: np.gradient(x[:, :3], np.arange(3.0)), (TypeError, ValueError)),
    "qr": (lambda x: np.linalg.qr(x[0]), np.linalg.LinAlgError),
    "hfft": (lambda x: np.fft.hfft(x, norm="full"), ValueError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_numpy_refuses_is_refused(name):
    f, kind = REFUSED[name]
    for x in (X, ad.tensor(X)):
        with pytest.raises(kind):
            f(x)


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="np.reshape takes copy= since NumPy 2.1")
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_reshape_is_a_copy_or_none_as_asked(order, turned):
    for take in (np.reshape, lambda x, *shape, **more: x.reshape(*shape, **more)):
        for copy in (None, True, False):
            found = []
            for of in (np.array, ad.tensor):
                x = of(X.T if turned else X)
                x = x.T if turned else x
                try:
                    y = take(x, (21,), order=order, copy=copy)
                except ValueError:
                    found.append("refused")
                    continue
                y[0] = 9.0
                found.append(np.array(x).tolist())
            assert found[0] == found[1]
