"""What an operation is, and how one line of definition becomes fast code.

Two kinds. A :class:`Primitive` is a NumPy forward with one gradient rule per argument, ``rule(g, out, *inputs,
**attrs)``, in plain NumPy. A :class:`Fused` is three functions: the composed definition (the truth), a fast forward, a
hand-derived backward. Making either registers it, maps the NumPy callable to it, and builds ``.function``, the public
function.

The public function is code written out for this one operation by :mod:`autodiff.codegen`; what applying an operation
means is stated by :func:`autodiff.recording.record`, to which every unusual case goes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff import dispatch
from autodiff.bytecode import SHAPE, USED, reads
from autodiff.codegen import direct_function, elementwise_function, fused_function, general_function
from autodiff.engine import Pending, ShapeOnly, pull_elementary, pull_fused
from autodiff.errors import ArgumentError, NotDifferentiableError
from autodiff.graph import Node
from autodiff.modes import current_state
from autodiff.recording import argument, arrayed, coerce, record

__all__ = ["Fused", "Primitive", "registry"]

#: Every operation by name: what the laws, the tables and the command line iterate over.
registry: dict[str, Primitive | Fused] = {}


# --- elementary ------------------------------------------------------------------------------------------------------


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
    operator : str, optional
        For a ufunc: the Python expression in ``a`` (and ``b``) that computes the same and is quicker to call.

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
    ) -> None:
        self.name = name
        self.forward = forward
        self.rules = rules
        self.variadic = variadic
        self.domain = domain
        self.kinks = tuple(kinks)
        self.sample = sample
        self.label = name if label is None else label
        self.elementwise = isinstance(forward, np.ufunc) and forward.signature is None and forward.nout == 1
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
        self.reflected: Callable[..., Any] | None = None
        _register(self)
        if self.elementwise and len(rules) <= 2:
            self.function = elementwise_function(self, operator)
        else:
            self.function = general_function(self) if variadic else direct_function(self)
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
    ) -> None:
        self.name = name
        self.composed = composed
        self.forward = forward
        self.backward = backward
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
        _register(self)
        self.function = fused_function(self, "_record(_op, {inputs}, {attrs})", "{out}")
        self.with_residuals = fused_function(self, "_op.watched({inputs}, {attrs})", "({out}, _residuals)")
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
    dispatch.implements(*callables)(op.function)
