"""Empty and 0-d inputs of every elementwise operation and reduction; every floating-point dtype."""

import warnings

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


@pytest.mark.parametrize("name", ["sum", "mean", "max", "std", "median", "cumsum", "cumprod", "sort", "flip", "roll"])
@pytest.mark.parametrize("shape", [(), (2,), (0,)])
def test_an_axis_that_is_not_there_fails_as_in_numpy(name, shape):
    more = (1,) if name == "roll" else ()
    for error in (np.exceptions.AxisError, ValueError, IndexError):
        with pytest.raises(error):
            getattr(np, name)(ad.tensor(np.ones(shape), requires_grad=True), *more, axis=2)


@pytest.mark.parametrize("f", [np.cumsum, np.cumprod, np.nancumsum])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_running_over_a_number_makes_a_row_in_every_mode(f, axis):
    x = np.array(1.5)
    square = lambda x: f(x * x, axis=axis)
    assert square(ad.tensor(x)).shape == square(x).shape == (1,)
    for derivative in (ad.jacfwd(square)(x), ad.jacrev(square)(x), ad.jvp(square, (x,), (np.array(1.0),))[1]):
        assert np.array_equal(derivative, [3.0])
    assert np.array_equal(ad.hessian(lambda x: np.sum(square(x)))(x), 2.0)


@pytest.mark.parametrize("f", [np.nanmedian, np.median])
def test_quantiles_of_nothing_are_numpys(f):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert np.isnan(f(ad.tensor(np.ones((2, 0)), requires_grad=True)).data)


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
