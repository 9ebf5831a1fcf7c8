"""The names promised to users are there, callable as promised; a name that goes missing or a default that changes turns
this red.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

import autodiff
import nn
import optim

AUTODIFF = """
Tensor tensor grad value_and_grad vjp jvp jacobian hessian hvp checkpoint gradients no_grad enable_grad
is_grad_enabled composed detect_anomaly
constant array stack concatenate where elementwise_grad
""".split()
TENSOR = """
data grad shape dtype ndim size T requires_grad is_leaf name backward zero_grad detach numpy item astype retain_grad
register_hook at
sum mean prod max min var std cumsum cumprod reshape transpose ravel flatten squeeze swapaxes repeat take clip dot
conj round argmax argmin argsort
any all nonzero diagonal trace ptp compress searchsorted tolist copy real imag flat nbytes itemsize mT
""".split()
FUNCTIONAL = """
linear relu leaky_relu prelu elu selu gelu silu sigmoid tanh softplus maxout softmax log_softmax
cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy
binary_cross_entropy_with_logits kl_div
multi_margin_loss dropout batch_norm layer_norm group_norm instance_norm rms_norm batch_renorm conv1d conv2d
conv_transpose2d
max_pool2d avg_pool2d adaptive_avg_pool2d embedding scaled_dot_product_attention one_hot pad
""".split()
MODULES = """
Linear ReLU LeakyReLU PReLU ELU SELU GELU SiLU Sigmoid Tanh Softplus Maxout Softmax LogSoftmax CrossEntropyLoss
NLLLoss MSELoss L1Loss
SmoothL1Loss HuberLoss BCELoss BCEWithLogitsLoss KLDivLoss MultiMarginLoss Dropout BatchNorm1d BatchNorm2d BatchNorm3d
LayerNorm GroupNorm
InstanceNorm1d InstanceNorm2d RMSNorm BatchRenorm1d BatchRenorm2d Conv1d Conv2d ConvTranspose2d MaxPool2d AvgPool2d
AdaptiveAvgPool2d
Embedding Sequential ModuleList ModuleDict Flatten Residual RNN LSTM GRU RNNCell LSTMCell GRUCell MultiheadAttention
TransformerEncoderLayer
CrossIterationBatchNorm2d FullyConnectedNet Module Parameter Identity
""".split()
MODULE = (
    "parameters named_parameters modules state_dict load_state_dict train eval zero_grad requires_grad_ apply"
    " register_forward_hook".split()
)
INIT = """
uniform_ normal_ constant_ ones_ zeros_ eye_ dirac_ xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_
trunc_normal_ orthogonal_ sparse_
calculate_gain
""".split()
OPTIM = """
SGD Adagrad RMSprop Adam AdamW Adadelta Lion StepLR MultiStepLR ExponentialLR CosineAnnealingLR OneCycleLR LinearLR
SequentialLR
ReduceLROnPlateau clip_grad_norm_ clip_grad_value_ Trainer DataParallel
""".split()
ELSEWHERE = {
    "autodiff.extend": ["Primitive", "Fused"],
    "autodiff.testing": ["check_gradients", "verify", "verify_all", "strategies", "laws", "check_pair"],
    "autodiff.viz": ["draw", "Graph"],
    "autodiff.optimize": ["curve_fit", "minimize"],
    "autodiff.implicit": ["root", "fixed_point", "least_squares", "minimize", "linear_solve", "custom_root"],
    "autodiff.sparse": ["spsolve", "splu", "cg", "gmres", "csr_array", "csc_array", "coo_array"],
    "autodiff.integrate": ["solve_ivp", "odeint", "quad", "fixed_quad"],
    "autodiff.interpolate": ["interp", "CubicSpline", "PchipInterpolator", "RegularGridInterpolator"],
    "autodiff.coloring": ["sparse_jacobian", "sparse_hessian"],
}


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (autodiff, AUTODIFF),
        (autodiff.Tensor, TENSOR),
        (nn, MODULES),
        (nn.functional, FUNCTIONAL),
        (nn.Module, MODULE),
        (nn.init, INIT),
        (optim, OPTIM),
        *((importlib.import_module(module), names) for module, names in ELSEWHERE.items()),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_names_are_there(where: Any, names: list[str]) -> None:
    assert [name for name in names if not hasattr(where, name)] == []


SIGNATURES = {
    autodiff.Tensor: "(data, requires_grad=False, dtype=None, name=None)",
    autodiff.tensor: "(data, requires_grad=False, dtype=None, name=None)",
    autodiff.gradients: (
        "(outputs, inputs, grad_outputs=None, create_graph=False, retain_graph=None, allow_unused=False)"
    ),
    autodiff.Tensor.sum: "(self, axis=None, dtype=None, out=None, keepdims=False, **kw)",
    nn.FullyConnectedNet: (
        "(hidden_dims, input_dim=3072, num_classes=10, dropout_keep_ratio=1, normalization=None, reg=0.0,"
        " weight_scale=0.01, dtype=float32, seed=None)"
    ),
}


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda f: f.__qualname__)
def test_signatures(function: Any) -> None:
    found = []
    for p in inspect.signature(function).parameters.values():
        default = getattr(p.default, "__name__", repr(p.default))
        found.append(
            ("**" if p.kind is p.VAR_KEYWORD else "") + p.name + ("" if p.default is p.empty else f"={default}")
        )
    assert f"({', '.join(found)})" == SIGNATURES[function]


@pytest.mark.parametrize("package", [autodiff, nn, optim], ids=lambda m: m.__name__)
def test_all_says_what_there_is(package: Any) -> None:
    assert len(set(package.__all__)) == len(package.__all__)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
