# fmt: off
"""scipy.fft's functions, differentiable, under the same names and with the same arguments; those that NumPy has too

Written by docs/make_stubs.py; do not edit.
"""

from collections.abc import Sequence

from autodiff.signatures import ArrayLike
from autodiff.tensor import Tensor

__all__ = [
    "next_fast_len", "dct", "dctn", "dst", "dstn", "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2",
    "hfftn", "idct", "idctn", "idst", "idstn", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "ihfft2", "ihfftn",
    "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]

def dct(
    x: ArrayLike, type: int = 2, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None,
    overwrite_x: bool = False, workers: ArrayLike | None = None, orthogonalize: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.dct`` of every type."""

def dctn(
    x: ArrayLike, type: int = 2, s: ArrayLike | None = None,
    axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None, norm: str | None = None,
    overwrite_x: bool = False, workers: ArrayLike | None = None, *, orthogonalize: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.dctn`` of every type, axis after axis."""

def dst(
    x: ArrayLike, type: int = 2, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None,
    overwrite_x: bool = False, workers: ArrayLike | None = None, orthogonalize: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.dst`` of every type."""

def dstn(
    x: ArrayLike, type: int = 2, s: ArrayLike | None = None,
    axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None, norm: str | None = None,
    overwrite_x: bool = False, workers: ArrayLike | None = None, *, orthogonalize: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.dstn`` of every type, axis after axis."""

def fft(
    a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, overwrite_x: bool = False,
    workers: ArrayLike | None = None, *, plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.fft``; how SciPy computes (workers, plan) is of no account."""

def fft2(
    a: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = (-2, -1),
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.fft2``; how SciPy computes (workers, plan) is of no account."""

def fftfreq(n: int, d: float = 1.0, *, xp: ArrayLike | None = None, device: ArrayLike | None = None) -> Tensor:
    """``scipy.fft.fftfreq``, differentiable in the step ``d``."""

def fftn(
    a: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.fftn``; how SciPy computes (workers, plan) is of no account."""

def fftshift(x: ArrayLike, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None) -> Tensor:
    """Differentiable ``numpy.fft.fftshift``."""

def hfft(
    a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, overwrite_x: bool = False,
    workers: ArrayLike | None = None, *, plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.hfft``; how SciPy computes (workers, plan) is of no account."""

def hfft2(
    x: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = (-2, -1),
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.hfft2``."""

def hfftn(
    x: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.hfftn``."""

def idct(
    x: ArrayLike, type: int = 2, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None,
    overwrite_x: bool = False, workers: ArrayLike | None = None, orthogonalize: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.idct`` of every type."""

def idctn(
    x: ArrayLike, type: int = 2, s: ArrayLike | None = None,
    axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None, norm: str | None = None,
    overwrite_x: bool = False, workers: ArrayLike | None = None, *, orthogonalize: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.idctn`` of every type, axis after axis."""

def idst(
    x: ArrayLike, type: int = 2, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None,
    overwrite_x: bool = False, workers: ArrayLike | None = None, orthogonalize: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.idst`` of every type."""

def idstn(
    x: ArrayLike, type: int = 2, s: ArrayLike | None = None,
    axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None, norm: str | None = None,
    overwrite_x: bool = False, workers: ArrayLike | None = None, *, orthogonalize: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.idstn`` of every type, axis after axis."""

def ifft(
    a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, overwrite_x: bool = False,
    workers: ArrayLike | None = None, *, plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.ifft``; how SciPy computes (workers, plan) is of no account."""

def ifft2(
    a: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = (-2, -1),
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.ifft2``; how SciPy computes (workers, plan) is of no account."""

def ifftn(
    a: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.ifftn``; how SciPy computes (workers, plan) is of no account."""

def ifftshift(x: ArrayLike, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None) -> Tensor:
    """Differentiable ``numpy.fft.ifftshift``."""

def ihfft(
    a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, overwrite_x: bool = False,
    workers: ArrayLike | None = None, *, plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.ihfft``; how SciPy computes (workers, plan) is of no account."""

def ihfft2(
    x: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = (-2, -1),
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.ihfft2``."""

def ihfftn(
    x: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None,
) -> Tensor:
    """``scipy.fft.ihfftn``."""

def irfft(
    a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, overwrite_x: bool = False,
    workers: ArrayLike | None = None, *, plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.irfft``; how SciPy computes (workers, plan) is of no account."""

def irfft2(
    a: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = (-2, -1),
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.irfft2``; how SciPy computes (workers, plan) is of no account."""

def irfftn(
    a: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.irfftn``; how SciPy computes (workers, plan) is of no account."""

def next_fast_len(target: int, real: bool = False) -> int:
    """The next length for which SciPy's transform is quick."""

def rfft(
    a: ArrayLike, n: ArrayLike | None = None, axis: int = -1, norm: str | None = None, overwrite_x: bool = False,
    workers: ArrayLike | None = None, *, plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.rfft``; how SciPy computes (workers, plan) is of no account."""

def rfft2(
    a: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = (-2, -1),
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.rfft2``; how SciPy computes (workers, plan) is of no account."""

def rfftfreq(n: int, d: float = 1.0, *, xp: ArrayLike | None = None, device: ArrayLike | None = None) -> Tensor:
    """``scipy.fft.rfftfreq``, differentiable in the step ``d``."""

def rfftn(
    a: ArrayLike, s: ArrayLike | None = None, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
    norm: str | None = None, overwrite_x: bool = False, workers: ArrayLike | None = None, *,
    plan: ArrayLike | None = None, out: None = None,
) -> Tensor:
    """``scipy.fft.rfftn``; how SciPy computes (workers, plan) is of no account."""
