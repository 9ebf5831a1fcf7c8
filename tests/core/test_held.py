"""What a graph keeps is the graph's: a plain array may be written into after its use.

The law over all operations is ``edits_after_use_are_harmless`` of autodiff.testing; here are whole programs, random
ones of benchmarks/array_programs.py (``AUTODIFF_PROGRAMS`` says how many), and what must not be copied.
"""

import contextlib
import gc
import os
import re
import sys
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import implicit, integrate
from autodiff.core.graph import time
from autodiff.core.op import Primitive, hold
from autodiff.testing.laws import DOORS
from autodiff.writes import _checksum, lent, overwritten
from benchmarks.array_programs import check
from nn import functional as F


def leaf(values):
    return ad.tensor(np.array(values, float), requires_grad=True)


def test_a_buffer_in_a_loop():
    x, buf, total = leaf(np.ones(3)), np.zeros(3), 0.0
    for k in range(3):
        buf[:] = k
        total = total + (x * buf).sum() + (buf @ x) + np.dot(x, buf) + np.sum(x / (1 + buf))
    total.backward()
    np.testing.assert_allclose(x.grad, 9.0 + 1 + 1 / 2 + 1 / 3)


def test_masks_and_indices():
    x = leaf([1.0, 2.0, 3.0])
    mask, places, rows = np.array([True, False, True]), np.array([0, 0, 2]), [0, 2]
    y = np.where(mask, x, 0.0).sum() + (x[mask] * 10).sum() + (x[places] * 100).sum() + (x[rows] * 1000).sum()
    z = x * 1.0
    z[places] = z[mask][0]
    y = y + np.sum(z * 0.5)
    mask[:], places[:], rows[:] = False, 1, [1, 1]
    y.backward()
    np.testing.assert_allclose(x.grad, [1211.0 + 1.0, 0.5, 1111.0])


def test_views_of_buffers_and_their_bases():
    x, base = leaf(np.ones((2, 2))), np.arange(16.0).reshape(4, 4)
    part = base[1:3, ::2]
    kept = part.copy()
    joined = ad.broadcast_arrays(x, part)[1]
    shaped = ad.reshape(part, (2, 2)) + 0 * x
    turned = ad.transpose(base[:2, :2])
    corner = base[:2, :2].T.copy()
    y = np.sum(x * part) + np.sum(x * joined) + np.sum(x * x * shaped) + np.sum(x * turned)
    base[:] = -100.0
    y.backward()
    np.testing.assert_array_equal(x.grad, 4 * kept + corner)


def test_layers_keep_their_inputs():
    w = leaf(np.ones((2, 3)))
    batch, target = np.ones((4, 3)), np.array([0, 1, 1, 0])
    loss = F.cross_entropy(F.linear(batch, w), target)
    right = ad.gradients(loss, w, retain_graph=True)
    batch[:], target[:] = 7.0, 1
    np.testing.assert_array_equal(ad.gradients(loss, w), right)
    images, kernel = np.ones((1, 1, 4, 4)), leaf(np.ones((1, 1, 2, 2)))
    y = np.sum(F.conv2d(images, kernel))
    images[:] = 0
    y.backward()
    np.testing.assert_array_equal(kernel.grad, np.full((1, 1, 2, 2), 9.0))


def test_higher_orders_and_transforms():
    def f(x):
        buf = np.array([1.0])
        total = (x**3 * buf).sum()
        buf[0] = 2.0
        return total + (x**3 * buf).sum()

    x = np.array([2.0])
    np.testing.assert_allclose(ad.grad(f)(x), [36.0])
    np.testing.assert_allclose(ad.hessian(f)(x), [[36.0]])
    np.testing.assert_allclose(ad.jvp(f, (x,), (np.ones(1),))[1], 36.0)
    with ad.composed():
        np.testing.assert_allclose(ad.grad(f)(x), [36.0])
    with ad.plain():
        np.testing.assert_allclose(ad.grad(f)(x), [36.0])
    step = ad.compile(lambda t: ad.grad(f)(t))
    for _ in range(3):
        np.testing.assert_allclose(step(x), [36.0])


def test_the_argument_of_a_transform_may_be_written_into():
    x = np.array([1.0, 2.0])

    def f(t):
        y = np.sum(t * t)
        x[:] = 50.0
        return y

    np.testing.assert_array_equal(ad.grad(f)(x), [2.0, 4.0])


