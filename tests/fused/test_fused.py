"""Fused primitives against PyTorch: values, gradients and second order; stability; both derivations of batchnorm."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff import fused as F
from autodiff.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.facts import sample_call
from autodiff.fused.common import column_products, number
from autodiff.testing import RandomDraw

torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
TF = torch.nn.functional
RTOL = 1e-10


def close(ours, theirs):
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=RTOL, atol=RTOL * max(1.0, np.abs(theirs).max(initial=0.0)))


def agree(ours, theirs, arrays, seed=0):
    """Output, gradients, and gradients of the gradients' squared sum."""
    xs = [ad.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    out, ref = ours(*xs), theirs(*ts)
    close(out.data, ref)
    g = np.random.default_rng(seed).normal(size=out.shape)
    first = ad.gradients(out, xs, g, create_graph=True)
    plain = ad.gradients(out, xs, g, retain_graph=True)
    reference = torch.autograd.grad(ref, ts, torch.tensor(g), create_graph=True)
    for a, b, c in zip(plain, first, reference, strict=True):
        close(a, c)
        close(b.data, c)
    total = sum((x * x).sum() for x in first)
    if not total.requires_grad:
        return  # the gradient is a constant
    second = ad.gradients(total, xs, allow_unused=True)
    reference2 = torch.autograd.grad(sum((x * x).sum() for x in reference), ts, allow_unused=True)
    for a, b in zip(second, reference2, strict=True):
        if a is not None and b is not None:
            close(a, b)


SHAPES = st.sampled_from([(4, 3), (2, 3), (5, 3, 4), (2, 3, 4, 5), (2, 3, 1, 2, 2)])


@given(SHAPES, st.integers(0, 2**31), st.booleans(), st.booleans(), st.sampled_from([1e-5, 0.1]))
def test_batch_norm(shape, seed, scaled, shifted, eps):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape) + 3, *([rng.normal(size=3)] * scaled), *([rng.normal(size=3)] * shifted)]

    def split(args):
        rest = list(args[1:])
        weight = rest.pop(0) if scaled else None
        return args[0], weight, rest.pop(0) if shifted else None

    def theirs(*args):
        x, weight, bias = split(args)
        # PyTorch's own second derivative fails without a weight.
        weight = torch.ones(3, dtype=torch.float64) if weight is None else weight
        return TF.batch_norm(x, None, None, weight, bias, True, eps=eps)

    agree(lambda *args: F.batch_norm(*split(args), eps=eps), theirs, arrays)
    mean, var = rng.normal(size=3), rng.uniform(0.5, 2.0, 3)

    def theirs_inference(*args):
        x, weight, bias = split(args)
        return TF.batch_norm(x, torch.tensor(mean), torch.tensor(var), weight, bias, False, eps=eps)

    def ours_inference(*args):
        x, weight, bias = split(args)
        return F.batch_norm_inference(x, mean, var, weight, bias, eps=eps)

    agree(ours_inference, theirs_inference, arrays)


@given(st.sampled_from([((4,), (3,)), ((2, 3), (4,)), ((2,), (3, 4)), ((), (5,))]), st.integers(0, 2**31))
def test_layer_norm(parts, seed):
    lead, inner = parts
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=lead + inner), rng.normal(size=inner), rng.normal(size=inner)]
    agree(lambda x, w, b: F.layer_norm(x, w, b, ndim=len(inner)), lambda x, w, b: TF.layer_norm(x, inner, w, b), arrays)
    agree(lambda x: F.layer_norm(x, ndim=len(inner)), lambda x: TF.layer_norm(x, inner), arrays[:1])


@given(st.sampled_from([(3,), (4, 3), (2, 5, 3), (0, 3)]), st.integers(0, 2**31))
def test_linear(shape, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape), rng.normal(size=(4, 3)), rng.normal(size=4)]
    agree(F.linear, TF.linear, arrays)
    agree(F.linear, TF.linear, arrays[:2])


@given(st.sampled_from([(3,), (4, 3), (2, 5, 3)]), st.integers(0, 2**31), st.sampled_from([-1, 0]))
def test_activations(shape, seed, axis):
    x = np.random.default_rng(seed).normal(size=shape)
    agree(lambda t: F.softmax(t, axis=axis), lambda t: TF.softmax(t, axis), [x])
    agree(lambda t: F.log_softmax(t, axis=axis), lambda t: TF.log_softmax(t, axis), [x])
    agree(lambda t: F.relu(t) * t, lambda t: TF.relu(t) * t, [x])


