"""Convolution and pooling: against plain loops, against PyTorch over drawn shapes and options, and what is refused."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff.core.errors import ArgumentError, ShapeError
from nn import functional as F

RTOL = 1e-10


def torch_or_skip():
    return pytest.importorskip("torch", reason="the independent truth here is PyTorch")


def close(ours, theirs, rtol=RTOL):
    theirs = theirs.detach().numpy() if hasattr(theirs, "detach") else theirs
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * max(1.0, np.abs(theirs).max(initial=0.0)))


# --- plain loops: the definition, element by element ----------------------------------------------------------------


def loops_conv(x, w, b, g, stride, padding, dilation, groups):
    """Output and the gradients of x, w and b of a two-dimensional convolution, one multiplication at a time."""
    n, _, height, width = x.shape
    o, share, kh, kw = w.shape
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    oh, ow = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    y, gx, gw = np.zeros((n, o, oh, ow)), np.zeros_like(x), np.zeros_like(w)
    for image, out, r, q in product(range(n), range(o), range(oh), range(ow)):
        y[image, out, r, q] = b[out]
        for channel, i, j in product(range(share), range(kh), range(kw)):
            source, row, column = out // (o // groups) * share + channel, r * sh + i * dh - ph, q * sw + j * dw - pw
            if 0 <= row < height and 0 <= column < width:
                y[image, out, r, q] += w[out, channel, i, j] * x[image, source, row, column]
                if g is not None:
                    gx[image, source, row, column] += w[out, channel, i, j] * g[image, out, r, q]
                    gw[out, channel, i, j] += x[image, source, row, column] * g[image, out, r, q]
    return y, gx, gw, None if g is None else g.sum(axis=(0, 2, 3))


CASES = [
    ((2, 3, 5, 6), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 4, 7, 5), (6, 2, 3, 2), (2, 1), (0, 2), (1, 2), 2),
    ((2, 3, 4, 4), (3, 1, 3, 3), (1, 1), (1, 1), (1, 1), 3),
    ((2, 3, 4, 4), (6, 1, 2, 2), (2, 2), (1, 0), (1, 1), 3),
    ((3, 2, 3, 3), (4, 2, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((3, 2, 5, 3), (4, 2, 1, 1), (2, 1), (0, 0), (1, 1), 1),
    ((1, 1, 9, 2), (1, 1, 4, 1), (3, 2), (2, 0), (2, 1), 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation", "groups"), CASES)
def test_convolution_is_the_loops(shape, kernel, stride, padding, dilation, groups, rng):
    x, w, b = rng.normal(size=shape), rng.normal(size=kernel), rng.normal(size=kernel[0])
    y = loops_conv(x, w, b, None, stride, padding, dilation, groups)[0]
    g = rng.normal(size=y.shape)
    leaves = [ad.tensor(a, requires_grad=True) for a in (x, w, b)]
    out = F.conv2d(*leaves, stride, padding, dilation, groups)
    out.backward(g)
    for ours, theirs in zip(
        [out.data, *(leaf.grad for leaf in leaves)],
        loops_conv(x, w, b, g, stride, padding, dilation, groups),
        strict=True,
    ):
        close(ours, theirs)
    # The transposed convolution is the same linear map turned round: <g, A x> = <A^T g, x>, element for element.
    extra = tuple(
        n - ((m - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, m, s, p, d, k in zip(shape[2:], y.shape[2:], stride, padding, dilation, kernel[2:], strict=True)
    )
    if all(e < max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        turned = F.conv_transpose2d(g, w, None, stride, padding, extra, groups, dilation)
        close(turned.data, loops_conv(x, w, b, g, stride, padding, dilation, groups)[1])


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (40, 33)])
def test_large_batches_run_block_by_block(size, rng):
    """More images than fit into one block of unfolded windows, the last block shorter."""
    x, w = rng.normal(size=(37, 5, *size)), rng.normal(size=(3, 5, 3, 3))
    g = rng.normal(size=(37, 3, *size))
    whole = [ad.tensor(a, requires_grad=True) for a in (x, w)]
    y = F.conv2d(*whole, padding=1)
    y.backward(g)
    total = 0.0
    for i in range(37):
        one = [ad.tensor(a, requires_grad=True) for a in (x[i : i + 1], w)]
        out = F.conv2d(*one, padding=1)
        out.backward(g[i : i + 1])
        close(y.data[i : i + 1], out.data)
        close(whole[0].grad[i : i + 1], one[0].grad)
        total = total + one[1].grad
    close(whole[1].grad, total)


def loops_pool(x, g, kernel, stride, padding, dilation, largest, include=True):
    """Output and gradient of two-dimensional pooling without ceil_mode, one window at a time."""
    n, c, height, width = x.shape
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    oh, ow = ((m + 2 * p - r) // s + 1 for m, p, r, s in zip((height, width), padding, reach, stride, strict=True))
    y, gx = np.zeros((n, c, oh, ow)), np.zeros_like(x)
    for image, channel, r, q in product(range(n), range(c), range(oh), range(ow)):
        rows = [r * stride[0] - padding[0] + i * dilation[0] for i in range(kernel[0])]
        columns = [q * stride[1] - padding[1] + j * dilation[1] for j in range(kernel[1])]
        places = [(i, j) for i, j in product(rows, columns) if 0 <= i < height and 0 <= j < width]
        values = [x[image, channel, i, j] for i, j in places]
        if largest:
            best = values.index(max(values))
            y[image, channel, r, q] = values[best]
            gx[(image, channel, *places[best])] += g[image, channel, r, q] if g is not None else 0
        else:
            count = kernel[0] * kernel[1] if include else len(places)
            y[image, channel, r, q] = sum(values) / count
            for place in places:
                gx[(image, channel, *place)] += g[image, channel, r, q] / count if g is not None else 0
    return y, gx


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "dilation"),
    [
        ((2, 3, 6, 8), (2, 2), (2, 2), (0, 0), (1, 1)),
        ((2, 2, 7, 5), (2, 2), (2, 2), (0, 0), (1, 1)),
        ((1, 2, 7, 7), (3, 3), (2, 2), (1, 1), (1, 1)),
        ((2, 2, 6, 7), (3, 2), (1, 2), (0, 1), (2, 1)),
        ((1, 1, 5, 5), (2, 3), (3, 3), (1, 0), (1, 1)),
    ],
)
def test_pooling_is_the_loops(shape, kernel, stride, padding, dilation, ties, dtype, rng):
    x = (rng.integers(0, 3, shape) if ties else rng.normal(size=shape)).astype(dtype)
    kinds = [(True, lambda t: F.max_pool2d(t, kernel, stride, padding, dilation), True)]
    if dilation == (1, 1):
        kinds += [
            (False, lambda t, i=i: F.avg_pool2d(t, kernel, stride, padding, count_include_pad=i), i)
            for i in (True, False)
        ]
    for largest, function, include in kinds:
        y = loops_pool(x, None, kernel, stride, padding, dilation, largest, include)[0]
        g = rng.normal(size=y.shape).astype(dtype)
        leaf = ad.tensor(x, requires_grad=True)
        out = function(leaf)
        out.backward(g)
        rtol = RTOL if dtype == np.float64 else 1e-6
        close(out.data, y, rtol)
        close(leaf.grad, loops_pool(x, g, kernel, stride, padding, dilation, largest, include)[1], rtol)


def test_a_maximum_keeps_what_is_not_finite():
    x = ad.tensor(np.array([[[[np.nan, 1.0, -np.inf, -np.inf], [5.0, 2.0, -np.inf, -np.inf]]]]), requires_grad=True)
    out = F.max_pool2d(x, 2)
    np.testing.assert_array_equal(out.data, [[[[np.nan, -np.inf]]]])
    out.backward(np.array([[[[np.inf, 3.0]]]]))
    np.testing.assert_array_equal(x.grad, [[[[np.inf, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]])
    halves = F.max_pool2d(x[..., :2].astype(np.float32), 2)
    np.testing.assert_array_equal(halves.data, [[[[np.nan]]]])
    spread = np.array([[[np.inf, 1.0, 2.0]]])
    np.testing.assert_array_equal(F.adaptive_avg_pool1d(spread, 2).data, [[[np.inf, 1.5]]])


# --- PyTorch ---------------------------------------------------------------------------------------------------------


def agree(torch, ours, theirs, arrays, seed=0):
    """Output and all gradients."""
    xs = [ad.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    out, ref = ours(*xs), theirs(*ts)
    assert out.shape == tuple(ref.shape)
    close(out.data, ref)
    g = np.random.default_rng(seed).normal(size=out.shape)
    out.backward(g)
    ref.backward(torch.tensor(g))
    for a, b in zip(xs, ts, strict=True):
        close(a.grad, b.grad)


def integers(low, high, axes):
    return st.lists(st.integers(low, high), min_size=axes, max_size=axes).map(tuple)


@st.composite
def convolutions(draw, transposed=False):
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    n, c, o = draw(st.integers(0, 3)), groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel, stride, dilation = draw(integers(1, 3, axes)), draw(integers(1, 3, axes)), draw(integers(1, 2, axes))
    padding = draw(integers(0, 2, axes))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if transposed:
        extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
        options["output_padding"] = extra
        # long enough that something is left when the padding is cut off
        lengths = tuple(1 - (-2 * p // s) + draw(st.integers(0, 3)) for p, s in zip(padding, stride, strict=True))
        shape = (c, o // groups, *kernel)
    else:
        if draw(st.booleans()):
            options["padding"] = draw(st.sampled_from(["same", "valid"]))
            if options["padding"] == "same":
                options["stride"] = 1
        lengths = tuple(d * (k - 1) + 1 + draw(st.integers(0, 4)) for k, d in zip(kernel, dilation, strict=True))
        shape = (o, c // groups, *kernel)
    lead = (c,) if draw(st.booleans()) and n else (n, c)
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    arrays = [rng.normal(size=(*lead, *lengths)), rng.normal(size=shape)]
    if draw(st.booleans()):
        arrays.append(rng.normal(size=o))
    return axes, arrays, options


PADDED_COPY = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


@PADDED_COPY
@given(convolutions())
def test_conv_against_torch(call):
    torch = torch_or_skip()
    axes, arrays, options = call
    name = f"conv{axes}d"
    agree(
        torch,
        lambda *a: getattr(F, name)(*a, **options),
        lambda *a: getattr(torch.nn.functional, name)(*a, **options),
        arrays,
    )


@given(convolutions(transposed=True))
def test_conv_transpose_against_torch(call):
    torch = torch_or_skip()
    axes, arrays, options = call
    name = f"conv_transpose{axes}d"
    agree(
        torch,
        lambda *a: getattr(F, name)(*a, **options),
        lambda *a: getattr(torch.nn.functional, name)(*a, **options),
        arrays,
    )


@st.composite
def poolings(draw):
    axes = draw(st.integers(1, 3))
    kernel, stride = draw(integers(1, 3, axes)), draw(st.one_of(st.none(), integers(1, 4, axes)))
    dilation = draw(integers(1, 2, axes))
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    lengths = tuple(r + draw(st.integers(0, 5)) for r in reach)
    lead = draw(st.sampled_from([(2, 3), (1, 1), (3,)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    # Half of the time few different values, so that maxima are tied.
    x = (
        rng.integers(0, 3, (*lead, *lengths)).astype(float)
        if draw(st.booleans())
        else rng.normal(size=(*lead, *lengths))
    )
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return (
        axes,
        x,
        {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())},
        dilation,
    )


@given(poolings(), st.booleans(), st.sampled_from([None, 1, 3]))
def test_pooling_against_torch(call, include, override):
    torch = torch_or_skip()
    axes, x, options, dilation = call
    TF = torch.nn.functional
    name = f"max_pool{axes}d"
    largest = {**options, "dilation": dilation}
    agree(torch, lambda a: getattr(F, name)(a, **largest), lambda a: getattr(TF, name)(a, **largest), [x])
    out, where = getattr(F, name)(x, **largest, return_indices=True)
    ref, place = getattr(TF, name)(torch.tensor(x), **largest, return_indices=True)
    np.testing.assert_array_equal(out.data, ref.numpy())
    np.testing.assert_array_equal(where.data, place.numpy())
    name = f"avg_pool{axes}d"
    mean = {**options, "count_include_pad": include}
    if axes > 1:
        mean["divisor_override"] = override
    agree(torch, lambda a: getattr(F, name)(a, **mean), lambda a: getattr(TF, name)(a, **mean), [x])


@given(
    st.lists(st.tuples(st.integers(1, 9), st.one_of(st.none(), st.integers(1, 6))), min_size=1, max_size=3),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_adaptive_pooling_against_torch(sizes, seed, ties):
    torch = torch_or_skip()
    axes = len(sizes)
    lengths, wanted = tuple(n for n, _ in sizes), tuple(m for _, m in sizes)
    if axes == 1:
        wanted = (
            lengths[0] if wanted[0] is None else wanted[0],
        )  # PyTorch takes None in two and three dimensions only
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (2, 3, *lengths)).astype(float) if ties else rng.normal(size=(2, 3, *lengths))
    for kind in ("avg", "max"):
        name = f"adaptive_{kind}_pool{axes}d"
        agree(
            torch,
            lambda a, n=name: getattr(F, n)(a, wanted),
            lambda a, n=name: getattr(torch.nn.functional, n)(a, wanted),
            [x],
        )
    out, where = getattr(F, name)(x, wanted, return_indices=True)
    ref, place = getattr(torch.nn.functional, name)(torch.tensor(x), wanted, return_indices=True)
    np.testing.assert_array_equal(out.data, ref.numpy())
    np.testing.assert_array_equal(where.data, place.numpy())


LAYERS = [
    ("Conv1d", (4, 6, 3), {"padding": 2, "padding_mode": "circular", "dilation": 2}, (2, 4, 9)),
    ("Conv1d", (4, 6, 4), {"padding": "same", "padding_mode": "replicate"}, (2, 4, 9)),
    ("Conv2d", (4, 6, 3), {"padding": 1, "stride": 2}, (2, 4, 7, 8)),
    ("Conv2d", (4, 6, (3, 2)), {"padding": (2, 1), "padding_mode": "reflect", "groups": 2}, (2, 4, 5, 6)),
    ("Conv2d", (4, 4, 3), {"padding": "same", "groups": 4, "bias": False, "padding_mode": "circular"}, (2, 4, 5, 6)),
    ("Conv2d", (4, 6, 3), {"padding": "valid", "padding_mode": "reflect"}, (4, 5, 6)),
    ("Conv3d", (2, 3, 2), {"padding": 1}, (1, 2, 3, 4, 3)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 3, "output_padding": 2}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, (2, 4, 5, 6)),
    ("ConvTranspose3d", (2, 3, 2), {"bias": False, "dilation": 2}, (1, 2, 3, 2, 3)),
]


@PADDED_COPY
@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS)
def test_layers_against_torch(name, args, options, shape, rng):
    torch = torch_or_skip()
    theirs = getattr(torch.nn, name)(*args, **options).double()
    ours = getattr(nn, name)(*args, **options, dtype=np.float64)
    assert repr(ours) == repr(theirs)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    ours.load_state_dict(theirs.state_dict())
    agree(torch, ours, theirs, [rng.normal(size=shape)])
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad)
    back = getattr(torch.nn, name)(*args, **options).double()
    back.load_state_dict({key: torch.tensor(value) for key, value in ours.state_dict().items()})
    x = rng.normal(size=shape)
    close(ours(x).data, back(torch.tensor(x)))


POOLS = [
    ("MaxPool1d", {"kernel_size": 2, "padding": 1}, 1),
    ("MaxPool2d", {"kernel_size": 3, "stride": 2, "ceil_mode": True}, 2),
    ("MaxPool3d", {"kernel_size": 2, "dilation": 2}, 3),
    ("AvgPool1d", {"kernel_size": 2, "padding": 1, "count_include_pad": False}, 1),
    ("AvgPool2d", {"kernel_size": (2, 3), "divisor_override": 5}, 2),
    ("AvgPool3d", {"kernel_size": 2, "ceil_mode": True}, 3),
    ("AdaptiveAvgPool1d", {"output_size": 3}, 1),
    ("AdaptiveAvgPool2d", {"output_size": (3, None)}, 2),
    ("AdaptiveAvgPool3d", {"output_size": 1}, 3),
    ("AdaptiveMaxPool1d", {"output_size": 3}, 1),
    ("AdaptiveMaxPool2d", {"output_size": (None, 2)}, 2),
    ("AdaptiveMaxPool3d", {"output_size": 2}, 3),
]


@pytest.mark.parametrize(("name", "options", "axes"), POOLS)
def test_pooling_layers_against_torch(name, options, axes, rng):
    torch = torch_or_skip()
    ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    assert repr(ours) == repr(theirs)
    agree(torch, ours, theirs, [rng.normal(size=(2, 3, *(7, 6, 5)[:axes]))])


def test_the_output_size_of_a_transposed_layer(rng):
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, dtype=np.float64)
    x = rng.normal(size=(1, 2, 4, 5))
    assert layer(x, output_size=(8, 9)).shape == (1, 3, 8, 9)
    assert layer(x).shape == (1, 3, 7, 9)
    with pytest.raises(ArgumentError, match=r"cannot be reached.*least"):
        layer(x, output_size=(10, 10))


def test_initial_values_have_pytorchs_spread():
    layer = nn.Conv2d(30, 40, 5, generator=np.random.default_rng(0))
    bound = 1 / np.sqrt(30 * 25)
    assert np.abs(layer.weight.data).max() <= bound
    np.testing.assert_allclose(layer.weight.data.std(), bound / np.sqrt(3), rtol=0.01)
    assert np.abs(layer.bias.data).max() <= bound
    again = nn.Conv2d(30, 40, 5, generator=np.random.default_rng(0))
    np.testing.assert_array_equal(layer.weight.data, again.weight.data)


def test_a_small_network_stays_float32_and_learns(rng):
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, generator=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, generator=rng),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2, generator=rng),
    )
    x = rng.normal(size=(20, 1, 8, 8)).astype(np.float32)
    x[:10, :, ::2] += 2
    y = np.repeat([0, 1], 10)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(model(x), y)
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            assert p.grad.dtype == np.float32
            p.data = p.data - np.float32(0.3) * p.grad
        losses.append(loss.item())
    assert losses[-1] < 0.1 < 0.5 < losses[0]


def test_misuse_is_named():
    x, w = np.ones((1, 4, 5, 5)), np.ones((6, 2, 3, 3))
    with pytest.raises(ShapeError, match=r"conv: .*2 channels per group"):
        F.conv2d(x, w)
    with pytest.raises(ShapeError, match=r"conv2d: input of shape \(4, 5\)"):
        F.conv2d(np.ones((4, 5)), w)
    with pytest.raises(ShapeError, match="conv1d: weight"):
        F.conv1d(np.ones((1, 2, 5)), w)
    with pytest.raises(ShapeError, match="bias"):
        F.conv2d(x, w, np.ones(5), groups=2)
    with pytest.raises(ShapeError, match="does not fit"):
        F.conv2d(x, w, dilation=3, groups=2)
    for option in (
        {"stride": 0},
        {"stride": (1, 2, 3)},
        {"padding": -1},
        {"padding": "full"},
        {"padding": "same", "stride": 2},
        {"dilation": 1.5},
    ):
        with pytest.raises(ArgumentError, match="|".join(option)):
            F.conv2d(x, w, groups=2, **option)
    with pytest.raises(ArgumentError, match="output_padding"):
        F.conv_transpose2d(x, np.ones((4, 2, 3, 3)), output_padding=1)
    with pytest.raises(ShapeError, match="output lengths"):
        F.conv_transpose2d(x[..., :1, :1], np.ones((4, 2, 1, 1)), padding=2)
    with pytest.raises(ShapeError, match="do not fit"):
        F.max_pool2d(x, 6)
    with pytest.raises(ArgumentError, match="more than half"):
        F.max_pool2d(x, 2, padding=2)
    with pytest.raises(ArgumentError, match="divisor_override"):
        F.avg_pool2d(x, 2, divisor_override=0)
    with pytest.raises(ArgumentError, match="output_size"):
        F.adaptive_avg_pool2d(x, (1, 2, 3))
    with pytest.raises(ArgumentError, match="groups"):
        nn.Conv2d(3, 4, 3, groups=2)
    with pytest.raises(ArgumentError, match="padding_mode"):
        nn.Conv2d(3, 4, 3, padding_mode="mirror")


def test_second_order_of_a_dilated_transposed_convolution_touches_its_windows_alone():
    # Between the places of a kernel of dilation d lie d - 1 elements each way, which no window holds.
    x = ad.tensor(np.random.default_rng(0).normal(size=(1, 1, 12, 12)), requires_grad=True)
    w = ad.tensor(np.random.default_rng(1).normal(size=(1, 1, 2, 2)), requires_grad=True)
    y = F.conv_transpose2d(x, w, dilation=12)
    (g,) = ad.gradients(np.sum(y**3), [x], create_graph=True)
    left, seen = [g._node], set()
    while left:
        node = left.pop()
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            shapes = node.shape if node.shape and isinstance(node.shape[0], tuple) else (node.shape,)
            assert all(np.prod(shape) <= 16 * y.size for shape in shapes), node
            left += getattr(node, "parents", ())
    assert len(seen) > 10


def test_the_mean_of_one_axis_takes_a_divisor_as_those_of_more_do():
    x = np.arange(6.0).reshape(1, 1, 6)
    assert F.avg_pool1d(x, 2, divisor_override=4).data.ravel().tolist() == [0.25, 1.25, 2.25]
    assert nn.AvgPool1d(2, divisor_override=4)(x).data.ravel().tolist() == [0.25, 1.25, 2.25]


@pytest.mark.parametrize("place", [(0, 2), (2, 0), (1, 1), (2, 2)])
@pytest.mark.parametrize("transposed", [False, True])
def test_an_infinite_input_reaches_the_weights_that_it_meets_alone(place, transposed):
    x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    x[0, 0][place] = np.inf
    weight = ad.tensor(w, requires_grad=True)
    if transposed:  # its weight's gradient reads x where that of a convolution reads the cotangent
        F.conv_transpose2d(np.ones((1, 1, 2, 2)), weight).backward(x)
        expected = loops_conv(x, w, [0.0], np.ones((1, 1, 2, 2)), (1, 1), (0, 0), (1, 1), 1)[2]
    else:
        F.conv2d(x, weight).backward(np.ones((1, 1, 2, 2)))
        expected = loops_conv(x, w, [0.0], np.ones((1, 1, 2, 2)), (1, 1), (0, 0), (1, 1), 1)[2]
    np.testing.assert_array_equal(weight.grad, expected)
