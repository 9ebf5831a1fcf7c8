"""Batch renormalisation layers, and the schedules by which their corrections are let loose."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import Tensor
from autodiff.arguments import refuse_other
from autodiff.core.errors import ArgumentError
from autodiff.fused.statistics import EPS_MODES
from nn import functional as F
from nn.functional.normalization import STATISTICS
from nn.normalization import ChannelNorm

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["BatchRenorm1d", "BatchRenorm2d", "BatchRenorm3d", "LinearRenormSchedule", "LogisticRenormSchedule"]


@dataclass(frozen=True)
class LinearRenormSchedule:
    """The paper's: batch normalisation for ``warmup`` steps, then both bounds grow in proportion to the steps until
    they reach their ends.

    Parameters
    ----------
    rmax, dmax : float
        Final bounds.
    warmup, rmax_end, dmax_end : int
        Steps.

    Examples
    --------
    >>> schedule = LinearRenormSchedule()
    >>> schedule(0), schedule(15_000), schedule(50_000)
    ((1.0, 0.0), (1.5714285714285714, 2.5), (3.0, 5.0))
    """

    rmax: float = 3.0
    dmax: float = 5.0
    warmup: int = 5_000
    rmax_end: int = 40_000
    dmax_end: int = 25_000

    def __post_init__(self) -> None:
        if not (self.rmax >= 1 and self.dmax >= 0 and 0 <= self.warmup <= min(self.rmax_end, self.dmax_end)):
            raise ArgumentError(f"{self}: needs rmax >= 1, dmax >= 0 and 0 <= warmup <= rmax_end, dmax_end")

    def __call__(self, step: int) -> tuple[float, float]:
        """``(rmax, dmax)`` after ``step`` batches."""

        def share(end: int) -> float:
            return (
                min(max(step - self.warmup, 0) / (end - self.warmup), 1.0) if end > self.warmup else float(step >= end)
            )

        return 1.0 + (self.rmax - 1.0) * share(self.rmax_end), self.dmax * share(self.dmax_end)


@dataclass(frozen=True)
class LogisticRenormSchedule:
    """The one of titu1994/BatchRenormalization: logistic curves in ``t = delta * step``, starting at 1 and at almost 0.

    ``rmax / (1 + (rmax - 1) exp(-t))`` and ``dmax / (1 + (dmax / 1e-3 - 1) exp(-2 t))``.

    Examples
    --------
    >>> LogisticRenormSchedule()(0)
    (1.0, 0.001)
    """

    rmax: float = 3.0
    dmax: float = 5.0
    delta: float = 1e-3

    def __post_init__(self) -> None:
        if not (self.rmax >= 1 and self.dmax > 0 and self.delta >= 0):
            raise ArgumentError(f"{self}: needs rmax >= 1, dmax > 0 and delta >= 0")

    def __call__(self, step: int) -> tuple[float, float]:
        """``(rmax, dmax)`` after ``step`` batches."""
        t = self.delta * step
        return self.rmax / (1 + (self.rmax - 1) * math.exp(-t)), self.dmax / (
            1 + (self.dmax / 1e-3 - 1) * math.exp(-2 * t)
        )


class _BatchRenorm(ChannelNorm):
    """Batch normalisation that training corrects towards the running statistics (Ioffe 2017, arXiv 1702.03275).

    Parameters
    ----------
    momentum : float or None
        ``running = (1 - momentum) * running + momentum * batch``, after use; None for the cumulative average over all
        batches.
    limits : callable or (rmax, dmax)
        Bounds of the corrections r and d, fixed or ``limits(step) -> (rmax, dmax)``, the step being the number of
        batches seen in training before this one. By default the paper's :class:`LinearRenormSchedule`: plain batch
        normalisation for 5,000 steps, so a run much shorter than that wants bounds or a schedule of its own.
    eps_mode, statistic, ddof
        Conventions, the paper's by default; see :func:`nn.functional.batch_renorm` for those of released code.

    Attributes
    ----------
    weight, bias : Parameter (C,) or None
    running_mean, running_std : buffer (C,)
        The second is called ``running_var`` unless ``statistic="std"``.
    num_batches_tracked : buffer, int64 scalar

    Examples
    --------
    >>> import numpy as np, nn
    >>> layer = nn.BatchRenorm1d(3, limits=(3.0, 5.0))
    >>> layer(np.arange(12, dtype=np.float32).reshape(4, 3)).shape
    (4, 3)
    >>> sorted(layer.state_dict())
    ['bias', 'num_batches_tracked', 'running_mean', 'running_std', 'weight']
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.01,
        affine: bool = True,
        dtype: DTypeLike = np.float32,
        limits: Callable[[int], tuple[float, float]] | tuple[float, float] = LinearRenormSchedule(),
        *,
        eps_mode: str = "inside",
        statistic: str = "std",
        ddof: int = 0,
        bias: bool = True,
    ) -> None:
        spread = "running_std" if statistic == "std" else "running_var"
        super().__init__(num_features, eps, momentum, affine, True, dtype, bias, spread=spread)
        name = type(self).__name__
        if not callable(limits) and not (np.shape(limits) == (2,) and limits[0] >= 1 and limits[1] >= 0):
            raise ArgumentError(
                f"{name}: limits is (rmax, dmax), rmax >= 1 and dmax >= 0, or a callable of the step, got {limits!r}"
            )
        refuse_other(name, "statistic", statistic, STATISTICS)
        refuse_other(name, "eps_mode", eps_mode, EPS_MODES)
        refuse_other(name, "ddof", ddof, (0, 1))
        self.limits, self.eps_mode, self.statistic, self.ddof = limits, eps_mode, statistic, ddof
        self._spread = spread

    def forward(self, input: ArrayLike) -> Tensor:
        """(N, C) or (N, C, ...) to the same shape."""
        x = self._checked(input)
        rmax, dmax = self.limits(int(self.num_batches_tracked.item())) if callable(self.limits) else self.limits
        rate = self._rate() if self.training else 0.0
        held = (self.running_mean, getattr(self, self._spread), self.weight, self.bias)
        conventions: Any = {"eps_mode": self.eps_mode, "statistic": self.statistic, "ddof": self.ddof}
        out = F.batch_renorm(x, *held, self.training, rate, self.eps, rmax, dmax, **conventions)
        if self.training:
            self._count()
        return out

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" limits={self.limits}, eps_mode={self.eps_mode!r}, statistic={self.statistic!r}, ddof={self.ddof}"
        )


class BatchRenorm1d(_BatchRenorm):
    """Batch renormalisation of (N, C) or (N, C, L): corrected towards the running statistics."""

    _ndims = (2, 3)


class BatchRenorm2d(_BatchRenorm):
    """Batch renormalisation of (N, C, H, W): corrected towards the running statistics."""

    _ndims = (4,)


class BatchRenorm3d(_BatchRenorm):
    """Batch renormalisation of (N, C, D, H, W): corrected towards the running statistics."""

    _ndims = (5,)
