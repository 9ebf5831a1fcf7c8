"""Gradients of a few rows (``sparse=True``): PyTorch's numbers over many steps, and no consumer that takes them for
something else.
"""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

import autodiff as ad
import nn
import optim
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.rows import RowSparse
from nn import functional as F


def table_of(rng, rows=7, width=3, dtype=np.float64):
    return ad.tensor(rng.normal(size=(rows, width)).astype(dtype), requires_grad=True)


def by_rows(table, *batches, **options):
    for batch in batches:
        (F.embedding(batch, table, sparse=True, **options) ** 2).sum().backward()
    return table.grad


# --- what a gradient is
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"scale_grad_by_freq": True}, {"padding_idx": -1}])
@pytest.mark.parametrize("shape", [(), (1,), (9,), (3, 4), (0,), (200, 3)])
def test_the_rows_are_those_of_the_dense_gradient(rng, shape, options, plain):
    batch = np.asarray(rng.integers(0, 7, shape))
    table, twin = table_of(rng, width=9), table_of(np.random.default_rng(0), width=9)
    twin.data = table.data
    with ad.plain() if plain else ad.enable_grad():
        g = by_rows(table, batch, **options)
        (F.embedding(batch, twin, **options) ** 2).sum().backward()
    assert g.__class__ is RowSparse
    np.testing.assert_array_equal(g.to_dense(), twin.grad)
    read = np.unique(batch[batch != options["padding_idx"] % 7] if "padding_idx" in options else batch)
    np.testing.assert_array_equal(g.indices(), read[None])
    assert (g.shape, g.dtype, g.is_sparse, g.ndim) == (table.shape, table.dtype, True, 2)


def test_gradients_add_up_in_every_order(rng):
    batches = [np.array([0, 3, 3]), np.array([3, 5]), np.array([], int)]
    table, dense = table_of(rng), table_of(rng)
    dense.data = table.data
    assert by_rows(table, *batches).__class__ is RowSparse
    for batch in batches:
        (F.embedding(batch, dense) ** 2).sum().backward()
    np.testing.assert_allclose(np.asarray(table.grad), dense.grad, rtol=1e-14)
    # In one pass, and a table that is read and used whole: first by rows or first dense.
    for kinds in ((True, True), (True, False), (False, True)):
        for large in (1, 400):
            table = table_of(rng, 7, 3 * large)
            rows = [F.embedding(batches[i], table, sparse=kind) for i, kind in enumerate(kinds)]
            (sum((r**2).sum() for r in rows) + (table * table).sum() * 0.5 + table.sum()).backward()
            expected = table.data + 1
            for batch in batches[:2]:
                np.add.at(expected, batch, 2 * table.data[batch])
            np.testing.assert_allclose(table.grad, expected, rtol=1e-13, atol=1e-14)
    before = table.grad.copy()
    by_rows(table, batches[0])
    assert type(table.grad) is np.ndarray
    assert np.count_nonzero((table.grad != before).any(1)) == 2


