"""What an operation is, and what applying one means.

Two kinds. A :class:`Primitive` is a NumPy forward with one gradient rule per argument, ``rule(g, out, *inputs,
**attrs)``, in plain NumPy. A :class:`Fused` is three functions: the composed definition (the truth), a fast forward, a
hand-derived backward. Making either registers it, maps the NumPy callable to it, and builds ``.function``, the public
function.

What applying an operation means is stated by :func:`record`: run its forward on bare arrays, and leave a node behind
where an input asks for a gradient. The public function is code written out for this one operation by
:mod:`autodiff.fast.codegen`; to :func:`record` goes every unusual case (composed definitions, anomaly detection,
recording for pictures, steps under autodiff.compile).
"""

from __future__ import annotations

import inspect
import linecache
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any

import numpy as np

from autodiff import views
from autodiff.core.backward import Pending, ShapeOnly, pick, pull_elementary, pull_fused, wrap
from autodiff.core.bytecode import SHAPE, USED, reads
from autodiff.core.errors import (
    AnomalyError,
    ArgumentError,
    AutodiffError,
    DTypeError,
    NotDifferentiableError,
    ShapeError,
)
from autodiff.core.graph import GeneralNode, Node
from autodiff.core.modes import State, current_state
from autodiff.core.zeros import keeping_all_zeros, keeping_zeros

__all__ = [
    "FLOAT_SCALARS",
    "PYTHON_NUMBERS",
    "Fused",
    "Primitive",
    "argument",
    "arrayed",
    "coerce",
    "differentiable",
    "explain",
    "leave",
    "note_constants",
    "note_view",
    "noted",
    "record",
    "registry",
]

#: Every operation by name: what the laws, the tables and the command line iterate over.
registry: dict[str, Primitive | Fused] = {}

#: NumPy callable -> our function with the same signature.
differentiable: dict[Any, Callable[..., Any]] = {}

#: What makes an operation's public function, and what more is made of it: bound by autodiff.fast, which stands above.
specialise: list[Callable[[Any], None]] = []

#: (which level is the innermost of these inputs, apply an operation at it): bound by core.forward, which stands above.
on_levels: list[Callable[..., Any]] = []

#: Python's own numbers are weak: they take the dtype of the array that they meet (NEP 50).
PYTHON_NUMBERS = frozenset({bool, int, float, complex})
FLOAT_SCALARS = frozenset(
    {np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128, np.clongdouble}
)

_PACKAGE = str(Path(__file__).parents[1])


# --- elementary ------------------------------------------------------------------------------------------------------


#: What an operation's derivatives are held to that states nothing else (tests/test_range.py).
_ULPS = (8.0, 8.0, 32.0)


