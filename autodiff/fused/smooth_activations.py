"""Activations with two smooth halves as elementary operations, GELU with its gradient derived by hand.

Every exponential is taken of a number that is not positive, so nothing overflows at any input.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.op import Primitive
from autodiff.fused.common import fused
from autodiff.kernels import LEAST_OF_MANY
from autodiff.ops.common import bare, real_numbers
from autodiff.ops.normal import cdf_and_density, normal_cdf
from autodiff.ops.stable import logistic_density_of, settled, sigmoid, sigmoid_forward, sigmoid_of

__all__ = [
    "elu",
    "gelu",
    "gelu_tanh",
    "leaky_relu",
    "log_sigmoid",
    "sigmoid",
    "sigmoid_of",
    "silu",
    "soft_sign",
    "softplus",
    "tanh_shrink",
]


def _floating(name: str, x: Any) -> Any:
    """An array of floating-point numbers; integers become float64."""
    x = np.asarray(x)
    if x.dtype.kind == "f":
        return x
    real_numbers(name, x)
    return x.astype(np.float64)


def _silu_rule(g: Any, out: Any, x: Any) -> Any:
    return g * (sigmoid_of(x) + settled(x) * logistic_density_of(x))


silu = Primitive("silu", lambda x: x * sigmoid_forward(x), _silu_rule, pointwise=True, real_only=True)


def log_sigmoid_forward(x: Any) -> Any:
    """``log(1 / (1 + exp(-x))) = min(x, 0) - log1p(exp(-|x|))``.

    Examples
    --------
    >>> log_sigmoid([-1e4, 1e4]).data
    array([-10000.,      0.])
    """
    x = _floating("log_sigmoid", x)
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


log_sigmoid = Primitive(
    "log_sigmoid",
    log_sigmoid_forward,
    lambda g, out, x: g * sigmoid_of(-x),
    label="log σ",
    pointwise=True,
    real_only=True,
)


def soft_sign_forward(x: Any) -> Any:
    """``x / (1 + |x|)``.

    Examples
    --------
    >>> soft_sign([-1.0, 3.0]).data
    array([-0.5 ,  0.75])
    """
    real_numbers("soft_sign", x)
    return x / (1 + np.abs(x))


soft_sign = Primitive(
    # The square of the reciprocal vanishes far out; the reciprocal of the square would overflow on the way.
    "soft_sign",
    soft_sign_forward,
    lambda g, out, x: g * np.square(1 / (1 + np.abs(x))),
    sample=lambda draw: ((draw.array(draw.shape(), avoid=(0.0,)),), {}),
    pointwise=True,
    real_only=True,
)


#: Coefficients of x^3, x^5, ... of x - tanh(x) (Abramowitz and Stegun 4.5.64), to 1e-17 for x up to a quarter.
_SHRUNK = (
    1 / 3, -2 / 15, 17 / 315, -62 / 2835, 1382 / 155925, -21844 / 6081075, 929569 / 638512875, -6404582 / 10854718875,
    443861162 / 1856156927625, -18888466084 / 194896477400625, 113927491862 / 2900518163668125,
    -58870668456604 / 3698160658676859375, 8374643517010684 / 1298054391195577640625,
)  # fmt: skip


def tanh_shrink_forward(x: Any) -> Any:
    """``x - tanh(x)``, of which the difference would lose all digits near 0.

    Examples
    --------
    >>> f"{tanh_shrink(1e-3).item():.9g}", tanh_shrink(1e4).item()
    ('3.333332e-10', 9999.0)
    """
    real_numbers("tanh_shrink", x)
    near = np.clip(x, -0.25, 0.25)
    square, series = near * near, 0.0
    for coefficient in reversed(_SHRUNK):
        series = series * square + coefficient
    return np.where(near == x, series * square * near, x - np.tanh(x))


tanh_shrink = Primitive(
    "tanh_shrink",
    tanh_shrink_forward,
    lambda g, out, x: g * np.square(np.tanh(x)),
    sample=lambda draw: ((draw.array(draw.shape(), avoid=(0.0,)),), {}),
    label="x - tanh",
    pointwise=True,
    real_only=True,
)


def softplus_forward(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """``log(1 + exp(beta x)) / beta``, and x itself where ``beta x > threshold``.

    Examples
    --------
    >>> softplus([-1e4, 1e4]).data
    array([    0., 10000.])
    """
    x = _floating("softplus", x)
    z = x * beta
    out = np.asarray(np.abs(z))
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)
    out += np.maximum(z, 0)
    out /= beta
    # Few values lie beyond, and selecting costs as much as all the rest.
    over = z > threshold
    return np.where(over, x, out) if np.any(over) else out


def _softplus_rule(g: Any, out: Any, x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    slope, over = sigmoid_of(x * beta), bare(x) * beta > threshold
    return g * (np.where(over, 1, slope) if np.any(over) else slope)


softplus = Primitive(
    "softplus",
    softplus_forward,
    _softplus_rule,
    sample=lambda draw: (
        (draw.array(draw.shape(), avoid=(0.5,)),),
        {"beta": draw.choice((1.0, 2.0)), "threshold": draw.choice((20.0, 1.0))},
    ),
    pointwise=True,
    real_only=True,
)


def elu_forward(x: Any, alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> Any:
    """``scale x`` where x is positive, else ``scale alpha (exp(rate x) - 1)``.

    Sources: Clevert et al. 2015 (arXiv 1511.07289); Klambauer et al. 2017 (arXiv 1706.02515, ``scale``); Barron 2017
    (arXiv 1704.07483, ``rate = 1 / alpha``).

    Examples
    --------
    >>> elu([-1e4, 0.0, 1e4]).data
    array([-1.e+00,  0.e+00,  1.e+04])
    """
    x = _floating("elu", x)
    out = np.asarray(np.expm1(np.minimum(x, 0) * rate))
    out *= alpha
    # One of the two terms is 0 everywhere.
    out += np.maximum(x, 0)
    out *= scale
    return out


def _elu_rule(g: Any, out: Any, x: Any, alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> Any:
    # The slope at 0- times the exponential, which is 1 where x is positive; there the difference to the slope at 0+ is
    # added.
    left = scale * alpha * rate
    slope = np.exp(np.minimum(x, 0) * rate) * left
    return g * (slope if left == scale else slope + (bare(x) > 0) * bare(x).dtype.type(scale - left))


elu = Primitive(
    "elu",
    elu_forward,
    _elu_rule,
    sample=lambda draw: (
        (draw.array(draw.shape(), avoid=(0.0,)),),
        {"alpha": draw.choice((1.0, 1.7)), "scale": draw.choice((1.0, 1.05)), "rate": draw.choice((1.0, 0.6))},
    ),
    pointwise=True,
    real_only=True,
)


def leaky_relu_forward(x: Any, negative_slope: float = 0.01) -> Any:
    """``x`` where positive, else ``negative_slope x``.

    Examples
    --------
    >>> leaky_relu([-1.0, 2.0], negative_slope=0.1).data
    array([-0.1,  2. ])
    """
    x = _floating("leaky_relu", x)
    out = np.asarray(np.minimum(x, 0))
    out *= negative_slope
    out += np.maximum(x, 0)
    return out


def _leaky_relu_rule(g: Any, out: Any, x: Any, negative_slope: float = 0.01) -> Any:
    # By arithmetic: selecting between two numbers by a random mask costs ten times as much.
    slope = (bare(x) > 0) * bare(x).dtype.type(1 - negative_slope)
    slope += negative_slope
    return g * slope


leaky_relu = Primitive(
    "leaky_relu",
    leaky_relu_forward,
    _leaky_relu_rule,
    sample=lambda draw: ((draw.array(draw.shape(), avoid=(0.0,)),), {"negative_slope": draw.choice((0.01, 0.3))}),
    pointwise=True,
    real_only=True,
)


# --- GELU, Hendrycks and Gimpel 2016 (arXiv 1606.08415) ---------------------------------------------------------------


#: Beyond it tanh and Phi are what they are at infinity in every dtype, and the cube of what is beyond would overflow.
_SATURATED = 100.0


def gelu_composed(x: Any) -> Any:
    """``x Phi(x)``, Phi being the standard normal distribution function.

    Examples
    --------
    >>> np.round(gelu([-1.0, 0.0, 1.0]).data, 6)
    array([-0.158655,  0.      ,  0.841345])
    """
    far = np.isinf(bare(x)) if bare(x).__class__ is np.ndarray else False
    if np.any(far):  # there x is a factor of what has vanished
        near = settled(x)
        return np.where(far, np.maximum(x, 0), near * normal_cdf(near))
    return x * normal_cdf(x)


def gelu_forward(x: Any) -> tuple[Any, Any]:
    """Residuals: x, Phi(x) and the density p(x)."""
    x = _floating("gelu", x)
    cdf, density = cdf_and_density(x)
    return np.maximum(x, -_SATURATED) * cdf, (x, cdf, density)  # x may be infinite where Phi is 0


def gelu_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``Phi' = p``, so ``dx = g (Phi(x) + x p(x))``. All of x's shape."""
    x, cdf, density = residuals
    dx = settled(x) * density
    dx += cdf
    dx *= g
    return (dx,)


