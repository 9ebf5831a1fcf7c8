"""Compiled kernels where NumPy needs several passes over memory: chosen at run time, never needed for a result.

A fused operation that has a kernel names it beside its NumPy functions (:func:`either`). It is taken where numba is
installed (``pip install 'numba>=0.60'``, the extra ``fast``), the arrays are contiguous float32 or float64 of one
dtype, and there is enough to do: below ``LEAST`` elements NumPy is about as fast. Where NumPy makes many passes, as for
a norm, GELU or Adam, the kernel is faster for any number of elements, and is taken from ``LEAST_OF_MANY`` on, so that
nothing is compiled for a small problem. The first call of a kernel compiles it, which takes seconds, and keeps the
machine code on disk (numba's cache: beside this package, or in the user's cache folder where that is not writable), so
that later processes load it in milliseconds.

Which one runs is decided by size, dtype and layout alone, so a program repeats itself to the bit with the same number
of threads; between numbers of threads, and between machines with and without numba, results differ by rounding: all are
held to the composed definition by the same tests. A sum loses no more than NumPy's pairwise one (blocks of 512 numbers,
added up in float64; the error of a batch norm is below that of NumPy's, tests/fused/test_kernels.py). One switch,
:func:`use` or the environment variable ``AUTODIFF_KERNELS`` (``auto``, ``numba``, ``numpy``), decides for everything;
:func:`set_threads` or ``AUTODIFF_THREADS`` says how many threads share the rows of one call
(:mod:`autodiff.kernels.threads`), and by default it is as many as the BLAS under NumPy is told to take
(``OPENBLAS_NUM_THREADS``, ``OMP_NUM_THREADS``).
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from functools import cache, lru_cache, partial, wraps
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.core.modes import is_plain
from autodiff.extras import require
from autodiff.fast.thresholds import THRESHOLDS

__all__ = [
    "LEAST",
    "LEAST_OF_MANY",
    "THREADS",
    "KernelFailure",
    "KernelWarning",
    "Kept",
    "either",
    "either_backward",
    "get_threads",
    "installed",
    "large",
    "optional",
    "prepared",
    "ready",
    "run",
    "set_threads",
    "setting",
    "use",
    "using",
]

#: From so many elements on a kernel is taken in the mode "auto".
LEAST = THRESHOLDS["KERNEL"].value

#: The same for a kernel that does in one pass what NumPy does in ten: forward and backward of a norm of 100x100 take
#: half of NumPy's time, as they do at every size down to 32 elements (benchmarks/kernels.py).
LEAST_OF_MANY = THRESHOLDS["KERNEL_OF_MANY"].value

#: How the names of the threads begin that share a kernel's work.
THREADS = "autodiff-kernel"

# A thread is worth calling for so many elements.
_SHARE = THRESHOLDS["THREAD"].value

_MODES = ("auto", "numba", "numpy")
_FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


class _Settings:
    mode = "auto"
    threads = 1


class _Threshold:
    """From so many elements on a kernel is taken in the present mode, and in the mode "auto"."""

    __slots__ = ("auto", "least")

    def __init__(self, auto: int) -> None:
        self.auto = auto
        self.follow()

    def follow(self) -> None:
        self.least = {"auto": self.auto, "numba": 1, "numpy": sys.maxsize}[_Settings.mode]


@cache
def _threshold(least: int) -> _Threshold:
    made = _Threshold(least)
    _thresholds.append(made)
    return made


_thresholds: list[_Threshold] = []
_ordinary = _threshold(LEAST)


def use(mode: str) -> str:
    """Choose who computes from now on, in every thread.

    Parameters
    ----------
    mode : {"auto", "numba", "numpy"}
        "auto": kernels for large arrays where numba is installed. "numba": kernels for every size. "numpy": none.

    Returns
    -------
    str
        The mode so far.

    Raises
    ------
    ArgumentError
        For another mode.
    MissingExtraError
        For "numba" where it is not installed.

    Examples
    --------
    >>> before = use("numpy")
    >>> use(before)
    'numpy'
    """
    if mode not in _MODES:
        raise ArgumentError(f"kernels.use: mode must be one of {_MODES}, got {mode!r}")
    if mode == "numba":
        require("numba")
    before, _Settings.mode = _Settings.mode, mode
    for threshold in _thresholds:
        threshold.follow()
    return before


def using() -> str:
    """The mode, as :func:`use` takes it."""
    return _Settings.mode


def set_threads(count: int) -> int:
    """Let so many threads share the rows of one kernel call; returns the number so far.

    Raises
    ------
    ArgumentError
        If ``count`` is no positive integer.

    Examples
    --------
    >>> before = set_threads(2)
    >>> set_threads(before)
    2
    """
    if not isinstance(count, (int, np.integer)) or count < 1:
        raise ArgumentError(f"kernels.set_threads: needs a positive integer, got {count!r}")
    before, _Settings.threads = _Settings.threads, int(count)
    _dismiss()
    return before


def setting() -> tuple[str, int]:
    """The mode and the number of threads, on which it depends what :func:`prepared` gives."""
    return _Settings.mode, _Settings.threads


def get_threads() -> int:
    """How many threads share the rows of one kernel call."""
    return _Settings.threads


@lru_cache(maxsize=1)
def installed() -> bool:
    """Whether numba is there; if it cannot be loaded, the first kernel says so."""
    try:
        return importlib.util.find_spec("numba") is not None
    except ValueError:  # of a module that somebody put in its place
        return True


def ready(*arrays: Any, only: Any = None) -> bool:
    """Whether kernels can take these arrays: all of one floating dtype, in C order, the first not empty; and numba is
    there.

    Read-only arrays are left to NumPy, since numba would compile every kernel anew for them.

    Parameters
    ----------
    *arrays : ndarray or None
    only : dtype, optional
        The one dtype that the kernel is made for.
    """
    dtype = arrays[0].dtype
    if dtype not in _FLOATS or (only is not None and dtype != only) or not arrays[0].size:
        return False
    for a in arrays:  # all() with a generator takes twice as long
        if a is not None and not ((a.dtype is dtype or a.dtype == dtype) and a.flags.carray):
            return False
    return installed()


class KernelWarning(RuntimeWarning):
    """A kernel could not be compiled, loaded or run; NumPy computes what it did."""


class KernelFailure(Exception):
    """Raised by :func:`run` for the caller to take NumPy's way; no user sees it."""


