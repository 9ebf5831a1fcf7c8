"""From an entry of the trace, or a backward pass from it, to code that does exactly that work.

The code first looks whether what it is given has the facts that it was made for, and answers :data:`MISS` if not: the
follower then does the ordinary thing. It is adopted only after it has reproduced, bit for bit, the very work that it
was recorded from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import kernels
from autodiff.compiler.check import same
from autodiff.compiler.emit import MISS, Code, by_name, defined
from autodiff.compiler.layout import Pool, Scratch
from autodiff.compiler.listing import Listing
from autodiff.compiler.private import in_one_call, is_pure, recording
from autodiff.compiler.record import Recorder, Slot, Unrecordable
from autodiff.compiler.standin import Recorded, mapped
from autodiff.compiler.trace import Entry, frozen, layout_of
from autodiff.core import op as core
from autodiff.core.graph import Node, Variable, time
from autodiff.core.modes import State
from autodiff.core.op import FIXED, PICK, PYTHON_NUMBERS, Fused, Primitive, explain, leave
from autodiff.kernels import KernelFailure
from autodiff.reads import ShapeOnly
from autodiff.tensor import Tensor
from autodiff.watch import noted

__all__ = ["UNLIKE", "Arguments", "Prepared", "Workshop", "frozen_code", "prepared"]

_AS_IT_IS = (str, bytes, np.dtype, type)
#: What is built otherwise has no such part.
UNLIKE = "except (AttributeError, TypeError, LookupError):"


class Workshop:
    """What the code of one step has in common: memory."""

    def __init__(self) -> None:
        self.scratch, self.pool = Scratch(), Pool()
        #: Codes of operations on inputs of certain layouts, which serve wherever these come.
        self.codes: dict[Any, Any] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of it."""
        return self.scratch.memory.nbytes + self.pool.nbytes

    def code(
        self, recorder: Recorder, arguments: list[Any], given: list[Any], outputs: Any, name: str, truth: Any
    ) -> Code | None:
        """Code that makes ``outputs``, stand-ins, of ``arguments``; None if it does not make of their values ``given``
        what was found while recording, and ``truth`` says that the engine finds.
        """
        template = _template(outputs, recorder)
        found = mapped(lambda part: part.value if isinstance(part, Slot) else part, template)
        listing = Listing.of(recorder, [a.slot for a in arguments], template)
        code = Code(listing, name, self.scratch, self.pool, holds=False)
        with np.errstate(all="ignore"):
            again = code.run(*given)
            return code if again is not MISS and same(again, found) and truth(again) else None


def frozen_code(workshop: Workshop, recorder: Recorder, arguments: list[Any], outputs: Any, name: str) -> Code:
    """Code for a whole function, which need not be shown to give again what was found: random numbers are not."""
    template = _template(outputs, recorder)
    return Code(Listing.of(recorder, [a.slot for a in arguments], template), name, workshop.scratch, workshop.pool)


def _template(outputs: Any, recorder: Recorder) -> Any:
    """A result with slots in the place of stand-ins."""

    def leaf(value: Any) -> Any:
        found = recorder.template(value)
        plain = (Slot, bool, int, float, complex, np.generic, ShapeOnly, *_AS_IT_IS)
        if found is not None and found is not ... and not isinstance(found, plain):
            raise Unrecordable(f"it gives a {type(value).__name__}")
        return found

    return mapped(leaf, outputs)


