"""Assignment, augmented assignment and views do what NumPy's do, and their gradients are right.

The law: any program of reads, views, writes and in-place operations leaves every array that it holds as NumPy leaves
it, and the gradient of what it computes equals central differences of the program run by NumPy.
"""

import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff import views
from autodiff.core.errors import DTypeError, GraphError, NotDifferentiableError, ShapeError

VIEWS = {
    "slice": lambda a: a[1:],
    "stride": lambda a: a[::2],
    "reverse": lambda a: a[::-1],
    "row": lambda a: a[0],
    "last axis": lambda a: a[..., :2],
    "transpose": lambda a: a.T,
    "reshape": lambda a: a.reshape(-1, 1),
    "ravel": lambda a: np.ravel(a),
    "new axis": lambda a: a[None],
    "flip": lambda a: np.flip(a),
    "swapaxes": lambda a: np.swapaxes(a, 0, -1),
    "moveaxis": lambda a: np.moveaxis(a, 0, -1),
    "squeeze": lambda a: np.squeeze(a[None]),
    "split": lambda a: np.array_split(a, 2)[0],
    "atleast_2d": lambda a: np.atleast_2d(a),
    "real": lambda a: np.real(a),
    "einsum": lambda a: np.einsum("...->...", a),
    "last row of the iterator": lambda a: list(a)[-1] if a.ndim > 1 else a,
}
COPIES = {
    "copy": lambda a: a.copy(),
    "flatten": lambda a: a.flatten(),
    "integers": lambda a: a[[0, -1]],
    "take": lambda a: np.take(a, [0, 0], axis=0),
    "tile": lambda a: np.tile(a, 1),
    "sin": lambda a: np.sin(a),
    "concatenate": lambda a: np.concatenate([a]),
    "roll": lambda a: np.roll(a, 0),
    "pad": lambda a: np.pad(a, 0),
    "repeat": lambda a: np.repeat(a, 1, axis=0),
}
WRITES = {
    "first": lambda a, v: a.__setitem__(0, v),
    "all": lambda a, v: a.__setitem__(Ellipsis, v * 0.5),
    "repeated": lambda a, v: a.__setitem__([0, 0], v),
    "mask": lambda a, v: a.__setitem__(np.arange(len(a)) % 2 == 0, v),
    "overlap": lambda a, v: a.__setitem__(slice(1, None), a[:-1]),
    "negative step": lambda a, v: a.__setitem__(slice(None, None, -1), a + v),
    "one element": lambda a, v: a.__setitem__((0,) * a.ndim, a[(-1,) * a.ndim] * v),
}


def _augmented(a, v, kind):
    if kind == "+=":
        a += v
    elif kind == "-=":
        a -= np.cos(a)
    elif kind == "*=":
        a *= v
    elif kind == "/=":
        a /= 2 + v * v
    elif kind == "part +=":
        a[:1] += v
    elif kind == "repeated +=":
        a[[0, 0]] += v
    elif kind == "rows":
        for row in a.reshape(len(a), -1):
            row *= v
    else:
        b = a
        b += 1.0


AUGMENTED = ("+=", "-=", "*=", "/=", "part +=", "repeated +=", "rows", "alias")
STEPS = (
    [("view", n) for n in VIEWS]
    + [("copy", n) for n in COPIES]
    + [("write", n) for n in WRITES]
    + [("augmented", n) for n in AUGMENTED]
)


def run(x, program):
    """The arrays that a program holds in the end; each step acts on one of those held so far."""
    held = [x * 1.0]
    for (kind, name), which in program:
        a, v = held[which % len(held)], x[which % 3, 0]
        if a.ndim == 0 or a.size < 1:
            continue
        if kind == "view":
            held.append(VIEWS[name](a))
        elif kind == "copy":
            held.append(COPIES[name](a))
        elif kind == "write":
            WRITES[name](a, v)
        else:
            _augmented(a, v, name)
    return held


programs = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 8)), min_size=1, max_size=8)
POINT = np.array([[0.3, -0.4, 0.9], [0.7, 1.1, -0.2], [0.5, 0.8, -0.6]])


