"""What the engine does while a program runs: record or not, fused or composed, watchful or fast, traced or not.

The settings are one immutable :class:`State` in a context variable, so they belong to a thread and to an asyncio task.
The ordinary state is represented by None: the hot path of every operation asks a single question, "is it None?", and
takes the general path for every other answer.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial, wraps
from types import TracebackType
from typing import Any, Literal, TypeVar

__all__ = [
    "State",
    "composed",
    "current_state",
    "detect_anomaly",
    "enable_grad",
    "is_grad_enabled",
    "is_plain",
    "no_grad",
    "plain",
    "scope",
    "state_as",
    "stopping",
    "tracing",
    "transform_depth",
]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class State:
    """The settings of this thread or task.

    Attributes
    ----------
    grad : bool
        Record operations on tensors that require a gradient.
    composed : bool
        Run every fused primitive through its composed definition.
    anomaly : bool
        Stop at the first operation that makes a NaN or an infinity out of finite input.
    traced : bool
        Note on every node the module path under which it was recorded.
    scope : str
        That module path, such as ``"net/blocks.3/norm"``.
    mark : object
        If not None, put on every node recorded, so that a checkpoint can tell its own from others'.
    kept : bool
        Keep on every node the arrays that it saw and the time it took, for pictures.
    calls : dict, optional
        How often each module path was entered since tracing began, so that a second call is told from the first.
    stops : callable
        If not None, what ``constant`` and ``detach`` pass an array through: the verification kit writes down what was
        held constant at a point, and hands it out again at points nearby (see :func:`stopping`).
    tracer : object
        What follows the calls of a step under ``autodiff.compile``, else None. It is asked about every application of
        an operation and every backward pass, and may answer in the engine's place.
    levels : int
        How many transforms with values of their own (tangents, tapes) enclose the running code; see
        :mod:`autodiff.core.forward`.
    collector : object
        What gives the values of such transforms leaves of a plain graph, while an operation runs that leaves its own
        nodes behind (:mod:`autodiff.closures`); else None.
    plain : bool
        Leave out all that is there for speed.
    """

    grad: bool = True
    composed: bool = False
    anomaly: bool = False
    traced: bool = False
    scope: str = ""
    mark: object = None
    kept: bool = False
    calls: dict[str, int] | None = None
    stops: Callable[[Any], Any] | None = None
    tracer: Any = None
    levels: int = 0
    collector: Any = None
    plain: bool = False


ORDINARY = State(plain=os.environ.get("AUTODIFF_PLAIN", "0") not in ("", "0"))
_state: ContextVar[State | None] = ContextVar("autodiff_state", default=None)

#: How many transforms enclose the running code in this thread or task. Inside one, results stay differentiable.
transform_depth: ContextVar[int] = ContextVar("autodiff_transform_depth", default=0)

#: The state of this thread or task; None stands for the ordinary one.
current_state = _state.get


class _Mode(contextlib.ContextDecorator):
    """Changes some settings for a ``with`` block or for a decorated function; may be nested and used again."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._tokens: list[Any] = []

    def __enter__(self) -> None:
        state = replace(_state.get() or ORDINARY, **self._settings)
        self._tokens.append(_state.set(None if state == ORDINARY else state))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        _state.reset(self._tokens.pop())
        return False

    def __call__(self, function: F) -> F:
        # A fresh mode per call and per step: one object's stack of tokens must not be shared by threads.
        mode = partial(_Mode, **self._settings)

        def inside(*args: Any, **kwargs: Any) -> Any:
            with mode():
                return function(*args, **kwargs)

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with mode():
                return await function(*args, **kwargs)

        def stepping(*args: Any, **kwargs: Any) -> Any:
            """Run every step of a generator's body in the mode, and what happens between two steps outside it."""
            steps = function(*args, **kwargs)
            act: Callable[[], Any] = partial(steps.send, None)
            while True:
                try:
                    with mode():
                        found = act()
                except StopIteration as stop:
                    return stop.value
                try:
                    act = partial(steps.send, (yield found))
                except GeneratorExit:
                    with mode():
                        steps.close()
                    raise
                except BaseException as error:
                    act = partial(steps.throw, error)

        if inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__name__}: an asynchronous generator sets the mode in its body, by a with block"
            )
        runs = stepping if inspect.isgeneratorfunction(function) else inside
        return wraps(function)(awaited if inspect.iscoroutinefunction(function) else runs)  # type: ignore[return-value]


