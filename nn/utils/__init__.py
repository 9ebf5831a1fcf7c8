"""``torch.nn.utils``: clipping, parameters as a vector, weights computed from other parameters, data loaders."""

from autodiff.clipping import *
from nn.utils import conversion, data, reparameterization, rnn
from nn.utils.conversion import *
from nn.utils.reparameterization import *

__all__ = ["clip_grad_norm_", "clip_grad_value_", "data", "rnn"]
__all__ += conversion.__all__
__all__ += reparameterization.__all__
