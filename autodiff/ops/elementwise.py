"""Elementwise operations: one line each."""

from __future__ import annotations

from math import exp as exp_of_number
from typing import Any, TypeVar

import numpy as np

from autodiff import dispatch
from autodiff.batching import Lanes
from autodiff.core.errors import ArgumentError, DTypeError, NotDifferentiableError
from autodiff.core.modes import current_state
from autodiff.core.op import Primitive, wrap
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.ops.common import bare, quiet_product, quotient
from autodiff.ops.stable import (
    arccosh_slope,
    direction,
    logistic_density_of,
    lowered_power,
    of,
    one_minus_square,
    over_square,
    over_square_of_distance,
    root_slope,
    shrinking,
    sigmoid_of,
)

P = Primitive
T = TypeVar("T")
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
LN2, LN10 = np.log(2.0).item(), np.log(10.0).item()

# --- arithmetic ---------------------------------------------------------------------------------------------------

add = P("add", np.add, lambda g, out, x, y: g, lambda g, out, x, y: g, operator="a + b", label="+")
subtract = P("subtract", np.subtract, lambda g, out, x, y: g, lambda g, out, x, y: -g, operator="a - b", label="-")
multiply = P(
    "multiply", np.multiply, lambda g, out, x, y: g * y, lambda g, out, x, y: g * x, operator="a * b", label="×"
)


def _over_square(out: Any, x: Any, y: Any) -> Any:
    """``x / y**2``, ``out`` being ``x / y``; of Tensors as one operation, whose derivatives keep to the range."""
    return over_square(x, y) if hasattr(x, "_node") or hasattr(y, "_node") else quotient(out, y)


divide = P(
    "divide",
    np.divide,
    lambda g, out, x, y: quotient(g, y),
    lambda g, out, x, y: -quiet_product(g, _over_square(out, x, y)),
    operator="a / b",
    label="÷",
    domain=[(-3.0, 3.0), (0.3, 3.0)],
)
negative = P("negative", np.negative, lambda g, out, x: -g, operator="-a", label="neg")
positive = P("positive", np.positive, lambda g, out, x: g)
absolute = P("absolute", np.absolute, lambda g, out, x: g * _phase(x), kinks=(0.0,), label="abs")
fabs = P("fabs", np.fabs, lambda g, out, x: g * np.sign(x), kinks=(0.0,))
square = P("square", np.square, lambda g, out, x: g * (2 * x))
reciprocal = P("reciprocal", np.reciprocal, lambda g, out, x: -over_square(g, x), domain=(0.3, 3.0))
sqrt = P("sqrt", np.sqrt, lambda g, out, x: quotient(g, 2 * out), domain=(0.2, 3.0), label="√")
cbrt = P("cbrt", np.cbrt, lambda g, out, x: quotient(quotient(g / 3, out), out), domain=(0.2, 3.0), label="∛")


def _phase(x: Any) -> Any:
    """The derivative of abs: sign for reals, conj(z)/|z| for complex numbers, 0 at 0 (docs/kinks.md)."""
    if x.dtype.kind != "c":
        return np.sign(x)
    size = np.absolute(x)
    # NumPy divides complex numbers by way of an inverse, which a subnormal number has not.
    scale = np.where(bare(size) < np.finfo(x.dtype).tiny, 2.0**60, 1.0).astype(size.dtype)
    return quotient(np.conjugate(x) * scale, size * scale)


def _power_base(g: Any, out: Any, x: Any, y: Any) -> Any:
    if y.__class__ in (int, float):
        if y == 2:
            return g * (2 * x)
        # x**0 is the constant 1: zeros, whatever g holds.
        return np.where(False, g, 0) if y == 0 else g * (y * lowered_power(out, x, y))
    if np.any(bare(y) == 0):
        # x**0 is the constant 1, also at x = 0, where y * x**(y - 1) would read 0 * inf. Elsewhere y stays what it is:
        # the derivative of this in y is 1 / x.
        y_or_1 = np.where((bare(y) == 0) & ((bare(x) == 0) | (bare(x) != bare(x))), 1, y)
        return g * (y * lowered_power(out, x, y_or_1))
    return g * (y * lowered_power(out, x, y))


