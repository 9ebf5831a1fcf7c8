"""Compiled kernels: the laws again, now through them; accuracy of their exponential; the switch, the threads, the
sizes.
"""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
import optim
from autodiff import fused, kernels
from autodiff.core.errors import ArgumentError
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.fused.pooling import maxima_of
from autodiff.testing import HypothesisDraw, verify
from autodiff.testing.laws import LAWS

pytest.importorskip("numba", reason="compiled kernels need the extra 'fast'")


@contextmanager
def using(mode):
    before = kernels.use(mode)
    try:
        yield
    finally:
        kernels.use(before)


OPS = (
    "batch_norm",
    "conv",
    "conv_transpose",
    "layer_norm",
    "cross_entropy",
    "dropout",
    "gelu",
    "gelu_tanh",
    "max_pool",
    "relu",
)
# What a kernel could get wrong on its own; the others test the engine.
CHOSEN = (
    "composed_equals_fused",
    "every_subset_of_inputs",
    "float32_stays_float32",
    "gradients_match_numeric",
    "gradients_share_no_memory",
    "inputs_are_left_alone",
    "layout_does_not_matter",
    "linear_in_the_cotangent",
    "reruns_agree_to_the_bit",
)


@pytest.fixture
def numba_only():
    before = kernels.use("numba")
    yield
    kernels.use(before)


@pytest.fixture(params=[1, 3])
def threads(request):
    before = kernels.set_threads(request.param)
    yield request.param
    kernels.set_threads(before)


@pytest.mark.usefixtures("numba_only")
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("law", CHOSEN)
def test_laws(law, name):
    op = registry[name]

    @hypothesis.settings(max_examples=6)
    @given(st.data())
    def holds(data):
        args, kwargs = sample_call(op, HypothesisDraw(data.draw))
        LAWS[law](op, args, kwargs)

    holds()


@pytest.mark.usefixtures("numba_only")
@pytest.mark.parametrize("name", OPS)
def test_verification(name):
    for seed in range(3):
        assert verify(name, seed=seed).passed


CALLS = {
    "batch_norm 1-d": (fused.batch_norm, (300, 700), 700),
    "batch_norm 2-d": (fused.batch_norm, (20, 30, 9, 13), 30),
    "layer_norm": (fused.layer_norm, (40, 9, 517), 517),
}


