"""solve_ivp, odeint and quad: values are SciPy's; derivatives against closed forms and against differences of SciPy's
solver at tight tolerance.
"""

import numpy as np
import pytest

import autodiff as ad
from autodiff import implicit, integrate
from autodiff.core.errors import (
    ArgumentError,
    ConvergenceError,
    DTypeError,
    GraphError,
    ShapeError,
    SingularMatrixError,
)
from autodiff.integrate import dblquad, nquad, odeint, quad, solve_ivp, tplquad

scipys = pytest.importorskip("scipy.integrate", reason="SciPy steps")

METHODS = ("RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA")


def lotka(t, y, p):
    return [p[0] * y[0] - p[1] * y[0] * y[1], p[3] * y[0] * y[1] - p[2] * y[1]]


P, Y = np.array([1.5, 1.0, 3.0, 1.0]), np.array([1.0, 0.8])


def differences(f, x, h=1e-5):
    x = np.asarray(x, float)
    steps = h * np.eye(x.size).reshape(x.size, *x.shape)
    return np.stack([(f(x + s) - f(x - s)) / (2 * h) for s in steps], axis=-1).reshape(-1, *x.shape)


def exact(y0, p, t, t0=0.0):
    """SciPy's solution at tight tolerance, to take differences of."""
    end = float(np.max(t))
    found = scipys.solve_ivp(
        lotka, (float(t0), end), y0, "DOP853", args=(p,), rtol=1e-13, atol=1e-13, dense_output=True
    )
    return found.sol(t)


@pytest.mark.parametrize("method", METHODS)
def test_values_are_scipys_and_gradients_those_of_the_solution(method):
    options = {"method": method, "rtol": 1e-4 if method == "RK23" else 1e-8, "atol": 1e-8}
    want = scipys.solve_ivp(lotka, (0.0, 3.0), Y, args=(P,), **options)
    got = solve_ivp(lotka, (0.0, 3.0), Y, args=(P,), **options)
    if method in ("RK23", "RK45", "DOP853"):
        np.testing.assert_array_equal(got.t.data, want.t)
        np.testing.assert_array_equal(got.y.data, want.y)
    np.testing.assert_allclose(got.y.data[:, -1], want.y[:, -1], rtol=1e-6)
    times = np.array([0.0, 0.7, 0.7, 2.0, 3.0])
    weights = np.cos(np.arange(10.0)).reshape(2, 5)

    def loss(y0, p, t, t0):
        return np.sum(weights * solve_ivp(lotka, (t0, 3.0), y0, t_eval=t, args=(p,), **options).y)

    near = {"RK23": 2e-3, "LSODA": 2e-5, "BDF": 2e-5}.get(method, 1e-6)
    gradients = ad.grad(loss, (0, 1))(Y, P, times, 0.0)
    f = lambda y0, p: np.sum(weights * exact(y0, p, times))
    np.testing.assert_allclose(gradients[0], differences(lambda y: f(y, P), Y)[0], rtol=near)
    np.testing.assert_allclose(gradients[1], differences(lambda p: f(Y, p), P)[0], rtol=near)


@pytest.mark.parametrize("method", ["RK45", "DOP853", "Radau"])
def test_times_are_differentiable(method):
    options = {"method": method, "rtol": 1e-9, "atol": 1e-9}
    forced = lambda t, y, k: -k * y + np.sin(3 * t)

    def last(t0, t1):
        return solve_ivp(forced, (t0, t1), np.ones(1), args=(0.7,), **options).y[0, -1]

    def solved(span):
        found = scipys.solve_ivp(forced, span, np.ones(1), "DOP853", args=(0.7,), rtol=1e-13, atol=1e-13)
        return found.y[0, -1]

    want = differences(solved, np.array([0.2, 2.1]))[0]
    np.testing.assert_allclose(ad.grad(last, (0, 1))(0.2, 2.1), want, rtol=1e-6)
    inner = lambda t: solve_ivp(forced, (0.2, 2.1), np.ones(1), t_eval=t, args=(0.7,), **options).y[0]
    t = np.array([0.2, 0.9, 1.5, 2.1])
    y = inner(t).data
    np.testing.assert_allclose(np.diag(ad.jacobian(inner)(t)), -0.7 * y + np.sin(3 * t), rtol=1e-5)


