"""scipy.signal's functions, differentiable, under the same names.

Written by docs/make_stubs.py; do not edit.
"""

from autodiff.signatures import ArrayLike
from autodiff.tensor import Tensor

__all__ = ["convolve"]

def convolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full") -> Tensor:
    """Convolution over any number of axes, as ``scipy.signal.convolve(method="direct")``."""
