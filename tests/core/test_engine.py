"""The engine: recording, the walk, accumulation, freeing, higher orders, hooks, and what misuse says."""

import contextlib
import copy
import gc
import pickle
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import autodiff as ad
from autodiff.core import backward as engine
from autodiff.core.errors import ArgumentError, DTypeError, GraphError, NotDifferentiableError, ShapeError
from autodiff.core.graph import Node, Variable, topological_order
from autodiff.core.op import registry
from autodiff.extend import Primitive
from autodiff.facts import sample_call
from autodiff.testing import RandomDraw
from autodiff.testing.verify import Call
from autodiff.watch import constant_inputs
from nn import functional as F


def leaf(value, **options):
    return ad.tensor(value, requires_grad=True, **options)


# --- recording ----------------------------------------------------------------------------------------------------


def test_gradient_of_a_shared_expression_adds_up_before_it_is_passed_on():
    a = leaf(3.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad == 4.0


def test_topological_order_puts_parents_first():
    a = leaf(1.0)
    b = a * a
    c = b * a + b
    order = topological_order([c._node])
    place = {node: i for i, node in enumerate(order)}
    for node in order:
        if isinstance(node, Node):
            assert all(place[p] < place[node] for p in node.parents if p is not None)
    assert len(order) == len(set(order)) == 4


@given(st.lists(st.tuples(st.sampled_from("+-*/"), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12))
def test_random_expression_graphs_agree_with_torch(program):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    ours = [leaf(np.array([1.5, -0.7])), leaf(np.array([0.4, 1.1]))]
    theirs = [torch.tensor(t.data, requires_grad=True) for t in ours]
    starts = list(theirs)
    values, references = list(ours), list(theirs)
    for symbol, i, j in program:
        for pool in (values, references):
            x, y = pool[i % len(pool)], pool[j % len(pool)]
            if symbol == "/":
                pool.append(x / (y * y + 1.0))
            else:
                pool.append({"+": x + y, "-": x - y, "*": x * y * 0.5}[symbol])
    values[-1].sum().backward()
    references[-1].sum().backward()
    for t, r in zip(ours, starts, strict=True):
        expected = np.zeros(2) if r.grad is None else r.grad.numpy()
        found = np.zeros(2) if t.grad is None else t.grad
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * (1 + abs(expected).max()))


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=10))
def test_every_use_is_visited_before_what_it_uses_wherever_ways_part_and_meet(blocks):
    """Straight runs in between, since the walk needs no order where there is but one way; values count paths, so a use
    that comes late shows.
    """
    x = leaf(1.0)
    h, paths, visited = x, 1.0, []

    def seen(name):
        return lambda g: visited.append((name, g.item()))

    expected = []
    for block, (straight, ways) in enumerate(blocks):
        for _ in range(straight):
            h = ad.reshape(h, ())
        if ways > 1:
            branches = [h + 0.0 if way % 2 else ad.maximum(h, -np.inf) for way in range(ways - 1)]
            h = sum(branches, start=h)
        paths *= ways
        h.register_hook(seen(block))
        expected.append((block, paths))
    h.backward()
    total = expected[-1][1]
    assert visited == [(block, total / paths) for block, paths in reversed(expected)]
    assert x.grad == total


def test_a_rule_that_fails_changes_no_gradient():
    x, y = leaf(np.ones(3)), leaf(np.ones(3))
    h = x * 2.0

    def refuse(g):
        raise RuntimeError("not today")

    h.register_hook(refuse)
    with pytest.raises(RuntimeError, match="not today"):
        (h * y).sum().backward()
    assert x.grad is None
    assert y.grad is None


def test_constants_record_nothing():
    x = ad.tensor([1.0, 2.0])
    assert (x * 2 + np.ones(2)).is_leaf
    assert not (x * 2).requires_grad


def test_no_grad_and_enable_grad_nest_and_decorate():
    x = leaf(2.0)
    with ad.no_grad():
        assert not (x * x).requires_grad
        with ad.enable_grad():
            assert (x * x).requires_grad
        assert not ad.is_grad_enabled()
    assert ad.is_grad_enabled()

    @ad.no_grad()
    def silent(t):
        return t * t

    assert not silent(x).requires_grad


