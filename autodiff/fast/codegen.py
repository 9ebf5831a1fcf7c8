"""From an operation's definition to a function of its own: code written out by templates and run by ``exec``, as
`dataclasses` does.

It costs a third of a microsecond where a generic apply costs three. Three kinds of function: those of fused operations
and those of elementary ones (the general code of :mod:`autodiff.core.op` and of the engine's pulls, written out),
and, quickest, those of elementwise operations on tensors of one shape or a tensor and a number.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from itertools import repeat, starmap
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.core import backward as engine
from autodiff.core import op as ops
from autodiff.core.backward import Pending, ShapeOnly, fit
from autodiff.core.bytecode import SHAPE, UNUSED, arithmetic, over_one_another
from autodiff.core.graph import ElementwiseNode, GeneralNode, ScalarNode, Variable
from autodiff.core.modes import current_state
from autodiff.core.op import FLOAT_SCALARS, PYTHON_NUMBERS, arrayed, coerce, explain, leave, note_view, noted, record

if TYPE_CHECKING:
    from autodiff.core.op import Fused, Primitive

__all__ = ["bind_tensor", "direct_function", "elementwise_function", "fused_function", "general_function"]


def _documentation(op: Primitive | Fused) -> str:
    source = getattr(op, "composed", op.forward)
    text = (
        inspect.getdoc(source)
        if not isinstance(source, np.ufunc) and "lambda" not in getattr(source, "__name__", "")
        else None
    )
    if text:
        return text
    return (
        f"Differentiable ``numpy.{op.name}``: a Tensor out; the gradient's formula is the rule of"
        f" ``autodiff.registry[{op.name!r}]``."
    )


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


# The library's own operations are compiled before the class that wraps their results exists, since its operators are
# made of them; their namespaces wait here for it.
_early_scopes: list[dict[str, Any]] = []


def bind_tensor(cls: type) -> None:
    """Tell the engine and the compiled operations which class wraps results (called once, by tensor.py)."""
    engine.bind_tensor(cls)
    for scope in _early_scopes:
        scope |= _of_tensor()
    _early_scopes.clear()


def _of_tensor() -> dict[str, Any]:
    # Tensors to be filled, without end: one is there in three quarters of the time of object.__new__(Tensor), for which
    # Python packs and unpacks a tuple of arguments; a scalar chain's step takes 2 % less, a node of a long one 4 %
    # (benchmarks/scalar_chain.py, graphs.py).
    return {"Tensor": engine._Tensor, "_blanks": starmap(object.__new__, repeat((engine._Tensor,))), "_next": next}


def _shared() -> dict[str, Any]:
    return {
        **_of_tensor(),
        "Pending": Pending,
        "explain": explain,
        "fit": fit,
        "numbers": PYTHON_NUMBERS,
        "record": record,
        "state": current_state,
    }


def general_function(
    op: Primitive | Fused,
    body: str = "    return record(op, {inputs}, {attrs})",
    names: dict[str, Any] | None = None,
    more: str = "",
) -> Callable[..., Any]:
    """A function with the forward's own signature, so that Python itself binds the arguments; by default it calls
    record.

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


# record() and leave() written out for one fused operation in the ordinary state: out comes one array of floats that
# shares memory with no input. The small network of benchmarks/training.py spends a third of its step in such calls.
_APPLIED = """
    if _state() is not None:
        return {elsewhere}
{reading}
    try:
{forward}
    except Exception as _error:
        raise _explain(_op, _error, {inputs}) from _error
    _kind = _out.__class__
    if (_kind is not _ndarray or _out.base is not None or _out is _a0) and _kind not in _numbers or _out.dtype.kind not in "fc":
        _out = _leave(_op, {inputs}, {attrs}, ({arrays},), ({parents},), {tracked}, _arrayed(_out), _residuals)
        return {unusual}
    _tensor = _next(_blanks)
    _tensor._data = _out
    if {untracked}:
        _tensor._node = None
        return {usual}
    _tensor._node = _node = _Node()
    _node.op = _op
    _node.pull = _compiled_pull
    _node.g = False
    _node.parents = ({parents},)
    _node.attrs = {attrs}
    _node.saved = (({arrays},), _residuals, ({needs},))
    _node.shape = _out.shape
    _node.dtype = _out.dtype
    if {partly}:
        _node.noted = _facts = []
{noting}
    return {usual}
"""

