"""Two ways to draw a random call of an operation: from a NumPy generator, and from Hypothesis, which shrinks."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

from autodiff.facts import Draw, candidates

__all__ = ["NASTY", "HypothesisDraw", "NastyDraw", "RandomDraw", "bounded"]

T = TypeVar("T")
P = ParamSpec("P")
Array = np.ndarray[Any, Any]


class _Draw(Draw):
    """Everything that follows from drawing one integer."""

    def _integers(self, count: int, high: int) -> Array:
        """``count`` integers in [0, high]."""
        raise NotImplementedError

    def boolean(self) -> bool:
        return bool(self.integer(0, 1))

    def choice(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def shape(self, min_ndim: int = 0, max_ndim: int = 3, min_side: int = 1, max_side: int = 4) -> tuple[int, ...]:
        return tuple(self.integer(min_side, max_side) for _ in range(self.integer(min_ndim, max(min_ndim, max_ndim))))

    def shapes(self, count: int) -> list[tuple[int, ...]]:
        """Shapes that broadcast together: each is the common one with axes dropped from the front or set to one."""
        full = self.shape()
        result = []
        for _ in range(count):
            start = self.integer(0, len(full)) if self.boolean() else 0
            result.append(tuple(1 if self.integer(0, 3) == 3 else n for n in full[start:]))
        return result

    def array(
        self,
        shape: tuple[int, ...],
        low: float = -2.0,
        high: float = 2.0,
        avoid: Sequence[float] = (),
        distinct: bool = False,
    ) -> Array:
        count = int(np.prod(shape, dtype=int))
        if not distinct:
            values = self._candidates(low, high, avoid)
            return np.asarray(values[self._integers(count, len(values) - 1)]).reshape(shape)
        # One slot of the interval for each element, the slots in an order that is drawn, jittered within a quarter of a
        # slot.
        order = np.arange(count)
        for i in range(count - 1, 0, -1):
            j = self.integer(0, i)
            order[[i, j]] = order[[j, i]]
        jitter = self._integers(count, 16) / 64
        return np.asarray(low + (high - low) * (order + 0.37 + jitter) / max(count, 1)).reshape(shape)

    def _candidates(self, low: float, high: float, avoid: Sequence[float]) -> Array:
        """The values that an array may hold, the simplest first."""
        return candidates(low, high, avoid)

    def integers(self, shape: tuple[int, ...], low: int, high: int) -> Array:
        return (low + self._integers(int(np.prod(shape, dtype=int)), high - low)).reshape(shape)

    def mask(self, shape: tuple[int, ...]) -> Array:
        return self.integers(shape, 0, 1).astype(bool)

    def axis(self, ndim: int) -> int:
        return self.integer(-ndim, ndim - 1) if ndim else 0

    def axes(self, ndim: int) -> int | tuple[int, ...] | None:
        kind = self.integer(0, 2)
        if kind == 0 or ndim == 0:
            return None
        if kind == 1:
            return self.axis(ndim)
        return tuple(i - ndim if self.boolean() else i for i in range(ndim) if self.boolean())


class RandomDraw(_Draw):
    """Draws from a ``numpy.random.Generator``.

    Examples
    --------
    >>> RandomDraw(np.random.default_rng(0)).array((2,), 0.0, 1.0).shape
    (2,)
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator

    def integer(self, low: int, high: int) -> int:
        return int(self.generator.integers(low, high + 1))

    def _integers(self, count: int, high: int) -> Array:
        return self.generator.integers(0, high + 1, count)


class HypothesisDraw(_Draw):
    """Draws from Hypothesis, so that a failing call shrinks to few elements of small values.

    Parameters
    ----------
    draw : callable
        What ``@st.composite`` hands to a strategy, or ``data.draw``.
    whole : bool
        Try small whole numbers first, so that a failure shrinks to them. Not for an operation's own sample: its kinks,
        declared or not, tend to stand on whole numbers.
    """

    def __init__(self, draw: Callable[..., object], whole: bool = False) -> None:
        from autodiff.extras import require

        self._draw: Any = draw
        self._whole = whole
        self._strategies = require("hypothesis.strategies")

    def _candidates(self, low: float, high: float, avoid: Sequence[float]) -> Array:
        rest = super()._candidates(low, high, avoid)
        if not self._whole:
            return rest
        apart = (high - low) / 64
        small = [
            v
            for v in (1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5)
            if low < v < high and all(abs(v - a) > apart for a in avoid)
        ]
        return np.concatenate([small, rest])

    def integer(self, low: int, high: int) -> int:
        return int(self._draw(self._strategies.integers(low, high)))

    def _integers(self, count: int, high: int) -> Array:
        each = self._strategies.integers(0, high)
        return np.array(self._draw(self._strategies.lists(each, min_size=count, max_size=count)), dtype=np.int64)


#: What :class:`NastyDraw` may begin with; the first is the simplest, to which failures shrink.
NASTY = ("plain", "ties", "ones", "repeated", "scales")


