"""What has a gradient of its own in a module: PyTorch's functions, ``custom_vjp``, primitives, pairs, classes that hold
both passes, losses.

The command checks what it finds in one module; the coverage gate asks for a case of all that it finds in a project.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from autodiff.testing import course
from autodiff.testing.adapters import check_autograd, check_jax, check_pair, check_torch
from autodiff.testing.adapters.pair import passes_of
from autodiff.testing.check import check_gradients

__all__ = ["Found", "found_in", "found_under"]


@dataclass(frozen=True)
class Found:
    """One thing with a gradient."""

    name: str
    #: By any of which a case may name it.
    names: frozenset[str]
    #: ``check_torch`` and so on, and what it is given before the inputs.
    checker: Callable[..., Any]
    functions: tuple[Any, ...]
    #: None where none are known; then there are guesses, by the names of the function and of its parameters.
    inputs: list[Any] | None
    guesses: list[Any] = field(default_factory=list)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """All that the checker is given."""
        inputs = self.inputs or []
        return (*self.functions, inputs) if self.checker is check_pair else (*self.functions, *inputs)

    def check(self) -> Any:
        """Check it in first order."""
        options: dict[str, Any] = {"name": self.name} if self.checker is check_pair else {"order": 1}
        return self.checker(*self.arguments, **options)


def found_in(module: ModuleType) -> Iterator[Found]:
    """What a module itself defines; its inputs are those that ``gradcase_inputs()`` of the function returns, or for the
    layers of courses those that their names ask for.

    Examples
    --------
    >>> import types
    >>> module = types.ModuleType("layers")
    >>> exec("def relu_forward(x): return x * (x > 0), x", vars(module))
    >>> exec("def relu_backward(dout, x): return dout * (x > 0)", vars(module))
    >>> [found.name for found in found_in(module)]
    ['relu_backward']
    """
    for value in list(vars(module).values()):
        checker = _checker(value)
        if checker is not None and getattr(value, "__module__", None) == module.__name__:
            name = str(value.__name__)
            yield Found(name, frozenset({name}), checker, (value,), _inputs(value))
    for kind in _operations(module):
        with contextlib.suppress(Exception):
            # A class whose instances need arguments is left to check_pair and check_layer.
            own = isinstance(inspect.getattr_static(kind, "forward", None), staticmethod | classmethod)
            op = kind if own else kind()
            if not any(isinstance(value, np.ndarray) for value in getattr(op, "__dict__", {}).values()):
                passes = passes_of(kind.__name__, op, None)
                guesses = [course.sample_inputs("", passes[0]), course.matrices(passes[0])]
                yield _found(kind.__name__, {kind.__name__}, passes, _inputs(kind), guesses)
    for name, forward, backward in course.pairs(module):
        if getattr(forward, "__module__", None) != module.__name__:
            continue
        names = {name, *(str(getattr(f, "__name__", name)) for f in (forward, backward) if f is not None)}
        guesses = [course.sample_inputs(name, forward), course.sample_inputs("", forward)]
        yield _found(name, names, (forward, backward), _inputs(forward), guesses)


def _found(name: str, names: set[str], functions: tuple[Any, ...], inputs: Any, guesses: list[Any]) -> Found:
    guesses = [list(guess) for guess in guesses if guess is not None and inputs is None]
    inputs = guesses[0] if guesses else inputs
    return Found(name, frozenset(names), check_pair, functions, inputs, guesses)


def found_under(folder: Path) -> dict[str, Found]:
    """What the loaded modules define whose files lie in a folder, by name; not what is installed there."""
    found = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(module, ModuleType) and file and folder in Path(file).parents and "site-packages" not in file:
            # A function called <name>_loss need not return its gradients.
            found.update({item.name: item for item in found_in(module) if None not in item.functions})
    return found


def _operations(module: ModuleType) -> list[Any]:
    """The classes of a module that hold both passes, less those that others of its classes are made of."""
    own = [v for v in vars(module).values() if inspect.isclass(v) and v.__module__ == module.__name__]
    bases = {base for kind in own for base in kind.__mro__[1:]}
    both = (("forward", "backward"), ("compute", "gradient"))
    return [
        kind
        for kind in own
        if kind not in bases
        and _checker(kind) is None
        and not hasattr(kind, "named_parameters")
        and any(callable(getattr(kind, a, None)) and callable(getattr(kind, b, None)) for a, b in both)
    ]


def _checker(value: Any) -> Callable[..., Any] | None:
    """Whose gradient it is, if it has one of its own."""
    torch = sys.modules.get("torch")
    if inspect.isclass(value):
        function = getattr(getattr(torch, "autograd", None), "Function", None)
        return check_torch if function is not None and issubclass(value, function) else None
    if getattr(value, "_is_autograd_primitive", False):
        return check_autograd
    if callable(value) and (hasattr(value, "defvjp") or hasattr(value, "defjvp")):
        return check_jax if type(value).__module__.partition(".")[0] == "jax" else check_gradients
    return None


def _inputs(function: Any) -> list[Any] | None:
    make = getattr(function, "gradcase_inputs", None)
    return list(make()) if make is not None else None
