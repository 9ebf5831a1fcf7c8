"""Neural networks with PyTorch's names and arithmetic, on autodiff's Tensors."""

from nn import functional, init
from nn.activation import LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from nn.attention import MultiheadAttention
from nn.batch_renormalization import BatchRenorm1d, BatchRenorm2d, BatchRenorm3d, LinearRenormSchedule, LogisticRenormSchedule
from nn.containers import Flatten, Identity, ModuleList, Residual, Sequential
from nn.cross_iteration_normalization import CrossIterationBatchNorm1d, CrossIterationBatchNorm2d
from nn.dropout import Dropout
from nn.embedding import Embedding
from nn.fully_connected import FullyConnectedNet
from nn.linear import Linear
from nn.loss import CrossEntropyLoss, MSELoss
from nn.module import Module, name_parameters
from nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LayerNorm, RMSNorm
from nn.padding import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from nn.parameter import Parameter
from nn.saving import load, load_file, save, save_file
from nn.transformer import (
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
    generate_square_subsequent_mask,
    sinusoidal_positions,
)

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "BatchRenorm1d",
    "BatchRenorm2d",
    "BatchRenorm3d",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "CrossEntropyLoss",
    "CrossIterationBatchNorm1d",
    "CrossIterationBatchNorm2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "FullyConnectedNet",
    "GroupNorm",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LinearRenormSchedule",
    "LogSoftmax",
    "LogisticRenormSchedule",
    "MSELoss",
    "Module",
    "ModuleList",
    "MultiheadAttention",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
    "functional",
    "generate_square_subsequent_mask",
    "init",
    "load",
    "load_file",
    "name_parameters",
    "save",
    "save_file",
    "sinusoidal_positions",
]
