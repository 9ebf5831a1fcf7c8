"""The layers that call a function of :mod:`nn.functional` and hold its options: a row each.

Signature, ``forward``, ``repr`` and docs are those of the function (:mod:`nn.table`); nn/layers.pyi, which
docs/make_stubs.py writes, shows them to editors and type checkers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.arguments import whole
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.docstrings import Derived
from autodiff.fused.windows import per_axis
from nn import convolution, linear, normalization
from nn import functional as F
from nn.lazy import lazily
from nn.table import _REDUCTIONS, FunctionLayer, layer

Row = tuple[Callable[..., Any], str, str | None, dict[str, Any]]


def _row(function: Callable[..., Any], inputs: str = "input", options: str | None = None, **more: Any) -> Row:
    return function, inputs, options, more


def _probability(name: str, values: dict[str, Any]) -> None:
    if not 0 <= values["p"] <= 1:
        raise ArgumentError(f"{name}: p must be a probability, 0 <= p <= 1, got {values['p']}")
    if isinstance(values.get("generator"), bool):
        raise ArgumentError(f"{name}: the second argument is a generator; write inplace={values['generator']}")


def _windows(axes: int, sides: bool = True, tuples: bool = False) -> Any:
    """Look at a window's options; with ``sides`` windows without a stride lie side by side."""

    def ready(name: str, values: dict[str, Any]) -> None:
        if sides and values["stride"] is None:
            values["stride"] = values["kernel_size"]
        for key, least in (("kernel_size", 1), ("stride", 1), ("dilation", 1), ("padding", 0)):
            if values.get(key) is not None:
                found = per_axis(name, key, values[key], axes, least)
                values[key] = found if tuples else values[key]

    return staticmethod(ready)


_PAIR, _SCORES, _TRIPLET = "input target", "input1 input2 target", "anchor positive negative"
_MAX = "kernel_size stride padding dilation return_indices ceil_mode"
_WINDOW = "kernel_size stride padding"
_DROPPED = {"shown": "p", "in_place": True, "_ready": staticmethod(_probability)}
_SIZES = "size scale_factor"

