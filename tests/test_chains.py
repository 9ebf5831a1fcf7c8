"""Chains of elementwise operations in compiled plans: the bits, warnings and errors of the eager calls, in blocks and
in compiled loops.
"""

import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff
from autodiff import kernels
from autodiff.replay import chains, fusion
from autodiff.replay.chains import CAST, LOOPS, STEADY, Chain, Step, Value

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="compiled loops need numba")
MODES = ["numpy", pytest.param("numba", marks=needs_numba)]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, 2.0, 1e-40, -1e-40, 3e38, 1e-310, 88.7, -88.7, 710.0]


@pytest.fixture
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Chains of every size, in small blocks, in one of the modes of the kernels."""
    monkeypatch.setattr(chains, "BLOCK", 48)
    monkeypatch.setattr(fusion, "BLOCK", 48)
    monkeypatch.setattr(chains, "_LEAST", 8)
    monkeypatch.setattr(fusion, "LARGE", 8)
    before = kernels.use(request.param)
    yield request.param
    kernels.use(before)


def hostile(n: int, dtype: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    array = rng.standard_normal(n) * rng.choice([1e-3, 1.0, 30.0], n)
    array[rng.integers(0, n, n // 4)] = rng.choice(SPECIAL, n // 4)
    with np.errstate(over="ignore", under="ignore"):
        return array.astype(dtype)


def alike(a: Any, b: Any) -> bool:
    """To the bit, except that a NaN is a NaN: of two NaNs that meet, processors keep one or the other."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    return bool(
        np.array_equal(a, b, equal_nan=True)
        and np.array_equal(np.signbit(a[~np.isnan(a)]), np.signbit(b[~np.isnan(b)]))
    )


@pytest.mark.parametrize("ufunc", sorted(STEADY, key=lambda f: f.__name__), ids=lambda f: f.__name__)
def test_a_result_does_not_depend_on_where_in_an_array_its_element_lies(ufunc: Any) -> None:
    with np.errstate(all="ignore"):
        for dtype in (np.float32, np.float64):
            if f"{np.dtype(dtype).char * ufunc.nin}->" not in "".join(ufunc.types):
                dtype = bool
            n = 331
            args = [hostile(n, np.float64, seed).astype(dtype) for seed in range(ufunc.nin)]
            if ufunc.nin == 2:
                args[1][::7] = args[0][::7]  # ties, of zeros of either sign, too
                args[0][3::11], args[1][3::11] = (0.0, -0.0) if dtype is not bool else (True, False)
                if ufunc is np.power:
                    args[1] = np.broadcast_to(np.asarray(2.5, dtype), n)
            whole = ufunc(*args)
            for start in (*range(18), 33, 64, 65):
                for length in (1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 129, 256):
                    part = slice(start, start + length)
                    assert alike(ufunc(*(a[part] for a in args)), whole[part]), (dtype, start, length)
                    into = np.empty(length + 1, whole.dtype)[1:]
                    assert alike(ufunc(*(a[part] for a in args), out=into), whole[part]), (dtype, start, length)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_loops_give_numpys_bits(dtype: Any) -> None:
    n = 3001
    x, y = hostile(n, dtype, 1), hostile(n, dtype, 2)
    x[::9], y[::9] = 0.0, -0.0
    x[1::9], y[1::9] = -0.0, 0.0
    y[2::9] = x[2::9]
    one, two = Value("full", x.dtype), Value("full", x.dtype)
    flag, bit = np.dtype(bool), Value("number", int, 0)
    steps = [Step(np.greater, [one, two], Value("computed", flag)), Step(np.less, [two, bit], Value("computed", flag))]
    first, second = (step.out for step in steps)
    logical = {
        np.logical_and,
        np.logical_or,
        np.logical_xor,
        np.logical_not,
        np.bitwise_and,
        np.bitwise_or,
        np.bitwise_xor,
        np.invert,
    }
    for target in LOOPS:
        if target is CAST:
            steps.append(
                Step(CAST, [one], Value("computed", np.dtype(np.float64 if dtype is np.float32 else np.float32)))
            )
            steps.append(Step(CAST, [first], Value("computed", x.dtype)))
        elif target is np.where:
            steps.append(Step(np.where, [first, one, two], Value("computed", x.dtype)))
        else:
            truth = target in logical or not {"ff->?", "f->?"}.isdisjoint(target.types)
            args = [first, second] if target in logical else [one, two]
            steps.append(Step(target, args[: target.nin], Value("computed", flag if truth else x.dtype)))
    steps.append(Step(np.multiply, [first, one], Value("computed", x.dtype)))
    assert all(step.loop is not None for step in steps)
    for place, step in enumerate(steps):
        step.out.place = place
    outs = [np.empty(n, step.out.dtype) for step in steps]
    chain = Chain(steps, [one, two], [step.out for step in steps], n, None)
    chain.compile()
    assert chain.fused
    with np.errstate(all="ignore"):
        chain(x, y, *outs, *(np.empty(*block) for block in chain.scratch))
        known = {one: x, two: y}
        for step, out in zip(steps, outs, strict=True):
            args = [v.literal if v.kind == "number" else known[v] for v in step.args]
            known[step.out] = args[0].astype(step.out.dtype) if step.target is CAST else step.target(*args)
            assert alike(out, known[step.out]), step.target


