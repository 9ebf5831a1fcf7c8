"""Containers behave as the Python lists and dicts that they are named after; hooks, gradients and paths of a Module."""

import copy

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError


def layers(n):
    return [nn.Linear(2, 2) for _ in range(n)]


@pytest.mark.parametrize("make", [lambda items: nn.Sequential(*items), nn.ModuleList])
def test_chains_are_lists(make):
    items = layers(5)
    chain, expected = make(items), list(items)
    extra = layers(4)
    for change in (
        lambda c: c.append(extra[0]),
        lambda c: c.insert(1, extra[1]),
        lambda c: c.insert(-1, extra[2]),
        lambda c: c.pop(),
        lambda c: c.pop(0),
        lambda c: c.extend([extra[3], items[0]]),
        lambda c: c.__setitem__(-2, items[1]),
        lambda c: c.__delitem__(2),
        lambda c: c.__delitem__(slice(0, 2)),
    ):
        change(chain)
        change(expected)
        assert all(a is b for a, b in zip(chain, expected, strict=True))
        assert [name for name, _ in chain._modules.items()] == [str(i) for i in range(len(expected))]
    assert len(chain) == len(expected)
    assert all(chain[i] is expected[i] for i in range(-len(expected), len(expected)))
    assert all(a is b for a, b in zip(chain[1:], expected[1:], strict=True))
    assert type(chain[1:]) is type(chain)
    assert all(a is b for a, b in zip(chain + extra, expected + extra, strict=True))
    assert expected[0] in chain
    assert extra[1] not in nn.ModuleList(items)
    for index in (len(expected), -len(expected) - 1):
        with pytest.raises(IndexError, match=f"no index {index}"):
            chain[index]
    with pytest.raises(DTypeError, match=r"nn\.Module"):
        chain.insert(0, "layer")
    with pytest.raises(DTypeError, match=r"nn\.Module"):
        chain[0] = 3


@pytest.mark.parametrize(
    "add", [lambda c, more: c + more, lambda c, more: c.extend(more), lambda c, more: [c.append(m) for m in more][-1]]
)
def test_what_is_added_to_a_slice_replaces_nothing(add):
    items, more = layers(4), layers(2)
    named = nn.Sequential({"2": items[0], "1": items[1]})
    for chain, first in ((nn.Sequential(*items)[1:], items[1:]), (named, items[:2])):
        assert all(a is b for a, b in zip(add(chain, more), [*first, *more], strict=True))
    assert list((nn.Sequential(*items)[2:] + more)._modules) == ["0", "1", "2", "3"]  # PyTorch's names


def test_the_length_of_a_chain_after_a_refused_change_is_unchanged():
    chain = nn.ModuleList(layers(2))
    with pytest.raises(DTypeError):
        chain.append(3)
    with pytest.raises(ArgumentError, match="hold itself"):
        chain.insert(0, chain)
    assert len(chain) == 2


def test_a_module_dict_is_a_dict():
    first, second, third = layers(3)
    held = nn.ModuleDict({"a": first, "b": second})
    held.update([("c", third), ("a", second)])
    assert list(held) == list(held.keys()) == ["a", "b", "c"]
    assert list(held.values()) == [second, second, third]
    assert "c" in held
    assert held.pop("c") is third
    del held["b"]
    assert list(held.items()) == [("a", second)]
    assert len(list(held.parameters())) == 2
    with pytest.raises(KeyError):
        held["b"]
    with pytest.raises(ArgumentError, match="'keys' is taken"):
        held["keys"] = first
    with pytest.raises(DTypeError, match=r"nn\.Module"):
        held["d"] = 3
    assert "d" not in held
    held.clear()
    assert len(held) == 0


def test_flatten_and_unflatten_undo_each_other(rng):
    x = ad.tensor(rng.normal(size=(2, 3, 4, 5)), requires_grad=True)
    for start, end in ((1, -1), (0, 1), (2, 2), (-2, -1)):
        flat = nn.Flatten(start, end)(x)
        back = nn.Unflatten(start if start >= 0 else start + 4, x.shape[start : end % 4 + 1])(flat)
        np.testing.assert_array_equal(back.data, x.data)
    back.backward(x.data)
    np.testing.assert_array_equal(x.grad, x.data)
    assert nn.Flatten(0)(np.float64(3.0)).shape == (1,)
    for axes in ((3, 1), (-1, 0), (4, -1), (0, -5)):
        for flatten in (nn.Flatten(*axes), lambda x, axes=axes: x.flatten(*axes)):
            with pytest.raises(ShapeError, match=f"from {axes[0]} to {axes[1]}"):
                flatten(x)
    assert ad.tensor(3.0).flatten(0, 0).shape == ad.tensor(3.0).flatten(-1, -1).shape == (1,)
    with pytest.raises(ShapeError, match="cannot become"):
        nn.Unflatten(1, (2, -1))(x)
    with pytest.raises(ArgumentError, match="one -1"):
        nn.Unflatten(1, (-1, -1))