def test_what_a_node_kept_is_not_kept_again():
    own = np.ones(3)
    own.setflags(write=False)
    assert hold(own) is own
    view = np.ones(4)[1:]
    view.setflags(write=False)
    assert hold(view) is not view
    once = hold(np.ones(3))
    assert hold(once) is once
    for layout in (np.asfortranarray(np.ones((3, 2))), np.ones((2, 3)).T):
        assert hold(layout).strides == layout.strides


def test_nothing_is_copied_where_no_gradient_is_asked_for():
    a = np.ones(3)
    t = ad.tensor(a)
    assert (t * a)._node is None
    x = leaf(np.ones(3))
    y = x + a  # no rule reads a
    assert not any(s is not None and np.shape(s) == (3,) and isinstance(s, np.ndarray) for s in y._node.saved)


@pytest.mark.parametrize("first", range(0, int(os.environ.get("AUTODIFF_PROGRAMS", "120")), 40))
def test_random_programs(first):
    for number in range(first, first + 40):
        check(number)


# --- what was handed out, and may be written into at any time


def right_or_refused(program, right):
    try:
        found = program()
    except (ad.GraphError, ValueError) as error:
        if not re.search("in place|read-only", str(error)):
            raise
        return
    np.testing.assert_allclose(found, right)


def edited_later(door):
    x = leaf([0.0, 1.0])
    y = np.exp(x)
    z = (y * y).sum()
    door(y)[:] = 7.0
    z.backward()
    return x.grad


def edited_between_uses(door):
    x = leaf([0.0, 1.0])
    held = door(x)
    z = np.exp(x).sum()
    held[:] = 7.0
    z.backward()
    return x.grad


def torch_of(t):
    return pytest.importorskip("torch").from_dlpack(t.detach())


@pytest.mark.parametrize("door", [*DOORS.values(), torch_of], ids=[*DOORS, "torch.from_dlpack"])
def test_every_door(door):
    right_or_refused(lambda: edited_later(door), 2 * np.exp([0.0, 2.0]))
    np.testing.assert_allclose(edited_between_uses(door), np.exp([0.0, 1.0]))
    with ad.plain():
        right_or_refused(lambda: edited_later(door), 2 * np.exp([0.0, 2.0]))
        np.testing.assert_allclose(edited_between_uses(door), np.exp([0.0, 1.0]))


def test_tensors_that_share_memory_keep_their_values_apart():
    """While a program holds the memory, a write goes into it; the other tensor of a detach() keeps what it held."""
    weights = np.array([1.0, 2.0, 4.0])
    for lender, writer in (("a", "a"), ("a", "d"), ("d", "a"), ("d", "d")):
        x = leaf([0.3, 0.5, 0.7])
        a = x * 1
        tail, d = a[1:], a.detach()
        held = (a if lender == "a" else d).data
        (a if writer == "a" else d)[0] = 5.0 * x[1]
        after = ad.constant(x).data.copy()
        after[0] = 2.5
        for name, t in (("a", a), ("d", d)):
            np.testing.assert_array_equal(t.data, after if name == writer else x.data)
        np.testing.assert_array_equal(tail.data, x.data[1:])
        right = np.array([0.0, 25.0 + 2.0, 5.6]) if writer == "a" else 2 * weights * x.data
        np.testing.assert_allclose(ad.gradients((a * a * weights).sum(), x), right)
        held[1] = 9.0  # whoever holds it now, its gradient is refused from here on
        written = a if np.shares_memory(held, a._array) else d
        if written.requires_grad:
            with pytest.raises(ad.GraphError, match="was written into"):
                ad.gradients((written * written).sum(), x)


@pytest.mark.parametrize("door", [*DOORS.values(), torch_of], ids=[*DOORS, "torch.from_dlpack"])
def test_a_constant_that_is_lent_and_then_given_a_tracked_value(door):
    x, c = leaf([0.3, 0.5]), ad.tensor(np.ones(2))
    held = door(c)
    c[:1] = x[:1]
    held[0] = 9.0
    with pytest.raises(ad.GraphError, match="was written into"):
        ad.gradients((c * c).sum(), x)


