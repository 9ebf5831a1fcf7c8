"""JAX's intended constants, wherever they stand."""

import numpy as np
import pytest

from autodiff.testing import check_jax

jax = pytest.importorskip("jax")
lax, stop = jax.lax, jax.lax.stop_gradient


@pytest.fixture(autouse=True)
def wide():
    """64 bits for one test."""
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        yield


PROGRAMS = {
    "scan": lambda x: lax.scan(lambda c, a: (stop(c) * a, c + a), 0.3, x),
    "scan, reversed": lambda x: lax.scan(lambda c, a: (stop(c) * a, c + a), 0.3, x, reverse=True)[1],
    "cond": lambda x: lax.cond(x[0] > -9, lambda x: x * stop(x), lambda x: x, x),
    "fori_loop": lambda x: lax.fori_loop(0, 3, lambda i, c: c + stop(c) * x, x),
    "checkpoint": jax.checkpoint(lambda x: jax.numpy.sin(x) * stop(x)),
    "jit": jax.jit(lambda x: x + stop(jax.numpy.round(x) - x)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_stopped_is_held_in_calls_branches_and_loops(name):
    report = check_jax(PROGRAMS[name], np.array([0.3, -0.7, 1.2]), raises=False)
    assert report.verdict == "pass"
    assert any("held constant" in note for note in report.notes)


def test_a_loop_that_runs_until_a_value_is_reached_holds_what_is_stopped():
    # While loops have no reverse mode in JAX, but for a rule of their own.
    @jax.custom_jvp
    def power(x):
        return lax.while_loop(lambda c: c[1] < 3, lambda c: (c[0] * x, c[1] + 1), (x, 0))[0]

    power.defjvp(lambda xs, ts: (power(*xs), 4 * xs[0] ** 3 * ts[0]))
    assert check_jax(lambda x: power(x) * stop(x), np.array([0.3, 1.2])).verdict == "pass"


def test_the_gradient_in_the_outputs_gradient_is_compared():
    @jax.custom_vjp
    def exp(x):
        return jax.numpy.exp(x)

    exp.defvjp(lambda x: (exp(x), x), lambda x, g: (stop(g) * jax.numpy.exp(x),))
    assert check_jax(exp, np.array([0.3, -1.2]), order=1).verdict == "pass"
    assert check_jax(exp, np.array([0.3, -1.2]), raises=False).verdict == "fail"
