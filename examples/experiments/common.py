"""What the experiments share: the command line, the data, training, tables and figures."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import nn
import optim
from autodiff.extras import require
from optim.datasets import load_cifar10, load_sklearn, split, standardize

COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
)  # Okabe and Ito: safe for colour-blind readers


def arguments(doc: str | None, argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags that every experiment takes."""
    parser = argparse.ArgumentParser(
        description=(doc or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--cifar10",
        type=Path,
        default=None,
        metavar="DIR",
        help="use CIFAR-10 from its Python batches instead of the digits",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds: everything runs, nothing is learned in earnest"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("experiments-out"), metavar="FOLDER", help="where the figure goes"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random")
    options = parser.parse_args(argv)
    if options.seed < 0:
        parser.error(f"--seed must not be negative, got {options.seed}")
    options.out.mkdir(parents=True, exist_ok=True)
    return options


@dataclass
class Data:
    """Training, validation and test images with their classes.

    Attributes
    ----------
    name : str
    train, validation, test : (float32 (N, *shape), int64 (N,))
        Digits: standardised pixel by pixel. CIFAR-10: the mean training image subtracted, scaled to about 1.
    shape : tuple of int
        Of one image, channels first.
    """

    name: str
    train: tuple[Any, Any]
    validation: tuple[Any, Any]
    test: tuple[Any, Any]
    shape: tuple[int, ...]

    @property
    def input_dim(self) -> int:
        """Numbers per image."""
        return int(np.prod(self.shape))

    def few(self, n: int) -> tuple[Any, Any]:
        """The first ``n`` training images."""
        return self.train[0][:n], self.train[1][:n]


def load(options: argparse.Namespace, train: int | None = None) -> Data:
    """The images that the flags ask for, at most ``train`` of them for training; fewer in quick mode."""
    if options.cifar10 is None:
        x, y = load_sklearn("digits")
        parts = split(x, y, (0.7, 0.15, 0.15), options.seed)
        scans = [part.reshape(-1, 1, 8, 8) for part in standardize(*(a for a, _ in parts))]
        name = "digits"
    else:
        found = load_cifar10(options.cifar10)
        (x, y), test = found["train"], found["test"]
        order = np.random.default_rng(options.seed).permutation(len(x))
        held_out = min(1000, len(x) // 5)
        rows = order[:held_out], order[held_out:]
        parts = [(x[rows[1]], y[rows[1]]), (x[rows[0]], y[rows[0]]), (test[0][:1000], test[1][:1000])]
        mean = parts[0][0].mean(axis=0)
        scans = [((images - mean) / 64).astype(np.float32) for images, _ in parts]
        name = "CIFAR-10"
    if options.quick:
        train = min(train or 200, 200)
    (a, b, c), (p, q, r) = scans, (labels for _, labels in parts)
    return Data(name, (a[:train], p[:train]), (b, q), (c, r), a.shape[1:])


def fit(
    model: nn.Module,
    data: Data,
    optimizer: Any,
    *,
    epochs: int,
    batch_size: int,
    train: tuple[Any, Any] | None = None,
    seed: int = 0,
    loss: Callable[[Any, Any], Any] | None = None,
) -> optim.History:
    """Train without a progress bar, keeping the last parameters; the history of the run."""
    trainer = optim.Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, generator=seed, progress=False)
    return trainer.fit(train or data.train, data.validation, epochs=epochs, batch_size=batch_size, restore_best=False)


def accuracy(model: nn.Module, part: tuple[Any, Any]) -> float:
    """The fraction of images whose largest score is at their class."""
    x, y = part
    return float(
        np.mean(np.concatenate([model.eval()(x[i : i + 500]).data.argmax(axis=1) for i in range(0, len(x), 500)]) == y)
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under headers, numbers with three decimals."""
    cells = [list(headers), *([f"{v:.3f}" if isinstance(v, float) else str(v) for v in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    for k, row in enumerate(cells):
        first, *rest = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join([first, *rest]).rstrip())
        if not k:
            print("  ".join("-" * w for w in widths))
    print()


def conclude(text: str) -> None:
    """Print the paragraph that says what was seen."""
    print(textwrap.fill(" ".join(text.split()), 110))


def figure(rows: int, columns: int, width: float = 4.2, height: float = 3.4) -> tuple[Any, Any]:
    """A matplotlib figure with a grid of axes, which needs no display."""
    made = require("matplotlib.figure").Figure(figsize=(width * columns, height * rows), layout="constrained")
    return made, made.subplots(rows, columns, squeeze=False)


def save(made: Any, options: argparse.Namespace, name: str) -> Path:
    """Write the figure as PNG and say where."""
    path = options.out / f"{name}.png"
    made.savefig(path, dpi=100)
    print(f"\nwritten: {path}")
    return Path(path)


def smooth(values: Sequence[float], window: int = 20) -> Any:
    """A running mean, for losses of single minibatches."""
    window = max(1, min(window, len(values) // 4))
    return np.convolve(values, np.ones(window) / window, mode="valid")
