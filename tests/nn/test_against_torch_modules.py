"""Layers and losses of nn against PyTorch's: weights carried over both ways, then values, all gradients and buffers
over several calls.

A row draws ``(args, kwargs, inputs)``: the arguments of the constructor and the arrays of one call. The same names are
compared for their signatures, and networks for the order and the names of what they hold.
"""

import inspect
from importlib.util import find_spec

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff.testing import HypothesisDraw
from nn import functional as F

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="the independent truth here is PyTorch")
PROFILE = hypothesis.settings.default.max_examples
ROWS = {}


def row(*names):
    """Enter a sampler for the classes named."""

    def enter(sample):
        for name in names:
            ROWS[name] = sample
        return sample

    return enter


@row(
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Mish",
    "Sigmoid",
    "LogSigmoid",
    "Tanh",
    "Tanhshrink",
    "Softsign",
    "Hardswish",
    "GELU",
    "ELU",
    "LeakyReLU",
)
def activation(draw):
    return (), {}, [draw.array(draw.shape(), low=-5.0, high=5.0, avoid=(0.0, -3.0, 3.0, 6.0))]


def with_options(name, **options):
    def sample(draw):
        kwargs = {key: draw.choice(choices) for key, choices in options.items()}
        return (), kwargs, [draw.array(draw.shape(min_ndim=1), avoid=(-0.5, 0.0, 0.5, 1.0, -1.0))]

    row(name)(sample)


with_options("CELU", alpha=(1.0, 0.5))
with_options("Softplus", beta=(1.0, 2.0), threshold=(20.0, 9.0))
with_options("Hardtanh", min_val=(-1.0,), max_val=(1.0, 0.5))
with_options("Softshrink", lambd=(0.5,))
with_options("Hardshrink", lambd=(0.5,))
with_options("Threshold", threshold=(0.5,), value=(3.0,))
with_options("Softmax", dim=(-1, 0))
with_options("Softmin", dim=(-1, 0))
with_options("LogSoftmax", dim=(-1, 0))
with_options("Flatten", start_dim=(0,), end_dim=(-1,))


@row("GLU")
def glu(draw):
    return (), {}, [draw.array((*draw.shape(max_ndim=2), 4))]


@row("PReLU")
def prelu(draw):
    c = draw.integer(1, 3)
    return (draw.choice((1, c)),), {"init": 0.3}, [draw.array((2, c, *draw.shape(max_ndim=2)), avoid=(0.0,))]


@row("Linear")
def linear(draw):
    i, o = draw.integer(1, 4), draw.integer(1, 4)
    return (i, o), {"bias": draw.boolean()}, [draw.array((*draw.shape(max_ndim=2), i))]


def channels(draw, positions, **options):
    c = draw.integer(1, 3)
    kwargs = {"eps": draw.choice((1e-5, 0.1)), "affine": draw.boolean()} | {
        k: draw.choice(v) for k, v in options.items()
    }
    return (c,), kwargs, [draw.array((draw.integer(2, 3), c, *positions), distinct=True)]


@row("BatchNorm1d")
def batch_norm_1d(draw):
    return channels(
        draw, draw.choice(((), (3,))), momentum=(0.1, 0.4, None), track_running_stats=(True, False), bias=(True, False)
    )


@row("BatchNorm2d")
def batch_norm_2d(draw):
    return channels(draw, (2, 3), momentum=(0.1, None), track_running_stats=(True, False))


@row("BatchNorm3d")
def batch_norm_3d(draw):
    return channels(draw, (2, 1, 2), momentum=(0.1, None))


@row("InstanceNorm1d")
def instance_norm_1d(draw):
    args, kwargs, (x,) = channels(draw, (3,), momentum=(0.1, 0.4, None), track_running_stats=(True, False))
    return args, kwargs, [x[0] if draw.boolean() else x]


@row("InstanceNorm2d")
def instance_norm_2d(draw):
    return channels(draw, (2, 2), track_running_stats=(True, False))


