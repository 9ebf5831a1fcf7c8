"""The same checks for gradients that are not ours: a bare pair of NumPy functions, PyTorch, JAX, HIPS autograd.

``check_pair`` is for whoever derives a backward pass by hand, as in a course: it says which gradient is wrong, where,
by how much, and what mistake makes such numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, GradientMismatch, require
from autodiff.testing.check import Problem, cotangent, run
from autodiff.testing.report import Report
from autodiff.testing.reproduction import script_of

__all__ = ["check_autograd", "check_jax", "check_pair", "check_torch"]

Arrays = Sequence[Any]


class _Foreign(Problem):
    """A function of somebody else's arrays, as NumPy functions."""

    def __init__(
        self,
        name: str,
        args: Sequence[Any],
        forward: Callable[[Arrays], Sequence[Any]],
        pull: Callable[[Arrays, Sequence[Any]], Sequence[Any]],
        second: Callable[[Arrays, Sequence[Any], Sequence[Any]], Sequence[Any]] | None,
        rng: np.random.Generator,
        wide: bool = False,
    ) -> None:
        full = tuple(
            np.asarray(a, np.float64) if isinstance(a, float) or (isinstance(a, list) and _floats(a)) else a
            for a in args
        )
        super().__init__(full, [i for i, a in enumerate(full) if isinstance(a, np.ndarray) and a.dtype == np.float64])
        if not self.places:
            raise ArgumentError(f"{name}: none of the inputs is a float64 array; there is nothing to differentiate")
        self.name, self.forward, self.pull, self.second = name, forward, pull, second
        # Plain NumPy computes in any precision, and with complex numbers; other libraries are given float64.
        self.wide = self.tries_complex = wide
        outs = forward(full)
        self.cotangents = [cotangent(o, rng) for o in outs]
        self.terms = sum(float(np.sum(np.abs(o * u))) for o, u in zip(outs, self.cotangents, strict=True))

    def _full(self, arrays: Arrays) -> list[Any]:
        given = list(self.args)
        for place, array in zip(self.places, arrays, strict=True):
            given[place] = array if self.wide else array.astype(np.float64)
        return given

    def magnitude(self) -> float:
        return self.terms if np.isfinite(self.terms) else 0.0

    def value(self, arrays: Arrays) -> Any:
        return sum(np.sum(o * u) for o, u in zip(self.forward(self._full(arrays)), self.cotangents, strict=True))

    def gradient(self, arrays: Arrays) -> list[Any]:
        return self._chosen(self.pull(self._full(arrays), self.cotangents), arrays)

    def second_gradient(self, arrays: Arrays, weights: Sequence[Any]) -> list[Any]:
        if self.second is None:
            raise ArgumentError(f"{self.name}: has no second order")
        return self._chosen(self.second(self._full(arrays), self.cotangents, weights), arrays)

    def _chosen(self, found: Sequence[Any], arrays: Arrays) -> list[Any]:
        if len(found) != len(self.args):
            raise GradientMismatch(
                f"{self.name}: the backward returned {len(found)} gradients for {len(self.args)} inputs (None for one"
                " without)"
            )
        return [found[i] for i in self.places]


def _floats(value: list[Any]) -> bool:
    try:
        return np.asarray(value).dtype.kind == "f"
    except ValueError:
        return False