def test_what_was_handed_out_stays_as_it_was(rng):
    table = table_of(rng)
    seed = rng.normal(size=(2, 3))
    F.embedding([4, 4], table, sparse=True).backward(seed)
    g = table.grad
    held = g.to_dense()
    seed[:] = 7
    by_rows(table, [4])
    np.testing.assert_array_equal(g.to_dense(), held)
    for copied in (copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        np.testing.assert_array_equal(copied.grad.to_dense(), table.grad.to_dense())
        assert copied.grad is not table.grad
    layer = nn.Embedding(5, 2, sparse=True)
    layer([1, 2]).sum().backward()
    np.testing.assert_array_equal(copy.deepcopy(layer).weight.grad.to_dense(), layer.weight.grad.to_dense())


def test_arithmetic_is_that_of_the_dense_gradient_or_refused(rng):
    g, h = by_rows(table_of(rng), [1, 1, 6]), by_rows(table_of(rng), [0, 6])
    a, b, c = g.to_dense(), h.to_dense(), rng.normal(size=(7, 3))
    for found, expected in (
        (g + h, a + b), (g - h, a - b), (-g, -a), (g * 3, a * 3), (2.5 * g, 2.5 * a), (g / 4, a / 4),
        (g * np.float64(2), 2 * a), (np.multiply(g, np.array(2.0)), 2 * a),
    ):  # fmt: skip
        assert found.__class__ is RowSparse
        np.testing.assert_allclose(found.to_dense(), expected, rtol=1e-14)
    for found, expected in ((g + c, a + c), (c + g, a + c), (g - c, a - c), (c - g, c - a)):
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    out = c.copy()
    out -= 0.5 * g
    np.testing.assert_allclose(out, c - 0.5 * a, rtol=1e-14)
    assert np.add(c, g, out) is out
    np.testing.assert_allclose(out, c + a, rtol=1e-14)
    scaled = g.copy()
    scaled *= 0.5
    np.testing.assert_allclose(scaled.to_dense(), 0.5 * a, rtol=1e-14)
    assert np.isfinite(g).all()
    assert g.sum() == pytest.approx(a.sum())
    np.testing.assert_allclose(np.linalg.norm(g), np.linalg.norm(a))
    for refused in (
        lambda: np.exp(g), lambda: g**2, lambda: g * h, lambda: g * c, lambda: g > 0, lambda: 1 / g,
        lambda: np.add.reduce(g), lambda: g + 1.0, lambda: g + c[:1], lambda: np.add(g, c, g),
    ):  # fmt: skip
        with pytest.raises(DTypeError, match="to_dense"):
            refused()


def test_a_gradient_of_rows_is_bound_where_it_fits(rng):
    table, other = table_of(rng), table_of(rng, 6)
    g = by_rows(table, [2])
    table.grad = g * 2
    assert table.grad.__class__ is RowSparse
    with pytest.raises(ShapeError, match="shape"):
        other.grad = g
    with pytest.raises(DTypeError, match="dtype"):
        table_of(rng, dtype=np.float32).grad = g


# --- who else reads one
# ---------------------------------------------------------------------------------------------------------------


def test_transforms_hooks_and_higher_orders_see_dense_gradients(rng):
    table, batch = table_of(rng), np.array([2, 0, 2])

    def loss(t, sparse=True):
        return (F.embedding(batch, t, sparse=sparse) ** 3).sum()

    expected = ad.grad(lambda t: loss(t, False))(table.data)
    for found in (
        ad.grad(loss)(table.data), ad.gradients(loss(table), [table])[0], ad.jit(ad.grad(loss))(table.data),
        ad.jacrev(loss)(table.data), ad.jacfwd(loss)(table.data),
        ad.compile(lambda: ad.gradients(loss(table), [table])[0])(),
    ):  # fmt: skip
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-13)
    np.testing.assert_allclose(
        ad.hessian(loss)(table.data), ad.hessian(lambda t: loss(t, False))(table.data), rtol=1e-13
    )
    with ad.composed():
        loss(table).backward()
    np.testing.assert_allclose(table.grad, expected, rtol=1e-13, atol=1e-14)
    table.grad = None
    seen = []
    handle = table.register_hook(seen.append)
    loss(table).backward()
    handle.remove()
    np.testing.assert_allclose(seen[0].data, expected, rtol=1e-13)
    assert table.grad.__class__ is RowSparse
    handle = table.register_hook(lambda g: 2 * g)
    table.grad = None
    loss(table).backward()
    handle.remove()
    np.testing.assert_allclose(table.grad, 2 * expected, rtol=1e-13)
    table.grad = None
    loss(table).backward(create_graph=True)
    np.testing.assert_allclose(table.grad.data, expected, rtol=1e-13)
    penalty, table.grad = (table.grad**2).sum(), None
    penalty.backward()
    again = ad.grad(lambda t: np.sum(ad.grad(lambda u: loss(u, False))(t) ** 2))(table.data)
    np.testing.assert_allclose(np.asarray(table.grad), again, rtol=1e-12)
    computed = table * 2.0
    loss(computed).backward()
    with ad.detect_anomaly():
        loss(table).backward()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("padding_idx", [None, 0, 1])
@pytest.mark.parametrize("offsets", [[0, 1, 6], [0, 0, 6], [0, 4, 5], [0]])
def test_bags_of_unequal_lengths_divide_by_how_often_a_row_is_read(sparse, padding_idx, offsets):
    # PyTorch 2.13 divides by other numbers: row 1 of the bags [[1, 0], [1, 1], [0, 1]] by 2, which is read 4 times.
    ids, grads = np.array([1, 2, 2, 0, 1, 1, 0]), []
    for by_frequency in (False, True):
        table = ad.tensor(np.arange(8.0).reshape(4, 2), requires_grad=True)
        options = {"padding_idx": padding_idx, "scale_grad_by_freq": by_frequency, "sparse": sparse}
        bags = F.embedding_bag(ids, table, offsets, mode="mean", **options)
        bags.backward(np.arange(1.0, bags.size + 1).reshape(bags.shape))
        grads.append(table.grad.to_dense() if sparse else table.grad)
    often = np.bincount(ids, minlength=4)
    np.testing.assert_allclose(grads[1], grads[0] / np.maximum(often, 1)[:, None])


