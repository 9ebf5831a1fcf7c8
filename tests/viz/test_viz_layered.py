"""The layout of our own, which needs no Graphviz: laws of what a drawing must not do, over drawn programs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff.viz import draw
from autodiff.viz.dot import heading
from autodiff.viz.layered import layered
from autodiff.viz.sheet import curve_points, heading_places
from autodiff.viz.style import box_of, text_width
from autodiff.viz.view import EdgeView, GraphView, NodeView

DIRECTIONS = ("TB", "LR", "BT", "RL")


class Part(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.inner = nn.Linear(2, 2)

    def forward(self, x, y):
        return np.tanh(self.inner(x)) + y if self.kind else x * y


@st.composite
def graphs(draws):
    """Pictures with frames in frames, long arrows, labels, arrows back and folded blocks."""
    steps = draws(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=14))
    parts = [Part(0), Part(1)]

    def f(a, b):
        pool = [a, b]
        for kind, i, j in steps:
            x, y = pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]
            pool.append(parts[kind](x, y) if kind < 2 else np.sin(x) if kind == 2 else x - y)
        return pool[-1]

    direction = draws(st.sampled_from(["forward", "backward", "both"]))
    fold = draws(st.sampled_from([False, True, 6]))
    names = {"first": parts[0], "second": parts[1]}
    return draw(f, np.ones((1, 2)), np.ones((1, 2)), direction=direction, fold=fold, names=names)


def rectangles(view, layout):
    for node in view.nodes:
        (x, y), box = layout.nodes[node.id], box_of(node)
        yield node.id, (x - box.width / 2, y - box.height / 2, x + box.width / 2, y + box.height / 2)


def apart(a, b):
    return a[2] <= b[0] + 0.3 or b[2] <= a[0] + 0.3 or a[3] <= b[1] + 0.3 or b[3] <= a[1] + 0.3


@given(graphs(), st.sampled_from(DIRECTIONS))
def test_boxes_and_frames_keep_apart_frames_hold_what_is_theirs_and_arrows_join_their_boxes(graph, direction):
    view = graph.view.visible()
    layout = layered(view, direction)
    places = dict(rectangles(view, layout))
    for i, (one, a) in enumerate(places.items()):
        assert a[0] >= -0.3
        assert a[1] >= -0.3
        assert a[2] <= layout.width + 0.3
        assert a[3] <= layout.height + 0.3
        for other, b in list(places.items())[i + 1 :]:
            assert apart(a, b), (one, other)
    parents = {c.id: c.parent for c in view.clusters}
    frames = {c.id: layout.clusters[c.id] for c in view.clusters}
    for node in view.nodes:
        around, home = set(), node.cluster
        while home is not None:
            around.add(home)
            home = parents[home]
        for name, frame in frames.items():
            a = places[node.id]
            if name in around:
                assert frame[0] <= a[0]
                assert frame[1] <= a[1]
                assert a[2] <= frame[2] + 0.2
                assert a[3] <= frame[3] + 0.2
            else:
                assert apart(a, frame)
    for edge in view.edges:
        if edge.id not in layout.edges:
            assert edge.kind == "link"
            continue
        points, tip, _ = layout.edges[edge.id]
        assert len(points) % 3 == 1
        assert (tip is None) == (edge.kind == "link")
        first, last = (points[0], tip or points[-1])
        for end, box in ((first, places[edge.source]), (last, places[edge.target])):
            assert box[0] - 0.3 <= end[0] <= box[2] + 0.3
            assert box[1] - 0.3 <= end[1] <= box[3] + 0.3


def crossed(view, layout):
    """Arrows that run through a box that is not theirs, or through the words of a heading."""
    places = {name: (a + 2, b + 2, c - 2, d - 2) for name, (a, b, c, d) in rectangles(view, layout)}
    starts = heading_places(view, layout)
    for frame in view.clusters:
        start, room = starts[frame.id]
        for i, line in enumerate(heading(frame)):
            width, top = min(room, text_width(line, 10.5 if i else 12, not i)), layout.clusters[frame.id][1] + 15 * i
            places[f"{frame.id} {i}"] = start, top + 8, start + width, top + 19
    for edge in view.edges:
        points = layout.edges.get(edge.id, ([],))[0]
        others = [(name, place) for name, place in places.items() if name not in (edge.source, edge.target)]
        for i in range(0, len(points) - 3, 3):
            for x, y in curve_points(points[i : i + 4], 2.0):
                yield from ((edge.id, name) for name, (a, b, c, d) in others if a < x < c and b < y < d)


@given(graphs(), st.sampled_from(DIRECTIONS))
def test_no_arrow_runs_through_a_heading_or_a_box_of_others(graph, direction):
    view = graph.view.visible()
    assert not set(crossed(view, layered(view, direction)))


@pytest.mark.parametrize("options", [{"compare": True}, {"expand": True}, {"values": True, "gradients": True}])
def test_nor_does_it_in_pictures_of_networks(options):
    lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.GELU(), nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0))
    for call, x in ((lambda x: np.sum(lstm(x)[0]), np.ones((3, 2, 3))), (net, np.ones((2, 3, 4)))):
        view = draw(call, x, names={"lstm": lstm}, **options).view.visible()
        assert not set(crossed(view, layered(view)))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_flow_runs_the_way_that_is_asked_for(direction):
    view = draw(lambda x: np.exp(np.sin(x)), 1.0).view
    a, b = (layered(view, direction).nodes[name] for name in ("n0", "n2"))
    difference = {"TB": b[1] - a[1], "BT": a[1] - b[1], "LR": b[0] - a[0], "RL": a[0] - b[0]}[direction]
    assert difference > 50


def test_a_chain_stands_in_one_line_and_a_leaf_beside_its_reader():
    view = draw(lambda x, w: np.exp(np.sin(np.cos(x)) * w), 1.0, 2.0).view
    layout = layered(view)
    by_label = {node.label: layout.nodes[node.id] for node in view.nodes}
    assert abs(by_label["cos"][0] - by_label["sin"][0]) < 4
    assert by_label["w"][1] == by_label["×"][1]
    assert by_label["w"][0] < by_label["×"][0]


def test_boxes_that_depend_on_one_another_in_a_circle_are_laid_out():
    nodes = tuple(NodeView(f"n{i}", "x") for i in range(3))
    edges = tuple(EdgeView(f"e{i}", f"n{i}", f"n{(i + 1) % 3}") for i in range(3))
    assert len(layered(GraphView(nodes, edges)).edges) == 3


def test_the_same_picture_is_laid_out_the_same_way_and_a_long_one_soon():
    x = y = ad.tensor(1.0, requires_grad=True, name="x")
    for _ in range(150):
        y = np.sin(y) * 1.01 + x
    view = draw(y, fold=False).view
    assert layered(view) == layered(view)


def test_every_process_draws_the_same_picture():
    # The order of a set of names, which nothing may depend on, is another with each of these seeds.
    program = (
        "import numpy as np, nn\n"
        "from autodiff.viz import draw\n"
        "net = nn.TransformerEncoderLayer(4, 2, 4)\n"
        "print(hash('a')); print(draw(net, np.ones((2, 3, 4)), expand=True).svg)"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.partition("\n")
        for seed in "123"
    ]
    assert len({seed for seed, _, _ in told}) == 3
    assert len({drawn for _, _, drawn in told}) == 1