class Primitive:
    """An elementary operation: a NumPy forward and one gradient rule per array input.

    Parameters
    ----------
    name : str
        NumPy's name for it.
    forward : callable
        ``forward(*inputs, **attrs)`` on bare arrays. Its first ``len(rules)`` parameters are the array inputs, the rest
        are attributes. May return a tuple of arrays.
    *rules : callable or None
        One per array input: ``rule(g, out, *inputs, **attrs)`` returns the gradient with respect to that input, given
        the gradient ``g`` of the output. Plain NumPy: it is called with arrays, or with Tensors when its own derivative
        is wanted. It need not sum over broadcast axes nor care for the dtype. It returns a new array, ``g`` or a view
        of ``g``. None for an input without a gradient, such as indices.
    numpy : callable or sequence of callables, optional
        The NumPy callables that this implements; ``forward`` itself if it is a ufunc.
    variadic : bool
        The inputs are one sequence of any length; the single rule is ``rule(i, g, out, *inputs, **attrs)``.
    domain : (float, float) or sequence of pairs
        Open interval from which tests draw each input.
    kinks : sequence of float
        Points without a derivative, from which tests keep away. For two inputs: values of ``x - y``.
    sample : callable, optional
        ``sample(draw) -> (args, kwargs)``: one random valid call, for operations that are not elementwise.
    label : str, optional
        Shown in pictures.
    pointwise : bool, optional
        Whether each output element depends on one element of each input, as for every ufunc. Then a cotangent of zero
        gives zero, whatever the derivative (:mod:`autodiff.core.zeros`).
    real_only : bool
        It refuses complex numbers; found out by itself for ufuncs.
    ulps : (float, float, float)
        How far the first, second and third derivative may be off, in units in the last place, over the whole range.
    edges : sequence of float
        Inputs at which the laws look besides those that they look at for every operation: ties, poles, thresholds.
    operator : str, optional
        For a ufunc: the Python expression in ``a`` (and ``b``) that computes the same and is quicker to call.
    linear : {"jointly", "each"}, optional
        The operation is linear in all its inputs that have a rule taken together, or in each of them alone: its tangent
        is then the operation itself, applied to tangents.
    tangent : callable, sequence of callables or "pointwise", optional
        Of an operation that is neither linear nor pointwise: ``tangent(t, out, *inputs, **attrs)`` for each input gives
        what its tangent ``t`` adds to the output's; "linear" stands for the operation itself with ``t`` in the input's
        place. "pointwise", which a pointwise operation need not say: its gradient rules serve. Of any other that states
        neither, a tangent is computed from the gradient rule, with one cotangent for each element of the output.

    Attributes
    ----------
    function : callable
        The public function: ``function(*inputs, **attrs) -> Tensor``.

    Raises
    ------
    ArgumentError
        If the name is taken or the forward's parameters do not fit the rules.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> from autodiff.extend import Primitive
    >>> softsign = Primitive("doc_softsign", lambda x: x / (1 + np.abs(x)), lambda g, out, x: g / (1 + np.abs(x)) ** 2)
    >>> x = autodiff.tensor([1.0, -3.0], requires_grad=True)
    >>> softsign(x).sum().backward()
    >>> x.grad
    array([0.25  , 0.0625])
    """

    fused = False

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        *rules: Callable[..., Any] | None,
        numpy: Any = None,
        variadic: bool = False,
        domain: Any = (-3.0, 3.0),
        kinks: Sequence[float] = (),
        sample: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]] | None = None,
        label: str | None = None,
        operator: str | None = None,
        pointwise: bool | None = None,
        linear: str | None = None,
        tangent: Any = None,
        real_only: bool = False,
        ulps: tuple[float, ...] = _ULPS,
        edges: Sequence[float] = (),
    ) -> None:
        self.name = name
        self.forward = forward
        ufunc = isinstance(forward, np.ufunc)
        self.real_only = not any(c in types for types in forward.types for c in "FD") if ufunc else real_only
        self.ulps = ulps
        self.edges = tuple(edges)
        self.variadic = variadic
        self.domain = domain
        self.kinks = tuple(kinks)
        self.sample = sample
        self.label = name if label is None else label
        self.elementwise = isinstance(forward, np.ufunc) and forward.signature is None and forward.nout == 1
        self.pointwise = self.elementwise if pointwise is None else pointwise
        self.tangents = _tangents(name, len(rules), self.pointwise, linear, tangent)
        self.parameters = _parameters(self)
        self.inputs = (
            tuple(p.name for p in self.parameters if p.kind is p.VAR_POSITIONAL)
            if variadic
            else tuple(p.name for p in self.parameters[: len(rules)])
        )
        if variadic and len(rules) != 1:
            raise ArgumentError(f"Primitive {name!r}: a variadic operation has exactly one rule, got {len(rules)}")
        if not rules or (not variadic and len(self.inputs) != len(rules)):
            raise ArgumentError(
                f"Primitive {name!r}: {len(rules)} rules for a forward with parameters"
                f" {[p.name for p in self.parameters]}; give one rule per array input"
            )
        self.pull: Callable[[Node, Any, Pending], None] = pull_elementary
        self._reads = [
            None if rule is None else reads(rule, 1 + variadic, 1 if variadic else 1 + len(rules)) for rule in rules
        ]
        self.rules = rules
        if self.pointwise:
            attributes = len(self.parameters) > len(rules)
            self.rules = tuple(
                keeping_zeros(rule, use, attributes) for rule, use in zip(rules, self._reads, strict=True)
            )
        self.function: Callable[..., Any]
        self.reflected: Callable[..., Any] | None = None
        _register(self)
        self.operator = operator
        specialise[0](self)
        _map_numpy(self, numpy)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Primitive({self.name!r})"

    def run(self, arrays: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, None]:
        """The forward on bare arrays; an elementary primitive has no residuals."""
        return arrayed(self.forward(*arrays, **attrs)), None

    def keep(self, arrays: Sequence[Any], parents: Sequence[Any], out: Any, kept: None) -> tuple[Any, ...]:
        """``(out, *inputs)`` with whatever no rule will read replaced by None or by its shape alone."""
        if self.variadic:
            (reads,) = self._reads
            assert reads is not None
            return (out if reads[0] else None, *arrays)
        use = self._uses(tuple(parent is not None for parent in parents))
        held = [
            array if array is None or u == USED else (ShapeOnly(array) if u == SHAPE else None)
            for array, u in zip((out, *arrays), use, strict=True)
        ]
        return tuple(held)

    def _uses(self, needs: tuple[bool, ...]) -> tuple[int, ...]:
        wanted = []
        for position, (need, rule, use) in enumerate(zip(needs, self.rules, self._reads, strict=True)):
            if not need:
                continue
            if rule is None or use is None:
                raise NotDifferentiableError(
                    f"{self.name} has no gradient with respect to its argument {argument(self, position)}; "
                    "pass that argument through autodiff.constant(...)"
                )
            wanted.append(use)
        return tuple(max(column) for column in zip(*wanted, strict=True))


