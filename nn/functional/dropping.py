"""Dropout: the mask is drawn here and handed to the primitive."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.ops.common import drawn
from nn.functional.activation import softmax
from nn.functional.common import as_number, as_tensor, for_axes
from nn.init import default_generator

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout", "gumbel_softmax"]


def _probability(name: str, p: Any) -> Any:
    """A probability as a number: what is drawn with it has no derivative."""
    p = as_number(name, "p", p)
    if not 0 <= p <= 1:
        raise ArgumentError(f"{name}: p must be a probability, 0 <= p <= 1, got {p}")
    return p


def dropout(input: Any, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None) -> Tensor:
    """Zero each element with probability ``p`` and scale the others by ``1 / (1 - p)``; the identity unless
    ``training``.

    Parameters
    ----------
    input : array_like or Tensor
    p : float
        Probability of dropping. CS231n's ``p`` is the probability of keeping, ``1 - p``.
    training : bool
    generator : numpy.random.Generator, optional
        Where the mask comes from; default the one of ``nn.init.manual_seed``.

    Examples
    --------
    >>> import numpy as np
    >>> dropout([1.0, 1.0], 0.5, generator=np.random.default_rng(3)).shape
    (2,)
    """
    p = _probability("dropout", p)
    x = as_tensor(input)
    if not training or p == 0:
        return x
    return fused.dropout.function(x, fused.dropout_mask(x.shape, p, default_generator(generator)), p=p)  # type: ignore[no-any-return]


def _channels(name: str, axes: int, input: Any, p: float, training: bool, generator: Any) -> Tensor:
    p = _probability(name, p)
    x = as_tensor(input)
    if x.ndim not in (axes + 1, axes + 2):
        raise ShapeError(f"{name}: input of shape {x.shape}; it needs (N, C) or (C,) and {axes} axes more")
    if not training or p == 0:
        return x
    shape = (*x.shape[: x.ndim - axes], *[1] * axes)
    kept = drawn(np.random.Generator.random, default_generator(generator), shape) >= p
    return x * (kept / (1 - p) if p < 1 else kept).astype(x.dtype)  # type: ignore[no-any-return]


def _dropout_over(axes: int) -> Any:
    def dropoutNd(
        input: Any, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None
    ) -> Tensor:
        """Zero whole channels (Tompson et al. 2015, arXiv 1411.4280).

        Parameters
        ----------
        input : (N, C, <L>) or (C, <L>)
        p, training, generator
            As of :func:`dropout`.

        Examples
        --------
        >>> dropoutNd(np.ones((2, 3, <4>)), training=False).shape
        (2, 3, <4>)
        """
        return _channels(f"dropout{axes}d", axes, input, p, training, generator)

    return for_axes(dropoutNd, axes)


dropout1d, dropout2d, dropout3d = map(_dropout_over, (1, 2, 3))


# What SELU tends to far on the negative side: -scale times alpha.
_SATURATED = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


def _alpha(name: str, input: Any, p: float, training: bool, shape: Any, generator: Any) -> Tensor:
    p = _probability(name, p)
    x = as_tensor(input)
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0  # type: ignore[no-any-return]
    kept = (drawn(np.random.Generator.random, default_generator(generator), shape(x)) >= p).astype(x.dtype)
    a = ((1 - p) * (1 + p * _SATURATED**2)) ** -0.5
    return x * (kept * a) + ((1 - kept) * (a * _SATURATED) - a * _SATURATED * p)  # type: ignore[no-any-return]


def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, generator: np.random.Generator | None = None
) -> Tensor:
    """Dropout for SELU: a dropped element becomes SELU's lowest value, and an affine map keeps mean 0 and variance 1
    (Klambauer et al. 2017, arXiv 1706.02515).

    Examples
    --------
    >>> alpha_dropout([1.0, 2.0], training=False).data
    array([1., 2.])
    """
    return _alpha("alpha_dropout", input, p, training, lambda x: x.shape, generator)


def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, generator: np.random.Generator | None = None
) -> Tensor:
    """:func:`alpha_dropout` of whole channels of (N, C, ...).

    Examples
    --------
    >>> feature_alpha_dropout(np.ones((2, 3, 4)), training=False).shape
    (2, 3, 4)
    """

    def channels(x: Tensor) -> tuple[int, ...]:
        if x.ndim < 2:
            raise ShapeError(f"feature_alpha_dropout: input of shape {x.shape}; it needs (N, C, ...)")
        return (*x.shape[:2], *[1] * (x.ndim - 2))

    return _alpha("feature_alpha_dropout", input, p, training, channels, generator)


def gumbel_softmax(
    logits: Any,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """A sample of the Gumbel-softmax distribution (Jang et al. 2016, arXiv 1611.01144).

    Parameters
    ----------
    logits : array_like or Tensor
    tau : float
        Temperature.
    hard : bool
        An indicator vector goes forward, the soft sample's gradient backward.
    eps : float
        Means nothing, as in PyTorch.
    dim : int
    generator : numpy.random.Generator, optional
        Default the one of ``nn.init.manual_seed``.

    Examples
    --------
    >>> gumbel_softmax([[1.0, 2.0]], hard=True).data.sum()
    np.float64(1.0)
    """
    x = as_tensor(logits)
    noise = drawn(np.random.Generator.gumbel, default_generator(generator), 0.0, 1.0, x.shape).astype(x.dtype)
    soft = softmax((x + noise) / tau, dim)
    if not hard:
        return soft
    best = np.expand_dims(soft._array.argmax(dim), dim)
    places = np.moveaxis(np.arange(x.shape[dim]).reshape(-1, *[1] * (x.ndim - 1)), 0, dim)
    ones = np.equal(places, best).astype(x.dtype)
    return soft + (ones - soft._array)  # type: ignore[no-any-return]
