# fmt: off
"""Functions with PyTorch's names, argument order and defaults: state and conventions over the fused primitives.

Written by docs/make_stubs.py; do not edit.
"""

from collections.abc import Callable, Sequence
from typing import Literal, overload

import numpy as np
from numpy.typing import DTypeLike

from autodiff.signatures import ArrayLike
from autodiff.tensor import Tensor

__all__ = [
    "celu", "celu_", "elu", "elu_", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_",
    "leaky_relu", "leaky_relu_", "log_softmax", "logsigmoid", "maxout", "mish", "prelu", "relu", "relu6", "relu_",
    "rrelu", "rrelu_", "selu", "selu_", "sigmoid", "silu", "softmax", "softmin", "softplus", "softshrink", "softsign",
    "tanh", "tanhshrink", "threshold", "threshold_", "bilinear", "linear", "attention_with_weights",
    "scaled_dot_product_attention", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "ctc_loss", "cosine_similarity", "huber_loss", "l1_loss", "mse_loss", "normalize",
    "pairwise_distance", "pdist", "smooth_l1_loss", "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "feature_alpha_dropout", "gumbel_softmax", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "cross_entropy", "gaussian_nll_loss", "kl_div", "nll_loss", "poisson_nll_loss", "cosine_embedding_loss",
    "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss", "multilabel_margin_loss",
    "multilabel_soft_margin_loss", "soft_margin_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss",
    "batch_norm", "batch_renorm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm",
    "pad", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "fractional_max_pool2d",
    "fractional_max_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
    "max_unpool1d", "max_unpool2d", "max_unpool3d", "embedding", "embedding_bag", "one_hot", "affine_grid",
    "channel_shuffle", "fold", "grid_sample", "interpolate", "pixel_shuffle", "pixel_unshuffle", "unfold",
]

def adaptive_avg_pool1d(input: ArrayLike, output_size: int | Sequence[int | None] | None) -> Tensor:
    """The mean of each of ``output_size`` windows that cover the input evenly."""

def adaptive_avg_pool2d(input: ArrayLike, output_size: int | Sequence[int | None] | None) -> Tensor:
    """The mean of each of ``output_size`` windows that cover the input evenly."""

def adaptive_avg_pool3d(input: ArrayLike, output_size: int | Sequence[int | None] | None) -> Tensor:
    """The mean of each of ``output_size`` windows that cover the input evenly."""

@overload
def adaptive_max_pool1d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, return_indices: Literal[False] = False
) -> Tensor:
    """The largest element of each of ``output_size`` windows that cover the input evenly."""

@overload
def adaptive_max_pool1d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, *, return_indices: Literal[True]
) -> tuple[Tensor, Tensor]: ...
@overload
def adaptive_max_pool1d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]: ...
@overload
def adaptive_max_pool2d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, return_indices: Literal[False] = False
) -> Tensor:
    """The largest element of each of ``output_size`` windows that cover the input evenly."""

@overload
def adaptive_max_pool2d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, *, return_indices: Literal[True]
) -> tuple[Tensor, Tensor]: ...
@overload
def adaptive_max_pool2d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]: ...
@overload
def adaptive_max_pool3d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, return_indices: Literal[False] = False
) -> Tensor:
    """The largest element of each of ``output_size`` windows that cover the input evenly."""

