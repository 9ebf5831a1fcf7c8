"""``vmap`` over everything: each operation of the registry, each NumPy callable, and programs that decide by values."""

import sys
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
import nn.functional as F
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.testing.draw import RandomDraw

sys.path.insert(0, str(Path(__file__).parents[1] / "arrays"))
from test_numpy_coverage import CASES

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
ROWS = np.random.default_rng(0).normal(size=(4, 5))
PLACES = np.arange(4)


def values(t):
    return [np.asarray(getattr(part, "data", part)) for part in (t if isinstance(t, tuple | list) else (t,))]


def one_by_one(f, rows):
    found = [values(f(*[row[k] for row in rows])) for k in range(len(rows[0]))]
    return [np.stack(column) for column in zip(*found, strict=True)]


def same(f, rows):
    for found, truth in zip(values(ad.vmap(f)(*rows)), one_by_one(f, rows), strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", sorted(set(registry) - {"vector_of"}))  # a user's own, of test_contract.py
def test_every_operation(name):
    op = registry[name]
    args, attrs = sample_call(op, RandomDraw(np.random.default_rng(0)))
    count = len(op.inputs)
    given, extra = (list(args[0]), args[1:]) if op.variadic else (list(args[:count]), args[count:])
    moving = [i for i, a in enumerate(given) if a is not None and np.asarray(a).dtype.kind in "fc"]

    def f(*parts):
        full = list(given)
        for i, part in zip(moving, parts, strict=True):
            full[i] = part
        return op.function(full, *extra, **attrs) if op.variadic else op.function(*full, *extra, **attrs)

    if moving:
        same(f, [np.stack([np.asarray(given[i]), np.asarray(given[i]) * 1.01]) for i in moving])


@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if name != "ldexp"))
def test_every_numpy_function(name):
    """As it is, and its gradient: ``grad`` of ``vmap`` and ``vmap`` of ``grad``."""
    f, args = CASES[name][:2]
    rows = [np.stack([np.asarray(a), np.asarray(a) * 1.01 + 0.001]) for a in args]
    same(f, rows)
    truth = one_by_one(f, rows)
    if rows[0].dtype.kind != "f" or len(truth) > 1 or truth[0].dtype.kind != "f":
        return
    u = np.cos(np.arange(truth[0].size)).reshape(truth[0].shape)

    def slope(x, weight, *rest):
        return ad.grad(lambda z: np.sum(f(z, *rest) * weight))(x)

    (expected,) = one_by_one(slope, [rows[0], u, *rows[1:]])
    (inside,) = values(ad.vmap(slope)(rows[0], u, *rows[1:]))
    outside = ad.grad(lambda x: np.sum(ad.vmap(f)(x, *rows[1:]) * u))(rows[0])
    np.testing.assert_allclose(inside, expected, atol=1e-10)
    np.testing.assert_allclose(outside, expected, atol=1e-10)


def halved(x):
    y = np.sum(x) ** 2
    while y > 1:
        y = y / 2
    return y


