"""What pictures show and hide: functions and modules drawn, values, gradients, alarms, frames, folding. Nothing is lost
by a fold.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff import fused
from autodiff.core.errors import ArgumentError, GraphError
from autodiff.viz import draw, recording
from autodiff.viz.folding import fold
from autodiff.viz.rules import rule_text
from autodiff.viz.snapshot import family_of
from autodiff.viz.view import ClusterView, EdgeView, GraphView, NodeView


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(np.tanh(self.up(self.norm(x))))


class Net(nn.Module):
    def __init__(self, blocks=5):
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([Block(4) for _ in range(blocks)])
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def labels(graph):
    return [node.label for node in graph.view.visible().nodes]


def test_a_function_is_drawn_with_its_arguments_as_leaves():
    graph = draw(lambda w, x: np.sum(np.tanh(x @ w)), np.ones((3, 2)), np.ones((4, 3)), values=True, gradients=True)
    by_label = {node.label: node for node in graph.view.nodes}
    assert by_label["w"].shape == (3, 2)
    assert by_label["x"].kind == "parameter"
    expected = ad.grad(lambda w: np.sum(np.tanh(np.ones((4, 3)) @ w)))(np.ones((3, 2)))
    assert dict(by_label["w"].details)["gradient"] == str(
        [[float(f"{v:.5g}") for v in row] for row in expected.tolist()]
    )
    assert by_label["Σ"].rows[0].startswith("= ")


def test_shown_gradients_are_those_of_backward_and_touch_nothing():
    x = ad.tensor([0.5, -2.0], requires_grad=True, name="x")
    y = np.sum(np.exp(x) * x)
    shown = dict(draw(y, gradients=True).view.nodes[0].details)["gradient"]
    assert x.grad is None
    y.backward()
    assert shown == str([float(f"{v:.5g}") for v in x.grad])


def test_after_backward_only_kept_gradients_are_shown_and_the_picture_says_so():
    x = ad.tensor([2.0, 3.0], requires_grad=True, name="x")
    y = np.sum(x * x)
    y.backward()
    graph = draw(y, gradients=True)
    assert "∂ [4, 6]" in graph.view.nodes[0].rows
    assert "retain_graph=True" in graph.view.note
    w = ad.tensor(np.ones((2, 2)), requires_grad=True)
    loss = np.sum(fused.linear(np.ones((1, 2)), w, None))
    loss.backward()
    with pytest.raises(GraphError, match="retain_graph"):
        draw(loss, compare=True)


def test_what_is_not_finite_is_red_and_its_birthplace_named():
    with np.errstate(all="ignore"):
        graph = draw(lambda x: np.log(x - 2.0) * x, np.array([1.0, 3.0]), values=True)
    bad = [node for node in graph.view.nodes if node.alert]
    assert [node.label for node in bad] == ["log", "×"]
    assert [("born here" in node.rows) for node in bad] == [True, False]
    assert "1 NaN of 2" in dict(bad[0].details)["born here"]
    assert graph.svg.count('class="node op f-alert bad"') == 2


def test_values_that_are_gone_are_counted_and_recording_keeps_them():
    x = ad.tensor([1.0, 2.0], requires_grad=True)
    assert "no longer held" in draw(np.sum(x + 1.0), values=True).view.note
    with recording():
        y = np.sum(x + 1.0)
    graph = draw(y, values=True)
    assert graph.view.note == ""
    assert [node.rows for node in graph.view.nodes if node.kind == "op"] == [("= [2, 3]",), ("= 5",)]


def test_modules_are_frames_and_parameters_carry_their_paths():
    view = draw(Net(2), np.ones((1, 3)), fold=False).view
    assert {c.label for c in view.clusters} == {"embed", "blocks.0", "blocks.1", "norm", "up", "down", "head"}
    homes = {c.id: c for c in view.clusters}
    weight = next(n for n in view.nodes if n.label == "blocks.1.norm.weight")
    assert homes[weight.cluster].label == "norm"
    assert homes[homes[weight.cluster].parent].label == "blocks.1"
    assert homes[weight.cluster].name == "LayerNorm"
    assert view.title == "Net"


def test_a_module_called_twice_is_two_frames():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(3, 3)

        def forward(self, x):
            return self.cell(np.tanh(self.cell(x)))

    view = draw(Twice(), np.ones((1, 3)), fold=False).view
    assert [c.caption for c in view.clusters if c.label == "cell"] == ["", "call 2"]
    weight = next(n for n in view.nodes if n.label == "cell.weight")
    assert weight.cluster is None


@pytest.mark.parametrize("count", [2, 12])
def test_repeated_blocks_are_drawn_once(count):
    graph = draw(Net(count), np.ones((1, 3)))
    repeat = next(c for c in graph.view.clusters if c.kind == "repeat")
    assert (repeat.label, repeat.times) == ("blocks.*", count)
    seen = graph.view.visible()
    assert labels(graph).count("layer_norm") == 1
    assert "blocks.*.norm.weight" in labels(graph)
    assert any(edge.kind == "carry" for edge in seen.edges)
    assert f"blocks.* ×{count}" in str(graph)
    assert len(labels(draw(Net(count), np.ones((1, 3)), fold=False))) == len(graph.view.nodes)


def test_depth_closes_deeper_modules():
    graph = draw(Net(2), np.ones((1, 3)), depth=0)
    assert [n.label for n in graph.view.visible().nodes if n.kind == "fold"] == ["embed", "blocks.*", "head"]
    assert "layer_norm" in labels(draw(Net(2), np.ones((1, 3)), depth=2))
    assert "layer_norm" not in labels(draw(Net(2), np.ones((1, 3)), depth=1))


def test_a_long_program_opens_folded_and_a_loop_is_one_round():
    x = y = ad.tensor(1.0, requires_grad=True, name="x")
    for _ in range(3000):
        y = np.sin(y) * 1.01 + x
    graph = draw(y)
    repeat = next(c for c in graph.view.clusters if c.kind == "repeat")
    assert repeat.times >= 2999
    assert len(labels(graph)) < 12
    assert len(graph.view.nodes) == 12001


OPERATIONS = (lambda x, y: x * y, lambda x, y: np.sin(x), lambda x, y: x + 1.0, lambda x, y: x - y)
programs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=60)


def build(program):
    pool = [ad.tensor(0.5, requires_grad=True, name="a"), ad.tensor(0.3, requires_grad=True, name="b")]
    for kind, i, j in program:
        x, y = pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]
        pool.append(OPERATIONS[kind](x, y))
    total = pool[-1]
    for tensor in pool[:-1]:
        total = total + tensor
    return total


@given(programs, st.integers(5, 40))
def test_a_fold_loses_nothing(program, limit):
    plain = draw(build(program), fold=False).view
    folded = draw(build(program), fold=limit).view
    assert [n.id for n in folded.nodes] == [n.id for n in plain.nodes]
    assert folded.edges == plain.edges
    seen = folded.visible()
    assert seen.visible() is seen
    boxes = {n.id for n in seen.nodes}
    assert all(e.source in boxes and e.target in boxes for e in seen.edges)
    opened = tuple(replace(c, collapsed=False, rolled=False) for c in folded.clusters)
    assert len(replace(folded, clusters=opened).visible().nodes) == len(plain.nodes)
    closed = replace(folded, clusters=tuple(replace(c, collapsed=True) for c in folded.clusters)).visible()
    assert len(closed.nodes) <= len(plain.nodes)
    # A closed group may hide arrows; those that stay stand for as many uses as there are between different boxes.
    assert sum(e.count for e in closed.edges) <= len(plain.edges)


@given(programs, st.integers(5, 40))
def test_folding_is_deterministic(program, limit):
    assert draw(build(program), fold=limit).dot == draw(build(program), fold=limit).dot


def test_a_rolled_block_shows_the_alarm_of_any_copy():
    nodes = [NodeView(f"n{i}", "exp", cluster=f"c{i}", alert="NaN" if i == 2 else "") for i in range(3)]
    edges = (EdgeView("e0", "n0", "n1"), EdgeView("e1", "n1", "n2"))
    clusters = (
        ClusterView("r", "loop", "repeat", rolled=True, times=3),
        *(ClusterView(f"c{i}", "copy", "span", "r") for i in range(3)),
    )
    (box,) = GraphView(tuple(nodes), edges, clusters).visible().nodes
    assert box.alert == "NaN"


def test_comparing_shows_both_gradients_and_their_difference():
    x, w = np.random.default_rng(0).normal(size=(6, 4)), np.ones((3, 4))
    graph = draw(lambda w: np.sum(np.sin(fused.batch_norm(fused.linear(x, w, None), None, None))), w, compare=True)
    sides = [c.label for c in graph.view.clusters if c.kind == "side"]
    assert sides == ["composed of elementary operations", "hand-derived, in one step"] * 2
    ports = [n for n in graph.view.nodes if n.kind == "port" and n.rows]
    assert len(ports) == 2
    for port in ports:
        facts = dict(port.details)
        assert float(facts["largest difference"]) < 1e-12
        assert re.match(r"norm|\[", facts["hand-derived"])
    links = [e for e in graph.view.edges if e.kind == "link"]
    assert len(links) == 2
    assert all(e.label.startswith("|Δ| ≤ ") for e in links)


def test_a_wrong_hand_derived_gradient_is_seen_in_the_comparison(monkeypatch):
    op = ad.registry["relu"]
    honest = op.backward
    monkeypatch.setattr(
        op, "backward", lambda g, residuals, needs: tuple(2 * part for part in honest(g, residuals, needs))
    )
    graph = draw(lambda x: np.sum(fused.relu(x)), np.array([1.0, -1.0]), compare=True)
    (port,) = [n for n in graph.view.nodes if n.kind == "port"]
    assert dict(port.details)["largest difference"] == "1.00e+00"


def test_a_profile_adds_up_over_modules():
    view = draw(Net(2), np.ones((4, 3)), profile=True, gradients=True, fold=False).view
    boxes = [n for n in view.nodes if n.seconds is not None]
    assert len(boxes) == sum(n.kind in ("op", "fused") for n in view.nodes)
    assert all(n.nbytes == int(np.prod(n.shape)) * np.dtype(n.dtype).itemsize for n in boxes)
    assert all(any("%" in row for row in c.rows) for c in view.clusters)


def test_every_rule_is_readable_and_none_is_source_code_gone_wrong():

    for op in ad.registry.values():
        for slot in range(len(op.inputs)):
            text = rule_text(op, slot)
            assert "lambda" not in text
            assert "\n" not in text
    assert rule_text(ad.registry["divide"], 1) == "-g * x / y**2"
    assert rule_text(ad.registry["log"], 0) == "g / x"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw(lambda x: 3.0, 1.0), "no Tensor"),
        (lambda: draw(ad.tensor(1.0), 2.0), "callable"),
        (lambda: draw(ad.tensor(1.0), fold=0), "fold"),
        (lambda: draw(ad.tensor(1.0), theme="blue"), "theme"),
    ],
)
def test_misuse_is_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_folding_a_view_made_by_hand():
    nodes = tuple(NodeView(f"n{i}", "exp") for i in range(1000))
    edges = tuple(EdgeView(f"e{i}", f"n{i}", f"n{i + 1}") for i in range(999))
    folded = fold(GraphView(nodes, edges), limit=20)
    assert len(folded.visible().nodes) <= 20


def test_the_backward_graph_runs_the_other_way_and_carries_the_rules():
    forward = draw(lambda x, w: np.tanh(x * w) + x, 2.0, 3.0, gradients=True).view
    backward = draw(lambda x, w: np.tanh(x * w) + x, 2.0, 3.0, gradients=True, direction="backward").view
    assert {(f"g{e.target}", f"g{e.source}") for e in forward.edges} == {(e.source, e.target) for e in backward.edges}
    assert {e.kind for e in backward.edges} == {"gradient"}
    assert [n.label for n in backward.nodes] == ["∂ +", "∂ tanh", "∂ ×", "∂ w", "∂ x"]
    into_w = next(e for e in backward.edges if e.target == "gn1")
    assert into_w.label.startswith("g * x = ")
    assert float(into_w.label.split("= ")[1]) == pytest.approx(2 * (1 - np.tanh(6.0) ** 2), rel=1e-4)


def test_constants_take_no_part_in_the_backward_graph():
    view = draw(lambda x: x * 2.0 + 1.0, 3.0, direction="backward").view
    assert [n.label for n in view.nodes] == ["∂ +", "∂ ×", "∂ x"]


def test_both_directions_stand_side_by_side():
    graph = draw(Net(2), np.ones((1, 3)), direction="both", fold=False)
    tops = [c.label for c in graph.view.clusters if c.parent is None]
    assert tops == ["forward", "backward"]
    forward = [n for n in graph.view.nodes if not n.id.startswith("g")]
    assert len(forward) == len(draw(Net(2), np.ones((1, 3)), fold=False).view.nodes)
    links = [e for e in graph.view.edges if e.kind == "link"]
    assert len(links) == 1 + sum(n.kind == "parameter" for n in forward)
    assert all(e.upward for e in graph.view.edges if e.kind == "gradient")
    assert graph.svg.startswith("<svg")


@given(programs)
def test_any_graph_turns_round(program):
    forward = draw(build(program), fold=False).view
    both = draw(build(program), fold=False, direction="both").view
    flows = [e for e in forward.edges if any(key == "rule" for key, _ in e.details)]
    assert sum(e.kind == "gradient" for e in both.edges) == len(flows)


def test_a_direction_is_one_of_three():
    with pytest.raises(ArgumentError, match="direction"):
        draw(ad.tensor(1.0, requires_grad=True) * 2.0, direction="sideways")


# --- what is rolled, framed, coloured and named -----------------------------------------------------------------------


def rounds(count):
    def f(x, w):
        for _ in range(count):
            x = np.sin(x * w) + 0.5
        return x

    return f


@pytest.mark.parametrize("count", [4, 20, 60])
def test_equal_rounds_are_rolled_however_few_the_boxes(count):
    graph = draw(rounds(count), 0.9, 1.5)
    assert len(labels(graph)) < 12
    assert [c.times for c in graph.view.clusters if c.kind == "repeat"] in ([count], [count - 1])


def test_rounds_that_differ_in_a_number_are_rolled_and_show_the_first_and_the_last():
    def count(x, w):
        for i in range(30):
            x = x * w + i
        return x

    graph = draw(count, 0.9, 0.5)
    assert len(labels(graph)) < 8
    assert "0 … 29" in labels(graph)


def test_steps_of_a_cell_are_rolled_under_its_name():
    cell = nn.LSTMCell(3, 4)

    def steps(x):
        h = c = ad.tensor(np.zeros((2, 4), np.float32))
        for t in range(20):
            h, c = cell(x[t], (h, c))
        return np.sum(h)

    graph = draw(steps, np.ones((20, 2, 3), np.float32), names={"cell": cell})
    assert any(c.kind == "repeat" and c.label == "LSTMCell" and c.times >= 18 for c in graph.view.clusters)
    assert len(labels(graph)) < 40


@pytest.mark.parametrize("layer", [nn.LSTM(3, 4), nn.LSTM(3, 4, num_layers=2)])
def test_results_of_an_operation_with_several_stand_in_its_frame(layer):
    view = draw(lambda x: np.sum(layer(x)[0]), np.ones((2, 1, 3), np.float32), names={"layer": layer}, fold=False).view
    homes = {n.id: n.cluster for n in view.nodes}
    results = [n for n in view.nodes if n.label.startswith("output ")]
    assert results
    for n in results:
        (maker,) = [e.source for e in view.edges if e.target == n.id]
        assert n.cluster == homes[maker] is not None


@pytest.mark.parametrize("named", [False, True])
def test_what_is_given_to_a_program_stands_outside_of_modules_and_is_one_box(named):
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    x = np.ones((4, 2), np.float32)
    if named:
        view = draw(lambda x: net(x) * x, x, names={"net": net}, fold=False).view
    else:

        class Outer(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = net

            def forward(self, x):
                return self.net(x) * x

        view = draw(Outer(), x, fold=False).view
    (given_box,) = [n for n in view.nodes if n.label == "x"]
    assert given_box.cluster is None
    assert sum(e.source == given_box.id for e in view.edges) == 2
    assert all(n.cluster is not None for n in view.nodes if n.label.endswith((".weight", ".bias")))


class OfIds(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(5, 3), nn.Linear(3, 2)

    def forward(self, batch):
        return self.out(self.table(batch["ids"]) * batch["scale"])


NET, LOSS = OfIds(), nn.CrossEntropyLoss()
IDS, SCALE = np.array([0, 4]), np.ones((2, 1), np.float32)


@pytest.mark.parametrize("options", [{"depth": 0}, {"fold": False}, {"fold": False, "values": True}])
@pytest.mark.parametrize(
    ("program", "args", "names"),
    [
        (lambda indices: NET.table(indices), (IDS,), {"indices"}),
        (lambda ids, target: LOSS(NET({"ids": ids, "scale": 1.0}), target), (IDS, IDS % 2), {"ids", "target"}),
        (NET, ({"ids": IDS, "scale": SCALE},), {"batch.ids", "batch.scale"}),
        (lambda x, mask: np.where(mask, x, 0.0), (np.ones(3), np.array([True, False, True])), {"x", "mask"}),
    ],
)
def test_indices_targets_and_masks_that_a_program_is_given_are_its_inputs(program, args, names, options):
    graph = draw(program, *args, names={} if program is NET else {"net": NET, "loss": LOSS}, **options)
    shown = {n.label: n for n in graph.view.visible().nodes}
    assert names <= set(shown)
    assert all(shown[name].cluster is None for name in names)


def test_frames_of_named_modules_say_their_classes_and_two_of_one_path_none():
    first, second = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Tanh())
    graph = draw(lambda x: first(x), np.ones((1, 2)), names={"first": first})
    assert "0 · Linear" in graph.dot
    graph = draw(lambda x: second(first(x)), np.ones((1, 2)), names={"first": first, "second": second})
    assert "· Linear" not in graph.dot


def test_arrays_are_named_as_tensors_are():
    scale = np.array([2.0, 3.0])
    graph = draw(lambda x: np.sum(x * scale), np.ones(2), names={"scale": scale})
    assert "scale" in labels(graph)


def test_a_detached_value_says_what_it_was():
    assert {"detach(exp)", "detach(x)"} <= set(labels(draw(lambda x: np.exp(x).detach() * x + x.detach(), 2.0)))


def test_complex_values_are_shown_in_full_or_by_their_absolute_values():
    graph = draw(lambda z: np.abs(z * 2.0), np.array([3.0 + 4.0j, 0.0]), values=True)
    assert "= [6+8j, 0+0j]" in str(graph)
    many = draw(lambda z: np.abs(z), np.full(50, 3.0 + 4.0j), values=True)
    assert "absolute 5 … 5" in str(many)


def test_a_transform_adds_no_box():
    graph = draw(lambda x: ad.grad(lambda y: y**3)(x), 2.0)
    assert "identity" not in labels(graph)


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("activation", "relu gelu gelu_tanh softplus silu elu leaky_relu sigmoid tanh soft_sign log_sigmoid softmax"),
        ("normalization", "batch_norm layer_norm group_norm rms_norm"),
        ("loss", "cross_entropy ctc_loss huber_bowl bernoulli_logits multi_margin_loss"),
        ("linear", "matmul einsum fft ifft svd eigvalsh conv linear expm"),
        ("reduction", "sum mean cumsum cumprod max_pool"),
        ("shape", "getitem reshape concatenate"),
    ],
)
def test_operations_of_one_kind_have_one_colour(family, names):
    assert {family_of(ad.registry[name]) for name in names.split()} == {family}


# --- programs that fail -----------------------------------------------------------------------------------------------


NARROW = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 1))


@pytest.mark.parametrize(
    ("program", "operation", "message"),
    [
        (lambda x, w: np.tanh(x) @ np.sin(w), "@", "mismatch"),
        (lambda x, w: np.exp(x) + w, "+", "broadcast"),
        (lambda x, w: np.concatenate([x * 2.0, w * 3.0], axis=1), "concatenate", "must match"),
        (lambda x, w: np.sum(np.cos(x), axis=7), "Σ", "out of bounds"),
        (lambda x, w: (x * 2.0)[9], "[ ]", "out of bounds"),
        (lambda x, w: x + w, "+", "broadcast"),
        (lambda x, w: NARROW(x * 2.0), "linear", "weight of shape (1, 4)"),
        (lambda x, w: NARROW(np.ones((4, 2))), "linear", "weight of shape (1, 4)"),
        (lambda x, w: [np.exp(x), w][5], "lambda", "list index"),
    ],
)
def test_a_program_that_raises_is_drawn_up_to_the_failing_operation_in_red(program, operation, message):
    x, w = np.ones((4, 2)), np.ones((3, 2))
    graph = draw(program, x, w, values=True, gradients=True, direction="both")
    (red,) = [n for n in graph.view.nodes if n.alert]
    assert operation in red.label
    assert message in dict(red.details)["message"]
    assert dict(red.details)["line"].startswith("test_viz_views.py:")
    assert "stopped at the red box" in graph.view.note
    inputs = [e.source for e in graph.view.edges if e.target == red.id]
    if operation != "lambda":
        assert inputs
        shapes = ["×".join(map(str, n.shape)) for n in graph.view.nodes if n.id in inputs and n.shape]
        assert all(shape in dict(red.details)["given"] for shape in shapes)
    assert "f-alert bad" in graph.svg


def test_what_was_recorded_beside_the_failure_is_drawn_too():
    def f(x):
        left = np.exp(x)
        right = np.sin(x) * 2.0
        return left @ np.ones((5, 5)) + right

    assert {"exp", "sin", "×", "@"} <= set(labels(draw(f, np.ones((2, 2)))))


class Mute(Exception):
    def __str__(self):
        raise ValueError


def test_an_error_that_cannot_say_its_message_is_drawn():
    def f(x):
        np.exp(x)
        raise Mute

    (red,) = [n for n in draw(f, 1.0).view.nodes if n.alert]
    assert red.alert == "Mute"


def test_a_call_that_never_starts_is_an_error():
    with pytest.raises(TypeError, match="argument"):
        draw(lambda x: x * 2.0, 1.0, 2.0)


# --- architecture -----------------------------------------------------------------------------------------------------


def test_the_architecture_is_a_box_a_module_with_class_options_shapes_and_parameters():
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 2)))
    graph = draw(net, np.ones((5, 3), np.float32), level="modules")
    boxes = {node.name: node for node in graph.view.visible().nodes if node.kind == "fold"}
    assert set(boxes) == {"Linear", "Tanh"}
    first = next(n for n in graph.view.visible().nodes if n.label == "0" and n.name == "Linear")
    assert first.rows[:3] == (net[0].extra_repr(), "5×3 → 5×4", "16 parameters")
    assert dict(first.details)["parameters"] == "16"
    assert "5×4 → 5×4" in boxes["Tanh"].rows
    assert any("5×4 → 5×2" in node.rows for node in graph.view.visible().nodes)
    assert not any(node.kind in ("op", "fused") for node in graph.view.visible().nodes)


@pytest.mark.parametrize("options", [{"level": "layers"}, {"level": "modules", "fold": False}])
def test_a_level_is_one_of_two_and_needs_folding(options):
    with pytest.raises(ArgumentError, match="level"):
        draw(nn.Linear(2, 2), np.ones((1, 2)), **options)


def test_what_modules_do_not_hold_stays_an_operation():
    names = labels(draw(Net(5), np.ones((1, 3), np.float32), level="modules"))
    assert {"embed", "head", "norm", "up", "down", "+", "tanh"} <= set(names)
    assert "layer_norm" not in names


def test_a_function_of_numpy_that_is_made_of_several_operations_has_a_frame_of_its_name():
    view = draw(lambda x: np.sum(np.sort(x) ** 2), np.array([3.0, 1.0, 2.0])).view
    frame = next(cluster for cluster in view.clusters if cluster.label == "sort")
    assert [node.label for node in view.nodes if node.cluster == frame.id] == ["[ ]"]
    assert frame.kind == "span"


def test_a_box_says_what_the_backward_pass_keeps():
    view = draw(lambda x, w: x @ w, np.ones((30, 40)), np.ones((40, 2)), values=True).view
    kept = {node.label: dict(node.details).get("kept for the backward pass") for node in view.nodes}
    assert kept == {"x": None, "w": None, "@": f"{(30 * 40 + 40 * 2) * 8 / 1e3:.3g} kB"}


steps = st.lists(st.sampled_from(["sin", "weigh", "skip", "twice"]), min_size=2, max_size=4)


@given(steps, st.integers(4, 9), st.sets(st.integers(0, 8)), st.sets(st.integers(0, 8)), st.booleans())
def test_an_arrow_of_a_block_drawn_once_is_true_of_every_copy_or_says_of_which(program, rounds, reads, keeps, turned):
    def f(x, w, b):
        y, kept = x, []
        for i in range(rounds):
            before = y + (b if i in reads else w)
            for name in program:
                y = {"sin": np.sin(y), "weigh": y * w, "skip": y * 0.5 + before, "twice": y + y}[name]
            if i in keeps:
                kept.append(y)
        return sum(kept, y)

    view = draw(f, 0.7, 1.1, 0.3, fold=30, values=True, direction="backward" if turned else "forward").view
    home = {c.id: c.parent for c in view.clusters}
    repeats = [c for c in view.clusters if c.rolled and c.parent is None]
    members = {c.id: [n.id for n in view.nodes if n.cluster == c.id] for c in view.clusters}
    shown = view.visible()
    for repeat in repeats:
        copies = [members[c.id] for c in view.clusters if c.parent == repeat.id]
        if any(home.get(c.parent) == repeat.id for c in view.clusters):
            continue
        place = {name: (k, i) for k, copy in enumerate(copies) for i, name in enumerate(copy)}
        drawn = {(e.source, e.target, e.slot, e.kind): dict(e.details).get("in", "") for e in shown.edges}
        said = {key: said_copies(where) for key, where in drawn.items()}
        found = {}
        for e in view.edges:
            source, target = (place.get(end, (None, end)) for end in (e.source, e.target))
            ends = tuple(copies[0][end[1]] if end[0] is not None else end[1] for end in (source, target))
            carried = None not in (source[0], target[0]) and source[0] != target[0]
            key = (*ends, e.slot, "carry" if carried else e.kind)
            if source[0] is not None or target[0] is not None:
                where = (source[0], target[0]) if carried else target[0] if source[0] is None else source[0]
                found.setdefault(key, set()).add(where)
        for key, where in found.items():
            if any(end in {n.id for n in shown.nodes} for end in key[:2]) and key in said:
                pairs = key[3] == "carry"
                every = {(k, k + 1) for k in range(len(copies) - 1)} if pairs else set(range(len(copies)))
                back = {(b, a) for a, b in every} if pairs else every
                if drawn[key].endswith("…"):
                    assert said[key] < where
                else:
                    assert where in ((every, back) if not drawn[key] else (said[key],)), (key, drawn[key])
        for node in shown.nodes:
            if node.id in copies[0]:
                alike = [next(n for n in view.nodes if n.id == copy[copies[0].index(node.id)]) for copy in copies]
                assert all(set(node.details) <= set(n.details) and set(node.rows) <= set(n.rows) for n in alike)


def said_copies(where):
    """The copies that some words name, from 0; pairs of them for what runs from one to another."""
    kind, _, words = where.partition(" ")
    found = set()
    for part in words.removesuffix(" …").split(", ") if words else ():
        ends = [int(n) - 1 for n in part.split(" to ")]
        found |= {tuple(ends)} if kind == "copy" and len(ends) > 1 else set(range(ends[0], ends[-1] + 1))
    return found


def test_what_holds_itself_is_looked_through_once():
    # As a notebook's Out does, once somebody has looked at it.
    out = {}
    out[1] = out

    def f(x):
        ring = [np.sin(x)]
        ring.append(ring)
        raise ValueError("here")

    assert any(n.label == "sin" for n in draw(f, 1.0).view.nodes)
    x = ad.tensor(2.0, requires_grad=True)
    (leaf, _) = draw(x * x, names={"out": out, "rate": x, "again": [x]}).view.nodes
    assert leaf.label == "rate"
