"""A layer that only calls a function: its class is a name, a function and the options as fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from autodiff import Tensor
from nn.module import Module

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike

__all__ = ["FunctionLayer"]


@dataclass_transform(eq_default=False)
class FunctionLayer(Module):
    """Base of the layers without parameters: a function of :mod:`nn.functional`, and its options as attributes.

    A subclass names the function and lists the options; the signature and ``repr`` follow. What it computes, and the
    shapes it takes, is told by the function.

    Examples
    --------
    >>> class Scale(FunctionLayer):
    ...     _function = staticmethod(lambda x, factor: factor * x)
    ...     factor: float = 2.0
    >>> Scale(3.0), Scale()(1.5)
    (Scale(factor=3.0), 3.0)
    """

    _function: ClassVar[Callable[..., Any]]
    _options: ClassVar[tuple[inspect.Parameter, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        fields = [name for name in vars(cls).get("__annotations__", {}) if not name.startswith("_")]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        empty = inspect.Parameter.empty
        cls._options += tuple(inspect.Parameter(name, kind, default=vars(cls).get(name, empty)) for name in fields)
        if "__init__" not in vars(cls):
            cls.__init__ = _init_of(cls)  # type: ignore[method-assign]

    def forward(self, input: ArrayLike) -> Tensor:
        """What the function gives for ``input`` and the options."""
        return type(self)._function(input, *(getattr(self, option.name) for option in self._options))  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """The options."""
        return ", ".join(f"{option.name}={getattr(self, option.name)!r}" for option in self._options)


def _init_of(cls: type[FunctionLayer]) -> Any:
    """The ``__init__`` that a table of options stands for."""
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.Signature([this, *cls._options])

    def __init__(*args: Any, **kwargs: Any) -> None:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}() {error}") from None
        bound.apply_defaults()
        values = dict(bound.arguments)
        layer = values.pop("self")
        Module.__init__(layer)
        for name, value in values.items():
            setattr(layer, name, value)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    __init__.__module__ = cls.__module__
    return __init__
