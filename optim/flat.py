"""Parameters as one vector: their values, their gradients and the optimiser's state, each in one place.

A NumPy call costs more than the arithmetic on a bias. So small parameters that sit next to each other in a group share
one vector of values, one of gradients and one for each kind of state; a large parameter has vectors of its own. A
parameter's ``data`` is a view of its part. A step looks, by identity, whether everything is still as the last one left
it; whatever is not is copied.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

import autodiff
from autodiff.core.errors import ShapeError
from autodiff.core.graph import Variable, tick, time
from autodiff.rows import RowSparse
from autodiff.writes import writes_to, written

Array = NDArray[Any]
State = dict[str, Any]
_DATA = operator.attrgetter("_data")
_NODE = operator.attrgetter("_node")
_GRAD = operator.attrgetter("_grad")
_GRADIENT = operator.attrgetter("_node.grad")
_set: Any = operator.setitem


class Flat:
    """Neighbouring parameters of one group and dtype as one vector.

    Parameters
    ----------
    params : list
        Tensors, or other objects with ``data`` and ``grad``; of one dtype.

    Attributes
    ----------
    line : numpy.ndarray
        All values as one axis of real numbers, which is how a formula sees them.
    views : list of numpy.ndarray
        Each parameter's part of the values, in its shape.
    offsets : list of int
        Where each parameter begins in ``line``; at last, where the line ends.
    """

    __slots__ = (
        "_gradient", "_held", "_parts", "_plain", "_size", "_slots", "_tensors", "_values", "dtype", "line", "offsets",
        "params", "shapes", "views",
    )  # fmt: skip

    def __init__(self, params: list[Any]) -> None:
        arrays = [array_of(p) for p in params]
        self.params = params
        self.dtype = arrays[0].dtype
        self.shapes = [array.shape for array in arrays]
        self._size = sum(array.size for array in arrays)
        self._tensors = all(isinstance(p, autodiff.Tensor) for p in params)
        self._plain = [np.ndarray] * len(params)
        self._take_memory()
        width = 2 if self.dtype.kind == "c" else 1
        ends = np.cumsum([array.size * width for array in arrays]).tolist()
        self.offsets = [0, *ends]
        self._gradient: Array | None = None
        self._parts: list[Array] = []
        self._slots: dict[str, tuple[Array, list[Array]]] = {}
        self._held: tuple[Any, ...] = ([], [], [], [], [])

    def cut(self, flat: Array) -> list[Array]:
        """The parameters' parts of a vector, each in its parameter's shape."""
        found, start = [], 0
        for shape in self.shapes:
            stop = start + int(np.prod(shape, dtype=np.int64))
            found.append(flat[start:stop].reshape(shape))
            start = stop
        return found

    def fits(self) -> bool:
        """Whether the parameters' arrays still have the shapes and the dtype that the vector was made for."""
        if self._tensors and all(map(operator.is_, map(_DATA, self.params), self.views)):
            return True
        arrays = map(array_of, self.params)
        return all(a.shape == shape and a.dtype == self.dtype for a, shape in zip(arrays, self.shapes, strict=True))

    def _take_memory(self) -> None:
        self._values = np.empty(self._size, self.dtype)
        self.views = self.cut(self._values)
        self.line = real(self._values)

    def bind(self) -> None:
        """Make every parameter's array its part of the vector.

        Where somebody bound another array, all values move to new memory: who holds the old array keeps what is in it.
        """
        arrays = [array_of(p) for p in self.params]
        if all(map(operator.is_, arrays, self.views)):
            return
        self._take_memory()
        for p, view, array in zip(self.params, self.views, arrays, strict=True):
            view[...] = array
            if isinstance(p, autodiff.Tensor):
                p._rebind(view)
            else:
                p.data = view

    def mark_written(self) -> None:
        """Tell the graph that the values are written into, so that a backward pass through old ones is refused."""
        written(self._values)
        now = time.now
        for p in self.params:
            leaf = getattr(p, "_node", None)
            if leaf.__class__ is Variable:
                leaf.version = now

    # --- gradients ----------------------------------------------------------------------------------------------------

    def gradients(self, name: str) -> list[Array | None]:
        """The parameters' gradients, each of its parameter's shape and dtype, None where there is none.

        Raises
        ------
        ShapeError
            If a gradient has another shape than its parameter; ``name`` is the optimiser's, for the message.
        """
        if self._tensors:
            try:
                found: list[Any] = list(map(_GRADIENT, self.params))
            except AttributeError:
                pass  # one that is no leaf, or asks for no gradient: p.grad knows
            else:
                if list(map(type, found)) == self._plain:
                    return found
        return [gradient_of(name, p) for p in self.params]

    def joined(self, grads: list[Any]) -> Array:
        """The gradients of all parameters as one axis of real numbers, apart from the values."""
        if len(grads) == 1:
            g = real(grads[0].reshape(-1))
            return g.copy() if np.may_share_memory(g, self._values) else g
        if self._gradient is None:
            flat = np.empty(self._size, self.dtype)
            self._gradient, self._parts = real(flat), self.cut(flat)
        # part[...] = g for each: together two thirds of what np.concatenate takes for small arrays.
        deque(map(_set, self._parts, repeat(...), grads), maxlen=0)
        return self._gradient

    # --- state --------------------------------------------------------------------------------------------------------

    def adopt(self, names: tuple[str, ...], states: list[State], starts: list[Any], used: list[bool]) -> list[Array]:
        """See that the vector of each state array holds what the parameters' states say, and that it lies there.

        Parameters
        ----------
        names : tuple of str
        states : list of dict
            One per parameter.
        starts : list of number
            What each state array is filled with before the first step.
        used : list of bool
            Whether the parameter takes part in this step; the state of another is left as it is.

        Returns
        -------
        list of numpy.ndarray
            One line of real numbers per name.
        """
        for name, start in zip(names, starts, strict=True):
            if name not in self._slots:
                flat = np.full(self._size, start, self.dtype) if start else np.zeros(self._size, self.dtype)
                self._slots[name] = (flat, self.cut(flat))
            moved = []
            for state, view, takes_part in zip(states, self._slots[name][1], used, strict=True):
                held = state.get(name)
                if held is not view and (held is not None or takes_part):
                    moved.append((state, view, start if held is None else np.array(held)))
            for state, view, value in moved:
                view[...] = value
                state[name] = view
        triples = [(s, name, view) for name in names for s, view in zip(states, self._slots[name][1], strict=True)]
        lines = [real(self._slots[name][0]) for name in names]
        holders, keys, arrays = ([triple[k] for triple in triples] for k in range(3))
        self._held = (states if all(used) else [], lines, holders, keys, arrays)
        return lines


