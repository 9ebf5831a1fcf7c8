"""Common mistakes: each is refused at once, in one line that names what was wrong and what to write instead."""

import contextlib
import copy
import math
import pickle
import re

import numpy as np
import pytest

import autodiff as ad
import nn
import optim
from nn import functional as F


def tensors():
    return (
        ad.tensor([1.0, 2.0, 3.0], requires_grad=True),
        ad.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True),
        ad.tensor(2.0, requires_grad=True),
    )


def twice(x):
    loss = np.sum(x * x)
    loss.backward()
    loss.backward()


def fill(array, x):
    array[:] = x


def net(x):
    class Net(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)

    return Net()


def overlapping(y):
    np.concatenate([y[1:], y[:1]], out=y)


def trainer(model, other):
    return optim.Trainer(model, F.mse_loss, optim.SGD(other.parameters(), lr=0.1))


def fitting(model=None, loss=F.mse_loss, optimizer=None, schedule=None, **how):
    net = nn.Linear(3, 2) if model is None else model
    optimizer = (
        optim.SGD(nn.Linear(3, 2).parameters() if model else net.parameters()) if optimizer is None else optimizer
    )
    data = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)
    optim.Trainer(net, loss, optimizer, schedule, progress=False).fit(data, **{"epochs": 1, **how})


def holding_itself(module):
    module.add_module("inner", nn.Sequential(module))


