"""``autodiff.jit``: a pure function, run once on stand-ins, then never again: one list of NumPy calls for all of it.

The same stand-ins, passes, layout and code as for a step under ``compile``, under JAX's contract. The function may
depend on its arguments and on what is declared as ``state``, and may change nothing else. What can be seen of anything
else is refused by name while the function is run for the first time, and everything declared is put back as it was.
"""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import operator
import random
import sys
import threading
from collections.abc import Callable
from dataclasses import replace as replaced
from typing import Any

import numpy as np

from autodiff import kernels
from autodiff.compiler.emit import MISS
from autodiff.compiler.prepare import Shadow, Workshop, frozen_code
from autodiff.compiler.record import Op, Recorder, Unrecordable, private, recording
from autodiff.compiler.standin import Recorded, bare
from autodiff.compiler.trace import layout_of
from autodiff.containers import as_array
from autodiff.core import backward as engine
from autodiff.core import op as core
from autodiff.core.errors import ArgumentError, CompileError
from autodiff.core.graph import Variable, tick
from autodiff.core.modes import ORDINARY, _state, current_state
from autodiff.core.op import explain, leave, wrap
from autodiff.core.pytree import flatten
from autodiff.tensor import Tensor
from autodiff.trees import outline

__all__ = ["jit"]

_walk = private(engine.walk)


class _Tracer:
    """What stands in the engine's place while a function under :func:`jit` runs for the first time."""

    sees_arrays = True

    def __init__(self, recorder: Recorder, declared: _Declared) -> None:
        self.recorder = recorder
        self.declared = declared
        self.stepped: list[Any] = []
        self.began = tick()
        self._come_to = {id(g): repr(g.bit_generator.state) for g in declared.generators}

    def _is_foreign(self, tensor: Any) -> bool:
        """Whether it is a leaf, or comes of one, from before the function was entered."""
        node = tensor._node
        return tensor.__class__ is not Tensor or (node is not None and node.stamp <= self.began)

    def apply(self, op: Any, inputs: Any, attrs: dict[str, Any], residuals: list[Any] | None) -> Any:
        """See :func:`autodiff.core.op.apply`."""
        if self.stepped:
            raise Unrecordable(f"{op.name} comes after an optimiser's step; return what it needs, or step last")
        arrays: list[Any] = []
        parents: list[Any] = []
        for i, value in enumerate(inputs):
            tensor = hasattr(value, "_node")
            array: Any = value._data if tensor else value if _is_standin(value) else core.coerce(op, i, value)
            if tensor and type(array) is not Recorded and self._is_foreign(value):
                raise Unrecordable(
                    f"a {'parameter' if value.__class__ is not Tensor else 'tensor that requires a gradient'} of shape"
                    f" {array.shape} that is in no declared state; name it, or its module, in state=(...)"
                )
            if isinstance(array, np.ndarray) and not _is_standin(array):
                array = self.recorder.standin(self.recorder.outside(array))
            elif op.fused and _is_standin(array) and isinstance(array, np.generic):
                array = as_array(array)
            arrays.append(array)
            parents.append(value._node if tensor else None)
        forward = op.operate if not op.fused and op.operator else op.forward
        try:
            made = private(forward)(*arrays, **attrs)
        except Unrecordable as error:
            raise Unrecordable(f"{op.name}: {error}") from None
        except Exception as error:
            raise explain(op, error, bare(list(arrays))) from error
        out, kept = made if op.fused else (made, None)
        if residuals is not None:
            residuals.append(kept)
        return leave(Shadow.of(op), inputs, attrs, arrays, parents, out, kept, current_state())

    @staticmethod
    def own(op: Any) -> Any:
        """The operation whose rules a transform's own walk asks: private copies."""
        return Shadow.of(op)

    def backpropagate(self, roots: Any, seeds: Any, free: bool) -> None:
        """See :func:`autodiff.core.backward.backpropagate`."""
        self._walked(roots, seeds, None, free, False)

    def gradients_of(self, roots: Any, seeds: Any, targets: Any, free: bool, cut: bool) -> list[Any]:
        """See :func:`autodiff.core.backward.gradients_of`."""
        found = self._walked(roots, seeds, targets, free, cut)
        return [found[target] for target in targets]

    def _walked(self, roots: Any, seeds: Any, targets: Any, free: bool, cut: bool) -> Any:
        return _walk(roots, seeds, targets, free=free, cut=cut)

    def draw(self, draw: Any, generator: Any, *args: Any) -> Any:
        """Random numbers of the library's, drawn anew in every call."""
        if not any(generator is one for one in self.declared.generators):
            raise Unrecordable("random numbers from a generator that is not declared; name it in state=(...)")
        self.refuse_other_draws()
        op = Op("draw", draw, (generator, *args))
        drawn = self.recorder._noted(op, draw(generator, *args))
        self._come_to[id(generator)] = repr(generator.bit_generator.state)
        return drawn

    def refuse_other_draws(self) -> None:
        """A declared generator moves by the library's draws alone: other numbers are not seen."""
        for generator in self.declared.generators:
            if repr(generator.bit_generator.state) != self._come_to[id(generator)]:
                raise Unrecordable(
                    "a declared generator is drawn from by the function itself; draw before, and pass the numbers as an"
                    " argument"
                )

    def step(self, optimizer: Any) -> None:
        """An optimiser's step, which every call makes after all else."""
        if not any(optimizer is one for one in self.declared.optimizers):
            raise Unrecordable("a step of an optimiser that is not declared; name it in state=(...)")
        self.stepped.append(optimizer)

    @staticmethod
    def truth(found: bool) -> None:
        """A value decides: within the library the list holds while it decides the same; elsewhere it is refused."""
        frame = sys._getframe(2)
        while frame.f_code.co_name in ("truth", "__bool__") and frame.f_back is not None:
            frame = frame.f_back
        try:
            name = frame.f_globals["__name__"]  # not .get: a private copy's names come when they are asked for
        except KeyError:
            name = ""  # code that was executed among names of its own
        if str(name).partition(".")[0] not in ("autodiff", "nn", "optim"):
            raise Unrecordable("a value is read into `if`, `while`, `and` or bool(); use np.where instead")


