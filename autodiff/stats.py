"""Distributions of scipy.stats, differentiable: ``autodiff.stats.norm.logpdf(x, loc, scale)``. Needs SciPy.

SciPy's distributions are compiled for arrays and see no Tensor; these are the same formulas over
:mod:`autodiff.special`, with SciPy's names and argument order, for arrays and Tensors alike, differentiable in the
point, the shape parameters, ``loc`` and ``scale``. Outside the support a density is 0, and so is its gradient; where a
parameter is not allowed the result is NaN.

A distribution is one row of the tables below. Formulas: Johnson, Kotz and Balakrishnan, Continuous (Discrete)
Univariate Distributions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from math import log, pi
from operator import add, and_
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import special
from autodiff.core.errors import ArgumentError, ConvergenceError, NotDifferentiableError, ShapeError
from autodiff.core.op import Primitive, wrap
from autodiff.extras import require
from autodiff.ops import linalg, reductions
from autodiff.ops.common import bare, drawn, quotient
from autodiff.ops.elementwise import where
from autodiff.ops.scipy_functions import solve_triangular
from autodiff.ops.shaping import _floats, _tensor
from autodiff.ops.stable import gumbel_log_density, log1p_square, logistic_log_density
from autodiff.ops.transcendental import beta_isf, beta_ppf, f_point, far_or, log_beta_end
from autodiff.random import generator, shape_of_draws
from autodiff.transforms import grad

if TYPE_CHECKING:
    from autodiff.results import Size, Source
    from autodiff.signatures import ArrayLike, Tensor

__all__ = [
    "Continuous",
    "Discrete",
    "bernoulli",
    "beta",
    "binom",
    "burr12",
    "cauchy",
    "chi",
    "chi2",
    "dirichlet",
    "expon",
    "f",
    "fisk",
    "gamma",
    "genextreme",
    "genpareto",
    "geom",
    "gumbel_l",
    "gumbel_r",
    "halfcauchy",
    "halflogistic",
    "halfnorm",
    "invgamma",
    "invgauss",
    "laplace",
    "levy",
    "logistic",
    "lognorm",
    "lomax",
    "maxwell",
    "multivariate_normal",
    "nbinom",
    "norm",
    "pareto",
    "poisson",
    "powerlaw",
    "rayleigh",
    "t",
    "triang",
    "uniform",
    "vonmises",
    "weibull_max",
    "weibull_min",
]

_HALF_LOG_TWO_PI = 0.5 * log(2 * pi)
_EULER = float(np.euler_gamma)
Formula = Callable[..., Any]
#: A part of a distribution, written with NumPy.
Part = Callable[..., object]
#: What is meant where these are not given.
_USUAL = {"loc": 0, "scale": 1}


def _in_one_precision(*values: Any) -> list[Any]:
    """As Tensors; Python's numbers in the others' precision."""
    kinds = [value.dtype for value in values if getattr(getattr(value, "dtype", None), "kind", "") == "f"]
    kind = np.result_type(*kinds) if kinds else np.dtype(float)
    weak = [isinstance(value, (int, float)) and not hasattr(value, "dtype") for value in values]
    return [_tensor(v).astype(kind) if number else _tensor(v) for v, number in zip(values, weak, strict=True)]


def _finished(made: Any, good: Any, dtype: Any, given: Sequence[Any]) -> Any:
    """NaN where a parameter is not allowed, in the precision of what went in; and so are the derivatives there in all
    that is given.
    """
    if not np.all(good):
        unknown = np.where(good, 0.0, np.nan)
        made = where(good, made, reduce(add, (where(good, 0.0, a) * unknown for a in given), unknown))
    return made if made.dtype == dtype or made.dtype.kind == "c" else made.astype(dtype)


def _positive(*shapes: Any) -> Any:
    """Where all shape parameters are greater than zero."""
    return reduce(and_, (shape > 0 for shape in shapes), np.asarray(True))


def _log(x: Any) -> Any:
    """The logarithm, of 0 without a warning: the end of a support has no probability."""
    return special.xlogy(1.0, x)


def _log_of_smaller(p: Any, rest: Any, tail: Any = None, args: Sequence[Any] = ()) -> Any:
    """``log(p)``, by ``rest = 1 - p`` where that is the smaller, by ``tail(*args)`` where the cube of ``p``, by which
    derivatives are divided, leaves the range.
    """
    value = bare(p)
    if tail is not None and np.any(far := value < np.finfo(value.dtype).tiny ** 0.3):
        first = np.unravel_index(np.argmax(far), far.shape)  # stands in where the formula does not hold
        beyond = tail(*(where(far, a, np.broadcast_to(bare(a), far.shape)[first]) for a in args))
        return beyond if np.all(far) else where(far, beyond, _log_of_smaller(where(far, 0.25, p), rest))
    small = value < 0.5
    if np.all(small):
        return _log(p)
    return where(small, _log(where(small, p, 1.0)), np.log1p(-where(small, 0.0, rest)))


#: Levels of a continued fraction where a tail leaves the range: half of them would do.
_LEVELS = 24


def _log_gamma_low(a: Any, x: Any, log_x: Any = None) -> Any:
    """``log gammainc(a, x)`` far to the left (DLMF 8.9.1)."""
    t: Any = 0.0
    for j in range(_LEVELS, 0, -1):
        t = (-x if j == 1 else -(a + j // 2) * x if j % 2 else j // 2 * x) / (a + j + t)
    power = special.xlogy(a, x) if log_x is None else a * log_x
    return power - x - special.gammaln(a + 1) - np.log1p(t)


def _log_gamma_high(a: Any, x: Any) -> Any:
    """``log gammaincc(a, x)`` far to the right (DLMF 8.9.2)."""
    t: Any = 0.0
    for j in range(_LEVELS, 0, -1):
        t = j * (a - j) / (x - a + (2 * j + 1) + t)
    return special.xlogy(a, x) - x - special.gammaln(a) - np.log(x - a + 1 + t)


def _log_beta_low(a: Any, b: Any, x: Any, log_x: Any, log_rest: Any) -> Any:
    """``log betainc(a, b, x)`` far to the left, given the logarithms of x and 1 - x (DLMF 8.17.22)."""
    t: Any = 0.0
    for j in range(_LEVELS, 0, -1):
        m = j // 2
        up = -(a + m) * (a + b + m) / (a + 2 * m + 1) if j % 2 else m * (b - m) / (a + (2 * m - 1))
        t = up * x / (a + 2 * m) / (1 + t)
    return a * log_x + b * log_rest - np.log(a) - special.betaln(a, b) - np.log1p(t)


def _log_beta(upper: bool, a: Any, b: Any, x: Any) -> Any:
    rest = 1 - x
    if upper:
        return _log_beta_low(b, a, rest, special.xlog1py(1.0, -x), _log(x))
    return _log_beta_low(a, b, x, _log(x), special.xlog1py(1.0, -x))


class _Named:
    """A distribution under SciPy's name, whose methods take the shape parameters by place or by name."""

    name: str
    shapes: list[str]
    ppf: Formula
    var: Formula

    def __repr__(self) -> str:
        return f"autodiff.stats.{self.name}"

    def __reduce__(self) -> str:
        """Pickled by its name, as SciPy's are."""
        return self.name

    def _arranged(self, args: tuple[Any, ...], named: dict[str, Any], **rest: Any) -> list[Any]:
        """The shape parameters, then the values of ``rest``, each of which may be given by its place instead."""
        names = [*self.shapes, *rest]
        given = dict(zip(names, args, strict=False))
        twice = [name for name in given if name in named or (name in rest and np.any(bare(rest[name]) != _USUAL[name]))]
        if len(args) > len(names) or twice or {*given, *named} - set(rest) != set(self.shapes):
            got = f"{twice[0]} twice" if twice else f"{len(args)} arguments{', '.join(['', *named])} after the first"
            raise ArgumentError(
                f"{self.name}: takes {len(self.shapes)} shape parameters ({', '.join(self.shapes)}), then"
                f" {' and '.join(rest)}; got {got}"
            )
        return [(rest | named | given)[name] for name in names]

    def std(self, *args: object, **named: object) -> Tensor:
        """The standard deviation: the root of ``var``, with its arguments."""
        return np.sqrt(self.var(*args, **named))  # type: ignore[no-any-return]

    def median(self, *args: object, **named: object) -> Tensor:
        """The point with half of the probability below it: ``ppf(0.5, ...)``."""
        return self.ppf(0.5, *args, **named)  # type: ignore[no-any-return]

    def interval(self, confidence: ArrayLike, *args: object, **named: object) -> tuple[Tensor, Tensor]:
        """The ends of the range that holds the probability ``confidence`` and leaves as much below as above."""
        rest = 0.5 - 0.5 * _tensor(confidence)
        return self.ppf(rest, *args, **named), self.ppf(1 - rest, *args, **named)


