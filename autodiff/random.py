"""Random numbers by an explicit generator: NumPy's draws, as functions of their parameters.

A draw is the distribution's standard draw, a constant, put through a differentiable map of the parameters: the
reparametrisation ``loc + scale * z`` (Kingma and Welling 2014, "Auto-encoding variational Bayes"). So the gradient of
an expectation in ``loc`` and ``scale`` is the mean of the gradients. Names, argument order and values are those of
:class:`numpy.random.Generator` with the generator given by ``rng=``; distributions without such a map (integers,
Poisson) have no gradient in their parameters and are drawn with NumPy itself.

Rows are put in another order by an index that is drawn: :func:`permutation`, :func:`choice` and :func:`shuffle` are
what ``np.random.shuffle(t)`` cannot be, since NumPy asks for an array there or exchanges views row by row.

Under ``vmap`` a function that draws with parameters of its example, or from them, runs once per example, so that every
example has a draw of its own. What does not depend on the example is drawn once, as by NumPy's generator.
"""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.batching import Lanes
from autodiff.core.backward import Unbatchable
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.ops import assignment
from autodiff.ops.common import bare, drawn
from autodiff.ops.shaping import array

if TYPE_CHECKING:
    from autodiff.results import Size, Source
    from autodiff.signatures import ArrayLike, Tensor

__all__ = [
    "choice",
    "default_rng",
    "exponential",
    "gumbel",
    "laplace",
    "logistic",
    "lognormal",
    "multivariate_normal",
    "normal",
    "permutation",
    "rayleigh",
    "shuffle",
    "standard_normal",
    "uniform",
    "weibull",
]

default_rng = np.random.default_rng


def generator(name: str, argument: str, given: Any, *parameters: Any) -> np.random.Generator:
    """The source of the draws, which the caller names."""
    if any(bare(value).__class__ is Lanes for value in parameters):
        raise Unbatchable
    if isinstance(given, np.random.Generator):
        return given
    seeds = int | np.integer | np.random.SeedSequence | np.random.BitGenerator
    if isinstance(given, seeds) and not isinstance(given, bool):
        return np.random.default_rng(given)
    raise ArgumentError(
        f"{name}: {argument}= must be a numpy.random.Generator (numpy.random.default_rng(seed)) or a seed, got"
        f" {type(given).__name__}"
    )


def shape_of_draws(name: str, size: Any, *parameters: Any) -> tuple[int, ...]:
    """``size``, in which there must be a draw of its own for each element of the parameters, or by default their shape.

    Raises
    ------
    ShapeError
        If they do not fit.
    """
    shapes = [np.shape(bare(p)) for p in parameters]
    try:
        shape = np.broadcast_shapes(*shapes)
        wanted = shape if size is None else tuple(np.atleast_1d(size).tolist())
        if np.broadcast_shapes(shape, wanted) == wanted:
            return wanted
    except ValueError:
        pass
    raise ShapeError(f"{name}: size={size} for parameters of shapes {', '.join(map(str, shapes))}")


def _standard(name: str, rng: Any, method: str, size: Any, scale: Any = 1.0, *others: Any) -> Any:
    """A draw with the standard parameters, of ``size`` or of the parameters' broadcast shape: a constant array."""
    parameters = scale, *others
    source = generator(f"random.{name}", "rng", rng, *parameters)
    if np.any(np.less(bare(scale), 0)):
        raise ArgumentError(f"random.{name}: the scale must not be negative, as NumPy's")
    return drawn(methodcaller(method, size=shape_of_draws(f"random.{name}", size, *parameters)), source)


def normal(loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, size: Size = None, *, rng: Source) -> Tensor:
    """Normal numbers, ``loc + scale * z``.

    Parameters
    ----------
    loc, scale : array_like or Tensor
        Mean and standard deviation.
    size : int or tuple of int, optional
        Default: the parameters' broadcast shape.
    rng : numpy.random.Generator or int
        The generator, or a seed for a new one.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError, ShapeError
        If ``rng`` is neither, ``scale`` is negative, or ``size`` has no room for the parameters' shape.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> mu = autodiff.tensor(3.0, requires_grad=True)
    >>> x = autodiff.random.normal(mu, 1.0, size=4, rng=np.random.default_rng(0))
    >>> x.sum().backward()
    >>> mu.grad
    array(4.)
    """
    return array(_standard("normal", rng, "standard_normal", size, scale, loc)) * array(scale) + array(loc)  # type: ignore[no-any-return]


def standard_normal(size: Size = None, *, rng: Source) -> Tensor:
    """Normal numbers of mean 0 and standard deviation 1, a constant Tensor."""
    return array(_standard("standard_normal", rng, "standard_normal", size))  # type: ignore[no-any-return]


def uniform(low: ArrayLike = 0.0, high: ArrayLike = 1.0, size: Size = None, *, rng: Source) -> Tensor:
    """Uniform numbers, ``low + (high - low) * u``; arguments as :func:`normal`."""
    width = array(high) - array(low)
    return array(low) + width * array(_standard("uniform", rng, "random", size, width))  # type: ignore[no-any-return]


def exponential(scale: ArrayLike = 1.0, size: Size = None, *, rng: Source) -> Tensor:
    """Exponential numbers of mean ``scale``; arguments as :func:`normal`."""
    return array(scale) * array(_standard("exponential", rng, "standard_exponential", size, scale))  # type: ignore[no-any-return]


