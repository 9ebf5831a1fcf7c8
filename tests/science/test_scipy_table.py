"""docs/scipy.md: SciPy's functions that declare array API support, each tried with Tensors in a process of its own (the
switch must be set before SciPy is imported)."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", minversion="1.17", reason="the table is of this version")
if not hasattr(np, "unstack"):
    pytest.skip("the standard needs NumPy 2.1", allow_module_level=True)

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_three_hundred_functions_differentiate_and_none_is_wrong():
    code = """
import sys; sys.path.insert(0, "docs")
import make_scipy
tried = make_scipy.all_tried()
refused = [t.name for t in tried if t.kind == "refused" and not make_scipy.substitute(t.name)]
assert not refused, refused
print(*(sum(t.kind in kinds for t in tried) for kinds in (("namespace", "ours"), ("untried",))))
print(*[t.name for t in tried if t.kind == "wrong"])
"""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    count, untried, *wrong = done.stdout.split()
    assert not wrong
    assert int(count) >= 339, done.stdout
    assert int(untried) <= 1, done.stdout
