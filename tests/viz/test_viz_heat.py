"""Arrays as small pictures: what a cell shows is the mean of its block, and its colour says the sign."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nn
from autodiff.viz import draw
from autodiff.viz.heat import MOST, cells, heat_map

image = pytest.importorskip("matplotlib.image")
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=70)


def pixels(found):
    return image.imread(io.BytesIO(base64.b64decode(found.uri.partition(",")[2])), format="png")[..., :3]


@given(SHAPES.filter(lambda s: np.prod(s) < 20_000), st.integers(0, 9))
def test_cells_are_means_of_blocks_and_no_more_than_fit(shape, seed):
    array = np.random.default_rng(seed).normal(size=shape)
    found = cells(array)
    assert max(found.shape) <= MOST
    rows, columns = (1, array.size) if array.ndim < 2 else (array.size // shape[-1], shape[-1])
    if array.ndim == 4:
        rows, columns = shape[0] * shape[2], shape[1] * shape[3]
    spans = [
        np.diff([*np.linspace(0, n, m, endpoint=False).astype(int), n])
        for n, m in zip((rows, columns), found.shape, strict=True)
    ]
    assert np.isclose(np.sum(found * np.outer(*spans)), array.sum(), atol=1e-9)
    if array.ndim == 2 and max(shape) <= MOST:
        assert np.allclose(found, array, rtol=1e-15)


def test_colours_say_the_sign_and_what_is_not_finite():
    picture = pixels(heat_map(np.array([[-2.0, 0.0, 2.0, np.nan]]), "value"))
    assert picture.shape == (1, 4, 3)
    blue, white, red, missing = picture[0]
    assert blue[2] > blue[0]
    assert white.min() > 0.95
    assert red[0] > red[2]
    assert missing[1] == 0


@pytest.mark.parametrize("array", [np.zeros(()), np.ones(1), np.zeros((0, 3)), np.array(["a", "b"])])
def test_what_is_no_array_of_numbers_has_no_picture(array):
    assert heat_map(array, "value") is None


def test_huge_constant_complex_and_infinite_arrays_have_one():
    with np.errstate(all="raise"):
        assert pixels(heat_map(np.full(3, 1e308), "value")).shape == (1, 3, 3)
        assert pixels(heat_map(np.zeros(3), "value")).min() > 0.95
        assert heat_map(np.array([3 + 4j, 0]), "value").text == "absolute value: 0 … 5, mean 2.5"
        assert "no finite element" in heat_map(np.array([np.inf, np.nan]), "gradient").text


@pytest.mark.parametrize("size", [1.7e308, 5e-324])
@pytest.mark.parametrize("shape", [(5000,), (40, 50), (3, 4)])
def test_numbers_at_the_ends_of_the_range_keep_their_means(size, shape):
    np.testing.assert_allclose(cells(np.full(shape, -size)), -size, rtol=1e-12)
    assert heat_map(np.full(shape, size), "value").text.endswith(f"mean {size:.3g}")
    assert np.isnan(cells(np.full(shape, np.inf))).all()


def test_boxes_show_values_and_gradients_and_the_drawing_holds_them():
    net = nn.Linear(3, 4)
    graph = draw(net, np.ones((2, 3)), values=True, gradients=True)
    kinds = {node.label: [heat.kind for heat in node.maps] for node in graph.view.nodes}
    assert kinds["linear"] == ["value", "gradient"]
    assert kinds["weight"] == ["value", "gradient"]
    assert graph.svg.count("<image") == sum(len(node.maps) for node in graph.view.nodes)
    assert not any(node.maps for node in draw(net, np.ones((2, 3)), gradients=True).view.nodes)
