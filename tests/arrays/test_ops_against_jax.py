"""Every case of test_numpy_coverage run through JAX as it stands, with ``np`` rebound to ``jax.numpy``: values and
gradients to 1e-10.
"""

import builtins
import importlib.util
import types
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.op import registry

jax = pytest.importorskip("jax", reason="the independent truth here is JAX")
jax.config.update("jax_enable_x64", True)
jnp = jax.numpy

_spec = importlib.util.spec_from_file_location("coverage_cases", Path(__file__).with_name("test_numpy_coverage.py"))
assert _spec is not None
assert _spec.loader is not None
_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cases)

#: Cases that JAX has under another signature, with other conventions, or not at all; each with the reason.
NOT_COMPARED = {
    "ufunc outer": "jax.numpy.outer is the outer of vectors",
    "sliding_window_view": "jax.numpy has no stride tricks",
    "edges of a range": "jax.numpy.histogram_bin_edges takes no list",
    "nextafter": "JAX does not differentiate it",
    "ldexp": "JAX's takes powers that are no whole numbers",
    "pad ramp": "JAX takes plain numbers for the ends",
    "roots at 0": "JAX puts the zeros first",
    "polydiv": "JAX's remainder is as long as the dividend",
    "polydiv by a number": "JAX's remainder is as long as the dividend",
}
NOT_COMPARED |= {name: "jax.numpy has no emath" for name in _cases.CASES if name.startswith("emath")}


class _Numpy:
    """jax.numpy, taking lists of numbers where NumPy does and JAX does not."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        found = getattr(self._module, name)
        if isinstance(found, types.ModuleType):
            return _Numpy(found)
        if name not in ("delete", "insert", "compress", "choose", "bincount", "histogram", "repeat", "take"):
            return found
        plain = lambda value: (
            np.asarray(value) if isinstance(value, list) and all(isinstance(v, int | float) for v in value) else value
        )
        return lambda *args, **kwargs: found(*map(plain, args), **kwargs)


def rebound(function):
    """The same function with NumPy's names bound to JAX's."""
    if not isinstance(function, types.FunctionType) or not function.__module__.startswith("coverage_cases"):
        target = jnp
        parts = (
            f"{function.__module__ or 'numpy'}.{function.__name__}".split(".")[1:]
            if hasattr(function, "__name__")
            else []
        )
        for part in parts:
            target = getattr(target, part, None)
        return target
    names = {**vars(_cases), "np": _Numpy(jnp), "F": jnp.fft, "__builtins__": builtins}
    names["two_parts"] = lambda z: jnp.real(z) + 2 * jnp.imag(z)
    return types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)


def compare(ours, theirs, args):
    """Values and vector-Jacobian products for one random cotangent per output."""
    reference, pull = jax.vjp(lambda *a: theirs(*a), *[jnp.asarray(a) for a in args])
    leaves = [ad.tensor(a, requires_grad=True) for a in args]
    out = ours(*leaves)
    outs = list(out) if isinstance(out, (tuple, list)) else [out]
    references = list(reference) if isinstance(reference, (tuple, list)) else [reference]
    rng = np.random.default_rng(1)
    seeds = [rng.normal(size=o.shape) for o in outs]
    for o, r in zip(outs, references, strict=True):
        np.testing.assert_allclose(o.data, np.asarray(r), rtol=1e-10, atol=1e-11)
    cotangent = [jnp.asarray(s) for s in seeds]
    expected = pull(type(reference)(cotangent) if isinstance(reference, (tuple, list)) else cotangent[0])
    tracked = [(o, s) for o, s in zip(outs, seeds, strict=True) if o.requires_grad]
    found = ad.gradients([o for o, _ in tracked], leaves, [s for _, s in tracked], allow_unused=True)
    for g, e in zip(found, expected, strict=True):
        e = np.asarray(e)
        np.testing.assert_allclose(
            np.zeros_like(e) if g is None else g, e, rtol=1e-10, atol=1e-10 * max(1.0, np.abs(e).max(initial=0.0))
        )


@pytest.mark.parametrize("name", _cases.CASES)
def test_case(name):
    if name in NOT_COMPARED:
        pytest.skip(NOT_COMPARED[name])
    function, args = _cases.CASES[name]
    theirs = rebound(function)
    if theirs is None:
        pytest.skip("JAX has no such function")
    compare(function, theirs, args)


ELEMENTWISE = sorted(
    name for name, op in registry.items() if op.elementwise and hasattr(jnp, name) and name not in NOT_COMPARED
)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name):
    from autodiff.facts import sample_call
    from autodiff.testing import RandomDraw

    args, _ = sample_call(registry[name], RandomDraw(np.random.default_rng(3)))
    compare(getattr(np, name), getattr(jnp, name), args)
