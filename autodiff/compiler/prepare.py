"""From an entry of the trace, or a backward pass from it, to code that does exactly that work.

The code first looks whether what it is given has the facts that it was made for, and answers :data:`MISS` if not: the
follower then does the ordinary thing. It is adopted only after it has reproduced, bit for bit, the very work that it
was recorded from.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff import kernels
from autodiff.compiler.check import same
from autodiff.compiler.emit import MISS, Code, defined
from autodiff.compiler.layout import Pool, Scratch
from autodiff.compiler.listing import Listing
from autodiff.compiler.record import Recorder, Slot, Unrecordable, beginning, ours, private, recording
from autodiff.compiler.standin import Recorded
from autodiff.compiler.trace import Entry, frozen, layout_of
from autodiff.core import backward as engine
from autodiff.core import op as core
from autodiff.core.graph import Node, Variable, time, topological_order
from autodiff.core.modes import State
from autodiff.core.op import ALIAS, FIXED, PICK, PYTHON_NUMBERS, Fused, Primitive, explain, leave
from autodiff.kernels import KernelFailure
from autodiff.reads import ShapeOnly
from autodiff.tensor import Tensor
from autodiff.watch import noted
from autodiff.zero_times_infinity import finite, multiplies

__all__ = ["Pass", "Prepared", "Shadow", "Workshop", "frozen_code", "prepared", "prepared_pass"]

_walk, _finite = private(engine.walk), private(finite)
_AS_IT_IS = (str, bytes, np.dtype, type)


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

    def code(self, recorder: Recorder, arguments: list[Any], given: list[Any], outputs: Any, name: str) -> Code | None:
        """Code for what was recorded; None if it does not give what was found while recording.

        Parameters
        ----------
        arguments : list of Recorded
        given : list
            Their values.
        outputs : template of Recorded
        """
        template = _template(outputs, recorder)
        found = _values(template)
        listing = Listing.of(recorder, [a.slot for a in arguments], template)
        code = Code(listing, name, self.scratch, self.pool, holds=False)
        with np.errstate(all="ignore"):
            again = code.run(*given)
        return code if again is not MISS and same(again, found) else None


def frozen_code(
    workshop: Workshop, recorder: Recorder, arguments: list[Any], given: list[Any], outputs: Any, name: str
) -> Code:
    """Code for a whole function, which need not be shown to give again what was found: random numbers are not."""
    template = _template(outputs, recorder)
    return Code(Listing.of(recorder, [a.slot for a in arguments], template), name, workshop.scratch, workshop.pool)


def _template(value: Any, recorder: Recorder) -> Any:
    """A result with slots in the place of stand-ins."""
    if type(value) is Recorded:
        return value.slot
    if isinstance(value, np.ndarray):
        return recorder.outside(value)
    if value is None or isinstance(value, (bool, int, float, complex, np.generic, ShapeOnly, *_AS_IT_IS)):
        return value
    if type(value) is dict:
        return {key: _template(item, recorder) for key, item in value.items()}
    if type(value) is list:
        return [_template(item, recorder) for item in value]
    if isinstance(value, tuple):
        return tuple.__new__(type(value), [_template(item, recorder) for item in value])
    if isinstance(value, slice) or value is ...:
        return value
    raise Unrecordable(f"it gives a {type(value).__name__}")


def _values(template: Any) -> Any:
    """What was found while recording."""
    if isinstance(template, Slot):
        return template.value
    if isinstance(template, dict):
        return {key: _values(item) for key, item in template.items()}
    if isinstance(template, (list, tuple)):
        return [_values(item) for item in template]
    return template


class _Arguments:
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
        self.index = -1

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
        if kind is np.ndarray or isinstance(value, np.generic):
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
        plain = (bool, int, float, complex, slice, ShapeOnly, *_AS_IT_IS)
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
            self.facts += [(text, value), (f"{text}.__class__", value.__class__)]
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


def _written(name: str, source: str, scope: dict[str, Any]) -> Any:
    follow = defined("follow", source, f"<autodiff.compile: {name}>", scope)
    follow.__doc__ = source
    return follow


# --- an operation -----------------------------------------------------------------------------------------------------


class Prepared:
    """The code of an entry.

    Attributes
    ----------
    follow : callable
        ``follow(follower, inputs, attrs)``: the result, or MISS.
    code : Code
    """

    __slots__ = ("code", "follow", "grad")

    def __init__(self, code: Code, follow: Any, grad: bool) -> None:
        self.code, self.follow, self.grad = code, follow, grad


def prepared(workshop: Workshop, entry: Entry, inputs: Any, attrs: dict[str, Any]) -> Prepared | None:
    """Code for an entry whose operation has just been applied to ``inputs``; None where it keeps running as it is."""
    op = entry.op
    forward = _forward_of(op, inputs)
    if forward is None:
        return None
    for numbers in (True, False):
        try:
            return _prepared(workshop, entry, forward, inputs, attrs, numbers)
        except Exception as error:  # whatever a stand-in cannot do; the operation itself has just been applied
            failed = error
    entry.why = f"{type(failed).__name__}: {failed}"
    return None


def _forward_of(op: Any, inputs: Any) -> Any:
    """What applying the operation to these inputs calls; None where that is not to be prepared."""
    if not isinstance(op, (Primitive, Fused)) or not (isinstance(op.forward, np.ufunc) or ours(op.forward)):
        return None  # the program's own
    if op.fused and any(isinstance(getattr(value, "_data", None), np.generic) for value in inputs):
        return None  # which is given arrays
    return op.forward if isinstance(op, Fused) or op.operator is None else op.operate


def _prepared(
    workshop: Workshop, entry: Entry, forward: Any, inputs: Any, attrs: dict[str, Any], numbers: bool
) -> Prepared | None:
    op, (grad, facts, _) = entry.op, entry.key
    recorder = Recorder()
    taken = _Arguments(recorder, numbers)
    taken.index = entry.index
    known = entry.parent.leaves if entry.parent is not None else 0
    fresh: dict[int, str] = {}  # leaves that no entry before has met, and the names of their nodes
    standins: list[Any] = []
    parents: list[str] = []
    notes: list[str] = []
    plain: list[str] = []  # arrays that the program can write into
    tracked = grad and any(
        fact[0] is not None for fact in facts if fact.__class__ is tuple and fact[-1].__class__ is bool
    )
    own = op.fused and tracked
    for i, (value, fact) in enumerate(zip(inputs, facts, strict=True)):
        name = f"x{i}"
        parent = "None"
        if value is None:
            taken.facts.append((name, None))
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
                taken.facts.append((f"{name}._node", None))
                notes.append(f"noted({i}, {name}, {name}._data)")
            else:
                parent = f"p{i}"
                taken.loads.append(f"{parent} = {name}._node")
                if origin.__class__ is tuple:
                    alone = origin[1] == 0 and origin in entry.parent.alone  # type: ignore[union-attr]
                    taken.tests.append(
                        f"{parent} is made[{taken.constant(origin[0])}]"
                        if alone
                        else f"origins.get({parent}) == {taken.constant(origin)}"
                    )
                elif origin < known or origin in fresh:
                    taken.tests.append(
                        f"{parent} is {fresh[origin]}"
                        if origin in fresh
                        else f"origins.get({parent}) == {taken.constant(origin)}"
                    )
                else:
                    taken.tests.append(f"{parent} is not None and {parent} not in origins")
                    taken.tests += [f"{parent} is not {other}" for other in fresh.values()]
                    fresh[origin] = parent
            taken.layout(value._data, taken.names[-1])
        parents.append(parent)
    given = {key: taken.taken(value, f"attrs[{key!r}]") for key, value in attrs.items()}
    setting = kernels.setting()
    alike = (op, setting, tuple([_layouts(value) for value in inputs]), frozen(attrs), own) if numbers else None
    known_code = workshop.codes.get(alike) if alike is not None else None
    if known_code is None:
        forward = private(forward)
        with recording(recorder):
            made = forward(*standins, **given)
            out, kept = made if op.fused else (made, None)
            parts = out if type(out) is tuple else (out,)
            if not all(type(part) is Recorded and isinstance(part.value, np.ndarray | np.generic) for part in parts):
                raise Unrecordable("its result is no array")
            views = any(part.slot.storage is not None and not part.slot.storage.made for part in parts)
            code = workshop.code(recorder, taken.standins, taken.values, (out, kept), op.name)
        if code is None:
            return None
        known_code = code, type(out) is tuple, views
        if alike is not None:
            workshop.codes[alike] = known_code
    code, several, views = known_code
    lines = [f"if len(inputs) != {len(inputs)}: return MISS"] if op.variadic else []
    lines += [f"{''.join(f'x{i}, ' for i in range(len(inputs)))}= inputs", "made, origins = run.made, run.origins"]
    if fresh:
        taken.tests.append(f"len(run.leaves) == {taken.constant(known)}")
    asked = [*taken.loads, *taken.test("return MISS")]
    lines += ["try:", *(f"    {line}" for line in asked), "except AttributeError:", "    return MISS"]
    lines += ["if time.lent and lent(inputs): return MISS"]
    lines += ["try:", *(f"    {line}" for line in code.body or ["pass"])]
    lines += ["except KernelFailure:", "    return MISS"]
    lines += ["except Exception as error:", "    raise explain(op, error, inputs) from error"]
    lines += [f"run.leaves.append({name}); origins[{name}] = {taken.constant(n)}" for n, name in fresh.items()]
    lines.append(f"run.kept = kept = {code.texts[1]}")
    arrays = _input_names(inputs, taken)
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
    source = "def follow(run, inputs, attrs):\n" + "".join(f"    {line}\n" for line in lines)
    scope = {
        **code.scope,
        **taken.scope,
        "KernelFailure": KernelFailure,
        "MISS": MISS,
        "Node": Node,
        "ShapeOnly": ShapeOnly,
        "Tensor": Tensor,
        "entry": entry,
        "explain": explain,
        "leave": leave,
        "lent": core.above.lent,
        "ndarray": np.ndarray,
        "new": object.__new__,
        "noted": noted,
        "op": op,
        "hold": core.hold,
        "hold_argument": core.hold_argument,
        "time": time,
        "same": same,
        "inner": None if grad else State(grad=False),
    }
    return Prepared(code, _written(op.name, source, scope), grad)


def _layouts(value: Any) -> Any:
    data = getattr(value, "_data", value)
    if isinstance(data, np.ndarray | np.generic):
        return layout_of(data)
    return frozen(data) if data.__class__ is bool else data.__class__


def _input_names(inputs: Any, taken: _Arguments) -> list[str]:
    """What the inputs' arrays are called in the code."""
    by_text = dict(zip(taken.texts, taken.names, strict=True))
    found = []
    for i, value in enumerate(inputs):
        texts = (f"x{i}", f"x{i}._data", f'x{i}.copy("K")')
        name = next((by_text[text] for text in texts if text in by_text), f"x{i}")
        found.append("None" if value is None else name)
    return found


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
    taken: _Arguments,
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
    return [*lines, "made.append(node)", f"origins[node] = {taken.constant((taken.index, 0))}"]


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


