"""Every example in a docstring and in README runs and prints what it says."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

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
_COMPILED = ("compiled", "jit", "team", "tiles", "windows")
NEEDS = {"optim.parallel": "mpi4py"} | dict.fromkeys((f"autodiff.kernels.{name}" for name in _COMPILED), "numba")


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
    assert len(blocks) == 3
    scope: dict = {}
    for block in blocks:
        exec(compile(block, "add-an-op.md", "exec"), scope)
    assert capsys.readouterr().out == "True\n"
    from autodiff.testing import verify

    assert verify(scope["logsumexp"]).passed
