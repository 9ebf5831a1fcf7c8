"""Contractions of two operands: BLAS makes the large ones, and nothing else about them differs."""

from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.ops import products

CONTRACTIONS = [
    ("ij,jk->ik", (40, 30), (30, 50)),
    ("ij,kj->ki", (40, 30), (50, 30)),
    ("bqhd,bkhd->bhqk", (2, 9, 3, 8), (2, 11, 3, 8)),
    ("kij,nkj->nki", (5, 4, 4), (30, 5, 4)),
    ("abc,cbd->ad", (10, 6, 7), (7, 6, 12)),
]
ELSEWHERE = [("ij,ij->i", (40, 30), (40, 30)), ("ij,jk->ik", (40, 1), (30, 5)), ("ij,jk->k", (9, 9), (9, 9))]


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A low threshold; tells of what went to BLAS."""
    made: list[Any] = []
    matmul = np.matmul
    monkeypatch.setattr(products, "_PRODUCT", 1)
    monkeypatch.setattr(products, "_by_matmul", lambda *args, f=products._by_matmul: made.append(f(*args)) or made[-1])
    assert np.matmul is matmul
    return made


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize(("subscripts", "left", "right"), CONTRACTIONS + ELSEWHERE)
def test_forward_and_backward_are_those_of_einsum(
    low: list[Any], subscripts: str, left: Any, right: Any, dtype: Any
) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=shape).astype(dtype) for shape in (left, right))
    if dtype is np.complex128:
        y = y * (1 + 0.5j)
    out, pull = ad.vjp(lambda x, y: ad.einsum(subscripts, x, y), x, y)
    tolerance = 1e-4 if dtype is np.float32 else 1e-12
    assert out.dtype == dtype
    assert np.allclose(out, np.einsum(subscripts, x, y), rtol=tolerance, atol=tolerance)
    by_blas = [part is not None for part in low]
    assert by_blas == [(subscripts, left, right) in CONTRACTIONS] * len(by_blas)
    g = rng.normal(size=out.shape).astype(dtype)
    dx, dy = pull(g)
    (a, b), o = subscripts.split("->")[0].split(","), subscripts.split("->")[1]
    x, y = np.broadcast_to(x, left), np.broadcast_to(y, right)
    if (subscripts, left, right) in CONTRACTIONS:
        assert np.allclose(dx, np.einsum(f"{o},{b}->{a}", g, y), rtol=tolerance, atol=tolerance)
        assert np.allclose(dy, np.einsum(f"{o},{a}->{b}", g, x), rtol=tolerance, atol=tolerance)
        assert len(low) == 3
        assert all(part is not None for part in low)


def test_second_order_and_forward_mode(low: list[Any]) -> None:
    rng = np.random.default_rng(1)
    x, y, v = rng.normal(size=(4, 3)), rng.normal(size=(3, 5)), rng.normal(size=(4, 3))
    f = lambda x: np.sum(np.sin(ad.einsum("ij,jk->ki", x, y)))
    assert np.isclose(ad.jvp(f, (x,), (v,))[1], np.sum(ad.grad(f)(x) * v))
    assert np.allclose(ad.hvp(f, (x,), (v,)), ad.jvp(ad.grad(f), (x,), (v,))[1])
    assert low