@needs_numba
def test_a_product_and_a_sum_are_rounded_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    x, y, z = (rng.standard_normal(4096).astype(np.float32) for _ in range(3))
    exact = (x.astype(np.float64) * y + z).astype(np.float32)
    apart = x * y + z
    assert (exact != apart).any()  # the data tell a contracted operation
    values = [Value("full", x.dtype) for _ in range(3)]
    product, total = Value("computed", x.dtype), Value("computed", x.dtype, place=0)
    chain = Chain(
        [Step(np.multiply, values[:2], product), Step(np.add, [product, values[2]], total)],
        values,
        [total],
        x.size,
        None,
    )
    chain.compile()
    out = np.empty_like(x)
    chain(x, y, z, out, *(np.empty(*block) for block in chain.scratch))
    assert out.tobytes() == apart.tobytes()


# --- programs
# -----------------------------------------------------------------------------------------------------------------

UNARY = [
    "np.negative({})",
    "np.sqrt(np.abs({}))",
    "np.tanh({})",
    "np.exp(-np.abs({}))",
    "np.square({})",
    "np.sign({})",
    "np.maximum({}, 0)",
    "{}.astype(other)",
    "1 / (2 + np.abs({}))",
    "np.isnan({}).astype(like)",
    "{} * 0.3",
    "np.power({}, 2)",
    "np.where({} > 0, 2, 0.5)",
]
BINARY = [
    "{} + {}",
    "{} * {}",
    "{} - {}",
    "np.minimum({}, {})",
    "np.where({0} > {1}, {0}, {1})",
    "{} / (1 + np.abs({}))",
    "np.arctan2({}, {})",
    "{} + w * {}",
    "({} + c) * {}",
    "np.where({} > w, {}, 0)",
]
HAZARDS = [
    "{0} += {1}",
    "{0} *= 0.5",
    "{0}[2:5] = {1}[1:4]",
    "{0}[1:] = {0}[:-1]",
    "np.multiply({1}, {1}, out={0})",
    "{0}[:, 3] = 1",
    "{0}[::-1] -= {1}",
]
OTHERS = [
    "{0} / (1 + np.abs({1}.sum()))",
    "{0} - {1}.mean(axis=0)",
    "{0} * {1}.sum(axis=1, keepdims=True)",
    "{0} - {1}[::-1]",
    "{0}.reshape(-1)[::-1].reshape({0}.shape)",
    "{0} + f",
    "np.zeros_like({0}) + {1}",
    "({0} @ np.ones(({0}.shape[1], 1), {0}.dtype)) * {1}",
]


@st.composite
def programs(draw: st.DrawFn) -> str:
    """The source of a step in plain NumPy: elementwise operations that share inputs, with reductions, views and writes
    between them.
    """
    names, lines = ["x", "y"], []
    for number in range(draw(st.integers(4, 14))):
        kind = draw(st.sampled_from(["unary", "unary", "binary", "binary", "binary", "hazard", "other"]))
        one, other = draw(st.sampled_from(names[-5:])), draw(st.sampled_from(names[-5:]))
        if kind == "hazard":
            if one not in ("x", "y"):
                lines.append(draw(st.sampled_from(HAZARDS)).format(one, other))
            continue
        text = draw(st.sampled_from({"unary": UNARY, "binary": BINARY, "other": OTHERS}[kind]))
        lines.append(f"v{number} = {text.format(*([one] if kind == 'unary' else [one, other]))}")
        names.append(f"v{number}")
    kept = draw(st.sampled_from(names))
    body = "".join(f"    {line}\n" for line in ["like, other = x.dtype, np.dtype('fd'[x.dtype == np.float32])", *lines])
    return f"def step(x, y, w, c, f):\n{body}    return {' + '.join(names)}, {kept} * 1\n"


