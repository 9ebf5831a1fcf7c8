"""What an operation is, and what applying one means.

Two kinds. A :class:`Primitive` is a NumPy forward with one gradient rule per argument, ``rule(g, out, *inputs,
**attrs)``, in plain NumPy. A :class:`Fused` is three functions: the composed definition (the truth), a fast forward, a
hand-derived backward. Making either registers it, maps the NumPy callable to it, and makes ``.function``, the public
function.

:func:`apply` says what a call of that function means: run the forward on bare arrays, and leave a node behind where an
input asks for a gradient. :mod:`autodiff.fast` writes the same out for one operation; every unusual case comes here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, NotDifferentiableError
from autodiff.core.graph import Node, Variable, tick, time
from autodiff.core.modes import State, current_state

#: Every operation by name: what the laws, the tables and the command line iterate over.
registry: dict[str, Primitive | Fused] = {}

#: NumPy callable -> our function with the same signature.
differentiable: dict[Any, Callable[..., Any]] = {}

#: Python's own numbers are weak: they take the dtype of the array that they meet (NEP 50).
PYTHON_NUMBERS = frozenset({bool, int, float, complex})

#: Classes whose values cannot change, so that nobody need copy them.
FIXED = PYTHON_NUMBERS | {type(None), str, type(Ellipsis)}


class _Above:
    """What modules above this one bind here; None where nobody has."""

    tensor: Any = None  # the class that wraps results (tensor.py)
    define: Any = None  # define(op) gives an operation its function, with the forward's signature (functions.py)
    constant: Any = None  # constant(name, argument, value): an argument without a gradient, as an array (functions.py)
    function: Any = None  # function(op, call, name) writes out one that does what call does (fast)
    view: Any = None  # view(op, inputs, attrs, arrays, result) is told of a result that may share memory (views.py)
    level: Any = None  # level(inputs) is the innermost transform with values of its own among inputs (levels.py)
    apply_at: Any = None  # apply_at(op, inputs, attrs, level, residuals) applies an operation there (levels.py)
    over_lanes: Any = None  # over_lanes(op, inputs, lower, attrs, level) applies it at a level of vmap (mapping.py)
    each_lane: Any = None  # each_lane(function, values) applies a rule to each lane (mapping.py)
    lent: Any = None  # lent(values) says whether a program can write into one of these arrays or Tensors (writes.py)
    read: Any = None  # read(op, place, value) makes an array or a Tensor of any other input (containers.py)
    keep: Any = None  # keep(op, arrays, parents, out) is (out, *arrays) without what no rule reads (reads.py)
    explain: Any = None  # explain(op, error, inputs) is the error to raise for NumPy's (watch.py)
    check: Any = None  # check(op, arrays, out) refuses a NaN made of finite inputs (watch.py)
    note: Any = None  # note(node, state, inputs, arrays, out, seconds) keeps what pictures want (watch.py)


above = _Above()


def wrap(data: Any, node: Node | Variable | None) -> Any:
    """A Tensor over ``data`` without copying it."""
    tensor = above.tensor.__new__(above.tensor)
    tensor._data = data
    tensor._node = node
    return tensor


# --- operations -----------------------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False, repr=False)
class Facts:
    """What is stated of an operation besides its functions; docs/add-an-op.md says each at length."""

    label: Any = None  # in pictures; the name, if nothing is stated
    formula: str = ""  # of the gradient, in pictures
    pointwise: bool = False  # each element of the output depends on one element of each input
    real_only: bool = False  # it refuses complex numbers
    domain: Any = (-3.0, 3.0)  # where tests draw
    kinks: Sequence[float] = ()  # without a derivative; tests keep away
    edges: Sequence[float] = ()  # where derivatives go wrong first; tests look there besides
    reach: tuple[float, float] = (0.0, np.inf)  # of sizes at which second derivatives keep their digits
    ulps: tuple[float, ...] = (8.0, 8.0, 32.0)  # how far derivatives may be off (tests/ops/test_range.py)
    sample: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]] | None = None  # a random valid call


class Operation(Facts):
    """What a node points to: a name, the names of its array inputs, and how gradients go through it.

    ``pull(node, g, recording)`` gives the gradient of each parent, None where none is sent. It is None for a Primitive
    or a Fused, which say by rules how that is found (:func:`autodiff.core.backward.pull`).
    """

    name: str
    inputs: tuple[str, ...]
    parameters: list[inspect.Parameter]
    function: Callable[..., Any]
    fused = variadic = elementwise = False
    tangents: Any = None
    pull: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _define(self, name: str, forward: Any, numpy: Any, facts: dict[str, Any]) -> None:
        """Register a Primitive or a Fused, also under the names of NumPy's callables, and make its function."""
        Facts.__init__(self, **facts)
        self.name, self.label = name, name if self.label is None else self.label
        self.kinks, self.edges = tuple(self.kinks), tuple(self.edges)
        registry[name] = self  # type: ignore[assignment]
        self.function = lambda *inputs, **attrs: apply(self, inputs, attrs)
        if above.define is not None:
            above.define(self)
        if numpy is None:  # a ufunc that another operation has stays its own
            free = isinstance(forward, np.ufunc) and getattr(differentiable.get(forward), "__name__", name) == name
            numpy = [forward] if free else []
        for callable_ in numpy if isinstance(numpy, (list, tuple)) else [numpy]:
            differentiable[callable_] = self.function


