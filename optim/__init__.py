"""Optimisers and learning-rate schedules with PyTorch's names and arithmetic, gradient clipping, and the training
loop.
"""

from optim import ours as ours  # isort: skip
from autodiff import clipping
from autodiff.clipping import *
from optim import (
    adam,
    adaptive,
    checkpoint,
    datasets,
    history,
    lbfgs,
    logs,
    lr_scheduler,
    matrices,
    optimizer,
    parallel,
    schedules,
    sgd,
    signs,
    swa_utils,
    trainer,
)
from optim.adam import *
from optim.adaptive import *
from optim.checkpoint import *
from optim.history import *
from optim.lbfgs import *
from optim.logs import *
from optim.matrices import *
from optim.optimizer import *
from optim.parallel import *
from optim.schedules import *
from optim.sgd import *
from optim.signs import *
from optim.trainer import *

# A name is listed once: in __all__ of the file that it stands in.
__all__ = ["datasets", "lr_scheduler", "swa_utils"]
__all__ += adam.__all__
__all__ += adaptive.__all__
__all__ += checkpoint.__all__
__all__ += clipping.__all__
__all__ += history.__all__
__all__ += lbfgs.__all__
__all__ += logs.__all__
__all__ += matrices.__all__
__all__ += optimizer.__all__
__all__ += parallel.__all__
__all__ += schedules.__all__
__all__ += sgd.__all__
__all__ += signs.__all__
__all__ += trainer.__all__
