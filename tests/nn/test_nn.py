"""Modules: registration, state, modes, hooks; arithmetic against PyTorch, weights carried both ways."""

import contextlib
import copy
import pickle

import numpy as np
import pytest

import autodiff as ad
import nn
import nn.functional as F
import optim
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError


def net(dtype=np.float64):
    return nn.Sequential(
        nn.Linear(5, 7, dtype=dtype),
        nn.BatchNorm1d(7, dtype=dtype),
        nn.ReLU(),
        nn.Linear(7, 4, dtype=dtype),
        nn.LayerNorm(4, dtype=dtype),
        nn.LeakyReLU(0.1),
        nn.Linear(4, 3, bias=False, dtype=dtype),
        nn.Tanh(),
        nn.Sigmoid(),
    )


def torch_net(torch):
    t = torch.nn
    return t.Sequential(
        t.Linear(5, 7),
        t.BatchNorm1d(7),
        t.ReLU(),
        t.Linear(7, 4),
        t.LayerNorm(4),
        t.LeakyReLU(0.1),
        t.Linear(4, 3, bias=False),
        t.Tanh(),
        t.Sigmoid(),
    ).double()


def test_a_network_is_pytorchs_network_both_ways(rng):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    ours, theirs = net(), torch_net(torch)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    for _ in range(3):
        x, y = rng.normal(size=(6, 5)), rng.integers(0, 3, 6)
        loss = nn.functional.cross_entropy(ours(x), y, label_smoothing=0.1)
        reference = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y), label_smoothing=0.1)
        loss.backward()
        reference.backward()
        np.testing.assert_allclose(loss.item(), reference.item(), rtol=1e-12)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-10, atol=1e-12)
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-12, err_msg=name)
    back = torch_net(torch)
    back.load_state_dict({key: torch.tensor(value) for key, value in ours.state_dict().items()})
    ours.eval()
    back.eval()
    np.testing.assert_allclose(ours(x).data, back(torch.tensor(x)).detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_running_statistics_follow_pytorch(momentum, rng):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    ours, theirs = (
        nn.BatchNorm2d(3, momentum=momentum, dtype=np.float64),
        torch.nn.BatchNorm2d(3, momentum=momentum).double(),
    )
    for _ in range(4):
        x = rng.normal(size=(4, 3, 2, 5)) * 2 + 1
        np.testing.assert_allclose(ours(x).data, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.running_mean.data, theirs.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours.running_var.data, theirs.running_var.numpy(), rtol=1e-12)
    assert ours.num_batches_tracked.item() == 4


@pytest.mark.parametrize("name", ["batch_norm", "batch_renorm", "instance_norm"])
@pytest.mark.parametrize("shape", [(), (1,), (4,)])
def test_running_statistics_of_another_shape_are_refused_before_any_changes(name, shape):
    function, x = getattr(nn.functional, name), np.ones((2, 3, 5)) * np.arange(5.0)
    options = {} if name == "instance_norm" else {"training": True}
    right, wrong = ad.Tensor(np.full(3, 0.5)), ad.Tensor(np.ones(shape))
    with pytest.raises(ShapeError, match="shape"):
        function(x, right, wrong, **options)
    assert right.tolist() == [0.5] * 3
    with pytest.raises(ShapeError, match="shape"):
        function(x, wrong, right, **options)
    assert right.tolist() == [0.5] * 3
    with pytest.raises(ArgumentError, match=f"{name}: running statistics must be Tensors"):
        function(x, np.full(3, 0.5), np.ones(3), **options)


def test_the_cs231n_convention_of_running_statistics(rng):
    layer = nn.BatchNorm1d(2, momentum=0.9, dtype=np.float64, convention="cs231n")
    x = rng.normal(size=(5, 2))
    layer(x)
    np.testing.assert_allclose(layer.running_mean.data, 0.1 * x.mean(0))
    np.testing.assert_allclose(layer.running_var.data, 0.1 * x.var(0))


@pytest.mark.parametrize("momentum", [0.25, np.float32(0.25), np.array(0.25), None])
@pytest.mark.parametrize(
    ("dtype", "given"), [(np.float32, np.float32), (np.float64, np.float32), (np.float32, np.float64)]
)
def test_running_statistics_are_new_arrays_of_their_own_dtype(momentum, dtype, given, rng):
    layer, x = nn.BatchNorm1d(3, momentum=momentum, dtype=dtype), rng.normal(size=(4, 3)).astype(given)
    handed_out = layer.running_mean.data, layer.running_var.data, layer.num_batches_tracked.data
    copies = [array.copy() for array in handed_out]
    layer(x)
    for array, was in zip(handed_out, copies, strict=True):
        np.testing.assert_array_equal(array, was)
    share = 1.0 if momentum is None else 0.25
    np.testing.assert_allclose(layer.running_mean.data, share * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.data, 1 - share + share * x.var(0, ddof=1), rtol=1e-5)
    assert layer.running_mean.dtype == layer.running_var.dtype == dtype
    assert layer.num_batches_tracked.data == 1
    assert layer.num_batches_tracked.dtype == np.int64
    with ad.composed():
        again = nn.BatchNorm1d(3, momentum=momentum, dtype=dtype)
        again(x)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        np.testing.assert_allclose(getattr(again, name).data, getattr(layer, name).data, rtol=1e-6)


def test_registration_and_names():
    model = net()
    names = [name for name, _ in model.named_parameters()]
    assert names == ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias", "4.weight", "4.bias", "6.weight"]
    shared = nn.Linear(2, 2)
    assert len(list(nn.Sequential(shared, shared).parameters())) == 2
    nn.name_parameters(model)
    assert model[0].weight.name == "0.weight"


def test_a_bad_state_dict_is_refused_by_name_and_changes_nothing():
    model = net()
    before = model.state_dict()
    bad = {**before, "0.weight": before["0.weight"] + 1, "6.weight": np.ones((9, 9))}
    with pytest.raises(ShapeError, match=r"'6\.weight'"):
        model.load_state_dict(bad)
    missing = {key: value + 1 for key, value in before.items() if key != "3.bias"}
    with pytest.raises(ArgumentError, match=r"3\.bias"):
        model.load_state_dict(missing)
    with pytest.raises(DTypeError, match=r"0\.bias"):
        model.load_state_dict({**before, "0.bias": np.array(["a"] * 7)})
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert model.load_state_dict(missing, strict=False) == (["3.bias"], [])


def test_modes_freezing_and_dtype(rng):
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5, generator=rng))
    assert model.training
    model.eval()
    assert not model[1].training
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(model(x).data, model(x).data)
    model.requires_grad_(False)
    assert not model(x).requires_grad
    model.requires_grad_(True)
    assert model.double()[0].weight.dtype == np.float64
    assert model(x.astype(float)).dtype == np.float64
    with pytest.raises(DTypeError, match="floating"):
        model.to(int)


