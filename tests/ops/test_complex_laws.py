"""Complex numbers through every registered operation: dtypes kept, forward and reverse adjoint, both equal to
differences; or refused.
"""

from typing import Any

import numpy as np
import pytest

import autodiff
import nn.functional  # noqa: F401
from autodiff import Tensor, gradients, jvp
from autodiff.core.errors import DTypeError, NotDifferentiableError
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.testing import RandomDraw

OPS = sorted(autodiff._AT_IMPORT)
CALLS = 4
# Those whose definition, or derivation by hand, holds for real numbers; each says so.
REAL = frozenset(name for name in OPS if registry[name].real_only)
# The gradient of an output that depends on arbitrary phases or vectors is refused; tests/ops/test_complex.py has
# functions that do not.
ARBITRARY = frozenset({"eig", "eigh", "span_only", "svd"})

# astype to a real dtype, of which NumPy warns; the gradient is that of the real part, which is left.
pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")


def _complex_calls(name: str):
    """Sampled calls with an imaginary part added to every real array, and the places of these."""
    op = registry[name]
    rng = np.random.default_rng([11, *name.encode()])
    draw = RandomDraw(rng)
    for _ in range(CALLS):
        args, kwargs = sample_call(op, draw)
        full = [
            a + 0.3j * rng.standard_normal(a.shape) if isinstance(a, np.ndarray) and a.dtype == np.float64 else a
            for a in args
        ]
        places = [i for i, a in enumerate(full) if isinstance(a, np.ndarray) and a.dtype.kind == "c"]
        if places:
            yield op, full, kwargs, places, rng


def _outputs(op: Any, full: list[Any], kwargs: dict[str, Any], places: list[int], leaves: Any) -> list[Any]:
    args = list(full)
    for place, leaf in zip(places, leaves, strict=True):
        args[place] = leaf
    out = op.function(*args, **kwargs)
    return [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if o.dtype.kind in "fc"]


def _random(rng: np.random.Generator, like: Any) -> Any:
    real = rng.standard_normal(like.shape)
    return (real + 1j * rng.standard_normal(like.shape) if like.dtype.kind == "c" else real).astype(like.dtype)


def _pair(left: Any, right: Any) -> float:
    """The real part of the product without a conjugate: the pairing of docs/complex.md."""
    return sum(float(np.real(np.sum(a * b))) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("name", sorted(set(OPS) - REAL - ARBITRARY))
def test_complex_inputs_have_complex_gradients_of_their_dtype(name: str) -> None:
    seen = 0
    for op, full, kwargs, places, rng in _complex_calls(name):
        for dtype in (np.complex64, np.complex128):
            leaves = [Tensor(full[i].astype(dtype), requires_grad=True) for i in places]
            outs = [o for o in _outputs(op, full, kwargs, places, leaves) if o.requires_grad]
            found = gradients(outs, leaves, [_random(rng, o) for o in outs], allow_unused=True)
            for g, leaf in zip(found, leaves, strict=True):
                assert g is None or (g.dtype, g.shape) == (dtype, leaf.shape)
                seen += g is not None
    assert seen, "no call of this operation has a gradient"


@pytest.mark.parametrize("name", sorted(set(OPS) - REAL - ARBITRARY))
def test_forward_reverse_and_differences_agree_on_complex_inputs(name: str) -> None:
    for op, full, kwargs, places, rng in _complex_calls(name):
        points = [full[i] for i in places]
        leaves = [Tensor(p, requires_grad=True) for p in points]
        outs = _outputs(op, full, kwargs, places, leaves)
        u, v = [_random(rng, o) for o in outs], [_random(rng, p) for p in points]
        found = gradients(outs, leaves, u, allow_unused=True)
        reverse = _pair(*zip(*[(g, d) for g, d in zip(found, v, strict=True) if g is not None], strict=True))
        _, pushed = jvp(lambda *inner: _outputs(op, full, kwargs, places, inner), points, v)  # noqa: B023
        forward = _pair(u, pushed)

        def value(h: float) -> float:
            moved = [Tensor(p + h * d) for p, d in zip(points, v, strict=True)]  # noqa: B023
            return _pair(u, [o.data for o in _outputs(op, full, kwargs, places, moved)])  # noqa: B023

        # Fourth order: off by h^4 and by rounding over h, 1e-12 or so of each, times the fifth derivative.
        h = 3e-4
        numeric = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
        assert abs(forward - reverse) <= 1e-10 * max(1.0, abs(reverse)), f"<u, J v> = {forward}, <J' u, v> = {reverse}"
        assert abs(numeric - reverse) <= 1e-7 * max(1.0, abs(reverse)), (
            f"differences give {numeric}, <J' u, v> = {reverse}"
        )


@pytest.mark.parametrize("name", sorted(REAL & set(OPS)))
def test_operations_on_real_numbers_refuse_complex_ones(name: str) -> None:
    refused = 0
    for op, full, kwargs, _, _ in _complex_calls(name):
        with pytest.raises(DTypeError, match=r"real|not supported|floating-point"):
            op.function(*full, **kwargs)
        refused += 1
    assert refused, "no call of this operation takes a real array"


def test_special_functions_of_real_numbers_refuse_complex_ones() -> None:
    """SciPy's ufuncs that have no loop for complex numbers."""
    s = pytest.importorskip("scipy.special")
    import autodiff.special

    z = Tensor(np.array([0.5 + 0.1j]), requires_grad=True)
    names = [name for name in dir(autodiff.special) if isinstance(getattr(s, name, None), np.ufunc)]
    real = [name for name in names if not any(code in types for types in getattr(s, name).types for code in "FD")]
    assert len(real) > 60
    for name in real:
        with pytest.raises(TypeError):
            pytest.fail(f"{name} gives {getattr(autodiff.special, name)(*[z] * getattr(s, name).nin)}")


@pytest.mark.parametrize(
    "f", [np.fft.rfft, np.fft.ihfft, np.fft.rfft2, lambda z: np.quantile(z, 0.5), lambda z: np.nanpercentile(z, 50)]
)
def test_what_numpy_refuses_of_complex_numbers_is_refused(f) -> None:
    z = np.array([[1 + 2j, 2j], [1, 3 - 1j]])
    with pytest.raises(TypeError):
        f(z)
    with pytest.raises(TypeError):
        f(Tensor(z, requires_grad=True))


@pytest.mark.parametrize("name", sorted(ARBITRARY & set(OPS)))
def test_results_with_arbitrary_phases_are_refused(name: str) -> None:
    op, full, kwargs, places, rng = next(_complex_calls(name))
    leaves = [Tensor(full[i], requires_grad=True) for i in places]
    outs = [o for o in _outputs(op, full, kwargs, places, leaves) if o.requires_grad]
    with pytest.raises(NotDifferentiableError, match="arbitrary"):
        gradients(outs, leaves, [_random(rng, o) for o in outs], allow_unused=True)