class Continuous(_Named):
    """A location-scale family on the real line; its methods take ``x``, the shape parameters, ``loc`` and ``scale``,
    and broadcast.

    Parameters
    ----------
    name : str
        SciPy's name.
    shapes : str
        The names of the shape parameters.
    logpdf, cdf, ppf, isf, mean, var, entropy : callable
        Of the standardised variable (the probability, that above; nothing) and the shape parameters.
    support : (float, float) or callable
        Of the standardised variable; a function of the shape parameters, where it depends on them.
    open : bool
        Whether the lower end of the support does not belong to it.
    valid : callable
        Where the shape parameters, as arrays, are allowed.
    sf, logcdf, logsf : callable, optional
        Where they can be had more precisely than from ``cdf``.
    tails : (callable or None, callable or None)
        The logarithms of ``cdf`` and ``sf`` where these leave the range of floating point.
    draw : callable, optional
        ``draw(generator, shape)`` of the standard variable, where no shape parameter is; else a draw is ``ppf`` of a
        uniform one.

    Examples
    --------
    >>> round(norm.logpdf(0.0).item(), 6), round(expon.cdf(-1.0).item(), 6)
    (-0.918939, 0.0)
    >>> lognorm.rvs(0.5, size=2, random_state=np.random.default_rng(0)).shape
    (2,)
    """

    def __init__(
        self,
        name: str,
        logpdf: Part,
        cdf: Part,
        ppf: Part,
        isf: Part,
        mean: Part,
        var: Part,
        entropy: Part,
        *,
        shapes: str = "",
        support: tuple[float, float] | Part = (-np.inf, np.inf),
        open: bool = False,
        valid: Part = _positive,
        sf: Part | None = None,
        logcdf: Part | None = None,
        logsf: Part | None = None,
        tails: tuple[Part | None, Part | None] = (None, None),
        draw: Part | None = None,
    ) -> None:
        parts: Any = (logpdf, cdf, sf or (lambda *a: 1.0 - self._cdf(*a)), ppf, isf, mean, var, entropy, valid, draw)
        self.name, self.shapes = name, shapes.split()
        self._support: Formula = support if callable(support) else lambda *a: support
        self._open = open
        self._logpdf, self._cdf, self._sf, self._ppf, self._isf, *parts = parts
        self._mean, self._var, self._entropy, self._valid, self._draw = parts
        low, high = tails
        self._logcdf: Formula = logcdf or (lambda *a: _log_of_smaller(self._cdf(*a), self._sf(*a), low, a))
        self._logsf: Formula = logsf or (lambda *a: _log_of_smaller(self._sf(*a), self._cdf(*a), high, a))

    def _parameters(self, at: Any, args: tuple[Any, ...], loc: Any, scale: Any, named: Any) -> tuple[Any, ...]:
        """The point, shapes, loc and scale as Tensors, with what is not allowed replaced by 1; and where all is."""
        *given, loc, scale = self._arranged(args, named, loc=loc, scale=scale)
        x, middle, width, *shapes = _in_one_precision(at, loc, scale, *given)
        given = [x, middle, width, *shapes]
        good = self._valid(*(bare(a) for a in shapes)) & (bare(width) > 0)
        if not np.all(good):
            shapes = [where(good, a, 1.0) for a in shapes]
            width = where(good, width, 1.0)
        return x, shapes, middle, width, good, given

    def _apply(
        self,
        formula: Formula,
        below: float,
        above: float,
        x: Any,
        args: tuple[Any, ...],
        loc: Any,
        scale: Any,
        named: Any,
    ) -> Any:
        """``formula`` of the standardised variable, the shape parameters and the scale; constants below and above the
        support.
        """
        point, shapes, middle, width, good, given = self._parameters(x, args, loc, scale, named)
        z = (point - middle) / width
        low, high = (bare(end) for end in self._support(*shapes))
        at = z._array
        under = (at < low) | ((at == low) & (self._open | (low == -np.inf)))
        over = (at > high) | ((at == high) & (high == np.inf))
        if not (np.any(under) or np.any(over)):
            made = formula(z, *shapes, width)
        else:
            # Some point of the support stands in for what lies outside, so that no formula meets what it is not
            # defined for.
            left, right = np.isfinite(low), np.isfinite(high)
            ends = np.where(left, low, np.where(right, high - 1.0, -0.5)), np.where(right, high, low + 1.0)
            inside = np.where(right, 0.5 * (ends[0] + ends[1]), ends[0] + 0.5)
            made = where(under, below, where(over, above, formula(where(under | over, inside, z), *shapes, width)))
        return _finished(made, good, z.dtype, given)

    def logpdf(
        self, x: ArrayLike, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object
    ) -> Tensor:
        """The logarithm of the density; -inf outside the support."""
        formula = lambda z, *a: self._logpdf(z, *a[:-1]) - np.log(a[-1])
        return self._apply(formula, -np.inf, -np.inf, x, args, loc, scale, named)  # type: ignore[no-any-return]

    def pdf(self, x: ArrayLike, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object) -> Tensor:
        """The density."""
        formula = lambda z, *a: np.exp(self._logpdf(z, *a[:-1])) / a[-1]
        return self._apply(formula, 0.0, 0.0, x, args, loc, scale, named)  # type: ignore[no-any-return]

    def cdf(self, x: ArrayLike, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object) -> Tensor:
        """The probability of at most ``x``."""
        return self._apply(lambda z, *a: self._cdf(z, *a[:-1]), 0.0, 1.0, x, args, loc, scale, named)  # type: ignore[no-any-return]

    def sf(self, x: ArrayLike, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object) -> Tensor:
        """The probability of more than ``x``."""
        return self._apply(lambda z, *a: self._sf(z, *a[:-1]), 1.0, 0.0, x, args, loc, scale, named)  # type: ignore[no-any-return]

    def logcdf(
        self, x: ArrayLike, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object
    ) -> Tensor:
        """The logarithm of the probability of at most ``x``."""
        return self._apply(lambda z, *a: self._logcdf(z, *a[:-1]), -np.inf, 0.0, x, args, loc, scale, named)  # type: ignore[no-any-return]

    def logsf(
        self, x: ArrayLike, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object
    ) -> Tensor:
        """The logarithm of the probability of more than ``x``."""
        return self._apply(lambda z, *a: self._logsf(z, *a[:-1]), 0.0, -np.inf, x, args, loc, scale, named)  # type: ignore[no-any-return]

    def _inverse(self, formula: Formula, order: int, q: Any, args: Any, loc: Any, scale: Any, named: Any) -> Any:
        """``formula`` of a probability within (0, 1), the ends of the support in this order at 0 and 1, NaN beyond."""
        p, shapes, middle, width, good, given = self._parameters(q, args, loc, scale, named)
        p = p * 1.0
        inner = (p._array > 0) & (p._array < 1)
        good = good & (p._array >= 0) & (p._array <= 1)
        made = formula(p if np.all(inner) else where(inner, p, 0.5), *shapes)
        if not np.all(inner):
            made = where(inner, made, where(p._array == 0, *self._support(*shapes)[::order]))
        return _finished(made * width + middle, good, np.result_type(p.dtype, width.dtype), given)

    def ppf(self, q: ArrayLike, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object) -> Tensor:
        """The point below which the probability is ``q``: the inverse of ``cdf``; NaN outside of [0, 1]."""
        return self._inverse(self._ppf, 1, q, args, loc, scale, named)  # type: ignore[no-any-return]

    def isf(self, q: ArrayLike, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object) -> Tensor:
        """The point above which the probability is ``q``: the inverse of ``sf``; NaN outside of [0, 1]."""
        return self._inverse(self._isf, -1, q, args, loc, scale, named)  # type: ignore[no-any-return]

    def _constant(self, formula: Formula, args: tuple[Any, ...], loc: Any, scale: Any, named: Any) -> Any:
        """``formula`` of the shape parameters, loc and scale."""
        _, shapes, middle, width, good, given = self._parameters(0.0, args, loc, scale, named)
        return _finished(formula(shapes, middle, width), good, width.dtype, given)

    def entropy(self, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object) -> Tensor:
        """The differential entropy, ``-E log pdf``."""
        formula = lambda a, middle, width: self._entropy(*a) + np.log(width) + 0 * middle._array
        return self._constant(formula, args, loc, scale, named)  # type: ignore[no-any-return]

    def mean(self, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object) -> Tensor:
        """The mean; infinite or NaN where there is none, as in SciPy."""
        return self._constant(lambda a, middle, width: self._mean(*a) * width + middle, args, loc, scale, named)  # type: ignore[no-any-return]

    def var(self, *args: object, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, **named: object) -> Tensor:
        """The variance; infinite or NaN where there is none, as in SciPy."""
        formula = lambda a, middle, width: self._var(*a) * width * width + 0 * middle._array
        return self._constant(formula, args, loc, scale, named)  # type: ignore[no-any-return]

    def fit(self, data: ArrayLike, *args: float, **options: object) -> tuple[Tensor, ...]:
        """The parameters of the greatest likelihood, differentiable in the data; as SciPy's ``fit``.

        Parameters
        ----------
        data : array or Tensor
            Or a ``scipy.stats.CensoredData``, which is a constant.
        *args, **options
            As SciPy's: where shape parameters, ``loc`` and ``scale`` start, ``floc``, ``fscale`` and ``f0``, ``f1`` (or
            ``fa`` of a parameter ``a``) to hold one.

        Returns
        -------
        tuple of Tensor
            The shape parameters, loc and scale.

        Raises
        ------
        ConvergenceError
            When a derivative is asked for and the gradient of the likelihood does not vanish: the maximum may lie where
            the support ends, at the smallest observation. Hold that parameter.
        NotDifferentiableError
            For ``method="MM"`` and data that require a gradient.

        Examples
        --------
        >>> import autodiff
        >>> autodiff.grad(lambda x: norm.fit(x)[0])(np.array([1.0, 2.0, 6.0])) * 3
        array([1., 1., 1.])
        """
        scipys = require("scipy.stats")
        censored = isinstance(data, getattr(scipys, "CensoredData", ()))
        found = getattr(scipys, self.name).fit(data if censored else bare(data), *args, **options)
        points, whole = data if censored else _tensor(data), [np.asarray(value) for value in found]
        if getattr(points, "_node", None) is None:
            return tuple(_tensor(value) for value in whole)
        if str(options.get("method", "MLE")).upper() != "MLE":
            raise NotDifferentiableError(f"{self.name}.fit: method='MM' has no gradient; take the maximum likelihood")
        from autodiff.implicit import root

        names = [*self.shapes, "loc", "scale"]
        held = [bool({f"f{i}", f"f{name}", f"fix_{name}"} & set(options)) for i, name in enumerate(names)]
        free = [i for i, fixed in enumerate(held) if not fixed]

        def filled(v: Any) -> list[Any]:
            return [
                value if fixed else v[free.index(i)] for i, (value, fixed) in enumerate(zip(whole, held, strict=True))
            ]

        def likelihood(v: Any) -> Any:
            return reductions.mean(self.logpdf(points, *filled(v)))

        try:
            best = root(grad(likelihood), np.array([float(whole[i]) for i in free])).x
        except ConvergenceError as error:
            raise ConvergenceError(
                f"{self.name}.fit: the likelihood is greatest where its gradient does not vanish, at the end of the"
                " support; hold a parameter, as with floc=0"
            ) from error
        return tuple(_tensor(value) for value in filled(best))

    def rvs(
        self,
        *args: object,
        loc: ArrayLike = 0.0,
        scale: ArrayLike = 1.0,
        size: Size = None,
        random_state: Source = None,
        **named: object,
    ) -> Tensor:
        """Draws that are differentiable in the parameters (reparametrised): for the same random numbers the draw moves
        with the parameters.

        Parameters
        ----------
        size : int or tuple, optional
            By default the shape that the parameters broadcast to.
        random_state : numpy.random.Generator or int
            Must be given.
        """
        name = f"{self.name}.rvs"
        source = generator(name, "random_state", random_state, *args, loc, scale, *named.values())
        _, shapes, middle, width, good, _ = self._parameters(0.0, args, loc, scale, dict(named))
        if not np.all(good):
            raise ArgumentError(f"{name}: a parameter is not allowed (scale and most shapes must be positive)")
        shape = shape_of_draws(name, size, *shapes, middle, width)
        if self._draw is not None:
            return drawn(self._draw, source, shape).astype(width.dtype) * width + middle  # type: ignore[no-any-return]
        below = 1.0 - drawn(np.random.Generator.random, source, shape)
        return self.ppf(below.astype(width.dtype), *shapes, loc=middle, scale=width)  # type: ignore[no-any-return]


