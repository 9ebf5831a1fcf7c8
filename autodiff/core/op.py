"""What an operation is, and what applying one means.

Two kinds. A :class:`Primitive` is a NumPy forward with one gradient rule per argument, ``rule(g, out, *inputs,
**attrs)``, in plain NumPy. A :class:`Fused` is three functions: the composed definition (the truth), a fast forward, a
hand-derived backward. Making either registers it, maps the NumPy callable to it, and builds ``.function``, the public
function.

:func:`apply` says what a call of that function means: run the forward on bare arrays, and leave a node behind where an
input asks for a gradient. :mod:`autodiff.fast` writes the same out for one operation; every unusual case comes here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, NotDifferentiableError
from autodiff.core.graph import Node, Variable, tick
from autodiff.core.modes import State, current_state

#: Every operation by name: what the laws, the tables and the command line iterate over.
registry: dict[str, Primitive | Fused] = {}

#: NumPy callable -> our function with the same signature.
differentiable: dict[Any, Callable[..., Any]] = {}

#: Python's own numbers are weak: they take the dtype of the array that they meet (NEP 50).
PYTHON_NUMBERS = frozenset({bool, int, float, complex})

#: What an operation's derivatives are held to that states nothing else (tests/ops/test_range.py).
_ULPS = (8.0, 8.0, 32.0)


class _Above:
    """What modules above this one bind here; None where nobody has."""

    tensor: Any = None  # the class that wraps results (tensor.py)
    function: Any = None  # function(op, call, name) makes a public function, which does what call does (fast)
    view: Any = None  # view(op, inputs, attrs, arrays, result) is told of a result that may share memory (views.py)
    level: Any = None  # level(inputs) is the innermost transform with values of its own among inputs (levels.py)
    apply_at: Any = None  # apply_at(op, inputs, attrs, level, residuals) applies an operation there (levels.py)
    over_lanes: Any = None  # over_lanes(op, inputs, lower, attrs, level) applies it at a level of vmap (mapping.py)
    each_lane: Any = None  # each_lane(function, values) applies a rule to each lane (mapping.py)
    read: Any = None  # read(op, place, value) makes an array or a Tensor of any other input (containers.py)
    reads: Any = None  # reads(rule, skip, count) says how a rule uses its parameters (reads.py)
    explain: Any = None  # explain(op, error, inputs) is the error to raise for NumPy's (watch.py)
    check: Any = None  # check(op, arrays, out) refuses a NaN made of finite inputs (watch.py)
    note: Any = None  # note(node, state, out, arrays, seconds) keeps what an unusual state wants (watch.py)


above = _Above()


def wrap(data: Any, node: Node | Variable | None) -> Any:
    """A Tensor over ``data`` without copying it."""
    tensor = above.tensor.__new__(above.tensor)
    tensor._data = data
    tensor._node = node
    return tensor


# --- operations -----------------------------------------------------------------------------------------------------


class Operation:
    """What a node points to: a name, the names of its array inputs, and how gradients go through it.

    ``pull(node, g, recording)`` gives the gradient of each parent, None where none is sent. It is None for a Primitive
    or a Fused, which say by rules how that is found (:func:`autodiff.core.backward.pull`). ``label`` is for pictures.
    """

    name: str
    label: str
    inputs: tuple[str, ...]
    parameters: list[inspect.Parameter]
    function: Callable[..., Any]
    fused = variadic = elementwise = pointwise = False
    reading: Any = False
    tangents: Any = None
    pull: Any = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


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
    pointwise, linear, tangent, numpy, domain, kinks, edges, real_only, ulps, sample, label, operator
        Facts for forward mode, NumPy's dispatch, tests, pictures and speed: docs/add-an-op.md says each.

    Attributes
    ----------
    function : callable
        The public function: ``function(*inputs, **attrs) -> Tensor``.

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
        forward: Callable[..., Any],
        *rules: Callable[..., Any] | None,
        numpy: Any = None,
        variadic: bool = False,
        domain: Any = (-3.0, 3.0),
        kinks: Sequence[float] = (),
        edges: Sequence[float] = (),
        linear: str | None = None,
        tangent: Any = None,
        real_only: bool = False,
        ulps: tuple[float, ...] = _ULPS,
        sample: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]] | None = None,
        label: str | None = None,
        operator: str | None = None,
        pointwise: bool | None = None,
    ) -> None:
        self.name, self.label = name, name if label is None else label
        self.forward, self.rules, self.variadic, self.operator = forward, rules, variadic, operator
        self.domain, self.kinks, self.edges, self.sample = domain, tuple(kinks), tuple(edges), sample
        ufunc: Any = forward if isinstance(forward, np.ufunc) else None
        self.real_only = real_only if ufunc is None else not any(c in types for types in ufunc.types for c in "FD")
        self.ulps = ulps
        self.elementwise = ufunc is not None and ufunc.signature is None and ufunc.nout == 1
        self.pointwise = self.elementwise if pointwise is None else pointwise
        self.tangents = _tangents(name, len(rules), self.pointwise, linear, tangent)
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
        _define(self, numpy)
        function = self.function
        self.reflected: Any = (lambda y, x: function(x, y)) if len(rules) == 2 else None  # for __rsub__ and its kin

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @cached_property
    def reads(self) -> list[Any]:
        """How each rule uses ``(out, *inputs)``; None where there is no rule."""
        count = 1 if self.variadic else 1 + len(self.rules)
        reads = above.reads or (lambda rule, skip, count: (USED,) * count)
        return [None if rule is None else reads(rule, 1 + self.variadic, count) for rule in self.rules]

    @cached_property
    def reading(self) -> bool:
        """Whether a rule multiplies by something: reads the values of ``(out, *inputs)``."""
        return self.variadic or any(USED in use for use in self.reads if use is not None)

    def run(self, arrays: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, None]:
        """The forward on bare arrays; an elementary primitive has no residuals."""
        if self.operator and not all(array.__class__ in PYTHON_NUMBERS for array in arrays):
            return arrayed(self.operate(*arrays)), None
        return arrayed(self.forward(*arrays, **attrs)), None

    def keep(self, arrays: Sequence[Any], parents: Sequence[Any], out: Any, residuals: None) -> tuple[Any, ...]:
        """``(out, *inputs)`` with whatever no rule will read replaced by None, or by its shape alone."""
        if self.variadic:
            return (out if self.reads[0][0] else None, *arrays)  # type: ignore[index]
        use = [UNUSED] * (1 + len(arrays))
        for position, (parent, read) in enumerate(zip(parents, self.reads, strict=True)):
            if parent is not None:
                if read is None:
                    raise lacking(self, position)
                use = [max(pair) for pair in zip(use, read, strict=True)]
        held = zip((out, *arrays), use, strict=True)
        return tuple([a if a is None or u == USED else ShapeOnly(a) if u == SHAPE else None for a, u in held])


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
    tangent, real_only, ulps, sample, label, formula, numpy, pointwise
        Facts: docs/add-an-op.md says each. Without ``tangent`` tangents go through the composed definition.

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

    def __init__(
        self,
        name: str,
        *,
        composed: Callable[..., Any],
        forward: Callable[..., tuple[Any, Any]],
        backward: Callable[[Any, Any, tuple[bool, ...]], Sequence[Any]],
        tangent: Sequence[Callable[..., Any] | None] | None = None,
        real_only: bool = False,
        ulps: tuple[float, ...] = _ULPS,
        sample: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]] | None = None,
        label: str | None = None,
        formula: str = "",
        numpy: Any = None,
        pointwise: bool = False,
    ) -> None:
        self.pointwise = pointwise
        self.name, self.label, self.formula = name, name if label is None else label, formula
        self.composed, self.forward, self.backward = composed, forward, backward
        self.tangents = None if tangent is None else tuple(tangent)
        self.real_only, self.ulps = real_only, ulps
        self.sample = sample
        self.parameters = _parameters(forward)
        self.inputs = tuple(p.name for p in self.parameters if p.kind is not p.KEYWORD_ONLY)
        ours, theirs = ([p.name for p in params] for params in (self.parameters, _parameters(composed)))
        if ours != theirs:
            raise ArgumentError(f"Fused {name!r}: composed takes {theirs}, forward takes {ours}; they must agree")
        _define(self, numpy)
        self.with_residuals = public(self, self._with_residuals, "with_residuals")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def run(self, arrays: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, Any]:
        """The forward on bare arrays and its residuals."""
        # The scalar of a tensor without axes becomes an array: a hand-written forward may work in place.
        arrays = [np.asarray(a) if isinstance(a, np.generic) else a for a in arrays]
        out, residuals = self.forward(*arrays, **attrs)
        return arrayed(out), residuals

    def keep(self, arrays: Sequence[Any], parents: Sequence[Any], out: Any, residuals: Any) -> tuple[Any, ...]:
        """The inputs, for the composed definition; the residuals and which gradients are wanted, for the backward."""
        return tuple(arrays), residuals, tuple([parent is not None for parent in parents])

    def _with_residuals(self, inputs: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, Any]:
        """What :func:`apply` gives, and the residuals of the fused forward."""
        state = current_state()
        if state is not None and state.composed:
            return apply(self, inputs, attrs), self.run(_read(_known(self, inputs))[0], attrs)[1]
        box: list[Any] = []
        return apply(self, inputs, attrs, box), box[0]


def _define(op: Any, numpy: Any) -> None:
    """Register an operation and make its public function, also under the names of NumPy's callables."""
    registry[op.name] = op
    op.function = public(op, lambda inputs, attrs: apply(op, inputs, attrs))
    if numpy is None:  # a ufunc that another operation has stays its own
        free = isinstance(op.forward, np.ufunc) and differentiable.get(op.forward, op.function).__name__ == op.name
        numpy = [op.forward] if free else []
    for callable_ in numpy if isinstance(numpy, (list, tuple)) else [numpy]:
        differentiable[callable_] = op.function