class Ordinary:
    """What a step that all parameters took part in has left: the next one, if it finds all of it, asks nothing else.

    Parameters
    ----------
    optimizer : Optimizer
    work : list
        ``(group, flat)``, in the order of the groups and of the parameters in them.

    Attributes
    ----------
    parts : list
        Of each vector ``(group, flat, states, slots, first, last)``; the last two tell its parameters among all.
    """

    __slots__ = ("_expected", "_holders", "_keys", "_names", "_params", "_plain", "_writes", "parts")

    def __init__(self, optimizer: Any, work: list[tuple[dict[str, Any], Flat]]) -> None:
        self._params = [p for _, flat in work for p in flat.params]
        self._plain = [np.ndarray] * len(self._params)
        self._names = list(map(optimizer._slots, optimizer.param_groups))
        self._writes = [writes_to(flat._values) for _, flat in work]
        self.parts: list[tuple[dict[str, Any], Flat, list[State], list[Array], int, int]] = []
        first = 0
        for group, flat in work:
            last = first + len(flat.params)
            self.parts.append((group, flat, flat._held[0], flat._held[1], first, last))
            first = last
        self._holders, self._keys, arrays = ([one for _, flat in work for one in flat._held[k]] for k in (2, 3, 4))
        views = [view for _, flat in work for view in flat.views]
        states = [state for part in self.parts for state in part[2]]
        self._expected = [*optimizer.param_groups, *self._params, *views, *states, *arrays]

    @classmethod
    def of(cls, optimizer: Any, work: list[tuple[dict[str, Any], Flat]]) -> Ordinary | None:
        """The record after a step; None where the next one must ask."""
        whole = all(flat._tensors and len(flat._held[0]) == len(flat.params) for _, flat in work)
        count = sum(len(group["params"]) for group in optimizer.param_groups)
        return cls(optimizer, work) if whole and count == sum(len(flat.params) for _, flat in work) else None

    def gradients(self, optimizer: Any) -> list[Array] | None:
        """All gradients, if everything besides is as it was left; the values are then marked as written into."""
        groups, params = optimizer.param_groups, self._params
        found = chain(groups, *[group["params"] for group in groups], map(_DATA, params), self.states_of(optimizer))
        if not all(map(operator.is_, self._expected, found)) or not self.is_named(optimizer):
            return None
        try:
            leaves = list(map(_NODE, params))
            grads = list(map(_GRAD, leaves))
        except AttributeError:
            return None  # one that is no leaf any more, or asks for no gradient
        if list(map(type, grads)) != self._plain:
            grads = [leaf.grad for leaf in leaves]  # a number becomes an array
            if list(map(type, grads)) != self._plain:
                return None
        self.mark(leaves)
        return grads

    def states_of(self, optimizer: Any) -> Iterator[Any]:
        """The parameters' states, and the arrays in them."""
        return chain(map(optimizer.state.get, self._params), map(dict.get, self._holders, self._keys))

    def places(self, optimizer: Any) -> Iterator[tuple[Any, Any]]:
        """Where these are to be found: a dict and a key of each."""
        return chain(zip(repeat(optimizer.state), self._params), zip(self._holders, self._keys, strict=True))

    def is_named(self, optimizer: Any) -> bool:
        """Whether the options ask for the same state arrays."""
        return list(map(optimizer._slots, optimizer.param_groups)) == self._names

    def mark(self, leaves: list[Any]) -> None:
        """The values are about to be written into."""
        now = tick(write=True)
        for writes, place in self._writes:
            writes[place] = now
        for leaf in leaves:
            leaf.version = now