def _is_without_zeros(x: Any) -> bool:
    plain = bare(x)
    if x.__class__ is np.float64 and x:
        return True
    return plain.__class__ is not Lanes and bool(np.count_nonzero(plain) == np.size(plain))


def _silent_at_poles(rule: Any) -> Any:
    """Without a warning where x is 0: an infinite derivative is told by its value."""

    def silent(g: Any, out: Any, x: Any, y: Any) -> Any:
        if _is_without_zeros(x):
            return rule(g, out, x, y)
        with np.errstate(divide="ignore", invalid="ignore"):
            return rule(g, out, x, y)

    return silent


def _power_exponent(g: Any, out: Any, x: Any, y: Any) -> Any:
    # 0**y is 0 for every y > 0: its derivative with respect to y is 0, where out * log(x) would read 0 * -inf.
    return g * (out * np.log(np.where(bare(x) == 0, 1, x)))


power, float_power = (
    P(name, ufunc, _silent_at_poles(_power_base), _power_exponent, label="**", domain=[(0.3, 3.0), (-2.5, 2.5)])
    for name, ufunc in (("power", np.power), ("float_power", np.float_power))
)
remainder = P(
    "remainder",
    np.remainder,
    lambda g, out, x, y: g,
    lambda g, out, x, y: -g * np.floor_divide(bare(x), bare(y)),
    label="%",
    domain=[(4.1, 4.4), (1.6, 1.9)],
)
fmod = P(
    "fmod",
    np.fmod,
    lambda g, out, x, y: g,
    lambda g, out, x, y: -g * np.rint((bare(x) - bare(out)) / bare(y)),
    domain=[(4.1, 4.4), (1.6, 1.9)],
)

# --- exponentials and logarithms ------------------------------------------------------------------------------------

exp = P("exp", np.exp, lambda g, out, x: g * out)
exp2 = P("exp2", np.exp2, lambda g, out, x: g * (out * LN2))
expm1 = P("expm1", np.expm1, lambda g, out, x: g * np.exp(x))
log = P("log", np.log, lambda g, out, x: quotient(g, x), domain=(0.2, 3.0))
log2 = P("log2", np.log2, lambda g, out, x: quotient(g / LN2, x), domain=(0.2, 3.0))
log10 = P("log10", np.log10, lambda g, out, x: quotient(g / LN10, x), domain=(0.2, 3.0))
log1p = P("log1p", np.log1p, lambda g, out, x: quotient(g, 1 + x), domain=(-0.7, 3.0))


def _ahead(x: Any, y: Any) -> Any:
    """``x - y``, 0 where the two are the same infinity: equal terms weigh equally (docs/kinks.md)."""
    same = (bare(x) == bare(y)) & np.isinf(bare(x))
    return np.where(same, 0, np.where(same, 0, x) - np.where(same, 0, y)) if np.any(same) else x - y


# The share of x in the sum, exp(x - out), as a logistic function: the difference from a rounded output would be off.
# The rounding of x - y is magnified by its own size, up to the hundreds at which the share leaves the range.
logaddexp = P(
    "logaddexp",
    np.logaddexp,
    lambda g, out, x, y: g * sigmoid_of(_ahead(x, y)),
    lambda g, out, x, y: g * sigmoid_of(_ahead(y, x)),
    ulps=(512.0, 512.0, 512.0),
)
logaddexp2 = P(
    "logaddexp2",
    np.logaddexp2,
    lambda g, out, x, y: g * sigmoid_of(LN2 * _ahead(x, y)),
    lambda g, out, x, y: g * sigmoid_of(LN2 * _ahead(y, x)),
    ulps=(512.0, 512.0, 512.0),
)

# --- trigonometry ---------------------------------------------------------------------------------------------------


def _complex(x: Any) -> bool:
    return bool(x.dtype.kind == "c")


