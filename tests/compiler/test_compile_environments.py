"""Compiled and jitted steps where programs run: forks, notebooks, debuggers, coverage, tasks, copies, Ctrl-C."""

import asyncio
import bdb
import copy
import os
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
import nn
import optim
from nn import functional as F


class Trainer:
    """A model, its optimiser and a step that the model's owner holds compiled."""

    def __init__(self, how: str, seed: int = 0) -> None:
        r = np.random.default_rng(seed)
        self.model = nn.Sequential(nn.Linear(3, 4, generator=r), nn.Tanh(), nn.Linear(4, 2, generator=r))
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.05)
        self.how = how
        self.step = {
            "eager": lambda: self.train,
            "compile": lambda: autodiff.compile(self.train),
            "jit": lambda: autodiff.jit(self.train, state=(self.model, self.optimizer)),
        }[how]()

    def train(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def run(self, first: int, last: int) -> Any:
        found = []
        for i in range(first, last):
            r = np.random.default_rng(i)
            loss = self.step(r.normal(size=(5, 3)).astype(np.float32), r.integers(0, 2, 5))
            found.append(np.asarray(loss.data).tobytes())
        return found, [t.data.tobytes() for t in self.model.state_dict().values()]


HOW = pytest.mark.parametrize("how", ["compile", "jit"])
CALLS = 7


def expected(first: int = 0) -> Any:
    eager = Trainer("eager")
    eager.run(0, first)
    return eager.run(first, CALLS)


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's, where another test has loaded it
@HOW
def test_a_fork_goes_on_by_itself(how: str) -> None:
    trainer = Trainer(how)
    trainer.run(0, 4)
    there, here = os.pipe()
    child = os.fork() if hasattr(os, "fork") else pytest.skip("no fork")
    if child == 0:
        try:
            os.write(here, pickle.dumps(trainer.run(4, CALLS)))
        finally:
            os._exit(0)
    os.close(here)
    with os.fdopen(there, "rb") as pipe:
        found = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    assert found == expected(4)
    assert trainer.run(4, CALLS) == expected(4)


CELL = """
@wrapped
def step(x, y):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y) * scale
    loss.backward()
    optimizer.step()
    return loss.detach()
"""


@HOW
def test_a_notebooks_cell_is_run_again(how: str) -> None:
    found = []
    for kind in (how, "eager"):
        trainer = Trainer("eager")
        wrapped: Callable[[Any], Any] = {
            "compile": autodiff.compile,
            "jit": lambda f, t=trainer: autodiff.jit(f, state=(t.model, t.optimizer)),
            "eager": lambda f: f,
        }[kind]
        cell = {"F": F, "model": trainer.model, "optimizer": trainer.optimizer, "wrapped": wrapped, "scale": 1.0}
        losses = []
        for scale in (1.0, 2.0, 0.5):
            cell["scale"] = scale
            exec(CELL, cell)  # another function of the same name
            trainer.step = cell["step"]
            losses.append(trainer.run(0, 4))
        found.append(losses)
    assert found[0] == found[1]


@HOW
@pytest.mark.parametrize("debugger", ["trace", "bdb", "profile"])
def test_somebody_looks_at_every_line(how: str, debugger: str) -> None:
    seen = []

    def trace(frame: Any, event: str, arg: Any) -> Any:
        seen.append(event)
        return trace

    class Stepper(bdb.Bdb):
        def user_line(self, frame: Any) -> None:
            seen.append(frame.f_lineno)
            self.set_step()

    trainer = Trainer(how)
    before, profile = sys.gettrace(), sys.getprofile()
    try:
        if debugger == "bdb":
            found = Stepper().runcall(trainer.run, 0, CALLS)
        else:
            (sys.settrace if debugger == "trace" else sys.setprofile)(trace)
            found = trainer.run(0, CALLS)
    finally:
        sys.settrace(before)
        sys.setprofile(profile)
    assert found == expected()
    assert seen


def test_coverage_counts_every_line_of_a_compiled_step(tmp_path: Any) -> None:
    coverage = pytest.importorskip("coverage")
    if sys.gettrace() is not None:
        pytest.skip("somebody traces already")
    trainer = Trainer("compile")
    counting = coverage.Coverage(data_file=str(tmp_path / "data"), include=[__file__])
    counting.start()
    try:
        found = trainer.run(0, CALLS)
    finally:
        counting.stop()
    assert found == expected()
    lines = set(counting.get_data().lines(__file__) or ())
    first = Trainer.train.__code__.co_firstlineno
    assert lines >= set(range(first + 1, first + 6))


@HOW
def test_tasks_take_turns(how: str) -> None:
    async def train(trainer: Trainer) -> Any:
        found = []
        for i in range(CALLS):
            found += trainer.run(i, i + 1)[0]
            await asyncio.sleep(0)
        return found

    async def all_of_them() -> Any:
        return await asyncio.gather(*(train(Trainer(how)) for _ in range(3)))

    assert asyncio.run(all_of_them()) == [expected()[0]] * 3


@HOW
def test_copies_hold_a_step_of_their_own(how: str) -> None:
    trainer = Trainer(how)
    trainer.run(0, 4)
    copied = copy.deepcopy(trainer)
    assert copied.step is not trainer.step
    assert copied.run(4, CALLS) == expected(4)
    assert trainer.run(4, CALLS) == expected(4)


def test_a_model_that_holds_its_step_is_pickled() -> None:
    trainer = Trainer("compile")
    trainer.run(0, 4)
    again = pickle.loads(pickle.dumps(trainer))
    assert again.run(4, CALLS) == expected(4)
    assert trainer.run(4, CALLS) == expected(4)


@HOW
def test_a_hundred_threads_each_with_a_step(how: str) -> None:
    found: list[Any] = []
    count = 100 if how == "compile" else 20  # a jitted step is traced whole
    threads = [threading.Thread(target=lambda: found.append(Trainer(how).run(0, CALLS))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected()] * count


# Python itself drops an interrupt that meets the callback of a weak reference; the step then goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
@HOW
def test_ctrl_c_at_any_place_leaves_ordinary_tensors(how: str) -> None:
    """The interrupt comes at every so-maniest line of a call that records, that prepares, or that is served."""
    stopped = 0
    for call in (0, 1, 2, 5):
        lines = count(how, call)
        for at in np.unique(np.linspace(1, lines, 8).astype(int)):
            trainer = Trainer(how)
            trainer.run(0, call)
            kept = copy.deepcopy((trainer.model.state_dict(), trainer.optimizer.state_dict()))
            try:
                interrupted(trainer, call, int(at))
            except KeyboardInterrupt:
                stopped += 1
            for p in trainer.model.parameters():
                assert type(p.data) is np.ndarray
                assert p.grad is None or type(p.grad) is np.ndarray
            trainer.model.load_state_dict(kept[0])
            trainer.optimizer.load_state_dict(kept[1])
            assert trainer.run(call, CALLS) == expected(call), (call, at)
    assert stopped > 20


def interrupted(trainer: Trainer, call: int, at: int) -> int:
    """Run a call that Ctrl-C ends at a line of it; how many lines there were, if it came to its end."""
    passed = 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal passed
        if event == "line":
            passed += 1
            if passed == at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        trainer.run(call, call + 1)
    finally:
        sys.settrace(before)
    return passed


def count(how: str, call: int) -> int:
    trainer = Trainer(how)
    trainer.run(0, call)
    return interrupted(trainer, call, -1) - 6  # without what follows the step in run()
