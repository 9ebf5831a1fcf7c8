"""Sums over a short last axis: the bits of NumPy's, in every layout."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.ops.short_sums import is_short, summed


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", range(2, 9))
def test_the_bits_are_numpys(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    plain = (rng.normal(size=(500, n)) * 10.0 ** rng.integers(-4, 4, (500, n))).astype(dtype)
    plain[:4] = [[-0.0], [np.inf], [np.nan], [0.0]]
    layouts = [plain, np.repeat(plain, 2, axis=1)[:, ::2], plain.reshape(5, 100, n), plain[:, ::-1].copy()]
    for x in layouts:
        assert is_short(x, -1) == (n < 8)
        for keepdims in (False, True) if n < 8 else ():
            ours, numpys = summed(x, keepdims), np.add.reduce(x, -1, keepdims=keepdims)
            assert ours.tobytes() == numpys.tobytes()
            assert keepdims or ours.strides == numpys.strides
    for other in (
        np.asfortranarray(plain),
        plain[::-1],
        plain.reshape(100, 5, n).transpose(1, 0, 2),
    ):  # the first of which NumPy adds by columns itself
        assert not is_short(other, -1)
    assert not is_short(plain, 0)


def test_everywhere_the_same() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 3)), rng.normal(size=(300, 1))

    def f(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.sum(np.sin(np.sum(x * y, axis=1)) * np.sum(x, axis=-1))

    slope = ad.grad(f, (0, 1))
    ours, jitted, compiled = slope(x, y), ad.jit(slope), ad.compile(slope)
    with ad.plain():
        plain = slope(x, y)
    for _ in range(3):
        for found in (ours, jitted(x, y), compiled(x, y)):
            assert all(a.tobytes() == b.tobytes() for a, b in zip(found, plain, strict=True))
