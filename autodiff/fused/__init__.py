"""Fused primitives: composed definition, fast forward and hand-derived backward, one under another, one file per
family.
"""

from autodiff.fused.activations import log_softmax, relu, softmax
from autodiff.fused.attention import attention_with_weights, scaled_dot_product_attention
from autodiff.fused.batch_renormalization import batch_renorm
from autodiff.fused.convolution import conv, conv_transpose
from autodiff.fused.cross_iteration_normalization import cross_iteration_batch_norm
from autodiff.fused.ctc import ctc_loss
from autodiff.fused.dropout import dropout, dropout_mask
from autodiff.fused.elementwise_losses import bernoulli_logits, bernoulli_nll, huber_bowl
from autodiff.fused.embedding import embedding
from autodiff.fused.group_normalization import group_norm, rms_norm
from autodiff.fused.linear import linear
from autodiff.fused.losses import cross_entropy
from autodiff.fused.margin_losses import multi_margin_loss
from autodiff.fused.normalization import batch_norm, batch_norm_backward_staged, batch_norm_inference, layer_norm
from autodiff.fused.pooling import adaptive_avg_pool, adaptive_max_pool, avg_pool, max_pool, maxima_of
from autodiff.fused.recurrent import gru, gru_cell, lstm, lstm_cell, rnn
from autodiff.fused.smooth_activations import (
    elu,
    gelu,
    gelu_tanh,
    leaky_relu,
    log_sigmoid,
    sigmoid,
    silu,
    soft_sign,
    softplus,
)

__all__ = [
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "attention_with_weights",
    "avg_pool",
    "batch_norm",
    "batch_norm_backward_staged",
    "batch_norm_inference",
    "batch_renorm",
    "bernoulli_logits",
    "bernoulli_nll",
    "conv",
    "conv_transpose",
    "cross_entropy",
    "cross_iteration_batch_norm",
    "ctc_loss",
    "dropout",
    "dropout_mask",
    "elu",
    "embedding",
    "gelu",
    "gelu_tanh",
    "group_norm",
    "gru",
    "gru_cell",
    "huber_bowl",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "lstm",
    "lstm_cell",
    "max_pool",
    "maxima_of",
    "multi_margin_loss",
    "relu",
    "rms_norm",
    "rnn",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
]
