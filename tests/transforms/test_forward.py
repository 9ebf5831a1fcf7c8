"""Forward mode, nestings of both modes, vmap, and rules of the user's own."""

import gc
from functools import partial

import numpy as np
import pytest

import autodiff as ad
from autodiff import implicit
from autodiff.core.errors import (
    ArgumentError,
    AutodiffError,
    DTypeError,
    GraphError,
    NotDifferentiableError,
    ShapeError,
)
from autodiff.extend import Primitive

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

# Points where a derivative is infinite or has a kink: forward and reverse mode must say the same there.
BOUNDARY = {
    "sqrt": (np.sqrt, 0.0),
    "power": (lambda x: x**0.5, 0.0),
    "cbrt": (np.cbrt, 0.0),
    "log": (np.log, 0.0),
    "log2": (np.log2, 0.0),
    "log1p": (np.log1p, -1.0),
    "arcsin": (np.arcsin, 1.0),
    "arccos": (np.arccos, -1.0),
    "arccosh": (np.arccosh, 1.0),
    "arctanh": (np.arctanh, 1.0),
    "reciprocal": (np.reciprocal, 0.0),
    "abs": (np.abs, 0.0),
    "maximum": (lambda x: np.maximum(x, 1.0), 1.0),
    "minimum": (lambda x: np.minimum(1.0, x), 1.0),
    "clip": (lambda x: np.clip(x, 0.0, 1.0), 1.0),
    "norm": (lambda x: np.linalg.norm(np.stack([x, x])), 0.0),
    "std": (lambda x: np.std(np.stack([x, x])), 2.0),
    "max": (lambda x: np.max(np.stack([x, 2 * x, 2 * x])), 1.0),
    "prod": (lambda x: np.prod(np.stack([x, x, 1 + x])), 0.0),
    "hypot": (lambda x: np.hypot(x, x), 0.0),
    "sinc": (np.sinc, 0.0),
    "logaddexp": (lambda x: np.logaddexp(x, 2 * x), -np.inf),
}


@pytest.mark.parametrize("name", BOUNDARY)
def test_forward_and_reverse_agree_at_boundary_points(name):
    f, x = BOUNDARY[name]
    np.testing.assert_array_equal(ad.jvp(f, (x,), (1.0,))[1], ad.grad(f)(x))
    np.testing.assert_array_equal(ad.jacfwd(f)(x), ad.grad(f)(x))


def test_a_direction_scales_an_infinite_derivative():
    assert ad.jvp(np.log, (0.0,), (-2.0,))[1] == -np.inf
    assert ad.jvp(np.sqrt, (np.zeros(2),), (np.array([0.0, 1.0]),))[1].tolist() == [0.0, np.inf]
    assert ad.hvp(lambda x: x**1.5, (0.0,), (1.0,))[0] == np.inf


