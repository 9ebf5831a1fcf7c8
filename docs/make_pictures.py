"""Writes docs/pictures.md: the same three programs drawn by us and by the tools that draw PyTorch's graphs.

    PYTHONPATH=. python docs/make_pictures.py

Needs PyTorch, torchviz, torchview, tensorboard, onnx, netron and tinygrad, and Chromium with chromedriver. Boxes are
counted in what each tool writes or, of Netron, in the page that it shows; nothing is judged by eye.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netron
import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter
from torchview import draw_graph
from torchviz import make_dot

import nn
from autodiff.viz import draw

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "viz"))
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


def opened(path: Path, port: int) -> int:
    """The boxes that Netron shows of a file, once it has laid it out in a browser."""
    from test_viz_html import Browser

    address = ("127.0.0.1", port)
    netron.serve(str(path), None, address=address)
    browser = Browser(path.parent)
    try:
        browser.send("POST", "/url", {"url": f"http://127.0.0.1:{port}"})
        for _ in range(120):
            # The first visit asks for cookies.
            browser.script("document.getElementById('message-button')?.click()")
            if browser.script("return document.body.className") == "default":
                break
            time.sleep(0.5)
        return int(browser.script("return document.querySelectorAll('.graph-node').length"))
    finally:
        browser.close()
        netron.stop(address)


TINYGRAD = """
import json, sys, time
start = time.perf_counter()
from tinygrad import Tensor, nn
from tinygrad.uop import ops
from tinygrad.viz import serve

class Block:
    def __init__(self):
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.one, self.two, self.a, self.b = nn.LayerNorm(16), nn.LayerNorm(16), nn.Linear(16, 32), nn.Linear(32, 16)

    def __call__(self, x):
        heads = lambda y: y.reshape(2, 8, 2, 8).transpose(1, 2)
        y = heads(self.q(x)).scaled_dot_product_attention(heads(self.k(x)), heads(self.v(x)))
        x = self.one(x + self.o(y.transpose(1, 2).reshape(2, 8, 16)))
        return self.two(x + self.b(self.a(x).relu()))

class Model:
    def __init__(self, which):
        self.which = which
        self.parts = [
            lambda: [nn.Linear(784, 100), nn.BatchNorm(100), nn.Linear(100, 10)],
            lambda: [nn.LSTMCell(3, 4)],
            lambda: [nn.Embedding(20, 16), *(Block() for _ in range(12)), nn.Linear(16, 20)],
        ][which]()

    def __call__(self):
        parts = self.parts
        if self.which == 0:
            return parts[2](parts[1](parts[0](Tensor.ones(8, 784))).relu())
        if self.which == 1:
            x, state = Tensor.ones(20, 2, 3), None
            for t in range(20):
                state = parts[0](x[t], state)
            return (state[0] ** 2).sum()
        x = Tensor.zeros(2, 8, dtype="int")
        for part in parts:
            x = part(x)
        return x.logsumexp(-1).sum()

Tensor.training = True
model = Model(int(sys.argv[1]))
Tensor.realize(*nn.state.get_parameters(model))
out = model()
start = time.perf_counter()
out.schedule_linear()
views = [r for group in ops.tracked_ctxs for r in group if r.name == "View Tensor Graph"]
data = serve.VizData(ops.RewriteTrace(ops.tracked_keys, ops.tracked_ctxs, ops.uop_fields))
graph = next(serve.get_full_rewrite(data, views[-1]))["graph"]
shown = [node for node in graph.values() if not node["exclude"]]
print(json.dumps([len(shown), len(json.dumps(shown)), time.perf_counter() - start]))
"""


def tinygrad_row(which: int) -> str:
    """What tinygrad's viewer would show of the tensor graph, by the function with which it answers its page."""
    env = {**os.environ, "VIZ": "1", "DEV": "NULL"}
    command = [sys.executable, "-c", TINYGRAD, str(which)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    found = next(line for line in done.stdout.splitlines() if line.startswith("["))
    return row("tinygrad's viewer, JSON for its page", *json.loads(found))


def tables() -> list[str]:
    """One table a program."""
    lines: list[str] = []
    for which, (title, (model, x), (net, array)) in enumerate(zip(PROGRAMS, theirs(), ours(), strict=True)):
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
            path = Path(folder) / "model.onnx"
            _, seconds = timed(
                lambda model=model, x=x, path=path: torch.onnx.export(model.eval(), (x,), str(path), dynamo=False)
            )
            size = path.stat().st_size
            boxes, more = timed(lambda path=path, which=which: opened(path, 8100 + which))
            lines.append(row("Netron, ONNX file, weights included", boxes, size, seconds + more))
        lines.append(tinygrad_row(which))
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

`python docs/make_pictures.py` draws three programs with this library and, written anew in PyTorch or tinygrad, with the
tools that draw such graphs, and counts what each writes. Netron's boxes are counted in the page that it shows in
Chromium, and its time holds the export, the start of the browser and the layout; tinygrad's are those that its viewer
sends to its page for the tensor graph.

What each tool shows, as found in what it wrote for these programs:

| | ours | torchviz | torchview | TensorBoard | Netron | tinygrad's viewer |
|---|---|---|---|---|---|---|
| forward operations | yes | backward nodes only | yes | yes | yes, as ONNX has them | yes, and each rewrite of them |
| shapes | yes | of parameters | yes | yes | of weights, inputs, outputs | yes |
| modules as boxes or frames | yes | no | yes | yes | no | no |
| repeated blocks drawn once | yes | no | yes, of one module | no | no | no |
| values of weights | yes | no | no | no | yes, as numbers | no |
| activations, gradients, heat maps | yes | no | no | no | no | no |
| the rule of each gradient, with numbers | yes | no | no | no | no | no |
| time of each operation | yes | no | no | no | no | yes |
| one file that opens offline | yes | with Graphviz | with Graphviz | no, a server | in its application | no, a server |
| layout without a system package | yes | no | no | yes | yes | yes |
"""


def main() -> None:
    warnings.simplefilter("ignore")
    text = HEAD + "\n".join(tables()) + "\n\nTimes are of one run, for orientation.\n"
    (ROOT / "docs" / "pictures.md").write_text(text)


if __name__ == "__main__":
    main()
