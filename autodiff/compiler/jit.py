"""``autodiff.jit``: a pure function, run once on stand-ins, then never again: one list of NumPy calls for all of it.

The same stand-ins, passes, layout and code as for a step under ``compile``, under JAX's contract. The function may
depend on its arguments and on what is declared as ``state``, and may change nothing else. What can be seen of anything
else is refused by name while the function is run for the first time, and everything declared is put back as it was.
"""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import linecache
import operator
import os
import threading
import traceback
import types
from collections.abc import Callable, Sequence
from dataclasses import replace as replaced
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np

from autodiff import kernels
from autodiff.arguments import refuse_unless_callable
from autodiff.compiler.emit import MISS
from autodiff.compiler.guarded import END, Option, Traced, Watch
from autodiff.compiler.prepare import Workshop, frozen_code
from autodiff.compiler.private import private, recording
from autodiff.compiler.record import Recorder, Unrecordable, reads
from autodiff.compiler.sources import Sources, collect, looking
from autodiff.compiler.standin import Recorded, bare, exactly, outlined
from autodiff.compiler.trace import layout_of
from autodiff.compiler.tracer import Declared, Tracer, gradient_of, is_standin
from autodiff.core.errors import ArgumentError, CompileError
from autodiff.core.graph import Variable
from autodiff.core.modes import ORDINARY, _state, current_state
from autodiff.core.op import wrap
from autodiff.core.pytree import flatten
from autodiff.decorators import name_of
from autodiff.tensor import Tensor
from autodiff.trees import outline
from autodiff.views import settle

__all__ = ["jit"]

F = TypeVar("F", bound=Callable[..., object])
_SIMPLE = (np.ndarray, float, int)
_SCALARS = (bool, int, float, str)
#: So many sets of modules among the arguments are remembered, each of which is held, and so many traces of a function.
_MODELS, _MOST = 16, 256


def _may_be_declared(thing: Any) -> bool:
    return (
        hasattr(thing, "named_parameters") or hasattr(thing, "param_groups") or isinstance(thing, np.random.Generator)
    )


def _positional(leaves: Any) -> Any:
    return tuple(leaves), {}