def _is_the_same_tree(tree: Any, structure: Any, leaves: list[Any]) -> bool:
    now: list[Any] = []
    return bool(outline(tree, now) == structure) and all(map(operator.is_, now, leaves))


def _may_be_declared(thing: Any) -> bool:
    return (
        hasattr(thing, "named_parameters") or hasattr(thing, "param_groups") or isinstance(thing, np.random.Generator)
    )


class _Declared:
    """What a function may read and change besides its arguments."""

    def __init__(self, state: tuple[Any, ...]) -> None:
        self.places = {id(thing): place for place, thing in enumerate(state)}
        self.modules = [thing for thing in state if hasattr(thing, "named_parameters")]
        self.optimizers = [thing for thing in state if hasattr(thing, "param_groups")]
        self.generators = [thing for thing in state if isinstance(thing, np.random.Generator)]
        self.own = [thing for thing in state if isinstance(thing, Tensor)]
        for thing in state:
            if not any(thing is one for one in (*self.modules, *self.optimizers, *self.generators, *self.own)):
                raise ArgumentError(
                    f"jit: state holds a {type(thing).__name__}; it may hold modules, tensors, optimisers, generators"
                )

    def tensors(self) -> list[Tensor]:
        """All tensors, each once."""
        found: dict[int, Tensor] = {id(t): t for t in self.own}
        for module in self.modules:
            for part in module.modules():
                for t in (*part._parameters.values(), *part._buffers.values()):
                    if t is not None:
                        found[id(t)] = t
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                found |= {id(p): p for p in group["params"]}
        return list(found.values())


_SIMPLE = frozenset({bool, int, float, str, tuple, type(None)})


