"""Experiment 3: SGD, momentum, RMSprop, Adagrad and Adam train the same six-layer network."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from common import COLORS, arguments, conclude, figure, fit, load, save, smooth, table

import nn
import optim

RULES: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: optim.SGD(p, lr=1e-2),
    "momentum": lambda p: optim.SGD(p, lr=1e-2, momentum=0.9),
    "RMSprop": lambda p: optim.RMSprop(p, lr=1e-3),
    "Adagrad": lambda p: optim.Adagrad(p, lr=1e-2),
    "Adam": lambda p: optim.Adam(p, lr=1e-3),
}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the experiment; the history of every rule."""
    options = arguments(__doc__, argv)
    data = load(options, train=4000)
    epochs = 2 if options.quick else 10
    found = {}
    for name, make in RULES.items():
        net = nn.FullyConnectedNet(
            [100] * 5, data.input_dim, 10, weight_scale=5e-2 if data.input_dim > 1000 else 0.1, seed=options.seed
        )
        found[name] = fit(net, data, make(net.parameters()), epochs=epochs, batch_size=50, seed=options.seed)

    made, ((one, two, three),) = figure(1, 3)
    for color, (name, history) in zip(COLORS, found.items(), strict=False):
        one.plot(smooth(history.loss), color=color, label=name)
        two.plot(range(1, epochs + 1), history.train_accuracy, color=color, marker=".")
        three.plot(range(1, epochs + 1), history.validation_accuracy, color=color, marker=".")
    one.set(xlabel="step", ylabel="minibatch loss (running mean)", title="training loss")
    two.set(xlabel="epoch", ylabel="accuracy", title="training accuracy")
    three.set(xlabel="epoch", ylabel="accuracy", title="validation accuracy")
    one.legend()
    print(f"{data.name}: six layers of 100, batches of 50, {epochs} epochs, rates as usual for each rule")
    rows = [
        [name, h.mean_losses()[0], h.mean_losses()[-1], h.train_accuracy[-1], h.validation_accuracy[-1]]
        for name, h in found.items()
    ]
    table(["rule", "loss, epoch 1", "loss, last epoch", "training accuracy", "validation accuracy"], rows)
    fastest = min(rows, key=lambda row: row[1])[0]
    plain, momentum = (next(row for row in rows if row[0] == name) for name in ("SGD", "momentum"))
    conclude(
        f"""On six layers plain SGD is still at a training loss of {plain[2]:.2f} after {epochs} epochs; momentum,
        which adds up what
        successive gradients agree on, is at {momentum[2]:.2f} with the same rate. The rules that divide each gradient
        by its own recent
        size need no larger rate for the badly scaled first layers; the quickest in the first epoch here is
        {fastest}."""
    )
    save(made, options, "optimizers")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
