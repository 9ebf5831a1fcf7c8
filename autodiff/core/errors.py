"""The exceptions of the library, in one tree.

Every error derives from :class:`AutodiffError` and from the built-in that a NumPy user would expect, so both
``except AutodiffError`` and ``except ValueError`` work. Messages name the operation, the argument, shapes and dtypes,
and the next step to take.
"""

from __future__ import annotations

import numpy as np


class AutodiffError(Exception):
    """Base of every error that this library raises on purpose."""


class ShapeError(AutodiffError, ValueError):
    """Shapes that do not fit together or do not fit the operation."""


class ArgumentError(AutodiffError, ValueError):
    """An argument whose value is not allowed."""


class CompileError(AutodiffError, RuntimeError):
    """A step that ``autodiff.compile(..., fallback=False)`` cannot follow, or whose prepared code is wrong."""


class CompileWarning(UserWarning):
    """A compiled step runs eagerly; the message says why."""


class DTypeError(AutodiffError, TypeError):
    """A dtype that the operation cannot take, such as a gradient for integers."""


class ForeignArrayError(AutodiffError, TypeError):
    """An operand of another library's array class, whose meaning would be lost if it were taken for its numbers."""


class GraphError(AutodiffError, RuntimeError):
    """A graph that cannot be differentiated as asked: freed, cut, non-scalar without a seed."""


class NotDifferentiableError(AutodiffError, TypeError):
    """An operation that is refused on a tensor that requires a gradient; the message says what to use instead."""


class ReadOnlyError(NotDifferentiableError, ValueError):
    """A write into what NumPy will not have written to either."""


class ConvergenceError(ArgumentError, ArithmeticError):
    """A solver did not reach its tolerance with what it was given, so no answer is there to be differentiated."""


class SingularMatrixError(AutodiffError, np.linalg.LinAlgError):
    """A linear system without a unique solution."""


class MissingExtraError(AutodiffError, ImportError):
    """An optional package is missing or cannot be loaded; the message holds the pip command."""


class AnomalyError(AutodiffError, FloatingPointError):
    """A NaN or an infinity was born; raised under ``detect_anomaly()`` only."""


class CutWarning(UserWarning):
    """A number was read out of a tensor that requires a gradient: what is computed from it has no gradient.

    Said once for each line of a program. ``t.item()`` says that this is meant, and is silent.
    """


class GradientMismatch(AutodiffError, AssertionError):
    """A gradient differs from its independent reference."""


for _error in AutodiffError.__subclasses__():
    # They are public under this name; a traceback says it.
    _error.__module__ = "autodiff"
AutodiffError.__module__ = "autodiff"
