"""The lessons as executed notebooks: ``python docs/make_notebooks.py FOLDER``; the site is built with them, too.

A lesson is a page of Markdown (docs/internals.md says why). Its programs become cells and are run, in a process and an
empty folder of their own. What they print stands below them, and the page's pictures travel within the notebook.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: A program, and the text that it prints.
PROGRAM = re.compile(r"(```python\n.*?```\n(?:```text\n.*?```\n)?)", re.S)
PICTURE = re.compile(r"!\[([^\]]*)\]\(([\w./-]+\.(svg|png))\)")
KINDS = {"svg": "image/svg+xml", "png": "image/png"}
LESSONS = [page for page in sorted((HERE / "lessons").glob("*.md")) if page.stem != "index"] + [HERE / "testing.md"]


def run(page: Path) -> list[str]:
    """What each program of a page prints, run one after another."""
    text, scope, printed = page.read_text(), {"__name__": "lesson"}, []
    for block in re.finditer(r"```python\n(.*?)```", text, re.S):
        # Blank lines before it, so that a report finds a function's source under its line of the page.
        source = "\n" * text[: block.start(1)].count("\n") + block[1]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(source, str(page), "exec"), scope)
        printed.append(out.getvalue())
    return printed


def executed(page: Path) -> list[str]:
    """The same, in a process and a folder of its own.

    Raises
    ------
    RuntimeError
        If a program fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, __file__, "--run", str(page)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{page.name} does not run:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def words(text: str, page: Path) -> dict[str, Any]:
    """A cell of text: pictures within it, links to other lessons to their notebooks, all others by their place here."""
    attachments = {}
    for _, path, suffix in PICTURE.findall(text):
        content = base64.b64encode((page.parent / path).read_bytes()).decode()
        attachments[Path(path).name] = {KINDS[suffix]: content}
    text = PICTURE.sub(lambda found: f"![{found[1]}](attachment:{Path(found[2]).name})", text)

    def link(found: re.Match[str]) -> str:
        target = (page.parent / found[1]).resolve()
        return (
            f"]({target.stem}.ipynb)" if target in LESSONS else f"](../{target.relative_to(HERE).with_suffix('.html')})"
        )

    text = re.sub(r"\]\(((?:\.\./)?[\w/-]+\.md)\)", link, text)
    return {"cell_type": "markdown", "metadata": {}, "source": text} | (
        {"attachments": attachments} if attachments else {}
    )


def notebook(page: Path) -> dict[str, Any]:
    """A lesson as a notebook of format 4.5."""
    cells: list[dict[str, Any]] = []
    printed = iter(executed(page))
    for part in PROGRAM.split(page.read_text()):
        block = re.match(r"```python\n(.*?)```\n", part, re.S)
        if block is not None:
            out = next(printed)
            outputs = [{"output_type": "stream", "name": "stdout", "text": out}] if out else []
            count = 1 + sum(cell["cell_type"] == "code" for cell in cells)
            cell = {"cell_type": "code", "metadata": {}, "execution_count": count, "outputs": outputs}
            cells.append({**cell, "source": block[1].rstrip()})
        elif part.strip():
            cells.append(words(part.strip(), page))
    cells = [{"id": f"cell-{i}", **cell} for i, cell in enumerate(cells)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def as_cells(text: str) -> str:
    """A lesson's page as MyST-NB takes a notebook; what the programs print is for it to find."""
    text = re.sub(r"```python\n(.*?```\n)(?:```text\n.*?```\n)?", r"```{code-cell}\n\1", text, flags=re.S)
    return f"---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n\n{text}"


def write(folder: Path) -> None:
    """Write a notebook for each lesson."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in LESSONS:
        (folder / f"{page.stem}.ipynb").write_text(json.dumps(notebook(page), indent=1))


if __name__ == "__main__":
    if sys.argv[1] == "--run":
        print(json.dumps(run(Path(sys.argv[2]))))
    else:
        write(Path(sys.argv[1]))
