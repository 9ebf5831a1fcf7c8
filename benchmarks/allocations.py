"""Every block of memory that NumPy takes for an array's data: how many bytes live, the most at once, the largest single
one.

``tracemalloc`` adds up Python's objects as well and tells no single block, so NumPy is given an allocator of our own
for the while (NEP 49): the C library's, with a note in Python about each call. It is slow, and for counting only.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

__all__ = ["Blocks", "counted"]

_VOID, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_MALLOC = ctypes.CFUNCTYPE(_VOID, _VOID, _SIZE)
_CALLOC = _REALLOC = ctypes.CFUNCTYPE(_VOID, _VOID, _SIZE, _SIZE)
_FREE = ctypes.CFUNCTYPE(None, _VOID, _VOID, _SIZE)

#: Where NumPy's table of C functions holds PyDataMem_SetHandler (numpy/_core/code_generators/numpy_api.py).
_SET_HANDLER = 304


class _Handler(ctypes.Structure):
    """``PyDataMem_Handler`` of numpy/ndarraytypes.h, version 1."""

    _fields_ = [
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("ctx", _VOID),
        ("malloc", _MALLOC),
        ("calloc", _CALLOC),
        ("realloc", _REALLOC),
        ("free", _FREE),
    ]


class Blocks:
    """Bytes of array data, from the moment that counting began or :meth:`restart` was called."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.live = self.peak = self.largest = 0

    def restart(self) -> None:
        """Forget the peak and the largest block; what lives still counts."""
        self.peak, self.largest = self.live, 0

    def took(self, place: int | None, size: int) -> int | None:
        if place:
            self.sizes[place] = size
            self.live += size
            self.peak = max(self.peak, self.live)
            self.largest = max(self.largest, size)
        return place

    def gave(self, place: int | None) -> None:
        if place:
            self.live -= self.sizes.pop(place, 0)


_KEPT: list[_Handler] = []  # an array names the handler that it came from until it is freed


def _handler(blocks: Blocks) -> _Handler:
    libc = ctypes.CDLL(None)
    for name, types in (("malloc", (_SIZE,)), ("calloc", (_SIZE, _SIZE)), ("realloc", (_VOID, _SIZE))):
        function = getattr(libc, name)
        function.restype, function.argtypes = _VOID, types
    libc.free.restype, libc.free.argtypes = None, (_VOID,)

    def malloc(_: Any, size: int) -> Any:
        return blocks.took(libc.malloc(size), size)

    def calloc(_: Any, count: int, size: int) -> Any:
        return blocks.took(libc.calloc(count, size), count * size)

    def realloc(_: Any, place: Any, size: int) -> Any:
        moved = libc.realloc(place, size)
        blocks.gave(place)
        return blocks.took(moved, size)

    def free(_: Any, place: Any, __: int) -> None:
        blocks.gave(place)
        libc.free(place)

    return _Handler(b"counted", 1, None, _MALLOC(malloc), _CALLOC(calloc), _REALLOC(realloc), _FREE(free))


def _set_handler(capsule: Any) -> Any:
    """NumPy's handler so far, as a capsule."""
    from numpy._core import _multiarray_umath

    functions = ctypes.cast(_pointer(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(_VOID))
    call = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(functions[_SET_HANDLER])
    return call(capsule)


def _pointer(capsule: Any, name: bytes | None) -> int:
    look = ctypes.pythonapi.PyCapsule_GetPointer
    look.restype, look.argtypes = _VOID, (ctypes.py_object, ctypes.c_char_p)
    return int(look(capsule, name))


@contextlib.contextmanager
def counted() -> Iterator[Blocks]:
    """Count what NumPy takes and gives back for arrays within a ``with`` block, in this thread.

    Examples
    --------
    >>> import numpy as np
    >>> with counted() as blocks:
    ...     x = np.empty(1000, np.float32)
    ...     x = np.empty(500, np.float32)
    >>> blocks.live, blocks.peak, blocks.largest
    (2000, 6000, 4000)
    """
    blocks = Blocks()
    handler = _handler(blocks)
    _KEPT.append(handler)
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, (_VOID, ctypes.c_char_p, _VOID)
    before = _set_handler(make(ctypes.addressof(handler), b"mem_handler", None))
    try:
        yield blocks
    finally:
        _set_handler(before)
        # Arrays that outlive the count are freed by NumPy's own functions: Python's may be gone by then.
        usual = _Handler.from_address(_pointer(before, b"mem_handler"))
        for name in ("ctx", "malloc", "calloc", "realloc", "free"):
            setattr(handler, name, getattr(usual, name))
