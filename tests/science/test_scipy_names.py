"""SciPy's functions under SciPy's names: values, shapes and dtypes as SciPy's own on unusual arguments, and gradients
against differences.
"""

import itertools

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ArgumentError, AutodiffError, DTypeError, NotDifferentiableError, ShapeError
from autodiff.testing import check_gradients

pytest.importorskip("scipy", minversion="1.17", reason="older ones warn, and take fewer arguments and dtypes")
import scipy.fft
import scipy.integrate
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.special

from autodiff import integrate, ndimage

rng = np.random.default_rng(0)
MODES = "reflect grid-mirror constant grid-constant nearest mirror grid-wrap wrap".split()


def same(name, *args, **kwargs):
    """One call of both, compared."""
    room, _, function = name.partition(".")
    ours = getattr(getattr(ad, room), function)(*args, **kwargs)
    theirs = getattr(getattr(scipy, room), function)(*args, **kwargs)
    pairs = zip(ours, theirs, strict=True) if isinstance(theirs, tuple) else [(ours, theirs)]
    for got, right in pairs:
        if isinstance(right, bool):
            assert got == right
            continue
        got, right = got.data, np.asarray(right)
        assert got.shape == right.shape
        assert got.dtype == right.dtype
        tolerance = 1e-4 if right.dtype.char in "fF" else 1e-9
        np.testing.assert_allclose(got, right, rtol=tolerance, atol=tolerance, err_msg=f"{name} {kwargs}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(7,), (4, 5), (1, 3)], ids=str)
def test_ndimage(mode, shape):
    x, n = rng.normal(size=shape), len(shape)
    more = {"mode": mode, "cval": 1.5}
    places = np.concatenate([rng.uniform(-14, 20, size=(n, 9)), rng.integers(-9, 16, size=(n, 9)) / 2.0], axis=1)
    for order, prefilter in itertools.product(range(6), (True, False)):
        same("ndimage.map_coordinates", x, places, order=order, prefilter=prefilter, **more)
    same("ndimage.gaussian_filter", x, 1.3, **more)
    same("ndimage.gaussian_filter", x.astype(np.float32), [1.3] * n, order=2, **more)
    same("ndimage.gaussian_filter", x, 1.0, axes=n - 1, radius=2)
    same("ndimage.uniform_filter", x, 4, origin=-1, **more)
    for width in (2, 3):
        same("ndimage.convolve", x, rng.normal(size=(width,) * n), **more)
        same("ndimage.correlate", x, rng.normal(size=(width,) * n), origin=-1, **more)
    for name in ("sobel", "prewitt", "laplace"):
        same(f"ndimage.{name}", x, mode=mode)
    for name in ("gaussian_laplace", "gaussian_gradient_magnitude"):
        same(f"ndimage.{name}", x, 1.2, mode=mode)
    same("ndimage.affine_transform", x, np.eye(n) * 0.8 + 0.1, 0.3, **more)
    same("ndimage.shift", x, 1.3, **more)


@pytest.mark.parametrize("mode", ["reflect", "constant", "wrap"])
def test_ranks_and_regions(mode):
    x = rng.normal(size=(4, 5))
    for (
        name
    ) in "maximum_filter minimum_filter median_filter grey_erosion grey_dilation grey_opening grey_closing".split():
        for size in (3, (2, 3)):
            same(f"ndimage.{name}", x, size, mode=mode)
        same(f"ndimage.{name}", x, footprint=np.array([[0, 1, 0], [1, 1, 0], [0, 0, 1]]), mode=mode)
    for name in "white_tophat black_tophat morphological_gradient morphological_laplace".split():
        same(f"ndimage.{name}", x, 3, mode=mode)
    labels = rng.integers(0, 3, size=(4, 5))
    for name in "sum_labels mean variance standard_deviation maximum minimum median".split():
        for more in ({}, {"labels": labels}, {"labels": labels, "index": [2, 1]}):
            got, right = getattr(ndimage, name)(x, **more), getattr(scipy.ndimage, name)(x, **more)
            np.testing.assert_allclose(got.data, right)
        check_gradients(lambda x, n=name: getattr(ndimage, n)(x, labels, [1, 2]), x, order=1)
    for name in ("maximum_filter1d", "minimum_filter1d"):
        same(f"ndimage.{name}", x, 3, axis=0, mode=mode, origin=1)
    for more in ({}, {"labels": labels, "index": [2, 1]}):
        got, right = ndimage.center_of_mass(x, **more), scipy.ndimage.center_of_mass(x, **more)
        np.testing.assert_allclose(
            np.array([[float(c) for c in np.atleast_1d(p)] for p in got]),
            np.reshape(right, (-1, 2)) if more else np.reshape(right, (2, 1)),
        )
    same("signal.medfilt", x, [3, 1])
    same("signal.medfilt2d", x)
    same("signal.order_filter", x, np.ones((3, 1)), 1)
    same("signal.zpk2tf", [0.3, 0.4], [0.1], 2.0)
    same("signal.zpk2tf", [0.3 + 1j, 0.3 - 1j], [0.1], 2.0)
    same("signal.lfilter_zi", [1.0, 2.0, 3.0], [1.0, 0.5])
    same("signal.sos2tf", scipy.signal.butter(4, 0.2, output="sos"))
    check_gradients(lambda x: ndimage.grey_opening(x, 3, mode=mode), x, order=1)


@pytest.mark.parametrize("kind", ["butter", "cheby1", "cheby2", "ellip", "bessel"])
@pytest.mark.parametrize("band", ["low", "high", "bandpass", "bandstop"])
def test_filters_are_designed_as_scipys_are_and_differentiable_in_their_edges(kind, band):
    edges = np.array([0.2, 0.45]) if "band" in band else np.array(0.3)
    for order, analog, output, rate in ((1, False, "ba", None), (4, True, "zpk", None), (5, False, "sos", 100.0)):
        wanted = {"btype": band, "analog": analog, "output": output, "fs": rate}
        same("signal.iirfilter", order, edges * (1 if rate is None else rate / 2), 1.0, 30.0, ftype=kind, **wanted)
    ripples = {"cheby1": (1.0,), "cheby2": (30.0,), "ellip": (1.0, 30.0)}.get(kind, ())
    same(f"signal.{kind}", 3, *ripples, edges, band)

    def sections(w):
        return getattr(ad.signal, kind)(3, *ripples, w, band, output="sos")

    check_gradients(sections, edges)
    check_gradients(lambda w: np.real(getattr(ad.signal, kind)(3, *ripples, w, band, output="zpk")[1]), edges, order=1)


def test_resonances_are_differentiable_in_frequency_and_quality():
    for name, ours in (("iirnotch", ad.signal.iirnotch), ("iirpeak", ad.signal.iirpeak)):
        same(f"signal.{name}", 0.3, 30.0)
        same(f"signal.{name}", 60.0, 5.0, 200.0)
        check_gradients(lambda w, q, f=ours: np.concatenate(f(w, q)), np.array(0.3), np.array(4.0))


def test_a_design_that_cannot_be_is_refused_by_name():
    for call in (
        lambda: ad.signal.butter(2, [0.2, 0.3]),
        lambda: ad.signal.butter(2, 1.5),
        lambda: ad.signal.butter(2, 0.3, btype="sideways"),
        lambda: ad.signal.butter(2, 0.3, analog=True, output="sos"),
    ):
        with pytest.raises(ad.ArgumentError, match="iirfilter"):
            call()
    with pytest.raises(ad.NotDifferentiableError, match="rp"):
        ad.signal.cheby1(2, ad.tensor(1.0, requires_grad=True), 0.3)


def test_ndimage_of_other_kinds():
    whole = np.arange(12).reshape(3, 4)
    same("ndimage.uniform_filter", whole)
    same("ndimage.gaussian_filter", whole, 1.0)
    same("ndimage.gaussian_filter", whole * 1j, 1.0)
    same("ndimage.gaussian_filter", np.ones((0, 3)), 1.0)
    for name in ("convolve1d", "correlate1d"):
        same(f"ndimage.{name}", whole * 1.0, np.array([1j, 2, 3]))
    same("ndimage.convolve", whole * 1.0, rng.normal(size=(2, 3)), axes=(1, 0))
    same("ndimage.spline_filter", whole * 1.0, order=4, mode="reflect")
    for call in (
        lambda: ndimage.correlate1d(np.ones(3), [1.0, 2.0], origin=3),
        lambda: ndimage.median_filter(np.ones(5), 3, origin=2),
        lambda: ndimage.gaussian_filter(np.ones(3), 1.0, mode="mirrored"),
        lambda: ndimage.map_coordinates(np.ones((3, 3)), np.ones((1, 4))),
        lambda: ndimage.gaussian_filter(np.ones(3), 1.0, output=np.ones(3)),
        lambda: ndimage.uniform_filter(np.ones(3), size=0, axes=(0, 0)),
    ):
        with pytest.raises(AutodiffError):
            call()
    with pytest.raises(NotDifferentiableError, match="cval"):
        ndimage.map_coordinates(np.ones(3), [[4.0]], mode="constant", cval=ad.tensor(1.0, requires_grad=True))


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8])
def test_interpolated_whole_numbers_are_rounded_as_scipys(kind):
    x, places = np.arange(12).reshape(3, 4).astype(kind), np.random.default_rng(0).uniform(0, 2, (2, 30))
    theirs = scipy.ndimage
    for order in range(6):
        for given, output in ((x, None), (x * 1.0, kind), (x * 1.0 - 5.0, kind)):
            right = theirs.map_coordinates(given, places, order=order, output=output)
            got = ndimage.map_coordinates(given, places, order=order, output=output)
            assert got.dtype == right.dtype
            np.testing.assert_array_equal(got.data, right)
    for name in ("maximum_filter", "median_filter", "grey_opening"):
        assert getattr(ndimage, name)(np.zeros((0, 3)), size=3).shape == (0, 3)
        with pytest.raises(DTypeError, match="real"):
            getattr(ndimage, name)(x * 1j, size=3)


