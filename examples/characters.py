"""What the character-level examples share: a text, its characters as integers, the losses that any model must beat,
learning, and sampling.

The text is the one that Python's own ``help()`` shows on its language (the standard module ``pydoc_data.topics``), so
there is nothing to download.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pydoc_data.topics import topics
from typing import Any

import numpy as np

import optim

_PLAIN = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."}


class Text:
    """A text in two parts, each character an index into ``characters``.

    Attributes
    ----------
    characters : str
        All that occur, sorted.
    train, validation : ndarray of int
        The first nine tenths, and the rest.
    """

    def __init__(self, text: str) -> None:
        self.characters = "".join(sorted(set(text)))
        codes = self.encode(text)
        cut = int(0.9 * len(codes))
        self.train, self.validation = codes[:cut], codes[cut:]

    def encode(self, text: str) -> np.ndarray:
        """Characters as indices."""
        place = {character: i for i, character in enumerate(self.characters)}
        return np.array([place[character] for character in text])

    def decode(self, codes: Any) -> str:
        """Indices as characters."""
        return "".join(self.characters[int(i)] for i in codes)


def python_help() -> Text:
    """The language reference that ``help()`` shows, in plain ASCII; topics in an order that is shuffled once and for
    all.
    """
    names = sorted(topics)
    np.random.default_rng(0).shuffle(names)
    text = "\n\n".join(topics[name].strip() for name in names)
    for fancy, plain in _PLAIN.items():
        text = text.replace(fancy, plain)
    return Text("".join(c for c in text if c == "\n" or " " <= c <= "~"))


def baselines(text: Text) -> dict[str, float]:
    """Validation loss in nats per character of knowing how often characters occur (unigram), and how often one follows
    another (bigram).

    Both counted on the training part, plus one for every character or pair.
    """
    size = len(text.characters)
    train, validation = text.train, text.validation
    single = np.bincount(train, minlength=size) + 1.0
    pairs = np.bincount(train[:-1] * size + train[1:], minlength=size * size).reshape(size, size) + 1.0
    pairs /= pairs.sum(axis=1, keepdims=True)
    return {
        "unigram": float(-np.log(single / single.sum())[validation].mean()),
        "bigram": float(-np.log(pairs[validation[:-1], validation[1:]]).mean()),
    }


def batches(
    codes: np.ndarray, count: int, length: int, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Without end: ``count`` random stretches (count, length), and the character that follows each of theirs."""
    while True:
        starts = generator.integers(0, len(codes) - length, count)
        window = codes[starts[:, None] + np.arange(length + 1)]
        yield window[:, :-1], window[:, 1:]


def stretches(codes: np.ndarray, length: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most ``most`` stretches spread evenly over ``codes``, and the characters that follow: for evaluation."""
    starts = np.linspace(0, len(codes) - length - 1, min(most, len(codes) // length)).astype(int)
    window = codes[starts[:, None] + np.arange(length + 1)]
    return window[:, :-1], window[:, 1:]


def pick(scores: np.ndarray, generator: np.random.Generator, temperature: float = 1.0, top_k: int | None = None) -> int:
    """Draw a character from ``softmax(scores / temperature)``, among the ``top_k`` likeliest only.

    A low temperature makes what is likely likelier; 0 always takes the likeliest.
    """
    if temperature == 0:
        return int(np.argmax(scores))
    scores = scores.astype(np.float64) / temperature
    if top_k is not None and top_k < scores.size:
        scores = np.where(scores < np.sort(scores)[-top_k], -np.inf, scores)
    shares = np.exp(scores - scores.max())
    return int(generator.choice(scores.size, p=shares / shares.sum()))


def largest_difference(gradients: Callable[[], list[np.ndarray]]) -> float:
    """Between the gradients by hand-derived operations and those of the same computation composed of elementary
    ones.
    """
    import autodiff

    fused = gradients()
    with autodiff.composed():
        composed = gradients()
    return max(float(np.abs(a - b).max()) for a, b in zip(fused, composed, strict=True))


def plot(
    path: Any, losses: list[float], validation: list[tuple[int, float]], known: dict[str, float], title: str
) -> None:
    """Training loss per step, validation loss, and the losses of the baselines as lines."""
    from autodiff.extras import require

    plt = require("matplotlib.pyplot")
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot(losses, color="0.75", linewidth=0.8, label="training")
    axes.plot(*zip(*validation, strict=True), marker="o", markersize=3, label="validation")
    for (name, value), style in zip(known.items(), (":", "--"), strict=True):
        axes.axhline(value, color="k", linestyle=style, linewidth=0.8, label=f"{name} {value:.2f}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per character)")
    axes.set_title(title)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def learn(
    model: Any,
    optimizer: Any,
    schedule: Any,
    drawn: Iterator[tuple[np.ndarray, np.ndarray]],
    steps: int,
    validation: Callable[[], float],
    known: dict[str, float],
) -> tuple[list[float], list[tuple[int, float]]]:
    """Train ``model`` on ``steps`` of the ``drawn`` pairs, printing on the way; the losses, and (step, validation loss)
    ten times.
    """
    losses: list[float] = []
    curve = [(0, validation())]
    started = time.perf_counter()
    for step, (codes, following) in zip(range(1, steps + 1), drawn, strict=False):
        optimizer.zero_grad()
        loss = model.loss(codes, following)
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.item()))
        if step % max(steps // 10, 1) == 0 or step == steps:
            curve.append((step, validation()))
            print(
                f"step {step:4}: training loss {np.mean(losses[-50:]):.3f}, validation loss {curve[-1][1]:.3f}",
                flush=True,
            )
    seconds = time.perf_counter() - started
    print(f"{steps} steps in {seconds:.1f} s")
    print(
        f"validation loss {curve[0][1]:.3f} -> {curve[-1][1]:.3f} nats per character; unigram {known['unigram']:.3f},"
        f" bigram {known['bigram']:.3f}"
    )
    return losses, curve


def conclude(
    path: Any, losses: list[float], curve: list[tuple[int, float]], known: dict[str, float], title: str, goal: str
) -> int:
    """Draw the figure and tell whether the loss has come below the ``goal``, a name in ``known``; the exit status."""
    plot(path, losses, curve, known, title)
    print(f"\nwritten: {path}")
    after = curve[-1][1]
    if not after < known[goal]:
        print(f"{path.stem}: loss {after:.3f} has not come below {known[goal]:.3f}; more --steps?", file=sys.stderr)
        return 1
    return 0