# --- what the rows need ---------------------------------------------------------------------------------------------


def _log_t_low(z: Any, df: Any) -> Any:
    """The logarithm of the probability above ``z`` far to the right."""
    parts = -log1p_square(z / np.sqrt(df)), -log1p_square(np.sqrt(df) / z)
    return _log_beta_low(0.5 * df, 0.5, np.exp(parts[0]), *parts) - log(2)


def _log_f(upper: bool, z: Any, n: Any, d: Any) -> Any:
    ratio = n * z / d
    parts = _log(ratio) - np.log1p(ratio), -np.log1p(ratio)
    first, second = (parts[1], parts[0]) if upper else parts
    return _log_beta_low(*((0.5 * d, 0.5 * n) if upper else (0.5 * n, 0.5 * d)), np.exp(first), first, second)


def _t_logpdf(z: Any, df: Any) -> Any:
    return -0.5 * (df + 1) * log1p_square(z / np.sqrt(df)) + np.log(special.poch(0.5 * df, 0.5) / np.sqrt(pi * df))


def _without_growth(k: Any) -> Any:
    """``log gamma(k + 1) - k log k + k`` (DLMF 5.11.1)."""
    series = lambda k: 0.5 * np.log(k) + _HALF_LOG_TWO_PI + (1 / 12 - (1 / 360 - 1 / 1260 / k**2) / k**2) / k
    return _from(k, 50, series, special.gammaln(k + 1) - special.xlogy(k, k) + k)


def _gamma_logpdf(z: Any, a: Any) -> Any:
    """``(a - 1) log z - z - log gamma(a)``, whose large terms are subtracted by hand (Loader 2000, Fast and accurate
    computation of binomial probabilities).
    """

    def large(a: Any) -> Any:
        k = a - 1
        ratio = z / k
        near = np.abs(bare(ratio) - 1) < 0.5
        log_ratio = where(near, np.log1p(where(near, (z - k) / k, 0.0)), _log(where(near, 1.0, ratio)))
        return k * log_ratio - (z - k) - _without_growth(k)

    return _from(a, 2, large, special.xlogy(a - 1, z) - z - special.gammaln(a))


def _chi_logpdf(z: Any, df: Any) -> Any:
    usual = lambda z: _gamma_logpdf(0.5 * z * z, 0.5 * (df + 1)) + np.log(2**0.5 * special.poch(0.5 * df, 0.5))
    near = special.xlogy(df - 1, z) - special.gammaln(0.5 * df) - (0.5 * df - 1) * log(2)  # where the square is nothing
    return _from(z, float(np.finfo(z.dtype).tiny) ** 0.5, usual, near)


def _among_many(k: Any, rest: Any, plain: Any, logs: Formula) -> Any:
    """``plain``; for more than a hundred trials, of which ``k`` succeed and ``rest`` do not, ``logs(weight)``, where
    ``weight(p, q)`` is the logarithm of the binomial probability.
    """
    many = (bare(k) >= 0) & (bare(rest) >= 0) & (bare(k) + bare(rest) > 100)
    if not np.any(many):
        return plain
    k, rest = where(many, k, 100.0), where(many, rest, 100.0)
    n = k + rest
    weight = lambda p, q: _gamma_logpdf(n * p, k + 1) + _gamma_logpdf(n * q, rest + 1) - _gamma_logpdf(n, n + 1)
    return where(many, logs(weight), plain)


def _beta_logpdf(z: Any, a: Any, b: Any) -> Any:
    plain = special.xlogy(a - 1, z) + special.xlog1py(b - 1, -z) - special.betaln(a, b)
    return _among_many(a - 1, b - 1, plain, lambda weight: np.log(np.maximum(a + b - 1, 1)) + weight(z, 1 - z))


def _psi_gain(a: Any, b: Any) -> Any:
    """``psi(a + b) - psi(a)``, of large ``a`` by its series (DLMF 5.11.2)."""

    def series(a: Any) -> Any:
        c = a + b
        return np.log1p(b / a) + 0.5 * b / (a * c) + (a**-2 - c**-2) / 12 - (a**-4 - c**-4) / 120

    return _from(a, 1e3, series, special.psi(a + b) - special.psi(a))


def _t_entropy(df: Any) -> Any:
    half = 0.5 * df
    return (half + 0.5) * _psi_gain(half, 0.5) + 0.5 * np.log(df) + special.betaln(half, 0.5)


def _beta_entropy(a: Any, b: Any) -> Any:
    return special.betaln(a, b) + (a - 1) * _psi_gain(a, b) + (b - 1) * _psi_gain(b, a)


def _gamma_entropy(a: Any) -> Any:
    """``a + log gamma(a) + (1 - a) psi(a)``, of large ``a`` by its series (DLMF 5.11.1, 5.11.2)."""
    series = lambda a: (
        0.5 + _HALF_LOG_TWO_PI + 0.5 * np.log(a) - (1 / 3 + (1 / 12 + (1 / 90 - 1 / 120 / a) / a) / a) / a
    )
    return _from(a, 1e3, series, a + special.gammaln(a) + (1 - a) * special.psi(a))


def _t_ppf(q: Any, df: Any) -> Any:
    low = bare(q) < 0.5
    log_x = log_beta_end(0.5 * df, 0.5, 2 * where(low, q, 1 - q))
    make = lambda log_x: where(low, -1.0, 1.0) * np.exp(0.5 * (np.log(df) - log_x))
    return far_or(log_x, make, special.stdtrit, df, q)


def _from(a: Any, least: float, formula: Formula, below: Any) -> Any:
    """``formula(a)`` where a is greater than ``least``."""
    there = bare(a) > least
    return where(there, formula(where(there, a, least + 1.0)), below)


def _f_var(n: Any, d: Any) -> Any:
    made = lambda d: 2 * (d / (d - 2)) ** 2 * (n + d - 2) / (n * (d - 4))
    return _from(d, 4, made, np.inf)


def _t_var(df: Any) -> Any:
    return where(bare(df) > 1, _from(df, 2, lambda df: df / (df - 2), np.inf), np.nan)


def _either_side(half: Formula) -> tuple[Formula, Formula]:
    """The ppf and the isf of a symmetric distribution: ``half(q)`` is how far from the middle the tail is ``q``."""

    def isf(q: Any) -> Any:
        low = bare(q) < 0.5
        return where(low, 1.0, -1.0) * half(where(low, q, 1 - q))

    return lambda q: -isf(q), isf


def _laplace_half(z: Any, upper: bool) -> Any:
    tail = 0.5 * np.exp(-np.abs(z))
    return where((bare(z) > 0) != upper, 1 - tail, tail)


#: Points and weights of an integral from 0 to 1.
_POINTS, _WEIGHTS = (np.polynomial.legendre.leggauss(48) + np.array([[1.0], [0.0]])) / 2


def _log_i0e(kappa: Any) -> Any:
    """``log(exp(-kappa) I_0(kappa))``: of small arguments by I_0, since the scaled function has a kink at 0."""
    small = bare(kappa) < 1
    large = where(small, 1.0, kappa)
    return where(small, np.log(special.i0(where(small, kappa, 0.0))) - kappa, np.log(special.i0e(large)))


def _mean_to_one(kappa: Any) -> Any:
    """How far the mean of the cosine stays below 1."""
    return 1 - special.i1e(kappa) / special.i0e(kappa)


def _vonmises_logpdf(z: Any, kappa: Any) -> Any:
    return -2 * kappa * np.sin(0.5 * z) ** 2 - 2 * _HALF_LOG_TWO_PI - _log_i0e(kappa)


def _over_arc(start: Any, kappa: Any, part: Formula = lambda t: 1.0) -> Any:
    """The integral of ``part(t) exp(kappa (cos t - cos start))`` over t from ``start``, in [0, pi], to where the
    exponential is below exp(-40), or to pi.
    """
    first = bare(start)
    with np.errstate(divide="ignore"):
        fall = 20 / bare(kappa)
        high = 2 * np.arcsin(np.sqrt(np.minimum(np.sin(0.5 * first) ** 2 + fall, 1)))
        far = np.where(high < pi, 2 * np.arcsin(np.minimum(fall / np.sin(0.5 * (high + first)), 1)), pi - first)
    width, begin, k = (part[..., None] for part in np.broadcast_arrays(far - (start - first), start, kappa))
    step = width * _POINTS
    decay = np.exp(-2 * k * np.sin(begin + 0.5 * step) * np.sin(0.5 * step))
    return np.sum(_WEIGHTS * width * part(begin + step) * decay, axis=-1)


