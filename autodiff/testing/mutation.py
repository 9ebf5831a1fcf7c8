"""Bent rules: every operation's gradient is made wrong in several ways, and the checks must notice each.

A check that cannot fail proves nothing. An operation whose mutants survive has facts too weak to test it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from autodiff import gradients
from autodiff.dispatch import bare
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


@contextlib.contextmanager
def swapped(op: Any, first: int, second: int) -> Iterator[None]:
    """Within the block the gradients of two inputs are exchanged."""

    def exchange(values: Sequence[Any]) -> tuple[Any, ...]:
        order = list(values)
        order[first], order[second] = order[second], order[first]
        return tuple(order)

    if op.fused:
        original = op.backward
        op.backward = lambda *args: exchange(original(*args))
        try:
            yield
        finally:
            op.backward = original
        return
    rules = op.rules
    if op.variadic:
        (rule,) = rules
        other = {first: second, second: first}
        op.rules = (lambda i, *a, **k: rule(other.get(i, i), *a, **k),)
    else:
        op.rules = exchange(rules)
    try:
        with tracing():
            yield
    finally:
        op.rules = rules


@contextlib.contextmanager
def saved_as_constants(op: Any) -> Iterator[None]:
    """Within the block an elementary operation's rules see what was saved as constants: right in first order, wrong in second."""
    rules = op.rules
    skip = 2 if op.variadic else 1

    def cut(rule: Any) -> Any:
        return lambda *a, **k: rule(*a[:skip], *(bare(s) for s in a[skip:]), **k)

    op.rules = tuple(None if rule is None else cut(rule) for rule in rules)
    try:
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

    def expose(label: str, mutated: Any, args: Sequence[Any], kwargs: dict[str, Any], order: int) -> None:
        every.add(label)
        if label in caught:
            return
        function, *inputs = _held(op, args, kwargs)
        with mutated:
            try:
                check_gradients(function, *inputs, order=order, name=op.name)
            except (AssertionError, AutodiffError):
                caught.add(label)

    for args, kwargs in calls:
        call = _Call(op, args, kwargs)
        found = call.pull([np.ones(o.shape, o.dtype) for o in call.outs])
        for position, gradient in zip(call.places, found, strict=True):
            if not np.any(gradient):
                # Bending zero gives zero: no mutant at all.
                continue
            for name, bend in MUTATIONS.items():
                expose(f"input {position} {name}", mutant(op, position, bend), args, kwargs, 1)
        for (i, a), (j, b) in combinations(list(zip(call.places, found, strict=True)), 2):
            if a.shape == b.shape and np.max(np.abs(a - b), initial=0.0) > 1e-3 * np.max(np.abs(a), initial=0.0):
                expose(f"inputs {i} and {j} swapped", swapped(op, i, j), args, kwargs, 1)
        if not op.fused and _curved(call):
            expose("saved arrays as constants", saved_as_constants(op), args, kwargs, 2)
    return sorted(every - caught)


def _curved(call: _Call) -> bool:
    """Whether a call has a second derivative to lose."""
    seeds = [np.full(o.shape, 0.7, o.dtype) for o in call.outs]
    if not seeds:
        return False
    first = [g for g in gradients(call.outs, call.leaves, seeds, create_graph=True, allow_unused=True) if g is not None and g.requires_grad]
    if not first:
        return False
    second = gradients(first, call.leaves, [np.ones(g.shape, g.dtype) for g in first], allow_unused=True)
    return any(h is not None and np.max(np.abs(h), initial=0.0) > 1e-6 for h in second)