def test_residual_adds_its_input(rng):
    x, g = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    inner = nn.Linear(3, 3, dtype=np.float64)
    leaf = ad.tensor(x, requires_grad=True)
    out = nn.Residual(inner)(leaf)
    np.testing.assert_allclose(out.data, x + x @ inner.weight.data.T + inner.bias.data)
    out.backward(g)
    np.testing.assert_allclose(leaf.grad, g + g @ inner.weight.data)


def test_a_module_held_twice_is_learned_once_and_listed_twice():
    shared = nn.Linear(2, 2)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    assert len(list(net.parameters())) == 2
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    net.load_state_dict({key: value + 1 for key, value in net.state_dict().items()})
    twin = copy.deepcopy(net)
    assert twin[0] is twin[2]
    twin.zero_grad()
    twin(np.ones((1, 2), np.float32)).sum().backward()
    twin.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(twin[0].weight.grad, np.zeros((2, 2)))


def test_paths_that_lead_nowhere_are_named():
    net = nn.Sequential(nn.ModuleDict({"head": nn.Linear(2, 2)}))
    with pytest.raises(AttributeError, match=r"no submodule 'tail', asked for by '0\.tail'; it has \['head'\]"):
        net.get_submodule("0.tail")
    with pytest.raises(AttributeError, match="no parameter 'scale'"):
        net.get_parameter("0.head.scale")
    with pytest.raises(AttributeError, match="no buffer 'weight'"):
        net.get_buffer("0.head.weight")


def test_a_sequential_calls_every_module_as_that_asks_to_be_called():
    class Doubled(nn.Linear):
        def __call__(self, x):
            return 2 * super().__call__(x)

    net, x = nn.Sequential(Doubled(2, 2), nn.Linear(2, 2), nn.Linear(2, 2), nn.Identity()), np.ones((3, 2), np.float32)
    first, second, third, last = net
    plain = third(second(2 * first.forward(x))).data
    np.testing.assert_array_equal(net(x).data, plain)
    seen = []
    hooks = [
        second.register_forward_pre_hook(lambda module, args: seen.append("before")),
        third.register_forward_hook(lambda *call: call[-1] * 0),
    ]
    last.forward = lambda out: out + 5
    np.testing.assert_array_equal(net(x).data, np.full((3, 2), 5))
    assert seen == ["before"]
    for hook in hooks:
        hook.remove()
    np.testing.assert_array_equal(net(x).data, plain + 5)


def test_hooks_take_keywords_come_first_and_end_with_a_block():
    seen = []
    layer = nn.Identity()
    layer.forward = lambda x, scale=1: x * scale
    layer.register_forward_hook(lambda module, args, out: seen.append(out))
    first = layer.register_forward_hook(
        lambda module, args, kwargs, out: out + kwargs["scale"], prepend=True, with_kwargs=True
    )
    with layer.register_forward_pre_hook(lambda module, args, kwargs: (args, {"scale": 10}), with_kwargs=True):
        assert (layer(2, scale=3), seen) == (30, [30])
    first.remove()
    assert (layer(2, scale=3), seen) == (6, [30, 6])
    with pytest.raises(ArgumentError, match="a hook is a function, got int"):
        layer.register_forward_hook(3)
    for wrong in (5, (), ({}, ()), (1, {})):
        with layer.register_forward_pre_hook(lambda module, args, kwargs, wrong=wrong: wrong, with_kwargs=True):
            with pytest.raises(ArgumentError, match="gives None or the tuple of arguments and the dict"):
                layer(2)


@pytest.mark.parametrize("again", ["register", "assign after del"])
def test_a_buffer_that_is_entered_anew_is_saved(again):
    module = nn.Module()
    module.register_buffer("steps", ad.tensor(np.zeros(1)), persistent=False)
    assert module.state_dict() == {}
    if again != "register":
        del module.steps
    module.register_buffer("steps", ad.tensor(np.ones(1)))
    assert list(module.state_dict(prefix="net.")) == ["net.steps"]


def test_a_name_stands_in_one_table():
    module = nn.Linear(2, 1)
    with pytest.raises(ArgumentError, match="'weight' is taken"):
        module.register_buffer("weight", ad.tensor(np.ones(2)))
    with pytest.raises(ArgumentError, match="'bias' is taken"):
        module.add_module("bias", nn.Identity())
    module.register_parameter("weight", nn.Parameter(np.ones((1, 2))))
    assert module.load_state_dict({"weight": np.ones((1, 2))}, strict=False).missing_keys == ["bias"]
