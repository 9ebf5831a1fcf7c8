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


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("orders", [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)], ids=str)
@pytest.mark.parametrize("name", sorted(truths.TRUTHS_OF_TWO))
def test_partial_derivatives_over_the_range(name, orders, dtype):
    op = registry[name]
    x, y = truths.pairs(name, dtype)
    inputs = [ad.tensor(x, requires_grad=True), ad.tensor(y, requires_grad=True)]
    found, worst = op.function(*inputs), []
    for t in [inputs[0]] * orders[0] + [inputs[1]] * orders[1]:
        if found is not None and found._node is not None:
            found = ad.gradients(found, t, np.ones(t.shape, t.dtype), create_graph=True, allow_unused=True)
        else:
            found = None
    values = np.zeros_like(x) if found is None else np.broadcast_to(found.data, x.shape)
    allowed = op.ulps[sum(orders) - 1]
    for a, b, value in zip(x, y, values, strict=True):
        off = truths.ulps(value, truths.partial_derivative(name, orders, a, b))
        if off > allowed:
            worst.append((float(a), float(b), float(value), off))
    assert not worst, f"{name} beyond its bound {allowed}: {sorted(worst, key=lambda w: -w[-1])[:4]}"


@pytest.mark.parametrize("name", truths.statable())
def test_rules_are_proved_symbolically(name):
    assert truths.certificate(name) is not False


def test_most_elementary_rules_can_be_proved():
    found = {name: truths.certificate(name) for name in truths.statable()}
    assert sum(kind == "symbolic" for kind in found.values()) >= 26, found


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
