"""Cross-iteration batch normalisation: past batches' statistics, carried to today's weights, widen a small batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import Tensor, fused, gradients
from autodiff.arguments import refuse_other
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.fused.statistics import EPS_MODES
from nn.functional.common import HALF, via_single
from nn.functional.normalization import update_running
from nn.module import Module
from nn.normalization import ChannelNorm

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["CrossIterationBatchNorm1d", "CrossIterationBatchNorm2d"]

_PAST = ("past_mean", "past_var", "past_mean_grad", "past_var_grad", "past_weight")
_INVALID = ("max", "drop")


class _CrossIterationBatchNorm(ChannelNorm):
    """Batch normalisation over this batch and past ones (Yao et al. 2020, arXiv 2002.05712).

    The statistics of iteration t - i were taken with that iteration's weights. They are carried to today's by their
    first-order Taylor term in theta, the weights of the layer just before, whose output this one normalises: ``mu_i <-
    mu_i + rho dmu_i/dtheta . (theta_t - theta_{t-i})``, likewise ``nu = mean(x^2)``. Then over the k iterations
    ``mu_bar = mean(mu_i)``, ``var = mean(max(nu_i, mu_i^2)) - mu_bar^2`` and ``y = weight (x - mu_bar) / sqrt(var +
    eps) + bias``. Gradient flows through the current batch's mu and nu alone, each of which has weight 1/k.

    Parameters
    ----------
    momentum : float or None
        Of the running statistics, which take the *current* batch only; None for the cumulative average.
    track_running_stats : bool
        False: evaluation, too, uses its own batch's statistics.
    buffer_num : int
        How many past iterations are kept, k - 1; 0 is batch normalisation.
    rho : float
        Factor of the Taylor term; 0 takes past statistics as they were.
    burnin : int
        Batch normalisation for so many training batches; nothing is remembered meanwhile.
    two_stage : bool
        False lets the window grow in proportion during the burn-in instead.
    eps_mode : {"inside", "outside"}
        Divide by ``sqrt(var + eps)`` or by ``sqrt(var) + eps``, in evaluation, too.
    invalid : {"max", "drop"}
        Where carrying has made ``nu_i < mu_i^2``: take ``mu_i^2`` for it, or leave that iteration out of that channel.
    ddof : {0, 1}
        1: a batch without a window, as in the burn-in, is normalised by its unbiased variance. With a window it is
        always the biased one.
    running_ddof : {1, 0}
        1: the running variance stores the unbiased one.
    layer : Module, optional
        The layer before, with a parameter ``weight`` of shape (C, ...). With it ``forward`` needs no ``weight``, so
        that this layer fits into a Sequential, and the past is part of the state_dict, so that a resumed run goes on
        exactly. It is not made a submodule.

    Attributes
    ----------
    weight, bias : Parameter (C,) or None
    running_mean, running_var : buffer (C,) or None
    num_batches_tracked, past_count : buffer, int64 scalar
        Training batches seen; past iterations held, at most ``buffer_num``, the latest first.
    past_mean, past_var : buffer (buffer_num, C)
    past_mean_grad, past_var_grad, past_weight : buffer (buffer_num, C, ...)
        Without ``layer`` these five are None until first needed and never part of the state_dict.

    Notes
    -----
    The paper is the default. The code released with it is ``eps_mode="outside", invalid="drop", ddof=1`` (its
    ``out_p=True`` is ``eps_mode="inside"``), with ``buffer_num=0`` and scales that start uniform in [0, 1) by default.
    Variances ``nu - mu^2`` are kept and carried in place of nu, ``v_i <- v_i + rho dv_i/dtheta . delta - (rho
    dmu_i/dtheta . delta)^2``: the same number without cancellation.

    Examples
    --------
    >>> import numpy as np, nn
    >>> generator = np.random.default_rng(0)
    >>> linear = nn.Linear(5, 3, generator=generator)
    >>> net = nn.Sequential(linear, nn.CrossIterationBatchNorm1d(3, layer=linear), nn.ReLU())
    >>> for _ in range(4):
    ...     out = net(generator.normal(size=(2, 5)).astype(np.float32))
    >>> net[1].past_count.item()
    4
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        buffer_num: int = 7,
        rho: float = 1.0,
        burnin: int = 0,
        two_stage: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        eps_mode: str = "inside",
        invalid: str = "max",
        ddof: int = 0,
        running_ddof: int = 1,
        layer: Module | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype, bias)
        name = type(self).__name__
        refuse_other(name, "invalid", invalid, _INVALID)
        refuse_other(name, "eps_mode", eps_mode, EPS_MODES)
        refuse_other(name, "ddof", ddof, (0, 1))
        refuse_other(name, "running_ddof", running_ddof, (0, 1))
        if buffer_num < 0 or burnin < 0:
            raise ArgumentError(f"{name}: buffer_num and burnin must not be negative, got {buffer_num} and {burnin}")
        self.buffer_num, self.rho, self.burnin, self.two_stage = buffer_num, rho, burnin, two_stage
        self.eps_mode, self.invalid, self.ddof, self.running_ddof = eps_mode, invalid, ddof, running_ddof
        # In a tuple, as assigning the module itself would make it a submodule.
        self._before = (layer,)
        remember = layer is not None and buffer_num > 0
        for name in _PAST:
            self.register_buffer(name, None, persistent=remember)
        self.register_buffer("past_count", Tensor(np.array(0)), persistent=remember)
        self._buffers["num_batches_tracked"] = Tensor(np.array(0))
        if remember:
            self._make_room(self._source(None), dtype)

    def _source(self, weight: Any) -> Any:
        """The weights of the layer before."""
        (layer,) = self._before
        if weight is None and layer is not None:
            weight = getattr(layer, "weight", None)
        if weight is None:
            raise ArgumentError(
                f"{type(self).__name__}: it needs the weights of the layer before it; call it with them, layer(x,"
                " conv.weight), or make it with layer=conv"
            )
        if weight.ndim < 1 or weight.shape[0] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: weights of shape {weight.shape} before a normalisation of {self.num_features}"
                f" channels; channel c must be made by weight[c], so the first axis has {self.num_features}"
            )
        return weight

    def _make_room(self, weight: Any, dtype: Any) -> None:
        shapes = ((self.num_features,),) * 2 + (weight.shape,) * 3
        for name, shape in zip(_PAST, shapes, strict=True):
            self._buffers[name] = Tensor(np.zeros((self.buffer_num, *shape), dtype))

    def _window(self) -> int:
        """How many past iterations may count for the batch at hand."""
        count = int(self.num_batches_tracked.item()) + 1
        if self.two_stage or not self.burnin:
            return self.buffer_num if count > self.burnin else 0
        return int(self.buffer_num * min(count / self.burnin, 1.0))

    def forward(self, input: ArrayLike, weight: ArrayLike | None = None) -> Tensor:
        """Normalise.

        Parameters
        ----------
        input : (N, C, ...)
            The output of the layer before, whose channel c is made by ``weight[c]``.
        weight : Tensor (C, ...), optional
            That layer's weights; default those of ``layer``.

        Returns
        -------
        Tensor
            Of ``input``'s shape. Where no gradient is recorded a training batch is normalised by its own statistics and
            not remembered.
        """
        x = self._checked(input)
        if x.dtype == HALF:
            return via_single(self.forward, x, weight)  # type: ignore[no-any-return]
        if not self.training and self.track_running_stats:
            mean, var = self.running_mean._array, self.running_var._array
            outside = self.eps_mode == "outside"
            return fused.batch_norm_inference.function(  # type: ignore[no-any-return]
                x,
                mean,
                (np.sqrt(var) + self.eps) ** 2 if outside else var,
                self.weight,
                self.bias,
                eps=0.0 if outside else self.eps,
            )
        # A batch in evaluation without running statistics is normalised on its own and does not count.
        rate = self._rate() if self.training else 0.0
        window = self._window() if self.training and isinstance(x, Tensor) and x.requires_grad else 0
        source = self._source(weight) if window else None
        past = (
            self._carried(source._array, window)
            if source is not None
            else (np.zeros((0, self.num_features), x.dtype),) * 3
        )
        out, residuals = fused.cross_iteration_batch_norm.with_residuals(
            x, *past, self.weight, self.bias, eps=self.eps, eps_mode=self.eps_mode, ddof=0 if window else self.ddof
        )
        *_, mean, var = residuals
        if source is not None:
            self._remember(x, source, mean, var, window)
        if self.training and self.track_running_stats:
            count = x.size // self.num_features
            update_running(self.running_mean, mean, rate)
            update_running(self.running_var, var, rate, count / (count - self.running_ddof))
        if self.training:
            self._count()
        return out  # type: ignore[no-any-return]

    def _carried(self, weight: Any, window: int) -> tuple[Any, Any, Any]:
        """Past means and variances as first-order estimates of what they would be with today's weights, and which of
        them count: (T, C).
        """
        held = min(int(self.past_count.item()), window)
        if not held:
            return (np.zeros((0, self.num_features), weight.dtype),) * 3
        mean, var, dmean, dvar, old = (self._buffers[name]._array[:held] for name in _PAST)
        step = self.rho * (weight - old)
        moved = np.einsum("tci,tci->tc", *(a.reshape(held, self.num_features, -1) for a in (dmean, step)))
        var = (
            var
            + np.einsum("tci,tci->tc", *(a.reshape(held, self.num_features, -1) for a in (dvar, step)))
            - moved * moved
        )
        kept = var >= 0 if self.invalid == "drop" else np.ones(var.shape, bool)
        return mean + moved, np.maximum(var, 0), kept

    def _remember(self, x: Tensor, source: Any, mean: Any, var: Any, window: int) -> None:
        """Enter this batch's statistics and their derivatives in the weights as the latest of the past."""
        count = x.size // self.num_features
        centred = x._array - mean.reshape(1, -1, *(1,) * (x.ndim - 2))
        found = [
            gradients(x, [source], seed, retain_graph=True, allow_unused=True)[0]
            for seed in (np.full(x.shape, 1 / count, x.dtype), centred * x.dtype.type(2 / count))
        ]
        if found[0] is None:
            raise ArgumentError(
                f"{type(self).__name__}: the input was not computed from the weights given; pass those of the layer"
                " just before"
            )
        if self.past_mean is None or self.past_weight.shape[1:] != source.shape:
            self._make_room(source, x.dtype)
            self.past_count._rebind(np.array(0))
        held = min(int(self.past_count.item()) + 1, window)
        for name, latest in zip(_PAST, (mean, var, *found, source._array), strict=True):
            buffer = self._buffers[name]
            rolled = np.roll(buffer._array, 1, axis=0)
            rolled[0] = latest
            buffer._rebind(rolled)
        self.past_count._rebind(np.array(held))

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{super().extra_repr()}, buffer_num={self.buffer_num}, rho={self.rho}, burnin={self.burnin},"
            f" eps_mode={self.eps_mode!r}, invalid={self.invalid!r}, ddof={self.ddof}"
        )


class CrossIterationBatchNorm1d(_CrossIterationBatchNorm):
    """Cross-iteration batch normalisation of (N, C) or (N, C, L), by the statistics of past batches, too."""

    _ndims = (2, 3)


class CrossIterationBatchNorm2d(_CrossIterationBatchNorm):
    """Cross-iteration batch normalisation of (N, C, H, W), by the statistics of past batches, too."""

    _ndims = (4,)
