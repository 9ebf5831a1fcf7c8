"""Optimisers that see a parameter's matrix, not its elements alone: Muon and Adafactor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, DTypeError
from optim.flat import Array, Flat, array_of
from optim.optimizer import NON_NEGATIVE, Group, Optimizer, Parameters, option

__all__ = ["Adafactor", "Muon"]


class _Shaped(Optimizer):
    """One whose formula takes each parameter in its shape."""

    def _check(self, group: Group) -> None:
        super()._check(group)
        for p in group["params"]:
            if array_of(p).dtype.kind == "c":
                raise DTypeError(f"{self._name}: takes real parameters, got {array_of(p).dtype}")

    def _advance(
        self,
        group: Group,
        flat: Flat,
        grads: list[Any],
        used: list[bool] | None,
        turns: list[Any],
        slots: list[Array],
        plain: bool = False,
    ) -> None:
        for i, (p, g) in enumerate(zip(flat.views, grads, strict=True)):
            if g is not None and p.size:
                part = slice(flat.offsets[i], flat.offsets[i + 1])
                mine = [slot[part].reshape(p.shape) for slot in slots]
                self._update_shaped(group, turns[i], p, g, mine, self.state[flat.params[i]])

    def _update_shaped(
        self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], state: dict[str, Any]
    ) -> None:
        """The formula, on arrays of the parameter's shape: write new values over ``p`` and over ``slots``."""
        raise NotImplementedError


class Muon(_Shaped):
    """Momentum whose matrices are made nearly orthogonal before the step.

    With gradient ``g`` of a matrix (A, B)::

        m = momentum m + (1 - momentum) g
        o = NewtonSchulz(momentum m + (1 - momentum) g if nesterov else m)
        p = (1 - lr weight_decay) p - lr sqrt(max(1, A / B)) o

    Parameters
    ----------
    params : iterable
        Matrices: parameters with two axes. Give the others to an optimiser of their own, such as AdamW.
    weight_decay : float
        How the parameters shrink, times ``lr``.
    ns_coefficients : tuple of three float
        Of the polynomial that is applied to the singular values.
    eps : float
        The least norm that is divided by.
    ns_steps : int
        How often, below 100.
    adjust_lr_fn : {None, "original", "match_rms_adamw"}
        The factor of the rate; the last is ``0.2 sqrt(max(A, B))``.

    Raises
    ------
    ArgumentError
        If a parameter is no matrix, or an option has a value that is not allowed.
    DTypeError
        If a parameter is complex.

    Notes
    -----
    PyTorch iterates in bfloat16, this in the parameter's dtype: steps agree to three digits.

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; Liu et al., arXiv 2502.16982.

    Examples
    --------
    >>> import autodiff, optim
    >>> w = autodiff.tensor([[1.0, 0.0], [0.0, 2.0]], requires_grad=True)
    >>> optimizer = optim.Muon([w], lr=0.1, weight_decay=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(2)
    array([[0.89, 0.  ],
           [0.  , 1.93]])
    """

    params: Parameters
    lr: float = option(default=1e-3, allowed=NON_NEGATIVE)
    weight_decay: float = option(default=0.1, allowed=NON_NEGATIVE)
    momentum: float = option(default=0.95, allowed=NON_NEGATIVE)
    nesterov: bool = option(default=True)
    ns_coefficients: tuple[float, float, float] = option(
        default=(3.4445, -4.7750, 2.0315),
        allowed=(lambda abc: len(abc) == 3 and all(map(math.isfinite, abc)), "three finite numbers"),
    )
    eps: float = option(default=1e-7, allowed=NON_NEGATIVE)
    ns_steps: int = option(default=5, allowed=(lambda n: isinstance(n, int) and 0 <= n < 100, "an int below 100"))
    adjust_lr_fn: str | None = option(
        default=None,
        allowed=(lambda name: name in (None, "original", "match_rms_adamw"), "None, 'original' or 'match_rms_adamw'"),
    )

    def _check(self, group: Group) -> None:
        super()._check(group)
        for i, p in enumerate(group["params"]):
            if array_of(p).ndim != 2:
                raise ArgumentError(
                    f"Muon: parameter {i} has shape {array_of(p).shape}; it takes matrices, give the others to AdamW"
                )

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def _update_shaped(
        self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], state: dict[str, Any]
    ) -> None:
        (held,), share, (rows, columns) = slots, group["momentum"], p.shape
        held += (1 - share) * (g - held)
        step = _orthogonal(g + share * (held - g) if group["nesterov"] else held, group)
        match_adam = group["adjust_lr_fn"] == "match_rms_adamw"
        factor = 0.2 * math.sqrt(max(p.shape)) if match_adam else math.sqrt(max(1, rows / columns))
        p *= 1 - group["lr"] * group["weight_decay"]
        p -= (group["lr"] * factor) * step


