"""Operations that move elements without changing them: reshaping, joining, padding, repeating."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autodiff import dispatch
from autodiff.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.core.op import Primitive, above
from autodiff.ops.common import bare, no_out
from autodiff.views import view_of

P = Primitive


def _inverse(axes: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The permutation that undoes ``axes``."""
    return None if axes is None else tuple(int(i) for i in np.argsort([a % len(axes) for a in axes]))


def _sample_transpose(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=2)
    shift = draw.integer(0, len(shape) - 1)
    return (draw.array(shape), tuple((i + shift) % len(shape) for i in range(len(shape)))), {}


def _sample_broadcast(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(max_ndim=2)
    return (draw.array(shape), (draw.integer(1, 3), *shape)), {}


def _sample_axis(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=1)
    return (draw.array(shape),), {"axis": draw.axis(len(shape))}


def _sample_roll(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    (args, kwargs) = _sample_axis(draw)
    return (*args, draw.integer(-3, 3)), kwargs


def _sample_concatenate(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=1)
    return tuple(draw.array(shape) for _ in range(draw.integer(1, 3))), {"axis": draw.axis(len(shape))}


reshape_ = P(
    "reshape",
    lambda x, shape: np.reshape(x, shape),
    lambda g, out, x, shape: np.reshape(g, x.shape),
    sample=lambda draw: ((draw.array(draw.shape()), (-1,)), {}),
    linear="jointly",
)
transpose_ = P(
    "transpose",
    lambda x, axes=None: np.transpose(x, axes),
    lambda g, out, x, axes=None: np.transpose(g, _inverse(axes)),
    sample=_sample_transpose,
    label="T",
    linear="jointly",
)
# The transpose of repeating is summing, and the engine sums every gradient to its input's shape.
broadcast_to_ = P(
    "broadcast_to",
    lambda x, shape: np.broadcast_to(x, shape),
    lambda g, out, x, shape: g,
    sample=_sample_broadcast,
    linear="jointly",
)
flip_ = P(
    "flip",
    lambda x, axis=None: np.flip(x, axis),
    lambda g, out, x, axis=None: np.flip(g, axis),
    sample=_sample_axis,
    linear="jointly",
)
roll_ = P(
    "roll",
    lambda x, shift, axis=None: np.roll(x, shift, axis),
    lambda g, out, x, shift, axis=None: np.roll(g, -np.asarray(shift).astype(int), axis),
    sample=_sample_roll,
    linear="jointly",
)


def _concatenate_rule(i: int, g: Any, out: Any, *arrays: Any, axis: Any = 0) -> Any:
    starts = _starts(tuple(map(np.shape, map(bare, arrays))), axis)
    if axis is None:
        return np.reshape(g[starts[i] : starts[i + 1]], np.shape(bare(arrays[i])))
    index: list[Any] = [slice(None)] * g.ndim
    index[axis] = slice(starts[i], starts[i + 1])
    return g[tuple(index)]


@lru_cache(maxsize=64)
def _starts(shapes: tuple[tuple[int, ...], ...], axis: int | None) -> list[int]:
    """Where the parts of a concatenation begin, and where the last ends: asked once for each part."""
    lengths = [prod(shape) if axis is None else shape[axis] for shape in shapes]
    return [0, *accumulate(lengths)]


def _concatenate_rules(wanted: Sequence[bool], g: Any, out: Any, *arrays: Any, axis: Any = 0) -> list[Any]:
    """:func:`_concatenate_rule` of every input, in one walk along the axis."""
    found: list[Any] = []
    lead: tuple[Any, ...] = () if axis is None else (slice(None),) * (axis % g.ndim)
    start = 0
    for want, array in zip(wanted, arrays, strict=True):
        shape = np.shape(bare(array))
        end = start + (prod(shape) if axis is None else shape[axis])
        if want:
            part = g[(*lead, slice(start, end))]
            found.append(np.reshape(part, shape) if axis is None else part)
        else:
            found.append(None)
        start = end
    return found


_concatenate_rule.all_at_once = _concatenate_rules  # type: ignore[attr-defined]
concatenate_ = P(
    "concatenate",
    lambda *arrays, axis=0: np.concatenate(arrays, axis=axis),
    _concatenate_rule,
    variadic=True,
    sample=_sample_concatenate,
    linear="jointly",
)

# --- public functions ------------------------------------------------------------------------------------------------


def _dims(shape: Any) -> Any:
    several = isinstance(shape, (tuple, list, range)) or getattr(shape, "ndim", 0) > 0
    return tuple(map(operator.index, shape)) if several else operator.index(shape)


@dispatch.implements(np.reshape)
def reshape(a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: bool | None = None) -> Any:
    """Differentiable ``numpy.reshape``.

    Parameters
    ----------
    a : array_like or Tensor
    shape : int or tuple of int
        One entry may be -1.
    order : {"C", "F", "A"}
    copy : bool, optional
        True: always an array of its own. False: a view, an error where there is none. None: a view where there is one.

    Raises
    ------
    ShapeError
        If the number of elements differs.
    ArgumentError
        If there is no view, and ``copy=False`` asks for one.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.reshape(autodiff.tensor([1.0, 2.0]), (2, 1)).shape
    (2, 1)
    """
    shape = newshape if shape is None else shape
    if order not in ("C", "F", "A"):
        raise ArgumentError(f"reshape: order must be 'C', 'F' or 'A', got {order!r}")
    if order == "F" or (order == "A" and _is_fortran(a)):
        wanted = np.reshape(np.empty(np.shape(bare(a)), bool), shape, order="F").shape
        result = transpose(reshape(transpose(a), wanted[::-1]))
    else:
        result = reshape_.function(a, _dims(shape))
    if copy is None:
        return result
    held, own = view_of(result), view_of(a)
    shown = held is not None and held.root is (a if own is None else own.root)
    if copy is False and not shown and np.ndim(bare(a)):
        raise ArgumentError(f"reshape(copy=False): an array of shape {np.shape(bare(a))} has no view {result.shape}")
    return result.copy("K") if copy and shown else result


def _is_fortran(a: Any) -> bool:
    """Whether elements lie in Fortran order and not in C order: what "A" asks."""
    flags = np.asarray(bare(a)).flags
    return bool(flags.f_contiguous and not flags.c_contiguous)


@dispatch.implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """Differentiable ``numpy.ravel``: flattened to one axis.

    Parameters
    ----------
    a : array_like or Tensor
    order : {"C", "F", "A", "K"}
        "A" is "F" for arrays in Fortran order and "C" for others; "K" reads the axes as they lie in memory.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.ravel(autodiff.tensor([[1.0], [2.0]])).shape
    (2,)
    """
    x = _tensor(a)
    if order == "K":
        # Axes from the longest stride to the shortest; as in NumPy, one that runs backwards in memory is not turned
        # round.
        x = transpose(x, tuple(int(i) for i in np.argsort([-abs(s) for s in x._array.strides], kind="stable")))
        order = "C"
    result = reshape(x, -1, order)
    # NumPy's ravel is contiguous: what reshape can show with a gap or backwards, it copies.
    return result if result._array.flags.c_contiguous else result.copy()


@dispatch.implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    """Differentiable ``numpy.transpose``: axes reversed, or permuted as told.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.transpose(autodiff.tensor([[1.0, 2.0]])).shape
    (2, 1)
    """
    return transpose_.function(a, None if axes is None else _dims(axes))


@dispatch.implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any) -> Any:
    """Differentiable ``numpy.matrix_transpose``: the last two axes exchanged."""
    return swapaxes(x, -1, -2)


class AxisError(ShapeError, IndexError):
    """An axis that the array does not have: an IndexError, too, as NumPy's."""


def _of_axis(error: Exception, call: str, shape: Any) -> ShapeError:
    kind = AxisError if isinstance(error, IndexError) else ShapeError
    return kind(f"{call} of an array of shape {shape}: {error}")


def one_axis(x: Any, start: int, end: int) -> Any:
    """``x`` with the axes from ``start`` to ``end`` as one; a number has one axis, of length 1."""
    n = max(x.ndim, 1)
    if not (-n <= start < n and -n <= end < n) or start % n > end % n:
        raise AxisError(f"flatten: there are no axes from {start} to {end} in an array of shape {x.shape}")
    start, end = start % n, end % n
    return x.reshape(*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :])


