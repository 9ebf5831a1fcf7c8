"""Cross-iteration batch normalisation against plain NumPy with differenced statistics, and against PyTorch's autograd
over many steps.
"""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff.core.errors import ArgumentError, ShapeError

C, D = 3, 2
RELEASED = {"eps_mode": "outside", "invalid": "drop", "ddof": 1}
OPTIONS = {
    "paper": {},
    "released": RELEASED,
    "released, eps inside": {**RELEASED, "eps_mode": "inside"},
    "rho": {"rho": 0.4, "invalid": "drop"},
    "no Taylor term": {"rho": 0.0},
}


def before(weight, x):
    """The layer before: a 1x1 convolution."""
    return np.einsum("oi,nihw->nohw", weight.reshape(C, D), x)


def moments(y):
    return y.mean((0, 2, 3)), (y * y).mean((0, 2, 3))


def differenced(weight, x):
    """dmu_c/dw_c and dnu_c/dw_c by central differences, which are exact for polynomials of degree two."""
    dmu, dnu = np.zeros(weight.shape), np.zeros(weight.shape)
    for place in np.ndindex(*weight.shape):
        ends = []
        for h in (0.5, -0.5):
            moved = weight.copy()
            moved[place] += h
            ends.append(moments(before(moved, x)))
        dmu[place] = ends[0][0][place[0]] - ends[1][0][place[0]]
        dnu[place] = ends[0][1][place[0]] - ends[1][1][place[0]]
    return dmu, dnu


class Reference:
    """The definition, in nu, with Python lists."""

    def __init__(
        self,
        buffer_num,
        rho=1.0,
        burnin=0,
        eps=1e-5,
        eps_mode="inside",
        invalid="max",
        ddof=0,
        running_ddof=1,
        momentum=0.1,
    ):
        self.__dict__.update(locals())
        self.past, self.seen = [], 0
        self.mean, self.var = np.zeros(C), np.ones(C)

    def statistics(self, y, weight):
        """mu_bar, the variance, and (kept, C) arrays of everything that entered them."""
        mu, nu = moments(y)
        m = y.size // C
        self.seen += 1
        self.mean = (1 - self.momentum) * self.mean + self.momentum * mu
        self.var = (1 - self.momentum) * self.var + self.momentum * y.var((0, 2, 3)) * m / (m - self.running_ddof)
        if self.seen <= self.burnin or not self.buffer_num:
            return mu, (nu - mu**2) * m / (m - self.ddof)
        mus, nus = [mu], [nu]
        for old_mu, old_nu, dmu, dnu, old_weight in self.past:
            step = self.rho * (weight - old_weight)
            mus.append(old_mu + (dmu * step).sum((1, 2, 3)))
            nus.append(old_nu + (dnu * step).sum((1, 2, 3)))
        mus, nus = np.array(mus), np.array(nus)
        if self.invalid == "max":
            bar = mus.mean(0)
            return bar, np.maximum(nus, mus**2).mean(0) - bar**2
        kept = nus - mus**2 >= 0
        bar = (mus * kept).sum(0) / kept.sum(0)
        return bar, (nus * kept).sum(0) / kept.sum(0) - bar**2

    def remember(self, x, y, weight):
        if self.seen > self.burnin and self.buffer_num:
            self.past = [(*moments(y), *differenced(weight, x), weight.copy()), *self.past][: self.buffer_num]

    def normalised(self, y, mean, var, scale, shift):
        along = lambda v: v[:, None, None]
        deviation = np.sqrt(var + self.eps) if self.eps_mode == "inside" else np.sqrt(var) + self.eps
        return (y - along(mean)) / along(deviation) * along(scale) + along(shift)


@pytest.mark.parametrize("name", OPTIONS)
@given(
    seed=st.integers(0, 2**31),
    buffer_num=st.sampled_from([0, 1, 3]),
    burnin=st.sampled_from([0, 2]),
    step=st.sampled_from([0.1, 1.5]),
)
def test_against_differenced_statistics(name, seed, buffer_num, burnin, step):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(C, D, 1, 1))
    scale, shift = rng.uniform(0.5, 1.5, C), rng.normal(size=C)
    layer = nn.CrossIterationBatchNorm2d(C, buffer_num=buffer_num, burnin=burnin, dtype=np.float64, **OPTIONS[name])
    layer.weight.data, layer.bias.data = scale.copy(), shift.copy()
    reference = Reference(buffer_num, burnin=burnin, **OPTIONS[name])
    for _ in range(6):
        x = rng.normal(size=(2, D, 2, 2)) + 0.5
        theta = ad.tensor(weight, requires_grad=True)
        out = layer(before(theta, x), theta)
        y = before(weight, x)
        expected = reference.normalised(y, *reference.statistics(y, weight), scale, shift)
        reference.remember(x, y, weight)
        np.testing.assert_allclose(out.data, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())
        np.testing.assert_allclose(layer.running_mean.data, reference.mean, rtol=1e-11)
        np.testing.assert_allclose(layer.running_var.data, reference.var, rtol=1e-11)
        weight = weight + step * rng.normal(size=weight.shape)
    layer.eval()
    expected = reference.normalised(y, reference.mean, reference.var, scale, shift)
    np.testing.assert_allclose(layer(y).data, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["paper", "released"])
