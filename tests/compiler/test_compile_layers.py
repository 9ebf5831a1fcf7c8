"""Every layer of ``nn`` under ``autodiff.compile``: the plain program's bits, and served from the third call on."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
import nn

A, B, C, D = (6, 4), (2, 4, 6), (2, 4, 6, 6), (2, 4, 4, 4, 4)


def whole(high: int, *shape: int) -> Any:
    """Integers from 0 on, other ones in each call."""
    return lambda r: r.integers(0, high, shape)


def signs(*shape: int) -> Any:
    return lambda r: np.where(r.random(shape) < 0.5, -1.0, 1.0).astype(np.float32)


def unit(*shape: int) -> Any:
    """Probabilities."""
    return lambda r: (r.random(shape) * 0.8 + 0.1).astype(np.float32)


def classes(r: Any) -> Any:
    """Log-probabilities (time, batch, classes)."""
    scores = r.normal(size=(5, 2, 4)).astype(np.float32)
    return scores - np.log(np.exp(scores).sum(2, keepdims=True))


def per_axes(name: str, *args: Any, shapes: dict[int, Any] | None = None, seeded: bool = False) -> dict[str, Any]:
    found = {}
    drawn = (lambda: {"generator": np.random.default_rng(0)}) if seeded else dict
    for n, shape in (shapes or {1: B, 2: C, 3: D}).items():
        found[f"{name}{n}d"] = (lambda n=n: getattr(nn, f"{name}{n}d")(*args, **drawn()), shape)
    return found


class Held(nn.Module):
    """A container's members in use."""

    def __init__(self, held: Any, use: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.held, self.use = held, use

    def forward(self, x: Any) -> Any:
        return self.use(self.held, x)


def unpooled(n: int) -> Any:
    pool, back = getattr(nn, f"MaxPool{n}d")(2, return_indices=True), getattr(nn, f"MaxUnpool{n}d")(2)
    return Held(nn.ModuleList([pool, back]), lambda held, x: held[1](*held[0](x)))


def preceded(layer: Any, norm: Any) -> Any:
    return nn.Sequential(layer, norm(4, layer=layer))


class Scale(nn.FunctionLayer):
    _function = staticmethod(lambda x, factor: factor * x)
    factor: float = 2.0


ONE = (
    "CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh Identity LeakyReLU LogSigmoid Mish PReLU RReLU ReLU ReLU6"
)
ONE += " SELU SiLU Sigmoid Softplus Softshrink Softsign Tanh Tanhshrink AlphaDropout Dropout"
PAIRED = "BCEWithLogitsLoss HuberLoss L1Loss MSELoss PoissonNLLLoss SmoothL1Loss"
LAYERS: dict[str, tuple[Any, ...]] = {
    **{name: (getattr(nn, name), A) for name in ONE.split()},
    **{name: (getattr(nn, name), A, A) for name in PAIRED.split()},
    **per_axes("AdaptiveAvgPool", 2),
    **per_axes("AdaptiveMaxPool", 2),
    **per_axes("AvgPool", 2),
    **per_axes("BatchNorm", 4),
    **per_axes("BatchRenorm", 4),
    **per_axes("CircularPad", 1),
    **per_axes("ConstantPad", 1, 0.5),
    **per_axes("Conv", 4, 2, 3),
    **per_axes("ConvTranspose", 4, 2, 3),
    "CrossIterationBatchNorm1d": (lambda: preceded(nn.Linear(4, 4), nn.CrossIterationBatchNorm1d), A),
    "CrossIterationBatchNorm2d": (lambda: preceded(nn.Conv2d(4, 4, 3), nn.CrossIterationBatchNorm2d), C),
    **per_axes("Dropout"),
    **per_axes("InstanceNorm", 4),
    **per_axes("LPPool", 2.0, 2),
    **per_axes("MaxPool", 2),
    **per_axes("ReflectionPad", 1),
    **per_axes("ReplicationPad", 1),
    **per_axes("ZeroPad", 1),
    **{f"MaxUnpool{n}d": (lambda n=n: unpooled(n), shape) for n, shape in ((1, B), (2, C), (3, D))},
    **per_axes("LazyBatchNorm"),
    **per_axes("LazyInstanceNorm"),
    **per_axes("LazyConv", 2, 3, seeded=True),
    **per_axes("LazyConvTranspose", 2, 3, seeded=True),
    **per_axes("FractionalMaxPool", 2, 2, seeded=True, shapes={2: C, 3: D}),
    "LazyLinear": (lambda: nn.LazyLinear(3, generator=np.random.default_rng(0)), A),
    # Labels decide how many rows go where, and so which way a call takes.
    "AdaptiveLogSoftmaxWithLoss": (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2, 4]), A, lambda r: np.arange(6)),
    "BCELoss": (lambda: Held(nn.BCELoss(), lambda loss, x: loss(1 / (1 + np.exp(-x)), np.full(A, 0.3, np.float32))), A),
    "Bilinear": (lambda: nn.Bilinear(4, 4, 3), A, A),
    "CTCLoss": (
        lambda: Held(
            nn.CTCLoss(), lambda loss, x: loss(x, np.array([[1, 2], [3, 1]]), np.array([5, 5]), np.array([2, 2]))
        ),
        classes,
    ),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), C),
    "CosineEmbeddingLoss": (nn.CosineEmbeddingLoss, A, A, signs(6)),
    "CosineSimilarity": (nn.CosineSimilarity, A, A),
    "CrossEntropyLoss": (nn.CrossEntropyLoss, A, whole(4, 6)),
    "Embedding": (lambda: nn.Embedding(7, 3), whole(7, 2, 5)),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(7, 3), whole(7, 2, 5)),
    "FeatureAlphaDropout": (nn.FeatureAlphaDropout, C),
    "Flatten": (nn.Flatten, C),
    "Fold": (lambda: nn.Fold((4, 4), 2), (2, 16, 9)),
    "FullyConnectedNet": (lambda: nn.FullyConnectedNet([5], input_dim=4, num_classes=3), A),
    "FunctionLayer": (lambda: Scale(3.0), A),
    "GLU": (nn.GLU, A),
    "KLDivLoss": (nn.KLDivLoss, A, unit(*A)),
    "GRU": (lambda: nn.GRU(4, 3), (5, 2, 4)),
    "GRUCell": (lambda: nn.GRUCell(4, 3), A),
    "GaussianNLLLoss": (nn.GaussianNLLLoss, A, A, unit(*A)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), C),
    "HingeEmbeddingLoss": (nn.HingeEmbeddingLoss, A, signs(*A)),
    "LSTM": (lambda: nn.LSTM(4, 3), (5, 2, 4)),
    "LSTMCell": (lambda: nn.LSTMCell(4, 3), A),
    "LayerNorm": (lambda: nn.LayerNorm(4), A),
    "Linear": (lambda: nn.Linear(4, 3), A),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(2), C),
    "LogSoftmax": (lambda: nn.LogSoftmax(dim=1), A),
    "MarginRankingLoss": (nn.MarginRankingLoss, (6,), (6,), signs(6)),
    "Maxout": (lambda: nn.Maxout(2), A),
    "ModuleDict": (lambda: Held(nn.ModuleDict({"a": nn.Linear(4, 3)}), lambda held, x: held["a"](x)), A),
    "ModuleList": (lambda: Held(nn.ModuleList([nn.Linear(4, 3)]), lambda held, x: held[0](x)), A),
    "MultiLabelMarginLoss": (nn.MultiLabelMarginLoss, A, whole(4, *A)),
    "MultiLabelSoftMarginLoss": (nn.MultiLabelSoftMarginLoss, A, whole(2, *A)),
    "MultiMarginLoss": (nn.MultiMarginLoss, A, whole(4, 6)),
    "MultiheadAttention": (lambda: Held(nn.MultiheadAttention(4, 2), lambda m, x: m(x, x, x)[0]), (5, 2, 4)),
    "NLLLoss": (nn.NLLLoss, A, whole(4, 6)),
    "PairwiseDistance": (nn.PairwiseDistance, A, A),
    "ParameterDict": (
        lambda: Held(nn.ParameterDict({"a": nn.Parameter(np.ones(4, np.float32))}), lambda h, x: h["a"] * x),
        A,
    ),
    "ParameterList": (lambda: Held(nn.ParameterList([nn.Parameter(np.ones(4, np.float32))]), lambda h, x: h[0] * x), A),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), C),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), C),
    "RMSNorm": (lambda: nn.RMSNorm(4), A),
    "RNN": (lambda: nn.RNN(4, 3), (5, 2, 4)),
    "RNNCell": (lambda: nn.RNNCell(4, 3), A),
    "Residual": (lambda: nn.Residual(nn.Linear(4, 4)), A),
    "Sequential": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh()), A),
    "SoftMarginLoss": (nn.SoftMarginLoss, A, signs(*A)),
    "Softmax": (lambda: nn.Softmax(dim=1), A),
    "Softmax2d": (nn.Softmax2d, C),
    "Softmin": (lambda: nn.Softmin(dim=1), A),
    "Threshold": (lambda: nn.Threshold(0.1, 2.0), A),
    "Transformer": (lambda: nn.Transformer(4, 2, 1, 1, 8, dropout=0.0), (5, 2, 4), (3, 2, 4)),
    "TransformerDecoder": (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8, 0.0), 1),
        (5, 2, 4),
        (3, 2, 4),
    ),
    "TransformerDecoderLayer": (lambda: nn.TransformerDecoderLayer(4, 2, 8, 0.0), (5, 2, 4), (3, 2, 4)),
    "TransformerEncoder": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, 0.0), 1), (5, 2, 4)),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, 0.0), (5, 2, 4)),
    "TripletMarginLoss": (nn.TripletMarginLoss, A, A, A),
    "TripletMarginWithDistanceLoss": (nn.TripletMarginWithDistanceLoss, A, A, A),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 2)), A),
    "Unfold": (lambda: nn.Unfold(2), C),
    "Upsample": (lambda: nn.Upsample(scale_factor=2), C),
    "UpsamplingBilinear2d": (lambda: nn.UpsamplingBilinear2d(scale_factor=2), C),
    "UpsamplingNearest2d": (lambda: nn.UpsamplingNearest2d(scale_factor=2), C),
}
CALLS = 5


