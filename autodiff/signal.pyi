# fmt: off
"""scipy.signal's functions, differentiable, under the same names: convolutions and filters.

Written by docs/make_stubs.py; do not edit.
"""

from collections.abc import Sequence

from autodiff.signatures import ArrayLike
from autodiff.tensor import Tensor

__all__ = [
    "bessel", "butter", "cheby1", "cheby2", "convolve", "convolve2d", "correlate", "correlate2d", "detrend", "ellip",
    "fftconvolve", "filtfilt", "iirfilter", "iirnotch", "iirpeak", "lfilter", "lfilter_zi", "medfilt", "medfilt2d",
    "oaconvolve", "order_filter", "savgol_filter", "sos2tf", "sosfilt", "zpk2tf",
]

def bessel(
    N: int, Wn: ArrayLike, btype: str = "low", analog: bool = False, output: str = "ba", norm: str = "phase",
    fs: ArrayLike | None = None,
) -> Tensor:
    """A Bessel filter as ``scipy.signal.bessel``, differentiable in its edges: see :func:`iirfilter`."""

def butter(
    N: int, Wn: ArrayLike, btype: str = "low", analog: bool = False, output: str = "ba", fs: ArrayLike | None = None
) -> Tensor:
    """A Butterworth filter as ``scipy.signal.butter``, differentiable in its edges: see :func:`iirfilter`."""

def cheby1(
    N: int, rp: float, Wn: ArrayLike, btype: str = "low", analog: bool = False, output: str = "ba",
    fs: ArrayLike | None = None,
) -> Tensor:
    """A Chebyshev filter with ripple in its band as ``scipy.signal.cheby1``: see :func:`iirfilter`."""

def cheby2(
    N: int, rs: float, Wn: ArrayLike, btype: str = "low", analog: bool = False, output: str = "ba",
    fs: ArrayLike | None = None,
) -> Tensor:
    """A Chebyshev filter with ripple outside of its band as ``scipy.signal.cheby2``: see :func:`iirfilter`."""

def convolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto") -> Tensor:
    """Convolution over any number of axes, as ``scipy.signal.convolve``."""

def convolve2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: float = 0
) -> Tensor:
    """Convolution of two matrices with a choice of what lies beyond the first, as ``scipy.signal.convolve2d``."""

def correlate(in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto") -> Tensor:
    """Cross-correlation over any number of axes, as ``scipy.signal.correlate``."""

def correlate2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: float = 0
) -> Tensor:
    """Cross-correlation of two matrices, as ``scipy.signal.correlate2d``; see :func:`convolve2d`."""

def detrend(
    data: ArrayLike, axis: int = -1, type: str = "linear", bp: ArrayLike = 0, overwrite_data: bool = False
) -> Tensor:
    """The signal without its mean or straight line, between breaks, as ``scipy.signal.detrend``."""

def ellip(
    N: int, rp: float, rs: float, Wn: ArrayLike, btype: str = "low", analog: bool = False, output: str = "ba",
    fs: ArrayLike | None = None,
) -> Tensor:
    """An elliptic filter as ``scipy.signal.ellip``, differentiable in its edges: see :func:`iirfilter`."""

def fftconvolve(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full",
    axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Convolution by Fourier transforms, as ``scipy.signal.fftconvolve``; axes that are not named broadcast."""

def filtfilt(
    b: ArrayLike, a: ArrayLike, x: ArrayLike, axis: int = -1, padtype: str | None = "odd", padlen: int | None = None,
    method: str = "pad", irlen: int | None = None,
) -> Tensor:
    """A filter run forwards and backwards, as ``scipy.signal.filtfilt`` with the method "pad"."""

def iirfilter(
    N: int, Wn: ArrayLike, rp: float | None = None, rs: float | None = None, btype: str = "band", analog: bool = False,
    ftype: str = "butter", output: str = "ba", fs: float | None = None,
) -> Tensor:
    """A filter designed as ``scipy.signal.iirfilter``, differentiable in the edges ``Wn`` of its band."""

def iirnotch(w0: ArrayLike, Q: ArrayLike, fs: float = 2.0) -> tuple[Tensor, Tensor]:
    """The filter that takes out a frequency, as ``scipy.signal.iirnotch``, differentiable in ``w0`` and ``Q``."""

def iirpeak(w0: ArrayLike, Q: ArrayLike, fs: float = 2.0) -> tuple[Tensor, Tensor]:
    """The filter that lets a frequency pass, as ``scipy.signal.iirpeak``, differentiable in ``w0`` and ``Q``."""

def lfilter(b: ArrayLike, a: ArrayLike, x: ArrayLike, axis: int = -1, zi: ArrayLike | None = None) -> Tensor:
    """A digital filter along an axis, as ``scipy.signal.lfilter``; differentiable in coefficients, signal and state."""

def lfilter_zi(b: ArrayLike, a: ArrayLike) -> Tensor:
    """The state in which :func:`lfilter` goes on with a constant signal, as ``scipy.signal.lfilter_zi``."""

def medfilt(volume: ArrayLike, kernel_size: ArrayLike | None = None) -> Tensor:
    """The median of neighbours, zeros beyond the borders, as ``scipy.signal.medfilt``."""

def medfilt2d(input: ArrayLike, kernel_size: ArrayLike = 3) -> Tensor:
    """:func:`medfilt` of a matrix, as ``scipy.signal.medfilt2d``."""

def oaconvolve(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full",
    axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Convolution by Fourier transforms, as ``scipy.signal.fftconvolve``; axes that are not named broadcast."""

def order_filter(a: ArrayLike, domain: ArrayLike, rank: int) -> Tensor:
    """The element of a rank among the neighbours in a domain, zeros beyond, as ``scipy.signal.order_filter``."""

def savgol_filter(
    x: ArrayLike, window_length: int, polyorder: int, deriv: int = 0, delta: float = 1.0, axis: int = -1,
    mode: str = "interp", cval: float = 0.0,
) -> Tensor:
    """The polynomial through the neighbours of every sample, or its derivative, as ``scipy.signal.savgol_filter``."""

def sos2tf(sos: ArrayLike) -> tuple[Tensor, Tensor]:
    """The polynomials of a filter in sections, as ``scipy.signal.sos2tf``."""

def sosfilt(sos: ArrayLike, x: ArrayLike, axis: int = -1, zi: ArrayLike | None = None) -> Tensor:
    """A filter in sections of second order, as ``scipy.signal.sosfilt``."""

def zpk2tf(z: ArrayLike, p: ArrayLike, k: ArrayLike) -> tuple[Tensor, Tensor]:
    """The polynomials with these zeros, poles and gain, as ``scipy.signal.zpk2tf`` of real or complex roots."""