@pytest.mark.parametrize("method", ["RK45", "DOP853", "Radau"])
def test_second_derivatives(method):
    f = lambda k, y0, t: solve_ivp(lambda t, y: -k * y, (0.0, 1.5), [y0], method, t_eval=[t], rtol=1e-9, atol=1e-11).y[
        0, 0
    ]
    k, y0, t = 0.8, 1.3, 1.1
    slope = ad.grad(f, (0, 1, 2))
    e = y0 * np.exp(-k * t)
    np.testing.assert_allclose(slope(k, y0, t), [-t * e, e / y0, -k * e], rtol=1e-6)
    second = ad.grad(lambda k, y0, t: ad.grad(f)(k, y0, t), (0, 1, 2))(k, y0, t)
    np.testing.assert_allclose(second, [t * t * e, -t * e / y0, (k * t - 1) * e], rtol=1e-5)


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
def test_robertson(method):
    def robertson(t, y, k):
        a, b, c = k[0] * y[0], k[1] * y[1] ** 2, k[2] * y[1] * y[2]
        return [-a + c, a - b - c, b]

    k, y0 = np.array([0.04, 3e7, 1e4]), np.array([1.0, 0.0, 0.0])
    options = {"method": method, "rtol": 1e-7, "atol": 1e-11}
    result = solve_ivp(robertson, (0.0, 40.0), y0, args=(k,), **options)
    np.testing.assert_allclose(result.y.data[:, -1], [0.7158270688, 9.185534765e-6, 0.2841637457], rtol=2e-5)
    got = ad.jacobian(lambda k: solve_ivp(robertson, (0.0, 40.0), y0, args=(k,), **options).y[:, -1])(k)
    tight = lambda k: scipys.solve_ivp(robertson, (0.0, 40.0), y0, "Radau", args=(k,), rtol=1e-9, atol=1e-13).y[:, -1]
    for i in range(3):
        h = 5e-3 * k[i] * np.eye(3)[i]
        np.testing.assert_allclose(got[:, i], (tight(k + h) - tight(k - h)) / (2 * h[i]), rtol=1e-3)


def test_van_der_pol():
    f = lambda t, y, mu: [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]]
    options = {"method": "Radau", "rtol": 1e-8, "atol": 1e-10}
    last = lambda mu: solve_ivp(f, (0.0, 1500.0), np.array([2.0, 0.0]), args=(mu,), **options).y[0, -1]
    tight = lambda mu: scipys.solve_ivp(f, (0.0, 1500.0), [2.0, 0.0], "Radau", args=(mu,), rtol=1e-8, atol=1e-10).y[
        0, -1
    ]
    np.testing.assert_allclose(ad.grad(last)(1000.0), (tight(1001.0) - tight(999.0)) / 2, rtol=1e-3)


def test_a_gradient_costs_a_few_solves():
    asked = []

    def counted(t, y, p):
        asked.append(t)
        return lotka(t, y, p)

    options = {"rtol": 1e-8, "atol": 1e-8}
    scipys.solve_ivp(counted, (0.0, 10.0), Y, args=(P,), **options)
    forward = len(asked)
    asked.clear()
    ad.grad(lambda p: np.sum(solve_ivp(counted, (0.0, 10.0), Y, args=(p,), **options).y[:, -1]))(P)
    # The forward solve, and each of its steps once more with a graph.
    assert forward < len(asked) < 2.5 * forward


def test_an_equation_of_one_point_at_a_time_and_closures():
    k = ad.tensor(0.7, requires_grad=True)
    twice = k * 2.0

    def f(t, y):
        rate = k if t < 1.0 else twice - k  # a branch on one number
        return -rate * y

    solve_ivp(f, (0.0, 2.0), np.ones(1), rtol=1e-9, atol=1e-9).y[0, -1].backward()
    assert np.isclose(k.grad, -2.0 * np.exp(-1.4), rtol=1e-6)
    hidden = ad.tensor(0.7, requires_grad=True)
    seen = ad.tensor(0.1, requires_grad=True)

    def late(t, y):
        return -seen * y - (hidden * y if 1.0 < t < 1.01 else 0.0 * y)

    with pytest.raises(GraphError, match="args"):
        solve_ivp(late, (0.0, 2.0), np.ones(1), max_step=0.01).y[0, -1].backward()


@pytest.mark.parametrize("taken", ["at once", "under vmap", "one by one"])
def test_the_ways_back_agree(taken, monkeypatch):
    import autodiff.integrate as module

    used = []
    if taken == "one by one":
        monkeypatch.setattr(module, "FULL_JACOBIANS", 0)
    else:
        real = module._Table.pulled
        monkeypatch.setattr(module._Table, "pulled", lambda self, *a: used.append(real(self, *a)) or used[-1])
    coupling = (lambda y: y[0] * y[0] + y[1] * y[1]) if taken == "at once" else (lambda y: y @ y)
    f = lambda t, y, k: -k * y * coupling(y)
    for method in ("RK45", "Radau"):
        loss = lambda k, y, m=method: solve_ivp(f, (0.0, 1.0), y, m, args=(k,), rtol=1e-9, atol=1e-9).y[0, -1]
        # |y|^2 = r gives r' = -2 k r^2, so y(1) = y0 / sqrt(1 + 2 k r0).
        closed = lambda k, y: y[0] / np.sqrt(1 + 2 * k * np.sum(y * y))
        at = (0.7, np.array([1.0, 0.5]))
        for got, want in zip(ad.grad(loss, (0, 1))(*at), ad.grad(closed, (0, 1))(*at), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6)
    assert all(part is not None for part in used)
    assert bool(used) == (taken != "one by one")


