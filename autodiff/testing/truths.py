"""What operations of one number are, said in SymPy's words: a truth that shares nothing with our rules.

:func:`derivative` evaluates any derivative with as many digits as are wanted (mpmath), over the whole range of
floats; :func:`certificate` lets a gradient rule run on symbols and compares the expression with SymPy's
derivative. Both packages are in the extra ``test``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from autodiff.core.op import Primitive, registry
from autodiff.extras import require
from autodiff.facts import edges

__all__ = ["TRUTHS", "TRUTHS_OF_TWO", "certificate", "derivative", "pairs", "partial_derivative", "points", "statable"]

#: Operation: (its definition in x for SymPy, which numbers it takes).
TRUTHS: dict[str, tuple[str, str]] = {
    "negative": ("-x", "all"), "reciprocal": ("1/x", "all"), "square": ("x**2", "all"), "sqrt": ("sqrt(x)", "positive"),
    "cbrt": ("x**Rational(1, 3)", "positive"), "exp": ("exp(x)", "exponent"), "exp2": ("2**x", "exponent"),
    "expm1": ("exp(x) - 1", "exponent"), "log": ("log(x)", "positive"), "log2": ("log(x)/log(2)", "positive"),
    "log10": ("log(x)/log(10)", "positive"), "log1p": ("log(1 + x)", "above -1"), "sin": ("sin(x)", "angle"),
    "cos": ("cos(x)", "angle"), "tan": ("tan(x)", "angle"), "arcsin": ("asin(x)", "unit"),
    "arccos": ("acos(x)", "unit"),
    "arctan": ("atan(x)", "all"), "sinh": ("sinh(x)", "exponent"), "cosh": ("cosh(x)", "exponent"),
    "tanh": ("tanh(x)", "exponent"), "arcsinh": ("asinh(x)", "all"), "arccosh": ("acosh(x)", "above 1"),
    "arctanh": ("atanh(x)", "unit"), "sinc": ("sin(pi*x)/(pi*x)", "angle"), "i0": ("besseli(0, x)", "bessel"),
    "sigmoid": ("1/(1 + exp(-x))", "exponent"), "silu": ("x/(1 + exp(-x))", "exponent"),
    "log_sigmoid": ("-log(1 + exp(-x))", "exponent"), "soft_sign": ("x/(1 + x)", "positive"),
    "softplus": ("log(1 + exp(x))", "below 20"), "gelu": ("x*erfc(-x/sqrt(2))/2", "normal"),
    "normal_cdf": ("erfc(-x/sqrt(2))/2", "normal"), "erf": ("erf(x)", "normal"), "erfc": ("erfc(x)", "normal"),
    "erfcx": ("exp(x**2)*erfc(x)", "positive normal"), "erfi": ("erfi(x)", "normal"),
    "ndtr": ("erfc(-x/sqrt(2))/2", "normal"), "log_ndtr": ("log(erfc(-x/sqrt(2))/2)", "normal"),
    "logit": ("log(x/(1 - x))", "share"), "expit": ("1/(1 + exp(-x))", "exponent"),
    "log_expit": ("-log(1 + exp(-x))", "exponent"), "exp10": ("10**x", "exponent"), "entr": ("-x*log(x)", "positive"),
    "special_i0": ("besseli(0, x)", "bessel"), "special_i1": ("besseli(1, x)", "bessel"),
    "i0e": ("exp(-x)*besseli(0, x)", "positive bessel"), "i1e": ("exp(-x)*besseli(1, x)", "positive bessel"),
    "k0": ("besselk(0, x)", "positive bessel"), "k1": ("besselk(1, x)", "positive bessel"),
    "gammaln": ("loggamma(x)", "shape"), "digamma": ("polygamma(0, x)", "shape"), "gamma": ("gamma(x)", "factorial"),
    "dawsn": ("sqrt(pi)/2*exp(-x**2)*erfi(x)", "normal"), "exp1": ("expint(1, x)", "positive bessel"),
}  # fmt: skip

#: Operation of two numbers: (its definition in x and y for SymPy, which pairs it takes).
TRUTHS_OF_TWO: dict[str, tuple[str, str]] = {
    "multiply": ("x*y", "all"), "divide": ("x/y", "all"), "hypot": ("sqrt(x**2 + y**2)", "all"),
    "arctan2": ("atan(x/y)", "right"), "power": ("x**y", "powers"), "logaddexp": ("log(exp(x) + exp(y))", "exponents"),
    "logaddexp2": ("log(2**x + 2**y)/log(2)", "exponents"), "xlogy": ("x*log(y)", "right"),
    "xlog1py": ("x*log(1 + y)", "right"), "rel_entr": ("x*log(x/y)", "positive"),
    "kl_div": ("x*log(x/y) - x + y", "positive"),
    "betaln": ("loggamma(x) + loggamma(y) - loggamma(x + y)", "shapes"),
    "beta": ("gamma(x)*gamma(y)/gamma(x + y)", "few shapes"), "poch": ("gamma(x + y)/gamma(x)", "few shapes"),
}  # fmt: skip

#: Digits that evaluating a derivative takes: differences of numbers of which one is the other times the largest float.
_DIGITS = {"exponent": 450, "normal": 450, "positive normal": 60, "bessel": 40, "below 20": 450, "positive bessel": 60,
           "shape": 60, "factorial": 60}  # fmt: skip


def statable() -> list[str]:
    """The registered operations that have a truth."""
    return [name for name in TRUTHS if name in registry]


def points(name: str, dtype: Any) -> np.ndarray[Any, Any]:
    """Numbers from all binades of a dtype that the operation takes, subnormal to huge, of both signs."""
    info, kind = np.finfo(dtype), TRUTHS[name][1]
    exponents = np.arange(info.minexp - info.nmant + 3, info.maxexp - 1, 149 if info.bits == 64 else 23)
    wide = [1.37 * 2.0**k for k in (*exponents.tolist(), *range(-6, 9, 2))]
    sizes = np.unique(np.array([*wide, 0.9, 20.0, 40.0, 300.0], dtype))
    special = edges(registry[name], dtype)
    both = np.concatenate([-sizes, sizes, special[special != 0]])
    limits = {
        "all": (-np.inf, np.inf), "positive": (0, np.inf), "above -1": (-1, np.inf), "angle": (-1e4, 1e4),
        "unit": (-1, 1), "above 1": (1, np.inf), "share": (0, 1), "exponent": (-301, 301), "bessel": (-720, 720),
        "positive bessel": (1e-150, 700), "shape": (0, np.inf), "factorial": (1e-8, 25),
        "normal": (-39, 39), "positive normal": (0, 1e4), "below 20": (-301, 20),
    }  # fmt: skip
    low, high = limits[kind]
    return both[(both > low) & (both < high)]


def pairs(name: str, dtype: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Two arrays of numbers that an operation of two takes, from binades of which third derivatives stay in range."""
    info, kind = np.finfo(dtype), TRUTHS_OF_TWO[name][1]
    sizes = [1.37 * 2.0 ** (k * info.maxexp / 32) for k in (-10, -6, -1, 0, 1, 6, 10)] + [0.9]
    if kind == "exponents":
        sizes = [1e-30, 1e-5, 0.3, 3.0, 40.0, 80.0, 300.0]
    shapes = {"shapes": [1e-20, 1e-5, 0.3, 1, 3, 50, 1e8], "few shapes": [0.3, 0.5, 1.25, 2.5, 7]}.get(kind, sizes)
    both = [*shapes, *(-np.array(shapes))] if kind in ("all", "right", "exponents") else shapes
    first, second = both, both if kind in ("all", "exponents") else shapes
    if kind == "powers":
        first = [1e-5, 0.3, 0.9999, 1.0001, 3, 1e5]
        second = [-3.3, -1, -0.6, -1e-5, 1e-9, 0, 0.1, 0.6, 1, 1.6, 2, 3, 3.7]
    if kind in ("all", "right"):
        second = list(3.1 * np.array(second))  # no derivative vanishes by chance, which no relative error could measure
    x, y = np.meshgrid(np.array(first, dtype), np.array(second, dtype))
    return x.ravel(), y.ravel()


