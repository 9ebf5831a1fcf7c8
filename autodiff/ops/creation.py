"""NumPy's functions that make arrays, as functions that make Tensors: zeros, arange, zeros_like, r_ and their kin.

Each is NumPy's own; what comes out is a constant, or with ``requires_grad=True`` a leaf. The value of :func:`full` and
what stands in ``r_[...]`` and ``c_[...]`` may be Tensors, which are joined differentiably.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.core.errors import ArgumentError, NotDifferentiableError
from autodiff.core.op import above
from autodiff.functions import named
from autodiff.ops import shaping
from autodiff.ops.common import bare

NAMES = "zeros ones empty eye identity tri arange zeros_like ones_like empty_like indices fromfunction"


def _maker(numpys: Callable[..., Any]) -> Callable[..., Any]:
    name = numpys.__name__

    def make(*args: Any, requires_grad: bool = False, **kwargs: Any) -> Any:
        if name in ("zeros", "ones", "empty") and len(args) > 1 and isinstance(args[1], int):
            raise ArgumentError(f"{name}: the shape is one argument, as in NumPy: {name}({args})")
        if not name.endswith("_like") and any(getattr(value, "_node", None) is not None for value in args):
            raise NotDifferentiableError(
                f"{name} of a tensor that requires a gradient would cut its graph; use autodiff.linspace, or t +"
                f" np.{name}(...), or t.item() where no gradient is wanted"
            )
        made = numpys(*map(bare, args), **{key: bare(value) for key, value in kwargs.items()})
        return above.tensor(made, requires_grad)

    make.__module__ = "autodiff"
    words = "a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."
    return named(make, name, f"``numpy.{name}`` as a Tensor: {words}")


#: Our functions by NumPy's names.
MAKERS: dict[str, Callable[..., Any]] = {name: _maker(getattr(np, name)) for name in NAMES.split()}


def full(shape: Any, fill_value: Any, dtype: Any = None, *, requires_grad: bool = False) -> Any:
    """``numpy.full`` as a Tensor, differentiable in ``fill_value``.

    Parameters
    ----------
    shape : int or tuple of int
    fill_value : array_like or Tensor, broadcastable to ``shape``
    dtype : dtype, optional
    requires_grad : bool
        Make a leaf of a constant.

    Raises
    ------
    ShapeError
        If ``fill_value`` does not broadcast to ``shape``.

    Examples
    --------
    >>> import autodiff
    >>> c = autodiff.tensor(2.0, requires_grad=True)
    >>> autodiff.full((2, 2), c).sum().backward()
    >>> c.grad
    array(4.)
    """
    value = shaping.array(fill_value)
    filled = shaping.broadcast_to(value, tuple(shape) if isinstance(shape, tuple | list) else (int(shape),)).copy()
    if dtype is not None:
        filled = filled.astype(dtype)
    return filled.requires_grad_() if requires_grad else filled


def full_like(a: Any, fill_value: Any, dtype: Any = None, *, requires_grad: bool = False) -> Any:
    """``numpy.full_like`` as a Tensor, differentiable in ``fill_value``: an array of ``a``'s shape and dtype."""
    like = shaping._tensor(a)
    return full(like.shape, fill_value, like.dtype if dtype is None else dtype, requires_grad=requires_grad)


class _Joiner:
    """``np.r_`` or ``np.c_`` with Tensors among what is joined."""

    def __init__(self, name: str, columns: bool) -> None:
        self._name = name
        self._columns = columns
        self.__doc__ = f"``numpy.{name}`` as a Tensor, differentiable in the Tensors that stand in it."

    def __getitem__(self, key: Any) -> Any:
        made = []
        for part in key if isinstance(key, tuple) else (key,):
            if isinstance(part, str):
                raise ArgumentError(f"autodiff.{self._name}: directives ({part!r}) are not taken; use concatenate")
            tracked = hasattr(part, "_node") or dispatch.holds_tensor(part)
            t = shaping.array(part if tracked else np.r_[part,])
            if self._columns:
                made.append(t.reshape(-1, 1) if t.ndim < 2 else t)
            else:
                made.append(t if t.ndim else t.reshape(1))
        return shaping.concatenate(made, axis=-1 if self._columns else 0)


r_ = _Joiner("r_", columns=False)
c_ = _Joiner("c_", columns=True)
