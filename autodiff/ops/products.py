"""Products of vectors, matrices and tensors: matmul with batching, einsum, and what is written with them."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from autodiff import dispatch
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.core.op import Primitive
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.ops.common import bare, no_out
from autodiff.ops.indexing import _scatter, scatter_

P = Primitive

# From so many products on BLAS makes a contraction, though its operands may have to be copied for it.
_PRODUCT = THRESHOLDS["CONTRACTION"].value


def _matmul(x: Any, y: Any) -> Any:
    return np.matmul(x, y)


def _matmul_left(g: Any, out: Any, x: Any, y: Any) -> Any:
    # out = x y, so dx = g y^T: (..., n, m) (..., m, k) -> (..., n, k). A vector stands for a row (left) or a column
    # (right).
    if y.ndim == 1:
        return np.expand_dims(g, -1) * y if x.ndim > 1 else g * y
    if x.ndim == 1:
        return np.matmul(y, np.expand_dims(g, -1))[..., 0]
    return np.matmul(g, np.swapaxes(y, -1, -2))


def rows_of(x: Any) -> Any:
    """An array (..., n) as a matrix with rows of n numbers; of no rows -1 in a shape would say nothing."""
    return x if x.ndim == 2 else np.reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


def _matmul_right(g: Any, out: Any, x: Any, y: Any) -> Any:
    if x.ndim == 1:
        return np.expand_dims(x, -1) * np.expand_dims(g, -2) if y.ndim > 1 else g * x
    if y.ndim == 1:
        return np.matmul(np.swapaxes(x, -1, -2), np.expand_dims(g, -1))[..., 0]
    if y.ndim == 2 and x.ndim > 2:
        # One matrix for the whole batch: a single product over all rows instead of one per batch entry and a sum.
        return np.matmul(np.transpose(rows_of(x)), rows_of(g))
    return np.matmul(np.swapaxes(x, -1, -2), g)


def _sample_matmul(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n, k, m, b = (draw.integer(0, 3) for _ in range(4))
    left, right = draw.choice(
        (
            ((n, k), (k, m)),
            ((k,), (k,)),
            ((k,), (k, m)),
            ((n, k), (k,)),
            ((b, n, k), (b, k, m)),
            ((b, n, k), (k, m)),
            ((1, n, k), (b, k, m)),
            ((b, n, k), (k,)),
            ((k,), (b, k, m)),
        )
    )
    return (draw.array(left), draw.array(right)), {}


matmul = P(
    "matmul", _matmul, _matmul_left, _matmul_right, numpy=np.matmul, sample=_sample_matmul, label="@", linear="each"
)


@dispatch.implements(np.dot)
def dot(a: Any, b: Any, out: None = None) -> Any:
    """Differentiable ``numpy.dot``: scalars multiply, vectors and matrices as ``@``, else the last axis with the last
    but one.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.dot(autodiff.tensor([1.0, 2.0]), [3.0, 4.0]).item()
    11.0
    """
    from autodiff.ops.elementwise import multiply

    no_out("dot", out)
    left, right = np.ndim(bare(a)), np.ndim(bare(b))
    if left == 0 or right == 0:
        product = multiply.function(a, b)
        made = product._data
        if made.__class__ is np.ndarray and made.ndim > 1 and not made.flags.c_contiguous:
            product._data = np.ascontiguousarray(made)  # np.dot's order in memory, which a view shows
        return product
    if right <= 2:
        return matmul.function(a, b)
    return tensordot(a, b, axes=((left - 1,), (right - 2,)))


@dispatch.implements(np.inner)
def inner(a: Any, b: Any) -> Any:
    """Differentiable ``numpy.inner``: the last axis with the last axis."""
    left, right = np.ndim(bare(a)), np.ndim(bare(b))
    if left == 0 or right == 0:
        return dot(a, b)
    return tensordot(a, b, axes=((left - 1,), (right - 1,)))


@dispatch.implements(np.linalg.outer)
def linalg_outer(x1: Any, x2: Any, /) -> Any:
    """Differentiable ``numpy.linalg.outer`` of two vectors."""
    shapes = [np.shape(bare(x)) for x in (x1, x2)]
    if [len(shape) for shape in shapes] != [1, 1]:
        raise ShapeError(f"linalg.outer: needs two vectors, got shapes {shapes[0]} and {shapes[1]}")
    return outer(x1, x2)


@dispatch.implements(np.outer)
def outer(a: Any, b: Any, out: None = None) -> Any:
    """Differentiable ``numpy.outer`` of the flattened arguments."""
    from autodiff.ops.elementwise import multiply
    from autodiff.ops.shaping import reshape

    no_out("outer", out)
    return multiply.function(reshape(a, (-1, 1)), reshape(b, (1, -1)))


@dispatch.implements(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Differentiable ``numpy.tensordot``: a sum of products over the named axes, as one matrix product.

    Raises
    ------
    ShapeError
        If the named axes differ in length.
    """
    from autodiff.ops.shaping import reshape, transpose

    sa, sb = np.shape(bare(a)), np.shape(bare(b))
    if isinstance(axes, (int, np.integer)):
        over_a: tuple[int, ...] = tuple(range(len(sa) - int(axes), len(sa)))
        over_b: tuple[int, ...] = tuple(range(int(axes)))
    else:
        first, second = axes
        over_a, over_b = normalize_axis_tuple(first, len(sa)), normalize_axis_tuple(second, len(sb))
    if [sa[i] for i in over_a] != [sb[i] for i in over_b]:
        raise ShapeError(f"tensordot: shapes {sa} and {sb} do not fit over axes {over_a} and {over_b}")
    free_a = tuple(i for i in range(len(sa)) if i not in over_a)
    free_b = tuple(i for i in range(len(sb)) if i not in over_b)
    shape_a, shape_b = tuple(sa[i] for i in free_a), tuple(sb[i] for i in free_b)
    length = int(np.prod([sa[i] for i in over_a], dtype=int))
    left = reshape(transpose(a, free_a + over_a), (int(np.prod(shape_a, dtype=int)), length))
    right = reshape(transpose(b, over_b + free_b), (length, int(np.prod(shape_b, dtype=int))))
    return reshape(matmul.function(left, right), shape_a + shape_b)


