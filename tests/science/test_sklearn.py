"""scikit-learn's functions that follow the array API standard, on Tensors: each in a process of its own, since the
switch must be set before SciPy is imported. Kernels, scalers, decompositions, models of closed form and metrics that
give an array differentiate; scores end in a Python number, which is refused."""

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
from sklearn import decomposition, linear_model, metrics, mixture, naive_bayes, preprocessing
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics import pairwise
import autodiff as ad
from autodiff.testing import check_gradients

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(6, 3)), rng.normal(size=(4, 3))
A, B = np.abs(X) + 0.1, np.abs(Y) + 0.1
y = X @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=6)
two = np.stack([y, y + 0.3 * rng.normal(size=6)], 1)
said = two + 0.2 * rng.normal(size=(6, 2))
classes = (y > 0).astype(int)

def holds(f, *arrays):
    # Every argument must be a Tensor: the standard does not mix libraries.
    made = np.asarray(f(*arrays))
    weights = np.cos(np.arange(made.size)).reshape(made.shape)
    np.testing.assert_allclose(f(*map(ad.tensor, arrays)).data, made, rtol=1e-9, atol=1e-11)
    check_gradients(lambda *a: np.sum(f(*map(ad.asarray, a)) * weights), *arrays, order=1)

for name in ("cosine_similarity cosine_distances euclidean_distances linear_kernel polynomial_kernel rbf_kernel"
             " sigmoid_kernel additive_chi2_kernel chi2_kernel laplacian_kernel manhattan_distances").split():
    holds(getattr(pairwise, name), A, B)
for name in "cosine euclidean manhattan".split():
    holds(getattr(pairwise, f"paired_{name}_distances"), X[:4], Y)
for name in "StandardScaler MinMaxScaler MaxAbsScaler Normalizer PolynomialFeatures".split():
    holds(lambda a, f=getattr(preprocessing, name): f().fit_transform(a), X)
holds(lambda a: preprocessing.KernelCenterer().fit_transform(a @ a.T), X)
for norm in ("l1", "max"):
    holds(lambda a: preprocessing.normalize(a, norm=norm), X)
for solver in ("full", "covariance_eigh"):
    pca = lambda a: decomposition.PCA(2, svd_solver=solver).fit(a)
    holds(lambda a: pca(a).explained_variance_, X)
    holds(lambda a: abs(pca(a).transform(a)), X)
    holds(lambda a: pca(a).get_covariance(), X)
    holds(lambda a: pca(a).score_samples(a), X)
rough = dict(svd_solver="randomized", random_state=0, power_iteration_normalizer="QR")
holds(lambda a: abs(decomposition.PCA(2, **rough).fit_transform(a)), X)
for model in (linear_model.Ridge(solver="svd"), linear_model.RidgeCV()):
    holds(lambda a, b: model.fit(a, b).coef_, X, y)
    holds(lambda a, b: model.fit(a, b).predict(a), X, y)
for model in (linear_model.RidgeClassifier(solver="svd"), LinearDiscriminantAnalysis()):
    holds(lambda a: abs(model.fit(a, classes).decision_function(a)), X)
holds(lambda a: naive_bayes.GaussianNB().fit(a, classes).predict_log_proba(a), X)
first = dict(init_params="random_from_data", random_state=0)
blobs = lambda a, steps: mixture.GaussianMixture(2, max_iter=steps, **first).fit(a)
holds(lambda a: blobs(a, 3).means_, X)
holds(lambda a: blobs(a, 1).score_samples(a[:2]), X)
holds(lambda a: Nystroem(n_components=4, random_state=0).fit_transform(a), X)
for name in ("mean_squared_error root_mean_squared_error mean_absolute_error r2_score explained_variance_score"
             " mean_absolute_percentage_error mean_pinball_loss").split():
    holds(lambda t, p, f=getattr(metrics, name): f(t, p, multioutput="raw_values"), two, said)
for name in ("mean_squared_log_error", "root_mean_squared_log_error"):
    holds(lambda t, p, f=getattr(metrics, name): f(t, p, multioutput="raw_values"), abs(two), abs(said))
try:
    ad.grad(lambda p: metrics.mean_squared_error(ad.tensor(X[:, 0]), p))(X[:, 1])
except ad.AutodiffError as error:
    print(error)
tracked = ad.tensor(X, requires_grad=True)
for call in (
    lambda: linear_model.LogisticRegression().fit(tracked, ad.tensor(classes)),
    lambda: linear_model.LinearRegression().fit(tracked, ad.tensor(y)),
    lambda: metrics.median_absolute_error(ad.tensor(X[:, 0]), tracked[:, 1]),
):
    try:
        call()
    except ad.AutodiffError as error:
        print(error)
"""


@pytest.mark.slow
def test_what_follows_the_standard_differentiates():
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert "float() of a tensor" in done.stdout
    assert done.stdout.count("requires a gradient") == 3