def test_trees_and_shapes():
    y0 = {"x": np.array([[1.0, 2.0], [3.0, 4.0]]), "v": np.zeros((2, 2))}
    f = lambda t, y, w: {"x": y["v"], "v": -w * w * y["x"]}
    solve = lambda w, y0: solve_ivp(f, (0.0, 1.0), y0, "DOP853", args=(w,), rtol=1e-10, atol=1e-10, t_eval=[0.5, 1.0])
    result = solve(2.0, y0)
    assert result.y["x"].shape == (2, 2, 2)
    np.testing.assert_allclose(result.y["x"].data[..., 1], np.cos(2.0) * y0["x"], rtol=1e-8)
    loss = lambda w, y0: np.sum(solve(w, y0).y["x"][..., 1])
    slope, start = ad.grad(loss, (0, 1))(2.0, y0)
    np.testing.assert_allclose(slope, -np.sin(2.0) * 10.0, rtol=1e-7)
    np.testing.assert_allclose(start["v"], np.full((2, 2), np.sin(2.0) / 2.0), rtol=1e-7)
    z = solve_ivp(lambda t, y: 1j * y, (0.0, 1.0), np.array([1.0 + 0j]), rtol=1e-9, atol=1e-9).y[0, -1]
    np.testing.assert_allclose(z.item(), np.exp(1j), rtol=1e-7)


def test_many_unknowns():
    n = 60
    y0 = np.sin(np.arange(n))
    f = lambda t, y, k: k * (np.roll(y, 1) - 2 * y + np.roll(y, -1))
    matrix = np.roll(np.eye(n), 1, 0) - 2 * np.eye(n) + np.roll(np.eye(n), -1, 0)
    from scipy.linalg import expm

    for method in ("RK45", "Radau"):
        last = lambda k, y, m=method: solve_ivp(f, (0.0, 0.5), y, m, args=(k,), rtol=1e-8, atol=1e-8).y[3, -1]
        slope, start = ad.grad(last, (0, 1))(1.2, y0)
        np.testing.assert_allclose(start, expm(0.6 * matrix)[3], atol=1e-6)
        np.testing.assert_allclose(slope, (0.5 * matrix @ expm(0.6 * matrix) @ y0)[3], rtol=1e-5)


@pytest.mark.parametrize("method", ["RK45", "Radau", "BDF", "LSODA"])
def test_events_and_their_times(method):
    # A ball thrown up from h with speed v under gravity g lands at (v + sqrt(v^2 + 2 g h)) / g.
    def fall(t, y, g):
        return [y[1], -g + 0.0 * y[0]]

    def ground(t, y, g):
        return y[0]

    ground.terminal, ground.direction = True, -1
    top = lambda t, y, g: y[1]

    def landing(y0, g):
        return solve_ivp(fall, (0.0, 10.0), y0, method, events=[ground, top], args=(g,), rtol=1e-9, atol=1e-9)

    y0, g = np.array([1.0, 3.0]), 9.8
    closed = lambda y0, g: (y0[1] + np.sqrt(y0[1] ** 2 + 2 * g * y0[0])) / g
    result = landing(y0, g)
    assert result.status == 1
    np.testing.assert_allclose(result.t_events[0].data, [closed(y0, g)], rtol=1e-7)
    for pick in (lambda r: r.t_events[0][0], lambda r: r.t[-1]):
        f = lambda y0, g, pick=pick: pick(landing(y0, g))
        for got, want in zip(ad.grad(f, (0, 1))(y0, g), ad.grad(closed, (0, 1))(y0, g), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5)
    # The speed at the ground is -sqrt(v^2 + 2 g h), and the last state is that of the event.
    for pick in (lambda r: r.y_events[0][0, 1], lambda r: r.y[1, -1]):
        slope = ad.grad(lambda g, pick=pick: pick(landing(y0, g)))(g)
        np.testing.assert_allclose(slope, -1.0 / np.sqrt(9.0 + 2 * g), rtol=1e-5)
    np.testing.assert_allclose(ad.grad(lambda g: landing(y0, g).y_events[1][0, 0])(g), -9.0 / (2 * g * g), rtol=1e-5)
    # The top is reached at v / g; BDF and LSODA are derived along other steps than those that give the values.
    tangent = ad.jvp(lambda g: landing(y0, g).t_events[1][0], (g,), (1.0,))[1]
    np.testing.assert_allclose(tangent, -3.0 / g**2, rtol=1e-5)
    if method in ("RK45", "BDF"):
        second = ad.grad(ad.grad(lambda g: landing(y0, g).t_events[1][0]))(g)
        np.testing.assert_allclose(second, 2 * 3.0 / g**3, rtol=1e-4)