def test_modes_belong_to_a_thread():
    x = leaf(2.0)
    seen = []
    with ad.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * x).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_may_walk_one_graph_at_once():
    x = leaf(np.linspace(0.1, 1.0, 50))
    y = x
    for _ in range(200):
        y = y * 0.99 + x * 0.01
    out = y.sum()
    results = [None] * 8

    def walk(i):
        results[i] = ad.gradients(out, x, retain_graph=True)

    threads = [threading.Thread(target=walk, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for r in results:
        np.testing.assert_array_equal(r, results[0])


def at_rest(root):
    """Whether no pass has left anything on the graph, and the next one may have it to itself."""
    return (
        all(entry.g is False for entry in topological_order([root._node]))
        and not getattr(sys.modules.get("autodiff.fast.walk"), "_exclusive", threading.Lock()).locked()
    )


@pytest.mark.parametrize("name", sorted(ad._AT_IMPORT))
def test_a_pass_beside_another_gives_the_same_bits(name):
    op = registry[name]
    rng = np.random.default_rng([11, *name.encode()])
    for _ in range(3):
        args, kwargs = sample_call(op, RandomDraw(rng))
        call = Call(op, args, kwargs)
        seeds = call.seeds(rng)
        alone = call.pull(seeds)
        with ad.plain():
            beside = call.pull(seeds)
        for one, other in zip(alone, beside, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


SCALAR_STEPS = (
    lambda a, b: a * b,
    lambda a, b: a - b,
    lambda a, b: a / (b * b + 1.0),
    lambda a, b: 0.5 * a,
    lambda a, b: 2.0 - b,
    lambda a, b: a * a,
    lambda a, b: np.tanh(a),
    lambda a, b: np.hypot(a, b) * 0.5,
    lambda a, b: (b * b + 1.0) ** np.tanh(a),
    lambda a, b: np.sqrt(a * a + 1),
    lambda a, b: a.reshape(1).sum() * b,
    lambda a, b: np.exp(-(a**2)),
    lambda a, b: 1.5 ** np.tanh(a),
)


@given(
    st.lists(st.tuples(st.sampled_from(SCALAR_STEPS), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=25)
)
def test_scalars_and_arrays_of_one_element_have_the_same_gradients(program):
    """Whether a pass has the graph to itself or not, in first and second order, with parts of the graph used once,
    often or never.
    """
    results = []
    for shape, beside in (((), False), ((), True), ((1,), False)):
        pool = [leaf(np.full(shape, value)) for value in (0.7, -0.4, 1.2)]
        leaves = tuple(pool)
        for step, i, j in program:
            pool.append(step(pool[i % len(pool)].reshape(shape), pool[j % len(pool)].reshape(shape)).reshape(shape))
        out = pool[-1].sum()
        first = [f for f in ad.gradients(out, leaves, create_graph=True, allow_unused=True) if f is not None]
        again = [ad.gradients(f.sum(), leaves, retain_graph=True, allow_unused=True) for f in first if f.requires_grad]
        second = [g for found in again for g in found if g is not None]
        if beside:
            with ad.plain():
                out.backward()
        else:
            out.backward()
        assert at_rest(out)
        results.append(
            [
                np.ravel(part)
                for part in [*(t.grad for t in leaves if t.grad is not None), *(f.data for f in first), *second]
            ]
        )
    for one, *others in zip(*results, strict=True):
        for other in others:
            np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-14)


_both = ad.checkpoint(lambda a, b: (np.sin(a), a - b))  # an operation with two outputs

WALKED = (
    lambda a, b: np.sin(a * b),
    lambda a, b: np.tanh(a),
    lambda a, b: 0.5 * a,
    lambda a, b: np.sin(a * a),
    lambda a, b: F.relu(a),
    lambda a, b: np.tanh(F.linear(a, b, a[0])),
    lambda a, b: np.stack([a, b, a]).sum(0),
    lambda a, b: np.concatenate([a, b, a])[1:3],
    lambda a, b: _both(a, b)[0],
    lambda a, b: sum(_both(b, a)),
    lambda a, b: np.where(True, a, b),
    lambda a, b: F.layer_norm(a, (2,), b[1], None),
)


@example([(WALKED[2], 1, 1), (WALKED[1], 2, 1), (WALKED[7], 1, 2)], 1)
@example([(WALKED[n], i, j) for n, i, j in ((1, 2, 4), (4, 4, 3), (6, 2, 1), (0, 2, 1), (8, 1, 3))], 1)
@given(
    st.lists(st.tuples(st.sampled_from(WALKED), st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=12),
    st.integers(1, 3),
)
def test_both_ways_of_walking_visit_in_one_order_and_give_the_same_bits(program, ends):
    """Straight runs, ways that part and meet, inputs used twice, several outputs and several roots: sums are made in
    the same order.
    """
    logs, found = [], []
    for beside in (False, True):
        leaves = [leaf(np.array([[0.7, 0.3], [-0.4, 1.1]]) * k) for k in (1.0, 0.9, 1.2)]
        pool, log = list(leaves), []
        for number, (step, i, j) in enumerate(program):
            pool.append(step(pool[-min(i, len(pool))], pool[-min(j, len(pool))]))
            pool[-1].register_hook(lambda g, number=number, log=log: log.append((number, g.data.tobytes())))
        outs = pool[-ends:]
        seeds = [np.full(out.shape, 1.0 + k) for k, out in enumerate(outs)]
        held = ad.plain() if beside else contextlib.nullcontext()
        with held:
            engine.backpropagate([out._node for out in outs], seeds, free=False)
            found.append([None if t.grad is None else t.grad.tobytes() for t in leaves])
            more = engine.gradients_of([out._node for out in outs], seeds, [t._node for t in leaves])
        assert [None if g is None else g.tobytes() for g in more] == found[-1]
        assert at_rest(outs[-1])
        logs.append(log)
    assert logs[0] == logs[1]
    assert found[0] == found[1]


def test_a_pass_within_a_hook_sees_the_graph_and_leaves_the_outer_one_right():
    x, y = leaf(1.5), leaf(np.ones(3))
    h = x * x
    out = (h * y).sum() * x + h
    entered, inner = [], []

    def hook(g):
        entered.append(g)
        if len(entered) == 1:
            inner.extend(ad.gradients(out, (x, y), retain_graph=True))

    h.register_hook(hook)
    out.backward(retain_graph=True)
    at_x, at_y = inner
    assert at_rest(out)
    np.testing.assert_allclose(at_x, 3 * 3 * 1.5**2 + 2 * 1.5)
    np.testing.assert_allclose(x.grad, at_x)
    np.testing.assert_allclose(y.grad, at_y)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_a_failed_pass_had_gathered_is_gone(error):
    x, w = leaf(2.0), leaf(3.0)
    h = x * w
    out = h * x + h * w + x
    calls = []

    def once(g):
        calls.append(g)
        if len(calls) == 1:
            raise error("not today")

    handle = h.register_hook(once)
    with pytest.raises(error, match="not today"):
        out.backward(retain_graph=True)
    assert at_rest(out)
    assert (x.grad, w.grad) == (None, None)
    calls.clear()
    with pytest.raises(error, match="not today"):
        ad.gradients(out, x, retain_graph=True)
    assert at_rest(out)
    out.backward()
    handle.remove()
    assert (x.grad, w.grad) == (2 * 2 * 3 + 9 + 1, 4 + 2 * 2 * 3)


def test_gradients_of_a_part_leave_nothing_behind():
    x, w = leaf(2.0), leaf(np.ones(4))
    out = (w * 2.0).sum() * x
    assert ad.gradients(out, x, retain_graph=True) == 8.0
    assert at_rest(out)
    assert all(entry.grad is None for entry in topological_order([out._node]) if isinstance(entry, Variable))
    out.backward()
    np.testing.assert_array_equal(w.grad, np.full(4, 4.0))


# --- depth, memory ----------------------------------------------------------------------------------------------------


def test_a_million_node_chain_needs_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + 1.0
    y.backward()
    assert x.grad == 1.0


def test_an_undifferentiated_deep_graph_can_be_dropped():
    x = leaf(np.ones(1))
    y = x
    for _ in range(300_000):
        y = y * x
    del y
    assert (x * 1.0).requires_grad


def test_nothing_is_left_for_the_collector():
    gc.collect()
    gc.disable()
    try:
        x, w = leaf(np.ones((4, 3))), leaf(np.ones((3, 2)))
        for _ in range(3):
            h = np.tanh(x @ w)
            loss = (h * h).mean() + np.concatenate([h, h]).sum() + h[0].sum()
            (g,) = ad.gradients(loss, [x], create_graph=True)
            (g * g).sum().backward(retain_graph=True)
            loss.backward()
            del h, loss, g
        x.zero_grad()
        w.zero_grad()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_graph_dies_with_its_output():
    x = leaf(np.ones(3))
    y = np.exp(x)
    out = y.sum()
    node = weakref.ref(y._array.base) if y._array.base is not None else None
    array = weakref.ref(y._array)
    del y
    assert array() is not None, "exp's rule reads its output"
    out.backward()
    assert array() is None, "a pass frees what the rules read"
    assert node is None


def test_an_array_that_no_rule_reads_dies_at_once():
    x = leaf(np.ones(3))
    y = x + 1.0
    array = weakref.ref(y._array)
    z = y + 2.0
    total = z.sum()
    del y
    assert array() is None
    total.backward()
    np.testing.assert_array_equal(x.grad, np.ones(3))


# --- accumulation, ownership ------------------------------------------------------------------------------------------


def test_grad_accumulates_over_calls_and_zero_grad_forgets():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [4.0, 8.0])
    np.testing.assert_array_equal(first, [2.0, 4.0])
    x.zero_grad()
    assert x.grad is None


def test_gradients_share_memory_with_nothing():
    x, y = leaf(np.ones(2000)), leaf(np.ones(2000))
    seed = np.ones(2000)
    (x + y).backward(seed)
    assert not np.shares_memory(x.grad, y.grad)
    assert not np.shares_memory(x.grad, seed)
    x.grad[:] = 7
    np.testing.assert_array_equal(y.grad, np.ones(2000))
    np.testing.assert_array_equal(seed, np.ones(2000))


def test_many_uses_accumulate_in_place_without_touching_the_seed():
    x = leaf(np.ones(5000))
    seed = np.full(5000, 2.0)
    out = x + x + x + x
    out.backward(seed, retain_graph=True)
    np.testing.assert_array_equal(x.grad, np.full(5000, 8.0))
    out.backward(seed)
    np.testing.assert_array_equal(x.grad, np.full(5000, 16.0))
    np.testing.assert_array_equal(seed, np.full(5000, 2.0))


def test_reshaped_gradients_are_copies():
    x = leaf(np.ones((2, 3)))
    seed = np.ones(6)
    x.reshape(6).backward(seed)
    assert not np.shares_memory(x.grad, seed)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (1, 3), (2, 3), (4, 1, 3), (0,), (2, 0)])
@pytest.mark.parametrize("other", [(), (1,), (3,), (2, 3), (4, 2, 3)])
def test_broadcast_gradients_have_the_inputs_shape(shape, other):
    try:
        np.broadcast_shapes(shape, other)
    except ValueError:
        with pytest.raises(ShapeError, match="multiply"):
            leaf(np.ones(shape)) * leaf(np.ones(other))
        return
    x, y = leaf(np.full(shape, 2.0)), leaf(np.full(other, 3.0))
    out = x * y
    out.sum().backward()
    assert x.grad.shape == shape
    assert y.grad.shape == other
    if out.size:
        np.testing.assert_allclose(x.grad, 3.0 * out.size / x.size)
        np.testing.assert_allclose(y.grad, 2.0 * out.size / y.size)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128])
