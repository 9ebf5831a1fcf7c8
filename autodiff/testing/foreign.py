"""Laws and mutants for whatever a check takes: PyTorch's functions, JAX's ``custom_vjp``, pairs. Nothing here needs our
own engine.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, AutodiffError
from autodiff.testing.arguments import dense, plain
from autodiff.testing.problem import BEND, HASTY, PROBLEMS, Problem
from autodiff.testing.report import Report

__all__ = ["LAYOUTS", "MUTATIONS", "Mutants", "emptied", "equal", "laws_of", "mutants_of", "problem_of"]

Bend = Callable[[Any], Any]


def equal(ours: Sequence[Any], theirs: Sequence[Any], words: str, rtol: float = 0.0) -> None:
    """Assert that arrays are equal, to the bit or to a share of their largest entry."""
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.shape == b.shape, f"{words}: result {i} has shape {a.shape}, expected {b.shape}"
        scale = max(float(np.max(np.abs(b), initial=0.0)), 1.0) if b.size else 1.0
        same = (
            np.array_equal(a, b, equal_nan=True)
            if rtol == 0
            else np.allclose(a, b, rtol=0, atol=rtol * scale, equal_nan=True)
        )
        assert same, f"{words}: result {i} differs by {np.max(np.abs(a - b))}"


def linear(pull: Callable[[Sequence[Any]], Sequence[Any]], u: Sequence[Any], v: Sequence[Any]) -> None:
    """Assert that a pullback is linear: to the bit for powers of two and zero, and to rounding for a sum."""
    at_u, at_v = pull(u), pull(v)
    for factor in (4.0, 2.0**-20, -1.0, 0.0):
        scaled = pull([(factor * s).astype(s.dtype) for s in u])
        equal(scaled, [factor * g for g in at_u], f"pullback of {factor:g} u")
    both = pull([s + t for s, t in zip(u, v, strict=True)])
    equal(both, [a + b for a, b in zip(at_u, at_v, strict=True)], "pullback of u + v", 1e-12)


def symmetric(product: Callable[[Sequence[Any]], Sequence[Any]], a: Sequence[Any], b: Sequence[Any]) -> None:
    """Assert that <a, H b> = <b, H a> for the product of a matrix H with a vector."""
    left, right = (sum(float(np.sum(x * h)) for x, h in zip(v, product(w), strict=True)) for v, w in ((a, b), (b, a)))
    assert abs(left - right) <= 1e-9 * max(1.0, abs(left)), f"<a, H b> = {left}, <b, H a> = {right}"


def _fortran(a: Any) -> Any:
    return np.array(a, order="F")


def _gapped(a: Any) -> Any:
    wide = np.zeros((*a.shape, 2), a.dtype)
    wide[..., 0] = a
    return wide[..., 0]


def _offset(a: Any) -> Any:
    """At an address that is no multiple of the item size."""
    room = np.zeros(a.nbytes + 1, np.uint8)
    moved = room[1:].view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved


def _reversed(a: Any) -> Any:
    back = (..., *(slice(None, None, -1),) * a.ndim)
    return a[back].copy()[back]


#: Unusual layouts of an array's memory, by name.
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "fortran": _fortran,
    "gapped": _gapped,
    "offset": _offset,
    "reversed": _reversed,
}


def emptied(a: Any) -> Any:
    """An array without its elements."""
    return a[:0] if a.ndim else a


def laws_of(check: Callable[..., Report], *args: object, **kwargs: object) -> dict[str, str]:
    """The laws that the gradient of a check breaks: of PyTorch's functions, JAX's ``custom_vjp``, pairs, whatever a
    check takes.

    Parameters
    ----------
    check : callable
        ``check_pair``, ``check_torch``, ``check_jax``, ``check_autograd``, ``check_engine`` or ``check_gradients``.
    *args, **kwargs
        Of the check.

    Raises
    ------
    ArgumentError
        If ``check`` is none.

    Returns
    -------
    dict of str to str
        What is wrong, by the name of the law; empty if all hold: the gradient is linear in the output's, to the bit for
        powers of two; it is the same again, and for arrays in Fortran's order, with gaps, and reversed; its own
        gradient is symmetric; inputs without elements have gradients of their shape, or are refused.

    Examples
    --------
    >>> from autodiff.testing import check_pair
    >>> laws_of(check_pair, np.tanh, lambda g, x: g / np.cosh(x) ** 2, [np.array([0.3, -1.0])])
    {}
    >>> list(laws_of(check_pair, np.tanh, lambda g, x: np.abs(g) / np.cosh(x) ** 2, [np.array([0.3, -1.0])]))
    ['linear in the cotangent']
    """
    problem = problem_of(check, args, kwargs)
    broken: dict[str, str] = {}
    for name, holds in _FOREIGN.items():
        try:
            holds(problem)
        except AssertionError as error:
            broken[name] = str(error)
        except RuntimeError as error:
            # A pair, or a function that can be differentiated but once, has no second derivative.
            if holds is not _foreign_symmetric:
                broken[name] = f"{type(error).__name__}: {error}"
    try:
        empty = problem_of(check, [_without_elements(a) for a in args], kwargs)
        found = empty.pulled(empty.cotangents)
    except (AutodiffError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError):
        return broken
    if any(np.shape(g) != b.shape for g, b in zip(found, empty.base, strict=True)):
        broken["inputs without elements"] = f"gradients of shapes {[np.shape(g) for g in found]}"
    return broken


def problem_of(check: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] | None = None) -> Problem:
    """What a check would compare."""
    found: list[Problem] = []
    token = PROBLEMS.set(found)
    try:
        _called(check, args, kwargs or {})
    finally:
        PROBLEMS.reset(token)
    if len(found) != 1:
        raise _no_check(check)
    return found[0]


def _called(check: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The report of a check."""
    try:
        taken = inspect.signature(check).parameters
    except (TypeError, ValueError):  # no function, or one of C's
        raise _no_check(check) from None
    if "raises" not in taken and all(p.kind is not p.VAR_KEYWORD for p in taken.values()):
        raise _no_check(check)
    return check(*args, **{**kwargs, "raises": False})


