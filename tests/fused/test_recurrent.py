"""Recurrent layers: PyTorch's values, gradients and states where it is installed; lengths, reuse of states and misuse,
anyway.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff import fused
from autodiff.core.errors import ArgumentError, ShapeError


def close(ours, theirs, rtol=1e-10):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(
        ours, theirs, rtol=rtol, atol=rtol * max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    )


def flat(nested):
    return [leaf for part in nested for leaf in flat(part)] if isinstance(nested, (tuple, list)) else [nested]


def pair(torch, kind, *args, seed=0, **options):
    """One of ours and one of PyTorch's, with the weights carried there and back."""
    ours, theirs = (
        getattr(nn, kind)(*args, dtype=np.float64, **options),
        getattr(torch.nn, kind)(*args, **options).double(),
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    rng = np.random.default_rng(seed)
    for value in theirs.state_dict().values():
        value.copy_(torch.tensor(rng.normal(size=value.shape) * 0.7))
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()})
    return ours, theirs


def agree(torch, ours, theirs, inputs, call_ours, call_theirs, seed=0):
    """All outputs, and gradients of all inputs and parameters."""
    xs = [ad.tensor(x, requires_grad=True) for x in inputs]
    ts = [torch.tensor(x, requires_grad=True) for x in inputs]
    rng = np.random.default_rng(seed)
    total, reference = ad.tensor(0.0), torch.tensor(0.0, dtype=torch.float64)
    for out, expected in zip(flat(call_ours(ours, *xs)), flat(call_theirs(theirs, *ts)), strict=True):
        close(out.data, expected.detach())
        g = rng.normal(size=out.shape)
        total, reference = total + (out * g).sum(), reference + (expected * torch.tensor(g)).sum()
    total.backward()
    reference.backward()
    for x, t in zip(xs, ts, strict=True):
        close(x.grad, t.grad)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert p.grad is not None, name
        close(p.grad, q.grad)


KINDS = st.sampled_from(["RNN tanh", "RNN relu", "LSTM", "LSTM projected", "GRU"])


def options_of(kind, hidden):
    name, _, variant = kind.partition(" ")
    more = {"nonlinearity": variant} if name == "RNN" else ({"proj_size": hidden - 1} if variant else {})
    return name, more


@given(
    KINDS,
    st.fixed_dictionaries(
        {
            "num_layers": st.integers(1, 3),
            "bias": st.booleans(),
            "batch_first": st.booleans(),
            "bidirectional": st.booleans(),
        }
    ),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(2, 4),
    st.sampled_from(["batch", "no batch", "batch with states", "no batch with states"]),
    st.integers(0, 2**31),
)
def test_layers_are_pytorchs(kind, options, times, count, hidden, how, seed):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    name, more = options_of(kind, hidden)
    ours, theirs = pair(torch, name, 3, hidden, seed=seed, **options, **more)
    rng = np.random.default_rng(seed)
    batch = () if how.startswith("no") else (count,)
    shape = (*batch, times, 3) if options["batch_first"] else (times, *batch, 3)
    inputs = [rng.normal(size=shape)]
    if how.endswith("states"):
        rows = options["num_layers"] * (1 + options["bidirectional"])
        inputs.append(rng.normal(size=(rows, *batch, more.get("proj_size", hidden))))
        if name == "LSTM":
            inputs.append(rng.normal(size=(rows, *batch, hidden)))

    def call(layer, x, *states):
        return layer(x, *(() if not states else ((states,) if name == "LSTM" else states)))

    agree(torch, ours, theirs, inputs, call, call, seed)


