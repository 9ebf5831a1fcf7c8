"""The main example: it learns, it writes what it says it writes, and a bad flag is answered with what is allowed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("sklearn", reason="the digits are scikit-learn's")


def start(folder: Path, *flags: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
    command = [sys.executable, str(ROOT / "examples" / "digits.py"), *flags]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_learns_to_97_percent_with_every_seed_and_writes_its_pictures(tmp_path: Path) -> None:
    for module in ("matplotlib", "tqdm", "pygraphviz"):
        pytest.importorskip(module, reason=f"the example draws with {module}")
    result = start(tmp_path, "--seed", "0", "1", "2", "--out", "made/here")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    accuracies = [float(line.rsplit(" ", 1)[1].rstrip("%")) for line in lines if ": test accuracy" in line]
    assert len(accuracies) == 3
    assert min(accuracies) >= 97.0
    (gradients,) = (line for line in lines if line.startswith("gradients"))
    assert float(gradients.partition("largest difference ")[2].split()[0]) < 1e-12
    assert "loss=" in result.stderr
    out = tmp_path / "made" / "here"
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    fused, expanded = ((out / name).read_text() for name in ("graph.svg", "graph-expanded.svg"))
    assert fused.startswith("<svg")
    assert len(expanded) > len(fused)
    assert "affine1.weight" in fused
    assert len((out / "history.csv").read_text().splitlines()) == 61


@pytest.mark.parametrize(
    "flags",
    [
        ["--normalization", "layernorm", "--optimizer", "rmsprop"],
        ["--normalization", "none", "--dropout", "0", "--optimizer", "momentum", "--hidden", "50", "--lr", "0.01"],
    ],
    ids=["layernorm", "plain"],
)
def test_flags_choose_the_network(flags: list[str], tmp_path: Path) -> None:
    pytest.importorskip("pygraphviz", reason="the example draws with pygraphviz")
    result = start(tmp_path, "--quiet", "--epochs", "2", *flags)
    assert result.returncode == 0, result.stderr
    assert "test accuracy" in result.stdout


def test_pictures_need_no_graphviz(tmp_path: Path) -> None:
    for module in ("tqdm", "matplotlib"):
        pytest.importorskip(module)
    (tmp_path / "pygraphviz.py").write_text("raise ImportError('libgobject-2.0.so.0: cannot open shared object file')")
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "PATH": str(tmp_path)}
    result = start(tmp_path, "--quiet", "--epochs", "1", **env)
    assert result.returncode == 0, result.stderr
    names = sorted(p.name for p in (tmp_path / "digits-out").iterdir())
    assert {"curves.png", "history.csv"} < set(names)
    assert sum(name.endswith(".svg") for name in names) == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--optimizer", "lamb"], "adagrad"),
        (["--normalization", "group"], "layernorm"),
        (["--dropout", "1"], "give a probability of dropping in [0, 1)"),
        (["--hidden", "0"], "give a whole number of at least 1"),
        (["--lr", "fast"], "give a positive number"),
        (["--colour", "red"], "--normalization"),
    ],
)
def test_a_bad_flag_says_what_is_allowed(flags: list[str], words: str, tmp_path: Path) -> None:
    result = start(tmp_path, *flags)
    assert result.returncode == 2
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == []
