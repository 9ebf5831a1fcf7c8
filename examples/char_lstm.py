"""A character-level LSTM learns to write like Python's own help texts.

    python examples/char_lstm.py

reads half a million characters of the language reference (no download: ``help()`` shows the same text), learns for
about a minute to foretell the next character, and writes ``--out``/char_lstm.png. It prints the loss before and after
beside those of two baselines (how often characters occur; how often one follows another), a sample of its writing, and
the largest difference between the gradients of the hand-derived LSTM and those of the same network composed of
elementary operations. It fails (exit status 1) if it has not beaten the baseline. ``--quick`` takes seconds: a smaller
network, fewer steps, and only the weaker baseline to beat.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from characters import baselines, batches, conclude, largest_difference, learn, pick, python_help, stretches

import autodiff
import nn
import optim
from nn import functional as F


class CharLSTM(nn.Module):
    """Embedding, LSTM, scores for the next character."""

    def __init__(
        self, characters: int, width: int, hidden: int, layers: int, dtype: Any = np.float32, seed: int = 0
    ) -> None:
        super().__init__()
        generator = np.random.default_rng(seed)
        self.embedding = nn.Embedding(characters, width, dtype=dtype, generator=generator)
        self.lstm = nn.LSTM(width, hidden, layers, batch_first=True, dtype=dtype, generator=generator)
        self.scores = nn.Linear(hidden, characters, dtype=dtype, generator=generator)

    def forward(self, codes: Any, state: Any = None) -> tuple[Any, Any]:
        """(N, T) indices -> (N, T, characters) scores, and the state after the last one."""
        out, state = self.lstm(self.embedding(codes), state)
        return self.scores(out), state

    def loss(self, codes: Any, following: Any) -> Any:
        """Mean cross-entropy, in nats per character."""
        scores, _ = self(codes)
        return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), following.reshape(-1))


def write(
    model: CharLSTM, text: Any, start: str, count: int, temperature: float, generator: np.random.Generator
) -> str:
    """``start`` continued by ``count`` characters, each drawn and fed back together with the state."""
    with autodiff.no_grad():
        scores, state = model(text.encode(start)[None])
        written = list(start)
        for _ in range(count):
            code = pick(scores.data[0, -1], generator, temperature)
            written.append(text.characters[code])
            scores, state = model(np.array([[code]]), state)
    return "".join(written)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds: a smaller network, fewer steps")
    parser.add_argument("--steps", type=int, default=None, help="None: 500, or 120 with --quick")
    parser.add_argument("--temperature", type=float, default=0.7, help="of the sample; lower is more careful")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("sequences-out"), metavar="FOLDER", help="where the figure goes"
    )
    options = parser.parse_args(argv)
    if options.steps is None:
        options.steps = 120 if options.quick else 500
    if options.steps < 1 or options.temperature < 0:
        parser.error("--steps takes a positive number, --temperature one that is not negative")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = arguments(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    text = python_help()
    known = baselines(text)
    width, hidden, layers, length, count = (16, 64, 1, 32, 16) if options.quick else (32, 192, 1, 64, 32)
    model = CharLSTM(len(text.characters), width, hidden, layers, seed=options.seed)
    evaluation = stretches(text.validation, length, 32 if options.quick else 64)

    def validation() -> float:
        with autodiff.no_grad():
            return float(model.loss(*evaluation).item())

    def gradients() -> list[Any]:
        wide = CharLSTM(len(text.characters), 5, 7, 2, dtype=np.float64, seed=options.seed)
        wide.loss(*(part[:2, :12] for part in evaluation)).backward()
        return [p.grad for p in wide.parameters()]

    print(
        f"{len(text.train):,} characters to learn from, {len(text.characters)} different;"
        f" {sum(p.size for p in model.parameters()):,} parameters"
    )
    print(f"gradients, hand-derived against composed: largest difference {largest_difference(gradients):.1e}")
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    schedule = optim.CosineAnnealingLR(optimizer, options.steps, eta_min=5e-4)
    generator = np.random.default_rng(options.seed)
    drawn = batches(text.train, count, length, generator)
    losses, curve = learn(model, optimizer, schedule, drawn, options.steps, validation, known)
    print(f"sample at temperature {options.temperature}:\n")
    print(write(model, text, "The ", 100 if options.quick else 400, options.temperature, generator))
    goal = "unigram" if options.quick else "bigram"
    return conclude(
        options.out / "char_lstm.png", losses, curve, known, "Character-level LSTM on Python's help texts", goal
    )


if __name__ == "__main__":
    sys.exit(main())
