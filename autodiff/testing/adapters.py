"""The same checks for gradients that are not ours: a pair of functions written by hand, PyTorch, JAX, HIPS autograd,
any engine with ``backward()``.

``check_pair`` is for whoever derives a backward pass by hand, as in a course: it says which gradient is wrong, where,
by how much, and what mistake makes such numbers. Nothing here needs our own engine.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, GradientMismatch
from autodiff.extras import require
from autodiff.testing.arguments import Arguments, as_array, outputs_of, packed, unpacked
from autodiff.testing.check import Problem, Stops, run
from autodiff.testing.report import Report
from autodiff.testing.reproduction import script_of

__all__ = ["check_autograd", "check_engine", "check_jax", "check_pair", "check_torch"]

Arrays = Sequence[Any]


def _floats(value: Any) -> list[Any]:
    """The floating and complex arrays in what a function returned."""
    arrays = [np.asarray(o) if isinstance(o, float) else as_array(o) for o in outputs_of(value)]
    return [a for a in arrays if a is not None and a.dtype.kind in "fc"]


# --- pairs ------------------------------------------------------------------------------------------------------------


def check_pair(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    inputs: Sequence[Any],
    *,
    name: str | None = None,
    seed: int = 0,
    raises: bool = True,
    **kwargs: Any,
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
        cache, ``backward(dout, *inputs)``. It returns one gradient per array among the inputs in their order, the only
        one, or a dict like the argument that is a dict; None for an input without one. None if ``forward`` itself
        returns ``(loss, gradients)``, as the losses of courses do.
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
        If a gradient is wrong, has a wrong shape, or the backward pass writes into the inputs or ``dout``.
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
    label = name or str(getattr(forward, "__name__", "forward"))
    report = Report(label, seed)
    given = [forward, backward, list(inputs)]
    report.script = lambda: script_of("check_pair", given[0], given[1:], {"seed": seed}, kwargs)
    rng = np.random.default_rng(seed)
    arguments = Arguments("check_pair", inputs, kwargs)
    return run(_Pair(label, forward, backward, arguments, rng), report, 1, rng, raises)


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
        self.context = next(iter(_names(forward)), "") in ("ctx", "context")
        self.torch = (
            require("torch") if any(hasattr(o, "detach") and hasattr(o, "cpu") for o in arguments.originals) else None
        )
        result = self._called(self.base)[0]
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

    def _called(self, arrays: Arrays) -> tuple[Any, list[Any], Any]:
        """What the forward returned, its arguments, and the context."""

        def wrap(array: Any, number: int) -> Any:
            if hasattr(self.arguments.originals[number], "cpu") and self.torch is not None:
                return self.torch.tensor(array if array.dtype.kind == "c" else array.astype(np.float64))
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
        raise ArgumentError(
            f"{self.name}: the forward returned {len(result)} things and the backward takes {count}"
            f" ({', '.join(names)}); it should take one gradient per output and the cache ({len(result)}), or, without"
            f" a cache, the gradients and the {self.arguments.count} inputs"
        )

    def _outputs_of(self, result: Any) -> list[Any]:
        if self.backward is None:
            result = result[0] if isinstance(result, tuple | list) else result
        elif self.takes_cache:
            result = list(result[:-1])
        return _floats(result)

    def outputs(self, arrays: Arrays) -> list[Any]:
        return self._outputs_of(self._called(arrays)[0])

    def gradient(self, arrays: Arrays) -> list[Any]:
        arrays = [np.array(a, np.float64) for a in arrays]
        result, args, context = self._called(arrays)
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
            found = self.backward(context, *couts)
        elif self.takes_cache:
            found = self.backward(*couts, result[-1])
        else:
            found = self.backward(*couts, *args)
        changed = [
            f"argument {i}"
            for i, (a, b) in enumerate(zip(args, kept, strict=True))
            if b is not None and not _same(a, b)
        ]
        returned = list(outputs_of(found))
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
        outs = list(outputs_of(list(result[:-1]) if self.takes_cache else result))
        return [o for o in outs if isinstance(o, float) or (as_array(o) is not None and as_array(o).dtype.kind in "fc")]

    def _like(self, u: Any, out: Any) -> Any:
        """A cotangent as what the output is: an array of its own, a tensor, a number."""
        if self.torch is not None and hasattr(out, "cpu"):
            return self.torch.tensor(u)
        return float(u) if isinstance(out, float) and not isinstance(out, np.generic) else np.array(u)

    def _matched(self, found: Any, scaled: Callable[[Any], Any]) -> list[Any]:
        """The gradient of every leaf among what the backward returned; None where it returned None."""
        spots = self.arguments.spots()
        every = list(found) if isinstance(found, tuple | list) else [found]
        leaves: list[Any] = [None] * len(self.leaves)
        originals = self.arguments.originals
        # One gradient per input, per input with floats in it, per array, or per array outside of containers.
        inputs = [i for i, s in enumerate(spots) if s is not None]
        arrays = [i for i in inputs if not isinstance(spots[i], int) or not _is_number(originals[spots[i]])]
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
        covered: set[int] = set()
        for place, g in zip(places, every, strict=True):
            self._spread(spots[place], g, f"argument {place}", leaves, covered, scaled)
        self.uncovered = [i for i in range(len(self.leaves)) if i not in covered]
        return leaves

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
            array = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
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


def _is_number(value: Any) -> bool:
    return type(value) is float


def _names(function: Callable[..., Any]) -> list[str]:
    """The names of a function's positional parameters without defaults; "*" for any number of them."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ["*"]
    names = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    return ["*"] if any(p.kind is p.VAR_POSITIONAL for p in parameters) and len(names) < 2 else names


