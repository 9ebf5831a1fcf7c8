"""Experiment 6: how small a batch each normalisation bears.

First batch sizes 5, 10 and 50 with batch normalisation and with layer normalisation; then 2 to 8 with what was invented
for small batches: batch renormalisation, which pulls the batch's statistics towards the running ones, and
cross-iteration batch normalisation, which carries the last batches' statistics to today's weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import COLORS, Data, arguments, conclude, figure, fit, load, save, table

import nn
import optim

HIDDEN = [64, 64, 64]
Norm = Callable[[int, nn.Linear, int], nn.Module]

NORMS: dict[str, Norm] = {
    "none": lambda n, linear, steps: nn.Identity(),
    "batchnorm": lambda n, linear, steps: nn.BatchNorm1d(n),
    "layernorm": lambda n, linear, steps: nn.LayerNorm(n),
    # The paper's schedule takes 40,000 steps; this one has the same shape over the length of the run.
    "batch renorm": lambda n, linear, steps: nn.BatchRenorm1d(
        n, momentum=0.05, limits=nn.LinearRenormSchedule(3.0, 5.0, steps // 8, steps, 5 * steps // 8)
    ),
    "cross-iteration": lambda n, linear, steps: nn.CrossIterationBatchNorm1d(
        n, layer=linear, buffer_num=7, burnin=steps // 8
    ),
}


def network(norm: Norm, data: Data, steps: int, seed: int) -> nn.Module:
    """Three hidden layers of 64, each normalised."""
    rng = np.random.default_rng(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    width = data.input_dim
    for n in HIDDEN:
        linear = nn.Linear(width, n, generator=rng)
        layers += [linear, norm(n, linear, steps), nn.ReLU()]
        width = n
    return nn.Sequential(*layers, nn.Linear(width, 10, generator=rng))


def main(argv: Sequence[str] | None = None) -> dict[tuple[str, int], Any]:
    """Run the experiment; the best validation accuracies over three seeds by normalisation and batch size."""
    options = arguments(__doc__, argv)
    data = load(options, train=1000)
    epochs, seeds = (1, 1) if options.quick else (5, 2)
    moderate, small = ([5, 50], [2]) if options.quick else ([5, 10, 50], [2, 4, 8])
    runs = [(name, size) for name in ("none", "batchnorm", "layernorm") for size in moderate]
    runs += [(name, size) for name in ("batchnorm", "layernorm", "batch renorm", "cross-iteration") for size in small]
    found: dict[tuple[str, int], list[float]] = {}
    curves: dict[tuple[str, int], Any] = {}
    for name, size in runs:
        found[name, size] = []
        for seed in range(options.seed, options.seed + seeds):
            steps = epochs * (len(data.train[0]) // size)
            net = network(NORMS[name], data, steps, seed)
            history = fit(
                net, data, optim.SGD(net.parameters(), lr=0.02, momentum=0.9), epochs=epochs, batch_size=size, seed=seed
            )
            found[name, size].append(max(history.validation_accuracy))
            curves[name, size] = history
    mean = {key: float(np.mean(values)) for key, values in found.items()}

    made, ((left, middle, right),) = figure(1, 3)
    for ax, name in ((left, "batchnorm"), (middle, "layernorm")):
        for color, size in zip(COLORS, moderate, strict=False):
            ax.plot(
                range(1, epochs + 1),
                curves[name, size].validation_accuracy,
                color=color,
                marker=".",
                label=f"batch of {size}",
            )
        ax.set(xlabel="epoch", ylabel="validation accuracy", title=name)
        ax.legend()
    for color, name in zip(COLORS, ("batchnorm", "layernorm", "batch renorm", "cross-iteration"), strict=False):
        right.errorbar(
            small,
            [mean[name, s] for s in small],
            [np.std(found[name, s]) for s in small],
            color=color,
            marker=".",
            label=name,
        )
    right.set(xlabel="batch size", ylabel="best validation accuracy", title="small batches", xticks=small)
    right.legend()
    print(f"{data.name}: {len(data.train[0])} images, four layers, SGD with momentum, {epochs} epochs")
    print(f"best validation accuracy, mean of {seeds} seeds")
    rows = [[n, *(mean[n, s] for s in moderate)] for n in ("none", "batchnorm", "layernorm")]
    table(["normalisation", *(f"batch of {s}" for s in moderate)], rows)
    rows = [[n, *(mean[n, s] for s in small)] for n in ("batchnorm", "layernorm", "batch renorm", "cross-iteration")]
    table(["normalisation", *(f"batch of {s}" for s in small)], rows)
    least = small[0]
    ranked = sorted(("batchnorm", "layernorm", "batch renorm", "cross-iteration"), key=lambda name: -mean[name, least])
    conclude(
        f"""Batch normalisation estimates a mean and a variance from the batch, so its noise grows as the batch
        shrinks; layer normalisation
        looks at one example at a time and does not mind. At {least} examples a batch, from best to worst:
        {", ".join(f"{n} ({mean[n, least]:.1%})" for n in ranked)}. Batch renormalisation uses in training the running
        statistics that
        evaluation uses, so what is learned and what is tested agree; cross-iteration normalisation widens the sample
        to eight batches."""
    )
    save(made, options, "batch_size")
    return dict(mean)


if __name__ == "__main__":
    main(sys.argv[1:])
