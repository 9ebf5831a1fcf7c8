"""Adam's relatives: Nesterov's momentum in it (NAdam), its first steps rectified (RAdam), the largest gradient in place
of the mean square (Adamax).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from optim.adam import WithMoments
from optim.flat import Array, State
from optim.optimizer import NON_NEGATIVE, Group, averaged, averaged_square, decayed, option

__all__ = ["Adamax", "NAdam", "RAdam"]


class NAdam(WithMoments):
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


class RAdam(WithMoments):
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


class Adamax(WithMoments):
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
