"""Every example in a docstring and in README runs and prints what it says."""

import doctest
import importlib
import importlib.util
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from autodiff import Tensor

ROOT = Path(__file__).parents[1]


def modules() -> list[str]:
    names = []
    for package in ("autodiff", "nn", "optim"):
        found = importlib.import_module(package)
        names.append(package)
        names += [
            m.name for m in pkgutil.walk_packages(found.__path__, f"{package}.") if not m.name.endswith("__main__")
        ]
    return names


# Modules whose examples need a package that the test extra does not bring.
_COMPILED = ("compiled", "jit", "threads", "tiles", "windows")
NEEDS = {"optim.parallel": "mpi4py"} | dict.fromkeys((f"autodiff.kernels.{name}" for name in _COMPILED), "numba")
NEEDS["autodiff.compiler.native"] = "llvmlite"


@pytest.mark.parametrize("name", modules())
def test_docstring_examples(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"the examples of {name} need {NEEDS[name]}")
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={"np": np}, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_readme_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
    assert (tmp_path / "graph.svg").read_text().startswith("<svg")


def test_the_page_on_forward_mode_runs() -> None:
    from autodiff.core.op import registry

    before = set(registry)
    scope: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "forward.md").read_text(), re.S)
    assert len(blocks) >= 5
    try:
        for block in blocks:
            exec(compile(block, "forward.md", "exec"), scope)
    finally:
        for name in set(registry) - before:
            del registry[name]


def test_the_testing_tutorial_runs(capsys: pytest.CaptureFixture[str]) -> None:
    from autodiff.core.op import registry

    before = set(registry)
    scope: dict[str, object] = {"__name__": "tutorial"}
    page = ROOT / "docs" / "testing.md"
    source = page.read_text()
    blocks = list(re.finditer(r"```python\n(.*?)```", source, re.S))
    assert len(blocks) >= 8
    try:
        for block in blocks:
            # Blank lines before it, so that a report finds a function's source under its line of the page.
            exec(compile("\n" * source[: block.start(1)].count("\n") + block[1], str(page), "exec"), scope)
    finally:
        for name in set(registry) - before:
            del registry[name]
    assert "a mean where there should be a sum" in capsys.readouterr().out


def test_the_page_for_users_of_other_libraries_runs() -> None:
    pytest.importorskip("torch", reason="the page checks PyTorch's gradients")
    pytest.importorskip("jax", reason="the page checks JAX's gradients")
    page = ROOT / "docs" / "checks-elsewhere.md"
    source = page.read_text()
    scope: dict[str, object] = {"__name__": "elsewhere"}
    for block in re.finditer(r"```python\n(.*?)```", source, re.S):
        exec(compile("\n" * source[: block.start(1)].count("\n") + block[1], str(page), "exec"), scope)


def test_the_readme_picture_is_the_examples_picture() -> None:
    import autodiff as ad
    from autodiff.viz import draw

    x = ad.tensor([0.5, 2.0], requires_grad=True, name="x")
    w = ad.tensor([3.0, -1.0], requires_grad=True, name="w")
    labels = [node.label for node in draw(np.tanh(x @ w) + np.sum(w * w)).view.nodes]
    picture = (ROOT / "docs" / "example.svg").read_text()
    for label in labels:
        assert label in picture


def test_readme_says_how_to_test() -> None:
    text = (ROOT / "README.md").read_text()
    assert re.search(r"<!-- tests -->\s*```\w*\n(.*?)\n```", text, re.S), ".ci/run reads the command from there"


def test_the_page_on_adding_an_operation_runs(temporary, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/add-an-op.md").read_text(), re.S)
    assert len(blocks) == 4
    scope: dict = {"__name__": "add_an_op"}
    for block in blocks:
        exec(compile(block, "add-an-op.md", "exec"), scope)
    assert capsys.readouterr().out == "True\n"
    from autodiff.testing import verify

    assert verify(scope["logsumexp"]).passed
    weight = Tensor([1.0, -2.0], requires_grad=True)
    optimizer = scope["Signum"]([weight], lr=0.5)
    weight.grad = np.array([0.1, -3.0])
    optimizer.step()
    assert weight.data.tolist() == [0.5, -1.5]
    with pytest.raises(ValueError, match="lr"):
        scope["Signum"]([weight], lr=-1.0)


#: Pages with a program in blocks; a block of text below one is what it prints.
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for folder in ("lessons", "guides")
    for page in (ROOT / "docs" / folder).glob("*.md")
    if page.stem != "index"
)
PAGES += ["docs/arrays.md", "docs/compile.md"]
BLOCK = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```)?", re.S)


@pytest.mark.parametrize(
    "name", [pytest.param(p, marks=[pytest.mark.slow] * p.endswith(("digits.md", "physics.md"))) for p in PAGES]
)
def test_a_page_runs_and_prints_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], temporary: None
) -> None:
    for library in ("torch", "jax"):
        if f"import {library}" in (ROOT / name).read_text():
            pytest.importorskip(library)
    if name.endswith("parallel.md"):
        pytest.importorskip("mpi4py")
    monkeypatch.chdir(tmp_path)
    page, scope = (ROOT / name).read_text(), {"__name__": "page"}
    blocks = list(BLOCK.finditer(page))
    assert blocks
    for block in blocks:
        source = "\n" * page[: block.start(1)].count("\n") + block[1]
        exec(compile(source, name, "exec"), scope)
        printed = capsys.readouterr().out
        assert block[2] is None or printed == block[2]
    for picture in tmp_path.glob("*.svg"):
        shown = (ROOT / name).with_name(picture.name)
        labels = re.findall(r"<text[^>]*>([^<]+)</text>", picture.read_text())
        assert labels == re.findall(r"<text[^>]*>([^<]+)</text>", shown.read_text())


def _torch_page():
    spec = importlib.util.spec_from_file_location("make_torch", ROOT / "docs/make_torch.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    return maker


def test_the_page_of_pytorchs_names_is_true_and_gives_every_reason() -> None:
    maker = _torch_page()
    page = maker.text()
    assert (ROOT / "docs/torch.md").read_text() == page, "run python docs/make_torch.py"
    assert "| ? |" not in page, "give a reason in docs/make_torch.py"
    for name in re.findall(r"`(nn\.[\w.]+|optim\.[\w.]+)", page):
        if name.partition(".")[2] and name not in maker.MODULES.values():
            value = importlib.import_module(name.partition(".")[0])
            for part in name.split(".")[1:]:
                value = getattr(value, part)


