"""Activations, elementwise and along an axis; values at kinks as in docs/kinks.md, which are PyTorch's."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import numpy as np
from numpy.typing import DTypeLike

from autodiff import Tensor, fused
from autodiff.arguments import refuse_negative, whole
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.functions import constant_argument
from autodiff.ops.common import drawn
from nn.functional.common import as_floats, as_input, as_real, as_tensor, in_single, via_single
from nn.init import default_generator

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "log_softmax",
    "logsigmoid",
    "maxout",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]


_relu = fused.relu.function


def _along(name: str, x: Any, dim: int) -> int:
    """The axis counted from the start."""
    if not -x.ndim <= dim < x.ndim:
        raise ArgumentError(f"{name}: dim={dim} for an input of shape {x.shape}")
    return int(dim % x.ndim)


# --- piecewise linear -------------------------------------------------------------------------------------------------


def relu(input: Any) -> Tensor:
    """``max(input, 0)``, with gradient 0 at 0.

    Examples
    --------
    >>> relu([-1.0, 2.0]).data
    array([0., 2.])
    """
    return _relu(input if input.__class__ is Tensor else as_input(input))  # type: ignore[no-any-return]


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """``input`` where positive, else ``negative_slope * input``.

    Examples
    --------
    >>> leaky_relu([-1.0, 2.0], 0.1).data
    array([-0.1,  2. ])
    """
    return fused.leaky_relu.function(as_input(input), negative_slope=negative_slope)  # type: ignore[no-any-return]


def prelu(input: Any, weight: Any) -> Tensor:
    """``input`` where positive, else ``weight * input`` (He et al. 2015, arXiv 1502.01852).

    Parameters
    ----------
    input : (N, C, ...), or any shape with a single weight
    weight : (1,) or (C,)
        The slope, or one for each channel (axis 1; axis 0 of a vector).

    Raises
    ------
    ShapeError
        If ``weight`` is neither a single number nor one for each channel.

    Examples
    --------
    >>> prelu([-1.0, 2.0], [0.5]).data
    array([-0.5,  2. ])
    """
    x = as_real("prelu", input)
    w = weight if isinstance(weight, Tensor) else np.asarray(weight)
    channels = x.shape[1] if x.ndim > 1 else x.size
    if w.ndim > 1 or w.size not in (1, channels):
        raise ShapeError(
            f"prelu: weight of shape {w.shape} for input of shape {x.shape}; it needs (1,) or ({channels},)"
        )
    slope = w.reshape((1,) * x.ndim) if w.size == 1 else w.reshape(-1, *(1,) * (x.ndim - 2))
    return np.where(x > 0, x, x * slope)  # type: ignore[return-value]


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``input`` limited to [min_val, max_val], with gradient 0 at both ends.

    Raises
    ------
    ArgumentError
        If ``min_val`` is above ``max_val``.

    Examples
    --------
    >>> hardtanh([-3.0, 0.5, 3.0]).data
    array([-1. ,  0.5,  1. ])
    """
    if not min_val <= max_val:
        raise ArgumentError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    x = as_real("hardtanh", input)
    # Written so that NaN stays NaN.
    return np.where(x <= min_val, min_val, np.where(x >= max_val, max_val, x))  # type: ignore[return-value]


def relu6(input: Any) -> Tensor:
    """``min(max(input, 0), 6)``, with gradient 0 at 0 and 6.

    Examples
    --------
    >>> relu6([-1.0, 2.0, 7.0]).data
    array([0., 2., 6.])
    """
    return hardtanh(input, 0.0, 6.0)


def hardsigmoid(input: Any) -> Tensor:
    """``(input + 3) / 6`` limited to [0, 1], with gradient 0 at both ends.

    Examples
    --------
    >>> hardsigmoid([-4.0, 0.0, 4.0]).data
    array([0. , 0.5, 1. ])
    """
    return (hardtanh(input, -3.0, 3.0) + 3.0) / 6.0  # type: ignore[no-any-return]


def hardswish(input: Any) -> Tensor:
    """``input * hardsigmoid(input)``, with gradient 0 at -3 and 1 at 3 (Howard et al. 2019, arXiv 1905.02244).

    Examples
    --------
    >>> hardswish([-4.0, 0.0, 4.0]).data
    array([-0.,  0.,  4.])
    """
    x = as_real("hardswish", input)
    return x * hardsigmoid(x)  # type: ignore[no-any-return]


def softshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """``input`` moved towards 0 by ``lambd``, and 0 where it is not further away.

    Raises
    ------
    ArgumentError
        If ``lambd`` is negative.

    Examples
    --------
    >>> softshrink([-2.0, 0.3, 2.0]).data
    array([-1.5,  0. ,  1.5])
    """
    refuse_negative("softshrink: lambd", lambd)
    x = as_real("softshrink", input)
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, x * 0))  # type: ignore[no-any-return, return-value]


def hardshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """``input``, and 0 where it is within [-lambd, lambd].

    Examples
    --------
    >>> hardshrink([-2.0, 0.3, 2.0]).data
    array([-2.,  0.,  2.])
    """
    x, lambd = as_real("hardshrink", input), constant_argument("hardshrink", "lambd", lambd)
    return np.where((x >= -lambd) & (x <= lambd), 0.0, x)  # type: ignore[return-value]


def threshold(input: Any, threshold: float, value: float) -> Tensor:
    """``input`` where above ``threshold``, else ``value``.

    Examples
    --------
    >>> threshold([-2.0, 0.3, 2.0], 0.3, 7.0).data
    array([7., 7., 2.])
    """
    x = as_real("threshold", input)
    return np.where(x <= constant_argument("threshold", "threshold", threshold), value, x)  # type: ignore[return-value]


def maxout(input: Any, pool_size: int, dim: int = 1) -> Tensor:
    """The largest of each ``pool_size`` neighbours along ``dim`` (Goodfellow et al. 2013, arXiv 1302.4389); ties share
    the gradient.

    Parameters
    ----------
    input : (N, C, ...)
        C is a multiple of ``pool_size``.
    pool_size : int
        Linear pieces of each output.
    dim : int

    Returns
    -------
    Tensor, (N, C / pool_size, ...)

    Raises
    ------
    ShapeError
        If ``pool_size`` does not divide the axis.

    Examples
    --------
    >>> maxout([[1.0, 3.0, 5.0, 2.0]], 2).data
    array([[3., 5.]])
    """
    x = as_real("maxout", input)
    axis = _along("maxout", x, dim)
    if not whole(pool_size) or pool_size < 1 or x.shape[axis] % pool_size:
        raise ShapeError(f"maxout: pool_size={pool_size} does not divide axis {axis} of an input of shape {x.shape}")
    pieces = x.reshape(*x.shape[:axis], x.shape[axis] // pool_size, pool_size, *x.shape[axis + 1 :])
    return pieces.max(axis=axis + 1)  # type: ignore[no-any-return]


# --- smooth -----------------------------------------------------------------------------------------------------------


def sigmoid(input: Any) -> Tensor:
    """``1 / (1 + exp(-input))``, which overflows nowhere.

    Examples
    --------
    >>> sigmoid([0.0, -1000.0]).data
    array([0.5, 0. ])
    """
    return fused.sigmoid.function(as_input(input))  # type: ignore[no-any-return]


def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent.

    Examples
    --------
    >>> tanh([0.0, 1000.0]).data
    array([0., 1.])
    """
    return np.tanh(as_tensor(input))  # type: ignore[return-value]


def elu(input: Any, alpha: float = 1.0) -> Tensor:
    """``input`` where positive, else ``alpha (exp(input) - 1)`` (Clevert et al. 2015, arXiv 1511.07289).

    Examples
    --------
    >>> elu([-1e4, 2.0], alpha=0.5).data
    array([-0.5,  2. ])
    """
    return fused.elu.function(as_input(input), alpha=alpha)  # type: ignore[no-any-return]


def celu(input: Any, alpha: float = 1.0) -> Tensor:
    """``input`` where positive, else ``alpha (exp(input / alpha) - 1)``, whose slope is continuous (Barron 2017, arXiv
    1704.07483).

    Raises
    ------
    ArgumentError
        If ``alpha`` is 0.

    Examples
    --------
    >>> celu([-1e4, 2.0], alpha=0.5).data
    array([-0.5,  2. ])
    """
    if alpha == 0:
        raise ArgumentError("celu: alpha must not be 0")
    return fused.elu.function(as_input(input), alpha=alpha, rate=1 / alpha)  # type: ignore[no-any-return]


def selu(input: Any) -> Tensor:
    """``scale * elu(input, alpha)`` with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017, arXiv
    1706.02515).

    Examples
    --------
    >>> np.round(selu([-1e4, 1.0]).data, 6)
    array([-1.758099,  1.050701])
    """
    return fused.elu.function(  # type: ignore[no-any-return]
        as_input(input), alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946
    )


@in_single
def gelu(input: Any, approximate: str = "none") -> Tensor:
    """``input * Phi(input)``, Phi being the standard normal distribution function (Hendrycks and Gimpel 2016, arXiv
    1606.08415).

    Parameters
    ----------
    input : array_like or Tensor
    approximate : {"none", "tanh"}
        "tanh" takes ``0.5 (1 + tanh(sqrt(2 / pi) (input + 0.044715 input^3)))`` for Phi.

    Raises
    ------
    ArgumentError
        If ``approximate`` is unknown.

    Examples
    --------
    >>> np.round(gelu([-1.0, 1.0]).data, 6)
    array([-0.158655,  0.841345])
    """
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    op = fused.gelu if approximate == "none" else fused.gelu_tanh
    return op.function(as_input(input))  # type: ignore[no-any-return]


def silu(input: Any) -> Tensor:
    """``input * sigmoid(input)``, also called swish (Elfwing et al. 2017, arXiv 1702.03118).

    Examples
    --------
    >>> silu([-1e4, 0.0, 1e4]).data
    array([   -0.,     0., 10000.])
    """
    return fused.silu.function(as_input(input))  # type: ignore[no-any-return]


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * input)) / beta``, and ``input`` itself where ``beta * input > threshold``.

    Examples
    --------
    >>> softplus([-1e4, 1e4]).data
    array([    0., 10000.])
    """
    return fused.softplus.function(as_input(input), beta=beta, threshold=threshold)  # type: ignore[no-any-return]