def test_fft():
    x = rng.normal(size=(3, 4))
    for name in "fft ifft rfft irfft hfft ihfft fftn rfftn irfftn fft2 irfft2 hfft2 ihfft2 hfftn ihfftn".split():
        for norm in (None, "ortho", "forward"):
            same(f"fft.{name}", x, norm=norm, workers=1)
        if name[-1] in "2n":
            same(f"fft.{name}", x, s=(2, 5))
    for name, kind, norm, whole in itertools.product(
        ("dct", "idct", "dst", "idst"), (1, 2, 3, 4), (None, "ortho", "forward"), (None, True, False)
    ):
        more = {"type": kind, "norm": norm, "orthogonalize": whole}
        same(f"fft.{name}", x, n=6, axis=0, **more)
        same(f"fft.{name}", x.astype(np.float32), n=2, **more)
        same(f"fft.{name}n", np.arange(12).reshape(3, 4), s=(5, 3), axes=(1, 0), **more)
        f, g = getattr(ad.fft, name), np.arange(5.0)
        matrix = f(np.eye(5), axis=0, **more).data
        got = ad.grad(lambda t, f=f, g=g, more=more: np.sum(f(t, **more) * g))(np.ones(5))
        np.testing.assert_allclose(got, matrix.T @ g, atol=1e-12)
        _, got = ad.jvp(lambda t, f=f, more=more: f(t, **more), (np.ones(5),), (g,))
        np.testing.assert_allclose(np.asarray(got), matrix @ g, atol=1e-12)


