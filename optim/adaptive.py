"""Optimisers that scale each coordinate by the size of its past gradients: Adagrad, RMSprop, Adadelta."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.rows import RowSparse
from optim.flat import Array
from optim.optimizer import NON_NEGATIVE, Group, Optimizer, Parameters, averaged, averaged_square, decayed, option

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class Adagrad(Optimizer):
    """Adagrad: the step of a coordinate shrinks with the sum of its squared gradients.

    ::

        s = s + g²
        p = p - lr / (1 + (t - 1) lr_decay) · g / (sqrt(s) + eps)

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12
    (2011).
    """

    _example = ("lr=1.0", "array([3.])")

    params: Parameters
    lr: float = option(default=1e-2, allowed=NON_NEGATIVE)
    lr_decay: float = option(default=0, allowed=NON_NEGATIVE)
    weight_decay: float = option(default=0, allowed=NON_NEGATIVE)
    initial_accumulator_value: float = option(default=0, allowed=NON_NEGATIVE)
    eps: float = option(default=1e-10, allowed=NON_NEGATIVE)
    maximize: bool = option(default=False, kw_only=True)

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("sum",)

    def _initial(self, group: Group, slot: str, dtype: np.dtype[Any]) -> complex:
        value = float(group["initial_accumulator_value"])
        return complex(value, value) if dtype.kind == "c" else value

    def _rows_of(self, group: Group, g: RowSparse) -> Any:
        if group["weight_decay"]:
            raise ArgumentError("Adagrad: weight_decay moves every row, so it takes no sparse gradients")
        return g

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        (total,), temporary = slots, scratch[1]
        g = decayed(group, p, g, scratch[0])
        np.multiply(g, g, temporary)
        np.add(total, temporary, total)
        np.sqrt(total, temporary)
        np.add(temporary, group["eps"], temporary)
        np.divide(g, temporary, temporary)
        np.multiply(temporary, group["lr"] / (1 + (turn - 1) * group["lr_decay"]), temporary)
        np.subtract(p, temporary, p)


class RMSprop(Optimizer):
    """RMSprop: steps divided by the root of a running average of squared gradients.

    ::

        s = alpha s + (1 - alpha) g²
        a = alpha a + (1 - alpha) g                 (centered)
        d = sqrt(s) + eps                           (centered: sqrt(s - a²) + eps)
        p = p - lr g / d                            (momentum: b = momentum b + g / d;  p = p - lr b)

    Parameters
    ----------
    centered : bool
        Divide by the estimated standard deviation instead of the root mean square.

    References
    ----------
    Tieleman, Hinton, lecture 6.5 of "Neural networks for machine learning" (2012); centered: Graves, arXiv 1308.0850.
    """

    _example = ("lr=0.1", "array([3.])")

    params: Parameters
    lr: float = option(default=1e-2, allowed=NON_NEGATIVE)
    alpha: float = option(default=0.99, allowed=NON_NEGATIVE)
    eps: float = option(default=1e-8, allowed=NON_NEGATIVE)
    weight_decay: float = option(default=0, allowed=NON_NEGATIVE)
    momentum: float = option(default=0, allowed=NON_NEGATIVE)
    centered: bool = option(default=False)
    maximize: bool = option(default=False, kw_only=True)

    def _slots(self, group: Group) -> tuple[str, ...]:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return tuple(names)

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        square, temporary = slots[0], scratch[1]
        alpha = group["alpha"]
        g = decayed(group, p, g, scratch[0])
        averaged_square(square, g, alpha, temporary)
        if group["centered"]:
            average = slots[-1]
            averaged(average, g, alpha, temporary)
            np.multiply(average, average, temporary)
            np.subtract(square, temporary, temporary)
            np.sqrt(temporary, temporary)
        else:
            np.sqrt(square, temporary)
        np.add(temporary, group["eps"], temporary)
        np.divide(g, temporary, temporary)
        if group["momentum"] > 0:
            velocity = slots[1]
            np.multiply(velocity, group["momentum"], velocity)
            np.add(velocity, temporary, velocity)
            np.multiply(velocity, group["lr"], temporary)
        else:
            np.multiply(temporary, group["lr"], temporary)
        np.subtract(p, temporary, p)


class Adadelta(Optimizer):
    """Adadelta: steps in the units of the parameter, so that the learning rate is a mere factor.

    ::

        s = rho s + (1 - rho) g²
        d = sqrt(u + eps) / sqrt(s + eps) · g
        u = rho u + (1 - rho) d²
        p = p - lr d

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", arXiv 1212.5701.
    """

    _example = ("lr=100.0", "array([3.6838])")

    params: Parameters
    lr: float = option(default=1.0, allowed=NON_NEGATIVE)
    rho: float = option(default=0.9, allowed=(lambda rho: 0.0 <= rho <= 1.0, "in [0, 1]"))
    eps: float = option(default=1e-6, allowed=NON_NEGATIVE)
    weight_decay: float = option(default=0, allowed=NON_NEGATIVE)
    maximize: bool = option(default=False, kw_only=True)

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        square, moved = slots
        root, delta = scratch[1], scratch[2]
        rho, eps = group["rho"], group["eps"]
        g = decayed(group, p, g, scratch[0])
        averaged_square(square, g, rho, root)
        np.add(square, eps, root)
        np.sqrt(root, root)
        np.add(moved, eps, delta)
        np.sqrt(delta, delta)
        np.divide(delta, root, delta)
        np.multiply(delta, g, delta)
        averaged_square(moved, delta, rho, root)
        np.multiply(delta, group["lr"], delta)
        np.subtract(p, delta, p)
