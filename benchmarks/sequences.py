"""What models of sequences spend their time in: recurrent layers over time, single steps, causal attention; forward and
backward.

The baseline is the same call composed of elementary operations (``autodiff.composed()``): what the hand-derived
operations gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.harness import Candidate, Contest, Target

__all__ = ["contests"]


def _contest(
    case: str,
    ours: Callable[..., Any],
    theirs: Callable[[Any], Callable[..., Any]],
    arrays: Sequence[Any],
    target: float,
) -> Contest:
    """``ours`` of Tensors fused and composed; ``theirs``, given PyTorch, of its tensors. Both return one array or
    tensor.
    """
    import autodiff as ad

    leaves = [ad.Tensor(array, requires_grad=True) for array in arrays]
    g = np.random.default_rng(1).standard_normal(ours(*leaves).shape, dtype=np.float32)

    def run() -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        out = ours(*leaves)
        out.backward(g)
        return [out.data, *(leaf.grad for leaf in leaves)]

    def composed() -> list[Any]:
        with ad.composed():
            return run()

    def torch() -> Candidate:
        t = rivals.torch()
        call = theirs(t)
        inputs = [t.from_numpy(array.copy()).requires_grad_() for array in arrays]
        seed = t.from_numpy(g)

        def step() -> list[Any]:
            for each in inputs:
                each.grad = None
            out = call(*inputs)
            out.backward(seed)
            return [out, *(each.grad for each in inputs)]

        return Candidate("PyTorch", step, lambda: [each.detach().numpy() for each in step()])

    made = Contest(
        "sequences",
        case,
        [Candidate("composed", composed, composed), Candidate("autodiff", run, run)],
        reference="composed",
        tolerance=1e-3,
        targets=[Target("composed", target), Target("PyTorch", 1.2)],
    )
    return rivals.join(made, ("PyTorch", torch))


def _normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Any:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)


def recurrent(kind: str, times: int, count: int, hidden: int) -> Contest:
    """A layer over all times, as wide inside as its input: gradients of the input and all weights."""
    from autodiff import fused
    from nn import functional as F

    rng = np.random.default_rng(0)
    rows = {"RNN": 1, "LSTM": 4, "GRU": 3}[kind] * hidden
    scale = hidden**-0.5
    weights = [
        _normal(rng, rows, hidden, scale=scale),
        _normal(rng, rows, hidden, scale=scale),
        _normal(rng, rows),
        _normal(rng, rows),
    ]
    start = np.zeros((count, hidden), np.float32)

    def ours(x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        if kind == "LSTM":
            return fused.lstm(F.linear(x, w_ih, b_ih + b_hh), start, start, w_hh)[0]
        if kind == "RNN":
            return fused.rnn(F.linear(x, w_ih, b_ih + b_hh), start, w_hh)
        return fused.gru(F.linear(x, w_ih, b_ih), start, w_hh, b_hh)

    def theirs(t: Any) -> Callable[..., Any]:
        layer = getattr(t.nn, kind)(hidden, hidden)
        names = [name for name, _ in layer.named_parameters()]
        return lambda x, *weights: t.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,))[0]

    return _contest(
        f"{kind} {times}x{count}x{hidden}", ours, theirs, [_normal(rng, times, count, hidden), *weights], 0.6
    )


def lstm_cell(count: int, hidden: int) -> Contest:
    """One step of an LSTM, gates given."""
    from autodiff import fused

    rng = np.random.default_rng(0)

    def theirs(t: Any) -> Callable[..., Any]:
        def call(gates: Any, cell: Any) -> Any:
            i, f, g, o = gates.chunk(4, 1)
            new = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            return o.sigmoid() * new.tanh() + new

        return call

    def ours(gates: Any, cell: Any) -> Any:
        h, c = fused.lstm_cell(gates, cell)
        return h + c

    return _contest(
        f"LSTM cell {count}x{hidden}", ours, theirs, [_normal(rng, count, 4 * hidden), _normal(rng, count, hidden)], 0.6
    )


def gru_cell(count: int, hidden: int) -> Contest:
    """One step of a GRU, both shares of its gates given."""
    from autodiff import fused

    rng = np.random.default_rng(0)

    def theirs(t: Any) -> Callable[..., Any]:
        def call(a: Any, b: Any, state: Any) -> Any:
            (a_r, a_z, a_n), (b_r, b_z, b_n) = a.chunk(3, 1), b.chunk(3, 1)
            z = (a_z + b_z).sigmoid()
            return (1 - z) * (a_n + (a_r + b_r).sigmoid() * b_n).tanh() + z * state

        return call

    arrays = [_normal(rng, count, 3 * hidden), _normal(rng, count, 3 * hidden), _normal(rng, count, hidden)]
    return _contest(f"GRU cell {count}x{hidden}", fused.gru_cell, theirs, arrays, 0.6)


def attention(count: int, heads: int, length: int, width: int) -> Contest:
    """Causal self-attention, queries, keys and values given."""
    from nn import functional as F

    rng = np.random.default_rng(0)
    arrays = [_normal(rng, count, heads, length, width) for _ in range(3)]

    def theirs(t: Any) -> Callable[..., Any]:
        return lambda q, k, v: t.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    case = f"causal attention {count}x{heads}x{length}x{width}"
    return _contest(case, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), theirs, arrays, 0.7)


def embedding(rows: int, width: int, count: int) -> Contest:
    """Rows looked up, often the same ones."""
    from nn import functional as F

    rng = np.random.default_rng(0)
    indices = rng.integers(0, rows, count)

    def theirs(t: Any) -> Callable[..., Any]:
        places = t.from_numpy(indices)
        return lambda w: t.nn.functional.embedding(places, w)

    return _contest(
        f"embedding {count} of {rows}x{width}",
        lambda w: F.embedding(indices, w),
        theirs,
        [_normal(rng, rows, width)],
        0.7,
    )


def contests(quick: bool = False) -> Iterator[Contest]:
    """Sizes of the examples and a few larger; quick: the same on a few numbers."""
    if quick:
        for kind in ("RNN", "LSTM", "GRU"):
            yield recurrent(kind, 3, 2, 4)
        yield lstm_cell(3, 4)
        yield gru_cell(3, 4)
        yield attention(2, 2, 5, 4)
        yield embedding(7, 4, 20)
        return
    for kind in ("RNN", "LSTM", "GRU"):
        yield recurrent(kind, 32, 16, 64)
        yield recurrent(kind, 64, 32, 256)
    for cell in (lstm_cell, gru_cell):
        yield cell(16, 64)
        yield cell(64, 256)
    yield attention(32, 4, 64, 24)
    yield attention(4, 8, 512, 64)
    yield embedding(96, 64, 2048)
    yield embedding(10000, 128, 1024)
