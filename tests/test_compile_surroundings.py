"""What decides a step's course without passing through its arguments: after any change of it a compiled step does what
the eager one does.
"""

import argparse
import array
import collections
import contextvars
import cProfile
import ctypes
import functools
import itertools
import operator
import os
import pstats
import random
import threading
import time
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
import nn
from autodiff import Tensor
from autodiff.core.errors import CompileError

X = np.arange(1.0, 5.0)
SCALE = 2.0
module = types.ModuleType("somebodys_settings")
module.inner = types.ModuleType("somebodys_settings.inner")  # type: ignore[attr-defined]

Case = tuple[Callable[[Any], Any], Callable[[], Any]]


class Plain:
    """Keeps whatever attributes it is given."""


class Slots:
    __slots__ = ("scale",)


class Reads:
    """Every way in which a class's code reads a global."""

    def __call__(self, x: Any) -> Any:
        return Tensor(x) * SCALE

    def __getitem__(self, i: int) -> float:
        return SCALE

    @property
    def prop(self) -> float:
        return SCALE

    @staticmethod
    def static() -> float:
        return SCALE

    @classmethod
    def of_class(cls) -> float:
        return SCALE


class Makes:
    def __init__(self) -> None:
        self.scale = SCALE


def rescale() -> None:
    global SCALE
    SCALE = 3.0


def boxed(make: Callable[..., Any]) -> Case:
    box = make(scale=2.0)
    return lambda x: Tensor(x) * box.scale, lambda: setattr(box, "scale", 3.0)


def entry(container: Any, key: Any, value: Any = 3.0) -> Case:
    return lambda x: Tensor(x) * container[key], lambda: operator.setitem(container, key, value)


def asked(read: Callable[[Any], float], value: float | None = 2.0) -> Case:
    thing = Plain()
    if value is not None:
        thing.scale = value  # type: ignore[attr-defined]
    return lambda x: Tensor(x) * read(thing), lambda: setattr(thing, "scale", 3.0)


def global_read(read: Callable[[], float]) -> Case:
    return lambda x: Tensor(x) * read(), rescale


def try_attribute(thing: Any) -> float:
    try:
        return float(thing.scale)
    except AttributeError:
        return 1.0


def of_module(nested: bool) -> Case:
    place = module.inner if nested else module
    place.scale = 2.0
    here = module
    step = (lambda x: Tensor(x) * here.inner.scale) if nested else (lambda x: Tensor(x) * here.scale)
    return step, lambda: setattr(place, "scale", 3.0)


def member(change: Callable[[set[str]], Any]) -> Case:
    names = {"a"}
    return lambda x: Tensor(x) * (2.0 if "b" in names else 1.0), lambda: change(names)


def exchanged(names: set[str]) -> None:
    names.clear()
    names.add("b")


def proxied(make: Callable[[Any], Any]) -> Case:
    table = {"scale": 2.0}
    seen = make(table)
    return lambda x: Tensor(x) * seen["scale"], lambda: table.update(scale=3.0)


def method_of_a_dict() -> Case:
    table = {"scale": 2.0}
    get = table.get
    return lambda x: Tensor(x) * get("scale"), lambda: table.update(scale=3.0)


def reordered() -> Case:
    table = {"a": 2.0, "b": 3.0}
    return lambda x: Tensor(x) * next(iter(table.values())), lambda: table.update(a=table.pop("a"))


def hidden_class() -> Case:
    class Base:
        scale = 2.0

    class Derived(Base):
        pass

    thing = Derived()
    return lambda x: Tensor(x) * thing.scale, lambda: setattr(Derived, "scale", 3.0)


def another_class() -> Case:
    class One:
        scale = 2.0

    class Other:
        scale = 3.0

    thing = One()
    return lambda x: Tensor(x) * thing.scale, lambda: setattr(thing, "__class__", Other)


def another_method() -> Case:
    class Callee:
        def __call__(self, x: Any) -> Any:
            return Tensor(x) * 2.0

    callee = Callee()
    return lambda x: callee(x), lambda: setattr(Callee, "__call__", lambda self, x: Tensor(x) * 3.0)


