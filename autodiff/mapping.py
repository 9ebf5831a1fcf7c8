"""``vmap``: a function of one example, applied to a whole batch at once.

A value with lanes holds one more axis in front, of which the function sees nothing. An operation on such values is
applied once, to all lanes: a pointwise one to aligned arrays, one with an axis to the axis after, linear algebra to
stacks of matrices, a fused one through its composed definition. What has no rule here runs once per lane and is
stacked, operation by operation; where even that cannot be (an ``if`` on a value, ``float(x)``), the whole function runs
once per lane. Both are slower and as right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autodiff import levels
from autodiff.arguments import refuse_unless_callable, whole
from autodiff.batching import axes_behind, shifted_index
from autodiff.containers import as_array
from autodiff.core.backward import Unbatchable
from autodiff.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from autodiff.core.forward import bare_of
from autodiff.core.modes import transform_depth
from autodiff.core.op import above, wrap
from autodiff.core.op import apply as record
from autodiff.core.pytree import flatten
from autodiff.decorators import Made
from autodiff.ops import indexing, shaping
from autodiff.tensor import Tensor
from autodiff.transforms import _Call
from autodiff.views import follow

if TYPE_CHECKING:
    from autodiff.results import Axes, Mapped

__all__ = ["vmap"]


# --- one operation over all lanes -------------------------------------------------------------------------------------


class _Lanes:
    """The inputs of one application, some of them with a first axis of ``n`` lanes."""

    def __init__(self, n: int, inputs: Sequence[Any], laned: Sequence[bool]) -> None:
        self.n, self.inputs, self.laned = n, inputs, laned

    def ndim(self, i: int) -> int:
        """Visible axes of an input."""
        return np.ndim(bare_of(self.inputs[i])) - self.laned[i]

    def aligned(self, i: int, ndim: int) -> Any:
        """An input whose visible axes are the last of ``ndim``, so that it broadcasts as it would without lanes."""
        value = self.inputs[i]
        missing = ndim - self.ndim(i)
        if not self.laned[i] or not missing:
            return value
        shape = np.shape(bare_of(value))
        return shaping.reshape(value, (self.n, *(1,) * missing, *shape[1:]))

    def everywhere(self, i: int) -> Any:
        """An input with lanes, repeated where it has none."""
        value = self.inputs[i]
        return value if self.laned[i] else shaping.broadcast_to(value, (self.n, *np.shape(bare_of(value))))

    def flat(self, i: int) -> Any:
        """An input with lanes, each of one axis; there may be none."""
        value = self.everywhere(i)
        return shaping.reshape(value, (self.n, prod(np.shape(bare_of(value))[1:])))


def _over_lanes(op: Any, inputs: Sequence[Any], lower: Sequence[Any], attrs: dict[str, Any], level: Any) -> Any:
    """Apply an operation to values with lanes."""
    if op.fused:
        tensors = [
            x if x is None or hasattr(x, "_node") else wrap(x if hasattr(x, "level") else as_array(x), None)
            for x in inputs
        ]
        return op.composed(*tensors, **attrs)
    given = _Lanes(level.lanes, lower, [levels.level_of(x) is level for x in inputs])
    out, seen = _applied(op, given, attrs, level)
    if isinstance(out, tuple):
        return tuple(levels.laned(o, level) for o in out)
    result = levels.laned(out, level)
    if result.ndim or not _is_scalar(op, inputs, attrs):
        follow(op, inputs, attrs, lower, seen, result)
    return result


def _is_scalar(op: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> bool:
    """Whether what one example gives is a number of NumPy's, which is no view: ``t[0]``, other than ``t[0, ...]``."""
    return op.name == "getitem" and isinstance(np.empty(inputs[0].shape)[attrs["index"]], np.generic)


def _applied(op: Any, given: _Lanes, attrs: dict[str, Any], level: Any) -> tuple[Any, Any]:
    """The results of all lanes, and what tells whether they are views: these, or that of one lane."""
    rule = _aligned_all if op.pointwise or op.tangents == "pointwise" else _RULES.get(op.name)
    if rule is not None:
        try:
            out = rule(op, given, attrs)
        except Unbatchable:
            if rule is _aligned_all:
                raise
        else:
            return out, out
    level.looped[op.name] = None
    rows = [
        record(
            op,
            [indexing.getitem(x, i) if laned else x for x, laned in zip(given.inputs, given.laned, strict=True)],
            attrs,
        )
        for i in range(given.n)
    ]
    if not rows:
        raise Unbatchable
    if isinstance(rows[0], tuple):
        return tuple(shaping.stack(column) for column in zip(*rows, strict=True)), None
    return shaping.stack(rows), rows[0]


