"""scipy.signal's functions, differentiable, under the same names: convolutions and filters.

Written by docs/make_stubs.py; do not edit.
"""

from typing import Any

from autodiff.signatures import ArrayLike
from autodiff.tensor import Tensor

__all__ = [
    "convolve",
    "convolve2d",
    "correlate",
    "fftconvolve",
    "filtfilt",
    "lfilter",
    "oaconvolve",
    "savgol_filter",
    "sosfilt",
]

def convolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto") -> Tensor:
    """Convolution over any number of axes, as ``scipy.signal.convolve``."""

def convolve2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: float = 0
) -> Tensor:
    """Convolution of two matrices with a choice of what lies beyond the first, as ``scipy.signal.convolve2d``."""

def correlate(in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto") -> Tensor:
    """Cross-correlation over any number of axes, as ``scipy.signal.correlate``."""

def fftconvolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", axes: Any = None) -> Tensor:
    """Convolution by Fourier transforms, as ``scipy.signal.fftconvolve``; axes that are not named broadcast."""

def filtfilt(
    b: ArrayLike,
    a: ArrayLike,
    x: ArrayLike,
    axis: int = -1,
    padtype: str | None = "odd",
    padlen: int | None = None,
    method: str = "pad",
    irlen: int | None = None,
) -> Tensor:
    """A filter run forwards and backwards, as ``scipy.signal.filtfilt`` with the method "pad"."""

def lfilter(b: ArrayLike, a: ArrayLike, x: ArrayLike, axis: int = -1, zi: ArrayLike | None = None) -> Tensor:
    """A digital filter along an axis, as ``scipy.signal.lfilter``; differentiable in coefficients, signal and state."""

def oaconvolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", axes: Any = None) -> Tensor:
    """Convolution by Fourier transforms, as ``scipy.signal.fftconvolve``; axes that are not named broadcast."""

def savgol_filter(
    x: ArrayLike,
    window_length: int,
    polyorder: int,
    deriv: int = 0,
    delta: float = 1.0,
    axis: int = -1,
    mode: str = "interp",
    cval: float = 0.0,
) -> Tensor:
    """The polynomial through the neighbours of every sample, or its derivative, as ``scipy.signal.savgol_filter``."""

def sosfilt(sos: ArrayLike, x: ArrayLike, axis: int = -1, zi: ArrayLike | None = None) -> Tensor:
    """A filter in sections of second order, as ``scipy.signal.sosfilt``."""
