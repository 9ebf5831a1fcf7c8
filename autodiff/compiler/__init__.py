"""``autodiff.compile``: your Python runs every time, NumPy's work is prepared.

The folder reads as the pipeline. A step's first call leaves a *trace* (``trace.py``); later calls *follow* it
(``follow.py``): an operation that the trace expects is done by code prepared for exactly these shapes, dtypes and
layouts, and so is a whole backward pass. Whatever is not expected is done by the engine, as if nothing were compiled.
``step.py`` is the object that the user holds.
"""

from autodiff.compiler.step import Compiled, compile
from autodiff.core.errors import CompileWarning

__all__ = ["CompileWarning", "Compiled", "compile"]
