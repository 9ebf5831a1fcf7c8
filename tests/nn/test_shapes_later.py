"""Lazy layers, packed sequences, adaptive softmax and pooling at random places: values, gradients and states against
PyTorch's.
"""

import copy
import itertools
import pickle

import numpy as np
import pytest

import autodiff as ad
import nn
import optim
from autodiff import ArgumentError, ShapeError
from nn import functional as F
from nn.utils import rnn

LAZY = sorted(name for name in nn.__all__ if name.startswith("Lazy"))


def built(lib, name, **options):
    """A lazy layer with its other arguments, and the shape of an input."""
    axes = int(name[-2]) if name[-1] == "d" else 0
    shape = (2, 4, *(5, 6, 4)[:axes])
    if "Conv" in name:
        return getattr(lib, name)(6, 2, **options), shape
    return (
        (getattr(lib, name)(3, **options), (2, 5)) if name == "LazyLinear" else (getattr(lib, name)(**options), shape)
    )


@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_layer_becomes_what_pytorchs_becomes(name):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    options = {"groups": 2} if "Conv" in name else {"affine": True} if "Norm" in name else {"bias": False}
    (ours, shape), (theirs, _) = built(nn, name, **options), built(torch.nn, name, **options)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = theirs(torch.tensor(x))
    assert ours(x).shape == tuple(expected.shape)
    assert type(ours) is getattr(nn, name[4:])
    assert repr(ours) == repr(theirs)
    # A saved state tells the shapes, too.
    fresh, _ = built(nn, name, **options)
    fresh.load_state_dict(theirs.state_dict())
    assert type(fresh) is type(ours)
    np.testing.assert_allclose(fresh.eval()(x).data, theirs.eval()(torch.tensor(x)).detach(), rtol=1e-4, atol=1e-5)
    again = pickle.loads(pickle.dumps(copy.deepcopy(built(nn, name, **options)[0])))
    assert again(x).shape == ours(x).shape


def test_one_without_a_batch_has_its_features_first():
    assert nn.LazyInstanceNorm1d(affine=True).forward(np.ones((3, 7), np.float32)).shape == (3, 7)
    layer = nn.LazyConv2d(4, 3)
    assert layer(np.ones((2, 8, 8), np.float32)).shape == (4, 6, 6)
    assert layer.in_channels == 2


def test_what_has_no_shape_yet_is_refused_by_name():
    net = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))
    assert net[0].has_uninitialized_params()
    for use in (
        lambda: net[0].weight + 1,
        lambda: net[0].weight.data,
        lambda: net[0].weight.shape,
        net.state_dict,
        lambda: sum(p.size for p in net.parameters()),
    ):
        with pytest.raises(ArgumentError, match="call the model on a batch"):
            use()
    with pytest.raises(TypeError, match="LazyLinear"):
        nn.LazyLinear(4, biass=True)
    with pytest.raises(ArgumentError, match="groups must divide"):
        nn.LazyConv2d(5, 3, groups=2)


def test_an_optimiser_made_before_the_first_call_learns():
    nn.init.manual_seed(0)
    net = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))
    optimizer, losses = optim.Adam(net.parameters(), lr=0.1), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = ((net(np.ones((3, 2), np.float32)) - 1) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize(
    ("make", "bad", "good"),
    [
        (lambda: nn.LazyConv2d(4, 3), (1, 2, 2, 2), (1, 3, 5, 5)),  # smaller than the kernel
        (lambda: nn.LazyConv2d(4, 3, groups=2), (1, 3, 5, 5), (1, 4, 5, 5)),
        (lambda: nn.LazyBatchNorm1d(), (1, 3), (2, 5)),  # one value per channel
        (lambda: nn.LazyBatchNorm2d(), (1, 3), (2, 5, 3, 3)),
        (lambda: nn.LazyInstanceNorm1d(), (2, 3, 1), (2, 5, 3)),
        (lambda: nn.LazyLinear(3), (), (2, 5)),
    ],
)
def test_a_layer_whose_first_call_fails_is_as_lazy_as_before(make, bad, good):
    layer = make()
    hooks, before = [], (type(layer), repr(layer), *layer.parameters(), *layer.buffers())
    layer.register_forward_hook(lambda module, args, out: hooks.append(out.shape))
    with pytest.raises((ShapeError, ArgumentError)):
        layer(np.ones(bad, np.float32))
    after = (type(layer), repr(layer), *layer.parameters(), *layer.buffers())
    assert after[:2] == before[:2]
    assert all(a is b for a, b in zip(after[2:], before[2:], strict=True))
    with pytest.raises(ArgumentError, match="call the model on a batch"):
        layer.state_dict()
    fresh = copy.deepcopy(layer)
    for held in (layer, fresh):
        held(np.ones(good, np.float32)).sum().backward()
        assert type(held) is before[0]._becomes
        assert all(p.grad is not None for p in held.parameters())
    assert len(hooks) == 2


def test_a_state_that_does_not_fit_leaves_lazy_layers_as_they_were():
    net = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2))
    state = {"0.weight": np.ones((4, 3)), "0.bias": np.ones(4), "1.weight": np.ones((9, 4)), "1.bias": np.ones(2)}
    with pytest.raises(ShapeError, match=r"1\.weight"):
        net.load_state_dict(state)
    assert type(net[0]) is nn.LazyLinear
    state["1.weight"] = np.ones((2, 4))
    net.load_state_dict(state)
    assert net(np.ones((1, 3))).data.tolist() == [[17.0, 17.0]]


