"""Chains of elementwise operations: native loops that give the bits of NumPy's own calls."""

import warnings
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import kernels

pytest.importorskip("numba")
from autodiff.compiler import native
from autodiff.compiler.native import ORDINARY
from autodiff.compiler.passes.chains import Chain
from autodiff.compiler.prepare import Arguments, Workshop, frozen_code
from autodiff.compiler.private import private, recording
from autodiff.compiler.record import Recorder

RNG = np.random.default_rng(0)
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, 2.0, 1e-40, -1e-40, 3e38, 1e-310, 88.7, -88.7, 710.0]


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


@pytest.fixture(autouse=True)
def always() -> Any:
    """Chains of any size."""
    before = kernels.use("numba")
    yield
    kernels.use(before)


def chained(f: Any, *args: Any) -> Any:
    """What ``f`` gives under jit, where it is to be one chain or more."""
    jitted = ad.jit(f)
    with np.errstate(all="ignore"):
        jitted(*args)
        assert "one native loop" in str(jitted.plans[0])
        return jitted(*args)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ufunc", sorted(ORDINARY, key=lambda f: f.__name__), ids=lambda f: f.__name__)
def test_a_loop_gives_numpys_bits(ufunc: Any, dtype: Any) -> None:
    x, y = hostile(3001, dtype, 1), hostile(3001, dtype, 2)
    x[::9], y[::9] = 0.0, -0.0
    x[1::9], y[1::9] = -0.0, 0.0
    y[2::9] = x[2::9]
    of_truths = ufunc is np.where or "logical" in ufunc.__name__ or "bitwise" in ufunc.__name__ or ufunc is np.invert

    def f(x: Any, y: Any) -> Any:
        if ufunc is np.where:
            return np.where(x > y, x, y) * 2
        args = ((x > y), (y < 0)) if of_truths else (x, y)
        made = ufunc(*args[: ufunc.nin])
        return np.where(made, x, y) if made.dtype == bool else np.where(x > 0, made, x)

    with np.errstate(all="ignore"):
        wanted = f(x, y)
    assert alike(chained(f, x, y), wanted)


@pytest.mark.parametrize(
    ("given", "to"), [("f4", "f8"), ("f8", "f4"), ("?", "f4"), ("i8", "f8"), ("i8", "f4"), ("f8", "?")]
)
def test_a_cast_gives_numpys_bits(given: str, to: str) -> None:
    x = (hostile(501, "f8", 3) if given[0] == "f" else RNG.integers(-(2**60), 2**60, 501)).astype(given)
    f = lambda x: np.where(x.astype(to) != 0, x.astype(to), 1)
    with np.errstate(all="ignore"):
        wanted = f(x)
    assert alike(chained(f, x), wanted)


def test_a_product_and_a_sum_are_rounded_one_after_the_other() -> None:
    x, y, z = (RNG.standard_normal(4096).astype(np.float32) for _ in range(3))
    exact = (x.astype(np.float64) * y + z).astype(np.float32)
    apart = x * y + z
    assert (exact != apart).any()  # the data tell a contracted operation
    assert chained(lambda x, y, z: x * y + z, x, y, z).tobytes() == apart.tobytes()


def test_operands_are_broadcast_and_lie_in_any_order() -> None:
    x, row, column = RNG.normal(size=(7, 5, 3)), RNG.normal(size=3), RNG.normal(size=(5, 1))
    turned, every, back = RNG.normal(size=(3, 5, 7)).T, RNG.normal(size=(7, 10, 3))[:, ::2], RNG.normal(size=3)[::-1]
    f = lambda *a: (a[0] * a[1] + a[2] - a[3]) * a[4] / a[5] + a[6] * 0.5
    args = x, row, column, turned, every, back, np.float64(0.7)
    assert chained(f, *args).tobytes() == f(*args).tobytes()


