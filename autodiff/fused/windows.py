"""Where windows lie on a padded grid: the geometry that convolution and pooling share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from autodiff.core.errors import ArgumentError

__all__ = ["Geometry", "hashable", "per_axis", "unfolded"]


class Geometry(NamedTuple):
    """Where every window lies; one entry per spatial axis but for ``groups``."""

    inputs: tuple[int, ...]
    kernel: tuple[int, ...]
    outputs: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def padded(self) -> tuple[int, ...]:
        """Lengths of the input with its padding."""
        return tuple(b + n + a for b, n, a in zip(self.before, self.inputs, self.after, strict=True))

    @property
    def halves(self) -> bool:
        """Whether 2x2 windows tile the input: what almost every pooling does."""
        return (
            self.kernel == self.stride == (2, 2)
            and self.dilation == (1, 1)
            and self.inputs == tuple(2 * m for m in self.outputs)
        )

    def inside(self) -> tuple[slice, ...]:
        """The index that cuts the padding off an array (N, C, *padded)."""
        return (slice(None), slice(None), *(slice(b, b + n) for b, n in zip(self.before, self.inputs, strict=True)))

    def places(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """For every place in the kernel: the place, and the slices of the padded input that it meets, of the output's
        lengths.
        """
        for place in product(*map(range, self.kernel)):
            yield (
                place,
                tuple(
                    slice(k * d, k * d + (n - 1) * s + 1, s)
                    for k, d, n, s in zip(place, self.dilation, self.outputs, self.stride, strict=True)
                ),
            )


def per_axis(name: str, option: str, value: Any, axes: int, least: int) -> tuple[int, ...]:
    """An option given once or per axis, as one integer per axis."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    values = values * axes if len(values) == 1 else values
    if len(values) != axes or not all(isinstance(v, (int, np.integer)) and v >= least for v in values):
        raise ArgumentError(
            f"{name}: {option} must be an integer of at least {least}, or {axes} of them, got {value!r}"
        )
    return tuple(int(v) for v in values)


def hashable(option: Any) -> Any:
    """A list as a tuple, so that geometries can be looked up."""
    return tuple(option) if isinstance(option, list) else option


def unfolded(padded: Any, geo: Geometry) -> Any:
    """Every window of a padded array or Tensor (N, C, *padded), in elementary operations: (N, C, *outputs, *kernel).

    One slice for each place of the kernel: what lies between the places of a dilated one is never touched.
    """
    parts = []
    for places in np.ndindex(*geo.kernel):
        lines = zip(places, geo.dilation, geo.outputs, geo.stride, strict=True)
        index = [slice(i * d, i * d + (n - 1) * s + 1, s) for i, d, n, s in lines]
        parts.append(padded[(slice(None), slice(None), *index)])
    return np.reshape(np.stack(parts, axis=-1), (*padded.shape[:2], *geo.outputs, *geo.kernel))
