"""Normalisation layers: parameters and running statistics over the fused primitives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autodiff import Tensor
from autodiff.arguments import refuse_negative, refuse_other
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.docstrings import of_kind
from nn import functional as F
from nn.functional.common import as_input
from nn.functional.normalization import as_shape
from nn.module import Module
from nn.parameter import Parameter

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "RMSNorm",
]


class ChannelNorm(Module):
    """What layers with a scale, a shift and running statistics per channel share: parameters, buffers and the check of
    the input. The buffer beside ``running_mean`` is called ``spread``, and its first value is ``start``.

    Parameters
    ----------
    num_features : int
        Channels, C.
    eps : float
    affine : bool
        Learn a scale and, with ``bias``, a shift.
    dtype : dtype
    bias : bool

    Attributes
    ----------
    weight, bias : Parameter (C,) or None
    running_mean, running_var : buffer (C,) or None
    num_batches_tracked : buffer, int64 scalar, or None
    """

    _ndims: ClassVar[tuple[int, ...]]  # how many axes an input may have
    #: Whether ``momentum=None`` makes the running statistics means over all batches; else it keeps them as they are.
    counts_batches: ClassVar[bool] = True

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        dtype: DTypeLike,
        bias: bool = True,
        spread: str = "running_var",
        start: float = 1.0,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ArgumentError(f"{type(self).__name__}: num_features must be positive, got {num_features}")
        refuse_negative(f"{type(self).__name__}: eps", eps)
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", Parameter(np.ones(num_features, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(num_features, dtype)) if affine and bias else None)
        self.register_buffer("running_mean", Tensor(np.zeros(num_features, dtype)) if track_running_stats else None)
        self.register_buffer(spread, Tensor(np.full(num_features, start, dtype)) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", Tensor(np.array(0)) if track_running_stats else None)
        self._start = {"running_mean": 0.0, spread: start, "num_batches_tracked": 0}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "_ndims" in cls.__dict__ or not hasattr(cls, "_ndims"):
            of_kind(cls, max(cls._ndims) - 2 if hasattr(cls, "_ndims") else None)

    def reset_running_stats(self) -> None:
        """Running statistics as they were before the first batch."""
        for name, start in self._start.items():
            held = self._buffers[name]
            if held is not None:
                held.data = np.full_like(held._array, start)

    def reset_parameters(self) -> None:
        """Statistics, scale and shift as they were before the first batch."""
        self.reset_running_stats()
        for name, start in (("weight", 1.0), ("bias", 0.0)):
            held = self._parameters[name]
            if held is not None:
                held.data = np.full_like(held._array, start)

    def _checked(self, input: Any) -> Any:
        x = as_input(input)
        if x.ndim not in self._ndims or x.shape[1] != self.num_features:
            wanted = " or ".join(
                f"(N, {self.num_features}{', ...' if n > 2 else ''}) with {n} axes" for n in self._ndims
            )
            raise ShapeError(f"{type(self).__name__}: input of shape {x.shape}; it needs {wanted}")
        return x

    def _rate(self) -> float:
        """The share that the batch at hand has in the running statistics."""
        if self.momentum is None:
            batches: int = self._buffers["num_batches_tracked"].item()
            return 1.0 / (batches + 1)
        return self.momentum

    def _count(self) -> None:
        """Count a batch that the running statistics hold now."""
        tracked = self._buffers["num_batches_tracked"]
        held = tracked._data
        tracked._data = held + held.dtype.type(1)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


of_kind(ChannelNorm, None)


class _BatchNorm(ChannelNorm):
    """Normalise every channel over the batch and all positions.

    Parameters
    ----------
    eps : float
        Added to the variance inside the root.
    momentum : float or None
        ``running = (1 - momentum) * running + momentum * batch``; None for the cumulative average over all batches.
    track_running_stats : bool
        False: evaluation, too, uses the batch's statistics.
    convention : {"torch", "cs231n"}
        "torch" stores the unbiased variance and starts it at 1. "cs231n" stores the biased one, starts it at 0, and
        takes ``momentum`` as the share of the *old* value (0.9 there is 0.1 in PyTorch).

    Examples
    --------
    >>> BatchNormNd(3)(np.ones((2, 3, <4>), np.float32)).shape
    (2, 3, <4>)
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: DTypeLike = np.float32,
        convention: str = "torch",
        *,
        bias: bool = True,
    ) -> None:
        refuse_other(type(self).__name__, "convention", convention, ("torch", "cs231n"))
        start = 1.0 if convention == "torch" else 0.0
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype, bias, start=start)
        self.convention = convention

    def forward(self, input: ArrayLike) -> Tensor:
        """(N, C) or (N, C, ...) to the same shape."""
        shape: tuple[int, ...] = input._data.shape if input.__class__ is Tensor else ()
        x = input if len(shape) in self._ndims and shape[1] == self.num_features else self._checked(input)
        training, tracking, torch = self.training, self.track_running_stats, self.convention == "torch"
        rate = 0.0
        if training and tracking:
            rate = self._rate()
            if not torch and self.momentum is not None:
                rate = 1.0 - rate
        parameters, buffers = self._parameters, self._buffers
        out = F.batch_norm(
            x,
            buffers["running_mean"],
            buffers["running_var"],
            parameters["weight"],
            parameters["bias"],
            training or not tracking,
            rate,
            self.eps,
            ddof=1 if torch else 0,
        )
        if training and tracking:
            self._count()
        return out

    def extra_repr(self) -> str:
        """The options."""
        return super().extra_repr() + ("" if self.convention == "torch" else ", convention='cs231n'")


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L): every channel over the batch and all positions."""

    _ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W): every channel over the batch and all positions."""

    _ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W): every channel over the batch and all positions."""

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

    Examples
    --------
    >>> LayerNorm(2)(np.array([[1.0, 3.0]], np.float32)).data.round(3)
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        refuse_negative("LayerNorm: eps", eps)
        shape = self.normalized_shape = as_shape("LayerNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.register_parameter("weight", Parameter(np.ones(shape, dtype)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(np.zeros(shape, dtype)) if elementwise_affine and bias else None)

    def forward(self, input: ArrayLike) -> Tensor:
        """``(..., *normalized_shape)`` to the same shape."""
        parameters = self._parameters
        return F.layer_norm(input, self.normalized_shape, parameters["weight"], parameters["bias"], self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """Divide every example by the root of the mean square over its last axes.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last axes' lengths.
    eps : float or None
        Added inside the root; None for the machine epsilon of the input's dtype.
    elementwise_affine : bool
        Learn a scale.
    dtype : dtype

    Attributes
    ----------
    weight : Parameter of normalized_shape, or None

    Examples
    --------
    >>> import numpy as np
    >>> RMSNorm(2, eps=0.0)(np.array([[1.0, 7.0]])).data
    array([[0.2, 1.4]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        refuse_negative("RMSNorm: eps", 0 if eps is None else eps)
        self.normalized_shape = as_shape("RMSNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.register_parameter(
            "weight", Parameter(np.ones(self.normalized_shape, dtype)) if elementwise_affine else None
        )

    def forward(self, input: ArrayLike) -> Tensor:
        """``(..., *normalized_shape)`` to the same shape."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Normalise every example over each group of channels and all positions.

    Parameters
    ----------
    num_groups : int
        A divisor of ``num_channels``; 1 is layer normalisation over (C, ...) with a scale per channel, C is instance
        normalisation.
    num_channels : int
    eps : float
    affine : bool
        Learn a scale and, with ``bias``, a shift, per channel.
    dtype : dtype
    bias : bool

    Attributes
    ----------
    weight, bias : Parameter (C,) or None

    Examples
    --------
    >>> import numpy as np
    >>> GroupNorm(2, 4)(np.ones((3, 4, 5), np.float32)).shape
    (3, 4, 5)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels < 1 or num_channels % num_groups:
            raise ArgumentError(f"GroupNorm: num_groups={num_groups} does not divide num_channels={num_channels}")
        refuse_negative("GroupNorm: eps", eps)
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.register_parameter("weight", Parameter(np.ones(num_channels, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(num_channels, dtype)) if affine and bias else None)

    def forward(self, input: ArrayLike) -> Tensor:
        """(N, C, ...) to the same shape."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine},"
            f" bias={self.bias is not None}"
        )


class _InstanceNorm(ChannelNorm):
    """Normalise every channel of every example over its positions.

    Parameters
    ----------
    momentum : float or None
        ``running = (1 - momentum) * running + momentum * batch``; None never updates, as PyTorch.
    affine : bool
        Learn a scale and, with ``bias``, a shift; unlike in the other normalisations not by default.
    track_running_stats : bool
        Gather running statistics in training and normalise by them in evaluation; by default evaluation, too, uses the
        example's own.

    Attributes
    ----------
    weight, bias : Parameter (C,) or None
    running_mean, running_var : buffer (C,) or None
    num_batches_tracked : buffer, int64 scalar, or None
        Stays 0, as in PyTorch.

    Examples
    --------
    >>> InstanceNormNd(3)(np.ones((2, 3, <4>), np.float32)).shape
    (2, 3, <4>)
    """

    counts_batches = False

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: DTypeLike = np.float32,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype, bias)

    def forward(self, input: ArrayLike) -> Tensor:
        """(N, C, ...), or one example (C, ...), to the same shape."""
        x = input if isinstance(input, Tensor) else np.asarray(input)
        alone = x.ndim == self._ndims[0] - 1
        x = self._checked(x.reshape(1, *x.shape) if alone else x)
        own = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        out = F.instance_norm(x, self.running_mean, self.running_var, self.weight, self.bias, own, momentum, self.eps)
        return out.reshape(out.shape[1:]) if alone else out  # type: ignore[no-any-return]


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L): every channel of every example."""

    _ndims = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W): every channel of every example."""

    _ndims = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W): every channel of every example."""

    _ndims = (5,)