@dispatch.implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Differentiable ``numpy.swapaxes``."""
    order = list(range(np.ndim(bare(a))))
    try:
        order[axis1], order[axis2] = order[axis2], order[axis1]
    except IndexError as error:
        raise AxisError(f"swapaxes: axes {axis1} and {axis2} of an array of shape {np.shape(bare(a))}") from error
    return transpose_.function(a, tuple(order))


@dispatch.implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Differentiable ``numpy.moveaxis``."""
    ndim = np.ndim(bare(a))
    try:
        moved = np.moveaxis(np.empty((1,) * ndim), source, destination)
        start, end = normalize_axis_tuple(source, ndim), normalize_axis_tuple(destination, ndim)
    except (ValueError, TypeError) as error:
        raise _of_axis(error, f"moveaxis({source}, {destination})", np.shape(bare(a))) from error
    order = [n for n in range(moved.ndim) if n not in start]
    for place, axis in sorted(zip(end, start, strict=True)):
        order.insert(place, axis)
    return transpose_.function(a, tuple(order))


@dispatch.implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """Differentiable ``numpy.rollaxis``."""
    ndim = np.ndim(bare(a))
    (axis,) = normalize_axis_tuple(axis, ndim)
    if not -ndim <= start <= ndim:
        raise np.exceptions.AxisError(f"rollaxis: start must lie in [{-ndim}, {ndim}], got {start}")
    start = start + ndim if start < 0 else start
    order = [i for i in range(ndim) if i != axis]
    order.insert(start - (axis < start), axis)
    return transpose_.function(a, tuple(order))


