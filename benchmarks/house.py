"""The house before and after, in numbers: ``python -m benchmarks.house TREE`` with another checkout of this repository.

Writes the tables of docs/house.md: lines of each room, Python calls that one operation makes on its way forward and
back, and ratios of CPU times of fresh processes that run by turns, of which the least counts.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.compiled import put, table

HERE = Path(__file__).parents[1]
PAGE = HERE / "docs" / "house.md"
ROUNDS = 3
_COMPILED = Path(tempfile.gettempdir()) / "benchmarks.house"  # byte code, so that imports do not compile

_CALLS = """
import sys, json, contextlib, numpy as np, autodiff as ad
x = ad.tensor([0.5], requires_grad=True); seed = np.ones(1)
def count(act):
    act(); act(); calls = []
    sys.setprofile(lambda frame, event, arg: calls.append(frame.f_code.co_name) if event == "call" else None)
    act(); sys.setprofile(None)
    return len(calls) - 1
found = {}
for name, mode in (("ordinary", contextlib.nullcontext), ("plain", getattr(ad, "plain", None))):
    if mode is not None:
        with mode():
            forward = count(lambda: ad.tanh(x))
            def both(): ad.tanh(x).backward(seed); x.grad = None
            found[name] = [forward, count(both) - forward]
print(json.dumps(found))
"""

_TIMES = """
import json, time, numpy as np, autodiff as ad, nn, optim
from nn import functional as F
def timed(act, seconds=0.1):
    for _ in range(20): act()
    start = time.process_time(); act(); number = max(1, int(seconds / 10 / max(1e-7, time.process_time() - start)))
    times = []
    for _ in range(10):
        start = time.process_time()
        for _ in range(number): act()
        times.append((time.process_time() - start) / number)
    return min(times)
rng = np.random.default_rng(0)
one, w, b = (ad.tensor([v], requires_grad=True) for v in (0.5, 0.9, 0.1)); seed = np.ones(1)
def element():
    h = one
    for _ in range(10): h = np.tanh(h * w + b)
    h.backward(seed); one.grad = w.grad = b.grad = None
scalar = ad.tensor(0.3, requires_grad=True)
def chain():
    t = scalar
    for _ in range(50): t = t * 1.01 + 0.5
    t.backward(); scalar.grad = None
def net(sizes, batch, norm, optimizer):
    layers = []
    for n, m in zip(sizes, sizes[1:]): layers += [nn.Linear(n, m), *([nn.BatchNorm1d(m)] if norm else []), nn.ReLU()]
    model = nn.Sequential(*layers[:-1]); steps = optimizer(model.parameters(), lr=1e-3)
    x, y = rng.normal(size=(batch, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], batch)
    def step():
        steps.zero_grad(); F.cross_entropy(model(x), y).backward(); steps.step()
    return step
many = ad.tensor(rng.normal(size=65536).astype(np.float32), requires_grad=True); ones = np.ones(65536, np.float32)
def large():
    (many * many + many).backward(ones); many.grad = None
print(json.dumps({
    "one element, tanh(h w + b) ten times": timed(element), "scalar chain of 100": timed(chain),
    "small net, SGD": timed(net([64, 32, 32, 10], 32, False, optim.SGD)),
    "small net, Adam": timed(net([64, 32, 32, 10], 32, False, optim.Adam)),
    "small net, batch norm, Adam": timed(net([64, 32, 32, 10], 32, True, optim.Adam)),
    "CS231n's net, SGD": timed(net([3072, 100, 100, 10], 100, False, optim.SGD), 0.3),
    "CS231n's net, batch norm, Adam": timed(net([3072, 100, 100, 10], 100, True, optim.Adam), 0.3),
    "x x + x of 65,536 elements": timed(large),
}))
"""

_HAND = """
import json, time, numpy as np
def timed(act):
    times = []
    for _ in range(30):
        start = time.process_time()
        for _ in range(300): act()
        times.append((time.process_time() - start) / 300)
    return min(times)
x, w, b = (np.array([v]) for v in (0.5, 0.9, 0.1))
def element():
    kept = [x]
    for _ in range(10): kept.append(np.tanh(kept[-1] * w + b))
    g, gw, gb = np.ones(1), 0.0, 0.0
    for before, after in zip(kept[-2::-1], kept[:0:-1]):
        d = g * (1 - after * after); gw = gw + d * before; gb = gb + d; g = d * w