# --- a backward pass --------------------------------------------------------------------------------------------------


class Pass:
    """The code of a backward pass.

    Attributes
    ----------
    follow : callable
        ``follow(follower, seed)``: the gradients, or MISS.
    leaves : list of int
        Which leaves of the follower they belong to, in the order in which they come to rest.
    root, free, wanted
        Which pass it is: the entry of its root, whether it frees the graph, the numbers of its targets.
    """

    __slots__ = ("code", "follow", "free", "leaves", "root", "wanted")

    root: int
    free: bool
    wanted: Any

    def __init__(self, code: Code, follow: Any, leaves: list[int]) -> None:
        self.code, self.follow, self.leaves = code, follow, leaves


class Shadow:
    """An operation whose rules are private copies."""

    pull = None

    def __init__(self, op: Any) -> None:
        self.name, self.fused, self.variadic, self.inputs = op.name, op.fused, op.variadic, op.inputs
        self.pointwise = op.pointwise
        functions = [op.backward] if op.fused else op.rules
        if not all(rule is None or ours(rule) for rule in functions):
            raise Unrecordable(f"{op.name} is not the library's own")
        self.label, self.keep, self.tangents = op.label, op.keep, op.tangents
        self.multiplies = multiplies(op)
        if op.fused:
            self.backward, self.composed = beginning(private(op.backward)), op.composed
        else:
            self.rules = tuple(map(private, op.rules))

    @classmethod
    def of(cls, op: Any) -> Shadow:
        """The shadow of an operation, the same each time."""
        found = _shadows.get(op)
        if found is None:
            found = _shadows[op] = cls(op)
        return found


