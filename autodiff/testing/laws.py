"""What every operation must obey: plain functions ``law(op, args, kwargs)`` that raise AssertionError.

``LAWS`` lists them by name; the library's own tests run each over every registered operation, and so can anybody's.
"""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from autodiff import Tensor, dispatch, grad, gradients, jvp
from autodiff.core.errors import AutodiffError, GraphError, NotDifferentiableError
from autodiff.core.pytree import flatten
from autodiff.testing.check import check_gradients
from autodiff.testing.foreign import LAYOUTS, emptied, equal, laws_of, linear, symmetric
from autodiff.testing.verify import Call, cast, fused_against_composed, gradient_places, held, placed

__all__ = ["LAWS", "law", "laws_of"]

Law = Callable[[Any, Sequence[Any], dict[str, Any]], None]
LAWS: dict[str, Law] = {}


def law(function: Law) -> Law:
    """Enter a law in ``LAWS``."""
    LAWS[function.__name__] = function
    return function


def _of_the_inputs_kind(found: Sequence[Any], call: Call) -> None:
    for leaf, g in zip(call.leaves, found, strict=True):
        assert (g.shape, g.dtype) == (leaf.shape, leaf.dtype), (
            f"gradient {g.dtype}{g.shape} of an input {leaf.dtype}{leaf.shape}"
        )


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


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
    call, rng = Call(op, args, kwargs), _rng()
    linear(call.pull, call.seeds(rng), call.seeds(rng))


