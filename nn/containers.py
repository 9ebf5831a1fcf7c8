"""Modules made of modules."""

from __future__ import annotations

import math
import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.core.modes import current_state
from autodiff.ops.shaping import one_axis
from nn.module import Module
from nn.parameter import Parameter

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike

__all__ = [
    "Flatten",
    "Identity",
    "ModuleDict",
    "ModuleList",
    "ParameterDict",
    "ParameterList",
    "Residual",
    "Sequential",
    "Unflatten",
]

C = TypeVar("C", bound="_Chain")
T = TypeVar("T")
_CALL = Module.__call__


class _Chain(Module):
    """Modules under the names "0", "1", ...: what Sequential and ModuleList share with Python's list."""

    def _at_place(self, index: Any) -> int:
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"{type(self).__name__} of {len(self)} modules has no index {place}")
        return place % len(self)

    def _rename(self, modules: Iterable[Any]) -> None:
        """Number the modules anew, after one was put in or taken out."""
        held = list(modules)
        self._modules.clear()
        for name, module in enumerate(held):
            self.add_module(str(name), module)

    def append(self: C, module: Module) -> C:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: C, modules: Iterable[Module]) -> C:
        """Add several modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self: C, index: int, module: Module) -> C:
        """Put a module before the one at ``index``."""
        if not isinstance(module, Module):
            raise DTypeError(f"{type(self).__name__}.insert: needs an nn.Module, got {type(module).__name__}")
        held = list(self)
        held.insert(index, module)
        self._rename(held)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take a module out."""
        held = list(self)
        module: Module = held.pop(self._at_place(index))
        self._rename(held)
        return module

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(held is module for held in self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Module: ...
    @overload
    def __getitem__(self: C, index: slice) -> C: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Module:
        if isinstance(index, slice):
            return self._like(list(self._modules.items())[index])  # type: ignore[no-any-return]
        return list(self._modules.values())[self._at_place(index)]  # type: ignore[no-any-return]

    def _like(self, items: list[tuple[str, Any]]) -> Any:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        if not isinstance(module, Module):
            raise DTypeError(f"{type(self).__name__}: needs an nn.Module, got {type(module).__name__}")
        setattr(self, list(self._modules)[self._at_place(index)], module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        gone = set(names[index]) if isinstance(index, slice) else {names[self._at_place(index)]}
        self._rename([module for name, module in self._modules.items() if name not in gone])

    def __add__(self: C, other: Iterable[Module]) -> C:
        joined: C = self[:]
        return joined.extend(other)

    def __iadd__(self: C, other: Iterable[Module]) -> C:
        return self.extend(other)


class Sequential(_Chain):
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

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        named = (
            modules[0].items()
            if len(modules) == 1 and isinstance(modules[0], OrderedDict | dict)
            else enumerate(modules)
        )
        for name, module in named:
            self.add_module(str(name), module)  # type: ignore[arg-type]

    def forward(self, input: ArrayLike) -> Tensor:
        """Each module's output is the next one's input."""
        state = current_state()
        ordinary = state is None or not state.traced
        try:
            for module in self._modules.values():
                # What calling a module without hooks comes to; through its __call__ it takes more than twice as long
                # (0.1 us against 0.3).
                if (
                    ordinary
                    and module.__class__.__call__ is _CALL
                    and not module._forward_hooks
                    and not module._forward_pre_hooks
                ):
                    input = module.forward(input)
                else:
                    input = module(input)
        except Exception as error:
            if input is None:
                raise ArgumentError(
                    f"Sequential: {type(module).__name__} was given None; does what stands before it return its result?"
                ) from error
            raise
        return input  # type: ignore[return-value]

    def _like(self, items: list[tuple[str, Any]]) -> Sequential:
        return Sequential(OrderedDict(items))


class ModuleList(_Chain):
    """A list of modules whose parameters are found.

    Parameters
    ----------
    modules : iterable of Module, optional

    Examples
    --------
    >>> import nn
    >>> layers = ModuleList(nn.Linear(2, 2) for _ in range(3))
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _like(self, items: list[tuple[str, Any]]) -> ModuleList:
        return ModuleList(module for _, module in items)


class ModuleDict(Module):
    """A dict of modules whose parameters are found; order is that of insertion.

    Parameters
    ----------
    modules : mapping or iterable of (str, Module), optional

    Examples
    --------
    >>> import nn
    >>> heads = ModuleDict({"class": nn.Linear(4, 3), "box": nn.Linear(4, 2)})
    >>> sorted(heads.state_dict())
    ['box.bias', 'box.weight', 'class.bias', 'class.weight']
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Enter the modules of a mapping or of (name, module) pairs, over those of the same names."""
        for name, module in list(modules.items() if hasattr(modules, "items") else modules):
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        if name in self._modules:
            setattr(self, name, module)
        else:
            self.add_module(name, module)

    def __getitem__(self, name: str) -> Module:
        return self._modules[name]  # type: ignore[no-any-return]

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()  # type: ignore[no-any-return]

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._modules.values()  # type: ignore[no-any-return]

    def items(self) -> ItemsView[str, Module]:
        """The names with their modules."""
        return self._modules.items()  # type: ignore[no-any-return]

    def pop(self, name: str) -> Module:
        """Take a module out."""
        return self._modules.pop(name)  # type: ignore[no-any-return]

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()


class ParameterList(Module):
    """A list of parameters that are found; a Tensor or an array becomes a Parameter.

    Parameters
    ----------
    values : iterable of Parameter or array_like, optional

    Examples
    --------
    >>> weights = ParameterList([np.ones(2), np.ones((2, 2))])
    >>> len(weights), sorted(weights.state_dict())
    (2, ['0', '1'])
    """

    def __init__(self, values: Iterable[ArrayLike] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def _place_of(self, index: Any) -> str:
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"ParameterList of {len(self)} parameters has no index {place}")
        return str(place % len(self))

    def append(self, value: ArrayLike) -> ParameterList:
        """Add a parameter at the end."""
        self.register_parameter(str(len(self)), _as_parameter(value))
        return self

    def extend(self, values: Iterable[ArrayLike]) -> ParameterList:
        """Add several parameters at the end."""
        for value in list(values):
            self.append(value)
        return self

    def pop(self, index: int = -1) -> Parameter:
        """Take a parameter out."""
        held = list(self)
        taken = held.pop(int(self._place_of(index)))
        self._parameters.clear()
        self.extend(held)
        return taken

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._parameters.values())

    @overload
    def __getitem__(self, index: SupportsIndex) -> Parameter: ...
    @overload
    def __getitem__(self, index: slice) -> ParameterList: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Parameter | ParameterList:
        if isinstance(index, slice):
            return ParameterList(list(self)[index])
        return self._parameters[self._place_of(index)]  # type: ignore[no-any-return]

    def __setitem__(self, index: int, value: object) -> None:
        setattr(self, self._place_of(index), _as_parameter(value))

    def __iadd__(self, values: Iterable[ArrayLike]) -> ParameterList:
        return self.extend(values)

    def __repr__(self) -> str:
        return _listed(self, self._parameters)


class ParameterDict(Module):
    """A dict of parameters that are found; a Tensor or an array becomes a Parameter.

    The order is that of insertion; of a plain dict that of the sorted names, as in PyTorch.

    Parameters
    ----------
    parameters : mapping or iterable of (str, Parameter or array_like), optional

    Examples
    --------
    >>> scales = ParameterDict({"left": np.ones(2), "right": np.ones(3)})
    >>> scales["right"].shape, [name for name, _ in scales.named_parameters()]
    ((3,), ['left', 'right'])
    """

    def __init__(self, parameters: Mapping[str, object] | Iterable[tuple[str, object]] | None = None) -> None:
        super().__init__()
        if parameters is not None:
            self.update(parameters)

    def update(self, parameters: Mapping[str, object] | Iterable[tuple[str, object]]) -> None:
        """Enter the parameters of a mapping or of (name, parameter) pairs, over those of the same names."""
        pairs = list(parameters.items() if hasattr(parameters, "items") else parameters)
        for name, value in sorted(pairs, key=operator.itemgetter(0)) if type(parameters) is dict else pairs:
            self[name] = value

    def __setitem__(self, name: str, value: object) -> None:
        if name in self._parameters:
            setattr(self, name, _as_parameter(value))
        else:
            self.register_parameter(name, _as_parameter(value))

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]  # type: ignore[no-any-return]

    def __delitem__(self, name: str) -> None:
        del self._parameters[name]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    @overload
    def get(self, name: str) -> Parameter | None: ...
    @overload
    def get(self, name: str, default: T) -> Parameter | T: ...
    def get(self, name: str, default: object = None) -> object:
        """The parameter of this name, or ``default``."""
        return self._parameters.get(name, default)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._parameters.keys()  # type: ignore[no-any-return]

    def values(self) -> ValuesView[Parameter]:
        """The parameters."""
        return self._parameters.values()  # type: ignore[no-any-return]

    def items(self) -> ItemsView[str, Parameter]:
        """The names with their parameters."""
        return self._parameters.items()  # type: ignore[no-any-return]

    def pop(self, name: str) -> Parameter:
        """Take a parameter out."""
        return self._parameters.pop(name)  # type: ignore[no-any-return]

    def clear(self) -> None:
        """Take all parameters out."""
        self._parameters.clear()

    def __repr__(self) -> str:
        return _listed(self, self._parameters)


def _as_parameter(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


def _listed(module: Module, parameters: dict[str, Any]) -> str:
    lines = [f"  ({name}): Parameter of shape {p.shape}, {p.dtype}" for name, p in parameters.items()]
    return "\n".join([f"{type(module).__name__}(", *lines, ")"]) if lines else f"{type(module).__name__}()"


class Flatten(Module):
    """Axes ``start_dim`` to ``end_dim`` as one.

    Examples
    --------
    >>> Flatten()(np.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: ArrayLike) -> Tensor:
        """(N, ...) -> (N, product) with the defaults."""
        x = input if isinstance(input, Tensor) else Tensor(input)
        return one_axis(x, self.start_dim, self.end_dim)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis ``dim`` as several of ``unflattened_size``, of which one may be -1.

    Examples
    --------
    >>> Unflatten(1, (3, -1))(np.ones((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)
        if self.unflattened_size.count(-1) > 1 or any(n < -1 for n in self.unflattened_size):
            raise ArgumentError(f"Unflatten: sizes are not negative but for one -1, got {self.unflattened_size}")

    def forward(self, input: ArrayLike) -> Tensor:
        """``(..., product, ...)`` to ``(..., *unflattened_size, ...)``."""
        x = input if isinstance(input, Tensor) else Tensor(input)
        if not -x.ndim <= self.dim < x.ndim:
            raise ShapeError(f"Unflatten: axis {self.dim} of an input of shape {x.shape}")
        dim, sizes = self.dim % x.ndim, list(self.unflattened_size)
        known = math.prod(n for n in sizes if n != -1)
        if -1 in sizes and known and not x.shape[dim] % known:
            sizes[sizes.index(-1)] = x.shape[dim] // known
        if -1 in sizes or math.prod(sizes) != x.shape[dim]:
            raise ShapeError(
                f"Unflatten: axis {dim} of an input of shape {x.shape} cannot become {self.unflattened_size}"
            )
        return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])

    def extra_repr(self) -> str:
        """The axis and its parts."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """Its input, whatever the module that it stands in for was given on making."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    def forward(self, input: T) -> T:
        """The input itself."""
        return input


class Residual(Module):
    """``x + module(x)``.

    Examples
    --------
    >>> Residual(Identity())(np.array([1.0, 2.0]))
    tensor([2., 4.])
    """

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, input: ArrayLike) -> Tensor:
        """The module must keep the shape."""
        x = input if isinstance(input, Tensor) else Tensor(input)
        return self.module(x) + x
