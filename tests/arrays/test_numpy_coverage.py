"""Every callable that NumPy lists as overridable is classed, and every differentiable one is right: value, first and second order."""

import importlib

import numpy as np
import pytest
from numpy.testing import overrides

import autodiff as ad
from autodiff.core.errors import NotDifferentiableError
from autodiff.dispatch import classify
from autodiff.testing import check_gradients

rng = np.random.default_rng(0)
A = rng.normal(size=(3, 3))
S = A @ A.T + np.eye(3)
M = rng.normal(size=(2, 4))
B = rng.normal(size=(3, 4))
v = rng.normal(size=5)
F = np.fft


def is_public(callable_):
    module = importlib.import_module(getattr(callable_, "__module__", None) or "numpy")
    return not callable_.__name__.startswith("_") and getattr(module, callable_.__name__, None) is callable_


@pytest.mark.parametrize("kind", ["ufuncs", "array_functions"])
def test_every_overridable_callable_is_classed(kind):
    importlib.import_module("numpy.polynomial")
    listed = getattr(overrides, f"get_overridable_numpy_{kind}")()
    assert len(listed) > 100
    unknown = sorted(
        f"{f.__module__ if kind == 'array_functions' else 'numpy'}.{f.__name__}"
        for f in listed
        if is_public(f) and classify(f)[0] == "unknown"
    )
    assert unknown == [], (
        "decide: differentiable (autodiff/ops), constant or refused with advice (autodiff/ops/constants.py)"
    )


def test_refusals_advise():
    x = ad.tensor([1.0, 2.0], requires_grad=True)
    for call in (
        lambda: np.unique(x), lambda: np.frexp(x), lambda: np.copyto(np.zeros(2), x),
        lambda: np.add.at(np.zeros(2), [0], x[0]), lambda: np.add(x, 1.0, where=[True, False]),
    ):  # fmt: skip
        with pytest.raises(NotDifferentiableError, match=r"use|slice|make|write|branch"):
            call()


def two_parts(z):
    return np.real(z) + 2 * np.imag(z)


