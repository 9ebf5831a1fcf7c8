"""From NumPy's callables to ours: one table that every ``np.f(tensor)`` is looked up in.

Each callable that NumPy lists as overridable is *differentiable* (mapped to a function of ours), *constant* (its
derivative is zero wherever it exists: comparisons, rounding, shape queries; it runs on the bare arrays), or *refused*
with advice. A callable in none of the three is refused as well, so a new NumPy release can turn a test red but never a
gradient wrong.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from autodiff.core.errors import NotDifferentiableError
from autodiff.core.modes import current_state
from autodiff.core.op import differentiable as differentiable
from autodiff.core.op import registry
from autodiff.watch import scope

F = TypeVar("F", bound=Callable[..., object])

#: NumPy callables with a zero derivative, run on bare arrays.
constant_functions: set[Any] = set()
#: NumPy callable -> what to use instead.
advice: dict[Any, str] = {}
#: (ufunc, method name) -> our function, for ``np.add.reduce`` and its kin.
ufunc_methods: dict[tuple[Any, str], Callable[..., Any]] = {}
#: What ``ufunc.at`` ("at"), ``out=`` ("into") and a ufunc with ``where=`` or ``dtype=`` ("keywords") go through.
special: dict[str, Callable[..., Any]] = {}


#: (test, register): called once when a ufunc that nobody knows passes the test, for rules of packages that may be
#: absent.
late: list[tuple[Callable[[Any], bool], Callable[[], None]]] = []


def implements(*callables: Callable[..., object]) -> Callable[[F], F]:
    """Decorator: this function is what the given NumPy callables do to tensors."""

    def register(function: F) -> F:
        for callable_ in callables:
            differentiable[callable_] = function
        return function

    return register


def bare(value: Any) -> Any:
    """Tensors replaced by their arrays, also inside lists, tuples and dictionaries."""
    if hasattr(value, "_node"):
        return value._array
    if isinstance(value, (list, tuple)):
        items = [bare(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items()}
    return value


def holds_tensor(nested: Any) -> bool:
    """Whether a list or tuple holds a Tensor anywhere; with an explicit stack, as lists may nest deep."""
    left: list[Any] = [nested] if isinstance(nested, list | tuple) else []
    while left:
        for item in left.pop():
            if hasattr(item, "_node"):
                return True
            if isinstance(item, list | tuple):
                left.append(item)
    return False


def _name(callable_: Any) -> str:
    module = getattr(callable_, "__module__", None) or "numpy"
    name = getattr(callable_, "__name__", repr(callable_))
    return f"{'np' if module == 'numpy' else module.replace('numpy', 'np')}.{name}"


def _tracked(values: Iterable[Any]) -> bool:
    for value in values:
        if getattr(value, "_node", None) is not None:
            return True
        if isinstance(value, (list, tuple)) and _tracked(value):
            return True
        if isinstance(value, dict) and _tracked(value.values()):
            return True
    return False


def classify(callable_: Any) -> tuple[str, str]:
    """What calling a NumPy callable on a tensor that requires a gradient does.

    Returns
    -------
    (kind, words)
        ``"differentiable"``, ``"constant"`` or ``"refused"`` with the advice; ``"unknown"`` if nobody has decided.
    """
    if callable_ in differentiable:
        return "differentiable", ""
    if callable_ in constant_functions:
        return "constant", "its derivative is zero wherever it exists"
    if callable_ in advice:
        return "refused", advice[callable_]
    if (getattr(callable_, "__module__", "") or "").startswith("numpy.polynomial"):
        return "refused", "use np.polyval, or np.vander times the coefficients"
    if _is_about_text(callable_):
        return "refused", "it works on text"
    return "unknown", ""


def _is_about_text(callable_: Any) -> bool:
    if isinstance(callable_, np.ufunc):
        # No loop over numbers: text, or not even that.
        return not any(code in "efdgFDGlqiO" for types in callable_.types for code in types.partition("->")[0])
    return (getattr(callable_, "__module__", "") or "").startswith(("numpy.strings", "numpy.char"))


def _unknown(callable_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], wrapped: Callable[[Any], Any]) -> Any:
    """A callable that is not differentiable: fine on constants, refused where it would cut a graph."""
    if _tracked((*args, *kwargs.values())):
        hint = classify(callable_)[1] or (
            "write it with differentiable operations, define it with autodiff.extend.Primitive, or use .data where no"
            " gradient is wanted"
        )
        raise NotDifferentiableError(f"{_name(callable_)} has no gradient here: {hint}")
    return wrapped(callable_(*bare(args), **bare(kwargs)))


@functools.cache
def _parameters(function: Any) -> list[str]:
    """The names of a function's positional parameters, as far as they are known."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return _parameters(differentiable[function]) if function in differentiable else []
    return [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


@functools.cache
def _renamed(function: Any) -> dict[str, str]:
    """What NumPy calls a function's parameters, and we call otherwise."""
    ours = _parameters(differentiable[function])
    pairs = zip(_parameters(function), ours, strict=False)
    return {name: own for name, own in pairs if name not in ours}


def call_ufunc(
    wrapped: Callable[[Any], Any], ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``Tensor.__array_ufunc__``: run ``ufunc`` on inputs of which one at least is a Tensor."""
    function = differentiable.get(ufunc)
    if function is None and ufunc not in constant_functions:
        for test, register in late:
            if test(ufunc):
                register()
        function = differentiable.get(ufunc)
    if function is not None and method == "__call__" and not kwargs:
        return function(*inputs)
    if method == "at":
        return special["at"](ufunc, *inputs)
    if "out" in kwargs:
        outs = kwargs.pop("out")
        if all(out is None for out in outs):
            return call_ufunc(wrapped, ufunc, method, inputs, kwargs)
        return _into_outs(wrapped, ufunc, method, inputs, kwargs, outs)
    if method == "__call__":
        if ufunc in differentiable:
            return special["keywords"](ufunc, inputs, kwargs)
    else:
        function = ufunc_methods.get((ufunc, method))
        if function is not None:
            return function(*inputs, **kwargs)
    called = ufunc if method == "__call__" else getattr(ufunc, method)
    if ufunc in constant_functions:
        return wrapped(called(*bare(inputs), **bare(kwargs)))
    if method != "__call__" and _tracked(inputs):
        raise NotDifferentiableError(
            f"{_name(ufunc)}.{method} has no gradient here; use the NumPy function of that meaning (np.sum, np.cumsum,"
            " np.prod, ...)"
        )
    return _unknown(called, inputs, kwargs, wrapped)


def _into_outs(
    wrapped: Callable[[Any], Any], ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any], outs: Any
) -> Any:
    """A ufunc with ``out=``: the result, written into it."""
    name = _name(ufunc) if method == "__call__" else f"{_name(ufunc)}.{method}"
    if method == "__call__" and ufunc in differentiable and len(outs) == 1:
        return special["keywords"](ufunc, inputs, {**kwargs, "out": outs})
    if method == "__call__" and kwargs.get("where", True) is not True:
        raise NotDifferentiableError(f"{name}(..., where=, out=): use np.where(mask, {name}(...), out)")
    result = call_ufunc(wrapped, ufunc, method, inputs, kwargs)
    results = result if isinstance(result, tuple) else (result,)
    written = tuple(
        made if out is None else special["into"](name, out, made) for out, made in zip(outs, results, strict=True)
    )
    return written if isinstance(result, tuple) else written[0]


def call_function(wrapped: Callable[[Any], Any], function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``Tensor.__array_function__``: run a NumPy function on arguments of which one at least is a Tensor."""
    ours = differentiable.get(function)
    names = _parameters(function)
    place = names.index("out") if "out" in names else len(args)
    if "out" in kwargs or place < len(args):
        kwargs = {**kwargs, **dict(zip(names[place:], args[place:], strict=False))}
        out, args = kwargs.pop("out"), args[:place]
        if out is not None:
            if function in (np.concatenate, np.stack) and _shares(out, args):
                raise NotDifferentiableError(
                    f"{_name(function)}(..., out=) that overlaps what is joined: NumPy writes part by part; join first,"
                    " then write t[...] = joined"
                )
            return special["into"](_name(function), out, call_function(wrapped, function, args, kwargs))
    if ours is not None:
        if kwargs:
            own = _renamed(function)
            kwargs = {own.get(key, key): value for key, value in kwargs.items() if value is not np._NoValue}
        state = current_state()
        if state is not None and state.tracer is not None:
            ours = state.tracer.own(ours)
        if state is not None and state.traced and function.__name__ not in registry:
            # A picture shows what NumPy's function is made of in a frame of its name.
            with scope(f"{function.__name__}()"):
                return ours(*args, **kwargs)
        return ours(*args, **kwargs)
    if function in constant_functions:
        return wrapped(function(*bare(args), **bare(kwargs)))
    return _unknown(function, args, kwargs, wrapped)


def _shares(out: Any, values: Any) -> bool:
    """Whether a Tensor or array may share memory with one in a list."""
    if isinstance(values, list | tuple):
        return any(_shares(out, value) for value in values)
    return isinstance(bare(values), np.ndarray) and np.may_share_memory(bare(out), bare(values))


def differentiable_of(module: str) -> dict[str, Any]:
    """The differentiable functions of one of NumPy's submodules, by name; every operation has been registered by then.

    Examples
    --------
    >>> "inv" in differentiable_of("numpy.linalg")
    True
    """
    return {f.__name__: ours for f, ours in differentiable.items() if getattr(f, "__module__", None) == module}
