"""Experiment 8: L2 and dropout on two noisy moons, with the decision boundaries drawn.

The data have two numbers per example, so this experiment has no images: ``--cifar10`` changes nothing here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import COLORS, arguments, conclude, figure, save, table

import nn
import optim
from autodiff.extras import require

KINDS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "L2, 0.003": {"reg": 3e-3},
    "L2, 0.03": {"reg": 3e-2},
    "dropout, keep 0.5": {"dropout_keep_ratio": 0.5},
}


def moons(n: int, seed: int) -> tuple[Any, Any]:
    """Two half circles, overlapping by noise: float32 (n, 2) and classes 0, 1."""
    x, y = require("sklearn.datasets").make_moons(n, noise=0.35, random_state=seed)
    return x.astype(np.float32), y.astype(np.int64)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the experiment; training and test accuracy and the norm of the weights by kind."""
    options = arguments(__doc__, argv)
    train, test = moons(120, options.seed), moons(3000, options.seed + 1)
    steps = 60 if options.quick else 3000
    found, nets = {}, {}
    for name, extra in KINDS.items():
        net = nn.FullyConnectedNet([100, 100], 2, 2, weight_scale=0.2, seed=options.seed, **extra)
        optimizer = optim.Adam(net.parameters(), lr=3e-3)
        net.train()
        for _ in range(steps):
            optimizer.zero_grad()
            net.loss(*train).backward()
            optimizer.step()
        net.eval()
        norm = float(np.sqrt(sum(np.sum(p.data**2) for key, p in net.named_parameters() if key.endswith("weight"))))
        found[name] = [float(np.mean(net(x).data.argmax(axis=1) == y)) for x, y in (train, test)] + [norm]
        nets[name] = net

    made, (axes,) = figure(1, len(KINDS), width=3.4)
    a, b = np.meshgrid(np.linspace(-2.2, 3.2, 200), np.linspace(-1.8, 2.3, 200))
    grid = np.stack([a.ravel(), b.ravel()], axis=1).astype(np.float32)
    for ax, (name, net) in zip(axes, nets.items(), strict=True):
        scores = net(grid).data
        ax.contourf(
            a, b, (scores[:, 1] - scores[:, 0]).reshape(a.shape), levels=[-1e9, 0, 1e9], colors=["#cfe3f1", "#f9ddcb"]
        )
        for c in (0, 1):
            ax.scatter(*train[0][train[1] == c].T, s=10, color=COLORS[c], edgecolors="white", linewidths=0.3)
        ax.set(title=f"{name}\ntraining {found[name][0]:.1%}, test {found[name][1]:.1%}", xticks=[], yticks=[])
    print(
        f"two moons with noise 0.35: 120 examples to learn from, 3,000 to test, two hidden layers of 100, {steps} steps"
        " of Adam"
    )
    table(
        ["against overfitting", "training accuracy", "test accuracy", "norm of the weights"],
        [[name, *values] for name, values in found.items()],
    )
    best = max(found, key=lambda name: found[name][1])
    conclude(
        f"""With nothing to hold it back the network bends its boundary around single noisy examples:
        {found["nothing"][0]:.1%} in training,
        {found["nothing"][1]:.1%} in the test. L2 makes large weights dear (their norm falls from
        {found["nothing"][2]:.0f} to
        {found["L2, 0.03"][2]:.0f}) and the boundary smooth; dropout reaches a similar end without small weights,
        since no unit can rely
        on another. Best in the test: {best} with {found[best][1]:.1%}."""
    )
    save(made, options, "regularization")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
