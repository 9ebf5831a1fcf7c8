"""``autodiff.compile``: which plan fits a call, and what to do when none does."""

from __future__ import annotations

import functools
import gc
import operator
import random
import threading
import types
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from autodiff import kernels
from autodiff.core.backward import wrap
from autodiff.core.errors import ArgumentError, CompileError
from autodiff.core.graph import GeneralNode, Node, Variable
from autodiff.core.modes import ORDINARY, current_state
from autodiff.core.pytree import flatten, outline
from autodiff.replay.checking import checked
from autodiff.replay.plan import DIVERGED, Plan, Unplannable
from autodiff.replay.recorded import Recorded, bare
from autodiff.replay.recorder import Recorder, Slot, recording, spent
from autodiff.replay.run import watched_run
from autodiff.replay.surroundings import Surroundings
from autodiff.tensor import Tensor

__all__ = ["CompileWarning", "Compiled", "compile"]

# A step that could not be replayed this often in a row is not recorded again.
_PATIENCE = 3


class CompileWarning(UserWarning):
    """A compiled step runs eagerly; the message says why and what to do."""


class Entry:
    """A plan and when it holds."""

    __slots__ = ("changed", "fits", "mode", "output", "plan", "same", "state", "structure", "threads")

    def __init__(self, plan: Plan, state: Any, structure: Any, fits: Any, same: Any, changed: Any, output: Any) -> None:
        self.plan = plan
        self.state = state
        self.structure = structure
        self.mode, self.threads = kernels.using(), kernels.get_threads()
        self.fits = fits
        self.same = same
        self.changed = changed
        self.output = output