@pytest.mark.parametrize("method", ["RK45", "Radau"])
def test_second_derivatives_of_events_are_the_equations(method):
    """y' = -k y falls to 0.3 at log(1 / 0.3) / k; an interpolant's bend would cost four digits."""

    def event(k):
        return solve_ivp(
            lambda t, y: -k * y, (0.0, 5.0), np.ones(1), method, events=lambda t, y: y[0] - 0.3, rtol=1e-8, atol=1e-10
        )

    second = ad.grad(ad.grad(lambda k: event(k).t_events[0][0]))(1.3)
    np.testing.assert_allclose(second, -2 * np.log(0.3) / 1.3**3, rtol=1e-6)
    state = ad.grad(ad.grad(lambda k: event(k).y_events[0][0, 0] * k * k))(1.3)
    np.testing.assert_allclose(state, 0.6, rtol=1e-6)


def test_dense_output():
    k = ad.tensor(0.5, requires_grad=True)
    sol = solve_ivp(lambda t, y: -k * y, (0.0, 2.0), np.ones(1), dense_output=True, rtol=1e-9, atol=1e-9).sol
    assert sol(np.array([0.5, 1.0, 1.5])).shape == (1, 3)
    sol(1.0)[0].backward()
    np.testing.assert_allclose(k.grad, -np.exp(-0.5), rtol=1e-6)
    slope = ad.grad(lambda t: sol(t)[0])(1.0)
    np.testing.assert_allclose(slope.data, -0.5 * np.exp(-0.5), rtol=1e-5)


def test_forward_mode():
    from autodiff.integrate import quad

    options = {"rtol": 1e-9, "atol": 1e-9}
    programs = [
        lambda k: solve_ivp(lambda t, y: -k * y, (0.0, 1.0), np.ones(1), **options).y[0, -1],
        lambda k: solve_ivp(lambda t, y, k: -k * y, (0.0, 1.0), np.ones(1), "Radau", args=(k,), **options).y[0, -1],
        lambda k: solve_ivp(lambda t, y: -k * y, (0.0, 1.0), np.ones(1), dense_output=True, **options).sol(1.0)[0],
        lambda k: solve_ivp(lambda t, y, k: -k * y, (0.0, 1.0), [1.0], args=(k,), dense_output=True, **options).sol(
            1.0
        )[0],
        lambda k: odeint(lambda y, t: -k * y, 1.0, [0.0, 1.0])[-1],
    ]
    for program in programs:
        value, tangent = ad.jvp(program, (0.5,), (2.0,))
        np.testing.assert_allclose([value, tangent], [np.exp(-0.5), -2 * np.exp(-0.5)], rtol=1e-6)
    _, tangent = ad.jvp(lambda k: quad(lambda x: np.exp(-k * x), 0.0, np.inf)[0], (2.0,), (1.0,))
    assert np.isclose(tangent, -0.25)


def test_backwards_in_time():
    last = lambda k: solve_ivp(lambda t, y: -k * y, (2.0, 0.0), np.ones(1), rtol=1e-9, atol=1e-9, t_eval=[1.0, 0.0]).y[
        0
    ]
    np.testing.assert_allclose(ad.jacobian(last)(0.5), [np.exp(0.5), 2 * np.exp(1.0)], rtol=1e-6)


def test_misuse_is_named():
    decay = lambda t, y: -y
    with pytest.raises(ArgumentError, match="method"):
        solve_ivp(decay, (0, 1), np.ones(1), "Euler")
    with pytest.raises(ArgumentError, match="leaves the span"):
        solve_ivp(decay, (0, 1), np.ones(1), t_eval=[2.0])
    with pytest.raises(ArgumentError, match="order"):
        solve_ivp(decay, (0, 1), np.ones(1), t_eval=[0.5, 0.2])
    with pytest.raises(ShapeError, match="fun returned"):
        solve_ivp(lambda t, y: np.ones(2), (0, 1), np.ones(1))
    with pytest.raises(DTypeError, match="state"):
        solve_ivp(decay, (0, 1), "y")
    with pytest.raises(ConvergenceError, match="stopped at t"):
        solve_ivp(lambda t, y: y * y, (0, 2), np.ones(1))
    k = ad.tensor(1.0, requires_grad=True)
    touched = solve_ivp(
        lambda t, y: 0.0 * y + k, (0.0, 1.0), np.zeros(1), events=lambda t, y: np.where(y[0] < 0.5, -1.0, 1.0)
    )
    with pytest.raises(SingularMatrixError, match="touched"):
        touched.t_events[0][0].backward()


# odeint


