"""The kernels themselves, for numba: plain loops, one pass over memory where NumPy makes several. Imported when the
first one is wanted.

Every function takes its share of the rows (or columns) first, releases the interpreter lock, and writes to nothing but
its share and its own partial sums. Numbers come in as scalars of the arrays' dtype, since a Python float would turn
float32 arithmetic into float64. Sums may be reassociated (``fastmath``), which is what lets the compiler keep several
at once, in the vector registers; NaN and infinity stay what they are.
"""

from __future__ import annotations

import numpy as np

from autodiff.kernels.jit import jit
from autodiff.kernels.threads import kernel


@jit(fastmath={"contract"})
def _exp(x):  # type: ignore[no-untyped-def]
    """``e^x`` for float32 x in [-87, 88], of additions and multiplications that vectorise: at most 1.3 units in the
    last place off.

    ``x = n log 2 + r`` with whole n; adding 1.5 * 2^23 + 127 leaves ``n + 127`` in the low bits of the sum, which
    shifted by 23 are the bits of ``2^n``. log 2 is subtracted in two parts, the first exact in float32. The polynomial
    in r is Cephes' expf (Moshier 1989). No term may be reassociated, or the rounding of n would be cancelled.
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


# --- sums -------------------------------------------------------------------------------------------------------------

# A running sum of n numbers loses up to n units in the last place. So at most so many numbers are added up in the
# arrays' dtype, and such sums in float64: the error is that of a pairwise sum, of a block and of the blocks.
_BLOCK = 512
_ROWS = 64


@jit(inline=True)
def _block_sum(row, zero):  # type: ignore[no-untyped-def]
    total = zero
    for i in range(row.size):
        total += row[i]
    return total


@jit(inline=True)
def _sum(row, zero):  # type: ignore[no-untyped-def]
    """The sum of a row, as float64; ``zero`` of the row's dtype."""
    total = 0.0
    if row.size <= _BLOCK:  # without slices, which a short row would feel
        return total + _block_sum(row, zero)
    for start in range(0, row.size, _BLOCK):
        total += _block_sum(row[start : start + _BLOCK], zero)
    return total


@jit(inline=True)
def _block_deviations(row, mu, zero):  # type: ignore[no-untyped-def]
    first, second = zero, zero
    for i in range(row.size):
        d = row[i] - mu
        first += d
        second += d * d
    return first, second


@jit(inline=True)
def _deviations(row, mu, zero):  # type: ignore[no-untyped-def]
    """The sums of ``d`` and of ``d^2``, ``d = x - mu``, as float64."""
    first, second = 0.0, 0.0
    if row.size <= _BLOCK:
        part, square = _block_deviations(row, mu, zero)
        return first + part, second + square
    for start in range(0, row.size, _BLOCK):
        part, square = _block_deviations(row[start : start + _BLOCK], mu, zero)
        first += part
        second += square
    return first, second


@jit(inline=True)
def _block_products(up, row, mu, zero):  # type: ignore[no-untyped-def]
    first, second = zero, zero
    for i in range(row.size):
        first += up[i]
        second += up[i] * (row[i] - mu)
    return first, second


@jit(inline=True)
def _products(up, row, mu, zero):  # type: ignore[no-untyped-def]
    """The sums of ``g`` and of ``g (x - mu)``, as float64."""
    first, second = 0.0, 0.0
    for start in range(0, row.size, _BLOCK):
        part, along = _block_products(up[start : start + _BLOCK], row[start : start + _BLOCK], mu, zero)
        first += part
        second += along
    return first, second


@jit(inline=True)
def _block_weighted(up, weight, row, mu, zero):  # type: ignore[no-untyped-def]
    first, second = zero, zero
    for i in range(row.size):
        h = up[i] * weight[i]
        first += h
        second += h * (row[i] - mu)
    return first, second


@jit(inline=True)
def _weighted(up, weight, row, mu, zero):  # type: ignore[no-untyped-def]
    """The sums of ``h = g w`` and of ``h (x - mu)``, as float64."""
    first, second = 0.0, 0.0
    if row.size <= _BLOCK:
        part, along = _block_weighted(up, weight, row, mu, zero)
        return first + part, second + along
    for start in range(0, row.size, _BLOCK):
        stop = start + _BLOCK
        part, along = _block_weighted(up[start:stop], weight[start:stop], row[start:stop], mu, zero)
        first += part
        second += along
    return first, second


