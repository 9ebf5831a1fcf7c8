"""The library's exceptions under their public name; :mod:`autodiff.core.errors` defines them.

>>> from autodiff.errors import AutodiffError, GradientMismatch
>>> issubclass(GradientMismatch, AutodiffError)
True
"""

from autodiff.core.errors import *  # noqa: F403
from autodiff.core.errors import __all__ as __all__
