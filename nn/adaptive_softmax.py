"""Softmax over many classes, the rare ones in clusters of fewer features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.dispatch import bare
from nn import functional as F
from nn.containers import ModuleList, Sequential
from nn.functional.common import as_tensor
from nn.linear import Linear
from nn.module import Module

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class ASMoutput(NamedTuple):
    """The log-probability of every target, (N,) or (), and the mean of their negatives."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """The log-probability of target classes among many, of which the first are the frequent ones (Grave et al. 2016,
    arXiv 1609.04309).

    The frequent classes and one number for each cluster are scored by one layer, the classes of a cluster by two of
    fewer features; for a target only its own cluster is computed.

    Parameters
    ----------
    in_features, n_classes : int
    cutoffs : sequence of int
        Rising; the first is how many classes are frequent, and each begins a cluster.
    div_value : float
        The i-th cluster has ``in_features / div_value^(i + 1)`` features, rounded down.
    head_bias : bool
    dtype : dtype
    generator : numpy.random.Generator, optional
        Draws the initial values.

    Raises
    ------
    ArgumentError
        If the cutoffs are not rising integers between 0 and ``n_classes``, or ``div_value`` is not positive.

    Examples
    --------
    >>> layer = AdaptiveLogSoftmaxWithLoss(8, 100, [10, 40])
    >>> output, loss = layer(np.ones((3, 8), np.float32), [0, 20, 99])
    >>> output.shape, loss.shape, layer.log_prob(np.ones((3, 8), np.float32)).shape
    ((3,), (), (3, 100))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        cuts = list(cutoffs)
        whole = all(isinstance(cut, int | np.integer) for cut in cuts)
        if not cuts or not whole or cuts != sorted(set(cuts)) or cuts[0] <= 0 or cuts[-1] > n_classes - 1:
            raise ArgumentError(
                f"AdaptiveLogSoftmaxWithLoss: cutoffs are rising integers from 1 to {n_classes - 1}, got {cutoffs!r}"
            )
        if not div_value > 0:
            raise ArgumentError(f"AdaptiveLogSoftmaxWithLoss: div_value must be positive, got {div_value}")
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cuts, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cuts[0], len(cuts)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, dtype, generator)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            width = int(in_features // div_value ** (i + 1))
            inner = Linear(in_features, width, False, dtype, generator)
            self.tail.append(Sequential(inner, Linear(width, high - low, False, dtype, generator)))

    def forward(self, input: ArrayLike, target: ArrayLike) -> ASMoutput:
        """(N, in_features) and classes (N,), or (in_features,) and a class -> ``output``, the targets'
        log-probabilities, and ``loss``, the mean of their negatives.

        Raises
        ------
        ShapeError, ArgumentError
            If shapes do not fit, or a class is out of range.
        """
        x = as_tensor(input)
        classes = np.asarray(bare(target))
        if x.ndim not in (1, 2) or x.shape[-1] != self.in_features or classes.shape != x.shape[:-1]:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: input of shape {x.shape} and target of shape {classes.shape}; they need"
                f" (N, {self.in_features}) and (N,), or ({self.in_features},) and ()"
            )
        if classes.dtype.kind not in "iu" or (
            classes.size and not 0 <= classes.min() <= classes.max() < self.n_classes
        ):
            raise ArgumentError(
                f"AdaptiveLogSoftmaxWithLoss: targets are classes from 0 to {self.n_classes - 1}, got {classes!r}"
            )
        if x.ndim == 1:
            output, loss = self.forward(x[None], classes[None])
            return ASMoutput(output[0], loss)
        head: Any = F.log_softmax(self.head(x), 1)
        parts, places = [], []
        for i, (low, high) in enumerate(zip([0, *self.cutoffs], self.cutoffs, strict=False)):
            rows = np.flatnonzero((low <= classes) & (classes < high))
            if not rows.size:
                continue
            if i:
                own: Any = F.log_softmax(self.tail[i - 1](x[rows]), 1)
                part = head[rows, self.shortlist_size + i - 1] + own[np.arange(rows.size), classes[rows] - low]
            else:
                part = head[rows, classes[rows]]
            parts.append(part)
            places.append(rows)
        joined: Any = np.concatenate(parts) if parts else head[:, 0]
        output = joined[np.argsort(np.concatenate(places))] if parts else joined
        return ASMoutput(output, -output.mean())

    def log_prob(self, input: ArrayLike) -> Tensor:
        """(N, in_features) to the log-probabilities of all classes, (N, n_classes)."""
        x = as_tensor(input)
        head: Any = F.log_softmax(self.head(x), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            place = self.shortlist_size + i
            parts.append(F.log_softmax(tail(x), 1) + head[:, place : place + 1])
        return np.concatenate(parts, axis=1)  # type: ignore[return-value]

    def predict(self, input: ArrayLike) -> Tensor:
        """(N, in_features) to the most probable class of each, (N,)."""
        return Tensor(self.log_prob(input)._array.argmax(axis=1))
