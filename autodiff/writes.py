"""Writes into arrays that a graph may hold: by the library, an optimiser's step say, and by programs.

A node keeps the time at which it was made. A backward pass through one that reads an array that has been written into
since is refused. The library says when it writes (:func:`written`). A program writes into what it was handed out, by
``t.data`` or ``np.asarray(t)`` say, and says nothing. So every door hands out a *loan* (:func:`lend`):

* While a program can reach a loan, what is recorded keeps a copy of that memory (:func:`lent`). A loan is an array
  whose base is a memoryview; NumPy then makes it the base of all that is derived from it. So it dies with the last of
  these, which a weak reference tells. Nobody's references are counted.
* What was recorded before reads the memory itself. A checksum of it is taken when it is lent, and compared by a
  backward pass.
* A computed tensor that was written into is no longer what its node says: a gradient through what is computed of it
  from then on is refused.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from autodiff.core import backward
from autodiff.core import op as core
from autodiff.core.errors import GraphError
from autodiff.core.graph import Node, Variable, tick, time
from autodiff.core.modes import current_state
from autodiff.core.op import argument
from autodiff.views import live_views, view_of

_Range = tuple[int, int]


class _Memory:
    """What is known of the memory that one array owns.

    Attributes
    ----------
    writes : dict
        When which of its bytes were last written into.
    marks : dict
        Of arrays that were lent, by their place: when, and their checksum then.
    tensors : list of weakref.ref
        Tensors that were given this memory by being detached from another one.
    """

    __slots__ = ("marks", "owner", "tensors", "writes")

    def __init__(self, owner: Any, key: int) -> None:
        self.owner = weakref.ref(owner, lambda _: _memories.pop(key, None))
        self.writes: dict[_Range, int] = {}
        self.marks: dict[tuple[Any, ...] | None, tuple[int, Any]] = {}
        self.tensors: list[weakref.ref[Any]] = []


# By identity of the array that owns the memory.
_memories: dict[int, _Memory] = {}


def written(array: Any, leaf: Variable | None = None) -> None:
    """Note that the library has written into an array in place.

    A backward pass through a node that was recorded before and whose rules would read these bytes is refused.

    Parameters
    ----------
    array : numpy.ndarray or None
        None for a leaf that was given another array: then only what computes anew with its value is refused.
    leaf : Variable, optional
        The leaf whose value it is; its ``version`` becomes the present time.
    """
    now = tick(write=True)
    if leaf is not None:
        leaf.version = now
    if isinstance(array, np.ndarray):
        writes, place = writes_to(array)
        writes[place] = now


def writes_to(array: Any) -> tuple[dict[_Range, int], _Range]:
    """The table in which it is noted when an array's memory was written into, and the array's key in it."""
    return _memory(_owner(array)).writes, _bounds(array)


def shared(array: Any, tensor: Any) -> None:
    """Note that a tensor has the memory of another one, and is to keep its values when that is written into."""
    tensors = _memory(_owner(array)).tensors
    if len(tensors) & (len(tensors) - 1) == 0:  # now and then the dead are dropped
        tensors[:] = [reference for reference in tensors if reference() is not None]
    tensors.append(weakref.ref(tensor))


def overwritten(array: Any, stamp: int) -> bool:
    """Whether an array has been written into since the time ``stamp``."""
    if not isinstance(array, np.ndarray):
        return False
    array = getattr(array, "value", array)  # of a stand-in under autodiff.jit
    owner = _owner(array)
    memory = _known(owner)
    if memory is None:
        return False
    for mark, (when, checksum) in list(memory.marks.items()):
        lent_then = owner if mark is None else np.asarray(_Place(mark))
        if when > stamp and _meet(_bounds(lent_then), _bounds(array)):
            if _checksum(lent_then) != checksum:
                _note(memory, owner, mark, when)
            elif not _reachable(owner, array):
                memory.marks.pop(mark, None)  # nobody can write there any more
    place = _bounds(array) if memory.writes else (0, 0)
    return any(when > stamp and _meet(other, place) for other, when in list(memory.writes.items()))


def _note(memory: _Memory, owner: Any, mark: Any, when: int) -> None:
    """What was lent at a time has been written into: what was recorded before that time must not read it."""
    for loan in list(time.lent.get(id(owner), {}).values()):
        _settle(loan)
    place = _bounds(owner if mark is None else _Place(mark))
    memory.writes[place] = max(memory.writes.get(place, 0), when)
    memory.marks.pop(mark, None)


def _memory(owner: Any) -> _Memory:
    key, found = id(owner), _known(owner)
    if found is None:
        made = _Memory(owner, key)
        found = _memories.setdefault(key, made)
        if found.owner() is not owner:
            found = _memories[key] = made
    return found


def _known(owner: Any) -> _Memory | None:
    """Python drops an interrupt that meets the callback of a weak reference, so that of another array may be there."""
    found = _memories.get(id(owner))
    return found if found is not None and found.owner() is owner else None


def _owner(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class _Place:
    """An array's place in memory, as NumPy's interface tells it; who reads there holds the owner meanwhile."""

    def __init__(self, mark: tuple[Any, ...]) -> None:
        facts = zip(("data", "shape", "strides", "typestr"), mark, strict=True)
        self.__array_interface__ = {"version": 3, **dict(facts)}


def _bounds(array: Any) -> _Range:
    """The first byte of an array, and the one behind its last."""
    facts = array.__array_interface__
    low = high = facts["data"][0]
    size = int(facts["typestr"][2:] or 8)  # of an object a pointer
    strides = facts["strides"]
    if strides is None:
        for n in facts["shape"]:
            size *= n
        return low, low + size
    for n, stride in zip(facts["shape"], strides, strict=True):
        if stride < 0:
            low += (n - 1) * stride
        else:
            high += (n - 1) * stride
    return low, high + size


def _meet(a: _Range, b: _Range) -> bool:
    return a[0] < b[1] and b[0] < a[1]


# --- loans ----------------------------------------------------------------------------------------------------------

# Odd numbers: if one word alone changes, a sum of words times these does, too.
_WEIGHTS = np.random.default_rng(18).integers(0, 2**64 - 1, 1024, dtype=np.uint64, endpoint=True) | np.uint64(1)


def _checksum(array: Any) -> Any:
    """A number of 64 bits that changes with the array's bytes; of few bytes these themselves.

    The sum of all words of eight bytes times odd random weights, modulo 2**64: multilinear hashing (Carter and Wegman
    1979). It takes about twice the time of copying.
    """
    if array.nbytes < _WEIGHTS.nbytes:
        return array.tobytes()
    flat = array.ravel("K").view(np.uint8)
    whole = flat.size - flat.size % _WEIGHTS.nbytes
    sums = np.einsum("ij,j->i", flat[:whole].view(np.uint64).reshape(-1, _WEIGHTS.size), _WEIGHTS)
    places = np.arange(1, 2 * sums.size, 2, dtype=np.uint64)
    return int(np.add.reduce(sums * (places * _WEIGHTS[0]))), flat[whole:].tobytes()


class _Loan(weakref.ref):  # type: ignore[type-arg]
    """A reference to what was handed out.

    Attributes
    ----------
    owner : int
        The identity of the array that owns the memory, which the loan keeps alive.
    place : tuple or None
        Which bytes of it; None for all.
    mark : tuple or None
        Under which its checksum is kept.
    holder : weakref.ref or None
        The tensor that keeps the loan for the next time that it is asked for.
    tensor : weakref.ref or None
        The tensor whose value it is a part of: what the holder was detached from, and is a view of.
    """

    __slots__ = ("holder", "mark", "number", "owner", "place", "tensor")

    mark: Any
    owner: int
    number: int
    place: _Range | None
    holder: Any
    tensor: Any


def _over(loan: _Loan) -> None:
    """Nobody can reach the loan any more."""
    _settle(loan)
    loans = time.lent.get(loan.owner)
    if loans is not None:
        loans.pop(loan.number, None)
        if not loans:
            time.lent.pop(loan.owner, None)


def _settle(loan: _Loan) -> None:
    """Where a program has written into a computed tensor, refuse gradients through what is computed of it."""
    tensor: Any = None if loan.tensor is None else loan.tensor()
    memory = _memories.get(loan.owner)
    if memory is None or type(getattr(tensor, "_node", None)) is not Node:
        return
    owner = _owner(tensor._data)
    lent_then = owner if loan.mark is None else np.asarray(_Place(loan.mark))
    _, checksum = memory.marks.get(loan.mark, (0, None))
    if id(owner) == loan.owner and checksum not in (None, _checksum(lent_then)):
        for one in [tensor, *live_views(tensor)]:
            if type(one._node) is Node and one._node.op is not OVERWRITTEN:
                one._node = OVERWRITTEN.link(one._node, one.shape, one.dtype)


def _pull_overwritten(node: Node, g: Any, recording: Any) -> Any:
    raise GraphError(
        f"the result of {node.parents[0].op.name} was written into, by .data or a detached array of it say, and then"
        " used: no gradient is known of what was written. Write into the tensor itself (t[...] = v, t *= v), or compute"
        " another one"
    )


OVERWRITTEN = core._Link("overwritten", _pull_overwritten)


def lend(array: Any, tensor: Any = None) -> Any:
    """An array's memory as it is handed out to a program, which may write into it at any time.

    Parameters
    ----------
    array : numpy.ndarray
    tensor : Tensor, optional
        Whose value it is. It keeps the loan until an operation is applied to it, so that the next ``t.data`` is the
        same array.

    Returns
    -------
    numpy.ndarray
        Read-only where transforms enclose the program that keep values of their own (jvp, jacfwd, vmap).
    """
    kept = getattr(tensor, "_loan", None)
    if kept is not None and kept[0] is array:
        return kept[1]
    if array.dtype.kind not in "biufc":
        return array
    state = current_state()
    if state is not None and state.levels:  # what transforms inside one another keep is not asked for writes
        return np.asarray(memoryview(array).toreadonly())
    handed = np.asarray(memoryview(array))
    if array.flags.writeable:
        loan = _Loan(handed, _over)
        if array.base is None:
            owner, mark, loan.place = array, None, None
        else:
            facts = array.__array_interface__
            owner, loan.place = _owner(array), _bounds(array)
            mark = (facts["data"], facts["shape"], facts["strides"], facts["typestr"])
        loan.owner, loan.number, loan.mark = id(owner), id(handed), mark
        loan.holder = None if tensor is None else weakref.ref(tensor)
        loan.tensor = getattr(tensor, "_source", loan.holder)
        whole = None if loan.tensor is None else loan.tensor()
        if (held := view_of(whole)) is not None:
            loan.tensor = weakref.ref(held.root)
        time.lent.setdefault(loan.owner, {})[loan.number] = loan
        memory, checksum = _memory(owner), _checksum(array)
        before = memory.marks.get(mark)
        if before is not None and before[1] != checksum:
            _note(memory, owner, mark, before[0])
        memory.marks[mark] = tick(write=True), checksum
    if tensor is not None:
        tensor._loan = array, handed
    return handed


def _reachable(owner: Any, array: Any) -> bool:
    """Whether a program can reach some of an array's bytes; what tensors keep for the next time is let go of."""
    loans = time.lent.get(id(owner))
    if loans is None:
        return False

    def meeting() -> list[_Loan]:
        for one in list(loans.values()):
            if one() is None:  # an interrupt met its callback
                _over(one)
        return [one for one in list(loans.values()) if one.place is None or _meet(one.place, _bounds(array))]

    for loan in meeting():
        tensor = None if loan.holder is None else loan.holder()
        if tensor is not None:
            tensor._loan = None
        del tensor
    for loan in meeting():
        _settle(loan)
    return bool(meeting())


