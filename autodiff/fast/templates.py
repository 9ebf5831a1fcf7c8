"""Functions and pulls written out for one operation each, from one template of either, as `dataclasses` does.

:data:`APPLY` is :func:`autodiff.core.op.apply` with the questions left out that the operation's definition answers;
:data:`PULL` is :func:`autodiff.core.backward.pull` and the arrival of what it sends. With them a program on one element
takes a seventh of the time. An operation's two are compiled at its first call, under its own name; their source is
registered in :mod:`linecache`, so tracebacks, debuggers and profilers show it and ``inspect.getsource`` gives it.

Whatever is unusual, in the state, the arguments or the result, goes to the plain functions.
"""

from __future__ import annotations

import keyword
import linecache
import re
import textwrap
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from autodiff.core import backward
from autodiff.core import op as core
from autodiff.core.backward import fit
from autodiff.core.graph import Node, Variable, time
from autodiff.core.modes import current_state
from autodiff.core.op import PYTHON_NUMBERS, Operation, arrayed, explain, lacking
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.fast.walk import send
from autodiff.reads import SHAPE, USED, ShapeOnly, hands_on, uses
from autodiff.zero_times_infinity import keep_zeros, multiplies, usual, vanished

__all__ = ["APPLY", "PULL", "install"]

APPLY = """
def {name}({signature}):
{options}
    _now = _state()
    if _now is not None:
{followed}
        return _call({inputs}, {attrs})
{reading}
    if _time.lent and _lent({inputs}):
        return _call({inputs}, {attrs})
{partly}
{owning}
    try:
{forward}
    except Exception as _error:
        raise _explain(_op, _error, {inputs}) from _error
    _kind = _out.__class__
    if _kind is _float64:
        _shape = ()
        _dtype = _double
    elif _kind is _ndarray or _kind in _floats:
        _shape = _out.shape
        _dtype = _out.dtype
    else:
        _dtype = None
    if _dtype is not _double and _dtype is not _single and (_dtype is None or _dtype.kind not in "fc"):
        _out = _leave(_op, {inputs}, {attrs}, ({arrays},), ({parents},), _arrayed(_out), _residuals)
        return {unusual}
    _tensor = _new(_Tensor)
    _tensor._data = _out
    if {untracked}:
        _tensor._node = None
    else:
{refusing}
        _tensor._node = _node = _new(_Node)
{noting}
        _node.op = _op
        _node.parents = ({parents},)
        _node.saved = {saved}
        _node.attrs = {attrs_or_none}
        _node.shape = _shape
        _node.dtype = _dtype
        _node.stamp = _time.now
        _node.extras = None
        _node.g = False
{viewing}
    return {usual}
"""

_OPTION = """
    if {name}.__class__ not in _fixed and hasattr({name}, "_node"):
        {name} = _constant(_op.name, {name!r}, {name})
"""

# What a compiled step has prepared.
_FOLLOWED = """
        if _now.tracer is not None:
            _made = _now.tracer.at_once(_now, _op, {inputs}, {attrs})
            if _made is not None:
                return {made}
"""

_READING = """
    _kind = {name}.__class__
    if _kind is _Tensor or (_kind not in _bare{i} and hasattr({name}, "_node")):
        _a{i} = {name}._data
        _p{i} = {name}._node{as_array}
    elif _kind in _bare{i}:
        _a{i} = {name}
        _p{i} = None
    else:
        return _call({inputs}, {attrs})
"""

# A hand-written forward may work in place.
_AS_ARRAY = """
        if _a{i}.__class__ is not _ndarray:
            _a{i} = _asarray(_a{i})"""

_VIEWING = """
    if _kind is _ndarray and (_out.base is not None or _out is _a0):
        _view(_op, {inputs}, {attrs}, ({arrays},), _tensor)
"""

# What the forward of a fused operation leaves for the backward may be, or share, an input.
_OWNING = """
        if {name}.__class__ is _ndarray:
            _a{i} = _a{i}.copy("K")
"""

_HOLDING = """
            if {name}.__class__ is _ndarray:
                _a{i} = _hold(_a{i})
"""

