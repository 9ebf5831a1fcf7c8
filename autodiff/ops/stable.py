"""Functions that gradient rules are made of, each accurate over the whole range of floating-point numbers, and so are
its own derivatives.

A derivative that is rebuilt from a rounded result (``1 - tanh(x)**2``, ``s (1 - s)``) loses all digits where the
result saturates, and one with squares (``1 / (1 + x**2)``) where they overflow. A rule is differentiated again, so its
derivative must not cancel either: that of ``(1 - x) (1 + x)`` as a product is ``(1 - x) - (1 + x)``. Hence these are
operations with rules of their own, none of which subtracts nearly equal numbers near 0 or far out.

Sources: Abramowitz and Stegun, chapters 4, 7, 9 and 10.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from autodiff.batching import Lanes
from autodiff.core.op import Primitive
from autodiff.ops.common import bare, quotient, real_numbers

#: The ``reach`` of operations whose derivatives are sums of terms that cancel once they leave the range.
MODERATE = (1e-8, 50.0)


#: What a rule is made of acts on each element by itself.
_pointwise = partial(Primitive, pointwise=True)


def of(op: Primitive, *args: Any, **attrs: Any) -> Any:
    """Of Tensors as an operation, of arrays as an array: what a rule may call."""
    return (op.function if any(hasattr(a, "_node") for a in args) else op.forward)(*args, **attrs)


def settled(x: Any, far: float = np.inf) -> Any:
    """``x`` with 0 from ``far`` on: the factor of something that has vanished there faster than any power grows."""
    plain = bare(x)
    if plain.__class__ is np.ndarray or plain.__class__ is np.float64:
        beyond = np.abs(plain) >= (far if plain.dtype.kind == "f" else np.inf)
        return np.where(beyond, 0, x) if np.any(beyond) else x
    return x


# --- logistic functions --------------------------------------------------------------------------------------------


def sigmoid_forward(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, accurate relative to its own size in both tails.

    Examples
    --------
    >>> sigmoid([0.0, -1e4, 1e4]).data
    array([0.5, 0. , 1. ])
    """
    x = np.asarray(x)
    if x.dtype.kind != "f":
        real_numbers("sigmoid", x)
        x = x.astype(np.float64)
    with np.errstate(over="ignore"):
        # exp(-x) is inf far to the left, and 1 / inf is the 0 wanted there.
        out = np.asarray(np.exp(-x))
    out += 1
    out = np.asarray(np.reciprocal(out))
    # exp(-x) overflows before the result has left the subnormal numbers.
    return out if np.count_nonzero(out) == out.size else np.where(out == 0, np.exp(np.minimum(x, 0)), out)


sigmoid = _pointwise(
    "sigmoid", sigmoid_forward, lambda g, out, x: g * logistic_density_of(x), label="σ", real_only=True
)


def sigmoid_of(x: Any) -> Any:
    """The logistic function of a Tensor as an operation, of an array as an array."""
    return sigmoid.function(x) if hasattr(x, "_node") else sigmoid_forward(x)


def _logistic_density(x: Any) -> Any:
    """``s(x) s(-x)``, the derivative of the logistic function ``s``, without overflow."""
    real_numbers("logistic_density", x)
    e = np.exp(-np.abs(x))
    return e / np.square(1 + e)


# The derivative p (1 - 2 s) of p = s (1 - s) is -p tanh(x / 2), which does not cancel near 0.
logistic_density = _pointwise(
    "logistic_density", _logistic_density, lambda g, out, x: g * (-out * np.tanh(0.5 * x)), real_only=True
)


def logistic_density_of(x: Any) -> Any:
    """The density of a Tensor as an operation, of an array as an array."""
    return logistic_density.function(x) if hasattr(x, "_node") else _logistic_density(x)


# --- algebraic functions -------------------------------------------------------------------------------------------


def _root_slope(x: Any, sign: int) -> Any:
    x = np.asarray(x)
    if sign < 0 or x.dtype.kind != "c":
        root = np.sqrt(-(x - 1)) * np.sqrt(-(-x - 1)) if sign < 0 else np.hypot(1, x)
    else:  # the root above, of i x
        turned = np.empty_like(x)
        turned.real[...], turned.imag[...] = -x.imag, x.real
        root = np.sqrt(-(turned - 1)) * np.sqrt(-(-turned - 1))
    return quotient(np.ones_like(x), root)