@jit(inline=True)
def _variance(first, second, share):  # type: ignore[no-untyped-def]
    """From the sums of deviations from about the mean, and ``1 / n``: the variance, with the mean's error taken out.

    The corrected two-pass algorithm: Chan, Golub and LeVeque 1983. NaN stays.
    """
    found = (second - first * (first * share)) * share
    return 0.0 if found < 0.0 else found


# --- layer normalisation ----------------------------------------------------------------------------------------------


@kernel
def layer_norm_forward(start, stop, x, weight, bias, out, mean, scale, inverse, eps):  # type: ignore[no-untyped-def]
    """Rows of x (R, n): their mean and ``1 / sqrt(variance + eps)`` (R,), and ``out = (x - mean) scale weight +
    bias``.
    """
    n = x.shape[1]
    zero, part = inverse - inverse, 1.0 / x.shape[1]
    for r in range(start, stop):
        row, to = x[r], out[r]
        mean[r] = _sum(row, zero) * part
        first, second = _deviations(row, mean[r], zero)
        mean[r] += first * part
        scale[r] = 1.0 / np.sqrt(x.dtype.type(_variance(first, second, part)) + eps)
        mu, s = mean[r], scale[r]
        for i in range(n):
            to[i] = (row[i] - mu) * s * weight[i] + bias[i]