def _parameters(function: Any, rules: Sequence[Any] = ()) -> list[inspect.Parameter]:
    if isinstance(function, np.ufunc):
        # A ufunc does not say what its arguments are called; the rules do.
        codes = [code for code in (getattr(r, "__code__", None) for r in rules) if code and code.co_argcount > 2]
        names: Any = codes[0].co_varnames[2 : codes[0].co_argcount] if codes else ()
        names = names if len(names) == function.nin else "xyzuvwabcd"[: function.nin]
        return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    return list(inspect.signature(function).parameters.values())


def public(op: Any, call: Callable[[Any, Any], Any], name: str = "function") -> Callable[..., Any]:
    """A function with the forward's signature, that does ``call(inputs, attrs)``."""
    function = (above.function or plain_function)(op, call, name)
    function.__name__ = function.__qualname__ = op.name
    function.__module__ = "autodiff"
    source = getattr(op, "composed", op.forward)
    named = not isinstance(source, np.ufunc) and getattr(source, "__name__", "<lambda>") != "<lambda>"
    places = (("numpy", np), ("numpy.linalg", np.linalg), ("numpy.fft", np.fft))
    title = next((f"{place}.{op.name}" for place, module in places if hasattr(module, op.name)), op.name)
    function.__doc__ = (named and source.__doc__) or (
        f"Differentiable ``{title}``: a Tensor out; the gradient's formula is the rule of"
        f" ``autodiff.registry[{op.name!r}]``."
    )
    function.__signature__ = inspect.Signature(op.parameters)
    function.__autodiff__ = op
    return function  # type: ignore[no-any-return]


