"""nn.utils against torch.nn.utils and torch.utils.data; nn.summary."""

import copy
import pickle
from importlib.util import find_spec

import numpy as np
import pytest

import autodiff as ad
import nn
import optim
from nn.utils import data as loading
from nn.utils.rnn import pad_sequence, unpad_sequence

torch_only = pytest.mark.skipif(find_spec("torch") is None, reason="the independent truth here is PyTorch")
RNG = np.random.default_rng


def test_parameters_become_a_vector_and_come_back():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)).double()
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (11,)
    (vector * np.arange(11.0)).sum().backward()
    np.testing.assert_array_equal(net[1].bias.grad, [10.0])
    nn.utils.vector_to_parameters(np.arange(11.0), net.parameters())
    assert net[0].weight.data.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    with pytest.raises(ad.ShapeError, match="11 elements"):
        nn.utils.vector_to_parameters(np.ones(10), net.parameters())
    before = nn.utils.parameters_to_vector(net.parameters()).data
    for vector, error in ((np.ones(11) * 1j, ad.DTypeError), (["1.0"] * 11, ad.DTypeError)):
        with pytest.raises(error, match="a vector of dtype"):
            nn.utils.vector_to_parameters(vector, net.parameters())
    np.testing.assert_array_equal(nn.utils.parameters_to_vector(net.parameters()).data, before)
    with pytest.raises(ad.ArgumentError, match="one of them is a list"):
        nn.utils.parameters_to_vector([[1.0]])
    with pytest.raises(ad.ArgumentError, match=r"model\.parameters"):
        nn.utils.parameters_to_vector(net)


def test_clipping_is_the_optimisers():
    assert nn.utils.clip_grad_norm_ is optim.clip_grad_norm_
    assert nn.utils.clip_grad_value_ is optim.clip_grad_value_


LAYERS = {
    "linear": (lambda lib: lib.Linear(3, 4), (2, 3)),
    "conv": (lambda lib: lib.Conv2d(2, 3, 2), (1, 2, 4, 4)),
    "transposed": (lambda lib: lib.ConvTranspose2d(2, 3, 2), (1, 2, 4, 4)),
}