def _shrinking(x: Any) -> Any:
    return of(root_slope, x, 1) if _complex(x) else shrinking(x)


def _over_circle(g: Any, x: Any) -> Any:
    if _complex(x):
        return quiet_product(g, of(root_slope, x, -1))
    return quotient(g, np.sqrt(of(one_minus_square, x)))


def _square_of_shrinking(x: Any) -> Any:
    if _complex(x):
        return 1 / (1 + x * x)
    root = shrinking(x)
    return root * root


_BLOCK, _FEW = THRESHOLDS["SLOPE"].value, THRESHOLDS["FEW"].value


def _tanh_slope_of_number(out: float, x: float) -> float:
    found = 1 - out * out
    return found if found > 0.3 else exp_of_number(-2 * abs(x)) * (1 + abs(out)) ** 2


def _is_one_block(out: Any) -> bool:
    return bool(out.size <= _BLOCK)


def _tanh_slope_of_few(out: Any, x: Any) -> Any:
    if out.size == 1:  # written into an empty array in half the time that a list of one takes
        slope = np.empty(1, out.dtype)
        slope[0] = _tanh_slope_of_number(out.item(), x.item())
        return slope
    return np.array(list(map(_tanh_slope_of_number, out.tolist(), x.tolist())), out.dtype)


def _tanh_slope(out: Any, x: Any) -> Any:
    """``1 / cosh(x)^2``, which is four times the logistic density of ``2 x``.

    Of arrays it is ``exp(-2 |x|) (1 + |out|)^2``, by ``1 - |out| = exp(-2 |x|) (1 + |out|)``: an element's slope does
    not depend on its neighbours. Of a number, and of few, it is ``1 - out^2`` where nothing cancels, in a fifth of the
    time.
    """
    kind = out.__class__
    if kind is np.float64:
        return kind(_tanh_slope_of_number(float(out), float(x)))
    if kind is not np.ndarray:
        return 1 - out * out if _complex(x) else 4 * logistic_density_of(2 * x)
    dtype = out.dtype
    if dtype.kind == "c":
        return 1 - out * out
    if out.ndim == 1 and out.size < _FEW:
        return _tanh_slope_of_few(out, x)
    if out.ndim and _is_one_block(out):
        slope = np.abs(x)
        slope *= -2
        np.exp(slope, slope)
        factor = np.abs(out)
        factor += 1
        slope *= factor
        slope *= factor
        return slope
    if not (out.flags.c_contiguous and x.flags.c_contiguous):
        if out.flags.f_contiguous and x.flags.f_contiguous:
            return _tanh_slope(out.T, x.T).T
        out, x = np.ascontiguousarray(out), np.ascontiguousarray(x)
    size = out.size
    slope = np.empty_like(out)
    # In blocks that stay in the cache: whole temporaries of a large array take five times as long.
    flat, values, inputs = slope.reshape(-1), out.reshape(-1), x.reshape(-1)
    scratch = np.empty(min(size, _BLOCK), dtype)
    for lo in range(0, size, _BLOCK):
        part, value = flat[lo : lo + _BLOCK], values[lo : lo + _BLOCK]
        factor = scratch[: part.size]
        np.abs(inputs[lo : lo + _BLOCK], part)
        np.multiply(part, -2, part)
        np.exp(part, part)
        np.abs(value, factor)
        np.add(factor, 1, factor)
        np.multiply(part, factor, part)
        np.multiply(part, factor, part)
    return slope


sin = P("sin", np.sin, lambda g, out, x: g * np.cos(x))
cos = P("cos", np.cos, lambda g, out, x: -g * np.sin(x))
tan = P("tan", np.tan, lambda g, out, x: g * (1 + out * out), domain=(-1.2, 1.2), edges=(np.pi / 2, -np.pi / 2))
arcsin = P("arcsin", np.arcsin, lambda g, out, x: _over_circle(g, x), domain=(-0.9, 0.9))
arccos = P("arccos", np.arccos, lambda g, out, x: -_over_circle(g, x), domain=(-0.9, 0.9))
arctan = P("arctan", np.arctan, lambda g, out, x: g * _square_of_shrinking(x))
sinh = P("sinh", np.sinh, lambda g, out, x: g * np.cosh(x))
cosh = P("cosh", np.cosh, lambda g, out, x: g * np.sinh(x))
tanh = P("tanh", np.tanh, lambda g, out, x: g * _tanh_slope(out, x))
arcsinh = P("arcsinh", np.arcsinh, lambda g, out, x: g * _shrinking(x))


