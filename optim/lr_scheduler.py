"""The schedules under PyTorch's name of their module: ``optim.lr_scheduler.StepLR``."""

from optim import schedules
from optim.schedules import *
from optim.schedules import Schedule as LRScheduler

__all__ = ["LRScheduler", *schedules.__all__]