_FORWARD = """
        _out, _residuals = _forward({call})
"""

# Of an operation that has a compiled kernel, too (kernels.either, written out).
_CHOICE = """
        _made = _kernel({call}) if _a0.size >= _threshold.least else None
        _out, _residuals = _forward({call}) if _made is None else _made
"""

_READING = """
    {absent}if {name}.__class__ is _ndarray:
        {array} = {name}
        {parent} = None
    else:
        try:
            {array} = {name}._data
            {parent} = {name}._node
        except AttributeError:
            {array} = _coerce(_op, {i}, {name})
            {parent} = None{scalars}
"""

# note_constants() written out.
_NOTING = """
        if _p{i} is None and _a{i} is not None:
            _facts.append(({i}, _a{i}.shape, _a{i}.dtype, None) if {name}.__class__ is _ndarray else _noted({i}, {name}, _a{i}))
"""

# Before it, for an input that is often left out.
_ABSENT = """if {name} is None:
        {array} = {parent} = None
    el"""

# A hand-written forward may work in place.
_AS_ARRAY = """
        if {array}.__class__ is not _ndarray and isinstance({array}, _generic):
            {array} = _asarray({array})
"""

# pull_fused() written out likewise, for one cotangent that is a plain array.
_APPLIED_PULL = """
def _compiled_pull(node, g, pending):
    if g.__class__ is not _ndarray or node.saved is None:
        if g.__class__ not in _numbers or node.saved is None:
            return _pull(node, g, pending)
        g = _asarray(g)
    _, residuals, needs = node.saved
    {results}, = _op.backward(g, residuals, needs)
    {parents}, = node.parents
    ahead = None
{sending}
    return ahead
"""

# A gradient that has its parent's shape and dtype comes to it: the first, or one more to be added.
_ARRIVING = """        if p{i}.g is False:
            p{i}.g = h{i}
            if p{i}.__class__ is _Variable:
                pending.leaves.append(p{i})
            elif ahead is None:
                ahead = p{i}
            else:
                pending.ahead.append(p{i})
        else:
            held = p{i}.g
            p{i}.g = h{i} if held is None else pending.summed(p{i}, held, h{i})"""

_APPLIED_SENDING = f"""
    if p{{i}} is not None:
        if h{{i}} is None:
            raise _lacking(_op, {{i}})
        if h{{i}}.dtype is not p{{i}}.dtype or h{{i}}.shape != p{{i}}.shape:
            h{{i}} = fit(h{{i}}, p{{i}}, _op)
{_ARRIVING}
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
    _tensor = _next(_blanks)
    _tensor._data = _out
    if {untracked}:
        _tensor._node = None
    else:
        _tensor._node = _node = _Node()
        _node.op = _op
        _node.pull = _direct_pull
        _node.g = False
        _node.parents = ({parents},)
        _node.attrs = {attrs}
        _node.saved = {saved}
        _node.shape = _out.shape
        _node.dtype = _out.dtype
        if {partly}:
            _node.noted = _facts = []
{noting_deeper}
    if _kind is _ndarray and (_out.base is not None or _out is _a0):
        _note_view(_op, {inputs}, {attrs}, ({arrays},), _tensor)
    return _tensor
"""

# pull_elementary() written out likewise. All rules are applied before anything is sent, so that the general pull may
# start anew.
_DIRECT_PULL = """
def _direct_pull(node, g, pending):
    saved = node.saved
    if saved is None or g.__class__ is list:
        return _pull(node, g, pending)
    attrs = node.attrs
    {parents}, = node.parents
    ahead = None
{gradients}
{sending}
    return ahead
"""

_DIRECT_GRADIENT = """
    if p{i} is not None:
        h{i} = _rule{i}(g, *saved, **attrs)
        if h{i}.__class__ is not _ndarray or h{i}.dtype is not p{i}.dtype or h{i}.shape != p{i}.shape:
            h{i} = fit(h{i}, p{i}, _op)
"""

_DIRECT_SENDING = f"""
    if p{{i}} is not None:
{_ARRIVING}
"""