def _tangents(name: str, count: int, pointwise: bool, linear: str | None, tangent: Any) -> Any:
    """How a tangent is found: "jointly", "each", "pointwise", one rule per input, or None."""
    rules: tuple[Any, ...]
    if linear not in (None, "jointly", "each") or (linear is not None and tangent is not None):
        raise ArgumentError(f"Primitive {name!r}: linear= is 'jointly' or 'each' and excludes tangent=, got {linear!r}")
    if tangent is None:
        return linear or ("pointwise" if pointwise else None)
    if tangent == "pointwise":
        return tangent
    rules = (tangent,) if callable(tangent) else tuple(tangent)
    if len(rules) != count:
        raise ArgumentError(
            f"Primitive {name!r}: {len(rules)} tangent rules for {count} inputs; give one per array input"
        )
    return rules


class Fused:
    """An operation with a hand-derived gradient, beside the composed definition that it must equal.

    Parameters
    ----------
    name : str
    composed : callable
        ``composed(*inputs, **attrs)``: the definition in plain NumPy calls, which work on arrays and on Tensors.
        Positional parameters are the array inputs (an array or None), keyword-only ones the attributes.
    forward : callable
        ``forward(*inputs, **attrs) -> (out, residuals)`` on bare arrays, at full speed. ``out`` may be a tuple of
        arrays.
    backward : callable
        ``backward(g, residuals, needs)`` returns one gradient (or None) per array input; ``needs`` holds a bool for
        each. It writes into none of its arguments and returns none of them but ``g``. With several outputs ``g`` is a
        tuple.
    sample : callable, optional
        ``sample(draw) -> (args, kwargs)``: one random valid call.
    label, formula : str, optional
        Shown in pictures.
    numpy : callable or sequence of callables, optional
        NumPy or SciPy callables that this implements.
    pointwise : bool
        Whether each output element depends on one element of each input.
    tangent : sequence of callables, optional
        As for a :class:`Primitive`; without it tangents go through the composed definition.
    real_only, ulps
        As of a :class:`Primitive`.

    Raises
    ------
    ArgumentError
        If the name is taken or the parameters of the three functions disagree.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> from autodiff.extend import Fused
    >>> def composed(x): return np.log(np.sum(np.exp(x)))
    >>> def forward(x):
    ...     m = x.max(); e = np.exp(x - m); s = e.sum()
    ...     return m + np.log(s), (e / s,)
    >>> def backward(g, residuals, needs): return (g * residuals[0],)
    >>> lse = Fused("doc_logsumexp", composed=composed, forward=forward, backward=backward)
    >>> x = autodiff.tensor([0.0, 0.0], requires_grad=True)
    >>> lse(x).backward()
    >>> x.grad
    array([0.5, 0.5])
    """

    fused = True
    variadic = False
    elementwise = False

    def __init__(
        self,
        name: str,
        *,
        composed: Callable[..., Any],
        forward: Callable[..., tuple[Any, Any]],
        backward: Callable[[Any, Any, tuple[bool, ...]], Sequence[Any]],
        sample: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]] | None = None,
        label: str | None = None,
        formula: str = "",
        numpy: Any = None,
        pointwise: bool = False,
        tangent: Sequence[Callable[..., Any] | None] | None = None,
        real_only: bool = False,
        ulps: tuple[float, ...] = _ULPS,
    ) -> None:
        self.name = name
        self.composed = composed
        self.forward = forward
        self.real_only = real_only
        self.ulps = ulps
        self.pointwise = pointwise
        self.backward = keeping_all_zeros(backward) if pointwise else backward
        self.tangents = None if tangent is None else tuple(tangent)
        self.sample = sample
        self.label = name if label is None else label
        self.formula = formula
        self.parameters = _parameters(self)
        self.inputs = tuple(p.name for p in self.parameters if p.kind is not p.KEYWORD_ONLY)
        theirs = tuple(inspect.signature(composed).parameters)
        if theirs != tuple(p.name for p in self.parameters):
            raise ArgumentError(
                f"Fused {name!r}: composed takes {theirs}, forward takes {tuple(p.name for p in self.parameters)}; they"
                " must agree"
            )
        self.pull: Callable[[Node, Any, Pending], None] = pull_fused
        self.function: Callable[..., Any]
        self.with_residuals: Callable[..., Any]
        _register(self)
        specialise[0](self)
        _map_numpy(self, numpy)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Fused({self.name!r})"

    def run(self, arrays: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, Any]:
        """The forward on bare arrays and its residuals."""
        out, residuals = self.forward(*arrays, **attrs)
        return arrayed(out), residuals

    def keep(self, arrays: Sequence[Any], parents: Sequence[Any], out: Any, kept: Any) -> tuple[Any, ...]:
        """The inputs, for the composed definition; the residuals and which gradients are wanted, for the backward."""
        return tuple(arrays), kept, tuple([parent is not None for parent in parents])

    def watched(self, inputs: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, Any]:
        """:meth:`with_residuals` in any state but the ordinary one."""
        state = current_state()
        if state is not None and state.composed:
            arrays = [
                value._data if hasattr(value, "_node") else coerce(self, i, value) for i, value in enumerate(inputs)
            ]
            return record(self, inputs, attrs), self.run(arrays, attrs)[1]
        box: list[Any] = []
        return record(self, inputs, attrs, box), box[0]


