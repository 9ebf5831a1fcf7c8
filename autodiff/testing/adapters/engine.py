"""Any engine whose tensors have ``backward()`` and ``grad``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.testing.arguments import Arguments, alike
from autodiff.testing.problem import Problem, checked
from autodiff.testing.report import Report

__all__ = ["check_engine"]

Arrays = Sequence[Any]


def check_engine(
    f: Callable[..., object],
    *args: object,
    tensor: Callable[..., object],
    seed: int = 0,
    raises: bool = True,
    **kwargs: object,
) -> Report:
    """Check the gradients of any engine whose tensors have ``backward()`` and ``grad``: needle, minitorch, TinyTorch,
    tinygrad, one's own.

    Parameters
    ----------
    f : callable
        Takes the engine's tensors for the arrays among ``args`` and returns one.
    *args
        NumPy arrays; floating ones are differentiated with respect to.
    tensor : callable
        ``tensor(array)`` makes a tensor that asks for a gradient. Its values are read by ``numpy()``, ``to_numpy()`` or
        ``data``.
    seed : int
    raises : bool
    **kwargs
        Passed on to ``f``.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    ArgumentError
        If the result has no ``backward``, or there is nothing to differentiate with respect to.

    Examples
    --------
    >>> import autodiff
    >>> make = lambda array: autodiff.tensor(array, requires_grad=True)
    >>> check_engine(lambda x: np.exp(x) * x, np.array([0.5, 1.0]), tensor=make).verdict
    'pass'
    """
    arguments = Arguments("check_engine", args, kwargs)
    if any(dtype.kind == "c" for dtype in arguments.dtypes):
        raise ArgumentError("check_engine: an argument is complex; it checks gradients of real arrays")
    problem = lambda rng: _Engine(f, tensor, arguments, rng)
    return checked("check_engine", f, args, kwargs, problem, seed=seed, raises=raises, tensor=tensor)


class _Engine(Problem):
    """A function of somebody's tensors."""

    widens = False

    def __init__(
        self, f: Callable[..., Any], tensor: Callable[..., Any], arguments: Arguments, rng: np.random.Generator
    ) -> None:
        super().__init__(arguments, rng)
        self.f, self.tensor = f, tensor
        self.draw(self.outputs(self.base))

    def _run(self, arrays: Arrays) -> tuple[Any, list[Any]]:
        leaves: list[Any] = []

        def wrap(array: Any, number: int) -> Any:
            leaves.append(self.tensor(alike(array, array.dtype)))
            return leaves[-1]

        args, kwargs = self.arguments.call(arrays, wrap)
        out = self.f(*args, **kwargs)
        if not hasattr(out, "backward"):
            raise ArgumentError(
                f"check_engine: f returned a {type(out).__name__}, which has no backward(); it must return one tensor"
            )
        return out, leaves

    def outputs(self, arrays: Arrays) -> list[Any]:
        return [np.asarray(_values(self._run(arrays)[0]), np.float64)]

    def gradient(self, arrays: Arrays) -> list[Any]:
        out, leaves = self._run(arrays)
        # The sum of out times the cotangents is a number, which every engine can differentiate.
        total = out * self.tensor(self.cotangents[0])
        (total.sum() if np.size(self.cotangents[0]) > 1 else total).backward()
        return [None if leaf.grad is None else np.asarray(_values(leaf.grad), np.float64) for leaf in leaves]


def _values(value: Any) -> Any:
    value = value.detach() if hasattr(value, "detach") else value
    for name in ("numpy", "to_numpy"):
        if hasattr(value, name):
            return getattr(value, name)()
    return np.asarray(getattr(value, "data", value))
