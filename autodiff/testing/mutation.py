"""Bent rules: every operation's gradient is made wrong in several ways, and the checks must notice each.

A check that cannot fail proves nothing. An operation whose mutants survive has facts too weak to test it, and so has
one of which no mutant can be made: an input that its sample never gives, or never gives a gradient.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from autodiff import gradients
from autodiff.core import forward
from autodiff.core.backward import pull
from autodiff.core.errors import AutodiffError
from autodiff.core.modes import plain
from autodiff.core.op import wrap
from autodiff.dispatch import bare
from autodiff.facts import Draw, sample_call
from autodiff.testing.check import check_gradients
from autodiff.testing.foreign import MUTATIONS, Bend, Mutants, mutants_of
from autodiff.testing.problem import HASTY
from autodiff.testing.verify import Call, held

__all__ = ["MUTATIONS", "Mutants", "mutant", "mutants", "mutants_of", "survivors", "telling_calls"]

#: Inputs whose derivative is zero wherever it exists, for real numbers: bending it changes nothing. (Complex ones:
#: tests/ops/test_complex.py.)
_FLAT = {"copysign": (1,), "imag": (0,)}


@contextlib.contextmanager
def _with(op: Any, **facts: Any) -> Iterator[None]:
    """Within the block an operation has other rules, or another backward or pull."""
    kept = {name: getattr(op, name) for name in facts if name in vars(op)}
    for name, fact in facts.items():
        setattr(op, name, fact)
    try:
        # An unusual state sends every operation through the general path, which reads the rules anew.
        with plain():
            yield
    finally:
        for name in facts:
            if name in kept:
                setattr(op, name, kept[name])
            else:
                delattr(op, name)


def mutant(op: Any, position: int, bend: Bend) -> contextlib.AbstractContextManager[None]:
    """Within the block the gradient of input ``position`` is bent."""
    if op.fused:
        original = op.backward

        def wrong(g: Any, residuals: Any, needs: tuple[bool, ...]) -> Any:
            found = original(g, residuals, needs)
            return tuple(bend(h) if i == position and h is not None else h for i, h in enumerate(found))

        return _with(op, backward=wrong)
    if op.variadic:
        (rule,) = op.rules
        return _with(op, rules=(lambda i, *a, **k: bend(rule(i, *a, **k)) if i == position else rule(i, *a, **k),))
    own = op.rules[position]
    return _with(op, rules=_replaced(op.rules, {position: lambda *a, **k: bend(own(*a, **k))}))


def swapped(op: Any, first: int, second: int) -> contextlib.AbstractContextManager[None]:
    """Within the block the gradients of two inputs are exchanged."""

    def exchange(values: Sequence[Any]) -> tuple[Any, ...]:
        return _replaced(values, {first: values[second], second: values[first]})

    if op.fused:
        original = op.backward
        return _with(op, backward=lambda *args: exchange(original(*args)))
    if op.variadic:
        (rule,) = op.rules
        other = {first: second, second: first}
        return _with(op, rules=(lambda i, *a, **k: rule(other.get(i, i), *a, **k),))
    return _with(op, rules=exchange(op.rules))


def _replaced(values: Sequence[Any], others: dict[int, Any]) -> tuple[Any, ...]:
    return tuple(others.get(i, value) for i, value in enumerate(values))


@contextlib.contextmanager
def bent_tangent(op: Any, bend: Bend) -> Iterator[None]:
    """Within the block the tangents of an operation's outputs are bent, and its gradients are left alone."""

    def wrong(tangents: Any, out: Any, inputs: Any, attrs: Any) -> Any:
        del op.push
        try:
            found = forward.push(op, tangents, out, inputs, attrs)
        finally:
            op.push = wrong
        parts = found if isinstance(found, tuple) else (found,)
        parts = tuple(bend(t) if hasattr(t, "dtype") else t for t in parts)
        return parts if isinstance(found, tuple) else parts[0]

    op.push = wrong
    try:
        yield
    finally:
        del op.push


