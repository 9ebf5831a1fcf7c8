"""Experiment 9: saturation and dead units: the gradient's norm in every layer, for six activations and three scales of
the first weights.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import COLORS, Data, accuracy, arguments, conclude, figure, fit, load, save, table

import nn
import optim
from nn import functional as F

DEPTH, WIDTH, PIECES = 8, 100, 2


class Layer(nn.Module):
    """An affine map to ``pieces`` numbers per unit and an activation; keeps what the activation gave, for a look at
    it.
    """

    def __init__(
        self, n: int, m: int, pieces: int, activation: Callable[[Any], Any], scale: float, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.affine = nn.Linear(n, m * pieces, generator=rng)
        nn.init.normal_(self.affine.weight, 0.0, scale / math.sqrt(n), rng)
        nn.init.zeros_(self.affine.bias)
        self.activation = activation
        self.seen: Any = None

    def forward(self, x: Any) -> Any:
        """(N, n) to (N, m)."""
        out = self.activation(self.affine(x))
        self.seen = out.data
        return out


# Activation, the gain that keeps the size of its signal (PyTorch's table; for maxout of two E max(a, b)^2 = 1), and
# when a unit's value is stuck.
KINDS: dict[str, tuple[Callable[[], Any], float, Callable[[Any], Any]]] = {
    "sigmoid": (lambda: F.sigmoid, 1.0, lambda y: np.abs(y - 0.5) > 0.49),
    "tanh": (lambda: F.tanh, 5 / 3, lambda y: np.abs(y) > 0.98),
    "ReLU": (lambda: F.relu, math.sqrt(2), lambda y: y == 0),
    "leaky ReLU": (lambda: lambda x: F.leaky_relu(x, 0.1), math.sqrt(2 / 1.01), lambda y: np.zeros_like(y, bool)),
    "PReLU": (nn.PReLU, math.sqrt(2 / 1.0625), lambda y: np.zeros_like(y, bool)),
    "maxout": (lambda: nn.Maxout(PIECES), 1.0, lambda y: np.zeros_like(y, bool)),
}


def network(kind: str, factor: float, data: Data, seed: int) -> nn.Module:
    """Eight hidden layers of 100 whose weights have ``factor`` times the scale that suits the activation."""
    rng = np.random.default_rng(seed)
    make, gain, _ = KINDS[kind]
    layers: list[nn.Module] = [nn.Flatten()]
    for i in range(DEPTH):
        n = data.input_dim if i == 0 else WIDTH
        layers.append(Layer(n, WIDTH, PIECES if kind == "maxout" else 1, make(), factor * gain, rng))
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10, generator=rng))


def look(net: Any, kind: str, batch: tuple[Any, Any]) -> tuple[list[float], float, float]:
    """The gradient's norm in every layer, the share of stuck values, and the share of units stuck on every example."""
    net.zero_grad()
    F.cross_entropy(net(batch[0]), batch[1]).backward()
    layers = [layer for layer in net if hasattr(layer, "seen")]
    norms = [float(np.linalg.norm(layer.affine.weight.grad)) for layer in layers]
    stuck = [KINDS[kind][2](layer.seen) for layer in layers]
    net.zero_grad()
    return norms, float(np.mean(stuck)), float(np.mean([part.all(axis=0) for part in stuck]))


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the experiment; per activation the gradient norms by scale, the shares before and after training, and the
    accuracy.
    """
    options = arguments(__doc__, argv)
    data = load(options, train=1000)
    epochs = 1 if options.quick else 10
    batch = data.few(200)
    factors = {"0.2 of it": 0.2, "the scale that suits": 1.0, "5 times it": 5.0}
    norms: dict[str, dict[str, list[float]]] = {label: {} for label in factors}
    rows: list[list[Any]] = []
    for kind in KINDS:
        stuck = []
        for label, factor in factors.items():
            found = look(network(kind, factor, data, options.seed), kind, batch)
            norms[label][kind] = found[0]
            stuck.append(found[1])
        reached, dead = {}, {}
        for rate in (0.03, 0.3):
            net = network(kind, 1.0, data, options.seed)
            with np.errstate(all="ignore"):
                try:
                    fit(
                        net, data, optim.SGD(net.parameters(), lr=rate), epochs=epochs, batch_size=50, seed=options.seed
                    )
                    reached[rate] = accuracy(net, data.validation)
                except FloatingPointError:  # the Trainer stops a run whose loss is no number
                    reached[rate] = math.nan
                dead[rate] = look(net, kind, batch)[2]
        one = norms["the scale that suits"][kind]
        rows.append([kind, f"{one[0] / one[-1]:.1e}", stuck[1], stuck[2], reached[0.03], reached[0.3], dead[0.3]])

    made, (axes,) = figure(1, 3)
    for ax, (label, by_kind) in zip(axes, norms.items(), strict=True):
        for color, (kind, values) in zip(COLORS, by_kind.items(), strict=False):
            # A norm of exactly 0 has no place on a logarithmic axis.
            ax.semilogy(range(1, DEPTH + 1), np.maximum(values, 1e-16), color=color, marker=".", label=kind)
        ax.set(
            xlabel="layer", ylabel="norm of the weights' gradient", title=f"first weights: {label}", ylim=(1e-16, 1e6)
        )
    axes[0].legend(fontsize="small")
    print(
        f"{data.name}: {DEPTH} hidden layers of {WIDTH}; stuck: a sigmoid within 0.01 of its end, |tanh| > 0.98, a ReLU"
        " at 0"
    )
    headers = [
        "activation",
        "gradient, first / last layer",
        "stuck at the start",
        "stuck, 5 x scale",
        "accuracy, rate 0.03",
        "rate 0.3",
    ]
    table([*headers, "dead units, rate 0.3"], rows)
    by_name = {row[0]: row for row in rows}
    conclude(
        f"""Even with the scale that suits, eight sigmoids leave the first layer {by_name["sigmoid"][1]} of the last
        one's gradient, since
        the slope of a sigmoid is at most 1/4; tanh ({by_name["tanh"][1]}) and the rectifiers ({by_name["ReLU"][1]}
        for ReLU) keep it.
        With weights five times too large {by_name["tanh"][3]:.0%} of the tanh values are saturated. About half of all
        ReLU values are 0
        at the start ({by_name["ReLU"][2]:.0%}), which is harmless; units that are 0 on every example are not: after
        training at a rate
        of 0.3, {by_name["ReLU"][6]:.0%} of them. Leaky ReLU, PReLU and maxout have a slope everywhere."""
    )
    save(made, options, "activations")
    return {"norms": norms, "rows": rows}


if __name__ == "__main__":
    main(sys.argv[1:])