class Compiled:
    """A step that is recorded once and replayed; made by :func:`autodiff.compile`.

    Attributes
    ----------
    plan : Plan or None
        The plan of the last call; None if that call ran eagerly. ``print(step.plan)`` shows it as Python.
    plans : list of Plan
    reason : str
        Why calls run eagerly, if they do.
    recordings, replays, eager : int
        How many calls were recorded, replayed, and run eagerly.
    """

    def __init__(self, function: Callable[..., Any], plans: int, check: bool, fallback: bool) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._limit = plans
        self._check = check
        self._fallback = fallback
        self._entries: list[Entry] = []
        self._lock = threading.Lock()
        self._unconfirmed: dict[Any, Any] = {}
        self._strangers: dict[Any, tuple[dict[int, Tensor], int]] = {}
        self._refusals: dict[Any, int] = {}
        self._warned: set[str] = set()
        self.plan: Plan | None = None
        self.reason = ""
        self.recordings = self.replays = self.eager = 0

    @property
    def plans(self) -> list[Plan]:
        """All plans, the one used last first."""
        return [entry.plan for entry in self._entries]

    def __repr__(self) -> str:
        return (
            f"autodiff.compile({getattr(self._function, '__qualname__', self._function)!s}): {len(self._entries)} plans"
        )

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = current_state()
        if state is not None and state != replace(ORDINARY, grad=state.grad, composed=state.composed):
            # Inside another recording its calls are simply part of that; watchful modes want to see every operation.
            return self._function(*args, **kwargs)
        if not self._lock.acquire(False):
            return self._function(*args, **kwargs)  # in use by another thread, or by itself further up
        try:
            leaves: Any = args
            structure = None  # of arguments by position, each of them a leaf
            if kwargs or (args and not all(map(_is_leaf, args))):
                leaves = []
                structure = outline((args, kwargs), leaves)
            for entry in self._entries:
                if (entry.state is not state and entry.state != state) or (
                    structure is not entry.structure and structure != entry.structure
                ):
                    continue
                if not entry.fits(leaves) or not entry.same():
                    continue
                if entry.mode != kernels.using() or entry.threads != kernels.get_threads():
                    continue
                if self._check:
                    found = checked(entry.plan, entry.output, self._function, args, kwargs, leaves)
                else:
                    found = entry.plan.replay(*leaves)
                if found is DIVERGED:
                    continue
                if entry is not self._entries[0]:
                    self._entries.remove(entry)
                    self._entries.insert(0, entry)
                self.plan = entry.plan
                self.replays += 1
                return found if self._check else entry.output(found)
            self.plan = None
            return self._recorded(args, kwargs, state, structure)
        finally:
            self._lock.release()

    # --- recording
    # ----------------------------------------------------------------------------------------------------------

    def _eagerly(self, reason: str, args: Any, kwargs: Any) -> Any:
        self._refuse(reason)
        self.eager += 1
        return self._function(*args, **kwargs)

    def _refuse(self, reason: str) -> None:
        self.reason = reason
        message = f"autodiff.compile: {getattr(self._function, '__qualname__', 'the step')} runs eagerly: {reason}"
        if not self._fallback:
            raise CompileError(message)
        if reason not in self._warned:
            self._warned.add(reason)
            warnings.warn(message, CompileWarning, stacklevel=5)

    def _recorded(self, args: Any, kwargs: Any, state: Any, structure: Any) -> Any:
        leaves, rebuild = flatten((args, kwargs))
        key = (state, structure, tuple(map(_kind_of, leaves)))
        if self._refusals.get(key, 0) >= _PATIENCE:
            self.eager += 1
            return self._function(*args, **kwargs)
        if len(self._entries) >= self._limit:
            return self._eagerly(
                f"{self._limit} plans are held already, for other shapes, dtypes, static arguments or settings; pad the"
                " arguments to fewer shapes, pass numbers that change as arrays, or raise plans=",
                args,
                kwargs,
            )
        if any(isinstance(leaf, Tensor) and isinstance(leaf._node, Node) for leaf in leaves):
            return self._eagerly(
                "an argument was computed from tensors that require a gradient, outside the step", args, kwargs
            )
        known, made = self._strangers.get(key, ({}, -1))
        around = Surroundings(
            [self._function, *(leaf for leaf in leaves if not isinstance(leaf, (np.ndarray, Tensor))), *known.values()]
        )
        sources: dict[int, Any] = {identity: ("tensor", tensor) for identity, tensor in around.tensors.items()}
        double = any(id(leaf) in sources or id(leaf) in around.arrays for leaf in leaves)
        sources |= {id(leaf): ("argument", i) for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
        recorder = Recorder(sources)
        for tensor in {
            id(t): t for t in (*around.tensors.values(), *(leaf for leaf in leaves if isinstance(leaf, Tensor)))
        }.values():
            recorder.knows(tensor)
        given: list[Any] = []
        slots: list[Slot | None] = []
        for leaf in leaves:
            standin = (
                recorder.argument(leaf)
                if isinstance(leaf, (np.ndarray, np.generic)) and type(leaf) is not np.void
                else leaf
            )
            slots.append(standin.slot if type(standin) is Recorded else None)
            given.append(standin)
        if around.hooked:
            recorder.stop(f"a {around.hooked} has forward hooks")
        if double:
            recorder.stop("an argument is also within the step's reach under another name; leave one of the two out")
        chance = _Chance(around)
        new_args, new_kwargs = rebuild(given)
        handed = _Handed((args, kwargs), (new_args, new_kwargs))
        standin = None
        given.clear()
        try:
            with recording(recorder, around.globals.values()), watched_run() as run:
                result = self._function(*new_args, **new_kwargs)
                outputs = self._outputs(recorder, result)
                if recorder.live:
                    recorder.settle()
        except Exception as error:
            if not recorder.undo():
                recorder.release()
                handed.put_back()
                raise
            recorder.release()
            # Perhaps the fault is the recording's: the eager call decides.
            found = self._function(*args, **kwargs)
            self._count_refusal(key)
            self.eager += 1
            self._refuse(f"the recording failed where the eager call does not: {type(error).__name__}: {error}")
            return found
        if handed.changed():
            recorder.stop("it changes a list or a dict that it was given; return what it puts there")
        live, reason = recorder.live, recorder.reason
        recorder.release()
        handed.put_back()
        result = _unwrapped(result)
        del new_args, new_kwargs, handed
        if live:
            reason = self._objection(recorder, chance)
        variables = [
            (w.owner, w.variable)
            for w in recorder.variables.values()
            if w.owner is not None and id(w.owner) in around.tensors
        ]
        run.names |= recorder.names
        reason = reason or around.objection(run)
        used = {id(op.target[0][1]) for op in recorder.ops if op.kind == "load" and op.target[0][0] == "tensor"}
        followed = {id(slot.value) for slot in recorder.held} | {
            id(storage.owner) for storage in recorder.storages.values()
        }
        same, changed = around.watch(run, variables, used, followed)
        if live and not reason and not same():
            reason = (
                f"the step itself changes {changed()}, which a replay would not; keep such state outside the step, or"
                " in a Tensor's .data"
            )
        if reason:
            self._count_refusal(key)
            self.eager += 1
            self._refuse(reason)
            return result
        strangers = {
            identity: tensor
            for identity, tensor in recorder.strangers.items()
            if id(tensor._data) not in recorder.cached
        }
        if strangers and len(strangers) != made:
            # What is met again in the next call comes from outside, by a way that cannot be followed, and is a source
            # then.
            self._strangers[key] = known | strangers, len(strangers)
            self.eager += 1
            return result
        self._strangers[key] = {identity: tensor for identity, tensor in known.items() if identity in used}, made
        lasting = around.arrays.keys() | recorder.cached
        doubtful = [
            slot
            for slot in recorder.held
            if id(slot.value) not in lasting and (slot.value.flags.writeable or slot.value.base is not None)
        ]
        if doubtful:
            signature = _signature(recorder)
            before = self._unconfirmed.get(key)
            if before is None or not _alike(before, signature):
                self._unconfirmed[key] = signature
                self.eager += 1
                if before is not None:
                    self._count_refusal(key)
                    self._refuse(
                        "it uses arrays that plain NumPy makes anew in every call (data drawn, sliced or computed"
                        " outside of Tensors); pass them as arguments, or compute them from a Tensor"
                    )
                return result
        self._adopt(recorder, leaves, slots, outputs, state, structure, frozenset(around.tensors), same, changed)
        self._unconfirmed.pop(key, None)
        self._refusals.pop(key, None)
        self.recordings += 1
        return result

    def _count_refusal(self, key: Any) -> None:
        self._refusals[key] = self._refusals.get(key, 0) + 1

    def _objection(self, recorder: Recorder, chance: _Chance) -> str:
        """What is wrong with a record that was completed."""
        kept = [ref() for ref in recorder.standins]
        kept = [standin for standin in kept if standin is not None]
        if kept:
            _heal(kept)
            return (
                "a computed array or tensor was kept outside the step (in a list, an attribute, a cache); return it"
                " instead"
            )
        return chance.objection(recorder)

    def _adopt(
        self,
        recorder: Recorder,
        leaves: Any,
        slots: Any,
        outputs: Any,
        state: Any,
        structure: Any,
        reach: frozenset[int],
        same: Any,
        changed: Any,
    ) -> None:
        template, build = outputs
        try:
            plan = Plan(recorder, slots, template, getattr(self._function, "__name__", "step"))
        except Unplannable as error:
            self._refuse(str(error))
            return
        self._entries.insert(0, Entry(plan, state, structure, _fitting(leaves, reach), same, changed, build))
        self.plan = plan

    def _outputs(self, recorder: Recorder, result: Any) -> tuple[tuple[Any, ...], Callable[[Any], Any]]:
        """Which slots the step returned, and a function that makes its result of their values."""
        leaves, rebuild = flatten(result)
        template: list[Any] = []
        builders: list[Any] = []
        for leaf in leaves:
            slot, builder = self._output(recorder, leaf)
            template.append(slot)
            builders.append(builder)
        if result is None:
            return (), _nothing
        alone = len(leaves) == 1 and leaves[0] is result
        first = [next(i for i, other in enumerate(leaves) if other is leaf) for leaf in leaves]
        leaves[:] = [None] * len(leaves)  # rebuild() holds on to the list
        if alone:
            (only,) = builders
            return tuple(template), (lambda values: only(values[0]))
        if first != list(range(len(first))):  # the same tensor twice is one object

            def once(values: Any) -> Any:
                made = [build(value) for build, value in zip(builders, values, strict=True)]
                return rebuild([made[i] for i in first])

            return tuple(template), once
        return tuple(template), lambda values: rebuild(
            [build(value) for build, value in zip(builders, values, strict=True)]
        )

    def _output(self, recorder: Recorder, leaf: Any) -> tuple[Any, Any]:
        if type(leaf) is Recorded:
            return leaf.slot, _as_is
        if isinstance(leaf, Tensor):
            if id(leaf) in recorder.sources:
                kind, what = recorder.sources[id(leaf)]
                if kind == "argument":
                    recorder.stop("it returns one of its arguments")
                return None, lambda value: what
            node = leaf._node
            if node is not None and not spent(node):
                recorder.stop(
                    "it returns a tensor whose gradient has not been taken yet; call backward() inside the step, return"
                    " .detach(), or compile autodiff.value_and_grad(function)"
                )
                return None, _as_is
            entered = recorder.entered(leaf)
            if type(entered) is not Recorded:
                return entered, _constant_tensor
            return entered.slot, _constant_tensor if node is None else _spent_tensor(node)
        if isinstance(leaf, np.ndarray):
            return recorder.outside(leaf), _as_is
        if leaf is not None and not isinstance(leaf, (bool, int, float, complex, str, np.generic)):
            recorder.stop(f"it returns a {type(leaf).__name__}; return tensors, arrays and numbers")
        return leaf, _as_is


def _is_leaf(value: Any) -> bool:
    return value is not None and not isinstance(value, (dict, list, tuple))


def _as_is(value: Any) -> Any:
    return value


def _nothing(values: Any) -> None:
    return None


def _constant_tensor(value: Any) -> Any:
    return wrap(value, None)


def _spent_tensor(node: Any) -> Callable[[Any], Any]:
    op, attrs, shape, dtype = node.op, node.attrs, node.shape, node.dtype

    def build(value: Any) -> Any:
        made = GeneralNode()
        made.op, made.pull, made.g, made.parents, made.saved, made.attrs, made.shape, made.dtype = (
            op,
            op.pull,
            False,
            (),
            None,
            attrs,
            shape,
            dtype,
        )
        return wrap(value, made)

    return build


def _unwrapped(result: Any) -> Any:
    """The recorded call's own result, free of stand-ins."""
    leaves, rebuild = flatten(result)
    plain = []
    for leaf in leaves:
        if isinstance(leaf, Tensor) and type(leaf._data) is Recorded:
            leaf._data = leaf._data.value
        plain.append(bare(leaf))
    return plain[0] if len(leaves) == 1 and leaves[0] is result else rebuild(plain)


def _kind_of(leaf: Any) -> Any:
    """What must be equal for two arguments to take the same plan."""
    if isinstance(leaf, Tensor):
        data = leaf._data
        return type(leaf), data.shape, data.dtype, getattr(data, "strides", None), leaf._node is None
    if isinstance(leaf, (np.ndarray, np.generic)):
        return type(leaf), leaf.shape, leaf.dtype, leaf.strides
    return (type(leaf), leaf) if isinstance(leaf, (bool, int, float, complex, str)) else (type(leaf), id(leaf))


def _fitting(leaves: Any, reach: frozenset[int]) -> Callable[[Any], bool]:
    """A function that tells whether other arguments take the plan recorded for these; ``reach`` are tensors that the
    step finds by itself.
    """
    scope: dict[str, Any] = {"Variable": Variable, "reach": reach}
    names = [f"a{i}" for i in range(len(leaves))]
    tests = []
    for i, (name, leaf) in enumerate(zip(names, leaves, strict=True)):
        scope[f"t{i}"] = type(leaf)
        tests.append(f"{name}.__class__ is t{i}")
        array = None
        if isinstance(leaf, Tensor):
            array = leaf._data
            tests.append(
                f"{name}._node is None"
                if leaf._node is None
                else f"{name}._node.__class__ is Variable and not {name}._node.hooks"
            )
            scope[f"k{i}"] = type(array)
            tests.append(f"{name}._data.__class__ is k{i}")
            tests.append(f"id({name}) not in reach")
            name = f"{name}._data"
        elif isinstance(leaf, (np.ndarray, np.generic)):
            array = leaf
        if array is not None:
            scope[f"d{i}"] = array.dtype
            tests.append(f"{name}.dtype == d{i}")
            if isinstance(array, np.ndarray):
                tests.append(f"{name}.shape == {array.shape!r} and {name}.strides == {array.strides!r}")
        else:
            scope[f"v{i}"] = leaf
            plain = isinstance(leaf, (bool, int, float, complex, str, type(None)))
            tests.append(f"{name} == v{i}" if plain else f"{name} is v{i}")
            if isinstance(leaf, (float, complex)) and not leaf:
                tests.append(f"repr({name}) == {repr(leaf)!r}")  # 0.0 and -0.0 are equal
        for j in range(i):
            if isinstance(leaf, (np.ndarray, Tensor)) and isinstance(leaves[j], (np.ndarray, Tensor)):
                tests.append(f"a{i} is {'' if leaves[j] is leaf else 'not '}a{j}")
    unpack = f"    {', '.join(names)}{',' if len(names) == 1 else ''} = leaves\n" if names else ""
    source = (
        f"def fits(leaves):\n    if len(leaves) != {len(names)}: return False\n{unpack}    return"
        f" {' and '.join(tests) or 'True'}\n"
    )
    exec(source, scope)
    fits: Callable[[Any], bool] = scope["fits"]
    return fits


def _signature(recorder: Recorder) -> tuple[list[Any], list[Any]]:
    """What two records of the same program have in common."""
    ops = [
        (op.kind, op.target, _frozen(op.args), _frozen(op.kwargs), [s.index for s in op.outs()]) for op in recorder.ops
    ]
    return ops, [slot.value for slot in recorder.held]


def _frozen(value: Any) -> Any:
    if isinstance(value, Slot):
        return ("slot", value.index, value.kind)
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, slice):
        return ("slice", _frozen(value.start), _frozen(value.stop), _frozen(value.step))
    if isinstance(value, np.generic):
        return (value.dtype, value.tobytes())
    if isinstance(value, (bool, int, float, complex, str, np.dtype, type, type(None))):
        return (type(value), value)
    return ("object", id(value))


