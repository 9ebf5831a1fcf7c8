"""docs/complex.md: the convention, against the definition and against JAX where it is installed."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import DTypeError, NotDifferentiableError

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
    f = lambda t: np.sum(
        np.abs(np.imag(np.linalg.eigvals(np.stack([np.stack([t[0], -t[1]]), np.stack([t[1], t[0]])]))))
    )
    np.testing.assert_allclose(ad.grad(f)(np.array([0.5, 2.0])), [0.0, 2.0], atol=1e-12)


def test_a_result_that_depends_on_the_phase_of_eigenvectors_is_refused():
    f = lambda a: np.sum(np.real(np.linalg.eig(a)[1] * (1 + 2j)))
    with pytest.raises(NotDifferentiableError, match="phase"):
        ad.grad(f)(np.array([[0.0, -1.0, 0.3], [1.0, 0.2, 0.0], [0.1, 0.5, 3.0]]))


rng = np.random.default_rng(4)
RE, IM, WEIGHTS, RIGHT = (
    rng.normal(size=(2, 2)),
    rng.normal(size=(2, 2)),
    rng.normal(size=(2, 2)),
    rng.normal(size=(2, 2)) * (1 - 2j),
)


def hermitian(a):
    return a + np.conj(np.swapaxes(a, -1, -2))


def positive(a):
    return a @ np.conj(np.swapaxes(a, -1, -2)) + np.eye(a.shape[-1])


def of_eigenvectors(a):
    w, v = np.linalg.eigh(hermitian(a))
    return np.sum(WEIGHTS * np.abs((v * w**2) @ np.conj(v.T)) ** 2) + np.sum(WEIGHTS * np.abs(v) ** 3)


def of_qr(a):
    q, r = np.linalg.qr(a)
    return (
        np.sum(np.abs(q) ** 3)
        + np.sum(WEIGHTS * np.imag(q))
        + np.sum(WEIGHTS * np.real(r) ** 3)
        + np.sum(WEIGHTS * np.imag(r))
    )


# Each is real, of a complex matrix. JAX's answers agreed with the numerical reference used here to 1e-13 when this
# table was written.
MATRICES = {
    "inv": lambda a: np.sum(WEIGHTS * np.abs(np.linalg.inv(a)) ** 2),
    "det": lambda a: np.abs(np.linalg.det(a)) ** 3 + np.real(np.linalg.det(a)),
    "solve": lambda a: np.sum(np.abs(np.linalg.solve(a, RIGHT)) ** 3),
    "cholesky": lambda a: np.sum(
        WEIGHTS * np.abs(np.linalg.cholesky(positive(a))) ** 3 + WEIGHTS * np.imag(np.linalg.cholesky(positive(a)))
    ),
    "eigh": of_eigenvectors,
    "eigvalsh": lambda a: np.sum(np.linalg.eigvalsh(hermitian(a)) ** 3),
    "qr": of_qr,
    "pinv": lambda a: np.sum(np.abs(np.linalg.pinv(a[:, :1])) ** 3),
    "slogdet": lambda a: np.linalg.slogdet(a)[1] + np.real(np.linalg.slogdet(a)[0]),
    "norm": lambda a: np.linalg.norm(a) ** 3 + np.sum(np.linalg.norm(a, axis=0)),
    "singular values": lambda a: np.linalg.norm(a, "nuc") + np.linalg.norm(a, 2) + np.linalg.cond(a),
    "lstsq": lambda a: np.sum(np.abs(np.linalg.lstsq(a[:, :1], RIGHT)[0]) ** 3),
    "matrix_power": lambda a: np.sum(np.abs(np.linalg.matrix_power(a, -3)) ** 2),
    "eigvals": lambda a: np.sum(np.abs(np.linalg.eigvals(a)) ** 3),
    "cov": lambda a: np.sum(np.abs(np.cov(a)) ** 3) + np.sum(WEIGHTS * np.abs(np.corrcoef(a)) ** 3),
    "var": lambda a: (
        np.var(a) + np.sum(np.std(a, axis=0)) + np.sum(np.var(a, axis=0, where=[[True, True], [True, False]]))
    ),
    "products": lambda a: np.abs(np.prod(a)) + np.sum(np.abs(np.cumprod(a)) ** 2) + np.abs(np.vdot(a, a * a + 1)),
    "convolve": lambda a: (
        np.sum(np.abs(np.convolve(a[0], a[1])) ** 3) + np.sum(np.abs(np.correlate(a[0], a[1], "full")) ** 3)
    ),
    "powers": lambda a: np.sum(np.abs(a**2.5) ** 2) + np.sum(np.real(a**a)),
    "logarithms": lambda a: np.sum(np.real(np.log(a)) * WEIGHTS + np.imag(np.sqrt(a)) + np.imag(np.tanh(a))),
    "inverse functions": lambda a: np.sum(np.real(np.arctan(a)) + np.real(np.arcsin(a)) + np.imag(np.arcsinh(a))),
    "fft": lambda a: np.sum(np.abs(np.fft.fft2(a)) ** 3),
    "sinc": lambda a: np.sum(np.abs(np.sinc(a)) ** 2),
    "einsum": lambda a: np.sum(np.abs(np.einsum("ij,jk,kl->il", a, a, np.conj(a))) ** 2),
    "expm": lambda a: np.sum(np.abs(ad.linalg.expm(a)) ** 3),
    "sqrtm": lambda a: np.sum(np.abs(ad.linalg.sqrtm(positive(a))) ** 3),
    "solve_triangular": lambda a: np.sum(np.abs(ad.linalg.solve_triangular(a, RIGHT, trans="C")) ** 2),
}


@pytest.mark.parametrize("name", MATRICES)
def test_functions_of_complex_matrices(name):
    from autodiff.testing import check_gradients

    if name in ("expm", "sqrtm"):
        pytest.importorskip("scipy", reason=f"{name} is SciPy's")
    f = MATRICES[name]
    check_gradients(lambda x, y: f(x + 1j * y), RE, IM, order=2, name=name)


def test_phases_are_refused():
    for f in (lambda a: np.real(np.linalg.eigh(hermitian(a))[1]).sum(), lambda a: np.imag(np.linalg.svd(a)[0]).sum()):
        with pytest.raises(NotDifferentiableError, match="phase"):
            ad.grad(f)(RE + 1j * IM)


@pytest.mark.parametrize("real", [1.5, -1.5, 40.0, 0.5])
@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("f", [np.arcsin, np.arccos, np.arctanh, np.arccosh, np.arcsinh, np.sqrt, np.log, np.log1p])
def test_on_a_cut_the_derivative_is_that_of_the_side_which_the_sign_of_zero_names(f, real, zero):
    z = complex(zero, real) if f is np.arcsinh else complex(real, zero)
    turn = 1j if f is np.arcsinh else 1.0

    def along(h):
        return f(complex(zero, real + h) if f is np.arcsinh else complex(real + h, zero))

    first, second = ad.grad(f, holomorphic=True), ad.grad(ad.grad(f, holomorphic=True), holomorphic=True)
    np.testing.assert_allclose(first(z), (along(1e-5) - along(-1e-5)) / (2e-5 * turn), rtol=1e-8)
    np.testing.assert_allclose(ad.jvp(f, (z,), (1 + 0j,))[1], first(z), rtol=1e-14)
    np.testing.assert_allclose(second(z), (along(1e-3) - 2 * f(z) + along(-1e-3)) / (1e-3 * turn) ** 2, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
def test_the_phase_of_a_subnormal_number(dtype):
    z = np.array([3 - 4j, -1j, 1, 0], dtype) * np.finfo(dtype).smallest_subnormal
    right = np.array([0.6 + 0.8j, 1j, 1, 0])
    np.testing.assert_allclose(ad.grad(lambda z: np.sum(np.abs(z)))(z), right, rtol=1e-6)
    np.testing.assert_allclose(ad.vmap(ad.grad(np.abs))(z), right, rtol=1e-6)


@pytest.mark.parametrize("name", ["arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "sqrt", "log", "tanh"])
def test_a_compiled_gradient_of_complex_numbers_is_the_plain_one(name):
    slope = ad.grad(lambda z: np.sum(np.abs(getattr(np, name)(z))))
    z = np.array([0.3 + 1j, -2 - 1j])
    np.testing.assert_array_equal(ad.jit(slope)(z), slope(z))