# 1 / sqrt(1 + sign x^2), for complex numbers: a difference from 1 that is negated twice keeps the sign of a zero, which
# says on which side of its cut an inverse function is.
root_slope = _pointwise(
    "root_slope",
    _root_slope,
    lambda g, out, x, sign: -g * (sign * x * out) * out * out,
    sample=lambda draw: ((draw.array(draw.shape(), -0.9, 0.9), draw.choice((-1, 1))), {}),
)
# 1 / sqrt(x^2 - 1): two roots with rules of their own would let the zero of one meet the pole of the other.
arccosh_slope = _pointwise(
    "arccosh_slope",
    lambda x: quotient(np.ones_like(x), np.sqrt(x - 1) * np.sqrt(-(-x - 1))),
    lambda g, out, x: -g * (settled(x) * out) * out * out,
    domain=(1.2, 4.0),
)
one_minus_square = _pointwise(
    "one_minus_square", lambda x: (1 - x) * (1 + x), lambda g, out, x: g * (-2 * x), domain=(-0.9, 0.9)
)


def _direction(x: Any, y: Any) -> Any:
    """``x / hypot(x, y)``, and 0 at the origin: the cosine of the angle of (x, y), as NumPy's arctan2 sees infinity."""
    real_numbers("direction", x, y)
    if np.any(np.isinf(x)):
        far = np.isinf(x) | np.isinf(y)
        x, y = (np.where(far, np.where(np.isinf(v), np.sign(v), 0 * np.sign(v)), v) for v in (x, y))
    return _over_distance(x, y)


def _over_distance(x: Any, y: Any) -> Any:
    """``x / hypot(x, y)``, to all digits where the distance is a subnormal number: there it is taken of multiples."""
    near = np.hypot(x, y)
    info = np.finfo(near.dtype)
    few = near < info.smallest_normal / info.eps
    if near.__class__ is not Lanes and not np.count_nonzero(few):
        return quotient(x, near)
    lift = np.where(few, near.dtype.type(2) ** info.nmant, near.dtype.type(1))
    with np.errstate(over="ignore"):  # then the quotient would be infinite, too
        return quotient(x * lift, np.hypot(x * lift, y * lift))


#: A polynomial in the cosine c and the sine s of the angle of (x, y): (factor, power of c, power of s) of each term.
Polynomial = tuple[tuple[float, int, int], ...]


def _radial(x: Any, y: Any, terms: Polynomial, m: int) -> Any:
    """``P(x / r, y / r) / r**m`` with ``r = hypot(x, y)``; 0 at the origin.

    The fractions and the exponents of x and y go apart, so that nothing leaves the range unless the result does.
    """
    real_numbers("radial", x, y)
    x = bare(y).dtype.type(x) if x.__class__ is float else x
    (x_part, x_size), (y_part, y_size) = np.frexp(x), np.frexp(y)
    x_size, y_size = np.where(x_part == 0, _NO_SIZE, x_size), np.where(y_part == 0, _NO_SIZE, y_size)
    size = np.maximum(x_size, y_size)
    x_size, y_size = x_size - size, y_size - size
    with np.errstate(invalid="ignore"):
        r = np.hypot(np.ldexp(x_part, x_size), np.ldexp(y_part, y_size))
        r = np.where(r == 0, 1, r)
        parts = [(f * (x_part / r) ** a * (y_part / r) ** b / r**m, a * x_size + b * y_size) for f, a, b in terms]
        top = parts[0][1]
        for _, power in parts[1:]:
            top = np.maximum(top, power)
        total = sum(np.ldexp(part, power - top) for part, power in parts)
    with np.errstate(over="ignore"):
        return np.where(np.isinf(x) | np.isinf(y), 0, np.ldexp(total, top - m * size))


#: The exponent of 0: less than that of every number, and so of every power of one.
_NO_SIZE = -5000


def _added(terms: Any) -> Polynomial:
    factors: dict[tuple[int, int], float] = {}
    for factor, *powers in terms:
        factors[tuple(powers)] = factors.get(tuple(powers), 0.0) + factor  # type: ignore[index]
    return tuple((factor, *powers) for powers, factor in factors.items() if factor) or ((0.0, 0, 0),)


