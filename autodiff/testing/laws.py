"""What every operation must obey: plain functions ``law(op, args, kwargs)`` that raise AssertionError.

``LAWS`` lists them by name; the library's own tests run each over every registered operation, and so can anybody's.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from autodiff import Tensor, dispatch, gradients, jvp
from autodiff.testing.check import check_gradients
from autodiff.testing.verify import fused_against_composed, gradient_places, held

__all__ = ["LAWS", "law"]

Law = Callable[[Any, Sequence[Any], dict[str, Any]], None]
LAWS: dict[str, Law] = {}


def law(function: Law) -> Law:
    """Enter a law in ``LAWS``."""
    LAWS[function.__name__] = function
    return function


class _Call:
    """One call with some inputs tracked, and its pullback."""

    def __init__(self, op: Any, args: Sequence[Any], kwargs: dict[str, Any], tracked: Sequence[int] | None = None) -> None:
        self.places = gradient_places(op, args, kwargs) if tracked is None else list(tracked)
        full = list(args)
        self.leaves = [Tensor(full[i], requires_grad=True) for i in self.places]
        for place, leaf in zip(self.places, self.leaves, strict=True):
            full[place] = leaf
        out = op.function(*full, **kwargs)
        self.outs = [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(o, Tensor) and o.requires_grad]

    def seeds(self, rng: np.random.Generator) -> list[Any]:
        return [rng.standard_normal(o.shape).astype(o.dtype) for o in self.outs]

    def pull(self, seeds: Sequence[Any]) -> list[Any]:
        if not self.outs:
            return [np.zeros(leaf.shape, leaf.dtype) for leaf in self.leaves]
        found = gradients(self.outs, self.leaves, seeds, retain_graph=True, allow_unused=True)
        return [np.zeros(leaf.shape, leaf.dtype) if g is None else g for g, leaf in zip(found, self.leaves, strict=True)]


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _equal(ours: Sequence[Any], theirs: Sequence[Any], words: str, rtol: float = 0.0) -> None:
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.shape == b.shape, f"{words}: result {i} has shape {a.shape}, expected {b.shape}"
        scale = max(float(np.max(np.abs(b), initial=0.0)), 1.0) if b.size else 1.0
        same = np.array_equal(a, b, equal_nan=True) if rtol == 0 else np.allclose(a, b, rtol=0, atol=rtol * scale, equal_nan=True)
        assert same, f"{words}: result {i} differs by {np.max(np.abs(a - b))}"


@law
def gradients_match_numeric(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """The gradient equals the numerical reference."""
    function, *inputs = held(op, args, kwargs)
    if inputs:
        check_gradients(function, *inputs, order=1, name=op.name)


@law
def second_order_matches_numeric(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """The gradient's gradient equals differences of the gradient."""
    function, *inputs = held(op, args, kwargs)
    if inputs:
        check_gradients(function, *inputs, order=2, name=op.name)