def test_odeint_options():
    got = odeint(lambda y, t: -y, np.ones(1), np.array([0.0, 1.0, 1.0, 2.0]))
    np.testing.assert_allclose(got.data[:, 0], np.exp([0.0, -1.0, -1.0, -2.0]), rtol=1e-7)
    pulse = lambda y, t: np.exp(-(((t - 50.0) / 0.5) ** 2)) + 0 * y
    got = odeint(pulse, np.zeros(1), np.array([0.0, 100.0]), hmax=0.5)
    assert np.isclose(got.data[-1, 0], 0.5 * np.sqrt(np.pi), rtol=1e-6)
    jump = lambda y, t, k: k * np.where(t < 0.5, 1.0, 3.0) + 0 * y
    at = lambda k: odeint(jump, np.zeros(1), np.array([0.0, 1.0]), (k,), tcrit=[0.5], h0=0.25)[-1, 0]
    assert np.isclose(at(2.0).item(), 4.0, rtol=1e-6)
    assert np.isclose(ad.grad(at)(2.0), 2.0, rtol=1e-6)
    assert odeint(lambda y, t: {"a": -y["a"]}, {"a": np.ones((2, 2))}, [0.0, 1.0])["a"].shape == (2, 2, 2)
    with pytest.raises(ArgumentError, match="step sizes"):
        odeint(lambda y, t: -y, 1.0, [0.0, 1.0], hmax=-1.0)


def test_odeint_of_a_stiff_equation():
    c = 1e5
    f = lambda y, t, c: -c * (y - np.cos(t))
    got = odeint(f, np.zeros(1), np.array([0.0, 2.0]), (c,), mxstep=1500)
    closed = lambda c: c * (c * np.cos(2.0) + np.sin(2.0)) / (c * c + 1)
    assert np.isclose(got.data[-1, 0], closed(c), rtol=1e-6)
    slope = ad.grad(lambda c: odeint(f, np.zeros(1), np.array([0.0, 2.0]), (c,), rtol=1e-11, atol=1e-13)[-1, 0])(c)
    assert np.isclose(slope, ad.grad(closed)(c), rtol=1e-3)


# quadrature


def test_quad_in_limits_and_parameters_to_second_order():
    from autodiff.integrate import fixed_quad, quad

    f = lambda a, b, k: quad(lambda x: np.exp(-k * x), a, b)[0]
    closed = lambda a, b, k: (np.exp(-k * a) - np.exp(-k * b)) / k
    at = (0.2, 1.7, 0.9)
    assert np.isclose(f(*at).item(), closed(*at), rtol=1e-12)
    for i in range(3):
        first, want = ad.grad(f, i), ad.grad(closed, i)
        assert np.isclose(first(*at), want(*at), rtol=1e-9)
        for j in range(3):
            assert np.isclose(ad.grad(first, j)(*at), ad.grad(want, j)(*at), rtol=1e-8)
    gauss = lambda k: quad(lambda x, k: np.exp(-k[0] * x * x) * np.cos(k[1] * x), -np.inf, np.inf, args=(k,))[0]
    k = np.array([1.3, 0.4])
    want = ad.grad(lambda k: np.sqrt(np.pi / k[0]) * np.exp(-(k[1] ** 2) / (4 * k[0])))(k)
    np.testing.assert_allclose(ad.grad(gauss)(k), want, rtol=1e-7)
    assert np.isclose(ad.grad(lambda b: fixed_quad(lambda x: x**3, 0.0, b)[0])(2.0), 8.0)
    with pytest.raises(ConvergenceError, match="quad"):
        quad(lambda x: 1.0 / x, 0.0, 1.0)
    with pytest.raises(ShapeError, match="number"):
        quad(lambda x: np.ones(2), 0.0, 1.0)
    with pytest.raises(ArgumentError, match="finite"):
        fixed_quad(lambda x: x, 0.0, np.inf)


@pytest.mark.parametrize("method", ["RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA"])
def test_forward_mode_is_the_transpose_of_reverse_mode(method):
    """Both go along the same steps, one by tangents and one by cotangents."""

    def states(rates, y0, start, times):
        options = {"rtol": 1e-5, "atol": 1e-7, "t_eval": times, "args": (rates,)}
        return solve_ivp(lotka, (start, 2.0), y0, method, **options).y[:, 1:]

    args = (np.array([1.5, 1.0, 3.0, 1.0]), np.ones(2), 0.0, np.array([0.0, 0.3, 1.1, 2.0]))
    moves = (np.array([0.1, -0.2, 0.3, 0.4]), np.array([1.0, -1.0]), 1.0, np.array([0.0, 1.0, -1.0, 0.0]))
    value, tangent = ad.jvp(states, args, moves)
    weights = np.cos(np.arange(value.size)).reshape(value.shape)
    gradients = ad.grad(lambda *a: np.sum(weights * states(*a)), (0, 1, 2, 3))(*args)
    pulled = sum(float(np.sum(g * move)) for g, move in zip(gradients, moves, strict=True))
    assert np.isclose(np.sum(weights * tangent), pulled, rtol=1e-9)