def _folded(z: Any) -> tuple[Any, Any, Any]:
    """How often ``z`` has gone round, whether it then lies on the lower half, and its distance from the middle."""
    turns = np.round(bare(z) / (2 * pi))
    z = z - 2 * pi * turns
    low = bare(z) <= 0
    return turns, low, where(low, -z, z)


def _vonmises_share(z: Any, kappa: Any, upper: bool) -> Any:
    """The probability below ``z``, or above."""
    turns, low, distance = _folded(z)
    tail = np.exp(_vonmises_logpdf(distance, kappa)) * _over_arc(distance, kappa)
    return where(low != upper, tail, 1 - tail) + (-turns if upper else turns)


def _vonmises_tail(distance: Any, kappa: Any) -> Any:
    return _vonmises_logpdf(distance, kappa) + np.log(_over_arc(distance, kappa))


def _vonmises_inverse(q: Any, kappa: Any) -> Any:
    """The half circle halved, then two of Newton's steps."""
    concentration, least = _tensor(kappa), np.minimum(q, 1 - q)
    tail: Formula = lambda distance: bare(_vonmises_share(_tensor(-distance), concentration, False))
    low = np.zeros(np.broadcast_shapes(np.shape(q), np.shape(kappa)))
    high = low + pi
    for _ in range(60):
        middle = (low + high) / 2
        more = tail(middle) > least
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    for _ in range(2):
        low = low + (tail(low) - least) / np.exp(bare(_vonmises_logpdf(_tensor(low), concentration)))
    return np.where(q < 0.5, -low, low)


def _vonmises_move(z: Any, kappa: Any) -> Any:
    below = _mean_to_one(kappa)[..., None]
    distance = where(bare(z) < 0, -z, z)
    moved = _over_arc(distance, kappa, lambda t: below - 2 * np.sin(0.5 * t) ** 2)
    return where(bare(z) < 0, -moved, moved)


def _as_given(found: Any, *given: Any) -> Any:
    """What a rule computed by public functions: of arrays an array."""
    return found if any(hasattr(value, "_node") for value in given) else bare(found)


def _point(name: str, find: Formula, density: Formula, move: Formula) -> Primitive:
    """``find(q, shape)`` as an operation, given the density there and the slope of the point in the shape."""
    return Primitive(
        name,
        find,
        lambda g, out, q, a: _as_given(quotient(g, density(out, a)), g, out, a),
        lambda g, out, q, a: _as_given(g * move(_tensor(out), _tensor(a)), g, out, a),
        sample=lambda draw: ((draw.array((2,), 0.2, 0.8), draw.array((), 0.5, 3.0)), {}),
        pointwise=True,
        reach=(1e-30, 1e30),
    )


_vonmises_ppf = _point(
    "vonmises_ppf", _vonmises_inverse, lambda z, kappa: np.exp(_vonmises_logpdf(z, kappa)), _vonmises_move
)


def _vonmises_mean(kappa: Any, part: Formula) -> Any:
    """The mean of an even function of the angle."""
    return 2 * np.exp(_vonmises_logpdf(0.0, kappa)) * _over_arc(0.0, kappa, part)


def _invgauss_find(upper: bool, q: Any, mu: Any) -> Any:
    """The logarithm of the point by halving; SciPy's inverse ends the process for some numbers."""
    below, above = (1 - q, q) if upper else (q, 1 - q)
    low = np.full(np.broadcast_shapes(np.shape(q), np.shape(mu)), -745.0)
    high = np.full(low.shape, 709.0)
    with np.errstate(all="ignore"):
        for _ in range(64):
            middle = 0.5 * (low + high)
            z = _tensor(np.exp(middle))
            less = bare(_invgauss_half(z, _tensor(mu), -1.0)) < below
            short = np.where(np.less(below, above), less, bare(_invgauss_half(z, _tensor(mu), 1.0)) > above)
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        found = np.where((q > 0) & (q < 1), np.exp(low), np.nan) + 0.0 * mu
    return found.astype(np.result_type(q, mu, np.float32))


def _invgauss_logpdf(z: Any, mu: Any) -> Any:
    root = np.sqrt(z)
    return -0.5 * (root / mu - 1 / root) ** 2 - 1.5 * np.log(z) - _HALF_LOG_TWO_PI


def _invgauss_density(sign: float, z: Any, mu: Any) -> Any:
    return sign * np.exp(_invgauss_logpdf(z, mu))


def _invgauss_half(z: Any, mu: Any, side: float) -> Any:
    """The probability below (-1) or above (1)."""
    root = np.sqrt(z)
    u, v = root / mu - 1 / root, root / mu + 1 / root
    return special.ndtr(-side * u) - side * 0.5 * np.exp(-0.5 * u * u) * special.erfcx(0.5**0.5 * v)


def _invgauss_tail(z: Any, mu: Any, side: float) -> Any:
    root, half = np.sqrt(z), 0.5**0.5
    u, v = root / mu - 1 / root, root / mu + 1 / root
    return -0.5 * u * u + np.log(0.5 * (special.erfcx(side * half * u) - side * special.erfcx(half * v)))


def _invgauss_move(z: Any, mu: Any) -> Any:
    root = np.sqrt(z)
    return (2 * pi) ** 0.5 * z * root * special.erfcx(0.5**0.5 * (root / mu + 1 / root)) / mu**2


_invgauss_ppf, _invgauss_isf = (
    _point(
        f"invgauss_{method}", partial(_invgauss_find, method == "isf"), partial(_invgauss_density, sign), _invgauss_move
    )
    for method, sign in (("ppf", 1.0), ("isf", -1.0))
)


def _log1p_over(c: Any, z: Any, times: Any = 1.0) -> Any:
    """``times log(1 + c z) / c``; where c is 0, ``times z``."""
    u = c * z
    near = np.abs(bare(u)) < 0.5
    series = times * z * special.hyp2f1(1.0, 1.0, 2.0, -where(near, u, 0.0))
    return where(near, series, special.xlog1py(times, where(near, 1.0, u)) / where(near, 1.0, c))


def _past(c: Any, least: float) -> Any:
    return np.where(bare(c) == least, np.inf, np.nan)


def _reach(c: Any) -> Any:
    """``1 / c`` of a positive c, infinity else."""
    return _from(c, 0, lambda c: 1 / c, np.inf)


def _gamma_series(c: Any, power: int) -> Any:
    """``log gamma(1 + c) / c``, or ``(log gamma(1 + 2 c) - 2 log gamma(1 + c)) / c^2`` (DLMF 5.7.3)."""
    near = np.abs(bare(c)) < 0.1
    at, away = where(near, c, 0.0), where(near, 1.0, c)
    series: Any = 0.0
    for k in range(26, 1, -1):
        series = series * at + (-1) ** k * float(special.zeta(float(k)).data) / k * (1 if power == 1 else 2**k - 2)
    if power == 1:
        return where(near, at * series - _EULER, special.gammaln(1 + away) / away)
    return where(near, series, (special.gammaln(1 + 2 * away) - 2 * special.gammaln(1 + away)) / away**2)


def _gev_mean(c: Any) -> Any:
    """``(1 - gamma(1 + c)) / c``, which is Euler's constant at 0."""
    s = _gamma_series(c, 1)
    return -s * special.exprel(c * s)


def _gev_var(c: Any) -> Any:
    """``(gamma(1 + 2 c) - gamma(1 + c)^2) / c^2``, which is ``pi^2 / 6`` at 0."""
    s = _gamma_series(c, 2)
    return special.gamma(1 + c) ** 2 * s * special.exprel(c * c * s)


def _log1p_power(z: Any, c: Any) -> Any:
    """``log(1 + z^c)``."""
    return -special.log_expit(-c * _log(z))


def _burr_moments(c: Any, d: Any, power: int) -> Any:
    """The mean or the variance of ``burr12``."""
    there = bare(c * d) > power
    c, d = where(there, c, power + 1.0), where(there, d, 1.0)
    first, second = (d * special.beta(d - k / c, 1 + k / c) for k in (1, power))
    return where(there, first if power == 1 else second - first * first, np.nan)


def _triang(z: Any, c: Any, rising: Formula, falling: Formula) -> Any:
    """``rising(z, c)`` up to the mode ``c``, ``falling(z, c)`` from there."""
    left = (bare(z) < bare(c)) | (bare(c) == 1)
    z, c = z + 0 * bare(c), c + 0 * bare(z)
    return where(
        left, rising(where(left, z, 0.5), where(left, c, 0.5)), falling(where(left, 0.5, z), where(left, 0.5, c))
    )


def _triang_between(z: Any, c: Any) -> Any:
    """``1 - c`` times the probability below ``z`` beyond the mode ``c``."""
    return z - c + z * (1 - z)


def _triang_point(p: Any, q: Any, c: Any) -> Any:
    """The point with the probability ``p`` below and ``q`` above."""
    return _triang(p, c, lambda p, c: np.sqrt(c * p), lambda p, c: (c + p * (1 - c)) / (1 + np.sqrt((1 - c) * q)))


def _mapped(
    name: str,
    logpdf: Part,
    base: Continuous,
    to: Formula,
    back: Formula,
    mean: Part,
    var: Part,
    entropy: Part,
    *,
    of: Formula = lambda *a: (),
    falls: bool = False,
    tails: tuple[Part | None, Part | None] = (None, None),
    **options: Any,
) -> Continuous:
    """The distribution of ``z = back(y, *shapes)`` where ``y = to(z, *shapes)`` is ``base``'s with the parameters
    ``of(*shapes)``; ``to`` rises or ``falls``. Probabilities, their logarithms and inverses are the base's.
    """
    at: Formula = lambda part: lambda z, *a: part(to(z, *a), *of(*a))
    inverse: Formula = lambda part: lambda q, *a: back(part(q, *of(*a)), *a)
    below, above = (base._cdf, base._logcdf, base._ppf), (base._sf, base._logsf, base._isf)
    (cdf, logcdf, ppf), (sf, logsf, isf) = (above, below) if falls else (below, above)
    options |= {} if tails[0] else {"logcdf": at(logcdf)}
    options |= {} if tails[1] else {"logsf": at(logsf)}
    parts = at(cdf), inverse(ppf), inverse(isf)
    return Continuous(name, logpdf, *parts, mean, var, entropy, sf=at(sf), tails=tails, **options)


