"""A long ``scan`` as one loop, of machine code or of plan calls: what the plain loop gives, in values, gradients,
warnings and refusals.
"""

import random
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.compiler import body
from autodiff.fast.thresholds import THRESHOLDS
from nn import functional as F

native: Any
try:
    from autodiff.compiler import native
except ImportError:
    native = None

CALLS = [] if native is None else [*native.ORDINARY, *native.CALLS]

RNG = np.random.default_rng(0)
W, V = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))
XS, START = RNG.normal(size=(9, 3)), RNG.normal(size=3)


@pytest.fixture(autouse=True, params=["native", "stepped"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A loop of any length is one, where its body can be."""
    kind: str = request.param
    if kind == "native" and native is None:
        pytest.skip("machine code needs llvmlite")
    monkeypatch.setattr(body, "compiles", lambda: kind == "native")
    monkeypatch.setitem(THRESHOLDS, "SCAN", replace(THRESHOLDS["SCAN"], value=1))
    return kind


@pytest.fixture
def served(how: str, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each loop over a body was one of the kind that is tested."""
    found: list[bool] = []
    original = body.loop_over

    def loop_over(*args: Any) -> Any:
        made = original(*args)
        found.append(made is not None and (type(made[0]._forward).__name__ == "Stepped") == (how == "stepped"))
        return made

    monkeypatch.setattr(body, "loop_over", loop_over)
    return found


def leaves(tree: Any) -> list[np.ndarray]:
    return [np.asarray(getattr(leaf, "data", leaf)) for leaf in ad.core.pytree.flatten(tree)[0]]


def same(run: Callable[..., Any], *args: Any, rtol: float = 1e-13) -> None:
    """``run`` gives under ``plain()`` what it gives without."""
    ours = run(*args)
    with ad.plain():
        plain = run(*args)
    for a, b in zip(leaves(ours), leaves(plain), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert np.allclose(a, b, rtol=rtol, atol=rtol, equal_nan=True)


def gru(carry: Any, x: Any) -> Any:
    z = 1 / (1 + np.exp(-(W @ carry + x)))
    h = (1 - z) * carry + z * np.tanh(V @ carry)
    return h, np.sum(h * x)


def stacked(carry: Any, x: Any) -> Any:
    a, (b, n) = carry["a"], carry["b"]
    new = np.stack([a[1], a[0] * x[0], np.sum(x)])
    table = np.concatenate([new, b.reshape(-1), x[[2, 0, 0]]])
    return {"a": np.where(new > 0, np.log(np.where(new > 0, new, 1)), new), "b": (b.T * 0.5, n + 1)}, (
        table,
        new.mean(),
    )


def written(carry: Any, x: Any) -> Any:
    rows = ad.tensor(np.zeros((4, 3))).at[1].set(carry).at[[0, 3], 1].add(x[:2])
    return rows[1] * np.sqrt(np.abs(rows[0] + 1)) + x, rows[::-1, 2]


def chosen(carry: Any, x: Any) -> Any:
    y = np.where(carry > 0, np.sqrt(np.abs(carry)), 0.0)  # whose gradient at 0 must be 0, not NaN
    return y - np.maximum(x, 0.1), np.minimum(y, x) + np.abs(x)


BODIES = [
    (gru, START),
    (stacked, {"a": START, "b": (np.ones((2, 2)), 0)}),
    (written, START),
    (chosen, np.array([1.0, -1.0, 0.0])),
    (lambda c, x: (c, x), START),
    (lambda c, x: ((c[1], c[0] + x), c[0]), (START, START * 2)),
    (lambda c, x: (ad.constant(c) * 0.5 + c * x, None), START),
    (
        lambda c, x: (c * np.prod(np.cos(x)) - np.sum(x[:, None] @ c[None, :], axis=0), np.outer(c, x).sum(axis=1)),
        START,
    ),
]


@pytest.mark.parametrize("checkpoint", [None, 4])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("number", range(len(BODIES)))
def test_values_and_gradients_are_the_plain_loops(
    served: list[bool], number: int, reverse: bool, checkpoint: Any
) -> None:
    f, start = BODIES[number]

    def run(start: Any, xs: Any) -> Any:
        return ad.scan(f, start, xs, reverse=reverse, checkpoint=checkpoint)

    def loss(start: Any, xs: Any) -> Any:
        return sum(np.sum(np.sin(part) * 1.0) for part in ad.core.pytree.flatten(run(start, xs))[0])

    same(run, start, XS)
    floats = number != 1
    same(ad.grad(loss, (0, 1) if floats else 1), start, XS)
    assert served
    assert all(served) or number == 7  # whose rule has a value decide


def test_a_value_that_decides_otherwise_in_a_later_step(served: list[bool]) -> None:
    xs = XS.copy()
    xs[5, 1], xs[7, :2] = 0, 0
    for f in (lambda c, x: (c * 0.5 + np.prod(x), None), lambda c, x: (np.abs(c) ** np.abs(x[0]) + c**2, None)):
        same(ad.value_and_grad(lambda start, xs, f=f: ad.scan(f, start, xs)[0], (0, 1)), 0.3, xs)
        same(ad.grad(lambda start, xs, f=f: ad.scan(f, start, xs)[0], (0, 1)), 0.0, xs)
    assert served


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ufunc", CALLS, ids=lambda u: u.__name__)
def test_every_call_is_numpys(served: list[bool], how: str, ufunc: Any, dtype: Any) -> None:
    if ufunc is np.where or "bitwise" in ufunc.__name__ or "logical" in ufunc.__name__ or ufunc is np.invert:
        f = lambda c, x: (np.where(~((c > x) & (c < 1)) ^ (x == 0) | np.logical_not(c > 0), c, x), c)
    elif ufunc.nin == 1:
        f = lambda c, x: (c + x, np.where(ufunc(c), c, x) if ufunc in (np.isnan, np.isfinite) else ufunc(c))
    elif ufunc(dtype(1), dtype(2)).dtype == bool:
        f = lambda c, x: (c + x, np.where(ufunc(c, x), c, x))
    else:
        f = lambda c, x: (c + x, ufunc(c, np.abs(x)))
    xs = np.tile(np.array([0.03, 0.0, -0.02, 0.05], dtype), (7, 1))
    start = np.array([1.0, 1.5, 1.2, 1.1], dtype) if ufunc is np.arccosh else np.array([0.3, 0.5, 0.2, 0.0], dtype)
    with np.errstate(all="ignore"):
        ours = ad.scan(f, start, xs)[1].data
        with ad.plain():
            plain = ad.scan(f, start, xs)[1].data
    assert served == [True]
    assert ours.dtype == plain.dtype == dtype
    if how == "stepped" or ufunc in native.ORDINARY or ufunc in (np.floor, np.ceil, np.sqrt, np.fabs):
        assert ours.tobytes() == plain.tobytes()
    else:
        assert np.allclose(ours, plain, rtol=4 * np.finfo(dtype).eps, atol=0, equal_nan=True)


def test_truths_are_compared_and_numbers_are_truths(served: list[bool]) -> None:
    def body(c: Any, x: Any) -> Any:
        more = (c > x) > (x > 0)
        return np.where(more, c * x, c + 0.5), np.where(np.logical_or(c - 1, x), c, 2.0)

    same(lambda start, xs: np.sum(ad.scan(body, start, xs)[1]), np.array([0.5, 1.0, -1.0]), RNG.normal(size=(9, 3)))
    assert served == [True]


def test_memory_in_another_order(served: list[bool]) -> None:
    start, xs = np.asfortranarray(RNG.normal(size=(3, 3))), np.asfortranarray(RNG.normal(size=(6, 3, 3)))

    def loss(start: Any, xs: Any) -> Any:
        last, ys = ad.scan(lambda c, x: (np.tanh(c.T @ x), c.T + x.T), start, xs)
        return np.sum(last * last) + np.sum(np.sin(ys.T))

    same(loss, start, xs)
    same(ad.grad(loss, (0, 1)), start, xs)
    assert all(served)


def test_what_is_closed_over_is_read_anew_and_gets_its_gradient(served: list[bool]) -> None:
    def f(w: Any, b: Any, k: float) -> Any:
        return np.sum(ad.scan(lambda c, x: (np.tanh(c * w + b * k) + x, c), START, XS)[1])

    for k in (0.5, 0.7, 0.5):
        b = RNG.normal(size=3)
        same(ad.grad(f, (0, 1)), RNG.normal(size=3), b, k)
    w = ad.tensor(0.3, requires_grad=True)
    f(w, START, 1.0).backward()
    assert np.isclose(w.grad, ad.grad(f)(0.3, START, 1.0))
    cell = nn.Linear(3, 3, dtype=np.float64)
    same(lambda xs: ad.scan(lambda c, x: (np.tanh(cell(c)) + x, c), START, xs), XS)
    assert all(served)


def test_orders_modes_and_transforms(served: list[bool]) -> None:
    f = lambda xs: np.sum(ad.scan(gru, START, xs)[1])
    v = RNG.normal(size=XS.shape)
    same(lambda: ad.hvp(f, (XS,), (v,)))
    same(lambda: ad.jvp(f, (XS,), (v,)))
    same(lambda: ad.vmap(lambda xs: ad.scan(gru, START, xs)[1])(np.stack([XS, v])))
    same(lambda: ad.jit(ad.grad(f))(XS))
    same(lambda: ad.jit(f)(XS))
    step = ad.compile(ad.grad(f))
    assert np.allclose([step(XS) for _ in range(3)], ad.grad(f)(XS), rtol=1e-13)
    assert served
    with ad.no_grad():
        assert ad.scan(gru, START, ad.tensor(XS, requires_grad=True))[1]._node is None


@pytest.mark.parametrize(
    "f",
    [
        lambda c, x: (c * (2.0 if float(np.sum(c)) > 0 else 3.0) + x, c),
        lambda c, x: (c + x if c[0] > 0 else c - x, c),
        lambda c, x: (c + x, 1.0),
    ],
)
def test_what_cannot_be_followed_is_the_plain_loop(served: list[bool], f: Any) -> None:
    same(lambda: ad.scan(f, START, XS))
    assert served == [False]


@pytest.mark.parametrize("f", [lambda c, x: (c + x, (c, np.ones(2))), lambda c, x: (START, (c * x, 1.0))])
def test_constants_among_the_results_of_a_body_with_checkpoints(f: Any) -> None:
    slope = lambda k: ad.grad(lambda xs: np.sum(ad.scan(f, START, xs, checkpoint=k)[1][0] * 2.0))(XS)
    assert np.array_equal(slope(4), slope(None))


def test_what_machine_code_cannot_do_is_done_by_plan_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    original = body.loop_over
    monkeypatch.setattr(body, "loop_over", lambda *args: found.append(original(*args)) or found[-1])
    start = np.array([1.0 + 2j, 0.5 - 1j])
    for f, first in ((lambda c, x: (np.cumsum(c + x), c), START), (lambda c, x: (np.exp(c * 0.1) * x[:2], c), start)):
        loss = lambda xs, f=f, first=first: np.sum(np.abs(ad.scan(f, first, xs)[1]) ** 2)
        same(ad.value_and_grad(loss), XS)
    assert {type(loop[0]._forward).__name__ for loop in found} == {"Stepped"}


def test_a_plan_serves_one_thread_at_a_time() -> None:
    xs = [RNG.normal(size=(300, 3)) for _ in range(8)]
    f = ad.grad(lambda xs: np.sum(ad.scan(gru, START, xs)[1]))
    wanted, found = list(map(f, xs)), [None] * len(xs)

    def run(i: int) -> None:
        found[i] = f(xs[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))


def test_warnings_and_errors_are_numpys() -> None:
    f = lambda c, x: (c * 100.0, np.exp(c) + x)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = ad.scan(f, START + 1, XS)[1].data
    assert any("overflow" in str(w.message) for w in caught)
    assert np.isinf(out).any()
    with np.errstate(over="raise"), pytest.raises(Exception, match="overflow"):
        ad.scan(f, START + 1, XS)
    with pytest.raises(ad.ShapeError, match="shape"):
        ad.scan(lambda c, x: (c[:2], None), START, XS)


def test_short_loops_are_python_and_long_ones_are_not(served: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(THRESHOLDS, "SCAN", replace(THRESHOLDS["SCAN"], value=512))
    ad.scan(gru, START, XS)
    assert served == []
    ad.scan(gru, START, np.ones((512, 3)))
    assert served == [True]


def test_large_arrays_are_left_to_numpy(served: list[bool]) -> None:
    same(lambda: ad.scan(lambda c, x: (np.tanh(c) + x[0], None), np.ones(5000), XS)[0])
    assert served == [False]


DRAWS: dict[str, Any] = {
    "numpy": lambda g, c: g.normal(size=2),
    "numpy, of one": lambda g, c: g.normal(),
    "global": lambda g, c: np.random.normal(),  # noqa: NPY002
    "python": lambda g, c: random.random(),
    "library": lambda g, c: ad.random.normal(c, 1.0, rng=g),
    "layer": lambda g, c: F.alpha_dropout(c, 0.3, True, generator=g),
    "a branch": lambda g, c: c if g.random() < 0.5 else -c,
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_body_that_draws_is_the_plain_loop(name: str) -> None:
    def body(c: Any, x: Any) -> Any:
        return 0.9 * c + x * DRAWS[name](g, c), c

    for _ in range(2):
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        g, expected = np.random.default_rng(0), ad.tensor(np.ones(2))
        for x in np.linspace(0, 1, 600):
            expected = body(expected, x)[0]
        after = g.bit_generator.state, random.getstate(), str(np.random.get_state())  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        g = np.random.default_rng(0)
        found, _ = ad.scan(body, np.ones(2), np.linspace(0, 1, 600))
        if threading.active_count() > 1:
            pytest.skip("among several threads nothing is put back")
        np.testing.assert_array_equal(found.data, expected.data)
        assert after == (g.bit_generator.state, random.getstate(), str(np.random.get_state()))  # noqa: NPY002


#: What derivatives of the second order, and of the first where zero meets infinity, find in the operations of a body.
AGAIN: dict[str, Any] = {
    "sorted": lambda c, x: np.sort(np.sin(c) * x),
    "in the order of the values": lambda c, x: np.sin(c) * x + c[np.argsort(c)] ** 2,
    "by indices along an axis": lambda c, x: np.take_along_axis(np.sin(c), np.argsort(c), -1) * x,
    "the middle ones": lambda c, x: np.partition(np.sin(c), 1) * x,
    "a number among the results": lambda c, x: np.sin(c) * F.softplus(np.sum(c * x)),
    "a number that is summed": lambda c, x: np.sin(c) * np.sum(np.sum(c * x), axis=-1),
    "infinity": lambda c, x: np.where(c > 9, 1 / (c - c), np.sin(c)) * F.softplus(np.sum(c) * x),
}


@pytest.mark.filterwarnings("ignore:(divide|invalid)")
@pytest.mark.parametrize("name", AGAIN)
def test_second_derivatives_are_the_plain_loops(name: str) -> None:
    def body(c: Any, x: Any) -> Any:
        c = AGAIN[name](c, x) + 0.1 * c
        return c, (np.sum(c), np.argmax(c))

    def plain(c: Any) -> Any:
        total = 0.0
        for x in np.linspace(0.5, 1.2, 4):
            c, (y, _) = body(c, x)
            total = total + y**2
        return np.sum(np.cos(c)) + total

    def scanned(c: Any) -> Any:
        c, (ys, _) = ad.scan(body, c, np.linspace(0.5, 1.2, 4))
        return np.sum(np.cos(c)) + np.sum(ys**2)

    number = [np.array(0.7)] if name in ("infinity", "a number that is summed") else []
    for start in (np.array([0.3, -0.4, 0.9]), np.array([-0.8, 0.5, 0.1]), *number):
        np.testing.assert_allclose(ad.grad(scanned)(start), ad.grad(plain)(start), rtol=1e-12)
        for second in (
            lambda f: ad.grad(lambda c: np.sum(ad.grad(f)(c) ** 2)),
            lambda f: ad.hessian(f),
            lambda f: ad.vmap(ad.grad(f), axis_size=2, in_axes=None),
        ):
            np.testing.assert_allclose(second(scanned)(start), second(plain)(start), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("zero", [np.float32(0.0), np.float32(-0.0)])
def test_loops_over_bodies_whose_constants_differ_in_a_sign(zero: Any) -> None:
    start = np.ones((), np.float32)

    def step(c: Any, x: Any) -> Any:
        return np.sin(c) + np.copysign(c.data * 0 + 1, zero), c

    expected = start
    for _ in range(600):
        expected = np.sin(expected) + np.copysign(np.float32(1), zero)
    np.testing.assert_allclose(ad.scan(step, start, np.ones(600, np.float32))[0], expected, rtol=1e-5)
