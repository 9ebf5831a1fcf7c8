"""Strategies draw what they promise; random expression graphs have right gradients; other libraries' gradients can be
checked.
"""

import types

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.core.errors import ArgumentError, GradientMismatch
from autodiff.testing import bounded, check_autograd, check_gradients, check_jax, check_pair, check_torch, strategies


@settings(max_examples=15)
@given(strategies.expressions())
def test_random_expression_graphs(case):
    f, point = case
    check_gradients(f, *point, name=f.__doc__)


@given(strategies.arrays(low=-1.0, high=1.0, avoid=(0.0,)))
def test_arrays_keep_away_from_kinks(a):
    assert (np.abs(a) > 0.02).all()
    assert (np.abs(a) < 1).all()


def shrunk(strategy, fails):
    """What a failure of this kind is reduced to."""
    return find(strategy, fails, settings=settings(max_examples=100, database=None, deadline=None))


def test_failures_shrink_to_a_few_small_whole_numbers():
    found = shrunk(strategies.arrays(), lambda a: a.size >= 2 and (a > 0).any())
    assert found.shape in ((2,), (1, 2), (2, 1))
    assert set(found.reshape(-1)) <= {1.0, -1.0}
    # A call of an operation: a rule that is wrong from the third entry on needs three entries, and no more.
    args, _ = shrunk(strategies.calls("tanh"), lambda call: call[0][0].size >= 3)
    assert args[0].size == 3


def test_a_wrong_rule_shrinks_to_one_entry_of_a_short_program():
    def wrong(case):
        f, point = case
        bent = lambda *leaves: f(*leaves) + 0.001 * np.sum(leaves[0].data)
        return check_gradients(bent, *point, order=1, raises=False).verdict == "fail"

    f, point = shrunk(strategies.expressions(), wrong)
    assert [p.shape for p in point] == [(1,), (1,)]
    assert all(p[0] == 1.0 for p in point)
    assert f.__doc__ == "v2 = +(v0, v0)"


@settings(max_examples=12)
@given(strategies.einsums())
def test_einsum_subscripts_have_right_gradients(call):
    subscripts, operands = call
    np.einsum(subscripts, *operands)
    check_gradients(lambda *arrays: np.einsum(subscripts, *arrays), *operands, name=subscripts)


@settings(max_examples=12)
@given(strategies.convolutions(ndim=2))
def test_convolution_geometry_fits_pytorchs_functions(call):
    from nn import functional as F

    (x, weight, bias), options = call
    out = F.conv2d(ad.tensor(x), ad.tensor(weight), None if bias is None else ad.tensor(bias), **options)
    assert min(out.shape) > 0


@given(
    strategies.broadcastable_shapes(signature=np.vecdot),
    strategies.broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)"),
)
def test_shapes_fit_a_ufunc_and_optional_dimensions(pair, flexible):
    np.vecdot(*(np.ones(s) for s in pair))
    np.matmul(*(np.ones(s) for s in flexible))


def test_a_signature_that_is_none_is_named():
    with pytest.raises(ArgumentError, match="no gufunc signature"):
        shrunk(strategies.broadcastable_shapes(signature="nk,km->nm"), bool)
    with pytest.raises(ArgumentError, match="elementwise ufunc"):
        shrunk(strategies.broadcastable_shapes(signature=np.add), bool)


@given(strategies.broadcastable_shapes(signature="(n,k),(k,m)->(n,m)"))
def test_shapes_fit_a_signature(shapes):
    np.matmul(*(np.ones(s) for s in shapes))


@given(strategies.shapes(min_ndim=1).flatmap(lambda s: st.tuples(st.just(s), strategies.indices(shape=s))))
def test_indices_select(case):
    shape, index = case
    x = ad.tensor(np.ones(shape), requires_grad=True)
    x[index].sum().backward()
    assert x.grad.sum() == np.ones(shape)[index].size


@settings(max_examples=10)
@given(strategies.ill_conditioned(largest=30.0))
def test_badly_conditioned_solves_still_check(a):
    # LAPACK has no longdouble, so the reference itself loses digits with the condition number.
    check_gradients(lambda x: np.linalg.solve(x, np.ones(3)), a, order=1)


@given(strategies.tensors(), strategies.calls("hypot"), strategies.axes(ndim=3))
def test_the_rest_draws(t, call, axes):
    assert t.requires_grad
    assert len(call[0]) == 2
    np.sum(np.ones((1, 2, 3)), axis=axes)


def affine(x, w, b):
    return x @ w + b, (x, w)