def _not_summed(shape: tuple[int, ...]) -> Bend:
    """A broadcast input gets one of the repeated parts instead of their sum."""

    def bend(g: Any) -> Any:
        for _ in range(g.ndim - len(shape)):
            g = g[0]
        return g[tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)]

    return bend


def saved_as_constants(op: Any) -> contextlib.AbstractContextManager[None]:
    """Within the block the gradient of the gradient treats what was saved as constants: right in first order, wrong in
    second.

    It is the trap of a hand-derived backward that is itself recorded: its residuals are bare arrays.
    """
    if op.fused:

        def cut(node: Any, g: Any, recording: bool) -> Any:
            if not recording:
                del op.pull
                try:
                    return pull(node, g, False)
                finally:
                    op.pull = cut
            _, residuals, needs = node.saved
            parts = g if isinstance(g, list) else [g]
            bare_g = tuple(
                np.zeros(s, d) if part is None else np.asarray(bare(part))
                for part, s, d in zip(parts, *_facts(node), strict=True)
            )
            found = op.backward(bare_g if isinstance(g, list) else bare_g[0], residuals, needs)
            return [None if h is None else wrap(np.asarray(h), None) for h in found]

        return _with(op, pull=cut)
    skip = 2 if op.variadic else 1

    def constant(rule: Any) -> Any:
        return lambda *a, **k: rule(*a[:skip], *(bare(s) for s in a[skip:]), **k)

    return _with(op, rules=tuple(None if rule is None else constant(rule) for rule in op.rules))


