"""What has a gradient of its own in a module: PyTorch's functions, ``custom_vjp``, primitives, pairs, losses.

The command checks what it finds in one module; the coverage gate asks for a case of all that it finds in a project.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from autodiff.testing import course
from autodiff.testing.adapters import check_autograd, check_jax, check_pair, check_torch
from autodiff.testing.check import check_gradients

__all__ = ["Found", "found_in", "found_under"]


@dataclass(frozen=True)
class Found:
    """One thing with a gradient.

    Attributes
    ----------
    name : str
    names : frozenset of str
        By any of which a case may name it.
    checker : callable
        ``check_torch`` and so on.
    functions : tuple
        What the checker is given before the inputs.
    inputs : list or None
        None where none are known.
    guessed : bool
        Whether the inputs are guessed from the names of the parameters.
    """

    name: str
    names: frozenset[str]
    checker: Callable[..., Any]
    functions: tuple[Any, ...]
    inputs: list[Any] | None
    guessed: bool = False

    @property
    def arguments(self) -> tuple[Any, ...]:
        """All that the checker is given."""
        inputs = self.inputs or []
        return (*self.functions, inputs) if self.checker is check_pair else (*self.functions, *inputs)

    def check(self) -> Any:
        """Check it in first order."""
        return self.checker(*self.arguments, **({} if self.checker is check_pair else {"order": 1}))


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
    for name, forward, backward in course.pairs(module):
        if getattr(forward, "__module__", None) != module.__name__:
            continue
        names = {name, *(str(getattr(f, "__name__", name)) for f in (forward, backward) if f is not None)}
        inputs = _inputs(forward)
        guess = course.sample_inputs(name, forward) if inputs is None else inputs
        yield Found(name, frozenset(names), check_pair, (forward, backward), guess, inputs is None)


def found_under(folder: Path) -> dict[str, Found]:
    """What the loaded modules define whose files lie in a folder, by name; not what is installed there."""
    found = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(module, ModuleType) and file and folder in Path(file).parents and "site-packages" not in file:
            # A function called <name>_loss need not return its gradients.
            found.update({item.name: item for item in found_in(module) if None not in item.functions})
    return found


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
