"""Pictures: every node and edge is there, text is escaped, the same program gives the same bytes, no recursion."""

import itertools
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff import fused
from autodiff.core.errors import ArgumentError
from autodiff.core.graph import Node, topological_order
from autodiff.viz import draw, paper
from autodiff.viz.sheet import DARK, LIGHT
from autodiff.viz.style import ALERT, FAMILIES
from autodiff.watch import constant_inputs

SVG = "{http://www.w3.org/2000/svg}"


def small():
    x = ad.tensor([1.0, 2.0], requires_grad=True, name="x")
    y = np.exp(x) * x + 2.0
    y.name = "y"
    return y


def network():
    x = np.linspace(-1, 1, 12).reshape(4, 3)
    w = ad.tensor(np.ones((2, 3)), requires_grad=True, name="w")
    h = fused.batch_norm(fused.linear(x, w, None), None, None)
    return fused.cross_entropy(fused.relu(h), np.array([0, 1, 1, 0]), None)


def test_the_view_holds_every_node_and_every_use():
    view = draw(small()).view
    assert [n.label for n in view.nodes] == ["x", "exp", "×", "2.0", "+"]
    assert len(view.edges) == 5
    assert view.nodes[-1].name == "y"
    assert view.nodes[0].shape == (2,)
    assert view.nodes[0].dtype == "float64"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=15))
def test_any_graph_draws(program):
    pool = [ad.tensor(1.0, requires_grad=True), ad.tensor(2.0, requires_grad=True)]
    for i, j in program:
        pool.append(pool[i % len(pool)] * pool[j % len(pool)] + 1.0)
    graph = draw(pool[-1], fold=False)
    entries = topological_order([pool[-1]._node])
    uses = sum(sum(p is not None for p in e.parents) + len(constant_inputs(e)) for e in entries if isinstance(e, Node))
    assert len(graph.view.edges) == uses
    ids = [n.id for n in graph.view.nodes]
    assert len(ids) == len(set(ids))
    assert graph.dot.count(" -> ") == uses


def test_the_same_program_gives_the_same_bytes():
    assert draw(small()).dot == draw(small()).dot
    assert draw(network(), expand=True).dot == draw(network(), expand=True).dot


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"];', "a & b", "line\nbreak", "\\", "naïve 名前 \x00"])
def test_names_are_escaped_everywhere(name):
    x = ad.tensor(1.0, requires_grad=True, name=name)
    graph = draw(x * x)
    root = ET.fromstring(graph.svg)
    assert root.find(f".//{SVG}script") is None
    assert "<script>" not in graph.svg
    assert graph.dot.count("digraph") == 1


@pytest.mark.parametrize("name", ["", " ", "\n\t"])
def test_a_name_that_cannot_be_seen_is_none(name):
    x = ad.tensor(1.0, requires_grad=True, name=name)
    assert [node.label for node in draw(x * x).view.nodes] == ["leaf", "×"]


def test_fused_operations_expand_into_their_composed_definitions():
    folded, expanded = draw(network()).view, draw(network(), expand=True).view
    assert {n.label for n in folded.nodes if n.kind == "fused"} == {"linear", "batch_norm", "relu", "cross_entropy"}
    assert not [n for n in expanded.nodes if n.kind == "fused"]
    assert {c.label for c in expanded.clusters} == {"linear", "batch_norm", "relu", "cross_entropy"}
    frame = next(c.id for c in expanded.clusters if c.label == "batch_norm")
    assert {n.label for n in expanded.nodes if n.cluster == frame} >= {"mean", "-", "√", "÷", "x"}


def test_a_graph_can_be_drawn_after_backward():
    loss = network()
    before = draw(loss, expand=True).dot
    loss.backward()
    assert draw(loss, expand=True).dot == before


def test_svg_shows_every_box_and_arrow():
    for expand in (False, True):
        graph = draw(network(), expand=expand)
        root = ET.fromstring(graph.svg)
        text = " ".join(t for e in root.iter() for t in (e.text or "", e.tail or ""))
        for node in graph.view.nodes:
            assert node.label in text
        for edge in graph.view.edges:
            assert f'"{edge.id}"' in graph.svg


def test_names_from_locals_and_saving(tmp_path):
    a = ad.tensor(1.0, requires_grad=True)
    result = a * 3.0
    graph = draw(result, names=locals())
    assert graph.view.nodes[0].label == "a"
    assert graph.view.nodes[-1].name == "result"
    for suffix in ("svg", "dot", "txt", "png", "pdf"):
        assert graph.save(tmp_path / f"g.{suffix}").stat().st_size > 20
    with pytest.raises(ArgumentError, match=r"\.svg"):
        graph.save(tmp_path / "g.gif")


def test_a_deep_graph_needs_no_recursion():
    x = ad.tensor(1.0, requires_grad=True)
    for _ in range(20_000):
        x = x * 1.0
    assert draw(x, fold=False).dot.count(" -> ") == 40_000


def test_misuse_is_named():
    with pytest.raises(ArgumentError, match="Tensor"):
        draw(3.0 and [])
    with pytest.raises(ArgumentError, match="rankdir"):
        draw(small(), rankdir="up")


