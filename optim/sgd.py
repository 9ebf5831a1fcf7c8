"""Stochastic gradient descent: with momentum in PyTorch's form, and with the mean of the parameters (ASGD)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.rows import RowSparse
from optim.flat import Array, State
from optim.optimizer import FINITE, NON_NEGATIVE, Group, Optimizer, Parameters, decayed, option

__all__ = ["ASGD", "SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum.

    With gradient ``g`` (plus ``weight_decay * p``), ``b`` starting as the first ``g``::

        b = momentum b + (1 - dampening) g
        p = p - lr b                          (nesterov: p - lr (g + momentum b))

    Parameters
    ----------
    nesterov : bool
        Needs momentum and no dampening.

    Notes
    -----
    The velocity is that of PyTorch: it holds gradients, and the learning rate is applied when it is used. CS231n's ``v
    = mu v - lr g; p += v`` takes the same path as long as the learning rate does not change. Nesterov's form is that of
    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.
    """

    _example = ("lr=0.25", "array([2.])")

    params: Parameters
    lr: float = option(default=1e-3, allowed=NON_NEGATIVE)
    momentum: float = option(default=0, allowed=NON_NEGATIVE)
    dampening: float = option(default=0, allowed=FINITE)
    weight_decay: float = option(default=0, allowed=NON_NEGATIVE)
    nesterov: bool = option(default=False)
    maximize: bool = option(default=False, kw_only=True)

    def _check(self, group: Group) -> None:
        super()._check(group)
        if group["nesterov"] and (not group["momentum"] or group["dampening"]):
            raise ArgumentError(
                f"SGD: nesterov needs momentum > 0 and dampening = 0, got momentum={group['momentum']!r},"
                f" dampening={group['dampening']!r}"
            )

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _rows_of(self, group: Group, g: RowSparse) -> Any:
        if group["weight_decay"]:
            raise ArgumentError("SGD: weight_decay moves every row, so it takes no sparse gradients")
        return g.to_dense() if group["momentum"] else g  # the velocity of the other rows moves them on

    def _begin(self, group: Group, states: list[State]) -> list[Any]:
        # Whether this is the first step with momentum: the velocity then starts as the gradient, without dampening.
        return ["momentum_buffer" not in state for state in states]

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        temporary = scratch[1]
        g = decayed(group, p, g, scratch[0])
        momentum = group["momentum"]
        if momentum:
            (velocity,) = slots
            if turn:
                velocity[:] = g
            else:
                np.multiply(velocity, momentum, velocity)
                if group["dampening"]:
                    np.multiply(g, 1 - group["dampening"], temporary)
                    np.add(velocity, temporary, velocity)
                else:
                    np.add(velocity, g, velocity)
            if group["nesterov"]:
                np.multiply(velocity, momentum, temporary)
                np.add(temporary, g, temporary)
                g = temporary
            else:
                g = velocity
        np.multiply(g, group["lr"], temporary)
        np.subtract(p, temporary, p)


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
    lambd: float = option(default=1e-4, allowed=FINITE)
    alpha: float = option(default=0.75, allowed=FINITE)
    t0: float = option(default=1e6, allowed=(lambda t0: t0 > -np.inf, "a number"))
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
