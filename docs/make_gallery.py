"""Writes docs/gallery/: the pictures that README shows, and a page that explains them.

    python docs/make_gallery.py

Every number is computed here, from fixed seeds; nothing is drawn by hand. Needs the extras ``viz`` and ``train``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import nn
import optim
from autodiff import fused
from autodiff.viz import Graph, draw, weight_tiles
from nn import functional as F

ROOT = Path(__file__).parents[1]
TARGET = Path(__file__).with_name("gallery")


@dataclass(frozen=True)
class Picture:
    """One entry: the name of its files, what it shows, the call as a reader would write it, and which files there
    are.
    """

    name: str
    title: str
    call: str
    text: str
    make: Callable[[], Graph]
    svg: bool = True
    html: bool = False


def scalar(**options: Any) -> Graph:
    """A few operations on numbers, as in a first lecture on backpropagation."""
    return draw(lambda a, b, c: np.tanh(a * b + c) * a, 2.0, -1.0, 1.5, values=True, gradients=True, **options)


def network() -> tuple[Any, Any, Any]:
    """A two-layer network with batch normalisation and a minibatch."""
    net = nn.FullyConnectedNet(
        [5], input_dim=4, num_classes=3, normalization="batchnorm", dtype=np.float64, seed=0, weight_scale=0.5
    )
    generator = np.random.default_rng(0)
    return net, generator.normal(size=(6, 4)), generator.integers(0, 3, 6)


def mlp(**options: Any) -> Graph:
    """Its loss."""
    net, X, y = network()
    return draw(lambda: F.cross_entropy(net(X), y), names={"net": net}, **options)


def batchnorm() -> Graph:
    """Batch normalisation by hand beside its definition."""
    generator = np.random.default_rng(0)
    x, w, b, target = (
        generator.normal(size=(6, 4)),
        generator.normal(size=4),
        generator.normal(size=4),
        generator.normal(size=(6, 4)),
    )
    title = "batch normalisation, by hand and composed"
    return draw(
        lambda x, weight, bias: np.sum(fused.batch_norm(x, weight, bias) * target), x, w, b, compare=True, title=title
    )


def lstm(**options: Any) -> Graph:
    """An LSTM cell applied to eight steps of a sequence."""
    cell = nn.LSTMCell(3, 4, generator=np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=(8, 2, 3)).astype(np.float32)

    def last(x: Any) -> Any:
        state = None
        for step in range(len(x)):
            state = cell(x[step], state)
        return np.sum(state[0] ** 2)

    return draw(last, x, names={"cell": cell}, **options)


def gpt(**options: Any) -> Graph:
    """The loss of examples/gpt.py with twelve blocks."""
    sys.path.insert(0, str(ROOT / "examples"))
    spec = importlib.util.spec_from_file_location("gallery_gpt", ROOT / "examples" / "gpt.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.GPT(characters=20, length=8, width=16, heads=2, layers=12)
    codes = np.random.default_rng(0).integers(0, 20, (2, 9))
    return draw(lambda: model.loss(codes[:, :-1], codes[:, 1:]), names={"gpt": model}, **options)


def anomaly() -> Graph:
    """Where a NaN is born, and how far it spreads."""

    def risky(x: Any, w: Any) -> Any:
        distance = np.sqrt(np.sum((x - w) ** 2, axis=1))
        return np.mean(np.log(distance - 1.0) * 0.1 + np.sum(w) * 0.5)

    return draw(
        risky,
        np.array([[1.0, 2.0], [0.3, 0.4], [3.0, 1.0]]),
        np.array([0.2, 0.1]),
        values=True,
        gradients=True,
        title="a NaN is born",
    )


PICTURES = (
    Picture(
        "scalar",
        "A scalar expression",
        "draw(f, 2.0, -1.0, 1.5, values=True, gradients=True)",
        "Values and gradients in every box. On the page, *step backward* shows each gradient arrive, and what is"
        " multiplied by what.",
        lambda: scalar(title="tanh(a b + c) a"),
        html=True,
    ),
    Picture(
        "scalar-both",
        "Forward and backward, facing each other",
        'draw(f, 2.0, -1.0, 1.5, gradients=True, direction="both")',
        "The backward graph is laid out level with the forward one; beside every arrow stands the rule, read off the"
        " library's own source.",
        lambda: scalar(direction="both", title="forward and backward"),
    ),
    Picture(
        "mlp",
        "A network with batch normalisation",
        'draw(loss, names={"net": net})',
        "Modules are frames, fused operations have doubled sides, parameters carry their paths.",
        lambda: mlp(title="MLP, fused"),
    ),
    Picture(
        "mlp-expanded",
        "The same, every fused operation opened",
        'draw(loss, names={"net": net}, expand=True)',
        "Each dashed frame is the composed definition of a fused operation, with the formula of its hand-derived"
        " gradient.",
        lambda: mlp(expand=True, title="MLP, expanded"),
    ),
    Picture(
        "batchnorm-compared",
        "Derived by hand, and composed",
        "draw(f, x, weight, bias, compare=True)",
        "One operation with both gradients: in every input stand the norms of both and the largest difference between"
        " them.",
        batchnorm,
        html=True,
    ),
    Picture(
        "mlp-compared",
        "A whole network, compared",
        'draw(loss, names={"net": net}, compare=True)',
        "The same for every fused operation of the network, folded at first.",
        lambda: mlp(compare=True, title="MLP, by hand and composed"),
        svg=False,
        html=True,
    ),
    Picture(
        "lstm",
        "An LSTM over a sequence",
        'draw(last, x, names={"cell": cell})',
        "Eight calls of one cell: each is a frame, and the weights, which all of them share, stand outside.",
        lambda: lstm(fold=24, title="LSTM, eight steps"),
        html=True,
    ),
    Picture(
        "gpt",
        "A GPT, folded",
        'draw(loss, names={"gpt": model})',
        "Twelve blocks are drawn once; the dashed arrow runs from each to the next. On the page any of the twelve can"
        " be shown, or all.",
        lambda: gpt(title="GPT, twelve blocks"),
        html=True,
    ),
    Picture(
        "anomaly",
        "A NaN in red",
        "draw(risky, x, w, values=True, gradients=True)",
        "The box where it is born says so, and everything that it spoils is red. What is not finite in a gradient is"
        " marked likewise.",
        anomaly,
    ),
)


def tiles(path: Path) -> None:
    """The first layer of a network after a few hundred steps on scikit-learn's scanned digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    X = (digits.data / 16.0).astype(np.float32)
    net = nn.FullyConnectedNet([24], input_dim=64, num_classes=10, seed=0)
    optimizer = optim.Adam(net.parameters(), lr=3e-3, weight_decay=1e-3)
    generator = np.random.default_rng(0)
    for _ in range(400):
        rows = generator.integers(0, len(X), 64)
        optimizer.zero_grad()
        net.loss(X[rows], digits.target[rows]).backward()
        optimizer.step()
    weight_tiles(net.affine1.weight, path=path)


