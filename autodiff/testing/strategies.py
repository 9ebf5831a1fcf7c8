"""Hypothesis strategies for arrays, calls of operations, and random expression graphs; failures shrink to few small
numbers.

Values keep away from kinks and domain ends by construction, so no example is ever drawn and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.extras import require
from autodiff.facts import sample_call
from autodiff.testing.draw import NASTY, HypothesisDraw, NastyDraw
from autodiff.testing.generators import (
    convolution,
    einsum_call,
    ill_conditioned_matrix,
    random_expression,
    random_index,
    signature_shapes,
)

__all__ = [
    "arrays",
    "axes",
    "broadcastable_shapes",
    "calls",
    "convolutions",
    "einsums",
    "expressions",
    "ill_conditioned",
    "indices",
    "shapes",
    "tensors",
]


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
def broadcastable_shapes(draw: Any, *, count: int = 2, signature: Any = None) -> list[tuple[int, ...]]:
    """Shapes that broadcast together, or that fit a gufunc: ``np.matmul`` itself, or a signature such as
    ``"(n?,k),(k,m?)->(n?,m?)"``.
    """
    source = HypothesisDraw(draw)
    if signature is None:
        return source.shapes(count)
    text = getattr(signature, "signature", signature)
    if not isinstance(text, str):
        raise ArgumentError(
            f"broadcastable_shapes: {signature!r} has no gufunc signature; it is an elementwise ufunc, or none"
        )
    return signature_shapes(source, text)


@_composite
def arrays(
    draw: Any,
    *,
    shape: tuple[int, ...] | None = None,
    low: float = -2.0,
    high: float = 2.0,
    avoid: Sequence[float] = (),
    distinct: bool = False,
    empty: bool = False,
) -> Any:
    """Float64 arrays with values in (low, high), away from ``avoid``; they shrink to small whole numbers.

    Many have ties, sides of one, or entries of sizes from 1e-8 to 1; with ``empty`` also sides of zero.
    """
    if not low < high:
        raise ArgumentError(f"arrays: low must be below high, got {low} and {high}")
    source = NastyDraw(draw, whole=True, kinds=(*NASTY, "empty") if empty else NASTY)
    return source.array(source.shape() if shape is None else shape, low, high, avoid, distinct)


@_composite
def tensors(draw: Any, *, requires_grad: bool = True, **options: Any) -> Any:
    """Tensors over :func:`arrays`."""
    from autodiff import Tensor

    return Tensor(draw(arrays(**options)), requires_grad=requires_grad)


@_composite
def calls(draw: Any, op: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Valid calls of a registered operation, ``(args, kwargs)``, from its own facts; many with ties, sides of one or
    indices that repeat, or of functions of one number with entries at the ``edges`` that they state.
    """
    from autodiff.testing.verify import find

    found, source = find(op), NastyDraw(draw, kinds=NASTY[:-1])
    args, kwargs = sample_call(found, source)
    single = found.sample is None and len(found.inputs) == 1
    stated = [edge for edge in found.edges if found.domain[0] < edge < found.domain[1]] if single else []
    if stated and source.boolean():
        (x,) = args
        args = (np.where(source.mask(x.shape), source.choice(stated), x),)
    return args, kwargs


@_composite
def axes(draw: Any, *, ndim: int) -> Any:
    """None, one axis, or several, of an array of ``ndim`` axes."""
    return HypothesisDraw(draw).axes(ndim)


@_composite
def indices(draw: Any, *, shape: tuple[int, ...]) -> Any:
    """Slices, integers, repeated integer arrays, masks, new axes and tuples of them, that select from an array of a
    shape.
    """
    return random_index(NastyDraw(draw), shape)


@_composite
def einsums(draw: Any, *, operands: int | None = None, sides: int = 3) -> tuple[str, list[Any]]:
    """``(subscripts, operands)`` for ``numpy.einsum``: diagonals, sums, ellipses, the implicit form."""
    return einsum_call(HypothesisDraw(draw, whole=True), operands, sides)


@_composite
def convolutions(draw: Any, *, ndim: int = 2) -> tuple[tuple[Any, Any, Any], dict[str, Any]]:
    """``((x, weight, bias), {"stride", "padding", "dilation", "groups"})`` whose output is not empty, in PyTorch's
    layout.
    """
    return convolution(HypothesisDraw(draw, whole=True), ndim)


@_composite
def ill_conditioned(draw: Any, *, n: int = 3, largest: float = 1e6) -> Any:
    """Square matrices with condition numbers up to ``largest``."""
    return ill_conditioned_matrix(HypothesisDraw(draw), n, largest)


@_composite
def expressions(draw: Any, *, inputs: int = 2, max_steps: int = 8) -> tuple[Callable[..., Any], list[Any]]:
    """Random expression graphs with sharing: a function, whose text is its ``__doc__``, and a point for it."""
    return random_expression(HypothesisDraw(draw, whole=True), inputs, max_steps)