ROWS: dict[str, Row] = {
    # --- activations
    "CELU": _row(F.celu, in_place=True),
    "ELU": _row(F.elu, in_place=True),
    "GELU": _row(F.gelu),
    "GLU": _row(F.glu),
    "Hardshrink": _row(F.hardshrink),
    "Hardsigmoid": _row(F.hardsigmoid, in_place=True),
    "Hardswish": _row(F.hardswish, in_place=True),
    "Hardtanh": _row(F.hardtanh, in_place=True),
    "LeakyReLU": _row(F.leaky_relu, in_place=True),
    "LogSigmoid": _row(F.logsigmoid),
    "LogSoftmax": _row(F.log_softmax),
    "Maxout": _row(F.maxout),
    "Mish": _row(F.mish, in_place=True),
    "RReLU": _row(F.rrelu, shown="lower upper", in_place=True),
    "ReLU": _row(F.relu, call=fused.relu.function, in_place=True),
    "ReLU6": _row(F.relu6, in_place=True),
    "SELU": _row(F.selu, in_place=True),
    "SiLU": _row(F.silu, in_place=True),
    "Sigmoid": _row(F.sigmoid),
    "Softmax": _row(F.softmax),
    "Softmax2d": _row(
        F.softmax, options="", fixed={"dim": -3}, doc="Softmax over the channels of (N, C, H, W) or (C, H, W)."
    ),
    "Softmin": _row(F.softmin),
    "Softplus": _row(F.softplus),
    "Softshrink": _row(F.softshrink),
    "Softsign": _row(F.softsign),
    "Tanh": _row(F.tanh),
    "Tanhshrink": _row(F.tanhshrink),
    "Threshold": _row(F.threshold, in_place=True),
    # --- dropout
    "AlphaDropout": _row(F.alpha_dropout, **_DROPPED),
    "Dropout": _row(F.dropout, **_DROPPED),
    "Dropout1d": _row(F.dropout1d, **_DROPPED),
    "Dropout2d": _row(F.dropout2d, **_DROPPED),
    "Dropout3d": _row(F.dropout3d, **_DROPPED),
    "FeatureAlphaDropout": _row(F.feature_alpha_dropout, **_DROPPED),
    # --- losses and distances
    "BCELoss": _row(F.binary_cross_entropy, _PAIR),
    "BCEWithLogitsLoss": _row(F.binary_cross_entropy_with_logits, _PAIR),
    "CTCLoss": _row(F.ctc_loss, "log_probs targets input_lengths target_lengths"),
    "CosineEmbeddingLoss": _row(F.cosine_embedding_loss, _SCORES),
    "CosineSimilarity": _row(F.cosine_similarity, "x1 x2"),
    "CrossEntropyLoss": _row(F.cross_entropy, _PAIR),
    "GaussianNLLLoss": _row(F.gaussian_nll_loss, "input target var", keyword_only=True),
    "HingeEmbeddingLoss": _row(F.hinge_embedding_loss, _PAIR),
    "HuberLoss": _row(F.huber_loss, _PAIR, "reduction delta"),
    "KLDivLoss": _row(F.kl_div, _PAIR, _reductions=(*_REDUCTIONS, "batchmean")),
    "L1Loss": _row(F.l1_loss, _PAIR, "reduction"),
    "MSELoss": _row(F.mse_loss, _PAIR, "reduction"),
    "MarginRankingLoss": _row(F.margin_ranking_loss, _SCORES),
    "MultiLabelMarginLoss": _row(F.multilabel_margin_loss, _PAIR),
    "MultiLabelSoftMarginLoss": _row(F.multilabel_soft_margin_loss, _PAIR),
    "MultiMarginLoss": _row(F.multi_margin_loss, _PAIR),
    "NLLLoss": _row(F.nll_loss, _PAIR),
    "PairwiseDistance": _row(F.pairwise_distance, "x1 x2", norm=property(lambda self: self.p)),
    "PoissonNLLLoss": _row(F.poisson_nll_loss, _PAIR),
    "SmoothL1Loss": _row(F.smooth_l1_loss, _PAIR),
    "SoftMarginLoss": _row(F.soft_margin_loss, _PAIR),
    "TripletMarginLoss": _row(F.triplet_margin_loss, _TRIPLET),
    "TripletMarginWithDistanceLoss": _row(F.triplet_margin_with_distance_loss, _TRIPLET, keyword_only=True),
    # --- pictures and their channels
    "ChannelShuffle": _row(F.channel_shuffle),
    "Fold": _row(F.fold, _ready=_windows(2, sides=False)),
    "LocalResponseNorm": _row(F.local_response_norm),
    "PixelShuffle": _row(F.pixel_shuffle),
    "PixelUnshuffle": _row(F.pixel_unshuffle),
    "Unfold": _row(F.unfold, _ready=_windows(2, sides=False)),
    "Upsample": _row(F.interpolate, options=f"{_SIZES} mode align_corners recompute_scale_factor"),
    "UpsamplingBilinear2d": _row(
        F.interpolate,
        options=_SIZES,
        fixed={"mode": "bilinear", "align_corners": True},
        doc="A picture in another size, bilinear, its corners kept.",
    ),
    "UpsamplingNearest2d": _row(
        F.interpolate,
        options=_SIZES,
        fixed={"mode": "nearest"},
        doc="A picture in another size, every pixel that of the nearest one.",
    ),
}
_FRACTIONAL = "kernel_size output_size output_ratio return_indices _random_samples generator"
ROWS |= {
    f"FractionalMaxPool{n}d": _row(
        getattr(F, f"fractional_max_pool{n}d"), options=_FRACTIONAL, shown="kernel_size output_size output_ratio"
    )
    for n in (2, 3)
}
for _n in (1, 2, 3):

    def _of(function: str, _n: int = _n) -> Callable[..., Any]:
        return getattr(F, f"{function}{_n}d")  # type: ignore[no-any-return]

    ROWS |= {
        f"AdaptiveAvgPool{_n}d": _row(_of("adaptive_avg_pool")),
        f"AdaptiveMaxPool{_n}d": _row(_of("adaptive_max_pool"), shown="output_size"),
        f"AvgPool{_n}d": _row(_of("avg_pool"), shown=_WINDOW, _ready=_windows(_n, tuples=_n == 1)),
        f"LPPool{_n}d": _row(_of("lp_pool"), _ready=_windows(_n, sides=False)),
        f"MaxPool{_n}d": _row(
            _of("max_pool"), options=_MAX, shown="kernel_size stride padding dilation ceil_mode", _ready=_windows(_n)
        ),
        f"MaxUnpool{_n}d": _row(
            _of("max_unpool"), "input indices output_size", _WINDOW, shown=_WINDOW, _ready=_windows(_n)
        ),
    }

