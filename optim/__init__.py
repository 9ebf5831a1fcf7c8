"""Optimisers and learning-rate schedules with PyTorch's names and arithmetic, gradient clipping, and the training
loop.
"""

from optim import ours as ours  # isort: skip
from optim import datasets, lr_scheduler
from optim.adam import Adam, AdamW
from optim.adaptive import Adadelta, Adagrad, RMSprop
from optim.checkpoint import load_checkpoint, save_checkpoint
from optim.clipping import clip_grad_norm_, clip_grad_value_
from optim.history import History
from optim.lion import Lion
from optim.optimizer import Optimizer
from optim.parallel import DataParallel
from optim.schedules import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    Schedule,
    SequentialLR,
    StepLR,
)
from optim.sgd import SGD
from optim.trainer import Trainer

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "DataParallel",
    "ExponentialLR",
    "History",
    "LambdaLR",
    "LinearLR",
    "Lion",
    "MultiStepLR",
    "OneCycleLR",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
    "Trainer",
    "clip_grad_norm_",
    "clip_grad_value_",
    "datasets",
    "lr_scheduler",
    "load_checkpoint",
    "save_checkpoint",
]