@pytest.mark.parametrize("kind", ["divide", "over", "invalid"])
def test_it_warns_and_raises_as_numpy_does(kind: str) -> None:
    def f(x: Any) -> Any:
        y = x * 1e200
        return y * y if kind == "over" else x / (x - 1) if kind == "divide" else (x - 1) / (x * 2 - 2)

    good = np.full(50, 0.5 if kind != "over" else 1e-100)
    jitted, bad = ad.jit(f), np.array([1.0, *good[1:]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jitted(good)
    assert "one native loop" in str(jitted.plans[0])
    for _ in range(2):
        with pytest.warns(RuntimeWarning) as seen:
            f(bad)
        with pytest.warns(RuntimeWarning) as ours:
            jitted(bad)
        assert [str(w.message) for w in ours] == [str(w.message) for w in seen]
        with np.errstate(**{kind: "raise"}), pytest.raises(FloatingPointError):
            jitted(bad)
        with np.errstate(**{kind: "ignore"}):
            jitted(bad)


@pytest.mark.parametrize("number", [0.5, np.float32(0.5), np.float64(1e-9), 3, 2**70, True])
def test_numbers_are_read_as_they_come(number: Any) -> None:
    x = RNG.normal(size=100).astype(np.float32)
    f = lambda x, c: (x * c + c) - x
    jitted = ad.jit(f)
    for c in (number, type(number)(number * 0.75)):
        assert same_array(jitted(x, c), f(x, c))


def same_array(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_calls_that_write_and_views_keep_their_order() -> None:
    def f(x: Any, y: Any) -> Any:
        a = x * y + 1
        first = a[:3] * 2
        a *= 2
        b = a - y
        turned = np.reshape(b, (2, -1)).T * 3
        b += first.sum()
        return a, b, first, turned, np.tanh(b) * a

    x, y = RNG.normal(size=(2, 12))
    for ours, wanted in zip(ad.jit(f)(x, y), f(x, y), strict=True):
        assert same_array(ours, wanted)


@pytest.mark.parametrize("ufunc", [np.less, np.greater, np.less_equal, np.greater_equal, np.not_equal, np.maximum])
def test_truths_are_compared_as_zero_and_one(ufunc: Any) -> None:
    x, y = RNG.random((2, 99)) < 0.5
    f = lambda x, y: np.where(ufunc(x, y), 1.5, 2.5) * 2
    assert same_array(ad.jit(f)(x, y), f(x, y))


@pytest.mark.parametrize("ufunc", [np.logical_and, np.logical_or, np.logical_xor, np.logical_not])
def test_numbers_are_true_where_they_are_not_zero(ufunc: Any) -> None:
    x, y = hostile(300, "f8", 4), RNG.integers(-1, 2, 300)
    f = lambda x, y: np.where(ufunc(*(x, y)[: ufunc.nin]), 1.5, 2.5) * 2
    assert same_array(chained(f, x, y), f(x, y))


def _program(rng: np.random.Generator) -> str:
    """Elementwise calls in plain NumPy, as the library's own functions make them: over what they made, into views."""
    lines: list[str] = []
    names, own = ["x0", "x1"], []
    two, one = ["add", "subtract", "multiply", "maximum"], ["negative", "absolute", "tanh", "exp2"]
    any_of = lambda values: values[rng.integers(len(values))]
    for n in range(rng.integers(4, 16)):
        kind = rng.integers(9) if own else 0
        if kind < 3:
            line = f"v{n} = np.{any_of(two)}({any_of(names)}, {any_of(names)})"
        elif kind == 3:
            line = f"v{n} = {any_of(names)}.copy()"
        elif kind == 4:
            lines.append(f"v{n} = {any_of(own)}.reshape(-1)[::-1]")
            names.append(f"v{n}")
            continue
        else:
            place = any_of(own)
            lines.append(
                [
                    f"np.{any_of(two)}({any_of(names)}, {any_of(names)}, out={place})",
                    f"np.{any_of(two)}({place}, {rng.normal():.3f}, out={place})",
                    f"np.{any_of(one)}({any_of(names)}, {place})",
                    f"np.multiply({place}[1:], 2.0, out={place}[1:])",
                ][kind - 5]
            )
            continue
        lines.append(line)
        names.append(f"v{n}")
        own.append(f"v{n}")
    outs = sorted({any_of(own) for _ in range(3)})
    return "def f(x0, x1):\n" + "".join(f"    {line}\n" for line in lines) + f"    return ({', '.join(outs)},)\n"


def test_calls_that_write_over_what_they_made_join_chains() -> None:
    """Random programs, each recorded and run on other numbers: to NumPy's bits, and many in loops."""
    chains = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        source = _program(rng)
        scope: dict[str, Any] = {"np": np, "__name__": "autodiff.fused.program"}
        exec(compile(source, "<program>", "exec"), scope)
        f, recorder = scope["f"], Recorder()
        taken = Arguments(recorder, True)
        with np.errstate(all="ignore"):
            standins = [taken.take(rng.normal(size=8), f"x{i}") for i in range(2)]
            with recording(recorder):
                outs = private(f)(*standins)
            code = frozen_code(Workshop(), recorder, taken.standins, tuple(outs), "f")
            chains += any(isinstance(value, Chain) for value in code.scope.values())
            for _ in range(2):
                given = rng.normal(size=(2, 8))
                for ours, wanted in zip(code.run(*given), f(*given.copy()), strict=True):
                    assert same_array(ours, wanted), source
    assert chains > 50


def test_a_backward_pass_of_calls_in_place_is_one_loop() -> None:
    """tanh's slope is computed over its own memory."""
    chain = lambda x, w: np.sum(np.tanh(np.tanh(x * w + w) * w + x))
    jitted = ad.jit(ad.value_and_grad(chain, (0, 1)))
    args = [RNG.normal(size=100) for _ in range(2)]
    (value, slopes), (wanted, others) = jitted(*args), ad.value_and_grad(chain, (0, 1))(*args)
    for ours, theirs in zip((value, *slopes), (wanted, *others), strict=True):
        assert same_array(ours, theirs)
    assert "np_multiply(" not in str(jitted.plans[0]).split("\ndef chain")[0]


def test_a_small_plan_has_no_chains() -> None:
    kernels.use("auto")
    jitted = ad.jit(lambda x: x * 2 + 1 - x)
    jitted(np.ones(100))
    assert "native" not in str(jitted.plans[0])
    jitted(np.ones(1 << 16))
    assert "one native loop" in str(jitted.plans[-1])


def test_what_is_given_is_read_where_it_lies() -> None:
    """Without a copy, wherever its bytes begin; what is returned is a copy all the same."""
    f = lambda x: (np.tanh(x * 2) * x - x / 3, x.copy())
    jitted = ad.jit(f)
    x = RNG.normal(size=500)
    memory = np.zeros(x.nbytes + 8, np.uint8)
    for shift in (0, 1, 3, 8):
        given = memory[shift : shift + x.nbytes].view(np.float64)
        given[:] = x
        ours, copied = jitted(given)
        assert same_array(ours, f(x)[0])
        assert same_array(copied, x)
        assert not np.shares_memory(copied, memory)
    slopes = ad.jit(ad.grad(lambda x: np.sum(np.tanh(x * x))))
    slopes(x)
    assert ".copy(" not in str(slopes.plans[0])
    assert "[...] = a0" not in str(slopes.plans[0])


def test_a_python_whose_objects_lie_otherwise_has_no_native_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_lie_as_known", lambda: False)
    f = lambda x: np.tanh(x * 2) * x - x / 3
    jitted, x = ad.jit(f), RNG.normal(size=500)
    assert same_array(jitted(x), f(x))
    assert "native" not in str(jitted.plans[0])
