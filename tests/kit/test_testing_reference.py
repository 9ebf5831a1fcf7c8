"""The numerical reference: how accurate, when complex steps are trusted, ill-conditioned calls, values held
constant.
"""

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ArgumentError
from autodiff.extend import Fused, Primitive
from autodiff.testing import check_gradients, check_pair, verify
from autodiff.testing.numeric import complex_step, derivative, noise_of, table
from nn import functional as F


def methods(report):
    return {entry.method for entry in report.entries if entry.argument >= 0}


def test_a_function_that_is_flat_in_float64_is_known_to_its_rounding_only(temporary):
    # J1' is 0.5 to three digits here, and SciPy has it in float64 alone: differences of it lose ten.
    special = pytest.importorskip("scipy.special")
    j1 = Primitive("test_flat", special.j1, lambda g, out, x: g * slope.function(x), domain=(0.1, 1.0))
    slope = Primitive(
        "test_flat_slope",
        lambda x: 0.5 * (special.j0(x) - special.jv(2.0, x)),
        lambda g, out, x: g * second(x),
        domain=(0.1, 1.0),
    )
    second = lambda x: (
        -0.5 * special.j1(np.asarray(x)) - 0.25 * (special.jv(1.0, np.asarray(x)) - special.jv(3.0, np.asarray(x)))
    )
    for seed in range(40):
        assert check_gradients(j1, np.array(-0.003735408560311404), seed=seed, raises=False).verdict == "pass"


# --- complex steps ----------------------------------------------------------------------------------------------------


def test_a_complex_step_loses_no_digit():
    x = np.longdouble(1e-6)
    assert complex_step(lambda t: np.sqrt(x + t)) == pytest.approx(float(0.5 / np.sqrt(x)), rel=1e-15)


def test_analytic_functions_are_checked_by_complex_steps():
    # Beside the large constant differences alone make nothing certain.
    report = check_gradients(
        lambda x, w: np.tanh(x @ w).sum() + 1e6, np.ones((2, 3)), np.linspace(-1.0, 1.0, 6).reshape(3, 2), order=1
    )
    assert methods(report) == {"complex step"}
    assert report.largest_error < 1e-12


@pytest.mark.parametrize(
    "f", [lambda x: np.abs(x) * x, lambda x: np.linalg.norm(x), lambda x: np.sqrt(np.real(x) ** 2 + 1.0)]
)
def test_where_a_function_is_not_analytic_differences_take_over(f):
    report = check_gradients(f, np.array([0.3, -0.7]))
    assert report.verdict == "pass"
    assert not any("complex" in method for method in methods(report))


def test_a_complex_step_never_acquits_what_it_cannot_see(temporary):
    # imag(|x + ih|) is 0, and so is this gradient: the two agree and are both wrong.
    blind = Primitive("test_blind", lambda x: np.abs(x), lambda g, out, x: 0 * g * x)
    assert check_gradients(blind, np.array([0.3, -0.7]), order=1, raises=False).verdict == "fail"
    # The absolute value of x.data is a constant to the gradient and to a complex step alike, but not to the function.
    assert check_gradients(lambda x: x * np.abs(x.data), np.array([0.3, -0.7]), order=1, raises=False).verdict == "fail"
    # One entry of many is treated so.
    mixed = lambda x: np.sin(x) * np.where(np.arange(40) == 7, np.abs(x.data), 1.0)
    assert check_gradients(mixed, np.linspace(0.1, 1.0, 40), order=1, raises=False).verdict == "fail"


def test_ties_are_recognised_although_complex_numbers_are_ordered():
    report = check_gradients(lambda x: np.max(x), np.array([1.0, 1.0, 0.0]), order=1)
    assert [entry.kink for entry in report.entries if not entry.together] == [True, True, False]


# --- noise and conditioning -------------------------------------------------------------------------------------------


def test_noise_is_measured():
    rng = np.random.default_rng(3)
    found = [noise_of(table(lambda t: np.sin(t) + 1e-9 * rng.standard_normal(), 1e-12)) for _ in range(20)]
    assert 1e-9 < np.median(found) < 2e-8
    assert noise_of(table(lambda t: np.sin(np.longdouble(1) + t), 1e-15)) < 1e-17


def test_noise_enters_the_error_of_a_derivative():
    rng = np.random.default_rng(3)
    for _ in range(50):
        found = derivative(lambda t: np.sin(t) + 1e-9 * rng.standard_normal(), 0.1, noise=4e-9)
        assert abs(found.value - 1.0) < found.error < 1e-4


def ill_conditioned(rng, largest):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    p, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q @ np.diag(np.geomspace(1.0, 1 / 10 ** rng.uniform(2, np.log10(largest)), 3)) @ p


@pytest.mark.parametrize("f", [lambda a: np.linalg.solve(a, np.ones(3)), np.linalg.inv, np.linalg.det])
def test_right_gradients_of_ill_conditioned_calls_pass(f):
    rng = np.random.default_rng(11)
    for _ in range(12):
        a = ill_conditioned(rng, 1e7)
        assert check_gradients(f, a, order=1, raises=False).verdict == "pass"
    # Beyond what float64 holds nothing is known, and nothing is called wrong.
    for _ in range(6):
        assert check_gradients(f, ill_conditioned(rng, 1e15), order=1, raises=False).verdict != "fail"


