"""scikit-learn's functions that follow the array API standard, on Tensors: each in a process of its own, since the
switch must be set before SciPy is imported. Kernels, scalers and decompositions differentiate; scores end in a Python
number, which is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.8", reason="the standard is widely followed from this version on")
if not hasattr(np, "unstack"):
    pytest.skip("the standard needs NumPy 2.1", allow_module_level=True)

ROOT = Path(__file__).parents[2]
CODE = """
import numpy as np, sklearn
sklearn.set_config(array_api_dispatch=True)
from sklearn import decomposition, linear_model, metrics, preprocessing
from sklearn.metrics import pairwise
import autodiff as ad
from autodiff.testing import check_gradients

X = np.random.default_rng(0).normal(size=(6, 3))
A, B = np.abs(X), np.abs(X[::-1]) + 0.1

def total(made):
    return np.sum(made * np.cos(np.arange(made.size)).reshape(made.shape))

# Both arguments must be Tensors: the standard does not mix libraries.
for name in ("cosine_similarity cosine_distances euclidean_distances linear_kernel polynomial_kernel rbf_kernel"
             " sigmoid_kernel additive_chi2_kernel chi2_kernel laplacian_kernel manhattan_distances").split():
    check_gradients(lambda a, b, f=getattr(pairwise, name): total(f(ad.asarray(a), ad.asarray(b))), A, B, order=1)
for name in "StandardScaler MinMaxScaler MaxAbsScaler Normalizer PolynomialFeatures".split():
    scaler = getattr(preprocessing, name)
    check_gradients(lambda a, f=scaler: total(f().fit_transform(ad.asarray(a))), X, order=1)
spread = lambda a: total(decomposition.PCA(2, svd_solver="full").fit(ad.asarray(a)).explained_variance_)
check_gradients(spread, X, order=1)
ridge = lambda a, y: total(linear_model.Ridge(solver="svd").fit(ad.asarray(a), ad.asarray(y)).coef_)
check_gradients(ridge, X, np.cos(np.arange(6.0)), order=1)
try:
    ad.grad(lambda y: metrics.mean_squared_error(ad.tensor(X[:, 0]), y))(X[:, 1])
except ad.AutodiffError as error:
    print(error)
"""


@pytest.mark.slow
def test_kernels_scalers_and_decompositions_differentiate():
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert "float() of a tensor" in done.stdout