def late_slot() -> Case:
    thing = Slots()
    return lambda x: Tensor(x) * getattr(thing, "scale", 1.0), lambda: setattr(thing, "scale", 3.0)


def function_with(attribute: str, value: Any) -> Case:
    def scaled(x: Any, scale: float = 2.0) -> Any:
        return Tensor(x) * scale * getattr(scaled, "more", 1.0)

    return lambda x: scaled(x), lambda: setattr(scaled, attribute, value)


def other_code() -> Case:
    def scaled(x: Any) -> Any:
        return Tensor(x) * 2.0

    return lambda x: scaled(x), lambda: setattr(scaled, "__code__", (lambda x: Tensor(x) * 3.0).__code__)


def partial_keyword() -> Case:
    scaled = functools.partial(lambda x, scale: Tensor(x) * scale, scale=2.0)
    return lambda x: scaled(x), lambda: scaled.keywords.update(scale=3.0)


def inner_compiled() -> Case:
    inner = autodiff.compile(lambda x: Tensor(x) * SCALE)
    return lambda x: inner(x), rescale


def cached() -> Case:
    @functools.cache
    def scale() -> float:
        return SCALE

    def change() -> None:
        rescale()
        scale.cache_clear()

    return lambda x: Tensor(x) * scale(), change


def environment() -> Case:
    os.environ["AUTODIFF_TEST_SCALE"] = "2.0"
    return lambda x: Tensor(x) * float(os.environ.get("AUTODIFF_TEST_SCALE", "1")), lambda: os.environ.update(
        AUTODIFF_TEST_SCALE="3.0"
    )


def context() -> Case:
    variable = contextvars.ContextVar("scale", default=2.0)
    return lambda x: Tensor(x) * variable.get(), lambda: variable.set(3.0)


def tensor_behind(make: Callable[[Tensor], Callable[[], Tensor]]) -> Case:
    tensor = Tensor(np.ones(4))
    get = make(tensor)
    return lambda x: Tensor(x) * get(), lambda: setattr(tensor, "data", np.full(4, 3.0))


def tensor_asked(
    read: Callable[[Tensor], Any], change: Callable[[Tensor], Any], like: Any = None, **options: Any
) -> Case:
    tensor = Tensor(np.ones(4) if like is None else like, **options)
    return lambda x: Tensor(x) * read(tensor), lambda: change(tensor)


def plain_array(read: Callable[[Any], Any], change: Callable[[Any], Any]) -> Case:
    values = np.zeros(6)
    return lambda x: Tensor(x) * read(values), lambda: change(values)


def settings_of_errors() -> Case:
    def step(x: Any) -> Any:
        with np.errstate(all="ignore"):
            return Tensor(x) / np.zeros(4)

    np.seterr(all="ignore")
    return step, lambda: np.seterr(all="raise")


def more_parameters() -> Case:
    model = nn.Linear(2, 2)
    return lambda x: Tensor(x) * len(list(model.parameters())), lambda: setattr(model, "more", nn.Parameter(np.ones(1)))


