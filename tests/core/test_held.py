"""What a graph keeps is the graph's: a plain array may be written into after its use.

The law over all operations is ``edits_after_use_are_harmless`` of autodiff.testing; here are whole programs, random
ones of benchmarks/array_programs.py (``AUTODIFF_PROGRAMS`` says how many), and what must not be copied.
"""

import os

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.op import hold
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
