"""Sparse Jacobians and Hessians in a few passes: ``autodiff.sparse_jacobian``, ``autodiff.sparse_hessian``.

Which output may depend on which input is read off the recorded graph: instead of numbers, a set of outputs for every
element (a sparse 0-1 matrix) is sent back through the very gradient rules. Rules are linear, so wherever the NumPy
function that a rule calls moves or adds elements, sets are moved or united; whatever is not known here unites all with
all. So the pattern may be too large, never too small, and the finished matrix is multiplied with a random vector and
compared with a plain pass besides.

Rows without a common column get one colour and share a pass (Curtis, Powell and Reid 1974; Coleman and More 1983);
of rows and columns whichever needs fewer colours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from autodiff.arguments import refuse_unless_callable, whole
from autodiff.batching import Batched, Unbatchable, _filled, is_batched
from autodiff.closures import gradients_at, run_recorded, strangers, variable
from autodiff.core import backward
from autodiff.core.errors import ArgumentError, DTypeError, GraphError, NotDifferentiableError, ShapeError
from autodiff.core.graph import Variable, topological_order
from autodiff.core.pytree import flatten
from autodiff.decorators import Made
from autodiff.extras import require
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.ops import shaping
from autodiff.ops.common import bare
from autodiff.transforms import grad

if TYPE_CHECKING:
    from autodiff.results import SciPyArray

__all__ = ["sparse_hessian", "sparse_jacobian"]

#: Colours per batched pass times the longer side of the matrix.
_PASS = THRESHOLDS["COLOURS"].value


# --- which outputs depend on which elements ---------------------------------------------------------------------------


class Dependence(np.lib.mixins.NDArrayOperatorsMixin):
    """In the place of a cotangent: for every element the set of outputs whose cotangents reach it.

    Attributes
    ----------
    sets : scipy.sparse.csr_array of bool, (size, outputs)
    shape : tuple of int
    """

    array = np.zeros(())  # without NaN: what the engine asks of a cotangent
    # There is no __len__: scipy.sparse takes what is no sequence for a stranger, and lets its operator come first.

    def __init__(self, sets: Any, shape: tuple[int, ...], dtype: Any) -> None:
        self.sets, self.shape, self.dtype = sets, shape, dtype

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: int(np.prod(self.shape, dtype=int)))
    T = property(lambda self: self.transpose())
    real = imag = property(lambda self: self)
    base = None

    def picked(self, places: Any) -> Any:
        """The elements at an array of flat places."""
        places = np.asarray(places)
        same = places.size == self.size and np.array_equal(places.ravel(), np.arange(self.size))
        return Dependence(self.sets if same else self.sets[places.ravel()], places.shape, self.dtype)

    def places(self) -> Any:
        """The flat place of every element."""
        return np.arange(self.size).reshape(self.shape)

    def united(self, targets: Any, shape: tuple[int, ...]) -> Any:
        """An array of ``shape`` whose element ``targets[k]`` has element k's set, united where several have one."""
        sparse = require("scipy.sparse")
        targets = np.asarray(targets).ravel()
        size = int(np.prod(shape, dtype=int))
        move = sparse.csr_array((np.ones(targets.size, bool), (targets, np.arange(targets.size))), (size, self.size))
        return Dependence((move @ self.sets).astype(bool), shape, self.dtype)

    def scattered(self, index: Any, shape: Any) -> Any:
        """Zeros with the elements added at an index."""
        shape = tuple(shape) if np.ndim(shape) else (shape,)
        targets = np.arange(int(np.prod(shape, dtype=int))).reshape(shape)[index]
        whole = self.picked(np.broadcast_to(self.places(), targets.shape))
        return whole.united(targets, shape)

    def everywhere(self, shape: tuple[int, ...]) -> Any:
        """All with all: every element of ``shape`` has the union of the sets."""
        sparse = require("scipy.sparse")
        one = sparse.csr_array(np.ones((1, self.size), bool)) @ self.sets
        rows = np.zeros(int(np.prod(shape, dtype=int)), int)
        return Dependence(sparse.csr_array(one.astype(bool))[rows], tuple(shape), self.dtype)

    def sum(self, axis: Any = None, keepdims: bool = False, **kwargs: Any) -> Any:
        """Over some axes."""
        axes = tuple(range(self.ndim)) if axis is None else normalize_axis_tuple(axis, self.ndim)
        kept = tuple(1 if i in axes else n for i, n in enumerate(self.shape))
        targets = np.broadcast_to(np.arange(int(np.prod(kept, dtype=int))).reshape(kept), self.shape)
        shape = kept if keepdims else tuple(n for i, n in enumerate(self.shape) if i not in axes)
        return self.united(targets, shape)

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """Another shape."""
        return self.picked(self.places().reshape(*shape))

    def transpose(self, *axes: Any) -> Any:
        """Another order of axes."""
        return self.picked(self.places().transpose(*axes))

    def astype(self, dtype: Any, **kwargs: Any) -> Any:
        """Another dtype."""
        return Dependence(self.sets, self.shape, np.dtype(dtype))

    def copy(self) -> Any:
        """The same."""
        return self

    conj = copy

    def __getitem__(self, index: Any) -> Any:
        return self.picked(self.places()[index])

    def __rmatmul__(self, other: Any) -> Any:
        if hasattr(other, "tocsr"):  # a sparse matrix of SciPy's: exactly its pattern
            columns = int(np.prod(self.shape[1:], dtype=int))
            pattern = other.tocsr().astype(bool)
            if columns > 1:
                pattern = require("scipy.sparse").kron(pattern, np.eye(columns, dtype=bool), format="csr")
            return Dependence((pattern @ self.sets).astype(bool), (other.shape[0], *self.shape[1:]), self.dtype)
        return _matmul(other, self)

    def __bool__(self) -> bool:
        raise Unbatchable

    __float__ = __int__ = __index__ = __iter__ = __bool__  # type: ignore[assignment]

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "reduce" and ufunc is np.add:
            return self.sum(**kwargs)
        if method != "__call__" or kwargs.get("out") is not None or ufunc.nout != 1:
            raise Unbatchable
        if ufunc is np.matmul:
            return _matmul(*inputs)
        if ufunc.signature is not None:
            raise Unbatchable
        return _united(inputs, np.broadcast_shapes(*[np.shape(x) for x in inputs]))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        handler = _MOVES.get(function)
        if handler is None:
            raise Unbatchable
        return handler(*args, **kwargs)


