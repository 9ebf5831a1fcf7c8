"""``python -m autodiff.viz``, notebooks, the layout engines and what happens without them, and the pictures of
training.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.extras import loadable
from autodiff.viz import activation_histograms, draw, gradient_histograms, histograms, weight_tiles
from autodiff.viz.__main__ import main

SCRIPT = """
import numpy as np
import nn

def loss(x, scale=2.0):
    return np.sum(np.sin(x) * scale)

net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))

class Holder:
    f = staticmethod(loss)

number = 3
if __name__ == "__main__":
    raise SystemExit("a script that is drawn must not run")
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(SCRIPT)
    return path


def test_a_function_of_a_script_is_listed(script, capsys):
    assert main([f"{script}:loss", "[1.0, 2.0]", "--values"]) == 0
    printed = capsys.readouterr().out
    assert "sin(%0)" in printed
    assert "= [1, 2]" in printed


@pytest.mark.parametrize("target", ["net", "Holder.f"])
def test_every_format_is_written(script, tmp_path, capsys, target):
    files = [tmp_path / f"g.{suffix}" for suffix in ("svg", "html", "dot", "txt", "png", "pdf")]
    assert main([f"{script}:{target}", "shape:5x3", "--gradients", *(f"-o{file}" for file in files)]) == 0
    assert all(file.stat().st_size > 50 for file in files)
    assert capsys.readouterr().out.split() == [str(file) for file in files]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.py:f"], "no such file"),
        (["{script}"], "script.py:function"),
        (["{script}:missing"], "it has .*loss"),
        (["{script}:number"], "int"),
        (["{script}:loss", "what?"], "literal"),
        (["{script}:loss", "shape:ax2"], "shape:4x3"),
        (["{script}:loss", "1.0", "-oout.gif"], "suffix"),
        (["no.such.package:f"], "no"),
    ],
)
def test_mistakes_are_named_and_the_status_is_two(script, capsys, arguments, message):
    assert main([a.replace("{script}", str(script)) for a in arguments]) == 2
    import re

    assert re.search(message, capsys.readouterr().err)


def test_the_command_runs(script):
    command = [sys.executable, "-m", "autodiff.viz", f"{script}:loss", "2.0", "--direction", "backward"]
    for encoding, printed in (("utf-8", "∂ x"), ("cp1252", r"\u2202 x")):  # a pipe of Windows has no such sign
        env = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[2], check=True, env=env)
        assert printed in done.stdout.decode(encoding)


# --- layout engines -------------------------------------------------------------------------------------------------


def picture():
    x = ad.tensor(1.0, requires_grad=True, name="x")
    return draw(x * x)


