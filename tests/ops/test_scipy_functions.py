"""SciPy's functions under our names: values against SciPy, gradients of both orders against differences."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ArgumentError, ShapeError, SingularMatrixError
from autodiff.core.pytree import flatten
from autodiff.testing import check_gradients

scipy_linalg = pytest.importorskip("scipy.linalg", reason="these are SciPy's functions")
signal = pytest.importorskip("scipy.signal", reason="these are SciPy's functions")

rng = np.random.default_rng(0)
A = rng.normal(size=(3, 3)) * 0.5
S = A @ A.T + np.eye(3)
b, B = rng.normal(size=3), rng.normal(size=(3, 2))
TRIGONOMETRIC = ("cosm", "sinm", "tanm", "coshm", "sinhm", "tanhm")
CASES = {
    "expm": (ad.linalg.expm, scipy_linalg.expm, [A]),
    "expm batch": (ad.linalg.expm, scipy_linalg.expm, [np.stack([A, S])]),
    "sqrtm": (ad.linalg.sqrtm, scipy_linalg.sqrtm, [S]),
    "logm": (ad.linalg.logm, scipy_linalg.logm, [S]),
    "logm, complex eigenvalues": (
        ad.linalg.logm,
        scipy_linalg.logm,
        [A + np.array([[1, 2, 0], [-2, 1, 0], [0, 0, 3]])],
    ),
    **{name: (getattr(ad.linalg, name), getattr(scipy_linalg, name), [A]) for name in TRIGONOMETRIC},
    "solve_sylvester": (ad.linalg.solve_sylvester, scipy_linalg.solve_sylvester, [S, A[:2, :2].copy(), B]),
    "solve_banded": (
        lambda m, y: ad.linalg.solve_banded((1, 1), m, y),
        lambda m, y: scipy_linalg.solve_banded((1, 1), m, y),
        [np.array([[0.0, 0.3, -0.4], [2.0, 3.0, 2.5], [0.5, -0.2, 0.0]]), B],
    ),
    "solve_banded lower": (
        lambda m, y: ad.linalg.solve_banded((2, 0), m, y),
        lambda m, y: scipy_linalg.solve_banded((2, 0), m, y),
        [np.array([[2.0, 3.0, 2.5], [0.5, -0.2, 0.0], [0.3, 0.0, 0.0]]), b],
    ),
    "cho_solve": (
        lambda L, y: ad.linalg.cho_solve((L, True), y),
        lambda L, y: scipy_linalg.cho_solve((L, True), y),
        [np.linalg.cholesky(S), B],
    ),
    "cho_solve upper": (
        lambda U, y: ad.linalg.cho_solve((U, False), y),
        lambda U, y: scipy_linalg.cho_solve((U, False), y),
        [np.linalg.cholesky(S).T.copy(), b],
    ),
}
for lower in (True, False):
    for trans in (0, 1, "T"):
        for unit in (True, False):
            options = {"lower": lower, "trans": trans, "unit_diagonal": unit}
            CASES[f"solve_triangular {options}"] = (
                lambda a, y, o=options: ad.linalg.solve_triangular(a, y, **o),
                lambda a, y, o=options: scipy_linalg.solve_triangular(a, y, **o),
                [S, b],
            )
for mode in ("full", "same", "valid"):
    for shapes in (((5,), (3,)), ((4, 3), (2, 2)), ((2, 3), (3, 4))):
        CASES[f"convolve {mode} {shapes}"] = (
            lambda x, k, m=mode: ad.signal.convolve(x, k, m),
            lambda x, k, m=mode: signal.convolve(x, k, m, method="direct"),
            [rng.normal(size=s) for s in shapes],
        )
for side in ("right", "left"):
    for shape in ((3, 3), (4, 2), (2, 4)):
        for part in (0, 1):
            CASES[f"polar {side} {shape} {part}"] = (
                lambda a, s=side, i=part: ad.linalg.polar(a, s)[i],
                lambda a, s=side, i=part: scipy_linalg.polar(a, s)[i],
                [rng.normal(size=shape)],
            )


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients(name):
    ours, theirs, args = CASES[name]
    np.testing.assert_allclose(ours(*args).data, theirs(*args), rtol=1e-11, atol=1e-13)
    check_gradients(ours, *args, name=name)


@pytest.mark.parametrize("name", ["logm", "polar", *TRIGONOMETRIC])
def test_functions_of_complex_matrices(name):
    mine, theirs = getattr(ad.linalg, name), getattr(scipy_linalg, name)
    first = (lambda out: out[0]) if name == "polar" else lambda out: out
    im = 0.3 * np.cos(np.arange(9.0)).reshape(3, 3)
    np.testing.assert_allclose(first(mine(S + 1j * im)).data, first(theirs(S + 1j * im)), rtol=1e-11, atol=1e-13)
    f = lambda x, y: np.sum(np.abs(first(mine(x + 1j * y)) + 0.3) ** 3)
    check_gradients(f, S, im, name=name)


def test_the_logarithm_has_the_inverse_slope_of_the_exponential():
    """Of ill-conditioned and defective matrices, and of negative eigenvalues."""
    t = np.cos(np.arange(9.0)).reshape(3, 3)
    turn = np.linalg.qr(A)[0]
    for x in (turn @ np.diag([1e-9, 1.0, 1e4]) @ turn.T, np.eye(3) * 2.0 + np.eye(3, k=1), np.diag([-1.0, 2.0, 3.0])):
        y, slope = ad.jvp(ad.linalg.logm, (x,), (t,))
        np.testing.assert_allclose(ad.jvp(ad.linalg.expm, (y,), (slope,))[1], t, atol=1e-7 * np.abs(x).max() ** 0.5)


def test_the_logarithm_leaves_the_random_numbers_alone_and_takes_small_ones():
    state = np.random.get_state()  # noqa: NPY002
    x = np.random.default_rng(3).normal(size=(7, 7))
    scale = 2.0**-90
    np.testing.assert_allclose(ad.linalg.logm(x).data - 90 * np.log(2) * np.eye(7), ad.linalg.logm(scale * x).data)
    np.testing.assert_allclose(scipy_linalg.expm(ad.linalg.logm(x).data), x, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(state[1], np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("name", sorted(set(ad.linalg.__all__) - {"matrix_function", "outer"}))
def test_a_matrix_of_whole_numbers_is_one_of_floats(name):
    """What a function gives of numbers does not depend on how they are stored."""
    f, m, known = getattr(ad.linalg, name), np.array([[9, 2, 1], [2, 8, 3], [1, 3, 7]]), False
    for make in (
        lambda m: (m,),
        lambda m: (m, m),
        lambda m: (m, m[0]),
        lambda m: ((1, 1), m, m[0]),
        lambda m: (m, m, m),
        lambda m: (m, -2),
        lambda m: (m, 1),
        lambda m: ([m, m],),
        lambda m: (m[:2] * [[0], [3]], m[0]),
    ):
        try:
            right = f(*make(m * 1.0))
        except Exception:  # it takes other arguments
            continue
        known = True
        for mine, one in zip(*(list(flatten(tree)[0]) for tree in (f(*make(m)), right)), strict=True):
            np.testing.assert_allclose(np.asarray(mine), np.asarray(one), rtol=1e-12, atol=1e-14)
    assert known or name in ("cho_solve", "lu_solve", "solve_continuous_are", "solve_discrete_are")


@pytest.mark.parametrize("f", [ad.linalg.logm, lambda x: ad.linalg.polar(x)[0]])
def test_singular_matrices_have_no_slope(f):
    with pytest.raises(SingularMatrixError, match=r"derivative|no logarithm"):
        ad.grad(lambda x: f(x).sum())(np.diag([1.0, 0.0, 2.0]))


def test_misuse_is_named():
    with pytest.raises(ShapeError, match="one matrix"):
        ad.linalg.sqrtm(np.ones((2, 2, 2)))
    with pytest.raises(ShapeError, match="diagonals"):
        ad.linalg.solve_banded((1, 1), A[:2], b)
    with pytest.raises(ShapeError, match="solve_sylvester"):
        ad.linalg.solve_sylvester(A, A, b)
    with pytest.raises(ArgumentError, match="trans"):
        ad.linalg.solve_triangular(A, b, trans=5)
    with pytest.raises(ShapeError, match="axes"):
        ad.signal.convolve(b, A)
    with pytest.raises(ArgumentError, match="mode"):
        ad.signal.convolve(b, b, "half")
