"""What a wrong gradient looks like: the mistakes that make such numbers, in words a student can act on.

Nothing here decides a verdict. Each hint is a relation between the gradient and its reference that holds to five digits
or more at every entry, so it is stated only where chance cannot make it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.testing.reference import plain
from autodiff.testing.report import Report

__all__ = ["diagnose", "relation"]

Array = np.ndarray[Any, Any]


def diagnose(report: Report, problem: Any) -> list[str]:
    """Hints on the arguments whose gradient failed.

    Parameters
    ----------
    report : Report
    problem : autodiff.testing.check.Problem

    Returns
    -------
    list of str
        Empty where no simple mistake makes such numbers.
    """
    failed = {(e.order, e.argument) for e in report.entries if e.verdict == "fail" and e.argument >= 0}
    first = sorted(argument for order, argument in failed if order == 1)
    if not first:
        return [
            "right in first and wrong in second order: a rule reads an array that it should compute from its inputs (a"
            " saved intermediate is a constant of the second derivative), or multiplies by g where it should not"
        ]
    hints: list[str] = []
    if any(e.together for e in report.entries if e.verdict == "fail"):
        hints.append(
            "entries that tie have shares of one gradient, which must add up to it: give it to one of them (a running"
            " or first index, not a mask x == max) or divide it by their number"
        )
        first = sorted({e.argument for e in report.entries if e.verdict == "fail" and not e.together})
    scaled = _with_twice_the_cotangent(problem)
    pairs = {argument: _pair(report, problem, argument) for argument in [leaf.place for leaf in problem.leaves]}
    for argument in first:
        pair = pairs[argument]
        if pair is None:
            hints += [f"argument {argument}: {words}" for words in _along_directions(report, argument, problem)]
            continue
        analytic, numeric = pair
        k = [leaf.place for leaf in problem.leaves].index(argument)
        if scaled is not None and np.any(analytic) and np.allclose(scaled[k], analytic, rtol=1e-9, atol=0):
            hints.append(f"argument {argument}: it does not change when the output's gradient doubles; multiply by it")
            continue
        others = {other: p[1] for other, p in pairs.items() if other != argument and p is not None}
        words = relation(analytic, numeric, problem.base[k], _sizes(problem), others, _output_shape(problem))
        if words:
            hints.append(f"argument {argument}: {words}")
    return hints


def _with_twice_the_cotangent(problem: Any) -> list[Array] | None:
    held = problem.cotangents
    problem.cotangents = [2 * u for u in held]
    try:
        return [np.zeros(()) if g is None else np.asarray(plain(g)) for g in problem.gradient(problem.base)]
    finally:
        problem.cotangents = held


def _pair(report: Report, problem: Any, argument: int) -> tuple[Array, Array] | None:
    found = report.arrays(argument)
    if found is None:
        return None
    shape = problem.base[[leaf.place for leaf in problem.leaves].index(argument)].shape
    return found[0].reshape(shape), found[1].reshape(shape)


def _output_shape(problem: Any) -> tuple[int, ...] | None:
    return tuple(problem.cotangents[0].shape) if len(problem.cotangents) == 1 else None


def _sizes(problem: Any) -> dict[int, str]:
    """Numbers that a forgotten or doubled mean would bring in, with their names."""
    sizes: dict[int, str] = {}
    for i, array in zip([leaf.place for leaf in problem.leaves], problem.base, strict=True):
        for axis, n in enumerate(array.shape):
            sizes.setdefault(n, f"the length of axis {axis} of argument {i}")
        sizes.setdefault(array.size, f"the number of entries of argument {i}")
    sizes.pop(1, None)
    sizes.pop(0, None)
    return sizes


def _along_directions(report: Report, argument: int, problem: Any) -> list[str]:
    """For a large argument, of which only some directions were compared."""
    rows = [e for e in report.entries if e.order == 1 and e.argument == argument]
    analytic, numeric = np.array([e.analytic for e in rows]), np.array([e.numeric for e in rows])
    words = _factor(analytic, numeric, _sizes(problem))
    if not words and all((e.verdict == "pass") == (e.index is not None) for e in rows):
        words = (
            "the entries that were looked at are right and random directions are not: a few entries somewhere are wrong"
        )
    return [words] if words else []


def _close(a: Array, b: Array, digits: float = 1e-5) -> bool:
    scale = float(np.max(np.abs(b), initial=0.0))
    return bool(np.all(np.abs(a - b) <= digits * scale)) if a.shape == b.shape and scale > 0 else False


def _factor(analytic: Array, numeric: Array, sizes: dict[int, str]) -> str:
    """Words for ``analytic = factor * numeric``, if that is so."""
    there = np.abs(numeric) > 1e-9 * np.max(np.abs(numeric), initial=0.0)
    if not there.any():
        return ""
    factor = float(np.sum(analytic * numeric) / np.sum(numeric * numeric))
    if factor == 0 or not _close(analytic / factor, numeric, min(1e-5, max(1e-9, abs(factor - 1) / 20))):
        return ""
    if abs(factor + 1) < 1e-6:
        return "its sign is wrong"
    if abs(factor - 1) < 1e-8:
        return ""
    if abs(factor - 1) < 0.01:
        return f"every entry is {factor:.8g} times what it should be: a constant with too few digits?"
    for n, name in sizes.items():
        if abs(factor / n - 1) < 1e-5:
            return (
                f"every entry is {n} times too large, which is {name}: the forward takes a mean, and the gradient lacks"
                f" its 1/{n}"
            )
        if abs(factor * n - 1) < 1e-5:
            return (
                f"every entry is 1/{n} of what it should be, and {n} is {name}: a mean where there should be a sum, or"
                f" a 1/{n} too many"
            )
        if n > 1 and abs(factor * (n - 1) / n - 1) < 1e-5:
            return (
                f"every entry is {n}/{n - 1} of what it should be, and {n} is {name}: divided by {n - 1} for {n} (ddof,"
                " Bessel)"
            )
        if n > 1 and abs(factor * n / (n - 1) - 1) < 1e-5:
            return (
                f"every entry is {n - 1}/{n} of what it should be, and {n} is {name}: divided by {n} for {n - 1} (ddof,"
                " Bessel)"
            )
    if abs(abs(factor) - 2) < 1e-5 or abs(abs(factor) - 0.5) < 1e-5:
        return (
            f"every entry is {factor:.6g} times what it should be: the 2 of a square's derivative, or a use counted"
            " twice"
        )
    return f"every entry is {factor:.10g} times what it should be"


def relation(
    analytic: Array,
    numeric: Array,
    x: Array,
    sizes: dict[int, str] | None = None,
    others: dict[int, Array] | None = None,
    output_shape: tuple[int, ...] | None = None,
) -> str:
    """The mistake that turns a right gradient into this wrong one, in words; empty if none of the known ones does.

    Parameters
    ----------
    analytic, numeric, x : ndarray
        The wrong gradient, the right one, and the argument: one shape.
    sizes : dict of int to str, optional
        Numbers that a mean would divide by, and what they are.
    others : dict of int to ndarray, optional
        The right gradients of the other arguments.
    output_shape : tuple of int, optional

    Examples
    --------
    >>> right = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> relation(-right, right, right)
    'its sign is wrong'
    >>> relation(right.T, right, right)
    'it is the transpose of the right one'
    """
    bad = ~np.isfinite(analytic)
    if bad.any():
        return (
            f"{int(bad.sum())} of {bad.size} entries are NaN or infinite, the first at {_first(bad)}; the right ones"
            " are finite"
        )
    if not np.any(analytic):
        return "it is zero everywhere: a path is cut (a copy as constant, .data, an in-place write)"
    words = _factor(analytic, numeric, sizes or {})
    if words:
        return words
    if analytic.ndim == 2 and _close(analytic.T, numeric):
        return "it is the transpose of the right one"
    for axis in range(analytic.ndim):
        if _close(np.flip(analytic, axis), numeric):
            return f"it is the right one reversed along axis {axis}: a kernel that should (or should not) be flipped?"
        for shift in (1, -1):
            if analytic.shape[axis] > 2 and _close(np.roll(analytic, shift, axis), numeric):
                return f"it is the right one shifted by {-shift} along axis {axis}"
    for other, theirs in (others or {}).items():
        if _close(analytic, theirs):
            return f"it is the right gradient of argument {other}: two gradients are exchanged"
    wrong = np.abs(analytic - numeric) > 1e-5 * np.max(np.abs(numeric), initial=0.0)
    if not wrong.any():
        gap = float(np.max(np.abs(analytic - numeric)) / np.max(np.abs(numeric), initial=1e-300))
        return (
            f"it agrees to {gap:.0e}: something in between is float32, or a constant has too few digits"
            if gap > 1e-9
            else ""
        )
    if wrong.sum() < wrong.size and not np.any(analytic[wrong]):
        return (
            f"no gradient reaches {int(wrong.sum())} of {wrong.size} entries, the first at {_first(wrong)}, and the"
            " others are right: a path is left out, or entries used more than once are overwritten instead of added"
        )
    if 2 * wrong.sum() <= wrong.size:
        return (
            f"{int(wrong.sum())} of {wrong.size} entries are wrong, the first at {_first(wrong)}; the others are right"
        )
    words = _along_an_axis(analytic, numeric, x)
    if words:
        return words
    if output_shape is not None and x.shape != output_shape and _broadcasts(x.shape, output_shape):
        return (
            f"the argument of shape {x.shape} is broadcast to {output_shape}: its gradient is a sum over the repeated"
            " axes"
        )
    return ""


def _along_an_axis(analytic: Array, numeric: Array, x: Array) -> str:
    """Statistics taken over an axis whose path is missing, factors that vary along one axis."""
    gap = analytic - numeric
    for axis in range(x.ndim):
        if x.shape[axis] < 3:
            continue
        mean = np.mean(gap, axis, keepdims=True)
        if _close(np.broadcast_to(mean, gap.shape), gap):
            return (
                f"it is off by the same number all along axis {axis}: the path through a mean or a sum over that axis"
                " is left out"
            )
        centred = x - np.mean(x, axis, keepdims=True)
        for regressor, what in ((centred, "x - mean(x)"), (x, "x")):
            square = np.sum(regressor * regressor, axis, keepdims=True)
            slope = np.sum(gap * regressor, axis, keepdims=True) / np.where(square == 0, 1, square)
            if _close(slope * regressor, gap):
                return (
                    f"it is off by a multiple of {what} all along axis {axis}: the path through"
                    f" {'a variance' if what != 'x' else 'a sum of squares (a norm)'} over that axis is left out or has"
                    " a wrong factor"
                )
        if x.shape[axis] > 3:
            square = np.sum(centred * centred, axis, keepdims=True)
            slope = np.sum(gap * centred, axis, keepdims=True) / np.where(square == 0, 1, square)
            if _close(mean + slope * centred, gap):
                return (
                    f"it is off by a straight line in x all along axis {axis}: the paths through its mean and variance"
                    " are left out"
                )
    if np.all(numeric != 0):
        ratio = analytic / numeric
        for axis in range(x.ndim):
            if (
                x.shape[axis] > 1
                and x.ndim > 1
                and _close(np.broadcast_to(np.mean(ratio, axis, keepdims=True), ratio.shape), ratio)
            ):
                return (
                    f"its factor to the right one is constant along axis {axis} and varies elsewhere: a scale taken"
                    " over the wrong axis?"
                )
    return ""


def _broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False


def _first(mask: Array) -> list[int]:
    found: list[int] = np.argwhere(mask)[0].tolist()
    return found
