"""The array API standard, version 2024.12, on Tensors: what ``x.__array_namespace__()`` returns.

Libraries that are written against the standard ask an array for its namespace and compute with that alone. With this
one they compute with Tensors, so SciPy's functions that follow the standard (``SCIPY_ARRAY_API=1``) are differentiable
without a rule of their own.

A function stands here because NumPy's function of that name is differentiable or constant in the table that every
``np.f(tensor)`` is looked up in. What is written out below is where the standard asks for another signature than
NumPy's.

Source: https://data-apis.org/array-api/2024.12/
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from inspect import signature
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from autodiff import dispatch
from autodiff.core.errors import ArgumentError, MissingExtraError, NotDifferentiableError
from autodiff.core.op import above, wrap
from autodiff.functions import named
from autodiff.ops import creation, elementwise, shaping
from autodiff.ops.common import bare

if not hasattr(np, "unstack"):
    raise MissingExtraError("the array API standard 2024.12 needs NumPy 2.1 or newer: pip install -U numpy")

__array_api_version__ = "2024.12"

#: The versions of the standard whose every function of the same name is this one.
VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")

e, inf, nan, pi, newaxis = np.e, np.inf, np.nan, np.pi, None

DTYPES: dict[str, Any] = {
    name: np.dtype(name)
    for name in ("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128").split()
}

#: The functions whose signature NumPy shares, by the standard's names.
FUNCTIONS = (
    # elementwise
    "abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or"
    " bitwise_right_shift bitwise_xor ceil conj copysign cos cosh divide equal exp floor greater greater_equal"
    " hypot imag isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp"
    " logical_and logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow"
    " real reciprocal remainder round sign signbit sin sinh sqrt square subtract tan tanh trunc"
    # reductions, searches, sets
    " all any argmax argmin count_nonzero cumulative_prod cumulative_sum diff max mean min nonzero prod std sum"
    " unique_all unique_counts unique_inverse unique_values var where"
    # shapes and products
    " broadcast_arrays broadcast_to concat flip matmul matrix_transpose meshgrid moveaxis permute_dims repeat reshape"
    " roll squeeze stack take tensordot tile tril triu unstack vecdot"
)
LINALG = (
    "cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank matrix_transpose outer"
    " pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm"
)
FFT = "fft fftn fftshift hfft ifft ifftn ifftshift ihfft irfft irfftn rfft rfftn"

__all__ = [
    *FUNCTIONS.split(),
    *DTYPES,
    *"__array_api_version__ __array_namespace_info__ arange argsort asarray astype can_cast clip e empty".split(),
    *"empty_like expand_dims expm1 eye fft finfo floor_divide from_dlpack full full_like iinfo inf isdtype".split(),
    *"linalg linspace nan".split(),
    *"newaxis ones ones_like pi result_type searchsorted sort special take_along_axis zeros zeros_like".split(),
]


def _constants(made: Any) -> Any:
    """The arrays of a NumPy result as constants; a tuple with names keeps them."""
    if isinstance(made, tuple):
        parts = [_constants(part) for part in made]
        return type(made)(*parts) if hasattr(made, "_fields") else tuple(parts)
    return wrap(np.asarray(made), None) if isinstance(made, np.ndarray | np.generic) else made


def _of(numpys: Any) -> Callable[..., Any]:
    """Our function for a callable of NumPy's that is differentiable or constant."""
    function = dispatch.differentiable.get(numpys)
    if function is not None:
        return function
    if dispatch.classify(numpys)[0] != "constant":
        raise NotDifferentiableError(f"the array API's {numpys.__name__} is neither differentiable nor constant")

    def constant(*args: Any, **kwargs: Any) -> Any:
        return _constants(numpys(*bare(args), **bare(kwargs)))  # type: ignore[arg-type]

    with suppress(ValueError):  # of a ufunc, in older versions of NumPy
        constant.__signature__ = signature(numpys)  # type: ignore[attr-defined]
    name = numpys.__name__
    return named(constant, name, f"``numpy.{name}``: its derivative is zero wherever it exists.")