def _radial_x(terms: Polynomial, m: int) -> Polynomial:
    """``r**(m + 1) d/dx (P / r**m)``; by ``c^2 + s^2 = 1`` without terms that cancel."""
    return _added(term for f, a, b in terms for term in ((f * a, a - 1, b + 2), (-f * (b + m), a + 1, b)))


def _turned_round(terms: Polynomial) -> Polynomial:
    return tuple((f, b, a) for f, a, b in terms)


radial: Primitive = _pointwise(
    "radial",
    _radial,
    lambda g, out, x, y, terms, m: g * of(radial, x, y, _radial_x(terms, m), m + 1),
    lambda g, out, x, y, terms, m: g * of(radial, x, y, _turned_round(_radial_x(_turned_round(terms), m)), m + 1),
    sample=lambda draw: (
        (
            *(draw.array(shape, 0.3, 3.0) for shape in draw.shapes(2)),
            draw.choice((((1.0, 1, 0),), ((1.0, 0, 2), (-2.0, 2, 0)))),
            draw.integer(0, 2),
        ),
        {},
    ),
    real_only=True,
)


def over_square_of_distance(x: Any, y: Any) -> Any:
    """``x / (x^2 + y^2)``: of arrays by two divisions where no number is so small or so large that digits get lost."""
    if not (hasattr(x, "_node") or hasattr(y, "_node")):
        near = np.hypot(x, y)
        if near.__class__ is not Lanes and near.dtype != np.float16:
            far = (near < 1e-15) | (near > 1e15) | (np.abs(x) < 1e-20)
            if not np.count_nonzero(far):
                return x / near / near
    return of(radial, x, y, ((1.0, 1, 0),), 1)


direction = _pointwise(
    "direction",
    _direction,
    lambda g, out, x, y: g * of(radial, x, y, ((1.0, 0, 2),), 1),
    lambda g, out, x, y: -g * of(radial, x, y, ((1.0, 1, 1),), 1),
    domain=(0.3, 3.0),
    real_only=True,
)


def shrinking(x: Any) -> Any:
    """``1 / sqrt(1 + x^2)``, which no square of a large number overflows."""
    return of(direction, 1.0, x)


# --- exponentials of squares ---------------------------------------------------------------------------------------