# --- einsum -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _diagonals(inputs: tuple[str, ...]) -> tuple[int, ...]:
    """Which operands have two axes of one name."""
    return tuple(place for place, labels in enumerate(inputs) if len(set(labels)) < len(labels))


def _einsum(*operands: Any, subscripts: tuple[tuple[str, ...], str]) -> Any:
    inputs, output = subscripts
    for place in _diagonals(inputs):
        shape = operands[place].shape
        if len(set(zip(inputs[place], shape, strict=True))) > len(set(inputs[place])):
            # NumPy reads past the end where one of the lengths is 0.
            raise ShapeError(f"einsum: {inputs[place]!r} names axes of different lengths alike in an operand {shape}")
    if len(operands) == 2:
        found = _by_matmul(inputs[0], inputs[1], output, operands[0], operands[1])
        if found is not None:
            return found
    return np.einsum(f"{','.join(inputs)}->{output}", *operands, optimize=len(operands) > 2)


def _by_matmul(left: str, right: str, output: str, x: Any, y: Any) -> Any:
    """A contraction of two operands as one batched matrix product; None where it is none, or a small one.

    Labels of both that stay are the batch, labels of both that go are summed over, the others are rows and columns.
    Of the layouts (batch, rows, sum) (batch, sum, columns) is the one that BLAS takes without a copy for most operands.
    """
    shapes = [np.shape(bare(x)), np.shape(bare(y))]
    if len({*left}) < len(left) or len({*right}) < len(right):
        return None
    if not all(c in right or c in output for c in left) or not all(c in left or c in output for c in right):
        return None
    length = dict(zip(left + right, shapes[0] + shapes[1], strict=True))
    batch = [c for c in left if c in right and c in output]
    over = [c for c in left if c in right and c not in output]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]
    if not (over and rows and columns) or prod(length.values()) < _PRODUCT:
        return None
    if shapes[0] != tuple(length[c] for c in left):
        return None  # a label of length one here, and longer there, repeats

    def matrices(z: Any, labels: str, first: list[str], second: list[str]) -> Any:
        order = [labels.index(c) for c in (*batch, *first, *second)]
        sizes = [length[c] for c in batch] + [prod(length[c] for c in part) for part in (first, second)]
        return np.reshape(np.transpose(z, order), sizes)

    product = np.matmul(matrices(x, left, rows, over), matrices(y, right, over, columns))
    labels = [*batch, *rows, *columns]
    return np.transpose(np.reshape(product, [length[c] for c in labels]), [labels.index(c) for c in output])


