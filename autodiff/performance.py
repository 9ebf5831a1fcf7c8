"""What a process can set for NumPy's speed that a library must not set for it: the allocator, the BLAS kernels, the
collector.

Nothing here happens on import. ``python -m autodiff.performance`` prints :func:`hints` for this machine.

- **Allocator.** glibc gives arrays above 128 KiB pages of their own from the kernel and returns them at once, so every
  such temporary faults its
  pages in anew; on 65,536-element operations that is most of the time. :func:`tune_malloc`, or the environment
  variables that :func:`hints` prints, keep freed memory in the process.
- **BLAS kernels.** OpenBLAS picks its kernels by a list of processors, and takes old ones for a processor that it does
  not know. The right set can be named before NumPy is loaded, and only then.
- **Collector.** Python's cyclic collector looks through all containers again and again while a large graph is recorded.
  A graph of this library holds no reference cycle, so it never finds anything there. :func:`rare_collections` makes it
  look less often.
"""

from __future__ import annotations

import contextlib
import gc
import platform
from collections.abc import Iterator
from pathlib import Path

from autodiff.core.errors import ArgumentError

__all__ = ["blas_core", "hints", "rare_collections", "tune_malloc"]

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# The largest mmap threshold that every glibc for 64-bit systems takes; since 2.35 there is no limit.
_SAFE_THRESHOLD = 32 * 2**20

# What OpenBLAS calls its AVX-512 kernels, and what a processor must have for the oldest of them.
_AVX512_CORES = frozenset({"skylakex", "cooperlake", "sapphirerapids", "zen5"})
_AVX512_FLAGS = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})


def tune_malloc(threshold: int = 2**30) -> int:
    """Let glibc keep freed memory instead of returning it to the system, for this process from now on.

    Raises the sizes from which ``malloc`` maps memory apart (``M_MMAP_THRESHOLD``) and gives the top of its heap back
    (``M_TRIM_THRESHOLD``). The process then holds on to the most memory that it ever used.

    Parameters
    ----------
    threshold : int
        Bytes; at least 128 KiB, glibc's own start.

    Returns
    -------
    int
        The threshold now in force: the one asked for, 32 MiB where this glibc takes no more, or 0 where the C library
        is another one and nothing was changed.

    Raises
    ------
    ArgumentError
        If the threshold is below 128 KiB or does not fit a C int.

    Examples
    --------
    >>> from autodiff.performance import tune_malloc
    >>> tune_malloc(1)
    Traceback (most recent call last):
    ...
    autodiff.ArgumentError: tune_malloc: the threshold is a number of bytes from 131072 to 2147483647, got 1
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int) or not 2**17 <= threshold < 2**31:
        raise ArgumentError(
            f"tune_malloc: the threshold is a number of bytes from {2**17} to {2**31 - 1}, got {threshold!r}"
        )
    if platform.libc_ver()[0] != "glibc":
        return 0
    import ctypes

    mallopt = ctypes.CDLL(None).mallopt
    # Both or neither: raising the trim threshold alone makes things worse (measured: 190 us against 117 for 65,536
    # elements).
    for size in (threshold, min(threshold, _SAFE_THRESHOLD)):
        if mallopt(_M_MMAP_THRESHOLD, size):
            return size if mallopt(_M_TRIM_THRESHOLD, size) else 0
    return 0


def blas_core() -> str | None:
    """The processor whose kernels the loaded OpenBLAS uses, such as ``"SkylakeX"``; None if that cannot be found out.

    Examples
    --------
    >>> from autodiff.performance import blas_core
    >>> blas_core()  # doctest: +SKIP
    'Haswell'
    """
    import ctypes

    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    libraries = {
        line.split()[-1] for line in maps.read_text().splitlines() if "openblas" in line.rpartition("/")[2].lower()
    }
    for library in sorted(libraries):
        with contextlib.suppress(OSError):
            loaded = ctypes.CDLL(library)
            for name in (
                "scipy_openblas_get_corename64_",
                "scipy_openblas_get_corename",
                "openblas_get_corename64_",
                "openblas_get_corename",
            ):
                call = getattr(loaded, name, None)
                if call is not None:
                    call.restype = ctypes.c_char_p
                    core: bytes | None = call()
                    return core.decode() if core else None
    return None


def _processor_flags() -> frozenset[str]:
    """The instruction sets of the first processor, as Linux names them; empty elsewhere."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def hints() -> str:
    """The environment variables that make NumPy faster on this machine, as lines for a shell; comments say why.

    Returns
    -------
    str
        One ``export`` line per variable; only comments where there is nothing to gain.

    Examples
    --------
    >>> import autodiff.performance
    >>> print(autodiff.performance.hints())  # doctest: +SKIP
    # glibc returns every large temporary to the system; keep them (or call autodiff.performance.tune_malloc())
    export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=1073741824
    # OpenBLAS uses its kernels for Haswell, but this processor has AVX-512
    export OPENBLAS_CORETYPE=SKYLAKEX
    """
    return _hints(platform.libc_ver()[0], blas_core(), _processor_flags())


def _hints(libc: str, core: str | None, flags: frozenset[str]) -> str:
    lines = []
    if libc == "glibc":
        lines += [
            (
                "# glibc returns every large temporary to the system; keep them (or call"
                " autodiff.performance.tune_malloc())"
            ),
            f"export MALLOC_MMAP_THRESHOLD_={2**30} MALLOC_TRIM_THRESHOLD_={2**30}",
        ]
    else:
        lines.append("# the C library is not glibc: nothing is known to gain from its allocator's settings")
    if core is None:
        lines.append("# no OpenBLAS was found in this process: nothing to say about its kernels")
    elif core.lower() in _AVX512_CORES:
        lines.append(f"# OpenBLAS uses its kernels for {core}: leave OPENBLAS_CORETYPE unset")
    elif flags >= _AVX512_FLAGS:
        lines += [
            f"# OpenBLAS uses its kernels for {core}, but this processor has AVX-512",
            "export OPENBLAS_CORETYPE=SKYLAKEX",
        ]
    else:
        lines.append(
            f"# OpenBLAS uses its kernels for {core}, and the processor has no AVX-512: leave OPENBLAS_CORETYPE unset"
        )
    return "\n".join(lines)


@contextlib.contextmanager
def rare_collections(allocations: int = 100_000) -> Iterator[None]:
    """Let the cyclic collector run only once per so many new containers, for a ``with`` block; afterwards as before.

    A graph of this library is freed by reference counts. Cycles that the program itself makes stay longer.

    Parameters
    ----------
    allocations : int
        Python's own value is 700 (2,000 since 3.13).

    Raises
    ------
    ArgumentError
        If it is no positive int.

    Examples
    --------
    >>> import autodiff
    >>> from autodiff.performance import rare_collections
    >>> x = autodiff.tensor(1.0, requires_grad=True)
    >>> with rare_collections():
    ...     y = x
    ...     for _ in range(1000):
    ...         y = y * 0.999
    ...     y.backward()
    """
    if isinstance(allocations, bool) or not isinstance(allocations, int) or allocations < 1:
        raise ArgumentError(f"rare_collections: needs a positive int, got {allocations!r}")
    before = gc.get_threshold()
    gc.set_threshold(allocations, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


if __name__ == "__main__":
    import numpy  # noqa: F401  loads the BLAS library that is asked about

    from autodiff.command import Parser

    Parser(prog="python -m autodiff.performance", description="Print what makes NumPy faster here.").parse_args()
    print(hints())
