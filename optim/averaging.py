"""Averages of parameters: stochastic gradient descent that keeps the mean of its values (ASGD)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from optim.flat import Array, State
from optim.optimizer import NON_NEGATIVE, Group, Optimizer, Parameters, decayed, option

__all__ = ["ASGD"]


class ASGD(Optimizer):
    """Averaged stochastic gradient descent: the state's ``ax`` is the mean of the parameters from step ``t0`` on.

    ::

        p = p - eta (g + lambd p),  eta = lr / (1 + lambd lr (t - 1))^alpha

    Parameters
    ----------
    lambd, alpha : float
        How the rate falls.
    t0 : float
        The step from which on the mean is taken; ``ax`` is the last value before.

    References
    ----------
    Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30, 1992.
    """

    _example = ("lr=0.25, lambd=0.0", "array([2.])")

    params: Parameters
    lr: float = option(default=1e-2, allowed=NON_NEGATIVE)
    lambd: float = option(default=1e-4)
    alpha: float = option(default=0.75)
    t0: float = option(default=1e6)
    weight_decay: float = option(default=0, allowed=NON_NEGATIVE)
    maximize: bool = option(default=False, kw_only=True)

    _counters: ClassVar[dict[str, type]] = {"step": int, "eta": float, "mu": float}

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("ax",)

    def _begin(self, group: Group, states: list[State]) -> list[Any]:
        steps, turns = super()._begin(group, states), []
        lr = group["lr"]
        for state, step in zip(states, steps, strict=True):
            turns.append((state.get("eta", lr), state.get("mu", 1.0)))
            state["eta"] = lr / (1 + group["lambd"] * lr * step) ** group["alpha"]
            state["mu"] = 1 / max(1, step - group["t0"])
        return turns

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        (average,), (eta, mu), temporary = slots, turn, scratch[1]
        g = decayed(group, p, g, scratch[0])
        np.multiply(p, 1 - group["lambd"] * eta, p)
        np.multiply(g, eta, temporary)
        np.subtract(p, temporary, p)
        np.subtract(p, average, temporary)
        np.multiply(temporary, mu, temporary)
        np.add(average, temporary, average)