class Arguments:
    """What code is given anew every time: stand-ins, and how to come by the values.

    With ``numbers`` Python's numbers are among it; else they are compared with what they were.
    """

    def __init__(self, recorder: Recorder, numbers: bool) -> None:
        self.recorder = recorder
        self.numbers = numbers
        self.standins: list[Any] = []
        self.values: list[Any] = []
        self.texts: list[str] = []
        self.names: list[str] = []
        self.loads: list[str] = []
        self.tests: list[str] = []
        self.facts: list[tuple[str, Any]] = []  # what is compared all at once, and what it must be
        self.scope: dict[str, Any] = {}

    def take(self, value: Any, text: str) -> Any:
        """A stand-in for a value that is found anew at ``text``."""
        standin = self.recorder.argument(value)
        self.standins.append(standin)
        self.values.append(value)
        self.texts.append(text)
        self.names.append(f"a{len(self.names)}")
        self.loads.append(f"{self.names[-1]} = {text}")
        return standin

    def constant(self, value: Any) -> str:
        """A name for a value."""
        name = f"q{len(self.scope)}"
        self.scope[name] = value
        return name

    def taken(self, value: Any, text: str, strict: bool = True) -> Any:
        """A value with stand-ins for the arrays and floats in it.

        With ``strict`` everything else in it, and how arrays lie, is tested to be what it was; without, that is known.
        """
        kind = value.__class__
        if kind is np.ndarray or (isinstance(value, np.generic) and (self.numbers or not strict)):
            if strict:
                self.layout(value, text)
            return self.take(value, text)
        if kind is float and self.numbers:
            if strict:
                self.facts.append((f"{text}.__class__", float))
            return self.take(value, text)
        if isinstance(value, tuple) or kind is list:
            if strict:
                self.tests.append(f"{text}.__class__ is {self.constant(kind)} and len({text}) == {len(value)}")
            parts = [self.taken(item, f"{text}[{i}]", strict) for i, item in enumerate(value)]
            return parts if kind is list else tuple.__new__(kind, parts)
        if kind is dict:
            if strict:
                self.tests.append(f"{text}.keys() == {self.constant(value)}.keys()")
            return {key: self.taken(item, f"{text}[{key!r}]", strict) for key, item in value.items()}
        plain = (bool, int, float, complex, np.generic, slice, ShapeOnly, *_AS_IT_IS)
        if value is not None and value is not ... and not isinstance(value, plain) and not callable(value):
            raise Unrecordable(f"it takes a {kind.__name__}")
        if strict or kind is float or kind is complex:
            self.same(value, text)
        return value

    def layout(self, value: Any, text: str) -> None:
        """Have it tested that an array lies as it did."""
        self.facts.append((f"{text}.__class__", value.__class__))
        if value.__class__ is np.ndarray:
            facts = (value.shape, value.strides, value.dtype)
            self.facts += zip((f"{text}.shape", f"{text}.strides", f"{text}.dtype"), facts, strict=True)

    def same(self, value: Any, text: str) -> None:
        """Have it tested that a value is what it was."""
        if value is None or value.__class__ in (bool, int, str):
            # The class first: what is equal to nothing may be an array, whose answer is another array.
            self.facts += [(f"{text}.__class__", value.__class__), (text, value)]
        else:
            self.tests.append(f"same({text}, {self.constant(value)})")

    def test(self, answer: str) -> list[str]:
        """Lines that answer so where anything is not what it was."""
        lines = []
        if self.facts:
            expected = self.constant(tuple(value for _, value in self.facts))
            lines.append(f"if ({', '.join(text for text, _ in self.facts)},) != {expected}: {answer}")
        if self.tests:
            lines.append(f"if not ({' and '.join(self.tests)}): {answer}")
        return lines


# --- an operation -----------------------------------------------------------------------------------------------------


class Prepared:
    """The code of an entry; ``follow(follower, inputs, attrs)`` gives the result, or MISS."""

    __slots__ = ("code", "follow", "grad")

    def __init__(self, code: Code, follow: Any, grad: bool) -> None:
        self.code, self.follow, self.grad = code, follow, grad


def prepared(workshop: Workshop, entry: Entry, inputs: Any, attrs: dict[str, Any], result: Any) -> Prepared | None:
    """Code for an entry whose operation has just been applied to ``inputs``, with this result; None where it keeps
    running as it is.
    """
    op = entry.op
    forward = _forward_of(op, inputs)
    if forward is None:
        return None
    for numbers in (True, False):
        try:
            return _prepared(workshop, entry, forward, inputs, attrs, result, numbers)
        except Exception as error:  # whatever a stand-in cannot do; the operation itself has just been applied
            failed = error
    entry.why = f"{type(failed).__name__}: {failed}"
    return None


def _forward_of(op: Any, inputs: Any) -> Any:
    """What applying the operation to these inputs calls; None where that is not to be prepared."""
    if not isinstance(op, (Primitive, Fused)) or not is_pure(op.forward):
        return None  # the program's own
    if op.fused and any(isinstance(getattr(value, "_data", None), np.generic) for value in inputs):
        return None  # which is given arrays
    return op.forward if isinstance(op, Fused) or op.operator is None else op.operate