def test_an_update_by_hand_is_what_it_was():
    x = leaf(np.full(3, 2.0))
    for _ in range(3):
        (x * x).sum().backward()
        x.data -= 0.25 * x.grad
        x.grad = None
    np.testing.assert_array_equal(x.data, np.full(3, 0.25))
    x.data[1] = 5.0
    x.data = x.data + 1.0
    np.testing.assert_array_equal(x.data, [1.25, 6.0, 1.25])
    assert np.shares_memory(x.data, x.detach().data)


def test_reading_refuses_nothing_and_copies_nothing():
    x = leaf(np.ones(3))
    y = np.exp(x)
    mean = y.data.mean()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)
    assert mean == np.e
    z = x * x
    assert z._node.saved[1] is x._array  # nobody can reach it any more
    held = x.data
    assert (x * x)._node.saved[1] is not x._array
    del held
    assert (x * x)._node.saved[1] is x._array
    assert id(x._array) not in time.lent


def test_an_array_that_is_assigned_is_copied():
    x, a = leaf(np.ones(2)), np.array([3.0, 4.0])
    x.data = a
    y = (x * x).sum()
    a[:] = 0.0
    y.backward()
    np.testing.assert_array_equal(x.grad, [6.0, 8.0])


def inside(transform, edit):
    def f(x):
        c = ad.tensor(np.ones(2))
        y = np.exp(x) * c
        z = (y * y).sum()
        edit(y, c)
        return z

    return transform(f)(np.array([0.0, 1.0]))


@pytest.mark.parametrize("name", ["grad", "jacobian", "jacrev", "jacfwd", "hessian"])
def test_inside_transforms(name):
    right = np.diag(4 * np.exp([0.0, 2.0])) if name == "hessian" else 2 * np.exp([0.0, 2.0])

    def write(y, c):
        y.data[:] = 5.0

    def assign(y, c):
        c[0] = 5.0

    for edit in (write, assign):
        right_or_refused(lambda edit=edit: inside(getattr(ad, name), edit), right)
    np.testing.assert_allclose(inside(getattr(ad, name), assign), right)


def test_what_transforms_hand_out():
    x, right = np.array([0.0, 1.0]), np.exp([0.0, 1.0])

    def pulled():
        y, pull = ad.vjp(np.exp, x)
        y[:] = 7.0
        return pull(np.ones(2))[0]

    def pushed():
        y, push = ad.linearize(np.exp, x)
        y[:] = 7.0
        return push(np.ones(2))

    def closed_over():
        w = leaf([1.0, 1.0])
        _, push = ad.linearize(lambda t: w * np.exp(t), x)
        w.data[:] = 7.0
        return ad.constant(push(np.ones(2))).data

    def hooked():
        a, b = leaf(x), leaf(x)
        a.register_hook(lambda g: g.data.fill(0.0))
        (a + b).backward(right)
        return b.grad

    for program in (pulled, pushed, closed_over, hooked):
        right_or_refused(program, right)


def test_rules_of_ones_own_and_checkpoints():
    buffer = np.ones(2)
    mine = ad.custom_vjp(lambda scale, x: scale * x * x, nondiff_argnums=(0,))
    mine.defvjp(
        lambda scale, x: (scale * x * x, (x, buffer)), lambda scale, kept, g: (2 * scale * kept[0] * kept[1] * g,)
    )

    def run(call):
        x, scale = leaf([1.0, 2.0]), np.ones(2)
        buffer[:] = 1.0
        y = call(scale, x).sum()
        scale[:] = buffer[:] = 9.0
        y.backward()
        return x.grad

    np.testing.assert_array_equal(run(mine), [2.0, 4.0])
    np.testing.assert_array_equal(run(ad.checkpoint(lambda scale, x: scale * x * x)), [2.0, 4.0])
    with pytest.raises(ad.GraphError, match="gave other values"):
        run(ad.checkpoint(lambda scale, x: buffer * x * x))


