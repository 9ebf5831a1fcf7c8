"""What the library's decorators give in the place of a function: functions in a mode, such as those of ``@no_grad()``,
also coroutines and generators, whose bodies run in pieces; and functions made by a transform, which can be pickled.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial, reduce, update_wrapper, wraps
from types import MethodType
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


def name_of(made: Any) -> str | None:
    """The name under which its module holds ``made`` itself, as that of a decorated function does; pickle takes it."""
    name = getattr(made, "__qualname__", None)
    if not isinstance(name, str):
        return None
    step: Callable[[Any, str], Any] = lambda place, part: getattr(place, part, None)
    return name if reduce(step, name.split("."), sys.modules.get(made.__module__)) is made else None


class Made:
    """A function that ``maker`` makes of ``function``; it is pickled by its name, or else by what it is made of."""

    def __init__(self, call: Callable[..., Any], maker: Callable[..., Any], function: Any, **options: Any) -> None:
        update_wrapper(self, function)
        self._call = call
        self._recipe = partial(maker, function, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        function = self._recipe.args[0]
        return f"autodiff.{self._recipe.func.__name__}({getattr(function, '__qualname__', function)})"

    def __reduce__(self) -> Any:
        return name_of(self) or (self._recipe, ())