@dispatch.implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """Differentiable ``numpy.expand_dims``."""
    shape = np.shape(bare(a))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    try:
        places = normalize_axis_tuple(axes, len(shape) + len(axes))
    except (ValueError, TypeError) as error:
        raise _of_axis(error, f"expand_dims({axis})", shape) from error
    kept = iter(shape)
    return reshape_.function(a, tuple(1 if i in places else next(kept) for i in range(len(shape) + len(axes))))


@dispatch.implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """Differentiable ``numpy.squeeze``: axes of length one removed.

    Raises
    ------
    ShapeError
        If a named axis is longer than one.
    """
    shape = np.shape(bare(a))
    try:
        wanted = np.squeeze(np.broadcast_to(0, shape), axis).shape
    except ValueError as error:
        raise _of_axis(error, f"squeeze(axis={axis})", shape) from error
    return reshape_.function(a, wanted)


@dispatch.implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """Differentiable ``numpy.broadcast_to``."""
    return broadcast_to_.function(array, _dims(shape))


@dispatch.implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """Differentiable ``numpy.broadcast_arrays``."""
    shape = np.broadcast_shapes(*(np.shape(bare(a)) for a in args))
    return tuple(broadcast_to_.function(a, shape) for a in args)


@dispatch.implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """Differentiable ``numpy.flip``."""
    return flip_.function(m, axis)


@dispatch.implements(np.fliplr)
def fliplr(m: Any) -> Any:
    """Differentiable ``numpy.fliplr``."""
    return flip_.function(m, 1)


@dispatch.implements(np.flipud)
def flipud(m: Any) -> Any:
    """Differentiable ``numpy.flipud``."""
    return flip_.function(m, 0)


