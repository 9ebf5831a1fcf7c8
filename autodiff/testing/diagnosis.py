"""What a wrong gradient looks like: the mistakes that make such numbers, in words a student can act on.

Nothing here decides a verdict. On a failure the full Jacobian is taken by differences, and explanations are searched:
each is a recipe that turns the right numbers into wrong ones, and is stated only if it reproduces the gradient under
test to five digits at every entry, so that chance cannot make it. Where none does, what is certain is said: how many
entries are wrong, and which.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from autodiff.testing.arguments import dense
from autodiff.testing.report import Report
from autodiff.testing.study import scale, widest

__all__ = ["diagnose", "relation"]

Array = np.ndarray[Any, Any]

#: The Jacobian of larger arguments is taken as long as this many seconds last.
_SECONDS = 6.0
#: Beyond so many entries double precision and one step must do, and where time runs out as many are taken at random.
_SAMPLE = 64
#: Larger Jacobians are summed over the outputs at once.
_LARGEST = 4_000_000
#: Permutations of so many axes are tried.
_AXES = 4


#: What follows an argument's name where its gradient was compared at a point nearby.
BESIDE = " beside the point"


def diagnose(report: Report, problem: Any) -> list[str]:
    """Hints on the arguments whose gradient failed; none where nothing is known but that they are wrong."""
    failed = [e for e in report.entries if e.verdict == "fail"]
    first = {e.label for e in failed if e.order == 1 and e.argument >= 0 and not e.together}
    hints: list[str] = []
    if any(e.label.endswith(BESIDE) for e in failed):
        return [
            "right at this point and wrong beside it: its zeros, ones or equal entries hide a term or a factor; check"
            " at random numbers, too"
        ]
    if any(e.together for e in failed):
        hints.append(
            "entries that tie have shares of one gradient, which must add up to it: give it to one of them (a running"
            " or first index, not a mask x == max) or divide it by their number"
        )
        if not any(e.index is not None for e in failed):
            return hints  # a direction across the ties tells no more
    elif not first and any(e.argument == -2 for e in failed):
        return ["the gradient is right and the derivative in forward mode is not: look at the operation's tangent rule"]
    elif not first:
        return [
            "right in first and wrong in second order: a rule reads an array that it should compute from its inputs (a"
            " saved intermediate is a constant of the second derivative), or multiplies by g where it should not"
        ]
    numbers = [k for k, leaf in enumerate(problem.leaves) if leaf.label in first]
    gradient = problem.gradient(problem.base)
    found = dense(gradient, problem.base)
    doubled = problem.pulled([2 * u for u in problem.cotangents]) if numbers else []
    deadline = time.perf_counter() + _SECONDS
    facts = _Facts(problem, deadline)
    for k in numbers:
        words = ""
        if gradient[k] is None:
            words = (
                "it is zero everywhere, for none was returned (None): a path is cut, or what was meant as a constant"
                " should be handed over by keyword"
            )
        elif np.any(found[k]) and np.allclose(doubled[k], found[k], rtol=1e-9, atol=0, equal_nan=True):
            words = "it does not change when the output's gradient doubles; multiply by it"
        else:
            words = facts.explain(k, found[k])
        if words:
            hints.append(f"{problem.leaves[k].label}: {words}")
    return hints


class _Facts:
    """The right numbers, taken when they are first asked for."""

    def __init__(self, problem: Any, deadline: float) -> None:
        self.problem, self.deadline = problem, deadline
        self.base = problem.base
        self.count = sum(int(np.size(u)) for u in problem.cotangents)
        self._jacobians: dict[int, Array | None] = {}

    def jacobian(self, k: int) -> Array | None:
        """Every term's derivative by every entry, (terms, entries) or, of large ones, their sum (1, entries)."""
        if k not in self._jacobians:
            self._jacobians[k] = self._jacobian(k, self.base)
        return self._jacobians[k]

    def _jacobian(self, k: int, base: Sequence[Any], spots: Sequence[int] | None = None) -> Array | None:
        x = base[k]
        whole = self.count * x.size <= _LARGEST
        rows = []
        # Small steps, for kinks are near; longdouble, if the function has it, keeps their digits, but takes its time.
        quick = x.size > 8 * _SAMPLE
        wide = not quick and widest(self.problem.terms, base)[0] == np.longdouble
        coarse = any("plateaus" in note for note in self.problem.arguments.notes)
        step = ((0.1 if coarse else 1e-6 if wide else 1e-5) * scale(x)).reshape(-1)
        with np.errstate(all="ignore"):
            for i in range(x.size) if spots is None else spots:
                if spots is None and time.perf_counter() > self.deadline:
                    return None
                halves = []
                for h in (step[i],) if quick else (step[i], step[i] / 2):
                    sides = []
                    for sign in (1, -1):
                        moved = x.astype(np.longdouble if wide else np.float64)
                        moved.reshape(-1)[i] += sign * h
                        sides.append(self.problem.terms([moved if j == k else b for j, b in enumerate(base)]))
                    slope = np.asarray((sides[0] - sides[1]) / (2 * h))
                    if slope.dtype.kind == "c":
                        return None
                    halves.append(slope.astype(np.float64))
                row = halves[0] if quick else (4 * halves[1] - halves[0]) / 3
                rows.append(row if whole else np.array([row.sum()]))
        return np.array(rows).T.reshape(-1, len(rows))

    def numeric(self, k: int) -> Array | None:
        """The right gradient."""
        jacobian = self.jacobian(k)
        return None if jacobian is None else jacobian.sum(0).reshape(self.base[k].shape)

    def explain(self, k: int, analytic: Array) -> str:
        """The mistake that makes the gradient of one argument what it is; empty if nothing is known."""
        numeric = None if not np.any(analytic) else self.numeric(k)
        if numeric is None and analytic.size > _SAMPLE and np.isfinite(analytic).all():
            return self._sampled(k, analytic)
        if numeric is None or not np.isfinite(numeric).all():
            return _unfinite(analytic) or relation(analytic, analytic, analytic)
        words = relation(analytic, numeric, self.base[k], self._sizes())
        if words:
            return words
        words = _statistics(analytic, numeric, self.base[k])
        if words:
            return words
        for words in itertools.chain(
            self._of_cotangents(k, analytic, numeric),
            self._of_parts(k, analytic),
            self._of_arguments(k, analytic, numeric),
            self._of_the_transpose(k, analytic),
            self._of_indices(k, analytic, numeric),
        ):
            return words
        return _scaled_along_an_axis(analytic, numeric) or _where(analytic, numeric, self.base[k])

    def _sampled(self, k: int, analytic: Array) -> str:
        """A factor that all of some entries share, where there is no time for every one."""
        if not np.any(analytic):
            return relation(analytic, analytic, analytic)
        spots = np.random.default_rng(0).choice(analytic.size, _SAMPLE, replace=False).tolist()
        jacobian = self._jacobian(k, self.base, spots)
        if jacobian is None or not np.isfinite(jacobian).all():
            return ""
        words = _factor(analytic.reshape(-1)[spots], jacobian.sum(0), self._sizes())
        return f"{words} (as {_SAMPLE} entries taken at random say)" if words else ""

    def _sizes(self) -> dict[int, str]:
        """Numbers that a forgotten or doubled mean would bring in, with their names."""
        sizes: dict[int, str] = {}
        leaves = [(leaf.label, b) for leaf, b in zip(self.problem.leaves, self.base, strict=True)]
        outs = [("the output", u) for u in self.problem.cotangents]
        for label, array in leaves + outs:
            for axis, n in enumerate(np.shape(array)):
                sizes.setdefault(n, f"the length of axis {axis} of {label}")
            if label != "the output":
                sizes.setdefault(array.size, f"the number of entries of {label}")
        for label, array in outs + leaves:
            for count in range(2, np.ndim(array) + 1):
                for axes in itertools.combinations(range(np.ndim(array)), count):
                    size = int(np.prod([np.shape(array)[a] for a in axes]))
                    sizes.setdefault(size, f"the product of axes {axes} of {label}")
        sizes.pop(1, None)
        sizes.pop(0, None)
        return sizes

    def _of_cotangents(self, k: int, analytic: Array, numeric: Array) -> Iterator[str]:
        """The gradient of the output itself, passed on, summed over other axes, or picked."""
        shape = analytic.shape
        for u in self.problem.cotangents:
            u = np.asarray(u)
            if u.dtype.kind == "c":
                continue
            if u.shape == shape and u.size > 1 and _close(u, analytic):
                yield "it is the output's gradient passed on unchanged: the function's own derivative is missing"
            if u.shape == shape and u.size > 1 and _close(numeric - analytic, u):
                yield "it lacks the output's gradient itself, which a sum (a residual connection) hands on unchanged"
            for count in range(1, u.ndim + 1):
                for axes in itertools.combinations(range(u.ndim), count):
                    total = u.sum(axes)
                    if total.shape != shape or total.size < 2:
                        continue
                    if _close(total, analytic):
                        yield (
                            f"it is the output's gradient summed over axes {axes}: a wrong axis, or a factor missing"
                        )
                    elif _close(u.mean(axes), analytic):
                        yield f"it is the mean of the output's gradient over axes {axes} where there should be a sum"

    def _of_parts(self, k: int, analytic: Array) -> Iterator[str]:
        """A part of the Jacobian: one path alone, one row for the sum of them."""
        jacobian = self.jacobian(k)
        if jacobian is None or jacobian.shape[0] != self.count:
            return
        shape, start = analytic.shape, 0
        for number, u in enumerate(self.problem.cotangents):
            size = int(np.size(u))
            block = jacobian[start : start + size]
            start += size
            rest = (jacobian.sum(0) - block.sum(0)).reshape(shape)
            if len(self.problem.cotangents) > 1:
                if _close(analytic, rest):
                    yield f"the path from output {number} is left out; what comes from the others is right"
                if _close(analytic, block.sum(0).reshape(shape)):
                    yield f"it is what comes from output {number} alone; the other outputs' gradients are left out"
            parts = block.reshape((*np.shape(u), *shape))
            ndim = np.ndim(u)
            for axis in range(ndim):
                if np.shape(u)[axis] < 2:
                    continue
                others = tuple(a for a in range(ndim) if a != axis)
                slices = parts.sum(others)
                for which, words in ((0, "first"), (-1, "last")):
                    if _close(analytic, slices[which] + rest):
                        repeated = shape != np.shape(u) and _broadcasts(shape, np.shape(u))
                        yield (
                            f"it is what the {words} entry along axis {axis} of the output alone gives"
                            + (
                                f": the argument of shape {shape} is broadcast to {np.shape(u)}, and its gradient is a"
                                " sum over the repeated axes"
                                if repeated
                                else ": the others are overwritten where they should be added (= for +=), or their"
                                " path is cut"
                            )
                        )
            if np.shape(u) == shape and size > 1:
                diagonal = np.diagonal(block).reshape(shape)
                if not _close(diagonal, block.sum(0).reshape(shape)) and _close(analytic, diagonal + rest):
                    yield (
                        "it is the path from each entry to its own output alone; those to the other outputs, through"
                        " a sum, a mean or a normaliser, are left out"
                    )

    def _of_arguments(self, k: int, analytic: Array, numeric: Array) -> Iterator[str]:
        """A factor that is an argument, the output or their powers; the gradient of another argument; another point."""
        shape = analytic.shape
        for j, other in enumerate(self.base):
            if j != k and other.shape == shape:
                theirs = self.numeric(j)
                if theirs is not None and _close(analytic, theirs):
                    yield f"it is the right gradient of {self.problem.leaves[j].label}: two gradients are exchanged"
        with np.errstate(all="ignore"):
            outs = [np.asarray(o, np.float64) for o in self.problem.outputs(self.base) if o.dtype.kind == "f"]
        names = [(leaf.label, b) for leaf, b in zip(self.problem.leaves, self.base, strict=True)]
        names += [(f"output {i}", o) for i, o in enumerate(outs)]
        names += [
            (f"1 {sign} output {i}", 1 + one * o) for i, o in enumerate(outs) for sign, one in (("-", -1), ("+", 1))
        ]
        masks = [a for a in self.problem.arguments.static() if a.dtype.kind in "biuf"]
        names += [(f"the array of shape {a.shape} among the arguments", a.astype(float)) for a in masks]
        for label, values in names:
            if values.size < 2 or not _broadcasts(values.shape, shape):
                continue
            for power, words in ((1, label), (2, f"the square of {label}")):
                if np.ptp(values) > 1e-6 * np.max(np.abs(values)):
                    factor = values**power
                    if _close(analytic, numeric * factor):
                        yield f"every entry is {words} times what it should be: a factor too many"
                    if _close(analytic * factor, numeric):
                        yield f"a factor is missing: times {words} it is right"
        for j, other in enumerate(self.base):
            turned = {"transposed": other.T} if other.ndim == 2 and other.shape[0] == other.shape[1] > 1 else {}
            if other.ndim > 2 and other[..., 0, 0].size < other.size:
                turned["reversed along its last two axes"] = np.flip(other, (-2, -1))
            for words, value in turned.items() if j != k else ():
                there = self._jacobian(k, [value if i == j else b for i, b in enumerate(self.base)])
                if there is not None and _close(analytic, there.sum(0).reshape(shape)):
                    yield f"it is the right gradient for {self.problem.leaves[j].label} {words}"
        for out in outs:
            if out.shape == shape and out.size > 1:
                there = self._jacobian(k, [out if j == k else b for j, b in enumerate(self.base)])
                if there is not None and _close(analytic, there.sum(0).reshape(shape)):
                    yield "it is the derivative at the output where it should be the one at the input"

    def _of_the_transpose(self, k: int, analytic: Array) -> Iterator[str]:
        """The derivative taken the wrong way round."""
        jacobian, u = self.jacobian(k), np.ravel(self.problem.cotangents[0])
        shapes = [np.shape(u) for u in self.problem.cotangents]
        if jacobian is None or len(jacobian) != self.count or shapes != [analytic.shape] or u.dtype.kind == "c":
            return
        with np.errstate(all="ignore"):
            forwards = (jacobian / u[:, None]) @ u
        if u.size > 1 and _close(analytic, forwards.reshape(analytic.shape)):
            yield (
                "it is the operation's derivative applied forwards to the output's gradient, where the transposed one"
                " should be: a sum to be run backwards, a shift or a matrix the other way"
            )

    def _of_indices(self, k: int, analytic: Array, numeric: Array) -> Iterator[str]:
        """Rows that an index array names more than once."""
        wrong = _wrong(analytic, numeric)
        for value in self.problem.arguments.static():
            if value.dtype.kind not in "iu" or not value.size or analytic.ndim < 1:
                continue
            n = analytic.shape[0]
            if value.min() < -n or value.max() >= n:
                continue
            counts = np.bincount(value.reshape(-1) % n, minlength=n)
            rows = wrong.reshape(n, -1).any(1)
            if rows.any() and np.array_equal(rows, (counts > 1) & np.any(np.abs(numeric.reshape(n, -1)) > 0, axis=1)):
                yield (
                    "the rows that are indexed more than once are wrong, the others right: contributions overwrite each"
                    " other where they should add up (= for +=, or dx[i] += g, which NumPy does once; use np.add.at)"
                )


