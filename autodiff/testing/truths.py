"""What operations of one number are, said in SymPy's words: a truth that shares nothing with our rules.

:func:`derivative` evaluates any derivative with as many digits as are wanted (mpmath), over the whole range of
floats; :func:`certificate` lets a gradient rule run on symbols and compares the expression with SymPy's
derivative. Both packages are in the extra ``test``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from autodiff.core.op import Primitive, registry
from autodiff.extras import require
from autodiff.facts import edges

__all__ = [
    "BLOCKS",
    "RATES",
    "STATED",
    "TRUTHS",
    "TRUTHS_OF_TWO",
    "attributes_of",
    "certificate",
    "derivative",
    "pairs",
    "partial_derivative",
    "points",
    "statable",
    "symbols_of",
    "value_of",
    "wide_pairs",
]

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
    "tanh_shrink": ("x - tanh(x)", "exponent"),
    "gelu_tanh": ("x/(1 + exp(-2*sqrt(2/pi)*(x + Rational(8943, 200000)*x**3)))", "exponent"),
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
    "expi": ("Ei(x)", "exponent"), "erfinv": ("erfinv(x)", "quantile"),
    "erfcinv": ("erfinv(1 - x)", "positive quantile"), "ndtri": ("sqrt(2)*erfinv(2*x - 1)", "positive quantile"),
    "logistic_log_density": ("-x - 2*log(1 + exp(-x))", "exponent"), "gumbel_log_density": ("-x - exp(-x)", "exponent"),
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

#: Further operations, for :func:`certificate`.
STATED: dict[str, str] = {
    "add": "x + y", "subtract": "x - y", "positive": "x", "absolute": "Abs(x)", "fabs": "Abs(x)",
    "deg2rad": "pi*x/180", "rad2deg": "180*x/pi", "float_power": "x**y", "special_cbrt": "x**Rational(1, 3)",
    "special_exp2": "2**x", "special_expm1": "exp(x) - 1", "special_log1p": "log(1 + x)",
    "j0": "besselj(0, x)", "j1": "besselj(1, x)",
    "y0": "bessely(0, x)", "y1": "bessely(1, x)", "loggamma": "loggamma(x)", "rgamma": "1/gamma(x)",
    "cosm1": "cos(x) - 1", "ellipk": "elliptic_k(x)", "ellipe": "elliptic_e(x)", "jv": "besselj(x, y)",
    "yv": "bessely(x, y)", "iv": "besseli(x, y)", "kv": "besselk(x, y)", "zeta": "zeta(x, y)",
    "gammainc": "1 - uppergamma(x, y)/gamma(x)", "gammaincc": "uppergamma(x, y)/gamma(x)",
}  # fmt: skip

#: Operations that rules are made of, with whole numbers or rates n for their attribute. A rule that says ``gaussian``
#: is certified with this definition of it, and so is this operation's own rule.
BLOCKS: dict[str, str] = {
    "logistic_density": "exp(-x)/(1 + exp(-x))**2", "one_minus_square": "1 - x**2", "arccosh_slope": "1/sqrt(x**2 - 1)",
    "direction": "x/sqrt(x**2 + y**2)", "over_power": "x/y**n", "radial": "radial(x, y, *n)",
    "gaussian": "exp(-n*x**2)", "gaussian_slope": "-2*n*x*exp(-n*x**2)",
    "spherical_bessel": "expand_func(jn(n, pi*x))", "bessel_i": "besseli(n, x)", "bessel_k": "besselk(x, y)/2**n",
    "erfcx_derivative": "diff(exp(x**2)*erfc(x), x, n)",
    "dawsn_derivative": "diff(sqrt(pi)/2*exp(-x**2)*erfi(x), x, n)",
    "log_ndtr_derivative": "diff(log(erfc(-x/sqrt(2))/2), x, n + 1)", "rgamma_derivative": "diff(1/gamma(x), x, n)",
    "exponential_over": "diff(exp(x)/x, x, n)",
    "i0e_derivative": "diff(exp(-x)*besseli(0, x), x, n)", "i1e_derivative": "diff(exp(-x)*besseli(1, x), x, n)",
    "polygamma_rise": "polygamma(n, x + y) - polygamma(n, x)", "log_of_ratio": "log(x/y)", "lack_of_ratio": "1 - x/y",
    "erfinv_slope": "sqrt(pi)/2*exp(erfinv(x)**2)", "erfcinv_slope": "-sqrt(pi)/2*exp(erfinv(1 - x)**2)",
    "root_slope": "1/sqrt(1 + n*x**2)",
    "gamma_power": "y**x*exp(-y - z)", "ndtri_slope": "sqrt(2*pi)*exp(erfinv(2*x - 1)**2)",
}  # fmt: skip
#: Those of which n is a rate.
RATES = ("gaussian", "gaussian_slope", "root_slope")

#: Digits that evaluating a derivative takes: differences of numbers of which one is the other times the largest float.
_DIGITS = {"exponent": 450, "normal": 450, "positive normal": 60, "bessel": 40, "below 20": 450, "positive bessel": 60,
           "shape": 60, "factorial": 60, "quantile": 60, "positive quantile": 345}  # fmt: skip


def statable() -> list[str]:
    """The registered operations that have a truth."""
    return [name for name in TRUTHS if name in registry]


def points(name: str, dtype: Any) -> np.ndarray[Any, Any]:
    """Numbers from all binades of a dtype that the operation takes, subnormal to huge, of both signs."""
    info, kind = np.finfo(dtype), TRUTHS[name][1]
    exponents = np.arange(info.minexp - info.nmant + 3, info.maxexp - 1, 149 if info.bits == 64 else 23)
    # Around the smallest normal number, and where the second and third power leave the range.
    ends = [info.minexp - 2, info.minexp, info.minexp // 2, info.minexp // 3, info.maxexp // 3, info.maxexp // 2]
    wide = [1.37 * 2.0**k for k in (*exponents.tolist(), *ends, *range(-6, 9, 2))]
    sizes = np.unique(np.array([*wide, 0.9, 20.0, 40.0, 300.0], dtype))
    special = edges(registry[name], dtype)
    both = np.concatenate([-sizes, sizes, special[special != 0]])
    limits = {
        "all": (-np.inf, np.inf), "positive": (0, np.inf), "above -1": (-1, np.inf), "angle": (-1e4, 1e4),
        "unit": (-1, 1), "above 1": (1, np.inf), "share": (0, 1), "exponent": (-301, 301), "bessel": (-720, 720),
        "positive bessel": (1e-150, 700), "shape": (0, np.inf), "factorial": (1e-8, 25),
        "quantile": (-1, 1), "positive quantile": (0, 1), "normal": (-39, 39), "positive normal": (0, 1e4),
        "below 20": (-301, 20),
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


def wide_pairs(name: str, dtype: Any, count: int = 42) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pairs of numbers of any two binades that an operation of two takes: subnormal to huge, of both signs where it
    takes these, a third of them subnormal, and 0 before numbers of all sizes where it takes 0. Of exponents up to a
    thousand, beyond which exponentials are 0 or infinite.
    """
    info, kind = np.finfo(dtype), TRUTHS_OF_TWO[name][1]
    rng = np.random.default_rng(1)
    top = 10 if kind == "exponents" else info.maxexp - 1

    def drawn(signed: bool) -> Any:
        powers = rng.uniform(info.minexp - info.nmant + 3, top, count)
        powers[: count // 3] = rng.uniform(info.minexp - info.nmant + 3, info.minexp, count // 3)
        sizes = np.exp2(rng.permutation(powers).astype(np.longdouble))
        return (sizes * (rng.choice([-1, 1], count) if signed else 1)).astype(dtype)

    x, y = drawn(kind in ("all", "right", "exponents")), drawn(kind in ("all", "exponents"))
    zeros = np.zeros(0 if kind == "positive" else 4, dtype)
    beside = np.array([info.smallest_subnormal, info.smallest_normal, 1, info.max / 2], dtype)[: zeros.size]
    return np.append(x, zeros), np.append(y, np.minimum(beside, dtype(2.0**top)))


def partial_derivative(name: str, orders: tuple[int, int], x: float, y: float) -> Any:
    """A partial derivative of an operation of two numbers, as an mpmath number whose leading digits are right.

    Examples
    --------
    >>> float(partial_derivative("power", (1, 1), 3.0, 0.0))
    0.3333333333333333
    """
    return _evaluated(TRUTHS_OF_TWO[name][0], orders, (x, y), 60 if "shapes" in TRUTHS_OF_TWO[name][1] else 900)


def _evaluated(definition: str, orders: tuple[int, ...], at: tuple[float, ...], digits: int) -> Any:
    """A partial derivative of a definition in x, or in x and y."""
    mpmath = require("mpmath")
    with mpmath.workdps(digits):
        value = _function(definition, orders)(*(mpmath.mpf(float(v)) for v in at))
        return value.real if isinstance(value, mpmath.mpc) else mpmath.mpf(value)


@cache
def _function(definition: str, orders: tuple[int, ...]) -> Callable[..., Any]:
    sympy = require("sympy")
    symbols = sympy.symbols("x y", real=True)[: len(orders)]
    expression = sympy.sympify(definition, locals={str(s): s for s in symbols})
    for symbol, order in zip(symbols, orders, strict=True):
        expression = sympy.diff(expression, symbol, order)
    return sympy.lambdify(symbols, expression, "mpmath")  # type: ignore[no-any-return]


def derivative(name: str, order: int, x: float) -> Any:
    """The derivative of an operation at a float, as an mpmath number whose leading digits are right.

    Examples
    --------
    >>> print(f"{float(derivative('tanh', 1, 20.0)):.12g}")
    1.69934170212e-17
    """
    return _evaluated(TRUTHS[name][0], (order,), (x,), _DIGITS.get(TRUTHS[name][1], 1300))


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
    """A SymPy expression that NumPy's and SciPy's functions accept; it stands for a number at which nothing vanishes,
    ties or is infinite.
    """

    dtype, shape, ndim, size = np.dtype(float), (), 0, 1
    _node = None  # rules then apply operations to it, as to a Tensor
    _data = property(lambda self: self)

    def __init__(self, expression: Any) -> None:
        self.expression = expression

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        sympy = require("sympy")
        name, values = ufunc.__name__, _expressions(inputs)
        if name in _ANSWERS and method == "__call__":
            return _ANSWERS[name](*values)
        names = {
            "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
            "divide": lambda a, b: a / b, "power": lambda a, b: a**b, "negative": lambda a: -a,
            "square": lambda a: a**2, "absolute": sympy.Abs, "sqrt": sympy.sqrt, "exp": sympy.exp, "log": sympy.log,
            "sin": sympy.sin, "cos": sympy.cos, "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh,
            "sign": sympy.sign, "hypot": lambda a, b: sympy.sqrt(a**2 + b**2), "reciprocal": lambda a: 1 / a,
            "log1p": lambda a: sympy.log(1 + a), "expm1": lambda a: sympy.exp(a) - 1, "erf": sympy.erf,
            "psi": lambda a: sympy.polygamma(0, a), "gamma": sympy.gamma, "rgamma": lambda a: 1 / sympy.gamma(a),
            "poch": lambda a, b: sympy.gamma(a + b) / sympy.gamma(a), "xlogy": lambda a, b: a * sympy.log(b),
            "xlog1py": lambda a, b: a * sympy.log(1 + b), "gammaln": sympy.loggamma,
            "j0": lambda a: sympy.besselj(0, a), "j1": lambda a: sympy.besselj(1, a), "jv": sympy.besselj,
            "y0": lambda a: sympy.bessely(0, a), "y1": lambda a: sympy.bessely(1, a), "yv": sympy.bessely,
            "iv": sympy.besseli, "kv": sympy.besselk, "erfinv": sympy.erfinv, "erfcinv": lambda a: sympy.erfinv(1 - a),
            "ndtri": lambda a: sympy.sqrt(2) * sympy.erfinv(2 * a - 1),
            "hyp2f1": lambda a, b, c, z: sympy.hyper((a, b), (c,), z),
        }  # fmt: skip
        if method != "__call__" or name not in names:
            return NotImplemented
        return _Symbol(names[name](*values))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.where and isinstance(args[0], (bool, np.bool_)):
            return args[1] if args[0] else args[2]
        return 1 if function in (np.count_nonzero, np.size, np.vdot) else NotImplemented


def _positive(value: Any) -> Any:
    sympy = require("sympy")
    return value.subs({s: sympy.Symbol(s.name, positive=True) for s in value.free_symbols}).is_positive


#: What rules ask of values: whether the same, whether finite, whether tiny, whether positive; the last of a number that
#: is, wherever its symbols are.
_ANSWERS: dict[str, Callable[..., Any]] = {
    "equal": lambda a, b: bool((a - b).equals(0)), "not_equal": lambda a, b: not (a - b).equals(0),
    "isinf": lambda a: False, "isnan": lambda a: False, "isposinf": lambda a: False,
    "less": lambda a, b: False if b.is_number and b < 1e-30 else NotImplemented,
    "greater": lambda a, b: True if b == 0 and _positive(a) else NotImplemented,
}  # fmt: skip


def _expressions(values: Any) -> list[Any]:
    return [v.expression if isinstance(v, _Symbol) else _number(v) for v in values]


def _defined(name: str, n: Any = 0) -> tuple[Any, list[Any]]:
    """An operation's definition, and the symbols in it."""
    sympy = require("sympy")
    text = (TRUTHS.get(name) or TRUTHS_OF_TWO.get(name) or [None])[0] or STATED.get(name) or BLOCKS[name]
    symbols = [sympy.Symbol(letter, real=True) for letter in "xyz" if re.search(rf"\b{letter}\b", text)]
    if name == "radial":
        return _radial_of_symbols(*symbols, *n), symbols
    return sympy.sympify(text, locals={"n": n, **{str(s): s for s in symbols}}), symbols


def _radial_of_symbols(x: Any, y: Any, terms: Any, m: int) -> Any:
    r = require("sympy").sqrt(x**2 + y**2)
    return sum(_number(f) * (x / r) ** a * (y / r) ** b for f, a, b in terms) / r**m


def attributes_of(name: str) -> tuple[tuple[Any, ...], ...]:
    """The attributes with which a definition is tried, each a tuple: of n, if there is an n in it."""
    if name in RATES:
        return ((1,), (-1,)) if name == "root_slope" else ((0.5,), (1.0,), (-1.0,))
    if name == "radial":
        return (((1.0, 1, 0),), 1), (((1.0, 0, 2), (-2.0, 2, 0)), 2)
    return ((0,), (1,), (2,)) if name in BLOCKS and re.search(r"\bn\b", BLOCKS[name]) else ((),)


def _n(attrs: tuple[Any, ...]) -> Any:
    """The n of a definition: a number of SymPy's, or several attributes as they are."""
    return require("sympy").Rational(attrs[0]) if len(attrs) == 1 else attrs


def symbols_of(name: str) -> list[Any]:
    """The symbols in an operation's definition, one for each of its arguments."""
    return _defined(name, _n(attributes_of(name)[-1]))[1]


def value_of(name: str, attrs: tuple[Any, ...], *values: float) -> float:
    """The value of an operation's definition."""
    expression, symbols = _defined(name, _n(attrs))
    return float(expression.subs(dict(zip(symbols, values, strict=True))).evalf(30))


@contextlib.contextmanager
def _blocks_of_symbols() -> Iterator[None]:
    """Within it the operations that rules are made of take and give symbols, too."""

    def of_symbols(name: str) -> Any:
        places = len(symbols_of(name))

        def defined(*args: Any) -> Any:
            expression, symbols = _defined(name, _n(args[places:]))
            given = dict(zip(symbols, _expressions(args[:places]), strict=True))
            return _Symbol(expression.subs(given, simultaneous=True))

        return defined

    ops = [registry[name] for name in (*BLOCKS, "sigmoid", "zeta") if name in registry]
    kept = [op.function for op in ops]
    try:
        for op in ops:
            op.function = of_symbols(op.name)
        yield
    finally:
        for op, function in zip(ops, kept, strict=True):
            op.function = function


def certificate(name: str, place: int = 0) -> str | bool | None:
    """How the rule of an operation for one of its arguments, run on symbols, was found equal to SymPy's derivative.

    Returns
    -------
    "symbolic", "numeric", False or None
        The difference simplifies to 0; it does not, but is 0 to 60 digits at 40 points without a pattern (to a float's
        digits where constants such as log 2 stand in the rule as floats); they differ; the rule cannot run on symbols,
        or SymPy has no derivative.

    Examples
    --------
    >>> certificate("tanh"), certificate("hypot", 1)
    ('symbolic', 'symbolic')
    """
    op = registry[name]
    rule = op.rules[place] if isinstance(op, Primitive) else None
    if rule is None:
        return None
    found = [_certified(name, place, rule, attrs) for attrs in attributes_of(name)]
    for kind in (False, None, "numeric"):
        if kind in found:
            return kind  # type: ignore[return-value]
    return "symbolic"


def _certified(name: str, place: int, rule: Any, attrs: tuple[Any, ...]) -> str | bool | None:
    sympy = require("sympy")
    value, symbols = _defined(name, _n(attrs))
    slope = sympy.diff(value, symbols[place])
    try:
        with _blocks_of_symbols():
            out = rule(_Symbol(sympy.Integer(1)), _Symbol(value), *map(_Symbol, symbols), *attrs)
    except (TypeError, AttributeError, ValueError, IndexError):
        return None
    if slope.has(sympy.Derivative):
        return None
    gap = _expressions([out])[0] - slope
    near = 1e-14 if gap.atoms(sympy.Float) else 1e-50
    low = 2 if name == "arccosh_slope" or TRUTHS.get(name, ("", ""))[1] == "above 1" else 0
    for k in range(1, 41):
        # Only the first is beyond 1 where the domain is.
        spot = {s: low + sympy.Rational(k * (401 + 77 * i) % 1009, 1009) for i, s in enumerate(symbols)}
        if not abs(complex(gap.subs(spot).evalf(60))) < near:
            return False
    # A sign or a root of a square then reads as it does at these points.
    positive = {s: sympy.Symbol(f"{s}", positive=True) for s in symbols}
    forms = (lambda e: e, lambda e: e.rewrite(sympy.exp), sympy.expand, sympy.expand_func, sympy.factor)
    return "symbolic" if any(sympy.simplify(form(gap.subs(positive))) == 0 for form in forms) else "numeric"
