"""The activation that learns; the others are rows of :mod:`nn.layers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError
from nn import functional as F
from nn.module import Module
from nn.parameter import Parameter

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["PReLU"]


class PReLU(Module):
    """``x`` where positive, else ``weight * x``, the slope being learned.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels for one slope each.
    init : float
        The slopes at first.
    dtype : dtype

    Attributes
    ----------
    weight : Parameter (num_parameters,)

    Examples
    --------
    >>> import numpy as np
    >>> PReLU(init=0.5)(np.array([-1.0, 2.0], np.float32)).data
    array([-0.5,  2. ], dtype=float32)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: DTypeLike = np.float32) -> None:
        super().__init__()
        if num_parameters < 1:
            raise ArgumentError(f"PReLU: num_parameters must be positive, got {num_parameters}")
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(np.full(num_parameters, init, dtype))

    def forward(self, input: ArrayLike) -> Tensor:
        """(N, C, ...) to the same shape."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"