HOSTILE = ["</script>", "\"'&<>]]>", "$x$ \\$", "naïve 名前 🎉", "a" * 500, "\x00\u202e"]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("options", [{}, {"rankdir": "LR"}, {"direction": "both"}, {"expand": True}])
def test_paper_shows_the_words_and_the_boxes_of_the_svg(monkeypatch, options):
    pytest.importorskip("matplotlib")
    words, places = [], []
    write, rect = paper._Paper.write, paper._Paper.rect
    monkeypatch.setattr(paper._Paper, "write", lambda self, *a: (words.append(a[0]), write(self, *a)))
    monkeypatch.setattr(paper._Paper, "rect", lambda self, *a, **k: (places.append(a[:4]), rect(self, *a, **k)))

    def f(x, y):
        kept = [ad.tensor(1.0, requires_grad=True, name=name) for name in HOSTILE]
        return sum(x * y * k for k in kept) + np.log(x - x) + np.sum(fused.softmax(np.stack([x, y]), -1))

    graph = draw(f, 1.0, 2.0, values=True, gradients=True, title=HOSTILE[2], **options)
    assert paper.to_paper(graph.view, "png", rankdir=graph.rankdir).startswith(b"\x89PNG")
    root = ET.fromstring(graph.svg)
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert Counter(words) == Counter(said)
    (inner,) = root.findall(f"{SVG}g[@transform]")
    dx, dy = map(float, inner.get("transform")[10:-1].split())
    drawn = [[float(r.get(k)) for k in ("x", "y", "width", "height")] for r in inner.iter(f"{SVG}rect")]
    drawn = np.array(sorted([x + dx, y + dy, w, h] for x, y, w, h in drawn))
    assert np.allclose(drawn, np.array(sorted(places[-len(drawn) :])), atol=0.2)


def test_a_picture_that_cannot_be_written_leaves_the_file_that_was_there(monkeypatch, tmp_path):
    path = tmp_path / "g.svg"
    graph = draw(small())
    before = graph.save(path).read_bytes()
    monkeypatch.setattr(type(graph), "svg", property(lambda self: "\ud800"))
    with pytest.raises(UnicodeEncodeError):
        graph.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["g.svg"]


# --- what readers can see --------------------------------------------------------------------------------------------

THEMES = {"light": ("", LIGHT), "dark": ("dark_", DARK)}
COLOURS = {**FAMILIES, "alert": ALERT}


def linear(colour):
    v = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """The ratio of WCAG 2.2."""
    low, high = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] for c in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_words_and_outlines_have_the_contrast_that_reading_needs(theme):
    prefix, page = THEMES[theme]
    grounds = {"page": page["page"], "tint": page["tint"]}
    for key, family in COLOURS.items():
        fill, line = getattr(family, f"{prefix}fill"), getattr(family, f"{prefix}line")
        for words in (page["ink"], page["soft"], *([line] if key == "alert" else [])):
            assert contrast(words, fill) >= 4.5, (key, words)
        for ground in (fill, *grounds.values()):
            assert contrast(line, ground) >= 3, (key, ground)
    links = getattr(COLOURS["activation"], f"{prefix}line"), getattr(ALERT, f"{prefix}line")
    for name, ground in grounds.items():
        assert all(contrast(words, ground) >= 4.5 for words in (page["ink"], page["soft"], *links)), name
        assert all(contrast(page[line], ground) >= 3 for line in ("edge", "frame")), name


# Machado, Oliveira and Fernandes (2009), whole loss of one kind of cone, in linear RGB.
SIGHT = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colour, sight):
    """CIELAB of a colour as someone sees it."""
    x = XYZ @ np.clip(np.array(sight) @ linear(colour), 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SIGHT)
def test_two_families_look_different_to_every_reader(theme, sight):
    # Folded blocks, parameters and constants have shapes of their own. Two colours 2.3 apart are just noticed.
    told = {key: family for key, family in COLOURS.items() if key not in ("module", "leaf", "constant")}
    for (one, a), (other, b) in itertools.combinations(told.items(), 2):
        parts = [f"{THEMES[theme][0]}{part}" for part in ("fill", "line")]
        apart = max(np.linalg.norm(lab(getattr(a, p), SIGHT[sight]) - lab(getattr(b, p), SIGHT[sight])) for p in parts)
        assert apart > 10, (one, other, apart)


def test_functions_with_rules_of_their_own_are_drawn():
    sine = ad.custom_vjp(lambda x, y: np.sin(x) * y)
    sine.defvjp(lambda x, y: (np.sin(x) * y, (x, y)), lambda r, g: (g * np.cos(r[0]) * r[1], g * np.sin(r[0])))
    cube = ad.custom_jvp(lambda x: x**3)
    cube.defjvp(lambda points, tangents: (points[0] ** 3, 3 * points[0] ** 2 * tangents[0]))
    for direction in ("forward", "backward", "both"):
        graph = draw(lambda x, y: cube(sine(x, y)), np.ones(2), np.ones(2), direction=direction, gradients=True)
        assert "the program&#x27;s own rule" in graph.html or "the program's own rule" in graph.html