_PARTLY = """
        if _partly:
            _node.noted = _facts = []
{holding}
{noting}
"""

_NOTING = """
            if _p{i} is None and _a{i} is not None:
                if _a{i}.__class__ in _numbers:
                    _facts.append(({i}, _a{i}))
                else:
                    _named = None if {name} is _a{i} else getattr({name}, "name", None)
                    _facts.append(({i}, _a{i}.shape, _a{i}.dtype, _named))
"""

# Of an operation that has a compiled kernel, too (kernels.either, written out).
_CHOICE = """
        _made = _kernel({call}) if _a0.size >= _threshold.least else None
        _out, _residuals = _forward({call}) if _made is None else _made
"""

PULL = """
def {name}_pull(node, g, pending):
    saved = node.saved
    if saved is None{unusual}:
        return _send(node, g, pending)
    if node.stamp < _time.written:
        _check_unwritten(node)
    {parents}, = node.parents
{gradients}
{sending}
"""

_BY_HAND = """
    {results}, = _op.backward(g, saved[1], saved[2])
"""

_BY_RULE = """
h{i} = _rule{i}(g, {saved}{attrs})
"""

# keep_zeros() does nothing where there is no NaN, and then a sum tells so. Python adds few numbers faster than NumPy.
_KEEPING_NUMBER = """
    if h{i} != h{i}:
        h{i} = _keep_zeros(g, h{i}, {again})
"""
_KEEPING = """
    {unless} h{i}.size == 1:
        held = h{i}.item()
    else:
        held = _sum(h{i}.tolist()) if h{i}.size < {few} and h{i}.ndim == 1 else _vdot(h{i}, h{i})
    if held != held:
        h{i} = _keep_zeros(g, h{i}, {again})
"""
# One look at two large gradients tells that there is a NaN in neither, which is nearly always so.
_TOGETHER = """
    held = _vdot(h0, h1) if h0.__class__ is h1.__class__ is _ndarray and h0.size == h1.size >= {few} else None
    clean = held is not None and held == held
"""
_UNLESS = "if clean:\n        held = 0\n    elif"
_KEEPING_ELSE = """
    h{i} = _keep_zeros(g, h{i}, {again})
"""

_FITTING = """
if h{i}.__class__ is _ndarray:
{keeping}
    if h{i}.dtype is not p{i}.dtype or h{i}.shape != p{i}.shape:
        h{i} = _fit(h{i}, p{i}, _op)
elif h{i}.__class__ is _float64:
{keeping_number}
    if p{i}.dtype is not _double or p{i}.shape:
        h{i} = _fit(h{i}, p{i}, _op)
else:
    if h{i} is None:
        raise _lacking(_op, {i})
{keeping_else}
    h{i} = _fit(h{i}, p{i}, _op)
"""

# What has arrived at a node has its shape and dtype.
_HANDING_ON = """
h{i} = g
if node.dtype is not p{i}.dtype or node.shape != p{i}.shape:
    h{i} = _fit(g, p{i}, _op)
"""

# All gradients are there before the first is sent, so that the plain pull may start anew.
_SENDING = """
held = p{i}.g
if held is None:
    p{i}.g = h{i}
elif held is False:
    p{i}.g = h{i}
    if p{i}.__class__ is _Variable:
        pending.reached.append(p{i})
        if {shared}:
            pending.shared[p{i}] = h{i}
    else:
        pending.older.append(p{i})
elif held.__class__ is _ndarray and held.size >= {in_place}:
    p{i}.g = pending.summed(p{i}, held, h{i})
else:
    p{i}.g = held + h{i}
"""

_FLOATS = frozenset({np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128, np.clongdouble})


def _indented(text: str, depth: int) -> str:
    return textwrap.indent(text, "    " * depth) if depth else text


def _identifier(op: Any) -> str:
    """An operation's name as Python can spell it."""
    name = re.sub(r"\W", "_", op.name)
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"_{name}"