def _orthogonal(matrix: Array, group: Group) -> Array:
    """The matrix with singular values near 1: ``X = a X + (b X Xᵀ + c (X Xᵀ)²) X`` some times (Newton and Schulz)."""
    a, b, c = group["ns_coefficients"]
    wide = matrix.shape[0] <= matrix.shape[1]
    x: Array = matrix if wide else matrix.T
    x = x / max(float(np.linalg.norm(x)), group["eps"])
    for _ in range(group["ns_steps"]):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x if wide else x.T


class Adafactor(_Shaped):
    """Adam's second moment of a matrix from the means of its rows and columns alone, and steps relative to the
    parameter's size.

    With gradient ``g`` at step ``t``, rows and columns those of the last two axes::

        b = t^beta2_decay,  r = r + b (mean of g² over columns - r),  c = c + b (mean of g² over rows - c)
        v = r c / max(mean of r, eps1),  u = g / sqrt(max(v, eps1²))
        p = (1 - lr weight_decay) p
        p = p - max(eps2, rms(p)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d)

    A vector keeps ``v`` itself.

    Parameters
    ----------
    lr : float
        The largest relative step.
    weight_decay : float
        How the parameters shrink, times ``lr``.
    beta2_decay : float
        Not positive.
    eps : (float or None, float)
        None: the dtype's epsilon.
    d : float
        From which root mean square on an update is shortened.

    Raises
    ------
    ArgumentError
        If an option has a value that is not allowed.
    DTypeError
        If a parameter is complex.

    References
    ----------
    Shazeer, Stern, "Adafactor: adaptive learning rates with sublinear memory cost", arXiv 1804.04235, with
    PyTorch's use of ``lr`` and ``eps``.

    Examples
    --------
    >>> import autodiff, optim
    >>> w = autodiff.tensor([[1.0, 2.0]], requires_grad=True)
    >>> optimizer = optim.Adafactor([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> sorted(optimizer.state[w]), optimizer.state[w]["row_var"].shape
    (['col_var', 'row_var', 'step'], (1, 1))
    """

    params: Parameters
    lr: float = option(default=1e-2, allowed=NON_NEGATIVE)
    beta2_decay: float = option(default=-0.8, allowed=(lambda power: power <= 0, "a number <= 0"))
    eps: tuple[float | None, float] = option(
        default=(None, 1e-3),
        allowed=(
            lambda eps: len(eps) == 2 and (eps[0] is None or eps[0] >= 0) and eps[1] >= 0,
            "(None or a number >= 0, a number >= 0)",
        ),
    )
    d: float = option(default=1.0, allowed=(lambda d: d >= 1, "a number >= 1"))
    weight_decay: float = option(default=0.0, allowed=NON_NEGATIVE)
    maximize: bool = option(default=False, kw_only=True)

    def _state_shape(self, name: str, p: Any) -> tuple[int, ...]:
        """A row's means have one column, a column's one row."""
        axis = {"row_var": -1, "col_var": -2}.get(name)
        shape = list(p.data.shape)
        if axis is not None and len(shape) > 1:
            shape[axis] = 1
        return tuple(shape)

    def _update_shaped(
        self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], state: dict[str, Any]
    ) -> None:
        eps1, eps2 = group["eps"]
        eps1 = float(np.finfo(p.dtype).eps) if eps1 is None else eps1
        share = float(turn) ** group["beta2_decay"]
        length = max(eps2, _rms(p)) * min(group["lr"], 1 / math.sqrt(turn))
        if group["weight_decay"]:
            p *= 1 - group["lr"] * group["weight_decay"]
        if group["maximize"]:
            g = -g
        squares = g * g
        means = {"row_var": -1, "col_var": -2} if g.ndim > 1 else {"variance": None}
        for name, axis in means.items():
            mean = squares if axis is None else squares.mean(axis=axis, keepdims=True)
            held = state.setdefault(name, np.zeros(mean.shape, p.dtype))
            held += share * (mean - held)
        if g.ndim > 1:
            rows = state["row_var"]
            v = rows @ state["col_var"] / np.maximum(rows.mean(axis=-2, keepdims=True), eps1)
        else:
            v = state["variance"]
        update = g / np.sqrt(np.maximum(v, eps1 * eps1))
        p -= (length / max(1.0, _rms(update) / group["d"])) * update


def _rms(x: Array) -> float:
    return float(np.linalg.norm(x)) / math.sqrt(x.size)
