"""Functions with PyTorch's names, argument order and defaults: state and conventions over the fused primitives."""

from nn.functional.activation import leaky_relu, log_softmax, relu, sigmoid, softmax, tanh
from nn.functional.attention import attention_with_weights, scaled_dot_product_attention
from nn.functional.dropout import dropout
from nn.functional.linear import linear
from nn.functional.loss import cross_entropy, mse_loss
from nn.functional.normalization import batch_norm, batch_renorm, group_norm, instance_norm, layer_norm, rms_norm
from nn.functional.pad import pad
from nn.functional.sparse import embedding, one_hot

__all__ = [
    "attention_with_weights",
    "batch_norm",
    "batch_renorm",
    "cross_entropy",
    "dropout",
    "embedding",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mse_loss",
    "one_hot",
    "pad",
    "relu",
    "rms_norm",
    "scaled_dot_product_attention",
    "sigmoid",
    "softmax",
    "tanh",
]