def _part_of(module: Any) -> Any:
    """A module with what is in it besides arrays."""
    names = module.__dict__
    members = [*names["_parameters"].values(), *names["_buffers"].values()]
    plain = [value for value in names.values() if value.__class__ in _SIMPLE]
    return module, list(names["_modules"].values()), members, plain


def _is_as_it_was(part: Any) -> bool:
    now = _part_of(part[0])
    return (
        now[3] == part[3]
        and len(now[1]) == len(part[1])
        and len(now[2]) == len(part[2])
        and all(map(operator.is_, now[1], part[1]))
        and all(map(operator.is_, now[2], part[2]))
    )


def _is_simple(leaf: Any) -> bool:
    return leaf.__class__ is np.ndarray or leaf.__class__ is float or leaf.__class__ is int


def _positional(leaves: Any) -> Any:
    return tuple(leaves), {}


class _Traced:
    """One list of calls, and what goes in and out of it."""

    def __init__(self, code: Any, tensors: list[Any], bound: list[Any], graded: list[Any], rebuild: Any) -> None:
        self.code, self.tensors, self.bound, self.graded, self.rebuild = code, tensors, bound, graded, rebuild
        self.optimizers: list[Any] = []
        self.draws = False


class Jit:
    """A function that was run once; made by :func:`autodiff.jit`."""

    def __init__(self, function: Callable[..., Any], state: tuple[Any, ...], static_argnames: tuple[str, ...]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._state = state
        self._static = static_argnames
        self._declared = _Declared(state)
        self._for_arguments: dict[Any, Jit] = {}
        self._known: dict[Any, _Traced] = {}
        self._workshop = Workshop()
        self._lock = threading.RLock()
        self._tensors: list[Tensor] = []
        self._parts: list[Any] = []
        self._options = ""
        self._groups: Any = None
        if static_argnames:
            self._signature: Any = inspect.signature(function)
            for name in static_argnames:
                if name not in self._signature.parameters:
                    told = ", ".join(self._signature.parameters)
                    raise ArgumentError(f"jit: static_argnames has {name!r}, and the function's arguments are {told}")
        else:
            self._signature = None

    def __reduce__(self) -> Any:
        return Jit, (self._function, self._state, self._static)

    def __deepcopy__(self, memo: dict[int, Any]) -> Jit:
        return Jit(*copy.deepcopy((self._function, self._state, self._static), memo))

    @property
    def plans(self) -> list[Any]:
        """The code of each combination of shapes, dtypes and static values."""
        return [traced.code for traced in self._known.values()]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = current_state()
        if state is not None and (state.tracer is not None or state != replaced(ORDINARY, grad=state.grad)):
            return self._function(*args, **kwargs)  # part of something larger, or watched
        static: Any = ()
        if self._signature is not None:
            given = self._signature.bind(*args, **kwargs)
            given.apply_defaults()
            static = {name: given.arguments.pop(name) for name in self._static}
            args, kwargs = (), dict(given.arguments)
        if kwargs or static or not all(map(_is_simple, args)):
            leaves, rebuild = flatten((args, kwargs))
            known = self._declared.places
            undeclared = [leaf for leaf in leaves if id(leaf) not in known and _may_be_declared(leaf)]
            if undeclared:  # a module among the arguments is as good as one in state
                others = {id(thing): thing for thing in undeclared}
                child = self._for_arguments.get(tuple(others))
                if child is None:
                    child = Jit(self._function, (*self._state, *others.values()), self._static)
                    self._for_arguments[tuple(others)] = child
                return child(*args, **kwargs, **(static or {}))
            shape: Any = repr(rebuild([0] * len(leaves))), _by_value(static)
        else:
            leaves, rebuild, shape = list(args), _positional, len(args)
        if any(isinstance(leaf, Tensor) and leaf._node is not None for leaf in leaves):
            return self._function(*args, **kwargs, **(static or {}))  # differentiated from outside
        with self._lock:
            groups = [len(group["params"]) for thing in self._declared.optimizers for group in thing.param_groups]
            if groups != self._groups or not all(map(_is_as_it_was, self._parts)):
                self._groups = groups
                self._tensors = self._declared.tensors()
                self._parts = [_part_of(part) for module in self._declared.modules for part in module.modules()]
                self._options = repr([part[3] for part in self._parts])
            tensors = self._tensors
            facts = [(layout_of(t._data), _grad_of(t) is None) for t in tensors]
            kinds = [_kind_of(leaf, self._declared) for leaf in leaves]
            key = tuple(kinds), tuple(facts), shape, self._options, kernels.setting(), state
            traced = self._known.get(key)
            if traced is None:
                traced = self._known[key] = self._trace(leaves, rebuild, static, tensors, state)
            return self._run(traced, leaves, rebuild, static, tensors)

    def _run(self, traced: _Traced, leaves: list[Any], rebuild: Any, static: Any, tensors: list[Any]) -> Any:
        values = (
            list(leaves) if rebuild is _positional else [_bare_leaf(leaf) for leaf in leaves if not self._passes(leaf)]
        )
        values += [t._data for t in tensors]
        values += [g for t in tensors if (g := _grad_of(t)) is not None]
        before = [g.bit_generator.state for g in self._declared.generators] if traced.draws else []
        found = traced.code.run(*values)
        if found is MISS:
            for generator, was in zip(self._declared.generators, before, strict=False):
                generator.bit_generator.state = was
            args, kwargs = rebuild(leaves)
            return self._function(*args, **kwargs, **(static or {}))
        result, bound, grads = found
        for place, value in zip(traced.bound, bound, strict=True):
            tensors[place].data = value
        for place, value in zip(traced.graded, grads, strict=True):
            tensors[place]._node._grad = value
        del values  # an optimiser writes over arrays that nobody else holds
        for optimizer in traced.optimizers:
            optimizer.step()
        return traced.rebuild(result)

    def _passes(self, leaf: Any) -> bool:
        """Whether an argument goes to the function as it is."""
        return _is_static(leaf) or id(leaf) in self._declared.places

    def _trace(self, leaves: list[Any], rebuild: Any, static: Any, tensors: list[Any], state: Any) -> _Traced:
        recorder = Recorder()
        tracer = _Tracer(recorder, self._declared)
        recorder.decided = tracer.truth
        saved = [(t, t._data, t._node, _grad_of(t)) for t in tensors]
        generators = [(g, g.bit_generator.state) for g in self._declared.generators]
        outside = _Sources(self._declared.generators)
        name = getattr(self._function, "__qualname__", "the function")
        standins: list[Any] = []
        values: list[Any] = []

        def enter(value: Any) -> Any:
            standins.append(recorder.argument(value))
            values.append(value)
            return standins[-1]

        entered = [
            leaf if self._passes(leaf) else wrap(enter(leaf._data), None) if isinstance(leaf, Tensor) else enter(leaf)
            for leaf in leaves
        ]
        for t in tensors:
            t._data = enter(t._data)
        for t, _, _, grad in saved:
            if grad is not None:
                t._node._grad = enter(grad)
        args, kwargs = rebuild(entered)
        entered.clear()
        before = outline((args, kwargs), entered)
        token = _state.set(replaced(state or ORDINARY, tracer=tracer))
        try:
            with recording(recorder):
                result = private(self._function)(*args, **kwargs, **(static or {}))
                tracer.refuse_other_draws()
                code, traced = self._finished(recorder, tracer, result, saved, standins, values, name)
        except (Unrecordable, TypeError) as error:
            raise CompileError(f"autodiff.jit: {name} cannot be followed: {error}") from error
        finally:
            _state.reset(token)
            for t, data, node, grad in saved:
                t._data, t._node = data, node
                if node.__class__ is Variable:
                    node._grad = grad
            for generator, was in generators:
                generator.bit_generator.state = was
        drawn = outside.drawn()
        if drawn:
            raise CompileError(
                f"autodiff.jit: {name} draws from {drawn}; declare a numpy.random.Generator in state=(...) and have the"
                " library draw from it"
            )
        if not _is_the_same_tree((args, kwargs), before, entered):
            raise CompileError(f"autodiff.jit: {name} changes a list or dict that it was given; return the new one")
        del result, args, kwargs, entered
        standins.clear()
        gc.collect()
        if any(reference() is not None for reference in recorder.standins):
            raise CompileError(
                f"autodiff.jit: {name} keeps a value that it computed outside of itself, in an attribute, a list or a"
                " global; return it"
            )
        traced.code = code
        return traced

    def _finished(
        self, recorder: Recorder, tracer: _Tracer, result: Any, saved: Any, standins: Any, values: Any, name: str
    ) -> tuple[Any, _Traced]:
        outs, filled = flatten(result)
        _, template = flatten(filled(list(range(len(outs)))))  # which holds numbers, where the other holds results
        shown = [out._data if isinstance(out, Tensor) else out for out in outs]
        bound, graded, news, grads = [], [], [], []
        for place, (t, data, node, grad) in enumerate(saved):
            if t._node is not node:
                raise Unrecordable("a declared tensor has become the result of an operation")
            if bare(t._data) is not data or type(t._data) is not Recorded:
                bound.append(place)
                news.append(t._data)
            now = _grad_of(t)
            if bare(now) is not grad or (now is not None and type(now) is not Recorded):
                graded.append(place)
                grads.append(now)
        # What goes out has memory of its own, whatever of it is also an argument or goes out twice.
        taken: set[int] = set()
        given = {s.slot.index for s in standins}

        def own(value: Any) -> Any:
            if type(value) is Recorded and value.slot.storage is not None:
                storage = value.slot.storage
                if (
                    not storage.made
                    or storage.index in taken
                    or value.slot.index in given
                    or value.value.base is not None
                ):
                    value = recorder.call(np.array, (value,), {})
                taken.add(value.slot.storage.index)
            return value

        shown, news, grads = ([own(value) for value in part] for part in (shown, news, grads))
        kinds = [isinstance(out, Tensor) for out in outs]
        code = frozen_code(self._workshop, recorder, standins, values, (shown, news, grads), name)

        def rebuilt(found: list[Any]) -> Any:
            return template([wrap(v, None) if k else v for v, k in zip(found, kinds, strict=True)])

        traced = _Traced(code, [], bound, graded, rebuilt)
        traced.optimizers = tracer.stepped
        traced.draws = any(op.kind == "draw" for op in recorder.ops)
        return code, traced


def _by_value(value: Any) -> Any:
    """A static argument as part of a key: two of one key are the same to every function."""
    kind = value.__class__
    if kind is dict:
        return kind, *((key, _by_value(item)) for key, item in value.items())
    if kind is tuple or kind is list:
        return (kind, *map(_by_value, value))
    if kind is slice:
        return kind, _by_value(value.start), _by_value(value.stop), _by_value(value.step)
    if kind is np.ndarray:
        return layout_of(value), value.tobytes()
    if kind is float or kind is complex:
        return kind, repr(value)  # 0.0 and -0.0 are two
    try:
        hash(value)
    except TypeError:
        raise ArgumentError(f"jit: a static argument must be hashable, and a {kind.__name__} is not") from None
    return kind, value


class _Sources:
    """Where random numbers come from that are not declared: all that are alive, and how far each has come."""

    def __init__(self, declared: list[Any]) -> None:
        ours = {id(generator.bit_generator) for generator in declared}
        kinds = np.random.BitGenerator, random.Random
        self._found = [thing for thing in gc.get_objects() if isinstance(thing, kinds) and id(thing) not in ours]
        self._found = [thing for thing in self._found if not isinstance(thing, random.SystemRandom)]
        self._before = list(map(_source_state, self._found))
        self._python, self._alone = random.getstate(), threading.active_count() == 1
        self._numpy = np.random.get_state()[2], np.random.get_state()[1].tobytes()  # type: ignore[index,union-attr]  # noqa: NPY002

    def drawn(self) -> str:
        """In words, one that has moved on; of several threads it may have been another that drew."""
        now = np.random.get_state()  # noqa: NPY002
        if self._numpy != (now[2], now[1].tobytes()):  # type: ignore[index,union-attr]
            return "NumPy's global generator"
        if self._python != random.getstate():
            return "Python's random module"
        if self._alone and threading.active_count() == 1:
            for source, before in zip(self._found, self._before, strict=True):
                if _source_state(source) != before:
                    return f"a generator ({type(source).__name__}) that is not declared"
        return ""


def _source_state(source: Any) -> str:
    return repr(source.state if hasattr(source, "state") else source.getstate())


def _is_standin(value: Any) -> bool:
    return type(value) is Recorded


def _is_static(leaf: Any) -> bool:
    return isinstance(leaf, (str, bytes)) or leaf is None


def _bare_leaf(leaf: Any) -> Any:
    return leaf._data if isinstance(leaf, Tensor) else leaf


def _kind_of(leaf: Any, declared: _Declared) -> Any:
    if leaf.__class__ is np.ndarray:
        return leaf.shape, leaf.dtype, leaf.strides
    if isinstance(leaf, Tensor):
        return "tensor", layout_of(leaf._data)
    if isinstance(leaf, np.ndarray):
        return layout_of(leaf)
    if isinstance(leaf, (bool, int, float, complex, np.generic)):
        return leaf.__class__
    if _is_static(leaf):
        return leaf
    if id(leaf) in declared.places:
        return "declared", declared.places[id(leaf)]
    raise ArgumentError(
        f"jit: an argument holds a {type(leaf).__name__}; pass arrays, tensors, numbers, modules, and dicts, lists and"
        " tuples of these, and name anything else in static_argnames"
    )


def _grad_of(t: Any) -> Any:
    node = t._node
    return node._grad if node.__class__ is Variable else None


def jit(
    function: Callable[..., Any] | None = None, *, state: Any = (), static_argnames: str | tuple[str, ...] = ()
) -> Any:
    """A pure function, run once for each combination of shapes and dtypes, and from then on one list of NumPy calls.

    Parameters
    ----------
    function : callable
        Of arrays, tensors and numbers, and trees of these. It must be pure: it may depend on its arguments and on
        ``state`` alone, and change nothing but ``state``. It is not run again for shapes and dtypes that it has been
        run for, so what it prints, counts or keeps happens once.
    state : module, tensor, optimiser or generator, or a tuple of them
        What the function may read and change besides. An optimiser's step comes last.
    static_argnames : str or tuple of str
        Arguments that decide what is done: another value means another run.

    Returns
    -------
    callable
        With the function's arguments. Tensors that it returns carry no graph.

    Raises
    ------
    CompileError
        In the first call, if the function does what cannot be followed: it reads a value into ``if``, draws from a
        generator that is not declared, writes into an array that it was given, or keeps what it computed somewhere.
        Everything declared is as it was before.

    Notes
    -----
    Within a transform, and on tensors that require a gradient, the function runs as it is: write ``jit(grad(f))``
    rather than ``grad(jit(f))``.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> slope = autodiff.jit(autodiff.grad(lambda x: np.sum(np.sin(x) * x)))
    >>> [slope(np.zeros(2)).tolist() for _ in range(2)]
    [[0.0, 0.0], [0.0, 0.0]]
    """
    if function is None:
        return lambda f: jit(f, state=state, static_argnames=static_argnames)
    if not callable(function):
        raise ArgumentError(f"jit: takes a function, got {type(function).__name__}")
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    return Jit(function, state if isinstance(state, tuple) else (state,), names)
