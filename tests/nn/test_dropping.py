"""Functions that draw: what their samples must be, whichever are drawn."""

import numpy as np
import pytest

import autodiff as ad
import nn
from nn import functional as F

RNG = np.random.default_rng


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_whole_channels_are_dropped_and_the_others_scaled(axes):
    function, layer = getattr(F, f"dropout{axes}d"), getattr(nn, f"Dropout{axes}d")(0.3, generator=RNG(0))
    x = ad.tensor(np.ones((40, 5, *(2,) * axes)), requires_grad=True)
    out = function(x, 0.3, generator=RNG(0))
    by_channel = out.data.reshape(200, -1)
    assert set(np.round(np.unique(by_channel), 12)) == {0.0, np.round(1 / 0.7, 12)}
    assert (by_channel == by_channel[:, :1]).all()
    assert 30 < (by_channel[:, 0] == 0).sum() < 90
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, out.data)
    np.testing.assert_array_equal(layer(x).data, out.data)
    assert layer.eval()(x) is x
    with pytest.raises(ad.ShapeError):
        function(np.ones(3) if axes > 1 else np.ones((1, 1, 1, 1, 1)))


@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_alpha_dropout_keeps_mean_and_variance(name):
    x = RNG(1).standard_normal((400, 400))
    out = getattr(F, name)(x, 0.2, training=True, generator=RNG(0)).data
    assert abs(out.mean()) < 0.02
    assert abs(out.var() - 1) < 0.02
    assert not getattr(F, name)(x, 1.0, training=True).data.any()
    if name == "feature_alpha_dropout":
        pictures = getattr(F, name)(np.ones((30, 3, 2, 2)), 0.4, training=True, generator=RNG(0)).data
        assert (pictures == pictures[..., :1, :1]).all()


@pytest.mark.parametrize("dim", [0, -1])
def test_gumbel_softmax_draws_the_classes_by_their_probabilities(dim):
    logits = np.log([0.7, 0.2, 0.1])[:, None] * np.ones((3, 4000))
    logits = logits if dim == 0 else logits.T
    soft = F.gumbel_softmax(logits, generator=RNG(0), dim=dim)
    np.testing.assert_allclose(soft.data.sum(dim), 1)
    x = ad.tensor(logits, requires_grad=True)
    hard = F.gumbel_softmax(x, hard=True, generator=RNG(0), dim=dim)
    shares = hard.data.mean(1 if dim == 0 else 0)
    np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.03)
    weights = RNG(2).standard_normal(logits.shape)
    (hard * weights).sum().backward()
    y = ad.tensor(logits, requires_grad=True)
    (F.gumbel_softmax(y, generator=RNG(0), dim=dim) * weights).sum().backward()
    np.testing.assert_allclose(x.grad, y.grad)
