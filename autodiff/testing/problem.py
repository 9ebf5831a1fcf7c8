"""What every check compares, whoever's gradient it is: a function's terms, the gradient under test, and that of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, AutodiffError, GradientMismatch
from autodiff.testing.arguments import Arguments, dense, plain
from autodiff.testing.diagnosis import BESIDE, diagnose
from autodiff.testing.numeric import spread
from autodiff.testing.reference import agreement, compare, compare_along
from autodiff.testing.report import Leaf, Report
from autodiff.testing.reproduction import script_of
from autodiff.testing.study import UnsteadyError, scale

__all__ = ["Problem", "Stops", "checked", "run"]

#: What :mod:`autodiff.testing.mutation` does to the gradients of a check, to see whether it notices.
BEND: ContextVar[Callable[[list[Any]], list[Any]] | None] = ContextVar("autodiff_bend", default=None)

#: Whether a check ends at the first entry that fails: whoever asks only whether one does gets the answer sooner.
HASTY: ContextVar[bool] = ContextVar("autodiff_hasty", default=False)

#: Whether every entry is compared with the best reference that there is, for whoever publishes the differences.
EXACT: ContextVar[bool] = ContextVar("autodiff_exact", default=False)

#: Where a check hands its problem to instead of comparing anything: :func:`autodiff.testing.laws.laws_of`.
PROBLEMS: ContextVar[list[Problem] | None] = ContextVar("autodiff_problems", default=None)

#: In the place of an argument's position: the gradient that comes from the output, and a derivative in forward mode.
COTANGENT = Leaf(-1, "the output's gradient")
TANGENT = Leaf(-2, "the derivative in forward mode")


class Problem:
    """A vector of terms made of a function's outputs, the gradient of their sum under test, and the gradient of that;
    what the checks compare.

    The terms are ``u * output`` with fixed random cotangents u. Subclasses say how a framework computes it.
    """

    #: Whether ``outputs`` may be given complex arrays, and arrays in longdouble.
    tries_complex, widens = False, True
    #: Whether the function may draw from a generator of its own.
    hides_draws = True

    def __init__(self, arguments: Arguments, rng: np.random.Generator) -> None:
        self.arguments, self.rng = arguments, rng
        arguments.expect()
        # The point, and what its arrays are.
        self.base, self.leaves = arguments.base, arguments.leaves
        self.cotangents: list[Any] = []
        self.first: list[Any] = []

    def notes(self) -> list[str]:
        """What the report should mention."""
        return self.arguments.notes

    def outputs(self, arrays: Sequence[Any]) -> list[Any]:
        """The function's float outputs as NumPy arrays, in the precision of the arrays where that is possible."""
        raise NotImplementedError

    def draw(self, outs: Sequence[Any]) -> None:
        """Draw the cotangents for these outputs: zero where an output is not finite, of whose derivative nothing is
        known, so that it leaves the others' gradients alone.
        """
        if not outs:
            raise ArgumentError(
                f"{self.arguments.checker}: the function returned nothing that has a gradient; it must return floating"
                " or complex arrays of its library (not numbers taken out of them), alone or in tuples, lists and dicts"
            )
        self.cotangents = [np.where(np.isfinite(out), cotangent(out, self.rng), 0.0) for out in outs]
        self.first = [np.array(out) for out in outs]

    def terms(self, arrays: Sequence[Any]) -> Any:
        """Every entry of every output times its cotangent. A complex output of real arguments: the real part."""
        return self.terms_of(self.outputs(arrays))

    def terms_of(self, outs: Sequence[Any]) -> Any:
        """:meth:`terms` of outputs that are known."""
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

    def pulled(self, cotangents: Sequence[Any], base: Sequence[Any] | None = None) -> list[Any]:
        """The gradient for other cotangents, or at another arrangement of the point, as arrays."""
        kept, self.cotangents = self.cotangents, list(cotangents)
        try:
            with np.errstate(all="ignore"):
                return dense(self.gradient(self.base if base is None else base), self.base)
        finally:
            self.cotangents = kept

    def weighted(self, arrays: Sequence[Any], weights: Sequence[Any]) -> Any:
        """Every entry of the gradient times its weight: differentiated numerically for the second order."""
        return _times(self.gradient(arrays), weights)

    def second_gradient(self, arrays: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        """The gradient under test of ``sum(<w, gradient>)``."""
        raise NotImplementedError

    def third_gradient(self, arrays: Sequence[Any], weights: Sequence[Any], others: Sequence[Any]) -> list[Any]:
        """The gradient under test of ``sum(<o, second_gradient>)``."""
        raise NotImplementedError

    def pushed(self, weights: Sequence[Any]) -> Sequence[Any] | None:
        """The gradient of ``sum(<w, gradient>)`` with respect to the cotangents, of real arguments and outputs; None
        where a framework's is out of reach.
        """
        return None

    def forward_derivative(self, directions: Sequence[Any]) -> float | None:
        """The derivative of ``sum(terms)`` along directions in forward mode; None where there is none."""
        return None


def checked(
    checker: str,
    f: Callable[..., Any],
    given: Sequence[Any],
    kwargs: dict[str, Any],
    problem: Callable[[np.random.Generator], Problem],
    *,
    seed: int,
    raises: bool,
    name: str | None = None,
    forward: bool = False,
    reverse: bool = True,
    most: int = 2,
    **options: Any,
) -> Report:
    """What every ``check_...`` does: a report that can be run again, a problem, and its comparison.

    ``f``, ``given`` and ``kwargs`` are what the public function was called with; ``problem`` makes the problem from the
    generator of the cotangents; ``most`` is the highest order that there is; ``options`` are what else a script says,
    ``order`` among them, 1 by default.
    """
    order = options.get("order", 1)
    if order not in range(1, most + 1):
        raise ArgumentError(f"{checker}: order must be {'1, 2 or 3' if most == 3 else '1 or 2'}, got {order}")
    report = Report(name or str(getattr(f, "__name__", type(f).__name__)), seed)
    report.script = lambda: script_of(checker, f, given, {**options, "seed": seed}, kwargs)
    rng = np.random.default_rng(seed)
    return run(problem(rng), report, order if reverse else 0, rng, raises, forward)


def run(
    problem: Problem, report: Report, order: int, rng: np.random.Generator, raises: bool, forward: bool = False
) -> Report:
    """Compare in every order, diagnose what fails, and raise if asked to."""
    problems = PROBLEMS.get()
    if problems is not None:
        problems.append(problem)
        return report
    base = problem.base
    for note in problem.notes():
        report.note(note)
    bend, hasty = BEND.get(), HASTY.get()
    gradient = problem.gradient if bend is None else lambda arrays: bend(problem.gradient(arrays))
    modes: dict[str, Any] = {"hasty": hasty, "exact": EXACT.get()}
    if order:
        first = problem.terms_of(problem.first)
        compare(report, problem, 1, problem.terms, gradient, rng, first=first, **modes)
        if report.verdict == "pass" and not any(entry.kink for entry in report.entries):
            _compare_beside(problem, report, gradient, hasty)
    if order > 1 and not report.doubts and not (hasty and report.verdict == "fail"):
        weights = [cotangent(b, rng) for b in base]
        terms = lambda arrays: problem.weighted(arrays, weights)
        second = lambda arrays: problem.second_gradient(arrays, weights)
        compare(report, problem, 2, terms, second, rng, below=problem.terms, **modes)
        if not any(entry.kink for entry in report.entries):
            _compare_cotangents(problem, report, weights)
            if order == 3 and report.verdict == "pass":
                others = [cotangent(b, rng) for b in base]
                thrice = lambda arrays: _times(problem.second_gradient(arrays, weights), others)
                third = lambda arrays: problem.third_gradient(arrays, weights, others)
                both = lambda arrays: np.concatenate([problem.terms(arrays), problem.weighted(arrays, weights)])
                compare(report, problem, 3, thrice, third, rng, below=both, **modes)
    if forward and report.verdict == "pass" and not any(entry.kink for entry in report.entries):
        _compare_forward(problem, report, rng, bool(order))
    if report.verdict == "fail" and bend is None and not hasty:
        problem.arguments.notes = report.notes
        report.diagnosis = lambda: diagnose(report, problem)
    if raises and report.verdict != "pass":
        raise GradientMismatch(report)
    return report


def _times(found: Sequence[Any], weights: Sequence[Any]) -> Any:
    return np.concatenate([np.ravel(g * w) for g, w in zip(dense(found, weights), weights, strict=True)])


def _compare_beside(
    problem: Problem, report: Report, gradient: Callable[[Sequence[Any]], list[Any]], hasty: bool
) -> None:
    """Enter what is wrong at a point beside one whose zeros, ones or equal entries may hide a term of the gradient."""
    usual = [np.any(np.isin(b, (-1, 0, 1))) or np.unique(b).size < b.size for b in problem.base]
    if not any(usual):
        return
    rng = np.random.default_rng(report.seed)
    beside = [
        b + spread(rng, b.shape, 0.05, 0.1) * scale(b) if moves else b
        for b, moves in zip(problem.base, usual, strict=True)
    ]
    found = Report(report.name, report.seed)
    refusals = AutodiffError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError
    with np.errstate(all="ignore"), contextlib.suppress(*refusals):
        if np.all(np.isfinite(problem.terms(beside))):  # else the point lies outside the domain
            compare(found, problem, 1, problem.terms, gradient, rng, base=beside, hasty=hasty)
    if found.verdict == "fail":
        wrong = [entry for entry in found.entries if entry.verdict == "fail"]
        report.entries += [replace(entry, label=f"{entry.what}{BESIDE}") for entry in wrong]


def _compare_cotangents(problem: Problem, report: Report, weights: Sequence[Any]) -> None:
    """A gradient is linear in u, and its derivative along v is ``<v, J w>``: the derivative of ``<v, f>`` along w."""
    dtypes = [*problem.arguments.dtypes, *(u.dtype for u in problem.cotangents)]
    # Along w the point moves as it does elsewhere: by shares of its entries.
    weights = [w * scale(b) for w, b in zip(weights, problem.base, strict=True)]
    found = None if any(dtype.kind == "c" for dtype in dtypes) else problem.pushed(weights)
    if found is not None:
        pairs = zip(problem.cotangents, found, strict=True)
        analytic = sum(float(np.sum(u * plain(j))) for u, j in pairs)
        compare_along(report, problem, analytic, weights, 2, COTANGENT)


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
    compare_along(report, problem, analytic, directions, 1, TANGENT)


def cotangent(out: Any, rng: np.random.Generator) -> Any:
    """Random numbers away from zero, so that no output is left out; complex for a complex output, of which the real
    part is compared.
    """
    real = spread(rng, np.shape(out), 0.5, 1.5)
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