def _finite(*shapes: Any) -> Any:
    return reduce(and_, (np.isfinite(shape) for shape in shapes))


_HALF_LINE = (0.0, np.inf)

# --- the rows: name, logpdf, cdf, ppf, isf, mean, var, entropy ------------------------------------------------------

beta = Continuous(
    "beta",
    _beta_logpdf,
    lambda z, a, b: special.betainc(a, b, z),
    lambda q, a, b: beta_ppf(a, b, q),
    lambda q, a, b: beta_isf(a, b, q),
    lambda a, b: a / (a + b),
    lambda a, b: a * b / ((a + b) ** 2 * (a + b + 1)),
    _beta_entropy,
    shapes="a b",
    support=(0.0, 1.0),
    sf=lambda z, a, b: special.betaincc(a, b, z),
    tails=(lambda z, a, b: _log_beta(False, a, b, z), lambda z, a, b: _log_beta(True, a, b, z)),
)
cauchy = Continuous(
    "cauchy",
    lambda z: -log(pi) - log1p_square(z),
    lambda z: np.arctan2(1.0, -z) / pi,
    *_either_side(lambda q: 1 / np.tan(pi * q)),
    lambda: np.nan,
    lambda: np.nan,
    lambda: log(4 * pi),
    sf=lambda z: np.arctan2(1.0, z) / pi,
)
chi2 = Continuous(
    "chi2",
    lambda z, df: _gamma_logpdf(0.5 * z, 0.5 * df) - log(2),
    lambda z, df: special.gammainc(0.5 * df, 0.5 * z),
    lambda q, df: 2 * special.gammaincinv(0.5 * df, q),
    lambda q, df: 2 * special.gammainccinv(0.5 * df, q),
    lambda df: df,
    lambda df: 2 * df,
    lambda df: _gamma_entropy(0.5 * df) + log(2),
    shapes="df",
    support=_HALF_LINE,
    sf=lambda z, df: special.gammaincc(0.5 * df, 0.5 * z),
    tails=(lambda z, df: _log_gamma_low(0.5 * df, 0.5 * z), lambda z, df: _log_gamma_high(0.5 * df, 0.5 * z)),
)
expon = Continuous(
    "expon",
    lambda z: -z,
    lambda z: -np.expm1(-z),
    lambda q: -np.log1p(-q),
    lambda q: -np.log(q),
    lambda: 1.0,
    lambda: 1.0,
    lambda: 1.0,
    support=_HALF_LINE,
    sf=lambda z: np.exp(-z),
    tails=(lambda z: _log(z) + np.log1p(-0.5 * z), None),
    logsf=lambda z: -z,
)
f = Continuous(
    "f",
    lambda z, n, d: (
        special.xlogy(0.5 * n - 1, z / (d / n + z))
        - np.log(d / n)
        - (0.5 * d + 1) * np.log1p(n / d * z)
        - special.betaln(0.5 * n, 0.5 * d)
    ),
    lambda z, n, d: special.fdtr(n, d, z),
    lambda q, n, d: f_point(n, d, q, beta_ppf, beta_isf),
    lambda q, n, d: f_point(n, d, q, beta_isf, beta_ppf),
    lambda n, d: _from(d, 2, lambda d: d / (d - 2), np.inf),
    _f_var,
    lambda n, d: _beta_entropy(0.5 * n, 0.5 * d) + np.log(d) - np.log(n) + 2 * _psi_gain(0.5 * d, 0.5 * n),
    shapes="dfn dfd",
    support=_HALF_LINE,
    sf=lambda z, n, d: special.fdtrc(n, d, z),
    tails=(lambda z, n, d: _log_f(False, z, n, d), lambda z, n, d: _log_f(True, z, n, d)),
)
gamma = Continuous(
    "gamma",
    _gamma_logpdf,
    lambda z, a: special.gammainc(a, z),
    lambda q, a: special.gammaincinv(a, q),
    lambda q, a: special.gammainccinv(a, q),
    lambda a: a,
    lambda a: a,
    _gamma_entropy,
    shapes="a",
    support=_HALF_LINE,
    sf=lambda z, a: special.gammaincc(a, z),
    tails=(lambda z, a: _log_gamma_low(a, z), lambda z, a: _log_gamma_high(a, z)),
)
gumbel_r = Continuous(
    "gumbel_r",
    gumbel_log_density.function,
    lambda z: np.exp(-np.exp(-z)),
    lambda q: -np.log(-np.log(q)),
    lambda q: -np.log(-np.log1p(-q)),
    lambda: _EULER,
    lambda: pi**2 / 6,
    lambda: _EULER + 1,
    sf=lambda z: -np.expm1(-np.exp(-z)),
    logcdf=lambda z: -np.exp(-z),
    tails=(None, lambda z: -z),
)
halfcauchy = Continuous(
    "halfcauchy",
    lambda z: log(2 / pi) - log1p_square(z),
    lambda z: 2 / pi * np.arctan(z),
    lambda q: np.tan(0.5 * pi * q),
    lambda q: 1 / np.tan(0.5 * pi * q),
    lambda: np.inf,
    lambda: np.inf,
    lambda: log(2 * pi),
    support=_HALF_LINE,
    sf=lambda z: 2 / pi * np.arctan2(1.0, z),
)
halflogistic = Continuous(
    "halflogistic",
    lambda z: log(2) + logistic_log_density.function(z),
    lambda z: np.tanh(0.5 * z),
    lambda q: 2 * np.arctanh(q),
    lambda q: -special.logit(0.5 * q),
    lambda: 2 * log(2),
    lambda: pi**2 / 3 - 4 * log(2) ** 2,
    lambda: 2 - log(2),
    support=_HALF_LINE,
    sf=lambda z: 2 * special.expit(-z),
    tails=(None, lambda z: log(2) - z),
)
halfnorm = Continuous(
    "halfnorm",
    lambda z: 0.5 * log(2 / pi) - 0.5 * z * z,
    lambda z: special.erf(z / 2**0.5),
    lambda q: special.ndtri(0.5 * (1 + q)),
    lambda q: -special.ndtri(0.5 * q),
    lambda: (2 / pi) ** 0.5,
    lambda: 1 - 2 / pi,
    lambda: 0.5 * log(pi / 2) + 0.5,
    support=_HALF_LINE,
    sf=lambda z: special.erfc(z / 2**0.5),
    tails=(None, lambda z: log(2) + special.log_ndtr(-z)),
)
invgamma = Continuous(
    "invgamma",
    lambda z, a: _gamma_logpdf(1 / z, a) - 2 * np.log(z),
    lambda z, a: special.gammaincc(a, 1 / z),
    lambda q, a: 1 / special.gammainccinv(a, q),
    lambda q, a: 1 / special.gammaincinv(a, q),
    lambda a: _from(a, 1, lambda a: 1 / (a - 1), np.inf),
    lambda a: _from(a, 2, lambda a: 1 / ((a - 1) ** 2 * (a - 2)), np.inf),
    lambda a: _gamma_entropy(a) - 2 * special.psi(a),
    shapes="a",
    support=_HALF_LINE,
    open=True,
    sf=lambda z, a: special.gammainc(a, 1 / z),
    tails=(lambda z, a: _log_gamma_high(a, 1 / z), lambda z, a: _log_gamma_low(a, 1 / z, -np.log(z))),
)
invgauss = Continuous(
    "invgauss",
    _invgauss_logpdf,
    lambda z, mu: _invgauss_half(z, mu, -1.0),
    _invgauss_ppf.function,
    _invgauss_isf.function,
    lambda mu: mu,
    lambda mu: mu**3,
    lambda mu: 0.5 + _HALF_LOG_TWO_PI + 1.5 * (np.log(mu) - special.hyperu(1.0, 1.0, 2 / mu)),
    shapes="mu",
    support=_HALF_LINE,
    open=True,
    sf=lambda z, mu: _invgauss_half(z, mu, 1.0),
    tails=(lambda z, mu: _invgauss_tail(z, mu, -1.0), lambda z, mu: _invgauss_tail(z, mu, 1.0)),
)
laplace = Continuous(
    "laplace",
    lambda z: -np.abs(z) - log(2),
    lambda z: _laplace_half(z, False),
    *_either_side(lambda q: -np.log(2 * q)),
    lambda: 0.0,
    lambda: 2.0,
    lambda: log(2) + 1,
    sf=lambda z: _laplace_half(z, True),
    tails=(lambda z: z - log(2), lambda z: -z - log(2)),
)
logistic = Continuous(
    "logistic",
    logistic_log_density.function,
    special.expit,
    special.logit,
    lambda q: -special.logit(q),
    lambda: 0.0,
    lambda: pi**2 / 3,
    lambda: 2.0,
    sf=lambda z: special.expit(-z),
    logcdf=special.log_expit,
    logsf=lambda z: special.log_expit(-z),
)
norm = Continuous(
    "norm",
    lambda z: -0.5 * z * z - _HALF_LOG_TWO_PI,
    special.ndtr,
    special.ndtri,
    lambda q: -special.ndtri(q),
    lambda: 0.0,
    lambda: 1.0,
    lambda: 0.5 + _HALF_LOG_TWO_PI,
    sf=lambda z: special.ndtr(-z),
    logcdf=special.log_ndtr,
    logsf=lambda z: special.log_ndtr(-z),
    draw=lambda source, shape: source.standard_normal(shape),
)
pareto = Continuous(
    "pareto",
    lambda z, b: np.log(b) - (b + 1) * np.log(z),
    lambda z, b: -np.expm1(-b * np.log(z)),
    lambda q, b: np.exp(-np.log1p(-q) / b),
    lambda q, b: q ** (-1 / b),
    lambda b: _from(b, 1, lambda b: b / (b - 1), np.inf),
    lambda b: _from(b, 2, lambda b: b / ((b - 1) ** 2 * (b - 2)), np.inf),
    lambda b: 1 + 1 / b - np.log(b),
    shapes="b",
    support=(1.0, np.inf),
    sf=lambda z, b: np.exp(-b * np.log(z)),
    logsf=lambda z, b: -b * np.log(z),
)
t = Continuous(
    "t",
    _t_logpdf,
    lambda z, df: special.stdtr(df, z),
    _t_ppf,
    lambda q, df: -_t_ppf(q, df),
    lambda df: where(bare(df) > 1, 0.0, np.inf),
    _t_var,
    _t_entropy,
    shapes="df",
    sf=lambda z, df: special.stdtr(df, -z),
    tails=(lambda z, df: _log_t_low(-z, df), _log_t_low),
)
triang = Continuous(
    "triang",
    lambda z, c: (
        log(2) + _triang(z, c, lambda z, c: _log(z) - np.log(c), lambda z, c: special.xlog1py(1.0, -z) - np.log1p(-c))
    ),
    lambda z, c: _triang(z, c, lambda z, c: z * z / c, lambda z, c: _triang_between(z, c) / (1 - c)),
    lambda q, c: _triang_point(q, 1 - q, c),
    lambda q, c: _triang_point(1 - q, q, c),
    lambda c: (1 + c) / 3,
    lambda c: (1 - c + c * c) / 18,
    lambda c: 0.5 - log(2) + 0 * c,
    shapes="c",
    support=(0.0, 1.0),
    valid=lambda c: (c >= 0) & (c <= 1),
    sf=lambda z, c: _triang(z, c, lambda z, c: _triang_between(1 - z, 1 - c) / c, lambda z, c: (1 - z) ** 2 / (1 - c)),
    tails=(
        lambda z, c: _triang(
            z, c, lambda z, c: 2 * _log(z) - np.log(c), lambda z, c: _log(_triang_between(z, c)) - np.log1p(-c)
        ),
        None,
    ),
)
uniform = Continuous(
    "uniform",
    lambda z: 0.0 * z,
    lambda z: z,
    lambda q: q,
    lambda q: 1 - q,
    lambda: 0.5,
    lambda: 1 / 12,
    lambda: 0.0,
    support=(0.0, 1.0),
)
vonmises = Continuous(
    "vonmises",
    _vonmises_logpdf,
    lambda z, kappa: _vonmises_share(z, kappa, False),
    _vonmises_ppf.function,
    lambda q, kappa: -_vonmises_ppf.function(q, kappa),
    lambda kappa: 0.0,
    lambda kappa: _vonmises_mean(kappa, lambda t: t * t),
    lambda kappa: (
        _log_i0e(kappa) + 2 * _HALF_LOG_TWO_PI + 2 * kappa * _vonmises_mean(kappa, lambda t: np.sin(0.5 * t) ** 2)
    ),
    shapes="kappa",
    valid=lambda kappa: kappa >= 0,
    sf=lambda z, kappa: _vonmises_share(z, kappa, True),
    tails=(lambda z, kappa: _vonmises_tail(-z, kappa), _vonmises_tail),
)

