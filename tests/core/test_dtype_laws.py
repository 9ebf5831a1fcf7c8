"""Every registered operation in every floating-point dtype: the gradient has the input's dtype, and a refusal is
LAPACK's.
"""

from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, gradients
from autodiff.core.errors import DTypeError
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.testing import RandomDraw
from autodiff.testing.verify import gradient_places

OPS = sorted(autodiff._AT_IMPORT)
LAPACK = frozenset(
    """characteristic_polynomial cholesky det eig eigh eigvalsh inv logabsdet matrix_function pinv qr roots solve svd
    svdvals""".split()
)
CALLS = 4


def _gradients(op: Any, args: Any, kwargs: dict[str, Any], dtype: Any) -> tuple[list[Any], list[Any]]:
    """Leaves and their gradients, None for unused ones; the cotangents are of this dtype and the same for each."""
    full = [np.asarray(a, dtype) if isinstance(a, np.ndarray) and a.dtype == np.float64 else a for a in args]
    places = gradient_places(op, args, kwargs)
    leaves = [Tensor(full[i], requires_grad=True) for i in places]
    for place, leaf in zip(places, leaves, strict=True):
        full[place] = leaf
    out = op.function(*full, **kwargs)
    outs = [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(o, Tensor) and o.requires_grad]
    rng = np.random.default_rng(7)
    seeds = [rng.standard_normal(o.shape).astype(o.dtype) for o in outs]
    return leaves, list(gradients(outs, leaves, seeds, allow_unused=True)) if outs else [None] * len(leaves)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("name", OPS)
def test_the_gradient_has_the_dtype_of_the_input(name: str, dtype: Any) -> None:
    op = registry[name]
    draw = RandomDraw(np.random.default_rng([3, *name.encode()]))
    seen = 0
    for _ in range(CALLS):
        args, kwargs = sample_call(op, draw)
        if name in LAPACK and dtype in (np.float16, np.longdouble):
            with pytest.raises(DTypeError, match="unsupported in linalg") as refusal:
                _gradients(op, args, kwargs, dtype)
            pytest.skip(f"LAPACK has no such dtype: {refusal.value}")
        leaves, found = _gradients(op, args, kwargs, dtype)
        # A wider dtype changes a gradient in its last digits alone.
        truth = _gradients(op, args, kwargs, np.float64)[1] if dtype is np.longdouble else found
        for leaf, g, expected in zip(leaves, found, truth, strict=True):
            assert g is None or (g.dtype, g.shape) == (leaf.dtype, leaf.shape)
            seen += g is not None
            if g is not None:
                np.testing.assert_allclose(
                    g, expected, rtol=1e-9, atol=1e-9 * float(np.max(np.abs(expected), initial=1.0))
                )
    assert seen, "no call of this operation has a gradient"