def _united(inputs: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Elementwise: every element has the sets of those that meet there."""
    found: Any = None
    for x in inputs:
        if isinstance(x, Dependence):
            part = x if x.shape == shape else x.picked(np.broadcast_to(x.places(), shape))
            found = part if found is None else Dependence(found.sets + part.sets, shape, x.dtype)
    return found


def _matmul(x: Any, y: Any) -> Any:
    """With a constant matrix: along its elements that are not zero."""
    turned: Any
    out: Any
    if isinstance(x, Dependence) and isinstance(y, Dependence):
        raise Unbatchable
    if isinstance(x, Dependence):
        y = np.asarray(y)
        if y.ndim == 1:
            return _matmul(x, y[:, None])[..., 0]
        row: Any = x if x.ndim > 1 else x[None]
        turned = np.swapaxes(row, -1, -2)
        out = np.swapaxes(_matmul(np.swapaxes(y, -1, -2), turned), -1, -2)
        return out if x.ndim > 1 else out[..., 0, :]
    x = np.asarray(x)
    if y.ndim == 1:
        out = _matmul(x if x.ndim > 1 else x[None], y[:, None])[..., 0]
        return out if x.ndim > 1 else out[..., 0]
    if x.ndim == 1:
        return _matmul(x[None], y)[..., 0, :]
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    n, k, m = x.shape[-2], x.shape[-1], y.shape[-1]
    x, places = np.broadcast_to(x, (*lead, n, k)), np.broadcast_to(y.places(), (*lead, k, m))
    *batch, rows, middle = np.nonzero(x)
    sources = places[(*batch, middle)]
    targets = np.arange(int(np.prod((*lead, n, m), dtype=int))).reshape(*lead, n, m)[(*batch, rows)]
    return y.picked(sources.ravel()).united(targets, (*lead, n, m))


def _moved(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function that puts the elements of its first argument elsewhere: it is done to their places."""
    return lambda a, *args, **kwargs: a.picked(function(a.places(), *args, **kwargs))


def _joined(function: Callable[..., Any]) -> Callable[..., Any]:
    """concatenate and stack: as adding up parts that are each written into their own place."""

    def handler(arrays: Any, *args: Any, **kwargs: Any) -> Any:
        sizes = np.cumsum([0, *[int(np.prod(np.shape(a), dtype=int)) for a in arrays]])
        starts = [start + np.arange(np.prod(np.shape(a), dtype=int)).reshape(np.shape(a))
                  for a, start in zip(arrays, sizes, strict=False)]  # fmt: skip
        order = function(starts, *args, **kwargs)
        back = np.empty(order.size, int)
        back[order.ravel()] = np.arange(order.size)
        found: Any = None
        for a, start in zip(arrays, sizes, strict=False):
            if isinstance(a, Dependence):
                part = a.united(back[start : start + a.size], order.shape)
                found = part if found is None else Dependence(found.sets + part.sets, order.shape, a.dtype)
        return found

    return handler


def _where(condition: Any, x: Any, y: Any) -> Any:
    if isinstance(condition, Dependence):
        raise Unbatchable
    shape = np.broadcast_shapes(np.shape(condition), np.shape(x), np.shape(y))
    return _united([x, y], shape)


_MOVES: dict[Any, Callable[..., Any]] = {
    np.sum: lambda a, axis=None, dtype=None, out=None, keepdims=False, **kwargs: a.sum(axis, bool(keepdims)),
    np.mean: lambda a, axis=None, dtype=None, out=None, keepdims=False, **kwargs: a.sum(axis, bool(keepdims)),
    np.concatenate: _joined(np.concatenate),
    np.stack: _joined(np.stack),
    np.where: _where,
    np.real: lambda a: a,
    np.imag: lambda a: a,
    np.copy: lambda a, **kwargs: a,
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a: a.size,
    np.zeros_like: _filled(np.zeros_like),
    np.ones_like: _filled(np.ones_like),
    **{
        f: _moved(f)
        for f in (
            np.reshape, np.ravel, np.transpose, np.matrix_transpose, np.swapaxes, np.moveaxis, np.expand_dims,
            np.squeeze, np.broadcast_to, np.flip, np.roll, np.rot90, np.repeat, np.tile, np.take, np.diagonal,
            np.atleast_1d, np.atleast_2d, np.take_along_axis, np.rollaxis, np.flipud, np.fliplr,
        )
    },
}  # fmt: skip


def dependence(output: Any, inputs: Sequence[Any]) -> Any:
    """The pattern of the Jacobian of a recorded output: a sparse 0-1 matrix (outputs, all elements of the inputs)."""
    sparse = require("scipy.sparse")
    m = output.size
    targets = [x._node for x in inputs]
    arrived: dict[Any, Any] = {
        output._node: Dependence(sparse.eye_array(m, dtype=bool, format="csr"), output.shape, output.dtype)
    }
    for entry in reversed(backward.leading_to(set(targets), topological_order([output._node]))):
        g = arrived.get(entry) if entry in targets else arrived.pop(entry, None)
        if g is None or isinstance(entry, Variable) or entry in targets:
            continue
        for parent, part in zip(entry.parents, _sent(entry, g), strict=True):
            if parent is not None and part is not None:
                arrived[parent] = _arrived(arrived.get(parent), part)
    blocks = []
    for x in inputs:
        g = arrived.get(x._node)
        blocks.append(sparse.csr_array((x.size, m), dtype=bool) if g is None else g.sets)
    return sparse.csr_array(sparse.vstack(blocks).T)


def _arrived(held: Any, part: Any) -> Any:
    if isinstance(part, list):
        return (
            part if held is None else [_arrived(a, b) if b is not None else a for a, b in zip(held, part, strict=True)]
        )
    return part if held is None else Dependence(held.sets + part.sets, part.shape, part.dtype)


def _sent(node: Any, g: Any) -> list[Any]:
    """What a node sends to its parents: through its rules, or all with all."""
    if not isinstance(g, list):
        try:
            sent = list(backward.pull(node, g, False))
        except Exception:  # the rule asks for numbers
            sent = []
        if sent and all(
            part is None or isinstance(part, list) or (isinstance(part, Dependence) and part.shape == parent.shape)
            for parent, part in zip(node.parents, sent, strict=True)
        ):
            return sent
        parts = [g]
    else:
        parts = [part for part in g if part is not None]
    size = sum(part.size for part in parts)
    if (
        size
        * sum(int(np.prod(p.shape, dtype=int)) for p in node.parents if p is not None and not isinstance(p.shape, list))
        > _PASS
    ):
        raise NotDifferentiableError(
            f"sparse_jacobian: which outputs of {node.op.name} depend on which of its inputs is not known, and it is"
            f" too large to take all for dependent on all (shape {node.shape}); write it with elementwise operations,"
            " indexing and sums, or use jacobian"
        )
    whole = parts[0].everywhere((1,))
    for part in parts[1:]:
        whole = Dependence(whole.sets + part.everywhere((1,)).sets, (1,), part.dtype)
    return [None if parent is None else whole.everywhere(parent.shape) for parent in node.parents]


# --- colours ----------------------------------------------------------------------------------------------------------


def colors(pattern: Any) -> Any:
    """A colour for every row of a CSR pattern, so that rows with a common column differ: greedily, in the order given
    and from the fullest row down, whichever needs fewer.
    """
    fullest = np.argsort(-np.diff(pattern.indptr), kind="stable")
    first = _greedy(pattern, range(pattern.shape[0]))
    second = _greedy(pattern, fullest.tolist())
    return first if first.max(initial=-1) <= second.max(initial=-1) else second


def _greedy(pattern: Any, order: Any) -> Any:
    indices, indptr = pattern.indices.tolist(), pattern.indptr.tolist()
    taken = [0] * pattern.shape[1]  # the colours of the rows that hold a column, as bits
    found = np.zeros(pattern.shape[0], int)
    for i in order:
        columns = indices[indptr[i] : indptr[i + 1]]
        used = 0
        for j in columns:
            used |= taken[j]
        free = ~used & (used + 1)
        for j in columns:
            taken[j] |= free
        found[i] = free.bit_length() - 1
    return found


# --- public -----------------------------------------------------------------------------------------------------------


def sparse_jacobian(f: Callable[..., object], argnums: int = 0) -> Callable[..., SciPyArray]:
    """A function that returns the Jacobian of ``f`` as a sparse array, from a few passes.

    Parameters
    ----------
    f : callable
        Returns an array of real numbers.
    argnums : int
        Which positional argument: an array, or a tree of arrays.

    Returns
    -------
    callable
        Same arguments as ``f``; returns a ``scipy.sparse.csr_array`` of numbers, with a row per element of the output
        and a column per element of the argument, each in its flat order (a tree's leaves one after another).

    Raises
    ------
    NotDifferentiableError
        If the argument or what ``f`` closes over is tracked (the result is a constant), or if an operation whose
        pattern is not known is too large to be taken for dense.
    GraphError
        If the finished matrix fails the check against a pass of a random vector.

    Notes
    -----
    The pattern is found anew at every call, since it may depend on the point. The cost is one run of ``f``, one walk
    with sets, and as many cotangents or tangents as colours in batched passes.

    Examples
    --------
    >>> import autodiff
    >>> J = autodiff.sparse_jacobian(lambda x: x[1:] ** 2 - x[:-1])(np.array([1.0, 2.0, 3.0]))
    >>> J.toarray(), J.nnz
    (array([[-1.,  4.,  0.],
           [ 0., -1.,  6.]]), 4)
    """
    return _sparse(sparse_jacobian, f, f, argnums, False)


def sparse_hessian(f: Callable[..., object], argnums: int = 0) -> Callable[..., SciPyArray]:
    """A function that returns the Hessian of a scalar function as a sparse array, from as many Hessian-vector products
    as its pattern needs colours (three for a tridiagonal one); otherwise as :func:`sparse_jacobian`.

    Examples
    --------
    >>> import autodiff
    >>> H = autodiff.sparse_hessian(lambda x: np.sum((x[1:] - x[:-1]) ** 2))(np.zeros(3))
    >>> H.toarray()
    array([[ 2., -2.,  0.],
           [-2.,  4., -2.],
           [ 0., -2.,  2.]])
    """

    def slope(*args: Any, **kwargs: Any) -> Any:
        leaves, _ = flatten(grad(f, argnums)(*args, **kwargs))
        parts = [shaping.reshape(leaf, (-1,)) for leaf in leaves]
        return parts[0] if len(parts) == 1 else shaping.concatenate(parts)

    return _sparse(sparse_hessian, slope, f, argnums, True)


def _sparse(
    maker: Callable[..., Any], function: Callable[..., Any], f: Any, argnums: int, symmetric: bool
) -> Callable[..., Any]:
    require("scipy.sparse")
    name = maker.__name__
    refuse_unless_callable(name, f)
    if not whole(argnums):
        raise ArgumentError(f"{name}: argnums must be one integer, got {argnums!r}")

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        if not -len(args) <= argnums < len(args):
            raise ArgumentError(f"{name}: argnums={argnums}, but the function was called with {len(args)} arguments")
        leaves, rebuild = flatten(args[argnums])
        if any(getattr(leaf, "_node", None) is not None for leaf in leaves):
            raise NotDifferentiableError(f"{name}: the result is a constant array of SciPy's; pass a plain array")
        arrays = [np.asarray(bare(leaf)) for leaf in leaves]
        if not arrays or any(a.dtype.kind != "f" for a in arrays):
            raise DTypeError(f"{name}: the argument must hold floats; split complex numbers")
        inputs = [variable(a) for a in arrays]
        given = list(args)
        given[argnums] = rebuild(inputs)
        out = run_recorded(function, *given, **kwargs)
        if isinstance(out, (tuple, list, dict)):
            raise ShapeError(f"{name}: the function must return one array, it returned a {type(out).__name__}")
        if np.result_type(bare(out)).kind == "c":
            raise DTypeError(f"{name}: the function returned complex numbers; return np.real(...) and np.imag(...)")
        if getattr(out, "_node", None) is None:
            return require("scipy.sparse").csr_array((np.size(bare(out)), sum(a.size for a in arrays)), dtype=float)
        if strangers([out], {x._node for x in inputs}):
            raise NotDifferentiableError(f"{name}: f reads a tracked Tensor, and the result is a constant; use .data")
        return _compressed(name, out, inputs, symmetric)

    return Made(differentiated, maker, f, argnums=argnums)


def few_passes(out: Any, x: Any, most: int = 64) -> Any:
    """The Jacobian of a recorded output as a sparse array, or None where it would take more than a few passes."""
    try:
        pattern = dependence(out, [x])
    except NotDifferentiableError:
        return None
    if min(np.diff(pattern.indptr).max(initial=0), np.bincount(pattern.indices).max(initial=0)) > most:
        return None
    return _compressed("sparse_jacobian", out, [x], False)


def _compressed(name: str, out: Any, inputs: list[Any], symmetric: bool) -> Any:
    sparse = require("scipy.sparse")
    pattern = dependence(out, inputs)
    pattern.sort_indices()
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    by_row = colors(pattern)
    turned = sparse.csr_array(pattern.T)
    by_column = by_row if symmetric else colors(turned)
    if symmetric or by_row.max(initial=-1) <= by_column.max(initial=-1):
        values = _passes(by_row, pattern.shape, lambda seeds: _pulled(out, inputs, seeds))
        data = values[by_row[rows], pattern.indices] if values.size else np.zeros(0)
    else:
        values = _passes(by_column, pattern.shape[::-1], lambda seeds: _pushed(out, inputs, seeds))
        data = values[by_column[pattern.indices], rows]
    matrix = sparse.csr_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)
    _check(name, matrix, out, inputs)
    return matrix