def _arccosh_rule(g: Any, out: Any, x: Any) -> Any:
    with np.errstate(invalid="ignore"):  # a cotangent of zero at the pole 1, which stays zero
        return g * of(arccosh_slope, x)


arccosh = P("arccosh", np.arccosh, _arccosh_rule, domain=(1.2, 4.0))
arctanh = P("arctanh", np.arctanh, lambda g, out, x: quotient(g, of(one_minus_square, x)), domain=(-0.9, 0.9))
arctan2 = P(
    "arctan2",
    np.arctan2,
    lambda g, out, y, x: g * over_square_of_distance(x, y),
    lambda g, out, y, x: -g * over_square_of_distance(y, x),
    domain=(0.3, 3.0),
)
hypot = P(
    "hypot",
    np.hypot,
    lambda g, out, x, y: g * of(direction, x, y),
    lambda g, out, x, y: g * of(direction, y, x),
    domain=(0.3, 3.0),
)


@dispatch.implements(np.sign)
def sign(x: Any, /) -> Any:
    """``numpy.sign``: of real numbers a constant, of complex ones the differentiable ``z / |z|``, and 0 at 0.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> np.sign(autodiff.tensor([3 + 4j], requires_grad=True)).data
    array([0.6+0.8j])
    """
    plain = np.asarray(dispatch.bare(x)) if isinstance(x, list | tuple) else bare(x)
    if np.result_type(plain).kind != "c":
        return wrap(np.sign(plain), None)
    return quotient(x, np.abs(x))


deg2rad = P("deg2rad", np.deg2rad, lambda g, out, x: g * (np.pi / 180), numpy=[np.deg2rad, np.radians])
rad2deg = P("rad2deg", np.rad2deg, lambda g, out, x: g * (180 / np.pi), numpy=[np.rad2deg, np.degrees])

# --- choices: a tie sends one half to each (docs/kinks.md) ------------------------------------------------------------


def _share(g: Any, chosen: Any, other: Any) -> Any:
    """``g`` where chosen, half of it where equal, 0 elsewhere; masked by selection, so that NaN does not leak."""
    chosen, other = bare(chosen), bare(other)
    return np.where(chosen, np.where(other, 0.5 * g, g), 0)


maximum = P(
    "maximum",
    np.maximum,
    lambda g, out, x, y: _share(g, _at_least(x, y), bare(x) == bare(y)),
    lambda g, out, x, y: _share(g, _at_least(y, x), bare(x) == bare(y)),
    label="max",
    kinks=(0.0,),
)
minimum = P(
    "minimum",
    np.minimum,
    lambda g, out, x, y: _share(g, _at_most(x, y), bare(x) == bare(y)),
    lambda g, out, x, y: _share(g, _at_most(y, x), bare(x) == bare(y)),
    label="min",
    kinks=(0.0,),
)
fmax = P(
    "fmax",
    np.fmax,
    lambda g, out, x, y: _share(g, (bare(x) >= bare(y)) | np.isnan(bare(y)), bare(x) == bare(y)),
    lambda g, out, x, y: _share(g, (bare(y) >= bare(x)) | np.isnan(bare(x)), bare(x) == bare(y)),
    kinks=(0.0,),
)
fmin = P(
    "fmin",
    np.fmin,
    lambda g, out, x, y: _share(g, (bare(x) <= bare(y)) | np.isnan(bare(y)), bare(x) == bare(y)),
    lambda g, out, x, y: _share(g, (bare(y) <= bare(x)) | np.isnan(bare(x)), bare(x) == bare(y)),
    kinks=(0.0,),
)
copysign = P(
    "copysign",
    np.copysign,
    lambda g, out, x, y: g * (np.copysign(1, bare(y)) * np.sign(bare(x))),
    lambda g, out, x, y: np.where(False, g, 0),
    domain=[(0.3, 3.0), (0.3, 3.0)],
)