CASES: dict[str, Callable[[], Case]] = {
    "a namespace": lambda: boxed(types.SimpleNamespace),
    "parsed arguments": lambda: boxed(argparse.Namespace),
    "a deque": lambda: entry(collections.deque([2.0]), 0),
    "a key that is a tuple": lambda: entry({(0, 1): 2.0}, (0, 1)),
    "a key that is no name": lambda: entry({"a {0}": 2.0}, "a {0}"),
    "a long list": lambda: entry([2.0] * 300, 0),
    "a long dict": lambda: entry(dict.fromkeys(range(300), 2.0), 0),
    "a user's dict": lambda: entry(collections.UserDict(scale=2.0), "scale"),
    "bytes": lambda: entry(bytearray(b"\2"), 0, 3),
    "an array of Python's": lambda: entry(array.array("d", [2.0]), 0),
    "memory": lambda: entry(memoryview(np.full(2, 2.0)), 0),
    "a set grows": lambda: member(lambda names: names.add("b")),
    "a set of other members": lambda: member(exchanged),
    "a view of a dict": lambda: proxied(types.MappingProxyType),
    "a chain of dicts": lambda: proxied(collections.ChainMap),
    "a dict's method": method_of_a_dict,
    "a dict's order": reordered,
    "getattr": lambda: asked(lambda thing: getattr(thing, "scale", 1.0)),
    "getattr of a name made up": lambda: asked(lambda thing: getattr(thing, "sc" + "ale"[:3], 1.0)),
    "getattr of what comes later": lambda: asked(lambda thing: getattr(thing, "scale", 1.0), None),
    "hasattr": lambda: asked(lambda thing: 2.0 if hasattr(thing, "scale") else 1.0, None),
    "an attribute that is tried": lambda: asked(try_attribute, None),
    "vars": lambda: asked(lambda thing: vars(thing)["scale"]),
    "__dict__": lambda: asked(lambda thing: thing.__dict__["scale"]),
    "attrgetter": lambda: asked(operator.attrgetter("scale")),
    "a global in __call__": lambda: (lambda thing: (lambda x: thing(x), rescale))(Reads()),
    "the object itself": lambda: (Reads(), rescale),
    "a global in __getitem__": lambda: (lambda thing: global_read(lambda: thing[0]))(Reads()),
    "a global in a property": lambda: (lambda thing: global_read(lambda: thing.prop))(Reads()),
    "a global in a static method": lambda: global_read(lambda: Reads.static()),
    "a global in a class method": lambda: global_read(lambda: Reads.of_class()),
    "a global in __init__": lambda: global_read(lambda: Makes().scale),
    "globals()": lambda: global_read(lambda: globals()["SCALE"]),
    "a module": lambda: of_module(False),
    "a module in a module": lambda: of_module(True),
    "an attribute of the class beneath": hidden_class,
    "another class": another_class,
    "another __call__": another_method,
    "a slot filled later": late_slot,
    "defaults": lambda: function_with("__defaults__", (3.0,)),
    "code": other_code,
    "an attribute of a function": lambda: function_with("more", 3.0),
    "a partial function's keyword": partial_keyword,
    "a compiled step within": inner_compiled,
    "a cache": cached,
    "the environment": environment,
    "a context variable": context,
    "an attribute of a thread": lambda: boxed(
        lambda scale: (lambda box: (setattr(box, "scale", scale), box)[1])(threading.local())
    ),
    "a tensor behind a weak reference": lambda: tensor_behind(weakref.ref),
    "a tensor in a namespace": lambda: tensor_behind(
        lambda tensor: functools.partial(getattr, types.SimpleNamespace(tensor=tensor), "tensor")
    ),
    "a tensor nobody can find": lambda: tensor_behind(lambda tensor: itertools.repeat(tensor).__next__),
    "whether a tensor requires a gradient": lambda: tensor_asked(
        lambda tensor: 2.0 if tensor.requires_grad else 1.0, lambda tensor: tensor.requires_grad_()
    ),
    "whether a parameter requires one": lambda: tensor_asked(
        lambda tensor: 2.0 if tensor.requires_grad else 1.0,
        lambda tensor: tensor.requires_grad_(False),
        requires_grad=True,
    ),
    "a tensor's shape": lambda: tensor_asked(
        lambda tensor: tensor.shape[0], lambda tensor: setattr(tensor, "data", np.ones(7))
    ),
    "the shape of one computed with": lambda: tensor_asked(
        lambda tensor: tensor.mean(), lambda tensor: setattr(tensor, "data", np.arange(7.0))
    ),
    "the dtype of one computed with": lambda: tensor_asked(
        lambda tensor: tensor, lambda tensor: setattr(tensor, "data", np.full(4, 0.1, np.float32)), np.full(4, 0.1)
    ),
    "an array's element": lambda: plain_array(lambda values: float(values[0]), lambda values: values.fill(3.0)),
    "an array's truth": lambda: plain_array(
        lambda values: 2.0 if values.any() else 1.0, lambda values: values.fill(3.0)
    ),
    "an array's sum": lambda: plain_array(lambda values: values.sum(), lambda values: values.fill(3.0)),
    "an array's sum beside the array": lambda: plain_array(
        lambda values: Tensor(values[:4]) + values.sum(), lambda values: values.fill(3.0)
    ),
    "an array's shape": lambda: plain_array(
        lambda values: len(values), lambda values: setattr(values, "shape", (2, 3))
    ),
    "one parameter more": more_parameters,
    "the settings of errors": settings_of_errors,
}