LAYERS: dict[str, type[FunctionLayer]] = {
    name: layer(name, function, inputs, options, **more) for name, (function, inputs, options, more) in ROWS.items()
}

# --- padding: a class for each mode and number of axes

_MODES = {
    "Zero": ("constant", "zeros around them"),
    "Constant": ("constant", "``value`` around them"),
    "Reflection": ("reflect", "mirrored at their borders, which are not repeated"),
    "Replication": ("replicate", "their borders repeated"),
    "Circular": ("circular", "continued from their other ends"),
}


_AXES = {1: "The last axis", 2: "The last two axes", 3: "The last three axes"}


def _amounts(axes: int) -> Callable[[str, dict[str, Any]], None]:
    def ready(name: str, values: dict[str, Any]) -> None:
        given = values["padding"]
        values["padding"] = padding = tuple(given) if np.ndim(given) else (given,) * (2 * axes)
        if len(padding) != 2 * axes or not all(map(whole, padding)):
            raise ArgumentError(f"{name}: padding needs one integer or {2 * axes}, got {given!r}")

    return ready


def _padding(kind: str, axes: int) -> type[FunctionLayer]:
    """The layer of one mode and number of axes."""
    (mode, words), name = _MODES[kind], f"{kind}Pad{axes}d"

    def padded(input: Any, padding: int | Sequence[int], value: float | None = None) -> Tensor:
        x = input if isinstance(input, Tensor) else Tensor(input)
        if x.ndim not in (axes + 1, axes + 2):
            raise ShapeError(f"{name}: input has shape {x.shape}; it needs {axes + 1} or {axes + 2} dimensions")
        return F.pad(x, padding, mode, value)

    def plainly(input: Any, padding: int | Sequence[int]) -> Tensor:
        return padded(input, padding)

    def filled(input: Any, padding: int | Sequence[int], value: float) -> Tensor:
        return padded(input, padding, value)

    made = layer(name, filled if kind == "Constant" else plainly, _ready=staticmethod(_amounts(axes)))
    made.__doc__ = Derived(lambda cls: _PADDING.format(axes=_AXES[axes], words=words))  # type: ignore[assignment]
    if kind != "Constant":
        made.extra_repr = lambda self: str(self.padding)  # type: ignore[method-assign]
    return made


_PADDING = """{axes} of (N, C, ...) or (C, ...), longer: {words}; by :func:`nn.functional.pad`.

Parameters
----------
padding : int or sequence of int
    The same amount everywhere, or ``(left, right)`` of the last axis, then of the last but one, and so on.
value : float
    Of ``ConstantPad`` alone.

Raises
------
ArgumentError
    If their number is wrong."""

LAYERS |= {f"{kind}Pad{axes}d": _padding(kind, axes) for kind in _MODES for axes in (1, 2, 3)}

# --- layers that learn their first argument from their first input

LAZY: dict[Callable[..., Any], str] = {linear.Linear: "in_features"}
for _n in (1, 2, 3):
    LAZY |= {getattr(convolution, f"{kind}{_n}d"): "in_channels" for kind in ("Conv", "ConvTranspose")}
    LAZY |= {getattr(normalization, f"{kind}{_n}d"): "num_features" for kind in ("BatchNorm", "InstanceNorm")}
MADE: dict[str, Any] = LAYERS | {
    # PyTorch's lazy instance norms learn and track, unlike its others.
    f"Lazy{base.__name__}": lazily(base, size, **dict.fromkeys(("affine", "track_running_stats"), True))
    for base, size in LAZY.items()
}

__all__ = [*sorted(MADE)]
globals().update(MADE)
