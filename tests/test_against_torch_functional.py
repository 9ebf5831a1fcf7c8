"""nn.functional, one row per function: the same random call against PyTorch, and its gradients against differences where PyTorch is absent.

A row draws ``(args, kwargs)`` of one call. Float arrays among ``args`` are differentiated with respect to unless their position is in
``constant``; ``constant`` arrays and those in ``kwargs`` are handed over without, and compared after the call, for running statistics.
"""

from importlib.util import find_spec

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff.testing import HypothesisDraw, check_gradients
from nn import functional as F

HAS_TORCH = find_spec("torch") is not None
PROFILE = hypothesis.settings.default.max_examples
RTOL = 1e-10
ROWS = {}


class Row:
    """How one function is called."""

    def __init__(self, sample, constant=(), order=2):
        self.sample, self.constant, self.order = sample, constant, order

    def free(self, i, value):
        return i not in self.constant and isinstance(value, np.ndarray) and value.dtype.kind == "f"


def row(constant=(), order=2):
    """Enter a sampler under its own name, which is the function's."""

    def enter(sample):
        ROWS[sample.__name__] = Row(sample, constant, order)
        return sample

    return enter


def maybe(draw, shape, **kwargs):
    return draw.array(shape, **kwargs) if draw.boolean() else None


# --- normalisations -----------------------------------------------------------------------------------------------------


def channels_second(draw, min_positions=0):
    c = draw.integer(1, 3)
    positions = draw.choice(((), (3,), (2, 2), (2, 1, 2)) if not min_positions else ((3,), (2, 2), (2, 1, 2)))
    return (draw.integer(2, 3), c, *positions)


def running(draw, c):
    return draw.array((c,)), draw.array((c,), low=0.3, high=2.0)


@row(constant=(1, 2))
def batch_norm(draw):
    shape = channels_second(draw)
    c = shape[1]
    stats = running(draw, c)
    training = draw.boolean()
    weight, bias = maybe(draw, (c,)), maybe(draw, (c,))
    return (draw.array(shape, distinct=True), *stats, weight, bias, training, draw.choice((0.1, 0.7)), draw.choice((1e-5, 0.1))), {}


@row()
def layer_norm(draw):
    inner = draw.choice(((3,), (2, 3), (4, 1)))
    shape = (*draw.shape(max_ndim=2, max_side=3), *inner)
    return (draw.array(shape, distinct=True), inner, maybe(draw, inner), maybe(draw, inner), draw.choice((1e-5, 0.1))), {}


@row()
def rms_norm(draw):
    inner = draw.choice(((3,), (2, 3), (4, 1)))
    shape = (*draw.shape(max_ndim=2, max_side=3), *inner)
    return (draw.array(shape, distinct=True), inner, maybe(draw, inner), draw.choice((None, 1e-5, 0.1))), {}


@row()
def group_norm(draw):
    groups = draw.integer(1, 3)
    c = groups * draw.integer(1, 2)
    shape = (draw.integer(1, 3), c, *draw.choice(((3,), (2, 2), (2, 1, 2))))
    # With a shift but no scale PyTorch's own backward fails ("tensor does not have a device").
    weight = maybe(draw, (c,))
    bias = None if weight is None else maybe(draw, (c,))
    return (draw.array(shape, distinct=True), groups, weight, bias, draw.choice((1e-5, 0.1))), {}


@row(constant=(1, 2))
def instance_norm(draw):
    shape = channels_second(draw, min_positions=2)
    c = shape[1]
    own = draw.boolean()
    stats = running(draw, c) if draw.boolean() or not own else (None, None)
    weight, bias = maybe(draw, (c,)), maybe(draw, (c,))
    return (draw.array(shape, distinct=True), *stats, weight, bias, own, draw.choice((0.1, 0.7)), draw.choice((1e-5, 0.1))), {}


# --- the tests ----------------------------------------------------------------------------------------------------------


def close(ours, theirs, words):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape, f"{words}: shape {ours.shape}, PyTorch's {theirs.shape}"
    np.testing.assert_allclose(ours, theirs, rtol=RTOL, atol=RTOL * max(1.0, float(np.abs(theirs).max(initial=0.0))), err_msg=words)


def parts(out):
    return list(out) if isinstance(out, tuple | list) else [out]


@pytest.mark.skipif(not HAS_TORCH, reason="the independent truth here is PyTorch")
@pytest.mark.parametrize("name", ROWS)
def test_agrees_with_pytorch(name):
    import torch

    spec = ROWS[name]

    @given(st.data())
    def holds(data):
        args, kwargs = spec.sample(HypothesisDraw(data.draw))
        array = lambda a: isinstance(a, np.ndarray)
        ours = [ad.tensor(a, requires_grad=spec.free(i, a)) if array(a) else a for i, a in enumerate(args)]
        theirs = [torch.tensor(a, requires_grad=spec.free(i, a)) if array(a) else a for i, a in enumerate(args)]
        ours_named = {k: ad.tensor(v) if array(v) else v for k, v in kwargs.items()}
        theirs_named = {k: torch.tensor(v) if array(v) else v for k, v in kwargs.items()}
        out, reference = parts(getattr(F, name)(*ours, **ours_named)), parts(getattr(torch.nn.functional, name)(*theirs, **theirs_named))
        for i, (a, b) in enumerate(zip(out, reference, strict=True)):
            close(a.data, b, f"output {i}")
        free = [i for i, a in enumerate(args) if spec.free(i, a)]
        rng = np.random.default_rng(0)
        seeds = [rng.standard_normal(o.shape) for o in out]
        grads = ad.gradients(out, [ours[i] for i in free], seeds, allow_unused=True)
        expected = torch.autograd.grad(reference, [theirs[i] for i in free], [torch.tensor(s) for s in seeds], allow_unused=True)
        for i, g, e in zip(free, grads, expected, strict=True):
            close(np.zeros(args[i].shape) if g is None else g, torch.zeros(args[i].shape) if e is None else e, f"gradient of argument {i}")
        for i in spec.constant:
            if array(args[i]):
                close(ours[i].data, theirs[i], f"argument {i} after the call")

    holds()


@pytest.mark.parametrize("name", ROWS)
def test_gradients_match_differences(name):
    spec = ROWS[name]

    @hypothesis.settings(max_examples=max(3, PROFILE // 8))
    @given(st.data())
    def holds(data):
        args, kwargs = spec.sample(HypothesisDraw(data.draw))
        free = [i for i, a in enumerate(args) if spec.free(i, a)]

        def call(*values):
            # Fresh tensors at every call, since running statistics are written to.
            full = [ad.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
            for i, value in zip(free, values, strict=True):
                full[i] = value
            return getattr(F, name)(*full, **kwargs)

        check_gradients(call, *(args[i] for i in free), order=spec.order, name=name)

    holds()
