"""Gradients against a numerical reference whose accuracy is known, entry by entry, first and second order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, GradientMismatch, NotDifferentiableError
from autodiff.testing.arguments import Arguments, outputs_of, packed, unpacked
from autodiff.testing.diagnosis import diagnose
from autodiff.testing.reference import Leaf, UnsteadyError, agreement, compare, compare_along, plain, scale
from autodiff.testing.report import Entry, Report
from autodiff.testing.reproduction import script_of

__all__ = ["Entry", "Problem", "Report", "check_gradients", "run"]

#: What :mod:`autodiff.testing.mutation` does to the gradients of a check, to see whether it notices.
BEND: ContextVar[Callable[[list[Any]], list[Any]] | None] = ContextVar("autodiff_bend", default=None)

#: Whether a check ends at the first entry that fails: whoever asks only whether one does gets the answer sooner.
HASTY: ContextVar[bool] = ContextVar("autodiff_hasty", default=False)

#: Where a check hands its problem to instead of comparing anything: :func:`autodiff.testing.laws.laws_of`.
PROBLEMS: ContextVar[list[Problem] | None] = ContextVar("autodiff_problems", default=None)

#: What ``modes`` may hold.
MODES = ("reverse", "forward")


def check_gradients(
    f: Callable[..., Any],
    *args: Any,
    order: int = 2,
    modes: Sequence[str] = MODES,
    seed: int = 0,
    name: str | None = None,
    raises: bool = True,
    **kwargs: Any,
) -> Report:
    """Compare the gradients of a function with a numerical reference.

    Parameters
    ----------
    f : callable
        Takes Tensors for ``args`` and returns a Tensor, or a tuple, list or dict of Tensors of any shape. It must
        compute the same thing at every call. A module is checked with its parameters.
    *args
        Floating and complex arrays, alone or in dicts and lists, and Python floats are differentiated with respect to,
        in float64; anything else (integers, masks, None) is passed on.
    order : {1, 2}
        2 checks the gradient of the gradient too, against differences of the gradient.
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
    if order not in (1, 2):
        raise ArgumentError(f"check_gradients: order must be 1 or 2, got {order}")
    if isinstance(modes, str) or not modes or set(modes) - set(MODES):
        raise ArgumentError(f"check_gradients: modes must be among {MODES}, got {modes!r}")
    report = Report(name or str(getattr(f, "__name__", type(f).__name__)), seed)
    options: dict[str, Any] = {"order": order, "seed": seed}
    if tuple(modes) != MODES:
        options["modes"] = tuple(modes)
    report.script = lambda: script_of("check_gradients", f, args, options, kwargs)
    rng = np.random.default_rng(seed)
    problem = _Traced(f, Arguments("check_gradients", args, kwargs), rng)
    if "reverse" not in modes:
        return run(problem, report, 0, rng, raises, forward=True)
    return run(problem, report, order, rng, raises, forward="forward" in modes)


#: In the place of an argument's position: the gradient that comes from the output, and a derivative in forward mode.
COTANGENT = Leaf(-1, "the output's gradient")
TANGENT = Leaf(-2, "the derivative in forward mode")


