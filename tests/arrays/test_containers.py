"""Arrays of other classes beside Tensors are right or refused, on either side; lists of Tensors are joined."""

import array
import operator

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import ForeignArrayError
from nn import functional as F


class Unit:
    """A class that opts out of ufuncs, as NEP 13 lets it."""

    __array_ufunc__ = None

    def __init__(self, name="m"):
        self.name = name

    def __mul__(self, other):
        return ("mul", self, other)

    def __rmul__(self, other):
        return ("rmul", other, self)

    __add__ = __sub__ = __truediv__ = __pow__ = __mod__ = __matmul__ = __floordiv__ = __and__ = __lshift__ = __mul__
    __radd__ = __rsub__ = __rtruediv__ = __rpow__ = __rmod__ = __rmatmul__ = __rfloordiv__ = __rand__ = __rmul__
    __rlshift__ = __rmul__

    def __lt__(self, other):
        return ("lt", self, other)

    def __gt__(self, other):
        return ("gt", self, other)


class Prioritised:
    """A class of the days before NEP 13."""

    __array_priority__ = 1000.0

    def __rmul__(self, other):
        return ("rmul", other, self)

    def __array__(self, dtype=None, copy=None):
        return np.zeros(2)


class Lazy:
    """A duck array: it answers ufuncs and functions itself, as Dask's arrays do."""

    def __init__(self, values):
        self.values = values

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return Lazy(getattr(ufunc, method)(*(getattr(i, "values", i) for i in inputs), **kwargs))

    def __array_function__(self, function, types, args, kwargs):
        return ("function", function.__name__)

    def __mul__(self, other):
        return np.multiply(self, other)

    def __rmul__(self, other):
        return np.multiply(other, self)

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("asked for its numbers")


class Trivial(np.ndarray):
    """A subclass that changes nothing."""


class Quantity(np.ndarray):
    """A subclass with an arithmetic of its own."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return ("quantity", ufunc.__name__)


def leaf(*values):
    return ad.tensor(np.array(values), requires_grad=True)


OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "%": lambda a, b: a % b,
    "@": lambda a, b: a @ b,
    "//": lambda a, b: a // b,
    "&": lambda a, b: a & b,
    "<<": lambda a, b: a << b,
}


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("symbol", OPERATORS)
def test_a_class_that_opts_out_gets_its_reflected_operator(symbol, tracked):
    x, unit = ad.tensor([1.0, 2.0], requires_grad=tracked), Unit()
    kind, left, right = OPERATORS[symbol](x, unit)
    assert (kind, left, right) == ("rmul", x, unit)
    assert OPERATORS[symbol](unit, x)[0] == "mul"
    assert getattr(x, {"*": "__mul__", "+": "__add__"}.get(symbol, "__sub__"))(unit) is NotImplemented


def test_comparisons_are_left_to_such_a_class():
    x, unit = leaf(1.0, 2.0), Unit()
    assert (x < unit)[0] == "gt"
    assert (x > unit)[0] == "lt"


def test_a_class_of_higher_priority_gets_its_reflected_operator():
    x, other = leaf(1.0, 2.0), Prioritised()
    assert (x * other)[0] == "rmul"
    with pytest.raises(TypeError):
        x + other
    with pytest.raises(ForeignArrayError, match="rules of its own"):
        other - x


def test_duck_arrays_answer():
    x = leaf(1.0, 2.0)
    for product in (
        x * Lazy(np.array([3.0, 4.0])),
        Lazy(np.array([3.0, 4.0])) * x,
        np.multiply(x, Lazy(np.array([3.0, 4.0]))),
    ):
        assert isinstance(product, Lazy)
        np.testing.assert_array_equal(ad.gradients(product.values.sum(), x), [3.0, 4.0])
    assert np.concatenate([x, Lazy(np.ones(2))]) == ("function", "concatenate")
    with pytest.raises(ForeignArrayError, match="rules of its own"):
        ad.sum(Lazy(np.ones(2)))


def test_subclasses_with_rules_are_told_from_those_without():
    x, a = leaf(1.0, 2.0), np.array([3.0, 4.0])
    np.testing.assert_array_equal(ad.gradients((x * a.view(Trivial)).sum(), x), a)
    np.testing.assert_array_equal(ad.gradients((a.view(Trivial) * x).sum(), x), a)
    np.testing.assert_array_equal(ad.gradients((x * a.view(np.recarray)).sum(), x), a)
    assert (a.view(Quantity) * x) == ("quantity", "multiply")
    assert np.multiply(x, a.view(Quantity)) == ("quantity", "multiply")
    with pytest.raises(ForeignArrayError, match="Quantity"):
        np.where(a > 0, x, a.view(Quantity))


class Mute:
    """A duck array without comparisons: it answers ufuncs alone."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return ("asked", ufunc.__name__)


