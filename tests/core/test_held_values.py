"""A backward pass through values that the library has changed in place since is refused; inner passes stay inside."""

import contextlib
import sys

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.backward import backpropagate
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.testing import RandomDraw
from autodiff.testing.verify import Call
from autodiff.writes import written
from nn import functional as F


def step(*leaves):
    """What an optimiser does that updates in place."""
    for leaf in leaves:
        leaf.data[...] -= 0.1
        written(leaf.data, leaf._node)


def leaf(value, **options):
    return ad.tensor(value, requires_grad=True, **options)


PROGRAMS = {
    "product": lambda x, w: (x * w).sum(),
    "matrix product": lambda x, w: (x @ w).sum(),
    "through a view": lambda x, w: (x @ w.T).sum(),
    "through a slice": lambda x, w: (x * w[0]).sum(),
    "fused": lambda x, w: F.linear(x, w).sum(),
    "a reshaped view of a view": lambda x, w: (x.reshape(-1) * w.T.T.reshape(-1)).sum(),
}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_old_values_are_refused_by_name(name, plain):
    x, w = leaf(np.arange(4.0).reshape(2, 2)), leaf(np.ones((2, 2)), name="weight")
    out = PROGRAMS[name](x, w)
    step(w)
    with ad.plain() if plain else contextlib.nullcontext(), pytest.raises(ad.GraphError, match="changed in place"):
        out.backward()
    assert x.grad is None
    fresh = PROGRAMS[name](x, w)
    fresh.backward()
    assert x.grad is not None


def test_the_message_names_operation_argument_and_leaf():
    x, w = leaf(np.ones(2)), leaf(np.ones(2), name="weight")
    out = (x * w).sum()
    step(w)
    with pytest.raises(ad.GraphError, match=r"multiply.*'y' \(weight\).*compute again"):
        out.backward()


def test_what_no_rule_reads_may_change():
    x, w = leaf(np.ones(3)), leaf(np.ones(3))
    out = (x + w).sum() + (w * 2.0).sum()
    step(w)
    out.backward()
    np.testing.assert_array_equal(w.grad, [3.0, 3.0, 3.0])


def test_other_parts_of_the_same_memory_may_change():
    flat = np.ones(6)
    parts = [ad.Tensor.__new__(ad.Tensor) for _ in range(2)]
    for part, data in zip(parts, (flat[:3], flat[3:]), strict=True):
        part._data, part._node = data, None
        part.requires_grad = True
    x = leaf(np.ones(3))
    out = (x * parts[0]).sum()
    step(parts[1])
    out.backward()
    again = (x * parts[0]).sum()
    step(parts[0])
    with pytest.raises(ad.GraphError, match="changed in place"):
        again.backward()


def test_a_checkpoint_does_not_compute_with_new_values():
    x, w = leaf(np.ones(2)), leaf(np.ones(2), name="weight")
    out = ad.checkpoint(lambda t: np.tanh(t * w))(x).sum()
    step(w)
    with pytest.raises(ad.GraphError, match="checkpoint"):
        out.backward()


def rebind(w):
    w.data = np.zeros(2)


def assign(w):
    with ad.no_grad():
        w[0] = 0.0


@pytest.mark.parametrize("change", [rebind, assign])
def test_a_new_array_spoils_a_checkpoint_and_no_other_graph(change):
    x, w = leaf(np.ones(2)), leaf(np.full(2, 3.0))
    kept, anew = (x * w).sum(), ad.checkpoint(lambda t: t * w)(x).sum()
    change(w)
    with pytest.raises(ad.GraphError, match="changed in place"):
        anew.backward()
    kept.backward()
    np.testing.assert_array_equal(x.grad, [3.0, 3.0])


def test_a_pass_before_the_change_and_a_graph_made_after_it_are_fine():
    w = leaf(np.ones(3))
    for _ in range(3):
        loss = (w * w).sum()
        loss.backward()
        step(w)
        w.grad = None
    assert w._node.version > 0


def lines_run(program):
    """How many lines of Python a call runs."""
    count = 0

    def tracer(frame, event, arg):
        nonlocal count
        count += event == "line"
        return tracer

    program()
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        program()
    finally:
        sys.settrace(before)
    return count


def descent(n):
    def program(x):
        for _ in range(n):
            x = x - 0.1 * ad.grad(lambda t: t**4)(x)
        return x

    return lambda: ad.grad(program)(0.5)


def joined(n):
    def program():
        x = leaf(np.ones(3))
        np.concatenate([x] * n).sum().backward()

    return program


def closed_over(n):
    """Each inner function reads a value with all the history of the outer one."""

    def program(x):
        for _ in range(n):
            x = x - 0.1 * ad.gradients((t := leaf(1.0)) * x, t, create_graph=True)
        return x

    return lambda: ad.grad(program)(0.5)


@pytest.mark.parametrize(("program", "n"), [(descent, 20), (joined, 200), (closed_over, 40)])
def test_twice_the_program_is_twice_the_work(program, n):
    assert lines_run(program(2 * n)) < 2.4 * lines_run(program(n))


@pytest.mark.parametrize("name", sorted(ad._AT_IMPORT))
def test_a_leafs_gradient_is_nobody_elses(name):
    """A leaf takes an array that a rule made without copying it: so no rule may return an array that it keeps."""
    op = registry[name]
    rng = np.random.default_rng([15, *name.encode()])
    for _ in range(3):
        args, kwargs = sample_call(op, RandomDraw(rng))
        call = Call(op, args, kwargs)
        seeds = call.seeds(rng)
        rounds = []
        for _ in range(2):
            for leaf_ in call.leaves:
                leaf_.grad = None
            backpropagate([out._node for out in call.outs], seeds, free=False)
            rounds.append([leaf_.grad for leaf_ in call.leaves if leaf_.grad is not None])
        others = [a for a in (*args, *seeds) if isinstance(a, np.ndarray)]
        others += [t.data for t in (*call.leaves, *call.outs)]
        for i, g in enumerate(rounds[0]):
            assert g.flags.writeable
            mine = [*others, *rounds[1], *rounds[0][:i], *rounds[0][i + 1 :]]
            assert not any(np.shares_memory(g, other) for other in mine)