def check_pair(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    name: str | None = None,
    seed: int = 0,
    raises: bool = True,
) -> Report:
    """Check a backward pass written by hand against its forward pass.

    Parameters
    ----------
    forward : callable
        ``forward(*inputs)`` returns the output, or ``(output, cache)``. Plain NumPy.
    backward : callable
        ``backward(dout, cache)`` (``backward(dout, *inputs)`` if there is no cache) returns one gradient per input, or
        the only one; None for an input without one.
    inputs : sequence
        Float64 arrays are differentiated with respect to; anything else is passed on.
    name : str, optional
    seed : int
    raises : bool

    Returns
    -------
    Report
        Its text names the argument, the index, both numbers and the difference, and the mistake that makes such
        numbers, where it is a known one (``report.hints``).

    Raises
    ------
    GradientMismatch
        If a gradient is wrong, has a wrong shape, or the backward pass writes into the inputs or ``dout``.
    ArgumentError
        If no input is a float64 array.

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

    def apply(arrays: Arrays) -> tuple[Any, Any]:
        result = forward(*arrays)
        return result if isinstance(result, tuple) and len(result) == 2 else (result, None)

    def pull(arrays: Arrays, cotangents: Sequence[Any]) -> Sequence[Any]:
        _, cache = apply(arrays)
        kept = [np.array(a) if isinstance(a, np.ndarray) else a for a in arrays]
        dout = cotangents[0].copy()
        found = backward(dout, *arrays) if cache is None else backward(dout, cache)
        found = found if isinstance(found, (tuple, list)) else (found,)
        changed = [
            f"argument {i}"
            for i, (a, b) in enumerate(zip(arrays, kept, strict=True))
            if isinstance(b, np.ndarray) and not _same(a, b)
        ]
        if not _same(dout, cotangents[0]) and not any(g is dout for g in found):
            changed.append("dout")
        if changed:
            raise GradientMismatch(
                f"{label}: the backward pass writes into {' and '.join(changed)}; work on a copy, or not in place"
            )
        return [None if g is None else np.array(g) for g in found]

    rng = np.random.default_rng(seed)
    report = Report(label, seed)
    report.script = lambda: script_of("check_pair", forward, [backward, list(inputs)], {"seed": seed}, {})
    return run(
        _Foreign(label, inputs, lambda arrays: [np.asarray(apply(arrays)[0])], pull, None, rng, wide=True),
        report,
        1,
        rng,
        raises,
    )


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))


def _outputs(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _check(
    checker: str,
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    seed: int,
    raises: bool,
    forward: Any,
    pull: Any,
    second: Any,
) -> Report:
    if order not in (1, 2):
        raise ArgumentError(f"{checker}: order must be 1 or 2, got {order}")
    name = str(getattr(f, "__name__", "f"))
    rng = np.random.default_rng(seed)
    report = Report(name, seed)
    report.script = lambda: script_of(checker, f, args, {"order": order, "seed": seed}, {})
    return run(_Foreign(name, args, forward, pull, second, rng), report, order, rng, raises)


def check_torch(f: Callable[..., Any], *args: Any, order: int = 2, seed: int = 0, raises: bool = True) -> Report:
    """Check PyTorch's gradient of a function of torch tensors, in first and second order.

    Parameters
    ----------
    f : callable
        Takes torch tensors for the arrays among ``args``; returns a tensor or a tuple of them.
    *args
        NumPy arrays; float64 ones are differentiated with respect to.
    order : {1, 2}
    seed : int
    raises : bool

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    MissingExtraError
        If PyTorch is not installed.
    """
    torch = require("torch")

    def tensors(arrays: Arrays, tracked: bool) -> list[Any]:
        return [
            (
                torch.tensor(np.asarray(a, np.float64), requires_grad=tracked)
                if isinstance(a, np.ndarray) and a.dtype == np.float64
                else torch.tensor(a)
                if isinstance(a, np.ndarray)
                else a
            )
            for a in arrays
        ]

    def first(arrays: Arrays, cotangents: Sequence[Any], create_graph: bool) -> tuple[list[Any], list[Any], list[Any]]:
        given = tensors(arrays, True)
        leaves = [t for t in given if getattr(t, "requires_grad", False)]
        pairs = [(o, torch.tensor(u)) for o, u in zip(_outputs(f(*given)), cotangents, strict=True) if o.requires_grad]
        if not pairs:
            return given, leaves, [None] * len(leaves)
        outs, seeds = zip(*pairs, strict=True)
        return (
            given,
            leaves,
            list(torch.autograd.grad(outs, leaves, seeds, allow_unused=True, create_graph=create_graph)),
        )

    def spread(given: list[Any], leaves: list[Any], found: Sequence[Any]) -> list[Any]:
        rest = iter(found)
        every = [next(rest) if any(t is leaf for leaf in leaves) else None for t in given]
        return [None if g is None else g.detach().numpy() for g in every]

    def pull(arrays: Arrays, cotangents: Sequence[Any]) -> Sequence[Any]:
        return spread(*first(arrays, cotangents, False))

    def second(arrays: Arrays, cotangents: Sequence[Any], weights: Sequence[Any]) -> Sequence[Any]:
        given, leaves, found = first(arrays, cotangents, True)
        pairs = [(g, torch.tensor(w)) for g, w in zip(found, weights, strict=True) if g is not None and g.requires_grad]
        if not pairs:
            return [None] * len(given)
        outs, seeds = zip(*pairs, strict=True)
        return spread(given, leaves, torch.autograd.grad(outs, leaves, seeds, allow_unused=True))

    def forward(arrays: Arrays) -> list[Any]:
        return [o.detach().numpy() for o in _outputs(f(*tensors(arrays, False)))]

    return _check("check_torch", f, args, order, seed, raises, forward, pull, second)


def check_jax(f: Callable[..., Any], *args: Any, order: int = 2, seed: int = 0, raises: bool = True) -> Report:
    """Check JAX's gradient of a function of JAX arrays, in first and second order. JAX must be set to 64 bits.

    Parameters
    ----------
    f : callable
        Returns an array or a tuple of them.
    *args
        NumPy arrays; float64 ones are differentiated with respect to.
    order : {1, 2}
    seed : int
    raises : bool

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    ArgumentError
        If JAX computes in 32 bits.
    MissingExtraError
        If JAX is not installed.
    """
    jax = require("jax")
    if not jax.config.jax_enable_x64:
        raise ArgumentError("check_jax: JAX computes in 32 bits; call jax.config.update('jax_enable_x64', True) first")

    def of_floats(arrays: Arrays) -> tuple[Callable[..., Any], list[int]]:
        places = [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray) and a.dtype == np.float64]

        def outs(*values: Any) -> list[Any]:
            given = list(arrays)
            for place, v in zip(places, values, strict=True):
                given[place] = v
            return _outputs(f(*given))

        return outs, places

    def spread(count: int, places: list[int], found: Sequence[Any]) -> list[Any]:
        rest = dict(zip(places, found, strict=True))
        return [np.array(rest[i], np.float64) if i in rest else None for i in range(count)]

    def pull(arrays: Arrays, cotangents: Sequence[Any]) -> Sequence[Any]:
        outs, places = of_floats(arrays)
        found = jax.vjp(outs, *(arrays[i] for i in places))[1]([jax.numpy.asarray(u) for u in cotangents])
        return spread(len(arrays), places, found)

    def second(arrays: Arrays, cotangents: Sequence[Any], weights: Sequence[Any]) -> Sequence[Any]:
        outs, places = of_floats(arrays)

        def first(*values: Any) -> Any:
            return jax.vjp(outs, *values)[1]([jax.numpy.asarray(u) for u in cotangents])

        found = jax.vjp(first, *(arrays[i] for i in places))[1](tuple(jax.numpy.asarray(w) for w in weights))
        return spread(len(arrays), places, found)

    def forward(arrays: Arrays) -> list[Any]:
        return [np.asarray(o) for o in _outputs(f(*arrays))]

    return _check("check_jax", f, args, order, seed, raises, forward, pull, second)


def check_autograd(f: Callable[..., Any], *args: Any, order: int = 2, seed: int = 0, raises: bool = True) -> Report:
    """Check HIPS autograd's gradient of a function written with ``autograd.numpy``, in first and second order.

    Parameters
    ----------
    f : callable
        Returns one array.
    *args
        NumPy arrays; float64 ones are differentiated with respect to.
    order : {1, 2}
    seed : int
    raises : bool

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    MissingExtraError
        If autograd is not installed.
    """
    make_vjp = require("autograd").make_vjp

    def places_of(arrays: Arrays) -> list[int]:
        return [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray) and a.dtype == np.float64]

    def gradient(arrays: Arrays, u: Any, i: int) -> Any:
        return make_vjp(f, i)(*arrays)[0](u)

    def pull(arrays: Arrays, cotangents: Sequence[Any]) -> Sequence[Any]:
        places = places_of(arrays)
        return [np.asarray(gradient(arrays, cotangents[0], i)) if i in places else None for i in range(len(arrays))]

    def second(arrays: Arrays, cotangents: Sequence[Any], weights: Sequence[Any]) -> Sequence[Any]:
        places = places_of(arrays)
        total: list[Any] = [np.zeros(a.shape) if i in places else None for i, a in enumerate(arrays)]
        with warnings.catch_warnings():
            # A gradient that does not depend on an argument is nothing to warn of.
            warnings.filterwarnings("ignore", "Output seems independent of input")
            for i, w in zip(places, weights, strict=True):
                for j in places:
                    pushed, _ = make_vjp(lambda *values, i=i: gradient(values, cotangents[0], i), j)(*arrays)
                    total[j] = total[j] + np.asarray(pushed(w))
        return total

    def forward(arrays: Arrays) -> list[Any]:
        return [np.asarray(f(*arrays))]

    return _check("check_autograd", f, args, order, seed, raises, forward, pull, second)