SHAPES = [
    ((5,), (3,)), ((3,), (5,)), ((4,), (4,)), ((4, 3), (2, 2)), ((2, 3), (3, 4)), ((4, 2), (2, 3)), ((1,), (1,)),
    ((), ()),
]  # fmt: skip


@pytest.mark.parametrize("dtype", "dfDl")
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolutions(mode, dtype):
    for first, second in SHAPES:
        a, b = ((rng.normal(size=s) * 4 + (1j if dtype == "D" else 0)).astype(dtype) for s in (first, second))
        fits = all(n >= m for n, m in zip(first, second, strict=True))
        if mode == "valid" and not fits and not all(n <= m for n, m in zip(first, second, strict=True)):
            with pytest.raises(ShapeError, match="neither"):
                ad.signal.convolve(a, b, mode)
            continue
        for name, method in itertools.product(("convolve", "correlate"), ("auto", "direct", "fft")):
            same(f"signal.{name}", a, b, mode=mode, method=method)
        same("signal.fftconvolve", a, b, mode=mode)
        if a.ndim == 2:
            same("signal.fftconvolve", a, b[:1], mode=mode, axes=1)
            for boundary in ("fill", "wrap", "symm"):
                same("signal.convolve2d", a, b, mode=mode, boundary=boundary)
                same("signal.correlate2d", a, b, mode=mode, boundary=boundary)
    same("signal.fftconvolve", np.ones((5, 1)), np.ones((1, 4)), mode=mode)