def plain_function(op: Any, call: Callable[[Any, Any], Any], name: str) -> Any:
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
        return call(inputs, {name: value for name, value in values.items() if name not in op.inputs})

    return function


UNUSED, SHAPE, USED = 0, 1, 2


class ShapeOnly:
    """Stands in for an input of which a rule reads nothing but the shape or dtype, so that its array may die."""

    __slots__ = ("dtype", "ndim", "shape", "size")

    def __init__(self, array: Any) -> None:
        if not isinstance(array, np.ndarray | np.generic):
            array = np.asarray(array)
        self.shape, self.ndim, self.dtype, self.size = array.shape, array.ndim, array.dtype, array.size


# --- reading inputs -------------------------------------------------------------------------------------------------


#: What a program cannot change: nothing of it need be copied.
_FIXED = PYTHON_NUMBERS | {type(None), str, type(Ellipsis)}


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
    if kind is np.ndarray:
        return hold(value)
    if kind is tuple or kind is list:
        return kind([part if part.__class__ in _FIXED else hold_argument(part) for part in value])
    return value


def coerce(op: Any, place: int, value: Any) -> Any:
    """An input as a Tensor, an ndarray, a Python number or None."""
    kind = value.__class__
    if hasattr(value, "_node") or kind is np.ndarray or kind in PYTHON_NUMBERS or value is None:
        return value
    return above.read(op, place, value)


