"""Random calls, shapes and programs from anything that draws integers: a NumPy generator for long runs, Hypothesis for
shrinking ones.

Everything here is written once against :class:`autodiff.facts.Draw`; :mod:`autodiff.testing.strategies` wraps it for
Hypothesis. Every choice of 0 is the simplest, so that a failure shrinks by itself, and every draw is valid by
construction, so that none is thrown away.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.facts import Draw

__all__ = [
    "convolution",
    "einsum_call",
    "ill_conditioned_matrix",
    "random_expression",
    "random_index",
    "signature_shapes",
]


def signature_shapes(draw: Draw, signature: str) -> list[tuple[int, ...]]:
    """Input shapes for a gufunc signature such as ``"(n?,k),(k,m?)->(n?,m?)"``, with loop dimensions that broadcast.

    Dimensions marked ``?`` are sometimes left out, all of one name together; those that are numbers have that length.
    """
    inputs = signature.replace(" ", "").split("->")[0]
    if not re.fullmatch(r"\([\w?,]*\)(,\([\w?,]*\))*", inputs):
        raise ArgumentError(f"broadcastable_shapes: {signature!r} is no gufunc signature, such as '(n,k),(k,m)->(n,m)'")
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


def random_index(draw: Draw, shape: tuple[int, ...]) -> Any:
    """What may stand in ``x[...]``: integers, slices of either direction, repeated integer arrays, masks, new axes, and
    tuples of them.
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


def einsum_call(draw: Draw, operands: int | None = None, sides: int = 3) -> tuple[str, list[Any]]:
    """Subscripts for ``numpy.einsum`` and operands for them.

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


def convolution(draw: Draw, ndim: int = 2) -> tuple[tuple[Any, Any, Any], dict[str, Any]]:
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


def ill_conditioned_matrix(draw: Draw, n: int = 3, largest: float = 1e6) -> Any:
    """A square matrix with a condition number up to ``largest``, its singular values spread evenly on a logarithmic
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


def random_expression(draw: Draw, inputs: int = 2, max_steps: int = 8) -> tuple[Callable[..., Any], list[Any]]:
    """A random program of vectors whose intermediate values are shared, and a point for it; the program's text is its
    ``__doc__``.

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