@pytest.mark.parametrize(
    ("b", "a"), [([1.0, 2, 3], [2.0, 0.5]), ([1.0], [1.0, -0.5, 0.2, 0.1]), ([0.5, 0.5], [1.0]), ([2.0], [4.0])]
)
def test_filters(b, a):
    order = max(len(a), len(b)) - 1
    for n in (1, 2, 6, 40):
        x = rng.normal(size=(2, n))
        same("signal.lfilter", b, a, x)
        same("signal.lfilter", b, a, x, axis=0)
        same("signal.lfilter", b, a, x, zi=rng.normal(size=(2, order)))
        same("signal.lfilter", *(np.array(part, np.float32) for part in (b, a, x)))
        for padding in ("odd", "even", "constant", None) if n == 40 and order else ():
            same("signal.filtfilt", b, a, x, padtype=padding)
    x, z = rng.normal(size=(1, 4)), rng.normal(size=(1, order))
    check_gradients(lambda b, a, x: ad.signal.lfilter(b, a, x), np.array(b), np.array(a), x)
    check_gradients(lambda *p: ad.signal.lfilter(*p[:3], zi=p[3])[0], np.array(b), np.array(a), x, z)
    if order:
        check_gradients(lambda *p: ad.signal.lfilter(*p[:3], zi=p[3])[1], np.array(b), np.array(a), x, z)
    with pytest.raises(ArgumentError, match=r"a\[0\]"):
        ad.signal.lfilter(b, [0.0, 1.0], x)


@pytest.mark.parametrize("mode", ["interp", "mirror", "constant", "nearest", "wrap"])
def test_smoothing(mode):
    for window, order, deriv in ((5, 2, 0), (5, 3, 1), (4, 2, 0), (1, 0, 0), (7, 3, 2)):
        same("signal.savgol_filter", rng.normal(size=(3, 9)), window, order, deriv=deriv, delta=0.5, mode=mode)
        same("signal.savgol_filter", rng.normal(size=(9, 2)).astype(np.float32), window, order, mode=mode, axis=0)
    same("signal.savgol_filter", np.arange(9), 5, 2, mode=mode)
    check_gradients(lambda x: ad.signal.savgol_filter(x, 4, 2, mode=mode), rng.normal(size=7))
    for kind in ("linear", "constant"):
        same("signal.detrend", rng.normal(size=(3, 9)), type=kind, bp=[0, 4])
        same("signal.detrend", rng.normal(size=(9, 2)), axis=0, type=kind)
    for name in ("gaussian", "uniform", "ellipsoid", "shift"):
        same(f"ndimage.fourier_{name}", rng.normal(size=(3, 4)) + 1j, 1.3)
    sections = scipy.signal.butter(4, 0.2, output="sos")
    same("signal.sosfilt", sections, rng.normal(size=(3, 20)), zi=rng.normal(size=(2, 3, 2)))