def arguments(seed: int, dtype: Any, strided: bool) -> list[Any]:
    """Two matrices, of which the second may not be contiguous, a row, a column, and a matrix in Fortran's order."""
    rng = np.random.default_rng(seed)
    x, y, f = (rng.standard_normal((9, 13)).astype(dtype) for _ in range(3))
    w, c = rng.standard_normal(13).astype(dtype), rng.standard_normal((9, 1)).astype(dtype)
    return [x, np.ascontiguousarray(y.T).T if strided else y, w, c, np.asfortranarray(f)]


def run_both(source: str, dtype: Any, strided: bool) -> Any:
    scope: dict[str, Any] = {"np": np}
    exec(source, scope)
    compiled = autodiff.compile(scope["step"])
    for call in range(4):
        # The results must not be held, or the next replay would have to leave them alone.
        wanted = [np.array(v) for v in _as_tuple(scope["step"](*arguments(call, dtype, strided)))]
        found = [np.array(v) for v in _as_tuple(compiled(*arguments(call, dtype, strided)))]
        assert len(wanted) == len(found)
        for one, other in zip(wanted, found, strict=True):
            assert alike(one, other), f"call {call}\n{source}\n{compiled.plan}"
    return compiled


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.parametrize("mode", ["numpy"], indirect=True)
def test_random_programs_in_blocks(mode: str) -> None:
    found: list[int] = []

    @settings(deadline=None, max_examples=60)
    @given(programs(), st.sampled_from([np.float32, np.float64]), st.booleans())
    def law(source: str, dtype: Any, strided: bool) -> None:
        with np.errstate(all="ignore"):
            compiled = run_both(source, dtype, strided)
        found.append(compiled.replays and str(compiled.plan).count("operations on"))

    law()
    assert sum(found) > len(found) / 2  # they hold chains, and replay


@needs_numba
@pytest.mark.parametrize("mode", ["numba"], indirect=True)
def test_random_programs_in_compiled_loops(mode: str) -> None:
    found: list[int] = []

    @settings(deadline=None, max_examples=5)
    @given(programs(), st.sampled_from([np.float32, np.float64]))
    def law(source: str, dtype: Any) -> None:
        with np.errstate(all="ignore"):
            compiled = run_both(source, dtype, False)
        found.append(compiled.replays and str(compiled.plan).count("numba,"))

    law()
    assert sum(found)


# --- warnings, errors, and what is shown
# ----------------------------------------------------------------------------------------


def _quotient(x: Any, y: Any) -> Any:
    a = x * 2 + y
    return np.sqrt(a / y - x) * a