@dispatch.implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Differentiable ``numpy.roll``; ``shift`` and ``axis`` may be tuples."""
    return roll_.function(a, shift, axis)


def _parts(name: str, arrays: Any, axis: Any = None) -> list[Any]:
    if getattr(axis, "ndim", 0):
        raise ArgumentError(
            f"{name}: axis is an integer, got a {type(axis).__name__} of shape {axis.shape}; give the arrays in one"
            f" list: {name}([a, b])"
        )
    if hasattr(arrays, "_node"):
        return list(arrays)
    if not isinstance(arrays, (list, tuple, np.ndarray)):
        raise ArgumentError(f"{name}: pass a list or tuple of arrays, got {type(arrays).__name__}")
    if not len(arrays):
        raise ArgumentError(f"{name}: needs at least one array")
    return list(arrays)


@dispatch.implements(np.concatenate)
def concatenate(
    arrays: Any, axis: int | None = 0, out: None = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """Differentiable ``numpy.concatenate``.

    Parameters
    ----------
    arrays : sequence of array_like or Tensor
        Equal in shape but for ``axis``.
    axis : int or None
        None flattens them first.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([1.0], requires_grad=True)
    >>> autodiff.concatenate([x, x * 2]).sum().backward()
    >>> x.grad
    array([3.])
    """
    no_out("concatenate", out)
    parts = _parts("concatenate", arrays, axis)
    if dtype is not None or casting != "same_kind":  # NumPy refuses what it refuses, here of arrays without elements
        np.concatenate([np.empty(0, _tensor(part).dtype) for part in parts], dtype=dtype, casting=casting)  # type: ignore[call-overload]
    result = concatenate_.function(*parts, axis=axis)
    return result if dtype is None else result.astype(dtype)


@dispatch.implements(np.stack)
def stack(arrays: Any, axis: int = 0, out: None = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Differentiable ``numpy.stack``: arrays of one shape along a new axis.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.stack([autodiff.tensor(1.0), autodiff.tensor(2.0)]).shape
    (2,)
    """
    no_out("stack", out)
    parts = _parts("stack", arrays, axis)
    shapes = {np.shape(bare(part)) for part in parts}
    if len(shapes) > 1:
        raise ShapeError(f"stack: all arrays must have one shape, got {sorted(shapes)}")
    if shapes == {()} and axis in (0, -1):  # numbers need no axis of their own, one operation each
        return concatenate(parts, axis=None, dtype=dtype, casting=casting)
    return concatenate([expand_dims(part, axis) for part in parts], axis=axis, dtype=dtype, casting=casting)


@dispatch.implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Differentiable ``numpy.vstack``."""
    return concatenate([atleast_2d(part) for part in _parts("vstack", tup)], axis=0, dtype=dtype, casting=casting)


@dispatch.implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Differentiable ``numpy.hstack``."""
    parts = [atleast_1d(part) for part in _parts("hstack", tup)]
    return concatenate(parts, axis=0 if parts[0].ndim == 1 else 1, dtype=dtype, casting=casting)


@dispatch.implements(np.dstack)
def dstack(tup: Any) -> Any:
    """Differentiable ``numpy.dstack``."""
    return concatenate([atleast_3d(part) for part in _parts("dstack", tup)], axis=2)


@dispatch.implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    """Differentiable ``numpy.column_stack``."""
    parts = _parts("column_stack", tup)
    return concatenate([reshape(p, (-1, 1)) if np.ndim(bare(p)) < 2 else p for p in parts], axis=1)


def _at_least(arrays: Sequence[Any], shape_of: Any) -> Any:
    results = tuple(reshape_.function(a, shape_of(np.shape(bare(a)))) for a in arrays)
    return results[0] if len(results) == 1 else results


