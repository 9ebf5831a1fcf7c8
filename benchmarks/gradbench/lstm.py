"""``lstm``: ADBench's character model with diagonal weights. What is hard: a thousand steps on a few numbers each."""

from __future__ import annotations

from typing import Any

import numpy as np

import autodiff as ad
from benchmarks.gradbench.task import Function, floats, plain

__all__ = ["TASKS", "loss"]


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _cell(weight: Any, bias: Any, hidden: Any, cell: Any, x: Any) -> tuple[Any, Any]:
    """One layer at one time; ``weight`` and ``bias`` are (4, b): forget, in, out, change."""
    forget = _sigmoid(x * weight[0] + bias[0])
    entering = _sigmoid(hidden * weight[1] + bias[1])
    leaving = _sigmoid(x * weight[2] + bias[2])
    change = np.tanh(hidden * weight[3] + bias[3])
    cell = cell * forget + entering * change
    return leaving * np.tanh(cell), cell


def loss(main: Any, extra: Any, state: np.ndarray, sequence: np.ndarray) -> Any:
    """Minus the mean log-likelihood of each character's bits given those before it.

    Parameters
    ----------
    main : (layers, 2, 4, b)
        Weights and biases.
    extra : (3, b)
        Input scale, output scale, output bias.
    state : (layers, 2, b)
        Hidden and cell at the start.
    sequence : (c, b)
        Bits.
    """
    layers = len(state)
    count, bits = sequence.shape

    def step(carry: Any, x: Any) -> tuple[Any, Any]:
        hidden, cell = carry
        x = x * extra[0]
        hiddens, cells = [], []
        for layer in range(layers):
            x, c = _cell(main[layer, 0], main[layer, 1], hidden[layer], cell[layer], x)
            hiddens.append(x)
            cells.append(c)
        y = x * extra[1] + extra[2]
        return (np.stack(hiddens), np.stack(cells)), y - np.log(2.0 + np.sum(np.exp(y)))

    _, scores = ad.scan(step, (state[:, 0], state[:, 1]), sequence[:-1])
    return -np.sum(sequence[1:] * scores) / ((count - 1) * bits)


def _read(given: Any) -> tuple[Any, ...]:
    state, extra = floats(given["state"]), floats(given["extra_params"])
    layers, bits = len(state) // 2, extra.shape[1]
    main = floats(given["main_params"]).reshape(layers, 2, 4, bits)
    return main, extra, state.reshape(layers, 2, bits), floats(given["sequence"])


TASKS = {
    "lstm": {
        "objective": Function(_read, loss, plain),
        "jacobian": Function(
            _read,
            ad.grad(loss, argnums=(0, 1)),
            lambda found: plain(np.concatenate([np.asarray(part).ravel() for part in found])),
        ),
    }
}
