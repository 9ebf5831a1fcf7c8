"""Functions of eigenvalues and singular values where some of them are equal, and the triangle that is read."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.testing import check_gradients

SWAP = np.array([[0.0, 1.0], [1.0, 0.0]])
Q, _ = np.linalg.qr(np.array([[1.0, 2.0, 0.5], [-1.0, 1.0, 3.0], [2.0, 0.3, 1.0]]))
D = np.array([[0.2, 1.0, -0.4], [0.7, -0.3, 0.1], [0.5, 0.9, 1.1]])
V = np.array([[1.0, 2.0, 3.0], [2.0, -1.0, 1.0], [3.0, 1.0, 0.5]])


def forward_over_reverse(f, x, v):
    return ad.hvp(f, (x,), (v,))[0] if isinstance(ad.hvp(f, (x,), (v,)), tuple) else ad.hvp(f, (x,), (v,))


def reverse_over_reverse(f, x, v):
    return ad.grad(lambda x: np.sum(np.real(ad.grad(f)(x) * np.conj(v))))(x)


def by_hessian(f, x, v):
    return np.tensordot(ad.hessian(f)(x), v, axes=x.ndim)


ORDERS = pytest.mark.parametrize("second", [forward_over_reverse, reverse_over_reverse, by_hessian])


@ORDERS
@pytest.mark.parametrize(
    ("function", "x", "v", "truth"),
    [
        (lambda w: np.sum(w**3), np.eye(2), SWAP, 6 * SWAP),
        (lambda w: np.sum(np.log(w) ** 2), np.eye(2), SWAP, 2 * SWAP),
        (lambda w: np.sum(np.log(w)), np.eye(3), np.ones((3, 3)), -np.ones((3, 3))),
        (lambda w: np.sum(w) ** 2, np.eye(3), V, 2 * np.trace(V) * np.eye(3)),
        (lambda w: np.prod(w), np.eye(3), V, np.trace(V) * np.eye(3) - V),
        (lambda w: np.sum(w**2), np.diag([1.0, 1 + 1e-15]), SWAP, 2 * SWAP),
        (lambda w: np.sum(w**2), np.diag([1.0, 1 + 1e-12]), SWAP, 2 * SWAP),
        (lambda w: np.sum(w**2), np.diag([1.0, 1 + 1e-7]), SWAP, 2 * SWAP),
    ],
)
def test_second_derivatives_at_equal_eigenvalues(second, function, x, v, truth):
    np.testing.assert_allclose(second(lambda a: function(np.linalg.eigvalsh(a)), x, v), truth, atol=2e-8)


@ORDERS
@pytest.mark.parametrize(
    "values",
    [
        lambda a: np.linalg.eigh(a)[0],
        lambda a: np.linalg.svd(a)[1],
        lambda a: np.linalg.svd(a, hermitian=True)[1],
        lambda a: ad.vmap(lambda b: np.linalg.eigh(b)[0])(a[None])[0],
    ],
)
def test_values_that_come_with_vectors(second, values):
    found = second(lambda a: np.sum(values(a) ** 4), np.eye(3), V + V.T)
    np.testing.assert_allclose(found, 12 * (V + V.T), atol=1e-10)


@ORDERS
def test_some_of_the_eigenvalues_are_equal(second):
    x = np.diag([1.0, 1.0, 2.0])
    truth = 4 * (x @ x @ V + x @ V @ x + V @ x @ x)
    np.testing.assert_allclose(second(lambda a: np.sum(np.linalg.eigvalsh(a) ** 4), x, V), truth, atol=1e-10)


@ORDERS
def test_singular_values_of_an_orthogonal_matrix(second):
    m = Q.T @ D
    found = second(lambda a: np.sum((np.linalg.svdvals(a) - 1) ** 2), Q, D)
    np.testing.assert_allclose(found, Q @ (m + m.T), atol=1e-10)


@ORDERS
@pytest.mark.parametrize("shape", [(3, 2), (2, 3)])
def test_singular_values_of_matrices_that_are_not_square(second, shape):
    """Truth: the sum of fourth powers is tr (A'A)^2, whose gradient is 4 A A'A."""
    a, v = np.eye(*shape) * 1.5, D[: shape[0], : shape[1]]
    truth = 4 * (v @ a.T @ a + a @ v.T @ a + a @ a.T @ v)
    np.testing.assert_allclose(second(lambda x: np.sum(np.linalg.svdvals(x) ** 4), a, v), truth, atol=1e-10)


@pytest.mark.parametrize("matrix", [np.eye(2), np.diag([2.0, 2.0])])
def test_complex_matrices_with_equal_values_in_every_order_of_modes(matrix):
    """Truth: log det X has the gradient X^-1, so along V it changes by -X^-1 V X^-1; the transforms conjugate."""
    v = np.array([[1.0, 2.0 - 1.0j], [2.0 + 1.0j, -0.5]])
    truth = -np.conj(v) / matrix[0, 0] ** 2
    for f in (lambda x: np.sum(np.log(np.linalg.eigvalsh(x))), lambda x: np.sum(np.log(np.linalg.svdvals(x)))):
        hvp = ad.hvp(f, (matrix + 0j,), (v,))[0]
        twice = ad.grad(lambda x, f=f: np.real(np.sum(ad.grad(f)(x) * v)))(matrix + 0j)
        np.testing.assert_allclose(hvp, truth, atol=1e-10)
        np.testing.assert_allclose(twice, truth, atol=1e-10)


RANKS = {
    "square": np.diag([2.0, 1.0, 0.0]),
    "rank 1": np.outer([1.0, 2.0, -1.0], [0.5, 1.0, 3.0]),
    "wide": np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]),
    "tall": np.array([[1.0, 2.0], [2.0, 4.0], [0.0, 0.0], [1.0, 2.0]]),
    "zero": np.zeros((2, 3)),
    "tied": np.diag([2.0, 2.0, 0.0]),
}
EVEN = {
    "squares": (lambda x: np.sum(np.linalg.svdvals(x) ** 2), lambda x: np.sum(x * x)),
    "fourth powers": (lambda x: np.sum(np.linalg.svdvals(x) ** 4), lambda x: np.trace(x.T @ x @ x.T @ x)),
    "beside their vectors": (lambda x: np.sum(np.linalg.svd(x)[1] ** 4), lambda x: np.trace(x.T @ x @ x.T @ x)),
    "logarithms": (
        lambda x: np.sum(np.log1p(np.linalg.svdvals(x) ** 2)),
        lambda x: np.linalg.slogdet(np.eye(x.shape[1]) + x.T @ x)[1],
    ),
}


@pytest.mark.parametrize("matrix", RANKS)
@pytest.mark.parametrize("function", EVEN)
def test_second_derivatives_of_even_functions_where_singular_values_are_zero(function, matrix):
    """Truth: the same function without singular values. What is not known is refused, and no other number comes out."""
    f, plain = EVEN[function]
    x = RANKS[matrix]
    v = np.random.default_rng(0).normal(size=x.shape)
    truth = ad.hvp(plain, (x,), (v,))[0]
    np.testing.assert_allclose(reverse_over_reverse(f, x, v), truth, atol=1e-9)
    for other in (
        lambda: ad.hvp(f, (x,), (v,)),
        lambda: ad.grad(lambda y: ad.jvp(f, (y,), (v,))[1])(x),
        lambda: ad.jacfwd(ad.jacfwd(f))(x),
        lambda: ad.hessian(f)(x),
    ):
        with pytest.raises(ad.AutodiffError, match=r"zero|equal"):
            other()


@pytest.mark.parametrize("second", [forward_over_reverse, reverse_over_reverse])
def test_stacks_of_matrices(second):
    x, v = np.stack([np.eye(2), 2 * np.eye(2)]), np.stack([SWAP, SWAP])
    truth = np.stack([6 * SWAP, 12 * SWAP])
    np.testing.assert_allclose(second(lambda a: np.sum(np.linalg.eigvalsh(a) ** 3), x, v), truth, atol=1e-10)


def third(f, x, a, b):
    return ad.grad(lambda x: np.sum(ad.grad(lambda y: np.sum(ad.grad(f)(y) * a))(x) * b))(x)


EQUAL = {
    "all": 1.5 * np.eye(3),
    "two": Q @ np.diag([1.0, 1.0, 2.0]) @ Q.T,
    "two pairs": np.kron(np.diag([1.0, 2.0]), np.eye(2)),
    "three": np.diag([2.5, 1.0, 1.0, 1.0]),
    "none": Q @ np.diag([1.0, 2.0, 4.0]) @ Q.T,
}
OF_VALUES = {  # each as a function of the values, and of the matrix
    "cubes": (lambda w: np.sum(w**3), lambda x: np.trace(x @ x @ x)),
    "product": (np.prod, np.linalg.det),
    "logarithms": (lambda w: np.sum(np.log(w)) ** 2, lambda x: np.linalg.slogdet(x)[1] ** 2),
    "norm": (lambda w: np.sqrt(np.sum(w**2)), lambda x: np.sqrt(np.trace(x @ x))),
    "mixed": (lambda w: np.sum(w) ** 2 * np.prod(w), lambda x: np.trace(x) ** 2 * np.linalg.det(x)),
}


@pytest.mark.parametrize("function", OF_VALUES)
@pytest.mark.parametrize("matrix", EQUAL)
def test_third_derivatives_at_equal_eigenvalues(matrix, function):
    x = (EQUAL[matrix] + EQUAL[matrix].T) / 2
    a, b = (np.random.default_rng(seed).normal(size=x.shape) for seed in (0, 1))
    a, b = a + a.T, b + b.T
    of_values, of_matrix = OF_VALUES[function]
    truth = third(of_matrix, x, a, b)
    found = third(lambda x: of_values(np.linalg.eigvalsh(x)), x, a, b)
    np.testing.assert_allclose(found, (truth + truth.T) / 2, atol=1e-8 * np.max(np.abs(truth)))


def test_third_derivatives_at_equal_singular_values():
    """Truth: the sum of fourth powers is tr (A'A)^2."""
    for x in (Q[:, :2] * 1.5, Q, np.eye(2) * 3):
        a = D[: x.shape[0], : x.shape[1]]
        found = third(lambda x: np.sum(np.linalg.svdvals(x) ** 4), x, a, a)
        truth = third(lambda x: np.sum((x.T @ x) ** 2), x, a, a)
        np.testing.assert_allclose(found, truth, atol=1e-7)


@pytest.mark.parametrize(
    "refused",
    [
        lambda f: ad.grad(lambda u: np.sum(third(f, u, np.eye(3), np.eye(3)) * np.eye(3)))(np.eye(3)),
        lambda f: third(f, np.eye(9), np.eye(9), np.eye(9)),
        lambda f: third(lambda x: np.trace(x @ x) * f(x), np.eye(3), np.eye(3), np.eye(3)),
        lambda f: ad.jvp(lambda z: ad.hvp(f, (z,), (V,))[0], (np.eye(3),), (V,)),
    ],
)
def test_what_is_not_known_at_equal_values_is_refused(refused):
    with pytest.raises(ad.AutodiffError, match="equal"):
        refused(lambda a: np.sum(np.linalg.eigvalsh(a) ** 3))


@pytest.mark.parametrize("first", [ad.grad, lambda f: lambda x: ad.jvp(f, (x,), (SWAP,))[1]])
def test_vectors_of_equal_eigenvalues_are_refused_in_every_mode(first):
    with pytest.raises(ad.AutodiffError, match="equal"):
        first(lambda a: np.linalg.eigh(a)[1][0, 1])(np.eye(2))


def test_a_tangent_at_equal_eigenvalues_is_that_of_the_smooth_branches():
    """Rellich: along I + t SWAP the eigenvalues are 1 - t and 1 + t."""
    _, moved = ad.jvp(np.linalg.eigvalsh, (np.eye(2),), (SWAP,))
    np.testing.assert_allclose(moved, [-1.0, 1.0])


# --- the triangle that is read --------------------------------------------------------------------------------------

ONE_TRIANGLE = np.array([[4.0, 9.0, -3.0], [1.0, 3.0, 7.0], [0.5, 0.2, 5.0]])


def numeric(f, a):
    found = np.zeros(a.shape)
    for place in np.ndindex(a.shape):
        step = np.zeros(a.shape)
        step[place] = 1e-5
        found[place] = (f(a + step) - f(a - step)) / 2e-5
    return found


@pytest.mark.parametrize(
    "function",
    [
        np.linalg.eigvalsh,
        lambda a: np.linalg.eigvalsh(a, UPLO="U"),
        lambda a: np.linalg.eigh(a)[0],
        lambda a: np.linalg.eigh(a, "U")[0],
        lambda a: np.linalg.eigh(a, "u")[1] ** 2,
        np.linalg.cholesky,
        lambda a: np.linalg.svd(a, hermitian=True)[1],
        lambda a: np.linalg.svd(a, compute_uv=False, hermitian=True),
        lambda a: np.linalg.pinv(a, hermitian=True),
        lambda a: np.linalg.pinv(a, rcond=0.4),
        lambda a: np.linalg.pinv(a, rtol=1e-3),
        lambda a: np.linalg.lstsq(a[:, :2], a[:, 2], rcond=0.5)[0],
        lambda a: np.linalg.lstsq(a, a[:, 2], rcond=-1)[0],
        lambda a: np.linalg.matrix_power(a, 0),
    ],
)
def test_values_and_gradients_of_what_numpy_reads(function):
    t = ad.tensor(ONE_TRIANGLE, requires_grad=True)
    found = function(t)
    truth = function(ONE_TRIANGLE)
    np.testing.assert_allclose(found.data, truth, atol=1e-12)
    weights = np.arange(1.0, truth.size + 1).reshape(truth.shape)
    np.sum(found * weights).backward()
    np.testing.assert_allclose(t.grad, numeric(lambda a: np.sum(function(a) * weights), ONE_TRIANGLE), atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        np.linalg.eigvalsh,
        np.linalg.cholesky,
        lambda a: np.linalg.eigvalsh(a, UPLO="U") ** 2,
        lambda a: np.linalg.eigh(a)[1] ** 2,
        lambda a: np.linalg.pinv(a, hermitian=True),
    ],
)
def test_the_checker_agrees_for_symmetric_matrices_others_and_stacks_of_both(function):
    """One definition: a symmetric matrix stands for its symmetric part, any other for the triangle that is read."""
    symmetric = (ONE_TRIANGLE + ONE_TRIANGLE.T) / 8 + 2 * np.diag([1.0, 2.0, 4.0])
    for a in (symmetric, ONE_TRIANGLE, np.stack([symmetric, ONE_TRIANGLE])):
        check_gradients(function, a)
    weights = np.array([1.0, 3.0, 7.0])
    gradient = ad.grad(lambda a: np.sum(function(a) * weights))(np.stack([symmetric, ONE_TRIANGLE]))
    np.testing.assert_allclose(gradient[0], gradient[0].T, atol=1e-12)


def test_an_unknown_triangle_is_refused():
    with pytest.raises(ValueError, match="UPLO"):
        np.linalg.eigvalsh(ad.tensor(np.eye(2)), UPLO="X")


def test_matrix_power_zero_is_the_identity_of_the_dtype():
    for dtype in (np.float32, np.complex64):
        found = np.linalg.matrix_power(ad.tensor(np.full((2, 2), np.nan, dtype), requires_grad=True), 0)
        assert found.dtype == dtype
        assert np.array_equal(found.data, np.eye(2))


@pytest.mark.parametrize(("shape", "place"), [((4, 3), 0), ((3, 4), 2)])
@pytest.mark.parametrize("dtype", [float, complex])
def test_vectors_of_a_singular_value_of_zero_are_refused(shape, place, dtype):
    """Those of the longer side may be any outside of the span of the others."""
    r = np.random.default_rng(0)
    x = (r.normal(size=(shape[0], 2)) @ r.normal(size=(2, shape[1]))).astype(dtype)
    f = lambda a: np.sum(np.abs(np.linalg.svd(a, full_matrices=False)[place]) ** 4)
    for derivative in (lambda: ad.grad(f)(x), lambda: ad.jvp(f, (x,), (np.ones(shape, dtype),))):
        with pytest.raises(ad.NotDifferentiableError, match="zero"):
            derivative()


EVS = np.linalg.eigvalsh
SVS = lambda x: np.linalg.svd(x, compute_uv=False)


@pytest.mark.parametrize("spectrum", [[1.0, 1.0, 1.0], [1.0, 1.0, 2.0], [1.0, 2.0, 2.0], [1.0, 2.0, 4.0]])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(EVS(x) * np.log(EVS(x))),
        lambda x: np.sum(np.linalg.eigh(x)[0] * np.log(EVS(x))),
        lambda x: np.sum(EVS((x + x.T) / 2) * np.log(EVS((x + x.T) / 2))),
        lambda x: np.sum(SVS(x) * np.log(SVS(x))),
        lambda x: np.sum(SVS(x) * np.log(np.linalg.svd(x)[1])),
    ],
)
def test_values_that_are_computed_twice(f, spectrum):
    """The gradient of tr(X log X) is log X + 1, whose slope in the eigenvectors' basis are divided differences."""
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    w, t = np.array(spectrum), np.array([[0.2, 1.0, -0.4], [1.0, -0.3, 0.1], [-0.4, 0.1, 1.1]])
    with np.errstate(all="ignore"):
        d = (np.log(w)[:, None] - np.log(w)) / (w[:, None] - w)
    d = np.where(np.isfinite(d), d, 1 / w)
    x, right = q @ np.diag(w) @ q.T, q @ (d * t) @ q.T
    for order in (
        ad.grad(lambda x: np.sum(ad.grad(f)((x + x.T) / 2) * (q @ t @ q.T))),
        lambda x: ad.hvp(f, (x,), (q @ t @ q.T,))[0],
    ):
        found = order(x)
        np.testing.assert_allclose((found + found.T) / 2, right, atol=1e-9)