def test_hooks_see_and_change_calls():
    layer = nn.Linear(2, 2)
    seen = []
    handle = layer.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    changing = layer.register_forward_pre_hook(lambda module, args: (args[0] * 0,))
    np.testing.assert_array_equal(layer(np.ones((1, 2), np.float32)).data[0], layer.bias.data)
    handle.remove()
    changing.remove()
    layer(np.ones((1, 2), np.float32))
    assert seen == [(1, 2)]


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_modules_can_be_copied_and_pickled(copier):
    model = nn.FullyConnectedNet([5], input_dim=4, num_classes=3, normalization="batchnorm", seed=0)
    twin = copier(model)
    x, y = np.ones((2, 4)) * [[1.0], [2.0]], np.array([0, 2])
    model.loss(x, y).backward()
    twin.loss(x, y).backward()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert p is not q
        np.testing.assert_array_equal(p.grad, q.grad)


@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
@pytest.mark.parametrize("keep", [1, 0.6])
@pytest.mark.parametrize("reg", [0.0, 0.3])
def test_fully_connected_gradients_match_differences(normalization, keep, reg, rng):
    from autodiff.testing import check_gradients

    x, y = rng.normal(size=(4, 2, 3)), rng.integers(0, 3, 4)

    def loss(w1, w2):
        model = nn.FullyConnectedNet(
            [5, 4],
            6,
            3,
            dropout_keep_ratio=keep,
            normalization=normalization,
            reg=reg,
            weight_scale=0.5,
            dtype=w1.dtype,
            seed=1,
        )
        # The parameters are put in as Tensors, so that the network is a function of them.
        object.__getattribute__(model.affine1, "_parameters")["weight"] = (
            w1 if isinstance(w1, ad.Tensor) else ad.tensor(w1)
        )
        object.__getattribute__(model.affine3, "_parameters")["weight"] = (
            w2 if isinstance(w2, ad.Tensor) else ad.tensor(w2)
        )
        return model.loss(x, y)

    check_gradients(loss, rng.normal(size=(5, 6)), rng.normal(size=(3, 4)), order=1)


