"""See a computation: its graph as SVG, an interactive page, DOT or text; and pictures of training. Loaded on demand;
the core never imports it.
"""

from autodiff.viz.picture import Graph, draw
from autodiff.viz.recording import recording
from autodiff.viz.training import activation_histograms, gradient_histograms, histograms, weight_tiles

__all__ = ["Graph", "activation_histograms", "draw", "gradient_histograms", "histograms", "recording", "weight_tiles"]