@row("InstanceNorm3d")
def instance_norm_3d(draw):
    return channels(draw, (2, 1, 2), track_running_stats=(True, False))


@row("GroupNorm")
def group_norm(draw):
    groups = draw.integer(1, 2)
    c = groups * draw.integer(1, 2)
    affine = draw.boolean()
    kwargs = {"affine": affine, "eps": draw.choice((1e-5, 0.1)), "bias": draw.boolean()}
    return (groups, c), kwargs, [draw.array((2, c, 3), distinct=True)]


@row("LayerNorm")
def layer_norm(draw):
    shape = draw.choice(((3,), (2, 3)))
    kwargs = {"elementwise_affine": draw.boolean(), "bias": draw.boolean(), "eps": draw.choice((1e-5, 0.1))}
    return (shape,), kwargs, [draw.array((2, *shape), distinct=True)]


@row("RMSNorm")
def rms_norm(draw):
    shape = draw.choice(((3,), (2, 3)))
    return (
        (shape,),
        {"elementwise_affine": draw.boolean(), "eps": draw.choice((None, 0.1))},
        [draw.array((2, *shape), distinct=True)],
    )


@row("Identity")
def identity(draw):
    return (54,), {"unused": 1}, [draw.array(draw.shape())]


@row("Unflatten")
def unflatten(draw):
    return (1, draw.choice(((2, 3), (-1, 2), (6,)))), {}, [draw.array((2, 6))]


@row("Bilinear")
def bilinear(draw):
    i, j = draw.integer(1, 3), draw.integer(1, 3)
    return (i, j, 2), {"bias": draw.boolean()}, [draw.array((3, i)), draw.array((3, j))]


@row("Dropout1d", "AlphaDropout")
def dropouts(draw):
    return (0.0,), {}, [draw.array((2, 3, 4))]


with_shape = lambda name, shape, *args, **kwargs: row(name)(lambda draw: (args, kwargs, [draw.array(shape)]))
with_shape("Upsample", (1, 2, 3, 2), None, 2.0, mode="bilinear")
with_shape("UpsamplingNearest2d", (1, 2, 3, 2), scale_factor=2)
with_shape("UpsamplingBilinear2d", (1, 2, 3, 2), scale_factor=2)
with_shape("PixelShuffle", (1, 8, 3, 2), 2)
with_shape("PixelUnshuffle", (1, 2, 4, 2), 2)
with_shape("ChannelShuffle", (1, 4, 3, 2), 2)
with_shape("Unfold", (1, 2, 4, 4), 3, padding=1)
with_shape("Fold", (1, 8, 4), 3, 2)


with_shape("Softmax2d", (2, 3, 2, 2))
with_shape("LocalResponseNorm", (2, 4, 3), 3, 0.5)
with_shape("RReLU", (2, 3), 0.25, 0.25)
for _axes in (1, 2, 3):
    with_shape(f"LPPool{_axes}d", (1, 2, *[4] * _axes), 1, 2)


@row("EmbeddingBag")
def embedding_bag(draw):
    options = {"mode": draw.choice(("sum", "mean", "max")), "padding_idx": draw.choice((None, 2))}
    return (5, 3), options, [draw.integers((6,), 0, 4), np.array([0, 1, 4])]


@row("MaxUnpool2d")
def max_unpool(draw):
    maxima, where = F.max_pool2d(draw.array((1, 2, 4, 4), distinct=True), 2, return_indices=True)
    return (2,), {}, [maxima.data, where.data]


@row("Transformer")
def transformer(draw):
    options = {"dropout": 0.0, "batch_first": draw.boolean(), "norm_first": draw.boolean()}
    shape = (2, 3, 4)
    return (4, 2, 1, 2, 8), options, [draw.array(shape), draw.array(shape)]


# --- losses: the functions behind them are compared in test_against_torch_functional.py, here their options arrive ----


