"""The vocabulary in which an operation describes a random valid call of itself.

An operation's ``sample(draw)`` asks a :class:`Draw` for sizes, choices and arrays and returns ``(args, kwargs)``. The
verification kit gives it one Draw that asks a NumPy generator, and another that asks Hypothesis and therefore shrinks.
The facts are written once and need neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from autodiff.core.errors import ArgumentError

T = TypeVar("T")
Array = np.ndarray[Any, Any]


class Draw(Protocol):
    """Where an operation's ``sample`` gets its sizes and values."""

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""

    def boolean(self) -> bool:
        """True or False."""

    def choice(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""

    def shape(self, min_ndim: int = 0, max_ndim: int = 3, min_side: int = 1, max_side: int = 4) -> tuple[int, ...]:
        """A shape."""

    def shapes(self, count: int) -> list[tuple[int, ...]]:
        """Shapes that broadcast together."""

    def array(
        self,
        shape: tuple[int, ...],
        low: float = -2.0,
        high: float = 2.0,
        avoid: Sequence[float] = (),
        distinct: bool = False,
    ) -> Array:
        """Float64 values in (low, high), away from ``avoid``; with ``distinct`` no two of them close."""

    def integers(self, shape: tuple[int, ...], low: int, high: int) -> Array:
        """Int64 values in [low, high]."""

    def mask(self, shape: tuple[int, ...]) -> Array:
        """Booleans."""

    def axis(self, ndim: int) -> int:
        """An axis, perhaps counted from the end."""

    def axes(self, ndim: int) -> int | tuple[int, ...] | None:
        """None, one axis, or several."""


def candidates(low: float, high: float, avoid: Sequence[float]) -> Array:
    """Float64 values strictly inside (low, high) and away from ``avoid``, the simplest first.

    They lie on a grid of a 128th of the interval, a little off round numbers, and no closer to a point to avoid than a
    64th: by construction and not by drawing again, so nothing is ever rejected.
    """
    width = high - low
    grid = low + width * (np.arange(1, 128) + 0.13) / 128.5
    far = (
        np.all(np.abs(grid[:, None] - np.asarray(avoid, float)[None, :]) > width / 64, axis=1)
        if len(avoid)
        else np.ones(127, bool)
    )
    kept = grid[far]
    return kept[np.argsort(np.abs(kept), kind="stable")]


def edges(op: Any, dtype: Any = np.float64) -> Array:
    """Where an operation's derivatives go wrong first: what a dtype has by construction, and what the operation states.

    Of the dtype: both zeros, the smallest and largest numbers, the smallest normal one, where squares and exponentials
    leave the range, one and its neighbours, infinities. Of the operation: its ``kinks``, its ``edges`` and their
    neighbours.

    Examples
    --------
    >>> from autodiff.extend import registry
    >>> bool(np.isin([0.0, np.inf, np.pi / 2], edges(registry["tan"])).all())
    True
    """
    info = np.finfo(dtype)
    tiny, huge = float(info.smallest_normal), float(info.max)
    sizes = [0.0, float(info.smallest_subnormal), tiny, tiny**0.5, float(info.eps), 0.5, 2.0, 20.0]
    sizes += [np.log(huge), 2 * np.log(huge), huge**0.5, 2 * huge**0.5, huge / 2, huge, np.inf]
    stated = np.array([1.0, -1.0, *getattr(op, "kinks", ()), *getattr(op, "edges", ())], dtype)
    around = [stated, np.nextafter(stated, info.max), np.nextafter(stated, info.min)]
    return np.concatenate([np.array(sizes, dtype), -np.array(sizes, dtype), *around])


def sample_call(op: Any, draw: Draw) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A random valid call of an operation: from its ``sample``, or for elementwise ones from ``domain`` and ``kinks``.

    Raises
    ------
    ArgumentError
        For a fused operation without a ``sample``.
    """
    if op.sample is not None:
        args, kwargs = op.sample(draw)
        return tuple(args), dict(kwargs)
    if op.fused:
        raise ArgumentError(
            f"{op.name} has no sample, so nothing can verify it; where it is defined pass sample=, which returns (args,"
            " kwargs)"
        )
    count = len(op.inputs)
    domain = op.domain if isinstance(op.domain[0], (tuple, list)) else [op.domain] * count
    if count == 1:
        low, high = domain[0]
        return (draw.array(draw.shape(), low, high, op.kinks),), {}
    shapes = draw.shapes(count)
    arrays = [draw.array(shape, low, high) for shape, (low, high) in zip(shapes, domain, strict=True)]
    if op.kinks:
        # The kinks are at differences of the inputs; steps of a quarter against an offset of an eighth keep away from
        # all of them.
        arrays = [np.round(a * 4) / 4 + 0.125 * i for i, a in enumerate(arrays)]
    return tuple(arrays), {}
