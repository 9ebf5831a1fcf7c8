"""Activation layers; what each computes is told by the function of :mod:`nn.functional` that it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ArgumentError
from nn import functional as F
from nn.module import Module
from nn.parameter import Parameter
from nn.table import FunctionLayer

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Maxout",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]

_relu = fused.relu.function  # what nn.functional.relu calls, as in nn.linear


class ReLU(FunctionLayer):
    """``max(x, 0)``."""

    _function = staticmethod(_relu)

    def forward(self, input: ArrayLike) -> Tensor:
        """Any shape."""
        return _relu(input)  # type: ignore[no-any-return]


class ReLU6(FunctionLayer):
    """``min(max(x, 0), 6)``."""

    _function = staticmethod(F.relu6)


class SELU(FunctionLayer):
    """The self-normalising ELU."""

    _function = staticmethod(F.selu)


class SiLU(FunctionLayer):
    """``x * sigmoid(x)``."""

    _function = staticmethod(F.silu)


class Mish(FunctionLayer):
    """``x * tanh(softplus(x))``."""

    _function = staticmethod(F.mish)


class Sigmoid(FunctionLayer):
    """``1 / (1 + exp(-x))``."""

    _function = staticmethod(F.sigmoid)


class LogSigmoid(FunctionLayer):
    """The logarithm of the sigmoid."""

    _function = staticmethod(F.logsigmoid)


class Tanh(FunctionLayer):
    """The hyperbolic tangent."""

    _function = staticmethod(F.tanh)


class Tanhshrink(FunctionLayer):
    """``x - tanh(x)``."""

    _function = staticmethod(F.tanhshrink)


class Softsign(FunctionLayer):
    """``x / (1 + |x|)``."""

    _function = staticmethod(F.softsign)


class Hardsigmoid(FunctionLayer):
    """``(x + 3) / 6`` limited to [0, 1]."""

    _function = staticmethod(F.hardsigmoid)


class Hardswish(FunctionLayer):
    """``x * hardsigmoid(x)``."""

    _function = staticmethod(F.hardswish)


class LeakyReLU(FunctionLayer):
    """``x`` where positive, else ``negative_slope * x``."""

    _function = staticmethod(F.leaky_relu)
    negative_slope: float = 0.01


class ELU(FunctionLayer):
    """``x`` where positive, else ``alpha (exp(x) - 1)``."""

    _function = staticmethod(F.elu)
    alpha: float = 1.0


class CELU(FunctionLayer):
    """``x`` where positive, else ``alpha (exp(x / alpha) - 1)``."""

    _function = staticmethod(F.celu)
    alpha: float = 1.0


class GELU(FunctionLayer):
    """``x Phi(x)``; ``approximate`` is "none" or "tanh"."""

    _function = staticmethod(F.gelu)
    approximate: str = "none"


class Softplus(FunctionLayer):
    """``log(1 + exp(beta x)) / beta``, and x itself where ``beta x > threshold``."""

    _function = staticmethod(F.softplus)
    beta: float = 1.0
    threshold: float = 20.0


class Hardtanh(FunctionLayer):
    """x limited to [min_val, max_val]."""

    _function = staticmethod(F.hardtanh)
    min_val: float = -1.0
    max_val: float = 1.0


class Softshrink(FunctionLayer):
    """x moved towards 0 by ``lambd``."""

    _function = staticmethod(F.softshrink)
    lambd: float = 0.5


class Hardshrink(FunctionLayer):
    """x, and 0 where it is within [-lambd, lambd]."""

    _function = staticmethod(F.hardshrink)
    lambd: float = 0.5


class Threshold(FunctionLayer):
    """x where above ``threshold``, else ``value``."""

    _function = staticmethod(F.threshold)
    threshold: float
    value: float


class GLU(FunctionLayer):
    """The first half along ``dim`` times the sigmoid of the second."""

    _function = staticmethod(F.glu)
    dim: int = -1


class Softmax(FunctionLayer):
    """Softmax along ``dim``."""

    _function = staticmethod(F.softmax)
    dim: int


class Softmax2d(FunctionLayer):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    _function = staticmethod(lambda input: F.softmax(input, -3))


class RReLU(Module):
    """Leaky ReLU with slopes drawn in training: :func:`nn.functional.rrelu`.

    Parameters
    ----------
    lower, upper : float
    generator : numpy.random.Generator, optional
        Draws the slopes; default the one of ``nn.init.manual_seed``.
    """

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, generator: np.random.Generator | None = None
    ) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.generator = generator

    def forward(self, input: ArrayLike) -> Tensor:
        """Any shape."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.generator)

    def extra_repr(self) -> str:
        """Between which the slopes lie."""
        return f"lower={self.lower}, upper={self.upper}"


class Softmin(FunctionLayer):
    """Softmax of the negated input along ``dim``."""

    _function = staticmethod(F.softmin)
    dim: int


class LogSoftmax(FunctionLayer):
    """The logarithm of softmax along ``dim``."""

    _function = staticmethod(F.log_softmax)
    dim: int


class Maxout(FunctionLayer):
    """The largest of each ``pool_size`` neighbours along ``dim``: (N, C, ...) to (N, C / pool_size, ...)."""

    _function = staticmethod(F.maxout)
    pool_size: int
    dim: int = 1


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
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(np.full(num_parameters, init, dtype))

    def forward(self, input: ArrayLike) -> Tensor:
        """(N, C, ...) to the same shape."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"