def logsigmoid(input: Any) -> Tensor:
    """``log(sigmoid(input))``, stable for any magnitude.

    Examples
    --------
    >>> logsigmoid([-1e4, 1e4]).data
    array([-10000.,      0.])
    """
    return fused.log_sigmoid.function(as_input(input))  # type: ignore[no-any-return]


def mish(input: Any) -> Tensor:
    """``input * tanh(softplus(input))`` (Misra 2019, arXiv 1908.08681).

    Examples
    --------
    >>> np.round(mish([-1e4, 1.0]).data, 6)
    array([-0.      ,  0.865098])
    """
    x = as_real("mish", input)
    return x * np.tanh(softplus(x, threshold=np.inf))  # type: ignore[no-any-return]


def softsign(input: Any) -> Tensor:
    """``input / (1 + |input|)``.

    Examples
    --------
    >>> softsign([-1.0, 3.0]).data
    array([-0.5 ,  0.75])
    """
    return fused.soft_sign.function(as_input(input))  # type: ignore[no-any-return]


def tanhshrink(input: Any) -> Tensor:
    """``input - tanh(input)``.

    Examples
    --------
    >>> tanhshrink([0.0, 1e4]).data
    array([   0., 9999.])
    """
    return fused.tanh_shrink.function(as_input(input))  # type: ignore[no-any-return]


def glu(input: Any, dim: int = -1) -> Tensor:
    """The first half along ``dim`` times the sigmoid of the second (Dauphin et al. 2016, arXiv 1612.08083).

    Raises
    ------
    ShapeError
        If the axis cannot be halved.

    Examples
    --------
    >>> glu([4.0, 0.0]).data
    array([2.])
    """
    x = as_tensor(input)
    axis = _along("glu", x, dim)
    half, odd = divmod(x.shape[axis], 2)
    if odd:
        raise ShapeError(f"glu: axis {axis} of an input of shape {x.shape} cannot be halved")
    before = (slice(None),) * axis
    return x[(*before, slice(half))] * sigmoid(x[(*before, slice(half, None))])  # type: ignore[no-any-return]