@pytest.mark.parametrize("mode", MODES, indirect=True)
def test_warnings_and_errors_are_those_of_the_eager_calls(mode: str) -> None:
    x, y = hostile(208, np.float32, 1), hostile(208, np.float32, 2)
    x, y = np.clip(np.nan_to_num(x), -3, 3).reshape(16, 13), np.clip(np.nan_to_num(y), -3, 3).reshape(16, 13)
    compiled = autodiff.compile(_quotient)
    calm = np.abs(x) + 1
    for _ in range(3):
        assert alike(compiled(-calm, calm), _quotient(-calm, calm))
    assert "operations on" in str(compiled.plan)

    def told(step: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            step(x, y)
        return [str(w.message) for w in found]

    wanted = told(_quotient)
    assert len(wanted) == 3  # division by zero, overflow, the root of a negative number
    assert told(compiled) == wanted
    with np.errstate(all="ignore"):
        assert told(compiled) == []
        assert alike(compiled(x, y), _quotient(x, y))
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero encountered in divide"):
        compiled(x, y)
    with np.errstate(all="ignore"):
        assert alike(compiled(x, y), _quotient(x, y))
    tiny = np.full((16, 13), 1e-30, np.float32)
    with np.errstate(under="raise"), pytest.raises(FloatingPointError, match="underflow"):
        autodiff.compile(_quotient)(tiny * 1e-10, tiny * 1e-10)
    assert compiled.replays > 3


@pytest.mark.parametrize("mode", MODES, indirect=True)
def test_a_gradient_at_a_pole_is_the_eager_one_and_decides_nothing_in_a_loop(mode: str) -> None:
    """A cotangent of zero stays zero, another gives an infinity without a warning; what eager calls warn of is told."""

    def gradients(x: Any, y: Any, w: Any) -> Any:
        value, (gx, gy) = autodiff.value_and_grad(
            lambda x, y: (w * (x / y + np.sqrt(np.abs(x)) + np.log1p(y))).sum(), argnums=(0, 1)
        )(x, y)
        return gx, gy, value

    def told(step: Any, *case: Any) -> tuple[Any, set[str]]:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            result = step(*case)
        return result, {str(w.message) for w in found}

    compiled = autodiff.compile(gradients)
    rng = np.random.default_rng(0)
    x, y, w = (rng.uniform(1, 2, (16, 13)).astype(np.float32) for _ in range(3))
    for _ in range(3):
        assert all(map(alike, compiled(x, y, w), gradients(x, y, w)))
    x[3:6], y[5:9], y[9:11], w[4:8:2] = 0.0, -0.0, -1.0, 0.0
    w[:, 5] *= -1
    endless = np.float32(np.inf)
    for case in ((x, y, w), (np.where(x == 0, endless, x), np.where(y == 0, endless, y), w)):
        for _ in range(3):
            (found, ours), (wanted, eager) = told(compiled, *case), told(gradients, *case)
            assert all(map(alike, found, wanted))
            assert ours == eager
    assert np.isinf(told(compiled, x, y, w)[0][0]).any()
    assert ("count_nonzero" in str(compiled.plan)) == (mode == "numpy")
    assert (compiled.recordings == 1) == (mode == "numba"), (
        "only where nothing is compiled another plan holds beside a zero"
    )


@pytest.mark.parametrize("mode", MODES, indirect=True)
def test_a_plan_shows_its_chains(mode: str) -> None:
    def step(x: Any, w: Any) -> Any:
        y = np.tanh(x * w + 0.5) * x
        return (y - x / 2) * y

    x, w = np.ones((16, 13), np.float32), np.ones(13, np.float32)
    compiled = autodiff.compile(step)
    for _ in range(3):
        compiled(x, w)
    plan, text = compiled.plan, str(compiled.plan)
    if mode == "numba":
        assert "7 operations on 208 elements in 6 blocks of 39, numba, 2 loops" in text
        assert plan.calls == 3 * 6
    else:
        assert "7 operations on 208 elements in 6 blocks of 39, NumPy" in text
        assert "np.tanh(s0_" in text
        assert plan.calls == 7 * 6
    assert "multiply, add, tanh, multiply, divide, subtract, multiply" in plan.dot
    # Of seven results one is whole; the others need the memory of a block.
    assert plan.nbytes < 2 * x.nbytes
    compile(text, "<plan>", "exec")


@pytest.mark.parametrize("mode", MODES, indirect=True)
@pytest.mark.parametrize("held", [False, True])
def test_gradients_that_add_up_and_results_that_are_held(mode: str, held: bool) -> None:
    rng = np.random.default_rng(5)
    start, w = rng.standard_normal((16, 13)).astype(np.float32), rng.standard_normal((16, 13)).astype(np.float32)

    def make() -> Any:
        p = autodiff.Tensor(start.copy(), requires_grad=True)

        def step(x: Any) -> Any:
            y = (p * x + 1) * p / 3 - x
            (y * y * 0.5).sum().backward()
            return y.detach()

        return p, step

    (p, step), (q, other) = make(), make()
    compiled = autodiff.compile(other)
    kept: list[Any] = []
    for call in range(6):
        if call == 4:
            p.grad = q.grad = None  # which is another way, recorded anew
        wanted, found = step(w * call), compiled(w * call)
        assert alike(wanted.data, found.data)
        assert alike(p.grad, q.grad)
        if held:
            kept.append((wanted.data, found.data, p.grad.copy(), q.grad.copy()))
    assert all(alike(a, b) and alike(c, d) for a, b, c, d in kept)
    assert compiled.replays >= 3
    assert "operations on" in str(compiled.plan)
