"""Fused primitives: composed definition, fast forward and hand-derived backward, one under another, one file per family."""

from autodiff.fused.activations import log_softmax, relu, softmax
from autodiff.fused.attention import attention_with_weights, scaled_dot_product_attention
from autodiff.fused.batch_renormalization import batch_renorm
from autodiff.fused.cross_iteration_normalization import cross_iteration_batch_norm
from autodiff.fused.dropout import dropout, dropout_mask
from autodiff.fused.embedding import embedding
from autodiff.fused.group_normalization import group_norm, rms_norm
from autodiff.fused.linear import linear
from autodiff.fused.losses import cross_entropy
from autodiff.fused.normalization import batch_norm, batch_norm_backward_staged, batch_norm_inference, layer_norm

__all__ = [
    "attention_with_weights",
    "batch_norm",
    "batch_norm_backward_staged",
    "batch_norm_inference",
    "batch_renorm",
    "cross_entropy",
    "cross_iteration_batch_norm",
    "dropout",
    "dropout_mask",
    "embedding",
    "group_norm",
    "layer_norm",
    "linear",
    "log_softmax",
    "relu",
    "rms_norm",
    "scaled_dot_product_attention",
    "softmax",
]