# The names of kernels that have failed in this process.
_failed: set[str] = set()


class Kept(tuple[Any, ...]):
    """The residuals of a forward that a kernel computed.

    Attributes
    ----------
    again : callable
        NumPy's forward of the same call, for its residuals, should the kernel of the backward fail.
    """

    again: Callable[[], Any]


def large(size: int, least: int = LEAST) -> bool:
    """Whether so many elements go to a kernel in the present mode, if ``least`` do in the mode "auto"; none do under
    ``autodiff.plain()``.
    """
    return size >= (_ordinary if least == LEAST else _threshold(least)).least and not is_plain()


def either(numpy: Callable[..., Any], kernel: Callable[..., Any], least: int = LEAST) -> Callable[..., Any]:
    """The forward of a fused operation that has two: ``kernel`` for a large first input unless it declines with None,
    else ``numpy``.

    Large are, in the mode "auto", ``least`` elements.
    """
    threshold = _threshold(least)

    def guarded(x: Any, *args: Any, **attrs: Any) -> Any:
        try:
            made = kernel(x, *args, **attrs)
        except KernelFailure:
            return None
        if made is not None:
            made[1].again = partial(numpy, x, *args, **attrs)
        return made

    @wraps(numpy)
    def forward(x: Any, *args: Any, **attrs: Any) -> Any:
        if x.size >= threshold.least and not is_plain():
            found = guarded(x, *args, **attrs)
            if found is not None:
                return found
        return numpy(x, *args, **attrs)

    # The function that is written out for the operation chooses by itself (autodiff.fast.templates).
    forward.choice = {"forward": numpy, "kernel": guarded, "threshold": threshold}  # type: ignore[attr-defined]
    return forward