IMAGE = np.ones((1, 3, 5, 5))
# name: (program of a vector, a matrix and a scalar, words of the message)
MISTAKES = {
    # the tape
    "backward of a vector": (lambda x, m, s: (x * x).backward(), r"\.sum\(\)|grad="),
    "backward of a constant": (lambda x, m, s: ad.tensor([1.0]).sum().backward(), "requires_grad=True"),
    "backward twice": (lambda x, m, s: twice(x), "retain_graph=True"),
    "a seed of another shape": (lambda x, m, s: (x * x).backward(np.ones(2)), r"shape \(3,\)"),
    "no gradient for integers": (lambda x, m, s: ad.tensor([1, 2], requires_grad=True), "dtype=float"),
    "a gradient of another shape": (lambda x, m, s: setattr(x, "grad", np.ones(2)), r"shape \(3,\)"),
    "a gradient of another dtype": (lambda x, m, s: setattr(x, "grad", np.ones(3, np.float32)), "astype"),
    "data of another shape": (lambda x, m, s: setattr(x * 2, "data", np.ones(2)), r"detach\(\)"),
    "a computed tensor made constant": (lambda x, m, s: setattr(x * 2, "requires_grad", False), r"detach\(\)"),
    "adding to a leaf in place": (lambda x, m, s: x.__iadd__(1), r"no_grad\(\)"),
    "writing into a leaf": (lambda x, m, s: x.__setitem__(0, 1.0), r"no_grad\(\)"),
    "a hook that is no function": (lambda x, m, s: x.register_hook(3), "a hook is a function"),
    "a name that is no string": (lambda x, m, s: ad.tensor(1.0, name=3), "str or None"),
    "pickling a graph": (lambda x, m, s: pickle.dumps(x * 2), r"\.detach\(\)"),
    "deep copy of a graph": (lambda x, m, s: copy.deepcopy(x * 2), r"\.detach\(\)"),
    "gradients of a constant": (lambda x, m, s: ad.gradients(np.sum(x), ad.tensor([1.0])), "requires no gradient"),
    "gradients of another graph": (lambda x, m, s: ad.gradients(np.sum(x), s), "allow_unused=True"),
    "grad of a result": (lambda x, m, s: ad.grad(np.sum(x)), r"grad\(f\)\(x\)"),
    "grad of a pair": (lambda x, m, s: ad.grad(lambda t: (t * t, 1))(1.0), "has_aux=True"),
    # making tensors
    "ones(2, 3)": (lambda x, m, s: ad.ones(2, 3), r"ones\(\(2, 3\)\)"),
    "arange of a tensor": (lambda x, m, s: ad.arange(s, 5.0), r"autodiff\.linspace"),
    "text": (lambda x, m, s: ad.tensor("abc"), "numbers or booleans"),
    "ragged lists": (lambda x, m, s: ad.tensor([[1, 2], [3]]), "inhomogeneous"),
    "a list of tensors": (lambda x, m, s: ad.tensor([x, x]), r"autodiff\.stack"),
    "nothing": (lambda x, m, s: ad.tensor(None), "numbers or booleans"),
    "a dictionary": (lambda x, m, s: ad.tensor({"a": 1}), "numbers or booleans"),
    "an unknown dtype": (lambda x, m, s: ad.tensor([1.0], dtype="foo"), "'foo'"),
    # cuts
    "numpy()": (lambda x, m, s: x.numpy(), r"detach\(\)"),
    "np.asarray": (lambda x, m, s: np.asarray(x), r"autodiff\.stack"),
    "np.array of a list": (lambda x, m, s: np.array([x, x]), r"autodiff\.stack"),
    "a row of a plain array": (lambda x, m, s: fill(np.zeros(3), x), r"autodiff\.tensor\(array\)"),
    "math.exp": (lambda x, m, s: math.exp(s), "np.sin"),
    "math.exp in grad": (lambda x, m, s: ad.grad(math.exp)(1.0), r"np\.exp, not math\.exp"),
    "float of a vector": (lambda x, m, s: float(x), r"shape \(3,\)"),
    "astype(int)": (lambda x, m, s: x.astype(int), r"detach\(\)"),
    "np.save": (lambda x, m, s: np.save("nowhere.npy", x), r"\.data"),
    "np.savez": (lambda x, m, s: np.savez("nowhere.npz", x), r"\.data"),
    "np.unique": (lambda x, m, s: np.unique(x), r"\.data"),
    "np.random.permutation": (lambda x, m, s: np.random.default_rng(0).permutation(x), r"autodiff\.random"),
    "an index that is no integer": (lambda x, m, s: [1, 2, 3][s], "integer scalar"),
    # shapes and indices
    "matrix product": (lambda x, m, s: m @ m, r"float64\[2, 3\]"),
    "sum of two shapes": (lambda x, m, s: m + np.ones(2), r"float64\[2, 3\], float64\[2\]"),
    "product with a number": (lambda x, m, s: x @ 2, "matmul"),
    "reshape": (lambda x, m, s: x.reshape(2, 2), r"size 3 into shape \(2,2\)"),
    "stack": (lambda x, m, s: np.stack([x, m]), "one shape"),
    "axis": (lambda x, m, s: m.sum(axis=5), "axis 5"),
    "max of two arrays": (lambda x, m, s: np.max(x, x), r"np\.maximum\(a, b\)"),
    "repeat": (lambda x, m, s: x.repeat(2, 2), "axis 2"),
    "joining into what is joined": (lambda x, m, s: overlapping(m * 1), "join first"),
    "transpose": (lambda x, m, s: m.transpose(0, 0), "repeated axis"),
    "where with one branch": (lambda x, m, s: np.where(x.data > 0, x), "both x and y"),
    "einsum": (lambda x, m, s: np.einsum("ij,jk->ik", x, x), "'ij'"),
    "index out of bounds": (lambda x, m, s: x[7], "size 3"),
    "index of floats": (lambda x, m, s: x[1.5], "integers"),
    "index of text": (lambda x, m, s: x["a"], "integers"),
    "too many indices": (lambda x, m, s: x[0, 0], "1-dimensional"),
    "item of a vector": (lambda x, m, s: x.item(), r"shape \(3,\)"),
    "truth of a vector": (lambda x, m, s: bool(x > 0), r"\.any\(\)"),
    "length of a number": (lambda x, m, s: len(s), "0-d"),
    "loop over a number": (lambda x, m, s: list(s), "0-d"),
    "times text": (lambda x, m, s: x * "a", "str|unsupported operand"),
    "times nothing": (lambda x, m, s: x * None, "None"),
    "times an object": (lambda x, m, s: x * object(), "object"),
    "backward of complex numbers": (lambda x, m, s: np.fft.fft(x).backward(), "grad="),
    # transforms
    "a function of integers": (lambda x, m, s: ad.grad(lambda t: t * t)(3), "1.0, not 1"),
    "a function that is no scalar": (lambda x, m, s: ad.grad(lambda t: t * t)(np.ones(2)), "jacobian"),
    "a function that gives text": (lambda x, m, s: ad.grad(lambda t: "a")(1.0), "str"),
    "a function that gives nothing": (lambda x, m, s: ad.grad(lambda t: None)(1.0), "NoneType"),
    "argnums": (lambda x, m, s: ad.grad(lambda a: a * a, 1)(1.0), "argnums=1"),
    "hvp without tuples": (lambda x, m, s: ad.hvp(lambda t: np.sum(t * t), np.ones(2), np.ones(2)), "tuple"),
    "jvp without tuples": (lambda x, m, s: ad.jvp(lambda t: t * t, np.ones(2), np.ones(2)), "tuple"),
    # words of other libraries
    "t.size()": (lambda x, m, s: x.size(), r"t\.shape"),
    "t.size(0)": (lambda x, m, s: m.size(0), r"t\.shape\[k\]"),
    "t.topk": (lambda x, m, s: x.topk(2), r"np\.sort"),
    "t.scatter_add_": (lambda x, m, s: x.scatter_add_(0, [0], x), r"np\.add\.at"),
    "t.chunk": (lambda x, m, s: x.chunk(3), r"np\.array_split"),
    "t.view(dtype)": (lambda x, m, s: x.view(np.int64), "astype"),
    "t.max(dim=)": (lambda x, m, s: m.max(dim=1), r"argmax\(axis"),
    "t.sum(1, True)": (lambda x, m, s: m.sum(1, True), "keepdims=True"),
    "t.sort(descending=)": (lambda x, m, s: (x * 1).sort(descending=True), r"np\.argsort"),
    "t.to(torch.float32)": (lambda x, m, s: x.to(dtype="torch.float32"), "numpy.float32"),
    "t.std(dim=)": (lambda x, m, s: m.std(dim=1), "ddof=1"),
    "t.cuda()": (lambda x, m, s: x.cuda(), "CPU"),
    "t.to(cuda)": (lambda x, m, s: x.to("cuda:0"), "CPU"),
    "t.to(nonsense)": (lambda x, m, s: x.to("nonsense"), "'nonsense'"),
    "autodiff.cat": (lambda x, m, s: ad.cat([x, x]), r"autodiff\.concatenate"),
    "autodiff.randn": (lambda x, m, s: ad.randn(3), r"autodiff\.random\.normal"),
    "autodiff.argmax": (lambda x, m, s: ad.argmax(x), r"numpy\.argmax"),
    "autodiff.backward": (lambda x, m, s: ad.backward(s), r"loss\.backward\(\)"),
    "autodiff.relu": (lambda x, m, s: ad.relu(x), r"nn\.functional\.relu"),
    "autodiff.Variable": (lambda x, m, s: ad.Variable(np.ones(2)), "requires_grad=True"),
    "autodiff.sum(dim=)": (lambda x, m, s: ad.sum(m, dim=1), "axis="),
    "autodiff.mean(keepdim=)": (lambda x, m, s: ad.mean(m, axis=1, keepdim=True), "keepdims="),
    "autodiff.stop_gradient": (lambda x, m, s: ad.stop_gradient(x), r"autodiff\.constant"),
    # modules and losses
    "a layer's input": (lambda x, m, s: nn.Linear(3, 2)(np.ones((4, 5))), r"\(4, 5\)"),
    "a layer's input is text": (lambda x, m, s: nn.Linear(3, 2)("abc"), "numbers"),
    "a module on the GPU": (lambda x, m, s: nn.Linear(3, 2).to("cuda"), "CPU"),
    "module.cuda()": (lambda x, m, s: nn.Linear(3, 2).cuda(), "CPU"),
    "a module of no dtype": (lambda x, m, s: nn.Linear(3, 2).to("nonsense"), "'nonsense'"),
    "a function in Sequential": (lambda x, m, s: nn.Sequential(nn.Linear(3, 2), F.relu), r"nn\.ReLU\(\)"),
    "a list in Sequential": (lambda x, m, s: nn.Sequential([nn.Linear(3, 2)]), "one by one"),
    "super().__init__": (lambda x, m, s: net(x), r"super\(\)\.__init__\(\)"),
    "state of other keys": (lambda x, m, s: nn.Linear(3, 2).load_state_dict({"w": 1}), "strict=False"),
    "a loss of class numbers out of range": (lambda x, m, s: F.cross_entropy(m, np.array([0, 7])), r"7 .*\[0, 3\)"),
    "a loss of another batch": (lambda x, m, s: F.cross_entropy(m, np.array([0, 1, 2])), r"expected \(2,\)"),
    "a loss module as a function": (lambda x, m, s: nn.MSELoss(x), r"MSELoss\(\)\(input"),
    "a cross-entropy module as a function": (lambda x, m, s: nn.CrossEntropyLoss(m, [0, 1]), r"\(\)\(input"),
    "a loss of two shapes": (lambda x, m, s: F.mse_loss(x, np.ones(2)), r"\(3,\), target of shape \(2,\)"),
    "no probabilities": (lambda x, m, s: F.binary_cross_entropy(x, np.ones(3)), "sigmoid"),
    "a reduction": (lambda x, m, s: F.mse_loss(x, x, reduction="avg"), "'mean', 'sum'"),
    "channels": (lambda x, m, s: F.conv2d(ad.tensor(IMAGE), np.ones((2, 4, 3, 3))), "channels"),
    "axes of an image": (
        lambda x, m, s: F.conv2d(ad.tensor(np.ones((5, 5))), np.ones((2, 4, 3, 3))),
        r"\(N, C, \.\.\.\)",
    ),
    "features as text": (lambda x, m, s: nn.Linear("3", 2), "in_features must be an integer"),
    "features that are floats": (lambda x, m, s: nn.Linear(3.0, 2), "in_features must be an integer"),
    "a dropout as text": (lambda x, m, s: nn.Dropout("0.5"), "p must be a number"),
    "a layer of options called with data": (lambda x, m, s: nn.ReLU(x), r"ReLU\(\)\(input"),
    "a module that holds itself": (lambda x, m, s: holding_itself(nn.Sequential()), "hold itself"),
    "module.requires_grad": (lambda x, m, s: setattr(nn.Linear(3, 2), "requires_grad", False), r"requires_grad_\("),
    "applying text": (lambda x, m, s: nn.Linear(3, 2).apply("init"), "function of a module"),
    "words that are floats": (lambda x, m, s: F.embedding(np.array([0.5]), m), "integers"),
    "a dropout of 1.5": (lambda x, m, s: nn.Dropout(1.5), "probability"),
    "another model's optimiser": (lambda x, m, s: trainer(nn.Linear(3, 2), nn.Linear(3, 2)), r"model\.parameters\(\)"),
    # optimisers
    "a model for its parameters": (lambda x, m, s: optim.SGD(nn.Linear(3, 2), lr=0.1), r"model\.parameters\(\)"),
    "parameters not called": (lambda x, m, s: optim.SGD(nn.Linear(3, 2).parameters, lr=0.1), r"model\.parameters\(\)"),
    "one parameter": (lambda x, m, s: optim.SGD(x, lr=0.1), r"\[parameter\]"),
    "a rate for the parameters": (lambda x, m, s: optim.Adam(0.1), r"model\.parameters\(\)"),
    "no parameters": (lambda x, m, s: optim.SGD([], lr=0.1), "got no parameters"),
    "arrays for parameters": (lambda x, m, s: optim.SGD([np.ones(3)], lr=0.1), "Tensor"),
    "a negative rate": (lambda x, m, s: optim.SGD([x], lr=-1), "lr must"),
    "betas": (lambda x, m, s: optim.Adam([x], betas=(1.5, 0.9)), "betas must"),
    "a schedule of a model": (lambda x, m, s: optim.lr_scheduler.StepLR(nn.Linear(3, 2), 3), "optimizer"),
    "a loss for a closure": (lambda x, m, s: optim.SGD([x], lr=0.1).step(np.sum(x)), r"loss\.backward\(\)"),
    "milestones of one number": (lambda x, m, s: optim.MultiStepLR(optim.SGD([x], lr=0.1), 3), r"write \[3\]"),
    "a factor for a function": (lambda x, m, s: optim.LambdaLR(optim.SGD([x], lr=0.1), 0.5), "function of the step"),
    "gamma as text": (lambda x, m, s: optim.StepLR(optim.SGD([x], lr=0.1), 1, gamma="0.1"), "gamma must be a number"),
    "clipping arrays": (lambda x, m, s: optim.clip_grad_norm_([np.ones(3)], 1.0), "takes parameters"),
    "a norm as text": (lambda x, m, s: optim.clip_grad_norm_([x], "1"), "max_norm must be a number"),
    # the Trainer
    "a class for the optimizer": (lambda x, m, s: fitting(optimizer=optim.SGD), "got the class SGD"),
    "a name for the optimizer": (lambda x, m, s: fitting(optimizer="sgd"), r"model\.parameters\(\)"),
    "a name for the loss": (lambda x, m, s: fitting(loss="mse"), r"nn\.functional\.mse_loss"),
    "a class for the model": (lambda x, m, s: fitting(nn.Linear), "got the class Linear"),
    "loss and model exchanged": (lambda x, m, s: fitting(F.mse_loss, nn.Linear(3, 2)), "the order is"),
    "a class for the schedule": (lambda x, m, s: fitting(schedule=optim.StepLR), r"optim\.StepLR\(optimizer, 10\)"),
    "a rate for the schedule": (lambda x, m, s: fitting(schedule=0.5), "got a float"),
    "another optimizer's schedule": (
        lambda x, m, s: fitting(schedule=optim.StepLR(optim.SGD([x], lr=0.1), 3)),
        "another optimizer",
    ),
    "a function of NumPy's as a method": (
        lambda x, m, s: x.median(),
        r"Tensor has no attribute 'median'.*numpy\.median",
    ),
    "a cotangent of another shape": (lambda x, m, s: ad.vjp(np.sin, x)[1](np.ones(7)), r"cotangent of shape \(7,\)"),
    "a loss of several numbers": (lambda x, m, s: fitting(loss=lambda a, b: a), r"one number"),
    "a loss that is a number": (lambda x, m, s: fitting(loss=lambda a, b: a.sum().item()), "gave a float"),
    "a loss of nothing": (lambda x, m, s: fitting(loss=lambda a, b: None), "NoneType"),
    "a loss that is cut": (lambda x, m, s: fitting(loss=lambda a, b: a.detach().sum()), r"\.detach\(\)"),
    "one epoch and a half": (lambda x, m, s: fitting(epochs=1.5), "epochs must be an integer"),
    "a batch size as text": (lambda x, m, s: fitting(batch_size="4"), "batch_size must be an integer"),
    "clipping a model": (lambda x, m, s: optim.clip_grad_norm_(nn.Linear(3, 2), 1.0), r"model\.parameters\(\)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_teach(name):
    program, words = MISTAKES[name]
    with pytest.raises((ad.AutodiffError, ad.CutWarning, TypeError, AttributeError, IndexError), match=words) as caught:
        program(*tensors())
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    if not isinstance(caught.value, AttributeError | IndexError | ad.CutWarning):
        assert isinstance(caught.value, ad.AutodiffError) or "unsupported operand" in message


def test_there_are_many():
    assert len(MISTAKES) >= 94


METHODS = {
    "exp": (lambda t: t.exp(), np.exp),
    "view": (lambda t: t.view(3, -1), lambda a: a.reshape(3, -1)),
    "sum dim": (lambda t: t.sum(dim=0), lambda a: a.sum(0)),
    "keepdim": (lambda t: t.mean(dim=1, keepdim=True), lambda a: a.mean(1, keepdims=True)),
    "unsqueeze": (lambda t: t.unsqueeze(1), lambda a: a[:, None]),
    "permute": (lambda t: t.permute(1, 0), lambda a: a.T),
    "expand": (lambda t: t.unsqueeze(0).expand(2, -1, -1), lambda a: np.stack([a, a])),
    "clamp": (lambda t: t.clamp(min=0.5), lambda a: np.clip(a, 0.5, None)),
    "masked_fill": (lambda t: t.masked_fill(t > 1, 7.0), lambda a: np.where(a > 1, 7.0, a)),
    "norm": (lambda t: t.norm(), lambda a: np.sqrt((a * a).sum())),
    "gather": (lambda t: t.gather(1, np.array([[0], [2]])), lambda a: a[[0, 1], [0, 2]][:, None]),
    "t": (lambda t: t.t(), lambda a: a.T),
    "double": (lambda t: t.float().double(), lambda a: a.astype(np.float32).astype(float)),
    "to": (lambda t: t.to("cpu").to(np.float32), lambda a: a.astype(np.float32)),
    "index_select": (lambda t: t.index_select(1, [2, 0]), lambda a: a[:, [2, 0]]),
    "mm": (lambda t: t.mm(t.t()), lambda a: a @ a.T),
    "softmax": (lambda t: t.softmax(dim=1), lambda a: np.exp(a) / np.exp(a).sum(1, keepdims=True)),
    "flatten": (lambda t: t.unsqueeze(0).flatten(1), lambda a: a.reshape(1, -1)),
    "flatten between": (lambda t: t[None, None].flatten(start_dim=1, end_dim=2), lambda a: a[None]),
    "flatten of none": (lambda t: t[:0, None].flatten(1), lambda a: a[:0]),
    "squeeze": (lambda t: t[None].squeeze(dim=0), lambda a: a),
    "where": (lambda t: t.where(t > 1, 0 * t), lambda a: np.where(a > 1, a, 0.0)),
    "var unbiased": (lambda t: t.var(unbiased=False), lambda a: a.var()),
    "relu": (lambda t: (-t).relu(), lambda a: np.maximum(-a, 0)),
    "flip": (lambda t: t.flip(0), lambda a: a[::-1]),
    "sigmoid": (lambda t: t.sigmoid(), lambda a: 1 / (1 + np.exp(-a))),
    "rsqrt": (lambda t: t.rsqrt(), lambda a: a**-0.5),
    "add_": (lambda t: (t * 1).add_(t, alpha=2), lambda a: 3 * a),
    "zero_": (lambda t: (t * 1).zero_(), lambda a: 0 * a),
    "cpu": (lambda t: t.cpu().contiguous(), lambda a: a),
}


@pytest.mark.parametrize("name", METHODS)
def test_words_of_pytorch_mean_what_they_mean_there(name):
    ours, numpys = METHODS[name]
    a = np.array([[0.3, 1.7, 2.2], [0.9, 1.1, 0.4]])
    t = ad.tensor(a, requires_grad=True)
    np.testing.assert_allclose(ours(t).data, numpys(a), rtol=1e-6)
    assert ours(t).dtype == numpys(a).dtype
    torch = pytest.importorskip("torch")
    if name not in ("to", "index_select", "gather"):
        np.testing.assert_allclose(ours(torch.tensor(a)).numpy(), numpys(a), rtol=1e-6)


def test_counts():
    t = ad.tensor(np.ones((2, 3)))
    assert (t.size, t.numel(), t.dim(), t.nelement()) == (6, 6, 2, 6)
    assert isinstance(t.size, int)
    assert repr(t.size) == "6"


def test_a_propertys_setter_is_asked():
    class Net(nn.Module):
        @property
        def scale(self):
            return self._scale

        @scale.setter
        def scale(self, value):
            self._scale = 2 * value

    net = Net()
    net.scale = 3
    assert net.scale == 6


@pytest.mark.parametrize("p", [None, "fro", 1, 2, 3, float("inf")])
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 1), [0, 2]])
@pytest.mark.parametrize("keepdim", [False, True])
def test_norm_is_pytorchs(p, dim, keepdim):
    torch = pytest.importorskip("torch")
    if p is None:
        p = "fro"
    if p == "fro" and dim is None:
        keepdim = False
    a = np.random.default_rng(0).normal(size=(2, 3, 4))
    expected = torch.tensor(a).norm(p=p, dim=dim, keepdim=keepdim).numpy()
    np.testing.assert_allclose(ad.tensor(a).norm(p=p, dim=dim, keepdim=keepdim).data, expected)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (2, 3), (1, 1), (4, 2), (2, 5), (2,)])
