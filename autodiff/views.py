"""Which tensors are views of which, so that writing into one reaches the others, as NumPy's shared memory does.

No array that a graph may read is ever written to: assignment gives a tensor a new array. NumPy's views see each other's
changes because they share memory; here a view remembers the tensor that it was taken from (its root) and the calls that
led to it, the root remembers its views weakly, and :mod:`autodiff.ops.assignment` takes those views again after every
write. Both ends are kept so that neither costs an ordinary tensor anything.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from autodiff.core import op as core

Step = Callable[[Any], Any]


class View:
    """How a tensor was taken from its root.

    Attributes
    ----------
    root : Tensor
        The tensor that owns the elements.
    steps : tuple of callable
        Each takes a tensor and gives a view of it; applied to the root in turn they give this view. They are put
        together when somebody asks: views of views of views would hold the square of their number.
    writeable : bool
        Whether NumPy would let it be written to.
    overwritten : bool
        Whether it is a row that another one was written over since it was taken.
    """

    __slots__ = ("_before", "_step", "overwritten", "root", "writeable")

    def __init__(self, root: Any, before: View | None, step: Step, writeable: bool) -> None:
        self.root = root
        self._before = before
        self._step = step
        self.writeable = writeable
        self.overwritten = False

    @property
    def steps(self) -> tuple[Step, ...]:
        found, view = [], self
        while view is not None:
            found.append(view._step)
            view = view._before  # type: ignore[assignment]
        return tuple(reversed(found))

    def take(self, root: Any) -> Any:
        """The same view of another tensor of the root's shape."""
        for step in self.steps:
            root = step(root)
        return root


def shares(out: Any, array: Any) -> bool:
    """Whether ``out``, which an operation made of ``array``, is ``array`` itself or a view of it."""
    out, array = getattr(out, "value", out), getattr(array, "value", array)  # of stand-ins under autodiff.jit
    return array.__class__ is np.ndarray and (
        out is array or (out.base is not None and (out.base is array or out.base is array.base))
    )


def link(view: Any, source: Any, step: Step, writeable: bool = True) -> None:
    """Note that ``step(source)`` gave ``view``, whose elements NumPy would share.

    Parameters
    ----------
    view, source : Tensor
    step : callable
    writeable : bool
    """
    held = getattr(source, "_view", None)
    root = source if held is None else held.root
    writeable = writeable and (held is None or held.writeable)
    # The real part of a complex array shares memory, but no position in it stands for an element.
    view._view = View(root, held, step, writeable and view._data.dtype == root._data.dtype)
    known = getattr(root, "_views", None)
    if known is None:
        root._views = [weakref.ref(view)]
        return
    if len(known) == 8 or (len(known) > 8 and len(known) & (len(known) - 1) == 0):
        # Now and then the dead are dropped, so that a list costs no more than its living views.
        known[:] = [reference for reference in known if reference() is not None]
    known.append(weakref.ref(view))


def view_of(tensor: Any) -> View | None:
    """How a tensor was taken from another one, or None if it is nobody's view."""
    held = getattr(tensor, "_view", None)
    return held if held.__class__ is View else None  # another class, pandas' say, may have a method of this name


def live_views(root: Any) -> Iterator[Any]:
    """The views of a tensor that are still in use."""
    for reference in list(getattr(root, "_views", ())):
        view = reference()
        if view is not None:
            yield view


def settle(root: Any) -> None:
    """Before a tensor is given another array: its views take what it holds now."""
    if getattr(root, "_views", None):
        for view in live_views(root):
            view._data  # noqa: B018  # a view that is behind catches up when it is asked


def _note(op: Any, inputs: Sequence[Any], attrs: dict[str, Any], arrays: Sequence[Any], result: Any) -> None:
    """Link a result that shares an input tensor's memory to that tensor."""
    out = result._data
    for place, array in enumerate(arrays):
        if shares(out, array):
            if not hasattr(inputs[place], "_node"):
                # The program may write into its array: the result is a view of a copy.
                own = [a.copy("K") if a is array else a for a in arrays]
                result._data = op.run(own, attrs)[0]
                return
            again = partial(_again, op, tuple(inputs[:place]), tuple(inputs[place + 1 :]), attrs)
            link(result, inputs[place], again, out.flags.writeable)
            return


def follow(op: Any, inputs: Sequence[Any], attrs: dict[str, Any], lower: Sequence[Any], out: Any, result: Any) -> None:
    """Link a result to the input that it is a view of, as ``out`` is linked to what that input is a level below."""
    held = view_of(out)
    for place, value in enumerate(lower if held is not None else ()):
        if hasattr(inputs[place], "_node") and held.root is getattr(view_of(value), "root", value):  # type: ignore[union-attr]
            again = partial(_again, op, tuple(inputs[:place]), tuple(inputs[place + 1 :]), attrs)
            return link(result, inputs[place], again, held.writeable)  # type: ignore[union-attr]


def _again(op: Any, before: tuple[Any, ...], after: tuple[Any, ...], attrs: dict[str, Any], source: Any) -> Any:
    return core.apply(op, (*before, source, *after), attrs)


core.above.view = _note
