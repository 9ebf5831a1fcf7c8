"""``autodiff.compile``: your Python runs every time, NumPy's work is prepared.

The folder reads as the pipeline. A step's first call leaves a *trace* (``trace.py``); later calls *follow* it
(``follow.py``): an operation that the trace expects is done by code prepared for exactly these shapes, dtypes and
layouts (``prepare.py``), and so is a whole backward pass (``walked.py``). Whatever is not expected is done by the
engine, as if nothing were compiled. ``step.py`` is the object that the user holds.

To prepare is to *record* the NumPy calls (``record.py``, on the stand-ins of ``standin.py``, by the copies of
``private.py``), to simplify the list (``listing.py``, ``passes/``), to lay out memory (``layout.py``), to write a
function (``emit.py``) and to *check* that it gives the same bits (``check.py``).

``jit.py`` is the same under JAX's contract, with ``tracer.py``, and ``guarded.py`` for most calls.
``scan.py`` records a loop's body (``body.py``) for a native loop or plan calls (``stepped.py``). Machine code, for
loops and for chains of elementwise calls (``passes/chains.py``), is written in ``native.py`` alone.
"""

from autodiff.compiler.step import Compiled, compile
from autodiff.core.errors import CompileWarning

__all__ = ["CompileWarning", "Compiled", "compile"]