def bits(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [bits(item) for item in value]
    value = value.data if isinstance(value, autodiff.Tensor) else value
    return None if value is None else (value.shape, str(value.dtype), value.tobytes())


def flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [part for item in value for part in flat(item)]
    return [value]


def test_the_table_names_every_layer() -> None:
    classes = {name for name, one in vars(nn).items() if inspect.isclass(one) and issubclass(one, nn.Module)}
    public = {name for name in dir(nn) if not name.startswith("_")} | classes
    layers = {n for n in public if inspect.isclass(getattr(nn, n)) and issubclass(getattr(nn, n), nn.Module)}
    assert layers - set(LAYERS) == {"Module"}


#: Their first axis is time, of which there must be some; or their other inputs stand in the table.
ROWS_NEEDED = {"RNN", "GRU", "LSTM", "BCELoss", "CTCLoss"}


@pytest.mark.filterwarnings("ignore:(Mean of empty slice|invalid value|Degrees of freedom)")
@pytest.mark.parametrize("name", sorted(set(LAYERS) - ROWS_NEEDED))
def test_a_batch_without_rows_goes_there_and_back(name: str) -> None:
    make, *inputs = LAYERS[name]
    layer, r = make().eval(), np.random.default_rng(0)
    full = [one(r) if callable(one) else r.normal(size=one).astype(np.float32) for one in inputs]
    rows = len(full[0])
    wanted = flat(layer(*full))
    none = [array[:0] if len(array) == rows else array for array in full]
    given = autodiff.tensor(none[0], requires_grad=True) if none[0].dtype.kind == "f" else none[0]
    found = flat(layer(given, *none[1:]))
    for out, other in zip(found, wanted, strict=True):
        assert out.shape == ((0, *other.shape[1:]) if other.shape and len(other) == rows else other.shape)
    total = sum(part.sum() for part in found if part.dtype.kind == "f")
    if total.requires_grad:
        total.backward()
        assert given is none[0] or given.grad.shape == given.shape


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_equal_and_served(name: str) -> None:
    make, *inputs = LAYERS[name]
    # Until its buffer is full, a cross-iteration norm does something new in every call.
    new_ways = 10 if "CrossIteration" in name else 0
    found = []
    for compiled in (False, True):
        layer = make()
        filled = np.random.default_rng(3)
        for i, part in enumerate(layer.modules()):
            if getattr(part, "generator", 0) != 0 or hasattr(part, "generator"):
                part.generator = np.random.default_rng(i)
        for p in [p for p in layer.parameters() if not isinstance(p, nn.UninitializedParameter)]:
            p.data = filled.normal(size=p.shape).astype(p.dtype)

        def step(*arrays: Any, layer: Any = layer) -> Any:
            layer.zero_grad()
            first = arrays[0]
            given = autodiff.tensor(first, requires_grad=True) if first.dtype.kind == "f" else first
            loss = sum((part * part).sum() for part in flat(layer(given, *arrays[1:])) if part.dtype.kind == "f")
            if loss.requires_grad:
                loss.backward()
            return loss, getattr(given, "grad", None), [p.grad for p in layer.parameters()]

        run = autodiff.compile(step) if compiled else step
        results = []
        for i in range(CALLS + new_ways):
            r = np.random.default_rng(i)
            arrays = [one(r) if callable(one) else r.normal(size=one).astype(np.float32) for one in inputs]
            results.append(bits(run(*arrays)))
        found.append((results, bits(list(layer.state_dict().values()))))
    assert found[0] == found[1]
    assert run.eager == 0
    assert run.replays >= CALLS - 2, run.reason
    assert run.plan.prepared == len(run.plan.entries), run.plan
