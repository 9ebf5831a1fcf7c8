"""docs/complex.md: the convention, against the definition and against JAX where it is installed."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.errors import DTypeError, NotDifferentiableError

Z = np.array([0.7 + 0.4j, -1.1 + 0.3j, 0.2 - 0.9j])
FUNCTIONS = {
    "abs": lambda z: np.sum(np.abs(z) ** 3),
    "real": lambda z: np.sum(np.real(z) * np.imag(z)),
    "conj": lambda z: np.sum(np.real(z * np.conj(z) * z)),
    "exp": lambda z: np.sum(np.imag(np.exp(z) * np.sin(z))),
    "log": lambda z: np.sum(np.real(np.log(z) * np.sqrt(z) / (1 + z * z))),
    "power": lambda z: np.sum(np.real(z**3 + z**2.5)),
    "fft": lambda z: np.sum(np.abs(np.fft.fft(z, 4)) ** 2 * np.arange(4.0)),
    "angle": lambda z: np.sum(np.angle(z)),
    "matmul": lambda z: np.real((z[:, None] * z) @ z)[0],
    "mixed": lambda z: np.sum(np.real(z * np.array([1.0, 2.0, 3.0]))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_gradient_is_the_definition(name):
    f = FUNCTIONS[name]
    g = ad.grad(f)(Z)
    assert g.dtype == Z.dtype
    value = lambda z: float(np.asarray(f(z)))
    for i in range(3):
        step = np.zeros(3, complex)
        step[i] = 1e-6
        dx = (value(Z + step) - value(Z - step)) / 2e-6
        dy = (value(Z + 1j * step) - value(Z - 1j * step)) / 2e-6
        np.testing.assert_allclose(g[i], dx - 1j * dy, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_gradient_is_jaxs(name):
    jax = pytest.importorskip("jax", reason="the independent truth here is JAX")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    theirs = {
        "abs": lambda z: jnp.sum(jnp.abs(z) ** 3),
        "real": lambda z: jnp.sum(jnp.real(z) * jnp.imag(z)),
        "conj": lambda z: jnp.sum(jnp.real(z * jnp.conj(z) * z)),
        "exp": lambda z: jnp.sum(jnp.imag(jnp.exp(z) * jnp.sin(z))),
        "log": lambda z: jnp.sum(jnp.real(jnp.log(z) * jnp.sqrt(z) / (1 + z * z))),
        "fft": lambda z: jnp.sum(jnp.abs(jnp.fft.fft(z, 4)) ** 2 * jnp.arange(4.0)),
    }
    if name not in theirs:
        pytest.skip("compared by the definition alone")
    np.testing.assert_allclose(ad.grad(FUNCTIONS[name])(Z), np.asarray(jax.grad(theirs[name])(Z)), rtol=1e-10)


def test_holomorphic_functions_have_their_complex_derivative():
    f = lambda z: np.exp(z) * z**2
    z = 0.3 + 0.8j
    np.testing.assert_allclose(ad.grad(f, holomorphic=True)(z), np.exp(z) * (z**2 + 2 * z), rtol=1e-13)
    with pytest.raises(DTypeError, match="holomorphic=True"):
        ad.grad(f)(z)
    with pytest.raises(DTypeError, match="must be complex"):
        ad.grad(f, holomorphic=True)(1.0)


def test_complex_intermediates_of_real_functions():
    x = np.array([0.3, -1.2, 0.8, 2.0])
    f = lambda t: np.sum(np.abs(np.fft.rfft(t) * np.array([1.0, 1j, 2 - 1j])) ** 2)
    g = ad.grad(f)(x)
    assert g.dtype == np.float64
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-6
        np.testing.assert_allclose(g[i], (float(f(x + step)) - float(f(x - step))) / 2e-6, rtol=1e-7)


def test_eigenvalues_of_a_rotation():
    # The eigenvalues of [[a, -b], [b, a]] are a +- ib.
    f = lambda t: np.sum(np.abs(np.imag(np.linalg.eigvals(np.stack([np.stack([t[0], -t[1]]), np.stack([t[1], t[0]])])))))
    np.testing.assert_allclose(ad.grad(f)(np.array([0.5, 2.0])), [0.0, 2.0], atol=1e-12)


def test_a_result_that_depends_on_the_phase_of_eigenvectors_is_refused():
    f = lambda a: np.sum(np.real(np.linalg.eig(a)[1] * (1 + 2j)))
    with pytest.raises(NotDifferentiableError, match="phase"):
        ad.grad(f)(np.array([[0.0, -1.0, 0.3], [1.0, 0.2, 0.0], [0.1, 0.5, 3.0]]))
