"""Lion: steps of one size along the sign of an interpolated gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.flat import Array, State
from optim.optimizer import BETAS, NON_NEGATIVE, Group, Optimizer, Parameters, option

__all__ = ["Lion"]


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