# --- monotone maps of the rows above --------------------------------------------------------------------------------

burr12 = _mapped(
    "burr12",
    lambda z, c, d: np.log(c * d) + special.xlogy(c - 1, z) - (d + 1) * _log1p_power(z, c),
    expon,
    lambda z, c, d: d * _log1p_power(z, c),
    lambda y, c, d: np.expm1(y / d) ** (1 / c),
    lambda c, d: _burr_moments(c, d, 1),
    lambda c, d: _burr_moments(c, d, 2),
    lambda c, d: 1 + 1 / d - np.log(c * d) + (1 - 1 / c) * (_EULER + special.psi(d)),
    shapes="c d",
    support=_HALF_LINE,
    tails=(lambda z, c, d: np.log(d) + c * _log(z), None),
)
chi = _mapped(
    "chi",
    _chi_logpdf,
    chi2,
    lambda z, df: z * z,
    lambda y, df: np.sqrt(y),
    lambda df: 2**0.5 * special.poch(0.5 * df, 0.5),
    lambda df: df - 2 * special.poch(0.5 * df, 0.5) ** 2,
    lambda df: _gamma_entropy(0.5 * df) - 0.5 * special.psi(0.5 * df) - 0.5 * log(2),
    of=lambda df: (df,),
    shapes="df",
    support=_HALF_LINE,
    tails=(
        lambda z, df: _log_gamma_low(0.5 * df, 0.5 * z * z, 2 * _log(z) - log(2)),
        lambda z, df: _log_gamma_high(0.5 * df, 0.5 * z * z),
    ),
)
fisk = _mapped(
    "fisk",
    lambda z, c: np.log(c) + special.xlogy(c - 1, z) - 2 * _log1p_power(z, c),
    logistic,
    lambda z, c: c * _log(z),
    lambda y, c: np.exp(y / c),
    lambda c: _burr_moments(c, 1.0, 1),
    lambda c: _burr_moments(c, 1.0, 2),
    lambda c: 2 - np.log(c),
    shapes="c",
    support=_HALF_LINE,
)
genextreme = _mapped(
    "genextreme",
    lambda z, c: -_log1p_over(-c, z, 1 - c) - np.exp(-_log1p_over(-c, z)),
    gumbel_r,
    lambda z, c: _log1p_over(-c, z),
    lambda y, c: y * special.exprel(-c * y),
    lambda c: _from(c, -1, _gev_mean, _past(c, -1)),
    lambda c: _from(c, -0.5, _gev_var, _past(c, -0.5)),
    lambda c: 1 + _EULER * (1 - c),
    shapes="c",
    support=lambda c: (-_reach(-c), _reach(c)),
    valid=_finite,
)
genpareto = _mapped(
    "genpareto",
    lambda z, c: -_log1p_over(c, z, 1 + c),
    expon,
    lambda z, c: _log1p_over(c, z),
    lambda y, c: y * special.exprel(c * y),
    lambda c: _from(-c, -1, lambda d: 1 / (1 + d), np.inf),
    lambda c: _from(-c, -0.5, lambda d: 1 / ((1 + d) ** 2 * (1 + 2 * d)), np.nan),
    lambda c: 1 + c,
    shapes="c",
    support=lambda c: (0.0, _reach(-c)),
    valid=_finite,
)
gumbel_l = _mapped(
    "gumbel_l",
    lambda z: gumbel_log_density.function(-z),
    gumbel_r,
    lambda z: -z,
    lambda y: -y,
    lambda: -_EULER,
    lambda: pi**2 / 6,
    lambda: _EULER + 1,
    falls=True,
)
levy = _mapped(
    "levy",
    lambda z: -1.5 * np.log(z) - 0.5 / z - _HALF_LOG_TWO_PI,
    chi2,
    lambda z: 1 / z,
    lambda y: 1 / y,
    lambda: np.inf,
    lambda: np.inf,
    lambda: 0.5 * (1 + 3 * _EULER + log(16 * pi)),
    of=lambda: (1.0,),
    falls=True,
    support=_HALF_LINE,
    open=True,
)
lognorm = _mapped(
    "lognorm",
    lambda z, s: -0.5 * (np.log(z) / s) ** 2 - np.log(s * z) - _HALF_LOG_TWO_PI,
    norm,
    lambda z, s: np.log(z) / s,
    lambda y, s: np.exp(s * y),
    lambda s: np.exp(0.5 * s * s),
    lambda s: np.expm1(s * s) * np.exp(s * s),
    lambda s: 0.5 + _HALF_LOG_TWO_PI + np.log(s),
    shapes="s",
    support=_HALF_LINE,
    open=True,
)
lomax = _mapped(
    "lomax",
    lambda z, c: np.log(c) - (c + 1) * np.log1p(z),
    expon,
    lambda z, c: c * np.log1p(z),
    lambda y, c: np.expm1(y / c),
    lambda c: _from(c, 1, lambda c: 1 / (c - 1), np.inf),
    lambda c: _from(c, 2, lambda c: c / ((c - 1) ** 2 * (c - 2)), np.inf),
    lambda c: 1 + 1 / c - np.log(c),
    shapes="c",
    support=_HALF_LINE,
)
maxwell = _mapped(
    "maxwell",
    lambda z: 0.5 * log(2 / pi) + 2 * _log(z) - 0.5 * z * z,
    chi,
    lambda z: z,
    lambda y: y,
    lambda: (8 / pi) ** 0.5,
    lambda: 3 - 8 / pi,
    lambda: _EULER + _HALF_LOG_TWO_PI - 0.5,
    of=lambda: (3.0,),
    support=_HALF_LINE,
)
powerlaw = _mapped(
    "powerlaw",
    lambda z, a: np.log(a) + special.xlogy(a - 1, z),
    expon,
    lambda z, a: -a * _log(z),
    lambda y, a: np.exp(-y / a),
    lambda a: a / (a + 1),
    lambda a: a / ((a + 2) * (a + 1) ** 2),
    lambda a: 1 - 1 / a - np.log(a),
    falls=True,
    shapes="a",
    support=(0.0, 1.0),
)
rayleigh = _mapped(
    "rayleigh",
    lambda z: np.log(z) - 0.5 * z * z,
    expon,
    lambda z: 0.5 * z * z,
    lambda y: np.sqrt(2 * y),
    lambda: (pi / 2) ** 0.5,
    lambda: 2 - pi / 2,
    lambda: 1 + 0.5 * _EULER - 0.5 * log(2),
    support=_HALF_LINE,
    tails=(lambda z: 2 * _log(z) - log(2), None),
)
weibull_min = _mapped(
    "weibull_min",
    lambda z, c: np.log(c) + special.xlogy(c - 1, z) - z**c,
    expon,
    lambda z, c: z**c,
    lambda y, c: y ** (1 / c),
    lambda c: special.gamma(1 + 1 / c),
    lambda c: special.gamma(1 + 2 / c) - special.gamma(1 + 1 / c) ** 2,
    lambda c: _EULER * (1 - 1 / c) - np.log(c) + 1,
    shapes="c",
    support=_HALF_LINE,
    tails=(lambda z, c: special.xlogy(c, z), None),
)
weibull_max = _mapped(
    "weibull_max",
    lambda z, c: weibull_min._logpdf(-z, c),
    weibull_min,
    lambda z, c: -z,
    lambda y, c: -y,
    lambda c: -weibull_min._mean(c),
    weibull_min._var,
    weibull_min._entropy,
    of=lambda c: (c,),
    falls=True,
    shapes="c",
    support=(-np.inf, 0.0),
)


