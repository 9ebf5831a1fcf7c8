"""How kernels are compiled: with the interpreter's lock released and the machine code kept on disk."""

from __future__ import annotations

from typing import Any

import numba

__all__ = ["jit"]

_SUMS = {"contract", "reassoc", "nsz"}


def jit(function: Any = None, *, fastmath: Any = frozenset(_SUMS)) -> Any:
    """``numba.njit`` with the lock released and the machine code kept on disk, or only in memory where no folder is
    writable.
    """
    if function is None:
        return lambda f: jit(f, fastmath=fastmath)
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
