"""Gradient clipping, as ``torch.nn.utils``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from autodiff.arguments import checked, refuse_negative, refuse_wrong
from autodiff.core.errors import ArgumentError, DTypeError
from autodiff.rows import RowSparse
from autodiff.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def _with_gradients(parameters: Any) -> list[tuple[Tensor, Any]]:
    if hasattr(parameters, "parameters") or callable(parameters):
        raise ArgumentError("clipping takes an iterable of parameters; pass model.parameters()")
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    wrong = [p for p in given if not hasattr(p, "grad")]
    if wrong:
        raise ArgumentError(f"clipping takes parameters, got a {type(wrong[0]).__name__}; pass model.parameters()")
    return [(p, p.grad._array if isinstance(p.grad, Tensor) else p.grad) for p in given if p.grad is not None]


@checked
def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float | str = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> float:
    """Scale all gradients together so that their joint norm is ``max_norm`` at most.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
    max_norm : float
    norm_type : float
        The p of the norm; infinity, or "inf", for the largest absolute value.
    error_if_nonfinite : bool
        Raise if the norm is NaN or infinite; nothing is changed then.
    foreach : bool, optional
        Chooses between PyTorch's implementations, and means nothing here.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    ArgumentError
        If ``max_norm`` is negative, or the norm is not finite and that was to be an error.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> clip_grad_norm_(x, 1.0)
    10.0
    >>> bool(abs(x.grad - [0.6, 0.8]).max() < 1e-6)
    True
    """
    refuse_negative("clip_grad_norm_: max_norm", max_norm)
    order: Any = np.inf if norm_type == "inf" else norm_type
    refuse_wrong("clip_grad_norm_", [("norm_type", order)], {"norm_type": "float"})
    pairs = _with_gradients(parameters)
    # What a gradient of rows leaves out is zero, and adds nothing to a norm of positive order.
    arrays = [g if not isinstance(g, RowSparse) else g.values() if order > 0 else g.to_dense() for _, g in pairs]
    wide = {False: np.dtype(np.float64), True: np.dtype(np.complex128)}
    norms: Any = [np.linalg.norm(g.ravel().astype(wide[g.dtype.kind == "c"], copy=False), order) for g in arrays]
    total: Any = np.linalg.norm(np.stack(norms), order) if norms else np.float64(0)
    if error_if_nonfinite and not np.isfinite(total):
        raise ArgumentError(f"clip_grad_norm_: the norm of the gradients is {total}")
    # The 1e-6 is PyTorch's.
    factor = np.minimum(max_norm / (total + 1e-6), 1.0)
    if type(total) is not np.float64 or not factor >= 1.0:
        for p, g in pairs:
            p.grad = g * factor.astype(g.dtype)
    return total.item()  # type: ignore[no-any-return]


@checked
def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float, foreach: bool | None = None) -> None:
    """Clip every element of every gradient to [-clip_value, clip_value].

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
    clip_value : float
    foreach : bool, optional
        As in :func:`clip_grad_norm_`.

    Raises
    ------
    ArgumentError
        If ``clip_value`` is negative.
    DTypeError
        If a gradient is complex; none has been changed then.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([-3.0, 0.25], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> clip_grad_value_(x, 1.0)
    >>> x.grad
    array([-1. ,  0.5])
    """
    refuse_negative("clip_grad_value_: clip_value", clip_value)
    pairs = _with_gradients(parameters)
    if any(g.dtype.kind == "c" for _, g in pairs):
        raise DTypeError("clip_grad_value_ is defined for real numbers; clip_grad_norm_ takes complex gradients, too")
    for p, g in pairs:
        p.grad = g.clip(-clip_value, clip_value)
