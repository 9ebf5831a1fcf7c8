"""Learn to read handwritten digits, look at the computation, and check every gradient: the whole library in one run.

    python examples/digits.py

trains a network with batch normalisation and dropout on scikit-learn's 1,797 real 8x8 scans, and writes into ``--out``

* ``curves.png``: loss per step, accuracy per epoch, or without matplotlib a line that says what to install;
  ``history.csv``: the same as numbers;
* ``graph.svg``: the graph of one training step; ``graph-expanded.svg``: the same with every fused operation opened
  into its definition.

It prints the test accuracy and the largest difference between the gradients of the hand-derived fused operations and
those of the same network composed of elementary operations, over all parameters. ``--seed 0 1 2`` runs three seeds;
``mpiexec -n 2 python examples/digits.py --mpi`` shares every minibatch between two processes. Batch normalisation and
dropout depend on how a batch is shared, so with ``--mpi`` the default is layer normalisation without dropout: any
number of processes then gives the result of one, to rounding.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import autodiff
import nn
import optim
from autodiff.core.errors import AutodiffError, MissingExtraError
from autodiff.extras import require
from optim.datasets import load_sklearn, split, standardize

OPTIMIZERS = {
    "adam": (optim.Adam, 3e-3),
    "adamw": (optim.AdamW, 3e-3),
    "sgd": (optim.SGD, 0.1),
    "momentum": (lambda params, lr: optim.SGD(params, lr, momentum=0.9, nesterov=True), 0.03),
    "rmsprop": (optim.RMSprop, 1e-3),
    "adagrad": (optim.Adagrad, 3e-2),
}
NORMALIZATIONS = {"batchnorm": "batchnorm", "layernorm": "layernorm", "none": None}


def number(kind: type, test: Callable[[Any], bool], allowed: str) -> Callable[[str], Any]:
    """A converter for argparse whose message says what is allowed."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not test(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; give {allowed}")
        return value

    return convert