@pytest.mark.parametrize("other", [2, 2.5, np.float64(2.5), np.ones(3), np.ones(3, np.float32), np.ones(3, int)])
def test_the_gradient_has_the_inputs_dtype(dtype, other):
    x = leaf(np.ones(3, dtype))
    ((x * other + other) / 3).sum().real.backward()
    assert x.grad.dtype == dtype


def test_python_numbers_are_weak():
    x = leaf(np.ones(2, np.float32))
    for out in (
        x * 2.0,
        2.0 * x,
        x**2,
        2.0**x,
        x / 3,
        1 - x,
        x.mean() * 0.5,
        np.sqrt(x) + 1,
        np.where(x.data > 0, x, 0.0),
    ):
        assert out.dtype == np.float32


# --- freeing, higher orders -------------------------------------------------------------------------------------------


def test_a_second_pass_over_a_freed_graph_says_what_to_do():
    for make in (lambda x: x * x, lambda x: x + x, lambda x: np.sum(x), lambda x: x @ x, lambda x: x[0]):
        x = leaf(np.ones(3))
        out = make(x).sum()
        out.backward()
        with pytest.raises(GraphError, match="retain_graph=True"):
            out.backward()


def test_retain_graph_allows_a_second_pass():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad == 12.0


def test_create_graph_gives_tensors_of_any_order():
    x = leaf(0.7)
    g = np.exp(x) * x
    for order in range(1, 6):
        g = ad.gradients(g, x, create_graph=True)
        np.testing.assert_allclose(g.item(), (0.7 + order) * np.exp(0.7), rtol=1e-13)


