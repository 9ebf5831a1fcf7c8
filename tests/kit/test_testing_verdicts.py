"""What a check must not pass, must not fail, and must say: each entry on its own scale, and doubt where there is
doubt.
"""

import numpy as np
import pytest

from autodiff.core.errors import ArgumentError, AutodiffError, GradientMismatch
from autodiff.extend import Primitive
from autodiff.testing import check_gradients, check_pair


def verdict(forward, backward, inputs, **options):
    with np.errstate(all="ignore"):
        return check_pair(forward, backward, inputs, raises=False, **options).verdict


SMOOTH = {
    "square": (np.square, lambda x: 2 * x),
    "exp": (np.exp, np.exp),
    "sum of squares": (lambda x: np.sum(x**2), lambda x: 2 * x),
    "product with its own tanh": (lambda x: x * np.tanh(x), lambda x: np.tanh(x) + x / np.cosh(x) ** 2),
    "cumulative sum of cubes": (lambda x: np.cumsum(x**3), None),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_a_doubled_or_zeroed_entry_never_passes_whatever_its_scale(name):
    forward, slope = SMOOTH[name]
    rng = np.random.default_rng(0)
    for _ in range(6):
        x = 10.0 ** rng.uniform(-8, 1, 4) * rng.choice([-1, 1], 4)
        spot = rng.integers(4)
        for factor in (1.0, 2.0, 0.0, 3.0):
            bend = np.where(np.arange(4) == spot, factor, 1.0)
            back = lambda g, x, bend=bend: (g * slope(x) if slope else np.cumsum(g[::-1])[::-1] * 3 * x**2) * bend
            assert (verdict(forward, back, [x]) == "pass") == (factor == 1.0)


# Functions that hold fewer digits than float64: differences of small steps are zero, or rough.
COARSE = {
    "a float32 step": (lambda x: np.tanh(x.astype(np.float32)).astype(np.float64), np.tanh),
    "a float32 step that drops an imaginary part": (
        lambda x: np.tanh(np.real(x).astype(np.float32)).astype(np.float64),
        np.tanh,
    ),
    "a float16 step": (lambda x: np.tanh(np.real(x).astype(np.float16)).astype(np.float64), np.tanh),
    "four digits": (lambda x: np.round(np.tanh(np.real(x)), 4), np.tanh),
    "a float32 step beside a smooth part": (
        lambda x: x + np.tanh(np.real(x).astype(np.float32)).astype(np.float64),
        lambda x: x + np.tanh(x),
    ),
}


@pytest.mark.parametrize("name", COARSE)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_plateaus_are_not_taken_for_slopes(name):
    coarse, smooth = COARSE[name]
    slope = lambda x: np.imag(smooth(x + 1e-30j)) / 1e-30
    x = np.array([0.3, -1.2, 0.8])
    assert verdict(coarse, lambda g, x: g * slope(x), [x]) in ("pass", "inconclusive")
    for factor in (0.0, 2.0):
        assert verdict(coarse, lambda g, x, factor=factor: factor * g * slope(x), [x]) != "pass"
    if "float32" in name:
        report = check_pair(coarse, lambda g, x: g * slope(x), [x], raises=False)
        assert report.verdict == "pass"
        assert any("plateaus" in note for note in report.notes)


def relu_layer(x, w, b):
    return np.maximum(x @ w + b, 0)


def relu_backward(at_zero):
    def backward(g, x, w, b):
        z = x @ w + b
        g = g * np.where(z == 0, at_zero, z > 0)
        return g @ w.T, x.T @ g, g.sum(0)

    return backward


@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
def test_several_kinks_at_once_are_judged_alike_for_every_seed(at_zero):
    x, w, b = np.random.default_rng(0).normal(size=(5, 4)), np.random.default_rng(1).normal(size=(4, 6)), np.zeros(6)
    x[-1] = 0
    found = {verdict(relu_layer, relu_backward(at_zero), [x, w, b], seed=seed) for seed in range(4)}
    assert found == {"pass"}
    assert verdict(relu_layer, relu_backward(2.0), [x, w, b]) == "fail"


def test_an_infinite_slope_leaves_the_other_entries_judged():
    backward = lambda factor: lambda g, x: g * 0.5 / np.sqrt(x) * factor
    with np.errstate(all="ignore"):
        report = check_pair(np.sqrt, backward(1.0), [np.array([0.0, 1.0, 4.0])], raises=False)
    assert {(entry.index, entry.verdict) for entry in report.entries} == {((0,), "inconclusive"), (None, "pass")}
    assert verdict(np.sqrt, backward(np.array([1.0, 1.0, 2.0])), [np.array([0.0, 1.0, 4.0])]) == "fail"


def test_an_infinite_output_is_in_doubt_and_the_others_are_judged():
    backward = lambda factor: lambda g, x: g * np.exp(x) * factor
    assert verdict(np.exp, backward(1.0), [np.array([800.0])]) == "inconclusive"
    assert verdict(np.exp, backward(1.0), [np.array([800.0, 1.0])]) == "inconclusive"
    assert verdict(np.exp, backward(np.array([1.0, 2.0])), [np.array([800.0, 1.0])]) == "fail"


@pytest.mark.parametrize("at", [20.0, -18.0])
def test_a_rule_that_is_zero_in_the_tail_does_not_pass(at, temporary):
    rounded = Primitive("test_tail", np.tanh, lambda g, out, x: g * (1 - out * out))
    with pytest.raises(AutodiffError):
        check_gradients(lambda x: np.sum(rounded(x)), np.array([at]))
    assert verdict(np.tanh, lambda g, x: g / np.cosh(x) ** 2, [np.array([at, 40.0])]) == "pass"


def test_a_random_function_is_named():
    rng = np.random.default_rng(0)
    with pytest.raises(GradientMismatch, match="random function"):
        check_gradients(lambda x: np.sum(x * rng.normal(size=3)), np.ones(3))


# --- what was not checked is said


def test_float32_arguments_are_checked():
    r = np.random.default_rng(0).normal
    x, w = r(size=(3, 4)), r(size=(4, 2)).astype(np.float32)
    right = lambda g, x, w: (g @ w.T, x.T @ g)
    assert check_pair(lambda x, w: x @ w, right, [x, w]).notes == ["argument 1 is float32: checked in float64"]
    assert verdict(lambda x, w: x @ w, lambda g, x, w: (g @ w.T, 0 * (x.T @ g)), [x, w]) == "fail"
    assert check_gradients(lambda x: np.tanh(x), w, order=1).verdict == "pass"


def test_what_has_no_gradient_is_named():
    report = check_gradients(lambda x, i: x[i], np.ones(3), np.array([0, 1]), order=1)
    assert report.notes == ["not checked: argument 1 (int64) has no gradient"]
    report = check_pair(lambda x: (x**2, x**3), lambda g, cube: g * 2 * np.cbrt(cube), [np.array([1.5, -0.5])])
    assert "taken for the cache" in report.notes[0]


def test_complex_arguments_are_checked():
    z = np.array([1 + 2j, 0.5 - 1j])
    assert check_gradients(lambda z: np.real(z * np.conj(z)) + np.imag(np.exp(z)), z, order=1).verdict == "pass"
    assert verdict(lambda z: np.abs(z) ** 2, lambda g, z: 2 * g * z, [z]) == "pass"
    assert verdict(lambda z: np.abs(z) ** 2, lambda g, z: 2 * g * np.conj(z), [z]) == "fail"


def test_trees_of_arrays_are_checked():
    parameters = {"w": np.ones((2, 3)), "b": [np.zeros(3)]}
    f = lambda x, p: np.tanh(x @ p["w"] + p["b"][0])
    report = check_gradients(f, np.ones((4, 2)), parameters, order=1)
    assert {entry.label for entry in report.entries} >= {"argument 1['w']", "argument 1['b'][0]"}


def test_a_module_is_checked_with_its_parameters():
    import nn

    layer = nn.Linear(3, 2)
    before = [p.data.copy() for p in layer.parameters()]
    report = check_gradients(layer, np.random.default_rng(0).normal(size=(4, 3)), order=1)
    assert {"parameter weight", "parameter bias"} <= {entry.label for entry in report.entries}
    assert all(
        np.array_equal(p.data, b) and p.dtype == b.dtype for p, b in zip(layer.parameters(), before, strict=True)
    )
    closure = check_gradients(lambda x: layer(x), np.random.default_rng(0).normal(size=(4, 3)), order=1, raises=False)
    assert closure.verdict == "pass"
    assert any("takes from outside" in note for note in closure.notes)


def test_modes_are_named():
    assert check_gradients(np.sin, np.ones(2), modes=("reverse",)).verdict == "pass"
    with pytest.raises(ArgumentError, match="modes"):
        check_gradients(np.sin, np.ones(2), modes="reverse")


@pytest.mark.parametrize("factor", [1.0, 1 + 1e-6, -1.0])
def test_forward_mode_is_checked(factor, temporary):
    reverse = lambda g, out, x: np.cumsum(g[::-1])[::-1]
    op = Primitive("test_forward", lambda x: np.cumsum(x), reverse, tangent=lambda t, out, x: factor * np.cumsum(t))
    x = np.array([0.5, 1.0, -2.0])
    for modes in (("reverse", "forward"), ("forward",)):
        report = check_gradients(op, x, order=1, modes=modes, raises=False)
        assert report.verdict == ("pass" if factor == 1.0 else "fail")
        assert any(entry.label == "the derivative in forward mode" for entry in report.entries)
    assert check_gradients(op, x, order=1, modes=("reverse",)).verdict == "pass"


def test_functions_that_do_not_fit_together_are_a_usage_error():
    from autodiff.errors import GradientMismatch as Public

    assert Public is GradientMismatch
    for forward, backward in (
        (lambda x, y: x * y, lambda g, x, y: (g * y,)),
        (lambda x, y: (x, y, x), lambda dout: dout),
        (lambda x, y: x * y, lambda g, x, y: (g * y, g * x, g)),
        (lambda x, y: "no array", lambda g, x, y: (g, g)),
        (lambda x, y: x * y, lambda g, x, y: ("no", "array")),
    ):
        with pytest.raises(ArgumentError):
            check_pair(forward, backward, [np.ones(2), np.ones(2)])


# --- nothing but rounding is no alarm


def test_second_derivatives_of_zero_are_zero():
    # Of two numbers the deviation is half their distance, which bends nowhere but at 0.
    x = np.random.default_rng(5).normal(size=(3, 2))
    assert check_gradients(lambda x: np.std(x, axis=-1), x).verdict == "pass"
    import nn

    one_key = [np.random.default_rng(0).normal(size=(2, 1, 3)) for _ in range(3)]
    f = lambda q, k, v: nn.functional.scaled_dot_product_attention(q, k, v)
    assert check_gradients(f, *one_key).verdict == "pass"


def test_noise_that_hides_within_narrow_steps_is_found():
    # Two numbers normalised are 1 and -1 less six millionths: over narrow steps all roundings are alike.
    x, b = np.array([[[1.1150000000000002, -1.16625]]]), np.array([-1.28, 1.085758754863813])
    f = lambda x, b: (x - np.mean(x)) / np.sqrt(np.var(x) + 1e-5) + b
    assert check_gradients(f, x, b).verdict == "pass"


@pytest.mark.parametrize("weight", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("at_zero", [-1.0, 0.0, 1.0])
def test_a_kink_that_is_small_beside_the_slope_is_one(weight, at_zero):
    x, y = np.random.default_rng(0).normal(size=(20, 4)), np.random.default_rng(1).normal(size=20)
    lasso = lambda w: np.sum((x @ w - y) ** 2) + weight * np.sum(np.abs(w))

    def backward(at_zero):
        return lambda g, w: g * (2 * x.T @ (x @ w - y) + weight * np.where(w == 0, at_zero, np.sign(w)))

    w = np.array([0.0, 1.0, 0.0, -2.0])
    assert verdict(lasso, backward(at_zero), [w]) == "pass"
    assert verdict(lasso, backward(3.0), [w]) == "fail"


def test_a_median_of_equal_entries_moves_with_all_of_them():
    # No single entry moves it, so every difference is zero: the shares are what the gradients nearby mix.
    x = np.array([1.0, 2.0, 2.0, 2.0, 5.0])
    for shares in (np.array([0, 1, 1, 1, 0]) / 3, np.array([0.0, 0.0, 1.0, 0.0, 0.0])):
        given = lambda g, x, shares=shares: g * (shares if np.ptp(x[1:4]) == 0 else x == np.median(x))
        assert verdict(np.median, given, [x]) == "pass"
        for factor in (0.0, 2.0):
            wrong = lambda g, x, given=given, factor=factor: given(g, x) * (factor if np.ptp(x[1:4]) == 0 else 1)
            assert verdict(np.median, wrong, [x]) == "fail"


def test_a_minimum_at_small_numbers_is_resolved():
    # Equal logits and equal targets: the gradient is zero, and steps of a share of 0.0037 are lost in a sum of 20.
    x = np.full((6, 4), -0.0037)
    f = lambda x: np.sum(np.log(np.sum(np.exp(x), axis=1)) - np.mean(x, axis=1)) + 100.0
    assert check_gradients(f, x, order=1).verdict == "pass"
    tilted = lambda g, x: g * (np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True) - 0.25 + 1e-9)
    assert check_pair(f, tilted, [x], raises=False).verdict != "pass"


# --- what smaller or larger steps know


@pytest.mark.parametrize("factor", [1.0, 0.0, 2.0])
@pytest.mark.parametrize(
    ("forward", "slope", "x"),
    [
        # A wave and a peak far shorter than the first steps.
        (lambda x: np.sin(1e5 * x), lambda x: 1e5 * np.cos(1e5 * x), [0.3, 1.0]),
        (
            lambda x: np.exp(-(((x - 1) / 1e-4) ** 2)),
            lambda x: -2e8 * (x - 1) * np.exp(-(((x - 1) / 1e-4) ** 2)),
            [1.00005],
        ),
        (
            lambda x: np.exp(-(((x - 3) / 1e-6) ** 2)),
            lambda x: -2e12 * (x - 3) * np.exp(-(((x - 3) / 1e-6) ** 2)),
            [3 + 3e-7],
        ),
        # Numbers that leave the range when they are squared, or multiplied.
        (lambda x: 1e200 * np.sin(x), lambda x: 1e200 * np.cos(x), [0.3, 1.0]),
        (lambda x: 3 * x, lambda x: 3.0 + 0 * x, [1e-310, 1.0]),
    ],
)
def test_no_step_misleads(forward, slope, x, factor):
    def backward(g, x):
        bent = np.where(np.arange(x.size) == 0, factor, 1.0)
        return g * slope(x) * bent

    found = verdict(forward, backward, [np.array(x)])
    assert found == "pass" if factor == 1.0 else found != "pass"


def test_an_entry_that_no_small_step_moves_is_no_zero():
    x, y = np.array([1e-7, 3.0]), np.array([2e3, 4.0])
    zeroed = lambda g, x, y: (g * np.array([0.0, 1.0]) * x / np.hypot(x, y), g * y / np.hypot(x, y))
    assert verdict(np.hypot, zeroed, [x, y]) != "pass"


def test_a_term_below_the_last_digit_of_another_is_unknown():
    def softmax(x):
        e = np.exp(x - np.max(x))
        return e / np.sum(e)

    def backward(g, x):
        p = softmax(x)
        return p * (g - np.sum(g * p))

    assert verdict(softmax, backward, [np.array([0.0, 50.0, -50.0, 1.0])]) != "fail"


def test_a_function_that_refuses_longdouble_in_its_own_words_is_checked():
    linalg = pytest.importorskip("scipy.linalg", reason="the function under test is SciPy's")
    f = lambda a: np.trace(linalg.expm(a))
    a = np.random.default_rng(0).normal(size=(3, 3))
    assert verdict(f, lambda g, a: g * linalg.expm(a).T, [a]) == "pass"


WAVES = {
    "many turns from zero": (np.sin, np.cos, [1e4, 1e-4, 100.0, -3.0]),
    "short and low": (lambda x: x + 1e-8 * np.sin(1e8 * x), lambda x: 1 + np.cos(1e8 * x), [0.3, 1.0, 2.0]),
}


@pytest.mark.parametrize("name", WAVES)
def test_a_wave_is_no_plateau(name):
    f, slope, x = WAVES[name]
    x = np.array(x)
    assert verdict(f, lambda g, x: g * slope(x), [x]) == "pass"
    for spot in range(len(x)):
        bend = np.where(np.arange(len(x)) == spot, 2.0, 1.0)
        assert verdict(f, lambda g, x, bend=bend: g * slope(x) * bend, [x]) == "fail"


def test_an_iteration_that_stops_at_a_tolerance_is_judged_to_it():
    def fixed(x, tolerance=1e-8):
        y = np.zeros_like(x)
        for _ in range(200):
            following = 0.5 * x * np.cos(y)
            if np.max(np.abs(following - y)) < tolerance:
                return following
            y = following
        return y

    def slope(x):
        y = fixed(np.asarray(x, float), 0.0)
        return 0.5 * np.cos(y) / (1 + 0.5 * x * np.sin(y))

    # The second one's jumps alternate.
    for x in (np.array([0.5, 0.9, -0.4]), np.array([1.0, 1.6])):
        assert verdict(fixed, lambda g, x: g * slope(x), [x]) == "inconclusive"
    x = np.array([0.5, 0.9, -0.4])
    assert verdict(fixed, lambda g, x: g * slope(x) * (1 + 1e-3), [x]) == "fail"
    poles = np.diag([1e-3, 1.0]) + 0.1
    wrong = lambda g, a: -np.linalg.inv(a).T @ g @ np.linalg.inv(a).T * (1 + 1e-5)
    assert verdict(np.linalg.inv, wrong, [poles]) == "fail"


def test_an_infinite_input_leaves_the_others_judged():
    x = np.array([np.inf, 1.0, 2.0])
    assert verdict(lambda x: 2 * x, lambda g, x: 2 * g, [x]) == "inconclusive"
    assert verdict(lambda x: 2 * x, lambda g, x: g * np.array([2.0, 2.0, 4.0]), [x]) == "fail"


def test_gradients_of_complex_outputs_chain():
    z = np.array([0.3 + 1j, -1.2 + 0.5j])
    square = (lambda z: z**2), (lambda g, z: g * np.conj(2 * z))
    exp = np.exp, (lambda g, z: g * np.conj(np.exp(z)))
    for forward, backward in (square, exp):
        assert verdict(forward, backward, [z]) == "pass"
        assert verdict(forward, lambda g, z, backward=backward: np.conj(backward(g, z)), [z]) == "fail"
    both = lambda g, z: square[1](exp[1](g, z**2), z)
    assert verdict(lambda z: np.exp(z**2), both, [z]) == "pass"


def test_entries_of_a_long_vector_that_the_values_do_not_show_are_named():
    x = np.random.default_rng(0).normal(size=20_000)
    x[:2] = 1e-9
    report = check_pair(lambda x: np.sum(x * x), lambda g, x: 2 * g * x, [x], raises=False)
    assert report.verdict == "pass"
    assert any("too small beside the others for the values to tell" in note for note in report.notes)
    assert "report.reproduce holds" in str(report)
    assert len(str(report)) < 3000
    zeroed = lambda g, x: 2 * g * x * (np.arange(x.size) != np.argmax(np.abs(x)))
    assert verdict(lambda x: np.sum(x * x), zeroed, [x]) == "fail"


def test_a_function_without_a_gradient_is_a_usage_error():
    for f in (lambda x: None, lambda x: (x > 0).astype(int)):
        with pytest.raises(ArgumentError, match="nothing that has a gradient"):
            check_pair(f, lambda g, x: g, [np.ones(2)])


def test_the_slope_of_a_staircase_is_neither_right_nor_wrong():
    stairs = lambda x: np.round(np.tanh(np.real(x)) * 128) / 128
    x = np.array([0.3, 0.8, -1.1])
    assert verdict(stairs, lambda g, x: g / np.cosh(x) ** 2, [x]) == "inconclusive"
    assert verdict(stairs, lambda g, x: 2 * g / np.cosh(x) ** 2, [x]) == "fail"
    assert verdict(np.round, lambda g, x: g, [x]) == "fail"
    assert verdict(np.round, lambda g, x: 0 * g, [x]) == "pass"
    shrunk = lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)
    assert verdict(shrunk, lambda g, x: g, [x]) == "fail"


@pytest.mark.parametrize("wrong", [np.inf, -np.inf])
@pytest.mark.parametrize("entry", [(0,), (2,), ...])
def test_an_infinite_gradient_of_a_smooth_function_fails(wrong, entry):
    def backward(g, x):
        grown = g * np.cos(x)
        grown[entry] = wrong
        return grown

    assert check_pair(np.sin, backward, [np.ones(3)], raises=False).verdict == "fail"


@pytest.mark.parametrize("others", [[], [0.3], [0.3, -0.1, 2.0]])
@pytest.mark.parametrize("far", [18.0, 20.0, -25.0, 30.0])
def test_a_tail_beside_entries_with_large_gradients_is_not_called_right(far, others):
    rounded = Primitive("tanh_by_its_result_beside", np.tanh, lambda g, out, x: g * (1 - out * out))
    x = np.array([far, *others])
    assert check_gradients(lambda x: np.sum(rounded(x)), x, order=1, raises=False).verdict != "pass"
    assert check_gradients(lambda x: np.sum(np.tanh(x)), x, raises=False).verdict == "pass"
