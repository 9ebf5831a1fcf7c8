"""A backward pass derived by hand, as in a course: which gradient is wrong, where, by how much, and what mistake makes
such numbers.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, GradientMismatch
from autodiff.extras import require
from autodiff.testing.arguments import Arguments, alike, as_array, outputs_of, packed
from autodiff.testing.problem import Problem, checked
from autodiff.testing.report import Report

__all__ = ["check_pair"]

Arrays = Sequence[Any]


def _floats(value: Any) -> list[Any]:
    """The floating and complex arrays in what a function returned."""
    arrays = [np.asarray(o) if isinstance(o, float) else as_array(o) for o in outputs_of(value)]
    return [a for a in arrays if a is not None and a.dtype.kind in "fc"]


# --- pairs ------------------------------------------------------------------------------------------------------------


def check_pair(
    forward: object,
    backward: Callable[..., object] | None,
    inputs: Sequence[object],
    *,
    name: str | None = None,
    seed: int = 0,
    raises: bool = True,
    **kwargs: object,
) -> Report:
    """Check a backward pass written by hand against its forward pass.

    Parameters
    ----------
    forward : callable
        ``forward(*inputs)`` returns the output, several outputs, or either followed by a cache: the last thing
        returned, if ``backward`` takes it. Plain NumPy, or PyTorch tensors. A first parameter called ``ctx`` gets an
        object with ``save_for_backward`` and ``saved_values`` (``saved_tensors``).
    backward : callable or None
        ``backward(dout, cache)``, ``backward(dout_1, dout_2, cache)``, ``backward(ctx, dout)``, or, if there is no
        cache, ``backward(dout, *inputs)`` or ``backward(dout)``; further parameters that are called like some of the
        forward's get their values. It returns one gradient per array among the inputs in their order, the only one, a
        dict like the argument that is a dict, or a dict by names (``"x"``, ``"dx"``, ``"grad_x"``); None for an input
        without one.
        None if ``forward`` itself returns ``(loss, gradients)``, as the losses of courses do, or is a class or object
        with both passes. Gradients of complex numbers are what one descends along, of outputs as of inputs.
    inputs : sequence
        Floating and complex arrays are differentiated with respect to, in float64; anything else is passed on.
    name : str, optional
    seed : int
    raises : bool
    **kwargs
        Passed on to ``forward``.

    Returns
    -------
    Report
        Its text names the argument, the index, both numbers and the difference, and the mistake that makes such
        numbers, where it is a known one (``report.hints``). What was not checked is among its notes.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong, has a wrong shape, or the backward pass writes into the inputs or ``dout``. It may turn
        ``dout`` into the gradient that it returns, as courses do (``dout[x <= 0] = 0; return dout``).
    ArgumentError
        If no input is a floating array, or the two functions do not fit together: the number of gradients, of outputs.

    Examples
    --------
    >>> forward = lambda x, w: (x @ w, (x, w))
    >>> backward = lambda dout, cache: (dout @ cache[1].T, cache[0].T @ dout)
    >>> check_pair(forward, backward, [np.ones((2, 3)), np.ones((3, 4))]).verdict
    'pass'
    >>> halved = lambda dout, cache: (dout @ cache[1].T, cache[0].T @ dout / 2)
    >>> print(*check_pair(forward, halved, [np.eye(2), np.eye(2)], raises=False).hints)
    argument 1: every entry is 1/2 of what it should be, and 2 is the length of axis 0 of argument 0: a mean where there
    should be a sum, ...
    """
    label = name or str(getattr(forward, "__name__", type(forward).__name__))
    if not isinstance(inputs, list | tuple):
        raise ArgumentError(
            f"check_pair: inputs must be a list of the arguments of {label}, got {type(inputs).__name__}"
        )
    arguments = Arguments("check_pair", inputs, kwargs)
    kept = (
        [] if isinstance(forward, type) else [key for key, a in getattr(forward, "__dict__", {}).items() if _floats(a)]
    )
    if backward is None and kept:
        arguments.notes.append(
            f"not checked: the attributes {', '.join(kept)} of {label}; autodiff.testing.course.check_layer checks them"
        )
    run, back = passes_of(label, forward, backward)
    problem = lambda rng: _Pair(label, run, back, arguments, rng)
    given = [back, list(inputs)]
    return checked("check_pair", run, given, kwargs, problem, seed=seed, raises=raises, name=label)


def passes_of(name: str, forward: Any, backward: Any) -> tuple[Any, Any]:
    """The two passes; those of a class or an object that holds both, as minitorch's and needle's operations do."""
    if backward is None and hasattr(forward, "forward") and hasattr(forward, "backward"):
        forward, backward = forward.forward, forward.backward
    elif backward is None and hasattr(forward, "compute") and hasattr(forward, "gradient"):
        op, forward = forward, forward.compute
        backward = lambda g, *inputs: op.gradient(g, types.SimpleNamespace(inputs=inputs))
    if not callable(forward) or not (backward is None or callable(backward)):
        raise ArgumentError(
            f"check_pair: {name} must be two functions, forward and backward, or a class or an object that has both;"
            " tensors of an engine go to check_engine"
        )
    return forward, backward


class _Context:
    """What minitorch, TinyTorch and PyTorch hand to the two passes of an operation."""

    def __init__(self) -> None:
        self.saved_values: tuple[Any, ...] = ()
        self.needs_input_grad = (True,) * 64

    def save_for_backward(self, *values: Any) -> None:
        """Keep values for the backward pass."""
        self.saved_values = values

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """PyTorch's name."""
        return self.saved_values