@pytest.fixture
def bare(monkeypatch):
    """A machine without Graphviz."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


def test_without_graphviz_every_format_is_written(bare, tmp_path):
    graph = picture()
    assert graph.save(tmp_path / "g.pdf").read_bytes().startswith(b"%PDF")
    assert graph.save(tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    assert graph.save(tmp_path / "g.svg").read_text().count('id="n') == 2
    assert graph.dot.startswith("digraph")
    assert graph.save(tmp_path / "g.html").stat().st_size > 10_000
    assert "image/svg+xml" in graph._repr_mimebundle_()
    assert "%0  x" in str(graph)


@pytest.mark.skipif(
    not loadable("pygraphviz"), reason="pygraphviz is missing, or a library of the system that it needs"
)
def test_dot_on_the_path_is_used_first(monkeypatch):
    calls = []

    class Stub:
        @staticmethod
        def pipe(engine, format, data):
            calls.append((engine, format))
            import pygraphviz

            return pygraphviz.AGraph(string=data.decode()).draw(format=format, prog="dot")

    from autodiff.viz import svg

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/dot")
    monkeypatch.setattr(svg, "require", lambda name: Stub)
    assert b"<svg" in svg.render("digraph { a }", "svg")
    assert calls == [("dot", "svg")]


def test_a_notebook_gets_the_page_in_a_frame_and_the_drawing():
    bundle = picture()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "image/svg+xml"}
    assert bundle["text/html"].startswith('<iframe srcdoc="&lt;!DOCTYPE html')
    assert bundle["text/html"].count("<") == 2


def test_wide_pictures_have_the_size_they_need():
    x = ad.tensor(1.0, requires_grad=True, name="x")
    total = sum((np.sin(x * float(i)) for i in range(60)), start=x)
    width = float(draw(total, fold=False).svg.partition('width="')[2].partition('"')[0])
    assert width > 12 * 72


# --- pictures of training ---------------------------------------------------------------------------------------------


@pytest.fixture
def net():
    nn.init.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def test_histograms_of_activations_name_layers_and_count_zeros(net, tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 16))
    figure = activation_histograms(net, x, path=tmp_path / "a.png")
    titles = [axis.get_title() for axis in figure.axes]
    assert [t.partition("\n")[0] for t in titles] == ["0", "1", "2"]
    share = np.mean(net[1](net[0](x)).data == 0)
    assert f"{share:.0%} zero" in titles[1]
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert not net[0]._forward_hooks


def test_histograms_of_gradients_follow_backward(net):
    with pytest.raises(ArgumentError, match="backward"):
        gradient_histograms(net)
    net(np.ones((2, 16))).sum().backward()
    figure = gradient_histograms(net)
    counts = [sum(patch.get_height() for patch in axis.patches) for axis in figure.axes]
    assert counts == [p.size for p in net.parameters()]


def test_histograms_put_what_is_not_finite_in_the_heading():
    figure = histograms({"a": [1.0, np.nan, np.inf], "b": [np.nan]})
    assert [axis.get_title().splitlines()[-1] for axis in figure.axes] == ["2 not finite", "1 not finite"]
    with pytest.raises(ArgumentError, match="no arrays"):
        histograms({})


def test_histograms_of_tuples_shared_modules_complex_equal_and_huge_numbers():
    titles = lambda figure: [axis.get_title().split("\n") for axis in figure.axes]
    assert [t[0] for t in titles(activation_histograms(nn.LSTM(3, 4), np.ones((5, 2, 3))))] == [
        f"LSTM[{i}]" for i in range(3)
    ]
    layer = nn.Linear(3, 3)
    shared = activation_histograms(nn.Sequential(layer, nn.ReLU(), layer), np.ones((2, 3)))
    assert [t[0] for t in titles(shared)] == ["0", "1", "0#2"]
    given = {"z": np.array([3 + 4j]), "t": ad.tensor([2.0], requires_grad=True), "huge": np.array([1e300, -1e300])}
    assert [t[1] for t in titles(histograms({**given, "equal": np.full(9, 1e17)}))] == [
        "mean 5, std 0",
        "mean 2, std 0",
        "mean 0, std 1e+300",
        "mean 1e+17, std 0",
    ]


def test_first_layer_weights_are_tiles(net, tmp_path):
    figure = weight_tiles(net[0].weight, path=tmp_path / "w.png")
    assert len(figure.axes) == 8
    np.testing.assert_array_equal(figure.axes[3].images[0].get_array(), net[0].weight.data[3].reshape(4, 4))
    colour = weight_tiles(np.random.default_rng(0).normal(size=(5, 3, 7, 7)))
    assert colour.axes[0].images[0].get_array().shape == (7, 7, 3)
    with pytest.raises(ShapeError, match="shape="):
        weight_tiles(np.zeros((4, 15)))
    with pytest.raises(ShapeError, match="units"):
        weight_tiles(np.zeros(4))


def test_whole_numbers_alone_are_named(tmp_path, capsys):
    (tmp_path / "whole.py").write_text("def f(x):\n    return x * 2\n")
    target = f"{tmp_path / 'whole.py'}:f"
    assert main([target, "[[1, 2], [3, 4]]"]) == 2
    assert "write 1.0 for 1" in capsys.readouterr().err
    assert main([target, "[[1.0, 2.0], [3.0, 4.0]]"]) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_hides_no_other(bad):
    weight = np.array([[1.0, -2.0, 0.5, 0.0], [bad, 0.25, 0.0, -1.0]])
    images = [panel.get_images()[0] for panel in weight_tiles(weight).axes]
    assert [image.get_clim() for image in images] == [(-2.0, 2.0)] * 2
    assert np.ma.count_masked(images[1].get_array()) == 1
    colours = np.random.default_rng(0).uniform(size=(2, 3, 2, 2))
    colours[0, 0, 0, 0] = bad
    shown = weight_tiles(colours).axes[0].get_images()[0].get_array()
    assert np.isfinite(np.ma.filled(shown, 0.0)).sum() >= 11


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: histograms([np.ones(3)]), "a dict of arrays by name"),
        (lambda: histograms({"x": np.ones(3)}, bins=0), "bins must be a positive int"),
        (lambda: histograms({"x": None}), "shows numbers, got a NoneType"),
        (lambda: weight_tiles(np.ones((2, 4)), most=0), "most must be a positive int"),
        (lambda: activation_histograms(np.tanh, np.ones(3)), "needs an nn.Module, got a ufunc"),
        (lambda: gradient_histograms([]), "needs an nn.Module, got a list"),
    ],
)
def test_pictures_of_training_refuse_by_name(call, words):
    with pytest.raises(ArgumentError, match=words):
        call()
