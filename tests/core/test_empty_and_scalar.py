"""Empty and 0-d inputs of every elementwise operation and reduction; every floating-point dtype."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.testing import RandomDraw

ELEMENTWISE = sorted(
    name
    for name, op in registry.items()
    if name in ad._AT_IMPORT and op.elementwise and all(rule is not None for rule in op.rules)
)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3, 1)])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_empty_inputs(name, shape):
    op = registry[name]
    leaves = [ad.tensor(np.ones(shape), requires_grad=True) for _ in op.inputs]
    out = op.function(*leaves)
    out.sum().backward()
    assert all(leaf.grad.shape == shape for leaf in leaves)


@pytest.mark.parametrize(
    "f",
    [
        np.sum,
        np.prod,
        np.cumsum,
        np.cumprod,
        np.sort,
        np.diff,
        np.ravel,
        np.flip,
        np.linalg.norm,
        np.nansum,
        lambda x: x @ x,
        lambda x: x[[]],
    ],
)
def test_empty_reductions(f):
    x = ad.tensor(np.ones(0), requires_grad=True)
    np.asarray(f(x.detach()).data)
    f(x).sum().backward()
    assert x.grad.shape == (0,)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_dtypes_are_kept_and_gradients_are_near(name, dtype):
    op = registry[name]
    args, _ = sample_call(op, RandomDraw(np.random.default_rng([1, *name.encode()])))
    wide = [ad.tensor(a, requires_grad=True) for a in args]
    op.function(*wide).sum().backward()
    narrow = [ad.tensor(a, requires_grad=True, dtype=dtype) for a in args]
    try:
        out = op.function(*narrow)
    except ad.DTypeError:
        pytest.skip(f"NumPy has no {name} for this dtype")
    out.sum().backward()
    eps = max(float(np.finfo(dtype).eps), 1e-16)
    for a, b in zip(narrow, wide, strict=True):
        assert a.grad.dtype == dtype
        np.testing.assert_allclose(a.grad.astype(float), b.grad, rtol=0, atol=64 * eps * max(1.0, np.abs(b.grad).max()))
