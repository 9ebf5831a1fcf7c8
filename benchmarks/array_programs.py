"""Random programs of reads, writes, containers and layouts: values against NumPy, gradients against differences.

A program is drawn from a number. It runs on Tensors, and step by step beside it on plain arrays, where NumPy says what
every array holds. The gradient of a sum over all that it holds is compared with central differences of the plain
program. A step may be refused by name; it is then left out of both. Nothing else is right: not a value that differs,
not a gradient that differs, not a step that NumPy refuses.

    python -m benchmarks.array_programs 20000            # so many programs, from number 0
    python -m benchmarks.array_programs 1 --first 137    # one of them, with its steps
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import autodiff as ad

REFUSALS = (ad.AutodiffError, ad.CutWarning)
#: What NumPy itself raises, and Python for operands that nobody knows: no refusal of ours by name, but none silent.
COMPLAINTS = (ArithmeticError, AttributeError, TypeError, ValueError, IndexError, RuntimeError, ZeroDivisionError)

Step = Callable[[Any, Any], Any]


class Trivial(np.ndarray):
    """A subclass that changes nothing."""


class Unit:
    """A class that opts out of ufuncs and multiplies by itself."""

    __array_ufunc__ = None

    def __mul__(self, other: Any) -> Any:
        return 3.0 * other

    __rmul__ = __mul__


@dataclass
class World:
    """What a program holds: arrays that depend on x (Tensors in our run), and plain buffers."""

    tensors: list[Any]
    buffers: list[Any]
    masks: list[Any]
    places: list[Any]
    values: list[Any]  # elements and rows taken out
    handles: list[Any] = field(default_factory=list)  # plain arrays that were handed out of tensors

    def keep(self, which: list[bool]) -> None:
        """Go on with some of the tensors alone."""
        self.tensors = [a for a, kept in zip(self.tensors, which, strict=True) if kept]


def _memmap(array: Any) -> Any:
    with tempfile.TemporaryFile() as file:
        made = np.memmap(file, array.dtype, "w+", shape=array.shape)
    made[...] = array
    return made


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "C": lambda a: a.copy(),
    "F": lambda a: np.asfortranarray(a),
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "trivial subclass": lambda a: a.copy().view(Trivial),
    "memmap": _memmap,
}


def world(x: Any, number: int, lift: Callable[[Any], Any]) -> World:
    """The world that a program begins with; ``lift`` makes a Tensor of the arrays that are to be one."""
    rng = np.random.default_rng([number, 1])
    layouts = list(LAYOUTS.values())
    buffers = [layouts[rng.integers(len(layouts))](rng.uniform(-1.5, 1.5, (3, 3))) for _ in range(3)]
    buffers.append(rng.uniform(-1, 1, 3).astype(np.float32))
    masks = [rng.random((3, 3)) < 0.5, rng.random(3) < 0.6]
    places = [rng.integers(0, 3, 3), rng.integers(0, 3, 4)]
    start = [x * 1.0, x.T * 0.5, lift(rng.uniform(-1, 1, (3, 3)))]
    return World(start, buffers, masks, places, [])


# --- steps ---------------------------------------------------------------------------------------------------------
# Each is drawn with its choices and acts on a world, the same on Tensors and on arrays.


def _reads(rng: Any) -> tuple[str, Callable[[World], None]]:
    views: dict[str, Callable[[Any], Any]] = {
        "a[1:]": lambda a: a[1:],
        "a[::-1]": lambda a: a[::-1],
        "a[..., :2]": lambda a: a[..., :2],
        "a.T": lambda a: a.T,
        "a.reshape(-1)": lambda a: a.reshape(-1),
        "a.ravel()": lambda a: np.ravel(a),
        "a[None]": lambda a: a[None],
        "a[:, ::2]": lambda a: a[:, ::2],
        "swapaxes": lambda a: np.swapaxes(a, 0, -1),
        "a[0]": lambda a: a[0],
        "a[0, ...]": lambda a: a[0, ...],
        "a[(0, 1, ...)]": lambda a: a[(0, 1, ...)],
        "squeeze": lambda a: a[:1].squeeze(),
        "a[:]": lambda a: a[:],
        "diagonal copy": lambda a: np.diagonal(a).copy(),
        "copy": lambda a: a.copy(),
        "flatten": lambda a: a.flatten(),
        "sin": lambda a: np.sin(a),
        "sum": lambda a: np.sum(a, axis=0),
        "mean": lambda a: a.mean(axis=-1),
        "cumsum": lambda a: np.cumsum(a, axis=0),
        "sort": lambda a: np.sort(a, axis=0),
        "max": lambda a: np.max(a, axis=0),
        "outer": lambda a: np.outer(a, a) / 4,
        "roll": lambda a: np.roll(a, 1),
        "stack": lambda a: np.stack([a, a]),
        "concatenate": lambda a: np.concatenate([a, a[:1]]),
        "flat": lambda a: np.stack([e for e in a.flat][:3]),
    }
    name = rng.choice(list(views))
    which = int(rng.integers(100))

    def step(w: World) -> None:
        w.tensors.append(views[name](w.tensors[which % len(w.tensors)]))

    return f"read {name} of {which}", step


def _binary(rng: Any) -> tuple[str, Callable[[World], None]]:
    symbols: dict[str, Callable[[Any, Any], Any]] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / (2.5 + b * b),
        "@": lambda a, b: a @ b,
        "**": lambda a, b: (1.5 + np.tanh(a)) ** b,
        "maximum": np.maximum,
        "hypot": np.hypot,
        "np.multiply": np.multiply,
        "np.dot": np.dot,
        "arctan2": np.arctan2,
        "%": lambda a, b: a % 0.7 + b,
    }
    name = rng.choice(list(symbols))
    other = rng.choice(["buffer", "tensor", "number", "list", "list of rows", "nested list", "float32"])
    which, second, swap = int(rng.integers(100)), int(rng.integers(100)), bool(rng.integers(2))

    def step(w: World) -> None:
        a = w.tensors[which % len(w.tensors)]
        b: Any = w.tensors[second % len(w.tensors)]
        if other == "buffer":
            b = w.buffers[second % 3]
        elif other == "float32":
            b = w.buffers[3]
        elif other == "number":
            b = 0.75
        elif other == "list":
            b = w.buffers[second % 3].tolist()
        elif other == "list of rows":
            b = [b[i] for i in range(len(b))]
        elif other == "nested list":
            b = [[b.reshape(-1)[0], 1.0, 2.0]]
        if swap and not (isinstance(b, list) and name in ("+", "*")):
            a, b = b, a
        w.tensors.append(symbols[name](a, b))

    return f"{other} {name} {which} {second} {'swapped' if swap else ''}", step


def _edits(rng: Any) -> tuple[str, Callable[[World], None]]:
    """A buffer, mask or index array is changed after it was used."""
    kind, which = rng.choice(["set", "scale", "row", "mask", "places", "float32", "sort", "fill"]), int(rng.integers(3))
    number = float(rng.uniform(-2, 2))

    def step(w: World) -> None:
        b = w.buffers[which]
        if kind == "set":
            b[:] = number
        elif kind == "scale":
            b *= number
        elif kind == "row":
            b[0] = b[1] + number
        elif kind == "mask":
            np.logical_not(w.masks[which % 2], out=w.masks[which % 2])
        elif kind == "places":
            w.places[which % 2][:] = (w.places[which % 2] + 1) % 3
        elif kind == "float32":
            w.buffers[3][1] += np.float32(number)
        elif kind == "sort":
            b.sort(axis=0)
        else:
            b.fill(number)

    return f"edit {kind} {which}", step


def _selections(rng: Any) -> tuple[str, Callable[[World], None]]:
    picks: dict[str, Callable[[World, Any], Any]] = {
        "where mask": lambda w, a: np.where(w.masks[0], a, w.buffers[0]),
        "where row mask": lambda w, a: np.where(w.masks[1], a, 0.0),
        "a[mask]": lambda w, a: a[w.masks[0]],
        "a[places]": lambda w, a: a[w.places[0]],
        "take": lambda w, a: np.take(a, w.places[1], axis=0),
        "a[row mask]": lambda w, a: a[w.masks[1]],
        "select": lambda w, a: np.select([w.masks[0]], [a], 0.5),
        "a[places, places]": lambda w, a: a[w.places[0], w.places[0]],
        "take_along_axis": lambda w, a: np.take_along_axis(a, w.places[0].reshape(1, 3), axis=0),
        "choose": lambda w, a: np.choose(w.masks[0] * 1, [a, w.buffers[1]]),
        "compress": lambda w, a: np.compress(w.masks[1], a, axis=0),
        "sum where": lambda w, a: np.sum(a, axis=0, where=w.masks[0]),
        "clip": lambda w, a: np.clip(a, -0.6, w.buffers[2] + 3),
        "interp": lambda w, a: np.interp(a.reshape(-1)[:3] * 0.3, np.array([-1.0, 0.1, 1.0]), w.buffers[1][0]),
        "einsum": lambda w, a: np.einsum("ij,jk->ik", a, w.buffers[0]),
        "average": lambda w, a: np.average(a, axis=0, weights=np.abs(w.buffers[0][:, 0]) + 1),
        "bincount": lambda w, a: np.bincount(w.places[0], weights=a.reshape(-1)[:3], minlength=3),
        "pad": lambda w, a: np.pad(a, 1, mode="edge"),
        "own mask": lambda w, a: np.where(a > 0.1, a, 2 * a),
        "linear": lambda w, a: np.linalg.solve(w.buffers[0] * 0.1 + np.eye(3), a),
    }
    name, which = rng.choice(list(picks)), int(rng.integers(100))

    def step(w: World) -> None:
        w.tensors.append(picks[name](w, w.tensors[which % len(w.tensors)]))

    return f"select {name} {which}", step


def _writes(rng: Any) -> tuple[str, Callable[[World], None]]:
    writers: dict[str, Callable[[World, Any, Any], Any]] = {
        "a[0] = v": lambda w, a, v: a.__setitem__(0, v),
        "a[...] = v": lambda w, a, v: a.__setitem__(Ellipsis, v * 0.5),
        "a[mask] = v": lambda w, a, v: a.__setitem__(w.masks[0], v),
        "a[places] = v": lambda w, a, v: a.__setitem__(w.places[0], v),
        "a[places] = buffer": lambda w, a, v: a.__setitem__(w.places[0], w.buffers[0]),
        "a[1:] = a[:-1]": lambda w, a, v: a.__setitem__(slice(1, None), a[:-1]),
        "a[0] = list": lambda w, a, v: a.__setitem__(0, [v, 1.0, v * v]),
        "a[:2] = rows": lambda w, a, v: a.__setitem__(slice(0, 2), [a[1] * 1.0, a[0] * 1.0]),
        "a[row mask] = v": lambda w, a, v: a.__setitem__(w.masks[1], v),
        "add.at": lambda w, a, v: np.add.at(a, w.places[1], v),
        "multiply.at": lambda w, a, v: np.multiply.at(a, w.places[0], v),
        "subtract.at": lambda w, a, v: np.subtract.at(a, (w.places[0], w.places[0]), w.buffers[3]),
        "copyto": lambda w, a, v: np.copyto(a, w.buffers[1]),
        "copyto where": lambda w, a, v: np.copyto(a, v, where=w.masks[0]),
        "fill_diagonal": lambda w, a, v: np.fill_diagonal(a, v),
        "put": lambda w, a, v: np.put(a, w.places[1], [1.0, v, v * 2]),
        "place": lambda w, a, v: np.place(a, w.masks[0], [v, 2.0]),
        "putmask": lambda w, a, v: np.putmask(a, w.masks[0], w.buffers[2]),
        "put_along_axis": lambda w, a, v: np.put_along_axis(a, w.places[0].reshape(1, 3), v, axis=0),
        "sort": lambda w, a, v: a.sort(axis=-1),
        "fill": lambda w, a, v: a.fill(v),
        "flat": lambda w, a, v: a.flat.__setitem__(slice(0, None, 2), v),
        "out": lambda w, a, v: np.multiply(a, w.buffers[0], out=a),
        "out where": lambda w, a, v: np.exp(a * 0.1, out=a, where=w.masks[0]),
        "sum out": lambda w, a, v: np.sum(a * v, axis=0, out=a[0]),
        "cumsum out": lambda w, a, v: np.cumsum(a, axis=0, out=a),
        "clip out": lambda w, a, v: np.clip(a, -1.1, 1.1, out=a),
        "dot out": lambda w, a, v: np.dot(w.buffers[0], w.buffers[1] * v, out=a),
        "+=": lambda w, a, v: a.__iadd__(v),
        "*= buffer": lambda w, a, v: a.__imul__(w.buffers[1]),
        "-= a[::-1]": lambda w, a, v: a.__isub__(a[::-1] * 0.5),
        "/=": lambda w, a, v: a.__itruediv__(2 + v * v),
        "part +=": lambda w, a, v: _part_added(a, v),
        "repeated +=": lambda w, a, v: _repeated(a, w.places[0], v),
        "rows *=": lambda w, a, v: _rows(a, v),
        "0-d view": lambda w, a, v: a[0, 1, ...].__iadd__(v),
        "swap": lambda w, a, v: _swapped(a),
        "reduce out": lambda w, a, v: np.add.reduce(a, axis=0, out=a[1]),
    }
    name, which, second = rng.choice(list(writers)), int(rng.integers(100)), int(rng.integers(100))

    def step(w: World) -> None:
        a, v = w.tensors[which % len(w.tensors)], w.tensors[second % len(w.tensors)].reshape(-1)[0]
        if isinstance(a, np.generic):
            raise TypeError("a NumPy scalar stays what it is, whatever is written into it")
        writers[name](w, a, v)

    return f"write {name} {which} {second}", step


def _doors(rng: Any) -> tuple[str, Callable[[World], None]]:
    """Memory is handed out of a tensor: looked at, kept for later, or written into."""
    doors: dict[str, Callable[[Any], Any]] = {
        "data": lambda a: a.data,
        "detached": lambda a: a.detach().numpy(),
        "asarray": lambda a: np.asarray(a.detach()),
        "dlpack": lambda a: np.from_dlpack(a.detach()),
        "part": lambda a: a.data[..., :1],
    }
    name, what = rng.choice(list(doors)), rng.choice(["look", "keep", "keep", "write", "write kept", "update"])
    which, number = int(rng.integers(100)), float(rng.uniform(-1, 1))

    def step(w: World) -> None:
        a = w.tensors[which % len(w.tensors)]
        if what == "write kept":
            if w.handles:
                w.handles[which % len(w.handles)][...] = number
            return
        if isinstance(a, np.generic):
            raise TypeError("a NumPy scalar hands out no memory; a Tensor without axes does")
        handle = doors[name](a) if isinstance(a, ad.Tensor) else a[..., :1] if name == "part" else a
        if what == "look":
            float(np.mean(handle))
        elif what == "write":
            handle[:1] = number
        elif what == "update":
            handle *= 1.0 + number
        else:
            w.handles.append(handle)

    return f"door {name} {what} {which}", step


def _part_added(a: Any, v: Any) -> None:
    a[:1] += v


def _repeated(a: Any, places: Any, v: Any) -> None:
    a[places] += v


def _rows(a: Any, v: Any) -> None:
    for row in a:
        row *= 1 + 0.1 * v


def _swapped(a: Any) -> None:
    a[0], a[1] = a[1] * 1.0, a[0] * 1.0


def _containers(rng: Any) -> tuple[str, Callable[[World], None]]:
    """Operands of other classes: right or refused."""
    kinds: dict[str, Callable[[Any], Any]] = {
        "masked": lambda b: np.ma.array(b, mask=np.eye(3, dtype=bool)),
        "matrix": np.matrix,
        "unit": lambda b: Unit(),
        "tuple": lambda b: tuple(map(tuple, b.tolist())),
        "memmap": _memmap,
        "recarray": lambda b: np.asarray(b).view(np.recarray),
        "object array": lambda b: np.asarray(b).astype(object),
        "array.array": lambda b: __import__("array").array("d", b[0].tolist()),
        "float16": lambda b: np.asarray(b).astype(np.float16),
        "int": lambda b: np.asarray(b).astype(int),
        "bool": lambda b: np.asarray(b) > 0,
        "read-only": _read_only,
        "scalar": lambda b: np.float64(b[0, 0]),
        **_others(),
    }
    symbols: dict[str, Callable[[Any, Any], Any]] = {
        "*": lambda a, b: a * b,
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "@": lambda a, b: a @ b,
        "multiply": np.multiply,
        "dot": np.dot,
        "+=": lambda a, b: a.__iadd__(b),
        "a[...] = b": lambda a, b: a.__setitem__(Ellipsis, b),
        "concatenate": lambda a, b: np.concatenate([a, b]),
        "where": lambda a, b: np.where(np.eye(3) > 0, a, b),
    }
    kind, name, which, swap = (
        rng.choice(list(kinds)),
        rng.choice(list(symbols)),
        int(rng.integers(100)),
        bool(rng.integers(2)),
    )

    def step(w: World) -> None:
        a, b = w.tensors[which % len(w.tensors)], kinds[kind](w.buffers[which % 3])
        if swap and name not in ("+=", "a[...] = b"):
            a, b = b, a
        result = symbols[name](a, b)
        if type(result).__module__.startswith("pandas"):
            result = np.array(result, order="C")  # of plain arrays
        elif "pandas" in (type(a).__module__ + type(b).__module__) and isinstance(result, ad.Tensor):
            result = result.copy()  # of Tensors comes a Tensor, of which order is left open
        if result is not None and name != "+=":
            w.tensors.append(result)

    return f"{kind} {name} {which} {'swapped' if swap else ''}", step


def _read_only(b: Any) -> Any:
    made = np.array(b)
    made.flags.writeable = False
    return made


def _others() -> dict[str, Callable[[Any], Any]]:
    found: dict[str, Callable[[Any], Any]] = {}
    try:
        import pandas as pd

        found["Series"] = lambda b: pd.Series(np.asarray(b)[0])
        found["labelled Series"] = lambda b: pd.Series(np.asarray(b)[0], index=[2, 0, 1])
        found["DataFrame"] = lambda b: pd.DataFrame(np.array(b))
    except ImportError:
        pass
    try:
        import xarray as xr

        found["DataArray"] = lambda b: xr.DataArray(np.array(b), dims=("i", "j"))
    except ImportError:
        pass
    try:
        import scipy.sparse as sp

        found["csr_array"] = lambda b: sp.csr_array(np.where(np.asarray(b) > 0, b, 0))
        found["csr_matrix"] = lambda b: sp.csr_matrix(np.where(np.asarray(b) > 0, b, 0))
    except ImportError:
        pass
    return found


KINDS = ((_reads, 4), (_binary, 4), (_edits, 4), (_selections, 3), (_writes, 4), (_containers, 2), (_doors, 3))


def drawn(number: int, length: int = 9) -> list[tuple[str, Callable[[World], None]]]:
    """The steps of the program of this number."""
    rng = np.random.default_rng([number, 0])
    weights = np.array([weight for _, weight in KINDS], float)
    return [
        KINDS[rng.choice(len(KINDS), p=weights / weights.sum())][0](rng) for _ in range(rng.integers(3, length + 1))
    ]


# --- running --------------------------------------------------------------------------------------------------------


def peek(value: Any) -> Any:
    """The plain array of a result, out of a Tensor or a container of one. A Tensor's is not asked for by a door such as
    ``.data``: what was lent is protected in another way than what was not.
    """
    for _ in range(3):
        if isinstance(value, ad.Tensor):
            return value._array
        inner = getattr(value, "data", None)
        if type(value).__module__.startswith("xarray") and inner is not None:
            value = inner
    if type(value).__module__.startswith("scipy.sparse"):
        return value.toarray()
    return value.filled(0) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)


def loss(held: list[Any]) -> Any:
    """A sum over all that is held, with weights."""
    total: Any = 0.0
    for k, a in enumerate(held):
        flat = a.reshape(-1)
        total = total + np.sum(flat * np.cos(np.arange(flat.shape[0]) + k + 1.0))
    return total


def usable(a: Any, limit: float = 1e4) -> bool:
    """Whether an array is one that a difference can be taken of."""
    array = peek(a)
    return array.dtype.kind == "f" and 0 < array.size < 200 and bool(np.all(np.abs(array) < limit))


class Wrong(AssertionError):
    """A program whose values or gradients are not NumPy's."""