def test_backward_with_create_graph_leaves_a_differentiable_grad():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert isinstance(first, ad.Tensor)
    x.zero_grad()
    first.backward()
    assert x.grad == 12.0


def test_a_rebound_leaf_does_not_corrupt_a_recorded_gradient():
    x = leaf([2.0, 3.0])
    y = (x * x).sum()
    x.data = np.array([100.0, 100.0])
    y.backward()
    np.testing.assert_array_equal(x.grad, [4.0, 6.0])


def test_gradients_touches_no_grad_and_reports_unused_inputs():
    x, y = leaf(2.0), leaf(3.0)
    out = x * x
    assert ad.gradients(out, [x, y], allow_unused=True, retain_graph=True) == (4.0, None)
    assert x.grad is None
    with pytest.raises(GraphError, match="allow_unused"):
        ad.gradients(out, [x, y])


def test_gradients_of_computed_tensors():
    x = leaf(2.0)
    h = x * 3
    out = h * h
    assert ad.gradients(out, h, retain_graph=True) == 12.0
    assert ad.gradients(out, [h, x]) == (12.0, 36.0)


# --- hooks, names, copies ---------------------------------------------------------------------------------------------


def test_hooks_see_and_replace_gradients():
    x = leaf([1.0, 2.0])
    h = x * 2
    seen = []
    h.register_hook(lambda g: seen.append(g.data.copy()))
    handle = x.register_hook(lambda g: g * 10)
    h.sum().backward(retain_graph=True)
    np.testing.assert_array_equal(seen, [[1.0, 1.0]])
    np.testing.assert_array_equal(x.grad, [20.0, 20.0])
    handle.remove()
    handle.remove()
    x.zero_grad()
    h.sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])
    x.register_hook(lambda g: g.sum())
    with pytest.raises(ShapeError, match="hook"):
        (x * 1).sum().backward()


