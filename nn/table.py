"""A layer that only calls a function: a name, a function of :mod:`nn.functional`, and its options as attributes.

Everything else follows from the function: the signature, ``forward``, ``repr``, the docstring and its example.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

import numpy as np

from autodiff import Tensor
from autodiff.arguments import refuse_wrong
from autodiff.core.errors import ArgumentError
from autodiff.docstrings import Derived, described, entries, moved, put_together, sections
from nn.module import Module

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike

__all__ = ["FunctionLayer"]

_BOTH = inspect.Parameter.POSITIONAL_OR_KEYWORD
_REDUCTIONS = ("mean", "sum", "none")
_MADE = "{name} is made of its options and then called: {name}()(input, ...)"


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
    _shown: ClassVar[tuple[str, ...] | None] = None
    _reductions: ClassVar[tuple[str, ...]] = _REDUCTIONS
    _ready: ClassVar[Callable[[str, dict[str, Any]], None] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        fields = [name for name in vars(cls).get("__annotations__", {}) if not name.startswith("_")]
        if "_options" not in vars(cls):
            empty = inspect.Parameter.empty
            cls._options += tuple(inspect.Parameter(n, _BOTH, default=vars(cls).get(n, empty)) for n in fields)
        if "__init__" not in vars(cls):
            cls.__init__ = _init_of(cls)  # type: ignore[method-assign]

    def forward(self, input: ArrayLike) -> Tensor:
        """What the function gives for ``input`` and the options."""
        return type(self)._function(input, *(getattr(self, option.name) for option in self._options))  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """The options, less weights."""
        names = [o.name for o in self._options if not o.name.endswith("weight")] if self._shown is None else self._shown
        names = [name for name in dict.fromkeys([*names, "inplace"]) if name != "inplace" or getattr(self, name, False)]
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)


def _init_of(cls: type[FunctionLayer]) -> Any:
    """The ``__init__`` that a table of options stands for."""
    this = inspect.Parameter("self", _BOTH)
    signature = inspect.Signature([this, *cls._options])

    def __init__(*args: Any, **kwargs: Any) -> None:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            if any(isinstance(value, Tensor | np.ndarray) for value in args[1:]):
                raise ArgumentError(_MADE.format(name=cls.__name__)) from None
            raise TypeError(f"{cls.__name__}() {error}") from None
        bound.apply_defaults()
        values = dict(bound.arguments)
        layer = values.pop("self")
        Module.__init__(layer)
        _check(layer, values)
        for name, value in values.items():
            if name in ("weight", "pos_weight"):
                held = value if value is None or isinstance(value, Tensor) else Tensor(np.asarray(value))
                layer.register_buffer(name, held)
            else:
                setattr(layer, name, value)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    __init__.__module__ = cls.__module__
    return __init__


def _check(layer: FunctionLayer, values: dict[str, Any]) -> None:
    """Refuse options that no call could take; bring the others into the form in which they are kept."""
    name = type(layer).__name__
    if any(getattr(value, "requires_grad", False) for value in values.values()):
        raise ArgumentError(_MADE.format(name=name))
    if "reduction" in values and values["reduction"] not in layer._reductions:
        raise ArgumentError(f"{name}: reduction must be one of {layer._reductions}, got {values['reduction']!r}")
    refuse_wrong(name, values.items(), {option.name: option.annotation for option in layer._options})
    ready = type(layer)._ready
    if ready is not None:
        ready(name, values)


#: PyTorch's option of activations and dropout, by name alone where ours have others of their own.
_IN_PLACE = inspect.Parameter("inplace", _BOTH, default=False, annotation="bool")


def _over(input: Any, result: Tensor) -> Any:
    """The result, written over the input."""
    if not isinstance(input, Tensor | np.ndarray):
        raise ArgumentError(f"inplace=True writes over the input, a Tensor; got {type(input).__name__}")
    input[...] = result
    return input


def layer(
    name: str,
    function: Callable[..., Any],
    inputs: str = "input",
    options: str | None = None,
    *,
    call: Callable[..., Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    shown: str | None = None,
    keyword_only: bool = False,
    doc: str | None = None,
    module: str = "nn.layers",
    in_place: bool = False,
    **more: Any,
) -> type[FunctionLayer]:
    """The layer that calls a function.

    Parameters
    ----------
    name : str
    function : callable
        Of :mod:`nn.functional`; its parameters' defaults and docs are the layer's.
    inputs : str
        Names of what a call takes.
    options : str, optional
        Names of the options in their order; default all others. ``training`` is always the layer's own.
    call : callable, optional
        What is called instead, to the same effect.
    fixed : dict, optional
        Arguments that no option changes.
    shown : str, optional
        The options that ``repr`` shows; default all.
    keyword_only : bool
        Whether options are given by name alone.
    doc : str, optional
        The first sentence; default the function's.
    module : str
        Where the class stands.
    in_place : bool
        Whether there is PyTorch's option ``inplace``.
    **more
        Further entries of the class, such as ``_reductions`` and ``_ready``.

    Examples
    --------
    >>> layer("Scale", lambda x, factor=2.0: factor * x, "x")(3.0)
    Scale(factor=3.0)
    """
    there, given = inspect.signature(function).parameters, fixed or {}
    taken = inputs.split()
    left = [n for n in there if n not in taken and n != "training"] if options is None else options.split()
    kind = inspect.Parameter.KEYWORD_ONLY if keyword_only else _BOTH
    trained = {"training": "self.training"} if "training" in there else {}
    passed = {n: f"self.{n}" for n in left} | trained | {n: f"fixed[{n!r}]" for n in given}
    # Written out: a call of a layer costs what the function costs, and one more.
    head = ", ".join(f"{n}={there[n].default!r}" if there[n].default is not there[n].empty else n for n in taken)
    scope: dict[str, Any] = {"__name__": __name__, "function": call or function, "fixed": given}
    first = [n for n, other in zip(taken, there, strict=False) if n == other]
    passed |= {n: n for n in taken if n not in first}
    arguments = ", ".join([*first, *(f"{n}={value}" for n, value in passed.items())])
    call_ = f"function({arguments})"
    if in_place:
        scope["over"], call_ = _over, f"over({taken[0]}, {call_}) if self.inplace else {call_}"
    exec(compile(f"def forward(self, {head}):\n    return {call_}", __file__, "exec"), scope)
    forward = scope["forward"]
    forward.__doc__ = "What the function gives for the options."
    forward.__qualname__, forward.__module__ = f"{name}.forward", module
    shaped = tuple(there[n].replace(kind=kind) for n in left)
    if in_place:
        alone = "generator" in left
        shaped += (_IN_PLACE.replace(kind=inspect.Parameter.KEYWORD_ONLY) if alone else _IN_PLACE,)
    body = {
        "__module__": module,
        "__qualname__": name,
        "__doc__": Derived(lambda cls: _doc(cls, function, taken, left, given, doc)),
        "_function": staticmethod(function),
        "_options": shaped,
        **({"inplace": False} if in_place else {}),
        "_shown": None if shown is None else tuple(shown.split()),
        "forward": forward,
        **more,
    }
    return type(name, (FunctionLayer,), body)


_WRITES = ["inplace : bool", "    Write the result over the input, as PyTorch does; no memory is saved."]


def _doc(
    cls: type, function: Callable[..., Any], inputs: list[str], options: list[str], fixed: Any, doc: str | None
) -> str:
    """A layer's docs, from its function's."""
    there = sections(function.__doc__)
    told = entries(there.get("Parameters", []))
    parameters = inspect.signature(function).parameters
    kinds = {n: str(parameters[n].annotation).replace("Any", "array_like") for n in options}
    takes = described(inputs, told, dict.fromkeys(inputs, "array_like or Tensor"))
    name = f"{function.__module__.rpartition('.')[0]}.{function.__name__}"
    call = f"``{cls.__name__}({', '.join(options)})({', '.join(inputs)})``"
    parts = {
        "": [*([doc] if doc else there[""]), "", f"{call}, the module of :func:`{name}`, takes", "", *_listed(takes)],
        "Parameters": [*described(options, told, kinds), *(_WRITES if hasattr(cls, "inplace") else [])],
        "Raises": there.get("Raises", []),
    }
    if not fixed and not doc:
        parts["Examples"] = _examples(cls.__name__, function, inputs, options, there.get("Examples", []))
    return put_together(parts)


def _listed(lines: list[str]) -> list[str]:
    """Entries of a section as a list."""
    return [f"- {line}" if not line.startswith(" ") else f"  {line.strip()}" for line in lines if line]


def _examples(
    name: str, function: Callable[..., Any], inputs: list[str], options: list[str], lines: list[str]
) -> list[str]:
    """A function's examples as calls of its layer; none if one gives what the layer does not take."""
    signature = inspect.signature(function)

    def call(node: ast.Call) -> ast.expr:
        bound = signature.bind(*node.args, **{str(k.arg): k.value for k in node.keywords}).arguments
        trained: Any = bound.pop("training", None)
        if not set(bound) <= {*inputs, *options}:
            raise LookupError(name)
        made: ast.expr = ast.Call(ast.Name(name), [], [ast.keyword(n, bound[n]) for n in options if n in bound])
        if "training" in signature.parameters:
            mode = trained.value if trained is not None else signature.parameters["training"].default
            made = made if mode else ast.Call(ast.Attribute(made, "eval"), [], [])
        first = [bound[n] for n in inputs if n in bound]
        return ast.Call(made, first, [])

    try:
        return moved(lines, function.__name__, call, sys.modules[function.__module__.rpartition(".")[0]])
    except (LookupError, SyntaxError, AttributeError):
        return []