def _passes(color: Any, shape: tuple[int, int], run: Callable[[Any], Any]) -> Any:
    """The compressed matrix: a row per colour, the sum of the rows of that colour."""
    count = int(color.max(initial=-1)) + 1
    step = max(1, min(128, _PASS // max(*shape, 1)))
    found = []
    for start in range(0, count, step):
        here = np.flatnonzero((color >= start) & (color < start + step))
        seeds = np.zeros((min(step, count - start), shape[0]))
        seeds[color[here] - start, here] = 1
        found.append(run(seeds))
    return np.concatenate(found) if found else np.zeros((0, shape[1]))


def _pulled(out: Any, inputs: list[Any], seeds: Any) -> Any:
    """``seeds @ J`` by one batched backward pass."""
    batch = Batched(seeds.astype(out.dtype).reshape(len(seeds), *out.shape))
    nodes = [x._node for x in inputs]
    try:
        found = gradients_at([out], [batch], nodes, False)
    except Unbatchable:
        rows = [gradients_at([out], [seed], nodes, False) for seed in batch.array]
        found = [
            None if column[0] is None else Batched(np.stack([np.asarray(g) for g in column]))
            for column in zip(*rows, strict=True)
        ]
    parts = [
        np.zeros((len(seeds), x.size), x.dtype)
        if g is None
        else np.broadcast_to(g.array if is_batched(g) else g, (len(seeds), *x.shape)).reshape(len(seeds), x.size)
        for g, x in zip(found, inputs, strict=True)
    ]
    return np.concatenate(parts, axis=1)


def _pushed(out: Any, inputs: list[Any], seeds: Any) -> Any:
    """``J @ seeds.T``, transposed: the pullback is linear in its cotangent, and is itself pulled back."""
    dummy = variable(np.zeros(out.shape, out.dtype))
    pulled = gradients_at([out], [dummy], [x._node for x in inputs], True)
    ends = np.cumsum([0, *[x.size for x in inputs]])
    total = np.zeros((len(seeds), out.size), out.dtype)
    for g, x, start, stop in zip(pulled, inputs, ends, ends[1:], strict=False):
        if getattr(g, "_node", None) is not None:
            part = _pulled(g, [dummy], seeds[:, start:stop].astype(x.dtype))
            total = total + part
    return total


def _check(name: str, matrix: Any, out: Any, inputs: list[Any]) -> None:
    """The matrix against one plain pass of a random vector: a dependence that was missed shows."""
    u = np.random.default_rng(0).uniform(0.5, 1.5, out.size).astype(out.dtype)
    want = _pulled(out, inputs, u[None])[0]
    got = matrix.T @ u
    size = abs(matrix).T @ np.abs(u)
    finite = np.isfinite(want) & np.isfinite(size)
    near = 1e3 * np.finfo(matrix.dtype).eps * (size + float(np.max(size[finite], initial=0.0)) * 1e-3)
    if not np.all(np.abs(got - want)[finite] <= near[finite] + 1e-300):
        raise GraphError(
            f"{name}: the pattern that was found misses dependences; please report the function, and use jacobian"
        )
