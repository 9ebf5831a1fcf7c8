"""Rprop: only the sign of a gradient counts, and every coordinate has a step size of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.flat import Array
from optim.optimizer import NON_NEGATIVE, Group, Optimizer, Parameters, option

__all__ = ["Rprop"]


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
