"""What a task offers to the protocol: named functions, each with how its input is read and its output is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Function", "floats", "plain"]


@dataclass(frozen=True)
class Function:
    """One function of a task.

    Parameters
    ----------
    read : callable
        Makes the arguments of ``run`` out of the message's input. It is not timed.
    run : callable
        The work that is timed.
    write : callable
        Makes JSON's types out of the result. It is not timed.
    """

    read: Callable[[Any], tuple[Any, ...]]
    run: Callable[..., Any]
    write: Callable[[Any], Any]


def plain(value: Any) -> Any:
    """A result as JSON's types: arrays become lists, dictionaries keep their keys."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return np.asarray(getattr(value, "data", value)).tolist()


def floats(value: Any) -> np.ndarray:
    """Nested lists as a float64 array."""
    return np.asarray(value, dtype=np.float64)
