"""Writes docs/derivations.md: the derivation of every fused gradient as mathematics, each term with its shape.

    python docs/make_derivations.py

The table of autodiff/viz/derivations.py is the one source: pages of pictures and the reference show the same, and
tests/viz/test_viz_derivations.py evaluates every line on numbers.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import nn
from autodiff.core.op import registry
from autodiff.viz.derivations import DERIVATIONS, derivation_of, shape_of
from autodiff.viz.formulas import typeset

__all__ = ["as_mathml", "page", "sections"]

TARGET = Path(__file__).with_name("derivations.md")
assert nn.__doc__  # its operations are registered
HEADINGS = {
    "value": "Value",
    "forth": "At each time, first to last",
    "back": "At each time, last to first",
    "gradient": "Gradient",
}
HEAD = """# Derivations

The gradient of every fused operation, derived by hand: each term with its shape, and the path that it stands for. Here
$g$ is what arrived at the result, and $dx$ is what $x$ receives. Indices have names, as on paper: $w$ of shape C times
$x$ of shape N×C×P is multiplied channel by channel, and $\\sum_{n, p} g$ sums over examples and positions. A subscript
number marks the part of a gradient that one path makes.

`tests/viz/test_viz_derivations.py` evaluates every line on numbers: values are the operation's, and gradients are what
its hand-derived backward sends. Pages of pictures show the same beside the box of the operation, and the
reference beside its docstring. This page is written by `python docs/make_derivations.py`.
"""


def as_mathml() -> dict[str, str]:
    """Every formula of the page, LaTeX to MathML, which browsers draw without a script."""
    rows = [row for name in DERIVATIONS for row in derivation_of(name).rows]
    return (
        {row.equation(latex=True): f"<math>{row.equation()}</math>" for row in rows}
        | {symbol: f"<math>{typeset(symbol)}</math>" for symbol in ("g", "dx", "x", "w")}
        | {r"\sum_{n, p} g": f"<math>{typeset(['sum', 'g', 'n', 'p'])}</math>"}
    )


def sections(name: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The sections of a derivation: a heading, and LaTeX, shape and words of each line."""
    rows = derivation_of(name).rows
    found = dict.fromkeys(row.section for row in rows)
    return [
        (
            HEADINGS[section],
            [(row.equation(latex=True), row.shape, row.words) for row in rows if row.section == section],
        )
        for section in found
    ]


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name in sorted(DERIVATIONS):
        derivation = derivation_of(name)
        summary = " ".join((inspect.getdoc(registry[name].composed) or "").partition("\n\n")[0].split())
        given = ", ".join(
            f"{symbol} ({shape_of(axes)}{f', {word}' if word and word != symbol else ''})"
            for symbol, (axes, word) in derivation.given.items()
        )
        parts.append(
            f"## {name}\n\n{summary}\n\nGiven: {given}.{f' {derivation.words}.' if derivation.words else ''}\n"
        )
        for heading, rows in sections(name):
            parts.append(f"| {heading} | shape | |\n|---|---|---|")
            parts.extend(f"| ${latex}$ | {shape} | {words} |" for latex, shape, words in rows)
            parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(page())