# Functions that are run once more for the backward pass, and transforms that record what they are given.
AGAIN = {
    **{
        f"solve_ivp {method}": lambda x, b, method=method: np.sum(
            integrate.solve_ivp(lambda t, y: -x * b * y, (0, 1), np.ones(2), method=method).y
        )
        for method in ("RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA")
    },
    "odeint": lambda x, b: np.sum(integrate.odeint(lambda y, t: -b * y, x * x * np.ones(2), [0.0, 0.4, 1.0])),
    "the end of solve_ivp": lambda x, b: np.sum(integrate.solve_ivp(lambda t, y: -b * y, (0, x), np.ones(2)).y[:, -1]),
    "quad": lambda x, b: integrate.quad(lambda s: np.exp(-x * s * b[0]), 0, 1)[0],
    "the end of quad": lambda x, b: integrate.quad(lambda s: np.exp(-s * b[0]), 0, x)[0],
    "root": lambda x, b: np.sum(implicit.root(lambda z: z**3 + b * z - x, np.ones(2)).x),
    "fixed_point": lambda x, b: np.sum(implicit.fixed_point(lambda z: np.cos(z * b / 3) + x / 5, np.ones(2))),
    "linear_solve": lambda x, b: np.sum(implicit.linear_solve(lambda v: b * v * x, np.ones(2))),
    "scan": lambda x, b: np.sum(ad.scan(lambda c, _: (c * b * x, c), np.ones(2), None, length=3)[0]),
    "vmap": lambda x, b: np.sum(ad.vmap(lambda c: c * x * x)(b)),
    "vmap, lane by lane": lambda x, b: np.sum(ad.vmap(lambda c: c * x * x if c > 0 else c)(b)),
    "vmap of another axis": lambda x, b: np.sum(ad.vmap(lambda c: c * x * x, in_axes=1)(b[None])),
    "jvp": lambda x, b: ad.jvp(lambda v: np.sum(v * v * x * x), (b,), (np.ones(2),))[1],
    "grad": lambda x, b: ad.grad(lambda v: v * v * b[0] * x * x)(1.0),
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", AGAIN)
def test_what_functions_close_over_and_transforms_are_given(name, order):
    """The buffer is changed before the last pass: the gradient is what it would have been, or refused."""
    if re.match("solve|ode|the end|quad|root|fixed", name):
        pytest.importorskip("scipy")

    def gradient(edit):
        x, buffer = ad.tensor(1.3, requires_grad=True), np.array([1.0, 2.0])
        y = AGAIN[name](x, buffer)
        if order == 2:
            (y,) = ad.gradients(y, [x], create_graph=True)
        if edit:
            buffer[:] = 3.0
        return ad.gradients(y, x)

    try:
        found = gradient(True)
    except ad.GraphError as error:
        assert "gave other values" in str(error)  # noqa: PT017  # the value is as good
    else:
        np.testing.assert_allclose(found, gradient(False), rtol=1e-9)


def test_under_compile():
    def step(x, when):
        held = x.data if when == "before" else None
        y = np.exp(x)
        z = (y * y).sum()
        if when == "before":
            held[:] = 7.0
        elif when == "after":
            y.data[:] = 7.0
        z.backward()
        return x.grad

    for when in ("before", "after", "never"):
        compiled = ad.compile(step)
        for _ in range(4):
            right_or_refused(
                lambda when=when, compiled=compiled: compiled(leaf([0.0, 1.0]), when), 2 * np.exp([0.0, 2.0])
            )


def test_a_checksum_knows_every_change():
    rng = np.random.default_rng(0)
    for n in (1, 7, 1023, 1024, 1025, 5000, 40_000):
        for dtype in (np.float64, np.float32, np.int8, np.complex128):
            a = rng.integers(0, 100, n).astype(dtype)
            before = _checksum(a)
            i = rng.integers(n)
            a[i] += 1
            assert _checksum(a) != before
            a[i] -= 1
            assert _checksum(a) == before
            if n > 1000:
                b = np.sort(a)
                assert _checksum(b) != before or np.array_equal(a, b)


WRITERS = {
    "data": lambda y: np.multiply(y.data, 3.0, out=y.data),
    "a loan that lives on": lambda y: [held := y.data, np.multiply(held, 3.0, out=held)],
    "augmented": lambda y: exec("y.data *= 3.0", {"y": y}),
    "detached": lambda y: np.multiply(y.detach().numpy(), 3.0, out=y.detach().numpy()),
    "a view": lambda y: y[1:].data.fill(2.0),
    "what it is a view of": lambda y: y._view.root.data.fill(2.0),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("plain", [False, True])
def test_a_computed_tensor_that_was_written_into_is_not_gone_on_with(name, plain):
    with ad.plain() if plain else contextlib.nullcontext():
        x = leaf([1.0, 2.0])
        y = (x * 2.0).reshape(1, 2)[0]
        used_before = (y + 1.0).sum()
        kept = WRITERS[name](y)
        out = (y * y).sum()
        with pytest.raises(ad.GraphError, match="was written into"):
            out.backward()
        used_before.backward()
        np.testing.assert_array_equal(x.grad, [2.0, 2.0])
        del kept
        z = x * 2.0
        z *= 3.0  # the tensor itself
        (z.data.mean() + z).sum().backward()
        np.testing.assert_array_equal(x.grad, [8.0, 8.0])


def test_a_loan_and_the_tensor_show_each_other_writes():
    x = leaf(np.ones(3))
    y = x * 2.0
    held = y.data
    before = np.exp(y).sum()
    y[0] = 5.0
    np.testing.assert_array_equal(held, [5.0, 2.0, 2.0])
    (y * y).sum().backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, [0.0, 8.0, 8.0])
    x.grad = None
    before.backward()  # which kept its own
    np.testing.assert_allclose(x.grad, 2 * np.exp([2.0, 2.0, 2.0]))


@pytest.mark.parametrize("argument", ["array", "tensor", "parameter"])
def test_a_transform_takes_its_arguments_as_they_are_when_it_is_called(argument: str) -> None:
    """What the program holds of them, and writes into within the function, is not what the function computes with."""
    ones, start = np.ones(3), np.arange(1.0, 4.0)

    def cubic(held: Any) -> Any:
        def f(x: Any) -> Any:
            y = np.sin(x) * x * x
            if held is not None:
                held[...] = 100.0
            return np.sum(y * x)

        return f

    transforms: dict[str, Any] = {
        "grad": lambda f, x: ad.grad(f)(x),
        "vjp": lambda f, x: ad.vjp(f, x)[1](1.0)[0],
        "jvp": lambda f, x: ad.jvp(f, (x,), (ones,))[1],
        "linearize": lambda f, x: ad.linearize(f, x)[1](ones),
        "hessian": lambda f, x: ad.hessian(f)(x),
        "hvp": lambda f, x: ad.hvp(f, (x,), (ones,))[0],
        "jvp of grad": lambda f, x: ad.jvp(ad.grad(f), (x,), (ones,))[1],
        "jacfwd twice": lambda f, x: ad.jacfwd(ad.jacfwd(f))(x),
        "jacrev twice": lambda f, x: ad.jacrev(ad.jacrev(f))(x),
        "grad of grad": lambda f, x: ad.grad(lambda z: np.sum(ad.grad(f)(z) ** 2))(x),
        "vmap of grad": lambda f, x: ad.vmap(lambda s: ad.grad(f)(x) * s)(np.arange(2.0)),
    }
    for name, transform in transforms.items():
        x: Any = start.copy() if argument == "array" else ad.tensor(start, requires_grad=argument == "parameter")
        held = x if argument == "array" else x.data
        found = ad.constant(transform(cubic(held), x))
        np.testing.assert_array_equal(found.data, transform(cubic(None), start), err_msg=name)


def test_an_array_on_loan_inside_nested_transforms_is_refused_unless_garbage_holds_it() -> None:
    second = Primitive("test_second", lambda x, c: c, lambda g, out, x, c: 0 * g, lambda g, out, x, c: g)
    x = ad.tensor(np.arange(1.0, 4.0))
    curvature = lambda: ad.hessian(lambda z: np.sum(second.function(z, x) * z * z))(np.ones(3))
    held = x.data
    with pytest.raises(ad.GraphError, match="handed out before"):
        curvature()
    ring = [held]
    ring.append(ring)
    gc.disable()
    try:
        del held, ring
        np.testing.assert_array_equal(curvature(), np.diag([2.0, 4.0, 6.0]))
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_leaves_no_array_on_loan() -> None:
    """It meets the callback of a weak reference; another array comes to have the identity of the one that is gone."""

    def interrupted(frame: Any, event: str, arg: Any) -> Any:
        if event == "line":
            raise KeyboardInterrupt
        return interrupted if frame.f_code.co_filename.endswith("writes.py") else None

    for part in (lambda t: t, lambda t: t[1:]):
        product = ad.tensor(np.ones(3)) * 2
        number, loan = id(product._data), part(product).data
        before = sys.gettrace()
        sys.settrace(interrupted)
        del loan, product
        sys.settrace(before)
        assert number in time.lent
        others = [np.ones(3)]
        while id(others[-1]) != number:
            others.append(np.ones(3))
        assert not lent([others[-1]])
        assert not overwritten(others[-1], -1)
        assert number not in time.lent
