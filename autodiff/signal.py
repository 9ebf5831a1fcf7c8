"""scipy.signal's functions, differentiable, under the same names: convolutions and filters."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import fft
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.core.op import wrap
from autodiff.extras import require
from autodiff.functions import constant_argument
from autodiff.ndimage import convolve1d, median_filter
from autodiff.ops.common import bare, different_axes, whole_number
from autodiff.ops.filters import all_pole, slide
from autodiff.ops.shaping import _floats, _tensor

__all__ = [
    "bessel",
    "butter",
    "cheby1",
    "cheby2",
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "detrend",
    "ellip",
    "fftconvolve",
    "filtfilt",
    "iirfilter",
    "iirnotch",
    "iirpeak",
    "lfilter",
    "lfilter_zi",
    "medfilt",
    "medfilt2d",
    "oaconvolve",
    "order_filter",
    "savgol_filter",
    "sos2tf",
    "sosfilt",
    "zpk2tf",
]


def _middle(full: Any, kept: Any) -> Any:
    starts = [(n - m) // 2 for n, m in zip(full.shape, kept, strict=True)]
    return full[tuple(slice(s, s + n) for s, n in zip(starts, kept, strict=True))]


def _pair(name: str, in1: Any, in2: Any, mode: str) -> tuple[Any, Any]:
    x, k = _tensor(in1), _tensor(in2)
    if x.ndim != k.ndim:
        raise ShapeError(f"{name}: inputs of {x.ndim} and {k.ndim} axes; they need equally many")
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f"{name}: mode must be 'full', 'same' or 'valid', got {mode!r}")
    return x, k


def _swapped(name: str, x: Any, k: Any, axes: Any = None) -> bool:
    """Whether, for "valid", it is the first that fits into the second; refused if neither does."""
    sizes = [(x.shape[a], k.shape[a]) for a in (range(x.ndim) if axes is None else axes)]
    if all(n >= m for n, m in sizes):
        return False
    if not all(n <= m for n, m in sizes):
        raise ShapeError(f"{name}(mode='valid'): neither of the shapes {x.shape} and {k.shape} fits into the other")
    return True


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """Convolution over any number of axes, as ``scipy.signal.convolve``.

    Parameters
    ----------
    in1, in2 : arrays of equally many axes
    mode : {"full", "same", "valid"}
    method : {"auto", "direct", "fft"}
        "auto" takes the one that SciPy expects to be faster.

    Raises
    ------
    ShapeError, ArgumentError
        If the numbers of axes differ, the mode is unknown, or for "valid" neither fits into the other.

    Examples
    --------
    >>> import numpy as np
    >>> convolve(np.array([1.0, 2.0]), np.array([1.0, 1.0])).data
    array([1., 3., 2.])
    """
    x, k = _pair("convolve", in1, in2, mode)
    if method not in ("auto", "direct", "fft"):
        raise ArgumentError(f"convolve: method must be 'auto', 'direct' or 'fft', got {method!r}")
    if x.ndim == 0:
        return x * k
    if x.size == 0 or k.size == 0:
        return wrap(np.zeros(0, np.result_type(x.dtype, k.dtype)), None)
    swap = mode == "valid" and _swapped("convolve", x, k)
    if np.result_type(x.dtype, k.dtype).kind not in "fc":  # whole numbers have no gradient
        return wrap(require("scipy.signal").convolve(x.data, k.data, mode, method), None)
    if method == "auto":
        method = require("scipy.signal").choose_conv_method(x.data, k.data, mode)
    if method == "fft":
        return fftconvolve(x, k, mode).astype(np.result_type(x.dtype, k.dtype))
    if swap:
        x, k = k, x
    if mode == "valid":
        return slide.function(x, np.flip(k))
    kept = x.shape
    if x.size < k.size:
        x, k = k, x
    full = slide.function(np.pad(x, [(m - 1, m - 1) for m in k.shape]), np.flip(k))
    return full if mode == "full" else _middle(full, kept)


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """Cross-correlation over any number of axes, as ``scipy.signal.correlate``.

    Examples
    --------
    >>> import numpy as np
    >>> correlate(np.array([1.0, 2.0]), np.array([0.0, 1.0])).data
    array([1., 2., 0.])
    """
    x, k = _pair("correlate", in1, in2, mode)
    if x.size and k.size and mode == "valid" and x.ndim and _swapped("correlate", x, k):
        # SciPy exchanges the two and turns the result round.
        return np.conj(np.flip(convolve(k, np.conj(np.flip(x)), mode, method)))
    return convolve(x, np.conj(np.flip(k)) if k.ndim else np.conj(k), mode, method)


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """Convolution by Fourier transforms, as ``scipy.signal.fftconvolve``; axes that are not named broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> np.round(fftconvolve(np.array([1.0, 2.0]), np.array([1.0, 1.0])).data, 12)
    array([1., 3., 2.])
    """
    x, k = _pair("fftconvolve", in1, in2, mode)
    if x.ndim == 0:
        return x * k
    if x.size == 0 or k.size == 0:
        return wrap(np.array([]), None)
    along = different_axes("fftconvolve", axes, x.ndim)
    others = [a for a in range(x.ndim) if a not in along]
    if any(x.shape[a] != k.shape[a] and 1 not in (x.shape[a], k.shape[a]) for a in others):
        raise ShapeError(f"fftconvolve: shapes {x.shape} and {k.shape} do not broadcast on the axes {others}")
    turned = [a for a in along if x.shape[a] != 1 and k.shape[a] != 1]
    if mode == "valid" and _swapped("fftconvolve", x, k, turned):
        x, k = k, x
    whole = [n + m - 1 for n, m in zip(x.shape, k.shape, strict=True)]
    if turned:
        real = not (x.dtype.kind == "c" or k.dtype.kind == "c")
        lengths = [fft.next_fast_len(whole[a], real) for a in turned]
        there, back = (fft._MADE["rfftn"], fft._MADE["irfftn"]) if real else (fft._MADE["fftn"], fft._MADE["ifftn"])
        full = back(there(x, lengths, turned) * there(k, lengths, turned), lengths, turned)
        full = full[tuple(slice(0, whole[a]) if a in turned else slice(None) for a in range(x.ndim))]
    else:
        full = x * k
    if mode == "full":
        return full
    kept = x.shape
    if mode == "valid":
        kept = [x.shape[a] - k.shape[a] + 1 if a in turned else n for a, n in enumerate(full.shape)]
    return _middle(full, kept)


oaconvolve = fftconvolve


def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0) -> Any:
    """Convolution of two matrices with a choice of what lies beyond the first, as ``scipy.signal.convolve2d``.

    Examples
    --------
    >>> import numpy as np
    >>> convolve2d(np.eye(2), np.ones((1, 2)), boundary="wrap", mode="same").data
    array([[1., 1.],
           [1., 1.]])
    """
    x, k = _pair("convolve2d", in1, in2, mode)
    if x.ndim != 2 or boundary not in ("fill", "wrap", "symm"):
        raise ArgumentError(f"convolve2d: matrices, boundary 'fill', 'wrap' or 'symm'; got {x.shape}, {boundary!r}")
    if mode == "valid":
        return convolve(x, k, mode, "direct")
    edges = [(m - 1, m - 1) for m in k.shape]
    if boundary == "fill":
        padded = np.pad(x, edges, constant_values=fillvalue)
    else:
        padded = np.pad(x, edges, mode={"wrap": "wrap", "symm": "symmetric"}[boundary])
    full = slide.function(padded, np.flip(k))
    return full if mode == "full" else _middle(full, x.shape)


def _coefficients(name: str, b: Any, a: Any) -> tuple[Any, Any]:
    top, bottom = np.atleast_1d(_tensor(b)), np.atleast_1d(_tensor(a))
    if top.ndim != 1 or bottom.ndim != 1 or not bottom.size or not top.size:
        raise ShapeError(f"{name}: b and a are vectors, got shapes {top.shape} and {bottom.shape}")
    if bare(bottom)[0] == 0:
        raise ArgumentError(f"{name}: a[0] is zero, and the others are measured by it")
    first = bottom[0]
    return top / first, bottom[1:] / first


def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """A digital filter along an axis, as ``scipy.signal.lfilter``; differentiable in coefficients, signal and state.

    ``a[0] y[n] = b[0] x[n] + b[1] x[n - 1] + ... - a[1] y[n - 1] - ...``

    Parameters
    ----------
    b, a : (k,), (m,)
    x : array
    axis : int
    zi : array, optional
        The state before the first sample: of the length ``max(k, m) - 1`` along the axis.

    Returns
    -------
    y, or (y, zf) where ``zi`` is given

    Examples
    --------
    >>> import numpy as np
    >>> lfilter([1.0], [1.0, -0.5], np.array([1.0, 0.0, 0.0])).data
    array([1.  , 0.5 , 0.25])
    """
    top, bottom = _coefficients("lfilter", b, a)
    signal = _tensor(x)
    if signal.ndim == 0:
        raise ShapeError("lfilter: the signal needs at least one axis")
    samples = np.moveaxis(signal, axis, -1)
    n, order = samples.shape[-1], max(top.size, bottom.size + 1) - 1
    state = None
    if zi is not None:
        state = np.moveaxis(_tensor(zi), axis, -1)
        if state.ndim != samples.ndim or state.shape[-1] != order:
            raise ShapeError(f"lfilter: zi of shape {np.shape(bare(zi))}; it needs {order} along the axis")
    kind = np.result_type(top.dtype, bottom.dtype, samples.dtype, *([] if state is None else [state.dtype]))
    lead = [(0, 0)] * (samples.ndim - 1)
    weights = np.flip(top).reshape((1,) * (samples.ndim - 1) + (-1,))
    v = slide.function(np.pad(samples.astype(kind), [*lead, (top.size - 1, 0)]), weights) if n else samples
    if state is not None and order:
        start = state[..., :n]
        v = v + np.pad(start, [*lead, (0, n - start.shape[-1])])
    y = all_pole.function(v.astype(kind), bottom) if bottom.size else v.astype(kind)
    made = np.moveaxis(y, -1, axis)
    if state is None:
        return made
    if not order:
        return made, np.moveaxis(np.broadcast_to(state, (*samples.shape[:-1], 0)), -1, axis)

    def held(coefficients: Any, past: Any) -> Any:
        # coefficients[i + 1 + k] past[n - 1 - k], summed over k: what is still to come out of the filter.
        last = np.flip(past[..., max(n - order, 0) :], -1)
        place = np.arange(order)[:, None] + np.arange(last.shape[-1])
        rows = np.pad(coefficients, [(0, order)])[np.minimum(place, order)]
        return last @ rows.T

    after = held(np.pad(top[1:], [(0, order + 1 - top.size)]), samples)
    after = after - held(np.pad(bottom, [(0, order - bottom.size)]), y)
    if n < order:
        rest = state[..., n:]
        after = after + np.pad(rest, [*lead, (0, order - rest.shape[-1])])
    return made, np.moveaxis(after, -1, axis)


def sosfilt(sos: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """A filter in sections of second order, as ``scipy.signal.sosfilt``.

    Examples
    --------
    >>> import numpy as np
    >>> sosfilt([[1.0, 0.0, 0.0, 1.0, -0.5, 0.0]], np.array([1.0, 0.0, 0.0])).data
    array([1.  , 0.5 , 0.25])
    """
    sections = _tensor(sos)
    if sections.ndim != 2 or sections.shape[1] != 6 or (bare(sections)[:, 3] != 1).any():
        raise ShapeError("sosfilt: sections (k, 6), each with a one in its fourth place")
    if zi is not None and np.shape(bare(zi))[:1] != sections.shape[:1]:
        raise ShapeError(f"sosfilt: zi of shape {np.shape(bare(zi))} for {sections.shape[0]} sections")
    y, after = _tensor(x), []
    for i in range(sections.shape[0]):
        if zi is None:
            y = lfilter(sections[i, :3], sections[i, 3:], y, axis)
        else:
            y, held = lfilter(sections[i, :3], sections[i, 3:], y, axis, _tensor(zi)[i])
            after.append(held)
    return y if zi is None else (y, np.stack(after))


def filtfilt(
    b: Any,
    a: Any,
    x: Any,
    axis: int = -1,
    padtype: str | None = "odd",
    padlen: int | None = None,
    method: str = "pad",
    irlen: int | None = None,
) -> Any:
    """A filter run forwards and backwards, as ``scipy.signal.filtfilt`` with the method "pad".

    Examples
    --------
    >>> import numpy as np
    >>> np.round(filtfilt([0.5, 0.5], [1.0], np.ones(9)).data, 12)
    array([1., 1., 1., 1., 1., 1., 1., 1., 1.])
    """
    if method != "pad":
        raise ArgumentError(f"filtfilt: method={method!r} has no gradient here; use method='pad'")
    if padtype not in (None, "odd", "even", "constant"):
        raise ArgumentError(f"filtfilt: padtype must be 'odd', 'even', 'constant' or None, got {padtype!r}")
    top, bottom = _coefficients("filtfilt", b, a)
    samples = np.moveaxis(_tensor(x), axis, -1)
    size = max(top.size, bottom.size + 1)
    edge = 0 if padtype is None else 3 * size if padlen is None else max(padlen, 0)
    if samples.shape[-1] <= edge:
        raise ShapeError(f"filtfilt: {samples.shape[-1]} samples; padding by {edge} needs more")
    if edge:
        left, right = samples[..., edge:0:-1], samples[..., -2 : -edge - 2 : -1]
        first, last = samples[..., :1], samples[..., -1:]
        if padtype == "odd":
            left, right = 2 * first - left, 2 * last - right
        elif padtype == "constant":
            left, right = first + 0 * left, last + 0 * right
        samples = np.concatenate([left, samples, right], axis=-1)
    steady = _steady_state(top, bottom)
    for _ in range(2):
        whole = np.concatenate([np.ones(1), bottom])
        samples, _held = lfilter(top, whole, samples, -1, steady * samples[..., :1])
        samples = np.flip(samples, -1)
    return np.moveaxis(samples[..., edge : samples.shape[-1] - edge] if edge else samples, -1, axis)


def savgol_filter(
    x: Any,
    window_length: int,
    polyorder: int,
    deriv: int = 0,
    delta: float = 1.0,
    axis: int = -1,
    mode: str = "interp",
    cval: float = 0.0,
) -> Any:
    """The polynomial through the neighbours of every sample, or its derivative, as ``scipy.signal.savgol_filter``.

    Examples
    --------
    >>> import numpy as np
    >>> np.round(savgol_filter((1 + np.arange(5.0)) ** 2, 5, 2, deriv=1).data, 9)
    array([ 2.,  4.,  6.,  8., 10.])
    """
    there = require("scipy.signal")
    delta = constant_argument("savgol_filter", "delta", delta)
    if mode not in ("mirror", "constant", "nearest", "interp", "wrap"):
        raise ArgumentError(f"savgol_filter: mode must be mirror, constant, nearest, wrap or interp, got {mode!r}")
    t = _tensor(x)
    t = t if t.dtype in (np.float64, np.float32) else t.astype(np.float64)
    weights = there.savgol_coeffs(window_length, polyorder, deriv=deriv, delta=delta)
    if mode != "interp":
        return convolve1d(t, weights, axis, mode=mode, cval=cval)
    samples = np.moveaxis(t, axis, -1)
    n = samples.shape[-1]
    if window_length > n:
        raise ShapeError(f"savgol_filter: a window of {window_length} for {n} samples; mode='interp' needs as many")
    inner = convolve1d(samples, weights, -1, mode="constant")
    half = window_length // 2
    # The ends: the polynomial through the first and the last window, which is linear in what it goes through.
    unit = there.savgol_filter(np.eye(window_length), window_length, polyorder, deriv, delta, axis=0).astype(t.dtype)
    left, right = samples[..., :window_length] @ unit[:half].T, samples[..., n - window_length :] @ unit[-half:].T
    if not half:
        return np.moveaxis(inner, -1, axis)
    return np.moveaxis(np.concatenate([left, inner[..., half : n - half], right], axis=-1), -1, axis)


def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0) -> Any:
    """Cross-correlation of two matrices, as ``scipy.signal.correlate2d``; see :func:`convolve2d`.

    Examples
    --------
    >>> import numpy as np
    >>> correlate2d(np.eye(2), np.array([[0.0, 1.0]])).data
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """
    x, k = _pair("correlate2d", in1, in2, mode)
    if mode == "valid" and x.ndim == 2 and x.size and k.size and _swapped("correlate2d", x, k):
        return np.flip(convolve2d(k, np.conj(np.flip(x)), mode, boundary, fillvalue))
    if mode == "same":  # of an even window SciPy's correlation takes the other middle
        full = convolve2d(x, np.conj(np.flip(k)), "full", boundary, fillvalue)
        return full[tuple(slice(m // 2, m // 2 + n) for n, m in zip(x.shape, k.shape, strict=True))]
    return convolve2d(x, np.conj(np.flip(k)), mode, boundary, fillvalue)


def detrend(data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: bool = False) -> Any:
    """The signal without its mean or straight line, between breaks, as ``scipy.signal.detrend``.

    Examples
    --------
    >>> import numpy as np
    >>> detrend(np.array([1.0, 2.0, 6.0]), type="constant").data
    array([-2., -1.,  3.])
    """
    t = _floats(data)
    # It is linear in the signal, so its matrix along an axis is read off SciPy's own.
    samples = np.moveaxis(t, axis, -1)
    matrix = require("scipy.signal").detrend(np.eye(samples.shape[-1]), 0, type, bare(bp))
    return np.moveaxis(samples @ matrix.T.astype(np.real(t.data).dtype), -1, axis)


def lfilter_zi(b: Any, a: Any) -> Any:
    """The state in which :func:`lfilter` goes on with a constant signal, as ``scipy.signal.lfilter_zi``.

    Examples
    --------
    >>> lfilter_zi([0.5, 0.5], [1.0]).data
    array([0.5])
    """
    return _steady_state(*_coefficients("lfilter_zi", b, a))


def _steady_state(top: Any, bottom: Any) -> Any:
    order = max(top.size, bottom.size + 1) - 1
    if not order:
        return _tensor(np.zeros(0))
    b, a = np.pad(top, [(0, order + 1 - top.size)]), np.pad(bottom, [(0, order - bottom.size)])
    companion = np.concatenate([(-a)[:, None], np.eye(order)[:, : order - 1]], axis=1)
    return np.linalg.solve(np.eye(order) - companion, b[1:] - a * b[0])


def medfilt(volume: Any, kernel_size: Any = None) -> Any:
    """The median of neighbours, zeros beyond the borders, as ``scipy.signal.medfilt``.

    Examples
    --------
    >>> import numpy as np
    >>> medfilt(np.array([1.0, 9.0, 2.0, 3.0])).data
    array([1., 2., 3., 2.])
    """
    t = np.atleast_1d(_tensor(volume))
    size = 3 if kernel_size is None else kernel_size
    if any(k % 2 == 0 for k in np.atleast_1d(size).tolist()):
        raise ArgumentError(f"medfilt: kernel_size must be odd, got {kernel_size}")
    return median_filter(t, size, mode="constant")


def medfilt2d(input: Any, kernel_size: Any = 3) -> Any:
    """:func:`medfilt` of a matrix, as ``scipy.signal.medfilt2d``."""
    return medfilt(input, kernel_size)


def sos2tf(sos: Any) -> tuple[Any, Any]:
    """The polynomials of a filter in sections, as ``scipy.signal.sos2tf``.

    Examples
    --------
    >>> b, a = sos2tf([[1.0, 2.0, 0.0, 1.0, 0.5, 0.0]])
    >>> b.data
    array([1., 2., 0.])
    """
    sections = _tensor(sos)
    b: Any = np.ones(1)
    a: Any = np.ones(1)
    for i in range(sections.shape[0]):
        b, a = convolve(b, sections[i, :3], method="direct"), convolve(a, sections[i, 3:], method="direct")
    return b, a


def zpk2tf(z: Any, p: Any, k: Any) -> tuple[Any, Any]:
    """The polynomials with these zeros, poles and gain, as ``scipy.signal.zpk2tf`` of real or complex roots.

    Examples
    --------
    >>> b, a = zpk2tf([1.0], [0.5], 2.0)
    >>> b.data, a.data
    (array([ 2., -2.]), array([ 1. , -0.5]))
    """
    made = []
    for roots in (np.atleast_1d(_tensor(z)), np.atleast_1d(_tensor(p))):
        whole: Any = np.ones(1)
        for i in range(roots.size):
            whole = convolve(whole, np.concatenate([np.ones(1), -roots[i : i + 1]]), method="direct")
        plain = np.asarray(bare(roots))
        paired = plain.dtype.kind == "c" and np.array_equal(np.sort(plain), np.sort(np.conj(plain)))
        made.append(np.real(whole) if paired else _tensor(whole))
    return made[0] * k, made[1]


def order_filter(a: Any, domain: Any, rank: int) -> Any:
    """The element of a rank among the neighbours in a domain, zeros beyond, as ``scipy.signal.order_filter``.

    Examples
    --------
    >>> import numpy as np
    >>> order_filter(np.array([1.0, 9.0, 2.0]), np.ones(3), 0).data
    array([0., 1., 0.])
    """
    t, kept = _tensor(a), np.asarray(bare(domain), bool)
    if any(n % 2 == 0 for n in kept.shape) or kept.ndim != t.ndim:
        raise ShapeError(f"order_filter: a domain of shape {kept.shape}; odd lengths, one for each of {t.ndim} axes")
    full = np.pad(t, [(n // 2, n // 2) for n in kept.shape])
    places = np.argwhere(kept).tolist()
    parts = [full[tuple(slice(i, i + n) for i, n in zip(place, t.shape, strict=True))] for place in places]
    return np.sort(np.stack(parts), axis=0)[whole_number("order_filter: rank", rank)]


# --- filters designed: differentiable in their edges ------------------------------------------------------------------

_BANDS = {
    "lowpass": "low l lp lowpass",
    "highpass": "high h hp highpass",
    "bandpass": "band pass bp bandpass",
    "bandstop": "stop bs bands bandstop",
}


def _spread(half: Any, centre: Any) -> Any:
    """The two roots of ``r**2 - 2 * half * r + centre**2`` for each ``half``."""
    apart = np.sqrt(half * half - centre * centre)
    return np.concatenate([half + apart, half - apart])


def iirfilter(
    N: int,
    Wn: Any,
    rp: float | None = None,
    rs: float | None = None,
    btype: str = "band",
    analog: bool = False,
    ftype: str = "butter",
    output: str = "ba",
    fs: float | None = None,
) -> Any:
    """A filter designed as ``scipy.signal.iirfilter``, differentiable in the edges ``Wn`` of its band.

    SciPy's analog prototype, a constant, is moved to the edges and made digital by the bilinear map.

    Parameters
    ----------
    N : int
        The order.
    Wn : array_like or Tensor
        One edge, of a band two.
    rp, rs : float, optional
        Decibels of ripple and of attenuation, constants.
    btype, analog, ftype, output, fs
        As SciPy's.

    Raises
    ------
    ArgumentError
        If the edges are not as many as the band asks for, or outside of the frequencies that there are.
    NotDifferentiableError
        If ``rp`` or ``rs`` requires a gradient.

    Examples
    --------
    >>> import autodiff
    >>> edge = autodiff.tensor(0.5, requires_grad=True)
    >>> b, a = iirfilter(1, edge, btype="lowpass")
    >>> b.data.round(3), a.data.round(3)
    (array([0.5, 0.5]), array([ 1., -0.]))
    >>> a[1].backward()
    >>> edge.grad.round(6) == round(np.pi / 2, 6)
    np.True_
    """
    scipy = require("scipy.signal")
    kind = next((kind for kind, names in _BANDS.items() if btype.lower() in names.split()), None)
    if kind is None or output not in ("ba", "zpk", "sos"):
        raise ArgumentError(f"iirfilter: btype {btype!r} and output {output!r}; of {sorted(_BANDS)} and ba, zpk, sos")
    rp, rs = constant_argument("iirfilter", "rp", rp), constant_argument("iirfilter", "rs", rs)
    z, p, k = scipy.iirfilter(N, 1.0, rp, rs, btype="lowpass", analog=True, ftype=ftype, output="zpk")
    edges = np.atleast_1d(_tensor(Wn)) * (1.0 if fs is None else 2.0 / fs)
    inside = (
        np.asarray(bare(edges) > 0) & (bool(analog) | np.asarray(bare(edges) < 1)) & (np.diff(bare(edges)) > 0).all()
    )
    if edges.shape != ((1,) if kind in ("lowpass", "highpass") else (2,)) or not inside.all() or (analog and fs):
        raise ArgumentError(f"iirfilter: a {kind} with edges {bare(edges)} of the Nyquist frequency, analog={analog}")
    edges = edges if analog else 4.0 * np.tan(np.pi / 2 * edges)
    excess, turned = p.size - z.size, np.real(np.prod(-z) / np.prod(-p))
    low, width, centre = edges[0], edges[-1] - edges[0], np.sqrt(edges[0] * edges[-1])
    none = np.zeros(excess, z.dtype if kind == "highpass" else complex)
    if kind == "lowpass":
        z, p, k = low * z, low * p, k * low**excess
    elif kind == "highpass":
        z, p, k = np.concatenate([low / z, none]), low / p, k * turned
    elif kind == "bandpass":
        z, p = np.concatenate([_spread(z * width / 2, centre), none]), _spread(p * width / 2, centre)
        k = k * width**excess
    else:
        middle = 1j * centre + none
        z, p = np.concatenate([_spread(width / 2 / z, centre), middle, -middle]), _spread(width / 2 / p, centre)
        k = k * turned
    if not analog:
        k = k * np.real(np.prod(4 - z) / np.prod(4 - p))
        z = np.concatenate([(4 + z) / (4 - z), np.full(p.size - z.size, -1.0 + 0j)])
        p = (4 + p) / (4 - p)
    if output == "zpk":
        return _tensor(z), p, _tensor(k)
    if output == "ba":
        return tuple(np.real(part) for part in zpk2tf(z, p, k))
    if analog:
        raise ArgumentError("iirfilter: sections of an analog filter are not made here; take output='zpk'")
    return _sections(scipy.zpk2sos(*map(bare, (z, p, k))), z, p, k)


def _sections(plain: Any, z: Any, p: Any, k: Any) -> Any:
    """Second-order sections of tracked zeros and poles, which stand together as in SciPy's."""
    columns = []
    for roots, near in ((z, plain[:, :3]), (p, plain[:, 3:])):
        whole = np.concatenate([roots, np.zeros(2 * len(plain) - roots.size, complex)])
        left, taken = np.array(bare(whole)), []
        for root in (root for section in near for root in np.roots(section)):
            taken.append(int(np.argmin(np.abs(left - root))))
            left[taken[-1]] = np.inf
        first, second = whole[np.array(taken[::2])], whole[np.array(taken[1::2])]
        columns += [np.ones(len(plain)), -np.real(first + second), np.real(first * second)]
    sections = np.stack(columns, axis=1)
    return np.concatenate([(sections[0] * np.concatenate([k * np.ones(3), np.ones(3)]))[None], sections[1:]])