def write_through(tensor: Any, value: Any) -> bool:
    """Write a new value of a tensor into its array, if a program can reach that by what it was handed out.

    What was recorded before and reads the array is then refused. Other tensors of the same memory, by ``detach()``,
    keep their values in arrays of their own. False where nobody can reach it: the tensor is given another array, and
    nothing need be refused.
    """
    array = tensor._data
    if type(array) is not np.ndarray or not time.lent or not lent([array]) or array.shape != value.shape:
        return False
    owner = _owner(array)
    loans = list(time.lent.get(id(owner), {}).values())
    for loan in loans:
        _settle(loan)  # what the program wrote so far
    others = [*_memory(owner).tensors, *(loan.tensor for loan in loans), getattr(tensor, "_source", None)]
    for reference in others:
        other: Any = None if reference is None else reference()
        held = view_of(other)
        other = other if held is None else held.root
        if other is not None and other is not tensor and _owner(other._array) is owner:
            other._data = other._data.copy("K")
            for view in live_views(other):
                view._data = view._view.take(other)._data
    for loan in loans:
        loan.tensor = weakref.ref(tensor)
    array[...] = value
    written(array)
    marks = _memory(owner).marks
    for loan in loans:
        marks[loan.mark] = time.now, _checksum(owner if loan.mark is None else np.asarray(_Place(loan.mark)))
    return True