def test_fully_connected_follows_cs231n():
    model = nn.FullyConnectedNet(
        [8, 6], input_dim=12, num_classes=4, reg=0.5, weight_scale=5e-2, dtype=np.float64, seed=3
    )
    x, y = np.linspace(-1, 1, 36).reshape(3, 3, 4), np.array([0, 3, 1])
    scores = model(x)
    assert scores.shape == (3, 4)
    weights = [model.affine1.weight, model.affine2.weight, model.affine3.weight]
    expected = nn.functional.cross_entropy(scores, y).item() + 0.25 * sum(float((w.data**2).sum()) for w in weights)
    np.testing.assert_allclose(model.loss(x, y).item(), expected, rtol=1e-12)
    assert all((p.data == 0).all() for name, p in model.named_parameters() if name.endswith("bias"))
    again = nn.FullyConnectedNet([8, 6], input_dim=12, num_classes=4, weight_scale=5e-2, dtype=np.float64, seed=3)
    np.testing.assert_array_equal(again.affine1.weight.data, model.affine1.weight.data)
    with pytest.raises(ArgumentError, match="layernorm"):
        nn.FullyConnectedNet([3], normalization="groupnorm")
    with pytest.raises(ArgumentError, match="keep"):
        nn.FullyConnectedNet([3], dropout_keep_ratio=0)
    with pytest.raises(ShapeError, match="12 numbers"):
        model(np.ones((2, 5)))


def test_float32_stays_float32():
    model = nn.FullyConnectedNet(
        [6], input_dim=4, num_classes=3, normalization="batchnorm", dropout_keep_ratio=0.5, reg=0.1, seed=0
    )
    loss = model.loss(np.random.default_rng(0).normal(size=(5, 4)), np.array([0, 1, 2, 0, 1]))
    loss.backward()
    assert loss.dtype == np.float32
    assert all(p.grad.dtype == np.float32 for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("uniform_", {"a": 2.0, "b": 1.0}, "a must not be above b"),
        ("normal_", {"std": -1.0}, "std must not be negative"),
        ("trunc_normal_", {"std": 0.0}, "std must be positive"),
        ("sparse_", {"sparsity": 2.0}, "a share"),
        ("sparse_", {"sparsity": 0.5, "std": -1.0}, "std must not be negative"),
    ],
)
def test_initialisers_refuse_options_that_no_distribution_has(name, options, words):
    weight = ad.tensor(np.ones((2, 3)))
    with pytest.raises(ArgumentError, match=words):
        getattr(nn.init, name)(weight, **options)
    for other in ("ones_", "eye_", "dirac_", "orthogonal_", "xavier_normal_", "kaiming_uniform_"):
        with pytest.raises(ArgumentError, match="a Tensor, such as a parameter, not list"):
            getattr(nn.init, other)([[1.0]])
    assert (weight.data == 1).all()


def test_initialisers_have_pytorchs_spread():
    weight = nn.Parameter(np.empty((300, 200), np.float64))
    generator = np.random.default_rng(0)
    cases = {
        "xavier_uniform_": np.sqrt(2 / 500),
        "xavier_normal_": np.sqrt(2 / 500),
        "kaiming_uniform_": np.sqrt(2 / 200),
        "kaiming_normal_": np.sqrt(2 / 200),
    }
    for name, std in cases.items():
        getattr(nn.init, name)(weight, generator=generator)
        np.testing.assert_allclose(weight.data.std(), std, rtol=0.02, err_msg=name)
    nn.init.orthogonal_(weight, generator=generator)
    np.testing.assert_allclose(weight.data.T @ weight.data, np.eye(200), atol=1e-12)
    nn.init.trunc_normal_(weight, std=0.02, a=-0.04, b=0.04, generator=generator)
    assert np.abs(weight.data).max() <= 0.04


