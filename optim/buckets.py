"""Where parameters' values lie: neighbours joined into one flat vector, found again from step to step.

:mod:`optim.optimizer` says why small parameters are joined, and when a step may write over the values of the step
before.
"""

from __future__ import annotations

import operator
import sys
from collections import deque
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

import autodiff
from autodiff.core.errors import ShapeError

__all__ = ["Array", "Bucket", "State", "real", "runs_of"]

Array = NDArray[Any]
State = dict[str, Any]
_set: Any = operator.setitem

# Without the global lock another thread might take a reference between the count and the writing.
_COUNTS = bool(getattr(sys, "_is_gil_enabled", lambda: True)())


class Values:
    """One vector that parameters' values may lie in, with the views that parameters are bound to.

    Attributes
    ----------
    flat : ndarray
        Of the parameter's own shape where there is but one.
    line : ndarray
        The same memory as one axis of real numbers, as the formula sees it.
    views : list of ndarray
    """

    __slots__ = ("_bound", "_free", "flat", "line", "views")

    def __init__(self, flat: Array, views: list[Array]) -> None:
        self.flat = flat
        self.line = real(flat.reshape(-1))
        self.views = views
        self._free: list[int] = []
        self._bound: list[int] = []

    def settle(self) -> None:
        """Count the references as they are while nobody else holds any of the arrays, no parameter either."""
        self._free = self._references()
        flat, *views = self._free
        # A parameter that is bound to a view adds one to it.
        self._bound = [flat + (self.views[0] is self.flat), *(count + 1 for count in views)]

    def free(self) -> bool:
        """Whether nobody else holds any of the arrays, nor a view of one."""
        return _COUNTS and self._references() == self._free

    def bound_alone(self) -> bool:
        """The same but for the parameters that are bound to the views."""
        return _COUNTS and self._references() == self._bound

    def _references(self) -> list[int]:
        return [sys.getrefcount(self.flat), *map(sys.getrefcount, self.views)]