@law
def reruns_agree_to_the_bit(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """The same call again gives the same bits."""
    first, second = Call(op, args, kwargs), Call(op, args, kwargs)
    seeds = first.seeds(_rng())
    equal([o._array for o in second.outs], [o._array for o in first.outs], "output")
    equal(second.pull(seeds), first.pull(seeds), "gradient")


@law
def every_subset_of_inputs(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """An input's gradient does not depend on which other inputs ask for one."""
    full = Call(op, args, kwargs)
    seeds = full.seeds(_rng())
    expected = dict(zip(full.places, full.pull(seeds), strict=True))
    for size in range(1, len(full.places)):
        for subset in combinations(full.places, size):
            part = Call(op, args, kwargs, subset)
            equal(
                part.pull(seeds[: len(part.outs)]),
                [expected[i] for i in subset],
                f"gradients of inputs {subset} alone",
                1e-14,
            )


@law
def float32_stays_float32(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Float32 inputs have float32 gradients of their own shape, whatever happens between."""
    call, wide = Call(op, cast(args, np.float32), kwargs), Call(op, args, kwargs)
    seeds = wide.seeds(_rng())
    found = call.pull([s.astype(o.dtype) for s, o in zip(seeds, call.outs, strict=True)])
    _of_the_inputs_kind(found, call)
    for g, truth in zip(found, wide.pull(seeds), strict=True):
        assert g.dtype == np.float32, f"gradient of dtype {g.dtype}"
        scale = max(float(np.max(np.abs(truth), initial=0.0)), 1.0)
        assert np.max(np.abs(g - truth), initial=0.0) <= 2e-3 * scale, (
            "the float32 gradient is far from the float64 one"
        )


def _freeze(arrays: Sequence[Any]) -> None:
    for array in arrays:
        array.flags.writeable = False


@law
def inputs_are_left_alone(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Read-only inputs work, and nothing handed in or out is written to afterwards."""
    frozen = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    inputs = [a for a in frozen if isinstance(a, np.ndarray)]
    kept = deepcopy(inputs)
    _freeze(inputs)
    call = Call(op, frozen, kwargs)
    seeds = call.seeds(_rng())
    before = deepcopy(seeds)
    _freeze([*(leaf._array for leaf in call.leaves), *seeds])
    outs = [o._array.copy() for o in call.outs]
    first = [g.copy() for g in call.pull(seeds)]
    equal(call.pull(seeds), first, "second pull over the same graph")
    equal(seeds, before, "cotangent")
    equal([o._array for o in call.outs], outs, "output after backward")
    equal(inputs, kept, "input")


@law
def edits_after_use_are_harmless(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """A plain array, a mask or indices too, may be written into after the call: gradients stay what they were."""
    places = gradient_places(op, args, kwargs)
    for subset in [[place] for place in places] + ([places] if len(places) > 1 else []):
        kept = Call(op, args, kwargs, subset)
        seeds = kept.seeds(_rng())
        first = kept.pull(seeds)
        own, own_kwargs = deepcopy((list(args), kwargs))
        edited = Call(op, own, own_kwargs, subset)
        for array in flatten((own, own_kwargs))[0]:
            if isinstance(array, np.ndarray) and array.flags.writeable:
                array[...] = 0 if array.dtype.kind in "iub" else -3.5 * array + 1.75
        equal(edited.pull(seeds), first, f"gradients of inputs {subset} after an edit of the others")


#: How a program gets at a tensor's memory.
DOORS: dict[str, Callable[[Any], Any]] = {
    "t.data": lambda t: t.data,
    "a view of t.data": lambda t: t.data.reshape(-1)[::-1],
    "t.detach().numpy()": lambda t: t.detach().numpy(),
    "np.asarray(t.detach())": lambda t: np.asarray(t.detach()),
    "np.from_dlpack(t.detach())": lambda t: np.from_dlpack(t.detach()),
}


def _spoilt(array: Any) -> None:
    """Write into an array that a program was handed; an empty one has nothing to write into."""
    if array.flags.writeable:
        array[...] = -3.5 * array + 1.75


@law
def edits_of_what_was_handed_out_are_harmless_or_refused(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """What a program was handed out before or after the call it may write into: no gradient is wrong for it."""
    kept = Call(op, args, kwargs)
    seeds = kept.seeds(_rng())
    first = kept.pull(seeds)
    for name, door in DOORS.items():
        early = Call(op, args, kwargs, door=door)
        for handle in early.handles:
            _spoilt(handle)
        # A copy of a number may be an array, of which NumPy's loops compute last bits otherwise.
        equal(early.pull(seeds), first, f"gradients after an edit through {name}, taken before the call,", 1e-13)
        for tensors in ("leaves", "outs"):
            late = Call(op, args, kwargs)
            with contextlib.suppress(BufferError):  # NumPy 2.0 hands out no read-only array by DLPack
                for tensor in getattr(late, tensors):
                    _spoilt(door(tensor))
            with contextlib.suppress(GraphError):
                equal(late.pull(seeds), first, f"gradients after an edit of {tensors} through {name}", 1e-13)


@law
def gradients_share_no_memory(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """A gradient that arrives at a leaf shares memory with no input, output, cotangent or other gradient."""
    call = Call(op, args, kwargs)
    if not call.outs:
        return
    seeds = call.seeds(_rng())
    total = sum(((o * s).sum() for o, s in zip(call.outs, seeds, strict=True)), Tensor(0.0))
    total.backward()
    found = [leaf.grad for leaf in call.leaves if leaf.grad is not None]
    others = [leaf._array for leaf in call.leaves] + [o._array for o in call.outs] + seeds
    for i, g in enumerate(found):
        assert not any(np.shares_memory(g, other) for other in [*others, *found[:i]]), f"gradient {i} shares memory"


@law
def layout_does_not_matter(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Fortran order, gaps, negative strides, misplaced and repeated memory, all read-only, give the gradients that
    contiguous arrays give.
    """
    plain = Call(op, args, kwargs)
    seeds = plain.seeds(_rng())
    expected_out, expected = [o._array for o in plain.outs], plain.pull(seeds)
    for layout, change in LAYOUTS.items():
        strange = _Strange(op, [change(a) if isinstance(a, np.ndarray) else a for a in args], kwargs, plain.places)
        equal([o._array for o in strange.outs], expected_out, f"output for {layout} inputs", 1e-13)
        equal(strange.pull([change(s) for s in seeds]), expected, f"gradient for {layout} inputs", 1e-13)
    for place in plain.places:
        if args[place].ndim and args[place].shape[0] > 1:
            _repeated_memory(op, args, kwargs, plain.places, place)


def _repeated_memory(op: Any, args: Sequence[Any], kwargs: dict[str, Any], places: Sequence[int], place: int) -> None:
    """An argument whose rows are one row with stride 0 is worth a copy of it."""
    repeated = list(args)
    repeated[place] = np.broadcast_to(args[place][:1], args[place].shape)
    solid = list(args)
    solid[place] = repeated[place].copy()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            plain = _Strange(op, solid, kwargs, places)
            seeds = plain.seeds(_rng())
            expected = plain.pull(seeds)
        except (AutodiffError, np.linalg.LinAlgError):
            # Equal rows may be singular, or have equal eigenvalues.
            return
        strange = _Strange(op, repeated, kwargs, places)
        found = strange.pull(seeds)
    if all(np.isfinite(g).all() for g in expected):
        equal([o._array for o in strange.outs], [o._array for o in plain.outs], "output for repeated memory", 1e-13)
        equal(found, expected, "gradient for repeated memory", 1e-13)


class _Strange(Call):
    """A call whose leaves keep their unusual layout, which the Tensor constructor would straighten."""

    def leaf(self, value: Any) -> Any:
        leaf = super().leaf(value)
        if isinstance(value, np.ndarray):
            array = value.view()
            array.flags.writeable = False
            leaf._rebind(array)
        return leaf


@law
def uses_add_up(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Used twice, an input receives twice the gradient."""
    call = Call(op, args, kwargs)
    if not call.outs:
        return
    outs = call.again(*call.leaves)
    seeds = call.seeds(_rng())
    twice = call.pull([*seeds, *seeds], [*call.outs, *outs])
    equal(twice, [2 * g for g in call.pull(seeds)], "gradient of two uses", 1e-14)


@law
def the_hessian_is_symmetric(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """<a, H b> = <b, H a> for random directions a and b over all inputs."""
    call, rng = Call(op, args, kwargs), _rng()
    if not call.outs:
        return
    found = gradients(call.outs, call.leaves, call.seeds(rng), create_graph=True, allow_unused=True)
    first = [g if isinstance(g, Tensor) and g.requires_grad else None for g in found]
    a, b = ([rng.standard_normal(leaf.shape) for leaf in call.leaves] for _ in range(2))

    def product(v: Sequence[Any]) -> list[Any]:
        terms = [(d, g) for d, g in zip(v, first, strict=True) if g is not None]
        return call.pull([d for d, _ in terms], [g for _, g in terms])

    symmetric(product, a, b)


@law
def forward_and_reverse_are_adjoint(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """<u, J v> = <J' u, v>, with J v from :func:`autodiff.jvp`."""
    call, rng = Call(op, args, kwargs), _rng()
    if not call.outs or any(o.dtype.kind == "c" for o in call.outs):
        return

    u = call.seeds(rng)
    v = [rng.standard_normal(leaf.shape) for leaf in call.leaves]
    _, pushed = jvp(call.again, [leaf._array for leaf in call.leaves], v)
    forward = sum(float(np.sum(a * b)) for a, b in zip(u, pushed, strict=True))
    reverse = sum(float(np.sum(a * b)) for a, b in zip(call.pull(u), v, strict=True))
    size = sum(float(np.sum(np.abs(a * b))) for a, b in zip(u, pushed, strict=True))
    assert abs(forward - reverse) <= 1e-9 * max(1.0, size), f"<u, J v> = {forward}, <J' u, v> = {reverse}"


@law
def every_nesting_gives_one_second_derivative(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Along a direction: forward over forward, forward over reverse, reverse over forward, reverse over reverse."""
    call, rng = Call(op, args, kwargs), _rng()
    if not call.outs or not call.leaves:
        return
    u = call.seeds(rng)
    v = [rng.standard_normal(leaf.shape) for leaf in call.leaves]

    def along(s: Any) -> Any:
        outs = call.again(*(leaf._array + s * d for leaf, d in zip(call.leaves, v, strict=True)))
        return sum(np.sum(np.real(o * w)) for o, w in zip(outs, u, strict=True))

    forward: Callable[[Any], Any] = lambda f: lambda s: jvp(f, (s,), (1.0,))[1]
    found = {}
    for outer in (forward, grad):
        for inner in (forward, grad):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    found[outer is grad, inner is grad] = float(outer(inner(along))(0.0))
            except NotDifferentiableError:
                continue
    if not found:
        return
    reference = next(iter(found.values()))
    for (outer_, inner_), value in found.items():
        assert abs(value - reference) <= 1e-8 * max(1.0, abs(reference)) or (np.isnan(value) and np.isnan(reference)), (
            f"{'reverse' if outer_ else 'forward'} over {'reverse' if inner_ else 'forward'}: {value}, not {reference}"
        )


@law
def a_tangent_of_zero_gives_zero(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Of every operation; of pointwise ones also where the derivative is infinite or NaN."""
    call = Call(op, args, kwargs)
    points = [[leaf._array for leaf in call.leaves]]
    if op.pointwise:
        points += [[np.full_like(leaf._array, edge) for leaf in call.leaves] for edge in (0.0, 1.0, np.inf, np.nan)]
    for point in points:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, pushed = jvp(call.outputs, point, [np.zeros_like(p) for p in point])
        assert all(not np.any(t) for t in pushed), f"tangents {pushed} at {point}"


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
        call = Call(op, args, kwargs)
        result = placed(callable_, args, kwargs, call.places)(*call.leaves)
        outs = result if isinstance(result, tuple | list) else [result]
        equal([o._array for o in outs if o.requires_grad], [o._array for o in call.outs], f"np.{callable_.__name__}")


@law
def nothing_waits_for_the_collector(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """A call and its gradients are freed by reference counts alone."""
    # What is there already is put aside, so that the collector looks at what the call leaves alone, however large the
    # process is. A program that has put aside objects of its own keeps them so, and pays for a whole collection.
    aside = gc.get_freeze_count() == 0
    if aside:
        gc.freeze()
    else:
        gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        call = Call(op, args, kwargs)
        call.pull(call.seeds(_rng()))
        del call
        assert gc.collect() == 0, "a reference cycle was left behind"
    finally:
        if aside:
            gc.unfreeze()
        if enabled:
            gc.enable()


@law
def broadcasting_is_repeating(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """A broadcast input's gradient is the sum of those of its copies; lengths of 0 and 0-d inputs included."""
    if not op.elementwise or len(args) < 2:
        return
    for given in (
        args,
        [
            a[:0] if np.ndim(a) and a.shape[0] == max(np.shape(b)[0] for b in args if np.ndim(b) == np.ndim(a)) else a
            for a in args
        ],
    ):
        try:
            shape = np.broadcast_shapes(*(np.shape(a) for a in given))
        except ValueError:
            continue
        call = Call(op, given, kwargs)
        full = Call(op, [np.broadcast_to(a, shape).copy() for a in given], kwargs, call.places)
        seeds = call.seeds(_rng())
        if not seeds:
            continue
        assert call.outs[0].shape == shape, f"output of shape {call.outs[0].shape}, inputs broadcast to {shape}"
        sums = [_summed(g, leaf.shape) for g, leaf in zip(full.pull(seeds), call.leaves, strict=True)]
        equal(call.pull(seeds), sums, "gradient of broadcast inputs", 1e-13)


def _summed(g: Any, shape: tuple[int, ...]) -> Any:
    lead = g.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1)
    return np.sum(g, axis=axes, keepdims=True).reshape(shape)


def _first_alone(a: Any) -> Any:
    return a.reshape(-1)[:1].reshape(())


def _with_extent(a: Any, n: int, size: int) -> Any:
    """An array with all axes of length ``n`` cut to ``size``."""
    return a[tuple(slice(size) if length == n else slice(None) for length in a.shape)]


@law
def empty_and_scalar_inputs(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Inputs without elements, without axes, or with no or one element along some axes are refused in plain words, or
    have gradients of their own shape, and tangents of their outputs'.
    """
    extents = sorted({n for a in args if isinstance(a, np.ndarray) for n in a.shape})
    cuts: list[Callable[[Any], Any]] = [emptied, _first_alone]
    cuts += [partial(_with_extent, n=n, size=size) for n in extents for size in (0, 1) if size < n]
    for cut in cuts:
        small = [cut(a) if isinstance(a, np.ndarray) and a.size else a for a in args]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's "mean of empty slice"
            try:
                call = Call(op, small, kwargs)
            except (AutodiffError, ValueError, IndexError, RuntimeError):
                continue
            try:
                found = call.pull(call.seeds(_rng()))
                arrays = [leaf._array for leaf in call.leaves]
                pushed = jvp(call.again, arrays, [np.ones_like(a) for a in arrays])[1] if arrays else []
            except NotDifferentiableError:
                continue
        _of_the_inputs_kind(found, call)
        assert [t.shape for t in pushed] == [o.shape for o in call.outs], "a tangent has another shape than its output"


@law
def every_float_dtype_is_kept(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """A float16 or longdouble input has a gradient of its own dtype, where NumPy computes in it."""
    for dtype in (np.float16, np.longdouble):
        with np.errstate(all="ignore"):
            try:
                call = Call(op, cast(args, dtype), kwargs)
            except (TypeError, AutodiffError, np.linalg.LinAlgError):
                # LAPACK and SciPy know neither.
                continue
            try:
                found = call.pull(call.seeds(_rng()))
            except NotDifferentiableError:
                continue
        _of_the_inputs_kind(found, call)


#: Operations whose output is NumPy's view of their input; no other output may share memory with an input.
_VIEWS = frozenset(
    "reshape transpose swapaxes moveaxis squeeze expand_dims ravel broadcast_to flip rot90 split diagonal real imag"
    " getitem index permute_dims einsum astype conjugate rollaxis atleast_1d atleast_2d atleast_3d".split()
)


@law
def only_views_alias_their_input(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """The output of anything but a declared view is an array of its own."""
    call = Call(op, args, kwargs)
    if op.name in _VIEWS:
        return
    for out in call.outs:
        for leaf in call.leaves:
            assert not np.shares_memory(out._array, leaf._array), (
                f"{op.name} returns its input's memory, and is not declared a view"
            )


#: Operations that pass over a NaN by their definition.
_IGNORE_NAN = frozenset(
    "fmax fmin nan_to_num nansum nanmean nanmax nanmin nanprod nancumsum nancumprod nanvar nanstd nanmedian".split()
)

#: Here a product with a NaN may fall on a place that is cropped afterwards: a cotangent of zero times a NaN.
_CROPPED = frozenset({"conv_transpose"})


@law
def nan_and_infinity_propagate(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """A NaN reaches the output, and neither it nor an infinity leaks into gradients of entries that have nothing to do
    with it.
    """
    base = Call(op, args, kwargs)
    seeds = base.seeds(_rng())
    if not seeds or op.name in _CROPPED:
        return
    truth = base.pull(seeds)
    for k, place in enumerate(base.places):
        if not np.size(args[place]) or args[place].dtype.kind == "c":
            continue
        entry = args[place].size // 2
        # An infinity times a derivative of zero is a NaN wherever sums of products are taken, so its way is followed
        # through elementwise ones only.
        for value in (np.nan, np.inf) if op.elementwise else (np.nan,):
            call = _spoiled(op, args, kwargs, base.places, place, entry, value)
            if call is None:
                continue
            if value != value and truth[k].reshape(-1)[entry] != 0 and op.name not in _IGNORE_NAN:
                assert any(np.isnan(o._array).any() for o in call.outs), f"a NaN in input {place} vanishes"
            touched = _touched(call, base)
            rest = [np.where(t, 0, s).astype(s.dtype) for t, s in zip(touched, seeds, strict=True)]
            with np.errstate(all="ignore"):
                pairs = list(zip(base.places, call.pull(rest), base.pull(rest), strict=True))
            for i, ours, before in pairs:
                far = ~np.isclose(ours, before, rtol=1e-9, atol=1e-12 * float(np.max(np.abs(before), initial=1.0)))
                for j in np.flatnonzero(far).tolist():
                    other = None if (i, j) == (place, entry) else _spoiled(op, args, kwargs, base.places, i, j, np.nan)
                    joined = other is None or any(
                        (a & b).any() for a, b in zip(touched, _touched(other, base), strict=True)
                    )
                    assert joined, (
                        f"{value} at {entry} of input {place} changes the gradient at {j} of input {i}, and no output"
                        " depends on both"
                    )


def _spoiled(
    op: Any, args: Sequence[Any], kwargs: dict[str, Any], places: Sequence[int], place: int, entry: int, value: float
) -> Call | None:
    """The call with one entry replaced; None if it is refused, as LAPACK does."""
    bad = [np.array(a) if i == place else a for i, a in enumerate(args)]
    bad[place].reshape(-1)[entry] = value
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Call(op, bad, kwargs, places)
    except (AutodiffError, ValueError, IndexError):
        return None


def _touched(call: Call, base: Call) -> list[Any]:
    """Where outputs differ from those of the base call."""
    return [np.asarray(~np.equal(o._array, b._array)) for o, b in zip(call.outs, base.outs, strict=True)]
