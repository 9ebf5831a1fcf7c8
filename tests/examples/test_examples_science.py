"""The scientific examples: each runs to its end, which is an assertion of a known truth, and draws its picture."""

import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="SciPy solves")
pytest.importorskip("matplotlib", reason="the examples draw with matplotlib")

SCIENCE = Path(__file__).resolve().parents[2] / "examples" / "science"
SMALL = {"poisson": ["--size", "12"], "bundle_adjustment": ["--cameras", "4", "--points", "30"]}
NAMES = sorted(path.stem for path in SCIENCE.glob("*.py"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in ("robertson", "quantum") else []) for name in NAMES]
)
def test_an_example_finds_the_truth(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCIENCE))
    module = importlib.import_module(name)
    sys.modules.pop(name)
    module.main([*SMALL.get(name, []), "--out", str(tmp_path / "picture.png")])
    assert (tmp_path / "picture.png").stat().st_size > 5000