def test_gradients_are_pytorchs_through_the_current_moments_alone(name, rng):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    options = OPTIONS[name]
    layer = nn.CrossIterationBatchNorm2d(C, buffer_num=2, dtype=np.float64, **options)
    layer.weight.data = rng.uniform(0.5, 1.5, C)
    reference = Reference(2, **options)
    weight = rng.normal(size=(C, D, 1, 1))
    for _ in range(5):
        x, g = rng.normal(size=(3, D, 2, 1)), rng.normal(size=(3, C, 2, 1))
        theta = ad.tensor(weight, requires_grad=True)
        out = layer(before(theta, x), theta)
        layer.zero_grad()
        out.backward(g)
        # By PyTorch: the past as constants, taken from the NumPy reference.
        mus, nus = [], []
        for old_mu, old_nu, dmu, dnu, old_weight in reference.past:
            mus.append(old_mu + (dmu * (weight - old_weight)).sum((1, 2, 3)))
            nus.append(old_nu + (dnu * (weight - old_weight)).sum((1, 2, 3)))
        leaves = [torch.tensor(a, requires_grad=True) for a in (weight, layer.weight.data, layer.bias.data)]
        y = torch.einsum("oi,nihw->nohw", leaves[0].reshape(C, D), torch.tensor(x))
        mu, nu = (
            torch.stack([y.mean((0, 2, 3)), *map(torch.tensor, mus)]),
            torch.stack([(y * y).mean((0, 2, 3)), *map(torch.tensor, nus)]),
        )
        if options.get("invalid") == "drop":
            kept = (nu - mu**2 >= 0).double()
        else:
            nu, kept = torch.maximum(nu, mu**2), torch.ones_like(mu)
        bar = (mu * kept).sum(0) / kept.sum(0)
        var = (nu * kept).sum(0) / kept.sum(0) - bar**2
        deviation = var.sqrt() + 1e-5 if options.get("eps_mode") == "outside" else (var + 1e-5).sqrt()
        along = lambda v: v[:, None, None]
        result = (y - along(bar)) / along(deviation) * along(leaves[1]) + along(leaves[2])
        expected = torch.autograd.grad(result, leaves, torch.tensor(g))
        np.testing.assert_allclose(out.data, result.detach().numpy(), rtol=1e-9, atol=1e-9)
        for ours, theirs in zip((theta.grad, layer.weight.grad, layer.bias.grad), expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-9, atol=1e-9)
        reference.statistics(before(weight, x), weight)
        reference.remember(x, before(weight, x), weight)
        weight = weight + 0.3 * rng.normal(size=weight.shape)


def test_both_ways_to_treat_an_invalid_variance_are_reached(rng):
    """A long step makes some carried nu smaller than mu^2; then the two conventions differ, and only then."""
    outs = {}
    for invalid in ("max", "drop"):
        generator = np.random.default_rng(3)
        layer = nn.CrossIterationBatchNorm2d(C, buffer_num=3, dtype=np.float64, invalid=invalid)
        outs[invalid] = []
        for step in (0.0, 0.0, 4.0):
            theta = ad.tensor(np.random.default_rng(1).normal(size=(C, D, 1, 1)) * (1 + step), requires_grad=True)
            outs[invalid].append(layer(before(theta, generator.normal(size=(2, D, 2, 2)) + 1), theta).data)
    np.testing.assert_array_equal(outs["max"][1], outs["drop"][1])
    assert np.abs(outs["max"][2] - outs["drop"][2]).max() > 1e-3


def test_a_window_of_none_is_batch_normalisation_and_so_is_the_burn_in(rng):
    plain = nn.BatchNorm2d(C, dtype=np.float64)
    layers = [
        nn.CrossIterationBatchNorm2d(C, buffer_num=0, dtype=np.float64),
        nn.CrossIterationBatchNorm2d(C, burnin=9, dtype=np.float64),
    ]
    for _ in range(3):
        x = rng.normal(size=(3, C, 2, 2))
        leaf = ad.tensor(x, requires_grad=True)
        expected = plain(leaf).data
        for layer in layers:
            np.testing.assert_allclose(layer(leaf, np.ones((C, 1))).data, expected, rtol=1e-12, atol=1e-13)
    for layer in layers:
        np.testing.assert_allclose(layer.running_var.data, plain.running_var.data, rtol=1e-12)
    with ad.no_grad():
        layers[1](x)
    assert layers[1].past_count.item() == 0


def test_the_window_grows_in_proportion_where_asked(rng):
    layer = nn.CrossIterationBatchNorm2d(C, buffer_num=4, burnin=8, two_stage=False, dtype=np.float64)
    theta = ad.tensor(rng.normal(size=(C, D, 1, 1)), requires_grad=True)
    held = []
    for _ in range(10):
        layer(before(theta, rng.normal(size=(2, D, 2, 2))), theta)
        held.append(int(layer.past_count.item()))
    assert held == [0, 1, 1, 2, 2, 3, 3, 4, 4, 4]


