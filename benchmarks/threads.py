"""How many threads everybody may use. Imports no NumPy: the variables must be set before a BLAS library is loaded."""

from __future__ import annotations

import os

__all__ = ["VARIABLES", "limit"]

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def limit(threads: int) -> None:
    """Allow this process ``threads`` threads; call it before NumPy, PyTorch or JAX is imported.

    Where the system can tell, the process is also pinned to that many cores: JAX sizes its pool by the cores that it
    may use and takes no number.
    """
    for variable in VARIABLES:
        os.environ[variable] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[-threads:])