class _Pair(Problem):
    """A forward and a backward pass of somebody's arrays."""

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        backward: Callable[..., Any] | None,
        arguments: Arguments,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(arguments, rng)
        self.name, self.forward, self.backward = name, forward, backward
        names = [n for n in _names(forward) if n not in arguments.options]
        self.context = next(iter(names), "") in ("ctx", "context") or (
            "*" not in names and len(names) == arguments.count + 1
        )
        self.torch = (
            require("torch") if any(hasattr(o, "detach") and hasattr(o, "cpu") for o in arguments.originals) else None
        )
        result = self._called([b.copy() for b in self.base])[0]
        self.takes_cache = self._finds_cache(result)
        outs = self._outputs_of(result)
        self.draw(outs)
        if backward is None:
            # The gradients that come with a loss are those of the loss itself.
            self.cotangents = [np.ones(np.shape(o)) for o in outs]
        # Plain NumPy computes in any precision, and with complex numbers; other libraries are given float64.
        kinds = [dtype.kind for dtype in arguments.dtypes]
        self.tries_complex = self.torch is None and "c" not in kinds and not any(o.dtype.kind == "c" for o in outs)
        if not self.cotangents:
            raise ArgumentError(f"{name}: the forward returned no floating array, but {type(result).__name__}")
        self.uncovered: list[int] = []
        self.gradient(self.base)
        arguments.drop(self.uncovered, "has no gradient among those that the backward returned")

    @property
    def _given(self) -> list[str]:
        """The names of what the forward was given, in order."""
        positional = _names(self.forward, defaults=True)[self.context :]
        return [*positional[: self.arguments.count], *self.arguments.options]

    def _options(self, taken: int, args: Sequence[Any]) -> dict[str, Any]:
        """What the backward asks for by names of the forward's arguments, beyond its first parameters."""
        given = dict(zip(self._given, args, strict=False)) | self.arguments.call(self.base, lambda a, _: a)[1]
        return {name: given[name] for name in _names(self.backward, defaults=True)[taken:] if name in given}

    def _called(self, arrays: Arrays) -> tuple[Any, list[Any], Any]:
        """What the forward returned, its arguments, and the context."""

        def wrap(array: Any, number: int) -> Any:
            if hasattr(self.arguments.originals[number], "cpu") and self.torch is not None:
                return self.torch.tensor(array)
            return array[()] if type(self.arguments.originals[number]) is float else array

        args, kwargs = self.arguments.call(arrays, wrap)
        context = _Context() if self.context else None
        return (
            (self.forward(context, *args, **kwargs) if self.context else self.forward(*args, **kwargs)),
            args,
            context,
        )

    def _finds_cache(self, result: Any) -> bool:
        """Whether the last thing that the forward returned is what the backward takes last."""
        if self.context or not isinstance(result, tuple | list) or len(result) < 2:
            return False
        if self.backward is None:
            return True
        names = _names(self.backward)
        last = as_array(result[-1])
        if "*" in names or not names:
            return True
        count = len([n for n in names if not n.startswith("*")])
        if count == len(result):
            if last is not None and last.dtype.kind in "fc" and names[-1] != "cache":
                self.arguments.notes.append(
                    f"not checked: output {len(result) - 1} was taken for the cache of the backward pass"
                )
            return True
        if count == len(result) + self.arguments.count:
            return False
        if len(result) + len([n for n in names[len(result) :] if n in self._given]) == count:
            return True
        raise ArgumentError(
            f"{self.name}: the forward returned {len(result)} things and the backward takes {count}"
            f" ({', '.join(names)}); it should take one gradient per output and the cache ({len(result)}), or, without"
            f" a cache, the gradients and the {self.arguments.count} inputs"
        )

    def _outputs_of(self, result: Any) -> list[Any]:
        return _floats(self._raw(result))

    def outputs(self, arrays: Arrays) -> list[Any]:
        return self._outputs_of(self._called(arrays)[0])

    def gradient(self, arrays: Arrays) -> list[Any]:
        arrays = [alike(a, np.float64) for a in arrays]
        before = [a.copy() for a in arrays]
        result, args, context = self._called(arrays)
        written = [leaf.label for leaf, a, b in zip(self.leaves, arrays, before, strict=True) if not _same(a, b)]
        if written:
            raise GradientMismatch(
                f"{self.name}: the forward pass writes into {' and '.join(written)}; work on a copy, or not in place"
            )
        kept = [np.array(as_array(a)) if as_array(a) is not None else None for a in args]
        if self.backward is None:
            if not isinstance(result, tuple | list) or len(result) < 2:
                raise ArgumentError(f"{self.name}: without a backward pass, forward must return (loss, gradients)")
            found = result[1] if len(result) == 2 else tuple(result[1:])
            scaled = float(np.ravel(self.cotangents[0])[0])  # 1, or 2 where the diagnosis asks
            return self._matched(found, lambda g: g * scaled)
        shapes = iter(self.cotangents)
        couts = [self._like(next(shapes), o) for o in self._raw(result)]
        before = [np.array(as_array(c)) for c in couts]
        if self.context:
            found = self.backward(context, *couts, **self._options(1 + len(couts), args))
        elif self.takes_cache:
            found = self.backward(*couts, result[-1], **self._options(1 + len(couts), args))
        elif len(_names(self.backward)) == len(couts) and "*" not in _names(self.backward):
            # A layer that keeps its inputs itself, or needs none: a sum, a transposition.
            found = self.backward(*couts)
        else:
            found = self.backward(*couts, *args, **self._options(len(couts) + len(args), args))
        changed = [
            f"argument {i}"
            for i, (a, b) in enumerate(zip(args, kept, strict=True))
            if b is not None and not _same(a, b)
        ]
        returned = outputs_of(found)
        for c, b in zip(couts, before, strict=True):
            if not _same(c, b) and not any(g is c for g in returned):
                changed.append("dout")
        if changed:
            raise GradientMismatch(
                f"{self.name}: the backward pass writes into {' and '.join(changed)}; work on a copy, or not in place"
            )
        return self._matched(found, lambda g: g)

    def _raw(self, result: Any) -> list[Any]:
        """The outputs as the forward returned them."""
        if self.backward is None:
            result = result[0] if isinstance(result, tuple | list) else result
        elif self.takes_cache:
            result = list(result[:-1])
        outs = outputs_of(result)
        return [o for o in outs if isinstance(o, float) or (as_array(o) is not None and as_array(o).dtype.kind in "fc")]

    def _like(self, u: Any, out: Any) -> Any:
        """A cotangent as what the output is: an array of its own, a tensor, a number."""
        if self.torch is not None and hasattr(out, "cpu"):
            return self.torch.tensor(np.conj(u))
        # The gradient of a complex output points where its real and its imaginary part raise the sum, as those of
        # arguments do.
        u = np.conj(u)
        return float(u) if isinstance(out, float) and not isinstance(out, np.generic) else np.array(u)

    def _matched(self, found: Any, scaled: Callable[[Any], Any]) -> list[Any]:
        """The gradient of every leaf among what the backward returned; None where it returned None."""
        spots = self.arguments.spots()
        leaves: list[Any] = [None] * len(self.leaves)
        covered: set[int] = set()
        by_name = isinstance(found, dict) and len([s for s in spots if s is not None]) != 1
        for spot, g, label in self._by_name(found, spots) if by_name else self._by_place(found, spots):
            self._spread(spot, g, label, leaves, covered, scaled)
        self.uncovered = [i for i in range(len(self.leaves)) if i not in covered]
        return leaves

    def _by_place(self, found: Any, spots: Sequence[Any]) -> Iterator[tuple[Any, Any, str]]:
        """The gradients with the arguments that they belong to by their number."""
        every = list(found) if isinstance(found, tuple | list) else [found]
        originals = self.arguments.originals
        # One gradient per input, per input with floats in it, per array, or per array outside of containers.
        inputs = [i for i, s in enumerate(spots) if s is not None]
        arrays = [i for i in inputs if not isinstance(spots[i], int) or type(originals[spots[i]]) is not float]
        bare = [i for i in arrays if isinstance(spots[i], int)]
        choices = [list(range(len(spots))), inputs, arrays, bare]
        places = next((c for c in choices if len(c) == len(every)), None)
        if places is None and self.backward is None and len(every) < len(bare):
            places = bare[: len(every)]
        if places is None:
            raise ArgumentError(
                f"{self.name}: the backward returned {len(every)} gradients for {len(spots)} inputs, of which"
                f" {len(bare)} are floating arrays; it should return one for each of these (None for one without)"
            )
        for place, g in zip(places, every, strict=True):
            yield spots[place], g, f"argument {place}"

    def _by_name(self, found: dict[Any, Any], spots: Sequence[Any]) -> Iterator[tuple[Any, Any, str]]:
        """The gradients of a dict with the arguments that its keys name: ``"x"``, ``"dx"``, ``"grad_x"``, ``"x_grad"``
        of an argument x, or of an entry x of an argument that is a dict.
        """
        known: dict[Any, tuple[Any, str]] = {}
        for place, spot in enumerate(spots):
            if isinstance(spot, dict):
                known |= {key: (inner, f"argument {place}[{key!r}]") for key, inner in spot.items()}
        known |= {n: (s, f"argument {i}") for i, (n, s) in enumerate(zip(self._given, spots, strict=False))}
        for key, g in found.items():
            names = [key]
            if isinstance(key, str):
                names += [key.removeprefix("grad_"), key.removesuffix("_grad"), key.removeprefix("d_"), key[1:]]
            name = next((n for n in names if n in known), None)
            if name is None:
                said = ", ".join(map(str, known))
                raise ArgumentError(f"{self.name}: the backward returned a gradient called {key!r}; known are {said}")
            if known[name][0] is not None:
                yield known[name][0], g, known[name][1]

    def _spread(
        self, spot: Any, g: Any, label: str, leaves: list[Any], covered: set[int], scaled: Callable[[Any], Any]
    ) -> None:
        if isinstance(spot, int):
            covered.add(spot)
            if g is None:
                return
            array = np.asarray(g) if isinstance(g, float | int) else as_array(g)
            if array is None:
                raise ArgumentError(f"{self.name}: the gradient of {label} is a {type(g).__name__}, not an array")
            imaginary = "c" in (array.dtype.kind, self.arguments.dtypes[spot].kind)
            array = array.astype(np.complex128 if imaginary else np.float64)
            leaves[spot] = scaled(packed(array) if self.arguments.dtypes[spot].kind == "c" else array)
        elif isinstance(spot, dict):
            if g is None:
                return
            if not isinstance(g, dict):
                raise ArgumentError(f"{self.name}: the gradient of {label}, a dict, is a {type(g).__name__}")
            for key, inner in spot.items():
                if inner is not None and key in g:
                    self._spread(inner, g[key], f"{label}[{key!r}]", leaves, covered, scaled)
        elif isinstance(spot, list) and g is not None:
            if not isinstance(g, list | tuple) or len(g) != len(spot):
                raise ArgumentError(f"{self.name}: the gradient of {label}, {len(spot)} arrays, is {type(g).__name__}")
            for i, (inner, part) in enumerate(zip(spot, g, strict=True)):
                self._spread(inner, part, f"{label}[{i}]", leaves, covered, scaled)


def _names(function: Any, defaults: bool = False) -> list[str]:
    """The names of a function's positional parameters without defaults, or all; "*" for any number of them."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ["*"]
    names = [
        p.name
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and (defaults or p.default is p.empty)
    ]
    if defaults:
        return names
    return ["*"] if any(p.kind is p.VAR_POSITIONAL for p in parameters) and len(names) < 2 else names


def _same(a: Any, b: Any) -> bool:
    a = np.asarray(as_array(a))
    return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=b.dtype.kind in "fc"))