def check(number: int, talk: bool = False) -> str:
    """Run a program; ``"right"``, or ``"refused"`` if steps were left out.

    Raises
    ------
    Wrong
    """
    rng = np.random.default_rng([number, 2])
    point = rng.uniform(0.2, 1.3, (3, 3)) * rng.choice([-1, 1], (3, 3))
    steps = drawn(number)
    x = ad.tensor(point, requires_grad=True)
    ours, plain = world(x, number, ad.tensor), world(point, number, lambda a: a)
    kept: list[tuple[Any, list[bool]]] = []  # the steps that were gone on with, and what was held on to after each
    refused = False
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ad.CutWarning)
        for name, step in steps:
            before = len(ours.tensors)
            try:
                step(ours)
            except Exception as error:
                if not isinstance(error, (*REFUSALS, *COMPLAINTS)) and type(error) is not Exception:  # pandas' bare one
                    raise
                refused = True
                del ours.tensors[before:]
                if talk:
                    print(f"{name:40} left out: {type(error).__name__}: {error}")
                continue
            if talk:
                print(name)
            try:
                step(plain)
            except Exception as error:  # pandas raises a bare one
                if talk:
                    print(f"NumPy refuses that: {type(error).__name__}: {error}")
                return "lenient: " + " ".join(name.split()[:3]).rstrip(" 0123456789")
            compare(number, name, ours, plain)
            # What a difference cannot be taken of, and what is no plain Tensor of ours, is not gone on with.
            keep = [usable(b) and isinstance(a, ad.Tensor) for a, b in zip(ours.tensors, plain.tensors, strict=True)]
            kept.append((step, keep))
            for one in (ours, plain):
                one.keep(keep)
            if not plain.tensors:
                return "empty"
        total = loss(ours.tensors)
        for handle in ours.handles:  # whatever a program was handed out, it may write into before the backward pass
            with contextlib.suppress(ValueError):
                handle[...] = 0.25
        if not getattr(total, "requires_grad", False):
            gradient = np.zeros_like(point)
        else:
            try:
                (gradient,) = ad.gradients(total, [x])
            except REFUSALS as error:
                if talk:
                    print(f"the gradient is refused: {error}")
                return "refused"
        direction = rng.normal(size=point.shape)
        analytic, size = float(np.sum(gradient * direction)), float(np.sum(np.abs(gradient * direction)))
        size = max(1.0, size, abs(float(total.data if isinstance(total, ad.Tensor) else total)))
        errors = []
        for h in (1e-6, 1e-5, 3e-7, 1e-4):
            ends = [float(_plain_loss(kept, point + s * h * direction, number)) for s in (1, -1)]
            errors.append(abs((ends[0] - ends[1]) / (2 * h) - analytic) / size)
            if errors[-1] < 1e-5:
                break
        else:
            raise Wrong(
                f"program {number}: the gradient is off by {min(errors):.2g} of {size:.3g}: {[n for n, _ in steps]}"
            )
    return "refused" if refused else "right"


