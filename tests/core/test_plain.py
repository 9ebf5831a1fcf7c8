"""What is there for speed gives the bits of what it is derived from, and shows its source."""

import gc
import inspect
import linecache
import os
import subprocess
import sys
import traceback

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.modes import is_plain
from autodiff.core.op import registry
from autodiff.extend import Primitive
from autodiff.facts import sample_call
from autodiff.testing import RandomDraw
from autodiff.testing.verify import Call
from nn import functional as F

NAMES = sorted(ad._AT_IMPORT)
needs_fast = pytest.mark.skipif(is_plain(), reason="there is nothing but the plain path")


def bits(values):
    return [None if v is None else (v.dtype, v.shape, np.asarray(v).tobytes()) for v in values]


@pytest.mark.parametrize("name", NAMES)
def test_fast_and_plain_give_the_same_bits(name):
    op = registry[name]
    rng = np.random.default_rng([14, *name.encode()])
    for _ in range(3):
        args, kwargs = sample_call(op, RandomDraw(rng))

        def everything(args=args, kwargs=kwargs):
            call = Call(op, args, kwargs)
            draws = np.random.default_rng(5)
            seeds = call.seeds(draws)
            first = call.pull(seeds)
            with np.errstate(all="ignore"):
                tensors = [out for out in call.outs if out.requires_grad]
                again = ad.gradients(
                    tensors,
                    call.leaves,
                    [ad.tensor(s) for s in seeds[: len(tensors)]],
                    create_graph=True,
                    allow_unused=True,
                )
                total = [(g * ad.tensor(draws.normal(size=g.shape))).sum() for g in again if g is not None]
                total = [np.real(t) for t in total if t.requires_grad]
                second = ad.gradients(sum(total[1:], total[0]), call.leaves, allow_unused=True) if total else ()
            return bits([*(out.data for out in call.outs), *first, *second])

        fast = everything()
        with ad.plain():
            assert everything() == fast


@pytest.mark.parametrize(
    "name", [n for n in NAMES if registry[n].pointwise and None not in getattr(registry[n], "rules", ())]
)
@pytest.mark.parametrize("at", [np.inf, np.nan])
def test_fast_and_plain_do_the_same_with_what_is_not_finite(name, at):
    op = registry[name]
    args, kwargs = sample_call(op, RandomDraw(np.random.default_rng([3, *name.encode()])))

    def gradients():
        given = zip(op.parameters, args, strict=False)
        wanted = [p.name in op.inputs and np.asarray(a).dtype.kind in "fc" for p, a in given]
        leaves = [ad.tensor(a, requires_grad=True) if w else a for a, w in zip(args, wanted, strict=True)]
        out = op.function(*leaves, **kwargs)
        if out.requires_grad and out.size:
            seed = np.ones(out.shape, out.dtype)
            seed.flat[0] = at
            with np.errstate(all="ignore"):
                out.backward(seed)
        return bits([getattr(leaf, "grad", None) for leaf in leaves])

    fast = gradients()
    with ad.plain():
        assert gradients() == fast


def test_a_network_takes_the_same_step_either_way():
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=s).astype(np.float32) for s in ((8, 5), (3, 5), (3,)))
    y = np.array([0, 1, 2, 0, 1, 2, 0, 1])

    def gradients():
        leaves = [ad.tensor(a, requires_grad=True) for a in (w, b)]
        hidden = F.linear(x, *leaves)
        loss = F.cross_entropy(np.tanh(hidden) + hidden, y) + 0.1 * (leaves[0] ** 2).sum()
        loss.backward()
        return bits([loss.data, *(t.grad for t in leaves)])

    fast = gradients()
    with ad.plain():
        assert gradients() == fast


@pytest.mark.parametrize(
    "seed", [[0.0, 0.0], [0.0, 1.5], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [np.nan, 0.0], [5e-324, 0.0]]
)
def test_sums_and_layers_send_the_same_bits_whatever_the_shapes_dtypes_and_zeros(seed):
    shapes = [(), (1,), (len(seed),), (2, 1), (1, len(seed)), (2, len(seed))]
    rng = np.random.default_rng(1)
    starts = [rng.normal(size=shape).astype(dtype) for shape in shapes for dtype in (np.float32, np.float64, complex)]

    def gradients():
        leaves = [ad.tensor(a, requires_grad=True) for a in starts]
        total = leaves[0]
        for leaf in leaves[1:]:
            total = total + leaf - 0.5
        pole = np.sqrt(np.abs(total.real) * np.arange(len(seed)))
        with np.errstate(all="ignore"):
            (total + F.linear(pole, np.eye(len(seed)), leaves[7].real)).backward(np.array([seed, seed]))
        return bits([t.grad for t in leaves])

    fast = gradients()
    with ad.plain():
        assert gradients() == fast


def test_a_graph_made_one_way_is_walked_the_other():
    x = ad.tensor([0.3, 0.7], requires_grad=True)
    out = np.tanh(x * 2.0 + x).sum()
    with ad.plain():
        out.backward(retain_graph=True)
        plain = x.grad
        x.grad = None
        again = np.tanh(x * 2.0 + x).sum()
    out.backward()
    assert bits([x.grad]) == bits([plain])
    x.grad = None
    again.backward()
    assert bits([x.grad]) == bits([plain])


