"""Every benchmark runs and its candidates agree with the reference; nothing is timed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["overhead", "scalar_chain", "training", "kernels", "sequences", "graphs", "jacobians", "chains"])
def test_quick_mode(name: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-m", "benchmarks", "--quick", name], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert result.returncode == 0, result.stderr
    assert "candidates agree" in result.stdout


def _row(case: str, ours: float, series: str = "", size: float = 0.0, reached: bool = True) -> dict[str, object]:
    def timing(seconds: float, ratio: float) -> dict[str, float]:
        return {"median": seconds, "low": seconds * 0.9, "high": seconds * 1.1, "rounds": 15, "ratio": ratio}

    return {
        "benchmark": "graphs", "case": case, "baseline": "by hand", "per": 1, "series": series, "size": size,
        "seconds": {"by hand": timing(1e-3, 1.0), "autodiff": timing(ours, ours / 1e-3)},
        "targets": [{"candidate": "autodiff", "against": "by hand", "at_most": 1.2, "ratio": ours / 1e-3, "reached": reached}],
        "skipped": {"JAX jit": "jax is not installed"},
    }  # fmt: skip


def test_the_report_says_what_was_measured_and_keeps_what_was_not_measured_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the report's plot needs matplotlib")
    import json
    from xml.etree import ElementTree

    from benchmarks.report import write

    settings = {"threads": 1, "clock": "cpu", "malloc": "default", "seconds": 3.0, "only": ""}
    rows = [_row("1,000 nodes", 1e-3, "depth", 1_000), _row("10,000 nodes", 1e-2, "depth", 10_000, reached=False)]
    memory = {"bytes_per_node": {"autodiff": {"1000": 160.4}}, "peak_bytes": {"width": {"32": 2**20, "64": 2**22}}}
    write({"graphs": {"rows": rows, **memory}}, settings, tmp_path)
    page = (tmp_path / "performance.md").read_text()
    assert "Targets: 1 of 2 reached" in page
    assert "| 10,000 nodes: autodiff / by hand | 1.2 | 10.00 | **missed** |" in page
    assert "Time grows with depth to the power of: by hand 0.00, autodiff 1.00." in page
    assert "Bytes a node, autodiff: 160 at 1,000 nodes." in page
    assert "1.0 MiB at 32, 4.0 MiB at 64; to the power of 2.00" in page
    assert "JAX jit (jax is not installed)" in page
    assert "processor time" in page
    assert "numpy" in page
    assert "autodiff" in (tmp_path / "performance.svg").read_text()
    ElementTree.parse(tmp_path / "performance.svg")

    # One case measured again, and another benchmark: the rest stays.
    write({"graphs": {"rows": [_row("10,000 nodes", 2e-3, "depth", 10_000)]}}, settings | {"only": "10,000"}, tmp_path)
    write({"overhead": {"rows": [_row("1 element", 1e-3) | {"benchmark": "overhead"}]}}, settings | {"threads": 2}, tmp_path)
    kept = json.loads((tmp_path / "performance.json").read_text())
    assert list(kept) == ["overhead, 2", "graphs, 1"]
    assert [row["seconds"]["autodiff"]["median"] for row in kept["graphs, 1"]["rows"]] == [1e-3, 2e-3]
    assert kept["graphs, 1"]["bytes_per_node"] == {"autodiff": {"1000": 160.4}}
    assert "2 threads" in (tmp_path / "performance.md").read_text()


def test_a_run_writes_the_report(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the report's plot needs matplotlib")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks", "overhead", "--only", "1 element", "--seconds", "0.01", "--clock", "cpu", "--out", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "performance.md").read_text()
    assert "## One elementwise operation, 1 thread\n" in page
    assert "| 1 element: autodiff / NumPy by hand | 2.2 |" in page


def test_pictures_of_both_libraries_are_drawn() -> None:
    result = subprocess.run([sys.executable, "-m", "benchmarks.pictures", "--quick"], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if "autodiff" in line]
    assert [row[2] for row in rows] == ["DOT", "SVG", "page"]
    assert all(float(row[3]) < 5 for row in rows)