def laplace(loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, size: Size = None, *, rng: Source) -> Tensor:
    """Laplace numbers; arguments as :func:`normal`."""
    return array(loc) + array(scale) * array(_standard("laplace", rng, "laplace", size, scale, loc))  # type: ignore[no-any-return]


def logistic(loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, size: Size = None, *, rng: Source) -> Tensor:
    """Logistic numbers; arguments as :func:`normal`."""
    return array(loc) + array(scale) * array(_standard("logistic", rng, "logistic", size, scale, loc))  # type: ignore[no-any-return]


def gumbel(loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, size: Size = None, *, rng: Source) -> Tensor:
    """Gumbel numbers; arguments as :func:`normal`. With ``argmax`` of ``logits + gumbel`` they draw categories."""
    return array(loc) + array(scale) * array(_standard("gumbel", rng, "gumbel", size, scale, loc))  # type: ignore[no-any-return]


def lognormal(mean: ArrayLike = 0.0, sigma: ArrayLike = 1.0, size: Size = None, *, rng: Source) -> Tensor:
    """Numbers whose logarithm is normal; arguments as :func:`normal`."""
    return np.exp(normal(mean, sigma, size, rng=rng))  # type: ignore[return-value]


def rayleigh(scale: ArrayLike = 1.0, size: Size = None, *, rng: Source) -> Tensor:
    """Rayleigh numbers, ``scale * sqrt(2 e)`` with ``e`` exponential; arguments as :func:`normal`."""
    e = _standard("rayleigh", rng, "standard_exponential", size, scale)
    return array(scale) * np.sqrt(2 * e)  # type: ignore[no-any-return]


def weibull(a: ArrayLike, size: Size = None, *, rng: Source) -> Tensor:
    """Weibull numbers of shape ``a``, ``e ** (1 / a)`` with ``e`` exponential; other arguments as :func:`normal`."""
    return array(_standard("weibull", rng, "standard_exponential", size, a)) ** (1.0 / array(a))  # type: ignore[no-any-return]


def multivariate_normal(mean: ArrayLike, cov: ArrayLike, size: Size = None, *, rng: Source) -> Tensor:
    """Normal vectors, ``mean + L z`` with the Cholesky factor ``L`` of ``cov``.

    Parameters
    ----------
    mean : array_like or Tensor, shape (n,)
    cov : array_like or Tensor, shape (n, n)
        Positive definite.
    size : int or tuple of int, optional
        How many vectors.
    rng : numpy.random.Generator or int

    Returns
    -------
    Tensor, shape (*size, n)
    """
    lead = () if size is None else tuple(np.atleast_1d(size))
    shape = (*lead, np.shape(bare(mean))[-1])  # type: ignore[arg-type, misc]
    z = drawn(
        np.random.Generator.standard_normal, generator("random.multivariate_normal", "rng", rng, mean, cov), shape
    )
    return array(mean) + z @ np.linalg.cholesky(array(cov)).T  # type: ignore[no-any-return]


def permutation(x: ArrayLike, axis: int = 0, *, rng: Source) -> Tensor:
    """A copy with the slices along ``axis`` in random order, differentiable; of an integer the order itself.

    Parameters
    ----------
    x : int, array_like or Tensor
    axis : int
    rng : numpy.random.Generator or int

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.random.permutation(autodiff.tensor([1.0, 2.0, 3.0]), rng=np.random.default_rng(0))
    tensor([3., 1., 2.])
    """
    source = generator("random.permutation", "rng", rng, x)
    if isinstance(x, int | np.integer):
        return array(drawn(np.random.Generator.permutation, source, int(x)))  # type: ignore[no-any-return]
    t = array(x)
    return np.take(t, drawn(np.random.Generator.permutation, source, t.shape[axis]), axis=axis)  # type: ignore[no-any-return]


def shuffle(x: ArrayLike, axis: int = 0, *, rng: Source) -> None:
    """Put the slices of a Tensor along ``axis`` in random order, in place; gradients follow the elements."""
    if not hasattr(x, "_node"):
        raise ArgumentError("random.shuffle: pass a Tensor; NumPy's Generator.shuffle is for arrays and lists")
    assignment.assign(x, Ellipsis, permutation(x, axis, rng=rng))


def choice(
    a: ArrayLike,
    size: Size = None,
    replace: bool = True,
    p: ArrayLike | None = None,
    axis: int = 0,
    shuffle: bool = True,
    *,
    rng: Source,
) -> Tensor:
    """Slices of ``a`` along ``axis``, drawn at random; differentiable in ``a``, not in the probabilities ``p``.

    Parameters
    ----------
    a : int, array_like or Tensor
    size : int or tuple of int, optional
    replace : bool
    p : array_like, optional
        Probabilities; a Tensor that requires a gradient is refused, since the choice is a step function of them.
    axis : int
    shuffle : bool
    rng : numpy.random.Generator or int
    """
    source = generator("random.choice", "rng", rng, a)
    if getattr(p, "_node", None) is not None:
        raise ArgumentError(
            "random.choice: what is chosen is a step function of p; pass p.data, and use log p times the result for a"
            " score-function gradient"
        )
    t = a if isinstance(a, int | np.integer) else array(a)
    n = int(t) if isinstance(t, int | np.integer) else t.shape[axis]
    picked = drawn(np.random.Generator.choice, source, n, size, replace, bare(p), 0, shuffle)
    return array(picked) if isinstance(t, int | np.integer) else np.take(t, picked, axis=axis)  # type: ignore[no-any-return, return-value]
