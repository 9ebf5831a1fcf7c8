"""NumPy's functions that write, on Tensors: the array is NumPy's afterwards, the gradient the plain program's.

The law, over a table of writers: run on Tensors, each leaves what it leaves on arrays, and gradients in what was there
before and in what is written equal central differences of the program run by NumPy.
"""

import re

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import DTypeError, GraphError, ShapeError

MASK = np.array([[True, False, True], [False, True, True], [False, False, True]])
PLACES = np.array([[0, 2, 1], [1, 1, 0]])
# Each writes something of v, an array of shape (3,), into a, of shape (3, 3).
WRITERS = {
    "add.at": lambda a, v: np.add.at(a, [0, 2, 0], v),
    "add.at of a number": lambda a, v: np.add.at(a, (0, slice(None)), v[0]),
    "subtract.at": lambda a, v: np.subtract.at(a, ([0, 0, 1], [1, 1, 2]), v),
    "multiply.at": lambda a, v: np.multiply.at(a, ([0, 0, 1, 0], [1, 1, 2, 1]), np.append(v, v[0])),
    "divide.at": lambda a, v: np.divide.at(a, ([2, 2], [0, 0]), v[:2] + 3),
    "maximum.at": lambda a, v: np.maximum.at(a, [1, 1], v),
    "power.at": lambda a, v: np.power.at(a, (0, [0, 0]), 2),
    "negative.at": lambda a, v: np.negative.at(a, ([0, 0, 1], [0, 0, 1])),
    "floor.at": lambda a, v: np.floor.at(a, [1]),
    "at a mask": lambda a, v: np.add.at(a, MASK, v[1]),
    "copyto": lambda a, v: np.copyto(a, v),
    "copyto where": lambda a, v: np.copyto(a, v, where=MASK),
    "copyto a list": lambda a, v: np.copyto(a[0], [v[2], 1.0, v[0]]),
    "fill_diagonal": lambda a, v: np.fill_diagonal(a, v),
    "fill_diagonal of a number": lambda a, v: np.fill_diagonal(a, v[1]),
    "put": lambda a, v: np.put(a, [8, 1, 1, 3], v),
    "put wrap": lambda a, v: np.put(a, [-1, 10], v, mode="wrap"),
    "put clip": lambda a, v: np.put(a, [20, 2], v, mode="clip"),
    "put method": lambda a, v: a.put([0, 4], v),
    "place": lambda a, v: np.place(a, MASK, v),
    "place repeats": lambda a, v: np.place(a, MASK, v[:2]),
    "putmask": lambda a, v: np.putmask(a, MASK, v),
    "put_along_axis": lambda a, v: np.put_along_axis(a, PLACES, v, axis=0),
    "put_along_axis flat": lambda a, v: np.put_along_axis(a, np.array([7, 0, 3]), v, axis=None),
    "fill": lambda a, v: a.fill(v[0]),
    "fill a view": lambda a, v: a[1:, ::2].fill(v[2]),
    "sort": lambda a, v: a.sort(),
    "sort axis 0": lambda a, v: a.sort(axis=0),
    "sort a row": lambda a, v: a[1].sort(),
    "partition": lambda a, v: a[:, 0].partition(1),
    "flat": lambda a, v: a.flat.__setitem__(4, v[0]),
    "flat slice": lambda a, v: a.flat.__setitem__(slice(0, 8, 2), v),
    "flat list": lambda a, v: a.flat.__setitem__([5, 7], v[:2]),
    "flat all": lambda a, v: setattr(a, "flat", v),
    "ufunc out": lambda a, v: np.multiply(a, v, out=a),
    "ufunc out a view": lambda a, v: np.sin(v, out=a[1]),
    "ufunc out where": lambda a, v: np.exp(a, out=a, where=MASK),
    "constant ufunc out": lambda a, v: np.floor(a, out=a),
    "two outs": lambda a, v: np.modf(a * 3, out=(a, None)),
    "reduce out": lambda a, v: np.add.reduce(a * v, axis=0, out=a[0]),
    "accumulate out": lambda a, v: np.add.accumulate(a, axis=1, out=a),
    "sum out": lambda a, v: np.sum(a * v, axis=1, out=a[:, 1]),
    "sum out positional": lambda a, v: np.sum(a, 0, None, a[2]),
    "sum method out": lambda a, v: (a * v).sum(axis=0, out=a[2]),
    "mean out": lambda a, v: np.mean(a, axis=0, out=a[0]),
    "max out": lambda a, v: a.max(axis=0, out=a[0]),
    "var out": lambda a, v: a.var(axis=1, out=a[:, 0]),
    "cumsum out": lambda a, v: np.cumsum(a, axis=0, out=a),
    "dot out": lambda a, v: np.dot(a, v, out=a[0]),
    "matmul out": lambda a, v: np.matmul(a, a, out=a),
    "einsum out": lambda a, v: np.einsum("ij,j->i", a, v, out=a[0]),
    "clip out": lambda a, v: np.clip(a, -0.35, 0.85, out=a),
    "clip method out": lambda a, v: a.clip(-0.35, 0.85, out=a),
    "round out": lambda a, v: np.round(a, 1, out=a),
    "take out": lambda a, v: np.take(v, [2, 0, 1], out=a[0]),
    "concatenate out": lambda a, v: np.concatenate([v[:1], v[1:]], out=a[0]),
    "stack out": lambda a, v: np.stack([v, v * v, v], out=a),
    "outer out": lambda a, v: np.outer(v, v, out=a),
    "median out": lambda a, v: np.median(a, axis=0, out=a[0]),
    "nan_to_num in place": lambda a, v: np.nan_to_num(a, copy=False),
    "power into a view": lambda a, v: a[:1, 1].squeeze().__ipow__(2),
    "reshaped view": lambda a, v: a[1:2, 1].reshape(()).__setitem__(Ellipsis, v[0]),
    "number from a view": lambda a, v: a[0, ...].__iadd__(v[1]),
    "squeezed view": lambda a, v: a[1:2, 2:].squeeze().__imul__(v[0]),
    "ellipsis view": lambda a, v: a[2, 2, ...].__isub__(v[2]),
    "assign a list": lambda a, v: a.__setitem__((0, slice(0, 2)), [v[0], v[2]]),
    "assign nested lists": lambda a, v: a.__setitem__(slice(0, 2), [[v[0], 1.0, 2.0], [v[1], v[2], 0.0]]),
    "swap elements": lambda a, v: _swap(a[0], v),
}  # fmt: skip


