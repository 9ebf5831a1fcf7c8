"""Steps along signs: of one size (Lion), or of a size for every coordinate (Rprop)."""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.flat import Array, State
from optim.optimizer import BETAS, NON_NEGATIVE, Group, Optimizer, Parameters, option

__all__ = ["Lion", "Rprop"]


class Lion(Optimizer):
    """Lion: every coordinate moves by ``lr``, in the direction of a sign.

    ::

        p = p - lr weight_decay p
        p = p - lr sign(beta1 m + (1 - beta1) g)
        m = beta2 m + (1 - beta2) g

    Parameters
    ----------
    lr : float
        A third to a tenth of what Adam would take.
    weight_decay : float
        Decoupled; three to ten times what AdamW would take.

    References
    ----------
    Chen et al., "Symbolic discovery of optimization algorithms", arXiv 2302.06675, algorithm 2. Half the state of Adam.
    """

    _example = ("lr=0.5", "array([3.5])")

    params: Parameters
    lr: float = option(default=1e-4, allowed=NON_NEGATIVE)
    betas: tuple[float, float] = option(default=(0.9, 0.99), allowed=BETAS)
    weight_decay: float = option(default=0.0, allowed=NON_NEGATIVE)
    maximize: bool = option(default=False, kw_only=True)

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg",)

    def _begin(self, group: Group, states: list[State]) -> list[Any]:
        return [None] * len(states)  # no step of Lion depends on its number

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        (mean,), direction, temporary = slots, scratch[1], scratch[2]
        beta1, beta2 = group["betas"]
        lr, weight_decay = group["lr"], group["weight_decay"]
        if group["maximize"]:
            g = np.negative(g, scratch[0])
        if weight_decay:
            np.multiply(p, 1 - lr * weight_decay, p)
        np.multiply(mean, beta1, direction)
        np.multiply(g, 1 - beta1, temporary)
        np.add(direction, temporary, direction)
        np.sign(direction, direction)
        np.multiply(direction, lr, direction)
        np.subtract(p, direction, p)
        np.multiply(mean, beta2, mean)
        np.multiply(g, 1 - beta2, temporary)
        np.add(mean, temporary, mean)


class Rprop(Optimizer):
    """Resilient backpropagation, for gradients of the whole data set.

    A coordinate whose gradient keeps its sign takes longer steps, one whose gradient turned shorter ones, and stands
    still once.

    Parameters
    ----------
    lr : float
        The first step size.
    etas : tuple of float
        Factors of a step size: after a turn, else.
    step_sizes : tuple of float
        The smallest and the largest step size.

    References
    ----------
    Riedmiller, Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", 1993.
    """

    _example = ("lr=0.5", "array([3.5])")

    params: Parameters
    lr: float = option(default=1e-2, allowed=NON_NEGATIVE)
    etas: tuple[float, float] = option(
        default=(0.5, 1.2),
        allowed=(lambda etas: 0 < etas[0] < 1 < etas[1], "two numbers, the first in (0, 1), then > 1"),
    )
    step_sizes: tuple[float, float] = option(
        default=(1e-6, 50), allowed=(lambda sizes: 0 < sizes[0] <= sizes[1], "two numbers > 0, the smaller first")
    )
    maximize: bool = option(default=False, kw_only=True)

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("prev", "step_size")

    def _initial(self, group: Group, slot: str, dtype: np.dtype[Any]) -> complex:
        if slot == "prev":
            return 0.0
        lr: float = group["lr"]
        return complex(lr, lr) if dtype.kind == "c" else lr

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        (previous, size), (shorter, longer) = slots, group["etas"]
        step = np.negative(g, scratch[0]) if group["maximize"] else g
        sign = np.multiply(step, previous, scratch[1])
        turned, kept = sign < 0, sign > 0
        np.multiply(size, longer, size, where=kept)
        np.multiply(size, shorter, size, where=turned)
        np.clip(size, *group["step_sizes"], out=size)
        np.copyto(previous, step)
        previous[turned] = 0
        np.sign(previous, scratch[1])
        np.multiply(scratch[1], size, scratch[1])
        np.subtract(p, scratch[1], p)