class Jit(Generic[F]):
    """A function that was run once; made by :func:`autodiff.jit`."""

    def __init__(self, function: F, state: tuple[object, ...], static_argnames: tuple[str, ...]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._state = state
        self._static = static_argnames
        self._declared = Declared(state)
        self._for_arguments: dict[Any, Jit[F]] = {}
        self._known: dict[Any, Traced] = {}
        self._workshop = Workshop()
        self._lock = threading.RLock()
        self._watch: Watch | None = None
        self._met: dict[int, Any] = {}
        #: Whose latest call it was: this one's, or that of one that declares a module among the arguments, too.
        self._latest: Jit[F] | None = None
        #: What serves a call that finds everything as the last one left it, and under which setting of the kernels.
        self._guarded: Any = None
        self._setting: Any = None
        if static_argnames:
            self._signature: Any = inspect.signature(function)
            for name in static_argnames:
                if name not in self._signature.parameters:
                    told = ", ".join(self._signature.parameters)
                    raise ArgumentError(f"jit: static_argnames has {name!r}, and the function's arguments are {told}")
        else:
            self._signature = None

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> Any:
        return name_of(self) or (Jit, (self._function, self._state, self._static))

    def __deepcopy__(self, memo: dict[int, Any]) -> Jit[F]:
        return Jit(*copy.deepcopy((self._function, self._state, self._static), memo))

    @property
    def plans(self) -> list[object]:
        """The code of each combination of shapes, dtypes and static values."""
        return [traced.code for traced in self._known.values()]

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        state = current_state()
        if state is None and self._latest is not None:
            result = self._latest._at_once(args, kwargs)
            if result is not MISS:
                return result
        if state is not None and (state.tracer is not None or state != replaced(ORDINARY, grad=state.grad)):
            return self._function(*args, **kwargs)  # part of something larger, or watched
        given: Any = args, kwargs
        static: Any = ()
        if self._signature is not None:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            static = {name: bound.arguments.pop(name) for name in self._static}
            args, kwargs = (), dict(bound.arguments)
        if kwargs or static or not all(leaf.__class__ in _SIMPLE for leaf in args):
            leaves, rebuild = flatten((args, kwargs))
            known = self._declared.places
            undeclared = [leaf for leaf in leaves if id(leaf) not in known and _may_be_declared(leaf)]
            if undeclared:  # a module among the arguments is as good as one in state
                others = {id(thing): thing for thing in undeclared}
                child = self._for_arguments.pop(tuple(others), None)
                if child is None:
                    child = Jit(self._function, (*self._state, *others.values()), self._static)
                self._for_arguments[tuple(others)] = child  # the latest is the last
                if len(self._for_arguments) > _MODELS:
                    self._for_arguments.pop(next(iter(self._for_arguments)), None)
                result = self._applied(child, args, kwargs, static)
                self._latest = child
                return result
            shape: Any = outline((args, kwargs), []), outlined(_by_value, static)
        else:
            leaves, rebuild, shape = list(args), _positional, len(args)
        if any(isinstance(leaf, Tensor) and leaf._node is not None for leaf in leaves):
            return self._applied(self._function, args, kwargs, static)  # differentiated from outside
        with self._lock:
            if len(self._known) > _MOST:
                self._known.clear()
                self._met.clear()
            watch = self._watch
            if watch is None or not watch.holds():
                watch = self._watch = Watch(self._declared)
            tensors = watch.tensors
            facts = watch.facts(self._met)
            kinds = [_kind_of(leaf, self._declared) for leaf in leaves]
            key = tuple(kinds), facts, shape, kernels.setting(), state
            traced = self._known.get(key)
            if traced is None:
                traced = self._known[key] = self._trace(leaves, rebuild, static, tensors, state)
            result = self._run(traced, leaves, rebuild, static, tensors)
            if self._signature is None and state is None:
                self._watch = watch = Watch(self._declared)
                settled = watch.facts(self._met) == facts  # a first call may leave gradients where there were none
                written = traced.guarded(watch, given, self._declared) if settled else None
                self._latest = self
                self._guarded = None if written is None else (written, traced.code.undoes)
                self._setting = kernels.setting()
            return result

    def _applied(self, function: Any, args: Any, kwargs: Any, static: Any) -> Any:
        """Called with all its arguments, static ones among them, each in its place."""
        if self._signature is not None:
            bound = inspect.BoundArguments(self._signature, {**kwargs, **static})  # type: ignore[arg-type]
            args, kwargs = bound.args, bound.kwargs
        return function(*args, **kwargs)

    if TYPE_CHECKING:

        @property
        def __call__(self) -> F:
            """With the function's arguments and results, whichever of several it takes."""
            raise NotImplementedError

    else:
        __call__ = _call

    def _at_once(self, args: Any, kwargs: Any) -> Any:
        """The result of a call that finds everything as the last one left it; MISS if it does not."""
        if self._setting != kernels.setting():
            return MISS
        with self._lock:
            if self._guarded is None:
                return MISS
            guarded, undoes = self._guarded
            before = self._drawn_so_far() if undoes else []
            result = guarded(args, kwargs)
            if result is MISS:
                self._undraw(before)
            return result

    def _run(self, traced: Traced, leaves: list[Any], rebuild: Any, static: Any, tensors: list[Any]) -> Any:
        values = [getattr(leaf, "_data", leaf) for leaf in leaves if rebuild is _positional or not self._passes(leaf)]
        values += [t._data for t in tensors]
        values += [g for t in tensors if (g := gradient_of(t)) is not None]
        values += [option.value for option in traced.options]
        before = self._drawn_so_far() if traced.code.undoes else []
        try:
            found = traced.code.run(*values)
        except kernels.KernelFailure:
            found = MISS
        if found is MISS:
            self._undraw(before)
            args, kwargs = rebuild(leaves)
            return self._applied(self._function, args, kwargs, static)
        result, bound, grads = found
        for place, value in zip(traced.bound, bound, strict=True):
            tensors[place]._rebind(value)
        for place, value in zip(traced.graded, grads, strict=True):
            tensors[place]._node._grad = value
        del values  # an optimiser writes over arrays that nobody else holds
        for names, key, value in traced.switched:
            names[key] = value
        for optimizer in traced.optimizers:
            optimizer.step()
        for place in traced.cleared:
            tensors[place]._node._grad = None
        return traced.rebuild([wrap(v, None) if k else v for v, k in zip(result, traced.tensors, strict=True)])

    def _passes(self, leaf: Any) -> bool:
        """Whether an argument goes to the function as it is."""
        return _is_static(leaf) or id(leaf) in self._declared.places

    def _drawn_so_far(self) -> list[Any]:
        return [generator.bit_generator.state for generator in self._declared.generators]

    def _undraw(self, before: list[Any]) -> None:
        for generator, was in zip(self._declared.generators, before, strict=False):
            generator.bit_generator.state = was

    def _trace(self, leaves: list[Any], rebuild: Any, static: Any, tensors: list[Any], state: Any) -> Traced:
        recorder = Recorder()
        tracer = Tracer(recorder, self._declared)
        recorder.decided = tracer.truth
        saved = [(t, t._data, t._node, gradient_of(t)) for t in tensors]
        generators = [(g, g.bit_generator.state) for g in self._declared.generators]
        groups = [(group, dict(group)) for one in self._declared.optimizers for group in one.param_groups]
        parts = [(one, _entries(one)) for one in Watch(self._declared).containers]
        outside = tracer.outside = Sources(self._declared.generators)
        name = getattr(self._function, "__qualname__", "the function")
        standins: list[Any] = []

        def enter(value: Any) -> Any:
            standins.append(recorder.argument(value))
            return standins[-1]

        entered = [
            leaf if self._passes(leaf) else wrap(enter(leaf._data), None) if isinstance(leaf, Tensor) else enter(leaf)
            for leaf in leaves
        ]
        for t in tensors:
            settle(t)
            t._data = enter(t._data)
        for t, _, _, grad in saved:
            if grad is not None:
                t._node._grad = enter(grad)
        options = [(option, recorder.argument(option.value)) for option in Option.of(self._declared.optimizers)]
        list(itertools.starmap(Option.put, options))  # the variable of a loop would keep a stand-in alive
        shown = [(group, dict(group)) for group, _ in groups]
        args, kwargs = rebuild(entered)
        entered.clear()
        before = outline((args, kwargs), entered)
        token = _state.set(replaced(state or ORDINARY, tracer=tracer))
        try:
            with recording(recorder):
                result = self._applied(private(self._function), args, kwargs, static)
                tracer.refuse_other_draws()
                if recorder.refused:  # and the function caught what told it
                    raise Unrecordable(recorder.refused)
                if any(group.get(key) is not value for group, was in shown for key, value in was.items()):
                    raise Unrecordable("it changes an optimiser's options; step a schedule outside of it")
                switched = [(one, key, value) for one, were in parts for key, value in _changed(one, were)]
                for _, key, value in switched:
                    if type(value) is not bool:
                        raise Unrecordable(f"it changes {key!r} of a declared module; do that before the call")
                code, traced = self._finished(recorder, tracer, result, saved, standins, options, name)
                traced.switched = switched
        except Exception as error:  # NumPy may have made one of its own of what was refused
            if not recorder.refused and (not isinstance(error, (Unrecordable, TypeError)) or _is_of_the_call(error)):
                raise
            told = recorder.refused or error
            raise CompileError(f"autodiff.jit: {name} cannot be followed: {told}{_line_of(error)}") from error
        finally:
            _state.reset(token)
            for t, data, node, grad in saved:
                t._data, t._node = data, node
                if node.__class__ is Variable:
                    node._grad = grad
            for group, settings in groups:
                group.update(settings)
            for one, were in parts:
                if _changed(one, were):
                    one.clear()
                    one.update(were) if isinstance(one, dict) else one.extend(were.values())
            for generator, was in generators:
                generator.bit_generator.state = was
        drawn = outside.drawn()
        if drawn:
            raise CompileError(
                f"autodiff.jit: {name} draws from {drawn}; declare a numpy.random.Generator in state=(...) and have the"
                " library draw from it"
            )
        now: list[Any] = []
        if outline((args, kwargs), now) != before or not all(map(operator.is_, now, entered)):
            raise CompileError(f"autodiff.jit: {name} changes a list or dict that it was given; return the new one")
        del result, args, kwargs, entered, now
        for gone in (standins, options, shown):
            gone.clear()  # type: ignore[attr-defined]
        with looking:  # who looks at all objects holds all of them
            if recorder.keeps():
                collect()
            kept = recorder.keeps()
        if kept:
            raise CompileError(
                f"autodiff.jit: {name} keeps a value that it computed outside of itself, in an attribute, a list or a"
                " global; return it"
            )
        traced.code = code
        return traced

    def _finished(
        self, recorder: Recorder, tracer: Tracer, result: Any, saved: Any, standins: Any, options: Any, name: str
    ) -> tuple[Any, Traced]:
        outs, filled = flatten(result)
        _, template = flatten(filled(list(range(len(outs)))))  # which holds numbers, where the other holds results
        shown = [out._data if isinstance(out, Tensor) else out for out in outs]
        moved, recorder.moved = recorder.moved, set()
        places = [value.slot.storage for value in shown if is_standin(value)]
        if any(storage is not None and storage.index in moved for storage in places):
            raise Unrecordable("it returns a declared array after an optimiser's step; read it after the call")
        bound, graded, news, grads = [], [], [], []
        cleared: list[int] = []
        for place, (t, data, node, grad) in enumerate(saved):
            if t._node is not node:
                raise Unrecordable("a declared tensor has become the result of an operation")
            if bare(t._data) is not data or type(t._data) is not Recorded:
                bound.append(place)
                news.append(t._data)
            now = gradient_of(t)
            if id(t) in tracer.taken and tracer.taken[id(t)] is not now:
                if now is not None:
                    raise Unrecordable("a gradient is changed after an optimiser's step; step last")
                now, cleared = tracer.taken[id(t)], [*cleared, place]  # zero_grad() after step()
            if bare(now) is not grad or (now is not None and type(now) is not Recorded):
                graded.append(place)
                grads.append(now)
        # What goes out has memory of its own, whatever of it is also an argument or goes out twice.
        taken: set[int] = set()

        def own(value: Any) -> Any:
            if isinstance(value, np.ndarray) and not is_standin(value):
                value = recorder.standin(recorder.outside(value))
            return recorder.owned(value, taken) if is_standin(value) else value

        shown, news, grads = ([own(value) for value in part] for part in (shown, news, grads))
        kinds = [isinstance(out, Tensor) for out in outs]
        outputs = shown, news, grads
        asked = {slot.index for op in recorder.ops for slot in reads(op)}
        asked |= {value.slot.index for part in outputs for value in part if is_standin(value)}
        read = [(option, standin) for option, standin in options if standin.slot.index in asked]
        given = [*standins, *(standin for _, standin in read)]
        code = frozen_code(self._workshop, recorder, given, outputs, name)

        traced = Traced(code, bound, graded, template, kinds)
        traced.optimizers, traced.cleared = tracer.stepped, cleared
        traced.options = [option for option, _ in read]
        tracer.taken.clear()
        return code, traced


def _is_of_the_call(error: Exception) -> bool:
    """Whether a function was called with other arguments than it takes."""
    return [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)][-1] is Jit._applied.__code__