@given(
    st.sampled_from([(3,), (1, 3), (4, 3), (4, 3, 5), (2, 3, 4, 5)]),
    st.integers(0, 2**31),
    st.sampled_from(["none", "mean", "sum"]),
    st.sampled_from([0.0, 0.2]),
    st.booleans(),
    st.booleans(),
)
def test_cross_entropy(shape, seed, reduction, smoothing, weighted, probabilities):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 2.0, 3) if weighted else None
    their_weight = None if weight is None else torch.tensor(weight)
    options = {"reduction": reduction, "label_smoothing": smoothing}
    logits = rng.normal(size=shape)
    if probabilities:
        arrays = [logits, rng.uniform(0.1, 1.0, shape)]
        agree(
            lambda x, t: F.cross_entropy(x, t, weight, **options),
            lambda x, t: TF.cross_entropy(x, t, their_weight, **options),
            arrays,
        )
        return
    target = np.asarray(rng.integers(0, 3, () if len(shape) == 1 else (shape[0], *shape[2:])))
    if target.size > 1 and rng.random() < 0.5:
        target.reshape(-1)[0] = -100
    their_target = torch.tensor(target)
    agree(
        lambda x: F.cross_entropy(x, target, weight, **options),
        lambda x: TF.cross_entropy(x, their_target, their_weight, **options),
        [logits],
    )


def stages_of_batchnorm(g, x, w, eps):
    """The gradient by the chain rule through each stage of the graph, last stage first; d<name> has <name>'s shape."""
    axes, m = (0, *range(2, x.ndim)), x.size // x.shape[1]
    along = lambda vector: vector.reshape(-1, *(1,) * (x.ndim - 2))
    c = x - along(x.mean(axes))
    r = np.sqrt((c * c).mean(axes) + eps)
    xhat = c / along(r)
    dxhat = g * along(w)  # y = w xhat + b
    dr = -(dxhat * c).sum(axes) / r**2  # xhat = c / r
    dv = dr / (2 * r)  # r = sqrt(v + eps)
    dc = dxhat / along(r) + along(dv) * 2 * c / m  # xhat = c / r and v = mean(c^2): c was used twice
    dx = dc - along(dc.sum(axes)) / m  # c = x - mean(x)
    return dx, (g * xhat).sum(axes), g.sum(axes)


def test_both_derivations_of_batchnorm_agree(rng):
    for shape in ((6, 3), (4, 3, 5), (2, 3, 4, 5)):
        x, w, b = rng.normal(size=shape), rng.normal(size=3), rng.normal(size=3)
        g = rng.normal(size=shape)
        _, residuals = F.batch_norm.forward(x, w, b, eps=1e-3)
        sent = F.batch_norm.backward(g, residuals, (True, True, True))
        for a, c in zip(sent, stages_of_batchnorm(g, x, w, 1e-3), strict=True):
            np.testing.assert_allclose(a, c, rtol=1e-12, atol=1e-13)


def test_cross_entropy_is_stable_for_huge_logits():
    for dtype in (np.float32, np.float64):
        x = ad.tensor(np.array([[1e4, 0.0, -1e4]], dtype), requires_grad=True)
        loss = F.cross_entropy(x, np.array([1]))
        loss.backward()
        assert loss.dtype == dtype
        assert loss.item() == 1e4
        np.testing.assert_array_equal(x.grad, [[1.0, -1.0, 0.0]])


def test_float32_batchnorm_survives_a_large_mean(rng):
    x = rng.normal(size=(256, 4)) + 1000.0
    narrow = F.batch_norm(x.astype(np.float32)).data
    wide = F.batch_norm(x.astype(np.float32).astype(np.float64)).data
    assert narrow.dtype == np.float32
    assert np.abs(narrow - wide).max() < 1e-3


def test_a_masked_cotangent_does_not_leak():
    for dtype in (np.float16, np.float32, np.float64, np.longdouble):
        x = ad.tensor(np.array([-1.0, 2.0, 0.0], dtype), requires_grad=True)
        F.relu(x).backward(np.array([np.inf, 3.0, np.nan], dtype))
        np.testing.assert_array_equal(x.grad, np.array([0.0, 3.0, 0.0], dtype))


