"""Transforms: arrays in, arrays out, nested to any depth, over trees; batched Jacobians equal to the loop."""

import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff import transforms
from autodiff.core.errors import ArgumentError, DTypeError, GraphError, ShapeError


def test_arrays_in_arrays_out():
    value, g = ad.value_and_grad(lambda x: np.sum(x * x))(np.array([1.0, 2.0]))
    assert type(value) is type(g) is np.ndarray
    np.testing.assert_array_equal(g, [2.0, 4.0])


def test_gradients_keep_shape_dtype_and_structure():
    params = {"w": np.ones((2, 3), np.float32), "b": [np.zeros(3), (2.0,)], "none": None}

    def f(p, x):
        return np.sum(np.tanh(x @ p["w"] + p["b"][0]) * p["b"][1][0])

    g = ad.grad(f)(params, np.ones((4, 2), np.float32))
    assert g["w"].dtype == np.float32
    assert g["w"].shape == (2, 3)
    assert isinstance(g["b"][1], tuple)
    assert g["none"] is None
    np.testing.assert_allclose(g["b"][1][0], f(params, np.ones((4, 2))) / 2.0, rtol=1e-6)


def test_argnums_and_aux():
    f = lambda x, y, z: (x * y**2 * z, {"seen": x + y})
    (gx, gz), aux = ad.grad(f, argnums=(0, -1), has_aux=True)(2.0, 3.0, 5.0)
    assert (gx, gz) == (45.0, 18.0)
    assert aux["seen"] == 5.0
    assert isinstance(aux["seen"], np.ndarray)


def test_an_unused_argument_has_a_zero_gradient():
    np.testing.assert_array_equal(ad.grad(lambda x, y: y * 2.0, argnums=0)(np.ones(3).sum(), 1.0), 0.0)
    assert ad.grad(lambda x: 3.0)(2.0) == 0.0


@pytest.mark.parametrize("order", range(1, 6))
def test_nesting_gives_every_derivative(order):
    f = lambda x: np.sin(2.0 * x)
    for _ in range(order):
        f = ad.grad(f)
    expected = 2.0**order * [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)][order % 4](0.6)
    np.testing.assert_allclose(f(0.3), expected, rtol=1e-13)