@torch_only
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("dim", [0, 1, -1, -2, None])
@pytest.mark.parametrize("layer", LAYERS)
def test_weight_norm_is_pytorchs(layer, dim):
    import torch

    make, shape = LAYERS[layer]
    ours = nn.utils.weight_norm(make(nn).double(), dim=dim)
    theirs = torch.nn.utils.weight_norm(make(torch.nn).double(), dim=dim)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = RNG(0).normal(size=shape)
    for _ in range(2):  # a step between: the weight is computed anew
        out, reference = ours(x), theirs(torch.tensor(x))
        np.testing.assert_allclose(out.data, reference.detach().numpy(), rtol=1e-12, atol=1e-12)
        ours.zero_grad()
        theirs.zero_grad()
        (out**2).sum().backward()
        (reference**2).sum().backward()
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
        optim.SGD(ours.parameters(), lr=0.1).step()
        torch.optim.SGD(theirs.parameters(), lr=0.1).step()
    before = ours(x).data
    assert sorted(nn.utils.remove_weight_norm(ours).state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(ours(x).data, before, rtol=1e-12, atol=1e-12)


@torch_only
@pytest.mark.filterwarnings("ignore:.*spectral_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("layer", LAYERS)
def test_spectral_norm_is_pytorchs(layer):
    import torch

    make, shape = LAYERS[layer]
    ours = nn.utils.spectral_norm(make(nn).double())
    theirs = torch.nn.utils.spectral_norm(make(torch.nn).double())
    assert sorted(ours.state_dict()) == sorted(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = RNG(0).normal(size=shape)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        out, reference = ours(x), theirs(torch.tensor(x))
        np.testing.assert_allclose(out.data, reference.detach().numpy(), rtol=1e-12, atol=1e-12)
        ours.zero_grad()
        theirs.zero_grad()
        (out**2).sum().backward()
        (reference**2).sum().backward()
        theirs_by_name = dict(theirs.named_parameters())
        for name, p in ours.named_parameters():
            np.testing.assert_allclose(p.grad, theirs_by_name[name].grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
    before = ours(x).data
    assert sorted(nn.utils.remove_spectral_norm(ours).state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(ours(x).data, before, rtol=1e-12, atol=1e-12)


def taken() -> nn.Module:
    layer = nn.Linear(3, 2)
    layer.weight_v = nn.Parameter([1.0])
    return layer


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda: nn.Linear(3, 2), {"dim": 2}),
        (lambda: nn.Linear(3, 2), {"dim": -3}),
        (lambda: nn.Linear(3, 2), {"dim": 0.5}),
        (lambda: nn.LazyLinear(2), {}),
        (taken, {}),
    ],
)
@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_a_module_whose_weight_is_refused_is_left_as_it_was(wrap, make, options):
    layer = make()
    parameters, buffers, attributes = dict(layer._parameters), dict(layer._buffers), sorted(vars(layer))
    with pytest.raises(ad.ArgumentError):
        wrap(layer, **options)
    assert list(layer._parameters) == list(parameters)
    assert all(layer._parameters[name] is held for name, held in parameters.items())
    assert (layer._buffers, sorted(vars(layer)), layer._forward_pre_hooks) == (buffers, attributes, {})


def test_weights_of_a_recurrent_layer_can_be_computed_too():
    layer = nn.utils.weight_norm(nn.LSTM(3, 4), "weight_hh_l0")
    layer(np.ones((5, 2, 3), np.float32))[0].sum().backward()
    assert layer.weight_hh_l0_g.grad.shape == (16, 1)
    with pytest.raises(ad.ArgumentError, match="no parameter 'weights'"):
        nn.utils.weight_norm(nn.Linear(1, 1), "weights")
    with pytest.raises(ad.ArgumentError, match="has none"):
        nn.utils.remove_weight_norm(nn.Linear(1, 1))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("side", ["right", "left"])
def test_sequences_are_padded_and_unpadded(batch_first, side):
    parts = [ad.tensor(np.full((n, 2), float(n)), requires_grad=True) for n in (2, 3, 1)]
    padded = pad_sequence(parts, batch_first, -1.0, side)
    assert padded.shape == (3, 3, 2)
    padded.sum().backward()
    assert all((p.grad == 1).all() for p in parts)
    if side == "right":
        for back, part in zip(unpad_sequence(padded, [2, 3, 1], batch_first), parts, strict=True):
            np.testing.assert_array_equal(back.data, part.data)
    with pytest.raises(ad.ShapeError):
        pad_sequence([np.ones((2, 2)), np.ones((2, 3))])


# --- data


@pytest.mark.parametrize("lengths", [[2, -1], [2, 1.5], [2, 4], [2], [[2, 1]]])
def test_lengths_that_no_sequences_have_are_refused(lengths):
    for use in (unpad_sequence, nn.utils.rnn.pack_padded_sequence):
        with pytest.raises(ad.ArgumentError, match=r"lengths must be 2 integers from . to 3"):
            use(np.ones((3, 2)), lengths)
        with pytest.raises(ad.ShapeError, match="it needs"):
            use(np.ones(3), lengths)
    assert unpad_sequence(np.ones((3, 0)), []) == []


def test_an_epoch_has_every_example_once_in_another_order_each_time():
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    loader = nn.DataLoader(nn.TensorDataset(x, y), batch_size=4, shuffle=True, generator=RNG(0))
    epochs = [list(loader) for _ in range(2)]
    orders = [np.concatenate([batch[1].data for batch in epoch]) for epoch in epochs]
    assert [len(batch[0]) for batch in epochs[0]] == [4, 4, 2]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert (orders[0] != orders[1]).any()
    for batch in epochs[0]:
        np.testing.assert_array_equal(batch[0].data, x[batch[1].data])
    assert len(nn.DataLoader(nn.TensorDataset(x, y), batch_size=4, drop_last=True)) == 2


@torch_only
@pytest.mark.parametrize("batch_size", [1, 3, None])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_are_pytorchs(batch_size, drop_last):
    from torch.utils import data as theirs

    class Examples:
        def __len__(self):
            return 7

        def __getitem__(self, i):
            return {"x": np.full(2, i), "pair": (float(i), i), "name": str(i)}

    drop_last = drop_last and batch_size is not None
    ours = list(loading.DataLoader(Examples(), batch_size, drop_last=drop_last))
    reference = list(theirs.DataLoader(Examples(), batch_size, drop_last=drop_last))
    assert len(ours) == len(reference) == len(loading.DataLoader(Examples(), batch_size, drop_last=drop_last))
    for a, b in zip(ours, reference, strict=True):
        assert a["name"] == b["name"]
        np.testing.assert_array_equal(np.asarray(a["x"]), np.asarray(b["x"]))
        for p, q in zip(a["pair"], b["pair"], strict=True):
            np.testing.assert_array_equal(np.asarray(p), np.asarray(q))


def test_subsets_samplers_and_iterators():
    whole = nn.TensorDataset(np.arange(10.0))
    parts = loading.random_split(whole, [0.7, 0.3], RNG(0))
    assert sorted([x.item() for part in parts for (x,) in part_examples(part)]) == list(np.arange(10.0))
    batch = next(iter(nn.DataLoader(parts[1], batch_size=3)))
    assert batch[0].data.tolist() == [float(i) for i in parts[1].indices]
    joined = whole + nn.TensorDataset(-np.ones(2))
    assert len(joined) == 12
    assert joined[11][0].item() == joined[-1][0].item() == -1
    drawn = nn.DataLoader(whole, batch_size=50, sampler=loading.WeightedRandomSampler([0] * 9 + [1], 50))
    assert set(next(iter(drawn))[0].data) == {9.0}

    class Stream(loading.IterableDataset):
        def __iter__(self):
            return iter(np.arange(5.0))

    assert [len(batch) for batch in nn.DataLoader(Stream(), batch_size=2)] == [2, 2, 1]
    for stream in (Stream(), list(range(5))):
        assert list(nn.DataLoader(stream, batch_size=None, collate_fn=lambda example: example + 1)) == [1, 2, 3, 4, 5]
    assert [len(batch) for batch in nn.DataLoader((i for i in range(5)), batch_size=2, drop_last=True)] == [2, 2]


def part_examples(part):
    return [part[i] for i in range(len(part))]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "positive int"),
        ({"num_workers": 2}, "pass 0"),
        ({"shuffle": True, "sampler": [0]}, "not both"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "stands for"),
        ({"batch_size": None, "drop_last": True}, "needs a batch_size"),
        ({"collate_fn": 3}, "collate_fn is a function"),
        ({"sampler": 3}, "sampler is an iterable"),
        ({"batch_sampler": 3}, "batch_sampler is an iterable"),
        ({"generator": "seed"}, "generator must be"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, words):
    with pytest.raises(ad.ArgumentError, match=words):
        nn.DataLoader(nn.TensorDataset(np.ones(3)), **options)


def test_a_sampler_may_give_the_keys_of_a_mapping():
    table = {"a": 1.0, "b": 2.0, "c": 3.0}
    for dataset, order in ((table, ["c", "a", "b"]), (loading.Subset(table, ["a", "b", "c"]), [2, 0, 1])):
        loader = nn.DataLoader(dataset, batch_size=2, sampler=order)
        assert [batch.tolist() for batch in loader] == [[3.0, 1.0], [2.0]]


def test_a_batch_of_a_subset_reads_the_places_of_that_batch_alone():
    class Places(list):
        read = 0

        def __getitem__(self, index):
            Places.read += 1
            return super().__getitem__(index)

        def __iter__(self):
            raise AssertionError("all places were read")

    part = loading.Subset(nn.TensorDataset(np.arange(1000.0)), Places(range(0, 1000, 2)))
    assert next(iter(nn.DataLoader(part, batch_size=4)))[0].tolist() == [0.0, 2.0, 4.0, 6.0]
    assert Places.read == 4


def test_examples_that_do_not_stack_say_what_to_do():
    with pytest.raises(ad.ShapeError, match="pad_sequence"):
        next(iter(nn.DataLoader([np.ones(2), np.ones(3)], batch_size=2)))
    with pytest.raises(ad.ShapeError, match="one length"):
        nn.TensorDataset(np.ones(2), np.ones(3))
    padded = nn.DataLoader([np.ones(2), np.ones(3)], batch_size=2, collate_fn=pad_sequence)
    assert next(iter(padded)).shape == (3, 2)


def test_a_loader_trains_a_network():
    rng = RNG(0)
    x = rng.normal(size=(64, 2)).astype(np.float32)
    data = nn.TensorDataset(x, (x[:, 0] > 0).astype(np.int64))
    net = nn.Linear(2, 2, generator=rng)
    optimizer = optim.Adam(net.parameters(), lr=0.1)

    @ad.compile
    def step(inputs, targets):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [step(*batch) for _ in range(5) for batch in nn.DataLoader(data, batch_size=16, shuffle=True)]
    assert losses[-1] < 0.5 * losses[0]
    assert step.replays > 10


# --- the table of a network


def test_a_summary_counts_what_there_is_and_leaves_the_network_alone():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 3))
    net[4].requires_grad_(False)
    net[2].eval()
    before = net.state_dict()
    table = nn.summary(net, (5, 1, 4, 4))
    assert [row[2] for row in table.rows] == [(5, 3), (5, 2, 2, 2), (5, 2, 2, 2), (5, 2, 2, 2), (5, 8), (5, 3)]
    assert (table.parameters, table.trainable) == (20 + 4 + 27, 24)
    assert [m.training for m in net.modules()] == [True, True, True, False, True, True]
    assert not any(m._forward_hooks for m in net.modules())
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert "<table>" in table._repr_html_()
    assert "Conv2d" in repr(table)
    assert nn.summary(net).rows[1][2] is None
    with pytest.raises(ad.ArgumentError, match="not both"):
        nn.summary(net, np.ones((1, 1, 4, 4)), input_size=(1, 1, 4, 4))