def test_values_of_eigenvectors_that_are_undefined_are_refused():
    weight = np.array([[1.0, 2.0], [3.0, 5.0]])
    turn = np.array([[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(NotDifferentiableError, match="two values are equal"):
        ad.jvp(lambda x: np.sum(weight * np.linalg.eigh(x)[1]), (np.eye(2),), (turn,))
    # The values alone have a derivative: their sum is the trace.
    assert ad.jvp(lambda x: np.sum(np.linalg.eigh(x)[0]), (np.eye(2),), (np.diag([1.0, 2.0]),))[1] == pytest.approx(3.0)


def test_what_depends_on_a_phase_is_refused_and_what_does_not_is_followed(rng):
    a, b = (rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3)) for _ in range(2))
    h, d = a + a.conj().T, b + b.conj().T
    vectors = lambda t: np.linalg.eigh(h + t * d)[1]
    sizes = lambda t: np.sum(np.abs(vectors(t)) ** 4 * np.arange(9.0).reshape(3, 3))
    parts = lambda t: np.sum(np.real(vectors(t)))
    expected = ad.grad(sizes)(0.3)
    assert ad.jvp(sizes, (0.3,), (1.0,))[1] == pytest.approx(expected)
    assert ad.jacfwd(sizes)(0.3) == pytest.approx(expected)
    numeric = (ad.grad(sizes)(0.3 + 1e-5) - ad.grad(sizes)(0.3 - 1e-5)) / 2e-5
    assert ad.hessian(sizes)(0.3) == pytest.approx(numeric, rel=1e-6)
    for derivative in (ad.jacfwd(parts), lambda t: ad.jvp(parts, (t,), (1.0,))):
        with pytest.raises(NotDifferentiableError, match="phase"):
            derivative(0.3)
    u_and_vh = lambda t: np.sum(np.real((lambda u, s, vh: (u * s**2) @ vh)(*np.linalg.svd(a + t * b))))
    assert ad.jvp(u_and_vh, (0.0,), (1.0,))[1] == pytest.approx(ad.grad(u_and_vh)(0.0))


def test_vectors_that_complete_a_basis_count_by_their_span(rng):
    x, d, w = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), rng.normal(size=(4, 4))
    rest = lambda t: np.linalg.qr(x + t * d, mode="complete")[0][:, 2:]
    span = lambda t: np.sum((lambda c: c @ c.T)(rest(t)) * w)
    assert ad.jvp(span, (0.0,), (1.0,))[1] == pytest.approx(ad.grad(span)(0.0))
    with pytest.raises(NotDifferentiableError, match="span"):
        ad.jvp(lambda t: np.sum(rest(t)), (0.0,), (1.0,))


def test_an_operation_that_states_no_tangent_has_one_from_its_rule(temporary):
    def rule(g, out, x):
        return 3.0 * g if np.any(g) else np.zeros_like(x)

    triple = Primitive("test_triple", lambda x: 3.0 * x, rule)
    f = lambda x: np.sum(triple(x))
    assert ad.jvp(f, (np.ones(3),), (np.array([1.0, 2.0, 3.0]),))[1] == 18.0
    assert ad.jacfwd(triple)(np.ones(2)).tolist() == [[3.0, 0.0], [0.0, 3.0]]
    assert ad.hessian(lambda x: np.sum(triple(x) ** 2))(np.ones(2)).tolist() == [[18.0, 0.0], [0.0, 18.0]]


def test_an_argument_without_a_rule_is_refused_by_name():
    from scipy import special

    with pytest.raises(NotDifferentiableError, match=r"hyp2f1.*'a'"):
        ad.jvp(lambda a: special.hyp2f1(a, 1.0, 1.0, 0.3), (2.0,), (1.0,))


def test_statements_about_tangents_are_checked(temporary):
    with pytest.raises(ArgumentError, match="linear="):
        Primitive("test_bad", lambda x: x, lambda g, out, x: g, linear="yes")
    with pytest.raises(ArgumentError, match="one per array input"):
        Primitive("test_bad", lambda x: x, lambda g, out, x: g, tangent=(None, None))


F = lambda x: np.sum(np.sin(x) * np.exp(x[0]) + np.cumprod(x)) * np.linalg.norm(x)
ALONG = lambda v, x, e: ad.jvp(lambda y: ad.jvp(F, (y,), (v,))[1], (x,), (e,))[1]
NESTINGS = {
    "forward over reverse": lambda x, v: ad.jvp(ad.grad(F), (x,), (v,))[1],
    "reverse over forward": lambda x, v: ad.grad(lambda y: ad.jvp(F, (y,), (v,))[1])(x),
    "reverse over reverse": lambda x, v: ad.grad(lambda y: np.sum(ad.grad(F)(y) * v))(x),
    "forward over forward": lambda x, v: np.stack([ALONG(v, x, e) for e in np.eye(3)]),
    "hvp": lambda x, v: ad.hvp(F, (x,), (v,))[0],
    "hessian": lambda x, v: ad.hessian(F)(x) @ v,
    "jacrev of grad": lambda x, v: ad.jacrev(ad.grad(F))(x) @ v,
    "jacfwd of jacrev": lambda x, v: ad.jacfwd(ad.jacrev(F))(x) @ v,
    "jacrev of jacfwd": lambda x, v: ad.jacrev(ad.jacfwd(F))(x) @ v,
    "linearize": lambda x, v: ad.linearize(ad.grad(F), x)[1](v),
    "vjp": lambda x, v: ad.vjp(ad.grad(F), x)[1](v)[0],
}  # fmt: skip


