"""What stands beside Tensors: lists of Tensors are joined, plain numbers read, and arrays of other classes left alone.

An array class with rules of its own (units, masks, labels, matrix products, lazy or sparse storage) is never taken for
its numbers: that would drop what it stands for, and often the answer would be wrong. Which classes these are is not
listed. A class says so itself, by NumPy's protocols (NEP 13 and 18): it has an ``__array_ufunc__``, an
``__array_function__`` or an ``__array_priority__`` that an ndarray has not. A binary operator answers NotImplemented to
such an operand, so that the other class can say what the result is; everything else raises
:class:`~autodiff.core.errors.ForeignArrayError`.

pandas' objects are taken by position if their labels are the default ones, since then labels and positions agree.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from autodiff.batching import Batched
from autodiff.core.errors import DTypeError, ForeignArrayError
from autodiff.core.op import above, argument
from autodiff.dispatch import holds_tensor

#: What to write instead, by the beginning of the module that a class is from.
_REMEDIES = {
    "numpy.ma.": "fill it first (m.filled(0)), and use np.where with its mask",
    "numpy.matrix": "pass np.asarray(m), and write @ for the matrix product",
    "pandas": "its labels are not 0, 1, 2, ..., and would be lost; pass .to_numpy() if positions are meant",
    "xarray": "pass .values if its numbers alone are meant",
    "scipy.sparse": "write t @ A, or autodiff.sparse.csr_array(A) @ t for A @ t, or pass A.toarray()",
    "torch": "pass .detach().numpy()",
}


def as_array(value: Any, dtype: Any = None, copy: bool = False) -> Any:
    """``np.asarray(value)``, or ``np.array(value)`` to copy; of a stand-in of ``autodiff.jit`` another stand-in."""
    kind = type(value)
    if kind is np.ndarray and not copy and dtype is None:
        return value
    made = getattr(kind, "as_array", None)
    if made is not None:
        return made(value, dtype, copy)
    return np.array(value, dtype=dtype) if copy else np.asarray(value, dtype=dtype)


@functools.lru_cache(maxsize=256)
def _has_rules(kind: type, ufunc: bool) -> bool:
    """Whether a class asks, by NumPy's protocols, not to be taken for its numbers in a ufunc, or elsewhere."""
    if issubclass(kind, np.generic):
        return False
    if issubclass(kind, np.ndarray):
        return (
            kind.__array_ufunc__ is not np.ndarray.__array_ufunc__
            or kind.__array_function__ is not np.ndarray.__array_function__
            or _priority(kind) > 0
        )
    if hasattr(kind, "__array_function__") or getattr(kind, "__array_ufunc__", "") is None:
        return True
    return ufunc and (hasattr(kind, "__array_ufunc__") or _priority(kind) > 0)


def _priority(kind: type) -> float:
    found = getattr(kind, "__array_priority__", 0)
    return found if isinstance(found, int | float) else 0  # of ndarray itself it is a descriptor


def _default_labels(value: Any) -> bool:
    """Whether the labels of a pandas object are 0, 1, 2, ... on every axis; an index of its own has none."""
    axes = getattr(value, "axes", None)
    return axes is None or all(getattr(a, "start", None) == 0 and getattr(a, "step", None) == 1 for a in axes)


def is_foreign(value: Any, ufunc: bool = True) -> bool:
    """Whether a value is an array of a class with rules of its own."""
    kind = type(value)
    if kind is np.ndarray or hasattr(value, "_node") or isinstance(value, Batched) or hasattr(kind, "as_array"):
        return False
    if not _has_rules(kind, ufunc):  # type: ignore[arg-type]
        return False
    # Tensor claims precedence over pandas' classes (``__pandas_priority__``), so it answers for them.
    return not (hasattr(kind, "__pandas_priority__") and _default_labels(value))


def read(op: Any, position: int, value: Any) -> Any:
    """An input that is neither a Tensor, nor an ndarray, nor a number: as an array, or as a Tensor of joined Tensors.

    Raises
    ------
    ForeignArrayError
        If its class has rules of its own.
    DTypeError
        If it holds no numbers.
    """
    if value is None:
        raise DTypeError(
            f"{op.name}: argument {argument(op, position)} is None; does what computed it return its result?"
        )
    if isinstance(value, Batched):
        return value  # arrays of a transform's own
    if hasattr(type(value), "as_array"):
        return as_array(value)  # a stand-in of autodiff.jit for a NumPy scalar
    if isinstance(value, int):
        return int(value)  # a kind of integer of somebody's own is as weak as Python's
    if holds_tensor(value):
        from autodiff.ops.shaping import array as join

        return join(value)
    if is_foreign(value, op.elementwise or op.name == "matmul"):
        raise ForeignArrayError(_refusal(op, position, value))
    array = np.array(value)  # a copy: an object may share its memory with the array that it makes
    array.setflags(write=False)
    if array.dtype.kind == "O":
        raise ForeignArrayError(_refusal(op, position, value, "an object that is no array of numbers"))
    if array.dtype.kind not in "biufc":
        raise DTypeError(
            f"{op.name}: argument {argument(op, position)} is a {type(value).__name__} that makes an array of dtype"
            f" {array.dtype}; pass numbers"
        )
    return array


def comparison_refused(name: str, value: Any) -> ForeignArrayError:
    """What to raise where a comparison with another class would be answered by nobody, and ``==`` be False."""
    return ForeignArrayError(f"{name}: {_words(value)}")


def _refusal(op: Any, position: int, value: Any, what: str = "an array class with rules of its own") -> str:
    return f"{op.name}: argument {argument(op, position)} is {_words(value, what)}"


def _words(value: Any, what: str = "an array class with rules of its own") -> str:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    hint = next((words for start, words in _REMEDIES.items() if name.startswith(start)), None)
    if hint is None:
        hint = (
            "pass np.asarray(...) of it if its numbers alone are meant"
            if hasattr(kind, "__array__")
            else "pass numbers"
        )
    return f"a {name}, {what}; {hint}"


def is_plain(value: Any) -> bool:
    """Whether a result is an array or number of NumPy's own, to be handed on as a Tensor."""
    return isinstance(value, np.generic | Batched) or (isinstance(value, np.ndarray) and not is_foreign(value))


def answers_ufuncs(value: Any) -> bool:
    """Whether a foreign operand has an ``__array_ufunc__`` of its own for NumPy to ask."""
    asked = getattr(type(value), "__array_ufunc__", None)
    return is_foreign(value) and callable(asked) and asked is not np.ndarray.__array_ufunc__


above.read = read