def pair(name, other, **options):
    """A loss of two arrays (3, 4); ``other`` draws the second."""

    def sample(draw):
        kwargs = {key: (choice(draw) if callable(choice) else draw.choice(choice)) for key, choice in options.items()}
        kwargs["reduction"] = draw.choice(("mean", "sum", "none"))
        return (), kwargs, [draw.array((3, 4), low=0.05, high=0.95), other(draw)]

    row(name)(sample)


def weights(draw):
    return draw.array((4,), low=0.5, high=2.0) if draw.boolean() else None


def classes(draw):
    return draw.integers((3,), 0, 3)


def targets(draw):
    return draw.array((3, 4), low=0.0, high=1.0)


def signs(draw):
    return 2 * draw.integers((3, 4), 0, 1) - 1


pair("CrossEntropyLoss", classes, weight=weights, ignore_index=(-100, 2), label_smoothing=(0.0, 0.1))
pair("NLLLoss", classes, weight=weights, ignore_index=(-100, 2))
pair("MultiMarginLoss", classes, weight=weights, p=(1, 2), margin=(1.0, 2.0))
pair("MultiLabelSoftMarginLoss", targets, weight=weights)
pair("MultiLabelMarginLoss", lambda draw: draw.integers((3, 4), -1, 3))
pair("BCELoss", targets, weight=weights)
pair("BCEWithLogitsLoss", targets, weight=weights, pos_weight=weights)
pair("KLDivLoss", targets, log_target=(True, False))
pair("MSELoss", targets)
pair("L1Loss", targets)
pair("SmoothL1Loss", targets, beta=(1.0, 0.3))
pair("HuberLoss", targets, delta=(1.0, 0.3))
pair("PoissonNLLLoss", targets, log_input=(True, False), full=(True, False), eps=(1e-8, 0.1))
pair("HingeEmbeddingLoss", signs, margin=(1.0, 2.0))
pair("SoftMarginLoss", signs)


def three(name, third, **options):
    def sample(draw):
        kwargs = {key: draw.choice(choices) for key, choices in options.items()} | {
            "reduction": draw.choice(("mean", "sum", "none"))
        }
        return (), kwargs, [draw.array((3, 4), distinct=True), draw.array((3, 4), distinct=True) - 3.1, third(draw)]

    row(name)(sample)


three("MarginRankingLoss", signs, margin=(0.0, 1.0))
three("CosineEmbeddingLoss", lambda draw: 2 * draw.integers((3,), 0, 1) - 1, margin=(0.0, -0.9))
three("TripletMarginLoss", lambda draw: draw.array((3, 4)) + 5.0, margin=(1.0, 2.0), p=(2.0, 1.0), swap=(True, False))
three("GaussianNLLLoss", lambda draw: draw.array((3, 1), low=0.5, high=2.0), full=(True, False), eps=(1e-6, 0.01))


@row("CosineSimilarity")
def cosine_similarity(draw):
    return (), {"dim": draw.choice((0, 1, 2))}, [draw.array((2, 3, 2)) + 3.0, draw.array((2, 3, 2)) - 3.0]


@row("PairwiseDistance")
def pairwise_distance(draw):
    return (
        (),
        {"p": draw.choice((1.0, 2.0)), "keepdim": draw.boolean()},
        [draw.array((2, 3)) + 3.0, draw.array((2, 3)) - 3.0],
    )


@row("CTCLoss")
def ctc(draw):
    # Behind a log_softmax, which is where PyTorch's gradient holds: see test_against_torch_functional.py.
    log_p = F.log_softmax(draw.array((4, 2, 3)), -1).data
    kwargs = {"blank": 0, "reduction": draw.choice(("mean", "sum", "none")), "zero_infinity": draw.boolean()}
    return (), kwargs, [log_p, draw.integers((2, 2), 1, 2), np.array([4, 3]), draw.integers((2,), 1, 2)]


VALUES_ONLY = {"CTCLoss"}


# --- the tests --------------------------------------------------------------------------------------------------------


