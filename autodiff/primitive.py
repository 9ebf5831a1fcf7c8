"""What an operation is, and how one line of definition becomes fast code.

Two kinds. A :class:`Primitive` is a NumPy forward with one gradient rule per argument, ``rule(g, out, *inputs, **attrs)``, in plain
NumPy. A :class:`Fused` is three functions: the composed definition (the truth), a fast forward, a hand-derived
backward. Making either registers it, maps the NumPy callable to it, and builds ``.function``, the public function.

For the hot elementwise operations that function is not a generic wrapper but code written out for this one operation
(`exec` of a template, as `dataclasses` does): it costs a third of a microsecond where a generic apply costs three. Everything
else, and every unusual case of the hot ones, goes through :func:`record`, which is the readable statement of what
applying an operation means.
"""

from __future__ import annotations

import dis
import inspect
import linecache
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any

import numpy as np

from autodiff import dispatch, engine, views
from autodiff.engine import Pending, ShapeOnly, fit, pick, pull_elementary, pull_fused, wrap
from autodiff.errors import (
    AnomalyError,
    ArgumentError,
    AutodiffError,
    DTypeError,
    NotDifferentiableError,
    ShapeError,
)
from autodiff.graph import Constant, ElementwiseNode, GeneralNode, Node
from autodiff.modes import State, current_state

__all__ = ["Fused", "Primitive", "record", "registry"]

#: Every operation by name: what the laws, the tables and the command line iterate over.
registry: dict[str, Primitive | Fused] = {}

#: Python's own numbers are weak: they take the dtype of the array that they meet (NEP 50).
_PYTHON_NUMBERS = frozenset({bool, int, float, complex})
_FLOAT_SCALARS = frozenset({np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128, np.clongdouble})

_PACKAGE = str(Path(__file__).parent)


# --- reading inputs -----------------------------------------------------------------------------------------------


def coerce(op: Any, position: int, value: Any) -> Any:
    """An input that is no Tensor, as a bare array or a Python number."""
    kind = value.__class__
    if kind is np.ndarray or kind in _PYTHON_NUMBERS or value is None:
        return value
    if isinstance(value, (list, tuple)) and any(hasattr(item, "_node") for item in _flat(value)):
        raise DTypeError(
            f"{op.name}: argument {_argument(op, position)} is a {kind.__name__} that holds Tensors; "
            "join them first with autodiff.array([...]) or autodiff.stack([...])"
        )
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise DTypeError(
            f"{op.name}: argument {_argument(op, position)} is a {kind.__name__} that makes an array of dtype "
            f"{array.dtype}; pass numbers"
        )
    return array


def _flat(value: Any) -> Any:
    for item in value:
        if isinstance(item, (list, tuple)):
            yield from _flat(item)
        else:
            yield item


def _argument(op: Any, position: int) -> str:
    names = op.inputs
    return repr(names[position]) if position < len(names) else str(position)


def _facts(value: Any) -> str:
    if value is None or value.__class__ in _PYTHON_NUMBERS:
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


# --- what a rule reads ----------------------------------------------------------------------------------------------

_UNUSED, _SHAPE, _USED = 0, 1, 2
_SHAPE_ATTRIBUTES = frozenset({"shape", "dtype", "ndim", "size"})

# The instructions of CPython 3.11 to 3.14 that rules are made of: those that put parameters on the stack, those that do other things with
# local variables, and those that do neither. A rule with any other instruction, of a later Python say, counts as reading everything.
_LOADS = frozenset({"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"})
_ON_LOCALS = frozenset(
    """STORE_FAST DELETE_FAST LOAD_FAST_AND_CLEAR STORE_FAST_LOAD_FAST STORE_FAST_STORE_FAST
    LOAD_CLOSURE LOAD_DEREF STORE_DEREF MAKE_CELL""".split()
)
_ON_NEITHER = frozenset(
    """BINARY_OP BINARY_SLICE BINARY_SUBSCR BUILD_LIST BUILD_MAP BUILD_SLICE BUILD_STRING BUILD_TUPLE CALL CALL_FUNCTION_EX
    CALL_INTRINSIC_1 CALL_KW COMPARE_OP CONTAINS_OP CONVERT_VALUE COPY COPY_FREE_VARS END_FOR FORMAT_SIMPLE FORMAT_VALUE FOR_ITER GET_ITER
    IS_OP JUMP_BACKWARD JUMP_FORWARD KW_NAMES LIST_APPEND LIST_EXTEND LIST_TO_TUPLE LOAD_ATTR LOAD_CONST LOAD_GLOBAL LOAD_METHOD
    LOAD_SMALL_INT MAKE_FUNCTION NOP NOT_TAKEN POP_ITER POP_JUMP_FORWARD_IF_FALSE POP_JUMP_FORWARD_IF_NONE POP_JUMP_FORWARD_IF_NOT_NONE
    POP_JUMP_FORWARD_IF_TRUE POP_JUMP_IF_FALSE POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE POP_JUMP_IF_TRUE POP_TOP PRECALL PUSH_NULL
    RAISE_VARARGS RESUME RETURN_CONST RETURN_VALUE SET_FUNCTION_ATTRIBUTE STORE_SUBSCR SWAP TO_BOOL UNARY_NEGATIVE UNARY_NOT
    UNPACK_SEQUENCE""".split()
)


