"""Record a step once, replay it as a flat list of NumPy calls: ``autodiff.compile``.

What is recorded are NumPy calls, not nodes of the graph: the fused operations, the engine's accumulation and the
gradient rules are plain NumPy, so the list of their calls *is* the program, and calling the same list again gives the
same bits. While a step is recorded it runs for real, on stand-ins for arrays (``recorded.py``) that note every call
made with them (``recorder.py``). What else the step reads and could change between calls is found and watched
(``surroundings.py``). The list is then optimised, its elementwise calls are joined to chains (``fusion.py``,
``chains.py``), memory is laid out (``plan.py``), and the object that the user holds calls it (``compiled.py``).

Whatever a stand-in cannot follow (a value read into Python, a hook, a random number from nowhere) ends the recording,
never the program: that call and all later ones run eagerly, and a warning says why.
"""

from autodiff.replay.compiled import Compiled, CompileWarning, compile
from autodiff.replay.plan import Plan

__all__ = ["CompileWarning", "Compiled", "Plan", "compile"]