class Bucket:
    """Neighbouring parameters of one group and dtype whose values lie in one flat vector.

    Attributes
    ----------
    values : Values or None
        What the last step bound to the parameters.
    spare : Values or None
        What the step before it had bound.
    slots, lines, views : dict of str
        Per state array its flat vector, the same as real numbers, and the parameters' parts of it.
    ours : bool
        Whether the parameters are Tensors, whose gradients have the right shape and dtype wherever their arrays have.
    steady : bool
        Whether the parameters were found bound to what the last step left, at the beginning of this one.
    whole : bool
        Whether every parameter has a gradient in this step.
    states : list of dict
        The parameters' entries in ``Optimizer.state``, as the last whole step found them; ``holders``, ``keys`` and
        ``held`` are parallel and say which of them held which array under which name. ``used`` are the vectors that
        these arrays are parts of, as real numbers.
    """

    __slots__ = (
        "_gradient",
        "_parts",
        "_plain",
        "dtype",
        "held",
        "holders",
        "keys",
        "lines",
        "names",
        "offsets",
        "ours",
        "params",
        "shapes",
        "size",
        "slots",
        "spare",
        "states",
        "steady",
        "used",
        "values",
        "views",
        "whole",
    )

    def __init__(self, params: list[Any], arrays: list[Array]) -> None:
        self.params = params
        self.ours = all(isinstance(p, autodiff.Tensor) for p in params)
        self.steady = self.whole = False
        self.dtype = arrays[0].dtype
        self.shapes = [a.shape for a in arrays]
        self.offsets = [0]
        for array in arrays:
            self.offsets.append(self.offsets[-1] + array.size)
        self.size = self.offsets[-1]
        self.values: Values | None = None
        self.spare: Values | None = None
        self.slots: dict[str, Array] = {}
        self.lines: dict[str, Array] = {}
        self.views: dict[str, list[Array]] = {}
        self._gradient: Array | None = None
        self._parts: list[Array] = []
        self._plain = [np.ndarray] * len(params)
        self.names: tuple[str, ...] = ()
        self.used: list[Array] = []
        self.states: list[State] = []
        self.holders: list[State] = []
        self.keys: list[str] = []
        self.held: list[Array] = []

    def cut(self, flat: Array) -> list[Array]:
        """The parameters' parts of a flat vector, each in its parameter's shape."""
        if len(self.shapes) == 1:
            return [flat if flat.shape == self.shapes[0] else flat.reshape(self.shapes[0])]
        offsets = self.offsets
        return [flat[offsets[i] : offsets[i + 1]].reshape(shape) for i, shape in enumerate(self.shapes)]

    def place(self, over: bool) -> Values:
        """Where to write new values: over the present ones if that is allowed and nobody but the parameters holds them;
        else apart from them.
        """
        values = self.values
        if over and self.steady and values is not None and values.bound_alone():
            self.spare = None
            return values
        spare, self.spare = self.spare, None
        if spare is not None and spare.free():
            return spare
        # A parameter that is alone gets an array of its own shape, not a view of a flat one.
        fresh = self._fresh()
        fresh.settle()
        return fresh

    def _fresh(self) -> Values:
        flat = np.empty(self.shapes[0] if len(self.shapes) == 1 else self.size, self.dtype)
        return Values(flat, self.cut(flat))

    def adopt(self, flat: Array, views: list[Array]) -> None:
        """Know of a vector that somebody else has bound to the parameters."""
        self.values, self.spare, self._gradient, self._parts = Values(flat, views), None, None, []

    def fits(self) -> bool:
        """Whether the parameters' arrays still have the shapes and the dtype that the bucket was made for; notes in
        ``steady`` what it saw.
        """
        values = self.values
        self.steady = (
            self.ours and values is not None and all(map(operator.is_, [p._data for p in self.params], values.views))
        )
        return self.steady or all(
            p.data.shape == shape and p.data.dtype == self.dtype
            for p, shape in zip(self.params, self.shapes, strict=True)
        )

    def current(self) -> Array:
        """The parameters' values as one axis of real numbers; no copy as long as they are what the last step bound."""
        values = self.values
        if values is not None:
            if self.steady or all(p.data is view for p, view in zip(self.params, values.views, strict=True)):
                return values.line
            # Somebody bound other arrays to p.data: what we handed out before is theirs now.
            self.values = self.spare = None
        arrays = [p.data for p in self.params]
        return real(arrays[0].reshape(-1) if len(arrays) == 1 else np.concatenate(arrays, axis=None))

    def bind(self, new: Values) -> None:
        """Give the parameters new values; those until now may be written over by the step after the next, if nobody
        holds them.
        """
        if self.ours:
            for p, view in zip(self.params, new.views, strict=True):
                p._data = view
        else:
            for p, view in zip(self.params, new.views, strict=True):
                p.data = view
        self.spare, self.values = self.values, new

    def gradients(self, name: str) -> list[Array | None]:
        """The parameters' gradients, each of its parameter's shape and dtype, None where there is none."""
        if self.steady:
            try:
                found = [p._node.grad for p in self.params]
            except AttributeError:
                pass  # one that is no leaf, or asks for no gradient: p.grad knows
            else:
                if list(map(type, found)) == self._plain:
                    self.whole = True
                    return found
        grads = [_gradient_of(name, p, p.data) for p in self.params]
        self.whole = all(g is not None for g in grads)
        return grads

    def joined(self, grads: list[Any]) -> Array:
        """The gradients of all parameters as one axis of real numbers."""
        if len(grads) == 1:
            return real(grads[0].reshape(-1))
        if self._gradient is None:
            flat = np.empty(self.size, self.dtype)
            self._gradient, self._parts = real(flat), self.cut(flat)
        # part[...] = g for each: together two thirds of what np.concatenate takes for small arrays.
        deque(map(_set, self._parts, repeat(...), grads), maxlen=0)
        return self._gradient

    def known(self, names: tuple[str, ...], state: dict[Any, State]) -> bool:
        """Whether the state is what the last whole step left, by identity."""
        return (
            names == self.names
            and len(self.states) == len(self.params)
            and all(map(operator.is_, map(state.get, self.params), self.states))
            and all(map(operator.is_, map(dict.get, self.holders, self.keys), self.held))
        )

    def remember(self, names: tuple[str, ...], states: list[State]) -> None:
        """Note which state dict holds which array, for :meth:`known`."""
        triples = [(s, name, view) for name in names for s, view in zip(states, self.views[name], strict=True)]
        self.names, self.states, self.used = names, states, [self.lines[name] for name in names]
        self.holders, self.keys, self.held = (
            [s for s, _, _ in triples],
            [name for _, name, _ in triples],
            [view for _, _, view in triples],
        )


def real(flat: Array) -> Array:
    """Complex numbers as pairs of reals, which is how PyTorch's optimisers treat them."""
    return flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat


def runs_of(turns: list[Any], grads: list[Any]) -> list[tuple[int, int, Any]]:
    """Neighbours with gradients and at the same turn, which are updated by the same calls: (first, last + 1, turn)."""
    runs: list[tuple[int, int, Any]] = []
    for i, (turn, g) in enumerate(zip(turns, grads, strict=True)):
        if g is None:
            continue
        if runs and runs[-1][1] == i and runs[-1][2] == turn:
            runs[-1] = (runs[-1][0], i + 1, turn)
        else:
            runs.append((i, i + 1, turn))
    return runs


def _gradient_of(name: str, p: Any, data: Array) -> Array | None:
    """The gradient of ``p`` as an array of the shape and dtype of ``data``, which is ``p.data``."""
    g = p.grad
    if g is None:
        return None
    if g.__class__ is not np.ndarray:
        g = np.asarray(g.data if hasattr(g, "requires_grad") else g)
    if g.shape != data.shape:
        raise ShapeError(f"{name}: a gradient has shape {g.shape}, its parameter {data.shape}")
    array: Array = g if g.dtype == data.dtype else g.astype(data.dtype)
    return array