def butter(N: int, Wn: Any, btype: str = "low", analog: bool = False, output: str = "ba", fs: Any = None) -> Any:
    """A Butterworth filter as ``scipy.signal.butter``, differentiable in its edges: see :func:`iirfilter`.

    Examples
    --------
    >>> butter(1, 0.5)[0].data.round(3)
    array([0.5, 0.5])
    """
    return iirfilter(N, Wn, None, None, btype, analog, "butter", output, fs)


def cheby1(
    N: int, rp: float, Wn: Any, btype: str = "low", analog: bool = False, output: str = "ba", fs: Any = None
) -> Any:
    """A Chebyshev filter with ripple in its band as ``scipy.signal.cheby1``: see :func:`iirfilter`.

    Examples
    --------
    >>> cheby1(1, 3.0, 0.5)[0].data.round(3)
    array([0.501, 0.501])
    """
    return iirfilter(N, Wn, rp, None, btype, analog, "cheby1", output, fs)


def cheby2(
    N: int, rs: float, Wn: Any, btype: str = "low", analog: bool = False, output: str = "ba", fs: Any = None
) -> Any:
    """A Chebyshev filter with ripple outside of its band as ``scipy.signal.cheby2``: see :func:`iirfilter`.

    Examples
    --------
    >>> cheby2(2, 20.0, 0.5)[0].data.round(3)
    array([0.167, 0.111, 0.167])
    """
    return iirfilter(N, Wn, None, rs, btype, analog, "cheby2", output, fs)


