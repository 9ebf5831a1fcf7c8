"""Sparse arrays: products and solves against dense ones in value and derivatives; misuse is named."""

import numpy as np
import pytest

import autodiff as ad
from autodiff import sparse
from autodiff.core.errors import (
    ArgumentError,
    ConvergenceError,
    DTypeError,
    GraphError,
    ShapeError,
    SingularMatrixError,
)
from autodiff.testing import check_gradients

theirs = pytest.importorskip("scipy.sparse", reason="these are SciPy's sparse arrays")

ROWS = np.array([0, 0, 1, 2, 2, 2, 1])
COLUMNS = np.array([0, 2, 1, 0, 2, 1, 1])  # (1, 1) twice: added, as SciPy does
ENTRIES = np.array([4.0, 0.5, 2.0, -1.0, 3.0, 0.25, 1.5])
MAKERS = (sparse.csr_array, sparse.csc_array, sparse.coo_array)


def dense(entries, shape=(3, 3)):
    """The same matrix by plain NumPy."""
    return np.zeros(shape, entries.dtype) + sum(
        entries[k] * np.eye(shape[0])[:, [i]] * np.eye(shape[1])[[j]]
        for k, (i, j) in enumerate(zip(ROWS, COLUMNS, strict=True))
    )


def made(make, entries, dtype=None):
    return make((entries, (ROWS, COLUMNS)), shape=(3, 3), dtype=dtype)


@pytest.mark.parametrize("make", MAKERS)
def test_values_and_layout_are_scipys(make):
    ours = made(make, ENTRIES)
    scipys = getattr(theirs, make.__name__)((ENTRIES, (ROWS, COLUMNS)), shape=(3, 3))
    np.testing.assert_array_equal(ours.toarray().data, scipys.toarray())
    np.testing.assert_array_equal(ours.toscipy().toarray(), scipys.toarray())
    assert (ours.format, ours.shape, ours.dtype) == (scipys.format, scipys.shape, scipys.dtype)
    if ours.format != "coo":
        scipys.sum_duplicates()
        np.testing.assert_array_equal(ours.data.data, scipys.data)
        np.testing.assert_array_equal(ours.indices, scipys.indices)
        np.testing.assert_array_equal(ours.indptr, scipys.indptr)
        again = make((ours.data, ours.indices, ours.indptr), shape=(3, 3))
        np.testing.assert_array_equal(again.toarray().data, scipys.toarray())
    for k in (-1, 0, 1, 2):
        np.testing.assert_array_equal(ours.diagonal(k).data, scipys.diagonal(k))
    for axis in (None, 0, 1):
        np.testing.assert_allclose(ours.sum(axis).data, scipys.sum(axis))
    np.testing.assert_array_equal(make(scipys.toarray()).toarray().data, scipys.toarray())
    np.testing.assert_array_equal(make(scipys).T.toarray().data, scipys.T.toarray())
    assert make((2, 3)).toarray().data.tolist() == [[0.0] * 3] * 2


