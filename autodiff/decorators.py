"""Functions decorated by a mode, such as ``@no_grad()``: also coroutines and generators, whose bodies run in pieces."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from autodiff.core.modes import Mode


def _around(mode: Callable[[], Mode], function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` in a fresh mode per call and per step: one object's stack of tokens is not shared by threads."""

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
        raise TypeError(f"{function.__name__}: an asynchronous generator sets the mode in its body, by a with block")
    runs = stepping if inspect.isgeneratorfunction(function) else inside
    return wraps(function)(awaited if inspect.iscoroutinefunction(function) else runs)  # type: ignore[return-value]


Mode.around = staticmethod(_around)