def _line_of(error: Exception) -> str:
    """In words, the line outside of the library that an error came from."""
    found = ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__")  # a private copy's names have none
        if module is not None and module.partition(".")[0] not in ("autodiff", "nn", "optim", "numpy", "scipy"):
            file = frame.f_code.co_filename
            found = f" ({os.path.basename(file)}, line {number}: {linecache.getline(file, number).strip()[:80]})"
    return found


def _entries(one: Any) -> dict[Any, Any]:
    """What a dict, a list or a tuple holds under which key or number."""
    return dict(one) if isinstance(one, dict) else dict(enumerate(one))


def _changed(one: Any, were: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """Where a container holds something else than its entries were, with what stands there now, None for nothing."""

    def same(now: Any, was: Any) -> bool:
        return now is was or (now.__class__ is was.__class__ and now.__class__ in _SCALARS and now == was)

    held = _entries(one)
    return [(key, held.get(key)) for key in held | were if not same(held.get(key, END), were.get(key, END))]


def _by_value(value: Any) -> Any:
    """A static argument as part of a key: two of one key are the same to every function."""
    try:
        return exactly(value)
    except TypeError:
        raise ArgumentError(f"jit: a static argument must be hashable, and a {type(value).__name__} is not") from None


def _is_static(leaf: Any) -> bool:
    """Whether an argument decides by its value what is done: nobody computes with text, and ``is`` asks for a truth
    value or a member of an enumeration itself.
    """
    return leaf is None or isinstance(leaf, (bool, str, bytes, Enum))


def _kind_of(leaf: Any, declared: Declared) -> Any:
    if leaf.__class__ is np.ndarray:
        return leaf.shape, leaf.dtype, leaf.strides
    if _is_static(leaf):
        return exactly(leaf)
    if isinstance(leaf, Tensor):
        return "tensor", layout_of(leaf._data)
    if isinstance(leaf, np.ndarray):  # a memmap, say
        return leaf.__class__, leaf.shape, leaf.dtype, leaf.strides
    if isinstance(leaf, (int, float, complex, np.generic)):
        return leaf.__class__
    if id(leaf) in declared.places:
        return "declared", declared.places[id(leaf)]
    raise ArgumentError(
        f"jit: an argument holds a {type(leaf).__name__}; pass arrays, tensors, numbers, modules, and dicts, lists and"
        " tuples of these, and name anything else in static_argnames"
    )


@overload
def jit(
    function: F,
    *,
    state: object = (),
    static_argnames: str | Sequence[str] = (),
    static_argnums: int | Sequence[int] = (),
) -> Jit[F]: ...
@overload
def jit(
    function: None = None,
    *,
    state: object = (),
    static_argnames: str | Sequence[str] = (),
    static_argnums: int | Sequence[int] = (),
) -> Callable[[F], Jit[F]]: ...
def jit(
    function: Callable[..., Any] | None = None,
    *given: object,
    state: object = (),
    static_argnames: str | Sequence[str] = (),
    static_argnums: int | Sequence[int] = (),
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
        Arguments that decide what is done: another value means another run. Truth values, text and members of
        enumerations are so by themselves.
    static_argnums : int or tuple of int
        Such arguments by their places in the function's signature.

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
    if given:
        raise ArgumentError("jit: takes the function alone and gives one; write jit(f)(x)")
    if function is None:
        return lambda f: jit(f, state=state, static_argnames=static_argnames, static_argnums=static_argnums)
    refuse_unless_callable("jit", function)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    places = static_argnums if isinstance(static_argnums, Sequence) else (static_argnums,)
    if places:
        named = [p.name for p in inspect.signature(function).parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
        chosen = [named[place] for place in places if place in range(-len(named), len(named))]
        if len(chosen) < len(places):
            raise ArgumentError(
                f"jit: static_argnums={static_argnums!r} are places of arguments with a name, here {', '.join(named)}"
            )
        names = tuple(dict.fromkeys((*names, *chosen)))
    return Jit(function, state if isinstance(state, tuple) else (state,), names)
