"""Experiment 2: three and five layers learn 50 images by heart, if the initial weights have the right scale.

A network that cannot reach 100 % on 50 images has a mistake in it. How forgiving it is of the scale of its first
weights depends on its depth.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import COLORS, arguments, conclude, figure, fit, load, save, table

import nn
import optim

NETS = {"three layers": [100, 100], "five layers": [100, 100, 100, 100]}
EPOCHS = 20


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the experiment; for every net the best scale, its accuracies by epoch, and the accuracy at every scale."""
    options = arguments(__doc__, argv)
    data = load(options)
    images = data.few(50)
    scales = np.logspace(-4, 0.5, 4 if options.quick else 19)
    results: dict[str, Any] = {}
    for name, hidden in NETS.items():
        reached, runs = [], {}
        for scale in scales:
            with np.errstate(all="ignore"):
                net = nn.FullyConnectedNet(hidden, data.input_dim, 10, weight_scale=float(scale), seed=options.seed)
                history = _fit(net, data, images, options.seed)
            reached.append(history[-1])
            runs[float(scale)] = history
        best = max(runs, key=lambda scale: sum(runs[scale]))
        results[name] = {"scale": best, "accuracy": runs[best], "by_scale": reached}

    made, ((left, right),) = figure(1, 2)
    for color, (name, found) in zip(COLORS, results.items(), strict=False):
        left.plot(range(1, EPOCHS + 1), found["accuracy"], color=color, label=f"{name}, scale {found['scale']:.2g}")
        right.semilogx(scales, found["by_scale"], color=color, marker=".", label=name)
    left.set(xlabel="epoch", ylabel="training accuracy", title="50 images, best scale")
    right.set(
        xlabel="standard deviation of the initial weights",
        ylabel=f"training accuracy after {EPOCHS} epochs",
        title="sensitivity to the scale",
    )
    left.legend()
    right.legend()
    rows = []
    for name, found in results.items():
        good = scales[np.array(found["by_scale"]) == 1.0]
        first = next((i + 1 for i, a in enumerate(found["accuracy"]) if a == 1.0), None)
        width = f"{good.min():.2g} to {good.max():.2g}" if len(good) else "none tried"
        rows.append([name, f"{found['scale']:.2g}", found["accuracy"][-1], first or "-", width])
    print(f"{data.name}: 50 training images, Adam at 1e-3, batches of 10")
    table(["network", "best scale", "training accuracy", "100 % at epoch", "scales that reach 100 %"], rows)
    he = np.sqrt(2 / 100)
    conclude(
        f"""Both networks learn the 50 images by heart, if their first weights are neither so small that the signal
        has vanished before the
        last layer nor so large that the first losses are enormous. Every layer multiplies the signal by about the
        weights' scale times
        the root of half its width, so the more layers there are the closer that product must be to 1, which is a
        scale of {he:.2f} for
        100 units (He et al. 2015): three layers reach 100 % from {rows[0][-1]}, five from {rows[1][-1]}."""
    )
    save(made, options, "overfit")
    return results


def _fit(net: nn.Module, data: Any, images: tuple[Any, Any], seed: int) -> list[float]:
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    found = fit(net, data, optimizer, epochs=EPOCHS, batch_size=10, train=images, seed=seed)
    return found.train_accuracy


if __name__ == "__main__":
    main(sys.argv[1:])