def _each_lane(function: Callable[..., Any], values: Sequence[Any], pointwise: bool = False) -> Any:
    """``function(*values)`` for one lane after the other, of values within lists and tuples: for a rule that decides by
    the values it sees. A pointwise one sees those of all lanes, aligned.
    """
    found: list[Any] = []

    def visit(value: Any, of: Callable[[Any], Any]) -> Any:
        if isinstance(value, (list, tuple)):
            parts = [visit(part, of) for part in value]
            return tuple(parts) if isinstance(value, tuple) else parts
        return of(value)

    visit(list(values), lambda value: found.append(levels.level_of(value)))
    met = [level for level in found if level is not None and level.lanes is not None and level.alive]
    if not met:
        raise Unbatchable
    level: levels.Level = max(met, key=lambda one: one.depth)
    if not level.lanes or any(one is not None and one.depth > level.depth for one in found):
        raise Unbatchable  # a transform inside holds values of all lanes, and cannot be told of a single one

    if pointwise:
        ndim, shapes = 0, []
        visit(list(values), lambda value: shapes.append(np.shape(bare_of(value)) if levels.tracked(value) else ()))
        ndim = max(map(len, shapes))

        def aligned(value: Any) -> Any:
            if levels.level_of(value) is not level:
                return value
            all_ = _Lanes(level.lanes or 0, [levels.below(value, level)], [True]).aligned(0, ndim)
            return all_ if levels.tracked(all_) else all_._data

        return visit(
            function(*visit(list(values), aligned)),
            lambda part: (
                part if part is None else levels.laned(part if hasattr(part, "_node") else wrap(part, None), level)
            ),
        )

    level.looped["what depends on an example's own values"] = None

    def lane(i: int) -> Callable[[Any], Any]:
        def of(value: Any) -> Any:
            if levels.level_of(value) is not level:
                return value
            one = indexing.getitem(levels.below(value, level), i)
            return one if levels.tracked(one) else one._data

        return of

    rows = [function(*visit(list(values), lane(i))) for i in range(level.lanes)]

    def joined(column: Sequence[Any]) -> Any:
        if column[0] is None:
            return None
        if any(isinstance(part, (levels.Ambiguous, NotDifferentiableError)) for part in column):
            raise Unbatchable  # a tangent that is arbitrary, or does not exist
        if any(np.shape(bare_of(part)) != np.shape(bare_of(column[0])) for part in column):
            raise Unbatchable  # as many elements as the values say, such as x[x > 0]
        return levels.laned(shaping.stack(list(column)), level)

    if isinstance(rows[0], (list, tuple)):
        parts = [joined(column) for column in zip(*rows, strict=True)]
        return tuple(parts) if isinstance(rows[0], tuple) else parts
    return joined(rows)