def either_backward(numpy: Callable[..., Any], kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The backward of a fused operation that has two: whose residuals they are decides."""

    @wraps(numpy)
    def backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> Any:
        if residuals.__class__ is Kept:
            try:
                return kernel(g, residuals, needs)
            except KernelFailure:
                residuals = residuals.again()[1]
        return numpy(g, residuals, needs)

    return backward


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def optional(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls a kernel, with None for its result where that fails."""

    @wraps(kernel)
    def guarded(*args: Any) -> Any:
        try:
            return kernel(*args)
        except KernelFailure:
            return None

    return guarded


@lru_cache(maxsize=1)
def _team() -> Any:
    from autodiff.kernels.threads import Team

    # The number of threads decides into what shares work is cut; more threads than cores would only wait.
    return Team(min(_Settings.threads, _cores()))


@atexit.register
def _dismiss() -> None:
    if _team.cache_info().currsize:
        _team().dismiss()
        _team.cache_clear()


# Threads do not survive a fork (which Windows does not have); the child makes its own when it needs them.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_team.cache_clear)


@lru_cache(maxsize=64)
def _kernel(name: str) -> Any:
    from autodiff.kernels import compiled, windows

    return getattr(compiled, name, None) or getattr(windows, name)


def run(
    name: str, count: int, size: int, *arguments: Any, partial: Callable[[], tuple[Any, ...]] | None = None
) -> list[Any]:
    """Run a kernel over ``range(count)``, in shares for the threads: the one place where compiled code is called.

    Parameters
    ----------
    name : str
        A function of :mod:`autodiff.kernels.compiled` or :mod:`autodiff.kernels.windows`: ``f(start, stop,
        *arguments)``, or ``f(start, stop, *arguments, share, *partials)``.
    count : int
        How many rows or columns there are to share.
    size : int
        Elements that there are to compute: few are not worth a thread.
    *arguments
        What every share reads and writes; each writes its own rows.
    partial : callable, optional
        Makes the arrays, of zeros, in which one share adds up what is summed over shares. The kernel gets them with an
        axis for the shares in front, and the size of a share, so that ``start // share`` is its own.

    Returns
    -------
    list of tuple
        One tuple, of the partial arrays with an axis for the shares in front.

    Raises
    ------
    KernelFailure
        If the kernel cannot be compiled, loaded or run, after one warning that names it.
    """
    return _guarded(name, count, _threads(count, size), arguments, partial)


def _guarded(name: str, count: int, threads: int, arguments: tuple[Any, ...], partial: Any = None) -> list[Any]:
    """The results of a kernel; whatever goes wrong with it is a :class:`KernelFailure`."""
    if name in _failed:
        raise KernelFailure(name)
    try:
        kernel = _kernel(name)
        if threads == 1:
            if partial is None:
                kernel(0, count, *arguments)
                return [()]
            partials = tuple([a[None] for a in partial()])
            kernel(0, count, *arguments, max(1, count), *partials)
            return [partials]
        share = max(1, -(-count // (threads * kernel.cuts)))
        if partial is None:
            _team().call(kernel, count, share, *arguments)
            return [()]
        partials = tuple([np.zeros((-(-count // share), *a.shape), a.dtype) for a in partial()])
        _team().call(kernel, count, share, *arguments, share, *partials)
        return [partials]
    except Exception as error:
        _failed.add(name)
        warnings.warn(
            f"the compiled kernel {name} failed, and NumPy computes from now on what it did"
            f" ({type(error).__name__}: {' '.join(str(error).split())[:300]})",
            KernelWarning,
            stacklevel=4,
        )
        raise KernelFailure(name) from error


def _threads(count: int, size: int) -> int:
    """How many threads ``count`` rows of ``size`` elements in all are worth."""
    if _Settings.threads == 1 or size < 2 * _SHARE:
        return 1
    return max(1, min(_Settings.threads, count, size // _SHARE))


def prepared(name: str, count: int, size: int, *arguments: Any) -> Callable[..., Any]:
    """:func:`run` with its first three arguments given, for a caller that holds on to it while :func:`setting` stays
    the same, and calls it with arguments of the same kinds as ``arguments``, for which the kernel is compiled now.

    Raises
    ------
    KernelFailure
        If that goes wrong.
    """
    threads = _threads(count, size)
    _guarded(name, 0, threads, arguments)
    if threads > 1:
        return partial(run, name, count, size)
    return partial(_kernel(name), 0, count)


def _from_environment() -> None:
    mode = os.environ.get("AUTODIFF_KERNELS") or "auto"
    if mode not in _MODES:
        raise ArgumentError(f"the environment variable AUTODIFF_KERNELS must be one of {_MODES}, got {mode!r}")
    use(mode)
    told = os.environ.get("AUTODIFF_THREADS", "")
    if told:
        if not told.isdecimal() or int(told) < 1:
            raise ArgumentError(f"the environment variable AUTODIFF_THREADS must be a positive integer, got {told!r}")
        _Settings.threads = int(told)
    else:
        blas = (os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"))
        _Settings.threads = max(1, next((int(n) for n in blas if n.isdecimal()), _cores()))


_from_environment()
