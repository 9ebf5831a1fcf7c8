"""Gradients against a numerical reference whose accuracy is known, entry by entry, of the first three orders."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, NotDifferentiableError
from autodiff.testing.arguments import Arguments, alike, outputs_of, packed, plain
from autodiff.testing.problem import Problem, Stops, checked
from autodiff.testing.report import Report

__all__ = ["check_gradients"]

#: What ``modes`` may hold.
MODES = ("reverse", "forward")


def check_gradients(
    f: Callable[..., object],
    *args: object,
    order: int = 2,
    modes: Sequence[str] = MODES,
    seed: int = 0,
    name: str | None = None,
    raises: bool = True,
    **kwargs: object,
) -> Report:
    """Compare the gradients of a function with a numerical reference.

    Parameters
    ----------
    f : callable
        Takes Tensors for ``args`` and returns a Tensor, or a tuple, list or dict of Tensors of any shape. It must
        compute the same thing at every call. A module is checked with its parameters; its buffers stay as they are.
    *args
        Floating and complex arrays, alone or in dicts and lists, and Python floats are differentiated with respect to,
        in float64; anything else (integers, masks, None) is passed on.
    order : {1, 2, 3}
        2 checks the gradient of the gradient too, against differences of the gradient; 3 the gradient of that.
    modes : sequence of {"reverse", "forward"}
        "reverse" compares gradients; "forward" compares :func:`autodiff.jvp` along a random direction, with the
        gradient where both are given, else with differences.
    seed : int
        Of the cotangents and directions.
    name : str, optional
        Shown in the report.
    raises : bool
        Raise unless everything passes.
    **kwargs
        Passed on to ``f``.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch
        If an entry fails, or the reference is not accurate enough to tell (an inconclusive check is never a pass).
    ArgumentError
        If there is nothing to differentiate with respect to.

    Notes
    -----
    Arguments of up to 48 numbers are compared entry by entry, larger ones along random directions, one for each order
    of size of their gradient, and at eight entries.

    What goes through ``autodiff.constant(...)`` or ``.detach()`` inside ``f`` is a constant of the gradient, so the
    reference holds it at its value at the base point; the report notes how many arrays. A fused operation hides such
    values, so where its composed definition holds any (batch renormalisation's r and d) the reference differentiates
    that definition. Whoever writes one puts ``autodiff.constant`` (also ``autodiff.extend.constant``) around those
    values in the composed definition, and needs to do nothing else. ``x.data`` is not held: it is how a graph is cut by
    mistake.

    Examples
    --------
    >>> check_gradients(lambda x, y: np.sin(x) @ y, np.ones(3), np.arange(3.0)).verdict
    'pass'
    >>> import autodiff
    >>> report = check_gradients(lambda x: x * autodiff.constant(x), np.array([2.0]))
    >>> report.verdict, report.notes
    ('pass', ['1 array held constant at the base point'])
    """
    if isinstance(modes, str) or not modes or set(modes) - set(MODES):
        raise ArgumentError(f"check_gradients: modes must be among {MODES}, got {modes!r}")
    options: dict[str, Any] = {"order": order} | ({"modes": tuple(modes)} if tuple(modes) != MODES else {})
    problem = lambda rng: _Traced(f, Arguments("check_gradients", args, kwargs), rng)
    forward, reverse = (mode in modes for mode in ("forward", "reverse"))
    return checked(
        "check_gradients", f, args, kwargs, problem,
        seed=seed, raises=raises, name=name, forward=forward, reverse=reverse, most=3, **options,
    )  # fmt: skip


def _floats(value: Any) -> list[Any]:
    """The outputs that have a gradient, as Tensors."""
    from autodiff import Tensor

    outs = [o if isinstance(o, Tensor) else Tensor(o) for o in outputs_of(value)]
    return [o for o in outs if o.dtype.kind in "fc"]


class _Traced(Problem):
    """A function of our Tensors."""

    def __init__(self, f: Callable[..., Any], arguments: Arguments, rng: np.random.Generator) -> None:
        from autodiff.core.modes import composed
        from autodiff.watch import stopping

        self.f = f
        self.parameters: list[Any] = []
        self.buffers = list(getattr(f, "buffers", tuple)())
        for path, parameter in getattr(f, "named_parameters", dict)():
            if parameter.requires_grad and parameter.dtype.kind in "fc":
                self.parameters.append(parameter)
                arguments.parameter(path, parameter._array)
        super().__init__(arguments, rng)
        with self._placed(self.base):
            outs, _ = self._run(self.base, False)
        self.draw([o._array for o in outs])
        self.tries_complex = not any(o.dtype.kind == "c" for o in outs) and not any(
            dtype.kind == "c" for dtype in arguments.dtypes
        )
        self.stops = Stops()
        with composed(), stopping(self.stops.record), self._placed(self.base):
            self._run(self.base, False)

    def notes(self) -> list[str]:
        return self.arguments.notes + self.stops.notes() + self._left_out()

    def _left_out(self) -> list[str]:
        """Leaves of the graph that are neither arguments nor parameters of ``f`` itself."""
        from autodiff.core.graph import Variable

        with self._placed(self.base):
            outs, leaves = self._run(self.base, True)
            known = {id(leaf._node) for leaf in leaves}
        seen: set[int] = set()
        stack: list[Any] = [o._node for o in outs if o.requires_grad]
        found: list[Any] = []
        while stack:
            node = stack.pop()
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            if not isinstance(node, Variable):
                stack.extend(node.parents)
            elif id(node) not in known:
                found.append(node)
        if not found:
            return []
        words = ", ".join(str(node.name or f"one of shape {tuple(node.shape)}") for node in found[:6])
        more = " and more" if len(found) > 6 else ""
        return [
            f"not checked: {len(found)} tensors that f takes from outside and that ask for gradients ({words}{more})"
        ]

    @contextlib.contextmanager
    def _moved(self) -> Iterator[None]:
        """Around a run away from the base point."""
        if not self.stops.held:
            yield
            return
        from autodiff.core.modes import composed
        from autodiff.watch import stopping

        with composed(), stopping(self.stops.following()):
            yield

    def _run(self, arrays: Sequence[Any], tracked: bool) -> tuple[list[Any], list[Any]]:
        """The float outputs and the leaves, as Tensors."""
        from autodiff import Tensor

        count = len(arrays) - len(self.parameters)
        leaves: list[Any] = [None] * len(arrays)

        def wrap(array: Any, number: int) -> Any:
            leaves[number] = Tensor(array, requires_grad=tracked)
            if not array.flags.forc:
                # A tensor of its own has no gaps; what a function gives may have them.
                leaves[number]._rebind(alike(array, array.dtype))
            return leaves[number]

        args, kwargs = self.arguments.call(arrays[:count], wrap)
        leaves[count:] = self.parameters
        return _floats(self.f(*args, **kwargs)), leaves

    @contextlib.contextmanager
    def _placed(self, arrays: Sequence[Any]) -> Iterator[None]:
        """The parameters have these values within the block, and buffers, such as running statistics, are afterwards
        what they were.
        """
        kept, held = [p._array for p in self.parameters], [b._array.copy() for b in self.buffers]
        try:
            values = self.arguments.values(arrays, wide=False)
            for parameter, array in zip(self.parameters, values[len(arrays) - len(kept) :], strict=True):
                parameter._rebind(array)
            yield
        finally:
            for tensor, array in zip([*self.parameters, *self.buffers], [*kept, *held], strict=True):
                tensor._rebind(array)

    def forward_derivative(self, directions: Sequence[Any]) -> float | None:
        from autodiff import jvp

        if self.parameters or any(dtype.kind == "c" for dtype in self.arguments.dtypes):
            return None

        def outs(*leaves: Any) -> list[Any]:
            args, kwargs = self.arguments.call(self.base, lambda _, number: leaves[number])
            return _floats(self.f(*args, **kwargs))

        try:
            with self._placed(self.base):
                tangents = jvp(outs, self.base, directions)[1]
        except NotDifferentiableError as error:
            self.arguments.notes.append(f"not checked: forward mode ({error})")
            return None
        return sum(float(np.real(np.sum(plain(t) * u))) for t, u in zip(tangents, self.cotangents, strict=True))

    def outputs(self, arrays: Sequence[Any]) -> list[Any]:
        from autodiff import no_grad

        with self._moved(), self._placed(arrays), no_grad() if self.parameters else contextlib.nullcontext():
            return [o._array for o in self._run(arrays, False)[0]]

    def _differentiated(self, arrays: Sequence[Any], *every: Sequence[Any]) -> list[Any]:
        """The gradient, and as often as weights are given the gradient of the sum of its entries times these."""
        moved = any(a is not b for a, b in zip(arrays, self.base, strict=True))
        with self._placed(arrays):
            with self._moved() if moved else contextlib.nullcontext():
                found, leaves = self._run(arrays, True)
            weighted = [self.cotangents, *map(self.arguments.values, every)]
            for order, weights in enumerate(weighted):
                found = _pulled(found, weights, leaves, create_graph=order < len(every))
        return self._arrays(found)

    def gradient(self, arrays: Sequence[Any]) -> list[Any]:
        return self._differentiated(arrays)

    def second_gradient(self, arrays: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        return self._differentiated(arrays, weights)

    def third_gradient(self, arrays: Sequence[Any], weights: Sequence[Any], others: Sequence[Any]) -> list[Any]:
        return self._differentiated(arrays, weights, others)

    def _arrays(self, found: Sequence[Any]) -> list[Any]:
        """Gradients as the base is: those of complex arguments packed, and turned from the transforms' convention
        (JAX's) into slopes along the real and the imaginary part.
        """
        kinds = [dtype.kind for dtype in self.arguments.dtypes]
        return [
            None if g is None else packed(np.conj(plain(g))) if kind == "c" else plain(g)
            for g, kind in zip(found, kinds, strict=True)
        ]

    def pushed(self, weights: Sequence[Any]) -> Sequence[Any] | None:
        from autodiff import Tensor

        with self._placed(self.base):
            outs, leaves = self._run(self.base, True)
            given = zip(outs, self.cotangents, strict=True)
            seeds = [Tensor(np.asarray(u, dtype=o.dtype), requires_grad=True) for o, u in given]
            return _pulled(_pulled(outs, seeds, leaves, create_graph=True), weights, seeds)


def _pulled(
    outs: Sequence[Any], weights: Sequence[Any], leaves: Sequence[Any], create_graph: bool = False
) -> list[Any]:
    """The gradient of ``sum(<w, out>)`` in some tensors; None for those that it does not depend on."""
    from autodiff import Tensor, gradients

    pairs = [(o, w) for o, w in zip(outs, weights, strict=True) if getattr(o, "requires_grad", False)]
    if not pairs:
        return [None] * len(leaves)
    seeds = [w if isinstance(w, Tensor) else np.asarray(w, dtype=o.dtype) for o, w in pairs]
    return list(gradients([o for o, _ in pairs], leaves, seeds, create_graph=create_graph, allow_unused=True))
