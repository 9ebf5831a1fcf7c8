"""Arguments of the wrong kind, told by the annotations: an ``int`` is no text and no 2.5, a ``float`` is no list, and
neither is True.

Python's annotations bind nobody, so ``Linear("3", 2)`` fails somewhere inside with a message of Python's, and
``fit(epochs=1.5)`` means something that nobody asked for. What is annotated is checked where it is given.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

from autodiff.core.errors import ArgumentError

F = TypeVar("F", bound=Callable[..., Any])

_WORDS = {"int": "an integer", "float": "a number", "bool": "True or False"}
_AT_ONCE = {"int": int, "float": float, "bool": bool}


def whole(value: Any) -> bool:
    """Whether this is an integer, Python's or NumPy's, which True is not."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def refuse_unless_positive(option: str, value: Any) -> None:
    """Refuse what is no integer above 0."""
    if not whole(value) or value < 1:
        raise ArgumentError(f"{option} must be a positive int, got {value!r}")


def refuse_negative(option: str, value: Any) -> None:
    """Refuse a number below 0, and NaN."""
    if not value >= 0:
        raise ArgumentError(f"{option} must not be negative, got {value}")


def refuse_unless_callable(owner: str, value: Any, makes: bool = True) -> None:
    """Refuse what is no function; the message says how what ``makes`` a function of one is called."""
    if not callable(value):
        how = f"; write {owner}(f)(x), not {owner}(f(x))" if makes else ""
        raise ArgumentError(f"{owner}: takes a function, got {type(value).__name__}{how}")


def refuse_other(owner: str, option: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Refuse what is none of the values that an option may have."""
    if value not in allowed:
        raise ArgumentError(f"{owner}: {option} must be one of {allowed}, got {value!r}")


def _fits(kind: str, value: Any) -> bool:
    if kind == "bool":
        return not isinstance(value, str | bytes)
    if kind == "float" and not isinstance(value, bool):
        return hasattr(value, "__float__") or hasattr(value, "__index__")
    return whole(value)


def refuse_wrong(owner: str, given: Iterable[tuple[str, Any]], annotations: dict[str, Any]) -> None:
    """Raise an ArgumentError for the first argument that is not of the kind that its annotation names.

    Parameters
    ----------
    owner : str
        Whose arguments they are, for the message.
    given : iterable of (str, object)
        Names and values.
    annotations : dict
        As text; ``int``, ``float``, ``bool`` and these with ``| None`` are looked at, all others pass.

    Examples
    --------
    >>> refuse_wrong("Linear", [("in_features", 2.5)], {"in_features": "int"})
    Traceback (most recent call last):
    autodiff.ArgumentError: Linear: in_features must be an integer, got 2.5
    """
    for name, value in given:
        kind, _, rest = str(annotations.get(name, "")).partition(" | ")
        if kind not in _WORDS or rest not in ("", "None") or value.__class__ is _AT_ONCE[kind]:
            continue
        if (rest and value is None) or _fits(kind, value):
            continue
        shown = repr(value) if isinstance(value, str | float | bool) else f"a {type(value).__name__}"
        raise ArgumentError(f"{owner}: {name} must be {_WORDS[kind]}{', or None' if rest else ''}, got {shown[:80]}")


def checked(function: F) -> F:
    """A function or ``__init__`` whose arguments are looked at by :func:`refuse_wrong` first."""
    code, annotations = function.__code__, function.__annotations__
    names = code.co_varnames[: code.co_argcount]
    if not any(str(kind).partition(" | ")[0] in _WORDS for name, kind in annotations.items() if name != "return"):
        return function

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        owner = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
        refuse_wrong(owner, [*zip(names, args, strict=False), *kwargs.items()], annotations)
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]
