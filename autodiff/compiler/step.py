"""The object that a user holds: a step, and what its calls have in common."""

from __future__ import annotations

import copy
import functools
import threading
import types
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

from autodiff import kernels
from autodiff.arguments import refuse_unless_callable
from autodiff.compiler.follow import Follower
from autodiff.compiler.plan import Plan
from autodiff.compiler.prepare import Workshop
from autodiff.compiler.trace import Entry
from autodiff.core.errors import ArgumentError, CompileError, CompileWarning
from autodiff.core.modes import ORDINARY, State, _state, current_state
from autodiff.decorators import name_of

__all__ = ["Compiled", "compile"]

P = ParamSpec("P")
R = TypeVar("R")

#: After so many calls that each took a way of its own, and fewer that came a way twice, nothing more is remembered.
_PATIENCE = 24


class Compiled(Generic[P, R]):
    """A step whose Python runs at every call while NumPy's work is prepared; made by :func:`autodiff.compile`.

    Attributes
    ----------
    reason : str
        Why the last call was not followed to its end, if it was not.
    recordings, replays, eager : int
        How many calls took a way that was new, one that was known, and one that was not followed to its end.
    """

    def __init__(self, function: Callable[P, R], check: bool = False, fallback: bool = True) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._check = check
        self._fallback = fallback
        self._lock = threading.Lock()
        self._roots: dict[Any, Entry] = {}  # by what decides between NumPy and compiled kernels
        self._follower = Follower(Workshop(), check)
        self._last: Entry | None = None
        self._given_up = ""
        self._warned: set[str] = set()
        self.reason = ""
        self.recordings = self.replays = self.eager = 0

    @property
    def plan(self) -> Plan | None:
        """What is prepared for the way of the last call; None if it was not followed to its end."""
        if self._last is None:
            return None
        name = getattr(self._function, "__qualname__", "the step")
        return Plan(name, self._last.path(), self._follower.workshop.nbytes)

    def __repr__(self) -> str:
        return f"autodiff.compile({getattr(self._function, '__qualname__', self._function)!s})"

    @overload
    def __get__(self, instance: None, owner: object = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: object = None) -> Callable[..., R]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> Any:
        # What is prepared is found again by the copy's own calls.
        return name_of(self) or (Compiled, (self._function, self._check, self._fallback))

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled[P, R]:
        return Compiled(copy.deepcopy(self._function, memo), self._check, self._fallback)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        state = current_state()
        if state is not None and (state.tracer is not None or state != replace(ORDINARY, grad=state.grad)):
            # Inside another step its calls are part of that one; modes that watch want to see every operation.
            if state.tracer is None:
                self._refuse("a mode that watches every operation is on")
            return self._function(*args, **kwargs)
        if self._given_up:
            self._refuse(self._given_up)
            return self._function(*args, **kwargs)
        if not self._lock.acquire(False):
            return self._function(*args, **kwargs)  # another thread is in it, and prepared memory serves one call
        try:
            return self._followed(args, kwargs, state)  # type: ignore[no-any-return]
        finally:
            self._lock.release()

    def _followed(self, args: Any, kwargs: Any, state: State | None) -> Any:
        follower = self._follower
        setting = kernels.setting()
        root = self._roots.get(setting)
        if root is None:
            root = self._roots[setting] = Entry()
        token = _state.set(follower.begin(root, state))
        try:
            result = self._function(*args, **kwargs)
        finally:
            _state.reset(token)
            follower.end()
        self._last = follower.at
        self.reason = follower.lost
        if follower.lost:
            self._refuse(follower.lost)
            if "more than" in follower.lost:
                self._given_up, self._roots = follower.lost, {}
        elif follower.fresh or not (self.recordings or self.replays):
            self.recordings += 1
            if self.recordings - self.replays > _PATIENCE:
                self._given_up = f"each of its {self.recordings} calls took a way of its own"
                self._roots = {}
        else:
            self.replays += 1
        return result

    def _refuse(self, reason: str) -> None:
        self.eager += 1
        self.reason = reason
        message = f"autodiff.compile: {getattr(self._function, '__qualname__', 'the step')} runs eagerly: {reason}"
        if not self._fallback:
            raise CompileError(message)
        if reason not in self._warned:
            self._warned.add(reason)
            warnings.warn(message, CompileWarning, stacklevel=4)


@overload
def compile(function: Callable[P, R], *, check: bool = False, fallback: bool = True) -> Compiled[P, R]: ...
@overload
def compile(
    function: None = None, *, check: bool = False, fallback: bool = True
) -> Callable[[Callable[P, R]], Compiled[P, R]]: ...
def compile(
    function: Callable[..., Any] | None = None, *given: object, check: bool = False, fallback: bool = True
) -> Any:
    """A step that computes what it computes without, bit for bit, with NumPy's work prepared.

    Parameters
    ----------
    function : callable
        A training step (forward, backward, optimiser's step), or anything computed with Tensors.
    check : bool
        Do everything that is prepared by the engine as well, and compare to the bit: for debugging.
    fallback : bool
        Go on eagerly, with a :class:`autodiff.CompileWarning`, where a call cannot be followed; False raises a
        CompileError.

    Returns
    -------
    Compiled
        Called like ``function``. ``print(step.plan)`` shows what is prepared.

    Notes
    -----
    The step's own Python runs at every call, from its first line to its last: prints, counters, schedules, random
    numbers and exceptions are what they are without. What the step asks of the library is compared with what earlier
    calls asked for; where it is the same, prepared code does the work at that moment. See ``docs/compile.md``.

    Examples
    --------
    >>> import numpy as np, autodiff, nn, optim
    >>> model = nn.Linear(3, 1, generator=np.random.default_rng(0))
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> @autodiff.compile
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = nn.functional.mse_loss(model(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, y = np.eye(3, dtype=np.float32), np.ones((3, 1), np.float32)
    >>> losses = [step(x, y).item() for _ in range(50)]
    >>> bool(losses[-1] < 0.01 * losses[0]), step.recordings, step.replays
    (True, 1, 49)
    """
    if given:
        raise ArgumentError("compile: takes the function alone and gives one; write compile(f)(x)")
    if function is None:
        return lambda f: compile(f, check=check, fallback=fallback)
    refuse_unless_callable("compile", function)
    return Compiled(function, check, fallback)