def test_retain_grad_keeps_an_intermediate_gradient():
    x = leaf([1.0, 2.0])
    h = x * x
    assert h.grad is None
    h.retain_grad()
    (h * 3).sum().backward()
    np.testing.assert_array_equal(h.grad, [3.0, 3.0])


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_leaves_can_be_copied_and_pickled(copier):
    x = leaf([1.0, 2.0], name="weights")
    (x * x).sum().backward()
    y = copier(x)
    np.testing.assert_array_equal(y.data, x.data)
    np.testing.assert_array_equal(y.grad, x.grad)
    assert (y.name, y.requires_grad) == ("weights", True)
    assert not np.shares_memory(y.data, x.data)


def test_a_computed_tensor_refuses_to_be_pickled_with_its_graph():
    with pytest.raises(GraphError, match="detach"):
        pickle.dumps(leaf(1.0) * 2)


def test_names_reach_the_graph():
    x = leaf(1.0, name="x")
    y = x * 2
    y.name = "doubled"
    assert (x._node.name, y._node.name, y.name) == ("x", "doubled", "doubled")
    assert "doubled" in repr(y)


# --- misuse -----------------------------------------------------------------------------------------------------------


def refused(error, match):
    return pytest.raises(error, match=match)


def test_misuse_says_what_to_do():
    x, v = leaf(2.0), leaf([1.0, 2.0])
    with refused(GraphError, "reduce it to a scalar"):
        (v * v).backward()
    with refused(ShapeError, r"shape \(2,\), got \(3,\)"):
        (v * v).backward(np.ones(3))
    with refused(GraphError, "requires_grad=True"):
        ad.tensor(1.0).backward()
    with refused(ShapeError, "ambiguous"):
        bool(v)
    with refused(ShapeError, "exactly one element"):
        v.item()
    with refused(GraphError, r"\.data"):
        np.asarray(v)
    with refused(GraphError, "detach"):
        v.numpy()
    with refused(DTypeError, "dtype=float"):
        ad.tensor([1, 2], requires_grad=True)
    with refused(DTypeError, "dtype=float"):
        ad.tensor([True], requires_grad=True)
    with refused(DTypeError, "autodiff.stack"):
        ad.tensor([x, x])
    with refused(ShapeError, r"matmul\(float64\[3, 4\], float64\[5\]\)"):
        ad.tensor(np.ones((3, 4))) @ ad.tensor(np.ones(5))
    with refused(DTypeError, "argument 'y'"):
        x * "two"
    with refused(NotDifferentiableError, "np.unique"):
        np.unique(v)
    with refused(NotDifferentiableError, "out="):
        np.add(v, 1, out=np.zeros(2))
    with refused(NotDifferentiableError, "detach"):
        v.astype(int)
    with refused(GraphError, "detach"):
        (v * 2).requires_grad = False
    with refused(ArgumentError, "None"):
        v.name = 3
    with refused(ShapeError, r"shape \(2,\)"):
        v.grad = np.ones(3)
    with refused(DTypeError, "float64"):
        v.grad = np.ones(2, np.float32)
    with refused(IndexError, "out of bounds"):
        v[5]
    with refused(DTypeError, "0-d"):
        len(x)
    with refused(DTypeError, "0-d"):
        iter(x)