def _signature(op: Any, scope: dict[str, Any]) -> str:
    """The forward's own parameters, so that Python itself binds the arguments; defaults go into ``scope``."""
    parts: list[str] = []
    starred = False
    for p in op.parameters:
        if p.kind is p.KEYWORD_ONLY and not starred:
            parts.append("*")
        starred = starred or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}")
        elif p.default is p.empty:
            parts.append(p.name)
        else:
            scope[f"_default_{p.name}"] = p.default
            parts.append(f"{p.name}=_default_{p.name}")
    return ", ".join(parts)


def _saved(op: Any) -> str:
    """What a node saves, as :mod:`autodiff.reads` says it."""
    count = range(len(op.inputs))
    if op.fused:
        arrays, needs = ", ".join(f"_a{i}" for i in count), ", ".join(f"_p{i} is not None" for i in count)
        return f"(({arrays},), _residuals, ({needs},))"
    parts = []
    for place, value in enumerate(("_out", *(f"_a{i}" for i in count))):
        reading = [(i, read[place]) for i, read in enumerate(uses(op)) if read is not None]
        full, by_shape = ([i for i, use in reading if use == kind] for kind in (USED, SHAPE))
        shape = f"(None if {value} is None else _ShapeOnly({value}))"
        parts.append(_where(full, op, value, _where(by_shape, op, shape, "None")))
    return f"({', '.join(parts)})"


def _where(rules: list[int], op: Any, then: str, otherwise: str) -> str:
    """``then`` if a gradient by one of these rules is wanted, else ``otherwise``. If all are named, one is wanted."""
    if not rules:
        return otherwise
    if len(rules) == len(op.rules):
        return then
    return f"({then} if {' or '.join(f'_p{i} is not None' for i in rules)} else {otherwise})"


