"""A number or a plain array read out of a tensor that requires a gradient is warned of or refused, never silent."""

import copy
import math
import warnings

import numpy as np
import pytest

import autodiff as ad
import nn.functional as F
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.testing import RandomDraw

NUMBERS = {
    "math.sin": lambda x: math.sin(x * 1.0) * x,
    "float": lambda x: float(x) * x,
    "complex": lambda x: np.real(complex(x) * x),
    "math.pow": lambda x: x ** math.pow(x, 2.0),
    "np.float64": lambda x: np.float64(x) * x,
    "math.fsum": lambda x: math.fsum([x, x]) * x,
    "a factor of a list": lambda x: x * sum(float(e) for e in [x, 2 * x]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_read_out_is_warned_of_or_refused(name):
    x = ad.tensor(1.3, requires_grad=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            NUMBERS[name](x)
        except (ad.AutodiffError, TypeError):
            return
    assert [w.category for w in said][:1] == [ad.CutWarning]
    assert said[0].filename == __file__
    assert "np.sin(t)" in str(said[0].message)
    with pytest.raises((ad.AutodiffError, TypeError)):
        ad.grad(NUMBERS[name])(1.3)


def test_scipy_integrals_are_warned_of_with_the_users_line():
    quad = pytest.importorskip("scipy.integrate").quad
    a = ad.tensor(1.0, requires_grad=True)
    with pytest.warns(ad.CutWarning) as said:
        a * quad(lambda s: np.exp(-a * s), 0, 1)[0]
    assert {w.filename for w in said} == {__file__}


def test_each_line_is_warned_of_once():
    x = ad.tensor(1.0, requires_grad=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for _ in range(5):
            float(x * 2)
    assert len(said) == 1


def test_logging_is_silent():
    x = ad.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        loss = np.sum(x * x)
        assert loss.item() == 5.0
        assert f"{loss:.1f} {loss} {x!r}"
        assert int(loss) == 5
        assert bool(loss)
        assert x.tolist() == [1.0, 2.0]
        loss.backward()
        assert f"{float(loss)}" == "5.0"
        assert math.sqrt(loss) == math.sqrt(5.0)
    with ad.no_grad():
        assert float(x[0]) == 1.0
        assert float(loss) == 5.0
    assert float(x.detach()[0]) == 1.0


def test_who_asks_for_an_array_is_told_what_to_use():
    x = ad.tensor([1.0, 2.0], requires_grad=True)
    asked = {
        "autodiff.random": lambda: np.random.default_rng(0).permutation(x),
        "autodiff.stack": lambda: np.asarray(x),
        "autodiff.tensor(array)": lambda: _store(np.zeros(2), x),
        "DLPack": lambda: np.from_dlpack(x),
    }
    for words, call in asked.items():
        with pytest.raises(ad.GraphError, match=words.replace("(", r"\(").replace(")", r"\)")):
            call()


def _store(array, x):
    array[:] = x


def test_pictures_and_tables_advise():
    x = ad.tensor([1.0, 2.0], requires_grad=True)
    for package, calls in {
        "matplotlib": [
            lambda m: m.figure.Figure().subplots().plot(x * 1),
            lambda m: m.figure.Figure().subplots().hist(x),
        ],
        "pandas": [lambda m: m.DataFrame(x), lambda m: m.Series(x)],
    }.items():
        module = pytest.importorskip(package)
        if package == "matplotlib":
            pytest.importorskip("matplotlib.figure")
        for call in calls:
            with pytest.raises(ad.GraphError, match=r"t\.data"):
                call(module)
            call_untracked = x.requires_grad_(False)
            call(module)
            call_untracked.requires_grad_(True)


def test_dlpack_hands_out_constants():
    t = ad.tensor([[1.0, 2.0]])
    np.testing.assert_array_equal(np.from_dlpack(t), [[1.0, 2.0]])
    torch = pytest.importorskip("torch")
    assert torch.from_dlpack(t).tolist() == [[1.0, 2.0]]
    assert ad.from_dlpack(torch.ones(2)).tolist() == [1.0, 1.0]
    with pytest.raises(ad.GraphError, match="detach"):
        torch.from_dlpack(ad.tensor([1.0], requires_grad=True))


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_a_copy_inside_a_transform_is_differentiable(copier):
    def f(x):
        y = copier(x)
        y[0] = 3.0 * x[1]
        return np.sum(y * x)

    right = [6.0, 7.0]  # of 3 x1 x0 + x1 x1
    for transform in (ad.grad, ad.jacfwd, ad.jacrev):
        np.testing.assert_array_equal(transform(f)(np.array([1.0, 2.0])), right)


def test_a_shallow_copy_of_a_computed_tensor_is_differentiable():
    x = ad.tensor([1.0, 2.0], requires_grad=True)
    np.sum(copy.copy(x * 3)).backward()
    np.testing.assert_array_equal(x.grad, [3.0, 3.0])


# Of an operation whose options are all discrete (an axis, a shape, a mode) there is no derivative to lose.
NUMERIC = [
    (name, p.name)
    for name in sorted(ad._AT_IMPORT)
    for p in registry[name].parameters
    if p.name not in registry[name].inputs and isinstance(p.default, float)
]


@pytest.mark.parametrize(("name", "option"), NUMERIC)
def test_an_option_that_asks_for_a_gradient_is_refused(name, option):
    op = registry[name]
    args, kwargs = sample_call(op, RandomDraw(np.random.default_rng(3)))
    number = float(kwargs.get(option, next(p.default for p in op.parameters if p.name == option)))

    def call(value):
        out = op.function(*args, **{**kwargs, option: value})
        return [part.data for part in (out if isinstance(out, tuple) else (out,))]

    with pytest.raises(ad.NotDifferentiableError, match=f"argument '{option}'"):
        ad.jvp(call, (number,), (1.0,))
    for run in (call, ad.composed()(call), ad.plain()(call), ad.compile(call)):
        for _ in range(3):
            expected = run(number)
        with pytest.raises(ad.NotDifferentiableError, match=f"argument '{option}'"):
            run(ad.tensor(number, requires_grad=True))
        for value in (ad.tensor(number), ad.constant(ad.tensor(number, requires_grad=True))):
            np.testing.assert_array_equal(run(value), expected)
        with ad.no_grad():
            np.testing.assert_array_equal(run(ad.tensor(number, requires_grad=True)), expected)
    lanes = ad.vmap(lambda value: op.function(*args, **{**kwargs, option: value}))(np.full(2, number))
    np.testing.assert_allclose((lanes[0] if isinstance(lanes, tuple) else lanes)[1], expected[0], rtol=1e-12)


def test_options_with_a_derivative_are_found():
    assert {("layer_norm", "eps"), ("softplus", "threshold"), ("dropout", "p")} <= set(NUMERIC)


@pytest.mark.parametrize("function", [F.dropout, F.dropout2d, F.alpha_dropout])
def test_a_probability_that_asks_for_a_gradient_is_refused(function):
    x = np.ones((2, 3, 4, 4))
    with pytest.raises(ad.NotDifferentiableError, match="argument 'p'"):
        ad.grad(lambda p: np.sum(function(x, p)))(0.3)
    with pytest.raises(ad.NotDifferentiableError, match="argument 'dropout_p'"):
        ad.grad(lambda p: np.sum(F.scaled_dot_product_attention(x, x, x, dropout_p=p)))(0.3)
    assert function(x, ad.tensor(0.5)).shape == x.shape


@pytest.mark.parametrize(("name", "option"), [("hardshrink", "lambd"), ("threshold", "threshold")])
def test_thresholds_have_no_gradient(name, option):
    rest = {"value": 0.0} if name == "threshold" else {}
    for given in (ad.tensor(0.5, requires_grad=True), ad.tensor(0.25, requires_grad=True) * 2):
        with pytest.raises(ad.NotDifferentiableError, match=f"{name} has no gradient .*{option}"):
            getattr(F, name)(np.ones(3), **{option: given}, **rest)


@pytest.mark.parametrize("write", ["item", "mask", "put", "fill", "copyto", "at", "view"])
def test_what_requires_a_gradient_is_not_lost_among_whole_numbers(write):
    t, x = ad.tensor(np.array([1, 2, 3])), ad.tensor(2.7, requires_grad=True)
    writes = {
        "item": lambda v: t.__setitem__(0, v),
        "mask": lambda v: t.__setitem__(np.array([True, False, True]), v),
        "put": lambda v: np.put(t, 0, v),
        "fill": lambda v: t.fill(v),
        "copyto": lambda v: np.copyto(t, v, casting="unsafe"),
        "at": lambda v: t.at[0].set(v),
        "view": lambda v: t[:2].__setitem__(0, v),
    }
    with pytest.raises(ad.NotDifferentiableError, match="detach"):
        writes[write](x)
    assert t.tolist() == [1, 2, 3]
    result = writes[write](x.detach())
    assert (t if result is None else result).tolist()[0] == 2  # as NumPy's