def _parameters(op: Primitive | Fused) -> list[inspect.Parameter]:
    forward = op.forward
    if isinstance(forward, np.ufunc):
        names = "xyz"[: forward.nin] if forward.nin <= 3 else [f"x{i}" for i in range(forward.nin)]
        return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    return list(inspect.signature(forward).parameters.values())


def _register(op: Primitive | Fused) -> None:
    if op.name in registry:
        raise ArgumentError(f"an operation named {op.name!r} is registered already; choose another name")
    registry[op.name] = op


def _map_numpy(op: Primitive | Fused, numpy: Any) -> None:
    callables = numpy if isinstance(numpy, (list, tuple)) else [numpy]
    if numpy is None:
        callables = [op.forward] if isinstance(op.forward, np.ufunc) else []
    for callable_ in callables:
        differentiable[callable_] = op.function


# --- reading inputs -----------------------------------------------------------------------------------------------


def coerce(op: Any, position: int, value: Any) -> Any:
    """An input that is no Tensor, as a bare array or a Python number."""
    kind = value.__class__
    if kind is np.ndarray or kind in PYTHON_NUMBERS or value is None:
        return value
    if isinstance(value, (list, tuple)) and any(hasattr(item, "_node") for item in _flat(value)):
        raise DTypeError(
            f"{op.name}: argument {argument(op, position)} is a {kind.__name__} that holds Tensors; "
            "join them first with autodiff.array([...]) or autodiff.stack([...])"
        )
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise DTypeError(
            f"{op.name}: argument {argument(op, position)} is a {kind.__name__} that makes an array of dtype "
            f"{array.dtype}; pass numbers"
        )
    return array


def _flat(value: Any) -> Any:
    for item in value:
        if isinstance(item, (list, tuple)):
            yield from _flat(item)
        else:
            yield item


def argument(op: Any, position: int) -> str:
    """An input's name, or its number, for messages."""
    names = op.inputs
    return repr(names[position]) if position < len(names) else str(position)


def _facts(value: Any) -> str:
    if value is None or value.__class__ in PYTHON_NUMBERS:
        return repr(value)
    array = value._data if hasattr(value, "_node") else np.asarray(value)
    return f"{array.dtype}{list(array.shape)}"