def _source(op: Any, name: str, scope: dict[str, Any]) -> str:
    """The source of an operation's function and of its pull."""
    signature = _signature(op, scope)
    frozen = [p.name for p in op.parameters if p.name not in op.inputs]
    attrs = "{" + ", ".join(f"{n!r}: {n}" for n in frozen) + "}"
    options = "".join(_OPTION.format(name=n) for n in frozen)
    if op.variadic:
        followed = _FOLLOWED.format(inputs=op.inputs[0], attrs=attrs, made="_made")
        return (
            f"def {_identifier(op)}({signature}):\n{options}\n    _now = _state()\n    if _now is not None:\n{followed}"
            f"    return _call({op.inputs[0]}, {attrs})\n"
        )
    places = range(len(op.inputs))

    def each(text: str, separator: str = ", ", strip: bool = False) -> str:
        return separator.join((text.strip("\n") if strip else text).format(i=i, name=op.inputs[i]) for i in places)

    call = ", ".join([each("_a{i}"), *(f"{n}={n}" for n in frozen)])
    choice = getattr(op.forward, "choice", None) if op.fused else None
    if choice:
        scope |= {f"_{key}": value for key, value in choice.items()}
        forward = _CHOICE.strip("\n").format(call=call)
    elif op.fused:
        forward = f"        _out, _residuals = _forward({call})"
    elif getattr(op, "operator", None):
        numbers = " and ".join(f"_a{i}.__class__ in _numbers" for i in places)
        expression = " ".join({"a": "_a0", "b": "_a1", "-a": "-_a0"}.get(word, word) for word in op.operator.split())
        computed = f"{expression} if {each('_p{i} is not None', ' or ')} or not ({numbers})"
        forward = f"        _out = {computed} else _forward({call})"
    else:
        forward = f"        _out = _forward({call})"
    as_array = _AS_ARRAY if op.fused else ""
    name_of = _identifier(op)
    inputs = "(" + each("{name}") + ",)"
    reading = "\n".join(
        _READING.strip("\n").format(i=i, name=input_name, inputs=inputs, attrs=attrs, as_array=as_array.format(i=i))
        for i, input_name in enumerate(op.inputs)
    )
    refusing = [i for i in places if not op.fused and op.rules[i] is None]
    untracked = each("_p{i} is None", " and ")
    several = len(op.inputs) > 1  # of an only input it is known that it is tracked, where any is
    partly = each("_p{i} is None", " or ")
    tracked = each("_p{i} is not None", " or ")
    owning = f"    if _partly and ({tracked}):\n{each(_OWNING, chr(10), strip=True)}" if op.fused and several else ""
    # A plain array is kept by the node if the rule of another input reads it.
    read = [
        i for i in places if not op.fused and any(r and r[1 + i] == USED and k != i for k, r in enumerate(uses(op)))
    ]
    kept = ", ".join(f"{n!r}: {n} if {n}.__class__ in _fixed else _hold_argument({n})" for n in frozen)
    holding = "\n".join(_HOLDING.strip("\n").format(i=i, name=op.inputs[i]) for i in read)
    noting = _PARTLY.strip("\n").format(holding=holding, noting=each(_NOTING, "\n", strip=True)) if several else ""
    source = APPLY.format(
        name=name_of,
        signature=signature,
        options=options,
        inputs=inputs,
        attrs=attrs,
        attrs_or_none=f"{{{kept}}}" if frozen else "None",
        followed=_FOLLOWED.strip("\n").format(
            inputs=inputs, attrs=attrs, made="_made, _now.tracer.kept" if name == "with_residuals" else "_made"
        ),
        owning=owning,
        reading=reading,
        forward=forward,
        arrays=each("_a{i}"),
        parents=each("_p{i}"),
        partly=f"    _partly = {partly}" if several else "",
        untracked=f"_partly and {untracked}" if several else untracked,
        refusing="\n".join(f"        if _p{i} is not None:\n            raise _lacking(_op, {i})" for i in refusing),
        saved=_saved(op),
        viewing="" if op.elementwise else _VIEWING.strip("\n").format(inputs=inputs, attrs=attrs, arrays=each("_a{i}")),
        noting=noting,
        unusual="_out, _residuals" if name == "with_residuals" else "_out",
        usual="_tensor, _residuals" if name == "with_residuals" else "_tensor",
    )

    def shared(i: int) -> str:
        return " or ".join(f"h{i} is {h}" for h in ("g", *(f"h{j}" for j in asked if j < i)))

    def wanted(i: int, text: str) -> str:
        """Of an only input it is known that its gradient is wanted."""
        text = text.strip("\n")
        return _indented(text, 1) if len(op.inputs) == 1 else f"    if p{i} is not None:\n{_indented(text, 2)}"

    def ruled(i: int) -> str:
        """The gradient of one input, as its rule has it."""
        return "" if op.fused or hands_on(op.rules[i]) else wanted(i, _BY_RULE.format(i=i, attrs=star, saved=saved))

    def fitted(i: int) -> str:
        """Then in its shape and dtype."""
        if not op.fused and hands_on(op.rules[i]):
            return wanted(i, _HANDING_ON.format(i=i))
        again = f"lambda g: _op.backward(g, saved[1], saved[2])[{i}]" if op.fused else f"_rule{i}, saved, node.attrs"
        texts = {"keeping": _KEEPING, "keeping_number": _KEEPING_NUMBER, "keeping_else": _KEEPING_ELSE}
        facts = {"i": i, "few": few, "again": again, "unless": _UNLESS if together else "if"}
        kept = {name: text.strip("\n").format(**facts) if i in keeping else "" for name, text in texts.items()}
        return wanted(i, _FITTING.strip("\n").format(i=i, **kept))

    few = THRESHOLDS["FEW"].value
    asked = [i for i in places if i not in refusing]
    saved = "out, " + each("a{i}")
    star = ", **node.attrs" if attrs != "{}" else ""
    keeping = [i for i in asked if op.pointwise and (op.fused or (USED in uses(op)[i] and not hands_on(op.rules[i])))]
    together = not op.fused and keeping == [0, 1] == asked
    if op.fused:
        gradients = [_BY_HAND.format(results=each("h{i}"))]
    else:
        scope |= {f"_rule{i}": rule for i, rule in enumerate(op.rules)}
        unset = f"    {' = '.join(f'h{i}' for i in asked)} = None" if len(asked) > 1 else ""
        unpacking = "" if all(hands_on(op.rules[i]) for i in asked) else f"    {saved} = saved"
        gradients = [unset, unpacking]
    gradients += [*map(ruled, asked), _TOGETHER.format(few=few) if together else "", *map(fitted, asked)]
    sending = "\n".join(
        wanted(i, _SENDING.format(i=i, shared=shared(i), in_place=THRESHOLDS["IN_PLACE"].value)) for i in asked
    )
    # What goes to the plain pull: a gradient that is no array, that of one output of several, zeros, infinities.
    if op.fused:
        zeros = "g.size and not g.item(0) and not _vdot(g, g) and _vanished(g)"
        unusual = ["g.__class__ is not _ndarray", *([] if op.pointwise else [f"({zeros})"])]
    else:
        unusual = [] if op.elementwise else ["g.__class__ is _list"]
        unusual += ["not _usual(g)"] if multiplies(op) and not op.pointwise else []
    return source + PULL.format(
        name=name_of,
        parents=each("p{i}"),
        gradients="\n".join(gradients),
        sending=sending,
        unusual="".join(f" or {question}" for question in unusual),
    )


