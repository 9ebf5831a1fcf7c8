"""The library's exceptions under their public name; :mod:`autodiff.core.errors` defines them.

>>> from autodiff.errors import AutodiffError, GradientMismatch
>>> issubclass(GradientMismatch, AutodiffError)
True
"""

from autodiff.core.errors import (
    AnomalyError,
    ArgumentError,
    AutodiffError,
    CompileError,
    CompileWarning,
    ConvergenceError,
    CutWarning,
    DTypeError,
    ForeignArrayError,
    GradientMismatch,
    GraphError,
    MissingExtraError,
    NotDifferentiableError,
    ShapeError,
)
from autodiff.extras import loadable, require

__all__ = [
    "AnomalyError",
    "ArgumentError",
    "AutodiffError",
    "CompileError",
    "CompileWarning",
    "ConvergenceError",
    "CutWarning",
    "DTypeError",
    "ForeignArrayError",
    "GradientMismatch",
    "GraphError",
    "MissingExtraError",
    "NotDifferentiableError",
    "ShapeError",
    "loadable",
    "require",
]
