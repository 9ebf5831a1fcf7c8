"""Experiment 10: a small convolutional network against a fully-connected one with more parameters, and what its first
layer looks for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import COLORS, Data, accuracy, arguments, conclude, figure, fit, load, save, table

import nn
import optim


def convolutional(data: Data, seed: int) -> nn.Module:
    """{conv 3x3 - batchnorm - ReLU} x 2 - max pool - conv - batchnorm - ReLU - max pool - affine."""
    rng = np.random.default_rng(seed)
    channels = data.shape[0]

    def block(a: int, b: int) -> list[nn.Module]:
        return [nn.Conv2d(a, b, 3, padding=1, bias=False, generator=rng), nn.BatchNorm2d(b), nn.ReLU()]

    return nn.Sequential(
        *block(channels, 16),
        *block(16, 16),
        nn.MaxPool2d(2),
        *block(16, 32),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (data.shape[1] // 4) * (data.shape[2] // 4), 10, generator=rng),
    )


def connected(data: Data, seed: int) -> nn.Module:
    """A fully-connected network of two hidden layers, with more parameters."""
    return nn.FullyConnectedNet([256, 128], data.input_dim, 10, normalization="batchnorm", weight_scale=0.05, seed=seed)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run the experiment; test accuracy by network."""
    options = arguments(__doc__, argv)
    data = load(options, train=None if options.cifar10 is None else 10000)
    epochs = 1 if options.quick else 20
    rows, histories, results, nets = [], {}, {}, {}
    for name, make in (("convolutional", convolutional), ("fully connected", connected)):
        net = make(data, options.seed)
        started = time.perf_counter()
        optimizer = optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
        histories[name] = fit(net, data, optimizer, epochs=epochs, batch_size=64, seed=options.seed)
        seconds = time.perf_counter() - started
        results[name], nets[name] = accuracy(net, data.test), net
        shifted = accuracy(net, (np.roll(data.test[0], 1, axis=3), data.test[1]))
        rows.append([name, f"{sum(p.size for p in net.parameters()):,}", results[name], shifted, f"{seconds:.1f} s"])

    print(f"{data.name}: {len(data.train[0])} training images, {epochs} epochs of AdamW")
    table(["network", "parameters", "test accuracy", "shifted by a pixel", "training"], rows)
    made, (axes,) = figure(1, 2)
    for color, (name, history) in zip(COLORS, histories.items(), strict=False):
        axes[0].plot(range(1, epochs + 1), history.validation_accuracy, color=color, marker=".", label=name)
    axes[0].set(xlabel="epoch", ylabel="validation accuracy", title="learning")
    axes[0].legend()
    axes[1].imshow(_tiles(nets["convolutional"]), cmap="gray", interpolation="nearest")
    axes[1].set(title="the 16 filters of the first layer", xticks=[], yticks=[])
    conv, dense = rows
    conclude(
        f"""With {conv[1]} parameters against {dense[1]} the convolutional network reads {conv[2]:.1%} of the test
        images, the
        fully-connected one {dense[2]:.1%}. Shift every test image by a pixel and {conv[3]:.1%} and {dense[3]:.1%} are
        left: shared
        weights look for the same stroke everywhere, a fully-connected layer has to learn it anew at every place."""
    )
    save(made, options, "convnet")
    return results


def _tiles(net: Any) -> Any:
    """The first layer's filters, mean over input channels, side by side with a gap, each scaled to its own range."""
    filters = net[0].weight.data.mean(axis=1)
    low, high = filters.min(axis=(1, 2), keepdims=True), filters.max(axis=(1, 2), keepdims=True)
    tiles = np.pad((filters - low) / (high - low), ((0, 0), (0, 1), (0, 1)), constant_values=1.0)
    return tiles.reshape(4, 4, *tiles.shape[1:]).transpose(0, 2, 1, 3).reshape(4 * tiles.shape[1], -1)


if __name__ == "__main__":
    main(sys.argv[1:])