@pytest.mark.parametrize(
    ("a", "b", "mean", "std"),
    [(-2, 2, 0, 1), (0.5, 0.5001, 0, 1), (5, 6, 0, 1), (-np.inf, -4, 0, 1), (4, 5, 1, 2), (-0.01, 0.02, 0, 1)],
)
def test_a_truncated_normal_is_one_however_rare_its_values(a, b, mean, std):
    stats = pytest.importorskip("scipy.stats", reason="the independent truth here is SciPy")
    tensor = nn.init.trunc_normal_(ad.tensor(np.empty(5_000)), mean, std, a, b, np.random.default_rng(0))
    truth = stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std)
    assert stats.kstest(tensor.data, truth.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.BatchRenorm1d(3, limits=3), "limits is"),
        (lambda: nn.BatchRenorm1d(3, limits=(0.5, 1.0)), "rmax >= 1"),
        (lambda: nn.BatchRenorm1d(3, statistic="mean"), "statistic must be one of"),
        (lambda: nn.BatchRenorm1d(3, eps_mode="both"), "eps_mode must be one of"),
        (lambda: nn.BatchRenorm1d(3, ddof=2), "ddof must be one of"),
        (lambda: nn.CrossIterationBatchNorm1d(3, eps_mode="both"), "eps_mode must be one of"),
        (lambda: nn.CrossIterationBatchNorm1d(3, running_ddof=2), "running_ddof must be one of"),
        (lambda: nn.LogisticRenormSchedule(dmax=0.0), "dmax > 0"),
        (lambda: nn.Embedding(3, 2, max_norm=-1.0), "max_norm must not be negative"),
        *(
            (lambda make=make, shape=shape: make(shape), "normalized_shape is an int or several")
            for make in (nn.LayerNorm, nn.RMSNorm, lambda shape: F.layer_norm(np.eye(3), shape))
            for shape in (2.5, -3, [3, 1.5], [], None, True, "3")
        ),
        (lambda: nn.ConvTranspose1d(1, 1, 3, padding="same"), "padding must be integers, got 'same'"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 100, [10], div_value=0.0), "div_value must be positive"),
    ],
)
def test_layers_refuse_options_when_they_are_made(make, words):
    with pytest.raises(ArgumentError, match=words):
        make()


def test_statistics_stay_as_they_were_where_an_option_is_refused():
    mean, var = ad.tensor(np.zeros(2)), ad.tensor(np.ones(2))
    with pytest.raises(ArgumentError, match="ddof"):
        F.batch_norm(np.eye(2), mean, var, training=True, ddof=2)
    assert (mean.data == 0).all()
    assert (var.data == 1).all()


def test_misuse_is_named():
    class Forgetful(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter([1.0])

    with pytest.raises(ArgumentError, match=r"super\(\)\.__init__"):
        Forgetful()
    layer = nn.Linear(2, 2)
    with pytest.raises(DTypeError, match=r"nn\.Parameter"):
        layer.weight = np.ones((2, 2))
    with pytest.raises(ArgumentError, match="without a dot"):
        layer.register_buffer("a.b", None)
    with pytest.raises(ShapeError, match="BatchNorm1d"):
        nn.BatchNorm1d(3)(np.ones((2, 4)))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = layer.nothing


class Forgets(nn.Module):
    def forward(self, x):
        nn.functional.relu(x)


_SCORES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.Linear(3, 2)(None), "Linear: input is None; does the function"),
        (lambda: nn.LSTM(3, 2)(None), "LSTM: input is None"),
        (lambda: nn.ReLU()(Forgets()(_SCORES)), "ReLU: input is None"),
        (lambda: nn.MSELoss()(_SCORES, None), "MSELoss: target is None"),
        (lambda: nn.CrossEntropyLoss()(input=None, target=np.zeros(2, int)), "CrossEntropyLoss: input is None"),
        (lambda: nn.Sequential(Forgets(), nn.Linear(3, 2))(_SCORES), "Sequential: Linear was given None; does what"),
        (lambda: nn.load("net.npz", nn.Linear(3, 2)), r"load: .* got a str; write load\(module, path\)"),
        (lambda: nn.load("net.npz", "net.npz"), r"load_file\(path\) gives the arrays alone"),
        (lambda: nn.save("net.npz", nn.Linear(3, 2)), r"save: .*; write save\(module, path\)"),
        (lambda: nn.MaxPool2d(0), "MaxPool2d: kernel_size must be an integer of at least 1"),
        (lambda: nn.MaxPool1d(2, stride=0), "MaxPool1d: stride must be"),
        (lambda: nn.AvgPool3d((2, 2)), "AvgPool3d: kernel_size must be an integer of at least 1, or 3 of them"),
        (lambda: nn.LPPool2d(2, -1), "LPPool2d: kernel_size"),
        (lambda: nn.MaxUnpool2d(0), "MaxUnpool2d: kernel_size"),
        (lambda: nn.Unfold((2, 0)), "Unfold: kernel_size"),
        (lambda: nn.Fold((4, 4), 2, padding=-1), "Fold: padding"),
    ],
)
def test_a_beginners_mistakes_are_told_with_what_to_do(call, words):
    with pytest.raises(ArgumentError, match=words):
        call()