def _same(a: Any, b: Any) -> bool:
    a = np.asarray(as_array(a))
    return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=b.dtype.kind in "fc"))


# --- engines ----------------------------------------------------------------------------------------------------------


def _checked(
    checker: str,
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    problem: Callable[[Arguments, np.random.Generator], Problem],
    order: int,
    seed: int,
    raises: bool,
) -> Report:
    if order not in (1, 2):
        raise ArgumentError(f"{checker}: order must be 1 or 2, got {order}")
    report = Report(str(getattr(f, "__name__", type(f).__name__)), seed)
    report.script = lambda: script_of(checker, f, args, {"order": order, "seed": seed}, kwargs)
    rng = np.random.default_rng(seed)
    return run(problem(Arguments(checker, args, kwargs), rng), report, order, rng, raises)


def check_torch(
    f: Callable[..., Any], *args: Any, order: int = 2, seed: int = 0, raises: bool = True, **kwargs: Any
) -> Report:
    """Check PyTorch's gradient of a function of torch tensors, in first and second order.

    Parameters
    ----------
    f : callable
        Takes torch tensors for the arrays among ``args``; returns tensors, alone or in tuples, lists and dicts. A
        ``torch.nn.Module`` is checked with its parameters, in float64; a ``torch.autograd.Function`` may be given
        itself or by its ``apply``.
    *args
        NumPy arrays or torch tensors; floating and complex ones are differentiated with respect to.
    order : {1, 2}
    seed : int
    raises : bool
    **kwargs
        Passed on to ``f``.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    ArgumentError
        If there is nothing to differentiate with respect to.
    MissingExtraError
        If PyTorch is not installed.

    Notes
    -----
    What passes through ``.detach()`` in ``f`` is held at its value at the base point (straight-through estimators).
    """
    torch = require("torch")
    return _checked("check_torch", f, args, kwargs, lambda a, rng: _Torch(torch, f, a, rng), order, seed, raises)


