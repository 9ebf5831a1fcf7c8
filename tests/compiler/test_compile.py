"""``autodiff.compile``: the object, its counts, what it refuses, and where it must not matter. The steps themselves are
compared in ``test_compile_steps.py``.
"""

import asyncio
import contextvars
import copy
import importlib
import pickle
import sys
import threading
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import autodiff
import nn
import optim
from autodiff import CompileWarning, Tensor, kernels
from autodiff.compiler import Compiled
from autodiff.core.errors import ArgumentError, CompileError
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.testing import strategies
from autodiff.testing.draw import RandomDraw
from autodiff.testing.verify import gradient_places
from nn import functional as F


def same_bits(a: Any, b: Any) -> bool:
    """Equal, a NaN to a NaN and -0 to -0, dtype and shape included."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same_bits(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same_bits, a, b))
    if isinstance(a, Tensor):
        a, b = a.data, b.data
    if isinstance(a, (np.ndarray, np.generic)):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)


def training(**options: Any) -> Any:
    g = np.random.default_rng(1)
    model = nn.Sequential(nn.Linear(12, 16, generator=g), nn.ReLU(), nn.Linear(16, 4, generator=g))
    optimizer = optim.Adam(model.parameters(), lr=1e-2)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return autodiff.compile(step, **options), step, model


def batch(n: int = 10) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, 12)).astype(np.float32), rng.integers(0, 4, n)


def test_counts_and_shapes() -> None:
    step, _, _ = training(fallback=False)
    for _ in range(3):
        step(*batch())
    assert (step.recordings, step.replays, step.eager, step.reason) == (1, 2, 0, "")
    step(*batch(7))
    step(*batch(7))
    step(*batch())
    assert (step.recordings, step.replays, step.eager) == (2, 4, 0)
    assert "training" in repr(step)


def test_a_step_that_never_does_the_same_is_given_up_with_a_warning() -> None:
    step = autodiff.compile(lambda x: (Tensor(x) * 2).sum())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(60):
            assert step(np.ones(n + 1)).item() == 2.0 * (n + 1)
    assert [w.category for w in caught] == [CompileWarning] * len(caught)
    assert caught
    assert step.reason
    assert step.recordings < 40


def test_a_step_of_many_tiny_operations_is_given_up_at_once() -> None:
    w = Tensor(1.0, requires_grad=True)

    def step() -> Any:
        y = w
        for _ in range(5000):
            y = y * 1.0
        return y

    compiled = autodiff.compile(step)
    with pytest.warns(CompileWarning, match="more than 4096 operations"):
        assert compiled().item() == 1.0
    assert compiled().item() == 1.0
    assert (compiled.recordings, compiled.replays, compiled.eager) == (0, 0, 2)


def test_without_fallback_it_raises() -> None:
    step = autodiff.compile(lambda x: (Tensor(x) * 2).sum(), fallback=False)
    for n in range(12):
        step(np.ones(n + 1))
    with pytest.raises(CompileError, match="runs eagerly"):
        [step(np.ones(n)) for n in range(30, 40)]


def test_modes_that_watch_see_every_operation() -> None:
    step, plain, _ = training()
    with autodiff.detect_anomaly(), pytest.warns(CompileWarning, match="watches"):
        step(*batch())
    assert (step.recordings, step.eager) == (0, 1)
    with autodiff.no_grad():
        inference = autodiff.compile(lambda x: (Tensor(x) * 2).sum())
        assert [inference(np.ones(3)).item() for _ in range(3)] == [6.0] * 3
    assert inference.replays == 2
    assert plain is step.__wrapped__


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="takes a function"):
        autodiff.compile(3)
    with pytest.raises(TypeError, match="missing"):
        training()[0](np.ones((2, 12), np.float32))


def test_a_method_and_a_decorator_with_options() -> None:
    class Doubling:
        factor = 2.0

        @autodiff.compile
        def twice(self, x: Any) -> Any:
            return Tensor(x) * self.factor

        @autodiff.compile(check=True)
        def again(self, x: Any) -> Any:
            return Tensor(x) * self.factor

    thing = Doubling()
    for factor in (2.0, 3.0):
        thing.factor = factor
        assert thing.twice(np.ones(1)).item() == thing.again(np.ones(1)).item() == factor
    assert isinstance(Doubling.twice, Compiled)


def double(x: Any) -> Any:
    return (Tensor(x) * 2).sum()


def test_copies_and_pickles() -> None:
    step = autodiff.compile(double)
    step(np.ones(2))
    for again in (copy.copy(step), copy.deepcopy(step), pickle.loads(pickle.dumps(autodiff.compile(double.__call__)))):
        assert again(np.ones(2)).item() == 4.0
        assert again.recordings == 1


def test_steps_within_steps_and_recursion() -> None:
    inner = autodiff.compile(lambda x: x * 2)
    outer = autodiff.compile(lambda x: inner(inner(Tensor(x, requires_grad=True))).sum())
    assert [outer(np.ones(3)).item() for _ in range(3)] == [12.0] * 3
    assert (outer.replays, inner.recordings) == (2, 0)

    @autodiff.compile
    def down(n: int, x: Any) -> Any:
        return x if n == 0 else down(n - 1, x * 2)

    assert [down(3, Tensor(1.0)).item() for _ in range(3)] == [8.0] * 3


def test_a_hundred_threads_record_and_run_at_once() -> None:
    found: dict[int, Any] = {}
    shared = autodiff.compile(double)

    def work(number: int) -> None:
        w = Tensor(np.full(5, float(number)), requires_grad=True)

        def step(x: Any) -> Any:
            (w * x).sum().backward()
            return shared(w.grad)

        mine = autodiff.compile(step)
        found[number] = [mine(np.arange(5.0)).item() for _ in range(4)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: [20.0, 40.0, 60.0, 80.0] for i in range(100)}


def test_what_a_step_hands_to_threads_and_tasks() -> None:
    later: list[Any] = []

    def step(x: Any) -> Any:
        t = Tensor(x, requires_grad=True)
        y = t * 2
        found: list[Any] = []
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(lambda: found.append((y * 3).sum().item())))
        thread.start()
        thread.join()
        later.append((contextvars.copy_context(), y))
        y.sum().backward()
        return found[0], t.grad

    compiled = autodiff.compile(step)
    for i in range(4):
        number, g = compiled(np.ones(3) + i)
        assert (number, g.tolist()) == (18.0 * (1 + i), [2.0] * 3)
    context, y = later[0]
    assert context.run(lambda: (y * 3).sum().item()) == 18.0


def test_coroutines_and_generators_run_outside() -> None:
    @autodiff.compile
    async def waiting(x: Any) -> Any:
        await asyncio.sleep(0)
        return (Tensor(x) * 2).sum().item()

    @autodiff.compile
    def parts(x: Any) -> Any:
        for i in range(3):
            yield (Tensor(x) * i).sum().item()

    for _ in range(3):
        assert asyncio.run(waiting(np.ones(3))) == 6.0
        assert list(parts(np.ones(3))) == [0.0, 3.0, 6.0]


def test_nothing_of_the_process_is_touched() -> None:
    module = sys.modules[__name__]
    seen: list[Any] = []

    def step(x: Any) -> Any:
        seen.append((np is sys.modules["numpy"], vars(module)["np"] is np, sys.getprofile(), sys.gettrace()))
        return (Tensor(x) * 2).sum()

    profile, trace = sys.getprofile(), sys.gettrace()
    compiled = autodiff.compile(step)
    for _ in range(4):
        compiled(np.ones(3))
    assert seen == [(True, True, profile, trace)] * 4


def wide(kind: str = "plain") -> Any:
    g = np.random.default_rng(0)
    middle = {"plain": [], "batchnorm": [nn.BatchNorm1d(512)], "layernorm": [nn.LayerNorm(512)]}[kind]
    model = nn.Sequential(nn.Linear(1024, 512, generator=g), *middle, nn.ReLU(), nn.Linear(512, 10, generator=g))
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    x, y = g.standard_normal((256, 1024)).astype(np.float32), g.integers(0, 10, 256)

    def step() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, model


def test_the_plan_can_be_read_and_drawn(tmp_path: Any) -> None:
    step, _, _ = training()
    assert step.plan is None
    for _ in range(4):
        step(*batch())
    plan = step.plan
    assert (len(plan.entries), plan.prepared, len(plan.passes)) == (4, 4, 1)
    assert plan.calls > 10
    text = str(plan)
    assert "linear" in text
    assert "backward pass from 3" in text
    compile(text, "<plan>", "exec")
    assert plan.dot.count("->") == 4
    assert plan.save(tmp_path / "plan.dot").read_text() == plan.dot
    with pytest.raises(ArgumentError, match="suffix"):
        plan.save(tmp_path / "plan.doc")
    assert "backward" in plan.save(tmp_path / "plan.svg").read_text()


def test_checking_runs_both_and_notices_a_difference() -> None:
    step, _, _ = training(check=True)
    for _ in range(5):
        step(*batch())
    first = step.plan.entries[0]
    follow = first.code.follow

    def wrong(run: Any, inputs: Any, attrs: Any) -> Any:
        result = follow(run, inputs, attrs)
        result._data += 1
        return result

    first.code.follow = wrong
    with pytest.raises(CompileError, match="linear differs"):
        step(*batch())


@pytest.mark.parametrize("kind", ["plain", "batchnorm", "layernorm"])
def test_memory_of_results_is_used_again_when_nobody_holds_it(kind: str) -> None:
    plain, model = wide(kind)
    step = autodiff.compile(plain)
    for _ in range(5):
        step()
    before = step.plan.nbytes
    weight = model[0].weight
    assert weight.grad.nbytes > 1 << 20
    for _ in range(3):
        step()
    assert step.plan.nbytes == before
    held, rows = weight.grad, weight.grad[3:5]
    values, shown = held.copy(), rows.copy()
    step()
    weight.grad = None
    step()
    assert step.plan.nbytes > before  # what is held has kept its memory
    assert same_bits([held, rows], [values, shown])
    del held
    step()
    assert same_bits(rows, shown)


def test_what_is_prepared_is_not_kept_alive_by_it() -> None:
    step = autodiff.compile(lambda x: (Tensor(x, requires_grad=True) * 2).sum())
    x = np.ones(1000)
    for _ in range(4):
        step(x)
    count = sys.getrefcount(x)
    for _ in range(4):
        step(x)
    assert sys.getrefcount(x) == count == 2


for _name in ("linalg", "signal", "special", "stats"):
    importlib.import_module(f"autodiff.{_name}")  # whose operations are tried as well
LENGTHY = "betainc_slope betainccinv betaincinv hyperu hyperu_slope kv_slope zeta_slope".split()
OPS = [pytest.param(name, marks=[pytest.mark.slow] if name in LENGTHY else []) for name in sorted(registry)]


@pytest.mark.parametrize("name", OPS)
def test_every_operation_both_ways(name: str) -> None:
    """Value and gradients of an operation's own example, prepared as wholes, and as one function under ``jit``."""
    op = registry[name]
    draw = RandomDraw(np.random.default_rng(5))
    args, kwargs = sample_call(op, draw)
    places = gradient_places(op, args, kwargs)

    def call(*inputs: Any) -> Any:
        full = list(args)
        leaves = [Tensor(a, requires_grad=True) for a in inputs]
        for place, leaf in zip(places, leaves, strict=True):
            full[place] = leaf
        out = op.function(*full, **kwargs)
        outs = [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(o, Tensor)]
        reached = [o for o in outs if o.requires_grad]
        for o in reached:
            o.backward(np.ones(o.shape, o.dtype), retain_graph=True)
        found = (
            autodiff.gradients(reached, leaves, [np.ones(o.shape, o.dtype) for o in reached], allow_unused=True)
            if leaves and reached
            else []
        )
        return [o.detach() for o in outs], [leaf.grad for leaf in leaves], list(found)

    usual = name in autodiff._AT_IMPORT
    runs = [autodiff.compile(call), autodiff.jit(call), *([autodiff.compile(call, check=True)] if usual else [])]
    inputs = [args[i] for i in places]
    for scale in (1.0, 1.0, 0.97, 0.95) if usual else (1.0, 1.0, 0.97):
        moved = [a * scale if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in inputs]
        expected = call(*moved)
        assert all(same_bits(run(*moved), expected) for run in runs)
    step: Any = runs[0]
    assert step.replays >= 2
    assert not any(entry.why for entry in step.plan.entries)


