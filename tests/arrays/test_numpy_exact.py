"""NumPy's own value on unusual arguments, and whatever has a value pulls back or is refused by name."""

import itertools
import re
import warnings

import numpy as np
import pytest

import autodiff as ad
from autodiff import dispatch
from autodiff.testing import check_gradients
from nn import functional as F

rng = np.random.default_rng(5)
SHAPES = [(), (1,), (0,), (4,), (2, 3), (1, 3), (3, 1), (0, 3), (3, 0), (2, 1, 3), (3, 3)]
REDUCTIONS = "sum mean prod max min var std ptp nansum nanmean nanprod nanmax nanmin nanvar nanstd all any".split()
ALONG = "cumsum cumprod sort diff flip cumulative_sum cumulative_prod argsort".split()
WHOLE = """ravel squeeze transpose flipud fliplr rot90 tril triu diagonal diag trace nan_to_num unwrap gradient ediff1d
outer inner dot vdot kron cross cov corrcoef convolve correlate trapezoid atleast_1d atleast_2d atleast_3d average
interp vander polyval roll repeat tile clip maximum hypot where""".split()
LINALG = """norm det inv pinv slogdet cholesky eigvalsh svdvals matrix_power cond matrix_norm vector_norm multi_dot
tensorinv""".split()


def laid_out(shape):
    """One array in four layouts: as made, reversed, every second element of a larger one, in Fortran's order."""
    x = rng.normal(size=shape)
    yield x
    if shape:
        yield x[tuple(slice(None, None, -1) for _ in shape)]
        wide = np.zeros(tuple(2 * n for n in shape))
        wide[tuple(slice(None, None, 2) for _ in shape)] = x
        yield wide[tuple(slice(None, None, 2) for _ in shape)]
        yield np.asfortranarray(x)


def parts(result):
    return [p for p in (result if isinstance(result, (tuple, list)) else (result,)) if p is not None]


def named(refusal):
    assert len(str(refusal)) > 10