def compare(number: int, name: str, ours: World, plain: World) -> None:
    """Raise :class:`Wrong` if a Tensor or a buffer does not hold what NumPy's does."""
    for a, b in zip(ours.tensors, plain.tensors, strict=True):
        found, right = peek(a), peek(b)
        if "O" in (found.dtype.kind, right.dtype.kind):
            continue
        if found.shape != right.shape or not _close(found, right):
            raise Wrong(f"program {number}: after {name}:\n{found}\nNumPy holds\n{right}")
    for a, b in zip(ours.buffers, plain.buffers, strict=True):
        if np.asarray(a).tobytes() != np.asarray(b).tobytes():
            raise Wrong(f"program {number}: after {name}: a buffer holds\n{a}\nNumPy's\n{b}")


def _close(found: Any, right: Any) -> bool:
    """Whether two arrays agree to 1e-6; NaN and infinities agree with themselves."""
    with np.errstate(all="ignore"):
        near = np.abs(found - right) <= 1e-6 + 1e-6 * np.abs(right) if found.dtype.kind != "b" else found == right
    return bool(np.all(near | (found == right) | ((found != found) & (right != right))))


def _plain_loss(kept: Any, at: Any, number: int) -> Any:
    """The loss of the plain program at a point, with the steps and arrays that were gone on with."""
    held = world(at, number, lambda a: a)
    for step, keep in kept:
        step(held)
        held.keep(keep)
    return loss(held.tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=int)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    for number in range(options.first, options.first + options.programs):
        try:
            counts[check(number, talk=options.programs == 1)] += 1
        except Wrong as error:
            counts["WRONG"] += 1
            print(error, flush=True)
        except Exception as error:  # a crash is a finding, too
            counts["CRASHED"] += 1
            print(f"program {number}: {type(error).__name__}: {error}", flush=True)
    print(dict(counts))
    raise SystemExit(1 if counts["WRONG"] or counts["CRASHED"] else 0)


if __name__ == "__main__":
    main()
