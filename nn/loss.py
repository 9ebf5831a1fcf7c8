"""Losses as modules; what each computes, and the shapes it takes, is told by the function of :mod:`nn.functional` that
it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError
from nn import functional as F
from nn.module import Module

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PairwiseDistance",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]

_REDUCTIONS = ("mean", "sum", "none")


class _Loss(Module):
    """A loss of :mod:`nn.functional` and its options, held as attributes of the same names; weights are buffers, as in
    PyTorch.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    **options
        The function's own.
    """

    _reductions: tuple[str, ...] = _REDUCTIONS

    _options: tuple[str, ...] = ()

    def __init__(self, reduction: str, **options: Any) -> None:
        super().__init__()
        if any(getattr(value, "requires_grad", False) for value in (reduction, *options.values())):
            name = type(self).__name__
            raise ArgumentError(f"{name} is made of its options and then called: {name}()(input, target)")
        if not isinstance(reduction, str) or reduction not in self._reductions:
            raise ArgumentError(
                f"{type(self).__name__}: reduction must be one of {self._reductions}, got {reduction!r}"
            )
        for name, value in options.items():
            if name in ("weight", "pos_weight"):
                self.register_buffer(
                    name, value if value is None or isinstance(value, Tensor) else Tensor(np.asarray(value))
                )
            else:
                setattr(self, name, value)
        self.reduction = reduction
        self._options = (*options, "reduction")

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._options}

    def extra_repr(self) -> str:
        """The options, less the weights."""
        return ", ".join(
            f"{name}={value!r}" for name, value in self._arguments().items() if not name.endswith("weight")
        )


class CrossEntropyLoss(_Loss):
    """Cross-entropy of softmax scores. See :func:`nn.functional.cross_entropy`."""

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction, weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.cross_entropy(input, target, **self._arguments())


class NLLLoss(_Loss):
    """The negative log-probability of each target class. See :func:`nn.functional.nll_loss`."""

    def __init__(self, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction, weight=weight, ignore_index=ignore_index)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.nll_loss(input, target, **self._arguments())


class BCELoss(_Loss):
    """Binary cross-entropy of probabilities. See :func:`nn.functional.binary_cross_entropy`."""

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction, weight=weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.binary_cross_entropy(input, target, **self._arguments())


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of scores. See :func:`nn.functional.binary_cross_entropy_with_logits`."""

    def __init__(
        self, weight: ArrayLike | None = None, reduction: str = "mean", pos_weight: ArrayLike | None = None
    ) -> None:
        super().__init__(reduction, weight=weight, pos_weight=pos_weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.binary_cross_entropy_with_logits(input, target, **self._arguments())


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of log-probabilities; ``reduction`` may be "batchmean", too. See
    :func:`nn.functional.kl_div`.
    """

    _reductions = (*_REDUCTIONS, "batchmean")

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction, log_target=log_target)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.kl_div(input, target, **self._arguments())


class GaussianNLLLoss(_Loss):
    """Negative log-likelihood of normal distributions. See :func:`nn.functional.gaussian_nll_loss`."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction, full=full, eps=eps)

    def forward(self, input: ArrayLike, target: ArrayLike, var: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.gaussian_nll_loss(input, target, var, **self._arguments())


class PoissonNLLLoss(_Loss):
    """Negative log-likelihood of Poisson distributions. See :func:`nn.functional.poisson_nll_loss`."""

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(reduction, log_input=log_input, full=full, eps=eps)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.poisson_nll_loss(input, target, **self._arguments())


class MSELoss(_Loss):
    """Squared differences. See :func:`nn.functional.mse_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.mse_loss(input, target, **self._arguments())


class L1Loss(_Loss):
    """Absolute differences. See :func:`nn.functional.l1_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.l1_loss(input, target, **self._arguments())


class SmoothL1Loss(_Loss):
    """Absolute differences, rounded off at 0. See :func:`nn.functional.smooth_l1_loss`."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction, beta=beta)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.smooth_l1_loss(input, target, **self._arguments())


class HuberLoss(_Loss):
    """Squared differences, linear from ``delta`` on. See :func:`nn.functional.huber_loss`."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction, delta=delta)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.huber_loss(input, target, **self._arguments())


class MultiMarginLoss(_Loss):
    """The multi-class hinge loss. See :func:`nn.functional.multi_margin_loss`."""

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction, p=p, margin=margin, weight=weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.multi_margin_loss(input, target, **self._arguments())


class MultiLabelMarginLoss(_Loss):
    """The hinge loss of several classes. See :func:`nn.functional.multilabel_margin_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.multilabel_margin_loss(input, target, **self._arguments())


class MultiLabelSoftMarginLoss(_Loss):
    """Binary cross-entropy of each class. See :func:`nn.functional.multilabel_soft_margin_loss`."""

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction, weight=weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.multilabel_soft_margin_loss(input, target, **self._arguments())


class HingeEmbeddingLoss(_Loss):
    """The input for targets 1, the hinge of it for targets -1. See :func:`nn.functional.hinge_embedding_loss`."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction, margin=margin)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.hinge_embedding_loss(input, target, **self._arguments())


class MarginRankingLoss(_Loss):
    """The hinge of the difference of two scores. See :func:`nn.functional.margin_ranking_loss`."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction, margin=margin)

    def forward(self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.margin_ranking_loss(input1, input2, target, **self._arguments())


class SoftMarginLoss(_Loss):
    """The logistic loss for targets 1 and -1. See :func:`nn.functional.soft_margin_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.soft_margin_loss(input, target, **self._arguments())


class CosineEmbeddingLoss(_Loss):
    """A loss of the angle between two vectors. See :func:`nn.functional.cosine_embedding_loss`."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction, margin=margin)

    def forward(self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.cosine_embedding_loss(input1, input2, target, **self._arguments())


class TripletMarginLoss(_Loss):
    """The hinge of the difference of two distances. See :func:`nn.functional.triplet_margin_loss`."""

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction, margin=margin, p=p, eps=eps, swap=swap)

    def forward(self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.triplet_margin_loss(anchor, positive, negative, **self._arguments())


class TripletMarginWithDistanceLoss(_Loss):
    """The same with a distance of one's own. See :func:`nn.functional.triplet_margin_with_distance_loss`."""

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction, distance_function=distance_function, margin=margin, swap=swap)

    def forward(self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.triplet_margin_with_distance_loss(anchor, positive, negative, **self._arguments())


class CTCLoss(_Loss):
    """Connectionist temporal classification. See :func:`nn.functional.ctc_loss`."""

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction, blank=blank, zero_infinity=zero_infinity)

    def forward(self, log_probs: ArrayLike, targets: ArrayLike, input_lengths: Any, target_lengths: Any) -> Tensor:
        """A scalar, or the losses for reduction "none"."""
        return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, **self._arguments())


class CosineSimilarity(Module):
    """The cosine of the angle between two arrays' vectors along ``dim``; see
    :func:`nn.functional.cosine_similarity`.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: ArrayLike, x2: ArrayLike) -> Tensor:
        """Two arrays of one shape to the same less ``dim``."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of differences along the last axis; see :func:`nn.functional.pairwise_distance`."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: ArrayLike, x2: ArrayLike) -> Tensor:
        """(..., D) twice to (...)."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
