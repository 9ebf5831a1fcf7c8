"""See a computation: its graph as SVG, DOT or text. Loaded on demand; the core never imports it."""

from autodiff.viz.picture import Graph, draw

__all__ = ["Graph", "draw"]
