"""Densities and distribution functions of scipy.stats, differentiable: ``autodiff.stats.norm.logpdf(x, loc, scale)``.
Needs SciPy.

SciPy's distributions are compiled for arrays and see no Tensor; these are the same formulas over
:mod:`autodiff.special`, with SciPy's names and argument order, for arrays and Tensors alike. Outside the support a
density is 0, and so is its gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi
from typing import Any

import numpy as np

from autodiff import special
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.ops import linalg, reductions
from autodiff.ops.common import bare
from autodiff.ops.elementwise import where
from autodiff.ops.scipy_functions import solve_triangular
from autodiff.ops.shaping import _tensor

__all__ = [
    "Continuous",
    "beta",
    "chi2",
    "dirichlet",
    "expon",
    "gamma",
    "laplace",
    "logistic",
    "multivariate_normal",
    "norm",
    "poisson",
    "t",
    "uniform",
]

_HALF_LOG_TWO_PI = 0.5 * log(2 * pi)
Formula = Callable[..., Any]


class Continuous:
    """A location-scale family on the real line; its methods take ``x``, the shape parameters, ``loc`` and ``scale``,
    and broadcast.

    Parameters
    ----------
    name : str
        SciPy's name.
    logpdf, cdf : callable
        Of the standardised variable and the shape parameters.
    shapes : int
        The number of shape parameters.
    support : (float, float)
        Of the standardised variable.
    sf, logcdf, logsf : callable, optional
        Where they can be had more precisely than from ``cdf``.

    Examples
    --------
    >>> round(norm.logpdf(0.0).item(), 6), round(expon.cdf(-1.0).item(), 6)
    (-0.918939, 0.0)
    """

    def __init__(
        self,
        name: str,
        logpdf: Formula,
        cdf: Formula,
        *,
        shapes: int = 0,
        support: tuple[float, float] = (-np.inf, np.inf),
        sf: Formula | None = None,
        logcdf: Formula | None = None,
        logsf: Formula | None = None,
    ) -> None:
        upper = sf or (lambda *a: 1.0 - cdf(*a))
        self.name = name
        self._shapes = shapes
        self._support = support
        self._logpdf, self._cdf, self._sf = logpdf, cdf, upper
        self._logcdf = logcdf or (lambda *a: np.log(cdf(*a)))
        self._logsf = logsf or (lambda *a: np.log(upper(*a)))

    def __repr__(self) -> str:
        return f"autodiff.stats.{self.name}"

    def _apply(
        self, formula: Formula, below: float, above: float, x: Any, args: tuple[Any, ...], loc: Any, scale: Any
    ) -> Any:
        """``formula`` of the standardised variable, the shape parameters and the scale; constants below and above the
        support.
        """
        if not self._shapes <= len(args) <= self._shapes + 2:
            raise ArgumentError(
                f"{self.name}: takes {self._shapes} shape parameters, then loc and scale; got {len(args)} arguments"
                " after x"
            )
        shapes, rest = [_tensor(a) for a in args[: self._shapes]], args[self._shapes :]
        middle = _tensor(rest[0] if rest else loc)
        width = _tensor(rest[1] if len(rest) > 1 else scale)
        z = (_tensor(x) - middle) / width
        low, high = self._support
        under, over = z.data < low, z.data > high
        if not (np.any(under) or np.any(over)):
            return formula(z, *shapes, width)
        # Some point of the support stands in for what lies outside, so that no formula meets what it is not defined
        # for.
        inside = low + 0.5 if np.isfinite(low) else 0.0
        return where(under, below, where(over, above, formula(where(under | over, inside, z), *shapes, width)))

    def logpdf(self, x: Any, *args: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """The logarithm of the density; -inf outside the support."""
        return self._apply(
            lambda z, *a: self._logpdf(z, *a[:-1]) - np.log(a[-1]), -np.inf, -np.inf, x, args, loc, scale
        )

    def pdf(self, x: Any, *args: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """The density."""
        return self._apply(lambda z, *a: np.exp(self._logpdf(z, *a[:-1])) / a[-1], 0.0, 0.0, x, args, loc, scale)

    def cdf(self, x: Any, *args: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """The probability of at most ``x``."""
        return self._apply(lambda z, *a: self._cdf(z, *a[:-1]), 0.0, 1.0, x, args, loc, scale)

    def sf(self, x: Any, *args: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """The probability of more than ``x``."""
        return self._apply(lambda z, *a: self._sf(z, *a[:-1]), 1.0, 0.0, x, args, loc, scale)

    def logcdf(self, x: Any, *args: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """The logarithm of the probability of at most ``x``."""
        return self._apply(lambda z, *a: self._logcdf(z, *a[:-1]), -np.inf, 0.0, x, args, loc, scale)

    def logsf(self, x: Any, *args: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """The logarithm of the probability of more than ``x``."""
        return self._apply(lambda z, *a: self._logsf(z, *a[:-1]), 0.0, -np.inf, x, args, loc, scale)


def _t_logpdf(z: Any, df: Any) -> Any:
    return -0.5 * (df + 1) * np.log1p(z * z / df) - 0.5 * np.log(df) - special.betaln(0.5 * df, 0.5)


norm = Continuous(
    "norm",
    lambda z: -0.5 * z * z - _HALF_LOG_TWO_PI,
    special.ndtr,
    sf=lambda z: special.ndtr(-z),
    logcdf=special.log_ndtr,
    logsf=lambda z: special.log_ndtr(-z),
)
t = Continuous("t", _t_logpdf, lambda z, df: special.stdtr(df, z), shapes=1, sf=lambda z, df: special.stdtr(df, -z))
gamma = Continuous(
    "gamma",
    lambda z, a: special.xlogy(a - 1, z) - z - special.gammaln(a),
    lambda z, a: special.gammainc(a, z),
    shapes=1,
    support=(0.0, np.inf),
    sf=lambda z, a: special.gammaincc(a, z),
)
chi2 = Continuous(
    "chi2",
    lambda z, df: special.xlogy(0.5 * df - 1, z) - 0.5 * z - special.gammaln(0.5 * df) - 0.5 * log(2) * df,
    lambda z, df: special.gammainc(0.5 * df, 0.5 * z),
    shapes=1,
    support=(0.0, np.inf),
    sf=lambda z, df: special.gammaincc(0.5 * df, 0.5 * z),
)
beta = Continuous(
    "beta",
    lambda z, a, b: special.xlogy(a - 1, z) + special.xlog1py(b - 1, -z) - special.betaln(a, b),
    lambda z, a, b: special.betainc(a, b, z),
    shapes=2,
    support=(0.0, 1.0),
    sf=lambda z, a, b: special.betainc(b, a, 1 - z),
)
expon = Continuous(
    "expon", lambda z: -z, lambda z: -np.expm1(-z), support=(0.0, np.inf), sf=lambda z: np.exp(-z), logsf=lambda z: -z
)
laplace = Continuous(
    "laplace",
    lambda z: -np.abs(z) - log(2),
    lambda z: where(z.data > 0, 1 - 0.5 * np.exp(-np.abs(z)), 0.5 * np.exp(-np.abs(z))),
    sf=lambda z: where(z.data > 0, 0.5 * np.exp(-np.abs(z)), 1 - 0.5 * np.exp(-np.abs(z))),
)
logistic = Continuous(
    "logistic",
    lambda z: special.log_expit(z) + special.log_expit(-z),
    special.expit,
    sf=lambda z: special.expit(-z),
    logcdf=special.log_expit,
    logsf=lambda z: special.log_expit(-z),
)
uniform = Continuous("uniform", lambda z: 0.0 * z, lambda z: z, support=(0.0, 1.0))


class Poisson:
    """``scipy.stats.poisson``: counts ``k`` with mean ``mu``; differentiable in ``mu``."""

    def __repr__(self) -> str:
        return "autodiff.stats.poisson"

    def logpmf(self, k: Any, mu: Any) -> Any:
        """The logarithm of the probability of ``k``; -inf where ``k`` is no count.

        Examples
        --------
        >>> round(poisson.logpmf(2, 1.5).item(), 6)
        -1.382217
        """
        counts = np.asarray(bare(k), float)
        valid = (counts >= 0) & (counts == np.floor(counts))
        kept = np.where(valid, counts, 0.0)
        rate = _tensor(mu) * 1.0
        result = special.xlogy(kept, rate) - rate - special.gammaln(kept + 1).data
        return result if valid.all() else where(valid, result, -np.inf)

    def pmf(self, k: Any, mu: Any) -> Any:
        """The probability of ``k``."""
        return np.exp(self.logpmf(k, mu))

    def cdf(self, k: Any, mu: Any) -> Any:
        """The probability of at most ``k``."""
        counts = np.floor(np.asarray(bare(k), float))
        result = special.gammaincc(np.maximum(counts, 0.0) + 1, _tensor(mu) * 1.0)
        return result if (counts >= 0).all() else where(counts < 0, 0.0, result)


class Dirichlet:
    """``scipy.stats.dirichlet``: shares that sum to one along the first axis, with concentrations ``alpha`` (n,)."""

    def __repr__(self) -> str:
        return "autodiff.stats.dirichlet"

    def logpdf(self, x: Any, alpha: Any) -> Any:
        """The logarithm of the density at ``x`` (n,) or (n, k); of (n - 1) shares the last one follows.

        Examples
        --------
        >>> round(dirichlet.logpdf([0.25, 0.75], [1.0, 1.0]).item(), 6)
        0.0
        """
        shares, a = _tensor(x), _tensor(alpha)
        if a.ndim != 1 or shares.shape[:1] not in (a.shape, (a.size - 1,)):
            raise ShapeError(
                f"dirichlet: concentrations of shape {a.shape} for shares of shape {shares.shape}; it needs (n,) and"
                " (n, ...)"
            )
        if shares.shape[0] == a.size - 1:
            shares = np.concatenate([shares, 1.0 - shares.sum(axis=0, keepdims=True)])
        if (shares.data < 0).any() or (np.abs(shares.data.sum(axis=0) - 1) > 1e-9).any():
            raise ArgumentError("dirichlet: the shares must not be negative and must sum to one along the first axis")
        constant = special.gammaln(a).sum() - special.gammaln(a.sum())
        return (
            reductions.sum(special.xlogy((a - 1).reshape((-1,) + (1,) * (shares.ndim - 1)), shares), axis=0) - constant
        )

    def pdf(self, x: Any, alpha: Any) -> Any:
        """The density."""
        return np.exp(self.logpdf(x, alpha))


class MultivariateNormal:
    """``scipy.stats.multivariate_normal``: points (..., n), mean (n,) or a number, covariance (n, n), positive
    definite, or (n,) variances.
    """

    def __repr__(self) -> str:
        return "autodiff.stats.multivariate_normal"

    def _factor(self, n: int, cov: Any) -> Any:
        c = _tensor(cov) * 1.0
        if c.ndim == 0:
            c = c * np.eye(n)
        elif c.ndim == 1:
            c = np.diag(c)
        if c.shape != (n, n):
            raise ShapeError(f"multivariate_normal: a covariance of shape {c.shape} for points of {n} components")
        return linalg.cholesky(c)

    def _on_its_support(self, deviation: Any, cov: Any) -> Any:
        """The density on the span of a singular covariance, -inf beside it; SciPy's cut-off."""
        if getattr(cov, "_node", None) is not None:
            raise ArgumentError(
                "multivariate_normal: the density of a singular covariance jumps with its rank, so the covariance must"
                " be a constant"
            )
        c = np.asarray(bare(cov), float)
        values, vectors = np.linalg.eigh(np.diag(c) if c.ndim == 1 else c)
        kept = np.abs(values) > 1e6 * np.finfo(float).eps * np.max(np.abs(values))
        if np.any(values[kept] < 0):
            raise ArgumentError("multivariate_normal: the covariance must be positive semidefinite")
        whitened = deviation @ (vectors[:, kept] / np.sqrt(values[kept]))
        result = -0.5 * (
            np.sum(whitened * whitened, axis=-1) + np.sum(np.log(values[kept])) + 2 * kept.sum() * _HALF_LOG_TWO_PI
        )
        beside = np.linalg.norm(bare(deviation) @ vectors[:, ~kept], axis=-1) > 1e3 * np.finfo(float).eps
        return where(beside, -np.inf, result) if np.any(beside) else result

    def logpdf(self, x: Any, mean: Any = 0.0, cov: Any = 1.0, allow_singular: bool = False) -> Any:
        """The logarithm of the density, through one Cholesky factor.

        With ``allow_singular`` the covariance is a constant that may be singular: the density is then that on its span.

        Raises
        ------
        ArgumentError
            With ``allow_singular``, if the covariance is tracked or not positive semidefinite.
        numpy.linalg.LinAlgError
            If the covariance is not positive definite.

        Examples
        --------
        >>> round(multivariate_normal.logpdf([0.0, 0.0], [0.0, 0.0], np.eye(2)).item(), 6)
        -1.837877
        """
        deviation = _tensor(x) - mean
        n = deviation.shape[-1] if deviation.ndim else 1
        if allow_singular and np.ndim(bare(cov)):
            return self._on_its_support(deviation, cov)
        factor = self._factor(n, cov)
        columns = deviation.reshape(-1, n).T
        whitened = solve_triangular(factor, columns, lower=True)
        result = (
            -0.5 * reductions.sum(whitened * whitened, axis=0)
            - reductions.sum(np.log(np.diagonal(factor)))
            - n * _HALF_LOG_TWO_PI
        )
        return result.reshape(deviation.shape[:-1])

    def pdf(self, x: Any, mean: Any = 0.0, cov: Any = 1.0, allow_singular: bool = False) -> Any:
        """The density."""
        return np.exp(self.logpdf(x, mean, cov, allow_singular))

    def entropy(self, mean: Any = None, cov: Any = 1.0) -> Any:
        """``0.5 log det(2 pi e cov)``; the mean is of no account."""
        n = max(1, *np.shape(bare(cov))) if np.ndim(bare(cov)) else 1
        return reductions.sum(np.log(np.diagonal(self._factor(n, cov)))) + n * (_HALF_LOG_TWO_PI + 0.5)


poisson = Poisson()
dirichlet = Dirichlet()
multivariate_normal = MultivariateNormal()
