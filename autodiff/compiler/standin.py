"""The stand-in for an array during a recording.

It holds the true array, answers every question about shape and dtype from it, and sends every computation through the
recorder. It is no subclass of ndarray on purpose: C code that would read a subclass's memory without a word must ask a
stranger to convert itself, and so no read goes unnoticed. It only claims to be an ndarray (``__class__``), since the
code that is being recorded asks.

After the recording a stand-in that somebody kept computes like the array that it holds.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff.batching import Batched
from autodiff.core.modes import current_state
from autodiff.core.op import differentiable

__all__ = ["OPERATORS", "Recorded", "bare", "exactly", "mapped", "outlined"]

_FACTS = ("shape", "dtype", "ndim", "size", "itemsize", "nbytes", "strides", "flags", "base", "device")
_VIEWS = ("T", "mT", "real", "imag")
# Methods that give arrays or numbers; the reductions among them are recorded as their ufunc's reduce.
_METHODS = """all any argmax argmin argpartition argsort astype byteswap choose clip compress conj conjugate copy
    cumprod cumsum diagonal dot fill flatten item max mean min nonzero partition prod put ravel repeat reshape round
    searchsorted sort squeeze std sum swapaxes take trace transpose var view""".split()
_READS = """tolist tobytes dump dumps tofile __float__ __int__ __complex__ __index__ __round__ __format__ __str__
    __repr__ as_integer_ratio bit_count bit_length getfield hex is_integer resize setfield to_bytes""".split()
_MEMORY = {
    "flat": "elements were walked with .flat; use .reshape(-1)",
    "data": "memory was asked for with .data",
    "ctypes": "address was asked for with .ctypes",
}
_INSTEAD = "np.take(array, i) for array[i], and into what np.zeros_like(x) makes instead of a plain array"


def _ufuncs(names: str, ufuncs: str) -> dict[str, Any]:
    return {name: getattr(np, ufunc) for name, ufunc in zip(names.split(), ufuncs.split(), strict=True)}


def _pythons(name: str) -> Any:
    return divmod if name == "divmod" else getattr(operator, f"{name}_" if name in ("and", "or") else name)


_BINARY = _ufuncs(
    "add sub mul truediv floordiv mod divmod pow matmul and or xor lshift rshift",
    "add subtract multiply true_divide floor_divide remainder divmod power matmul bitwise_and bitwise_or bitwise_xor"
    " left_shift right_shift",
)
_COMPARED = _ufuncs("eq ne lt le gt ge", "equal not_equal less less_equal greater greater_equal")
_UNARY = _ufuncs("neg pos abs invert", "negative positive absolute invert")
#: Python's operators and the ufuncs that arrays make of them.
OPERATORS = {_pythons(name): ufunc for name, ufunc in (_BINARY | _COMPARED | _UNARY).items()}


class Recorded:
    """An array, NumPy scalar or number whose every use is noted.

    Attributes
    ----------
    value : numpy.ndarray, numpy.generic, int or float
        What it truly is.
    slot : Slot
        What the recorder knows it as.
    recorder : Recorder
    """

    __slots__ = ("__weakref__", "recorder", "slot", "value")

    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 1e6

    def __init__(self, value: Any, slot: Any, recorder: Any) -> None:
        self.value = value
        self.slot = slot
        self.recorder = recorder

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.value)

    # --- NumPy's protocols --------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(hasattr(value, "_node") or isinstance(value, Batched) for value in inputs):
            return NotImplemented  # a batch is stacked stand-ins, whose own protocol asks these
        out = kwargs.get("out")
        if out is not None and len(out) == 1:
            kwargs["out"] = out[0]
        if method == "reduce" and isinstance(inputs[0], np.ndarray):
            usual = {"axis": 0, "dtype": None, "out": None, "keepdims": False}
            order = [kwargs.pop(name, value) for name, value in usual.items()]
            return self.recorder.call(ufunc.reduce, (*inputs, *order), kwargs)
        return self.recorder.call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if any(hasattr(kind, "_node") for kind in types):
            ours, state = differentiable.get(function), current_state()
            if ours is None:
                return NotImplemented
            return (ours if state is None or state.tracer is None else state.tracer.own(ours))(*args, **kwargs)
        if any(issubclass(kind, Batched) for kind in types):
            return NotImplemented
        return self.recorder.function(function, args, kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        self.recorder.read(
            self,
            "a computed value was made a plain array, as SciPy, C code and NumPy's own arrays do; write np.stack([...])"
            f" for np.array([...]), {_INSTEAD}",
        )
        return np.array(self.value, dtype=dtype, copy=copy)

    def as_array(self, dtype: Any = None, copy: bool = False) -> Any:
        """What ``np.asarray`` and ``np.array`` would give, which cannot be told of a stand-in."""
        if copy or (dtype is not None and np.dtype(dtype) != self.value.dtype):
            return self.recorder.call(np.array, (self,), {} if dtype is None else {"dtype": dtype})
        return self if isinstance(self.value, np.ndarray) else self.recorder.call(np.asarray, (self,), {})

    def setflags(self, **flags: bool) -> None:
        """Whether the memory may be written into: nothing that a stand-in stands for is."""

    # --- indexing -----------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        return self.recorder.call(operator.getitem, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        self.recorder.call(operator.setitem, (self, key, value), {})

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self.value)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __bool__(self) -> bool:
        found: bool = self.recorder.truth(self)
        return found

    def __reduce__(self) -> Any:
        self.recorder.read(self, "a computed value was copied or pickled")
        return self.value.__reduce__()


def mapped(leaf: Callable[[Any], Any], value: Any) -> Any:
    """A template with ``leaf(part)`` for every part of its tuples, lists, dicts and slices."""
    kind = type(value)
    if kind is list:
        return [mapped(leaf, part) for part in value]
    if kind is dict:
        return {key: mapped(leaf, part) for key, part in value.items()}
    if kind is slice:
        return slice(mapped(leaf, value.start), mapped(leaf, value.stop), mapped(leaf, value.step))
    if issubclass(kind, tuple):
        return tuple.__new__(kind, [mapped(leaf, part) for part in value])
    return leaf(value)


def outlined(leaf: Callable[[Any], Any], value: Any) -> Any:
    """A template as something that can be compared: its tuples, lists, dicts and slices, with ``leaf(part)`` for every
    part of them.
    """
    kind = type(value)
    if kind is list or issubclass(kind, tuple):
        return (kind, *[outlined(leaf, part) for part in value])
    if kind is dict:
        return (kind, *[(key, outlined(leaf, part)) for key, part in value.items()])
    if kind is slice:
        return kind, outlined(leaf, value.start), outlined(leaf, value.stop), outlined(leaf, value.step)
    return leaf(value)


def exactly(value: Any) -> Any:
    """A value as something that is equal for values of one type and of the same bits alone: 0.0 and -0.0 are two.

    Raises
    ------
    TypeError
        If it is not hashable.
    """
    kind = value.__class__
    if isinstance(value, np.ndarray | np.generic):
        return kind, value.shape, value.strides, value.dtype, value.tobytes()
    if isinstance(value, float | complex):
        return kind, repr(value)
    hash(value)
    return kind, value


def bare(value: Any) -> Any:
    """Stand-ins replaced by what they stand for, also inside lists, tuples, dicts and slices."""
    return mapped(_bare, value)


def _bare(value: Any) -> Any:
    return value.value if type(value) is Recorded else value


def _fact(name: str) -> Any:
    return property(lambda self: getattr(self.value, name))


def _view(name: str) -> Any:
    return property(lambda self: self.recorder.attribute(name, self))


def _method(name: str) -> Callable[..., Any]:
    def method(self: Recorded, *args: Any, **kwargs: Any) -> Any:
        return self.recorder.method(name, self, args, kwargs)

    method.__name__ = name
    return method


def _read(name: str) -> Callable[..., Any]:
    def read(self: Recorded, *args: Any) -> Any:
        said = (
            f"a computed value was read by {name.strip('_')}(); return it, or name what it comes of in static_argnames"
        )
        self.recorder.read(self, f"{said}, and write {_INSTEAD}" if name in ("__float__", "__index__") else said)
        return getattr(self.value, name)(*args)

    read.__name__ = name
    return read


def _inside(name: str, reason: str) -> Any:
    def look(self: Recorded) -> Any:
        self.recorder.read(self, reason)
        return getattr(self.value, name)

    return property(look)


def _operator(name: str, ufunc: Any, swapped: bool = False) -> Callable[..., Any]:
    scalar = _pythons(name)

    def apply(self: Recorded, other: Any) -> Any:
        if hasattr(other, "_node") or isinstance(other, Batched):
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        # Two scalars go through Python's operator, which rounds as NumPy's scalars do; anything else is the ufunc that
        # ndarray would call.
        arrays = isinstance(self.value, np.ndarray) or isinstance(other, np.ndarray)
        if name == "pow" and np.result_type(bare(self), np.asarray(bare(other))).kind != "f":
            arrays = False  # of integers and complex numbers NumPy's operator and its ufunc differ
        return self.recorder.call(ufunc if arrays else scalar, pair, {})

    return apply


def _in_place(name: str, ufunc: Any) -> Callable[..., Any]:
    def apply(self: Recorded, other: Any) -> Any:
        if not isinstance(self.value, np.ndarray):
            return _pythons(name)(self, other)
        return self.recorder.call(ufunc, (self, other), {"out": self})

    return apply


def _unary(name: str, ufunc: Any) -> Callable[..., Any]:
    return lambda self: self.recorder.call(ufunc if isinstance(self.value, np.ndarray) else _pythons(name), (self,), {})


for _name in _FACTS:
    setattr(Recorded, _name, _fact(_name))
for _name in _VIEWS:
    setattr(Recorded, _name, _view(_name))
for _name in _METHODS:
    setattr(Recorded, _name, _method(_name))
for _name in _READS:
    setattr(Recorded, _name, _read(_name))
for _name, _what in _MEMORY.items():
    setattr(Recorded, _name, _inside(_name, f"a computed value's {_what}"))
for _name in ("__copy__", "__deepcopy__"):
    setattr(Recorded, _name, lambda self, memo=None: self.recorder.method("copy", self, (), {}))
for _name, _ufunc in _BINARY.items():
    setattr(Recorded, f"__{_name}__", _operator(_name, _ufunc))
    setattr(Recorded, f"__r{_name}__", _operator(_name, _ufunc, swapped=True))
    setattr(Recorded, f"__i{_name}__", _in_place(_name, _ufunc))
for _name, _ufunc in _COMPARED.items():
    setattr(Recorded, f"__{_name}__", _operator(_name, _ufunc))
for _name, _ufunc in _UNARY.items():
    setattr(Recorded, f"__{_name}__", _unary(_name, _ufunc))