def test_where_a_value_is_well_defined_it_is_given():
    x = leaf(2.5)
    with pytest.warns(ad.CutWarning, match="item"):
        assert float(x) == 2.5
    assert int(x) == 2
    assert bool(x)
    assert f"{x:.2f}" == "2.50"
    assert [t.item() for t in leaf([1.0, 2.0])] == [1.0, 2.0]
    assert x in [x]
    assert {x: 1}[x] == 1
    assert list(range(5))[ad.tensor(3)] == 3


def test_comparisons_give_constants():
    x = leaf([1.0, 2.0])
    for result in (x > 1, x == x, x != 2, np.isfinite(x), np.floor(x), x.argmax(), np.sign(x), x // 1):
        assert not result.requires_grad


def test_repr_shows_the_value():
    assert repr(ad.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(leaf(np.float32(1))) == "tensor(1., dtype=float32, requires_grad=True)"


# --- NumPy's protocols ------------------------------------------------------------------------------------------------


def test_numpy_calls_record():
    x = leaf(np.array([[1.0, 2.0], [3.0, 4.0]]))
    for value in (
        np.exp(x),
        np.ones((2, 2)) * x,
        np.sum(x, axis=0),
        np.einsum("ij->ji", x),
        np.concatenate([x, x.data]),
        np.where(x > 2, x, 0.0),
        np.float64(2) * x,
        x.data @ x,
        np.mean(x),
        np.stack([x, x]),
        np.maximum(x, 2.0),
        np.linalg.matrix_transpose(x),
    ):
        assert isinstance(value, ad.Tensor)
        assert value.requires_grad


def test_indexing_accumulates_repeated_indices():
    x = leaf([1.0, 2.0, 3.0])
    x[[0, 0, 2]].sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 0.0, 1.0])
    x.zero_grad()
    (x[x.data > 1.5] ** 2).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 4.0, 6.0])


def test_assignment_is_differentiable_and_corrupts_nothing():
    x, v = leaf([1.0, 2.0, 3.0]), leaf(10.0)
    y = x * 1.0
    before = y * y
    y[1] = v
    (y * y).sum().backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, [2.0, 0.0, 6.0])
    assert v.grad == 20.0
    x.zero_grad()
    before.sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0, 6.0])
    with pytest.raises(GraphError, match=r"at\[index\]"):
        x[0] = 1.0
    with pytest.raises(GraphError, match="through a view"):
        x.reshape(3, 1)[0][0] = 5.0


def test_detect_anomaly_names_the_first_bad_operation():
    x = leaf([1.0, -1.0])
    with ad.detect_anomaly(), np.errstate(all="ignore"):
        with pytest.raises(ad.AnomalyError, match=r"log made nan \(first at \[1\].*test_engine.py"):
            np.exp(x) + np.log(x)
        y = np.sqrt(leaf([0.0]))
        with pytest.raises(ad.AnomalyError, match=r"gradient of sqrt.*recorded at"):
            y.sum().backward()


def test_an_anomaly_names_a_line_of_the_program():
    beside = f"{Path(ad.__file__).parent}_of_mine.py"  # no file of the library's, whose folder it begins with
    asked = compile("np.log(x)", beside, "exec")
    with ad.detect_anomaly(), np.errstate(all="ignore"):
        with pytest.raises(ad.AnomalyError, match=r"autodiff_of_mine.py:1"):
            exec(asked, {"np": np, "x": leaf([0.0])})
        with pytest.raises(ad.AnomalyError, match=r"divide made nan.*test_engine.py"):
            ad.nn.functional.normalize(leaf([[0.0]]), eps=0.0)


