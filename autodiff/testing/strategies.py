"""Hypothesis strategies for arrays, calls of operations, and random expression graphs; failures shrink to few small
numbers.

Every choice of 0 is the simplest, so that a failure shrinks by itself, and values keep away from kinks and domain ends
by construction, so no example is ever drawn and thrown away. Where another source of integers will do, such as
:class:`~autodiff.testing.RandomDraw` for long runs, ``expressions.of(draw, ...)`` draws from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.extras import require
from autodiff.facts import Draw, sample_call
from autodiff.testing.draw import NASTY, HypothesisDraw, NastyDraw

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

#: Small whole numbers first.
_whole = partial(HypothesisDraw, whole=True)


def _strategy(source: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Any]:
    """A strategy from a function of a Draw, which ``source`` makes of what Hypothesis hands over."""

    def made(function: Callable[..., Any]) -> Any:
        def strategy(*args: Any, **kwargs: Any) -> Any:
            drawn = lambda draw, *args, **kwargs: function(source(draw), *args, **kwargs)
            # Imported when a strategy is first asked for.
            return require("hypothesis.strategies").composite(drawn)(*args, **kwargs)

        strategy.__name__, strategy.__doc__ = function.__name__, function.__doc__
        strategy.of = function  # type: ignore[attr-defined]
        return strategy

    return made


@_strategy(HypothesisDraw)
def shapes(
    draw: Draw, *, min_ndim: int = 0, max_ndim: int = 3, min_side: int = 1, max_side: int = 4
) -> tuple[int, ...]:
    """Shapes; the smallest is the simplest."""
    return draw.shape(min_ndim, max_ndim, min_side, max_side)


@_strategy(HypothesisDraw)
def broadcastable_shapes(draw: Draw, *, count: int = 2, signature: Any = None) -> list[tuple[int, ...]]:
    """Shapes that broadcast together, or that fit a gufunc: ``np.matmul`` itself, or a signature such as
    ``"(n?,k),(k,m?)->(n?,m?)"``, with loop dimensions that broadcast.

    Dimensions marked ``?`` are sometimes left out, all of one name together; those that are numbers have that length.
    """
    if signature is None:
        return draw.shapes(count)
    text = getattr(signature, "signature", signature)
    if not isinstance(text, str):
        raise ArgumentError(
            f"broadcastable_shapes: {signature!r} has no gufunc signature; it is an elementwise ufunc, or none"
        )
    inputs = text.replace(" ", "").split("->")[0]
    if not re.fullmatch(r"\([\w?,]*\)(,\([\w?,]*\))*", inputs):
        raise ArgumentError(f"broadcastable_shapes: {text!r} is no gufunc signature, such as '(n,k),(k,m)->(n,m)'")
    cores = [core.split(",") if core else [] for core in inputs[1:-1].split("),(")]
    names = {name for core in cores for name in core}
    left_out = {name for name in sorted(names) if name.endswith("?") and draw.boolean()}
    sizes = {name: int(name) if name.isdigit() else draw.integer(1, 4) for name in sorted(names)}
    # With loop dimensions NumPy takes the last ones for the core, so that what was left out would not be missed.
    loops: list[tuple[int, ...]] = [()] * len(cores) if left_out else draw.shapes(len(cores))
    return [
        loop + tuple(sizes[name] for name in core if name not in left_out)
        for loop, core in zip(loops, cores, strict=True)
    ]


@_strategy(lambda draw: draw)
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


@_strategy(lambda draw: draw)
def tensors(draw: Any, *, requires_grad: bool = True, **options: Any) -> Any:
    """Tensors over :func:`arrays`."""
    from autodiff import Tensor

    return Tensor(draw(arrays(**options)), requires_grad=requires_grad)


@_strategy(partial(NastyDraw, kinds=NASTY[:-1]))
def calls(draw: Any, op: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Valid calls of a registered operation, ``(args, kwargs)``, from its own facts; many with ties, sides of one or
    indices that repeat, or of functions of one number with entries at the ``edges`` that they state.
    """
    from autodiff.testing.verify import find

    found = find(op)
    args, kwargs = sample_call(found, draw)
    single = found.sample is None and len(found.inputs) == 1
    stated = [edge for edge in found.edges if found.domain[0] < edge < found.domain[1]] if single else []
    if stated and draw.boolean():
        (x,) = args
        args = (np.where(draw.mask(x.shape), draw.choice(stated), x),)
    return args, kwargs


@_strategy(HypothesisDraw)
def axes(draw: Draw, *, ndim: int) -> Any:
    """None, one axis, or several, of an array of ``ndim`` axes."""
    return draw.axes(ndim)


@_strategy(NastyDraw)
def indices(draw: Draw, *, shape: tuple[int, ...]) -> Any:
    """What may stand in ``x[...]`` of a shape: integers, slices of either direction, repeated integer arrays, masks,
    new axes, and tuples of them.
    """
    if not shape:
        return draw.choice(((), ..., None))
    kind = draw.integer(0, 5)
    if kind == 4:
        return draw.mask(shape)
    if kind == 5:
        return (..., None)
    first = _axis_index(draw, shape[0], kind)
    if len(shape) == 1 or not draw.boolean():
        return first
    return first, _axis_index(draw, shape[1], draw.integer(0, 1))


def _axis_index(draw: Draw, n: int, kind: int) -> Any:
    if kind == 0:
        return slice(draw.integer(0, n), None, draw.choice((1, 2, -1)))
    if kind == 1:
        return draw.integer(-n, n - 1)
    if kind == 2:
        return draw.integers((draw.integer(0, 4),), -n, n - 1)
    return draw.mask((n,))