@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_a_layer_with_a_computed_weight_is_copied_and_pickled_in_the_middle_of_training(wrap):
    def train(net, copied):
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        for step in range(4):
            net, optimizer = copied((net, optimizer)) if step == 2 else (net, optimizer)
            optimizer.zero_grad()
            (net(np.ones((2, 3))) ** 2).sum().backward()
            optimizer.step()
        return net.state_dict(), net[0].weight.data

    def made():
        return nn.Sequential(wrap(nn.Linear(3, 2, generator=RNG(0)), **options)).double()

    options = {"generator": RNG(1)} if wrap is nn.utils.spectral_norm else {}
    first = made()
    expected, weight = train(copy.deepcopy(first), lambda both: both)
    for copied in (copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))):
        state, found = train(copied(first), copied)
        np.testing.assert_array_equal(found, weight)
        for name, value in expected.items():
            np.testing.assert_array_equal(state[name], value)
    assert optim.swa_utils.AveragedModel(first).module[0].weight.requires_grad


@pytest.mark.parametrize(
    "make",
    [
        lambda: loading.RandomSampler(range(3), num_samples=2.5),
        lambda: loading.WeightedRandomSampler([1, 2], 0),
        lambda: loading.WeightedRandomSampler([1, 2], 3, replacement=False),
        lambda: loading.WeightedRandomSampler([0, 0, 1], 2, replacement=False),
        lambda: loading.DataLoader(range(3), batch_size=True),
        lambda: loading.WeightedRandomSampler([1, np.inf], 2),
        lambda: loading.random_split(range(10), [2.9, 8.1]),
        lambda: loading.random_split(range(10), [np.nan]),
        lambda: list(nn.DataLoader(nn.TensorDataset(np.ones(3)), batch_sampler=[[0.5, 1.7]])),
    ],
)
def test_samplers_refuse_what_they_could_not_draw(make):
    words = "must be a positive int|none of them twice|finite numbers|random_split: lengths|are integers, got"
    with pytest.raises(ad.ArgumentError, match=words):
        make()
