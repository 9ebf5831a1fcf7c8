"""numpy.fft's functions, differentiable, under the same names.

Written by docs/make_stubs.py; do not edit.
"""

from typing import Any

from autodiff.signatures import ArrayLike
from autodiff.tensor import Tensor

__all__ = [
    "fft",
    "fft2",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftn",
]

def fft(a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, out: None = None) -> Tensor:
    """Differentiable ``numpy.fft.fft``."""

def fft2(
    a: ArrayLike, s: ArrayLike | None = None, axes: Any = (-2, -1), norm: str | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.fft.fft2``."""

def fftn(
    a: ArrayLike, s: ArrayLike | None = None, axes: Any = None, norm: str | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.fft.fftn``."""

def fftshift(x: ArrayLike, axes: Any = None) -> Tensor:
    """Differentiable ``numpy.fft.fftshift``."""

def hfft(a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, out: None = None) -> Tensor:
    """Differentiable ``numpy.fft.hfft``: irfft of the conjugate, with the opposite scaling."""

def ifft(a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, out: None = None) -> Tensor:
    """Differentiable ``numpy.fft.ifft``."""

def ifft2(
    a: ArrayLike, s: ArrayLike | None = None, axes: Any = (-2, -1), norm: str | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.fft.ifft2``."""

def ifftn(
    a: ArrayLike, s: ArrayLike | None = None, axes: Any = None, norm: str | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.fft.ifftn``."""

def ifftshift(x: ArrayLike, axes: Any = None) -> Tensor:
    """Differentiable ``numpy.fft.ifftshift``."""

def ihfft(
    a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.fft.ihfft``: the conjugate of rfft, with the opposite scaling."""

def irfft(
    a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.fft.irfft``: ifft of the Hermitian extension, whose imaginary part is zero."""

def irfft2(
    a: ArrayLike, s: ArrayLike | None = None, axes: Any = (-2, -1), norm: str | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.fft.irfft2``."""

def irfftn(
    a: ArrayLike, s: ArrayLike | None = None, axes: Any = None, norm: str | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.fft.irfftn``: ifft over all axes but the last, then irfft."""

def rfft(a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, out: None = None) -> Tensor:
    """Differentiable ``numpy.fft.rfft``: the first half of fft."""

def rfft2(
    a: ArrayLike, s: ArrayLike | None = None, axes: Any = (-2, -1), norm: str | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.fft.rfft2``."""

def rfftn(
    a: ArrayLike, s: ArrayLike | None = None, axes: Any = None, norm: str | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.fft.rfftn``: rfft over the last axis, then fft over the others."""
