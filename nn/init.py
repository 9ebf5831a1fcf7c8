"""Initial values for parameters, with PyTorch's names, formulas and defaults; randomness from an explicit generator.

Each function writes into the tensor given and returns it. Sources: Glorot and Bengio 2010 (xavier), He et al. 2015
(kaiming), Saxe et al. 2013 (orthogonal).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, ShapeError

__all__ = [
    "calculate_gain",
    "constant_",
    "default_generator",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "manual_seed",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_default = np.random.default_rng()


def manual_seed(seed: int) -> np.random.Generator:
    """Seed the generator that layers draw from when they are given none; returns it.

    Examples
    --------
    >>> import nn
    >>> _ = nn.init.manual_seed(0)
    >>> a = nn.Linear(2, 2).weight.data
    >>> _ = nn.init.manual_seed(0)
    >>> bool((a == nn.Linear(2, 2).weight.data).all())
    True
    """
    global _default
    _default = np.random.default_rng(seed)
    return _default


def default_generator(generator: np.random.Generator | None = None) -> np.random.Generator:
    """``generator``, or the one that :func:`manual_seed` seeds."""
    if generator is None:
        return _default
    if not isinstance(generator, np.random.Generator):
        raise ArgumentError(
            "generator must be a numpy.random.Generator, such as np.random.default_rng(0), got"
            f" {type(generator).__name__}"
        )
    return generator


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before a nonlinearity are enlarged, as ``torch.nn.init.calculate_gain``.

    Raises
    ------
    ArgumentError
        For an unknown nonlinearity; the message lists the known ones.

    Examples
    --------
    >>> round(calculate_gain("relu"), 3)
    1.414
    """
    known = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    for name in ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"):
        known[name] = 1.0
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    words = f"calculate_gain: unknown nonlinearity {nonlinearity!r}; one of {sorted([*known, 'leaky_relu'])}"
    _check(nonlinearity in known, words)
    return known[nonlinearity]


def _check(good: bool, message: str) -> None:
    if not good:
        raise ArgumentError(message)


def _write(tensor: Tensor, values: Any) -> Tensor:
    _ndim(tensor)
    tensor._rebind(np.asarray(np.broadcast_to(values, tensor.shape), dtype=tensor.dtype).copy())
    return tensor


