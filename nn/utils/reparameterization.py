"""Weights that are computed from other parameters before every call of their module.

The module keeps the parameters that are learned; the weight itself becomes an ordinary attribute, which a hook computes
anew, so that gradients reach what it was computed from.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from autodiff import Tensor, no_grad
from autodiff.arguments import refuse_unless_positive, whole
from autodiff.core.errors import ArgumentError
from nn.convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from nn.init import default_generator
from nn.module import Module
from nn.parameter import Parameter

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


class _Computed:
    """What the hook of a module's weight needs: how it is computed, and from what."""

    def __init__(self, module: Module, name: str) -> None:
        if not isinstance(module, Module):
            raise ArgumentError(f"{self.words}: needs an nn.Module, got {type(module).__name__}")
        weight = module._parameters.get(name)
        if weight is None:
            raise ArgumentError(f"{self.words} of {type(module).__name__}: it has no parameter {name!r}")
        if self.dim is not None and not (whole(self.dim) and -weight.ndim <= self.dim < weight.ndim):
            raise ArgumentError(f"{self.words}: dim={self.dim} for a weight of shape {weight.shape}")
        taken = [name + part for part in self.gone if hasattr(module, name + part)]
        if taken:
            raise ArgumentError(f"{self.words} of {type(module).__name__}: it has a {taken[0]!r} already")
        self.name = name
        before = {table: dict(module.__dict__[table]) for table in ("_parameters", "_buffers")}
        try:
            del module._parameters[name]
            self.divide(module, weight)
            self.compute(module)
        except BaseException:
            module.__dict__.update(before)
            module.__dict__.pop(name, None)
            raise
        self.handle = module.register_forward_pre_hook(self)

    words = ""
    gone: tuple[str, ...] = ()  # the endings of the names of what the weight is computed from
    dim: Any

    def divide(self, module: Module, weight: Parameter) -> None:
        """Enter what the weight is computed from."""
        raise NotImplementedError

    def weight(self, module: Module) -> Tensor:
        """The weight, computed."""
        raise NotImplementedError

    def compute(self, module: Module) -> None:
        """Compute the weight of a module anew."""
        module.__dict__[self.name] = self.weight(module)

    def __call__(self, module: Module, args: Any) -> None:
        self.compute(module)


class _WeightNorm(_Computed):
    words = "weight_norm"
    gone = ("_g", "_v")

    def __init__(self, module: Module, name: str, dim: int | None) -> None:
        self.dim = None if dim == -1 else dim
        super().__init__(module, name)

    def _norm(self, v: Any) -> Any:
        axes = tuple(range(v.ndim)) if self.dim is None else tuple(a for a in range(v.ndim) if a != self.dim % v.ndim)
        norm = np.sqrt((v * v).sum(axis=axes, keepdims=True))
        return norm.reshape(()) if self.dim is None else norm

    def divide(self, module: Module, weight: Parameter) -> None:
        module.register_parameter(f"{self.name}_g", Parameter(self._norm(weight._array)))
        module.register_parameter(f"{self.name}_v", weight)

    def weight(self, module: Module) -> Tensor:
        v, g = getattr(module, f"{self.name}_v"), getattr(module, f"{self.name}_g")
        return v * (g / self._norm(v))  # type: ignore[no-any-return]


