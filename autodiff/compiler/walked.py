"""From a backward pass that is about to be made to code that does exactly that work.

The engine's own walk is run on a skeleton of the graph: the same nodes and operations, with stand-ins for what the
nodes saved, and private copies of their rules.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.compiler.check import same
from autodiff.compiler.emit import MISS, Code, by_name, defined
from autodiff.compiler.prepare import UNLIKE, Arguments, Workshop
from autodiff.compiler.private import beginning, in_one_call, is_pure, private, recording
from autodiff.compiler.record import Recorder, Unrecordable
from autodiff.compiler.standin import Recorded
from autodiff.compiler.trace import Entry
from autodiff.core import backward as engine
from autodiff.core.graph import Node, Variable, time, topological_order
from autodiff.core.op import ALIAS, PICK, PYTHON_NUMBERS
from autodiff.kernels import KernelFailure
from autodiff.zero_times_infinity import finite, multiplies

__all__ = ["Pass", "Shadow", "asked_at_the_end", "prepared_pass", "recorded_walk"]

recorded_walk, _finite = private(engine.walk), private(finite)


class Pass:
    """The code of a backward pass."""

    __slots__ = ("code", "follow", "free", "leaves", "root", "wanted")

    root: int  # the entry of its root
    free: bool  # whether it frees the graph
    wanted: Any  # the numbers of its targets

    def __init__(self, code: Code, follow: Any, leaves: list[int]) -> None:
        self.code = code
        self.follow = follow  # ``follow(follower, seed)``: the gradients, or MISS
        self.leaves = leaves  # which leaves of the follower they belong to, in the order in which they come to rest


class Shadow:
    """An operation whose rules are private copies."""

    pull = None

    def __init__(self, op: Any) -> None:
        self.op = op
        self.foreign = not all(rule is None or is_pure(rule) for rule in ([op.backward] if op.fused else op.rules))
        self.multiplies = multiplies(op)
        self.forward = in_one_call(op.forward)
        if isinstance(op.tangents, tuple):
            self.tangents = tuple(in_one_call(rule) if callable(rule) else rule for rule in op.tangents)
        if op.fused:
            self.backward = beginning(in_one_call(op.backward))
            self.composed = private(op.composed)
        else:
            self.rules = tuple(map(in_one_call, op.rules))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.op, name)

    @classmethod
    def of(cls, op: Any) -> Shadow:
        """The shadow of an operation, the same each time."""
        if op.__class__ is cls:
            return op  # type: ignore[no-any-return]
        found = _shadows.get(op)
        if found is None:
            found = _shadows[op] = cls(op)
        return found


_shadows: dict[Any, Shadow] = {}


class _Skeleton:
    """A copy of the graph that a pass walks, with stand-ins for what its nodes saved."""

    def __init__(self, follower: Any, taken: Arguments, path: list[Entry]) -> None:
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
        origin = self.follower.known_origin(node)
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
        shadow = Shadow.of(node.op)
        if shadow.foreign:
            raise Unrecordable(f"{node.op.name} is not the library's own")
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
        made = Node(shadow, parents, held, attrs, node.shape, node.dtype)
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


def asked_at_the_end(gradients: list[Any]) -> bool:
    """Whether gradients are finite, and so zero has met infinity nowhere; the question is put into the record."""
    if not all(type(g) is Recorded and g.value.dtype.kind in "fc" and finite(g.value) for g in gradients):
        return False
    for g in gradients:
        _finite(g)
    return True


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
    taken = Arguments(recorder, numbers)
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
            by_target = recorded_walk([copied], [start], wanted, free=free)
            leaves = [leaf for leaf, g in by_target.items() if g is not None]
            found = [by_target[leaf] for leaf in leaves]
        if not all(type(g) is Recorded for g in found):
            raise Unrecordable("a gradient that does not depend on values")
        if recorder.late and not asked_at_the_end(found):
            raise _Unfinite
        taking: set[int] = set()
        grads = [recorder.owned(g, taking) for g in found]
        places = [skeleton.places[leaf] for leaf in leaves]
        by_the_engine = follower.by_the_engine(root, seed, places)
        code = workshop.code(
            recorder,
            taken.standins,
            taken.values,
            tuple(grads),
            "backward",
            lambda again: by_the_engine is None or same(list(again), by_the_engine),
        )
    if code is None:
        return None
    lines = ["made, leaves = run.made, list(run.leaves)"]
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
    lines += [UNLIKE, "    return MISS"]
    # What the graph saved is let go of as soon as it is settled that the code holds, and each array after its last use.
    letting_go = [f"n{number}.saved = s{number} = None" for number in freed]
    body = [*code.body[: code.settled], *letting_go, *code.body[code.settled :]]
    lines += ["try:", *(f"    {line}" for line in body or ["pass"]), "except KernelFailure:"]
    lines += [*([f"    if s{freed[0]} is None: raise"] if freed else []), "    return MISS"]
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
    scope = {
        **code.scope,
        **taken.scope,
        **by_name(KernelFailure, Node, Variable, engine.come_to_rest, engine.through_hooks, np.ndarray, same),
        "check_unwritten": engine.above.check_unwritten,
        "ALIAS": ALIAS,
        "MISS": MISS,
        "time": time,
    }
    return Pass(code, defined("follow(run, seed)", lines, "compile: backward", scope), places)


def _at_leaves(root: Any, seed: Any, free: bool) -> tuple[list[Any], list[Any]]:
    """The leaves that a pass reaches, in the order in which it reaches them, and what it brings them."""
    brought: dict[Any, Any] = {}

    def seen(entry: Any, g: Any, sent: Any) -> None:
        if entry.__class__ is Variable:
            brought[entry] = g
        for parent, part in zip(entry.parents, sent, strict=True):
            if parent.__class__ is Variable and part is not None:
                brought.setdefault(parent, None)

    recorded_walk([root], [seed], free=free, seen=seen)
    return list(brought), list(brought.values())
