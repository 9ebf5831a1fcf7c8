"""How kernels are compiled: with the interpreter's lock released and the machine code kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

from autodiff.extras import require

numba, caching = require("numba"), require("numba.core.caching")

_SUMS = {"contract", "reassoc", "nsz"}


@lru_cache(maxsize=1)
def _sources() -> str:
    """A digest of this folder's sources: a kernel's machine code holds that of functions in other files."""
    texts = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(b"".join(texts)).hexdigest()


class _File(caching.IndexDataCacheFile):  # type: ignore[misc,name-defined]
    """numba's file of machine code, with a checksum in front: damaged code would run."""

    def _save_data(self, name: str, data: Any) -> None:
        raw = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(raw).digest() + raw)

    def _load_data(self, name: str) -> Any:
        raw = Path(self._data_path(name)).read_bytes()
        if hashlib.sha256(raw[32:]).digest() != raw[:32]:
            raise ValueError(f"{name} is damaged")
        return pickle.loads(raw[32:])


class _Cache(caching.FunctionCache):  # type: ignore[misc,name-defined]
    """numba's cache, except that what cannot be read is compiled anew, and what cannot be written is not kept."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = _File(self._cache_path, self._impl.filename_base, _sources())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            with contextlib.suppress(Exception):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


def jit(function: Any = None, *, fastmath: Any = frozenset(_SUMS), inline: bool = False) -> Any:
    """``numba.njit`` with the lock released and the machine code kept on disk, or only in memory where no folder is
    writable.

    ``inline`` makes a function part of those that call it, with their ``fastmath``. A sum that stood in a function of
    its own could come from another process's machine code, and round otherwise.
    """
    if function is None:
        return lambda f: jit(f, fastmath=fastmath, inline=inline)
    how = "always" if inline else "never"
    made = numba.njit(nogil=True, error_model="numpy", fastmath=set(fastmath), inline=how)(function)
    with contextlib.suppress(RuntimeError, OSError):  # no folder is writable
        made._cache = _Cache(function)
    return made
