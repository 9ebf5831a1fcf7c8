"""Gradients against a numerical reference whose accuracy is known, entry by entry, first and second order."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autodiff import Tensor, gradients
from autodiff.core.errors import ArgumentError, GradientMismatch
from autodiff.core.modes import composed, stopping
from autodiff.testing.diagnosis import diagnose
from autodiff.testing.reference import compare, compare_along, scale
from autodiff.testing.report import Entry, Report
from autodiff.testing.reproduction import script_of

__all__ = ["Entry", "Problem", "Report", "check_gradients", "run"]


def check_gradients(
    f: Callable[..., Any],
    *args: Any,
    order: int = 2,
    seed: int = 0,
    name: str | None = None,
    raises: bool = True,
    **kwargs: Any,
) -> Report:
    """Compare the gradients of a function with a numerical reference.

    Parameters
    ----------
    f : callable
        Takes Tensors for ``args`` and returns a Tensor or a tuple of Tensors of any shape. It must compute the same
        thing at every call.
    *args
        Float64 arrays are differentiated with respect to; anything else (integers, masks, None) is passed on.
    order : {1, 2}
        2 checks the gradient of the gradient too, against differences of the gradient.
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
    Arguments of up to 48 numbers are compared entry by entry, larger ones along three random directions and at eight
    entries.

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
    places = [
        i for i, a in enumerate(args) if (isinstance(a, np.ndarray) and a.dtype == np.float64) or isinstance(a, float)
    ]
    if not places:
        raise ArgumentError(
            "check_gradients: none of the arguments is a float64 array or a float; there is nothing to differentiate"
        )
    args = tuple(np.asarray(a) if i in places else a for i, a in enumerate(args))
    report = Report(name or str(getattr(f, "__name__", "f")), seed)
    report.script = lambda: script_of("check_gradients", f, args, {"order": order, "seed": seed}, kwargs)
    rng = np.random.default_rng(seed)
    return run(_Traced(f, args, kwargs, places, rng), report, order, rng, raises)


#: In the place of an argument's position: the gradient that comes from the output.
COTANGENT = -1


class Problem:
    """A number made of a function's outputs, its gradient under test, and the gradient of that; what the checks
    compare.

    The number is ``sum(<u, output>)`` with fixed random cotangents u. Subclasses say how a framework computes it.

    Attributes
    ----------
    args : tuple
    places : list of int
        Which arguments are differentiated with respect to.
    tries_complex : bool
        Whether ``value`` may be given complex arrays.
    """

    tries_complex = False

    def __init__(self, args: tuple[Any, ...], places: list[int]) -> None:
        self.args, self.places = args, places

    @property
    def base(self) -> list[Any]:
        """The point."""
        return [self.args[i] for i in self.places]

    def notes(self) -> list[str]:
        """What the report should mention."""
        return []

    def magnitude(self) -> float:
        """The sum of the terms of the value, all taken positive."""
        raise NotImplementedError

    def value(self, arrays: Sequence[Any]) -> Any:
        """The number, in the precision of the arrays where that is possible."""
        raise NotImplementedError

    def gradient(self, arrays: Sequence[Any]) -> list[Any]:
        """The gradient under test."""
        raise NotImplementedError

    def weighted_gradient(self, arrays: Sequence[Any], weights: Sequence[Any]) -> Any:
        """``sum(<w, gradient>)``: differentiated numerically for the second order."""
        return _weighted(self.gradient(arrays), weights)

    def second_gradient(self, arrays: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        """The gradient under test of ``sum(<w, gradient>)``."""
        raise NotImplementedError

    def compare_cotangents(self, report: Report, weights: Sequence[Any]) -> None:
        """Compare the derivative of ``sum(<w, gradient>)`` with respect to the cotangents; nothing where a framework's
        is out of reach.
        """


def _weighted(found: Sequence[Any], weights: Sequence[Any]) -> Any:
    return sum((np.sum(g * w) for g, w in zip(found, weights, strict=True) if g is not None), np.longdouble(0))


def run(problem: Problem, report: Report, order: int, rng: np.random.Generator, raises: bool) -> Report:
    """Compare in first and second order, diagnose what fails, and raise if asked to."""
    base, places, size = problem.base, problem.places, problem.magnitude()
    report.notes += problem.notes()
    compare(report, problem.value, problem.gradient, base, places, 1, size, rng, tries_complex=problem.tries_complex)
    if order == 2:
        weights = [cotangent(b, rng) for b in base]
        value = lambda arrays: problem.weighted_gradient(arrays, weights)
        second = lambda arrays: problem.second_gradient(arrays, weights)
        compare(
            report, value, second, base, places, 2, size, rng, below=problem.value, tries_complex=problem.tries_complex
        )
        if not any(entry.kink for entry in report.entries):
            problem.compare_cotangents(report, weights)
    if report.verdict == "fail":
        report.hints += diagnose(report, problem)
    if raises and report.verdict != "pass":
        raise GradientMismatch(str(report))
    return report


def cotangent(out: Any, rng: np.random.Generator) -> Any:
    """Random numbers away from zero, so that no output is left out; complex for a complex output, of which the real
    part is compared.
    """
    real = rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape)
    return real + 1j * rng.uniform(0.5, 1.5, out.shape) if out.dtype.kind == "c" else real