def partial_derivative(name: str, orders: tuple[int, int], x: float, y: float) -> Any:
    """A partial derivative of an operation of two numbers, as an mpmath number whose leading digits are right.

    Examples
    --------
    >>> float(partial_derivative("power", (1, 1), 3.0, 0.0))
    0.3333333333333333
    """
    mpmath = require("mpmath")
    with mpmath.workdps(60 if "shapes" in TRUTHS_OF_TWO[name][1] else 900):
        value = _evaluated_of_two(name, orders)(mpmath.mpf(float(x)), mpmath.mpf(float(y)))
        return value.real if isinstance(value, mpmath.mpc) else mpmath.mpf(value)


@cache
def _evaluated_of_two(name: str, orders: tuple[int, int]) -> Callable[..., Any]:
    sympy = require("sympy")
    x, y = sympy.symbols("x y", real=True)
    expression = sympy.sympify(TRUTHS_OF_TWO[name][0], locals={"x": x, "y": y})
    for symbol, order in zip((x, y), orders, strict=True):
        expression = sympy.diff(expression, symbol, order)
    return sympy.lambdify((x, y), expression, "mpmath")  # type: ignore[no-any-return]


@cache
def _symbolic(name: str, order: int) -> Any:
    sympy = require("sympy")
    x = sympy.Symbol("x", real=True)
    return sympy.diff(sympy.sympify(TRUTHS[name][0], locals={"x": x}), x, order), x


@cache
def _evaluated(name: str, order: int) -> Callable[..., Any]:
    expression, x = _symbolic(name, order)
    return require("sympy").lambdify(x, expression, "mpmath")  # type: ignore[no-any-return]


