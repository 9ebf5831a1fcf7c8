"""docs/kinks.md, row by row: the page is written from the rows that run here."""

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import NotDifferentiableError

DOCS = Path(__file__).parents[2] / "docs"
_spec = importlib.util.spec_from_file_location("make_kinks", DOCS / "make_kinks.py")
assert _spec is not None
assert _spec.loader is not None
table = importlib.util.module_from_spec(_spec)
sys.modules["make_kinks"] = table
_spec.loader.exec_module(table)


def gradient(f, *points, cotangent=None):
    leaves = [ad.tensor(p, requires_grad=True) for p in points]
    with np.errstate(divide="ignore", invalid="ignore"):
        out = f(*leaves)
    seed = np.ones(out.shape) if cotangent is None else np.asarray(cotangent)
    grads = ad.gradients(out, leaves, seed, allow_unused=True)
    return [None if g is None else g for g in grads]


@pytest.mark.parametrize("row", table.ROWS, ids=lambda row: f"{row.function} at {row.point}")
def test_row(row):
    if row.refused:
        with pytest.raises(NotDifferentiableError, match=row.refused):
            gradient(row.call, *row.at)
        return
    with np.errstate(invalid="ignore" if row.reason.startswith("`∞ · 0`") else None):  # NumPy tells of such a product
        found = gradient(row.call, *row.at, cotangent=row.cotangent)
    assert len(found) == len(row.gradient)
    for g, expected in zip(found, row.gradient, strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-14, atol=1e-15)


def test_the_page_is_the_table():
    assert (DOCS / "kinks.md").read_text() == table.page(), "run python docs/make_kinks.py"


@pytest.mark.parametrize(
    "f",
    [
        np.sqrt,
        np.log,
        np.log2,
        np.log10,
        np.cbrt,
        np.reciprocal,
        lambda x: x**-1.5,
        lambda x: x**0.5,
        lambda x: 2.0 / x,
    ],
)
def test_a_zero_cotangent_stays_zero_at_a_pole(f):
    np.testing.assert_array_equal(gradient(f, [0.0, 1.0], cotangent=[0.0, 0.0])[0], [0.0, 0.0])


@pytest.mark.parametrize(
    ("f", "at"), [(np.arcsin, 1.0), (np.arccos, -1.0), (np.arccosh, 1.0), (np.arctanh, 1.0), (np.log1p, -1.0)]
)
def test_a_zero_cotangent_stays_zero_at_the_end_of_the_domain(f, at):
    np.testing.assert_array_equal(gradient(f, [at], cotangent=np.zeros(1))[0], [0.0])


@pytest.mark.parametrize("f", [np.floor, np.ceil, np.round, np.sign, np.rint, np.trunc])
def test_steps_are_constants(f):
    assert not f(ad.tensor([0.5], requires_grad=True)).requires_grad


def test_anomaly_detection_tells_of_the_infinity_behind_zero_times_infinity():
    """As docs/kinks.md says of exp(log(x)) at 0, whose gradient is 0 by convention and 1 in the limit."""
    f = lambda x: np.exp(np.log(x))
    with np.errstate(divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ad.grad(f)(0.0) == 0.0
        with ad.detect_anomaly(), pytest.raises(ad.AnomalyError, match="log made inf"):
            ad.grad(f)(0.0)


@pytest.mark.parametrize("exponent", [1e-200, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_root_is_steep_at_zero(exponent):
    """The slope of x**y at 0 is infinite for every y between 0 and 1, whether y - 1 is exact or not."""
    for power in (
        lambda x: x**exponent,
        lambda x: x ** np.full(np.shape(x), exponent),
        lambda x: np.power(x, exponent),
    ):
        assert ad.grad(power)(0.0) == np.inf
        assert ad.jvp(power, (0.0,), (1.0,))[1] == np.inf
        assert ad.grad(ad.grad(power))(0.0) == -np.inf
    slopes = ad.grad(lambda x: np.sum(x**exponent))(np.array([0.0, 2.0]))
    assert np.allclose(slopes, [np.inf, exponent * 2.0 ** (exponent - 1)], rtol=1e-15)


def test_a_second_derivative_at_a_kink_is_that_of_a_constant_slope():
    """As the page says: even powers are written without abs."""
    twice = lambda f: ad.grad(ad.grad(f))(0.0)
    assert twice(lambda x: abs(x) ** 2) == 0.0
    assert twice(lambda x: x * x) == 2.0
    v = np.array([1.0 + 2.0j])
    smooth = ad.hvp(lambda z: np.sum(np.real(z * np.conj(z))), (np.zeros(1, complex),), (v,))[0]
    np.testing.assert_allclose(smooth, 2 * np.conj(v))


def test_squares_of_complex_numbers_have_no_kink_inside_of_functions():
    """A deviation and a residual that are exactly 0 count in second derivatives: both functions are quadratic here."""
    line = np.array([1.0, 2.0, 3.0]) * (1 + 1j)
    moved = np.array([1.0, -2.0, 1.0])
    masked = lambda a: np.var(line + a * moved, where=np.array([True, True, True]))
    matrix = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]) + 0j
    left = lambda a: np.linalg.lstsq(matrix, np.array([1, 1, 2]) + a * np.array([1, 1j, 0]), rcond=None)[1].sum()
    for derivative in (ad.hessian, lambda f: ad.jacrev(ad.jacrev(f)), lambda f: ad.jacfwd(ad.jacfwd(f))):
        np.testing.assert_allclose(derivative(masked)(0.0), 4.0)
        np.testing.assert_allclose(derivative(left)(0.0), 4 / 3)


def test_a_rotation_vector_of_zero_keeps_its_second_derivatives():
    """The recipe of docs/kinks.md; R(v) p = p + v x p + v x (v x p) / 2 + ..."""
    hyp0f1 = pytest.importorskip("scipy.special").hyp0f1
    p, w = np.array([1.0, 2.0, 3.0]), np.array([0.3, -0.5, 0.7])

    def along(v):
        s = v @ v
        q = np.append(0.5 * hyp0f1(1.5, -s / 16) * v, hyp0f1(0.5, -s / 16))
        return w @ (p + 2 * np.cross(q[:3], np.cross(q[:3], p) + q[3] * p))

    right = (np.outer(w, p) + np.outer(p, w)) / 2 - w @ p * np.eye(3)
    for derivative in (ad.hessian, lambda f: ad.jacrev(ad.jacrev(f)), lambda f: ad.jacfwd(ad.jacfwd(f))):
        np.testing.assert_allclose(derivative(along)(np.zeros(3)), right, atol=1e-14)
