"""A small GPT learns to write like Python's own help texts.

    python examples/gpt.py

reads half a million characters of the language reference (no download: ``help()`` shows the same text), learns for
about a minute to foretell the next character, and writes ``--out``/gpt.png. What makes it a GPT (Radford et al. 2019)
is all here: causal self-attention in blocks with the normalisation first, one matrix for embedding and scores, initial
weights of deviation 0.02, those that write into the residual stream 0.02 / sqrt(2 layers); AdamW that decays matrices
only; learning rate warmed up, then lowered along a cosine; clipped gradients; sampling by temperature among the
likeliest.

It prints the loss before and after beside those of two baselines (how often characters occur; how often one follows
another), a sample of its writing, the largest difference between the gradients of the hand-derived operations and those
of the same network composed of elementary ones, and that no score depends on a later character. It fails (exit status
1) if a check fails or it has not beaten the baseline. ``--quick`` takes seconds: a smaller network, fewer steps, and
only the weaker baseline to beat.
"""

from __future__ import annotations

import argparse
import math
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


def gelu(x: Any) -> Any:
    """GPT-2's activation: the approximation by tanh, quicker than the exact one."""
    return F.gelu(x, approximate="tanh")


class GPT(nn.Module):
    """Token and position embeddings, pre-norm blocks, scores by the token embedding itself.

    Parameters
    ----------
    characters, length, width, heads, layers : int
        ``length`` is the longest context.
    positions : {"learned", "sinusoidal"}
    """

    def __init__(
        self,
        characters: int,
        length: int,
        width: int,
        heads: int,
        layers: int,
        dropout: float = 0.0,
        positions: str = "learned",
        dtype: Any = np.float32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        generator = np.random.default_rng(seed)
        self.length = length
        self.tokens = nn.Embedding(characters, width, dtype=dtype, generator=generator)
        if positions == "learned":
            self.positions = nn.Parameter(np.zeros((length, width), dtype))
        else:
            self.register_buffer(
                "positions", autodiff.Tensor(0.1 * nn.sinusoidal_positions(length, width, dtype=dtype))
            )
        block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, gelu, batch_first=True, norm_first=True, dtype=dtype, generator=generator
        )
        self.blocks = nn.TransformerEncoder(block, layers, nn.LayerNorm(width, dtype=dtype))
        for name, parameter in self.named_parameters():
            if name.endswith(("out_proj.weight", "linear2.weight")):
                # Each block adds to the residual stream twice: this keeps the sum's deviation what it would be with
                # one.
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers), generator=generator)
            elif parameter.ndim >= 2:
                nn.init.normal_(parameter, std=0.02, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, codes: Any) -> Any:
        """(N, T) indices -> (N, T, characters) scores of the character that follows each."""
        x = self.tokens(codes) + self.positions[: np.shape(codes)[1]]
        return F.linear(self.blocks(x, is_causal=True), self.tokens.weight)

    def loss(self, codes: Any, following: Any) -> Any:
        """Mean cross-entropy, in nats per character."""
        scores = self(codes)
        return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), following.reshape(-1))

    def generate(
        self, codes: list[int], count: int, temperature: float, top_k: int | None, generator: np.random.Generator
    ) -> list[int]:
        """``codes`` and ``count`` more, each drawn given the ones before."""
        codes = list(codes)
        with autodiff.no_grad():
            for _ in range(count):
                scores = self(np.array([codes[-self.length :]])).data[0, -1]
                codes.append(pick(scores, generator, temperature, top_k))
        return codes


def optimizer_of(model: nn.Module, lr: float, weight_decay: float) -> optim.AdamW:
    """AdamW that shrinks matrices, not biases and normalisations: there is nothing in those to keep small."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    return optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=lr,
        betas=(0.9, 0.99),
    )


def looks_ahead(model: GPT, codes: Any) -> bool:
    """Whether any score depends on a later character: by the gradients of all scores at one place with respect to all
    embeddings.
    """
    embedded = autodiff.tensor(model.tokens(codes).data, requires_grad=True)
    place = codes.shape[1] // 2
    (model.blocks(embedded, is_causal=True)[:, place] ** 2).sum().backward()
    return bool(embedded.grad[:, place + 1 :].any()) or not embedded.grad[:, : place + 1].any()


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds: a smaller network, fewer steps")
    parser.add_argument("--steps", type=int, default=None, help="None: 500, or 80 with --quick")
    parser.add_argument("--positions", choices=("learned", "sinusoidal"), default="learned")
    parser.add_argument("--dropout", type=float, default=0.0, help="probability; this text is long enough for none")
    parser.add_argument("--temperature", type=float, default=0.8, help="of the sample; lower is more careful")
    parser.add_argument("--top-k", type=int, default=20, help="draw among so many likeliest characters")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("sequences-out"), metavar="FOLDER", help="where the figure goes"
    )
    options = parser.parse_args(argv)
    if options.steps is None:
        options.steps = 80 if options.quick else 500
    if options.steps < 1 or options.temperature < 0 or options.top_k < 1:
        parser.error("--steps and --top-k take a positive number, --temperature one that is not negative")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = arguments(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    text = python_help()
    known = baselines(text)
    size = len(text.characters)
    length, width, heads, layers, count = (32, 32, 2, 2, 16) if options.quick else (64, 96, 4, 3, 32)
    model = GPT(size, length, width, heads, layers, options.dropout, options.positions, seed=options.seed)
    evaluation = stretches(text.validation, length, 32 if options.quick else 64)

    def validation() -> float:
        model.eval()
        with autodiff.no_grad():
            loss = float(model.loss(*evaluation).item())
        model.train()
        return loss

    def gradients() -> list[Any]:
        wide = GPT(size, length, 8, 2, 2, positions=options.positions, dtype=np.float64, seed=options.seed)
        wide.loss(*(part[:2, :12] for part in evaluation)).backward()
        return [p.grad for p in wide.parameters()]

    print(
        f"{len(text.train):,} characters to learn from, {size} different; {sum(p.size for p in model.parameters()):,}"
        " parameters"
    )
    print(f"gradients, hand-derived against composed: largest difference {largest_difference(gradients):.1e}")
    if looks_ahead(model, evaluation[0][:2]):
        print("gpt: a score depends on a later character", file=sys.stderr)
        return 1
    print("no score depends on a later character")
    warm = max(options.steps // 20, 1)
    optimizer = optimizer_of(model, lr=3e-3, weight_decay=0.1)
    schedule = optim.SequentialLR(
        optimizer,
        [
            optim.LinearLR(optimizer, 0.1, total_iters=warm),
            optim.CosineAnnealingLR(optimizer, max(options.steps - warm, 1), eta_min=3e-4),
        ],
        milestones=[warm],
    )
    generator = np.random.default_rng(options.seed)
    drawn = batches(text.train, count, length, generator)
    losses, curve = learn(model, optimizer, schedule, drawn, options.steps, validation, known)
    print(f"sample at temperature {options.temperature} among the {options.top_k} likeliest:\n")
    model.eval()
    start = list(text.encode("The "))
    print(
        text.decode(model.generate(start, 100 if options.quick else 400, options.temperature, options.top_k, generator))
    )
    goal = "unigram" if options.quick else "bigram"
    return conclude(options.out / "gpt.png", losses, curve, known, "Small GPT on Python's help texts", goal)


if __name__ == "__main__":
    sys.exit(main())
