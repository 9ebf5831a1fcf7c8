"""What the packages are called: second names that are the same modules, and a stranger's package that is noticed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import autodiff

ROOT = Path(__file__).parents[1]


def fresh(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, cwd=path[0] if path else ROOT)


@pytest.mark.parametrize("short_first", [True, False])
@pytest.mark.parametrize("name", ["nn", "optim"])
def test_the_second_names_are_the_same_modules(name: str, short_first: bool) -> None:
    code = f"""import sys, importlib, pkgutil
first, second = ({name!r}, 'autodiff.{name}') if {short_first} else ('autodiff.{name}', {name!r})
package = importlib.import_module(first)
for part in ('', *(p.name for p in pkgutil.walk_packages(package.__path__, '.'))):
    assert importlib.import_module(second + part) is importlib.import_module(first + part), part
    assert importlib.import_module({name!r} + part).__spec__.name == {name!r} + part
import autodiff
assert autodiff.{name} is package"""
    done = fresh(code)
    assert done.returncode == 0, done.stderr


def test_names_are_loaded_when_asked_for() -> None:
    code = """import sys, autodiff
assert not {'nn', 'optim'} & set(sys.modules)
assert autodiff.nn.Linear is autodiff.nn.linear.Linear
import autodiff.nn.functional as F, autodiff.optim, nn, optim
assert F is nn.functional and autodiff.optim.Adam is optim.Adam"""
    done = fresh(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["linalg", "fft", "signal"])
def test_namespaces_are_modules(name: str) -> None:
    code = f"""import autodiff.{name} as found, autodiff
assert found is autodiff.{name} and set(found.__all__) <= set(dir(found))
from autodiff.{name} import *"""
    done = fresh(code)
    assert done.returncode == 0, done.stderr


def test_dir_holds_what_is_loaded_when_asked_for() -> None:
    code = "import autodiff; print([n for n in (*autodiff._ON_DEMAND, 'compile', 'scan') if n not in dir(autodiff)])"
    assert fresh(code).stdout == "[]\n"


def test_docstrings_name_functions_that_exist() -> None:
    import re

    import numpy as np

    import autodiff

    named = re.compile(r"``numpy\.([\w.]+)``")
    for module in (autodiff, autodiff.linalg, autodiff.fft):
        for function in vars(module).values():
            for match in named.finditer(getattr(function, "__doc__", None) or "") if callable(function) else ():
                found = np
                for part in match[1].split("."):
                    found = getattr(found, part)


def test_a_stranger_s_distribution_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "autodiff-0.5.dist-info").mkdir()
    done = fresh("import autodiff", tmp_path)
    assert done.returncode == 0
    assert "autodiff-0.5.dist-info is another project" in done.stderr
    assert "pip uninstall autodiff" in done.stderr


@pytest.mark.parametrize("name", ["nn", "optim"])
def test_a_stranger_s_package_that_comes_first_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "autodiff").mkdir()
    (tmp_path / "autodiff" / "__init__.py").write_text("")
    done = fresh(f"import {name}", tmp_path)
    assert done.returncode == 1
    assert f"the package autodiff at {tmp_path}" in done.stderr
    assert "pip uninstall autodiff" in done.stderr


def test_python_without_its_lock_is_refused() -> None:
    done = fresh("import sys; sys._is_gil_enabled = lambda: False; import autodiff")
    assert done.returncode == 1
    assert "PYTHON_GIL=1" in done.stderr


def test_no_text_installs_the_name_from_an_index() -> None:
    import re

    named = re.compile(r"pip install[^\n`]*?['\"= ]autodiff(\[[\w,]*\])?(?![\w/.]| @)")
    texts = [
        ROOT / "README.md",
        *ROOT.glob("docs/**/*.md"),
        *(p for n in ("autodiff", "nn", "optim") for p in (ROOT / n).rglob("*.py")),
    ]
    assert [f"{p.name}: {m.group(0)}" for p in texts for m in named.finditer(p.read_text())] == []


def test_public_functions_are_pickled_by_name() -> None:
    """As NumPy's: a pool of processes takes ``autodiff.sum`` or ``autodiff.linalg.inv`` for its function."""
    lost = []
    for module in (autodiff, autodiff.linalg, autodiff.fft, autodiff.signal):
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value) and str(getattr(value, "__module__", "")).startswith("autodiff"):
                try:
                    same = pickle.loads(pickle.dumps(value)) is value
                except (pickle.PicklingError, AttributeError):
                    same = False
                lost += [] if same else [f"{module.__name__}.{name}"]
    assert not lost