def test_wrong_gradients_of_ill_conditioned_calls_fail(temporary):
    rng = np.random.default_rng(12)
    wrong = Primitive("test_wrong_inv", lambda x: np.linalg.inv(x), lambda g, out, x: -(out.T @ g @ out.T) * (1 + 1e-5))
    for _ in range(8):
        assert check_gradients(wrong, ill_conditioned(rng, 1e7), order=1, raises=False).verdict == "fail"


CONSTANT = {
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "softmax": lambda x: F.softmax(x, -1),
    "cross_entropy": lambda x: F.cross_entropy(x[None], np.array([0])),
    "layer_norm": lambda x: F.layer_norm(x, (1,)),
    "logsumexp(x) - x": lambda x: ad.special.logsumexp(x, axis=-1) - x,
    "log(exp(x - c)) - (x - c)": lambda x: np.log(np.exp(x - ad.constant(x))) - (x - ad.constant(x)),
    "x - x": lambda x: x - x,
    "x / x": lambda x: x / x,
}


@pytest.mark.parametrize("name", CONSTANT)
def test_what_is_constant_to_the_last_digit_has_the_gradient_zero(name):
    # Near the point its values are exact, farther away they round: noise that a table of values about the point cannot
    # see.
    rng = np.random.default_rng(0)
    for i in range(16):
        point = rng.standard_normal(1) * (10 ** rng.uniform(-2, 2) if i % 2 else 1.0)
        report = check_gradients(CONSTANT[name], point, raises=False)
        assert report.verdict == "pass", str(report)


@pytest.mark.parametrize("size", [1e-3, 1e-8, 1e-12])
def test_a_small_gradient_of_what_is_constant_to_the_last_digit_fails(size, temporary):
    vanishing = lambda x: x - ad.constant(x) - np.log(np.exp(x - ad.constant(x)))
    wrong = Primitive("test_constant", lambda x: x * 0.0, lambda g, out, x: g * size)
    rng = np.random.default_rng(0)
    for point in rng.standard_normal((16, 1)):
        assert check_gradients(lambda x: vanishing(x) + wrong(x), point, order=1, raises=False).verdict == "fail"


@pytest.mark.parametrize("double", [False, True])
def test_a_zero_that_comes_out_as_a_rounding_of_the_values_is_no_mistake(double):
    # sin(pi) is 1.2e-16: the factor of a derivative that vanishes, as of a spherical harmonic of order 0 by its angle.
    narrow = (lambda x: np.asarray(x, np.float64)) if double else (lambda x: x)
    forward = lambda x, y: narrow(np.cos(narrow(x)) * np.cos(0 * narrow(y)))
    residue = lambda factor: lambda g, x, y: (-g * np.sin(x), g * np.sin(np.pi) * np.cos(x) * factor)
    rng = np.random.default_rng(0)
    for _ in range(12):
        x, y = rng.normal(size=(2, 3)) * 10 ** rng.uniform(-1, 1)
        assert check_pair(forward, residue(1.0), [x, y], raises=False).verdict == "pass"
        assert check_pair(forward, residue(1e4), [x, y], raises=False).verdict == "fail"


def test_noise_that_few_steps_show_is_noise_wherever_it_shows():
    # The last place changes far from the point alone: 1e-16 over a tiny step is no slope.
    forward = lambda x, y: np.sin(x) * (np.cos(y) ** 2 + np.sin(y) ** 2)
    backward = lambda g, x, y: (g * np.cos(x), g * np.sin(x) * (np.sin(2 * y) - 2 * np.sin(y) * np.cos(y)))
    rng = np.random.default_rng(0)
    for _ in range(25):
        x, y = rng.normal(size=(2, 2)) * 10 ** rng.uniform(-1, 1)
        assert check_pair(forward, backward, [x, y], raises=False).verdict == "pass"


SATURATED = {
    "tanh": (np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2)),
    "softplus": (lambda x: np.log1p(np.exp(x)), lambda g, x: g * (1 - 1 / (1 + np.exp(x)))),
    "swish": (lambda x: x * (1 + np.tanh(x)), lambda g, x: g * (1 + np.tanh(x) + x * (1 - np.tanh(x) ** 2))),
}


@pytest.mark.parametrize("name", SATURATED)
def test_a_backward_that_cancels_in_a_tail_is_not_called_wrong(name):
    forward, backward = SATURATED[name]
    rng = np.random.default_rng(1)
    for _ in range(25):
        x = rng.uniform(4, 16, 2) * rng.choice([-1, 1])
        assert check_pair(forward, backward, [x], raises=False).verdict != "fail"
        assert check_pair(forward, lambda g, x: 2 * backward(g, x), [x], raises=False).verdict != "pass"


