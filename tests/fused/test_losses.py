"""Losses for extreme scores, of nothing, at infinity; CTC against every alignment counted; what is refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.fused import losses
from nn import functional as F

X = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 3.0]])
Y = np.array([1, 2])
HALF = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.25]])
SIGNS = np.array([[1, -1, 1], [-1, 1, -1]])
CALLS = {
    "cross_entropy": lambda x: F.cross_entropy(x, Y),
    "cross_entropy smooth": lambda x: F.cross_entropy(x, Y, label_smoothing=0.1),
    "nll_loss": lambda x: F.nll_loss(F.log_softmax(x, 1), Y),
    "multi_margin_loss": lambda x: F.multi_margin_loss(x, Y),
    "multi_margin_loss 2": lambda x: F.multi_margin_loss(x, Y, p=2),
    "binary_cross_entropy_with_logits": lambda x: F.binary_cross_entropy_with_logits(x, HALF.astype(x.dtype)),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy(F.sigmoid(x), HALF.astype(x.dtype)),
    "kl_div": lambda x: F.kl_div(F.log_softmax(x, 1), HALF.astype(x.dtype), "batchmean"),
    "soft_margin_loss": lambda x: F.soft_margin_loss(x, SIGNS),
    "mse_loss": lambda x: F.mse_loss(x, HALF.astype(x.dtype)),
    "l1_loss": lambda x: F.l1_loss(x, HALF.astype(x.dtype)),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, HALF.astype(x.dtype)),
    "huber_loss": lambda x: F.huber_loss(x, HALF.astype(x.dtype)),
    "hinge_embedding_loss": lambda x: F.hinge_embedding_loss(x, SIGNS),
    "cosine_embedding_loss": lambda x: F.cosine_embedding_loss(x, HALF.astype(x.dtype), np.array([1, -1])),
    "triplet_margin_loss": lambda x: F.triplet_margin_loss(x, HALF.astype(x.dtype), x[::-1]),
    "ctc_loss": lambda x: F.ctc_loss(F.log_softmax(x, 1), np.array([1]), 2, 1),
}


@pytest.mark.parametrize("name", CALLS)
def test_huge_scores_give_finite_losses_and_gradients_and_float32_follows_float64(name):
    found = {}
    for dtype in (np.float32, np.float64):
        leaf = ad.tensor(X.astype(dtype), requires_grad=True)
        loss = CALLS[name](leaf)
        loss.backward()
        assert loss.dtype == leaf.grad.dtype == dtype
        assert np.isfinite(loss.item())
        assert np.isfinite(leaf.grad).all()
        found[dtype] = loss.item(), leaf.grad
    np.testing.assert_allclose(found[np.float32][0], found[np.float64][0], rtol=1e-5)
    np.testing.assert_allclose(found[np.float32][1], found[np.float64][1], rtol=1e-4, atol=1e-6)


@pytest.fixture(params=["few scores", "many scores"])
def count(request, monkeypatch):
    """Both ways of the plain cross-entropy on matrices of any size."""
    monkeypatch.setattr(losses, "_FEW", 0 if request.param == "many scores" else 1 << 30)


@pytest.mark.usefixtures("count")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("level", [-200.0, -16.5, -15.5, 0.0, 10.0, 63.5, 64.5, 200.0])
def test_cross_entropy_is_as_accurate_wherever_the_scores_lie(level, dtype, rng):
    # Rows whose largest score is moderate are not shifted by it: on both sides of that border nothing may be lost.
    x = rng.normal(size=(7, 70)) * 3
    x += level - x.max(axis=1, keepdims=True)
    x[0, 1:] = level - 14
    x[0, 0] = level
    x = x.astype(dtype)
    y = rng.integers(0, 70, 7)
    y[0] = 0
    leaf = ad.tensor(x, requires_grad=True)
    loss = F.cross_entropy(leaf, y, reduction="sum")
    loss.backward()
    exact = x.astype(np.longdouble)
    exact = exact - exact.max(axis=1, keepdims=True)
    p = np.exp(exact)
    total = p.sum(axis=1)
    rows = np.arange(7)
    p /= total[:, None]
    p[rows, y] -= 1
    precision = np.finfo(dtype).eps
    np.testing.assert_allclose(leaf.grad, p, rtol=0, atol=32 * precision)
    # A loss near 0 keeps its digits: that of the first row is 6e-5.
    np.testing.assert_allclose(loss.item(), float((np.log(total) - exact[rows, y]).sum()), rtol=40 * precision)
    if dtype != np.float16:
        first = F.cross_entropy(x[:1], y[:1], reduction="sum").item()
        np.testing.assert_allclose(
            first, float(np.log1p(69 * np.exp(np.longdouble(x[0, 1]) - x[0, 0]))), rtol=0, atol=16 * precision
        )


@pytest.mark.usefixtures("count")
def test_a_certain_right_answer_costs_nothing():
    for level in (-300.0, -3.0, 5.3, 17.9, 63.0, 300.0):
        x = np.full((3, 20), level - 500, np.float32)
        x[:, 4] = level
        assert F.cross_entropy(x, np.full(3, 4)).item() == 0


@pytest.mark.usefixtures("count")
def test_a_compiled_cross_entropy_chooses_anew_where_the_scores_lie(rng):
    scores, y = rng.normal(size=(5, 9)).astype(np.float32), np.arange(5)

    def loss(x):
        return F.cross_entropy(x, y)

    compiled = ad.compile(loss)
    for level in (0.0, 0.0, 90.0, -90.0, 0.0, np.nan):
        x = scores + np.float32(level)
        np.testing.assert_array_equal(np.asarray(compiled(ad.tensor(x)).data), np.asarray(loss(ad.tensor(x)).data))


def test_integer_targets_leave_float32_alone():
    x, y = np.array([0.5, 0.25], np.float32), np.array([1, 0])
    for name in (
        "mse_loss",
        "l1_loss",
        "huber_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "poisson_nll_loss",
    ):
        assert getattr(F, name)(x, y).dtype == np.float32, name


@pytest.mark.parametrize("largest", [1e30, 1e15])
def test_distances_do_not_square_what_lies_outside(largest):
    x = ad.tensor(np.array([-largest, 0.1, largest], np.float32), requires_grad=True)
    F.huber_loss(x, np.zeros(3, np.float32), "sum").backward()
    np.testing.assert_array_equal(x.grad, np.array([-1.0, 0.1, 1.0], np.float32))


def test_the_mean_of_nothing_is_nan_as_in_pytorch():
    empty = np.zeros((0, 3))
    for loss in (
        F.mse_loss(empty, empty),
        F.multi_margin_loss(empty, np.zeros(0, int)),
        F.nll_loss(empty, np.zeros(0, int)),
    ):
        assert np.isnan(loss.item())
    assert F.l1_loss(empty, empty, "sum").item() == 0
    ignored = ad.tensor(np.array([[-np.inf, 0.0]]), requires_grad=True)
    assert np.isnan(F.nll_loss(ignored, [-100]).item())
    assert F.nll_loss(ignored, [-100], reduction="sum").item() == 0


def test_cs231n_svm_loss_is_the_hinge_times_the_number_of_classes(rng):
    scores, y = rng.normal(size=(5, 4)), rng.integers(0, 4, 5)
    margins = np.maximum(0, scores - scores[np.arange(5), y][:, None] + 1)
    margins[np.arange(5), y] = 0
    np.testing.assert_allclose(4 * F.multi_margin_loss(scores, y).item(), margins.sum() / 5, rtol=1e-13)


def test_at_the_hinge_the_gradient_is_zero():
    x = ad.tensor([[0.0, -1.0, 0.5]], requires_grad=True)
    F.multi_margin_loss(x, [0]).backward()
    np.testing.assert_allclose(x.grad, [[-1 / 3, 0.0, 1 / 3]])


def test_probabilities_of_zero_and_one_have_finite_losses():
    x = ad.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(x, [0.0, 1.0, 1.0, 0.0], reduction="none")
    np.testing.assert_array_equal(loss.data, [0.0, 0.0, 100.0, 100.0])
    loss.sum().backward()
    np.testing.assert_allclose(x.grad, [0.0, 0.0, -1e12, 1e12])


def test_a_certain_probability_in_half_precision_has_a_gradient_of_zero():
    x = ad.tensor(np.array([1.0, 0.0, 0.5], np.float16), requires_grad=True)
    F.binary_cross_entropy(x, np.array([1.0, 0.0, 1.0], np.float16), reduction="sum").backward()
    assert x.grad.tolist() == [0.0, 0.0, -2.0]


def test_scores_far_out_lose_no_digits():
    """log(1 + exp(-20)) is 2e-9 in float32, too."""
    loss = F.binary_cross_entropy_with_logits(
        np.array([-20.0, 20.0], np.float32), np.array([0.0, 1.0], np.float32), reduction="none"
    )
    np.testing.assert_allclose(loss.data, np.log1p(np.exp(-20.0)), rtol=1e-6)


# --- connectionist temporal classification ----------------------------------------------------------------------------


def collapsed(path, blank):
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(2, 3), st.integers(0, 3), st.booleans())
def test_ctc_counts_every_alignment(seed, time, classes, length, last):
    rng = np.random.default_rng(seed)
    blank = classes - 1 if last else 0
    labels = rng.choice([c for c in range(classes) if c != blank], length)
    scores = ad.tensor(rng.normal(size=(time, classes)), requires_grad=True)
    log_p = F.log_softmax(scores, 1)
    paths = [p for p in itertools.product(range(classes), repeat=time) if collapsed(p, blank) == tuple(labels)]
    total = sum(np.exp(sum(log_p.data[t, c] for t, c in enumerate(path))) for path in paths)
    loss = F.ctc_loss(log_p, labels, time, length, blank=blank, reduction="sum", zero_infinity=True)
    if not paths:
        assert loss.item() == 0
        loss.backward()
        np.testing.assert_array_equal(scores.grad, np.zeros(scores.shape))
        assert F.ctc_loss(log_p, labels, time, length, blank=blank, reduction="sum").item() == np.inf
        return
    np.testing.assert_allclose(loss.item(), -np.log(total), rtol=1e-10, atol=1e-12)


def test_an_impossible_example_says_so_and_leaves_the_others_alone(rng):
    """Three equal labels need five frames."""
    log_p = np.log(np.full((3, 2, 2), 0.5))
    for zero in (False, True):
        leaf = ad.tensor(log_p, requires_grad=True)
        loss = F.ctc_loss(leaf, [[1, 1, 1], [1, 0, 0]], [3, 3], [3, 1], reduction="none", zero_infinity=zero)
        assert loss.data[0] == (0 if zero else np.inf)
        loss.sum().backward()
        assert np.isfinite(leaf.grad[:, 1]).all()
        assert (leaf.grad[:, 0] == 0).all() if zero else np.isnan(leaf.grad[:, 0]).all()


def test_ctc_without_labels_or_frames():
    log_p = np.log(np.full((2, 1, 2), 0.5))
    np.testing.assert_allclose(
        F.ctc_loss(log_p, np.zeros((1, 0), int), [2], [0], reduction="none").data, [2 * np.log(2)]
    )
    np.testing.assert_allclose(F.ctc_loss(log_p, np.zeros((1, 0), int), [0], [0], reduction="none").data, [0.0])
    assert F.ctc_loss(log_p, [[1]], [0], [1], reduction="none").data[0] == np.inf
    assert F.ctc_loss(log_p[:, 0], [1], 2, 1, reduction="none").shape == ()


def test_misuse_is_named():
    x = np.ones((2, 3))
    for call, error, words in [
        (lambda: F.l1_loss(x, np.ones(3)), ShapeError, "must be equal"),
        (lambda: F.mse_loss(x, x, weight=np.ones(3)), ShapeError, "weight of shape"),
        (lambda: F.mse_loss(x, x, "average"), ArgumentError, "reduction"),
        (lambda: F.smooth_l1_loss(x, x, beta=-1.0), ArgumentError, "beta"),
        (lambda: F.huber_loss(x, x, delta=0.0), ArgumentError, "delta"),
        (lambda: F.nll_loss(x, [0, 3]), ArgumentError, r"class index 3 at position 1"),
        (lambda: F.nll_loss(x, [0.0, 1.0]), ArgumentError, "integer"),
        (lambda: F.binary_cross_entropy(x + 1, x), ArgumentError, "with_logits"),
        (lambda: F.multi_margin_loss(x, [0]), ShapeError, r"expected \(2,\)"),
        (lambda: F.multi_margin_loss(x[None], [[0, 1]]), ShapeError, r"\(N, C\)"),
        (lambda: F.multi_margin_loss(x, [0.0, 1.0]), ArgumentError, "integer"),
        (lambda: F.multi_margin_loss(x, [0, -1]), ArgumentError, "class index -1 at position 1"),
        (lambda: F.multi_margin_loss(x, [0, 1], p=3), ArgumentError, "p must be"),
        (lambda: F.multi_margin_loss(x, [0, 1], weight=np.ones(2)), ShapeError, "3 classes"),
        (lambda: F.margin_ranking_loss(x, x, np.ones(2)), ShapeError, "equally many axes"),
        (lambda: F.cosine_embedding_loss(x, x, np.ones(3)), ShapeError, r"\(N, D\)"),
        (lambda: F.triplet_margin_loss(x, x, x, margin=0.0), ArgumentError, "margin"),
        (lambda: F.gaussian_nll_loss(x, x, -x), ArgumentError, "negative"),
        (lambda: F.gaussian_nll_loss(x, x, np.ones(5)), ShapeError, "var of shape"),
        (lambda: F.kl_div(x, np.ones(3)), ShapeError, "must be equal"),
        (lambda: F.ctc_loss(x, [1], 3, 1), ArgumentError, "input_lengths"),
        (lambda: F.ctc_loss(x, [0], 2, 1), ArgumentError, "not the blank"),
        (lambda: F.ctc_loss(x, [1], 2, 2), ShapeError, "target_lengths"),
        (lambda: F.ctc_loss(x, [1], 2, 1, blank=3), ArgumentError, "blank=3"),
        (lambda: nn.L1Loss("median"), ArgumentError, "reduction"),
    ]:
        with pytest.raises(error, match=words):
            call()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, ">i4", np.int64, np.uint64])
@pytest.mark.parametrize("classes", [3, 100, 200])
@pytest.mark.parametrize("order", "CF")
def test_class_indices_of_every_dtype(dtype, classes, order):
    """Against the loss and its gradient spelled out; an index out of range is named, as -100 read without a sign is
    not.
    """
    rng = np.random.default_rng(classes)
    scores = np.asarray(rng.normal(size=(6, classes)), order=order)
    labels = rng.integers(0, min(classes, 127), 6).astype(dtype)
    x = ad.tensor(scores, requires_grad=True)
    loss = F.cross_entropy(x, labels)
    loss.backward()
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    onehot = np.eye(classes)[labels.astype(int)]
    np.testing.assert_allclose(loss.item(), -np.log((p * onehot).sum(1)).mean(), rtol=1e-12)
    np.testing.assert_allclose(x.grad, (p - onehot) / 6, rtol=1e-10, atol=1e-15)
    if np.dtype(dtype).kind == "i":
        labels[2] = -100
        assert np.isfinite(F.cross_entropy(scores, labels).item())
        labels[2] = -56
        with pytest.raises(ArgumentError, match="class index -56 at position 2"):
            F.cross_entropy(scores, labels)
    elif classes < 128:
        labels[4] = classes
        with pytest.raises(ArgumentError, match=f"class index {classes} at position 4"):
            F.cross_entropy(scores, labels)


def test_an_ignored_class_that_exists_counts_for_nothing():
    scores = np.random.default_rng(0).normal(size=(4, 3))
    found = F.cross_entropy(scores, np.array([0, 2, 1, 2]), ignore_index=2).item()
    assert found == pytest.approx(F.cross_entropy(scores[[0, 2]], np.array([0, 1])).item(), rel=1e-12)


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (300, 200), (0, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_of_signed_zeros_and_nan(shape, dtype):
    """Small and large arrays take different ways through NumPy, to the same bits."""
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    if x.size:
        x.reshape(-1)[::3] = -0.0
        x.reshape(-1)[-1] = np.nan
    for array in (x, x.T):
        out = F.relu(array).data
        np.testing.assert_array_equal(out, np.where(np.isnan(array), array, np.maximum(array, 0)))
        assert not np.signbit(out[out == 0]).any()


def test_a_certain_class_has_the_gradient_of_what_is_left():
    """``p - 1`` where p rounds to 1 would be 0; by mpmath it is minus the other probabilities."""
    tail = 4.248354255291589e-18
    z = np.array([[40.0, 0.0], [0.0, 1.0]])
    for f in (
        lambda z: F.cross_entropy(z, np.array([0, 1]), reduction="sum"),
        lambda z: F.cross_entropy(z, np.array([0, 1]), np.ones(2), reduction="sum"),
        lambda z: F.nll_loss(F.log_softmax(z, dim=1), np.array([0, 1]), reduction="sum"),
    ):
        g = ad.grad(f)(z)
        np.testing.assert_allclose(g[0], [-tail, tail], rtol=1e-14)
    g = ad.grad(lambda z: F.softmax(z, dim=1)[0, 0])(z)
    np.testing.assert_allclose(g[0], [tail, -tail], rtol=1e-14)


def test_broken_and_broadcast_data():
    x, y = np.ones((1, 2, 3)), np.ones((2, 1, 3))
    np.testing.assert_allclose(F.cosine_similarity(x, y, dim=-2).data, 1.0)
    with np.errstate(invalid="ignore"):
        assert np.isnan(F.kl_div(np.array([-1.0]), np.array([-0.5]), reduction="none").data).all()
    assert ad.grad(lambda t: F.kl_div(np.array([-1.0, 0.0]), t, reduction="sum"))(np.array([0.5, 0.25])).shape == (2,)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_products_with_zeros_and_huge_factors():
    assert np.array_equal(ad.grad(np.prod)(np.array([1e200, 1e200, 0.0, 0.0])), np.zeros(4))
    assert np.array_equal(ad.grad(np.prod)(np.array([1e-200, 1e-200, 1e200])), [1.0, 1.0, 0.0])
    assert np.array_equal(ad.grad(lambda x: np.cumprod(x)[-1])(np.array([2.0, 0.0, 3.0])), [0.0, 6.0, 0.0])


@pytest.mark.parametrize("logits", [[40.0, 0.0, 1.0], [1.0, 300.0, 0.0], [0.3, -0.2, 0.5], [60.0, 60.0, 0.0]])
@pytest.mark.parametrize(
    "loss",
    [
        lambda z, target: F.cross_entropy(z[None], np.array([target])),
        lambda z, target: -F.log_softmax(z, 0)[target],
        lambda z, target: F.cross_entropy(z[None], np.array([target]), reduction="none")[0],
    ],
)
def test_derivatives_of_a_certain_class_keep_their_digits(loss, logits):
    """The gradient of its score is minus the sum of the other probabilities, not p - 1, and the Hessian p times it."""
    z = np.array(logits)
    target = int(np.argmax(z))
    e = np.exp(z - z.max())
    p = e / e.sum()
    others = np.where(np.eye(3, dtype=bool), 0, p)  # (3, 3): the probabilities but one
    gradient = np.where(np.arange(3) == target, -others[target].sum(), p)
    hessian = np.where(np.eye(3, dtype=bool), p * others.sum(1), -np.outer(p, p))
    for first in (ad.grad(loss)(z, target), ad.vjp(lambda z: ad.grad(loss)(z, target), z)[0]):
        np.testing.assert_allclose(first, gradient, rtol=1e-13)
    for second in (ad.hessian(loss)(z, target), ad.jacrev(ad.jacrev(loss))(z, target)):
        np.testing.assert_allclose(second, hessian, rtol=1e-13, atol=1e-300)


def test_the_float32_kernel_keeps_the_digits_of_a_certain_class():
    z = np.tile(np.array([[40.0, 0.0]], np.float32), (600, 1))
    found = ad.grad(lambda z: F.cross_entropy(z, np.zeros(600, int), reduction="sum"))(z)
    np.testing.assert_allclose(found, np.tile([[-4.248354e-18, 4.248354e-18]], (600, 1)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("x", [5.0, 20.0, 40.0, 80.0])
def test_a_certain_binary_class_keeps_its_gradient(x, dtype):
    """The logistic function at 40 rounds to 1; what is left of the loss does not vanish."""
    loss = lambda x: F.binary_cross_entropy_with_logits(x, np.ones((), dtype))
    share = np.exp(-np.longdouble(x)) / (1 + np.exp(-np.longdouble(x)))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(ad.grad(loss)(dtype(x)), -share, rtol=8 * eps)
    np.testing.assert_allclose(ad.grad(ad.grad(loss))(dtype(x)), share * (1 - share), rtol=8 * eps)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "mse_loss", "l1_loss"])
def test_a_mean_whose_weights_are_all_zero_is_nan_and_its_gradient_zero_in_both_modes(name):
    of_classes = name in ("cross_entropy", "nll_loss")
    target, weight = (Y, np.zeros(3)) if of_classes else (HALF, np.zeros(HALF.shape))
    f = lambda x: getattr(F, name)(x, target, weight=weight)
    value, gradient = ad.value_and_grad(f)(HALF)
    assert np.isnan(value)
    np.testing.assert_array_equal(gradient, 0)
    assert ad.jvp(f, (HALF,), (HALF,))[1] == 0
