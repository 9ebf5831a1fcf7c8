"""What an equation defines: first and second derivatives against closed forms and against differences of the solver;
whatever is no answer has an error.
"""

import numpy as np
import pytest

import autodiff as ad
from autodiff import implicit, sparse
from autodiff.core.errors import (
    ArgumentError,
    ConvergenceError,
    DTypeError,
    NotDifferentiableError,
    ShapeError,
    SingularMatrixError,
)
from autodiff.testing import check_gradients

optimize = pytest.importorskip("scipy.optimize", reason="SciPy solves")

MATRIX = np.array([[3.0, 1.0], [0.5, 2.0]])


def differences(f, x, h=1e-5):
    """The Jacobian by central differences of the solver."""
    solved = lambda x: f(ad.tensor(x, requires_grad=True)).data  # tracked, so that the solution is polished
    return np.stack([(solved(x + step) - solved(x - step)) / (2 * h) for step in h * np.eye(x.size)], axis=-1)


def coupled(x, p):
    return np.stack([x[0] ** 3 + p[0] * x[1] - 1.0, np.exp(x[1]) - p[1] * x[0]])


@pytest.mark.parametrize("method", ["hybr", "lm", "krylov"])
def test_root_of_a_system(method):
    p = np.array([0.7, 1.9])
    f = lambda p: implicit.root(coupled, np.ones(2), (p,), method).x
    np.testing.assert_allclose(ad.jacobian(f)(p), differences(f, p), rtol=1e-7)
    if method == "hybr":
        check_gradients(f, p, order=2)


def test_derivatives_of_the_square_root_to_third_order():
    f = lambda a: implicit.root(lambda x: x * x - a, 1.5).x
    for want in (0.5 / np.sqrt(2.0), -0.25 * 2.0**-1.5, 0.375 * 2.0**-2.5):
        f = ad.grad(f)
        assert np.isclose(f(2.0), want)


def test_what_is_closed_over_in_two_ways_counts_once():
    # x^2 = a b with b = a^2: x = a^(3/2).
    a = ad.tensor(2.0, requires_grad=True)
    b = a * a
    implicit.root(lambda x: x * x - a * b, 1.0).x.backward()
    assert np.isclose(a.grad, 1.5 * np.sqrt(2.0))


def test_checkpoint_counts_what_it_closes_over_once():
    x = ad.tensor(2.0, requires_grad=True)
    y = x * x
    ad.checkpoint(lambda: x * y)().backward()
    assert x.grad == 12.0
    x.zero_grad()
    ad.checkpoint(lambda: ad.checkpoint(lambda: x * x * x)() * 2.0)().backward()
    assert x.grad == 24.0


def test_trees_and_float32():
    target = {"a": np.array([1.0, 2.0], np.float32), "b": np.float32(0.5)}

    def f(scale):
        x = implicit.root(lambda x: {"a": x["a"] * scale - target["a"], "b": x["b"] ** 3 - scale}, target).x
        assert x["a"].dtype == x["b"].dtype == np.float32
        return np.sum(x["a"]) + x["b"]

    assert np.isclose(ad.grad(f)(2.0), -3.0 / 4.0 + 2.0 ** (-2 / 3) / 3.0, rtol=1e-5)


def test_fixed_point():
    f = lambda p: implicit.fixed_point(lambda x: np.cos(p * x), np.full(2, 0.5))
    p = np.array([0.9, 0.6])
    np.testing.assert_allclose(ad.jacobian(f)(p), differences(f, p), rtol=1e-7, atol=1e-9)
    x = f(p).data  # x = cos(p x), so x' = -x sin / (1 + p sin)
    sine = np.sin(p * x)
    np.testing.assert_allclose(ad.grad(lambda p: f(p)[0])(p)[0], (-x * sine / (1 + p * sine))[0], rtol=1e-12)
    with pytest.raises(ConvergenceError, match="fixed_point"):
        implicit.fixed_point(lambda x: 2.0 * x + 1.0, np.ones(1), method="iteration", maxiter=20)


@pytest.mark.parametrize("loss", ["linear", "soft_l1", "huber", "cauchy", "arctan"])
def test_least_squares_in_the_data(loss):
    t = np.linspace(0.0, 2.0, 6)
    y = np.exp(-0.8 * t) + 0.1 * np.cos(5 * t)
    f = lambda y: (
        implicit.least_squares(lambda p: p[0] * np.exp(-p[1] * t) - y, np.array([1.0, 1.0]), loss=loss, f_scale=0.07).x
    )
    np.testing.assert_allclose(ad.jacobian(f)(y), differences(f, y), rtol=1e-6, atol=1e-8)
    curve = lambda p: p[0] * np.exp(-p[1] * t) - y
    g = lambda scale: implicit.least_squares(curve, np.array([1.0, 1.0]), loss=loss, f_scale=scale[0]).x
    scale = np.array([0.07])
    np.testing.assert_allclose(ad.jacobian(g)(scale), differences(g, scale, 1e-6), rtol=1e-6, atol=1e-8)


