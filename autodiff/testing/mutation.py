"""Bent rules: every operation's gradient is made wrong in several ways, and the checks must notice each.

A check that cannot fail proves nothing. An operation whose mutants survive has facts too weak to test it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autodiff.errors import AutodiffError
from autodiff.modes import tracing
from autodiff.testing.check import check_gradients
from autodiff.testing.laws import _Call
from autodiff.testing.verify import _held

__all__ = ["MUTATIONS", "mutant", "survivors"]

Bend = Callable[[Any], Any]


def _one_zeroed(g: Any) -> Any:
    """The largest entry becomes zero."""
    if not np.size(g):
        return g
    keep = np.ones(g.shape, bool)
    data = np.asarray(g._data if hasattr(g, "_node") else g)
    keep.reshape(-1)[int(np.argmax(np.abs(data)))] = False
    return g * keep


#: What is done to one gradient.
MUTATIONS: dict[str, Bend] = {
    "scaled by 1 + 1e-6": lambda g: g * (1 + 1e-6),
    "sign flipped": lambda g: -g,
    "one entry zeroed": _one_zeroed,
    "doubled": lambda g: 2 * g,
}


@contextlib.contextmanager
def mutant(op: Any, position: int, bend: Bend) -> Iterator[None]:
    """Within the block the gradient of input ``position`` is bent."""
    if op.fused:
        original = op.backward

        def wrong(g: Any, residuals: Any, needs: tuple[bool, ...]) -> Any:
            found = list(original(g, residuals, needs))
            if found[position] is not None:
                found[position] = bend(found[position])
            return tuple(found)

        op.backward = wrong
        try:
            yield
        finally:
            op.backward = original
        return
    rules = op.rules
    if op.variadic:
        (rule,) = rules
        op.rules = (lambda i, *a, **k: bend(rule(i, *a, **k)) if i == position else rule(i, *a, **k),)
    else:
        rule = rules[position]
        op.rules = tuple((lambda *a, **k: bend(rule(*a, **k))) if i == position else r for i, r in enumerate(rules))
    try:
        # An unusual state sends every operation through the general path, which reads the rules anew.
        with tracing():
            yield
    finally:
        op.rules = rules


def survivors(op: Any, calls: Sequence[tuple[Sequence[Any], dict[str, Any]]]) -> list[str]:
    """The mutants of an operation that no call exposes.

    Parameters
    ----------
    op : Primitive or Fused
    calls : sequence of (args, kwargs)

    Returns
    -------
    list of str
        Such as ``"input 0 doubled"``; empty if all were caught.
    """
    caught: set[str] = set()
    every: set[str] = set()
    for args, kwargs in calls:
        call = _Call(op, args, kwargs)
        found = call.pull([np.ones(o.shape, o.dtype) for o in call.outs])
        for position, gradient in zip(call.places, found, strict=True):
            if not np.any(gradient):
                # Bending zero gives zero: no mutant at all.
                continue
            for name, bend in MUTATIONS.items():
                label = f"input {position} {name}"
                every.add(label)
                if label in caught:
                    continue
                function, *inputs = _held(op, args, kwargs)
                with mutant(op, position, bend):
                    try:
                        check_gradients(function, *inputs, order=1, name=op.name)
                    except (AssertionError, AutodiffError):
                        caught.add(label)
    return sorted(every - caught)