def close(ours, theirs, words):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape, f"{words}: shape {ours.shape}, PyTorch's {theirs.shape}"
    np.testing.assert_allclose(
        ours, theirs, rtol=1e-10, atol=1e-10 * max(1.0, float(np.abs(theirs).max(initial=0.0))), err_msg=words
    )


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning", "ignore:enable_nested_tensor:UserWarning")
@pytest.mark.parametrize("name", ROWS)
def test_agrees_with_pytorch(name):
    import torch

    @hypothesis.settings(max_examples=max(5, PROFILE // 3))
    @given(st.data())
    def holds(data):
        draw = HypothesisDraw(data.draw)
        args, kwargs, inputs = ROWS[name](draw)
        ours = getattr(nn, name)(*args, **kwargs).double()
        named = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in kwargs.items()}
        theirs = getattr(torch.nn, name)(*args, **named).double()
        rng = np.random.default_rng(0)
        with torch.no_grad():
            for parameter in theirs.parameters():
                parameter.copy_(torch.tensor(rng.normal(size=parameter.shape)))
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert [key for key, _ in ours.named_parameters()] == [key for key, _ in theirs.named_parameters()]
        ours.load_state_dict(theirs.state_dict())
        for training in (True, True, False):
            ours.train(training)
            theirs.train(training)
            compare(ours, theirs, inputs, rng, torch, name not in VALUES_ONLY)
        back = getattr(torch.nn, name)(*args, **named).double()
        back.load_state_dict({key: torch.tensor(value) for key, value in ours.state_dict().items()})
        for key, value in back.state_dict().items():
            close(ours.state_dict()[key], value, key)

    holds()


def compare(ours, theirs, inputs, rng, torch, gradients):
    leaves = [ad.tensor(a, requires_grad=a.dtype.kind == "f") for a in inputs]
    reference_leaves = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in inputs]
    ours.zero_grad()
    theirs.zero_grad()
    out, reference = ours(*leaves), theirs(*reference_leaves)
    close(out.data, reference, "output")
    if gradients and reference.requires_grad:
        g = rng.normal(size=out.shape)
        out.backward(g)
        reference.backward(torch.tensor(g))
        for i, (a, b) in enumerate(zip(leaves, reference_leaves, strict=True)):
            if b.grad is not None:
                close(a.grad, b.grad, f"gradient of input {i}")
        for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            close(p.grad, q.grad, f"gradient of {key}")
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        close(a, b, key)


# What torch has for other hardware, for deprecated calls, or under another name.
FOREIGN = {
    "size_average",
    "reduce",
    "inplace",
    "_stacklevel",
    "device",
    "dtype",
    "self",
    "min_value",
    "max_value",
    "_freeze",
}
FOREIGN |= {"enable_nested_tensor", "mask_check"}
# Softmax along a guessed axis is deprecated in torch; an activation may be named.
OWN_DEFAULTS = {"dim", "activation", "modules", "return_indices"}


def signature(function):
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        p.name: p.default
        for p in inspect.signature(function).parameters.values()
        if p.name not in FOREIGN and p.kind not in kinds
    }


def same_signature(name, ours, theirs):
    a, b = signature(ours), signature(theirs)
    assert [key for key in a if key in b] == list(b), f"{name} takes {list(a)}, PyTorch's {list(b)}"
    different = {key: (a[key], default) for key, default in b.items() if a[key] != default and key not in OWN_DEFAULTS}
    assert not different, f"{name}: defaults (ours, PyTorch's) {different}"


def test_functions_have_pytorchs_signatures():
    import torch

    compared = 0
    for name in F.__all__:
        theirs = getattr(torch.nn.functional, name, None)
        if inspect.isfunction(theirs):
            same_signature(name, getattr(F, name), theirs)
            compared += 1
    assert compared >= 40


def test_modules_have_pytorchs_signatures():
    import torch

    compared = 0
    for name in nn.__all__:
        theirs = getattr(torch.nn, name, None)
        if inspect.isclass(theirs) and inspect.isclass(getattr(nn, name)) and name != "Parameter":
            same_signature(name, getattr(nn, name).__init__, theirs.__init__)
            compared += 1
    assert compared >= 60


@pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")
def test_a_transformer_takes_pytorchs_masks():
    import torch

    rng = np.random.default_rng(3)
    ours, theirs = nn.Transformer(4, 2, 1, 1, 8, 0.0).double(), torch.nn.Transformer(4, 2, 1, 1, 8, 0.0).double()
    ours.load_state_dict(theirs.state_dict())
    source, target = rng.normal(size=(5, 2, 4)), rng.normal(size=(3, 2, 4))
    padding = np.array([[False] * 5, [False, False, True, True, True]])
    causal = nn.Transformer.generate_square_subsequent_mask(3, np.float64)
    masks = {"tgt_mask": causal, "src_key_padding_mask": padding, "memory_key_padding_mask": padding}
    reference = theirs(torch.tensor(source), torch.tensor(target), **{k: torch.tensor(v) for k, v in masks.items()})
    close(ours(source, target, **masks).data, reference, "output")
    del masks["tgt_mask"]
    close(ours(source, target, **masks, tgt_is_causal=True).data, reference, "causal output")
    with pytest.raises(ad.ShapeError, match="d_model=4"):
        ours(source[..., :2], target)


@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.ParameterList([lib.Parameter(x) for x in lib.numbers()]),
        lambda lib: lib.ParameterDict(dict(zip("ba", map(lib.Parameter, lib.numbers()), strict=True))),
    ],
)
def test_containers_of_parameters_hold_what_pytorchs_hold(make, monkeypatch):
    import torch

    monkeypatch.setattr(nn, "numbers", lambda: [np.ones(2), np.zeros((2, 1))], raising=False)
    monkeypatch.setattr(torch.nn, "numbers", lambda: [torch.ones(2), torch.zeros(2, 1)], raising=False)
    ours, theirs = make(nn), make(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert len(ours) == len(theirs) == len(list(ours.parameters()))
    ours.load_state_dict(theirs.state_dict())
    assert "Parameter of shape (2, 1)" in repr(ours)


def test_a_list_of_parameters_is_a_list():
    weights = nn.ParameterList([np.ones(1), np.ones(2)])
    weights += [np.ones(3)]
    weights[0] = nn.Parameter(np.ones(4))
    assert [p.size for p in weights] == [4, 2, 3]
    assert weights.pop(1).size == 2
    assert [p.size for p in weights[-1:]] == [3]
    assert sorted(weights.state_dict()) == ["0", "1"]
    with pytest.raises(IndexError):
        weights[2]
    pair = weights + [np.ones(2)]
    assert pair[2] in pair  # the very one: == asks every element, and (3,) meets (2,)
    del pair[0]
    assert [p.size for p in pair] == [3, 2]
    assert len(weights) == 2
    table = nn.ParameterDict([("a", np.ones(1))])
    table["b"] = table["a"]
    assert len(list(table.parameters())) == 1
    del table["a"]
    assert list(table.items()) == [("b", table.b)]
    assert table.get("c") is None


def test_initialisers_are_pytorchs():
    import torch

    theirs = {name for name in dir(torch.nn.init) if name.endswith("_") and not name.startswith("_")}
    assert theirs <= set(nn.init.__all__)
    for name in theirs:
        same_signature(name, getattr(nn.init, name), getattr(torch.nn.init, name))
    for nonlinearity in ("linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(nonlinearity) == pytest.approx(torch.nn.init.calculate_gain(nonlinearity))
    for shape in ((4, 3), (6, 2, 3), (4, 2, 3, 3), (2, 1, 2, 2, 2)):
        ours, reference = nn.Parameter(np.ones(shape, np.float64)), torch.empty(shape, dtype=torch.float64)
        if len(shape) > 2:
            close(nn.init.dirac_(ours, 2).data, torch.nn.init.dirac_(reference, 2), "dirac_")
        else:
            close(nn.init.eye_(ours).data, torch.nn.init.eye_(reference), "eye_")


def nested(package, shared):
    lib = package
    layer = lib.Linear(3, 3)
    return lib.Sequential(
        lib.ModuleDict({"first": layer, "norm": lib.BatchNorm1d(3)}),
        lib.ModuleList([lib.Linear(2, 2), lib.Sequential(lib.PReLU(), layer if shared else lib.Linear(3, 3))]),
    )


@pytest.mark.parametrize("shared", [False, True])
def test_networks_hold_what_pytorchs_hold_in_the_same_order(shared):
    import torch

    ours, theirs = nested(nn, shared), nested(torch.nn, shared)
    for method in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [key for key, _ in getattr(ours, method)()] == [key for key, _ in getattr(theirs, method)()], method
    assert [key for key, _ in ours.named_parameters(remove_duplicate=False)] == [
        k for k, _ in theirs.named_parameters(remove_duplicate=False)
    ]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict({key: torch.tensor(value) for key, value in ours.state_dict().items()})
    seen = ([], [])
    for module, order in zip((ours, theirs), seen, strict=True):
        module.apply(lambda m, order=order: order.append(type(m).__name__))
    assert seen[0] == seen[1]
    for target in ("0.first", "1.1.0", ""):
        assert type(ours.get_submodule(target)).__name__ == type(theirs.get_submodule(target)).__name__
    assert ours.get_parameter("0.first.weight") is ours[0]["first"].weight
    assert ours.get_buffer("0.norm.running_mean") is ours[0]["norm"].running_mean


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ReLU", (True,)),
        ("ELU", (0.3, True)),
        ("Hardtanh", (-0.5, 0.7, True)),
        ("LeakyReLU", (0.1, True)),
        ("Threshold", (0.1, 2.0, True)),
        ("SiLU", (True,)),
        ("Dropout", {"p": 0.0, "inplace": True}),
    ],
)
def test_in_place_layers_write_over_their_input_as_pytorchs_do(name, options):
    import torch

    named = options if isinstance(options, dict) else {}
    given = () if named else options
    ours, theirs = getattr(nn, name)(*given, **named), getattr(torch.nn, name)(*given, **named)
    assert "inplace=True" in repr(ours)
    assert "inplace" not in repr(getattr(nn, name)(*given[:-1], **{**named, **({"inplace": False} if named else {})}))
    x = np.random.default_rng(0).normal(size=(3, 4))
    a, b = ad.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    h, k = a * 2, b * 2
    out, reference = ours(h), theirs(k)
    assert out is h
    close(h.data, k, "the input, written over")
    (out * out + h).sum().backward()
    (reference * reference + k).sum().backward()
    close(a.grad, b.grad, "gradient")
    with pytest.raises(ad.AutodiffError):
        ours(a)


