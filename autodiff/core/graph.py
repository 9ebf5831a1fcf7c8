"""The graph that a computation leaves behind, and the order in which to walk it. No arithmetic here.

A :class:`Variable` is a leaf that asks for a gradient; a :class:`Node` is one recorded operation. A node points to its
parents and to the arrays that its gradient rules will read; it never points to a Tensor, and never to its own output
Tensor. So there is no reference cycle, an intermediate array dies as soon as no rule needs it, and a whole graph is
freed by reference counts the moment its last output goes away.

Both are plain records with slots: nodes are made by the million, and every further slot is paid for by each of them.
What few nodes have (a name, hooks, a retained gradient, a module path) lives in ``extras``, a dictionary made on
demand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

__all__ = ["Constant", "ElementwiseNode", "GeneralNode", "Node", "ScalarNode", "Variable", "topological_order"]


class Stage:
    """How long a leaf is one that something may be differentiated by: a transform's while its function runs."""

    __slots__ = ("alive",)

    def __init__(self) -> None:
        self.alive = True


#: That of the program's own leaves.
FOREVER = Stage()


class Variable:
    """A leaf of the graph: where a gradient comes to rest.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    grad : numpy.ndarray, Tensor or None
        The accumulated gradient; a Tensor after ``create_graph=True``.
    hooks : dict of int to callable
        Run in order of registration on the whole gradient before it is added to ``grad``.
    name : str or None
    g
        As on a :class:`Node`.
    stage : Stage
        Until when it is a leaf: a transform's stand-ins are none when its function has returned.
    """

    __slots__ = ("__weakref__", "_grad", "dtype", "g", "hooks", "name", "shape", "stage")

    def __init__(self, shape: tuple[int, ...], dtype: Any, name: str | None = None, stage: Stage | None = None) -> None:
        self.stage = FOREVER if stage is None else stage
        self.shape = shape
        self.dtype = dtype
        self._grad: Any = None
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.name = name
        self.g: Any = False

    @property
    def grad(self) -> Any:
        """The accumulated gradient."""
        grad = self._grad
        if isinstance(grad, np.generic):
            # A scalar's gradient stays NumPy's scalar until somebody asks: to make an array of each takes longer than
            # to compute it.
            grad = self._grad = np.array(grad)
        return grad

    @grad.setter
    def grad(self, value: Any) -> None:
        self._grad = value

    def __repr__(self) -> str:
        return f"Variable(shape={self.shape}, dtype={self.dtype}, name={self.name!r})"


class Constant:
    """The facts of an input that asks for no gradient: enough to draw it, without keeping its array alive."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any, name: str | None = None) -> None:
        self.shape = shape
        self.dtype = dtype
        self.name = name


class Node:
    """One recorded operation; every node is a :class:`GeneralNode`, an :class:`ElementwiseNode` or a
    :class:`ScalarNode`.

    Attributes
    ----------
    op : Primitive or Fused
        What was computed; ``op.name`` and ``op.label`` say so in words and in pictures.
    pull : callable
        ``pull(node, g, pending)``: adds the gradient ``g`` of the output, times this node's derivative, to the parents'
        ``g``, in a pass that has the graph to itself, and may return a parent as ``OnNodes.ahead`` tells; any other
        pass calls ``op.pull``.
    parents : tuple of Node, Variable or None
        One entry per array input; None where the input asks for no gradient.
    saved : tuple or None
        The arrays that the rules will read; None once a backward pass has freed them.
    g : numpy.ndarray, list, None or False
        While a pass has the graph to itself: what has arrived of the gradient, None if nothing has. At all other times
        False.
    attrs : dict or None
        The arguments that are no arrays (axis, keepdims, ...).
    shape, dtype
        Of the output.
    constant_inputs : tuple of (int, number or Constant)
        Which inputs were constants, for pictures.
    extras : dict
        Rare facts: ``name``, ``grad`` (retained), ``hooks``, ``scope`` (module path), ``trace`` (where it was
        recorded), ``seen`` (output, inputs and seconds, kept for pictures). Unset where there is none.
    """

    __slots__ = ("extras", "g", "pull", "saved")

    if TYPE_CHECKING:
        op: Any
    pull: Callable[[Node, Any, Any], None]
    saved: Any
    g: Any
    extras: dict[str, Any]

    if TYPE_CHECKING:
        shape: tuple[int, ...]
        dtype: Any
        parents: tuple[Node | Variable | None, ...]
        attrs: dict[str, Any] | None

        @property
        def constant_inputs(self) -> tuple[tuple[int, Any], ...]: ...

    def extra(self, key: str, default: Any = None) -> Any:
        """The rare fact ``key``, or ``default``."""
        try:
            return self.extras.get(key, default)
        except AttributeError:
            return default

    def set_extra(self, key: str, value: Any) -> None:
        """Keep a rare fact."""
        try:
            self.extras[key] = value
        except AttributeError:
            self.extras = {key: value}

    @property
    def name(self) -> str | None:
        """The user's name of the output, if it has one."""
        name: str | None = self.extra("name")
        return name

    def __repr__(self) -> str:
        return f"Node({self.op.name}, shape={self.shape}, dtype={self.dtype})"


