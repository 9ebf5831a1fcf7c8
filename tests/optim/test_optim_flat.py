"""Parameters as one vector (optim/flat.py): after anything between two steps, the next is a plain one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
import optim
from autodiff import kernels

SHAPES = [(3, 4), (5,), (), (200, 100)]  # three that are joined, and one that is alone

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.1}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1}),
    "Adam": ("Adam", {"lr": 0.1}),
    "AdamW": ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
    "RMSprop": ("RMSprop", {"lr": 0.1, "momentum": 0.5}),
    "Adadelta": ("Adadelta", {"lr": 0.1}),
    "NAdam": ("NAdam", {"lr": 0.1, "weight_decay": 0.1}),
    "RAdam": ("RAdam", {"lr": 0.1}),
    "Adamax": ("Adamax", {"lr": 0.1}),
    "ASGD": ("ASGD", {"lr": 0.1, "t0": 3}),
    "Rprop": ("Rprop", {"lr": 0.1}),
    "Adagrad": ("Adagrad", {"lr": 0.1}),
    "Lion": ("Lion", {"lr": 0.1}),
}


class Run:
    """Parameters, their optimiser, and steps with gradients that depend on the values."""

    def __init__(self, name: str, plain: bool) -> None:
        rng = np.random.default_rng(0)
        self.rng = np.random.default_rng(1)
        self.params = [
            autodiff.Tensor(rng.normal(size=shape).astype(np.float32), requires_grad=True) for shape in SHAPES
        ]
        kind, options = OPTIMIZERS[name]
        self.optimizer = getattr(optim, kind)(self.params, **options)
        self.plain = plain
        self.held: list[Any] = []

    def step(self, gradient: Callable[[int, Any], Any] | None = None) -> None:
        self.optimizer.zero_grad()
        for i, p in enumerate(self.params):
            if p.requires_grad:
                g = np.asarray(np.sin(3 * p.data + i), p.dtype)
                p.grad = g if gradient is None else gradient(i, g)
        self.take()

    def take(self) -> None:
        with autodiff.plain() if self.plain else contextlib.nullcontext():
            self.optimizer.step()

    def slots(self) -> tuple[str, ...]:
        return self.optimizer._slots(self.optimizer.param_groups[0])  # type: ignore[no-any-return]


def bind(run: Run, i: int) -> None:
    run.params[i].data = run.rng.normal(size=SHAPES[i]).astype(np.float32)


def bind_equal(run: Run) -> None:
    for p in run.params:
        p.data = p.data.copy()


def write(run: Run) -> None:
    run.params[1].data[...] = 2.0
    run.params[3].data[5] = 1.0


def other_shape(run: Run) -> None:
    run.params[1].data = np.full((2, 2), 0.5, np.float32)
    run.optimizer.state.pop(run.params[1], None)


def other_dtype(run: Run) -> None:
    run.params[0].data = run.params[0].data.astype(np.float64)


def missing_gradient(run: Run) -> None:
    run.step(lambda i, g: None if i == 1 else g)


def no_gradient_at_all(run: Run) -> None:
    run.step(lambda i, g: None)


def tensors_as_gradients(run: Run) -> None:
    run.step(lambda i, g: autodiff.Tensor(g) if i == 0 else g)


def read_only_gradients(run: Run) -> None:
    def closed(i: int, g: Any) -> Any:
        g.flags.writeable = False
        return g

    run.step(closed)


def turned_gradients(run: Run) -> None:
    run.step(lambda i, g: np.array(g, order="F"))


def gradients_that_are_the_values(run: Run) -> None:
    run.optimizer.zero_grad()
    for p in run.params:
        p.grad = p.data
    run.take()


def state_array_exchanged(run: Run) -> None:
    for name in run.slots():
        state = run.optimizer.state[run.params[2]]
        state[name] = state[name] + np.float32(0.25)


def state_array_written(run: Run) -> None:
    for name in run.slots():
        run.optimizer.state[run.params[3]][name][...] = 0.5


def state_arrays_swapped(run: Run) -> None:
    names = run.slots()
    if len(names) > 1:
        state = run.optimizer.state[run.params[3]]
        a, b = abs(state[names[0]]), abs(state[names[1]])
        state[names[0]], state[names[1]] = b, a


def state_forgotten(run: Run) -> None:
    run.optimizer.state[run.params[0]] = {}


def state_of_one_gone(run: Run) -> None:
    run.optimizer.state.pop(run.params[3], None)


def all_state_gone(run: Run) -> None:
    run.optimizer.state = {}


def another_number_of_steps(run: Run) -> None:
    if "step" in run.optimizer.state[run.params[1]]:
        run.optimizer.state[run.params[1]]["step"] = 1


def reload(run: Run) -> None:
    run.optimizer.load_state_dict(run.optimizer.state_dict())


def options_changed(run: Run) -> None:
    group = run.optimizer.param_groups[0]
    for option, value in {"lr": 0.05, "betas": (0.5, 0.6), "weight_decay": 0.2, "eps": 1e-3, "maximize": True}.items():
        if option in group:
            group[option] = value


def betas_in_a_list(run: Run) -> None:
    group = run.optimizer.param_groups[0]
    if "betas" in group:
        group["betas"] = [0.5, 0.6]
        run.step()
        run.step()
        group["betas"][0] = 0.8  # the same list


def a_slot_more(run: Run) -> None:
    group = run.optimizer.param_groups[0]
    for option, value in {"amsgrad": True, "momentum": 0.7, "centered": True}.items():
        if option in group:
            group[option] = value


def a_slot_less(run: Run) -> None:
    if "momentum" in run.optimizer.param_groups[0]:
        run.optimizer.param_groups[0]["momentum"] = 0


def group_added(run: Run) -> None:
    run.params.append(autodiff.Tensor(np.ones(3, np.float32), requires_grad=True))
    run.optimizer.add_param_group({"params": [run.params[-1]], "lr": 0.01})


def group_replaced(run: Run) -> None:
    run.optimizer.param_groups[0] = dict(run.optimizer.param_groups[0], lr=0.03)


def parameter_taken_out(run: Run) -> None:
    run.optimizer.param_groups[0]["params"].pop(0)


def last_parameter_taken_out(run: Run) -> None:
    run.optimizer.param_groups[0]["params"].pop()


def parameter_exchanged(run: Run) -> None:
    run.params[1] = autodiff.Tensor(np.ones(5, np.float32), requires_grad=True)
    run.optimizer.param_groups[0]["params"][1] = run.params[1]


def parameters_in_another_order(run: Run) -> None:
    run.optimizer.param_groups[0]["params"].reverse()


def parameter_frozen(run: Run) -> None:
    run.params[0].requires_grad = False


def parameter_frozen_for_a_step(run: Run) -> None:
    run.params[3].requires_grad = False
    run.step()
    run.params[3].requires_grad = True


def values_held(run: Run) -> None:
    run.held += [p.data for p in run.params]


def values_held_and_others_bound(run: Run) -> None:
    run.held += [(p.data, p.data.copy()) for p in run.params]
    for i in range(len(run.params)):
        bind(run, i)
    run.step()
    for array, copy in run.held:  # nobody's parameter any more
        np.testing.assert_array_equal(array, copy)


def values_exchanged(run: Run) -> None:
    first, second = run.params[1], autodiff.Tensor(np.ones(5, np.float32), requires_grad=True)
    run.optimizer.add_param_group({"params": [second, third := autodiff.Tensor(second.data + 1, requires_grad=True)]})
    run.params += [second, third]
    run.step()
    first.data, second.data, third.data = third.data, first.data, second.data


def graph_held(run: Run) -> None:
    loss = (run.params[1] * run.params[1]).sum()
    run.step()
    with pytest.raises(autodiff.GraphError, match="optimiser"):
        loss.backward()


def kernels_switched_off(run: Run) -> None:
    kernels.use("numpy")


def threads_changed(run: Run) -> None:
    kernels.set_threads(2 if kernels.get_threads() == 1 else 1)


EVENTS = [
    lambda run: bind(run, 0),
    lambda run: bind(run, 3),
    bind_equal,
    write,
    other_shape,
    other_dtype,
    missing_gradient,
    no_gradient_at_all,
    tensors_as_gradients,
    read_only_gradients,
    turned_gradients,
    gradients_that_are_the_values,
    state_array_exchanged,
    state_array_written,
    state_arrays_swapped,
    state_forgotten,
    state_of_one_gone,
    all_state_gone,
    another_number_of_steps,
    reload,
    options_changed,
    betas_in_a_list,
    a_slot_more,
    a_slot_less,
    group_added,
    group_replaced,
    parameter_taken_out,
    last_parameter_taken_out,
    parameter_exchanged,
    parameters_in_another_order,
    parameter_frozen,
    parameter_frozen_for_a_step,
    values_held,
    values_held_and_others_bound,
    values_exchanged,
    graph_held,
    kernels_switched_off,
    threads_changed,
]
NAMES = ["bind_joined", "bind_alone", *(event.__name__ for event in EVENTS[2:])]


@pytest.fixture(params=["numpy", "auto"])
def mode(request: pytest.FixtureRequest) -> Any:
    if request.param == "auto" and not kernels.installed():
        pytest.skip("numba is not installed")
    before, threads = kernels.use(request.param), kernels.get_threads()
    yield request.param
    kernels.use(before)
    kernels.set_threads(threads)


@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_after_any_event_a_step_is_a_plain_one(name: str, event: Callable[[Run], None], mode: str) -> None:
    found = []
    for plain in (False, True):
        run = Run(name, plain)
        kernels.use(mode)
        for _ in range(4):
            run.step()
        event(run)
        for _ in range(3):
            run.step()
        state = [run.optimizer.state.get(p, {}) for p in run.params]
        found.append(
            ([p.data.copy() for p in run.params], [{k: np.copy(v) for k, v in held.items()} for held in state])
        )
    # A kernel may round once where NumPy rounds twice, and the gradients here amplify what differs at each step.
    same = np.testing.assert_array_equal
    if mode == "auto":
        same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    (values, states), (other_values, other_states) = found
    for a, b in zip(values, other_values, strict=True):
        assert a.dtype == b.dtype
        same(a, b)
    for held, other in zip(states, other_states, strict=True):
        assert held.keys() == other.keys()
        for key in held:
            same(held[key], other[key])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_make_no_new_arrays(name: str, mode: str) -> None:
    run = Run(name, False)
    for _ in range(3):
        run.step()
    places = [p.data for p in run.params]
    for _ in range(3):
        run.step()
    assert all(p.data is place for p, place in zip(run.params, places, strict=True))


def test_a_subclass_and_an_optimiser_of_ones_own_have_the_same_vectors() -> None:
    class Mine(optim.Adam):
        pass

    class Descent(optim.Optimizer):
        params: Any
        lr: float = optim.optimizer.option(default=0.1)

        def _update(self, group: Any, turn: Any, p: Any, g: Any, slots: Any, scratch: Any) -> None:
            p -= group["lr"] * g

    for kind in (Mine, Descent):
        params = [autodiff.Tensor(np.ones(shape), requires_grad=True) for shape in SHAPES]
        optimizer = kind(params, lr=0.5)
        for _ in range(2):
            for p in params:
                p.grad = np.ones(p.shape)
            optimizer.step()
        owners = [p._array.base for p in params]
        assert owners[0] is owners[1] is owners[2] is not owners[3]
        np.testing.assert_allclose(params[0].data, 0.0, atol=1e-7)


def test_an_optimiser_goes_away_without_the_collector() -> None:
    import gc
    import weakref

    run = Run("Adam", False)
    for _ in range(4):
        run.step()
    gc.disable()
    try:
        gone = weakref.ref(run.optimizer)
        del run
        assert gone() is None
    finally:
        gc.enable()