@pytest.mark.parametrize("method", ["RK45", "Radau"])
def test_forward_mode_of_many_unknowns_and_over_reverse(method):
    def heat(k, y):
        slope = lambda t, y, k: k * (np.roll(y, 1) - 2 * y + np.roll(y, -1)) - y**3
        return solve_ivp(slope, (0.0, 0.2), y, method, args=(k,), rtol=1e-4).y[:, -1]

    y = np.sin(np.arange(30.0))
    weights, move = np.cos(np.arange(30.0)), np.linspace(0.0, 1.0, 30)
    tangent = ad.jvp(heat, (3.0, y), (1.0, move))[1]
    gradients = ad.grad(lambda k, y: np.sum(weights * heat(k, y)), (0, 1))(3.0, y)
    assert np.isclose(np.sum(weights * tangent), gradients[0] + np.sum(gradients[1] * move), rtol=1e-9)
    decay = lambda k: solve_ivp(lambda t, y: -k * y, (0.0, 1.0), np.ones(1), method, rtol=1e-6).y[0, -1]
    for second in (
        ad.jvp(ad.grad(decay), (0.5,), (1.0,))[1],
        ad.grad(lambda k: ad.jvp(decay, (k,), (1.0,))[1])(0.5),
        ad.jvp(lambda k: ad.jvp(decay, (k,), (1.0,))[1], (0.5,), (1.0,))[1],
    ):
        assert np.isclose(second, np.exp(-0.5), rtol=1e-3)


@pytest.mark.parametrize("method", ["RK45", "Radau", "BDF", "LSODA"])
def test_a_span_of_no_length_and_starts_that_are_no_numbers(method):
    solve = lambda y, end=1.0, f=lambda t, y: -y, **more: solve_ivp(f, (1.0, end), y, method, **more)
    np.testing.assert_array_equal(ad.jacobian(lambda y: solve(y).y[:, -1])(np.ones(2)), np.eye(2))
    assert np.isclose(ad.grad(lambda end: solve(np.ones(1), end).y[0, -1])(1.0), -1.0)
    assert solve(np.ones(2), 2.0, t_eval=[]).y.shape == (2, 0)
    with pytest.raises(ad.ArgumentError, match="first state"):
        solve(np.array([np.nan]), 2.0)
    with pytest.raises(ad.ArgumentError, match="times"):
        solve(np.ones(1), np.nan)
    for f, words in ((lambda t, y: y * np.nan, "at the start"), (lambda t, y: y**2, "stopped at t = 2|step size")):
        with pytest.raises(ConvergenceError, match=words):
            solve(np.ones(1), 3.0, f)


def test_arguments_of_quadrature_and_odeint_as_scipy_takes_them():
    assert np.isclose(quad(lambda x, a: a * x, 0.0, 1.0, 2.0)[0].item(), 1.0)
    with pytest.raises(ad.ArgumentError, match="NaN"):
        quad(lambda x: x, 0.0, np.nan)
    y = odeint(lambda y, t, k: -k * y, np.ones(2), [0.0, 1.0], 1.0, atol=np.array([1e-8, 1e-9]))
    np.testing.assert_allclose(y[-1].data, np.exp([-1.0, -1.0]), rtol=1e-6)


def test_integrals_over_several_variables_are_scipys():
    f2, f3 = (lambda y, x, k: np.exp(-k * x * y)), (lambda z, y, x, k: k * x + y * y + z)
    for ours, theirs in (
        (dblquad(f2, 0.0, 2.0, 0.1, lambda x: x, (0.7,)), scipys.dblquad(f2, 0.0, 2.0, 0.1, lambda x: x, (0.7,))),
        (
            tplquad(f3, 0, 1, 0, lambda x: x, lambda x, y: x - y, 2.0, (0.7,)),
            scipys.tplquad(f3, 0, 1, 0, lambda x: x, lambda x, y: x - y, 2.0, (0.7,)),
        ),
        (
            nquad(f2, [lambda x, k: (0.0, k * x), (0.0, 1.0)], (0.7,)),
            scipys.nquad(f2, [lambda x, k: (0.0, k * x), (0.0, 1.0)], (0.7,)),
        ),
    ):
        np.testing.assert_allclose(ours[0].data, theirs[0], rtol=1e-12)
    with pytest.raises(ArgumentError, match="opts"):
        nquad(f2, [(0, 1), (0, 1)], (1.0,), opts=[{}, {}])


