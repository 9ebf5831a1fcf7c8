"""Modules made of modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from autodiff import Tensor
from nn.module import Module

__all__ = ["Flatten", "Identity", "ModuleList", "Residual", "Sequential"]


class Sequential(Module):
    """Modules one after the other.

    Parameters
    ----------
    *modules : Module, or one OrderedDict of names to modules

    Examples
    --------
    >>> import nn
    >>> net = Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> len(net), net[1]
    (3, ReLU())
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = modules[0].items() if len(modules) == 1 and isinstance(modules[0], OrderedDict | dict) else enumerate(modules)
        for name, module in named:
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        """Each module's output is the next one's input."""
        for module in self._modules.values():
            input = module(input)
        return input

    def append(self, module: Module) -> Sequential:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> Any:
        items = list(self._modules.items())[index]
        return Sequential(OrderedDict(items)) if isinstance(items, list) else items[1]


class ModuleList(Module):
    """A list of modules whose parameters are found."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int) -> Module:
        module: Module = list(self._modules.values())[index]
        return module


class Flatten(Module):
    """Axes ``start_dim`` to ``end_dim`` as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Any) -> Tensor:
        """(N, ...) -> (N, product) with the defaults."""
        x = input if isinstance(input, Tensor) else Tensor(input)
        start, end = self.start_dim % max(x.ndim, 1), self.end_dim % max(x.ndim, 1)
        size = 1
        for n in x.shape[start : end + 1]:
            size *= n
        return x.reshape(*x.shape[:start], size, *x.shape[end + 1 :])


class Identity(Module):
    """Its input."""

    def forward(self, input: Any) -> Any:
        """The input itself."""
        return input


class Residual(Module):
    """``x + module(x)``."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, input: Any) -> Any:
        """The module must keep the shape."""
        return self.module(input) + input