class Discrete(_Named):
    """A distribution of counts; its methods take ``k``, the shape parameters and ``loc``, and broadcast.

    Parameters
    ----------
    name : str
        SciPy's name.
    logpmf, cdf, sf : callable
        Of counts, as an array, and the shape parameters.
    mean, var : callable
        Of the shape parameters.
    shapes : str
        The names of the shape parameters.
    least : int
        The smallest count.
    most : callable
        The greatest count for the shape parameters, as arrays; infinity if there is none.
    valid : callable
        Where the shape parameters, as arrays, are allowed.
    tails : (callable or None, callable or None)
        The logarithms of ``cdf`` and ``sf`` where these leave the range of floating point.
    entropy : callable, optional
        Of the shape parameters; else a sum over the counts.

    Examples
    --------
    >>> round(binom.pmf(1, 2, 0.5).item(), 6), round(poisson.logpmf(2, 1.5).item(), 6)
    (0.5, -1.382217)
    """

    def __init__(
        self,
        name: str,
        logpmf: Part,
        cdf: Part,
        sf: Part,
        mean: Part,
        var: Part,
        *,
        shapes: str,
        valid: Part,
        least: int = 0,
        most: Part = lambda *a: np.inf,
        tails: tuple[Part | None, Part | None] = (None, None),
        entropy: Part | None = None,
    ) -> None:
        parts: Any = logpmf, cdf, sf, mean, var, most, valid
        self._entropy: Any = entropy
        self._tails = tails
        self.name, self.shapes, self._least = name, shapes.split(), least
        self._logpmf, self._cdf, self._sf, self._mean, self._var, self._most, self._valid = parts

    def _parameters(self, args: tuple[Any, ...], loc: Any, named: Any) -> tuple[list[Any], Any, Any, list[Any]]:
        *given, loc = self._arranged(args, named, loc=loc)
        shapes = [a * 1.0 for a in _in_one_precision(*given)]
        if getattr(loc, "_node", None) is not None:
            raise NotDifferentiableError(f"{self.name}: loc moves whole numbers and has no gradient; give a number")
        given, good = shapes, self._valid(*(bare(a) for a in shapes))
        if not np.all(good):
            shapes = [where(good, a, 0.5) for a in shapes]
        return shapes, np.asarray(bare(loc)), good, given

    def _apply(
        self, formula: Formula, below: float, above: float, k: Any, args: Any, loc: Any, named: Any, mass: bool = False
    ) -> Any:
        shapes, middle, good, given = self._parameters(args, loc, named)
        at = np.asarray(bare(k), float) - middle
        counts, most = np.floor(at), self._most(*(bare(a) for a in shapes))
        under = (counts < self._least) | (mass & (counts != at))
        over = (counts > most) | (counts == np.inf) if mass else (counts >= most)
        outside = under | over
        stand_in = np.where(np.isfinite(most), np.maximum(np.minimum(self._least, most - 1), 0), self._least)
        made = formula(np.where(outside | np.isnan(at), stand_in, counts), *shapes)
        if np.any(outside):
            made = where(under, below, where(over, above, made))
        return _finished(made, good & ~np.isnan(at), np.result_type(*(a.dtype for a in shapes)), given)

    def logpmf(self, k: ArrayLike, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """The logarithm of the probability of ``k``; -inf where ``k`` is no count."""
        return self._apply(self._logpmf, -np.inf, -np.inf, k, args, loc, named, mass=True)  # type: ignore[no-any-return]

    def pmf(self, k: ArrayLike, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """The probability of ``k``."""
        return self._apply(lambda *a: np.exp(self._logpmf(*a)), 0.0, 0.0, k, args, loc, named, mass=True)  # type: ignore[no-any-return]

    def cdf(self, k: ArrayLike, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """The probability of at most ``k``."""
        return self._apply(self._cdf, 0.0, 1.0, k, args, loc, named)  # type: ignore[no-any-return]

    def sf(self, k: ArrayLike, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """The probability of more than ``k``."""
        return self._apply(self._sf, 1.0, 0.0, k, args, loc, named)  # type: ignore[no-any-return]

    def logcdf(self, k: ArrayLike, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """The logarithm of the probability of at most ``k``."""
        formula = lambda *a: _log_of_smaller(self._cdf(*a), self._sf(*a), self._tails[0], a)
        return self._apply(formula, -np.inf, 0.0, k, args, loc, named)  # type: ignore[no-any-return]

    def logsf(self, k: ArrayLike, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """The logarithm of the probability of more than ``k``."""
        formula = lambda *a: _log_of_smaller(self._sf(*a), self._cdf(*a), self._tails[1], a)
        return self._apply(formula, 0.0, -np.inf, k, args, loc, named)  # type: ignore[no-any-return]

    def _scipys(self, method: str, q: Any, args: Any, loc: Any, named: Any) -> Any:
        there = getattr(getattr(require("scipy.stats"), self.name), method)
        plain = {name: bare(value) for name, value in named.items()}
        return wrap(np.asarray(there(bare(q), *(bare(a) for a in args), loc=bare(loc), **plain)), None)

    def ppf(self, q: ArrayLike, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """SciPy's smallest count with a probability of at least ``q`` up to it: a constant, as any rounded number."""
        return self._scipys("ppf", q, args, loc, named)  # type: ignore[no-any-return]

    def isf(self, q: ArrayLike, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """SciPy's smallest count with a probability of at most ``q`` above it, a constant."""
        return self._scipys("isf", q, args, loc, named)  # type: ignore[no-any-return]

    def mean(self, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """The mean."""
        shapes, middle, good, given = self._parameters(args, loc, named)
        return _finished(self._mean(*shapes) + middle, good, np.result_type(*(a.dtype for a in shapes)), given)  # type: ignore[no-any-return]

    def var(self, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """The variance."""
        shapes, middle, good, given = self._parameters(args, loc, named)
        return _finished(self._var(*shapes) + 0 * middle, good, np.result_type(*(a.dtype for a in shapes)), given)  # type: ignore[no-any-return]

    def entropy(self, *args: object, loc: ArrayLike = 0, **named: object) -> Tensor:
        """The entropy, ``-E log pmf``, summed over the counts that matter.

        Raises
        ------
        ArgumentError
            If these are more than ten million.
        """
        shapes, _, good, given = self._parameters(args, loc, named)
        if self._entropy is not None:
            made = self._entropy(*shapes)
            return _finished(made, good, made.dtype, given)  # type: ignore[no-any-return]
        there, plain = getattr(require("scipy.stats"), self.name), [bare(a) for a in shapes]
        first, last = there.ppf(1e-16, *plain), there.isf(1e-16, *plain)
        margin = np.ceil(0.5 * (last - first)) + 10
        first, last = np.maximum(first - margin, self._least), last + margin
        most = np.max(last - first, initial=0.0, where=np.isfinite(last))
        if most * max(1, first.size) > 1e7:
            raise ArgumentError(f"{self.name}.entropy: a sum over {most:.3g} counts is too long")
        counts = first[..., None] + np.arange(most + 1)
        parts = [a[..., None] for a in shapes]
        term = self._apply(self._logpmf, -np.inf, -np.inf, counts, tuple(parts), 0, {}, mass=True)
        kept = np.isfinite(bare(term))
        made = -np.sum(np.exp(term) * where(kept, term, 0.0), axis=-1)
        return _finished(made, good, made.dtype, given)  # type: ignore[no-any-return]

    def rvs(
        self, *args: object, loc: ArrayLike = 0, size: Size = None, random_state: Source = None, **named: object
    ) -> Tensor:
        """SciPy's draws from an explicit Generator, as constants.

        Raises
        ------
        NotDifferentiableError
            If a parameter requires a gradient: a whole number does not move with it. ``logpmf`` of constant draws has
            the gradient that the score-function estimator asks for.
        """
        source = generator(f"{self.name}.rvs", "random_state", random_state, *args, loc, *named.values())
        if any(getattr(a, "_node", None) is not None for a in (*args, *named.values(), loc)):
            raise NotDifferentiableError(
                f"{self.name}.rvs: a draw of whole numbers has no gradient in the parameters; draw with plain numbers"
                " and differentiate logpmf of the draws (the score-function estimator)"
            )
        there = getattr(require("scipy.stats"), self.name)
        plain = {name: bare(value) for name, value in named.items()}  # type: ignore[arg-type]
        draw = partial(there.rvs, *map(bare, args), loc=bare(loc), size=size, **plain)
        return wrap(drawn(lambda source: np.asarray(draw(random_state=source)), source), None)  # type: ignore[no-any-return]


def _binom_logpmf(k: Any, n: Any, p: Any) -> Any:
    ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    plain = ways + special.xlogy(k, p) + special.xlog1py(n - k, -p)
    return _among_many(k, n - k, plain, lambda weight: weight(p, 1 - p))


def _nbinom_logpmf(k: Any, n: Any, p: Any) -> Any:
    ways = special.gammaln(n + k) - special.gammaln(k + 1) - special.gammaln(n)
    plain = ways + special.xlogy(n, p) + special.xlog1py(k, -p)
    return _among_many(k, n, plain, lambda weight: np.log(n / (n + k)) + weight(1 - p, p))


binom = Discrete(
    "binom",
    _binom_logpmf,
    lambda k, n, p: special.betaincc(k + 1, n - k, p),
    lambda k, n, p: special.betainc(k + 1, n - k, p),
    lambda n, p: n * p,
    lambda n, p: n * p * (1 - p),
    shapes="n p",
    valid=lambda n, p: (n >= 0) & (n == np.floor(n)) & (p >= 0) & (p <= 1),
    most=lambda n, p: n,
    tails=(lambda k, n, p: _log_beta(True, k + 1, n - k, p), lambda k, n, p: _log_beta(False, k + 1, n - k, p)),
)
bernoulli = Discrete(
    "bernoulli",
    lambda k, p: special.xlogy(k, p) + special.xlog1py(1 - k, -p),
    lambda k, p: 1 - p + 0 * k,
    lambda k, p: p + 0 * k,
    lambda p: p,
    lambda p: p * (1 - p),
    shapes="p",
    valid=lambda p: (p >= 0) & (p <= 1),
    most=lambda p: 1,
)
geom = Discrete(
    "geom",
    lambda k, p: special.xlog1py(k - 1, -p) + np.log(p),
    lambda k, p: -np.expm1(k * np.log1p(-p)),
    lambda k, p: np.exp(k * np.log1p(-p)),
    lambda p: 1 / p,
    lambda p: (1 - p) / p**2,
    shapes="p",
    valid=lambda p: (p > 0) & (p <= 1),
    least=1,
    tails=(None, lambda k, p: k * np.log1p(-p)),
    entropy=lambda p: -(special.xlogy(p, p) + special.xlog1py(1 - p, -p)) / p,
)
nbinom = Discrete(
    "nbinom",
    _nbinom_logpmf,
    lambda k, n, p: special.betainc(n, k + 1, p),
    lambda k, n, p: special.betaincc(n, k + 1, p),
    lambda n, p: n * (1 - p) / p,
    lambda n, p: n * (1 - p) / p**2,
    shapes="n p",
    valid=lambda n, p: (n > 0) & (p > 0) & (p <= 1),
    tails=(lambda k, n, p: _log_beta(False, n, k + 1, p), lambda k, n, p: _log_beta(True, n, k + 1, p)),
)
poisson = Discrete(
    "poisson",
    lambda k, mu: _gamma_logpdf(mu, k + 1),
    lambda k, mu: special.gammaincc(k + 1, mu),
    lambda k, mu: special.gammainc(k + 1, mu),
    lambda mu: mu,
    lambda mu: mu,
    shapes="mu",
    valid=lambda mu: mu >= 0,
    tails=(lambda k, mu: _log_gamma_high(k + 1, mu), lambda k, mu: _log_gamma_low(k + 1, mu)),
)


class Dirichlet:
    """``scipy.stats.dirichlet``: shares that sum to one along the first axis, with concentrations ``alpha`` (n,)."""

    def __repr__(self) -> str:
        return "autodiff.stats.dirichlet"

    def logpdf(self, x: ArrayLike, alpha: ArrayLike) -> Tensor:
        """The logarithm of the density at ``x`` (n,) or (n, k); of (n - 1) shares the last one follows.

        Examples
        --------
        >>> round(dirichlet.logpdf([0.25, 0.75], [1.0, 1.0]).item(), 6)
        0.0
        """
        shares, a = _floats(x), _tensor(alpha)
        if a.ndim != 1 or shares.shape[:1] not in (a.shape, (a.size - 1,)):
            raise ShapeError(
                f"dirichlet: concentrations of shape {a.shape} for shares of shape {shares.shape}; it needs (n,) and"
                " (n, ...)"
            )
        if shares.shape[0] == a.size - 1:
            shares = np.concatenate([shares, 1.0 - shares.sum(axis=0, keepdims=True)])
        if not (a._array > 0).all():
            raise ArgumentError(f"dirichlet: the concentrations must be positive, got {a._array}")
        slack = max(1e-9, 4 * float(np.finfo(shares.dtype).eps))
        if (shares._array < 0).any() or (np.abs(shares._array.sum(axis=0) - 1) > slack).any():
            raise ArgumentError("dirichlet: the shares must not be negative and must sum to one along the first axis")
        constant = special.gammaln(a).sum() - special.gammaln(a.sum())
        return (  # type: ignore[no-any-return]
            reductions.sum(special.xlogy((a - 1).reshape((-1,) + (1,) * (shares.ndim - 1)), shares), axis=0) - constant
        )

    def pdf(self, x: ArrayLike, alpha: ArrayLike) -> Tensor:
        """The density."""
        return np.exp(self.logpdf(x, alpha))  # type: ignore[return-value]


class MultivariateNormal:
    """``scipy.stats.multivariate_normal``: points (..., n), mean (n,) or a number, covariance (n, n), positive
    definite, (n,) variances or one number for all.

    As in SciPy, the mean, or else the covariance, says how many components a point has; for one component a vector is
    many points.
    """

    def __repr__(self) -> str:
        return "autodiff.stats.multivariate_normal"

    def _parts(self, mean: Any, cov: Any) -> tuple[int, Any, Any]:
        """The number of components, the mean, and the covariance as a matrix."""
        c = _tensor(1.0 if cov is None else cov) * 1.0
        middle = None if mean is None else _tensor(mean)
        if middle is not None:
            n = middle.size
        else:
            n = c.shape[0] if c.ndim else 1
        if (middle is not None and middle.ndim > 1) or c.ndim > 2:
            raise ShapeError(f"multivariate_normal: a mean of shape {np.shape(bare(mean))}, a covariance of {c.shape}")
        if c.ndim == 0:
            c = c * np.eye(n)
        elif c.ndim == 1:
            c = np.diag(c)
        if c.shape != (n, n):
            raise ShapeError(f"multivariate_normal: a covariance of shape {c.shape} for points of {n} components")
        return n, (np.zeros(n, c.dtype) if middle is None else middle.reshape(n)), c

    def _on_its_support(self, deviation: Any, cov: Any) -> Any:
        """The density on the span of a singular covariance, -inf beside it; SciPy's cut-off."""
        if getattr(cov, "_node", None) is not None:
            raise ArgumentError(
                "multivariate_normal: the density of a singular covariance jumps with its rank, so the covariance must"
                " be a constant"
            )
        values, vectors = np.linalg.eigh(np.asarray(bare(cov), float))
        kept = np.abs(values) > 1e6 * np.finfo(float).eps * np.max(np.abs(values))
        if np.any(values[kept] < 0):
            raise ArgumentError("multivariate_normal: the covariance must be positive semidefinite")
        whitened = deviation @ (vectors[:, kept] / np.sqrt(values[kept]))
        result = -0.5 * (
            np.sum(whitened * whitened, axis=-1) + np.sum(np.log(values[kept])) + 2 * kept.sum() * _HALF_LOG_TWO_PI
        )
        beside = np.linalg.norm(bare(deviation) @ vectors[:, ~kept], axis=-1) > 1e3 * np.finfo(float).eps
        return where(beside, -np.inf, result) if np.any(beside) else result

    def logpdf(
        self, x: ArrayLike, mean: ArrayLike | None = None, cov: ArrayLike = 1.0, allow_singular: bool = False
    ) -> Tensor:
        """The logarithm of the density, through one Cholesky factor.

        With ``allow_singular`` the covariance is a constant that may be singular: the density is then that on its span.

        Raises
        ------
        ArgumentError
            With ``allow_singular``, if the covariance is tracked or not positive semidefinite.
        ShapeError
            If points, mean and covariance do not fit.
        numpy.linalg.LinAlgError
            If the covariance is not positive definite.

        Examples
        --------
        >>> round(multivariate_normal.logpdf([0.0, 0.0], [0.0, 0.0], np.eye(2)).item(), 6)
        -1.837877
        >>> multivariate_normal.logpdf([0.0, 0.5, 1.0]).shape  # three points of one component
        (3,)
        """
        n, middle, c = self._parts(mean, cov)
        points = _tensor(x)
        if points.ndim == 0:
            points = points.reshape(1)
        elif points.ndim == 1 and n == 1:
            points = points[:, None]
        if points.shape[-1] != n:
            raise ShapeError(f"multivariate_normal: points of shape {points.shape} for {n} components")
        deviation = points - middle
        if allow_singular and n > 1:
            result = self._on_its_support(deviation, c)
        else:
            factor = linalg.cholesky(c)
            whitened = solve_triangular(factor, deviation.reshape(-1, n).T, lower=True)
            result = (
                -0.5 * reductions.sum(whitened * whitened, axis=0)
                - reductions.sum(np.log(np.diagonal(factor)))
                - n * _HALF_LOG_TWO_PI
            ).reshape(deviation.shape[:-1])
        # SciPy drops axes of length one.
        return result.reshape(tuple(k for k in result.shape if k != 1))  # type: ignore[no-any-return]

    def pdf(
        self, x: ArrayLike, mean: ArrayLike | None = None, cov: ArrayLike = 1.0, allow_singular: bool = False
    ) -> Tensor:
        """The density."""
        return np.exp(self.logpdf(x, mean, cov, allow_singular))  # type: ignore[return-value]

    def entropy(self, mean: ArrayLike | None = None, cov: ArrayLike = 1.0) -> Tensor:
        """``0.5 log det(2 pi e cov)``; the mean is of no account but for its length."""
        n, _, c = self._parts(mean, cov)
        return reductions.sum(np.log(np.diagonal(linalg.cholesky(c)))) + n * (_HALF_LOG_TWO_PI + 0.5)  # type: ignore[no-any-return]

    def rvs(
        self,
        mean: ArrayLike | None = None,
        cov: ArrayLike = 1.0,
        size: int | Sequence[int] = 1,
        random_state: Source = None,
    ) -> Tensor:
        """Draws that are differentiable in mean and covariance: ``mean + L z`` with the Cholesky factor L.

        Parameters
        ----------
        size : int or tuple
        random_state : numpy.random.Generator or int
            Must be given.

        Returns
        -------
        Tensor of shape (*size, n), without axes of length one
        """
        n, middle, c = self._parts(mean, cov)
        source = generator("multivariate_normal.rvs", "random_state", random_state, mean, cov)
        z = drawn(np.random.Generator.standard_normal, source, (*np.atleast_1d(size).tolist(), n))
        made = middle + z @ linalg.cholesky(c).T
        return made.reshape(tuple(k for k in made.shape if k != 1))  # type: ignore[no-any-return]


dirichlet = Dirichlet()
multivariate_normal = MultivariateNormal()
