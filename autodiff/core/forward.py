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

from autodiff.core import backward
from autodiff.core.backward import cast
from autodiff.core.errors import NotDifferentiableError
from autodiff.core.op import apply, lacking


class _Above:
    """What modules above this one bind here."""

    through: Any = None  # through(function, inputs, tangents) gives a function's results and their tangents (levels.py)
    transposed: Any = None  # transposed(op, rule, i, tangent, out, inputs, attrs): input i's, by its pull (levels.py)


above = _Above()


def push(op: Any, tangents: Sequence[Any], out: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """The tangent of an operation's output, from one for each input, as its definition states it.

    A tangent is an array, a Tensor or None for zero. One that does not exist is an error, which is raised by whoever
    uses it. ``out`` and ``inputs`` are arrays, or Tensors where this is itself differentiated. The result is not
    yet of the output's shape and dtype (:func:`fit_tangent`).
    """
    if hasattr(op, "push"):  # all inputs at once: a rule of the user's own
        return op.push(tangents, out, inputs, attrs)
    stated = op.tangents
    total: Any = None
    if stated == "pointwise":
        for i, (rule, tangent) in enumerate(zip(op.rules, tangents, strict=True)):
            if tangent is not None:
                if rule is None:
                    raise lacking(op, i, "derivative")
                saved = (out, *inputs)
                (part,) = backward.above.zeros(op, tangent, [rule(tangent, *saved, **attrs)], [rule], saved, attrs)
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
            raise lacking(op, i, "derivative")
        if own is None and stated != "each":
            part = above.transposed(op, rule, i, tangent, out, inputs, attrs)
        else:

            def pushed(t: Any, i: int = i, own: Any = own) -> Any:
                if stated == "each" or own == "linear":
                    return _run(op, [t if j == i else x for j, x in enumerate(inputs)], attrs)
                return own(*((i,) if op.variadic else ()), t, out, *inputs, **attrs)

            (part,) = backward.above.zeros(None, tangent, [pushed(tangent)], [pushed])
        total = part if total is None else _sum(total, part)
    return total


def fit_tangent(tangent: Any, out: Any) -> Any:
    """A tangent in the shape and dtype of its output, None for one that cannot move: the transpose of what
    :func:`autodiff.core.backward.fit` does to a gradient.
    """
    if tangent is None or tangent.__class__ is NotDifferentiableError:
        return tangent
    shape, dtype = out._data.shape, out._data.dtype
    if dtype.kind not in "fc":
        return None
    if not hasattr(tangent, "dtype"):
        tangent = np.asarray(tangent)
    tangent = cast(tangent, dtype)
    return tangent if tangent.shape == shape else np.broadcast_to(tangent, shape)


def bare_of(value: Any) -> Any:
    """The array of a Tensor; None as a number."""
    return 0.0 if value is None else value._data if hasattr(value, "_node") else value


def _sum(a: Any, b: Any) -> Any:
    if a.__class__ is tuple:
        return tuple(_sum(x, y) for x, y in zip(a, b, strict=True))
    if a is None or b.__class__ is NotDifferentiableError:
        return b
    return a if b is None or a.__class__ is NotDifferentiableError else a + b


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