class Parser(argparse.ArgumentParser):
    """Answers a bad flag with all that are allowed, not with a usage line alone."""

    def error(self, message: str) -> NoReturn:
        self.print_help(sys.stderr)
        self.exit(2, f"\n{self.prog}: error: {message}\n")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    positive = number(int, lambda n: n >= 1, "a whole number of at least 1")
    seed = number(int, lambda n: n >= 0, "a whole number of at least 0")
    parser = Parser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--hidden", type=positive, nargs="+", default=[256, 128], metavar="N", help="widths of the hidden layers"
    )
    words = "of every hidden layer; None: batchnorm (layernorm with --mpi)"
    parser.add_argument("--normalization", choices=list(NORMALIZATIONS), default=None, help=words)
    dropout = number(float, lambda p: 0 <= p < 1, "a probability of dropping in [0, 1)")
    words = "probability of dropping a unit, in [0, 1); None: 0.4 (0 with --mpi)"
    parser.add_argument("--dropout", type=dropout, default=None, metavar="P", help=words)
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), default="adam")
    rate = number(float, lambda lr: 0 < lr < float("inf"), "a positive number")
    parser.add_argument(
        "--lr", type=rate, default=None, metavar="RATE", help="learning rate; None: one that suits the optimizer"
    )
    parser.add_argument("--epochs", type=positive, default=60, metavar="N")
    parser.add_argument("--batch-size", type=positive, default=64, metavar="N", help="over all processes together")
    parser.add_argument(
        "--seed",
        type=seed,
        nargs="+",
        default=[0],
        metavar="N",
        help="of everything random; several seeds: several runs",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("digits-out"), metavar="FOLDER", help="where pictures and history go"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument(
        "--mpi", action="store_true", help="run under mpiexec: share every minibatch between the processes"
    )
    options = parser.parse_args(argv)
    if options.normalization is None:
        options.normalization = "layernorm" if options.mpi else "batchnorm"
    if options.dropout is None:
        options.dropout = 0.0 if options.mpi else 0.4
    return options


def load(seed: int) -> dict[str, tuple[Any, Any]]:
    """The scans, split 70 / 15 / 15 % and standardised with the training part's mean and deviation.

    Returns
    -------
    dict
        ``"train"``, ``"validation"``, ``"test"`` to pairs of (N, 64) float32 pixels and (N,) classes.
    """
    x, y = load_sklearn("digits")
    parts = split(x, y, (0.70, 0.15, 0.15), seed)
    scans = standardize(*(scans for scans, _ in parts))
    return dict(
        zip(("train", "validation", "test"), zip(scans, (classes for _, classes in parts), strict=True), strict=True)
    )


def network(options: argparse.Namespace, seed: int, dtype: Any = np.float32) -> nn.FullyConnectedNet:
    """The network that the flags describe."""
    return nn.FullyConnectedNet(
        options.hidden,
        input_dim=64,
        num_classes=10,
        dropout_keep_ratio=1 - options.dropout,
        normalization=NORMALIZATIONS[options.normalization],
        weight_scale=0.1,
        dtype=dtype,
        seed=seed,
    )


def compare_gradients(
    options: argparse.Namespace, seed: int, state: dict[str, Any], batch: tuple[Any, Any]
) -> tuple[float, float, int]:
    """Gradients of one training step, by the fused operations and by their composed definitions, in float64.

    Each is computed on a network of its own, made from the same seed, so that both draw the same dropout masks.

    Returns
    -------
    largest : float
        The largest absolute difference over all parameters.
    scale : float
        The largest absolute gradient.
    count : int
        How many numbers were compared.
    """

    def gradients() -> list[Any]:
        net = network(options, seed, np.float64)
        net.load_state_dict(state)
        net.train()
        net.loss(*batch).backward()
        return [p.grad for p in net.parameters()]

    fused = gradients()
    with autodiff.composed():
        composed = gradients()
    pairs = list(zip(fused, composed, strict=True))
    largest = max(float(np.abs(a - b).max()) for a, b in pairs)
    return largest, max(float(np.abs(b).max()) for _, b in pairs), sum(b.size for _, b in pairs)


def draw(options: argparse.Namespace, seed: int, state: dict[str, Any], batch: tuple[Any, Any]) -> list[Path]:
    """The graph of one training step as SVG, fused and expanded."""
    from autodiff import viz

    net = network(options, seed)
    net.load_state_dict(state)
    nn.name_parameters(net)
    net.train()
    loss = net.loss(*batch)
    loss.name = "loss"
    paths = [options.out / "graph.svg", options.out / "graph-expanded.svg"]
    for path in paths:
        viz.draw(loss, expand=path is paths[1]).save(path)
    return paths


def run(options: argparse.Namespace, seed: int, comm: Any = None, pictures: bool = False) -> float:
    """Train and test with one seed; with ``pictures`` also write everything that goes into ``--out``. Returns the test
    accuracy.
    """
    data = load(seed)
    net = network(options, seed)
    make, usual = OPTIMIZERS[options.optimizer]
    optimizer: Any = make(net.parameters(), lr=options.lr or usual)
    if comm is not None:
        optimizer = optim.DataParallel(optimizer, comm, net)
    batch_size, train = options.batch_size, data["train"]
    chief = comm is None or comm.Get_rank() == 0
    trainer = optim.Trainer(net, nn.CrossEntropyLoss(), optimizer, generator=seed, progress=chief and not options.quiet)
    started = time.perf_counter()
    history = trainer.fit(train, data["validation"], epochs=options.epochs, batch_size=batch_size)
    seconds = time.perf_counter() - started
    _, accuracy = trainer.evaluate(data["test"])
    if not chief:
        return accuracy
    count = sum(p.size for p in net.parameters())
    print(f"seed {seed}: {count:,} parameters, {len(history.loss):,} steps in {seconds:.1f} s", end=", ")
    print(f"best validation accuracy {max(history.validation_accuracy):.2%}")
    print(f"seed {seed}: test accuracy {accuracy:.2%}")
    if pictures:
        state = net.state_dict()
        batch = tuple(part[: min(batch_size, 64)] for part in train)
        history.to_csv(options.out / "history.csv")
        written = [options.out / "history.csv", options.out / "curves.png"]
        try:
            history.plot(written[1])
        except MissingExtraError as error:
            print(f"skipped {written.pop()}: {error}")
        largest, scale, numbers = compare_gradients(options, seed, state, batch)
        print(
            f"gradients, fused against composed, {numbers:,} numbers in float64: largest difference {largest:.1e}",
            end=" ",
        )
        print(f"(largest gradient {scale:.1e})")
        print("written:", *written, *draw(options, seed, state, batch))
    return accuracy


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = arguments(argv)
    try:
        options.out.mkdir(
            parents=True, exist_ok=True
        )  # before the training: a folder that cannot be made is no news for its end
        comm = require("mpi4py.MPI").COMM_WORLD if options.mpi else None
        accuracies = [run(options, seed, comm, pictures=i == 0) for i, seed in enumerate(options.seed)]
    except (AutodiffError, OSError) as error:
        if options.mpi:
            raise  # the hook of DataParallel then ends the other processes, too
        print(f"digits: {error}", file=sys.stderr)
        return 1
    if len(accuracies) > 1 and (comm is None or comm.Get_rank() == 0):
        print(
            f"test accuracy over {len(accuracies)} seeds: lowest {min(accuracies):.2%}, mean {np.mean(accuracies):.2%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