def _einsum_rule(i: int, g: Any, out: Any, *operands: Any, subscripts: tuple[tuple[str, ...], str]) -> Any:
    # d/dx_i is the einsum of g and all other operands, read out with operand i's own labels; a label that stands only
    # in operand i was summed over, so its cotangent repeats; a label that stands twice there read a diagonal.
    inputs, output = subscripts
    mine, shape = inputs[i], np.shape(bare(operands[i]))
    labels = "".join(dict.fromkeys(mine))
    others = [s for j, s in enumerate(inputs) if j != i]
    reachable = "".join(c for c in labels if c in output or any(c in s for s in others))
    rest = [operand for j, operand in enumerate(operands) if j != i]
    # The conjugations cancel: the rule is linear in g without them (docs/complex.md).
    part = None
    if len(rest) == 1 and all(value.__class__ is np.ndarray for value in (g, *rest)):
        part = _by_matmul(output, others[0], reachable, g, rest[0])
    if part is None:
        part = np.einsum(f"{','.join([output, *others])}->{reachable}", g, *rest, optimize=len(rest) > 1)
    length = {c: n for c, n in zip(mine, shape, strict=True)}
    if reachable != labels:
        part = np.reshape(part, tuple(part.shape[reachable.index(c)] if c in reachable else 1 for c in labels))
    # A label of length one elsewhere repeats what it multiplies, and so does one that stands nowhere else.
    wide = tuple(n if length[c] == 1 else length[c] for c, n in zip(labels, part.shape, strict=True))
    if part.shape != wide:
        part = np.broadcast_to(part, wide)
    if labels == mine:
        return part
    one = tuple(axis for axis, c in enumerate(labels) if part.shape[axis] > length[c])
    part = np.sum(part, axis=one, keepdims=True) if one else part
    place = tuple(np.arange(length[c]).reshape([-1 if c == d else 1 for d in labels]) for c in mine)
    return (scatter_.function if hasattr(part, "_node") else _scatter)(part, place, shape)


def _sample_einsum(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    size = {c: draw.integer(1, 3) for c in "ijkl"}
    inputs, output = draw.choice(
        (
            (("ij", "jk"), "ik"),
            (("ij",), "ji"),
            (("ii",), "i"),
            (("ij",), ""),
            (("i", "i"), ""),
            (("ij", "jk", "kl"), "il"),
            (("ijk", "ikl"), "ijl"),
            (("iij",), "j"),
            (("ij", "k"), "ik"),
        )
    )
    return tuple(draw.array(tuple(size[c] for c in s)) for s in inputs), {"subscripts": (inputs, output)}


einsum_ = P("einsum", _einsum, _einsum_rule, variadic=True, sample=_sample_einsum, linear="each")


def _explicit(subscripts: str, shapes: list[tuple[int, ...]]) -> tuple[tuple[str, ...], str]:
    """Subscripts with the output written out and every ellipsis replaced by letters of its own."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(shapes):
        raise ArgumentError(f"einsum: {subscripts!r} names {len(inputs)} operands, got {len(shapes)}")
    spare = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in text]
    hidden = [
        len(shape) - len(s.replace("...", "")) if "..." in s else 0 for s, shape in zip(inputs, shapes, strict=True)
    ]
    dots = "".join(spare[: max(hidden, default=0)])
    full = []
    for s, shape, count in zip(inputs, shapes, hidden, strict=True):
        expanded = s.replace("...", dots[len(dots) - count :])
        if len(expanded) != len(shape) or count < 0:
            raise ShapeError(f"einsum: subscripts {s!r} do not fit an operand of shape {shape}")
        full.append(expanded)
    if arrow:
        if dots and "..." not in right:
            raise ShapeError(f"einsum: {subscripts!r} has an ellipsis for {len(dots)} axes, and none in its output")
        output = right.replace("...", dots)
    else:
        once = sorted(c for c in set(left) - set("., ") if left.count(c) == 1)
        output = dots + "".join(once)
    return tuple(full), output


def _spelled(labels: Any) -> str:
    """Numbers as letters in NumPy's order, in which an output that is not given is sorted."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    if any(k is not Ellipsis and not 0 <= k < len(letters) for k in labels):
        raise ArgumentError(f"einsum: labels are numbers from 0 to {len(letters) - 1}, got {labels}")
    return "".join("..." if k is Ellipsis else letters[k] for k in labels)


@dispatch.implements(np.einsum)
def einsum(*operands: Any, out: None = None, optimize: Any = False, **kwargs: Any) -> Any:
    """Differentiable ``numpy.einsum``, in both of NumPy's calling forms.

    Parameters
    ----------
    *operands
        ``subscripts, x, y, ...``, or ``x, [0, 1], y, [1, 2], ..., [output]``.
    optimize : ignored
        The order of contraction is found by NumPy for three operands and more.

    Raises
    ------
    ArgumentError, ShapeError
        If subscripts and operands do not fit.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> autodiff.einsum("ii->", x).backward()
    >>> x.grad
    array([[1., 0.],
           [0., 1.]])
    """
    no_out("einsum", out)
    if kwargs:
        raise ArgumentError(f"einsum: {', '.join(kwargs)}= is not supported on tensors; cast with .astype")
    if not operands:
        raise ArgumentError("einsum: needs subscripts and operands")
    if isinstance(operands[0], str):
        subscripts, arrays = operands[0], list(operands[1:])
    else:
        pairs, last = list(operands), None
        if len(pairs) % 2:
            last = pairs.pop()
        arrays = pairs[::2]
        subscripts = ",".join(map(_spelled, pairs[1::2]))
        if last is not None:
            subscripts += f"->{_spelled(last)}"
    return einsum_.function(*arrays, subscripts=_explicit(subscripts, [np.shape(bare(a)) for a in arrays]))
