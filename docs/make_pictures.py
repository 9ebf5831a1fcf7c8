"""Writes docs/pictures.md: the same three programs drawn by us and by the tools that draw PyTorch's graphs.

    PYTHONPATH=. python docs/make_pictures.py

Needs the extra ``viz``, PyTorch, torchviz, torchview and tensorboard. Boxes are counted in what each tool writes;
nothing is judged by eye.
"""

from __future__ import annotations

import re
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter
from torchview import draw_graph
from torchviz import make_dot

import nn
from autodiff.viz import draw

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("MLP, 784-100-10 with batch norm", "LSTM cell, 20 steps", "GPT, 12 blocks")


class Cells(torch.nn.Module):
    """Twenty steps of one cell."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = torch.nn.LSTMCell(3, 4)

    def forward(self, x: Any) -> Any:
        h = c = torch.zeros(2, 4)
        for step in x:
            h, c = self.cell(step, (h, c))
        return h.pow(2).sum()


class Language(torch.nn.Module):
    """Embedding, twelve encoder layers, head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(20, 16)
        layer = lambda: torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
        self.blocks = torch.nn.ModuleList([layer() for _ in range(12)])
        self.head = torch.nn.Linear(16, 20)

    def forward(self, tokens: Any) -> Any:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x).logsumexp(-1).sum()


def theirs() -> list[tuple[Any, Any]]:
    """The programs in PyTorch, each with its input."""
    layers = torch.nn.Linear(784, 100), torch.nn.BatchNorm1d(100), torch.nn.ReLU(), torch.nn.Linear(100, 10)
    return [
        (torch.nn.Sequential(*layers), torch.ones(8, 784)),
        (Cells(), torch.ones(20, 2, 3)),
        (Language(), torch.zeros(2, 8, dtype=torch.long)),
    ]


class OurCells(nn.Module):
    """Twenty steps of one cell."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(3, 4)

    def forward(self, x: Any) -> Any:
        state = None
        for step in x:
            state = self.cell(step, state)
        assert state is not None
        return np.sum(state[0] ** 2)


class OurLanguage(nn.Module):
    """Embedding, twelve encoder layers, head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.blocks = nn.ModuleList([nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0) for _ in range(12)])
        self.head = nn.Linear(16, 20)

    def forward(self, tokens: Any) -> Any:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return np.sum(np.exp(self.head(x)))


def ours() -> list[tuple[Any, Any]]:
    """The programs in this library."""
    return [
        (nn.Sequential(nn.Linear(784, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10)), np.ones((8, 784))),
        (OurCells(), np.ones((20, 2, 3))),
        (OurLanguage(), np.zeros((2, 8), np.int64)),
    ]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work returns, and the seconds that it took."""
    start = time.perf_counter()
    found = work()
    return found, time.perf_counter() - start


def row(name: str, boxes: Any, size: int, seconds: float) -> str:
    return f"| {name} | {boxes} | {size / 1e3:.0f} kB | {seconds:.2f} s |"


def tables() -> list[str]:
    """One table a program."""
    lines: list[str] = []
    for title, (model, x), (net, array) in zip(PROGRAMS, theirs(), ours(), strict=True):
        lines += ["", f"## {title}", "", "| tool | boxes at first sight | written | time |", "|---|---|---|---|"]
        graph, seconds = timed(lambda net=net, array=array: draw(net, array, values=True, gradients=True))
        page, more = timed(lambda graph=graph: graph.html)
        lines.append(
            row("ours, page with values and gradients", len(graph.view.visible().nodes), len(page), seconds + more)
        )
        modules, seconds = timed(lambda net=net, array=array: draw(net, array, level="modules"))
        svg, more = timed(lambda modules=modules: modules.svg)
        lines.append(row('ours, `level="modules"`, SVG', len(modules.view.visible().nodes), len(svg), seconds + more))
        dot, seconds = timed(lambda model=model, x=x: make_dot(model(x), params=dict(model.named_parameters())).source)
        lines.append(row("torchviz, DOT text", len(re.findall(r"^\s*\d+ \[", dot, re.M)), len(dot), seconds))
        dot, seconds = timed(
            lambda model=model, x=x: draw_graph(model, input_data=x, expand_nested=True).visual_graph.source
        )
        lines.append(row("torchview, DOT text", len(re.findall(r"<TABLE", dot)), len(dot), seconds))
        with tempfile.TemporaryDirectory() as folder:
            writer = SummaryWriter(folder)
            try:
                _, seconds = timed(lambda writer=writer, model=model, x=x: writer.add_graph(model, x))
            except Exception as error:
                lines.append(f"| TensorBoard, event file | `add_graph` raises {type(error).__name__} | | |")
                continue
            finally:
                writer.close()
            size = sum(path.stat().st_size for path in Path(folder).iterdir())
            lines.append(row("TensorBoard, event file", "drawn by its server", size, seconds))
    return lines


HEAD = """# Pictures, beside other tools

`python docs/make_pictures.py` draws three programs with this library and, written anew in PyTorch, with the tools that
draw PyTorch's graphs, and counts what each writes. Netron and tinygrad's viewer are servers without a file to count;
they are left out of the tables.

What each tool shows, as found in what it wrote for these programs:

| | ours | torchviz | torchview | TensorBoard |
|---|---|---|---|---|
| forward operations | yes | backward nodes only | yes | yes |
| shapes | yes | of parameters | yes | yes |
| modules as boxes or frames | yes | no | yes | yes |
| repeated blocks drawn once | yes | no | yes, of one module | no |
| values, gradients, heat maps | yes | no | no | no |
| the rule of each gradient, with numbers | yes | no | no | no |
| one file that opens offline | yes | with Graphviz | with Graphviz | no, a server |
| layout without a system package | yes | no | no | yes |
"""


def main() -> None:
    warnings.simplefilter("ignore")
    text = HEAD + "\n".join(tables()) + "\n\nTimes are of one run, for orientation.\n"
    (ROOT / "docs" / "pictures.md").write_text(text)


if __name__ == "__main__":
    main()