def test_a_none_that_a_layer_may_be_given_hides_no_other_error():
    with pytest.raises(ShapeError, match="LSTM"):
        nn.LSTM(3, 2)(np.ones((4, 5), np.float32), None)
    assert nn.Identity()(None) is None


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("nll_loss", lambda x, *held: nn.functional.nll_loss(x, np.array([0, 2]), weight=held[0] * held[1])),
        ("batch_norm", nn.functional.batch_norm),
        ("batch_renorm", nn.functional.batch_renorm),
        ("instance_norm", lambda x, *held: nn.functional.instance_norm(x[..., None], *held, use_input_stats=False)),
    ],
)
def test_what_has_no_gradient_is_refused_where_it_asks_for_one(name, call, place):
    held = [ad.tensor(np.ones(3), requires_grad=i == place) for i in range(2)]
    with pytest.raises(ad.NotDifferentiableError, match=name):
        call(np.ones((2, 3)), *held)
    call(np.ones((2, 3)), *map(ad.constant, held))


@pytest.mark.parametrize(
    "call",
    [
        lambda x, c: nn.functional.layer_norm(x, (3,), eps=c),
        lambda x, c: nn.functional.rms_norm(x, (3,), eps=c),
        lambda x, c: nn.functional.group_norm(x[..., None], 3, eps=c),
        lambda x, c: nn.functional.batch_norm(x, None, None, training=True, eps=c),
        lambda x, c: nn.functional.instance_norm(x[None], eps=c),
        lambda x, c: nn.functional.scaled_dot_product_attention(x, x, x, scale=c),
    ],
)
def test_numbers_that_ask_for_a_gradient_are_refused(call):
    x = ad.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert call(x, 0.5).requires_grad
    with pytest.raises(ad.NotDifferentiableError, match=r"argument '(eps|scale)'"):
        call(x, ad.tensor(0.5, requires_grad=True))


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchRenorm1d, nn.CrossIterationBatchNorm1d])
def test_a_batch_that_is_refused_is_not_counted(kind):
    layer = kind(3)
    before = layer.state_dict()
    with pytest.raises((ShapeError, ArgumentError)):
        layer(np.ones((1, 3), np.float32))  # one value per channel has no variance
    for name, held in layer.state_dict().items():
        np.testing.assert_array_equal(held, before[name])
    layer(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert layer.num_batches_tracked.item() == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.LeakyReLU(True), "LeakyReLU: negative_slope must be a number, got True"),
        (lambda: nn.Dropout(True), "Dropout: p must be a number, got True"),
        (lambda: nn.LSTM(3, 4, True), "LSTM: num_layers must be an integer, got True"),
        (lambda: nn.Conv2d(1, 1, 2, stride=True), "Conv2d: stride must be an integer of at least 1"),
        (lambda: nn.MaxPool1d(True), "MaxPool1d: kernel_size must be an integer of at least 1"),
        (lambda: nn.ZeroPad2d(True), "ZeroPad2d: padding needs one integer or 4, got True"),
        (lambda: nn.ReflectionPad1d(2.5), "ReflectionPad1d: padding needs one integer or 2, got 2.5"),
        (lambda: nn.CircularPad1d(None), "CircularPad1d: padding needs one integer or 2, got None"),
        (lambda: nn.Unflatten(1, None), "Unflatten: sizes are integers"),
        (lambda: optim.JSONLog("run.jsonl", every=0), "every must be a positive int, got 0"),
        (lambda: optim.TensorBoardLog(every=2.5, writer=object()), "every must be a positive int, got 2.5"),
        (lambda: nn.Unflatten(1, (2, 2.5)), "Unflatten: sizes are integers"),
        (lambda: nn.utils.clip_grad_norm_([], 1.0, "2"), "clip_grad_norm_: norm_type must be a number, got '2'"),
    ],
)
def test_true_is_no_number_and_rubbish_is_no_size(make, words):
    with pytest.raises(ArgumentError, match=words):
        make()