@pytest.mark.filterwarnings("ignore::autodiff.replay.CompileWarning", "ignore:Setting the shape:DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_a_change_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for compiled in (False, True):
        monkeypatch.setitem(globals(), "SCALE", 2.0)
        with np.errstate():
            step, change = CASES[name]()
            if compiled:
                step = autodiff.compile(step)
            results = [step(X).data.copy() for _ in range(3)]
            change()
            results += [step(X).data.copy() for _ in range(3)]
        found.append([(r.dtype, r.tobytes()) for r in results])
        if compiled and name != "a tensor nobody can find":
            assert (step.replays > 0, step.reason) == (True, "")
    os.environ.pop("AUTODIFF_TEST_SCALE", None)
    assert found[0] == found[1]


def advances(iterator: Any) -> Any:
    return lambda x: Tensor(x) * next(iterator)


def draws(source: Any, name: str) -> Any:
    return lambda x: Tensor(x) * float(getattr(source, name)())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: advances(itertools.count(1)), "iterator"),
        (lambda: advances(iter([1.0, 2.0, 3.0])), "iterator"),
        (lambda: advances(float(i) for i in range(9)), "iterator"),
        (lambda: draws(random.Random(0), "random"), "random numbers"),
        (lambda: draws(np.random.RandomState(0), "rand"), "random numbers"),
        (lambda: draws(np.random.PCG64(0), "random_raw"), "random numbers"),
        (lambda: draws(types.SimpleNamespace(draw=np.random.default_rng(0).random), "draw"), "random numbers"),
        (lambda: lambda x: Tensor(x) * time.perf_counter(), "perf_counter"),
    ],
)
def test_what_gives_something_else_in_every_call_is_refused(make: Any, words: str) -> None:
    with pytest.raises(CompileError, match=words):
        autodiff.compile(make(), fallback=False)(X)


def test_a_constant_that_comes_to_require_a_gradient_gets_one() -> None:
    def trained(compiled: bool) -> list[Any]:
        p, q = (Tensor(np.arange(1.0, 5.0) + i, requires_grad=i == 0) for i in range(2))

        def step(x: Any) -> Any:
            p.grad = q.grad = None
            (Tensor(x) * p * q).sum().backward()

        step = autodiff.compile(step) if compiled else step
        found = []
        for i in range(6):
            if i in (3, 5):
                q.requires_grad = i == 3
            step(X)
            found.append([None if t.grad is None else t.grad.tolist() for t in (p, q)])
        return found

    assert trained(True) == trained(False)


def test_code_that_did_not_run_is_not_watched() -> None:
    """A function beside the step may mention what changes all the time."""
    seen = [0]

    class Model:
        def forward(self, x: Any) -> Any:
            return Tensor(x) * 2.0

        def report(self) -> int:
            return seen[0] + int(SCALE)

    model = Model()
    step = autodiff.compile(lambda x: model.forward(x))
    for i in range(5):
        seen[0] = i
        rescale()
        step(X)
    assert (step.recordings, step.replays) == (1, 4)


def test_a_function_that_cannot_be_found_is_refused() -> None:
    def scaled_by(scale: float) -> Any:
        return lambda x: Tensor(x) * scale

    scaled = scaled_by(2.0)
    hidden = array.array("Q", [id(scaled)])
    step = autodiff.compile(lambda x: ctypes.cast(hidden[0], ctypes.py_object).value(x), fallback=False)
    with pytest.raises(CompileError, match="cannot be found from the step"):
        step(X)


def test_a_profiler_goes_on_after_the_recorded_call() -> None:
    w = autodiff.tensor(np.arange(3.0), requires_grad=True)
    step = autodiff.compile(lambda x: (w * x).sum().detach(), fallback=False)

    def later() -> None:
        pass

    profile = cProfile.Profile()
    profile.enable()
    try:
        results = [step(np.ones(3)).item() for _ in range(3)]
        later()
    finally:
        profile.disable()
    assert results == [3.0] * 3
    assert step.replays == 2
    assert "later" in {name for _, _, name in pstats.Stats(profile).stats}