def _close(a: Array, b: Array, digits: float = 1e-5) -> bool:
    if a.shape != b.shape:
        return False
    size = float(np.max(np.abs(b), initial=0.0))
    return bool(np.all(np.abs(a - b) <= digits * size)) if size > 0 and np.isfinite(size) else False


def _wrong(analytic: Array, numeric: Array) -> Array:
    return np.asarray(~(np.abs(analytic - numeric) <= 1e-5 * np.max(np.abs(numeric), initial=1e-300)))


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
        for a, b in ((n, n - 1), (n - 1, n)) if n > 1 else ():
            if abs(factor * b / a - 1) < 1e-5:
                return (
                    f"every entry is {a}/{b} of what it should be, and {n} is {name}: divided by {b} for {a} (ddof,"
                    " Bessel)"
                )
    if abs(abs(factor) - 2) < 1e-5 or abs(abs(factor) - 0.5) < 1e-5:
        return (
            f"every entry is {factor:.6g} times what it should be: the 2 of a square's derivative, or a use counted"
            " twice"
        )
    return f"every entry is {factor:.10g} times what it should be"


def relation(analytic: Array, numeric: Array, x: Array, sizes: dict[int, str] | None = None) -> str:
    """The mistake that turns the right gradient at x, ``numeric``, into the wrong one, ``analytic``, in words; empty if
    none of the known ones does. ``sizes`` are numbers that a mean would divide by, and what they are.

    Examples
    --------
    >>> right = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> relation(-right, right, right)
    'its sign is wrong'
    >>> relation(right.T, right, right)
    'it is the transpose of the right one'
    """
    if _unfinite(analytic):
        return f"{_unfinite(analytic)}; the right ones are finite"
    if not np.any(analytic):
        return "it is zero everywhere: a path is cut (a copy as constant, .data, an in-place write)"
    words = _factor(analytic, numeric, sizes or {})
    if words:
        return words
    if analytic.size > 1:
        for axes in itertools.permutations(range(analytic.ndim)) if 2 <= analytic.ndim <= _AXES else ():
            if axes != tuple(range(analytic.ndim)) and _close(analytic.transpose(axes), numeric):
                return "it is the transpose of the right one" + ("" if analytic.ndim == 2 else f", axes {axes}")
        if analytic.ndim > 1 and _close(analytic.reshape(-1, order="F"), numeric.reshape(-1)):
            return "its entries stand in the wrong order: it is reshaped as if its axes were the other way round"
    for axes in (axes for count in (1, 2) for axes in itertools.combinations(range(analytic.ndim), count)):
        if _close(np.flip(analytic, axes), numeric):
            along = " and ".join(map(str, axes))
            return (
                f"it is the right one reversed along ax{'is' if len(axes) == 1 else 'es'} {along}: a kernel that should"
                " (or should not) be flipped?"
            )
    # The edges of what is shifted may be cut off, or come round.
    for shifts in itertools.product((0, 1, -1), repeat=analytic.ndim) if analytic.ndim <= _AXES else ():
        inner, outer = (
            tuple(slice(max(sign * by, 0), n + min(sign * by, 0)) for by, n in zip(shifts, analytic.shape, strict=True))
            for sign in (1, -1)
        )
        if any(shifts) and analytic[inner].size > 3 and np.ptp(numeric) and _close(analytic[inner], numeric[outer]):
            moved = " and ".join(f"{by} along axis {axis}" for axis, by in enumerate(shifts) if by)
            return f"it is the right one shifted by {moved}"
    wrong = _wrong(analytic, numeric)
    if not wrong.any():
        gap = float(np.max(np.abs(analytic - numeric)) / np.max(np.abs(numeric), initial=1e-300))
        return (
            f"it agrees to {gap:.0e}: something in between is float32, or a constant has too few digits"
            if gap > 1e-9
            else ""
        )
    if analytic.size > 3 and np.array_equal(analytic == 0, numeric != 0) and np.any(numeric == 0):
        return (
            "it is zero exactly where the right one is not, and the other way round: a mask or a condition is inverted"
        )
    off = analytic - numeric
    if off.size > 2 and _close(np.full(off.shape, np.mean(off)), off):
        return f"it is off by {np.mean(off):.6g} at every entry: a constant too many, or a path through a sum left out"
    return ""


