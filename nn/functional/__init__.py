"""Functions with PyTorch's names, argument order and defaults: state and conventions over the fused primitives."""

from nn.functional import (
    activation,
    affine,
    attention,
    convolution,
    ctc,
    distance_loss,
    dropping,
    loss,
    margin_loss,
    normalization,
    padding,
    pooling,
    sparse,
    vision,
)
from nn.functional.activation import *
from nn.functional.affine import *
from nn.functional.attention import *
from nn.functional.convolution import *
from nn.functional.ctc import *
from nn.functional.distance_loss import *
from nn.functional.dropping import *
from nn.functional.loss import *
from nn.functional.margin_loss import *
from nn.functional.normalization import *
from nn.functional.padding import *
from nn.functional.pooling import *
from nn.functional.sparse import *
from nn.functional.vision import *

# A name is listed once: in __all__ of the file that it stands in.
__all__: list[str] = []
__all__ += activation.__all__
__all__ += affine.__all__
__all__ += attention.__all__
__all__ += convolution.__all__
__all__ += ctc.__all__
__all__ += distance_loss.__all__
__all__ += dropping.__all__
__all__ += loss.__all__
__all__ += margin_loss.__all__
__all__ += normalization.__all__
__all__ += padding.__all__
__all__ += pooling.__all__
__all__ += sparse.__all__
__all__ += vision.__all__