def test_a_course_assignment_is_told_which_gradient_is_wrong():
    inputs = [np.ones((2, 3)) * 0.5, np.arange(12.0).reshape(3, 4), np.zeros(4)]
    right = lambda dout, cache: (dout @ cache[1].T, cache[0].T @ dout, dout.sum(0))
    assert check_pair(affine, right, inputs).verdict == "pass"
    wrong = lambda dout, cache: (dout @ cache[1].T, cache[0].T @ dout, dout.mean(0))
    with pytest.raises(GradientMismatch, match="fail: order 1, argument 2 at index"):
        check_pair(affine, wrong, inputs)
    short = lambda dout, cache: (dout @ cache[1].T,)
    with pytest.raises(ArgumentError, match="1 gradients for 3 inputs"):
        check_pair(affine, short, inputs)
    misshapen = lambda dout, cache: (dout @ cache[1].T, (cache[0].T @ dout).T, dout.sum(0))
    with pytest.raises(GradientMismatch, match="argument 1"):
        check_pair(affine, misshapen, inputs)


def test_pytorchs_gradients_can_be_checked():
    torch = pytest.importorskip("torch", reason="the gradient under test is PyTorch's")
    x = np.array([0.3, -1.2])
    assert check_torch(lambda t: torch.sin(t) * t, x).verdict == "pass"

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, t):
            ctx.save_for_backward(t)
            return t * t

        @staticmethod
        def backward(ctx, g):
            return 2.001 * g * ctx.saved_tensors[0]

    with pytest.raises(GradientMismatch):
        check_torch(Wrong.apply, x)


def test_jaxs_gradients_can_be_checked():
    jax = pytest.importorskip("jax", reason="the gradient under test is JAX's")
    jax.config.update("jax_enable_x64", True)
    assert check_jax(lambda t: jax.numpy.sin(t) * t, np.array([0.3, -1.2])).verdict == "pass"


def test_autograds_gradients_can_be_checked():
    pytest.importorskip("autograd", reason="the gradient under test is autograd's")
    import autograd.numpy as anp

    assert check_autograd(lambda x, y: anp.sin(x) @ y, np.array([0.3, -1.2]), np.ones(2)).verdict == "pass"


def test_a_failing_check_shrinks_in_the_time_of_passing_ones(monkeypatch):
    seconds_spent = [0.0]
    monkeypatch.setattr("autodiff.testing.draw.time", types.SimpleNamespace(perf_counter=lambda: seconds_spent[0]))

    def seconds(factor):
        asked = []

        @bounded
        @settings(max_examples=40, database=None, deadline=None)
        @given(strategies.arrays())
        def holds(x):
            asked.append(x)
            seconds_spent[0] += 0.01
            assert not np.any(np.abs(x) > 0.6) or factor == 1.0

        start = seconds_spent[0]
        if factor == 1.0:
            holds()
        else:
            with pytest.raises(AssertionError):
                holds()
        return seconds_spent[0] - start, asked

    passing, _ = seconds(1.0)
    failing, asked = seconds(2.0)
    assert failing < 2 * passing
    # What fails was shrunk meanwhile: the last is the example that is reported.
    first = next(x for x in asked if np.any(np.abs(x) > 0.6))
    assert len(asked) > 1
    assert asked[-1].size <= first.size
    assert np.any(np.abs(asked[-1]) > 0.6)


def test_strategies_begin_with_what_breaks_gradients():
    seen = {"tie": 0, "one": 0, "empty": 0, "scales": 0}

    @settings(max_examples=60, database=None, derandomize=True)
    @given(strategies.arrays(empty=True))
    def count(a):
        size = np.abs(a[a != 0])
        seen["tie"] += a.size > 1 and len(np.unique(a)) < a.size
        seen["one"] += a.ndim > 0 and a.shape == (1,) * a.ndim
        seen["empty"] += a.size == 0
        seen["scales"] += size.size > 1 and size.max() > 1e3 * size.min()

    count()
    assert min(seen.values()) >= 3, seen


@pytest.mark.parametrize(("name", "edge"), [("log_ndtr", -1.0), ("erfcx", 0.71), ("dawsn", 1.2)])
def test_calls_stand_on_the_edges_that_an_operation_states(name, edge):
    pytest.importorskip("scipy")
    # Of four edges one is drawn: twenty examples, as by default, need not come upon it.
    enough = settings(max_examples=500, database=None)
    args, _ = find(strategies.calls(name), lambda call: np.any(call[0][0] == edge), settings=enough)
    assert check_gradients(getattr(ad.special, name), *args, order=2).verdict == "pass"


def test_repeated_indices_come_early():
    from autodiff.testing import NastyDraw

    @settings(max_examples=20, database=None, derandomize=True)
    @given(st.data())
    def overwrites(data):
        at = NastyDraw(data.draw).integers((4,), 0, 9)
        dx = np.zeros(10)
        dx[at] = 1.0
        assert dx.sum() == 4

    with pytest.raises(AssertionError):
        overwrites()
