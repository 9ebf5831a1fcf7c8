"""The linear operations under SciPy's filters and transforms: a sliding sum, a recursive filter, cosine transforms and
spline coefficients. SciPy computes each; its transpose is one of the same kind.

Oppenheim and Schafer, Discrete-Time Signal Processing, chapters 6 and 8; Unser 1999 for splines.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.batching import Batched, Unbatchable, is_batched
from autodiff.core.op import Primitive
from autodiff.extras import require
from autodiff.ops.common import bare
from autodiff.ops.stable import of

# --- a weighted sum of neighbours -----------------------------------------------------------------------------------


def _taps(x: Any, w: Any) -> list[tuple[Any, Any]]:
    """Every place in the weights, with the part of ``x`` that it weighs."""
    kept = [n - k + 1 for n, k in zip(x.shape, w.shape, strict=True)]
    return [
        (place, x[tuple(slice(start, start + n) for start, n in zip(place, kept, strict=True))])
        for place in np.ndindex(*w.shape)
    ]


def _row(numbers: list[Any]) -> Any:
    """Numbers as an array; there may be none."""
    return np.stack(numbers) if numbers else np.zeros(0)


def _slide(x: Any, w: Any) -> Any:
    kind = np.result_type(x, w)
    kept = tuple(n - k + 1 for n, k in zip(x.shape, w.shape, strict=True))
    if kind.char not in "fdFD" or min(x.shape, default=1) == 0 or not np.isfinite(w).all():
        # SciPy's correlation passes over weights that are NaN.
        return sum((w[place] * part for place, part in _taps(x, w)), np.zeros(kept, kind))
    # SciPy's correlation conjugates complex weights.
    ndimage, x, w = require("scipy.ndimage"), x.astype(kind, copy=False), np.conj(w).astype(kind, copy=False)
    long = [axis for axis, k in enumerate(w.shape) if k > 1]
    if len(long) > 1:
        whole = ndimage.correlate(x, w, mode="constant")
    elif w.ndim:
        axis = long[0] if long else 0
        whole = ndimage.correlate1d(x, w.reshape(-1), axis, mode="constant")
    else:
        return x * np.conj(w)
    return whole[tuple(slice(k // 2, k // 2 + n) for k, n in zip(w.shape, kept, strict=True))]


def _slide_back(g: Any, out: Any, x: Any, w: Any) -> Any:
    if 0 in w.shape:
        return np.zeros(x.shape, g.dtype)
    edges = [(k - 1, k - 1) for k in w.shape]
    return of(slide, np.pad(g, edges) if edges else g, np.flip(w))


def _slide_weights(g: Any, out: Any, x: Any, w: Any) -> Any:
    shares = [np.sum(g * part) for _, part in _taps(x, w)]
    return np.reshape(_row(shares), w.shape)


def _sample_slide(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n, k = (draw.integer(3, 4), draw.integer(3, 5)), (draw.integer(1, 3), draw.integer(1, 2))
    return (draw.array(n), draw.array(k)), {}


#: ``out[i] = sum_k w[k] x[i + k]`` over all axes, wherever the weights fit into ``x``.
slide = Primitive("slide", _slide, _slide_back, _slide_weights, linear="each", sample=_sample_slide)


# --- a recursive filter ---------------------------------------------------------------------------------------------


def _all_pole(v: Any, a: Any) -> Any:
    if is_batched(a):
        raise Unbatchable
    if is_batched(v):  # the batch is one more axis in front
        return Batched(_all_pole(v.array, a))
    kind = np.result_type(v, a)
    if not v.size:
        return np.zeros(v.shape, kind)
    wide = np.float32 if kind == np.float16 else kind
    one = np.ones(1, wide)
    made = require("scipy.signal").lfilter(one, np.concatenate([one, a.astype(wide)]), v.astype(wide), axis=-1)
    return made.astype(kind, copy=False)


def _reversed(x: Any) -> Any:
    return np.flip(x, -1)


def _delayed(y: Any, k: int) -> Any:
    """``y`` k samples later, zeros before."""
    n = y.shape[-1]
    return np.pad(y[..., : max(n - k, 0)], [(0, 0)] * (y.ndim - 1) + [(min(k, n), 0)])


def _all_pole_v(g: Any, out: Any, v: Any, a: Any) -> Any:
    return _reversed(of(all_pole, _reversed(g), a))


def _all_pole_a(g: Any, out: Any, v: Any, a: Any) -> Any:
    s, n = _all_pole_v(g, out, v, a), out.shape[-1]
    # Only what a coefficient reaches: a NaN elsewhere has nothing to do with it.
    shares = [-np.sum(s[..., min(k, n) :] * out[..., : max(n - k, 0)]) for k in range(1, a.shape[0] + 1)]
    return _row(shares)


def _all_pole_tangent(t: Any, out: Any, v: Any, a: Any) -> Any:
    moved = sum((t[k - 1] * _delayed(out, k) for k in range(1, a.shape[0] + 1)), np.zeros(out.shape))
    return of(all_pole, -moved, a)


def _sample_all_pole(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (draw.array((2, draw.integer(1, 5))), draw.array((draw.integer(1, 3),), -0.4, 0.4)), {}


#: ``y[n] = v[n] - sum_k a[k - 1] y[n - k]`` along the last axis.
all_pole = Primitive(
    "all_pole", _all_pole, _all_pole_v, _all_pole_a, tangent=("linear", _all_pole_tangent), sample=_sample_all_pole
)


# --- cosine and sine transforms -------------------------------------------------------------------------------------

_TRANSPOSED = {1: 1, 2: 3, 3: 2, 4: 4}


def _ends(name: str, n: int, dtype: Any) -> Any:
    """The roots of two by which the ends of an orthogonal transform differ from those of the plain one."""
    scale = np.ones(n, dtype)
    if n:
        scale[[0, -1] if name == "dct1" else [0] if name[:3] == "dct" else [-1]] = np.sqrt(2.0)
    return scale


def _cosine(x: Any, name: str, kind: int, axis: int, norm: Any, orthogonal: bool) -> Any:
    if x.dtype.kind == "c":  # of complex numbers SciPy forgets `orthogonalize`
        real, imag = (_cosine(part, name, kind, axis, norm, orthogonal) for part in (x.real, x.imag))
        return real + 1j * imag
    return getattr(require("scipy.fft"), name)(x, kind, axis=axis, norm=norm, orthogonalize=orthogonal)


def _cosine_rule(g: Any, out: Any, x: Any, name: str, kind: int, axis: int, norm: Any, orthogonal: bool) -> Any:
    # The orthogonal transforms of types 1 and 4 are symmetric, those of types 2 and 3 each other's transpose. The
    # plain ones are those between two diagonal matrices.
    shape, dtype = [1] * g.ndim, bare(np.real(g)).dtype
    shape[axis] = g.shape[axis]
    before: Any = None
    after: Any = None
    if not orthogonal:
        scale = np.reshape(_ends(f"{name[-3:]}{kind}", shape[axis], dtype), shape)
        effective = _TRANSPOSED[kind] if name[0] == "i" else kind
        if (name[-3:] == "dst" and kind == 1) or kind == 4:
            scale = np.ones_like(scale)
        before = scale if effective in (1, 2) else None
        after = 1 / scale if effective in (1, 3) else None
    back = of(cosine_transform, g if before is None else g * before, name, _TRANSPOSED[kind], axis, norm, True)
    return back if after is None else back * after


def _sample_cosine(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    name, kind = draw.choice(("dct", "idct", "dst", "idst")), draw.integer(1, 4)
    return (
        (
            draw.array((2, draw.integer(2, 5))),
            name,
            kind,
            -1,
            draw.choice((None, "ortho", "forward")),
            draw.boolean() and kind > 0,
        ),
        {},
    )


#: scipy.fft's dct, idct, dst and idst of every type along one axis.
cosine_transform = Primitive("cosine_transform", _cosine, _cosine_rule, linear="jointly", sample=_sample_cosine)


# --- splines --------------------------------------------------------------------------------------------------------


def _coefficients(x: Any, order: int, axis: int, mode: str) -> Any:
    kind = np.complex128 if x.dtype.kind == "c" else np.float64
    if not x.size:
        return x
    made = require("scipy.ndimage").spline_filter1d(x.astype(kind), order, axis, kind, mode)
    return made.astype(x.dtype if x.dtype.kind in "fc" else kind, copy=False)


def _coefficients_rule(g: Any, out: Any, x: Any, order: int, axis: int, mode: str) -> Any:
    # The matrix that takes coefficients to values is symmetric, for a mirror at the outermost points once these count
    # half.
    n = g.shape[axis]
    if mode in ("reflect", "nearest", "grid-mirror") and n <= 64:
        # SciPy starts its recursion a little off here, which is felt in short arrays; so from its own matrix.
        matrix = _coefficients(np.eye(n), order, 0, mode)
        return np.moveaxis(np.matmul(np.moveaxis(g, axis, -1), matrix), -1, axis)
    if mode in ("reflect", "nearest", "grid-mirror", "grid-wrap") or n < 2:
        return of(spline_coefficients, g, order, axis, mode)
    shape = [1] * g.ndim
    shape[axis] = g.shape[axis]
    half = np.ones(shape[axis])
    half[[0, -1]] = 0.5
    half = half.reshape(shape)
    return of(spline_coefficients, g / half, order, axis, mode) * half


def _sample_coefficients(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = draw.array((draw.integer(1, 5), 2))
    return (x, draw.integer(2, 5), 0, draw.choice(("mirror", "reflect", "grid-wrap"))), {}


#: The coefficients of the spline through ``x`` along one axis, as ``scipy.ndimage.spline_filter1d``.
spline_coefficients = Primitive(
    "spline_coefficients", _coefficients, _coefficients_rule, linear="jointly", sample=_sample_coefficients
)
