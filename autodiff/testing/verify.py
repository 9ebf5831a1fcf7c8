"""One operation proved: against the numerical reference, and a fused one against its composed definition as well."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff import Tensor, composed, gradients
from autodiff.core.errors import ArgumentError, GradientMismatch, MissingExtraError
from autodiff.core.op import Fused, Operation, Primitive, registry
from autodiff.facts import sample_call
from autodiff.ops import special
from autodiff.tables import html_table
from autodiff.testing.check import check_gradients
from autodiff.testing.draw import RandomDraw
from autodiff.testing.problem import EXACT, TANGENT
from autodiff.testing.report import Report

__all__ = [
    "Call",
    "Verification",
    "cast",
    "find",
    "fused_against_composed",
    "gradient_places",
    "held",
    "placed",
    "ulp_histogram",
    "verify",
    "verify_all",
]

#: Fused and composed may differ by this many units in the last place of the largest number in the array compared: both
#: are sums of at most a few hundred rounded terms, taken in a different order.
_ULPS = 512
#: Edges of the histogram of differences, in units in the last place; what exceeds the last but one goes to the last.
_EDGES = (0, 1, 2, 4, 8, 16, 64, 512, 1024)


@dataclass(frozen=True)
class Verification:
    """What was found about one operation.

    Attributes
    ----------
    name : str
    kind : {"elementary", "fused"}
    cases : int
    composed_error : float or None
        Largest difference between fused and composed, forward or gradient, relative to the array's largest entry.
    composed_ulps : float or None
        The same in units in the last place.
    ulp_histogram : dict of int to int
        How many entries of fused outputs and gradients are how far from composed ones: {0: exact, 1: within one unit in
        the last place, 2: within two, 4: ..., 1024: more}. The unit is that of the entry, or of a thousandth of the
        array's largest where the entry is smaller still.
    float32_ratio : float or None
        The fused float32 error over the composed float32 error, both against float64.
    numeric_error, second_order_error, third_order_error : float or None
        Largest relative difference to the numerical reference.
    forward_error : float or None
        Largest relative difference of forward mode to reverse mode, or to the reference.
    problem : str
        Empty if everything passed.
    """

    name: str
    kind: str
    cases: int = 0
    composed_error: float | None = None
    composed_ulps: float | None = None
    ulp_histogram: dict[int, int] = field(default_factory=dict)
    float32_ratio: float | None = None
    numeric_error: float | None = None
    second_order_error: float | None = None
    third_order_error: float | None = None
    forward_error: float | None = None
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problem

    def _repr_html_(self) -> str:
        """A row for each measurement, for notebooks."""
        measured = {
            "cases": self.cases,
            "fused - composed": self.composed_error,
            "fused - composed, ulps": self.composed_ulps,
            "float32, fused / composed": self.float32_ratio,
            "against numbers": self.numeric_error,
            "second order": self.second_order_error,
            "third order": self.third_order_error,
            "forward": self.forward_error,
        }
        rows = [(what, value) for what, value in measured.items() if value is not None]
        caption = f"{self.name} ({self.kind}): {'pass' if self.passed else 'FAIL'}"
        return html_table(caption, ("what", "value"), rows, [self.problem] if self.problem else [])


def find(op: Any) -> Primitive | Fused:
    """An operation from its name, its public function, or itself.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    if isinstance(op, Primitive | Fused):
        return op
    if isinstance(op, str):
        if op not in registry:
            with contextlib.suppress(MissingExtraError):
                special.register()
        if op in registry:
            return registry[op]
    known = getattr(op, "__autodiff__", None)
    if known is None:
        raise ArgumentError(f"verify: {op!r} is no registered operation; autodiff.registry lists them")
    found: Primitive | Fused = known
    return found


