"""Many cotangents in one backward pass: an array with one more axis in front that gradient rules do not see.

A Jacobian needs the pullback of every basis vector. Instead of one pass per vector, a :class:`Batched` cotangent
carries them all through a single pass: it says it has the shape of one of them, and when a rule calls NumPy on it,
NumPy's protocols call here, where the axes are shifted past the hidden one. Only cotangents are ever batched; what a
rule saved is a plain array.

Whatever has no entry below runs once per cotangent and is stacked: slower, never wrong. What cannot even be looped over
from here (writing with ``out=``, a plain array demanded) raises :class:`Unbatchable`, and the engine loops over that
rule instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autodiff.core import backward
from autodiff.core.backward import Unbatchable as Unbatchable
from autodiff.core.errors import GraphError


def is_batched(value: Any) -> bool:
    """Whether ``value`` is a batch of cotangents."""
    return value.__class__ is Batched


class Batched(np.lib.mixins.NDArrayOperatorsMixin):
    """Cotangents of one shape, stacked along a hidden first axis.

    Examples
    --------
    >>> g = Batched(np.ones((5, 2, 3)))
    >>> g.shape, (g * np.ones(3)).shape, np.sum(g, axis=0).array.shape
    ((2, 3), (2, 3), (5, 3))
    """

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array

    shape = property(lambda self: self.array.shape[1:])
    ndim = property(lambda self: self.array.ndim - 1)
    dtype = property(lambda self: self.array.dtype)
    real = property(lambda self: self._like(self.array.real))
    imag = property(lambda self: self._like(self.array.imag))
    flags = property(lambda self: (self.array[0] if len(self.array) else self.array).flags)
    T = property(lambda self: np.transpose(self))
    base = None

    def _like(self, array: Any) -> Any:
        """Another array with the same hidden axis."""
        return Batched(array)

    @property
    def size(self) -> int:
        """Elements of one cotangent."""
        return int(np.prod(self.shape, dtype=int))

    def __len__(self) -> int:
        return int(self.array.shape[1])

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Over the visible axes."""
        return np.sum(self, axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Along the visible axes."""
        return np.all(self, axis=axis, keepdims=keepdims)

    def any(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Along the visible axes."""
        return np.any(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> Any:
        """Of the visible axes."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape)  # type: ignore[call-overload]

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """In another dtype."""
        return self._like(self.array.astype(dtype, copy=copy))

    def copy(self) -> Any:
        """With an array of its own."""
        return self._like(self.array.copy())

    def conj(self) -> Any:
        """The complex conjugate."""
        return self._like(np.conjugate(self.array))

    def __getitem__(self, index: Any) -> Any:
        shifted = shifted_index(index)
        if shifted is None:
            found = _loop(lambda part: part[index], (Batched(self.array),), {})
            return self._like(found.array)
        return self._like(self.array[shifted])

    def __setitem__(self, index: Any, value: Any) -> None:
        raise Unbatchable

    def __bool__(self) -> bool:
        """What each of them answers, if they agree."""
        if self.size != 1 or not len(self.array):
            raise Unbatchable
        if np.all(self.array):
            return True
        if np.any(self.array):
            raise Unbatchable
        return False

    def __float__(self) -> Any:
        raise Unbatchable

    __int__ = __index__ = __iter__ = __float__

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise Unbatchable

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise Unbatchable

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if not kwargs and method == "__call__" and ufunc.signature is None and ufunc.nout == 1:
            return Batched(ufunc(*_aligned(inputs)))
        if "out" in kwargs or method not in ("__call__", "reduce"):
            raise Unbatchable
        if method == "reduce":
            return _reduction(ufunc.reduce)(*inputs, **{"axis": 0, **kwargs})
        if ufunc is np.matmul:
            return _matmul(*inputs)
        if ufunc.signature is not None:
            return _loop(ufunc, inputs, kwargs)
        return _wrap(ufunc(*_aligned(inputs), **kwargs))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        handler = _HANDLERS.get(function)
        if handler is not None:
            return handler(*args, **kwargs)
        if kwargs.get("out") is not None:
            raise Unbatchable
        return _loop(function, args, kwargs)


class Lanes(Batched):
    """The values of a tensor at one level of ``vmap``, one of each lane along the hidden axis.

    ``array`` may hold the lanes of an outer level in its turn. Arithmetic on several levels begins with the innermost.
    """

    __slots__ = ("level",)

    def __init__(self, array: Any, level: Any) -> None:
        self.array = array
        self.level = level

    def _like(self, array: Any) -> Any:
        return Lanes(array, self.level)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        needs_alive(self.level)
        raise Unbatchable

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            needs_alive(self.level)
        return super().__getattr__(name)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(hasattr(x, "_node") or x.__class__ is Batched for x in inputs):
            return NotImplemented
        return _at_innermost(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(not issubclass(kind, (Lanes, np.ndarray)) and not hasattr(kind, "as_array") for kind in types):
            return NotImplemented
        if function in (np.shape, np.ndim, np.size):
            return _HANDLERS[function](*args, **kwargs)
        return _at_innermost(function, args, kwargs)


def needs_alive(level: Any) -> None:
    """Refuse what is left of a level of ``vmap`` that has ended."""
    if not level.alive:
        raise GraphError(
            "a tensor holds the examples of a vmap that has ended: the function wrote one of them into a tensor from"
            " outside, or kept it; let the function return what is needed"
        )


def _at_innermost(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    found: list[Any] = []
    _every(Lanes, lambda v: found.append(v.level), [list(args), kwargs])
    for one in found:
        needs_alive(one)
    level = max(found, key=lambda one: one.depth)
    lowered = _every(Lanes, lambda v: Batched(v.array) if v.level is level else v, [list(args), kwargs])
    if function not in _HANDLERS and hasattr(function, "__wrapped__"):  # no ufunc: goes to _loop
        level.looped[function.__name__] = None
    return _tagged(function(*lowered[0], **lowered[1]), level)


def _every(kind: Any, function: Callable[[Any], Any], value: Any) -> Any:
    """Nested lists, tuples and dicts with everything of a kind replaced."""
    if value.__class__ is kind:
        return function(value)
    if isinstance(value, (list, tuple)):
        parts = [_every(kind, function, v) for v in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    if isinstance(value, dict):
        return {key: _every(kind, function, v) for key, v in value.items()}
    return value


def _tagged(result: Any, level: Any) -> Any:
    if result.__class__ is Batched:
        return Lanes(result.array, level)
    if isinstance(result, (list, tuple)):
        return _rebuilt(result, [_tagged(part, level) for part in result])
    return result


def _rebuilt(like: Any, parts: list[Any]) -> Any:
    """A list, tuple or named tuple of other parts."""
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts) if isinstance(like, tuple) else parts


def _wrap(result: Any) -> Any:
    return tuple(Batched(r) for r in result) if isinstance(result, tuple) else Batched(result)


def _aligned(values: Any) -> list[Any]:
    """Arrays that broadcast as the visible shapes do, hidden axis first."""
    arrays, places, ndim = [], [], 0
    for v in values:
        if v.__class__ is Batched:
            a = v.array
            visible = a.ndim - 1
            places.append(visible)
        else:
            a = v
            visible = a.ndim if a.__class__ is np.ndarray else np.ndim(a)
            places.append(-1)
        arrays.append(a)
        if visible > ndim:
            ndim = visible
    for i, visible in enumerate(places):
        if 0 <= visible < ndim:
            shape = arrays[i].shape
            arrays[i] = arrays[i].reshape(shape[:1] + (1,) * (ndim - visible) + shape[1:])
    return arrays


def each(value: Any, i: int) -> Any:
    """Cotangent ``i`` of every batch inside nested lists, tuples and dicts; of a batch of none, one of ones."""

    def one(batch: Batched) -> Any:
        array = batch.array
        return array[i, ...] if len(array) else np.ones(array.shape[1:], array.dtype)[()]

    return _every(Batched, one, value)


def count(value: Any) -> int | None:
    """How many cotangents a batch inside nested lists, tuples and dicts holds."""
    if value.__class__ is Batched:
        return int(value.array.shape[0])
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    for part in parts:
        n = count(part)
        if n is not None:
            return n
    return None


def _loop(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    n = count([args, kwargs])
    assert n is not None
    args, kwargs = _every(np.ndarray, _guarded, [tuple(args), kwargs])
    try:
        results = [function(*each(args, i), **each(kwargs, i)) for i in range(max(n, 1))]
    except ValueError as error:
        if "read-only" in str(error) or "WRITEBACKIFCOPY" in str(error):  # it writes into an array that all share
            raise Unbatchable from error
        raise
    if isinstance(results[0], (list, tuple)):
        return _rebuilt(results[0], [_stacked(parts, n) for parts in zip(*results, strict=True)])
    return _stacked(results, n)


def _guarded(array: Any) -> Any:
    array = array.view()
    array.flags.writeable = False
    return array


def _stacked(parts: Sequence[Any], n: int) -> Batched:
    """Results of a batch of ``n``; where that is none, one tells their shape."""
    return Batched(np.stack(parts)[:n])


def shifted_index(index: Any) -> Any:
    """The index past the hidden axis, or None where NumPy would move the hidden axis away from the front."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(p, Batched) for p in parts):
        return None
    fancy = [i for i, p in enumerate(parts) if not (p is None or p is Ellipsis or isinstance(p, slice))]
    arrays = [i for i in fancy if isinstance(parts[i], bool) or not isinstance(parts[i], (int, np.integer))]
    if arrays and fancy[-1] - fancy[0] + 1 != len(fancy):
        return None
    return (slice(None), *parts)


def scatter(v: Batched, index: Any, shape: tuple[int, ...], unique: bool) -> Batched:
    """Zeros of ``shape`` with every cotangent added at ``index``."""
    shifted = shifted_index(index)
    if shifted is None:
        raise Unbatchable
    result = np.zeros_like(v.array, shape=(v.array.shape[0], *shape), order="C")
    if unique:
        result[shifted] = v.array
    else:
        np.add.at(result, shifted, v.array)
    return Batched(result)


def written(x: Any, v: Any, index: Any) -> Batched:
    """``x`` with ``v`` written at ``index``, either or both of them a batch."""
    shifted = shifted_index(index)
    if shifted is None:
        raise Unbatchable
    n = count([x, v])
    array = x.array if x.__class__ is Batched else np.broadcast_to(x, (n, *np.shape(x)))  # type: ignore[arg-type]
    result = np.array(array)
    ndim = result[shifted].ndim - 1
    result[shifted] = _aligned([v, np.empty((1,) * ndim)])[0]
    return Batched(result)


# --- NumPy functions, with their axes shifted -------------------------------------------------------------------------


def axes_behind(axis: Any, ndim: int, twice: bool = False) -> tuple[int, ...]:
    """Visible axes as those of the array, None as all; whether one may be named twice."""
    if axis is None:
        return tuple(range(1, ndim + 1))
    return tuple(a + 1 for a in normalize_axis_tuple(axis, ndim, allow_duplicate=twice))


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def handler(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any
    ) -> Any:
        if out is not None or kwargs:
            raise Unbatchable
        return Batched(function(a.array, axis=axes_behind(axis, a.ndim), dtype=dtype, keepdims=bool(keepdims)))

    return handler


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    def handler(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, where: Any = True, **kw: Any) -> Any:
        if out is not None or not is_batched(a) or is_batched(kw.get("initial")):
            raise Unbatchable
        if where is not True:
            kw["where"] = _aligned((np.broadcast_to(where, a.shape),))[0]
        return Batched(function(a.array, axis=axes_behind(axis, a.ndim), keepdims=bool(keepdims), **kw))

    return handler


def _flat(array: Any) -> Any:
    """Each of a batch as one axis; there may be none."""
    return array.reshape(len(array), prod(array.shape[1:]))


def _cumulative(function: Callable[..., Any]) -> Callable[..., Any]:
    def handler(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        if out is not None:
            raise Unbatchable
        if axis is None:
            return Batched(function(_flat(a.array), axis=1, dtype=dtype))
        return Batched(function(a.array, axis=normalize_axis_index(axis, a.ndim) + 1, dtype=dtype))

    return handler


def _order(function: Callable[..., Any]) -> Callable[..., Any]:
    def handler(a: Any, axis: Any = -1, **kwargs: Any) -> Any:
        if axis is None:
            return Batched(function(_flat(a.array), axis=1, **kwargs))
        return Batched(function(a.array, axis=normalize_axis_index(axis, a.ndim) + 1, **kwargs))

    return handler


def _place(function: Callable[..., Any]) -> Callable[..., Any]:
    def handler(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        if out is not None:
            raise Unbatchable
        if axis is None:
            found = function(_flat(a.array), axis=1)
            return Batched(found.reshape(len(found), *(1,) * a.ndim) if keepdims is True else found)
        return Batched(function(a.array, axis=normalize_axis_index(axis, a.ndim) + 1, keepdims=keepdims is True))

    return handler


def _clip(a: Any, a_min: Any = None, a_max: Any = None, **kwargs: Any) -> Any:
    if kwargs or a_min is None or a_max is None:
        raise Unbatchable
    return Batched(np.clip(*_aligned((a, a_min, a_max))))


def _reshape(a: Any, shape: Any, order: str = "C", **kwargs: Any) -> Any:
    if order != "C" or kwargs:
        raise Unbatchable
    wanted = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    if -1 in wanted:
        wanted[wanted.index(-1)] = a.size // max(int(np.prod([n for n in wanted if n != -1], dtype=int)), 1)
    return Batched(a.array.reshape(a.array.shape[0], *wanted))


def _transpose(a: Any, axes: Any = None) -> Any:
    order = range(a.ndim)[::-1] if axes is None else normalize_axis_tuple(axes, a.ndim)
    return Batched(a.array.transpose(0, *(i + 1 for i in order)))


def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return Batched(
        np.swapaxes(a.array, normalize_axis_index(axis1, a.ndim) + 1, normalize_axis_index(axis2, a.ndim) + 1)
    )


def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    return Batched(np.moveaxis(a.array, axes_behind(source, a.ndim), axes_behind(destination, a.ndim)))


def _expand_dims(a: Any, axis: Any) -> Any:
    n = len(axis) if isinstance(axis, (tuple, list)) else 1
    return Batched(np.expand_dims(a.array, axes_behind(axis, a.ndim + n)))


def _squeeze(a: Any, axis: Any = None) -> Any:
    axes = tuple(i + 1 for i, n in enumerate(a.shape) if n == 1) if axis is None else axes_behind(axis, a.ndim)
    return Batched(np.squeeze(a.array, axes))


def _broadcast_to(a: Any, shape: Any, subok: bool = False) -> Any:
    wanted = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    (array,) = _aligned([a]) if a.ndim == len(wanted) else _aligned([a, np.empty((1,) * len(wanted))])[:1]
    return Batched(np.broadcast_to(array, (array.shape[0], *wanted)))


def _parts(arrays: Any) -> list[np.ndarray[Any, Any]]:
    n = count(list(arrays))
    return [a.array if a.__class__ is Batched else np.broadcast_to(a, (n, *np.shape(a))) for a in arrays]  # type: ignore[arg-type]


def _concatenate(arrays: Any, axis: Any = 0, out: Any = None, **kwargs: Any) -> Any:
    if out is not None or kwargs:
        raise Unbatchable
    parts = _parts(arrays)
    if axis is None:
        return Batched(np.concatenate(list(map(_flat, parts)), axis=1))
    return Batched(np.concatenate(parts, axis=normalize_axis_index(axis, parts[0].ndim - 1) + 1))


def _stack(arrays: Any, axis: int = 0, out: Any = None, **kwargs: Any) -> Any:
    if out is not None or kwargs:
        raise Unbatchable
    parts = _parts(arrays)
    return Batched(np.stack(parts, axis=normalize_axis_index(axis, parts[0].ndim) + 1))


def _where(condition: Any, *pair: Any) -> Any:
    if not pair:
        raise Unbatchable  # the places, of which each may have another number
    return Batched(np.where(*_aligned([condition, *pair])))


def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        return Batched(np.roll(_flat(a.array), shift, axis=1).reshape(a.array.shape))
    places = axes_behind(axis, a.ndim, True)
    return Batched(np.roll(a.array, shift, places if isinstance(axis, (tuple, list)) else places[0]))


def _matmul(x: Any, y: Any) -> Any:
    """A vector stands for a row on the left and for a column on the right, as in NumPy."""
    row, column = x.ndim == 1, y.ndim == 1
    left = np.expand_dims(x, 0) if row else x
    right = np.expand_dims(y, 1) if column else y
    if left.__class__ is Batched and right.__class__ is not Batched and right.ndim == 2:
        # One product over the rows of all cotangents.
        flat = np.matmul(left.array.reshape(prod(left.array.shape[:-1]), left.shape[-1]), right)
        out = flat.reshape(left.array.shape[:-1] + (right.shape[-1],))
    else:
        out = np.matmul(*_aligned([left, right]))
    if row:
        out = out[..., 0, :]
    if column:
        out = out[..., 0]
    return Batched(out)


def _einsum(subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
    if not isinstance(subscripts, str) or "->" not in subscripts or "." in subscripts:
        raise Unbatchable
    inputs, output = subscripts.replace(" ", "").split("->")
    spare = next(c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in subscripts)
    terms = [(spare if o.__class__ is Batched else "") + s for s, o in zip(inputs.split(","), operands, strict=True)]
    arrays = [o.array if o.__class__ is Batched else o for o in operands]
    return Batched(np.einsum(f"{','.join(terms)}->{spare}{output}", *arrays, **kwargs))


def _filled(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, *args, **kwargs: function(np.broadcast_to(np.empty((), a.dtype), a.shape), *args, **kwargs)


_HANDLERS: dict[Any, Callable[..., Any]] = {
    np.sum: _reduction(np.sum),
    np.mean: _reduction(np.mean),
    np.prod: _reduction(np.prod),
    np.max: _extreme(np.max),
    np.min: _extreme(np.min),
    np.any: _extreme(np.any),
    np.all: _extreme(np.all),
    np.count_nonzero: _extreme(np.count_nonzero),
    np.result_type: lambda *given: np.result_type(*[a.dtype if a.__class__ is Batched else a for a in given]),
    np.cumsum: _cumulative(np.cumsum),
    np.cumprod: _cumulative(np.cumprod),
    np.reshape: _reshape,
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.moveaxis: _moveaxis,
    np.expand_dims: _expand_dims,
    np.squeeze: _squeeze,
    np.broadcast_to: _broadcast_to,
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.where: _where,
    np.flip: lambda m, axis=None: Batched(np.flip(m.array, axes_behind(axis, m.ndim))),
    np.roll: _roll,
    np.einsum: _einsum,
    np.real: lambda a: a.real,
    np.imag: lambda a: a.imag,
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a: a.size,
    np.copy: lambda a, **kwargs: a.copy(),
    np.zeros_like: _filled(np.zeros_like),
    np.ones_like: _filled(np.ones_like),
    np.argsort: _order(np.argsort),
    np.sort: _order(np.sort),
    np.argmax: _place(np.argmax),
    np.argmin: _place(np.argmin),
    np.clip: _clip,
    np.isrealobj: lambda a: a.dtype.kind != "c",
    np.iscomplexobj: lambda a: a.dtype.kind == "c",
    np.linalg.inv: lambda a: Batched(np.linalg.inv(a.array)),
    np.matrix_transpose: lambda a: _swapaxes(a, -1, -2),
    np.linalg.matrix_transpose: lambda a: _swapaxes(a, -1, -2),
}


def _one_by_one(g: Any, apply: Callable[[Any], Any]) -> Any:
    """Apply gradient rules that cannot take a batch of cotangents at once to each, and stack; None if ``g`` is none."""
    n = count(g)
    if n is None:
        return None
    results = [apply(each(g, i)) for i in range(max(n, 1))]
    return [None if results[0][k] is None else _stacked([row[k] for row in results], n) for k in range(len(results[0]))]


backward.above.one_by_one = _one_by_one