class _Stops:
    """Writes down what is held constant during one run, and hands it out again in later ones."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    def record(self, array: Any) -> Any:
        self.held.append(np.array(array))
        return array

    @contextlib.contextmanager
    def replayed(self) -> Iterator[None]:
        """A run that gets the values of the recorded one."""
        rest = iter(self.held)

        def following(array: Any) -> Any:
            found = next(rest, None)
            if found is None or found.shape != np.shape(array):
                raise ArgumentError(
                    "check_gradients: f holds other values constant at a point nearby; its graph must not depend on the"
                    " point"
                )
            return found

        with composed(), stopping(following):
            yield


class _Traced(Problem):
    """A function of our Tensors."""

    def __init__(
        self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], places: list[int], rng: Any
    ) -> None:
        super().__init__(args, places)
        self.f, self.kwargs = f, kwargs
        outs = self._outputs(self._with(self.base, tracked=False)[1])
        self.cotangents = [cotangent(out, rng) for out in outs]
        self.terms = sum(float(np.sum(np.abs(o.data * u))) for o, u in zip(outs, self.cotangents, strict=True))
        self.tries_complex = not any(o.dtype.kind == "c" for o in outs)
        self.stops = _Stops()
        with composed(), stopping(self.stops.record):
            self._outputs(self._with(self.base, tracked=False)[1])

    def notes(self) -> list[str]:
        count = len(self.stops.held)
        return [f"{count} array{'s' if count > 1 else ''} held constant at the base point"] if count else []

    def _outputs(self, args: Sequence[Any]) -> list[Tensor]:
        out = self.f(*args, **self.kwargs)
        outs = list(out) if isinstance(out, (tuple, list)) else [out]
        outs = [o if isinstance(o, Tensor) else Tensor(o) for o in outs]
        return [o for o in outs if o.dtype.kind in "fc"]

    def _with(self, arrays: Sequence[Any], tracked: bool) -> tuple[list[Tensor], list[Any]]:
        args = list(self.args)
        leaves = [Tensor(a, requires_grad=tracked) for a in arrays]
        for i, leaf in zip(self.places, leaves, strict=True):
            args[i] = leaf
        return leaves, args

    def _moved(self) -> contextlib.AbstractContextManager[None]:
        """Around a run away from the base point."""
        return self.stops.replayed() if self.stops.held else contextlib.nullcontext()

    def magnitude(self) -> float:
        return self.terms if math.isfinite(self.terms) else 0.0

    def value(self, arrays: Sequence[Any]) -> Any:
        _, args = self._with(arrays, tracked=False)
        with self._moved():
            outs = self._outputs(args)
        total = sum(np.sum(o.data * u) for o, u in zip(outs, self.cotangents, strict=True))
        # A complex output of real arguments: its real part. With complex arguments: a complex step, which reads the
        # imaginary part.
        return total if self.tries_complex else np.real(total)

    def _gradients(self, arrays: Sequence[Any], create_graph: bool, moved: bool) -> tuple[list[Tensor], list[Any]]:
        leaves, args = self._with(arrays, tracked=True)
        with self._moved() if moved else contextlib.nullcontext():
            outs = [(o, u) for o, u in zip(self._outputs(args), self.cotangents, strict=True) if o.requires_grad]
        if not outs:
            return leaves, [None] * len(leaves)
        seeds = [np.asarray(u, dtype=o.dtype) for o, u in outs]
        return leaves, list(
            gradients([o for o, _ in outs], leaves, seeds, create_graph=create_graph, allow_unused=True)
        )

    def gradient(self, arrays: Sequence[Any]) -> list[Any]:
        return self._gradients(arrays, create_graph=False, moved=False)[1]

    def weighted_gradient(self, arrays: Sequence[Any], weights: Sequence[Any]) -> Any:
        return _weighted(self._gradients(arrays, create_graph=False, moved=True)[1], weights)

    def second_gradient(self, arrays: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        leaves, found = self._gradients(arrays, create_graph=True, moved=False)
        terms = [(g, w) for g, w in zip(found, weights, strict=True) if g is not None and g.requires_grad]
        if not terms:
            return [None] * len(leaves)
        return list(gradients([g for g, _ in terms], leaves, [w for _, w in terms], allow_unused=True))

    def compare_cotangents(self, report: Report, weights: Sequence[Any]) -> None:
        """A gradient is linear in u, and its derivative along v is ``<v, J w>``: the derivative of ``<v, f>`` along
        w.
        """
        if not self.tries_complex or not self.cotangents:
            return
        leaves, args = self._with(self.base, tracked=True)
        outs = self._outputs(args)
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
        pushed = (
            gradients([g for g, _ in terms], seeds, [w for _, w in terms], allow_unused=True)
            if terms
            else [None] * len(seeds)
        )
        analytic = sum(float(np.sum(u * j)) for u, j in zip(self.cotangents, pushed, strict=True) if j is not None)
        compare_along(report, self.value, analytic, self.base, weights, 2, COTANGENT, self.magnitude())