def test_derivatives_of_a_double_integral():
    """Of k^2 x over 0 < y < k x, 0 < x < k, which is k^6 / 3: an inner integral must know the outer's leaves."""
    f = lambda k: dblquad(lambda y, x: k * k * x, 0.0, k, 0.0, lambda x: k * x)[0]
    for first in (ad.grad, ad.jacfwd):
        np.testing.assert_allclose(first(f)(0.9), 2 * 0.9**5, rtol=1e-12)
    np.testing.assert_allclose(ad.grad(ad.grad(f))(0.9), 10 * 0.9**4, rtol=1e-10)


def test_roots_inside_of_integrals_and_integrals_inside_of_roots():
    """Each of them runs a function again; a function in it must find the leaves that the outer one knows."""
    solved = lambda k: quad(lambda x: implicit.root(lambda z: z**3 - k * x, np.array(1.0)).x, 1.0, 2.0)[0]
    exact = 3 / 4 * (2 ** (4 / 3) - 1)  # the integral of (k x)^(1/3) is this times k^(1/3)
    np.testing.assert_allclose(ad.grad(ad.grad(solved))(0.7), exact * -2 / 9 * 0.7 ** (-5 / 3), rtol=1e-7)
    limit = lambda k: implicit.root(lambda z: quad(lambda x: k * x, 0.0, z)[0] - 1.0, np.array(1.0)).x  # sqrt(2 / k)
    for second in (ad.hessian, lambda f: ad.grad(ad.grad(f))):
        np.testing.assert_allclose(second(limit)(0.7), 0.75 * 2**0.5 * 0.7**-2.5, rtol=1e-8)


def test_a_graph_around_a_transform_is_not_lost():
    """What an integral or a root closes over of the ordinary graph stays connected beside a transform's value."""
    w = ad.tensor(2.0, requires_grad=True)
    for f, value, slope in (
        (lambda k: quad(lambda x: k * x * w, 0.0, 1.0)[0], 1.0, 0.5),
        (lambda k: implicit.root(lambda z: z - k * w, np.array(1.0)).x, 2.0, 1.0),
    ):
        for derivative in (ad.jacfwd, ad.jacrev, lambda f: lambda x: ad.jvp(f, (x,), (1.0,))[1]):
            w.grad = None
            out = derivative(f)(3.0)
            np.testing.assert_allclose(out.data, value)
            out.backward()
            np.testing.assert_allclose(w.grad, slope)


def test_options_of_quad_and_odeint_are_taken_or_named():
    wave = lambda k: quad(lambda x: np.exp(1j * k * x), 0.0, 1.0, complex_func=True)[0]
    np.testing.assert_allclose(wave(0.7).data, (np.exp(0.7j) - 1) / 0.7j, rtol=1e-12)
    kink = lambda k: quad(lambda x: np.abs(x - k), 0.0, 1.0, points=[k])[0]
    np.testing.assert_allclose(ad.grad(kink)(0.3), 2 * 0.3 - 1, rtol=1e-9)
    calls = []
    rates = lambda y, t, k: -k * y

    def slope(y, t, k):
        calls.append(t)
        return np.diag(-k)

    k = np.array([1e4, 1.0])
    last = lambda k, **more: np.sum(odeint(rates, np.ones(2), [0.0, 5.0], (k,), **more)[-1])
    for more in ({"Dfun": slope}, {"Dfun": slope, "col_deriv": True}, {}):
        np.testing.assert_allclose(ad.grad(lambda k, more=more: last(k, **more))(k), [0, -5 * np.exp(-5)], atol=1e-6)
    assert calls
    for wrong, words in (
        (lambda: quad(np.cos, 0.0, 1.0, weight="cos", wvar=2.0), "weight"),
        (lambda: quad(np.cos, 0.0, np.inf, points=[1.0]), "finite"),
        (lambda: last(k, mxordn=3), "mxordn"),
        (lambda: last(k, full_output=True), "full_output"),
    ):
        with pytest.raises(ArgumentError, match=words):
            wrong()
    with pytest.raises(AttributeError, match="tanhsinh"):
        integrate.tanhsinh  # noqa: B018


# Equations of a complex state: dy/dt, the solution after the time T. All but the last are not holomorphic.
COMPLEX = {
    "conjugate": (
        lambda t, y, a: a * np.conj(y),
        lambda y, a, T: y.real * np.exp(a * T) + 1j * y.imag * np.exp(-a * T),
    ),
    "real part": (lambda t, y, a: a * 1j * np.real(y), lambda y, a, T: y + 1j * a * T * y.real),
    "phase": (lambda t, y, a: 1j * a * np.abs(y) ** 2 * y, lambda y, a, T: y * np.exp(1j * a * T * np.abs(y) ** 2)),
    "one tiny part": (
        lambda t, y, a: np.stack([a * y[0], 1e-7 * np.conj(y[1])]),
        lambda y, a, T: np.array(
            [y[0] * np.exp(a * T), y[1].real * np.exp(1e-7 * T) + 1j * y[1].imag * np.exp(-1e-7 * T)]
        ),
    ),
    "holomorphic": (lambda t, y, a: 1j * a * y**2, lambda y, a, T: y / (1 - 1j * a * T * y)),
}