def test_least_squares_at_a_bound():
    y = np.array([1.0, 2.0])
    f = lambda y: implicit.least_squares(lambda p: p - y, np.zeros(2), bounds=([-1.0, -1.0], [5.0, 1.5])).x
    np.testing.assert_allclose(ad.jacobian(f)(y), [[1.0, 0.0], [0.0, 0.0]], atol=1e-12)
    high = ad.tensor(1.5, requires_grad=True)
    implicit.least_squares(lambda p: p - y, np.zeros(2), bounds=(-1.0, high)).x[1].backward()
    assert high.grad == 1.0


@pytest.mark.parametrize("solver", ["minimize", "least_squares"])
def test_a_bound_that_does_not_press_is_a_kink(solver):
    # At a = 1 the solution min(a, 1) has the slope 1 on one side and 0 on the other.
    if solver == "minimize":
        f = lambda a: implicit.minimize(lambda x: np.sum((x - a) ** 2), np.full(2, 0.5), bounds=(0.0, 1.0)).x
    else:
        f = lambda a: implicit.least_squares(lambda x: x - a, np.full(2, 0.5), bounds=(0.0, 1.0)).x
    np.testing.assert_allclose(ad.jacobian(f)(np.array([1.5, 0.5])), np.diag([0.0, 1.0]), atol=1e-12)
    with pytest.raises(NotDifferentiableError, match="does not press"):
        ad.jacobian(f)(np.array([1.0, 0.5]))


def test_minimize_in_parameters_to_second_order():
    f = lambda p: implicit.minimize(lambda x: np.sum(np.cosh(x - p)) + 0.5 * (x[0] * x[1]) ** 2, np.zeros(2)).x
    p = np.array([0.3, -0.6])
    np.testing.assert_allclose(ad.jacobian(f)(p), differences(f, p), rtol=1e-6)
    slope = ad.grad(lambda p: f(p)[0])
    np.testing.assert_allclose(
        ad.hessian(lambda p: f(p)[0])(p), differences(lambda p: ad.tensor(slope(p)), p), rtol=1e-6, atol=1e-8
    )
    bounded = lambda p: (
        implicit.minimize(lambda x: np.sum((x - p) ** 4 + (x - p) ** 2), np.zeros(2), bounds=(0.0, None)).x
    )
    np.testing.assert_allclose(ad.jacobian(bounded)(np.array([0.5, -0.5])), np.diag([1.0, 0.0]), atol=1e-8)


def test_minimize_with_constraints():
    # The nearest point to p on the circle of radius r, above the line x1 = q, is r p / |p|.
    def f(p, r):
        constraints = [
            {"type": "eq", "fun": lambda x: np.sum(x * x) - r * r},
            {"type": "ineq", "fun": lambda x: x[1] + 10.0},
        ]
        return implicit.minimize(lambda x: np.sum((x - p) ** 2), np.ones(2), constraints=constraints).x

    p, r = np.array([1.0, 2.0]), np.array(1.5)
    exact = lambda p, r: r * p / np.sqrt(np.sum(p * p))
    for got, want in zip(ad.jacobian(f, (0, 1))(p, r), ad.jacobian(exact, (0, 1))(p, r), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-8)
    second = ad.hessian(lambda p: f(p, r)[0])(p)
    np.testing.assert_allclose(second, ad.hessian(lambda p: exact(p, r)[0])(p), rtol=1e-6, atol=1e-8)
    above = lambda q: (
        implicit.minimize(
            lambda x: np.sum((x - p) ** 2), np.ones(2), constraints={"type": "ineq", "fun": lambda x: x[1] - q}
        ).x
    )
    np.testing.assert_allclose(ad.jacobian(above)(3.0), [0.0, 1.0], atol=1e-9)
    with pytest.raises(NotDifferentiableError, match="kink"):
        above(ad.tensor(2.0, requires_grad=True))