class Value:  # micrograd's, as far as it is used
    def __init__(self, data, children=()):
        self.data, self.grad, self._backward, self._prev = data, 0.0, lambda: None, set(children)
    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other); out = Value(self.data + other.data, (self, other))
        def _backward(): self.grad += out.grad; other.grad += out.grad
        out._backward = _backward; return out
    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other); out = Value(self.data * other.data, (self, other))
        def _backward(): self.grad += other.data * out.grad; other.grad += self.data * out.grad
        out._backward = _backward; return out
    def backward(self):
        topo, visited = [], set()
        def build(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev: build(child)
                topo.append(v)
        build(self); self.grad = 1
        for v in reversed(topo): v._backward()
def chain():
    t = Value(0.3)
    for _ in range(50): t = t * 1.01 + 0.5
    t.backward()
print(json.dumps({"one element, tanh(h w + b) ten times": timed(element), "scalar chain of 100": timed(chain)}))
"""

_IMPORT = "import time; s = time.process_time(); import {0}; print(time.process_time() - s)"


def _run(code: str, tree: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(tree), "OPENBLAS_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": str(_COMPILED)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=env, cwd=tree, capture_output=True, text=True, check=True
    )
    return done.stdout


def statements(text: str) -> int:
    """Lines that are neither blank nor a comment nor in a docstring."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node
        ):
            docstrings |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(bool(line) and line[0] != "#" and number not in docstrings for number, line in lines)


def lines(tree: Path) -> dict[str, int]:
    """Raw lines of Python of each room, a folder or the files beside it, and what of all of them is code."""
    found: dict[str, int] = {}
    code = 0
    for package in ("autodiff", "nn", "optim"):
        for path in sorted((tree / package).rglob("*.py")):
            parts = path.relative_to(tree).parts
            room = "/".join(parts[:2]) + "/" if parts[0] == "autodiff" and len(parts) > 2 else f"{package}/*.py"
            text = path.read_text()
            found[room] = found.get(room, 0) + len(text.splitlines())
            code += statements(text)
    return {
        **dict(sorted(found.items())),
        "all": sum(found.values()),
        "all, without docstrings, comments, blanks": code,
    }


def measured(trees: dict[str, Path]) -> str:
    """The four tables in Markdown."""
    counted = {which: lines(tree) for which, tree in trees.items()}
    rooms = sorted({*counted["before"], *counted["after"]}, key=lambda room: (room.startswith("all"), room))
    sizes = [{"room": room} | {which: f"{found.get(room, 0):,}" for which, found in counted.items()} for room in rooms]
    hops = [
        {"Python calls of one `tanh`": f"{which}, {mode}", "forward": str(there), "back, with `backward()`": str(back)}
        for which, tree in trees.items()
        for mode, (there, back) in json.loads(_run(_CALLS, tree)).items()
    ]
    imports: dict[tuple[str, str], list[float]] = {}
    times: dict[str, list[dict[str, float]]] = {"before": [], "after": [], "by hand": []}
    for _ in range(ROUNDS):
        for which, tree in trees.items():
            times[which].append(json.loads(_run(_TIMES, tree)))
            for package in ("numpy", "autodiff", "nn", "optim"):
                imports.setdefault((which, package), []).append(float(_run(_IMPORT.format(package), tree)))
        times["by hand"].append(json.loads(_run(_HAND, HERE)))
    loads = [
        {"import, of `import numpy`": package}
        | {which: f"{min(imports[which, package]) / min(imports[which, 'numpy']):.2f}" for which in trees}
        for package in ("autodiff", "nn", "optim")
    ]
    least = {which: {case: min(time[case] for time in rounds) for case in rounds[0]} for which, rounds in times.items()}
    cases = [
        {
            "case": case,
            "microseconds before": f"{1e6 * before:,.1f}",
            "after": f"{1e6 * least['after'][case]:,.1f}",
            "after / before": f"{least['after'][case] / before:.2f}",
            "after / by hand": f"{least['after'][case] / hand:.2f}" if (hand := least["by hand"].get(case)) else "",
        }
        for case, before in least["before"].items()
    ]
    return "\n\n".join(table(rows) for rows in (sizes, hops, loads, cases)) + "\n"


def main() -> None:
    """Measure, and write the page's tables."""
    text = measured({"before": Path(sys.argv[1]).resolve(), "after": HERE})
    print(text)
    put(PAGE, "benchmarks.house", text)


if __name__ == "__main__":
    main()