class _Torch(Problem):
    """A function of torch tensors."""

    def __init__(self, torch: Any, f: Callable[..., Any], arguments: Arguments, rng: np.random.Generator) -> None:
        super().__init__(arguments, rng)
        self.torch, self.f, self.module = torch, f, None
        self.parameters: list[str] = []
        if isinstance(f, type) and issubclass(f, torch.autograd.Function):
            self.f = getattr(f, "apply")  # noqa: B009  # a class of PyTorch's, of which no type checker knows
        elif isinstance(f, torch.nn.Module):
            self.module = f
            for name, parameter in f.named_parameters():
                if parameter.requires_grad and (parameter.is_floating_point() or parameter.is_complex()):
                    self.parameters.append(name)
                    arguments.parameter(name, parameter)
            self.buffers = {name: b.double() if b.is_floating_point() else b.clone() for name, b in f.named_buffers()}
        self.stops = Stops()
        with self._stopping(self.stops.record):
            outs = self._first()
        self.draw([o.detach().resolve_conj().numpy() for o in outs])

    def _first(self) -> list[Any]:
        """The first run: a function that insists on its own precision gets it."""
        try:
            return self._run(self.base, True)[0]
        except RuntimeError as error:
            if "dtype" not in str(error) or self.module is not None:
                raise
            self.arguments.narrow = True
            return self._run(self.base, True)[0]

    def notes(self) -> list[str]:
        return self.arguments.notes + self.stops.notes() + self._left_out()

    def _left_out(self) -> list[str]:
        """Leaves of the graph that are neither arguments nor parameters of ``f`` itself."""
        outs, leaves = self._run(self.base, True)
        known = {id(leaf) for leaf in leaves}
        stack, seen, found = [o.grad_fn for o in outs], set(), []
        while stack:
            node = stack.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            stack += [parent for parent, _ in node.next_functions]
            variable = getattr(node, "variable", None)
            if variable is not None and id(variable) not in known:
                found.append(variable)
        if not found:
            return []
        words = ", ".join(str(tuple(v.shape)) for v in found[:6])
        return [
            f"not checked: {len(found)} tensors that f takes from outside and that ask for gradients (shapes {words});"
            " pass the module itself to check its parameters"
        ]

    @contextlib.contextmanager
    def _stopping(self, through: Callable[[Any], Any]) -> Any:
        """What ``detach`` gives passes through a function of arrays."""
        torch = self.torch

        class Mode(torch.overrides.TorchFunctionMode):  # type: ignore[misc,name-defined]
            def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                result = function(*args, **(kwargs or {}))
                if function is torch.Tensor.detach and result.is_floating_point():
                    with torch._C.DisableTorchFunction():
                        return torch.tensor(through(result.numpy().copy()), dtype=result.dtype)
                return result

        with Mode():
            yield

    def _moved(self) -> Any:
        return self._stopping(self.stops.following()) if self.stops.held else contextlib.nullcontext()

    def _run(self, arrays: Arrays, tracked: bool) -> tuple[list[Any], list[Any]]:
        torch, count = self.torch, len(arrays) - len(self.parameters)
        leaves: list[Any] = []

        def wrap(array: Any, number: int) -> Any:
            wide = array if self.arguments.narrow or array.dtype.kind == "c" else np.array(array, np.float64)
            leaf = torch.from_numpy(wide)
            leaves.append(leaf.requires_grad_() if tracked else leaf)
            return leaf

        def tensor(value: Any) -> Any:
            return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

        args, kwargs = self.arguments.call(arrays[:count], wrap)
        args = [tensor(a) for a in args]
        kwargs = {key: tensor(a) for key, a in kwargs.items()}
        if self.module is None:
            result = self.f(*args, **kwargs)
        else:
            values = [torch.tensor(a.astype(np.float64), requires_grad=tracked) for a in arrays[count:]]
            leaves += values
            state = {
                **dict(zip(self.parameters, values, strict=True)),
                **{k: b.clone() for k, b in self.buffers.items()},
            }
            result = torch.func.functional_call(self.module, state, tuple(args), kwargs)
        outs = [o for o in outputs_of(result) if isinstance(o, torch.Tensor)]
        return [o for o in outs if o.is_floating_point() or o.is_complex()], leaves

    def outputs(self, arrays: Arrays) -> list[Any]:
        with self._moved():
            outs = self._run(arrays, False)[0]
        return [o.detach().resolve_conj().numpy() for o in outs]

    def _first_order(self, arrays: Arrays, create_graph: bool) -> tuple[list[Any], list[Any]]:
        torch = self.torch
        moved = any(a is not b for a, b in zip(arrays, self.base, strict=True))
        with self._moved() if moved else contextlib.nullcontext():
            outs, leaves = self._run(arrays, True)
        pairs = [
            # PyTorch pairs a complex output with the conjugate of its cotangent.
            (o, torch.as_tensor(np.conj(u)).to(o.dtype))
            for o, u in zip(outs, self.cotangents, strict=True)
            if o.requires_grad
        ]
        if not pairs:
            return leaves, [None] * len(leaves)
        tracked, seeds = zip(*pairs, strict=True)
        return leaves, list(torch.autograd.grad(tracked, leaves, seeds, allow_unused=True, create_graph=create_graph))

    def _numpy(self, found: Sequence[Any]) -> list[Any]:
        arrays = [None if g is None else g.detach().resolve_conj().numpy() for g in found]
        return [
            None if a is None else packed(a.astype(np.complex128) if a.dtype.kind == "c" else a.astype(float))
            for a in arrays
        ]

    def gradient(self, arrays: Arrays) -> list[Any]:
        return self._numpy(self._first_order(arrays, False)[1])

    def second_gradient(self, arrays: Arrays, weights: Sequence[Any]) -> list[Any]:
        torch = self.torch
        leaves, found = self._first_order(arrays, True)
        pairs = []
        for g, w in zip(found, weights, strict=True):
            if g is not None and g.requires_grad:
                pairs.append((g, torch.as_tensor(unpacked(w) if g.is_complex() else w).to(g.dtype)))
        if not pairs:
            return [None] * len(leaves)
        outs, seeds = zip(*pairs, strict=True)
        return self._numpy(torch.autograd.grad(outs, leaves, seeds, allow_unused=True))


