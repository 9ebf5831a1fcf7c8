"""scipy.signal's functions, differentiable, under the same names."""

from autodiff.ops.scipy_functions import convolve

__all__ = ["convolve"]