@law
def linear_in_the_cotangent(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Powers of two scale exactly, sums add up to rounding, zero gives zero."""
    call, rng = _Call(op, args, kwargs), _rng()
    u, v = call.seeds(rng), call.seeds(rng)
    at_u, at_v = call.pull(u), call.pull(v)
    _equal(call.pull([4 * s for s in u]), [4 * g for g in at_u], "pullback of 4 u")
    _equal(call.pull([s + t for s, t in zip(u, v, strict=True)]), [a + b for a, b in zip(at_u, at_v, strict=True)], "pullback of u + v", 1e-12)
    _equal(call.pull([0 * s for s in u]), [0 * g for g in at_u], "pullback of 0")


@law
def reruns_agree_to_the_bit(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """The same call again gives the same bits."""
    first, second = _Call(op, args, kwargs), _Call(op, args, kwargs)
    seeds = first.seeds(_rng())
    _equal([o.data for o in second.outs], [o.data for o in first.outs], "output")
    _equal(second.pull(seeds), first.pull(seeds), "gradient")


@law
def every_subset_of_inputs(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """An input's gradient does not depend on which other inputs ask for one."""
    full = _Call(op, args, kwargs)
    seeds = full.seeds(_rng())
    expected = dict(zip(full.places, full.pull(seeds), strict=True))
    for size in range(1, len(full.places)):
        for subset in combinations(full.places, size):
            part = _Call(op, args, kwargs, subset)
            _equal(part.pull(seeds[: len(part.outs)]), [expected[i] for i in subset], f"gradients of inputs {subset} alone", 1e-14)


@law
def float32_stays_float32(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Float32 inputs have float32 gradients of their own shape, whatever happens between."""
    narrow = [np.asarray(a, np.float32) if isinstance(a, np.ndarray | np.generic) and a.dtype == np.float64 else a for a in args]
    call = _Call(op, narrow, kwargs)
    wide = _Call(op, args, kwargs)
    seeds = wide.seeds(_rng())
    for leaf, g, truth in zip(
        call.leaves, call.pull([s.astype(o.dtype) for s, o in zip(seeds, call.outs, strict=True)]), wide.pull(seeds), strict=True
    ):
        assert g.dtype == leaf.dtype == np.float32, f"gradient of dtype {g.dtype}"
        assert g.shape == leaf.shape
        scale = max(float(np.max(np.abs(truth), initial=0.0)), 1.0)
        assert np.max(np.abs(g - truth), initial=0.0) <= 2e-3 * scale, "the float32 gradient is far from the float64 one"


@law
def inputs_are_left_alone(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Read-only inputs work, and nothing handed in or out is written to afterwards."""
    kept = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    frozen = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    for a in frozen:
        if isinstance(a, np.ndarray):
            a.flags.writeable = False
    call = _Call(op, frozen, kwargs)
    for leaf in call.leaves:
        leaf.data.flags.writeable = False
    seeds = call.seeds(_rng())
    before = [s.copy() for s in seeds]
    for s in seeds:
        s.flags.writeable = False
    outs = [o.data.copy() for o in call.outs]
    first = [g.copy() for g in call.pull(seeds)]
    _equal(call.pull(seeds), first, "second pull over the same graph")
    _equal(seeds, before, "cotangent")
    _equal([o.data for o in call.outs], outs, "output after backward")
    _equal([a for a in frozen if isinstance(a, np.ndarray)], [a for a in kept if isinstance(a, np.ndarray)], "input")


@law
def gradients_share_no_memory(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """A gradient that arrives at a leaf shares memory with no input, output, cotangent or other gradient."""
    call = _Call(op, args, kwargs)
    if not call.outs:
        return
    seeds = call.seeds(_rng())
    total = sum(((o * s).sum() for o, s in zip(call.outs, seeds, strict=True)), Tensor(0.0))
    total.backward()
    found = [leaf.grad for leaf in call.leaves if leaf.grad is not None]
    others = [leaf.data for leaf in call.leaves] + [o.data for o in call.outs] + seeds
    for i, g in enumerate(found):
        assert not any(np.shares_memory(g, other) for other in [*others, *found[:i]]), f"gradient {i} shares memory"


@law
def layout_does_not_matter(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Fortran order, gaps and negative strides give the gradients that contiguous arrays give."""
    plain = _Call(op, args, kwargs)
    seeds = plain.seeds(_rng())
    expected_out, expected = [o.data for o in plain.outs], plain.pull(seeds)
    for change in (_fortran, _gapped, _reversed):
        strange = _Strange(op, [change(a) if isinstance(a, np.ndarray) else a for a in args], kwargs, plain.places)
        _equal([o.data for o in strange.outs], expected_out, f"output for {change.__name__[1:]} inputs", 1e-13)
        _equal(strange.pull([change(s) for s in seeds]), expected, f"gradient for {change.__name__[1:]} inputs", 1e-13)


class _Strange(_Call):
    """A call whose leaves keep their unusual layout, which the Tensor constructor would straighten."""

    def __init__(self, op: Any, args: Sequence[Any], kwargs: dict[str, Any], places: Sequence[int]) -> None:
        self.places = list(places)
        full = list(args)
        self.leaves = []
        for place in places:
            leaf = Tensor(full[place], requires_grad=True)
            leaf.data = full[place]
            self.leaves.append(leaf)
            full[place] = leaf
        out = op.function(*full, **kwargs)
        self.outs = [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(o, Tensor) and o.requires_grad]


def _fortran(a: Any) -> Any:
    return np.array(a, order="F")


def _gapped(a: Any) -> Any:
    wide = np.zeros((*a.shape, 2), a.dtype)
    wide[..., 0] = a
    return wide[..., 0]


def _reversed(a: Any) -> Any:
    back = (..., *(slice(None, None, -1),) * a.ndim)
    return a[back].copy()[back]


@law
def uses_add_up(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Used twice, an input receives twice the gradient."""
    call = _Call(op, args, kwargs)
    if not call.outs:
        return
    again = list(args)
    for place, leaf in zip(call.places, call.leaves, strict=True):
        again[place] = leaf
    second = op.function(*again, **kwargs)
    outs = [o for o in (second if isinstance(second, (tuple, list)) else (second,)) if isinstance(o, Tensor) and o.requires_grad]
    seeds = call.seeds(_rng())
    once = call.pull(seeds)
    found = gradients([*call.outs, *outs], call.leaves, [*seeds, *seeds], allow_unused=True)
    twice = [np.zeros(leaf.shape, leaf.dtype) if g is None else g for g, leaf in zip(found, call.leaves, strict=True)]
    _equal(twice, [2 * g for g in once], "gradient of two uses", 1e-14)


@law
def the_hessian_is_symmetric(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """<a, H b> = <b, H a> for random directions a and b over all inputs."""
    call, rng = _Call(op, args, kwargs), _rng()
    if not call.outs:
        return
    found = gradients(call.outs, call.leaves, call.seeds(rng), create_graph=True, allow_unused=True)
    first = [g if isinstance(g, Tensor) and g.requires_grad else None for g in found]
    a = [rng.standard_normal(leaf.shape) for leaf in call.leaves]
    b = [rng.standard_normal(leaf.shape) for leaf in call.leaves]

    def product(v: Sequence[Any]) -> list[Any]:
        terms = [(g, d) for g, d in zip(first, v, strict=True) if g is not None]
        if not terms:
            return [np.zeros(leaf.shape) for leaf in call.leaves]
        hv = gradients([g for g, _ in terms], call.leaves, [d for _, d in terms], retain_graph=True, allow_unused=True)
        return [np.zeros(leaf.shape) if h is None else h for h, leaf in zip(hv, call.leaves, strict=True)]

    left = sum(float(np.sum(x * h)) for x, h in zip(a, product(b), strict=True))
    right = sum(float(np.sum(x * h)) for x, h in zip(b, product(a), strict=True))
    assert abs(left - right) <= 1e-9 * max(1.0, abs(left)), f"<a, H b> = {left}, <b, H a> = {right}"


@law
def forward_and_reverse_are_adjoint(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """<u, J v> = <J' u, v>, with J v from :func:`autodiff.jvp`."""
    call, rng = _Call(op, args, kwargs), _rng()
    if not call.outs or any(o.dtype.kind == "c" for o in call.outs):
        return

    def tracked_outputs(*leaves: Any) -> list[Any]:
        full = list(args)
        for place, leaf in zip(call.places, leaves, strict=True):
            full[place] = leaf
        out = op.function(*full, **kwargs)
        return [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(o, Tensor) and o.requires_grad]

    u = call.seeds(rng)
    v = [rng.standard_normal(leaf.shape) for leaf in call.leaves]
    _, pushed = jvp(tracked_outputs, [leaf.data for leaf in call.leaves], v)
    forward = sum(float(np.sum(a * b)) for a, b in zip(u, pushed, strict=True))
    reverse = sum(float(np.sum(a * b)) for a, b in zip(call.pull(u), v, strict=True))
    size = sum(float(np.sum(np.abs(a * b))) for a, b in zip(u, pushed, strict=True))
    assert abs(forward - reverse) <= 1e-9 * max(1.0, size), f"<u, J v> = {forward}, <J' u, v> = {reverse}"


@law
def composed_equals_fused(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """A fused operation equals its composed definition, forward and backward, to rounding."""
    if op.fused:
        fused_against_composed(op, args, kwargs)


@law
def numpy_dispatches_here(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """NumPy's own callable on a Tensor gives what the operation gives."""
    callables = [f for f, ours in dispatch.differentiable.items() if ours is op.function]
    for callable_ in callables:
        call = _Call(op, args, kwargs)
        full = [Tensor(a, requires_grad=True) if i in call.places else a for i, a in enumerate(args)]
        result = callable_(*full, **kwargs)
        outs = list(result) if isinstance(result, (tuple, list)) else [result]
        _equal([o.data for o in outs if o.requires_grad], [o.data for o in call.outs], f"np.{callable_.__name__}")


@law
def nothing_waits_for_the_collector(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """A call and its gradients are freed by reference counts alone."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        call = _Call(op, args, kwargs)
        call.pull(call.seeds(_rng()))
        del call
        assert gc.collect() == 0, "a reference cycle was left behind"
    finally:
        if enabled:
            gc.enable()