@pytest.mark.usefixtures("numba_only")
@pytest.mark.parametrize("op", [fused.batch_norm, fused.layer_norm])
def test_normalisations_refuse_an_eps_below_zero(op):
    with pytest.raises(ad.ArgumentError, match="eps must not be negative"):
        op(np.eye(3), eps=-1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", sorted(CALLS))
def test_normalisations_of_large_arrays(case, dtype, threads, rng):
    """Kernel and NumPy in the same dtype, both against float64: the kernel may not be the worse one."""
    op, shape, width = CALLS[case]
    x, w, b = rng.normal(size=shape) * 3 + 5, rng.normal(size=width), rng.normal(size=width)
    g = rng.normal(size=shape)

    def results(mode, kind):
        before = kernels.use(mode)
        leaves = [ad.tensor(a.astype(dtype).astype(kind), requires_grad=True) for a in (x, w, b)]
        out = op(*leaves)
        out.backward(g.astype(dtype).astype(kind))
        kernels.use(before)
        return [out.data, *(leaf.grad for leaf in leaves)]

    eps = float(np.finfo(dtype).eps)
    for ours, plain, truth in zip(
        results("auto", dtype), results("numpy", dtype), results("numpy", np.float64), strict=True
    ):
        assert ours.dtype == dtype
        scale = np.abs(truth).max() * eps
        assert np.abs(ours - truth).max() / scale <= 4 * np.abs(plain - truth).max() / scale + 16


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_large_arrays(reduction, threads, rng):
    x, y = (rng.normal(size=(70, 1001)) * 8).astype(np.float32), rng.integers(0, 1001, 70)
    found = {}
    for mode, kind in (("auto", np.float32), ("numpy", np.float64)):
        before = kernels.use(mode)
        leaf = ad.tensor(x.astype(kind), requires_grad=True)
        out = fused.cross_entropy(leaf, y, reduction=reduction)
        out.backward(np.full(out.shape, 0.5, kind))
        kernels.use(before)
        found[kind] = (out.data, leaf.grad)
        assert out.dtype == leaf.grad.dtype == kind
    for a, b in zip(found[np.float32], found[np.float64], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-7 * np.abs(b).max())


@pytest.mark.usefixtures("numba_only")
def test_cross_entropy_at_the_ends_of_the_range():
    x = ad.tensor(np.array([[1e4, 0.0, -1e4], [np.inf, 0.0, 0.0], [np.nan, 0.0, 0.0]], np.float32), requires_grad=True)
    with np.errstate(invalid="ignore"):
        losses = fused.cross_entropy(x, np.array([1, 0, 0]), reduction="none")
    assert losses.data[0] == 1e4
    assert np.isnan(losses.data[1:]).all()
    losses[0].backward()
    np.testing.assert_array_equal(x.grad[0], [1.0, -1.0, 0.0])


def test_the_exponential_is_accurate_to_the_bound_it_states():
    import numba

    from autodiff.kernels import compiled

    @numba.njit
    def every(x, out):
        for i in range(x.size):
            out[i] = compiled_exp(x[i])

    compiled_exp = compiled._exp
    x = np.concatenate([np.linspace(-87, 88, 1_000_003), -np.logspace(-30, 0, 1000)]).astype(np.float32)
    out = np.empty_like(x)
    every(x, out)
    truth = np.exp(x.astype(np.float64))
    ulps = np.abs(out - truth) / np.spacing(truth.astype(np.float32)).astype(np.float64)
    assert ulps.max() <= 1.3


def test_gelu_keeps_the_digits_of_its_tail():
    x = np.concatenate([np.linspace(-12, 12, 100_001), [0.0, -1e20, 1e20, 3e38, -3e38]]).astype(np.float32)
    found = {}
    for mode, kind in (("numba", np.float32), ("numpy", np.float64)):
        before = kernels.use(mode)
        leaf = ad.tensor(x.astype(kind), requires_grad=True)
        out = fused.gelu(leaf)
        out.sum().backward()
        kernels.use(before)
        found[kind] = (out.data, leaf.grad)
    for ours, truth in zip(found[np.float32], found[np.float64], strict=True):
        np.testing.assert_allclose(ours[x > -9], truth[x > -9], rtol=2e-5, atol=2e-7)
        np.testing.assert_allclose(ours, truth, rtol=2e-5, atol=1e-7)
        tail = (x < -3) & (x > -12)
        np.testing.assert_allclose(ours[tail], truth[tail], rtol=2e-5, atol=1e-37)


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_that_are_not_finite_go_the_way_that_they_go_in_numpy(dtype, special, rng):
    x = rng.normal(size=(64, 8, 16)).astype(dtype)
    x[3, 1, 2] = special

    def told(layer, x):
        leaf = ad.tensor(x, requires_grad=True)
        out = layer(leaf)
        out.sum().backward()
        found = [out.data, leaf.grad, *(getattr(layer, "_buffers", {}).get(f"running_{k}") for k in ("mean", "var"))]
        return [np.asarray(array) for array in found if array is not None]

    for make, array in (
        (lambda: nn.BatchNorm1d(8, dtype=dtype), x),
        (lambda: nn.BatchNorm1d(16, dtype=dtype), x.reshape(-1, 16)),
        (lambda: nn.LayerNorm(16, dtype=dtype), x),
        (nn.GELU, x),
        (lambda: nn.GELU("tanh"), x),
    ):
        with using("numba"):
            ours = told(make(), array)
        with using("numpy"):
            numpys = told(make(), array)
        for a, b in zip(ours, numpys, strict=True):
            for question in (np.isnan, np.isposinf, np.isneginf):
                np.testing.assert_array_equal(question(a), question(b), err_msg=str(make()))


def test_gelu_tanh_keeps_the_digits_of_its_tail():
    x = np.concatenate(
        [np.linspace(-12, 12, 100_001), [0.0, -1e20, 1e20, 3e38, -3e38, -10.04, -10.05, -101, 101]]
    ).astype(np.float32)
    truth = ad.tensor(x.astype(np.float64), requires_grad=True)
    # The quotient keeps the digits of the left tail that 1 + tanh loses.
    near = np.clip(truth, -13, 13)
    exact = truth / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (near + 0.044715 * near**3)))
    exact.sum().backward()
    with using("numba"):
        leaf = ad.tensor(x, requires_grad=True)
        out = fused.gelu_tanh(leaf)
        out.sum().backward()
    assert out.dtype == leaf.grad.dtype == np.float32
    for ours, correct in ((out.data, exact.data), (leaf.grad, truth.grad)):
        np.testing.assert_allclose(ours[x > -9], correct[x > -9], rtol=2e-5, atol=3e-7)
        np.testing.assert_allclose(ours[x < -3], correct[x < -3], rtol=5e-5, atol=1e-35)
    with using("numba"):
        assert np.isnan(fused.gelu_tanh(np.full(3, np.nan, np.float32)).data).all()


