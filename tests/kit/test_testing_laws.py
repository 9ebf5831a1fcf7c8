"""Laws are proved by breaking them: each new law fails on an operation that breaks it and on no other."""

import numpy as np
import pytest

from autodiff.core.errors import ArgumentError
from autodiff.core.op import registry
from autodiff.extend import Fused, Primitive
from autodiff.testing import check_jax, check_pair, check_torch
from autodiff.testing.foreign import mutants_of
from autodiff.testing.laws import LAWS, laws_of

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def broken_by(law, op, *args, **kwargs):
    try:
        LAWS[law](op, args, kwargs)
    except AssertionError as error:
        return str(error)
    return None


def test_a_nan_that_vanishes(temporary):
    swallowing = Primitive("test_swallows", lambda x: np.where(x > 0, x, 0.0), lambda g, out, x: np.where(x > 0, g, 0))
    assert "vanishes" in broken_by("nan_and_infinity_propagate", swallowing, np.abs(X))
    assert broken_by("nan_and_infinity_propagate", registry["relu"], np.abs(X)) is None


def test_a_nan_that_leaks(temporary):
    # Each output has one input, yet the backward divides by a sum over all of them.
    leaking = Primitive("test_leaks", lambda x: x * 2.0, lambda g, out, x: 2 * g * np.sum(x) / np.sum(x))
    assert "no output depends on both" in broken_by("nan_and_infinity_propagate", leaking, X)


def test_a_gradient_of_a_broadcast_input_that_is_no_sum(temporary):
    ufunc = np.multiply
    op = Primitive(
        "test_mean_for_sum",
        ufunc,
        lambda g, out, x, y: g * y,
        lambda g, out, x, y: g * x / (1 + g.ndim - y.ndim),
        numpy=(),
    )
    assert "gradient of broadcast inputs" in broken_by("broadcasting_is_repeating", op, X, np.array([2.0, 3.0, 4.0]))
    assert broken_by("broadcasting_is_repeating", registry["multiply"], X, np.array([2.0, 3.0, 4.0])) is None


def test_an_output_in_its_inputs_memory(temporary):
    lazy = Fused(
        "test_lazy",
        composed=lambda x: x * 1.0,
        forward=lambda x: (x, ()),
        backward=lambda g, r, n: (g,),
        sample=lambda d: ((d.array((2,)),), {}),
    )
    assert "not declared a view" in broken_by("only_views_alias_their_input", lazy, X)


def test_an_operation_that_cannot_do_without_elements(temporary):
    dividing = Primitive(
        "test_divides",
        lambda x: x.sum(axis=0) / len(x),
        lambda g, out, x: np.broadcast_to(g / len(x) * (1 / len(x)), x.shape),
    )
    with pytest.raises(ZeroDivisionError):
        LAWS["empty_and_scalar_inputs"](dividing, (X,), {})
    LAWS["empty_and_scalar_inputs"](registry["var"], (X,), {"axis": 0})


def test_powers_of_two_must_scale_exactly(temporary):
    op = Primitive("test_offset", lambda x: x * 3.0, lambda g, out, x: g * 3.0 + 1e-17)
    assert broken_by("linear_in_the_cotangent", op, X * 1e-17) is not None


def test_memory_with_stride_zero_is_read_right(temporary):
    # A kernel that takes the strides of its input for those of a contiguous array.
    def forward(x):
        return np.lib.stride_tricks.as_strided(x, x.shape, (x.itemsize * x.shape[1], x.itemsize)).copy() * 2.0

    # Rows that are one row: what stands after it in memory is not the next one.
    op = Primitive("test_strides", forward, lambda g, out, x: 2 * g)
    with pytest.raises(AssertionError, match=r"inputs|memory"):
        LAWS["layout_does_not_matter"](op, (X,), {})


def test_a_cycle_that_is_left_behind_and_what_was_there_before_is_not_looked_at(temporary, monkeypatch):
    import gc

    class Holder:
        pass

    def cyclic(x):
        holder = Holder()
        holder.itself = holder
        return x * 2.0

    leaking = Primitive("test_cycle", cyclic, lambda g, out, x: 2 * g)
    before = Holder()
    before.itself = before
    del before
    looked_at, collect = [], gc.collect
    monkeypatch.setattr(gc, "collect", lambda: looked_at.append(len(gc.get_objects())) or collect())
    assert "reference cycle" in broken_by("nothing_waits_for_the_collector", leaking, X)
    assert broken_by("nothing_waits_for_the_collector", registry["multiply"], X, X) is None
    assert gc.get_freeze_count() == 0
    assert gc.isenabled()
    assert max(looked_at) < 5000, "the collector goes through the whole process"


# --- gradients of other libraries


def test_pairs_obey_the_laws_or_are_told_which_they_break():
    calls = []

    def forgetful(g, x):
        calls.append(x)
        return g * 2 * x + 1e-3 * len(calls)

    x = [np.array([[0.5, -1.0], [2.0, 0.25]])]
    assert laws_of(check_pair, np.square, lambda g, x: g * 2 * x, x) == {}
    assert list(laws_of(check_pair, np.square, lambda g, x: np.abs(g) * 2 * x, x)) == ["linear in the cotangent"]
    assert "reruns agree to the bit" in laws_of(check_pair, np.square, forgetful, x)
    by_memory = lambda g, x: (g.ravel("K") * 2 * x.ravel("K")).reshape(x.shape)
    assert list(laws_of(check_pair, np.square, by_memory, x)) == ["layout does not matter"]

    def refuses(g, x):
        if not x.flags.c_contiguous:
            raise RuntimeError("only C")
        return g * 2 * x

    assert laws_of(check_pair, np.square, refuses, x) == {"layout does not matter": "RuntimeError: only C"}
    whole = lambda g, x: np.ones((2, 2)) if not x.size else g * 2 * x
    assert list(laws_of(check_pair, np.square, whole, x)) == ["inputs without elements"]


@pytest.mark.parametrize("what", [np.sin, np.square, 3, lambda x: x, sorted])
def test_laws_and_mutants_are_those_of_a_check(what):
    for use in (laws_of, mutants_of):
        with pytest.raises(ArgumentError, match=r"write laws_of\(check_gradients, f, \*args\)"):
            use(what, np.ones(2))


def test_pytorchs_functions_obey_the_laws():
    torch = pytest.importorskip("torch", reason="the gradient under test is PyTorch's")

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * g * x**2

    class Rounded(Cube):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * torch.round(g, decimals=2) * x**2

    assert laws_of(check_torch, Cube, X) == {}
    assert "linear in the cotangent" in laws_of(check_torch, Rounded, X)


def test_jaxs_custom_rules_obey_the_laws():
    jax = pytest.importorskip("jax", reason="the gradient under test is JAX's")
    jax.config.update("jax_enable_x64", True)

    @jax.custom_vjp
    def square(x):
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, g: (2 * x * g,))
    assert laws_of(check_jax, square, X) == {}
    clipped = jax.custom_vjp(lambda x: x * x)
    clipped.defvjp(lambda x: (x * x, x), lambda x, g: (2 * x * jax.numpy.clip(g, -1, 1),))
    assert "linear in the cotangent" in laws_of(check_jax, clipped, X)