@given(programs)
def test_programs_do_what_numpy_does(program):
    x = ad.tensor(POINT, requires_grad=True)
    ours, numpys = run(x, program), run(POINT.copy(), program)
    for a, b in zip(ours, numpys, strict=True):
        np.testing.assert_allclose(a.data, b, rtol=1e-14, atol=1e-15)

    def loss(arrays):
        return sum(np.sum(np.arange(1.0, a.size + 1).reshape(a.shape) * a) for a in arrays)

    found = ad.gradients(loss(ours), x)
    direction = np.random.default_rng(0).normal(size=POINT.shape)
    h = 1e-6
    numeric = (loss(run(POINT + h * direction, program)) - loss(run(POINT - h * direction, program))) / (2 * h)
    size = max(1.0, float(np.sum(np.abs(found * direction))), abs(loss(numpys)))
    assert abs(np.sum(found * direction) - numeric) <= 1e-7 * size


def test_a_view_taken_before_sees_the_write_and_so_does_what_it_was_taken_from():
    a = ad.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True) * 1.0
    tail, square = a[1:], a.reshape(2, 2)
    column = square[:, 0]
    tail[0] = 10.0
    assert [t.tolist() for t in (a, tail, square, column)] == [
        [1.0, 10.0, 3.0, 4.0],
        [10.0, 3.0, 4.0],
        [[1.0, 10.0], [3.0, 4.0]],
        [1.0, 3.0],
    ]
    column[:] = 0.0
    assert a.tolist() == [0.0, 10.0, 0.0, 4.0]
    assert tail.tolist() == [10.0, 0.0, 4.0]


def test_an_earlier_result_keeps_the_values_that_it_was_computed_from():
    x = ad.tensor([2.0, 3.0], requires_grad=True)
    a = x * 1.0
    squares = a * a
    a[0] = 100.0
    a *= 5.0
    np.testing.assert_array_equal(ad.gradients(squares.sum(), x), [4.0, 6.0])