def _where(analytic: Array, numeric: Array, x: Array) -> str:
    """Which entries are wrong, if not all are: the ones that share a sign, a side of a threshold, an edge."""
    wrong = _wrong(analytic, numeric)
    count = int(wrong.sum())
    if not 0 < count < wrong.size:
        return ""
    right = ~wrong
    zero = not np.any(analytic[wrong])
    if np.any(numeric) and np.array_equal(wrong, numeric == 0):
        return "right wherever the right one is not zero, it should be zero elsewhere: a mask or a choice is missing"
    what = ""
    if np.all(x[wrong] < 0) and np.all(x[right] >= 0):
        what = ": exactly those whose argument is negative"
    elif np.all(x[wrong] > 0) and np.all(x[right] <= 0):
        what = ": exactly those whose argument is positive"
    elif count > 1 and np.min(x[wrong]) > np.max(x[right]):
        what = f": exactly those whose argument is larger than {np.max(x[right]):.4g}"
    elif count > 1 and np.max(x[wrong]) < np.min(x[right]):
        what = f": exactly those whose argument is smaller than {np.min(x[right]):.4g}"
    else:
        for axis, n in enumerate(wrong.shape):
            if n < 3:
                continue
            rows = wrong.any(tuple(a for a in range(wrong.ndim) if a != axis), keepdims=True)
            if rows.sum() <= n // 3 and np.array_equal(wrong, np.broadcast_to(rows, wrong.shape)):
                what = f": exactly those at {np.flatnonzero(rows).tolist()} along axis {axis}"
    if zero:
        return (
            f"no gradient reaches {count} of {wrong.size} entries{what}, the first at {_first(wrong)}, and the others"
            " are right: a path is left out, or entries used more than once are overwritten instead of added"
        )
    if np.allclose(analytic[wrong], -numeric[wrong], rtol=1e-5):
        what += "; there the sign is wrong"
    if what or 2 * count <= wrong.size:
        return f"{count} of {wrong.size} entries are wrong, the first at {_first(wrong)}; the others are right{what}"
    return ""