class Problem:
    """A vector of terms made of a function's outputs, the gradient of their sum under test, and the gradient of that;
    what the checks compare.

    The terms are ``u * output`` with fixed random cotangents u. Subclasses say how a framework computes it.

    Attributes
    ----------
    arguments : Arguments
    tries_complex : bool
        Whether ``outputs`` may be given complex arrays.
    """

    tries_complex = False

    def __init__(self, arguments: Arguments, rng: np.random.Generator) -> None:
        self.arguments, self.rng = arguments, rng
        self.cotangents: list[Any] = []

    @property
    def base(self) -> list[Any]:
        """The point."""
        return self.arguments.base

    @property
    def leaves(self) -> list[Leaf]:
        """What the arrays of the point are."""
        return self.arguments.leaves

    def notes(self) -> list[str]:
        """What the report should mention."""
        return self.arguments.notes

    def outputs(self, arrays: Sequence[Any]) -> list[Any]:
        """The function's float outputs as NumPy arrays, in the precision of the arrays where that is possible."""
        raise NotImplementedError

    def draw(self, outs: Sequence[Any]) -> None:
        """Draw the cotangents for outputs of these shapes."""
        self.cotangents = [cotangent(out, self.rng) for out in outs]

    def terms(self, arrays: Sequence[Any]) -> Any:
        """Every entry of every output times its cotangent. A complex output of real arguments: the real part."""
        outs = self.outputs(arrays)
        if len(outs) == len(self.cotangents) == 1 and np.shape(outs[0]) == self.cotangents[0].shape:
            single = (outs[0] * self.cotangents[0]).reshape(-1)
            return single if self.tries_complex else single.real
        if [np.shape(o) for o in outs] != [np.shape(u) for u in self.cotangents]:
            raise UnsteadyError(
                "the function returns other shapes at another point; they must not depend on the values"
            )
        parts = [np.ravel(o * u) for o, u in zip(outs, self.cotangents, strict=True)]
        if not parts:
            return np.zeros(1)
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return found if self.tries_complex else np.real(found)

    def gradient(self, arrays: Sequence[Any]) -> list[Any]:
        """The gradient under test."""
        raise NotImplementedError

    def weighted(self, arrays: Sequence[Any], weights: Sequence[Any]) -> Any:
        """Every entry of the gradient times its weight: differentiated numerically for the second order."""
        found = zip(self.gradient(arrays), weights, strict=True)
        parts = [np.zeros(np.size(w)) if g is None else np.ravel(plain(g) * w) for g, w in found]
        return np.concatenate(parts)

    def second_gradient(self, arrays: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        """The gradient under test of ``sum(<w, gradient>)``."""
        raise NotImplementedError

    def compare_cotangents(self, report: Report, weights: Sequence[Any]) -> None:
        """Compare the derivative of ``sum(<w, gradient>)`` with respect to the cotangents; nothing where a framework's
        is out of reach.
        """

    def forward_derivative(self, directions: Sequence[Any]) -> float | None:
        """The derivative of ``sum(terms)`` along directions in forward mode; None where there is none."""
        return None


def run(
    problem: Problem, report: Report, order: int, rng: np.random.Generator, raises: bool, forward: bool = False
) -> Report:
    """Compare in first and second order, diagnose what fails, and raise if asked to."""
    problems = PROBLEMS.get()
    if problems is not None:
        problems.append(problem)
        return report
    base, leaves = problem.base, problem.leaves
    for note in problem.notes():
        report.note(note)
    bend, hasty = BEND.get(), HASTY.get()
    gradient = problem.gradient if bend is None else lambda arrays: bend(problem.gradient(arrays))
    if order:
        compare(report, problem.terms, gradient, base, leaves, 1, rng, tries_complex=problem.tries_complex, hasty=hasty)
    if order == 2 and not report.doubts and not (hasty and report.verdict == "fail"):
        weights = [cotangent(b, rng) for b in base]
        terms = lambda arrays: problem.weighted(arrays, weights)
        second = lambda arrays: problem.second_gradient(arrays, weights)
        options: dict[str, Any] = {"below": problem.terms, "tries_complex": problem.tries_complex, "hasty": hasty}
        compare(report, terms, second, base, leaves, 2, rng, **options)
        if not any(entry.kink for entry in report.entries):
            problem.compare_cotangents(report, weights)
    if forward and report.verdict == "pass" and not any(entry.kink for entry in report.entries):
        _compare_forward(problem, report, rng, bool(order))
    if report.verdict == "fail" and bend is None and not hasty:
        problem.arguments.notes = report.notes
        report.diagnosis = lambda: diagnose(report, problem)
    if raises and report.verdict != "pass":
        raise GradientMismatch(report)
    return report


def _compare_forward(problem: Problem, report: Report, rng: np.random.Generator, reverse: bool) -> None:
    """Enter the derivative along a random direction in forward mode, beside the gradient's where that has passed."""
    base = problem.base
    directions = [cotangent(b, rng) * scale(b) for b in base]
    analytic = problem.forward_derivative(directions)
    if analytic is None:
        return
    if reverse:
        pairs = zip(problem.gradient(base), directions, strict=True)
        values = np.concatenate([np.zeros(1), *(np.ravel(plain(g) * d) for g, d in pairs if g is not None)])
        size = float(np.sum(np.abs(values))) + float(np.nansum(np.abs(problem.terms(base))))
        entry = agreement(TANGENT, analytic, float(np.sum(values)), size, "the gradient in reverse mode")
        if entry.verdict == "pass":
            report.entries.append(entry)
            return
    compare_along(report, problem.terms, analytic, base, directions, 1, TANGENT)


def cotangent(out: Any, rng: np.random.Generator) -> Any:
    """Random numbers away from zero, so that no output is left out; complex for a complex output, of which the real
    part is compared.
    """
    real = rng.uniform(0.5, 1.5, np.shape(out)) * rng.choice([-1.0, 1.0], np.shape(out))
    return real + 1j * rng.uniform(0.5, 1.5, np.shape(out)) if out.dtype.kind == "c" else real


class Stops:
    """Writes down what is held constant during one run, and hands it out again in later ones."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    def record(self, array: Any) -> Any:
        self.held.append(np.array(array))
        return array

    def following(self) -> Callable[[Any], Any]:
        """What gives the recorded values in their order."""
        rest = iter(self.held)

        def following(array: Any) -> Any:
            found = next(rest, None)
            if found is None or found.shape != np.shape(array):
                raise UnsteadyError(
                    "check_gradients: f holds other values constant at a point nearby; its graph must not depend on the"
                    " point"
                )
            return found

        return following

    def notes(self) -> list[str]:
        """How many there are."""
        count = len(self.held)
        return [f"{count} array{'s' if count > 1 else ''} held constant at the base point"] if count else []


class _Traced(Problem):
    """A function of our Tensors."""

    def __init__(self, f: Callable[..., Any], arguments: Arguments, rng: np.random.Generator) -> None:
        super().__init__(arguments, rng)
        from autodiff.core.modes import composed
        from autodiff.watch import stopping

        self.f = f
        self.parameters: list[Any] = []
        for path, parameter in getattr(f, "named_parameters", dict)():
            if parameter.requires_grad and parameter.dtype.kind in "fc":
                self.parameters.append(parameter)
                arguments.parameter(path, parameter._array)
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
            return leaves[number]

        args, kwargs = self.arguments.call(arrays[:count], wrap)
        leaves[count:] = self.parameters
        out = self.f(*args, **kwargs)
        outs = [o if isinstance(o, Tensor) else Tensor(o) for o in outputs_of(out) if o is not None]
        return [o for o in outs if o.dtype.kind in "fc"], leaves

    @contextlib.contextmanager
    def _placed(self, arrays: Sequence[Any]) -> Iterator[None]:
        """The parameters have these values within the block."""
        kept = [p._array for p in self.parameters]
        try:
            for parameter, array in zip(self.parameters, arrays[len(arrays) - len(kept) :], strict=True):
                parameter._rebind(array)
            yield
        finally:
            for parameter, array in zip(self.parameters, kept, strict=True):
                parameter._rebind(array)

    def forward_derivative(self, directions: Sequence[Any]) -> float | None:
        from autodiff import Tensor, jvp

        if self.parameters or any(dtype.kind == "c" for dtype in self.arguments.dtypes):
            return None

        def outs(*leaves: Any) -> list[Any]:
            args, kwargs = self.arguments.call(self.base, lambda _, number: leaves[number])
            found = [
                o if isinstance(o, Tensor) else Tensor(o) for o in outputs_of(self.f(*args, **kwargs)) if o is not None
            ]
            return [o for o in found if o.dtype.kind in "fc"]

        try:
            tangents = jvp(outs, self.base, directions)[1]
        except NotDifferentiableError as error:
            self.arguments.notes.append(f"not checked: forward mode ({error})")
            return None
        return sum(float(np.real(np.sum(plain(t) * u))) for t, u in zip(tangents, self.cotangents, strict=True))

    def outputs(self, arrays: Sequence[Any]) -> list[Any]:
        from autodiff import no_grad

        with self._moved(), self._placed(arrays), no_grad() if self.parameters else contextlib.nullcontext():
            return [o._array for o in self._run(arrays, False)[0]]

    def _gradients(self, arrays: Sequence[Any], create_graph: bool, moved: bool) -> tuple[list[Any], list[Any]]:
        from autodiff import gradients

        with self._moved() if moved else contextlib.nullcontext():
            outs, leaves = self._run(arrays, True)
        pairs = [(o, u) for o, u in zip(outs, self.cotangents, strict=True) if o.requires_grad]
        if not pairs:
            return leaves, [None] * len(leaves)
        seeds = [np.asarray(u, dtype=o.dtype) for o, u in pairs]
        found = gradients([o for o, _ in pairs], leaves, seeds, create_graph=create_graph, allow_unused=True)
        return leaves, list(found)

    def gradient(self, arrays: Sequence[Any]) -> list[Any]:
        moved = any(a is not b for a, b in zip(arrays, self.base, strict=True))
        with self._placed(arrays):
            return self._arrays(self._gradients(arrays, False, moved)[1])

    def second_gradient(self, arrays: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        from autodiff import gradients

        with self._placed(arrays):
            leaves, found = self._gradients(arrays, create_graph=True, moved=False)
            every = zip(found, self._complex(weights), strict=True)
            terms = [(g, w) for g, w in every if g is not None and g.requires_grad]
            if not terms:
                return [None] * len(leaves)
            second = gradients([g for g, _ in terms], leaves, [w for _, w in terms], allow_unused=True)
        return self._arrays(second)

    def _arrays(self, found: Sequence[Any]) -> list[Any]:
        """Gradients as the base is: those of complex arguments packed, and turned from the transforms' convention
        (JAX's) into slopes along the real and the imaginary part.
        """
        kinds = [dtype.kind for dtype in self.arguments.dtypes]
        return [
            None if g is None else packed(np.conj(plain(g))) if kind == "c" else plain(g)
            for g, kind in zip(found, kinds, strict=True)
        ]

    def _complex(self, arrays: Sequence[Any]) -> list[Any]:
        """Packed arrays as what the leaves are."""
        return [unpacked(a) if dtype.kind == "c" else a for a, dtype in zip(arrays, self.arguments.dtypes, strict=True)]

    def compare_cotangents(self, report: Report, weights: Sequence[Any]) -> None:
        """A gradient is linear in u, and its derivative along v is ``<v, J w>``: the derivative of ``<v, f>`` along
        w.
        """
        from autodiff import Tensor, gradients

        if not self.tries_complex or not self.cotangents or self.parameters:
            return
        outs, leaves = self._run(self.base, True)
        seeds = [
            Tensor(np.asarray(u, dtype=o.dtype), requires_grad=True) for o, u in zip(outs, self.cotangents, strict=True)
        ]
        tracked = [(o, s) for o, s in zip(outs, seeds, strict=True) if o.requires_grad]
        if not tracked:
            return
        found = gradients(
            [o for o, _ in tracked], leaves, [s for _, s in tracked], create_graph=True, allow_unused=True
        )
        # Along w the point moves as it does elsewhere: by shares of its entries.
        weights = [w * scale(b) for w, b in zip(weights, self.base, strict=True)]
        terms = [(g, w) for g, w in zip(found, weights, strict=True) if g is not None and g.requires_grad]
        pushed: Sequence[Any] = [None] * len(seeds)
        if terms:
            pushed = gradients([g for g, _ in terms], seeds, [w for _, w in terms], allow_unused=True)
        analytic = sum(float(np.sum(u * j)) for u, j in zip(self.cotangents, pushed, strict=True) if j is not None)
        compare_along(report, self.terms, analytic, self.base, weights, 2, COTANGENT)