class Primitive(Operation):
    """An elementary operation: a NumPy forward and one gradient rule per array input.

    Parameters
    ----------
    name : str
        NumPy's name for it. If it is used again the registry keeps the latest; the older operation goes on working.
    forward : callable
        ``forward(*inputs, **attrs)`` on bare arrays. Its first ``len(rules)`` parameters are the array inputs, the rest
        are attributes. May return a tuple of arrays.
    *rules : callable or None
        One per array input: ``rule(g, out, *inputs, **attrs)`` returns the gradient with respect to that input, given
        the gradient ``g`` of the output, as a new array, ``g`` or a view of ``g``. Plain NumPy: it is called with
        arrays, or with Tensors when its own derivative is wanted. It need not sum over broadcast axes nor care for the
        dtype. None for an input without a gradient, such as indices.
    variadic : bool
        The inputs are one sequence of any length; the single rule is ``rule(i, g, out, *inputs, **attrs)``.
    linear, tangent, numpy, operator, **facts
        For forward mode, NumPy's dispatch, speed, and :class:`Facts`: docs/add-an-op.md says each.

    Raises
    ------
    ArgumentError
        If the forward's parameters do not fit the rules.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> from autodiff.extend import Primitive
    >>> softsign = Primitive("doc_softsign", lambda x: x / (1 + np.abs(x)), lambda g, out, x: g / (1 + np.abs(x)) ** 2)
    >>> autodiff.grad(lambda x: softsign(x).sum())(np.array([1.0, -3.0]))
    array([0.25  , 0.0625])
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., object],
        *rules: Callable[..., object] | None,
        numpy: Callable[..., object] | Sequence[Callable[..., object]] | None = None,
        variadic: bool = False,
        linear: str | None = None,
        tangent: str | Callable[..., object] | Sequence[Callable[..., object] | str | None] | None = None,
        operator: str | None = None,
        **facts: object,
    ) -> None:
        self.forward, self.rules, self.variadic, self.operator = forward, rules, variadic, operator
        if isinstance(forward, np.ufunc):
            self.elementwise = forward.signature is None and forward.nout == 1
            facts = {"pointwise": self.elementwise, **facts}
            facts["real_only"] = not any(code in types for types in forward.types for code in "FD")
        self.parameters = _parameters(forward, rules)
        names = tuple(p.name for p in self.parameters)
        self.inputs = names[:1] if variadic else names[: len(rules)]
        if variadic and len(rules) != 1:
            raise ArgumentError(f"Primitive {name!r}: a variadic operation has exactly one rule, got {len(rules)}")
        if not rules or (not variadic and len(self.inputs) != len(rules)):
            raise ArgumentError(
                f"Primitive {name!r}: {len(rules)} rules for a forward with parameters {list(names)}; give one rule per"
                " array input"
            )
        self.operate = eval(f"lambda {', '.join('ab'[: len(rules)])}: {operator}") if operator else forward
        self.tangents = _tangents(name, len(rules), facts.get("pointwise"), linear, tangent)
        self._define(name, forward, numpy, facts)

    def run(self, arrays: Sequence[object], attrs: dict[str, object]) -> tuple[object, None]:
        """The forward on bare arrays; an elementary primitive has no residuals."""
        if self.operator and not all(array.__class__ in PYTHON_NUMBERS for array in arrays):
            return arrayed(self.operate(*arrays)), None
        return arrayed(self.forward(*arrays, **attrs)), None

    def keep(self, arrays: Sequence[object], parents: Sequence[object], out: object, kept: None) -> Sequence[object]:
        """``(out, *inputs)``, which the rules read."""
        for position, (rule, parent) in enumerate(zip(self.rules, parents, strict=False)):
            if rule is None and parent is not None:
                raise lacking(self, position)
        return (out, *arrays) if above.keep is None else above.keep(self, arrays, parents, out)  # type: ignore[no-any-return]


def _parameters(function: Any, rules: Sequence[Any] = ()) -> list[inspect.Parameter]:
    if isinstance(function, np.ufunc):
        # A ufunc does not say what its arguments are called; the rules do.
        codes = [code for code in (getattr(r, "__code__", None) for r in rules) if code and code.co_argcount > 2]
        names: Any = codes[0].co_varnames[2 : codes[0].co_argcount] if codes else ()
        names = names if len(names) == function.nin else "xyzuvwabcd"[: function.nin]
        return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    return list(inspect.signature(function).parameters.values())


def _tangents(name: str, count: int, pointwise: Any, linear: str | None, tangent: Any) -> Any:
    """How a tangent is found: "jointly", "each", "pointwise", one rule per input, or None."""
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


class Fused(Operation):
    """An operation with a hand-derived gradient, beside the composed definition that it must equal.

    Parameters
    ----------
    name : str
        As for a :class:`Primitive`.
    composed : callable
        ``composed(*inputs, **attrs)``: the definition in plain NumPy calls, which work on arrays and on Tensors.
        Positional parameters are the array inputs (an array or None), keyword-only ones the attributes.
    forward : callable
        ``forward(*inputs, **attrs) -> (out, residuals)`` on bare arrays, at full speed. ``out`` may be a tuple.
    backward : callable
        ``backward(g, residuals, needs)`` returns one gradient (or None) per array input, new arrays or ``g``; ``needs``
        holds a bool for each. It writes into none of its arguments. With several outputs ``g`` is a tuple.
    tangent, numpy, **facts
        As for a :class:`Primitive`. Without ``tangent`` tangents go through the composed definition.

    Raises
    ------
    ArgumentError
        If the parameters of the functions disagree.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> from autodiff.extend import Fused
    >>> def forward(x):
    ...     e = np.exp(x - x.max())
    ...     return x.max() + np.log(e.sum()), (e / e.sum(),)
    >>> lse = Fused("doc_logsumexp", composed=lambda x: np.log(np.sum(np.exp(x))), forward=forward,
    ...             backward=lambda g, residuals, needs: (g * residuals[0],))
    >>> autodiff.grad(lse)(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """

    fused = True
    with_residuals: Callable[..., Any]  # as function, beside what the forward left (functions.py)

    def __init__(
        self,
        name: str,
        *,
        composed: Callable[..., object],
        forward: Callable[..., tuple[object, object]],
        backward: Callable[..., Sequence[object]],
        tangent: Sequence[Callable[..., object] | None] | None = None,
        numpy: Callable[..., object] | Sequence[Callable[..., object]] | None = None,
        **facts: object,
    ) -> None:
        self.composed, self.forward, self.backward = composed, forward, backward
        self.tangents = None if tangent is None else tuple(tangent)
        self.parameters = _parameters(forward)
        self.inputs = tuple(p.name for p in self.parameters if p.kind is not p.KEYWORD_ONLY)
        ours, theirs = ([p.name for p in params] for params in (self.parameters, _parameters(composed)))
        if ours != theirs:
            raise ArgumentError(f"Fused {name!r}: composed takes {theirs}, forward takes {ours}; they must agree")
        self._define(name, forward, numpy, facts)

    def run(self, arrays: Sequence[object], attrs: dict[str, object]) -> tuple[object, object]:
        """The forward on bare arrays and its residuals."""
        # The scalar of a tensor without axes becomes an array: a hand-written forward may work in place.
        arrays = [np.asarray(a) if isinstance(a, np.generic) else a for a in arrays]
        out, residuals = self.forward(*arrays, **attrs)
        return arrayed(out), residuals

    def keep(self, arrays: Sequence[object], parents: Sequence[object], out: object, kept: object) -> Sequence[object]:
        """The inputs, for the composed definition; the residuals and which gradients are wanted, for the backward."""
        return tuple(arrays), kept, tuple([parent is not None for parent in parents])


# --- reading inputs -------------------------------------------------------------------------------------------------


def hold(array: Any) -> Any:
    """A plain array as a node keeps it: a copy, since the program may write into its own before the backward pass.

    The copy is read-only, which tells it from others: what a rule hands on, and what the library makes and never hands
    out (mark it so with ``setflags(write=False)``), is not copied again.
    """
    if array.base is None and not array.flags.writeable:
        return array
    kept = array.copy("K")
    kept.setflags(write=False)
    return kept


def hold_argument(value: Any) -> Any:
    """An argument that is no array input, as a node keeps it: arrays and lists in it are copied."""
    kind = value.__class__
    if kind is tuple or kind is list:
        return kind([part if part.__class__ in FIXED else hold_argument(part) for part in value])
    return hold(value) if kind is np.ndarray else value


def coerce(op: Any, place: int, value: Any) -> Any:
    """An input as a Tensor, an ndarray, a Python number or None."""
    kind = value.__class__
    if hasattr(value, "_node") or kind is np.ndarray or kind in PYTHON_NUMBERS or (place and value is None):
        return value
    return above.read(op, place, value)


def arrayed(out: Any) -> Any:
    """A forward's result as an array or NumPy scalar, or a tuple of them."""
    if isinstance(out, tuple):
        return tuple([arrayed(part) for part in out])
    return out if hasattr(out, "dtype") else np.asarray(out)


# --- applying an operation ------------------------------------------------------------------------------------------


def apply(op: Any, inputs: Sequence[Any], attrs: dict[str, Any], residuals: list[Any] | None = None) -> Any:
    """Run the forward of ``op`` on bare arrays and, where an input asks for a gradient, leave a node behind.

    ``attrs`` are the arguments that are no array inputs; a list ``residuals`` receives what a fused forward left for
    its backward. What NumPy complains of is raised with the operation, shapes and dtypes named.
    """
    state = current_state()
    inputs = [coerce(op, place, value) for place, value in enumerate(inputs)]
    if state is not None and state.levels and (level := above.level(inputs)) is not None:
        return above.apply_at(op, inputs, attrs, level, residuals)
    if state is not None and state.tracer is not None:
        return state.tracer.apply(op, inputs, attrs, residuals)
    lent = time.lent and above.lent(inputs)
    arrays = [value._data if hasattr(value, "_node") else value for value in inputs]
    parents = [getattr(value, "_node", None) for value in inputs]
    if op.fused and any(parent is not None for parent in parents):
        # What the forward leaves for the backward may be, or share, an input.
        arrays = [
            a.copy("K") if a.__class__ is np.ndarray and (lent or a is v) else a
            for a, v in zip(arrays, inputs, strict=True)
        ]
    started = perf_counter()
    try:
        if state is not None and state.composed and op.fused:
            return op.composed(*[_constant(v, a) for v, a in zip(inputs, arrays, strict=True)], **attrs)
        out, kept = op.run(arrays, attrs)
    except Exception as error:
        raise explain(op, error, inputs) from error
    seconds = perf_counter() - started
    if residuals is not None:
        residuals.append(kept)
    if state is not None and state.anomaly:
        above.check(op, arrays, out)
    return leave(op, inputs, attrs, arrays, parents, out, kept, state, seconds)


def _constant(value: Any, array: Any) -> Any:
    """An input as composed definitions take it: a Tensor, or None."""
    return value if hasattr(value, "_node") or array is None else wrap(np.asarray(array), None)


def leave(
    op: Any,
    inputs: Sequence[Any],
    attrs: dict[str, Any],
    arrays: Sequence[Any],
    parents: Sequence[Any],
    out: Any,
    kept: Any,
    state: State | None = None,
    seconds: float = 0.0,
) -> Any:
    """What an operation made, as Tensors, with the node that it leaves behind."""
    several = isinstance(out, tuple)
    # Integers and booleans carry no gradient; an operation that makes them is a constant.
    floating = [o.dtype.kind in "fc" for o in (out if several else (out,))]
    if any(o.dtype.kind not in "biufc" for o in (out if several else (out,))):
        raise explain(op, TypeError("the result holds no numbers; cast it first (a.astype(float))"), inputs)
    node = None
    if any(floating) and (state is None or state.grad) and any(parent is not None for parent in parents):
        shape = tuple(o.shape for o in out) if several else out.shape
        dtype = tuple(o.dtype for o in out) if several else out.dtype
        saved = op.keep(arrays, parents, out, kept)
        if not op.fused:
            plain = {id(a) for a, v in zip(arrays, inputs, strict=True) if a is v and a.__class__ is np.ndarray}
            saved = tuple([hold(a) if id(a) in plain or (time.lent and above.lent([a])) else a for a in saved])
        attrs = {name: hold_argument(value) for name, value in attrs.items()}
        node = Node(op, tuple(parents), saved, attrs or None, shape, dtype)
        if above.note is not None:
            above.note(node, state, inputs, arrays, out, seconds)
    if several:
        return tuple([wrap(o, pick(node, i) if node and floating[i] else None) for i, o in enumerate(out)])
    result = wrap(out, node)
    if out.__class__ is np.ndarray and above.view is not None and (out.base is not None or out is arrays[0]):
        above.view(op, inputs, attrs, arrays, result)
    return result


# --- links: nodes without arithmetic --------------------------------------------------------------------------------


class _Link(Operation):
    """An operation of the engine's own: it passes a value on under another identity."""

    inputs = ("x",)

    def __init__(self, name: str, pull: Callable[[Node, Any, bool], list[Any]]) -> None:
        self.name = self.label = name
        self.pull = pull

    def link(self, parent: Any, shape: Any, dtype: Any, attrs: dict[str, Any] | None = None) -> Node:
        """A node of this operation."""
        node = Node(self, (parent,), (), attrs, shape, dtype)
        state = current_state()
        if state is not None and state.mark is not None:
            node.set_extra("mark", state.mark)
        return node


def _pull_pick(node: Node, g: Any, recording: bool) -> list[Any]:
    # What reaches an operation with several outputs is a list with an entry for each.
    whole: list[Any] = [None] * len(node.parents[0].shape)
    whole[node.attrs["index"]] = g
    return [whole]


ALIAS = _Link("identity", lambda node, g, recording: [g])
PICK = _Link("output", _pull_pick)


def alias(tensor: Any) -> Any:
    """The same value under a node of its own, at which a derivative can be cut out of a larger graph."""
    tick()
    parent = tensor._node
    return wrap(tensor._data, ALIAS.link(parent, parent.shape, parent.dtype))


def pick(node: Node, index: int) -> Node:
    """The node of output ``index`` of an operation with several outputs."""
    return PICK.link(node, node.shape[index], node.dtype[index], {"index": index})


# --- complaints -----------------------------------------------------------------------------------------------------


def argument(op: Any, position: int) -> str:
    """An input's name, or its number, for messages."""
    return repr(op.inputs[position]) if position < len(op.inputs) else str(position)


def lacking(op: Any, position: int, what: str = "gradient") -> NotDifferentiableError:
    """What to raise where an input without a gradient asks for one."""
    return NotDifferentiableError(
        f"{op.name} has no {what} with respect to its argument {argument(op, position)}; pass that argument through"
        " autodiff.constant(...)"
    )


def explain(op: Any, error: Exception, inputs: Sequence[Any]) -> Exception:
    """The error to raise for NumPy's: with the operation and its inputs' shapes and dtypes."""
    return error if above.explain is None else above.explain(op, error, inputs)  # type: ignore[no-any-return]
