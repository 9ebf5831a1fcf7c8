"""PyTorch's gradients: what is a constant, what is a parameter, what is an option."""

import numpy as np
import pytest

from autodiff.core.errors import ArgumentError
from autodiff.testing import check_torch

torch = pytest.importorskip("torch")
X = np.array([0.3, -1.2, 0.8])


class DetachedExp(torch.autograd.Function):
    """Right in first order; what it saves is a constant of the second (PyTorch's issue 58509)."""

    @staticmethod
    def forward(ctx, x):
        ctx.y = x.exp().detach()
        return ctx.y.clone()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.y


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, by):
        ctx.by = by
        return x * by

    @staticmethod
    def backward(ctx, g):
        return g * ctx.by, None


def test_what_a_function_detaches_for_its_backward_is_no_constant():
    assert check_torch(DetachedExp, X, order=1).verdict == "pass"
    assert check_torch(DetachedExp, X, raises=False).verdict == "fail"


def test_what_is_detached_outside_is_held_with_gradients_off_too():
    through = lambda x: x + (torch.round(x) - x).detach()
    assert check_torch(through, X).notes == ["1 array held constant at the base point"]

    def quantised(x):
        with torch.no_grad():
            scale = x.detach().abs().max()
        return torch.tanh(x) / scale

    assert check_torch(quantised, X).verdict == "pass"


def test_numbers_beside_arrays_are_options():
    report = check_torch(Scaled, X, 3.0)
    assert report.verdict == "pass"
    assert report.notes == ["not checked: argument 1 (a number) is passed on as it is"]
    normed = lambda x, w, eps: torch.nn.functional.layer_norm(x, (3,), w, None, eps)
    assert check_torch(normed, X, X + 2, 1e-5).verdict == "pass"


def test_a_module_of_indices_is_checked_by_its_parameters():
    report = check_torch(torch.nn.Embedding(5, 3), np.array([0, 1, 1]), order=1)
    assert {entry.label for entry in report.entries} == {"parameter weight"}


def test_a_function_that_returns_no_tensor_is_a_usage_error():
    for f in (lambda x: None, lambda x: x.sum().item(), lambda x: (x > 0).long()):
        with pytest.raises(ArgumentError, match="nothing that has a gradient"):
            check_torch(f, X)


def test_a_function_whose_outputs_are_cut_from_its_arguments_is_a_usage_error():
    with pytest.raises(ArgumentError, match="no output of f depends"):
        check_torch(lambda x: torch.tensor(x.detach().numpy() * 2), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("size", [1, 3])
def test_a_random_function_of_few_numbers_is_noticed_though_it_gives_the_same_twice(size):
    # Ones and zeros coincide often; the state of PyTorch's generator does not.
    for seed in range(10):
        torch.manual_seed(seed)
        report = check_torch(torch.nn.Dropout(0.1), np.arange(1.0, size + 1), order=1, raises=False)
        assert report.verdict == "inconclusive"

    def seeded(x):
        torch.manual_seed(3)
        return x * torch.rand(size)

    assert check_torch(seeded, np.arange(1.0, size + 1), order=1).verdict == "pass"


class CutCotangent(torch.autograd.Function):
    """Right in first order, and in second where the output's gradient is a constant."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    def backward(ctx, g):
        return g.detach() * ctx.saved_tensors[0].exp()


def test_the_gradient_in_the_outputs_gradient_is_compared():
    assert check_torch(CutCotangent, X, order=1).verdict == "pass"
    assert check_torch(CutCotangent, X, raises=False).verdict == "fail"


def test_frozen_and_complex_parameters_and_sparse_gradients():
    frozen = torch.nn.Linear(3, 2)
    frozen.bias.requires_grad_(False)
    assert check_torch(frozen, X[None]).verdict == "pass"
    report = check_torch(torch.nn.Linear(3, 2, dtype=torch.complex128), X[None] + 1j)
    assert report.verdict == "pass"
    assert "parameter weight" in {entry.label for entry in report.entries}
    rows = torch.tensor([0, 0, 2])
    looked_up = lambda w: torch.nn.functional.embedding(rows, w, sparse=True)
    assert check_torch(looked_up, np.outer(X, X), order=1).verdict == "pass"