PRODUCTS = {
    "A @ x": lambda a, x: a @ x,
    "x @ A": lambda a, x: x @ a,
    "A.T @ X": lambda a, x: a.T @ np.stack([x, x * x], axis=1),
    "X @ A.T": lambda a, x: np.stack([x, x * x]) @ a.T,
    "A scaled": lambda a, x: (2.0 * a / 3.0 - a * x[0]) @ x,
}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("form", PRODUCTS)
def test_products_have_the_derivatives_of_dense_ones(make, form):
    x = np.array([0.3, -1.2, 0.7])
    f = lambda e, x: PRODUCTS[form](made(make, e), x)
    full = lambda e, x: PRODUCTS[form](dense(e), x)
    np.testing.assert_allclose(f(ad.tensor(ENTRIES), ad.tensor(x)).data, full(ENTRIES, x), rtol=1e-13)
    for got, want in zip(ad.jacobian(f, (0, 1))(ENTRIES, x), ad.jacobian(full, (0, 1))(ENTRIES, x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    check_gradients(f, ENTRIES, x, order=2)


@pytest.mark.parametrize("make", MAKERS)
def test_sums_and_products_of_sparse_matrices(make):
    def f(e, matrix):
        a = matrix(e)
        return ((a @ a.T + a - 0.5 * a.T).multiply(np.arange(9.0).reshape(3, 3)) @ np.ones(3)) * np.array(
            [1.0, 2.0, 3.0]
        )

    def full(e):
        a = dense(e)
        return ((a @ a.T + a - 0.5 * a.T) * np.arange(9.0).reshape(3, 3) @ np.ones(3)) * np.array([1.0, 2.0, 3.0])

    ours = lambda e: f(e, lambda e: made(make, e))
    np.testing.assert_allclose(ours(ad.tensor(ENTRIES)).data, full(ENTRIES), rtol=1e-13)
    np.testing.assert_allclose(ad.jacobian(ours)(ENTRIES), ad.jacobian(full)(ENTRIES), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("make", MAKERS)
def test_submatrices_and_elements(make):
    mask = np.array([True, False, True])
    for index in (slice(None, None, -1), mask, [0, 0, 2], np.ix_([2, 0], [1, 2]), (slice(1, 3), mask)):
        f = lambda e, index=index: made(make, e)[index].toarray()
        np.testing.assert_array_equal(f(ad.tensor(ENTRIES)).data, dense(ENTRIES)[index])
        np.testing.assert_array_equal(ad.jacobian(f)(ENTRIES), ad.jacobian(lambda e, i=index: dense(e)[i])(ENTRIES))
    for index in ((0, 1), (-1, -1), ([0, 1, 2], [2, 1, 0]), (mask, [1])):
        f = lambda e, index=index: made(make, e)[index] ** 2
        np.testing.assert_array_equal(f(ad.tensor(ENTRIES)).data, dense(ENTRIES)[index] ** 2)
        np.testing.assert_array_equal(
            ad.jacobian(f)(ENTRIES), ad.jacobian(lambda e, i=index: dense(e)[i] ** 2)(ENTRIES)
        )
    with pytest.raises(ShapeError, match=r"A\[\[i\]\]"):
        made(make, ad.tensor(ENTRIES))[1]


def test_scipys_arrays_beside_tensors():
    a = theirs.csr_array(np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]))
    for matrix in (a, a.tocsc(), a.tocoo(), theirs.csr_matrix(a)):
        x, y = ad.tensor(np.ones(2), requires_grad=True), ad.tensor(np.ones(3), requires_grad=True)
        (np.sum(x @ matrix) + np.sum(sparse.csr_array(matrix) @ y)).backward()
        np.testing.assert_array_equal(x.grad, [3.0, 3.0])
        np.testing.assert_array_equal(y.grad, [1.0, 3.0, 2.0])
        with pytest.raises(GraphError, match="sparse"):
            matrix @ y
    both = sparse.csr_array(a).T @ a
    np.testing.assert_array_equal(both.toarray().data, (a.T @ a).toarray())
    np.testing.assert_array_equal((np.ones(2) @ sparse.csr_array(a)).data, [1.0, 3.0, 2.0])
    for scipys in (a, theirs.csr_matrix(a)):  # an asterisk is SciPy's: of arrays entry by entry, of matrices a product
        other = scipys.T if isinstance(scipys, theirs.spmatrix) else scipys
        np.testing.assert_array_equal((other * sparse.csr_array(a)).toarray().data, (other * scipys).toarray())


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("columns", [None, 2])
@pytest.mark.parametrize("trans", ["N", "T", "H"])
def test_solves_have_the_derivatives_of_dense_ones(make, columns, trans):
    b = np.array([1.0, -2.0, 0.5]) if columns is None else np.array([[1.0, 2.0], [-2.0, 0.0], [0.5, 1.0]])
    f = lambda e, b: sparse.splu(made(make, e)).solve(b, trans)
    turn = (lambda a: a) if trans == "N" else np.transpose
    full = lambda e, b: np.linalg.solve(turn(dense(e)), b)
    np.testing.assert_allclose(f(ad.tensor(ENTRIES), b).data, full(ENTRIES, b), rtol=1e-12)
    for got, want in zip(ad.jacobian(f, (0, 1))(ENTRIES, b), ad.jacobian(full, (0, 1))(ENTRIES, b), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-13)
    scalar = lambda e, b: np.sum(f(e, b) ** 2)
    wanted = lambda e, b: np.sum(full(e, b) ** 2)
    for argnum in (0, 1):
        np.testing.assert_allclose(
            ad.hessian(scalar, argnum)(ENTRIES, b), ad.hessian(wanted, argnum)(ENTRIES, b), rtol=1e-10, atol=1e-12
        )


def test_third_derivative_of_a_solve():
    f = lambda t: sparse.spsolve(sparse.csr_array((t * np.ones(2), ([0, 1], [0, 1]))), np.array([1.0, 0.0]))[0]
    assert np.isclose(ad.grad(ad.grad(ad.grad(f)))(2.0), -6.0 / 2.0**4)  # 1/t


def test_complex_and_float32():
    z = ENTRIES * np.exp(1j * np.arange(7))
    b = np.array([1.0 + 1j, -2.0, 0.5j])
    for trans, turn in (("N", lambda a: a), ("T", np.transpose), ("H", lambda a: np.conj(np.transpose(a)))):
        f = lambda e, b, t=trans: np.sum(np.abs(sparse.splu(made(sparse.csr_array, e)).solve(b, t) + 1j) ** 2)
        full = lambda e, b, turn=turn: np.sum(np.abs(np.linalg.solve(turn(dense(e)), b) + 1j) ** 2)
        for got, want in zip(ad.grad(f, (0, 1))(z, b), ad.grad(full, (0, 1))(z, b), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    x = ad.tensor(b.real.astype(np.float32), requires_grad=True)
    e = ad.tensor(ENTRIES.astype(np.float32), requires_grad=True)
    out = sparse.spsolve(made(sparse.csr_array, e), x)
    assert out.dtype == np.float32
    out.sum().backward()
    assert x.grad.dtype == e.grad.dtype == np.float32
    np.testing.assert_allclose(x.grad, np.linalg.solve(dense(ENTRIES).T, np.ones(3)), rtol=1e-5)


@pytest.mark.parametrize("solve", [sparse.cg, sparse.gmres])
def test_iterative_solves(solve):
    def f(e, b):
        a = sparse.diags_array([e, e[:1] * 0.1, e[:1] * 0.1], offsets=[0, 1, -1], shape=(5, 5))
        return solve(a, b, rtol=1e-12)[0]

    def full(e, b):
        return np.linalg.solve(np.diag(e) + 0.1 * e[0] * (np.eye(5, k=1) + np.eye(5, k=-1)), b)

    e, b = np.arange(2.0, 7.0), np.array([1.0, 2.0, 0.0, -1.0, 0.5])
    np.testing.assert_allclose(f(ad.tensor(e), b).data, full(e, b), rtol=1e-10)
    for got, want in zip(ad.jacobian(f, (0, 1))(e, b), ad.jacobian(full, (0, 1))(e, b), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)
    tridiagonal = sparse.diags_array([2.0 * np.ones(50), -np.ones(49), -np.ones(49)], offsets=[0, 1, -1])
    with pytest.raises(ConvergenceError, match="no convergence in"):
        solve(tridiagonal, np.ones(50), maxiter=2, **({"restart": 2} if solve is sparse.gmres else {}))


def test_one_factorisation_serves_the_solve_and_every_derivative(monkeypatch):
    import scipy.sparse.linalg

    calls = []
    real = scipy.sparse.linalg.splu
    monkeypatch.setattr(scipy.sparse.linalg, "splu", lambda *a, **k: calls.append(1) or real(*a, **k))
    e = ad.tensor(ENTRIES, requires_grad=True)
    x = sparse.spsolve(made(sparse.csr_array, e), np.ones(3))
    (first,) = ad.gradients([np.sum(x * x)], [e], create_graph=True)
    np.sum(first * first).backward()
    assert len(calls) == 1


def test_a_singular_matrix_is_named():
    with pytest.raises(SingularMatrixError, match="singular"):
        sparse.spsolve(sparse.csr_array(np.array([[1.0, 1.0], [1.0, 1.0]])), np.array([1.0, 2.0]))
    n = 30  # free ends: the constant vector is in the kernel, and rounding makes the last pivot not quite zero
    h = np.random.default_rng(0).uniform(0.5, 1.5, n)
    a = sparse.diags_array([h + np.roll(h, 1), -h[:-1], -h[:-1]], offsets=[0, 1, -1]).toscipy().tolil()
    a[0, 0], a[-1, -1] = h[0], h[-2]
    with pytest.raises(SingularMatrixError, match="singular"):
        sparse.spsolve(a.tocsr(), np.arange(float(n)))
    scaled = sparse.diags_array([np.array([1e-30, 1.0, 1e30])])
    np.testing.assert_allclose(sparse.spsolve(scaled, np.ones(3)).data, [1e30, 1.0, 1e-30])
    with pytest.raises(SingularMatrixError, match="NaN"):
        sparse.spsolve(scaled, np.array([np.nan, 1.0, 1.0]))


def test_misuse_is_named():
    a = sparse.csr_array(np.eye(3))
    with pytest.raises(ShapeError, match="do not fit"):
        a @ np.ones(2)
    with pytest.raises(ShapeError, match="square"):
        sparse.spsolve(sparse.csr_array(np.ones((2, 3))), np.ones(2))
    with pytest.raises(ShapeError, match="right-hand side"):
        sparse.spsolve(a, np.ones(2))
    with pytest.raises(DTypeError, match="sparse array"):
        sparse.spsolve(np.eye(3), np.ones(3))
    with pytest.raises(ArgumentError, match="outside"):
        sparse.csr_array((np.ones(1), ([3], [0])), shape=(3, 3))
    with pytest.raises(ShapeError, match="entries"):
        sparse.csr_array((np.ones(2), ([0], [0])), shape=(3, 3))
    with pytest.raises(ArgumentError, match="dense"):
        a + np.eye(3)
    with pytest.raises(ArgumentError, match="dense"):
        sparse.spsolve(a, a)
    with pytest.raises(ShapeError, match="length"):
        sparse.diags_array([np.ones(3)], offsets=[1], shape=(3, 3))


# Each form made of sparse arrays and of dense ones; ``a`` has tracked entries.
ASSEMBLED = {
    "kron": (lambda a: sparse.kron(a, a.T), lambda a: np.kron(a, a.T)),
    "kron of a constant": (lambda a: sparse.kron(theirs.eye_array(2), a), lambda a: np.kron(np.eye(2), a)),
    "kronsum": (lambda a: sparse.kronsum(a, 2.0 * a), lambda a: np.kron(np.eye(3), a) + np.kron(2.0 * a, np.eye(3))),
    "block_array": (
        lambda a: sparse.block_array([[a, None], [theirs.csr_array(np.ones((1, 3))), a[:1, :2]]]),
        lambda a: np.block([[a, np.zeros((3, 2))], [np.ones((1, 3)), a[:1, :2]]]),
    ),
    "bmat with a dense block": (
        lambda a: sparse.bmat([[a, a.toarray()]], format="csc"),
        lambda a: np.concatenate([a, a], axis=1),
    ),
    "vstack": (lambda a: sparse.vstack([a, a**2]), lambda a: np.concatenate([a, a**2])),
    "hstack": (lambda a: sparse.hstack([a.T, a], "coo"), lambda a: np.concatenate([a.T, a], axis=1)),
    "block_diag": (
        lambda a: sparse.block_diag([a, a[:1]]),
        lambda a: np.block([[a, np.zeros((3, 3))], [np.zeros((1, 3)), a[:1]]]),
    ),
    "triangles": (lambda a: sparse.tril(a) - 3.0 * sparse.triu(a, 1, "csc"), lambda a: np.tril(a) - 3 * np.triu(a, 1)),
    "diags": (
        lambda a: sparse.diags([a.diagonal(), a.sum(1)[:2], -1.0], [0, 1, -2], shape=(3, 3), format="csc"),
        lambda a: np.diag(np.diagonal(a)) + np.diag(np.sum(a, 1)[:2], 1) - np.eye(3, k=-2),
    ),
    "eye": (lambda a: sparse.eye(3, 3, 1) @ a, lambda a: np.eye(3, k=1) @ a),
    "A ** 3": (lambda a: a**3, lambda a: a**3),
    "A * B": (lambda a: a * a.T + a.multiply(theirs.eye_array(3)), lambda a: a * a.T + a * np.eye(3)),
    "matrix_power": (lambda a: sparse.matrix_power(a, 5), lambda a: np.linalg.matrix_power(a, 5)),
    "matrix_power 0": (lambda a: sparse.matrix_power(a, 0) @ a, lambda a: a),
    "methods": (lambda a: abs(a).log1p() + a.sin() + a.conj(), lambda a: np.log1p(np.abs(a)) + np.sin(a) + a),
    "means": (
        lambda a: a * (a.mean() * a.trace()) + a.multiply(a.mean(0)),
        lambda a: a * np.mean(a) * np.trace(a) + a * np.mean(a, 0),
    ),
    "submatrix": (lambda a: a[np.array([2, 0])][:, [0, 2]], lambda a: a[np.array([2, 0])][:, [0, 2]]),
}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("form", ASSEMBLED)
def test_assembly_has_the_derivatives_of_the_dense_form(make, form):
    ours, plain = ASSEMBLED[form]
    f, full = lambda e: ours(made(make, e)).toarray(), lambda e: plain(dense(e))
    np.testing.assert_allclose(f(ad.tensor(ENTRIES)).data, full(ENTRIES), rtol=1e-13, atol=1e-14)
    with ad.composed():  # dense() takes sums of many terms
        want, curved = ad.jacobian(full)(ENTRIES), ad.hessian(lambda e: np.sum(np.sin(full(e))))(ENTRIES)
    for jacobian in (ad.jacrev, ad.jacfwd):
        np.testing.assert_allclose(jacobian(f)(ENTRIES), want, rtol=1e-11, atol=1e-12)
    got = ad.hessian(lambda e: np.sum(np.sin(f(e))))(ENTRIES)
    np.testing.assert_allclose(got, curved, rtol=1e-9, atol=1e-9 * np.abs(curved).max())


WRITES = {
    "rows of zeros, ones on the diagonal": (([0, 2],), lambda t: 0, ([0, 2], [0, 2]), lambda t: 1.0),
    "a column": ((slice(None), 1), lambda t: t[:3], (0, 0), lambda t: t[3]),
    "a block": ((slice(0, 2), [2, 0]), lambda t: t[:4].reshape(2, 2), (np.eye(3, dtype=bool),), lambda t: t[4:7]),
    "the last of two": (([1, 1], [1, 1]), lambda t: t[:2], (np.ix_([0, 2], [1]),), lambda t: t[2:4, None]),
    "a masked row": ((np.array([False, True, False]),), lambda t: t[:3], (-1, -1), lambda t: t[3] ** 2),
}


@pytest.mark.parametrize("make", MAKERS[:2])
@pytest.mark.parametrize("form", WRITES)
def test_writes_have_the_derivatives_of_dense_ones(make, form):
    first, one, second, two = WRITES[form]
    first, second = (index[0] if len(index) == 1 else index for index in (first, second))

    def write(a, t):
        before = a.T
        a[first] = one(t)
        a[second] = two(t)
        return before, a

    f = lambda t: np.stack([m.toarray() for m in write(made(make, t), 2.0 * t)])
    full = lambda t: np.stack(write(dense(t) * 1.0, 2.0 * t)[1:])
    t = ENTRIES + 0.1
    np.testing.assert_allclose(f(ad.tensor(t)).data[1:], full(t))
    np.testing.assert_array_equal(f(ad.tensor(t)).data[0], dense(t).T)  # what was made before keeps its entries
    for jacobian in (ad.jacrev, ad.jacfwd):
        np.testing.assert_allclose(jacobian(f)(t)[1:], jacobian(full)(t), rtol=1e-13)


def test_boundary_rows_of_a_plate_in_second_order():
    """Assembled by kron, rows of the boundary set, solved: as the dense program does it."""

    def matrix(k, kron, d, eye, out):
        a = kron(eye, d(k)) + kron(d(k**2), eye)
        a = out(a)
        edge = np.array([0, 1, 2, 6])
        a[edge] = 0
        a[edge, edge] = 1.0
        return a

    b = np.linspace(1.0, 2.0, 9)
    spread = lambda k: sparse.diags([k + 1.0, -k[:2], -k[1:]], [0, 1, -1])
    full_spread = lambda k: np.diag(k + 1.0) - np.diag(k[:2], 1) - np.diag(k[1:], -1)
    ours = lambda k: sparse.spsolve(matrix(k, sparse.kron, spread, sparse.eye(3), lambda a: a), b)
    full = lambda k: np.linalg.solve(matrix(k, np.kron, full_spread, np.eye(3), lambda a: a * 1.0), b)
    k = np.array([1.0, 1.5, 0.7])
    np.testing.assert_allclose(ad.jacfwd(ours)(k), ad.jacrev(full)(k), rtol=1e-10)
    got, want = (ad.hessian(lambda k, f=f: np.sum(f(k) ** 2))(k) for f in (ours, full))
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_setdiag_is_scipys():
    for k, values in ((0, np.arange(1.0, 4.0)), (1, 2.0), (-1, np.array([5.0])), (0, np.ones(9))):
        ours, scipys = made(sparse.csc_array, ENTRIES), theirs.csc_array((ENTRIES, (ROWS, COLUMNS)), shape=(3, 3))
        ours.setdiag(values, k)
        scipys.setdiag(values, k)
        np.testing.assert_array_equal(ours.toarray().data, scipys.toarray())


@pytest.mark.filterwarnings("ignore:Comparing")
@pytest.mark.parametrize("make", MAKERS)
def test_equality_is_by_element(make):
    more = ENTRIES * (1 + (ROWS == 0))
    a, b = made(make, ad.tensor(ENTRIES, requires_grad=True)), made(make, more)
    for other, plain in ((b, dense(more)), (b.toscipy(), dense(more)), (b.toarray(), dense(more)), (4.0, 4.0)):
        for found, truth in ((a == other, dense(ENTRIES) == plain), (a != other, dense(ENTRIES) != plain)):
            np.testing.assert_array_equal(found.toarray() if hasattr(found, "tocsr") else found, truth)


def test_what_is_missing_is_named():
    a = made(sparse.csr_array, ad.tensor(ENTRIES, requires_grad=True))
    with pytest.raises(AttributeError, match=r"'tolil'.*toscipy"):
        a.tolil()
    with pytest.raises(AttributeError, match=r"'eigsh'.*scipy\.sparse\.linalg\.eigsh"):
        sparse.eigsh  # noqa: B018
    with pytest.raises(AttributeError, match="no 'nonsense'"):
        sparse.nonsense  # noqa: B018
    for wrong, words in (
        (lambda: a**0, "exponent"),
        (lambda: a / a, "divisor"),
        (lambda: a.asformat("dia"), "'dia'"),
        (lambda: sparse.vstack([a, a[:, :2]]), "vstack"),
        (lambda: sparse.matrix_power(a, -1), "whole number"),
        (lambda: a.tocoo().__setitem__((0, 0), 1.0), "tocsr"),
        (lambda: a.__setitem__((slice(None), 0), a[:, :2]), r"\(3, 2\)"),
        (lambda: sparse.block_array([[None]]), "at least one"),
    ):
        with pytest.raises(ad.AutodiffError, match=words):
            wrong()


def test_kronecker_products_of_nothing_and_of_single_precision():
    nothing, some = sparse.csr_array((2, 3)), sparse.csr_array(np.float32([[1.0, 2.0], [0.0, 3.0]]))
    assert sparse.kron(nothing, some).shape == (4, 6)
    assert sparse.kron(some, nothing).nnz == 0
    assert sparse.kronsum(some, some).dtype == np.float32


def test_what_is_done_to_scipys_arrays_and_to_copies_leaves_recorded_products_alone():
    scipys = theirs.csr_array(dense(ENTRIES))
    expected = scipys.sum(axis=0)
    x = ad.tensor(np.arange(1.0, 4.0), requires_grad=True)
    total = (sparse.csr_array(scipys) @ x).sum()
    scipys.data[:2] = 0
    scipys.eliminate_zeros()  # in place, the indices too
    total.backward()
    np.testing.assert_array_equal(x.grad, expected)
    ours = made(sparse.csc_array, ENTRIES)
    x.grad, total = None, (ours @ x).sum()
    copy = ours.toscipy()
    copy.data[:] = copy.indices[:] = 0
    total.backward()
    np.testing.assert_array_equal(x.grad, expected)
    with pytest.raises(ValueError, match="read-only"):
        ours.indices[0] = 2


def test_a_factorisation_keeps_the_entries_that_it_was_made_of():
    a = made(sparse.csr_array, ENTRIES)
    lu, x = sparse.splu(a), np.linalg.solve(dense(ENTRIES), np.ones(3))
    a[0, 0] = 50.0
    a[1, 0] = 1.0  # one entry more
    np.testing.assert_allclose(lu.solve(np.ones(3)).data, x)


def test_constructors_take_and_refuse_what_scipys_do():
    parts = ([1.0, 2.0], [0, 1], [0, 1, 2, 2])  # a last row, or column, without entries
    for name in ("csr_array", "csc_array"):
        ours, scipys = getattr(sparse, name), getattr(theirs, name)
        assert ours(parts).shape == scipys(parts).shape
        places = (np.array([1.0, 2.0]), np.array([[0, 1], [1, 0]]))
        np.testing.assert_array_equal(ours(places).toarray().data, scipys(places).toarray())
    for wrong in (np.eye(2), theirs.csr_array(np.eye(2))):
        with pytest.raises(ShapeError, match=r"shape=\(3, 3\).*\(2, 2\)"):
            sparse.csr_array(wrong, shape=(3, 3))
    a = made(sparse.csr_array, ENTRIES)
    for axis in (2, -3):
        with pytest.raises(ValueError, match="out of bounds"):
            a.sum(axis)
        with pytest.raises(ValueError, match="out of bounds"):
            a.mean(axis)
    np.testing.assert_array_equal(a.mean(-1).data, dense(ENTRIES).mean(-1))
    infinite = np.array([[np.inf, 1.0], [0.0, np.nan]])
    np.testing.assert_array_equal(sparse.csc_array(infinite).toarray().data, infinite)


@pytest.mark.parametrize("make", MAKERS[:2])
def test_an_iteration_starts_at_x0_with_the_preconditioner_that_was_given(make):
    a, steps = np.array([[4.0, 1.0], [0.5, 3.0]]), []
    symmetric = a + a.T
    x, _ = sparse.cg(make(symmetric), symmetric @ [1.0, 2.0], x0=[1.0, 2.0], callback=steps.append)
    assert not steps
    exact = np.linalg.inv(a)  # one step of GMRES, in either direction, unless it is transposed
    b = ad.tensor([1.0, 2.0], requires_grad=True)
    x, _ = sparse.gmres(make(a), b, M=exact, restart=1, maxiter=1, rtol=1e-10)
    np.testing.assert_allclose(x.data, exact @ [1.0, 2.0])
    x.sum().backward()
    np.testing.assert_allclose(b.grad, exact.T @ [1.0, 1.0])


def test_zeros_of_a_tracked_dense_matrix_have_a_derivative():
    m, x = np.array([[2.0, 0.0], [1.0, 3.0]]), np.array([1.0, 2.0])
    pairs = [
        (lambda a: sparse.csc_array(a) @ x, lambda a: a @ x),
        (lambda a: sparse.coo_array(a).toarray(), lambda a: a * 1.0),
        (lambda a: sparse.kron(a, a) @ np.arange(4.0), lambda a: np.kron(a, a) @ np.arange(4.0)),
        (lambda a: sparse.gmres(a, x, rtol=1e-13)[0], lambda a: np.linalg.solve(a, x)),
        (lambda a: sparse.hstack([a, a]) @ np.arange(4.0), lambda a: np.hstack([a, a]) @ np.arange(4.0)),
    ]
    for ours, dense in pairs:
        np.testing.assert_allclose(ad.jacobian(ours)(m), ad.jacobian(dense)(m), atol=1e-10)
    assert sparse.csr_array(m).nnz == sparse.csr_array(ad.tensor(m)).nnz == 3
