"""``scan``, ``fori_loop``, ``while_loop``: the meaning is the Python loop, with derivatives of any order both ways."""

from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.testing import check_gradients


def loop(f: Any, init: Any, xs: Any, reverse: bool = False) -> tuple[Any, Any]:
    """What ``scan`` means, for arrays."""
    ys = []
    for x in reversed(xs) if reverse else xs:
        init, y = f(init, x)
        ys.append(y)
    return init, np.stack(ys[::-1] if reverse else ys)


def cell(carry: Any, x: Any) -> tuple[Any, Any]:
    h = np.tanh(carry * 0.7 + x)
    return h, h * x


X = np.random.default_rng(0).normal(size=(7, 3))
START = np.linspace(-1, 1, 3)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("checkpoint", [None, 1, 3, 7, 100])
def test_values_and_gradients_are_those_of_the_loop(reverse: bool, checkpoint: int | None) -> None:
    def both(run: Any) -> Any:
        last, ys = run()
        return np.sum(last * last) + np.sum(np.sin(ys))

    def ours(init: Any, xs: Any) -> Any:
        return both(lambda: ad.scan(cell, init, xs, reverse=reverse, checkpoint=checkpoint))

    def plain(init: Any, xs: Any) -> Any:
        return both(lambda: loop(cell, init, xs, reverse))

    assert float(ours(START, X)) == float(plain(START, X))
    for a, b in zip(ad.grad(ours, (0, 1))(START, X), ad.grad(plain, (0, 1))(START, X), strict=True):
        assert np.allclose(a, b, rtol=1e-14)


def test_orders_and_modes() -> None:
    f = lambda xs: np.sum(ad.scan(cell, START, xs)[1])
    check_gradients(f, X, order=2)
    v = np.random.default_rng(1).normal(size=X.shape)
    _, along = ad.jvp(f, (X,), (v,))
    assert np.isclose(along, np.sum(ad.grad(f)(X) * v), rtol=1e-12)


def test_checkpointed_loops_have_second_derivatives() -> None:
    f = lambda xs: np.sum(ad.scan(cell, START, xs, checkpoint=3)[1])
    g = lambda xs: np.sum(ad.scan(cell, START, xs)[1])
    assert np.allclose(ad.hvp(f, (X,), (X,)), ad.hvp(g, (X,), (X,)), rtol=1e-12)


def test_trees_and_what_is_closed_over() -> None:
    w = ad.tensor(0.5, requires_grad=True)
    xs = {"a": np.arange(3.0), "b": (np.ones((3, 2)), None)}

    def body(carry: Any, x: Any) -> Any:
        total = carry["total"] + w * x["a"] + np.sum(x["b"][0])
        return {"total": total}, {"half": total / 2}

    carry, ys = ad.scan(body, {"total": 0.0}, xs)
    assert carry["total"].item() == 7.5
    assert np.allclose(ys["half"].data, [1.0, 2.25, 3.75])
    carry["total"].backward()
    assert float(w.grad) == 3.0


def test_length_alone_and_no_steps() -> None:
    assert float(ad.scan(lambda c, _: (c * 2, None), 1.0, length=5)[0]) == 32.0
    assert ad.scan(lambda c, _: (c * 2, None), 1.0, length=5)[1] is None
    carry, ys = ad.scan(lambda c, x: (c + x, c), 1.0, np.zeros(0))
    assert float(carry) == 1.0
    assert ys is None


def test_float32_stays() -> None:
    carry, ys = ad.scan(lambda c, x: (c + x * 2, c), np.float32(0), np.ones(3, np.float32))
    assert carry.dtype == ys.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: ad.scan(cell, START, None), "number of steps"),
        (lambda: ad.scan(cell, START, X, length=6), "number of steps"),
        (lambda: ad.scan(cell, START, np.float64(1.0)), "leading axis"),
        (lambda: ad.scan(lambda c, x: c, START, X), "returns"),
        (lambda: ad.scan(lambda c, x: (c[:2], None), START, X), "shape"),
        (lambda: ad.scan(lambda c, x: (c * 1j, None), START, X), "dtype"),
        (lambda: ad.scan(lambda c, x: ((c, c), None), START, X), "structure"),
        (lambda: ad.scan(cell, START, X, checkpoint=0), "checkpoint"),
        (lambda: ad.scan(3, START, X), "function"),
        (lambda: ad.scan(cell, START, None, length=2.7), "length"),
        (lambda: ad.scan(cell, START, None, length=-1), "length"),
        (lambda: ad.scan(cell, START, X, checkpoint="all"), "checkpoint"),
        (lambda: ad.scan(lambda c, x: (c + 1, (x,) * int(c[0] + 1)), np.zeros(1), X), "structure"),
        (lambda: ad.fori_loop(0, 2.7, lambda i, c: c + i, 0.0), "integers"),
        (lambda: ad.while_loop(3, 4, 0.0), "function"),
    ],
)
def test_what_is_wrong_is_told(call: Any, word: str) -> None:
    with pytest.raises(ad.AutodiffError, match=word):
        call()


def test_for_and_while() -> None:
    power = lambda x: ad.fori_loop(0, 4, lambda i, c: c * x + i, 1.0)
    assert float(power(2.0)) == ((((1 * 2 + 0) * 2 + 1) * 2) + 2) * 2 + 3
    check_gradients(power, np.array(1.3))
    newton = lambda a: ad.while_loop(lambda x: np.abs(x * x - a) > 1e-12, lambda x: (x + a / x) / 2, a)
    assert np.isclose(float(ad.grad(newton)(2.0)), 0.5 / np.sqrt(2.0), rtol=1e-6)
