"""What the engine does while a program runs: record or not, fused or composed, watchful or fast, traced or not.

The settings are one immutable :class:`State` in a context variable, so they belong to a thread and to an asyncio task.
The ordinary state is represented by None: the hot path of every operation asks a single question, "is it None?", and
takes the general path for every other answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class State:
    """The settings of this thread or task."""

    grad: bool = True  # record operations on tensors that require a gradient
    composed: bool = False  # run every fused primitive through its composed definition
    plain: bool = False  # leave out all that is there for speed
    anomaly: bool = False  # stop at the first operation that makes a NaN or an infinity out of finite input
    traced: bool = False  # note on every node where it was recorded
    scope: str = ""  # under which module path: "net/blocks.3/norm"
    calls: dict[str, int] | None = None  # how often each module path was entered since tracing began
    kept: bool = False  # keep on every node the arrays that it saw and the time it took, for pictures
    mark: object = None  # put on every node recorded, so that a checkpoint can tell its own from others'
    stops: Callable[[Any], Any] | None = None  # what constant and detach pass an array through (watch.stopping)
    tracer: Any = None  # under compile: asked about every operation and pass, and may answer in the engine's place
    levels: int = 0  # how many transforms with values of their own enclose the running code (levels.py)
    collector: Any = None  # gives the values of such transforms leaves of a plain graph, for a while (closures.py)


ORDINARY = State(plain=os.environ.get("AUTODIFF_PLAIN", "0") not in ("", "0"))  # autodiff.fast refuses others than 1
_state: ContextVar[State | None] = ContextVar("autodiff_state", default=None)

#: How many transforms enclose the running code in this thread or task. Inside one, results stay differentiable.
transform_depth: ContextVar[int] = ContextVar("autodiff_transform_depth", default=0)

#: The state of this thread or task; None stands for the ordinary one.
current_state = _state.get


class Mode:
    """Changes some settings for a ``with`` block or for a decorated function; may be nested and used again."""

    #: ``around(mode, function)`` runs a function in a fresh ``mode()`` at each call (decorators.py).
    around: Any = None

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._tokens: list[Any] = []

    def __enter__(self) -> None:
        state = _state.get()
        if any(getattr(state or ORDINARY, name) is not value for name, value in self._settings.items()):
            state = replace(state or ORDINARY, **self._settings)
        self._tokens.append(_state.set(None if state == ORDINARY else state))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        _state.reset(self._tokens.pop())
        return False

    def __call__(self, function: F) -> F:
        return Mode.around(partial(Mode, **self._settings), function)  # type: ignore[no-any-return]


def state_as(state: State) -> Mode:
    """Run a block under exactly this state."""
    return Mode(**{name: getattr(state, name) for name in State.__slots__})


def no_grad() -> Mode:
    """Record nothing: a context manager and a decorator.

    Examples
    --------
    >>> with no_grad():
    ...     is_grad_enabled()
    False
    """
    return Mode(grad=False)


def enable_grad() -> Mode:
    """Record again inside :func:`no_grad`: a context manager and a decorator.

    Examples
    --------
    >>> with no_grad(), enable_grad():
    ...     is_grad_enabled()
    True
    """
    return Mode(grad=True)


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require a gradient are being recorded.

    Examples
    --------
    >>> is_grad_enabled()
    True
    """
    return (_state.get() or ORDINARY).grad


def composed() -> Mode:
    """Run every fused primitive through its composed definition: a context manager and a decorator.

    A whole program, a training step say, is run twice, once inside; equal gradients show that every hand-derived
    backward in it is right.

    Examples
    --------
    >>> from nn import functional as F
    >>> with composed():
    ...     F.softmax([0.0, 0.0], dim=0).data
    array([0.5, 0.5])
    """
    return Mode(composed=True)


def plain() -> Mode:
    """Leave out all that is there for speed, to the same bits: a context manager and a decorator.

    Operations are applied, and backward passes walked, by the plain Python of :mod:`autodiff.core`; optimisers and
    fused operations use NumPy alone. ``AUTODIFF_PLAIN=1`` does it for a whole process.

    Examples
    --------
    >>> with plain():
    ...     is_plain()
    True
    """
    return Mode(plain=True)


def is_plain() -> bool:
    """Whether all that is there for speed is left out (:func:`plain`)."""
    return (_state.get() or ORDINARY).plain
