"""nn.functional, one row per function: the same random call against PyTorch, and its gradients against differences
where PyTorch is absent.

A row draws ``(args, kwargs)`` of one call. Float arrays among ``args`` are differentiated with respect to unless their
position is in ``constant``; ``constant`` arrays and those in ``kwargs`` are handed over without, and compared after the
call, for running statistics.
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
ROWS = {}


class Row:
    """How one function is called."""

    def __init__(self, sample, constant, order, rtol, normalised):
        self.sample, self.constant, self.order, self.rtol, self.normalised = sample, constant, order, rtol, normalised

    def call(self, module, name, args, kwargs):
        first = module.log_softmax(args[0], -1) if self.normalised else args[0]
        return getattr(module, name)(first, *args[1:], **kwargs)

    def free(self, i, value):
        return i not in self.constant and isinstance(value, np.ndarray) and value.dtype.kind == "f"


def row(constant=(), order=2, rtol=1e-10, normalised=False):
    """Enter a sampler under its own name, which is the function's; with ``normalised`` the first argument goes through
    log_softmax first.
    """

    def enter(sample):
        ROWS[sample.__name__] = Row(sample, constant, order, rtol, normalised)
        return sample

    return enter


def maybe(draw, shape, **kwargs):
    return draw.array(shape, **kwargs) if draw.boolean() else None


# --- normalisations ---------------------------------------------------------------------------------------------------


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
    return (
        draw.array(shape, distinct=True),
        *stats,
        weight,
        bias,
        training,
        draw.choice((0.1, 0.7)),
        draw.choice((1e-5, 0.1)),
    ), {}


@row()
def layer_norm(draw):
    inner = draw.choice(((3,), (2, 3), (4, 1)))
    shape = (*draw.shape(max_ndim=2, max_side=3), *inner)
    return (
        draw.array(shape, distinct=True),
        inner,
        maybe(draw, inner),
        maybe(draw, inner),
        draw.choice((1e-5, 0.1)),
    ), {}


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
    return (
        draw.array(shape, distinct=True),
        *stats,
        weight,
        bias,
        own,
        draw.choice((0.1, 0.7)),
        draw.choice((1e-5, 0.1)),
    ), {}


# --- activations ------------------------------------------------------------------------------------------------------


def values(draw, *kinks, low=-5.0, high=5.0):
    return draw.array(draw.shape(), low=low, high=high, avoid=kinks)


def plain(name, *kinks, **options):
    """A function of one array and of options that take one of several values."""

    def sample(draw):
        return (values(draw, *kinks),), {key: draw.choice(choices) for key, choices in options.items()}

    sample.__name__ = name
    row()(sample)


plain("relu", 0.0)
plain("leaky_relu", 0.0, negative_slope=(0.01, 0.3))
plain("elu", 0.0, alpha=(1.0, 0.7))
# PyTorch holds 1 / alpha in float32, so it is exact for powers of two only.
plain("celu", 0.0, alpha=(1.0, 0.5))
plain("selu", 0.0)
plain("gelu", approximate=("none", "tanh"))
plain("silu")
plain("sigmoid")
plain("tanh")
plain("softplus", 2.0, 4.0, beta=(1, 2.0), threshold=(20, 4.0))
plain("hardtanh", -1.0, 1.0, 0.5, min_val=(-1.0,), max_val=(1.0, 0.5))
plain("relu6", 0.0)
plain("hardswish", -3.0, 3.0)
plain("softsign", 0.0)
plain("logsigmoid")
plain("mish")
plain("tanhshrink")
plain("softshrink", -0.5, 0.5, lambd=(0.5,))
plain("hardshrink", -0.5, 0.5, lambd=(0.5,))
plain("threshold", 1.0, threshold=(1.0,), value=(7.0,))


@row(rtol=1e-7)
def hardsigmoid(draw):
    # PyTorch's own factor 1/6 is that of float32.
    return (values(draw, -3.0, 3.0),), {}


@row()
def prelu(draw):
    shape = draw.shape(min_ndim=2)
    return (draw.array(shape, avoid=(0.0,)), draw.array((draw.choice((1, shape[1])),))), {}


@row()
def glu(draw):
    shape = list(draw.shape(min_ndim=1))
    dim = draw.axis(len(shape))
    shape[dim] *= 2
    return (draw.array(tuple(shape)), dim), {}


def along_an_axis(name):
    def sample(draw):
        shape = draw.shape(min_ndim=1)
        return (draw.array(shape), draw.axis(len(shape))), {}

    sample.__name__ = name
    row()(sample)


along_an_axis("softmax")
along_an_axis("softmin")
along_an_axis("log_softmax")


# --- losses -----------------------------------------------------------------------------------------------------------

REDUCTIONS = ("mean", "sum", "none")


def reduction(draw):
    return {"reduction": draw.choice(REDUCTIONS)}


def distance(name, *kinks, **options):
    """A loss of two arrays of one shape whose difference keeps away from ``kinks``."""

    def sample(draw):
        shape = draw.shape()
        target = draw.array(shape)
        kwargs = {key: draw.choice(choices) for key, choices in options.items() if key != "weight"}
        if "weight" in options and draw.boolean():
            kwargs["weight"] = draw.array(shape, low=0.5, high=2.0)
        return (np.asarray(target + draw.array(shape, avoid=kinks)), target), kwargs | reduction(draw)

    sample.__name__ = name
    row()(sample)


distance("mse_loss", weight=True)
distance("l1_loss", 0.0, weight=True)
distance("smooth_l1_loss", -1.0, 0.0, 1.0, 0.5, -0.5, beta=(1.0, 0.5, 0.0))
distance("huber_loss", -1.0, 1.0, 0.5, -0.5, delta=(1.0, 0.5), weight=True)


def classification(draw, shape):
    """Class indices, some ignored, and perhaps weights."""
    classes = shape[0] if len(shape) == 1 else shape[1]
    target = np.asarray(draw.integers(() if len(shape) == 1 else (shape[0], *shape[2:]), 0, classes - 1))
    kwargs = reduction(draw)
    if target.size > 1 and draw.boolean():
        target.reshape(-1)[draw.integer(0, target.size - 1)] = kwargs["ignore_index"] = draw.choice((-100, 0))
    if draw.boolean():
        kwargs["weight"] = draw.array((classes,), low=0.5, high=2.0)
    return target, kwargs


SCORES = ((3,), (1, 3), (4, 3), (2, 3, 2), (2, 3, 2, 2))


@row()
def cross_entropy(draw):
    shape = draw.choice(SCORES)
    target, kwargs = classification(draw, shape)
    return (draw.array(shape), target), kwargs | {"label_smoothing": draw.choice((0.0, 0.2))}


@row()
def nll_loss(draw):
    shape = draw.choice(SCORES)
    target, kwargs = classification(draw, shape)
    return (draw.array(shape, low=-5.0, high=0.0), target), kwargs


@row()
def binary_cross_entropy(draw):
    shape = draw.shape()
    kwargs = reduction(draw)
    if draw.boolean():
        kwargs["weight"] = draw.array(draw.choice((shape, shape[-1:])), low=0.5, high=2.0)
    return (draw.array(shape, low=0.02, high=0.98), draw.array(shape, low=0.0, high=1.0)), kwargs


@row()
def binary_cross_entropy_with_logits(draw):
    shape = draw.shape()
    kwargs = reduction(draw)
    for name in ("weight", "pos_weight"):
        if draw.boolean():
            kwargs[name] = draw.array(draw.choice((shape, shape[-1:])), low=0.5, high=2.0)
    return (draw.array(shape, low=-5.0, high=5.0), draw.array(shape, low=0.0, high=1.0)), kwargs


@row()
def kl_div(draw):
    shape = draw.shape(min_ndim=1)
    log_target = draw.boolean()
    target = draw.array(shape, low=-3.0, high=0.0) if log_target else draw.array(shape, low=0.05, high=1.0)
    return (draw.array(shape, low=-5.0, high=0.0), target), {
        "log_target": log_target,
        "reduction": draw.choice((*REDUCTIONS, "batchmean")),
    }


@row()
def gaussian_nll_loss(draw):
    shape = draw.shape(min_ndim=1)
    var = draw.array(draw.choice((shape, shape[:-1], (*shape[:-1], 1))), low=0.3, high=3.0)
    if shape[-1] == 1:
        var = var.reshape(shape)
    return (draw.array(shape), draw.array(shape), var), {"full": draw.boolean()} | reduction(draw)


@row()
def poisson_nll_loss(draw):
    shape = draw.shape()
    log_input = draw.boolean()
    target = draw.array(shape, low=0.0, high=4.0, avoid=(1.0,))
    return (draw.array(shape, low=-2.0 if log_input else 0.2), target), {
        "log_input": log_input,
        "full": draw.boolean(),
    } | reduction(draw)


def signs(draw, shape):
    return np.asarray(2 * draw.integers(shape, 0, 1) - 1)


def quarters(draw, shape, odd=0.0):
    """Multiples of a quarter, shifted, so that sums of them keep away from kinks."""
    return np.asarray(np.round(draw.array(shape) * 4) / 4 + odd)


@row()
def multi_margin_loss(draw):
    shape = draw.choice(((3,), (1, 3), (4, 3)))
    kwargs = {"p": draw.choice((1, 2)), "margin": draw.choice((1.125, 0.375))} | reduction(draw)
    if draw.boolean():
        kwargs["weight"] = draw.array((3,), low=0.5, high=2.0)
    return (quarters(draw, shape), np.asarray(draw.integers(shape[:-1], 0, 2))), kwargs


@row()
def multilabel_margin_loss(draw):
    shape = draw.choice(((4,), (3, 4)))
    order = np.stack([np.random.default_rng(draw.integer(0, 99)).permutation(4) for _ in range(shape[0])])
    target = np.where(np.arange(4) < draw.integer(0, 4), order if len(shape) == 2 else order[0], -1)
    return (quarters(draw, shape) + np.arange(4) / 16 + 0.01 * np.arange(4), target), reduction(draw)


@row(constant=(1,))
def multilabel_soft_margin_loss(draw):
    shape = draw.choice(((3,), (2, 3)))
    kwargs = reduction(draw)
    if draw.boolean():
        kwargs["weight"] = draw.array((3,), low=0.5, high=2.0)
    return (draw.array(shape), np.asarray(draw.integers(shape, 0, 1)).astype(float)), kwargs


@row()
def hinge_embedding_loss(draw):
    shape = draw.shape()
    return (quarters(draw, shape), signs(draw, shape)), {"margin": draw.choice((1.125, 0.375))} | reduction(draw)


@row()
def soft_margin_loss(draw):
    shape = draw.shape()
    return (draw.array(shape), signs(draw, shape)), reduction(draw)


@row()
def margin_ranking_loss(draw):
    shape = draw.shape()
    return (quarters(draw, shape), quarters(draw, shape), signs(draw, shape)), {
        "margin": draw.choice((0.125, 0.375))
    } | reduction(draw)


def directions(draw, shape):
    """Vectors that are not too short, apart from each other."""
    return draw.array(shape, low=-2.0, high=2.0, distinct=True) + np.where(np.arange(shape[-1]) % 2, 3.0, -0.1)


@row()
def cosine_embedding_loss(draw):
    shape = draw.choice(((3,), (2, 3), (3, 2)))
    # Of equal vectors the cosine is at its maximum, and its gradient nothing but rounding.
    args = directions(draw, shape), directions(draw, shape) + 0.5, signs(draw, shape[:-1])
    return args, {"margin": draw.choice((0.0, -0.5))} | reduction(draw)


@row()
def cosine_similarity(draw):
    shape = draw.choice(((2, 3), (3, 2, 2), (1, 4)))
    return (directions(draw, shape), directions(draw, shape) + 0.5), {"dim": draw.axis(len(shape))}


@row()
def pairwise_distance(draw):
    shape = draw.choice(((3,), (2, 3), (2, 2, 2)))
    p = draw.choice((2.0, 1.0, 3.0, np.inf, 0.5, -1.0))
    return (draw.array(shape, distinct=True), draw.array(shape, distinct=True) - 5.0), {
        "p": p,
        "keepdim": draw.boolean(),
    }


@row()
def triplet_margin_loss(draw):
    shape = draw.choice(((3,), (2, 3)))
    args = [draw.array(shape, distinct=True) + offset for offset in (0.0, 5.3, -5.2)]
    return args, {
        "margin": draw.choice((1.0, 0.3)),
        "p": draw.choice((2.0, 1.0, 3.0)),
        "swap": draw.boolean(),
    } | reduction(draw)


# PyTorch's gradient takes it for granted that log_probs are normalised.
@row(normalised=True)
def ctc_loss(draw):
    time, n, classes = draw.integer(3, 5), draw.integer(1, 3), draw.integer(2, 4)
    blank = draw.choice((0, classes - 1))
    targets = draw.integers((n, 2), 1, classes - 1) - (blank > 0)
    inputs, lengths = draw.integers((n,), 3, time), draw.integers((n,), 1, 2)
    if draw.boolean():
        targets = np.concatenate([line[:length] for line, length in zip(targets, lengths, strict=True)])
    return (draw.array((time, n, classes)), targets, inputs, lengths), {
        "blank": blank,
        "zero_infinity": draw.boolean(),
    } | reduction(draw)


# --- pictures and windows


def picture(draw, axes=2, low=-2.0, high=2.0):
    return draw.array((draw.integer(1, 2), draw.integer(1, 2), *(draw.integer(2, 4) for _ in range(axes))))


@row()
def interpolate(draw):
    axes = draw.integer(1, 3)
    linear = ("linear", "bilinear", "trilinear")[axes - 1]
    mode = draw.choice(("nearest", "nearest-exact", "area", linear) + (("bicubic",) if axes == 2 else ()))
    kwargs = {"mode": mode}
    if draw.boolean():
        kwargs["size"] = tuple(draw.integer(1, 6) for _ in range(axes))
    else:
        kwargs |= {"scale_factor": draw.choice((0.7, 1.5, 2.0)), "recompute_scale_factor": draw.choice((None, True))}
    if mode in (linear, "bicubic"):
        kwargs["align_corners"] = draw.choice((None, True, False))
    if mode in ("bilinear", "bicubic"):
        kwargs["antialias"] = draw.boolean()
    return (picture(draw, axes),), kwargs


@row()
def pixel_shuffle(draw):
    r = draw.integer(1, 3)
    return (draw.array((*draw.shape(max_ndim=2, max_side=2), 2 * r * r, 2, 1)), r), {}


@row()
def pixel_unshuffle(draw):
    r = draw.integer(1, 3)
    return (draw.array((*draw.shape(max_ndim=2, max_side=2), 2, 2 * r, r)), r), {}


@row()
def channel_shuffle(draw):
    return (draw.array((2, 6, *draw.shape(min_ndim=1, max_ndim=2, max_side=2))), draw.choice((1, 2, 3))), {}


def window(draw):
    return {
        "kernel_size": draw.choice((1, 2, (2, 1))),
        "dilation": draw.choice((1, (1, 2))),
        "padding": draw.choice((0, 1, (0, 1))),
        "stride": draw.choice((1, 2, (2, 1))),
    }


@row()
def unfold(draw):
    shape = (2, draw.integer(1, 2), draw.integer(3, 4), draw.integer(3, 4))
    return (draw.array(shape[draw.integer(0, 1) :]),), window(draw)


@row()
def fold(draw):
    options, size, c = window(draw), (draw.integer(3, 4), draw.integer(3, 4)), draw.integer(1, 2)
    columns = F.unfold(np.ones((1, c, *size)), **options).shape
    shape = columns if draw.boolean() else columns[1:]
    return (draw.array(shape), size), options


@row(rtol=1e-9, order=1)
def grid_sample(draw):
    axes = draw.integer(2, 3)
    x = picture(draw, axes)
    points = (x.shape[0], *(draw.integer(1, 2) for _ in range(axes)), axes)
    # Away from the positions of elements, and from halfway between them.
    grid = (draw.integers(points, -9, 9) + 0.137) / 7
    return (x, np.asarray(grid)), {
        "mode": draw.choice(("bilinear", "nearest", *["bicubic"] * (axes == 2))),
        "padding_mode": draw.choice(("zeros", "border", "reflection")),
        "align_corners": draw.boolean(),
    }


@row()
def affine_grid(draw):
    axes = draw.integer(2, 3)
    size = (draw.integer(1, 2), 1, *(draw.integer(2, 3) for _ in range(axes)))
    return (draw.array((size[0], axes, axes + 1)), size), {"align_corners": draw.boolean()}


@row()
def normalize(draw):
    shape = draw.choice(((2, 3), (3, 2, 2)))
    dims = draw.choice((1, -1, (0, 1), tuple(range(len(shape)))))
    return (directions(draw, shape),), {"p": draw.choice((2.0, 1.0, 3.0)), "dim": dims}


@row()
def pdist(draw):
    return (np.cumsum(draw.array((draw.integer(2, 4), 3), low=0.5, high=2.0), axis=0),), {
        "p": draw.choice((2.0, 1.0, 3.0))
    }


@row()
def bilinear(draw):
    lead = draw.shape(min_ndim=1, max_ndim=2)
    return (draw.array((*lead, 2)), draw.array((*lead, 3)), draw.array((4, 2, 3)), maybe(draw, (4,))), {}


def windows_without_overlap(axes):
    def sample(draw):
        k = draw.integer(1, 2)
        x = draw.array((*draw.choice(((2, 2), (2,))), *(draw.integer(2, 4) for _ in range(axes))), distinct=True)
        maxima, where = getattr(F, f"max_pool{axes}d")(x, k, return_indices=True)
        return (maxima.data, where.data, k), {"output_size": x.shape[-axes:]}

    sample.__name__ = f"max_unpool{axes}d"
    return sample


def norms(axes):
    def sample(draw):
        x = draw.array((2, 2, *(draw.integer(2, 4) for _ in range(axes))), low=0.2, high=2.0)
        return (x, draw.choice((2.0, 3.0, 1.0, np.inf)), 2), {
            "stride": draw.choice((None, 1)),
            "ceil_mode": draw.boolean(),
        }

    sample.__name__ = f"lp_pool{axes}d"
    return sample


for _axes in (1, 2, 3):
    row()(windows_without_overlap(_axes))
    # Second derivatives cancel exactly where a window has one element; what rounding leaves is no error.
    row(rtol=1e-9, order=1)(norms(_axes))


@row()
def local_response_norm(draw):
    x = draw.array((2, draw.integer(1, 4), *draw.choice(((3,), (2, 2)))))
    options = {"alpha": draw.choice((1e-4, 1.0)), "beta": draw.choice((0.75, 2.0)), "k": draw.choice((1.0, 2.0))}
    return (x, draw.integer(1, 5)), options


@row()
def embedding_bag(draw):
    weight, options = draw.array((5, 2), distinct=True), {"mode": draw.choice(("sum", "mean", "max"))}
    options["padding_idx"] = draw.choice((None, 1, -1))
    if draw.boolean():
        return (draw.integers((3, 4), 0, 4), weight), options
    if options["mode"] == "sum" and draw.boolean():
        options["per_sample_weights"] = draw.array((6,))
    offsets = np.array(draw.choice(([0], [0, 2, 2, 5], [0, 0, 6])))
    return (draw.integers((6,), 0, 4), weight, offsets), {**options, "include_last_offset": bool(offsets[-1] == 6)}


@row(order=1)
def triplet_margin_with_distance_loss(draw):
    args = directions(draw, (3, 4)), directions(draw, (3, 4)) + 5.0, directions(draw, (3, 4)) - 5.1
    return args, {"swap": draw.boolean(), "margin": 30.0, "reduction": draw.choice(("mean", "sum", "none"))}


@row()
def rrelu(draw):
    return (draw.array(draw.shape(), avoid=(0.0,)), 0.1, 0.4), {}


# --- the tests --------------------------------------------------------------------------------------------------------


def close(ours, theirs, words, rtol):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape, f"{words}: shape {ours.shape}, PyTorch's {theirs.shape}"
    np.testing.assert_allclose(
        ours, theirs, rtol=rtol, atol=rtol * max(1.0, float(np.abs(theirs).max(initial=0.0))), err_msg=words
    )


def parts(out):
    return list(out) if isinstance(out, tuple | list) else [out]


# "mean" of kl_div warns that it will change.
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
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
        out, reference = (
            parts(spec.call(F, name, ours, ours_named)),
            parts(spec.call(torch.nn.functional, name, theirs, theirs_named)),
        )
        for i, (a, b) in enumerate(zip(out, reference, strict=True)):
            close(a.data, b, f"output {i}", spec.rtol)
        free = [i for i, a in enumerate(args) if spec.free(i, a)]
        rng = np.random.default_rng(0)
        seeds = [rng.standard_normal(o.shape) for o in out]
        grads = ad.gradients(out, [ours[i] for i in free], seeds, allow_unused=True)
        expected = torch.autograd.grad(
            reference, [theirs[i] for i in free], [torch.tensor(s) for s in seeds], allow_unused=True
        )
        for i, g, e in zip(free, grads, expected, strict=True):
            zeros = np.zeros(args[i].shape)
            close(
                zeros if g is None else g,
                torch.tensor(zeros) if e is None else e,
                f"gradient of argument {i}",
                spec.rtol,
            )
        for i in spec.constant:
            if array(args[i]):
                close(ours[i].data, theirs[i], f"argument {i} after the call", spec.rtol)

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
            return spec.call(F, name, full, kwargs)

        check_gradients(call, *(args[i] for i in free), order=spec.order, name=name)

    holds()


@pytest.mark.parametrize("name", ["softmax", "softmin", "log_softmax"])
def test_a_dtype_is_that_of_the_sums_and_the_gradient_comes_back_in_the_inputs(name):
    x = ad.tensor(np.float32([[1.0, 2.0, 4.0]]), requires_grad=True)
    out = getattr(F, name)(x, 1, dtype=np.float64)
    assert out.dtype == np.float64
    np.testing.assert_array_equal(out.data, getattr(F, name)(x.data.astype(float), 1).data)
    out.backward(np.array([[1.0, 0.0, 0.0]]))
    assert x.grad.dtype == np.float32


ONES = np.ones((2, 3), np.float32)
# name -> (function, arrays with a gradient, the others)
CORNERS = {
    "a divergence of nothing": ("kl_div", [np.ones((0, 3))], {"target": np.ones((0, 3)), "reduction": "batchmean"}),
    "a variance that is a number": ("gaussian_nll_loss", [ONES, 3 * ONES], {"var": 0.5}),
    "slopes of no channels": ("prelu", [np.ones((2, 0)), np.ones(0)], {}),
    "a training batch of nothing": (
        "batch_norm",
        [np.ones((0, 2, 3)), np.ones(2)],
        {"running_mean": np.ones(2), "running_var": np.full(2, 3.0), "training": True},
    ),
    "an impossible label sequence": ("ctc_loss", [np.random.default_rng(0).normal(size=(3, 2, 3))], {}),
}


@pytest.mark.skipif(not HAS_TORCH, reason="the independent truth here is PyTorch")
@pytest.mark.parametrize("case", CORNERS)
def test_corners_agree_with_pytorch(case):
    import torch

    name, free, options = CORNERS[case]
    seen = []
    for lib, tensor in ((F, ad.tensor), (torch.nn.functional, torch.tensor)):
        leaves = [tensor(a, requires_grad=True) for a in free]
        given = {key: tensor(a.copy()) if isinstance(a, np.ndarray) else a for key, a in options.items()}
        if name == "ctc_loss":
            lengths = [tensor(np.array(a)) for a in ([[1], [2]], [2, 0], [1, 1])]
            out = lib.ctc_loss(lib.log_softmax(leaves[0], -1), *lengths, reduction="none")
        elif name == "batch_norm":
            out = lib.batch_norm(leaves[0], weight=leaves[1], **given)
        else:
            out = getattr(lib, name)(*leaves, **given)
        out.sum().backward()
        seen.append([np.asarray(a.detach()) for a in (out, *given.values()) if hasattr(a, "detach")])
        seen[-1] += [np.asarray(leaf.grad) for leaf in leaves]
    for ours, theirs in zip(*seen, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def _halves(*shape, scale=1.0, add=0.0):
    return (np.random.default_rng(0).normal(size=shape) * scale + add).astype(np.float16)


MANY, ONES_OF_MANY = 70_000, np.ones(70_000, np.float16)
# name -> (function, arrays with a gradient, the other arguments)
HALVES = {
    "layer_norm": (lambda L, x: L.layer_norm(x, (6,)), [_halves(4, 6, scale=300.0)]),
    "rms_norm": (lambda L, x: L.rms_norm(input=x, normalized_shape=(6,)), [_halves(4, 6, scale=300.0)]),
    "rms_norm of small ones": (lambda L, x: L.rms_norm(x, (6,)), [_halves(4, 6, scale=1e-2)]),
    "batch_norm": (
        lambda L, x, w: L.batch_norm(x, None, None, w, training=True),
        [_halves(4, 6, scale=300.0), _halves(6)],
    ),
    "group_norm": (lambda L, x: L.group_norm(x, 2), [_halves(2, 4, 4, scale=300.0)]),
    "instance_norm": (lambda L, x: L.instance_norm(x), [_halves(2, 4, 4, scale=300.0)]),
    "avg_pool2d": (lambda L, x: L.avg_pool2d(x, 2), [_halves(1, 1, 4, 4, add=3e4)]),
    "adaptive_avg_pool1d": (lambda L, x: L.adaptive_avg_pool1d(x, 1), [_halves(1, 1, 4, add=3e4)]),
    "softmax": (lambda L, x: L.softmax(x, -1), [_halves(2, MANY)]),
    "softmax in double": (lambda L, x: L.softmax(x, -1, dtype=L.double), [_halves(2, 3)]),
    "gelu": (lambda L, x: L.gelu(x, approximate="tanh"), [_halves(50, scale=60.0)]),
    "mse_loss": (lambda L, x, y: L.mse_loss(x, y), [2 * ONES_OF_MANY, ONES_OF_MANY]),
    "l1_loss": (lambda L, x, y: L.l1_loss(x, y), [2 * ONES_OF_MANY, ONES_OF_MANY]),
    "smooth_l1_loss": (lambda L, x, y: L.smooth_l1_loss(x, y), [2 * ONES_OF_MANY, ONES_OF_MANY]),
    "with logits": (lambda L, x, y: L.binary_cross_entropy_with_logits(x, y), [0 * ONES_OF_MANY, ONES_OF_MANY]),
}


@pytest.mark.skipif(not HAS_TORCH, reason="the independent truth here is PyTorch")
@pytest.mark.parametrize("case", HALVES)
def test_half_precision_computes_in_single(case):
    import types

    import torch

    call, arrays = HALVES[case]
    seen = []
    for lib, double, tensor in ((F, np.float64, ad.tensor), (torch.nn.functional, torch.float64, torch.tensor)):
        leaves = [tensor(a, requires_grad=True) for a in arrays]
        out = call(types.SimpleNamespace(**vars(lib), double=double), *leaves)
        weights = np.linspace(0.5, 1.5, int(np.prod(tuple(out.shape)))).reshape(tuple(out.shape)).astype(np.float16)
        out.backward(tensor(weights))
        seen.append([np.asarray(out.detach()), *(np.asarray(leaf.grad) for leaf in leaves)])
    for ours, theirs in zip(*seen, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=2e-2, atol=2e-2 * float(np.abs(theirs).max()))


def test_weights_of_many_halves_add_up():
    # The mean of ones, whatever their weights; their sum, 70,000, is beyond half precision.
    assert F.mse_loss(2 * ONES_OF_MANY, ONES_OF_MANY, weight=ONES_OF_MANY).item() == 1
    rows, classes = np.full((MANY, 2), -1, np.float16), np.zeros(MANY, int)
    assert F.nll_loss(rows, classes, weight=np.ones(2, np.float16)).item() == 1


def _far(mode, padding):
    x = np.array([1.0, 2.0, 3.0, np.inf]).reshape(1, 1, 1, 4)
    grid = np.array([[-3.0, 0.0], [-0.6, 0.2], [7.0, 0.0], [1e30, 0.0], [0.0, -1e30]]).reshape(1, 1, 5, 2)
    return "grid_sample", (x, grid), {"mode": mode, "padding_mode": padding, "align_corners": False}


INFINITE = {
    "a class that nobody may choose": ("multilabel_margin_loss", (np.array([0.1, -np.inf, 0.4]), [0, -1, -1]), {}),
    **{f"{mode} of {p}": _far(mode, p) for mode in ("bilinear", "nearest") for p in ("zeros", "border", "reflection")},
    "bicubic of zeros": _far("bicubic", "zeros"),
}


@pytest.mark.skipif(not HAS_TORCH, reason="the independent truth here is PyTorch")
@pytest.mark.parametrize("case", INFINITE)
def test_what_counts_for_nothing_may_be_infinite(case):
    import torch

    name, (x, other), options = INFINITE[case]
    seen = []
    for lib, tensor in ((F, ad.tensor), (torch.nn.functional, torch.tensor)):
        leaf = tensor(x, requires_grad=True)
        out = getattr(lib, name)(leaf, tensor(other), **options)
        out.sum().backward()
        seen.append((np.asarray(out.detach()), np.asarray(leaf.grad)))
    for ours, theirs in zip(*seen, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