def test_dropout_scales_and_masks_with_the_promised_probability():
    generator = np.random.default_rng(0)
    for p in (0.0, 0.1, 0.5, 0.9, 1.0):
        mask = F.dropout_mask((200_000,), p, generator)
        assert abs(mask.mean() - (1 - p)) < (0 if p in (0, 1) else 4 * np.sqrt(p * (1 - p) / 200_000)) + 1e-12
        x = ad.tensor(np.ones(200_000), requires_grad=True)
        y = F.dropout(x, mask, p=p)
        y.sum().backward()
        np.testing.assert_array_equal(x.grad, y.data)
        if p < 1:
            np.testing.assert_allclose(np.unique(y.data)[-1], 1 / (1 - p))
    same = [F.dropout_mask((50,), 0.5, np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(*same)


def test_misuse_is_named():
    x = np.ones((2, 3))
    with pytest.raises(ShapeError, match=r"linear.*\(out, in\)"):
        F.linear(x, np.ones((3, 2)))
    with pytest.raises(ShapeError, match="two at least"):
        F.batch_norm(np.ones((1, 3)))
    with pytest.raises(ShapeError, match="3 channels"):
        F.batch_norm(x, np.ones(2))
    with pytest.raises(ShapeError, match="layer_norm: weight"):
        F.layer_norm(x, np.ones(2))
    with pytest.raises(ArgumentError, match=r"class index 3 at position 1 is outside \[0, 3\)"):
        F.cross_entropy(x, np.array([0, 3]))
    with pytest.raises(ShapeError, match="expected"):
        F.cross_entropy(x, np.array([0]))
    with pytest.raises(ArgumentError, match="reduction"):
        F.cross_entropy(x, np.array([0, 1]), reduction="average")
    with pytest.raises(ArgumentError, match="probability"):
        F.dropout_mask((2,), 1.5, np.random.default_rng())
    with pytest.raises(ArgumentError, match="default_rng"):
        F.dropout_mask((2,), 0.5, 0)
    with pytest.raises(ShapeError, match="mask"):
        F.dropout(x, np.ones(2, bool))
    weight = ad.tensor(np.ones(3), requires_grad=True)
    with pytest.raises(NotDifferentiableError, match=r"'weight'.*constant"):
        F.cross_entropy(ad.tensor(x, requires_grad=True), np.array([0, 1]), weight).backward()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.int64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 0), (5, 4), (300, 150)])  # the last is past where einsum takes over
def test_sums_of_products_over_rows_are_the_same_however_they_are_taken(shape, dtype, rng):
    x, y = (rng.integers(-3, 4, shape).astype(dtype) for _ in range(2))
    found = column_products(x, y)
    np.testing.assert_array_equal(found, (x * y).sum(axis=0))
    assert found.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("value", [3, 0.1, -0.01, 1 / 3])
def test_a_number_beside_an_array_gives_the_bits_that_pythons_own_gives(value, dtype, rng):
    x = rng.normal(size=50).astype(dtype)
    held = number(value, x.dtype)
    for kept, plain in ((x * held, x * value), (x / held, x / value), (x + held, x + value)):
        assert kept.dtype == plain.dtype == dtype
        np.testing.assert_array_equal(kept, plain)
    assert not isinstance(held, np.ndarray) or not held.flags.writeable


def rounded(value, kind):
    """A call's arrays of floats as whole numbers of a dtype."""
    return np.rint(3 * value).astype(kind) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


@pytest.mark.parametrize("name", [name for name, op in ad.registry.items() if op.fused])
def test_whole_numbers_are_taken_for_floats_or_refused(name):
    op = ad.registry[name]
    for seed in range(4):
        args, kwargs = sample_call(op, RandomDraw(np.random.default_rng(seed)))
        for mode in (contextlib.nullcontext, ad.composed):
            with mode(), np.errstate(all="ignore"):
                expected = op(*(rounded(a, float) for a in args), **kwargs)
                try:
                    found = op(*(rounded(a, int) for a in args), **kwargs)
                except (TypeError, ValueError, OverflowError):
                    continue
            pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
            for a, b in pairs:
                np.testing.assert_allclose(a.data, b.data, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, op in ad.registry.items() if op.fused])
def test_arrays_of_the_other_byte_order_are_taken(name):
    args, kwargs = sample_call(ad.registry[name], RandomDraw(np.random.default_rng(1)))
    turned = [a.astype(a.dtype.newbyteorder()) if isinstance(a, np.ndarray) else a for a in args]
    expected, found = ad.registry[name](*args, **kwargs), ad.registry[name](*turned, **kwargs)
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    for a, b in pairs:
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12, atol=1e-12)