def explain(op: Any, error: Exception, inputs: Sequence[Any]) -> Exception:
    """NumPy's complaint, with the operation and its inputs' shapes and dtypes."""
    if isinstance(error, (AutodiffError, Warning, ArithmeticError)):
        return error
    message = f"{op.name}({', '.join(_facts(x) for x in inputs)}): {error}"
    if isinstance(error, np.linalg.LinAlgError):
        return np.linalg.LinAlgError(message)
    if isinstance(error, IndexError):
        return IndexError(message)
    if isinstance(error, ValueError):
        return ShapeError(message)
    if isinstance(error, TypeError):
        return DTypeError(message)
    error.add_note(f"while running {message}")
    return error


# --- applying an operation ------------------------------------------------------------------------------------------


def record(
    op: Primitive | Fused, inputs: Sequence[Any], attrs: dict[str, Any], residuals: list[Any] | None = None
) -> Any:
    """Apply ``op``: run its forward on bare arrays and, where an input asks for a gradient, leave a node behind.

    Parameters
    ----------
    op : Primitive or Fused
    inputs : sequence of Tensor, array_like or None
        The array inputs.
    attrs : dict
        The other arguments.
    residuals : list, optional
        Receives what a fused forward left for its backward.

    Returns
    -------
    Tensor or tuple of Tensor

    Raises
    ------
    ShapeError, DTypeError, IndexError
        NumPy's complaint, with the operation, shapes and dtypes named.
    NotDifferentiableError
        If an input that has no gradient rule asks for a gradient.
    """
    state = current_state()
    if state is not None and state.levels:
        level = on_levels[0](inputs)
        if level is not None:
            return on_levels[1](op, inputs, attrs, level, residuals)
    if state is not None and state.tracer is not None:
        return state.tracer.apply(op, inputs, attrs, residuals)
    arrays: list[Any] = []
    parents: list[Any] = []
    tracked = False
    fused = op.fused
    for value in inputs:
        try:
            array = value._data
            parent = value._node
        except AttributeError:
            array = coerce(op, len(arrays), value)
            parent = None
        if fused and array.__class__ is not np.ndarray and isinstance(array, np.generic):
            # The scalar of a 0-d tensor becomes an array: a hand-written forward may work in place.
            array = np.asarray(array)
        arrays.append(array)
        parents.append(parent)
        if parent is not None:
            tracked = True
    if state is not None:
        if state.composed and op.fused:
            return _run_composed(op, inputs, arrays, attrs)
        tracked = tracked and state.grad
    started = 0.0 if state is None else perf_counter()
    try:
        out, kept = op.run(arrays, attrs)
    except Exception as error:
        raise explain(op, error, inputs) from error
    seconds = 0.0 if state is None else perf_counter() - started
    if residuals is not None:
        residuals.append(kept)
    if state is not None and state.anomaly:
        _check_born(op, arrays, out)
    return leave(op, inputs, attrs, arrays, parents, tracked, out, kept, state, seconds)


def leave(
    op: Primitive | Fused,
    inputs: Sequence[Any],
    attrs: dict[str, Any],
    arrays: Sequence[Any],
    parents: Sequence[Any],
    tracked: bool,
    out: Any,
    kept: Any,
    state: State | None = None,
    seconds: float = 0.0,
) -> Any:
    """What an operation made, as Tensors; with the node that it leaves behind if ``tracked``."""
    if out.__class__ is tuple:
        if not tracked:
            return tuple(wrap(o, None) for o in out)
        node = _node(op, inputs, attrs, arrays, parents, out, kept, state, seconds)
        node.shape = tuple(o.shape for o in out)
        node.dtype = tuple(o.dtype for o in out)
        return tuple(wrap(o, pick(node, i) if o.dtype.kind in "fc" else None) for i, o in enumerate(out))
    # Integers and booleans carry no gradient; an operation that makes them is a constant.
    if tracked and out.dtype.kind in "fc":
        node = _node(op, inputs, attrs, arrays, parents, out, kept, state, seconds)
        node.shape = out.shape
        node.dtype = out.dtype
        result = wrap(out, node)
    else:
        result = wrap(out, None)
    if out.__class__ is np.ndarray and (out.base is not None or out is arrays[0]):
        note_view(op, inputs, attrs, arrays, result)
    return result


