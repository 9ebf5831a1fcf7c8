"""Gradients against a numerical reference whose accuracy is known, entry by entry, first and second order."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autodiff import Tensor, gradients
from autodiff.errors import ArgumentError, GradientMismatch
from autodiff.testing.numeric import Derivative, derivative, one_sided

__all__ = ["Entry", "Report", "check_gradients"]

#: A gradient may differ from the reference by ten times the reference's own error, plus rounding: this many units in the last place of
#: the largest number that went into it.
ROUNDING_ULPS = 4096
#: The reference is good enough to judge with if its error is below this share of the gradient's size.
CONCLUSIVE = 1e-5

#: Largest steps tried, relative to the entry: a kink may lie within the first ones, so that only the smaller ones see one smooth piece. Float64
#: has too few digits for the smaller ones.
_STEPS = {np.dtype(np.longdouble): (0.02, 2e-4, 2e-7, 2e-10), np.dtype(np.float64): (0.02, 2e-4)}

_FULL_SIZE = 48
_SPOTS = 8
_DIRECTIONS = 3


@dataclass(frozen=True)
class Entry:
    """One compared number.

    Attributes
    ----------
    order, argument : int
    index : tuple of int or None
        Of the argument's entry; None for a derivative along a random direction.
    analytic, numeric, error : float
        The gradient, the reference, and the reference's error estimate.
    tolerance : float
    verdict : {"pass", "fail", "inconclusive"}
    kink : bool
        The one-sided derivatives differ, and any value between them passes.
    """

    order: int
    argument: int
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    error: float
    tolerance: float
    verdict: str
    kink: bool = False

    @property
    def ulps(self) -> float:
        """The difference in units of the analytic value's last place."""
        return abs(self.analytic - self.numeric) / float(np.spacing(max(abs(self.analytic), 1e-300)))

    def __str__(self) -> str:
        place = "along a random direction" if self.index is None else f"at index {self.index}"
        return (
            f"order {self.order}, argument {self.argument} {place}: gradient {self.analytic:.17g}, numerical {self.numeric:.17g} "
            f"± {self.error:.1e}, difference {abs(self.analytic - self.numeric):.1e} ({self.ulps:.3g} ulps), allowed {self.tolerance:.1e}"
            + (" (at a kink)" if self.kink else "")
        )


@dataclass
class Report:
    """What a check found.

    Attributes
    ----------
    entries : list of Entry
    seed : int
    name : str
    """

    name: str
    seed: int
    entries: list[Entry] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """The worst verdict of any entry; a check that compared nothing passes."""
        verdicts = {entry.verdict for entry in self.entries}
        return next((v for v in ("fail", "inconclusive") if v in verdicts), "pass")

    @property
    def worst(self) -> Entry | None:
        """The entry furthest beyond its tolerance."""
        return max(self.entries, key=lambda e: _excess(e), default=None)

    @property
    def largest_error(self) -> float:
        """The largest difference, relative to the gradient's size."""
        return max((abs(e.analytic - e.numeric) / max(abs(e.numeric), 1e-3) for e in self.entries if not e.kink), default=0.0)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.verdict} ({len(self.entries)} comparisons, seed {self.seed})"]
        worst_of: dict[tuple[int, int], Entry] = {}
        for entry in self.entries:
            key = (entry.order, entry.argument)
            if key not in worst_of or _excess(entry) > _excess(worst_of[key]):
                worst_of[key] = entry
        lines += [f"  {entry.verdict}: {entry}" for entry in worst_of.values()]
        lines.append(f"  reproduce: check_gradients({self.name}, *args, seed={self.seed})")
        return "\n".join(lines)


