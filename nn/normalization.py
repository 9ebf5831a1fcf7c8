"""Normalisation layers: parameters and running statistics over the fused primitives."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.errors import ArgumentError, ShapeError
from nn import functional as F
from nn.module import Module
from nn.parameter import Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm"]


class _BatchNorm(Module):
    """Normalise every channel over the batch and all positions.

    Parameters
    ----------
    num_features : int
        Channels, C.
    eps : float
        Added to the variance inside the root.
    momentum : float or None
        ``running = (1 - momentum) * running + momentum * batch``; None for the cumulative average over all batches.
    affine : bool
        Learn a scale and a shift.
    track_running_stats : bool
        False: evaluation, too, uses the batch's statistics.
    dtype : dtype
    convention : {"torch", "cs231n"}
        "torch" stores the unbiased variance and starts it at 1. "cs231n" stores the biased one, starts it at 0, and takes ``momentum`` as
        the share of the *old* value (0.9 there is 0.1 in PyTorch).

    Attributes
    ----------
    weight, bias : Parameter (C,) or None
    running_mean, running_var : buffer (C,) or None
    num_batches_tracked : buffer, int64 scalar, or None
    """

    _ndims: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = np.float32,
        convention: str = "torch",
    ) -> None:
        super().__init__()
        if convention not in ("torch", "cs231n"):
            raise ArgumentError(f"{type(self).__name__}: convention must be 'torch' or 'cs231n', got {convention!r}")
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.convention = convention
        self.register_parameter("weight", Parameter(np.ones(num_features, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(num_features, dtype)) if affine else None)
        start = np.ones if convention == "torch" else np.zeros
        self.register_buffer("running_mean", Tensor(np.zeros(num_features, dtype)) if track_running_stats else None)
        self.register_buffer("running_var", Tensor(start(num_features, dtype)) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", Tensor(np.array(0)) if track_running_stats else None)

    def forward(self, input: Any) -> Tensor:
        """(N, C) or (N, C, ...) to the same shape."""
        x = input if isinstance(input, Tensor) else np.asarray(input)
        if x.ndim not in self._ndims or x.shape[1] != self.num_features:
            wanted = " or ".join(f"(N, {self.num_features}{', ...' if n > 2 else ''}) with {n} axes" for n in self._ndims)
            raise ShapeError(f"{type(self).__name__}: input of shape {x.shape}; it needs {wanted}")
        rate = 0.0
        if self.training and self.track_running_stats:
            self.num_batches_tracked.data = self.num_batches_tracked.data + 1
            if self.momentum is None:
                rate = 1.0 / float(self.num_batches_tracked.item())
            else:
                rate = self.momentum if self.convention == "torch" else 1.0 - self.momentum
        batch = self.training or not self.track_running_stats
        running = (self.running_mean, self.running_var)
        return F.batch_norm(
            x, *running, self.weight, self.bias, batch, rate, self.eps, ddof=1 if self.convention == "torch" else 0
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}" + ("" if self.convention == "torch" else ", convention='cs231n'")
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L); options as in :class:`_BatchNorm`."""

    _ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W); options as in :class:`_BatchNorm`."""

    _ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W); options as in :class:`_BatchNorm`."""

    _ndims = (5,)


class LayerNorm(Module):
    """Normalise every example over its last axes.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last axes' lengths.
    eps : float
    elementwise_affine : bool
        Learn a scale and, with ``bias``, a shift.
    bias : bool
    dtype : dtype

    Attributes
    ----------
    weight, bias : Parameter of normalized_shape, or None
    """

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True, dtype: Any = np.float32
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", Parameter(np.ones(shape, dtype)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(np.zeros(shape, dtype)) if elementwise_affine and bias else None)

    def forward(self, input: Any) -> Tensor:
        """(..., *normalized_shape) to the same shape."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