def array_of(p: Any) -> Any:
    """A parameter's array, for the library's own use."""
    return p._array if isinstance(p, autodiff.Tensor) else p.data


def real(flat: Array) -> Array:
    """Complex numbers as pairs of reals, which is how PyTorch's optimisers treat them."""
    return flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat


def runs_of(turns: list[Any], used: list[bool]) -> list[tuple[int, int, Any]]:
    """Neighbours that take part and are at the same turn, which one call can update: (first, last + 1, turn)."""
    runs: list[tuple[int, int, Any]] = []
    for i, (turn, takes_part) in enumerate(zip(turns, used, strict=True)):
        if not takes_part:
            continue
        if runs and runs[-1][1] == i and runs[-1][2] == turn:
            runs[-1] = (runs[-1][0], i + 1, turn)
        else:
            runs.append((i, i + 1, turn))
    return runs


def gradient_of(name: str, p: Any) -> Array | None:
    """A parameter's gradient in its dtype, or None; another shape is refused in the name of an optimiser."""
    g, data = p.grad, array_of(p)
    if g is None:
        return None
    if g.__class__ is not np.ndarray and not isinstance(g, RowSparse):
        g = np.asarray(array_of(g) if hasattr(g, "requires_grad") else g)
    if g.shape != data.shape:
        raise ShapeError(f"{name}: a gradient has shape {g.shape}, its parameter {data.shape}")
    array: Array = g if g.dtype == data.dtype else g.astype(data.dtype)
    return array