def _known(op: Any, inputs: Sequence[Any]) -> list[Any]:
    return [coerce(op, place, value) for place, value in enumerate(inputs)]


def _read(inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The bare array of each input, and its node."""
    arrays = [value._data if hasattr(value, "_node") else value for value in inputs]
    return arrays, [getattr(value, "_node", None) for value in inputs]


# --- applying an operation ------------------------------------------------------------------------------------------


def apply(
    op: Primitive | Fused, inputs: Sequence[Any], attrs: dict[str, Any], residuals: list[Any] | None = None
) -> Any:
    """Run the forward of ``op`` on bare arrays and, where an input asks for a gradient, leave a node behind.

    Parameters
    ----------
    op : Primitive or Fused
    inputs : sequence of Tensor, array_like or None
    attrs : dict
        The arguments that are no array inputs.
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
    inputs = _known(op, inputs)
    if state is not None and state.levels:
        level = above.level(inputs)
        if level is not None:
            return above.apply_at(op, inputs, attrs, level, residuals)
    if state is not None and state.tracer is not None:
        return state.tracer.apply(op, inputs, attrs, residuals)
    arrays, parents = _read(inputs)
    if op.fused and any(parent is not None for parent in parents):
        # What the forward leaves for the backward may be, or share, an input.
        arrays = [
            a.copy("K") if a is v and a.__class__ is np.ndarray else a for a, v in zip(arrays, inputs, strict=True)
        ]
    if state is not None and state.composed and op.fused:
        return _run_composed(op, inputs, arrays, attrs)
    started = perf_counter()
    try:
        out, kept = op.run(arrays, attrs)
    except Exception as error:
        raise explain(op, error, inputs) from error
    seconds = perf_counter() - started
    if residuals is not None:
        residuals.append(kept)
    if state is not None and state.anomaly:
        above.check(op, arrays, out)
    return leave(op, inputs, attrs, arrays, parents, out, kept, state, seconds)


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
    outs = out if isinstance(out, tuple) else (out,)
    # Integers and booleans carry no gradient; an operation that makes them is a constant.
    floating = [o.dtype.kind in "fc" for o in outs]
    node = None
    if any(floating) and (state is None or state.grad) and any(parent is not None for parent in parents):
        several = isinstance(out, tuple)
        shape = tuple(o.shape for o in out) if several else out.shape
        dtype = tuple(o.dtype for o in out) if several else out.dtype
        saved = op.keep(arrays, parents, out, kept)
        if not op.fused:
            plain = {id(a) for a, v in zip(arrays, inputs, strict=True) if a is v and a.__class__ is np.ndarray}
            saved = tuple([hold(a) if id(a) in plain else a for a in saved])
        attrs = {name: hold_argument(value) for name, value in attrs.items()}
        node = Node(op, tuple(parents), saved, attrs or None, shape, dtype, _noted(inputs, arrays, parents))
        if state is not None and above.note is not None:
            above.note(node, state, out, arrays, seconds)
    if isinstance(out, tuple):
        return tuple([wrap(o, pick(node, i) if node and floating[i] else None) for i, o in enumerate(out)])
    result = wrap(out, node)
    if out.__class__ is np.ndarray and above.view is not None and (out.base is not None or out is arrays[0]):
        above.view(op, inputs, attrs, arrays, result)
    return result


def _noted(inputs: Sequence[Any], arrays: Sequence[Any], parents: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The facts of inputs that are constants, for pictures."""
    given = enumerate(zip(inputs, arrays, parents, strict=True))
    return [noted(i, value, array) for i, (value, array, parent) in given if parent is None and array is not None]


def noted(i: int, value: Any, array: Any) -> tuple[Any, ...]:
    """What ``Node.noted`` holds of a constant input."""
    if array.__class__ in PYTHON_NUMBERS:
        return (i, array)
    return (i, array.shape, array.dtype, None if value is array else getattr(value, "name", None))


def _run_composed(op: Any, inputs: Sequence[Any], arrays: Sequence[Any], attrs: dict[str, Any]) -> Any:
    tensors = [
        value if hasattr(value, "_node") or array is None else wrap(np.asarray(array), None)
        for value, array in zip(inputs, arrays, strict=True)
    ]
    try:
        return op.composed(*tensors, **attrs)
    except Exception as error:
        raise explain(op, error, inputs) from error


def arrayed(out: Any) -> Any:
    """A forward's result as an array or NumPy scalar, or a tuple of them."""
    if isinstance(out, tuple):
        return tuple([arrayed(part) for part in out])
    return out if hasattr(out, "dtype") else np.asarray(out)


# --- links: nodes without arithmetic --------------------------------------------------------------------------------


class _Link(Operation):
    """An operation of the engine's own: it passes a value on under another identity."""

    inputs = ("x",)

    def __init__(self, name: str, pull: Callable[[Node, Any, bool], list[Any]]) -> None:
        self.name = self.label = name
        self.pull = pull


def _pull_pick(node: Node, g: Any, recording: bool) -> list[Any]:
    # What reaches an operation with several outputs is a list with an entry for each.
    whole: list[Any] = [None] * len(node.parents[0].shape)
    whole[node.attrs["index"]] = g
    return [whole]


ALIAS = _Link("identity", lambda node, g, recording: [g])
PICK = _Link("output", _pull_pick)


def _link(op: _Link, parent: Any, shape: Any, dtype: Any, attrs: dict[str, Any] | None) -> Node:
    node = Node(op, (parent,), (), attrs, shape, dtype)
    state = current_state()
    if state is not None and state.mark is not None:
        node.set_extra("mark", state.mark)
    return node


def alias(tensor: Any) -> Any:
    """The same value under a node of its own, at which a derivative can be cut out of a larger graph."""
    tick()
    parent = tensor._node
    return wrap(tensor._data, _link(ALIAS, parent, parent.shape, parent.dtype, None))


def pick(node: Node, index: int) -> Node:
    """The node of output ``index`` of an operation with several outputs."""
    return _link(PICK, node, node.shape[index], node.dtype[index], {"index": index})


# --- complaints -----------------------------------------------------------------------------------------------------


def argument(op: Any, position: int) -> str:
    """An input's name, or its number, for messages."""
    names = op.inputs
    return repr(names[position]) if position < len(names) else str(position)


def lacking(op: Any, position: int) -> NotDifferentiableError:
    """What to raise where an input without a gradient asks for one."""
    return NotDifferentiableError(
        f"{op.name} has no gradient with respect to its argument {argument(op, position)}; pass that argument through"
        " autodiff.constant(...)"
    )


def explain(op: Any, error: Exception, inputs: Sequence[Any]) -> Exception:
    """The error to raise for NumPy's: with the operation and its inputs' shapes and dtypes."""
    return error if above.explain is None else above.explain(op, error, inputs)  # type: ignore[no-any-return]