@pytest.mark.parametrize("dtype", "dfDl")
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 9])
def test_integrals_of_samples(n, dtype):
    y, x = (rng.normal(size=(2, n, 3)) * 5).astype(dtype), np.sort(rng.normal(size=n))
    kinds = ({}, {"dx": 0.25}) if dtype == "f" else ({}, {"dx": 0.3}, {"x": x}, {"x": x[:, None] + np.zeros((2, n, 3))})
    for more in kinds:
        for name in ("trapezoid", "cumulative_trapezoid"):
            same(f"integrate.{name}", y, axis=1, **more)
        same("integrate.cumulative_trapezoid", y, axis=1, initial=0, **more)
        if dtype != "f":  # there SciPy's step is an array of float64
            same("integrate.cumulative_simpson", y, axis=1, **more)
            same("integrate.cumulative_simpson", y, axis=1, initial=1.5, **more)
        if dtype != "f" or n % 2:
            same("integrate.simpson", y, axis=1, **more)
    if n in (3, 5, 9) and dtype != "f":
        same("integrate.romb", y, axis=1)


def test_integrals_have_gradients_in_places_and_steps():
    y, x = rng.normal(size=(2, 6)), np.cumsum(rng.uniform(0.5, 1, size=6))
    check_gradients(lambda y, x: integrate.simpson(y, x), y, x)
    check_gradients(lambda y, x: integrate.simpson(y[:, :5], x[:5]), y, x)
    check_gradients(lambda y, x: integrate.cumulative_simpson(y, x=x), y, x)
    check_gradients(integrate.cumulative_trapezoid, y, x)
    check_gradients(lambda y, h: integrate.romb(y[:, :5], h), y, np.array(0.3))
    same("integrate.simpson", np.arange(6.0), x=[0, 1, 1, 2, 3, 3.0])  # two equal places
    with pytest.raises(ArgumentError, match="increase"):
        integrate.cumulative_simpson(y[0], x=np.zeros(6))


STRUCTURES = [
    None, "gen", "diagonal", "tridiagonal", "banded", "upper triangular", "lower triangular", "sym", "her", "pos"
]  # fmt: skip


@pytest.mark.parametrize("dtype", "dfD")
def test_linalg(dtype):
    made = lambda *shape: (rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype == "D" else 0)).astype(dtype)
    for shape in ((3, 3), (4, 2), (2, 5), (1, 1), (2, 3, 3)):
        a = made(*shape)
        same("linalg.lu", a, permute_l=True)
        for more in ({}, {"p_indices": True}):
            for got, right in zip(ad.linalg.lu(a, **more), scipy.linalg.lu(a, **more), strict=True):
                np.testing.assert_allclose(got.data, right, atol=1e-4 if dtype == "f" else 1e-12)
        if a.ndim == 2:
            same("linalg.lu_factor", a)
    a, b, c = made(4, 4), made(4), made(4, 2)
    h = (a @ a.conj().T + np.eye(4)).astype(dtype)
    for lower, right in itertools.product((False, True), (b, c)):
        for structure in STRUCTURES:
            same("linalg.solve", h if structure == "pos" else a, right, lower=lower, assume_a=structure)
        got, factor = (of.cho_factor(h, lower)[0] for of in (ad.linalg, scipy.linalg))
        half = np.tril if lower else np.triu  # what the other holds is SciPy's affair: since 1.18 zeros
        np.testing.assert_allclose(half(got.data), half(factor), rtol=1e-4 if dtype == "f" else 1e-9)
        same("linalg.cho_solve", scipy.linalg.cho_factor(h, lower), right)
        for trans in (0, 1, 2):
            same("linalg.lu_solve", scipy.linalg.lu_factor(a), right, trans=trans)
            same("linalg.solve_triangular", a, right, trans=trans, lower=lower, unit_diagonal=True)
        bands = np.stack([np.r_[0, made(3) * 0.2], np.full(4, 2.0)]).astype(dtype)
        same("linalg.solveh_banded", bands[::-1, ::-1] if lower else bands, right, lower=lower)
    if dtype != "D":
        same("linalg.solve", a, c, transposed=True)
    for first, second in ((b, None), (b, c[:, 0]), (b[:1], b), (np.asarray(3.0), None), (a, a[:, :3]), ([1, 2], None)):
        same("linalg.toeplitz", first, second)
    same("linalg.circulant", a)
    same("linalg.hankel", b, c[:, 0])
    same("linalg.block_diag", a, b, [], 1.0, np.ones((0, 2)), [[1, 2]])
    same("linalg.block_diag")