@pytest.mark.parametrize(
    ("name", "first", "both", "sorted_"),
    [*itertools.product(("RNN", "LSTM", "GRU"), (False, True), (False, True), (False, True))],
)
def test_packed_sequences_are_pytorchs(name, first, both, sorted_):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    theirs_rnn, rng = torch.nn.utils.rnn, np.random.default_rng(1)
    options = {"num_layers": 2, "batch_first": first, "bidirectional": both}
    ours, theirs = getattr(nn, name)(3, 4, **options), getattr(torch.nn, name)(3, 4, **options)
    ours.load_state_dict(theirs.state_dict())
    lengths = [5, 3, 2] if sorted_ else [2, 5, 3]
    x = rng.normal(size=(3, 5, 3) if first else (5, 3, 3)).astype(np.float32)
    h = rng.normal(size=(4 if both else 2, 3, 4)).astype(np.float32)
    results = []
    for lib, layer, tensor in ((rnn, ours, ad.tensor), (theirs_rnn, theirs, torch.tensor)):
        t = tensor(x, requires_grad=True)
        state = (tensor(h), tensor(h)) if name == "LSTM" else tensor(h)
        packed = lib.pack_padded_sequence(t, tensor(lengths), first, enforce_sorted=sorted_)
        out, final = layer(packed, state)
        assert out.batch_sizes.tolist() == packed.batch_sizes.tolist()
        padded, counts = lib.pad_packed_sequence(out, first, padding_value=-1.0, total_length=7)
        finals = final if isinstance(final, tuple) else (final,)
        ((padded * padded).sum() + sum((f * f).sum() for f in finals)).backward()
        results.append(
            [padded.detach(), counts, *(f.detach() for f in finals), t.grad, *(p.grad for p in layer.parameters())]
        )
    for mine, other in zip(*results, strict=True):
        np.testing.assert_allclose(np.asarray(mine), np.asarray(other), rtol=1e-4, atol=1e-5)


def test_packing_keeps_every_sequence_and_refuses_what_does_not_fit():
    sequences = [np.arange(2.0 * n).reshape(n, 2) for n in (2, 4, 3)]
    packed = rnn.pack_sequence(sequences, enforce_sorted=False)
    for got, sent in zip(rnn.unpack_sequence(packed), sequences, strict=True):
        assert got.data.tolist() == sent.tolist()
    assert rnn.invert_permutation(packed.sorted_indices).tolist() == packed.unsorted_indices.tolist()
    with pytest.raises(ArgumentError, match="must fall"):
        rnn.pack_sequence(sequences)
    with pytest.raises(ArgumentError, match="1 to 4"):
        rnn.pack_padded_sequence(np.ones((4, 2, 1)), [5, 1])
    with pytest.raises(ArgumentError, match="shorter"):
        rnn.pad_packed_sequence(packed, total_length=3)
    with pytest.raises(ArgumentError, match="lengths="):
        nn.RNN(2, 3)(packed, lengths=[1, 2, 3])


@pytest.mark.parametrize(
    ("axes", "shape", "window", "size"),
    [
        (2, (2, 3, 7, 9), (2, 3), (4, 5)),
        (2, (1, 2, 5, 5), 3, 1),
        (2, (2, 1, 8, 6), 2, None),
        (3, (2, 2, 6, 5, 8), (2, 1, 3), (3, 4, 4)),
        (3, (1, 2, 6, 6, 6), 2, None),
    ],
)
def test_pooling_at_random_places_is_pytorchs(axes, shape, window, size):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    rng = np.random.default_rng(2)
    x, samples = rng.normal(size=shape), rng.random((*shape[:2], axes))
    options = {"output_size": size} if size else {"output_ratio": (0.5,) * axes}
    name, results = f"fractional_max_pool{axes}d", []
    for functions, tensor in ((F, ad.tensor), (torch.nn.functional, torch.tensor)):
        t = tensor(x, requires_grad=True)
        out, where = getattr(functions, name)(
            t, window, return_indices=True, _random_samples=tensor(samples), **options
        )
        (out * out).sum().backward()
        results.append([out.detach(), where, t.grad])
    for mine, other in zip(*results, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(other))
    alone = getattr(F, name)(x[0], window, _random_samples=samples[:1], **options)
    np.testing.assert_array_equal(alone.data, results[0][0].data[0])
    assert getattr(nn, f"FractionalMaxPool{axes}d")(window, **options)(x).shape == tuple(out.shape)


@pytest.mark.parametrize("head_bias", [False, True])
def test_adaptive_softmax_is_pytorchs(head_bias):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    rng = np.random.default_rng(3)
    options = {"cutoffs": [5, 20], "div_value": 2.0, "head_bias": head_bias}
    ours = nn.AdaptiveLogSoftmaxWithLoss(16, 50, **options)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 50, **options)
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    x, classes = rng.normal(size=(9, 16)).astype(np.float32), rng.integers(0, 50, 9)
    mine, other = ours(x, classes), theirs(torch.tensor(x), torch.tensor(classes))
    mine.loss.backward()
    other.loss.backward()
    np.testing.assert_allclose(mine.output.data, other.output.detach(), rtol=1e-5)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours.log_prob(x).data, theirs.log_prob(torch.tensor(x)).detach(), rtol=1e-5)
    assert ours.predict(x).tolist() == theirs.predict(torch.tensor(x)).tolist()
    assert ours(x[0], classes[0]).output.item() == pytest.approx(mine.output[0].item(), rel=1e-5)
    with pytest.raises(ArgumentError, match="from 0 to 49"):
        ours(x, classes + 50)
    with pytest.raises(ArgumentError, match="rising"):
        nn.AdaptiveLogSoftmaxWithLoss(16, 50, [20, 5])