@overload
def adaptive_max_pool3d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, *, return_indices: Literal[True]
) -> tuple[Tensor, Tensor]: ...
@overload
def adaptive_max_pool3d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]: ...
def affine_grid(theta: ArrayLike, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid at which :func:`grid_sample` reads an affine image of its input."""

def alpha_dropout(
    input: ArrayLike, p: float = 0.5, training: bool = False, generator: np.random.Generator | None = None
) -> Tensor:
    """Dropout for SELU: a dropped element becomes SELU's lowest value, and an affine map keeps mean 0 and variance 1 (Klambauer et al. 2017, arXiv 1706.02515)."""

def attention_with_weights(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, attn_mask: ArrayLike | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, generator: np.random.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`scaled_dot_product_attention` that hands out its weights, too: slower, composed of elementary operations."""

def avg_pool1d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window."""

def avg_pool2d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window."""

def avg_pool3d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window."""

def batch_norm(
    input: ArrayLike, running_mean: ArrayLike, running_var: ArrayLike, weight: ArrayLike | None = None,
    bias: ArrayLike | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-05, *, ddof: int = 1,
) -> Tensor:
    """Normalise every channel, by the batch's statistics in training and by the running ones otherwise."""

def batch_renorm(
    input: ArrayLike, running_mean: ArrayLike, running_std: ArrayLike, weight: ArrayLike | None = None,
    bias: ArrayLike | None = None, training: bool = False, momentum: float = 0.01, eps: float = 1e-05,
    rmax: float = 3.0, dmax: float = 5.0, *, eps_mode: str = "inside", statistic: str = "std", ddof: int = 0,
) -> Tensor:
    """Batch normalisation that training corrects towards the running statistics, by which evaluation normalises (Ioffe 2017, arXiv 1702.03275)."""

def bilinear(input1: ArrayLike, input2: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Tensor:
    """``input1ᵀ W_o input2 + bias_o`` for every output o."""

def binary_cross_entropy(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean"
) -> Tensor:
    """``-(t log x + (1 - t) log(1 - x))`` of probabilities; logarithms end at -100, as in PyTorch."""

def binary_cross_entropy_with_logits(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean",
    pos_weight: ArrayLike | None = None,
) -> Tensor:
    """``-(pos_weight t log sigmoid(x) + (1 - t) log(1 - sigmoid(x)))`` of scores, stable for any magnitude."""

def celu(input: ArrayLike, alpha: float = 1.0) -> Tensor:
    """``input`` where positive, else ``alpha (exp(input / alpha) - 1)``, whose slope is continuous (Barron 2017, arXiv 1704.07483)."""

def celu_(input: ArrayLike, alpha: float = 1.0) -> Tensor:
    """What :func:`celu` gives, written over ``input``, which is returned."""

def channel_shuffle(input: ArrayLike, groups: int) -> Tensor:
    """The channels of ``groups`` groups, interleaved (Zhang et al. 2018, arXiv 1707.01083)."""

def conv1d(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: int | Sequence[int] | None = 1,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, groups: int = 1,
) -> Tensor:
    """Convolution over one axis; the kernel is not flipped."""

def conv2d(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: int | Sequence[int] | None = 1,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, groups: int = 1,
) -> Tensor:
    """Convolution over two axes; the kernel is not flipped."""

def conv3d(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: int | Sequence[int] | None = 1,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, groups: int = 1,
) -> Tensor:
    """Convolution over three axes; the kernel is not flipped."""

def conv_transpose1d(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: int | Sequence[int] | None = 1,
    padding: int | Sequence[int] = 0, output_padding: int | Sequence[int] = 0, groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """The transpose of :func:`conv1d` as a linear map of its input."""

def conv_transpose2d(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: int | Sequence[int] | None = 1,
    padding: int | Sequence[int] = 0, output_padding: int | Sequence[int] = 0, groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """The transpose of :func:`conv2d` as a linear map of its input."""

def conv_transpose3d(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: int | Sequence[int] | None = 1,
    padding: int | Sequence[int] = 0, output_padding: int | Sequence[int] = 0, groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """The transpose of :func:`conv3d` as a linear map of its input."""

def cosine_embedding_loss(
    input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``1 - cos`` of the angle between the inputs where the target is 1, ``max(0, cos - margin)`` where it is -1."""

def cosine_similarity(x1: ArrayLike, x2: ArrayLike, dim: int = 1, eps: float = 1e-08) -> Tensor:
    """``x1 . x2 / (max(||x1||, eps) max(||x2||, eps))`` along ``dim``."""

def cross_entropy(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of ``softmax(input)`` with class indices or class probabilities."""

def ctc_loss(
    log_probs: ArrayLike, targets: ArrayLike, input_lengths: ArrayLike, target_lengths: ArrayLike, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor:
    """The negative log-probability of a label sequence, summed over all its alignments (Graves et al. 2006)."""

def dropout(
    input: ArrayLike, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None
) -> Tensor:
    """Zero each element with probability ``p`` and scale the others by ``1 / (1 - p)``; the identity unless ``training``."""

def dropout1d(
    input: ArrayLike, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None
) -> Tensor:
    """Zero whole channels (Tompson et al. 2015, arXiv 1411.4280)."""

def dropout2d(
    input: ArrayLike, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None
) -> Tensor:
    """Zero whole channels (Tompson et al. 2015, arXiv 1411.4280)."""

def dropout3d(
    input: ArrayLike, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None
) -> Tensor:
    """Zero whole channels (Tompson et al. 2015, arXiv 1411.4280)."""

def elu(input: ArrayLike, alpha: float = 1.0) -> Tensor:
    """``input`` where positive, else ``alpha (exp(input) - 1)`` (Clevert et al. 2015, arXiv 1511.07289)."""

def elu_(input: ArrayLike, alpha: float = 1.0) -> Tensor:
    """What :func:`elu` gives, written over ``input``, which is returned."""

def embedding(
    input: ArrayLike, weight: ArrayLike, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:
    """Rows of ``weight`` at the indices ``input``; the gradient of a row that is read several times is the sum."""

def embedding_bag(
    input: ArrayLike, weight: ArrayLike, offsets: ArrayLike | None = None, max_norm: float | None = None,
    norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
    per_sample_weights: ArrayLike | None = None, include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of the rows of ``weight`` that each bag of indices names; zeros for an empty bag."""

def feature_alpha_dropout(
    input: ArrayLike, p: float = 0.5, training: bool = False, generator: np.random.Generator | None = None
) -> Tensor:
    """:func:`alpha_dropout` of whole channels of (N, C, ...)."""

def fold(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1, padding: int | Sequence[int] = 0, stride: int | Sequence[int] | None = 1,
) -> Tensor:
    """Columns back as windows of a picture, added up where they overlap: the transpose of :func:`unfold`."""

@overload
def fractional_max_pool2d(
    input: ArrayLike, kernel_size: int | Sequence[int], output_size: int | Sequence[int | None] | None = None,
    output_ratio: ArrayLike | None = None, return_indices: Literal[False] = False,
    _random_samples: ArrayLike | None = None, generator: np.random.Generator | None = None,
) -> Tensor:
    """The largest element of windows that lie at random, overlapping places (Graham 2014, arXiv 1412.6071)."""

@overload
def fractional_max_pool2d(
    input: ArrayLike, kernel_size: int | Sequence[int], output_size: int | Sequence[int | None] | None = None,
    output_ratio: ArrayLike | None = None, *, return_indices: Literal[True], _random_samples: ArrayLike | None = None,
    generator: np.random.Generator | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def fractional_max_pool2d(
    input: ArrayLike, kernel_size: int | Sequence[int], output_size: int | Sequence[int | None] | None = None,
    output_ratio: ArrayLike | None = None, return_indices: bool = False, _random_samples: ArrayLike | None = None,
    generator: np.random.Generator | None = None,
) -> Tensor | tuple[Tensor, Tensor]: ...
@overload
def fractional_max_pool3d(
    input: ArrayLike, kernel_size: int | Sequence[int], output_size: int | Sequence[int | None] | None = None,
    output_ratio: ArrayLike | None = None, return_indices: Literal[False] = False,
    _random_samples: ArrayLike | None = None, generator: np.random.Generator | None = None,
) -> Tensor:
    """The largest element of windows that lie at random, overlapping places (Graham 2014, arXiv 1412.6071)."""

@overload
def fractional_max_pool3d(
    input: ArrayLike, kernel_size: int | Sequence[int], output_size: int | Sequence[int | None] | None = None,
    output_ratio: ArrayLike | None = None, *, return_indices: Literal[True], _random_samples: ArrayLike | None = None,
    generator: np.random.Generator | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def fractional_max_pool3d(
    input: ArrayLike, kernel_size: int | Sequence[int], output_size: int | Sequence[int | None] | None = None,
    output_ratio: ArrayLike | None = None, return_indices: bool = False, _random_samples: ArrayLike | None = None,
    generator: np.random.Generator | None = None,
) -> Tensor | tuple[Tensor, Tensor]: ...
def gaussian_nll_loss(
    input: ArrayLike, target: ArrayLike, var: ArrayLike, full: bool = False, eps: float = 1e-06, reduction: str = "mean"
) -> Tensor:
    """``(log var + (input - target)^2 / var) / 2``: the negative log-likelihood of normal distributions."""

def gelu(input: ArrayLike, approximate: str = "none") -> Tensor:
    """``input * Phi(input)``, Phi being the standard normal distribution function (Hendrycks and Gimpel 2016, arXiv 1606.08415)."""

def glu(input: ArrayLike, dim: int = -1) -> Tensor:
    """The first half along ``dim`` times the sigmoid of the second (Dauphin et al. 2016, arXiv 1612.08083)."""

def grid_sample(
    input: ArrayLike, grid: ArrayLike, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """An input read at positions between its elements, differentiable in both (Jaderberg et al. 2015, arXiv 1506.02025)."""

def group_norm(
    input: ArrayLike, num_groups: int, weight: ArrayLike | None = None, bias: ArrayLike | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """Normalise every example over each of ``num_groups`` groups of channels and all positions (Wu and He 2018, arXiv 1803.08494)."""

def gumbel_softmax(
    logits: ArrayLike, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """A sample of the Gumbel-softmax distribution (Jang et al. 2016, arXiv 1611.01144)."""

def hardshrink(input: ArrayLike, lambd: float = 0.5) -> Tensor:
    """``input``, and 0 where it is within [-lambd, lambd]."""

def hardsigmoid(input: ArrayLike) -> Tensor:
    """``(input + 3) / 6`` limited to [0, 1], with gradient 0 at both ends."""

def hardswish(input: ArrayLike) -> Tensor:
    """``input * hardsigmoid(input)``, with gradient 0 at -3 and 1 at 3 (Howard et al. 2019, arXiv 1905.02244)."""

def hardtanh(input: ArrayLike, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``input`` limited to [min_val, max_val], with gradient 0 at both ends."""

def hardtanh_(input: ArrayLike, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """What :func:`hardtanh` gives, written over ``input``, which is returned."""

def hinge_embedding_loss(input: ArrayLike, target: ArrayLike, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1."""

def huber_loss(
    input: ArrayLike, target: ArrayLike, reduction: str = "mean", delta: float = 1.0, weight: ArrayLike | None = None
) -> Tensor:
    """``d^2 / 2`` where the difference d is below ``delta``, else ``delta (|d| - delta / 2)`` (Huber 1964)."""

def instance_norm(
    input: ArrayLike, running_mean: ArrayLike | None = None, running_var: ArrayLike | None = None,
    weight: ArrayLike | None = None, bias: ArrayLike | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-05,
) -> Tensor:
    """Normalise every channel of every example over its positions (Ulyanov et al. 2016, arXiv 1607.08022)."""

def interpolate(
    input: ArrayLike, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest", align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """An input in another size."""

def kl_div(input: ArrayLike, target: ArrayLike, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """The Kullback-Leibler divergence of the distribution ``target`` from the one whose logarithms are ``input``: ``t (log t - input)``."""

def l1_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean", weight: ArrayLike | None = None) -> Tensor:
    """Absolute differences, of equal shapes, reduced; parameters as :func:`mse_loss`. At equality the gradient is 0."""

def layer_norm(
    input: ArrayLike, normalized_shape: int | Sequence[int], weight: ArrayLike | None = None,
    bias: ArrayLike | None = None, eps: float = 1e-05,
) -> Tensor:
    """Normalise every example over its last axes."""

def leaky_relu(input: ArrayLike, negative_slope: float = 0.01) -> Tensor:
    """``input`` where positive, else ``negative_slope * input``."""

def leaky_relu_(input: ArrayLike, negative_slope: float = 0.01) -> Tensor:
    """What :func:`leaky_relu` gives, written over ``input``, which is returned."""

def linear(input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Tensor:
    """``input @ weight.T + bias``."""

def local_response_norm(
    input: ArrayLike, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``x / (k + alpha mean(x^2))^beta``, the mean taken over ``size`` neighbouring channels, zeros beyond the ends (Krizhevsky et al. 2012, section 3.3, whose sum is ``size`` times that mean)."""

def log_softmax(input: ArrayLike, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """The logarithm of softmax along ``dim``, in ``dtype`` if one is given; stable for any magnitude."""

def logsigmoid(input: ArrayLike) -> Tensor:
    """``log(sigmoid(input))``, stable for any magnitude."""

def lp_pool1d(
    input: ArrayLike, norm_type: float, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """``(sum of x^p)^(1/p)`` over every window; gradient 0 where all is 0."""

def lp_pool2d(
    input: ArrayLike, norm_type: float, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """``(sum of x^p)^(1/p)`` over every window; gradient 0 where all is 0."""

def lp_pool3d(
    input: ArrayLike, norm_type: float, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """``(sum of x^p)^(1/p)`` over every window; gradient 0 where all is 0."""

def margin_ranking_loss(
    input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``max(0, -target (input1 - input2) + margin)``: a target of 1 wants ``input1`` the larger, -1 ``input2``."""

@overload
def max_pool1d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, ceil_mode: bool = False,
    return_indices: Literal[False] = False,
) -> Tensor:
    """The largest element of every window; of equal ones the first takes the gradient."""

@overload
def max_pool1d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, ceil_mode: bool = False, *,
    return_indices: Literal[True],
) -> tuple[Tensor, Tensor]: ...
@overload
def max_pool1d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]: ...
@overload
def max_pool2d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, ceil_mode: bool = False,
    return_indices: Literal[False] = False,
) -> Tensor:
    """The largest element of every window; of equal ones the first takes the gradient."""

@overload
def max_pool2d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, ceil_mode: bool = False, *,
    return_indices: Literal[True],
) -> tuple[Tensor, Tensor]: ...
@overload
def max_pool2d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]: ...
@overload
def max_pool3d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, ceil_mode: bool = False,
    return_indices: Literal[False] = False,
) -> Tensor:
    """The largest element of every window; of equal ones the first takes the gradient."""

@overload
def max_pool3d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, ceil_mode: bool = False, *,
    return_indices: Literal[True],
) -> tuple[Tensor, Tensor]: ...
@overload
def max_pool3d(
    input: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]: ...
def max_unpool1d(
    input: ArrayLike, indices: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, output_size: int | Sequence[int | None] | None = None,
) -> Tensor:
    """Maxima back where they stood, zeros elsewhere: the inverse of :func:`max_pool1d` as far as there is one."""

def max_unpool2d(
    input: ArrayLike, indices: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, output_size: int | Sequence[int | None] | None = None,
) -> Tensor:
    """Maxima back where they stood, zeros elsewhere: the inverse of :func:`max_pool2d` as far as there is one."""

def max_unpool3d(
    input: ArrayLike, indices: ArrayLike, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, output_size: int | Sequence[int | None] | None = None,
) -> Tensor:
    """Maxima back where they stood, zeros elsewhere: the inverse of :func:`max_pool3d` as far as there is one."""

def maxout(input: ArrayLike, pool_size: int, dim: int = 1) -> Tensor:
    """The largest of each ``pool_size`` neighbours along ``dim`` (Goodfellow et al. 2013, arXiv 1302.4389); ties share the gradient."""

def mish(input: ArrayLike) -> Tensor:
    """``input * tanh(softplus(input))`` (Misra 2019, arXiv 1908.08681)."""

def mse_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean", weight: ArrayLike | None = None) -> Tensor:
    """Squared differences, of equal shapes, reduced."""

def multi_margin_loss(
    input: ArrayLike, target: ArrayLike, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The multi-class hinge loss: ``sum_{j != y} w_y max(0, margin - x_y + x_j)^p / C`` for each example."""

def multilabel_margin_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean") -> Tensor:
    """``sum_ij max(0, 1 - x_j + x_i) / C`` over the classes j that an example has and i that it has not."""

def multilabel_soft_margin_loss(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean"
) -> Tensor:
    """Binary cross-entropy of each class from its score, the mean over classes."""

def nll_loss(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-probability of each target class: ``-weight[y] input[y]``."""

def normalize(
    input: ArrayLike, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12, out: None = None
) -> Tensor:
    """``input`` divided by its p-norm along ``dim``, or by ``eps`` where that is larger; ``out`` is refused."""

def one_hot(tensor: ArrayLike, num_classes: int = -1) -> Tensor:
    """Indicator vectors of class indices."""

def pad(input: ArrayLike, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Lengthen (or, by negative amounts, shorten) the last dimensions."""

def pairwise_distance(
    x1: ArrayLike, x2: ArrayLike, p: float = 2.0, eps: float = 1e-06, keepdim: bool = False
) -> Tensor:
    """``||x1 - x2 + eps||_p`` along the last axis."""

def pdist(input: ArrayLike, p: float = 2.0) -> Tensor:
    """The p-norm distance of every pair of rows, as ``scipy.spatial.distance.pdist``."""

def pixel_shuffle(input: ArrayLike, upscale_factor: int) -> Tensor:
    """Channels become pixels: (..., C r², H, W) to (..., C, H r, W r) (Shi et al. 2016, arXiv 1609.05158)."""

def pixel_unshuffle(input: ArrayLike, downscale_factor: int) -> Tensor:
    """Pixels become channels: (..., C, H r, W r) to (..., C r², H, W), the inverse of :func:`pixel_shuffle`."""

def poisson_nll_loss(
    input: ArrayLike, target: ArrayLike, log_input: bool = True, full: bool = False, eps: float = 1e-08,
    reduction: str = "mean",
) -> Tensor:
    """``rate - target log rate``: the negative log-likelihood of Poisson distributions, less ``log target!``."""

def prelu(input: ArrayLike, weight: ArrayLike) -> Tensor:
    """``input`` where positive, else ``weight * input`` (He et al. 2015, arXiv 1502.01852)."""

def relu(input: ArrayLike) -> Tensor:
    """``max(input, 0)``, with gradient 0 at 0."""

def relu6(input: ArrayLike) -> Tensor:
    """``min(max(input, 0), 6)``, with gradient 0 at 0 and 6."""

def relu_(input: ArrayLike) -> Tensor:
    """What :func:`relu` gives, written over ``input``, which is returned."""

def rms_norm(
    input: ArrayLike, normalized_shape: int | Sequence[int], weight: ArrayLike | None = None, eps: float | None = None
) -> Tensor:
    """Divide every example by the root of the mean square over its last axes (Zhang and Sennrich 2019, arXiv 1910.07467)."""

def rrelu(
    input: ArrayLike, lower: float = 0.125, upper: float = 0.3333333333333333, training: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """:func:`leaky_relu` with a slope drawn for every element in training, and the middle one else (Xu et al. 2015, arXiv 1505.00853)."""

def rrelu_(
    input: ArrayLike, lower: float = 0.125, upper: float = 0.3333333333333333, training: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """What :func:`rrelu` gives, written over ``input``, which is returned."""

def scaled_dot_product_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, attn_mask: ArrayLike | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """``softmax(scale query key^T + attn_mask) value``, the softmax along the keys."""

def selu(input: ArrayLike) -> Tensor:
    """``scale * elu(input, alpha)`` with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017, arXiv 1706.02515)."""

def selu_(input: ArrayLike) -> Tensor:
    """What :func:`selu` gives, written over ``input``, which is returned."""

def sigmoid(input: ArrayLike) -> Tensor:
    """``1 / (1 + exp(-input))``, which overflows nowhere."""

def silu(input: ArrayLike) -> Tensor:
    """``input * sigmoid(input)``, also called swish (Elfwing et al. 2017, arXiv 1702.03118)."""

def smooth_l1_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """``d^2 / (2 beta)`` where the difference d is below ``beta``, else ``|d| - beta / 2`` (Girshick 2015, arXiv 1504.08083)."""

def soft_margin_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean") -> Tensor:
    """``log(1 + exp(-target input))`` for targets 1 and -1, stable for any magnitude."""

def softmax(input: ArrayLike, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """``exp(input) / sum(exp(input))`` along ``dim``, of the input in ``dtype`` if one is given."""

def softmin(input: ArrayLike, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """Softmax of the negated input along ``dim``, in ``dtype`` if one is given."""

def softplus(input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * input)) / beta``, and ``input`` itself where ``beta * input > threshold``."""

def softshrink(input: ArrayLike, lambd: float = 0.5) -> Tensor:
    """``input`` moved towards 0 by ``lambd``, and 0 where it is not further away."""

def softsign(input: ArrayLike) -> Tensor:
    """``input / (1 + |input|)``."""

def tanh(input: ArrayLike) -> Tensor:
    """The hyperbolic tangent."""

def tanhshrink(input: ArrayLike) -> Tensor:
    """``input - tanh(input)``."""

def threshold(input: ArrayLike, threshold: float, value: float) -> Tensor:
    """``input`` where above ``threshold``, else ``value``."""

def threshold_(input: ArrayLike, threshold: float, value: float) -> Tensor:
    """What :func:`threshold` gives, written over ``input``, which is returned."""

def triplet_margin_loss(
    anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike, margin: float = 1.0, p: float = 2.0,
    eps: float = 1e-06, swap: bool = False, reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with the p-norm's distance along the last axis."""

def triplet_margin_with_distance_loss(
    anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike, *, distance_function: Callable[[Tensor, Tensor],
    object] | None = None, margin: float = 1.0, swap: bool = False, reduction: str = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` with a distance of one's own."""

def unfold(
    input: ArrayLike, kernel_size: int | Sequence[int], dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0, stride: int | Sequence[int] | None = 1,
) -> Tensor:
    """Every window of a picture as a column, also called im2col."""