own = np.random.default_rng(1)  # the numbers that tests below draw stay as they are


def of_hermitian(n, kind):
    a = own.normal(size=(n, n)) + (1j * own.normal(size=(n, n)) if kind == "c" else 0)
    return a + a.conj().T, a @ a.conj().T + np.eye(n)


@pytest.mark.parametrize("kind", ["d", "c"])
@pytest.mark.parametrize("which", [1, 2, 3])
def test_the_generalised_eigenvalue_problem(which, kind):
    a, b = of_hermitian(4, kind)
    for lower in (True, False):
        read = [np.tril(m) if lower else np.triu(m) for m in (a, b)]
        same("linalg.eigh", *read, type=which, lower=lower, eigvals_only=True)
        same("linalg.eigvalsh", *read, type=which, lower=lower, subset_by_index=(1, 2))
        values, vectors = ad.linalg.eigh(*read, type=which, lower=lower)
        left, right = [(a, b @ vectors.data), (a @ b, vectors.data), (b @ a, vectors.data)][which - 1]
        np.testing.assert_allclose(left @ vectors.data, right * values.data, atol=1e-9)
        metric = np.linalg.inv(b) if which == 3 else b
        np.testing.assert_allclose(vectors.data.conj().T @ metric @ vectors.data, np.eye(4), atol=1e-10)
    for wrong in [(3, 4), (2, 1), (-1, 2)]:
        for other in (None, b):
            with pytest.raises(ad.ArgumentError, match="of 4 values"):
                ad.linalg.eigvalsh(a, other, subset_by_index=wrong)
    real = of_hermitian(3, "d")
    check_gradients(lambda x, y: ad.linalg.eigh(x, y, type=which, eigvals_only=True), *real)
    check_gradients(lambda x, y: ad.linalg.eigh(x, y, type=which)[1] ** 2, *real)
    np.testing.assert_array_equal(ad.linalg.eigh(real[0], "U")[0].data, np.linalg.eigh(real[0], "U")[0])
    # All eigenvalues are equal: tr (B^-1 X)^3 has the second derivative 6 V along V at X = B = 1.
    v = np.array([[0.0, 1.0], [1.0, 0.0]])
    cube = lambda x: np.sum(ad.linalg.eigvalsh(x, np.eye(2)) ** 3)
    np.testing.assert_allclose(ad.hvp(cube, (np.eye(2),), (v,))[0], 6 * v, atol=1e-12)


def test_lyapunov_and_riccati():
    a, b, r = own.normal(size=(3, 3)), own.normal(size=(3, 2)), np.diag([1.3, 0.7])
    q = of_hermitian(3, "d")[1]
    for kind in ("continuous", "discrete"):
        same(f"linalg.solve_{kind}_are", a, b, q, r)
        check_gradients(getattr(ad.linalg, f"solve_{kind}_are"), a, b, q, r)
        for x in (a, a + 1j * own.normal(size=(3, 3))):
            same(f"linalg.solve_{kind}_lyapunov", x, q)
        check_gradients(getattr(ad.linalg, f"solve_{kind}_lyapunov"), a, q)
    for method in (None, "direct", "bilinear"):
        same("linalg.solve_discrete_lyapunov", 0.1 * own.normal(size=(11, 11)), np.eye(11), method)
    with pytest.raises(ShapeError, match="solve_continuous_are"):
        ad.linalg.solve_continuous_are(a, b, q, q)
    with pytest.raises(ArgumentError, match="method"):
        ad.linalg.solve_discrete_lyapunov(a, q, "fast")


