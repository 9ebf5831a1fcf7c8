"""What type checkers and editors know: the stubs are what their program writes, and promise what calls return."""

import importlib.util
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
import nn
import optim

ROOT = Path(__file__).parents[1]

PROGRAM = """
import autodiff as ad
import nn
import numpy as np
import optim
from autodiff.fft import rfft
from autodiff.special import erf
from typing import assert_type

x = ad.tensor([1.0, 2.0], requires_grad=True)
assert_type(ad.sum(x, axis=0), ad.Tensor)
assert_type(1 + x @ x / 2, ad.Tensor)
assert_type(-x.exp(), ad.Tensor)
assert_type(x == 1, ad.Tensor)
assert_type(ad.linalg.inv(x), ad.Tensor)
assert_type(rfft(erf(x)), ad.Tensor)
x += 1
assert_type(x, ad.Tensor)
assert_type(ad.nn.Linear(1, 2), nn.Linear)

class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 3)

    def forward(self, x: ad.Tensor, times: int = 1) -> ad.Tensor:
        return self.inner(x).relu() * times

net = Net()
assert_type(net(x), ad.Tensor)
optim.Adam(net.parameters(), lr=1e-3)
optim.SGD(net.parameters(), 0.1, momentum=0.9)
"""
MISTAKES = [
    "ad.summ(x)",
    "ad.sum(x, axs=0)",
    "ad.linalg.invv(x)",
    "x.expp()",
    "net(x, times='twice')",
    "nn.functional.reluu(x)",
    "optim.Adam(net.parameters(), lrr=1e-3)",
]


def maker() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("make_stubs", ROOT / "docs/make_stubs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="the stubs are formatted by ruff")
def test_the_stubs_are_what_their_program_writes():
    pytest.importorskip("scipy")
    for name, text in maker().stubs().items():
        assert (ROOT / "autodiff" / name).read_text() == text, f"autodiff/{name}: run python docs/make_stubs.py"


def calls(function):
    """Results of calls that a function takes, of many that it may."""
    x, k = ad.tensor([[2.0, 0.5], [0.5, 3.0]]), np.array([0, 1])
    for args in [
        (x,),
        (x, x),
        (x[0],),
        (x[0], x[0]),
        (x, 1),
        ([x, x],),
        (x, (2, 2)),
        (x, k),
        (2, x),
        (x, k, 1),
        (3, 2),
    ]:
        try:
            yield function(*args)
        except Exception:
            continue


@pytest.mark.filterwarnings("ignore")
def test_calls_return_what_the_stubs_promise():
    pytest.importorskip("scipy")
    kinds = {"Tensor": ad.Tensor, "None": type(None), "list[Tensor]": list}
    make, tried = maker(), 0
    special = [name for name in dir(ad.special) if not name.startswith("_")]
    for module, names in [
        (ad, sorted(ad._NUMPY)),
        (ad.linalg, ad.linalg.__all__),
        (ad.fft, ad.fft.__all__),
        (ad.signal, ad.signal.__all__),
        (ad.special, special),
    ]:
        for name in names:
            function = getattr(module, name)
            if not callable(function):
                continue
            promised = re.findall(r"-> (.*):", make.function(module.__name__, name, function))
            kind = tuple(kinds.get(p, tuple if p.startswith("tuple") else object) for p in promised)
            for result in calls(function):
                assert isinstance(result, kind), f"{name} gave {type(result)}, its stub says {promised}"
                tried += 1
    assert tried > 600


def test_dir_holds_what_can_be_asked_for():
    for module in (ad, ad.special):
        if module is ad.special:
            pytest.importorskip("scipy")
        for name in dir(module):
            getattr(module, name)
    assert {"compile", "jit", "scan", "viz", "testing", "nn", "optim", "sum"} <= set(dir(ad))
    assert set(nn.__all__) <= set(dir(nn))
    assert set(optim.__all__) <= set(dir(optim))


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_find_mistakes_and_nothing_else(checker, tmp_path):
    pytest.importorskip(checker)
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + "\n".join(MISTAKES) + "\n")
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT}"]}}')
    command = (
        ["mypy", "--strict", "--cache-dir", str(tmp_path)] if checker == "mypy" else ["pyright", "-p", str(tmp_path)]
    )
    done = subprocess.run(
        [sys.executable, "-m", *command, *([str(path)] if checker == "mypy" else [])],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    first = PROGRAM.count("\n") + 1
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if "program.py:" in line and "error" in line}
    assert found == set(range(first, first + len(MISTAKES))), done.stdout
