"""Experiment 7: 500 images, with every unit kept and with a quarter of them kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from common import COLORS, arguments, conclude, figure, fit, load, save, table

import nn
import optim

KEEP = (1.0, 0.25)


def main(argv: Sequence[str] | None = None) -> dict[float, Any]:
    """Run the experiment; the history of both networks."""
    options = arguments(__doc__, argv)
    data = load(options, train=500)
    epochs = 3 if options.quick else 40
    found, gaps = {}, {}
    for keep in KEEP:
        net = nn.FullyConnectedNet(
            [500], data.input_dim, 10, dropout_keep_ratio=keep, weight_scale=1e-2, seed=options.seed
        )
        found[keep] = fit(
            net, data, optim.Adam(net.parameters(), lr=5e-4), epochs=epochs, batch_size=100, seed=options.seed
        )
        trainer = optim.Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.0), progress=False)
        gaps[keep] = [trainer.evaluate(part) for part in (data.train, data.validation)]

    made, ((left, right),) = figure(1, 2)
    for color, (keep, history) in zip(COLORS, found.items(), strict=False):
        left.plot(range(1, epochs + 1), history.train_accuracy, color=color, label=f"keep {keep:g}")
        right.plot(range(1, epochs + 1), history.validation_loss, color=color, label=f"keep {keep:g}")
    left.set(xlabel="epoch", ylabel="accuracy", title="training accuracy (units dropped)")
    right.set(xlabel="epoch", ylabel="loss", title="validation loss")
    left.legend()
    right.legend()
    print("the figures are of the whole network, nothing dropped")
    print(f"{data.name}: {len(data.train[0])} images, one hidden layer of 500, Adam at 5e-4, {epochs} epochs")
    rows = [[f"{keep:g}", a[0], a[1], b[0], b[1]] for keep, (a, b) in gaps.items()]
    table(["kept", "training loss", "training accuracy", "validation loss", "validation accuracy"], rows)
    one, quarter = gaps[1.0], gaps[0.25]
    conclude(
        f"""With every unit kept the network fits its training images to a loss of {one[0][0]:.4f} and has
        {one[1][0]:.3f} on images not
        seen: a gap of {one[1][0] - one[0][0]:.3f}. Keeping a quarter of the units at each step makes the fit slower
        and the gap
        {quarter[1][0] - quarter[0][0]:.3f}: validation loss {quarter[1][0]:.3f}, accuracy {quarter[1][1]:.1%} against
        {one[1][1]:.1%}."""
    )
    save(made, options, "dropout")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