def test_linalg_has_gradients():
    a, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    h, o = a @ a.T + np.eye(3), ad.linalg
    for f, x in (
        (lambda a: o.lu(a)[1], a),
        (lambda a: o.lu(a)[2], rng.normal(size=(2, 4))),
        (lambda a: o.lu(a)[1], rng.normal(size=(4, 2))),
        (lambda a: o.lu(a, permute_l=True)[0], rng.normal(size=(2, 3, 3))),
        (lambda a: o.lu_solve(o.lu_factor(a), b), a),
        (lambda a: o.lu_solve(o.lu_factor(a), b, 1), a),
        (lambda a: o.cho_factor(a @ a.T + np.eye(3))[0], a),
        (lambda a: o.solve(a, b, assume_a="tridiagonal", transposed=True), a),
        (lambda a: o.solve(a @ a.T, b, assume_a="pos", lower=True), a),
        (o.toeplitz, b),
        (lambda c: o.circulant(c) @ c, b),
        (lambda c: o.block_diag(c, a, c[:2]), b),
        (lambda c: o.hankel(c, c[:2]), b),
        (lambda c: o.solve_toeplitz(c + [4.0, 0.0, 0.0], b), b),
        (lambda q: o.solveh_banded(q, b), np.array([[0.0, 0.2, 0.3], [2.0, 2.0, 2.0]])),
    ):
        check_gradients(f, x)
    for f in (lambda a: o.lu(a)[1], lambda a: o.lu_solve(o.lu_factor(a), b, 2)):
        check_gradients(f, a + 1j * h, order=1)
    with pytest.raises(np.linalg.LinAlgError):
        o.solve(-np.eye(2), np.ones(2), assume_a="pos")
    with pytest.raises(np.linalg.LinAlgError):
        o.solve(np.zeros((2, 2)), np.ones(2))
    with pytest.raises(ArgumentError, match="assume_a"):
        o.solve(h, b, assume_a="posdef")


def test_special_over_axes():
    x = rng.normal(size=(2, 3, 4))
    for name in ("softmax", "log_softmax"):
        for axis in (None, 0, -1, (0, 1), (2, 0)):
            same(f"special.{name}", x, axis=axis)
        same(f"special.{name}", 3.0)
        same(f"special.{name}", [1, 2])
        same(f"special.{name}", np.zeros((0, 3)), axis=1)
    same("special.logsumexp", [1, 2])
    same("special.logsumexp", x, axis=(0, 2), keepdims=True)


def test_images_have_gradients():
    x, places = rng.normal(size=(4, 5)), rng.uniform(0.2, 2.8, size=(2, 3))
    for mode in MODES:
        f = lambda x, p, m=mode: np.sum(ndimage.map_coordinates(x, p, order=3, mode=m) * [1.0, 2.0, 3.0])
        p = np.stack([places[:, 0], -places[:, 1] - 0.3, places[:, 2] + 5.0], axis=1)
        check_gradients(f, x[:2, :3].copy(), p, order=1)
    check_gradients(lambda p: ndimage.map_coordinates(x, p, order=5), places[:, :1].copy())
    check_gradients(lambda x, s: ndimage.gaussian_filter(x, s), x, np.array(0.83))
    check_gradients(lambda x, w: ndimage.convolve(x, w, mode="wrap"), x, rng.normal(size=(2, 3)))
    x = x[:3, :3].copy()
    check_gradients(lambda x, m, o: ndimage.affine_transform(x, m, o), x, np.eye(2) * 0.7, np.array([0.31, 0.42]))
    z = x + 1j * x[::-1]
    check_gradients(lambda z: ndimage.gaussian_filter(z, 1.0), z, order=1)


