"""Module: parameters, buffers and submodules under names, and what can be done with all of them at once."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, TypeVar, overload

import numpy as np

from autodiff import Tensor
from autodiff.arguments import checked
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.core.modes import current_state
from autodiff.rows import no_gradient
from autodiff.tensor import HookHandle
from autodiff.watch import scope
from nn.parameter import Parameter

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["Module", "name_parameters"]

M = TypeVar("M", bound="Module")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result", covariant=True)


class IncompatibleKeys(NamedTuple):
    """Names that :meth:`Module.load_state_dict` found on one side alone."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class _Forwards(Protocol[Arguments, Result]):
    def forward(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result: ...


class _Unsaid(Protocol):
    forward: Callable[..., object]  # of Module itself; a method that a class defines cannot be assigned to, and differs


class _Call:
    """For type checkers: a module is called with what its ``forward`` takes, and gives what that gives. One of which
    nothing is known but that it is a Module is taken to give a Tensor.
    """

    @overload
    def __get__(self, module: _Unsaid, owner: object) -> Callable[..., Tensor]: ...
    @overload
    def __get__(self, module: _Forwards[Arguments, Result], owner: object) -> Callable[Arguments, Result]: ...
    def __get__(self, module: object, owner: object) -> object:
        raise NotImplementedError


def _both_kinds(given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    match given:
        case (tuple() as args, dict() as kwargs):
            return args, kwargs
    raise ArgumentError(
        "a forward pre-hook with_kwargs gives None or the tuple of arguments and the dict of keywords, got"
        f" {type(given).__name__}"
    )


class Module:
    """Base of every layer and network; names and behaviour as ``torch.nn.Module``.

    A subclass calls ``super().__init__()``, assigns parameters and submodules to attributes, and defines ``forward``.

    Attributes
    ----------
    training : bool
        Set by :meth:`train` and :meth:`eval`; dropout and batch normalisation read it.

    Examples
    --------
    >>> import numpy as np, nn
    >>> class Affine(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = nn.Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.scale
    >>> Affine()(np.array([3.0])).item()
    6.0
    """

    training: bool

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls) and cls.__module__.startswith("nn."):
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _forward_hooks={},
            _forward_pre_hooks={},
            _hooks_with_kwargs=set(),
            _transient=set(),
        )

    # --- attributes -------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: object) -> None:
        tables = self.__dict__
        if "_parameters" not in tables:
            raise ArgumentError(f"{type(self).__name__}: call super().__init__() before assigning {name!r}")
        if isinstance(value, Parameter):
            home = "_parameters"
        elif isinstance(value, Module):
            home = "_modules"
        else:
            home = next((table for table in _KINDS if name in tables[table]), "")
        if not home:
            if name == "requires_grad":
                raise ArgumentError(
                    f"{type(self).__name__}.requires_grad: parameters have it, a module has none; to freeze or thaw all"
                    f" of them call requires_grad_({value})"
                )
            object.__setattr__(self, name, value)  # a property's setter is asked
            return
        kind, words = _KINDS[home]
        if value is not None and not isinstance(value, kind):
            raise DTypeError(f"{type(self).__name__}.{name} is {words}, not a {type(value).__name__}")
        if home == "_modules" and value is not None:
            self._refuse_cycle(name, value)  # type: ignore[arg-type]
        if name not in tables[home]:
            self._forget(name)
            tables.pop(name, None)
        tables[home][name] = value
        if home == "_modules" and value is not None:
            self._place(name, value)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        for kind in _KINDS:
            table = self.__dict__.get(kind)
            if table is not None and name in table:
                return table[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            super().__delattr__(name)

    def _forget(self, name: str) -> bool:
        """Take what has this name out of every table; whether there was something."""
        self._transient.discard(name)
        found = [self.__dict__[table].pop(name) for table in _KINDS if name in self.__dict__[table]]
        return bool(found)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Enter a parameter, or None for one that this module could have but does not."""
        self._check_name(name, "_parameters")
        if parameter is not None and not isinstance(parameter, Parameter):
            raise DTypeError(
                f"register_parameter({name!r}): needs an nn.Parameter or None, got {type(parameter).__name__}"
            )
        self._parameters[name] = parameter

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Enter a tensor that is state but not learned; with ``persistent`` it is part of the state_dict."""
        self._check_name(name, "_buffers")
        if tensor is not None and (not isinstance(tensor, Tensor) or tensor.requires_grad):
            raise DTypeError(f"register_buffer({name!r}): needs a Tensor that requires no gradient, or None")
        self._buffers[name] = tensor
        (self._transient.discard if persistent else self._transient.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Enter a submodule."""
        self._check_name(name, "_modules")
        if module is not None and not isinstance(module, Module):
            hint = "; pass the modules one by one: (*modules)" if isinstance(module, list | tuple) else ""
            hint = "; of a function there is a module (nn.ReLU() for relu)" if callable(module) else hint
            raise DTypeError(f"add_module({name!r}): needs an nn.Module or None, got {type(module).__name__}{hint}")
        if module is not None:
            self._refuse_cycle(name, module)
        self._modules[name] = module
        if module is not None:
            self._place(name, module)

    def _refuse_cycle(self, name: str, module: Module) -> None:
        if any(inner is self for inner in module.modules()):
            raise ArgumentError(
                f"{type(self).__name__}.{name}: the module would hold itself; keep a reference to what stands above in"
                " a list or a weakref"
            )

    def _place(self, name: str, module: Module) -> None:
        """Tell a submodule its part of the module path; a container that is never called hands its own part on."""
        silent = type(self).forward is Module.forward
        module.__dict__["_scope"] = (
            f"{self.__dict__['_scope']}.{name}" if silent and "_scope" in self.__dict__ else name
        )
        if type(module).forward is Module.forward:
            for key, inner in module._modules.items():
                if inner is not None:
                    module._place(key, inner)

    register_module = add_module

    def _check_name(self, name: str, home: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(f"{type(self).__name__}: {name!r} is no name; it must be a non-empty str without a dot")
        if name not in self.__dict__[home] and hasattr(self, name):
            raise ArgumentError(f"{type(self).__name__}: the name {name!r} is taken")

    # --- calling ----------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:
        forward: Callable[..., object]
        __call__: _Call
    else:

        def forward(self, *args: object, **kwargs: object) -> object:
            """What the module computes."""
            raise NotImplementedError(f"{type(self).__name__} defines no forward")

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            if not self._forward_hooks and not self._forward_pre_hooks:
                state = current_state()
                if state is None or not state.traced:
                    try:
                        return self.forward(*args, **kwargs)
                    except Exception as error:
                        self._explain_none(error, args, kwargs)
                        raise
            with scope(self.__dict__.get("_scope", type(self).__name__)):
                for number, pre_hook in list(self._forward_pre_hooks.items()):
                    if number in self._hooks_with_kwargs:
                        changed = pre_hook(self, args, kwargs)
                        if changed is not None:
                            args, kwargs = _both_kinds(changed)
                        continue
                    changed = pre_hook(self, args)
                    if changed is not None:
                        args = changed if isinstance(changed, tuple) else (changed,)
                out = self.forward(*args, **kwargs)
                for number, hook in list(self._forward_hooks.items()):
                    given = (args, kwargs) if number in self._hooks_with_kwargs else (args,)
                    changed = hook(self, *given, out)
                    if changed is not None:
                        out = changed
            return out

    def _explain_none(self, error: Exception, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """A clearer error where a layer of ours failed at a None that it takes no argument for."""
        if type(self).__module__.startswith("nn.") and any(v is None for v in (*args, *kwargs.values())):
            taken = inspect.signature(self.forward)
            for name, value in taken.bind_partial(*args, **kwargs).arguments.items():
                if value is None and taken.parameters[name].default is not None:
                    raise ArgumentError(
                        f"{type(self).__name__}: {name} is None; does the function that computed it return its result?"
                    ) from error

    def _hooked(self, table: dict[int, Any], hook: Callable[..., object], prepend: bool, kwargs: bool) -> HookHandle:
        handle = HookHandle(table, hook, prepend)
        if kwargs:
            self._hooks_with_kwargs.add(handle._number)
        return handle

    def register_forward_hook(
        self, hook: Callable[..., object], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Run ``hook(module, args, output)`` after every forward, before the other hooks with ``prepend``; a result
        that is not None replaces the output. ``with_kwargs`` makes it ``hook(module, args, kwargs, output)``.

        Examples
        --------
        >>> import nn
        >>> net = nn.Identity()
        >>> with net.register_forward_hook(lambda module, args, output: output * 2):
        ...     print(net(3))
        6
        >>> net(3)
        3
        """
        return self._hooked(self._forward_hooks, hook, prepend, with_kwargs)

    def register_forward_pre_hook(
        self, hook: Callable[..., object], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Run ``hook(module, args)`` before every forward, before the other hooks with ``prepend``; a result that is
        not None replaces the arguments. ``with_kwargs`` makes it ``hook(module, args, kwargs)``, which gives back both.
        """
        return self._hooked(self._forward_pre_hooks, hook, prepend, with_kwargs)

    # --- walking ----------------------------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all below it with dotted names; one held under two comes once, under its first, unless asked
        otherwise.
        """
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if remove_duplicate and id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            below = [
                (f"{name}.{key}" if name else key, child) for key, child in module._modules.items() if child is not None
            ]
            stack.extend(reversed(below))

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names; one held twice comes once."""
        seen: set[int] = set()
        for name, child in self._modules.items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        return (child for _, child in self.named_children())

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; this one for ``""``.

        Raises
        ------
        AttributeError
            If there is none; the message names the part of the path that failed.
        """
        module: Any = self
        for name in filter(None, target.split(".")):
            below = module._modules.get(name)
            if below is None:
                raise AttributeError(
                    f"{type(module).__name__} has no submodule {name!r}, asked for by {target!r}; it has"
                    f" {list(module._modules)}"
                )
            module = below
        return module  # type: ignore[no-any-return]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path; AttributeError if there is none."""
        return self._at("_parameters", target)  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path; AttributeError if there is none."""
        return self._at("_buffers", target)  # type: ignore[no-any-return]

    def _at(self, table: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = module.__dict__[table].get(name)
        if found is None:
            raise AttributeError(
                f"{type(module).__name__} has no {table[1:-1]} {name!r}; it has {list(module.__dict__[table])}"
            )
        return found

    def _named(self, table: str, prefix: str, recurse: bool, repeats: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix, not repeats) if recurse else [(prefix, self)]:
            for key, tensor in module.__dict__[table].items():
                if tensor is not None and (repeats or id(tensor) not in seen):
                    seen.add(id(tensor))
                    yield (f"{path}.{key}" if path else key), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names; one that modules share comes once, under its first name, unless asked
        otherwise.
        """
        return self._named("_parameters", prefix, recurse, repeats=not remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, shared ones once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with dotted names."""
        return self._named("_buffers", prefix, recurse, repeats=not remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def apply(self: M, function: Callable[[Module], object]) -> M:
        """Call ``function`` on every submodule, each after those below it and in their order, then on this module."""
        if not callable(function):
            raise ArgumentError(f"apply: takes a function of a module, got {type(function).__name__}")
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    # --- modes ------------------------------------------------------------------------------------------------------

    def train(self: M, mode: bool = True) -> M:
        """Training behaviour for this module and all below it."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train(mode): mode is a bool, got {type(mode).__name__}")
        for module in self.modules():
            module.__dict__["training"] = mode
        return self

    def eval(self: M) -> M:
        """Evaluation behaviour for this module and all below it."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze or thaw all parameters."""
        parameters = list(self.parameters())
        for parameter in parameters if not requires_grad else ():
            _ = parameter._data  # a lazy layer, which has none yet, is refused before anything is frozen
        for parameter in parameters:
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or make them zero."""
        for parameter in self.parameters():
            parameter.grad = None if set_to_none or parameter.grad is None else no_gradient(parameter.grad)

    def to(self: M, dtype: DTypeLike) -> M:
        """All floating-point parameters and buffers in another floating-point dtype; gradients are forgotten."""
        if str(dtype).startswith("cpu"):
            return self
        if str(dtype).partition(":")[0] in ("cuda", "mps", "xpu", "gpu", "tpu"):
            raise ArgumentError(f"to({str(dtype)!r}): modules live on the CPU, as NumPy's arrays do; leave it out")
        try:
            wanted = np.dtype(dtype)
        except TypeError as error:
            raise DTypeError(f"to({dtype!r}): {dtype!r} is not a dtype") from error
        if wanted.kind != "f":
            raise DTypeError(f"to(dtype): needs a floating-point dtype, got {wanted}")
        for module in self.modules():
            if "_arguments" in module.__dict__:  # of a lazy layer, which has no arrays yet
                module._arguments["dtype"] = wanted
                continue
            for tensor in itertools.chain(module._parameters.values(), module._buffers.values()):
                if tensor is not None and tensor.dtype.kind == "f":
                    tensor._rebind(tensor._array.astype(wanted))
        return self

    def cpu(self: M) -> M:
        """The module itself: it lives on the CPU."""
        return self

    def cuda(self: M, device: object = None) -> M:
        """Refused: modules live on the CPU."""
        return self.to("cuda")

    def float(self: M) -> M:
        """``to(numpy.float32)``."""
        return self.to(np.float32)

    def double(self: M) -> M:
        """``to(numpy.float64)``."""
        return self.to(np.float64)

    # --- state ------------------------------------------------------------------------------------------------------

    def _state(self, instead: Mapping[int, Module] = MappingProxyType({})) -> Iterator[tuple[str, Tensor]]:
        # A module held under two names is listed under both, as in PyTorch.
        for path, held in self.named_modules(remove_duplicate=False):
            module = instead.get(id(held), held)
            for key, tensor in itertools.chain(module._parameters.items(), module._buffers.items()):
                if tensor is not None and key not in module._transient:
                    yield (f"{path}.{key}" if path else key), tensor

    def state_dict(self, *, prefix: str = "") -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all parameters and persistent buffers by dotted name, behind ``prefix``, as arrays; PyTorch's
        keys.
        """
        return {prefix + name: tensor._array.copy() for name, tensor in self._state()}

    def load_state_dict(self, state_dict: Mapping[str, object], strict: bool = True) -> IncompatibleKeys:
        """Take over parameters and buffers.

        Parameters
        ----------
        state_dict : mapping of str to array_like, Tensor, or anything NumPy can read
        strict : bool
            Refuse missing and unexpected names.

        Returns
        -------
        (missing_keys, unexpected_keys)
            A named tuple of names, both empty when ``strict``.

        Raises
        ------
        ArgumentError
            If names are missing or unexpected.
        ShapeError, DTypeError
            If an entry does not fit; it is named, and the module is left as it was.
        """
        if not isinstance(state_dict, Mapping):
            raise ArgumentError(
                f"load_state_dict: takes what state_dict() gives, got a {type(state_dict).__name__}; for a file write"
                " nn.load(module, path)"
            )
        # Layers that do not know their shapes yet are held beside those that would fit, until everything is checked.
        lazy = [(m, m._made_for(path, state_dict)) for path, m in self.named_modules() if hasattr(m, "_made_for")]
        fitting = {id(m): made for m, made in lazy if made is not None}
        own = dict(self._state(fitting))
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        if strict and (missing or unexpected):
            raise ArgumentError(
                f"load_state_dict: missing {missing or 'nothing'}, unexpected {unexpected or 'nothing'}; pass"
                " strict=False to ignore them"
            )
        ready: list[tuple[Tensor, np.ndarray[Any, Any]]] = []
        for name, tensor in own.items():
            if name not in state_dict:
                continue
            value = state_dict[name]
            try:
                if isinstance(value, Tensor):
                    value = value._array
                elif hasattr(value, "detach"):
                    value = value.detach().cpu().numpy()  # a PyTorch tensor
                array = np.array(value)
            except Exception as error:
                raise DTypeError(f"load_state_dict: {name!r} is a {type(value).__name__}, which is no array") from error
            if array.shape != tensor.shape:
                raise ShapeError(f"load_state_dict: {name!r} has shape {array.shape}, the module's has {tensor.shape}")
            if array.dtype.kind not in "biufc" or (array.dtype.kind == "c" and tensor.dtype.kind != "c"):
                raise DTypeError(f"load_state_dict: {name!r} has dtype {array.dtype}, the module's has {tensor.dtype}")
            ready.append((tensor, array.astype(tensor.dtype, copy=False)))
        for tensor, array in ready:
            tensor._rebind(array)
        for module, made in lazy:
            if made is not None:
                module._become(made)
        return IncompatibleKeys(missing, unexpected)

    # --- showing ----------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's line."""
        return ""

    def __repr__(self) -> str:
        if not self._modules:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = []
        for name, child in self._modules.items():
            first, *rest = repr(child).split("\n")
            lines += [f"  ({name}): {first}", *("  " + line for line in rest)]
        return "\n".join([f"{type(self).__name__}({self.extra_repr()}", *lines, ")"])

    def _computed(self) -> Iterator[Any]:
        """The hooks that compute a weight anew before every call (:mod:`nn.utils.reparameterization`)."""
        return (hook for hook in self.__dict__.get("_forward_pre_hooks", {}).values() if hasattr(hook, "compute"))

    def __getstate__(self) -> dict[str, object]:
        """What a copy or a pickle takes along: not a computed weight, whose graph stays here."""
        gone = {hook.name for hook in self._computed()}
        return {name: value for name, value in self.__dict__.items() if name not in gone}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        for hook in self._computed():
            hook.compute(self)


#: What each table of a module holds.
_KINDS: dict[str, tuple[type, str]] = {
    "_parameters": (Parameter, "a parameter; assign an nn.Parameter, or its .data"),
    "_buffers": (Tensor, "a buffer; assign a Tensor or None"),
    "_modules": (Module, "a submodule; assign an nn.Module or None"),
}


def name_parameters(module: Module) -> None:
    """Give every parameter without a name its dotted path, which pictures and messages then show."""
    for name, parameter in module.named_parameters():
        if parameter.name is None:
            parameter.name = name