_shadows: dict[Any, Shadow] = {}


class _Skeleton:
    """A copy of the graph that a pass walks, with stand-ins for what its nodes saved."""

    def __init__(self, follower: Any, taken: _Arguments, path: list[Entry]) -> None:
        self.follower, self.taken, self.path = follower, taken, path
        self.copies: dict[Any, Any] = {}
        self.places: dict[Any, int] = {}  # leaf -> its number
        self.numbers: dict[Any, int] = {}  # entry of a copied node
        self.aliases: list[int] = []

    def copy(self, root: Any) -> Any:
        """The copy of a node and of all that it depends on."""
        for node in topological_order([root]):
            self.copies[node] = self._copied(node)
        return self.copies[root]

    def _copied(self, node: Any) -> Any:
        origin = self.follower.origins.get(node)
        if node.__class__ is Variable:
            if not isinstance(origin, int):
                origin = self.follower.place_of(node)
            if origin is None:
                raise Unrecordable("a leaf that is reached another way")
            leaf = Variable(node.shape, node.dtype)
            self.places[leaf] = origin
            if origin >= 0:
                self.taken.tests.append(f"leaves[{origin}].__class__ is Variable")
            return leaf
        if node.extras is not None:
            raise Unrecordable("a node with hooks")
        parents = tuple([None if parent is None else self.copies[parent] for parent in node.parents])
        if node.op is ALIAS and isinstance(origin, int) and node.parents[0].__class__ is Variable:
            alias = f"leaves[{origin}]"
            self.taken.tests.append(f"{alias}.__class__ is Node and {alias}.op is ALIAS and {alias}.extras is None")
            self.taken.tests.append(f"{alias}.parents[0].__class__ is Variable")
            self.aliases.append(origin)
            return Node(ALIAS, parents, (), None, node.shape, node.dtype)
        if node.op is PICK:
            return Node(PICK, parents, (), node.attrs, node.shape, node.dtype)
        if not isinstance(origin, tuple):
            raise Unrecordable("a graph from before the step")
        if node.op.pull is not None:
            raise Unrecordable(f"{node.op.name} has a way back of its own")
        number = origin[0]
        taken = self.taken
        strict = self.path[number].code is None
        saved, text = engine.saved_of(node), f"s{number}"
        if node.op.fused:
            # The inputs are there for the composed definition, which a pass like this one does not use.
            held: Any = (None, taken.taken(saved[1], f"{text}[1]", strict), saved[2])
        else:
            held = tuple([self._entry(item, f"{text}[{i}]", strict) for i, item in enumerate(saved)])
        attrs = {
            key: taken.taken(item, f"n{number}.attrs[{key!r}]", strict) for key, item in (node.attrs or {}).items()
        }
        made = Node(Shadow(node.op), parents, held, attrs, node.shape, node.dtype)
        self.numbers[made] = number
        return made

    def _entry(self, value: Any, text: str, strict: bool) -> Any:
        """What an elementary rule reads; of a number it goes by the kind."""
        if value.__class__ in (int, float) and self.taken.numbers:
            self.taken.tests.append(f"{text}.__class__ is {value.__class__.__name__}")
            return self.taken.take(value, text)
        return self.taken.taken(value, text, strict or value.__class__ in PYTHON_NUMBERS)