@pytest.mark.parametrize("name", ["gaussian_filter", "correlate1d", "median_filter", "convolve2d"])
def test_what_lies_beyond_the_border_has_a_gradient(name):
    x = np.random.default_rng(5).normal(size=(4, 5))
    beyond = {
        "gaussian_filter": lambda c: ndimage.gaussian_filter(x, 1.0, mode="constant", cval=c),
        "correlate1d": lambda c: ndimage.correlate1d(x, [1.0, 2.0, 3.0], mode="grid-constant", cval=c),
        "median_filter": lambda c: ndimage.median_filter(x, 3, mode="constant", cval=c),
        "convolve2d": lambda c: ad.signal.convolve2d(x, np.ones((3, 3)), mode="same", fillvalue=c),
    }[name]
    check_gradients(beyond, np.array(0.3))


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.special.multigammaln(1.2, 4),
        lambda m: m.special.multigammaln(3.0, 2.5),
        lambda m: m.linalg.lu_solve((np.eye(2), [0]), np.ones(2)),
        lambda m: m.fft.dct(np.ones(4), axis=5),
        lambda m: m.fft.idst(np.ones(4), n=-1),
        lambda m: m.fft.dctn(np.ones((2, 3)), axes=(0, 0)),
        lambda m: m.fft.fftn(np.ones((2, 3)), axes=(0, -2)),
        lambda m: m.fft.rfft(np.ones(4), n=2.5),
        lambda m: m.fft.irfft(np.ones(4), n=2.5),
        lambda m: m.signal.fftconvolve(np.ones((2, 3)), np.ones((2, 3)), axes=5),
        lambda m: m.signal.fftconvolve(np.ones((2, 3)), np.ones((2, 3)), axes=(1, 1)),
        lambda m: m.signal.order_filter(np.arange(3.0), np.ones(3), 1.5),
        lambda m: m.signal.sosfilt([[1.0, 0.0, 0.0, 1.0, -0.5, 0.0]], np.ones(3), zi=np.ones((2, 2))),
        lambda m: m.signal.butter(2, [0.5, 0.2], "band"),
        lambda m: m.signal.butter(2, [0.2, 0.2], "stop"),
        lambda m: m.signal.iirnotch(1.5, 2.0),
        lambda m: m.signal.iirpeak(-0.1, 2.0),
        lambda m: m.ndimage.uniform_filter1d(np.arange(4.0), 2.5),
        lambda m: m.ndimage.maximum_filter1d(np.arange(4.0), 2.5),
        lambda m: m.ndimage.shift(np.arange(4.0), 1.0, order=1.5),
        lambda m: m.ndimage.affine_transform(np.ones((3, 3)), np.array([[1, 0, 0], [0, 1, 0], [1, 1, 2.0]])),
    ],
)
def test_what_scipy_refuses_is_refused(call):
    with pytest.raises((ValueError, TypeError, IndexError, RuntimeError)):
        call(scipy)
    with pytest.raises((AutodiffError, np.exceptions.AxisError)):
        call(ad)


def test_arguments_as_scipy_takes_them():
    x, whole = np.arange(12.0).reshape(3, 4) ** 2, np.arange(12).reshape(3, 4) ** 2
    same("ndimage.gaussian_filter", x, np.array(1.0))
    same("ndimage.maximum_filter", x, np.array(3))
    same("ndimage.gaussian_gradient_magnitude", whole, 1.0)
    same("ndimage.affine_transform", x, np.array([[1, 0, 0.5], [0, 1, 0.25], [0, 0, 1]]))
    same("ndimage.affine_transform", x, np.array([[1, 0, 0.5], [0, 1, 0.25]]))
    same("signal.filtfilt", [0.5, 0.5], [1.0], x[2], padlen=-1)
    same("fft.fftn", x, axes=(1, 0))
    same("fft.dctn", x, axes=1)
    row = np.ones((1, 3), bool)  # beside which a size is of no account
    np.testing.assert_array_equal(
        ndimage.maximum_filter(x, np.ones(9), row).data, scipy.ndimage.maximum_filter(x, footprint=row)
    )
