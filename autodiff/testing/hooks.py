"""What every pytest run loads where autodiff is installed: two options and a marker.

The work is done by ``autodiff.testing.plugin``, loaded when an option asks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["present", "pytest_addoption"]


def pytest_addoption(parser: Any, pluginmanager: Any) -> None:
    """Load the options, once."""
    present(pluginmanager)
    if not pluginmanager.has_plugin("autodiff"):
        # Loaded as ``-p autodiff.testing.hooks``: the entry point would load this module again.
        pluginmanager.set_blocked("autodiff")


def present(pluginmanager: Any) -> None:
    """Load the options unless they are, whichever of the kit's modules asked for them."""
    if not pluginmanager.has_plugin("autodiff-options"):
        pluginmanager.register(_Options(), "autodiff-options")


class _Options:
    """Two options and a marker."""

    def pytest_addoption(self, parser: Any) -> None:
        group = parser.getgroup("autodiff", "gradient checks")
        group.addoption(
            "--grad-report",
            metavar="FILE",
            type=Path,
            help="write the outcome of every gradcase as Markdown, or HTML (FILE.html)",
        )
        group.addoption(
            "--grad-coverage",
            action="store_true",
            help="fail if an operation registered outside autodiff, a torch.autograd.Function, or a custom_vjp, a"
            " primitive or a pair <name>_forward and <name>_backward of the project has no gradcase",
        )

    def pytest_configure(self, config: Any) -> None:
        config.addinivalue_line("markers", "gradcase: a gradient check made by autodiff.testing.plugin.gradcase")
        if config.getoption("--grad-report") is not None or config.getoption("--grad-coverage"):
            from autodiff.testing.plugin import Collector

            config.pluginmanager.register(Collector(config), "autodiff-gradcases")