def page() -> str:
    """docs/gallery/README.md."""
    parts = [
        "# Gallery\n",
        (
            "Made by `python docs/make_gallery.py`. The `.html` files are interactive and need no network: download one"
            " and open it in a browser."
        ),
        "Click folds and opens, `/` searches, `b` steps through the backward pass, `?` lists all keys.\n",
    ]
    for picture in PICTURES:
        parts += [f"## {picture.title}\n", f"```python\n{picture.call}\n```\n", picture.text + "\n"]
        if picture.html:
            step = "#step=1" if picture.name == "scalar" else ""
            parts.append(f"Interactive: [{picture.name}.html]({picture.name}.html{step})\n")
        if picture.svg:
            parts.append(f"![{picture.title}]({picture.name}.svg)\n")
    parts += [
        "## What a first layer looks for\n",
        "```python\nweight_tiles(net.affine1.weight)\n```\n",
        "Weights of 24 units after 400 steps on 8x8 scanned digits; blue is negative, red positive.\n",
        "![first-layer weights](weights.png)\n",
    ]
    return "\n".join(parts)


def main(argv: list[str] | None = None) -> None:
    """Write everything, or the pictures that are named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(p.name for p in PICTURES)}; all unless given")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        if options.names and picture.name not in options.names:
            continue
        graph = picture.make()
        for suffix, wanted in (("svg", picture.svg), ("html", picture.html)):
            if wanted:
                path = graph.save(options.out / f"{picture.name}.{suffix}")
                print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB, {graph!r}")
    if not options.names:
        tiles(options.out / "weights.png")
        (options.out / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