def _swap(a, v):
    a[0], a[2] = a[2] * v[0], a[0]


START = np.array([[0.31, -0.42, 0.93], [0.74, 1.13, -0.26], [0.57, 0.88, -0.69]])
VALUES = np.array([0.45, -0.77, 1.21])
WEIGHTS = np.arange(1.0, 10.0).reshape(3, 3) / 7


def run(writer, x, v):
    a = x * 1.0
    whole, corner = a[:], a[1:, 1:]
    writer(a, v)
    return a, whole, corner


@pytest.mark.parametrize("name", WRITERS)
def test_writers_leave_what_numpys_leave(name):
    writer = WRITERS[name]
    x, v = ad.tensor(START, requires_grad=True), ad.tensor(VALUES, requires_grad=True)
    ours, theirs = run(writer, x, v), run(writer, START, VALUES)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.data, b, rtol=1e-13, atol=1e-14)
    for a, b in zip(run(writer, ad.tensor(START), ad.tensor(VALUES)), theirs, strict=True):
        np.testing.assert_allclose(a.data, b, rtol=1e-13, atol=1e-14)

    def loss(x, v):
        return np.sum(run(writer, x, v)[0] * WEIGHTS)

    total = np.sum(ours[0] * WEIGHTS)
    found = ad.gradients(total, [x, v], allow_unused=True) if total.requires_grad else (None, None)
    for k, start in enumerate((START, VALUES)):
        gradient = np.zeros(start.shape) if found[k] is None else found[k]
        numeric = np.empty(start.shape)
        for i in np.ndindex(start.shape):
            point = [START.copy(), VALUES.copy()]
            ends = []
            for h in (1e-6, -2e-6):
                point[k][i] += h
                ends.append(loss(*point))
            numeric[i] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", WRITERS)