def _alike(one: Any, other: Any) -> bool:
    (ops, held), (other_ops, other_held) = one, other
    if len(ops) != len(other_ops) or len(held) != len(other_held):
        return False
    for a, b in zip(held, other_held, strict=True):
        if a is not b and (a.__array_interface__ != b.__array_interface__ or a.base is None or a.base is not b.base):
            return False
    for a, b in zip(ops, other_ops, strict=True):
        if (
            a[0] != b[0]
            or a[2:] != b[2:]
            or not (a[1] is b[1] or (a[0] == "call" and a[1] == b[1]) or a[0] in ("load", "bind", "guard"))
        ):
            return False
    return True


class _Chance:
    """Whether random numbers were drawn that a replay would not draw again."""

    def __init__(self, around: Surroundings) -> None:
        self.generators = [(generator, generator.bit_generator.state) for generator in around.generators]
        self.others = [(state, state()) for state in around.chance]
        self.legacy = np.random.get_state(legacy=False)  # noqa: NPY002
        self.python = random.getstate()

    def objection(self, recorder: Recorder) -> str:
        """The reason to refuse, or nothing."""
        drawn = {id(generator): (generator, state) for generator, state in self.generators} | recorder.generators
        for generator, before in drawn.values():
            twin = np.random.Generator(type(generator.bit_generator)())
            twin.bit_generator.state = before
            for op in recorder.ops:
                if op.kind == "draw" and op.args[0] is generator:
                    op.target(twin, *op.args[1:])
            if not _equal(twin.bit_generator.state, generator.bit_generator.state):
                return (
                    "random numbers were drawn from a Generator that the recording cannot see; draw them outside and"
                    " pass them as arguments"
                )
        if not all(_equal(before, state()) for state, before in self.others):
            return (
                "random numbers were drawn from a random.Random or a RandomState; use an explicit np.random.Generator,"
                " through dropout say"
            )
        legacy = np.random.get_state(legacy=False)  # noqa: NPY002
        if not _equal(self.legacy, legacy) or self.python != random.getstate():
            return (
                "random numbers were drawn from a global generator; use an explicit np.random.Generator, through"
                " nn.functional.dropout say"
            )
        return ""


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