def network(seed=0):
    linear = nn.Linear(4, C, dtype=np.float64, generator=np.random.default_rng(seed))
    head = nn.Linear(C, 2, dtype=np.float64, generator=np.random.default_rng(seed + 1))
    return nn.Sequential(
        linear, nn.CrossIterationBatchNorm1d(C, buffer_num=3, layer=linear, dtype=np.float64), nn.ReLU(), head
    )


def train(model, steps, seed):
    from optim import SGD

    rng, optimizer = np.random.default_rng(seed), SGD(model.parameters(), lr=0.2)
    for _ in range(steps):
        x, y = rng.normal(size=(3, 4)), rng.integers(0, 2, 3)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def test_a_resumed_or_copied_run_goes_on_exactly():
    model = train(network(), 5, seed=0)
    resumed = network(seed=7)
    resumed.load_state_dict(model.state_dict())
    twin = copy.deepcopy(model)
    assert twin[1]._source(None) is twin[0].weight
    assert len(list(model.parameters())) == 6
    states = [train(m, 4, seed=1).state_dict() for m in (model, resumed, twin)]
    for key, value in states[0].items():
        np.testing.assert_array_equal(states[1][key], value, err_msg=key)
        np.testing.assert_array_equal(states[2][key], value, err_msg=key)


def test_small_batches_are_normalised_more_steadily(rng):
    """What it is for: with batches of two, the statistics used lie closer to those of the whole data than a batch's own
    do.
    """
    x = rng.normal(size=(400, D, 1, 1)) * 2 + 1
    theta = ad.tensor(rng.normal(size=(C, D, 1, 1)), requires_grad=True)
    truth = before(theta.data, x)
    mean, std = truth.mean((0, 2, 3)), truth.std((0, 2, 3))
    errors = {}
    for buffer_num in (0, 7):
        layer = nn.CrossIterationBatchNorm2d(C, buffer_num=buffer_num, dtype=np.float64)
        total = 0.0
        for start in range(0, 400, 2):
            y = before(theta, x[start : start + 2])
            total += np.abs(layer(y, theta).data - (y.data - mean[:, None, None]) / std[:, None, None]).mean()
        errors[buffer_num] = total / 200
    assert errors[7] < 0.5 * errors[0]


def test_float32_and_large_means(rng):
    """The variance is carried, not its uncentred moment, so a mean of 1000 costs no digits."""
    weight = rng.normal(size=(C, D, 1, 1))
    batches = [rng.normal(size=(4, D, 2, 2)) for _ in range(4)]
    outs = {}
    for dtype in (np.float32, np.float64):
        layer = nn.CrossIterationBatchNorm2d(C, dtype=dtype)
        for x in batches:
            theta = ad.tensor(weight.astype(np.float32).astype(dtype), requires_grad=True)
            y = before(theta, x.astype(np.float32).astype(dtype)) + dtype(1000)
            outs[dtype] = layer(y, theta)
        assert outs[dtype].dtype == layer.past_mean.dtype == dtype
    assert np.abs(outs[np.float32].data - outs[np.float64].data).max() < 2e-3


def test_misuse_is_named(rng):
    x = ad.tensor(rng.normal(size=(2, C, 2, 2)), requires_grad=True)
    theta = ad.tensor(np.ones((C, D)), requires_grad=True)
    with pytest.raises(ArgumentError, match=r"conv\.weight"):
        nn.CrossIterationBatchNorm2d(C)(x)
    with pytest.raises(ArgumentError, match="not computed from the weights"):
        nn.CrossIterationBatchNorm2d(C)(x, theta)
    with pytest.raises(ShapeError, match="first axis has 3"):
        nn.CrossIterationBatchNorm2d(C)(x, np.ones((D, C)))
    with pytest.raises(ArgumentError, match="invalid"):
        nn.CrossIterationBatchNorm2d(C, invalid="clip")
    with pytest.raises(ArgumentError, match="eps_mode"):
        nn.CrossIterationBatchNorm2d(C, eps_mode="both", buffer_num=0)(x)
    with pytest.raises(ArgumentError, match="buffer_num"):
        nn.CrossIterationBatchNorm2d(C, buffer_num=-1)
    with pytest.raises(ShapeError, match="CrossIterationBatchNorm2d"):
        nn.CrossIterationBatchNorm2d(C)(np.ones((2, C)))
    with pytest.raises(ShapeError, match="two at least"):
        nn.CrossIterationBatchNorm1d(C, buffer_num=0)(np.ones((1, C)))


@pytest.mark.parametrize("kind", ["CrossIterationBatchNorm1d", "BatchRenorm1d"])
def test_half_precision_is_normalised_in_single(kind):
    x = 300 * np.random.default_rng(0).normal(size=(5, 3))
    halves, doubles = (getattr(nn, kind)(3).to(dtype)(x.astype(dtype)) for dtype in (np.float16, np.float64))
    assert halves.dtype == np.float16
    np.testing.assert_allclose(halves.data, doubles.data, rtol=1e-2, atol=1e-2)