def check_jax(
    f: Callable[..., Any], *args: Any, order: int = 2, seed: int = 0, raises: bool = True, **kwargs: Any
) -> Report:
    """Check JAX's gradient of a function of JAX arrays, in first and second order. JAX must be set to 64 bits.

    Parameters
    ----------
    f : callable
        Returns arrays, alone or in tuples, lists and dicts. May be a ``jax.custom_vjp``.
    *args
        Floating and complex arrays, alone or in dicts and lists, are differentiated with respect to.
    order : {1, 2}
    seed : int
    raises : bool
    **kwargs
        Passed on to ``f``.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    ArgumentError
        If JAX computes in 32 bits, or there is nothing to differentiate with respect to.
    MissingExtraError
        If JAX is not installed.

    Notes
    -----
    What passes through ``jax.lax.stop_gradient`` in ``f`` is held at its value at the base point.
    """
    jax = require("jax")
    if not jax.config.jax_enable_x64:
        raise ArgumentError("check_jax: JAX computes in 32 bits; call jax.config.update('jax_enable_x64', True) first")
    return _checked("check_jax", f, args, kwargs, lambda a, rng: _Jax(jax, f, a, rng), order, seed, raises)


class _Jax(Problem):
    """A function of JAX arrays."""

    def __init__(self, jax: Any, f: Callable[..., Any], arguments: Arguments, rng: np.random.Generator) -> None:
        super().__init__(arguments, rng)
        self.jax, self.f = jax, f
        self.stops = Stops()
        self.held = self._plain
        values = self._values(self.base)
        outs = self._plain(*values)
        jaxpr = jax.make_jaxpr(self._plain)(*values)
        if _stops(jaxpr.jaxpr):
            # The function is run operation by operation from here on, with the stopped values handed back.
            _evaluated(jax, jaxpr.jaxpr, jaxpr.consts, values, self.stops.record)
            self.held = lambda *given: _evaluated(jax, jaxpr.jaxpr, jaxpr.consts, given, self.stops.following())
        self.draw([np.asarray(o) for o in outs])

    def notes(self) -> list[str]:
        return self.arguments.notes + self.stops.notes()

    def _values(self, arrays: Arrays) -> list[Any]:
        kinds = [dtype.kind for dtype in self.arguments.dtypes]
        return [
            self.jax.numpy.asarray(unpacked(a) if kind == "c" else np.asarray(a, np.float64))
            for a, kind in zip(arrays, kinds, strict=True)
        ]

    def _plain(self, *values: Any) -> list[Any]:
        # ``call`` unpacks complex leaves itself; here they are complex already.
        args, kwargs = self.arguments.call(self.base, lambda array, number: values[number])
        outs = outputs_of(self.f(*args, **kwargs))
        return [o for o in map(self.jax.numpy.asarray, outs) if o.dtype.kind in "fc"]

    def outputs(self, arrays: Arrays) -> list[Any]:
        return [np.asarray(o) for o in self.held(*self._values(arrays))]

    def _pulled(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        outs, pull = self.jax.vjp(function, *values)
        # JAX's gradient of a complex argument is the conjugate of the direction of ascent; so are its cotangents.
        return pull(
            [self.jax.numpy.asarray(np.asarray(u), o.dtype) for o, u in zip(outs, self.cotangents, strict=True)]
        )

    def gradient(self, arrays: Arrays) -> list[Any]:
        moved = any(a is not b for a, b in zip(arrays, self.base, strict=True))
        return self._numpy(self._pulled(self.held if moved else self._plain, self._values(arrays)))

    def _numpy(self, found: Sequence[Any]) -> list[Any]:
        return [packed(np.conj(a) if a.dtype.kind == "c" else a.astype(float)) for a in map(np.asarray, found)]

    def second_gradient(self, arrays: Arrays, weights: Sequence[Any]) -> list[Any]:
        values = self._values(arrays)
        given, pull = self.jax.vjp(lambda *v: tuple(self._pulled(self._plain, v)), *values)
        weights = [
            self.jax.numpy.asarray(unpacked(w) if g.dtype.kind == "c" else w)
            for g, w in zip(given, weights, strict=True)
        ]
        return self._numpy(pull(tuple(weights)))


def _stops(jaxpr: Any) -> bool:
    """Whether a stop_gradient stands in a jaxpr, at a place where :func:`_evaluated` finds it."""
    return any(
        eqn.primitive.name == "stop_gradient" or (_inner(eqn) is not None and _stops(_inner(eqn).jaxpr))
        for eqn in jaxpr.eqns
    )


def _inner(eqn: Any) -> Any:
    """The jaxpr that a jitted call runs."""
    return eqn.params.get("jaxpr") if eqn.primitive.name in ("pjit", "jit", "closed_call") else None


def _evaluated(jax: Any, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], through: Callable[[Any], Any]) -> Any:
    """A jaxpr run operation by operation, with what is stopped passed through a function."""
    known: dict[Any, Any] = {
        **dict(zip(jaxpr.constvars, consts, strict=True)),
        **dict(zip(jaxpr.invars, args, strict=True)),
    }

    def read(v: Any) -> Any:
        return v.val if hasattr(v, "val") else known[v]

    for eqn in jaxpr.eqns:
        values = [read(v) for v in eqn.invars]
        inner = _inner(eqn)
        if eqn.primitive.name == "stop_gradient":
            results = [jax.numpy.asarray(through(values[0]))]
        elif inner is not None and _stops(inner.jaxpr):
            results = _evaluated(jax, inner.jaxpr, inner.consts, values, through)
        else:
            # Older releases of JAX return the functions that a primitive takes apart from its parameters.
            bound = eqn.primitive.get_bind_params(eqn.params)
            functions, parameters = bound if isinstance(bound, tuple) else ((), bound)
            found = eqn.primitive.bind(*functions, *values, **parameters)
            results = found if eqn.primitive.multiple_results else [found]
        known.update(zip(eqn.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def check_autograd(
    f: Callable[..., Any], *args: Any, order: int = 2, seed: int = 0, raises: bool = True, **kwargs: Any
) -> Report:
    """Check HIPS autograd's gradient of a function written with ``autograd.numpy``, in first and second order.

    Parameters
    ----------
    f : callable
        Returns arrays, alone or in tuples and lists. May be an ``autograd.extend.primitive``.
    *args
        Floating arrays, alone or in dicts and lists, are differentiated with respect to.
    order : {1, 2}
    seed : int
    raises : bool
    **kwargs
        Passed on to ``f``.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    ArgumentError
        If there is nothing to differentiate with respect to.
    MissingExtraError
        If autograd is not installed.
    """
    autograd = require("autograd")
    return _checked(
        "check_autograd", f, args, kwargs, lambda a, rng: _Autograd(autograd, f, a, rng), order, seed, raises
    )


class _Autograd(Problem):
    """A function of autograd's boxes."""

    def __init__(self, autograd: Any, f: Callable[..., Any], arguments: Arguments, rng: np.random.Generator) -> None:
        super().__init__(arguments, rng)
        self.autograd, self.f = autograd, f
        self.draw(self.outputs(self.base))

    def _run(self, arrays: Sequence[Any]) -> list[Any]:
        args, kwargs = self.arguments.call(self.base, lambda _, number: arrays[number])
        return list(outputs_of(self.f(*args, **kwargs)))

    def outputs(self, arrays: Arrays) -> list[Any]:
        return [
            o
            for o in map(np.asarray, self._run([self._value(a, i) for i, a in enumerate(arrays)]))
            if o.dtype.kind in "fc"
        ]

    def _value(self, array: Any, number: int) -> Any:
        kind = self.arguments.dtypes[number].kind
        return unpacked(array) if kind == "c" else np.asarray(array, np.float64)

    def _total(self, arrays: Sequence[Any]) -> Any:
        import autograd.numpy as anp

        outs = [o for o in self._run(arrays) if getattr(o, "dtype", np.asarray(o).dtype).kind in "fc"]
        return sum(anp.sum(anp.real(o * u)) for o, u in zip(outs, self.cotangents, strict=True))

    def _gradient(self, values: Sequence[Any]) -> Any:
        # A gradient that does not depend on an argument is nothing to warn of.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Output seems independent of input")
            return self.autograd.grad(lambda v: self._total(v))(list(values))

    def _numpy(self, found: Sequence[Any]) -> list[Any]:
        return [packed(np.conj(a) if a.dtype.kind == "c" else a.astype(float)) for a in map(np.asarray, found)]

    def gradient(self, arrays: Arrays) -> list[Any]:
        return self._numpy(self._gradient([self._value(a, i) for i, a in enumerate(arrays)]))

    def second_gradient(self, arrays: Arrays, weights: Sequence[Any]) -> list[Any]:
        import autograd.numpy as anp

        values = [self._value(a, i) for i, a in enumerate(arrays)]

        def weighted(v: Any) -> Any:
            return sum(
                anp.sum(anp.real(g * (unpacked(w) if np.iscomplexobj(x) else w)))
                for g, w, x in zip(self._gradient(v), weights, values, strict=True)
            )

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Output seems independent of input")
            return self._numpy(self.autograd.grad(weighted)(values))


def check_engine(
    f: Callable[..., Any], *args: Any, tensor: Callable[..., Any], seed: int = 0, raises: bool = True, **kwargs: Any
) -> Report:
    """Check the gradients of any engine whose tensors have ``backward()`` and ``grad``: needle, minitorch, TinyTorch,
    tinygrad, one's own.

    Parameters
    ----------
    f : callable
        Takes the engine's tensors for the arrays among ``args`` and returns one.
    *args
        NumPy arrays; floating ones are differentiated with respect to.
    tensor : callable
        ``tensor(array)`` makes a tensor that asks for a gradient. Its values are read by ``numpy()``, ``to_numpy()`` or
        ``data``.
    seed : int
    raises : bool
    **kwargs
        Passed on to ``f``.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    ArgumentError
        If the result has no ``backward``, or there is nothing to differentiate with respect to.

    Examples
    --------
    >>> import autodiff
    >>> make = lambda array: autodiff.tensor(array, requires_grad=True)
    >>> check_engine(lambda x: np.exp(x) * x, np.array([0.5, 1.0]), tensor=make).verdict
    'pass'
    """
    report = Report(str(getattr(f, "__name__", type(f).__name__)), seed)
    rng = np.random.default_rng(seed)
    return run(_Engine(f, tensor, Arguments("check_engine", args, kwargs), rng), report, 1, rng, raises)


class _Engine(Problem):
    """A function of somebody's tensors."""

    def __init__(
        self, f: Callable[..., Any], tensor: Callable[..., Any], arguments: Arguments, rng: np.random.Generator
    ) -> None:
        super().__init__(arguments, rng)
        self.f, self.tensor = f, tensor
        self.draw(self.outputs(self.base))

    def _run(self, arrays: Arrays) -> tuple[Any, list[Any]]:
        leaves: list[Any] = []

        def wrap(array: Any, number: int) -> Any:
            leaves.append(self.tensor(np.array(array, np.float64)))
            return leaves[-1]

        args, kwargs = self.arguments.call(arrays, wrap)
        return self.f(*args, **kwargs), leaves

    def outputs(self, arrays: Arrays) -> list[Any]:
        return [np.asarray(_values(self._run(arrays)[0]), np.float64)]

    def gradient(self, arrays: Arrays) -> list[Any]:
        out, leaves = self._run(arrays)
        if not hasattr(out, "backward"):
            raise ArgumentError(f"check_engine: f returned a {type(out).__name__}, which has no backward()")
        # The sum of out times the cotangents is a number, which every engine can differentiate.
        total = out * self.tensor(self.cotangents[0])
        (total.sum() if np.size(self.cotangents[0]) > 1 else total).backward()
        return [None if leaf.grad is None else np.asarray(_values(leaf.grad), np.float64) for leaf in leaves]


def _values(value: Any) -> Any:
    value = value.detach() if hasattr(value, "detach") else value
    for name in ("numpy", "to_numpy"):
        if hasattr(value, name):
            return getattr(value, name)()
    return np.asarray(getattr(value, "data", value))
