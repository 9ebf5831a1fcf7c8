"""Hypothesis strategies for arrays, calls of operations, and random expression graphs; failures shrink to few small numbers.

Values keep away from kinks and domain ends by construction, so no example is ever drawn and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.errors import ArgumentError, require
from autodiff.facts import sample_call
from autodiff.testing.draw import HypothesisDraw
from autodiff.testing.verify import find

__all__ = ["arrays", "axes", "broadcastable_shapes", "calls", "expressions", "ill_conditioned", "indices", "shapes", "tensors"]


def _composite(function: Callable[..., Any]) -> Callable[..., Any]:
    """``hypothesis.strategies.composite``, imported when a strategy is first asked for."""

    def strategy(*args: Any, **kwargs: Any) -> Any:
        return require("hypothesis.strategies").composite(function)(*args, **kwargs)

    strategy.__name__, strategy.__doc__ = function.__name__, function.__doc__
    return strategy


@_composite
def shapes(draw: Any, *, min_ndim: int = 0, max_ndim: int = 3, min_side: int = 1, max_side: int = 4) -> tuple[int, ...]:
    """Shapes; the smallest is the simplest."""
    return HypothesisDraw(draw).shape(min_ndim, max_ndim, min_side, max_side)


@_composite
def broadcastable_shapes(draw: Any, *, count: int = 2, signature: str | None = None) -> list[tuple[int, ...]]:
    """Shapes that broadcast together, or that fit a gufunc signature such as ``"(n,k),(k,m)->(n,m)"``."""
    source = HypothesisDraw(draw)
    if signature is None:
        return source.shapes(count)
    cores = [core.split(",") if core else [] for core in signature.split("->")[0].strip("()").replace(" ", "").split("),(")]
    sizes = {name: source.integer(1, 4) for core in cores for name in core}
    return [lead + tuple(sizes[name] for name in core) for lead, core in zip(source.shapes(len(cores)), cores, strict=True)]


@_composite
def arrays(
    draw: Any, *, shape: tuple[int, ...] | None = None, low: float = -2.0, high: float = 2.0, avoid: Sequence[float] = (), distinct: bool = False
) -> Any:
    """Float64 arrays with values in (low, high), away from ``avoid``."""
    if not low < high:
        raise ArgumentError(f"arrays: low must be below high, got {low} and {high}")
    source = HypothesisDraw(draw)
    return source.array(source.shape() if shape is None else shape, low, high, avoid, distinct)


@_composite
def tensors(draw: Any, *, requires_grad: bool = True, **options: Any) -> Any:
    """Tensors over :func:`arrays`."""
    from autodiff import Tensor

    return Tensor(draw(arrays(**options)), requires_grad=requires_grad)


@_composite
def calls(draw: Any, op: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Valid calls of a registered operation, ``(args, kwargs)``, from its own facts."""
    return sample_call(find(op), HypothesisDraw(draw))


@_composite
def axes(draw: Any, *, ndim: int) -> Any:
    """None, one axis, or several, of an array of ``ndim`` axes."""
    return HypothesisDraw(draw).axes(ndim)


@_composite
def indices(draw: Any, *, shape: tuple[int, ...]) -> Any:
    """Slices, integers, repeated integer arrays and masks that select from an array of a shape."""
    source = HypothesisDraw(draw)
    if not shape:
        return ()
    n = shape[0]
    kind = source.integer(0, 4)
    if kind == 0:
        return source.integer(-n, n - 1)
    if kind == 1:
        return slice(source.integer(0, n), None, source.choice((1, 2, -1)))
    if kind == 2:
        return source.integers((source.integer(0, 4),), -n, n - 1)
    if kind == 3:
        return source.mask(shape)
    return (Ellipsis, None)


@_composite
def ill_conditioned(draw: Any, *, n: int = 3, largest: float = 1e6) -> Any:
    """Square matrices with condition numbers up to ``largest``."""
    source = HypothesisDraw(draw)
    q, _ = np.linalg.qr(source.array((n, n), -1.0, 1.0, distinct=True) + np.eye(n))
    spread = largest ** (source.integer(0, 8) / 8)
    return q @ np.diag(np.geomspace(1.0, 1.0 / spread, n)) @ q.T


_STEPS: dict[str, Callable[..., Any]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / (y * y + 1.0),
    "tanh": lambda x, y: np.tanh(x),
    "sin": lambda x, y: np.sin(x),
    "exp": lambda x, y: np.exp(-x * x),
    "mean": lambda x, y: x - np.mean(x),
    "flip": lambda x, y: np.flip(x, -1),
    "sqrt": lambda x, y: np.sqrt(x * x + 0.5),
}


@_composite
def expressions(draw: Any, *, inputs: int = 2, max_steps: int = 8) -> tuple[Callable[..., Any], list[Any]]:
    """Random expression graphs with sharing: a function, whose text is its ``__doc__``, and a point for it."""
    source = HypothesisDraw(draw)
    program = [
        (source.choice(tuple(_STEPS)), source.integer(0, inputs + i - 1), source.integer(0, inputs + i - 1))
        for i in range(source.integer(1, max_steps))
    ]
    length = source.integer(1, 3)
    point = [source.array((length,)) for _ in range(inputs)]

    def expression(*leaves: Any) -> Any:
        values = list(leaves)
        for step, i, j in program:
            values.append(_STEPS[step](values[i], values[j]))
        return values[-1]

    expression.__doc__ = "; ".join(f"v{inputs + k} = {step}(v{i}, v{j})" for k, (step, i, j) in enumerate(program))
    return expression, point
