"""The schedules under PyTorch's name of their module: ``optim.lr_scheduler.StepLR``."""

from optim import schedules
from optim.schedules import *

__all__ = schedules.__all__