class GeneralNode(Node):
    """A node with any number of inputs and attributes.

    Attributes
    ----------
    noted : list of tuple
        Of inputs that were constants ``(position, number)`` or ``(position, shape, dtype, name)``; unset where there
        was none.
    """

    __slots__ = ("attrs", "dtype", "noted", "op", "parents", "shape")

    op: Any
    shape: tuple[int, ...]
    dtype: Any
    parents: tuple[Node | Variable | None, ...]
    attrs: dict[str, Any] | None
    noted: list[Any]

    @property
    def constant_inputs(self) -> tuple[tuple[int, Any], ...]:
        """What is noted, as numbers and :class:`Constant`."""
        return tuple(
            (place, facts[0] if len(facts) == 1 else Constant(*facts)) for place, *facts in getattr(self, "noted", ())
        )


class _Pair(Node):
    """A node of an operation on one or two inputs without attributes: what a program makes by the million.

    It is one object where a general node is two, since its parents need no tuple. The collector's work grows with the
    number of such containers, and at a million nodes that work is a third of the time (``benchmarks/graphs.py``).

    Attributes
    ----------
    first, second : Node, Variable, number or None
        The parents; or the Python number that stood there; None for the second input of an operation that has but one.
    """

    __slots__ = ("first", "second")

    first: Any
    second: Any
    attrs = None

    @property
    def parents(self) -> tuple[Node | Variable | None, ...]:  # type: ignore[override]
        """One entry per input; None for a number."""
        both = (self.first, self.second) if self.second is not None else (self.first,)
        return tuple(entry if isinstance(entry, Node | Variable) else None for entry in both)

    @property
    def constant_inputs(self) -> tuple[tuple[int, Any], ...]:
        """The inputs that were numbers, by position."""
        both = ((0, self.first), (1, self.second))
        return tuple(pair for pair in both if pair[1] is not None and not isinstance(pair[1], Node | Variable))


class ElementwiseNode(_Pair):
    """A node of an elementwise operation on one or two inputs."""

    __slots__ = ("dtype", "op", "shape")

    op: Any
    shape: tuple[int, ...]
    dtype: Any


class ScalarNode(_Pair):
    """A node of an elementwise operation that made one float64 out of one or two: it need not say so, saves no tuple,
    and its pull tells the operation.

    Attributes
    ----------
    saved
        The first value that the rules will read, or ``op`` where they read none; None once a backward pass has freed
        it.
    other, third
        The second and the third; unset where there is none.
    """

    __slots__ = ("other", "third")

    other: Any
    third: Any
    shape = ()
    dtype = np.dtype(np.float64)

    @property
    def op(self) -> Any:  # type: ignore[override]
        """What was computed."""
        return self.extra("op") or self.pull.op  # type: ignore[attr-defined]


def topological_order(
    roots: Iterable[Node | Variable], beyond: Iterable[Node | Variable] = ()
) -> list[Node | Variable]:
    """Everything that ``roots`` depend on, each after all of its parents; ``beyond`` and what only they depend on is
    left out.

    Depth first with an explicit stack, so that a chain of a million nodes needs no recursion. A None on the stack
    marks that the entry below it has had all its parents placed.

    Examples
    --------
    For ``b = a + a; c = b + b`` the order is ``a, b, c``: when backward walks it from the end, ``b`` is reached after
    both of its uses in ``c`` have been added up, and never before.
    """
    order: list[Node | Variable] = []
    placed = order.append
    seen: set[Any] = set(beyond)
    see = seen.add
    stack: list[Any] = list(roots)
    pop, push = stack.pop, stack.append
    while True:  # CPython 3.11 does not specialise the code of a loop that a condition closes until the eighth call
        if not stack:
            return order
        entry = pop()
        if entry is None:
            placed(pop())
        elif entry not in seen:
            see(entry)
            kind = entry.__class__
            if kind is ElementwiseNode or kind is ScalarNode:
                push(entry)
                push(None)
                parent = entry.first
                if parent not in seen:
                    if parent.__class__ is Variable:
                        # It has no parents to wait for.
                        see(parent)
                        placed(parent)
                    else:
                        push(parent)
                parent = entry.second
                if parent is not None and parent not in seen:
                    if parent.__class__ is Variable:
                        see(parent)
                        placed(parent)
                    else:
                        push(parent)
            elif kind is GeneralNode:
                push(entry)
                push(None)
                for parent in entry.parents:
                    if parent is not None and parent not in seen:
                        if parent.__class__ is Variable:
                            see(parent)
                            placed(parent)
                        else:
                            push(parent)
            elif kind is Variable:
                placed(entry)
            elif isinstance(entry, Node):
                push(entry)
                push(None)
                stack += [parent for parent in entry.parents if parent is not None and parent not in seen]
            # Anything else is a number in the place of a parent.
