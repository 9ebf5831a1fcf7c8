"""See a computation: its graph as SVG, an interactive page, DOT or text. Loaded on demand; the core never imports it."""

from autodiff.viz.picture import Graph, draw
from autodiff.viz.recording import recording

__all__ = ["Graph", "draw", "recording"]