def test_a_function_may_write_into_its_argument_and_the_caller_sees_nothing():
    x = np.array([1.0, 2.0, 3.0])

    def f(t):
        t[0] = t[1] * t[2]
        t += 1.0
        return np.sum(t)

    np.testing.assert_array_equal(ad.grad(f)(x), [0.0, 4.0, 3.0])
    np.testing.assert_array_equal(x, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(ad.hessian(lambda t: f(t.copy()))(x), [[0, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_leaves_are_written_under_no_grad_only():
    w = ad.tensor([1.0, 2.0], requires_grad=True)
    tail, recorded = w[1:], (w * w).sum()
    for write in (
        lambda: w.__setitem__(0, 5.0),
        lambda: w.__iadd__(1.0),
        lambda: tail.__setitem__(0, 5.0),
        lambda: tail.__imul__(2.0),
    ):
        with pytest.raises(GraphError, match="leaf that requires a gradient"):
            write()
    with ad.no_grad():
        w -= 0.5
        w[0] = 7.0
    assert w.is_leaf
    assert w.requires_grad
    assert w.tolist() == [7.0, 1.5]
    assert tail.tolist() == [1.5]
    np.testing.assert_array_equal(ad.gradients(recorded, w), [2.0, 4.0])
    np.testing.assert_array_equal(ad.gradients(tail.sum(), w), [0.0, 1.0])


def test_under_no_grad_a_graph_is_not_cut():
    a = ad.tensor([1.0], requires_grad=True) * 2.0
    with ad.no_grad(), pytest.raises(GraphError, match="cut its graph"):
        a[0] = 1.0
    with ad.no_grad(), pytest.raises(GraphError, match="cut its graph"):
        a += 1.0


def test_what_numpy_will_not_write_is_refused():
    x = ad.tensor(np.ones((2, 2)), requires_grad=True) * 1.0
    for view in (np.broadcast_to(x, (3, 2, 2)), np.diagonal(x), np.lib.stride_tricks.sliding_window_view(x, 2, axis=0)):
        with pytest.raises(NotDifferentiableError, match="copy"):
            view[0] = 0.0
    z = ad.tensor(np.ones(2) + 1j, requires_grad=True) * 1.0
    with pytest.raises(NotDifferentiableError, match="real or imaginary"):
        z.real[0] = 5.0
    with pytest.raises(ShapeError, match=r"\+="):
        x += np.ones((3, 2, 2))
    counts = ad.tensor([1, 2])
    with pytest.raises(DTypeError, match="astype"):
        counts += 0.5
    with pytest.raises(ShapeError):
        x[0] = np.ones(3)
    with pytest.raises(IndexError):
        x[5] = 1.0


def test_read_only_views_see_writes():
    x = ad.tensor(np.arange(4.0).reshape(2, 2), requires_grad=True) * 1.0
    diagonal, wide, windows = (
        np.diagonal(x),
        np.broadcast_to(x, (2, 2, 2)),
        np.lib.stride_tricks.sliding_window_view(x, 2, axis=1),
    )
    z = x + 0j
    part = z.real
    x[0, 0] = 9.0
    z[1] = 4.0 + 2j
    assert diagonal.tolist() == [9.0, 3.0]
    assert wide.data[1, 0, 0] == windows.data[0, 0, 0] == 9.0
    assert part.tolist() == [[0.0, 1.0], [4.0, 4.0]]


def test_augmented_assignment_keeps_dtype_and_identity():
    t = ad.tensor(np.ones(2, np.float32))
    other = t
    t += np.ones(2)
    assert other is t
    assert t.dtype == np.float32
    total = ad.tensor(0.0)
    first = total
    total += ad.tensor([1.0, 2.0])
    assert total.shape == (2,)
    assert first.item() == 0.0
    mask = ad.tensor([True, False])
    mask |= ad.tensor([False, True])
    assert mask.tolist() == [True, True]
    n = ad.tensor([7, 8])
    n //= 2
    n %= 2
    assert n.tolist() == [1, 0]
    m = ad.tensor(np.eye(2), requires_grad=True) * 1.0
    m @= np.array([[1.0, 2.0], [3.0, 4.0]])
    m **= 2
    assert m.tolist() == [[1.0, 4.0], [9.0, 16.0]]


def test_assigning_into_a_plain_array_is_refused():
    x = ad.tensor([1.0, 2.0], requires_grad=True)
    out = np.zeros(2)

    def fill(t):
        for i in range(2):
            out[i] = t[i] * 2
        return np.sum(out)

    # NumPy puts "setting an array element with a sequence" on top; the cause below it is ours.
    for f in (lambda: fill(x), lambda: ad.grad(fill)(x.data)):
        with pytest.raises(ValueError, match="array element") as caught:
            f()
        assert isinstance(caught.value.__cause__, GraphError)
        assert "autodiff.array" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match="array element"):
        out[0] += x[0]
    with pytest.raises(GraphError, match="cut"):
        out[:] = x
    np.testing.assert_array_equal(out, 0)
    out[0] = x.detach()[0]
    assert out[0] == x[0].item() == 1.0


def test_numbers_are_not_made_of_what_is_being_differentiated():
    import math

    for f in (lambda x: math.exp(x), lambda x: float(x) ** 2, lambda x: np.sum(complex(x))):
        with pytest.raises(GraphError, match=r"np\.exp, not math\.exp"):
            ad.grad(f)(1.0)
    assert ad.grad(lambda x: x * x.item())(3.0) == 3.0


def test_a_root_remembers_living_views_alone():
    w = ad.tensor(np.ones((3, 3)), requires_grad=True)
    for _ in range(1000):
        assert w.T.shape == (3, 3)
    assert len(w._views) < 20


@pytest.mark.parametrize("order", [1, 2])
def test_a_loop_that_fills_an_array(order):
    def simulate(x):
        state = ad.tensor(np.zeros((6, 2)))
        state[0] = x
        for i in range(5):
            position, velocity = state[i]
            state[i + 1, 0] = position + 0.1 * velocity
            state[i + 1, 1] = velocity - 0.1 * np.sin(position)
        return np.sum(state[-1] ** 2)

    from autodiff.testing import check_gradients

    check_gradients(simulate, np.array([1.0, 0.5]), order=order)


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
def test_reading_orders(order):
    a = np.random.default_rng(0).normal(size=(2, 4, 2))
    for x in (a, a.T, a.transpose(1, 0, 2), a[::-1], a[:, ::-1, ::2].T, np.asfortranarray(a)):
        t = ad.tensor(0.0)
        t._rebind(x)  # with its layout, which a copy would tidy up
        np.testing.assert_array_equal(np.ravel(t, order).data, np.ravel(x, order))
        np.testing.assert_array_equal(t.flatten(order).data, x.flatten(order))
        assert np.copy(t, order)._array.strides == np.copy(x, order).strides
        if order != "K":
            np.testing.assert_array_equal(np.reshape(t, (2, -1), order=order).data, np.reshape(x, (2, -1), order=order))


ORDERS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "reversed": lambda a: a[::-1].copy()[::-1],
}
MADE = {
    "take": lambda a: np.take(a, [0, 1], axis=1),
    "repeat": lambda a: np.repeat(a, 2, axis=1),
    "sort": lambda a: np.sort(a, axis=0),
    "partition": lambda a: np.partition(a, 1),
    "select": lambda a: np.select([a > 0.5], [a], 0.0),
    "choose": lambda a: np.choose((a > 0.5) * 1, [a, 2 * a]),
    "gradient": lambda a: np.gradient(a, axis=0),
    "delete": lambda a: np.delete(a, 0, axis=0),
    "insert": lambda a: np.insert(a, 0, 1.0, axis=1),
    "where": lambda a: np.where(a > 0.5, a, 0.0),
    "sin": np.sin,
    "times": lambda a: a * np.ones(a.shape),
    "a[places]": lambda a: a[[0, 2]],
    "concatenate": lambda a: np.concatenate([a, a], axis=1),
    "cumsum": lambda a: np.cumsum(a, axis=0),
    "tril": np.tril,
    "in place": lambda a: (a * 1).__iadd__(a),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", MADE)
def test_a_write_into_a_reshaped_result_reaches_what_numpys_does(name, order):
    """Whether a reshape is a view depends on the order in memory that the operation left."""
    array = ORDERS[order](np.array([[0.3, 0.9, 0.5, 0.2], [0.8, 0.1, 0.4, 0.6], [0.7, 0.35, 0.95, 0.15]]))

    def program(a):
        made = MADE[name](a)
        made.reshape(-1)[1] = 7.0
        made.T.reshape(-1)[2] = 9.0
        return made

    x = ad.tensor(array.copy("K"), requires_grad=True)
    np.testing.assert_array_equal(program(x * 1).data, program(array * 1))


@pytest.mark.parametrize("index", [0, [0], ..., np.array([True]), np.array([False]), slice(1, None)], ids=str)
def test_a_write_through_a_view_of_an_array_without_axes(index):
    def f(x):
        t = np.copy(x * 2.0)
        view = t[None]
        view[index] = x**2
        return t * 1.0

    right = f(np.array(3.0))
    value, slope = ad.value_and_grad(f)(3.0)
    assert value == right
    assert slope == (6.0 if right == 9.0 else 2.0)


def test_a_write_costs_what_is_looked_at_after_it_not_all_views_that_live(monkeypatch):
    taken = []
    take = views.View.take
    monkeypatch.setattr(views.View, "take", lambda self, root: taken.append(1) or take(self, root))
    x = ad.tensor(np.ones((100, 2)), requires_grad=True)
    y = x * 1
    rows = [y[i] for i in range(100)]
    for k, row in enumerate(rows):
        row *= k
    assert len(taken) < 500  # every view at every write would be 10,000
    np.testing.assert_array_equal(rows[7].data, [7, 7])
    sum(row.sum() for row in rows).backward()
    np.testing.assert_array_equal(x.grad, np.arange(100.0)[:, None] * [1, 1])


def test_a_view_that_waits_for_its_values_takes_those_of_the_write():
    x = ad.tensor(np.ones(4), requires_grad=True)
    y = x * 1
    a, b = y[:2], y[2:]
    a.name = "a"
    y[0] = 5.0
    y[3] = 7.0
    with ad.no_grad():  # the mode of whoever looks first is not that of the write
        assert a.requires_grad
        assert a.name == "a"
    (a * b).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 7.0, 5.0, 0.0])
    constant = ad.tensor(np.zeros(3))
    part = constant[1:]
    constant[1] = 4.0
    constant.data = np.full(3, 9.0)  # another array: the view stays one of the old
    np.testing.assert_array_equal(part.data, [4.0, 0.0])
    before = constant[1:]
    constant *= 2  # what was taken before it is a leaf is no function of the leaf, looked at or not
    constant.requires_grad_(True)
    assert not before.requires_grad
    np.testing.assert_array_equal(before.data, [18.0, 18.0])


def test_threads_that_look_at_a_written_view_together_see_what_was_written():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(150):
            y = ad.tensor(np.arange(6.0), requires_grad=True) * 2
            view = y[1:4]
            view.name = "v"
            y[...] = y * 3
            start, seen = threading.Barrier(4), []

            def look(view=view, start=start, seen=seen):
                start.wait()
                seen.append(float(np.sum(view).detach()))

            threads = [threading.Thread(target=look) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert seen == [36.0] * 4
            assert view.name == "v"
    finally:
        sys.setswitchinterval(interval)