def _at_least(x: Any, y: Any) -> Any:
    """Where maximum(x, y) takes x: NaN wins, as in NumPy."""
    x, y = bare(x), bare(y)
    return (x >= y) | np.isnan(x)


def _at_most(x: Any, y: Any) -> Any:
    x, y = bare(x), bare(y)
    return (x <= y) | np.isnan(x)


where_ = P(
    "where",
    lambda condition, x, y: np.where(condition, x, y),
    None,
    lambda g, out, condition, x, y: np.where(condition, g, 0),
    lambda g, out, condition, x, y: np.where(condition, 0, g),
    tangent="pointwise",
    sample=lambda draw: _sample_where(draw),
)


def _sample_where(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shapes = draw.shapes(3)
    return (draw.mask(shapes[0]), draw.array(shapes[1]), draw.array(shapes[2])), {}


@dispatch.implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Differentiable ``numpy.where``: ``x`` where the condition holds, else ``y``.

    The cotangent of what was not chosen is exactly 0, whatever the other branch would have made of it.

    Parameters
    ----------
    condition : array_like of bool
    x, y : array_like or Tensor, broadcastable with the condition
        Both or neither. With neither, the indices where the condition holds, as plain arrays.

    Raises
    ------
    ArgumentError
        If only one of ``x`` and ``y`` is given.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([-1.0, 4.0], requires_grad=True)
    >>> autodiff.where(x.data > 0, x * x, 0.0).sum().backward()
    >>> x.grad
    array([-0.,  8.])
    """
    if x is None and y is None:
        return np.where(bare(condition))
    if x is None or y is None:
        raise ArgumentError("where: give both x and y, or neither")
    return where_.function(dispatch.bare(condition), x, y)


def _sample_clip(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape()
    return (draw.array(shape, avoid=(-1.0, 1.0)), np.full((), -1.0), np.full((), 1.0)), {}


clip_ = P(
    "clip",
    lambda x, low, high: np.clip(x, low, high),
    lambda g, out, x, low, high: np.where(_inside(x, low, high), g, 0),
    lambda g, out, x, low, high: np.where((bare(x) < bare(low)) & (bare(low) <= bare(high)), g, 0),
    lambda g, out, x, low, high: np.where((bare(x) > bare(high)) | (bare(low) > bare(high)), g, 0),
    tangent="pointwise",
    sample=_sample_clip,
)


def _inside(x: Any, low: Any, high: Any) -> Any:
    return (bare(x) >= bare(low)) & (bare(x) <= bare(high))


def _ends(dtype: Any) -> tuple[Any, Any]:
    """The bounds that let everything of a dtype pass, of no other dtype than its own."""
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return (False, True) if dtype.kind == "b" else (-np.inf, np.inf)


@dispatch.implements(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None, dtype: Any = None) -> Any:
    """Differentiable ``numpy.clip``. At a bound the gradient passes, as in PyTorch (docs/kinks.md).

    Parameters
    ----------
    a : array_like or Tensor
    a_min, a_max : array_like, Tensor or None
        Bounds, broadcastable with ``a``; ``min`` and ``max`` are other names for them. A bound that requires a gradient
        receives it where it is active.
    dtype : dtype, optional
        Cast to it before.

    Raises
    ------
    ArgumentError
        If a bound is given twice.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([-2.0, 0.5, 1.0], requires_grad=True)
    >>> autodiff.clip(x, -1, 1).sum().backward()
    >>> x.grad
    array([0., 1., 1.])
    """
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ArgumentError("clip: give each bound once, as a_min/a_max or as min/max")
    low = min if a_min is None else a_min
    high = max if a_max is None else a_max
    if dtype is not None:
        a = astype(a, dtype)
    plain = bare(a)
    least, most = _ends(plain.dtype if hasattr(plain, "dtype") else np.asarray(plain).dtype)
    return clip_.function(a, least if low is None else low, most if high is None else high)


# --- complex parts: the convention is JAX's (docs/complex.md) ---------------------------------------------------------

conjugate = P("conjugate", np.conjugate, lambda g, out, x: np.conjugate(g), label="conj")
real = P("real", lambda x: np.real(x), lambda g, out, x: g, tangent="pointwise", numpy=np.real)
imag = P(
    "imag",
    lambda x: np.imag(x),
    lambda g, out, x: -1j * g if x.dtype.kind == "c" else np.where(False, g, 0),
    tangent="pointwise",
    numpy=np.imag,
)


# The engine casts every gradient to its input's dtype, so the rule of a cast is the identity.
astype_ = P(
    "astype",
    lambda x, dtype: np.asarray(x).astype(dtype),
    lambda g, out, x, dtype: g,
    tangent="pointwise",
    label="astype",
    sample=lambda draw: ((draw.array(draw.shape()), np.float64), {}),
)


copy_ = P(
    "copy",
    lambda x, order="C": np.array(x, order=order),  # type: ignore[call-overload]
    lambda g, out, x, order="C": g,
    tangent="pointwise",
    sample=lambda draw: ((draw.array(draw.shape()),), {"order": draw.choice(("C", "F"))}),
)


def ordered(t: Any, like: Any = None) -> Any:
    """A new tensor in the order in memory that NumPy's own function gives it: Fortran's if ``like`` has that, else C's.

    The order decides whether what is reshaped later shares memory, and so what a write reaches.
    """
    data, other = t._data, getattr(like, "_data", None)
    if data.__class__ is not np.ndarray:
        return t
    fortran = other.__class__ is np.ndarray and other.flags.f_contiguous and not other.flags.c_contiguous
    if data.flags.f_contiguous if fortran else data.flags.c_contiguous:
        return t
    return copy_.function(t, "F" if fortran else "C")


def astype(x: Any, dtype: Any, copy: bool = True) -> Any:
    """``x`` in another dtype. Between floating-point and complex dtypes the gradient is cast back.

    Raises
    ------
    NotDifferentiableError
        If a tensor that requires a gradient would become integer or boolean.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> x = autodiff.tensor([1.0, 2.0], requires_grad=True)
    >>> x.astype(np.float32).sum().backward()
    >>> x.grad.dtype
    dtype('float64')
    """
    try:
        wanted = np.dtype(dtype)
    except TypeError as error:
        hint = "; for PyTorch's keepdim write keepdims=True" if isinstance(dtype, bool) else ""
        hint = "; write NumPy's, numpy.float32 say" if str(dtype).startswith("torch.") else hint
        raise DTypeError(f"astype: {dtype!r} is not a dtype{hint}") from error
    if wanted.kind not in "fc" and getattr(x, "_node", None) is not None:
        raise NotDifferentiableError(
            f"astype({wanted}) would cut the graph of a tensor that requires a gradient; use .detach().astype({wanted})"
        )
    if not copy and getattr(x, "dtype", None) == wanted and hasattr(x, "_node"):
        return x
    return astype_.function(x, wanted)


def constant(x: T) -> T:
    """``x`` as a constant: no gradient flows through it (``stop_gradient``).

    An ndarray comes back as it is, so that a composed definition may use it on arrays and Tensors alike.
    ``autodiff.testing`` knows of it: what was held constant stays at its value while the numerical reference moves the
    point.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor(3.0, requires_grad=True)
    >>> (x * autodiff.constant(x)).backward()
    >>> x.grad
    array(3.)
    """
    if hasattr(x, "_node"):
        return x.detach()  # type: ignore[attr-defined,no-any-return]
    state = current_state()
    return x if state is None or state.stops is None else state.stops(x)  # type: ignore[no-any-return]