@pytest.mark.parametrize("name", NESTINGS)
def test_every_way_to_a_second_derivative(name):
    x, v = np.array([0.3, -0.7, 1.1]), np.array([1.0, 2.0, -0.5])
    h = 1e-5
    numeric = (ad.grad(F)(x + h * v) - ad.grad(F)(x - h * v)) / (2 * h)
    found = NESTINGS[name](x, v)
    np.testing.assert_allclose(found, numeric, rtol=1e-7, atol=1e-8)
    assert found.__class__ is np.ndarray


def test_second_derivatives_of_a_determinant_at_singular_matrices():
    # The determinant is a polynomial; central differences of its gradient along unit vectors are exact up to degree 3.
    f = lambda x: np.linalg.det(x.reshape(3, 3))
    for x in (np.array([1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 1.0, 0.0, 1.0]), np.zeros(9), np.ones(9)):
        expected = np.array([(ad.grad(f)(x + e) - ad.grad(f)(x - e)) / 2 for e in np.eye(9)])
        for way in (ad.hessian(f), ad.jacrev(ad.grad(f)), ad.jacfwd(ad.jacfwd(f))):
            np.testing.assert_allclose(way(x), expected, atol=1e-12)


@pytest.mark.parametrize("modes", ["fff", "ffr", "frf", "frr", "rff", "rfr", "rrf", "rrr"])
def test_three_levels_in_any_order(modes):
    step = {"f": lambda f: lambda x: ad.jvp(f, (x,), (1.0,))[1], "r": ad.grad}
    f = lambda x: np.sin(x) * x**3
    for mode in modes:
        f = step[mode](f)
    x = 0.7
    expected = 18 * x * np.cos(x) - 9 * x**2 * np.sin(x) - x**3 * np.cos(x) + 6 * np.sin(x)
    assert f(x) == pytest.approx(expected, rel=1e-13)


def test_perturbations_of_two_levels_are_not_confused():
    # d/dx (x * d/dy (x + y)) = d/dx x = 1; confusion gives 2. Siskind and Pearlmutter 2005.
    inner = lambda x: ad.jvp(lambda y: x + y, (1.0,), (1.0,))[1]
    assert ad.jvp(lambda x: x * inner(x), (1.0,), (1.0,))[1] == 1.0
    assert ad.grad(lambda x: x * inner(x))(1.0) == 1.0


def test_float32_and_trees_are_kept():
    p = {"w": np.ones((2, 2), np.float32), "b": (np.float32(1.0),)}
    f = lambda p, x: {"y": np.tanh(p["w"] @ x) + p["b"][0], "n": 3}
    out, tangent = ad.jvp(f, (p, np.ones(2, np.float32)), (p, np.ones(2, np.float32)))
    assert out["y"].dtype == tangent["y"].dtype == np.float32
    assert tangent["n"] == 0
    jacobian = ad.jacfwd(lambda p: f(p, np.ones(2, np.float32))["y"])(p)
    assert jacobian["w"].shape == (2, 2, 2)
    assert jacobian["w"].dtype == np.float32
    assert jacobian["b"][0].shape == (2,)


def test_jacobians_pick_the_cheaper_side(rng):
    for shape in ((2, 7), (7, 2)):
        a = rng.normal(size=shape)
        np.testing.assert_allclose(ad.jacobian(lambda x, a=a: a @ np.sin(x))(np.zeros(shape[1])), a)
    value, pullback, aux = ad.vjp(lambda x: (x**2, {"kept": x}), 3.0, has_aux=True)
    assert (value, aux["kept"], pullback(1.0)) == (9.0, 3.0, (6.0,))
    out, aux = ad.jacfwd(lambda x: (x**2, {"kept": x}), has_aux=True)(3.0)
    assert out == 6.0
    assert aux["kept"] == 3.0