def _prepared(
    workshop: Workshop, entry: Entry, forward: Any, inputs: Any, attrs: dict[str, Any], result: Any, numbers: bool
) -> Prepared | None:
    op, (grad, facts, _) = entry.op, entry.key
    recorder = Recorder()
    taken = Arguments(recorder, numbers)
    known = entry.parent.leaves if entry.parent is not None else 0
    fresh: dict[int, str] = {}  # leaves that no entry before has met, and the names of their nodes
    standins: list[Any] = []
    arrays: list[str] = []  # what inputs and their nodes are called in the code
    parents: list[str] = []
    notes: list[str] = []
    plain: list[str] = []  # arrays that the program can write into
    tracked = grad and any(
        fact[0] is not None for fact in facts if fact.__class__ is tuple and fact[-1].__class__ is bool
    )
    own = op.fused and tracked
    for i, (value, fact) in enumerate(zip(inputs, facts, strict=True)):
        name, parent, count = f"x{i}", "None", len(taken.names)
        if value is None:
            taken.same(None, name)
            standins.append(None)
        elif value.__class__ in PYTHON_NUMBERS:
            taken.facts.append((f"{name}.__class__", value.__class__))
            whole = numbers and value.__class__ is not bool
            standins.append(taken.take(value, name) if whole else taken.taken(value, name))
            notes.append(f"({i}, {name})")
        elif value.__class__ is np.ndarray:
            taken.layout(value, name)
            # What a fused forward leaves for its backward may be, or share, an input: that must be the graph's own.
            standins.append(taken.take(value.copy("K"), f'{name}.copy("K")') if own else taken.take(value, name))
            notes.append(f"({i}, {taken.constant(value.shape)}, {taken.constant(value.dtype)}, None)")
            plain.append(taken.names[-1])
        elif not hasattr(value, "_node"):
            raise Unrecordable(f"it takes a {value.__class__.__name__}")
        else:
            standins.append(taken.take(value._data, f"{name}._data"))
            origin = fact[0]
            if origin is None:
                taken.same(None, f"{name}._node")
                notes.append(f"noted({i}, {name}, {name}._data)")
            else:
                parent = f"p{i}"
                taken.loads.append(f"{parent} = {name}._node")
                if origin.__class__ is tuple:
                    maker, number = f"made[{taken.constant(origin[0])}]", origin[1]
                    several = len(entry.before(origin[0]).outs) > 1
                    part = f"{parent}.op is PICK and {parent}.parents[0] is {maker}"
                    part += f" and {parent}.attrs['index'] == {number}"
                    taken.tests.append(part if several else f"{parent} is {maker}")
                elif origin in fresh:
                    taken.tests.append(f"{parent} is {fresh[origin]}")
                elif origin < known:
                    taken.tests.append(f"leaves.get({parent}) == {origin}")
                else:
                    taken.tests.append(
                        f"{parent}.__class__ is Variable and {parent} not in leaves"
                        if fact[-1]
                        else f"{parent} is not None and run.known_origin({parent}) is None"
                    )
                    taken.tests += [f"{parent} is not {other}" for other in fresh.values()]
                    fresh[origin] = parent
            taken.layout(value._data, taken.names[-1])
        parents.append(parent)
        arrays.append("None" if value is None else name if len(taken.names) == count else taken.names[-1])
    given = {key: taken.taken(value, f"attrs[{key!r}]") for key, value in attrs.items()}
    setting = kernels.setting()
    alike = (op, setting, tuple([_layouts(value) for value in inputs]), frozen(attrs), own) if numbers else None
    known_code = workshop.codes.get(alike) if alike is not None else None
    if known_code is None:
        by_the_engine = tuple([part._data for part in result]) if result.__class__ is tuple else result._data
        with recording(recorder):
            made = in_one_call(forward)(*standins, **given)
            out, kept = made if op.fused else (made, None)
            parts = out if type(out) is tuple else (out,)
            if not all(type(part) is Recorded and isinstance(part.value, np.ndarray | np.generic) for part in parts):
                raise Unrecordable("its result is no array")
            views = any(part.slot.storage is not None and not part.slot.storage.made for part in parts)
            code = workshop.code(
                recorder,
                taken.standins,
                taken.values,
                (out, kept, taken.standins),  # what it is given stays there: the node may read it
                op.name,
                lambda again: same(again[0], by_the_engine),
            )
        if code is None:
            return None
        known_code = code, type(out) is tuple, views
        if alike is not None:
            workshop.codes[alike] = known_code
    code, several, views = known_code
    lines = [f"if len(inputs) != {len(inputs)}: return MISS"] if op.variadic else []
    lines += [f"{''.join(f'x{i}, ' for i in range(len(inputs)))}= inputs", "made, leaves = run.made, run.leaves"]
    if fresh:
        taken.tests.append(f"len(leaves) == {known}")
    asked = [*taken.loads, *taken.test("return MISS")]
    lines += ["try:", *(f"    {line}" for line in asked), UNLIKE, "    return MISS"]
    lines += ["if time.lent and lent(inputs): return MISS"]
    lines += ["try:", *(f"    {line}" for line in code.body or ["pass"])]
    lines += ["except KernelFailure:", "    return MISS"]
    lines += ["except Exception as error:", "    raise explain(op, error, inputs) from error"]
    lines += [f"leaves[{name}] = {n}" for n, name in fresh.items()]
    lines.append(f"run.kept = kept = {code.texts[1]}")
    facts_of_out = entry.outs[0]
    if not several and not views:
        lines += _written_out(op, attrs, code.texts[0], arrays, plain, parents, notes, facts_of_out, tracked, taken)
    else:
        lines.append(
            f"result = leave(op, inputs, attrs, ({', '.join(arrays)},), ({', '.join(parents)},),"
            f" {code.texts[0]}, kept{'' if grad else ', inner'})"
        )
        lines.append("run.register(entry, result)")
    lines.append("return result")
    scope = {
        **code.scope,
        **taken.scope,
        **by_name(KernelFailure, Node, ShapeOnly, Tensor, Variable, explain, leave, noted, np.ndarray, same),
        **by_name(core.above.lent, core.hold, core.hold_argument),
        "MISS": MISS,
        "PICK": PICK,
        "entry": entry,
        "new": object.__new__,
        "op": op,
        "time": time,
        "inner": None if grad else State(grad=False),
    }
    return Prepared(code, defined("follow(run, inputs, attrs)", lines, f"compile: {op.name}", scope), grad)