@pytest.mark.filterwarnings("ignore")
def test_the_names_that_the_page_knows_are_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    maker = _torch_page()
    held = maker.read()
    if not torch.__version__.startswith(held["version"]):
        pytest.skip(f"the page is of PyTorch {held['version']}")
    for module, names in held["modules"].items():
        assert maker.names_of(module) == names, "run python docs/make_torch.py --names"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for package in ("sphinx", "myst_nb", "numpydoc", "pydata_sphinx_theme"):
        pytest.importorskip(package, reason="the site is built with the extra docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        assert not re.search(r"<(script|link|img)[^>]*(src|href)=\"https?://", page.read_text()), (
            f"{page} needs a network"
        )
    assert "vmap" in (tmp_path / "site" / "searchindex.js").read_text()
    assert not (astray := links_astray(tmp_path / "site")), astray[:20]
    for picture in ("lstm", "batch_norm", "cross_entropy"):
        assert list((tmp_path / "site" / "_images").glob(f"{picture}*.svg")), f"no picture of {picture}"
    books = list((tmp_path / "site" / "lessons-as-notebooks").glob("*.ipynb"))
    assert len(books) >= 7
    for book in books:
        folder = tmp_path / "site" / ("" if book.stem == "testing" else "lessons")
        assert "cell_output" in (folder / f"{book.stem}.html").read_text(), f"{book.stem} is no executed notebook"
        page = (ROOT / "docs" / ("" if book.stem == "testing" else "lessons") / f"{book.stem}.md").read_text()
        is_their_page(json.loads(book.read_text()), page)
        for target in re.findall(r"\]\((?!attachment:|\w+://)([^)#]+)\)", book.read_text()):
            assert (book.parent / target).exists(), f"{book.name}: {target}"


def is_their_page(book, page: str) -> None:
    """A lesson's notebook holds the page's programs, executed, and its pictures."""
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    blocks = list(BLOCK.finditer(page))
    assert [cell["source"] for cell in cells] == [block[1].rstrip() for block in blocks]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell, block in zip(cells, blocks, strict=True):
        assert block[2] is None or cell["outputs"][0]["text"] == block[2]
    pictures = re.findall(r"!\[[^\]]*\]\((?:[^)]*/)?([^/)]+)\)", page)
    held = [name for cell in book["cells"] for name in cell.get("attachments", {})]
    assert held == pictures


def test_a_lesson_becomes_an_executed_notebook(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_notebooks", ROOT / "docs/make_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    page = ROOT / "docs/lessons/graph.md"
    is_their_page(maker.notebook(page), page.read_text())
    wrong = tmp_path / "wrong.md"
    wrong.write_text("```python\n1 / 0\n```\n")
    with pytest.raises(RuntimeError, match=r"wrong\.md does not run"):
        maker.notebook(wrong)


def links_astray(site: Path) -> list[str]:
    """Links within the site to a page or a place on it that does not exist; those to other sites are not followed."""
    pages = {page: page.read_text() for page in site.rglob("*.html")}
    places = {page: set(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", text)) for page, text in pages.items()}
    astray = []
    for page, text in pages.items():
        for target in re.findall(r"<a [^>]*href=\"([^\"]+)\"", text):
            path, _, place = unquote(target).partition("#")
            if re.match(r"\w+:", target):
                continue
            to = (page.parent / path).resolve() if path else page
            if not to.exists() or (place and to in places and place not in places[to]):
                astray.append(f"{page.relative_to(site)}: {target}")
    return astray


def test_the_first_page_says_what_was_measured() -> None:
    report = importlib.import_module("benchmarks.report")
    text = (ROOT / "docs/index.md").read_text()
    said = text.partition(report.BEGIN)[2].partition(report.END)[0].strip()
    assert said == report.gains(report._load(ROOT / "benchmarks/results/performance.json")).strip(), (
        "run python -m benchmarks --render"
    )


def test_every_page_stands_in_the_contents() -> None:
    listed = set()
    for page in (ROOT / "docs").rglob("*.md"):
        for block in re.findall(r"```{toctree}\n(.*?)```", page.read_text(), re.S):
            listed |= {(page.parent / line).resolve() for line in block.splitlines() if line and line[0] != ":"}
    pages = {p.with_suffix("") for folder in ("", "lessons", "guides") for p in (ROOT / "docs" / folder).glob("*.md")}
    missing = sorted(p.name for p in pages - listed - {ROOT / "docs" / "index"})
    assert not missing, f"name them in a toctree of docs/index.md, guides/index.md or evidence.md: {missing}"


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
