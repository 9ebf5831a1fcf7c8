"""The exceptions of the library, in one tree, and the door to optional packages.

Every error derives from :class:`AutodiffError` and from the built-in that a NumPy user would expect, so both
``except AutodiffError`` and ``except ValueError`` work. Messages name the operation, the argument, shapes and dtypes,
and the next step to take.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "AnomalyError",
    "ArgumentError",
    "AutodiffError",
    "CompileError",
    "DTypeError",
    "GradientMismatch",
    "GraphError",
    "MissingExtraError",
    "NotDifferentiableError",
    "ShapeError",
    "require",
]


class AutodiffError(Exception):
    """Base of every error that this library raises on purpose."""


class ShapeError(AutodiffError, ValueError):
    """Shapes that do not fit together or do not fit the operation."""


class ArgumentError(AutodiffError, ValueError):
    """An argument whose value is not allowed."""


class CompileError(AutodiffError, RuntimeError):
    """A step that ``autodiff.compile(..., fallback=False)`` cannot replay faithfully, or a replay that differs from the
    eager call.
    """


class DTypeError(AutodiffError, TypeError):
    """A dtype that the operation cannot take, such as a gradient for integers."""


class GraphError(AutodiffError, RuntimeError):
    """A graph that cannot be differentiated as asked: freed, cut, non-scalar without a seed."""


class NotDifferentiableError(AutodiffError, TypeError):
    """An operation that is refused on a tensor that requires a gradient; the message says what to use instead."""


class MissingExtraError(AutodiffError, ImportError):
    """An optional package is not installed; the message holds the pip command."""


class AnomalyError(AutodiffError, FloatingPointError):
    """A NaN or an infinity was born; raised under ``detect_anomaly()`` only."""


class GradientMismatch(AutodiffError, AssertionError):
    """A gradient differs from its independent reference."""


_PIP_NAMES = {"sklearn": "scikit-learn", "pygraphviz": "pygraphviz>=2.0", "numba": "numba>=0.60"}


def require(module: str) -> Any:
    """Import an optional package or say how to install it.

    Parameters
    ----------
    module : str
        Dotted import name, such as ``"tqdm"`` or ``"matplotlib.pyplot"``.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If the package is not installed; the message names the pip command.

    Examples
    --------
    >>> require("json").dumps([1])
    '[1]'
    """
    top = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        package = _PIP_NAMES.get(top, top)
        raise MissingExtraError(
            f"this needs the package {top!r}, which is not installed: pip install '{package}'"
        ) from error