class _Handed:
    """The lists and dicts among the arguments of a recorded call, which sees copies of them with stand-ins in the place
    of arrays.

    Parameters
    ----------
    given, seen
        The caller's arguments, and those of the recorded call.
    """

    def __init__(self, given: Any, seen: Any) -> None:
        self._pairs: list[tuple[Any, Any, list[Any]]] = []  # the caller's, the call's, and what was in this
        self._same: dict[int, Any] = {}  # what stands for what
        self._walk(given, seen)

    def _walk(self, given: Any, seen: Any) -> None:
        if isinstance(given, (dict, list)):
            self._same[id(seen)] = given
            self._pairs.append((given, seen, _held(seen)))
        if isinstance(given, dict):
            for key in given:
                self._walk(given[key], seen[key])
        elif isinstance(given, (list, tuple)):
            for one, other in zip(given, seen, strict=True):
                self._walk(one, other)

    def changed(self) -> bool:
        """Whether the call has changed one of them."""
        return any(
            len(now := _held(seen)) != len(held) or any(map(operator.is_not, now, held))
            for _, seen, held in self._pairs
        )

    def put_back(self) -> None:
        """Do to the caller's what the call has done to its own."""
        for given, seen, held in self._pairs:
            now = _held(seen)
            if len(now) == len(held) and all(map(operator.is_, now, held)):
                continue
            before = dict(zip(map(id, held), _held(given), strict=True))
            known = before | self._same
            values = [
                known[id(v)] if id(v) in known else _unwrapped(v)
                for v in (seen.values() if isinstance(seen, dict) else seen)
            ]
            if isinstance(given, dict):
                keys = list(seen)
                given.clear()
                given.update(zip(keys, values, strict=True))
            else:
                given[:] = values