@given(KINDS, st.booleans(), st.booleans(), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 2**31))
def test_lengths_are_pytorchs_packed_sequences(kind, bidirectional, batch_first, lengths, seed):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    name, more = options_of(kind, 3)
    ours, theirs = pair(torch, name, 2, 3, 2, seed=seed, bidirectional=bidirectional, batch_first=batch_first, **more)
    rng = np.random.default_rng(seed)
    times, count, rows = max(lengths) + seed % 2, len(lengths), 4 if bidirectional else 2
    x = rng.normal(size=(count, times, 2))
    states = [rng.normal(size=(rows, count, more.get("proj_size", 3)))] + [rng.normal(size=(rows, count, 3))] * (
        name == "LSTM"
    )
    inputs = [x if batch_first else x.swapaxes(0, 1), *states]

    def call(layer, x, *states):
        return layer(x, states if name == "LSTM" else states[0], lengths=lengths)

    def call_torch(layer, x, *states):
        tools = torch.nn.utils.rnn
        packed = tools.pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False)
        out, final = layer(packed, states if name == "LSTM" else states[0])
        return tools.pad_packed_sequence(out, batch_first=batch_first, total_length=times)[0], final

    agree(torch, ours, theirs, inputs, call, call_torch, seed)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_what_stands_after_the_end_is_not_read(kind, bidirectional, rng):
    layer = getattr(nn, kind)(2, 3, bidirectional=bidirectional, dtype=np.float64)
    x = rng.normal(size=(5, 2, 2))
    alone = flat(layer(x[:3, :1]))
    x[3:, 0] = np.nan
    given_ = ad.tensor(x, requires_grad=True)
    out, *final = flat(layer(given_, lengths=[3, 5]))
    np.testing.assert_allclose(out.data[:3, 0], alone[0].data[:, 0], rtol=1e-12)
    assert not out.data[3:, 0].any()
    for a, b in zip(final, alone[1:], strict=True):
        np.testing.assert_allclose(a.data[:, 0], b.data[:, 0], rtol=1e-12)
    sum((each * each).sum() for each in (out, *final)).backward()
    assert not given_.grad[3:, 0].any()
    assert all(np.isfinite(each.grad).all() for each in (given_, *layer.parameters()))


