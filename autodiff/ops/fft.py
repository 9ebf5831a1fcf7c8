"""Fourier transforms: numpy.fft, all of it, from two linear primitives.

The matrix of the discrete Fourier transform is symmetric, so its transpose, which is what a pullback needs in the
convention of docs/complex.md, is the transform itself. Lengths that pad or cut transpose into cutting and padding. The
other transforms are compositions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff import dispatch
from autodiff.core.errors import ArgumentError
from autodiff.core.op import Primitive
from autodiff.functions import named
from autodiff.ops import shaping
from autodiff.ops.common import axes_of, no_out, real_numbers, whole_number
from autodiff.ops.elementwise import conjugate, real
from autodiff.ops.shaping import _tensor


def _fit_length(x: Any, n: int, axis: int) -> Any:
    """Cut or padded with zeros to length ``n`` along ``axis``."""
    length = x.shape[axis]
    if length > n:
        return x[(slice(None),) * axis + (slice(0, n),)]
    if length < n:
        return np.pad(x, tuple((0, n - length) if i == axis else (0, 0) for i in range(x.ndim)))
    return x


def _sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=1, max_ndim=2)
    return (draw.array(shape),), {
        "n": draw.choice((None, 3)),
        "axis": draw.axis(len(shape)),
        "norm": draw.choice((None, "ortho", "forward")),
    }


def _primitive(numpys: Callable[..., Any]) -> Primitive:
    def forward(x: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
        return numpys(x, n, axis, norm)

    def rule(g: Any, out: Any, x: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
        return _fit_length(numpys(g, None, axis, norm), x.shape[axis], axis % x.ndim)

    return Primitive(numpys.__name__, forward, rule, sample=_sample, linear="jointly")


fft_, ifft_ = _primitive(np.fft.fft), _primitive(np.fft.ifft)


def _length(n: Any) -> Any:
    return None if n is None else whole_number("fft: n", n)


@dispatch.implements(np.fft.fft)
def fft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.fft.fft``."""
    no_out("fft.fft", out)
    return fft_.function(a, _length(n), int(axis), norm)


@dispatch.implements(np.fft.ifft)
def ifft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.fft.ifft``."""
    no_out("fft.ifft", out)
    return ifft_.function(a, _length(n), int(axis), norm)


@dispatch.implements(np.fft.rfft)
def rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.fft.rfft``: the first half of fft."""
    no_out("fft.rfft", out)
    real_numbers("rfft", _tensor(a))
    full = fft_.function(a, _length(n), int(axis), norm)
    place = axis % full.ndim
    return full[(slice(None),) * place + (slice(0, full.shape[place] // 2 + 1),)]


@dispatch.implements(np.fft.irfft)
def irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.fft.irfft``: ifft of the Hermitian extension, whose imaginary part is zero."""
    no_out("fft.irfft", out)
    x = _tensor(a)
    place = normalize_axis_index(axis, x.ndim)
    length = 2 * (x.shape[place] - 1) if n is None else whole_number("irfft: n", n)
    if length < 1:
        raise ArgumentError(f"irfft: invalid number of data points ({length}); pass n=")
    half = _fit_length(x, length // 2 + 1, place)
    if half.dtype.kind != "c":
        half = half.astype(np.result_type(half.dtype, np.complex64))
    lead = (slice(None),) * place
    # The imaginary parts of the ends are of no account.
    edges = [0] + ([length // 2] if length % 2 == 0 else [])
    keep = np.zeros(half.shape[place], bool)
    keep[edges] = True
    keep = keep.reshape([-1 if i == place else 1 for i in range(half.ndim)])
    half = np.where(keep, real.function(half), half)
    tail = conjugate.function(half[(*lead, slice((length - 1) // 2, 0, -1))])
    whole = ifft_.function(shaping.concatenate([half, tail], axis=place), None, place, norm)
    return real.function(whole).copy()  # lest it be a view of the complex result, which nobody may write into


def _opposite(norm: Any) -> Any:
    """The scaling of the other direction; what is none stays, and is refused where it is used."""
    return {None: "forward", "backward": "forward", "forward": "backward"}.get(norm, norm)


@dispatch.implements(np.fft.hfft)
def hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.fft.hfft``: irfft of the conjugate, with the opposite scaling."""
    no_out("fft.hfft", out)
    x = _tensor(a)
    return irfft(conjugate.function(x), n, axis, _opposite(norm))


@dispatch.implements(np.fft.ihfft)
def ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: None = None) -> Any:
    """Differentiable ``numpy.fft.ihfft``: the conjugate of rfft, with the opposite scaling."""
    no_out("fft.ihfft", out)
    return conjugate.function(rfft(a, n, axis, _opposite(norm)))


def _over_axes(numpys: Any, step: Any, last: Any = None, forwards: bool = False) -> Any:
    """A transform over several axes, the last one first unless ``forwards``: that one by ``last``."""
    default = (-2, -1) if numpys.__name__.endswith("2") else None

    @dispatch.implements(numpys)
    def transform(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: None = None) -> Any:
        no_out(f"fft.{numpys.__name__}", out)
        x = _tensor(a)
        if axes is None:
            axes = tuple(range(x.ndim)) if s is None else tuple(range(x.ndim - len(s), x.ndim))
        lengths = [None] * len(axes) if s is None else [None if n == -1 else n for n in s]
        steps = [step] * len(axes)
        if last is not None:
            steps[-1] = last
        plan = list(zip(steps, lengths, axes, strict=True))
        for one, n, axis in plan if forwards else reversed(plan):
            x = one(x, n, axis, norm)
        return x

    return named(transform, numpys.__name__, f"Differentiable ``numpy.fft.{numpys.__name__}``.")


fftn, fft2 = _over_axes(np.fft.fftn, fft), _over_axes(np.fft.fft2, fft)
ifftn, ifft2 = _over_axes(np.fft.ifftn, ifft), _over_axes(np.fft.ifft2, ifft)
rfftn, rfft2 = _over_axes(np.fft.rfftn, fft, rfft), _over_axes(np.fft.rfft2, fft, rfft)
irfftn, irfft2 = (_over_axes(numpys, ifft, irfft, forwards=True) for numpys in (np.fft.irfftn, np.fft.irfft2))


def _shift(x: Any, axes: Any, sign: int) -> Any:
    t = _tensor(x)
    places = axes_of(axes, t.ndim)
    by = tuple((t.shape[a] // 2) if sign > 0 else -(t.shape[a] // 2) for a in places)
    return shaping.roll(t, by, places)


@dispatch.implements(np.fft.fftshift)
def fftshift(x: Any, axes: Any = None) -> Any:
    """Differentiable ``numpy.fft.fftshift``."""
    return _shift(x, axes, 1)


@dispatch.implements(np.fft.ifftshift)
def ifftshift(x: Any, axes: Any = None) -> Any:
    """Differentiable ``numpy.fft.ifftshift``."""
    return _shift(x, axes, -1)