@pytest.mark.parametrize("method", ["RK23", "RK45", "DOP853", "BDF", "odeint"])
@pytest.mark.parametrize("name", COMPLEX)
def test_complex_states(name, method):
    slope, solution = COMPLEX[name]
    y0, a, T = np.array([0.4 - 0.7j, 0.9 + 0.3j]), 0.6, 2.0
    dy = np.array([0.3 + 0.5j, -0.2 + 0.4j])
    rough = method in ("RK23", "BDF")
    exact = {"rtol": 1e-6, "atol": 1e-8} if rough else {"rtol": 1e-9, "atol": 1e-11}

    def end(y, a):
        if method == "odeint":
            return odeint(slope, y, [0.0, T], (a,), tfirst=True, **exact)[-1]
        return solve_ivp(slope, (0.0, T), y, method, args=(a,), **exact).y[:, -1]

    def along(d, da, h=1e-5):
        return (solution(y0 + h * d, a + h * da, T) - solution(y0 - h * d, a - h * da, T)) / (2 * h)

    w = np.array([1.0 - 2.0j, 0.5 + 1.0j])
    gy, ga = ad.grad(lambda y, a: np.sum(np.real(w * end(y, a))), argnums=(0, 1))(y0, a)
    units = np.eye(2)
    expected = [np.sum(np.real(w * along(u, 0))) - 1j * np.sum(np.real(w * along(1j * u, 0))) for u in units]
    near = {"rtol": 3e-4, "atol": 3e-4} if rough else {"rtol": 1e-6, "atol": 1e-8}
    np.testing.assert_allclose(end(y0, a).data, solution(y0, a, T), **near)
    np.testing.assert_allclose(gy, expected, **near)
    np.testing.assert_allclose(ga, np.sum(np.real(w * along(0, 1))), **near)
    np.testing.assert_allclose(ad.jvp(end, (y0, a), (dy, 1.0))[1], along(dy, 1.0), **near)


def test_methods_that_take_no_complex_states_are_named():
    for method in ("Radau", "LSODA"):
        with pytest.raises(ArgumentError, match=f"solve_ivp: {method} takes no complex state; take RK45"):
            solve_ivp(lambda t, y: 1j * y, (0.0, 1.0), np.ones(2, complex), method)
    # So long that odeint would look whether the system is stiff.
    turn = ad.grad(lambda w: np.real(odeint(lambda y, t: 1j * w * y, 1.0 + 0j, [0.0, 80.0])[-1]))(1.0)
    np.testing.assert_allclose(turn, -80.0 * np.sin(80.0), rtol=1e-4)


def test_times_that_coincide_move_the_solution_to_second_order():
    truth = lambda v: v[2] * np.exp(np.sin(v[0]) - np.sin(v[1]))  # of y' = -cos(t) y, from y(v0) = v2 to v1
    v = np.array([1.0, 1.0, 2.0])
    solvers = {
        "odeint": lambda v: odeint(lambda y, t: -y * np.cos(t), v[2], np.stack([v[0], v[1]]))[1],
        "solve_ivp": lambda v: solve_ivp(lambda t, y: -y * np.cos(t), (v[0], v[1]), np.stack([v[2]])).y[0, -1],
    }
    for name, solved in solvers.items():
        np.testing.assert_allclose(ad.grad(solved)(v), ad.grad(truth)(v), rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(ad.hessian(solved)(v), ad.hessian(truth)(v), rtol=1e-9, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(ad.jvp(solved, (v,), (np.ones(3),))[1], ad.grad(truth)(v).sum(), err_msg=name)
    assert odeint(lambda y, t: -y, np.ones(2), [3.0, 3.0], h0=0.1).data.tolist() == [[1.0, 1.0]] * 2


def test_complex_values_of_real_problems_are_refused():
    for call in (
        lambda: solve_ivp(lambda t, y: 1j * y, (0.0, 1.0), [1.0]),
        lambda: odeint(lambda y, t: 1j * y, 1.0, [0.0, 1.0]),
        lambda: quad(lambda x: np.exp(1j * x), 0.0, 1.0),
    ):
        with pytest.raises(DTypeError, match="real"):
            call()
    assert quad(lambda x: np.exp(1j * x), 0.0, 1.0, complex_func=True)[0].item() == pytest.approx(
        np.sin(1) + 1j * (1 - np.cos(1))
    )
    np.testing.assert_allclose(
        solve_ivp(lambda t, y: 1j * y, (0.0, 1.0), [1.0 + 0j], rtol=1e-9).y[0, -1].data, np.exp(1j), rtol=1e-6
    )