def test_linearize_runs_the_function_once():
    calls = []

    def f(x, y):
        calls.append(1)
        return np.sin(x) @ y, x[0]

    x, y = np.array([0.1, 0.2]), np.array([1.0, 2.0])
    out, push = ad.linearize(f, x, y)
    assert out[0] == pytest.approx(np.sin(x) @ y)
    assert push(np.ones(2), np.zeros(2))[0] == pytest.approx(np.cos(x) @ y)
    assert push(np.zeros(2), np.ones(2))[0] == pytest.approx(np.sum(np.sin(x)))
    assert len(calls) == 1


def test_complex_jacobians_by_either_side(rng):
    z = rng.normal(size=3) + 1j * rng.normal(size=3)
    f = lambda z: np.exp(z) * z[0]
    np.testing.assert_allclose(ad.jacfwd(f, holomorphic=True)(z), ad.jacrev(f, holomorphic=True)(z), rtol=1e-12)
    g = lambda z: np.abs(z) ** 2 + np.real(z[0])
    np.testing.assert_allclose(ad.jacfwd(g)(z), ad.jacrev(g)(z), rtol=1e-12, atol=1e-12)


def test_no_grad_makes_constants_in_both_modes():
    def f(x):
        with ad.no_grad():
            frozen = x * x
        return frozen * x

    assert ad.grad(f)(3.0) == 9.0
    assert ad.jvp(f, (3.0,), (1.0,))[1] == 9.0
    assert ad.jacfwd(lambda x: ad.constant(x) * x)(3.0) == 3.0


def test_assignment_and_views_under_forward_mode():
    def f(x):
        y = x * 2
        view = y[1:]
        view[0] = x[0] * x[1]
        y += 1.0
        return y

    x = np.array([2.0, 3.0, 5.0])
    expected = [[2.0, 0.0, 0.0], [3.0, 2.0, 0.0], [0.0, 0.0, 2.0]]
    assert ad.jacfwd(f)(x).tolist() == ad.jacrev(f)(x).tolist() == expected


# --- what is tracked --------------------------------------------------------------------------------------------------