def prepared_pass(
    workshop: Workshop, follower: Any, path: list[Entry], root: Any, seed: Any, free: bool, targets: Any
) -> Pass | None:
    """Code for a pass that is about to be made; None where the engine keeps making it."""
    for numbers in (True, False):
        for late in (True, False):
            try:
                return _prepared_pass(workshop, follower, path, root, seed, free, targets, numbers, late)
            except _Unfinite:
                continue
            except Exception as error:
                failed: Exception = error
                break
    path[-1].why = f"{type(failed).__name__}: {failed}"
    return None


class _Unfinite(Exception):
    """Whether zero times infinity was met must be asked at each step."""


def _multiplies(nodes: Any) -> bool:
    """Whether a share of the elements comes of rules that multiply by what they read, each of which asks for zero times
    infinity. Where it is but a loss that is scaled, or none, the graph can be let go of at once.
    """
    sizes = [
        (node.op.multiplies, math.prod(node.shape))
        for node in nodes
        if isinstance(getattr(node, "op", None), Shadow) and all(n.__class__ is int for n in node.shape)
    ]
    return bool(sum(size for by, size in sizes if by) * 100 > sum(size for _, size in sizes))


def _prepared_pass(
    workshop: Workshop,
    follower: Any,
    path: list[Entry],
    root: Any,
    seed: Any,
    free: bool,
    targets: Any,
    numbers: bool,
    late: bool,
) -> Pass | None:
    recorder = Recorder()
    taken = _Arguments(recorder, numbers)
    skeleton = _Skeleton(follower, taken, path)
    copied = skeleton.copy(root)
    recorder.late = late and _multiplies(skeleton.copies.values())
    with recording(recorder):
        start = taken.take(seed, "seed")
        taken.layout(seed, "seed")
        if targets is None:
            leaves, found = _at_leaves(copied, start, free)
        else:
            wanted = [skeleton.copies[t] for t in targets if t in skeleton.copies]
            if not all(target.__class__ is Variable for target in wanted):
                raise Unrecordable("gradients at computed tensors")
            by_target = _walk([copied], [start], wanted, free=free)
            leaves = [leaf for leaf, g in by_target.items() if g is not None]
            found = [by_target[leaf] for leaf in leaves]
        taking = set()
        grads = []
        for g in found:
            if type(g) is not Recorded:
                raise Unrecordable("a gradient that does not depend on values")
            if recorder.late:
                if not finite(g.value):
                    raise _Unfinite
                _finite(g)
            storage = g.slot.storage
            if storage is not None and (
                not storage.made or storage.index in taking or g.value.base is not None or g.slot.offset
            ):
                g = recorder.call(np.array, (g,), {})
                storage = g.slot.storage
            if storage is not None:
                taking.add(storage.index)
            grads.append(g)
        code = workshop.code(recorder, taken.standins, taken.values, tuple(grads), "backward")
    if code is None:
        return None
    lines = ["made, leaves = run.made, run.leaves"]
    used = sorted(set(skeleton.numbers.values()))
    freed = [number for node, number in skeleton.numbers.items() if node.saved is None]
    lines += [f"n{number} = made[{number}]; s{number} = n{number}.saved" for number in used]
    lines.append(f"if {' or '.join(f'n{number}.extras' for number in used)}: return MISS")
    checks = "; ".join(f"check_unwritten(n{number})" for number in used)
    lines.append(f"if n{used[0]}.stamp < time.written: {checks}")
    tests = taken.tests
    if skeleton.aliases:
        # Two aliases of one leaf would add up there.
        known = [place for place in skeleton.places.values() if place >= 0]
        members = [f"leaves[{number}].parents[0]" for number in skeleton.aliases]
        members += [f"leaves[{number}]" for number in known]
        tests.append(f"len({{{', '.join(members)}}}) == {len(members)}")
    # Of a node that has been freed nothing can be taken.
    lines += ["try:", *(f"    {line}" for line in [*taken.test("return MISS"), *taken.loads])]
    lines += ["except TypeError:", "    return MISS"]
    # What the graph saved is let go of as soon as it is settled that the code holds, and each array after its last use.
    letting_go = [f"n{number}.saved = s{number} = None" for number in freed]
    body = [*code.body[: code.settled], *letting_go, *code.body[code.settled :]]
    lines += ["try:", *(f"    {line}" for line in body or ["pass"]), "except KernelFailure:"]
    lines += [*([f"    if s{freed[0]} is None: raise"] if freed else []), "    return MISS"]
    places = [skeleton.places[leaf] for leaf in leaves]
    if targets is None:
        for leaf, place, text in zip(leaves, places, code.texts, strict=True):
            lines += [f"leaf = leaves[{place}]" if place >= 0 else f"leaf = leaves[{~place}].parents[0]"]
            resting = f"come_to_rest(leaf, through_hooks(leaf, {text}, False), False)"
            if leaf.dtype.kind == "c":  # whose gradient the tape tells as the conjugate
                lines.append(resting)
                continue
            lines += [
                "if leaf._grad is None and not leaf.hooks:",
                f"    leaf._grad = {text}",
                "else:",
                f"    {resting}",
            ]
    lines.append(f"return {code.result}")
    source = "def follow(run, seed):\n" + "".join(f"    {line}\n" for line in lines)
    scope = {
        **code.scope,
        **taken.scope,
        "ALIAS": ALIAS,
        "Node": Node,
        "KernelFailure": KernelFailure,
        "MISS": MISS,
        "Variable": Variable,
        "check_unwritten": engine.above.check_unwritten,
        "come_to_rest": engine.come_to_rest,
        "through_hooks": engine.through_hooks,
        "time": time,
        "ndarray": np.ndarray,
        "same": same,
    }
    return Pass(code, _written("backward", source, scope), places)


def _at_leaves(root: Any, seed: Any, free: bool) -> tuple[list[Any], list[Any]]:
    """The leaves that a pass reaches, in the order in which it reaches them, and what it brings them."""
    brought: dict[Any, Any] = {}

    def seen(entry: Any, g: Any, sent: Any) -> None:
        if entry.__class__ is Variable:
            brought[entry] = g
        for parent, part in zip(entry.parents, sent, strict=True):
            if parent.__class__ is Variable and part is not None:
                brought.setdefault(parent, None)

    _walk([root], [seed], free=free, seen=seen)
    return list(brought), list(brought.values())
