"""The graph that a computation leaves behind, and the order in which to walk it. No arithmetic here.

A :class:`Variable` is a leaf that asks for a gradient; a :class:`Node` is one applied operation. A node points to its
parents and to the arrays that its rules will read. It never points to a Tensor, and never to its own output Tensor. So
there is no reference cycle: an intermediate array dies as soon as no rule needs it, and a whole graph is freed by
reference counts the moment its last output goes away.

Time is a counter that moves on (:func:`tick`) when an array is written into (:mod:`autodiff.writes`), and when a leaf
or a transform's stand-in is made. A node keeps the time at which it was made, its ``stamp``. That tells which nodes are
too old to depend on a target, and which read an array that has been written into since.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


class _Time:
    """The clock: the time ``now`` and that of the last write into an array; and what memory is ``lent`` (writes.py)."""

    now = written = 0
    lent: dict[int, Any]


time = _Time()
time.lent = {}
_lock = threading.RLock()  # a Ctrl-C at the end of a with block leaves it taken: its thread goes on


def tick(write: bool = False) -> int:
    """Advance the clock and return the time; with ``write`` it is the time of the last write into an array, too."""
    with _lock:
        time.now, time.written = time.now + 1, time.now + 1 if write else time.written
        return time.now


class Stage:
    """Whether derivatives by a leaf may still be asked for: by a transform's, while its function runs."""

    __slots__ = ("alive",)

    def __init__(self) -> None:
        self.alive = True


#: The stage of the program's own leaves, which never ends.
FOREVER = Stage()


class Variable:
    """A leaf of the graph: where a gradient comes to rest.

    ``shape`` and ``dtype`` are its array's. ``grad`` is the accumulated gradient, a Tensor after ``create_graph=True``.
    The functions in ``hooks`` run on the whole gradient before it is added there. ``version`` is the time at which the
    library last wrote into its array, ``stamp`` that at which it was made. A transform's leaf ends with its ``stage``.
    """

    __slots__ = ("__weakref__", "_grad", "dtype", "g", "hooks", "name", "shape", "stage", "stamp", "version")

    parents = ()

    def __init__(self, shape: tuple[int, ...], dtype: Any, name: str | None = None, stage: Stage | None = None) -> None:
        self.stage = FOREVER if stage is None else stage
        self.shape = shape
        self.dtype = dtype
        self._grad: Any = None
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.name = name
        self.version = 0
        self.stamp = tick()
        self.g: Any = False

    @property
    def grad(self) -> Any:
        """The accumulated gradient."""
        grad = self._grad
        if isinstance(grad, np.generic):
            # NumPy's scalars add up faster than arrays without axes: only what is read is made an array.
            grad = self._grad = np.array(grad)
        return grad

    @grad.setter
    def grad(self, value: Any) -> None:
        self._grad = value

    def __repr__(self) -> str:
        return f"Variable(shape={self.shape}, dtype={self.dtype}, name={self.name!r})"


class Node:
    """One applied operation.

    Attributes
    ----------
    op : Operation
    parents : tuple of Node, Variable or None
        One entry per array input; None where the input asks for no gradient.
    saved : tuple or None
        What the rules will read; None once a backward pass has freed it.
    attrs : dict or None
        The arguments that are no arrays (axis, keepdims, ...).
    shape, dtype
        Of the output; of an operation with several outputs tuples of these.
    noted : sequence of tuple
        The facts of inputs that are constants, for pictures (:mod:`autodiff.watch`); unset if there are none.
    stamp : int
        When it was made.
    extras : dict or None
        Rare facts: ``name``, ``grad``, ``retain``, ``hooks``, ``scope``, ``trace``, ``seen``, ``mark``.
    g
        False, but while a backward pass of :mod:`autodiff.fast` keeps a gradient here; of a Variable too.
    """

    __slots__ = ("attrs", "dtype", "extras", "g", "noted", "op", "parents", "saved", "shape", "stamp")

    def __init__(self, op: Any, parents: tuple[Any, ...], saved: Any, attrs: Any, shape: Any, dtype: Any) -> None:
        self.op = op
        self.parents = parents
        self.saved = saved
        self.attrs = attrs
        self.shape = shape
        self.dtype = dtype
        self.noted: Any
        self.stamp = time.now
        self.extras: dict[str, Any] | None = None
        self.g: Any = False

    def extra(self, key: str, default: Any = None) -> Any:
        """The rare fact ``key``, or ``default``."""
        return default if self.extras is None else self.extras.get(key, default)

    def set_extra(self, key: str, value: Any) -> None:
        """Keep a rare fact."""
        if self.extras is None:
            self.extras = {}
        self.extras[key] = value

    @property
    def name(self) -> str | None:
        """The user's name of the output, if it has one."""
        name: str | None = self.extra("name")
        return name

    def __repr__(self) -> str:
        return f"Node({self.op.name}, shape={self.shape}, dtype={self.dtype})"


def topological_order(roots: Iterable[Any], since: int = 0, beyond: Iterable[Any] = ()) -> list[Any]:
    """Everything that ``roots`` depend on and that was made at the time ``since`` or later, each after all of its
    parents; ``beyond`` and what only they depend on is left out.

    Depth first with an explicit stack, so that a chain of a million nodes needs no recursion. A None on the stack marks
    that the entry below it has had all its parents placed.

    For ``b = a + a; c = b + b`` the order is ``a, b, c``: when a backward pass walks it from the end, it reaches ``b``
    after both of its uses in ``c`` have been added up, and never before.
    """
    order: list[Any] = []
    seen = set(beyond)
    stack: list[Any] = list(roots)
    while stack:
        entry = stack.pop()
        if entry is None:
            order.append(stack.pop())
        elif entry not in seen and entry.stamp >= since:
            seen.add(entry)
            stack += (entry, None)
            stack += [parent for parent in entry.parents if parent is not None and parent not in seen]
    return order
