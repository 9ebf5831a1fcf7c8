"""What every pytest run loads where autodiff is installed: two options and a marker.

The work is done by ``autodiff.testing.plugin``, loaded when an option asks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["pytest_addoption", "pytest_configure"]


def pytest_addoption(parser: Any) -> None:
    """The two options."""
    group = parser.getgroup("autodiff", "gradient checks")
    group.addoption(
        "--grad-report",
        metavar="FILE",
        type=Path,
        help="write the outcome of every gradcase as Markdown, or HTML (FILE.html)",
    )
    group.addoption(
        "--grad-coverage", action="store_true", help="fail if an operation registered outside autodiff has no gradcase"
    )


def pytest_configure(config: Any) -> None:
    """The marker, and the collector of outcomes where one is wanted."""
    config.addinivalue_line("markers", "gradcase: a gradient check made by autodiff.testing.plugin.gradcase")
    if config.getoption("--grad-report") is not None or config.getoption("--grad-coverage"):
        from autodiff.testing.plugin import Collector

        config.pluginmanager.register(Collector(config), "autodiff-gradcases")