PROGRAMS = {
    "if": (lambda x: x * 2 if x.sum() > 0 else x * 3, [ROWS]),
    "float": (lambda x: x * float(x[0]), [ROWS]),
    "item": (lambda x: x * x[0].item(), [ROWS]),
    "iteration": (lambda x: sum(v * v for v in x), [ROWS]),
    "index": (lambda x, i: x[i], [ROWS, PLACES]),
    "int": (lambda x, i: x[int(i) : int(i) + 2], [ROWS, PLACES]),
    "argmax": (lambda x: x[np.argmax(x)], [ROWS]),
    "mask": (lambda x: x[x > 0].sum(), [ROWS]),
    "while": (halved, [ROWS]),
    "grad of an if": (ad.grad(lambda x: np.sum(x**2) if x[0] > 0 else np.sum(x)), [ROWS]),
    "grad of an index": (lambda x, i: ad.grad(lambda z: z[i] ** 2)(x), [ROWS, PLACES]),
    "grad of the largest": (ad.grad(lambda x: np.take_along_axis(x, np.argsort(x)[-2:], 0).prod()), [ROWS]),
    "grad of a loop": (ad.grad(halved), [ROWS]),
    "jvp of sort": (lambda x: ad.jvp(np.sort, (x,), (x * x,))[1], [ROWS]),
    "jacfwd of sort": (ad.jacfwd(lambda x: np.sort(x) ** 2), [ROWS]),
    "jacrev of sort": (ad.jacrev(lambda x: np.sort(x) ** 2), [ROWS]),
    "hessian": (ad.hessian(lambda x: np.sum(np.sort(x) * np.arange(5) ** 2) + np.prod(x)), [ROWS]),
    "classes": (lambda x, i: ad.grad(lambda z: F.cross_entropy(z[None], i[None]))(x), [ROWS, PLACES]),
    "inside another": (lambda x: ad.vmap(lambda z: np.sort(x) * z)(x), [ROWS]),
    "grad of another": (ad.grad(lambda x: np.sum(ad.vmap(lambda z: np.sort(x) * z)(x))), [ROWS]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_decide_by_values(name):
    same(*PROGRAMS[name])


@pytest.mark.parametrize("f", [np.divide, np.arctan2, np.hypot, np.power, np.logaddexp, np.maximum, np.multiply])
def test_derivatives_at_special_numbers_are_those_of_one_example(f):
    points = np.array([0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan, 1e308, 1e-310])
    rows = [part.ravel() for part in np.meshgrid(points, points)]
    with np.errstate(all="ignore"):
        same(ad.grad(f, (0, 1)), rows)
        same(lambda a, b: ad.jvp(f, (a, b), (1.0, 1.0))[1], rows)


VIEWS = {
    "slice": lambda y: y[1:3],
    "slice backwards": lambda y: y[::-1][:2],
    "one element": lambda y: y[1:2].squeeze(),
    "new axis": lambda y: y[None],
    "reshape": lambda y: y.reshape(5, 1)[2:],
    "ravel": lambda y: np.ravel(y)[:2],
    "transpose": lambda y: y.reshape(1, 5).T[3],
    "moveaxis": lambda y: np.moveaxis(y[None], 0, 1)[1],
    "split": lambda y: np.array_split(y, 2)[1],
    "rows": lambda y: list(y.reshape(5, 1))[4],
    "flip": np.flip,
    "ravel of a part": lambda y: np.ravel(y.reshape(5, 1)[1:3]),
    "a number": lambda y: y[1],
    "a number that is a view": lambda y: y[1, ...],
    "each number": lambda y: list(y)[2],
    "einsum": lambda y: np.einsum("ii->i", y[:4].reshape(2, 2)),
    "copy": lambda y: y[[0, 2]],
}


@pytest.mark.parametrize("name", VIEWS)
def test_writes_through_views_reach_every_example(name):
    def f(x):
        y = x * 1
        s = VIEWS[name](y)
        s *= x[0]
        return y * s.sum()

    same(f, [ROWS])
    same(lambda x: ad.grad(lambda z: f(z).sum())(x), [ROWS])
    same(lambda x: ad.jvp(f, (x,), (x,))[1], [ROWS])
    out, pushed = ad.jvp(ad.vmap(f), (ROWS,), (ROWS,))
    np.testing.assert_array_equal(out, ad.vmap(f)(ROWS))
    np.testing.assert_allclose(pushed, ad.vmap(lambda x: ad.jvp(f, (x,), (x,))[1])(ROWS))


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_numpy_gives_shares_memory_with_its_argument_or_not(name):
    f, args = CASES[name][:2]

    def g(x):
        y = x * 1.0
        found = f(y, *args[1:])
        for v in found if isinstance(found, tuple | list) else (found,):
            try:
                if np.ndim(v) and v.dtype.kind in "fc":
                    v[...] = 3 * v + 1
            except ValueError:  # a read-only view
                return -y
        return y

    rows = np.stack([np.asarray(args[0])] * 2)
    if rows.dtype.kind in "fc":
        truth = [np.stack([g(row) for row in rows])]
        for found, right in zip((ad.vmap(g)(rows), g(ad.tensor(rows[0]))), (truth[0], truth[0][0]), strict=True):
            np.testing.assert_allclose(values(found)[0], right)


def written(write):
    def f(x):
        y, plain, tensor = x * 1, np.arange(5.0), ad.tensor(np.arange(5.0))
        for target in (y, plain, tensor):
            write(target, x)
        return np.asarray(plain) + y + tensor

    return f


WRITES = {
    "copyto": lambda y, x: np.copyto(y, x[::-1]),
    "copyto where": lambda y, x: np.copyto(y, 7.0, where=x > 0),
    "put": lambda y, x: np.put(y, [1], x[0]),
    "put there": lambda y, x: np.put(y, np.argmax(x), 7.0),
    "place": lambda y, x: np.place(y, x > 0, [7.0, 8.0]),
    "putmask": lambda y, x: np.putmask(y, y > x, x[::-1]),
    "put_along_axis": lambda y, x: np.put_along_axis(y, np.argsort(x), np.arange(5.0), 0),
    "fill_diagonal": lambda y, x: np.fill_diagonal(y[:4].reshape(2, 2), x[0]),
    "add.at": lambda y, x: np.add.at(y, [np.argmax(x)] * 2, x[0]),
    "fill": lambda y, x: y.fill(x[0]),
    "an element": lambda y, x: y.__setitem__(1, x[0]),
    "a part": lambda y, x: y.__setitem__(slice(2, 4), x[:2] * x[0]),
    "a mask": lambda y, x: y.__setitem__(x > 0, 7.0),
    "out": lambda y, x: np.multiply(x, 2.0, out=y),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_an_example_writes_is_its_own(name):
    """Also into plain arrays, of which there is one for all examples that are computed at once."""
    same(written(WRITES[name]), [ROWS])


def test_an_array_that_all_share_becomes_an_example_s_own_as_it_lies():
    def f(x):
        y = np.zeros_like(x)
        y[1:] = x[0]
        s = np.ravel(y)  # a view, since it has no gaps
        s *= 2
        return y

    same(f, [ROWS])


def test_options_that_differ_reach_numpy_one_by_one():
    def f(x):
        return np.stack(
            [np.full(2, x).sum(), np.sum(np.ones(3), initial=x), np.select([PLACES > 1], [PLACES], x).sum()]
        )

    same(f, [ROWS[0]])


@pytest.mark.parametrize("error", [ValueError, KeyError, ad.ShapeError, ZeroDivisionError])
def test_an_error_of_the_function_is_raised_at_its_first_call(error):
    """Only values that nobody can give for all examples at once make it run once for each."""
    calls = []

    def f(x):
        calls.append(1)
        raise error("mine")

    with pytest.raises(error, match="mine"):
        ad.vmap(f)(ROWS)
    assert len(calls) == 1


def test_a_fault_in_a_rule_shows(monkeypatch):
    from autodiff import mapping

    def faulty(op, given, attrs):
        raise RuntimeError("a fault in a batching rule")

    monkeypatch.setitem(mapping._RULES, "cumsum", faulty)
    with pytest.raises(RuntimeError, match="batching rule"):
        ad.vmap(np.cumsum)(ROWS)


@pytest.mark.parametrize(
    ("f", "looped"),
    [
        (lambda x: np.tanh(x) @ x, ()),
        (lambda x: F.softmax(x, dim=0), ()),
        (lambda x: np.linalg.matrix_power(np.outer(x, x), 2), ()),
        (ad.grad(lambda x: np.sum(x**3)), ()),
        (lambda x: ad.linalg.expm(np.outer(x, x) / 9), ("expm",)),
        (lambda x: x[np.argmax(x)], ("what depends on an example's own values",)),
        (ad.special.logsumexp, ()),
        (ad.hessian(ad.special.logsumexp), ()),
        (lambda x: ad.special.logsumexp(x, axis=0, b=np.arange(5.0), keepdims=True), ()),
        (ad.grad(lambda x: np.sum(np.abs(x) ** 1.5 + np.logaddexp(x, 0.1)) + np.max(x) * np.prod(x)), ()),
        (lambda x: np.sort(x) + np.nanmean(x) + np.median(x) + np.cumprod(np.ravel(x)) + np.clip(x, -1, 1), ()),
        (lambda x: np.take_along_axis(x, np.argsort(-x), 0) * np.take_along_axis(np.arange(5.0), np.argsort(x), 0), ()),
        (lambda x: x if x[0] < 1e9 else -x, ()),
        (lambda x: x if x[0] > 0 else -x, ("the whole function",)),
    ],
)
def test_what_ran_once_per_example_is_told(f, looped):
    mapped = ad.vmap(f)
    assert mapped.looped == []
    found = mapped(ROWS)
    assert mapped.looped == list(looped)
    np.testing.assert_allclose(found, np.stack([np.asarray(f(row)) for row in ROWS]), rtol=1e-12)


def test_tangents_of_vectors_that_are_arbitrary_are_pushed_example_by_example():
    """Truth: the eigenvalues of [[0, b], [-b, 0]] are b i and -b i."""
    turn = lambda t: np.linalg.eigvals(ad.stack([ad.stack([t[0] * 0, t[1]]), ad.stack([-t[1], t[0] * 0])]))
    points = np.array([[0.3, 1.2], [0.1, 0.7]])
    found = ad.vmap(ad.jacfwd(turn))(points)
    np.testing.assert_allclose(np.abs(found), [[[0.0, 1.0]] * 2] * 2, atol=1e-14)
    np.testing.assert_allclose(found, [ad.jacfwd(turn)(point) for point in points])


@pytest.mark.parametrize("given", [(np.ones(3),), (1.5,), (0, np.ones(2)), ((0, 2.0),), (True,)])
def test_axes_are_numbers_and_arguments_come_in_a_call_of_their_own(given):
    with pytest.raises(ad.ArgumentError, match=r"write vmap\(f\)\(x\)"):
        ad.vmap(np.sin, *given)


@pytest.mark.parametrize(
    "f",
    [
        np.cumsum,
        np.cumprod,
        lambda x: np.roll(x, 1),
        lambda x: np.concatenate([x, x], axis=None),
        lambda x: np.sort(x, axis=None),
        lambda x: np.linalg.norm(x),
        lambda x: x.ravel()[::-1],
    ],
)
def test_there_may_be_no_examples(f):
    """NumPy's -1 in a shape says nothing of an array without elements."""
    found = ad.vmap(f)(np.zeros((0, 2, 3)))
    assert np.shape(found) == (0, *np.shape(f(np.zeros((2, 3)))))
    assert np.shape(ad.vmap(ad.grad(lambda x: np.sum(f(x))))(np.zeros((0, 2, 3)))) == (0, 2, 3)


@pytest.mark.parametrize("f", [lambda x: np.argsort(x, axis=None), np.argmax, lambda x: np.argmin(x, keepdims=True)])
def test_of_no_examples_there_are_no_places(f):
    assert np.shape(ad.vmap(f)(np.zeros((0, 2, 3)))) == (0, *np.shape(f(np.zeros((2, 3)))))


def test_the_number_of_examples_may_be_told():
    same(ad.vmap(lambda x: 2 * x, axis_size=5), [ROWS])
    np.testing.assert_array_equal(ad.vmap(np.sum, in_axes=None, axis_size=2)(ROWS[0]), np.repeat(ROWS[0].sum(), 2))
    assert ad.vmap(lambda: np.ones(3), axis_size=0)().shape == (0, 3)
    cubes = ad.vmap(lambda x: x**3, in_axes=None, axis_size=4)
    assert ad.grad(lambda x: cubes(x).sum())(2.0) == 48.0
    for size, words in ((3, "lengths"), (-1, "how many"), (2.0, "how many")):
        with pytest.raises(ad.ArgumentError, match=words):
            ad.vmap(np.sum, axis_size=size)(ROWS)


@pytest.mark.parametrize("f", [lambda x: np.linalg.slogdet(x)[1], np.linalg.cholesky, np.linalg.inv])
def test_factorisations_of_no_matrices(f):
    none = np.zeros((0, 3, 3))
    assert np.shape(ad.vmap(f)(none)) == (0, *np.shape(f(np.eye(3))))
    assert np.shape(ad.vmap(ad.grad(lambda x: np.sum(f(x))))(none)) == (0, 3, 3)
    assert np.shape(ad.vmap(lambda x: ad.jvp(f, (x,), (np.ones((3, 3)),))[1])(none)) == (0, *np.shape(f(np.eye(3))))


MADE = """{v}[::-1]|{v}[1:]|{v}[0]|{v}[...,None]|{v}[0:1]|{v}.T|np.ravel({v})|np.squeeze({v})|np.zeros_like({v})|{v}*{e}
|{v}[[0,-1]]|np.moveaxis({v},0,-1)|np.array_split({v},2)[1]|np.where({v}>0,{v},{e})|{v}.reshape(-1)""".replace(
    "\n", ""
).split("|")
DONE = """{v}+={e}|{v}*={e}|{v}[...]=np.cos({v})*{e}|{v}[-1]={e}|{v}[{v}>0.3]={e}|np.tanh({v},out={v})|{v}[1:]+={v}[:-1]
|np.copyto({v},{e},where={v}>0)|np.add.at({v},[0,0],{e})|{v}.sort(0)|np.put({v},[1],{e})|np.putmask({v},{v}>{e},{e})
|{v}.flat[::2]={e}|np.cumsum({v},axis=0,out={v})""".replace("\n", "").split("|")
WITH = ["x[0,0]", "0.5", "{v}.sum()*0.1", "np.max({v})*0.1", "{v}.ravel()[0]"]


def program(seed):
    """Lines that take views of ``y`` and write into them, and what is left of all."""
    draw, names, lines = np.random.default_rng(seed), ["y"], []
    for _ in range(draw.integers(4, 9)):
        v, e = draw.choice(names), draw.choice(WITH).format(v=draw.choice(names))
        if draw.random() < 0.45:
            names.append(f"a{len(names)}")
            lines.append(f"{names[-1]}={draw.choice(MADE)}")
        else:
            lines.append(str(draw.choice(DONE)))
        lines[-1] = lines[-1].format(v=v, e=e)
    total = "+".join(f"np.sum(np.cos({n}) * np.arange({n}.size).reshape({n}.shape))" for n in names)
    scope = {"np": np}
    exec("\n ".join(["def f(x):", "y = x * 1", *lines, f"return {total}"]), scope)
    return scope["f"]


@pytest.mark.parametrize("block", range(4))
def test_random_programs_of_views_and_writes(block):
    ran = 0
    for seed in range(40 * block, 40 * block + 40):
        f, rows = program(seed), np.random.default_rng(seed).normal(size=(2, 3, 4))
        try:
            truth = [f(row.copy()) for row in rows]
        except (ValueError, TypeError, IndexError):  # NumPy refuses a step
            continue
        ran += 1
        np.testing.assert_allclose(ad.vmap(f)(rows), truth, err_msg=f"program {seed}")
        np.testing.assert_allclose(ad.vmap(ad.value_and_grad(f))(rows)[0], truth, err_msg=f"program {seed}")
    assert ran > 25


FROM_OUTSIDE = {
    "an element": lambda held, x: held.__setitem__(0, x[0]),
    "through a view": lambda held, x: held[1:].__setitem__(0, x[0]),
    "in place": lambda held, x: held.__iadd__(x),
    "copyto": lambda held, x: np.copyto(held, x),
    "out=": lambda held, x: np.add(x, 1, out=held),
}


@pytest.mark.parametrize("name", FROM_OUTSIDE)
def test_what_an_example_wrote_into_a_tensor_from_outside_is_not_used_after_it(name):
    held = ad.tensor(np.arange(5.0))

    def f(x):
        FROM_OUTSIDE[name](held, x)
        return held * 1

    ad.vmap(f)(ROWS)
    for use in (
        lambda: held * 2,
        lambda: np.sum(held),
        lambda: np.asarray(held),
        lambda: ad.vmap(lambda x: x * held)(ROWS),
    ):
        with pytest.raises(ad.GraphError, match="a vmap that has ended"):
            use()


@pytest.mark.parametrize("times", [2, (2, 1), (1, 3), 1])
def test_what_tile_gives_may_be_written_into(times):
    def f(x):
        y = np.tile(x, times)
        y[..., 0] = x[1]
        return y * 1

    np.testing.assert_array_equal(ad.vmap(f)(ROWS), [f(row.copy()) for row in ROWS])


def indices(r, shape):
    """An index of some of the axes, of every kind that NumPy takes."""
    parts = []
    for n in shape[: r.integers(1, len(shape) + 1)]:
        some = tuple(r.integers(-n, n, 2).tolist())
        kinds = [0, np.int64(1), np.array(1), slice(None), slice(None, None, -1), some, list(some), np.array(some)]
        kinds += [range(2), np.arange(n) > 0, (some, some), True, None, Ellipsis]
        part = kinds[r.integers(len(kinds))]
        if part is not Ellipsis or not any(other is Ellipsis for other in parts):
            parts.append(part)
    return tuple(parts)


@pytest.mark.parametrize("block", range(4))
def test_every_kind_of_index(block):
    r = np.random.default_rng(block)
    shape = (2, 3, 2, 3)
    x = np.arange(36.0).reshape(shape)
    tried = 0
    while tried < 60:
        index = indices(r, shape)
        try:
            places = np.arange(36).reshape(shape)[index]
        except (IndexError, ValueError):
            continue
        tried += 1
        np.testing.assert_array_equal(ad.vmap(lambda t, i=index: t[i])(np.stack([x, -x])), [x[index], -x[index]])
        jacobian = np.eye(36)[places].reshape(*places.shape, *shape)
        np.testing.assert_array_equal(ad.jacrev(lambda t, i=index: t[i])(x), jacobian, err_msg=repr(index))
        np.testing.assert_array_equal(ad.jacfwd(lambda t, i=index: t[i])(x), jacobian, err_msg=repr(index))
        value = np.arange(float(places.size)).reshape(places.shape)

        def written(v, i=index):
            t = ad.tensor(x)
            t[i] = v
            return t

        truth = [x.copy(), x.copy()]
        truth[0][index], truth[1][index] = value, -value
        np.testing.assert_array_equal(ad.vmap(written)(np.stack([value, -value])), truth, err_msg=repr(index))


@pytest.mark.parametrize(
    "f",
    [
        lambda m: np.logical_or.reduce(m),
        lambda m: np.logical_and.reduce(m, axis=1),
        lambda m: np.add.reduce(m, dtype=np.int8),
        lambda m: np.where(m)[0].sum(),
    ],
)
def test_reductions_and_places_of_masks(f):
    x = np.arange(24.0).reshape(2, 3, 4) % 7
    found, truth = ad.vmap(lambda row: f(row > 2))(x), np.stack([f(row > 2) for row in x])
    np.testing.assert_array_equal(found, truth)
    assert found.dtype == truth.dtype
