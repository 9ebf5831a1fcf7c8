"""HIPS autograd's gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.extras import require
from autodiff.testing.arguments import Arguments, ascents, outputs_of
from autodiff.testing.problem import Problem, checked
from autodiff.testing.report import Report

__all__ = ["check_autograd"]

Arrays = Sequence[Any]


def check_autograd(
    f: Callable[..., object], *args: object, order: int = 2, seed: int = 0, raises: bool = True, **kwargs: object
) -> Report:
    """Check HIPS autograd's gradient of a function written with ``autograd.numpy``, in first and second order.

    Parameters
    ----------
    f : callable
        Returns arrays, alone or in tuples and lists. May be an ``autograd.extend.primitive``.
    *args
        Floating arrays, alone or in dicts and lists, are differentiated with respect to.
    order, seed, raises, **kwargs
        As in :func:`check_torch`, and so are the errors.
    """
    autograd = require("autograd")
    arguments = Arguments("check_autograd", args, kwargs)
    problem = lambda rng: _Autograd(autograd, f, arguments, rng)
    return checked("check_autograd", f, args, kwargs, problem, order=order, seed=seed, raises=raises)


class _Autograd(Problem):
    """A function of autograd's boxes."""

    widens = False

    def __init__(self, autograd: Any, f: Callable[..., Any], arguments: Arguments, rng: np.random.Generator) -> None:
        super().__init__(arguments, rng)
        self.autograd, self.f = autograd, f
        self.draw(self.outputs(self.base))

    def _run(self, arrays: Sequence[Any]) -> list[Any]:
        args, kwargs = self.arguments.call(self.base, lambda _, number: arrays[number])
        return outputs_of(self.f(*args, **kwargs))

    def outputs(self, arrays: Arrays) -> list[Any]:
        return [o for o in map(np.asarray, self._run(self.arguments.values(arrays))) if o.dtype.kind in "fc"]

    def _total(self, arrays: Sequence[Any]) -> Any:
        import autograd.numpy as anp

        outs = [o for o in self._run(arrays) if getattr(o, "dtype", np.asarray(o).dtype).kind in "fc"]
        return sum(anp.sum(anp.real(o * u)) for o, u in zip(outs, self.cotangents, strict=True))

    def _gradient(self, values: Sequence[Any]) -> Any:
        # A gradient that does not depend on an argument is nothing to warn of.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Output seems independent of input")
            return self.autograd.grad(lambda v: self._total(v))(list(values))

    def gradient(self, arrays: Arrays) -> list[Any]:
        return ascents(self._gradient(self.arguments.values(arrays)))

    def second_gradient(self, arrays: Arrays, weights: Sequence[Any]) -> list[Any]:
        import autograd.numpy as anp

        factors = self.arguments.values(weights)

        def weighted(v: Any) -> Any:
            return sum(anp.sum(anp.real(g * w)) for g, w in zip(self._gradient(v), factors, strict=True))

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Output seems independent of input")
            return ascents(self.autograd.grad(weighted)(self.arguments.values(arrays)))
