"""The kernels themselves, for numba: plain loops, one pass over memory where NumPy makes several. Imported when the first one is wanted.

Every function takes its share of the rows (or columns) first, releases the interpreter lock, and writes to nothing but its share and its own
partial sums. Numbers come in as scalars of the arrays' dtype, since a Python float would turn float32 arithmetic into float64. Sums may be
reassociated (``fastmath``), which is what lets the compiler keep several at once, in the vector registers; NaN and infinity stay what they are.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

__all__ = [
    "adam", "adam_in_place", "batch_norm_columns_backward", "batch_norm_columns_forward", "batch_norm_planes_backward",
    "batch_norm_planes_forward",
    "cross_entropy_backward", "cross_entropy_forward", "gelu_forward", "layer_norm_backward", "layer_norm_forward",
]  # fmt: skip

_SUMS = {"contract", "reassoc", "nsz"}


def _jit(function: Any = None, *, fastmath: Any = frozenset(_SUMS)) -> Any:
    """``numba.njit`` with the lock released and the machine code kept on disk, or only in memory where no folder is writable."""
    if function is None:
        return lambda f: _jit(f, fastmath=fastmath)
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


@_jit(fastmath={"contract"})
def _exp(x):  # type: ignore[no-untyped-def]
    """``e^x`` for float32 x in [-87, 88], of additions and multiplications that vectorise: at most 1.3 units in the last place off.

    ``x = n log 2 + r`` with whole n; adding 1.5 * 2^23 + 127 leaves ``n + 127`` in the low bits of the sum, which shifted by 23 are the bits of
    ``2^n``. log 2 is subtracted in two parts, the first exact in float32. The polynomial in r is Cephes' expf (Moshier 1989). No term may be
    reassociated, or the rounding of n would be cancelled.
    """
    shifted = x * np.float32(1.44269504) + np.float32(12583039.0)
    n = shifted - np.float32(12583039.0)
    r = x - n * np.float32(0.693359375)
    r = r + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    y = p * (r * r) + r + np.float32(1.0)
    return y * np.int32(np.float32(shifted).view(np.int32) << 23).view(np.float32)


# --- layer normalisation ------------------------------------------------------------------------------------------------


@_jit
def layer_norm_forward(start, stop, x, weight, bias, out, mean, scale, inverse, eps):  # type: ignore[no-untyped-def]
    """Rows of x (R, n): their mean and ``1 / sqrt(variance + eps)`` (R,), and ``out = (x - mean) scale weight + bias``."""
    n = x.shape[1]
    zero = inverse - inverse
    for r in range(start, stop):
        row, to = x[r], out[r]
        total = zero
        for i in range(n):
            total += row[i]
        mu = total * inverse
        total = zero
        for i in range(n):
            d = row[i] - mu
            total += d * d
        mean[r] = mu
        scale[r] = 1.0 / np.sqrt(total * inverse + eps)
        s = scale[r]
        for i in range(n):
            to[i] = (row[i] - mu) * s * weight[i] + bias[i]


@_jit
def layer_norm_backward(start, stop, g, x, weight, mean, scale, dx, inverse, dweight, dbias):  # type: ignore[no-untyped-def]
    """``dx = s (w g - mean(w g) - xhat mean(w g xhat))`` (R, n), and this share's sums ``dw = sum(g xhat)``, ``db = sum(g)`` (n,)."""
    n = x.shape[1]
    zero = inverse - inverse
    for r in range(start, stop):
        row, up, to = x[r], g[r], dx[r]
        mu, s = mean[r], scale[r]
        plain, along = zero, zero
        for i in range(n):
            h = up[i] * weight[i]
            plain += h
            along += h * (row[i] - mu)
        plain *= inverse
        along *= inverse * s * s
        for i in range(n):
            to[i] = s * (up[i] * weight[i] - plain - (row[i] - mu) * along)
        for i in range(n):
            dweight[i] += up[i] * ((row[i] - mu) * s)
        for i in range(n):
            dbias[i] += up[i]


# --- batch normalisation ------------------------------------------------------------------------------------------------


# Columns are looped over from 0 in slices of their own, since the compiler vectorises no loop whose index it cannot prove to be positive; so
# many at a time that a slice of x stays in cache from one pass to the next, but not so few that starting the loops costs more than running them.