@kernel
def layer_norm_backward(start, stop, g, x, weight, mean, scale, dx, inverse, share, dweights, dbiases):  # type: ignore[no-untyped-def]
    """``dx = s (w g - mean(w g) - xhat mean(w g xhat))`` (R, n), and the sums ``dw = sum(g xhat)``, ``db = sum(g)`` of
    every share of so many rows (shares, n).
    """
    n = x.shape[1]
    dweight, dbias = dweights[start // share], dbiases[start // share]
    some, more = np.zeros_like(dweight), np.zeros_like(dbias)
    zero, part = inverse - inverse, 1.0 / n
    for r in range(start, stop):
        row, up, to = x[r], g[r], dx[r]
        mu, s = mean[r], scale[r]
        first, second = _weighted(up, weight, row, mu, zero)
        plain, along = x.dtype.type(first * part), x.dtype.type(second * part) * s * s
        for i in range(n):
            to[i] = s * (up[i] * weight[i] - plain - (row[i] - mu) * along)
        for i in range(n):
            some[i] += up[i] * ((row[i] - mu) * s)
        for i in range(n):
            more[i] += up[i]
        if (r - start) % _ROWS == _ROWS - 1 or r == stop - 1:
            for i in range(n):
                dweight[i] += some[i]
                dbias[i] += more[i]
            some[:] = 0
            more[:] = 0


# --- batch normalisation ----------------------------------------------------------------------------------------------


# Columns are looped over from 0 in slices of their own, since the compiler vectorises no loop whose index it cannot
# prove to be positive; so many at a time that a slice of x stays in cache from one pass to the next, but not so few
# that starting the loops costs more than running them. Nor are they cut into more shares than there are threads: half
# as many columns at a time take a seventh longer.


@jit
def _strip(m):  # type: ignore[no-untyped-def]
    """How many columns of m rows to normalise at a time."""
    return max(256, min(1024, 262144 // max(m, 1)))


@kernel(cuts=1)
def batch_norm_columns_forward(start, stop, x, weight, bias, out, mean, variance, scale, inverse, eps):  # type: ignore[no-untyped-def]
    """Columns of x (m, C): mean, biased variance, ``1 / sqrt(variance + eps)`` (C,), and the normalised, scaled and
    shifted columns.
    """
    m = x.shape[0]
    strip = _strip(m)
    for first in range(start, stop, strip):
        last = min(first + strip, stop)
        mu, var, s, w, b = (
            mean[first:last],
            variance[first:last],
            scale[first:last],
            weight[first:last],
            bias[first:last],
        )
        width = mu.size
        some, more = np.zeros_like(mu), np.zeros_like(mu)
        total, square = np.zeros(width), np.zeros(width)
        for r in range(m):
            row = x[r, first:last]
            for c in range(width):
                some[c] += row[c]
            if r % _ROWS == _ROWS - 1 or r == m - 1:
                for c in range(width):
                    total[c] += some[c]
                some[:] = 0
        for c in range(width):
            mu[c] = total[c] / m
        total[:] = 0
        for r in range(m):
            row = x[r, first:last]
            for c in range(width):
                d = row[c] - mu[c]
                some[c] += d
                more[c] += d * d
            if r % _ROWS == _ROWS - 1 or r == m - 1:
                for c in range(width):
                    total[c] += some[c]
                    square[c] += more[c]
                some[:] = 0
                more[:] = 0
        for c in range(width):
            if np.isfinite(mu[c]):
                mu[c] += total[c] / m
            var[c] = _variance(total[c], square[c], 1.0 / m)
            s[c] = 1.0 / np.sqrt(var[c] + eps)
        for r in range(m):
            row, to = x[r, first:last], out[r, first:last]
            for c in range(width):
                to[c] = (row[c] - mu[c]) * (s[c] * w[c]) + b[c]


@kernel(cuts=1)
def batch_norm_columns_backward(start, stop, g, x, weight, mean, scale, dx, dweight, dbias, inverse):  # type: ignore[no-untyped-def]
    """``dx = w s (g - mean(g) - xhat mean(g xhat))`` (m, C), ``dw = sum(g xhat)``, ``db = sum(g)`` (C,)."""
    m = x.shape[0]
    strip = _strip(m)
    for first in range(start, stop, strip):
        last = min(first + strip, stop)
        mu, s, w, dw, db = (
            mean[first:last],
            scale[first:last],
            weight[first:last],
            dweight[first:last],
            dbias[first:last],
        )
        width = mu.size
        some, more = np.zeros_like(mu), np.zeros_like(mu)
        total, moment = np.zeros(width), np.zeros(width)
        for r in range(m):
            row, up = x[r, first:last], g[r, first:last]
            for c in range(width):
                some[c] += up[c]
            for c in range(width):
                more[c] += up[c] * (row[c] - mu[c])
            if r % _ROWS == _ROWS - 1 or r == m - 1:
                for c in range(width):
                    total[c] += some[c]
                    moment[c] += more[c]
                some[:] = 0
                more[:] = 0
        for c in range(width):
            db[c] = total[c]
            dw[c] = moment[c]
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


@kernel
def batch_norm_planes_forward(start, stop, x, weight, bias, out, mean, variance, scale, inverse, eps):  # type: ignore[no-untyped-def]
    """Channels of x (N, C, L), each over N and L: as :func:`batch_norm_columns_forward`."""
    n, length = x.shape[0], x.shape[2]
    zero, count = inverse - inverse, x.shape[0] * x.shape[2]
    for c in range(start, stop):
        total = 0.0
        for i in range(n):
            total += _sum(x[i, c], zero)
        mean[c] = total / count
        first, second = 0.0, 0.0
        for i in range(n):
            part, square = _deviations(x[i, c], mean[c], zero)
            first += part
            second += square
        if np.isfinite(mean[c]):
            mean[c] += first / count
        mu = mean[c]
        variance[c] = _variance(first, second, 1.0 / count)
        scale[c] = 1.0 / np.sqrt(variance[c] + eps)
        factor, shift = scale[c] * weight[c], bias[c]
        for i in range(n):
            plane, to = x[i, c], out[i, c]
            for j in range(length):
                to[j] = (plane[j] - mu) * factor + shift


@kernel
def batch_norm_planes_backward(start, stop, g, x, weight, mean, scale, dx, dweight, dbias, inverse):  # type: ignore[no-untyped-def]
    """As :func:`batch_norm_columns_backward` for x (N, C, L)."""
    n, length = x.shape[0], x.shape[2]
    zero = inverse - inverse
    for c in range(start, stop):
        mu, s = mean[c], scale[c]
        first, second = 0.0, 0.0
        for i in range(n):
            part, moment = _products(g[i, c], x[i, c], mu, zero)
            first += part
            second += moment
        plain, along = x.dtype.type(first), x.dtype.type(second)
        dbias[c] = plain
        dweight[c] = along * s
        factor = weight[c] * s
        plain *= inverse
        along *= inverse * s * s
        for i in range(n):
            plane, up, to = x[i, c], g[i, c], dx[i, c]
            for j in range(length):
                to[j] = factor * (up[j] - plain - (plane[j] - mu) * along)


# --- softmax cross-entropy --------------------------------------------------------------------------------------------


@jit
def _largest(row):  # type: ignore[no-untyped-def]
    """The largest of float32 numbers; with a NaN among them it may be any of them.

    As integers, whose maximum the compiler vectorises as it does not for floats (36 us instead of 324 for 256x1000):
    read as integers, floats are in order but for the negative ones, whose order is reversed by flipping all bits but
    the sign's.
    """
    bits = row.view(np.int32)
    most = np.int32(-(2**31))
    for i in range(bits.size):
        b = bits[i] ^ np.int32((bits[i] >> np.int32(31)) & np.int32(0x7FFFFFFF))
        most = b if b > most else most
    return np.int32(most ^ np.int32((most >> np.int32(31)) & np.int32(0x7FFFFFFF))).view(np.float32)


@kernel
def cross_entropy_forward(start, stop, x, target, most, total, losses):  # type: ignore[no-untyped-def]
    """Rows of scores x (R, C), float32: their largest, the sums of ``exp(x - largest)``, and the losses ``log(sum) -
    (x[target] - largest)`` (R,).
    """
    classes = x.shape[1]
    for r in range(start, stop):
        row = x[r]
        # A NaN makes the row's sum and so its loss NaN, whatever stands for the largest.
        top = _largest(row)
        every = 0.0
        for begin in range(0, classes, _BLOCK):
            piece, s = row[begin : begin + _BLOCK], np.float32(0)
            for i in range(piece.size):
                d = piece[i] - top
                # exp(-87) is the last that float32 holds in full; below it nothing is left beside the row's largest, 1.
                # NaN stays.
                s += np.float32(0) if d < np.float32(-87) else _exp(d)
            every += float(s)
        most[r] = top
        total[r] = every
        losses[r] = np.log(total[r]) - (row[target[r]] - top)


@kernel
def cross_entropy_backward(start, stop, x, target, most, total, each, dx):  # type: ignore[no-untyped-def]
    """``dx = (exp(x - largest) / total - onehot) each`` (R, C). Taking the exponentials again is cheaper than keeping
    them in memory.
    """
    classes = x.shape[1]
    for r in range(start, stop):
        row, to = x[r], dx[r]
        top, factor = most[r], each[r] / total[r]
        for i in range(classes):
            d = row[i] - top
            to[i] = (np.float32(0) if d < np.float32(-87) else _exp(d)) * factor
        # A row sums to 0. The target's entry is what the others leave: p - 1 would be 0 where p rounds to 1.
        to[target[r]] = 0
        to[target[r]] = -_sum(to, np.float32(0))


# --- GELU -------------------------------------------------------------------------------------------------------------


@jit(fastmath={"contract"})
def _near(v):  # type: ignore[no-untyped-def]
    """float32 v cut off at 100, beyond which tanh is 1 and the cube of v would overflow. NaN stays."""
    v = np.float32(-100.0) if v < np.float32(-100.0) else v
    return np.float32(100.0) if v > np.float32(100.0) else v


@kernel(fastmath={"contract"})
def gelu_forward(start, stop, x, out, slope):  # type: ignore[no-untyped-def]
    """``out = x Phi(x)`` and its derivative ``Phi(x) + x p(x)``, float32.

    ``Phi(-z) = erfc(z / sqrt 2) / 2`` and ``erfc(z) = t P(t) exp(-z^2)`` with ``t = 1 / (1 + z / 2)``, in the manner of
    Press et al., Numerical Recipes, section 6.2, whose exponential is taken of a polynomial more: so the density shares
    the one exponential. P is a fit for least relative error on 0 < t <= 1, 1.1e-8 and 1.2e-7 in float32: the left tail
    keeps its digits, up to those that rounding the exponent costs (5e-6 at z = 12, where Phi leaves float32).
    """
    x, out, slope = x[start:stop], out[start:stop], slope[start:stop]
    one, half, lowest = np.float32(1.0), np.float32(0.5), np.float32(-87.0)
    for i in range(x.size):
        v = x[i]
        z = abs(v) * np.float32(0.70710678)
        t = one / (one + half * z)
        p = np.float32(0.0423560441)
        p = np.float32(-0.23087354) + t * p
        p = np.float32(0.486209661) + t * p
        p = np.float32(-0.44701013) + t * p
        p = np.float32(0.127110198) + t * p
        p = np.float32(-0.0572405085) + t * p
        p = np.float32(0.093002446) + t * p
        p = np.float32(0.175376579) + t * p
        p = np.float32(0.246880606) + t * p
        p = np.float32(0.282093853) + t * p
        p = np.float32(0.282094806) + t * p
        b = -(z * z)
        e = np.float32(0.0) if b < lowest else _exp(b)
        tail = half * t * p * e
        density = np.float32(0.39894228) * e
        cdf = tail if v < np.float32(0.0) else one - tail
        # v may be infinite where cdf or density is 0
        out[i] = (np.float32(-100.0) if v < np.float32(-100.0) else v) * cdf
        slope[i] = cdf + _near(v) * density


@jit(fastmath={"contract"})
def _gelu_tanh_slope(v):  # type: ignore[no-untyped-def]
    """``sigmoid(2 u)`` with ``u = sqrt(2 / pi) (v + 0.044715 v^3)`` for float32 v in [-100, 100], or NaN. ``(1 + tanh
    u) / 2`` is the same, but loses the digits of the left tail."""
    a = v * (np.float32(-1.5957691216) + np.float32(-0.07135481283) * (v * v))
    # Where the exponential would leave float32, the sigmoid is 0.
    return (
        np.float32(0.0)
        if a > np.float32(88.0)
        else np.float32(1.0) / (np.float32(1.0) + _exp(np.float32(-87.0) if a < np.float32(-87.0) else a))
    )


@kernel(fastmath={"contract"})
def gelu_tanh_forward(start, stop, x, out):  # type: ignore[no-untyped-def]
    """``out = x sigmoid(2 u)``, float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(x.size):
        out[i] = x[i] * _gelu_tanh_slope(_near(x[i]))


@kernel(fastmath={"contract"})
def gelu_tanh_backward(start, stop, g, x, dx):  # type: ignore[no-untyped-def]
    """``dx = g (s + 2 s (1 - s) x u')`` with ``s = sigmoid(2 u)``, ``u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2)``,
    float32.
    """
    g, x, dx = g[start:stop], x[start:stop], dx[start:stop]
    for i in range(x.size):
        v = _near(x[i])
        s = _gelu_tanh_slope(v)
        dx[i] = g[i] * (
            s + s * (np.float32(1.0) - s) * (v * (np.float32(1.5957691216) + np.float32(0.2140644385) * (v * v)))
        )


# --- masks ------------------------------------------------------------------------------------------------------------


@kernel
def dropout(start, stop, x, mask, scale, out):  # type: ignore[no-untyped-def]
    """``out = x mask scale``; the mask holds 0 and 1."""
    x, mask, out = x[start:stop], mask[start:stop], out[start:stop]
    for i in range(x.size):
        out[i] = x[i] * (scale if mask[i] else scale - scale)


@kernel
def masked(start, stop, g, mask, out):  # type: ignore[no-untyped-def]
    """``g`` where the mask holds, exactly 0 elsewhere, whatever stands in ``g`` there; all as unsigned integers."""
    g, mask, out = g[start:stop], mask[start:stop], out[start:stop]
    for i in range(g.size):
        out[i] = g[i] if mask[i] else g[i] ^ g[i]


# --- max pooling ------------------------------------------------------------------------------------------------------


# A later element wins over the largest so far unless it is at most as large. A NaN is never that, and once it has won,
# nothing wins over it.


@kernel(fastmath={"contract"})
def max_pool_halving_forward(start, stop, x, out, first):  # type: ignore[no-untyped-def]
    """Planes of x (P, 2 H, 2 W): maxima of 2x2 windows that tile them (P, H, W), and which place in the window it
    was.
    """
    for p in range(start, stop):
        for i in range(out.shape[1]):
            upper, lower, to, at = x[p, 2 * i], x[p, 2 * i + 1], out[p, i], first[p, i]
            for j in range(to.size):
                a, b, c, d = upper[2 * j], upper[2 * j + 1], lower[2 * j], lower[2 * j + 1]
                second = (not (b <= a)) & (a == a)
                top = b if second else a
                fourth = (not (d <= c)) & (c == c)
                bottom = d if fourth else c
                below = (not (bottom <= top)) & (top == top)
                to[j] = bottom if below else top
                at[j] = np.uint8(np.uint8(2) + np.uint8(fourth)) if below else np.uint8(second)


@kernel
def max_pool_halving_backward(start, stop, g, first, dx):  # type: ignore[no-untyped-def]
    """The gradient of :func:`max_pool_halving_forward` for float32: g (P, H, W) as integers of 32 bits, dx (P, H, 2, W)
    as integers of 64.

    Two neighbours are written as one integer, one half of which is zero: 370 us instead of 1,970 for 32x32x32x32.
    """
    for p in range(start, stop):
        for i in range(g.shape[1]):
            up, at, upper, lower = g[p, i], first[p, i], dx[p, i, 0], dx[p, i, 1]
            for j in range(up.size):
                place = np.uint64(at[j])
                pair = np.uint64(up[j]) << ((place & np.uint64(1)) << np.uint64(5))
                below = np.uint64(0) - (place >> np.uint64(1))
                upper[j] = pair & ~below
                lower[j] = pair & below


@kernel(fastmath={"contract"})
def max_pool_forward(start, stop, x, out, first, kernel, stride, padding, dilation, lowest):  # type: ignore[no-untyped-def]
    """Planes of x (P, H, W): maxima of windows (P, OH, OW), and which place in the window it was; padding holds
    ``lowest``.
    """
    height, width = x.shape[1:]
    rows, columns = out.shape[1:]
    step = stride[1]
    for p in range(start, stop):
        for i in range(rows):
            out[p, i] = lowest
            first[p, i] = 0
            for a in range(kernel[0]):
                y = i * stride[0] - padding[0] + a * dilation[0]
                if y < 0 or y >= height:
                    continue
                for b in range(kernel[1]):
                    # Window j meets column j step + offset, which must not be padding.
                    offset = b * dilation[1] - padding[1]
                    begin = max(0, (step - 1 - offset) // step)
                    end = min(columns, (width - 1 - offset) // step + 1)
                    if begin >= end:
                        continue
                    row, to, at = x[p, y, begin * step + offset :], out[p, i, begin:end], first[p, i, begin:end]
                    place = np.uint8(a * kernel[1] + b)
                    if step == 1:
                        for j in range(to.size):
                            better = (not (row[j] <= to[j])) & (to[j] == to[j])
                            to[j] = row[j] if better else to[j]
                            at[j] = place if better else at[j]
                    else:
                        for j in range(to.size):
                            here = row[j * step]
                            better = (not (here <= to[j])) & (to[j] == to[j])
                            to[j] = here if better else to[j]
                            at[j] = place if better else at[j]


@kernel
def max_pool_backward(start, stop, g, first, dx, kernel, stride, padding, dilation):  # type: ignore[no-untyped-def]
    """The gradient of :func:`max_pool_forward`: every g (P, OH, OW) added where its maximum stood, dx (P, H, W).
    Padding takes none.
    """
    height, width = dx.shape[1:]
    down, along = np.empty(256, np.int64), np.empty(256, np.int64)
    for place in range(kernel[0] * kernel[1]):
        down[place] = place // kernel[1] * dilation[0] - padding[0]
        along[place] = place % kernel[1] * dilation[1] - padding[1]
    for p in range(start, stop):
        dx[p] = 0
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                place = first[p, i, j]
                y, z = i * stride[0] + down[place], j * stride[1] + along[place]
                if 0 <= y < height and 0 <= z < width:
                    dx[p, y, z] += g[p, i, j]


# --- one time of an LSTM, to the same bits as NumPy: without contraction ----------------------------------------------


@kernel(fastmath=set())
def lstm_enter(start, stop, gates, share, acts):  # type: ignore[no-untyped-def]
    """What tanh is taken of, (N, 4 H): both shares of the gates, halved but for the third, which meets no s."""
    half, h = gates.dtype.type(0.5), gates.shape[1] // 4
    for n in range(start, stop):
        a, b, to = gates[n], share[n], acts[n]
        for j in range(2 * h):
            to[j] = (a[j] + b[j]) * half
        for j in range(2 * h, 3 * h):
            to[j] = a[j] + b[j]
        for j in range(3 * h, 4 * h):
            to[j] = (a[j] + b[j]) * half


@kernel(fastmath=set())
def lstm_advance(start, stop, acts, cell, before):  # type: ignore[no-untyped-def]
    """The gates (N, 4 H) from their tanh, ``before`` (N, H) the cell, and the cell (N, H) from ``f c + i g``."""
    half, h = acts.dtype.type(0.5), cell.shape[1]
    for n in range(start, stop):
        i, f, g, o = acts[n, :h], acts[n, h : 2 * h], acts[n, 2 * h : 3 * h], acts[n, 3 * h :]
        c, kept = cell[n], before[n]
        for j in range(h):
            i[j] = i[j] * half + half
            f[j] = f[j] * half + half
            o[j] = o[j] * half + half
            kept[j] = c[j]
            c[j] = c[j] * f[j] + i[j] * g[j]


@kernel(fastmath=set())
def lstm_return(start, stop, later, here, acts, before, u, d, gates):  # type: ignore[no-untyped-def]
    """The gradients of the gates (N, 4 H), and in place ``d`` (N, H) of the cell before; ``later`` and ``here`` (N, H)
    are what has come to the state from later times and as its cotangent.
    """
    one, h = acts.dtype.type(1), d.shape[1]
    for n in range(start, stop):
        i, f, g, o = acts[n, :h], acts[n, h : 2 * h], acts[n, 2 * h : 3 * h], acts[n, 3 * h :]
        di, df, dg, do = gates[n, :h], gates[n, h : 2 * h], gates[n, 2 * h : 3 * h], gates[n, 3 * h :]
        back, own, c, squashed, dc = later[n], here[n], before[n], u[n], d[n]
        for j in range(h):
            dm = back[j] + own[j]
            whole = dc[j] + dm * ((one - squashed[j] * squashed[j]) * o[j])
            di[j] = (one - i[j]) * i[j] * g[j] * whole
            df[j] = (one - f[j]) * f[j] * c[j] * whole
            dg[j] = (one - g[j] * g[j]) * i[j] * whole
            do[j] = (one - o[j]) * o[j] * squashed[j] * dm
            dc[j] = whole * f[j]


# --- rows of a table --------------------------------------------------------------------------------------------------


@kernel
def add_by_row(start, stop, places, g, sums):  # type: ignore[no-untyped-def]
    """Row n of g (N, D) added to row ``places[n]`` of the sums (V, D), one after the other: columns ``start`` to
    ``stop``.
    """
    sums[:, start:stop] = 0
    for n in range(places.size):
        to, row = sums[places[n], start:stop], g[n, start:stop]
        for j in range(to.size):
            to[j] += row[j]


# --- Adam -------------------------------------------------------------------------------------------------------------


@jit(fastmath={"contract"})
def _adam_entry(p, g, m, v, sign, decay, l2, first, keep, second, eps, rate):  # type: ignore[no-untyped-def]
    """The new parameter and moments of one entry."""
    # Without decay an infinite parameter has no part in the gradient: 0 times infinity would be NaN.
    grad = sign * g + l2 * p if l2 != 0 else sign * g
    mean = m + (grad - m) * first
    square = v * keep + grad * grad * second
    return p * decay - rate * mean / (np.sqrt(square) + eps), mean, square


@kernel(fastmath={"contract"})
def adam(start, stop, p, g, m, v, numbers):  # type: ignore[no-untyped-def]
    """One step of Adam, in place: ``p = decay p - rate m / (sqrt(v) + eps)``, with ``sign g + l2 p`` as gradient.

    ``numbers`` are sign, decay, l2, 1 - beta1, beta2, 1 - beta2, eps and rate, the last two with the correction of v in
    them: one array, since every argument of its own costs the call time.
    """
    p, g, m, v = p[start:stop], g[start:stop], m[start:stop], v[start:stop]
    sign, decay, l2, first = numbers[0], numbers[1], numbers[2], numbers[3]
    keep, second, eps, rate = numbers[4], numbers[5], numbers[6], numbers[7]
    for i in range(p.size):
        p[i], m[i], v[i] = _adam_entry(p[i], g[i], m[i], v[i], sign, decay, l2, first, keep, second, eps, rate)