POOLS = {
    "2x2": ((7, 9, 32, 40), {"kernel_size": 2}),
    "2x2, a row over": ((7, 9, 33, 40), {"kernel_size": 2}),
    "3x3 by 2, padded": ((5, 6, 50, 47), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "3x2 by 1, dilated": ((4, 5, 60, 61), {"kernel_size": (3, 2), "stride": 1, "padding": (1, 0), "dilation": (2, 3)}),
    "3 by 2, rounded up": ((40, 50, 40), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    "wider than the line": ((60, 50, 25), {"kernel_size": 25, "stride": 30, "padding": 12}),
    "three axes": ((4, 5, 16, 16, 16), {"kernel_size": 2}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", sorted(POOLS))
def test_max_pooling_to_the_bit(case, dtype, threads, rng):
    """Ties, NaN, infinities and signed zeros in every window's reach: values, which of the largest was taken, and
    gradients.
    """
    shape, options = POOLS[case]
    x = rng.integers(-3, 3, shape).astype(dtype)
    for value in (np.nan, np.inf, -np.inf, -0.0):
        x[rng.random(shape) < 0.05] = value
    found = []
    for mode in ("auto", "numpy"):
        with using(mode):
            leaf = ad.tensor(x, requires_grad=True)
            out, residuals = fused.max_pool.forward(x, **options)
            fused.max_pool(leaf, **options).backward(np.arange(out.size, dtype=dtype).reshape(out.shape))
            found.append((out, maxima_of(residuals), leaf.grad))
    for ours, numpy in zip(*found, strict=True):
        assert ours.dtype == numpy.dtype
        assert ours.tobytes() == numpy.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masks_to_the_bit(dtype, threads, rng):
    """Dropout and ReLU in one pass give NumPy's bits; ReLU lets nothing of the cotangent through where it is flat."""
    x, g = rng.normal(size=(2, 300, 400)).astype(dtype)
    x[:5, :5], g[::7, ::5], g[::7, 1::5] = 0, np.nan, np.inf
    x[7] = np.nan
    mask = fused.dropout_mask(x.shape, 0.3, rng)
    found = []
    for mode in ("auto", "numpy"):
        with using(mode), np.errstate(invalid="ignore"):
            leaf, other = ad.tensor(x, requires_grad=True), ad.tensor(x, requires_grad=True)
            out, dropped = fused.relu(leaf), fused.dropout(other, mask, p=0.3)
            out.backward(g)
            dropped.backward(g)
            found.append((out.data, leaf.grad, dropped.data, other.grad))
    for ours, numpy in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, numpy, strict=True)
    assert (found[0][1][x <= 0] == 0).all()


CONVOLUTIONS = {
    "3x3": ((32, 16, 32, 32), (32, 16, 3, 3), {"padding": 1}),
    "odd numbers of everything": ((5, 7, 43, 51), (13, 7, 3, 2), {"padding": (1, 0)}),
    "groups": ((6, 6, 45, 51), (9, 2, 3, 3), {"groups": 3, "padding": "same"}),
    "depthwise": ((6, 12, 33, 31), (12, 1, 5, 3), {"groups": 12, "padding": 2}),
    "small images, some left over": ((133, 9, 9, 8), (10, 9, 3, 3), {"padding": 1}),
    "a line, dilated": ((9, 5, 1600), (6, 5, 7), {"padding": 6, "dilation": 2}),
    "three axes": ((3, 4, 16, 17, 18), (5, 4, 3, 3, 3), {"padding": 1}),
    "no padding": ((4, 3, 70, 90), (16, 3, 1, 5), {}),
    "stride": ((8, 16, 31, 33), (32, 16, 3, 3), {"padding": 1, "stride": 2}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", sorted(CONVOLUTIONS))
def test_convolution_of_large_arrays(case, dtype, threads, rng):
    """Forward and all three gradients beside BLAS in the same dtype, both against float64."""
    shape, kernel, options = CONVOLUTIONS[case]
    arrays = [rng.normal(size=s).astype(dtype) for s in (shape, kernel, kernel[:1])]
    found = {}
    for mode, kind in (("auto", dtype), ("numpy", dtype), ("numpy", np.float64)):
        with using(mode):
            leaves = [ad.tensor(a.astype(kind), requires_grad=True) for a in arrays]
            out = fused.conv(*leaves, **options)
            out.backward(np.sin(np.arange(out.size)).reshape(out.shape).astype(dtype).astype(kind))
            found[mode, kind] = [out.data, *(leaf.grad for leaf in leaves)]
    for ours, plain, truth in zip(found["auto", dtype], found["numpy", dtype], found["numpy", np.float64], strict=True):
        assert ours.dtype == dtype
        scale = np.abs(truth).max() * np.finfo(dtype).eps
        assert np.abs(ours - truth).max() <= 2 * np.abs(plain - truth).max() + 16 * scale


def test_a_convolution_does_not_mix_images_or_channels(rng):
    """What is not finite in one channel of one image stays within the windows that meet it."""
    x, w = rng.normal(size=(9, 4, 40, 50)).astype(np.float32), rng.normal(size=(4, 2, 3, 3)).astype(np.float32)
    x[4, 2, 20, 0] = np.inf
    with using("auto"):
        out = fused.conv(x, w, groups=2, padding=1).data
    wrong = ~np.isfinite(out)
    assert not wrong[[0, 1, 2, 3, 5, 6, 7, 8]].any()
    assert not wrong[4, :2].any()
    assert sorted(map(tuple, np.argwhere(wrong[4, 2]))) == [(i, j) for i in (19, 20, 21) for j in (0, 1)]


@pytest.mark.parametrize("maker", [optim.Adam, optim.AdamW])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"maximize": True, "weight_decay": 0.02}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam(maker, options, dtype, threads, rng):
    start = [rng.normal(size=(300, 300)).astype(dtype), rng.normal(size=70_000).astype(dtype)]
    grads = [[rng.normal(size=p.shape).astype(dtype) for p in start] for _ in range(4)]
    found = {}
    for mode in ("auto", "numpy"):
        before = kernels.use(mode)
        leaves = [ad.tensor(p, requires_grad=True) for p in start]
        optimizer = maker(leaves, lr=0.01, **options)
        for step in grads:
            for leaf, g in zip(leaves, step, strict=True):
                leaf.grad = g
            optimizer.step()
        kernels.use(before)
        found[mode] = [leaf.data for leaf in leaves] + [
            s for p in leaves for s in (optimizer.state[p]["exp_avg"], optimizer.state[p]["exp_avg_sq"])
        ]
    for a, b in zip(found["auto"], found["numpy"], strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=64 * np.finfo(dtype).eps, atol=16 * np.finfo(dtype).eps)


def _normalised(x, g):
    leaf = ad.tensor(x, requires_grad=True)
    w = ad.tensor(np.linspace(0.5, 2, x.shape[1]).astype(np.float32), requires_grad=True)
    out = fused.layer_norm(leaf, w)
    out.backward(g)
    return out.data, leaf.grad, w.grad


def test_threads_give_the_same_bits_however_they_share_the_work(rng):
    """Awake, asleep, wanted by several callers at once, or not there: who takes a share changes nothing."""
    x, g = rng.normal(size=(2, 301, 512)).astype(np.float32)
    before = kernels.set_threads(3)
    try:
        first = _normalised(x, g)
        found = [_normalised(x, g) for _ in range(200)]
        for pause in (0.0, 0.001, 0.05):
            time.sleep(pause)
            found.append(_normalised(x, g))
        with ThreadPoolExecutor(4) as pool:
            found += pool.map(lambda _: _normalised(x, g), range(100))
        for arrays in found:
            for a, b in zip(first, arrays, strict=True):
                assert a.tobytes() == b.tobytes()
        kernels.set_threads(1)
        for a, b in zip(first, _normalised(x, g), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    finally:
        kernels.set_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_helpers_of_its_own():
    code = """if True:
        import os, sys, numpy as np, autodiff as ad
        from autodiff import fused, kernels
        kernels.set_threads(2)
        x = np.random.default_rng(0).normal(size=(256, 1024)).astype(np.float32)
        here = fused.layer_norm(x).data
        child = os.fork()
        if not child:
            os._exit(int(fused.layer_norm(x).data.tobytes() != here.tobytes()))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert fused.layer_norm(x).data.tobytes() == here.tobytes()
    """
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("values", ["constant", "far from zero", "large and opposite", "mixed"])
@pytest.mark.parametrize("shape", [(20000, 4), (8, 3, 90, 90), (3, 30000)], ids=str)
@pytest.mark.filterwarnings("ignore:overflow")
def test_sums_are_as_accurate_as_numpys(shape, values, dtype, rng):
    """Batch and layer norm against a wider format: a kernel's error is at most NumPy's, or a few units of its own."""
    scale = 1e15 if dtype == np.float32 else 1e100
    x = {
        "constant": lambda: np.full(shape, 12345.678),
        "far from zero": lambda: rng.normal(size=shape) + 1000,
        "large and opposite": lambda: rng.choice([-scale, scale], shape),
        "mixed": lambda: np.where(rng.random(shape) < 0.5, rng.choice([-1e6, 1e6], shape), rng.normal(size=shape)),
    }[values]().astype(dtype)
    g = rng.normal(size=shape).astype(dtype)

    def found(op, mode, wide):
        before = kernels.use(mode)
        x_, g_ = (a.astype(np.longdouble) if wide else a for a in (x, g))
        leaf = ad.tensor(x_, requires_grad=True)
        out = op(leaf)
        out.backward(g_)
        kernels.use(before)
        return out.data, leaf.grad

    for op in (fused.batch_norm, fused.layer_norm):
        if op is fused.batch_norm and shape[0] < 8 and len(shape) == 2:
            continue  # a batch of three has no long sums
        for ours, plain, truth in zip(
            found(op, "numba", False), found(op, "numpy", False), found(op, "numpy", True), strict=True
        ):
            largest = max(float(np.abs(truth).max()), float(np.finfo(dtype).tiny))
            error, allowed = (float(np.abs(a - truth).max()) / largest for a in (ours, plain))
            if values == "constant" and op is fused.batch_norm and ours is not plain and not truth.any():
                assert not ours.any()
            else:
                assert error <= allowed + 8 * np.finfo(dtype).eps


@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1}, {"maximize": True}, {"eps": 0.0}, {"betas": (0.0, 0.0)}]
)
@pytest.mark.filterwarnings("ignore:(overflow|invalid|divide)")
def test_adam_with_numbers_that_are_none(options):
    special = np.array([np.inf, -np.inf, np.nan, 1e30, -1e30, 0.0, 1.0])
    p, g = (a.ravel() for a in np.meshgrid(special, special))

    def steps(mode):
        before = kernels.use(mode)
        w = ad.tensor(np.resize(p, 2000), requires_grad=True)
        optimizer = optim.Adam([w], lr=0.1, **options)
        for _ in range(3):
            w.grad = np.resize(g, 2000)
            optimizer.step()
        kernels.use(before)
        return w.data

    np.testing.assert_allclose(steps("numba"), steps("numpy"), rtol=1e-12, equal_nan=True)


def test_helpers_fall_asleep_and_leave_when_they_are_dismissed(rng):
    x, g = rng.normal(size=(2, 301, 512)).astype(np.float32)
    names = {f"autodiff-kernel-{i}" for i in (1, 2, 3)}
    cores = len(os.sched_getaffinity(0))

    def helpers():
        return [t for t in threading.enumerate() if t.name in names]

    before = kernels.set_threads(4)
    try:
        _normalised(x, g)
        assert len(helpers()) == min(4, cores) - 1
        clocks = [time.pthread_getcpuclockid(t.ident) for t in helpers()]
        spent, before_that = [time.clock_gettime(c) for c in clocks], None
        end = time.monotonic() + 30.0
        while spent != before_that:  # a helper that never falls asleep spends time in each turn
            assert time.monotonic() < end
            time.sleep(0.05)
            spent, before_that = [time.clock_gettime(c) for c in clocks], spent
        kernels.set_threads(1)
        assert not helpers()
    finally:
        kernels.set_threads(before)


def test_a_failure_in_a_share_is_told_when_all_are_done():
    from autodiff.kernels.threads import Team, kernel

    @kernel
    def half(start, stop, out):
        if start:
            raise MemoryError
        for i in range(start, stop):
            out[i] = 1

    team, out = Team(2), np.zeros(8)
    with pytest.raises(MemoryError, match="working memory"):
        team.call(half, 8, 4, out)
    team.dismiss()
    np.testing.assert_array_equal(out, [1, 1, 1, 1, 0, 0, 0, 0])


def test_small_arrays_load_no_compiler():
    code = (
        "import sys, numpy as np, autodiff as ad; from autodiff import fused\n"
        "x = ad.tensor(np.ones((8, 8), np.float32), requires_grad=True); fused.layer_norm(x).sum().backward()\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kernels_in_the_place_of_many_passes_are_taken_sooner(rng):
    """A norm from 1,024 elements on, dropout, where NumPy makes two passes, from 8,192; one switch is for all of
    them.
    """
    mask = np.ones((64, 128), bool)
    calls = {
        fused.layer_norm: ((rng.normal(size=(32, 32)),), (rng.normal(size=(31, 32)),)),
        fused.gelu: ((rng.normal(size=1024).astype(np.float32),), (rng.normal(size=1023).astype(np.float32),)),
        fused.dropout: ((rng.normal(size=mask.shape), mask), (rng.normal(size=(63, 128)), mask[1:])),
    }
    for op, (enough, few) in calls.items():
        for mode, expected in (("auto", (True, False)), ("numba", (True, True)), ("numpy", (False, False))):
            before = kernels.use(mode)
            for (x, *others), taken in zip((enough, few), expected, strict=True):
                residuals = op.forward(x, *others)[1], op(ad.tensor(x, requires_grad=True), *others)._node.saved[1]
                assert [held.__class__ is kernels.Kept for held in residuals] == [taken, taken], (op, mode)
            kernels.use(before)


def test_a_recorded_step_replays_the_kernels(rng):
    """A plan of autodiff.compile calls the kernels that the eager step calls, and so has its bits."""
    x, w, b = (rng.normal(size=shape).astype(np.float32) for shape in ((256, 400), 400, 400))

    def losses(mode, compiled):
        leaves = [ad.tensor(a, requires_grad=True) for a in (w, b)]
        optimizer = optim.SGD(leaves, lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = (fused.gelu(fused.layer_norm(x, *leaves)) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = ad.compile(step) if compiled else step
        before = kernels.use(mode)
        found = [run(x + i).item() for i in range(4)]
        kernels.use(before)
        return found

    np.testing.assert_array_equal(losses("auto", True), losses("auto", False))
    np.testing.assert_array_equal(losses("numpy", True), losses("numpy", False))
    np.testing.assert_allclose(losses("auto", False), losses("numpy", False), rtol=1e-5)


def test_a_recorded_convolutional_step_replays_the_kernels(rng):
    """Convolution, pooling, masks and the loss: a plan has the eager step's bits, also where the input moves and the
    masks are drawn afresh.
    """
    x, w, b, v = (
        rng.normal(size=shape).astype(np.float32) for shape in ((20, 3, 40, 40), (8, 3, 3, 3), 8, (8 * 20 * 20, 30))
    )
    y = rng.integers(0, 30, 20)

    def losses(compiled):
        leaves = [ad.tensor(a, requires_grad=True) for a in (w, b, v * np.float32(0.01))]
        optimizer = optim.SGD(leaves, lr=0.01)
        generator = np.random.default_rng(1)

        def step(x):
            optimizer.zero_grad()
            kernel, bias, last = leaves
            hidden = fused.max_pool(fused.relu(fused.conv(x, kernel, bias, padding=1)), kernel_size=2)
            hidden = fused.dropout(hidden, fused.dropout_mask(hidden.shape, 0.25, generator), p=0.25)
            loss = fused.cross_entropy(hidden.reshape(20, -1) @ last, y)
            loss.backward()
            optimizer.step()
            return loss

        run = ad.compile(step) if compiled else step
        return [run(x + np.float32(0.1 * i)).item() for i in range(4)] + [leaf.data for leaf in leaves]

    for replayed, eager in zip(losses(True), losses(False), strict=True):
        np.testing.assert_array_equal(replayed, eager)


def test_the_switch(monkeypatch, rng):
    called = []
    fake = lambda name, *rest, **more: called.append(name) or [((0,), (0,))]
    monkeypatch.setattr("autodiff.kernels.adapters.run", fake)
    large = rng.normal(size=(300, 300))
    for mode, expected in (("auto", True), ("numpy", False)):
        before = kernels.use(mode)
        fused.batch_norm.forward(large)
        assert bool(called) == expected
        called.clear()
        fused.batch_norm.forward(large.T)  # not in C order
        fused.batch_norm.forward(large.astype(np.longdouble))
        fused.batch_norm.forward(large[:5, :5])
        assert not called
        assert kernels.use(before) == mode
    with pytest.raises(ArgumentError, match="mode"):
        kernels.use("fortran")
    with pytest.raises(ArgumentError, match="positive"):
        kernels.set_threads(0)
    for variable, word in (("numpy", "numpy"), ("rust", "AUTODIFF_KERNELS")):
        code = "from autodiff import kernels; print(kernels.using())"
        monkeypatch.setenv("AUTODIFF_KERNELS", variable)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert word in done.stdout + done.stderr


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False, "batch_first": True}]
)
def test_lstm_layers_have_the_bits_of_numpy(dtype: type, options: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    layer = nn.LSTM(6, 64, **options)
    for p in layer.parameters():
        p.data = rng.normal(scale=0.5, size=p.shape).astype(dtype)
    x = rng.normal(size=(5, 40, 6)).astype(dtype)
    found = []
    for mode in ("numpy", "numba"):
        with using(mode):
            t = ad.Tensor(x, requires_grad=True)
            layer.zero_grad()
            out, (h, c) = layer(t)
            (np.sum(out**2) + np.sum(np.sin(h)) + np.sum(c**3)).backward()
            found.append(
                [v.tobytes() for v in (out.data, h.data, c.data, t.grad, *(p.grad for p in layer.parameters()))]
            )
    assert found[0] == found[1]