def test_clipping(rng):
    table, w = table_of(rng), ad.tensor(rng.normal(size=4), requires_grad=True)
    for order in (1.0, 2.0, np.inf, -np.inf):
        for p in (table, w):
            p.grad = None
        (by_rows(table, [1, 1, 5]) is None, (w**2).sum().backward())
        dense, other = table.grad.to_dense(), w.grad
        whole = np.concatenate([dense.ravel(), other])
        total = optim.clip_grad_norm_([table, w], 0.1, order)
        assert total == pytest.approx(np.linalg.norm(whole, order))
        assert table.grad.__class__ is RowSparse
        np.testing.assert_allclose(table.grad.to_dense(), dense * min(0.1 / (total + 1e-6), 1))
    optim.clip_grad_value_([table], 1e-3)
    np.testing.assert_allclose(table.grad.to_dense(), np.clip(dense * min(0.1 / (total + 1e-6), 1), -1e-3, 1e-3))


@pytest.mark.parametrize("zero", [True, False])
def test_a_compiled_step_and_an_eager_one_are_the_same_bits(zero):
    def path(wrap):
        rng = np.random.default_rng(3)
        layer = nn.Embedding(50, 8, sparse=True, generator=rng)
        optimizer = optim.SparseAdam(layer.parameters(), lr=0.1)
        batches = rng.integers(0, 50, (6, 12))

        def step(batch):
            optimizer.zero_grad(set_to_none=zero)
            loss = (layer(batch) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss.item()

        step = wrap(step)
        return [step(batch) for batch in batches], layer.weight.data

    losses, weight = path(lambda f: f)
    for wrap in (ad.compile, lambda f: ad.compile(f, check=True)):
        again, other = path(wrap)
        assert losses == again
        np.testing.assert_array_equal(weight, other)

    def plainly(f):
        def run(batch):
            with ad.plain():
                return f(batch)

        return run

    again, other = path(plainly)
    np.testing.assert_allclose(weight, other, rtol=1e-6)


def test_a_step_under_jit_has_dense_gradients_and_says_so():
    layer = nn.Embedding(5, 2, sparse=True)
    for optimizer, error in ((optim.SGD(layer.parameters(), lr=0.1), None), (optim.SparseAdam(layer.parameters()), 1)):

        def step(batch, optimizer=optimizer):
            optimizer.zero_grad()
            (layer(batch) ** 2).sum().backward()
            optimizer.step()

        compiled = ad.jit(step, state=(layer, optimizer))
        before = layer.weight.data.copy()
        if error:
            with pytest.raises(ArgumentError, match="SparseAdam: takes sparse gradients alone"):
                compiled(ad.tensor([1, 1]))
        else:
            compiled(ad.tensor([1, 1]))
            np.testing.assert_allclose(layer.weight.data[1], before[1] * (1 - 0.4), rtol=1e-6)
        np.testing.assert_array_equal(layer.weight.data[[0, 2, 3, 4]], before[[0, 2, 3, 4]])


# --- optimisers, against PyTorch
# ---------------------------------------------------------------------------------------------------------------

OPTIMISERS = [
    ("SparseAdam", {"lr": 0.1}),
    ("SparseAdam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-2, "maximize": True}),
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.2}),
]


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("padding_idx", [None, 2])
@pytest.mark.parametrize(("name", "options"), OPTIMISERS)
def test_ten_steps_are_pytorchs(name, options, padding_idx, dtype, rng):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    start, target = rng.normal(size=(9, 4)).astype(dtype), rng.normal(size=4).astype(dtype)
    ours = nn.Embedding.from_pretrained(start, freeze=False, padding_idx=padding_idx, sparse=True)
    theirs = torch.nn.Embedding.from_pretrained(torch.tensor(start), freeze=False, padding_idx=padding_idx, sparse=True)
    mine = getattr(optim, name)(ours.parameters(), **options)
    other = getattr(torch.optim, name)(theirs.parameters(), **options)
    batches = [rng.integers(0, 9, rng.integers(0, 12)) for _ in range(8)] + [np.zeros(0, int), np.array([2, 2])]
    for batch in batches:
        mine.zero_grad()
        other.zero_grad()
        for half in (batch[::2], batch[1::2]):  # two passes add up
            ((ours(half) - target) ** 2).sum().backward()
            ((theirs(torch.tensor(half)) - torch.tensor(target)) ** 2).sum().backward()
        np.testing.assert_allclose(ours.weight.grad.to_dense(), theirs.weight.grad.to_dense(), rtol=1e-5, atol=1e-6)
        mine.step()
        other.step()
        tolerance = 1e-5 if dtype is np.float32 else 1e-12
        np.testing.assert_allclose(ours.weight.data, theirs.weight.detach(), rtol=tolerance, atol=tolerance)
    saved = copy.deepcopy(mine.state_dict())
    mine.load_state_dict(saved)
    for key, value in other.state_dict()["state"].get(0, {}).items():
        if key != "step" and value is not None:
            np.testing.assert_allclose(saved["state"][0][key], value.to_dense(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_bags_are_pytorchs(mode, rng):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    start = rng.normal(size=(6, 3))
    ours = nn.EmbeddingBag.from_pretrained(start, freeze=False, mode=mode, sparse=True, padding_idx=4)
    theirs = torch.nn.EmbeddingBag.from_pretrained(
        torch.tensor(start), freeze=False, mode=mode, sparse=True, padding_idx=4
    )
    mine, other = optim.SparseAdam(ours.parameters(), lr=0.1), torch.optim.SparseAdam(theirs.parameters(), lr=0.1)
    for places, offsets in (([1, 4, 5, 1, 2], [0, 2, 2]), ([4], [0]), ([3, 3, 5], [0, 1, 3])):
        mine.zero_grad()
        other.zero_grad()
        out, reference = ours(np.array(places), np.array(offsets)), theirs(torch.tensor(places), torch.tensor(offsets))
        np.testing.assert_allclose(out.data, reference.detach(), rtol=1e-13)
        (out**2).sum().backward()
        (reference**2).sum().backward()
        np.testing.assert_allclose(ours.weight.grad.to_dense(), theirs.weight.grad.to_dense(), rtol=1e-13)
        assert 4 not in ours.weight.grad.indices()
        mine.step()
        other.step()
        np.testing.assert_allclose(ours.weight.data, theirs.weight.detach(), rtol=1e-12)
    with pytest.raises(ArgumentError, match="mode 'max'"):
        F.embedding_bag([[0]], start, mode="max", sparse=True)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: optim.Adam(p), "Adam: takes no sparse gradients; use optim.SparseAdam"),
        (lambda p: optim.AdamW(p), "AdamW: takes no sparse"),
        (lambda p: optim.RMSprop(p), "RMSprop: takes no sparse"),
        (lambda p: optim.SGD(p, weight_decay=0.1), "SGD: weight_decay"),
        (lambda p: optim.Adagrad(p, weight_decay=0.1), "Adagrad: weight_decay"),
    ],
)
def test_optimisers_that_move_every_row_refuse_them(make, words, rng):
    table, w = table_of(rng), ad.tensor(rng.normal(size=3), requires_grad=True)
    by_rows(table, [1])
    (w**2).sum().backward()
    optimizer, before = make([w, table]), (w.data.copy(), table.data.copy())
    with pytest.raises(ArgumentError, match=words):
        optimizer.step()
    np.testing.assert_array_equal(w.data, before[0])
    np.testing.assert_array_equal(table.data, before[1])