def _reads(rule: Callable[..., Any], skip: int, count: int) -> tuple[int, ...]:
    """How ``rule`` uses each of its ``count`` parameters after the first ``skip``: not, for its shape, or in full.

    Read off the rule's own byte code, so that an author declares nothing and an array that no rule reads is not kept
    alive. Whatever is not plainly recognised counts as used in full.
    """
    code = getattr(rule, "__code__", None)
    if code is None or code.co_argcount < skip + count:
        return (_USED,) * count
    names = code.co_varnames[skip : skip + count]
    use = {name: _USED if name in code.co_cellvars else _UNUSED for name in names}
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG")]
    for here, following in zip(instructions, [*instructions[1:], None], strict=True):
        if here.opname in _ON_NEITHER:
            continue
        if here.opname not in _LOADS and here.opname not in _ON_LOCALS:
            return (_USED,) * count
        touched = here.argval if isinstance(here.argval, tuple) else (here.argval,)
        for place, name in enumerate(touched):
            if name not in use:
                continue
            by_shape = (
                here.opname in _LOADS
                and place == len(touched) - 1
                and following is not None
                and following.opname == "LOAD_ATTR"
                and following.argval in _SHAPE_ATTRIBUTES
            )
            use[name] = max(use[name], _SHAPE if by_shape else _USED)
    return tuple(use[name] for name in names)


# --- applying an operation ------------------------------------------------------------------------------------------


def record(op: Primitive | Fused, inputs: Sequence[Any], attrs: dict[str, Any], residuals: list[Any] | None = None) -> Any:
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
    arrays: list[Any] = []
    parents: list[Any] = []
    tracked = False
    fused = op.fused
    state = current_state()
    recorder = None if state is None else state.recorder
    for value in inputs:
        try:
            array = value._data if recorder is None else recorder.entered(value)
            parent = value._node
        except AttributeError:
            array = coerce(op, len(arrays), value)
            parent = None
            if recorder is not None:
                array = recorder.taken(array)
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
    return _leave(op, inputs, attrs, arrays, parents, tracked, out, kept, state, seconds)


def _leave(
    op: Primitive | Fused, inputs: Sequence[Any], attrs: dict[str, Any], arrays: Sequence[Any], parents: Sequence[Any],
    tracked: bool, out: Any, kept: Any, state: State | None = None, seconds: float = 0.0,
) -> Any:  # fmt: skip
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
        _note_view(op, inputs, attrs, arrays, result)
    return result


def _node(
    op: Primitive | Fused, inputs: Sequence[Any], attrs: dict[str, Any], arrays: Sequence[Any], parents: Sequence[Any],
    out: Any, kept: Any, state: State | None, seconds: float,
) -> GeneralNode:  # fmt: skip
    node = GeneralNode()
    node.op = op
    node.pull = op.pull
    node.parents = tuple(parents)
    node.attrs = attrs
    node.saved = op.keep(arrays, parents, out, kept)
    if None in parents:
        _note_constants(node, inputs, arrays)
    if state is not None:
        _note(node, state)
        if state.kept:
            node.set_extra("seen", (out, tuple(arrays), seconds))
    return node


def _note_view(op: Primitive | Fused, inputs: Sequence[Any], attrs: dict[str, Any], arrays: Sequence[Any], result: Any) -> None:
    """Link a result that shares an input tensor's memory to that tensor, so that writing into either reaches the other."""
    out = result._data
    for place, array in enumerate(arrays):
        if views.shares(out, array) and hasattr(inputs[place], "_node"):
            again = partial(_again, op, tuple(inputs[:place]), tuple(inputs[place + 1 :]), attrs)
            views.link(result, inputs[place], again, out.flags.writeable)
            return


def _again(op: Primitive | Fused, before: tuple[Any, ...], after: tuple[Any, ...], attrs: dict[str, Any], source: Any) -> Any:
    return record(op, (*before, source, *after), attrs)