@pytest.mark.parametrize(
    "constraint",
    [
        optimize.LinearConstraint([[1.0, 1.0]], 1.0, 1.0),
        optimize.NonlinearConstraint(lambda x: np.sum(x), -np.inf, 1.0),
        {"type": "ineq", "fun": lambda x: 1.0 - np.sum(x)},
    ],
)
def test_minimize_with_scipys_constraints(constraint):
    closest = lambda a, **more: (
        implicit.minimize(lambda x: np.sum((x - a) ** 2), np.zeros(2), constraints=constraint, **more).x
    )
    np.testing.assert_allclose(ad.jacobian(closest)(np.array([3.0, 1.0])), [[0.5, -0.5], [-0.5, 0.5]], atol=1e-7)
    held = lambda a: closest(a, bounds=[(None, 0.2), (None, None)])
    free = not isinstance(constraint, optimize.LinearConstraint)  # whose equation settles the second number
    np.testing.assert_allclose(ad.jacobian(held)(np.array([3.0, 0.7])), [[0.0, 0.0], [0.0, free]], atol=1e-7)


def test_lists_affine_functions_and_a_minimum_at_infinity():
    both = lambda a: implicit.root(lambda x: [x[0] + x[1] - a, x[0] - x[1]], np.zeros(2)).x[0]
    assert np.isclose(ad.grad(both)(3.0), 0.5)
    with pytest.raises(ad.ArgumentError, match="not linear"):
        implicit.linear_solve(lambda x: x + 1, np.ones(3))
    with pytest.raises(ad.AutodiffError), np.errstate(over="ignore", invalid="ignore"):
        ad.grad(lambda a: implicit.minimize(lambda x: -a * np.sum(x**2), np.ones(2)).x[0])(1.0)


def test_custom_root_of_either_signature():
    for solver, args in ((lambda x0, a: np.cbrt(a), (None,)), (lambda a: np.cbrt(a), ())):
        f = implicit.custom_root(lambda x, a: x**3 - a)(solver)
        assert np.isclose(ad.grad(lambda a, f=f, args=args: f(*args, a))(8.0), 1 / 12)
        assert np.isclose(ad.grad(ad.grad(lambda a, f=f, args=args: f(*args, a)))(8.0), -2 / 9 * 8.0 ** (-5 / 3))
    bad = implicit.custom_root(lambda x, a: x**3 - a)(lambda a: np.cbrt(a) + 0.1)
    with pytest.raises(ConvergenceError, match="does not satisfy"):
        ad.grad(bad)(8.0)
    with pytest.raises(ArgumentError, match="arguments"):
        f(1.0, 2.0, 3.0)


@pytest.mark.parametrize("n", [3, 700])
def test_linear_solve(n):
    rng = np.random.default_rng(0)
    d, b = rng.uniform(2.0, 3.0, n), rng.normal(size=n)

    def apply(x, d):
        return {"x": d * x["x"] + 0.3 * np.roll(x["x"], 1)}

    f = lambda d, b: implicit.linear_solve(lambda x: apply(x, d), {"x": b})["x"]
    dense = np.diag(d) + 0.3 * np.roll(np.eye(n), 1, axis=0)
    x = np.linalg.solve(dense, b)
    np.testing.assert_allclose(f(ad.tensor(d), b).data, x, rtol=1e-9, atol=1e-10)
    u = rng.normal(size=n)
    adjoint = np.linalg.solve(dense.T, u)
    for got, want in zip(ad.grad(lambda d, b: u @ f(d, b), (0, 1))(d, b), (-adjoint * x, adjoint), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-9)
    if n < 10:
        full = lambda d, b: np.linalg.solve(np.diag(d) + 0.3 * np.roll(np.eye(n), 1, axis=0), b)
        got, want = (ad.hessian(lambda d, g=g: np.sum(g(d, b) ** 2))(d) for g in (f, full))
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_linear_solve_of_matrices():
    b = np.array([1.0, 2.0])
    check_gradients(implicit.linear_solve, MATRIX, b)
    np.testing.assert_allclose(
        implicit.linear_solve(sparse.csr_array(MATRIX), b).data, np.linalg.solve(MATRIX, b), rtol=1e-14
    )
    z = b * (1 + 2j)
    np.testing.assert_allclose(implicit.linear_solve(lambda x: MATRIX @ x, z).data, [0.0, 1 + 2j], atol=1e-15)
    with pytest.raises(SingularMatrixError):
        implicit.linear_solve(np.ones((2, 2)), b)
    with pytest.raises(SingularMatrixError):
        implicit.linear_solve(lambda x: np.sum(x) * np.ones(2), b)
    with pytest.raises(ArgumentError, match="not linear"):
        implicit.linear_solve(lambda x: x**3 + x, b)


