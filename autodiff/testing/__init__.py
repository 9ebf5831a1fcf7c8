"""The verification kit: what makes a gradient trusted. Public, for the library's operations and for anybody's.

``check_gradients`` compares a function's gradients with a numerical reference of known accuracy; ``verify`` compares a
fused operation with its composed definition as well; ``laws`` are what every operation must obey. ``python -m
autodiff.testing`` prints the table.
"""

from typing import Any

from autodiff.core.errors import GradientMismatch
from autodiff.testing import hooks, laws, mutation, strategies
from autodiff.testing.adapters import check_autograd, check_engine, check_jax, check_pair, check_torch
from autodiff.testing.check import check_gradients
from autodiff.testing.draw import HypothesisDraw, NastyDraw, RandomDraw, bounded
from autodiff.testing.foreign import laws_of, mutants_of
from autodiff.testing.report import Report
from autodiff.testing.verify import Verification, verify, verify_all

__all__ = [
    "GradientMismatch",
    "HypothesisDraw",
    "NastyDraw",
    "RandomDraw",
    "Report",
    "Verification",
    "bounded",
    "check_autograd",
    "check_engine",
    "check_gradients",
    "check_jax",
    "check_pair",
    "check_torch",
    "laws",
    "laws_of",
    "mutants_of",
    "mutation",
    "strategies",
    "verify",
    "verify_all",
]


def pytest_addoption(parser: Any, pluginmanager: Any) -> None:
    """So that ``pytest -p autodiff.testing`` brings the options and the marker of :mod:`autodiff.testing.plugin`."""
    hooks.present(pluginmanager)