@settings(deadline=None)
@given(strategies.expressions())
def test_random_expressions(case: Any) -> None:
    function, point = case
    both = autodiff.value_and_grad(lambda *xs: function(*xs).sum(), argnums=(0, 1))
    step = autodiff.compile(both, fallback=False)
    for shift in (0.0, 0.0, 0.25, 0.5):
        moved = [x + shift for x in point]
        assert same_bits(step(*moved), both(*moved))
    assert step.replays == 3


def test_the_mode_of_the_kernels_may_change_between_calls() -> None:
    x = np.random.default_rng(0).normal(size=(64, 200)).astype(np.float32)
    w = Tensor(np.ones(200, np.float32), requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = None
        (F.layer_norm(Tensor(x), 200, w) ** 2).sum().backward()
        return w.grad

    compiled = autodiff.compile(step)
    before = kernels.use("auto")
    try:
        for mode in ("auto", "auto", "auto", "numpy", "numpy", "numpy", "auto"):
            kernels.use(mode)
            assert same_bits(compiled(x), step(x))
    finally:
        kernels.use(before)


@pytest.mark.filterwarnings("ignore::autodiff.CompileWarning")
def test_shapes_that_depend_on_values() -> None:
    def masked(x: Any) -> Any:
        t = Tensor(x, requires_grad=True)
        (t[x > 0] ** 2).sum().backward()
        return t.grad

    def ignored(x: Any) -> Any:
        t = Tensor(x.reshape(3, 2), requires_grad=True)
        target = np.where(x[:3] > 0, 0, -100)
        F.cross_entropy(t, target, ignore_index=-100, reduction="sum").backward()
        return t.grad

    for step in (masked, ignored):
        compiled = autodiff.compile(step)
        for i in range(12):
            x = np.random.default_rng(i // 5 * 3 + i % 2).normal(size=6)
            assert same_bits(compiled(x), step(x))


def test_warnings_and_errors_come_where_they_come() -> None:
    def step(x: Any) -> Any:
        t = Tensor(x, requires_grad=True)
        try:
            with np.errstate(divide="raise"):
                y = np.log(t)
        except FloatingPointError:
            return "caught"
        y.sum().backward()
        return t.grad

    compiled = autodiff.compile(step)
    for values in ([1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [0.0, 2.0], [1.0, 3.0]):
        assert same_bits(compiled(np.array(values)), step(np.array(values)))

    negative = autodiff.compile(lambda x: np.sqrt(Tensor(x, requires_grad=True)).sum().item())
    for value in (1.0, 1.0, 1.0, -1.0):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            negative(np.full(3, value))
        assert [str(w.message) for w in caught] == ["invalid value encountered in sqrt"] * (value < 0)


def test_a_large_constant_that_is_let_go_of_early_is_still_told_to_pictures() -> None:
    layer, x = nn.LayerNorm(128), autodiff.tensor(np.ones((16, 64, 128), np.float32))
    step = autodiff.compile(lambda: layer(x))
    for _ in range(4):
        out = step()
        np.testing.assert_array_equal(out.data, layer(x).data)
        assert out._node.noted[0][:2] == (0, x.shape)


@pytest.mark.parametrize("check", [False, True])
def test_the_gradient_of_a_complex_leaf_is_the_direction_of_descent(check: bool) -> None:
    w = Tensor(np.array([1 + 2j, 3 - 1j]), requires_grad=True)

    def call(x: Any) -> Any:
        w.grad = None
        loss = np.sum(np.abs(np.exp(w * x) * np.conj(w)) ** 2)
        loss.backward()
        return loss.item(), w.grad

    step = autodiff.compile(call, check=check)
    for i in range(5):
        assert same_bits(step(np.array([0.1j, 0.2]) * i), call(np.array([0.1j, 0.2]) * i))
    assert step.replays == 4


def test_a_number_in_the_place_of_an_array() -> None:
    w = Tensor(np.ones(3, np.float32), requires_grad=True)

    def call(b: Any) -> Any:
        w.grad = None
        ((w * 2 + b) ** 2).sum().backward()
        return w.grad

    step = autodiff.compile(call)
    for b in [np.ones(3, np.float32)] * 3 + [1, True, np.float32(2), 0.5, None, [1, 2, 3]] * 3:
        if b is None:
            with pytest.raises(autodiff.AutodiffError):
                step(b)
        else:
            assert same_bits(step(b), call(b))


def test_a_function_with_a_rule_of_its_own() -> None:
    twice = autodiff.custom_vjp(lambda x: np.sin(x))
    twice.defvjp(lambda x: (np.sin(x), x), lambda x, g: (2 * g * np.cos(x),))
    half = autodiff.custom_jvp(lambda x: x * 1.0)
    half.defjvps(lambda t, out, x: t * 0.5)
    w = Tensor(np.ones(3), requires_grad=True)

    def call(x: Any) -> Any:
        w.grad = None
        (half(twice(w * x)) ** 2).sum().backward()
        return w.grad

    step = autodiff.compile(call)
    for i in range(20):
        assert same_bits(step(np.arange(3.0) + i), call(np.arange(3.0) + i))
    assert step.replays == 19


def test_checking_warns_once_and_leaves_hooks_alone() -> None:
    w, seen = Tensor(np.ones(3), requires_grad=True), []

    def call(x: Any) -> Any:
        h = np.log(w * x)
        h.register_hook(lambda g: seen.append(g.data.copy()))
        h.retain_grad()
        h.sum().backward()
        return h.grad

    step = autodiff.compile(call, check=True)
    for i in range(5):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert same_bits(step(np.array([1.0, 0.0, 2.0])), np.ones(3))
        assert len([w for w in caught if "divide" in str(w.message)]) == 1
        assert len(seen) == i + 1


@pytest.mark.parametrize("multiplied", [False, True])
def test_a_branch_that_is_not_taken_is_zero_in_a_prepared_pass(multiplied: bool) -> None:
    """A cotangent of zeros alone gives zeros through operations at an undefined point. Of fused ones it is asked on the
    way, without leaving the code; of those that multiply at the end.
    """
    w = Tensor(np.array([[1.0, 2.0], [3.0, -1.0]]), requires_grad=True)

    def call(x: Any, seed: Any) -> Any:
        w.grad = None
        t = w * x if multiplied else Tensor(w.data * x, requires_grad=True)
        F.softmax(F.gelu(t), 1).backward(seed)
        return w.grad if multiplied else t.grad

    step, whole = autodiff.compile(call), autodiff.jit(call, state=w)
    with np.errstate(all="ignore"):
        for x, share in [(1.0, 1.0)] * 4 + [(np.nan, 0.0), (np.inf, 0.0), (np.nan, 1.0), (1.0, 0.0), (1.0, 1.0)]:
            seed = np.full((2, 2), share)
            wanted = call(x, seed)
            assert same_bits(step(x, seed), wanted)
            if multiplied:
                whole(x, seed)
                assert same_bits(w.grad, wanted)
        assert np.isnan(call(np.nan, np.ones((2, 2)))).any()
    (prepared,) = step.plan.passes
    assert (".item(0)" in str(prepared.code)) is not multiplied
    assert ("vdot" in str(prepared.code)) is multiplied


@pytest.mark.parametrize("first", range(6))
def test_code_made_for_one_kind_of_argument_meets_another(first: int) -> None:
    """The facts of code that is asked and does not fit may be asked of anything: an array where there was None, a slice
    where there was a tuple, a tuple that is shorter.
    """

    def call(x: Any, index: Any, mask: Any) -> Any:
        t = Tensor(x, requires_grad=True)
        loss = np.sum(t[index] ** 2) + np.sum(F.scaled_dot_product_attention(t, t, t, attn_mask=mask))
        loss.backward()
        return loss, t.grad

    x = np.random.default_rng(0).normal(size=(3, 3))
    indices = [(1, 2), slice(1, 3), (slice(None), -1), 0, np.array([0, 0, 2]), (np.array([0, 1]), np.array([1, 1]))]
    masks = [None, np.tril(np.ones((3, 3), bool)), np.triu(np.full((3, 3), -1e9), 1)]
    step = autodiff.compile(call)
    for i in range(12):
        index, mask = indices[(first + i // 4) % 6], masks[(first + i // 4) % 3]
        assert same_bits(step(x, index, mask), call(x, index, mask))
    for index in indices:
        for mask in masks:
            assert same_bits(step(x, index, mask), call(x, index, mask))


def test_what_is_recorded_is_what_the_engine_does() -> None:
    """The einsum of three reads its cotangent as BLAS finds it in memory: full, not repeated."""
    slopes = autodiff.grad(lambda a, b, c: np.einsum("bij,bjk,kl->bl", a, b, c).sum() ** 2, argnums=(0, 1, 2))
    step, whole = autodiff.compile(slopes), autodiff.jit(slopes)
    for i in range(6):
        r = np.random.default_rng(i)
        a, b, c = r.normal(size=(2, 3, 3)), r.normal(size=(2, 3, 3)), r.normal(size=(3, 2))
        wanted = slopes(a, b, c)
        assert same_bits(step(a, b, c), wanted)
        assert same_bits(whole(a, b, c), wanted)
    assert step.replays


@pytest.mark.parametrize("where", ["prepare", "walked"])
def test_code_that_differs_from_the_engine_is_not_adopted(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded is compared with the engine's own result, forward and back, before it serves."""
    from autodiff.compiler import walked
    from autodiff.compiler.private import private

    def another(function: Any) -> Any:
        made = private(function)
        return lambda *args, **kwargs: made(*args, **kwargs) * 1.5

    monkeypatch.setattr(f"autodiff.compiler.{where}.in_one_call", another)
    monkeypatch.setattr(walked, "_shadows", {})
    slope = autodiff.grad(lambda x: np.sum(np.sinh(x) * 3))
    step = autodiff.compile(slope)
    for i in range(5):
        assert same_bits(step(np.ones(3) * i), slope(np.ones(3) * i))
    assert not (step.plan.passes if where == "walked" else any(entry.code for entry in step.plan.entries))


def test_what_a_node_keeps_of_a_large_input_is_there_when_the_engine_goes_back() -> None:
    """An operation's code may let go of what it made, not of what it was given: the node may read its shape."""
    w = Tensor(np.eye(4) * 0.5, requires_grad=True)

    def step(x: Any) -> Any:
        h = x @ w
        h = h / (np.linalg.norm(h) + 1)
        (h**2).mean().backward()
        found, w.grad = w.grad, None
        return found

    compiled = autodiff.compile(step)
    for i in range(4):
        x = np.random.default_rng(i).normal(size=(3000, 4))
        assert same_bits(compiled(x), step(x))


@pytest.mark.parametrize("transform", [autodiff.hessian, autodiff.jacfwd, lambda f: autodiff.vmap(autodiff.grad(f))])
def test_rules_within_transforms_see_what_they_see_without(transform: Any) -> None:
    f = transform(lambda x: np.sum(np.tanh(x) ** 2 / np.cosh(x)))
    compiled = autodiff.compile(f)
    for i in range(3):
        x = np.random.default_rng(i).normal(size=(4, 3))
        assert same_bits(compiled(x), f(x))


def test_options_that_numpy_computed_are_read_as_they_come() -> None:
    step = autodiff.compile(lambda x, slope: F.leaky_relu(Tensor(x), slope).sum())
    smooth = autodiff.compile(lambda x, share: F.cross_entropy(x, np.array([0, 1]), label_smoothing=share))
    x = np.array([[1.0, -2.0], [0.5, -3.0]])
    for value in np.linspace(0.1, 0.5, 6):
        assert same_bits(step(x, value), F.leaky_relu(Tensor(x), value).sum())
        assert same_bits(smooth(x, value), F.cross_entropy(x, np.array([0, 1]), label_smoothing=value))
    assert (step.recordings, smooth.recordings) == (1, 1)
    assert not any(entry.why for entry in (*step.plan.entries, *smooth.plan.entries))