class NastyDraw(HypothesisDraw):
    """Draws what breaks gradients first: in five of six calls one such thing throughout, in the others none.

    Values that tie, extents of one, indices that repeat, entries of sizes from 1e-8 to 1, and with "empty" among the
    kinds extents of zero. Failures shrink to calls without any, if those fail, too.

    Parameters
    ----------
    draw : callable
    whole : bool
        As of :class:`HypothesisDraw`.
    kinds : sequence of str
        Among those of ``NASTY`` and "empty".
    """

    def __init__(self, draw: Callable[..., object], whole: bool = False, kinds: Sequence[str] = NASTY) -> None:
        super().__init__(draw, whole)
        self.kind = self.choice(kinds)

    def shape(self, min_ndim: int = 0, max_ndim: int = 3, min_side: int = 1, max_side: int = 4) -> tuple[int, ...]:
        if self.kind == "ones":
            max_side = max(1, min_side)
        elif self.kind in ("ties", "scales"):
            # One number has no other to tie with.
            min_side = max(min_side, min(2, max_side))
        several = self.kind in ("ties", "scales", "empty") and max_ndim > 0
        found = super().shape(max(min_ndim, several), max_ndim, min_side, max_side)
        if self.kind != "empty" or not found:
            return found
        place = self.integer(0, len(found) - 1)
        return (*found[:place], 0, *found[place + 1 :])

    def integers(self, shape: tuple[int, ...], low: int, high: int) -> Array:
        if self.kind == "repeated":
            return np.full(shape, self.integer(low, high))
        return super().integers(shape, low, high)

    def array(
        self,
        shape: tuple[int, ...],
        low: float = -2.0,
        high: float = 2.0,
        avoid: Sequence[float] = (),
        distinct: bool = False,
    ) -> Array:
        if self.kind != "ties" or distinct:
            return super().array(shape, low, high, avoid, distinct)
        pair = super().array((2,), low, high, avoid)
        return np.asarray(np.where(self.mask(shape), pair[0], pair[1]))

    def _candidates(self, low: float, high: float, avoid: Sequence[float]) -> Array:
        found = super()._candidates(low, high, avoid)
        apart = (high - low) / 64
        if self.kind != "scales" or not low < 0 < high or any(abs(a) <= apart for a in avoid):
            return found
        small = [sign * 10.0**-k for k in (8, 6, 4, 2) for sign in (1, -1) if low < sign * 10.0**-k < high]
        # As many as there are others, so that both come.
        return np.concatenate([found, np.resize(small, len(found))])


class _Enough(BaseException):
    """Leaves a run of Hypothesis, which lets whatever is no Exception through."""


def bounded(test: Callable[P, object]) -> Callable[P, None]:
    """A Hypothesis test whose failure shrinks in no more time than passing examples take.

    Hypothesis shrinks for up to five minutes, and a gradient check that fails takes longer than one that passes. Here
    the smallest failure that is known when the time is up is the one reported.

    Parameters
    ----------
    test : callable
        What ``hypothesis.given`` returned: this decorator stands above it.

    Returns
    -------
    callable

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from autodiff.testing import bounded, check_gradients, strategies
    >>> @bounded
    ... @settings(max_examples=3, database=None, deadline=None)
    ... @given(strategies.arrays())
    ... def tanh_is_right(x):
    ...     check_gradients(np.tanh, x)
    >>> tanh_is_right()
    """
    from autodiff.extras import require

    settings = require("hypothesis").settings
    inner = test.hypothesis.inner_test  # type: ignore[attr-defined]
    state: dict[str, Any] = {}

    @functools.wraps(inner)
    def timed(*args: Any, **kwargs: Any) -> None:
        now = time.perf_counter()
        failure = state.get("failure")
        if failure is not None and now > state["end"]:
            state["enough"] = True
            raise _Enough
        state["calls"] += 1
        try:
            inner(*args, **kwargs)
        except Exception as error:
            state["failure"] = error, error.__traceback__
            if failure is None:
                # As long as all examples would have taken; a first one that fails is all that is known of them.
                each = (
                    (now - state["start"]) / (state["calls"] - 1) if state["calls"] > 1 else time.perf_counter() - now
                )
                state["end"] = time.perf_counter() + each * settings.default.max_examples
            raise

    @functools.wraps(test)
    def bounded_test(*args: Any, **kwargs: Any) -> None:
        state.clear()
        state.update(calls=0, start=time.perf_counter())
        try:
            test(*args, **kwargs)
        except BaseException:  # Hypothesis may say in its place that the test draws less than before
            if "enough" not in state:
                raise
            error, traceback = state["failure"]
            error.add_note("bounded: the smallest failure found in the time of passing examples")
            raise error.with_traceback(traceback) from None

    test.hypothesis.inner_test = timed  # type: ignore[attr-defined]
    return bounded_test
