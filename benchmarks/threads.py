"""How many threads everybody may use, and the allocator's settings. Imports no NumPy: the variables must be set before
a BLAS library is loaded.
"""

from __future__ import annotations

import os

__all__ = ["TUNED", "VARIABLES", "limit"]

#: glibc keeps freed memory instead of giving it back: what ``autodiff.performance.tune_malloc`` sets, from a process's
#: first moment.
TUNED = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def limit(threads: int, *, pin: bool = True) -> None:
    """Allow this process ``threads`` threads; call it before NumPy, PyTorch or JAX is imported.

    Where the system can tell, the process is also pinned to that many cores: JAX sizes its pool by the cores that it
    may use and takes no number. Where nothing is timed it need not be, and processes side by side would all get the
    same core.
    """
    for variable in VARIABLES:
        os.environ[variable] = str(threads)
    if pin and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[-threads:])