def _no_check(check: Any) -> ArgumentError:
    return ArgumentError(
        "the first argument is a check of one function, such as check_gradients, got"
        f" {getattr(check, '__name__', type(check).__name__)}; write laws_of(check_gradients, f, *args), or mutants_of"
    )


def _without_elements(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_elements(item) for item in value]
    return emptied(value) if isinstance(value, np.ndarray) else value


def _foreign_linear(problem: Problem) -> None:
    u = problem.cotangents
    v = [0.5 + np.roll(part, 1) for part in u]
    linear(problem.pulled, u, v)


def _foreign_reruns(problem: Problem) -> None:
    equal(problem.pulled(problem.cotangents), problem.pulled(problem.cotangents), "gradient")


def _foreign_layout(problem: Problem) -> None:
    expected = problem.pulled(problem.cotangents)
    for layout in ("fortran", "gapped", "reversed"):
        change = LAYOUTS[layout]
        turned = problem.pulled([change(u) for u in problem.cotangents], [change(b) for b in problem.base])
        equal(turned, expected, f"gradient for {layout} inputs", 1e-13)


def _foreign_symmetric(problem: Problem) -> None:
    rng = np.random.default_rng(7)
    a, b = ([rng.standard_normal(x.shape) for x in problem.base] for _ in range(2))
    symmetric(lambda v: dense(problem.second_gradient(problem.base, v), problem.base), a, b)


_FOREIGN: dict[str, Callable[[Problem], None]] = {
    "linear in the cotangent": _foreign_linear,
    "reruns agree to the bit": _foreign_reruns,
    "layout does not matter": _foreign_layout,
    "the Hessian is symmetric": _foreign_symmetric,
}


def _one_zeroed(g: Any) -> Any:
    """The largest entry becomes zero."""
    if not np.size(g):
        return g
    keep = np.ones(g.shape, bool)
    keep.reshape(-1)[int(np.argmax(np.abs(plain(g))))] = False
    return g * keep


#: What is done to one gradient.
MUTATIONS: dict[str, Bend] = {
    "scaled by 1 + 1e-6": lambda g: g * (1 + 1e-6),
    "sign flipped": lambda g: -g,
    "one entry zeroed": _one_zeroed,
    "doubled": lambda g: 2 * g,
}


@dataclass(frozen=True)
class Mutants:
    """What became of an operation's mutants.

    Attributes
    ----------
    made : int
    survived : tuple of str
        Such as ``"input 0 doubled"``: those that no call exposed.
    untold : tuple of str
        What the facts do not reach, so that no mutant could be made of it.
    """

    made: int
    survived: tuple[str, ...]
    untold: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether mutants were made of every input, and all were caught."""
        return not self.survived and not self.untold

    def __str__(self) -> str:
        caught = f"{self.made - len(self.survived)} of {self.made}"
        return "; ".join([caught, *(f"survived: {s}" for s in self.survived), *self.untold])


def mutants_of(check: Callable[..., Report], *args: object, **kwargs: object) -> Mutants:
    """Bend the gradients of one check one by one and count what it notices: for PyTorch's functions, JAX's
    ``custom_vjp``, pairs, whatever a check takes.

    Parameters
    ----------
    check : callable
        ``check_pair``, ``check_torch``, ``check_jax``, ``check_autograd``, ``check_engine`` or ``check_gradients``.
    *args, **kwargs
        Of the check.

    Returns
    -------
    Mutants
        ``untold`` names the arguments whose gradient is zero, which bending does not change, and says so where the
        gradient does not pass unbent.

    Examples
    --------
    >>> from autodiff.testing import check_pair
    >>> str(mutants_of(check_pair, np.tanh, lambda g, x: g / np.cosh(x) ** 2, [np.array([0.3, -1.0])]))
    '4 of 4'
    """
    seen: list[list[Any]] = []

    def watched(found: list[Any]) -> list[Any]:
        seen.append(found)
        return found

    unbent = _bent(check, args, kwargs, watched)
    if unbent.verdict != "pass":
        return Mutants(0, (), (f"the gradient does not pass as it is: {unbent.verdict}",))
    labels = {e.argument: e.label for e in unbent.entries}
    caught, every, untold = [], [], []
    for k, gradient in enumerate(seen[0] if seen else []):
        words = labels.get(k, f"argument {k}")
        if gradient is None or not np.any(gradient):
            untold.append(f"{words} has no gradient at this point")
            continue
        for name, bend in MUTATIONS.items():

            def wrong(found: list[Any], k: int = k, bend: Bend = bend) -> list[Any]:
                return [bend(np.asarray(g)) if j == k else g for j, g in enumerate(found)]

            every.append(f"{words} {name}")
            if _bent(check, args, kwargs, wrong, hasty=True).verdict != "pass":
                caught.append(every[-1])
    return Mutants(len(every), tuple(m for m in every if m not in caught), tuple(untold))


def _bent(
    check: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], bend: Any, hasty: bool = False
) -> Any:
    """The report of a check whose gradients pass through a function."""
    tokens = BEND.set(bend), HASTY.set(hasty)
    try:
        return _called(check, args, kwargs)
    finally:
        BEND.reset(tokens[0])
        HASTY.reset(tokens[1])