def test_a_network_of_in_place_layers_computes_what_one_without_does():
    rng = np.random.default_rng(0)
    first, last = nn.Linear(4, 8, generator=rng), nn.Linear(8, 2, generator=rng)
    x = ad.tensor(rng.normal(size=(3, 4)).astype(np.float32), requires_grad=True)
    found = []
    for inplace in (False, True):
        nn.Sequential(first, nn.Tanh(), nn.ReLU(inplace=inplace), nn.Dropout(0.0, inplace=inplace), last)(
            x
        ).sum().backward()
        found.append((x.grad, first.weight.grad))
        x.grad = None
        first.zero_grad()
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])
    with pytest.raises(ad.ArgumentError, match="write inplace=True"):
        nn.Dropout(0.5, True)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3)])
@pytest.mark.parametrize("bias", [None, 0.5])
def test_linear_takes_a_weight_of_one_axis(shape, bias):
    import torch

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape), rng.normal(size=3)
    ours = [ad.tensor(a, requires_grad=True) for a in (x, w)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, w)]
    out = F.linear(*ours, bias if bias is None else np.array(bias))
    reference = torch.nn.functional.linear(*theirs) + (bias or 0.0)  # of some shapes PyTorch takes no bias here
    close(out.data, reference, "output")
    out.sum().backward()
    reference.sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        close(a.grad, b.grad, "gradient")