def _extension(numpys: Any, names: str, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(**{name: _of(getattr(numpys, name)) for name in names.split()}, **more)


globals().update({name: _of(getattr(np, name)) for name in FUNCTIONS.split()})
globals().update(DTYPES)

__array_namespace_info__ = np.__array_namespace_info__


def __getattr__(name: str) -> Any:
    if name == "special":  # where SciPy looks for a namespace's own special functions
        from autodiff import special

        return special
    raise AttributeError(f"the array API {__array_api_version__} has no {name!r}")


# --- arrays from other things ---------------------------------------------------------------------------------------


def _here(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ArgumentError(f"device={device!r}: tensors live on the CPU, device 'cpu'")


def _maker(name: str, standard: Callable[..., Any]) -> Callable[..., Any]:
    ours = creation.MAKERS.get(name) or getattr(creation, name)
    takes = signature(standard)

    def make(*args: Any, **kwargs: Any) -> Any:
        given = takes.bind(*args, **kwargs)
        _here(given.arguments.pop("device", None))
        return ours(*given.args, **given.kwargs)

    make.__signature__ = takes  # type: ignore[attr-defined]
    return named(make, name, f"``autodiff.{name}``, with the array API's arguments.")


def _of_shape(shape: Any, *, dtype: Any = None, device: Any = None) -> None: ...
def _of_array(x: Any, /, *, dtype: Any = None, device: Any = None) -> None: ...
def _of_value(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> None: ...
def _of_both(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> None: ...
def _of_range(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> None: ...
def _of_rows(n_rows: Any, n_cols: Any = None, /, *, k: Any = 0, dtype: Any = None, device: Any = None) -> None: ...


empty, ones, zeros = (_maker(name, _of_shape) for name in ("empty", "ones", "zeros"))
empty_like, ones_like, zeros_like = (_maker(f"{name}_like", _of_array) for name in ("empty", "ones", "zeros"))
full, full_like = _maker("full", _of_value), _maker("full_like", _of_both)
arange, eye = _maker("arange", _of_range), _maker("eye", _of_rows)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    """A Tensor of numbers, nested lists, an array or a Tensor; of a Tensor differentiable.

    Parameters
    ----------
    obj : scalar, nested lists, array or Tensor
    dtype : dtype, optional
    device : "cpu" or None
    copy : bool or None
        True: always an array of its own. False: never, a ValueError where one would be needed, as it is of all but
        Tensors. None: a Tensor as it is.
    """
    _here(device)
    if hasattr(obj, "_node"):
        if copy is False and dtype is not None and obj.dtype != dtype:
            raise ArgumentError(f"asarray: a tensor of dtype {obj.dtype} cannot become {dtype} without a copy")
        made = obj if dtype is None or obj.dtype == dtype else obj.astype(dtype)
        return made.copy() if copy and made is obj else made
    _not_shared("asarray", copy)
    return shaping.array(obj, dtype) if dispatch.holds_tensor(obj) else above.tensor(obj, dtype=dtype)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """A Tensor of another library's array, through DLPack; the numbers are copied."""
    _here(device)
    _not_shared("from_dlpack", copy)
    return above.tensor(np.from_dlpack(x))


def _not_shared(name: str, copy: bool | None) -> None:
    if copy is False:  # written into after its use, the memory would no longer hold what a gradient needs
        raise ArgumentError(f"{name}(copy=False): a Tensor has numbers of its own; leave copy out")


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Any:
    """``autodiff.linspace``, differentiable in its ends."""
    _here(device)
    return _of(np.linspace)(start, stop, num, endpoint=endpoint, dtype=dtype)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """``autodiff.astype``, with the array API's ``device``."""
    _here(device)
    return elementwise.astype(x, dtype, copy=copy)


# --- dtypes ---------------------------------------------------------------------------------------------------------


class Finfo(NamedTuple):
    """What a floating-point dtype can hold, in Python numbers."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: Any


class Iinfo(NamedTuple):
    """What an integer dtype can hold."""

    bits: int
    max: int
    min: int
    dtype: Any


def _dtype(of: Any) -> Any:
    return np.dtype(getattr(of, "dtype", of))


def finfo(type: Any, /) -> Finfo:
    """The limits of a floating-point or complex dtype, or of an array's."""
    info = np.finfo(_dtype(type))
    eps, most, least, normal = map(float, (info.eps, info.max, info.min, info.smallest_normal))
    return Finfo(int(info.bits), eps, most, least, normal, np.dtype(info.dtype))


def iinfo(type: Any, /) -> Iinfo:
    """The limits of an integer dtype, or of an array's."""
    info = np.iinfo(_dtype(type))
    return Iinfo(int(info.bits), int(info.max), int(info.min), np.dtype(info.dtype))


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether the rules of promotion lead from a dtype or an array to a dtype."""
    return np.can_cast(_dtype(from_), to)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind: "bool", "integral", "real floating", a dtype, ..., or a tuple of these."""
    return np.isdtype(dtype, kind)


def result_type(*arrays_and_dtypes: Any) -> Any:
    """The dtype of what arithmetic with these arrays, dtypes and Python numbers gives."""
    return np.result_type(*bare(arrays_and_dtypes))


# --- where the standard's signature or its special values are others ------------------------------------------------


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """``autodiff.clip``."""
    return _of(np.clip)(x, min=min, max=max)


def expm1(x: Any, /) -> Any:
    """``autodiff.expm1``; where NumPy's has not C99's special values of complex numbers, ``exp(x) - 1``."""
    value = np.asarray(bare(x))
    odd = ~np.isfinite(value) | (value == 0)
    if value.dtype.kind != "c" or not odd.any():
        return _of(np.expm1)(x)
    where = _of(np.where)
    return where(odd, _of(np.exp)(where(odd, x, 0)) - 1, _of(np.expm1)(where(odd, 1, x)))


def floor_divide(x1: Any, x2: Any, /) -> Any:
    """``numpy.floor_divide``, a constant; of one infinity the quotient itself, where NumPy has NaN or -1."""
    floored = _of(np.floor_divide)(x1, x2)
    odd = np.isinf(bare(x1)) != np.isinf(bare(x2))
    return wrap(np.where(odd, bare(x1) / bare(x2), bare(floored)), None) if odd.any() else floored


def expand_dims(x: Any, /, axis: int = 0) -> Any:
    """``autodiff.expand_dims``, by default at the front."""
    return shaping.expand_dims(x, axis)


def _ascending(x: Any, axis: int, descending: bool, stable: bool) -> Any:
    """The places of the elements in order; equal ones stay in theirs, in descending order, too."""
    array = np.asarray(bare(x))
    if not descending:
        return np.argsort(array, axis=axis, stable=stable)
    places = np.argsort(np.flip(array, axis), axis=axis, stable=stable)
    return np.flip(array.shape[axis] - 1 - places, axis)


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The places of the elements in order, a constant."""
    return wrap(_ascending(x, axis, descending, stable), None)


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The elements in order; each has the gradient of its new place."""
    return take_along_axis(x, _ascending(x, axis, descending, stable), axis=axis)


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """``autodiff.take_along_axis``; the axis is named."""
    return _of(np.take_along_axis)(x, indices, axis)


def searchsorted(x1: Any, x2: Any, /, *, side: Any = "left", sorter: Any = None) -> Any:
    """The places at which ``x2`` goes into the ascending ``x1``, a constant."""
    return _constants(np.searchsorted(bare(x1), bare(x2), side, bare(sorter)))


def _frequencies(numpys: Callable[..., Any]) -> Callable[..., Any]:
    def function(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Any:
        _here(device)
        return wrap(numpys(n, d).astype(dtype or np.float64), None)

    return named(function, numpys.__name__, f"``numpy.fft.{numpys.__name__}``, a constant.")


linalg = _extension(np.linalg, LINALG)
fft = _extension(np.fft, FFT, fftfreq=_frequencies(np.fft.fftfreq), rfftfreq=_frequencies(np.fft.rfftfreq))