def _fields(op: Primitive | Fused, scalars: str) -> dict[str, str]:
    """What the templates of one operation share; ``scalars`` is what to do with the NumPy scalar of a tensor without
    axes.
    """
    places = range(len(op.inputs))

    def each(text: str, separator: str = ", ") -> str:
        return separator.join(text.format(i=i) for i in places)

    reading = []
    for i, p in enumerate(op.parameters[: len(op.inputs)]):
        names = {"name": p.name, "array": f"_a{i}", "parent": f"_p{i}"}
        absent = _ABSENT.format(**names) if p.default is None else ""
        reading.append(
            _READING.format(**names, i=i, absent=absent, scalars=scalars.format(**names).rstrip()).strip("\n")
        )
    return {
        "reading": "\n".join(reading),
        "noting": "\n".join(_NOTING.format(i=i, name=name).strip("\n") for i, name in enumerate(op.inputs)),
        "call": ", ".join(
            [*(f"_a{i}" for i in places), *(f"{p.name}={p.name}" for p in op.parameters if p.name not in op.inputs)]
        ),
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
    return template.format(
        parents=", ".join(f"p{i}" for i in places), results=", ".join(f"h{i}" for i in places), **fields
    )


def _names(op: Primitive | Fused) -> dict[str, Any]:
    """What the templates' code reaches for; names with an underscore, since the parameters may have any others."""
    names = {
        "Node": GeneralNode,
        "arrayed": arrayed,
        "asarray": np.asarray,
        "coerce": coerce,
        "explain": explain,
        "forward": op.forward,
        "generic": np.generic,
        "keep": op.keep,
        "lacking": engine.lacking,
        "leave": leave,
        "ndarray": np.ndarray,
        "noted": noted,
        "note_view": note_view,
        "numbers": FLOAT_SCALARS,
        "op": op,
        "pull": op.pull,
        "record": record,
        "state": current_state,
        "Variable": Variable,
    }
    return {f"_{name}": value for name, value in names.items()}


def fused_function(op: Fused, elsewhere: str, result: str) -> Callable[..., Any]:
    """The function of a fused operation; ``elsewhere`` is what to return in any but the ordinary state, ``result`` what
    otherwise.
    """
    fields = _fields(op, _AS_ARRAY)
    choice = getattr(op.forward, "choice", {})
    forward = (_CHOICE if choice else _FORWARD).strip("\n").format(**fields)
    body = _APPLIED.format(
        forward=forward,
        elsewhere=elsewhere,
        usual=result.format(out="_tensor"),
        unusual=result.format(out="_out"),
        **fields,
    )
    names = {**_names(op), **{f"_{name}": value for name, value in choice.items()}}
    return general_function(op, body.strip("\n"), names, _pull_source(op, _APPLIED_PULL, sending=_APPLIED_SENDING))


def direct_function(op: Primitive) -> Callable[..., Any]:
    """The function of an elementary operation of a fixed number of inputs."""
    pull = _pull_source(op, _DIRECT_PULL, gradients=_DIRECT_GRADIENT, sending=_DIRECT_SENDING)
    rules = {f"_rule{i}": rule for i, rule in enumerate(op.rules)}
    fields = _fields(op, "")
    saved = "_keep(({arrays},), ({parents},), _out, None)".format(**fields)
    reads = [read for read in op._reads if read is not None]
    if len(reads) == len(op.rules) == 1:
        saved = _kept(reads[0], "_a0", out="_out")
    elif len(reads) == len(op.rules) == 2:
        left, right, both = (_kept(_read(op, wanted), "_a0", "_a1", out="_out") for wanted in ([0], [1], [0, 1]))
        saved = f"{left} if _p1 is None else {right} if _p0 is None else {both}"
    deeper = textwrap.indent(fields["noting"], "    ")
    body = _DIRECT.format(saved=saved, noting_deeper=deeper, **fields).strip("\n")
    return general_function(op, body, {**_names(op), "ShapeOnly": ShapeOnly, **rules}, pull)


# --- compiled elementwise operations
# ---------------------------------------------------------------------------------------
#
# What follows writes record() and pull_elementary() out for one operation, with every question left out that its
# definition answers. The function handles Tensors of equal shape and dtype, and Tensors with Python numbers, in the
# ordinary state; all else goes to the code above. Gain measured by benchmarks/overhead.py and scalar_chain.py: 0.6 us a
# call against 2.4, and as much again on the way back.
#
# Where a rule is plain arithmetic on its arguments, its text is read off its byte code and put in place of the call,
# and the result is known to have the cotangent's shape and dtype, so that nothing is asked of it; dtype and shape of an
# array cost more than a function call.
#
# Where one float64 comes out of float64s, a ScalarNode is left, which knows shape and dtype without asking; its pulls
# ask for neither.

_FUNCTION = """
def function({parameters}):
    try:
        a = x._data
        p = x._node
    except AttributeError:
        return general({inputs})
    if p is None or state() is not None:
        return general({inputs})
{second}
    try:
        out = {expression}
    except Exception as error:
        raise explain(op, error, ({inputs},)) from error
{node}
"""

# NumPy computes with a scalar ten times as fast as with an array of no axes.
_AS_SCALAR = """
if {array}.__class__ is ndarray and not {parent}.shape:
    {array} = {array}[()]
"""

# An AttributeError raised and caught takes as long as the rest of the call, so a number is told from a tensor by its
# class.
_SECOND = """
if y.__class__ is not Tensor and not isinstance(y, Tensor):
    if y.__class__ not in numbers:
        return general(x, y)
{as_scalar}
    try:
        out = {expression}
    except Exception as error:
        raise explain(op, error, (x, y)) from error
{node}
b = y._data
q = y._node
if a.__class__ is not float64 or b.__class__ is not float64 or q is None:
    if q is None or q.dtype is not p.dtype or (q.shape is not p.shape and q.shape != p.shape):
        return general(x, y)
    if not p.shape:
        if a.__class__ is ndarray:
            a = a[()]
        if b.__class__ is ndarray:
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
{as_scalar}
    try:
        out = {expression}
    except Exception as error:
        raise explain(op, error, (x, y)) from error
{node}
"""

_NODE = """
if {scalar}:
    node = ScalarNode()
    node.pull = {pull}_scalar
{saved_by_scalar}
else:
    node = Node()
    kind = out.__class__
    # Of a NumPy scalar the class tells the dtype, which would take a sixth of the call to ask for.
    dtype = {parent}.dtype if kind is not ndarray and kind is {array}.__class__ else out.dtype
    node.op = op
    node.pull = {pull} if dtype is {parent}.dtype else op.pull
    node.saved = {saved}
    node.shape = {parent}.shape
    node.dtype = dtype
node.first = {first}
node.second = {second}
node.g = False
tensor = _next(_blanks)
tensor._data = out
tensor._node = node
return tensor
"""

_PULL = """
def {name}(node, g, pending):
    saved = node.saved
    if saved is None:
        return op.pull(node, g, pending)
{names}
{gradients}
    ahead = None
{sending}
    return ahead
"""

_PARENT = """
{parent} = node.{slot}
"""

_GRADIENT = """
{gradient} = {rule}
"""

# Of a large array the steps of a rule are written over one another, in the array that the first of them makes: the same
# bits, in memory that is in cache (a quarter of the time of tanh's rule at 4,096 floats, 5 % of the chain of
# benchmarks/overhead.py). Not of one in another order than C, since the gradient would then be in that order, whatever
# the cotangent's.
_GRADIENT_IN_STEPS = """
{gradient} = {first}
if {gradient}.__class__ is ndarray is g.__class__ and {gradient}.size >= in_place_size and {gradient}.flags.c_contiguous:
{steps}
else:
    {gradient} = {rest}
"""

_FITTED = """
if {gradient}.dtype is not {parent}.dtype or {gradient}.shape != {parent}.shape:
    {gradient} = fit({gradient}, {parent}, op)
"""

_FITTED_TO_SCALAR = """
if {gradient}.__class__ is not float64:
    {gradient} = fit({gradient}, {parent}, op)
"""

_SENDING = """
held = {parent}.g
if held is None:
    {parent}.g = {gradient}
elif held is False:
    {parent}.g = {gradient}
    if {parent}.__class__ is Variable:
        pending.leaves.append({parent})
{reached}
{adding}
"""

_REACHED = """
    else:
        ahead = {parent}
"""

_REACHED_TOO = """
    elif ahead is None:
        ahead = {parent}
    else:
        pending.ahead.append({parent})
"""

_ADDING = """
elif {gradient}.size < in_place_size:
    {parent}.g = held + {gradient}
else:
    {parent}.g = pending.summed({parent}, held, {gradient})
"""

_ADDING_SCALAR = """
else:
    {parent}.g = held + {gradient}
"""

# Of the first and the second input: the parent, the slot that holds it, its gradient.
_PLACES = (("p", "first", "h"), ("q", "second", "k"))

_NAMES = ("out", "x", "y")
_SLOTS = ("saved", "other", "third")


class _Arrays(dict[tuple[Any, Any], Any]):
    """Numbers as arrays without axes, by number and dtype."""

    def __missing__(self, key: tuple[Any, Any]) -> Any:
        made = self[key] = np.array(*key)
        return made


def _indented(text: str, depth: int = 1) -> str:
    return textwrap.indent(text.strip("\n"), "    " * depth)


def _read(op: Primitive, wanted: Sequence[int]) -> tuple[int, ...]:
    """How the rules of the inputs number ``wanted`` together use ``(out, *inputs)``."""
    columns = zip(*(op._reads[i] or () for i in wanted), strict=True)
    return tuple(max(column) for column in columns)


def _scalar_slots(op: Primitive, wanted: Sequence[int]) -> dict[str, str]:
    """Where a ScalarNode keeps what the rules of the inputs number ``wanted`` read; the number in the place of another
    input stands there.
    """
    slots = iter(_SLOTS)
    places = {}
    for name, use in zip(_NAMES, _read(op, wanted), strict=False):
        position = _NAMES.index(name) - 1
        if position >= 0 and position not in wanted:
            places[name] = _PLACES[position][1]
        elif use != UNUSED:
            places[name] = next(slots)
    return places


def _pull(op: Primitive, name: str, wanted: Sequence[int], scalar: bool = False) -> str:
    """The source of a pull for nodes of ``op`` whose inputs number ``wanted`` ask for a gradient."""
    names = _NAMES[: 1 + len(op.rules)]
    slots = _scalar_slots(op, wanted)
    unpacking = f"{', '.join(names)} = saved"
    fitted, adding = (_FITTED_TO_SCALAR, _ADDING_SCALAR) if scalar else (_FITTED, _ADDING)
    gradients, sending = [], []
    for i in wanted:
        parent, slot, gradient = _PLACES[i]
        rule = op.rules[i]
        assert rule is not None
        text = arithmetic(rule, ("g", *names))
        fields = {
            "parent": parent,
            "slot": slot,
            "gradient": gradient,
            "rule": text or f"rule{i}(g, {', '.join(names)})",
        }
        gradients.append(_PARENT.format(**fields))
        steps = None if scalar or text is None else over_one_another(text, gradient)
        if text == "g":
            fields["gradient"] = "g"
        elif steps:
            first, calls, rest = steps
            gradients.append(
                _GRADIENT_IN_STEPS.format(**fields, first=first, steps=_indented("\n".join(calls)), rest=rest)
            )
        else:
            gradients.append(_GRADIENT.format(**fields) + ("" if text else fitted.format(**fields)))
        reached = _REACHED if i == wanted[0] else _REACHED_TOO
        fields |= {"reached": reached.format(**fields).strip("\n"), "adding": adding.format(**fields).strip("\n")}
        sending.append(_SENDING.format(**fields))
    if scalar:
        read = re.findall(r"\w+", "".join(gradients))
        unpacking = (
            "\n".join(f"{n} = node.{slots[n]}" if n in slots else f"{n} = None" for n in names if n in read) or "pass"
        )
    return (_PULL + ("\n{name}.op = op\n" if scalar else "")).format(
        name=name,
        names=_indented(unpacking),
        gradients=_indented("".join(gradients)),
        sending=_indented("".join(sending)),
    )


def _kept(use: Sequence[int], *names: str, out: str = "out") -> str:
    """The source of what a node saves."""
    parts = [
        "None" if u == UNUSED else (f"(None if {name} is None else ShapeOnly({name}))" if u == SHAPE else name)
        for name, u in zip((out, *names), use, strict=True)
    ]
    return f"({', '.join(parts)})"


def _node(op: Primitive, wanted: Sequence[int], inputs: Sequence[str], floats: bool = False) -> tuple[str, str]:
    """The source of making a node whose inputs number ``wanted`` ask for a gradient, and the source of its pulls.

    ``floats`` tells that float64 comes out of two of float64, so that the output need not be asked.
    """
    array, parent = inputs[wanted[0]], _PLACES[wanted[0]][0]
    scalar = f"{array}.__class__ is float64" if floats else f"out.__class__ is float64 is {array}.__class__"
    slots = {name: slot for name, slot in _scalar_slots(op, wanted).items() if slot in _SLOTS}
    values = dict(zip(_NAMES, ("out", *inputs), strict=False))
    saved_by_scalar = "\n".join(f"node.{slot} = {values[name]}" for name, slot in slots.items()) or "node.saved = op"
    pull = f"pull{''.join(map(str, wanted))}"
    first, second = (_PLACES[i][0] if i in wanted else inputs[i] if i < len(inputs) else "None" for i in (0, 1))
    making = _NODE.format(
        array=array,
        parent=parent,
        scalar=scalar,
        pull=pull,
        first=first,
        second=second,
        saved=_kept(_read(op, wanted), *inputs),
        saved_by_scalar=_indented(saved_by_scalar),
    )
    return _indented(making), _pull(op, pull, wanted) + _pull(op, f"{pull}_scalar", wanted, scalar=True)


def elementwise_function(op: Primitive, operator: str | None) -> Callable[..., Any]:
    """The public function of an elementwise operation; for one of two inputs ``op.reflected``, too."""
    general = direct_function(op)
    if None in op._reads:
        return general
    scope: dict[str, Any] = {
        "Node": ElementwiseNode,
        "ScalarNode": ScalarNode,
        "ShapeOnly": ShapeOnly,
        "Variable": Variable,
        "float64": np.float64,
        "forward": op.forward,
        "general": general,
        "in_place_size": engine.IN_PLACE_SIZE,
        "ndarray": np.ndarray,
        "add": np.add,
        "arrays": _Arrays(),
        "subtract": np.subtract,
        "multiply": np.multiply,
        "divide": np.divide,
        "negative": np.negative,
    }
    scope |= {f"rule{i}": rule for i, rule in enumerate(op.rules)}
    left_as_scalar, right_as_scalar = (
        _AS_SCALAR.format(array=array, parent=parent) for array, parent in (("a", "p"), ("b", "q"))
    )
    if len(op.rules) == 1:
        node, pulls = _node(op, [0], ["a"])
        function = _FUNCTION.format(
            parameters="x", inputs="x", second=_indented(left_as_scalar), expression=operator or "forward(a)", node=node
        )
        return _compile(op, function + pulls, scope)
    expression = operator or "forward(a, b)"
    node, pulls = _node(op, [1], ["x", "b"])
    reflected = _REFLECTED.format(
        as_scalar=_indented(right_as_scalar), expression=_with("a", "x", expression), node=node
    )
    op.reflected = _compile(op, reflected + pulls, scope)
    number, more = _node(op, [0], ["a", "y"])
    second = _SECOND.format(as_scalar=_indented(left_as_scalar), expression=_with("b", "y", expression), node=number)
    floats = operator is not None and "dd->d" in getattr(op.forward, "types", ())
    node, pulls = _node(op, [0, 1], ["a", "b"], floats)
    function = _FUNCTION.format(
        parameters="x, y", inputs="x, y", second=_indented(second), expression=expression, node=node
    )
    return _compile(op, function + pulls + more, scope)


def _with(name: str, other: str, expression: str) -> str:
    """The expression with ``other`` in the place of ``name``."""
    return re.sub(rf"\b{name}\b", other, expression)


def _specialise(op: Any) -> None:
    """Give an operation its public function."""
    if op.fused:
        op.function = fused_function(op, "_record(_op, {inputs}, {attrs})", "{out}")
        op.with_residuals = fused_function(op, "_op.watched({inputs}, {attrs})", "({out}, _residuals)")
    elif op.variadic:
        op.function = general_function(op)
    elif op.elementwise and len(op.rules) <= 2:
        op.function = elementwise_function(op, op.operator)
    else:
        op.function = direct_function(op)


ops.specialise.append(_specialise)
