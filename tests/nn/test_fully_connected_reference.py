"""FullyConnectedNet against a network written out by hand in NumPy, forward and backward, as CS231n's assignment asks
for it.
"""

import numpy as np
import pytest

import nn


def affine_forward(x, w, b):
    return x @ w.T + b, x


def normalise(x, axis, gamma, beta, eps=1e-5):
    mean, std = x.mean(axis, keepdims=True), np.sqrt(x.var(axis, keepdims=True) + eps)
    xhat = (x - mean) / std
    return gamma * xhat + beta, (xhat, std)


def normalise_backward(dout, cache, axis, gamma):
    xhat, std = cache
    n = xhat.shape[axis]
    h = dout * gamma
    total = h.sum(axis, keepdims=True)
    dx = (h - total / n - xhat * (h * xhat).sum(axis, keepdims=True) / n) / std
    return dx, (dout * xhat).sum(0), dout.sum(0)


def softmax_loss(scores, y):
    shifted = scores - scores.max(1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    n = len(y)
    loss = -np.log(p[np.arange(n), y]).mean()
    p[np.arange(n), y] -= 1
    return loss, p / n


def by_hand(parameters, depth, x, y, normalization, reg, masks):
    """Loss, scores and every gradient."""
    axis = {"batchnorm": 0, "layernorm": 1}.get(normalization)
    out, caches = x.reshape(len(x), -1), []
    for i in range(1, depth + 1):
        w, b = parameters[f"affine{i}.weight"], parameters[f"affine{i}.bias"]
        out, cache = affine_forward(out, w, b)
        norm = relu = None
        if i < depth:
            if axis is not None:
                out, norm = normalise(out, axis, parameters[f"norm{i}.weight"], parameters[f"norm{i}.bias"])
            relu = out > 0
            out = out * relu
            if masks:
                out = out * masks[i - 1]
        caches.append((cache, norm, relu))
    scores = out
    loss, dout = softmax_loss(scores, y)
    loss += 0.5 * reg * sum((parameters[f"affine{i}.weight"] ** 2).sum() for i in range(1, depth + 1))
    grads = {}
    for i in range(depth, 0, -1):
        cache, norm, relu = caches[i - 1]
        if i < depth:
            if masks:
                dout = dout * masks[i - 1]
            dout = dout * relu
            if norm is not None:
                gamma = parameters[f"norm{i}.weight"]
                dout, grads[f"norm{i}.weight"], grads[f"norm{i}.bias"] = normalise_backward(dout, norm, axis, gamma)
        w = parameters[f"affine{i}.weight"]
        grads[f"affine{i}.weight"] = dout.T @ cache + reg * w
        grads[f"affine{i}.bias"] = dout.sum(0)
        dout = dout @ w
    return loss, scores, grads


@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
@pytest.mark.parametrize("keep", [1, 0.6])
@pytest.mark.parametrize("reg", [0.0, 0.7])
@pytest.mark.parametrize("hidden", [[], [7], [8, 6, 5]])
def test_loss_and_gradients(normalization, keep, reg, hidden, rng):
    depth = len(hidden) + 1
    model = nn.FullyConnectedNet(
        hidden,
        input_dim=12,
        num_classes=4,
        dropout_keep_ratio=keep,
        normalization=normalization,
        reg=reg,
        weight_scale=0.4,
        dtype=np.float64,
        seed=5,
    )
    masks = []
    for name, module in model.named_children():
        if name.startswith("norm"):
            module.weight.data, module.bias.data = (
                rng.uniform(0.5, 1.5, module.weight.shape),
                rng.normal(size=module.bias.shape),
            )
        if name.startswith("affine"):
            module.bias.data = rng.normal(size=module.bias.shape)
        if name.startswith("dropout"):
            # What is kept is scaled by 1 / keep; an input of 0 tells nothing, and its mask does not matter.
            module.register_forward_hook(
                lambda m, args, out: masks.append(
                    np.divide(out.data, args[0].data, out=np.zeros(out.shape), where=args[0].data != 0)
                )
            )
    x, y = rng.normal(size=(6, 3, 4)), rng.integers(0, 4, 6)
    loss = model.loss(x, y)
    loss.backward()
    if keep < 1 and hidden:
        assert {round(float(v), 12) for mask in masks for v in np.unique(mask)} <= {0.0, round(1 / keep, 12)}
    parameters = {name: p.data for name, p in model.named_parameters()}
    expected, scores, grads = by_hand(parameters, depth, x, y, normalization, reg, masks)
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-12)
    assert set(grads) == set(parameters)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad, grads[name], rtol=1e-9, atol=1e-12, err_msg=name)
    if keep == 1 and normalization != "batchnorm":
        np.testing.assert_allclose(model.eval()(x).data, scores, rtol=1e-12)