def _scope(op: Any, call: Any) -> dict[str, Any]:
    """What the compiled code reaches for; names with an underscore, since the parameters may have any others."""
    names = {
        "Node": Node,
        "Variable": Variable,
        "ShapeOnly": ShapeOnly,
        "Tensor": core.above.tensor,
        "arrayed": arrayed,
        "asarray": np.asarray,
        **{f"bare{i}": PYTHON_NUMBERS | {np.ndarray, type(None)} for i in range(1, len(op.inputs))},
        "bare0": PYTHON_NUMBERS | {np.ndarray},  # no operation does without its first input
        "call": call,
        "check_unwritten": backward.above.check_unwritten,
        "constant": core.above.constant,
        "double": np.dtype(np.float64),
        "explain": explain,
        "fit": fit,
        "usual": usual,
        "vanished": vanished,
        "fixed": core.FIXED,
        "float64": np.float64,
        "floats": _FLOATS,
        "forward": op.forward,
        "hold": core.hold,
        "hold_argument": core.hold_argument,
        "keep_zeros": keep_zeros,
        "lacking": lacking,
        "leave": core.leave,
        "lent": core.above.lent,
        "list": list,
        "ndarray": np.ndarray,
        "new": object.__new__,
        "numbers": PYTHON_NUMBERS,
        "op": op,
        "residuals": None,
        "send": send,
        "single": np.dtype(np.float32),
        "state": current_state,
        "sum": sum,
        "time": time,
        "vdot": np.vdot,
        "view": core.above.view,
    }
    return {f"_{name}": value for name, value in names.items()}


def _until_first_call(*args: Any, **kwargs: Any) -> Any:
    return _compile()(*args, **kwargs)  # type: ignore[name-defined]  # noqa: F821


def _function(op: Any, call: Callable[[Any, Any], Any], name: str) -> Any:
    """An operation's public function, whose code is written out when it is first called.

    The function itself stays the same, since operators, tables and modules hold it: its code is exchanged.
    """
    scope: dict[str, Any] = {}
    function = FunctionType(_until_first_call.__code__, scope, op.name)

    def compile_() -> Any:
        scope.update(_scope(op, call))
        made: dict[str, Any] = {}
        source = re.sub(r"\n(\s*\n)+", "\n", _source(op, name, scope).strip("\n")) + "\n"
        file = f"<autodiff {op.name}>" if name == "function" else f"<autodiff {op.name}.{name}>"
        if file in linecache.cache:  # of an older operation of that name, which goes on working
            file = f"{file[:-1]} {id(op):#x}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        weakref.finalize(op, linecache.cache.pop, file, None).atexit = False
        exec(compile(source, file, "exec"), scope, made)
        written = made[_identifier(op)]
        function.__kwdefaults__ = written.__kwdefaults__
        function.__defaults__ = written.__defaults__
        function.__code__ = written.__code__
        op.send = made.get(f"{_identifier(op)}_pull", op.send)
        return function

    scope["_compile"] = compile_
    return function


def install() -> None:
    """Have operations' functions made here."""
    core.above.function = _function
    Operation.send = staticmethod(send)  # type: ignore[attr-defined]
