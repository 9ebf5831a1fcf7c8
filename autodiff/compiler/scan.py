"""Loops with a carry, with JAX's names: ``scan``, ``fori_loop`` and ``while_loop``.

What they mean is the Python loop below. By contract the body is a pure function of its arguments and of what it closes
over, so that whoever runs it may trace it once and repeat the trace. A long ``scan`` over a body of small arrays
does so, and becomes one loop of machine code or of plan calls (``body.py``); everywhere else the body is called once a
step. Derivatives of any order and both modes follow from the operations of the body.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import kernels
from autodiff.arguments import refuse_unless_callable, refuse_unless_positive, whole
from autodiff.checkpointing import checkpointed
from autodiff.compiler.standin import bare
from autodiff.containers import as_array
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.core.modes import ORDINARY, current_state
from autodiff.core.op import Primitive, apply, wrap
from autodiff.core.pytree import flatten
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.ops.shaping import stack
from autodiff.trees import outline

if TYPE_CHECKING:
    from autodiff.results import Tree, TreeLike

__all__ = ["fori_loop", "scan", "while_loop"]

rows = Primitive(
    "rows",
    lambda x: tuple(np.array(row) for row in x),
    lambda g, out, x: np.stack(g),
    linear="jointly",
    sample=lambda draw: ((draw.array((3, 2)),), {}),
    label="rows",
)


def scan(
    f: Callable[..., tuple[object, object]],
    init: TreeLike,
    xs: TreeLike = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    *,
    checkpoint: int | None = None,
) -> tuple[Tree, Tree]:
    """Carry a value through a loop over leading axes, and stack what each step gives: JAX's ``lax.scan``.

    The meaning, for arrays::

        carry, ys = init, []
        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, np.stack(ys)

    Parameters
    ----------
    f : callable
        ``f(carry, x) -> (carry, y)``, a pure function of its arguments and of what it closes over. The carry that it
        returns has the structure, shapes and dtypes of the carry that it was given.
    init : tree of array_like
        The first carry.
    xs : tree of array_like or None
        What the loop runs over: the leading axis of every leaf, of one length for all. None: ``x`` is None.
    length : int, optional
        The number of steps; needed where ``xs`` has no leaves.
    reverse : bool
        Run from the last entry to the first. ``ys`` stay in the order of ``xs``.
    unroll : int or bool
        JAX's choice of how the loop is laid out; taken, and of no effect.
    checkpoint : int, optional
        Keep the carry at every so many steps alone, and compute what lies between again during the backward pass.
        Memory then grows with ``length / checkpoint + checkpoint`` instead of ``length``.

    Returns
    -------
    carry : tree
        After the last step.
    ys : tree
        Each step's ``y``, stacked along a new leading axis; None where the ``y`` are None, or there is no step.

    Raises
    ------
    ArgumentError
        If the number of steps is not given or not the same for all leaves, or ``f`` returns no pair.
    ShapeError, DTypeError
        If ``f`` changes the carry's structure, a shape or a dtype.

    Notes
    -----
    From 512 steps on a body over small arrays is run once on stand-ins. With numba installed, one of elementwise
    operations, small sums, small matrix products and indices that are known becomes one native loop, forward and
    backward; its numbers are those of the plain loop but for the last bits of exp, tanh and their kin, of sums and of
    products. Any other, and all without numba, becomes a plan that is called once a step. Under ``plain()`` and inside
    ``jvp`` and ``vmap`` the loop is Python's, and so is that of a body that cannot be followed.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> def total(carry, x):
    ...     return carry + x, carry + x
    >>> last, sums = autodiff.scan(total, 0.0, np.arange(4.0))
    >>> float(last), np.asarray(sums)
    (6.0, array([0., 1., 3., 6.]))
    >>> autodiff.grad(lambda x: autodiff.scan(lambda c, x: (c * x, None), 1.0, x)[0])(np.array([2.0, 3.0]))
    array([3., 2.])
    """
    refuse_unless_callable("scan", f, False)
    leaves, rebuild = flatten(xs)
    count = _steps(leaves, length)
    if checkpoint is not None:
        refuse_unless_positive("scan: checkpoint", checkpoint)
    size = count if checkpoint is None else checkpoint
    made: tuple[Any, Any] | None = _native(f, init, leaves, rebuild, count, reverse, size)
    if made is not None:
        return made
    columns = [rows.function(_array(leaf)) if count else () for leaf in leaves]
    inputs: list[Any] = [rebuild([column[i] for column in columns]) for i in range(count)]
    order = list(reversed(range(count))) if reverse else list(range(count))
    carry = _carry(init)
    ys: list[Any] = []
    for start in range(0, count, max(size, 1)):
        part = [inputs[i] for i in order[start : start + size]]
        if checkpoint is None or len(part) == count:
            carry, found = _run(f, carry, part)
        else:
            carry, found = checkpointed(lambda *given: _tensors(_run(f, *given)))(_tensors(carry), part)
        ys += found
    if reverse:
        ys.reverse()
    return carry, _stacked(ys)


def fori_loop(lower: int, upper: int, body: Callable[..., object], init: TreeLike) -> Tree:
    """``body(i, carry)`` for ``i`` from ``lower`` to ``upper - 1``: JAX's ``lax.fori_loop``.

    Parameters
    ----------
    lower, upper : int
    body : callable
        ``body(i, carry) -> carry``, pure, and keeping the carry's structure, shapes and dtypes.
    init : tree of array_like

    Returns
    -------
    tree
        The last carry.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.grad(lambda x: autodiff.fori_loop(0, 3, lambda i, c: c * x, 1.0))(2.0)
    array(12.)
    """
    refuse_unless_callable("fori_loop", body, False)
    if not (whole(lower) and whole(upper)):
        raise ArgumentError(f"fori_loop: its bounds are integers, got {lower!r} and {upper!r}")
    carry = _carry(init)
    for i in range(int(lower), int(upper)):
        carry = _same(carry, body(i, carry), "fori_loop")
    return carry  # type: ignore[no-any-return]


def while_loop(condition: Callable[..., object], body: Callable[..., object], init: TreeLike) -> Tree:
    """``body`` as long as ``condition`` holds of the carry: JAX's ``lax.while_loop``, differentiable both ways.

    Parameters
    ----------
    condition : callable
        ``condition(carry)`` gives a truth value. The number of steps that follows from it has no derivative.
    body : callable
        ``body(carry) -> carry``, pure, and keeping the carry's structure, shapes and dtypes.
    init : tree of array_like

    Returns
    -------
    tree
        The first carry of which the condition does not hold.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.grad(lambda x: autodiff.while_loop(lambda c: c < 10.0, lambda c: c * x, 1.0))(2.0)
    array(32.)
    """
    for function in (condition, body):
        refuse_unless_callable("while_loop", function, False)
    carry = _carry(init)
    while bool(condition(carry)):
        carry = _same(carry, body(carry), "while_loop")
    return carry  # type: ignore[no-any-return]


def _run(f: Callable[[Any, Any], tuple[Any, Any]], carry: Any, inputs: list[Any]) -> tuple[Any, list[Any]]:
    """The loop itself."""
    ys: list[Any] = []
    for x in inputs:
        pair = f(carry, x)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ArgumentError(f"scan: the function returns (carry, y), and this one returned a {type(pair).__name__}")
        carry = _same(carry, pair[0], "scan")
        ys.append(pair[1])
    return carry, ys


def _native(f: Any, init: Any, leaves: list[Any], rebuild: Any, count: int, reverse: bool, size: int) -> Any:
    """The same by a native loop, if there is one and the loop is long enough for it."""
    state = current_state()
    least = THRESHOLDS["SCAN"].value if kernels.using() == "auto" else 1
    if count < least or (state is not None and replace(state, grad=True, tracer=None) != ORDINARY):
        return None
    from autodiff.compiler.body import loop_over

    carry, arrays = _carry(init), [_array(leaf) for leaf in leaves]
    place = count - 1 if reverse else 0
    given, again = flatten(carry)
    tracked = [getattr(array, "_node", None) is not None for array in (*given, *arrays)]
    first = rebuild([bare(getattr(array, "_data", array))[place] for array in arrays])
    found = loop_over(f, carry, first, tracked)
    if found is None:
        return None
    loop, closed, rebuilt = found
    outs = apply(loop, [*given, *arrays, *closed], {"length": count, "reverse": reverse, "checkpoint": size})
    return again(list(outs[: len(given)])), rebuilt(list(outs[len(given) :]))


def _tensors(tree: Any) -> Any:
    """A tree whose arrays are Tensors, as a checkpoint takes and gives them."""
    leaves, rebuild = flatten(tree)
    return rebuild([leaf if hasattr(leaf, "_node") else wrap(as_array(leaf), None) for leaf in leaves])


def _array(leaf: Any) -> Any:
    return leaf if hasattr(leaf, "_node") else as_array(leaf)


def _carry(init: Any) -> Any:
    """The first carry, its Python numbers as arrays."""
    leaves, rebuild = flatten(init)
    return rebuild([_array(leaf) for leaf in leaves])


def _steps(leaves: list[Any], length: int | None) -> int:
    counts = set()
    for leaf in leaves:
        shape = np.shape(_array(leaf))
        if not shape:
            raise ShapeError("scan: every leaf of xs needs a leading axis to run over, and one has shape ()")
        counts.add(shape[0])
    if length is not None:
        if not whole(length) or length < 0:
            raise ArgumentError(f"scan: length is a number of steps, got {length!r}")
        counts.add(int(length))
    if len(counts) != 1:
        told = (
            f"the leading axes and length= are {sorted(counts)}" if counts else "xs has no leaves and length= is None"
        )
        raise ArgumentError(f"scan: one number of steps is needed, but {told}")
    return int(counts.pop())


def _same(before: Any, after: Any, name: str) -> Any:
    """The new carry, if it has the old one's structure, shapes and dtypes."""
    old, _ = flatten(before)
    new, rebuild = flatten(after)
    new = [_array(leaf) for leaf in new]
    if outline(before, []) != outline(after, []):
        raise ShapeError(f"{name}: the function changed the carry's structure; it must return what it was given")
    for was, now in zip(old, new, strict=True):
        if was.shape != now.shape:
            raise ShapeError(f"{name}: the function changed a carry of shape {was.shape} into one of shape {now.shape}")
        if was.dtype != now.dtype:
            raise DTypeError(
                f"{name}: the function changed a carry of dtype {was.dtype} into {now.dtype}; cast one of them"
            )
    return rebuild(new)


def _stacked(ys: list[Any]) -> Any:
    if not ys:
        return None
    columns: list[list[Any]] = []
    rebuild: Callable[[list[Any]], Any] | None = None
    for y in ys:
        leaves, rebuild = flatten(y)
        columns.append(leaves)
        if len(leaves) != len(columns[0]):
            raise ArgumentError("scan: the function returned y of another structure than at the first step")
    assert rebuild is not None
    return rebuild([stack(list(column)) for column in zip(*columns, strict=True)])
