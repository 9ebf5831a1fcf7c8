"""Mutants: what is bent is noticed, and facts that reach too little fail the suite."""

import numpy as np
import pytest

from autodiff import constant
from autodiff.core.errors import ArgumentError
from autodiff.core.op import registry
from autodiff.extend import Fused, Primitive
from autodiff.testing import RandomDraw, check_gradients, check_pair, check_torch
from autodiff.testing.__main__ import main
from autodiff.testing.mutation import mutants, mutants_of, saved_as_constants, survivors, telling_calls
from autodiff.testing.verify import held


def draw():
    return RandomDraw(np.random.default_rng(0))


def test_every_kind_of_mutant_is_made():
    op = registry["multiply"]
    found = mutants(
        op,
        [((np.array([[0.5, 2.0], [1.5, -1.0]]), np.array([0.7, 0.3])), {}), ((np.array([2.0]), np.array([3.0])), {})],
    )
    # Four bends of each input and of the tangent, the dropped sum of the second, the exchange, and the saved arrays.
    assert (found.made, found.survived) == (15, ())


def test_a_sample_that_never_gives_an_input_fails(temporary):
    def forward(x, weight=None):
        return (x if weight is None else x * weight), (x, weight)

    def backward(g, residuals, needs):
        x, weight = residuals
        return (g, None) if weight is None else (g * weight, g * x)

    composed = lambda x, weight=None: x * 1.0 if weight is None else x * weight
    shy = Fused(
        "test_shy", composed=composed, forward=forward, backward=backward, sample=lambda d: ((d.array((3,)),), {})
    )
    found = mutants(shy, telling_calls(shy, draw()))
    assert not found.passed
    assert "'weight' is never given" in str(found)
    assert survivors(shy, telling_calls(shy, draw()))


def test_an_operation_without_a_sample_fails_with_advice(temporary):
    bare = Fused(
        "test_bare", composed=lambda x: x * 1.0, forward=lambda x: (x * 1.0, ()), backward=lambda g, r, n: (g,)
    )
    with pytest.raises(ArgumentError, match="pass sample="):
        telling_calls(bare, draw())


def test_a_weak_sample_lets_mutants_live(temporary):
    # At zero a doubled, flipped or scaled gradient of x^2 is still zero.
    weak = Primitive("test_weak", lambda x: x * x, lambda g, out, x: 2 * g * x, sample=lambda d: ((np.zeros(3),), {}))
    found = mutants(weak, telling_calls(weak, draw()))
    assert not found.passed


def test_residuals_of_a_fused_operation_as_constants_are_wrong_in_second_order_only():
    op = registry["softmax"]
    function, x = held(op, (np.array([[0.3, -1.0, 0.5]]),), {})
    with saved_as_constants(op):
        assert check_gradients(function, x, order=1, raises=False).verdict == "pass"
        assert check_gradients(function, x, order=2, raises=False).verdict == "fail"
    assert check_gradients(function, x, order=2, raises=False).verdict == "pass"


def test_the_command_fails_on_weak_facts(temporary, capsys):
    Primitive("test_weak_facts", lambda x: x * x, lambda g, out, x: 2 * g * x, sample=lambda d: ((np.zeros(2),), {}))
    assert main(["test_weak_facts"]) == 1
    assert "facts are too weak" in capsys.readouterr().out


def test_a_rule_cut_by_hand_is_what_the_mutant_is(temporary):
    cut = Primitive("test_cut_by_hand", lambda x: np.sin(x), lambda g, out, x: g * np.cos(constant(x)))
    function, x = held(cut, (np.array([0.4]),), {})
    assert check_gradients(function, x, order=2, raises=False).verdict == "fail"


def test_gradients_of_other_libraries_are_bent_too():
    torch = pytest.importorskip("torch", reason="the gradient under test is PyTorch's")
    assert str(mutants_of(check_torch, lambda x, w: torch.tanh(x @ w), np.eye(2), np.ones((2, 3)))) == "8 of 8"
    # At zero a doubled, flipped or scaled gradient of x^2 is still zero.
    weak = mutants_of(check_pair, lambda x: x**2, lambda g, x: 2 * g * x, [np.zeros(2)])
    assert not weak.passed
    assert "argument 0 has no gradient at this point" in weak.untold


@pytest.mark.parametrize(
    "backward",
    [lambda g, x: g * np.sin(x), lambda g, x: g * np.random.default_rng().random(2)],
    ids=["wrong", "random"],
)
def test_mutants_of_what_does_not_pass_are_none(backward):
    found = mutants_of(check_pair, np.sin, backward, [np.array([0.3, -1.0])])
    assert not found.passed
    assert str(found) == "0 of 0; the gradient does not pass as it is: fail"