def test_checkpoint_recomputes_and_agrees():
    x, w = leaf([0.3, -0.2]), leaf([1.5, 2.0])
    calls = []

    def block(t):
        calls.append(1)
        return np.tanh(t * w) * t

    expected = ad.gradients(block(block(x)).sum(), [x, w])
    calls.clear()
    f = ad.checkpoint(block)
    out = f(f(x)).sum()
    forward_calls = len(calls)
    found = ad.gradients(out, [x, w])
    assert len(calls) == 2 * forward_calls
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    np.testing.assert_allclose(
        ad.hessian(lambda t: f(t).sum())(np.array([0.3, -0.2])).data,  # a Tensor: it depends on w
        ad.hessian(lambda t: block(t).sum())(np.array([0.3, -0.2])).data,
        rtol=1e-13,
    )


# --- what a rule reads ------------------------------------------------------------------------------------------------


def test_what_a_rule_reads_is_read_off_its_code(monkeypatch):
    from autodiff.reads import SHAPE, UNUSED, USED, reads

    def rule(g, out, x, y):
        return g * x + y.shape[0]

    def inner(g, out, x, y):
        return g * sum(x for _ in range(2))

    assert reads(rule, 1, 3) == (UNUSED, USED, SHAPE)
    assert reads(inner, 1, 3) == (UNUSED, USED, UNUSED)
    assert reads(lambda g, out, x, y: g + x.shape[0] + y * out.ndim, 1, 3) == (SHAPE, SHAPE, USED)
    assert reads(lambda g, *rest: g, 1, 3) == (USED,) * 3
    assert reads(np.add, 1, 3) == (USED,) * 3
    monkeypatch.setattr(sys, "version_info", (3, 99))
    assert reads(rule, 1, 3) == (USED,) * 3