def lent(values: Iterable[Any]) -> bool:
    """Whether a program can reach the memory of one of these arrays, or Tensors, by what it was handed out; True as
    well of a Tensor that has just turned out to have been written into.
    """
    found = False
    for value in values:
        array = getattr(value, "_data", value)
        if type(array) is np.ndarray:
            owner = array if array.base is None else _owner(array)
            if id(owner) in time.lent:
                node = getattr(value, "_node", None)
                found = _reachable(owner, array) or getattr(value, "_node", None) is not node or found
    return found


def _check_unwritten(node: Node) -> None:
    """Refuse a pass through old values: something that the node will read has been written into since."""
    op, saved = node.op, node.saved
    if saved is None:
        return
    arrays = saved[0] if op.fused else saved if op.pull is not None else saved[1:]
    changed = [position for position, array in enumerate(arrays) if overwritten(array, node.stamp)]
    if op.pull is not None:  # such an operation may compute anew what it closes over
        changed += [i for i, parent in enumerate(node.parents) if getattr(parent, "version", 0) > node.stamp]
    elif not changed and any(overwritten(made, node.stamp) for made in _arrays(saved[1] if op.fused else saved[0])):
        raise GraphError(_REFUSAL.format(name=op.name, what="its own result"))
    for position in changed:
        parent = node.parents[position]
        name = None if parent is None else parent.name
        what = f"old values of its argument {argument(op, position)}{f' ({name})' if name else ''}"
        raise GraphError(_REFUSAL.format(name=op.name, what=what))


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for part in value:
            yield from _arrays(part)
    else:
        yield value


_REFUSAL = (
    "the backward pass of {name} needs {what}, which has been changed in place since, by an optimiser's step or a write"
    " into .data say; call backward before the change, change a copy, or compute again after it"
)

backward.above.check_unwritten = _check_unwritten
core.above.lent = lent