@_strategy(_whole)
def einsums(draw: Draw, *, operands: int | None = None, sides: int = 3) -> tuple[str, list[Any]]:
    """``(subscripts, operands)`` for ``numpy.einsum``.

    Among the draws: repeated letters within an operand (diagonals), letters summed in one operand alone, broadcast axes
    of length one, an ellipsis, and the implicit form without an arrow.
    """
    letters = "ijkl"
    sizes = {letter: draw.integer(1, sides) for letter in letters}
    count = draw.integer(1, 3) if operands is None else operands
    terms = ["".join(draw.choice(letters) for _ in range(draw.integer(0, 3))) for _ in range(count)]
    dots = draw.integer(0, 3) == 3
    loop = draw.shape(max_ndim=2, max_side=2) if dots else ()
    arrays = [draw.array(loop + tuple(sizes[letter] for letter in term)) for term in terms]
    used = [letter for letter in letters if any(letter in term for term in terms)]
    left = ",".join(("..." if dots else "") + term for term in terms)
    if draw.integer(0, 3) == 3:
        return left, arrays
    kept = [letter for letter in used if draw.boolean()]
    if len(kept) > 1 and draw.boolean():
        kept.reverse()
    return f"{left}->{'...' if dots else ''}{''.join(kept)}", arrays


@_strategy(_whole)
def convolutions(draw: Draw, *, ndim: int = 2) -> tuple[tuple[Any, Any, Any], dict[str, Any]]:
    """``((x, weight, bias), {"stride", "padding", "dilation", "groups"})`` of a convolution over ``ndim`` axes whose
    output is not empty.

    ``x`` is (N, C, *sizes), ``weight`` (D, C / groups, *kernel), ``bias`` (D,) or None, as in PyTorch.
    """
    groups = draw.integer(1, 2)
    inner, outer = draw.integer(1, 2), draw.integer(1, 2)
    kernel = tuple(draw.integer(1, 3) for _ in range(ndim))
    stride = tuple(draw.integer(1, 2) for _ in range(ndim))
    dilation = tuple(draw.integer(1, 2) for _ in range(ndim))
    padding = tuple(draw.integer(0, k - 1) for k in kernel)
    sizes = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw.integer(0, 3) for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    x = draw.array((draw.integer(1, 2), groups * inner, *sizes))
    weight = draw.array((groups * outer, inner, *kernel))
    bias = draw.array((groups * outer,)) if draw.boolean() else None
    return (x, weight, bias), {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


@_strategy(HypothesisDraw)
def ill_conditioned(draw: Draw, *, n: int = 3, largest: float = 1e6) -> Any:
    """Square matrices with condition numbers up to ``largest``, their singular values spread evenly on a logarithmic
    scale.
    """
    left, _ = np.linalg.qr(draw.array((n, n), -1.0, 1.0, distinct=True) + np.eye(n))
    right, _ = np.linalg.qr(draw.array((n, n), -1.0, 1.0, distinct=True) - np.eye(n))
    spread = largest ** (draw.integer(0, 8) / 8)
    return left @ np.diag(np.geomspace(1.0, 1.0 / spread, n)) @ right


#: Steps of random programs, on vectors of one length. Each keeps its values within reach of the next: a product of
#: products would overflow.
_STEPS: dict[str, Callable[..., Any]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * np.tanh(y),
    "/": lambda x, y: x / (y * y + 1.0),
    "tanh": lambda x, y: np.tanh(x),
    "sin": lambda x, y: np.sin(x),
    "exp": lambda x, y: np.exp(-x * x),
    "sqrt": lambda x, y: np.sqrt(x * x + 0.5),
    "mean": lambda x, y: x - np.mean(x),
    "flip": lambda x, y: np.flip(x, -1),
    "cumsum": lambda x, y: np.cumsum(x) / 4,
    "sum": lambda x, y: np.sin(y) + np.sum(np.tanh(x)),
    "outer": lambda x, y: np.outer(np.tanh(x), np.sin(y)) @ y,
    "gather": lambda x, y: x[np.arange(len(x)) // 2] + y[::-1],
    "where": lambda x, y: np.where(np.arange(len(x)) % 2 == 0, x, y),
    "join": lambda x, y: np.concatenate([x, y])[1::2][: len(x)],
    "power": lambda x, y: (x * x + 1.0) ** np.tanh(y),
    "logaddexp": lambda x, y: np.logaddexp(x, y + 0.25),
}


@_strategy(_whole)
def expressions(draw: Draw, *, inputs: int = 2, max_steps: int = 8) -> tuple[Callable[..., Any], list[Any]]:
    """Random programs of vectors whose intermediate values are shared: a function, whose text is its ``__doc__``, and a
    point for it.

    Every step reads any two earlier values, so the graph is a DAG with reconvergent paths: what breaks a wrong
    accumulation order.
    """
    program = [
        (draw.choice(tuple(_STEPS)), draw.integer(0, inputs + i - 1), draw.integer(0, inputs + i - 1))
        for i in range(draw.integer(1, max_steps))
    ]
    length = draw.integer(1, 3)
    point = [draw.array((length,)) for _ in range(inputs)]

    def expression(*leaves: Any) -> Any:
        values = list(leaves)
        for step, i, j in program:
            values.append(_STEPS[step](values[i], values[j]))
        return values[-1]

    expression.__doc__ = "; ".join(f"v{inputs + k} = {step}(v{i}, v{j})" for k, (step, i, j) in enumerate(program))
    return expression, point
