"""numpy.linalg's functions and some of scipy.linalg's, differentiable, under the same names."""

from autodiff.dispatch import differentiable_of
from autodiff.ops.linalg import matrix_function
from autodiff.ops.scipy_functions import cho_solve, expm, solve_banded, solve_sylvester, solve_triangular, sqrtm

_NUMPY = differentiable_of("numpy.linalg")
globals().update(_NUMPY)

__all__ = ["cho_solve", "expm", "matrix_function", "solve_banded", "solve_sylvester", "solve_triangular", "sqrtm"]
__all__ += sorted(_NUMPY)