CASES = {
    "slogdet": (lambda x: np.linalg.slogdet(x)[1], [A]), "eigvalsh": (lambda x: np.linalg.eigvalsh(x + x.T), [S]),
    "eigvals": (lambda x: np.abs(np.linalg.eigvals(x)), [A]), "svdvals": (np.linalg.svdvals, [M]),
    "svd": (lambda x: np.linalg.svd(x, False)[0] @ np.diag(np.linalg.svd(x, False)[1]), [M]),
    "qr tall": (lambda x: np.linalg.qr(x)[1], [M.T]), "qr wide": (lambda x: np.linalg.qr(x)[1], [M]),
    "lstsq": (lambda a, b: np.linalg.lstsq(a, b)[0], [M.T, rng.normal(size=4)]),
    "lstsq residual": (lambda a, b: np.linalg.lstsq(a, b)[1], [M.T, rng.normal(size=4)]),
    "matrix_power": (lambda x: np.linalg.matrix_power(x, 5), [A]), "matrix_power -3": (lambda x: np.linalg.matrix_power(x, -3), [A]),
    "multi_dot": (lambda *a: np.linalg.multi_dot(a), [M, M.T, M]),
    "tensorsolve": (np.linalg.tensorsolve, [rng.normal(size=(2, 3, 6)), rng.normal(size=(2, 3))]),
    "tensorinv": (lambda a: np.linalg.tensorinv(a, 1), [rng.normal(size=(6, 2, 3))]),
    "cond": (np.linalg.cond, [A]), "cond 1": (lambda x: np.linalg.cond(x, 1), [A]), "kron": (np.kron, [M, A]), "cross": (np.cross, [A, S]),
    "vdot": (np.vdot, [v, v * 2]), "vecdot": (np.vecdot, [A, S]),
    "cholesky upper": (lambda x: np.linalg.cholesky(x @ x.T + np.eye(len(x)), upper=True), [S]), "det": (np.linalg.det, [A]), "pinv": (np.linalg.pinv, [M]),
    "fft2": (lambda x: two_parts(F.fft2(x)), [M]), "ifftn": (lambda x: two_parts(F.ifftn(x)), [M]), "rfftn": (lambda x: two_parts(F.rfftn(x)), [M]),
    "irfft2": (lambda x, y: F.irfft2(x + 1j * y), [M, M**2]), "fftshift": (lambda x: F.fftshift(x) * x, [v]),
    "ifftshift": (lambda x: F.ifftshift(x) * x, [v]),
    "diagflat": (np.diagflat, [v]), "diag of a vector": (np.diag, [v]), "delete": (lambda x: np.delete(x, [1, 2]), [v]),
    "insert": (lambda x, y: np.insert(x, [1, 3], y), [v, v[:2].copy()]), "insert axis": (lambda x, y: np.insert(x, 1, y, axis=1), [B, v[:3].copy()]),
    "append": (np.append, [v, v]), "extract": (lambda x: np.extract(v > 0, x), [v]),
    "compress": (lambda x: np.compress([True, False, True], x, axis=0), [B]), "block": (lambda x, y: np.block([[x, y], [y, x]]), [A, S]),
    "hsplit": (lambda x: np.hsplit(x, 2)[1], [B]), "meshgrid": (lambda x, y: np.meshgrid(x, y)[0] * np.meshgrid(x, y)[1], [v, v[:2].copy()]),
    "choose": (lambda x, y: np.choose([0, 1, 0], [x, y]), [A[0].copy(), A[1].copy()]),
    "select": (lambda x: np.select([v > 0.5, v > 0], [x**2, x**3], x), [v]),
    "piecewise": (lambda x: np.piecewise(x, [v > 0], [lambda t: t**2, lambda t: -t]), [v]),
    "apply_along_axis": (lambda x: np.apply_along_axis(lambda r: np.cumsum(r) * r[0], 1, x), [B]),
    "apply_over_axes": (lambda x: np.apply_over_axes(np.sum, x, [0, 1]), [B]),
    "bincount": (lambda w: np.bincount([0, 1, 1, 3, 0], w), [v]),
    "histogram": (lambda w: np.histogram([0.1, 0.2, 0.5, 0.9, 1.0], 3, weights=w)[0], [v]),
    "interp": (np.interp, [np.array([0.15, 0.47, 0.81, -0.5, 2.0]), np.linspace(0, 1, 5), v]),
    "convolve": (np.convolve, [v, v[:3].copy()]), "convolve same": (lambda a, b: np.convolve(a, b, "same"), [v, v[:4].copy()]),
    "convolve valid": (lambda a, b: np.convolve(a, b, "valid"), [v[:2].copy(), v]),
    "correlate": (lambda a, b: np.correlate(a, b, "full"), [v, v[:3].copy()]),
    "correlate same": (lambda a, b: np.correlate(a, b, "same"), [v[:3].copy(), v[:4].copy()]),
    "polyval": (np.polyval, [v, B]), "polymul": (np.polymul, [v, v[:2].copy()]), "polyadd": (np.polyadd, [v, v[:2].copy()]), "polyder": (np.polyder, [v]),
    "polysub": (np.polysub, [v, v[:2].copy()]), "vander": (np.vander, [v]), "angle": (lambda x, y: np.angle(x + 1j * y), [v + 3, v]),
    "quantile": (lambda x, q: np.quantile(x, q, axis=0), [B, np.array([0.13, 0.41, 0.77])]), "percentile": (lambda x: np.percentile(x, 30), [B]),
    "linspace": (lambda a, b: np.linspace(a, b, 5), [np.array(1.0), np.array(2.0)]),
    "logspace": (lambda a, b: np.logspace(a, b, 5), [np.array(0.1), np.array(0.2)]),
    "geomspace": (lambda a, b: np.geomspace(a, b, 5), [np.array(1.0), np.array(2.0)]),
    "cumprod with zeros": (np.cumprod, [np.array([1.0, 0.0, 2.0, 0.0, 3.0])]), "average": (lambda x, w: np.average(x, weights=w), [v, v**2 + 0.5]),
    "unwrap": (np.unwrap, [v * 5]), "modf": (lambda x: np.modf(x)[0] * x, [v]), "divmod": (lambda x: np.divmod(x, 0.7)[1], [v]),
    "sliding_window_view": (lambda x: np.lib.stride_tricks.sliding_window_view(x, 3), [v]), "resize": (lambda x: np.resize(x, (3, 3)), [v]),
    "gradient spaced": (lambda x: np.gradient(x, np.array([0, 1.0, 3, 4.0, 7.0])), [v]), "trapezoid": (np.trapezoid, [v, np.cumsum(v**2)]),
    "diff": (lambda x: np.diff(x, 2, axis=0, prepend=1.0), [B]), "split": (lambda x: np.array_split(x, 3)[1], [v]),
    "ldexp": (lambda x: np.ldexp(x, 3), [v]), "tile": (lambda x: np.tile(x, (2, 3)), [v]), "repeat": (lambda x: np.repeat(x, [1, 0, 2, 1, 1]), [v]),
    "pad each side": (lambda x, y: np.pad(x, ((1, 0), (2, 1)), constant_values=((y[0], 1.0), (y[1], 3.0))), [B, v[:2].copy()]),
    "pad by a number": (lambda x, y: np.pad(x, 1, constant_values=y), [B, np.array(0.7)]), "pad mean": (lambda x: np.pad(x, ((1, 2), (0, 1)), mode="mean"), [B]),
    "pad median": (lambda x: np.pad(x, 1, mode="median", stat_length=3), [B]), "pad maximum": (lambda x: np.pad(x, 2, mode="maximum", stat_length=((1, 2), (2, 9))), [B]),
    "pad ramp": (lambda x, y: np.pad(x, ((3, 0), (2, 1)), mode="linear_ramp", end_values=((y, 1.0), (2.0, y))), [B, np.array(0.7)]),
    "pad reflect": (lambda x: np.pad(x, 2, mode="reflect"), [B]), "take wrap": (lambda x: np.take(x, [7, -1], mode="wrap"), [v]),
    "einsum interleaved": (lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [0, 2]), [M, B.T]), "tensordot": (lambda x, y: np.tensordot(x, y, ([1], [1])), [M, B]),
    "inner": (np.inner, [M, B]), "outer": (np.outer, [v, A]), "dot": (np.dot, [A, A[None]]), "rollaxis": (lambda x: np.rollaxis(x, 1), [B]),
    "reduce": (lambda x: np.add.reduce(x) * np.multiply.reduce(x, axis=0), [B]), "accumulate": (lambda x: np.add.accumulate(x, axis=1), [B]),
    "running maximum": (lambda x: np.maximum.accumulate(x, axis=1), [B]), "running minimum": (lambda x: np.minimum.accumulate(x, axis=-2), [B]),
    "ufunc outer": (np.multiply.outer, [v, B]), "logaddexp reduce": (lambda x: np.logaddexp.reduce(x, axis=1), [B]),
    "maximum reduce": (lambda x: np.maximum.reduce(x, axis=1), [B]),
    "heaviside at 0": (lambda y: np.heaviside(np.array([-1.0, 0.0, 0.0, 2.0, 0.0]), y), [v]), "nextafter": (np.nextafter, [v, B[0][:1] + 9]),
    "ix_": (lambda x, y: np.ix_(x, y), [v, v[:2].copy()]), "histogram_bin_edges": (lambda x: np.histogram_bin_edges(x, 3), [v]),
    "edges of a range": (lambda x, y: np.histogram_bin_edges([0.3, 0.5], 3, (x, y)), [np.array(0.1), np.array(0.9)]),
    "edges of one value": (lambda x: np.histogram_bin_edges(x, 3), [np.array([0.7])]), "histogram's edges": (lambda x: np.histogram(x, 3)[1], [v]),
    "histogram density": (lambda x, w: np.histogram(x, 3, density=True, weights=w)[0], [v, v**2 + 0.5]),
}  # fmt: skip
U, W = np.array([-0.1, 0.2, 0.35, 0.6, 1.1]), np.array([0.8, 1.2, 0.7, 1.5, 1.0])
CASES |= {
    "roots": (lambda x: two_parts(np.roots(x)), [np.array([2.0, -3.0, 0.5, 1.2])]), "roots, real": (lambda x: np.real(np.roots(x)), [np.array([1.0, -6.0, 11.0, -6.0])]),
    "roots at 0": (lambda x: np.real(np.roots(x)), [np.array([1.0, -3.0, 2.0, 0.0])]), "poly": (np.poly, [v]), "poly of equal ones": (np.poly, [np.ones(3)]),
    "poly of a matrix": (lambda x: np.real(np.poly(x)), [A]),
    "poly of the unit matrix": (lambda x: np.real(np.poly(x)), [np.eye(3)]), "roots, then poly": (lambda x: np.real(np.poly(np.roots(x))), [v]),
    "polydiv": (np.polydiv, [v, v[:2].copy()]), "polydiv by a number": (np.polydiv, [v, v[:1].copy()]), "polydiv by a longer": (np.polydiv, [v[:2].copy(), v]),
    "polyint": (np.polyint, [v]), "polyint twice": (lambda x, k: np.polyint(x, 2, k), [v, v[:2].copy()]), "polyint of one constant": (lambda x, k: np.polyint(x, 3, k), [v, v[:1].copy()]),
    "polyfit": (lambda x, y, w: np.polyfit(x, y, 2, w=w), [U, v, W]), "polyfit of columns": (lambda x, y: np.polyfit(x, y, 1), [U, np.outer(v, [1.0, -2.0]) + np.outer(W, [0.3, 0.7])]),
    "polyfit cov": (lambda x, y, w: np.polyfit(x, y, 1, w=w, cov=True), [U, v, W]), "polyfit unscaled": (lambda x, y: np.polyfit(x, y, 1, cov="unscaled"), [U, v]),
    "polyfit full": (lambda x, y: np.polyfit(x, y, 1, full=True)[0] * np.polyfit(x, y, 1, full=True)[1], [U, v]),
    "emath logn": (lambda n, x: two_parts(np.emath.logn(n, x)), [W + 0.4, v]), "emath power": (lambda x, y: two_parts(np.emath.power(x, y)), [v, W]),
}  # fmt: skip
CASES |= {
    f"emath {name} {at}": (lambda x, name=name: two_parts(getattr(np.emath, name)(x)), [np.array(at)])
    for name in ("sqrt", "log", "log2", "log10", "arccos", "arcsin", "arctanh") for at in ([-2.5, 0.5, 1.5], [0.3, 0.6])
}  # fmt: skip
CASES |= {
    f"matrix norm {o}": (lambda x, o=o: np.linalg.norm(x, o, axis=(0, 1)), [A])
    for o in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
}
CASES |= {f"vector norm {o}": (lambda x, o=o: np.linalg.norm(x, o), [v]) for o in (None, 1, 2, 3, 0.5, np.inf, -np.inf)}
CASES |= {
    f"{name} {n} {norm}": (lambda x, name=name, n=n, norm=norm: two_parts(getattr(F, name)(x, n, 0, norm)), [v])
    for name in ("fft", "ifft", "rfft", "ihfft") for n in (None, 3, 8) for norm in (None, "ortho", "forward")
}  # fmt: skip
CASES |= {
    f"{name} {n}": (lambda x, y, name=name, n=n: getattr(F, name)(x + 1j * y, n), [v, v[::-1].copy()])
    for name in ("irfft", "hfft")
    for n in (None, 5, 4, 9)
}
CASES |= {
    f.__name__: (f, [B.copy()])
    for f in (
        np.diagonal, np.trace, np.tril, np.triu, np.rot90, np.diag, np.median, np.ptp, np.sort, np.gradient, np.nansum, np.nanmean, np.nanstd, np.nanvar,
        np.nanmax, np.nanmin, np.nanprod, np.cov, np.corrcoef, np.sinc, np.i0, np.cumprod, np.ediff1d, np.nancumsum, np.nancumprod, np.nan_to_num, np.copy,
    )
}  # fmt: skip
# Written out, so that test_ops_against_jax.py can run them with another library under the name np.
NEWER = {
    "unstack": (lambda x: np.unstack(x)[1], [B]), "matvec": (lambda x, y: np.matvec(x, y), [A, S[0].copy()]),
    "vecmat": (lambda x, y: np.vecmat(x, y), [S[0].copy(), A]),
    "cumulative_sum": (lambda x: np.cumulative_sum(x, axis=0, include_initial=True), [B]),
    "cumulative_prod": (lambda x: np.cumulative_prod(x, axis=0, include_initial=True), [B]),
}  # fmt: skip
CASES |= {name: case for name, case in NEWER.items() if hasattr(np, name)}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients(name):
    f, args = CASES[name]
    ours, numpys = f(*[ad.tensor(a) for a in args]), f(*args)
    pairs = zip(ours, numpys, strict=True) if isinstance(ours, (tuple, list)) else [(ours, numpys)]
    for o, n in pairs:
        assert o.shape == np.shape(n)
        np.testing.assert_allclose(o.data, n, rtol=1e-10, atol=1e-12)
    check_gradients(f, *args, name=name)


