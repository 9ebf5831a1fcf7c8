"""Pooling over one, two or three axes: PyTorch's signatures over the fused primitives, which know no fixed number of
axes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.dispatch import bare
from autodiff.fused.windows import per_axis
from autodiff.ops.common import drawn
from nn.functional.common import as_real, batched, for_axes, via_single
from nn.init import default_generator

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]


def _max(name: str, axes: int, adaptive: bool, input: Any, return_indices: bool, options: dict[str, Any]) -> Any:
    x, single = batched(name, input, axes)
    op = fused.adaptive_max_pool if adaptive else fused.max_pool
    if not return_indices:
        out = op.function(x, **options)
        return out[0] if single else out
    out, residuals = op.with_residuals(x, **options)
    where = Tensor(fused.maxima_of(residuals))
    return (out[0], where[0]) if single else (out, where)


def _mean(name: str, axes: int, op: Any, input: Any, options: dict[str, Any]) -> Tensor:
    x, single = batched(name, input, axes)
    out = via_single(op.function, x, **options)
    return out[0] if single else out  # type: ignore[no-any-return]


def _max_over(axes: int) -> Any:
    def max_poolNd(
        input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        """The largest element of every window; of equal ones the first takes the gradient.

        Parameters
        ----------
        input : (N, C, <L>) or (C, <L>)
        kernel_size, padding, dilation : int or one per axis
        stride : int or one per axis, or None for ``kernel_size``
        ceil_mode : bool
            Round the number of windows up.
        return_indices : bool
            Also return where each maximum stands, in the flattened <x>.

        Returns
        -------
        Tensor, or (Tensor, Tensor of int64)

        Examples
        --------
        >>> max_poolNd(np.ones((2, 3, <8>)), 2).shape
        (2, 3, <4>)
        """
        options = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
        options |= {"dilation": dilation, "ceil_mode": ceil_mode}
        return _max(f"max_pool{axes}d", axes, False, input, return_indices, options)

    return for_axes(max_poolNd, axes)


def _mean_over(axes: int) -> Any:
    def avg_poolNd(
        input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
        ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Tensor:  # fmt: skip
        """The mean of every window.

        Parameters
        ----------
        input : (N, C, <L>) or (C, <L>)
        kernel_size, padding : int or one per axis
        stride : int or one per axis, or None for ``kernel_size``
        ceil_mode : bool
            Round the number of windows up.
        count_include_pad : bool
            Whether the zeros of the padding count in the divisor.
        divisor_override : int or None
            Divide every sum by this.

        Examples
        --------
        >>> avg_poolNd(np.ones((2, 3, <8>)), 2).shape
        (2, 3, <4>)
        """
        options = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        options |= {"count_include_pad": count_include_pad, "divisor_override": divisor_override}
        return _mean(f"avg_pool{axes}d", axes, fused.avg_pool, input, options)

    return for_axes(avg_poolNd, axes)


def _adaptive_mean_over(axes: int) -> Any:
    def adaptive_avg_poolNd(input: Any, output_size: Any) -> Tensor:
        """The mean of each of ``output_size`` windows that cover the input evenly.

        Parameters
        ----------
        input : (N, C, <L>) or (C, <L>)
        output_size : int, or one per axis; None for the input's own length

        Examples
        --------
        >>> adaptive_avg_poolNd(np.ones((2, 4, <8>)), 3).shape
        (2, 4, <3>)
        """
        name = f"adaptive_avg_pool{axes}d"
        return _mean(name, axes, fused.adaptive_avg_pool, input, {"output_size": output_size})

    return for_axes(adaptive_avg_poolNd, axes)


def _adaptive_max_over(axes: int) -> Any:
    def adaptive_max_poolNd(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        """The largest element of each of ``output_size`` windows that cover the input evenly.

        Parameters
        ----------
        input : (N, C, <L>) or (C, <L>)
        output_size : int, or one per axis; None for the input's own length
        return_indices : bool
            Also return where each maximum stands, as in :func:`max_poolNd`.

        Examples
        --------
        >>> adaptive_max_poolNd(np.ones((2, 4, <8>)), 3).shape
        (2, 4, <3>)
        """
        name = f"adaptive_max_pool{axes}d"
        return _max(name, axes, True, input, return_indices, {"output_size": output_size})

    return for_axes(adaptive_max_poolNd, axes)


max_pool1d, max_pool2d, max_pool3d = map(_max_over, (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = map(_mean_over, (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = map(_adaptive_mean_over, (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = map(_adaptive_max_over, (1, 2, 3))


# --- norms of windows


def _norm(name: str, axes: int, input: Any, p: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    """The sum of powers is the mean times the number of elements, as PyTorch computes it."""
    if not p > 0:
        raise ArgumentError(f"{name}: norm_type must be positive, got {p}")
    x = as_real(name, input)
    if p == math.inf:
        options = {"kernel_size": kernel_size, "stride": stride, "ceil_mode": ceil_mode}
        return _max(name, axes, False, np.abs(x), False, options)  # type: ignore[no-any-return]
    options = {"kernel_size": kernel_size, "stride": stride, "padding": 0, "ceil_mode": ceil_mode}
    count = math.prod(per_axis(name, "kernel_size", kernel_size, axes, 1))
    sums = _mean(name, axes, fused.avg_pool, x**p, {**options, "count_include_pad": True}) * count
    if p == 1:
        return sums
    # The norm of zeros has gradient 0, as numpy.linalg.norm has here; a root's own would be infinite.
    nothing = sums._array == 0
    return np.where(nothing, 0.0, np.where(nothing, 1.0, sums) ** (1 / p))  # type: ignore[return-value]


def _norm_over(axes: int) -> Any:
    def lp_poolNd(
        input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> Tensor:
        """``(sum of x^p)^(1/p)`` over every window; gradient 0 where all is 0.

        Parameters
        ----------
        input : (N, C, <L>) or (C, <L>)
        norm_type : float
            p. Powers are of x, not of its absolute value, as in PyTorch; infinity takes the largest absolute value.
        kernel_size : int or one per axis
        stride : int or one per axis, or None for ``kernel_size``
        ceil_mode : bool
            Round the number of windows up.

        Examples
        --------
        >>> lp_poolNd(np.full((2, 3, <4>), 3.0), 2, 2).shape
        (2, 3, <2>)
        """
        return _norm(f"lp_pool{axes}d", axes, input, norm_type, kernel_size, stride, ceil_mode)

    return for_axes(lp_poolNd, axes)


lp_pool1d, lp_pool2d, lp_pool3d = map(_norm_over, (1, 2, 3))


# --- back to where the maxima stood


def _unpool(
    name: str, axes: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    x, single = batched(name, as_real(name, input), axes)
    where, _ = batched(name, indices, axes)
    where = bare(where)
    if where.shape != x.shape:
        raise ShapeError(f"{name}: indices of shape {where.shape} for an input of shape {x.shape}")
    if where.dtype.kind not in "iu":
        raise DTypeError(f"{name}: indices must be integers, got {where.dtype}")
    k, p = (per_axis(name, what, v, axes, 0) for what, v in (("kernel_size", kernel_size), ("padding", padding)))
    s = k if stride is None else per_axis(name, "stride", stride, axes, 1)
    sizes = tuple((n - 1) * s[i] - 2 * p[i] + k[i] for i, n in enumerate(x.shape[2:]))
    if output_size is not None:
        asked = tuple(output_size)[-axes:]
        if len(asked) != axes or any(
            abs(n - size) >= s[i] for i, (n, size) in enumerate(zip(asked, sizes, strict=True))
        ):
            raise ShapeError(f"{name}: output_size {tuple(output_size)}; it must be less than a stride from {sizes}")
        sizes = asked
    total = math.prod(sizes)
    if where.size and not 0 <= where.min() <= where.max() < total:
        raise ArgumentError(f"{name}: indices lie in [{where.min()}, {where.max()}]; the output has {total} places")
    rows = x.shape[0] * x.shape[1]
    places = where.reshape(rows, math.prod(where.shape[2:])) + total * np.arange(rows)[:, None]
    flat = Tensor(np.zeros(rows * total, x.dtype)).at[places.ravel()].set(x.reshape(-1))
    out = flat.reshape(*x.shape[:2], *sizes)
    return out[0] if single else out  # type: ignore[no-any-return]


def _unpool_over(axes: int) -> Any:
    def max_unpoolNd(
        input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
    ) -> Tensor:
        """Maxima back where they stood, zeros elsewhere: the inverse of :func:`max_poolNd` as far as there is one.

        Where windows overlapped and two maxima came from one place, the last one is written and takes the whole
        gradient; PyTorch gives it to both.

        Parameters
        ----------
        input : (N, C, <L>) or (C, <L>)
            The maxima.
        indices : int, of the input's shape
            What ``max_poolNd(..., return_indices=True)`` gave.
        kernel_size, stride, padding
            As there.
        output_size : sequence of int, optional
            The pooled input's shape; several lengths are pooled to one.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If shapes do not fit, or an index lies outside of the output.

        Examples
        --------
        >>> maxima, where = max_poolNd(np.ones((1, <2>)), 2, return_indices=True)
        >>> x = max_unpoolNd(maxima, where, 2)
        >>> x.shape, x.data.sum().item()
        ((1, <2>), 1.0)
        """
        return _unpool(f"max_unpool{axes}d", axes, input, indices, kernel_size, stride, padding, output_size)

    return for_axes(max_unpoolNd, axes)


max_unpool1d, max_unpool2d, max_unpool3d = map(_unpool_over, (1, 2, 3))


def _starts(samples: Any, length: int, window: int, count: int) -> Any:
    """Where the windows of an axis begin, (N, C, count): a sequence of short and long steps (Graham's equation 1)."""
    samples = samples[:, :, None]
    step = samples.dtype.type((length - window) / max(count - 1, 1))
    starts = ((np.arange(count) + samples) * step).astype(int) - (samples * step).astype(int)
    starts[:, :, -1] = length - window
    return starts


def _fractional(
    name: str,
    axes: int,
    input: Any,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    return_indices: bool,
    random_samples: Any,
    generator: np.random.Generator | None,
) -> Any:
    x, single = batched(name, input, axes)
    x = as_real(name, x)
    lengths: tuple[int, ...] = x.shape[2:]
    window = per_axis(name, "kernel_size", kernel_size, axes, 1)
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError(f"{name}: give one of output_size and output_ratio")
    if output_size is None:
        ratios = output_ratio if isinstance(output_ratio, list | tuple) else (output_ratio,) * axes
        if len(ratios) != axes or not all(0 < ratio < 1 for ratio in ratios):
            raise ArgumentError(f"{name}: output_ratio must be in (0, 1) for each axis, got {output_ratio!r}")
        output_size = [int(n * ratio) for n, ratio in zip(lengths, ratios, strict=True)]
    counts = per_axis(name, "output_size", output_size, axes, 1)
    if any(count + w - 1 > n for count, w, n in zip(counts, window, lengths, strict=True)):
        raise ArgumentError(f"{name}: windows {window} and output_size {counts} do not fit an input of shape {x.shape}")
    if random_samples is None:
        places = (*x.shape[:2], axes)
        samples = drawn(np.random.Generator.random, default_generator(generator), places).astype(x.dtype)
    else:
        samples = np.asarray(bare(random_samples))
        if samples.shape != (*x.shape[:2], axes):
            raise ShapeError(f"{name}: _random_samples of shape {samples.shape}; it needs {(*x.shape[:2], axes)}")
    # The places of every window in the flattened axes, (N, C, *counts, elements of a window). PyTorch's samples of a
    # plane are (W, H), those of a volume (D, H, W).
    order = range(axes)[::-1] if axes == 2 else range(axes)
    where: Any = np.zeros((1,) * (2 + 2 * axes), int)
    for axis, sample in enumerate(order):
        begin = _starts(samples[..., sample], lengths[axis], window[axis], counts[axis])
        along = begin[..., None] + np.arange(window[axis])
        shape = [*x.shape[:2], *(1,) * (2 * axes)]
        shape[2 + axis], shape[2 + axes + axis] = along.shape[2:]
        where = where * lengths[axis] + along.reshape(shape)
    where = where.reshape(*x.shape[:2], math.prod(counts), math.prod(window))
    flat: Any = x.reshape(*x.shape[:2], math.prod(lengths))
    values = np.take_along_axis(flat._array[:, :, None], where, axis=3)
    best = np.take_along_axis(where, values.argmax(axis=3)[..., None], axis=3)[..., 0]
    out: Any = np.take_along_axis(flat, best, axis=2).reshape(*x.shape[:2], *counts)
    best = best.reshape(out.shape)
    out, best = (out[0], best[0]) if single else (out, best)
    return (out, Tensor(best)) if return_indices else out


def _fractional_over(axes: int) -> Any:
    def fractional_max_poolNd(
        input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
        _random_samples: Any = None, generator: np.random.Generator | None = None,
    ) -> Any:  # fmt: skip
        """The largest element of windows that lie at random, overlapping places (Graham 2014, arXiv 1412.6071).

        Parameters
        ----------
        input : (N, C, <L>) or (C, <L>)
        kernel_size : int or one per axis
        output_size : int or one per axis
            How many windows; or
        output_ratio : float or one per axis
            This share of the input's length, in (0, 1).
        return_indices : bool
            Also return where each maximum stands, in the flattened <x>.
        _random_samples : (N, C, number of axes), optional
            Numbers in [0, 1) that place the windows, as PyTorch's: of W and H, or of D, H and W.
        generator : numpy.random.Generator, optional
            Draws them; default the one of ``nn.init.manual_seed``.

        Raises
        ------
        ArgumentError, ShapeError
            If not one of ``output_size`` and ``output_ratio`` is given, or the windows do not fit.

        Examples
        --------
        >>> fractional_max_poolNd(np.ones((1, <5>)), 2, output_ratio=0.5).shape
        (1, <2>)
        """
        name, drawn = f"fractional_max_pool{axes}d", _random_samples
        return _fractional(name, axes, input, kernel_size, output_size, output_ratio, return_indices, drawn, generator)

    return for_axes(fractional_max_poolNd, axes)


fractional_max_pool2d, fractional_max_pool3d = map(_fractional_over, (2, 3))
