"""The pytest plugin, used as its users use it: in a test run of its own."""

import re
import subprocess
import sys
import tomllib
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
    return pytest_in(folder, "-p", "autodiff.testing", *options, str(folder))


def pytest_in(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    # Other plugins that happen to be installed are none of ours.
    env = {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)


def test_cases_pass_fail_and_are_reported(tmp_path: Path) -> None:
    result = run(tmp_path, "--grad-report", str(tmp_path / "report.md"))
    assert "1 failed, 6 passed" in result.stdout
    assert "GradientMismatch" in result.stdout
    report = (tmp_path / "report.md").read_text()
    assert len(re.findall(r"plugin_right \| float(64|32) \| (contiguous|reversed) \| [12] \| passed", report)) == 6
    assert "| plugin_wrong | float64 | contiguous | 1 | failed |" in report
    assert "without a case: plugin_forgotten" in report
    assert "every entry is 1.0005 times what it should be" in report
    assert "reproduce" in report


def test_the_report_may_be_a_page_of_html(tmp_path: Path) -> None:
    run(tmp_path, "--grad-report", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count('<td class="passed">') == 6
    assert page.index('class="failed">failed') < page.index('class="passed">passed')
    # Everything that a test says is escaped.
    assert "&lt;" in page
    assert "http" not in page


def test_either_name_loads_the_plugin_once(tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text(SOURCE)
    names = ("autodiff.testing", "autodiff.testing.plugin", "autodiff.testing.hooks")
    result = pytest_in(tmp_path, *(word for name in names for word in ("-p", name)), "--grad-coverage", str(tmp_path))
    assert "plugin_forgotten" in result.stdout
    assert "1 failed, 6 passed" in result.stdout


def test_installing_brings_the_plugin() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"autodiff": "autodiff.testing.hooks"}
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["autodiff", "nn", "optim"]}


def test_the_coverage_gate_names_the_forgotten_operation(tmp_path: Path) -> None:
    result = run(tmp_path, "--grad-coverage", "-k", "right")
    assert result.returncode == 1
    assert "plugin_forgotten" in result.stdout
    assert "plugin_wrong" in result.stdout
    assert run(tmp_path, "-k", "right").returncode == 0
