"""Activations whose name ends in an underscore write over their input."""

import numpy as np
import pytest

import autodiff as ad
from nn import functional as F

NAMES = {"celu_": (0.5,), "elu_": (0.5,), "hardtanh_": (-0.5, 0.5), "leaky_relu_": (0.2,), "relu_": (), "selu_": ()}
NAMES |= {"threshold_": (0.1, 2.0), "rrelu_": (0.1, 0.3)}


@pytest.mark.parametrize("name", NAMES)
def test_the_input_holds_the_result_and_the_gradient_is_that_of_the_function(name):
    values = np.array([-2.0, -0.3, 0.2, 3.0])
    args, plain = NAMES[name], getattr(F, name[:-1])
    x, y = ad.tensor(values, requires_grad=True), ad.tensor(values, requires_grad=True)
    hidden = 2 * x
    assert getattr(F, name)(hidden, *args) is hidden
    expected = plain(2 * y, *args)
    np.testing.assert_array_equal(hidden.data, expected.data)
    (hidden * values).sum().backward()
    (expected * values).sum().backward()
    np.testing.assert_array_equal(x.grad, y.grad)


def test_what_an_earlier_operation_needs_is_not_overwritten():
    x = ad.tensor([-1.0, 2.0], requires_grad=True)
    hidden = np.exp(x)
    F.hardtanh_(hidden)
    hidden.sum().backward()
    np.testing.assert_allclose(x.grad, [np.exp(-1.0), 0.0])


def test_arrays_are_written_too_and_the_rest_is_refused():
    array = np.array([-1.0, 2.0])
    assert F.relu_(array) is array
    assert array.tolist() == [0.0, 2.0]
    with pytest.raises(ad.ArgumentError, match="relu_ writes over its input"):
        F.relu_([1.0])
    with pytest.raises(ad.GraphError):
        F.relu_(ad.tensor([1.0], requires_grad=True))