def _ndim(tensor: Tensor) -> int:
    _check(
        isinstance(tensor, Tensor), f"nn.init writes into a Tensor, such as a parameter, not {type(tensor).__name__}"
    )
    return tensor.ndim


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs reach an output unit, and how many outputs an input unit reaches."""
    if _ndim(tensor) < 2:
        raise ShapeError(f"fan in and fan out need two axes at least, got shape {tensor.shape}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _fan(tensor: Tensor, mode: str) -> int:
    _check(mode in ("fan_in", "fan_out"), f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return _fans(tensor)[mode == "fan_out"]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Uniform in [a, b).

    Examples
    --------
    >>> bool(uniform_(Tensor(np.empty((2, 4))), 2.0, 3.0).data.min() >= 2.0)
    True
    """
    _check(a <= b, f"uniform_: a must not be above b, got {a} and {b}")
    return _write(tensor, default_generator(generator).uniform(a, b, tensor.shape))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None
) -> Tensor:
    """Normal with the given mean and standard deviation.

    Examples
    --------
    >>> round(float(normal_(Tensor(np.empty(10_000)), 5.0, 2.0, np.random.default_rng(0)).data.std()), 1)
    2.0
    """
    _check(std >= 0, f"normal_: std must not be negative, got {std}")
    return _write(tensor, default_generator(generator).normal(mean, std, tensor.shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Normal, drawn again wherever it falls outside [a, b].

    Examples
    --------
    >>> bool(trunc_normal_(Tensor(np.empty((2, 4))), std=9.0, a=-1.0, b=1.0).data.max() <= 1.0)
    True
    """
    rng = default_generator(generator)
    _check(std > 0, f"trunc_normal_: std must be positive, got {std}")
    low, high = (a - mean) / std, (b - mean) / std
    fits = low < high and low <= 6 and high >= -6
    _check(fits, f"trunc_normal_: hardly any value of mean {mean}, std {std} falls into [{a}, {b}]")
    often = math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)) > 0.2
    # Values that fall in rarely are drawn evenly from there (beyond 12 there are none), and kept by their density.
    low, high = max(low, -12.0), min(high, 12.0)
    densest = min(max(low, 0.0), high) ** 2

    def draw(count: int) -> tuple[Any, Any]:
        """Values, and which of them are none."""
        if often:
            values = rng.standard_normal(count)
            return values, (values < low) | (values > high)
        values = rng.uniform(low, high, count)
        return values, rng.random(count) > np.exp((densest - values * values) / 2)

    values, left = np.empty(tensor.size), np.ones(tensor.size, bool)
    while left.any():
        places = np.flatnonzero(left)
        values[places], left[places] = draw(len(places))
    values = values.reshape(tensor.shape)
    return _write(tensor, values * std + mean)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere.

    Examples
    --------
    >>> constant_(Tensor(np.empty(2)), 0.5).data
    array([0.5, 0.5])
    """
    return _write(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Ones.

    Examples
    --------
    >>> ones_(Tensor(np.empty(2))).data
    array([1., 1.])
    """
    return _write(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros.

    Examples
    --------
    >>> zeros_(Tensor(np.empty(2))).data
    array([0., 0.])
    """
    return _write(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix.

    Raises
    ------
    ShapeError
        If the tensor is no matrix.

    Examples
    --------
    >>> eye_(Tensor(np.empty((1, 2)))).data
    array([[1., 0.]])
    """
    if _ndim(tensor) != 2:
        raise ShapeError(f"eye_: needs a matrix, got shape {tensor.shape}")
    return _write(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Convolution weights that pass their input on.

    Raises
    ------
    ShapeError
        If it has not 3 to 5 axes, or the groups do not divide the first.

    Examples
    --------
    >>> dirac_(Tensor(np.empty((1, 1, 3)))).data
    array([[[0., 1., 0.]]])
    """
    if _ndim(tensor) not in (3, 4, 5) or groups < 1 or tensor.shape[0] % groups:
        raise ShapeError(
            f"dirac_: needs convolution weights whose first axis {groups} groups divide, got shape {tensor.shape}"
        )
    values = np.zeros(tensor.shape)
    each = tensor.shape[0] // groups
    centre = tuple(n // 2 for n in tensor.shape[2:])
    for group in range(groups):
        for i in range(min(each, tensor.shape[1])):
            values[(group * each + i, i, *centre)] = 1
    return _write(tensor, values)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Uniform within ``gain * sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010).

    Raises
    ------
    ShapeError
        If it has less than two axes.

    Examples
    --------
    >>> bool(xavier_uniform_(Tensor(np.empty((2, 4)))).data.max() <= 1.0)
    True
    """
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Normal with standard deviation ``gain * sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio 2010).

    Raises
    ------
    ShapeError
        If it has less than two axes.

    Examples
    --------
    >>> xavier_normal_(Tensor(np.empty((2, 4)))).shape
    (2, 4)
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Uniform within ``gain * sqrt(3 / fan)`` (He et al. 2015, arXiv 1502.01852).

    Raises
    ------
    ShapeError, ArgumentError
        If it has less than two axes, or an option is no such thing.

    Examples
    --------
    >>> bool(kaiming_uniform_(Tensor(np.empty((2, 4))), nonlinearity="relu").data.max() <= 1.5**0.5)
    True
    """
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / max(_fan(tensor, mode), 1))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Normal with standard deviation ``gain / sqrt(fan)`` (He et al. 2015, arXiv 1502.01852).

    Raises
    ------
    ShapeError, ArgumentError
        If it has less than two axes, or an option is no such thing.

    Examples
    --------
    >>> kaiming_normal_(Tensor(np.empty((2, 4))), mode="fan_out").shape
    (2, 4)
    """
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(max(_fan(tensor, mode), 1)), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Rows (or columns) orthonormal, drawn uniformly, times ``gain`` (Saxe et al. 2013, arXiv 1312.6120).

    Raises
    ------
    ShapeError
        If it has less than two axes.

    Examples
    --------
    >>> w = orthogonal_(Tensor(np.empty((2, 4)))).data
    >>> bool(np.allclose(w @ w.T, np.eye(2)))
    True
    """
    if _ndim(tensor) < 2:
        raise ShapeError(f"orthogonal_: needs two axes at least, got shape {tensor.shape}")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    flat = default_generator(generator).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(flat)
    q *= np.sign(np.diagonal(r))
    return _write(tensor, gain * (q.T if rows < columns else q).reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: np.random.Generator | None = None) -> Tensor:
    """A normal matrix in every column of which a share ``sparsity`` is zero (Martens 2010).

    Raises
    ------
    ShapeError
        If the tensor is no matrix.

    Examples
    --------
    >>> (sparse_(Tensor(np.empty((4, 2))), 0.5).data == 0).sum(axis=0)
    array([2, 2])
    """
    if _ndim(tensor) != 2:
        raise ShapeError(f"sparse_: needs a matrix, got shape {tensor.shape}")
    rng = default_generator(generator)
    _check(std >= 0, f"sparse_: std must not be negative, got {std}")
    _check(0 <= sparsity <= 1, f"sparse_: sparsity is a share, from 0 to 1, got {sparsity}")
    values = rng.normal(0.0, std, tensor.shape)
    zeros = math.ceil(sparsity * tensor.shape[0])
    for column in range(tensor.shape[1]):
        values[rng.permutation(tensor.shape[0])[:zeros], column] = 0
    return _write(tensor, values)
