"""Calls that PyTorch refuses, refused here too, by an error that is both the library's own and a built-in one."""

from importlib.util import find_spec

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.core.errors import AutodiffError
from nn import functional as F

X, Y = np.ones((4, 3)), np.array([0, 1, 2, 0])
# name -> positional arguments, keyword arguments
FUNCTIONS = {
    "an index out of range": ("nll_loss", (X, Y + 1), {}),
    "class weights of the wrong length": ("cross_entropy", (X, Y), {"weight": np.ones(2)}),
    "one target too few": ("cross_entropy", (X, Y[:3]), {}),
    "an unknown reduction": ("mse_loss", (X, X), {"reduction": "average"}),
    "probabilities above one": ("binary_cross_entropy", (X + 1, X), {}),
    "targets of another shape": ("binary_cross_entropy_with_logits", (X, X[:, :2]), {}),
    "p of the hinge": ("multi_margin_loss", (X, Y), {"p": 3}),
    "a class out of range of the hinge": ("multi_margin_loss", (X, Y + 1), {}),
    "a negative variance": ("gaussian_nll_loss", (X, X, -X), {}),
    "variances of a wrong shape": ("gaussian_nll_loss", (X, X, np.ones(2)), {}),
    "no margin": ("triplet_margin_loss", (X, X, X), {"margin": 0.0}),
    "a negative beta": ("smooth_l1_loss", (X, X), {"beta": -1.0}),
    "a delta of zero": ("huber_loss", (X, X), {"delta": 0.0}),
    "axes that differ in number": ("margin_ranking_loss", (X, X, Y), {}),
    "a blank out of range": ("ctc_loss", (X, np.array([[1]]), np.array([4]), np.array([1])), {"blank": 3}),
    "more frames than there are": ("ctc_loss", (X[:, None], np.array([[1]]), np.array([5]), np.array([1])), {}),
    "an odd axis": ("glu", (X,), {}),
    "an approximation unknown": ("gelu", (X,), {"approximate": "erf"}),
    "slopes for another number of channels": ("prelu", (X, np.ones(2)), {}),
    "a softmax along no axis": ("softmax", (X,), {"dim": 2}),
    "groups that do not divide": ("group_norm", (X, 2), {}),
    "one value per channel": ("batch_norm", (X[:1], None, None), {"training": True}),
    "evaluation without statistics": ("batch_norm", (X, None, None), {}),
    "one position": ("instance_norm", (X[:, :, None],), {}),
    "another normalized_shape": ("layer_norm", (X, (4,)), {}),
    "another normalized_shape for rms": ("rms_norm", (X, (4,)), {}),
    "a negative eps": ("cosine_similarity", (X, X), {"eps": -1.0}),
    "a similarity along no axis": ("cosine_similarity", (X, X), {"dim": 2}),
    "an output of nothing": ("interpolate", (X[None],), {"scale_factor": 0.1, "recompute_scale_factor": True}),
    "a negative p": ("pdist", (X,), {"p": -1}),
    "padding beyond the table": ("embedding_bag", (Y[None], X), {"padding_idx": 7}),
    "a negative max_norm": ("embedding", (Y, ad.tensor(X.copy())), {"max_norm": -1.0}),
    "a softmax of integers": ("softmax", (X, 1), {"dtype": int}),
    "a log_softmax of booleans": ("log_softmax", (X, 1), {"dtype": bool}),
    "half a class": ("one_hot", (Y,), {"num_classes": 3.5}),
    "channels of a vector": ("feature_alpha_dropout", (X[0],), {"training": True}),
    "half a pixel": ("interpolate", (X[None],), {"size": 2.5}),
    "an endless scale": ("interpolate", (X[None],), {"scale_factor": np.inf}),
    "pixels of nothing": ("interpolate", (X[None, :, :0],), {"size": 2}),
    "a scale beside a size": ("interpolate", (X[None],), {"size": 2, "recompute_scale_factor": True}),
    "a grid of nothing": ("affine_grid", (np.ones((1, 2, 3)), (1, 1, 0, 2)), {"align_corners": False}),
    "a factor of floats": ("pixel_shuffle", (np.ones((1, 4, 2, 2)), 2.0), {}),
    "a divisor of floats": ("pixel_unshuffle", (np.ones((1, 4, 2, 2)), 2.0), {}),
    "groups of floats": ("channel_shuffle", (np.ones((1, 4, 2, 2)), 2.0), {}),
    "neighbours of floats": ("local_response_norm", (X[None], 2.5), {}),
    "a complex pad": ("pad", (X, (1, 1), "constant", 1j), {}),
    "a pad of text": ("pad", (X, (1, 1), "constant", "x"), {}),
    "a pad that overflows": ("pad", (X.astype(np.uint8), (1, 1), "constant", 300), {}),
    "weights beyond the losses": ("binary_cross_entropy", (X[0] / 2, X[0]), {"weight": X}),
    "weights beyond the losses of scores": ("binary_cross_entropy_with_logits", (X[0], X[0]), {"weight": X}),
    "weights of positives beyond": ("binary_cross_entropy_with_logits", (X[0], X[0]), {"pos_weight": X}),
    "a scale of zero": ("interpolate", (X[None],), {"scale_factor": 0}),
}
WINDOWS = {"kernel_size": 2, "dilation": 1, "padding": 0, "stride": 1}
for _option, _value in (("kernel_size", 0), ("dilation", 0), ("padding", -1), ("stride", 0)):
    FUNCTIONS[f"unfold with {_option} {_value}"] = ("unfold", (np.ones((1, 2, 4, 4)),), WINDOWS | {_option: _value})
    FUNCTIONS[f"fold with {_option} {_value}"] = ("fold", (np.ones((1, 8, 9)), (4, 4)), WINDOWS | {_option: _value})
MODULES = {
    "groups that do not divide": ("GroupNorm", (2, 3), {}),
    "axes of batch norm": ("BatchNorm1d", (3,), {}),
    "channels of batch norm": ("BatchNorm2d", (3,), {}),
    "axes of instance norm": ("InstanceNorm2d", (3,), {}),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions(case):
    name, args, kwargs = FUNCTIONS[case]
    with pytest.raises(AutodiffError) as refusal:
        getattr(F, name)(*args, **kwargs)
    assert isinstance(refusal.value, ValueError)
    assert str(refusal.value).startswith(name), "the message opens with the function"
    if find_spec("torch") is None:
        pytest.skip("that PyTorch refuses it too cannot be seen without it")
    import torch

    convert = lambda a: torch.tensor(a) if isinstance(a, np.ndarray) else a
    if name == "embedding":
        return  # PyTorch takes a negative max_norm, and turns the rows round
    with pytest.raises((ValueError, RuntimeError, IndexError, AssertionError, TypeError)):
        getattr(torch.nn.functional, name)(
            *map(convert, args), **{key: convert(value) for key, value in kwargs.items()}
        )


@pytest.mark.parametrize("case", MODULES)
def test_modules(case):
    name, args, kwargs = MODULES[case]
    x = np.ones((2, 4, 5, 5)) if "channels" in case else np.ones((2, 3, 4, 4, 4))
    with pytest.raises(AutodiffError, match=name):
        getattr(nn, name)(*args, **kwargs)(x)
    if find_spec("torch") is None:
        pytest.skip("that PyTorch refuses it too cannot be seen without it")
    import torch

    with pytest.raises((ValueError, RuntimeError)):
        getattr(torch.nn, name)(*args, **kwargs)(torch.tensor(x, dtype=torch.float32))