def test_no_answer_has_no_derivative():
    with pytest.raises(ConvergenceError, match="root"):
        implicit.root(lambda x: x * x + 1.0, 0.5)
    a = ad.tensor(0.0, requires_grad=True)
    with pytest.raises(SingularMatrixError, match="singular"):
        implicit.root(lambda x: x * x - a * 0.0, 0.0).x.backward()
    with pytest.raises(ConvergenceError, match="minimize"):
        implicit.minimize(lambda x: np.sum((x - a) ** 4), np.ones(2), options={"maxiter": 1})
    with pytest.raises(DTypeError, match="real"):
        implicit.root(lambda x: x, 1j)
    with pytest.raises(ShapeError, match="the equation"):
        implicit.root(lambda x: x[:1], np.ones(2))


def test_a_large_sparse_system_is_factorised():
    n = 900
    f = lambda p: (
        implicit.root(
            lambda u: u**3 + 2.0 * u - 0.5 * np.roll(u, 1) - p * np.arange(n) / n,
            np.zeros(n),
            method="krylov",
            tol=1e-11,
        ).x
    )
    slope = ad.grad(lambda p: np.sum(f(p) ** 2))(1.3)
    h = 1e-5
    assert np.isclose(slope, (np.sum(f(1.3 + h).data ** 2) - np.sum(f(1.3 - h).data ** 2)) / (2 * h), rtol=1e-6)
    from autodiff import coloring

    x = ad.tensor(np.ones(n), requires_grad=True)
    assert coloring.few_passes(x**3 - np.roll(x, 1), x).nnz == 2 * n
    assert coloring.few_passes(np.cumsum(x), x) is None


@pytest.mark.parametrize(
    ("bounds", "moved"),
    [
        (lambda b: (0.0, b), 1.0),
        (lambda b: optimize.Bounds(0.0, b), 1.0),
        (lambda b: [(0.0, b), (None, None)], -1.0),
        (lambda b: (np.zeros(2), np.stack([b, 9.0])), -1.0),
    ],
)
def test_a_minimum_moves_with_the_bound_that_holds_it(bounds, moved):
    limited = [{"type": "ineq", "fun": lambda x: 50.0 - np.sum(x)}]
    for constraints in ((), limited):
        f = lambda b, c=constraints: (
            implicit.minimize(
                lambda x: np.sum((x - np.array([3.0, 0.5])) ** 2 + x[0] * x[1]),
                np.full(2, 0.5),
                bounds=bounds(b),
                constraints=c,
            ).x
        )
        # x0 = b, and where x1 is inside, 2 (x1 - 0.5) + 2 x0 = 0
        np.testing.assert_allclose(ad.jacobian(f)(np.array(0.2)), [1.0, moved], atol=1e-7)


def test_least_squares_takes_scipys_bounds_and_no_end_that_is_none():
    residual = lambda x: x - np.array([3.0, 0.5])
    for bounds in ((0.0, 1.0), optimize.Bounds(0.0, 1.0), ([0.0, 0.0], [1.0, 2.0])):
        np.testing.assert_allclose(implicit.least_squares(residual, np.full(2, 0.4), bounds=bounds).x.data, [1.0, 0.5])
    with pytest.raises(ValueError, match="'lm'"):
        implicit.least_squares(residual, np.full(2, 0.4), bounds=(0.0, 1.0), method="lm")
    # SciPy's "trf" calls its start on a bound the answer.
    assert optimize.least_squares(residual, np.zeros(2), bounds=(0.0, 1.0)).x[0] < 1e-6
    with pytest.raises(ConvergenceError, match="function falls"):
        implicit.least_squares(residual, np.zeros(2), bounds=(0.0, 1.0))
    np.testing.assert_allclose(
        implicit.least_squares(residual, np.zeros(2), bounds=(0.0, 1.0), method="dogbox").x.data, [1.0, 0.5]
    )
    # Pressed against the bound at which it starts, it is an answer.
    pressed = implicit.least_squares(lambda x: x + 3.0, np.zeros(2), bounds=(0.0, 1.0)).x
    np.testing.assert_allclose(pressed.data, [0.0, 0.0], atol=1e-8)


def test_root_takes_one_argument_by_itself_and_no_complex_equation():
    for a in (2.0, np.array([2.0, 3.0])):
        np.testing.assert_allclose(
            implicit.root(lambda x, a: x * x - a, np.ones(2), args=a).x.data,
            optimize.root(lambda x, a: x * x - a, np.ones(2), args=a).x,
        )
    for call in (
        lambda: implicit.root(lambda x: (1 + 1j) * x - 2.0, 1.0),
        lambda: implicit.fixed_point(lambda x: (0.1 + 0.1j) * x, 1.0),
        lambda: implicit.least_squares(lambda x: x - 1j * np.arange(3.0), 1.0),
        lambda: implicit.custom_root(lambda x, a: x - 1j * a)(lambda x0, a: a)(None, 2.0),
    ):
        with pytest.raises(DTypeError, match="real numbers"):
            call()