def test_writers_corrupt_no_gradient_recorded_before(name):
    x, v = ad.tensor(START, requires_grad=True), ad.tensor(VALUES)
    a = x * 1.0
    before = np.sum(a * a * v)
    WRITERS[name](a, v)
    np.testing.assert_allclose(ad.gradients(before, x), 2 * START * VALUES, rtol=1e-13)


@pytest.mark.parametrize("name", WRITERS)
def test_writers_put_nothing_that_is_tracked_into_plain_arrays(name):
    array, v = START.copy(), ad.tensor(VALUES, requires_grad=True)
    if name in PLAIN:  # nothing of v is asked for
        WRITERS[name](array, v)
        return
    with pytest.raises((ad.AutodiffError, ValueError, TypeError, ad.CutWarning)) as caught:
        WRITERS[name](array, v)
    assert re.search("[Tt]ensor|Error setting single item", f"{caught.value}{caught.value.__cause__}")
    np.testing.assert_array_equal(array, START)


PLAIN = {
    "power.at", "negative.at", "floor.at", "sort", "sort axis 0", "sort a row", "partition", "ufunc out where",
    "constant ufunc out", "two outs", "accumulate out", "sum out positional", "mean out", "max out", "var out",
    "cumsum out", "matmul out", "nan_to_num in place", "power into a view",
    "clip out", "clip method out", "round out", "median out",
}  # fmt: skip


def test_writers_check_before_they_write():
    t = ad.tensor(np.zeros(3), requires_grad=True) * 1.0
    for call, error in (
        (lambda: np.put(t, [7], 1.0), IndexError),
        (lambda: np.copyto(t, np.ones(2)), ValueError),
        (lambda: np.copyto(t, np.ones(3) * 1j), TypeError),
        (lambda: np.copyto(ad.tensor([1, 2]), ad.tensor([0.5, 0.5])), TypeError),
        (lambda: np.copyto(ad.tensor([1, 2]), [0.5, ad.tensor(0.5)]), TypeError),
        (lambda: np.copyto(ad.tensor([1, 2]), 0.5), TypeError),
        (lambda: np.add.at(t, [4], 1.0), IndexError),
        (lambda: np.put_along_axis(t, np.array([5]), 1.0, 0), IndexError),
        (lambda: np.sum(t, out=ad.tensor(np.zeros(2))), ShapeError),
        (lambda: np.sum(ad.tensor([1.5]), out=ad.tensor(0)), DTypeError),
        (lambda: np.fill_diagonal(t, 1.0), ValueError),
    ):
        with pytest.raises(error):
            call()
    assert t.tolist() == [0.0, 0.0, 0.0]
    leaf = ad.tensor([2.0, 1.0], requires_grad=True)
    for call in (leaf.sort, lambda: leaf.fill(1.0), lambda: np.add.at(leaf, 0, 1.0), lambda: np.cumsum(leaf, out=leaf)):
        with pytest.raises(GraphError, match="leaf"):
            call()
    assert leaf.tolist() == [2.0, 1.0]


def test_out_may_be_a_plain_array_where_nothing_is_tracked():
    t, out = ad.tensor([1.0, 4.0]), np.zeros(2)
    assert np.sqrt(t, out=out) is out
    assert out.tolist() == [1.0, 2.0]
    total = np.zeros(())
    assert np.sum(t, out=total) is total
    assert total == 5.0
    places = ad.tensor([0])
    assert ad.tensor([[1.0, 4.0]]).argmax(axis=1, out=places) is places
    assert places.tolist() == [1]


def test_the_flat_iterator():
    t = ad.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True) * 1.0
    assert [float(e.data) for e in t.flat] == [1.0, 2.0, 3.0, 4.0]
    assert len(t.flat) == 4
    assert next(t.flat).item() == 1.0
    part = t.flat[1:3]
    part += 5.0
    assert t.tolist() == [[1.0, 2.0], [3.0, 4.0]]  # NumPy's flat[...] is a copy