def _statistics(analytic: Array, numeric: Array, x: Array) -> str:
    """Statistics taken over an axis whose path is missing."""
    gap = analytic - numeric

    def slope_on(regressor: Array, axis: int) -> Array:
        """Of the gap, by least squares along an axis."""
        square = np.sum(regressor * regressor, axis, keepdims=True)
        return np.asarray(np.sum(gap * regressor, axis, keepdims=True) / np.where(square == 0, 1, square))

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
            slope = slope_on(regressor, axis)
            if _close(slope * regressor, gap):
                if what == "x" and np.ptp(slope) <= 1e-5 * np.max(np.abs(slope)):
                    return (
                        f"it is off by {float(slope.flat[0]):.6g} times the argument: the gradient of a penalty (weight"
                        " decay) that is left out, taken twice, or has a wrong factor"
                    )
                return (
                    f"it is off by a multiple of {what} all along axis {axis}: the path through"
                    f" {'a variance' if what != 'x' else 'a sum of squares (a norm)'} over that axis is left out or has"
                    " a wrong factor"
                )
        if x.shape[axis] > 3 and _close(mean + slope_on(centred, axis) * centred, gap):
            return (
                f"it is off by a straight line in x all along axis {axis}: the paths through its mean and variance are"
                " left out"
            )
    return ""


def _scaled_along_an_axis(analytic: Array, numeric: Array) -> str:
    """A factor that varies along one axis alone."""
    if analytic.ndim > 1 and np.all(numeric != 0):
        ratio = analytic / numeric
        for axis in range(ratio.ndim):
            if ratio.shape[axis] > 1 and _close(
                np.broadcast_to(np.mean(ratio, axis, keepdims=True), ratio.shape), ratio
            ):
                return (
                    f"its factor to the right one is constant along axis {axis} and varies elsewhere: a scale taken"
                    " over the wrong axis?"
                )
    return ""


def _unfinite(analytic: Array) -> str:
    bad = ~np.isfinite(analytic)
    words = f"{int(bad.sum())} of {bad.size} entries are NaN or infinite, the first at"
    return f"{words} {_first(bad)}" if bad.any() else ""


def _broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False


def _first(mask: Array) -> list[int]:
    found: list[int] = np.argwhere(mask)[0].tolist()
    return found