def _excess(entry: Entry) -> float:
    gap = abs(entry.analytic - entry.numeric)
    return math.inf if math.isnan(gap) or entry.verdict == "inconclusive" else gap / max(entry.tolerance, 1e-300)


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
        Takes Tensors for ``args`` and returns a Tensor or a tuple of Tensors of any shape. It must compute the same thing at every call.
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
    Arguments of up to 48 numbers are compared entry by entry, larger ones along three random directions and at eight entries.

    Examples
    --------
    >>> check_gradients(lambda x, y: np.sin(x) @ y, np.ones(3), np.arange(3.0)).verdict
    'pass'
    """
    if order not in (1, 2):
        raise ArgumentError(f"check_gradients: order must be 1 or 2, got {order}")
    places = [i for i, a in enumerate(args) if (isinstance(a, np.ndarray) and a.dtype == np.float64) or isinstance(a, float)]
    if not places:
        raise ArgumentError("check_gradients: none of the arguments is a float64 array or a float; there is nothing to differentiate")
    args = tuple(np.asarray(a) if i in places else a for i, a in enumerate(args))
    report = Report(name or str(getattr(f, "__name__", "f")), seed)
    rng = np.random.default_rng(seed)
    problem = _Problem(f, args, kwargs, places, rng)
    size = problem.magnitude()
    _compare(report, problem.value, problem.gradient, args, places, 1, size, rng)
    if order == 2:
        weights = [rng.uniform(0.5, 1.5, args[i].shape) * rng.choice([-1.0, 1.0], args[i].shape) for i in places]
        second = lambda arrays: problem.weighted_gradient(arrays, weights)
        _compare(report, second, lambda: problem.second_gradient(weights), args, places, 2, size, rng, problem.value)
    if raises and report.verdict != "pass":
        raise GradientMismatch(str(report))
    return report


class _Problem:
    """``sum(<u, f(args)>)`` with a fixed random u, its gradient, and its gradient's weighted sum."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], places: list[int], rng: Any) -> None:
        self.f, self.args, self.kwargs, self.places = f, args, kwargs, places
        self.cotangents = [_cotangent(out, rng) for out in self._outputs(self._with([args[i] for i in places], tracked=False)[1])]

    def _outputs(self, args: Sequence[Any]) -> list[Tensor]:
        out = self.f(*args, **self.kwargs)
        outs = list(out) if isinstance(out, (tuple, list)) else [out]
        return [o if isinstance(o, Tensor) else Tensor(o) for o in outs if np.asarray(_data(o)).dtype.kind in "fc"]

    def _with(self, arrays: Sequence[Any], tracked: bool) -> tuple[list[Tensor], list[Any]]:
        args = list(self.args)
        leaves = [Tensor(a, requires_grad=tracked) for a in arrays]
        for i, leaf in zip(self.places, leaves, strict=True):
            args[i] = leaf
        return leaves, args

    def magnitude(self) -> float:
        """The sum of the terms of the value, all taken positive."""
        _, args = self._with([self.args[i] for i in self.places], tracked=False)
        total = sum(float(np.sum(np.abs(o.data * u))) for o, u in zip(self._outputs(args), self.cotangents, strict=True))
        return total if math.isfinite(total) else 0.0

    def value(self, arrays: Sequence[Any]) -> Any:
        _, args = self._with(arrays, tracked=False)
        return sum(np.real(np.sum(o.data * u)) for o, u in zip(self._outputs(args), self.cotangents, strict=True))

    def _gradients(self, arrays: Sequence[Any], create_graph: bool) -> tuple[list[Tensor], list[Any]]:
        leaves, args = self._with(arrays, tracked=True)
        outs = [(o, u) for o, u in zip(self._outputs(args), self.cotangents, strict=True) if o.requires_grad]
        if not outs:
            return leaves, [None] * len(leaves)
        seeds = [np.asarray(u, dtype=o.dtype) for o, u in outs]
        return leaves, list(gradients([o for o, _ in outs], leaves, seeds, create_graph=create_graph, allow_unused=True))

    def gradient(self) -> list[Any]:
        _, found = self._gradients([self.args[i] for i in self.places], create_graph=False)
        return found

    def weighted_gradient(self, arrays: Sequence[Any], weights: Sequence[Any]) -> Any:
        _, found = self._gradients(arrays, create_graph=False)
        return sum((np.sum(g * w) for g, w in zip(found, weights, strict=True) if g is not None), np.longdouble(0))

    def second_gradient(self, weights: Sequence[Any]) -> list[Any]:
        leaves, found = self._gradients([self.args[i] for i in self.places], create_graph=True)
        terms = [(g, w) for g, w in zip(found, weights, strict=True) if g is not None and g.requires_grad]
        if not terms:
            return [None] * len(leaves)
        return list(gradients([g for g, _ in terms], leaves, [w for _, w in terms], allow_unused=True))


def _cotangent(out: Tensor, rng: np.random.Generator) -> Any:
    """Random numbers away from zero, so that no output is left out; complex for a complex output, of which the real part is compared."""
    real = rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape)
    return real + 1j * rng.uniform(0.5, 1.5, out.shape) if out.dtype.kind == "c" else real