_NORMS = [
    lambda eps: F.layer_norm(np.eye(3), 3, eps=eps),
    lambda eps: F.rms_norm(np.eye(3), 3, eps=eps),
    lambda eps: F.group_norm(np.eye(4), 2, eps=eps),
    lambda eps: F.instance_norm(np.ones((1, 2, 3)), eps=eps),
    lambda eps: F.batch_norm(np.eye(3), None, None, training=True, eps=eps),
    lambda eps: F.batch_norm(np.eye(3), np.zeros(3), np.ones(3), eps=eps),
    lambda eps: F.batch_renorm(np.eye(3), ad.tensor(np.zeros(3)), ad.tensor(np.ones(3)), training=True, eps=eps),
    lambda eps: F.normalize(np.eye(3), eps=eps),
    *(
        lambda eps, made=made, size=size: made(*size, eps=eps)
        for made, size in (
            *((getattr(nn, name), (3,)) for name in ("LayerNorm", "RMSNorm", "BatchNorm2d", "InstanceNorm1d")),
            *((getattr(nn, name), (3,)) for name in ("BatchRenorm1d", "CrossIterationBatchNorm2d")),
            (nn.GroupNorm, (1, 3)),
            (nn.LazyBatchNorm1d, ()),
        )
    ),
    lambda eps: nn.TransformerEncoderLayer(4, 2, layer_norm_eps=eps),
]


@pytest.mark.parametrize("norm", _NORMS)
def test_a_normalisation_refuses_an_eps_below_zero(norm):
    for eps in (-1e-5, np.nan):
        for mode in (ad.composed, contextlib.nullcontext):
            with mode(), pytest.raises(ArgumentError, match="eps must not be negative"):
                norm(eps)
    norm(1e-5)


def test_the_largest_gradient_is_asked_for_by_pytorchs_name():
    p = nn.Parameter([0.0, 0.0])
    p.grad = np.array([3.0, -4.0])
    assert nn.utils.clip_grad_norm_([p], 2.0, "inf") == 4.0
    np.testing.assert_allclose(p.grad, [1.5, -2.0], rtol=1e-6)


def test_a_lazy_layer_takes_its_dtype_beforehand_and_is_not_frozen_in_vain():
    lazy = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()).double()
    assert all(p.requires_grad for p in lazy.parameters())  # or an optimiser of these would leave them out
    for freeze in (lazy.requires_grad_, lambda value: setattr(lazy[0].weight, "requires_grad", value)):
        with pytest.raises(ArgumentError, match="call the model on a batch first"):
            freeze(False)
    half = nn.Sequential(nn.Linear(5, 5), nn.LazyLinear(3))
    with pytest.raises(ArgumentError, match="call the model on a batch first"):
        half.requires_grad_(False)
    assert half[0].weight.requires_grad
    lazy.requires_grad_(True)
    assert lazy(np.ones((4, 5))).dtype == np.float64
    assert {held.dtype for held in lazy.state_dict().values()} == {np.dtype(np.float64), np.dtype(np.int64)}
    lazy[0].requires_grad_(False)
    assert [p.requires_grad for p in lazy.parameters()] == [False, False, True, True]


@pytest.mark.parametrize(
    "call",
    [
        lambda nan: F.softshrink([1.0], nan),
        lambda nan: F.hardtanh([1.0], nan, 1.0),
        lambda nan: F.smooth_l1_loss([1.0], [2.0], beta=nan),
        lambda nan: F.huber_loss([1.0], [2.0], delta=nan),
        lambda nan: F.gaussian_nll_loss([1.0], [2.0], [1.0], eps=nan),
        lambda nan: F.triplet_margin_loss([1.0], [2.0], [1.0], margin=nan),
        lambda nan: nn.FullyConnectedNet([2], reg=nan),
        lambda nan: nn.LinearRenormSchedule(dmax=nan),
    ],
)
def test_an_option_that_is_no_number_is_refused(call):
    with pytest.raises(ArgumentError, match="nan"):
        call(float("nan"))


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_given_vectors_fit_the_sizes_of_their_embedding(kind):
    with pytest.raises(ShapeError, match=r"a _weight of shape \(5, 2\) for 10 embeddings of 3 numbers"):
        kind(10, 3, _weight=np.ones((5, 2)))
