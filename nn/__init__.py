"""Neural networks with PyTorch's names and arithmetic, on autodiff's Tensors."""

from nn import ours as ours  # isort: skip
from nn import (
    activation,
    adaptive_softmax,
    attention,
    batch_renormalization,
    containers,
    convolution,
    cross_iteration_normalization,
    embedding,
    fully_connected,
    functional,
    init,
    layers,
    linear,
    module,
    normalization,
    overview,
    parameter,
    recurrent,
    saving,
    table,
    transformer,
    utils,
)
from nn.activation import *
from nn.adaptive_softmax import *
from nn.attention import *
from nn.batch_renormalization import *
from nn.containers import *
from nn.convolution import *
from nn.cross_iteration_normalization import *
from nn.embedding import *
from nn.fully_connected import *
from nn.layers import *
from nn.linear import *
from nn.module import *
from nn.normalization import *
from nn.overview import *
from nn.parameter import *
from nn.recurrent import *
from nn.saving import *
from nn.table import *
from nn.transformer import *
from nn.utils.data import DataLoader as DataLoader
from nn.utils.data import TensorDataset as TensorDataset

# A name is listed once: in __all__ of the file that it stands in.
__all__ = ["DataLoader", "TensorDataset", "functional", "init", "utils"]
__all__ += activation.__all__
__all__ += adaptive_softmax.__all__
__all__ += attention.__all__
__all__ += batch_renormalization.__all__
__all__ += containers.__all__
__all__ += convolution.__all__
__all__ += cross_iteration_normalization.__all__
__all__ += embedding.__all__
__all__ += fully_connected.__all__
__all__ += layers.__all__
__all__ += linear.__all__
__all__ += module.__all__
__all__ += normalization.__all__
__all__ += overview.__all__
__all__ += parameter.__all__
__all__ += recurrent.__all__
__all__ += saving.__all__
__all__ += table.__all__
__all__ += transformer.__all__