def _data(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _compare(
    report: Report, value: Callable[[Sequence[Any]], Any], gradient: Callable[[], list[Any]],
    args: tuple[Any, ...], places: list[int], order: int, magnitude: float, rng: np.random.Generator,
    below: Callable[[Sequence[Any]], Any] | None = None,
) -> None:  # fmt: skip
    base = [args[i] for i in places]
    found = gradient()
    precision = _precision(value, base)
    # A reference in float64 has the rounding of the function itself in it, which its own error estimate sees only in part.
    slack = 1.0 if precision == np.longdouble else 32.0
    for k, (place, array) in enumerate(zip(places, base, strict=True)):
        g = np.zeros(array.shape) if found[k] is None else np.asarray(_data(found[k]))
        if g.shape != array.shape or g.dtype != array.dtype:
            raise GradientMismatch(
                f"{report.name}: the gradient of argument {place} is {g.dtype}{list(g.shape)}, the argument {array.dtype}{list(array.shape)}"
            )
        size = float(np.max(np.abs(g), initial=0.0))
        for index, direction in _directions(array, rng):

            def along(t: Any, of: Callable[[Sequence[Any]], Any] = value, k: int = k, direction: Any = direction) -> Any:
                return of([np.asarray(b + t * direction if j == k else b).astype(precision) for j, b in enumerate(base)])

            analytic = float(np.sum(g * direction))
            entry = _judge(
                order, place, index, analytic, along, size * float(np.max(np.abs(direction))), magnitude * slack, _STEPS[precision]
            )  # fmt: skip
            if entry.verdict != "pass" and below is not None and _kinked(functools.partial(along, of=below)):
                # The gradient jumps here, so there is no second derivative; a subgradient halfway hid the kink from the first comparison.
                report.entries = [replace(e, kink=True) if (e.argument, e.index) == (place, index) else e for e in report.entries]
            else:
                report.entries.append(entry)


def _precision(value: Callable[[Sequence[Any]], Any], base: Sequence[Any]) -> Any:
    """Longdouble if the function computes in it, else float64 (LAPACK, FFT, platforms without)."""
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(value([b.astype(np.longdouble) for b in base]))
    except (TypeError, ValueError):
        return np.dtype(np.float64)
    return np.dtype(np.longdouble) if result.dtype == np.longdouble else np.dtype(np.float64)


def _directions(array: Any, rng: np.random.Generator) -> list[tuple[tuple[int, ...] | None, Any]]:
    """One-hot directions for every entry of a small array; for a large one random directions and a few one-hot spots."""
    if array.size <= _FULL_SIZE:
        spots = range(array.size)
        random = 0
    else:
        spots = np.sort(rng.choice(array.size, _SPOTS, replace=False))  # type: ignore[assignment]
        random = _DIRECTIONS
    # Steps go with the size of the entry, so that a point near a singularity is not stepped over it.
    scale = np.where(array == 0, 1.0, np.abs(array))
    result: list[tuple[tuple[int, ...] | None, Any]] = []
    for spot in spots:
        direction = np.zeros(array.size)
        direction[spot] = scale.reshape(-1)[spot]
        result.append((tuple(int(i) for i in np.unravel_index(spot, array.shape)), direction.reshape(array.shape)))
    for _ in range(random):
        result.append((None, rng.choice([-1.0, 1.0], array.shape) * rng.uniform(0.5, 1.0, array.shape) * scale))
    return result


def _kinked(along: Callable[[Any], Any]) -> bool:
    """Whether a function of one number has different derivatives from the left and from the right, both well known, at 0."""
    left, right = one_sided(along, -1, 1e-3), one_sided(along, 1, 1e-3)
    return abs(left.value - right.value) > 1e3 * (left.error + right.error) + 1e-9 * max(abs(left.value), abs(right.value))


def _judge(
    order: int, place: int, index: Any, analytic: float, along: Callable[[Any], Any], size: float, magnitude: float, steps: Sequence[float]
) -> Entry:
    """Compare one directional derivative; at first with modest steps, then with ever smaller ones, then one-sided.

    A gradient may be small because large terms cancel, so rounding is measured against the terms of the function's value, too.
    """
    rounding = ROUNDING_ULPS * float(np.finfo(np.float64).eps) * max(size, abs(analytic), magnitude)
    best = Derivative(math.nan, math.inf)
    for step in steps:
        numeric = derivative(along, step)
        # Two estimates that exclude each other have a kink between their steps, and the nearer one tells.
        apart = len(steps) > 2 and abs(numeric.value - best.value) > 10 * (numeric.error + best.error) + rounding
        if numeric.error < best.error or apart:
            best = numeric
        tolerance = 10 * best.error + rounding
        if abs(analytic - best.value) <= tolerance and best.error <= CONCLUSIVE * max(size, abs(analytic), 1e-3):
            return Entry(order, place, index, analytic, best.value, best.error, tolerance, "pass")
    # In longdouble steps as small as the smallest above: a kink nearby is none at the point.
    step = min(1e-3, 10 * steps[-1])
    left, right = one_sided(along, -1, step), one_sided(along, 1, step)
    spread = abs(left.value - right.value)
    accuracy = 10 * (left.error + right.error) + rounding
    if spread > 10 * accuracy:
        low, high = sorted((left.value, right.value))
        verdict = "pass" if low - accuracy <= analytic <= high + accuracy else "fail"
        middle = min(max(analytic, low), high)
        return Entry(order, place, index, analytic, middle, left.error + right.error, accuracy, verdict, kink=True)
    tolerance = 10 * best.error + rounding
    conclusive = best.error <= CONCLUSIVE * max(size, abs(analytic), abs(best.value), 1e-3)
    if math.isnan(analytic) or (conclusive and abs(analytic - best.value) > tolerance):
        verdict = "fail"
    elif not conclusive:
        verdict = "fail" if abs(analytic - best.value) > 100 * best.error + rounding else "inconclusive"
    else:
        verdict = "pass"
    return Entry(order, place, index, analytic, best.value, best.error, tolerance, verdict)