@pytest.mark.parametrize("kind", ["RNNCell tanh", "RNNCell relu", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("states", [False, True])
def test_cells_are_pytorchs(kind, bias, batch, states, rng):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    name, more = options_of(kind.replace("Cell", ""), 4)
    name += "Cell"
    ours, theirs = pair(torch, name, 2, 4, bias=bias, **more)
    inputs = [rng.normal(size=(*batch, 2))] + [
        rng.normal(size=(*batch, 4)) for _ in range(1 + (name == "LSTMCell"))
    ] * states

    def call(cell, x, *states):
        return cell(x, *(() if not states else ((states,) if name == "LSTMCell" else states)))

    agree(torch, ours, theirs, inputs, call, call)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_layer_is_its_cell_step_by_step(kind, rng):
    """Without PyTorch: the layers over time against the cells, which the laws check by differences."""
    layer, cell = getattr(nn, kind)(2, 3, dtype=np.float64), getattr(nn, f"{kind}Cell")(2, 3, dtype=np.float64)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = rng.normal(size=(4, 2, 2))
    a, b = (ad.tensor(x, requires_grad=True) for _ in range(2))
    state, outs = None, []
    for t in range(4):
        state = cell(b[t], state)
        outs.append(state[0] if kind == "LSTM" else state)
    out, final = layer(a)
    weights = rng.normal(size=out.shape)
    (out * weights).sum().backward()
    (np.stack(outs) * weights).sum().backward()
    np.testing.assert_allclose(out.data, np.stack(outs).data, rtol=1e-12)
    for ours, theirs in zip(flat(final), flat(state), strict=True):
        np.testing.assert_allclose(ours.data[0], theirs.data, rtol=1e-12)
    for p, q in [(a, b), *zip(layer.parameters(), cell.parameters(), strict=True)]:
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_sequence_may_be_run_in_pieces(kind, rng):
    layer = getattr(nn, kind)(2, 3, 2, dtype=np.float64)
    x = rng.normal(size=(6, 2, 2))
    whole, final = layer(x)
    first, state = layer(x[:4])
    second, last = layer(x[4:], state)
    np.testing.assert_allclose(np.concatenate([first.data, second.data]), whole.data, rtol=1e-12)
    for a, b in zip(flat(last), flat(final), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


def test_huge_gates_saturate_without_overflow_and_with_gradient_zero():
    for dtype in (np.float32, np.float64):
        gates = ad.tensor(np.array([[1e30, -1e30, 1e30, 1e30]], dtype), requires_grad=True)
        h, c = fused.lstm_cell(gates, np.ones((1, 1), dtype))
        (h + c).sum().backward()
        np.testing.assert_allclose(h.data, np.tanh(1.0), rtol=1e-6)
        assert h.dtype == gates.grad.dtype == dtype
        assert not gates.grad.any()


def test_float32_layers_stay_close_to_float64(rng):
    """Two hundred steps: rounding must not build up."""
    for kind in ("RNN", "LSTM", "GRU"):
        wide = getattr(nn, kind)(4, 8, 2, dtype=np.float64, generator=np.random.default_rng(1))
        narrow = getattr(nn, kind)(4, 8, 2)
        narrow.load_state_dict(wide.state_dict())
        x = rng.normal(size=(200, 3, 4)).astype(np.float32)
        (narrow(x)[0] ** 2).sum().backward()
        (wide(x.astype(np.float64))[0] ** 2).sum().backward()
        for p, q in zip(narrow.parameters(), wide.parameters(), strict=True):
            assert p.grad.dtype == np.float32
            assert np.abs(p.grad - q.grad).max() < 1e-4 * np.abs(q.grad).max()


def test_dropout_between_layers_in_training_only(rng):
    make = lambda **o: nn.LSTM(2, 3, 2, dropout=0.5, generator=np.random.default_rng(0), **o)
    layer, twin = make(), make()
    x = rng.normal(size=(4, 2, 2)).astype(np.float32)
    first, second = layer(x)[0].data, layer(x)[0].data
    assert (first != second).any()
    np.testing.assert_array_equal(first, twin(x)[0].data)
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].data, layer(x)[0].data)
    last = nn.LSTM(2, 3, 1, dropout=0.5)
    np.testing.assert_array_equal(last(x)[0].data, last(x)[0].data)


def test_initial_values_lie_within_the_promised_bound():
    layer = nn.GRU(5, 16, 2, bidirectional=True, generator=np.random.default_rng(0))
    largest = max(np.abs(p.data).max() for p in layer.parameters())
    assert 0.95 * 0.25 < largest <= 0.25
    assert repr(layer) == "GRU(5, 16, num_layers=2, bidirectional=True)"


Z = np.zeros


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.LSTM(0, 3), ArgumentError, "positive"),
        (lambda: nn.LSTM(2, 3, proj_size=3), ArgumentError, "smaller than hidden_size 3"),
        (lambda: nn.GRU(2, 3, dropout=1.5), ArgumentError, "probability"),
        (lambda: nn.RNN(2, 3, nonlinearity="sigmoid"), ArgumentError, "'relu'"),
        (lambda: nn.RNNCell(2, 3, nonlinearity="sigmoid"), ArgumentError, "'relu'"),
        (lambda: nn.LSTM(2, 3)(Z((4, 2, 5))), ShapeError, r"\(T, N, 2\)"),
        (lambda: nn.LSTM(2, 3, batch_first=True)(Z(2)), ShapeError, r"\(N, T, 2\)"),
        (lambda: nn.LSTM(2, 3)(Z((0, 2, 2))), ShapeError, "no time"),
        (lambda: nn.LSTM(2, 3)(Z((4, 2, 2)), Z((1, 2, 3))), ArgumentError, "pair"),
        (lambda: nn.LSTM(2, 3)(Z((4, 2, 2)), (Z((1, 2, 3)), Z((2, 2, 3)))), ShapeError, "initial state c"),
        (lambda: nn.GRU(2, 3)(Z((4, 2, 2)), Z((2, 3))), ShapeError, r"needs shape \(1, 2, 3\)"),
        (lambda: nn.GRU(2, 3)(Z((4, 2, 2)), lengths=[5, 1]), ArgumentError, "from 1 to 4"),
        (lambda: nn.GRU(2, 3)(Z((4, 2, 2)), lengths=[0, 1]), ArgumentError, "from 1 to 4"),
        (lambda: nn.GRUCell(2, 3)(Z((4, 3))), ShapeError, r"\(N, 2\)"),
        (lambda: nn.GRUCell(2, 3)(Z((4, 2)), Z((4, 2))), ShapeError, "a state has shape"),
        (lambda: nn.LSTMCell(2, 3)(Z((4, 2)), Z((4, 3))), ArgumentError, "pair"),
        (lambda: nn.LSTMCell(2, -3), ArgumentError, "positive"),
        (lambda: fused.lstm(Z((2, 3, 8)), Z((3, 2)), Z((3, 2)), Z((2, 8))), ShapeError, r"\(4 H, P\)"),
        (lambda: fused.gru(Z((2, 3, 6)), Z((3, 2)), Z((6, 2)), Z(5)), ShapeError, r"bias \(5,\)"),
        (lambda: fused.rnn(Z((0, 3, 2)), Z((3, 2)), Z((2, 2))), ShapeError, "at least 1"),
        (lambda: fused.gru_cell(Z((3, 6)), Z((3, 5)), Z((3, 2))), ShapeError, "gates of shape"),
    ],
)
def test_misuse_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