# --- along an axis ----------------------------------------------------------------------------------------------------


def _cast(name: str, input: Any, dtype: DTypeLike | None) -> Any:
    if dtype is None:
        return as_floats(input)
    wanted = np.dtype(dtype)
    if wanted.kind not in "fc":
        raise ArgumentError(f"{name}: dtype must be one of floating-point numbers, got {wanted}")
    return as_input(input).astype(wanted)


def softmax(input: Any, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """``exp(input) / sum(exp(input))`` along ``dim``, of the input in ``dtype`` if one is given.

    Examples
    --------
    >>> softmax([0.0, 0.0], dim=0).data
    array([0.5, 0.5])
    """
    x = _cast("softmax", input, dtype)
    return via_single(fused.softmax.function, x, axis=_along("softmax", x, dim))  # type: ignore[no-any-return]


def softmin(input: Any, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """Softmax of the negated input along ``dim``, in ``dtype`` if one is given.

    Examples
    --------
    >>> softmin([0.0, 1e4], dim=0).data
    array([1., 0.])
    """
    x = as_tensor(_cast("softmin", input, dtype))
    return via_single(fused.softmax.function, -x, axis=_along("softmin", x, dim))  # type: ignore[no-any-return]


def log_softmax(input: Any, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """The logarithm of softmax along ``dim``, in ``dtype`` if one is given; stable for any magnitude.

    Examples
    --------
    >>> log_softmax([0.0, 1e4], dim=0).data
    array([-10000.,      0.])
    """
    x = _cast("log_softmax", input, dtype)
    return via_single(fused.log_softmax.function, x, axis=_along("log_softmax", x, dim))  # type: ignore[no-any-return]


# --- with random slopes


def rrelu(
    input: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """:func:`leaky_relu` with a slope drawn for every element in training, and the middle one else (Xu et al. 2015,
    arXiv 1505.00853).

    Parameters
    ----------
    input : array_like or Tensor
    lower, upper : float
        Between which the slopes are drawn.
    training : bool
    generator : numpy.random.Generator, optional
        Default the one of ``nn.init.manual_seed``.

    Raises
    ------
    ArgumentError
        If ``lower`` is above ``upper``.

    Examples
    --------
    >>> rrelu([-1.0, 2.0], 0.25, 0.75).data
    array([-0.5,  2. ])
    """
    if not lower <= upper:
        raise ArgumentError(f"rrelu: lower {lower} is above upper {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    x = as_real("rrelu", input)
    slopes = drawn(np.random.Generator.uniform, default_generator(generator), lower, upper, x.shape).astype(x.dtype)
    return np.where(x > 0, x, x * slopes)  # type: ignore[return-value]


# --- in place

Options = ParamSpec("Options")


def _in_place(function: Callable[Concatenate[Any, Options], Tensor]) -> Callable[Concatenate[Any, Options], Tensor]:
    """The function whose result is written over its input, as PyTorch's functions with a trailing underscore do."""

    @functools.wraps(function)
    def written(input: Any, *args: Options.args, **kwargs: Options.kwargs) -> Tensor:
        if not isinstance(input, Tensor | np.ndarray):
            raise ArgumentError(f"{function.__name__}_ writes over its input, a Tensor; got {type(input).__name__}")
        input[...] = function(input, *args, **kwargs)
        return input  # type: ignore[return-value]

    written.__name__ = written.__qualname__ = f"{function.__name__}_"
    written.__doc__ = f"""What :func:`{function.__name__}` gives, written over ``input``, which is returned.

    A leaf that requires a gradient is refused, as everywhere. No memory is saved: the graph keeps what it needs.

    Raises
    ------
    ArgumentError, GraphError
        If ``input`` is no Tensor, or a leaf that requires a gradient.
    """
    del written.__wrapped__  # type: ignore[attr-defined]
    written.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return written  # type: ignore[return-value]


celu_ = _in_place(celu)
elu_ = _in_place(elu)
hardtanh_ = _in_place(hardtanh)
leaky_relu_ = _in_place(leaky_relu)
relu_ = _in_place(relu)
rrelu_ = _in_place(rrelu)
selu_ = _in_place(selu)
threshold_ = _in_place(threshold)
