"""A loop's body, run once on stand-ins, and the loop over it as one operation.

The body is a pure function by contract (``scan``). Its one run leaves two records of itself: which operations it
applied to what, which is its meaning (:attr:`Body.calls`, run again for higher orders and forward mode), and which
NumPy calls these make, forward and backward, out of which a native loop is written (``native.py``), or a plan that is
called once a step (``stepped.py``).

The way back computes each step's values again from the carry that the step began with. So a loop keeps its carries, and
nothing else: with ``checkpoint=k`` every k-th of them, and the others are computed again as well.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakSet

import numpy as np

from autodiff.compiler.emit import MISS
from autodiff.compiler.passes.chains import _heeds, compiles
from autodiff.compiler.private import _nothing, private, recording
from autodiff.compiler.record import Recorder, Slot, Unrecordable
from autodiff.compiler.sources import Sources
from autodiff.compiler.standin import Recorded, bare, exactly, mapped, outlined
from autodiff.compiler.stepped import Stepped
from autodiff.compiler.tracer import Declared, Tracer
from autodiff.compiler.walked import recorded_walk
from autodiff.core.backward import gradients_of
from autodiff.core.graph import Variable
from autodiff.core.modes import ORDINARY, _state, state_as
from autodiff.core.op import Fused, Primitive, apply, wrap
from autodiff.core.pytree import flatten
from autodiff.ops.elementwise import constant
from autodiff.ops.shaping import stack
from autodiff.trees import outline

__all__ = ["Body", "Loop", "loop_over"]

#: So many loops are remembered.
_MOST = 64


class _Closing(Tracer):
    """Notes the operations, and takes what the body closes over for an argument."""

    def __init__(self, recorder: Recorder, native: bool) -> None:
        super().__init__(recorder, Declared(()))
        self.native = native
        self.closed: dict[int, tuple[Any, Any]] = {}
        self.calls: list[Any] = []
        self.seen = 0

    def mine(self, data: Any) -> bool:
        """Whether it is a stand-in of this run."""
        return type(data) is Recorded and data.recorder is self.recorder

    def enter(self, value: Any) -> Any:
        """The argument that stands for an array or a Tensor from outside."""
        data = getattr(value, "_data", value)
        if id(data) not in self.closed:
            bare = np.asarray(data.value if type(data) is Recorded else data, order="C")
            node = None if getattr(value, "_node", None) is None else Variable(bare.shape, bare.dtype)
            self.closed[id(data)] = value, wrap(self.recorder.argument(bare.reshape(data.shape)), node)
        return self.closed[id(data)][1]

    def apply(self, op: Any, inputs: Any, attrs: dict[str, Any], residuals: list[Any] | None) -> Any:
        """See :func:`autodiff.core.op.apply`."""
        inputs = [
            self.enter(value)
            if isinstance(data := getattr(value, "_data", value), np.ndarray | np.generic) and not self.mine(data)
            else value
            for value in inputs
        ]
        if self.native and op.fused and residuals is None:
            return op.composed(*inputs, **attrs)
        self.catch_up()
        result = super().apply(op, inputs, attrs, residuals)
        self.seen = len(self.recorder.ops)
        outs = result if isinstance(result, tuple) else (result,)
        given = [self.reference(value) for value in inputs]
        self.calls.append((op, given, self.recorder.template(attrs), [self.reference(out)[0] for out in outs]))
        return result

    def catch_up(self) -> None:
        """Note the calls that came through no operation: of comparisons and other functions without a derivative."""
        for op in self.recorder.ops[self.seen :]:
            if op.kind != "call" or op.writes:
                raise Unrecordable("an array that is written into")
            target = _as_array if op.target is np.asarray else op.target
            self.calls.append((target, op.args, op.kwargs, [slot.index for slot in op.outs()]))
        self.seen = len(self.recorder.ops)

    def reference(self, value: Any) -> Any:
        """A value as (slot's number, whether a derivative goes through it), or as it is."""
        data = getattr(value, "_data", value)
        return (data.slot.index, getattr(value, "_node", None) is not None) if self.mine(data) else value

    def draw(self, draw: Any, generator: Any, *args: Any) -> Any:
        """Random numbers: the body would not be pure."""
        raise Unrecordable("random numbers in the body of a loop")


class Body:
    """What one run of a body has shown. For machine code (``native``) fused operations are recorded by their
    definitions; ``tracked`` says of each leaf of the carry and of ``x`` whether a gradient is asked for.
    """

    arguments: list[Slot]  # leaves of the carry, of ``x``, and what is closed over
    values: list[Any]  # what is closed over: Tensors and arrays
    outs: list[Slot]  # leaves of the new carry, then those of ``y``
    seeds: list[Slot | None]  # in the same order, their cotangents
    grads: list[Slot | None]  # of the arguments; None for one that none reaches
    ops: list[Any]  # all NumPy calls; the first ``forward`` of them are the forward

    def __init__(self, f: Callable[..., Any], carry: Any, x: Any, tracked: Sequence[bool], native: bool) -> None:
        self.recorder = recorder = Recorder()
        recorder.loops, self.native = True, native
        self.tracer = _Closing(recorder, native)
        recorder.decided = self.tracer.truth
        with self._recording():
            self._forward(f, carry, x, tracked)
        if recorder.refused:  # and the body caught what told it
            raise Unrecordable(recorder.refused)
        self.ops = recorder.ops
        self.calls = self.tracer.calls
        self.values = [value for value, _ in self.tracer.closed.values()]
        self.key = outlined(
            _frozen,
            [
                [(op.kind, op.target, op.args, op.kwargs, op.out) for op in self.ops],
                self.calls,
                [self.arguments, self.outs, self.through, self.tracked, self.wanted],
                [(s.index, s.value) for s in recorder.held],
            ],
        )

    @contextmanager
    def _recording(self) -> Iterator[None]:
        token = _state.set(replace(ORDINARY, tracer=self.tracer))
        self.recorder.live = True
        try:
            with recording(self.recorder):
                yield
        finally:
            _state.reset(token)

    def _forward(self, f: Any, carry: Any, x: Any, tracked: Sequence[bool]) -> None:
        leaves, rebuild = flatten((carry, x))
        self.width = len(flatten(carry)[0])
        self.rows = len(leaves) - self.width

        def enter(value: Any, wanted: bool) -> Any:
            array = np.array(bare(getattr(value, "_data", value)), order="C")  # as its rows will lie
            leaf = Variable(array.shape, array.dtype) if wanted and array.dtype.kind in "fc" else None
            return wrap(self.recorder.argument(array), leaf)

        # Each step's carry depends on what any step is given.
        given = [enter(leaf, i < self.width or tracked[i]) for i, leaf in enumerate(leaves)]
        pair = private(f)(*rebuild(given))
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise Unrecordable("the body returns no pair")
        (new, _), (ys, self.rebuild) = flatten(pair[0]), flatten(pair[1])
        outs = [*new, *ys]
        arrays = [getattr(out, "_data", out) for out in outs]
        if not all(self.tracer.mine(a) and hasattr(a, "dtype") for a in arrays) or len(new) != self.width:
            raise Unrecordable("the body returns what it did not compute")
        if outline(carry, []) != outline(pair[0], []):
            raise Unrecordable("the carry changes its structure")
        for before, after in zip(given, new, strict=False):
            if before.shape != after.shape or before.dtype != after.dtype:
                raise Unrecordable("the carry changes its shape or dtype")
        self.tracer.catch_up()
        self.forward = len(self.recorder.ops)
        given += [standin for _, standin in self.tracer.closed.values()]
        self.arguments = [argument._data.slot for argument in given]
        self.tracked = [argument._node is not None for argument in given]
        self.wanted = any(tracked) or any(self.tracked[len(leaves) :])
        self.outs = [array.slot for array in arrays]
        self.through = [getattr(out, "_node", None) is not None for out in outs]
        self._graph = given, outs

    def differentiate(self) -> None:
        """Record the way back."""
        given, outs = self._graph
        with self._recording():
            seeds = [
                self.recorder.argument(np.array(bare(out._data), order="C")) if through else None
                for out, through in zip(outs, self.through, strict=True)
            ]
            pairs = [(out._node, seed) for out, seed in zip(outs, seeds, strict=True) if seed is not None]
            targets = [argument._node for argument in given if argument._node is not None]
            pairs = pairs if self.wanted else []
            found = (
                recorded_walk([n for n, _ in pairs], [seed for _, seed in pairs], targets, free=False) if pairs else {}
            )
        self.seeds = [None if seed is None else seed.slot for seed in seeds]
        grads = [None if argument._node is None else found.get(argument._node) for argument in given]
        if not all(g is None or type(g) is Recorded for g in grads):
            raise Unrecordable("a gradient that does not depend on values")
        self.grads = [None if g is None else g.slot for g in grads]
        if any(g is not None and seed is None for g, seed in zip(self.grads, self.seeds[: self.width], strict=False)):
            raise Unrecordable("a carry whose gradient stops")

    def parts(self, values: Sequence[Any]) -> tuple[Any, Any, Any]:
        """What is in the order of the arguments as that of the carry, of the rows, and of what is closed over."""
        split = self.width + self.rows
        return values[: self.width], values[self.width : split], values[split:]


def _frozen(value: Any) -> Any:
    """A part of a template as something that can be compared."""
    if isinstance(value, Slot):
        layout = (value.value.shape, value.value.dtype.str) if hasattr(value.value, "dtype") else type(value.value)
        return Slot, value.index, layout
    try:
        return exactly(value)
    except TypeError:
        return type(value), id(value)


# --- the native loop --------------------------------------------------------------------------------------------------


class Loop(Fused):
    """The loop over a body as one operation of its first carry, its rows and what it closes over."""

    def __init__(self, body: Body, codes: tuple[Any, Any]) -> None:
        self.body, self.rows, self.width = body, body.rows, body.width
        self.name = self.label = "scan"
        self.formula, self.pointwise, self.tangents, self.real_only, self.sample = "", False, None, True, None
        self.inputs = tuple([f"input {i}" for i in range(len(body.arguments))])
        self.parameters = []
        self._forward, self._backward = codes
        run, back, count = _Opaque(self.ahead), _Opaque(self.back), len(body.outs)

        def forward(*inputs: Any, length: int, reverse: bool, checkpoint: int) -> tuple[Any, Any]:
            made = run(inputs, length, reverse, checkpoint)
            return tuple(made[:count]), (inputs, tuple(made[count:]), length, reverse, checkpoint)

        def backward(g: Any, residuals: Any, needs: Any) -> Any:
            found = iter(back(g, residuals, needs))
            return [next(found) if need else None for need in needs]

        self.forward, self.backward, self.composed = forward, backward, self._composed
        self.function = lambda *inputs, **attrs: apply(self, inputs, attrs)

    # --- its meaning --------------------------------------------------------------------------------------------------

    def _composed(self, *inputs: Any, length: int, reverse: bool, checkpoint: int) -> Any:
        """The operations that the body applied, step by step."""
        body, width = self.body, self.width
        numbers = [slot.index for slot in body.arguments]
        carry, xs, closed = self.body.parts(inputs)
        ys: list[list[Any]] = []
        for step in range(length):
            row = length - 1 - step if reverse else step
            known = dict(zip(numbers, (*carry, *(x[row] for x in xs), *closed), strict=True))

            for op, given, attrs, made in body.calls:
                if isinstance(op, Primitive | Fused):
                    options = mapped(lambda part: getattr(part, "_data", part), _filled(attrs, known))
                    result = apply(op, [_meant(value, known) for value in given], options)
                else:
                    result = op(*_filled(given, known), **_filled(attrs, known))
                known |= zip(made, result if isinstance(result, (tuple, list)) else (result,), strict=True)
            outs = [_meant((slot.index, through), known) for slot, through in zip(body.outs, body.through, strict=True)]
            carry = outs[:width]
            ys.append(outs[width:])
        if reverse:
            ys.reverse()
        return (*carry, *(stack(list(column)) for column in zip(*ys, strict=True)))

    # --- what it does -------------------------------------------------------------------------------------------------

    def ahead(self, inputs: Any, length: int, reverse: bool, checkpoint: int) -> list[Any]:
        """Results, and the carries that the way back needs."""
        carry, xs, closed = self.body.parts(
            [_flat(a, s.value.dtype) for a, s in zip(inputs, self.body.arguments, strict=True)]
        )
        outs, rows = self.body.outs, min(checkpoint, length)
        whole = rows == length
        ys = [np.empty(length * s.value.size, s.value.dtype) for s in outs[self.width :]]
        buffers = [np.empty((rows + 1) * len(c), c.dtype) for c in carry]
        kept = buffers if whole else [np.empty((-(-length // rows), len(c)), c.dtype) for c in carry]
        flags = 0
        for number, (start, stop) in enumerate(_chunks(length, rows)):
            for buffer, c in zip(buffers, carry, strict=True):
                buffer[: len(c)] = c
            if not whole:
                for place, c in zip(kept, carry, strict=True):
                    place[number] = c
            part = _part(start, stop, length, reverse)
            seen = self._forward(stop - start, reverse, [*buffers, *map(part, xs), *closed, *map(part, ys)])
            if seen is MISS:  # a value decides otherwise than when the body was recorded
                return [*self._plainly(inputs, length, reverse, checkpoint), *kept, np.array(False)]
            flags |= seen
            carry = [b[(stop - start) * len(c) :][: len(c)].copy() for b, c in zip(buffers, carry, strict=True)]
        if np.geterrcall() is not _nothing and _heeds(np.geterr(), flags):
            self._plainly(inputs, length, reverse, checkpoint)  # which warns as NumPy does
        shapes = [s.value.shape for s in outs[: self.width]] + [(length, *s.value.shape) for s in outs[self.width :]]
        made = [a.reshape(shape) for a, shape in zip([*carry, *ys], shapes, strict=True)]
        return [*made, *kept, np.array(True)]

    def _plainly(self, inputs: Any, length: int, reverse: bool, checkpoint: int) -> list[Any]:
        """The results of the operations themselves."""
        with state_as(replace(ORDINARY, grad=False)):
            outs = self._composed(*inputs, length=length, reverse=reverse, checkpoint=checkpoint)
        return [np.array(getattr(out, "_data", out)) for out in outs]

    def back(self, g: Any, residuals: Any, needs: Any) -> list[Any]:
        """A gradient for every input that needs one."""
        inputs, (*kept, holds), length, reverse, checkpoint = residuals
        body, width, rows = self.body, self.width, min(checkpoint, length)
        arrays = [_flat(a, s.value.dtype) for a, s in zip(inputs, body.arguments, strict=True)]
        carry, xs, closed = self.body.parts(arrays)
        cotangents = [None if s is None else np.array(part).reshape(-1) for part, s in zip(g, body.seeds, strict=True)]
        sums = [
            None if i < width or s is None else np.zeros(len(a), a.dtype)
            for i, (a, s) in enumerate(zip(arrays, body.grads, strict=True))
        ]
        buffers = kept
        if rows < length:
            buffers = [np.empty((rows + 1) * len(c), c.dtype) for c in carry]
            ys = [np.empty(rows * s.value.size, s.value.dtype) for s in body.outs[width:]]
        for number, (start, stop) in reversed(list(enumerate(_chunks(length, rows) if holds else ()))):
            part = _part(start, stop, length, reverse)
            given = [*map(part, xs), *closed]
            if rows < length:
                for buffer, c in zip(buffers, kept, strict=True):
                    buffer[: c.shape[1]] = c[number]
                self._forward(stop - start, reverse, [*buffers, *given, *ys])
            seeds = [c if i < width else part(c) for i, c in enumerate(cotangents) if c is not None]
            places = [part(s) if i < width + self.rows else s for i, s in enumerate(sums) if s is not None]
            holds = holds and self._backward(stop - start, reverse, [*buffers, *given, *seeds, *places]) is not MISS
        found = [*cotangents[:width], *sums[width:]]
        if not holds or not all(part is None or np.isfinite(np.vdot(part, part)) for part in found):
            found = self._by_operations(inputs, g, length, reverse, checkpoint)
        return [
            (np.zeros(len(a), a.dtype) if part is None else part).reshape(np.shape(value))
            for part, a, value, need in zip(found, arrays, inputs, needs, strict=True)
            if need
        ]

    def _by_operations(self, inputs: Any, g: Any, *attrs: Any) -> list[Any]:
        """The way back of the operations themselves, which know what zero times infinity is."""
        body = self.body
        leaves = [
            wrap(np.asarray(value), Variable(np.shape(value), slot.value.dtype) if wanted else None)
            for value, slot, wanted in zip(inputs, body.arguments, body.tracked, strict=True)
        ]
        with state_as(ORDINARY):
            outs = self._composed(*leaves, **dict(zip(("length", "reverse", "checkpoint"), attrs, strict=True)))
            reached = [(out._node, part) for out, part in zip(outs, g, strict=True) if out._node is not None]
            targets = [leaf._node for leaf in leaves if leaf._node is not None]
            found = iter(gradients_of([n for n, _ in reached], [part for _, part in reached], targets, free=True))
        return [None if leaf._node is None else next(found) for leaf in leaves]


def _meant(reference: Any, known: dict[int, Any]) -> Any:
    """What an operation was given: a value, whether or not a derivative goes through it, or a number."""
    if not isinstance(reference, tuple):
        return reference
    found = known[reference[0]]
    return found if reference[1] or not hasattr(found, "_node") else constant(found)


def _as_array(value: Any, *args: Any, **kwargs: Any) -> Any:
    """What makes a number an array; a Tensor is one."""
    return value if hasattr(value, "_node") else np.asarray(value, *args, **kwargs)


def _filled(template: Any, known: dict[int, Any]) -> Any:
    """A template with values in the place of slots."""

    def leaf(part: Any) -> Any:
        if type(part) is not Slot:
            return part
        return part.value if part.kind == "held" else known[part.index]

    return mapped(leaf, template)


class _Opaque:
    """A function that is one call in a record, and not looked into."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.__name__ = function, "scan"

    def __call__(self, *args: Any) -> Any:
        found = _recorder_in(args)
        return self.function(*args) if found is None else found.call(self.function, args, {})


def _recorder_in(value: Any) -> Any:
    if type(value) is Recorded:
        return value.recorder if value.recorder.live else None
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_recorder_in, value)), None)
    return None


def _flat(array: Any, dtype: Any) -> np.ndarray:
    """One row of numbers that machine code may be given."""
    made = np.ascontiguousarray(array, dtype).reshape(-1)
    return made if made.flags.writeable else made.copy()


def _chunks(length: int, rows: int) -> list[tuple[int, int]]:
    return [(start, min(start + rows, length)) for start in range(0, length, rows)]


def _part(start: int, stop: int, length: int, reverse: bool) -> Callable[[Any], Any]:
    """What takes from an array with an entry a step those of some steps."""
    low, high = (length - stop, length - start) if reverse else (start, stop)
    return lambda array: array[len(array) // length * low : len(array) // length * high]


_loops: OrderedDict[Any, Loop | None] = OrderedDict()
#: The code of bodies that were run once while all sources of random numbers were looked at, and of those that drew.
_searched, _drawing = WeakSet[Any](), WeakSet[Any]()


def loop_over(f: Callable[..., Any], carry: Any, x: Any, tracked: Sequence[bool]) -> tuple[Loop, list[Any], Any] | None:
    """The loop over a body, what the body closes over, and how a ``y`` is put together; None where it stays Python's.

    ``carry`` and ``x`` are the first step's; ``tracked`` says of each of their leaves whether a gradient is asked for.
    """
    code = getattr(getattr(f, "__func__", f), "__code__", type(f))
    for native in (True, False) if compiles() else (False,):
        once = partial(Body, f, carry, x, tracked, native)
        searched = code in _searched
        body = _pure(code, once, searched)
        if body is None:
            return None
        values, rebuild, key = body.values, body.rebuild, (native, body.key)
        if key not in _loops:
            # Drawn numbers are constants of a body, and make it a new one.
            if searched and _pure(code, once, False) is None:
                return None
            try:
                _loops[key] = Loop(body, _codes(body, lambda: Body(f, carry, x, tracked, False)))
            except (Unrecordable, TypeError, ValueError, IndexError):
                _loops[key] = None
            del body._graph, body.values, body.tracer  # which belong to one call
            if len(_loops) > _MOST:
                _loops.popitem(last=False)
        if (found := _loops[key]) is not None:
            return found, values, rebuild
    return None


def _pure(code: Any, once: Callable[[], Body], searched: bool) -> Body | None:
    """What a body has shown; None where it cannot be followed, or draws random numbers."""
    for _ in range(3):  # another thread may be the one that draws
        if code in _drawing:
            return None
        sources = None if searched else Sources()
        try:
            body = once()
        except Exception:  # whatever it is, the plain loop meets it too, and says so
            body = None
        if sources is None or not sources.drawn():
            _searched.add(code)
            return body
        sources.put_back()
    _drawing.add(code)
    return None


def _codes(body: Body, again: Callable[[], Body]) -> tuple[Any, Any]:
    """The loop's two functions: machine code, or a plan that is called once a step."""
    body.differentiate()
    if body.native:
        from autodiff.compiler.native import loops_of

        return loops_of(body)
    forward = Stepped(again(), back=False)
    if not body.wanted:
        return forward, None
    whole = again()
    whole.differentiate()
    return forward, Stepped(whole, back=True)
