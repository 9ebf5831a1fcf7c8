"""Adam and its relatives: decoupled decay (AdamW), rows of tables (SparseAdam), Nesterov's momentum (NAdam), rectified
first steps (RAdam), the largest gradient in place of the mean square (Adamax).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from autodiff import kernels
from autodiff.core.errors import ArgumentError
from autodiff.rows import RowSparse
from optim.flat import Array, State
from optim.optimizer import (
    BETAS,
    NON_NEGATIVE,
    Group,
    Optimizer,
    Parameters,
    averaged,
    averaged_square,
    decayed,
    option,
)

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam", "SparseAdam"]


class _WithMoments(Optimizer):
    """What Adam and its relatives have in common: options, and running means of gradients and of their squares."""

    params: Parameters
    lr: float = option(default=1e-3, allowed=NON_NEGATIVE)
    betas: tuple[float, float] = option(default=(0.9, 0.999), allowed=BETAS)
    eps: float = option(default=1e-8, allowed=NON_NEGATIVE)
    weight_decay: float = option(default=0, allowed=NON_NEGATIVE)

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")


class Adam(_WithMoments):
    """Adam: steps along a running mean of gradients, divided by the root of a running mean of their squares.

    With gradient ``g`` (plus ``weight_decay * p``)::

        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g²
        p = p - lr / (1 - beta1^t) · m / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    Parameters
    ----------
    amsgrad : bool
        Divide by the root of the largest ``v`` so far.
    decoupled_weight_decay : bool
        Shrink the parameters by ``1 - lr weight_decay`` instead of adding to the gradient: :class:`AdamW`.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", arXiv 1412.6980; amsgrad: Reddi, Kale, Kumar, "On the
    convergence of Adam and beyond", ICLR 2018.
    """

    _example = ("lr=0.5", "array([3.5])")

    amsgrad: bool = option(default=False)
    maximize: bool = option(default=False, kw_only=True)
    decoupled_weight_decay: bool = option(default=False, kw_only=True)

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def _rates(self, group: Group, turn: Any) -> tuple[float, float]:
        """eps and lr with the bias corrections in them, which saves a division: lr m / (sqrt(v) / root + eps) = lr root
        m / (sqrt(v) + eps root).
        """
        beta1, beta2 = group["betas"]
        root = math.sqrt(1 - beta2**turn)
        return group["eps"] * root, group["lr"] * root / (1 - beta1**turn)

    def _kernel(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array]) -> bool:
        size = p.size
        # Our state shares the parameters' dtype and layout, so to look at both of these is enough.
        if group["amsgrad"] or not kernels.large(size, kernels.LEAST_OF_MANY) or not kernels.ready(p, g):
            return False
        numbers = np.array((*_constants(group), *self._rates(group, turn)), p.dtype)
        try:
            kernels.run("adam", size, size, p, g, *slots, numbers)
        except kernels.KernelFailure:
            return False
        return True

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        mean, square = slots[0], slots[1]
        temporary = scratch[1]
        beta1, beta2 = group["betas"]
        first, keep, second, eps, rate = self._numbers(p.dtype, 1 - beta1, beta2, 1 - beta2, *self._rates(group, turn))
        if group["weight_decay"] or group["maximize"]:
            g = decayed(group, p, g, scratch[0])
        np.subtract(g, mean, temporary)
        np.multiply(temporary, first, temporary)
        np.add(mean, temporary, mean)
        np.multiply(square, keep, square)
        np.multiply(g, g, temporary)
        np.multiply(temporary, second, temporary)
        np.add(square, temporary, square)
        if group["amsgrad"]:
            largest = slots[2]
            square = np.maximum(largest, square, out=largest)
        np.sqrt(square, temporary)
        np.add(temporary, eps, temporary)
        np.divide(mean, temporary, temporary)
        np.multiply(temporary, rate, temporary)
        np.subtract(p, temporary, p)


def _constants(group: Group) -> tuple[float, ...]:
    """What the kernels take besides, the same at every step: sign, decay, l2, 1 - beta1, beta2, 1 - beta2."""
    (beta1, beta2), lr, weight_decay = group["betas"], group["lr"], group["weight_decay"]
    decay, l2 = (1 - lr * weight_decay, 0) if group["decoupled_weight_decay"] else (1, weight_decay)
    return -1 if group["maximize"] else 1, decay, l2, 1 - beta1, beta2, 1 - beta2


class AdamW(Adam):
    """Adam with weight decay that does not pass through the moments: ``p = p - lr weight_decay p`` before Adam's step.

    Parameters
    ----------
    weight_decay : float
        How the parameters shrink, times ``lr``.

    References
    ----------
    Loshchilov, Hutter, "Decoupled weight decay regularization", arXiv 1711.05101, with PyTorch's convention that the
    decay is multiplied by the learning rate.
    """

    _example = ("lr=0.5, weight_decay=0.1", "array([3.3])")

    weight_decay: float = option(default=1e-2, allowed=NON_NEGATIVE)
    decoupled_weight_decay: bool = option(default=True, init=False)


class SparseAdam(Adam):
    """Adam for tables read with ``sparse=True``: a step moves the rows that have a gradient, and their moments alone.

    The moments of the other rows stay as they are, where :class:`Adam` would let them fade and move these rows on. The
    count of steps, for the bias corrections, is the parameter's. As in PyTorch, ``eps`` is added to ``sqrt(v)`` before
    the correction of ``v``.

    Parameters
    ----------
    params, lr, betas, eps, maximize
        As in :class:`Adam`.

    Raises
    ------
    ArgumentError
        If an option has a value that is not allowed; by ``step()``, if a gradient is dense.

    Examples
    --------
    >>> import autodiff, nn, optim
    >>> from nn import functional as F
    >>> table = autodiff.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    >>> optimizer = optim.SparseAdam([table], lr=0.5)
    >>> F.embedding([2, 0, 2], table, sparse=True).sum().backward()
    >>> optimizer.step()
    >>> table.data.round(6).ravel()
    array([0.5, 2. , 2.5])
    """

    weight_decay: float = option(default=0, init=False)
    amsgrad: bool = option(default=False, init=False)
    decoupled_weight_decay: bool = option(default=False, init=False)
    maximize: bool = option(default=False)

    def _rates(self, group: Group, turn: Any) -> tuple[float, float]:
        return group["eps"], super()._rates(group, turn)[1]

    def _rows_of(self, group: Group, g: RowSparse) -> RowSparse:
        return g

    def _fitting(self, group: Group, grads: list[Any]) -> list[Any]:
        if any(g is not None and g.__class__ is not RowSparse for g in grads):
            raise ArgumentError(
                "SparseAdam: takes sparse gradients alone, of an embedding with sparse=True; use Adam for dense ones"
            )
        return grads


class NAdam(_WithMoments):
    """Adam with Nesterov's momentum: the step looks ahead along the mean.

    With gradient ``g`` and ``mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)``, whose product so far is ``P``::

        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g²
        p = p - lr (mu_(t+1) m / (1 - P mu_(t+1)) + (1 - mu_t) g / (1 - P)) / (sqrt(v / (1 - beta2^t)) + eps)

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.
    """

    _example = ("lr=0.5", "array([3.4718])")

    lr: float = option(default=2e-3, allowed=NON_NEGATIVE)
    momentum_decay: float = option(default=4e-3, allowed=NON_NEGATIVE)
    decoupled_weight_decay: bool = option(default=False)
    maximize: bool = option(default=False, kw_only=True)

    _counters: ClassVar[dict[str, type]] = {"step": int, "mu_product": float}

    def _begin(self, group: Group, states: list[State]) -> list[Any]:
        steps, turns = super()._begin(group, states), []
        for state, step in zip(states, steps, strict=True):
            mu, following = (
                group["betas"][0] * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1)
            )
            product = state["mu_product"] = state.get("mu_product", 1.0) * mu
            turns.append((step, (1 - mu) / (1 - product), following / (1 - product * following)))
        return turns

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        (mean, square), (step, now, ahead), (_, temporary, divisor) = slots, turn, scratch
        beta1, beta2 = group["betas"]
        g = decayed(group, p, g, scratch[0])
        averaged(mean, g, beta1, temporary)
        averaged_square(square, g, beta2, temporary)
        np.divide(square, 1 - beta2**step, divisor)
        np.sqrt(divisor, divisor)
        np.add(divisor, group["eps"], divisor)
        for part, rate in ((g, now), (mean, ahead)):
            np.divide(part, divisor, temporary)
            np.multiply(temporary, group["lr"] * rate, temporary)
            np.subtract(p, temporary, p)


class RAdam(_WithMoments):
    """Adam whose first steps, while the mean square is still uncertain, go along the mean alone.

    With ``rho = 2 / (1 - beta2) - 1`` and ``rho_t = rho - 2 t beta2^t / (1 - beta2^t)``, a step is Adam's times
    ``sqrt((rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t))`` where ``rho_t > 5``, else it is
    ``lr m / (1 - beta1^t)``.

    References
    ----------
    Liu et al., "On the variance of the adaptive learning rate and beyond", arXiv 1908.03265.
    """

    _example = ("lr=0.5", "array([0.])")

    decoupled_weight_decay: bool = option(default=False)
    maximize: bool = option(default=False, kw_only=True)

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        (mean, square), (_, temporary, divisor) = slots, scratch
        beta1, beta2 = group["betas"]
        g = decayed(group, p, g, scratch[0])
        averaged(mean, g, beta1, temporary)
        averaged_square(square, g, beta2, temporary)
        rate, left = group["lr"] / (1 - beta1**turn), 1 - beta2**turn
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * turn * beta2**turn / left
        if length > 5:
            rate *= math.sqrt(left * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            np.sqrt(square, divisor)
            np.add(divisor, group["eps"], divisor)
            np.divide(mean, divisor, temporary)
            np.multiply(temporary, rate, temporary)
        else:
            np.multiply(mean, rate, temporary)
        np.subtract(p, temporary, p)


class Adamax(_WithMoments):
    """Adam with the largest gradient, slowly forgotten, in place of the root of the mean square.

    ::

        m = beta1 m + (1 - beta1) g
        u = max(beta2 u, |g| + eps)
        p = p - lr / (1 - beta1^t) · m / u

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", arXiv 1412.6980, section 7.1.
    """

    _example = ("lr=0.5", "array([3.5])")

    lr: float = option(default=2e-3, allowed=NON_NEGATIVE)
    maximize: bool = option(default=False, kw_only=True)

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        (mean, largest), (_, temporary, _) = slots, scratch
        beta1, beta2 = group["betas"]
        g = decayed(group, p, g, scratch[0])
        averaged(mean, g, beta1, temporary)
        np.multiply(largest, beta2, largest)
        np.abs(g, temporary)
        np.add(temporary, group["eps"], temporary)
        np.maximum(largest, temporary, out=largest)
        np.divide(mean, largest, temporary)
        np.multiply(temporary, group["lr"] / (1 - beta1**turn), temporary)
        np.subtract(p, temporary, p)