def _sample_gelu(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (draw.array(draw.shape()),), {}


gelu = fused(
    gelu_composed,
    _sample_gelu,
    "y = x Φ(x)",
    kernel=LEAST_OF_MANY,
    ulps=(32.0, 32.0, 64.0),
    pointwise=True,
    real_only=True,
)

_ROOT = 0.7978845608028654  # sqrt(2 / pi)
_CUBIC = 0.044715


def gelu_tanh_composed(x: Any) -> Any:
    """``0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))``, the usual approximation of GELU.

    Examples
    --------
    >>> np.round(gelu_tanh([-1.0, 0.0, 1.0]).data, 6)
    array([-0.158808,  0.      ,  0.841192])
    """
    near = np.clip(x, -_SATURATED, _SATURATED)
    # Half of 1 + tanh(u) is the logistic function of 2 u, which does not cancel far to the left.
    return x * sigmoid_of(2 * _ROOT * (near + _CUBIC * (near * near * near)))


def gelu_tanh_forward(x: Any) -> tuple[Any, Any]:
    """Residuals: the clipped x and the logistic function of 2 u, all of x's shape."""
    x = _floating("gelu_tanh", x)
    near = np.asarray(np.clip(x, -_SATURATED, _SATURATED))
    s = np.asarray(near * near)
    s *= _CUBIC
    s += 1
    s *= near
    s *= -2 * _ROOT
    with np.errstate(over="ignore"):
        np.exp(s, out=s)
    s += 1
    np.reciprocal(s, out=s)
    return x * s, (near, s)


def gelu_tanh_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With ``u = c (x + 0.044715 x^3)``, ``c = sqrt(2 / pi)`` and ``s = 1 / (1 + exp(-2 u))``: ``dy/dx = s + 2 x s (1 -
    s) u'`` with ``u' = c (1 + 3 * 0.044715 x^2)``. All of x's shape. Far out ``s (1 - s)`` is 0, so the clipped x
    serves as x in u'."""
    near, s = residuals
    dx = near * near
    dx *= 6 * _CUBIC * _ROOT
    dx += 2 * _ROOT
    dx *= near
    dx *= 1 - s
    dx += 1
    dx *= s
    dx *= g
    return (dx,)


gelu_tanh = fused(
    gelu_tanh_composed,
    _sample_gelu,
    "y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2",
    kernel=LEAST_OF_MANY,
    ulps=(512.0, 512.0, 512.0),  # the rounding of the cube is magnified by its size
    pointwise=True,
    real_only=True,
)