def derivative(name: str, order: int, x: float) -> Any:
    """The derivative of an operation at a float, as an mpmath number whose leading digits are right.

    Examples
    --------
    >>> print(f"{float(derivative('tanh', 1, 20.0)):.12g}")
    1.69934170212e-17
    """
    mpmath = require("mpmath")
    with mpmath.workdps(_DIGITS.get(TRUTHS[name][1], 1300)):
        value = _evaluated(name, order)(mpmath.mpf(float(x)))
        return value.real if isinstance(value, mpmath.mpc) else mpmath.mpf(value)


def ulps(found: Any, truth: Any) -> float:
    """How far a float is from a truth of many digits, in units in the truth's last place.

    What overflows must be infinite, or nearly so, and of the right sign.
    """
    mpmath = require("mpmath")
    info = np.finfo(found.dtype)
    if abs(truth) >= float(info.max) * (1 - float(info.eps)):
        right = abs(found) > info.max / 2 and (found > 0) == (truth > 0)
        return 0.0 if right else float("inf")
    if not np.isfinite(found):
        return float("inf")
    exponent = mpmath.frexp(truth)[1] if truth else -10_000
    place = max(mpmath.ldexp(1, int(exponent) - info.nmant - 1), mpmath.mpf(float(info.smallest_subnormal)))
    return float(abs(mpmath.mpf(float(found)) - truth) / place)


@cache
def _constants() -> dict[float, Any]:
    """Floats that stand for numbers which are no fractions."""
    sympy = require("sympy")
    pi, two, ten = sympy.pi, sympy.log(2), sympy.log(10)
    exact = [pi, pi / 2, pi / 8, two, ten, sympy.sqrt(pi), sympy.sqrt(2), sympy.sqrt(2 * pi), 2 / sympy.sqrt(pi)]
    exact += [sympy.sqrt(pi) / 2, sympy.sqrt(2 / pi), pi / 180, 180 / pi]
    return {sign * float(number): sign * number for number in exact for sign in (1, -1)}


def _number(value: Any) -> Any:
    """A number of the rule's: exact if it is meant so, else a float."""
    sympy = require("sympy")
    if float(value) in _constants():
        return _constants()[float(value)]
    exact = sympy.Rational(value)
    return exact if exact.q <= 1024 else sympy.Float(value)


class _Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """A SymPy expression that NumPy's functions accept."""

    dtype, shape, ndim, size = np.dtype(float), (), 0, 1

    def __init__(self, expression: Any) -> None:
        self.expression = expression

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        sympy = require("sympy")
        values = [v.expression if isinstance(v, _Symbol) else _number(v) for v in inputs]
        names = {
            "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
            "divide": lambda a, b: a / b, "power": lambda a, b: a**b, "negative": lambda a: -a,
            "square": lambda a: a**2,
            "absolute": sympy.Abs, "sqrt": sympy.sqrt, "exp": sympy.exp, "log": sympy.log, "sin": sympy.sin,
            "cos": sympy.cos, "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh, "sign": sympy.sign,
            "hypot": lambda a, b: sympy.sqrt(a**2 + b**2), "reciprocal": lambda a: 1 / a,
            "log1p": lambda a: sympy.log(1 + a), "expm1": lambda a: sympy.exp(a) - 1,
        }  # fmt: skip
        if method != "__call__" or ufunc.__name__ not in names:
            return NotImplemented
        return _Symbol(names[ufunc.__name__](*values))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        # A symbol stands for a number at which nothing vanishes.
        return 1 if function is np.count_nonzero else NotImplemented


def certificate(name: str) -> str | bool | None:
    """How the rule of an operation, run on symbols, was found equal to SymPy's derivative.

    Returns
    -------
    "symbolic", "numeric", False or None
        The difference simplifies to 0; it does not, but is 0 to 60 digits at 40 points without a pattern (to a float's
        digits where constants such as log 2 stand in the rule as floats); they differ; the rule cannot run on symbols.

    Examples
    --------
    >>> certificate("tanh")
    'symbolic'
    """
    sympy = require("sympy")
    value, x = _symbolic(name, 0)
    slope, _ = _symbolic(name, 1)
    op = registry[name]
    rule = op.rules[0] if isinstance(op, Primitive) else None
    if rule is None:
        return None
    try:
        found = inspect.unwrap(rule)(_Symbol(sympy.Integer(1)), _Symbol(value), _Symbol(x))
    except (TypeError, AttributeError, ValueError):
        return None
    gap = found.expression - slope
    near = 1e-14 if found.expression.atoms(sympy.Float) else 1e-50
    low = 2 if TRUTHS[name][1] == "above 1" else 0
    spots = [low + sympy.Rational(k * 401 % 1009, 1009) for k in range(1, 41)]
    if not all(abs(complex(gap.subs(x, spot).evalf(60))) < near for spot in spots):
        return False
    point = sympy.Symbol("x", positive=True)  # a sign or a root of a square then reads as it does at these points
    forms = (lambda e: e, lambda e: e.rewrite(sympy.exp), sympy.expand, sympy.factor)
    return "symbolic" if any(sympy.simplify(form(gap.subs(x, point))) == 0 for form in forms) else "numeric"
