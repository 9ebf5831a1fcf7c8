"""The pytest plugin, used as its users use it: in a test run of its own."""

import subprocess
import sys
from pathlib import Path

SOURCE = """
import numpy as np
from autodiff.extend import Primitive
from autodiff.testing.plugin import gradcase

right = Primitive("plugin_right", lambda x: x * x, lambda g, out, x: 2 * g * x)
wrong = Primitive("plugin_wrong", lambda x: x * x, lambda g, out, x: 2.001 * g * x)
forgotten = Primitive("plugin_forgotten", lambda x: x + x, lambda g, out, x: 2 * g)

@gradcase()
def test_right():
    return right, (np.linspace(0.5, 2.0, 6).reshape(2, 3),)

@gradcase(orders=(1,), dtypes=("float64",), layouts=("contiguous",))
def test_wrong():
    return wrong, (np.linspace(0.5, 2.0, 3),)
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_cases.py").write_text(SOURCE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "autodiff.testing.plugin", "-p", "no:cacheprovider", *options, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env={"PYTHONPATH": str(Path(__file__).parents[1])})


def test_cases_pass_fail_and_are_reported(tmp_path: Path) -> None:
    result = run(tmp_path, "--grad-report", str(tmp_path / "report.md"))
    assert "1 failed, 6 passed" in result.stdout
    assert "GradientMismatch" in result.stdout
    report = (tmp_path / "report.md").read_text()
    assert report.count("plugin_right | passed") == 6
    assert report.count("plugin_wrong | failed") == 1


def test_the_coverage_gate_names_the_forgotten_operation(tmp_path: Path) -> None:
    result = run(tmp_path, "--grad-coverage", "-k", "right")
    assert result.returncode == 1
    assert "plugin_forgotten" in result.stdout
    assert "plugin_wrong" in result.stdout
    assert run(tmp_path, "-k", "right").returncode == 0