def _gaussian(x: Any, rate: float) -> Any:
    """``exp(-rate x^2)``, ``rate`` a power of two or its negative.

    The rounding of x^2 would be magnified by its size, so x is cut in two: the square of the upper half is exact
    (Veltkamp).
    """
    x = np.asarray(x)
    if x.dtype.kind == "c":
        return np.exp(-rate * (x * x))
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    near = np.clip(x, -_GONE, _GONE)  # beyond, the result is 0 or infinite
    wide = near * near.dtype.type(2 ** (np.finfo(near.dtype).nmant // 2 + 1) + 1)
    high = wide - (wide - near)
    low = near - high
    with np.errstate(over="ignore"):
        return np.exp(-rate * (high * high)) * np.exp(-rate * (low * (near + high)))


#: Beyond it a Gaussian is 0 in every dtype, and powers of what is beyond would overflow.
_GONE = 200.0

gaussian = _pointwise(
    "gaussian",
    _gaussian,
    lambda g, out, x, rate: g * of(gaussian_slope, x, rate),
    sample=lambda draw: ((draw.array(draw.shape()), draw.choice((0.5, 1.0, -1.0))), {}),
)


def _gaussian_bend(g: Any, out: Any, x: Any, rate: float) -> Any:
    """``2 rate (2 rate x^2 - 1) exp(-rate x^2)``; of ``rate > 0`` in two factors, which do not cancel at the zeros."""
    if rate < 0:
        return g * (2 * rate * (2 * rate * (x * x) - 1) * gaussian_of(x, rate))
    near, root = settled(x, _GONE), np.sqrt(2 * rate).item()
    return g * (2 * rate * (root * near - 1) * (root * near + 1) * gaussian_of(x, rate))


# The derivative of the above is an operation, since that of a product x exp(-rate x^2) cancels at its zeros.
gaussian_slope: Primitive = _pointwise(
    "gaussian_slope",
    lambda x, rate: -2 * rate * (settled(x, _GONE) if rate > 0 else x) * _gaussian(x, rate),
    _gaussian_bend,
    sample=lambda draw: ((draw.array(draw.shape()), draw.choice((0.5, 1.0, -1.0))), {}),
)


def gaussian_of(x: Any, rate: float) -> Any:
    """``exp(-rate x^2)`` of a Tensor as an operation, of an array as an array."""
    return gaussian.function(x, rate) if hasattr(x, "_node") else _gaussian(x, rate)


# --- powers --------------------------------------------------------------------------------------------------------


def lowered_power(out: Any, x: Any, y: Any) -> Any:
    """``x**(y - 1)``, given ``out = x**y``.

    Where ``y - 1`` is not exact its rounding is magnified by ``log x``; there it is ``out / x``, which cannot leave the
    range, since such ``y`` are negative or below one half. At 0 it is the power, infinite for ``y`` below one.
    """
    exponent = y - 1
    if y.__class__ is int and abs(y) < 1 << 53:
        return x**exponent
    rounded = (bare(exponent) + 1 != bare(y)) & (bare(out).dtype.kind == "f") & (bare(x) != 0)
    if not np.any(rounded):
        return x**exponent
    if np.all(rounded):
        return quotient(out, x)
    return np.where(rounded, quotient(out, np.where(rounded, x, 1)), np.where(rounded, 1, x) ** exponent)


def _over_power(x: Any, y: Any, n: int) -> Any:
    """``x / y**n``, division by division: none leaves the range unless the result does. NaN where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(n):
            x = x / y
    return x


# Its derivatives are such quotients: those of x / y / y would meet the zero x with 1 / y, which may be infinite.
over_power: Primitive = _pointwise(
    "over_power",
    _over_power,
    lambda g, out, x, y, n: of(over_power, g, y, n),
    lambda g, out, x, y, n: -g * (n * of(over_power, x, y, n + 1)),
    sample=lambda draw: ((*(draw.array(shape, 0.3, 3.0) for shape in draw.shapes(2)), draw.integer(1, 3)), {}),
)


def over_square(x: Any, y: Any) -> Any:
    """``x / y**2``, of Tensors as an operation."""
    if hasattr(x, "_node") or hasattr(y, "_node"):
        return over_power.function(x, y, 2)
    return _over_power(x, y, 2)


# --- Bessel functions ----------------------------------------------------------------------------------------------


def _sine_of_pi(x: Any) -> Any:
    """``sin(pi x)``, reduced before the multiplication by pi is rounded."""
    if x.dtype.kind == "c":
        return np.sin(np.pi * x)
    rest = x - 2 * np.rint(0.5 * x)
    return np.sin(np.pi * np.where(np.abs(rest) > 0.5, np.sign(rest) - rest, rest))


def _cosine_of_pi(x: Any) -> Any:
    if x.dtype.kind == "c":
        return np.cos(np.pi * x)
    rest = x - 2 * np.rint(0.5 * x)
    return np.sin(np.pi * (0.5 - np.abs(rest)))


def _spherical_bessel(x: Any, n: int) -> Any:
    """The spherical Bessel function ``j_n(pi x)``: near 0 by its power series, beyond by recurrence from sine and
    cosine.
    """
    x = np.asarray(x)
    least = (3 + n) / np.pi
    small = np.abs(x) < least
    u = np.where(small, x, 0) * np.pi
    half = -0.5 * u * u
    term = np.ones_like(u)
    for k in range(1, n + 1):
        term = term * u / (2 * k + 1)
    series = term
    for k in range(1, 18 + 3 * n):
        term = term * (half / (k * (2 * n + 2 * k + 1)))
        series = series + term
    far = np.where(small, least, x)
    u = far * np.pi
    below, here = _cosine_of_pi(far) / u, _sine_of_pi(far) / u
    for k in range(n):
        below, here = here, (2 * k + 1) / u * here - below
    return np.where(small, series, here)


def _spherical_rule(g: Any, out: Any, x: Any, n: int) -> Any:
    if n == 0:
        return g * (-np.pi * of(spherical_bessel, x, 1))
    below, above = of(spherical_bessel, x, n - 1), of(spherical_bessel, x, n + 1)
    return g * (np.pi / (2 * n + 1) * (n * below - (n + 1) * above))


spherical_bessel = _pointwise(
    "spherical_bessel",
    _spherical_bessel,
    _spherical_rule,
    sample=lambda draw: ((draw.array(draw.shape()), draw.integer(0, 3)), {}),
)


def _bessel_i(x: Any, n: int) -> Any:
    """The modified Bessel function ``I_n`` of whole order: up to 30 by its power series, all terms of one sign, beyond
    by Hankel's expansion (Abramowitz and Stegun 9.6.10, 9.7.1).
    """
    x = np.asarray(x)
    real_numbers("bessel_i", x)
    size = np.abs(x)
    small = size < 30
    half = np.where(small, size, 0) / 2
    term = np.ones_like(half)
    for k in range(1, n + 1):
        term = term * half / k
    series = term
    for k in range(1, 75):
        term = term * (half * half / (k * (k + n)))
        series = series + term
    far = np.where(small, 30, size)
    term = np.ones_like(far)
    expansion = term
    for k in range(1, 30):
        term = term * (((2 * k - 1) ** 2 - 4 * n * n) / (8 * k * far))
        expansion = expansion + term
    with np.errstate(over="ignore"):
        # In two halves: the exponential leaves the range sooner than the quotient.
        root = np.exp(far / 2)
        large = root / np.sqrt(2 * np.pi * far) * root * expansion
    return np.where(small, series, large) * (np.sign(x) if n % 2 else 1)


def _bessel_i_rule(g: Any, out: Any, x: Any, n: int) -> Any:
    if n == 0:
        return g * of(bessel_i, x, 1)
    return g * (0.5 * (of(bessel_i, x, n - 1) + of(bessel_i, x, n + 1)))


bessel_i = _pointwise(
    "bessel_i",
    _bessel_i,
    _bessel_i_rule,
    sample=lambda draw: ((draw.array(draw.shape()), draw.integer(0, 3)), {}),
    real_only=True,
)


# --- the tail of the normal distribution ---------------------------------------------------------------------------

#: Levels of the continued fraction, enough for the derivatives of 17 digits from 1 on (tests/ops/test_range.py).
_LEVELS = 240


def fractions_of_mills(z: Any, count: int) -> list[Any]:
    """``r_1, ..., r_count`` with ``r_k = k / (z + r_(k+1))``, for ``z >= 1``.

    Mills' ratio ``M(z) = exp(z^2 / 2) sqrt(pi / 2) erfc(z / sqrt 2)`` is ``1 / (z + r_1)`` (Laplace's continued
    fraction), and its n-th derivative ``(-1)^n M r_1 ... r_n``: products of positive numbers.
    """
    # What is left out, as if all further fractions were equal.
    r, found = 0.5 * (np.hypot(z, 2 * (_LEVELS + 1) ** 0.5) - z), []
    for k in range(_LEVELS, 0, -1):
        r = k / (z + r)
        if k <= count:
            found.append(r)
    return found[::-1]


# Logarithms of two densities: the slopes of their terms cancel at 0, where they have their maximum.
def _logistic_log_density(x: Any) -> Any:
    real_numbers("logistic_log_density", x)
    return -np.abs(x) - 2 * np.log1p(np.exp(-np.abs(x)))


logistic_log_density = _pointwise(
    "logistic_log_density", _logistic_log_density, lambda g, out, x: -g * np.tanh(0.5 * x), real_only=True
)
gumbel_log_density = _pointwise("gumbel_log_density", lambda x: -x - np.exp(-x), lambda g, out, x: g * np.expm1(-x))


def log1p_square(z: Any) -> Any:
    """``log(1 + z^2)``, also where the square leaves the range."""
    large = np.abs(bare(z)) > 2.0 ** (np.finfo(bare(z).dtype).maxexp // 3)
    if not np.any(large):
        return np.log1p(z * z)
    small = np.where(large, 0.0, z)
    return np.where(large, 2 * np.log(np.abs(np.where(large, z, 1.0))), np.log1p(small * small))
