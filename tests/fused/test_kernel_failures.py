"""A kernel that cannot be compiled, loaded or run: NumPy computes, after one warning that names the kernel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff as ad
import optim
from autodiff import kernels
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.testing.draw import RandomDraw

pytest.importorskip("numba", reason="compiled kernels need numba")

ROOT = Path(__file__).parents[2]
OPS = "batch_norm conv conv_transpose layer_norm cross_entropy dropout gelu gelu_tanh max_pool relu".split()


def _no_module(name: str) -> Any:
    raise ImportError("llvmlite is built for another Python")


def _not_compiled(name: str) -> Any:
    raise RuntimeError("unsupported type")


def _not_run(name: str) -> Any:
    def kernel(*args: Any) -> None:
        raise MemoryError("no working memory")

    kernel.cuts = 2  # type: ignore[attr-defined]
    return kernel


# Of these not every call has a kernel.
EXACTLY = {
    "conv": (np.linspace(-1, 1, 288).reshape(1, 2, 12, 12), np.linspace(-1, 1, 54).reshape(3, 2, 3, 3)),
    "conv_transpose": (np.linspace(-1, 1, 288).reshape(1, 2, 12, 12), np.linspace(-1, 1, 54).reshape(2, 3, 3, 3)),
    "cross_entropy": (np.ones((3, 4)), np.array([1, 0, 3])),
}

FAILURES = {"load": _no_module, "compile": _not_compiled, "run": _not_run}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No kernel has failed yet, and kernels are taken for every size."""
    monkeypatch.setattr(kernels, "_failed", set())
    before = kernels.use("numba")
    yield
    kernels.use(before)


def call(name: str) -> tuple[Any, list[Any], Any]:
    """A call of an operation in float32, its inputs, and what makes its backward pass."""
    op = registry[name]
    args, kwargs = sample_call(op, RandomDraw(np.random.default_rng(3)))
    if name in EXACTLY:
        args, kwargs = EXACTLY[name], {}
    made = [
        ad.tensor(a.astype(np.float32), requires_grad=True) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
        for a in args
    ]
    out = op.function(*made, **kwargs)
    leaves = [a for a in made if isinstance(a, ad.Tensor)]
    return out, leaves, lambda: out.backward(np.ones(out.shape, np.float32))


def results(name: str, between: Any = lambda: None) -> list[Any]:
    out, leaves, backward = call(name)
    between()
    backward()
    return [out.data, *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("name", OPS)
def test_numpy_computes_what_a_kernel_cannot(name: str, failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.use("numpy")
    expected = results(name)
    kernels.use("numba")
    monkeypatch.setattr(kernels, "_kernel", FAILURES[failure])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            for ours, plain in zip(results(name), expected, strict=True):
                np.testing.assert_array_equal(ours, plain)
    said = [str(w.message) for w in caught if issubclass(w.category, kernels.KernelWarning)]
    assert len(said) == len(set(said)) == len(kernels._failed) > 0
    assert all(any(failed in text for text in said) for failed in kernels._failed)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.filterwarnings("ignore::autodiff.kernels.KernelWarning")
def test_a_kernel_that_fails_in_the_backward_pass_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.use("numpy")
    expected = results(name)
    kernels.use("numba")
    found = results(name, lambda: monkeypatch.setattr(kernels, "_kernel", _no_module))
    for ours, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPS)
def test_plain_asks_no_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.use("numpy")
    expected = results(name)
    kernels.use("numba")
    monkeypatch.setattr(kernels, "_kernel", _no_module)
    with warnings.catch_warnings(), ad.plain():
        warnings.simplefilter("error")
        for ours, plain in zip(results(name), expected, strict=True):
            np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.filterwarnings("ignore::autodiff.kernels.KernelWarning")
def test_adam_steps_without_its_kernel(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def steps() -> Any:
        w = ad.tensor(np.linspace(-1, 1, 2000), requires_grad=True)
        optimizer = optim.Adam([w], lr=0.1)

        def step() -> None:
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()

        run = ad.compile(step) if compiled else step
        for _ in range(4):
            run()
        return w.data

    kernels.use("numpy")
    expected = steps()
    kernels.use("numba")
    monkeypatch.setattr(kernels, "_kernel", _no_module)
    np.testing.assert_array_equal(steps(), expected)


@pytest.mark.parametrize("breaks", ["sys.modules['llvmlite'] = None", "sys.modules['numba'] = type(sys)('numba')"])
def test_a_kernel_without_numba_s_own_library(breaks: str) -> None:
    """numba is installed and cannot be imported: NumPy computes, and asking for kernels by name says why not."""
    code = (
        f"import sys; {breaks}"
        + """
import warnings, numpy as np, autodiff as ad
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    x = ad.tensor(np.ones((300, 300)), requires_grad=True)
    ad.fused.layer_norm(x).sum().backward()
print([w.category.__name__ for w in caught], x.grad.shape)
try: ad.kernels.use('numba')
except ad.MissingExtraError as error: print(error)"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert re.match(r"\['KernelWarning'(, 'KernelWarning')?\] \(300, 300\)\n", done.stdout)
    assert "pip install --force-reinstall 'numba" in done.stdout or "llvmlite" not in breaks


def test_no_generated_source_claims_a_file() -> None:
    """Python 3.13 reads a function's source where its code says it is, and dies of what it finds there."""
    import inspect

    from autodiff.kernels import compiled, threads, windows

    for module in (compiled, threads, windows):
        for name, found in vars(module).items():
            function = getattr(found, "py_func", None)
            if function is not None:
                assert f"def {function.__name__}(" in inspect.getsource(function), name


CODE = """import numpy as np, autodiff as ad, hashlib, warnings
from autodiff import kernels
warnings.simplefilter('error')
kernels.use('numba'); kernels.set_threads(2)
x = ad.tensor(np.random.default_rng(0).standard_normal((512, 300)), requires_grad=True)
y = ad.fused.layer_norm(x)
y.backward(np.arange(300.0) * np.ones((512, 1)))
print(hashlib.sha256(y.data.tobytes() + x.grad.tobytes()).hexdigest())"""


@pytest.mark.slow
def test_a_cold_a_warm_and_a_damaged_cache_give_the_same_bits(tmp_path: Path) -> None:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def run() -> str:
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    cold = run()
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert files
    assert run() == cold
    for number, path in enumerate(files):
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 255
        path.write_bytes(raw[: len(raw) // 2] if number % 2 else raw)
    assert run() == cold
    assert run() == cold


@pytest.mark.parametrize("value", ["abc", "0", "-1", "2.5", "1e3", "²"])
def test_a_number_of_threads_that_is_none(value: str) -> None:
    done = _threads(value)
    assert done.returncode != 0
    assert f"AUTODIFF_THREADS must be a positive integer, got {value!r}" in done.stderr


def test_more_threads_than_any_machine_has() -> None:
    done = _threads("999999")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "999999\n"


def _threads(value: str) -> subprocess.CompletedProcess[str]:
    code = """import numpy as np, autodiff as ad
x = ad.tensor(np.ones((300, 300)), requires_grad=True)
ad.fused.layer_norm(x).sum().backward()
print(ad.kernels.get_threads())"""
    env = {**os.environ, "AUTODIFF_THREADS": value, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, env=env, cwd=ROOT)