def test_nan_ignoring_functions_ignore():
    x = ad.tensor([1.0, np.nan, 3.0], requires_grad=True)
    for f, expected in (
        (np.nansum, [1, 0, 1]),
        (np.nanmean, [0.5, 0, 0.5]),
        (np.nanmax, [0, 0, 1]),
        (np.nanmedian, [0.5, 0, 0.5]),
    ):
        np.testing.assert_allclose(ad.gradients(f(x), x), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
@pytest.mark.parametrize(
    "f",
    [
        np.cumprod,
        np.sort,
        np.median,
        np.nanstd,
        np.diff,
        np.ptp,
        np.sinc,
        lambda x: np.convolve(x, x),
        np.trapezoid,
        np.average,
    ],
)
def test_dtypes_are_kept(f, dtype):
    x = ad.tensor(np.array([0.5, 1.5, -0.25], dtype), requires_grad=True)
    out = f(x)
    assert out.dtype == dtype
    assert ad.gradients(out.sum(), x).dtype == dtype


def test_nan_ignoring_variances_respect_where():
    x = np.array([1.0, 2.0, 5.0])
    mask = np.array([True, True, False])
    for ours, plain in ((np.nanvar, np.var), (np.nanstd, np.std)):
        np.testing.assert_allclose(
            ad.grad(lambda t, f=ours: f(t, where=mask))(x), ad.grad(lambda t, f=plain: f(t, where=mask))(x)
        )


def test_equal_eigenvalues():
    x = np.diag([2.0, 2.0, 3.0])
    r = np.arange(9.0).reshape(3, 3)

    def through_vectors(a):
        w, v = np.linalg.eigh(a)
        return np.sum(r * (v @ np.diag(w**3) @ v.T))

    for call in (
        lambda: ad.grad(through_vectors)(x),
        lambda: ad.grad(lambda a: np.sum(r * (np.linalg.svd(a)[0] @ np.diag(np.linalg.svd(a)[1]))))(x),
    ):
        with pytest.raises(NotDifferentiableError, match="two values are equal"):
            call()
    np.testing.assert_allclose(ad.grad(lambda a: np.sum(np.linalg.eigvalsh(a) ** 3))(x), 3 * x @ x, atol=1e-12)
    np.testing.assert_allclose(ad.grad(lambda a: np.sum(np.linalg.svdvals(a) ** 2))(x), 2 * x, atol=1e-12)


def test_the_determinant_of_a_singular_matrix_has_its_cofactors():
    a = np.array([[1.0, 2.0], [2.0, 4.0]])
    np.testing.assert_allclose(ad.grad(lambda x: np.linalg.det(x))(a), [[4.0, -2.0], [-2.0, 1.0]], atol=1e-12)


def test_norms_at_the_origin():
    for order in (None, 2):
        np.testing.assert_array_equal(ad.grad(lambda x, o=order: np.linalg.norm(x, o))(np.zeros(3)), np.zeros(3))


def test_functional_assignment():
    x = np.array([1.0, -2.0, 3.0])
    for name, expected in (
        ("multiply", [1, 5, 1]),
        ("divide", [1, 0.2, 1]),
        ("min", [1, 1, 1]),
        ("max", [1, 0, 1]),
        ("power", [1, 80, 1]),
    ):
        f = lambda t, name=name: np.sum(getattr(t.at[1], name)(5.0))
        np.testing.assert_allclose(ad.grad(f)(x), expected)
    check_gradients(lambda t, u: t.at[[0, 2]].set(u) * t.at[0:2].add(u), x, np.array([0.5, 0.7]))
    with pytest.raises(ad.ArgumentError, match="twice"):
        ad.tensor(x).at[[0, 0]].multiply(2.0)


#: Functions with ways of their own for a number, or for arrays without elements.
ALSO = {
    "apply_along_axis": (lambda x: np.apply_along_axis(np.sum, 0, x), [B]),
    "pad": (lambda x: np.pad(x, 1), [B]),
    "polymul": (lambda x: np.polymul(x, x), [v]),
    "repeat": (lambda x: np.repeat(x, 2, axis=0), [B]),
    "resize": (lambda x: np.resize(x, (2, 3)), [v]),
    "svd, whole": (lambda x: np.linalg.svd(x)[1], [M]),
    "take": (lambda x: np.take(x, [], axis=0), [B]),
    "x @ y": (lambda x: np.stack([x, x]) @ x.T, [B]),
}


def cut_down(args):
    """The arguments with all axes of one length cut to 0 or to 1, and as numbers."""
    for n in sorted({n for a in args for n in np.shape(a)}):
        for size in (0, 1):
            if size < n:
                yield [
                    a[tuple(slice(size) if m == n else slice(None) for m in np.shape(a))] for a in map(np.asarray, args)
                ]
    yield [np.asarray(np.ravel(a)[0]) for a in args]


def total(out):
    parts = out if isinstance(out, tuple | list) else [out]
    return sum((np.sum(np.real(p)) for p in parts if getattr(p, "dtype", np.dtype(float)).kind in "fc"), 0.0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [*CASES, *ALSO])
def test_what_numpy_takes_with_no_element_along_an_axis_is_differentiated(name):
    f, args = (CASES | ALSO)[name]
    places = tuple(range(len(args)))

    def value(*t):
        return total(f(*t))

    def slopes(*t):
        return ad.grad(value, argnums=places)(*t)

    for small in cut_down(args):
        try:
            with np.errstate(all="ignore"):
                expected = f(*small)
        except (ValueError, IndexError, TypeError, ZeroDivisionError):
            continue  # NumPy refuses it
        with np.errstate(all="ignore"):
            try:
                found = f(*map(ad.Tensor, small))
                for a, b in zip(*(p if isinstance(p, tuple | list) else [p] for p in (expected, found)), strict=True):
                    assert np.array_equal(np.shape(a), np.shape(b))
                assert [g.shape for g in slopes(*small)] == [a.shape for a in small]
                for function in (value, slopes):
                    ad.jvp(function, tuple(small), tuple(map(np.ones_like, small)))
            except NotDifferentiableError:
                continue


def test_roots_that_are_equal_are_refused_where_they_are_differentiated():
    for p in (np.poly([1.0, 2.0, 2.0, 3.0]), np.array([1.0, -2.0, 1.0]), np.array([1.0, 3.0, 0.0, 0.0])):
        for jacobian in (ad.jacrev, ad.jacfwd):
            with pytest.raises(NotDifferentiableError, match="two roots are equal"):
                jacobian(np.roots)(p)
    found = ad.grad(lambda p: np.roots(p)[0])(np.array([1.0, 3.0, 0.0, 0.0]))  # that at -3 is simple
    np.testing.assert_allclose(found, [3.0, -1.0, 1 / 3, -1 / 9])


def test_a_polynomial_is_put_into_another():
    p, inner = np.array([2.0, -1.0, 3.0]), np.poly1d([1.0, 2.0])
    np.testing.assert_array_equal(np.polyval(ad.tensor(p), inner).data, np.polyval(p, inner).coefficients)
    np.testing.assert_allclose(ad.jacrev(lambda p: np.polyval(p, inner))(p), [[1, 0, 0], [4, 1, 0], [4, 2, 1]])
    half = np.array([1.0, 2.0], np.float16)
    assert np.poly(ad.tensor(half)).dtype == np.poly(half).dtype


def test_a_fit_that_is_not_determined_warns_as_numpys():
    with pytest.warns(np.exceptions.RankWarning):
        np.polyfit(ad.tensor(np.ones(3)), np.arange(3.0), 1)
    with pytest.raises(ad.ArgumentError, match="too few"):
        np.polyfit(ad.tensor(np.arange(2.0)), np.arange(2.0), 1, cov=True)