def test_levels_are_not_confused():
    # d/dx [ x * d/dy (x y) ] = d/dx x^2: a classic of perturbation confusion (Siskind and Pearlmutter 2005).
    assert ad.grad(lambda x: x * ad.grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert ad.grad(lambda x: x * ad.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert ad.grad(lambda x: ad.jvp(lambda y: x * y**2, (3.0,), (1.0,))[1])(2.0) == 6.0


def test_vjp_jvp_are_adjoint(rng):
    a = rng.normal(size=(4, 3))
    f = lambda x, y: (np.tanh(a @ x) * y, np.sum(x) * y)
    x, y = rng.normal(size=3), rng.normal(size=4)
    dx, dy = rng.normal(size=3), rng.normal(size=4)
    u, v = rng.normal(size=4), rng.normal(size=4)
    out, pullback = ad.vjp(f, x, y)
    gx, gy = pullback((u, v))
    out2, (t1, t2) = ad.jvp(f, (x, y), (dx, dy))
    for o, p in zip(out, out2, strict=True):
        np.testing.assert_array_equal(o, p)
    np.testing.assert_allclose(u @ t1 + v @ t2, gx @ dx + gy @ dy, rtol=1e-13)
    pullback((v, u))


def test_hvp_is_the_hessian_times_the_vector(rng):
    a = rng.normal(size=(5, 5))
    f = lambda x: np.sum(np.exp(np.sin(a @ x))) * x[0]
    x, v = rng.normal(size=5), rng.normal(size=5)
    h = ad.hessian(f)(x)
    np.testing.assert_allclose(h, h.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ad.hvp(f, (x,), (v,))[0], h @ v, rtol=1e-12)


FUNCTIONS = {
    "elementwise": lambda x: np.sin(x) * x + x / (2 + np.cos(x)),
    "reductions": lambda x: (
        np.sum(x * x, axis=0) + np.mean(x) + np.prod(x, axis=0) + np.max(x, axis=0) + np.std(x, axis=0)
    ),
    "shapes": lambda x: np.concatenate([x.T.reshape(-1), np.flip(x, 0).ravel(), np.roll(x, 1).ravel()]),
    "axes": lambda x: np.moveaxis(np.expand_dims(x, 1), 0, -1) + np.squeeze(np.swapaxes(x[None], 1, 2), 0)[:, None, :1],
    "indices": lambda x: x[[0, 0, 1]] * x[1:, None, 0] + x[..., ::-1][0] + x[np.array([0, 1]), [1, 1]].sum(),
    "products": lambda x: x @ x.T + np.einsum("ij,kj->ik", x, x) + x @ x[0] + np.outer(x[:, 0], x[:, 1]),
    "running": lambda x: np.cumsum(x, axis=1) + np.cumsum(x).reshape(x.shape),
    "choices": lambda x: np.where(x.data > 0, x, x * x) + np.maximum(x, 0.3) + np.clip(x, -0.5, 0.5),
    "broadcast": lambda x: np.broadcast_to(x[0], (4, 3)) * np.tile(x[1], (4, 1)) + np.stack([x, x])[1, 0],
    "fused": lambda x: ad.checkpoint(lambda t: np.tanh(t) * t)(x),
    "assignment": lambda x: x.at[0].set(x[1] * 2).at[[1, 1]].add(x[0]),
    "constant": lambda x: np.floor(x) + np.ones(3),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_batched_jacobians_equal_the_loop_and_differences(name, monkeypatch, rng):
    f = FUNCTIONS[name]
    x = rng.normal(size=(2, 3)) + 0.1
    batched = ad.jacobian(f)(x)

    assert_equal = lambda other: np.testing.assert_allclose(batched, other, rtol=1e-13, atol=1e-13)
    assert_equal(ad.jacfwd(f)(x))
    assert_equal(ad.jacrev(f)(x))
    monkeypatch.setattr(transforms, "_one_by_one", lambda call: True)
    assert_equal(ad.jacfwd(f)(x))
    assert_equal(ad.jacrev(f)(x))
    value = lambda t: np.asarray(f(ad.tensor(t)).data)
    for i in range(2):
        for j in range(3):
            step = np.zeros((2, 3))
            step[i, j] = 1e-6
            numeric = (value(x + step) - value(x - step)) / 2e-6
            np.testing.assert_allclose(batched[..., i, j], numeric, rtol=1e-6, atol=1e-7)


def test_jacobians_of_and_over_trees():
    f = lambda p: {"y": p["a"] * p["b"], "z": np.sum(p["a"])}
    j = ad.jacobian(f)({"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])})
    np.testing.assert_array_equal(j["y"]["a"], np.diag([3.0, 4.0]))
    np.testing.assert_array_equal(j["z"]["b"], [0.0, 0.0])


def test_a_third_derivative_tensor(rng):
    x = rng.normal(size=3)
    f = lambda t: np.prod(np.sin(t))
    third = ad.jacobian(ad.hessian(f))(x)
    np.testing.assert_allclose(third[0, 1, 2], np.prod(np.cos(x)), rtol=1e-12)
    np.testing.assert_allclose(third, np.transpose(third, (2, 0, 1)), rtol=1e-10, atol=1e-12)


def test_a_jacobian_wider_than_one_chunk():
    n = transforms._CHUNK * 2 + 3
    j = ad.jacobian(lambda x: np.cumsum(x))(np.ones(n))
    np.testing.assert_array_equal(j, np.tri(n))


def test_elementwise_grad():
    np.testing.assert_allclose(
        ad.elementwise_grad(ad.elementwise_grad(np.sin))(np.array([0.3, 1.0])), -np.sin([0.3, 1.0])
    )
    with pytest.raises(GraphError, match="jacobian"):
        ad.elementwise_grad(lambda x: np.sum(x))(np.ones(2))


def test_transforms_in_threads_do_not_see_each_other():
    results = {}

    def work(k):
        results[k] = ad.grad(ad.grad(lambda x: x**k))(2.0)

    threads = [threading.Thread(target=work, args=(float(k),)) for k in range(2, 8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k, value in results.items():
        np.testing.assert_allclose(value, k * (k - 1) * 2.0 ** (k - 2), rtol=1e-12)


def test_grad_works_inside_no_grad():
    with ad.no_grad():
        assert ad.grad(lambda x: x * x)(3.0) == 6.0


def test_transforms_of_tensors_stay_in_the_graph():
    x = ad.tensor(2.0, requires_grad=True)
    g = ad.grad(lambda t: t**3)(x)
    assert isinstance(g, ad.Tensor)
    g.backward()
    assert x.grad == 12.0


def test_misuse_says_what_to_do():
    with pytest.raises(GraphError, match=r"returned shape \(2,\).*jacobian"):
        ad.grad(lambda x: x)(np.ones(2))
    with pytest.raises(DTypeError, match=r"1\.0, not 1"):
        ad.grad(lambda x: x * x)(3)
    with pytest.raises(DTypeError, match="str"):
        ad.grad(lambda x: x)("three")
    with pytest.raises(ArgumentError, match="argnums"):
        ad.grad(lambda x: x, argnums=1)(1.0)
    with pytest.raises(DTypeError, match="holomorphic"):
        ad.grad(lambda x: x * 1j)(1.0)
    with pytest.raises(ArgumentError, match="same length"):
        ad.jvp(lambda x: x, (1.0,), ())
    with pytest.raises(ShapeError, match="tangent"):
        ad.jvp(lambda x: x, (np.ones(2),), (np.ones(3),))
    with pytest.raises(ArgumentError, match="aux"):
        ad.grad(lambda x: x, has_aux=True)(1.0)
    with pytest.raises(GraphError, match="returned a str"):
        ad.grad(lambda x: "text")(1.0)


@given(st.lists(st.floats(0.2, 2.0), min_size=2, max_size=4))
def test_hessian_vector_and_second_differences_agree(values):
    x = np.array(values)
    f = lambda t: np.sum(np.log(t) * t[0]) + np.sqrt(np.sum(t * t))
    h = ad.hessian(f)(x)
    g = ad.grad(f)
    for i in range(len(x)):
        step = np.zeros_like(x)
        step[i] = 1e-5
        np.testing.assert_allclose(h[i], (g(x + step) - g(x - step)) / 2e-5, rtol=1e-6, atol=1e-7)


def test_each_argument_is_named_once():
    for argnums in ((0, 0), (0, -2), [1, 1]):
        with pytest.raises(ArgumentError, match="twice"):
            ad.grad(lambda x, y: x * y, argnums=argnums)(2.0, 3.0)
    for argnums in (1.0, "x", (0, 1.5), None):
        with pytest.raises(ArgumentError, match="tuple of integers"):
            ad.grad(lambda x, y: x * y, argnums=argnums)(2.0, 3.0)
    assert ad.grad(lambda x, y: x * y, argnums=(1, 0))(2.0, 3.0) == (2.0, 3.0)


def test_trees_are_matched_by_key_and_not_by_order():
    f = lambda p: p["a"] * p["b"]
    assert ad.jvp(f, ({"a": 1.0, "b": 2.0},), ({"b": 1.0, "a": 5.0},))[1] == 11.0
    _, pullback = ad.vjp(lambda x: {"a": x, "b": (3 * x, None)}, 1.0)
    assert pullback({"b": (2.0, None), "a": 0.0}) == (6.0,)
    assert ad.hvp(lambda p: p["a"] ** 2 * p["b"], ({"a": 1.0, "b": 2.0},), ({"b": 1.0, "a": 5.0},))[0] == {
        "a": 22.0,
        "b": 10.0,
    }


@pytest.mark.parametrize(
    ("tangent", "words"),
    [
        ({"a": 1.0, "c": 1.0}, "keys"),
        ([1.0, (1.0, None)], "keys"),
        ({"a": 1.0, "b": 1.0}, "tuple of 2"),
        ({"a": 1.0, "b": (1.0, 2.0, 3.0)}, "tuple of 2"),
        ({"a": 1.0, "b": (1.0, 1.0)}, "must be None"),
        ({"a": {"b": 1.0}, "b": (1.0, None)}, "must be an array"),
        ({"a": None, "b": (1.0, None)}, "must be an array"),
    ],
)
def test_a_tree_of_another_structure_is_refused(tangent, words):
    f = lambda p: {"a": p["a"] * p["b"][0], "b": (p["a"], None)}
    point = {"a": 1.0, "b": (2.0, None)}
    with pytest.raises(ArgumentError, match=words):
        ad.jvp(f, (point,), (tangent,))
    with pytest.raises(ArgumentError, match=words):
        ad.vjp(f, point)[1](tangent)


def test_complex_jacobians_need_a_holomorphic_function():
    z, x = np.array([1.0 + 1j, 2.0]), np.array([1.0, 2.0])
    np.testing.assert_array_equal(ad.jacobian(lambda t: t * 1j)(x), 1j * np.eye(2))
    with pytest.raises(DTypeError, match="holomorphic=True"):
        ad.jacobian(lambda t: np.conj(t) * t)(z)
    with pytest.raises(DTypeError, match="must be complex"):
        ad.jacobian(lambda t: t * 1j, holomorphic=True)(x)
    np.testing.assert_array_equal(ad.jacobian(lambda t: t * t, holomorphic=True)(z), np.diag(2 * z))
    np.testing.assert_allclose(ad.hessian(lambda t: np.sum(t**3), holomorphic=True)(z), np.diag(6 * z), rtol=1e-14)
    np.testing.assert_array_equal(ad.jacobian(lambda t: np.imag(t * (1 + 2j)))(x), np.diag([2.0, 2.0]))
    np.testing.assert_array_equal(ad.jacobian(lambda t: np.real(t * t))(z), np.diag(2 * z))
    with pytest.raises(DTypeError, match="holomorphic"):
        ad.hessian(lambda t: np.sum(np.abs(t) ** 2))(z)


def test_elementwise_derivatives_of_a_holomorphic_function():
    z = np.array([1.0 + 1j, 2.0])
    np.testing.assert_allclose(ad.elementwise_grad(np.sin, holomorphic=True)(z), np.cos(z), rtol=1e-14)
    with pytest.raises(DTypeError, match="holomorphic=True"):
        ad.elementwise_grad(np.sin)(z)


def test_a_tensor_that_leaks_out_of_grad_is_refused_once_its_graph_is_gone():
    kept = []

    def f(x):
        kept.append(x * 2)
        return np.sum(kept[-1] ** 2)

    ad.grad(f)(np.array([1.0, 2.0]))
    with pytest.raises(GraphError, match="freed"):
        np.sum(kept[0]).backward()
    # In another transform its value counts, and as a constant.
    np.testing.assert_array_equal(ad.grad(lambda y: np.sum(y * kept[0]))(np.ones(2)), [2.0, 4.0])


TRANSFORMS = {
    "grad": lambda f, y: ad.grad(f)(y),
    "value_and_grad": lambda f, y: ad.value_and_grad(f)(y),
    "vjp": lambda f, y: ad.vjp(f, y)[1](1.0),
    "jvp": lambda f, y: ad.jvp(f, (y,), (y,)),
    "jacobian": lambda f, y: ad.jacobian(lambda t: f(t) * t)(y),
    "hessian": lambda f, y: ad.hessian(f)(y),
    "hvp": lambda f, y: ad.hvp(f, (y,), (y,)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_tensor_that_leaks_into_an_outer_transform_has_the_outer_gradient(name):
    def outer(x):
        kept = []

        def inner(y):
            kept.append(x**2 * y)
            return np.sum(kept[-1] * y)

        TRANSFORMS[name](inner, np.array([1.0, 2.0]))
        return np.sum(kept[0])

    np.testing.assert_array_equal(ad.grad(outer)(np.array([3.0, 5.0])), [6.0, 20.0])


def test_aux_of_an_inner_transform_is_differentiated_by_the_outer():
    def outer(x):
        g, aux = ad.grad(lambda y: (np.sum(y**3), {"p": [y * x, 7], "q": None}), has_aux=True)(x)
        assert aux["p"][1] == 7
        assert aux["q"] is None
        return np.sum(aux["p"][0] * g)

    # The sum of x^2 * 3 x^2.
    np.testing.assert_allclose(ad.grad(outer)(np.array([1.0, 2.0])), [12.0, 96.0], rtol=1e-14)


def test_three_transforms_deep_through_trees():
    # d/dx of d/dy (4 y^3 x) at y = x is 36 x^2.
    f = lambda x: ad.grad(lambda p: ad.jvp(lambda z: z**4 * x, (p["y"][0],), (1.0,))[1])({"y": (x, None)})["y"][0]
    assert ad.jvp(f, (2.0,), (1.0,))[1] == 144.0
    x = np.array([0.3, 1.1])
    third = ad.jacobian(ad.jacobian(ad.grad(lambda t: np.sum(np.sin(t)))))(x)
    expected = np.zeros((2, 2, 2))
    expected[[0, 1], [0, 1], [0, 1]] = -np.cos(x)
    np.testing.assert_allclose(third, expected, rtol=1e-14)


def test_integers_within_a_tree_are_refused_and_beside_it_allowed():
    with pytest.raises(DTypeError, match=r"argument 0 holds int64.*argnums"):
        ad.grad(lambda p, n: p["a"][0] * n)({"a": [3, 1.0]}, 2)
    with pytest.raises(DTypeError, match="argument 0 holds bool"):
        ad.jacobian(lambda m: m * 1.0)(np.array([True]))
    assert ad.grad(lambda p, n: p["a"][0] * n)({"a": [3.0]}, 2)["a"] == [2.0]


@pytest.mark.parametrize("name", ["checkpoint", "jit", "compile"])
def test_a_function_and_its_argument_together_are_refused_with_the_form_that_works(name):
    with pytest.raises(ArgumentError, match=rf"{name}: .* write {name}\(f\)\(x\)"):
        getattr(ad, name)(np.sin, np.ones(2))


@pytest.mark.parametrize("join", [np.stack, np.concatenate, ad.stack, ad.concatenate])
def test_arrays_that_are_not_in_a_list_are_refused_with_the_form_that_works(join):
    t = ad.tensor(np.ones((2, 3)))
    with pytest.raises(
        ArgumentError, match=r"axis is an integer, got a Tensor of shape .* give the arrays in one list"
    ):
        join(t, t)
    assert join((t, t), axis=ad.tensor(1)).size == 12


MAKERS = {
    "grad": np.sum,
    "value_and_grad": np.sum,
    "hessian": np.prod,
    "sparse_hessian": np.prod,
    **dict.fromkeys(
        "elementwise_grad jacobian jacfwd jacrev sparse_jacobian vmap checkpoint jit compile custom_vjp".split(), np.exp
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_function_that_a_transform_made_is_pickled(name, monkeypatch):
    maker, f, x = getattr(ad, name), MAKERS[name], np.array([0.5, 2.0])
    plain = lambda result: np.asarray(getattr(result, "toarray", lambda: result)())
    made = maker(f)
    copied = pickle.loads(pickle.dumps(made))
    assert type(copied) is type(made)
    for found, expected in zip(copied(x), made(x), strict=True):
        np.testing.assert_array_equal(plain(found), plain(expected))

    def decorated(t):
        """Stands in its module under its own name, in the place of the function that it was made of."""

    made = maker(decorated)
    decorated.__qualname__ = made.__qualname__ = "decorated"
    monkeypatch.setitem(globals(), "decorated", made)
    assert pickle.loads(pickle.dumps(made)) is made


def test_what_the_options_of_a_pickled_transform_were_they_stay():
    made = ad.vmap(ad.grad(np.dot, argnums=(0, 1)), in_axes=(None, 1))
    copied = pickle.loads(pickle.dumps(made))
    for found, expected in zip(copied(np.ones(3), np.eye(3)), (np.eye(3), np.ones((3, 3))), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert pickle.loads(pickle.dumps(ad.grad(np.prod, holomorphic=True)))(np.array([2j, 3.0]))[1] == 2j


def test_a_transform_of_a_method_is_a_method():
    class Model:
        weight = 3.0

        def loss(self, x):
            return self.weight * x * x

        slope = ad.grad(loss, argnums=1)

    assert Model().slope(2.0) == 12.0
    assert repr(ad.grad(np.sum)) == "autodiff.grad(sum)"


@pytest.mark.parametrize("name", [*MAKERS])
def test_what_is_no_function_is_refused_at_once_under_its_maker_s_name(name):
    with pytest.raises(
        ArgumentError, match=rf"^(autodiff\.)?{name}: takes a function, got int; write {name}\(f\)\(x\)"
    ):
        getattr(ad, name)(5)


@pytest.mark.parametrize("name", ["vjp", "linearize"])
def test_so_it_is_by_those_that_take_the_arguments_too(name):
    with pytest.raises(ArgumentError, match=f"{name}: takes a function"):
        getattr(ad, name)(5, 1.0)
    for other in (ad.jvp, ad.hvp):
        with pytest.raises(ArgumentError, match=f"{other.__name__}: takes a function"):
            other(5, (1.0,), (1.0,))


def test_the_argument_of_an_elementwise_derivative_is_one():
    with pytest.raises(ArgumentError, match="elementwise_grad: argnums must be one integer"):
        ad.elementwise_grad(np.hypot, (0, 1))
    with pytest.raises(ArgumentError, match="elementwise_grad: argnums=3"):
        ad.elementwise_grad(np.sin, 3)(1.0)
    with pytest.raises(ShapeError, match="vmap: no axis 2 for the examples"):
        ad.vmap(np.sin, out_axes=2)(np.ones(3))


@pytest.mark.parametrize(
    "given", ["text", object(), {1, 2}, ["text"], {"a": len}], ids=lambda given: type(given).__name__
)
def test_a_function_that_returns_no_numbers_is_refused(given):
    x = np.ones(2)
    for transformed in (
        lambda f: ad.jacobian(f)(x),
        lambda f: ad.jacfwd(f)(x),
        lambda f: ad.hessian(f)(x),
        lambda f: ad.jvp(f, (x,), (x,)),
        lambda f: ad.vjp(f, x),
        lambda f: ad.linearize(f, x),
    ):
        with pytest.raises(ad.GraphError, match="must return"):
            transformed(lambda x: given)
