"""CS231n's fully-connected network of any depth, with its own conventions for initialisation, dropout and
regularisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, ShapeError
from nn import functional as F
from nn.layers import Dropout
from nn.linear import Linear
from nn.module import Module
from nn.normalization import BatchNorm1d, LayerNorm

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["FullyConnectedNet"]

_NORMALIZATIONS = (None, "batchnorm", "layernorm")


class FullyConnectedNet(Module):
    """{affine - [norm] - relu - [dropout]} x (L - 1) - affine, with a softmax loss.

    Parameters
    ----------
    hidden_dims : sequence of int
        Width of every hidden layer.
    input_dim, num_classes : int
    dropout_keep_ratio : float in (0, 1]
        Probability of *keeping* a unit, as in CS231n; 1 for no dropout.
    normalization : None, "batchnorm" or "layernorm"
    reg : float
        L2 strength: ``loss`` adds ``0.5 * reg * sum(W^2)`` over the affine weights, not the biases, scales and shifts.
    weight_scale : float
        Standard deviation of the initial weights; biases start at 0.
    dtype : dtype
    seed : int, optional
        Of the initial weights and the dropout masks.

    Raises
    ------
    ArgumentError
        If an option is not allowed; the message lists what is.

    Examples
    --------
    >>> import numpy as np
    >>> net = FullyConnectedNet([20, 10], input_dim=6, num_classes=3, normalization="batchnorm", seed=0)
    >>> net(np.ones((4, 6))).shape
    (4, 3)
    """

    def __init__(
        self,
        hidden_dims: Sequence[int],
        input_dim: int = 3072,
        num_classes: int = 10,
        dropout_keep_ratio: float = 1,
        normalization: str | None = None,
        reg: float = 0.0,
        weight_scale: float = 1e-2,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if normalization not in _NORMALIZATIONS:
            raise ArgumentError(
                f"FullyConnectedNet: normalization must be one of {_NORMALIZATIONS}, got {normalization!r}"
            )
        if not 0 < dropout_keep_ratio <= 1:
            raise ArgumentError(f"FullyConnectedNet: dropout_keep_ratio must lie in (0, 1], got {dropout_keep_ratio}")
        if not (reg >= 0 and weight_scale >= 0):
            raise ArgumentError(
                f"FullyConnectedNet: reg and weight_scale must not be negative, got {reg} and {weight_scale}"
            )
        if any(n < 1 for n in (*hidden_dims, input_dim, num_classes)):
            raise ArgumentError(
                f"FullyConnectedNet: sizes must be positive, got {input_dim}, {list(hidden_dims)}, {num_classes}"
            )
        self.reg = reg
        self.dtype = np.dtype(dtype)
        self.input_dim = input_dim
        generator = np.random.default_rng(seed)
        self._steps: list[Module | None] = []
        sizes = [input_dim, *hidden_dims, num_classes]
        for i, (n, m) in enumerate(pairwise(sizes), start=1):
            affine = Linear(n, m, dtype=dtype, generator=generator)
            affine.weight._rebind(generator.normal(0.0, weight_scale, (m, n)).astype(dtype))
            affine.bias._rebind(np.zeros(m, dtype))
            self._add(f"affine{i}", affine)
            if i == len(sizes) - 1:
                break
            if normalization == "batchnorm":
                self._add(f"norm{i}", BatchNorm1d(m, dtype=dtype))
            elif normalization == "layernorm":
                self._add(f"norm{i}", LayerNorm(m, dtype=dtype))
            self._steps.append(None)
            if dropout_keep_ratio < 1:
                self._add(
                    f"dropout{i}", Dropout(1 - dropout_keep_ratio, np.random.default_rng(generator.integers(2**63)))
                )

    def _add(self, name: str, module: Module) -> None:
        self.add_module(name, module)
        self._steps.append(module)

    def forward(self, X: ArrayLike) -> Tensor:
        """Scores.

        Parameters
        ----------
        X : (N, d1, ..., dk)
            Of ``input_dim`` numbers per example; cast to the network's dtype.

        Returns
        -------
        Tensor, (N, num_classes)
        """
        x = X if isinstance(X, Tensor) else np.asarray(X)
        if x.ndim < 1 or (x.size != x.shape[0] * self.input_dim):
            raise ShapeError(f"FullyConnectedNet: X of shape {x.shape}; it needs {self.input_dim} numbers per example")
        x = x.reshape(x.shape[0], self.input_dim)
        if x.dtype != self.dtype:
            x = x.astype(self.dtype)
        for step in self._steps:
            x = F.relu(x) if step is None else step(x)
        return x  # type: ignore[return-value]

    def loss(self, X: ArrayLike, y: ArrayLike) -> Tensor:
        """Mean softmax loss plus ``0.5 * reg * sum(W^2)`` over the affine weights.

        Parameters
        ----------
        X : (N, d1, ..., dk)
        y : int (N,)
            Classes.

        Returns
        -------
        Tensor
            A scalar.
        """
        total = F.cross_entropy(self(X), y)
        if self.reg:
            for step in self._steps:
                if isinstance(step, Linear):
                    total = total + (0.5 * self.reg) * np.square(step.weight).sum()
        return total