def test_a_table_has_slopes_of_its_own_between_its_entries():
    at = np.linspace(-3, 3, 20001)
    forward = lambda x: np.interp(np.asarray(x, np.float64), at, np.sin(at))
    rng = np.random.default_rng(0)
    for _ in range(8):
        x = rng.uniform(-2, 2, 3)
        assert check_pair(forward, lambda g, x: g * np.cos(x), [x], raises=False).verdict != "fail"
        for factor in (0.0, 1.1, 2.0):
            assert check_pair(forward, lambda g, x, f=factor: f * g * np.cos(x), [x], raises=False).verdict == "fail"


# --- what is held constant --------------------------------------------------------------------------------------------


def test_constants_of_the_gradient_are_held_at_the_base_point():
    x = np.array([0.5, -1.5, 2.0])
    for stop in (ad.constant, lambda t: t.detach(), lambda t: ad.constant(t.data)):
        report = check_gradients(lambda t, stop=stop: t * t * stop(np.exp(t)), x)
        assert report.verdict == "pass"
        assert report.notes == ["1 array held constant at the base point"]


def renorm(name, backward):
    """Batch renormalisation in small: r and d are constants of the gradient, and hidden in the fused forward."""

    def composed(x, mean, scale):
        m, s = np.mean(x, axis=0), np.std(x, axis=0)
        r, d = ad.constant(s / scale), ad.constant((m - mean) / scale)
        return (x - m) / s * r + d

    def forward(x, mean, scale):
        m, s = np.mean(x, axis=0), np.std(x, axis=0)
        xhat = (x - m) / s
        return xhat * (s / scale) + (m - mean) / scale, (xhat, scale)

    return Fused(name, composed=composed, forward=forward, backward=backward)


def right_backward(g, residuals, needs):
    xhat, scale = residuals
    return (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)) / scale, None, None


def test_a_fused_operation_may_hide_what_it_holds_constant(temporary):
    x = np.random.default_rng(0).normal(size=(5, 2))
    held = (np.array([0.1, 0.2]), np.array([1.3, 0.8]))
    right = renorm("test_renorm", right_backward)
    report = check_gradients(lambda t: right.function(t, *held), x)
    assert report.notes == ["2 arrays held constant at the base point"]
    # The true derivative of the output, r and d moving along, is 1 / scale: what a check without the notion calls
    # right.
    naive = renorm("test_renorm_naive", lambda g, residuals, needs: (g / residuals[1], None, None))
    assert check_gradients(lambda t: naive.function(t, *held), x, order=1, raises=False).verdict == "fail"


def test_a_graph_that_depends_on_the_point_is_named():
    def f(x):
        kept = ad.constant(x)
        return x * (kept if float(x.data[0]) == 0.5 else ad.constant(kept))

    with pytest.raises(ArgumentError, match="other values constant"):
        check_gradients(f, np.array([0.5]))


def test_verify_of_an_operation_by_name_still_works():
    assert verify("softmax", np.linspace(-1.0, 1.0, 6).reshape(2, 3)).passed


# --- what a check costs -----------------------------------------------------------------------------------------------


def counted(f):
    def counting(*arrays):
        counting.calls += 1
        return f(*arrays)

    counting.calls = 0
    return counting


@pytest.mark.parametrize("size", [1, 3, 10, 48])
def test_a_smooth_function_is_evaluated_a_few_times_whatever_its_size(size):
    sine = counted(lambda x: np.sin(x) * x)
    x = np.random.default_rng(0).uniform(0.5, 1.5, size)
    assert check_pair(sine, lambda g, x: g * (np.sin(x) + x * np.cos(x)), [x]).verdict == "pass"
    assert sine.calls <= 16


@pytest.mark.parametrize("bend", [1e-3, 1e-6, 1e-9, 1.0, -1.0])
@pytest.mark.parametrize("size", [1, 3, 10, 48])
def test_entries_that_are_moved_together_hide_no_wrong_one(size, bend):
    x = np.random.default_rng(0).uniform(0.5, 1.5, size)
    for place in range(0, size, 5):
        factor = 1 + bend * (np.arange(size) == place)
        wrong = lambda g, x, factor=factor: g * (np.sin(x) + x * np.cos(x)) * factor
        assert check_pair(lambda x: np.sin(x) * x, wrong, [x], raises=False).verdict == "fail"


def test_a_small_entry_moved_with_large_ones_is_judged_on_its_own_scale():
    x = np.geomspace(1e-8, 1e4, 13)
    for place in range(13):
        for factor in (0.0, 2.0, 1 + 1e-6):
            bend = np.where(np.arange(13) == place, factor, 1.0)
            report = check_pair(lambda x: x**2, lambda g, x, bend=bend: g * 2 * x * bend, [x], raises=False)
            assert report.verdict == "fail"


def test_a_kink_among_entries_that_are_moved_together_is_named():
    x = np.array([0.0, 1.0, -2.0])
    for slope in (0.0, 0.5):
        right = lambda g, x, slope=slope: g * np.where(x == 0, slope + 1, (x > 0) + 1.0)
        report = check_pair(lambda x: np.maximum(x, 0) + x, right, [x])
        assert any(entry.kink for entry in report.entries)
