"""Chains of elementwise operations: the bits of NumPy's own calls, in blocks and in compiled loops."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from autodiff.compiler.passes.chains import CAST, LOOPS, POINTWISE, Chain, Step, Value

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="compiled loops need numba")
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


@pytest.mark.parametrize("ufunc", sorted(POINTWISE, key=lambda f: f.__name__), ids=lambda f: f.__name__)
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
