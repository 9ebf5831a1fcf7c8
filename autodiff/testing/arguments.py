"""What a check differentiates with respect to: every float of a call, wherever it stands, as a flat list of float64
arrays.

Arrays of any floating precision are taken to float64; complex ones become pairs of real numbers along a further last
axis; dicts, lists and tuples are looked into. Everything else is passed on, a fresh copy at every call (a layer that
writes its running mean into a dict must find the same dict each time), and named in the report.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.core.pytree import flatten, tree_map
from autodiff.testing.report import Leaf

__all__ = ["Arguments", "alike", "as_array", "ascents", "dense", "outputs_of", "packed", "plain", "unpacked"]


class _Spot:
    """Marks the place of a leaf in a copy of the arguments."""

    def __init__(self, number: int) -> None:
        self.number = number


class Arguments:
    """The arguments of a call, taken apart: the point in float64 (``base``), what the leaves were before
    (``originals``, ``dtypes``), what was converted and what has no gradient (``notes``), the names of keyword arguments
    (``options``).
    """

    def __init__(self, checker: str, args: Sequence[Any], kwargs: dict[str, Any], *, floats: bool = True) -> None:
        self.checker, self.floats = checker, floats
        self.base: list[Any] = []
        self.leaves: list[Leaf] = []
        self.originals: list[Any] = []
        self.dtypes: list[Any] = []
        self.notes: list[str] = []
        self.count = len(args)
        self.narrow = False
        self.options = list(kwargs)
        self._args = [self._taken(a, i, f"argument {i}", True) for i, a in enumerate(args)]
        self._kwargs = {key: self._static(value, f"argument {key!r}") for key, value in kwargs.items()}

    def expect(self) -> None:
        """Refuse a call without anything to differentiate with respect to."""
        if not self.base:
            raise ArgumentError(
                f"{self.checker}: none of the arguments is a float64 array or a float (nor any other floating or"
                " complex array); there is nothing to differentiate"
            )

    def parameter(self, name: str, array: Any) -> None:
        """Add a module's parameter, which is no argument, as a leaf."""
        self._leaf(array, self.count + sum(leaf.place >= self.count for leaf in self.leaves), f"parameter {name}")

    def _taken(self, value: Any, place: int, label: str, top: bool) -> Any:
        if isinstance(value, dict):
            return {key: self._taken(item, place, f"{label}[{key!r}]", False) for key, item in value.items()}
        if type(value) in (list, tuple):
            if top and type(value) is list and _is_floats(value):
                return self._leaf(np.asarray(value, np.float64), place, label)
            return type(value)(self._taken(item, place, f"{label}[{i}]", False) for i, item in enumerate(value))
        if isinstance(value, float) and type(value) is float:
            if top and self.floats:
                return self._leaf(np.asarray(value), place, label)
            if top:
                self.notes.append(f"not checked: {label} (a number) is passed on as it is")
            return value
        array = as_array(value)
        if array is not None and array.dtype.kind in "fc":
            return self._leaf(value, place, label)
        return self._static(value, label)

    def _static(self, value: Any, label: str) -> Any:
        array = as_array(value)
        if array is not None and array.size:
            why = "is passed on as it is" if array.dtype.kind in "fc" else "has no gradient"
            self.notes.append(f"not checked: {label} ({array.dtype}) {why}")
        return value

    def _leaf(self, value: Any, place: int, label: str) -> _Spot:
        array = as_array(value)
        assert array is not None
        if array.dtype not in (np.float64, np.complex128):
            self.notes.append(f"{label} is {array.dtype}: checked in float64")
        self.originals.append(value)
        self.dtypes.append(array.dtype)
        self.base.append(packed(alike(array, np.complex128 if array.dtype.kind == "c" else np.float64)))
        self.leaves.append(Leaf(place, label))
        return _Spot(len(self.base) - 1)

    def drop(self, numbers: Sequence[int], why: str) -> None:
        """Pass these leaves on as they are."""
        if not numbers:
            return
        kept = [i for i in range(len(self.base)) if i not in numbers]
        if not kept:
            raise ArgumentError(f"{self.checker}: none of the floating arguments has a gradient to be checked")
        originals = self.originals

        def renumbered(value: Any) -> Any:
            if not isinstance(value, _Spot):
                return value
            return _Spot(kept.index(value.number)) if value.number in kept else originals[value.number]

        self._args = tree_map(renumbered, self._args)
        self.notes += [f"not checked: {self.leaves[i].label} {why}" for i in numbers]
        for values in (self.base, self.leaves, self.originals, self.dtypes):
            values[:] = [values[i] for i in kept]  # type: ignore[index]

    def call(self, arrays: Sequence[Any], wrap: Callable[[Any, int], Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments with ``wrap(array, number)`` in the places of the leaves, and fresh copies of all else."""
        values = arrays if self._plain else self.values(arrays, wide=False)
        if not self._kwargs and all(type(a) is _Spot for a in self._args):
            return [wrap(values[a.number], a.number) for a in self._args], {}

        def filled(value: Any) -> Any:
            return wrap(values[value.number], value.number) if isinstance(value, _Spot) else _copied(value)

        args, kwargs = tree_map(filled, [self._args, self._kwargs])
        return args, kwargs

    @property
    def _plain(self) -> bool:
        """Whether the leaves are handed on as the real arrays that they are."""
        return not self.narrow and all(dtype.kind == "f" for dtype in self.dtypes)

    def values(self, arrays: Sequence[Any], wide: bool = True) -> list[Any]:
        """Arrays like the base, or like its first ones, as what the leaves are, complex numbers where these are; in
        float64, or not ``wide``, as they come, or in the precision of the leaves themselves, if it is insisted on.
        """
        found = [unpacked(a) if kind.kind == "c" else a for a, kind in zip(arrays, self.dtypes, strict=False)]
        if self.narrow:
            return [alike(a, kind) for a, kind in zip(found, self.dtypes, strict=False)]
        return [np.asarray(a, np.complex128 if np.iscomplexobj(a) else np.float64) for a in found] if wide else found

    def static(self) -> list[Any]:
        """The arrays among the arguments that are passed on as they are."""
        found = [as_array(value) for value in outputs_of([self._args, self._kwargs]) if not isinstance(value, _Spot)]
        return [value for value in found if value is not None]

    def spots(self) -> list[Any]:
        """Per positional argument: the number of its leaf, a tree of numbers, or None for one without."""

        def numbered(value: Any) -> Any:
            if isinstance(value, _Spot):
                return value.number
            if isinstance(value, dict):
                found = {key: numbered(item) for key, item in value.items()}
                return found if any(item is not None for item in found.values()) else None
            if type(value) in (list, tuple):
                items = [numbered(item) for item in value]
                return items if any(item is not None for item in items) else None
            return None

        return [numbered(a) for a in self._args]


def _copied(value: Any) -> Any:
    """A copy of what a call may write into; what cannot be copied is shared."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if callable(value) or isinstance(value, str | bytes | int | float | complex | type(None)):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def _is_floats(value: list[Any]) -> bool:
    try:
        return all(not hasattr(item, "dtype") for item in value) and np.asarray(value).dtype.kind == "f"
    except ValueError:
        return False


def alike(array: Any, dtype: Any) -> Any:
    """A copy whose memory is laid out as the array's is: in its order, with its gaps, in its directions."""
    if array.flags.forc or 0 in array.strides or any(step % array.itemsize for step in array.strides):
        return array.astype(dtype)
    steps = [step // array.itemsize for step in array.strides]
    reach = [(side - 1) * step for side, step in zip(array.shape, steps, strict=True)]
    before = -sum(min(way, 0) for way in reach)
    room = np.zeros(before + sum(max(way, 0) for way in reach) + 1, dtype)
    strides = [step * room.itemsize for step in steps]
    made = np.lib.stride_tricks.as_strided(room[before:], array.shape, strides)
    made[...] = array
    return made


def as_array(value: Any) -> Any:
    """A NumPy array of a NumPy, PyTorch, JAX or other array, or of a Tensor; None for anything else."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if hasattr(value, "_node"):
        return np.asarray(value._array)
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        return value.detach().cpu().resolve_conj().numpy()
    if hasattr(value, "__array__") and hasattr(value, "dtype") and hasattr(value, "shape"):
        return np.asarray(value)
    return None


def plain(g: Any) -> Any:
    """A gradient as a NumPy array; 0 for None."""
    return 0.0 if g is None else np.asarray(getattr(g, "data", g) if hasattr(g, "_node") else g)


def dense(found: Sequence[Any], base: Sequence[Any]) -> list[Any]:
    """Gradients as arrays of their own, zeros where there is none."""
    return [np.zeros(b.shape) if g is None else np.array(plain(g)) for g, b in zip(found, base, strict=True)]


def ascents(found: Sequence[Any]) -> list[Any]:
    """Gradients in JAX's convention as the base is: complex ones packed, along the direction of ascent."""
    arrays = map(np.asarray, found)
    return [packed(np.conj(a) if a.dtype.kind == "c" else a.astype(np.float64)) for a in arrays]


def packed(array: Any) -> Any:
    """Complex numbers as pairs of real ones along a further last axis."""
    array = np.asarray(array)
    return np.stack([array.real, array.imag], axis=-1) if array.dtype.kind == "c" else array


def unpacked(array: Any) -> Any:
    """The complex numbers of :func:`packed`."""
    return array[..., 0] + 1j * array[..., 1]


def outputs_of(value: Any) -> list[Any]:
    """The leaves of what a function returns, a tree of dicts, lists and tuples."""
    return flatten(value)[0]
