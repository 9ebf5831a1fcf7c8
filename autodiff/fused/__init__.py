"""Fused primitives: composed definition, fast forward and hand-derived backward, one under another, one file per
family.

A name is listed once, in ``__all__`` of its family's file.
"""

from autodiff.fused.activations import *
from autodiff.fused.attention import *
from autodiff.fused.batch_renormalization import *
from autodiff.fused.convolution import *
from autodiff.fused.cross_iteration_normalization import *
from autodiff.fused.ctc import *
from autodiff.fused.dropout import *
from autodiff.fused.elementwise_losses import *
from autodiff.fused.embedding import *
from autodiff.fused.group_normalization import *
from autodiff.fused.linear import *
from autodiff.fused.losses import *
from autodiff.fused.margin_losses import *
from autodiff.fused.normalization import *
from autodiff.fused.pooling import *
from autodiff.fused.recurrent import *
from autodiff.fused.smooth_activations import *
