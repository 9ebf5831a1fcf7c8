"""Experiment 4: six layers with batch normalisation against the same without."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from common import COLORS, arguments, conclude, figure, fit, load, save, smooth, table

import nn
import optim

KINDS = {"no normalisation": None, "batchnorm": "batchnorm"}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the experiment; the history of both networks."""
    options = arguments(__doc__, argv)
    data = load(options, train=1000)
    epochs = 2 if options.quick else 15
    found = {}
    for name, kind in KINDS.items():
        net = nn.FullyConnectedNet(
            [100] * 5, data.input_dim, 10, normalization=kind, weight_scale=2e-2, seed=options.seed
        )
        found[name] = fit(
            net, data, optim.Adam(net.parameters(), lr=1e-3), epochs=epochs, batch_size=50, seed=options.seed
        )

    made, ((one, two, three),) = figure(1, 3)
    for color, (name, history) in zip(COLORS, found.items(), strict=False):
        one.plot(smooth(history.loss, 10), color=color, label=name)
        two.plot(range(1, epochs + 1), history.train_accuracy, color=color, marker=".")
        three.plot(range(1, epochs + 1), history.validation_accuracy, color=color, marker=".")
    one.set(xlabel="step", ylabel="minibatch loss (running mean)", title="training loss")
    two.set(xlabel="epoch", ylabel="accuracy", title="training accuracy")
    three.set(xlabel="epoch", ylabel="accuracy", title="validation accuracy")
    one.legend()
    print(
        f"{data.name}: {len(data.train[0])} images, six layers of 100, weight scale 0.02, Adam at 1e-3, {epochs} epochs"
    )
    rows = [[name, h.mean_losses()[-1], h.train_accuracy[-1], max(h.validation_accuracy)] for name, h in found.items()]
    table(["network", "loss, last epoch", "training accuracy", "best validation accuracy"], rows)
    plain, normalised = rows
    conclude(
        f"""With small first weights the signal shrinks from layer to layer, and the plain network ends at
        {plain[2]:.1%} of its training
        images. Batch normalisation sets every layer's input back to mean 0 and variance 1, so the same weights, rate
        and epochs reach
        {normalised[2]:.1%}; on images not seen {normalised[3]:.1%} against {plain[3]:.1%}."""
    )
    save(made, options, "batchnorm")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