def _held(container: Any) -> list[Any]:
    """What is in a list or dict, keys included."""
    return [*container, *container.values()] if isinstance(container, dict) else [*container]


def _heal(kept: list[Recorded]) -> None:
    """Put true arrays where stand-ins were left behind, as far as they can be found."""
    for standin in kept:
        for holder in gc.get_referrers(standin):
            if type(holder) is list and holder is not kept:
                holder[:] = [standin.value if item is standin else item for item in holder]
            elif type(holder) is dict:
                for key, item in list(holder.items()):
                    if item is standin:
                        holder[key] = standin.value
            elif isinstance(holder, Tensor):
                holder._data = standin.value


def compile(
    function: Callable[..., Any] | None = None, *, plans: int = 8, check: bool = False, fallback: bool = True
) -> Any:
    """Record a step once, then replay it as a flat list of NumPy calls: the same bits, without the engine's work.

    Parameters
    ----------
    function : callable
        A training step (forward, backward, optimiser's step), or anything computed with Tensors that takes its
        gradients inside. Its arguments may be arrays, tensors, and nested dicts, lists and tuples of them; everything
        else is static: another value means another plan.
    plans : int
        How many plans may be held, one for each combination of shapes, dtypes, static arguments, modes and paths taken.
    check : bool
        Run every call both ways and compare to the bit: for debugging.
    fallback : bool
        Run eagerly, with a :class:`CompileWarning`, what cannot be replayed faithfully; False raises a CompileError.

    Returns
    -------
    Compiled
        Called like ``function``. ``print(step.plan)`` shows the plan, ``step.plan.profiled()`` times its lines.

    Notes
    -----
    The first call runs for real and is recorded. Later calls with arguments of the same shapes and dtypes replay the
    record, provided that nothing which decided its course has changed: attributes and globals that the code reads,
    ``requires_grad``, hooks, and the truth of every comparison made on the way. Parameters, gradients, running
    statistics, optimisers, schedules and generators are read where they live, and are left exactly as an eager call
    leaves them. Python side effects (printing, appending to a list, counting) happen in the recorded call only; where
    they can be noticed the step is refused, as is one that reads a clock, an iterator from outside or random numbers of
    Python's. What cannot be noticed is what a file says, and single elements that plain NumPy reads from an array of
    more than 64 KiB from outside. Elementwise operations on large arrays run in chains: on one block after another, so
    that what they compute on the way stays in cache, or, where numba is installed, in loops compiled once the replays
    have been long enough for that to pay. Of two NaNs that meet, a compiled loop may hand on the other one. Arrays
    handed out (a gradient, a result) are never written over while somebody holds them.

    Examples
    --------
    >>> import numpy as np, autodiff, nn, optim
    >>> model = nn.Linear(3, 1, generator=np.random.default_rng(0))
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> @autodiff.compile
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = nn.functional.mse_loss(model(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, y = np.eye(3, dtype=np.float32), np.ones((3, 1), np.float32)
    >>> losses = [step(x, y).item() for _ in range(50)]
    >>> bool(losses[-1] < 0.01 * losses[0]), step.recordings, step.replays
    (True, 1, 49)
    """
    if function is None:
        return lambda f: compile(f, plans=plans, check=check, fallback=fallback)
    if not callable(function):
        raise ArgumentError(f"compile: takes a function, got {type(function).__name__}")
    if plans < 1:
        raise ArgumentError(f"compile: plans must be at least 1, got {plans}")
    return Compiled(function, plans, check, fallback)
