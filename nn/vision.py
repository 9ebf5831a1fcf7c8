"""Layers of pictures: resizing, rearranging pixels, windows as columns."""

from __future__ import annotations

from typing import Any

from nn import functional as F
from nn.table import FunctionLayer

__all__ = [
    "ChannelShuffle",
    "Fold",
    "PixelShuffle",
    "PixelUnshuffle",
    "Unfold",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
]


def _upsampled(
    input: Any, size: Any, scale_factor: Any, mode: str, align_corners: bool | None, recompute: bool | None
) -> Any:
    return F.interpolate(input, size, scale_factor, mode, align_corners, recompute)


class Upsample(FunctionLayer):
    """An input in another size: :func:`nn.functional.interpolate`."""

    _function = staticmethod(_upsampled)
    size: Any = None
    scale_factor: Any = None
    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None


class UpsamplingNearest2d(FunctionLayer):
    """A picture in another size, every pixel that of the nearest one."""

    _function = staticmethod(F.interpolate)
    size: Any = None
    scale_factor: Any = None


class UpsamplingBilinear2d(FunctionLayer):
    """A picture in another size, bilinear, its corners kept."""

    _function = staticmethod(lambda input, size, factor: F.interpolate(input, size, factor, "bilinear", True))
    size: Any = None
    scale_factor: Any = None


class PixelShuffle(FunctionLayer):
    """Channels become pixels: :func:`nn.functional.pixel_shuffle`."""

    _function = staticmethod(F.pixel_shuffle)
    upscale_factor: int


class PixelUnshuffle(FunctionLayer):
    """Pixels become channels: :func:`nn.functional.pixel_unshuffle`."""

    _function = staticmethod(F.pixel_unshuffle)
    downscale_factor: int


class ChannelShuffle(FunctionLayer):
    """The channels of several groups, interleaved: :func:`nn.functional.channel_shuffle`."""

    _function = staticmethod(F.channel_shuffle)
    groups: int


class Unfold(FunctionLayer):
    """Every window of a picture as a column: :func:`nn.functional.unfold`."""

    _function = staticmethod(F.unfold)
    kernel_size: Any
    dilation: Any = 1
    padding: Any = 0
    stride: Any = 1


class Fold(FunctionLayer):
    """Columns back as windows of a picture, added up: :func:`nn.functional.fold`."""

    _function = staticmethod(F.fold)
    output_size: Any
    kernel_size: Any
    dilation: Any = 1
    padding: Any = 0
    stride: Any = 1
