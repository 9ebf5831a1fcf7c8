"""Where windows lie on a padded grid: the geometry that convolution and pooling share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from autodiff.core.errors import ArgumentError


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

    def places(self) -> Iterator[tuple[slice, ...]]:
        """For every place in the kernel the index of what it meets in an array (N, C, *padded): (N, C, *outputs)."""
        for place in product(*map(range, self.kernel)):
            lines = zip(place, self.dilation, self.outputs, self.stride, strict=True)
            yield (slice(None), slice(None), *(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in lines))


def per_axis(name: str, option: str, value: Any, axes: int, least: int) -> tuple[int, ...]:
    """An option given once or per axis, as one integer per axis."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    values = values * axes if len(values) == 1 else values
    if len(values) != axes or not all(
        isinstance(v, (int, np.integer)) and not isinstance(v, bool) and v >= least for v in values
    ):
        raise ArgumentError(
            f"{name}: {option} must be an integer of at least {least}, or {axes} of them, got {value!r}"
        )
    return tuple(int(v) for v in values)


def remembered(geometry: Callable[..., Geometry]) -> Callable[..., Geometry]:
    """Geometries that are looked up, of options that may be lists."""
    known = lru_cache(maxsize=512)(geometry)

    def found(*options: Any) -> Geometry:
        try:
            return known(*options)
        except TypeError:  # not hashable
            return known(*[tuple(option) if isinstance(option, list) else option for option in options])

    return found


def unfolded(padded: Any, geo: Geometry) -> Any:
    """Every window of a padded array or Tensor (N, C, *padded), in elementary operations: (N, C, *outputs, *kernel).

    One slice for each place of the kernel: what lies between the places of a dilated one is never touched.
    """
    parts = [padded[where] for where in geo.places()]
    return np.reshape(np.stack(parts, axis=-1), (*padded.shape[:2], *geo.outputs, *geo.kernel))
