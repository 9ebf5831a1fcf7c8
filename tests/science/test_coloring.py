"""Sparse Jacobians and Hessians: equal to the dense ones, with a pattern that leaves nothing out and few passes."""

import numpy as np
import pytest

import autodiff as ad
from autodiff import coloring, sparse
from autodiff.core.errors import ArgumentError, DTypeError, GraphError, NotDifferentiableError, ShapeError

scipys = pytest.importorskip("scipy.sparse", reason="the results are SciPy's sparse arrays")

X = np.random.default_rng(0).uniform(0.5, 1.5, (4, 5))
MATRIX = np.triu(np.tril(np.random.default_rng(1).normal(size=(5, 5)), 1), -1)

# name -> (function, entries that can differ from zero)
PROGRAMS = {
    "elementwise": (lambda x: np.exp(x) * x + np.sin(x) / x, 20),
    "differences": (lambda x: x[:, 1:] ** 2 - x[:, :-1], 32),
    "broadcast": (lambda x: x[:, :1] * x, 36),
    "sum of an axis": (lambda x: np.sum(x * x, axis=0), 20),
    "mean, keepdims": (lambda x: x - np.mean(x, axis=1, keepdims=True), 100),
    "moved": (lambda x: np.flip(np.roll(x.T, 2, axis=0), 1).reshape(2, 10)[::-1] ** 2, 20),
    "joined": (lambda x: np.concatenate([np.stack([x[0], x[1] ** 2]), x[2:] * x[:2]]), 30),
    "gathered twice": (lambda x: x[np.array([0, 2, 0]), np.array([1, 1, 4])] ** 3, 3),
    "masked": (lambda x: np.where(X > 1.0, x**2, 0.0), 20),
    "matmul": (lambda x: x @ MATRIX, 4 * 13),
    "matmul from the left": (lambda x: MATRIX @ x.T, 4 * 13),
    "vector": (lambda x: MATRIX @ x[0] + x[1] @ MATRIX, 26),
    "sparse": (lambda x: sparse.csr_array(MATRIX) @ (x[0] ** 2), 13),
    "sparse, two columns": (lambda x: sparse.csr_array(MATRIX) @ x[:2].T, 26),
    "maximum": (lambda x: np.maximum(x, 1.0) + np.minimum(x, x[0]), 35),
    "cumsum of rows": (lambda x: np.cumsum(x[0] ** 2), 25),
    "norm": (lambda x: np.linalg.norm(x[0]) * x[1], 30),
    "solve": (lambda x: np.linalg.solve(np.eye(5) + 0.1 * MATRIX, x[2]), 25),
    "softmax": (lambda x: ad.fused.softmax.function(x, axis=1), 400),
    "pad": (lambda x: np.pad(x[0] ** 2, 2), 5),
    "assigned": (lambda x: ad.zeros(7).at[1:6].set(x[0] ** 2), 5),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_jacobian_is_the_dense_one(name):
    f, most = PROGRAMS[name]
    J = ad.sparse_jacobian(f)(X)
    want = ad.jacobian(f)(X)
    want = want.reshape(-1, X.size)
    assert isinstance(J, scipys.csr_array)
    np.testing.assert_allclose(J.toarray(), want, rtol=1e-12, atol=1e-14)
    assert np.count_nonzero(want) <= J.nnz <= most


@pytest.mark.parametrize("name", PROGRAMS)
def test_hessian_is_the_dense_one(name):
    f = lambda x: np.sum(np.cos(PROGRAMS[name][0](x)))
    H = ad.sparse_hessian(f)(X)
    np.testing.assert_allclose(H.toarray(), ad.hessian(f)(X).reshape(20, 20), rtol=1e-10, atol=1e-12)


def passes(monkeypatch, program):
    """How many cotangents and tangents a program sends through its graph, the check's one included."""
    counts = []
    real = coloring._pulled
    monkeypatch.setattr(
        coloring, "_pulled", lambda out, inputs, seeds: counts.append(len(seeds)) or real(out, inputs, seeds)
    )
    program()
    return sum(counts)


def test_a_large_tridiagonal_hessian_takes_few_products(monkeypatch):
    x = np.linspace(0.0, 1.0, 100_000)
    f = lambda x: np.sum(np.cos(x[1:] - x[:-1])) + np.sum(x**4)
    found = []
    assert passes(monkeypatch, lambda: found.append(ad.sparse_hessian(f)(x))) <= 20
    middle = found[0][[50_000]].toarray()[0]
    c = -np.cos(x[1] - x[0])
    np.testing.assert_allclose(middle[[49_999, 50_000, 50_001]], [-c, 2 * c + 12 * x[50_000] ** 2, -c], rtol=1e-10)
    assert found[0].nnz == 3 * 100_000 - 2


def test_a_bundle_adjustment_is_compressed_by_columns(monkeypatch):
    cameras, points, observations = 5, 30, 120
    rng = np.random.default_rng(0)
    camera, point = np.arange(observations) % cameras, np.arange(observations) % points

    def residuals(p):
        cam, at = p["cameras"][camera], p["points"][point]
        moved = at * cam[:, :3] + cam[:, 3:6]
        flat = moved[:, :2] / moved[:, 2:]
        return (flat * cam[:, 6:7] * (1 + cam[:, 7:8] * np.sum(flat**2, axis=1, keepdims=True))).reshape(-1)

    p = {"cameras": rng.uniform(1, 2, (cameras, 8)), "points": rng.uniform(1, 2, (points, 3))}
    found = []
    assert passes(monkeypatch, lambda: found.append(ad.sparse_jacobian(residuals)(p))) <= 25
    # A row sees eight camera parameters and three coordinates.
    assert np.diff(found[0].indptr).max() <= 11
    dense = ad.jacobian(residuals)(p)
    want = np.concatenate([dense["cameras"].reshape(240, -1), dense["points"].reshape(240, -1)], axis=1)
    np.testing.assert_allclose(found[0].toarray(), want, rtol=1e-10, atol=1e-13)


def test_arguments_and_outputs():
    f = lambda a, x: a * x
    assert ad.sparse_jacobian(f, argnums=1)(2.0, np.ones(3)).toarray().tolist() == (2 * np.eye(3)).tolist()
    assert ad.sparse_jacobian(lambda x: np.ones(2))(np.ones(3)).shape == (2, 3)
    single = ad.sparse_jacobian(lambda x: x**2)(np.ones(2, np.float32))
    assert single.dtype == np.float32
    with pytest.raises(DTypeError, match="complex"):
        ad.sparse_jacobian(lambda x: np.exp(1j * x))(np.ones(2))


def test_colors_of_rows_with_a_common_column_differ():
    pattern = scipys.random_array((60, 40), density=0.1, rng=np.random.default_rng(0), format="csr").astype(bool)
    color = coloring.colors(pattern)
    for column in scipys.csc_array(pattern).T.tocsr():
        of_rows = color[column.indices if hasattr(column, "indices") else column.coords[-1]]
        assert len(set(of_rows.tolist())) == len(of_rows)


def test_a_missed_dependence_is_found(monkeypatch):
    real = coloring.dependence
    monkeypatch.setattr(coloring, "dependence", lambda out, inputs: scipys.csr_array(scipys.tril(real(out, inputs))))
    with pytest.raises(GraphError, match="misses"):
        ad.sparse_jacobian(lambda x: x[1:] * x[:-1])(np.arange(1.0, 5.0))


def test_misuse_is_named():
    tracked = ad.tensor(np.ones(3), requires_grad=True)
    with pytest.raises(NotDifferentiableError, match="constant"):
        ad.sparse_jacobian(np.sin)(tracked)
    with pytest.raises(NotDifferentiableError, match="tracked"):
        ad.sparse_jacobian(lambda x: x * tracked)(np.ones(3))
    with pytest.raises(NotDifferentiableError, match="cumsum"):
        ad.sparse_jacobian(np.cumsum)(np.ones(10_000))
    with pytest.raises(ArgumentError, match="argnums"):
        ad.sparse_jacobian(np.sin, argnums=1)(np.ones(3))
    with pytest.raises(DTypeError, match="floats"):
        ad.sparse_jacobian(np.sin)(np.ones(3, int))
    with pytest.raises(ShapeError, match="one array"):
        ad.sparse_jacobian(lambda x: (x, x))(np.ones(3))