def _node(
    op: Primitive | Fused,
    inputs: Sequence[Any],
    attrs: dict[str, Any],
    arrays: Sequence[Any],
    parents: Sequence[Any],
    out: Any,
    kept: Any,
    state: State | None,
    seconds: float,
) -> GeneralNode:
    node = GeneralNode()
    node.op = op
    node.pull = op.pull
    node.g = False
    node.parents = tuple(parents)
    node.attrs = attrs
    node.saved = op.keep(arrays, parents, out, kept)
    if None in parents:
        note_constants(node, inputs, arrays)
    if state is not None:
        _note(node, state)
        if state.kept:
            node.set_extra("seen", (out, tuple(arrays), seconds))
    return node


def note_view(
    op: Primitive | Fused, inputs: Sequence[Any], attrs: dict[str, Any], arrays: Sequence[Any], result: Any
) -> None:
    """Link a result that shares an input tensor's memory to that tensor, so that writing into either reaches the
    other.
    """
    out = result._data
    for place, array in enumerate(arrays):
        if views.shares(out, array) and hasattr(inputs[place], "_node"):
            again = partial(_again, op, tuple(inputs[:place]), tuple(inputs[place + 1 :]), attrs)
            views.link(result, inputs[place], again, out.flags.writeable)
            return


def _again(
    op: Primitive | Fused, before: tuple[Any, ...], after: tuple[Any, ...], attrs: dict[str, Any], source: Any
) -> Any:
    return record(op, (*before, source, *after), attrs)


def note_constants(node: GeneralNode, inputs: Sequence[Any], arrays: Sequence[Any]) -> None:
    """The facts of inputs that ask for no gradient, for pictures: noted bare, since every step of a training notes them
    and few are drawn.
    """
    given = zip(inputs, arrays, node.parents, strict=True)
    node.noted = [
        noted(i, value, array) for i, (value, array, parent) in enumerate(given) if parent is None and array is not None
    ]


def noted(i: int, value: Any, array: Any) -> tuple[Any, ...]:
    """What ``GeneralNode.noted`` holds of a constant input."""
    if array.__class__ in PYTHON_NUMBERS:
        return (i, array)
    return (i, array.shape, array.dtype, None if value is array else getattr(value, "name", None))


def _note(node: Node, state: State) -> None:
    """What an unusual state wants to be known of a node."""
    if state.anomaly or state.traced:
        node.set_extra("trace", _user_line())
    if state.scope:
        node.set_extra("scope", state.scope)
    if state.mark is not None:
        node.set_extra("mark", state.mark)


def _run_composed(op: Any, inputs: Sequence[Any], arrays: Sequence[Any], attrs: dict[str, Any]) -> Any:
    tensors = [
        value if hasattr(value, "_node") or array is None else wrap(np.asarray(array), None)
        for value, array in zip(inputs, arrays, strict=True)
    ]
    try:
        return op.composed(*tensors, **attrs)
    except Exception as error:
        raise explain(op, error, inputs) from error


def _check_born(op: Any, arrays: Sequence[Any], out: Any) -> None:
    """Raise if a NaN or an infinity came out of finite input."""
    parts = [np.asarray(part) for part in (out if isinstance(out, tuple) else (out,))]
    bad = [part for part in parts if part.dtype.kind in "fc" and not np.isfinite(part).all()]
    if not bad:
        return
    inputs = [np.asarray(a) for a in arrays if a is not None]
    if not all(np.isfinite(a).all() for a in inputs if a.dtype.kind in "fc"):
        return
    what = "nan" if np.isnan(bad[0]).any() else "inf"
    where = np.argwhere(~np.isfinite(bad[0]))[0].tolist()
    seen = ", ".join(
        (
            f"{a.dtype}{list(a.shape)} in [{a.min():.6g}, {a.max():.6g}]"
            if a.size and a.dtype.kind != "c"
            else f"{a.dtype}{list(a.shape)}"
        )
        for a in inputs
    )
    raise AnomalyError(
        f"{op.name} made {what} (first at {where} of its output) out of finite input {seen}, at {_user_line()}"
    )


def _user_line() -> str:
    """The innermost line of the program outside this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_PACKAGE, "<autodiff")):
            return f"{file}:{frame.f_lineno}: {linecache.getline(file, frame.f_lineno).strip()}"
        frame = frame.f_back
    return "unknown line"


def _one_arrayed(out: Any) -> Any:
    return out if hasattr(out, "dtype") else np.asarray(out)


def arrayed(out: Any) -> Any:
    """A forward's result as an array or NumPy scalar, or a tuple of them."""
    return tuple(_one_arrayed(o) for o in out) if isinstance(out, tuple) else _one_arrayed(out)