def test_other_ways_from_the_matrix_into_functions_of_equal_values():
    t, x = np.array([[0.2, 1.0], [1.0, -0.3]]), np.eye(2)
    twice = lambda f: ad.grad(lambda x: np.sum(ad.grad(f)(x) * t))(x)
    np.testing.assert_allclose(twice(lambda x: np.sum(EVS(x) ** 2) * np.sum(x * x)), 8 * (np.trace(t) * x + t))
    for f in (lambda x: np.sum(EVS(x) * np.diagonal(x)), lambda x: np.sum(EVS(x) * EVS(2 * x))):
        with pytest.raises(ad.NotDifferentiableError, match="compute the values once"):
            twice(f)
    with_parameter = lambda p: np.sum(ad.grad(lambda x: np.sum(p * np.exp(EVS(x))))(x) * t)
    np.testing.assert_allclose(ad.grad(with_parameter)(2.0), np.trace(t) * np.e)
    with pytest.raises(ad.NotDifferentiableError, match="compute the values once"):
        ad.grad(with_parameter)(np.ones(2))


@pytest.mark.parametrize("second", [forward_over_reverse, reverse_over_reverse])
@pytest.mark.parametrize("name", ["eigh", "svd"])
def test_second_derivatives_through_vectors_of_near_values_are_right_or_refused(name, second):
    """Of a sum that is as smooth as a power: rounding is divided by the square of the gap."""
    weights = np.arange(9.0).reshape(3, 3)

    def through_vectors(x):
        if name == "svd":
            u, s, vh = np.linalg.svd(x)
            return np.sum((u * s**3) @ vh * weights)
        w, u = np.linalg.eigh(x)
        return np.sum((u * w**3) @ u.T * weights)

    def of_vectors(x):
        return (np.linalg.eigh(x)[1] if name == "eigh" else np.linalg.svd(x)[0])[0, 0] ** 2

    for gap in (1e-3, 1e-7, 1e-9):
        x = Q @ np.diag([1.0, 1.0 + gap, 2.0]) @ Q.T
        x = (x + x.T) / 2
        assert np.all(np.isfinite(second(of_vectors, x, V)))
        if gap < 1e-6:
            with pytest.raises(ad.NotDifferentiableError, match=r"nearly equal|values are equal"):
                second(through_vectors, x, V)
            continue
        right = second(lambda x: np.sum((x @ (x.T if name == "svd" else x) @ x) * weights), x, V)
        right = right if name == "svd" else (right + right.T) / 2
        np.testing.assert_allclose(second(through_vectors, x, V), right, atol=1e-7 * np.max(np.abs(right)))


def test_a_check_of_what_is_singular_moves_the_values_with_the_matrix():
    """Values that came with their vectors are an input of the operation, no constant of the program."""
    wide, b = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), np.array([0.3, -1.0, 0.5, 2.0])
    a = np.array([[1.0, 0.2], [-0.3, 0.8], [0.5, 1.5], [2.0, -0.7]])
    check_gradients(lambda a: np.linalg.lstsq(a @ wide, b, rcond=1e-10)[0], a, order=1)


@pytest.mark.parametrize("name", ["eig", "eigh", "svd", "qr"])
def test_a_factorisation_asks_lapack_once(name, monkeypatch):
    numpys, calls = getattr(np.linalg, name), []
    monkeypatch.setattr(np.linalg, name, lambda *args, **kwargs: calls.append(args) or numpys(*args, **kwargs))
    a = np.diag([1.0, 2.0, 4.0]) + 0.1
    found = getattr(ad.linalg, name)(a)
    assert len(calls) == 1
    assert type(found) is type(numpys(a))
