"""Programs as NumPy users write them, with loops, assignment and linear algebra: nothing changed but the call,
gradients against differences.
"""

import numpy as np
import pytest

import autodiff as ad
from autodiff import dispatch
from autodiff.testing import check_gradients


def kalman_likelihood(z):
    x, p, log_likelihood = np.zeros(2), np.eye(2), 0.0
    step, seen = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    for i in range(len(z) - 1):
        x, p = step @ x, step @ p @ step.T + np.eye(2) * np.exp(z[-1])
        s = seen @ p @ seen.T + 0.1
        gain, surprise = p @ seen.T @ np.linalg.inv(s), z[i] - seen @ x
        x, p = x + gain @ surprise, (np.eye(2) - gain @ seen) @ p
        log_likelihood = log_likelihood - 0.5 * (surprise @ np.linalg.solve(s, surprise) + np.linalg.slogdet(s)[1])
    return log_likelihood


def heat_in_place(u):
    u = u.copy()
    for _ in range(5):
        u[1:-1] += 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u[0] = u[1]
        u[-1] *= 0.5
    return np.sum(u**2)


def fft_convolution(x):
    n = 2 * len(x)
    return np.sum(np.fft.irfft(np.fft.rfft(x, n) * np.fft.rfft(np.sin(x), n), n) ** 2)


def sorting_network(x):
    x = x.copy()
    for i in range(len(x)):
        for j in range(len(x) - 1 - i):
            low, high = np.minimum(x[j], x[j + 1]), np.maximum(x[j], x[j + 1])
            x[j], x[j + 1] = low, high
    return np.sum(x * np.arange(len(x)))


def lennard_jones(x):
    r = x.reshape(-1, 2)
    i, j = np.triu_indices(len(r), 1)
    s = np.sum((r[:, None] - r[None])[i, j] ** 2, axis=-1)
    return np.sum(1 / s**6 - 1 / s**3)


def spline_energy(y):
    n = len(y)
    a = np.zeros((n, n))
    np.fill_diagonal(a, 4.0)
    a[np.arange(n - 1), np.arange(1, n)] = a[np.arange(1, n), np.arange(n - 1)] = 1.0
    return np.sum(np.linalg.solve(a, np.concatenate([[0.0], 6 * np.diff(y, 2), [0.0]])) ** 2)


def gaussian_process(t):
    x = np.linspace(0, 1, 5)
    k = np.exp(t[0]) * np.exp(-0.5 * (x[:, None] - x) ** 2 / np.exp(t[1])) + np.exp(t[2]) * np.eye(5)
    factor = np.linalg.cholesky(k)
    weights = np.linalg.solve(factor.T, np.linalg.solve(factor, np.sin(6 * x)))
    return 0.5 * np.sin(6 * x) @ weights + np.sum(np.log(np.diag(factor)))


def gaussian_elimination(v):
    a = (v.reshape(3, 3) + 3 * np.eye(3)).copy()
    for k in range(3):
        a[k + 1 :, k] /= a[k, k]
        a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k], a[k, k + 1 :])
    return np.sum(np.log(np.abs(np.diag(a))))


def alignment_table(x):
    c = np.zeros((4, 4)) * x[0]
    for i in range(1, 4):
        for j in range(1, 4):
            c[i, j] = x[i] * x[j] + np.logaddexp(c[i - 1, j], c[i, j - 1])
    return c[-1, -1]


def a_bit_of_everything(x):
    n = len(x)
    counts = np.histogram(np.arange(n) % 3, bins=3, weights=x)[0]
    pairs = np.einsum("i,j->ij", x, x)[np.tril_indices(n)]
    between = np.interp(0.3, np.linspace(0, 1, n), x)
    return (
        np.sum(np.where(x > 0, x, 0) ** 2)
        + np.percentile(x, 40)
        + np.sum(counts**2)
        + np.ptp(x)
        + between
        + np.trapezoid(x)
        + np.sum(pairs)
    )


def pendulum(y):
    slope = lambda y: np.stack([y[1], -np.sin(y[0])])
    for _ in range(4):
        k1 = slope(y)
        k2 = slope(y + 0.05 * k1)
        k3 = slope(y + 0.05 * k2)
        y = y + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + slope(y + 0.1 * k3))
    return y @ y


PROGRAMS = {
    kalman_likelihood: 5,
    heat_in_place: 7,
    fft_convolution: 6,
    sorting_network: 5,
    lennard_jones: 8,
    spline_energy: 6,
    gaussian_process: 3,
    gaussian_elimination: 9,
    alignment_table: 4,
    a_bit_of_everything: 7,
    pendulum: 2,
}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_program(program):
    x = np.random.default_rng(0).normal(size=PROGRAMS[program])
    np.testing.assert_allclose(program(ad.tensor(x)).item(), program(x), rtol=1e-12)
    check_gradients(program, x, order=1)


def test_every_differentiable_function_has_numpys_name_here():
    numpys = [f for f in dispatch.differentiable if getattr(np, f.__name__, None) is f]
    assert len(numpys) > 150
    assert [f.__name__ for f in numpys if not hasattr(ad, f.__name__)] == []