def verify(
    op: Operation | Callable[..., object] | str,
    *args: object,
    order: int = 2,
    seed: int = 0,
    raises: bool = True,
    **kwargs: object,
) -> Verification:
    """Prove one call of an operation.

    Parameters
    ----------
    op : Primitive, Fused, public function, or registered name
    *args, **kwargs
        A call; without any, three random calls from the operation's own facts.
    order : {1, 2, 3}
    seed : int
    raises : bool

    Returns
    -------
    Verification

    Raises
    ------
    GradientMismatch
        If a gradient is wrong, or fused and composed differ.
    ArgumentError
        If the operation is unknown, or no argument of the call is a real number or array that has a gradient.

    Examples
    --------
    >>> verify("tanh", np.linspace(-1.0, 1.0, 5)).passed
    True
    """
    found = find(op)
    calls = [(_compared(found, args, kwargs), kwargs)] if args else list(_calls(found, 3, seed))
    result = _verify(found, calls, order, seed)
    if raises and not result.passed:
        raise GradientMismatch(f"{found.name}: {result.problem}")
    return result


def _compared(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments with Tensors, numbers, lists and arrays of reals in the places of inputs as arrays in float64."""
    inputs = len(args) if op.variadic else len(op.inputs)

    def taken(value: Any, place: int) -> Any:
        value = value._array if isinstance(value, Tensor) else value
        if place >= inputs or not isinstance(value, np.ndarray | np.generic | float | list):
            return value
        array = np.asarray(value)
        return array.astype(np.float64) if array.dtype.kind == "f" else value

    made = tuple(taken(value, place) for place, value in enumerate(args))
    if not any(np.asarray(made[place]).dtype.kind == "f" for place in gradient_places(op, made, kwargs)):
        raise ArgumentError(
            f"verify: {op.name} is given no floating-point array that has a gradient, so there is nothing to compare;"
            " check_gradients takes complex ones"
        )
    return made


def _calls(op: Any, count: int, seed: int) -> Iterable[tuple[tuple[Any, ...], dict[str, Any]]]:
    draw = RandomDraw(np.random.default_rng([seed, *op.name.encode()]))
    return [sample_call(op, draw) for _ in range(count)]


def verify_all(
    names: Sequence[str] | None = None,
    *,
    cases: int = 3,
    order: int = 3,
    seed: int = 0,
    each: Callable[[Verification], object] | None = None,
) -> list[Verification]:
    """Prove every registered operation on random calls of its own facts.

    Parameters
    ----------
    names : sequence of str, optional
        Only these.
    cases : int
        Calls of each.
    order : {1, 2, 3}
    seed : int
    each : callable, optional
        Called with every result as it comes.

    Returns
    -------
    list of Verification
        None raises; look at ``passed``.
    """
    results = []
    for name in names or sorted(registry):
        op = find(name)
        result = _verify(op, list(_calls(op, cases, seed)), order, seed)
        results.append(result)
        if each is not None:
            each(result)
    return results


def _verify(op: Any, calls: Sequence[tuple[tuple[Any, ...], dict[str, Any]]], order: int, seed: int) -> Verification:
    facts: dict[str, Any] = {"name": op.name, "kind": "fused" if op.fused else "elementary", "cases": len(calls)}
    numeric: list[Report] = []
    token = EXACT.set(True)
    try:
        for args, kwargs in calls:
            if op.fused:
                relative, ulps = fused_against_composed(op, args, kwargs, seed)
                for edge, count in ulp_histogram(op, args, kwargs, seed).items():
                    facts.setdefault("ulp_histogram", dict.fromkeys(_EDGES, 0))[edge] += count
                facts["composed_error"] = max(facts.get("composed_error", 0.0), relative)
                facts["composed_ulps"] = max(facts.get("composed_ulps", 0.0), ulps)
                facts["float32_ratio"] = max(facts.get("float32_ratio", 0.0), _float32_ratio(op, args, kwargs, seed))
            if any(isinstance(a, np.ndarray) and a.dtype == np.float64 for a in args):
                numeric.append(check_gradients(*held(op, args, kwargs), order=order, seed=seed, name=op.name))
    except GradientMismatch as error:
        facts["problem"] = str(error)
    except Exception as error:
        # One operation that crashes on its own sample must not hide what is known of the others.
        facts["problem"] = f"{type(error).__name__}: {error}"
    finally:
        EXACT.reset(token)
    if numeric:
        for number, name in enumerate(("numeric_error", "second_order_error", "third_order_error")[:order], 1):
            facts[name] = _worst(numeric, number)
        facts["forward_error"] = _worst(numeric, 1, forward=True)
    return Verification(**facts)


def _worst(reports: Sequence[Report], order: int, forward: bool = False) -> float | None:
    """The largest relative difference of one order; None if nothing was compared in it."""
    every = [e for report in reports for e in report.entries if e.order == order and not e.kink]
    return max((e.relative for e in every if (e.label == TANGENT.label) == forward), default=None)


def placed(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], places: Sequence[int]
) -> Callable[..., Any]:
    """A call as a function of what stands at some places of it."""

    def call(*values: Any) -> Any:
        full = list(args)
        for place, value in zip(places, values, strict=True):
            full[place] = value
        return function(*full, **kwargs)

    return call


def cast(args: Sequence[Any], dtype: Any) -> list[Any]:
    """Arguments with their floating arrays in another precision."""
    return [np.asarray(a, dtype) if isinstance(a, np.ndarray | np.generic) and a.dtype.kind == "f" else a for a in args]


class Call:
    """One call of an operation with some inputs tracked, and its pullback."""

    def __init__(
        self,
        op: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        tracked: Sequence[int] | None = None,
        door: Callable[[Any], Any] = id,
    ) -> None:
        self.places = gradient_places(op, args, kwargs) if tracked is None else list(tracked)
        self.function = placed(op.function, args, kwargs, self.places)
        self.leaves = [self.leaf(args[i]) for i in self.places]
        self.handles = [door(leaf) for leaf in self.leaves]
        self.every = self.outputs(*self.leaves)
        self.outs = [o for o in self.every if o.requires_grad]

    def leaf(self, value: Any) -> Any:
        """A tracked input."""
        return Tensor(value, requires_grad=True)

    def outputs(self, *leaves: Any) -> list[Any]:
        """The outputs of floats, with these in the places of the tracked inputs."""
        out = self.function(*leaves)
        every = out if isinstance(out, tuple | list) else (out,)
        return [o for o in every if isinstance(o, Tensor) and o.dtype.kind in "fc"]

    def again(self, *leaves: Any) -> list[Any]:
        """The outputs that ask for a gradient."""
        return [o for o in self.outputs(*leaves) if o.requires_grad]

    def seeds(self, rng: np.random.Generator) -> list[Any]:
        """Random cotangents of these."""
        return [rng.standard_normal(o.shape).astype(o.dtype) for o in self.outs]

    def pull(self, seeds: Sequence[Any], outs: Sequence[Any] | None = None) -> list[Any]:
        """The gradients of the tracked inputs, zeros where there is none."""
        outs = self.outs if outs is None else outs
        found: Sequence[Any] = [None] * len(self.leaves)
        if outs:
            found = gradients(outs, self.leaves, seeds, retain_graph=True, allow_unused=True)
        return [
            np.zeros(leaf.shape, leaf.dtype) if g is None else g for g, leaf in zip(found, self.leaves, strict=True)
        ]


def held(op: Any, args: Sequence[Any], kwargs: dict[str, Any], places: Sequence[int] | None = None) -> tuple[Any, ...]:
    """The call as a function of the inputs that have a gradient, or of those at some places, and those inputs."""
    places = gradient_places(op, args, kwargs) if places is None else places
    call: Any = placed(op.function, args, kwargs, places)
    call.__name__ = op.name
    call.verified = (op, args, kwargs)  # what a report needs to write the call down
    return (call, *(np.asarray(args[i], np.float64) for i in places))


def gradient_places(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[int]:
    """Which arguments of a call have a gradient: float arrays, less those for which the operation itself has none."""
    count = len(args) if op.variadic else len(op.inputs)
    floats = [i for i, a in enumerate(args[:count]) if isinstance(a, np.ndarray | np.generic) and a.dtype.kind in "fc"]
    if not op.fused:
        return [i for i in floats if op.variadic or op.rules[i] is not None]
    filled = list(args) + [None] * (len(op.inputs) - len(args))
    out, residuals = op.run([np.asarray(a) if i in floats else a for i, a in enumerate(filled)], kwargs)
    needs = tuple(i in floats for i in range(len(filled)))
    g = tuple(np.ones_like(o) for o in out) if isinstance(out, tuple) else np.ones_like(out)
    grads = op.backward(g, residuals, needs)
    return [i for i in floats if grads[i] is not None]


def _results(
    op: Any, args: Sequence[Any], kwargs: dict[str, Any], dtype: Any, seed: int, as_composed: bool
) -> list[Any]:
    """Outputs and gradients of one call, in one dtype, fused or composed."""
    with composed() if as_composed else contextlib.nullcontext():
        call = Call(op, cast(args, dtype), kwargs, gradient_places(op, args, kwargs))
    return [o._array for o in call.every] + call.pull(call.seeds(np.random.default_rng(seed)))


def _both(op: Any, args: Sequence[Any], kwargs: dict[str, Any], seed: int) -> list[tuple[Any, Any]]:
    """Pairs of what a fused operation and its composed definition give in float64."""
    fused, truth = (_results(op, args, kwargs, np.float64, seed, as_composed) for as_composed in (False, True))
    return list(zip(fused, truth, strict=True))


def fused_against_composed(op: Any, args: Sequence[Any], kwargs: dict[str, Any], seed: int = 0) -> tuple[float, float]:
    """The largest difference of a fused operation's outputs and gradients from those of its composed definition,
    relative to the largest entry of the array it is in, and in units in that entry's last place; a GradientMismatch if
    they differ by more than rounding.
    """
    largest = 0.0
    for position, (ours, truth) in enumerate(_both(op, args, kwargs, seed)):
        if ours.shape != truth.shape or ours.dtype != truth.dtype:
            raise GradientMismatch(
                f"fused gives {ours.dtype}{list(ours.shape)}, composed {truth.dtype}{list(truth.shape)}"
            )
        scale = max(float(np.max(np.abs(truth), initial=0.0)), 1.0)
        gap = float(np.max(np.abs(ours - truth), initial=0.0)) / scale
        if not gap <= _ULPS * np.finfo(np.float64).eps:
            raise GradientMismatch(
                f"fused and composed differ by {gap:.1e} of the largest entry in result {position} (outputs come first,"
                " then gradients)"
            )
        largest = max(largest, gap)
    return largest, largest / float(np.finfo(np.float64).eps)


def ulp_histogram(op: Any, args: Sequence[Any], kwargs: dict[str, Any], seed: int = 0) -> dict[int, int]:
    """How many entries of a fused operation's outputs and gradients are how many units in the last place from the
    composed ones: a :attr:`Verification.ulp_histogram`.

    Examples
    --------
    >>> counts = ulp_histogram(find("softmax"), (np.linspace(-1.0, 1.0, 6).reshape(2, 3),), {"axis": 1})
    >>> sum(counts.values()), counts[1024]
    (12, 0)
    """
    counts = dict.fromkeys(_EDGES, 0)
    for ours, truth in _both(op, args, kwargs, seed):
        unit = np.spacing(np.maximum(np.abs(truth), float(np.max(np.abs(truth), initial=0.0)) / 1024))
        distance = np.abs(ours - truth) / unit
        for edge, count in zip(
            *np.unique(np.searchsorted(_EDGES[:-1], distance.reshape(-1)), return_counts=True), strict=True
        ):
            counts[_EDGES[int(edge)]] += int(count)
    return counts


def _float32_ratio(op: Any, args: Sequence[Any], kwargs: dict[str, Any], seed: int) -> float:
    """How much worse than the composed definition the fused operation is in float32, both judged against float64."""
    truth = _results(op, cast(cast(args, np.float32), np.float64), kwargs, np.float64, seed, True)
    ours, theirs = (_results(op, args, kwargs, np.float32, seed, flag) for flag in (False, True))
    worst = 0.0
    for t, a, b in zip(truth, ours, theirs, strict=True):
        if a.dtype != np.float32:
            raise GradientMismatch(f"float32 inputs gave a result of dtype {a.dtype}")
        scale = max(float(np.max(np.abs(t), initial=0.0)), 1.0) * float(np.finfo(np.float32).eps)
        own = float(np.max(np.abs(a - t), initial=0.0)) / scale
        other = float(np.max(np.abs(b - t), initial=0.0)) / scale
        # Slack: eight ulps of the largest entry on top of four times the composed error.
        if own > 4 * other + 8:
            raise GradientMismatch(
                f"in float32 the fused operation is {own:.1f} ulps from float64, the composed definition {other:.1f}"
            )
        worst = max(worst, own / max(other, 1.0))
    return worst
