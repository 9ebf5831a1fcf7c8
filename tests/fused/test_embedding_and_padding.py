"""Embedding, one-hot and padding: against PyTorch where it is installed, against plain NumPy anyway."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from nn import functional as F


def close(ours, theirs):
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-10, atol=1e-12)


# --- embedding --------------------------------------------------------------------------------------------------------


def test_rows_read_often_receive_the_sum_and_others_nothing(rng):
    w, indices = ad.tensor(rng.normal(size=(5, 3)), requires_grad=True), np.array([[0, 2, 0], [4, 0, 2]])
    out = F.embedding(indices, w)
    np.testing.assert_array_equal(out.data, w.data[indices])
    g = rng.normal(size=out.shape)
    out.backward(g)
    expected = np.array([g[indices == v].sum(axis=0) for v in range(5)])
    close(w.grad, expected)
    assert not w.grad[[1, 3]].any()


def test_an_infinite_cotangent_stays_in_its_row():
    w = ad.tensor(np.ones((3, 2), np.float32), requires_grad=True)
    F.embedding([0, 1, 1], w).backward(np.array([[np.inf, np.nan], [1.0, 2.0], [3.0, 4.0]], np.float32))
    np.testing.assert_array_equal(w.grad, np.array([[np.inf, np.nan], [4.0, 6.0], [0.0, 0.0]], np.float32))


@pytest.mark.parametrize("padding_idx", [1, -2])
def test_the_padding_row_is_read_but_not_learned(padding_idx, rng):
    layer = nn.Embedding(3, 2, padding_idx=padding_idx, dtype=np.float64)
    assert layer.padding_idx == 1
    assert not layer.weight.data[1].any()
    layer.weight.data = rng.normal(size=(3, 2))
    for context in (ad.enable_grad(), ad.composed()):
        with context:
            out = layer(np.array([1, 0, 1, 2]))
        np.testing.assert_array_equal(out.data, layer.weight.data[[1, 0, 1, 2]])
        layer.zero_grad()
        out.sum().backward()
        np.testing.assert_array_equal(layer.weight.grad, [[1, 1], [0, 0], [1, 1]])


OPTIONS = st.fixed_dictionaries(
    {
        "padding_idx": st.sampled_from([None, 0, 3, -1]),
        "max_norm": st.sampled_from([None, 0.5, 2.0]),
        "norm_type": st.sampled_from([1.0, 2.0, 3.0, float("inf")]),
        "scale_grad_by_freq": st.booleans(),
    }
)


@given(OPTIONS, st.sampled_from([(), (1,), (5,), (3, 4), (0,), (2, 3, 2)]), st.integers(0, 2**31))
def test_embedding_is_pytorchs(options, shape, seed):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    rng = np.random.default_rng(seed)
    table, indices = rng.normal(size=(6, 3)), np.asarray(rng.integers(0, 6, shape))
    g = rng.normal(size=(*shape, 3))
    theirs = torch.nn.Embedding.from_pretrained(torch.tensor(table), freeze=False, **options)
    reference = theirs(torch.tensor(indices))
    reference.backward(torch.tensor(g))
    for context in (ad.enable_grad(), ad.composed()):
        ours = nn.Embedding.from_pretrained(table, freeze=False, **options)
        with context:
            out = ours(indices)
        out.backward(g)
        close(out.data, reference.detach())
        close(ours.weight.grad, theirs.weight.grad)
        close(ours.weight.data, theirs.weight.detach())


def test_pretrained_rows_are_copied_and_frozen():
    table = np.ones((2, 3))
    layer = nn.Embedding.from_pretrained(table)
    table[:] = 5
    assert not layer.weight.requires_grad
    np.testing.assert_array_equal(layer([0]).data, np.ones((1, 3)))
    assert repr(nn.Embedding(4, 2, padding_idx=0)) == "Embedding(4, 2, padding_idx=0)"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: F.embedding([0, 3], np.ones((3, 2))), ArgumentError, r"index 3 at position \[1\] is outside \[0, 3\)"),
        (lambda: F.embedding([[0, -1]], np.ones((3, 2))), ArgumentError, r"index -1 at position \[0, 1\]"),
        (lambda: F.embedding([0.5], np.ones((3, 2))), DTypeError, "integers"),
        (lambda: F.embedding([0], np.ones(3)), ShapeError, "num_embeddings"),
        (lambda: F.embedding([0], np.ones((3, 2)), padding_idx=3), ArgumentError, "padding_idx 3"),
        (lambda: F.embedding([0], np.ones((3, 2)), max_norm=1.0), ArgumentError, "leaf"),
        (lambda: nn.Embedding(3, 2, padding_idx=-4), ArgumentError, "padding_idx"),
        (lambda: nn.Embedding(3, -2), ArgumentError, "negative"),
        (lambda: nn.Embedding.from_pretrained(np.ones(3)), ShapeError, "embedding_dim"),
        (lambda: F.one_hot([0.5]), DTypeError, "integers"),
        (lambda: F.one_hot([0, 3], 3), ArgumentError, r"\[0, 3\)"),
        (lambda: F.one_hot([-1]), ArgumentError, "must lie"),
        (lambda: F.one_hot([]), ArgumentError, "pass it"),
        (lambda: F.one_hot([0], 0), ArgumentError, "positive"),
    ],
)
def test_misuse_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_bad_index_with_max_norm_changes_no_row():
    w = nn.Parameter(np.full((3, 2), 9.0))
    with pytest.raises(ArgumentError, match="index 3"):
        F.embedding([0, 3], w, max_norm=1.0)
    np.testing.assert_array_equal(w.data, np.full((3, 2), 9.0))


@given(st.sampled_from([(), (3,), (2, 3), (0,)]), st.integers(0, 2**31), st.sampled_from([-1, 5, 7]))
def test_one_hot(shape, seed, count):
    indices = np.asarray(np.random.default_rng(seed).integers(0, 5, shape))
    if count == -1 and not indices.size:
        return
    out = F.one_hot(indices, count)
    wide = int(indices.max()) + 1 if count == -1 else count
    assert out.dtype == np.int64
    np.testing.assert_array_equal(out.data, np.eye(wide, dtype=int)[indices])


# --- padding ----------------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(["constant", "reflect", "replicate", "circular"]),
    st.integers(1, 3),
    st.lists(st.integers(-1, 2), min_size=6, max_size=6),
    st.integers(0, 2**31),
)
def test_pad_is_pytorchs(mode, dims, amounts, seed):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    rng = np.random.default_rng(seed)
    x, pads = rng.normal(size=(2, 3, *rng.integers(3, 5, dims))), amounts[: 2 * dims]
    value = 1.5 if mode == "constant" and seed % 2 else None
    ours, theirs = ad.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    out, reference = F.pad(ours, pads, mode, value), torch.nn.functional.pad(theirs, pads, mode, value)
    np.testing.assert_array_equal(out.data, reference.detach().numpy())
    g = rng.normal(size=out.shape)
    out.backward(g)
    reference.backward(torch.tensor(g))
    close(ours.grad, theirs.grad)


def test_pad_takes_the_last_dimension_first():
    assert F.pad(np.zeros((2, 3, 4)), (1, 2, 3, 4)).shape == (2, 10, 7)
    np.testing.assert_array_equal(F.pad([[1, 2]], (0, 1, 1, 0), value=7).data, [[7, 7, 7], [1, 2, 7]])
    np.testing.assert_array_equal(F.pad([1, 2, 3], (-1, -2)).data, np.zeros(0))
    np.testing.assert_array_equal(F.pad([1, 2, 3], (0, 3), "circular").data, [1, 2, 3, 1, 2, 3])


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        (((1,),), ArgumentError, "two integers per dimension"),
        (((1, 1, 1, 1, 1, 1),), ArgumentError, "at most 2 dimensions"),
        (((0.5, 1),), ArgumentError, "sequence of integers"),
        ((3,), ArgumentError, "sequence of integers"),
        (((1, 1), "mirror"), ArgumentError, "circular"),
        (((1, 1), "reflect", 2.0), ArgumentError, "mode='constant'"),
        (((3, 0), "reflect"), ShapeError, "at most 2 elements to axis 1"),
        (((0, 4), "circular"), ShapeError, "at most 3"),
        (((-2, -2),), ShapeError, "cannot cut"),
    ],
)
def test_padding_that_cannot_be_is_named(args, error, words):
    with pytest.raises(error, match=words):
        F.pad(np.zeros((2, 3)), *args)


def test_a_value_that_an_integer_cannot_hold_is_refused():
    np.testing.assert_array_equal(F.pad(np.array([1]), (0, 1), value=2.0).data, [1, 2])
    with pytest.raises(ArgumentError, match="does not fit into dtype int64"):
        F.pad(np.array([1]), (0, 1), value=0.5)


def test_tables_and_batches_may_be_empty():
    for shape, indices in (((3, 0), [0, 2]), ((0, 3), []), ((3, 2), [])):
        w = ad.tensor(np.ones(shape), requires_grad=True)
        F.embedding(indices, w).sum().backward()
        np.testing.assert_array_equal(w.grad, np.zeros(shape))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad"])
def test_padding_layers_are_pytorchs(kind, dims, rng):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    name, more = f"{kind}{dims}d", (0.5,) * (kind == "ConstantPad")
    x = rng.normal(size=(2, 3, 4, 5, 3)[: dims + 2])
    for padding in (1, tuple(rng.integers(0, 3, 2 * dims).tolist())):
        ours, theirs = getattr(nn, name)(padding, *more), getattr(torch.nn, name)(padding, *more)
        np.testing.assert_array_equal(ours(x).data, theirs(torch.tensor(x)).numpy())
        np.testing.assert_array_equal(ours(x[0]).data, theirs(torch.tensor(x[0])).numpy())
    with pytest.raises(ArgumentError, match="padding needs"):
        getattr(nn, name)((1, 2, 3), *more)
    with pytest.raises(ShapeError, match="dimensions"):
        ours(np.zeros(3))