@dispatch.implements(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    """Differentiable ``numpy.atleast_1d``."""
    return _at_least(arys, lambda s: s or (1,))


@dispatch.implements(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    """Differentiable ``numpy.atleast_2d``."""
    return _at_least(arys, lambda s: s if len(s) >= 2 else (1,) * (2 - len(s)) + s)


@dispatch.implements(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    """Differentiable ``numpy.atleast_3d``."""
    return _at_least(arys, lambda s: np.atleast_3d(np.broadcast_to(0, s)).shape)


def array(nested: Any, dtype: Any = None) -> Any:
    """Numbers, arrays and Tensors in nested lists, as one Tensor that is differentiable in each.

    Parameters
    ----------
    nested : scalar, array_like, Tensor, or nested lists and tuples of these
        All entries of a list must come to one shape.
    dtype : dtype, optional

    Raises
    ------
    ShapeError
        If the lists are ragged.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor(3.0, requires_grad=True)
    >>> autodiff.array([[x, 1.0], [0.0, x * x]]).sum().backward()
    >>> x.grad
    array(7.)
    """
    if dispatch.holds_tensor(nested):
        try:
            result = stack([array(item) for item in nested])
        except ShapeError as error:
            raise ShapeError(f"array: the nested lists are ragged ({error})") from error
    elif hasattr(nested, "_node"):
        result = nested
    else:
        try:
            result = above.tensor(nested)
        except ValueError as error:
            raise ShapeError(f"array: {error}") from error
    return result if dtype is None else result.astype(dtype)


@dispatch.implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Differentiable ``numpy.split``: equal parts, or parts cut at the given indices.

    Raises
    ------
    ShapeError
        If the axis cannot be cut into that many equal parts.
    """
    n = np.shape(bare(ary))[axis]
    if isinstance(indices_or_sections, (int, np.integer)) and n % int(indices_or_sections):
        raise ShapeError(
            f"split: an axis of length {n} does not divide into {indices_or_sections} equal parts; see array_split"
        )
    return array_split(ary, indices_or_sections, axis)


@dispatch.implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Differentiable ``numpy.array_split``: parts that may differ in length by one."""
    tensor = array(ary)
    places = np.array_split(np.arange(tensor.shape[axis]), dispatch.bare(indices_or_sections))
    result = []
    start = 0
    for place in places:
        if place.size:
            start = int(place[0])
        index: list[Any] = [slice(None)] * tensor.ndim
        index[axis] = slice(start, start + place.size)
        result.append(tensor[tuple(index)])
    return result


# --- padding and repeating --------------------------------------------------------------------------------------------


def _pad(x: Any, pad_width: Any, value: Any = 0) -> Any:
    if len(pad_width) != x.ndim:
        raise ShapeError(f"pad: {len(pad_width)} pairs of widths for an array of {x.ndim} axes")
    return np.pad(x, pad_width, constant_values=value)


def _pad_rule(g: Any, out: Any, x: Any, pad_width: Any, value: Any = 0) -> Any:
    return g[tuple(slice(before, before + n) for (before, _), n in zip(pad_width, x.shape, strict=True))]


def _sample_pad(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = draw.shape(min_ndim=1)
    return (draw.array(shape), tuple((draw.integer(0, 2), draw.integer(0, 2)) for _ in shape)), {}


pad_ = P("pad", _pad, _pad_rule, sample=_sample_pad, tangent=lambda t, out, x, pad_width, value=0: np.pad(t, pad_width))


@dispatch.implements(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Any:
    """Differentiable ``numpy.pad``, in what is put around as well.

    Parameters
    ----------
    array : array_like or Tensor
    pad_width : int, (before, after), or one pair per axis
    mode : str
        NumPy's, but ``"empty"`` and functions.
    **kwargs
        ``constant_values``, ``end_values``, ``stat_length``; ``reflect_type="even"``.

    Raises
    ------
    NotDifferentiableError
        For another mode.
    """
    x = _tensor(array)
    if not x.ndim:
        return x.copy()  # there is nothing to pad
    if isinstance(pad_width, dict):
        named = {normalize_axis_index(axis, x.ndim): width for axis, width in pad_width.items()}
        pad_width = [named.get(axis, 0) for axis in range(x.ndim)]
        pad_width = [(w, w) if isinstance(w, int) else w for w in pad_width]
    given = np.broadcast_to(np.asarray(dispatch.bare(pad_width)), (x.ndim, 2))
    widths = tuple((operator.index(before), operator.index(after)) for before, after in given)
    if mode == "constant":
        value = kwargs.get("constant_values", 0)
        if np.ndim(bare(value)) == 0 and getattr(value, "_node", None) is None and kwargs.keys() <= {"constant_values"}:
            return pad_.function(x, widths, bare(value).item() if hasattr(bare(value), "item") else value)
    elif mode in ("edge", "wrap", "reflect", "symmetric") and kwargs.get("reflect_type", "even") == "even":
        # These modes copy elements, so padding the positions says where each output element comes from.
        return reshape(x, -1)[np.pad(np.arange(x.size).reshape(x.shape), widths, mode=mode, **kwargs)]  # type: ignore[call-overload]
    words = {"constant": "constant_values", "linear_ramp": "end_values"}.get(mode, "stat_length")
    # NumPy itself tells what is wrong with the arguments, and rounds whole numbers.
    known = bare(x) if bare(x).__class__ is np.ndarray else np.zeros(x.shape, x.dtype)
    plain = np.pad(known, widths, mode=mode, **dispatch.bare(kwargs))  # type: ignore[call-overload]
    around = kwargs.get(words, None if words == "stat_length" else 0)
    if known is bare(x) and x.dtype.kind not in "fc" and not dispatch._tracked([around]):
        return above.tensor(plain)
    if mode not in ("constant", "linear_ramp", "mean", "median", "maximum", "minimum"):
        raise NotDifferentiableError(
            f"pad(mode={mode!r}, {kwargs}) has no gradient here; use one of NumPy's other modes"
        )
    pairs = [[None] * 2] * x.ndim if around is None else broadcast_to(_tensor(around), (x.ndim, 2))
    for axis, (before, after) in enumerate(widths):
        left, right = (_side(x, axis, n, mode, pairs[axis][i], i) for i, n in enumerate((before, after)))
        x = concatenate([left, x, right], axis)
    return x


def _side(x: Any, axis: int, count: int, mode: str, given: Any, last: int) -> Any:
    """What ``numpy.pad`` puts before (``last`` 0) or after (1) an axis: ``count`` entries along it."""
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    if mode == "constant":
        return broadcast_to(given.astype(x.dtype), shape)
    if mode == "linear_ramp":
        edge = np.take(x, -last, axis=axis)
        ramp = np.linspace(given.astype(x.dtype), edge, count, endpoint=False, axis=axis)
        return np.flip(ramp, axis) if last else ramp
    length = x.shape[axis] if given is None else min(int(given), x.shape[axis])
    part = slice(x.shape[axis] - length, None) if last else slice(length)
    function: Any = {"mean": np.mean, "median": np.median, "maximum": np.max, "minimum": np.min}[mode]
    found = function(x[(slice(None),) * axis + (part,)], axis=axis, keepdims=True)
    return broadcast_to(found, shape)


def _tensor(value: Any) -> Any:
    if isinstance(value, above.tensor):
        return value
    return array(value) if dispatch.holds_tensor(value) else above.tensor(value)


def _floats(value: Any) -> Any:
    """A Tensor of floating-point or complex numbers."""
    t = _tensor(value)
    return t if t.dtype.kind in "fc" else t.astype(float)


@dispatch.implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """Differentiable ``numpy.repeat``."""
    x = reshape(a, -1) if axis is None or not np.ndim(dispatch.bare(a)) else _tensor(a)  # a number is taken for a row
    place = 0 if axis is None else normalize_axis_index(axis, x.ndim)
    counts = np.asarray(dispatch.bare(repeats)).astype(np.intp, casting="same_kind")  # unsigned ones, too
    return np.take(x, np.repeat(np.arange(x.shape[place]), counts), axis=place)


@dispatch.implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """Differentiable ``numpy.tile``."""
    x = _tensor(A)
    counts = tuple(operator.index(count) for count in np.atleast_1d(dispatch.bare(reps)))
    ndim = max(x.ndim, len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - x.ndim) + x.shape
    spaced = tuple(n for side in shape for n in (1, side))
    wide = tuple(n for count, side in zip(counts, shape, strict=True) for n in (count, side))
    result = reshape(broadcast_to(reshape(x, spaced), wide), tuple(c * n for c, n in zip(counts, shape, strict=True)))
    # Where nothing is repeated that is a view, and NumPy gives a copy.
    return result.copy() if view_of(result) is not None else result