def test_which_rules_hand_the_cotangent_on_is_read_off_their_code():
    from autodiff.reads import hands_on

    assert all(map(hands_on, [ad.registry["add"].rules[1], lambda g, *rest, scale=2: g]))
    kept = []
    rules = [lambda g, out, x: +g, lambda g, out, x: out, lambda g, out, x: kept.append(g) or g, np.positive]
    assert not any(map(hands_on, [*rules, ad.registry["subtract"].rules[1]]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
@pytest.mark.parametrize(
    "name",
    sorted(
        n
        for n, op in ad.registry.items()
        if n in ad._AT_IMPORT and op.elementwise and len(op.rules) <= 2 and None not in op.rules
    ),
)
def test_a_large_array_has_the_gradients_of_its_parts(name, dtype, rng):
    """The same bits, in the same order of memory, and nobody's array changed."""
    op = ad.registry[name]
    if dtype is np.complex64 and not {"F->F", "FF->F"} & set(op.forward.types):
        pytest.skip("real numbers only")
    size = 2048
    domains = op.domain if isinstance(op.domain, list) else [op.domain] * len(op.rules)
    arrays = [rng.uniform(*domain, size).astype(dtype) for domain in domains]
    seed = rng.normal(size=size).astype(dtype)

    def gradients(arrays, seed):
        leaves = [leaf(array) for array in arrays]
        held = [array.copy() for array in (*arrays, seed)]
        op(*leaves).backward(seed)
        for array, before in zip((*(x.data for x in leaves), seed), held, strict=True):
            np.testing.assert_array_equal(array, before)
        return [x.grad for x in leaves]

    whole = gradients(arrays, seed)
    parts = [gradients([a[i : i + 512] for a in arrays], seed[i : i + 512]) for i in range(0, size, 512)]
    for i, found in enumerate(whole):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.concatenate([part[i] for part in parts]))
    turned = gradients([a.reshape(-1, 64).T for a in arrays], seed.reshape(-1, 64).T)
    for found, straight in zip(turned, whole, strict=True):
        np.testing.assert_array_equal(found, straight.reshape(-1, 64).T)
        assert found.flags.f_contiguous
    if name == "tanh":
        (mixed,) = gradients([arrays[0].reshape(-1, 64).T], np.ascontiguousarray(seed.reshape(-1, 64).T))
        np.testing.assert_array_equal(mixed, turned[0])
        assert mixed.flags.c_contiguous


def test_nodes_of_elementwise_operations_read_like_all_others():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    for out, parents, constants in (
        (x * y, (x._node, y._node), ()),
        (x * 2.0, (x._node, None), ((1, 2.0),)),
        (2.0 - x, (None, x._node), ((0, 2.0),)),
        (ad.tanh(x), (x._node,), ()),
    ):
        node = out._node
        assert isinstance(node, Node)
        assert node.parents == parents
        assert constant_inputs(node) == constants
        assert node.attrs is None
        assert (node.shape, node.dtype, node.extra("name")) == ((2,), np.dtype(float), None)
        assert len(node.saved) == 1 + len(parents)
        assert topological_order([node])[-1] is node


def test_the_gradient_of_a_scalar_is_one_array():
    x = leaf(2.0)
    (x * 3.0).backward()
    assert type(x.grad) is np.ndarray
    assert x.grad is x.grad
    x.grad *= 2
    (x * 3.0).backward()
    assert x.grad == 9.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
@pytest.mark.parametrize(
    "program",
    [lambda x: x * 2.0, lambda x: 3 - x, lambda x: x / 4, lambda x: 2.0 / x, lambda x: -x * x, lambda x: x + True],
)
def test_scalars_and_numbers_keep_dtype_and_value(dtype, program):
    wide = leaf(np.array([1.5], dtype))
    program(wide).sum().backward()
    scalar = leaf(np.array(1.5, dtype))
    out = program(scalar)
    assert out.dtype == dtype
    out.backward()
    assert scalar.grad.dtype == dtype
    assert scalar.grad.shape == ()
    np.testing.assert_array_equal(scalar.grad, wide.grad[0])


def test_a_complex_number_beside_a_real_tensor_leaves_a_real_gradient():
    x = leaf(2.0)
    (x * (1 + 2j)).real.backward()
    assert x.grad == 1.0
    assert x.grad.dtype == np.float64


def lines_of(program: Any) -> int:
    """How many lines of Python a program runs, the second time."""
    count = 0

    def tracer(frame: Any, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return tracer

    program()
    old = sys.gettrace()
    sys.settrace(tracer)
    try:
        program()
    finally:
        sys.settrace(old)
    return count


@pytest.mark.parametrize("axis", [0, None])
def test_joining_one_leaf_many_times_costs_in_proportion(axis):
    def joining(n):
        x = leaf([1.0, 2.0])
        np.concatenate([x] * n, axis=axis).sum().backward()
        np.testing.assert_array_equal(x.grad, [n, n])

    assert lines_of(lambda: joining(200)) / lines_of(lambda: joining(100)) < 2.5


def test_recorded_gradients_of_a_growing_graph_cost_in_proportion():
    """Each inner pass visits its own step alone, as it does for the transforms."""

    def steps(n):
        x = leaf(0.5)
        for _ in range(n):
            x = x - 0.1 * ad.gradients(x**4, x, create_graph=True)
        x.backward()

    assert lines_of(lambda: steps(60)) / lines_of(lambda: steps(20)) < 3.4


def test_a_mode_holds_in_the_body_of_a_generator_and_not_between_its_steps() -> None:
    @ad.no_grad()
    def body(first: Any) -> Any:
        seen = [ad.is_grad_enabled()]
        try:
            seen.append((yield first))
            seen.append(ad.is_grad_enabled())
            yield 2
        except KeyError:
            seen.append(ad.is_grad_enabled())
            yield 3
        return seen

    steps = body(1)
    assert next(steps) == 1
    assert ad.is_grad_enabled()
    assert steps.send("sent") == 2
    assert ad.is_grad_enabled()
    assert steps.throw(KeyError()) == 3
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == [False, "sent", False, False]

    closing = body(1)
    next(closing)
    closing.close()


def test_a_mode_holds_in_the_body_of_a_coroutine() -> None:
    import asyncio

    @ad.no_grad()
    async def body() -> bool:
        await asyncio.sleep(0)
        return ad.is_grad_enabled()

    async def both() -> list[bool]:
        found = await asyncio.gather(body(), body())
        return [*found, ad.is_grad_enabled()]

    assert asyncio.run(both()) == [False, False, True]

    with pytest.raises(TypeError, match="asynchronous generator"):

        @ad.no_grad()
        async def stream() -> Any:
            yield 1


def test_an_operation_of_ones_own_does_not_take_numpys_function_away() -> None:
    wrong = Primitive("test_tanh_of_ones_own", np.tanh, lambda g, out, x: 0 * g)
    x = ad.tensor(0.5, requires_grad=True)
    np.tanh(x).backward()
    assert np.isclose(x.grad, 1 / np.cosh(0.5) ** 2)
    assert float(ad.grad(wrong)(0.5)) == 0.0
