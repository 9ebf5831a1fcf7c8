"""``draw``: a computation as a picture that knows how to show and save itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autodiff.errors import ArgumentError
from autodiff.tensor import Tensor
from autodiff.viz.dot import to_dot
from autodiff.viz.snapshot import snapshot
from autodiff.viz.svg import render, to_svg
from autodiff.viz.text import to_text
from autodiff.viz.view import GraphView

__all__ = ["Graph", "draw"]

_DIRECTIONS = ("TB", "LR", "BT", "RL")
_SUFFIXES = (".dot", ".pdf", ".png", ".svg", ".txt")


class Graph:
    """A picture of a computation.

    Attributes
    ----------
    view : GraphView
        The picture as data.
    """

    def __init__(self, view: GraphView, rankdir: str = "TB") -> None:
        self.view = view
        self.rankdir = rankdir

    @property
    def dot(self) -> str:
        """DOT text; needs no package."""
        return to_dot(self.view, rankdir=self.rankdir)

    @property
    def svg(self) -> str:
        """One SVG element; needs ``dot`` or pygraphviz for the layout."""
        return to_svg(self.view, rankdir=self.rankdir)

    def save(self, path: str | Path) -> Path:
        """Write the picture; the suffix (.svg, .dot, .pdf, .png or .txt) chooses the format.

        Raises
        ------
        ArgumentError
            For another suffix.
        MissingExtraError
            If there is no layout engine; the message names both remedies.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in _SUFFIXES:
            raise ArgumentError(f"save({str(path)!r}): the suffix must be one of {', '.join(_SUFFIXES)}")
        if suffix in (".pdf", ".png"):
            data = render(self.dot, suffix[1:])
        else:
            data = {".svg": lambda: self.svg, ".dot": lambda: self.dot, ".txt": lambda: str(self)}[suffix]().encode()
        target.write_bytes(data)
        return target

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return to_text(self.view)

    def __repr__(self) -> str:
        return f"Graph({len(self.view.nodes)} boxes, {len(self.view.edges)} arrows)"


def draw(
    output: Tensor | Sequence[Tensor],
    *,
    expand: bool = False,
    names: Mapping[str, Any] | None = None,
    rankdir: str = "TB",
    title: str = "",
) -> Graph:
    """Draw the computation that ended in a tensor, or in several.

    Parameters
    ----------
    output : Tensor or sequence of Tensor
    expand : bool
        Show every fused operation as a frame around its composed definition.
    names : mapping of str to Tensor, optional
        Names to show, such as ``locals()``; entries that are no tensors are passed over.
    rankdir : {"TB", "LR", "BT", "RL"}
        Which way the computation flows.
    title : str

    Returns
    -------
    Graph

    Raises
    ------
    ArgumentError
        If there is nothing to draw or an option is unknown.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor(2.0, requires_grad=True, name="x")
    >>> print(draw(x * x))
    %0  x           scalar float64  parameter
    %1  ×(%0, %0)   scalar float64
    """
    outputs = [output] if isinstance(output, Tensor) else list(output)
    if not outputs or not all(isinstance(t, Tensor) for t in outputs):
        raise ArgumentError("draw: pass a Tensor, or a sequence of Tensors")
    if rankdir not in _DIRECTIONS:
        raise ArgumentError(f"draw: rankdir must be one of {_DIRECTIONS}, got {rankdir!r}")
    named = {
        id(value._node): key for key, value in (names or {}).items() if isinstance(value, Tensor) and value._node is not None
    }
    return Graph(snapshot(outputs, expand=expand, names=named, title=title), rankdir)