@needs_fast
def test_the_source_of_what_is_written_out_can_be_read():
    ad.tanh(ad.tensor(1.0))
    assert inspect.getsource(ad.tanh).startswith("def tanh(x):")
    assert ad.tanh.__code__.co_filename == "<autodiff tanh>"


@needs_fast
def test_operations_of_one_name_have_sources_of_their_own_for_as_long_as_they_live():
    def made(forward, *rules):
        op = Primitive("test_one_name", forward, *rules)
        op(*[1.0] * len(rules))
        return op

    one = made(lambda x: 2.0 * x, lambda g, out, x: 2.0 * g)
    two = made(lambda x, y: x * y, lambda g, out, x, y: g * y, lambda g, out, x, y: g * x)
    try:
        heads = [inspect.getsource(op.function).splitlines()[0] for op in (one, two)]
        assert heads == ["def test_one_name(x):", "def test_one_name(x, y):"]
    finally:
        del registry["test_one_name"]
    del one, two
    gc.collect()
    assert not [file for file in linecache.cache if "test_one_name" in file]


def test_the_traceback_of_a_faulty_rule_shows_its_line():
    def rule(g, out, x):
        return g * x[7]  # the fault

    faulty = Primitive("test_faulty_rule", lambda x: 2.0 * x, rule)
    try:
        x = ad.tensor([1.0, 2.0], requires_grad=True)
        out = faulty(x).sum()
        with pytest.raises(IndexError) as caught:
            out.backward()
        shown = "".join(traceback.format_exception(caught.value))
        assert "return g * x[7]  # the fault" in shown
        if not is_plain():
            assert "test_faulty_rule_pull" in shown
            assert "h0 = _rule0(g, out, a0)" in shown
    finally:
        del registry["test_faulty_rule"]


def test_an_operation_may_be_defined_again():
    def factory(c):
        return Primitive("test_scaled", lambda x: c * x, lambda g, out, x: c * g)

    two, three = factory(2.0), factory(3.0)
    try:
        assert registry["test_scaled"] is three
        assert float(ad.grad(lambda x: two(x) + three(x))(1.0)) == 5.0
    finally:
        del registry["test_scaled"]


def test_names_that_python_cannot_spell_are_allowed():
    for name in ("test two words", "lambda", "2nd"):
        op = Primitive(name, lambda x: x * x, lambda g, out, x: 2 * x * g)
        try:
            assert float(ad.grad(op)(3.0)) == 6.0
            assert op.function.__name__ == name
        finally:
            del registry[name]


def test_the_environment_makes_a_process_plain():
    code = (
        "import sys, autodiff as ad; x = ad.tensor(3.0, requires_grad=True); (x * x).backward();"
        "print(x.grad, 'autodiff.fast.templates' in sys.modules)"
    )
    env = {**os.environ, "AUTODIFF_PLAIN": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.split() == ["6.0", "False"]


def test_plain_is_a_setting_of_the_block():
    assert is_plain() == (os.environ.get("AUTODIFF_PLAIN", "0") not in ("", "0"))
    with ad.plain():
        assert is_plain()

    @ad.plain()
    def inside():
        return is_plain()

    assert inside()


def test_every_threshold_has_a_benchmark_and_can_be_measured_anew():
    from autodiff.fast.thresholds import THRESHOLDS
    from benchmarks.parts import PARTS
    from benchmarks.thresholds import CASES, NOT_HERE, measured

    for name, threshold in THRESHOLDS.items():
        assert threshold.name == name
        assert threshold.value > 0
        assert threshold.benchmark in {*PARTS, "gradbench", "thresholds", "parallel"}, threshold
        assert (name in CASES) is not (name in NOT_HERE)
    assert len(measured("FEW", [4, 8], quick=True)) == 2


def test_a_threshold_can_be_set_for_a_process():
    code = "from autodiff.fast.thresholds import THRESHOLDS as t; print(t['FEW'].value, t['MATMUL'].value)"
    for setting, said in (("FEW=3, MATMUL=7", "3 7\n"), ("FEWER=3", ""), ("FEW=²", "")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "AUTODIFF_THRESHOLDS": setting},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == said
        assert said or "ArgumentError: the environment variable AUTODIFF_THRESHOLDS" in done.stderr


@pytest.mark.parametrize(
    ("value", "said"), [("", "False\n"), ("0", "False\n"), ("1", "True\n"), ("false", ""), ("2", "")]
)
def test_plain_is_set_by_0_and_1_alone(value, said):
    code = "from autodiff.core.modes import ORDINARY; print(ORDINARY.plain)"
    env = {**os.environ, "AUTODIFF_PLAIN": value}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.stdout == said
    assert (
        said or f"ArgumentError: the environment variable AUTODIFF_PLAIN must be 0 or 1, got {value!r}" in done.stderr
    )
