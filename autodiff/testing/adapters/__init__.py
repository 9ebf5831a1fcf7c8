"""The same checks for gradients that are not ours, one file each: a pair of functions written by hand, PyTorch, JAX,
HIPS autograd, any engine with ``backward()``.

Nothing here needs our own engine.
"""

from autodiff.testing.adapters.autograd import check_autograd
from autodiff.testing.adapters.engine import check_engine
from autodiff.testing.adapters.jax import check_jax
from autodiff.testing.adapters.pair import check_pair
from autodiff.testing.adapters.torch import check_torch

__all__ = ["check_autograd", "check_engine", "check_jax", "check_pair", "check_torch"]