def same(call, x, near=1e-12):
    """``call`` of a tensor is ``call`` of the array, in value, shape and dtype; it pulls back, or is refused."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            truth = parts(call(x))
        except Exception as error:
            with pytest.raises((type(error), ad.AutodiffError, ValueError, TypeError, IndexError)):
                call(ad.tensor(x, requires_grad=True))
            return
        t = ad.tensor(x, requires_grad=True)
        try:
            found = parts(call(t))
        except ad.AutodiffError as refusal:
            named(refusal)
            return
        for ours, numpys in zip(found, truth, strict=True):
            value = np.asarray(getattr(ours, "data", ours))
            assert value.shape == np.shape(numpys), (value.shape, np.shape(numpys))
            assert value.dtype == np.asarray(numpys).dtype
            np.testing.assert_allclose(value, numpys, rtol=near, atol=near)
        tracked = [p for p in found if getattr(p, "requires_grad", False) and p.dtype.kind == "f"]
        if not tracked:
            return
        try:
            g = ad.gradients(tracked, t, [np.ones(p.shape) for p in tracked], allow_unused=True)
        except (ad.AutodiffError, np.linalg.LinAlgError) as refusal:
            named(refusal)
            return
        assert g is None or g.shape == x.shape


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name):
    f = getattr(np, name)
    for shape in SHAPES:
        for x in laid_out(shape):
            axes = [None, 0, -1, 1, (0,), (0, 1), (-1, 0), ()]
            for axis, keepdims in itertools.product(axes, (False, True)):
                same(lambda a: f(a, axis=axis, keepdims=keepdims), x)  # noqa: B023


def test_medians_of_nothing():
    for shape in ((0,), (0, 3)):
        same(np.median, rng.normal(size=shape))
        same(lambda a: np.median(a, axis=0), rng.normal(size=shape))


@pytest.mark.parametrize("name", ALONG)
def test_along_an_axis(name):
    f = getattr(np, name)
    for shape in SHAPES:
        for x in laid_out(shape):
            for axis in (None, 0, -1, 1, -2):
                same(lambda a: f(a, axis=axis), x)  # noqa: B023


SECOND = {"outer", "inner", "dot", "vdot", "kron", "cross", "convolve", "correlate", "maximum", "hypot", "polyval"}
MORE = {"roll": (1,), "repeat": (2,), "tile": ((2, 1),), "clip": (-0.5, 0.5), "rot90": (3,)}


@pytest.mark.parametrize("name", WHOLE)
def test_functions_of_whole_arrays(name):
    f = getattr(np, name)
    for shape in SHAPES:
        for x in laid_out(shape):
            if name == "where":
                same(lambda a: np.where(np.isfinite(x), a, 0.0), x)  # noqa: B023
            elif name == "interp":
                same(lambda a: np.interp(a, [0.0, 1.0], [2.0, 3.0]), x)
            elif name in SECOND:
                same(lambda a: f(a, x), x)  # noqa: B023
            else:
                same(lambda a: f(a, *MORE.get(name, ())), x)


@pytest.mark.parametrize("name", LINALG)
def test_linear_algebra(name):
    f = getattr(np.linalg, name)
    for shape in [*SHAPES, (1, 1), (0, 0), (2, 3, 3), (0, 2, 2)]:
        for x in laid_out(shape):
            if name == "matrix_power":
                for n in (-1, 0, 1, 3):
                    same(lambda a: f(a, n), x)  # noqa: B023
            elif name == "multi_dot":
                same(lambda a: f([a, x, a]), x)  # noqa: B023
            elif name == "norm":
                for order, axis in itertools.product((None, 1, 2, np.inf, "fro", "nuc", 0, -2), (None, 0, -1, (0, 1))):
                    same(lambda a: f(a, order, axis), x)  # noqa: B023
            else:
                same(f, x)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,ij->", [(2, 3), (1, 3)]),
        ("ij,ij->", [(1, 3), (2, 3)]),
        ("ij,jk->ik", [(2, 1), (3, 4)]),
        ("ij->j", [(0, 3)]),
        ("ij->i", [(0, 3)]),
        ("ij,j", [(0, 3), (3,)]),
        ("...i,...i", [(2, 1, 3), (1, 4, 3)]),
        ("ii->i", [(1, 1)]),
        ("ij,jk,k", [(2, 3), (1, 4), (1,)]),
        (",", [(), ()]),
        ("ii,ij->j", [(1, 1), (3, 2)]),
        ("iji,jj->", [(2, 1, 2), (3, 3)]),
    ],
)
def test_einsum_with_extents_of_one_and_zero(subscripts, shapes):
    arrays = [rng.normal(size=shape) for shape in shapes]
    for place, x in enumerate(arrays):
        same(lambda a: np.einsum(subscripts, *arrays[:place], a, *arrays[place + 1 :]), x)  # noqa: B023
        total = ad.grad(lambda a: np.sum(np.einsum(subscripts, *arrays[:place], a, *arrays[place + 1 :])))(x)  # noqa: B023
        for index in list(np.ndindex(x.shape))[:4]:
            step = np.zeros(x.shape)
            step[index] = 1.0
            rise = [np.sum(np.einsum(subscripts, *arrays[:place], x + s * step, *arrays[place + 1 :])) for s in (1, -1)]
            np.testing.assert_allclose(total[index], (rise[0] - rise[1]) / 2, atol=1e-12)


def test_an_ellipsis_that_the_output_leaves_out_is_refused_as_in_numpy():
    for call in (lambda a: np.einsum("...->", a), lambda a: np.einsum("...i->i", a)):
        for x in (np.ones((2, 3)), ad.tensor(np.ones((2, 3)), requires_grad=True)):
            with pytest.raises(ValueError, match=r"ellipsis|\.\.\."):
                call(x)


@pytest.mark.parametrize(("axis", "shape"), [((0, 1), (2, 3)), ((2, 0), (4, 2)), (-1, (4,)), ((1,), (3,))])
def test_averages_with_the_weights_of_several_axes(axis, shape):
    x, w = rng.normal(size=(2, 3, 4)), rng.uniform(0.5, 1.0, shape)
    same(lambda a: np.average(a, axis=axis, weights=w), x)
    same(lambda a: np.average(x, axis=axis, weights=a), w)
    assert np.average(ad.tensor(x.astype("f4")), axis=axis, weights=w.astype("f4")).dtype == np.float32


@pytest.mark.parametrize(
    "options", [{"fweights": [1, 2, 1]}, {"aweights": [0.5, 1.0, 2.0]}, {"ddof": 0}, {"bias": True}]
)
def test_weighted_covariances(options):
    x = rng.normal(size=(2, 3))
    for extra in ({}, {"y": rng.normal(size=3)}, {"dtype": np.float32}):
        same(lambda a: np.cov(a, **options, **extra), x, 1e-6 if "dtype" in extra else 1e-12)  # noqa: B023
    same(lambda a: np.cov(a, fweights=[1, 2, 1], aweights=[0.5, 1.0, 2.0], ddof=0), x)
    g = ad.grad(lambda a: np.sum(np.cov(a, **options) * [[1.0, 2.0], [3.0, 4.0]]))(x)
    step = np.zeros(x.shape)
    step[0, 1] = 1e-6
    rise = [np.sum(np.cov(x + s * step, **options) * [[1.0, 2.0], [3.0, 4.0]]) for s in (1, -1)]
    np.testing.assert_allclose(g[0, 1], (rise[0] - rise[1]) / 2e-6, rtol=1e-7)


@pytest.mark.parametrize("function", [np.cov, np.corrcoef])
@pytest.mark.parametrize("wanted", [None, np.float32, np.float64])
def test_covariances_have_numpys_dtype_and_gradients_the_inputs(function, wanted):
    for kind in (np.float32, np.float64):
        x = rng.normal(size=(2, 5)).astype(kind)
        t = ad.tensor(x, requires_grad=True)
        found, truth = function(t, dtype=wanted), function(x, dtype=wanted)
        assert found.dtype == truth.dtype
        np.testing.assert_allclose(found.data, truth, rtol=8 * np.finfo(truth.dtype).eps)
        found.sum().backward()
        assert t.grad.dtype == kind


def test_weighted_quantiles():
    x, w = rng.normal(size=(3, 4)), np.array([1.0, 5.0, 1.0, 2.0])
    for q, axis, keepdims in itertools.product((0.5, [0.2, 0.9]), (None, 1, -1), (False, True)):
        weights = np.broadcast_to(w, x.shape) if axis is None else w
        same(
            lambda a: np.quantile(a, q, axis=axis, method="inverted_cdf", weights=weights, keepdims=keepdims),  # noqa: B023
            x,
        )


def test_writing_in_corners():
    y, t = ad.tensor([[1.0, 2.0]], requires_grad=True), ad.tensor([5.0, 6.0], requires_grad=True) * 1
    t[...] = y
    t.sum().backward()
    assert np.array_equal(y.grad, [[1.0, 1.0]])

    def f(x):
        z = x.reshape((1,))
        z += 5.0
        return np.sum(z)

    assert ad.grad(f)(np.array(3.0)) == 1.0
    with pytest.raises(ValueError, match="read-only"):
        np.diagonal(ad.tensor(np.ones((2, 2)), requires_grad=True) * 1)[...] = 0.0
    assert ad.tensor(np.ones(3, np.float32)).at[np.array([0])].add(np.ones(1)).dtype == np.float32
    for function in (F.softmax, F.log_softmax):
        assert function(ad.tensor(np.ones((2, 0)), requires_grad=True), dim=1).shape == (2, 0)


@pytest.mark.parametrize(
    "function", sorted(dispatch.constant_functions, key=lambda f: f.__name__), ids=lambda f: f.__name__
)
def test_what_counts_as_constant_has_no_slope(function):
    if function is np.empty_like:
        return
    first, second = [[rng.uniform(0.2, 0.8, shape) for shape in ((5,), (3, 3))] for _ in range(2)]
    points = [[a] for a in first], [[a, b] for a in (*first, np.zeros(5)) for b in second]
    for args in itertools.chain(*points):
        for place in range(len(args)):
            moved = [a + 1e-9 * (i == place) for i, a in enumerate(args)]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    ends = parts(function(*args)), parts(function(*moved))
                except Exception:  # NumPy refuses these arguments
                    continue
            if args[place].any():  # not at the jump
                for a, b in zip(*ends, strict=True):
                    assert np.asarray(a).dtype.kind not in "fc" or np.array_equal(a, b, equal_nan=True)


@pytest.mark.filterwarnings("ignore:Casting complex values")
@pytest.mark.parametrize("casting", [None, "no", "equiv", "safe", "same_kind", "unsafe"])
@pytest.mark.parametrize("dtype", [None, np.float32, np.complex128, int])
def test_casting_is_numpys(casting, dtype):
    given = {k: v for k, v in (("casting", casting), ("dtype", dtype)) if v is not None}
    for f in (
        lambda x: np.add(x, 2.5, **given),
        lambda x: np.add(x, np.float32(2.5), **given),
        lambda x: np.multiply(x * (1 + 1j), x, **given),
        lambda x: np.matmul(x, x, **given),
        lambda x: np.sqrt(x, **given),
    ):
        same(f, np.array([1.0, 2.0]))
        try:
            f(np.array([1.0, 2.0]))
        except TypeError as refusal:
            with pytest.raises(TypeError, match=re.escape(str(refusal))):
                f(ad.tensor([1.0, 2.0], requires_grad=True))


def test_inputs_are_broadcast_to_out():
    x, out = ad.tensor([1.0, 2.0], requires_grad=True), ad.tensor(np.zeros((3, 2)))
    np.multiply(x, x, out=out)
    out.sum().backward()
    np.testing.assert_array_equal(out.data, [[1.0, 4.0]] * 3)
    np.testing.assert_array_equal(x.grad, [6.0, 12.0])
    with pytest.raises(ad.ShapeError, match=r"np\.multiply"):
        np.multiply(x, x, out=ad.tensor(np.zeros((2, 3))))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.diff(x, n=0, prepend=5.0),
        lambda x: np.cumulative_sum(x[0]),
        lambda x: np.cumulative_prod(x[0], include_initial=True),
        lambda x: np.linalg.norm(x[None, :0], 2),
        lambda x: np.linalg.norm(x[:0, None], 1),
        lambda x: np.linalg.norm(x[:0], np.inf),
        lambda x: np.linalg.norm(x[:0].reshape(2, 0), np.inf),
        lambda x: np.linalg.tensorsolve(x[:0].reshape(0, 0), x[:0]),
        lambda x: np.vander(x.astype(np.float32)),
        lambda x: np.nanquantile(x[:0], [0.1, 0.4], keepdims=True),
    ],
)
def test_corners_of_numbers_and_of_nothing(f):
    x = np.array([1.0, 2.0])
    found = f(ad.tensor(x, requires_grad=True))
    np.testing.assert_array_equal(found.data, f(x))
    assert ad.grad(lambda t: np.sum(f(t)))(x).shape == x.shape


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.average(x, weights=[1.0, -1.0]),
        lambda x: np.average(x[:0], weights=[]),
        lambda x: np.average(x[None], axis=0, weights=np.zeros((1, 2))),
        lambda x: np.take_along_axis(x, np.zeros((2, 1), int), None),
    ],
)
def test_what_numpy_refuses_is_refused_with_its_class(f):
    with pytest.raises(Exception) as numpys:
        f(np.ones(2))
    with pytest.raises(numpys.type):
        f(ad.tensor(np.ones(2), requires_grad=True))


def test_widths_of_other_axes_are_no_padding():
    with pytest.raises(ad.ShapeError, match="2 pairs of widths for an array of 1 axes"):
        ad.registry["pad"].function(ad.tensor(np.ones(2)), ((1, 1), (2, 2)))


TWO_BY_TWO = "add subtract multiply divide hypot maximum fmin logaddexp logaddexp2".split()
METHODS = {
    "reduce": lambda u, x: u.reduce(x, axis=1),
    "reduce kept": lambda u, x: u.reduce(x, 0, None, None, True, 1.7),
    "accumulate": lambda u, x: u.accumulate(x, axis=-1),
    "reduceat": lambda u, x: u.reduceat(x, [0, 3, 1, 1], axis=1),
    "reduceat rows": lambda u, x: u.reduceat(x, [2, 0]),
    "reduceat nowhere": lambda u, x: u.reduceat(x, []),
}


@pytest.mark.parametrize("name", TWO_BY_TWO)
@pytest.mark.parametrize("method", METHODS)
def test_methods_of_ufuncs(name, method):
    def f(x):
        return METHODS[method](getattr(np, name), x)

    x = np.random.default_rng(5).normal(size=(3, 4)) + 2.5
    same(f, x)
    same(f, x.astype(np.float32), 1e-6)
    check_gradients(f, x, order=2)


@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2", "hypot"])
def test_reductions_leave_out(name):
    def f(x):
        return getattr(np, name).reduce(x, axis=1, where=[[True, False, True]], initial=0.5)

    x = np.random.default_rng(5).normal(size=(2, 3))
    same(f, x)
    same(lambda x: getattr(np, name).reduce(x[:0], axis=1, initial=0.5), x)
    check_gradients(f, x, order=2)


@pytest.mark.parametrize("wrong", [lambda x: np.subtract.reduce(x, axis=(0, 1)), lambda x: np.add.reduceat(x, [7])])
def test_numpy_tells_what_a_method_cannot_do(wrong):
    for x in (np.ones((2, 3)), ad.tensor(np.ones((2, 3)))):
        with pytest.raises((ValueError, IndexError)):
            wrong(x)


QUANTILES = """inverted_cdf averaged_inverted_cdf closest_observation interpolated_inverted_cdf hazen weibull linear
median_unbiased normal_unbiased lower higher midpoint nearest""".split()


@pytest.mark.parametrize("method", QUANTILES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint8])
def test_quantiles_of_every_dtype(method, dtype):
    x = np.array([[3, 1, 2, 7], [5, 2, 2, 1]], dtype)
    for q in (0.3, 1.0, [0.2, 0.7], np.float64(0.3), np.float32(0.5)):
        for function in (np.quantile, np.nanquantile, np.percentile):
            found, right = (function(t, q, axis=1, method=method) for t in (ad.tensor(x), x))
            assert found.dtype == right.dtype
            np.testing.assert_allclose(found.data, right, rtol=2e-3 if dtype == np.float16 else 1e-6)
    for function in (np.median, np.nanmedian):
        np.testing.assert_array_equal(function(ad.tensor(x), axis=0).data, function(x, axis=0))


def test_what_is_put_in_takes_the_dtype_of_the_array():
    x = np.arange(4, dtype=np.float32)
    for f in (lambda x: np.insert(x, slice(0, 2), [7.0, 8.0]), lambda x: np.ediff1d(x, [1.0], np.ones(2))):
        assert f(ad.tensor(x)).dtype == f(x).dtype == np.float32
    np.testing.assert_array_equal(np.insert(ad.tensor(np.arange(3)), 1, 2.7).data, np.insert(np.arange(3), 1, 2.7))
    for y in (np.arange(3), ad.tensor(np.arange(3))):
        with pytest.raises(TypeError, match="to_end"):
            np.ediff1d(y, to_end=0.5)


UNEVEN = np.array([0.0, 0.3, 1.0, 1.2])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_, np.complex64])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("steps", [(), (2,), (0.5, np.arange(4.0)), (1.0, UNEVEN), (np.arange(3) ** 2, 3)])
def test_gradients_of_samples(steps, order, dtype):
    x = (np.random.default_rng(5).normal(size=(3, 4)) * 3 + 4).astype(dtype)
    near = {np.float16: 1e-2, np.float32: 1e-5, np.complex64: 1e-5}.get(dtype, 1e-12)
    if x.dtype.kind not in "iu":
        same(lambda x: np.gradient(x, *steps, edge_order=order), x, near)
    else:
        for found, right in zip(np.gradient(ad.tensor(x), *steps), np.gradient(x, *steps), strict=True):
            assert found.dtype == right.dtype
            np.testing.assert_allclose(found.data, right)
    if dtype == np.float64:
        check_gradients(lambda x: np.stack(np.gradient(x, *steps, edge_order=order)), x)
        x[1, 2] = np.inf
        for found, right in zip(np.gradient(ad.tensor(x), *steps), np.gradient(x, *steps), strict=True):
            np.testing.assert_allclose(found.data, right)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int8])
def test_gradients_at_places_that_are_small_integers(dtype):
    places, x = np.array([1, 3, 4, 9, 100], dtype), np.array([1.0, 4.0, 2.0, 8.0, 5.0])
    for order in (1, 2):
        same(lambda x: np.gradient(x, places, edge_order=order), x)  # noqa: B023
        found = np.gradient(x, ad.tensor(places), edge_order=order)
        np.testing.assert_allclose(getattr(found, "data", found), np.gradient(x, places, edge_order=order))


WHOLE_NUMBERS = {
    "interp": lambda x: np.interp([0, 2], [0, 1, 4], x[:3]),
    "bincount": lambda x: np.bincount([0, 0, 1, 1], weights=x),
    "polyval": lambda x: np.polyval([1, 2, 3], x),
    "piecewise": lambda x: np.piecewise(x, [x > 1], [lambda part: part * 0.6, 0]),
    "pad": lambda x: np.pad(x, 2, mode="linear_ramp", end_values=7),
    "diag": np.diag,
    "tril": lambda x: np.tril(x[None]),
    "logaddexp": lambda x: np.logaddexp.reduce(x),
    "hypot": lambda x: np.hypot.reduce(x, initial=2.5),
    "sum": lambda x: np.sum(x, initial=2.5),
    "prod": lambda x: np.prod(x, initial=np.float64(2.5)),
    "max": lambda x: np.max(x, initial=2.5, where=x < 3),
    "nanmin": lambda x: np.nanmin(x, initial=1.5),
    **{name: getattr(np, name) for name in "nansum nanprod nanmax nanmin nancumsum nancumprod nanmean median".split()},
}


@pytest.mark.parametrize("name", WHOLE_NUMBERS)
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32])
def test_whole_numbers_go_the_way_of_numpy(name, dtype):
    f = WHOLE_NUMBERS[name]
    x = np.array([3, 1, 0, 2], dtype)
    found, right = f(ad.tensor(x)), f(x)
    assert found.dtype == right.dtype
    rtol = {2: 1e-3, 4: 1e-6}.get(right.dtype.itemsize, 1e-12)
    np.testing.assert_allclose(found.data, right, rtol=rtol)


def test_between_infinite_values():
    """``np.interp`` of points at the node itself, and between equal infinities."""
    for values in ([np.inf, 1.0, -np.inf, 2.0], [np.inf, np.inf, 0.0, np.nan]):
        f = lambda fp: np.interp([0.0, 0.5, 1.0, 1.5, 2.0, 3.0], np.arange(4.0), fp)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(f(ad.tensor(values)).data, f(np.array(values)))


@pytest.mark.parametrize("f", [np.median, np.nanmedian])
def test_medians_beside_infinite_values(f):
    """The mean of the two in the middle, or one, whatever stands beside them."""
    for x in (
        [1.0, 2.0, np.inf],
        [-np.inf, 1.0, 4.0, np.inf],
        [0.0, np.inf, np.inf, np.inf],
        [-np.inf] * 3,
        [True, False],
    ):
        assert f(ad.tensor(x)).item() == f(x)
    assert ad.grad(lambda x: f(x))(np.array([1.0, np.inf, 2.0, 5.0])).tolist() == [0.0, 0.0, 0.5, 0.5]
    np.testing.assert_array_equal(np.diff(ad.tensor([True, False, False])).data, [True, False])


def test_vmap_does_at_once_what_asks_for_a_dtype_alone():
    for f in (
        lambda x: np.clip(x, 0, None, dtype=np.float32),
        lambda x: np.hypot.accumulate(x),
        lambda x: np.add(x, 1, dtype=np.float32),
        lambda x: ad.full_like(x, x[0]),
    ):
        mapped = ad.vmap(f)
        rows = rng.normal(size=(2, 3))
        np.testing.assert_array_equal(mapped(rows), [np.asarray(f(ad.tensor(row)).data) for row in rows])
        assert mapped.looped == []