def _note_constants(node: GeneralNode, inputs: Sequence[Any], arrays: Sequence[Any]) -> None:
    """The facts of inputs that ask for no gradient, for pictures."""
    constants: list[tuple[int, Any]] = []
    for i, parent in enumerate(node.parents):
        if parent is None:
            array = arrays[i]
            if array.__class__ is np.ndarray:
                constants.append((i, Constant(array.shape, array.dtype, None if inputs[i] is array else getattr(inputs[i], "name", None))))
            elif array is not None:
                number = array.__class__ in _PYTHON_NUMBERS
                constants.append((i, array if number else Constant(array.shape, array.dtype, getattr(inputs[i], "name", None))))
    node.constants = tuple(constants)


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
        f"{a.dtype}{list(a.shape)} in [{a.min():.6g}, {a.max():.6g}]" if a.size and a.dtype.kind != "c" else f"{a.dtype}{list(a.shape)}"
        for a in inputs
    )
    raise AnomalyError(f"{op.name} made {what} (first at {where} of its output) out of finite input {seen}, at {_user_line()}")


def _user_line() -> str:
    """The innermost line of the program outside this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_PACKAGE, "<autodiff")):
            return f"{file}:{frame.f_lineno}: {linecache.getline(file, frame.f_lineno).strip()}"
        frame = frame.f_back
    return "unknown line"


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
        One per array input: ``rule(g, out, *inputs, **attrs)`` returns the gradient with respect to that input, given the
        gradient ``g`` of the output. Plain NumPy: it is called with arrays, or with Tensors when its own derivative is
        wanted. It need not sum over broadcast axes nor care for the dtype. It returns a new array, ``g`` or a view of
        ``g``. None for an input without a gradient, such as indices.
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
        self.inputs = tuple(p.name for p in self.parameters if p.kind is p.VAR_POSITIONAL) if variadic else tuple(
            p.name for p in self.parameters[: len(rules)]
        )
        if variadic and len(rules) != 1:
            raise ArgumentError(f"Primitive {name!r}: a variadic operation has exactly one rule, got {len(rules)}")
        if not rules or (not variadic and len(self.inputs) != len(rules)):
            raise ArgumentError(
                f"Primitive {name!r}: {len(rules)} rules for a forward with parameters {[p.name for p in self.parameters]}; "
                "give one rule per array input"
            )
        self.pull: Callable[[Node, Any, Pending], None] = pull_elementary
        self._reads = [
            None if rule is None else _reads(rule, 1 + variadic, 1 if variadic else 1 + len(rules)) for rule in rules
        ]
        self.reflected: Callable[..., Any] | None = None
        _register(self)
        self.function = _hot(self, operator) if self.elementwise and len(rules) <= 2 else _public(self) if variadic else _direct(self)
        _map_numpy(self, numpy)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Primitive({self.name!r})"

    def run(self, arrays: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, None]:
        """The forward on bare arrays; an elementary primitive has no residuals."""
        return _arrayed_all(self.forward(*arrays, **attrs)), None

    def keep(self, arrays: Sequence[Any], parents: Sequence[Any], out: Any, kept: None) -> tuple[Any, ...]:
        """``(out, *inputs)`` with whatever no rule will read replaced by None or by its shape alone."""
        if self.variadic:
            (reads,) = self._reads
            assert reads is not None
            return (out if reads[0] else None, *arrays)
        use = self._uses(tuple(parent is not None for parent in parents))
        held = [
            array if array is None or u == _USED else (ShapeOnly(array) if u == _SHAPE else None)
            for array, u in zip((out, *arrays), use, strict=True)
        ]
        return tuple(held)

    def _uses(self, needs: tuple[bool, ...]) -> tuple[int, ...]:
        wanted = []
        for position, (need, rule, reads) in enumerate(zip(needs, self.rules, self._reads, strict=True)):
            if not need:
                continue
            if rule is None or reads is None:
                raise NotDifferentiableError(
                    f"{self.name} has no gradient with respect to its argument {_argument(self, position)}; "
                    "pass that argument through autodiff.constant(...)"
                )
            wanted.append(reads)
        return tuple(max(column) for column in zip(*wanted, strict=True))


class Fused:
    """An operation with a hand-derived gradient, beside the composed definition that it must equal.

    Parameters
    ----------
    name : str
    composed : callable
        ``composed(*inputs, **attrs)``: the definition in plain NumPy calls, which work on arrays and on Tensors. Positional
        parameters are the array inputs (an array or None), keyword-only ones the attributes.
    forward : callable
        ``forward(*inputs, **attrs) -> (out, residuals)`` on bare arrays, at full speed. ``out`` may be a tuple of arrays.
    backward : callable
        ``backward(g, residuals, needs)`` returns one gradient (or None) per array input; ``needs`` holds a bool for each.
        It writes into none of its arguments and returns none of them but ``g``. With several outputs ``g`` is a tuple.
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
                f"Fused {name!r}: composed takes {theirs}, forward takes {tuple(p.name for p in self.parameters)}; they must agree"
            )
        self.pull: Callable[[Node, Any, Pending], None] = pull_fused
        _register(self)
        self.function = _applied(self, "_record(_op, {inputs}, {attrs})", "{out}")
        self._function_with_residuals = _applied(self, "_op.watched({inputs}, {attrs})", "({out}, _residuals)")
        _map_numpy(self, numpy)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Fused({self.name!r})"

    def run(self, arrays: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, Any]:
        """The forward on bare arrays and its residuals."""
        out, residuals = self.forward(*arrays, **attrs)
        return _arrayed_all(out), residuals

    def keep(self, arrays: Sequence[Any], parents: Sequence[Any], out: Any, kept: Any) -> tuple[Any, ...]:
        """The inputs, for the composed definition; the residuals and which gradients are wanted, for the backward."""
        return tuple(arrays), kept, tuple([parent is not None for parent in parents])

    def with_residuals(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Apply it and hand out the forward's residuals too, for state such as batch statistics.

        Returns
        -------
        (Tensor or tuple of Tensor, residuals)
        """
        pair: tuple[Any, Any] = self._function_with_residuals(*args, **kwargs)
        return pair

    def watched(self, inputs: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, Any]:
        """:meth:`with_residuals` in any state but the ordinary one."""
        state = current_state()
        if state is not None and state.composed:
            arrays = [value._data if hasattr(value, "_node") else coerce(self, i, value) for i, value in enumerate(inputs)]
            return record(self, inputs, attrs), self.run(arrays, attrs)[1]
        box: list[Any] = []
        return record(self, inputs, attrs, box), box[0]


def _arrayed(out: Any) -> Any:
    return out if hasattr(out, "dtype") else np.asarray(out)


def _arrayed_all(out: Any) -> Any:
    return tuple(_arrayed(o) for o in out) if isinstance(out, tuple) else _arrayed(out)


# --- from a definition to a function ------------------------------------------------------------------------------------


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


def _documentation(op: Primitive | Fused) -> str:
    source = op.composed if isinstance(op, Fused) else op.forward
    text = inspect.getdoc(source) if not isinstance(source, np.ufunc) and "lambda" not in getattr(source, "__name__", "") else None
    if text:
        return text
    return f"Differentiable ``numpy.{op.name}``: a Tensor out; the gradient's formula is the rule of ``autodiff.registry[{op.name!r}]``."


def _compile(op: Primitive | Fused, source: str, names: dict[str, Any]) -> Callable[..., Any]:
    scope: dict[str, Any] = {**_shared(), "op": op, **names}
    if engine._Tensor is None:
        _early_scopes.append(scope)
    exec(compile(source, f"<autodiff {op.name}>", "exec"), scope)
    function: Callable[..., Any] = scope["function"]
    function.__name__ = function.__qualname__ = op.name
    function.__module__ = "autodiff"
    function.__doc__ = _documentation(op)
    function.__autodiff__ = op  # type: ignore[attr-defined]
    return function


# The library's own operations are compiled before the class that wraps their results exists, since its operators are made of
# them; their namespaces wait here for it.
_early_scopes: list[dict[str, Any]] = []


def bind_tensor(cls: type) -> None:
    """Tell the engine and the compiled operations which class wraps results (called once, by tensor.py)."""
    engine.bind_tensor(cls)
    for scope in _early_scopes:
        scope["Tensor"] = cls
    _early_scopes.clear()


def _shared() -> dict[str, Any]:
    return {
        "Pending": Pending,
        "Tensor": engine._Tensor,
        "explain": explain,
        "fit": fit,
        "new": object.__new__,
        "numbers": _PYTHON_NUMBERS,
        "record": record,
        "state": current_state,
    }


def _public(
    op: Primitive | Fused, body: str = "    return record(op, {inputs}, {attrs})", names: dict[str, Any] | None = None, more: str = ""
) -> Callable[..., Any]:
    """A function with the forward's own signature, so that Python itself binds the arguments; by default it calls record.

    ``more`` is source that is compiled with it.
    """
    defaults: dict[str, Any] = {}
    signature: list[str] = []
    keyword_only = False
    for p in op.parameters:
        if p.kind is p.KEYWORD_ONLY and not keyword_only and not any(q.kind is q.VAR_POSITIONAL for q in op.parameters):
            signature.append("*")
        keyword_only = keyword_only or p.kind is p.KEYWORD_ONLY
        if p.kind is p.VAR_POSITIONAL:
            signature.append(f"*{p.name}")
        elif p.default is p.empty:
            signature.append(p.name)
        else:
            defaults[f"_default_{p.name}"] = p.default
            signature.append(f"{p.name}=_default_{p.name}")
    inputs = op.inputs[0] if op.variadic else f"({', '.join(op.inputs)},)"
    attrs = "{" + ", ".join(f"{p.name!r}: {p.name}" for p in op.parameters if p.name not in op.inputs) + "}"
    source = f"def function({', '.join(signature)}):\n{body.format(inputs=inputs, attrs=attrs)}\n{more}"
    return _compile(op, source, {**defaults, **(names or {})})


# record() and _leave() written out for one fused operation in the ordinary state: out comes one array of floats that shares memory with no input.
# The small network of benchmarks/training.py spends a third of its step in such calls.
_APPLIED = """
    if _state() is not None:
        return {elsewhere}
{reading}
    try:
        _out, _residuals = _forward({call})
    except Exception as _error:
        raise _explain(_op, _error, {inputs}) from _error
    _kind = _out.__class__
    if (_kind is not _ndarray or _out.base is not None or _out is _a0) and _kind not in _numbers or _out.dtype.kind not in "fc":
        _out = _leave(_op, {inputs}, {attrs}, ({arrays},), ({parents},), {tracked}, _arrayed(_out), _residuals)
        return {unusual}
    _tensor = _new(Tensor)
    _tensor._data = _out
    if {untracked}:
        _tensor._node = None
        return {usual}
    _tensor._node = _node = _Node()
    _node.op = _op
    _node.pull = _compiled_pull
    _node.parents = ({parents},)
    _node.attrs = {attrs}
    _node.saved = (({arrays},), _residuals, ({needs},))
    _node.shape = _out.shape
    _node.dtype = _out.dtype
    if {partly}:
        _note_constants(_node, {inputs}, ({arrays},))
    return {usual}
"""

_READING = """
    if {name}.__class__ is _ndarray or {name} is None:
        {array} = {name}
        {parent} = None
    else:
        try:
            {array} = {name}._data
            {parent} = {name}._node
        except AttributeError:
            {array} = _coerce(_op, {i}, {name})
            {parent} = None
"""

# A hand-written forward may work in place.
_AS_ARRAY = """
        if {array}.__class__ is not _ndarray and isinstance({array}, _generic):
            {array} = _asarray({array})
"""

# pull_fused() written out likewise, for one cotangent that is a plain array.
_APPLIED_PULL = """
def _compiled_pull(node, g, pending):
    saved = node.saved
    if g.__class__ is not _ndarray and g.__class__ in _numbers:
        g = _asarray(g)
    if saved is None or g.__class__ is not _ndarray or pending.recording:
        return _pull(node, g, pending)
    {results}, = _op.backward(g, saved[1], saved[2])
    {parents}, = node.parents
{sending}
"""

_APPLIED_SENDING = """
    if p{i} is not None:
        if h{i} is None:
            raise _lacking(_op, {i})
        if h{i}.dtype is not p{i}.dtype or h{i}.shape != p{i}.shape:
            h{i} = fit(h{i}, p{i}, _op)
        if p{i} in pending:
            pending.add(p{i}, h{i})
        else:
            pending[p{i}] = h{i}
"""


# The same for an elementary operation that is not elementwise, with a pull of its own.
_DIRECT = """
    if _state() is not None:
        return _record(_op, {inputs}, {attrs})
{reading}
    try:
        _out = _forward({call})
    except Exception as _error:
        raise _explain(_op, _error, {inputs}) from _error
    _kind = _out.__class__
    if _kind is not _ndarray and _kind not in _numbers or _out.dtype.kind not in "fc":
        return _leave(_op, {inputs}, {attrs}, ({arrays},), ({parents},), {tracked}, _arrayed(_out), None)
    _tensor = _new(Tensor)
    _tensor._data = _out
    if {untracked}:
        _tensor._node = None
    else:
        _tensor._node = _node = _Node()
        _node.op = _op
        _node.pull = _direct_pull
        _node.parents = ({parents},)
        _node.attrs = {attrs}
        _node.saved = {saved}
        _node.shape = _out.shape
        _node.dtype = _out.dtype
        if {partly}:
            _note_constants(_node, {inputs}, ({arrays},))
    if _kind is _ndarray and (_out.base is not None or _out is _a0):
        _note_view(_op, {inputs}, {attrs}, ({arrays},), _tensor)
    return _tensor
"""

# pull_elementary() written out likewise. All rules are applied before anything is sent, so that the general pull may start anew.
_DIRECT_PULL = """
def _direct_pull(node, g, pending):
    saved = node.saved
    if saved is None or g.__class__ is list:
        return _pull(node, g, pending)
    attrs = node.attrs
    {parents}, = node.parents
{gradients}
{sending}
"""

_DIRECT_GRADIENT = """
    if p{i} is not None:
        h{i} = _rule{i}(g, *saved, **attrs)
        if h{i}.__class__ is not _ndarray or h{i}.dtype is not p{i}.dtype or h{i}.shape != p{i}.shape:
            h{i} = fit(h{i}, p{i}, _op)
"""

_DIRECT_SENDING = """
    if p{i} is not None:
        if p{i} in pending:
            pending.add(p{i}, h{i})
        else:
            pending[p{i}] = h{i}
"""


def _fields(op: Primitive | Fused, scalars: str) -> dict[str, str]:
    """What the templates of one operation share; ``scalars`` is what to do with the NumPy scalar of a tensor without axes."""
    places = range(len(op.inputs))

    def each(text: str, separator: str = ", ") -> str:
        return separator.join(text.format(i=i) for i in places)

    reading = [_READING.format(name=name, array=f"_a{i}", parent=f"_p{i}", i=i).strip("\n") for i, name in enumerate(op.inputs)]
    if scalars:
        reading = [text + "\n" + scalars.format(array=f"_a{i}").strip("\n") for i, text in enumerate(reading)]
    return {
        "reading": "\n".join(reading),
        "call": ", ".join([*(f"_a{i}" for i in places), *(f"{p.name}={p.name}" for p in op.parameters if p.name not in op.inputs)]),
        "arrays": each("_a{i}"),
        "parents": each("_p{i}"),
        "tracked": each("_p{i} is not None", " or "),
        "untracked": each("_p{i} is None", " and "),
        "partly": each("_p{i} is None", " or "),
        "needs": each("_p{i} is not None"),
        "inputs": "{inputs}",
        "attrs": "{attrs}",
    }


def _pull_source(op: Primitive | Fused, template: str, **parts: str) -> str:
    """The source of a pull whose ``parts`` are written once for every input."""
    places = range(len(op.inputs))
    fields = {name: "\n".join(text.format(i=i).strip("\n") for i in places) for name, text in parts.items()}
    return template.format(parents=", ".join(f"p{i}" for i in places), results=", ".join(f"h{i}" for i in places), **fields)


def _names(op: Primitive | Fused) -> dict[str, Any]:
    """What the templates' code reaches for; names with an underscore, since the parameters may have any others."""
    names = {
        "Node": GeneralNode, "arrayed": _arrayed_all, "asarray": np.asarray, "coerce": coerce, "explain": explain, "forward": op.forward,
        "generic": np.generic, "keep": op.keep, "lacking": engine.lacking, "leave": _leave, "ndarray": np.ndarray, "new": object.__new__,
        "note_constants": _note_constants, "note_view": _note_view, "numbers": _FLOAT_SCALARS, "op": op, "pull": op.pull, "record": record,
        "state": current_state,
    }  # fmt: skip
    return {f"_{name}": value for name, value in names.items()}


def _applied(op: Fused, elsewhere: str, result: str) -> Callable[..., Any]:
    """The function of a fused operation; ``elsewhere`` is what to return in any but the ordinary state, ``result`` what otherwise."""
    fields = _fields(op, _AS_ARRAY)
    body = _APPLIED.format(elsewhere=elsewhere, usual=result.format(out="_tensor"), unusual=result.format(out="_out"), **fields)
    return _public(op, body.strip("\n"), _names(op), _pull_source(op, _APPLIED_PULL, sending=_APPLIED_SENDING))


def _direct(op: Primitive) -> Callable[..., Any]:
    """The function of an elementary operation of a fixed number of inputs."""
    pull = _pull_source(op, _DIRECT_PULL, gradients=_DIRECT_GRADIENT, sending=_DIRECT_SENDING)
    rules = {f"_rule{i}": rule for i, rule in enumerate(op.rules)}
    fields = _fields(op, "")
    saved = "_keep(({arrays},), ({parents},), _out, None)".format(**fields)
    reads = [read for read in op._reads if read is not None]
    if len(reads) == len(op.rules) == 1:
        saved = _kept(reads[0], "_a0", out="_out")
    elif len(reads) == len(op.rules) == 2:
        left, right, both = (_kept(use, "_a0", "_a1", out="_out") for use in (*reads, _either(*reads)))
        saved = f"{left} if _p1 is None else {right} if _p0 is None else {both}"
    return _public(op, _DIRECT.format(saved=saved, **fields).strip("\n"), {**_names(op), "ShapeOnly": ShapeOnly, **rules}, pull)


# --- compiled elementwise operations ---------------------------------------------------------------------------------------
#
# What follows writes record() and pull_elementary() out for one operation, with every question left out that its definition answers. The
# function handles Tensors of equal shape and dtype, and Tensors with Python numbers, in the ordinary state; all else goes to the code above. Gain
# measured by benchmarks/overhead.py and scalar_chain.py: 0.6 us a call against 2.4, and as much again on the way back.
#
# Where a rule is plain arithmetic on its arguments, its text is read off its byte code and put in place of the call, and the result is
# known to have the cotangent's shape and dtype, so that nothing is asked of it; dtype and shape of an array cost more than a function call.

_ARITHMETIC = frozenset({"+", "-", "*", "/"})
_SILENT = frozenset({"RESUME", "CACHE", "NOP", "NOT_TAKEN", "EXTENDED_ARG"})


def _arithmetic(rule: Callable[..., Any], names: Sequence[str]) -> str | None:
    """The rule as an expression in ``names``, its parameters in order, if it is nothing but sums and products of them; else None.

    A machine with a stack, run on text instead of numbers. An instruction that is not recognised, on a newer Python say, gives None: the
    rule is then called and its result looked at, which is slower and as right.
    """
    code = getattr(rule, "__code__", None)
    if code is None or code.co_argcount != len(names) or code.co_freevars or code.co_cellvars or code.co_kwonlyargcount or code.co_flags & 0x0C:
        return None
    text = dict(zip(code.co_varnames, names, strict=False))
    stack: list[str] = []
    for step in dis.get_instructions(code):
        if step.opname in _SILENT:
            continue
        if step.opname in _LOADS:
            loaded = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            if not all(name in text for name in loaded):
                return None
            stack += [text[name] for name in loaded]
        elif step.opname in ("LOAD_CONST", "LOAD_SMALL_INT") and step.argval.__class__ in (int, float):
            stack.append(f"({step.argval!r})")
        elif step.opname == "BINARY_OP" and step.argrepr in _ARITHMETIC and len(stack) >= 2:
            right, left = stack.pop(), stack.pop()
            stack.append(f"({left} {step.argrepr} {right})")
        elif step.opname == "UNARY_NEGATIVE" and stack:
            stack.append(f"(-{stack.pop()})")
        elif step.opname == "RETURN_VALUE" and len(stack) == 1:
            return stack[0] if "g" in re.findall(r"\w+", stack[0]) else None
        else:
            return None
    return None


_FUNCTION = """
def function({parameters}):
    try:
        a = x._data
        p = x._node
    except AttributeError:
        return general({inputs})
    if p is None or state() is not None:
        return general({inputs})
    shape = p.shape
{second}
    if not shape and a.__class__ is ndarray:
        a = a[()]  # NumPy computes with a scalar ten times as fast as with an array of no axes
    try:
        out = {expression}
    except Exception as error:
        raise explain(op, error, ({inputs},)) from error
{node}
"""

_NODE = """
node = Node()
node.op = op
kind = out.__class__
# Of a NumPy scalar the class tells the dtype, which would take a sixth of the call to ask for.
dtype = {parent}.dtype if kind is not ndarray and kind is {array}.__class__ else out.dtype
node.pull = {pull} if dtype is {parent}.dtype else op.pull
node.first = {first}
node.second = {second}
node.saved = {saved}
node.shape = {parent}.shape
node.dtype = dtype
tensor = new(Tensor)
tensor._data = out
tensor._node = node
return tensor
"""

_SECOND = """
try:
    b = y._data
    q = y._node
except AttributeError:
    if y.__class__ not in numbers:
        return general(x, y)
    if not shape and a.__class__ is ndarray:
        a = a[()]
    try:
        out = {with_number}
    except Exception as error:
        raise explain(op, error, (x, y)) from error
{node}
if q is None or (q.shape is not shape and q.shape != shape) or q.dtype is not p.dtype:
    return general(x, y)
if not shape and b.__class__ is ndarray:
    b = b[()]
"""

_REFLECTED = """
def function(y, x):
    if x.__class__ not in numbers or state() is not None:
        return general(x, y)
    b = y._data
    q = y._node
    if q is None:
        return general(x, y)
    if not q.shape and b.__class__ is ndarray:
        b = b[()]
    try:
        out = {expression}
    except Exception as error:
        raise explain(op, error, (x, y)) from error
{node}
"""

_PULL = """
def {name}(node, g, pending):
    saved = node.saved
    if saved is None:
        return op.pull(node, g, pending)
    {names} = saved
{gradients}
{sending}
"""

_GRADIENT = """
{parent} = node.{slot}
{gradient} = {rule}
"""

_FITTED = """
if {gradient}.dtype is not {parent}.dtype or {gradient}.shape != {parent}.shape:
    {gradient} = fit({gradient}, {parent}, op)
"""

_SENDING = """
if {parent} not in pending:
    pending[{parent}] = {gradient}
elif {parent}.shape:
    pending.add({parent}, {gradient})
else:
    pending[{parent}] = pending[{parent}] + {gradient}
"""

# Of the first and the second input: the parent, the slot that holds it, its gradient.
_PLACES = (("p", "first", "h"), ("q", "second", "k"))


def _indented(text: str, depth: int = 1) -> str:
    return textwrap.indent(text.strip("\n"), "    " * depth)


def _pull(op: Primitive, name: str, wanted: Sequence[int]) -> str:
    """The source of a pull for nodes of ``op`` whose inputs number ``wanted`` ask for a gradient."""
    names = ("out", "x", "y")[: 1 + len(op.rules)]
    gradients, sending = [], []
    for i in wanted:
        parent, slot, gradient = _PLACES[i]
        rule = op.rules[i]
        assert rule is not None
        text = _arithmetic(rule, ("g", *names))
        fields = {"parent": parent, "slot": slot, "gradient": gradient, "rule": text or f"rule{i}(g, {', '.join(names)})"}
        gradients.append(_GRADIENT.format(**fields) + ("" if text else _FITTED.format(**fields)))
        sending.append(_SENDING.format(**fields))
    return _PULL.format(
        name=name, names=", ".join(names), gradients=_indented("".join(gradients)), sending=_indented("".join(sending))
    )


def _kept(use: Sequence[int], *names: str, out: str = "out") -> str:
    """The source of what a node saves."""
    parts = [
        "None" if u == _UNUSED else (f"(None if {name} is None else ShapeOnly({name}))" if u == _SHAPE else name)
        for name, u in zip((out, *names), use, strict=True)
    ]
    return f"({', '.join(parts)})"


def _either(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    """What two rules read together."""
    return tuple(max(pair) for pair in zip(left, right, strict=True))


def _hot(op: Primitive, operator: str | None) -> Callable[..., Any]:
    """The public function of an elementwise operation; for one of two inputs ``op.reflected``, too."""
    reads = [read for read in op._reads if read is not None]
    general = _direct(op)
    if len(reads) < len(op.rules):
        return general
    scope: dict[str, Any] = {
        "forward": op.forward, "ShapeOnly": ShapeOnly, "Node": ElementwiseNode, "general": general, "ndarray": np.ndarray
    }  # fmt: skip
    scope |= {f"rule{i}": rule for i, rule in enumerate(op.rules)}
    if len(reads) == 1:
        node = _NODE.format(pull="pull", parent="p", array="a", first="p", second="None", saved=_kept(reads[0], "a"))
        function = _FUNCTION.format(
            parameters="x", inputs="x", second="", expression=operator or "forward(a)", node=_indented(node)
        )
        return _compile(op, function + _pull(op, "pull", [0]), scope)
    left, right = reads
    either = _either(left, right)
    expression = operator or "forward(a, b)"
    reflected = _NODE.format(pull="pull", parent="q", array="b", first="x", second="q", saved=_kept(right, "x", "b"))
    op.reflected = _compile(
        op,
        _REFLECTED.format(expression=_with("a", "x", expression), node=_indented(reflected)) + _pull(op, "pull", [1]),
        scope,
    )
    number = _NODE.format(pull="pull_left", parent="p", array="a", first="p", second="y", saved=_kept(left, "a", "y"))
    second = _SECOND.format(with_number=_with("b", "y", expression), node=_indented(number))
    both = _NODE.format(pull="pull", parent="p", array="a", first="p", second="q", saved=_kept(either, "a", "b"))
    function = _FUNCTION.format(
        parameters="x, y", inputs="x, y", second=_indented(second), expression=expression, node=_indented(both)
    )
    return _compile(op, function + _pull(op, "pull", [0, 1]) + _pull(op, "pull_left", [0]), scope)


def _with(name: str, other: str, expression: str) -> str:
    """The expression with ``other`` in the place of ``name``."""
    return re.sub(rf"\b{name}\b", other, expression)