def _layouts(value: Any) -> Any:
    data = getattr(value, "_data", value)
    if isinstance(data, np.ndarray | np.generic):
        return layout_of(data)
    return frozen(data) if data.__class__ is bool else data.__class__


def _written_out(
    op: Any,
    attrs: dict[str, Any],
    out: str,
    arrays: list[str],
    plain: list[str],
    parents: list[str],
    notes: list[str],
    layout: Any,
    tracked: bool,
    taken: Arguments,
) -> list[str]:
    """:func:`autodiff.core.op.leave` for one result that shares no memory with an input, and what follows of it."""
    lines = ["result = new(Tensor)", f"result._data = {out}", "run.at = entry"]
    shape, dtype = (layout[0], layout[1]) if layout.__class__ is tuple else ((), np.dtype(layout))
    if not tracked or dtype.kind not in "fc":
        return [*lines, "result._node = None", "made.append(None)"]
    needs = tuple(parent != "None" for parent in parents)
    if op.fused:
        saved = f"(({', '.join(arrays)},), kept, {needs})"
    else:
        saved = _kept(op, arrays, plain, needs)
    lines += ["result._node = node = new(Node)", "node.op = op", f"node.parents = ({', '.join(parents)},)"]
    held = ", ".join(
        f"{key!r}: attrs[{key!r}]" if value.__class__ in FIXED else f"{key!r}: hold_argument(attrs[{key!r}])"
        for key, value in attrs.items()
    )
    lines += [
        f"node.saved = {saved}",
        f"node.attrs = {f'{{{held}}}' if held else None}",
        f"node.shape = {taken.constant(shape)}",
    ]
    lines += [f"node.dtype = {taken.constant(dtype)}", "node.stamp = time.now", "node.extras = None", "node.g = False"]
    if notes:
        lines.append(f"node.noted = [{', '.join(notes)}]")
    return [*lines, "made.append(node)"]


def _kept(op: Any, names: list[str], plain: list[str], needs: tuple[bool, ...]) -> str:
    """What a node of an elementary operation saves, as text: :meth:`Primitive.keep`, asked with arrays that one can
    tell apart.
    """
    names = ["result._data", *names]
    marks = [None if name == "None" else np.empty(i + 1) for i, name in enumerate(names)]
    texts = []
    for kept in op.keep(marks[1:], [need or None for need in needs], marks[0], None):
        if kept is None:
            texts.append("None")
        elif isinstance(kept, ShapeOnly):
            texts.append(f"ShapeOnly({names[kept.size - 1]})")
        else:
            name = names[kept.size - 1]
            texts.append(f"hold({name})" if name in plain else name)
    return f"({', '.join(texts)},)"
