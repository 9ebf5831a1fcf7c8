"""Batch renormalisation against the paper and three released codes written out in plain NumPy; its gradient with r and
d held; schedules.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.testing import check_gradients
from nn import functional as F

SHAPES = st.sampled_from([(4, 2), (3, 2, 3), (2, 2, 2, 2)])
# arguments of ours; the deviation of a batch; the running spread's update; what x is divided by; the running spread's
# name
CONVENTIONS = {
    "paper": ({"eps": 1e-2}, lambda v, m: np.sqrt(v + 1e-2), lambda v, m: np.sqrt(v + 1e-2), lambda s: s),
    "ludvb": (
        {"eps": 1e-3, "eps_mode": "outside"},
        lambda v, m: np.sqrt(v) + 1e-3,
        lambda v, m: np.sqrt(v) + 1e-3,
        lambda s: s,
    ),
    "titu1994": (
        {"eps": 1e-3, "statistic": "std_squared"},
        lambda v, m: np.sqrt(v + 1e-3),
        lambda v, m: v + 1e-3,
        lambda s: np.sqrt(s + 1e-3),
    ),
    "chainer": (
        {"eps": 2e-5, "statistic": "var", "ddof": 1},
        lambda v, m: np.sqrt(v + 2e-5),
        lambda v, m: v * m / (m - 1),
        lambda s: np.sqrt(s + 2e-5),
    ),
}


def along(vector, ndim):
    return vector.reshape(1, -1, *(1,) * (ndim - 2))


@pytest.mark.parametrize("name", CONVENTIONS)
@given(shape=SHAPES, seed=st.integers(0, 2**31), limits=st.sampled_from([(3.0, 5.0), (1.2, 0.3), (1.0, 0.0)]))
def test_conventions_over_several_batches(name, shape, seed, limits):
    options, deviation, stored, divisor = CONVENTIONS[name]
    rng = np.random.default_rng(seed)
    mean, spread = rng.normal(size=2), rng.uniform(0.5, 2.0, 2)
    our_mean, our_spread = ad.tensor(mean), ad.tensor(spread)
    weight, bias = rng.normal(size=2), rng.normal(size=2)
    axes, ndim, m = (0, *range(2, len(shape))), len(shape), np.prod(shape) // 2
    for _ in range(3):
        x = rng.normal(size=shape) * 1.5 + 0.5
        out = F.batch_renorm(
            x, our_mean, our_spread, weight, bias, True, 0.3, rmax=limits[0], dmax=limits[1], **options
        )
        mu, v = x.mean(axes), x.var(axes)
        sigma, s = deviation(v, m), divisor(spread)
        r, d = np.clip(sigma / s, 1 / limits[0], limits[0]), np.clip((mu - mean) / s, -limits[1], limits[1])
        expected = ((x - along(mu, ndim)) / along(sigma, ndim) * along(r, ndim) + along(d, ndim)) * along(
            weight, ndim
        ) + along(bias, ndim)
        np.testing.assert_allclose(out.data, expected, rtol=1e-11, atol=1e-11)
        mean, spread = 0.7 * mean + 0.3 * mu, 0.7 * spread + 0.3 * stored(v, m)
        np.testing.assert_allclose(our_mean.data, mean, rtol=1e-12)
        np.testing.assert_allclose(our_spread.data, spread, rtol=1e-12)
    out = F.batch_renorm(x, our_mean, our_spread, weight, bias, **options)
    expected = (x - along(mean, ndim)) / along(divisor(spread), ndim) * along(weight, ndim) + along(bias, ndim)
    np.testing.assert_allclose(out.data, expected, rtol=1e-11, atol=1e-11)


@given(
    shape=SHAPES,
    seed=st.integers(0, 2**31),
    limits=st.sampled_from([(3.0, 5.0), (1.2, 0.3)]),
    mode=st.sampled_from(["inside", "outside"]),
)
def test_gradient_is_pytorchs_with_r_and_d_detached(shape, seed, limits, mode):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape) + 1, rng.normal(size=2), rng.normal(size=2)]
    mean, std = rng.normal(size=2), rng.uniform(0.5, 2.0, 2)
    g = rng.normal(size=shape)
    ours = [ad.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = F.batch_renorm(ours[0], ad.tensor(mean), ad.tensor(std), *ours[1:], True, 0.0, 1e-2, *limits, eps_mode=mode)
    x, weight, bias = theirs
    axes, ndim = (0, *range(2, len(shape))), len(shape)
    mu, v = x.mean(axes), x.var(axes, unbiased=False)
    sigma = torch.sqrt(v + 1e-2) if mode == "inside" else torch.sqrt(v) + 1e-2
    r = (sigma / torch.tensor(std)).clamp(1 / limits[0], limits[0]).detach()
    d = ((mu - torch.tensor(mean)) / torch.tensor(std)).clamp(-limits[1], limits[1]).detach()
    reference = ((x - along(mu, ndim)) / along(sigma, ndim) * along(r, ndim) + along(d, ndim)) * along(
        weight, ndim
    ) + along(bias, ndim)
    expected = torch.autograd.grad(reference, theirs, torch.tensor(g))
    for a, e in zip(ad.gradients(out, ours, g), expected, strict=True):
        np.testing.assert_allclose(a, e.numpy(), rtol=1e-10, atol=1e-11)


def test_the_gradient_is_that_of_r_and_d_held_and_not_the_whole_derivative(rng):
    x, mean, std = rng.normal(size=(5, 2)), np.zeros(2), np.ones(2)
    plain = lambda t: ad.fused.batch_renorm(t, mean, std)
    # The reference holds what goes through constant(...) in the definition.
    assert check_gradients(plain, x).verdict == "pass"
    # With nothing clipped and fixed statistics the output is affine in x, and the whole derivative is 1 / s: not the
    # training gradient.
    np.testing.assert_allclose(plain(x).data, x - mean, atol=1e-12)
    leaf = ad.tensor(x, requires_grad=True)
    g = rng.normal(size=x.shape)
    assert np.abs(ad.gradients(plain(leaf), [leaf], g)[0] - g).max() > 0.1


def test_without_corrections_it_is_batch_normalisation(rng):
    x, w, b, g = rng.normal(size=(4, 3, 5)), rng.normal(size=3), rng.normal(size=3), rng.normal(size=(4, 3, 5))
    leaves = [[ad.tensor(a, requires_grad=True) for a in (x, w, b)] for _ in range(2)]
    mean, std = ad.tensor(rng.normal(size=3)), ad.tensor(rng.uniform(0.5, 2, 3))
    ours = F.batch_renorm(leaves[0][0], mean, std, *leaves[0][1:], True, rmax=1.0, dmax=0.0)
    plain = F.batch_norm(leaves[1][0], None, None, *leaves[1][1:], True)
    np.testing.assert_allclose(ours.data, plain.data, rtol=1e-12, atol=1e-13)
    for a, e in zip(ad.gradients(ours, leaves[0], g), ad.gradients(plain, leaves[1], g), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-11, atol=1e-12)


def test_the_papers_schedule_step_by_step():
    schedule = nn.LinearRenormSchedule()
    assert schedule(0) == schedule(5_000) == (1.0, 0.0)
    assert schedule(40_000) == schedule(10**6) == (3.0, 5.0)
    assert schedule(25_000)[1] == 5.0
    for step in range(0, 60_000, 997):
        # ludvb/batchrenorm's closed form
        rmax, dmax = np.clip(2 / 35000 * step + 25 / 35, 1, 3), np.clip(5 / 20000 * step - 25 / 20, 0, 5)
        np.testing.assert_allclose(schedule(step), (rmax, dmax), rtol=1e-12, atol=1e-12)
    abrupt = nn.LinearRenormSchedule(warmup=3, rmax_end=3, dmax_end=3)
    assert abrupt(2) == (1.0, 0.0)
    assert abrupt(3) == (3.0, 5.0)


def test_the_layer_counts_follows_its_schedule_and_resumes(rng):
    seen = []

    def limits(step):
        seen.append(step)
        return 1.0 + step, float(step)

    layer = nn.BatchRenorm1d(2, momentum=None, dtype=np.float64, limits=limits)
    batches = [rng.normal(size=(6, 2)) for _ in range(3)]
    for x in batches:
        layer(x)
    assert seen == [0, 1, 2]
    np.testing.assert_allclose(layer.running_mean.data, np.mean([x.mean(0) for x in batches], axis=0))
    np.testing.assert_allclose(layer.running_std.data, np.mean([np.sqrt(x.var(0) + 1e-5) for x in batches], axis=0))
    twin = nn.BatchRenorm1d(2, momentum=None, dtype=np.float64, limits=limits)
    twin.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(twin(batches[0]).data, layer(batches[0]).data)
    assert seen[3:] == [3, 3]
    layer.eval()
    before = layer.state_dict()
    layer(batches[1])
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    assert "running_var" in nn.BatchRenorm2d(2, statistic="var").state_dict()


def test_a_constant_channel_and_float32(rng):
    x = np.array([[1.0, 2.0], [1.0, 5.0], [1.0, -4.0]], np.float32)
    for mode in ("inside", "outside"):
        leaf = ad.tensor(x, requires_grad=True)
        out = F.batch_renorm(
            leaf, ad.tensor(np.zeros(2, np.float32)), ad.tensor(np.ones(2, np.float32)), training=True, eps_mode=mode
        )
        out.sum().backward()
        assert out.dtype == leaf.grad.dtype == np.float32
        assert np.isfinite(leaf.grad).all()


def test_misuse_is_named():
    mean, std = ad.tensor(np.zeros(2)), ad.tensor(np.ones(2))
    with pytest.raises(ShapeError, match="two at least"):
        F.batch_renorm(np.ones((1, 2)), mean, std, training=True)
    with pytest.raises(ArgumentError, match="rmax >= 1"):
        F.batch_renorm(np.ones((3, 2)), mean, std, training=True, rmax=0.5)
    with pytest.raises(ArgumentError, match="eps_mode"):
        F.batch_renorm(np.ones((3, 2)), mean, std, training=True, eps_mode="around")
    with pytest.raises(ArgumentError, match="statistic"):
        F.batch_renorm(np.ones((3, 2)), mean, std, statistic="range")
    with pytest.raises(ArgumentError, match="running statistics"):
        F.batch_renorm(np.ones((3, 2)), None, std, training=True)
    with pytest.raises(NotDifferentiableError, match=r"'running_std'.*constant"):
        ad.fused.batch_renorm(np.ones((3, 2)), mean.data, ad.tensor(np.ones(2), requires_grad=True)).sum().backward()
    with pytest.raises(ArgumentError, match="warmup"):
        nn.LinearRenormSchedule(warmup=10, rmax_end=5)
    with pytest.raises(ArgumentError, match="limits"):
        nn.BatchRenorm1d(2, limits=(1.0,))
    np.testing.assert_array_equal(mean.data, np.zeros(2))