def test_gather_is_pytorchs(dim, shape):
    torch = pytest.importorskip("torch")
    a, index = np.arange(6.0).reshape(2, 3), np.zeros(shape, int)
    try:
        expected = torch.tensor(a).gather(dim, torch.tensor(index)).numpy()
    except RuntimeError:
        with pytest.raises(ad.ShapeError, match=r"gather\(dim="):
            ad.tensor(a).gather(dim, index)
    else:
        np.testing.assert_array_equal(ad.tensor(a).gather(dim, index).data, expected)


def test_what_a_tensor_lacks_costs_no_operation_anything():
    """With ``__getattr__`` Python looks up every attribute of a Tensor the long way."""
    assert not hasattr(ad.Tensor, "__getattr__")
    x = ad.tensor([1.0])
    assert not hasattr(x, "median")
    assert "median" not in dir(x)


def taking(call, *args):
    try:
        return call(*args)
    except ad.AutodiffError as error:
        return str(error)


@pytest.mark.parametrize("mode", [contextlib.nullcontext, ad.plain, ad.composed])
def test_none_is_no_number(mode):
    answers = {}
    with mode():
        for name, op in ad.registry.items():
            needs = sum(p.default is p.empty for p in op.parameters)
            if not op.variadic and needs <= len(op.inputs):
                answers[name] = taking(op.function, None, *[np.ones((3, 3))] * (needs - 1))
        for name in ("arctan2", "hypot", "fmod", "power"):
            answers[f"{name}, second"] = taking(getattr(np, name), ad.tensor(np.ones(3)), None)
        for name in ("celu", "elu", "gelu", "leaky_relu", "logsigmoid", "relu", "selu", "sigmoid", "softplus"):
            answers[f"F.{name}"] = taking(getattr(F, name), None)
    assert len(answers) > 100
    words = re.compile(r"(\w+): (argument '\w+' is None|an input is None, not numbers); does what computed it return")
    assert not {name: said for name, said in answers.items() if not words.match(str(said))}
    assert taking(F.sigmoid, [1.0, None]).startswith("sigmoid: an input is a list of dtype object, not numbers;")
    assert answers["F.selu"].startswith("selu: ")