def _facts(node: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    """The shapes and dtypes of a node's outputs."""
    several = isinstance(node.dtype, tuple)
    return (node.shape, node.dtype) if several else ((node.shape,), (node.dtype,))


def telling_calls(op: Any, draw: Draw, least: int = 3, most: int = 24) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Random calls of an operation, as many as it takes for every input to be given and to have a gradient, ``most`` at
    most.
    """
    calls = []
    missing: set[int] = set()
    for count in range(most):
        calls.append(sample_call(op, draw))
        reached = _reached(op, *calls[-1])
        missing = (set(_expected(op)) if not count else missing) - reached
        if count + 1 >= least and not missing:
            break
    return calls


def _expected(op: Any) -> list[int]:
    """The inputs that ought to have a gradient in some call."""
    if op.variadic:
        return [0]
    return [
        i for i in range(len(op.inputs)) if (op.fused or op.rules[i] is not None) and i not in _FLAT.get(op.name, ())
    ]


def _reached(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> set[int]:
    """The inputs that a call shows: given with a gradient that is not zero, or given as what has none (integers,
    masks).
    """
    call = Call(op, args, kwargs)
    found = call.pull(_seeds(call))
    shown = {place for place, g in zip(call.places, found, strict=True) if np.any(g)}
    if op.fused:
        shown |= {i for i, a in enumerate(args[: len(op.inputs)]) if a is not None and i not in call.places}
    return shown


def mutants(op: Any, calls: Sequence[tuple[Sequence[Any], dict[str, Any]]]) -> Mutants:
    """Bend an operation's gradients one by one and count what the checks notice.

    Parameters
    ----------
    op : Primitive or Fused
    calls : sequence of (args, kwargs)
        See :func:`telling_calls`.

    Returns
    -------
    Mutants

    Examples
    --------
    >>> from autodiff import registry
    >>> str(mutants(registry["tanh"], [((np.array([0.3, -1.0]),), {})]))
    '9 of 9'
    """
    caught: set[str] = set()
    every: set[str] = set()
    shown: set[int] = set()

    def expose(label: str, mutated: Any, call: Any, places: Sequence[int] | None = None, **options: Any) -> None:
        every.add(label)
        if label in caught:
            return
        # What is not bent is right, and held.
        args, kwargs = call
        function, *inputs = held(op, args, kwargs, places)
        token = HASTY.set(True)
        try:
            with mutated:
                if check_gradients(function, *inputs, name=op.name, raises=False, **options).verdict == "fail":
                    caught.add(label)
        except (AssertionError, AutodiffError):
            caught.add(label)
        finally:
            HASTY.reset(token)

    for args, kwargs in calls:
        call = Call(op, args, kwargs)
        given = (args, kwargs)
        shown |= _reached(op, args, kwargs)
        found = call.pull(_seeds(call))
        pairs = list(zip(call.places, found, strict=True))
        for position, gradient in pairs:
            if not np.any(gradient):
                # Bending zero gives zero: no mutant at all.
                continue
            for name, bend in MUTATIONS.items():
                expose(f"input {position} {name}", mutant(op, position, bend), given, [position], order=1)
            if op.elementwise and np.size(args[position]) != call.outs[0].size:
                bend = _not_summed(np.shape(args[position]))
                label = f"input {position} not summed over broadcast axes"
                expose(label, mutant(op, position, bend), given, [position], order=1)
        for (i, a), (j, b) in combinations(pairs, 2):
            if a.shape == b.shape and np.max(np.abs(a - b), initial=0.0) > 1e-3 * np.max(np.abs(a), initial=0.0):
                expose(f"inputs {i} and {j} swapped", swapped(op, i, j), given, [i, j], order=1)
        if any(np.any(gradient) for _, gradient in pairs):
            for name, bend in MUTATIONS.items():
                expose(f"tangent {name}", bent_tangent(op, bend), given, modes=("forward",))
        if _curved(call):
            expose("saved arrays as constants", saved_as_constants(op), given, order=2)
    for label, mutated, x in _zero_beyond_an_edge(op):
        expose(label, mutated, ((x,), {}), [0], order=1)
    untold = [op.inputs[min(i, len(op.inputs) - 1)] for i in _expected(op) if i not in shown]
    words = tuple(f"input {name!r} is never given, or never has a gradient, in its sample" for name in untold)
    return Mutants(len(every), tuple(sorted(every - caught)), words)


def _zero_beyond_an_edge(op: Any) -> Iterator[tuple[str, Any, Any]]:
    """Gradients that vanish on one side of an edge which the operation states, and points on both sides of it."""
    if not op.pointwise or len(op.inputs) != 1 or len(op.parameters) != 1:
        return
    for edge in op.edges:
        x = edge + 0.05 * max(1.0, abs(edge)) * np.array([-1.0, 1.0])
        with np.errstate(all="ignore"):
            size = np.abs(bare(op.function(x)))
            x = x[(size > 1e-250) & (size < 1e250)]  # nearer to the ends of the range no difference tells anything
        for side in np.sign(x - edge):
            beyond = side * (x - edge) > 0
            label = f"input 0 zero {'above' if side > 0 else 'below'} {edge:g}"
            yield label, mutant(op, 0, lambda g, beyond=beyond: g * ~beyond), x  # type: ignore[misc]


def survivors(op: Any, calls: Sequence[tuple[Sequence[Any], dict[str, Any]]]) -> list[str]:
    """The mutants of an operation that no call exposes, and what its facts do not reach; empty if all were caught."""
    found = mutants(op, calls)
    return [*found.survived, *found.untold]


def _seeds(call: Call) -> list[Any]:
    """Cotangents of no particular structure: those of a softmax, say, that are all alike give no gradient."""
    return call.seeds(np.random.default_rng(3))


def _curved(call: Call) -> bool:
    """Whether a call has a second derivative to lose."""
    seeds = _seeds(call)
    if not seeds:
        return False
    first = [
        g
        for g in gradients(call.outs, call.leaves, seeds, create_graph=True, allow_unused=True)
        if g is not None and g.requires_grad
    ]
    if not first:
        return False
    second = gradients(first, call.leaves, [np.ones(g.shape, g.dtype) for g in first], allow_unused=True)
    size = max((float(np.max(np.abs(bare(g)), initial=0.0)) for g in first), default=0.0)
    return any(h is not None and np.max(np.abs(h), initial=0.0) > 1e-6 * max(size, 1.0) for h in second)
