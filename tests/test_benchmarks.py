"""Every benchmark runs and its candidates agree with the reference; nothing is timed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["overhead", "scalar_chain", "training", "kernels", "sequences", "graphs", "jacobians"])
def test_quick_mode(name: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-m", "benchmarks", "--quick", name], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert result.returncode == 0, result.stderr
    assert "candidates agree" in result.stdout
