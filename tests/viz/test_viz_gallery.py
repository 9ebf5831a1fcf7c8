"""The gallery is made by one script, deterministic, small, and its page names files that are there."""

import importlib.util
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs" / "gallery"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_gallery", ROOT / "docs" / "make_gallery.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["make_gallery"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_gallery"]


def test_the_page_is_the_scripts_and_every_file_it_names_is_there(script):
    text = (GALLERY / "README.md").read_text()
    assert text == script.page()
    names = re.findall(r"\]\(([\w.-]+?)(?:#[^)]*)?\)", text)
    assert len(names) > 10
    for name in names:
        assert (GALLERY / name).stat().st_size > 500, name


def test_the_gallery_is_small():
    assert sum(path.stat().st_size for path in GALLERY.iterdir()) < 2_000_000


@pytest.mark.parametrize("name", ["scalar", "mlp-expanded", "batchnorm-compared", "lstm", "gpt", "anomaly"])
def test_a_picture_is_the_same_each_time(script, name):
    (picture,) = [p for p in script.PICTURES if p.name == name]
    first = picture.make()
    assert first.dot == picture.make().dot
    assert first.view.title


def test_the_pictures_show_what_they_promise(script):
    made = {
        p.name: p.make() for p in script.PICTURES if p.name in ("gpt", "lstm", "anomaly", "scalar-both", "mlp-compared")
    }
    assert any(c.times == 12 and c.label == "layers.*" for c in made["gpt"].view.clusters)
    assert any(c.kind == "repeat" and c.times == 6 for c in made["lstm"].view.clusters)
    assert any("born here" in n.rows for n in made["anomaly"].view.nodes)
    assert {c.label for c in made["scalar-both"].view.clusters} == {"forward", "backward"}
    differences = [
        float(dict(n.details)["largest difference"])
        for n in made["mlp-compared"].view.nodes
        if n.kind == "port" and n.rows
    ]
    assert len(differences) > 5
    assert max(differences) < 1e-12
