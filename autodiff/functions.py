"""The public function of an operation: it has the forward's signature and documentation, and applies the operation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from autodiff.core import op as core
from autodiff.core.backward import Unbatchable
from autodiff.core.errors import NotDifferentiableError
from autodiff.core.modes import current_state

F = TypeVar("F", bound=Callable[..., Any])


def named(function: F, name: str, words: str) -> F:
    """A function that another one made, under a name of its own and with a docstring."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = words
    return function


def constant_argument(name: str, argument: str, value: Any) -> Any:
    """An argument that has no gradient: of a Tensor its array, anything else as it is.

    Raises
    ------
    NotDifferentiableError
        If a gradient with respect to it is wanted.
    Unbatchable
        If it differs from lane to lane of a vmap, which then runs them one at a time.
    """
    if not hasattr(value, "_node"):
        return value
    state = current_state()
    if value._node is not None and (state is None or state.grad):
        raise NotDifferentiableError(
            f"{name} has no gradient with respect to its argument {argument!r}; pass that argument through"
            " autodiff.constant(...)"
        )
    if value._node is None and state is not None and core.above.level([value]) is not None:
        raise Unbatchable
    return value._data


def public(op: Any, call: Callable[[Any, Any], Any], name: str = "function") -> Callable[..., Any]:
    """A function with the forward's signature, that does ``call(inputs, attrs)``."""
    function = (core.above.function or _bound)(op, call, name)
    function.__name__ = function.__qualname__ = op.name
    source = getattr(op, "composed", op.forward)
    named = not isinstance(source, np.ufunc) and getattr(source, "__name__", "<lambda>") != "<lambda>"
    places = (("numpy", np), ("numpy.linalg", np.linalg), ("numpy.fft", np.fft))
    home = next((place for place, module in places if hasattr(module, op.name)), "")
    function.__module__ = home.replace("numpy", "autodiff") or "autodiff"  # where pickle finds it
    title = f"{home}.{op.name}" if home else op.name
    function.__doc__ = (named and source.__doc__) or (
        f"Differentiable ``{title}``: a Tensor out; the gradient's formula is the rule of"
        f" ``autodiff.registry[{op.name!r}]``."
    )
    function.__signature__ = inspect.Signature(op.parameters)
    function.__autodiff__ = op
    return function  # type: ignore[no-any-return]


def _bound(op: Any, call: Callable[[Any, Any], Any], name: str) -> Any:
    """The public function where nothing is written out for the operation."""
    signature = inspect.Signature(op.parameters)

    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{op.name}() {error}") from None
        given.apply_defaults()
        values = given.arguments
        inputs = values[op.inputs[0]] if op.variadic else [values[name] for name in op.inputs]
        options = {name: value for name, value in values.items() if name not in op.inputs}
        return call(inputs, {name: constant_argument(op.name, name, value) for name, value in options.items()})

    return function


def _define(op: Any) -> None:
    """Give an operation ``function``, and a fused one ``with_residuals``: what its forward left, beside the result."""
    op.function = public(op, partial(core.apply, op))
    if not op.fused:
        return

    def with_residuals(inputs: Any, attrs: Any) -> Any:
        box: list[Any] = []
        out = core.apply(op, inputs, attrs, box)
        if not box:  # the composed definition has none
            arrays = [getattr(core.coerce(op, i, value), "_data", value) for i, value in enumerate(inputs)]
            box.append(op.run(arrays, attrs)[1])
        return out, box[0]

    op.with_residuals = public(op, with_residuals, "with_residuals")


core.above.define, core.above.constant = _define, constant_argument