def ellip(
    N: int, rp: float, rs: float, Wn: Any, btype: str = "low", analog: bool = False, output: str = "ba", fs: Any = None
) -> Any:
    """An elliptic filter as ``scipy.signal.ellip``, differentiable in its edges: see :func:`iirfilter`.

    Examples
    --------
    >>> ellip(1, 3.0, 20.0, 0.5)[0].data.round(3)
    array([0.501, 0.501])
    """
    return iirfilter(N, Wn, rp, rs, btype, analog, "ellip", output, fs)


def bessel(
    N: int, Wn: Any, btype: str = "low", analog: bool = False, output: str = "ba", norm: str = "phase", fs: Any = None
) -> Any:
    """A Bessel filter as ``scipy.signal.bessel``, differentiable in its edges: see :func:`iirfilter`.

    Examples
    --------
    >>> bessel(1, 0.5)[0].data.round(3)
    array([0.5, 0.5])
    """
    return iirfilter(N, Wn, None, None, btype, analog, f"bessel_{norm}", output, fs)


def _resonance(w0: Any, Q: Any, fs: float) -> tuple[Any, Any, Any]:
    centre = np.pi * 2 / fs * _tensor(w0)
    if not 0 <= bare(centre) <= np.pi:
        raise ArgumentError(f"iirnotch and iirpeak: w0 must lie between 0 and {fs / 2}, got {bare(w0)}")
    gain = 1 / (1 + np.tan(centre / Q / 2))  # three decibels below the peak at the edges of the band
    return centre, gain, np.stack([np.ones(()), -2 * gain * np.cos(centre), 2 * gain - 1])


def iirnotch(w0: Any, Q: Any, fs: float = 2.0) -> tuple[Any, Any]:
    """The filter that takes out a frequency, as ``scipy.signal.iirnotch``, differentiable in ``w0`` and ``Q``.

    Examples
    --------
    >>> iirnotch(0.5, 1.0)[0].data.round(3)
    array([ 0.5, -0. ,  0.5])
    """
    centre, gain, a = _resonance(w0, Q, fs)
    return gain * np.stack([np.ones(()), -2 * np.cos(centre), np.ones(())]), a


def iirpeak(w0: Any, Q: Any, fs: float = 2.0) -> tuple[Any, Any]:
    """The filter that lets a frequency pass, as ``scipy.signal.iirpeak``, differentiable in ``w0`` and ``Q``.

    Examples
    --------
    >>> iirpeak(0.5, 1.0)[0].data.round(3)
    array([ 0.5,  0. , -0.5])
    """
    _, gain, a = _resonance(w0, Q, fs)
    return (1 - gain) * np.array([1.0, 0.0, -1.0]), a
