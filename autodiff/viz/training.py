"""Pictures of a training run: how activations and gradients are spread, layer by layer, and what a first layer looks
for. Needs matplotlib.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.arguments import refuse_unless_positive
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.core.modes import no_grad
from autodiff.core.pytree import flatten
from autodiff.files import save_figure
from autodiff.tables import figure as notebook_figure
from autodiff.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autodiff.signatures import ArrayLike

__all__ = ["activation_histograms", "gradient_histograms", "histograms", "weight_tiles"]

_BLUE, _VERMILLION = "#0072b2", "#d55e00"


def _panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure with so many panels in a grid, each of this size in inches."""
    rows = math.ceil(count / columns)
    figure = notebook_figure(figsize=(width * columns, height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.remove()
    return figure, panels[:count]


def histograms(
    arrays: Mapping[str, object], path: str | Path | None = None, *, bins: int = 50, title: str = ""
) -> Figure:
    """One histogram per array, in small panels with a common style.

    Complex numbers are shown by their absolute values. Each heading gives mean and standard deviation of the finite
    elements, and in red how many are NaN or infinite; for arrays with many exact zeros, as after a relu, it gives their
    share.

    Parameters
    ----------
    arrays : mapping of str to array_like or Tensor
    path : str or Path, optional
        Save the figure there; the suffix chooses the format.
    bins : int
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If there is nothing to show.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> figure = histograms({"x": np.arange(10.0), "y": np.zeros(5)})
    >>> len(figure.axes)
    2
    """
    if not isinstance(arrays, Mapping) or not arrays:
        raise ArgumentError("histograms: there are no arrays to show; it takes a dict of arrays by name")
    refuse_unless_positive("histograms: bins", bins)
    figure, panels = _panels(len(arrays), min(4, len(arrays)), 3.1, 2.3)
    for panel, (name, values) in zip(panels, arrays.items(), strict=True):
        flat = _numbers(values).ravel()
        good = flat[np.isfinite(flat)]
        bad = flat.size - good.size
        # Shares of the largest, whose sums and squares do not overflow.
        size = float(np.max(np.abs(good), initial=0.0)) or 1.0
        mean, spread = (size * float(f(good / size)) if good.size else 0.0 for f in (np.mean, np.std))
        if good.size:
            # Bins of numbers that are all but equal would be narrower than the numbers' last digit.
            alike = np.ptp(good / size) < 1e-9
            limits = (mean - 0.5 * size, mean + 0.5 * size) if alike else None
            panel.hist(good, bins=bins, range=limits, color=_VERMILLION if bad else _BLUE)
        zeros = np.count_nonzero(good == 0) / good.size if good.size else 0.0
        facts = f"mean {mean:.2g}, std {spread:.2g}" if good.size else "no finite element"
        facts += f", {zeros:.0%} zero" if zeros > 0.01 else ""
        panel.set_title(
            f"{name}\n{facts}" + (f"\n{bad} not finite" if bad else ""),
            fontsize=8,
            color=_VERMILLION if bad else "black",
        )
        panel.tick_params(labelsize=7)
        panel.set_yticks([])
    if title:
        figure.suptitle(title)
    if path is not None:
        save_figure(figure, path)
    return figure


def _numbers(values: object) -> Any:
    """An array or a Tensor in float64; a complex one by its absolute values."""
    array = np.asarray(getattr(values, "_array", values))
    if array.dtype.kind not in "biufc":
        raise ArgumentError(f"a picture of a training run shows numbers, got a {type(values).__name__}")
    return np.asarray(np.abs(array) if array.dtype.kind == "c" else array, np.float64)


def _need_module(name: str, module: object) -> None:
    if not hasattr(module, "named_modules"):
        raise ArgumentError(f"{name}: needs an nn.Module, got a {type(module).__name__}")


def activation_histograms(module: ArrayLike, *args: object, path: str | Path | None = None, bins: int = 50) -> Figure:
    """Run a module, and show what comes out of each submodule that has none of its own: of several tensors each, and of
    a submodule that runs again (``#2``) each time.

    Parameters
    ----------
    module : nn.Module
    *args
        Its inputs.
    path, bins
        As for :func:`histograms`.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import nn
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> len(activation_histograms(net, np.ones((5, 3))).axes)
    3
    """
    _need_module("activation_histograms", module)
    seen: dict[str, Any] = {}
    runs: Counter[str] = Counter()
    hooks = []

    def watch(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            runs[name] += 1
            label = f"{name}#{runs[name]}" if runs[name] > 1 else name
            outs = [out for out in flatten(output)[0] if isinstance(out, Tensor)]
            seen.update({f"{label}[{i}]" if len(outs) > 1 else label: out._array for i, out in enumerate(outs)})

        return hook

    for name, inner in module.named_modules():  # type: ignore[union-attr]
        if not inner._modules:
            hooks.append(inner.register_forward_hook(watch(name or type(inner).__name__)))
    try:
        with no_grad():
            module(*args)  # type: ignore[operator]
    finally:
        for hook in hooks:
            hook.remove()
    return histograms(seen, path, bins=bins, title="activations")


def gradient_histograms(module: ArrayLike, path: str | Path | None = None, *, bins: int = 50) -> Figure:
    """Show the gradients that a backward pass left on a module's parameters.

    Parameters
    ----------
    module : nn.Module
    path, bins
        As for :func:`histograms`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If no parameter has a gradient.

    Examples
    --------
    >>> import nn
    >>> net = nn.Linear(3, 4)
    >>> net(np.ones((5, 3))).sum().backward()
    >>> len(gradient_histograms(net).axes)
    2
    """
    _need_module("gradient_histograms", module)
    found = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}  # type: ignore[union-attr]
    if not found:
        raise ArgumentError("gradient_histograms: no parameter has a gradient; call loss.backward() first")
    return histograms(found, path, bins=bins, title="gradients")


def weight_tiles(
    weight: ArrayLike, shape: Sequence[int] | None = None, path: str | Path | None = None, *, most: int = 64
) -> Figure:
    """Show the weights of a first layer as one small image per unit.

    Parameters
    ----------
    weight : array_like, shape (units, inputs) or (units, channels, height, width)
        As :class:`nn.Linear` and a convolution hold it. With three channels the tiles are in colour, each scaled to its
        own range; otherwise blue is negative, white zero and red positive, on one scale for all; scales
        are those of the finite weights.
    shape : sequence of int, optional
        (height, width) or (channels, height, width) of an input image; square if not given.
    path : str or Path, optional
    most : int
        How many units to show.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        If the inputs do not make up such an image.

    Examples
    --------
    >>> len(weight_tiles(np.random.default_rng(0).normal(size=(6, 16))).axes)
    6
    """
    refuse_unless_positive("weight_tiles: most", most)
    array = _numbers(weight)
    if array.ndim == 2:
        side = math.isqrt(array.shape[1])
        target = tuple(np.atleast_1d(shape).tolist()) if shape is not None else (side, side)
        if math.prod(target) != array.shape[1] or len(target) not in (2, 3):
            raise ShapeError(
                f"weight_tiles: {array.shape[1]} inputs are no image of shape {target}; pass shape=(height, width)"
            )
        array = array.reshape(len(array), *target)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or not array.size:
        raise ShapeError(
            f"weight_tiles: needs (units, inputs) or (units, channels, height, width), got shape {np.shape(weight)}"  # type: ignore[arg-type]
        )
    array = np.where(np.isfinite(array), array, np.nan)[:most]
    figure, panels = _panels(len(array), math.ceil(math.sqrt(len(array))), 0.9, 0.9)
    largest = float(np.max(np.abs(array[~np.isnan(array)]), initial=0.0)) or 1.0
    for panel, tile in zip(panels, array, strict=True):
        panel.set_axis_off()
        if tile.shape[0] == 3:
            good = tile[~np.isnan(tile)]
            low, high = (good.min(), good.max()) if good.size else (0.0, 0.0)
            panel.imshow(np.moveaxis((tile - low) / ((high - low) or 1.0), 0, -1), interpolation="nearest")
        else:
            panel.imshow(tile.mean(axis=0), cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
    if path is not None:
        save_figure(figure, path)
    return figure
