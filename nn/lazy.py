"""Layers that learn how many features come in from their first input, as PyTorch's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.docstrings import Derived, entries, put_together, sections
from nn.functional.common import as_input
from nn.module import Module
from nn.parameter import UninitializedBuffer, UninitializedParameter, Unknown


class Lazy(Module):
    """What the lazy layers share; after the first call an object is of the ordinary class."""

    _becomes: ClassVar[type[Module]]
    _size: ClassVar[str]
    _arguments: dict[str, Any]

    def _begin(self, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        signature = inspect.signature(type(self).__init__)
        try:
            bound = signature.bind(self, *args, **options)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}() {error}") from None
        bound.apply_defaults()
        given = dict(list(bound.arguments.items())[1:])
        # Options are checked now; nothing is drawn before the shapes are known.
        trial = given | ({"generator": np.random.default_rng(0)} if "generator" in given else {})
        becomes: Any = self._becomes
        becomes.__init__(self, given.get("groups", 1), **trial)
        self.__dict__["_arguments"] = given
        setattr(self, self._size, 0)
        for name, held in self._parameters.items():
            self._parameters[name] = None if held is None else UninitializedParameter()
        for name, held in self._buffers.items():
            self._buffers[name] = UninitializedBuffer() if held is not None and held.ndim else held

    def has_uninitialized_params(self) -> bool:
        """Whether the shapes are still unknown."""
        return True

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Take the shapes from an input, as the first call does."""
        x = as_input(args[0] if args else next(iter(kwargs.values())))
        axis = self._axis(x.ndim)
        if not -x.ndim <= axis < x.ndim:
            raise ArgumentError(f"{type(self).__name__}: an input of shape {x.shape} has no axis of features")
        self._become(self._made(x.shape[axis]))

    def _axis(self, ndim: int) -> int:
        """Where the features stand."""
        axes = getattr(self, "_axes", None)
        if axes is not None:
            return -1 - int(axes)
        wanted = getattr(self, "_ndims", None)
        return -1 if wanted is None else int(ndim >= max(wanted) or ndim in wanted)

    def _made(self, size: int) -> Module:
        becomes: Any = self._becomes
        return becomes(size, **self._arguments)  # type: ignore[no-any-return]

    def _made_for(self, name: str, state: Mapping[str, Any]) -> Module | None:
        """The layer that a saved state fits, if it tells."""
        for key in ("weight", "running_mean"):
            shape = np.shape(state.get(f"{name}.{key}" if name else key, ()))
            if shape:
                transposed = getattr(self, "_transposed", None)
                size = shape[1] if len(shape) > 1 and not transposed else shape[0]
                return self._made(size * (getattr(self, "groups", 1) if transposed is False else 1))
        return None

    def _become(self, made: Module) -> None:
        """Take over what an ordinary layer holds, and its class."""
        for table in ("_parameters", "_buffers"):
            held = self.__dict__[table]
            for name, tensor in made.__dict__[table].items():
                if isinstance(held[name], Unknown):
                    held[name].materialize(tensor._array)
                elif held[name] is not None:
                    held[name]._rebind(tensor._array)
        setattr(self, self._size, getattr(made, self._size))
        del self.__dict__["_arguments"]
        object.__setattr__(self, "__class__", self._becomes)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the layer that it becomes; a call that fails leaves the layer lazy."""
        lazy, given = type(self), self._arguments
        unknown = [held for held in (*self._parameters.values(), *self._buffers.values()) if isinstance(held, Unknown)]
        kinds = [type(held) for held in unknown]
        self.initialize_parameters(*args, **kwargs)
        try:
            return self.forward(*args, **kwargs)
        except BaseException:
            for held, kind in zip(unknown, kinds, strict=True):
                held.__class__ = kind
                held.__init__()  # type: ignore[misc]
            self.__dict__["_arguments"] = given
            object.__setattr__(self, "__class__", lazy)
            setattr(self, self._size, 0)
            raise


def lazily(base: type[Module], size: str, **defaults: Any) -> type[Module]:
    """The lazy layer that becomes ``base`` once the first argument of that, ``size``, is known; with other defaults."""
    this, _, *known = inspect.signature(base.__init__).parameters.values()
    options = [p.replace(default=defaults.get(p.name, p.default)) for p in known]
    name = f"Lazy{base.__name__}"

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        self._begin(args, kwargs)

    __init__.__signature__ = inspect.Signature([this, *options])  # type: ignore[attr-defined]
    __init__.__qualname__, __init__.__module__ = f"{name}.__init__", "nn.layers"
    body = {
        "__module__": "nn.layers",
        "__doc__": Derived(lambda cls: _doc(base, size)),
        "__init__": __init__,
        "_becomes": base,
        "_size": size,
    }
    return type(name, (Lazy, base), body)


def _doc(base: type[Module], size: str) -> str:
    there = sections(base.__doc__ or next(c.__doc__ for c in base.__mro__ if c.__doc__))
    told = entries(there.get("Parameters", []))
    shared = told.get(size, [""])
    first = shared[0].replace(f"{size}, ", "").split(" :")[0]
    lines = there.get("Parameters", [])
    if first == size or not first:
        lines = [line for line in lines if line not in shared]
    else:
        lines = [line.replace(f"{size}, ", "") for line in lines]
    head = f":class:`{base.__name__}` that takes ``{size}`` from its first input, and is of that class from then on."
    return put_together({"": [head], "Parameters": lines})
