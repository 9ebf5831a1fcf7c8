"""What a wrong gradient is made of, so that every checker can be given the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Case", "SecondCase"]


@dataclass(frozen=True)
class Case:
    """A gradient that is wrong in first order.

    Attributes
    ----------
    name, source : str
        What is wrong, and where such a mistake happened or happens.
    forward : callable
        ``forward(*inputs) -> out``, plain NumPy.
    backward : callable
        ``backward(g, *inputs) -> gradients``, one per input.
    inputs : tuple of ndarray
    """

    name: str
    source: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: tuple[Any, ...]


@dataclass(frozen=True)
class SecondCase:
    """A gradient of one array that is right in first and wrong in second order.

    Attributes
    ----------
    name, source : str
    forward : callable
        ``forward(x) -> out``.
    first : callable
        ``first(g, x) -> dx``: the right gradient.
    second : callable
        ``second(u, g, x) -> (dg, dx)``: the wrong gradient of ``sum(u * first(g, x))`` with respect to ``g`` and ``x``.
    x : ndarray
    """

    name: str
    source: str
    forward: Callable[..., Any]
    first: Callable[..., Any]
    second: Callable[..., Any]
    x: Any