class Silent:
    """An array of a class that answers no comparison with ours."""

    __array_priority__ = 1000.0

    def __eq__(self, other):
        return NotImplemented

    __hash__ = object.__hash__


def test_equality_with_a_class_that_does_not_answer_is_no_single_false():
    x = leaf(1.0, 2.0)
    assert (x == Mute()) == ("asked", "equal")
    assert (Mute() != x) == ("asked", "not_equal")
    for call in (lambda: x == Silent(), lambda: Silent() != x):
        with pytest.raises(ForeignArrayError, match="rules of its own"):
            call()
    torch = pytest.importorskip("torch")
    with pytest.raises(ForeignArrayError, match="detach"):
        operator.eq(x, torch.ones(2))


def test_equality_with_what_is_no_array_is_numpys():
    x = ad.tensor([1.0, 2.0])
    for other in ("a", b"a", None, [1.0, 3.0], (1.0, 3.0)):
        np.testing.assert_array_equal((x == other).data, x.data == other)
        np.testing.assert_array_equal((x != other).data, x.data != other)


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("other", [np.array([2.0, 3.0], object), np.array(["2", "3"]), np.array([2, 3], "m8[s]")])
def test_arrays_that_hold_no_numbers_are_refused(other, tracked):
    x = ad.tensor([1.0, 2.0], requires_grad=tracked)
    for call in (
        lambda: x * other,
        lambda: other + x,
        lambda: np.where([True, False], x, other),
        lambda: np.concatenate([x, other]),
        lambda: ad.stack([x, other]),
        lambda: np.maximum(other, x),
    ):
        with pytest.raises((ad.DTypeError, TypeError), match=r"numbers|loop|dtype|common|convert"):
            call()


def test_memory_maps(tmp_path):
    x = leaf(1.0, 2.0)
    m = np.memmap(tmp_path / "m", float, "w+", shape=(2,))
    m[:] = [3.0, 4.0]
    y = (x * m).sum() + (m * x).sum()
    m[:] = 0
    np.testing.assert_array_equal(ad.gradients(y, x), [6.0, 8.0])


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "@"])
def test_masked_arrays_are_refused_beside_tracked_tensors(symbol, swap):
    x, m = leaf(1.0, 2.0), np.ma.array([3.0, 4.0], mask=[True, False])
    with pytest.raises(ad.AutodiffError, match="filled"):
        OPERATORS[symbol](*((m, x) if swap else (x, m)))
    c = ad.tensor([1.0, 2.0])
    if symbol != "@":
        ours, numpys = (OPERATORS[symbol](*((m, t) if swap else (t, m))) for t in (c, c.data))
        assert isinstance(ours, np.ma.MaskedArray)
        np.testing.assert_array_equal(ours.mask, numpys.mask)
        np.testing.assert_array_equal(ours.filled(0), numpys.filled(0))
    for call in (
        lambda: np.add(x, m),
        lambda: np.add(m, x),
        lambda: np.where(m > 0, x, 0.0),
        lambda: np.concatenate([x, m]),
        lambda: np.ma.add(m, x),
        lambda: np.ma.where(m > 0, x, m),
        lambda: m.__iadd__(x),
        lambda: ad.tensor([0.0, 0.0]).__iadd__(m),
        lambda: m.__setitem__(0, x[0]),
        lambda: np.ma.concatenate([m, x]),
        lambda: np.ma.dot(m, x),
    ):
        with pytest.raises((ad.AutodiffError, ad.CutWarning, ValueError)):
            call()
    np.testing.assert_array_equal(m.filled(0), [0.0, 4.0])