class _SpectralNorm(_Computed):
    words = "spectral_norm"
    gone = ("_orig", "_u", "_v")

    def __init__(self, module: Module, name: str, iterations: int, eps: float, dim: int, generator: Any) -> None:
        refuse_unless_positive("spectral_norm: n_power_iterations", iterations)
        self.iterations, self.eps, self.dim, self.generator = iterations, eps, dim, generator
        super().__init__(module, name)

    def _matrix(self, weight: Any) -> Any:
        weight = weight if self.dim == 0 else np.moveaxis(weight, self.dim, 0)
        return weight.reshape(weight.shape[0], math.prod(weight.shape[1:]))

    def _unit(self, vector: Any) -> Any:
        return vector / max(float(np.linalg.norm(vector)), self.eps)

    def divide(self, module: Module, weight: Parameter) -> None:
        module.register_parameter(f"{self.name}_orig", weight)
        rng = default_generator(self.generator)
        for part, size in zip(("_u", "_v"), self._matrix(weight._array).shape, strict=True):
            module.register_buffer(self.name + part, Tensor(self._unit(rng.normal(size=size)).astype(weight.dtype)))
        self._iterate(module, 15)

    def _iterate(self, module: Module, times: int) -> None:
        matrix = self._matrix(getattr(module, f"{self.name}_orig")._array)
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        for _ in range(times):
            v.data = self._unit(matrix.T @ u._array)
            u.data = self._unit(matrix @ v._array)

    def __call__(self, module: Module, args: Any) -> None:
        if module.training:
            self._iterate(module, self.iterations)
        super().__call__(module, args)

    def weight(self, module: Module) -> Tensor:
        weight = getattr(module, f"{self.name}_orig")
        u, v = getattr(module, f"{self.name}_u")._array, getattr(module, f"{self.name}_v")._array
        return weight / (u @ (self._matrix(weight) @ v))  # type: ignore[no-any-return]


def _remove(kind: type[_Computed], module: M, name: str) -> M:
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, kind) and hook.name == name:
            break
    else:
        raise ArgumentError(f"{kind.words}: the parameter {name!r} of {type(module).__name__} has none")
    with no_grad():
        weight = hook.weight(module)._array
    hook.handle.remove()
    for part in kind.gone:
        delattr(module, name + part)
    module.__dict__.pop(name)
    module.register_parameter(name, Parameter(weight))
    return module


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """A weight as length times direction, ``g v / |v|`` (Salimans, Kingma 2016, arXiv 1602.07868).

    Parameters
    ----------
    module : Module
        Changed, and returned: ``name`` gives way to the parameters ``name_g`` and ``name_v``.
    name : str
    dim : int, optional
        The axis whose entries have a length each; None, or PyTorch's -1: the whole weight has one.

    Raises
    ------
    ArgumentError
        If the module has no such parameter, or that no such axis. The module is left as it was.

    Examples
    --------
    >>> import nn
    >>> layer = weight_norm(nn.Linear(3, 2))
    >>> sorted(layer.state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    _WeightNorm(module, name, dim)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """An ordinary parameter again, of the present value.

    Raises
    ------
    ArgumentError
        If :func:`weight_norm` was not applied to it.

    Examples
    --------
    >>> import nn
    >>> sorted(remove_weight_norm(weight_norm(nn.Linear(3, 2))).state_dict())
    ['bias', 'weight']
    """
    return _remove(_WeightNorm, module, name)


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
    generator: np.random.Generator | None = None,
) -> M:
    """A weight divided by its largest singular value, which power iteration follows (Miyato et al. 2018, arXiv
    1802.05957).

    Parameters
    ----------
    module : Module
        Changed, and returned: ``name`` gives way to the parameter ``name_orig`` and the buffers ``name_u``, ``name_v``.
    name : str
    n_power_iterations : int
        At every call in training.
    eps : float
        The least norm that is divided by.
    dim : int, optional
        The axis of the outputs; default 0, of transposed convolutions 1.
    generator : numpy.random.Generator, optional
        Draws the first vectors; default the one of ``nn.init.manual_seed``.

    Raises
    ------
    ArgumentError
        If the module has no such parameter, or an option is not allowed. The module is left as it was.

    Examples
    --------
    >>> import nn
    >>> layer = spectral_norm(nn.Linear(3, 2))
    >>> for _ in range(50):
    ...     out = layer(np.ones((1, 3), np.float32))
    >>> float(np.linalg.norm(layer.weight.data, 2).round(3))
    1.0
    """
    if dim is None:
        dim = 1 if isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d) else 0
    _SpectralNorm(module, name, n_power_iterations, eps, dim, generator)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """An ordinary parameter again, of the present value.

    Raises
    ------
    ArgumentError
        If :func:`spectral_norm` was not applied to it.

    Examples
    --------
    >>> import nn
    >>> sorted(remove_spectral_norm(spectral_norm(nn.Linear(3, 2))).state_dict())
    ['bias', 'weight']
    """
    return _remove(_SpectralNorm, module, name)
