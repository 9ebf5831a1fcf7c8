"""First, second and third derivatives over all binades of both dtypes, against mpmath; rules proved by SymPy."""

import numpy as np
import pytest

import autodiff as ad
import nn.functional  # noqa: F401  (registers the networks' operations)
from autodiff.core.op import registry

pytest.importorskip("mpmath", reason="the truth is computed with many digits")
pytest.importorskip("sympy", reason="the truth is a symbolic derivative")
pytest.importorskip("scipy", reason="half of the functions are SciPy's")
import autodiff.special
from autodiff.testing import truths

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def differentiated(f):
    def slope(t):
        out = f(t)
        if out is None or out._node is None:
            return None
        return ad.gradients(out, t, np.ones(t.shape, t.dtype), create_graph=True, allow_unused=True)

    return slope


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", truths.statable())
def test_derivatives_over_the_whole_range(name, dtype):
    op = registry[name]
    x = truths.points(name, dtype)
    f, worst = op.function, []
    for order, allowed in enumerate(op.ulps, 1):
        f = differentiated(f)
        t = ad.tensor(x, requires_grad=True)
        found = f(t)
        values = np.zeros_like(x) if found is None else found.data
        assert values.dtype == dtype
        for point, value in zip(x, values, strict=True):
            off = truths.ulps(value, truths.derivative(name, order, point))
            if off > allowed:
                worst.append((order, point, value, off))
    assert not worst, f"{name} beyond its bounds {op.ulps}: {worst[:4]}"


@pytest.mark.parametrize("name", truths.statable())
def test_rules_are_proved_symbolically(name):
    assert truths.certificate(name) is not False


def test_most_elementary_rules_can_be_proved():
    proved = [name for name in truths.statable() if truths.certificate(name)]
    assert len(proved) >= 25, proved


def test_the_certificate_notices_a_wrong_rule(monkeypatch):
    op = registry["tanh"]
    monkeypatch.setattr(op, "rules", (lambda g, out, x: g * (1 - out),))
    assert truths.certificate("tanh") is False


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "arcsinh", "i0", "sinc", "log_ndtr"])
def test_huge_arguments_give_no_nan(name):
    x = np.array([1e300, -1e300, 1e155, -1e20, 5e-324])
    f = registry[name].function
    for _ in range(2):
        f = differentiated(f)
        found = f(ad.tensor(x, requires_grad=True)).data
        assert not np.isnan(found[2:] if name == "i0" else found).any()


def test_one_over_gamma_is_right_at_its_zeros():
    """At 0, -1, -2 digamma has poles, which cancel: the function is entire."""
    mpmath = pytest.importorskip("mpmath")
    x = np.array([0.0, -1.0, -2.0, 1e-20, -1e-9, 1e-3, 0.1, 0.3, 0.5, 0.9, 1.0, 3.0, 30.0, 100.0, -0.3, -1.2, -5.5])
    op = registry["rgamma"]
    f = op.function
    for order, allowed in enumerate(op.ulps, 1):
        f = differentiated(f)
        found = f(ad.tensor(x, requires_grad=True)).data
        with mpmath.workdps(80):
            truths_ = [mpmath.diff(mpmath.rgamma, mpmath.mpf(float(p)), order) for p in x]
            off = [truths.ulps(value, truth) for value, truth in zip(found, truths_, strict=True)]
        assert max(off) <= allowed, (order, off)
