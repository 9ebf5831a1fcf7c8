"""Activation layers; what each computes is told by the function of :mod:`nn.functional` that it calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ArgumentError
from nn import functional as F
from nn.module import Module
from nn.parameter import Parameter

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
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]

_relu = fused.relu.function  # what nn.functional.relu calls, as in nn.linear


class _Activation(Module):
    """A function of :mod:`nn.functional` and its options, held as attributes of the same names."""

    _options: tuple[str, ...] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__()
        for name in self._options:
            setattr(self, name, options[name])

    def extra_repr(self) -> str:
        """The options."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self._options)


class ReLU(_Activation):
    """``max(x, 0)``."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return _relu(input)  # type: ignore[no-any-return]


class ReLU6(_Activation):
    """``min(max(x, 0), 6)``."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.relu6(input)


class SELU(_Activation):
    """The self-normalising ELU."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.selu(input)


class SiLU(_Activation):
    """``x * sigmoid(x)``."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.silu(input)


class Mish(_Activation):
    """``x * tanh(softplus(x))``."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.mish(input)


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.sigmoid(input)


class LogSigmoid(_Activation):
    """The logarithm of the sigmoid."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.logsigmoid(input)


class Tanh(_Activation):
    """The hyperbolic tangent."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.tanh(input)


class Tanhshrink(_Activation):
    """``x - tanh(x)``."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.tanhshrink(input)


class Softsign(_Activation):
    """``x / (1 + |x|)``."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.softsign(input)


class Hardsigmoid(_Activation):
    """``(x + 3) / 6`` limited to [0, 1]."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.hardsigmoid(input)


class Hardswish(_Activation):
    """``x * hardsigmoid(x)``."""

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.hardswish(input)


class LeakyReLU(_Activation):
    """``x`` where positive, else ``negative_slope * x``."""

    _options = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(negative_slope=negative_slope)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.leaky_relu(input, self.negative_slope)


class ELU(_Activation):
    """``x`` where positive, else ``alpha (exp(x) - 1)``."""

    _options = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.elu(input, self.alpha)


class CELU(_Activation):
    """``x`` where positive, else ``alpha (exp(x / alpha) - 1)``."""

    _options = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.celu(input, self.alpha)


class GELU(_Activation):
    """``x Phi(x)``; ``approximate`` is "none" or "tanh"."""

    _options = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(approximate=approximate)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.gelu(input, self.approximate)


class Softplus(_Activation):
    """``log(1 + exp(beta x)) / beta``, and x itself where ``beta x > threshold``."""

    _options = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__(beta=beta, threshold=threshold)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.softplus(input, self.beta, self.threshold)


class Hardtanh(_Activation):
    """x limited to [min_val, max_val]."""

    _options = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__(min_val=min_val, max_val=max_val)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.hardtanh(input, self.min_val, self.max_val)


class Softshrink(_Activation):
    """x moved towards 0 by ``lambd``."""

    _options = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd=lambd)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.softshrink(input, self.lambd)


class Hardshrink(_Activation):
    """x, and 0 where it is within [-lambd, lambd]."""

    _options = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd=lambd)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.hardshrink(input, self.lambd)


class Threshold(_Activation):
    """x where above ``threshold``, else ``value``."""

    _options = ("threshold", "value")

    def __init__(self, threshold: float, value: float) -> None:
        super().__init__(threshold=threshold, value=value)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.threshold(input, self.threshold, self.value)


class GLU(_Activation):
    """The first half along ``dim`` times the sigmoid of the second."""

    _options = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__(dim=dim)

    def forward(self, input: Any) -> Tensor:
        """An even length along ``dim``, which it halves."""
        return F.glu(input, self.dim)


class Softmax(_Activation):
    """Softmax along ``dim``."""

    _options = ("dim",)

    def __init__(self, dim: int) -> None:
        super().__init__(dim=dim)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.softmax(input, self.dim)


class Softmin(_Activation):
    """Softmax of the negated input along ``dim``."""

    _options = ("dim",)

    def __init__(self, dim: int) -> None:
        super().__init__(dim=dim)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.softmin(input, self.dim)


class LogSoftmax(_Activation):
    """The logarithm of softmax along ``dim``."""

    _options = ("dim",)

    def __init__(self, dim: int) -> None:
        super().__init__(dim=dim)

    def forward(self, input: Any) -> Tensor:
        """Any shape."""
        return F.log_softmax(input, self.dim)


class Maxout(_Activation):
    """The largest of each ``pool_size`` neighbours along ``dim``: (N, C, ...) to (N, C / pool_size, ...)."""

    _options = ("pool_size", "dim")

    def __init__(self, pool_size: int, dim: int = 1) -> None:
        super().__init__(pool_size=pool_size, dim=dim)

    def forward(self, input: Any) -> Tensor:
        """A multiple of ``pool_size`` along ``dim``."""
        return F.maxout(input, self.pool_size, self.dim)


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

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: Any = np.float32) -> None:
        super().__init__()
        if num_parameters < 1:
            raise ArgumentError(f"PReLU: num_parameters must be positive, got {num_parameters}")
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(np.full(num_parameters, init, dtype))

    def forward(self, input: Any) -> Tensor:
        """(N, C, ...) to the same shape."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"
