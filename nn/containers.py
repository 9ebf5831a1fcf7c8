"""Modules made of modules."""

from __future__ import annotations

import itertools
import math
import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import TYPE_CHECKING, Any, ClassVar, Generic, SupportsIndex, TypeVar, overload

from autodiff import Tensor
from autodiff.arguments import whole
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

V = TypeVar("V")  # what is held
G = TypeVar("G")  # what is given, and held as a V
C = TypeVar("C", bound="_List[Any, Any]")
T = TypeVar("T")
_CALL = Module.__call__


class _Container(Module, Generic[V, G]):
    """Modules or parameters under names."""

    #: The table of a module that holds them.
    _kept_in: ClassVar[str] = "_modules"

    def _taken(self, value: G) -> V:
        """A value as this holds it."""
        return value  # type: ignore[return-value]

    def _enter(self, name: str, value: G) -> None:
        """Enter a value under a name that is new."""
        self.add_module(name, value)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(_held(self))


class _OfParameters(_Container[Parameter, "ArrayLike"]):
    """What the containers of parameters have in common: a Tensor or an array becomes one."""

    _kept_in = "_parameters"

    def _taken(self, value: ArrayLike) -> Parameter:
        return value if isinstance(value, Parameter) else Parameter(value)

    def _enter(self, name: str, value: ArrayLike) -> None:
        self.register_parameter(name, self._taken(value))

    def __repr__(self) -> str:
        lines = [f"  ({name}): Parameter of shape {p.shape}, {p.dtype}" for name, p in self._parameters.items()]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"]) if lines else f"{type(self).__name__}()"


def _held(container: _Container[V, Any]) -> dict[str, V]:
    return container.__dict__[container._kept_in]  # type: ignore[no-any-return]


class _List(_Container[V, G]):
    """Modules or parameters under the names "0", "1", ..., as in Python's list."""

    def _at_place(self, index: Any) -> int:
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"{type(self).__name__} of {len(self)} {self._kept_in[1:]} has no index {place}")
        return place % len(self)

    def _rename(self, values: Iterable[V]) -> None:
        """Number the values anew, after one was put in or taken out."""
        held = list(values)
        _held(self).clear()
        for number, value in enumerate(held):
            self._enter(str(number), value)  # type: ignore[arg-type]

    def extend(self: C, values: Iterable[Any]) -> C:
        """Add several at the end."""
        raise NotImplementedError

    def pop(self, index: int = -1) -> V:
        """Take one out."""
        held = list(self)
        taken = held.pop(self._at_place(index))
        self._rename(held)
        return taken

    def __iter__(self) -> Iterator[V]:
        return iter(_held(self).values())

    def __contains__(self, value: object) -> bool:
        return any(held is value for held in self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> V: ...
    @overload
    def __getitem__(self: C, index: slice) -> C: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if isinstance(index, slice):
            return self._like(list(_held(self).items())[index])
        return list(self)[self._at_place(index)]

    def _like(self, items: list[tuple[str, Any]]) -> Any:
        raise NotImplementedError

    def __setitem__(self, index: int, value: G) -> None:
        setattr(self, list(_held(self))[self._at_place(index)], self._taken(value))

    def __delitem__(self, index: int | slice) -> None:
        names = list(_held(self))
        gone = set(names[index]) if isinstance(index, slice) else {names[self._at_place(index)]}
        self._rename([value for name, value in _held(self).items() if name not in gone])

    def _append(self: C, value: G) -> C:
        """Enter a value at the end, under the first number that is not taken: a slice keeps the names that it had."""
        self._enter(str(next(number for number in itertools.count(len(self)) if str(number) not in _held(self))), value)
        return self

    def __add__(self: C, other: Iterable[Any]) -> C:
        joined: C = self._like([(str(number), value) for number, value in enumerate(self)])
        return joined.extend(other)

    def __iadd__(self: C, other: Iterable[Any]) -> C:
        return self.extend(other)


class _Dict(_Container[V, G]):
    """Modules or parameters under names of one's own, as in Python's dict."""

    def __setitem__(self, name: str, value: G) -> None:
        if name in _held(self):
            setattr(self, name, self._taken(value))
        else:
            self._enter(name, value)

    def __getitem__(self, name: str) -> V:
        return _held(self)[name]

    def __delitem__(self, name: str) -> None:
        del _held(self)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_held(self))

    def __contains__(self, name: object) -> bool:
        return name in _held(self)

    @overload
    def get(self, name: str) -> V | None: ...
    @overload
    def get(self, name: str, default: T) -> V | T: ...
    def get(self, name: str, default: object = None) -> object:
        """What stands under this name, or ``default``."""
        return _held(self).get(name, default)  # type: ignore[arg-type]

    def keys(self) -> KeysView[str]:
        """The names."""
        return _held(self).keys()

    def values(self) -> ValuesView[V]:
        """What stands under them."""
        return _held(self).values()

    def items(self) -> ItemsView[str, V]:
        """The names with what stands under them."""
        return _held(self).items()

    def pop(self, name: str) -> V:
        """Take one out."""
        return _held(self).pop(name)

    def clear(self) -> None:
        """Take all out."""
        _held(self).clear()


class _Chain(_List[Module, Module]):
    """What Sequential and ModuleList share."""

    def _taken(self, value: Module) -> Module:
        if not isinstance(value, Module):
            raise DTypeError(f"{type(self).__name__}: needs an nn.Module, got {type(value).__name__}")
        return value

    def append(self: C, module: Module) -> C:
        """Add a module at the end."""
        return self._append(module)

    def extend(self: C, modules: Iterable[Module]) -> C:
        """Add several modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self: C, index: int, module: Module) -> C:
        """Put a module before the one at ``index``."""
        held = list(self)
        held.insert(index, self._taken(module))
        self._refuse_cycle(str(index), module)
        self._rename(held)
        return self


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


class ModuleDict(_Dict[Module, Module]):
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


class ParameterList(_OfParameters, _List[Parameter, "ArrayLike"]):
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

    def append(self, value: ArrayLike) -> ParameterList:
        """Add a parameter at the end."""
        return self._append(value)

    def extend(self, values: Iterable[ArrayLike]) -> ParameterList:
        """Add several parameters at the end."""
        for value in list(values):
            self.append(value)
        return self

    def _like(self, items: list[tuple[str, Any]]) -> ParameterList:
        return ParameterList(parameter for _, parameter in items)


class ParameterDict(_OfParameters, _Dict[Parameter, "ArrayLike"]):
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


class Flatten(Module):
    """Axes ``start_dim`` to ``end_dim`` as one.

    Examples
    --------
    >>> Flatten()(np.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

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
        sizes = tuple(unflattened_size) if isinstance(unflattened_size, Sequence) else (unflattened_size,)
        if not all(map(whole, sizes)) or sizes.count(-1) > 1 or min(sizes, default=0) < -1:
            raise ArgumentError(f"Unflatten: sizes are integers >= 0 but for one -1, got {unflattened_size!r}")
        self.unflattened_size = sizes

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