def test_a_tensor_is_made_of_a_masked_array_without_gaps_alone():
    assert ad.tensor(np.ma.array([1.0, 2.0])).tolist() == [1.0, 2.0]
    with pytest.raises(ForeignArrayError, match="filled"):
        ad.tensor(np.ma.array([1.0, 2.0], mask=[True, False]))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_matrices_are_refused():
    x, m = ad.tensor(np.ones((2, 2)), requires_grad=True), np.matrix([[1.0, 2.0], [3.0, 4.0]])
    for symbol in ("+", "-", "*", "@"):
        for pair in ((x, m), (m, x)):
            with pytest.raises(ForeignArrayError, match="asarray"):
                OPERATORS[symbol](*pair)


def test_pandas():
    pd = pytest.importorskip("pandas")
    x, s = leaf(1.0, 1.0, 1.0), pd.Series([1.0, 2.0, 3.0])
    for y in (s * x, x * s, np.multiply(s, x), np.multiply(x, s), x @ s):
        np.testing.assert_array_equal(ad.gradients(np.sum(y), x), s.to_numpy())
    np.testing.assert_array_equal(ad.gradients(np.sum(s - x), x), [-1.0, -1.0, -1.0])
    frame = pd.DataFrame(np.arange(9.0).reshape(3, 3))
    np.testing.assert_array_equal(ad.gradients(np.sum(frame * x), x), frame.to_numpy().sum(axis=0))
    other = pd.Series([1.0, 2.0, 3.0], index=[2, 0, 1])
    for call in (
        lambda: other * x,
        lambda: x * other,
        lambda: x * frame.rename(columns=str),
        lambda: frame.rename(columns=str) - x,
    ):
        with pytest.raises(ForeignArrayError, match="to_numpy"):
            call()
    for call in (lambda: frame @ x, lambda: s.dot(x)):
        with pytest.raises(ad.AutodiffError, match="to_numpy"):
            call()
    assert isinstance(x < s, pd.Series)


def test_xarray():
    xr = pytest.importorskip("xarray")
    d, x = xr.DataArray([1.0, 2.0, 3.0], dims="t"), leaf(1.0, 1.0, 1.0)
    for y in (d * x, x * d, np.multiply(x, d), np.multiply(d, x)):
        assert isinstance(y, xr.DataArray)
        np.testing.assert_array_equal(ad.gradients(np.sum(y.data), x), [1.0, 2.0, 3.0])
    with pytest.raises((ForeignArrayError, TypeError)):
        x @ d


def test_scipy_sparse():
    sparse = pytest.importorskip("scipy.sparse")
    x = leaf(1.0, 1.0)
    for kind in (sparse.csr_array, sparse.csr_matrix, sparse.coo_array):
        a = kind(np.array([[1.0, 0.0], [2.0, 3.0]]))
        np.testing.assert_array_equal(ad.gradients(np.sum(x @ a), x), [1.0, 5.0])
        for call in (
            lambda a=a: a @ x,
            lambda a=a: a.dot(x),
            lambda a=a: x * a,
            lambda a=a: a * x,
            lambda a=a: np.dot(x, a),
        ):
            with pytest.raises(ad.AutodiffError, match=r"sparse|view\(dtype\)"):  # the latter by SciPy 1.13
                call()
        with pytest.raises(TypeError):
            x + a


def test_torch_and_jax_arrays_are_refused():
    x = leaf(1.0, 1.0)
    for name, make in (("torch", lambda m: m.ones(2)), ("jax.numpy", lambda m: m.ones(2))):
        module = pytest.importorskip(name)
        for call in (lambda o: x * o, lambda o: o * x, lambda o: np.multiply(x, o)):
            with pytest.raises(TypeError):
                call(make(module))


@pytest.mark.parametrize(
    "other", [[3.0, 4.0], (3.0, 4.0), array.array("d", [3.0, 4.0]), range(3, 5), memoryview(np.array([3.0, 4.0]))]
)
def test_sequences_and_buffers_of_numbers_are_arrays(other):
    x = leaf(1.0, 1.0)
    np.testing.assert_array_equal(ad.gradients(np.sum(x * other), x), [3.0, 4.0])
    np.testing.assert_array_equal(ad.gradients(np.sum(other * x), x), [3.0, 4.0])


