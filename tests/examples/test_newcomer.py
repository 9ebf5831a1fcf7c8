"""The first hour, literally: programs and commands of the pages, each in a process and an empty folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```)?", re.S)


def program(page: str, first: int, last: int) -> tuple[str, str]:
    """Blocks of a page as one program, and what they say it prints."""
    blocks = BLOCK.findall((ROOT / page).read_text())[first:last]
    assert len(blocks) == last - first, f"{page} has fewer blocks"
    return "\n".join(source for source, _ in blocks), "".join(printed for _, printed in blocks)


STEPS = {
    "first gradient and picture": ("README.md", 0, 1),
    "functions of functions": ("README.md", 0, 2),
    "first check": ("README.md", 0, 3),
    "first network": ("docs/guides/pytorch.md", 0, 1),
    "first training run": ("docs/guides/training.md", 0, 2),
    "first operation of one's own": ("docs/add-an-op.md", 0, 3),
    "first compiled step": ("docs/compile.md", 0, 1),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_newcomer_gets_through_in_an_empty_folder(step: str, tmp_path: Path) -> None:
    if "picture" in step:
        pytest.importorskip("graphviz", reason="the page says: pip install with the extra viz")
    source, printed = program(*STEPS[step])
    (tmp_path / "first.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "first.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if not line.startswith("Fontconfig")]
    if printed:
        assert done.stdout == printed
    if "picture" in step:
        assert (tmp_path / "graph.svg").read_text().startswith("<svg")
        assert len(done.stdout.split()) >= 4


def test_the_commands_of_the_pages_name_what_there_is() -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs/guides").glob("*.md"),
    ]
    named = {
        extra
        for page in pages
        for group in re.findall(r"\.\[([\w,]+)\]", page.read_text())
        for extra in group.split(",")
    }
    assert named
    assert named <= extras
    for page in pages:
        for script in re.findall(r"python ((?:examples|docs)/[\w/]+\.py)", page.read_text()):
            assert (ROOT / script).exists(), f"{page.name}: {script}"


def test_every_package_that_a_message_may_name_stands_on_the_install_page() -> None:
    page = (ROOT / "docs/install.md").read_text()
    for name in ("scipy", "numba", "tqdm", "matplotlib", "graphviz", "mpi4py", "safetensors", "tensorboardX"):
        assert name in page, name
