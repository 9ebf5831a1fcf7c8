"""The checker itself: right gradients pass to the last digits, wrong ones fail, and doubt is never a pass."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ArgumentError, GradientMismatch
from autodiff.extend import Fused, Primitive
from autodiff.testing import check_gradients, check_pair, verify
from autodiff.testing.numeric import derivative, one_sided


@pytest.mark.parametrize(
    ("f", "at", "truth"),
    [
        (np.sin, 1.0, np.cos(np.longdouble(1.0))),
        (np.exp, 2.0, np.exp(np.longdouble(2.0))),
        (np.log, 1e-3, np.longdouble(1000)),
        (np.sqrt, 1e-6, np.longdouble(500)),
        (lambda x: x**7, 1.5, 7 * np.longdouble(1.5) ** 6),
    ],
)
def test_the_reference_is_accurate_and_knows_it(f, at, truth):
    point = np.longdouble(at)
    found = derivative(lambda t: f(point + t * point), step=0.02)
    gap = abs(found.value - float(truth * point)) / abs(float(truth * point))
    assert gap < 1e-13
    assert found.error < 1e-12 * abs(float(truth * point))


def test_one_sided_derivatives_see_a_kink():
    assert one_sided(abs, 1).value == pytest.approx(1.0)
    assert one_sided(abs, -1).value == pytest.approx(-1.0)


WRONG = {
    "value": lambda g, out, x: 2.001 * g * x,
    "scaled by 1 + 1e-7": lambda g, out, x: 2 * g * x * (1 + 1e-7),
    "sign": lambda g, out, x: -2 * g * x,
    "not multiplied by the cotangent": lambda g, out, x: 2 * x + 0 * g,
    "one entry": lambda g, out, x: 2 * g * x * (np.arange(4) != 2),
    "constant added": lambda g, out, x: 2 * g * x + 1e-8,
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_fail(name, temporary):
    op = Primitive("test_wrong", lambda x: x * x, WRONG[name])
    with pytest.raises(GradientMismatch, match="reproduce"):
        check_gradients(op, np.array([0.5, -1.0, 2.0, 0.25]))


def test_a_rule_right_in_first_and_wrong_in_second_order_fails(temporary):
    # The trap of saved intermediates: the residual is an array, so its own derivative is lost.
    op = Primitive("test_cut", lambda x: x * x * x, lambda g, out, x: 3 * g * x * ad.constant(x))
    point = np.array([0.5, -1.0])
    assert check_gradients(op, point, order=1).verdict == "pass"
    with pytest.raises(GradientMismatch, match="order 2"):
        check_gradients(op, point)


def test_a_rule_right_in_two_orders_and_wrong_in_the_third_fails(temporary):
    cube = Primitive("test_cube", lambda x: x * x * x, lambda g, out, x: 3 * g * x * ad.constant(x))
    fourth = Primitive(
        "test_fourth", lambda x: x**4, lambda g, out, x: 4 * g * (cube(x) if hasattr(x, "_node") else x**3)
    )
    point = np.array([0.5, -1.0])
    assert check_gradients(fourth, point, order=2).verdict == "pass"
    with pytest.raises(GradientMismatch, match="order 3"):
        check_gradients(fourth, point, order=3)


@pytest.mark.parametrize("f", [lambda x: np.sin(x) * x, lambda x: np.linalg.det(x.reshape(2, 2)) ** 2, np.cumprod])
def test_third_derivatives_of_smooth_functions_pass(f):
    report = check_gradients(f, np.array([0.3, 0.7, 1.1, -0.4]), order=3)
    assert report.verdict == "pass"
    assert {e.order for e in report.entries} == {1, 2, 3}


def test_third_derivatives_of_complex_numbers_pass():
    report = check_gradients(lambda z: np.abs(z) ** 2 * np.real(np.exp(z)), np.array([1 + 2j, -0.5j]), order=3)
    assert report.verdict == "pass"
    assert any(e.order == 3 for e in report.entries)


def test_a_large_argument_is_checked_along_directions_and_spots(temporary):
    def sparse_mistake(g, out, x):
        bad = 2 * g * x
        return bad * (1 + 1e-3 * (np.arange(1000) == 700))

    x = np.linspace(0.5, 1.5, 1000)
    assert check_gradients(lambda t: t * t, x).verdict == "pass"
    with pytest.raises(GradientMismatch, match="random direction"):
        check_gradients(Primitive("test_sparse", lambda x: x * x, sparse_mistake), x, order=1)


def test_kinks_accept_any_subgradient_and_nothing_else(temporary):
    x = np.array([0.0, 1.0])
    assert check_gradients(np.abs, x, order=1, name="abs").verdict == "pass"
    inside = Primitive("test_inside", lambda x: np.abs(x), lambda g, out, x: g * np.where(x == 0, 0.3, np.sign(x)))
    report = check_gradients(inside, x, order=1)
    assert [entry.kink for entry in report.entries] == [True, False]
    beyond = Primitive("test_beyond", lambda x: np.abs(x), lambda g, out, x: g * np.where(x == 0, 1.5, np.sign(x)))
    with pytest.raises(GradientMismatch, match="at a kink"):
        check_gradients(beyond, x, order=1)


_TIES = np.array([[1.0, 3.0, 3.0, 3.0], [2.0, 2.0, 0.0, -1.0]])
_MASK = _TIES == _TIES.max(axis=1, keepdims=True)
_FIRST = np.arange(4) == _TIES.argmax(axis=1)[:, None]


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        (_FIRST, "pass"),
        (_MASK / _MASK.sum(axis=1, keepdims=True), "pass"),
        (np.array([[0.0, 0.2, 0.5, 0.3], [0.9, 0.1, 0.0, 0.0]]), "pass"),
        (_MASK * 1.0, "fail"),
        (_FIRST & (np.arange(2) > 0)[:, None], "fail"),
    ],
)
def test_equal_maxima_share_one_gradient(shares, verdict):
    report = check_pair(lambda x: x.max(axis=1), lambda g, x: (g[:, None] * shares,), (_TIES,), raises=False)
    assert report.verdict == verdict
    assert any(entry.together for entry in report.entries)
    if verdict == "fail":
        assert "moved together" in str(report)
        assert any("add up" in hint for hint in report.hints)


def test_a_tie_between_two_arguments_is_seen_with_its_sign():
    x, y = np.array([1.0, 2.0]), np.array([-1.0, 0.5])
    backward = lambda share: (
        lambda g, x, y: (g * np.where(x == -y, share, x > -y), -g * np.where(x == -y, share, x < -y))
    )
    assert check_pair(lambda x, y: np.maximum(x, -y), backward(0.5), (x, y)).verdict == "pass"
    assert check_pair(lambda x, y: np.maximum(x, -y), backward(0.9), (x, y), raises=False).verdict == "fail"


def test_kinks_that_have_nothing_to_do_with_each_other_are_judged_alone():
    # Together |x| - 2 relu(y) is straight at zero along x = y, yet 0 and 0 are subgradients of its parts.
    forward = lambda x: np.sum(np.abs(x[0]) - 2 * np.maximum(x[1], 0))
    report = check_pair(forward, lambda g, x: (g * np.array([np.sign(x[0]), -2.0 * (x[1] > 0)]),), (np.zeros(2),))
    assert [entry.kink for entry in report.entries] == [True, True]


def test_a_tie_beside_another_kink_is_found():
    forward = lambda x: x[:4].max() + np.abs(x[4]) + np.abs(x[5])
    backward = lambda shares: lambda g, x: (g * np.append(shares, np.sign(x[4:])),)
    point = np.zeros(6)
    assert check_pair(forward, backward([0.0, 0.0, 1.0, 0.0]), (point,)).verdict == "pass"
    assert check_pair(forward, backward([1.0, 1.0, 1.0, 1.0]), (point,), raises=False).verdict == "fail"


def test_noise_is_inconclusive_and_not_a_pass():
    rng = np.random.default_rng(0)
    report = check_gradients(lambda x: x * 1.0 + 1e-3 * rng.standard_normal(x.shape), np.ones(2), order=1, raises=False)
    assert report.verdict != "pass"


def test_badly_scaled_points_are_no_problem():
    check_gradients(lambda x: np.sqrt(x), np.array([1e-12, 1e-6, 1.0, 1e6, 1e12]))
    check_gradients(lambda x: np.log(x), np.array([1e-9, 1e3]))


def test_the_report_says_where():
    report = check_gradients(lambda x, y: np.sum(x) * y, np.ones((2, 2)), np.float64(3.0) * np.ones(()), name="scale")
    assert "scale: pass" in str(report)
    assert report.worst is not None
    assert report.largest_error < 1e-12


def test_verify_catches_a_wrong_fused_operation(temporary):
    def forward(x):
        e = np.exp(x - x.max())
        return x.max() + np.log(e.sum()), (e / e.sum(),)

    def make(name, backward):
        return Fused(name, composed=lambda x: np.log(np.sum(np.exp(x))), forward=forward, backward=backward)

    right = make("test_right", lambda g, r, needs: (g * r[0],))
    assert verify(right, np.array([0.1, 1.0, -2.0])).passed
    wrong = make("test_forgets_g", lambda g, r, needs: (r[0] * 1.0,))
    with pytest.raises(GradientMismatch, match="fused and composed differ"):
        verify(wrong, np.array([0.1, 1.0, -2.0]))


def test_misuse_is_named():
    with pytest.raises(ArgumentError, match="nothing to differentiate"):
        check_gradients(lambda x: x, np.array([1, 2]))
    with pytest.raises(ArgumentError, match="order"):
        check_gradients(lambda x: x, np.ones(1), order=4)
    with pytest.raises(ArgumentError, match="no registered operation"):
        verify("no_such_operation")


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7, 1e-9])
def test_a_kink_close_by_is_no_false_alarm(distance, temporary):
    x = np.array([1 + distance, 1 - distance])
    assert check_gradients(lambda x: np.abs(x - 1.0), x).verdict == "pass"
    wrong = Primitive(
        "test_kink_close_by", lambda x: np.abs(x - 1.0), lambda g, out, x: g * np.sign(x - 1.0) * (1 + 1e-6)
    )
    assert check_gradients(wrong, x, raises=False).verdict == "fail"


def test_at_a_kink_there_is_no_second_derivative_to_compare():
    report = check_gradients(lambda x: np.maximum(x, 0.0), np.array([0.0, 0.0, 1.0]))
    assert [entry.kink for entry in report.entries if entry.order == 1] == [True, True, False]


def test_what_the_rounding_of_the_inputs_does_to_second_order_is_no_mistake():
    # Var's rule subtracts a mean that is rounded to 1e-10, of numbers that are known to 1e-10.
    far = np.random.default_rng(0).normal(size=6) + 1e6
    assert check_gradients(np.var, far).verdict == "pass"


def test_modules_with_complex_inputs_and_parameters():
    z = np.array([[0.3 + 1j, -0.5, 0.2j]])
    assert check_gradients(ad.nn.Linear(3, 2), z).verdict == "pass"

    class Turned(ad.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = ad.nn.Parameter(np.array([1 + 2j, 3j, 0.5]))

        def forward(self, x):
            return np.real(x * self.w) ** 2

    report = check_gradients(Turned(), z)
    assert {entry.label for entry in report.entries} >= {"argument 0", "parameter w"}


def test_a_rule_of_plain_arrays_is_a_constant_in_second_order():
    sine = ad.custom_vjp(lambda x: np.sin(x))
    sine.defvjp(lambda x: (np.sin(x), np.cos(x.data)), lambda slope, g: (g * slope,))
    assert check_gradients(sine, np.array([0.3, 1.0]), order=1).verdict == "pass"
    assert check_gradients(sine, np.array([0.3, 1.0]), raises=False).verdict == "fail"


def test_a_forward_pass_that_writes_into_its_input_is_named():
    def doubled(x):
        x *= 2
        return x**2, x

    given = np.array([1.0, 2.0])
    with pytest.raises(GradientMismatch, match="the forward pass writes into argument 0"):
        check_pair(doubled, lambda dout, x: 4 * x * dout, [given])
    assert given.tolist() == [1.0, 2.0]


def test_a_real_gradient_of_a_complex_argument():
    z = np.array([1 + 2j, -3j])
    assert check_pair(np.real, lambda dout: dout, [z]).verdict == "pass"
    assert check_pair(np.imag, lambda dout: dout, [z], raises=False).verdict == "fail"
    with pytest.raises(GradientMismatch, match=r"complex128\[1, 2\], the argument complex128\[2\]"):
        check_pair(np.real, lambda dout: dout[None], [z])


def scaled(x, gamma):
    h = x - x.mean(0)
    return gamma * h, (h, gamma)


def forgets_gamma(dout, cache):
    h, _ = cache
    return dout - dout.mean(0), (dout * h).sum(0)


def right_backward(dout, cache):
    h, gamma = cache
    return gamma * (dout - dout.mean(0)), (dout * h).sum(0)


@pytest.mark.parametrize(
    "point", [np.ones(3), np.zeros(3) + 2, np.array([1.0, 0.3, 0.7])], ids=["ones", "equal", "a one among others"]
)
def test_what_ones_and_equal_entries_hide_is_seen_beside_them(point):
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert check_pair(scaled, right_backward, [x, point]).verdict == "pass"
    report = check_pair(scaled, forgets_gamma, [x, point], raises=False)
    assert report.verdict == "fail"
    assert report.hints


def test_a_term_that_vanishes_at_zero_is_missed_in_no_order():
    dropped = Primitive("test_dropped", lambda x: x * np.exp(x), lambda g, out, x: g * np.exp(x))
    for order in (1, 2):
        report = check_gradients(dropped, np.zeros(2), order=order, raises=False)
        assert report.verdict == "fail"
        assert "wrong beside it" in report.hints[0]


@pytest.mark.parametrize(
    ("f", "point"),
    [
        (np.log, np.ones(3)),
        (lambda p: p * np.log(p), np.array([1.0, 1e-9])),
        (np.arctanh, np.zeros(2)),
        (lambda a: np.linalg.cholesky(a), np.eye(3)),
        (np.abs, np.zeros(3)),
        (lambda x: np.where(x > 0, x, 0), np.array([0.0, 1.0, -1.0])),
        (np.floor, np.full(3, 0.5)),
        (lambda x: np.sort(x), np.array([1.0, 1.0, 0.0])),
    ],
)
def test_right_gradients_at_usual_points_pass(f, point):
    assert check_gradients(f, point, order=1).verdict == "pass"


def test_verify_compares_what_it_is_given_or_refuses():
    wrong = Primitive("test_verify_wrong", np.sin, lambda g, out, x: -g * np.cos(x))
    right = Primitive("test_verify_right", np.sin, lambda g, out, x: g * np.cos(x))
    for given in (1.0, [1.0, 2.0], np.ones(3, np.float32), np.float64(1.0), ad.tensor(np.ones(3)), np.ones(3)):
        assert not verify(wrong, given, raises=False).passed
        assert verify(right, given).passed
    for given in (np.arange(3), 1, np.ones(3, complex), None):
        with pytest.raises(ArgumentError, match="nothing to compare"):
            verify(right, given)


@pytest.mark.parametrize("affine", [True, False])
def test_the_running_statistics_of_a_module_are_what_they_were(affine):
    layer = ad.nn.Sequential(ad.nn.BatchNorm1d(3, affine=affine), ad.nn.Tanh())
    x = np.random.default_rng(0).normal(size=(4, 3))
    layer(x)
    before = layer.state_dict()
    assert check_gradients(layer, x).verdict == "pass"
    for name, held in layer.state_dict().items():
        np.testing.assert_array_equal(held, before[name], err_msg=name)


@pytest.mark.parametrize(
    "f", [lambda x: np.log1p(-x), lambda x: np.sqrt(1 - x), np.arctanh], ids=["log1p", "sqrt", "arctanh"]
)
def test_equal_entries_at_the_edge_of_a_domain_pass(f):
    check_gradients(f, np.array([0.97, 0.97, 0.3]))
