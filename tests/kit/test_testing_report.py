"""Reports: a line that runs by itself, and hints that name the mistake."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autodiff.core.errors import GradientMismatch
from autodiff.testing import check_gradients, check_pair
from autodiff.testing.reproduction import spelled

ROOT = Path(__file__).parents[2]
FACTOR = 1.5


def rerun(report) -> str:
    """What the report's own text prints in a fresh process, its last error line."""
    out = subprocess.run(
        [sys.executable, "-c", report.reproduce],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    return out.stderr


def same_numbers(report, error: str) -> bool:
    return all(str(entry) in error for entry in report.worst_of().values() if entry.verdict == "fail")


def test_of_lambdas_on_one_line_each_is_spelled_itself():
    shift = 0.5
    line = {"x + 2.0": lambda x: x + 2.0, "x * 2.0": lambda x: x * 2.0, "shift - x": lambda x: shift - x, "x - shift": lambda x: x - shift}  # noqa: E501  # fmt: skip
    for text, f in line.items():
        assert f"(lambda x: {text})" in check_gradients(f, np.ones(2), order=1).reproduce
    outer = lambda y: (lambda x: x + y) if y else lambda x: x - y
    assert "(lambda x: x + y)" in check_gradients(outer(1.0), np.ones(2), order=1).reproduce
    assert "(lambda x: x - y)" in check_gradients(outer(0.0), np.ones(2), order=1).reproduce
    assert "lambda y: (lambda x: x + y) if y" in spelled(outer)


def test_a_lambda_with_what_it_refers_to():
    shift = np.array([0.1, np.pi])
    report = check_gradients(lambda x: np.sin(x + shift) * FACTOR + x.data, np.array([1 / 3, -0.0]), raises=False)
    assert report.verdict == "fail"
    error = rerun(report)
    assert "GradientMismatch" in error
    assert same_numbers(report, error)


def helper(x):
    return x * x.data


def outer(x):
    """Not importable under this name elsewhere."""
    return helper(x) + 1.0


def test_functions_of_a_test_module_bring_their_source():
    report = check_gradients(outer, np.random.default_rng(0).normal(size=(2, 2)), order=1, raises=False)
    assert same_numbers(report, rerun(report))


def test_a_pair_and_large_arrays():
    x = np.random.default_rng(0).normal(size=(30, 30)).T
    report = check_pair(lambda x: x**2, lambda g, x: 2.002 * g * x, [x], raises=False, seed=4)
    assert len(report.reproduce) < 16_000
    assert same_numbers(report, rerun(report))


def test_what_has_no_text_is_left_to_be_defined():
    report = check_gradients(eval("lambda x: x * x.data"), np.ones(2), order=1, raises=False)
    assert "define it here" in report.reproduce


@pytest.mark.parametrize(
    "value",
    [
        np.array([[0.1, np.nan], [np.inf, -0.0]]),
        np.float32(0.1),
        np.arange(3),
        np.zeros((0, 2), np.float32),
        np.array(1 + 2j),
        slice(1, None, -1),
        {"a": (1, [None, ...])},
        np.asfortranarray(np.ones((2, 3))),
        np.array([True]),
        np.random.default_rng(0).normal(size=500),
        (5e-324, 1e308),
    ],
    ids=str,
)
def test_values_come_back_to_the_bit(value):
    import base64
    import zlib

    again = eval(spelled(value), {"np": np, "base64": base64, "zlib": zlib})
    if isinstance(value, np.ndarray | np.generic):
        assert again.dtype == value.dtype
        assert again.tobytes() == value.tobytes()
        assert again.shape == value.shape
    else:
        assert again == value


# --- hints ------------------------------------------------------------------------------------------------------------

X = np.random.default_rng(1).normal(size=(5, 4))
W = np.random.default_rng(2).normal(size=(4, 4))


def normalised(x):
    c = x - x.mean(0)
    s = 1 / np.sqrt((c**2).mean(0))
    return c * s, s


HINTS = {
    "sign is wrong": (lambda x: np.cos(x), lambda g, x: g * np.sin(x), [X]),
    "5 times too large, which is the length of axis 0": (lambda x: (x**2).mean(0), lambda g, x: 2 * x * g, [X]),
    "1/5 of what it should be": (lambda x: (x**2).sum(0), lambda g, x: 2 * x * g / 5, [X]),
    "Bessel": (lambda x: x.var(0), lambda g, x: 2 * (x - x.mean(0)) * g / 4, [X]),
    "too few digits": (lambda x: np.log10(np.abs(x)), lambda g, x: g / (2.3026 * x), [X]),
    "the 2 of a square": (lambda x: 0.5 * x**2, lambda g, x: 2 * g * x, [X]),
    "transpose": (lambda x, w: x @ w, lambda g, x, w: (g @ w.T, (x.T @ g).T), [X[:4], W]),
    "exchanged": (lambda x, w: x * w, lambda g, x, w: (g * x, g * w), [X[:4], W]),
    "reversed along axis 0": (lambda x: np.cumsum(x), lambda g, x: np.cumsum(g[::-1]), [X[:, 0].copy()]),
    "does not change when the output's gradient doubles": (lambda x: x**3, lambda g, x: 3 * x**2, [X]),
    "no gradient reaches": (
        lambda x: x[[0, 1, 1, 3]],
        lambda g, x: np.where(np.arange(5)[:, None] == 3, 0, np.eye(5)[[0, 1, 1, 3]].T @ g),
        [X],
    ),
    "the path through a mean": (lambda x: x - x.mean(0), lambda g, x: g, [X]),
    "(a norm) over that axis": (lambda x: x / np.sqrt((x**2).sum(0)), lambda g, x: g / np.sqrt((x**2).sum(0)), [X]),
    "a variance over that axis": (lambda x: normalised(x)[0], lambda g, x: normalised(x)[1] * (g - g.mean(0)), [X]),
    "agrees to": (lambda x: np.exp(x), lambda g, x: g * np.exp(x.astype(np.float32)), [X]),
    "of 20 entries are wrong, the first at [1, 2]": (
        lambda x: x**2,
        lambda g, x: 2 * g * x + 0.1 * (np.arange(20).reshape(5, 4) == 6),
        [X],
    ),
    "NaN or infinite": (lambda x: x**2, lambda g, x: np.where(x > 0.8, np.nan, 2 * g * x), [X]),
    "zero everywhere": (lambda x: x**2, lambda g, x: 0 * g, [X]),
    "over the wrong axis": (lambda x: x / 2.0, lambda g, x: g / np.arange(2, 7)[:, None], [X]),
    "applied forwards to the output's gradient": (lambda x: np.cumsum(x, 0), lambda g, x: np.cumsum(g, 0), [X]),
    "shifted by 1 along axis 0 and 1 along axis 1": (lambda x: np.pad(x, 1), lambda g, x: g[:-2, :-2], [X]),
    "a residual connection": (lambda x: x + np.sin(x), lambda g, x: g * np.cos(x), [X]),
    "times 1 - output 0": (lambda x: 1 / (1 + np.exp(-x)), lambda g, x: g / (1 + np.exp(-x)), [X]),
    "shape (5, 4) among the arguments": (
        lambda x, m: 2 * x * m,
        lambda g, x, m: (2 * g, None),
        [X, np.arange(20).reshape(5, 4) % 2],
    ),
    "a mask or a choice": (lambda x: x.max(1), lambda g, x: np.repeat(g[:, None], 4, 1), [X]),
    "for argument 0 transposed": (lambda w, x: x @ w, lambda g, w, x: (x.T @ g, g @ w), [W, X]),
    "broadcast to (5, 4)": (lambda x, b: x * b, lambda g, x, b: (g * b, (g * x)[0]), [X, W[0].copy()]),
}


@pytest.mark.parametrize("words", HINTS)
def test_the_mistake_is_named(words):
    report = check_pair(*HINTS[words], raises=False)
    assert report.verdict == "fail"
    assert any(words in hint for hint in report.hints), report.hints
    assert words in str(report)


@pytest.mark.parametrize("words", ["sign is wrong", "zero everywhere"])
def test_without_time_for_every_entry_some_of_them_tell(words, monkeypatch):
    monkeypatch.setattr("autodiff.testing.diagnosis._SECONDS", 0.0)
    factor = -1 if "sign" in words else 0
    report = check_pair(
        np.exp, lambda g, x: factor * g * np.exp(x), [np.linspace(-1, 1, 300).reshape(20, 15)], raises=False
    )
    assert any(words in hint for hint in report.hints), report.hints


def test_a_sum_that_was_dropped_is_named_with_its_axis():
    with pytest.raises(GradientMismatch, match=r"a sum: over axis \(0,\)"):
        check_pair(lambda x, b: x + b, lambda g, x, b: (g, g), [X, W[0].copy()])


def test_a_backward_that_writes_into_its_inputs_is_named():
    def backward(g, x):
        x *= 2
        return g * x

    with pytest.raises(GradientMismatch, match="writes into argument 0"):
        check_pair(lambda x: x**2, backward, [X.copy()])


def test_a_right_gradient_has_no_hints():
    assert check_pair(lambda x: x**2, lambda g, x: 2 * g * x, [X]).hints == []


def test_hints_are_looked_for_when_they_are_asked_for():
    import pickle

    asked = []

    def forward(x):
        asked.append(x)
        return np.tanh(x)

    report = check_pair(forward, lambda g, x: g * 2 / np.cosh(x) ** 2, [np.array([0.3, -1.0])], raises=False)
    before = len(asked)
    assert report.hints
    assert len(asked) > before
    # A report of a function that knows no way to another process arrives there with what it says.
    again = pickle.loads(pickle.dumps(report))
    assert (str(again), again.hints) == (str(report), report.hints)