def test_dense_and_sparse_parameters_side_by_side(rng):
    table, w = table_of(rng), ad.tensor(rng.normal(size=3), requires_grad=True)
    start = table.data.copy(), w.data.copy()
    optimizer = optim.SGD([w, table], lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        ((F.embedding([1, 1], table, sparse=True) * w).sum()).backward()
        a, b = w.grad, table.grad.to_dense()
        optimizer.step()
        start = start[0] - 0.5 * b, start[1] - 0.5 * a
        np.testing.assert_allclose(table.data, start[0], rtol=1e-14)
        np.testing.assert_allclose(w.data, start[1], rtol=1e-14)
    with pytest.raises(ArgumentError, match="use Adam for dense ones"):
        optim.SparseAdam([w]).step()
    optimizer.zero_grad(set_to_none=False)
    assert table.grad.indices().size == 0


def test_lbfgs_takes_a_gradient_of_rows_as_a_dense_one():
    table = ad.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    optimizer = optim.LBFGS([table])

    def closure():
        optimizer.zero_grad()
        loss = (F.embedding([2, 0], table, sparse=True) ** 2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 10.0
    np.testing.assert_allclose(table.data.ravel(), [0.0, 2.0, 0.0], atol=1e-9)


def test_what_a_step_takes_does_not_grow_with_the_table():
    layer = nn.Embedding.from_pretrained(np.zeros((200_000, 16), np.float32), freeze=False, sparse=True)
    optimizer = optim.SparseAdam(layer.parameters())

    def step():
        optimizer.zero_grad()
        layer([5, 199_999]).sum().backward()
        optimizer.step()

    step()  # binds the parameter to the optimiser's memory, once
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < layer.weight.data.nbytes / 100