@contextlib.contextmanager
def state_as(state: State) -> Iterator[None]:
    """Run a block under exactly this state."""
    token = _state.set(None if state == ORDINARY else state)
    try:
        yield
    finally:
        _state.reset(token)


def no_grad() -> _Mode:
    """Record nothing: a context manager and a decorator.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor(2.0, requires_grad=True)
    >>> with autodiff.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """
    return _Mode(grad=False)


def enable_grad() -> _Mode:
    """Record again inside :func:`no_grad`: a context manager and a decorator.

    Examples
    --------
    >>> import autodiff
    >>> with autodiff.no_grad(), autodiff.enable_grad():
    ...     autodiff.is_grad_enabled()
    True
    """
    return _Mode(grad=True)


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require a gradient are being recorded.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.is_grad_enabled()
    True
    """
    state = _state.get()
    return state is None or state.grad


def composed() -> _Mode:
    """Run every fused primitive through its composed definition: a context manager and a decorator.

    A whole program, a training step say, is run twice, once inside; equal gradients show that every hand-derived
    backward in it is right.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> from nn import functional as F
    >>> x = autodiff.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    >>> with autodiff.composed():
    ...     y = F.softmax(x, dim=1)
    >>> np.allclose(y.data, F.softmax(x, dim=1).data)
    True
    """
    return _Mode(composed=True)


def plain() -> _Mode:
    """Leave out all that is there for speed, to the same bits: a context manager and a decorator.

    Operations are applied, and backward passes walked, by the plain Python of :mod:`autodiff.core`; optimisers and
    fused operations use NumPy alone. ``AUTODIFF_PLAIN=1`` does it for a whole process.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor(2.0, requires_grad=True)
    >>> with autodiff.plain():
    ...     (x * x).backward()
    >>> x.grad
    array(4.)
    """
    return _Mode(plain=True)


def is_plain() -> bool:
    """Whether all that is there for speed is left out (:func:`plain`)."""
    return (_state.get() or ORDINARY).plain


def detect_anomaly() -> _Mode:
    """Stop at the first NaN or infinity that is born of finite input, forward or backward.

    The :class:`~autodiff.AnomalyError` names the operation, its inputs' shapes and ranges, and the line of the
    program that called it. Slow: every operation's output is looked at, and every node remembers where it was made.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> x = autodiff.tensor([1.0, -1.0], requires_grad=True)
    >>> with autodiff.detect_anomaly(), np.errstate(all="ignore"):
    ...     autodiff.log(x)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    autodiff.AnomalyError: log made nan ...
    """
    return _Mode(anomaly=True)


def stopping(through: Callable[[Any], Any]) -> _Mode:
    """Pass every array that ``constant`` and ``detach`` stop the gradient at through a function, which may replace it.

    Finite differences see a stopped value move with the point, the gradient does not, so a plain numerical check of a
    right gradient fails (batch renormalisation's r and d). ``autodiff.testing`` therefore holds them at what they were
    at the base point.
    """
    return _Mode(stops=through)


def tracing(keep: bool = False) -> _Mode:
    """Note on every node where it is recorded: the module path and the line of the program (used by the drawer).

    Parameters
    ----------
    keep : bool
        Keep on every node its arrays and its running time as well; memory grows by every intermediate result.
    """
    return _Mode(traced=True, kept=keep, calls={})


@contextlib.contextmanager
def scope(name: str) -> Iterator[None]:
    """Append ``name`` to the module path while tracing; does nothing otherwise.

    The parts of a path are joined by slashes. The second call under one path is marked ``#2``, the third ``#3``, so
    that two calls of one module stay two.

    Examples
    --------
    >>> with tracing():
    ...     with scope("net"), scope("layer"):
    ...         first = current_state().scope
    ...     with scope("net"):
    ...         second = current_state().scope
    >>> first, second
    ('net/layer', 'net#2')
    """
    state = _state.get()
    if state is None or not state.traced:
        yield
        return
    path = f"{state.scope}/{name}" if state.scope else name
    if state.calls is not None:
        state.calls[path] = count = state.calls.get(path, 0) + 1
        if count > 1:
            path = f"{path}#{count}"
    token = _state.set(replace(state, scope=path))
    try:
        yield
    finally:
        _state.reset(token)