def _aligned_all(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    places = range(len(given.inputs))
    ndim = max(given.ndim(i) for i in places)
    return record(op, [given.aligned(i, ndim) for i in places], attrs)


def _reduced(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    return record(op, given.inputs, {**attrs, "axis": axes_behind(attrs.get("axis"), given.ndim(0))})


def _along(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    if attrs.get("axis") is None:
        return record(op, [given.flat(0)], {**attrs, "axis": 1})
    return record(op, given.inputs, {**attrs, "axis": normalize_axis_index(attrs["axis"], given.ndim(0)) + 1})


def _reshaped(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    shape = attrs["shape"]
    visible = np.shape(bare_of(given.inputs[0]))[1:]
    wanted = np.reshape(np.broadcast_to(0, visible), shape).shape
    return record(op, given.inputs, {"shape": (given.n, *wanted)})


def _transposed(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    ndim = given.ndim(0)
    axes = attrs.get("axes")
    order = range(ndim)[::-1] if axes is None else normalize_axis_tuple(axes, ndim)
    return record(op, given.inputs, {"axes": (0, *(a + 1 for a in order))})


def _broadcast(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    shape = attrs["shape"] if isinstance(attrs["shape"], tuple) else (attrs["shape"],)
    return record(op, [given.aligned(0, len(shape))], {"shape": (given.n, *shape)})


def _rolled(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    axis, x = attrs.get("axis"), given.inputs[0]
    if axis is None:
        shape = np.shape(bare_of(x))
        flat = record(op, [given.flat(0)], {**attrs, "axis": 1})
        return shaping.reshape(flat, shape)
    places = axes_behind(axis, given.ndim(0), True)
    return record(op, [x], {**attrs, "axis": places if isinstance(axis, (tuple, list)) else places[0]})


def _concatenated(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    axis, places = attrs.get("axis", 0), range(len(given.inputs))
    if axis is None:
        return record(op, list(map(given.flat, places)), {"axis": 1})
    parts = list(map(given.everywhere, places))
    return record(op, parts, {"axis": normalize_axis_index(axis, given.ndim(0)) + 1})


def _padded(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    return record(op, given.inputs, {**attrs, "pad_width": ((0, 0), *attrs["pad_width"])})


def _shifted(index: Any) -> Any:
    found = shifted_index(index)
    if found is None:
        raise Unbatchable
    return found


def _read(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    return record(op, given.inputs, {"index": _shifted(attrs["index"])})


def _scattered(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    return record(op, given.inputs, {"index": _shifted(attrs["index"]), "shape": (given.n, *attrs["shape"])})


def _written(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    target = given.everywhere(0)
    target = target if given.laned[0] else target.copy("C")  # each example's lies in memory as the one did
    shape = np.shape(bare_of(target))[1:]
    ndim = np.broadcast_to(0, shape)[attrs["index"]].ndim
    return record(op, [target, given.aligned(1, ndim)], {"index": _shifted(attrs["index"])})


def _multiplied(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    """A vector stands for a row on the left and for a column on the right, as in NumPy."""
    x, y = given.inputs
    row, column = given.ndim(0) == 1, given.ndim(1) == 1
    if row:
        x = shaping.expand_dims(x, -2)
    if column:
        y = shaping.expand_dims(y, -1)
    wider = _Lanes(given.n, [x, y], given.laned)
    ndim = max(wider.ndim(0), wider.ndim(1))
    out = record(op, [wider.aligned(0, ndim), wider.aligned(1, ndim)], attrs)
    if column:
        out = indexing.getitem(out, (Ellipsis, 0))
    return indexing.getitem(out, (Ellipsis, 0) if row and column else (Ellipsis, 0, slice(None))) if row else out


def _summed_over_letters(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    inputs, output = attrs["subscripts"]
    used = set("".join(inputs)) | set(output)
    spare = next(c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in used)
    terms = tuple((spare if laned else "") + term for term, laned in zip(inputs, given.laned, strict=True))
    return record(op, given.inputs, {**attrs, "subscripts": (terms, spare + output)})


def _stacked_matrices(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    return record(op, given.inputs, attrs)


def _solved(op: Any, given: _Lanes, attrs: dict[str, Any]) -> Any:
    if given.ndim(1) != 1:
        ndim = max(given.ndim(0), given.ndim(1))
        return record(op, [given.aligned(0, ndim), given.aligned(1, ndim)], attrs)
    column = shaping.expand_dims(given.inputs[1], -1)
    return indexing.getitem(record(op, [given.inputs[0], column], attrs), (Ellipsis, 0))


_RULES: dict[str, Callable[[Any, _Lanes, dict[str, Any]], Any]] = {
    **dict.fromkeys(("sum", "mean", "prod", "max", "min", "var", "std", "norm2", "norm_p", "flip"), _reduced),
    **dict.fromkeys(("cumsum", "cumprod", "fft", "ifft"), _along),
    **dict.fromkeys(
        (
            "inv det logabsdet cholesky mirrored eigh eigvalsh eigvalsh_given eig svd svdvals svdvals_given qr pinv"
            " matrix_function"
        ).split(),
        _stacked_matrices,
    ),
    "reshape": _reshaped,
    "transpose": _transposed,
    "broadcast_to": _broadcast,
    "roll": _rolled,
    "concatenate": _concatenated,
    "pad": _padded,
    "getitem": _read,
    "scatter": _scattered,
    "set_at": _written,
    "matmul": _multiplied,
    "einsum": _summed_over_letters,
    **dict.fromkeys(("weighted_sum", "airy", "fresnel", "shichi", "sici"), _aligned_all),
    "solve": _solved,
}


# --- the transform ----------------------------------------------------------------------------------------------------


def vmap(f: Callable[..., object], in_axes: Axes = 0, out_axes: Axes = 0, axis_size: int | None = None) -> Mapped:
    """``f`` applied to every example along an axis of its arguments, all at once.

    Parameters
    ----------
    f : callable
        A function of one example; it may return a tree. It may be a transform's, such as ``grad(loss)``, and may close
        over arrays, Tensors and modules, which all examples share.
    in_axes : int, None, or a sequence of these
        The axis of each positional argument that holds the examples, None for an argument that all share; for an
        argument that is a tree also a tree of axes. Arguments by keyword have it first.
    out_axes : int, None, or a tree of these
        Where the results have it. None for a result that does not depend on the example.
    axis_size : int, optional
        How many examples there are, which is told by the arguments otherwise; it is needed where none is mapped.

    Returns
    -------
    callable
        Its attribute ``looped``, a list, names after a call what ran once per example in it: operations such as
        ``"expm"``, or ``"the whole function"``; it is empty if all examples went through at once.

    Raises
    ------
    ArgumentError
        If an axis is no number, nothing tells how many examples there are, or the lengths along the mapped axes differ.

    Notes
    -----
    What NumPy can do to a stack at once is done so; what it cannot is done once per example, with the same result:
    single operations without a rule (docs/forward.md lists them), and all of ``f`` if it decides by values (``if x >
    0``, ``float(x)``, an index that differs from example to example). Then what ``f`` prints or counts happens once per
    example, after a first attempt. Any error that ``f`` raises is raised, at once.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> autodiff.vmap(lambda row: row @ row)(x)
    array([ 5., 25.])
    >>> choose = autodiff.vmap(lambda row: row.sum() if row[0] > 2 else row[1])
    >>> choose(x), choose.looped
    (array([2., 7.]), ['the whole function'])
    >>> autodiff.vmap(autodiff.grad(lambda w, row: np.sum(w * row ** 2)), in_axes=(None, 0))(np.ones(2), x)
    array([[ 1.,  4.],
           [ 9., 16.]])
    """
    refuse_unless_callable("vmap", f)
    for words, axis in [("in_axes", leaf) for leaf in flatten(in_axes)[0]] + [
        ("out_axes", leaf) for leaf in flatten(out_axes)[0]
    ]:
        if axis is not None and not whole(axis):
            raise ArgumentError(f"vmap: {words} takes axes, got {type(axis).__name__}; write vmap(f)(x) to call it")
    if axis_size is not None and not (whole(axis_size) and axis_size >= 0):
        raise ArgumentError(f"vmap: axis_size is how many examples there are, got {axis_size!r}")
    looped: list[str] = []  # not reached through ``mapped``, which would refer to itself

    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, rebuild = flatten((args, kwargs))
        axes = _leaf_axes("in_axes", (_per_argument(in_axes, args), dict.fromkeys(kwargs, 0)), (args, kwargs))
        moved: list[Any] = []
        lengths: dict[int, None] = {} if axis_size is None else {axis_size: None}
        for leaf, axis in zip(leaves, axes, strict=True):
            if axis is None:
                moved.append(leaf)
                continue
            # A copy of a plain array: what is recorded with it is a Tensor, and the program may write into its own.
            value: Any = leaf if isinstance(leaf, Tensor) else as_array(leaf, copy=True)
            try:
                place = normalize_axis_index(axis, value.ndim)
            except np.exceptions.AxisError as error:
                raise ShapeError(f"vmap: no axis {axis} in an argument of shape {value.shape}") from error
            value = value if place == 0 else np.moveaxis(value, place, 0)
            lengths[value.shape[0]] = None
            moved.append(value)
        if len(lengths) != 1:
            raise ArgumentError(
                "vmap: no argument is mapped; give one an axis, or axis_size="
                if not lengths
                else f"vmap: the mapped axes have the lengths {sorted(lengths)}; they must agree"
            )
        (n,) = lengths
        call = _Call("vmap", f, (), ())
        level = levels.Level(lanes=n)
        try:
            outs, rebuild_out, with_lanes = _at_once(f, moved, axes, rebuild, level)
            looped[:] = level.looped
        except (Unbatchable, ValueError) as error:
            if not isinstance(error, Unbatchable) and not isinstance(error.__cause__, Unbatchable):  # NumPy's own, of a
                raise  # number that it could not read
            looped[:] = ["the whole function"]
            if not n:  # one example tells the results' shapes
                moved = [
                    leaf if axis is None else _example(leaf.shape[1:], leaf.dtype)
                    for leaf, axis in zip(moved, axes, strict=True)
                ]
            outs, rebuild_out, with_lanes = _one_by_one(f, moved, axes, rebuild, max(n, 1))
            outs = [out[:n] for out in outs]
        places = _leaf_axes("out_axes", out_axes, rebuild_out(outs))
        results = []
        for out, laned, axis in zip(outs, with_lanes, places, strict=True):
            if axis is None:
                if laned:
                    raise ArgumentError("vmap: out_axes is None for a result that differs between the examples")
                results.append(call.plain(out))
                continue
            if not laned:
                out = np.broadcast_to(out, (n, *np.shape(bare_of(out))))
            try:
                place = normalize_axis_index(axis, np.ndim(bare_of(out)))
            except np.exceptions.AxisError as error:
                raise ShapeError(f"vmap: no axis {axis} for the examples of a result of shape {out.shape}") from error
            results.append(call.plain(out if place == 0 else np.moveaxis(out, 0, place)))
        return rebuild_out(results)

    made = Made(mapped, vmap, f, in_axes=in_axes, out_axes=out_axes, axis_size=axis_size)
    made.looped = looped  # type: ignore[attr-defined]
    return made  # type: ignore[return-value]


def _per_argument(in_axes: Any, args: tuple[Any, ...]) -> Any:
    if isinstance(in_axes, (tuple, list)):
        if len(in_axes) != len(args):
            raise ArgumentError(
                f"vmap: in_axes names {len(in_axes)} arguments, the function was called with {len(args)}"
            )
        return tuple(in_axes)
    return (in_axes,) * len(args)


def _leaf_axes(words: str, axes: Any, tree: Any) -> list[Any]:
    """One axis per leaf of ``tree``, of which ``axes`` is a prefix: an axis stands for all that is below."""
    if axes is None or isinstance(axes, (int, np.integer)):
        return [axes] * len(flatten(tree)[0])
    if tree is None:
        return []
    if isinstance(axes, dict):
        if not isinstance(tree, dict) or axes.keys() != tree.keys():
            raise ArgumentError(f"vmap: {words} has the keys {list(axes)}, which are not those of the tree it is for")
        return [axis for key in tree for axis in _leaf_axes(words, axes[key], tree[key])]
    if isinstance(axes, (tuple, list)):
        if not isinstance(tree, (tuple, list)) or len(axes) != len(tree):
            raise ArgumentError(f"vmap: {words}={axes!r} does not have the structure of what it is for")
        return [axis for one, part in zip(axes, tree, strict=True) for axis in _leaf_axes(words, one, part)]
    raise ArgumentError(f"vmap: {words} holds integers and None, got {type(axes).__name__}")


def _called(f: Callable[..., Any], tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    args, kwargs = tree
    token = transform_depth.set(transform_depth.get() + 1)
    try:
        return flatten(f(*args, **kwargs))
    finally:
        transform_depth.reset(token)


def _at_once(f: Callable[..., Any], moved: Sequence[Any], axes: Sequence[Any], rebuild: Any, level: Any) -> Any:
    with levels.entered(level):
        boxed = [
            leaf if axis is None else levels.laned(leaf if isinstance(leaf, Tensor) else wrap(leaf, None), level)
            for leaf, axis in zip(moved, axes, strict=True)
        ]
        outs, rebuild_out = _called(f, rebuild(boxed))
    laned = [levels.level_of(out) is level for out in outs]
    return [levels.below(out, level) for out in outs], rebuild_out, laned


def _example(shape: tuple[int, ...], dtype: Any) -> Any:
    """A stack of one array of ones; of square matrices one that is positive definite, as factorisations ask."""
    made = np.ones((1, *shape), dtype)
    return made + np.eye(shape[-1], dtype=dtype) if len(shape) > 1 and shape[-1] == shape[-2] else made


def _one_by_one(f: Callable[..., Any], moved: Sequence[Any], axes: Sequence[Any], rebuild: Any, n: int) -> Any:
    rows = []
    rebuild_out: Any = None
    for i in range(n):
        values = [leaf if axis is None else leaf[i] for leaf, axis in zip(moved, axes, strict=True)]
        given = [
            value if axis is None or isinstance(value, Tensor) else wrap(as_array(value), None)
            for value, axis in zip(values, axes, strict=True)
        ]
        outs, rebuild_out = _called(f, rebuild(given))
        rows.append(outs)
    if any(len(row) != len(rows[0]) for row in rows):
        raise ShapeError("vmap: the function returned trees of different structure for different examples")
    return [shaping.stack(list(column)) for column in zip(*rows, strict=True)], rebuild_out, [True] * len(rows[0])


above.over_lanes, above.each_lane = _over_lanes, _each_lane