@_jit
def _strip(m):  # type: ignore[no-untyped-def]
    """How many columns of m rows to normalise at a time."""
    return max(256, min(1024, 262144 // max(m, 1)))


@_jit
def batch_norm_columns_forward(start, stop, x, weight, bias, out, mean, variance, scale, inverse, eps):  # type: ignore[no-untyped-def]
    """Columns of x (m, C): mean, biased variance, ``1 / sqrt(variance + eps)`` (C,), and the normalised, scaled and shifted columns."""
    m = x.shape[0]
    strip = _strip(m)
    for first in range(start, stop, strip):
        last = min(first + strip, stop)
        mu, var, s, w, b = mean[first:last], variance[first:last], scale[first:last], weight[first:last], bias[first:last]
        width = mu.size
        mu[:] = 0
        var[:] = 0
        for r in range(m):
            row = x[r, first:last]
            for c in range(width):
                mu[c] += row[c]
        for c in range(width):
            mu[c] *= inverse
        for r in range(m):
            row = x[r, first:last]
            for c in range(width):
                d = row[c] - mu[c]
                var[c] += d * d
        for c in range(width):
            var[c] *= inverse
            s[c] = 1.0 / np.sqrt(var[c] + eps)
        for r in range(m):
            row, to = x[r, first:last], out[r, first:last]
            for c in range(width):
                to[c] = (row[c] - mu[c]) * (s[c] * w[c]) + b[c]


@_jit
def batch_norm_columns_backward(start, stop, g, x, weight, mean, scale, dx, dweight, dbias, inverse):  # type: ignore[no-untyped-def]
    """``dx = w s (g - mean(g) - xhat mean(g xhat))`` (m, C), ``dw = sum(g xhat)``, ``db = sum(g)`` (C,)."""
    m = x.shape[0]
    strip = _strip(m)
    for first in range(start, stop, strip):
        last = min(first + strip, stop)
        mu, s, w, dw, db = mean[first:last], scale[first:last], weight[first:last], dweight[first:last], dbias[first:last]
        width = mu.size
        dw[:] = 0
        db[:] = 0
        for r in range(m):
            row, up = x[r, first:last], g[r, first:last]
            for c in range(width):
                db[c] += up[c]
            for c in range(width):
                dw[c] += up[c] * (row[c] - mu[c])
        # Per column: dx = factor (g - plain - (x - mean) along)
        factor, plain, along = np.empty_like(mu), np.empty_like(mu), np.empty_like(mu)
        for c in range(width):
            dw[c] *= s[c]
            factor[c] = w[c] * s[c]
            plain[c] = db[c] * inverse
            along[c] = dw[c] * s[c] * inverse
        for r in range(m):
            row, up, to = x[r, first:last], g[r, first:last], dx[r, first:last]
            for c in range(width):
                to[c] = factor[c] * (up[c] - plain[c] - (row[c] - mu[c]) * along[c])


@_jit
def batch_norm_planes_forward(start, stop, x, weight, bias, out, mean, variance, scale, inverse, eps):  # type: ignore[no-untyped-def]
    """Channels of x (N, C, L), each over N and L: as :func:`batch_norm_columns_forward`."""
    n, length = x.shape[0], x.shape[2]
    zero = inverse - inverse
    for c in range(start, stop):
        total = zero
        for i in range(n):
            plane = x[i, c]
            for j in range(length):
                total += plane[j]
        mu = total * inverse
        total = zero
        for i in range(n):
            plane = x[i, c]
            for j in range(length):
                d = plane[j] - mu
                total += d * d
        mean[c] = mu
        variance[c] = total * inverse
        scale[c] = 1.0 / np.sqrt(variance[c] + eps)
        factor, shift = scale[c] * weight[c], bias[c]
        for i in range(n):
            plane, to = x[i, c], out[i, c]
            for j in range(length):
                to[j] = (plane[j] - mu) * factor + shift


@_jit
def batch_norm_planes_backward(start, stop, g, x, weight, mean, scale, dx, dweight, dbias, inverse):  # type: ignore[no-untyped-def]
    """As :func:`batch_norm_columns_backward` for x (N, C, L)."""
    n, length = x.shape[0], x.shape[2]
    zero = inverse - inverse
    for c in range(start, stop):
        mu, s = mean[c], scale[c]
        plain, along = zero, zero
        for i in range(n):
            plane, up = x[i, c], g[i, c]
            for j in range(length):
                plain += up[j]
                along += up[j] * (plane[j] - mu)
        dbias[c] = plain
        dweight[c] = along * s
        factor = weight[c] * s
        plain *= inverse
        along *= inverse * s * s
        for i in range(n):
            plane, up, to = x[i, c], g[i, c], dx[i, c]
            for j in range(length):
                to[j] = factor * (up[j] - plain - (plane[j] - mu) * along)


# --- softmax cross-entropy ----------------------------------------------------------------------------------------------


@_jit(fastmath={"nnan", "nsz", "reassoc"})
def _largest(row):  # type: ignore[no-untyped-def]
    """The largest of numbers that may be compared in any order; with a NaN among them it may be any of them."""
    most = row[0]
    for i in range(row.size):
        most = row[i] if row[i] > most else most
    return most


@_jit
def cross_entropy_forward(start, stop, x, target, e, total, losses):  # type: ignore[no-untyped-def]
    """Rows of scores x (R, C), float32: ``e = exp(x - max)``, its row sums, and the losses ``log(sum) - (x[target] - max)`` (R,)."""
    classes = x.shape[1]
    for r in range(start, stop):
        row, to = x[r], e[r]
        # A NaN makes the row's sum and so its loss NaN, whatever stands for the largest.
        most = _largest(row)
        s = np.float32(0)
        for i in range(classes):
            d = row[i] - most
            # exp(-87) is the last that float32 holds in full; below it nothing is left beside the row's largest, 1. NaN stays.
            v = np.float32(0) if d < np.float32(-87) else _exp(d)
            to[i] = v
            s += v
        total[r] = s
        losses[r] = np.log(s) - (row[target[r]] - most)


@_jit
def cross_entropy_backward(start, stop, e, total, target, each, dx):  # type: ignore[no-untyped-def]
    """``dx = (e / total - onehot) each`` (R, C)."""
    classes = e.shape[1]
    for r in range(start, stop):
        row, to = e[r], dx[r]
        factor = each[r] / total[r]
        for i in range(classes):
            to[i] = row[i] * factor
        to[target[r]] -= each[r]


# --- GELU ---------------------------------------------------------------------------------------------------------------


@_jit(fastmath={"contract"})
def gelu_forward(start, stop, x, out, slope):  # type: ignore[no-untyped-def]
    """``out = x Phi(x)`` and its derivative ``Phi(x) + x p(x)``, float32.

    ``Phi(-z) = erfc(z / sqrt 2) / 2`` by the Chebyshev fit of Press et al., Numerical Recipes, section 6.2, whose relative error is 1.2e-7 for
    every z >= 0: the left tail keeps its digits, up to those that rounding the exponent costs (5e-6 at z = 12, where Phi leaves float32).
    """
    x, out, slope = x[start:stop], out[start:stop], slope[start:stop]
    one, half, lowest = np.float32(1.0), np.float32(0.5), np.float32(-87.0)
    for i in range(x.size):
        v = x[i]
        z = abs(v) * np.float32(0.70710678)
        t = one / (one + half * z)
        q = np.float32(-0.82215223) + t * np.float32(0.17087277)
        q = np.float32(1.48851587) + t * q
        q = np.float32(-1.13520398) + t * q
        q = np.float32(0.27886807) + t * q
        q = np.float32(-0.18628806) + t * q
        q = np.float32(0.09678418) + t * q
        q = np.float32(0.37409196) + t * q
        q = np.float32(1.00002368) + t * q
        q = np.float32(-1.26551223) + t * q
        square = z * z
        a, b = q - square, -square
        tail = half * t * (np.float32(0.0) if a < lowest else _exp(a))
        density = np.float32(0.39894228) * (np.float32(0.0) if b < lowest else _exp(b))
        cdf = tail if v < np.float32(0.0) else one - tail
        out[i] = v * cdf
        slope[i] = cdf + v * density


# --- Adam ---------------------------------------------------------------------------------------------------------------


@_jit(fastmath={"contract"})
def _adam_entry(p, g, m, v, sign, decay, l2, first, keep, second, root, eps, rate):  # type: ignore[no-untyped-def]
    """The new parameter and moments of one entry."""
    grad = sign * g + l2 * p
    mean = m + (grad - m) * first
    square = v * keep + grad * grad * second
    return p * decay - rate * mean / (np.sqrt(square) / root + eps), mean, square


@_jit(fastmath={"contract"})
def adam(start, stop, p, g, m, v, out, sign, decay, l2, first, keep, second, root, eps, rate):  # type: ignore[no-untyped-def]
    """One step of Adam: ``m`` and ``v`` in place, ``out = decay p - rate m / (sqrt(v) / root + eps)``, with ``sign g + l2 p`` as gradient."""
    p, g, m, v, out = p[start:stop], g[start:stop], m[start:stop], v[start:stop], out[start:stop]
    for i in range(p.size):
        out[i], m[i], v[i] = _adam_entry(p[i], g[i], m[i], v[i], sign, decay, l2, first, keep, second, root, eps, rate)


@_jit(fastmath={"contract"})
def adam_in_place(start, stop, p, g, m, v, sign, decay, l2, first, keep, second, root, eps, rate):  # type: ignore[no-untyped-def]
    """The same with the new parameters over the old ones: two names for one array would be taken for a dependence, and nothing be vectorised."""
    p, g, m, v = p[start:stop], g[start:stop], m[start:stop], v[start:stop]
    for i in range(p.size):
        p[i], m[i], v[i] = _adam_entry(p[i], g[i], m[i], v[i], sign, decay, l2, first, keep, second, root, eps, rate)
