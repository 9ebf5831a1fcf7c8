"""Forward mode: how a tangent goes through one operation, ``J t``.

A tangent says how fast a value moves when the arguments of a program move along a direction. No graph is needed: the
tangent of each result follows at once from those of the inputs. An operation states how: its gradient rules serve if it
acts element by element, it goes through the operation itself if that is linear, or a rule of its own says so.

Values that carry a tangent along, and transforms inside one another, are :mod:`autodiff.levels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.core.backward import finite, keep_zeros
from autodiff.core.errors import NotDifferentiableError
from autodiff.core.op import apply, argument


class _Above:
    """What modules above this one bind here (levels.py)."""

    #: ``through(function, inputs, tangents)`` runs a function: what it returns, and the tangents of that.
    through: Any = None
    #: ``transposed(op, rule, i, tangent, out, inputs, attrs)``: what input i adds, found from its gradient rule alone.
    transposed: Any = None


above = _Above()


class Refusal:
    """In the place of a tangent that does not exist: whoever uses it raises."""

    __slots__ = ("message",)

    def __init__(self, message: str) -> None:
        self.message = message

    def refuse(self) -> NotDifferentiableError:
        """The error to raise."""
        return NotDifferentiableError(self.message)


def push(op: Any, tangents: Sequence[Any], out: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """The tangent of an operation's output, from those of its inputs, as its definition states it.

    Parameters
    ----------
    op : Primitive or Fused
    tangents : sequence of array, Tensor or None (zero)
        One per input.
    out, inputs, attrs
        What the operation made, and of what: arrays, or Tensors where this is itself differentiated.

    Returns
    -------
    array, Tensor, Refusal or None (zero); a tuple of these for several outputs
        Not yet of the output's shape and dtype (:func:`fit_tangent`).

    Raises
    ------
    NotDifferentiableError
        If an input that moves has no rule.
    """
    if hasattr(op, "push"):  # all inputs at once: a rule of the user's own
        return op.push(tangents, out, inputs, attrs)
    stated = op.tangents
    total: Any = None
    if stated == "pointwise":
        for i, (rule, tangent) in enumerate(zip(op.rules, tangents, strict=True)):
            if tangent is not None:
                if rule is None:
                    raise _lacking(op, i)
                part = keep_zeros(tangent, rule(tangent, out, *inputs, **attrs), rule, (out, *inputs), attrs)
                total = part if total is None else total + part
        return total
    if stated == "jointly":
        return _run(op, _all_moving(op, tangents, inputs), attrs)
    if op.fused and stated is None:
        return above.through(lambda *given: op.composed(*given, **attrs), inputs, tangents)[1]
    for i, tangent in enumerate(tangents):
        if tangent is None:
            continue
        rule = None if op.fused else op.rules[0 if op.variadic else i]
        own: Any = None if stated is None or isinstance(stated, str) else stated[0 if op.variadic else i]
        if rule is None and own is None:
            raise _lacking(op, i)
        if own is None and stated != "each":
            part = above.transposed(op, rule, i, tangent, out, inputs, attrs)
        else:

            def pushed(t: Any, i: int = i, own: Any = own) -> Any:
                if stated == "each" or own == "linear":
                    return _run(op, [t if j == i else x for j, x in enumerate(inputs)], attrs)
                return own(*((i,) if op.variadic else ()), t, out, *inputs, **attrs)

            part = pushed(tangent)
            if part.__class__ is not tuple and part is not None and not finite(tangent):
                part = keep_zeros(tangent, part, pushed, pointwise=False)
        total = part if total is None else _sum(total, part)
    return total


def fit_tangent(tangent: Any, out: Any) -> Any:
    """A tangent in the shape and dtype of its output, None for one that cannot move: the transpose of what
    :func:`autodiff.core.backward.fit` does to a gradient.
    """
    if tangent is None or tangent.__class__ is Refusal:
        return tangent
    shape, dtype = out._data.shape, out._data.dtype
    if dtype.kind not in "fc":
        return None
    if not hasattr(tangent, "dtype"):
        tangent = np.asarray(tangent)
    if tangent.dtype is not dtype and tangent.dtype != dtype:
        if tangent.dtype.kind == "c" and dtype.kind != "c":
            tangent = tangent.real
        if tangent.dtype != dtype:
            tangent = tangent.astype(dtype)
    return tangent if tangent.shape == shape else np.broadcast_to(tangent, shape)


def bare_of(value: Any) -> Any:
    """The array of a Tensor; None as a number."""
    return 0.0 if value is None else value._data if hasattr(value, "_node") else value


def _lacking(op: Any, i: int) -> NotDifferentiableError:
    return NotDifferentiableError(
        f"{op.name} has no derivative with respect to its argument {argument(op, i)}; pass that argument through"
        " autodiff.constant(...)"
    )


def _sum(a: Any, b: Any) -> Any:
    if a.__class__ is tuple:
        return tuple(_sum(x, y) for x, y in zip(a, b, strict=True))
    if a is None or b.__class__ is Refusal:
        return b
    return a if b is None or a.__class__ is Refusal else a + b


def _run(op: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """The operation itself on tangents: its forward, or recorded where one of them is tracked."""
    if any(hasattr(x, "_node") for x in inputs):
        return apply(op, inputs, attrs)
    return op.forward(*inputs, **attrs)


def _all_moving(op: Any, tangents: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """The inputs of an operation that is linear in all of them: their tangents, zeros where one does not move."""
    rules = op.rules * len(inputs) if op.variadic else op.rules
    return [
        x if rule is None else np.zeros_like(bare_of(x)) if t is None else t
        for t, x, rule in zip(tangents, inputs, rules, strict=True)
    ]