CLOSED = {
    "grad": lambda f, x: ad.grad(f)(x),
    "value_and_grad": lambda f, x: ad.value_and_grad(f)(x)[1],
    "vjp": lambda f, x: ad.vjp(f, x)[1](1.0)[0],
    "jvp": lambda f, x: ad.jvp(f, (x,), (1.0,))[1],
    "jacobian": lambda f, x: ad.jacobian(f)(x),
    "jacfwd": lambda f, x: ad.jacfwd(f)(x),
    "jacrev": lambda f, x: ad.jacrev(f)(x),
    "linearize": lambda f, x: ad.linearize(f, x)[1](1.0),
    "vmap": lambda f, x: ad.vmap(ad.grad(f))(np.array([x]))[0],
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_result_is_tracked_exactly_when_something_is(name):
    derivative = CLOSED[name]
    w = ad.tensor(3.0, requires_grad=True)
    d = derivative(lambda x: w * x**3, 2.0)
    d.backward()
    assert w.grad == 12.0
    assert derivative(lambda x: x**3 + w, 2.0).__class__ in (np.ndarray, np.float64)  # it does not depend on w
    assert float(ad.grad(lambda x: x * float(derivative(lambda t: t**2, 3.0)))(2.0)) == 6.0
    with ad.no_grad():
        assert not hasattr(derivative(lambda x: w * x**3, 2.0), "requires_grad")


def test_a_gradient_penalty_reaches_a_modules_parameters():
    from nn import Linear

    layer = Linear(2, 1)
    slope = ad.grad(lambda x: np.sum(np.tanh(layer(x))))(np.ones(2, np.float32))
    (slope**2).sum().backward()
    assert np.abs(layer.weight.grad).sum() > 0


def test_solvers_and_checkpoints_go_along_in_every_mode():
    root = lambda p: np.sum(implicit.root(lambda x: x**3 - p * x - 1.0, np.array([1.5])).x)
    expected = ad.grad(root)(0.5)
    assert ad.jvp(root, (0.5,), (1.0,))[1] == pytest.approx(expected)
    second = ad.grad(ad.grad(root))(0.5)
    assert ad.hessian(root)(0.5) == pytest.approx(second)
    assert ad.grad(lambda p: ad.jvp(root, (p,), (1.0,))[1])(0.5) == pytest.approx(second)
    kept = ad.checkpoint(lambda x: np.sin(x) * x)
    assert ad.jvp(kept, (0.5,), (1.0,))[1] == pytest.approx(ad.grad(kept)(0.5))


@pytest.mark.parametrize("jacobian", [ad.jacfwd, ad.jacrev])
def test_a_jacobian_penalty_in_float32_is_that_in_float64_but_for_rounding(jacobian, rng):
    weights = [rng.normal(size=shape).astype(np.float32) / 3 for shape in ((16, 6), (16, 16), (4, 16))]
    x = rng.normal(size=6).astype(np.float32)

    def penalty(dtype):
        w = [ad.tensor(one.astype(dtype), requires_grad=True) for one in weights]
        (jacobian(lambda x: w[2] @ np.tanh(w[1] @ np.tanh(w[0] @ x)))(x.astype(dtype)) ** 2).sum().backward()
        return [one.grad for one in w]

    for found, truth in zip(penalty(np.float32), penalty(np.float64), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, truth, rtol=1e-5, atol=2e-6 * np.abs(truth).max())


@pytest.mark.parametrize("inner", [ad.grad, lambda f: lambda x: ad.vjp(f, x)[1](np.array(1.0))[0]])
def test_what_a_checkpoint_closes_over_has_its_gradient_through_an_inner_one(inner):
    def found(wrapped):
        w = ad.tensor([0.7, 1.2], requires_grad=True)
        (inner(lambda x: np.sum(wrapped(lambda t: np.tanh(w * t))(x)))(np.array([0.3, 0.5])) ** 2).sum().backward()
        return w.grad

    np.testing.assert_allclose(found(ad.checkpoint), found(lambda f: f), rtol=1e-12)


def test_transforms_inside_an_operations_forward(temporary):
    half = Primitive("test_ratio", lambda a: a / ad.grad(lambda t: np.sum(t**2))(a), lambda g, out, a: 0 * g)
    assert ad.grad(lambda a: np.sum(half(a)))(np.ones(2)).tolist() == [0.0, 0.0]


def test_misuse():
    with pytest.raises((ArgumentError, TypeError), match="argnums"):
        ad.grad(lambda x: x * x, 3.0)
    with pytest.raises(DTypeError, match="no derivative"):
        ad.grad(lambda x: x > 0)(1.0)
    with pytest.raises(ShapeError, match="tangent of shape"):
        ad.jvp(np.sin, (np.ones(2),), (np.ones(3),))
    with pytest.raises(GraphError, match="inside a function under jvp"):
        ad.jvp(lambda x: (x * x).backward(), (1.0,), (1.0,))
    with pytest.raises(AutodiffError):
        ad.grad(lambda x: float(x) * x)(2.0)
    with pytest.raises(GraphError, match="register_hook"):
        ad.jacobian(lambda x: (x.register_hook(print), x * 2)[1])(np.ones(2))


def test_nothing_waits_for_the_collector():
    rule = ad.custom_vjp(lambda x: np.sin(x))
    rule.defvjp(lambda x: (rule(x), np.cos(x)), lambda c, g: (c * g,))
    solve = lambda p: np.sum(implicit.linear_solve(lambda v: v * p, np.ones(2)))
    runs = [
        lambda: ad.jvp(np.sin, (1.0,), (1.0,)),
        lambda: ad.hessian(lambda x: np.sum(np.sin(x) ** 2))(np.ones(3)),
        lambda: ad.linearize(np.sin, 1.0)[1](1.0),
        lambda: ad.hessian(rule)(1.0),
        lambda: ad.hessian(solve)(np.array([2.0, 3.0])),
        lambda: ad.vmap(ad.grad(np.sin))(np.ones(3)),
    ]
    for run in runs:
        run()
    gc.collect()
    gc.disable()
    try:
        for run in runs:
            run()
            assert gc.collect() == 0
    finally:
        gc.enable()


# --- rules of the user's own ------------------------------------------------------------------------------------------


def _product(kind):
    if kind == "vjp":
        f = ad.custom_vjp(lambda x, y: np.sin(x) * y)
        f.defvjp(lambda x, y: (f(x, y), (np.cos(x), np.sin(x), y)), lambda r, g: (r[0] * g * r[2], r[1] * g))
    elif kind == "jvp":
        f = ad.custom_jvp(lambda x, y: np.sin(x) * y)

        @f.defjvp
        def rule(primals, tangents):
            (x, y), (dx, dy) = primals, tangents
            return f(x, y), np.cos(x) * y * dx + np.sin(x) * dy
    else:
        f = ad.custom_jvp(lambda x, y: np.sin(x) * y)
        f.defjvps(lambda t, out, x, y: np.cos(x) * y * t, lambda t, out, x, y: np.sin(x) * t)
    return f


@pytest.mark.parametrize("kind", ["vjp", "jvp", "jvps"])
def test_own_rules_in_every_transform(kind):
    f = _product(kind)
    x, y = 0.4, 3.0
    assert f(x, y) == pytest.approx(np.sin(x) * y)
    assert ad.grad(f)(x, y=y) == pytest.approx(np.cos(x) * y)
    gx, gy = ad.grad(f, (0, 1))(x, y)
    assert (gx, gy) == (pytest.approx(np.cos(x) * y), pytest.approx(np.sin(x)))
    for second in (ad.grad(ad.grad(f)), ad.hessian(f), ad.jacrev(ad.jacrev(f))):
        assert second(x, y) == pytest.approx(-np.sin(x) * y)
    rows = np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(ad.vmap(ad.grad(f), in_axes=(0, None))(rows, y), np.cos(rows) * y)
    t = ad.tensor([1.0, 2.0], requires_grad=True)
    f(t, np.full(2, y)).sum().backward()
    np.testing.assert_allclose(t.grad, np.cos(t.data) * y)
    if kind == "vjp":
        with pytest.raises(NotDifferentiableError, match="reverse mode alone"):
            ad.jvp(f, (x, y), (1.0, 0.0))
    else:
        assert ad.jvp(f, (x, y), (1.0, 0.0))[1] == pytest.approx(np.cos(x) * y)
        assert ad.grad(lambda x: ad.jvp(f, (x, y), (1.0, 0.0))[1])(x) == pytest.approx(-np.sin(x) * y)
        assert ad.jacfwd(f)(x, y) == pytest.approx(np.cos(x) * y)


def test_own_rules_of_trees_and_constants():
    @partial(ad.custom_vjp, nondiff_argnums=(0,))
    def apply(g, p):
        return {"a": g(p["w"]) * 2, "b": p["v"]}

    apply.defvjp(
        lambda g, p: (apply(g, p), None), lambda g, r, ct: ({"w": ct["a"] * 20, "v": None if g is None else ct["b"]},)
    )
    loss = lambda p: np.sum(apply(np.sin, p)["a"]) + np.sum(apply(np.sin, p)["b"])
    found = ad.grad(loss)({"w": np.ones(2), "v": np.ones(1)})
    assert found["w"].tolist() == [20.0, 20.0]
    assert found["v"].tolist() == [1.0]


def test_own_rules_that_do_not_fit_are_refused():
    f = ad.custom_vjp(lambda x: x * 2)
    with pytest.raises(ArgumentError, match="defvjp"):
        ad.grad(f)(1.0)
    f.defvjp(lambda x: (x * 2, None), lambda r, g: (g, g))
    with pytest.raises(ArgumentError, match="1 cotangents"):
        ad.grad(f)(1.0)
    f.defvjp(lambda x: (x * 2, None), lambda r, g: (np.ones(3),))
    with pytest.raises(ShapeError, match="cotangent of shape"):
        ad.grad(f)(1.0)
    with pytest.raises(ArgumentError, match="defjvp"):
        ad.grad(ad.custom_jvp(lambda x: x))(1.0)


@pytest.mark.parametrize("kind", ["vjp", "jvp"])
def test_own_rules_do_not_lose_what_is_closed_over(kind):
    w = ad.tensor(2.0, requires_grad=True)
    if kind == "vjp":
        f = ad.custom_vjp(lambda x: w * x)
        f.defvjp(lambda x: (w * x, None), lambda r, g: (2.0 * g,))
    else:
        f = ad.custom_jvp(lambda x: w * x)
        f.defjvps(lambda t, out, x: 2.0 * t)
    with pytest.raises(GraphError, match="closes over"):
        ad.grad(f)(1.0)
    with ad.no_grad():
        assert f(1.0).item() == 2.0


# --- vmap -------------------------------------------------------------------------------------------------------------

A, V = np.random.default_rng(3).normal(size=(5, 3, 3)), np.random.default_rng(4).normal(size=(5, 3))
MAPPED = {
    "sin": (np.sin, (V,)),
    "matmul": (lambda a, v: a @ v + v @ a, (A, V)),
    "dot": (lambda v: v @ v, (V,)),
    "solve": (np.linalg.solve, (A, V)),
    "solve matrix": (lambda a: np.linalg.solve(a, a.T), (A,)),
    "inv": (lambda a: np.linalg.det(np.linalg.inv(a)), (A,)),
    "eigvalsh": (lambda a: np.linalg.eigvalsh(a + a.T), (A,)),
    "svd": (lambda a: np.linalg.svd(a)[1], (A,)),
    "cholesky": (lambda a: np.linalg.cholesky(a @ a.T + np.eye(3)), (A,)),
    "norm": (lambda a: np.linalg.norm(a, axis=0) + np.linalg.norm(a), (A,)),
    "reductions": (lambda a: np.sum(a, axis=-1) + np.max(a, axis=0) * np.std(a) + np.mean(a, 0) + np.prod(a, 1), (A,)),
    "running": (lambda a: np.cumsum(a) + np.cumprod(a, axis=1).ravel(), (A,)),
    "shapes": (lambda a: np.transpose(a).reshape(-1)[::-1] + np.roll(a, 1).ravel() + np.flip(a, 0).ravel(), (A,)),
    "joins": (lambda v: np.concatenate([v, np.ones(2), v**2]), (V,)),
    "stack": (lambda v: np.stack([v, np.zeros(3)], axis=1), (V,)),
    "index": (lambda a: a[:, np.array([0, 0, 2])] + a[1, None] + a[..., ::-1], (A,)),
    "pad": (lambda v: np.pad(v, 1), (V,)),
    "einsum": (lambda a, v: np.einsum("ij,j->i", a, v), (A, V)),
    "fft": (lambda v: np.abs(np.fft.fft(v)), (V,)),
    "where": (lambda v: np.where(v > 0, v, v**2) + np.maximum(v, 0.1), (V,)),
    "broadcast": (lambda a, v: a * v + np.broadcast_to(v, (3, 3)), (A, V)),
    "sort": (np.sort, (V,)),
    "median": (np.median, (V,)),
    "interp": (lambda v: np.interp(v, np.linspace(-3, 3, 7), np.arange(7.0)), (V,)),
    "branch": (lambda v: v * 2 if v[0] > 0 else -v, (V,)),
    "number": (lambda v: v * v[0].item(), (V,)),
    "grad": (ad.grad(lambda v: np.sum(np.sin(v) * v[0])), (V,)),
    "grad of inv": (ad.grad(lambda a: np.sum(np.linalg.inv(a) @ np.ones(3))), (A,)),
    "jvp": (lambda v: ad.jvp(lambda t: np.sin(t) * t.sum(), (v,), (np.ones(3),))[1], (V,)),
    "jacfwd": (ad.jacfwd(lambda v: np.sin(v) * v[0]), (V,)),
    "jacrev": (ad.jacrev(lambda v: np.sin(v) * v[0]), (V,)),
    "hessian": (ad.hessian(lambda v: np.sum(np.sin(v) * v[0])), (V,)),
    "vmap": (ad.vmap(lambda row: row @ row), (A,)),
    "root": (lambda v: implicit.root(lambda x: x**3 - v - 4.0, np.ones(3)).x, (V,)),
}


@pytest.mark.parametrize("name", MAPPED)
def test_vmap_is_one_call_per_example(name):
    f, args = MAPPED[name]
    got = ad.vmap(f)(*args)
    want = np.stack([np.asarray(f(*map(ad.tensor, each))) for each in zip(*args, strict=True)])
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    assert got.__class__ is np.ndarray


@pytest.mark.parametrize("name", sorted(set(MAPPED) - {"root", "vmap", "number"}))
def test_derivatives_through_vmap(name):
    f, args = MAPPED[name]
    rest = args[1:]
    u = np.cos(np.arange(ad.vmap(f)(*args).size)).reshape(ad.vmap(f)(*args).shape)
    mapped = lambda x: np.sum(ad.vmap(f)(x, *rest) * u)
    looped = lambda x: np.sum(np.stack([f(x[i], *(a[i] for a in rest)) for i in range(5)]) * u)
    want = ad.grad(looped)(args[0])
    np.testing.assert_allclose(ad.grad(mapped)(args[0]), want, rtol=1e-10, atol=1e-10)
    d = np.sin(np.arange(args[0].size)).reshape(args[0].shape)
    assert ad.jvp(mapped, (args[0],), (d,))[1] == pytest.approx(np.sum(want * d), rel=1e-9)


def test_vmap_axes_and_trees():
    f = lambda p, x: {"y": p["w"] @ x, "s": x.sum(), "c": p["b"]}
    p = {"w": np.moveaxis(A, 0, -1), "b": 2.0}
    out = ad.vmap(f, in_axes=({"w": -1, "b": None}, 0), out_axes={"y": 1, "s": 0, "c": None})(p, V)
    np.testing.assert_allclose(out["y"], np.einsum("nij,nj->in", A, V))
    assert out["s"].shape == (5,)
    assert out["c"] == 2.0
    np.testing.assert_allclose(
        ad.vmap(ad.vmap(lambda a, b: a * b, (None, 0)), (0, None))(V[:, 0], V[0]), np.outer(V[:, 0], V[0])
    )
    np.testing.assert_allclose(ad.vmap(lambda x, k: x * k)(V, k=np.arange(5.0)), V * np.arange(5.0)[:, None])
    assert ad.vmap(np.sin)(np.zeros((0, 3))).shape == (0, 3)


def test_per_sample_gradients_of_a_module():
    from nn import Linear, Sequential, Tanh
    from nn import functional as F_

    model = Sequential(Linear(3, 4), Tanh(), Linear(4, 2))
    x, y = V.astype(np.float32), np.array([0, 1, 0, 1, 1])
    loss = lambda x, y: F_.cross_entropy(model(x[None]), y[None])
    got = ad.vmap(ad.grad(loss))(x, y)
    want = np.stack([ad.grad(loss)(a, b).data for a, b in zip(x, y, strict=True)])
    np.testing.assert_allclose(got.data, want, rtol=1e-5, atol=1e-6)
    (got**2).sum().backward()
    assert np.abs(model[0].weight.grad).sum() > 0


def test_misuse_of_vmap():
    with pytest.raises(ArgumentError, match="must agree"):
        ad.vmap(np.add)(np.ones(2), np.ones(3))
    with pytest.raises(ArgumentError, match="no argument is mapped"):
        ad.vmap(np.sin, in_axes=None)(1.0)
    with pytest.raises(ShapeError, match="no axis 0"):
        ad.vmap(np.sin)(1.0)
    with pytest.raises(ArgumentError, match="out_axes is None"):
        ad.vmap(np.sin, out_axes=None)(np.ones(2))