@pytest.mark.parametrize(
    "other", [object(), {}, {1.0}, np.array([None, 1.0], dtype=object), np.array(["2020"], dtype="M8[D]")]
)
def test_what_is_no_number_is_a_type_error(other):
    x = leaf(1.0, 1.0)
    for pair in ((x, other), (other, x)):
        with pytest.raises(TypeError):
            OPERATORS["*"](*pair)


LISTS = {
    "times": lambda a, b: ad.tensor([1.0, 2.0]) * [a, b],
    "reflected minus": lambda a, b: [a, b] - ad.tensor([1.0, 2.0]),
    "tuple": lambda a, b: ad.tensor([1.0, 2.0]) * (a, b),
    "nested": lambda a, b: ad.tensor(np.ones((2, 2))) @ [[a, 1.0], [2.0, b]],
    "mean": lambda a, b: ad.mean([a, b]),
    "sum": lambda a, b: ad.sum([[a, b], [b, b]], axis=0),
    "where": lambda a, b: ad.where([True, False], [a, b], 0.0),
    "exp": lambda a, b: ad.exp([a, b]),
    "max": lambda a, b: ad.max([a, b * 0.1]),
    "dot": lambda a, b: ad.dot([a, b], [b, a]),
    "concatenate": lambda a, b: ad.concatenate([[a, b], [b]]),
    "stack": lambda a, b: ad.stack([[a, b], [b, a]]),
    "einsum": lambda a, b: ad.einsum("i,i->", [a, b], [1.0, 2.0]),
    "np.where": lambda a, b: np.where([True, False], ad.tensor([1.0, 1.0]), [a, b]),
    "prod": lambda a, b: ad.prod([a, b]),
    "var": lambda a, b: ad.var([a, b, 1.0]),
    "cumsum": lambda a, b: ad.cumsum([a, b]),
    "reshape": lambda a, b: ad.reshape([a, b], (2, 1)),
    "outer": lambda a, b: ad.outer([a, b], [a, b]),
    "full": lambda a, b: ad.full((3, 2), [a, b]),
    "at": lambda a, b: ad.zeros(3).at[:2].set([a, b]),
    "solve": lambda a, b: ad.linalg.solve([[a, 1.0], [0.5, b]], [1.0, 2.0]),
    "norm": lambda a, b: ad.linalg.norm([a, b]),
    "sort": lambda a, b: ad.sort([b, a]),
    "interp": lambda a, b: ad.interp([a, b], [0.0, 9.0], [0.0, 3.0]),
    "transpose": lambda a, b: ad.transpose([[a, b]]),
    "clip": lambda a, b: ad.clip([a, b], 0.0, 3.5),
    "take": lambda a, b: ad.take([a, b], [1, 1, 0]),
    "logsumexp": lambda a, b: ad.special.logsumexp([a, b]),
    "sign": lambda a, b: ad.sign([a, b]) * a,
    "gelu": lambda a, b: F.gelu([a, b]),
    "linear": lambda a, b: F.linear([[a, b]], [[b, a]]),
    "mse_loss": lambda a, b: F.mse_loss([a, b], [b, 1.0]),
    "cross_entropy": lambda a, b: F.cross_entropy([[a, b], [b, a]], [0, 1]),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_tensors_is_an_array(name):
    from autodiff.testing import check_gradients

    check_gradients(LISTS[name], np.array(3.0), np.array(4.0), name=name)


def test_where_numpy_cannot_reach_us_a_list_is_refused_with_advice():
    a = ad.tensor(1.0, requires_grad=True)
    for call in (lambda: np.sum([a, a]), lambda: np.array([a, a])):
        with pytest.raises((ad.GraphError, ad.CutWarning, ValueError)) as caught:
            call()
        assert "autodiff" in f"{caught.value}{caught.value.__cause__}"


def test_a_comparison_with_labels_is_refused_rather_than_false():
    pd = pytest.importorskip("pandas")
    x, labelled = ad.tensor([1.0, 2.0], requires_grad=True), pd.Series([1.0, 2.0], index=["a", "b"])
    for compare in (operator.eq, operator.ne, operator.lt, operator.ge):
        with pytest.raises(ForeignArrayError, match="labels"):
            compare(x, labelled)
    assert (x == pd.Series([1.0, 3.0])).tolist() == [True, False]
