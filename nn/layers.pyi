# fmt: off
"""The layers that call a function of :mod:`nn.functional` and hold its options: a row each.

Written by docs/make_stubs.py; do not edit.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Literal, overload

import numpy as np
from numpy.typing import DTypeLike
from typing_extensions import TypeVar

from autodiff.signatures import ArrayLike
from autodiff.tensor import Tensor
from nn.convolution import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from nn.linear import Linear
from nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from nn.table import FunctionLayer

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d", "AlphaDropout", "AvgPool1d", "AvgPool2d", "AvgPool3d", "BCELoss", "BCEWithLogitsLoss", "CELU",
    "CTCLoss", "ChannelShuffle", "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d",
    "ConstantPad3d", "CosineEmbeddingLoss", "CosineSimilarity", "CrossEntropyLoss", "Dropout", "Dropout1d",
    "Dropout2d", "Dropout3d", "ELU", "FeatureAlphaDropout", "Fold", "FractionalMaxPool2d", "FractionalMaxPool3d",
    "GELU", "GLU", "GaussianNLLLoss", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "HingeEmbeddingLoss",
    "HuberLoss", "KLDivLoss", "L1Loss", "LPPool1d", "LPPool2d", "LPPool3d", "LazyBatchNorm1d", "LazyBatchNorm2d",
    "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d", "LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d",
    "LazyConvTranspose3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d", "LazyLinear", "LeakyReLU",
    "LocalResponseNorm", "LogSigmoid", "LogSoftmax", "MSELoss", "MarginRankingLoss", "MaxPool1d", "MaxPool2d",
    "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "Maxout", "Mish", "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss", "MultiMarginLoss", "NLLLoss", "PairwiseDistance", "PixelShuffle", "PixelUnshuffle",
    "PoissonNLLLoss", "RReLU", "ReLU", "ReLU6", "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d",
    "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "SELU", "SiLU", "Sigmoid", "SmoothL1Loss",
    "SoftMarginLoss", "Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink",
    "Threshold", "TripletMarginLoss", "TripletMarginWithDistanceLoss", "Unfold", "Upsample", "UpsamplingBilinear2d",
    "UpsamplingNearest2d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]

Given = TypeVar("Given", default=Tensor)

class AdaptiveAvgPool1d(FunctionLayer):
    """The mean of each of ``output_size`` windows that cover the input evenly."""

    output_size: int | Sequence[int | None] | None
    def __init__(self, output_size: int | Sequence[int | None] | None) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class AdaptiveAvgPool2d(FunctionLayer):
    """The mean of each of ``output_size`` windows that cover the input evenly."""

    output_size: int | Sequence[int | None] | None
    def __init__(self, output_size: int | Sequence[int | None] | None) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class AdaptiveAvgPool3d(FunctionLayer):
    """The mean of each of ``output_size`` windows that cover the input evenly."""

    output_size: int | Sequence[int | None] | None
    def __init__(self, output_size: int | Sequence[int | None] | None) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class AdaptiveMaxPool1d(FunctionLayer, Generic[Given]):
    """The largest element of each of ``output_size`` windows that cover the input evenly."""

    output_size: int | Sequence[int | None] | None
    return_indices: bool
    @overload
    def __init__(
        self: AdaptiveMaxPool1d[Tensor], output_size: int | Sequence[int | None] | None,
        return_indices: Literal[False] = False,
    ) -> None: ...
    @overload
    def __init__(
        self: AdaptiveMaxPool1d[tuple[Tensor, Tensor]], output_size: int | Sequence[int | None] | None, *,
        return_indices: Literal[True],
    ) -> None: ...
    @overload
    def __init__(
        self: AdaptiveMaxPool1d[Tensor | tuple[Tensor, Tensor]], output_size: int | Sequence[int | None] | None,
        return_indices: bool = False,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike
    ) -> Given: ...

class AdaptiveMaxPool2d(FunctionLayer, Generic[Given]):
    """The largest element of each of ``output_size`` windows that cover the input evenly."""

    output_size: int | Sequence[int | None] | None
    return_indices: bool
    @overload
    def __init__(
        self: AdaptiveMaxPool2d[Tensor], output_size: int | Sequence[int | None] | None,
        return_indices: Literal[False] = False,
    ) -> None: ...
    @overload
    def __init__(
        self: AdaptiveMaxPool2d[tuple[Tensor, Tensor]], output_size: int | Sequence[int | None] | None, *,
        return_indices: Literal[True],
    ) -> None: ...
    @overload
    def __init__(
        self: AdaptiveMaxPool2d[Tensor | tuple[Tensor, Tensor]], output_size: int | Sequence[int | None] | None,
        return_indices: bool = False,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike
    ) -> Given: ...

class AdaptiveMaxPool3d(FunctionLayer, Generic[Given]):
    """The largest element of each of ``output_size`` windows that cover the input evenly."""

    output_size: int | Sequence[int | None] | None
    return_indices: bool
    @overload
    def __init__(
        self: AdaptiveMaxPool3d[Tensor], output_size: int | Sequence[int | None] | None,
        return_indices: Literal[False] = False,
    ) -> None: ...
    @overload
    def __init__(
        self: AdaptiveMaxPool3d[tuple[Tensor, Tensor]], output_size: int | Sequence[int | None] | None, *,
        return_indices: Literal[True],
    ) -> None: ...
    @overload
    def __init__(
        self: AdaptiveMaxPool3d[Tensor | tuple[Tensor, Tensor]], output_size: int | Sequence[int | None] | None,
        return_indices: bool = False,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike
    ) -> Given: ...

class AlphaDropout(FunctionLayer):
    """Dropout for SELU: a dropped element becomes SELU's lowest value, and an affine map keeps mean 0 and variance 1 (Klambauer et al. 2017, arXiv 1706.02515)."""

    p: float
    generator: np.random.Generator | None
    inplace: bool
    def __init__(
        self, p: float = 0.5, generator: np.random.Generator | None = None, *, inplace: bool = False
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class AvgPool1d(FunctionLayer):
    """The mean of every window."""

    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    padding: int | Sequence[int]
    ceil_mode: bool
    count_include_pad: bool
    divisor_override: int | None
    def __init__(
        self, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class AvgPool2d(FunctionLayer):
    """The mean of every window."""

    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    padding: int | Sequence[int]
    ceil_mode: bool
    count_include_pad: bool
    divisor_override: int | None
    def __init__(
        self, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class AvgPool3d(FunctionLayer):
    """The mean of every window."""

    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    padding: int | Sequence[int]
    ceil_mode: bool
    count_include_pad: bool
    divisor_override: int | None
    def __init__(
        self, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class BCELoss(FunctionLayer):
    """``-(t log x + (1 - t) log(1 - x))`` of probabilities; logarithms end at -100, as in PyTorch."""

    weight: ArrayLike | None
    reduction: str
    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class BCEWithLogitsLoss(FunctionLayer):
    """``-(pos_weight t log sigmoid(x) + (1 - t) log(1 - sigmoid(x)))`` of scores, stable for any magnitude."""

    weight: ArrayLike | None
    reduction: str
    pos_weight: ArrayLike | None
    def __init__(
        self, weight: ArrayLike | None = None, reduction: str = "mean", pos_weight: ArrayLike | None = None
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class CELU(FunctionLayer):
    """``input`` where positive, else ``alpha (exp(input / alpha) - 1)``, whose slope is continuous (Barron 2017, arXiv 1704.07483)."""

    alpha: float
    inplace: bool
    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class CTCLoss(FunctionLayer):
    """The negative log-probability of a label sequence, summed over all its alignments (Graves et al. 2006)."""

    blank: int
    reduction: str
    zero_infinity: bool
    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None: ...
    def forward(  # type: ignore[override]
        self, log_probs: ArrayLike, targets: ArrayLike, input_lengths: ArrayLike, target_lengths: ArrayLike
    ) -> Tensor: ...

class ChannelShuffle(FunctionLayer):
    """The channels of ``groups`` groups, interleaved (Zhang et al. 2018, arXiv 1707.01083)."""

    groups: int
    def __init__(self, groups: int) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class CircularPad1d(FunctionLayer):
    """The last axis of (N, C, ...) or (C, ...), longer: continued from their other ends; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class CircularPad2d(FunctionLayer):
    """The last two axes of (N, C, ...) or (C, ...), longer: continued from their other ends; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class CircularPad3d(FunctionLayer):
    """The last three axes of (N, C, ...) or (C, ...), longer: continued from their other ends; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ConstantPad1d(FunctionLayer):
    """The last axis of (N, C, ...) or (C, ...), longer: ``value`` around them; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    value: float
    def __init__(self, padding: int | Sequence[int], value: float) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ConstantPad2d(FunctionLayer):
    """The last two axes of (N, C, ...) or (C, ...), longer: ``value`` around them; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    value: float
    def __init__(self, padding: int | Sequence[int], value: float) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ConstantPad3d(FunctionLayer):
    """The last three axes of (N, C, ...) or (C, ...), longer: ``value`` around them; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    value: float
    def __init__(self, padding: int | Sequence[int], value: float) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class CosineEmbeddingLoss(FunctionLayer):
    """``1 - cos`` of the angle between the inputs where the target is 1, ``max(0, cos - margin)`` where it is -1."""

    margin: float
    reduction: str
    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class CosineSimilarity(FunctionLayer):
    """``x1 . x2 / (max(||x1||, eps) max(||x2||, eps))`` along ``dim``."""

    dim: int
    eps: float
    def __init__(self, dim: int = 1, eps: float = 1e-08) -> None: ...
    def forward(  # type: ignore[override]
        self, x1: ArrayLike, x2: ArrayLike
    ) -> Tensor: ...

class CrossEntropyLoss(FunctionLayer):
    """Cross-entropy of ``softmax(input)`` with class indices or class probabilities."""

    weight: ArrayLike | None
    ignore_index: int
    reduction: str
    label_smoothing: float
    def __init__(
        self, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class Dropout(FunctionLayer):
    """Zero each element with probability ``p`` and scale the others by ``1 / (1 - p)``; the identity unless ``training``."""

    p: float
    generator: np.random.Generator | None
    inplace: bool
    def __init__(
        self, p: float = 0.5, generator: np.random.Generator | None = None, *, inplace: bool = False
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Dropout1d(FunctionLayer):
    """Zero whole channels (Tompson et al. 2015, arXiv 1411.4280)."""

    p: float
    generator: np.random.Generator | None
    inplace: bool
    def __init__(
        self, p: float = 0.5, generator: np.random.Generator | None = None, *, inplace: bool = False
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Dropout2d(FunctionLayer):
    """Zero whole channels (Tompson et al. 2015, arXiv 1411.4280)."""

    p: float
    generator: np.random.Generator | None
    inplace: bool
    def __init__(
        self, p: float = 0.5, generator: np.random.Generator | None = None, *, inplace: bool = False
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Dropout3d(FunctionLayer):
    """Zero whole channels (Tompson et al. 2015, arXiv 1411.4280)."""

    p: float
    generator: np.random.Generator | None
    inplace: bool
    def __init__(
        self, p: float = 0.5, generator: np.random.Generator | None = None, *, inplace: bool = False
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ELU(FunctionLayer):
    """``input`` where positive, else ``alpha (exp(input) - 1)`` (Clevert et al. 2015, arXiv 1511.07289)."""

    alpha: float
    inplace: bool
    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class FeatureAlphaDropout(FunctionLayer):
    """:func:`alpha_dropout` of whole channels of (N, C, ...)."""

    p: float
    generator: np.random.Generator | None
    inplace: bool
    def __init__(
        self, p: float = 0.5, generator: np.random.Generator | None = None, *, inplace: bool = False
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Fold(FunctionLayer):
    """Columns back as windows of a picture, added up where they overlap: the transpose of :func:`unfold`."""

    output_size: int | Sequence[int | None] | None
    kernel_size: int | Sequence[int]
    dilation: int | Sequence[int]
    padding: int | Sequence[int]
    stride: int | Sequence[int] | None
    def __init__(
        self, output_size: int | Sequence[int | None] | None, kernel_size: int | Sequence[int],
        dilation: int | Sequence[int] = 1, padding: int | Sequence[int] = 0, stride: int | Sequence[int] | None = 1,
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class FractionalMaxPool2d(FunctionLayer, Generic[Given]):
    """The largest element of windows that lie at random, overlapping places (Graham 2014, arXiv 1412.6071)."""

    kernel_size: int | Sequence[int]
    output_size: int | Sequence[int | None] | None
    output_ratio: ArrayLike | None
    return_indices: bool
    _random_samples: ArrayLike | None
    generator: np.random.Generator | None
    @overload
    def __init__(
        self: FractionalMaxPool2d[Tensor], kernel_size: int | Sequence[int],
        output_size: int | Sequence[int | None] | None = None, output_ratio: ArrayLike | None = None,
        return_indices: Literal[False] = False, _random_samples: ArrayLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FractionalMaxPool2d[tuple[Tensor, Tensor]], kernel_size: int | Sequence[int],
        output_size: int | Sequence[int | None] | None = None, output_ratio: ArrayLike | None = None, *,
        return_indices: Literal[True], _random_samples: ArrayLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FractionalMaxPool2d[Tensor | tuple[Tensor, Tensor]], kernel_size: int | Sequence[int],
        output_size: int | Sequence[int | None] | None = None, output_ratio: ArrayLike | None = None,
        return_indices: bool = False, _random_samples: ArrayLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike
    ) -> Given: ...

class FractionalMaxPool3d(FunctionLayer, Generic[Given]):
    """The largest element of windows that lie at random, overlapping places (Graham 2014, arXiv 1412.6071)."""

    kernel_size: int | Sequence[int]
    output_size: int | Sequence[int | None] | None
    output_ratio: ArrayLike | None
    return_indices: bool
    _random_samples: ArrayLike | None
    generator: np.random.Generator | None
    @overload
    def __init__(
        self: FractionalMaxPool3d[Tensor], kernel_size: int | Sequence[int],
        output_size: int | Sequence[int | None] | None = None, output_ratio: ArrayLike | None = None,
        return_indices: Literal[False] = False, _random_samples: ArrayLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FractionalMaxPool3d[tuple[Tensor, Tensor]], kernel_size: int | Sequence[int],
        output_size: int | Sequence[int | None] | None = None, output_ratio: ArrayLike | None = None, *,
        return_indices: Literal[True], _random_samples: ArrayLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FractionalMaxPool3d[Tensor | tuple[Tensor, Tensor]], kernel_size: int | Sequence[int],
        output_size: int | Sequence[int | None] | None = None, output_ratio: ArrayLike | None = None,
        return_indices: bool = False, _random_samples: ArrayLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike
    ) -> Given: ...

class GELU(FunctionLayer):
    """``input * Phi(input)``, Phi being the standard normal distribution function (Hendrycks and Gimpel 2016, arXiv 1606.08415)."""

    approximate: str
    def __init__(self, approximate: str = "none") -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class GLU(FunctionLayer):
    """The first half along ``dim`` times the sigmoid of the second (Dauphin et al. 2016, arXiv 1612.08083)."""

    dim: int
    def __init__(self, dim: int = -1) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class GaussianNLLLoss(FunctionLayer):
    """``(log var + (input - target)^2 / var) / 2``: the negative log-likelihood of normal distributions."""

    full: bool
    eps: float
    reduction: str
    def __init__(self, *, full: bool = False, eps: float = 1e-06, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike, var: ArrayLike
    ) -> Tensor: ...

class Hardshrink(FunctionLayer):
    """``input``, and 0 where it is within [-lambd, lambd]."""

    lambd: float
    def __init__(self, lambd: float = 0.5) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Hardsigmoid(FunctionLayer):
    """``(input + 3) / 6`` limited to [0, 1], with gradient 0 at both ends."""

    inplace: bool
    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Hardswish(FunctionLayer):
    """``input * hardsigmoid(input)``, with gradient 0 at -3 and 1 at 3 (Howard et al. 2019, arXiv 1905.02244)."""

    inplace: bool
    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Hardtanh(FunctionLayer):
    """``input`` limited to [min_val, max_val], with gradient 0 at both ends."""

    min_val: float
    max_val: float
    inplace: bool
    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class HingeEmbeddingLoss(FunctionLayer):
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1."""

    margin: float
    reduction: str
    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class HuberLoss(FunctionLayer):
    """``d^2 / 2`` where the difference d is below ``delta``, else ``delta (|d| - delta / 2)`` (Huber 1964)."""

    reduction: str
    delta: float
    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class KLDivLoss(FunctionLayer):
    """The Kullback-Leibler divergence of the distribution ``target`` from the one whose logarithms are ``input``: ``t (log t - input)``."""

    reduction: str
    log_target: bool
    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class L1Loss(FunctionLayer):
    """Absolute differences, of equal shapes, reduced; parameters as :func:`mse_loss`. At equality the gradient is 0."""

    reduction: str
    def __init__(self, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class LPPool1d(FunctionLayer):
    """``(sum of x^p)^(1/p)`` over every window; gradient 0 where all is 0."""

    norm_type: float
    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    ceil_mode: bool
    def __init__(
        self, norm_type: float, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        ceil_mode: bool = False,
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class LPPool2d(FunctionLayer):
    """``(sum of x^p)^(1/p)`` over every window; gradient 0 where all is 0."""

    norm_type: float
    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    ceil_mode: bool
    def __init__(
        self, norm_type: float, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        ceil_mode: bool = False,
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class LPPool3d(FunctionLayer):
    """``(sum of x^p)^(1/p)`` over every window; gradient 0 where all is 0."""

    norm_type: float
    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    ceil_mode: bool
    def __init__(
        self, norm_type: float, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        ceil_mode: bool = False,
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class LazyBatchNorm1d(BatchNorm1d):
    """:class:`BatchNorm1d` that takes ``num_features`` from its first input, and is of that class from then on."""

    def __init__(
        self, eps: float = 1e-05, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        dtype: DTypeLike = ..., convention: str = "torch", *, bias: bool = True,
    ) -> None: ...

class LazyBatchNorm2d(BatchNorm2d):
    """:class:`BatchNorm2d` that takes ``num_features`` from its first input, and is of that class from then on."""

    def __init__(
        self, eps: float = 1e-05, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        dtype: DTypeLike = ..., convention: str = "torch", *, bias: bool = True,
    ) -> None: ...

class LazyBatchNorm3d(BatchNorm3d):
    """:class:`BatchNorm3d` that takes ``num_features`` from its first input, and is of that class from then on."""

    def __init__(
        self, eps: float = 1e-05, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        dtype: DTypeLike = ..., convention: str = "torch", *, bias: bool = True,
    ) -> None: ...

class LazyConv1d(Conv1d):
    """:class:`Conv1d` that takes ``in_channels`` from its first input, and is of that class from then on."""

    def __init__(
        self, out_channels: int, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = 1,
        padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", dtype: DTypeLike = ..., generator: np.random.Generator | None = None,
    ) -> None: ...

class LazyConv2d(Conv2d):
    """:class:`Conv2d` that takes ``in_channels`` from its first input, and is of that class from then on."""

    def __init__(
        self, out_channels: int, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = 1,
        padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", dtype: DTypeLike = ..., generator: np.random.Generator | None = None,
    ) -> None: ...

class LazyConv3d(Conv3d):
    """:class:`Conv3d` that takes ``in_channels`` from its first input, and is of that class from then on."""

    def __init__(
        self, out_channels: int, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = 1,
        padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", dtype: DTypeLike = ..., generator: np.random.Generator | None = None,
    ) -> None: ...

class LazyConvTranspose1d(ConvTranspose1d):
    """:class:`ConvTranspose1d` that takes ``in_channels`` from its first input, and is of that class from then on."""

    def __init__(
        self, out_channels: int, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = 1,
        padding: int | Sequence[int] = 0, output_padding: int | Sequence[int] = 0, groups: int = 1, bias: bool = True,
        dilation: int | Sequence[int] = 1, padding_mode: str = "zeros", dtype: DTypeLike = ...,
        generator: np.random.Generator | None = None,
    ) -> None: ...

class LazyConvTranspose2d(ConvTranspose2d):
    """:class:`ConvTranspose2d` that takes ``in_channels`` from its first input, and is of that class from then on."""

    def __init__(
        self, out_channels: int, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = 1,
        padding: int | Sequence[int] = 0, output_padding: int | Sequence[int] = 0, groups: int = 1, bias: bool = True,
        dilation: int | Sequence[int] = 1, padding_mode: str = "zeros", dtype: DTypeLike = ...,
        generator: np.random.Generator | None = None,
    ) -> None: ...

class LazyConvTranspose3d(ConvTranspose3d):
    """:class:`ConvTranspose3d` that takes ``in_channels`` from its first input, and is of that class from then on."""

    def __init__(
        self, out_channels: int, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = 1,
        padding: int | Sequence[int] = 0, output_padding: int | Sequence[int] = 0, groups: int = 1, bias: bool = True,
        dilation: int | Sequence[int] = 1, padding_mode: str = "zeros", dtype: DTypeLike = ...,
        generator: np.random.Generator | None = None,
    ) -> None: ...

class LazyInstanceNorm1d(InstanceNorm1d):
    """:class:`InstanceNorm1d` that takes ``num_features`` from its first input, and is of that class from then on."""

    def __init__(
        self, eps: float = 1e-05, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        dtype: DTypeLike = ..., *, bias: bool = True,
    ) -> None: ...

class LazyInstanceNorm2d(InstanceNorm2d):
    """:class:`InstanceNorm2d` that takes ``num_features`` from its first input, and is of that class from then on."""

    def __init__(
        self, eps: float = 1e-05, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        dtype: DTypeLike = ..., *, bias: bool = True,
    ) -> None: ...

class LazyInstanceNorm3d(InstanceNorm3d):
    """:class:`InstanceNorm3d` that takes ``num_features`` from its first input, and is of that class from then on."""

    def __init__(
        self, eps: float = 1e-05, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        dtype: DTypeLike = ..., *, bias: bool = True,
    ) -> None: ...

class LazyLinear(Linear):
    """:class:`Linear` that takes ``in_features`` from its first input, and is of that class from then on."""

    def __init__(
        self, out_features: int, bias: bool = True, dtype: DTypeLike = ..., generator: np.random.Generator | None = None
    ) -> None: ...

class LeakyReLU(FunctionLayer):
    """``input`` where positive, else ``negative_slope * input``."""

    negative_slope: float
    inplace: bool
    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class LocalResponseNorm(FunctionLayer):
    """``x / (k + alpha mean(x^2))^beta``, the mean taken over ``size`` neighbouring channels, zeros beyond the ends (Krizhevsky et al. 2012, section 3.3, whose sum is ``size`` times that mean)."""

    size: int
    alpha: float
    beta: float
    k: float
    def __init__(self, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class LogSigmoid(FunctionLayer):
    """``log(sigmoid(input))``, stable for any magnitude."""

    def __init__(self) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class LogSoftmax(FunctionLayer):
    """The logarithm of softmax along ``dim``, in ``dtype`` if one is given; stable for any magnitude."""

    dim: int
    dtype: DTypeLike | None
    def __init__(self, dim: int, dtype: DTypeLike | None = None) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class MSELoss(FunctionLayer):
    """Squared differences, of equal shapes, reduced."""

    reduction: str
    def __init__(self, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class MarginRankingLoss(FunctionLayer):
    """``max(0, -target (input1 - input2) + margin)``: a target of 1 wants ``input1`` the larger, -1 ``input2``."""

    margin: float
    reduction: str
    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class MaxPool1d(FunctionLayer, Generic[Given]):
    """The largest element of every window; of equal ones the first takes the gradient."""

    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    padding: int | Sequence[int]
    dilation: int | Sequence[int]
    return_indices: bool
    ceil_mode: bool
    @overload
    def __init__(
        self: MaxPool1d[Tensor], kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, return_indices: Literal[False] = False,
        ceil_mode: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: MaxPool1d[tuple[Tensor, Tensor]], kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None, padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1,
        *, return_indices: Literal[True], ceil_mode: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: MaxPool1d[Tensor | tuple[Tensor, Tensor]], kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None, padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike
    ) -> Given: ...

class MaxPool2d(FunctionLayer, Generic[Given]):
    """The largest element of every window; of equal ones the first takes the gradient."""

    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    padding: int | Sequence[int]
    dilation: int | Sequence[int]
    return_indices: bool
    ceil_mode: bool
    @overload
    def __init__(
        self: MaxPool2d[Tensor], kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, return_indices: Literal[False] = False,
        ceil_mode: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: MaxPool2d[tuple[Tensor, Tensor]], kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None, padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1,
        *, return_indices: Literal[True], ceil_mode: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: MaxPool2d[Tensor | tuple[Tensor, Tensor]], kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None, padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike
    ) -> Given: ...

class MaxPool3d(FunctionLayer, Generic[Given]):
    """The largest element of every window; of equal ones the first takes the gradient."""

    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    padding: int | Sequence[int]
    dilation: int | Sequence[int]
    return_indices: bool
    ceil_mode: bool
    @overload
    def __init__(
        self: MaxPool3d[Tensor], kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, return_indices: Literal[False] = False,
        ceil_mode: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: MaxPool3d[tuple[Tensor, Tensor]], kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None, padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1,
        *, return_indices: Literal[True], ceil_mode: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: MaxPool3d[Tensor | tuple[Tensor, Tensor]], kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None, padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike
    ) -> Given: ...

class MaxUnpool1d(FunctionLayer):
    """Maxima back where they stood, zeros elsewhere: the inverse of :func:`max_pool1d` as far as there is one."""

    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    padding: int | Sequence[int]
    def __init__(
        self, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, indices: ArrayLike, output_size: int | Sequence[int | None] | None = None
    ) -> Tensor: ...

class MaxUnpool2d(FunctionLayer):
    """Maxima back where they stood, zeros elsewhere: the inverse of :func:`max_pool2d` as far as there is one."""

    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    padding: int | Sequence[int]
    def __init__(
        self, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, indices: ArrayLike, output_size: int | Sequence[int | None] | None = None
    ) -> Tensor: ...

class MaxUnpool3d(FunctionLayer):
    """Maxima back where they stood, zeros elsewhere: the inverse of :func:`max_pool3d` as far as there is one."""

    kernel_size: int | Sequence[int]
    stride: int | Sequence[int] | None
    padding: int | Sequence[int]
    def __init__(
        self, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, indices: ArrayLike, output_size: int | Sequence[int | None] | None = None
    ) -> Tensor: ...

class Maxout(FunctionLayer):
    """The largest of each ``pool_size`` neighbours along ``dim`` (Goodfellow et al. 2013, arXiv 1302.4389); ties share the gradient."""

    pool_size: int
    dim: int
    def __init__(self, pool_size: int, dim: int = 1) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Mish(FunctionLayer):
    """``input * tanh(softplus(input))`` (Misra 2019, arXiv 1908.08681)."""

    inplace: bool
    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class MultiLabelMarginLoss(FunctionLayer):
    """``sum_ij max(0, 1 - x_j + x_i) / C`` over the classes j that an example has and i that it has not."""

    reduction: str
    def __init__(self, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class MultiLabelSoftMarginLoss(FunctionLayer):
    """Binary cross-entropy of each class from its score, the mean over classes."""

    weight: ArrayLike | None
    reduction: str
    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class MultiMarginLoss(FunctionLayer):
    """The multi-class hinge loss: ``sum_{j != y} w_y max(0, margin - x_y + x_j)^p / C`` for each example."""

    p: int
    margin: float
    weight: ArrayLike | None
    reduction: str
    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, reduction: str = "mean"
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class NLLLoss(FunctionLayer):
    """The negative log-probability of each target class: ``-weight[y] input[y]``."""

    weight: ArrayLike | None
    ignore_index: int
    reduction: str
    def __init__(self, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class PairwiseDistance(FunctionLayer):
    """``||x1 - x2 + eps||_p`` along the last axis."""

    p: float
    eps: float
    keepdim: bool
    def __init__(self, p: float = 2.0, eps: float = 1e-06, keepdim: bool = False) -> None: ...
    def forward(  # type: ignore[override]
        self, x1: ArrayLike, x2: ArrayLike
    ) -> Tensor: ...

class PixelShuffle(FunctionLayer):
    """Channels become pixels: (..., C r², H, W) to (..., C, H r, W r) (Shi et al. 2016, arXiv 1609.05158)."""

    upscale_factor: int
    def __init__(self, upscale_factor: int) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class PixelUnshuffle(FunctionLayer):
    """Pixels become channels: (..., C, H r, W r) to (..., C r², H, W), the inverse of :func:`pixel_shuffle`."""

    downscale_factor: int
    def __init__(self, downscale_factor: int) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class PoissonNLLLoss(FunctionLayer):
    """``rate - target log rate``: the negative log-likelihood of Poisson distributions, less ``log target!``."""

    log_input: bool
    full: bool
    eps: float
    reduction: str
    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-08, reduction: str = "mean"
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class RReLU(FunctionLayer):
    """:func:`leaky_relu` with a slope drawn for every element in training, and the middle one else (Xu et al. 2015, arXiv 1505.00853)."""

    lower: float
    upper: float
    generator: np.random.Generator | None
    inplace: bool
    def __init__(
        self, lower: float = 0.125, upper: float = 0.3333333333333333, generator: np.random.Generator | None = None, *,
        inplace: bool = False,
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ReLU(FunctionLayer):
    """``max(input, 0)``, with gradient 0 at 0."""

    inplace: bool
    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ReLU6(FunctionLayer):
    """``min(max(input, 0), 6)``, with gradient 0 at 0 and 6."""

    inplace: bool
    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ReflectionPad1d(FunctionLayer):
    """The last axis of (N, C, ...) or (C, ...), longer: mirrored at their borders, which are not repeated; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ReflectionPad2d(FunctionLayer):
    """The last two axes of (N, C, ...) or (C, ...), longer: mirrored at their borders, which are not repeated; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ReflectionPad3d(FunctionLayer):
    """The last three axes of (N, C, ...) or (C, ...), longer: mirrored at their borders, which are not repeated; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ReplicationPad1d(FunctionLayer):
    """The last axis of (N, C, ...) or (C, ...), longer: their borders repeated; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ReplicationPad2d(FunctionLayer):
    """The last two axes of (N, C, ...) or (C, ...), longer: their borders repeated; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ReplicationPad3d(FunctionLayer):
    """The last three axes of (N, C, ...) or (C, ...), longer: their borders repeated; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class SELU(FunctionLayer):
    """``scale * elu(input, alpha)`` with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017, arXiv 1706.02515)."""

    inplace: bool
    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class SiLU(FunctionLayer):
    """``input * sigmoid(input)``, also called swish (Elfwing et al. 2017, arXiv 1702.03118)."""

    inplace: bool
    def __init__(self, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Sigmoid(FunctionLayer):
    """``1 / (1 + exp(-input))``, which overflows nowhere."""

    def __init__(self) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class SmoothL1Loss(FunctionLayer):
    """``d^2 / (2 beta)`` where the difference d is below ``beta``, else ``|d| - beta / 2`` (Girshick 2015, arXiv 1504.08083)."""

    reduction: str
    beta: float
    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class SoftMarginLoss(FunctionLayer):
    """``log(1 + exp(-target input))`` for targets 1 and -1, stable for any magnitude."""

    reduction: str
    def __init__(self, reduction: str = "mean") -> None: ...
    def forward(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike
    ) -> Tensor: ...

class Softmax(FunctionLayer):
    """``exp(input) / sum(exp(input))`` along ``dim``, of the input in ``dtype`` if one is given."""

    dim: int
    dtype: DTypeLike | None
    def __init__(self, dim: int, dtype: DTypeLike | None = None) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Softmax2d(FunctionLayer):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def __init__(self) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Softmin(FunctionLayer):
    """Softmax of the negated input along ``dim``, in ``dtype`` if one is given."""

    dim: int
    dtype: DTypeLike | None
    def __init__(self, dim: int, dtype: DTypeLike | None = None) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Softplus(FunctionLayer):
    """``log(1 + exp(beta * input)) / beta``, and ``input`` itself where ``beta * input > threshold``."""

    beta: float
    threshold: float
    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Softshrink(FunctionLayer):
    """``input`` moved towards 0 by ``lambd``, and 0 where it is not further away."""

    lambd: float
    def __init__(self, lambd: float = 0.5) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Softsign(FunctionLayer):
    """``input / (1 + |input|)``."""

    def __init__(self) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Tanh(FunctionLayer):
    """The hyperbolic tangent."""

    def __init__(self) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Tanhshrink(FunctionLayer):
    """``input - tanh(input)``."""

    def __init__(self) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Threshold(FunctionLayer):
    """``input`` where above ``threshold``, else ``value``."""

    threshold: float
    value: float
    inplace: bool
    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class TripletMarginLoss(FunctionLayer):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with the p-norm's distance along the last axis."""

    margin: float
    p: float
    eps: float
    swap: bool
    reduction: str
    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-06, swap: bool = False, reduction: str = "mean"
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike
    ) -> Tensor: ...

class TripletMarginWithDistanceLoss(FunctionLayer):
    """:func:`triplet_margin_loss` with a distance of one's own."""

    distance_function: Callable[[Tensor, Tensor], object] | None
    margin: float
    swap: bool
    reduction: str
    def __init__(
        self, *, distance_function: Callable[[Tensor, Tensor], object] | None = None, margin: float = 1.0,
        swap: bool = False, reduction: str = "mean",
    ) -> None: ...
    def forward(  # type: ignore[override]
        self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike
    ) -> Tensor: ...

class Unfold(FunctionLayer):
    """Every window of a picture as a column, also called im2col."""

    kernel_size: int | Sequence[int]
    dilation: int | Sequence[int]
    padding: int | Sequence[int]
    stride: int | Sequence[int] | None
    def __init__(
        self, kernel_size: int | Sequence[int], dilation: int | Sequence[int] = 1, padding: int | Sequence[int] = 0,
        stride: int | Sequence[int] | None = 1,
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class Upsample(FunctionLayer):
    """An input in another size."""

    size: int | Sequence[int] | None
    scale_factor: float | Sequence[float] | None
    mode: str
    align_corners: bool | None
    recompute_scale_factor: bool | None
    def __init__(
        self, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest", align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class UpsamplingBilinear2d(FunctionLayer):
    """A picture in another size, bilinear, its corners kept."""

    size: int | Sequence[int] | None
    scale_factor: float | Sequence[float] | None
    def __init__(
        self, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class UpsamplingNearest2d(FunctionLayer):
    """A picture in another size, every pixel that of the nearest one."""

    size: int | Sequence[int] | None
    scale_factor: float | Sequence[float] | None
    def __init__(
        self, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
    ) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ZeroPad1d(FunctionLayer):
    """The last axis of (N, C, ...) or (C, ...), longer: zeros around them; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ZeroPad2d(FunctionLayer):
    """The last two axes of (N, C, ...) or (C, ...), longer: zeros around them; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...

class ZeroPad3d(FunctionLayer):
    """The last three axes of (N, C, ...) or (C, ...), longer: zeros around them; by :func:`nn.functional.pad`."""

    padding: int | Sequence[int]
    def __init__(self, padding: int | Sequence[int]) -> None: ...
    def forward(self, input: ArrayLike) -> Tensor: ...