def test_integers_as_scores_are_floats():
    scores = np.array([[1, 2, 3], [0, 0, 5]])
    for function in (lambda x: F.softmax(x, -1), lambda x: F.log_softmax(x, 1), lambda x: F.cross_entropy(x, [0, 2])):
        for integers in (scores, ad.tensor(scores), scores.tolist()):
            np.testing.assert_array_equal(function(integers).data, function(scores.astype(float)).data)


def test_arguments_of_another_kind_are_named():
    with pytest.raises(ad.ArgumentError, match=r"takes what state_dict\(\) gives, got a str; for a file write nn.load"):
        nn.Linear(2, 2).load_state_dict("model.npz")
    with pytest.raises(ad.ArgumentError, match="draw: pass a Tensor"):
        ad.viz.draw(3)


K = np.array([0.5, 1.0, 2.0])
REFUSED_BY_NUMPY = {
    "choices by floats": lambda k: np.choose([0.0, 1.0, 0.5], [k, k]),
    "numbers for conditions": lambda k: np.select([np.array([0.0, 1.0, 2.0])], [k]),
    "a mask of floats": lambda k: np.sum(k, where=np.ones(3)),
    "repetitions by a float": lambda k: np.tile(k, 2.7),
    "a width that is a float": lambda k: np.pad(k, 1.5),
    "an axis beyond the last": lambda k: np.rollaxis(k[None], 0, 4),
    "less than no columns": lambda k: np.vander(k, -1),
    "no kind of sorting": lambda k: np.sort(k, kind="fast"),
    "an order of fields": lambda k: np.sort(k, order="name"),
    "a cast that is not safe": lambda k: np.concatenate([k, k], dtype=np.float32, casting="safe"),
    "a stack in whole numbers": lambda k: np.stack([k, k], dtype=int),
    "rows in whole numbers": lambda k: np.vstack([k, k], dtype=int),
}


@pytest.mark.parametrize("what", REFUSED_BY_NUMPY)
def test_what_numpy_refuses_is_refused(what):
    for k in (K, ad.tensor(K), ad.tensor(K, requires_grad=True)):
        with pytest.raises((TypeError, ValueError, IndexError)):
            REFUSED_BY_NUMPY[what](k)
